// The tokenizer on a small vocabulary with all bytes, sound and damaged.
#include "text/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> // needs those above

#include "text/tokenizer/test_vocabulary.h"

// Ids 0..255 are the bytes; then these.
enum { HE = 256, LLO, HELLO, SPACE_W, BOS, EOS, BOS_LONG, THINK, SPACE2, ODD, UNUSED, EMPTY, N_TOKENS };

static const char *const EXTRA[] = {"he",   "llo",     "hello", "\u0120w", "<s>",   "<|im_end|>",
                                    "<s>>", "<think>", "  ",    "a b",     "[PAD]", ""};
static const int32_t EXTRA_TYPES[] = {1, 1, 1, 1, 3, 3, 3, 4, 4, 1, 5, 3};
static const char *const MERGES[] = {"h e", "l l", "ll o", "he llo", "\u0120 w"};

typedef struct fixture {
    char letters[256][2];
    view tokens[N_TOKENS];
    int32_t types[N_TOKENS];
    view merges[5];
    test_vocabulary v;
    checkpoint *file;
    tokenizer *t;
} fixture;

static void fill_fixture(fixture *f)
{
    *f = (fixture){0};
    for (int byte = 0; byte < 256; ++byte) {
        f->tokens[byte] = (view){f->letters[byte], put_letter(byte, f->letters[byte])};
        f->types[byte] = 1;
    }
    for (size_t i = 0; i < N_TOKENS - 256; ++i) {
        f->tokens[256 + i] = view_of(EXTRA[i]);
        f->types[256 + i] = EXTRA_TYPES[i];
    }
    for (size_t i = 0; i < 5; ++i) f->merges[i] = view_of(MERGES[i]);
}

static void add_arrays(fixture *f)
{
    add_texts(&f->v, "tokenizer.ggml.tokens", f->tokens, N_TOKENS);
    add_ints(&f->v, "tokenizer.ggml.token_type", f->types, N_TOKENS);
    add_texts(&f->v, "tokenizer.ggml.merges", f->merges, 5);
}

static void open_fixture(fixture *f, const char *pre)
{
    fill_fixture(f);
    add_text(&f->v, "tokenizer.ggml.model", "gpt2");
    if (pre) add_text(&f->v, "tokenizer.ggml.pre", pre);
    add_int(&f->v, "tokenizer.ggml.bos_token_id", BOS);
    add_int(&f->v, "tokenizer.ggml.eos_token_id", EOS);
    add_arrays(f);
    assert_int_equal(open_vocabulary(&f->v, &f->file, NULL), WF_OK);
    assert_int_equal(tokenizer_create(f->file, &f->t, NULL), WF_OK);
}

static void close_fixture(fixture *f)
{
    tokenizer_free(f->t);
    checkpoint_close(f->file);
    free_vocabulary(&f->v);
}

static void check_blocked(const fixture *f, view text, bool special, const size_t *blocked, size_t n_blocked,
                          const int32_t *expected, size_t count)
{
    token_list ids = {0};
    assert_int_equal(tokenizer_encode(f->t, text, special, blocked, n_blocked, &ids, NULL), WF_OK);
    assert_int_equal(ids.count, count);
    if (count) assert_memory_equal(ids.ids, expected, count * sizeof *expected);
    token_list_free(&ids);
}

#define IDS(...) (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)
#define CHECK(f, text, special, ...) check_blocked(f, VIEW_LITERAL(text), special, NULL, 0, IDS(__VA_ARGS__))

static void test_encode(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "gpt-2");
    CHECK(&f, "hello world", false, HELLO, SPACE_W, 'o', 'r', 'l', 'd');
    CHECK(&f, "\0\xC3\xA9", false, 0, 0xC3, 0xA9);
    CHECK(&f,
          "h\xFF"
          "e",
          false, 'h', 0xEF, 0xBF, 0xBD, 'e');
    check_blocked(&f, VIEW_LITERAL(""), true, NULL, 0, NULL, 0);
    close_fixture(&f);
}

