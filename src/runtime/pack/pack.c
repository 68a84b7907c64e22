// Packing, into the cache or into memory.
//
// The cache's file is cut into pieces of PIECE_BYTES, at multiples of PIECE_BYTES. Packing is "pack every piece",
// checking a cached pack is "hash every piece"; both hand pieces to all threads, each of which starts with a contiguous
// share of its own. A panel that lies across the end of a piece is packed for both.
//
// A piece is a huge page, and is written at once: the file system then keeps it in one folio where it can (ext4 since
// Linux 6.16), and the pack is mapped by huge pages. Streaming the weights from them is 5 % faster (SmolLM2).
//
// It begins with the cache's record (runtime/cache/cache_record.h), whose checksum is XXH3-64 over the XXH3-64 of every
// piece, without the record. Nothing is synced to the disk: after a power failure a file may hold zeros, which is what
// the pieces' hashes are for (they cost what reading the pack once costs, and every page is mapped by it).
//
// Memory: the cache file's own pages are the pack. Pages of the checkpoint are let go piece by piece while it is
// packed, so that a model is not counted twice.
#include "runtime/pack/pack.h"

#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xxhash.h>

#include "base/checked.h"
#include "base/memory.h"
#include "runtime/cache/cache.h"
#include "runtime/weight/pack_panel.h"

enum {
    HEADER_BYTES = CACHE_RECORD_BYTES,
    PIECE_BYTES = 2 * 1024 * 1024,  // a huge page
    FAULT_AROUND_BYTES = 64 * 1024, // what the kernel maps around one page fault
};

// ---- one weight

// A weight's tensors, found and checked.
typedef struct weight_source {
    const program_weight *weight;
    size_t panel_bytes;                             // of the pack
    const unsigned char *data[PROGRAM_MAX_SOURCES]; // of the checkpoint
    size_t row_bytes[PROGRAM_MAX_SOURCES];
    size_t gather_bytes; // of a panel's rows where a source is transposed; else 0
    int64_t n_panels;
} weight_source;

// Whether the tensor has the matrix's rows and columns. One of a single dimension may have them behind each other: the
// shapes of a function's weights are checked where they are given (runtime/function_weights.h).
static bool has_shape(const program_weight *w, uint32_t s, const checkpoint_tensor *t)
{
    int64_t rows = t->dims[1] * t->dims[2] * t->dims[3], count; // who opened the file checked that the product fits
    if (w->layout == LAYOUT_PLAIN) return t->bytes == (size_t)w->cols;
    if (rows == 1 && t->n_dims == 1 && !__builtin_mul_overflow(w->rows[s], w->cols, &count) && t->dims[0] == count)
        return true;
    if (w->transposed[s]) return t->dims[0] == w->rows[s] && rows == w->cols;
    // Vectors that lie behind each other are cut into rows of a length that divides all of theirs.
    int64_t divisor = w->layout == LAYOUT_VECTOR_F32 && rows == 1 ? w->rows[s] : 1;
    return w->rows[s] % divisor == 0 && t->dims[0] % divisor == 0 && t->dims[0] / divisor == w->cols &&
           rows == w->rows[s] / divisor;
}

