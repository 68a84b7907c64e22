// Rows written over those of a tensor at places that are given at run time: how new keys and values come into a cache.
//
// A tile is what stands in front of the rows: of y [lead, n, row] and rows [lead, n_rows, row], one index of lead. Its rows
// are stored in their order, so that of two with one place the last stays.
#ifndef WELFORD_COMPILER_KERNEL_ROWS_STORE_ROWS_H
#define WELFORD_COMPILER_KERNEL_ROWS_STORE_ROWS_H

#include "compiler/kernel/kernels.h"

typedef struct store_rows_kernel {
    int64_t row_bytes;
    bool wide;  // places are i64, not i32
    bool drops; // a row that has no place is left out without a fault
} store_rows_kernel;

// Operands: 0 rows, 1 places, 2 y, which holds what its other rows are, 3 fault (i64). Sizes: 0 n_rows, 1 n, 2 places
// between those of one tile and the next (0: they share them), 3 what becomes of the fault where a row has no place.
extern const kernel_kind STORE_ROWS_KERNEL;

#endif
