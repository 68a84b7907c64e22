#include "format/gguf.h"
#include "runtime/pack/pack.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/half.h"
#include "base/test_folder.h"
#include "runtime/weight/unpack.h"

static const cache_id ID = {CACHE_PACK, "0123456789abcdef0123456789abcdef", "model.gguf"};
static const cache_id OTHER = {CACHE_PACK, "ffffffffffffffffffffffffffffffff", "model.gguf"};

enum { MAX_TENSORS = 8, MAX_COLS = 80000 };

// ---- checkpoints made here

typedef struct spec {
    const char *name;
    tensor_type type;
    int64_t rows, cols;
} spec;

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void put(buffer *b, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) buffer_append_char(b, (char)(value >> (8 * i) & 255));
}

static float random_float(uint32_t *random) { return (float)((double)next_random(random) / (1 << 23) - 1); }

// One block of random numbers of a type, its scales finite.
static void put_block(buffer *b, tensor_type type, uint32_t *random)
{
    switch (type) {
    case TENSOR_F32: put(b, float_bits(random_float(random)), 4); return;
    case TENSOR_F16: put(b, half_from_float(random_float(random)), 2); return;
    case TENSOR_BF16: put(b, bfloat_from_float(random_float(random)), 2); return;
    default: break;
    }
    size_t bytes = tensor_type_layout(type)->block_bytes, start = b->len, at_d = type == TENSOR_Q6_K ? bytes - 2 : 0;
    for (size_t i = 0; i < bytes; i++) put(b, next_random(random) & 255, 1);
    uint16_t d = half_from_float(random_float(random)), m = half_from_float(random_float(random) * 0x1p-10f);
    bool has_min = type == TENSOR_Q4_1 || type == TENSOR_Q5_1 || type == TENSOR_Q4_K || type == TENSOR_Q5_K;
    b->data[start + at_d] = (char)(d & 255);
    b->data[start + at_d + 1] = (char)(d >> 8);
    if (!has_min) return;
    b->data[start + 2] = (char)(m & 255);
    b->data[start + 3] = (char)(m >> 8);
}

// A GGUF file with these tensors.
static void make_checkpoint(const spec *specs, size_t n, uint32_t random, buffer *file)
{
    buffer data = {0};
    buffer_append(file, "GGUF", 4);
    put(file, 3, 4);
    put(file, n, 8);
    put(file, 0, 8);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(specs[i].name);
        put(file, len, 8);
        buffer_append(file, specs[i].name, len);
        put(file, 2, 4);
        put(file, (uint64_t)specs[i].cols, 8);
        put(file, (uint64_t)specs[i].rows, 8);
        put(file, specs[i].type, 4);
        put(file, data.len, 8);
        int64_t blocks = specs[i].rows * specs[i].cols / (int64_t)tensor_type_layout(specs[i].type)->block_values;
        for (int64_t b = 0; b < blocks; b++) put_block(&data, specs[i].type, &random);
        while (data.len % 32) buffer_append_char(&data, 0);
    }
    while (file->len % 32) buffer_append_char(file, 0);
    buffer_append_view(file, buffer_view(&data));
    buffer_free(&data);
    assert_false(file->failed);
}

static checkpoint *parse_checkpoint(const buffer *b)
{
    checkpoint *file;
    wf_error err = {0};
    if (gguf_parse((const unsigned char *)b->data, b->len, "test.gguf", &file, &err) != WF_OK)
        fail_msg("%s", err.message);
    return file;
}

// ---- what the file says, read without the packer's help

static uint16_t u16_at(const unsigned char *p) { return (uint16_t)(p[0] + 256 * p[1]); }

// Bits [first, first + n) of p, the lowest of the first byte first.
static int bits_at(const unsigned char *p, size_t first, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++) value |= (p[(first + (size_t)i) / 8] >> (first + (size_t)i) % 8 & 1) << i;
    return value;
}

