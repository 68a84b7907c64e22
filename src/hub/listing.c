// Listings and the choice of files from them.
#include "hub/listing.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buffer.h"
#include "format/checkpoint_open.h"
#include "format/json_file.h"

static const char CONFIG[] = "config.json", WEIGHTS[] = "model.safetensors", INDEX[] = "model.safetensors.index.json",
                  TEMPLATE[] = "chat_template.jinja";

wf_status hub_listing_add(hub_listing *l, const char *path, int64_t bytes, const char *etag, wf_error *err)
{
    hub_file *files = array_grow(l->files, l->count, &l->capacity, sizeof *files);
    if (!files) return error_memory(err, l->count * sizeof *files);
    l->files = files;
    hub_file *file = &l->files[l->count];
    *file = (hub_file){.path = arena_strdup(&l->memory, view_of(path)), .bytes = bytes};
    if (!file->path) return error_memory(err, strlen(path));
    snprintf(file->etag, sizeof file->etag, "%s", etag);
    l->count++;
    return WF_OK;
}

hub_file *hub_listing_find(const hub_listing *l, const char *path)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->files[i].path, path)) return &l->files[i];
    return NULL;
}

void hub_listing_free(hub_listing *l)
{
    free(l->files);
    arena_free(&l->memory);
    *l = (hub_listing){0};
}

// ---- the hub's answer

static const char *string_or_empty(const json_t *value)
{
    const char *text = json_name_of(value);
    return text ? text : "";
}

static wf_status add_sibling(const char *name, const json_t *sibling, hub_listing *l, wf_error *err)
{
    const char *path = string_or_empty(json_object_get(sibling, "rfilename"));
    const json_t *lfs = json_object_get(sibling, "lfs"), *size = json_object_get(sibling, "size");
    if (!hub_is_safe_path(path))
        return error_set(err, WF_ERROR_FORMAT, "%s: the hub lists a file '%.80s': such a name is refused", name, path);
    int64_t bytes = json_is_integer(size) && json_integer_value(size) >= 0 ? json_integer_value(size) : -1;
    // Git's own files are named by their blob's SHA-1, large ones by their SHA-256.
    const char *etag =
        string_or_empty(json_is_object(lfs) ? json_object_get(lfs, "sha256") : json_object_get(sibling, "blobId"));
    if (bytes < 0 || !hub_is_etag(etag)) bytes = -1, etag = ""; // asked for file by file
    return hub_listing_add(l, path, bytes, etag, err);
}

static wf_status read_listing(const char *name, const json_t *root, hub_listing *l, wf_error *err)
{
    const char *commit = string_or_empty(json_object_get(root, "sha"));
    const json_t *siblings = json_object_get(root, "siblings"), *sibling;
    size_t i;
    if (!hub_is_commit(commit) || !json_is_array(siblings))
        return error_set(err, WF_ERROR_FORMAT, "%s: the hub's answer has no commit or no list of files", name);
    memcpy(l->commit, commit, sizeof l->commit);
    json_array_foreach(siblings, i, sibling) TRY(add_sibling(name, sibling, l, err));
    return WF_OK;
}

wf_status hub_listing_parse(const char *name, view json, hub_listing *l, wf_error *err)
{
    char place[HUB_NAME_BYTES + 32];
    json_t *root;
    *l = (hub_listing){0};
    snprintf(place, sizeof place, "%.*s: the hub's answer", HUB_NAME_BYTES, name);
    TRY(json_read(json, place, JSON_RULES_PYTHON, &root, err));
    wf_status status = read_listing(name, root, l, err);
    json_decref(root);
    if (status != WF_OK) hub_listing_free(l);
    return status;
}

// ---- the choice

static void choose_file(hub_choice *c, hub_file *file)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->files[i] == file) return;
    c->files[c->count++] = file; // there is room for every file of the listing
}

// The files of a folder beside the weights; what is read only in place of another is left out where that is there.
static bool is_wanted(const hub_listing *l, const char *path)
{
    static const char *const ALWAYS[] = {CONFIG, TEMPLATE, "generation_config.json", "added_tokens.json",
                                         "special_tokens_map.json"};
    for (size_t i = 0; i < sizeof ALWAYS / sizeof *ALWAYS; i++)
        if (!strcmp(path, ALWAYS[i])) return true;
    if (!strcmp(path, "chat_template.json")) return !hub_listing_find(l, TEMPLATE);
    return !strncmp(path, "tokenizer", 9) && hub_ends_with(path, ".json") && !strchr(path, '/');
}

static void choose_folder(const hub_listing *l, hub_choice *c)
{
    hub_file *weights = hub_listing_find(l, WEIGHTS), *index = hub_listing_find(l, INDEX);
    c->path = "";
    for (size_t i = 0; i < l->count; i++)
        if (is_wanted(l, l->files[i].path)) choose_file(c, &l->files[i]);
    choose_file(c, weights ? weights : index);
    if (!weights) c->index = INDEX;
}

// Every part of a split GGUF file, of which `path` is one.
static wf_status choose_gguf(const hub_listing *l, const char *repository, const char *path, hub_choice *c,
                             wf_error *err)
{
    size_t stem;
    long n_parts;
    char part[HUB_FILE_BYTES];
    bool split = checkpoint_is_split(path, &stem, &n_parts);
    if (!split) n_parts = 1;
    for (long i = 0; i < n_parts; i++) {
        snprintf(part, sizeof part, "%s", path);
        if (split) snprintf(part, sizeof part, "%.*s-%05ld-of-%05ld.gguf", (int)stem, path, i + 1, n_parts);
        hub_file *file = hub_listing_find(l, part);
        if (!file) return error_set(err, WF_ERROR_IO, "%s has no file %s", repository, part);
        choose_file(c, file);
        if (i == 0) c->path = file->path;
    }
    return WF_OK;
}

