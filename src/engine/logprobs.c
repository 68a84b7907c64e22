#include "engine/logprobs.h"

#include <math.h>
#include <string.h>

double logits_log_sum(const float *logits, int64_t n)
{
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) max = logits[i] > max ? logits[i] : max;
    for (int64_t i = 0; i < n; i++) sum += exp(logits[i] - max);
    return log(sum) + max;
}

// An insertion into a short sorted list: n is small.
void logits_likeliest(const float *logits, int64_t n_tokens, double log_sum, wf_logprob *top, size_t n)
{
    size_t count = 0;
    for (int64_t i = 0; i < n_tokens && n; i++) {
        if (count == n && logits[i] <= logits[top[n - 1].token]) continue;
        size_t at = count < n ? count++ : n - 1;
        for (; at > 0 && logits[top[at - 1].token] < logits[i]; at--) top[at] = top[at - 1];
        top[at].token = (int32_t)i;
    }
    for (size_t i = 0; i < count; i++) top[i].logprob = (double)logits[top[i].token] - log_sum;
}
