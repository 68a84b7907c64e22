// Merging against the plain definition: while a pair is in the list, merge the best one.
#include "text/tokenizer/bpe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h> // needs those above

enum { MAX_TOKENS = 64, MAX_MERGES = 48, MAX_WORD = 24 };

typedef struct toy {
    char texts[MAX_TOKENS][16], merges[MAX_MERGES][32];
    view token_views[MAX_TOKENS], merge_views[MAX_MERGES];
    bool usable[MAX_TOKENS];
    size_t n_tokens, n_merges;
} toy;

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static int find_text(const toy *v, const char *text)
{
    for (size_t i = 0; i < v->n_tokens; ++i)
        if (!strcmp(v->texts[i], text)) return (int)i;
    return -1;
}

static int find_merge(const toy *v, const char *left, const char *right)
{
    char merge[32];
    snprintf(merge, sizeof merge, "%.14s %.14s", left, right);
    for (size_t i = 0; i < v->n_merges; ++i)
        if (!strcmp(v->merges[i], merge)) return (int)i;
    return -1;
}

static void add_token(toy *v, const char *text)
{
    if (v->n_tokens == MAX_TOKENS || find_text(v, text) >= 0) return;
    snprintf(v->texts[v->n_tokens], sizeof v->texts[0], "%s", text);
    v->token_views[v->n_tokens] = view_of(v->texts[v->n_tokens]);
    v->usable[v->n_tokens++] = true;
}

// Letters a, b, c and random merges of what is there already.
static void make_toy(toy *v, uint32_t *seed)
{
    *v = (toy){0};
    add_token(v, "a");
    add_token(v, "b");
    add_token(v, "c");
    size_t wanted = 1 + next_random(seed) % MAX_MERGES;
    for (int tries = 0; tries < 200 && v->n_merges < wanted; ++tries) {
        const char *left = v->texts[next_random(seed) % v->n_tokens],
                   *right = v->texts[next_random(seed) % v->n_tokens];
        char product[32], merge[32];
        snprintf(product, sizeof product, "%.15s%.15s", left, right);
        snprintf(merge, sizeof merge, "%.15s %.15s", left, right);
        if (strlen(product) > 8 || find_merge(v, left, right) >= 0) continue;
        memcpy(v->merges[v->n_merges], merge, sizeof merge);
        v->merge_views[v->n_merges] = view_of(v->merges[v->n_merges]);
        ++v->n_merges;
        add_token(v, product);
    }
}

static size_t merge_naively(const toy *v, const char *word, int32_t *ids)
{
    char symbols[MAX_WORD][16];
    size_t n = strlen(word);
    for (size_t i = 0; i < n; ++i) snprintf(symbols[i], sizeof symbols[i], "%c", word[i]);
    for (;;) {
        int best = -1;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; ++i) {
            int rank = find_merge(v, symbols[i], symbols[i + 1]);
            if (rank < 0 || (best >= 0 && rank >= best)) continue;
            best = rank;
            at = i;
        }
        if (best < 0) break;
        memcpy(symbols[at] + strlen(symbols[at]), symbols[at + 1], strlen(symbols[at + 1]) + 1);
        memmove(symbols[at + 1], symbols[at + 2], (n - at - 2) * sizeof symbols[0]);
        --n;
    }
    for (size_t i = 0; i < n; ++i) ids[i] = find_text(v, symbols[i]);
    return n;
}

static void check_word(const toy *v, const bpe *b, bpe_scratch *s, const char *word)
{
    int32_t expected[MAX_WORD];
    size_t n = merge_naively(v, word, expected);
    token_list found = {0};
    for (int round = 0; round < 2; ++round) { // the second from the cache
        found.count = 0;
        assert_int_equal(bpe_encode_word(b, s, view_of(word), &found, NULL), WF_OK);
        assert_int_equal(found.count, n);
        if (n) assert_memory_equal(found.ids, expected, n * sizeof *expected);
    }
    token_list_free(&found);
}

