// The functions that kernels may call, in double precision: those of C's math.h, by index (AREA_MATH).
#ifndef WELFORD_RUNTIME_MATH_TABLE_H
#define WELFORD_RUNTIME_MATH_TABLE_H

enum { MATH_COUNT = 27 };
int math_find(const char *name); // -1: none
int math_arguments(int index);   // 1 or 2
// Fills the area: one pointer a function.
void math_table(void *table[MATH_COUNT]);

#endif
