#include "format/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/versions.h"
#include "format/gguf.h"

enum {
    AT_CHECKSUM = 8,
    AT_BYTES = 16,
    AT_COUNT = 24,
    AT_TABLE = 32,
    ENTRY_BYTES = 128,
    // of an entry
    AT_KIND = 0,
    AT_FUNCTION = 4,
    AT_OFFSET = 8,
    AT_LENGTH = 16,
    AT_SUM = 24,
    AT_SETS = 32,
    AT_CPU = 40,
    AT_PACK = AT_CPU + BUNDLE_CPU_CHARS,
    // Packs begin one header behind a multiple of a huge page, as in the cache: their pieces are huge pages then.
    PIECE_BYTES = 2 * 1024 * 1024,
};

// ---- reading

static wf_status refuse(const char *path, const char *reason, wf_error *err)
{
    return error_set(err, WF_ERROR_FORMAT, "%s: %s", path, reason);
}

// Name of a CPU type: printable and short, zeros behind it.
static bool is_name(const unsigned char *name)
{
    size_t n = strnlen((const char *)name, BUNDLE_CPU_CHARS);
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~') return false;
    return n < BUNDLE_CPU_CHARS;
}

static bool is_summed(bundle_kind kind) { return kind == BUNDLE_METADATA || kind == BUNDLE_FUNCTIONS; }

// `end`: of the section before; it becomes that of this one.
static wf_status read_section(view file, const unsigned char *entry, const char *path, size_t *end, bundle_section *s,
                              wf_error *err)
{
    uint64_t offset = load_u64(entry + AT_OFFSET), bytes = load_u64(entry + AT_LENGTH);
    uint32_t kind = load_u32(entry + AT_KIND);
    if (kind < BUNDLE_METADATA || kind >= BUNDLE_KIND_COUNT)
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: a section of unknown kind %" PRIu32, path, kind);
    if (offset % BUNDLE_ALIGNMENT || offset < *end || offset > file.len || bytes > file.len - offset)
        return error_set(err, WF_ERROR_FORMAT,
                         "%s: a section of %" PRIu64 " bytes at offset %" PRIu64 " does not fit into the file", path,
                         bytes, offset);
    if (!is_name(entry + AT_CPU)) return refuse(path, "a section's CPU has no printable name", err);
    *s = (bundle_section){.kind = (bundle_kind)kind,
                          .bytes = {file.data + offset, bytes},
                          .checksum = load_u64(entry + AT_SUM),
                          .cpu_sets = load_u64(entry + AT_SETS),
                          .function = load_u32(entry + AT_FUNCTION),
                          .pack = load_u32(entry + AT_PACK),
                          .cpu = (const char *)entry + AT_CPU};
    *end = offset + bytes;
    if (is_summed(s->kind) && s->checksum != XXH3_64bits(s->bytes.data, bytes))
        return refuse(path, "wrong checksum of the metadata", err);
    return WF_OK;
}

// Names of functions, and programs of these.
static bool functions_fit(const bundle *b, int n_tables)
{
    const bundle_section *table = bundle_find(b, BUNDLE_FUNCTIONS);
    uint32_t n = 1;
    if (n_tables > 1 || (table && bundle_find(b, BUNDLE_METADATA))) return false;
    if (table && (!table->bytes.len || table->bytes.data[table->bytes.len - 1])) return false;
    if (table) n = 0;
    for (size_t i = 0; table && i < table->bytes.len; i++) n += !table->bytes.data[i];
    if (n > BUNDLE_MAX_SECTIONS) return false;
    uint64_t seen = 0; // a bit a function that has a program
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const bundle_section *s = &b->sections[i];
        if (s->function >= n || (s->function && s->kind != BUNDLE_PROGRAM)) return false;
        if (s->kind == BUNDLE_PROGRAM) seen |= UINT64_C(1) << s->function;
    }
    return seen == (UINT64_C(1) << n) - 1;
}

// Of a model there is one pack at most, which is not counted; of functions each is read by a program behind it.
static bool packs_fit(const bundle *b)
{
    bool model = bundle_find(b, BUNDLE_METADATA);
    uint32_t n = 0;
    uint64_t seen = 0; // a bit a pack that a program reads
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const bundle_section *s = &b->sections[i];
        n += s->kind == BUNDLE_PACK;
        if (s->pack > (model || s->kind != BUNDLE_PROGRAM ? 0 : n)) return false;
        if (s->pack) seen |= UINT64_C(1) << (s->pack - 1);
    }
    return model ? n <= 1 : seen == (UINT64_C(1) << n) - 1;
}

