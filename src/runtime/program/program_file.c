// The program as a file, little endian:
//
//     0    magic (versions.h); the last two digits count versions of this format
//     8    u64 bytes of the whole; up to 15 zero bytes may follow, as padding
//     16   u32 n_dims, each: str name; u32 factors[2]
//          str name, fixed; u32 is_sequence
//            of a sequence: str architecture; i64 n_vocab, n_ctx_train, n_embd;
//                           i64 kv.n_layer, kv.n_kv_heads, kv.head_dim; u32 kv.type
//          u32 n_ropes,   each: i64 n_dims, f64 magnitude, f64 inv_freq[n_dims/2]
//          u32 n_areas,   each: str name; u32 kind; affine bytes
//          u32 n_arguments, n_results; u32 of both together, each: u32 type, donor, n_dims; n_dims of:
//                                                                            affine
//          u32 n_fusions, each: str name; u32 found, fused; str why
//          u32 n_checks,  each: str message
//          u32 n_kernels, each: str name
//          u32 n_weights, each: u32 layout, n_sources, flags (1 interleave, 2 plus_one; 4, 8, 16 transposed
//                               sources); i64 cols; u64 offset, bytes;
//                               n_sources of: str name, u32 type, i64 rows
//          u32 n_calls,   each: u32 kernel; str label; u32 n_buffers, n_sizes, flags (1 chained, 2 otherwise);
//                               i64 grain; affine flops; i64 pair_flops, window;
//                               affine tiles.a; i64 tiles.divisor, tiles.factor, tiles.when.max_tokens, min_past;
//                               n_buffers of: u32 area, flags (1 written, 2 partly), affine offset, bytes;
//                               n_sizes of: affine
//     str = u32 length, then its bytes, none of them zero; affine = i64 c[n_dims]
//
// Reading: the first failure sticks to the reader, after which every read gives zero; callers look at their end, and
// loops stop early. A count is believed only when that many of the smallest possible items fit in the bytes left.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/versions.h"
#include "runtime/program/program.h"
#include "runtime/program/program_check.h"

enum { HEADER_BYTES = 16, PADDING = 16, AFFINE_BYTES = 8 };           // of a form in the smallest program: c[DIM_ONE]
enum { FLAG_INTERLEAVE = 1, FLAG_PLUS_ONE = 2, FLAG_TRANSPOSED = 4 }; // the last of the first source
enum { WEIGHT_FLAGS = (FLAG_TRANSPOSED << PROGRAM_MAX_SOURCES) - 1 };
enum { FLAG_CHAINED = 1, FLAG_OTHERWISE = 2 };
enum { FLAG_WRITTEN = 1, FLAG_PARTLY = 2 };
enum { // bytes
    SMALLEST_TEXT = 4,
    SMALLEST_DIM = SMALLEST_TEXT + 2 * 4,
    SMALLEST_ROPE = 8 + 8 + 8,
    SMALLEST_AREA = SMALLEST_TEXT + 4 + AFFINE_BYTES,
    SMALLEST_ARRAY = 3 * 4,
    SMALLEST_FUSION = 2 * SMALLEST_TEXT + 2 * 4,
    SMALLEST_WEIGHT = 3 * 4 + 3 * 8 + 4 + 4 + 8,
    SMALLEST_BUFFER = 2 * 4 + 2 * AFFINE_BYTES,
    SMALLEST_CALL = 5 * 4 + 2 * AFFINE_BYTES + 7 * 8,
};

// ---- writing

static void put_number(buffer *out, uint64_t value, size_t bytes)
{
    char little[8];
    for (size_t i = 0; i < bytes; i++) little[i] = (char)(value >> (8 * i) & 255);
    buffer_append(out, little, bytes);
}

static void put_u32(buffer *out, uint32_t value) { put_number(out, value, 4); }
static void put_i64(buffer *out, int64_t value) { put_number(out, (uint64_t)value, 8); }

static void put_f64(buffer *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(out, bits, 8);
}

static void put_text(buffer *out, const char *text)
{
    view v = view_of(text);
    put_u32(out, (uint32_t)v.len);
    buffer_append_view(out, v);
}

static void put_affine(buffer *out, uint32_t n_dims, const affine *a)
{
    for (uint32_t d = 0; d < n_dims; d++) put_i64(out, a->c[d]);
}

