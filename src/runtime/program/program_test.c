#include "runtime/program/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_WEIGHTS = 3, N_CALLS = 3, N_KERNELS = 2 };

// A small program that is right, in memory of its own so that a test may break any part of it.
typedef struct sample {
    program p;
    program_weight weights[N_WEIGHTS];
    program_call calls[N_CALLS];
    program_buffer buffers[N_CALLS][4];
    affine sizes[N_CALLS][2];
    program_area areas[BASE_COUNT];
    program_dim dims[N_SEQUENCE_DIMS];
    program_rope ropes[1];
    program_fusion fusions[1];
    const char *kernels[N_KERNELS];
} sample;

static const double INV_FREQ[] = {1.0, 0.5, 0.25, 0.125};

static affine form(int64_t one, int64_t tokens, int64_t outputs, int64_t context)
{
    return (affine){.c = {[DIM_ONE] = one, [DIM_TOKENS] = tokens, [DIM_OUTPUTS] = outputs, [DIM_CONTEXT] = context}};
}

static void make_weights(sample *s)
{
    s->weights[0] = (program_weight){.layout = LAYOUT_VECTOR_F32,
                                     .n_sources = 1,
                                     .sources = {"norm"},
                                     .rows = {1},
                                     .cols = 32,
                                     .plus_one = true,
                                     .offset = 0,
                                     .bytes = 128};
    s->weights[1] = (program_weight){.layout = LAYOUT_Q4_0_X16,
                                     .n_sources = 2,
                                     .sources = {"gate", "up"},
                                     .types = {2, 2},
                                     .rows = {20, 30},
                                     .cols = 64,
                                     .interleave = true,
                                     .offset = 128,
                                     .bytes = 4 * 2 * 288};
    s->weights[2] = (program_weight){.layout = LAYOUT_F16_X16,
                                     .n_sources = 3,
                                     .sources = {"q", "k", "v"},
                                     .types = {1, 1, 1},
                                     .rows = {16, 1, 17},
                                     .cols = 2,
                                     .offset = 2432,
                                     .bytes = 4 * 64};
}

static void make_calls(sample *s)
{
    s->calls[0] = (program_call){
        .kernel = 0, .label = "embed", .n_buffers = 3, .n_sizes = 1, .tiles = {form(0, 1, 0, 0), 1, 1, {0}}};
    s->buffers[0][0] = (program_buffer){BASE_TOKENS, form(0, 0, 0, 0), form(0, 4, 0, 0), false, false};
    s->buffers[0][1] = (program_buffer){BASE_WEIGHTS, form(128, 0, 0, 0), form(2304, 0, 0, 0), false, false};
    s->buffers[0][2] = (program_buffer){BASE_ARENA, form(0, 0, 0, 0), form(0, 128, 0, 0), true, false};
    s->calls[1] = (program_call){.kernel = 1,
                                 .label = "blk.0 attention",
                                 .n_buffers = 3,
                                 .n_sizes = 2,
                                 .tiles = {form(3, 2, 0, 0), 4, 5, {8, 256, true}},
                                 .flops = form(7, 9, 0, 0),
                                 .pair_flops = 12,
                                 .window = 100};
    s->buffers[1][0] = (program_buffer){BASE_ROPE, form(0, 0, 0, 0), form(0, 0, 0, 32), false, false};
    s->buffers[1][1] = (program_buffer){BASE_KV, form(0, 0, 0, 100), form(0, 0, 0, 28), true, false};
    s->buffers[1][2] = (program_buffer){BASE_ARENA, form(0, 128, 0, 0), form(0, 0, 128, 0), true, false};
    s->calls[2] = (program_call){
        .kernel = 0, .label = "head", .n_buffers = 3, .n_sizes = 1, .tiles = {form(0, 0, 1, 0), 1, 1, {0}}};
    s->buffers[2][0] = (program_buffer){BASE_ROWS, form(0, 0, 0, 0), form(0, 0, 4, 0), false, false};
    s->buffers[2][1] = (program_buffer){BASE_ARENA, form(0, 128, 0, 0), form(0, 0, 128, 0), false, false};
    s->buffers[2][2] = (program_buffer){BASE_LOGITS, form(0, 0, 0, 0), form(0, 0, 4 * 1000, 0), true, false};
    s->sizes[0][0] = s->sizes[1][0] = form(0, 1, 0, 0);
    s->sizes[1][1] = affine_of(DIM_PAST, 1);
    s->sizes[2][0] = form(0, 0, 1, 0);
    for (int i = 0; i < N_CALLS; i++) {
        s->calls[i].buffers = s->buffers[i];
        s->calls[i].sizes = s->sizes[i];
        s->calls[i].grain = 1;
    }
}

