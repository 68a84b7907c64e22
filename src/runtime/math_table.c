#include "runtime/math_table.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef double math_function(double, double);

#define MATH1(name) {#name, 1, (math_function *)(uintptr_t)(double (*)(double))(name)}
#define MATH2(name) {#name, 2, (math_function *)(uintptr_t)(double (*)(double, double))(name)}

static const struct {
    const char *name;
    int n_arguments;
    math_function *function;
} MATH[MATH_COUNT] = {
    MATH1(exp),  MATH1(exp2),  MATH1(expm1), MATH1(log),   MATH1(log2),  MATH1(log10), MATH1(log1p),
    MATH1(sin),  MATH1(cos),   MATH1(tan),   MATH1(asin),  MATH1(acos),  MATH1(atan),  MATH1(sinh),
    MATH1(cosh), MATH1(tanh),  MATH1(asinh), MATH1(acosh), MATH1(atanh), MATH1(erf),   MATH1(erfc),
    MATH1(cbrt), MATH1(round), MATH2(pow),   MATH2(atan2), MATH2(fmod),  MATH2(hypot),
};

int math_find(const char *name)
{
    for (int i = 0; i < MATH_COUNT; i++)
        if (!strcmp(MATH[i].name, name)) return i;
    return -1;
}

int math_arguments(int index) { return MATH[index].n_arguments; }

void math_table(void *table[MATH_COUNT])
{
    for (int i = 0; i < MATH_COUNT; i++) table[i] = (void *)(uintptr_t)MATH[i].function;
}
