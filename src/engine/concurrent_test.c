// Threads that share nothing but the process: they open models and functions on an empty cache, compile them at the
// same time, some of them the same one, and compute. ThreadSanitizer watches this test (make tsan-test).
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/session.h"
#include "runtime/function.h"

enum { N_THREADS = 4, N_TOKENS = 5 };

static pthread_barrier_t start; // all at once

typedef struct model_task {
    char path[PATH_MAX];
    wf_status status;
    wf_error err;
    bool cached;
    float logits[8];
} model_task;

static wf_status evaluate(const compiled_model *m, thread_pool *pool, float logits[8], wf_error *err)
{
    static const int32_t tokens[N_TOKENS] = {1, 5, 3, 2, 4};
    session *s;
    TRY(session_create(m, pool, 0, 0, &s, err));
    wf_status status = session_eval(s, tokens, N_TOKENS, N_TOKENS - 1, err);
    if (status == WF_OK) memcpy(logits, session_logits(s, 0), 8 * sizeof *logits);
    session_free(s);
    return status;
}

static wf_status run_model(model_task *t, wf_error *err)
{
    thread_pool *pool;
    compiled_model *m = NULL;
    TRY(thread_pool_create(2, &pool, err));
    pthread_barrier_wait(&start);
    wf_status status = compiled_model_open(t->path, &(wf_model_options){0}, &m, err);
    if (status == WF_OK) status = compiled_model_load(m, pool, err);
    if (status == WF_OK) status = evaluate(m, pool, t->logits, err);
    if (status == WF_OK) t->cached = m->program_cached;
    if (m) compiled_model_close(m);
    thread_pool_free(pool);
    return status;
}

static void *model_body(void *task)
{
    model_task *t = task;
    t->status = run_model(t, &t->err);
    return NULL;
}

static void run_models(model_task tasks[N_THREADS])
{
    static const char *const NAMES[N_THREADS] = {"llama", "qwen3", "llama", "gemma3"};
    pthread_t threads[N_THREADS];
    assert_int_equal(pthread_barrier_init(&start, NULL, N_THREADS), 0);
    for (int i = 0; i < N_THREADS; i++) {
        snprintf(tasks[i].path, PATH_MAX, "%s/test/data/tiny/%s", getenv("WELFORD_SOURCE"), NAMES[i]);
        assert_int_equal(pthread_create(&threads[i], NULL, model_body, &tasks[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < N_THREADS; i++)
        if (tasks[i].status != WF_OK) fail_msg("%s: %s", NAMES[i], tasks[i].err.message);
}

// What they make is what a thread alone makes, and what the cache then holds.
static void test_models(void **state)
{
    (void)state;
    static model_task cold[N_THREADS], warm[N_THREADS];
    run_models(cold);
    run_models(warm);
    for (int i = 0; i < N_THREADS; i++) {
        assert_true(warm[i].cached);
        assert_memory_equal(cold[i].logits, warm[i].logits, sizeof cold[i].logits);
    }
    assert_memory_equal(cold[0].logits, cold[2].logits, sizeof cold[0].logits);
    assert_memory_not_equal(cold[0].logits, cold[1].logits, sizeof cold[0].logits);
}

// ---- functions

static const char *const GRAPHS[] = {
    "func.func @main(%a: tensor<4x8xf32>) -> tensor<4x8xf32> {\n"
    "  %0 = tosa.exp %a : (tensor<4x8xf32>) -> tensor<4x8xf32>\n  return %0 : tensor<4x8xf32>\n}\n",
    "func.func @main(%a: tensor<4x8xf32>) -> tensor<4x8xf32> {\n"
    "  %0 = tosa.add %a, %a : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>\n"
    "  return %0 : tensor<4x8xf32>\n}\n",
};

typedef struct function_task {
    const char *text;
    wf_status status;
    wf_error err;
    float out[32];
} function_task;

static wf_status run_function(function_task *t, wf_error *err)
{
    static const array_shape SHAPE = {ARRAY_F32, 2, {4, 8}};
    _Alignas(64) float in[32], out[32];
    function_source source = {.text = t->text,
                              .bytes = strlen(t->text),
                              .options = {.name = "f.mlir"},
                              .n_arguments = 1,
                              .arguments = &SHAPE};
    thread_pool *pool;
    function *f = NULL;
    buffer notes = {0};
    for (int i = 0; i < 32; i++) in[i] = (float)i / 8;
    TRY(cpu_detect(&source.options.cpu, err));
    TRY(thread_pool_create(2, &pool, err));
    pthread_barrier_wait(&start);
    wf_status status = function_weights_create("f.mlir", true, &source.weights, err);
    if (status == WF_OK) status = function_open(&source, pool, &notes, &f, err);
    if (status == WF_OK) status = function_call(f, (void *const[]){in, out}, err);
    memcpy(t->out, out, sizeof out);
    function_close(f);
    function_weights_free(source.weights);
    buffer_free(&notes);
    thread_pool_free(pool);
    return status;
}

static void *function_body(void *task)
{
    function_task *t = task;
    t->status = run_function(t, &t->err);
    return NULL;
}

static void test_functions(void **state)
{
    (void)state;
    function_task tasks[N_THREADS] = {0};
    pthread_t threads[N_THREADS];
    assert_int_equal(pthread_barrier_init(&start, NULL, N_THREADS), 0);
    for (int i = 0; i < N_THREADS; i++) {
        tasks[i].text = GRAPHS[i % 2];
        assert_int_equal(pthread_create(&threads[i], NULL, function_body, &tasks[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < N_THREADS; i++)
        if (tasks[i].status != WF_OK) fail_msg("%d: %s", i, tasks[i].err.message);
    assert_float_equal(tasks[0].out[16], 7.389056, 1e-5); // e^2
    assert_float_equal(tasks[1].out[16], 4, 0);
    assert_memory_equal(tasks[0].out, tasks[2].out, sizeof tasks[0].out);
    assert_memory_equal(tasks[1].out, tasks[3].out, sizeof tasks[0].out);
}

static int set_up(void **state)
{
    static char folder[] = "/tmp/welford-concurrent-XXXXXX";
    *state = folder;
    return !getenv("WELFORD_SOURCE") || !mkdtemp(folder) || setenv("WELFORD_CACHE", folder, 1);
}

static int tear_down(void **state)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", (const char *)*state);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_functions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
