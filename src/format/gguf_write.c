#include "format/gguf_write.h"

enum { ALIGNMENT = 32 }; // of tensors where no general.alignment says another

static void put_u32(buffer *out, uint32_t value) { buffer_append(out, &value, sizeof value); }
static void put_u64(buffer *out, uint64_t value) { buffer_append(out, &value, sizeof value); }

static void put_text(buffer *out, view text)
{
    put_u64(out, text.len);
    buffer_append_view(out, text);
}

static void put_number(buffer *out, const metadata_value *v)
{
    if (v->type == METADATA_F32) {
        float narrow = (float)v->f;
        buffer_append(out, &narrow, sizeof narrow);
    } else if (v->type == METADATA_F64) {
        buffer_append(out, &v->f, sizeof v->f);
    } else { // little endian: the lowest bytes of either
        buffer_append(out, metadata_is_signed(v->type) ? (const void *)&v->i : &v->u, metadata_number_bytes(v->type));
    }
}

static void put_value(buffer *out, const metadata_value *v)
{
    put_text(out, v->key);
    put_u32(out, v->type);
    if (v->type == METADATA_STRING) {
        put_text(out, v->s);
    } else if (v->type != METADATA_ARRAY) {
        put_number(out, v);
    } else {
        put_u32(out, v->item_type);
        put_u64(out, v->count);
        if (v->item_type == METADATA_STRING)
            for (uint64_t i = 0; i < v->count; i++) put_text(out, v->strings[i]);
        else if (v->count)
            buffer_append(out, v->data, v->count * metadata_number_bytes(v->item_type));
    }
}

// Tensors lie one behind the other, where the file to follow would have them.
static void put_tensors(buffer *out, const checkpoint *file)
{
    size_t alignment = checkpoint_alignment(file) ? checkpoint_alignment(file) : ALIGNMENT;
    uint64_t at = 0;
    for (size_t i = 0; i < checkpoint_tensor_count(file); i++) {
        const checkpoint_tensor *t = checkpoint_tensor_at(file, i);
        put_text(out, t->name);
        put_u32(out, t->n_dims);
        for (uint32_t d = 0; d < t->n_dims; d++) put_u64(out, (uint64_t)t->dims[d]);
        put_u32(out, t->type);
        put_u64(out, at);
        at += (t->bytes + alignment - 1) / alignment * alignment; // all of them were mapped: the sum fits
    }
}

static bool is_replaced(const metadata_value *value, const metadata_value *more, size_t n_more)
{
    for (size_t i = 0; i < n_more; i++)
        if (view_equal(value->key, more[i].key)) return true;
    return false;
}

void gguf_write_header(const checkpoint *file, const metadata_value *more, size_t n_more, buffer *out)
{
    uint64_t n_values = n_more;
    for (size_t i = 0; i < checkpoint_value_count(file); i++)
        n_values += !is_replaced(checkpoint_value_at(file, i), more, n_more);
    buffer_append(out, "GGUF", 4);
    put_u32(out, 3);
    put_u64(out, checkpoint_tensor_count(file));
    put_u64(out, n_values);
    for (size_t i = 0; i < checkpoint_value_count(file); i++)
        if (!is_replaced(checkpoint_value_at(file, i), more, n_more)) put_value(out, checkpoint_value_at(file, i));
    for (size_t i = 0; i < n_more; i++) put_value(out, &more[i]);
    put_tensors(out, file);
}
