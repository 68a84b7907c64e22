// The elementary functions against libm in f64: errors over their ranges, and where results leave the floats.
#include "compiler/kernel/math.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/kernel/harness.h"
#include "compiler/kernel/math_testing.h"

static const char *const CPUS[] = {"native", "haswell", "emulated-avx512"};
enum { N_CPUS = sizeof CPUS / sizeof *CPUS, N_FUNCTIONS = 3, WIDTH = 16 };

static const char *const NAMES[N_FUNCTIONS] = {"exp2", "silu", "gelu"};
enum { EXP2, SILU, GELU };

static value apply(builder *b, int f, value x)
{
    static value (*const functions[])(builder *, value) = {math_exp2_nonpositive, math_silu, math_gelu_tanh};
    return functions[f](b, x);
}

static double reference(int f, double x)
{
    switch (f) {
    case EXP2: return exp2(x);
    case SILU: return x / (1 + exp(-x));
    default: return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    }
}

typedef struct code {
    harness h;
    kernel_fn functions[N_FUNCTIONS];
} code;

// Kernel f: y[i] = f(x[i]); a tile is 16 values.
static code compile(const char *cpu)
{
    code c;
    wf_error err = {0};
    if (harness_open(&c.h, cpu, &err) != WF_OK) fail_msg("%s", err.message);
    builder *b = &c.h.builder;
    for (int f = 0; f < N_FUNCTIONS; f++) {
        int n = b->target.lanes;
        kernel_begin(b, NAMES[f]);
        value x = operand(b, 0), y = operand(b, 1);
        loop l;
        loop_begin(b, &l, b->begin, b->end, 1, 0, NULL);
        value offset = mul_i(b, l.iv, WIDTH * 4);
        for (int i = 0; i < WIDTH; i += n) {
            value v = load(b, x, offset, i * 4, vec(b, n, b->f32));
            store(b, apply(b, f, v), y, offset, i * 4);
        }
        // the first value once more, as a scalar
        store(b, apply(b, f, load(b, x, offset, 0, b->f32)), y, offset, 0);
        loop_end(b, &l, NULL);
        kernel_end(b);
    }
    if (harness_compile(&c.h, NAMES, N_FUNCTIONS, c.functions, &err) != WF_OK) fail_msg("%s", err.message);
    return c;
}

enum { N = 1 << 16 };

static void check_range(const code *c, const char *cpu, int f, double lo, double hi, double bound)
{
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    assert_true(x && y);
    for (int i = 0; i < N; i++) x[i] = (float)(lo + (hi - lo) * i / (N - 1));
    c->functions[f]((void *const[]){x, y}, NULL, 0, N / WIDTH);
    double worst = 0;
    float at = 0;
    for (int i = 0; i < N; i++) {
        double want = reference(f, (double)x[i]), error = fabs((double)y[i] - want);
        if (want != 0) error /= fabs(want);
        if (error > worst || isnan(error)) worst = error, at = x[i];
        if (isnan(error)) break;
    }
    if (!(worst <= bound)) fail_msg("%s, %s: relative error %.3g at %.9g", cpu, NAMES[f], worst, (double)at);
    free(x);
    free(y);
}

static void check_value(const code *c, const char *cpu, int f, float x, float want)
{
    float xs[WIDTH], ys[WIDTH];
    for (int i = 0; i < WIDTH; i++) xs[i] = x;
    c->functions[f]((void *const[]){xs, ys}, NULL, 0, 1);
    for (int i = 0; i < WIDTH; i++) {
        bool same = isnan(want) ? isnan(ys[i]) : ys[i] == want;
        if (!same)
            fail_msg("%s, %s(%.9g) is %.9g in lane %d, not %.9g", cpu, NAMES[f], (double)x, (double)ys[i], i,
                     (double)want);
    }
}

static void test_functions(void **state)
{
    const char *cpu = *state;
    code c = compile(cpu);
    check_range(&c, cpu, EXP2, -126, 0, 2e-7);
    check_range(&c, cpu, EXP2, -1, 0, 2e-7);
    check_range(&c, cpu, SILU, -86, 100, 4e-7);
    check_range(&c, cpu, SILU, -1e-3, 1e-3, 4e-7);
    check_range(&c, cpu, GELU, -3, 100, 2e-6); // to the left the rounding of the exponent shows
    check_range(&c, cpu, GELU, -9, -3, 2e-5);
    harness_close(&c.h);
}

