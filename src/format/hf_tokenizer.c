// From parts to steps. A tokenizer.json is a pipeline of parts, most of which have an exact counterpart:
//
//     normalizer      NFC, Prepend, Replace (of a string), Sequence           steps
//     pre_tokenizer   Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit, ByteLevel, Sequence
//                                                                             splits
//                     Metaspace                                               a prefix, and perhaps a split
//     model           BPE                                                     tokens, merges
//     post_processor  TemplateProcessing, ByteLevel, Sequence                 BOS and EOS
//     decoder         ByteLevel, Replace, ByteFallback, Fuse, Strip, ...      whether a first space goes
//
// A vocabulary is in byte letters when a ByteLevel pre-tokenizer makes them, else in characters.
#include "format/hf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "format/token.h"

enum { MAX_PARTS = 16, MAX_TEXTS = 64 };

// Oniguruma's form of the expression that ByteLevel cuts words with when the file asks for it (byte_level.rs).
#define BYTE_LEVEL_WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

// ---- reading

typedef struct text_list {
    view items[MAX_TEXTS];
    size_t count;
} text_list;

typedef struct converter {
    const char *path;
    checkpoint *file;
    arena *memory;
    wf_error *err;
    int64_t n_vocab;
    hf_specials *out;
    view *texts;          // [count]
    unsigned char *types; // [count]
    unsigned char *flags; // [count]
    int64_t count;
    text_list steps, prefix, splits;
    bool byte_letters, byte_fallback, strip_start;
    bool prepends, replaces; // the normalizer does so
    bool rewrites;           // the normalizer does more than to spell spaces in another way
} converter;

static json_fields fields_of(const converter *c, const json_t *object)
{
    return (json_fields){c->path, object, c->err};
}

static wf_status refuse(const converter *c, const char *part, const char *what)
{
    return error_set(c->err, WF_ERROR_UNSUPPORTED, "%s: %s: %.80s is not supported", c->path, part, what);
}

static wf_status copy_text(const converter *c, view text, view *copy)
{
    char *data = arena_strdup(c->memory, text);
    if (!data) return error_memory(c->err, text.len);
    *copy = (view){data, text.len};
    return WF_OK;
}

static wf_status add_text(converter *c, text_list *list, view text)
{
    if (list->count == MAX_TEXTS) return refuse(c, "normalizer or pre_tokenizer", "so long a sequence");
    return copy_text(c, text, &list->items[list->count++]);
}

static wf_status add_step(converter *c, text_list *steps, const char *name, view a, view b)
{
    TRY(add_text(c, steps, view_of(name)));
    if (a.data) TRY(add_text(c, steps, a));
    return b.data ? add_text(c, steps, b) : WF_OK;
}

static wf_status add_split(converter *c, const char *behaviour, view expression)
{
    TRY(add_text(c, &c->splits, view_of(behaviour)));
    return add_text(c, &c->splits, expression);
}

// The "type" of a part; an error when there is none.
static wf_status read_type(const converter *c, const char *part, const json_t *object, view *type)
{
    json_fields f = fields_of(c, object);
    *type = VIEW_LITERAL("");
    if (!json_is_object(object)) return error_set(c->err, WF_ERROR_FORMAT, "%s: %s is not an object", c->path, part);
    TRY(json_field_string(&f, "type", type));
    return type->len ? WF_OK : error_set(c->err, WF_ERROR_FORMAT, "%s: %s has no type", c->path, part);
}

// A part, or each part of a "Sequence" in turn; no sequence inside a sequence.
typedef wf_status part_reader(converter *c, const json_t *part, view type);

static wf_status read_parts(converter *c, const char *name, const char *list, const json_t *part, part_reader *reader)
{
    if (!part || json_is_null(part)) return WF_OK;
    view type;
    TRY(read_type(c, name, part, &type));
    if (!view_is(type, "Sequence")) return reader(c, part, type);
    json_t *items = NULL, *item;
    size_t i;
    json_fields f = fields_of(c, part);
    TRY(json_field_array(&f, list, &items));
    if (json_array_size(items) > MAX_PARTS) return refuse(c, name, "so long a sequence");
    json_array_foreach(items, i, item)
    {
        TRY(read_type(c, name, item, &type));
        TRY(reader(c, item, type));
    }
    return WF_OK;
}