static wf_status check_tensor(const checkpoint *file, const program_weight *w, uint32_t s, const checkpoint_tensor *t,
                              wf_error *err)
{
    const char *path = checkpoint_path(file), *name = w->sources[s];
    if (!t) return error_set(err, WF_ERROR_FORMAT, "%s: tensor '%s' is missing", path, name);
    if (!t->data) return error_set(err, WF_ERROR_FORMAT, "%s: tensor '%s' lies beyond the file's end", path, name);
    const tensor_layout *layout = tensor_type_layout(t->type);
    if (!layout || (uint32_t)t->type != w->types[s])
        return error_set(err, WF_ERROR_FORMAT,
                         "%s: tensor '%s' has type %s, but the program was compiled for type %" PRIu32, path, name,
                         layout ? layout->name : "unknown", w->types[s]);
    if (!panel_takes(w->layout, t->type) || (w->transposed[s] && layout->block_values > 1))
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: tensor '%s' of type %s cannot be packed as %s", path, name,
                         layout->name, layout_name(w->layout));
    if (!has_shape(w, s, t))
        return error_set(err, WF_ERROR_FORMAT,
                         "%s: tensor '%s' is [%" PRId64 ", %" PRId64 "], but the program was compiled for [%" PRId64
                         ", %" PRId64 "]",
                         path, name, t->dims[1] * t->dims[2] * t->dims[3], t->dims[0], w->rows[s], w->cols);
    return WF_OK;
}

// `only`: the one source that is looked for, where the others are not to be packed; NULL: all.
static wf_status find_source(const checkpoint *file, const program_weight *w, const char *only, weight_source *source,
                             wf_error *err)
{
    size_t bytes;
    *source = (weight_source){.weight = w};
    if (w->n_sources < 1 || w->n_sources > PROGRAM_MAX_SOURCES || !program_weight_bytes(w, &bytes) ||
        bytes != w->bytes || !layout_panel_bytes(w->layout, w->cols, &source->panel_bytes))
        return error_set(err, WF_ERROR_FORMAT, "%s: the program's sizes for tensor '%s' do not fit together",
                         checkpoint_path(file), w->n_sources ? w->sources[0] : "");
    if (w->interleave && (w->n_sources != 2 || program_source_panels(w, 0) != program_source_panels(w, 1)))
        return error_set(err, WF_ERROR_FORMAT, "%s: tensor '%s' cannot be interleaved with another of its size",
                         checkpoint_path(file), w->sources[0]);
    for (uint32_t s = 0; s < w->n_sources; s++) {
        source->n_panels += program_source_panels(w, s);
        if (only && strcmp(w->sources[s], only)) continue;
        const checkpoint_tensor *t = checkpoint_find_tensor(file, w->sources[s]);
        TRY(check_tensor(file, w, s, t, err));
        source->data[s] = t->data;
        source->row_bytes[s] = t->bytes / (size_t)w->rows[s];
        if (w->transposed[s]) source->gather_bytes = PANEL_ROWS * source->row_bytes[s];
    }
    return WF_OK;
}

// Which source, and which of its panels, panel `index` of the weight is.
static uint32_t locate_panel(const program_weight *w, int64_t index, int64_t *panel)
{
    if (w->interleave) {
        *panel = index / w->n_sources;
        return (uint32_t)(index % w->n_sources);
    }
    uint32_t s = 0;
    for (; s + 1 < w->n_sources && index >= program_source_panels(w, s); s++) index -= program_source_panels(w, s);
    *panel = index;
    return s;
}

// The rows of a panel whose source holds columns: `rows` [n_rows][cols].
static void gather_rows(const weight_source *source, uint32_t s, int64_t first, int64_t n_rows, unsigned char *rows)
{
    const program_weight *w = source->weight;
    size_t row_bytes = source->row_bytes[s], size = row_bytes / (size_t)w->cols;
    for (int64_t c = 0; c < w->cols; c++) {
        const unsigned char *from = source->data[s] + (size_t)(c * w->rows[s] + first) * size;
        for (int64_t r = 0; r < n_rows; r++, from += size)
            memcpy(rows + (size_t)r * row_bytes + (size_t)c * size, from, size);
    }
}

