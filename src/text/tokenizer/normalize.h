// What a tokenizer does to a stretch of text before it cuts words, as a short list of steps:
//
//     nfc                canonical composition (Unicode Standard Annex 15)
//     prepend T          T is put before the text
//     prefix T           the same unless the text begins with T already
//     prefix_first T     the same, but only for the stretch that begins the whole text
//     replace A B        every A becomes B
#ifndef WELFORD_TEXT_TOKENIZER_NORMALIZE_H
#define WELFORD_TEXT_TOKENIZER_NORMALIZE_H

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"

enum { NORMALIZE_MAX_STEPS = 8 };

typedef enum normalize_kind {
    NORMALIZE_NFC,
    NORMALIZE_PREPEND,
    NORMALIZE_PREFIX,
    NORMALIZE_PREFIX_FIRST,
    NORMALIZE_REPLACE,
} normalize_kind;

typedef struct normalize_step {
    normalize_kind kind;
    view from, to; // of somebody else, who outlives the normalizer
} normalize_step;

typedef struct normalizer {
    normalize_step steps[NORMALIZE_MAX_STEPS];
    size_t n_steps;
} normalizer;

// WF_ERROR_UNSUPPORTED when there are too many.
wf_status normalizer_add(normalizer *n, normalize_step step, wf_error *err);

// Reads steps spelled as above, one word or text an item. WF_ERROR_UNSUPPORTED names a step that is not known.
wf_status normalizer_read(const view *items, size_t n_items, normalizer *n, wf_error *err);

// Does all steps on *text, well-formed UTF-8 that is not empty. *text points to `memory` afterwards if anything
// changed; the two buffers are the caller's, used again from call to call. `first`: the text begins the whole.
// WF_ERROR_LIMIT when steps make the text longer beyond reason.
wf_status normalizer_apply(const normalizer *n, bool first, view *text, buffer memory[2], wf_error *err);

#endif
