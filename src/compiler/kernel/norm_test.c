// Norm kernels against float64: both norms, both strategies, all types and options, hard and degenerate data; AVX2 code
// and the logic of AVX-512 code on any CPU.
//
// What must hold: a result is the correctly rounded value, in y's type, of something within 2e-6 of the float64 result,
// relative to the largest result of the row.
#define _GNU_SOURCE
#include "compiler/kernel/norm.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/half.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/q8.h"

static const char *const CPUS[] = {"native", "emulated-avx512", "haswell"};
enum { N_CPUS = sizeof CPUS / sizeof *CPUS, MAX_NORMS = 64 };
static const double TOLERANCE = 2e-6;

typedef struct norm {
    norm_kernel k;
    bool layer;
} norm;

// ---- memory that ends at a page which must not be touched

typedef struct guarded {
    unsigned char *pages, *data;
    size_t bytes, mapped;
} guarded;

static guarded guarded_alloc(size_t bytes)
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

static void guarded_free(guarded *g) { munmap(g->pages, g->mapped); }

// ---- arrays of any of the types

static size_t type_bytes(tensor_type t) { return t == TENSOR_F32 ? 4 : 2; }

static float round_to(tensor_type t, double x)
{
    // double to float to 16 bits rounds twice: to odd first, so that the second rounding sees what was cut off
    float f = (float)x;
    if (t == TENSOR_F32) return f;
    if ((double)f != x && isfinite(f)) {
        uint32_t bits = float_bits(f);
        if (fabs((double)f) > fabs(x)) bits--;
        f = float_of_bits(bits | 1);
    }
    return t == TENSOR_F16 ? half_to_float(half_from_float(f)) : bfloat_to_float(bfloat_from_float(f));
}

static void set(tensor_type t, void *array, int64_t i, double x)
{
    float f = round_to(t, x);
    uint16_t h = t == TENSOR_F16 ? half_from_float(f) : bfloat_from_float(f);
    if (t == TENSOR_F32)
        memcpy((char *)array + 4 * i, &f, 4);
    else
        memcpy((char *)array + 2 * i, &h, 2);
}

static float get(tensor_type t, const void *array, int64_t i)
{
    float f;
    uint16_t h;
    memcpy(&f, (const char *)array + (size_t)i * type_bytes(t), t == TENSOR_F32 ? 4 : 2);
    memcpy(&h, (const char *)array + (size_t)i * type_bytes(t), 2);
    return t == TENSOR_F32 ? f : t == TENSOR_F16 ? half_to_float(h) : bfloat_to_float(h);
}

// ---- data

typedef enum data_kind {
    NORMAL,
    LARGE_MEAN,
    OUTLIER,
    CONSTANT,
    ZERO,
    DENORMAL,
    HUGE,
    ALMOST_MAX,
    RAMP,
    DROWNED, // its deviation is less than the root of most eps
    N_KINDS
} data_kind;
static const char *const KINDS[] = {"N(0, 1)",  "mean 1e4", "outlier 1e4", "constant", "zero",
                                    "denormal", "1e30",     "3e38",        "ramp",     "drowned"};

static uint32_t random_bits(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

static double random_normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += random_bits(state) / 4294967296.0;
    return sum - 6;
}

static double sample(data_kind kind, tensor_type t, int64_t row, int64_t col, int64_t cols, uint64_t *state)
{
    double z = random_normal(state);
    switch (kind) {
    case LARGE_MEAN: return 1e4 + z;
    case OUTLIER: return col == row % cols ? 1e4 : z;
    case CONSTANT: return 1.1 + 1000.3 * (double)row;
    case ZERO: return 0;
    case DENORMAL: return z * (t == TENSOR_F16 ? 1e-6 : 1e-40);
    case HUGE: return z * (t == TENSOR_F16 ? 1e4 : 1e30);
    case ALMOST_MAX: return (col % 3 ? 1 : -0.5) * (t == TENSOR_F16 ? 65000 : 3.3e38);
    case RAMP: return (double)col - 0.25 * (double)cols;
    case DROWNED: return 0.008 + 2e-5 * z;
    default: return z;
    }
}

