// The layout's sizes, and states that go from a cache of one size to one of another.
#include "runtime/program/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_sizes(void **state)
{
    (void)state;
    static const int64_t rows[][2] = {{1, 16}, {8, 16}, {16, 16}, {80, 80}, {100, 112}, {112, 112}, {250, 256}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_int_equal(kv_row(rows[i][0]), rows[i][1]);
    const kv_layout kv = {.n_layer = 3, .n_kv_heads = 2, .head_dim = 100, .type = KV_F32};
    size_t bytes;
    assert_int_equal(kv_position_bytes(&kv), 3 * 2 * 2 * 112 * 4);
    assert_int_equal(kv_capacity(64), 64);
    assert_int_equal(kv_capacity(65), 128);
    assert_true(kv_bytes(&kv, 65, &bytes));
    assert_int_equal(bytes, 128 * kv_position_bytes(&kv));
    assert_int_equal(kv_state_bytes(&kv, 0), 0);
    assert_int_equal(kv_state_bytes(&kv, 17), 32 * kv_position_bytes(&kv));
    const kv_layout small = {.n_layer = 3, .n_kv_heads = 2, .head_dim = 100, .type = KV_Q8};
    assert_int_equal(kv_position_bytes(&small), 3 * 2 * 2 * (112 + 4 * 4));
    for (kv_type type = 0; type < KV_TYPE_COUNT; type++) {
        kv_type parsed = KV_TYPE_COUNT;
        assert_true(kv_type_parse(kv_type_name(type), &parsed));
        assert_int_equal(parsed, type);
    }
    kv_type none;
    assert_false(kv_type_parse("q4", &none) || kv_type_parse("", &none));
}

static void test_limits(void **state)
{
    (void)state;
    size_t bytes;
    const kv_layout most = {KV_MOST_LAYERS, KV_MOST_HEADS, KV_MOST_FEATURES, KV_F32};
    assert_true(kv_layout_is_valid(&most));
    assert_true(kv_position_bytes(&most) > 0);
    assert_false(kv_bytes(&most, INT32_MAX, &bytes));
    const kv_layout bad[] = {
        {0, 1, 1, KV_F16},  {1, 0, 1, KV_F16},         {1, 1, 0, KV_F16},       {KV_MOST_LAYERS + 1, 1, 1, KV_F16},
        {1, -1, 1, KV_F32}, {1, 1, INT64_MAX, KV_F32}, {1, 1, 1, KV_TYPE_COUNT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(kv_layout_is_valid(&bad[i]));
}

// The byte of a block: which block, part, and place in it. What lies behind the positions of the state is not to be copied.
static unsigned char byte_at(size_t block, size_t part, size_t at)
{
    return (unsigned char)(block * 101 + part * 31 + at % 251);
}

static void test_states(void **state)
{
    (void)state;
    const kv_layout kv = {.n_layer = 2, .n_kv_heads = 3, .head_dim = 20};
    enum { BLOCKS = 3, N = 2 * KV_BLOCK + 17, PARTS = 12, ROW_BYTES = 64, PART_BYTES = KV_BLOCK * ROW_BYTES };
    const size_t kept[BLOCKS] = {PART_BYTES, PART_BYTES, 32 * ROW_BYTES}; // of each part, whole groups
    static unsigned char from[BLOCKS][PARTS * PART_BYTES], to[BLOCKS][PARTS * PART_BYTES];
    unsigned char *from_table[] = {from[2], from[0], from[1]}, *to_table[] = {to[1], to[2], to[0]};
    size_t bytes = 0;
    assert_true(kv_block_bytes(&kv, &bytes));
    assert_int_equal(bytes, sizeof from[0]);
    assert_int_equal(kv_blocks(0), 0);
    assert_int_equal(kv_blocks(N), BLOCKS);
    for (size_t k = 0; k < BLOCKS; k++)
        for (size_t i = 0; i < bytes; i++) from_table[k][i] = byte_at(k, i / PART_BYTES, i % PART_BYTES);
    memset(to, 0xee, sizeof to);
    assert_int_equal(kv_state_bytes(&kv, N), PARTS * (kept[0] + kept[1] + kept[2]));
    unsigned char *saved = malloc(kv_state_bytes(&kv, N));
    assert_non_null(saved);
    kv_copy_out(&kv, from_table, N, saved);
    assert_int_equal(saved[kept[0]], byte_at(1, 0, 0)); // the parts are whole: blocks follow each other in them
    kv_copy_in(&kv, to_table, N, saved);
    for (size_t k = 0; k < BLOCKS; k++)
        for (size_t i = 0; i < bytes; i++) {
            size_t at = i % PART_BYTES;
            assert_int_equal(to_table[k][i], at < kept[k] ? byte_at(k, i / PART_BYTES, at) : 0xee);
        }
    free(saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_limits),
                                       cmocka_unit_test(test_states)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
