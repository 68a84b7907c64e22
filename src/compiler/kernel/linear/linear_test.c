// Linear kernels against float64 with the dequantised weights: all layouts, row counts, odd sizes, epilogues; the same
// bits of a row whatever the others; AVX2 code and the logic of AVX-512 code on any CPU.
#include "compiler/kernel/linear/linear.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/rows/q8.h"
#include "compiler/kernel/testing.h"
#include "runtime/weight/unpack.h"

// What CPUs without BF16, or with VNNI in 256 bits, do differently is tested by a part of the products.
static const char *const CPUS[] = {"native", "haswell", "emulated-avx512", "emulated-avx-vnni"};
enum { N_CPUS = sizeof CPUS / sizeof *CPUS, N_WHOLE = 3 };

// One product to try.
typedef struct product {
    linear_kernel k;
    int64_t features; // of y
} product;

// Random packed weights with sensible scales; quants take all their values, -128 included.
static unsigned char *random_weights(rng *r, const linear_kernel *k, int64_t panels, size_t *panel_bytes)
{
    assert_true(layout_panel_bytes(k->layout, k->cols, panel_bytes));
    size_t bytes = (size_t)panels * *panel_bytes;
    unsigned char *w = filled_memory(bytes, 0x7f);
    for (size_t i = 0; i < bytes; i++) w[i] = (unsigned char)random_bits(r);
    const quant_format *f = layout_quant(k->layout);
    if (f) {
        size_t step = (size_t)quant_step_bytes(f), n_scales = (size_t)quant_header_bytes(f) / 2;
        for (size_t at = 0; at < bytes; at += step)
            for (size_t i = 0; i < n_scales; i++) {
                uint16_t h = half_from_float(0.01f * random_normal(r));
                memcpy(w + at + 2 * i, &h, 2);
            }
        return w;
    }
    const weight_type *t = weight_type_in(k->layout);
    size_t size = weight_type_file_bytes(t, 1);
    for (size_t at = 0; at < bytes; at += size) {
        float x = 0.05f * random_normal(r);
        uint16_t h = t->pairs ? bfloat_from_float(x) : half_from_float(x);
        memcpy(w + at, size == 4 ? (void *)&x : (void *)&h, size);
    }
    return w;
}

// Where integer products with a block begin (kernel/rows/q8.h).
static void write_starts(unsigned char *row, int64_t cols, int64_t block, bool vpdpbusd)
{
    int32_t z = 0;
    for (int half = 0; half < 2; half++) {
        int32_t pairs[2] = {0};
        for (int j = 0; j < 16; j++) pairs[j / 2 % 2] += (int8_t)row[block * 32 + 16 * half + j];
        int32_t all = -128 * (pairs[0] + pairs[1]);
        int16_t apart[] = {(int16_t)(-32 * pairs[0]), (int16_t)(-32 * pairs[1])};
        memcpy(row + q8_half_offset(cols) + 8 * block + 4 * half, vpdpbusd ? (void *)&all : apart, 4);
        z += all;
    }
    if (vpdpbusd) memcpy(row + q8_start_offset(cols) + 4 * block, &z, 4);
}

static bool takes_q8(const linear_kernel *k)
{
    return weight_type_in(k->layout)->activation == ACTIVATION_Q8 && !k->wide;
}

// x as the kernel reads it; what it stands for goes back into x.
static unsigned char *activations(const linear_kernel *k, const kernel_target *target, float *x, int64_t n_rows)
{
    if (!takes_q8(k)) {
        unsigned char *same = filled_memory((size_t)(n_rows * k->cols * 4), 0x7f);
        memcpy(same, x, (size_t)(n_rows * k->cols * 4));
        return same;
    }
    unsigned char *rows = filled_memory((size_t)(n_rows * q8_row_bytes(k->cols)), 0x7f);
    for (int64_t i = 0; i < n_rows * k->cols / 32; i++) {
        int64_t row = i / (k->cols / 32), block = i % (k->cols / 32);
        unsigned char *out = rows + row * q8_row_bytes(k->cols);
        float *values = x + i * 32, largest = 0;
        for (int j = 0; j < 32; j++) largest = fmaxf(largest, fabsf(values[j]));
        float d = largest / 127;
        int sum = 0;
        for (int j = 0; j < 32; j++) {
            int q = d > 0 ? (int)lrintf(values[j] / d) : 0;
            out[block * 32 + j] = (unsigned char)(int8_t)q;
            sum += q;
            values[j] = d * (float)q;
        }
        float s = d * (float)sum;
        memcpy(out + q8_scale_offset(k->cols) + 4 * block, &d, 4);
        memcpy(out + q8_sum_offset(k->cols) + 4 * block, &s, 4);
        write_starts(out, k->cols, block, target->vpdpbusd);
    }
    return rows;
}

