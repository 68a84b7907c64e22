// For tests and fuzzers: writes GGUF files that hold a vocabulary and nothing else, sound or damaged.
#ifndef WELFORD_TEXT_TOKENIZER_TEST_VOCABULARY_H
#define WELFORD_TEXT_TOKENIZER_TEST_VOCABULARY_H

#include <stdlib.h>

#include "base/buffer.h"
#include "format/gguf.h"

typedef struct test_vocabulary {
    buffer values; // metadata, as in the file
    uint64_t n_values;
    buffer file; // header and metadata, once opened
} test_vocabulary;

static inline void put_number(buffer *b, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; ++i) buffer_append_char(b, (char)(number >> (8 * i)));
}

static inline void put_text(buffer *b, view text)
{
    put_number(b, text.len, 8);
    buffer_append_view(b, text);
}

static inline void put_key(test_vocabulary *v, const char *key, metadata_type type)
{
    put_text(&v->values, view_of(key));
    put_number(&v->values, (uint64_t)type, 4);
    ++v->n_values;
}

static inline void add_text(test_vocabulary *v, const char *key, const char *text)
{
    put_key(v, key, METADATA_STRING);
    put_text(&v->values, view_of(text));
}

static inline void add_int(test_vocabulary *v, const char *key, int32_t number)
{
    put_key(v, key, METADATA_I32);
    put_number(&v->values, (uint32_t)number, 4);
}

static inline void add_bool(test_vocabulary *v, const char *key, bool value)
{
    put_key(v, key, METADATA_BOOL);
    put_number(&v->values, value, 1);
}

static inline void add_texts(test_vocabulary *v, const char *key, const view *texts, size_t count)
{
    put_key(v, key, METADATA_ARRAY);
    put_number(&v->values, METADATA_STRING, 4);
    put_number(&v->values, count, 8);
    for (size_t i = 0; i < count; ++i) put_text(&v->values, texts[i]);
}

static inline void add_ints(test_vocabulary *v, const char *key, const int32_t *numbers, size_t count)
{
    put_key(v, key, METADATA_ARRAY);
    put_number(&v->values, METADATA_I32, 4);
    put_number(&v->values, count, 8);
    for (size_t i = 0; i < count; ++i) put_number(&v->values, (uint32_t)numbers[i], 4);
}

// Writes the byte's letter (see bpe.h), at most two bytes, and returns its length.
static inline size_t put_letter(int byte, char letter[2])
{
    int code = 0x100;
    for (int b = 0; b <= byte; ++b) {
        bool printable = (b > ' ' && b < 127) || (b > 160 && b != 173);
        if (b == byte && printable)
            code = byte;
        else if (b < byte && !printable)
            ++code;
    }
    letter[0] = (char)(code < 128 ? code : 0xC0 | code >> 6);
    letter[1] = (char)(0x80 | (code & 0x3F));
    return code < 128 ? 1 : 2;
}

// The file must be closed before the vocabulary is freed.
static inline wf_status open_vocabulary(test_vocabulary *v, checkpoint **file, wf_error *err)
{
    buffer_clear(&v->file);
    buffer_append(&v->file, "GGUF", 4);
    put_number(&v->file, 3, 4);
    put_number(&v->file, 0, 8);
    put_number(&v->file, v->n_values, 8);
    buffer_append_view(&v->file, buffer_view(&v->values));
    if (v->file.failed) abort();
    return gguf_parse((const unsigned char *)v->file.data, v->file.len, "test", file, err);
}

static inline void free_vocabulary(test_vocabulary *v)
{
    buffer_free(&v->values);
    buffer_free(&v->file);
}

#endif