static wf_status check_kinds(const bundle *b, wf_error *err)
{
    int counts[BUNDLE_KIND_COUNT] = {0};
    for (uint32_t i = 0; i < b->n_sections; i++) counts[b->sections[i].kind]++;
    if (!counts[BUNDLE_PROGRAM]) return refuse(b->path, "it holds no program", err);
    if (counts[BUNDLE_METADATA] > 1 || !packs_fit(b)) return refuse(b->path, "its sections do not fit together", err);
    return functions_fit(b, counts[BUNDLE_FUNCTIONS]) ? WF_OK : refuse(b->path, "its functions make no sense", err);
}

wf_status bundle_parse(view file, const char *name, bundle *b, wf_error *err)
{
    const unsigned char *data = (const unsigned char *)file.data;
    *b = (bundle){.path = name};
    if (file.len < MAGIC_BYTES || memcmp(data, BUNDLE_MAGIC, MAGIC_BYTES))
        return refuse(name, "not a .wf file (magic WFFILE01 missing)", err);
    if (file.len < BUNDLE_ALIGNMENT) return refuse(name, "the file ends inside its header", err);
    if (load_u64(data + AT_CHECKSUM) != XXH3_64bits(data + AT_BYTES, BUNDLE_ALIGNMENT - AT_BYTES))
        return refuse(name, "wrong checksum of the header", err);
    if (load_u64(data + AT_BYTES) != file.len)
        return error_set(err, WF_ERROR_FORMAT, "%s: %zu bytes, its header says %" PRIu64, name, file.len,
                         load_u64(data + AT_BYTES));
    uint64_t n = load_u64(data + AT_COUNT);
    if (n > BUNDLE_MAX_SECTIONS) return refuse(name, "more sections than the header has room for", err);
    size_t end = BUNDLE_ALIGNMENT;
    for (uint64_t i = 0; i < n; i++, b->n_sections++)
        TRY(read_section(file, data + AT_TABLE + i * ENTRY_BYTES, name, &end, &b->sections[i], err));
    return check_kinds(b, err);
}

bool bundle_is(const char *path)
{
    char magic[MAGIC_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    bool is = read(fd, magic, sizeof magic) == sizeof magic && !memcmp(magic, BUNDLE_MAGIC, MAGIC_BYTES);
    close(fd);
    return is;
}

wf_status bundle_open(const char *path, bundle *b, wf_error *err)
{
    file_map map;
    *b = (bundle){.path = path};
    TRY(file_map_open(path, &map, err));
    wf_status status = bundle_parse((view){(const char *)map.data, map.bytes}, path, b, err);
    b->map = map;
    if (status != WF_OK) bundle_close(b);
    return status;
}

void bundle_close(bundle *b)
{
    file_map_close(&b->map);
    *b = (bundle){0};
}

const bundle_section *bundle_find(const bundle *b, bundle_kind kind)
{
    for (uint32_t i = 0; i < b->n_sections; i++)
        if (b->sections[i].kind == kind) return &b->sections[i];
    return NULL;
}

const bundle_section *bundle_find_pack(const bundle *b, const bundle_section *program)
{
    uint32_t n = program->pack;
    for (uint32_t i = 0; i < b->n_sections && n; i++)
        if (b->sections[i].kind == BUNDLE_PACK && --n == 0) return &b->sections[i];
    return NULL;
}

const char *bundle_function(const bundle *b, uint32_t i)
{
    const bundle_section *table = bundle_find(b, BUNDLE_FUNCTIONS);
    view rest = table ? table->bytes : (view){0};
    while (rest.len && i--) {
        size_t n = strlen(rest.data) + 1; // the last byte is zero
        rest = (view){rest.data + n, rest.len - n};
    }
    return rest.len ? rest.data : NULL;
}

wf_status bundle_checkpoint(bundle *b, bool take, checkpoint **file, wf_error *err)
{
    const bundle_section *metadata = bundle_find(b, BUNDLE_METADATA);
    *file = NULL;
    if (!metadata)
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: a function on arrays, no model: `welford exec` takes it",
                         b->path);
    TRY(gguf_parse_header((const unsigned char *)metadata->bytes.data, metadata->bytes.len, b->path, file, err));
    if (!take) return WF_OK;
    wf_status status = checkpoint_take_map(*file, &b->map, err); // which closes it on failure
    *b = (bundle){0};
    if (status == WF_OK) return WF_OK;
    checkpoint_close(*file);
    *file = NULL;
    return status;
}