// Packs panels [begin, end) to `out`, where panel `begin` goes. gathered [gather_bytes]: for rows of transposed sources.
static void pack_panels(const weight_source *source, int64_t begin, int64_t end, unsigned char *gathered,
                        unsigned char *out)
{
    const program_weight *w = source->weight;
    for (int64_t index = begin; index < end; index++) {
        int64_t panel;
        uint32_t s = locate_panel(w, index, &panel);
        if (!source->data[s]) continue; // is not looked for
        unsigned char *to = out + (size_t)(index - begin) * source->panel_bytes;
        if (w->layout == LAYOUT_PLAIN) {
            memcpy(to, source->data[s], source->panel_bytes);
            continue;
        }
        if (w->layout == LAYOUT_VECTOR_F32) {
            panel_pack_vector((tensor_type)w->types[s], source->data[s] + (size_t)panel * source->row_bytes[s], w->cols,
                              w->plus_one, to);
            continue;
        }
        int64_t row = panel * PANEL_ROWS, n_rows = w->rows[s] - row < PANEL_ROWS ? w->rows[s] - row : PANEL_ROWS;
        const unsigned char *rows = source->data[s] + (size_t)row * source->row_bytes[s];
        if (w->transposed[s]) {
            gather_rows(source, s, row, n_rows, gathered);
            rows = gathered;
        }
        panel_pack(w->layout, (tensor_type)w->types[s], rows, source->row_bytes[s], (size_t)n_rows, w->cols, to);
    }
}

static wf_status pack_sources(const checkpoint *file, const program_weight *weight, const char *only,
                              unsigned char *out, wf_error *err)
{
    weight_source source;
    TRY(find_source(file, weight, only, &source, err));
    unsigned char *gathered = malloc(source.gather_bytes + 1);
    if (!gathered) return error_memory(err, source.gather_bytes);
    pack_panels(&source, 0, source.n_panels, gathered, out);
    free(gathered);
    return WF_OK;
}

wf_status pack_weight(const checkpoint *file, const program_weight *weight, unsigned char *out, wf_error *err)
{
    return pack_sources(file, weight, NULL, out, err);
}

// ---- letting go of the checkpoint's pages

// Bytes [begin, end) of the mapped file have been packed. Both ends are rounded down to the step in which the kernel
// maps pages around a fault: the next piece, which begins in the last step, would otherwise map what was just let go.
static void release_bytes(const checkpoint *file, const unsigned char *begin, const unsigned char *end)
{
    uintptr_t from = (uintptr_t)begin / FAULT_AROUND_BYTES * FAULT_AROUND_BYTES;
    uintptr_t to = (uintptr_t)end / FAULT_AROUND_BYTES * FAULT_AROUND_BYTES;
    for (size_t i = 0; i < checkpoint_part_count(file); i++) {
        view bytes = checkpoint_part(file, i);
        uintptr_t part = (uintptr_t)bytes.data;
        // Memory that is not the file's own map would be lost.
        if (!checkpoint_part_is_mapped(file, i) || part > (uintptr_t)begin || (uintptr_t)begin - part >= bytes.len)
            continue;
        if (from < part) from = part;
        if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
        return;
    }
}

// Panels [begin, end) of a weight have been packed.
static void release_panels(const checkpoint *file, const weight_source *source, int64_t begin, int64_t end)
{
    const program_weight *w = source->weight;
    if (w->layout < LAYOUT_F32_X16) return;
    int64_t before = 0; // panels of earlier sources
    for (uint32_t s = 0; s < w->n_sources; s++) {
        int64_t n = program_source_panels(w, s);
        int64_t first = w->interleave ? begin / w->n_sources : begin - before;
        int64_t last = w->interleave ? end / w->n_sources : end - before;
        first = first < 0 ? 0 : first;
        last = last > n ? n : last;
        before += n;
        if (first >= last || w->transposed[s]) continue; // of a transposed one every panel reads everywhere
        int64_t end_row = last * PANEL_ROWS < w->rows[s] ? last * PANEL_ROWS : w->rows[s];
        release_bytes(file, source->data[s] + (size_t)(first * PANEL_ROWS) * source->row_bytes[s],
                      source->data[s] + (size_t)end_row * source->row_bytes[s]);
    }
}

// ---- pieces, by all threads

