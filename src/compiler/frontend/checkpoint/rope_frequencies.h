// Rotation frequencies of RoPE and the ways to stretch them over contexts longer than a model was trained on.
//
// Pair i of n_dims / 2 turns by f_i = base^(-2i / n_dims) radians a token; its wavelength is 2 pi / f_i tokens.
//
//   plain    f_i
//   linear   f_i / factor                                                        https://arxiv.org/abs/2306.15595
//   llama3   f_i where the wavelength is short, f_i / factor where it is long, a blend between: with
//            t = (context / wavelength - low) / (high - low) clamped to [0, 1], f_i (t + (1 - t) / factor)
//   yarn     the same idea by the pair's index: full speed up to the pair that turns beta_fast times in `context`
//            tokens, f_i / factor from the one that turns beta_slow times, a linear blend between; cos and sin grow by
//            0.1 ln(factor) + 1                                                  https://arxiv.org/abs/2309.00071
#ifndef WELFORD_COMPILER_FRONTEND_CHECKPOINT_ROPE_FREQUENCIES_H
#define WELFORD_COMPILER_FRONTEND_CHECKPOINT_ROPE_FREQUENCIES_H

#include <stdbool.h>
#include <stdint.h>

typedef enum rope_scaling_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN } rope_scaling_kind;

typedef struct rope_scaling {
    rope_scaling_kind kind;
    double base, factor;         // positive
    double context;              // tokens that the model was trained on; llama3 and yarn
    double low, high;            // llama3: times a pair turns in `context`, low < high
    double beta_fast, beta_slow; // yarn: the same, beta_slow <= beta_fast
    bool truncate;               // yarn: the blend begins and ends at whole pairs
} rope_scaling;

// Fills inv_freq [n_dims / 2], radians a token, and returns the factor on cos and sin.
double rope_frequencies(const rope_scaling *s, int64_t n_dims, double *inv_freq);

#endif
