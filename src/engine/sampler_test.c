// Each filter against its definition, computed in the most direct way: sort everything, then keep what the words say.
#include "engine/sampler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { VOCAB = 97, DRAWS = 4000 };

static const wf_sampler_options OPEN = {
    .repeat_penalty = 1, .repeat_last_n = 64, .top_p = 1, .temperature = 1, .seed = 1};

static sampler *create(const wf_sampler_options *options, int64_t n_vocab)
{
    sampler *s;
    wf_error err = {0};
    assert_int_equal(sampler_create(options, n_vocab, &s, &err), WF_OK);
    return s;
}

static int32_t pick(sampler *s, const float *logits)
{
    int32_t token;
    wf_error err = {0};
    assert_int_equal(sampler_pick(s, logits, &token, &err), WF_OK);
    return token;
}

// Values with many ties, in no order.
static void fill_logits(float *logits, int seed)
{
    for (int i = 0; i < VOCAB; i++) logits[i] = (float)((i * 37 + seed * 11) % 53) / 8.0f - 2.0f;
}

// ---- the definitions

typedef struct reference {
    double p[VOCAB]; // probability of each token; 0: filtered out
} reference;

// Token ids, likeliest first, ties by id: a selection sort.
static void sort_ids(const double *logits, int *ids)
{
    bool used[VOCAB] = {false};
    for (int n = 0; n < VOCAB; n++) {
        int best = -1;
        for (int i = 0; i < VOCAB; i++)
            if (!used[i] && (best < 0 || logits[i] > logits[best])) best = i;
        used[best] = true;
        ids[n] = best;
    }
}

static void softmax(const double *logits, const bool *kept, double temperature, double *p)
{
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < VOCAB; i++)
        if (kept[i] && logits[i] > max) max = logits[i];
    for (int i = 0; i < VOCAB; i++) sum += p[i] = kept[i] ? exp((logits[i] - max) / temperature) : 0;
    for (int i = 0; i < VOCAB; i++) p[i] /= sum;
}

static reference expect(const wf_sampler_options *o, const float *raw, const int32_t *recent, int n_recent)
{
    reference r;
    double logits[VOCAB], p[VOCAB];
    bool kept[VOCAB], seen[VOCAB] = {false};
    int ids[VOCAB];
    for (int i = 0; i < n_recent; i++) seen[recent[i]] = true;
    for (int i = 0; i < VOCAB; i++) {
        kept[i] = true;
        logits[i] = raw[i];
        if (seen[i]) logits[i] = (float)(raw[i] > 0 ? raw[i] / o->repeat_penalty : raw[i] * o->repeat_penalty);
    }
    sort_ids(logits, ids);
    if (o->top_k > 0)
        for (int64_t n = o->top_k; n < VOCAB; n++) kept[ids[n]] = false;
    if (o->top_p < 1) {
        softmax(logits, kept, 1, p);
        double sum = 0;
        for (int n = 0; n < VOCAB; n++) {
            if (n > 0 && sum >= o->top_p) kept[ids[n]] = false;
            sum += p[ids[n]];
        }
    }
    softmax(logits, kept, 1, p);
    for (int i = 0; i < VOCAB; i++)
        if (p[i] < o->min_p * p[ids[0]]) kept[i] = false;
    softmax(logits, kept, o->temperature, r.p);
    return r;
}

// Only tokens that the definition keeps are drawn, and each about as often as it should be (5 standard deviations).
static void check_distribution(const wf_sampler_options *o, const int32_t *recent, int n_recent)
{
    for (int seed = 0; seed < 3; seed++) {
        float logits[VOCAB];
        int counts[VOCAB] = {0};
        fill_logits(logits, seed);
        reference r = expect(o, logits, recent, n_recent);
        sampler *s = create(o, VOCAB);
        for (int i = 0; i < n_recent; i++) sampler_accept(s, recent[i]);
        for (int i = 0; i < DRAWS; i++) {
            counts[pick(s, logits)]++;
            sampler_accept(s, -1); // the next position; the penalty does not see it
        }
        for (int i = 0; i < VOCAB; i++) {
            double deviation = sqrt((double)DRAWS * r.p[i] * (1 - r.p[i]));
            if (r.p[i] == 0) assert_int_equal(counts[i], 0);
            assert_true(fabs(counts[i] - (double)DRAWS * r.p[i]) <= 5 * deviation + 1e-9);
        }
        sampler_free(s);
    }
}

