// Packing and the pack's cache file.
//
// The pack is cut into pieces: runs of panels of one weight, about PIECE_BYTES each, in the order in which they lie.
// Packing is "pack every piece", checking a cached pack is "hash every piece"; both hand pieces to all threads, each of
// which starts with a contiguous share of its own.
//
// The cache file, little endian:
//
//     0     magic "WFPACK01"
//     8     key: 32 hex digits
//     40    u64 weights_bytes
//     48    u64 XXH3-64 over the XXH3-64 of every piece
//     56    u64 complete: 1
//     64    u64 XXH3-64 of bytes 0..63
//     72    zeros to 4096, then the pack
//
// A file is written under a temporary name beside its own and renamed when it is complete, so that two processes do no
// harm to each other. Nothing is synced to the disk: after a power failure a renamed file may hold zeros, which is what
// the pieces' hashes are for (they cost what reading the pack once costs, and every page is mapped by it).
//
// Memory: the cache file's own pages are the pack. Pages of the checkpoint are let go piece by piece while it is
// packed, so that a model is not counted twice.
#define _GNU_SOURCE
#include "runtime/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/checked.h"
#include "runtime/pack_convert.h"
#include "runtime/pack_panel.h"

enum {
    HEADER_BYTES = 4096,
    KEY_CHARS = 32,
    AT_KEY = 8,
    AT_BYTES = 40,
    AT_HASH = 48,
    AT_COMPLETE = 56,
    AT_CHECKSUM = 64,
    PIECE_BYTES = 512 * 1024,       // half of a small L2, so that a piece is hashed from the cache
    FAULT_AROUND_BYTES = 64 * 1024, // what the kernel maps around one page fault
};

static const char MAGIC[8] = {'W', 'F', 'P', 'A', 'C', 'K', '0', '1'};

// ---- one weight

// A weight's tensors, found and checked.
typedef struct weight_source {
    const plan_weight *weight;
    size_t panel_bytes;                          // of the pack
    const unsigned char *data[PLAN_MAX_SOURCES]; // of the checkpoint
    size_t row_bytes[PLAN_MAX_SOURCES];
    int64_t n_panels;
} weight_source;

static wf_status check_tensor(const checkpoint *file, const plan_weight *w, uint32_t s, const checkpoint_tensor *t,
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
    if (!panel_takes(w->layout, t->type) && !panel_converts(w->layout, t->type))
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: tensor '%s' of type %s cannot be packed as %s", path, name,
                         layout->name, layout_name(w->layout));
    int64_t rows = t->dims[1] * t->dims[2] * t->dims[3]; // gguf_open checked that the product fits
    // Vectors that lie behind each other are cut into rows of a length that divides all of theirs.
    int64_t divisor = w->layout == LAYOUT_VECTOR_F32 && rows == 1 ? w->rows[s] : 1;
    if (w->rows[s] % divisor || t->dims[0] % divisor || t->dims[0] / divisor != w->cols || rows != w->rows[s] / divisor)
        return error_set(err, WF_ERROR_FORMAT,
                         "%s: tensor '%s' is [%" PRId64 ", %" PRId64 "], but the program was compiled for [%" PRId64
                         ", %" PRId64 "]",
                         path, name, rows, t->dims[0], w->rows[s], w->cols);
    return WF_OK;
}

static wf_status find_source(const checkpoint *file, const plan_weight *w, weight_source *source, wf_error *err)
{
    size_t bytes;
    *source = (weight_source){.weight = w};
    if (w->n_sources < 1 || w->n_sources > PLAN_MAX_SOURCES || !plan_weight_bytes(w, &bytes) || bytes != w->bytes ||
        !layout_panel_bytes(w->layout, w->cols, &source->panel_bytes))
        return error_set(err, WF_ERROR_FORMAT, "%s: the plan's sizes for tensor '%s' do not fit together",
                         checkpoint_path(file), w->n_sources ? w->sources[0] : "");
    if (w->interleave && (w->n_sources != 2 || plan_source_panels(w, 0) != plan_source_panels(w, 1)))
        return error_set(err, WF_ERROR_FORMAT, "%s: tensor '%s' cannot be interleaved with another of its size",
                         checkpoint_path(file), w->sources[0]);
    for (uint32_t s = 0; s < w->n_sources; s++) {
        const checkpoint_tensor *t = checkpoint_find_tensor(file, w->sources[s]);
        TRY(check_tensor(file, w, s, t, err));
        source->data[s] = t->data;
        source->row_bytes[s] = t->bytes / (size_t)w->rows[s];
        source->n_panels += plan_source_panels(w, s);
    }
    return WF_OK;
}