// What lies beside models: projectors of images, matrices of importance, vocabularies without weights, adapters.
static bool is_sibling(const char *path)
{
    static const char *const MARKS[] = {"mmproj", "imatrix", "ggml-vocab", "-lora.", "-lora-", "lora-adapter"};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof MARKS / sizeof *MARKS; i++)
        if (strcasestr(name, MARKS[i])) return true;
    return false;
}

// Whether a file is a GGUF model of its own: neither a later part of one nor something beside it.
static bool is_gguf(const char *path)
{
    size_t stem;
    long n_parts;
    return hub_ends_with(path, ".gguf") && !is_sibling(path) &&
           (!checkpoint_is_split(path, &stem, &n_parts) || !strncmp(path + stem, "-00001-", 7));
}

// Whether the file's path has the quantisation's name between marks, in either case: "model.q4_k_m.gguf" has Q4_K_M,
// but not Q4_K.
static bool has_quant(const char *path, const char *quant)
{
    size_t n = strlen(quant);
    const char *before = strpbrk(quant, "0123456789") ? "-./_" : "-./"; // K_M alone is no quantisation
    for (const char *at = path; (at = strcasestr(at, quant)); at++) {
        bool begins = at == path || strchr(before, at[-1]), ends = strchr("-./", at[n]) != NULL; // 0 too
        if (begins && ends) return true;
    }
    return false;
}

// As many names as fit in a message.
static void append_names(const hub_listing *l, bool (*wanted)(const char *path), buffer *out)
{
    size_t n_left = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (!wanted(l->files[i].path)) continue;
        if (out->len + strlen(l->files[i].path) < 300)
            buffer_printf(out, "%s%s", out->len ? ", " : "", l->files[i].path);
        else
            n_left++;
    }
    if (n_left) buffer_printf(out, " and %zu more", n_left);
}

static bool is_any(const char *path) { return path[0] != '.'; }

static wf_status fail_choice(const hub_listing *l, const hub_name *name, bool has_gguf, bool none, wf_error *err)
{
    const char *repository = name->repository;
    buffer names = {0};
    append_names(l, has_gguf ? is_gguf : is_any, &names);
    const char *list = names.data ? names.data : "";
    if (has_gguf && name->quant[0])
        error_set(err, WF_ERROR_UNSUPPORTED, "%s holds %s GGUF file of %s, but: %s", repository,
                  none ? "no" : "more than one", name->quant, list);
    else if (has_gguf)
        error_set(err, WF_ERROR_UNSUPPORTED, "%s holds several GGUF files; name one, as hf:%s/FILE or %s:QUANT: %s",
                  repository, repository, repository, list);
    else
        error_set(err, WF_ERROR_UNSUPPORTED,
                  "%s holds neither config.json with model.safetensors (or its index) nor a GGUF file, but: %s",
                  repository, *list ? list : "nothing");
    buffer_free(&names);
    return WF_ERROR_UNSUPPORTED;
}

wf_status hub_choose(hub_listing *l, const hub_name *name, hub_choice *c, wf_error *err)
{
    *c = (hub_choice){0};
    c->files = arena_alloc(&l->memory, l->count, sizeof *c->files);
    if (!c->files) return error_memory(err, l->count * sizeof *c->files);
    if (name->file[0]) {
        TRY(choose_gguf(l, name->repository, name->file, c, err));
        c->path = hub_listing_find(l, name->file)->path;
        return WF_OK;
    }
    if (!name->quant[0] && hub_listing_find(l, CONFIG) &&
        (hub_listing_find(l, WEIGHTS) || hub_listing_find(l, INDEX))) {
        choose_folder(l, c);
        return WF_OK;
    }
    const char *found = NULL;
    bool has_gguf = false, again = false;
    for (size_t i = 0; i < l->count; i++) {
        const char *path = l->files[i].path;
        if (!is_gguf(path)) continue;
        has_gguf = true;
        if (name->quant[0] && !has_quant(path, name->quant)) continue;
        // Of UD-Q4_K_M and Q4_K_M, the name of which is in both, the shorter one is meant.
        size_t n = strlen(path), m = found ? strlen(found) : 0;
        again = found && (!name->quant[0] || n == m || (again && n > m));
        if (!found || n < m) found = path;
    }
    if (!found || again) return fail_choice(l, name, has_gguf, !found, err);
    return choose_gguf(l, name->repository, found, c, err);
}

static wf_status add_shards(hub_listing *l, const char *path, const json_t *map, hub_choice *c, wf_error *err)
{
    json_t *values = (json_t *)(uintptr_t)map, *value; // the macro takes no const, and changes nothing
    const char *tensor;
    json_object_foreach(values, tensor, value)
    {
        const char *shard = string_or_empty(value);
        hub_file *file = strchr(shard, '/') ? NULL : hub_listing_find(l, shard);
        if (!file || !hub_ends_with(shard, ".safetensors"))
            return error_set(err, WF_ERROR_FORMAT, "%s: it names '%.80s', which the repository does not have", path,
                             shard);
        choose_file(c, file);
    }
    return WF_OK;
}

wf_status hub_choose_shards(hub_listing *l, const char *path, hub_choice *c, wf_error *err)
{
    json_t *root, *map = NULL;
    TRY(json_file_open(path, &root, err));
    json_fields f = {path, root, err};
    wf_status status = json_field_object(&f, "weight_map", &map);
    if (status == WF_OK && !json_object_size(map))
        status = error_set(err, WF_ERROR_FORMAT, "%s: no weight_map, or an empty one", path);
    if (status == WF_OK) status = add_shards(l, path, map, c, err);
    json_decref(root);
    if (status == WF_OK) c->index = NULL;
    return status;
}
