#include "runtime/pack/pack_key.h"

#include <inttypes.h>
#include <string.h>

#include <xxhash.h>

#include "base/versions.h"
#include "runtime/weight/pack_panel.h"

enum { SAMPLE_COLUMNS = 512 }; // two blocks of the largest

// Values of all kinds: any bits of quants; floats of either sign between 2^-7 and 2.
static void fill_sample(const weight_type *t, unsigned char *rows, size_t bytes)
{
    uint32_t state = 1;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 1664525 + 1013904223; // Numerical Recipes' generator
        rows[i] = (unsigned char)(state >> 24);
    }
    size_t size = weight_type_file_bytes(t, 1);
    for (size_t i = size - 1; t->widen && i < bytes; i += size) rows[i] = (rows[i] & 0x83) | 0x3c;
}

// 16 rows of a type packed in a layout, or a vector.
static uint64_t hash_sample(weight_layout layout, const weight_type *from, bool plus_one)
{
    unsigned char rows[PANEL_ROWS * SAMPLE_COLUMNS * 4], packed[PANEL_ROWS * SAMPLE_COLUMNS * 4];
    size_t row_bytes = weight_type_file_bytes(from, SAMPLE_COLUMNS), packed_bytes;
    if (!layout_panel_bytes(layout, SAMPLE_COLUMNS, &packed_bytes) || packed_bytes > sizeof packed) return 0;
    fill_sample(from, rows, PANEL_ROWS * row_bytes);
    if (layout == LAYOUT_VECTOR_F32)
        panel_pack_vector(from->tensor, rows, SAMPLE_COLUMNS, plus_one, packed);
    else
        panel_pack(layout, from->tensor, rows, row_bytes, PANEL_ROWS, SAMPLE_COLUMNS, packed);
    return XXH3_64bits(packed, packed_bytes);
}

typedef struct sample {
    weight_layout layout;
    const weight_type *from;
    bool plus_one;
    uint64_t hash;
} sample;

// Each kind of sample is packed once.
enum { SAMPLES_MAX = 16 };
typedef struct samples {
    sample known[SAMPLES_MAX];
    size_t n;
} samples;

static uint64_t find_sample(samples *s, weight_layout layout, tensor_type type, bool plus_one)
{
    const weight_type *from = weight_type_of(type);
    if (!from || layout == LAYOUT_PLAIN || !panel_takes(layout, type)) return 0; // as it is, or packing will refuse it
    for (size_t i = 0; i < s->n; i++)
        if (s->known[i].layout == layout && s->known[i].from == from && s->known[i].plus_one == plus_one)
            return s->known[i].hash;
    uint64_t hash = hash_sample(layout, from, plus_one);
    if (s->n < SAMPLES_MAX) s->known[s->n++] = (sample){layout, from, plus_one, hash};
    return hash;
}

// Names end with a zero byte, so that no two tables look alike.
void pack_key_append(const program *p, buffer *out)
{
    samples known = {.n = 0};
    buffer_printf(out, "pack " PACK_VERSION " %zu %" PRIu32 "\n", program_fixed_bytes(p, AREA_WEIGHTS), p->n_weights);
    for (uint32_t i = 0; i < p->n_weights; i++) {
        const program_weight *w = &p->weights[i];
        buffer_printf(out, "%s %" PRId64 " %d %d %zu %zu %" PRIu32, layout_name(w->layout), w->cols, w->interleave,
                      w->plus_one, w->offset, w->bytes, w->n_sources);
        for (uint32_t s = 0; s < w->n_sources; s++) {
            uint64_t packed = find_sample(&known, w->layout, (tensor_type)w->types[s], w->plus_one);
            buffer_printf(out, " %" PRIu32 " %016" PRIx64 " %" PRId64 "%s ", w->types[s], packed, w->rows[s],
                          w->transposed[s] ? "^T" : "");
            buffer_append(out, w->sources[s], strlen(w->sources[s]) + 1);
        }
    }
}

enum { SAMPLES = 64, SAMPLE_BYTES = 4096 };

void pack_key_append_sample(view part, buffer *out)
{
    if (part.len <= SAMPLES * SAMPLE_BYTES) {
        buffer_append_view(out, part);
        return;
    }
    size_t room = part.len - SAMPLE_BYTES;
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t at = room / (SAMPLES - 1) * i + room % (SAMPLES - 1) * i / (SAMPLES - 1);
        buffer_append(out, part.data + at, SAMPLE_BYTES);
    }
}
