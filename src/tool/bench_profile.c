// welford bench --profile: each test's time by kernel, with the ceilings measured between its repetitions. The fastest
// repetition counts, and the best of each ceiling: the speed of a shared machine varies from minute to minute, and what
// is best is least disturbed.
#include <inttypes.h>
#include <stdlib.h>

#include "tool/bench.h"
#include "tool/profile.h"

typedef struct profiled {
    profile now, best;
    ceilings ceilings;
} profiled;

static wf_status measure(session *s, thread_pool *pool, const bench_test *test, const int32_t *tokens, int64_t repeats,
                         profiled *p, wf_error *err)
{
    double seconds, fastest = 0;
    TRY(bench_run_once(s, test, tokens, &seconds, err)); // to warm up
    session_observe(s, profile_observe, &p->now);
    for (int64_t i = 0; i < repeats; i++) {
        profile_clear(&p->now);
        TRY(bench_run_once(s, test, tokens, &seconds, err));
        TRY(ceilings_measure(&p->ceilings, pool, err));
        if (fastest != 0 && seconds >= fastest) continue;
        fastest = seconds;
        profile_copy(&p->best, &p->now);
    }
    return WF_OK;
}

static void show(const bench_test *test, const profiled *p, json_t *tests)
{
    int64_t n = test->n_prompt + test->n_gen;
    double speed = (double)n / p->best.seconds;
    if (!tests) {
        printf("\n%s of %" PRId64 " tokens at depth %" PRId64 ", %d threads: %.1f tokens/s\n\n",
               test->n_prompt ? "prefill" : "decode", n, test->n_depth, test->n_threads, speed);
        profile_print(&p->best, &p->ceilings);
        return;
    }
    json_t *described = profile_describe(&p->best);
    json_object_set_new(described, "n_prompt", json_integer(test->n_prompt));
    json_object_set_new(described, "n_gen", json_integer(test->n_gen));
    json_object_set_new(described, "n_depth", json_integer(test->n_depth));
    json_object_set_new(described, "threads", json_integer(test->n_threads));
    json_object_set_new(described, "ceilings", ceilings_describe(&p->ceilings));
    json_array_append_new(tests, described);
}

static wf_status profile_test(const bench_options *options, const compiled_model *m, thread_pool *pool,
                              const bench_test *test, json_t *tests, wf_error *err)
{
    session *s = NULL;
    profiled p = {0};
    int64_t n = test->n_prompt + test->n_gen, all = test->n_depth + n;
    int32_t *tokens = calloc((size_t)all, sizeof *tokens);
    if (!tokens) return error_memory(err, (size_t)all * sizeof *tokens);
    bench_fill_tokens(tokens, all, m->executable.program.n_vocab);
    wf_status status;
    TRY_GOTO(profile_create(&m->executable.program, &p.now, err), done);
    TRY_GOTO(profile_create(&m->executable.program, &p.best, err), done);
    TRY_GOTO(ceilings_create(&p.ceilings, err), done);
    TRY_GOTO(session_create(m, pool, all, options->n_batch, &s, err), done);
    if (test->n_depth) TRY_GOTO(session_eval(s, tokens, test->n_depth, test->n_depth, err), done);
    TRY_GOTO(measure(s, pool, test, tokens, options->repeats, &p, err), done);
    show(test, &p, tests);
done:
    session_free(s);
    profile_free(&p.now);
    profile_free(&p.best);
    ceilings_free(&p.ceilings);
    free(tokens);
    return status;
}

static wf_status profile_tests(const bench_options *options, const compiled_model *m, thread_pool *pool, json_t *tests,
                               wf_error *err)
{
    const int_list *lists[] = {&options->prompts, &options->answers};
    for (int d = 0; d < options->depths.count; d++) {
        for (int kind = 0; kind < 2; kind++) {
            for (int i = 0; i < lists[kind]->count; i++) {
                bench_test test = {.n_depth = options->depths.items[d], .n_threads = thread_pool_size(pool)};
                *(kind ? &test.n_gen : &test.n_prompt) = lists[kind]->items[i];
                if (lists[kind]->items[i]) TRY(profile_test(options, m, pool, &test, tests, err));
            }
        }
    }
    return WF_OK;
}

wf_status bench_profile(const bench_options *options, wf_error *err)
{
    thread_pool *pool = NULL;
    compiled_model *m = NULL;
    json_t *tests = options->format == FORMAT_JSON ? json_array() : NULL;
    wf_status status;
    TRY_GOTO(model_create_pool((int)options->threads.items[0], &pool, err), done);
    TRY_GOTO(bench_open(options, &options->model, bench_longest(options), pool, &m, err), done);
    TRY_GOTO(profile_tests(options, m, pool, tests, err), done);
    if (tests) {
        json_dumpf(tests, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    }
done:
    json_decref(tests);
    if (m) compiled_model_close(m);
    if (pool) thread_pool_free(pool);
    return status;
}
