#include "format/hf_added.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/json_read.h"

enum { MAX_ADDED = 1 << 16 };

// The fields of a token; those that a file does not give are false (AddedToken of Hugging Face tokenizers), but for
// "normalized", which is true of what is not special.
static const char *const SETTINGS[] = {"lstrip", "rstrip", "single_word", "normalized", "special"};

typedef struct joiner {
    const char *path;
    json_t *added;  // the array of tokens, of the tokenizer
    json_t *places; // content to index in `added`
    const json_t *vocabulary;
    json_int_t next_id;
    wf_error *err;
} joiner;

static wf_status open_file(const char *folder, const char *name, json_t **root, wf_error *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    *root = NULL;
    if (n < 0 || n >= PATH_MAX || access(path, F_OK)) return WF_OK;
    return json_file_open(path, root, err);
}

static wf_status start_join(joiner *j, json_t *tokenizer)
{
    j->vocabulary = json_object_get(json_object_get(tokenizer, "model"), "vocab");
    j->added = json_object_get(tokenizer, "added_tokens");
    j->places = json_object();
    j->next_id = (json_int_t)json_object_size(j->vocabulary);
    if (!json_is_array(j->added)) {
        j->added = json_array();
        if (json_object_set_new(tokenizer, "added_tokens", j->added)) return error_memory(j->err, 0);
    }
    size_t i;
    json_t *token;
    json_array_foreach(j->added, i, token)
    {
        const char *content = json_string_value(json_object_get(token, "content"));
        json_int_t id = json_integer_value(json_object_get(token, "id"));
        if (id >= j->next_id && id < INT32_MAX) j->next_id = id + 1;
        if (content && json_object_set_new(j->places, content, json_integer((json_int_t)i)))
            return error_memory(j->err, 0);
    }
    return WF_OK;
}

// A token's own settings, or those of a new one. NULL: out of memory.
static json_t *make_token(const char *content, json_int_t id, const json_t *from, bool special)
{
    json_t *token = json_pack("{s:s, s:I}", "content", content, "id", id);
    for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS; i++) {
        const json_t *given = json_object_get(from, SETTINGS[i]);
        bool is_special = special || json_is_true(json_object_get(from, "special"));
        bool value = given ? json_is_true(given) : !strcmp(SETTINGS[i], "normalized") && !is_special;
        if (!strcmp(SETTINGS[i], "special")) value = is_special;
        if (!json_object_set_new(token, SETTINGS[i], json_boolean(value))) continue;
        json_decref(token);
        return NULL;
    }
    return token;
}

// `from` is the token's object, or its text. `replaces`: it has settings that go before those of the tokenizer.
static wf_status join_token(joiner *j, const json_t *from, bool special, bool replaces)
{
    const json_t *text = json_is_object(from) ? json_object_get(from, "content") : from;
    const char *content = json_string_value(text);
    if (!content || !content[0]) return WF_OK;
    const json_t *place = json_object_get(j->places, content), *known = json_object_get(j->vocabulary, content);
    if (place && !replaces) return WF_OK;
    if (!place && json_array_size(j->added) >= MAX_ADDED)
        return error_set(j->err, WF_ERROR_UNSUPPORTED, "%s: more than %d added tokens", j->path, MAX_ADDED);
    size_t index = place ? (size_t)json_integer_value(place) : json_array_size(j->added);
    json_int_t id = known ? json_integer_value(known) : j->next_id;
    if (place) id = json_integer_value(json_object_get(json_array_get(j->added, index), "id"));
    json_t *token = make_token(content, id, json_is_object(from) ? from : NULL, special);
    int failed = place ? json_array_set_new(j->added, index, token) : json_array_append_new(j->added, token);
    if (!place) failed |= json_object_set_new(j->places, content, json_integer((json_int_t)index));
    if (id == j->next_id) j->next_id++;
    return failed ? error_memory(j->err, 0) : WF_OK;
}

static wf_status join_list(joiner *j, json_t *list)
{
    const char *name;
    size_t i;
    json_t *item;
    if (json_is_object(list)) // name to token
        json_object_foreach(list, name, item) TRY(join_token(j, item, true, false));
    json_array_foreach(list, i, item) TRY(join_token(j, item, true, false));
    return WF_OK;
}

