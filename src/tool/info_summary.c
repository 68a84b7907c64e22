#include "tool/info_summary.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t add_saturated(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

static uint64_t count_values(const checkpoint_tensor *t)
{
    uint64_t product = 1; // gguf_open has checked that it fits
    for (int i = 0; i < 4; i++) product *= (uint64_t)t->dims[i];
    return product;
}

info_summary info_summarise(const checkpoint *file, const bundle *ahead)
{
    info_summary s = {.ahead = ahead};
    size_t header_bytes;
    checkpoint_bytes(file, &s.file_bytes, &header_bytes);
    if (ahead) s.file_bytes = ahead->map.bytes;
    for (size_t i = 0; i < checkpoint_tensor_count(file); i++) {
        const checkpoint_tensor *t = checkpoint_tensor_at(file, i);
        s.parameters = add_saturated(s.parameters, count_values(t));
        s.data_bytes = add_saturated(s.data_bytes, t->bytes);
        if (!ahead && checkpoint_part_count(file) == 1 && t->offset + t->bytes > s.end) s.end = t->offset + t->bytes;
        if ((uint32_t)t->type < INFO_TYPE_LIMIT) s.type_counts[t->type]++;
    }
    return s;
}

double info_bits_per_weight(const info_summary *s)
{
    return s->parameters ? 8.0 * (double)s->data_bytes / (double)s->parameters : 0.0;
}

view info_find_string(const checkpoint *file, const char *key)
{
    const metadata_value *value = checkpoint_find(file, key);
    return value && value->type == METADATA_STRING ? value->s : VIEW_LITERAL("");
}

int64_t info_find_context(const checkpoint *file)
{
    view architecture = info_find_string(file, "general.architecture");
    char key[128];
    int64_t context = 0;
    int n = snprintf(key, sizeof key, "%.*s.context_length", VIEW_ARG(architecture));
    if (n > 0 && (size_t)n < sizeof key) checkpoint_get_int_or(file, key, 0, INT64_MAX, &context, NULL);
    return context;
}

uint64_t info_count_tokens(const checkpoint *file)
{
    const metadata_value *tokens = checkpoint_find(file, "tokenizer.ggml.tokens");
    return tokens && tokens->type == METADATA_ARRAY ? tokens->count : 0;
}

void info_format_shape(const checkpoint_tensor *t, char *text, size_t bytes)
{
    size_t n = 0;
    text[0] = 0;
    for (uint32_t i = t->n_dims; i-- > 0 && n < bytes;)
        n += (size_t)snprintf(text + n, bytes - n, "%s%" PRId64 "%s", i + 1 == t->n_dims ? "[" : ", ", t->dims[i],
                              i ? "" : "]");
}