// {"String": text} or {"Regex": text}.
static wf_status read_pattern(const converter *c, const json_t *part, view *text, bool *is_regex)
{
    json_t *pattern = NULL;
    json_fields f = fields_of(c, part);
    *text = (view){0};
    TRY(json_field_object(&f, "pattern", &pattern));
    json_fields inner = fields_of(c, pattern);
    *is_regex = json_object_get(pattern, "Regex") != NULL;
    TRY(json_field_string(&inner, *is_regex ? "Regex" : "String", text));
    if (text->len) return WF_OK;
    return error_set(c->err, WF_ERROR_FORMAT, "%s: a part has no pattern, or an empty one", c->path);
}

// ---- normalizer

static wf_status read_normalizer(converter *c, const json_t *part, view type)
{
    json_fields f = fields_of(c, part);
    view text = VIEW_LITERAL(""), content = VIEW_LITERAL("");
    bool is_regex;
    if (view_is(type, "NFC")) {
        c->rewrites = true;
        return add_step(c, &c->steps, "nfc", (view){0}, (view){0});
    }
    if (view_is(type, "Prepend")) {
        TRY(json_field_string(&f, "prepend", &text));
        c->prepends = true;
        return text.len ? add_step(c, &c->steps, "prepend", text, (view){0}) : WF_OK;
    }
    if (!view_is(type, "Replace")) return refuse(c, "normalizer", type.data);
    TRY(read_pattern(c, part, &text, &is_regex));
    TRY(json_field_string(&f, "content", &content));
    if (is_regex) return refuse(c, "normalizer", "Replace of a regular expression");
    c->replaces = true;
    c->rewrites = c->rewrites || !view_is(text, " ");
    return add_step(c, &c->steps, "replace", text, content);
}

// ---- pre-tokenizer

// An expression that matches exactly `text`.
static wf_status quote_text(const converter *c, view text, view *quoted)
{
    char *out = arena_alloc(c->memory, 2 * text.len + 1, 1);
    size_t n = 0;
    if (!out) return error_memory(c->err, text.len);
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] && strchr("\\^$.|?*+()[]{}", text.data[i])) out[n++] = '\\';
        out[n++] = text.data[i];
    }
    *quoted = (view){out, n};
    return WF_OK;
}

// A field that says what becomes of matches, as a name of text/tokenizer/pretokenize.h.
static wf_status read_behavior(const converter *c, const json_fields *f, bool inverted, view *ours)
{
    static const char *const names[][3] = {
        {"Isolated", "isolated", "isolated inverted"},
        {"Removed", "removed", "removed inverted"},
        {"MergedWithPrevious", "merged_with_previous", "merged_with_previous inverted"},
        {"MergedWithNext", "merged_with_next", "merged_with_next inverted"},
        {"Contiguous", "contiguous", "contiguous inverted"},
    };
    view behavior = VIEW_LITERAL("Isolated"); // Punctuation need not say
    TRY(json_field_string(f, "behavior", &behavior));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *ours = view_of(names[i][1 + inverted]);
        if (view_is(behavior, names[i][0])) return WF_OK;
    }
    return refuse(c, "pre_tokenizer: behavior", behavior.data);
}

static wf_status read_split(converter *c, const json_t *part)
{
    json_fields f = fields_of(c, part);
    view text, behavior;
    bool is_regex, invert = false;
    TRY(read_pattern(c, part, &text, &is_regex));
    TRY(json_field_bool(&f, "invert", &invert));
    TRY(read_behavior(c, &f, invert, &behavior));
    if (!is_regex) TRY(quote_text(c, text, &text));
    return add_split(c, behavior.data, text);
}