// Which source, and which of its panels, panel `index` of the weight is.
static uint32_t locate_panel(const plan_weight *w, int64_t index, int64_t *panel)
{
    if (w->interleave) {
        *panel = index / w->n_sources;
        return (uint32_t)(index % w->n_sources);
    }
    uint32_t s = 0;
    for (; s + 1 < w->n_sources && index >= plan_source_panels(w, s); s++) index -= plan_source_panels(w, s);
    *panel = index;
    return s;
}

// Packs panels [begin, end) to `out`, where panel `begin` goes.
static void pack_panels(const weight_source *source, int64_t begin, int64_t end, unsigned char *out)
{
    const plan_weight *w = source->weight;
    for (int64_t index = begin; index < end; index++) {
        int64_t panel;
        uint32_t s = locate_panel(w, index, &panel);
        unsigned char *to = out + (size_t)(index - begin) * source->panel_bytes;
        if (w->layout == LAYOUT_VECTOR_F32) {
            panel_pack_vector((tensor_type)w->types[s], source->data[s] + (size_t)panel * source->row_bytes[s], w->cols,
                              w->plus_one, to);
            continue;
        }
        int64_t row = panel * PANEL_ROWS, n_rows = w->rows[s] - row < PANEL_ROWS ? w->rows[s] - row : PANEL_ROWS;
        const unsigned char *rows = source->data[s] + (size_t)row * source->row_bytes[s];
        tensor_type type = (tensor_type)w->types[s];
        if (panel_takes(w->layout, type))
            panel_pack(w->layout, rows, source->row_bytes[s], (size_t)n_rows, w->cols, to);
        else
            panel_pack_converted(w->layout, type, rows, source->row_bytes[s], (size_t)n_rows, w->cols, to);
    }
}

wf_status pack_weight(const checkpoint *file, const plan_weight *weight, unsigned char *out, wf_error *err)
{
    weight_source source;
    TRY(find_source(file, weight, &source, err));
    pack_panels(&source, 0, source.n_panels, out);
    return WF_OK;
}

// ---- letting go of the checkpoint's pages

// Bytes [begin, end) of the mapped file have been packed. Both ends are rounded down to the step in which the kernel
// maps pages around a fault: the next piece, which begins in the last step, would otherwise map what was just let go.
static void release_bytes(const checkpoint *file, const unsigned char *begin, const unsigned char *end)
{
    uintptr_t from = (uintptr_t)begin / FAULT_AROUND_BYTES * FAULT_AROUND_BYTES;
    uintptr_t to = (uintptr_t)end / FAULT_AROUND_BYTES * FAULT_AROUND_BYTES, map = 0;
    for (size_t i = 0; i < checkpoint_part_count(file); i++) { // the map that holds them begins last before them
        uintptr_t part = (uintptr_t)checkpoint_part(file, i).data;
        if (part <= (uintptr_t)begin && part > map) map = part;
    }
    if (from < map) from = map;
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
}

// Panels [begin, end) of a weight have been packed. Only a file's own map may be let go, for memory that gguf_parse was
// given would be lost; that one has no time of modification.
static void release_panels(const checkpoint *file, const weight_source *source, int64_t begin, int64_t end)
{
    const plan_weight *w = source->weight;
    if (!checkpoint_mtime_ns(file) || w->layout == LAYOUT_VECTOR_F32) return;
    int64_t before = 0; // panels of earlier sources
    for (uint32_t s = 0; s < w->n_sources; s++) {
        int64_t n = plan_source_panels(w, s);
        int64_t first = w->interleave ? begin / w->n_sources : begin - before;
        int64_t last = w->interleave ? end / w->n_sources : end - before;
        first = first < 0 ? 0 : first;
        last = last > n ? n : last;
        before += n;
        if (first >= last) continue;
        int64_t end_row = last * PANEL_ROWS < w->rows[s] ? last * PANEL_ROWS : w->rows[s];
        release_bytes(file, source->data[s] + (size_t)(first * PANEL_ROWS) * source->row_bytes[s],
                      source->data[s] + (size_t)end_row * source->row_bytes[s]);
    }
}

