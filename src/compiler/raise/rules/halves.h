// The two halves of a tensor's features: its first and last d/2, or, interleaved, those at even and at odd places;
// taken apart by slices or by a reshape to [.., 2, d/2] or [.., d/2, 2], and put together again likewise.
#ifndef WELFORD_COMPILER_RAISE_RULES_HALVES_H
#define WELFORD_COMPILER_RAISE_RULES_HALVES_H

#include "compiler/raise/normal/strided.h"
#include "compiler/raise/raise.h"

typedef struct half {
    MlirValue x;
    int which; // 0 or 1
    bool interleaved;
    int x_axis[MAX_AXES]; // the axis of x that each axis of the half is; -1: it has size 1
} half;

// Whether `from` is, at `root`, a half of x; of any tensor where x is null.
bool read_half(reader *r, const ref *root, const ref *from, MlirValue x, half *h);

// Whether v itself is put together of two halves: c has two parts.
bool is_two_halves(MlirValue v, concat *c, bool *interleaved);
// As is_two_halves, behind reshapes.
bool find_halves(reader *r, MlirValue v, concat *c, bool *interleaved);

// Whether both halves along axis `last` of the root, of size d, are the same.
bool tables_agree(matcher *m, const ref *table, int last, int64_t d, bool interleaved);

#endif
