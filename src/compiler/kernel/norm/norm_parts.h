// What the two strategies of norm kernels share: a row seen as vectors, and sums over it that stay accurate.
//
// A row of `cols` values is cut into steps of NORM_CHAINS whole vectors, then what is left of whole vectors, then
// vectors of half the lanes, a quarter and so on, down to one value:
//
//     | step | step | ... | step | vector ... | n/2 | n/4 | ... | 1 |
//     0                          whole                              cols
#ifndef WELFORD_COMPILER_KERNEL_NORM_NORM_PARTS_H
#define WELFORD_COMPILER_KERNEL_NORM_NORM_PARTS_H

#include "compiler/kernel/norm/norm.h"

enum {
    NORM_CHAINS = 4,  // independent sums, so that additions do not wait for each other; even (norm_parts.c)
    NORM_STEPS = 48,  // of f32 sums, before they are added up in f64: bounds their relative error by 51 * 2^-24
    NORM_SUMS_MAX = 2 // sums taken in one pass
};

typedef struct norm_builder {
    builder *b;
    const norm_kernel *k;
    bool centred;                         // layer_norm
    type f;                               // of all arithmetic: f32, or f64 where x is
    int n;                                // lanes of a vector
    int64_t whole;                        // columns in steps
    bool paired;                          // vectors come in pairs: norm_load
    bool plain_nans;                      // the low 16 bits of every NaN are 0: round_bits
    type vf, vd;                          // n x f, n x f64
    value x, y, gamma, beta, residual, h; // operands; null: there is none
    value moments;                        // operand of kernels of parts: norm.h
} norm_builder;

value norm_wide(const norm_builder *m, value v);   // to f64
value norm_narrow(const norm_builder *m, value v); // f64 to m->f

// One row to read: x (+ residual, kept in h), times a power of two.
typedef struct norm_row {
    value x;
    value residual, h; // null: none
    value factor;      // of type f; null: 1
} norm_row;

// `count` neighbouring vectors of `width` lanes, of columns column + constant ...; column may be null. Their
// columns are in order, or, where m->paired, split: of each two neighbours the first holds the even columns and the
// second the odd ones, since two bf16 values lie in 32 bits as two f32 do but for a shift or a mask. All arrays are
// split alike, and sums do not care.
void norm_load(const norm_builder *m, tensor_type t, value array, value column, int64_t constant, int width, int count,
               value *v);
void norm_store(const norm_builder *m, tensor_type t, const value *v, value array, value column, int64_t constant,
                int count);
value norm_round(const norm_builder *m, tensor_type t, value v); // to `t` and back to f32

// Loads a row (norm_load). norm_load_row stores h where the row has one, norm_peek does not.
void norm_load_row(const norm_builder *m, const norm_row *row, value column, int64_t constant, int width, int count,
                   value *v);
void norm_peek(const norm_builder *m, const norm_row *row, int width, int count, value *v);

int64_t norm_element_bytes(tensor_type t);

// Address of row number `row` (i64) of [n_rows, cols]; null of null.
value norm_row_at(const norm_builder *m, tensor_type t, value array, value row);

// Handles `count` neighbouring vectors of `width` lanes from column + constant on, adding to sums: sum s, chain c is
// sums[s * NORM_CHAINS + c], of n lanes whatever the width.
typedef void norm_visit(const norm_builder *m, void *context, value column, int64_t constant, int width, int count,
                        value *sums);

// Visits the whole row and gives n_sums sums in f64 (n_sums may be 0).
void norm_for_row(const norm_builder *m, norm_visit *visit, void *context, int n_sums, value *totals);

value norm_widen(const norm_builder *m, value v); // zeros in the lanes from its width on

// The vectors behind the last step, in order. At most NORM_CHAINS - 1 whole ones and 4 narrow ones (n <= 16).
typedef struct norm_piece {
    int64_t column;
    int width;
} norm_piece;
enum { NORM_PIECES_MAX = NORM_CHAINS + 4 };
int64_t norm_whole(const norm_builder *m); // columns in steps
int norm_pieces(const norm_builder *m, norm_piece pieces[NORM_PIECES_MAX]);

// What a first pass over a row finds, in f64 but the pivot. rms_norm: q is the sum of x^2. layer_norm: s and q are the
// sums of x - pivot and its square, for some f32 pivot near the mean.
typedef struct norm_sums {
    value q;
    value s, pivot;
} norm_sums;

// A guess at the mean of `row` from its first few values; touches nothing.
value norm_pivot(const norm_builder *m, const norm_row *row);

// Adds x - pivot and its square, for the `count` vectors in x, to the chains of the sums s (first) and q.
void norm_add_centred(const norm_builder *m, const value *x, int count, value pivot, value *sums);

// f64: mean of the row (layer_norm only), and the mean square of x (rms_norm) or of x - mean (layer_norm).
typedef struct norm_moments {
    value mean, square;
} norm_moments;

// layer_norm: from the sums of a first pass, reading `row` again only where the pivot was a bad guess. eps is f64.
norm_moments norm_two_pass(const norm_builder *m, const norm_row *row, norm_sums sums, value eps);

// layer_norm in one pass, which writes h where the row has one.
norm_moments norm_online(const norm_builder *m, const norm_row *row);

// y = (x * factor - mean) * scale + shift, all f32. For rms_norm mean and shift are null; factor is null where it is
// always 1. Of a layer_norm row whose mean is at most 4 deviations, `near` is shift - mean * scale, with which
// y = x * scale + near is as good, since rounding `near` makes an error of 2^-23 deviations at most; else it is NaN.
typedef struct norm_scaling {
    value factor, scale, mean, shift, near;
} norm_scaling;

// ---- a part of a row (norm_split.c), seen as a row of its own: row 0 of m's operands

norm_moments norm_read_part(const norm_builder *m); // writes h where there is one
norm_scaling norm_scale(const norm_builder *m, norm_moments s);
void norm_write_part(const norm_builder *m, const norm_scaling *s);
void norm_build_parts(const norm_builder *m); // the body of the kernel

#endif
