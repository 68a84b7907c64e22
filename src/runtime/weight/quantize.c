// Block formats: see pack_panel.c. Quants are chosen with the scale in f32, before it is rounded to f16: this is how
// ggml does it, and what makes the bytes equal.
#include "runtime/weight/quantize.h"

#include <math.h>

#include "base/half.h"

void widen_f32(const unsigned char *in, int64_t n, float *out) { memcpy(out, in, (size_t)n * sizeof *out); }

static uint16_t half_at(const unsigned char *in, int64_t i)
{
    uint16_t half;
    memcpy(&half, in + 2 * i, sizeof half);
    return half;
}

void widen_f16(const unsigned char *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = half_to_float(half_at(in, i));
}

void widen_bf16(const unsigned char *in, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = bfloat_to_float(half_at(in, i));
}

void narrow_f32(const float *x, int64_t n, unsigned char *out) { memcpy(out, x, (size_t)n * sizeof *x); }

void narrow_bf16(const float *x, int64_t n, unsigned char *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half = bfloat_from_float(x[i]);
        memcpy(out + 2 * i, &half, sizeof half);
    }
}

// ---- blocks

enum { BLOCK = 32, HALF_BLOCK = 16 };

static void store_half(unsigned char *p, float x)
{
    uint16_t half = half_from_float(x);
    p[0] = (unsigned char)(half & 255);
    p[1] = (unsigned char)(half >> 8);
}

static float reciprocal(float d) { return d != 0 ? 1.0f / d : 0.0f; }

// x truncated to 0..15; a NaN gives 0.
static unsigned nibble(float x) { return x >= 15 ? 15 : x > 0 ? (unsigned)x : 0; }

// x rounded to -127..127, halves away from zero; a NaN gives 0.
static int signed_byte(float x)
{
    if (!(x > -127)) return x <= -127 ? -127 : 0;
    return x >= 127 ? 127 : (int)roundf(x);
}

void quantize_q8_0(const float *x, int64_t n, unsigned char *out)
{
    for (int64_t b = 0; b < n / BLOCK; b++, x += BLOCK, out += 2 + BLOCK) {
        float largest = 0;
        for (int i = 0; i < BLOCK; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
        float d = largest / 127, inverse = reciprocal(d);
        store_half(out, d);
        for (int i = 0; i < BLOCK; i++) out[2 + i] = (unsigned char)(signed_byte(x[i] * inverse) & 255);
    }
}

// Value i in the low nibble of byte i, value 16 + i in its high nibble; q = x * inverse + shift, truncated.
static void store_nibbles(const float *x, float minimum, float inverse, float shift, unsigned char *out)
{
    for (int i = 0; i < HALF_BLOCK; i++) {
        unsigned low = nibble((x[i] - minimum) * inverse + shift);
        unsigned high = nibble((x[HALF_BLOCK + i] - minimum) * inverse + shift);
        out[i] = (unsigned char)(low | high << 4);
    }
}

void quantize_q4_0(const float *x, int64_t n, unsigned char *out)
{
    for (int64_t b = 0; b < n / BLOCK; b++, x += BLOCK, out += 2 + HALF_BLOCK) {
        float largest = 0; // by magnitude, with its sign; the first one of equals
        for (int i = 0; i < BLOCK; i++) largest = fabsf(x[i]) > fabsf(largest) ? x[i] : largest;
        float d = largest / -8;
        store_half(out, d);
        store_nibbles(x, 0, reciprocal(d), 8.5f, out + 2);
    }
}

void quantize_q4_1(const float *x, int64_t n, unsigned char *out)
{
    for (int64_t b = 0; b < n / BLOCK; b++, x += BLOCK, out += 4 + HALF_BLOCK) {
        float minimum = x[0], maximum = x[0];
        for (int i = 1; i < BLOCK; i++) {
            minimum = x[i] < minimum ? x[i] : minimum;
            maximum = x[i] > maximum ? x[i] : maximum;
        }
        float d = (maximum - minimum) / 15;
        store_half(out, d);
        store_half(out + 2, minimum);
        store_nibbles(x, minimum, reciprocal(d), 0.5f, out + 4);
    }
}
