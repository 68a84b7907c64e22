// The calling convention of compiled kernels.
//
// A kernel works on tiles [begin, end) of one call; what a tile is (a panel of output columns, a row, a head and a
// block of queries) is the kernel's own business. It is single-threaded, keeps no state, calls nothing, and writes only
// the part of its outputs that belongs to its tiles, so that any split of the tiles over threads gives the same bytes.
//
// buffers: one pointer an operand, in the kernel's documented order, each aligned to 64 bytes.
// dims:    the sizes that are known only at run time, in the kernel's documented order.
#ifndef WELFORD_RUNTIME_PROGRAM_KERNEL_H
#define WELFORD_RUNTIME_PROGRAM_KERNEL_H

#include <stdint.h>

typedef void (*kernel_fn)(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end);

#endif