// ---- tests

static void no_filter(void **state)
{
    (void)state;
    check_distribution(&OPEN, NULL, 0);
}

static void top_k(void **state)
{
    (void)state;
    static const int64_t values[] = {1, 2, 5, 40, 96, 97, 1000};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        wf_sampler_options o = OPEN;
        o.top_k = values[i];
        check_distribution(&o, NULL, 0);
    }
}

static void top_p(void **state)
{
    (void)state;
    static const double values[] = {0, 0.01, 0.3, 0.5, 0.9, 0.999};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        wf_sampler_options o = OPEN;
        o.top_p = values[i];
        check_distribution(&o, NULL, 0);
        o.top_k = 10; // the probabilities are then among ten
        check_distribution(&o, NULL, 0);
    }
}

static void min_p(void **state)
{
    (void)state;
    static const double values[] = {0.001, 0.05, 0.4, 1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        wf_sampler_options o = OPEN;
        o.min_p = values[i];
        check_distribution(&o, NULL, 0);
        o.top_k = 20;
        check_distribution(&o, NULL, 0);
    }
}

static void temperature(void **state)
{
    (void)state;
    static const double values[] = {0.1, 0.8, 2, 100};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        wf_sampler_options o = OPEN;
        o.temperature = values[i];
        check_distribution(&o, NULL, 0);
    }
}

static void all_filters(void **state)
{
    (void)state;
    static const int32_t recent[] = {3, 10, 3, 96, 0, 51, 22};
    wf_sampler_options o = sampler_defaults();
    o.seed = 5;
    check_distribution(&o, NULL, 0);
    o.repeat_penalty = 1.7;
    check_distribution(&o, recent, sizeof recent / sizeof *recent);
    o.min_p = 0;
    o.top_k = 0;
    check_distribution(&o, recent, sizeof recent / sizeof *recent);
}

static void penalty_looks_at_the_last_tokens(void **state)
{
    (void)state;
    wf_sampler_options o = OPEN;
    o.temperature = 0;
    o.repeat_penalty = 2;
    o.repeat_last_n = 2;
    const float logits[] = {4, 3, -1, 3};
    sampler *s = create(&o, 4);
    assert_int_equal(pick(s, logits), 0);
    sampler_accept(s, 0);
    assert_int_equal(pick(s, logits), 1); // 2 3 -1 3
    sampler_accept(s, 1);
    assert_int_equal(pick(s, logits), 3); // 2 1.5 -1 3
    sampler_accept(s, 3);
    assert_int_equal(pick(s, logits), 0); // 0 is forgotten: 4 1.5 -1 1.5
    sampler_accept(s, -1);                // ids outside the vocabulary do not count
    sampler_accept(s, 4);
    assert_int_equal(pick(s, logits), 0);
    sampler_forget(s);
    sampler_accept(s, 0);
    assert_int_equal(pick(s, logits), 1);
    sampler_free(s);

    const float negative[] = {-1, -1.5f};
    s = create(&o, 2);
    sampler_accept(s, 0);
    sampler_accept(s, 0);
    assert_int_equal(pick(s, negative), 1); // -2 and not -4 or -0.5, against -1.5
    sampler_free(s);
    const float nearly[] = {-1, -2.5f};
    s = create(&o, 2);
    sampler_accept(s, 0);
    sampler_accept(s, 0); // twice in the window counts once
    assert_int_equal(pick(s, nearly), 0);
    sampler_free(s);
}

static void greedy_takes_the_lowest_of_equals(void **state)
{
    (void)state;
    wf_sampler_options o = sampler_defaults();
    o.temperature = 0;
    const float logits[] = {-INFINITY, 2, 7, 7, 1, 7};
    sampler *s = create(&o, 6);
    for (int i = 0; i < 10; i++) assert_int_equal(pick(s, logits), 2);
    sampler_free(s);
    o.temperature = 0.5;
    o.top_k = 1;
    s = create(&o, 6);
    for (int i = 0; i < 10; i++) assert_int_equal(pick(s, logits), 2);
    sampler_free(s);
}