typedef struct job {
    const program *p;
    int64_t n_pieces;
    uint64_t *hashes; // [n_pieces], owned
    // to pack; a job that only hashes has no file
    const checkpoint *file;
    weight_source *sources;    // [p->n_weights], owned
    unsigned char *out;        // the pack in memory; NULL: it goes to `fd`
    int fd;                    // of the cache file
    unsigned char *scratch;    // [threads][scratch_bytes], owned: bench
    size_t scratch_bytes;      // PIECE_BYTES, the largest panel, and the rows of one that are gathered
    size_t gather_bytes;       // of these
    const unsigned char *data; // a job that only hashes: the pack
    thread_pool *pool;         // NULL: the calling thread alone
    void (*progress)(void *, size_t, size_t);
    void *context;
    _Atomic size_t done; // bytes
    _Atomic bool failed; // the cache file could not be written
} job;

static wf_status job_start(job *j, wf_error *err)
{
    j->n_pieces = (int64_t)((HEADER_BYTES + program_fixed_bytes(j->p, AREA_WEIGHTS) - 1) / PIECE_BYTES + 1);
    j->hashes = calloc((size_t)j->n_pieces, sizeof *j->hashes);
    if (!j->hashes) return error_memory(err, (size_t)j->n_pieces * sizeof *j->hashes);
    if (!j->file) return WF_OK;
    size_t largest = 0, n_threads = j->pool ? (size_t)thread_pool_size(j->pool) : 1, bytes;
    for (uint32_t i = 0; i < j->p->n_weights; i++) {
        const weight_source *source = &j->sources[i];
        bool cut = source->weight->layout != LAYOUT_PLAIN; // which is copied as it is
        if (cut && source->panel_bytes > largest) largest = source->panel_bytes;
        if (source->gather_bytes > j->gather_bytes) j->gather_bytes = source->gather_bytes;
    }
    if (!checked_add(largest, PIECE_BYTES, &j->scratch_bytes) ||
        !checked_add(j->scratch_bytes, j->gather_bytes, &j->scratch_bytes) ||
        !checked_mul(j->scratch_bytes, n_threads, &bytes))
        return error_memory(err, largest);
    j->scratch = malloc(bytes);
    return j->scratch ? WF_OK : error_memory(err, bytes);
}

static void job_free(job *j)
{
    free(j->hashes);
    free(j->sources);
    free(j->scratch);
}

// What a thread works with.
typedef struct bench {
    unsigned char *piece, *gathered, *panel; // [PIECE_BYTES], [gather_bytes], [the largest panel]
} bench;

static bench bench_of(const job *j, int thread)
{
    unsigned char *piece = j->scratch + (size_t)thread * j->scratch_bytes;
    return (bench){piece, piece + PIECE_BYTES, piece + PIECE_BYTES + j->gather_bytes};
}

// Packs the part of one panel that lies in bytes [begin, end) of the pack.
static void pack_cut_panel(const weight_source *source, int64_t index, size_t begin, size_t end, unsigned char *out,
                           const bench *b)
{
    size_t at = source->weight->offset + (size_t)index * source->panel_bytes;
    size_t from = at > begin ? at : begin, to = at + source->panel_bytes < end ? at + source->panel_bytes : end;
    pack_panels(source, index, index + 1, b->gathered, b->panel);
    memcpy(out + (from - begin), b->panel + (from - at), to - from);
}