static void put_rope(buffer *out, const program_rope *rope)
{
    put_i64(out, rope->n_dims);
    put_f64(out, rope->magnitude);
    for (int64_t d = 0; d < rope->n_dims / 2; d++) put_f64(out, rope->inv_freq[d]);
}

static void put_weight(buffer *out, const program_weight *w)
{
    put_u32(out, (uint32_t)w->layout);
    put_u32(out, w->n_sources);
    uint32_t flags = (w->interleave ? FLAG_INTERLEAVE : 0) | (w->plus_one ? FLAG_PLUS_ONE : 0);
    for (uint32_t s = 0; s < w->n_sources; s++) flags |= w->transposed[s] ? (uint32_t)FLAG_TRANSPOSED << s : 0;
    put_u32(out, flags);
    put_i64(out, w->cols);
    put_number(out, w->offset, 8);
    put_number(out, w->bytes, 8);
    for (uint32_t s = 0; s < w->n_sources; s++) {
        put_text(out, w->sources[s]);
        put_u32(out, w->types[s]);
        put_i64(out, w->rows[s]);
    }
}

static void put_call(buffer *out, uint32_t n_dims, const program_call *call)
{
    put_u32(out, call->kernel);
    put_text(out, call->label);
    put_u32(out, call->n_buffers);
    put_u32(out, call->n_sizes);
    put_u32(out, (call->chained ? FLAG_CHAINED : 0) | (call->tiles.when.otherwise ? FLAG_OTHERWISE : 0));
    put_i64(out, call->grain);
    put_affine(out, n_dims, &call->flops);
    put_i64(out, call->pair_flops);
    put_i64(out, call->window);
    put_affine(out, n_dims, &call->tiles.a);
    put_i64(out, call->tiles.divisor);
    put_i64(out, call->tiles.factor);
    put_i64(out, call->tiles.when.max_tokens);
    put_i64(out, call->tiles.when.min_past);
    for (uint32_t i = 0; i < call->n_buffers; i++) {
        const program_buffer *b = &call->buffers[i];
        put_u32(out, b->area);
        put_u32(out, (b->written ? FLAG_WRITTEN : 0) | (b->partly ? FLAG_PARTLY : 0));
        put_affine(out, n_dims, &b->offset);
        put_affine(out, n_dims, &b->bytes);
    }
    for (uint32_t i = 0; i < call->n_sizes; i++) put_affine(out, n_dims, &call->sizes[i]);
}

static void put_facts(buffer *out, const program *p)
{
    put_text(out, p->name);
    put_text(out, p->fixed ? p->fixed : "");
    put_u32(out, program_is_sequence(p));
    if (program_is_sequence(p)) {
        put_text(out, p->architecture);
        put_i64(out, p->n_vocab);
        put_i64(out, p->n_ctx_train);
        put_i64(out, p->n_embd);
        put_i64(out, p->kv.n_layer);
        put_i64(out, p->kv.n_kv_heads);
        put_i64(out, p->kv.head_dim);
        put_u32(out, p->kv.type);
    }
    put_u32(out, p->n_ropes);
    for (uint32_t i = 0; i < p->n_ropes; i++) put_rope(out, &p->ropes[i]);
}

static void put_areas(buffer *out, const program *p)
{
    put_u32(out, p->n_areas);
    for (uint32_t i = 0; i < p->n_areas; i++) {
        put_text(out, p->areas[i].name);
        put_u32(out, (uint32_t)p->areas[i].kind);
        put_affine(out, p->n_dims, &p->areas[i].bytes);
    }
    put_u32(out, p->n_arguments);
    put_u32(out, p->n_results);
    put_u32(out, p->n_arguments + p->n_results);
    for (uint32_t i = 0; i < p->n_arguments + p->n_results; i++) {
        const program_array *a = &p->arrays[i];
        put_u32(out, (uint32_t)a->type);
        put_u32(out, a->donor);
        put_u32(out, a->n_dims);
        for (uint32_t d = 0; d < a->n_dims; d++) put_affine(out, p->n_dims, &a->dims[d]);
    }
}

static void put_texts(buffer *out, uint32_t n, const char *const *texts)
{
    put_u32(out, n);
    for (uint32_t i = 0; i < n; i++) put_text(out, texts[i]);
}

