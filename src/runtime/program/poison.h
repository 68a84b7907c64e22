// Finds values that are read after their memory was given away, or before they are written: WELFORD_POISON=1 fills,
// before a run and after every call, all of the arena that no later call reads first, so that such a value turns into
// NaN.
#ifndef WELFORD_RUNTIME_PROGRAM_POISON_H
#define WELFORD_RUNTIME_PROGRAM_POISON_H

#include "runtime/program/program.h"

// Fills the parts of the arena that are dead after call `after` (UINT32_MAX: before the first) with NaN bits. False
// when memory for the analysis is out.
bool poison_dead(const program *p, uint32_t after, unsigned char *memory, const int64_t dims[DIM_COUNT]);

#endif
