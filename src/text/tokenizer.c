// Reads the vocabulary of a GGUF file and runs the steps of tokenizer.h.
//
//     tokenizer.ggml.model       STRING, "gpt2"
//     tokenizer.ggml.pre         STRING, a name of pretokenize.c; "default" when absent
//     tokenizer.ggml.tokens      [STRING], in byte-level letters; special and user-defined tokens as they are
//     tokenizer.ggml.token_type  [I32], as many; all normal when absent
//     tokenizer.ggml.merges      [STRING], "left right", best first
//     tokenizer.ggml.bos_token_id, .eos_token_id, .eot_token_id, .eom_token_id, .add_bos_token, .add_eos_token
#include "text/tokenizer.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "text/bpe.h"
#include "text/pretokenize.h"
#include "text/special.h"
#include "text/utf8.h"

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

struct tokenizer {
    const char *path; // of the file, which owns it, the texts and the merges
    const view *texts;
    int32_t count;
    int32_t bos, eos;
    bool add_bos, add_eos;
    unsigned char *types; // [count]
    bool *eog;            // [count]
    special_set user;     // user-defined tokens
    special_set all;      // and the special ones
    pretokenizer *pre;
    bpe *bpe;
};

static bool is_special(int type)
{
    return type == TYPE_UNKNOWN || type == TYPE_CONTROL;
}

// An array of strings; *count at most INT32_MAX.
static wf_status read_strings(const gguf_file *file, const char *key, const view **strings, size_t *count,
                              wf_error *err)
{
    const gguf_value *value = gguf_find(file, key);
    if (!value) return error_set(err, WF_ERROR_FORMAT, "%s: %s is missing", gguf_path(file), key);
    bool is_array = value->type == GGUF_ARRAY && (value->strings || value->count == 0);
    if (!is_array || value->item_type != GGUF_STRING)
        return error_set(err, WF_ERROR_FORMAT, "%s: %s is no array of strings", gguf_path(file), key);
    if (value->count > INT32_MAX)
        return error_set(err, WF_ERROR_FORMAT, "%s: %s has %llu items, too many", gguf_path(file), key,
                         (unsigned long long)value->count);
    *strings = value->strings;
    *count = (size_t)value->count;
    return WF_OK;
}

static wf_status read_types(const gguf_file *file, tokenizer *t, wf_error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    const gguf_value *value = gguf_find(file, key);
    t->types = malloc((size_t)t->count);
    if (!t->types) return error_memory(err, (size_t)t->count);
    memset(t->types, TYPE_NORMAL, (size_t)t->count);
    if (!value) return WF_OK;
    bool is_integer = value->item_type <= GGUF_I32 || value->item_type == GGUF_U64 || value->item_type == GGUF_I64;
    if (value->type != GGUF_ARRAY || !is_integer || (value->count && !value->data))
        return error_set(err, WF_ERROR_FORMAT, "%s: %s is no array of integers", gguf_path(file), key);
    if (value->count != (uint64_t)t->count)
        return error_set(err, WF_ERROR_FORMAT, "%s: %s has %llu items for %d tokens", gguf_path(file), key,
                         (unsigned long long)value->count, t->count);
    for (int32_t id = 0; id < t->count; ++id) {
        int64_t type = gguf_item_int(value, (uint64_t)id);
        if (type < 0 || type > TYPE_BYTE)
            return error_set(err, WF_ERROR_FORMAT, "%s: %s[%d] is %lld, not a token type", gguf_path(file), key, id,
                             (long long)type);
        t->types[id] = (unsigned char)type;
    }
    return WF_OK;
}

static wf_status read_id(const gguf_file *file, const tokenizer *t, const char *key, int32_t *id, wf_error *err)
{
    int64_t value = -1;
    TRY(gguf_get_int_or(file, key, 0, t->count - 1, &value, err));
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

static wf_status read_end_tokens(const gguf_file *file, tokenizer *t, wf_error *err)
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

    t->add_bos = pretokenizer_adds_bos(t->pre);
    TRY(gguf_get_bool_or(file, "tokenizer.ggml.add_bos_token", &t->add_bos, err));
    TRY(gguf_get_bool_or(file, "tokenizer.ggml.add_eos_token", &t->add_eos, err));
    t->add_bos = t->add_bos && t->bos >= 0;
    t->add_eos = t->add_eos && t->eos >= 0;
    return WF_OK;
}