// ---- reference

// The float64 normalisation of a row, before gamma. The mean is summed in more: constant rows show its last bits.
static void normalise_row(const norm *n, const double *x, double *y)
{
    long double sum = 0;
    double square = 0, cols = (double)n->k.cols;
    for (int64_t i = 0; i < n->k.cols && n->layer; i++) sum += x[i];
    double mean = (double)(sum / n->k.cols);
    for (int64_t i = 0; i < n->k.cols; i++) square += (x[i] - mean) * (x[i] - mean);
    for (int64_t i = 0; i < n->k.cols; i++) y[i] = (x[i] - mean) / sqrt(square / cols + n->k.eps);
}

typedef struct buffers {
    guarded x, y, gamma, beta, residual, h;
    double *row, *normalised; // [cols]
} buffers;

static double weighted(const norm *n, const buffers *s, double v, int64_t i)
{
    if (n->k.gamma) v *= (double)get(n->k.weight, s->gamma.data, i) + (n->k.plus_one ? 1 : 0);
    if (n->k.beta) v += (double)get(n->k.weight, s->beta.data, i);
    return v;
}

static size_t y_row_bytes(const norm *n)
{
    return n->k.out_q8 ? (size_t)q8_row_bytes(n->k.cols) : (size_t)n->k.cols * type_bytes(n->k.y);
}

static float q8_get(const unsigned char *row, int64_t i, int64_t cols, float *scale)
{
    memcpy(scale, row + q8_scale_offset(cols) + i / Q8_BLOCK * 4, 4);
    return *scale * (float)(int8_t)row[i];
}

static const char *describe(const norm *n)
{
    static char name[96];
    (n->layer ? layer_norm_name : rms_norm_name)(&n->k, name);
    return name;
}