// ---- pieces, by all threads

typedef struct piece {
    uint32_t weight;
    int64_t begin, end; // panels
} piece;

typedef struct job {
    const plan *p;
    piece *pieces; // [n_pieces], owned
    int64_t n_pieces;
    uint64_t *hashes; // [n_pieces], owned
    // to pack; a job that only hashes has no file
    const checkpoint *file;
    weight_source *sources;    // [p->n_weights], owned
    unsigned char *out;        // the pack in memory; NULL: it goes to `fd`
    int fd;                    // of the cache file
    const unsigned char *data; // a job that only hashes: the pack
    thread_pool *pool;         // NULL: the calling thread alone
    void (*progress)(void *, size_t, size_t);
    void *context;
    _Atomic size_t done; // bytes
    _Atomic bool failed; // the cache file could not be written
} job;

static size_t weight_panel_bytes(const plan_weight *w)
{
    size_t bytes = 0;
    layout_panel_bytes(w->layout, w->cols, &bytes); // fits: plan_check has been here
    return bytes;
}

static int64_t weight_panels(const plan_weight *w)
{
    int64_t n = 0;
    for (uint32_t s = 0; s < w->n_sources; s++) n += plan_source_panels(w, s);
    return n;
}

static int64_t piece_panels(const plan_weight *w)
{
    size_t n = PIECE_BYTES / weight_panel_bytes(w);
    return n ? (int64_t)n : 1;
}

static wf_status job_start(job *j, wf_error *err)
{
    const plan *p = j->p;
    int64_t n = 0;
    for (uint32_t i = 0; i < p->n_weights; i++) {
        int64_t panels = weight_panels(&p->weights[i]), step = piece_panels(&p->weights[i]);
        n += panels / step + (panels % step > 0);
    }
    // A piece has 64 bytes of the pack or more, alignment included, so these tables are smaller than the pack.
    j->n_pieces = n;
    j->pieces = calloc((size_t)n + 1, sizeof *j->pieces);
    j->hashes = calloc((size_t)n + 1, sizeof *j->hashes);
    if (!j->pieces || !j->hashes) return error_memory(err, (size_t)n * sizeof *j->pieces);
    n = 0;
    for (uint32_t i = 0; i < p->n_weights; i++) {
        int64_t panels = weight_panels(&p->weights[i]), step = piece_panels(&p->weights[i]);
        for (int64_t begin = 0; begin < panels && n < j->n_pieces; begin += step)
            j->pieces[n++] = (piece){i, begin, panels - begin < step ? panels : begin + step};
    }
    return WF_OK;
}

static void job_free(job *j)
{
    free(j->pieces);
    free(j->hashes);
    free(j->sources);
}