// ---- writing

static wf_status fail_writing(const bundle_writer *w, wf_error *err)
{
    return error_set(err, WF_ERROR_IO, "%s: %s", w->name, strerror(errno));
}

// Piece by piece: the file system then keeps each in one folio where it can.
static bool write_at(int fd, view data, uint64_t at)
{
    while (data.len) {
        size_t piece = PIECE_BYTES - at % PIECE_BYTES;
        ssize_t n = pwrite(fd, data.data, data.len < piece ? data.len : piece, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data = (view){data.data + n, data.len - (size_t)n};
        at += (uint64_t)n;
    }
    return true;
}

wf_status bundle_create(const char *path, bundle_writer *w, wf_error *err)
{
    struct stat st;
    *w = (bundle_writer){.name = path, .file = {.fd = -1}, .end = BUNDLE_ALIGNMENT};
    bool exists = realpath(path, w->path);
    if (exists && (stat(path, &st) || !S_ISREG(st.st_mode)))
        return error_set(err, WF_ERROR_IO, "%s: not a regular file", path);
    if (!exists && snprintf(w->path, sizeof w->path, "%s", path) >= (int)sizeof w->path)
        return error_set(err, WF_ERROR_IO, "%s: the path is too long", path);
    return draft_open(AT_FDCWD, w->path, 0666, &w->file) ? WF_OK : fail_writing(w, err);
}

static uint64_t next_place(const bundle_writer *w, const bundle_section *s)
{
    uint64_t at = (w->end + BUNDLE_ALIGNMENT - 1) / BUNDLE_ALIGNMENT * BUNDLE_ALIGNMENT; // a file's end: no overflow
    if (s->kind != BUNDLE_PACK || s->bytes.len < PIECE_BYTES || at % PIECE_BYTES == BUNDLE_ALIGNMENT) return at;
    return (at + PIECE_BYTES - BUNDLE_ALIGNMENT - 1) / PIECE_BYTES * PIECE_BYTES + BUNDLE_ALIGNMENT;
}

wf_status bundle_add(bundle_writer *w, const bundle_section *s, wf_error *err)
{
    uint64_t at = next_place(w, s);
    if (w->n_sections == BUNDLE_MAX_SECTIONS)
        return error_set(err, WF_ERROR_USAGE, "%s: a .wf file has %d sections at most", w->name, BUNDLE_MAX_SECTIONS);
    if (!write_at(w->file.fd, s->bytes, at)) return fail_writing(w, err);
    unsigned char *entry = w->header + AT_TABLE + w->n_sections++ * ENTRY_BYTES;
    entry[AT_KIND] = (unsigned char)s->kind;
    entry[AT_FUNCTION] = (unsigned char)s->function; // below BUNDLE_MAX_SECTIONS
    entry[AT_PACK] = (unsigned char)s->pack;         // too
    store_u64(entry + AT_OFFSET, at);
    store_u64(entry + AT_LENGTH, s->bytes.len);
    store_u64(entry + AT_SUM, is_summed(s->kind) ? XXH3_64bits(s->bytes.data, s->bytes.len) : s->checksum);
    store_u64(entry + AT_SETS, s->cpu_sets);
    if (s->cpu) memcpy(entry + AT_CPU, s->cpu, strnlen(s->cpu, BUNDLE_CPU_CHARS - 1));
    w->end = at + s->bytes.len;
    return WF_OK;
}

wf_status bundle_finish(bundle_writer *w, wf_error *err)
{
    memcpy(w->header, BUNDLE_MAGIC, MAGIC_BYTES);
    store_u64(w->header + AT_BYTES, w->end);
    store_u64(w->header + AT_COUNT, w->n_sections);
    store_u64(w->header + AT_CHECKSUM, XXH3_64bits(w->header + AT_BYTES, BUNDLE_ALIGNMENT - AT_BYTES));
    // An empty section at the end has written nothing.
    if (ftruncate(w->file.fd, (off_t)w->end) ||
        !write_at(w->file.fd, (view){(const char *)w->header, sizeof w->header}, 0) ||
        !draft_publish(&w->file, w->path))
        return fail_writing(w, err);
    return WF_OK;
}

void bundle_abandon(bundle_writer *w) { draft_close(&w->file); }