static wf_status collect_special(tokenizer *t, wf_error *err)
{
    size_t n_user = 0, n_all = 0;
    for (int32_t id = 0; id < t->count; ++id) {
        n_user += t->types[id] == TYPE_USER;
        n_all += t->types[id] == TYPE_USER || is_special(t->types[id]);
    }
    TRY(special_set_create(&t->user, n_user, err));
    TRY(special_set_create(&t->all, n_all, err));
    for (int32_t id = 0; id < t->count; ++id) {
        if (t->types[id] == TYPE_USER) special_set_add(&t->user, t->texts[id], id);
        if (t->types[id] == TYPE_USER || is_special(t->types[id])) special_set_add(&t->all, t->texts[id], id);
    }
    special_set_sort(&t->user);
    special_set_sort(&t->all);
    return WF_OK;
}

// Puts the file's path before a message that does not know it.
static wf_status name_path(const tokenizer *t, wf_status status, wf_error *err)
{
    if (status == WF_OK || !err) return status;
    wf_error inner = *err;
    return error_set(err, status, "%s: tokenizer: %s", t->path, inner.message);
}

static wf_status create_bpe(const gguf_file *file, tokenizer *t, wf_error *err)
{
    bpe_config config = {
        .tokens = t->texts, .n_tokens = (size_t)t->count, .ignore_merges = pretokenizer_ignores_merges(t->pre)};
    TRY(read_strings(file, "tokenizer.ggml.merges", &config.merges, &config.n_merges, err));
    bool *usable = malloc((size_t)t->count * sizeof *usable);
    if (!usable) return error_memory(err, (size_t)t->count);
    for (int32_t id = 0; id < t->count; ++id) usable[id] = !is_special(t->types[id]) && t->types[id] != TYPE_USER;
    config.usable = usable;
    wf_status status = name_path(t, bpe_create(&config, &t->bpe, err), err);
    free(usable);
    return status;
}

static wf_status read_vocabulary(const gguf_file *file, tokenizer *t, wf_error *err)
{
    t->path = gguf_path(file);
    view model, pre = VIEW_LITERAL("default");
    TRY(gguf_get_string(file, "tokenizer.ggml.model", &model, err));
    if (!view_is(model, "gpt2"))
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: tokenizer.ggml.model '%.*s' is not supported, only 'gpt2' is",
                         t->path, VIEW_ARG(model));
    TRY(gguf_get_string_or(file, "tokenizer.ggml.pre", &pre, err));
    TRY(name_path(t, pretokenizer_create(pre, &t->pre, err), err));

    size_t count;
    TRY(read_strings(file, "tokenizer.ggml.tokens", &t->texts, &count, err));
    if (count == 0) return error_set(err, WF_ERROR_FORMAT, "%s: tokenizer.ggml.tokens is empty", t->path);
    t->count = (int32_t)count;
    TRY(read_types(file, t, err));
    TRY(read_end_tokens(file, t, err));
    TRY(collect_special(t, err));
    return create_bpe(file, t, err);
}

wf_status tokenizer_create(const gguf_file *file, tokenizer **out, wf_error *err)
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
    special_set_free(&t->all);
    special_set_free(&t->user);
    free(t->eog);
    free(t->types);
    free(t);
}

// Whether `text`, well-formed, is worth bringing to NFC. Below U+0300 nothing composes or reorders. utf8proc sorts
// combining marks in quadratic time, so a text with more than 1,024 of them in a row (no language has ten) stays as it
// is.
static bool needs_nfc(view text)
{
    bool needed = false;
    int run = 0;
    for (size_t pos = 0; pos < text.len;) {
        if ((unsigned char)text.data[pos] < 0xCC) {
            pos += (unsigned char)text.data[pos] < 0x80 ? 1 : 2;
            run = 0;
            continue;
        }
        utf8proc_int32_t code;
        utf8proc_ssize_t length =
            utf8proc_iterate((const utf8proc_uint8_t *)text.data + pos, (utf8proc_ssize_t)(text.len - pos), &code);
        if (length <= 0) return false;
        needed = true;
        run = utf8proc_get_property(code)->combining_class ? run + 1 : 0;
        if (run > 1024) return false;
        pos += (size_t)length;
    }
    return needed;
}

typedef struct encoder {
    const tokenizer *t;
    bpe_scratch *scratch;
    buffer repaired;
    token_list *out;
} encoder;

static wf_status encode_word(void *context, view word, wf_error *err)
{
    encoder *e = context;
    return bpe_encode_word(e->t->bpe, e->scratch, word, e->out, err);
}

