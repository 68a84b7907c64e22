// Values between f32 and the forms of files. Blocks are quantised bit for bit as ggml's reference quantisers do.
#ifndef WELFORD_RUNTIME_WEIGHT_QUANTIZE_H
#define WELFORD_RUNTIME_WEIGHT_QUANTIZE_H

#include <stdint.h>

// n values from `in` to `out`: exact.
void widen_f32(const unsigned char *in, int64_t n, float *out);
void widen_f16(const unsigned char *in, int64_t n, float *out);
void widen_bf16(const unsigned char *in, int64_t n, float *out);

void narrow_f32(const float *x, int64_t n, unsigned char *out);  // the same values
void narrow_bf16(const float *x, int64_t n, unsigned char *out); // to nearest, ties to even

// n values (a multiple of 32) from `x` to n/32 blocks at `out` of 34, 18 or 20 bytes. Values should be finite and
// within the range of f16 scales; others give some valid block. Source of the rounding rules:
// https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c (quantize_row_q8_0_ref and its neighbours)
void quantize_q8_0(const float *x, int64_t n, unsigned char *out); // error of a value at most |d|/2 + rounding of d
void quantize_q4_0(const float *x, int64_t n, unsigned char *out); // the value of largest magnitude becomes q = 0
void quantize_q4_1(const float *x, int64_t n, unsigned char *out); // the least value becomes q = 0, the greatest q = 15

#endif
