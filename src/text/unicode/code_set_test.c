// Sets against an array of bools.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> // needs those above

#include "text/unicode/code_set.h"
#include "text/unicode/unicode.h"

enum { N = 64 }; // code points that are tried; of the rest the last must say the same

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 16;
}

static void check_same(const code_set *set, const bool expected[N + 1])
{
    for (uint32_t i = 0; i < N; i++) assert_true(code_set_has(set, i) == expected[i]);
    assert_true(code_set_has(set, CODE_SET_END - 1) == expected[N]);
    for (size_t i = 1; i < set->count; i++) assert_true(set->bounds[i - 1] < set->bounds[i]);
    assert_false(set->failed);
}

// One random operation on both.
static void change(code_set *set, bool model[N + 1], uint32_t *state)
{
    code_set other = {0};
    uint32_t first = next_random(state) % N, last = first + next_random(state) % (N - first);
    bool in_other[N + 1] = {false};
    for (int i = 0; i < 3; i++) {
        uint32_t a = next_random(state) % N;
        code_set_add(&other, a, a);
        in_other[a] = true;
    }
    uint32_t kind = next_random(state) % 4;
    if (kind == 0) code_set_add(set, first, last);
    if (kind == 1) code_set_add_all(set, &other);
    if (kind == 2) code_set_keep(set, &other);
    if (kind == 3) code_set_invert(set);
    for (uint32_t i = 0; i <= N; i++) {
        if (kind == 0) model[i] = model[i] || (i >= first && i <= last);
        if (kind == 1) model[i] = model[i] || in_other[i];
        if (kind == 2) model[i] = model[i] && in_other[i];
        if (kind == 3) model[i] = !model[i];
    }
    code_set_free(&other);
}

static void test_operations(void **unused)
{
    (void)unused;
    uint32_t state = 1;
    for (int round = 0; round < 200; round++) {
        code_set set = {0};
        bool model[N + 1] = {false};
        for (int i = 0; i < 20; i++) {
            change(&set, model, &state);
            check_same(&set, model);
        }
        code_set_free(&set);
    }
}

static void test_properties(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        uint32_t in, out;
    } cases[] = {
        {"L", 0x4E00, '1'},        {"Lu", 'A', 'a'},          {"Uppercase_Letter", 'A', 'a'},
        {"Han", 0x3007, 0x3042},   {"hiragana", 0x3042, 'a'}, {"So", 0x1FA77, 'a'},
        {"Nd", 0x10D40, 'a'},      {"Space", 0x85, 0x180E},   {"Word", '_', '-'},
        {"Punct", '$', 'a'},       {"Cn", 0x10940, 'a'},      {"any", 0x10FFFF, 0x110000},
        {"LC", 0x1C5, 0x2B0},      {"XDigit", 'f', 'g'},      {"Yi", 0xA000, 'a'},
        {"White_Space", ' ', 'a'},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        code_set set = {0};
        assert_true(unicode_add_property(&set, (view){cases[i].name, strlen(cases[i].name)}));
        assert_true(code_set_has(&set, cases[i].in));
        assert_false(code_set_has(&set, cases[i].out));
        code_set_free(&set);
    }
    code_set set = {0};
    assert_false(unicode_add_property(&set, VIEW_LITERAL("Klingon")));
    assert_false(unicode_add_property(&set, VIEW_LITERAL("")));
    assert_false(unicode_add_property(&set, VIEW_LITERAL("a name that is longer than any property's name is")));
    code_set_free(&set);
}

static void test_cases(void **unused)
{
    (void)unused;
    code_set set = {0};
    code_set_add(&set, 'K', 'K');
    code_set_add(&set, 0x17F, 0x17F);   // long s
    code_set_add(&set, 0xA7DC, 0xA7DC); // of Unicode 16
    unicode_add_cases(&set);
    static const uint32_t all[] = {'K', 'k', 0x212A, 0x17F, 's', 'S', 0xA7DC, 0x19B};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) assert_true(code_set_has(&set, all[i]));
    assert_false(code_set_has(&set, 'i'));
    code_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
