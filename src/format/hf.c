// Puts a checkpoint together from the files of a folder.
//
// Every shard is mapped; its tensors keep their place there. What stands for the header (the key of compiled programs
// and packs) is config.json followed by the headers of all shards.
#include "format/hf.h"

#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "format/file_kind.h"
#include "format/hf_added.h"
#include "format/hf_tokenizer.h"
#include "format/safetensors.h"

enum { MAX_SHARDS = 1000, MAX_TEMPLATE = 1 << 22 };

typedef struct folder {
    const char *path;
    checkpoint *file;
    hf_config config;
    hf_specials specials;
    const int32_t *eos_ids; // all of them
    size_t n_eos_ids;
    int64_t eos; // the first, of config.json or generation_config.json; -1: none
    buffer header;
    bool cut_short;
    wf_error *err;
} folder;

// False with an error when the path is too long.
static wf_status path_of(const folder *h, const char *name, char path[PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%s/%s", h->path, name);
    return n > 0 && n < PATH_MAX ? WF_OK : error_set(h->err, WF_ERROR_IO, "%s: the path is too long", h->path);
}

static bool has_file(const folder *h, const char *name)
{
    char path[PATH_MAX];
    return path_of(h, name, path) == WF_OK && access(path, F_OK) == 0;
}

// ---- tensors

static wf_status take_tensor(folder *h, const char *path, const safetensors_tensor *from)
{
    char name[64];
    TRY(hf_map_name(path, &h->config, from->name, name, h->err));
    if (!name[0]) return WF_OK;
    checkpoint_tensor t = {
        .n_dims = from->n_dims, .dims = {1, 1, 1, 1}, .data = from->data, .offset = from->offset, .bytes = from->bytes};
    if (!tensor_type_of_dtype(from->dtype, &t.type))
        return error_set(h->err, WF_ERROR_UNSUPPORTED, "%s: tensor '%.80s': dtype %s is not supported", path,
                         from->name, from->dtype);
    if (from->bytes == 0 || from->n_dims < 1 || from->n_dims > 4)
        return error_set(h->err, WF_ERROR_FORMAT, "%s: tensor '%.80s' is empty or has %u dimensions", path, from->name,
                         from->n_dims);
    for (uint32_t i = 0; i < from->n_dims; i++) t.dims[i] = from->dims[from->n_dims - 1 - i];
    char *copy = arena_strdup(checkpoint_memory(h->file), view_of(name));
    if (!copy) return error_memory(h->err, strlen(name));
    t.name = view_of(copy);
    return checkpoint_add_tensor(h->file, &t, h->err);
}

static wf_status add_shard(folder *h, const char *name, safetensors *s)
{
    char path[PATH_MAX];
    file_map map;
    TRY(path_of(h, name, path));
    TRY(file_kind_map_open(path, &map, h->err));
    TRY(checkpoint_take_map(h->file, &map, h->err));
    TRY(safetensors_parse(map.data, map.bytes, path, h->cut_short, checkpoint_memory(h->file), s, h->err));
    buffer_append(&h->header, map.data, s->header_bytes);
    for (size_t i = 0; i < s->n_tensors; i++) TRY(take_tensor(h, path, &s->tensors[i]));
    return WF_OK;
}

typedef struct shard_list {
    const char *names[MAX_SHARDS]; // of the index
    safetensors shards[MAX_SHARDS];
    size_t count;
} shard_list;

static bool is_plain_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < 256;
}

static wf_status list_shards(const folder *h, const char *path, json_t *map, shard_list *list)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(map, tensor, value)
    {
        const char *name = json_name_of(value);
        if (!name || !is_plain_name(name))
            return error_set(h->err, WF_ERROR_FORMAT, "%s: tensor '%.80s' is in no file of this folder", path, tensor);
        size_t i = 0;
        while (i < list->count && strcmp(list->names[i], name)) i++;
        if (i == MAX_SHARDS) return error_set(h->err, WF_ERROR_UNSUPPORTED, "%s: more than %d files", path, MAX_SHARDS);
        list->names[i] = name;
        if (i == list->count) list->count++;
    }
    return list->count ? WF_OK : error_set(h->err, WF_ERROR_FORMAT, "%s: no weight_map, or an empty one", path);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Index and shards must name the same tensors: as many, and each of the index's is in its file.
