// Reads the vocabulary of a checkpoint.
//
//     tokenizer.ggml.model       STRING, "gpt2" (byte letters, merges), "llama" (characters, scores), "bpe" or
//                                "gemma4" (characters, merges)
//     tokenizer.ggml.pre         STRING, a name of pretokenize_table.c; "gpt2" only
//     tokenizer.ggml.tokens      [STRING], in byte letters or characters; special and user-defined tokens as they are
//     tokenizer.ggml.token_type  [I32], as many; all normal when absent
//     tokenizer.ggml.merges      [STRING], "left right", best first
//     tokenizer.ggml.scores      [F32], "llama" only
//     tokenizer.ggml.bos_token_id, .eos_token_id, .eot_token_id, .eom_token_id, .unknown_token_id
//     tokenizer.ggml.add_bos_token, .add_eos_token, .add_space_prefix ("llama" only)
//
// From a tokenizer.json come besides (see format/hf_tokenizer.h):
//
//     tokenizer.json.normalizer     [STRING], steps of normalize.h
//     tokenizer.json.prefix         [STRING], steps that follow when tokens in normalized text are found; or absent
//     tokenizer.json.split          [STRING], pairs for pretokenizer_create; in place of tokenizer.ggml.pre
//     tokenizer.json.flags          [U8], a token: TOKEN_ bits of special.h
//     tokenizer.json.eos_token_ids  [I32], all that end a text
//     tokenizer.json.ignore_merges, .fuse_unknown, .strip_start
#include <stdio.h>
#include <stdlib.h>

#include "text/tokenizer/tokenizer_internal.h"
#include "text/unicode/utf8.h"

// An array of strings; *count at most INT32_MAX.
static wf_status read_strings(const checkpoint *file, const char *key, const view **strings, size_t *count,
                              wf_error *err)
{
    const metadata_value *value = checkpoint_find(file, key);
    if (!value) return error_set(err, WF_ERROR_FORMAT, "%s: %s is missing", checkpoint_path(file), key);
    bool is_array = value->type == METADATA_ARRAY && (value->strings || value->count == 0);
    if (!is_array || value->item_type != METADATA_STRING)
        return error_set(err, WF_ERROR_FORMAT, "%s: %s is no array of strings", checkpoint_path(file), key);
    if (value->count > INT32_MAX)
        return error_set(err, WF_ERROR_FORMAT, "%s: %s has %llu items, too many", checkpoint_path(file), key,
                         (unsigned long long)value->count);
    *strings = value->strings;
    *count = (size_t)value->count;
    return WF_OK;
}

static wf_status read_types(const checkpoint *file, tokenizer *t, wf_error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    const metadata_value *value = checkpoint_find(file, key);
    t->types = malloc((size_t)t->count);
    if (!t->types) return error_memory(err, (size_t)t->count);
    memset(t->types, TOKEN_NORMAL, (size_t)t->count);
    if (!value) return WF_OK;
    bool is_integer =
        value->item_type <= METADATA_I32 || value->item_type == METADATA_U64 || value->item_type == METADATA_I64;
    if (value->type != METADATA_ARRAY || !is_integer || (value->count && !value->data))
        return error_set(err, WF_ERROR_FORMAT, "%s: %s is no array of integers", checkpoint_path(file), key);
    if (value->count != (uint64_t)t->count)
        return error_set(err, WF_ERROR_FORMAT, "%s: %s has %llu items for %d tokens", checkpoint_path(file), key,
                         (unsigned long long)value->count, t->count);
    for (int32_t id = 0; id < t->count; ++id) {
        int64_t type = metadata_item_int(value, (uint64_t)id);
        if (type < 0 || type > TOKEN_BYTE)
            return error_set(err, WF_ERROR_FORMAT, "%s: %s[%d] is %lld, not a token type", checkpoint_path(file), key,
                             id, (long long)type);
        t->types[id] = (unsigned char)type;
    }
    return WF_OK;
}

static wf_status read_id(const checkpoint *file, const tokenizer *t, const char *key, int32_t *id, wf_error *err)
{
    return checkpoint_get_token(file, key, t->count, id, err);
}

// llama.cpp warns of these too, and goes on without.
static void warn_of_bad_ids(const checkpoint *file, tokenizer *t)
{
    static const char *const KINDS[] = {"bos",       "eos",     "eot",     "eom",     "unknown", "padding",
                                        "seperator", "cls",     "mask",    "fim_pre", "fim_suf", "fim_mid",
                                        "fim_pad",   "fim_rep", "fim_sep", "prefix",  "suffix",  "middle"};
    char key[64], first[64];
    int n = 0;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; ++i) {
        snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", KINDS[i]);
        if (checkpoint_token_is_bad(file, key, t->count) && n++ == 0) memcpy(first, key, sizeof first);
    }
    if (n == 1)
        tokenizer_warn(t, "the key '%s' names no token: there is none of that kind", first);
    else if (n)
        tokenizer_warn(t, "%d keys, as '%s', name no tokens: there are none of those kinds", n, first);
}