static void test_special(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "gpt-2");
    CHECK(&f, "he<s>he", false, HE, '<', 's', '>', HE);
    CHECK(&f, "he<s>he", true, HE, BOS, HE);
    CHECK(&f, "<s>>", true, BOS_LONG); // the longest
    CHECK(&f, "<s<s>", true, '<', 's', BOS);
    CHECK(&f, "<think><think", false, THINK, '<', 't', 'h', 'i', 'n', 'k'); // user-defined: in any text
    CHECK(&f, "he   w", false, HE, SPACE2, SPACE_W);
    CHECK(&f, "\xE2\x82<s>\x80", true, 0xEF, 0xBF, 0xBD, BOS, 0xEF, 0xBF, 0xBD);
    close_fixture(&f);
}

static void test_blocked(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "gpt-2");
    const view text = VIEW_LITERAL("<s><s><s>");
    const size_t middle[] = {1, 3, 4, 5}, all[] = {0, 3, 6, 100}, none[] = {1, 2, 4, 9};
    check_blocked(&f, text, true, middle, 4, IDS(BOS, '<', 's', '>', BOS));
    check_blocked(&f, text, true, all, 4, IDS('<', 's', '>', '<', 's', '>', '<', 's', '>'));
    check_blocked(&f, text, true, none, 4, IDS(BOS, BOS, BOS));
    const size_t start[] = {0};
    check_blocked(&f, VIEW_LITERAL("<think>"), false, start, 1, IDS('<', 't', 'h', 'i', 'n', 'k', '>'));
    close_fixture(&f);
}

static void test_pretokenizer_habits(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "qwen2");
    assert_false(tokenizer_add_bos(f.t));
    CHECK(&f, "e\u0301<s>e\u0301", true, 0xC3, 0xA9, BOS, 0xC3, 0xA9); // NFC
    close_fixture(&f);
    open_fixture(&f, "llama-bpe");
    assert_true(tokenizer_add_bos(f.t));
    CHECK(&f, "e\u0301", true, 'e', 0xCC, 0x81);
    close_fixture(&f);
    open_fixture(&f, NULL); // "default"
    CHECK(&f, "he+12345", true, HE, '+', '1', '2', '3', '4', '5');
    close_fixture(&f);
}

static void check_text(const fixture *f, int32_t id, bool special, const char *expected)
{
    buffer out = {0};
    assert_int_equal(tokenizer_decode_token(f->t, id, special, &out, NULL), WF_OK);
    assert_string_equal(buffer_view(&out).data, expected);
    buffer_free(&out);
}

static void test_decode(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "gpt-2");
    check_text(&f, SPACE_W, false, " w");
    check_text(&f, 0xE9, false, "\xE9");
    check_text(&f, BOS, false, "");
    check_text(&f, BOS, true, "<s>");
    check_text(&f, THINK, false, "<think>");
    check_text(&f, ODD, false, "a b");
    check_text(&f, UNUSED, false, "[PAD]");
    check_text(&f, EMPTY, true, "");
    buffer out = {0};
    const int32_t ids[] = {BOS, HELLO, SPACE_W, EOS};
    assert_int_equal(tokenizer_decode(f.t, ids, 4, false, &out, NULL), WF_OK);
    assert_string_equal(out.data, "hello w");
    wf_error err;
    const int32_t bad[] = {-1, N_TOKENS, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; ++i)
        assert_int_equal(tokenizer_decode_token(f.t, bad[i], true, &out, &err), WF_ERROR_USAGE);
    buffer_free(&out);
    close_fixture(&f);
}