// A stretch of text between special tokens.
static wf_status encode_segment(encoder *e, view text, wf_error *err)
{
    if (text.len == 0) return WF_OK;
    if (!utf8_is_valid(text)) {
        buffer_clear(&e->repaired);
        utf8_append_repaired(&e->repaired, text);
        if (e->repaired.failed) return error_memory(err, text.len);
        text = buffer_view(&e->repaired);
    }
    if (!pretokenizer_normalizes(e->t->pre) || !needs_nfc(text))
        return pretokenizer_split(e->t->pre, text, encode_word, e, err);

    utf8proc_uint8_t *nfc = NULL;
    utf8proc_ssize_t bytes = utf8proc_map((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.len, &nfc,
                                          UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (bytes < 0) return error_set(err, WF_ERROR_MEMORY, "the text cannot be normalized: %s", utf8proc_errmsg(bytes));
    wf_status status = pretokenizer_split(e->t->pre, (view){(const char *)nfc, (size_t)bytes}, encode_word, e, err);
    free(nfc);
    return status;
}

static wf_status encode_text(encoder *e, view text, const special_set *set, const size_t *blocked, size_t n_blocked,
                             wf_error *err)
{
    size_t start = 0, next_blocked = 0;
    for (size_t pos = 0; pos < text.len;) {
        const special_token *found = NULL;
        if (set->first[(unsigned char)text.data[pos]]) {
            while (next_blocked < n_blocked && blocked[next_blocked] < pos) ++next_blocked;
            bool is_blocked = next_blocked < n_blocked && blocked[next_blocked] == pos;
            if (!is_blocked) found = special_set_match(set, text, pos);
        }
        if (!found) {
            ++pos;
            continue;
        }
        TRY(encode_segment(e, (view){text.data + start, pos - start}, err));
        TRY(token_list_append(e->out, found->id, err));
        start = pos += found->text.len;
    }
    return encode_segment(e, (view){text.data + start, text.len - start}, err);
}

wf_status tokenizer_encode(const tokenizer *t, view text, bool parse_special, const size_t *blocked, size_t n_blocked,
                           token_list *out, wf_error *err)
{
    encoder e = {.t = t, .out = out};
    TRY(bpe_scratch_create(text.len >= 4096, &e.scratch, err)); // a cache costs more than it saves for a short text
    wf_status status = encode_text(&e, text, parse_special ? &t->all : &t->user, blocked, n_blocked, err);
    buffer_free(&e.repaired);
    bpe_scratch_free(e.scratch);
    return status;
}

static bool has_id(const tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->count;
}

int32_t tokenizer_count(const tokenizer *t)
{
    return t->count;
}
bool tokenizer_add_bos(const tokenizer *t)
{
    return t->add_bos;
}
bool tokenizer_add_eos(const tokenizer *t)
{
    return t->add_eos;
}
int32_t tokenizer_bos(const tokenizer *t)
{
    return t->bos;
}
int32_t tokenizer_eos(const tokenizer *t)
{
    return t->eos;
}
bool tokenizer_is_eog(const tokenizer *t, int32_t id)
{
    return has_id(t, id) && t->eog[id];
}
view tokenizer_token_text(const tokenizer *t, int32_t id)
{
    return has_id(t, id) ? t->texts[id] : (view){"", 0};
}
int tokenizer_token_type(const tokenizer *t, int32_t id)
{
    return has_id(t, id) ? t->types[id] : 0;
}

int32_t tokenizer_find_token(const tokenizer *t, view text)
{
    const special_token *special = special_set_find(&t->all, text);
    return special ? special->id : bpe_find_token(t->bpe, text);
}

wf_status tokenizer_decode_token(const tokenizer *t, int32_t id, bool special, buffer *out, wf_error *err)
{
    if (!has_id(t, id))
        return error_set(err, WF_ERROR_USAGE, "%s: there is no token %d, ids are 0 to %d", t->path, id, t->count - 1);
    int type = t->types[id];
    if (is_special(type) && !special) return WF_OK;
    if (is_special(type) || type == TYPE_USER)
        buffer_append_view(out, t->texts[id]);
    else
        bpe_decode(t->bpe, t->texts[id], out);
    return out->failed ? error_memory(err, out->len) : WF_OK;
}

wf_status tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t n_ids, bool special, buffer *out,
                           wf_error *err)
{
    for (size_t i = 0; i < n_ids; ++i) TRY(tokenizer_decode_token(t, ids[i], special, out, err));
    return WF_OK;
}