// The list of a generation_config.json.
static wf_status read_eos_list(const checkpoint *file, tokenizer *t, wf_error *err)
{
    static const char key[] = "tokenizer.json.eos_token_ids";
    const metadata_value *value = checkpoint_find(file, key);
    if (!value) return WF_OK;
    if (value->type != METADATA_ARRAY || value->item_type != METADATA_I32)
        return error_set(err, WF_ERROR_FORMAT, "%s: %s is no array of ids", t->path, key);
    for (uint64_t i = 0; i < value->count; ++i) {
        int64_t id = metadata_item_int(value, i);
        if (id >= 0 && id < t->count) t->eog[id] = true;
    }
    return WF_OK;
}

static wf_status read_end_tokens(const checkpoint *file, tokenizer *t, bool adds_bos, wf_error *err)
{
    t->eog = calloc((size_t)t->count, sizeof *t->eog);
    if (!t->eog) return error_memory(err, (size_t)t->count);
    tokenizer_find_ends(t);
    int32_t eot, eom;
    warn_of_bad_ids(file, t);
    TRY(read_id(file, t, "tokenizer.ggml.bos_token_id", &t->bos, err));
    TRY(read_id(file, t, "tokenizer.ggml.eos_token_id", &t->eos, err));
    TRY(read_id(file, t, "tokenizer.ggml.eot_token_id", &eot, err));
    TRY(read_id(file, t, "tokenizer.ggml.eom_token_id", &eom, err));
    if (t->eos >= 0) t->eog[t->eos] = true;
    if (eot >= 0) t->eog[eot] = true;
    if (eom >= 0) t->eog[eom] = true;

    TRY(read_eos_list(file, t, err));

    t->add_bos = adds_bos;
    TRY(checkpoint_get_bool_or(file, "tokenizer.ggml.add_bos_token", &t->add_bos, err));
    TRY(checkpoint_get_bool_or(file, "tokenizer.ggml.add_eos_token", &t->add_eos, err));
    t->add_bos = t->add_bos && t->bos >= 0;
    t->add_eos = t->add_eos && t->eos >= 0;
    return WF_OK;
}

// A token's text as it stands in normalized text.
static wf_status normalize_token(tokenizer *t, int32_t id, view *text, wf_error *err)
{
    buffer memory[2] = {{0}, {0}};
    *text = t->texts[id];
    wf_status status = utf8_is_valid(*text) ? normalizer_apply(&t->norm, true, text, memory, err) : WF_OK;
    char *copy = status == WF_OK ? arena_strdup(&t->memory, *text) : NULL;
    if (status == WF_OK && !copy) status = error_memory(err, text->len);
    if (copy) *text = (view){copy, text->len};
    for (int i = 0; i < 2; ++i) buffer_free(&memory[i]);
    return status;
}

static wf_status collect_special(tokenizer *t, wf_error *err)
{
    special_set *const sets[2][2] = {{&t->user, &t->all}, {&t->normalized_user, &t->normalized_all}};
    size_t n_user[2] = {0}, n_all[2] = {0};
    for (int32_t id = 0; id < t->count; ++id) {
        bool normalized = t->flags && t->flags[id] & TOKEN_NORMALIZED;
        n_user[normalized] += t->types[id] == TOKEN_USER;
        n_all[normalized] += t->types[id] == TOKEN_USER || token_is_special(t->types[id]);
    }
    for (int i = 0; i < 2; ++i) {
        TRY(special_set_create(sets[i][0], n_user[i], err));
        TRY(special_set_create(sets[i][1], n_all[i], err));
    }
    for (int32_t id = 0; id < t->count; ++id) {
        bool normalized = t->flags && t->flags[id] & TOKEN_NORMALIZED;
        view text = t->texts[id];
        if (t->types[id] != TOKEN_USER && !token_is_special(t->types[id])) continue;
        if (normalized) TRY(normalize_token(t, id, &text, err));
        if (t->types[id] == TOKEN_USER) special_set_add(sets[normalized][0], text, id);
        special_set_add(sets[normalized][1], text, id);
    }
    for (int i = 0; i < 4; ++i) special_set_sort(sets[i / 2][i % 2]);
    return WF_OK;
}

// Puts the file's path before a message that does not know it.
static wf_status name_path(const tokenizer *t, wf_status status, wf_error *err)
{
    if (status == WF_OK || !err) return status;
    wf_error inner = *err;
    return error_set(err, status, "%s: tokenizer: %s", t->path, inner.message);
}