// Parts that are a split by an expression of their own (tokenizers/src/pre_tokenizers); *found: this is one.
static wf_status read_fixed_split(converter *c, const json_t *part, view type, bool *found)
{
    static const struct {
        const char *type, *behavior, *expression;
    } splits[] = {
        {"WhitespaceSplit", "removed", "\\s"},
        {"Whitespace", "removed inverted", "\\w+|[^\\w\\s]+"},
        {"BertPreTokenizer", "removed", "\\s"},
    };
    static const char PUNCTUATION[] = "[!-/:-@\\[-`{-~\\p{P}]";
    json_fields f = fields_of(c, part);
    *found = true;
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        if (!view_is(type, splits[i].type)) continue;
        TRY(add_split(c, splits[i].behavior, view_of(splits[i].expression)));
        return i == 2 ? add_split(c, "isolated", VIEW_LITERAL(PUNCTUATION)) : WF_OK;
    }
    if (view_is(type, "Punctuation")) {
        view behavior;
        TRY(read_behavior(c, &f, false, &behavior));
        return add_split(c, behavior.data, VIEW_LITERAL(PUNCTUATION));
    }
    if (view_is(type, "CharDelimiterSplit")) {
        view delimiter = VIEW_LITERAL("");
        TRY(json_field_string(&f, "delimiter", &delimiter));
        if (delimiter.len == 0) return refuse(c, "pre_tokenizer", "CharDelimiterSplit without its delimiter");
        TRY(quote_text(c, delimiter, &delimiter));
        return add_split(c, "removed", delimiter);
    }
    *found = false;
    return WF_OK;
}

static wf_status read_metaspace(converter *c, const json_t *part)
{
    json_fields f = fields_of(c, part);
    view letter = VIEW_LITERAL(""), scheme = VIEW_LITERAL("");
    bool prefix = true, split = true;
    TRY(json_field_string(&f, "replacement", &letter));
    TRY(json_field_string(&f, "prepend_scheme", &scheme));
    TRY(json_field_bool(&f, "add_prefix_space", &prefix));
    TRY(json_field_bool(&f, "split", &split));
    if (!view_is(letter, TOKEN_SPACE)) return refuse(c, "pre_tokenizer", "a Metaspace that is not U+2581");
    if (c->splits.count) return refuse(c, "pre_tokenizer", "Metaspace behind another one");
    TRY(add_step(c, &c->prefix, "replace", VIEW_LITERAL(" "), letter));
    if (scheme.len == 0) scheme = prefix ? VIEW_LITERAL("always") : VIEW_LITERAL("never");
    if (view_is(scheme, "always"))
        TRY(add_step(c, &c->prefix, "prefix", letter, (view){0}));
    else if (view_is(scheme, "first"))
        TRY(add_step(c, &c->prefix, "prefix_first", letter, (view){0}));
    else if (!view_is(scheme, "never"))
        return refuse(c, "pre_tokenizer: prepend_scheme", scheme.data);
    return split ? add_split(c, "merged_with_next", letter) : WF_OK;
}

static wf_status read_pre_tokenizer(converter *c, const json_t *part, view type)
{
    json_fields f = fields_of(c, part);
    bool individual = false, prefix = false, words = true, found;
    if (c->byte_letters) return refuse(c, "pre_tokenizer", "a part behind ByteLevel");
    if (view_is(type, "Split")) return read_split(c, part);
    if (view_is(type, "Metaspace")) return read_metaspace(c, part);
    TRY(read_fixed_split(c, part, type, &found));
    if (found) return WF_OK;
    if (view_is(type, "Digits")) {
        TRY(json_field_bool(&f, "individual_digits", &individual));
        return add_split(c, "isolated", individual ? VIEW_LITERAL("\\p{N}") : VIEW_LITERAL("\\p{N}+"));
    }
    if (!view_is(type, "ByteLevel")) return refuse(c, "pre_tokenizer", type.data);
    TRY(json_field_bool(&f, "add_prefix_space", &prefix));
    TRY(json_field_bool(&f, "use_regex", &words));
    if (prefix && c->splits.count)
        return refuse(c, "pre_tokenizer", "ByteLevel with add_prefix_space behind another one");
    if (prefix) TRY(add_step(c, &c->prefix, "prefix", VIEW_LITERAL(" "), (view){0}));
    c->byte_letters = true;
    return words ? add_split(c, "isolated", VIEW_LITERAL(BYTE_LEVEL_WORDS)) : WF_OK;
}