static void make_sample(sample *s)
{
    *s = (sample){0};
    make_weights(s);
    make_calls(s);
    s->fusions[0] = (program_fusion){.name = "qkv", .found = 3, .fused = 2, .why = "1 weights of different types"};
    s->ropes[0] = (program_rope){.n_dims = 8, .inv_freq = INV_FREQ, .magnitude = 1.25};
    s->kernels[0] = "wf_embed";
    s->kernels[1] = "wf_attention";
    s->p = (program){.architecture = "llama",
                     .name = "a small \x1b program",
                     .n_vocab = 1000,
                     .n_ctx_train = 1000,
                     .n_embd = 32,
                     .kv = {.n_layer = 1, .n_kv_heads = 2, .head_dim = 16},
                     .n_ropes = 1,
                     .ropes = s->ropes,
                     .n_fusions = 1,
                     .fusions = s->fusions,
                     .n_weights = N_WEIGHTS,
                     .weights = s->weights,
                     .n_kernels = N_KERNELS,
                     .kernels = s->kernels,
                     .n_calls = N_CALLS,
                     .calls = s->calls};
    program_set_sequence(&s->p, form(0, 128, 128, 0), 2432 + 256, s->areas);
    memcpy(s->dims, program_sequence_dims, sizeof s->dims);
    s->p.dims = s->dims;
}

static void test_evaluates_forms(void **state)
{
    (void)state;
    int64_t dims[DIM_COUNT];
    program_dims(5, 7, 3, 64, dims);
    affine a = {.c = {1000, 100, 10, -2, 1, 2}};
    assert_int_equal(affine_eval(&a, dims), 1000 + 500 + 70 - 6 + 64 + 2 * 5 * 64);
    program_count count = {.a = form(3, 2, 0, 0), .divisor = 4, .factor = 5};
    assert_int_equal(program_count_eval(&count, dims), 5 * 4); // ceil(13/4)
    static const struct {
        program_condition when;
        bool holds; // n_tokens is 5, n_past 7
    } conditions[] = {{{5, 7, false}, true}, {{4, 7, false}, false}, {{5, 8, false}, false}, {{4, 8, false}, false},
                      {{5, 7, true}, false}, {{4, 7, true}, true},   {{5, 8, true}, true},   {{8, 0, false}, true}};
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        count.when = conditions[i].when;
        assert_int_equal(program_count_eval(&count, dims), conditions[i].holds ? 20 : 0);
    }
    count.when = (program_condition){0};
    count.divisor = 13;
    assert_int_equal(program_count_eval(&count, dims), 5);
    count.a = form(0, 0, 0, 0);
    assert_int_equal(program_count_eval(&count, dims), 0);
}

static void assert_prints(affine a, const char *wanted)
{
    buffer out = {0};
    affine_print(&a, program_sequence_dims, &out);
    assert_string_equal(out.data, wanted);
    buffer_free(&out);
}

static void test_prints_forms(void **state)
{
    (void)state;
    assert_prints(form(128, 64, 0, 0), "64*n_tokens + 128");
    assert_prints(form(0, 0, 0, 0), "0");
    assert_prints(form(7, 0, 0, 0), "7");
    assert_prints(form(0, 1, 0, 0), "n_tokens");
    assert_prints((affine){.c = {-1, 1, 2, -3, 1}}, "n_tokens + 2*n_past - 3*n_outputs + n_ctx - 1");
    assert_prints((affine){.c = {[DIM_CONTEXT] = 5, [DIM_PAIRS] = 36}}, "5*n_ctx + 36*n_tokens*n_ctx");
    assert_prints((affine){.c = {INT64_MIN, 0, -1, 0, 0}}, "-n_past - 9223372036854775808");
}

