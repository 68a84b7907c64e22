// BPE over characters: by scores as SentencePiece merges, by merges with byte fallback, and their way back to text.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h> // needs those above

#include "text/tokenizer/test_vocabulary.h"
#include "text/tokenizer/tokenizer.h"

enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE, MAX_TOKENS = 340, WORD = 12 };

#define SPACE "\xe2\x96\x81"

typedef struct toy {
    char texts[MAX_TOKENS][24];
    view views[MAX_TOKENS];
    int32_t types[MAX_TOKENS];
    float scores[MAX_TOKENS];
    size_t count;
} toy;

static int find(const toy *v, const char *text)
{
    for (size_t i = 0; i < v->count; i++)
        if (!strcmp(v->texts[i], text)) return (int)i;
    return -1;
}

static void add(toy *v, const char *text, int type, float score)
{
    if (v->count == MAX_TOKENS || find(v, text) >= 0) return;
    snprintf(v->texts[v->count], sizeof v->texts[0], "%s", text);
    v->views[v->count] = view_of(v->texts[v->count]);
    v->types[v->count] = type;
    v->scores[v->count++] = score;
}

// <unk> <s> </s>, the bytes, then what the test adds.
static void make_toy(toy *v)
{
    *v = (toy){0};
    add(v, "<unk>", UNKNOWN, 0);
    add(v, "<s>", CONTROL, 0);
    add(v, "</s>", CONTROL, 0);
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        add(v, text, BYTE, 0);
    }
}

static void add_floats(test_vocabulary *f, const char *key, const float *numbers, size_t count)
{
    put_key(f, key, METADATA_ARRAY);
    put_number(&f->values, METADATA_F32, 4);
    put_number(&f->values, count, 8);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &numbers[i], sizeof bits);
        put_number(&f->values, bits, 4);
    }
}

typedef struct fixture {
    test_vocabulary v;
    checkpoint *file;
    tokenizer *t;
} fixture;

static void open_toy(fixture *f, const toy *v, bool prefix)
{
    *f = (fixture){0};
    add_text(&f->v, "tokenizer.ggml.model", "llama");
    add_texts(&f->v, "tokenizer.ggml.tokens", v->views, v->count);
    add_ints(&f->v, "tokenizer.ggml.token_type", v->types, v->count);
    add_floats(&f->v, "tokenizer.ggml.scores", v->scores, v->count);
    add_int(&f->v, "tokenizer.ggml.unknown_token_id", 0);
    add_int(&f->v, "tokenizer.ggml.bos_token_id", 1);
    add_int(&f->v, "tokenizer.ggml.eos_token_id", 2);
    if (!prefix) add_bool(&f->v, "tokenizer.ggml.add_space_prefix", false);
    assert_int_equal(open_vocabulary(&f->v, &f->file, NULL), WF_OK);
    assert_int_equal(tokenizer_create(f->file, &f->t, NULL), WF_OK);
}

static void close_toy(fixture *f)
{
    tokenizer_free(f->t);
    checkpoint_close(f->file);
    free_vocabulary(&f->v);
}

// The text's tokens, separated by '|', must be these.
static void check(const fixture *f, const char *text, bool special, const char *expected)
{
    token_list ids = {0};
    buffer joined = {0};
    assert_int_equal(tokenizer_encode(f->t, view_of(text), special, NULL, 0, &ids, NULL), WF_OK);
    for (size_t i = 0; i < ids.count; i++) {
        if (i) buffer_append_char(&joined, '|');
        buffer_append_view(&joined, tokenizer_token_text(f->t, ids.ids[i]));
    }
    if (!view_is(buffer_view(&joined), expected)) fail_msg("'%s' became '%s', not '%s'", text, joined.data, expected);
    buffer back = {0};
    assert_int_equal(tokenizer_decode(f->t, ids.ids, ids.count, true, &back, NULL), WF_OK);
    if (!special) assert_string_equal(back.data ? back.data : "", text);
    buffer_free(&back);
    buffer_free(&joined);
    token_list_free(&ids);
}

static void test_merges_by_score(void **state)
{
    (void)state;
    toy v;
    make_toy(&v);
    static const char *const letters[] = {SPACE, "a", "b", "c"};
    for (size_t i = 0; i < 4; i++) add(&v, letters[i], NORMAL, -100);
    add(&v, "ab", NORMAL, -2);
    add(&v, "bc", NORMAL, -1);
    add(&v, "abc", NORMAL, -5);
    add(&v, SPACE "a", NORMAL, -3);
    add(&v, "aa", NORMAL, -1);
    fixture f;
    open_toy(&f, &v, true);
    check(&f, "abc", false, SPACE "a|bc"); // bc is best, then a space with a beats a with bc
    check(&f, "ab", false, SPACE "|ab");
    check(&f, "aaa", false, SPACE "|aa|a"); // of equal scores the leftmost
    check(&f, "a a", false, SPACE "a|" SPACE "a");
    check(&f, "\xc3\xa9", false, SPACE "|<0xC3>|<0xA9>"); // no token: its bytes
    check(&f, "a<s>", false, SPACE "a|<0x3C>|<0x73>|<0x3E>");
    check(&f, "a<s>b", true, SPACE "a|<s>|" SPACE "|b"); // each stretch of text gets its space
    check(&f, "", false, "");
    assert_int_equal(tokenizer_add_bos(f.t), true);
    close_toy(&f);
    open_toy(&f, &v, false);
    check(&f, "a a", false, "a|" SPACE "a");
    check(&f, " a", false, SPACE "a"); // comes back with its space
    close_toy(&f);
}