static void test_equals_definition(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 500; ++round) {
        toy v;
        make_toy(&v, &seed);
        bpe_config config = {.tokens = v.token_views,
                             .usable = v.usable,
                             .n_tokens = v.n_tokens,
                             .merges = v.merge_views,
                             .n_merges = v.n_merges};
        bpe *b;
        bpe_scratch *s;
        assert_int_equal(bpe_create(&config, &b, NULL), WF_OK);
        assert_int_equal(bpe_scratch_create(round % 2, &s, NULL), WF_OK);
        for (int i = 0; i < 20; ++i) {
            char word[MAX_WORD] = {0};
            size_t n = next_random(&seed) % (MAX_WORD - 1);
            for (size_t j = 0; j < n; ++j) word[j] = (char)('a' + next_random(&seed) % 3);
            check_word(&v, b, s, word);
        }
        bpe_scratch_free(s);
        bpe_free(b);
    }
}

static void check_ids(const bpe_config *config, const char *word, const int32_t *expected, size_t count)
{
    bpe *b;
    bpe_scratch *s;
    token_list ids = {0};
    assert_int_equal(bpe_create(config, &b, NULL), WF_OK);
    assert_int_equal(bpe_scratch_create(false, &s, NULL), WF_OK);
    assert_int_equal(bpe_encode_word(b, s, view_of(word), &ids, NULL), WF_OK);
    assert_int_equal(ids.count, count);
    if (count) assert_memory_equal(ids.ids, expected, count * sizeof *expected);
    token_list_free(&ids);
    bpe_scratch_free(s);
    bpe_free(b);
}

#define CHECK_IDS(config, word, ...)                                                                                   \
    check_ids(config, word, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void test_odd_vocabularies(void **state)
{
    (void)state;
    view tokens[] = {view_of("a"), view_of("b"), view_of("ab"), view_of(""), view_of("ab"), view_of("abab")};
    bool usable[] = {true, true, true, true, true, true};
    view merges[] = {view_of("a b"), view_of("b a"), view_of("a b")};
    bpe_config config = {.tokens = tokens, .usable = usable, .n_tokens = 6, .merges = merges, .n_merges = 3};
    CHECK_IDS(&config, "abab", 4, 4); // of equal tokens the last
    CHECK_IDS(&config, "ba", 1, 0);   // a product that is no token falls apart
    CHECK_IDS(&config, "axxb", 4);    // bytes without a token are dropped before merging
    check_ids(&config, "xyz", NULL, 0);
    check_ids(&config, "", NULL, 0);
    config.ignore_merges = true;
    CHECK_IDS(&config, "abab", 5);
    CHECK_IDS(&config, "abxab", 4, 4); // only a word that is a token as a whole
    usable[5] = false;
    CHECK_IDS(&config, "abab", 4, 4);
    config.n_merges = 0;
    CHECK_IDS(&config, "aab", 0, 0, 1);
}

static void test_damaged_merges(void **state)
{
    (void)state;
    const char *damaged[] = {"ab", "", " ", " a", "a ", "\n"};
    view tokens[] = {view_of("a")};
    bool usable[] = {true};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; ++i) {
        view merges[] = {view_of("a a"), view_of(damaged[i])};
        bpe_config config = {.tokens = tokens, .usable = usable, .n_tokens = 1, .merges = merges, .n_merges = 2};
        bpe *b = NULL;
        wf_error err;
        assert_int_equal(bpe_create(&config, &b, &err), WF_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "merge 1 '"));
        assert_null(b);
    }
}

static void test_decode(void **state)
{
    (void)state;
    bpe_config config = {0};
    bpe *b;
    buffer out = {0};
    assert_int_equal(bpe_create(&config, &b, NULL), WF_OK);
    bpe_decode(b, view_of("\u0120the\u010a\u00e9"), &out);
    assert_string_equal(out.data, " the\n\xE9");
    buffer_clear(&out);
    bpe_decode(b, view_of("two words \u0120"), &out); // a space is no letter: the text as it is
    assert_string_equal(out.data, "two words \u0120");
    buffer_clear(&out);
    bpe_decode(b, view_of("\xFF\xC4"), &out);
    assert_string_equal(out.data, "\xFF\xC4");
    buffer_clear(&out);
    bpe_decode(b, view_of("\u0144"), &out); // just past the last letter, U+0143
    assert_string_equal(out.data, "\u0144");
    buffer_free(&out);
    bpe_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_definition),
        cmocka_unit_test(test_odd_vocabularies),
        cmocka_unit_test(test_damaged_merges),
        cmocka_unit_test(test_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