static void test_weight_bytes(void **state)
{
    (void)state;
    sample s;
    make_sample(&s);
    size_t bytes;
    for (int i = 0; i < N_WEIGHTS; i++) {
        assert_true(program_weight_bytes(&s.weights[i], &bytes));
        assert_int_equal(bytes, s.weights[i].bytes);
    }
    s.weights[1].rows[0] = INT64_MAX;
    assert_false(program_weight_bytes(&s.weights[1], &bytes));
    s.weights[1].rows[0] = 0;
    assert_false(program_weight_bytes(&s.weights[1], &bytes));
}

static void assert_refused(const sample *s, const char *reason)
{
    wf_error err = {0};
    assert_int_equal(program_check(&s->p, &err), WF_ERROR_FORMAT);
    if (!strstr(err.message, reason)) fail_msg("'%s' does not say '%s'", err.message, reason);
}

#define REFUSES(change, reason)                                                                                        \
    do {                                                                                                               \
        make_sample(&s);                                                                                               \
        change;                                                                                                        \
        assert_refused(&s, reason);                                                                                    \
    } while (0)

#define ACCEPTS(change)                                                                                                \
    do {                                                                                                               \
        wf_error err_ = {0};                                                                                           \
        make_sample(&s);                                                                                               \
        change;                                                                                                        \
        if (program_check(&s.p, &err_) != WF_OK) fail_msg("%s", err_.message);                                         \
    } while (0)

static void test_accepts_what_is_right(void **state)
{
    (void)state;
    sample s;
    ACCEPTS((void)0);
    ACCEPTS(s.p.n_ctx_train = 1);
    ACCEPTS(s.p.n_ctx_train = 131072);
    ACCEPTS(s.buffers[1][1].offset = form(0, 0, 0, 99)); // n_ctx is a multiple of 64
    ACCEPTS(s.p.n_calls = s.p.n_weights = s.p.n_ropes = 0; s.areas[BASE_ROPE].bytes = form(0, 0, 0, 0));
}

static void test_refuses_bad_facts(void **state)
{
    (void)state;
    sample s;
    REFUSES(s.p.name = NULL, "name");
    REFUSES(s.p.n_vocab = 0, "n_vocab");
    REFUSES(s.p.n_ctx_train = INT64_MAX, "n_ctx_train");
    REFUSES(s.areas[BASE_ARENA].bytes.c[DIM_PAST] = 64, "arena");
    REFUSES(s.areas[BASE_ARENA].bytes.c[DIM_TOKENS] = -64, "arena");
    REFUSES(s.areas[BASE_KV].bytes.c[DIM_TOKENS] = 64, "areas");
    REFUSES(s.p.kv.n_layer = 0, "KV cache");
    REFUSES(s.p.kv.n_kv_heads = -1, "KV cache");
    REFUSES(s.p.kv.head_dim = INT64_MAX, "KV cache");
    REFUSES(s.areas[BASE_WEIGHTS].bytes.c[DIM_ONE] = -1, "weights");
    REFUSES(s.ropes[0].n_dims = 7, "rotation");
    REFUSES(s.ropes[0].magnitude = NAN, "rotation");
    REFUSES(s.kernels[1] = "", "kernel");
}

