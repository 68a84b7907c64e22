// What the files of `welford bench` share.
#ifndef WELFORD_TOOL_BENCH_H
#define WELFORD_TOOL_BENCH_H

#include "engine/model.h"
#include "engine/session.h"
#include "tool/model_options.h"
#include "tool/trace.h"

enum { MAX_LIST = 16, MAX_REPEATS = 1000 };

typedef struct int_list {
    int64_t items[MAX_LIST];
    int count;
} int_list;

typedef enum bench_format { FORMAT_MD, FORMAT_JSON, FORMAT_CSV } bench_format;

typedef struct bench_options {
    const char *path;
    int_list prompts, answers, depths, threads;
    int_list widths; // of --batch; none: no such table
    int64_t n_batch, repeats;
    bool ablate, profile;
    bench_format format;
    const char *trace_path; // NULL: no trace
    trace *events;          // of the runs, without those to warm up
    wf_model_options model;
} bench_options;

// One line of the result.
typedef struct bench_test {
    int64_t n_prompt, n_gen, n_depth; // n_prompt or n_gen is 0
    int n_threads;
    double samples[MAX_REPEATS]; // tokens a second
    int64_t n_samples;
    double mean, deviation;
} bench_test;

// Opens the model for sessions of up to n_ctx tokens: what can be refused, before anything is compiled or packed.
wf_status bench_open(const bench_options *options, const wf_model_options *how, int64_t n_ctx, thread_pool *pool,
                     compiled_model **m, wf_error *err);
int64_t bench_longest(const bench_options *options); // tokens that the longest of its tests needs

// Any tokens do: the arithmetic does not depend on them.
void bench_fill_tokens(int32_t *tokens, int64_t n, int64_t n_vocab);

// Runs a test once in a session that holds its n_depth tokens.
wf_status bench_run_once(session *s, const bench_test *test, const int32_t *tokens, double *seconds, wf_error *err);

// Mean and standard deviation of the samples.
void bench_summarise(bench_test *test);

// bench --ablate: every fusion off in turn, one after the other within each repetition, as ratios to all of them on.
wf_status bench_ablate(const bench_options *options, wf_error *err);

// bench --batch: several sequences decoded at once, beside one alone and beside prefill.
wf_status bench_batch(const bench_options *options, wf_error *err);

// bench --profile: where the time of each test goes, as a table by kernel or as JSON.
wf_status bench_profile(const bench_options *options, wf_error *err);

#endif
