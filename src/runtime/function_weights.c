#include "runtime/function_weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "format/safetensors.h"
#include "runtime/cache/cache.h"
#include "runtime/cache/cache_list.h"
#include "runtime/pack/pack_key.h"
#include "runtime/program/constant_name.h"

enum { ALIGNMENT = 64 };

// A weight that was given.
typedef struct given {
    const unsigned char *data;
    size_t bytes;
    void *copy;                    // of lent data that lie askew; owned
    char content[CACHE_KEY_CHARS]; // what tells its values from others; empty: not known yet
    bool changed;                  // since it was given: its packs are no business of the cache
} given;

typedef struct params_file {
    file_map map;
    char *path;
} params_file;

// A pack, and the table that it was made by.
typedef struct kept_pack {
    buffer key;    // pack_key_append
    program table; // its weights alone
    pack pack;
} kept_pack;

struct function_weights {
    const char *name;
    bool cache, built;
    weight_argument *arguments; // [n_given]
    given *given;               // [n_given]
    uint32_t n_given;
    params_file *files;
    size_t n_files;
    kept_pack **packs;
    size_t n_packs;
    arena memory;
};

// ---- giving

wf_status function_weights_create(const char *name, bool cache, function_weights **out, wf_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return error_memory(err, sizeof **out);
    (*out)->name = name;
    (*out)->cache = cache;
    return WF_OK;
}

static void free_pack(kept_pack *k)
{
    pack_close(&k->pack);
    program_free(&k->table);
    buffer_free(&k->key);
    free(k);
}

void function_weights_free(function_weights *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->n_packs; i++) free_pack(w->packs[i]);
    for (uint32_t i = 0; i < w->n_given; i++) free(w->given[i].copy);
    for (size_t i = 0; i < w->n_files; i++) {
        file_map_close(&w->files[i].map);
        free(w->files[i].path);
    }
    free(w->packs);
    free(w->arguments);
    free(w->given);
    free(w->files);
    arena_free(&w->memory);
    free(w);
}

// Room for one more item at the end.
static bool grow(void *items, size_t n, size_t size)
{
    void *old, *more;
    memcpy(&old, items, sizeof old);
    more = realloc(old, (n + 1) * size);
    if (more) memcpy(items, &more, sizeof more);
    return more;
}

static uint32_t find_given(const function_weights *w, const char *name)
{
    uint32_t i = 0;
    while (i < w->n_given && strcmp(w->arguments[i].name, name)) i++;
    return i;
}

// "3" as "argument3"; others as they are.
static const char *full_name(const char *name, char text[32])
{
    size_t digits = strspn(name, "0123456789");
    if (!digits || name[digits] || digits > 9) return name;
    snprintf(text, 32, "argument%lu", strtoul(name, NULL, 10));
    return text;
}

static wf_status add(function_weights *w, const char *origin, const char *name, const array_shape *shape, bool lent,
                     const void *data, wf_error *err)
{
    char text[32];
    size_t bytes;
    name = full_name(name, text);
    if (is_constant_name(name) || !*name || strlen(name) > 255)
        return error_set(err, WF_ERROR_USAGE, "%s: a weight cannot be called '%.80s'", origin, name);
    if (find_given(w, name) < w->n_given)
        return error_set(err, WF_ERROR_USAGE, "%s: weight '%.80s' is given twice", origin, name);
    if (!array_shape_bytes(shape, &bytes) || (bytes && !data))
        return error_set(err, WF_ERROR_USAGE, "%s: weight '%.80s' has no data", origin, name);
    if (!bytes) return error_set(err, WF_ERROR_USAGE, "%s: weight '%.80s' has no elements", origin, name);
    const char *copy = arena_strdup(&w->memory, view_of(name));
    if (!copy || !grow(&w->arguments, w->n_given, sizeof *w->arguments) ||
        !grow(&w->given, w->n_given, sizeof *w->given))
        return error_memory(err, sizeof *w->given);
    w->arguments[w->n_given] = (weight_argument){.name = copy, .shape = *shape, .lent = lent};
    w->given[w->n_given++] = (given){.data = data, .bytes = bytes};
    return WF_OK;
}