static void test_refuses_bad_weights(void **state)
{
    (void)state;
    sample s;
    REFUSES(s.weights[0].layout = LAYOUT_COUNT, "layout");
    REFUSES(s.weights[0].n_sources = 4, "sources");
    REFUSES(s.weights[0].n_sources = 0, "sources");
    REFUSES(s.weights[0].bytes++, "size");
    REFUSES(s.weights[0].rows[0] = 2, "size"); // a vector of two rows is twice as long
    REFUSES(s.weights[1].plus_one = true, "plus_one");
    REFUSES(s.weights[1].cols = 65, "columns");
    REFUSES(s.weights[1].rows[0] = 40; s.weights[1].bytes = 5 * 2 * 288, "interleaved");
    REFUSES(s.weights[1].offset = 64, "overlaps");
    REFUSES(s.weights[2].offset += 4, "multiple of 64");
    REFUSES(s.weights[2].offset += 64, "outside");
    REFUSES(s.weights[2].offset = SIZE_MAX - 63, "outside");
    REFUSES(s.weights[2].sources[1] = NULL, "name");
}

static void test_plain_and_transposed_weights(void **state)
{
    (void)state;
    sample s;
    ACCEPTS(s.weights[1].transposed[0] = true);
    REFUSES(s.weights[0].transposed[0] = true, "transposed source of no matrix");
    REFUSES(s.weights[0].layout = LAYOUT_PLAIN, "size"); // its columns are bytes
    REFUSES(s.weights[0].layout = LAYOUT_PLAIN; s.weights[0].cols = (int64_t)s.weights[0].bytes, "plus_one");
    ACCEPTS(s.weights[0].layout = LAYOUT_PLAIN; s.weights[0].plus_one = false;
            s.weights[0].cols = (int64_t)s.weights[0].bytes);
}

// A function of two arguments and two results of 16 floats, of which the first result may have a donor.
typedef struct function_sample {
    program_area areas[FUNCTION_ARRAYS + 4];
    program_array arrays[4];
    program_buffer buffers[2];
    program_call call;
    program p;
} function_sample;

static void make_function_sample(function_sample *f)
{
    static const area_kind KINDS[] = {AREA_ARENA,    AREA_CONSTANTS, AREA_MATH,   AREA_FAULT, AREA_WEIGHTS,
                                      AREA_ARGUMENT, AREA_ARGUMENT,  AREA_RESULT, AREA_RESULT};
    static const char *const KERNEL[] = {"k"};
    *f = (function_sample){.arrays = {{ARRAY_F32, 0, 1, {{{16}}}}, {ARRAY_F32, 0, 1, {{{16}}}}}};
    f->arrays[2] = f->arrays[3] = f->arrays[0];
    f->arrays[2].donor = 1;
    for (int i = 0; i < FUNCTION_ARRAYS + 4; i++)
        f->areas[i] = (program_area){"a", KINDS[i], {{i < FUNCTION_ARRAYS ? 8 : 64}}};
    f->buffers[0] = (program_buffer){.area = FUNCTION_ARRAYS + 1, .bytes = {{64}}};
    f->buffers[1] = (program_buffer){.area = FUNCTION_ARRAYS + 2, .bytes = {{64}}, .written = true, .partly = true};
    f->call = (program_call){.label = "l",
                             .n_buffers = 2,
                             .buffers = f->buffers,
                             .tiles = {.a = {{1}}, .divisor = 1, .factor = 1},
                             .grain = 1};
    f->p = (program){.name = "f",
                     .n_dims = 1,
                     .dims = program_sequence_dims,
                     .n_areas = FUNCTION_ARRAYS + 4,
                     .areas = f->areas,
                     .n_arguments = 2,
                     .n_results = 2,
                     .arrays = f->arrays,
                     .n_kernels = 1,
                     .kernels = KERNEL,
                     .n_calls = 1,
                     .calls = &f->call};
}

#define DONOR(change, reason)                                                                                          \
    do {                                                                                                               \
        wf_error donor_err = {0};                                                                                      \
        make_function_sample(&f);                                                                                      \
        change;                                                                                                        \
        wf_status donor_status = program_check(&f.p, &donor_err);                                                      \
        const char *donor_reason = reason;                                                                             \
        assert_int_equal(donor_status, donor_reason ? WF_ERROR_FORMAT : WF_OK);                                        \
        if (donor_reason && !strstr(donor_err.message, donor_reason)) fail_msg("%s", donor_err.message);               \
    } while (0)