static wf_status check_index(const folder *h, const char *path, json_t *map, const shard_list *list)
{
    const char *tensor;
    json_t *value;
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++) {
        n += list->shards[i].n_tensors;
        for (size_t t = 0; t < list->shards[i].n_tensors; t++) {
            tensor = list->shards[i].tensors[t].name;
            value = json_object_get(map, tensor);
            if (!value || strcmp(json_string_value(value), list->names[i]))
                return error_set(h->err, WF_ERROR_FORMAT, "%s: it does not say that tensor '%.80s' is in %s", path,
                                 tensor, list->names[i]);
        }
    }
    if (n == json_object_size(map)) return WF_OK;
    return error_set(h->err, WF_ERROR_FORMAT, "%s: it lists %zu tensors, the files hold %zu", path,
                     json_object_size(map), n);
}

static wf_status add_index(folder *h, const char *name)
{
    char path[PATH_MAX];
    json_t *root = NULL, *map = NULL;
    TRY(path_of(h, name, path));
    shard_list *list = calloc(1, sizeof *list);
    if (!list) return error_memory(h->err, sizeof *list);
    wf_status status;
    TRY_GOTO(json_file_open(path, &root, h->err), done);
    json_fields f = {path, root, h->err};
    TRY_GOTO(json_field_object(&f, "weight_map", &map), done);
    TRY_GOTO(list_shards(h, path, map, list), done);
    qsort(list->names, list->count, sizeof *list->names, compare_names);
    for (size_t i = 0; i < list->count; i++) TRY_GOTO(add_shard(h, list->names[i], &list->shards[i]), done);
    status = check_index(h, path, map, list);
done:
    json_decref(root);
    free(list);
    return status;
}

static wf_status add_tensors(folder *h)
{
    safetensors s;
    if (has_file(h, "model.safetensors")) return add_shard(h, "model.safetensors", &s);
    if (has_file(h, "model.safetensors.index.json")) return add_index(h, "model.safetensors.index.json");
    return error_set(h->err, WF_ERROR_IO, "%s: neither model.safetensors nor model.safetensors.index.json is there",
                     h->path);
}

// ---- configuration

// An id or a list of ids, which becomes a value; -1 and "" are none, as null is.
// Of config.json, then of generation_config.json, which overrules it where it has the field.
static wf_status read_eos(folder *h, const json_fields *f)
{
    json_t *value = json_field(f, "eos_token_id"), *item;
    size_t i;
    if (!value) return WF_OK;
    size_t n = json_is_array(value) ? json_array_size(value) : 1;
    int32_t *ids = arena_alloc(checkpoint_memory(h->file), n, sizeof *ids);
    if (!ids) return error_memory(h->err, n * sizeof *ids);
    size_t n_ids = 0;
    for (i = 0; i < n; i++) {
        item = json_is_array(value) ? json_array_get(value, i) : value;
        view number;
        bool none = json_is_null(item) || (json_is_string(item) && !json_string_length(item));
        if (!json_is_integer(item) && !none && !json_is_wide(item, &number))
            return error_set(h->err, WF_ERROR_FORMAT, "%s: field 'eos_token_id' is no token id", f->path);
        int64_t id = json_is_integer(item) ? json_integer_value(item) : -1;
        if (id >= 0 && id <= INT32_MAX) ids[n_ids++] = (int32_t)id;
    }
    h->eos = n_ids ? ids[0] : -1;
    h->eos_ids = n_ids ? ids : NULL;
    h->n_eos_ids = n_ids;
    return WF_OK;
}

