#include "runtime/program/poison.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static program_buffer arena_value(int64_t place, bool written)
{
    program_buffer b = {.area = BASE_ARENA, .written = written};
    b.offset.c[DIM_TOKENS] = place;
    b.bytes.c[DIM_TOKENS] = 64;
    return b;
}

static program_call call_of(uint32_t n, const program_buffer *buffers)
{
    program_call c = {
        .n_buffers = n, .buffers = buffers, .label = "", .tiles = {.divisor = 1, .factor = 1}, .grain = 1};
    c.tiles.a.c[DIM_TOKENS] = 1;
    return c;
}

static bool is_poisoned(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0xff) return false;
    return true;
}

// a is written by call 0 and read by call 1; b is written by call 1, into memory of its own, and read by call 2.
static void test_lifetimes(void **state)
{
    (void)state;
    program_call calls[] = {
        call_of(1, (program_buffer[]){arena_value(0, true)}),
        call_of(2, (program_buffer[]){arena_value(0, false), arena_value(64, true)}),
        call_of(1, (program_buffer[]){arena_value(64, false)}),
    };
    program p = {.n_calls = 3, .calls = calls};
    program_area areas[BASE_COUNT];
    program_set_sequence(&p, affine_of(DIM_TOKENS, 128), 0, areas);
    const int64_t dims[DIM_COUNT] = {1, 2, 0, 0, 64}; // two tokens: a is [0, 128), b is [128, 256)
    static const struct {
        uint32_t after;
        bool a_dead, b_dead;
    } cases[] = {{UINT32_MAX, true, true}, {0, false, true}, {1, true, false}, {2, true, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char memory[256] = {0};
        assert_true(poison_dead(&p, cases[i].after, memory, dims));
        assert_int_equal(is_poisoned(memory, 128), cases[i].a_dead);
        assert_int_equal(is_poisoned(memory + 128, 128), cases[i].b_dead);
    }
}

// What a call writes only a part of stays alive before it.
static void test_partly_written(void **state)
{
    (void)state;
    program_buffer part = arena_value(0, true);
    part.partly = true;
    program_call calls[] = {
        call_of(1, (program_buffer[]){arena_value(0, true)}),
        call_of(1, (program_buffer[]){part}),
        call_of(1, (program_buffer[]){arena_value(0, false)}),
    };
    program p = {.n_calls = 3, .calls = calls};
    program_area areas[BASE_COUNT];
    program_set_sequence(&p, affine_of(DIM_TOKENS, 64), 0, areas);
    const int64_t dims[DIM_COUNT] = {1, 2, 0, 0, 64};
    for (uint32_t after = 0; after < 3; after++) {
        unsigned char memory[128] = {0};
        assert_true(poison_dead(&p, after, memory, dims));
        assert_int_equal(is_poisoned(memory, 128), after == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lifetimes), cmocka_unit_test(test_partly_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
