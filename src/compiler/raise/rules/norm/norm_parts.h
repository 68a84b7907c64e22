// What rms_norm and layer_norm share: the two differ in what stands under the root and above it.
//
//     scaled      x, or x - mean(x) for layer_norm
//     statistic   mean(scaled^2) + eps
//     core        scaled * statistic^-1/2, however that is spelled: factors of a product with their exponents
//     result      the core [rounded] [* gamma] [+ beta]
//
// The core is found at a product or quotient; from there the match grows through its users, one at a time.
#ifndef WELFORD_COMPILER_RAISE_RULES_NORM_NORM_PARTS_H
#define WELFORD_COMPILER_RAISE_RULES_NORM_NORM_PARTS_H

#include "compiler/raise/raise.h"

// scale * sum(argument) + eps
typedef struct affine_sum {
    double scale, eps;
    int bits; // significant bits of the narrowest constant in `scale`
    struct {
        MlirValue tensor;
        int axis;
    } sizes[MAX_AXES]; // these divide the sum, too: not known before run time
    int n_sizes;
    ref argument;                // what is summed, times
    ref times;                   // null value: nothing
    signed char bound[MAX_AXES]; // the axes that the sum runs over
    int n_bound;
    unsigned single; // bits of those that have size 1, and need not be met
} affine_sum;

enum { MAX_PAIRS = 4 };
typedef struct norm_core {
    ref root;         // the product
    int rank;         // of the root's tensor
    ref statistic;    // what is under the root
    const char *near; // x / (sqrt(..) + eps) and its like, but another function; only pairs[0] is filled in then
    double factor;    // root = factor * scaled * statistic^-1/2 [* gamma]
    // Ways to see the other factors: one is scaled, one may be gamma (null value: none).
    struct {
        ref scaled, gamma;
    } pairs[MAX_PAIRS];
    int n_pairs;
} norm_core;

typedef struct norm_result {
    MlirValue x, gamma, beta; // gamma, beta null when absent
    ref factor, addend;       // these stand as gamma and beta, but lie otherwise: applied after the op
    double eps;
    double gain;      // a constant factor; it stands as gamma
    int n_axes;       // trailing axes that are normalised
    bool plus_one;    // times (1 + gamma)
    MlirType rounded; // the normalised value, and its product with gamma, are rounded to it; null: they are not
    MlirValue result; // what the op replaces: a tensor, or a scalar in a body that goes on with it
} norm_result;

// Which of a node's two operands is a constant; -1: none.
int constant_operand(matcher *m, const node *n, constant *c);
// Whether there is a sum behind constants, bounds, roots and casts.
bool leads_to_sum(matcher *m, const ref *from);
// False when there is no sum behind constants and casts. Notes an eps that is no constant, or a lower bound.
bool read_affine_sum(matcher *m, const ref *from, affine_sum *sum);

// False when the op is no product with an inverse root of a sum.
bool read_core(matcher *m, MlirOperation op, norm_core *core);
// scaled * inverse - mean * inverse [+ beta], of one and the same inverse root with its gamma.
bool read_expanded_core(matcher *m, MlirOperation op, norm_core *core, ref *mean, ref *beta);

// a - b, or a + (-b)
bool read_difference(matcher *m, const node *n, ref *a, ref *b);

// Whether `inner`, within a sum, is the value that is `outer` at the root, but for the axes that the sum runs over.
// Their places at the root become bits of *axes.
bool is_summed(matcher *m, const norm_core *core, const ref *outer, const ref *inner, const affine_sum *sum,
               unsigned *axes);
// Whether these are the last of the root's axes; how many. Notes where not.
bool are_last_axes(matcher *m, const norm_core *core, unsigned axes, int *n_axes);
// Whether the sum, times 1 / factor^2, is a mean over the last n_axes of x. Notes another divisor.
bool is_mean(matcher *m, const norm_core *core, const ref *x, const affine_sum *sum, double factor, int n_axes);

// Whether the sum is a mean, by itself or with the core's factor; *gain is what that factor does else.
bool settle_factor(matcher *m, const norm_core *core, const ref *x, const affine_sum *sum, int n_axes, double *gain);

// The argument of a square: x * x, pow(x, 2), |x| taken as x. False with a note when it is another power.
bool read_square(matcher *m, const ref *from, ref *argument);
// The argument of the square that is summed; a constant factor beside it goes to the sum.
bool read_summed_square(matcher *m, affine_sum *sum, ref *argument);
// Takes a constant factor or divisor from what is summed. False: there is none; *failed: there is an unknown one.
bool enter_scaled(matcher *m, affine_sum *sum, bool *failed);
// Whether the factor varies along all of the root's axes, as what a norm scales does, and gamma does not.
bool is_full(matcher *m, const norm_core *core, const ref *factor);

// A tensor that varies along the last n_axes of the root, all of them and in their order, and along nothing else. With
// `plus_one` (NULL: not) the vector may be one plus that tensor.
bool read_vector(matcher *m, const ref *root, int n_axes, const ref *from, MlirValue *v, bool *plus_one);

// Fills in x, gamma, beta, plus_one, rounded and result around a core whose eps and n_axes are known. False, with a
// note, when x is no tensor. gamma and beta are what the core has already (null value: it has none); beta NULL: the op
// takes none.
bool grow_norm(matcher *m, const norm_core *core, const ref *x, const ref *gamma, const ref *beta, norm_result *out);

// Puts the op in the place of its result; one within the body of an op becomes an operand of that.
bool write_norm(matcher *m, const norm_core *core, const norm_result *n, norm_kind kind);

#endif
