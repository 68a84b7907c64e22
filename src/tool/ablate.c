// welford bench --ablate: what each fusion brings to the whole model.
//
// One model is opened with all fusions on and one for each fusion with that one off. A repetition runs, for each
// fusion, on, off, off, on, one right after the other: a machine that becomes slower or faster at a steady rate
// meanwhile changes nothing in time(on) / time(off), and a slow minute is over before the next fusion's turn. What is
// printed is the median over the repetitions and half the distance between the quartiles, so that a run that was
// disturbed counts as one run and not by how much it was disturbed.
#include <stdlib.h>

#include "base/samples.h"
#include "tool/bench.h"

enum { MAX_VARIANTS = 16, N_KINDS = 2 }; // kinds of test: prefill, decode

typedef struct variant {
    char name[64]; // the fusion that is off; empty: none
    compiled_model *m;
    session *s;
    double *speeds[N_KINDS]; // [repeats] tokens a second, as a ratio to all on; with all on not as a ratio
} variant;

typedef struct ablation {
    const bench_options *options;
    thread_pool *pool;
    bench_test tests[N_KINDS];
    variant *variants; // [MAX_VARIANTS], the first with all on
    int n;
    int32_t *tokens; // for the longest test, or the depth
} ablation;

static int64_t test_length(const bench_test *test) { return test->n_prompt + test->n_gen; }

static int64_t longest_test(const ablation *a)
{
    int64_t prefill = test_length(&a->tests[0]), decode = test_length(&a->tests[1]);
    return prefill > decode ? prefill : decode;
}

static wf_status add_variant(ablation *a, const char *off, wf_error *err)
{
    variant *v = &a->variants[a->n++];
    wf_model_options how = a->options->model;
    size_t repeats = (size_t)a->options->repeats;
    for (int kind = 0; kind < N_KINDS; kind++)
        if (!(v->speeds[kind] = calloc(repeats, sizeof(double)))) return error_memory(err, repeats * sizeof(double));
    snprintf(v->name, sizeof v->name, "%s", off);
    how.no_fuse = *off ? v->name : NULL;
    int64_t n_ctx = a->tests[0].n_depth + longest_test(a);
    TRY(bench_open(a->options, &how, n_ctx, a->pool, &v->m, err));
    return session_create(v->m, a->pool, n_ctx, a->options->n_batch, &v->s, err);
}

static wf_status open_variants(ablation *a, wf_error *err)
{
    TRY(add_variant(a, "", err));
    const program *p = &a->variants[0].m->executable.program;
    for (uint32_t i = 0; i < p->n_fusions && a->n < MAX_VARIANTS; i++) TRY(add_variant(a, p->fusions[i].name, err));
    int64_t depth = a->tests[0].n_depth, n = longest_test(a) > depth ? longest_test(a) : depth;
    a->tokens = calloc((size_t)n, sizeof *a->tokens);
    if (!a->tokens) return error_memory(err, (size_t)n * sizeof *a->tokens);
    bench_fill_tokens(a->tokens, n, p->n_vocab);
    for (int i = 0; i < a->n && depth; i++) TRY(session_eval(a->variants[i].s, a->tokens, depth, depth, err));
    return WF_OK;
}

// Runs a test on, off, off, on; seconds of the two together.
static wf_status measure_pair(ablation *a, const variant *v, const bench_test *test, double *on, double *off,
                              wf_error *err)
{
    *on = *off = 0;
    for (int i = 0; i < 4; i++) {
        bool is_off = i == 1 || i == 2;
        double seconds;
        TRY(bench_run_once(is_off ? v->s : a->variants[0].s, test, a->tokens, &seconds, err));
        *(is_off ? off : on) += seconds;
    }
    return WF_OK;
}

static wf_status measure_all(ablation *a, wf_error *err)
{
    for (int64_t r = -1; r < a->options->repeats; r++) // the first round warms up
        for (int i = 1; i < a->n; i++)
            for (int kind = 0; kind < N_KINDS; kind++) {
                double on, off;
                if (!test_length(&a->tests[kind])) continue;
                TRY(measure_pair(a, &a->variants[i], &a->tests[kind], &on, &off, err));
                if (r < 0) continue;
                a->variants[i].speeds[kind][r] = on / off;
                a->variants[0].speeds[kind][r] = 2 * (double)test_length(&a->tests[kind]) / on;
            }
    return WF_OK;
}

static void print_table(const ablation *a)
{
    printf("| off | prefill %lld | decode %lld |\n|---|---|---|\n", (long long)a->tests[0].n_prompt,
           (long long)a->tests[1].n_gen);
    for (int i = 0; i < a->n; i++) {
        const variant *v = &a->variants[i];
        printf("| %s |", *v->name ? v->name : "(none)");
        for (int kind = 0; kind < N_KINDS; kind++) {
            int64_t n = a->options->repeats;
            double *samples = v->speeds[kind];
            if (!test_length(&a->tests[kind])) {
                printf(" - |");
                continue;
            }
            samples_sort(samples, n);
            double spread = (samples_quantile(samples, n, 0.75) - samples_quantile(samples, n, 0.25)) / 2;
            printf(i ? " %.3f ± %.3f |" : " %.1f ± %.1f t/s |", samples_quantile(samples, n, 0.5), spread);
        }
        putchar('\n');
    }
}

wf_status bench_ablate(const bench_options *options, wf_error *err)
{
    ablation a = {.options = options};
    bench_test test = {.n_depth = options->depths.items[0]};
    a.tests[0] = a.tests[1] = test;
    a.tests[0].n_prompt = options->prompts.items[0];
    a.tests[1].n_gen = options->answers.items[0];
    a.variants = calloc(MAX_VARIANTS, sizeof *a.variants);
    if (!a.variants) return error_memory(err, MAX_VARIANTS * sizeof *a.variants);
    wf_status status;
    TRY_GOTO(model_create_pool((int)options->threads.items[0], &a.pool, err), done);
    TRY_GOTO(open_variants(&a, err), done);
    TRY_GOTO(measure_all(&a, err), done);
    print_table(&a);
done:
    for (int i = 0; i < a.n; i++) {
        variant *v = &a.variants[i];
        session_free(v->s);
        if (v->m) compiled_model_close(v->m);
        for (int kind = 0; kind < N_KINDS; kind++) free(v->speeds[kind]);
    }
    if (a.pool) thread_pool_free(a.pool);
    free(a.tokens);
    free(a.variants);
    return status;
}