static bool write_all(int fd, const unsigned char *data, size_t bytes, size_t at)
{
    while (bytes) {
        ssize_t n = pwrite(fd, data, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data += n, bytes -= (size_t)n, at += (size_t)n;
    }
    return true;
}

// `scratch` holds a piece on its way to the file.
static void run_piece(job *j, int64_t index, unsigned char *scratch)
{
    const piece *part = &j->pieces[index];
    const plan_weight *w = &j->p->weights[part->weight];
    size_t panel_bytes = weight_panel_bytes(w), begin = w->offset + (size_t)part->begin * panel_bytes;
    size_t bytes = (size_t)(part->end - part->begin) * panel_bytes;
    if (j->file) {
        const weight_source *source = &j->sources[part->weight];
        pack_panels(source, part->begin, part->end, j->out ? j->out + begin : scratch);
        release_panels(j->file, source, part->begin, part->end);
    }
    if (!j->out) j->hashes[index] = XXH3_64bits(j->data ? j->data + begin : scratch, bytes);
    if (scratch && !write_all(j->fd, scratch, bytes, HEADER_BYTES + begin)) j->failed = true;
    atomic_fetch_add_explicit(&j->done, bytes, memory_order_relaxed);
}

static size_t largest_piece(const job *j)
{
    size_t largest = 1;
    for (int64_t i = 0; i < j->n_pieces; i++) {
        size_t bytes =
            (size_t)(j->pieces[i].end - j->pieces[i].begin) * weight_panel_bytes(&j->p->weights[j->pieces[i].weight]);
        if (bytes > largest) largest = bytes;
    }
    return largest;
}

static void run_range(job *j, tile_range range, unsigned char *scratch, bool reports)
{
    for (int64_t i = range.begin; i < range.end && !j->failed; i++) {
        run_piece(j, i, scratch);
        if (reports && j->progress) j->progress(j->context, j->done, j->p->weights_bytes);
    }
}

static void run_share(void *context, int thread)
{
    job *j = context;
    bool to_file = j->file && !j->out;
    unsigned char *scratch = to_file ? malloc(largest_piece(j)) : NULL;
    if (to_file && !scratch) {
        j->failed = true;
    } else if (!j->pool) {
        run_range(j, (tile_range){0, j->n_pieces}, scratch, true);
    } else {
        tile_queue *queue = thread_pool_queue(j->pool, 0);
        tile_range range;
        while (range = tiles_take(queue, thread), range.begin < range.end) run_range(j, range, scratch, thread == 0);
    }
    free(scratch);
}

// Runs all pieces; the hash over all their hashes.
static uint64_t job_run(job *j)
{
    if (j->pool) {
        tiles_reset(thread_pool_queue(j->pool, 0), thread_pool_size(j->pool), j->n_pieces, 1);
        thread_pool_run(j->pool, run_share, j);
    } else {
        run_share(j, 0);
    }
    if (j->progress && !j->failed) j->progress(j->context, j->p->weights_bytes, j->p->weights_bytes);
    return XXH3_64bits(j->hashes, (size_t)j->n_pieces * sizeof *j->hashes);
}

static wf_status find_sources(job *j, wf_error *err)
{
    j->sources = calloc((size_t)j->p->n_weights + 1, sizeof *j->sources);
    if (!j->sources) return error_memory(err, j->p->n_weights * sizeof *j->sources);
    for (uint32_t i = 0; i < j->p->n_weights; i++) TRY(find_source(j->file, &j->p->weights[i], &j->sources[i], err));
    return WF_OK;
}

// Packs everything as j says. Sources first: once they are there, the tables of pieces are small beside the checkpoint.
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

wf_status pack_build(const checkpoint *file, const plan *p, thread_pool *pool, void (*progress)(void *, size_t, size_t),
                     void *context, unsigned char *out, wf_error *err)
{
    job j = {.p = p, .file = file, .out = out, .fd = -1, .pool = pool, .progress = progress, .context = context};
    uint64_t hash;
    TRY(plan_check(p, err));
    return job_pack(&j, &hash, err);
}

// ---- the cache file

static void store_u64(unsigned char *p, uint64_t value)
{
    for (int i = 0; i < 8; i++) p[i] = (unsigned char)(value >> (8 * i) & 255);
}

static void fill_header(unsigned char *header, const char *key, size_t weights_bytes, uint64_t hash)
{
    memset(header, 0, HEADER_BYTES);
    memcpy(header, MAGIC, sizeof MAGIC);
    memcpy(header + AT_KEY, key, KEY_CHARS);
    store_u64(header + AT_BYTES, weights_bytes);
    store_u64(header + AT_HASH, hash);
    store_u64(header + AT_COMPLETE, 1);
    store_u64(header + AT_CHECKSUM, XXH3_64bits(header, AT_CHECKSUM));
}

static bool hash_pack(const plan *p, thread_pool *pool, const unsigned char *data, uint64_t *hash)
{
    job j = {.p = p, .data = data, .fd = -1, .pool = pool};
    bool good = job_start(&j, NULL) == WF_OK;
    if (good) *hash = job_run(&j);
    job_free(&j);
    return good;
}

static bool is_whole(const plan *p, const char *key, thread_pool *pool, const unsigned char *map)
{
    unsigned char wanted[HEADER_BYTES];
    uint64_t hash;
    fill_header(wanted, key, p->weights_bytes, 0);
    // Magic, key and size first: another plan's pieces must not be hashed.
    if (memcmp(map, wanted, AT_HASH) || !hash_pack(p, pool, map + HEADER_BYTES, &hash)) return false;
    fill_header(wanted, key, p->weights_bytes, hash);
    return !memcmp(map, wanted, HEADER_BYTES);
}

// Maps a good cache file; false: there is none.
static bool map_cached(const char *path, const char *key, const plan *p, size_t map_bytes, thread_pool *pool, pack *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0) return false;
    void *map = MAP_FAILED;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size >= 0 && (size_t)st.st_size == map_bytes)
        map = mmap(NULL, map_bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) return false;
    if (!is_whole(p, key, pool, map)) {
        munmap(map, map_bytes);
        return false;
    }
    *out = (pack){.data = (unsigned char *)map + HEADER_BYTES, .map = map, .map_bytes = map_bytes, .cached = true};
    return true;
}