static wf_status read_scores(const checkpoint *file, tokenizer *t, wf_error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    const metadata_value *value = checkpoint_find(file, key);
    bool is_float = value && value->type == METADATA_ARRAY &&
                    (value->item_type == METADATA_F32 || value->item_type == METADATA_F64);
    if (!is_float || value->count != (uint64_t)t->count)
        return error_set(err, WF_ERROR_FORMAT, "%s: %s is no array of %d numbers", t->path, key, t->count);
    t->scores = malloc((size_t)t->count * sizeof *t->scores);
    if (!t->scores) return error_memory(err, (size_t)t->count * sizeof *t->scores);
    for (int32_t id = 0; id < t->count; ++id) t->scores[id] = (float)metadata_item_float(value, (uint64_t)id);
    return WF_OK;
}

static void find_byte_tokens(const tokenizer *t, int32_t tokens[256])
{
    for (int byte = 0; byte < 256; ++byte) tokens[byte] = -1;
    for (int32_t id = 0; id < t->count; ++id) {
        int byte = t->types[id] == TOKEN_BYTE ? token_byte_of(t->texts[id]) : -1;
        if (byte >= 0) tokens[byte] = id;
    }
}

// Words of characters may become user-defined tokens, which SentencePiece's merging does not tell from normal ones. Of
// a tokenizer.json, words become those that the model's own vocabulary has.
static bool is_usable(const tokenizer *t, int32_t id)
{
    int type = t->types[id];
    if (type == TOKEN_USER && t->flags) return t->flags[id] & TOKEN_LEARNED;
    return t->characters ? !token_is_special(type) && type != TOKEN_BYTE
                         : !token_is_special(type) && type != TOKEN_USER;
}

static wf_status create_bpe(const checkpoint *file, tokenizer *t, bool ignore_merges, wf_error *err)
{
    bpe_config config = {
        .tokens = t->texts, .n_tokens = (size_t)t->count, .ignore_merges = ignore_merges, .characters = t->characters};
    int32_t byte_tokens[256];
    if (t->scores)
        config.scores = t->scores;
    else
        TRY(read_strings(file, "tokenizer.ggml.merges", &config.merges, &config.n_merges, err));
    if (t->characters) {
        find_byte_tokens(t, byte_tokens);
        config.byte_tokens = byte_tokens;
        config.fuse_unknown = true;
        TRY(read_id(file, t, "tokenizer.ggml.unknown_token_id", &config.unknown, err));
        TRY(checkpoint_get_bool_or(file, "tokenizer.json.fuse_unknown", &config.fuse_unknown, err));
    }
    bool *usable = malloc((size_t)t->count * sizeof *usable);
    if (!usable) return error_memory(err, (size_t)t->count);
    for (int32_t id = 0; id < t->count; ++id) usable[id] = is_usable(t, id);
    config.usable = usable;
    wf_status status = name_path(t, bpe_create(&config, &t->bpe, err), err);
    free(usable);
    return status;
}

static wf_status read_flags(const checkpoint *file, tokenizer *t, wf_error *err)
{
    static const char key[] = "tokenizer.json.flags";
    const metadata_value *value = checkpoint_find(file, key);
    if (!value) return WF_OK;
    if (value->type != METADATA_ARRAY || value->item_type != METADATA_U8 || value->count != (uint64_t)t->count)
        return error_set(err, WF_ERROR_FORMAT, "%s: %s is no array of %d bytes", t->path, key, t->count);
    t->flags = value->data;
    return WF_OK;
}

// What comes before BPE, as a tokenizer.json says it.
static wf_status read_json_steps(const checkpoint *file, tokenizer *t, wf_error *err)
{
    const view *items;
    size_t n_items;
    TRY(read_strings(file, "tokenizer.json.normalizer", &items, &n_items, err));
    TRY(name_path(t, normalizer_read(items, n_items, &t->norm, err), err));
    if (checkpoint_find(file, "tokenizer.json.prefix")) {
        TRY(read_strings(file, "tokenizer.json.prefix", &items, &n_items, err));
        TRY(name_path(t, normalizer_read(items, n_items, &t->prefix, err), err));
    }
    TRY(read_strings(file, "tokenizer.json.split", &items, &n_items, err));
    if (n_items % 2) return error_set(err, WF_ERROR_FORMAT, "%s: tokenizer.json.split is no list of pairs", t->path);
    if (n_items) TRY(name_path(t, pretokenizer_create(items, n_items / 2, &t->pre, err), err));
    TRY(checkpoint_get_bool_or(file, "tokenizer.json.strip_start", &t->strip_start, err));
    return read_flags(file, t, err);
}