static wf_status read_config(folder *h)
{
    char path[PATH_MAX];
    json_t *root;
    TRY(path_of(h, "config.json", path));
    TRY(json_file_open(path, &root, h->err));
    wf_status status = hf_read_config(path, root, h->file, &h->config, h->err);
    json_fields f = {path, root, h->err};
    if (status == WF_OK) status = read_eos(h, &f);
    json_append(root, JSON_COMPACT | JSON_SORT_KEYS, &h->header);
    json_decref(root);
    return status;
}

// The defaults that the model's makers recommend.
static wf_status read_generation(folder *h)
{
    static const struct {
        const char *field, *key;
    } floats[] = {{"temperature", "general.sampling.temp"},
                  {"top_p", "general.sampling.top_p"},
                  {"min_p", "general.sampling.min_p"},
                  {"repetition_penalty", "general.sampling.penalty_repeat"}};
    char path[PATH_MAX];
    json_t *root;
    if (!has_file(h, "generation_config.json")) return WF_OK;
    TRY(path_of(h, "generation_config.json", path));
    TRY(json_file_open(path, &root, h->err));
    json_fields f = {path, root, h->err};
    wf_status status = read_eos(h, &f);
    for (size_t i = 0; i < sizeof floats / sizeof *floats && status == WF_OK; i++) {
        double value = 0;
        if (!json_field(&f, floats[i].field)) continue;
        status = json_field_float(&f, floats[i].field, &value);
        if (status == WF_OK) status = hf_add_float(h->file, floats[i].key, value, h->err);
    }
    int64_t top_k = INT64_MIN; // none is given
    bool samples = true;
    if (status == WF_OK) status = json_field_int(&f, "top_k", -1, INT32_MAX, &top_k);
    if (status == WF_OK) status = json_field_bool(&f, "do_sample", &samples);
    if (status == WF_OK && !samples) status = hf_add_bool(h->file, "general.sampling.greedy", true, h->err);
    if (status == WF_OK && top_k >= -1) // 0 and -1: all tokens
        status = hf_add_int(h->file, "general.sampling.top_k", top_k < 0 ? 0 : top_k, h->err);
    json_decref(root);
    return status;
}

// ---- tokenizer

// A token's text, spelled as a string or as {"content": text}.
static wf_status read_token_text(const json_fields *f, const char *name, view *text)
{
    const json_t *value = json_field(f, name);
    json_fields inner = {f->path, value, f->err};
    return json_is_object(value) ? json_field_string(&inner, "content", text) : json_field_string(f, name, text);
}

// Its id, or -1.
static int64_t find_token(const folder *h, view text)
{
    for (int64_t i = 0; i < h->specials.count && text.len; i++)
        if (view_equal(h->specials.texts[i], text)) return i;
    return -1;
}

// The id of a token that must exist; *id stays where the file does not name one.
static wf_status find_special(const folder *h, const json_fields *f, const char *name, int64_t *id)
{
    view text = VIEW_LITERAL("");
    if (!json_field(f, name)) return WF_OK;
    TRY(read_token_text(f, name, &text));
    if (text.len == 0) return WF_OK; // "" is none
    *id = find_token(h, text);
    if (*id >= 0) return WF_OK;
    return error_set(h->err, WF_ERROR_FORMAT, "%s: %s '%.*s' is no token", f->path, name, VIEW_ARG(text));
}

// Only templates use it: one that is no token, or not well-formed, harms nobody.
static wf_status add_padding(folder *h, const json_fields *f)
{
    view text = VIEW_LITERAL("");
    json_fields quiet = {f->path, f->object, NULL};
    int64_t id = read_token_text(&quiet, "pad_token", &text) == WF_OK ? find_token(h, text) : -1;
    return id < 0 ? WF_OK : hf_add_int(h->file, "tokenizer.ggml.padding_token_id", id, h->err);
}

