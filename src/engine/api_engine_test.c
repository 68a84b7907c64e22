// Engines by the public interface, on the fake model (fake_model.h): requests from many threads, with and without the
// engine's own; those that are cancelled, freed early, never waited for; what is refused.
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "engine/fake_vocabulary.h"
#include "engine/model.h"
#include "welford.h"

enum { N_CTX = 200, N_THREADS = 4, N_REQUESTS = 12, N_PROMPT = 90 };

static fake_model fake;
static test_vocabulary vocabulary;
static wf_model m;
static wf_engine *e;

static int set_up_engine(const wf_engine_options *options)
{
    fake_model_create(&fake, 2);
    m = (wf_model){.pool = fake.pool, .compiled = &fake.m, .loaded = true};
    m.t = fake_open_tokenizer(&fake, &vocabulary);
    fake.m.sizes = (model_sizes){FAKE_VOCAB, FAKE_CTX, fake.m.executable.program.kv};
    wf_error err = {0};
    if (wf_engine_create(&m, options, &e, &err) != WF_OK) fail_msg("%s", err.message);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_engine(
        &(wf_engine_options){.n_ctx = N_CTX, .n_sequences = 5, .n_batch = 32, .cache_bytes = 12 * 8192});
}

static int tear_down(void **state)
{
    (void)state;
    wf_engine_free(e);
    tokenizer_free(m.t);
    fake_model_free(&fake);
    free_vocabulary(&vocabulary);
    return 0;
}

// ---- from many threads

typedef struct task {
    wf_request *request;
    int32_t prompt[N_PROMPT], answer[N_CTX];
    int n_answer, n_calls_at_end, stop_at; // stop_at: the callback frees or cancels its own request; 0: never
    bool frees, freed;
    wf_finish finish;
} task;

static bool listen(void *context, const wf_piece *piece)
{
    task *t = context;
    assert_false(t->freed);
    if (piece->finished) {
        t->n_calls_at_end++;
        t->finish = piece->finished->finish;
        return true;
    }
    t->answer[t->n_answer++] = piece->token;
    if (t->n_answer != t->stop_at) return true;
    if (t->frees) {
        t->freed = true;
        wf_request_free(t->request);
    } else {
        wf_request_cancel(t->request);
    }
    return true;
}

static int32_t likeliest(const int32_t *tokens, int64_t n)
{
    int32_t best = 0;
    for (int32_t v = 1; v < N_TOKENS; v++)
        if (fake_expected(&fake, tokens, n, v) > fake_expected(&fake, tokens, n, best)) best = v;
    return best;
}

// What there is of a greedy answer.
static void check_answer(const task *t)
{
    int32_t tokens[N_CTX + 1];
    memcpy(tokens, t->prompt, sizeof t->prompt);
    for (int i = 0; i < t->n_answer; i++) {
        assert_int_equal(t->answer[i], likeliest(tokens, N_PROMPT + i));
        tokens[N_PROMPT + i] = t->answer[i];
    }
    if (!t->freed && t->finish == WF_FINISH_STOP) assert_int_equal(likeliest(tokens, N_PROMPT + t->n_answer), IM_END);
}

static void submit(task *t, int seed)
{
    wf_sampler_options greedy = wf_sampler_defaults();
    greedy.temperature = 0;
    wf_error err = {0};
    for (int i = 0; i < N_PROMPT; i++) t->prompt[i] = i < 64 ? i : i * seed % 250;
    const wf_request_options options = {
        .prompt = t->prompt, .n_prompt = N_PROMPT, .sampler = &greedy, .n_max = 20, .callback = listen, .context = t};
    if (wf_engine_submit(e, &options, &t->request, &err) != WF_OK) fail_msg("%s", err.message);
}