// Value j of a block of 256 of Q4_K or Q5_K. Scale i of 8, with its minimum, has 6 bits: for i < 4 the low ones of s[i]
// and s[4 + i]; else the nibbles of s[4 + i] below the top two bits of s[i - 4] and s[i].
static double value_q45_k(const unsigned char *block, bool five, size_t j)
{
    const unsigned char *s = block + 4, *h = block + 16, *q = five ? h + 32 : h;
    size_t i = j / 32, byte = 32 * (i / 2) + j % 32;
    int scale = bits_at(s, 8 * i, 6), min = bits_at(s, 8 * (4 + i), 6);
    if (i >= 4) {
        scale = bits_at(s, 8 * (4 + i), 4) + 16 * bits_at(s, 8 * (i - 4) + 6, 2);
        min = bits_at(s, 8 * (4 + i) + 4, 4) + 16 * bits_at(s, 8 * i + 6, 2);
    }
    int quant = bits_at(q, 8 * byte + 4 * (i % 2), 4) + (five ? 16 * bits_at(h, 8 * (j % 32) + i, 1) : 0);
    return (double)half_to_float(u16_at(block)) * scale * quant - (double)half_to_float(u16_at(block + 2)) * min;
}

static double value_q6_k(const unsigned char *block, size_t j)
{
    size_t half = j / 128, part = j % 128 / 32, i = j % 32;
    int low = bits_at(block, 8 * (64 * half + 32 * (part % 2) + i) + 4 * (part / 2), 4);
    int high = bits_at(block, 8 * (128 + 32 * half + i) + 2 * part, 2);
    return (double)half_to_float(u16_at(block + 208)) * (int8_t)block[192 + j / 16] * (low + 16 * high - 32);
}

static float value_at(const checkpoint_tensor *t, int64_t row, int64_t col)
{
    const tensor_layout *layout = tensor_type_layout(t->type);
    size_t index = (size_t)(row * t->dims[0] + col), j = index % layout->block_values;
    const unsigned char *block = t->data + index / layout->block_values * layout->block_bytes;
    float x;
    switch (t->type) {
    case TENSOR_F32: memcpy(&x, block, 4); return x;
    case TENSOR_F16: return half_to_float(u16_at(block));
    case TENSOR_BF16: return bfloat_to_float(u16_at(block));
    case TENSOR_Q8_0: return half_to_float(u16_at(block)) * (float)(int8_t)block[2 + j];
    case TENSOR_Q4_0:
        return half_to_float(u16_at(block)) * (float)((j < 16 ? block[2 + j] & 15 : block[2 + j - 16] >> 4) - 8);
    case TENSOR_Q4_1: {
        int q = j < 16 ? block[4 + j] & 15 : block[4 + j - 16] >> 4;
        return half_to_float(u16_at(block)) * (float)q + half_to_float(u16_at(block + 2));
    }
    case TENSOR_Q5_0:
        return half_to_float(u16_at(block)) *
               (float)(bits_at(block + 6, 8 * (j % 16) + j / 16 * 4, 4) + 16 * bits_at(block + 2, j, 1) - 16);
    case TENSOR_Q5_1: {
        int q = bits_at(block + 8, 8 * (j % 16) + j / 16 * 4, 4) + 16 * bits_at(block + 4, j, 1);
        return (float)((double)half_to_float(u16_at(block)) * q + (double)half_to_float(u16_at(block + 2)));
    }
    case TENSOR_Q4_K: return (float)value_q45_k(block, false, j);
    case TENSOR_Q5_K: return (float)value_q45_k(block, true, j);
    case TENSOR_Q6_K: return (float)value_q6_k(block, j);
    default: return NAN;
    }
}

static program_weight make_weight(const spec *specs, uint32_t n)
{
    program_weight w = {.layout = weight_type_of(specs[0].type)->layout, .n_sources = n, .cols = specs[0].cols};
    for (uint32_t s = 0; s < n; s++) {
        w.sources[s] = specs[s].name;
        w.types[s] = specs[s].type;
        w.rows[s] = specs[s].rows;
    }
    assert_true(program_weight_bytes(&w, &w.bytes));
    return w;
}

// Row `packed_row` of the pack is row `row` of the tensor, or zero where row < 0.
static void assert_row(const program_weight *w, const unsigned char *packed, int64_t packed_row,
                       const checkpoint_tensor *t, int64_t row)
{
    float values[MAX_COLS];
    weight_unpack_row(w->layout, packed, w->cols, packed_row, values);
    for (int64_t c = 0; c < w->cols; c++) {
        float wanted = row < 0 ? 0 : value_at(t, row, c);
        if (values[c] != wanted)
            fail_msg("row %d column %d: %g, not %g", (int)row, (int)c, (double)values[c], (double)wanted);
    }
}