static wf_status add_template(folder *h, view text)
{
    return hf_add_string(h->file, "tokenizer.chat_template", text, h->err);
}

// A template, or a list of named ones, of which "default" is meant.
static wf_status read_template_field(folder *h, const json_fields *f)
{
    json_t *value = json_field(f, "chat_template"), *item;
    size_t i;
    view text = VIEW_LITERAL("");
    if (!value) return WF_OK;
    if (!json_is_array(value)) {
        TRY(json_field_string(f, "chat_template", &text));
        return add_template(h, text);
    }
    json_array_foreach(value, i, item)
    {
        const char *name = json_name_of(json_object_get(item, "name"));
        json_fields inner = {f->path, item, f->err};
        if (!json_is_object(item) || !name || strcmp(name, "default")) continue;
        TRY(json_field_string(&inner, "template", &text));
        return add_template(h, text);
    }
    return WF_OK;
}

// chat_template.jinja or chat_template.json; *found: one of them is there.
static wf_status read_template_file(folder *h, bool *found)
{
    char path[PATH_MAX];
    *found = true;
    if (has_file(h, "chat_template.jinja")) {
        file_map map;
        TRY(path_of(h, "chat_template.jinja", path));
        TRY(file_kind_map_open(path, &map, h->err));
        wf_status status = map.bytes > MAX_TEMPLATE
                               ? error_set(h->err, WF_ERROR_UNSUPPORTED, "%s: a template of %zu bytes", path, map.bytes)
                               : add_template(h, (view){map.data ? (const char *)map.data : "", map.bytes});
        file_map_close(&map);
        return status;
    }
    *found = has_file(h, "chat_template.json");
    if (!*found) return WF_OK;
    json_t *root;
    TRY(path_of(h, "chat_template.json", path));
    TRY(json_file_open(path, &root, h->err));
    json_fields f = {path, root, h->err};
    wf_status status = read_template_field(h, &f);
    json_decref(root);
    return status;
}

// What a file says about BOS and EOS goes before what the post-processor does.
static wf_status read_token_fields(folder *h, const json_fields *f)
{
    int64_t bos = h->specials.bos, eos = h->specials.eos >= 0 ? h->specials.eos : h->eos;
    bool add_bos = h->specials.bos >= 0, add_eos = h->specials.eos >= 0;
    TRY(find_special(h, f, "bos_token", &bos));
    TRY(find_special(h, f, "eos_token", &eos));
    if (add_bos && h->specials.bos != bos)
        return error_set(h->err, WF_ERROR_UNSUPPORTED, "%s: bos_token is not the one of tokenizer.json", f->path);
    TRY(json_field_bool(f, "add_bos_token", &add_bos));
    TRY(json_field_bool(f, "add_eos_token", &add_eos));
    if (bos >= 0) TRY(hf_add_int(h->file, "tokenizer.ggml.bos_token_id", bos, h->err));
    if (eos >= 0 && eos < h->specials.count) TRY(hf_add_int(h->file, "tokenizer.ggml.eos_token_id", eos, h->err));
    TRY(add_padding(h, f));
    TRY(hf_add_bool(h->file, "tokenizer.ggml.add_bos_token", add_bos, h->err));
    return hf_add_bool(h->file, "tokenizer.ggml.add_eos_token", add_eos, h->err);
}

static wf_status read_tokenizer_config(folder *h)
{
    char path[PATH_MAX];
    json_t *root = NULL;
    bool has_template;
    TRY(read_template_file(h, &has_template));
    TRY(path_of(h, "tokenizer_config.json", path));
    if (has_file(h, "tokenizer_config.json")) TRY(json_file_open(path, &root, h->err));
    json_fields f = {path, root, h->err};
    wf_status status = has_template ? WF_OK : read_template_field(h, &f);
    if (status == WF_OK) status = read_token_fields(h, &f);
    json_decref(root);
    return status;
}