static void *user(void *context)
{
    task *tasks = context;
    for (int i = 0; i < N_REQUESTS; i++) {
        tasks[i].stop_at = i % 4 == 1 ? 3 : 0;
        tasks[i].frees = i % 8 == 1;
        submit(&tasks[i], 1 + i);
        if (i % 4 == 2) wf_request_cancel(tasks[i].request);
        if (i % 4 == 3) { // at once
            wf_request_free(tasks[i].request);
            tasks[i].freed = true;
        }
    }
    for (int i = 0; i < N_REQUESTS; i++) {
        if (i % 4 == 3 || tasks[i].frees) continue;
        wf_generation result;
        wf_error err = {0};
        assert_int_equal(wf_request_wait(tasks[i].request, &result, &err), WF_OK);
        assert_int_equal(result.n_generated, tasks[i].n_answer);
        assert_int_equal(result.finish, tasks[i].finish);
        assert_int_equal(tasks[i].n_calls_at_end, 1);
        if (i % 4 == 0) assert_true(result.finish == WF_FINISH_LENGTH || result.finish == WF_FINISH_STOP);
        wf_request_free(tasks[i].request);
    }
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    static task tasks[N_THREADS][N_REQUESTS];
    pthread_t threads[N_THREADS];
    memset(tasks, 0, sizeof tasks);
    assert_int_equal(wf_engine_start(e, NULL), WF_OK);
    assert_int_equal(wf_engine_step(e, NULL, NULL), WF_ERROR_USAGE);
    for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, user, tasks[i]), 0);
    wf_engine_stop(e); // and on, with what there is
    assert_int_equal(wf_engine_start(e, NULL), WF_OK);
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
    wf_engine_stop(e);
    bool idle = false;
    while (!idle) assert_int_equal(wf_engine_step(e, &idle, NULL), WF_OK);
    wf_engine_counts counts = wf_engine_count(e);
    assert_int_equal(counts.n_waiting + counts.n_running, 0);
    assert_int_equal(counts.n_finished, N_THREADS * N_REQUESTS);
    assert_int_equal(counts.n_blocks_used, 0);
    assert_true(counts.n_reused > 0 && counts.n_generated > 0 && counts.n_steps > 0);
    for (int i = 0; i < N_THREADS; i++)
        for (int k = 0; k < N_REQUESTS; k++) check_answer(&tasks[i][k]);
}

// ---- on one

static void steps_without_a_thread(void **state)
{
    (void)state;
    static task t;
    t = (task){0};
    bool idle = false;
    int n_steps = 0;
    submit(&t, 7);
    assert_int_equal(wf_engine_count(e).n_waiting, 1);
    while (!idle) assert_int_equal(wf_engine_step(e, &idle, NULL), WF_OK), n_steps++;
    assert_true(n_steps > 3);
    check_answer(&t);
    wf_generation result;
    assert_int_equal(wf_request_wait(t.request, &result, NULL), WF_OK);
    assert_int_equal(result.n_prompt, N_PROMPT);
    assert_int_equal(result.n_reused, 0);
    assert_true(result.queued_seconds >= 0 && result.prefill_seconds > 0);
    wf_request_free(t.request);
    submit(&t, 8);
    wf_engine_step(e, NULL, NULL);
    wf_engine_free(e); // what is left of the request is its result
    e = NULL;
    assert_int_equal(wf_request_wait(t.request, &result, NULL), WF_OK);
    assert_int_equal(result.finish, WF_FINISH_CALLBACK);
    assert_int_equal(result.n_reused, 64);
    wf_request_cancel(t.request);
    wf_request_free(t.request);
}

static void refuses(const wf_request_options *options, wf_status status, const char *part)
{
    wf_request *r;
    wf_error err = {0};
    assert_int_equal(wf_engine_submit(e, options, &r, &err), status);
    assert_null(r);
    if (!strstr(err.message, part)) fail_msg("\"%s\" instead of \"%s\"", err.message, part);
    bool idle;
    assert_int_equal(wf_engine_step(e, &idle, NULL), WF_OK);
    assert_true(idle);
}