static void assert_packed(const checkpoint *file, const program_weight *w, const unsigned char *packed)
{
    int64_t base = 0; // first panel of the source, where they follow each other
    for (uint32_t s = 0; s < w->n_sources; s++) {
        const checkpoint_tensor *t = checkpoint_find_tensor(file, w->sources[s]);
        int64_t panels = (w->rows[s] + 15) / 16;
        for (int64_t row = 0; row < panels * 16; row++) {
            int64_t panel = w->interleave ? row / 16 * w->n_sources + s : base + row / 16;
            assert_row(w, packed, panel * 16 + row % 16, t, row < w->rows[s] ? row : -1);
        }
        base += panels;
    }
}

// Packs into memory that ends where the pack does and was full of rubbish before.
static void check_weight(const checkpoint *file, const program_weight *w)
{
    unsigned char *packed = malloc(w->bytes);
    wf_error err = {0};
    assert_non_null(packed);
    memset(packed, 0xa5, w->bytes);
    if (pack_weight(file, w, packed, &err) != WF_OK) fail_msg("%s", err.message);
    assert_packed(file, w, packed);
    free(packed);
}

// Every row of the table; one that value_at does not know gives NAN, which nothing equals.
enum { N_TYPES = LAYOUT_COUNT - LAYOUT_F32_X16 };

static tensor_type type_at(size_t i) { return weight_type_in((weight_layout)(LAYOUT_F32_X16 + i))->tensor; }

static void test_packs_every_type_and_shape(void **state)
{
    (void)state;
    static const int64_t rows[] = {1, 2, 15, 16, 17, 48, 50}, cols[] = {1, 2, 3, 7, 32, 33, 64, 96, 160, 256, 512};
    for (size_t t = 0; t < N_TYPES; t++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++) {
                const spec one = {"w", type_at(t), rows[r], cols[c]};
                if (cols[c] % (int64_t)tensor_type_layout(type_at(t))->block_values) continue;
                buffer bytes = {0};
                make_checkpoint(&one, 1, (uint32_t)(t * 1000 + r * 10 + c), &bytes);
                checkpoint *file = parse_checkpoint(&bytes);
                program_weight w = make_weight(&one, 1);
                check_weight(file, &w);
                checkpoint_close(file);
                buffer_free(&bytes);
            }
}

// The exact bytes of one block, as layout.h draws them.
static void test_layout_of_a_block(void **state)
{
    (void)state;
    const spec one = {"w", TENSOR_Q4_1, 16, 64};
    buffer bytes = {0};
    make_checkpoint(&one, 1, 5, &bytes);
    checkpoint *file = parse_checkpoint(&bytes);
    program_weight w = make_weight(&one, 1);
    unsigned char packed[640];
    assert_int_equal(w.bytes, sizeof packed);
    assert_int_equal(pack_weight(file, &w, packed, NULL), WF_OK);
    const unsigned char *block = packed + 320, *source = checkpoint_find_tensor(file, "w")->data + 20; // columns 32..63
    for (size_t row = 0; row < 16; row++) {
        assert_memory_equal(block + 2 * row, source + row * 40, 2);
        assert_memory_equal(block + 32 + 2 * row, source + row * 40 + 2, 2);
        for (size_t g = 0; g < 4; g++)
            assert_memory_equal(block + 64 + g * 64 + row * 4, source + row * 40 + 4 + g * 4, 4);
    }
    checkpoint_close(file);
    buffer_free(&bytes);
}

static void test_packs_several_sources(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        const spec specs[] = {{"q", type_at(t), 36, 256}, {"k", type_at(t), 36, 256}, {"v", type_at(t), 5, 256}};
        buffer bytes = {0};
        make_checkpoint(specs, 3, (uint32_t)t, &bytes);
        checkpoint *file = parse_checkpoint(&bytes);
        program_weight w = make_weight(specs, 3);
        check_weight(file, &w);
        w = make_weight(specs, 2);
        check_weight(file, &w);
        w.interleave = true;
        check_weight(file, &w);
        w = make_weight(specs, 3);
        w.interleave = true;
        unsigned char *packed = malloc(w.bytes);
        assert_int_equal(pack_weight(file, &w, packed, NULL), WF_ERROR_FORMAT);
        free(packed);
        checkpoint_close(file);
        buffer_free(&bytes);
    }
}

