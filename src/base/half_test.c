#include "base/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// The value of a finite f16 by its definition.
static double half_value(uint16_t h)
{
    int exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
    double magnitude = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return h & 0x8000 ? -magnitude : magnitude;
}

static bool half_is_finite(uint16_t h) { return (h & 0x7c00) != 0x7c00; }

static void test_widens_every_half(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t h = (uint16_t)i;
        float x = half_to_float(h);
        assert_int_equal(!!signbit(x), h >> 15);
        if (half_is_finite(h))
            assert_true((double)x == half_value(h));
        else if (h & 0x3ff)
            assert_true(isnan(x));
        else
            assert_true(isinf(x));
    }
}

static void test_round_trips(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t h = (uint16_t)i;
        bool half_nan = (h & 0x7c00) == 0x7c00 && h & 0x3ff, bfloat_nan = (h & 0x7f80) == 0x7f80 && h & 0x7f;
        assert_int_equal(half_from_float(half_to_float(h)), half_nan ? h | 0x200 : h);
        assert_int_equal(bfloat_from_float(bfloat_to_float(h)), bfloat_nan ? h | 0x40 : h);
    }
}

// Whether `h` is the f16 nearest to finite x, ties to even; neighbours in magnitude are h - 1 and h + 1.
static void assert_nearest_half(float x)
{
    uint16_t h = half_from_float(x);
    assert_int_equal(h >> 15, !!signbit(x));
    if (!half_is_finite(h)) {
        assert_int_equal(h & 0x3ff, 0);
        assert_true(fabs((double)x) >= 65520);
        return;
    }
    double error = fabs(half_value(h) - (double)x);
    if (h & 0x7fff) {
        double below = fabs(half_value((uint16_t)(h - 1)) - (double)x);
        assert_true(error < below || (error == below && !(h & 1)));
    }
    // The largest finite f16 has 65536 above it for rounding.
    double next = (h & 0x7fff) == 0x7bff ? copysign(65536, (double)x) : half_value((uint16_t)(h + 1));
    double above = fabs(next - (double)x);
    assert_true(error < above || (error == above && !(h & 1)));
}

static void test_narrows_to_nearest_half(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (int i = 0; i < 300000; i++) {
        random = random * 1664525 + 1013904223;
        float x = float_of_bits(random);
        if (isfinite(x)) assert_nearest_half(x);
        float near = ldexpf((float)(random >> 8), (int)(random % 45) - 50); // the whole range of f16 and a little more
        assert_nearest_half(random & 128 ? near : -near);
    }
    // Ties: halfway between every two neighbours, and one f32 step to each side.
    for (uint16_t h = 0; h < 0x7bff; h++) {
        float middle = (float)((half_value(h) + half_value((uint16_t)(h + 1))) / 2);
        assert_nearest_half(middle);
        assert_nearest_half(nextafterf(middle, INFINITY));
        assert_nearest_half(-nextafterf(middle, 0));
    }
    assert_int_equal(half_from_float(65519.996f), 0x7bff);
    assert_int_equal(half_from_float(65520), 0x7c00);
    assert_int_equal(half_from_float(-INFINITY), 0xfc00);
    assert_int_equal(half_from_float(0x1p-25f), 0);
    assert_int_equal(half_from_float(0x1.8p-24f), 2);
    assert_true(isnan(half_to_float(half_from_float(float_of_bits(0x7f800001)))));
}

static void test_narrows_to_nearest_bfloat(void **state)
{
    (void)state;
    assert_int_equal(bfloat_from_float(1), 0x3f80);
    assert_int_equal(bfloat_from_float(float_of_bits(0x3f808000)), 0x3f80); // tie: even is below
    assert_int_equal(bfloat_from_float(float_of_bits(0x3f818000)), 0x3f82); // tie: even is above
    assert_int_equal(bfloat_from_float(float_of_bits(0x3f808001)), 0x3f81);
    assert_int_equal(bfloat_from_float(float_of_bits(0x00008000)), 0); // denormal tie
    assert_int_equal(bfloat_from_float(float_of_bits(0x7f7fffff)), 0x7f80);
    assert_int_equal(bfloat_from_float(-INFINITY), 0xff80);
    assert_true(isnan(bfloat_to_float(bfloat_from_float(float_of_bits(0xff800001)))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widens_every_half),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_narrows_to_nearest_half),
        cmocka_unit_test(test_narrows_to_nearest_bfloat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