static void test_donors(void **state)
{
    (void)state;
    function_sample f;
    DONOR(, NULL);
    DONOR(f.arrays[2].donor = 3, "no argument");
    DONOR(f.arrays[1].donor = 1, "no argument");
    DONOR(f.arrays[2].type = ARRAY_I32, "another shape");
    DONOR(f.arrays[0].dims[0].c[0] = 15, "another shape");
    DONOR(f.arrays[3].donor = 1, "two results");
    DONOR(f.buffers[0].area = FUNCTION_ARRAYS, "reads a donor");
    buffer out = {0};
    program read;
    make_function_sample(&f);
    program_write(&f.p, &out);
    assert_int_equal(program_read(out.data, out.len, "f", &read, NULL), WF_OK);
    assert_int_equal(read.arrays[2].donor, 1);
    assert_int_equal(read.arrays[3].donor, 0);
    program_free(&read);
    buffer_free(&out);
}

static void test_refuses_bad_calls(void **state)
{
    (void)state;
    sample s;
    REFUSES(s.calls[1].kernel = 2, "call 1: no such kernel");
    REFUSES(s.calls[1].n_buffers = PROGRAM_MAX_BUFFERS + 1, "too many");
    REFUSES(s.calls[1].n_sizes = PROGRAM_MAX_SIZES + 1, "too many");
    REFUSES(s.sizes[1][0].c[DIM_ONE] = -1, "dimension");
    REFUSES(s.sizes[1][0].c[DIM_ONE] = (int64_t)1 << 48, "dimension");
    REFUSES(s.calls[1].flops.c[DIM_PAST] = -1, "flops");
    REFUSES(s.calls[1].pair_flops = -1, "flops");
    REFUSES(s.calls[1].pair_flops = INT64_MAX, "flops");
    REFUSES(s.calls[1].window = -1, "flops");
    REFUSES(s.calls[1].tiles.divisor = 0, "tiles");
    REFUSES(s.calls[1].tiles.factor = -1, "tiles");
    REFUSES(s.calls[1].tiles.when.max_tokens = -1, "condition");
    REFUSES(s.calls[1].tiles.when.min_past = -1, "condition");
    REFUSES(s.calls[1].tiles.when.max_tokens = 0, "condition");
    REFUSES(s.calls[1].tiles.factor = INT64_MAX, "tiles");
    REFUSES(s.buffers[0][0].area = BASE_COUNT, "area");
    REFUSES(s.buffers[0][0].written = true, "read-only");
    REFUSES(s.buffers[0][1].written = true, "read-only");
}

// Each of these is wrong at one kind of corner only.
static void test_refuses_buffers_outside(void **state)
{
    (void)state;
    sample s;
    REFUSES(s.buffers[0][2].offset = form(4, 0, 0, 0), "aligned");
    REFUSES(s.buffers[0][2].offset = form(0, 4, 0, 0), "aligned");
    REFUSES(s.buffers[2][2].offset = form(64, 0, 0, 0), "aligned");
    REFUSES(s.buffers[2][2].bytes.c[DIM_OUTPUTS]++, "call 2, buffer 2: lies outside");
    REFUSES(s.buffers[0][0].bytes.c[DIM_TOKENS]++, "outside");
    REFUSES(s.buffers[2][0].bytes.c[DIM_ONE] = 1, "outside"); // only when no outputs are wanted
    REFUSES(s.buffers[0][1].offset.c[DIM_ONE] += 512, "outside");
    REFUSES(s.buffers[1][0].bytes.c[DIM_CONTEXT]++, "outside");
    REFUSES(s.buffers[1][1].bytes.c[DIM_CONTEXT]++, "outside");
    REFUSES(s.buffers[1][1].bytes.c[DIM_PAST]++, "outside");        // only with a filled cache
    REFUSES(s.buffers[1][2].bytes = form(0, 128, 0, 0), "outside"); // only with fewer outputs than tokens
    REFUSES(s.buffers[0][2].bytes = form(0, 0, 0, 1), "outside");   // only with a context that is not full
    REFUSES(s.buffers[0][2].bytes = form(0, ((int64_t)1 << 48) - 1, 0, 0), "outside");
    // Aligned at every corner, inside at the first ones, and beyond int64_t at the largest.
    REFUSES(s.p.n_ctx_train = INT32_MAX; s.areas[BASE_ARENA].bytes = form(0, (int64_t)1 << 31, (int64_t)1 << 31, 0);
            s.buffers[0][2].bytes = form(0, 0, 0, 0);
            s.buffers[0][2].offset = (affine){.c = {[DIM_PAST] = (int64_t)1 << 47}}, "overflows");
    REFUSES(s.p.n_ctx_train = INT32_MAX; s.sizes[1][0].c[DIM_TOKENS] = ((int64_t)1 << 48) - 1, "dimension");
    REFUSES(s.p.n_ctx_train = INT32_MAX; s.areas[BASE_ARENA].bytes.c[DIM_TOKENS] = ((int64_t)1 << 48) - 1, "overflow");
}