static void test_packs_vectors(void **state)
{
    (void)state;
    for (size_t t = 0; t < 3; t++) {
        const spec one = {"norm", type_at(t), 1, 37};
        buffer bytes = {0};
        make_checkpoint(&one, 1, 9, &bytes);
        checkpoint *file = parse_checkpoint(&bytes);
        for (int plus_one = 0; plus_one < 2; plus_one++) {
            program_weight w = {.layout = LAYOUT_VECTOR_F32,
                                .n_sources = 1,
                                .sources = {"norm"},
                                .types = {type_at(t)},
                                .rows = {1},
                                .cols = 37,
                                .plus_one = plus_one,
                                .bytes = 37 * 4};
            float packed[37], row[37];
            assert_int_equal(pack_weight(file, &w, (unsigned char *)packed, NULL), WF_OK);
            weight_unpack_row(w.layout, (unsigned char *)packed, 37, 0, row);
            for (int64_t c = 0; c < 37; c++) {
                float wanted = value_at(checkpoint_find_tensor(file, "norm"), 0, c) + (plus_one ? 1.0f : 0.0f);
                assert_true(packed[c] == wanted && row[c] == wanted);
            }
        }
        checkpoint_close(file);
        buffer_free(&bytes);
    }
}

static void assert_pack_fails(const checkpoint *file, const program_weight *w, wf_status status, const char *reason)
{
    unsigned char packed[8192];
    wf_error err = {0};
    assert_int_equal(pack_weight(file, w, packed, &err), status);
    if (!strstr(err.message, reason)) fail_msg("'%s' does not say '%s'", err.message, reason);
    assert_non_null(strstr(err.message, "test.gguf: "));
}

static void test_refuses_other_checkpoints(void **state)
{
    (void)state;
    const spec specs[] = {{"a", TENSOR_Q8_0, 3, 64}, {"b", TENSOR_F32, 3, 64}};
    buffer bytes = {0};
    make_checkpoint(specs, 2, 1, &bytes);
    checkpoint *file = parse_checkpoint(&bytes);
    program_weight good = make_weight(specs, 1), w = good;
    w.sources[0] = "c";
    assert_pack_fails(file, &w, WF_ERROR_FORMAT, "tensor 'c' is missing");
    w = good, w.sources[0] = "b";
    assert_pack_fails(file, &w, WF_ERROR_FORMAT, "has type F32");
    w = good, w.rows[0] = 4;
    assert_pack_fails(file, &w, WF_ERROR_FORMAT, "[3, 64]");
    w = good, w.cols = 32, w.bytes = 544;
    assert_pack_fails(file, &w, WF_ERROR_FORMAT, "[3, 64]");
    w = good, w.bytes--;
    assert_pack_fails(file, &w, WF_ERROR_FORMAT, "do not fit");
    w = good, w.layout = LAYOUT_F32_X16, w.bytes = 64 * 64;
    assert_pack_fails(file, &w, WF_ERROR_UNSUPPORTED, "cannot be packed as f32x16");
    w = good, w.n_sources = 4;
    assert_pack_fails(file, &w, WF_ERROR_FORMAT, "do not fit");
    checkpoint_close(file);
    buffer_free(&bytes);
}

// ---- whole packs, in a folder of their own

// The cache file is written in pieces of 2 MiB, at multiples of that: one ends within a panel of "embed", one within an
// interleaved panel, and the panel of "wide" is longer than two pieces.
enum { N_MODEL_TENSORS = 7, N_MODEL_WEIGHTS = 5 };

static const spec MODEL[N_MODEL_TENSORS] = {
    {"embed", TENSOR_Q8_0, 12001, 320}, {"norm", TENSOR_F32, 1, 320},   {"gate", TENSOR_Q4_0, 1600, 320},
    {"up", TENSOR_Q4_0, 1600, 320},     {"down", TENSOR_F16, 320, 500}, {"k", TENSOR_F16, 20, 500},
    {"wide", TENSOR_F32, 3, 80000},
};

