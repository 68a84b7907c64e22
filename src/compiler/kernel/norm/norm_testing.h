// What the tests of norm kernels share: memory with guards, the check of every result, compilation.
//
// What must hold: a result is the correctly rounded value, in y's type, of something within 2e-6 of the float64 result,
// relative to the largest result of the row.
#ifndef WELFORD_COMPILER_KERNEL_NORM_NORM_TESTING_H
#define WELFORD_COMPILER_KERNEL_NORM_NORM_TESTING_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "compiler/kernel/harness.h"
#include "compiler/kernel/norm/norm_data.h"
#include "compiler/kernel/rows/q8.h"

// As TEST_CPUS; what tells most comes first.
static const char *const NORM_CPUS[] = {"native", "emulated-avx512", "haswell"};
enum { N_CPUS = sizeof NORM_CPUS / sizeof *NORM_CPUS, MAX_NORMS = 64 };
static const double TOLERANCE = 2e-6;

// ---- memory that ends at a page which must not be touched

typedef struct guarded {
    unsigned char *pages, *data;
    size_t bytes, mapped;
} guarded;

static inline guarded guarded_alloc(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (bytes + page - 1) / page * page;
    guarded g = {.bytes = bytes, .mapped = used + 2 * page};
    g.pages = mmap(NULL, g.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.pages != MAP_FAILED);
    if (used) assert_int_equal(mprotect(g.pages + page, used, PROT_READ | PROT_WRITE), 0);
    g.data = g.pages + page + used - bytes;
    memset(g.data, 0x7f, bytes); // NaN where nothing is written
    return g;
}

static inline void guarded_free(guarded *g) { munmap(g->pages, g->mapped); }

typedef struct buffers {
    guarded x, y, gamma, beta, residual, h;
    double *row, *normalised; // [cols]
} buffers;

static inline double weighted(const norm *n, const buffers *s, double v, int64_t i)
{
    if (n->k.gamma) v *= (double)get(n->k.weight, s->gamma.data, i) + (n->k.plus_one ? 1 : 0);
    if (n->k.beta) v += (double)get(n->k.weight, s->beta.data, i);
    return v;
}

static inline size_t y_row_bytes(const norm *n)
{
    return n->k.out_q8 ? (size_t)q8_row_bytes(n->k.cols) : (size_t)n->k.cols * type_bytes(n->k.y);
}

static inline float q8_get(const unsigned char *row, int64_t i, int64_t cols, float *scale)
{
    memcpy(scale, row + q8_scale_offset(cols) + i / Q8_BLOCK * 4, 4);
    return *scale * (float)(int8_t)row[i];
}

static inline const kernel_kind *norm_kind(const norm *n) { return n->layer ? &LAYER_NORM_KERNEL : &RMS_NORM_KERNEL; }

static const char *describe(const norm *n)
{
    static buffer name;
    buffer_clear(&name);
    kernel_write_name(norm_kind(n), &n->k, &name);
    return name.data;
}

// Checks one value: `v` is its float64 normalisation, `error` what that may be off by.
static inline void check_value(const norm *n, const buffers *s, int64_t row, int64_t i, double v, double error,
                               const char *what)
{
    double ends[] = {v - error, v + error};
    for (int e = 0; e < 2; e++) {
        if (n->k.round_before_gamma) ends[e] = (double)round_to(n->k.x, ends[e]);
        ends[e] = weighted(n, s, ends[e], i);
    }
    // f32 multiplication and addition of the weights
    double slack = n->k.gamma || n->k.beta
                       ? 2e-7 * (fabs(ends[0]) + (n->k.beta ? fabs((double)get(n->k.weight, s->beta.data, i)) : 0))
                       : 0;
    slack += 0x1p-149;
    double low = fmin(ends[0], ends[1]) - slack, high = fmax(ends[0], ends[1]) + slack, got;
    const unsigned char *y = s->y.data + (size_t)row * y_row_bytes(n);
    if (n->k.out_q8) {
        float scale;
        got = (double)q8_get(y, i, n->k.cols, &scale);
        low -= 0.5001 * (double)scale, high += 0.5001 * (double)scale;
    } else {
        got = (double)get(n->k.y, y, i);
        low = (double)round_to(n->k.y, low), high = (double)round_to(n->k.y, high);
    }
    if (!(got >= low && got <= high))
        fail_msg("%s, %s: row %d column %d is %.9g, not %.9g .. %.9g", describe(n), what, (int)row, (int)i, got, low,
                 high);
}

static inline void check_row(const norm *n, const buffers *s, int64_t row, data_kind kind)
{
    int64_t cols = n->k.cols;
    double largest = 0;
    for (int64_t i = 0; i < cols; i++) {
        double x = (double)get(n->k.x, s->x.data, row * cols + i);
        if (n->k.residual) {
            float h = round_to(n->k.x, x + (double)get(n->k.x, s->residual.data, row * cols + i));
            assert_true(h == get(n->k.x, s->h.data, row * cols + i));
            x = (double)h;
        }
        s->row[i] = x;
    }
    normalise_row(n, s->row, s->normalised);
    for (int64_t i = 0; i < cols; i++) largest = fmax(largest, fabs(s->normalised[i]));
    // a constant row has no scale of its own: results are around 1 where a row varies
    if (n->layer && kind == CONSTANT) largest = 1;
    for (int64_t i = 0; i < cols; i++) check_value(n, s, row, i, s->normalised[i], TOLERANCE * largest, KINDS[kind]);
}

