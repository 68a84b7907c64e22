// What math_test.c and math_bench.c share: kernels of the functions of math.h that compute in ulps, and their errors.
#ifndef WELFORD_COMPILER_KERNEL_MATH_TESTING_H
#define WELFORD_COMPILER_KERNEL_MATH_TESTING_H

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compiler/kernel/harness.h"
#include "compiler/kernel/math.h"

typedef struct math_case {
    const char *name;
    value (*narrow)(builder *, value); // null: by name
    double (*one)(double);             // the reference, of one argument
    double (*two)(double, double);     // or of two
    double bound;                      // ulp
    float most;                        // larger arguments are not its own
} math_case;

static const math_case MATH_CASES[] = {
    {"exp", math_exp, exp, NULL, 1.1, INFINITY},  {"tanh", math_tanh, tanh, NULL, 2, INFINITY},
    {"erf", math_erf, erf, NULL, 2, INFINITY},    {"exp2", NULL, exp2, NULL, 0.51, INFINITY},
    {"expm1", NULL, expm1, NULL, 0.51, INFINITY}, {"sinh", NULL, sinh, NULL, 0.51, INFINITY},
    {"cosh", NULL, cosh, NULL, 0.51, INFINITY},   {"log", NULL, log, NULL, 0.51, INFINITY},
    {"log2", NULL, log2, NULL, 0.51, INFINITY},   {"log10", NULL, log10, NULL, 0.51, INFINITY},
    {"log1p", NULL, log1p, NULL, 0.51, INFINITY}, {"asinh", NULL, asinh, NULL, 0.51, INFINITY},
    {"acosh", NULL, acosh, NULL, 0.51, INFINITY}, {"atanh", NULL, atanh, NULL, 0.51, INFINITY},
    {"cbrt", NULL, cbrt, NULL, 0.51, INFINITY},   {"sin", NULL, sin, NULL, 0.51, 0x1p30f},
    {"cos", NULL, cos, NULL, 0.51, 0x1p30f},      {"tan", NULL, tan, NULL, 0.51, 0x1p30f},
    {"atan", NULL, atan, NULL, 0.51, INFINITY},   {"asin", NULL, asin, NULL, 0.51, INFINITY},
    {"acos", NULL, acos, NULL, 0.51, INFINITY},   {"erfc", NULL, erfc, NULL, 0.51, INFINITY},
    {"pow", NULL, NULL, pow, 0.51, INFINITY},     {"atan2", NULL, NULL, atan2, 0.51, INFINITY},
};
enum { N_MATH_CASES = sizeof MATH_CASES / sizeof *MATH_CASES, MATH_WIDTH = 16 };

typedef struct math_code {
    harness h;
    kernel_fn functions[N_MATH_CASES];
} math_code;

// Kernel f: z[i] = f(x[i], y[i]); a tile is 16 values.
static wf_status math_compile(math_code *c, const char *cpu, wf_error *err)
{
    const char *names[N_MATH_CASES];
    TRY(harness_open(&c->h, cpu, err));
    builder *b = &c->h.builder;
    for (int f = 0; f < N_MATH_CASES; f++) {
        int n = b->target.lanes;
        const math_case *m = &MATH_CASES[f];
        kernel_begin(b, names[f] = m->name);
        value x = operand(b, 0), y = operand(b, 1), z = operand(b, 2);
        loop l;
        loop_begin(b, &l, b->begin, b->end, 1, 0, NULL);
        value offset = mul_i(b, l.iv, MATH_WIDTH * 4);
        for (int i = 0; i < MATH_WIDTH + n; i += n) {
            // the first value once more, as a scalar
            bool last = i >= MATH_WIDTH;
            type t = last ? b->f32 : vec(b, n, b->f32);
            int64_t at = last ? 0 : i * 4;
            value v[2] = {load(b, x, offset, at, t), {0}};
            if (m->two) v[1] = load(b, y, offset, at, t);
            store(b, m->narrow ? m->narrow(b, v[0]) : math_by_name(b, m->name, v), z, offset, at);
        }
        loop_end(b, &l, NULL);
        kernel_end(b);
    }
    return harness_compile(&c->h, names, N_MATH_CASES, c->functions, err);
}

static double math_reference(const math_case *m, float x, float y)
{
    return m->one ? m->one((double)x) : m->two((double)x, (double)y);
}

// In units of the last place that a float has there; infinite where one of the two is not finite and the other is not
// the same.
static double math_error(float got, double want)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : (double)INFINITY;
    if (isinf(got) || fabs(want) > (double)FLT_MAX) return got == (float)want ? 0 : (double)INFINITY;
    int exponent = want == 0 ? -126 : ilogb(want);
    if (exponent < -126) exponent = -126;
    return fabs((double)got - want) / ldexp(1, exponent - 23);
}

static inline float math_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
