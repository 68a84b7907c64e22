// The tokens that are found in a text as they are spelled, before any word is cut.
#ifndef WELFORD_TEXT_TOKENIZER_SPECIAL_H
#define WELFORD_TEXT_TOKENIZER_SPECIAL_H

#include "base/status.h"
#include "base/view.h"
#include "format/token.h"

typedef struct special_token {
    view text; // owned by the file
    int32_t id;
} special_token;

// Invariant, once sorted: ascending by bytes, no text twice. The tokens that begin with given bytes then form a range.
typedef struct special_set {
    special_token *tokens; // owned
    size_t count;
    bool first[256]; // whether a token begins with this byte
} special_set;

// Room for `capacity` tokens.
wf_status special_set_create(special_set *set, size_t capacity, wf_error *err);
void special_set_free(special_set *set);

// Adds a token; one whose text is empty or ill-formed UTF-8 can never be found and is left out.
void special_set_add(special_set *set, view text, int32_t id);
void special_set_sort(special_set *set); // of equal texts the highest id stays

// The longest token that starts at text.data[pos], or NULL. O(length of the token * log of their number).
const special_token *special_set_match(const special_set *set, view text, size_t pos);

typedef struct special_match {
    int32_t id;
    size_t start, end; // with the space that it takes
} special_match;

// A walk through a text. `blocked`: ascending offsets at which no token may begin; `flags`: TOKEN_ bits by id, or
// NULL.
typedef struct special_walk {
    const special_set *set;
    const unsigned char *flags;
    const size_t *blocked;
    size_t n_blocked;
} special_walk;

// The next token at or behind `start`; false when there is none. `start` only ever grows in a walk.
bool special_walk_next(special_walk *walk, view text, size_t start, special_match *match);

// The token with exactly this text, or NULL.
const special_token *special_set_find(const special_set *set, view text);

#endif
