// Speculative decoding that changes nothing but the speed.
//
//     token ─▶ [token, guess, guess, guess] ─▶ one evaluation ─▶ 4 rows of logits
//                                                                  │
//     the next token, drawn from row 0, is the first guess? then row 1 is what follows it, at no cost; and so on
//
// Guesses and their number come from guesses.h, and where these know nothing from a drafter, if there is one. A guess is right when it is the token that the sampler draws from the
// logits, so that greedy and sampled answers are those without speculation; guesses that were wrong are truncated from the
// cache.
#ifndef WELFORD_ENGINE_SPECULATION_H
#define WELFORD_ENGINE_SPECULATION_H

#include "engine/drafter.h"
#include "engine/guesses.h"
#include "engine/session.h"

typedef struct speculation speculation;

enum { SPECULATION_MAX = GUESSES_MAX }; // guesses of one evaluation

typedef struct speculation_counts {
    int64_t n_evaluations, n_guesses, n_right;
    int64_t lengths[SPECULATION_MAX + 1]; // evaluations with that many guesses
} speculation_counts;

// The session must outlive it; nobody else evaluates in it between begin and end. `clock`: seconds, by which evaluations
// are measured (clock_seconds).
wf_status speculation_create(session *s, double (*clock)(void), speculation **a, wf_error *err);
void speculation_free(speculation *a); // NULL is fine

// Takes a drafter, its own from now on; NULL: none.
void speculation_set_drafter(speculation *a, drafter *d);

// The session's sequence has just been evaluated, its last token with logits. What was learnt before stays.
wf_status speculation_begin(speculation *a, wf_error *err);

// The logits of what follows the sequence, [n_vocab].
const float *speculation_logits(const speculation *a);

// Whether there is room for a token.
bool speculation_has_room(const speculation *a);

// `token` follows: makes the logits of what follows it current. `n_wanted` >= 1: tokens that the caller may still want
// with it, so that no more are guessed.
wf_status speculation_step(speculation *a, int32_t token, int64_t n_wanted, wf_error *err);

// The session's sequence is just what it was told: the prompt and the tokens of steps.
wf_status speculation_end(speculation *a, wf_error *err);

speculation_counts speculation_count(const speculation *a); // since speculation_begin

#endif