// Packs what of a weight lies in bytes [begin, end) of the pack; byte `begin` goes to *out.
static void pack_weight_part(const job *j, const weight_source *source, size_t begin, size_t end, unsigned char *out,
                             const bench *b)
{
    size_t bytes = source->panel_bytes, offset = source->weight->offset;
    size_t from = begin > offset ? begin - offset : 0, to = end > offset ? end - offset : 0; // of the weight
    if (to > (size_t)source->n_panels * bytes) to = (size_t)source->n_panels * bytes;
    if (from >= to) return;
    if (source->weight->layout == LAYOUT_PLAIN) {
        memcpy(out + (offset + from - begin), source->data[0] + from, to - from);
        release_bytes(j->file, source->data[0] + from, source->data[0] + to);
        return;
    }
    int64_t first = (int64_t)(from / bytes), last = (int64_t)((to - 1) / bytes); // the last one included
    int64_t whole_begin = first + (from % bytes != 0), whole_end = last + (to % bytes == 0);
    if (whole_begin > first) pack_cut_panel(source, first, begin, end, out, b);
    if (whole_begin < whole_end)
        pack_panels(source, whole_begin, whole_end, b->gathered, out + (offset + (size_t)whole_begin * bytes - begin));
    if (whole_end == last && last >= whole_begin) pack_cut_panel(source, last, begin, end, out, b);
    release_panels(j->file, source, first, last + 1);
}

static void run_piece(job *j, int64_t index, int thread)
{
    // of the pack, which begins behind the file's header
    size_t start = (size_t)index * PIECE_BYTES, header = index ? 0 : HEADER_BYTES;
    size_t begin = start + header - HEADER_BYTES, end = start + PIECE_BYTES - HEADER_BYTES;
    if (end > program_fixed_bytes(j->p, AREA_WEIGHTS)) end = program_fixed_bytes(j->p, AREA_WEIGHTS);
    const unsigned char *packed = j->data ? j->data + begin : NULL;
    if (j->file) {
        const bench b = bench_of(j, thread);
        if (!j->out) memset(b.piece, 0, PIECE_BYTES);
        unsigned char *out = j->out ? j->out + begin : b.piece + header;
        for (uint32_t i = 0; i < j->p->n_weights; i++) pack_weight_part(j, &j->sources[i], begin, end, out, &b);
        if (!j->out && !file_write_at(j->fd, b.piece, header + (end - begin), start)) j->failed = true;
        packed = out;
    }
    if (!j->out) j->hashes[index] = XXH3_64bits(packed, end - begin);
    atomic_fetch_add_explicit(&j->done, end - begin, memory_order_relaxed);
}

static void run_range(job *j, tile_range range, int thread)
{
    for (int64_t i = range.begin; i < range.end && !j->failed; i++) {
        run_piece(j, i, thread);
        if (thread == 0 && j->progress) j->progress(j->context, j->done, program_fixed_bytes(j->p, AREA_WEIGHTS));
    }
}

static void run_share(void *context, int thread)
{
    job *j = context;
    if (!j->pool) {
        run_range(j, (tile_range){0, j->n_pieces}, 0);
        return;
    }
    tile_range range;
    while (range = work_take(j->pool, 0, thread, j->n_pieces, 1), range.begin < range.end) run_range(j, range, thread);
}

// Runs all pieces; the hash over all their hashes. Without memory for sharing them one thread does it all.
static uint64_t job_run(job *j)
{
    thread_pool *pool = j->pool;
    if (pool) thread_pool_take_turn(pool);
    if (pool && !work_begin(pool, 1)) j->pool = NULL;
    if (j->pool)
        thread_pool_run(j->pool, run_share, j);
    else
        run_share(j, 0);
    if (pool) thread_pool_end_turn(pool);
    size_t all = program_fixed_bytes(j->p, AREA_WEIGHTS);
    if (j->progress && !j->failed) j->progress(j->context, all, all);
    return XXH3_64bits(j->hashes, (size_t)j->n_pieces * sizeof *j->hashes);
}

static wf_status find_sources(job *j, wf_error *err)
{
    j->sources = calloc((size_t)j->p->n_weights + 1, sizeof *j->sources);
    if (!j->sources) return error_memory(err, j->p->n_weights * sizeof *j->sources);
    for (uint32_t i = 0; i < j->p->n_weights; i++)
        TRY(find_source(j->file, &j->p->weights[i], NULL, &j->sources[i], err));
    return WF_OK;
}

