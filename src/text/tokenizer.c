// Reads the vocabulary of a checkpoint and runs the steps of tokenizer.h.
//
//     tokenizer.ggml.model       STRING, "gpt2" (byte letters), "llama" (characters, scores), "bpe" (characters,
//     merges) tokenizer.ggml.pre         STRING, a name of pretokenize.c; "default" when absent; "gpt2" only
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
//     tokenizer.json.split          [STRING], pairs for pretokenizer_create_patterns; in place of tokenizer.ggml.pre
//     tokenizer.json.flags          [U8], a token: SPECIAL_ bits of special.h
//     tokenizer.json.eos_token_ids  [I32], all that end a text
//     tokenizer.json.ignore_merges, .fuse_unknown, .strip_start
#include "text/tokenizer.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/special.h"
#include "text/utf8.h"

#define SPACE_LETTER "\xe2\x96\x81" // U+2581, a space in vocabularies of characters

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

struct tokenizer {
    const char *path; // of the file, which owns it, the texts and the merges
    const view *texts;
    int32_t count;
    int32_t bos, eos;
    bool add_bos, add_eos;
    unsigned char *types;                        // [count]
    bool *eog;                                   // [count]
    special_set user, all;                       // user-defined tokens; and the special ones
    special_set normalized_user, normalized_all; // those that are looked for in normalized text
    arena memory;                                // of their normalized texts
    const unsigned char *flags;                  // [count] SPECIAL_ bits, or NULL
    bool characters;                             // the vocabulary is of characters, not of byte letters
    bool strip_start;                            // the text of a list of tokens loses a space at its start
    float *scores;                               // [count], or NULL
    normalizer norm, prefix;                     // before and behind the search for tokens in normalized text
    pretokenizer *pre;                           // NULL: a stretch of text is one word
    bpe *bpe;
};

static bool is_special(int type) { return type == TYPE_UNKNOWN || type == TYPE_CONTROL; }

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
    memset(t->types, TYPE_NORMAL, (size_t)t->count);
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
        if (type < 0 || type > TYPE_BYTE)
            return error_set(err, WF_ERROR_FORMAT, "%s: %s[%d] is %lld, not a token type", checkpoint_path(file), key,
                             id, (long long)type);
        t->types[id] = (unsigned char)type;
    }
    return WF_OK;
}

static wf_status read_id(const checkpoint *file, const tokenizer *t, const char *key, int32_t *id, wf_error *err)
{
    int64_t value = -1;
    TRY(checkpoint_get_int_or(file, key, 0, t->count - 1, &value, err));
    *id = (int32_t)value;
    return WF_OK;
}

