// Conversions between f32 and the two 16-bit floats, in plain C for any CPU.
//
//   f16   1 sign, 5 exponent (bias 15), 10 mantissa bits    IEEE 754 binary16
//   bf16  1 sign, 8 exponent (bias 127), 7 mantissa bits    the upper half of an f32
//
// Widening is exact. Narrowing rounds to nearest, ties to even; too large becomes inf. A NaN stays a NaN (a quiet one,
// as the F16C instructions make it), its sign and the upper bits of its payload kept.
#ifndef WELFORD_BASE_HALF_H
#define WELFORD_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000 | (mantissa ? 0x400000 | mantissa << 13 : 0));
    if (exponent == 0) return float_of_bits(sign | float_bits((float)mantissa * 0x1p-24f));
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t half_from_float(float x)
{
    uint32_t bits = float_bits(x), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff, half;
    if (magnitude > 0x7f800000)
        half = 0x7e00 | ((magnitude >> 13) & 0x3ff);
    else if (magnitude >= 0x477ff000) // 65520, halfway between the largest f16 and the next power of two
        half = 0x7c00;
    else if (magnitude < 0x38800000) // below 2^-14: the result is a multiple of 2^-24, as are floats next to 0.5
        half = float_bits(float_of_bits(magnitude) + 0.5f) - float_bits(0.5f);
    else
        half = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    return (uint16_t)(sign | half);
}

static inline float bfloat_to_float(uint16_t b) { return float_of_bits((uint32_t)b << 16); }

static inline uint16_t bfloat_from_float(float x)
{
    uint32_t bits = float_bits(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

#endif
