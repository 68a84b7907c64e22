// Runs the steps of tokenizer.h.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/tokenizer/tokenizer_internal.h"
#include "text/unicode/utf8.h"

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

void tokenizer_warn(tokenizer *t, const char *format, ...)
{
    char line[512];
    int n = snprintf(line, sizeof line, "%s: ", t->path);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof line - used, format, args);
    va_end(args);
    char *copy = t->n_warnings < MAX_WARNINGS ? arena_strdup(&t->memory, view_of(line)) : NULL;
    if (copy) t->warnings[t->n_warnings++] = copy;
}

const char *tokenizer_warning(const tokenizer *t, size_t index)
{
    return index < t->n_warnings ? t->warnings[index] : NULL;
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
    int byte = type == TOKEN_BYTE ? token_byte_of(text) : -1;
    if (byte >= 0) {
        buffer_append_char(out, (char)byte);
        return;
    }
    for (size_t pos = 0; pos < text.len;) {
        bool space = view_starts_with((view){text.data + pos, text.len - pos}, VIEW_LITERAL(TOKEN_SPACE));
        buffer_append_char(out, space ? ' ' : text.data[pos]);
        pos += space ? sizeof TOKEN_SPACE - 1 : 1;
    }
}

wf_status tokenizer_decode_token(const tokenizer *t, int32_t id, bool special, buffer *out, wf_error *err)
{
    if (!has_id(t, id))
        return error_set(err, WF_ERROR_USAGE, "%s: there is no token %d, ids are 0 to %d", t->path, id, t->count - 1);
    int type = t->types[id];
    if (token_is_special(type) && !special) return WF_OK;
    if (t->characters && !token_is_special(type))
        decode_characters(t->texts[id], type, out);
    else if (token_is_special(type) || type == TOKEN_USER)
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