// Random forms: what the corners accept must hold at random points inside.
static void test_corners_bound_the_inside(void **state)
{
    (void)state;
    sample s;
    make_sample(&s);
    s.areas[BASE_ARENA].bytes.c[DIM_PAIRS] = 100;
    uint32_t random = 7;
    int accepted = 0, refused = 0, with_pairs = 0;
    for (int i = 0; i < 20000; i++) {
        program_buffer *b = &s.buffers[0][2];
        for (int d = 0; d < DIM_COUNT; d++) {
            random = random * 1664525 + 1013904223;
            b->offset.c[d] = (random >> 28) < 3 ? 64 * (random >> 20 & 1) : 0;
            b->bytes.c[d] = (random >> 24 & 15) < 4 ? random >> 16 & 127 : 0;
        }
        if (program_check(&s.p, NULL) != WF_OK) {
            refused++;
            continue;
        }
        accepted++;
        with_pairs += b->offset.c[DIM_PAIRS] || b->bytes.c[DIM_PAIRS];
        for (int k = 0; k < 50; k++) {
            random = random * 1664525 + 1013904223;
            int64_t n_ctx = 64 * (1 + (random >> 8) % 16), n_tokens = 1 + (random >> 12) % n_ctx;
            int64_t dims[DIM_COUNT];
            program_dims(n_tokens, (random >> 4) % (n_ctx - n_tokens + 1), (random >> 16) % (n_tokens + 1), n_ctx,
                         dims);
            assert_true(affine_eval(&b->offset, dims) % 64 == 0);
            assert_true(affine_eval(&b->offset, dims) + affine_eval(&b->bytes, dims) <=
                        affine_eval(&s.areas[BASE_ARENA].bytes, dims));
        }
    }
    assert_true(accepted > 300 && refused > 300 && with_pairs > 100);
}

static affine pairs_form(int64_t one, int64_t tokens, int64_t outputs, int64_t context, int64_t pairs)
{
    affine a = form(one, tokens, outputs, context);
    a.c[DIM_PAIRS] = pairs;
    return a;
}

// A number for each token and position.
static void test_products(void **state)
{
    (void)state;
    sample s;
    ACCEPTS(s.areas[BASE_ARENA].bytes = pairs_form(0, 192, 128, 24, 36); s.buffers[1][2].offset = form(0, 192, 128, 0);
            s.buffers[1][2].bytes = pairs_form(0, 0, 0, 24, 36));
    REFUSES(s.areas[BASE_ARENA].bytes = pairs_form(0, 192, 128, 24, 36); s.buffers[1][2].offset = form(0, 192, 128, 0);
            s.buffers[1][2].bytes = pairs_form(0, 0, 0, 24, 37), "outside");
    REFUSES(s.buffers[1][1].bytes.c[DIM_PAIRS] = 1, "outside"); // no area but the arena has products
    // n^2 - 300 n + 15104, where all n positions are tokens, is at no corner below zero: n = 64 gives 0
    REFUSES(s.areas[BASE_ARENA].bytes = pairs_form(15104, 128, 128, 0, 1);
            s.buffers[1][2].bytes = form(0, 300, 0, 0), "outside");
    REFUSES(s.p.n_ctx_train = INT32_MAX; s.areas[BASE_ARENA].bytes.c[DIM_PAIRS] = 4, "overflow");
    REFUSES(s.p.n_ctx_train = INT32_MAX; s.sizes[1][0].c[DIM_PAIRS] = 4, "dimension");
}