static void test_every_byte_comes_back(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "smollm");
    buffer text = {0}, back = {0};
    token_list ids = {0};
    for (int round = 0; round < 3; ++round) {      // long enough for the cache of words
        for (int code = 0; code < 0x800; ++code) { // every character of one and two bytes, and some of three and four
            if (code >= 0x80) buffer_append_char(&text, (char)(0xC0 | code >> 6));
            buffer_append_char(&text, (char)(code < 0x80 ? code : 0x80 | (code & 0x3F)));
        }
        buffer_append_view(&text, VIEW_LITERAL("\u20ac\U0001f600"));
    }
    assert_int_equal(tokenizer_encode(f.t, buffer_view(&text), true, NULL, 0, &ids, NULL), WF_OK);
    assert_int_equal(tokenizer_decode(f.t, ids.ids, ids.count, true, &back, NULL), WF_OK);
    assert_true(view_equal(buffer_view(&text), buffer_view(&back)));
    token_list_free(&ids);
    buffer_free(&text);
    buffer_free(&back);
    close_fixture(&f);
}

static void test_lookup(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "gpt-2");
    assert_int_equal(tokenizer_count(f.t), N_TOKENS);
    assert_int_equal(tokenizer_bos(f.t), BOS);
    assert_int_equal(tokenizer_eos(f.t), EOS);
    assert_false(tokenizer_add_bos(f.t) || tokenizer_add_eos(f.t));
    assert_int_equal(tokenizer_find_token(f.t, view_of("hello")), HELLO);
    assert_int_equal(tokenizer_find_token(f.t, view_of("<s>")), BOS);
    assert_int_equal(tokenizer_find_token(f.t, view_of("<think>")), THINK);
    assert_int_equal(tokenizer_find_token(f.t, view_of("<s")), -1);
    assert_int_equal(tokenizer_find_token(f.t, view_of("")), -1);
    assert_true(tokenizer_is_eog(f.t, EOS));
    assert_false(tokenizer_is_eog(f.t, BOS) || tokenizer_is_eog(f.t, -1) || tokenizer_is_eog(f.t, N_TOKENS));
    assert_true(view_is(tokenizer_token_text(f.t, SPACE_W), "\u0120w"));
    assert_int_equal(tokenizer_token_text(f.t, N_TOKENS).len, 0);
    assert_int_equal(tokenizer_token_type(f.t, THINK), 4);
    assert_int_equal(tokenizer_token_type(f.t, -1), 0);
    close_fixture(&f);
}

// What is left out or damaged, and what the message must say.
typedef enum damage {
    NO_MODEL,
    OTHER_MODEL,
    MODEL_IS_INT,
    UNKNOWN_PRE,
    NO_TOKENS,
    TOKENS_ARE_INTS,
    EMPTY_TOKENS,
    TOO_FEW_TYPES,
    TYPES_ARE_TEXTS,
    TYPE_RANGE,
    NO_MERGES,
    MERGES_ARE_TEXT,
    MERGE_WITHOUT_SPACE,
    BOS_IS_TEXT,
    EOS_IS_BOOL,
    ADD_BOS_IS_INT,
    N_DAMAGES,
} damage;

static const char *const MESSAGES[] = {
    "tokenizer.ggml.model",
    "'llama'",
    "tokenizer.ggml.model",
    "'nonsense'",
    "tokenizer.ggml.tokens is missing",
    "tokenizer.ggml.tokens is no array of strings",
    "tokenizer.ggml.tokens is empty",
    "token_type has 3 items for 268 tokens",
    "token_type is no array of integers",
    "token_type[7] is 77",
    "tokenizer.ggml.merges is missing",
    "tokenizer.ggml.merges is no array of strings",
    "merge 4 'nospace'",
    "bos_token_id",
    "eos_token_id",
    "add_bos_token",
};

