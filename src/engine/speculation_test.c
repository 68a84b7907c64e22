// Speculation on a model whose every logit depends on all that came before (fake_model.h): the same tokens and logits as
// without it, the cache holding just the sequence, and guesses that come true.
#include "engine/speculation.h"

#include "engine/fake_model.h"
#include "engine/sampler.h"

enum { N_VOCAB = FAKE_VOCAB, N_MAX = 200, N_PROMPT = 24 };

static fake_model fake;
static session *s;
static speculation *a;

// Every evaluation takes a second, whatever its rows.
static double tick(void)
{
    static double now;
    return now += 1;
}

static int set_up(void **state)
{
    (void)state;
    fake_model_create(&fake, 1);
    assert_int_equal(session_create(&fake.m, fake.pool, 0, 40, &s, NULL), WF_OK);
    assert_int_equal(speculation_create(s, tick, &a, NULL), WF_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    speculation_free(a);
    session_free(s);
    fake_model_free(&fake);
    return 0;
}

static sampler *create_sampler(double temperature, double penalty)
{
    wf_sampler_options options = sampler_defaults();
    options.temperature = temperature;
    options.repeat_penalty = penalty;
    options.seed = 11;
    sampler *choose;
    assert_int_equal(sampler_create(&options, N_VOCAB, &choose, NULL), WF_OK);
    return choose;
}

static void begin(const int32_t *prompt, sampler *choose)
{
    assert_int_equal(session_truncate(s, 0, NULL), WF_OK);
    assert_int_equal(session_eval(s, prompt, N_PROMPT, N_PROMPT - 1, NULL), WF_OK);
    sampler_forget(choose);
    for (int i = 0; i < N_PROMPT; i++) sampler_accept(choose, prompt[i]);
}

static int32_t pick(sampler *choose, const float *logits)
{
    int32_t token;
    assert_non_null(logits);
    assert_int_equal(sampler_pick(choose, logits, &token, NULL), WF_OK);
    sampler_accept(choose, token);
    return token;
}

static speculation_counts compare(const int32_t *prompt, sampler *choose, int n)
{
    int32_t expected[N_MAX];
    begin(prompt, choose);
    for (int i = 0; i < n; i++) {
        expected[i] = pick(choose, session_logits(s, 0));
        if (i + 1 < n) assert_int_equal(session_eval(s, &expected[i], 1, 0, NULL), WF_OK);
    }
    begin(prompt, choose);
    assert_int_equal(speculation_begin(a, NULL), WF_OK);
    int32_t told[N_PROMPT + N_MAX];
    memcpy(told, prompt, sizeof(int32_t) * N_PROMPT);
    for (int i = 0; i < n; i++) {
        for (int v = 0; v < N_VOCAB; v += 50)
            assert_true(speculation_logits(a)[v] == fake_expected(&fake, told, N_PROMPT + i, v));
        told[N_PROMPT + i] = pick(choose, speculation_logits(a));
        assert_int_equal(told[N_PROMPT + i], expected[i]);
        if (i + 1 == n) break;
        assert_true(speculation_has_room(a));
        assert_int_equal(speculation_step(a, expected[i], n - 1 - i, NULL), WF_OK);
        assert_true(session_past(s) <= N_PROMPT + n - 1); // nothing is guessed that nobody wants
    }
    speculation_counts counts = speculation_count(a);
    assert_int_equal(speculation_end(a, NULL), WF_OK);
    assert_int_equal(session_past(s), N_PROMPT + n - 1);
    assert_int_equal(session_common_prefix(s, told, N_PROMPT + n - 1), N_PROMPT + n - 1);
    return counts;
}

static void nothing_changes(void **state)
{
    (void)state;
    static const double temperatures[] = {0, 0.2, 1.5};
    srand(3);
    int64_t n_right = 0, n_wrong = 0;
    for (int round = 0; round < 60; round++) {
        int32_t prompt[N_PROMPT];
        for (int i = 0; i < N_PROMPT; i++) prompt[i] = rand() % 6;
        // The model says again what it said `period` before, with noise in between.
        int period = 3 + rand() % 15;
        for (int i = 0; i < FAKE_CAPACITY; i++)
            fake.script[i] = rand() % 12 == 0 ? FAKE_NOISE : i < period + 8 ? rand() % 6 : fake.script[i - period];
        sampler *choose = create_sampler(temperatures[round % 3], round % 4 ? 1 : 1.1);
        speculation_counts counts = compare(prompt, choose, 1 + rand() % N_MAX);
        n_right += counts.n_right;
        n_wrong += counts.n_guesses - counts.n_right;
        sampler_free(choose);
    }
    assert_true(n_right > 200 && n_wrong > 20); // both happened
}

static double draft_tick(void)
{
    static double now;
    return now += 0.1;
}

// A smaller model that mostly says what the larger one does: the same answer, in fewer evaluations.
static void drafts_change_nothing(void **state)
{
    (void)state;
    static fake_model small;
    drafter *d;
    fake_model_create(&small, 1);
    assert_int_equal(drafter_create(&small.m, small.pool, FAKE_CTX, draft_tick, &d, NULL), WF_OK);
    speculation_set_drafter(a, d);
    srand(9);
    int64_t n_right = 0, n_wrong = 0, n_evaluations = 0, n_tokens = 0;
    for (int round = 0; round < 40; round++) {
        int32_t prompt[N_PROMPT];
        for (int i = 0; i < N_PROMPT; i++) prompt[i] = rand() % N_VOCAB;
        for (int i = 0; i < FAKE_CAPACITY; i++) {
            fake.script[i] = rand() % 20 == 0 ? FAKE_NOISE : rand() % N_VOCAB; // nothing to look up
            small.script[i] = rand() % 8 == 0 ? rand() % N_VOCAB : fake.script[i];
        }
        sampler *choose = create_sampler(round % 3 ? 0 : 0.8, 1);
        int n = 1 + rand() % N_MAX;
        speculation_counts counts = compare(prompt, choose, n);
        n_right += counts.n_right;
        n_wrong += counts.n_guesses - counts.n_right;
        n_evaluations += counts.n_evaluations;
        n_tokens += n;
        sampler_free(choose);
    }
    assert_true(n_right > n_tokens / 2 && n_wrong > 20);
    assert_true(n_evaluations < n_tokens / 2);
    speculation_set_drafter(a, NULL);
    fake_model_free(&small);
}

// One that never is right costs a try now and then.
static void drafts_that_do_not_pay(void **state)
{
    (void)state;
    static fake_model small;
    drafter *d;
    int32_t prompt[N_PROMPT] = {1, 2, 3};
    fake_model_create(&small, 1);
    assert_int_equal(drafter_create(&small.m, small.pool, FAKE_CTX / 2, draft_tick, &d, NULL), WF_OK);
    speculation_set_drafter(a, d);
    srand(10);
    for (int i = 0; i < FAKE_CAPACITY; i++) fake.script[i] = rand() % 100, small.script[i] = 100 + rand() % 100;
    sampler *choose = create_sampler(0, 1);
    int64_t n_guesses = 0;
    for (int i = 0; i < 4; i++) {
        speculation_counts counts = compare(prompt, choose, N_MAX);
        assert_int_equal(counts.n_right, 0);
        n_guesses = counts.n_guesses;
    }
    assert_true(n_guesses < N_MAX / 10);
    sampler_free(choose);
    speculation_set_drafter(a, NULL);
    fake_model_free(&small);
}

static void fills_the_context(void **state)
{
    (void)state;
    int32_t prompt[N_PROMPT] = {1, 2, 3};
    for (int i = 0; i < FAKE_CAPACITY; i++) fake.script[i] = i % 4;
    sampler *choose = create_sampler(0, 1);
    begin(prompt, choose);
    assert_int_equal(speculation_begin(a, NULL), WF_OK);
    int n = N_PROMPT;
    while (speculation_has_room(a)) {
        assert_int_equal(speculation_step(a, pick(choose, speculation_logits(a)), INT64_MAX, NULL), WF_OK);
        n++;
    }
    assert_int_equal(n, FAKE_CTX);
    assert_true(speculation_count(a).n_right > FAKE_CTX / 2);
    assert_int_equal(speculation_end(a, NULL), WF_OK);
    assert_int_equal(session_past(s), FAKE_CTX);
    sampler_free(choose);
}

static void an_error_leaves_the_sequence(void **state)
{
    (void)state;
    int32_t prompt[N_PROMPT] = {1, 2, 3};
    sampler *choose = create_sampler(0, 1);
    begin(prompt, choose);
    assert_int_equal(speculation_begin(a, NULL), WF_OK);
    assert_int_equal(speculation_step(a, 5, 9, NULL), WF_OK);
    assert_int_equal(speculation_step(a, FAKE_VOCAB, 9, NULL), WF_ERROR_USAGE);
    assert_int_equal(speculation_end(a, NULL), WF_OK);
    assert_int_equal(session_past(s), N_PROMPT + 1);
    sampler_free(choose);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(drafts_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(drafts_that_do_not_pay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fills_the_context, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_leaves_the_sequence, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
