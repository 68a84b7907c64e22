// Norm kernels of f64 against long double: both norms, both strategies, whole rows and parts.
//
// What must hold: a result is off by at most 64 units of 2^-53, relative to the row's largest result; and, since means
// are rounded to f64, by 4 units for each deviation that the mean is away from 0.
#include "compiler/kernel/norm/norm_testing.h"

static const data_kind DATA[] = {NORMAL, LARGE_MEAN, OUTLIER, ZERO, CONSTANT, RAMP};
enum { N_ROWS = 3, N_DATA = sizeof DATA / sizeof *DATA };

typedef struct arrays {
    double *x, *residual, *h, *y, *gamma, *beta;
    void *moments;
} arrays;

static arrays make_arrays(const norm *n)
{
    size_t row = (size_t)n->k.cols * sizeof(double);
    return (arrays){.x = filled_memory(N_ROWS * row, 0),
                    .residual = filled_memory(N_ROWS * row, 0),
                    .h = filled_memory(N_ROWS * row, 0x7f),
                    .y = filled_memory(N_ROWS * row, 0x7f),
                    .gamma = filled_memory(row, 0),
                    .beta = filled_memory(row, 0),
                    .moments = filled_memory((size_t)(N_ROWS * norm_part_count(n->k.cols)) * NORM_MOMENTS_BYTES, 0x7f)};
}

static void free_arrays(arrays *s)
{
    free(s->x), free(s->residual), free(s->h), free(s->y), free(s->gamma), free(s->beta), free(s->moments);
}

static void fill_arrays(const norm *n, arrays *s, data_kind kind)
{
    rng random = {9};
    int64_t cols = n->k.cols;
    for (int64_t i = 0; i < cols; i++) {
        s->gamma[i] = (double)random_normal(&random);
        s->beta[i] = (double)random_normal(&random);
    }
    for (int64_t i = 0; i < N_ROWS * cols; i++) {
        double x = sample(kind, TENSOR_F64, i / cols, i % cols, cols, &random);
        s->x[i] = n->k.residual ? 0.7 * x : x;
        s->residual[i] = 0.3 * x;
    }
}

static void check_f64_row(const norm *n, const arrays *s, int64_t row)
{
    int64_t cols = n->k.cols;
    const double *x = (n->k.residual ? s->h : s->x) + row * cols, *y = s->y + row * cols;
    long double mean = 0, square = 0, largest = 0;
    for (int64_t i = 0; i < cols && n->k.residual; i++)
        assert_true(x[i] == s->x[row * cols + i] + s->residual[row * cols + i]);
    // twice, the second time what the first one is off by: constant rows show its last bits
    for (int pass = 0; pass < 2 && n->layer; pass++) {
        long double rest = 0;
        for (int64_t i = 0; i < cols; i++) rest += x[i] - mean;
        mean += rest / cols;
    }
    for (int64_t i = 0; i < cols; i++) square += (x[i] - mean) * (x[i] - mean) / cols;
    long double scale = 1 / sqrtl(square + (long double)n->k.eps);
    for (int64_t i = 0; i < cols; i++) {
        long double v = fabsl((x[i] - mean) * scale);
        largest = v > largest ? v : largest;
    }
    for (int64_t i = 0; i < cols; i++) {
        long double gamma = n->k.gamma ? s->gamma[i] : 1, beta = n->k.beta ? s->beta[i] : 0;
        long double want = (x[i] - mean) * scale * gamma + beta;
        long double allowed = 0x1p-53L * (fabsl(gamma) * (64 * largest + 4 * fabsl(mean) * scale) + 4 * fabsl(beta));
        if (!(fabsl(y[i] - want) <= allowed))
            fail_msg("%s: row %d column %d is %.17g, not %.20Lg", describe(n), (int)row, (int)i, y[i], want);
    }
}

// f: the kernel of rows, or both of parts.
static void run_f64(const norm *n, const kernel_fn *f, bool parts, arrays *s)
{
    void *operands[7] = {s->x, s->y};
    int count = 2;
    if (parts) {
        int64_t n_tiles = N_ROWS * norm_part_count(n->k.cols);
        f[0]((void *[]){s->x, s->moments, s->residual, s->h}, NULL, 0, n_tiles);
        if (n->k.residual) operands[0] = s->h;
        operands[count++] = s->moments;
    }
    if (n->k.gamma) operands[count++] = s->gamma;
    if (n->k.beta) operands[count++] = s->beta;
    if (n->k.residual && !parts) operands[count++] = s->residual, operands[count++] = s->h;
    f[parts](operands, NULL, 0, parts ? N_ROWS * norm_part_count(n->k.cols) : N_ROWS);
}

static void test_f64(void **state)
{
    (void)state;
    static const struct {
        int64_t cols;
        bool parts;
        norm_strategy strategy;
    } shapes[] = {{1, false, NORM_BY_SIZE},   {7, false, NORM_TWO_PASS},    {64, false, NORM_ONLINE},
                  {577, false, NORM_BY_SIZE}, {70001, false, NORM_BY_SIZE}, {40003, true, NORM_BY_SIZE}};
    enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_NORMS = 2 * N_SHAPES };
    norm norms[N_NORMS], kernels[2 * N_NORMS];
    int first[N_NORMS], n_kernels = 0;
    for (int i = 0; i < N_NORMS; i++) {
        norms[i] = (norm){{.cols = shapes[i / 2].cols, .eps = 1e-9, .strategy = shapes[i / 2].strategy}, i % 2};
        norm_kernel *k = &norms[i].k;
        k->x = k->y = k->weight = TENSOR_F64;
        k->gamma = i % 3 > 0, k->beta = i % 3 > 1, k->residual = i / 2 % 2;
        first[i] = n_kernels;
        kernels[n_kernels++] = norms[i];
        if (!shapes[i / 2].parts) continue;
        kernels[n_kernels] = norms[i];
        kernels[n_kernels - 1].k.stage = NORM_READ_PARTS;
        kernels[n_kernels].k.stage = NORM_WRITE_PARTS;
        kernels[n_kernels++].k.residual = false;
    }
    for (int c = 0; c < 2; c++) {
        harness h;
        kernel_fn functions[2 * N_NORMS];
        open_norms(&h, NORM_CPUS[c], kernels, n_kernels, functions);
        for (int i = 0; i < N_NORMS; i++) {
            arrays s = make_arrays(&norms[i]);
            for (int d = 0; d < N_DATA; d++) {
                fill_arrays(&norms[i], &s, DATA[d]);
                run_f64(&norms[i], functions + first[i], shapes[i / 2].parts, &s);
                for (int64_t row = 0; row < N_ROWS; row++) check_f64_row(&norms[i], &s, row);
            }
            free_arrays(&s);
        }
        harness_close(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f64)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
