// welford bench --ablate: what each fusion brings to the whole model.
//
// One model is opened with all fusions on and one for each fusion with that one off. A repetition measures all of them
// one right after the other, and ratios are formed within it, so that a slow minute of the machine hits every variant
// alike.
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>

#include "tool/bench.h"

enum { MAX_VARIANTS = 16, N_KINDS = 2 }; // kinds of test: prefill, decode

typedef struct variant {
    char name[64]; // the fusion that is off; empty: none
    model *m;
    session *s;
    bench_test tests[N_KINDS];  // samples: tokens a second
    bench_test ratios[N_KINDS]; // samples: to the first variant, in the same repetition
} variant;

typedef struct ablation {
    const bench_options *options;
    thread_pool *pool;
    variant *variants; // [MAX_VARIANTS]
    int n;
    int64_t n_tokens; // of the longest test
    int32_t *tokens;
} ablation;

static wf_status add_variant(ablation *a, const char *off, wf_error *err)
{
    variant *v = &a->variants[a->n++];
    wf_model_options public_options = a->options->model;
    snprintf(v->name, sizeof v->name, "%s", off);
    public_options.no_fuse = *off ? v->name : NULL;
    model_options options = engine_model_options(&public_options);
    TRY(model_open(a->options->path, &options, a->pool, &v->m, err));
    int64_t depth = a->options->depths.items[0];
    TRY(session_create(v->m, a->pool, depth + a->n_tokens, a->options->n_batch, &v->s, err));
    for (int kind = 0; kind < N_KINDS; kind++) {
        bench_test test = {.n_depth = depth, .n_threads = thread_pool_size(a->pool)};
        test.n_prompt = kind ? 0 : a->options->prompts.items[0];
        test.n_gen = kind ? a->options->answers.items[0] : 0;
        v->tests[kind] = v->ratios[kind] = test;
    }
    return WF_OK;
}

static wf_status open_variants(ablation *a, wf_error *err)
{
    TRY(add_variant(a, "", err));
    const plan *p = &a->variants[0].m->program.plan;
    for (uint32_t i = 0; i < p->n_fusions && a->n < MAX_VARIANTS; i++) TRY(add_variant(a, p->fusions[i].name, err));
    a->tokens = calloc((size_t)(a->n_tokens + a->options->depths.items[0]), sizeof *a->tokens);
    if (!a->tokens) return error_memory(err, (size_t)a->n_tokens * sizeof *a->tokens);
    bench_fill_tokens(a->tokens, a->n_tokens + a->options->depths.items[0], p->n_vocab);
    return WF_OK;
}

static wf_status measure_once(ablation *a, variant *v, bool keep, wf_error *err)
{
    for (int kind = 0; kind < N_KINDS; kind++) {
        bench_test *test = &v->tests[kind], *first = &a->variants[0].tests[kind], *ratio = &v->ratios[kind];
        int64_t n = test->n_prompt + test->n_gen;
        double seconds;
        if (!n) continue;
        TRY(bench_run_once(v->s, test, a->tokens, &seconds, err));
        if (!keep) continue;
        test->samples[test->n_samples++] = (double)n / seconds;
        ratio->samples[ratio->n_samples++] = test->samples[test->n_samples - 1] / first->samples[test->n_samples - 1];
    }
    return WF_OK;
}

static wf_status measure_all(ablation *a, wf_error *err)
{
    int64_t depth = a->options->depths.items[0];
    for (int i = 0; i < a->n && depth; i++) TRY(session_eval(a->variants[i].s, a->tokens, depth, depth, err));
    for (int64_t r = -1; r < a->options->repeats; r++) // the first round warms up
        for (int i = 0; i < a->n; i++) TRY(measure_once(a, &a->variants[i], r >= 0, err));
    return WF_OK;
}

static void print_table(ablation *a)
{
    printf("| off | prefill %lld t/s | ratio | decode %lld t/s | ratio |\n|---|---|---|---|---|\n",
           (long long)a->options->prompts.items[0], (long long)a->options->answers.items[0]);
    for (int i = 0; i < a->n; i++) {
        variant *v = &a->variants[i];
        printf("| %s |", *v->name ? v->name : "(all on)");
        for (int kind = 0; kind < N_KINDS; kind++) {
            bench_test *test = &v->tests[kind], *ratio = &v->ratios[kind];
            if (!test->n_samples) {
                printf(" - | - |");
                continue;
            }
            bench_summarise(test);
            bench_summarise(ratio);
            printf(" %.1f | %.3f ± %.3f |", test->mean, ratio->mean, ratio->deviation);
        }
        putchar('\n');
    }
}

wf_status bench_ablate(const bench_options *options, wf_error *err)
{
    ablation a = {.options = options};
    a.n_tokens =
        options->prompts.items[0] > options->answers.items[0] ? options->prompts.items[0] : options->answers.items[0];
    a.variants = calloc(MAX_VARIANTS, sizeof *a.variants);
    if (!a.variants) return error_memory(err, MAX_VARIANTS * sizeof *a.variants);
    wf_status status;
    TRY_GOTO(engine_create_pool((int)options->threads.items[0], &a.pool, err), done);
    TRY_GOTO(open_variants(&a, err), done);
    TRY_GOTO(measure_all(&a, err), done);
    print_table(&a);
done:
    for (int i = 0; i < a.n; i++) {
        session_free(a.variants[i].s);
        if (a.variants[i].m) model_close(a.variants[i].m);
    }
    if (a.pool) thread_pool_free(a.pool);
    free(a.tokens);
    free(a.variants);
    return status;
}
