// welford bench --batch: decoding of several sequences at once, beside one alone and beside prefill.
//
// Within a repetition every width has its turn, so that a machine that becomes slower or faster meanwhile changes little in
// the ratios, which are medians over the repetitions. Sequences share nothing of the cache.
//
// A batch needs the head for every token, a prompt for its last alone:
// arithmetic a second is what can be compared between the two.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/samples.h"
#include "tool/bench.h"

typedef struct batch_bench {
    const bench_options *options;
    thread_pool *pool;
    compiled_model *m;
    engine *e;
    sequence **sequences; // [widest]
    step_part *parts;     // [widest]
    int64_t widest, depth, n_gen, n_prompt;
    int32_t *tokens;               // [depth + n_gen, or n_prompt]
    double *seconds[MAX_LIST + 1]; // [repeats]: of each width's decoding, then of the prompt
} batch_bench;

static int n_widths(const batch_bench *b) { return b->options->widths.count; }

// Sorts the samples.
static double median_of(const batch_bench *b, double *samples)
{
    samples_sort(samples, b->options->repeats);
    return samples_quantile(samples, b->options->repeats, 0.5);
}

// Operations of one walk over the program: n_tokens, of which n_outputs want logits, with `past` tokens before them.
static double walk_flops(const batch_bench *b, int64_t n_tokens, int64_t past, int64_t n_outputs)
{
    const program *p = &b->m->executable.program;
    int64_t dims[DIM_COUNT];
    double flops = 0;
    program_dims(n_tokens, past, n_outputs, kv_capacity(engine_context(b->e)), dims);
    for (uint32_t i = 0; i < p->n_calls; i++) flops += program_call_flops(&p->calls[i], dims);
    return flops;
}

// All sequences to the depth: the first computes it, the others get its state under other tokens, so that they share no
// blocks of the cache.
static wf_status share_out(batch_bench *b, unsigned char *state, wf_error *err)
{
    int32_t first = b->tokens[0];
    wf_status status = WF_OK;
    sequence_get_state(b->sequences[0], state);
    for (int64_t i = 1; i < b->widest && b->depth && status == WF_OK; i++) {
        b->tokens[0] = (int32_t)((first + i) % engine_vocabulary(b->e));
        status = sequence_set_state(b->sequences[i], b->tokens, b->depth, state, err);
    }
    b->tokens[0] = first;
    return status;
}

static wf_status fill(batch_bench *b, wf_error *err)
{
    for (int64_t at = 0; at < b->depth;) {
        int64_t n = b->depth - at < engine_batch(b->e) ? b->depth - at : engine_batch(b->e);
        TRY(engine_step(b->e, &(step_part){b->sequences[0], b->tokens + at, n, n}, 1, err));
        at += n;
    }
    size_t bytes = sequence_state_bytes(b->sequences[0], b->depth);
    unsigned char *state = malloc(bytes ? bytes : 1);
    if (!state) return error_memory(err, bytes);
    wf_status status = share_out(b, state, err);
    free(state);
    return status;
}

// n_gen tokens of the first `width` sequences.
static wf_status decode(batch_bench *b, int64_t width, double *seconds, wf_error *err)
{
    for (int64_t i = 0; i < width; i++) TRY(sequence_truncate(b->sequences[i], b->depth, err));
    double start = clock_seconds();
    for (int64_t t = 0; t < b->n_gen; t++) {
        for (int64_t i = 0; i < width; i++) b->parts[i] = (step_part){b->sequences[i], b->tokens + t, 1, 0};
        TRY(engine_begin_logits(b->e, width, err));
        TRY(engine_step(b->e, b->parts, (uint32_t)width, err));
    }
    *seconds = clock_seconds() - start;
    return WF_OK;
}

static wf_status prefill(batch_bench *b, double *seconds, wf_error *err)
{
    TRY(sequence_truncate(b->sequences[0], 0, err));
    TRY(engine_begin_logits(b->e, 1, err));
    double start = clock_seconds();
    TRY(engine_step(b->e, &(step_part){b->sequences[0], b->tokens, b->n_prompt, b->n_prompt - 1}, 1, err));
    *seconds = clock_seconds() - start;
    return WF_OK;
}