static void write_sample(const sample *s, buffer *out)
{
    program_write(&s->p, out);
    assert_false(out->failed);
}

static void test_reads_what_it_wrote(void **state)
{
    (void)state;
    sample s;
    make_sample(&s);
    buffer first = {0}, second = {0};
    write_sample(&s, &first);
    program p;
    wf_error err = {0};
    if (program_read(first.data, first.len, "file", &p, &err) != WF_OK) fail_msg("%s", err.message);
    assert_string_equal(p.architecture, "llama");
    assert_int_equal(p.n_vocab, 1000);
    assert_int_equal(p.n_calls, N_CALLS);
    assert_string_equal(p.calls[1].label, "blk.0 attention");
    assert_int_equal(p.calls[1].buffers[1].offset.c[DIM_CONTEXT], 100);
    assert_int_equal(p.calls[1].tiles.factor, 5);
    assert_int_equal(p.calls[1].tiles.when.max_tokens, 8);
    assert_int_equal(p.calls[1].tiles.when.min_past, 256);
    assert_true(p.calls[1].tiles.when.otherwise && !p.calls[0].tiles.when.otherwise);
    assert_true(p.calls[0].buffers[2].written);
    assert_string_equal(p.weights[2].sources[2], "v");
    assert_true(p.weights[1].interleave && !p.weights[1].plus_one && p.weights[0].plus_one);
    assert_true(p.n_fusions == 1 && p.fusions[0].found == 3 && p.fusions[0].fused == 2);
    assert_string_equal(p.fusions[0].why, "1 weights of different types");
    assert_true(p.ropes[0].magnitude == 1.25 && p.ropes[0].inv_freq[3] == 0.125);
    program_write(&p, &second);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    program_free(&p);

    buffer_append(&first, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15); // padding, as a program image adds
    assert_int_equal(program_read(first.data, first.len, "file", &p, &err), WF_OK);
    program_free(&p);
    buffer_free(&first);
    buffer_free(&second);
}

// Reads a copy that ends exactly at its allocation, so that AddressSanitizer sees any byte read beyond it.
static wf_status read_copy(const char *data, size_t bytes, wf_error *err)
{
    char *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    program p;
    wf_status status = program_read(copy, bytes, "damaged.program", &p, err);
    if (status == WF_OK) {
        buffer table = {0};
        program_print(&p, &table);
        buffer_free(&table);
        program_free(&p);
    }
    free(copy);
    return status;
}

static void test_refuses_damaged_files(void **state)
{
    (void)state;
    sample s;
    make_sample(&s);
    buffer file = {0};
    write_sample(&s, &file);
    for (size_t len = 0; len < file.len; len++) {
        wf_error err = {0};
        assert_int_equal(read_copy(file.data, len, &err), WF_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "damaged.program: "));
    }
    int refused = 0;
    for (size_t at = 0; at < file.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            file.data[at] = (char)(file.data[at] ^ (1 << bit));
            wf_error err = {0};
            if (read_copy(file.data, file.len, &err) != WF_OK) {
                assert_non_null(strstr(err.message, "damaged.program: "));
                refused++;
            }
            file.data[at] = (char)(file.data[at] ^ (1 << bit));
        }
    }
    assert_true(refused > (int)file.len); // most bits matter; those of names, labels and flops may not
    buffer_append(&file, "\1", 1);
    assert_int_equal(read_copy(file.data, file.len, NULL), WF_ERROR_FORMAT);
    buffer_free(&file);
}