// ---- model

// Ids of vocabulary and added tokens; a table with few gaps, since its size must not be the file's to choose.
static wf_status size_table(converter *c, json_t *vocabulary, json_t *added)
{
    const char *key;
    json_t *value;
    size_t i, n = json_object_size(vocabulary) + json_array_size(added);
    json_object_foreach(vocabulary, key, value)
    {
        if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > INT32_MAX)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: model: token '%.80s' has no id", c->path, key);
        if (json_integer_value(value) >= c->count) c->count = json_integer_value(value) + 1;
    }
    json_array_foreach(added, i, value)
    {
        int64_t id = -1;
        json_fields f = fields_of(c, value);
        TRY(json_field_int(&f, "id", 0, INT32_MAX, &id));
        if (id < 0) return error_set(c->err, WF_ERROR_FORMAT, "%s: added token %zu has no id", c->path, i);
        if (id >= c->count) c->count = id + 1;
    }
    if (c->count > c->n_vocab) c->count = c->n_vocab;
    if (c->count == 0 || (size_t)c->count > 2 * n + 4096)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: ids up to %lld for %zu tokens", c->path, (long long)c->count - 1,
                         n);
    c->texts = arena_alloc(c->memory, (size_t)c->count, sizeof *c->texts);
    c->types = arena_alloc(c->memory, (size_t)c->count, 1);
    c->flags = arena_alloc(c->memory, (size_t)c->count, 1);
    if (!c->texts || !c->types || !c->flags) return error_memory(c->err, (size_t)c->count * sizeof *c->texts);
    for (i = 0; i < (size_t)c->count; i++) c->texts[i] = (view){"", 0}, c->types[i] = TOKEN_UNUSED;
    return WF_OK;
}

static wf_status read_vocabulary(converter *c, json_t *vocabulary)
{
    const char *key;
    size_t key_len; // a token may hold NUL
    json_t *value;
    json_object_keylen_foreach(vocabulary, key, key_len, value)
    {
        json_int_t id = json_integer_value(value);
        if (id >= c->count) continue;
        if (c->types[id] != TOKEN_UNUSED)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: model: tokens '%.80s' and '%.80s' have the same id %lld",
                             c->path, c->texts[id].data, key, (long long)id);
        TRY(copy_text(c, (view){key, key_len}, &c->texts[id]));
        c->types[id] = c->byte_fallback && token_byte_of(c->texts[id]) >= 0 ? TOKEN_BYTE : TOKEN_NORMAL;
    }
    return WF_OK;
}

// A merge is "left right" or ["left", "right"].
static wf_status read_merge(const converter *c, const json_t *item, size_t index, view *merge)
{
    if (json_is_string(item)) return copy_text(c, (view){json_string_value(item), json_string_length(item)}, merge);
    const json_t *first = json_array_get(item, 0), *second = json_array_get(item, 1);
    const char *left = json_string_value(first), *right = json_string_value(second);
    if (!left || !right || json_array_size(item) != 2)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: model: merge %zu is no pair", c->path, index);
    size_t n = json_string_length(first), m = json_string_length(second);
    if (memchr(left, ' ', n) || memchr(right, ' ', m)) return refuse(c, "model", "a merge of tokens with spaces");
    char *text = arena_alloc(c->memory, n + m + 2, 1);
    if (!text) return error_memory(c->err, n + m + 2);
    memcpy(text, left, n);
    text[n] = ' ';
    memcpy(text + n + 1, right, m);
    *merge = (view){text, n + m + 1};
    return WF_OK;
}

