// What a softmax is of: products of q and k, scaled, soft-capped and masked, read from the outside in; and these masks
// as one operand of attention.
#ifndef WELFORD_COMPILER_RAISE_RULES_ATTENTION_SCORES_H
#define WELFORD_COMPILER_RAISE_RULES_ATTENTION_SCORES_H

#include "compiler/raise/rules/attention/heads.h"
#include "compiler/raise/rules/contraction.h"

// A mask: added to the scores, or a condition that chooses between them and `hidden`.
typedef struct mask_term {
    ref mask;            // indexed by the axes of `masked`
    MlirValue masked;    // the scores with it
    bool selects, hides; // a condition; true hides
    double hidden;       // what a hidden score becomes
    double scale;        // that the masked scores are multiplied by
} mask_term;

enum { MAX_MASKS = 4 };
typedef struct scores {
    contraction product;
    double scale, softcap;      // softcap 0: none
    mask_term masks[MAX_MASKS]; // the innermost first
    int n_masks;
    const char *reason; // why this is no attention
} scores;

// The scores that x is. False with s->reason, which may be NULL.
bool read_scores(matcher *m, MlirValue x, scores *s);
// Moves through reshapes that keep the last two axes until a product, or an op that is not moved but computed.
bool walk_to_scores(matcher *m, MlirValue *v);

typedef struct mask {
    MlirValue v; // null: none
    bool causal;
    int64_t window; // 0: none
} mask;

// The masks as they are for heads of q and k. Notes why they are none.
bool read_masks(matcher *m, const scores *s, const heads *q, const heads *k, mask *out);

#endif