static void a_seed_repeats(void **state)
{
    (void)state;
    float logits[VOCAB];
    fill_logits(logits, 4);
    wf_sampler_options o = OPEN;
    o.seed = 42;
    sampler *a = create(&o, VOCAB), *b = create(&o, VOCAB);
    o.seed = 43;
    sampler *c = create(&o, VOCAB);
    int differences = 0;
    for (int i = 0; i < 50; i++) {
        int32_t token = pick(a, logits);
        assert_int_equal(token, pick(b, logits));
        differences += token != pick(c, logits);
        assert_int_equal(token, pick(a, logits)); // the same position, the same number
        sampler_accept(a, -1);
        sampler_accept(b, -1);
        sampler_accept(c, -1);
    }
    // The number belongs to the position, not to what was drawn before.
    sampler_forget(a);
    sampler_forget(b);
    pick(b, logits);
    for (int i = 0; i < 50; i++) {
        sampler_accept(a, -1);
        sampler_accept(b, -1);
        if (i % 3 == 0) pick(b, logits);
    }
    assert_int_equal(pick(a, logits), pick(b, logits));
    assert_true(differences > 25);
    assert_int_equal(sampler_seed(a), 42);
    sampler_free(a);
    sampler_free(b);
    sampler_free(c);

    o.seed = WF_SEED_RANDOM;
    a = create(&o, VOCAB);
    b = create(&o, VOCAB);
    assert_true(sampler_seed(a) != WF_SEED_RANDOM);
    assert_true(sampler_seed(a) != sampler_seed(b)); // fails once in 4 thousand million runs
    sampler_free(a);
    sampler_free(b);
}

static void bad_logits_are_errors(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY};
    for (int at = 0; at < 3; at++) {
        for (int i = 0; i < 2; i++) {
            float logits[] = {1, 2, 3};
            logits[at] = values[i];
            wf_sampler_options o = sampler_defaults();
            for (int greedy = 0; greedy < 2; greedy++) {
                o.temperature = greedy ? 0 : 1;
                sampler *s = create(&o, 3);
                int32_t token;
                wf_error err = {0};
                assert_int_equal(sampler_pick(s, logits, &token, &err), WF_ERROR_FORMAT);
                assert_non_null(strstr(err.message, i ? "infinity" : "NaN"));
                sampler_free(s);
            }
        }
    }
    const float nothing[] = {-INFINITY, -INFINITY};
    wf_sampler_options o = sampler_defaults();
    sampler *s = create(&o, 2);
    assert_int_equal(sampler_pick(s, nothing, &(int32_t){0}, NULL), WF_ERROR_FORMAT);
    const float one[] = {-INFINITY, -3};
    for (int i = 0; i < 10; i++) assert_int_equal(pick(s, one), 1);
    sampler_free(s);
}

static void options_are_checked(void **state)
{
    (void)state;
    wf_sampler_options bad[14];
    int n = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) bad[i] = sampler_defaults();
    bad[n++].repeat_penalty = 0;
    bad[n++].repeat_penalty = -1;
    bad[n++].repeat_penalty = NAN;
    bad[n++].repeat_last_n = -1;
    bad[n++].top_k = -1;
    bad[n++].top_p = -0.1;
    bad[n++].top_p = 1.1;
    bad[n++].top_p = NAN;
    bad[n++].min_p = 1.1;
    bad[n++].min_p = NAN;
    bad[n++].temperature = -1;
    bad[n++].temperature = NAN;
    bad[n++].temperature = INFINITY;
    bad[n++].repeat_last_n = INT64_MAX;
    for (int i = 0; i < n; i++) {
        sampler *s;
        assert_int_equal(sampler_create(&bad[i], VOCAB, &s, NULL), WF_ERROR_USAGE);
        assert_null(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_filter),
        cmocka_unit_test(top_k),
        cmocka_unit_test(top_p),
        cmocka_unit_test(min_p),
        cmocka_unit_test(temperature),
        cmocka_unit_test(all_filters),
        cmocka_unit_test(penalty_looks_at_the_last_tokens),
        cmocka_unit_test(greedy_takes_the_lowest_of_equals),
        cmocka_unit_test(a_seed_repeats),
        cmocka_unit_test(bad_logits_are_errors),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