static wf_status read_tokenizer(folder *h, int64_t n_vocab)
{
    char path[PATH_MAX];
    json_t *root;
    if (!has_file(h, "tokenizer.json")) return WF_OK;
    TRY(path_of(h, "tokenizer.json", path));
    TRY(json_file_open(path, &root, h->err));
    wf_status status = hf_join_added_tokens(h->path, root, h->err);
    if (status == WF_OK) status = hf_read_tokenizer(path, root, n_vocab, h->file, &h->specials, h->err);
    json_decref(root);
    malloc_trim(0); // a vocabulary of 150,000 tokens is 100 MB of small blocks as JSON
    if (status != WF_OK) return status;
    return read_tokenizer_config(h);
}

// ---- all

// The rows of the embedding, as config.json must say them too.
static wf_status check_embedding(const folder *h, int64_t *n_vocab)
{
    const checkpoint_tensor *table = checkpoint_find_tensor(h->file, "token_embd.weight");
    if (!table) return error_set(h->err, WF_ERROR_FORMAT, "%s: tensor 'model.embed_tokens.weight' is missing", h->path);
    *n_vocab = table->dims[1];
    if (h->config.n_vocab && h->config.n_vocab != *n_vocab)
        return error_set(h->err, WF_ERROR_FORMAT, "%s: the embedding has %lld rows, config.json says %lld", h->path,
                         (long long)*n_vocab, (long long)h->config.n_vocab);
    TRY(hf_check_biases(h->path, &h->config, h->file, h->err));
    if (!h->config.tied_head && !checkpoint_find_tensor(h->file, "output.weight"))
        return error_set(h->err, WF_ERROR_FORMAT, "%s: tensor 'lm_head.weight' is missing", h->path);
    return WF_OK;
}

static view last_component(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    return (view){path + start, end - start};
}

// The folder's own name; of a snapshot in the hub's cache, models--OWNER--NAME/snapshots/COMMIT, that is NAME.
static view model_name(const char *path)
{
    static const char *const MODELS = "/models--", *const SNAPSHOTS = "/snapshots/";
    const char *end = strstr(path, SNAPSHOTS), *start = NULL, *dashes;
    for (const char *p = path; end && (p = strstr(p, MODELS)) && p < end; p++) start = p + strlen(MODELS);
    if (!start || memchr(start, '/', (size_t)(end - start))) return last_component(path);
    dashes = strstr(start, "--");
    return dashes && dashes < end ? (view){dashes + 2, (size_t)(end - dashes) - 2} : last_component(path);
}

static wf_status read_folder(folder *h)
{
    checkpoint *file = h->file;
    int64_t n_vocab = 0;
    TRY(read_config(h));
    TRY(hf_add_string(file, "general.name", model_name(h->path), h->err));
    TRY(add_tensors(h));
    char *header = arena_strdup(checkpoint_memory(file), buffer_view(&h->header));
    if (!header || h->header.failed) return error_memory(h->err, h->header.len);
    TRY(read_generation(h));
    if (h->eos_ids)
        TRY(hf_add_array(file, "tokenizer.json.eos_token_ids", METADATA_I32, h->eos_ids, h->n_eos_ids, h->err));
    TRY(checkpoint_finish(file, (view){header, h->header.len}, h->err)); // tensors can be found from here on
    TRY(check_embedding(h, &n_vocab));
    TRY(read_tokenizer(h, n_vocab));
    return checkpoint_finish(file, (view){header, h->header.len}, h->err);
}

wf_status hf_open(const char *path, bool cut_short, checkpoint **file, wf_error *err)
{
    *file = NULL;
    folder h = {.path = path, .cut_short = cut_short, .eos = -1, .err = err};
    TRY(checkpoint_create(path, &h.file, err));
    wf_status status = read_folder(&h);
    buffer_free(&h.header);
    if (status == WF_OK)
        *file = h.file;
    else
        checkpoint_close(h.file);
    return status;
}