static wf_status read_shape(const char *path, const safetensors_tensor *t, array_shape *shape, wf_error *err)
{
    static const struct {
        const char *dtype;
        array_type type;
    } TYPES[] = {{"F32", ARRAY_F32}, {"F64", ARRAY_F64}, {"F16", ARRAY_F16}, {"BF16", ARRAY_BF16}, {"BOOL", ARRAY_BOOL},
                 {"I8", ARRAY_I8},   {"I16", ARRAY_I16}, {"I32", ARRAY_I32}, {"I64", ARRAY_I64}};
    size_t i = 0, n = sizeof TYPES / sizeof *TYPES;
    while (i < n && strcmp(TYPES[i].dtype, t->dtype)) i++;
    if (i == n)
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: tensor '%.80s' is of %.20s, which no function takes", path,
                         t->name, t->dtype);
    *shape = (array_shape){.type = TYPES[i].type, .n_dims = t->n_dims};
    memcpy(shape->dims, t->dims, t->n_dims * sizeof *t->dims);
    return WF_OK;
}

// Of the file, from what is at hand: header, size, time of modification, a sample of the data.
static bool key_of_file(const params_file *file, size_t header_bytes, char key[CACHE_KEY_CHARS])
{
    const view all = {(const char *)file->map.data, file->map.bytes};
    buffer content = {0};
    buffer_printf(&content, "%zu %" PRId64 "\n", all.len, file->map.mtime_ns);
    pack_key_append_sample(all, &content);
    const view parts[] = {{all.data, header_bytes}, buffer_view(&content)};
    bool good = !content.failed;
    if (good) cache_key(parts, 2, key);
    buffer_free(&content);
    return good;
}

// What was read of a file is in its key, or in the pack.
static void release_file(const params_file *file)
{
    if (file->map.data) madvise((void *)file->map.data, file->map.bytes, MADV_DONTNEED);
}

static wf_status add_tensors(function_weights *w, const params_file *file, const safetensors *s, wf_error *err)
{
    char key[CACHE_KEY_CHARS];
    if (!key_of_file(file, s->header_bytes, key)) return error_memory(err, 0);
    release_file(file);
    for (size_t i = 0; i < s->n_tensors; i++) {
        const safetensors_tensor *t = &s->tensors[i];
        array_shape shape;
        TRY(read_shape(file->path, t, &shape, err));
        TRY(add(w, file->path, t->name, &shape, false, t->data, err));
        const view parts[] = {view_of(key), view_of(t->name)};
        cache_key(parts, 2, w->given[w->n_given - 1].content);
    }
    return WF_OK;
}

wf_status function_weights_add_file(function_weights *w, const char *path, wf_error *err)
{
    safetensors s;
    if (!grow(&w->files, w->n_files, sizeof *w->files)) return error_memory(err, sizeof *w->files);
    params_file *file = &w->files[w->n_files];
    *file = (params_file){.path = strdup(path)};
    if (!file->path) return error_memory(err, strlen(path));
    w->n_files++;
    TRY(file_map_open(path, &file->map, err));
    TRY(safetensors_parse(file->map.data, file->map.bytes, file->path, false, &w->memory, &s, err));
    return add_tensors(w, file, &s, err);
}

wf_status function_weights_lend(function_weights *w, const char *name, const array_shape *shape, const void *data,
                                wf_error *err)
{
    return add(w, w->name, name, shape, true, data, err);
}

// ---- reading

const weight_argument *function_weights_list(const function_weights *w, uint32_t *n)
{
    *n = w->n_given;
    return w->arguments;
}

void function_weights_describe(const function_weights *w, buffer *out)
{
    for (uint32_t i = 0; i < w->n_given; i++) {
        const weight_argument *a = &w->arguments[i];
        buffer_printf(out, "%d ", a->lent);
        array_shape_print(&a->shape, out);
        buffer_append(out, a->name, strlen(a->name) + 1);
    }
}

