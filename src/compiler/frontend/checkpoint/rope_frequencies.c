#include "compiler/frontend/checkpoint/rope_frequencies.h"

#include <math.h>

static const double TWO_PI = 6.28318530717958648;

static double clamp(double x, double least, double most) { return x < least ? least : x > most ? most : x; }

// How much of pair i keeps its speed: 1 all, 0 none.
static double llama3_share(const rope_scaling *s, double frequency)
{
    double turns = s->context * frequency / TWO_PI;
    return clamp((turns - s->low) / (s->high - s->low), 0, 1);
}

// The (fractional) index of the pair that turns so many times in the trained context.
static double yarn_index(const rope_scaling *s, int64_t n_dims, double turns)
{
    return (double)n_dims * log(s->context / (turns * TWO_PI)) / (2 * log(s->base));
}

static double yarn_share(const rope_scaling *s, int64_t n_dims, int64_t i)
{
    double first = yarn_index(s, n_dims, s->beta_fast), last = yarn_index(s, n_dims, s->beta_slow);
    if (s->truncate) first = floor(first), last = ceil(last);
    first = fmax(first, 0);
    last = fmin(last, (double)(n_dims - 1));
    double width = fmax(last - first, 0.001); // as the authors' code does
    return 1 - clamp(((double)i - first) / width, 0, 1);
}

double rope_frequencies(const rope_scaling *s, int64_t n_dims, double *inv_freq)
{
    for (int64_t i = 0; i < n_dims / 2; i++) {
        double frequency = pow(s->base, -2.0 * (double)i / (double)n_dims), share = 0;
        if (s->kind == ROPE_PLAIN) share = 1;
        if (s->kind == ROPE_LLAMA3) share = llama3_share(s, frequency);
        if (s->kind == ROPE_YARN) share = yarn_share(s, n_dims, i);
        inv_freq[i] = frequency * (share + (1 - share) / s->factor);
    }
    return s->kind == ROPE_YARN && s->factor > 1 ? 0.1 * log(s->factor) + 1 : 1;
}