typedef struct fixture {
    char folder[64], model_path[96], packs[96], pack_path[160];
    checkpoint *file;
    program_weight weights[N_MODEL_WEIGHTS];
    program p;
    program_area areas[BASE_COUNT];
    size_t weights_bytes;
} fixture;

static void make_plan(fixture *f)
{
    f->weights[0] = make_weight(&MODEL[0], 1);
    f->weights[1] = (program_weight){
        .layout = LAYOUT_VECTOR_F32, .n_sources = 1, .sources = {"norm"}, .rows = {1}, .cols = 320, .bytes = 320 * 4};
    f->weights[2] = make_weight(&MODEL[2], 2);
    f->weights[2].interleave = true;
    f->weights[3] = make_weight(&MODEL[4], 2);
    f->weights[4] = make_weight(&MODEL[6], 1);
    size_t end = 0;
    for (int i = 0; i < N_MODEL_WEIGHTS; i++) {
        f->weights[i].offset = (end + 63) / 64 * 64;
        end = f->weights[i].offset + f->weights[i].bytes;
    }
    f->p = (program){.architecture = "llama",
                     .name = "test",
                     .kv = {.n_layer = 1, .n_kv_heads = 1, .head_dim = 16},
                     .n_vocab = 1,
                     .n_ctx_train = 64,
                     .n_embd = 1,
                     .n_weights = N_MODEL_WEIGHTS,
                     .weights = f->weights};
    f->weights_bytes = end + 100;
    program_set_sequence(&f->p, affine_of(DIM_ONE, 0), f->weights_bytes, f->areas);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    buffer bytes = {0};
    wf_error err = {0};
    assert_non_null(f);
    strcpy(f->folder, "/tmp/welford-pack-test.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->model_path, sizeof f->model_path, "%s/model.gguf", f->folder);
    snprintf(f->packs, sizeof f->packs, "%s/cache", f->folder);
    setenv("WELFORD_CACHE", f->packs, 1);
    snprintf(f->packs, sizeof f->packs, "%s/cache/packs", f->folder);
    snprintf(f->pack_path, sizeof f->pack_path, "%s/%s.wfpack", f->packs, ID.key);
    make_checkpoint(MODEL, N_MODEL_TENSORS, 77, &bytes);
    assert_int_equal(file_write(f->model_path, bytes.data, bytes.len, &err), WF_OK);
    buffer_free(&bytes);
    assert_int_equal(gguf_open(f->model_path, &f->file, &err), WF_OK);
    make_plan(f);
    *state = f;
    return 0;
}

static int n_packs(const fixture *f)
{
    DIR *dir = opendir(f->packs);
    int n = 0;
    if (!dir) return 0;
    for (const struct dirent *entry; (entry = readdir(dir));) n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    checkpoint_close(f->file);
    char other[160];
    snprintf(other, sizeof other, "%s/%s.wfpack", f->packs, OTHER.key);
    unlink(other);
    unlink(f->pack_path);
    unlink(f->model_path);
    rmdir(f->packs);
    snprintf(other, sizeof other, "%s/cache", f->folder);
    rmdir(other);
    int left = rmdir(f->folder); // fails when a temporary file was left behind
    free(f);
    return left;
}

typedef struct progress_log {
    int calls;
    size_t done, all;
} progress_log;

static void log_progress(void *context, size_t done, size_t all)
{
    progress_log *log = context;
    log->calls++;
    log->done = done;
    log->all = all;
    assert_true(done <= all);
}

static void assert_pack(const fixture *f, const unsigned char *data)
{
    for (int i = 0; i < N_MODEL_WEIGHTS; i++) {
        const program_weight *w = &f->weights[i];
        if (w->layout == LAYOUT_VECTOR_F32)
            assert_memory_equal(data + w->offset, checkpoint_find_tensor(f->file, "norm")->data, w->bytes);
        else
            assert_packed(f->file, w, data + w->offset);
    }
}

static thread_pool *make_pool(int n_threads)
{
    thread_pool *pool;
    assert_int_equal(thread_pool_create(n_threads, &pool, NULL), WF_OK);
    return pool;
}

static void test_builds_with_any_number_of_threads(void **state)
{
    const fixture *f = *state;
    unsigned char *out = malloc(f->weights_bytes);
    assert_non_null(out);
    for (int n = 0; n <= 3; n++) {
        thread_pool *pool = n ? make_pool(n) : NULL;
        progress_log log = {0};
        memset(out, 0xa5, f->weights_bytes);
        assert_int_equal(pack_build(f->file, &f->p, pool, log_progress, &log, out, NULL), WF_OK);
        assert_pack(f, out);
        assert_true(log.calls > 0 && log.done == f->weights_bytes && log.all == f->weights_bytes);
        thread_pool_free(pool);
    }
    free(out);
}

// Opens, checks the weights, and says whether it was built anew.
static bool open_and_check(const fixture *f, const cache_id *id, bool cached)
{
    thread_pool *pool = make_pool(2);
    pack k;
    progress_log log = {0};
    wf_error err = {0};
    if (pack_open(f->file, &f->p, id, pool, log_progress, &log, &k, &err) != WF_OK) fail_msg("%s", err.message);
    assert_int_equal(k.cached, cached);
    assert_int_equal((uintptr_t)k.data % 4096, 0);
    assert_pack(f, k.data);
    pack_close(&k);
    thread_pool_free(pool);
    return log.calls > 0;
}

static void test_caches(void **state)
{
    const fixture *f = *state;
    assert_true(open_and_check(f, &ID, true));
    assert_false(open_and_check(f, &ID, true));
    assert_int_equal(n_packs(f), 1);
    assert_true(open_and_check(f, &OTHER, true));
    assert_false(open_and_check(f, &OTHER, true));
    assert_int_equal(n_packs(f), 2);
    char other[160];
    snprintf(other, sizeof other, "%s/%s.wfpack", f->packs, OTHER.key);
    assert_int_equal(rename(f->pack_path, other), 0); // its record still has its own key
    assert_true(open_and_check(f, &OTHER, true));
}

static void test_rebuilds_what_is_damaged(void **state)
{
    const fixture *f = *state;
    assert_true(open_and_check(f, &ID, true));
    const program_weight *last = &f->weights[N_MODEL_WEIGHTS - 1];
    const long places[] = {0,
                           9,
                           40,
                           48,
                           56,
                           64,
                           100,
                           4095,
                           4096,
                           500000,
                           (2 << 20) - 1,
                           2 << 20,
                           4096 + (long)(last->offset + last->bytes) - 1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_true(flip_bit(f->pack_path, places[i]));
        assert_true(open_and_check(f, &ID, true));
        assert_false(open_and_check(f, &ID, true));
    }
    const off_t sizes[] = {0, 1, 4096, 500000, (off_t)(4096 + f->weights_bytes + 1)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(truncate(f->pack_path, sizes[i]), 0);
        assert_true(open_and_check(f, &ID, true));
    }
    assert_int_equal(n_packs(f), 1);
}

static void test_does_without_a_cache(void **state)
{
    const fixture *f = *state;
    assert_true(open_and_check(f, NULL, false));
    setenv("WELFORD_CACHE", "/dev/null", 1);
    assert_true(open_and_check(f, &ID, false));
    setenv("WELFORD_CACHE", "/proc/pack", 1); // a folder in which even root cannot write
    assert_true(open_and_check(f, &ID, false));
    char path[5000];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    setenv("WELFORD_CACHE", path, 1);
    assert_true(open_and_check(f, &ID, false));
}

static fsblkcnt_t free_blocks = 1 << 30; // of one byte
static size_t may_write = SIZE_MAX;      // bytes until the disk is full

// Stand in for the system's: packing asks for the room in a folder, and writes.
int fstatvfs(int fd, struct statvfs *st)
{
    (void)fd;
    *st = (struct statvfs){.f_bsize = 1, .f_frsize = 1, .f_bavail = free_blocks, .f_blocks = (fsblkcnt_t)1 << 40};
    return 0;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    if (may_write != SIZE_MAX && !may_write) return errno = ENOSPC, -1;
    if (bytes > may_write) bytes = may_write;
    if (may_write != SIZE_MAX) may_write -= bytes;
    return (ssize_t)syscall(SYS_pwrite64, fd, data, bytes, at);
}

// A disk that is too small: the pack is held in memory. Too little memory as well: nothing is packed.
static void test_without_room(void **state)
{
    const fixture *f = *state;
    free_blocks = f->weights_bytes;
    assert_true(open_and_check(f, &ID, false));
    assert_int_equal(n_packs(f), 0);

    struct rlimit before, none;
    wf_error err = {0};
    pack k;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    none = before;
    none.rlim_cur = 1 << 20; // less than is in use
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    wf_status on_disk = pack_open(f->file, &f->p, &ID, NULL, NULL, NULL, &k, &err), in_memory;
    in_memory = pack_open(f->file, &f->p, NULL, NULL, NULL, NULL, &k, NULL);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    char reason[128];
    snprintf(reason, sizeof reason, "packing the weights needs %zu bytes in the folder ", f->weights_bytes + 4096);
    if (on_disk != WF_ERROR_MEMORY || !strstr(err.message, reason) || !strstr(err.message, f->folder))
        fail_msg("status %d: %s", (int)on_disk, err.message);
    assert_int_equal(in_memory, WF_ERROR_MEMORY);
    assert_int_equal(n_packs(f), 0);

    free_blocks = 1 << 30;
    assert_true(open_and_check(f, &ID, true));
}

// The disk was said to have room, and writing fails halfway.
static void test_survives_a_full_disk(void **state)
{
    const fixture *f = *state;
    for (size_t limit = 0; limit < f->weights_bytes + 4096; limit += 700000) {
        may_write = limit;
        assert_true(open_and_check(f, &ID, false));
        assert_int_equal(n_packs(f), 0);
    }
    may_write = SIZE_MAX;
    assert_true(open_and_check(f, &ID, true));
}

// The system kills a process that writes beyond its limit on the size of files.
static void test_survives_a_limit_on_files(void **state)
{
    const fixture *f = *state;
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    const rlim_t limits[] = {0, 4096, f->weights_bytes + 4095};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        small.rlim_cur = limits[i];
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        bool built = open_and_check(f, &ID, false);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_true(built);
        assert_int_equal(n_packs(f), 0);
    }
    small.rlim_cur = f->weights_bytes + 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool built = open_and_check(f, &ID, true);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(built);
}