wf_status function_weights_open_list(const function_weights *w, checkpoint **list, wf_error *err)
{
    wf_status status;
    TRY(checkpoint_create(w->name, list, err));
    for (size_t i = 0; i < w->n_files; i++) TRY_GOTO(checkpoint_lend_map(*list, &w->files[i].map, err), failed);
    for (uint32_t i = 0; i < w->n_given; i++) {
        const weight_argument *a = &w->arguments[i];
        size_t size = array_type_bytes(a->shape.type);
        const checkpoint_tensor tensor = {.name = view_of(a->name),
                                          .type = array_tensor_type(a->shape.type),
                                          .n_dims = 1,
                                          .dims = {(int64_t)(w->given[i].bytes / size), 1, 1, 1},
                                          .data = w->given[i].data,
                                          .bytes = w->given[i].bytes};
        TRY_GOTO(checkpoint_add_tensor(*list, &tensor, err), failed);
    }
    TRY_GOTO(checkpoint_finish(*list, (view){0}, err), failed);
    return WF_OK;
failed:
    checkpoint_close(*list);
    *list = NULL;
    return status;
}

uint32_t function_weights_find_lent(const function_weights *w, const char *name)
{
    uint32_t i = find_given(w, name);
    return i < w->n_given && w->arguments[i].lent ? i : NOT_LENT;
}

const array_shape *function_weights_shape(const function_weights *w, uint32_t index)
{
    return &w->arguments[index].shape;
}

static bool is_aligned(const void *data) { return (uintptr_t)data % ALIGNMENT == 0; }

// Lent data where kernels can read them; a copy of those that lie askew is made when it is first asked for.
static wf_status align(given *g, wf_error *err)
{
    size_t room;
    if (is_aligned(g->data)) return WF_OK;
    if (!g->copy && checked_align(g->bytes, ALIGNMENT, &room)) g->copy = aligned_alloc(ALIGNMENT, room);
    if (!g->copy) return error_memory(err, g->bytes);
    memcpy(g->copy, g->data, g->bytes);
    return WF_OK;
}

const void *function_weights_data(const function_weights *w, uint32_t index)
{
    given *g = &w->given[index];
    if (!is_aligned(g->data) && !g->copy && align(g, NULL) != WF_OK) return NULL;
    return is_aligned(g->data) ? g->data : g->copy;
}

// ---- packs

static kept_pack *find_kept(const function_weights *w, const buffer *key)
{
    for (size_t i = 0; i < w->n_packs; i++)
        if (view_equal(buffer_view(&w->packs[i]->key), buffer_view(key))) return w->packs[i];
    return NULL;
}

// Whether all of the program's weights are given.
static bool lacks_constants(const program *p)
{
    for (uint32_t i = 0; i < p->n_weights; i++)
        for (uint32_t s = 0; s < p->weights[i].n_sources; s++)
            if (is_constant_name(p->weights[i].sources[s])) return false;
    return true;
}

// The pack's key in the cache; false: it has none there.
static bool make_id(function_weights *w, const program *p, const buffer *key, cache_id *id)
{
    buffer contents = {0};
    bool good = w->cache;
    for (uint32_t i = 0; i < p->n_weights && good; i++)
        for (uint32_t s = 0; s < p->weights[i].n_sources && good; s++) {
            const char *name = p->weights[i].sources[s];
            uint32_t index = find_given(w, name);
            if (index == w->n_given) continue; // a constant, whose name says it all
            given *g = &w->given[index];
            const view data = {(const char *)g->data, g->bytes};
            if (!*g->content) cache_key(&data, 1, g->content);
            buffer_printf(&contents, "%s\n", g->content);
            good = !g->changed;
        }
    good = good && !contents.failed;
    *id = (cache_id){.kind = CACHE_PACK, .origin = w->name};
    const view parts[] = {VIEW_LITERAL("function"), buffer_view(key), buffer_view(&contents)};
    if (good) cache_key(parts, 3, id->key);
    buffer_free(&contents);
    return good;
}

// The table alone, in memory of its own: programs come and go.
static bool copy_table(const program *p, program *table)
{
    program_weight *weights = arena_alloc(&table->memory, (size_t)p->n_weights + 1, sizeof *weights);
    program_area *area = arena_alloc(&table->memory, 1, sizeof *area);
    bool good = weights && area;
    for (uint32_t i = 0; i < p->n_weights && good; i++) {
        weights[i] = p->weights[i];
        for (uint32_t s = 0; s < weights[i].n_sources; s++) {
            weights[i].sources[s] = arena_strdup(&table->memory, view_of(p->weights[i].sources[s]));
            good = good && weights[i].sources[s];
        }
    }
    if (!good) return false;
    *area = p->areas[program_find_area(p, AREA_WEIGHTS)];
    table->n_areas = 1;
    table->areas = area;
    table->n_weights = p->n_weights;
    table->weights = weights;
    return true;
}

