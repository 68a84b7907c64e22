// The registry of kernels: every kind that a program can call, of models, of graphs and of the ceilings alike.
#ifndef WELFORD_COMPILER_REGISTRY_H
#define WELFORD_COMPILER_REGISTRY_H

#include "compiler/kernel/kernels.h"

// All of them; ends with NULL.
extern const kernel_kind *const KERNELS[];

#endif