// Checks one value: `v` is its float64 normalisation, `error` what that may be off by.
static void check_value(const norm *n, const buffers *s, int64_t row, int64_t i, double v, double error,
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

static void check_row(const norm *n, const buffers *s, int64_t row, data_kind kind)
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

static void run_kernel(const norm *n, kernel_fn f, buffers *s, int64_t begin, int64_t end)
{
    void *operands[6] = {s->x.data, s->y.data};
    int count = 2;
    if (n->k.gamma) operands[count++] = s->gamma.data;
    if (n->k.beta) operands[count++] = s->beta.data;
    if (n->k.residual) operands[count++] = s->residual.data, operands[count++] = s->h.data;
    f(operands, NULL, begin, end);
}

static buffers make_buffers(const norm *n, int64_t n_rows)
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

static void free_buffers(buffers *s)
{
    guarded *all[] = {&s->x, &s->y, &s->gamma, &s->beta, &s->residual, &s->h};
    for (int i = 0; i < 6; i++) guarded_free(all[i]);
    free(s->row), free(s->normalised);
}

static void fill(const norm *n, buffers *s, int64_t n_rows, data_kind kind, uint64_t *state)
{
    int64_t cols = n->k.cols;
    for (int64_t i = 0; i < cols; i++) {
        set(n->k.weight, s->gamma.data, i, random_normal(state));
        set(n->k.weight, s->beta.data, i, random_normal(state));
    }
    for (int64_t i = 0; i < n_rows * cols; i++) {
        double x = sample(kind, n->k.x, i / cols, i % cols, cols, state);
        set(n->k.x, s->x.data, i, n->k.residual ? 0.75 * x : x);
        set(n->k.x, s->residual.data, i, 0.25 * x);
    }
}

// Without eps, or nearly so, a layer_norm of a constant row, and an rms_norm of zeros, is 0/0.
static bool is_defined(const norm *n, data_kind kind)
{
    if (n->k.eps > 1e-30) return true;
    return n->layer ? n->k.cols > 2 && kind != CONSTANT && kind != ZERO : kind != ZERO;
}

static void check_norm(const norm *n, kernel_fn f, int64_t n_rows)
{
    buffers s = make_buffers(n, n_rows);
    uint64_t state = 42;
    for (int kind = 0; kind < N_KINDS; kind++) {
        if (!is_defined(n, (data_kind)kind)) continue;
        fill(n, &s, n_rows, (data_kind)kind, &state);
        int64_t middle = n_rows / 2; // in two parts: a row must not touch others
        run_kernel(n, f, &s, 0, middle);
        run_kernel(n, f, &s, middle, n_rows);
        for (int64_t row = 0; row < n_rows; row++) check_row(n, &s, row, (data_kind)kind);
    }
    free_buffers(&s);
}

// ---- building

static void open_norms(harness *h, const char *cpu, const norm *norms, int n, kernel_fn *functions)
{
    wf_error err = {0};
    if (harness_open(h, cpu, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
    static char names[MAX_NORMS][96];
    const char *pointers[MAX_NORMS];
    assert_true(n <= MAX_NORMS);
    for (int i = 0; i < n; i++) {
        (norms[i].layer ? layer_norm_name : rms_norm_name)(&norms[i].k, names[i]);
        (norms[i].layer ? layer_norm_build : rms_norm_build)(&h->builder, &norms[i].k, names[i]);
        pointers[i] = names[i];
    }
    if (harness_compile(h, pointers, n, functions, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
}

// On the first n_cpus of CPUS.
static void check_norms(const norm *norms, int n, int n_cpus)
{
    static const int64_t rows[] = {1, 3, 17};
    for (int c = 0; c < n_cpus; c++) {
        harness h;
        kernel_fn functions[MAX_NORMS];
        open_norms(&h, CPUS[c], norms, n, functions);
        for (int i = 0; i < n; i++)
            for (int r = 0; r < (norms[i].k.cols > 5000 ? 2 : 3); r++) check_norm(&norms[i], functions[i], rows[r]);
        harness_close(&h);
    }
}

// ---- tests

static void test_sizes(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 2, 7, 8, 15, 16, 17, 31, 64, 576, 1536, 4096, 20000};
    norm norms[MAX_NORMS];
    int n = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int kind = 0; kind < 4; kind++) {
            static const norm_strategy strategies[] = {NORM_BY_SIZE, NORM_BY_SIZE, NORM_TWO_PASS, NORM_ONLINE};
            norm_kernel k = {.cols = sizes[i], .eps = 1e-5, .gamma = true, .strategy = strategies[kind]};
            k.beta = kind > 0;
            norms[n++] = (norm){k, .layer = kind > 0};
        }
    check_norms(norms, n, N_CPUS);
}

static void test_types(void **state)
{
    (void)state;
    static const tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16};
    norm norms[MAX_NORMS];
    int n = 0;
    for (int x = 0; x < 3; x++)
        for (int y = 0; y < 3; y++)
            for (int kind = 0; kind < 3; kind++) {
                norm_kernel k = {.cols = 303, .eps = 1e-6, .gamma = true, .x = types[x], .y = types[y]};
                k.weight = types[(x + y) % 3];
                k.beta = kind > 0;
                k.strategy = kind == 2 ? NORM_ONLINE : NORM_BY_SIZE;
                norms[n++] = (norm){k, .layer = kind > 0};
            }
    check_norms(norms, n, 2);
}

// Subsets of gamma, beta, residual, plus one and rounding, so that every pair of them meets.
static void test_options(void **state)
{
    (void)state;
    static const unsigned subsets[] = {
        0, 1, 2, 4, 16, 1 | 8, 1 | 2 | 16, 2 | 4 | 16, 1 | 2 | 4 | 8, 1 | 4 | 8 | 16, 1 | 2 | 4 | 8 | 16};
    norm norms[MAX_NORMS];
    int n = 0;
    for (size_t i = 0; i < sizeof subsets / sizeof *subsets; i++)
        for (int kind = 0; kind < 4; kind++) {
            unsigned bits = subsets[i];
            norm_kernel k = {.cols = 77, .eps = 1e-6};
            k.x = k.y = k.weight = kind & 1 ? TENSOR_BF16 : TENSOR_F32;
            k.gamma = bits & 1, k.beta = bits & 2, k.residual = bits & 4;
            k.plus_one = bits & 8, k.round_before_gamma = bits & 16;
            bool layer = (kind + (int)i) % 3 > 0;
            k.strategy = layer && kind > 1 ? NORM_ONLINE : NORM_BY_SIZE;
            norms[n++] = (norm){k, layer};
        }
    check_norms(norms, n, 2);
}

static void test_q8(void **state)
{
    (void)state;
    norm norms[8];
    int n = 0;
    static const int64_t sizes[] = {32, 64, 96, 576};
    for (int i = 0; i < 4; i++)
        for (int layer = 0; layer < 2; layer++)
            norms[n++] = (norm){{.cols = sizes[i], .eps = 1e-6, .gamma = true, .out_q8 = true}, .layer = layer};
    for (int c = 0; c < N_CPUS; c++) {
        harness h;
        kernel_fn functions[8];
        open_norms(&h, CPUS[c], norms, n, functions);
        for (int i = 0; i < n; i++) {
            buffers s = make_buffers(&norms[i], 5);
            uint64_t seed = 1;
            fill(&norms[i], &s, 5, NORMAL, &seed);
            run_kernel(&norms[i], functions[i], &s, 0, 5);
            for (int64_t row = 0; row < 5; row++) check_row(&norms[i], &s, row, NORMAL);
            free_buffers(&s);
        }
        harness_close(&h);
    }
}

// Without eps, or with one that nothing hides behind, tiny rows must be normalised as well as others.
static void test_no_eps(void **state)
{
    (void)state;
    norm norms[MAX_NORMS];
    int n = 0;
    static const double eps[] = {0, 1e-45, 1e-80};
    static const int64_t sizes[] = {3, 17, 576, 7001};
    for (int e = 0; e < 3; e++)
        for (int i = 0; i < 4; i++)
            for (int kind = 0; kind < 3; kind++)
                norms[n++] =
                    (norm){{.cols = sizes[i], .eps = eps[e], .strategy = kind == 2 ? NORM_ONLINE : NORM_BY_SIZE},
                           .layer = kind > 0};
    check_norms(norms, n, 1);
}

// In place, as PyTorch's results are: rms_norm keeps zeros beside an inf, layer_norm keeps nothing; rows do not mix.
static void test_inf_nan(void **state)
{
    (void)state;
    norm norms[24];
    int n = 0;
    static const tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16};
    static const int64_t sizes[] = {5, 100};
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < 2; i++)
            for (int kind = 0; kind < 3; kind++)
                norms[n++] = (norm){{.cols = sizes[i],
                                     .eps = 1e-6,
                                     .x = types[t],
                                     .y = types[t],
                                     .strategy = kind == 2 ? NORM_ONLINE : NORM_BY_SIZE},
                                    .layer = kind > 0};
    for (int c = 0; c < N_CPUS; c++) {
        harness h;
        kernel_fn functions[24];
        open_norms(&h, CPUS[c], norms, n, functions);
        for (int i = 0; i < n; i++) {
            const norm *m = &norms[i];
            int64_t cols = m->k.cols, hit = cols - 2;
            buffers s = make_buffers(m, 4);
            uint64_t seed = 3;
            fill(m, &s, 4, NORMAL, &seed);
            set(m->k.x, s.x.data, 1 * cols + hit, INFINITY);
            set(m->k.x, s.x.data, 2 * cols + hit, NAN);
            memcpy(s.y.data, s.x.data, s.x.bytes);
            void *operands[] = {s.y.data, s.y.data};
            functions[i](operands, NULL, 0, 4);
            check_row(m, &s, 0, NORMAL);
            check_row(m, &s, 3, NORMAL);
            for (int64_t j = 0; j < cols; j++) {
                float with_inf = get(m->k.y, s.y.data, cols + j), with_nan = get(m->k.y, s.y.data, 2 * cols + j);
                assert_true(m->layer || j == hit ? isnan(with_inf) : with_inf == 0);
                assert_true(isnan(with_nan));
            }
            free_buffers(&s);
        }
        harness_close(&h);
    }
}

