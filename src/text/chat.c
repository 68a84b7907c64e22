// Chat templates: the context that templates expect, and which special tokens in the result came from a message.
#include "text/chat.h"

#include <stdlib.h>

#include "base/array.h"
#include "format/json_read.h"
#include "text/jinja/jinja.h"
#include "text/unicode/utf8.h"

struct chat_template {
    jinja_template *jinja;
    json_t *variables;
    bool wants_parts; // prints no content that is a string, but prints a list of parts
};

wf_status chat_variables(const checkpoint *file, json_t **variables, wf_error *err)
{
    static const char *const TOKENS[][2] = {
        {"bos_token", "tokenizer.ggml.bos_token_id"},     {"eos_token", "tokenizer.ggml.eos_token_id"},
        {"unk_token", "tokenizer.ggml.unknown_token_id"}, {"pad_token", "tokenizer.ggml.padding_token_id"},
        {"cls_token", "tokenizer.ggml.cls_token_id"},     {"sep_token", "tokenizer.ggml.seperator_token_id"},
        {"mask_token", "tokenizer.ggml.mask_token_id"}}; // the format spells "seperator" so
    const metadata_value *tokens = checkpoint_find(file, "tokenizer.ggml.tokens");
    const view *texts = tokens ? tokens->strings : NULL;
    json_t *made = json_object();
    wf_status status = made ? WF_OK : error_memory(err, 0);
    for (size_t i = 0; i < sizeof TOKENS / sizeof *TOKENS && status == WF_OK; i++) {
        const char *key = TOKENS[i][1];
        int32_t id;
        status = checkpoint_get_token(file, key, texts ? (int64_t)tokens->count : 0, &id, err);
        if (status != WF_OK || id < 0 || !texts) continue;
        view text = texts[id];
        if (!json_object_set_new(made, TOKENS[i][0], json_stringn(text.data, text.len))) continue;
        if (utf8_is_valid(text))
            status = error_memory(err, text.len);
        else
            status = error_set(err, WF_ERROR_FORMAT, "%s: key '%s': the token's text is not valid UTF-8",
                               checkpoint_path(file), key);
    }
    if (status != WF_OK) json_decref(made);
    *variables = status == WF_OK ? made : NULL;
    return status;
}

static json_t *make_context(const chat_template *t, const json_t *messages, const json_t *tools,
                            bool add_generation_prompt)
{
    // Counting a reference writes to the value, but not to what a caller can see of it.
    json_t *context = json_pack("{s:O, s:b, s:o, s:n}", "messages", (json_t *)(uintptr_t)messages,
                                "add_generation_prompt", (int)add_generation_prompt, "tools",
                                tools ? json_incref((json_t *)(uintptr_t)tools) : json_null(), "documents");
    if (context && json_add_missing(context, t->variables)) return context;
    json_decref(context);
    return NULL;
}

// ---- parts: content as "text", or as [{"type": "text", "text": "text"}]

// A message with its content as parts, where that is a string; else the message itself. A new reference.
static json_t *message_in_parts(json_t *message)
{
    json_t *content = json_object_get(message, "content");
    if (!json_is_string(content)) return json_incref(message);
    json_t *made = json_object();
    if (json_add_missing(made, message) &&
        !json_object_set_new(made, "content", json_pack("[{s:s, s:O}]", "type", "text", "text", content)))
        return made;
    json_decref(made);
    return NULL;
}

static json_t *messages_in_parts(const json_t *messages)
{
    json_t *made = json_array();
    for (size_t i = 0; made && i < json_array_size(messages); i++) {
        if (!json_array_append_new(made, message_in_parts(json_array_get(messages, i)))) continue;
        json_decref(made);
        made = NULL;
    }
    return made;
}

static bool holds(view text, view part)
{
    return !part.len || (text.len && memmem(text.data, text.len, part.data, part.len));
}

// As the filter trim does it.
static view trim(view text)
{
    size_t begin = 0, end = 0, space, step;
    utf8_kind kind;
    while ((space = begin < text.len ? utf8_space_at(text, begin) : 0)) begin += space;
    for (size_t pos = begin; pos < text.len; pos += step) {
        space = utf8_space_at(text, pos);
        step = space ? space : utf8_next(text, pos, &kind);
        if (!space) end = pos + step;
    }
    return (view){text.data + begin, end > begin ? end - begin : 0};
}

// *prints: whether the template prints the text of a lone user message. A template that refuses such a conversation
// does not.
static wf_status try_text(const chat_template *t, bool parts, bool *prints, wf_error *err)
{
    static const char TEXT[] = "<the user's text>";
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", TEXT);
    json_t *shaped = parts && messages ? messages_in_parts(messages) : json_incref(messages);
    json_t *context = shaped ? make_context(t, shaped, NULL, false) : NULL;
    buffer out = {0};
    wf_error refusal;
    wf_status status = context ? jinja_render(t->jinja, context, &out, &refusal) : WF_ERROR_MEMORY;
    *prints = status == WF_OK && holds(buffer_view(&out), view_of(TEXT));
    buffer_free(&out);
    json_decref(context);
    json_decref(shaped);
    json_decref(messages);
    return status == WF_ERROR_MEMORY ? error_memory(err, 0) : WF_OK;
}

