// Frequencies against Transformers' (its f32 values) and against the formulas' own properties.
#include "compiler/frontend/checkpoint/rope_frequencies.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { N_DIMS = 128 };

static double plain(int i) { return exp(-2.0 * i / (double)N_DIMS * log(10000)); }

typedef struct sample {
    int pair;
    double frequency;
} sample;

typedef struct reference {
    rope_scaling scaling;
    double magnitude;
    sample samples[16];
} reference;

// Llama 3.1; Qwen2.5 with yarn for long contexts; DeepSeek's base; Qwen2.5 and gpt-oss without truncation; Llama 2
// stretched linearly
static const reference REFERENCES[] = {
    {{ROPE_LLAMA3, .base = 500000, .factor = 8, .context = 8192, .low = 1, .high = 4},
     1,
     {{0, 1},
      {1, 0.814617217},
      {8, 0.193922758},
      {16, 0.0376060307},
      {20, 0.0165604409},
      {24, 0.00729266508},
      {28, 0.00321144611},
      {29, 0.00216657063},
      {30, 0.00137189368},
      {32, 0.000524846022},
      {36, 7.78465546e-05},
      {40, 3.42810235e-05},
      {44, 1.50962178e-05},
      {48, 6.64786967e-06},
      {56, 1.28917316e-06},
      {63, 3.06892588e-07}}},
    {{ROPE_YARN, .base = 1000000, .factor = 4, .context = 32768, .beta_fast = 32, .beta_slow = 1, .truncate = true},
     1.138629436111989,
     {{0, 1},
      {1, 0.805842221},
      {8, 0.177827939},
      {16, 0.0316227786},
      {20, 0.0133352149},
      {24, 0.00537532149},
      {28, 0.00184827659},
      {29, 0.00140511245},
      {30, 0.00106436096},
      {32, 0.000602941145},
      {36, 0.000179841154},
      {40, 4.44569851e-05},
      {44, 1.87473561e-05},
      {48, 7.90569356e-06},
      {56, 1.40585337e-06},
      {63, 3.10234441e-07}}},
    {{ROPE_YARN, .base = 10000, .factor = 40, .context = 4096, .beta_fast = 32, .beta_slow = 1, .truncate = true},
     1.3688879454113936,
     {{0, 1},
      {1, 0.865964353},
      {8, 0.316227764},
      {16, 0.100000001},
      {20, 0.0562341288},
      {24, 0.0268793609},
      {28, 0.012447956},
      {29, 0.010202013},
      {30, 0.0083345091},
      {32, 0.00550000044},
      {36, 0.00224936521},
      {40, 0.000790569407},
      {44, 0.00017782794},
      {48, 2.49999994e-05},
      {56, 7.90569447e-06},
      {63, 2.88695469e-06}}},
    {{ROPE_YARN, .base = 1000000, .factor = 4, .context = 32768, .beta_fast = 32, .beta_slow = 1},
     1.138629436111989,
     {{0, 1},
      {1, 0.805842221},
      {8, 0.177827939},
      {16, 0.0316227786},
      {20, 0.0133352149},
      {24, 0.00551727042},
      {28, 0.00188350258},
      {29, 0.00142853614},
      {30, 0.00107923779},
      {32, 0.000607408001},
      {36, 0.000177344264},
      {40, 4.44569851e-05},
      {44, 1.87473561e-05},
      {48, 7.90569356e-06},
      {56, 1.40585337e-06},
      {63, 3.10234441e-07}}},
    {{ROPE_YARN, .base = 150000, .factor = 32, .context = 4096, .beta_fast = 32, .beta_slow = 1},
     1.3465735902799727,
     {{0, 1},
      {1, 0.830086946},
      {8, 0.225418001},
      {16, 0.05081328},
      {20, 0.0193350017},
      {24, 0.00679495931},
      {28, 0.00209379266},
      {29, 0.00150304602},
      {30, 0.00105260219},
      {32, 0.000456483918},
      {36, 3.83088118e-05},
      {40, 1.8188337e-05},
      {44, 8.63549576e-06},
      {48, 4.09997847e-06},
      {56, 9.24208962e-07},
      {63, 2.50977735e-07}}},
    {{ROPE_LINEAR, .base = 10000, .factor = 4},
     1,
     {{0, 0.25},
      {1, 0.216491088},
      {8, 0.079056941},
      {16, 0.0250000004},
      {20, 0.0140585322},
      {24, 0.00790569466},
      {28, 0.00444569858},
      {29, 0.00384981628},
      {30, 0.00333380373},
      {32, 0.00249999994},
      {36, 0.00140585331},
      {40, 0.000790569466},
      {44, 0.000444569858},
      {48, 0.000250000012},
      {56, 7.90569466e-05},
      {63, 2.88695483e-05}}},
};