// A NaN whose bits are all set stays one when it is rounded to bf16: the carry of rounding must not run over.
static void test_nan_bits(void **state)
{
    (void)state;
    static const tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16};
    norm norms[18];
    for (int i = 0; i < 18; i++)
        norms[i] = (norm){
            {.cols = 100, .eps = 1e-6, .x = types[i % 3], .y = TENSOR_BF16, .weight = types[i / 3 % 3], .gamma = true},
            .layer = i >= 9};
    for (int c = 0; c < N_CPUS; c++) {
        harness h;
        kernel_fn functions[18];
        open_norms(&h, CPUS[c], norms, 18, functions);
        for (int i = 0; i < 18; i++) {
            const norm *m = &norms[i];
            buffers s = make_buffers(m, 3);
            uint64_t seed = 3;
            fill(m, &s, 3, NORMAL, &seed);
            for (int64_t j = 1; j < 100; j += 7) {
                size_t bytes = type_bytes(m->k.weight);
                memset(s.gamma.data + (size_t)j * bytes, 0xff, bytes);
                s.gamma.data[(size_t)(j + 1) * bytes - 1] = 0x7f;
            }
            run_kernel(m, functions[i], &s, 0, 3);
            for (int64_t j = 0; j < 300; j++)
                assert_int_equal(!!isnan(get(TENSOR_BF16, s.y.data, j)), j % 100 % 7 == 1);
            free_buffers(&s);
        }
        harness_close(&h);
    }
}

