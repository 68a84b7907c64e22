// Which element of one tensor every element of another is, through reshapes, transpositions, broadcasts, slices and
// repeats.
//
// A strided view is kept as digits. The index along an axis of the source is a number in mixed radix whose digits are
// taken from the indices of the view, the most significant first:
//
//     k [batch, 2, seq, 64] repeated for 8 heads, as rows [batch, seq, 2 * 64]:
//         batch: {0, B}    seq: {2, S}    features: {1, 2, weight 4} {3, 64}      heads modulo 4 go nowhere: repeated
//     x[.., 0::2] of x [.., 64]:  features: {last, 32} {fixed 0, size 2}
#ifndef WELFORD_COMPILER_RAISE_NORMAL_STRIDED_H
#define WELFORD_COMPILER_RAISE_NORMAL_STRIDED_H

#include "compiler/raise/normal/parts.h"

// (index along `axis` / weight) % size; of AXIS_FIXED always `weight`. Size -1: not known before run time, and then
// the digit is all of its axis.
enum { MAX_DIGITS = 8, AXIS_FIXED = -1 };
typedef struct digit {
    int axis;
    int64_t size, weight;
} digit;

typedef struct digits {
    int n; // 0: the index is 0, as of an axis of size 1
    digit d[MAX_DIGITS];
} digits;

typedef struct strided {
    MlirValue v; // the source
    int rank;
    digits at[MAX_AXES];
    double scale; // the view is the source times this
} strided;

// v as a view of itself.
bool strided_start(strided *s, MlirValue v);
// One step towards what the source is made of; false, and s as it was, when that is computed, not moved. A product with
// a constant is a step where `scales`.
bool strided_step(reader *r, strided *s, bool scales);
// The step from a slice to what it is cut from; false when its digits cannot say where it lies.
bool strided_enter_slice(strided *s, const slice *cut);

// Whether an index is all of the view's axis, and nothing else.
bool is_whole_axis(const digits *d, MlirValue view, int axis);
// Whether the elements stand in the source in the view's order, each once: nothing but reshapes between.
bool is_in_order(const strided *s, MlirValue view);
// Whether they stand in the order of the view, a matrix, transposed.
bool is_flipped(const strided *s, MlirValue view);
// Whether a reshape leaves its last n dimensions, of known sizes, as its input has them.
bool keeps_last(MlirValue reshaped, int n);
// The value of v's own type whose elements stand in the same order, behind reshapes and transpositions; null value:
// there is none.
MlirValue behind_moves(MlirValue v);
// Cuts the least significant digits off, which have `size` together; false when no digits end there.
bool cut_digits(digits *d, int64_t size, digits *low);

#endif