static double dot(const float *x, const float *w, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)w[i];
    return sum;
}

// All weights as floats, [panels * 16][cols].
static float *unpack_weights(const linear_kernel *k, const unsigned char *w, int64_t panels)
{
    float *all = filled_memory((size_t)(panels * PANEL_ROWS * k->cols) * 4, 0x7f);
    for (int64_t i = 0; i < panels * PANEL_ROWS; i++) weight_unpack_row(k->layout, w, k->cols, i, all + i * k->cols);
    return all;
}

static double reference(const product *p, const float *x, const float *weights, int64_t feature)
{
    const linear_kernel *k = &p->k;
    if (!k->swiglu) return dot(x, weights + feature * k->cols, k->cols);
    // panels alternate: features 16i.. of the gate, the same of up
    const float *gate = weights + (feature / PANEL_ROWS * 2 * PANEL_ROWS + feature % PANEL_ROWS) * k->cols;
    double g = dot(x, gate, k->cols), up = dot(x, gate + PANEL_ROWS * k->cols, k->cols);
    double rate = k->gelu ? 2 * sqrt(2 / 3.14159265358979324) * (1 + 0.044715 * g * g) : 1; // of x in e^-x
    return g / (1 + exp(-rate * g)) * up;
}

// x as it is taken where BF16 weights are multiplied by vdpbf16ps. How much that changes x is
// bounded here, so that the product itself can be held to the limit of exact ones.
static void round_activations(float *x, int64_t n)
{
    double error = 0, power = 0;
    for (int64_t i = 0; i < n; i++) {
        float rounded = bfloat_to_float(bfloat_from_float(x[i]));
        error += pow((double)rounded - x[i], 2);
        power += pow(x[i], 2);
        x[i] = rounded;
    }
    assert_true(error > 0 && error <= 1e-5 * power);
}

static void check_product(kernel_fn f, const product *p, const kernel_target *target, int64_t n_rows, rng *r)
{
    const linear_kernel *k = &p->k;
    int64_t panels = (p->features + 15) / 16 * (k->swiglu ? 2 : 1), n = p->features;
    int64_t tiles = (n + linear_tile_features(k) - 1) / linear_tile_features(k);
    size_t panel_bytes;
    unsigned char *w = random_weights(r, k, panels, &panel_bytes);
    float *x = filled_memory((size_t)(n_rows * k->cols * 4), 0x7f), *weights = unpack_weights(k, w, panels);
    for (int64_t i = 0; i < n_rows * k->cols; i++) x[i] = random_normal(r);
    unsigned char *x_packed = activations(k, target, x, n_rows);
    if (weight_type_in(k->layout)->activation == ACTIVATION_BF16 && target->vdpbf16ps)
        round_activations(x, n_rows * k->cols);
    int64_t y_row = k->q8_features ? q8_row_bytes(n) : 4 * n;
    unsigned char *y = filled_memory((size_t)(n_rows * y_row), 0x7f);
    float *bias = filled_memory((size_t)(n + 16) * 4, 0x7f), *residual = filled_memory((size_t)(n_rows * n * 4), 0x7f);
    for (int64_t i = 0; i < n; i++) bias[i] = random_normal(r);
    for (int64_t i = 0; i < n_rows * n; i++) residual[i] = random_normal(r);

    void *operands[5] = {x_packed, w, y};
    int n_operands = 3;
    if (k->bias) operands[n_operands++] = bias;
    if (k->residual) operands[n_operands++] = residual;
    int64_t dims[] = {n_rows, n, tiles};
    int64_t middle = tiles / 2; // in two parts: a tile must not touch others
    f(operands, dims, 0, middle);
    f(operands, dims, middle, tiles);

    double error = 0, power = 0;
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t j = 0; j < n; j++) {
            double want = reference(p, x + i * k->cols, weights, j), got;
            if (k->bias) want += bias[j];
            if (k->residual) want += residual[i * n + j];
            if (k->q8_features) {
                float d;
                memcpy(&d, y + i * y_row + q8_scale_offset(n) + j / 32 * 4, 4);
                got = (double)d * (int8_t)y[i * y_row + j];
            } else {
                float v;
                memcpy(&v, y + i * y_row + 4 * j, 4);
                got = v;
            }
            error += (got - want) * (got - want);
            power += want * want;
        }
    // what is left is f32 rounding, which grows with the length of the sums, and that of 8-bit results where asked for:
    // an error of (max/127)^2 / 12 each, 32 / (12 * 127^2) = 1.7e-4 of a block's power where one value is all of it
    double limit = k->q8_features ? 2e-4 : k->cols < 1000 ? 1e-12 : 1e-15 * (double)k->cols;
    if (!(error <= limit * power)) {
        buffer name = {0};
        kernel_write_name(&LINEAR_KERNEL, k, &name);
        fail_msg("%s, %d rows, %d features: NMSE %g", name.data, (int)n_rows, (int)n, error / power);
    }
    free(w), free(x), free(weights), free(x_packed), free(y), free(bias), free(residual);
}

