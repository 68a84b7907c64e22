// The sampler: logits to a token.
//
//     logits ─ repeat penalty ─▶ top-k ─▶ top-p ─▶ min-p ─▶ temperature ─▶ draw
//
// The order and the meaning of each filter are llama.cpp's. Top-k, top-p and min-p each keep a beginning of the
// candidates in descending order, so only that beginning is ever sorted; equal logits stand in ascending order of id.
// The draw takes the number of splitmix64 (https://prng.di.unimi.it) at the token's position in the sequence: the token
// follows from seed, position and logits alone, whatever was drawn before, so that a seed gives the same tokens on every
// machine that gives the same logits, and guessed tokens can be checked (speculation.h).
#ifndef WELFORD_ENGINE_SAMPLER_H
#define WELFORD_ENGINE_SAMPLER_H

#include "base/status.h"

typedef struct sampler sampler;

wf_sampler_options sampler_defaults(void);

// WF_ERROR_USAGE names an option out of range. n_vocab >= 1.
wf_status sampler_create(const wf_sampler_options *options, int64_t n_vocab, sampler **s, wf_error *err);
void sampler_free(sampler *s); // NULL is fine

// Picks from logits [n_vocab]. WF_ERROR_FORMAT when one is NaN or plus infinity, or all are minus infinity.
wf_status sampler_pick(sampler *s, const float *logits, int32_t *token, wf_error *err);

// The sequence now ends with `token`. The repeat penalty ignores ids outside the vocabulary.
void sampler_accept(sampler *s, int32_t token);
void sampler_forget(sampler *s); // the sequence is empty again

uint64_t sampler_seed(const sampler *s);

#endif