static void test_two_processes_at_once(void **state)
{
    const fixture *f = *state;
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            pack k;
            bool good = true;
            for (int n = 0; n < 8 && good; n++) {
                good = pack_open(f->file, &f->p, &ID, NULL, NULL, NULL, &k, NULL) == WF_OK && k.cached;
                float row[MAX_COLS];
                weight_unpack_row(f->weights[0].layout, k.data, 320, 3000, row);
                good = good && row[319] == value_at(checkpoint_find_tensor(f->file, "embed"), 3000, 319);
                pack_close(&k);
                if (i == 0) unlink(f->pack_path);
            }
            _exit(good ? 0 : 1);
        }
    }
    for (int i = 0; i < 3; i++) {
        int result = -1;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_int_equal(result, 0);
    }
}

static void test_reports_a_wrong_checkpoint(void **state)
{
    fixture *f = *state;
    pack k;
    wf_error err = {0};
    f->weights[3].sources[1] = "missing";
    assert_int_equal(pack_open(f->file, &f->p, &ID, NULL, NULL, NULL, &k, &err), WF_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "model.gguf: tensor 'missing' is missing"));
    assert_null(k.data);
    assert_int_equal(n_packs(f), 0);
    f->weights[3].offset += 4;
    assert_int_equal(pack_open(f->file, &f->p, NULL, NULL, NULL, NULL, &k, &err), WF_ERROR_FORMAT);
}

#define ON_MODEL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packs_every_type_and_shape),
        cmocka_unit_test(test_layout_of_a_block),
        cmocka_unit_test(test_packs_several_sources),
        cmocka_unit_test(test_packs_vectors),
        cmocka_unit_test(test_refuses_other_checkpoints),
        ON_MODEL(test_builds_with_any_number_of_threads),
        ON_MODEL(test_caches),
        ON_MODEL(test_rebuilds_what_is_damaged),
        ON_MODEL(test_does_without_a_cache),
        ON_MODEL(test_without_room),
        ON_MODEL(test_survives_a_full_disk),
        ON_MODEL(test_survives_a_limit_on_files),
        ON_MODEL(test_two_processes_at_once),
        ON_MODEL(test_reports_a_wrong_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