static void test_extremes(void **state)
{
    const char *cpu = *state;
    code c = compile(cpu);
    for (int f = 0; f < N_FUNCTIONS; f++) check_value(&c, cpu, f, NAN, NAN);
    static const float denormals[] = {0, -0.0f, 1e-45f, -1e-45f, 1e-39f, -1e-39f, 1.1754942e-38f};
    for (size_t i = 0; i < sizeof denormals / sizeof *denormals; i++) {
        check_value(&c, cpu, EXP2, denormals[i], 1);
        check_value(&c, cpu, SILU, denormals[i], denormals[i] / 2);
        check_value(&c, cpu, GELU, denormals[i], denormals[i] / 2);
    }
    static const float large[] = {89, 1000, 1e30f, 3.4028234e38f, INFINITY};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        check_value(&c, cpu, SILU, large[i], large[i]);
        check_value(&c, cpu, GELU, large[i], large[i]);
        if (!isinf(large[i])) check_value(&c, cpu, GELU, -large[i], 0);
    }
    check_value(&c, cpu, SILU, -1e30f, 0);
    static const float below[] = {-127, -127.5f, -200, -1e30f, -INFINITY};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) check_value(&c, cpu, EXP2, below[i], 0);
    harness_close(&c.h);
}

static void check_ulp(const math_case *m, const char *cpu, float x, float y, float got)
{
    double want = math_reference(m, x, y), error = math_error(got, want);
    if (!(error <= m->bound) || (want == 0 && !signbit(got) != !signbit(want)))
        fail_msg("%s, %s(%.9g, %.9g) is %.9g, not %.9g: %.3g ulp", cpu, m->name, (double)x, (double)y, (double)got,
                 want, error);
}

// All exponents, by an odd stride over the bits of a float; and whatever is special.
static void test_every_exponent(void **state)
{
    const char *cpu = *state;
    static const float SPECIAL[] = {
        0,           1e-45f,  1e-39f,      1.17549435e-38f, 0.5f,          1,        1.5f, 2,
        3,           4,       10,          88.72283f,       88.7229f,      89.4f,    1000, 0x1p23f,
        0x1p23f + 1, 0x1p24f, 0.99999994f, 1.0000001f,      3.4028234e38f, INFINITY, NAN,  0.25f};
    enum { N_SPECIAL = sizeof SPECIAL / sizeof *SPECIAL, N_PAIRS = 4 * N_SPECIAL * N_SPECIAL, N_ALL = 1 << 19 };
    _Static_assert(N_PAIRS % MATH_WIDTH == 0 && N_PAIRS <= N_ALL, "whole tiles");
    math_code *c = calloc(1, sizeof *c);
    wf_error err = {0};
    float *x = malloc(N_ALL * sizeof *x), *y = malloc(N_ALL * sizeof *y), *z = malloc(N_ALL * sizeof *z);
    assert_true(c && x && y && z);
    if (math_compile(c, cpu, &err) != WF_OK) fail_msg("%s", err.message);
    for (int f = 0; f < N_MATH_CASES; f++) {
        const math_case *m = &MATH_CASES[f];
        for (int i = 0; i < N_ALL; i++) {
            x[i] = math_float((uint32_t)i * 8191);
            // exponents that keep most powers within range
            y[i] = m->two == pow ? (float)(100 * sin(i)) / logf(fabsf(x[i]) + 0.5f)
                                 : math_float((uint32_t)i * 2654435761u);
            if (m->two == pow && i % 3 == 0) y[i] = (float)(i % 40 - 20);
        }
        for (int i = 0; i < N_PAIRS; i++) {
            x[i] = i & 1 ? -SPECIAL[i / 4 % N_SPECIAL] : SPECIAL[i / 4 % N_SPECIAL];
            y[i] = i & 2 ? -SPECIAL[i / 4 / N_SPECIAL] : SPECIAL[i / 4 / N_SPECIAL];
        }
        c->functions[f]((void *const[]){x, y, z}, NULL, 0, N_ALL / MATH_WIDTH);
        for (int i = 0; i < N_ALL; i++)
            if (!(fabsf(x[i]) >= m->most)) check_ulp(m, cpu, x[i], y[i], z[i]);
    }
    harness_close(&c->h);
    free(c);
    free(x);
    free(y);
    free(z);
}

int main(void)
{
    struct CMUnitTest tests[3 * N_CPUS];
    for (int i = 0; i < N_CPUS; i++) {
        void *cpu = (void *)(uintptr_t)CPUS[i];
        tests[3 * i] = (struct CMUnitTest)cmocka_unit_test_prestate(test_functions, cpu);
        tests[3 * i + 1] = (struct CMUnitTest)cmocka_unit_test_prestate(test_extremes, cpu);
        tests[3 * i + 2] = (struct CMUnitTest)cmocka_unit_test_prestate(test_every_exponent, cpu);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