static wf_status read_merges(converter *c, json_t *merges)
{
    size_t i, n = json_array_size(merges);
    json_t *item;
    view *texts = arena_alloc(c->memory, n, sizeof *texts);
    if (!texts) return error_memory(c->err, n * sizeof *texts);
    json_array_foreach(merges, i, item) TRY(read_merge(c, item, i, &texts[i]));
    return hf_add_strings(c->file, "tokenizer.ggml.merges", texts, n, c->err);
}

static int64_t find_token(const converter *c, view text)
{
    for (int64_t id = 0; id < c->count; id++)
        if (c->types[id] != TOKEN_UNUSED && view_equal(c->texts[id], text)) return id;
    return -1;
}

static wf_status read_unknown(converter *c, const json_fields *f)
{
    view unknown = VIEW_LITERAL("");
    bool fuse = false;
    TRY(json_field_string(f, "unk_token", &unknown));
    TRY(json_field_bool(f, "fuse_unk", &fuse));
    TRY(hf_add_bool(c->file, "tokenizer.json.fuse_unknown", fuse, c->err));
    int64_t id = unknown.len ? find_token(c, unknown) : -1;
    if (unknown.len && id < 0)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: model: unk_token '%.80s' is no token", c->path, unknown.data);
    return id < 0 ? WF_OK : hf_add_int(c->file, "tokenizer.ggml.unknown_token_id", id, c->err);
}

// Fields that the model must not use, or that need no care.
static wf_status check_model(converter *c, json_t *model)
{
    static const char *const known[] = {"type",     "vocab",         "merges",        "unk_token",
                                        "fuse_unk", "byte_fallback", "ignore_merges", "dropout"};
    const char *key;
    json_t *value;
    json_fields f = fields_of(c, model);
    json_object_foreach(model, key, value)
    {
        bool is_known =
            json_is_null(value) || json_is_false(value) || (json_is_string(value) && !json_string_length(value));
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) is_known = is_known || !strcmp(key, known[i]);
        if (!is_known) return json_refuse(&f, key, value);
    }
    value = json_field(&f, "dropout");
    return value && json_number_value(value) != 0 ? json_refuse(&f, "dropout", value) : WF_OK;
}

static wf_status read_model(converter *c, const json_t *root, json_t *added)
{
    json_fields f = fields_of(c, root);
    json_t *model = NULL, *vocabulary = NULL, *merges = NULL;
    view type = VIEW_LITERAL("BPE"); // old files do not say
    bool ignore_merges = false;
    TRY(json_field_object(&f, "model", &model));
    json_fields m = fields_of(c, model);
    TRY(json_field_string(&m, "type", &type));
    if (!view_is(type, "BPE")) return refuse(c, "model", type.data);
    TRY(check_model(c, model));
    TRY(json_field_object(&m, "vocab", &vocabulary));
    TRY(json_field_array(&m, "merges", &merges));
    if (!vocabulary || !merges)
        return error_set(c->err, WF_ERROR_FORMAT, "%s: model has no vocab or no merges", c->path);
    TRY(json_field_bool(&m, "byte_fallback", &c->byte_fallback));
    TRY(json_field_bool(&m, "ignore_merges", &ignore_merges));
    TRY(size_table(c, vocabulary, added));
    TRY(read_vocabulary(c, vocabulary));
    TRY(read_merges(c, merges));
    TRY(hf_add_bool(c->file, "tokenizer.json.ignore_merges", ignore_merges, c->err));
    return read_unknown(c, &m);
}

// ---- added tokens

// Whether it matters that a token is looked for in normalized text: normalizing changes its text, or what is around it.
static bool is_normalized_apart(const converter *c, view text, bool looks_around)
{
    if (c->prepends || (looks_around && c->replaces)) return true;
    for (size_t i = 0; i < text.len && c->steps.count; i++)
        if ((unsigned char)text.data[i] >= 0x80 || text.data[i] == ' ') return true;
    return false;
}

