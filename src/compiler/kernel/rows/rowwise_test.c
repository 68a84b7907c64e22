// The small kernels: add, swiglu, geglu, softcap, quantize, gather, embed, against plain C.
#include "compiler/kernel/rows/rowwise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/rows/embed.h"
#include "compiler/kernel/rows/q8.h"
#include "runtime/weight/unpack.h"

enum { ROWS = 3, MAX_COLS = 192 };
static const char *const CPUS[] = {"native", "haswell", "emulated-avx512"};

static kernel_fn compile_one(harness *h, const char *cpu, const kernel_kind *kind, const void *params)
{
    wf_error err = {0};
    kernel_fn f = NULL;
    if (harness_open(h, cpu, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
    const char *name = harness_add(h, kind, params);
    if (harness_compile(h, &name, 1, &f, &err) != WF_OK) fail_msg("%s: %s", cpu, err.message);
    return f;
}

static float value_at(int64_t i) { return (float)sin((double)i * 0.7) * (i % 5 ? 1.0f : 20.0f); }

static double expected(const rowwise_kernel *k, double x, double y)
{
    switch (k->op) {
    case ROWWISE_ADD: return x + y;
    case ROWWISE_SWIGLU: return x / (1 + exp(-x)) * y;
    case ROWWISE_GEGLU: return x / (1 + exp(-2 * sqrt(2 / 3.14159265358979324) * (x + 0.044715 * x * x * x))) * y;
    case ROWWISE_SOFTCAP: return k->cap * tanh(x / k->cap);
    default: return x;
    }
}

static void check_rowwise(const char *cpu, const rowwise_kernel *k)
{
    _Alignas(64) static float x[ROWS * MAX_COLS], y[ROWS * MAX_COLS];
    _Alignas(64) static unsigned char out[ROWS * MAX_COLS * 4 + 64];
    static const int32_t which[] = {2, 0, 2};
    int64_t cols = k->cols;
    for (int64_t i = 0; i < ROWS * cols; i++) x[i] = value_at(i), y[i] = value_at(i + 1000);
    if (k->out_q8) memset(x, 0, 32 * sizeof *x); // a block of zeros must stay zeros
    memset(out, 0xff, sizeof out);
    harness h;
    kernel_fn f = compile_one(&h, cpu, &ROWWISE_KERNELS[k->op], k);
    bool unary = k->op == ROWWISE_QUANTIZE || k->op == ROWWISE_SOFTCAP, gather = k->op == ROWWISE_GATHER;
    void *operands[] = {x, unary ? (void *)out : gather ? (void *)(intptr_t)which : y, out};
    f(operands, NULL, 0, 1);
    f(operands, NULL, 1, ROWS);
    int64_t row_bytes = k->out_q8 ? q8_row_bytes(cols) : 4 * cols;
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < cols; c++) {
            int64_t source = gather ? which[r] : r;
            double want = expected(k, x[source * cols + c], y[r * cols + c]), got, tolerance;
            const unsigned char *row = out + r * row_bytes;
            if (k->out_q8) {
                float d, s;
                memcpy(&d, row + q8_scale_offset(cols) + c / 32 * 4, 4);
                memcpy(&s, row + q8_sum_offset(cols) + c / 32 * 4, 4);
                got = (double)d * (int8_t)row[c];
                tolerance = 0.5001 * d + 1e-6;
                int sum = 0;
                for (int j = 0; j < 32; j++) sum += (int8_t)row[c / 32 * 32 + j];
                assert_true(fabs((double)d * sum - s) <= 1e-6 * fabs(s) + 1e-9);
            } else {
                float v;
                memcpy(&v, row + 4 * c, 4);
                got = v;
                // where gelu vanishes, e^-2u is wrong by the rounding of u
                tolerance = k->op == ROWWISE_GEGLU ? 2e-6 * fabs(want) + 1e-30 : 6e-7 * fabs(want);
            }
            if (!(fabs(got - want) <= tolerance))
                fail_msg("%s on %s: row %d col %d: %g, not %g", h.names[0], cpu, (int)r, (int)c, got, want);
        }
    harness_close(&h);
}

static void test_rowwise(void **state)
{
    (void)state;
    static const rowwise_kernel kernels[] = {
        {.op = ROWWISE_ADD, .cols = 33},
        {.op = ROWWISE_ADD, .cols = 1},
        {.op = ROWWISE_SWIGLU, .cols = 50},
        {.op = ROWWISE_SWIGLU, .cols = 64, .out_q8 = true},
        {.op = ROWWISE_GEGLU, .cols = 50},
        {.op = ROWWISE_GEGLU, .cols = 64, .out_q8 = true},
        {.op = ROWWISE_SOFTCAP, .cols = 43, .cap = 30},
        {.op = ROWWISE_SOFTCAP, .cols = 16, .cap = 0.5},
        {.op = ROWWISE_QUANTIZE, .cols = 96, .out_q8 = true},
        {.op = ROWWISE_GATHER, .cols = 41},
    };
    for (size_t c = 0; c < sizeof CPUS / sizeof *CPUS; c++)
        for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) check_rowwise(CPUS[c], &kernels[i]);
}

static void test_embed(void **state)
{
    (void)state;
    enum { VOCABULARY = 37, COLS = 512 };
    for (size_t c = 0; c < sizeof CPUS / sizeof *CPUS; c++)
        for (int layout = LAYOUT_F32_X16; layout < LAYOUT_COUNT; layout++) {
            embed_kernel k = {.layout = (weight_layout)layout, .cols = COLS, .scale = layout % 2 ? 1 : 8};
            size_t panel;
            assert_true(layout_panel_bytes(k.layout, COLS, &panel));
            unsigned char *table = aligned_alloc(64, 3 * panel);
            assert_non_null(table);
            const weight_type *weights = weight_type_in(k.layout);
            size_t size = weight_type_file_bytes(weights, 1);
            for (size_t i = 0; i < 3 * panel; i++) table[i] = (unsigned char)(i * 7);
            for (size_t i = 0; i < 3 * panel && weights->widen; i += size) { // floats: small ones
                float x = 0.01f * (float)(i % 251);
                uint16_t half = weights->pairs ? bfloat_from_float(x) : half_from_float(x);
                memcpy(table + i, size == 4 ? (void *)&x : (void *)&half, size);
            }
            const quant_format *f = layout_quant(k.layout);
            for (size_t at = 0; f && at < 3 * panel; at += (size_t)quant_step_bytes(f))
                for (int64_t i = 0; i < quant_header_bytes(f) / 2; i++) {
                    uint16_t d = half_from_float(0.01f * (float)(i + 1));
                    memcpy(table + at + 2 * i, &d, 2);
                }
            harness h;
            kernel_fn fn = compile_one(&h, CPUS[c], &EMBED_KERNEL, &k);
            const int32_t tokens[] = {36, 0, 15, 16, 21};
            float y[5][COLS], row[COLS];
            void *operands[] = {(void *)(intptr_t)tokens, table, y};
            fn(operands, NULL, 0, 5);
            for (int t = 0; t < 5; t++) {
                weight_unpack_row(k.layout, table, COLS, tokens[t], row);
                for (int i = 0; i < COLS; i++)
                    if (!(fabs(y[t][i] - k.scale * row[i]) <= 1e-6 * fabs(k.scale * row[i])))
                        fail_msg("%s on %s: token %d col %d: %g, not %g", h.names[0], CPUS[c], tokens[t], i, y[t][i],
                                 k.scale * row[i]);
            }
            harness_close(&h);
            free(table);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rowwise), cmocka_unit_test(test_embed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
