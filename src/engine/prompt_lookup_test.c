// Prompt lookup against its definition: the longest earlier occurrence of the end, of equal ones the latest.
#include "engine/prompt_lookup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 600, MAX = 12 };

static prompt_lookup *create(const int32_t *tokens, int n)
{
    prompt_lookup *l;
    assert_int_equal(prompt_lookup_create(&l, NULL), WF_OK);
    for (int i = 0; i < n; i++) assert_int_equal(prompt_lookup_append(l, tokens[i], NULL), WF_OK);
    return l;
}

static int64_t expected(const int32_t *tokens, int64_t n, int32_t draft[MAX], int64_t *matched)
{
    int64_t best = -1;
    *matched = 0;
    for (int64_t at = n - 2; at >= 1; at--) {
        int64_t common = 0;
        while (common < LOOKUP_MAX_MATCH && common <= at && tokens[at - common] == tokens[n - 1 - common]) common++;
        if (common > *matched) best = at, *matched = common;
    }
    if (*matched < LOOKUP_MIN_MATCH) return *matched = 0;
    for (int64_t i = 0; i < MAX; i++) draft[i] = tokens[best + 1 + i % (n - 1 - best)];
    return MAX;
}

// Alphabets from small, where everything repeats, to large; fewer occurrences than the search looks at.
static void finds_the_longest(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 200; round++) {
        int32_t tokens[N];
        int n = 1 + rand() % (round < 150 ? 60 : N), letters = 4 + rand() % (round < 150 ? 20 : 400);
        for (int i = 0; i < n; i++) {
            bool copies = i > 20 && rand() % 3 != 0;
            tokens[i] = copies ? tokens[i - 1 - rand() % 3 * 5] : rand() % letters;
        }
        for (int i = 1; i <= n; i++) {
            prompt_lookup *l = create(tokens, i);
            int32_t draft[MAX], want[MAX];
            int64_t matched, want_matched;
            int64_t n_want = expected(tokens, i, want, &want_matched);
            int64_t found = prompt_lookup_find(l, MAX, draft, &matched);
            if (i < 60) { // the search gives up after 64 occurrences
                assert_int_equal(matched, want_matched);
                assert_int_equal(found, n_want);
                for (int64_t k = 0; k < found; k++) assert_int_equal(draft[k], want[k]);
            } else {
                assert_true(matched <= want_matched);
            }
            prompt_lookup_free(l);
        }
    }
}

static void repeats_itself(void **state)
{
    (void)state;
    static const int32_t tokens[] = {9, 1, 2, 3, 1, 2, 3};
    prompt_lookup *l = create(tokens, 7);
    int32_t draft[8];
    int64_t matched;
    assert_int_equal(prompt_lookup_find(l, 8, draft, &matched), 8);
    assert_int_equal(matched, 3);
    for (int i = 0; i < 8; i++) assert_int_equal(draft[i], 1 + i % 3);
    prompt_lookup_clear(l);
    assert_int_equal(prompt_lookup_find(l, 8, draft, &matched), 0);
    for (int i = 0; i < 3; i++) assert_int_equal(prompt_lookup_append(l, tokens[4 + i], NULL), WF_OK);
    assert_int_equal(prompt_lookup_find(l, 8, draft, &matched), 0); // what was before is forgotten
    assert_int_equal(prompt_lookup_count(l), 3);
    prompt_lookup_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_longest),
        cmocka_unit_test(repeats_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