static void note_building(void *context, size_t done, size_t all)
{
    (void)done;
    (void)all;
    ((function_weights *)context)->built = true;
}

// A kept pack with this key; *list NULL: only where the cache has it, or it needs no constants.
static wf_status open_pack(function_weights *w, const program *p, const checkpoint *list, thread_pool *pool,
                           kept_pack *k, bool *there, wf_error *err)
{
    cache_id id;
    bool has_id = make_id(w, p, &k->key, &id);
    checkpoint *own = NULL;
    *there = true;
    if (!copy_table(p, &k->table)) return error_memory(err, p->n_weights * sizeof *p->weights);
    if (!list) {
        if (has_id && pack_find(p, &id, pool, &k->pack)) return WF_OK;
        *there = lacks_constants(p);
        if (!*there) return WF_OK;
        TRY(function_weights_open_list(w, &own, err));
    }
    if (has_id) cache_sweep();
    wf_status status = pack_open(list ? list : own, p, has_id ? &id : NULL, pool, note_building, w, &k->pack, err);
    checkpoint_close(own);
    for (size_t i = 0; i < w->n_files; i++) release_file(&w->files[i]);
    return status;
}

static wf_status get_pack(function_weights *w, const program *p, const checkpoint *list, thread_pool *pool,
                          const pack **out, wf_error *err)
{
    bool there = false;
    *out = NULL;
    kept_pack *k = calloc(1, sizeof *k), *known;
    if (!k) return error_memory(err, sizeof *k);
    pack_key_append(p, &k->key);
    wf_status status = k->key.failed ? error_memory(err, 0) : WF_OK;
    known = status == WF_OK ? find_kept(w, &k->key) : NULL;
    if (status == WF_OK && !known) status = open_pack(w, p, list, pool, k, &there, err);
    if (status == WF_OK && there && !grow(&w->packs, w->n_packs, sizeof *w->packs)) status = error_memory(err, 0);
    if (status != WF_OK || !there) {
        free_pack(k);
        if (known) *out = &known->pack;
        return status;
    }
    w->packs[w->n_packs++] = k;
    *out = &k->pack;
    return WF_OK;
}

wf_status function_weights_find(function_weights *w, const program *p, thread_pool *pool, const pack **out,
                                wf_error *err)
{
    return get_pack(w, p, NULL, pool, out, err);
}

wf_status function_weights_pack(function_weights *w, const program *p, const checkpoint *list, thread_pool *pool,
                                const pack **out, wf_error *err)
{
    return get_pack(w, p, list, pool, out, err);
}

bool function_weights_cached(const function_weights *w) { return !w->built; }

// ---- changing

wf_status function_weights_renew(function_weights *w, const char *name, const array_shape *shape, const void *data,
                                 wf_error *err)
{
    char text[32];
    name = full_name(name, text);
    uint32_t index = find_given(w, name);
    if (index == w->n_given || !w->arguments[index].lent)
        return error_set(err, WF_ERROR_USAGE, "%s: no weight '%.80s' was given from memory", w->name, name);
    const array_shape *old = &w->arguments[index].shape;
    bool same = old->type == shape->type && old->n_dims == shape->n_dims &&
                !memcmp(old->dims, shape->dims, old->n_dims * sizeof *old->dims);
    if (!same || !data)
        return error_set(err, WF_ERROR_USAGE, "%s: weight '%.80s' has no data, or another type or size than before",
                         w->name, name);
    given *g = &w->given[index];
    g->data = data;
    g->changed = true;
    if (g->copy && !is_aligned(data)) memcpy(g->copy, data, g->bytes);
    checkpoint *list;
    TRY(function_weights_open_list(w, &list, err));
    wf_status status = WF_OK;
    for (size_t i = 0; i < w->n_packs && status == WF_OK; i++)
        status = pack_renew(list, &w->packs[i]->table, name, &w->packs[i]->pack, err);
    checkpoint_close(list);
    return status;
}