void program_write(const program *p, buffer *out)
{
    buffer body = {0};
    put_u32(&body, p->n_dims);
    for (uint32_t i = 0; i < p->n_dims; i++) {
        put_text(&body, p->dims[i].name);
        for (int f = 0; f < 2; f++) put_u32(&body, p->dims[i].factors[f]);
    }
    put_facts(&body, p);
    put_areas(&body, p);
    put_u32(&body, p->n_fusions);
    for (uint32_t i = 0; i < p->n_fusions; i++) {
        put_text(&body, p->fusions[i].name);
        put_u32(&body, p->fusions[i].found);
        put_u32(&body, p->fusions[i].fused);
        put_text(&body, p->fusions[i].why);
    }
    put_texts(&body, p->n_checks, p->checks);
    put_texts(&body, p->n_kernels, p->kernels);
    put_u32(&body, p->n_weights);
    for (uint32_t i = 0; i < p->n_weights; i++) put_weight(&body, &p->weights[i]);
    put_u32(&body, p->n_calls);
    for (uint32_t i = 0; i < p->n_calls; i++) put_call(&body, p->n_dims, &p->calls[i]);

    buffer_append(out, PROGRAM_MAGIC, MAGIC_BYTES);
    put_number(out, HEADER_BYTES + body.len, 8);
    buffer_append_view(out, buffer_view(&body));
    out->failed = out->failed || body.failed;
    buffer_free(&body);
}

// ---- reading

typedef struct reader {
    const unsigned char *data;
    size_t bytes, at;    // at <= bytes
    const char *failure; // the first one; NULL: none so far
    size_t failed_at;
    wf_status status; // of the failure
    arena *memory;
    uint32_t n_dims; // of forms
} reader;

static void fail(reader *r, wf_status status, const char *reason)
{
    if (r->failure) return;
    r->failure = reason;
    r->failed_at = r->at;
    r->status = status;
}

static const unsigned char *take(reader *r, size_t bytes)
{
    if (!r->data || bytes > r->bytes - r->at) fail(r, WF_ERROR_FORMAT, "the program ends early");
    if (r->failure) return NULL;
    r->at += bytes;
    return r->data + r->at - bytes;
}