static wf_status measure(batch_bench *b, wf_error *err)
{
    const int_list *widths = &b->options->widths;
    double ignored;
    TRY(prefill(b, &ignored, err)); // to warm up
    for (int64_t r = 0; r < b->options->repeats; r++) {
        TRY(prefill(b, &b->seconds[n_widths(b)][r], err));
        TRY(sequence_truncate(b->sequences[0], 0, err));
        TRY(fill(b, err));
        if (r == 0) TRY(decode(b, widths->items[0], &ignored, err));
        for (int w = 0; w < widths->count; w++) TRY(decode(b, widths->items[w], &b->seconds[w][r], err));
    }
    return WF_OK;
}

static void print_table(batch_bench *b)
{
    const int_list *widths = &b->options->widths;
    double prompt_rate = walk_flops(b, b->n_prompt, 0, 1) / median_of(b, b->seconds[n_widths(b)]);
    printf("depth %" PRId64 ", %" PRId64 " tokens a sequence; prefill %" PRId64 ": %.1f Gop/s\n\n", b->depth, b->n_gen,
           b->n_prompt, prompt_rate / 1e9);
    puts("| sequences | tokens/s | times the first | Gop/s | of prefill |\n| --------: | -------: | --------------: | "
         "----: | "
         "---------: |");
    double first = 0;
    for (int w = 0; w < widths->count; w++) {
        int64_t width = widths->items[w];
        double seconds = median_of(b, b->seconds[w]), speed = (double)(width * b->n_gen) / seconds;
        double rate = walk_flops(b, width, b->depth + b->n_gen / 2, width) * (double)b->n_gen / seconds;
        if (w == 0) first = speed;
        printf("| %9" PRId64 " | %8.1f | %15.2f | %5.1f | %8.0f %% |\n", width, speed, speed / first, rate / 1e9,
               100 * rate / prompt_rate);
    }
}

static wf_status allocate(batch_bench *b, wf_error *err)
{
    int64_t longest = b->depth + b->n_gen > b->n_prompt ? b->depth + b->n_gen : b->n_prompt;
    size_t repeats = (size_t)b->options->repeats;
    const engine_options sizes = {.n_ctx = longest, .n_batch = longest, .n_sequences = b->widest};
    TRY(engine_create(b->m, b->pool, &sizes, &b->e, err));
    b->sequences = calloc((size_t)b->widest, sizeof *b->sequences);
    b->parts = calloc((size_t)b->widest, sizeof *b->parts);
    b->tokens = calloc((size_t)longest, sizeof *b->tokens);
    if (!b->sequences || !b->parts || !b->tokens) return error_memory(err, (size_t)longest * sizeof *b->tokens);
    for (int w = 0; w <= n_widths(b); w++)
        if (!(b->seconds[w] = calloc(repeats, sizeof(double)))) return error_memory(err, repeats * sizeof(double));
    bench_fill_tokens(b->tokens, longest, engine_vocabulary(b->e));
    for (int64_t i = 0; i < b->widest; i++) TRY(sequence_create(b->e, &b->sequences[i], err));
    return WF_OK;
}

wf_status bench_batch(const bench_options *options, wf_error *err)
{
    batch_bench b = {.options = options,
                     .depth = options->depths.items[0],
                     .n_gen = options->answers.items[0],
                     .n_prompt = options->prompts.items[0]};
    for (int w = 0; w < options->widths.count; w++)
        if (options->widths.items[w] > b.widest) b.widest = options->widths.items[w];
    wf_status status;
    TRY_GOTO(model_create_pool((int)options->threads.items[0], &b.pool, err), done);
    TRY_GOTO(bench_open(options, &options->model, bench_longest(options), b.pool, &b.m, err), done);
    TRY_GOTO(allocate(&b, err), done);
    TRY_GOTO(measure(&b, err), done);
    print_table(&b);
done:
    for (int64_t i = 0; b.sequences && i < b.widest; i++) sequence_free(b.sequences[i]);
    for (int w = 0; w <= MAX_LIST; w++) free(b.seconds[w]);
    free(b.sequences);
    free(b.parts);
    free(b.tokens);
    engine_free(b.e);
    if (b.m) compiled_model_close(b.m);
    if (b.pool) thread_pool_free(b.pool);
    return status;
}