// Results that lie in the middle between two bf16 values are rounded to the even one: 1 + i / 512.
static void test_ties(void **state)
{
    (void)state;
    static const tensor_type types[] = {TENSOR_BF16, TENSOR_F16, TENSOR_F32};
    norm norms[3];
    for (int i = 0; i < 3; i++)
        norms[i] = (norm){
            {.cols = 255, .x = types[i], .y = TENSOR_BF16, .weight = types[i], .gamma = true, .plus_one = true}, false};
    for (int c = 0; c < N_CPUS; c++) {
        harness h;
        kernel_fn functions[3];
        open_norms(&h, CPUS[c], norms, 3, functions);
        for (int i = 0; i < 3; i++) {
            buffers s = make_buffers(&norms[i], 2);
            for (int64_t j = 0; j < 255; j++) set(types[i], s.gamma.data, j, (double)j / 512);
            for (int64_t j = 0; j < 510; j++) set(types[i], s.x.data, j, j % 3 ? 1 : -1);
            run_kernel(&norms[i], functions[i], &s, 0, 2);
            for (int64_t j = 0; j < 510; j++) {
                double y = (j % 3 ? 1 : -1) * (1 + (double)(j % 255) / 512);
                assert_true(get(TENSOR_BF16, s.y.data, j) == round_to(TENSOR_BF16, y));
            }
            free_buffers(&s);
        }
        harness_close(&h);
    }
}

// The size alone decides between the strategies, and a very long row is right too.
static void test_long_row(void **state)
{
    (void)state;
    norm norms[] = {{{.cols = 200003, .eps = 1e-5}, true}, {{.cols = 200003, .eps = 1e-5}, false}};
    harness h;
    kernel_fn functions[2];
    open_norms(&h, CPUS[0], norms, 2, functions);
    for (int i = 0; i < 2; i++) check_norm(&norms[i], functions[i], 2);
    harness_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_types),    cmocka_unit_test(test_options),
        cmocka_unit_test(test_q8),       cmocka_unit_test(test_no_eps),   cmocka_unit_test(test_inf_nan),
        cmocka_unit_test(test_nan_bits), cmocka_unit_test(test_long_row), cmocka_unit_test(test_ties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