static uint64_t get_number(reader *r, size_t bytes)
{
    const unsigned char *p = take(r, bytes);
    uint64_t value = 0;
    for (size_t i = 0; p && i < bytes; i++) value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static uint32_t get_u32(reader *r) { return (uint32_t)get_number(r, 4); }
static int64_t get_i64(reader *r) { return (int64_t)get_number(r, 8); }

static double get_f64(reader *r)
{
    uint64_t bits = get_number(r, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t get_u32_to(reader *r, uint32_t max, const char *fault)
{
    uint32_t value = get_u32(r);
    if (value > max) fail(r, WF_ERROR_FORMAT, fault);
    return r->failure ? 0 : value;
}

static void *get_memory(reader *r, size_t count, size_t size)
{
    void *p = r->failure ? NULL : arena_alloc(r->memory, count, size);
    if (!p) fail(r, WF_ERROR_MEMORY, "out of memory");
    return p;
}

// Memory for `count` items, of which the smallest takes `smallest` bytes of the file.
static void *get_items(reader *r, uint32_t count, size_t smallest, size_t size)
{
    if (count > (r->bytes - r->at) / smallest) fail(r, WF_ERROR_FORMAT, "a count is larger than the bytes left allow");
    return get_memory(r, count, size);
}

// A count and memory for that many items.
static void *get_table(reader *r, uint32_t *count, size_t smallest, size_t size)
{
    *count = get_u32(r);
    void *table = get_items(r, *count, smallest, size);
    if (!table) *count = 0;
    return table;
}

static const char *get_text(reader *r)
{
    uint32_t len = get_u32(r);
    const unsigned char *p = take(r, len);
    if (p && memchr(p, 0, len)) fail(r, WF_ERROR_FORMAT, "a zero byte in a string");
    char *text = get_memory(r, (size_t)len + 1, 1); // zeroed, hence terminated
    if (text && p) memcpy(text, p, len);
    return text;
}

static void get_texts(reader *r, uint32_t *n, const char *const **texts)
{
    const char **list = get_table(r, n, SMALLEST_TEXT, sizeof *list);
    *texts = list;
    for (uint32_t i = 0; i < *n && !r->failure; i++) list[i] = get_text(r);
}

static affine get_affine(reader *r)
{
    affine a = {{0}};
    for (uint32_t d = 0; d < r->n_dims; d++) a.c[d] = get_i64(r);
    return a;
}

static void get_rope(reader *r, program_rope *rope)
{
    rope->n_dims = get_i64(r);
    rope->magnitude = get_f64(r);
    int64_t n = rope->n_dims / 2;
    if (n < 1 || (uint64_t)n > (r->bytes - r->at) / 8)
        fail(r, WF_ERROR_FORMAT, "a rotation table's size is out of range");
    double *inv_freq = get_memory(r, (size_t)n, sizeof *inv_freq);
    for (int64_t d = 0; inv_freq && d < n; d++) inv_freq[d] = get_f64(r);
    rope->inv_freq = inv_freq;
}

static void get_fusion(reader *r, program_fusion *fusion)
{
    fusion->name = get_text(r);
    fusion->found = get_u32(r);
    fusion->fused = get_u32_to(r, fusion->found, "more places fused than found");
    fusion->why = get_text(r);
}

static void get_weight(reader *r, program_weight *w)
{
    w->layout = (weight_layout)get_u32_to(r, LAYOUT_COUNT - 1, "unknown layout of a weight");
    w->n_sources = get_u32_to(r, PROGRAM_MAX_SOURCES, "too many sources of a weight");
    uint32_t flags = get_u32_to(r, WEIGHT_FLAGS, "unknown flags of a weight");
    w->interleave = flags & FLAG_INTERLEAVE;
    w->plus_one = flags & FLAG_PLUS_ONE;
    w->cols = get_i64(r);
    w->offset = get_number(r, 8);
    w->bytes = get_number(r, 8);
    for (uint32_t s = 0; s < w->n_sources; s++) {
        w->sources[s] = get_text(r);
        w->transposed[s] = flags & (uint32_t)FLAG_TRANSPOSED << s;
        w->types[s] = get_u32(r);
        w->rows[s] = get_i64(r);
    }
}

static void get_call(reader *r, program_call *call)
{
    call->kernel = get_u32(r);
    call->label = get_text(r);
    call->n_buffers = get_u32_to(r, PROGRAM_MAX_BUFFERS, "too many buffers of a call");
    call->n_sizes = get_u32_to(r, PROGRAM_MAX_SIZES, "too many dimensions of a call");
    uint32_t flags = get_u32_to(r, FLAG_CHAINED | FLAG_OTHERWISE, "unknown flags of a call");
    call->chained = flags & FLAG_CHAINED;
    call->grain = get_i64(r);
    call->flops = get_affine(r);
    call->pair_flops = get_i64(r);
    call->window = get_i64(r);
    call->tiles.a = get_affine(r);
    call->tiles.divisor = get_i64(r);
    call->tiles.factor = get_i64(r);
    call->tiles.when.max_tokens = get_i64(r);
    call->tiles.when.min_past = get_i64(r);
    call->tiles.when.otherwise = flags & FLAG_OTHERWISE;
    program_buffer *buffers = get_items(r, call->n_buffers, SMALLEST_BUFFER, sizeof *buffers);
    call->buffers = buffers;
    for (uint32_t i = 0; i < call->n_buffers && !r->failure; i++) {
        program_buffer *b = &buffers[i];
        b->area = get_u32(r);
        flags = get_u32_to(r, FLAG_WRITTEN | FLAG_PARTLY, "unknown flags of a buffer");
        b->written = flags & FLAG_WRITTEN;
        b->partly = flags & FLAG_PARTLY;
        b->offset = get_affine(r);
        b->bytes = get_affine(r);
    }
    affine *sizes = get_items(r, call->n_sizes, AFFINE_BYTES, sizeof *sizes);
    call->sizes = sizes;
    for (uint32_t i = 0; i < call->n_sizes && !r->failure; i++) sizes[i] = get_affine(r);
}

static void get_header(reader *r)
{
    const unsigned char *magic = take(r, MAGIC_BYTES);
    if (magic && memcmp(magic, PROGRAM_MAGIC, MAGIC_BYTES)) fail(r, WF_ERROR_FORMAT, "not a program of this version");
    uint64_t bytes = get_number(r, 8);
    bool good = bytes >= HEADER_BYTES && bytes <= r->bytes && r->bytes - bytes < PADDING;
    for (size_t i = bytes; good && i < r->bytes; i++) good = r->data[i] == 0;
    if (!good) fail(r, WF_ERROR_FORMAT, "the program's size is not that of its data");
    if (!r->failure) r->bytes = bytes;
}

static void get_dims(reader *r, program *p)
{
    program_dim *dims = get_table(r, &p->n_dims, SMALLEST_DIM, sizeof *dims);
    p->dims = dims;
    if (p->n_dims < 1 || p->n_dims > DIM_COUNT) fail(r, WF_ERROR_FORMAT, "number of dims out of range");
    for (uint32_t i = 0; i < p->n_dims && !r->failure; i++) {
        dims[i].name = get_text(r);
        for (int f = 0; f < 2; f++) dims[i].factors[f] = get_u32(r);
    }
    r->n_dims = r->failure ? 0 : p->n_dims;
}

static void get_facts(reader *r, program *p)
{
    p->name = get_text(r);
    p->fixed = get_text(r);
    if (get_u32_to(r, 1, "a flag that is neither 0 nor 1")) {
        p->architecture = get_text(r);
        p->n_vocab = get_i64(r);
        p->n_ctx_train = get_i64(r);
        p->n_embd = get_i64(r);
        p->kv.n_layer = get_i64(r);
        p->kv.n_kv_heads = get_i64(r);
        p->kv.head_dim = get_i64(r);
        p->kv.type = (kv_type)get_u32_to(r, KV_TYPE_COUNT - 1, "a type of the KV cache that there is not");
    }
    program_rope *ropes = get_table(r, &p->n_ropes, SMALLEST_ROPE, sizeof *ropes);
    p->ropes = ropes;
    for (uint32_t i = 0; i < p->n_ropes && !r->failure; i++) get_rope(r, &ropes[i]);
}

static void get_areas(reader *r, program *p)
{
    program_area *areas = get_table(r, &p->n_areas, SMALLEST_AREA, sizeof *areas);
    p->areas = areas;
    for (uint32_t i = 0; i < p->n_areas && !r->failure; i++) {
        areas[i].name = get_text(r);
        areas[i].kind = (area_kind)get_u32_to(r, AREA_KIND_COUNT - 1, "unknown kind of a memory area");
        areas[i].bytes = get_affine(r);
    }
    p->n_arguments = get_u32(r);
    p->n_results = get_u32(r);
    uint32_t n;
    program_array *arrays = get_table(r, &n, SMALLEST_ARRAY, sizeof *arrays);
    p->arrays = arrays;
    if ((uint64_t)p->n_arguments + p->n_results != n) fail(r, WF_ERROR_FORMAT, "number of arrays out of range");
    for (uint32_t i = 0; i < n && !r->failure; i++) {
        arrays[i].type = (array_type)get_u32_to(r, ARRAY_TYPE_COUNT - 1, "unknown type of an array");
        arrays[i].donor = get_u32(r);
        arrays[i].n_dims = get_u32_to(r, ARRAY_MAX_DIMS, "too many dimensions of an array");
        for (uint32_t d = 0; d < arrays[i].n_dims; d++) arrays[i].dims[d] = get_affine(r);
    }
}

static void get_tables(reader *r, program *p)
{
    program_fusion *fusions = get_table(r, &p->n_fusions, SMALLEST_FUSION, sizeof *fusions);
    p->fusions = fusions;
    for (uint32_t i = 0; i < p->n_fusions && !r->failure; i++) get_fusion(r, &fusions[i]);
    get_texts(r, &p->n_checks, &p->checks);
    get_texts(r, &p->n_kernels, &p->kernels);
    program_weight *weights = get_table(r, &p->n_weights, SMALLEST_WEIGHT, sizeof *weights);
    p->weights = weights;
    for (uint32_t i = 0; i < p->n_weights && !r->failure; i++) get_weight(r, &weights[i]);
    program_call *calls = get_table(r, &p->n_calls, SMALLEST_CALL, sizeof *calls);
    p->calls = calls;
    for (uint32_t i = 0; i < p->n_calls && !r->failure; i++) get_call(r, &calls[i]);
}

wf_status program_read(const void *data, size_t bytes, const char *name, program *p, wf_error *err)
{
    *p = (program){0};
    reader r = {.data = data, .bytes = bytes, .memory = &p->memory};
    get_header(&r);
    get_dims(&r, p);
    get_facts(&r, p);
    get_areas(&r, p);
    get_tables(&r, p);
    if (r.at != r.bytes) fail(&r, WF_ERROR_FORMAT, "bytes are left after the program's end");
    wf_status status = r.failure ? error_set(err, r.status, "%s: offset %zu: %s", name, r.failed_at, r.failure)
                                 : program_check_named(p, name, err);
    if (status != WF_OK) program_free(p);
    return status;
}