static wf_status read_added_token(converter *c, const json_t *item)
{
    json_fields f = fields_of(c, item);
    int64_t id = -1;
    view content = VIEW_LITERAL("");
    bool special = false, left = false, right = false, normalized = false, single = false;
    TRY(json_field_int(&f, "id", 0, INT32_MAX, &id));
    TRY(json_field_string(&f, "content", &content));
    TRY(json_field_bool(&f, "special", &special));
    TRY(json_field_bool(&f, "lstrip", &left));
    TRY(json_field_bool(&f, "rstrip", &right));
    TRY(json_field_bool(&f, "normalized", &normalized));
    TRY(json_field_bool(&f, "single_word", &single));
    if (id >= c->count) return WF_OK;
    normalized = normalized && is_normalized_apart(c, content, left || right || single);
    // Its text could then come out of other text, which a message must not become.
    if (normalized && special && c->rewrites) return refuse(c, "added_tokens: normalized of", content.data);
    bool learned = !special && c->types[id] == TOKEN_NORMAL && view_equal(c->texts[id], content);
    TRY(copy_text(c, content, &c->texts[id]));
    c->types[id] = (unsigned char)(special ? TOKEN_CONTROL : TOKEN_USER);
    c->flags[id] = (unsigned char)((left ? TOKEN_STRIP_LEFT : 0) | (right ? TOKEN_STRIP_RIGHT : 0) |
                                   (single ? TOKEN_SINGLE_WORD : 0) | (normalized ? TOKEN_NORMALIZED : 0) |
                                   (learned ? TOKEN_LEARNED : 0));
    return WF_OK;
}

static wf_status read_added_tokens(converter *c, json_t *added)
{
    size_t i;
    json_t *item;
    json_array_foreach(added, i, item) TRY(read_added_token(c, item));
    return WF_OK;
}

// ---- post-processor

// {"SpecialToken": {"id": name}}: the id is in the table of special tokens.
static wf_status read_template_token(const converter *c, const json_t *part, const json_t *item, int64_t *id)
{
    const char *name = json_string_value(json_object_get(json_object_get(item, "SpecialToken"), "id"));
    const json_t *entry = name ? json_object_get(json_object_get(part, "special_tokens"), name) : NULL;
    const json_t *ids = json_object_get(entry, "ids");
    if (json_array_size(ids) != 1 || !json_is_integer(json_array_get(ids, 0)))
        return refuse(c, "post_processor", "a special token of several ids, or of none");
    *id = json_integer_value(json_array_get(ids, 0));
    if (*id >= 0 && *id < c->count) return WF_OK;
    return error_set(c->err, WF_ERROR_FORMAT, "%s: post_processor: token %lld does not exist", c->path, (long long)*id);
}

static wf_status read_template(converter *c, const json_t *part)
{
    json_fields f = fields_of(c, part);
    json_t *items = NULL, *item;
    size_t i;
    bool behind = false;
    TRY(json_field_array(&f, "single", &items));
    json_array_foreach(items, i, item)
    {
        if (json_object_get(item, "Sequence")) {
            if (behind) return refuse(c, "post_processor", "a template with the text twice");
            behind = true;
            continue;
        }
        int64_t *id = behind ? &c->out->eos : &c->out->bos;
        if (*id >= 0) return refuse(c, "post_processor", "a template with several tokens on one side");
        TRY(read_template_token(c, part, item, id));
    }
    return behind ? WF_OK : refuse(c, "post_processor", "a template without the text");
}

static wf_status read_post_processor(converter *c, const json_t *part, view type)
{
    if (view_is(type, "ByteLevel")) return WF_OK; // concerns offsets only
    if (view_is(type, "TemplateProcessing")) return read_template(c, part);
    return refuse(c, "post_processor", type.data);
}

// ---- decoder