static inline void run_kernel(const norm *n, kernel_fn f, buffers *s, int64_t begin, int64_t end)
{
    void *operands[6] = {s->x.data, s->y.data};
    int count = 2;
    if (n->k.gamma) operands[count++] = s->gamma.data;
    if (n->k.beta) operands[count++] = s->beta.data;
    if (n->k.residual) operands[count++] = s->residual.data, operands[count++] = s->h.data;
    f(operands, NULL, begin, end);
}

// The first or the second kernel of rows in parts.
static inline void run_parts(const norm *n, const kernel_fn f[2], buffers *s, void *moments, int64_t begin, int64_t end,
                             bool writes)
{
    void *reads_of[] = {s->x.data, moments, s->residual.data, s->h.data};
    void *writes_of[5] = {n->k.residual ? s->h.data : s->x.data, s->y.data, moments};
    int count = 3;
    if (n->k.gamma) writes_of[count++] = s->gamma.data;
    if (n->k.beta) writes_of[count++] = s->beta.data;
    f[writes](writes ? writes_of : reads_of, NULL, begin, end);
}

static inline buffers make_buffers(const norm *n, int64_t n_rows)
{
    size_t x_bytes = (size_t)(n_rows * n->k.cols) * type_bytes(n->k.x),
           w_bytes = (size_t)n->k.cols * type_bytes(n->k.weight);
    buffers s = {guarded_alloc(x_bytes),
                 guarded_alloc((size_t)n_rows * y_row_bytes(n)),
                 guarded_alloc(w_bytes),
                 guarded_alloc(w_bytes),
                 guarded_alloc(x_bytes),
                 guarded_alloc(x_bytes),
                 malloc((size_t)n->k.cols * sizeof(double)),
                 malloc((size_t)n->k.cols * sizeof(double))};
    assert_true(s.row && s.normalised);
    return s;
}

static inline void free_buffers(buffers *s)
{
    guarded *all[] = {&s->x, &s->y, &s->gamma, &s->beta, &s->residual, &s->h};
    for (int i = 0; i < 6; i++) guarded_free(all[i]);
    free(s->row), free(s->normalised);
}

static inline void fill(const norm *n, buffers *s, int64_t n_rows, data_kind kind, rng *random)
{
    int64_t cols = n->k.cols;
    for (int64_t i = 0; i < cols; i++) {
        set(n->k.weight, s->gamma.data, i, (double)random_normal(random));
        set(n->k.weight, s->beta.data, i, (double)random_normal(random));
    }
    for (int64_t i = 0; i < n_rows * cols; i++) {
        double x = sample(kind, n->k.x, i / cols, i % cols, cols, random);
        set(n->k.x, s->x.data, i, n->k.residual ? 0.75 * x : x);
        set(n->k.x, s->residual.data, i, 0.25 * x);
    }
}

static inline void check_norm(const norm *n, kernel_fn f, int64_t n_rows)
{
    buffers s = make_buffers(n, n_rows);
    rng random = {42};
    for (int kind = 0; kind < N_KINDS; kind++) {
        if (!is_defined(n, (data_kind)kind)) continue;
        fill(n, &s, n_rows, (data_kind)kind, &random);
        int64_t middle = n_rows / 2; // in two parts: a row must not touch others
        run_kernel(n, f, &s, 0, middle);
        run_kernel(n, f, &s, middle, n_rows);
        for (int64_t row = 0; row < n_rows; row++) check_row(n, &s, row, (data_kind)kind);
    }
    free_buffers(&s);
}

// ---- building

static inline void open_norms(harness *h, const char *cpu, const norm *norms, int n, kernel_fn *functions)
{
    wf_error err = {0};
    if (harness_open(h, cpu, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
    const char *names[MAX_NORMS];
    assert_true(n <= MAX_NORMS);
    for (int i = 0; i < n; i++) names[i] = harness_add(h, norm_kind(&norms[i]), &norms[i].k);
    if (harness_compile(h, names, n, functions, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
}

// On the first n_cpus of NORM_CPUS.
static inline void check_norms(const norm *norms, int n, int n_cpus)
{
    static const int64_t rows[] = {1, 3, 17};
    for (int c = 0; c < n_cpus; c++) {
        harness h;
        kernel_fn functions[MAX_NORMS];
        open_norms(&h, NORM_CPUS[c], norms, n, functions);
        for (int i = 0; i < n; i++)
            for (int r = 0; r < (norms[i].k.cols > 5000 ? 2 : 3); r++) check_norm(&norms[i], functions[i], rows[r]);
        harness_close(&h);
    }
}

#endif