static void check_products(const char *cpu, const product *products, int n)
{
    harness h;
    wf_error err = {0};
    if (harness_open(&h, cpu, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
    enum { MAX_PRODUCTS = 32 };
    assert_in_range(n, 1, MAX_PRODUCTS);
    const char *names[MAX_PRODUCTS];
    kernel_fn functions[MAX_PRODUCTS];
    for (int i = 0; i < n; i++) names[i] = harness_add(&h, &LINEAR_KERNEL, &products[i].k);
    if (harness_compile(&h, names, n, functions, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
    static const int64_t rows[] = {1, 2, 3, 4, 7, 8, 12, 23, 60, 512};
    enum { N_ROWS = sizeof rows / sizeof *rows };
    rng r = {42};
    for (int i = 0; i < n; i++)
        for (int j = 0; j < (products[i].k.cols > 600 ? N_ROWS - 1 : N_ROWS); j++) // long rows: seconds a product
            check_product(functions[i], &products[i], &h.builder.target, rows[j], &r);
    harness_close(&h);
}

// Every layout: a few columns, and odd numbers of features and (of floats) columns.
static void test_layouts(void **state)
{
    (void)state;
    product products[2 * LAYOUT_COUNT];
    int n = LAYOUT_COUNT - LAYOUT_F32_X16;
    for (int i = 0; i < n; i++) {
        weight_layout layout = (weight_layout)(LAYOUT_F32_X16 + i);
        const quant_format *f = layout_quant(layout);
        int64_t step = f ? f->blocks * QUANT_BLOCK : 37;
        products[i] = (product){{.layout = layout, .cols = step, .tail = 5}, .features = 37};
        products[n + i] = (product){{.layout = layout, .cols = f && f->blocks > 1 ? 512 : 96}, .features = 48};
    }
    for (int c = 0; c < N_WHOLE; c++) check_products(CPUS[c], products, 2 * n);
    // the paths that only some forms of activations have
    product bf16[LAYOUT_COUNT], quantised[LAYOUT_COUNT];
    int n_bf16 = 0, n_quantised = 0;
    for (int i = 0; i < n; i++) {
        activation_form form = weight_type_in(products[i].k.layout)->activation;
        if (form == ACTIVATION_BF16) bf16[n_bf16++] = products[i];
        if (form == ACTIVATION_Q8) quantised[n_quantised++] = products[i];
    }
    assert_true(n_bf16 && n_quantised);
    check_products("emulated-avx512f", bf16, n_bf16);
    check_products("emulated-avx512f", quantised, 1);
    check_products("emulated-avx-vnni", quantised, n_quantised);
}

// f32 activations times quantised weights.
static void test_wide(void **state)
{
    (void)state;
    static const product products[] = {
        {{.layout = LAYOUT_Q8_0_X16, .cols = 32, .wide = true, .tail = 5}, .features = 37},
        {{.layout = LAYOUT_Q4_0_X16, .cols = 96, .wide = true}, .features = 48},
        {{.layout = LAYOUT_Q8_0_X16, .cols = 4128, .wide = true}, .features = 32},
        {{.layout = LAYOUT_Q4_0_X16, .cols = 3200, .wide = true, .bias = true, .residual = true, .tail = 3},
         .features = 35},
        {{.layout = LAYOUT_Q4_0_X16, .cols = 64, .wide = true, .swiglu = true}, .features = 48},
    };
    for (int c = 0; c < N_WHOLE; c++) check_products(CPUS[c], products, (int)(sizeof products / sizeof *products));
}

// More columns than are summed at a time, and more rows than a block has.
static void test_long_rows(void **state)
{
    (void)state;
    static const linear_kernel kernels[] = {
        {.layout = LAYOUT_F32_X16, .cols = 777},
        {.layout = LAYOUT_F32_X16, .cols = 5},
        {.layout = LAYOUT_F32_X16, .cols = 1024}, // rows that share sets of the first-level cache
        {.layout = LAYOUT_BF16_X16, .cols = 1153},
        {.layout = LAYOUT_F16_X16, .cols = 5000},
        {.layout = LAYOUT_Q8_0_X16, .cols = 4128},
        {.layout = LAYOUT_Q4_1_X16, .cols = 10016},
        {.layout = LAYOUT_Q6_K_X16, .cols = 3328},
        {.layout = LAYOUT_Q4_K_X16, .cols = 4096, .swiglu = true, .q8_features = 32},
    };
    product products[sizeof kernels / sizeof *kernels];
    int n = 0;
    for (; n < (int)(sizeof kernels / sizeof *kernels); n++) products[n] = (product){kernels[n], .features = 32};
    for (int c = 0; c < N_WHOLE; c++) check_products(CPUS[c], products, n);
}

static void test_epilogues(void **state)
{
    (void)state;
    product products[16];
    int n = 0;
    static const weight_layout layouts[] = {LAYOUT_Q4_1_X16, LAYOUT_F16_X16};
    for (int i = 0; i < 2; i++) {
        linear_kernel k = {.layout = layouts[i], .cols = 64};
        linear_kernel bias = k, residual = k, both_tail = k, swiglu = k, swiglu_q8 = k, geglu;
        bias.bias = residual.residual = true;
        both_tail.bias = both_tail.residual = true;
        both_tail.tail = 3;
        swiglu.swiglu = swiglu_q8.swiglu = true;
        swiglu_q8.q8_features = 64;
        geglu = swiglu;
        geglu.gelu = true;
        products[n++] = (product){bias, .features = 32};
        products[n++] = (product){residual, .features = 32};
        products[n++] = (product){both_tail, .features = 35};
        products[n++] = (product){swiglu, .features = 48};
        products[n++] = (product){swiglu_q8, .features = 64};
        products[n++] = (product){geglu, .features = 48};
    }
    for (int c = 0; c < N_WHOLE; c++) check_products(CPUS[c], products, n);
}

// Rows first .. first + n_rows - 1 of y in a call of their own.
static void multiply(kernel_fn f, const linear_kernel *k, const unsigned char *x, int64_t row_bytes, unsigned char *w,
                     float *y, int64_t features, int64_t first, int64_t n_rows)
{
    void *operands[] = {(void *)(uintptr_t)(x + first * row_bytes), w, y + first * features};
    int64_t tiles = (features + linear_tile_features(k) - 1) / linear_tile_features(k),
            dims[] = {n_rows, features, tiles};
    f(operands, dims, 0, tiles);
}

// A row's bits are the same in calls of 1 to 17, 64 and 512 rows (under emulation, which is slow, to 64).
static void check_same_bits(const char *cpu, kernel_fn f, const linear_kernel *k, const kernel_target *target, rng *r)
{
    enum { FEATURES = 21 };
    const int64_t all = target->emulated ? 64 : 512;
    size_t panel_bytes;
    unsigned char *w = random_weights(r, k, (FEATURES + 15) / 16, &panel_bytes);
    float *x = filled_memory((size_t)(all * k->cols * 4), 0x7f);
    for (int64_t i = 0; i < all * k->cols; i++) x[i] = random_normal(r);
    unsigned char *packed = activations(k, target, x, all);
    int64_t row_bytes = takes_q8(k) ? q8_row_bytes(k->cols) : 4 * k->cols;
    float *alone = filled_memory((size_t)(all * FEATURES) * 4, 0x7f),
          *y = filled_memory((size_t)(all * FEATURES) * 4, 0);
    for (int64_t i = 0; i < all; i++) multiply(f, k, packed, row_bytes, w, alone, FEATURES, i, 1);
    static const int64_t more[] = {64, 512};
    for (int64_t i = 1; i <= 19; i++) {
        int64_t n = i <= 17 ? i : more[i - 18];
        if (n > all) break;
        memset(y, 0x7f, (size_t)(all * FEATURES) * 4);
        multiply(f, k, packed, row_bytes, w, y, FEATURES, all - n, n);
        size_t at = (size_t)((all - n) * FEATURES);
        if (memcmp(y + at, alone + at, (size_t)n * FEATURES * 4))
            fail_msg("%s, %d columns, on %s: %d rows are not what each is alone", layout_name(k->layout), (int)k->cols,
                     cpu, (int)n);
    }
    free(w), free(x), free(packed), free(alone), free(y);
}

static void test_same_bits(void **state)
{
    (void)state;
    static const char *const cpus[] = {"native", "haswell", "emulated-avx512", "emulated-avx512f", "emulated-avx-vnni"};
    // one chunk of columns; an odd number of chunks, and columns that come one by one
    static const int64_t cols[][2] = {{40, 777}, {256, 1280}};
    for (size_t c = 0; c < sizeof cpus / sizeof *cpus; c++) {
        enum { N_EXACT = 2 * (LAYOUT_COUNT - LAYOUT_F32_X16), N = N_EXACT + 3 };
        linear_kernel kernels[N];
        const char *names[N];
        kernel_fn functions[N];
        harness h;
        wf_error err = {0};
        if (harness_open(&h, cpus[c], &err) != WF_OK) fail_msg("%s: %s", cpus[c], err.message);
        for (int i = 0; i < 2; i++)
            kernels[N_EXACT + i] = (linear_kernel){
                .layout = i ? LAYOUT_Q8_0_X16 : LAYOUT_Q4_0_X16, .cols = cols[1][i], .tail = 5, .wide = true};
        kernels[N_EXACT + 2] = (linear_kernel){.layout = LAYOUT_F16_X16, .cols = 1024, .tail = 5};
        for (int i = 0; i < N_EXACT; i++) {
            weight_layout layout = (weight_layout)(LAYOUT_F32_X16 + i / 2);
            kernels[i] =
                (linear_kernel){.layout = layout, .cols = cols[layout_quant(layout) != NULL][i % 2], .tail = 5};
        }
        for (int i = 0; i < N; i++) names[i] = harness_add(&h, &LINEAR_KERNEL, &kernels[i]);
        if (harness_compile(&h, names, N, functions, &err) != WF_OK) fail_msg("%s: %s", cpus[c], err.message);
        rng r = {42};
        for (int i = 0; i < N; i++) check_same_bits(cpus[c], functions[i], &kernels[i], &h.builder.target, &r);
        harness_close(&h);
    }
}

// A block whose quants are all `byte`, with scales of one, and integer scales `scale`.
static unsigned char *extreme_weights(const linear_kernel *k, unsigned char byte, unsigned char scale)
{
    const quant_format *f = layout_quant(k->layout);
    size_t bytes = (size_t)quant_step_bytes(f), header = (size_t)quant_header_bytes(f);
    unsigned char *w = filled_memory(bytes, 0x7f);
    uint16_t one = half_from_float(1);
    memset(w, byte, bytes);
    for (size_t i = 0; i < header / 2; i++) memcpy(w + 2 * i, &one, 2);
    for (int block = 0; block < f->blocks && f->scales; block++)
        memset(w + header + (size_t)(block * quant_block_bytes(f)), scale, 2 * PANEL_ROWS);
    return w;
}

enum { N_EXTREMES = 5 }; // of x

static void check_extreme(const char *cpu, kernel_fn f, const linear_kernel *k, const kernel_target *target,
                          unsigned char byte, unsigned char scale, int x)
{
    enum { COLS_MAX = 256 };
    float values[COLS_MAX], row[COLS_MAX], y[16] = {0};
    unsigned char *w = extreme_weights(k, byte, scale);
    static const float patterns[N_EXTREMES][4] = {{-127, -127, -127, -127},
                                                  {127, 127, 127, 127},
                                                  {127, -127, 127, -127},
                                                  {127, 127, 0, 0},
                                                  {127, 127, -127, -127}};
    for (int j = 0; j < COLS_MAX; j++) values[j] = patterns[x][j % 4];
    unsigned char *packed = activations(k, target, values, 1);
    void *operands[] = {packed, w, y};
    int64_t dims[] = {1, 16, 1};
    f(operands, dims, 0, 1);
    weight_unpack_row(k->layout, w, k->cols, 7, row);
    double want = dot(values, row, k->cols), size = 0;
    for (int64_t j = 0; j < k->cols; j++) size += fabs((double)values[j] * row[j]);
    if (!(fabs(y[7] - want) <= 1e-6 * size))
        fail_msg("%s on %s, quants 0x%02x, scale %d: %g, not %g", layout_name(k->layout), cpu, byte, scale, y[7], want);
    free(packed);
    free(w);
}

// The 16-bit sums of the AVX2 path at their extremes: all bits of the weights set or none or the sign alone, with
// activations of +-127.
static void test_extremes(void **state)
{
    (void)state;
    for (int c = 0; c < N_CPUS; c++)
        for (int layout = 0; layout < LAYOUT_COUNT; layout++) {
            const quant_format *format = layout_quant((weight_layout)layout);
            if (!format) continue;
            harness h;
            wf_error err = {0};
            linear_kernel k = {.layout = (weight_layout)layout, .cols = format->blocks * QUANT_BLOCK};
            kernel_fn f;
            assert_int_equal(harness_open(&h, CPUS[c], &err), WF_OK);
            const char *name = harness_add(&h, &LINEAR_KERNEL, &k);
            assert_int_equal(harness_compile(&h, &name, 1, &f, &err), WF_OK);
            static const unsigned char bytes[] = {0xff, 0x80, 0x7f, 0x00}, scales[] = {0x7f, 0x80, 0xff};
            for (size_t i = 0; i < sizeof bytes * sizeof scales * N_EXTREMES; i++)
                check_extreme(CPUS[c], f, &k, &h.builder.target, bytes[i % 4], scales[i / 4 % 3], (int)(i / 12));
            harness_close(&h);
        }
}

// CPUs that need not be this one: LLVM must find instructions for all that is generated for them.
static void test_other_cpus(void **state)
{
    (void)state;
    for (int c = 0; c < N_HARNESS_CPUS; c++) {
        harness h;
        wf_error err = {0};
        assert_int_equal(harness_open_other(&h, HARNESS_CPUS[c], &err), WF_OK);
        const cpu_features *cpu = &h.cpu;
        for (int layout = LAYOUT_F32_X16; layout < LAYOUT_COUNT; layout++) {
            linear_kernel k = {.layout = (weight_layout)layout, .cols = 512, .tail = 5};
            harness_add(&h, &LINEAR_KERNEL, &k);
        }
        buffer assembly = {0};
        if (harness_assembly(&h, &assembly, &err) != WF_OK) fail_msg("%s: %s", cpu->name, err.message);
        buffer_append(&assembly, "", 1);
        const char *text = (const char *)assembly.data;
        bool vnni = cpu->avx512 ? cpu->avx512_vnni : cpu->avx_vnni;
        assert_int_equal(strstr(text, "vpdpbusd") != NULL, vnni);
        assert_int_equal(strstr(text, "vdpbf16ps") != NULL, cpu->avx512_bf16);
        assert_int_equal(strstr(text, "%zmm") != NULL, cpu->avx512);
        assert_null(strstr(text, "call")); // the loader links nothing
        buffer_free(&assembly);
        harness_close(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),    cmocka_unit_test(test_wide),      cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_epilogues),  cmocka_unit_test(test_same_bits), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_other_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