static void add_damaged(fixture *f, damage d)
{
    static const int32_t three[] = {1, 2, 3};
    test_vocabulary *v = &f->v;
    if (d == MODEL_IS_INT)
        add_int(v, "tokenizer.ggml.model", 1);
    else if (d != NO_MODEL)
        add_text(v, "tokenizer.ggml.model", d == OTHER_MODEL ? "bert" : "gpt2");
    add_text(v, "tokenizer.ggml.pre", d == UNKNOWN_PRE ? "nonsense" : "smollm");

    if (d == TOKENS_ARE_INTS)
        add_ints(v, "tokenizer.ggml.tokens", three, 3);
    else if (d != NO_TOKENS)
        add_texts(v, "tokenizer.ggml.tokens", f->tokens, d == EMPTY_TOKENS ? 0 : N_TOKENS);
    if (d == TYPE_RANGE) f->types[7] = 77;
    if (d == TYPES_ARE_TEXTS)
        add_texts(v, "tokenizer.ggml.token_type", f->tokens, N_TOKENS);
    else
        add_ints(v, "tokenizer.ggml.token_type", f->types, d == TOO_FEW_TYPES ? 3 : d == EMPTY_TOKENS ? 0 : N_TOKENS);
    if (d == MERGE_WITHOUT_SPACE) f->merges[4] = view_of("nospace");
    if (d == MERGES_ARE_TEXT)
        add_text(v, "tokenizer.ggml.merges", "a b");
    else if (d != NO_MERGES)
        add_texts(v, "tokenizer.ggml.merges", f->merges, 5);

    if (d == BOS_IS_TEXT)
        add_text(v, "tokenizer.ggml.bos_token_id", "1");
    else
        add_int(v, "tokenizer.ggml.bos_token_id", BOS);
    if (d == EOS_IS_BOOL)
        add_bool(v, "tokenizer.ggml.eos_token_id", true);
    else
        add_int(v, "tokenizer.ggml.eos_token_id", EOS);
    if (d == ADD_BOS_IS_INT) add_int(v, "tokenizer.ggml.add_bos_token", 1);
}

static void test_damaged(void **state)
{
    (void)state;
    for (int d = 0; d <= N_DAMAGES; ++d) {
        fixture f;
        wf_error err = {0};
        fill_fixture(&f);
        add_damaged(&f, (damage)d);
        assert_int_equal(open_vocabulary(&f.v, &f.file, NULL), WF_OK);
        wf_status status = tokenizer_create(f.file, &f.t, &err);
        if (d == N_DAMAGES) {
            assert_int_equal(status, WF_OK); // the undamaged one
        } else {
            bool unsupported = d == OTHER_MODEL || d == UNKNOWN_PRE;
            assert_int_equal(status, unsupported ? WF_ERROR_UNSUPPORTED : WF_ERROR_FORMAT);
            assert_int_equal(err.status, status);
            if (!strstr(err.message, MESSAGES[d])) fail_msg("case %d: %s", d, err.message);
            assert_true(view_starts_with(view_of(err.message), view_of("test")));
            assert_null(f.t);
        }
        close_fixture(&f);
    }
}

// Ids that are no token mean none, with one line.
static void test_ids_that_mean_none(void **state)
{
    static const struct {
        int32_t eos, padding;
        const char *warning;
    } cases[] = {{EOS, EOS, NULL},
                 {-1, EOS, "'tokenizer.ggml.eos_token_id' names no token"},
                 {EOS, N_TOKENS, "'tokenizer.ggml.padding_token_id' names no token"},
                 {INT32_MAX, INT32_MIN, "2 keys, as 'tokenizer.ggml.eos_token_id'"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        fixture f;
        fill_fixture(&f);
        add_text(&f.v, "tokenizer.ggml.model", "gpt2");
        add_text(&f.v, "tokenizer.ggml.pre", "smollm");
        add_int(&f.v, "tokenizer.ggml.eos_token_id", cases[i].eos);
        add_int(&f.v, "tokenizer.ggml.padding_token_id", cases[i].padding);
        add_arrays(&f);
        assert_int_equal(open_vocabulary(&f.v, &f.file, NULL), WF_OK);
        assert_int_equal(tokenizer_create(f.file, &f.t, NULL), WF_OK);
        assert_int_equal(tokenizer_eos(f.t), cases[i].eos == EOS ? EOS : -1);
        const char *warning = tokenizer_warning(f.t, 0);
        if (cases[i].warning)
            assert_true(warning && strstr(warning, cases[i].warning) && !tokenizer_warning(f.t, 1));
        else
            assert_null(warning);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_blocked),
        cmocka_unit_test(test_pretokenizer_habits),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_every_byte_comes_back),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_ids_that_mean_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
