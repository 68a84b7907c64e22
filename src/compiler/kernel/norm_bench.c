// Times norm kernels against memcpy of the same bytes, in one process and interleaved, so that all see the same
// machine.
//
//     norm_bench ROWS COLS f32|f16|bf16 THREADS [two_pass|online]
//
// prints a line "name microseconds" each for memcpy, rms_norm and layer_norm (with gamma; layer_norm with beta too):
// the median of the rounds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/half.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/norm.h"
#include "runtime/threads.h"

enum { N_TASKS = 3, N_ROUNDS = 41 };
static const char *const TASKS[N_TASKS] = {"memcpy", "rms_norm", "layer_norm"};

typedef struct bench {
    int64_t rows, cols;
    size_t row_bytes;
    tensor_type type;
    norm_strategy strategy;
    thread_pool *pool;
    kernel_fn kernels[N_TASKS]; // none for memcpy
    void *operands[4];          // x y gamma beta
    int task;
} bench;

static void run_slice(void *context, int thread)
{
    bench *s = context;
    int n = thread_pool_size(s->pool);
    int64_t begin = s->rows * thread / n, end = s->rows * (thread + 1) / n;
    if (s->task)
        s->kernels[s->task](s->operands, NULL, begin, end);
    else
        memcpy((char *)s->operands[1] + (size_t)begin * s->row_bytes,
               (char *)s->operands[0] + (size_t)begin * s->row_bytes, (size_t)(end - begin) * s->row_bytes);
}

// Microseconds of one run, the mean of `repeats`.
static double time_task(bench *s, int task, int repeats)
{
    s->task = task;
    double start = clock_seconds();
    for (int i = 0; i < repeats; i++)
        if (thread_pool_size(s->pool) == 1)
            run_slice(s, 0);
        else
            thread_pool_run(s->pool, run_slice, s);
    return (clock_seconds() - start) / repeats;
}

static int compare_doubles(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
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
        qsort(times[t], N_ROUNDS, sizeof(double), compare_doubles);
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
    char names[2][96];
    TRY(harness_open(h, "native", err));
    rms_norm_name(&k, names[0]);
    rms_norm_build(&h->builder, &k, names[0]);
    k.beta = true;
    layer_norm_name(&k, names[1]);
    layer_norm_build(&h->builder, &k, names[1]);
    return harness_compile(h, (const char *[]){names[0], names[1]}, 2, s->kernels + 1, err);
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
        fprintf(stderr, "usage: norm_bench ROWS COLS f32|f16|bf16 THREADS [two_pass|online]\n");
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
    if (status == WF_OK)
        run_bench(&s);
    else
        fprintf(stderr, "norm_bench: %s\n", err.message);
    for (int i = 0; i < 4; i++) free(s.operands[i]);
    harness_close(&h);
    thread_pool_free(s.pool);
    return status == WF_OK ? 0 : 1;
}