// Packs everything as j says. Sources first: once they are there, the table of hashes is small beside the checkpoint.
static wf_status job_pack(job *j, uint64_t *hash, wf_error *err)
{
    wf_status status;
    TRY_GOTO(find_sources(j, err), done);
    TRY_GOTO(job_start(j, err), done);
    *hash = job_run(j);
done:
    job_free(j);
    return status;
}

wf_status pack_build(const checkpoint *file, const program *p, thread_pool *pool,
                     void (*progress)(void *, size_t, size_t), void *context, unsigned char *out, wf_error *err)
{
    job j = {.p = p, .file = file, .out = out, .fd = -1, .pool = pool, .progress = progress, .context = context};
    uint64_t hash;
    TRY(program_check(p, err));
    return job_pack(&j, &hash, err);
}

// ---- the cache

bool pack_checksum(const program *p, thread_pool *pool, const unsigned char *data, uint64_t *hash)
{
    job j = {.p = p, .data = data, .fd = -1, .pool = pool};
    bool good = job_start(&j, NULL) == WF_OK;
    if (good) *hash = job_run(&j);
    job_free(&j);
    return good;
}

bool pack_find(const program *p, const cache_id *id, thread_pool *pool, pack *out)
{
    cache_entry entry;
    uint64_t hash;
    *out = (pack){0};
    if (!cache_open(id, &entry)) return false;
    const unsigned char *data = (const unsigned char *)entry.payload.data;
    // The size first: another program's pieces must not be hashed.
    if (entry.payload.len != program_fixed_bytes(p, AREA_WEIGHTS) || !pack_checksum(p, pool, data, &hash) ||
        hash != entry.checksum) {
        cache_entry_close(&entry);
        return false;
    }
    *out = (pack){.data = data, .file = entry.map, .cached = true};
    return true;
}

// Packs into a draft. *out stays empty when the disk turns out to be full; only what is wrong with the checkpoint is an
// error.
static wf_status build_cached(job j, cache_draft *d, pack *out, wf_error *err)
{
    uint64_t hash = 0;
    j.fd = d->file.fd;
    TRY(job_pack(&j, &hash, err));
    if (j.failed) return WF_OK;
    bool kept = cache_draft_publish(d, hash);
    if (cache_draft_map(d, &out->file)) out->data = out->file.data + HEADER_BYTES, out->cached = kept;
    return WF_OK;
}

// Before a pack is held in memory: the cache has room for `disk` bytes (`cache`: if it is wanted there).
static wf_status check_memory(const checkpoint *file, bool cache, size_t disk, size_t bytes, wf_error *err)
{
    char folder[PATH_MAX];
    size_t memory = memory_available();
    if (memory >= bytes) return WF_OK;
    if (!cache || !cache_folder(folder, sizeof folder))
        return error_set(err, WF_ERROR_MEMORY, "%s: packing the weights needs %zu bytes of memory, %zu are available",
                         checkpoint_path(file), bytes, memory);
    return error_set(
        err, WF_ERROR_MEMORY,
        "%s: packing the weights needs %zu bytes in the folder %s, which has room for %zu, or of memory, of "
        "which %zu are available",
        checkpoint_path(file), bytes, folder, disk, memory);
}

static void *map_memory(size_t map_bytes)
{
    void *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return NULL;
    madvise(map, map_bytes, MADV_HUGEPAGE);
    return map;
}

static wf_status build_in_memory(job j, size_t map_bytes, pack *out, wf_error *err)
{
    uint64_t hash;
    void *map = map_memory(map_bytes);
    if (!map) return error_memory(err, map_bytes);
    j.out = (unsigned char *)map + HEADER_BYTES;
    wf_status status = job_pack(&j, &hash, err);
    if (status != WF_OK) {
        munmap(map, map_bytes);
        return status;
    }
    mprotect(map, map_bytes, PROT_READ);
    *out = (pack){.data = j.out, .memory = map, .memory_bytes = map_bytes};
    return WF_OK;
}