// Packs into a new file beside `path` and renames it. *out stays empty when the folder cannot be used or is full; only
// what is wrong with the checkpoint is an error.
static wf_status build_cached(job j, const char *path, const char *key, size_t map_bytes, pack *out, wf_error *err)
{
    char temporary[PATH_MAX];
    unsigned char header[HEADER_BYTES];
    uint64_t hash = 0;
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || n >= PATH_MAX) return WF_OK;
    j.fd = mkostemp(temporary, O_CLOEXEC);
    if (j.fd < 0) return WF_OK;
    void *map = MAP_FAILED;
    wf_status status = job_pack(&j, &hash, err);
    if (status == WF_OK && !j.failed) {
        fill_header(header, key, j.p->weights_bytes, hash);
        // The pack may end with bytes that belong to no weight.
        if (write_all(j.fd, header, HEADER_BYTES, 0) && !ftruncate(j.fd, (off_t)map_bytes))
            map = mmap(NULL, map_bytes, PROT_READ, MAP_SHARED, j.fd, 0);
    }
    close(j.fd);
    bool kept = map != MAP_FAILED && !rename(temporary, path);
    if (!kept) unlink(temporary); // a map keeps its pages
    if (map != MAP_FAILED)
        *out = (pack){.data = (unsigned char *)map + HEADER_BYTES, .map = map, .map_bytes = map_bytes, .cached = kept};
    return status;
}

static wf_status build_in_memory(job j, size_t map_bytes, pack *out, wf_error *err)
{
    uint64_t hash;
    void *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return error_memory(err, map_bytes);
    madvise(map, map_bytes, MADV_HUGEPAGE);
    j.out = (unsigned char *)map + HEADER_BYTES;
    wf_status status = job_pack(&j, &hash, err);
    if (status != WF_OK) {
        munmap(map, map_bytes);
        return status;
    }
    mprotect(map, map_bytes, PROT_READ);
    *out = (pack){.data = j.out, .map = map, .map_bytes = map_bytes};
    return WF_OK;
}

wf_status pack_open(const checkpoint *file, const plan *p, const char *path, const char *key, thread_pool *pool,
                    void (*progress)(void *, size_t, size_t), void *context, pack *out, wf_error *err)
{
    const job j = {.p = p, .file = file, .fd = -1, .pool = pool, .progress = progress, .context = context};
    size_t map_bytes;
    *out = (pack){0};
    TRY(plan_check(p, err));
    if (path && (!key || strlen(key) != KEY_CHARS))
        return error_set(err, WF_ERROR_USAGE, "%s: a pack's key has 32 digits", path);
    if (!checked_add(p->weights_bytes, HEADER_BYTES, &map_bytes) || map_bytes > INT64_MAX)
        return error_memory(err, p->weights_bytes);
    if (path && map_cached(path, key, p, map_bytes, pool, out)) return WF_OK;
    if (path) TRY(build_cached(j, path, key, map_bytes, out, err));
    return out->map ? WF_OK : build_in_memory(j, map_bytes, out, err);
}

void pack_close(pack *p)
{
    if (p->map) munmap(p->map, p->map_bytes);
    *p = (pack){0};
}
