// Any bytes: gguf_parse refuses them with one line, or everything it hands out can be read to its last byte.
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

// Reads all bytes; the sanitizers watch. The sum keeps the reads alive.
static unsigned sum_bytes(const void *data, size_t bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes; i++) sum += ((const unsigned char *)data)[i];
    return sum;
}

static unsigned read_value(const metadata_value *value)
{
    unsigned sum = sum_bytes(value->key.data, value->key.len);
    if (value->type == METADATA_STRING) return sum + sum_bytes(value->s.data, value->s.len);
    if (value->type != METADATA_ARRAY) return sum;
    for (uint64_t i = 0; i < value->count; i++) {
        if (value->item_type == METADATA_STRING)
            sum += sum_bytes(value->strings[i].data, value->strings[i].len);
        else
            sum += (unsigned)metadata_item_int(value, i) + (metadata_item_float(value, i) > 0);
    }
    return sum;
}

static void check(bool holds)
{
    if (!holds) abort();
}

static void check_file(const checkpoint *file)
{
    size_t bytes, header_bytes;
    const unsigned char *data = checkpoint_bytes(file, &bytes, &header_bytes);
    check(header_bytes <= bytes);
    unsigned sum = 0;
    for (size_t i = 0; i < checkpoint_value_count(file); i++) {
        const metadata_value *value = checkpoint_value_at(file, i);
        sum += read_value(value);
        char *key = strndup(value->key.data, value->key.len);
        check(key && checkpoint_find(file, key) == value);
        int64_t integer = 0;
        double number = 0;
        bool flag = false;
        view text = {0};
        check(checkpoint_get_int_or(file, key, -5, 5, &integer, NULL) != WF_OK || (integer >= -5 && integer <= 5));
        checkpoint_get_float_or(file, key, &number, NULL);
        checkpoint_get_bool_or(file, key, &flag, NULL);
        checkpoint_get_string_or(file, key, &text, NULL);
        free(key);
    }
    for (size_t i = 0; i < checkpoint_tensor_count(file); i++) {
        const checkpoint_tensor *t = checkpoint_tensor_at(file, i);
        check(t->data == data + t->offset && t->offset >= header_bytes && t->bytes <= bytes - t->offset);
        check(t->offset % checkpoint_alignment(file) == 0 && tensor_type_layout(t->type));
        sum += sum_bytes(t->data, t->bytes);
    }
    volatile unsigned sink = sum;
    (void)sink;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    wf_error err;
    checkpoint *file;
    if (gguf_parse(data, bytes, "fuzz", &file, &err) != WF_OK) {
        check(!file && err.message[0] && !strchr(err.message, '\n'));
        return 0;
    }
    check_file(file);
    checkpoint_close(file);
    return 0;
}
