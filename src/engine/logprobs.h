// Logarithms of probabilities: softmax of logits at temperature 1, in f64.
#ifndef WELFORD_ENGINE_LOGPROBS_H
#define WELFORD_ENGINE_LOGPROBS_H

#include "base/status.h"

// log sum exp(logits[i]): a logit less this is the logarithm of its probability.
double logits_log_sum(const float *logits, int64_t n);

// The n likeliest of the first n_tokens tokens, n <= n_tokens, in descending order, of equal ones the lowest id first.
void logits_likeliest(const float *logits, int64_t n_tokens, double log_sum, wf_logprob *top, size_t n);

#endif
