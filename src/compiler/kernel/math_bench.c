// The elementary functions over all floats: the largest error of each, and what it takes.
//
//     math_bench [CPU [STRIDE]]
//
// STRIDE 1, every float, takes a minute and a half a function; functions of two arguments get random pairs.
#include <stdlib.h>

#include "base/clock.h"
#include "compiler/kernel/math_testing.h"

enum { BLOCK = 1 << 12 };

int main(int argc, char **argv)
{
    static math_code c;
    static float x[BLOCK], y[BLOCK], z[BLOCK];
    wf_error err = {0};
    const char *cpu = argc > 1 ? argv[1] : "native";
    uint64_t stride = argc > 2 ? strtoull(argv[2], NULL, 10) : 257, seed = 1;
    if (!stride || math_compile(&c, cpu, &err) != WF_OK) {
        fprintf(stderr, "math_bench: %s\n", stride ? err.message : "a stride of 0");
        return 1;
    }
    printf("| function | ulp | at | ns a value |\n|---|---|---|---|\n");
    for (int f = 0; f < N_MATH_CASES; f++) {
        const math_case *m = &MATH_CASES[f];
        double worst = 0, seconds = 0;
        float at[2] = {0};
        for (uint64_t bits = 0, n = 0; bits >> 32 == 0; bits += BLOCK * stride, n++) {
            for (uint64_t i = 0; i < BLOCK; i++) {
                x[i] = math_float((uint32_t)(bits + i * stride));
                if (fabsf(x[i]) >= m->most) x[i] = 0;
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                y[i] = math_float((uint32_t)(seed >> 32));
                if (m->two == pow) y[i] = 150 * ((float)(seed >> 40) * 0x1p-23f - 1) / log2f(fabsf(x[i]));
            }
            double start = clock_seconds();
            c.functions[f]((void *const[]){x, y, z}, NULL, 0, BLOCK / MATH_WIDTH);
            if (n) seconds += clock_seconds() - start;
            for (int i = 0; i < BLOCK; i++) {
                double error = math_error(z[i], math_reference(m, x[i], y[i]));
                if (error > worst) worst = error, at[0] = x[i], at[1] = y[i];
            }
        }
        double values = (double)((UINT64_C(1) << 32) / stride);
        printf("| %s | %.4f | %.9g %.9g | %.2f |\n", m->name, worst, (double)at[0], m->two ? (double)at[1] : 0,
               seconds * 1e9 / values);
        fflush(stdout);
    }
    harness_close(&c.h);
    return 0;
}