static void test_references(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof REFERENCES / sizeof *REFERENCES; r++) {
        double frequencies[N_DIMS / 2];
        const reference *want = &REFERENCES[r];
        double magnitude = rope_frequencies(&want->scaling, N_DIMS, frequencies);
        if (!(fabs(magnitude - want->magnitude) < 1e-12)) fail_msg("reference %zu: magnitude %.17g", r, magnitude);
        for (int i = 0; i < 16; i++) {
            const sample *s = &want->samples[i];
            // theirs is rounded to f32 several times
            if (!(fabs(frequencies[s->pair] / s->frequency - 1) < 1e-6))
                fail_msg("reference %zu: pair %d: %.9g instead of %.9g", r, s->pair, frequencies[s->pair],
                         s->frequency);
        }
    }
}

static void test_plain(void **state)
{
    (void)state;
    double frequencies[N_DIMS / 2];
    rope_scaling s = {ROPE_PLAIN, .base = 10000, .factor = 1};
    assert_true(rope_frequencies(&s, N_DIMS, frequencies) == 1);
    for (int i = 0; i < N_DIMS / 2; i++) assert_true(fabs(frequencies[i] / plain(i) - 1) < 1e-12);
}

// The ends of the blend may fall together, beyond the pairs, or before the first.
static void test_degenerate_yarn(void **state)
{
    (void)state;
    double frequencies[N_DIMS / 2];
    rope_scaling same = {ROPE_YARN,      .base = 10000,  .factor = 4,     .context = 4096,
                         .beta_fast = 5, .beta_slow = 5, .truncate = true};
    rope_scaling early = {ROPE_YARN,       .base = 10000,   .factor = 4,     .context = 8,
                          .beta_fast = 32, .beta_slow = 31, .truncate = true};
    rope_scaling late = {ROPE_YARN,      .base = 10000,  .factor = 4,     .context = 1e12,
                         .beta_fast = 2, .beta_slow = 1, .truncate = true};
    rope_scaling smaller = {ROPE_YARN,       .base = 10000,  .factor = 0.5,   .context = 4096,
                            .beta_fast = 32, .beta_slow = 1, .truncate = true};
    rope_frequencies(&same, N_DIMS, frequencies);
    for (int i = 0; i < N_DIMS / 2; i++) {
        assert_true(frequencies[i] <= plain(i) * 1.0000001 && frequencies[i] >= plain(i) / 4.0000001);
    }
    rope_frequencies(&early, N_DIMS, frequencies);
    for (int i = 1; i < N_DIMS / 2; i++) assert_true(fabs(frequencies[i] / plain(i) - 0.25) < 1e-12);
    rope_frequencies(&late, N_DIMS, frequencies);
    for (int i = 0; i < N_DIMS / 2; i++) assert_true(fabs(frequencies[i] / plain(i) - 1) < 1e-12);
    assert_true(rope_frequencies(&smaller, N_DIMS, frequencies) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_references), cmocka_unit_test(test_plain),
                                       cmocka_unit_test(test_degenerate_yarn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