static bool is_eog_text(view text)
{
    static const char *const names[] = {
        "<|im_end|>",    "<|eot_id|>",
        "<|eom_id|>",    "<|end|>",
        "<|endoftext|>", "<|end_of_text|>",
        "<|EOT|>",       "<EOT>",
        "<eos>",         "<end_of_turn>",
        "<|return|>",    "</s>",
        "<|endofturn|>", "<｜end▁of▁sentence｜>",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (view_is(text, names[i])) return true;
    return false;
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
    for (int32_t id = 0; id < t->count; ++id) {
        bool may_end = is_special(t->types[id]) || t->types[id] == TYPE_USER;
        t->eog[id] = may_end && is_eog_text(t->texts[id]);
    }
    int32_t eot, eom;
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
        bool normalized = t->flags && t->flags[id] & SPECIAL_NORMALIZED;
        n_user[normalized] += t->types[id] == TYPE_USER;
        n_all[normalized] += t->types[id] == TYPE_USER || is_special(t->types[id]);
    }
    for (int i = 0; i < 2; ++i) {
        TRY(special_set_create(sets[i][0], n_user[i], err));
        TRY(special_set_create(sets[i][1], n_all[i], err));
    }
    for (int32_t id = 0; id < t->count; ++id) {
        bool normalized = t->flags && t->flags[id] & SPECIAL_NORMALIZED;
        view text = t->texts[id];
        if (t->types[id] != TYPE_USER && !is_special(t->types[id])) continue;
        if (normalized) TRY(normalize_token(t, id, &text, err));
        if (t->types[id] == TYPE_USER) special_set_add(sets[normalized][0], text, id);
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

static int hex_digit(char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

// The byte of a token "<0xHH>", or -1.
static int byte_of_text(view text)
{
    if (text.len != 6 || !view_starts_with(text, VIEW_LITERAL("<0x")) || text.data[5] != '>') return -1;
    int high = hex_digit(text.data[3]), low = hex_digit(text.data[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

static void find_byte_tokens(const tokenizer *t, int32_t tokens[256])
{
    for (int byte = 0; byte < 256; ++byte) tokens[byte] = -1;
    for (int32_t id = 0; id < t->count; ++id) {
        int byte = t->types[id] == TYPE_BYTE ? byte_of_text(t->texts[id]) : -1;
        if (byte >= 0) tokens[byte] = id;
    }
}

// Words of characters may become user-defined tokens, which SentencePiece's merging does not tell from normal ones. Of
// a tokenizer.json, words become those that the model's own vocabulary has.
static bool is_usable(const tokenizer *t, int32_t id)
{
    int type = t->types[id];
    if (type == TYPE_USER && t->flags) return t->flags[id] & SPECIAL_LEARNED;
    return t->characters ? !is_special(type) && type != TYPE_BYTE : !is_special(type) && type != TYPE_USER;
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
    if (n_items) TRY(name_path(t, pretokenizer_create_patterns(items, n_items / 2, &t->pre, err), err));
    TRY(checkpoint_get_bool_or(file, "tokenizer.json.strip_start", &t->strip_start, err));
    return read_flags(file, t, err);
}

// SentencePiece: spaces become letters of their own, one is put before each stretch of text.
static wf_status add_sentencepiece_steps(const checkpoint *file, tokenizer *t, wf_error *err)
{
    bool add_space_prefix = true;
    TRY(checkpoint_get_bool_or(file, "tokenizer.ggml.add_space_prefix", &add_space_prefix, err));
    t->strip_start = add_space_prefix;
    if (add_space_prefix)
        TRY(normalizer_add(&t->norm, (normalize_step){.kind = NORMALIZE_PREPEND, .to = VIEW_LITERAL(" ")}, err));
    return normalizer_add(
        &t->norm,
        (normalize_step){.kind = NORMALIZE_REPLACE, .from = VIEW_LITERAL(" "), .to = VIEW_LITERAL(SPACE_LETTER)}, err);
}

// The steps that a GGUF file only names. *adds_bos: whether such a model wants BOS unless the file says otherwise.
static wf_status read_named_steps(const checkpoint *file, tokenizer *t, bool *adds_bos, bool *ignore_merges,
                                  wf_error *err)
{
    view pre = VIEW_LITERAL("default");
    TRY(checkpoint_get_string_or(file, "tokenizer.ggml.pre", &pre, err));
    TRY(name_path(t, pretokenizer_create(pre, &t->pre, err), err));
    *adds_bos = pretokenizer_adds_bos(t->pre);
    *ignore_merges = pretokenizer_ignores_merges(t->pre);
    if (!pretokenizer_normalizes(t->pre)) return WF_OK;
    return normalizer_add(&t->norm, (normalize_step){.kind = NORMALIZE_NFC}, err);
}

static wf_status read_vocabulary(const checkpoint *file, tokenizer *t, wf_error *err)
{
    t->path = checkpoint_path(file);
    view model;
    TRY(checkpoint_get_string(file, "tokenizer.ggml.model", &model, err));
    bool scored = view_is(model, "llama"), from_json = checkpoint_find(file, "tokenizer.json.split") != NULL;
    t->characters = scored || view_is(model, "bpe");
    if (!t->characters && !view_is(model, "gpt2"))
        return error_set(err, WF_ERROR_UNSUPPORTED,
                         "%s: tokenizer.ggml.model '%.*s' is not supported, only 'gpt2', 'llama' and 'bpe' are",
                         t->path, VIEW_ARG(model));
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
        TRY(read_named_steps(file, t, &adds_bos, &ignore_merges, err));
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

void tokenizer_free(tokenizer *t)
{
    if (!t) return;
    bpe_free(t->bpe);
    pretokenizer_free(t->pre);
    special_set_free(&t->normalized_all);
    special_set_free(&t->normalized_user);
    special_set_free(&t->all);
    special_set_free(&t->user);
    arena_free(&t->memory);
    free(t->scores);
    free(t->eog);
    free(t->types);
    free(t);
}

typedef struct encoder {
    const tokenizer *t;
    bpe_scratch *scratch;
    buffer repaired, normalized[2], prefixed[2];
    token_list *out;
    view whole;
    bool parse_special;
    const size_t *blocked; // offsets in `whole`, ascending
    size_t n_blocked;
} encoder;

// What is done with the text between tokens; `first`: it begins the whole.
typedef wf_status stretch_fn(encoder *e, view text, bool first, wf_error *err);

static wf_status encode_word(void *context, view word, wf_error *err)
{
    encoder *e = context;
    return bpe_encode_word(e->t->bpe, e->scratch, word, e->out, err);
}

// Text in which no token is left to be found.
static wf_status encode_words(encoder *e, view text, bool first, wf_error *err)
{
    if (text.len == 0) return WF_OK;
    TRY(normalizer_apply(&e->t->prefix, first, &text, e->prefixed, err));
    return e->t->pre ? pretokenizer_split(e->t->pre, text, encode_word, e, err) : encode_word(e, text, err);
}

static wf_status encode_around(encoder *e, view text, bool first, special_walk walk, stretch_fn *encode, wf_error *err)
{
    size_t start = 0;
    for (special_match m; special_walk_next(&walk, text, start, &m); start = m.end) {
        TRY(encode(e, (view){text.data + start, m.start - start}, first && start == 0, err));
        TRY(token_list_append(e->out, m.id, err));
    }
    return encode(e, (view){text.data + start, text.len - start}, first && start == 0, err);
}

// Whether a token must not begin somewhere in this part of the whole text.
static bool has_blocked(const encoder *e, view text)
{
    size_t begin = (size_t)(text.data - e->whole.data), low = 0, high = e->n_blocked;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (e->blocked[middle] < begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low < e->n_blocked && e->blocked[low] < begin + text.len;
}

// A stretch of text between tokens. Offsets are lost when it is normalized: where some are blocked, no special token is
// looked for in it.
static wf_status encode_stretch(encoder *e, view text, bool first, wf_error *err)
{
    if (text.len == 0) return WF_OK;
    bool special = e->parse_special && !has_blocked(e, text);
    if (!utf8_is_valid(text)) {
        buffer_clear(&e->repaired);
        utf8_append_repaired(&e->repaired, text);
        if (e->repaired.failed) return error_memory(err, text.len);
        text = buffer_view(&e->repaired);
    }
    TRY(normalizer_apply(&e->t->norm, first, &text, e->normalized, err));
    special_walk walk = {.set = special ? &e->t->normalized_all : &e->t->normalized_user, .flags = e->t->flags};
    return encode_around(e, text, first, walk, encode_words, err);
}

wf_status tokenizer_encode(const tokenizer *t, view text, bool parse_special, const size_t *blocked, size_t n_blocked,
                           token_list *out, wf_error *err)
{
    encoder e = {
        .t = t, .out = out, .whole = text, .parse_special = parse_special, .blocked = blocked, .n_blocked = n_blocked};
    special_walk walk = {
        .set = parse_special ? &t->all : &t->user, .flags = t->flags, .blocked = blocked, .n_blocked = n_blocked};
    TRY(bpe_scratch_create(text.len >= 4096, &e.scratch, err)); // a cache costs more than it saves for a short text
    wf_status status = encode_around(&e, text, true, walk, encode_stretch, err);
    buffer_free(&e.repaired);
    for (int i = 0; i < 2; ++i) buffer_free(&e.normalized[i]), buffer_free(&e.prefixed[i]);
    bpe_scratch_free(e.scratch);
    return status;
}

static bool has_id(const tokenizer *t, int32_t id) { return id >= 0 && id < t->count; }

int32_t tokenizer_count(const tokenizer *t) { return t->count; }
bool tokenizer_add_bos(const tokenizer *t) { return t->add_bos; }
bool tokenizer_add_eos(const tokenizer *t) { return t->add_eos; }
int32_t tokenizer_bos(const tokenizer *t) { return t->bos; }
int32_t tokenizer_eos(const tokenizer *t) { return t->eos; }
bool tokenizer_is_eog(const tokenizer *t, int32_t id) { return has_id(t, id) && t->eog[id]; }
view tokenizer_token_text(const tokenizer *t, int32_t id) { return has_id(t, id) ? t->texts[id] : (view){"", 0}; }
int tokenizer_token_type(const tokenizer *t, int32_t id) { return has_id(t, id) ? t->types[id] : 0; }

int32_t tokenizer_find_token(const tokenizer *t, view text)
{
    const special_token *special = special_set_find(&t->all, text);
    return special ? special->id : bpe_find_token(t->bpe, text);
}

// A token of characters: a byte, or text with letters for spaces.
static void decode_characters(view text, int type, buffer *out)
{
    int byte = type == TYPE_BYTE ? byte_of_text(text) : -1;
    if (byte >= 0) {
        buffer_append_char(out, (char)byte);
        return;
    }
    for (size_t pos = 0; pos < text.len;) {
        bool space = view_starts_with((view){text.data + pos, text.len - pos}, VIEW_LITERAL(SPACE_LETTER));
        buffer_append_char(out, space ? ' ' : text.data[pos]);
        pos += space ? sizeof SPACE_LETTER - 1 : 1;
    }
}

wf_status tokenizer_decode_token(const tokenizer *t, int32_t id, bool special, buffer *out, wf_error *err)
{
    if (!has_id(t, id))
        return error_set(err, WF_ERROR_USAGE, "%s: there is no token %d, ids are 0 to %d", t->path, id, t->count - 1);
    int type = t->types[id];
    if (is_special(type) && !special) return WF_OK;
    if (t->characters && !is_special(type))
        decode_characters(t->texts[id], type, out);
    else if (is_special(type) || type == TYPE_USER)
        buffer_append_view(out, t->texts[id]);
    else
        bpe_decode(t->bpe, t->texts[id], out);
    return out->failed ? error_memory(err, out->len) : WF_OK;
}

wf_status tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t n_ids, bool special, buffer *out,
                           wf_error *err)
{
    size_t start = out->len;
    for (size_t i = 0; i < n_ids; ++i) TRY(tokenizer_decode_token(t, ids[i], special, out, err));
    if (t->strip_start && out->len > start && out->data[start] == ' ') {
        memmove(out->data + start, out->data + start + 1, out->len - start); // with the zero behind
        --out->len;
    }
    return WF_OK;
}
