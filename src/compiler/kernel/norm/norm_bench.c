// Times norm kernels against memcpy of the same bytes, in one process and interleaved, so that all see the same
// machine.
//
//     norm_bench ROWS COLS f32|f16|bf16 THREADS [two_pass|online|split]
//
// split: rows are cut into parts, which threads share; memcpy is shared by bytes then, not by rows.
// prints a line "name microseconds" each for memcpy, rms_norm and layer_norm (with gamma; layer_norm with beta too):
// the median of the rounds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/half.h"
#include "base/samples.h"
#include "base/threads.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/norm/norm.h"

enum { N_TASKS = 3, N_ROUNDS = 41 };
static const char *const TASKS[N_TASKS] = {"memcpy", "rms_norm", "layer_norm"};

typedef struct bench {
    int64_t rows, cols;
    size_t row_bytes;
    tensor_type type;
    norm_strategy strategy;
    bool split;
    thread_pool *pool;
    kernel_fn kernels[N_TASKS], readers[N_TASKS]; // none for memcpy; readers: the first of two calls, of split ones
    void *operands[4], *moments;                  // x y gamma beta
    kernel_fn kernel;                             // to run
    void *arguments[5];                           // its operands
    int64_t n_tiles;
} bench;

static void run_slice(void *context, int thread)
{
    bench *s = context;
    int n = thread_pool_size(s->pool);
    int64_t begin = s->n_tiles * thread / n, end = s->n_tiles * (thread + 1) / n;
    size_t bytes = s->split ? 1 : s->row_bytes;
    if (s->kernel)
        s->kernel(s->arguments, NULL, begin, end);
    else
        memcpy((char *)s->operands[1] + (size_t)begin * bytes, (char *)s->operands[0] + (size_t)begin * bytes,
               (size_t)(end - begin) * bytes);
}

static void run_call(bench *s, kernel_fn f, int64_t n_tiles)
{
    s->kernel = f;
    s->n_tiles = n_tiles;
    if (thread_pool_size(s->pool) == 1)
        run_slice(s, 0);
    else
        thread_pool_run(s->pool, run_slice, s);
}

static void run_task(bench *s, int task)
{
    void **x = s->operands;
    if (!s->split) {
        memcpy(s->arguments, x, sizeof s->operands);
        run_call(s, s->kernels[task], s->rows);
        return;
    }
    if (!task) {
        run_call(s, NULL, s->rows * (int64_t)s->row_bytes);
        return;
    }
    int64_t n_tiles = s->rows * norm_part_count(s->cols);
    memcpy(s->arguments, (void *[]){x[0], s->moments}, 2 * sizeof(void *));
    run_call(s, s->readers[task], n_tiles);
    memcpy(s->arguments, (void *[]){x[0], x[1], s->moments, x[2], x[3]}, sizeof s->arguments);
    run_call(s, s->kernels[task], n_tiles);
}

// Microseconds of one run, the mean of `repeats`.
static double time_task(bench *s, int task, int repeats)
{
    double start = clock_seconds();
    for (int i = 0; i < repeats; i++) run_task(s, task);
    return (clock_seconds() - start) * 1e6 / repeats;
}

static void run_bench(bench *s)
{
    double times[N_TASKS][N_ROUNDS];
    int repeats[N_TASKS];
    for (int t = 0; t < N_TASKS; t++) {
        time_task(s, t, 1);
        double once = time_task(s, t, 3);
        repeats[t] = once < 2000 ? (int)(2000 / once) + 1 : 1; // a round lasts some milliseconds
    }
    for (int r = 0; r < N_ROUNDS; r++)
        for (int t = 0; t < N_TASKS; t++) times[t][r] = time_task(s, t, repeats[t]);
    for (int t = 0; t < N_TASKS; t++) {
        samples_sort(times[t], N_ROUNDS);
        printf("%s %.3f\n", TASKS[t], times[t][N_ROUNDS / 2]);
    }
}

