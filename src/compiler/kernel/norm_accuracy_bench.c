// Measures how far ways to compute a LayerNorm in f32 are off, for docs/norms.md: textbook formulas in plain C, summed
// in 32 lanes as vector code does, beside the kernels.
//
// Prints, for each kind of row, the largest error of 64 rows of 1536, relative to the row's largest result in float64.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/kernel/harness.h"
#include "compiler/kernel/norm.h"

enum { N_ROWS = 64, N_COLS = 1536, N_LANES = 32, N_DATA = 5, N_FORMULAS = 4, N_METHODS = N_FORMULAS + 2 };
static const double EPS = 1e-5;
static const char *const DATA[N_DATA] = {"N(0, 1)", "mean 1e4, std 1", "one outlier of 1e4", "constant 1e4 + 0.1",
                                         "0 .. 1e4, rising"};
static const char *const METHODS[N_METHODS] = {"E[x^2] - E[x]^2",      "Welford",          "two passes",
                                               "corrected two passes", "kernel, two-pass", "kernel, online"};

// What a formula finds: y = ((x - mean) - rest) / sqrt(var + eps).
typedef struct moments {
    float mean, rest, var;
} moments;

static float sum_lanes(const float *lanes)
{
    float sum = 0;
    for (int i = 0; i < N_LANES; i++) sum += lanes[i];
    return sum;
}

static moments naive(const float *x)
{
    float sums[N_LANES] = {0}, squares[N_LANES] = {0};
    for (int i = 0; i < N_COLS; i++) {
        sums[i % N_LANES] += x[i];
        squares[i % N_LANES] += x[i] * x[i];
    }
    float mean = sum_lanes(sums) / N_COLS, var = sum_lanes(squares) / N_COLS - mean * mean;
    return (moments){.mean = mean, .var = fmaxf(var, 0)};
}

static moments welford(const float *x)
{
    float means[N_LANES] = {0}, m2s[N_LANES] = {0}, m2 = 0;
    for (int i = 0; i < N_COLS; i++) {
        int lane = i % N_LANES;
        float d = x[i] - means[lane];
        means[lane] += d / (float)(i / N_LANES + 1);
        m2s[lane] += d * (x[i] - means[lane]);
    }
    float mean = sum_lanes(means) / N_LANES, count = N_COLS / N_LANES;
    for (int i = 0; i < N_LANES; i++) m2 += m2s[i] + count * (means[i] - mean) * (means[i] - mean);
    return (moments){.mean = mean, .var = m2 / N_COLS};
}

static moments corrected(const float *x)
{
    float sums[N_LANES] = {0}, rests[N_LANES] = {0}, squares[N_LANES] = {0};
    for (int i = 0; i < N_COLS; i++) sums[i % N_LANES] += x[i];
    float mean = sum_lanes(sums) / N_COLS;
    for (int i = 0; i < N_COLS; i++) {
        float d = x[i] - mean;
        rests[i % N_LANES] += d;
        squares[i % N_LANES] += d * d;
    }
    float rest = sum_lanes(rests) / N_COLS;
    return (moments){.mean = mean, .rest = rest, .var = sum_lanes(squares) / N_COLS - rest * rest};
}

static moments two_passes(const float *x)
{
    moments m = corrected(x);
    return (moments){.mean = m.mean, .var = m.var + m.rest * m.rest};
}

static double random_normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(*state >> 32) / 4294967296.0;
    }
    return sum - 6;
}

static void fill(float *x, int data)
{
    uint64_t state = 42;
    for (int i = 0; i < N_ROWS * N_COLS; i++) {
        int col = i % N_COLS;
        double z = random_normal(&state);
        double values[N_DATA] = {z, 1e4 + z, col == i / N_COLS ? 1e4 : z, 1e4 + 0.1, 1e4 * col / N_COLS};
        x[i] = (float)values[data];
    }
}

static double row_error(const float *x, const float *y)
{
    double mean = 0, var = 0, largest = 0, error = 0;
    for (int i = 0; i < N_COLS; i++) mean += x[i] / (double)N_COLS;
    for (int i = 0; i < N_COLS; i++) var += (x[i] - mean) * (x[i] - mean) / N_COLS;
    for (int i = 0; i < N_COLS; i++) {
        double want = (x[i] - mean) / sqrt(var + EPS);
        largest = fmax(largest, fabs(want));
        error = fmax(error, fabs(y[i] - want));
    }
    return error / (largest > 1e-3 ? largest : 1); // a constant row has no results to compare with
}

static double largest_error(const float *x, const float *y)
{
    double error = 0;
    for (int r = 0; r < N_ROWS; r++) error = fmax(error, row_error(x + r * N_COLS, y + r * N_COLS));
    return error;
}

static void apply(moments (*formula)(const float *), const float *x, float *y)
{
    for (int r = 0; r < N_ROWS; r++) {
        const float *row = x + r * N_COLS;
        moments m = formula(row);
        float scale = 1 / sqrtf(m.var + (float)EPS);
        for (int i = 0; i < N_COLS; i++) y[r * N_COLS + i] = ((row[i] - m.mean) - m.rest) * scale;
    }
}

static wf_status print_table(harness *h, float *x, float *y, wf_error *err)
{
    static moments (*const formulas[N_FORMULAS])(const float *) = {naive, welford, two_passes, corrected};
    char names[2][96];
    kernel_fn kernels[2];
    TRY(harness_open(h, "native", err));
    for (int i = 0; i < 2; i++) {
        norm_kernel k = {.cols = N_COLS, .eps = EPS, .strategy = i ? NORM_ONLINE : NORM_TWO_PASS};
        layer_norm_name(&k, names[i]);
        layer_norm_build(&h->builder, &k, names[i]);
    }
    TRY(harness_compile(h, (const char *[]){names[0], names[1]}, 2, kernels, err));
    printf("| |");
    for (int d = 0; d < N_DATA; d++) printf(" %s |", DATA[d]);
    printf("\n|---|---|---|---|---|---|\n");
    for (int m = 0; m < N_METHODS; m++) {
        printf("| %s |", METHODS[m]);
        for (int d = 0; d < N_DATA; d++) {
            fill(x, d);
            if (m < N_FORMULAS)
                apply(formulas[m], x, y);
            else
                kernels[m - N_FORMULAS]((void *[]){x, y}, NULL, 0, N_ROWS);
            printf(" %.1e |", largest_error(x, y));
        }
        printf("\n");
    }
    return WF_OK;
}

int main(void)
{
    harness h = {0};
    wf_error err = {0};
    float *x = aligned_alloc(64, N_ROWS * N_COLS * sizeof *x), *y = aligned_alloc(64, N_ROWS * N_COLS * sizeof *y);
    wf_status status = x && y ? print_table(&h, x, y, &err) : error_memory(&err, N_ROWS * N_COLS * sizeof *x);
    if (status != WF_OK) fprintf(stderr, "norm_accuracy_bench: %s\n", err.message);
    harness_close(&h);
    free(x), free(y);
    return status == WF_OK ? 0 : 1;
}