static wf_status add_space_letters(tokenizer *t, wf_error *err)
{
    return normalizer_add(
        &t->norm,
        (normalize_step){.kind = NORMALIZE_REPLACE, .from = VIEW_LITERAL(" "), .to = VIEW_LITERAL(TOKEN_SPACE)}, err);
}

// SentencePiece: spaces become letters of their own, one is put before each stretch of text.
static wf_status add_sentencepiece_steps(const checkpoint *file, tokenizer *t, wf_error *err)
{
    bool add_space_prefix = true;
    TRY(checkpoint_get_bool_or(file, "tokenizer.ggml.add_space_prefix", &add_space_prefix, err));
    t->strip_start = add_space_prefix;
    if (add_space_prefix)
        TRY(normalizer_add(&t->norm, (normalize_step){.kind = NORMALIZE_PREPEND, .to = VIEW_LITERAL(" ")}, err));
    return add_space_letters(t, err);
}

// Files older than the key (May 2024) have it not: llama.cpp's default then is its own oldest way of cutting words,
// which is that of no model.
static view guess_pre(tokenizer *t)
{
    tokenizer_warn(t, "the key 'tokenizer.ggml.pre' is missing: words are cut in the default way, which is a guess");
    return VIEW_LITERAL("default");
}

// The steps that a GGUF file only names. *adds_bos: whether such a model wants BOS unless the file says otherwise.
static wf_status read_named_steps(const checkpoint *file, tokenizer *t, view model, bool *adds_bos, bool *ignore_merges,
                                  wf_error *err)
{
    view pre = VIEW_LITERAL("");
    TRY(checkpoint_get_string_or(file, "tokenizer.ggml.pre", &pre, err));
    if (view_is(model, "gemma4"))
        pre = model;
    else if (pre.len == 0)
        pre = guess_pre(t);
    const pretokenizer_recipe *recipe = pretokenizer_find_recipe(pre);
    if (!recipe)
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: tokenizer: unknown pre-tokenizer '%.*s'", t->path,
                         NAME_ARG(pre));
    TRY(name_path(t, pretokenizer_create_named(recipe, &t->pre, err), err));
    *adds_bos = recipe->adds_bos;
    *ignore_merges = recipe->ignores_merges;
    if (recipe->characters) {
        t->characters = true;
        TRY(add_space_letters(t, err));
    }
    return recipe->normalizes ? normalizer_add(&t->norm, (normalize_step){.kind = NORMALIZE_NFC}, err) : WF_OK;
}

static wf_status read_vocabulary(const checkpoint *file, tokenizer *t, wf_error *err)
{
    t->path = checkpoint_path(file);
    view model;
    if (!checkpoint_find(file, "tokenizer.ggml.model"))
        return error_set(err, WF_ERROR_FORMAT,
                         "%s: there is no tokenizer: neither the key 'tokenizer.ggml.model' nor, in a folder, the file "
                         "tokenizer.json",
                         t->path);
    TRY(checkpoint_get_string(file, "tokenizer.ggml.model", &model, err));
    bool scored = view_is(model, "llama"), from_json = checkpoint_find(file, "tokenizer.json.split") != NULL;
    t->characters = scored || view_is(model, "bpe");
    if (!t->characters && !view_is(model, "gpt2") && !view_is(model, "gemma4"))
        return error_set(err, WF_ERROR_UNSUPPORTED,
                         "%s: tokenizer.ggml.model '%.*s' is not supported, only 'gpt2', 'llama', 'bpe' and 'gemma4' "
                         "are",
                         t->path, NAME_ARG(model));
    size_t count;
    TRY(read_strings(file, "tokenizer.ggml.tokens", &t->texts, &count, err));
    if (count == 0) return error_set(err, WF_ERROR_FORMAT, "%s: tokenizer.ggml.tokens is empty", t->path);
    t->count = (int32_t)count;
    bool adds_bos = scored, ignore_merges = false;
    if (from_json)
        TRY(read_json_steps(file, t, err));
    else if (t->characters)
        TRY(add_sentencepiece_steps(file, t, err));
    else
        TRY(read_named_steps(file, t, model, &adds_bos, &ignore_merges, err));
    TRY(checkpoint_get_bool_or(file, "tokenizer.json.ignore_merges", &ignore_merges, err));
    if (scored) TRY(read_scores(file, t, err));
    TRY(read_types(file, t, err));
    TRY(read_end_tokens(file, t, adds_bos, err));
    TRY(collect_special(t, err));
    return create_bpe(file, t, ignore_merges, err);
}

wf_status tokenizer_create(const checkpoint *file, tokenizer **out, wf_error *err)
{
    tokenizer *t = calloc(1, sizeof *t);
    if (!t) return error_memory(err, sizeof *t);
    wf_status status = read_vocabulary(file, t, err);
    if (status == WF_OK)
        *out = t;
    else
        tokenizer_free(t);
    return status;
}