static wf_status build_kernels(bench *s, harness *h, wf_error *err)
{
    norm_kernel k = {.cols = s->cols,
                     .eps = 1e-6,
                     .gamma = true,
                     .x = s->type,
                     .y = s->type,
                     .weight = s->type,
                     .strategy = s->strategy};
    const char *names[4];
    kernel_fn functions[4];
    int n = 0;
    TRY(harness_open(h, "native", err));
    for (int layer = 0; layer < 2; layer++)
        for (int reads = 0; reads <= s->split; reads++) {
            k.beta = layer;
            k.stage = !s->split ? NORM_ROWS : reads ? NORM_READ_PARTS : NORM_WRITE_PARTS;
            names[n++] = harness_add(h, layer ? &LAYER_NORM_KERNEL : &RMS_NORM_KERNEL, &k);
        }
    TRY(harness_compile(h, names, n, functions, err));
    for (int layer = 0; layer < 2; layer++) {
        s->kernels[1 + layer] = functions[layer * (1 + s->split)];
        if (s->split) s->readers[1 + layer] = functions[2 * layer + 1];
    }
    return WF_OK;
}

static void fill(void *values, tensor_type t, int64_t n)
{
    uint64_t state = 42;
    for (int64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        float x = (float)(int32_t)(state >> 32) * 0x1p-31f;
        uint16_t h = t == TENSOR_F16 ? half_from_float(x) : bfloat_from_float(x);
        if (t == TENSOR_F32)
            memcpy((char *)values + 4 * i, &x, 4);
        else
            memcpy((char *)values + 2 * i, &h, 2);
    }
}

static bool read_arguments(int n, char **arguments, bench *s, int *n_threads)
{
    if (n < 5 || n > 6) return false;
    static const struct {
        const char *name;
        tensor_type type;
    } types[] = {{"f32", TENSOR_F32}, {"f16", TENSOR_F16}, {"bf16", TENSOR_BF16}};
    bool known = false;
    for (int i = 0; i < 3; i++)
        if (!strcmp(arguments[3], types[i].name)) known = true, s->type = types[i].type;
    s->rows = atoll(arguments[1]);
    s->cols = atoll(arguments[2]);
    *n_threads = atoi(arguments[4]);
    if (n == 6) {
        if (!strcmp(arguments[5], "two_pass"))
            s->strategy = NORM_TWO_PASS;
        else if (!strcmp(arguments[5], "online"))
            s->strategy = NORM_ONLINE;
        else if (!strcmp(arguments[5], "split"))
            s->split = true;
        else
            return false;
    }
    return known && s->rows > 0 && s->rows <= 1 << 24 && s->cols > 0 && s->cols <= 1 << 24 && *n_threads > 0 &&
           *n_threads <= 1024;
}

int main(int n_arguments, char **arguments)
{
    bench s = {0};
    harness h = {0};
    wf_error err = {0};
    int n_threads;
    if (!read_arguments(n_arguments, arguments, &s, &n_threads)) {
        fprintf(stderr, "usage: norm_bench ROWS COLS f32|f16|bf16 THREADS [two_pass|online|split]\n");
        return 2;
    }
    s.row_bytes = (size_t)s.cols * (s.type == TENSOR_F32 ? 4 : 2);
    wf_status status = thread_pool_create(n_threads, &s.pool, &err);
    if (status == WF_OK) status = build_kernels(&s, &h, &err);
    for (int i = 0; i < 4 && status == WF_OK; i++) {
        int64_t n = (i < 2 ? s.rows : 1) * s.cols;
        s.operands[i] = aligned_alloc(64, ((size_t)n * 4 + 63) / 64 * 64);
        if (!s.operands[i])
            status = error_memory(&err, (size_t)n * 4);
        else
            fill(s.operands[i], s.type, n);
    }
    if (status == WF_OK) {
        size_t bytes = (size_t)(s.rows * norm_part_count(s.cols)) * NORM_MOMENTS_BYTES;
        s.moments = malloc(bytes);
        if (!s.moments) status = error_memory(&err, bytes);
    }
    if (status == WF_OK)
        run_bench(&s);
    else
        fprintf(stderr, "norm_bench: %s\n", err.message);
    for (int i = 0; i < 4; i++) free(s.operands[i]);
    free(s.moments);
    harness_close(&h);
    thread_pool_free(s.pool);
    return status == WF_OK ? 0 : 1;
}
