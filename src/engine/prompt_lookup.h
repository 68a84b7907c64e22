// Prompt lookup: what may come next, from what the sequence itself says.
//
// Where the last tokens have occurred before, the tokens that followed them there are a guess at those that follow now:
// code is edited, a source is quoted, an argument repeats itself (https://github.com/apoorvumang/prompt-lookup-decoding).
// Occurrences are found as LZ77 finds them, by chains of equal pairs of tokens; of several, the one that agrees with
// the end of the sequence over the most tokens, of these the latest.
#ifndef WELFORD_ENGINE_PROMPT_LOOKUP_H
#define WELFORD_ENGINE_PROMPT_LOOKUP_H

#include "base/status.h"

typedef struct prompt_lookup prompt_lookup;

enum { LOOKUP_MIN_MATCH = 2, LOOKUP_MAX_MATCH = 32 }; // tokens that an occurrence agrees over

wf_status prompt_lookup_create(prompt_lookup **l, wf_error *err);
void prompt_lookup_free(prompt_lookup *l); // NULL is fine

// Appends a token (>= 0) to the sequence.
wf_status prompt_lookup_append(prompt_lookup *l, int32_t token, wf_error *err);
void prompt_lookup_clear(prompt_lookup *l); // the sequence is empty again

// Writes up to `max` guesses to `draft` and returns how many: 0 when the end has not occurred before. *matched: tokens
// over which it agrees, LOOKUP_MIN_MATCH .. LOOKUP_MAX_MATCH.
int64_t prompt_lookup_find(const prompt_lookup *l, int64_t max, int32_t *draft, int64_t *matched);

int64_t prompt_lookup_count(const prompt_lookup *l);         // tokens of the sequence
const int32_t *prompt_lookup_tokens(const prompt_lookup *l); // [count]

#endif