static void what_is_refused(void **state)
{
    (void)state;
    static int32_t prompt[N_CTX + 1];
    const char *const stops[] = {"a", ""};
    wf_sampler_options bad = wf_sampler_defaults();
    bad.temperature = -1;
    refuses(&(wf_request_options){.prompt = prompt}, WF_ERROR_USAGE, "the prompt is empty");
    refuses(&(wf_request_options){.prompt = prompt, .n_prompt = N_CTX + 1}, WF_ERROR_LIMIT, "room for 200");
    refuses(&(wf_request_options){.prompt = (int32_t[]){1, -5}, .n_prompt = 2}, WF_ERROR_USAGE, "token -5 at index 1");
    refuses(&(wf_request_options){.prompt = prompt, .n_prompt = 1, .stops = stops, .n_stops = 2}, WF_ERROR_USAGE,
            "stop 1 is empty");
    refuses(&(wf_request_options){.prompt = prompt, .n_prompt = 1, .sampler = &bad}, WF_ERROR_USAGE, "temperature");
    refuses(&(wf_request_options){.prompt = prompt, .n_prompt = 1, .n_top = 21}, WF_ERROR_USAGE, "21 likeliest");

    wf_error err = {0};
    assert_int_equal(wf_engine_check(&m, &(wf_engine_options){.n_ctx = FAKE_CTX + 1}, &err), WF_ERROR_USAGE);
    assert_int_equal(wf_engine_check(&m, &(wf_engine_options){.cache_bytes = 100}, &err), WF_ERROR_USAGE);
    assert_string_equal(err.message, "a cache of 100 bytes: keys and values of 64 tokens take 8192");
    assert_int_equal(wf_engine_check(&m, &(wf_engine_options){.cache_bytes = 8192, .n_ctx = 65}, &err), WF_ERROR_USAGE);
    assert_int_equal(wf_engine_check(&m, &(wf_engine_options){.n_sequences = -1}, &err), WF_ERROR_USAGE);
    assert_int_equal(wf_engine_check(&m, &(wf_engine_options){.n_batch = -1}, &err), WF_ERROR_USAGE);
    assert_int_equal(wf_engine_check(&m, NULL, &err), WF_OK);
    wf_engine_free(NULL);
    wf_request_free(NULL);
}

// A prompt alone, an answer that fills the context, text that ends before a stop.
static void ends(void **state)
{
    (void)state;
    static int32_t prompt[N_CTX];
    wf_sampler_options greedy = wf_sampler_defaults();
    greedy.temperature = 0;
    const char *const stops[] = {"world", "zzz"};
    static const char SAYS[] = "hello world";
    for (int i = 0; i < FAKE_CAPACITY; i++) fake.script[i] = (unsigned char)SAYS[i % (int)(sizeof SAYS - 1)];
    const wf_request_options cases[] = {
        {.prompt = prompt, .n_prompt = N_CTX, .sampler = &greedy},
        {.prompt = prompt, .n_prompt = 11, .sampler = &greedy, .n_max = -1},
        {.prompt = prompt, .n_prompt = 11, .sampler = &greedy, .stops = stops, .n_stops = 2},
        {.prompt = prompt, .n_prompt = 150, .sampler = &greedy},
    };
    static const wf_finish finish[] = {WF_FINISH_LENGTH, WF_FINISH_LENGTH, WF_FINISH_STOP, WF_FINISH_LENGTH};
    static const int64_t n_generated[] = {1, 0, 12, 51};
    for (size_t i = 0; i < 4; i++) {
        wf_request *r;
        wf_generation result;
        bool idle = false;
        assert_int_equal(wf_engine_submit(e, &cases[i], &r, NULL), WF_OK);
        while (!idle) wf_engine_step(e, &idle, NULL);
        assert_int_equal(wf_request_wait(r, &result, NULL), WF_OK);
        assert_int_equal(result.finish, finish[i]);
        assert_int_equal(result.n_generated, n_generated[i]);
        wf_request_free(r);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(many_threads),
        TEST(steps_without_a_thread),
        TEST(what_is_refused),
        TEST(ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