static void test_prints_a_table(void **state)
{
    (void)state;
    sample s;
    make_sample(&s);
    buffer out = {0};
    program_print(&s.p, &out);
    assert_false(out.failed);
    assert_non_null(strstr(out.data, "a small ? program (llama): 1 layers"));
    assert_non_null(strstr(out.data, "gate | up"));
    assert_non_null(strstr(out.data, "norm + 1"));
    assert_non_null(strstr(out.data, "5*ceil((2*n_tokens + 3)/4) if n_tokens > 8 or n_past < 256"));
    assert_non_null(strstr(out.data, "tokens, weights+128 -> arena+0\n"));
    assert_non_null(strstr(out.data, "rope+0 -> kv+100*n_ctx, arena+128*n_tokens\n"));
    // Operands begin in the same column in every line of the calls.
    const char *title = strstr(out.data, "operands"), *line = strstr(out.data, "tokens, weights+128");
    while (title[-1] != '\n') title--;
    const char *start = line;
    while (start[-1] != '\n') start--;
    assert_int_equal(strstr(title, "operands") - title, line - start);
    buffer_free(&out);
}

static void test_counts_work(void **state)
{
    (void)state;
    sample s;
    make_sample(&s);
    program_buffer buffers[4];
    program_call call = {.n_buffers = 4, .buffers = buffers, .flops = form(7, 9, 0, 0), .pair_flops = 12};
    buffers[0] = (program_buffer){BASE_KV, form(0, 0, 0, 0), form(0, 0, 0, 10), false, false};
    buffers[1] = (program_buffer){BASE_KV, form(0, 0, 0, 0), form(0, 0, 0, 100), true, false};
    buffers[2] = (program_buffer){BASE_WEIGHTS, form(0, 0, 0, 0), form(1000000, 0, 0, 0), false, false};
    buffers[3] = (program_buffer){BASE_ARENA, form(0, 0, 0, 0), form(0, 8, 0, 0), true, false};
    int64_t dims[DIM_COUNT];
    program_dims(3, 5, 0, 64, dims);
    // tokens attend to 6, 7 and 8 positions
    assert_true(program_call_flops(&call, dims) == 7 + 9 * 3 + 12 * (6 + 7 + 8));
    assert_true(program_call_bytes(&s.p, &call, dims) == 8 * 10 + 3 * 100 + 1000000 + 3 * 8);
    call.flops = form(0, 0, 0, 0);
    call.pair_flops = 0; // of the table in the pack it reads only what it writes
    assert_true(program_call_bytes(&s.p, &call, dims) == 3 * 10 + 5 * 10 + 3 * 100 + 3 * 8);
    call.flops = form(7, 9, 0, 0);
    call.pair_flops = 12;
    call.window = 4;
    assert_true(program_call_flops(&call, dims) == 7 + 9 * 3 + 12 * (4 + 4 + 4));
    assert_true(program_call_bytes(&s.p, &call, dims) == (4 + 3) * 10 + 3 * 100 + 1000000 + 3 * 8);
    buffers[3].bytes = (affine){.c = {[DIM_PAIRS] = 4}}; // for 3 tokens the positions that they attend to
    assert_true(program_call_bytes(&s.p, &call, dims) == (4 + 3) * 10 + 3 * 100 + 1000000 + 4 * 3 * (4 + 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evaluates_forms),
        cmocka_unit_test(test_prints_forms),
        cmocka_unit_test(test_weight_bytes),
        cmocka_unit_test(test_accepts_what_is_right),
        cmocka_unit_test(test_refuses_bad_facts),
        cmocka_unit_test(test_refuses_bad_weights),
        cmocka_unit_test(test_plain_and_transposed_weights),
        cmocka_unit_test(test_donors),
        cmocka_unit_test(test_refuses_bad_calls),
        cmocka_unit_test(test_refuses_buffers_outside),
        cmocka_unit_test(test_corners_bound_the_inside),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_reads_what_it_wrote),
        cmocka_unit_test(test_refuses_damaged_files),
        cmocka_unit_test(test_prints_a_table),
        cmocka_unit_test(test_counts_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