// bos_token and the like, which are special whatever else is said.
static wf_status join_named(joiner *j, json_t *root)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        TRY(join_token(j, json_object_get(root, names[i]), true, false));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) TRY(join_list(j, json_object_get(root, lists[i])));
    return WF_OK;
}

static int compare_ids(const void *left, const void *right)
{
    json_int_t a = json_integer_value(json_object_get(*(json_t *const *)left, "id"));
    json_int_t b = json_integer_value(json_object_get(*(json_t *const *)right, "id"));
    return (a > b) - (a < b);
}

// Adds tokens in the order of the ids that the file gives them; the list has an object with "id" for each.
static wf_status join_sorted(joiner *j, json_t *list)
{
    size_t n = json_array_size(list);
    json_t **tokens = calloc(n ? n : 1, sizeof(json_t *));
    if (!tokens) return error_memory(j->err, n * sizeof *tokens);
    for (size_t i = 0; i < n; i++) tokens[i] = json_array_get(list, i);
    qsort(tokens, n, sizeof *tokens, compare_ids);
    wf_status status = WF_OK;
    for (size_t i = 0; i < n && status == WF_OK; i++) status = join_token(j, tokens[i], false, true);
    free(tokens);
    return status;
}

// added_tokens_decoder: {"ID": token}.
static wf_status join_decoder(joiner *j, json_t *decoder)
{
    json_t *list = json_array(), *token;
    const char *id;
    bool failed = !list;
    json_object_foreach(decoder, id, token)
    {
        if (!json_is_object(token)) continue;
        json_t *copy = json_object();
        failed |=
            !json_add_missing(copy, token) || json_object_set_new(copy, "id", json_integer(strtoll(id, NULL, 10)));
        failed |= json_array_append_new(list, copy) != 0;
    }
    wf_status status = failed ? error_memory(j->err, 0) : join_sorted(j, list);
    json_decref(list);
    return status;
}

static bool is_text(const json_t *value, const char *content)
{
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    return text && !strcmp(text, content);
}

// Whether special_tokens_map.json has the token, by itself or in a list.
static bool is_named(json_t *special, const char *content)
{
    const char *name;
    json_t *value, *item;
    size_t i;
    json_object_foreach(special, name, value)
    {
        if (is_text(value, content)) return true;
        json_array_foreach(value, i, item) if (is_text(item, content)) return true;
    }
    return false;
}

// added_tokens.json: {"content": ID}.
static wf_status join_legacy(joiner *j, json_t *map, json_t *special)
{
    json_t *list = json_array(), *id;
    const char *content;
    bool failed = !list;
    json_object_foreach(map, content, id)
    {
        if (json_object_get(j->places, content)) continue;
        json_t *token =
            json_pack("{s:s, s:O, s:b}", "content", content, "id", id, "special", is_named(special, content));
        failed |= json_array_append_new(list, token) != 0;
    }
    wf_status status = failed ? error_memory(j->err, 0) : join_sorted(j, list);
    json_decref(list);
    return status;
}

static wf_status join_files(joiner *j, json_t *config, json_t *legacy, json_t *special)
{
    json_t *decoder = json_object_get(config, "added_tokens_decoder");
    if (json_is_object(decoder)) {
        TRY(join_decoder(j, decoder));
        return join_named(j, config);
    }
    TRY(join_legacy(j, legacy, special));
    TRY(join_named(j, special));
    return join_named(j, config);
}

wf_status hf_join_added_tokens(const char *path, json_t *tokenizer, wf_error *err)
{
    json_t *config = NULL, *legacy = NULL, *special = NULL;
    joiner j = {.path = path, .err = err};
    wf_status status;
    TRY_GOTO(open_file(path, "tokenizer_config.json", &config, err), done);
    TRY_GOTO(open_file(path, "added_tokens.json", &legacy, err), done);
    TRY_GOTO(open_file(path, "special_tokens_map.json", &special, err), done);
    TRY_GOTO(start_join(&j, tokenizer), done);
    status = join_files(&j, config, legacy, special);
done:
    json_decref(j.places);
    json_decref(special);
    json_decref(legacy);
    json_decref(config);
    return status;
}
