// Any vocabulary, any text: creation succeeds or fails with one line; what is encoded has ids in range, and with tokens
// for all bytes the text comes back.
//
// With FLAG_SCORES it is a vocabulary of characters ("llama").
//
//     pre u8 · flags u8 · n_tokens u8 · n_merges u8 · strings (type:3 length:5, bytes) · text
#include <stdlib.h>

#include "text/tokenizer/test_vocabulary.h"
#include "text/tokenizer/tokenizer.h"
#include "text/unicode/utf8.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

enum { FLAG_BYTES = 1, FLAG_TYPES = 2, FLAG_SPECIAL = 4, FLAG_BLOCKED = 8, FLAG_SCORES = 16 };

static const char *const PRES[] = {"smollm", "gpt-2", "llama-bpe", "qwen2", "deepseek-r1-qwen", "default", "other"};

typedef struct input {
    view rest;
    view texts[256 + 256];
    int32_t types[256 + 256];
    size_t count;
} input;

static void check(bool holds)
{
    if (!holds) abort();
}

static unsigned take_byte(input *in)
{
    if (in->rest.len == 0) return 0;
    unsigned byte = (unsigned char)in->rest.data[0];
    in->rest = (view){in->rest.data + 1, in->rest.len - 1};
    return byte;
}

static void take_string(input *in)
{
    unsigned head = take_byte(in);
    size_t length = head & 31;
    if (length > in->rest.len) length = in->rest.len;
    in->texts[in->count] = (view){in->rest.data, length};
    in->types[in->count++] = (int32_t)(head >> 5);
    in->rest = (view){in->rest.data + length, in->rest.len - length};
}

// Scores of whole and of equal values, of one infinity and of what is no number.
static void add_scores(test_vocabulary *v, const int32_t *types, size_t count)
{
    static const uint32_t floats[8] = {0,          0x3F800000, 0xBF800000, 0x7F800000,
                                       0x7FC00000, 0xC1200000, 0x00000001, 0xC1200000};
    put_key(v, "tokenizer.ggml.scores", METADATA_ARRAY);
    put_number(&v->values, METADATA_F32, 4);
    put_number(&v->values, count, 8);
    for (size_t i = 0; i < count; ++i) put_number(&v->values, floats[types[i] & 7], 4);
}

static void check_text(const tokenizer *t, view text, unsigned flags, bool comes_back)
{
    static const size_t blocked[] = {0, 1, 2, 3, 5, 8, 13};
    token_list ids = {0};
    buffer back = {0}, expected = {0};
    wf_error err;
    check(tokenizer_encode(t, text, flags & FLAG_SPECIAL, blocked, flags & FLAG_BLOCKED ? 7 : 0, &ids, &err) == WF_OK);
    for (size_t i = 0; i < ids.count; ++i) check(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_count(t));
    check(tokenizer_decode(t, ids.ids, ids.count, true, &back, &err) == WF_OK);
    utf8_append_repaired(&expected, text);
    if (comes_back) check(view_equal(buffer_view(&back), buffer_view(&expected)));
    check(utf8_complete_prefix(buffer_view(&back)) <= back.len);
    token_list_free(&ids);
    buffer_free(&back);
    buffer_free(&expected);
}

static void check_vocabulary(test_vocabulary *v, view text, unsigned flags, bool normalizes)
{
    checkpoint *file;
    tokenizer *t;
    wf_error err;
    check(open_vocabulary(v, &file, &err) == WF_OK);
    if (tokenizer_create(file, &t, &err) == WF_OK) {
        buffer out = {0};
        for (int32_t id = 0; id < tokenizer_count(t); ++id) check(!tokenizer_decode_token(t, id, false, &out, &err));
        buffer_free(&out);
        check_text(t, text, flags, (flags & FLAG_BYTES) && !normalizes);
        tokenizer_free(t);
    } else {
        check(err.message[0] && !strchr(err.message, '\n'));
    }
    checkpoint_close(file);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    input *in = calloc(1, sizeof *in);
    check(in != NULL);
    in->rest = (view){(const char *)data, bytes};
    size_t pre = take_byte(in) % (sizeof PRES / sizeof *PRES);
    unsigned flags = take_byte(in), n_tokens = take_byte(in), n_merges = take_byte(in);
    char letters[256][2];
    test_vocabulary v = {0};
    for (unsigned i = 0; i < n_tokens; ++i) take_string(in);
    // The bytes' tokens come last: of equal normal tokens the last counts, so that they are there whatever came before.
    for (int byte = 0; (flags & FLAG_BYTES) && byte < 256; ++byte) {
        in->texts[in->count] = (view){letters[byte], put_letter(byte, letters[byte])};
        in->types[in->count++] = 1;
    }
    add_text(&v, "tokenizer.ggml.model", flags & FLAG_SCORES ? "llama" : "gpt2");
    add_text(&v, "tokenizer.ggml.pre", PRES[pre]);
    add_texts(&v, "tokenizer.ggml.tokens", in->texts, in->count);
    if (flags & FLAG_SCORES) add_scores(&v, in->types, in->count);
    if (flags & FLAG_TYPES) add_ints(&v, "tokenizer.ggml.token_type", in->types, in->count);
    in->count = 0;
    for (unsigned i = 0; i < n_merges; ++i) take_string(in);
    add_texts(&v, "tokenizer.ggml.merges", in->texts, in->count);
    bool changes = pre == 3 || pre == 4 || flags & FLAG_SCORES;
    check_vocabulary(&v, in->rest, flags, changes);
    free_vocabulary(&v);
    free(in);
    return 0;
}