static wf_status find_shape(chat_template *t, wf_error *err)
{
    bool strings, parts = false;
    TRY(try_text(t, false, &strings, err));
    if (!strings) TRY(try_text(t, true, &parts, err));
    t->wants_parts = parts;
    return WF_OK;
}

bool chat_prompt_lacks_text(view prompt, const json_t *messages)
{
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const json_t *content = json_object_get(last, "content");
    const char *role = json_string_value(json_object_get(last, "role"));
    if (!role || strcmp(role, "user") || !json_is_string(content)) return false;
    view text = {json_string_value(content), json_string_length(content)};
    return !holds(prompt, trim(text));
}

wf_status chat_template_create(view source, const char *name, json_t *variables, chat_template **t, wf_error *err)
{
    *t = NULL;
    chat_template *made = calloc(1, sizeof *made);
    if (!made) return error_memory(err, sizeof *made);
    made->variables = json_incref(variables);
    wf_status status = jinja_compile(source, name, &made->jinja, err);
    if (status == WF_OK) status = find_shape(made, err);
    if (status == WF_OK)
        *t = made;
    else
        chat_template_free(made);
    return status;
}

void chat_template_free(chat_template *t)
{
    if (!t) return;
    jinja_free(t->jinja);
    json_decref(t->variables);
    free(t);
}

// ---- specials: sorted, so that those that agree with the text so far are a range, which each byte narrows

typedef struct special_index {
    view *sorted;
    size_t n;
} special_index;

static int compare_views(const void *left, const void *right)
{
    const view *a = left, *b = right;
    size_t n = a->len < b->len ? a->len : b->len;
    int order = n ? memcmp(a->data, b->data, n) : 0;
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static wf_status index_specials(const view *specials, size_t n, special_index *index, wf_error *err)
{
    *index = (special_index){.sorted = calloc(n ? n : 1, sizeof(view))};
    if (!index->sorted) return error_memory(err, n * sizeof(view));
    for (size_t i = 0; i < n; i++)
        if (specials[i].len) index->sorted[index->n++] = specials[i];
    qsort(index->sorted, index->n, sizeof(view), compare_views);
    return WF_OK;
}

// The first special in [low, high) whose byte `k` is at least `least`; all in the range are longer than k.
static size_t find_bound(const view *sorted, size_t low, size_t high, size_t k, unsigned least)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)sorted[middle].data[k] < least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// A special begins at `pos` and reaches into foreign text, and none begins there that does not.
static bool is_blocked(const special_index *index, view text, const char *origin, size_t pos)
{
    size_t low = 0, high = index->n;
    bool foreign = false;
    for (size_t k = 0; low < high && k < text.len - pos; k++) {
        unsigned byte = (unsigned char)text.data[pos + k];
        low = find_bound(index->sorted, low, high, k, byte);
        high = find_bound(index->sorted, low, high, k, byte + 1);
        foreign |= origin[pos + k] != 0;
        if (low == high || index->sorted[low].len > k + 1) continue;
        return foreign; // the shortest one; where it is foreign, longer ones, which begin with it, are too
    }
    return false;
}

static wf_status find_blocked(const special_index *index, view text, const char *origin, size_t base, size_t **blocked,
                              size_t *n_blocked, wf_error *err)
{
    size_t capacity = 0;
    for (size_t pos = 0; pos < text.len; pos++) {
        if (!is_blocked(index, text, origin, pos)) continue;
        size_t *more = array_grow(*blocked, *n_blocked, &capacity, sizeof *more);
        if (!more) return error_memory(err, *n_blocked * sizeof *more);
        *blocked = more;
        (*blocked)[(*n_blocked)++] = base + pos;
    }
    return WF_OK;
}

wf_status chat_template_apply(const chat_template *t, const json_t *messages, const json_t *tools,
                              bool add_generation_prompt, const view *specials, size_t n_specials, buffer *out,
                              size_t **blocked, size_t *n_blocked, wf_error *err)
{
    static const char *const foreign[] = {"messages", "tools", NULL};
    bool search = specials && blocked && n_blocked;
    if (blocked) *blocked = NULL;
    if (n_blocked) *n_blocked = 0;
    if (!json_is_array(messages)) return error_set(err, WF_ERROR_FORMAT, "the messages are not a JSON array");
    json_t *parts = t->wants_parts ? messages_in_parts(messages) : NULL;
    if (t->wants_parts && !parts) return error_memory(err, 0);
    json_t *context = make_context(t, parts ? parts : messages, tools, add_generation_prompt);
    json_decref(parts);
    if (!context) return error_memory(err, 0);
    buffer text = {0}, origin = {0};
    special_index index = {0};
    wf_status status = jinja_render_origin(t->jinja, context, foreign, &text, search ? &origin : NULL, err);
    if (status == WF_OK && search) status = index_specials(specials, n_specials, &index, err);
    if (status == WF_OK && search)
        status = find_blocked(&index, buffer_view(&text), buffer_view(&origin).data, out->len, blocked, n_blocked, err);
    if (status == WF_OK && !buffer_reserve(out, text.len)) status = error_memory(err, text.len);
    if (status == WF_OK) buffer_append_view(out, buffer_view(&text));
    if (status != WF_OK && search) {
        free(*blocked);
        *blocked = NULL;
        *n_blocked = 0;
    }
    free(index.sorted);
    buffer_free(&text);
    buffer_free(&origin);
    json_decref(context);
    return status;
}
