// Guesses at the tokens that follow a sequence (prompt_lookup.h), and how many of them are worth evaluating: as many as
// promise the most tokens a second, by what evaluations take and how often guesses of a kind were right; none where none
// pays. What a guess would have been worth is learnt without evaluating it too, from the token that did come.
#ifndef WELFORD_ENGINE_GUESSES_H
#define WELFORD_ENGINE_GUESSES_H

#include "base/status.h"

typedef struct guesses guesses;

enum { GUESSES_MAX = 31 }; // of one evaluation

wf_status guesses_create(guesses **g, wf_error *err);
void guesses_free(guesses *g); // NULL is fine

void guesses_clear(guesses *g);                                     // the sequence is empty; what was learnt stays
wf_status guesses_append(guesses *g, int32_t token, wf_error *err); // the sequence goes on
const int32_t *guesses_sequence(const guesses *g);                  // [guesses_count]
int64_t guesses_count(const guesses *g);                            // tokens of the sequence

// Seconds of an evaluation of n rows, 1 .. GUESSES_MAX + 1, in units that only compare.
typedef double guesses_cost(const void *context, int64_t n_rows);

// Guesses what follows; returns how many are worth evaluating, 0 .. max.
int64_t guesses_make(guesses *g, int64_t max, guesses_cost *cost, const void *context);
const int32_t *guesses_tokens(const guesses *g); // [returned]

// `token` came in the place of guess i: whether it is that one. There may be guesses beyond those that were evaluated,
// from which is learnt too.
bool guesses_note(guesses *g, int64_t i, int32_t token);

#endif