static wf_status read_decoder(converter *c, const json_t *part, view type)
{
    static const char *const plain[] = {"ByteLevel", "Replace", "ByteFallback", "Fuse"};
    json_fields f = fields_of(c, part);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (view_is(type, plain[i])) return WF_OK;
    if (view_is(type, "Metaspace")) {
        view scheme = VIEW_LITERAL("");
        bool prefix = true;
        TRY(json_field_string(&f, "prepend_scheme", &scheme));
        TRY(json_field_bool(&f, "add_prefix_space", &prefix));
        c->strip_start = scheme.len ? !view_is(scheme, "never") : prefix;
        return WF_OK;
    }
    if (!view_is(type, "Strip")) return refuse(c, "decoder", type.data);
    view content = VIEW_LITERAL("");
    int64_t start = 0, stop = 0;
    TRY(json_field_string(&f, "content", &content));
    TRY(json_field_int(&f, "start", 0, 1, &start));
    TRY(json_field_int(&f, "stop", 0, 0, &stop));
    if (!view_is(content, " ")) return refuse(c, "decoder", "Strip of something else than a space");
    c->strip_start = start == 1;
    return WF_OK;
}

// ---- all

static view *copy_list(const converter *c, const text_list *list)
{
    view *items = arena_alloc(c->memory, list->count, sizeof *items);
    if (items && list->count) memcpy(items, list->items, list->count * sizeof *items);
    return items;
}

static wf_status add_values(converter *c)
{
    checkpoint *file = c->file;
    const view *steps = copy_list(c, &c->steps), *prefix = copy_list(c, &c->prefix);
    const view *splits = copy_list(c, &c->splits);
    size_t n = (size_t)c->count;
    if (!steps || !prefix || !splits) return error_memory(c->err, sizeof c->steps);
    TRY(hf_add_string(file, "tokenizer.ggml.model", view_of(c->byte_letters ? "gpt2" : "bpe"), c->err));
    TRY(hf_add_strings(file, "tokenizer.ggml.tokens", c->texts, n, c->err));
    TRY(hf_add_array(file, "tokenizer.ggml.token_type", METADATA_U8, c->types, n, c->err));
    TRY(hf_add_array(file, "tokenizer.json.flags", METADATA_U8, c->flags, n, c->err));
    TRY(hf_add_strings(file, "tokenizer.json.normalizer", steps, c->steps.count, c->err));
    TRY(hf_add_strings(file, "tokenizer.json.prefix", prefix, c->prefix.count, c->err));
    TRY(hf_add_strings(file, "tokenizer.json.split", splits, c->splits.count, c->err));
    return hf_add_bool(file, "tokenizer.json.strip_start", c->strip_start, c->err);
}

wf_status hf_read_tokenizer(const char *path, const json_t *root, int64_t n_vocab, checkpoint *file, hf_specials *out,
                            wf_error *err)
{
    converter *c = calloc(1, sizeof *c);
    if (!c) return error_memory(err, sizeof *c);
    *out = (hf_specials){.bos = -1, .eos = -1};
    *c = (converter){
        .path = path, .file = file, .memory = checkpoint_memory(file), .err = err, .n_vocab = n_vocab, .out = out};
    json_fields f = fields_of(c, root);
    json_t *added = NULL;
    wf_status status;
    TRY_GOTO(json_field_array(&f, "added_tokens", &added), done);
    TRY_GOTO(read_parts(c, "normalizer", "normalizers", json_field(&f, "normalizer"), read_normalizer), done);
    TRY_GOTO(read_parts(c, "pre_tokenizer", "pretokenizers", json_field(&f, "pre_tokenizer"), read_pre_tokenizer),
             done);
    TRY_GOTO(read_model(c, root, added), done);
    TRY_GOTO(read_added_tokens(c, added), done);
    TRY_GOTO(read_parts(c, "post_processor", "processors", json_field(&f, "post_processor"), read_post_processor),
             done);
    TRY_GOTO(read_parts(c, "decoder", "decoders", json_field(&f, "decoder"), read_decoder), done);
    TRY_GOTO(add_values(c), done);
    out->texts = c->texts;
    out->count = c->count;
done:
    free(c);
    return status;
}