wf_status pack_open(const checkpoint *file, const program *p, const cache_id *id, thread_pool *pool,
                    void (*progress)(void *, size_t, size_t), void *context, pack *out, wf_error *err)
{
    const job j = {.p = p, .file = file, .fd = -1, .pool = pool, .progress = progress, .context = context};
    size_t weights_bytes, map_bytes;
    cache_draft d = {0};
    *out = (pack){0};
    TRY(program_check(p, err));
    weights_bytes = program_fixed_bytes(p, AREA_WEIGHTS);
    if (!checked_add(weights_bytes, HEADER_BYTES, &map_bytes) || map_bytes > INT64_MAX)
        return error_memory(err, weights_bytes);
    if (id && pack_find(p, id, pool, out)) return WF_OK;
    if (id && cache_draft_open(id, weights_bytes, &d)) {
        wf_status status = build_cached(j, &d, out, err);
        cache_draft_close(&d);
        if (status != WF_OK || out->data) return status;
    }
    TRY(check_memory(file, id != NULL, d.room, map_bytes, err));
    return build_in_memory(j, map_bytes, out, err);
}

wf_status pack_lend(view bytes, uint64_t checksum, const program *p, const char *name, thread_pool *pool, pack *out,
                    wf_error *err)
{
    uint64_t found;
    *out = (pack){0};
    if (bytes.len != program_fixed_bytes(p, AREA_WEIGHTS))
        return error_set(err, WF_ERROR_FORMAT, "%s: %zu bytes of packed weights, the program wants %zu", name,
                         bytes.len, program_fixed_bytes(p, AREA_WEIGHTS));
    const unsigned char *data = (const unsigned char *)bytes.data;
    if (!pack_checksum(p, pool, data, &found)) return error_memory(err, bytes.len / PIECE_BYTES);
    if (found != checksum) return error_set(err, WF_ERROR_FORMAT, "%s: wrong checksum of the packed weights", name);
    *out = (pack){.data = data, .cached = true};
    return WF_OK;
}

// Makes the pack memory of its own, to be written to.
static wf_status own_memory(const program *p, pack *k, wf_error *err)
{
    size_t bytes = program_fixed_bytes(p, AREA_WEIGHTS), map_bytes = bytes + HEADER_BYTES; // as it was mapped
    void *map = map_memory(map_bytes);
    if (!map) return error_memory(err, map_bytes);
    unsigned char *data = (unsigned char *)map + HEADER_BYTES;
    memcpy(data, k->data, bytes);
    pack_close(k);
    *k = (pack){.data = data, .memory = map, .memory_bytes = map_bytes};
    return WF_OK;
}

wf_status pack_renew(const checkpoint *file, const program *p, const char *source, pack *k, wf_error *err)
{
    wf_status status = WF_OK;
    bool mine = k->memory != NULL;
    for (uint32_t i = 0; i < p->n_weights && status == WF_OK; i++) {
        const program_weight *w = &p->weights[i];
        bool has = false;
        for (uint32_t s = 0; s < w->n_sources; s++) has = has || !strcmp(w->sources[s], source);
        if (!has) continue;
        if (!k->memory) TRY(own_memory(p, k, err));
        if (mine && mprotect(k->memory, k->memory_bytes, PROT_READ | PROT_WRITE)) return error_memory(err, 0);
        status = pack_sources(file, w, source, (unsigned char *)k->memory + HEADER_BYTES + w->offset, err);
    }
    if (k->memory) mprotect(k->memory, k->memory_bytes, PROT_READ);
    return status;
}

void pack_close(pack *p)
{
    file_map_close(&p->file);
    if (p->memory) munmap(p->memory, p->memory_bytes);
    *p = (pack){0};
}