// While any neighbours make a token together, those of the best score become one.
static size_t merge_plainly(const toy *v, char (*parts)[24], size_t n)
{
    for (;;) {
        int best = -1;
        float score = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            char joined[48];
            snprintf(joined, sizeof joined, "%.23s%.23s", parts[i], parts[i + 1]);
            int id = find(v, joined);
            if (id < 0 || (best >= 0 && v->scores[id] <= score)) continue;
            best = (int)i;
            score = v->scores[id];
        }
        if (best < 0) return n;
        char joined[48];
        snprintf(joined, sizeof joined, "%s%s", parts[best], parts[best + 1]);
        memcpy(parts[best], joined, sizeof *parts);
        memmove(parts[best + 1], parts[best + 2], (n - (size_t)best - 2) * sizeof *parts);
        n--;
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void test_equals_definition(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (int round = 0; round < 100; round++) {
        toy v;
        make_toy(&v);
        for (char c = 'a'; c <= 'c'; c++) add(&v, (char[]){c, 0}, NORMAL, -50);
        for (int i = 0; i < 25; i++) {
            char joined[48];
            size_t first = 259, n = v.count - first;
            snprintf(joined, sizeof joined, "%s%s", v.texts[first + next_random(&seed) % n],
                     v.texts[first + next_random(&seed) % n]);
            if (strlen(joined) <= 6)
                add(&v, joined, NORMAL, -(float)(next_random(&seed) % 8)); // equal scores are likely
        }
        fixture f;
        open_toy(&f, &v, false);
        for (int word = 0; word < 20; word++) {
            char text[WORD + 1] = {0}, parts[WORD][24] = {{0}}, expected[128] = {0};
            size_t n = 1 + next_random(&seed) % WORD;
            for (size_t i = 0; i < n; i++) parts[i][0] = text[i] = (char)('a' + next_random(&seed) % 3);
            n = merge_plainly(&v, parts, n);
            for (size_t i = 0; i < n; i++) {
                if (i) strcat(expected, "|");
                strcat(expected, parts[i]);
            }
            check(&f, text, false, expected);
        }
        close_toy(&f);
    }
}

// As a tokenizer.json of Gemma's kind: merges instead of scores, no space before the text.
static void test_merges_with_byte_fallback(void **state)
{
    (void)state;
    toy v;
    make_toy(&v);
    static const char *const more[] = {SPACE, "a", "b", "ab", SPACE "ab", SPACE SPACE};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) add(&v, more[i], NORMAL, 0);
    v.types[find(&v, "<0x41>")] = UNUSED; // 'A' then has no token at all
    view merges[] = {view_of("a b"), view_of(SPACE " " SPACE), view_of(SPACE " ab")};
    view steps[] = {view_of("replace"), view_of(" "), view_of(SPACE)};
    view split[] = {view_of("merged_with_previous"), view_of(" ")};
    fixture f = {0};
    add_text(&f.v, "tokenizer.ggml.model", "bpe");
    add_texts(&f.v, "tokenizer.ggml.tokens", v.views, v.count);
    add_ints(&f.v, "tokenizer.ggml.token_type", v.types, v.count);
    add_texts(&f.v, "tokenizer.ggml.merges", merges, 3);
    add_texts(&f.v, "tokenizer.json.normalizer", steps, 3);
    add_texts(&f.v, "tokenizer.json.split", split, 2);
    add_int(&f.v, "tokenizer.ggml.unknown_token_id", 0);
    assert_int_equal(open_vocabulary(&f.v, &f.file, NULL), WF_OK);
    assert_int_equal(tokenizer_create(f.file, &f.t, NULL), WF_OK);
    check(&f, "ab  ab \xc3\xa9", false, "ab|" SPACE SPACE "|ab|" SPACE "|<0xC3>|<0xA9>");
    check(&f, "ab ab", false, "ab|" SPACE "ab");
    token_list ids = {0};
    assert_int_equal(tokenizer_encode(f.t, VIEW_LITERAL("aAAb"), false, NULL, 0, &ids, NULL), WF_OK);
    assert_int_equal(ids.count, 3); // unknown ones become one
    assert_int_equal(ids.ids[1], 0);
    token_list_free(&ids);
    close_toy(&f);
}

static void test_damaged(void **state)
{
    (void)state;
    static const struct {
        const char *key, *text;
    } damages[] = {{"tokenizer.json.normalizer", "lowercase"},
                   {"tokenizer.json.normalizer", "replace"},
                   {"tokenizer.json.split", "isolated"},
                   {"tokenizer.json.normalizer", ""}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        toy v;
        fixture f = {0};
        wf_error err = {0};
        make_toy(&v);
        view text = view_of(damages[i].text);
        bool is_split = !strcmp(damages[i].key, "tokenizer.json.split");
        add_text(&f.v, "tokenizer.ggml.model", "bpe");
        add_texts(&f.v, "tokenizer.ggml.tokens", v.views, v.count);
        add_texts(&f.v, "tokenizer.ggml.merges", NULL, 0);
        add_texts(&f.v, "tokenizer.json.normalizer", &text, is_split ? 0 : 1);
        add_texts(&f.v, "tokenizer.json.split", &text, is_split ? 1 : 0);
        assert_int_equal(open_vocabulary(&f.v, &f.file, NULL), WF_OK);
        assert_int_not_equal(tokenizer_create(f.file, &f.t, &err), WF_OK);
        assert_true(view_starts_with(view_of(err.message), view_of("test: ")));
        close_toy(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges_by_score),
        cmocka_unit_test(test_equals_definition),
        cmocka_unit_test(test_merges_with_byte_fallback),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
