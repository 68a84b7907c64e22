#include "text/tokenizer/normalize.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "base/array.h"
#include "text/unicode/utf8.h"

enum { MAX_ARGUMENT = 64 }; // bytes

static const struct {
    const char *name;
    normalize_kind kind;
    int n_arguments;
} KINDS[] = {
    {"nfc", NORMALIZE_NFC, 0},         {"prepend", NORMALIZE_PREPEND, 1},
    {"prefix", NORMALIZE_PREFIX, 1},   {"prefix_first", NORMALIZE_PREFIX_FIRST, 1},
    {"replace", NORMALIZE_REPLACE, 2},
};

wf_status normalizer_add(normalizer *n, normalize_step step, wf_error *err)
{
    if (n->n_steps == NORMALIZE_MAX_STEPS)
        return error_set(err, WF_ERROR_UNSUPPORTED, "a normalizer of more than %d steps", NORMALIZE_MAX_STEPS);
    n->steps[n->n_steps++] = step;
    return WF_OK;
}

static bool is_argument(view text) { return text.len > 0 && text.len <= MAX_ARGUMENT && utf8_is_valid(text); }

static wf_status read_step(const view *items, size_t n_items, size_t *at, normalizer *n, wf_error *err)
{
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
        if (!view_is(items[*at], KINDS[k].name)) continue;
        normalize_step step = {.kind = KINDS[k].kind};
        view arguments[2] = {{"", 0}, {"", 0}};
        for (int i = 0; i < KINDS[k].n_arguments; i++) {
            bool may_be_empty = i == 1; // what something is replaced by
            if (++*at == n_items)
                return error_set(err, WF_ERROR_FORMAT, "normalizer: '%s' without its text", KINDS[k].name);
            arguments[i] = items[*at];
            if (!is_argument(arguments[i]) && !(may_be_empty && arguments[i].len == 0))
                return error_set(err, WF_ERROR_UNSUPPORTED, "normalizer: '%s' with a text of %zu bytes", KINDS[k].name,
                                 arguments[i].len);
        }
        step.from = step.kind == NORMALIZE_REPLACE ? arguments[0] : (view){"", 0};
        step.to = step.kind == NORMALIZE_REPLACE ? arguments[1] : arguments[0];
        ++*at;
        return normalizer_add(n, step, err);
    }
    return error_set(err, WF_ERROR_UNSUPPORTED, "normalizer: step '%.*s' is not known", VIEW_ARG(items[*at]));
}

wf_status normalizer_read(const view *items, size_t n_items, normalizer *n, wf_error *err)
{
    for (size_t at = 0; at < n_items;) TRY(read_step(items, n_items, &at, n, err));
    return WF_OK;
}

// Whether `text` is worth bringing to NFC. Below U+0300 nothing composes or reorders.
static bool needs_nfc(view text)
{
    for (size_t pos = 0; pos < text.len; pos++)
        if ((unsigned char)text.data[pos] >= 0xCC) return true;
    return false;
}

typedef struct code_list {
    utf8proc_int32_t *codes; // owned
    size_t count, capacity;
} code_list;

static int combining_class(utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; }

// Sorts marks by class, equal ones in the order they have: canonical order. Counting takes time linear in their number,
// however long a run is (utf8proc's own ordering takes quadratic time).
static bool order_marks(utf8proc_int32_t *marks, size_t n)
{
    size_t places[257] = {0};
    utf8proc_int32_t *sorted = malloc(n * sizeof *sorted);
    if (!sorted) return false;
    for (size_t i = 0; i < n; i++) places[combining_class(marks[i]) + 1]++;
    for (int c = 0; c < 256; c++) places[c + 1] += places[c];
    for (size_t i = 0; i < n; i++) sorted[places[combining_class(marks[i])]++] = marks[i];
    memcpy(marks, sorted, n * sizeof *sorted);
    free(sorted);
    return true;
}

// The same for few.
static void insert_marks(utf8proc_int32_t *marks, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        utf8proc_int32_t mark = marks[i];
        size_t at = i;
        for (; at && combining_class(marks[at - 1]) > combining_class(mark); at--) marks[at] = marks[at - 1];
        marks[at] = mark;
    }
}

static bool order_all(code_list *list)
{
    enum { FEW_MARKS = 32 };
    for (size_t start = 0, end; start < list->count; start = end) {
        end = start + 1;
        if (!combining_class(list->codes[start])) continue;
        while (end < list->count && combining_class(list->codes[end])) end++;
        if (end - start <= FEW_MARKS)
            insert_marks(list->codes + start, end - start);
        else if (!order_marks(list->codes + start, end - start))
            return false;
    }
    return true;
}

static bool decompose(view text, code_list *list)
{
    enum { LONGEST = 32 }; // a character decomposes to at most 18
    for (size_t pos = 0, length; pos < text.len; pos += length) {
        utf8proc_int32_t *codes = array_reserve(list->codes, list->count, LONGEST, &list->capacity, sizeof *codes);
        if (!codes) return false;
        list->codes = codes;
        utf8proc_int32_t code = (utf8proc_int32_t)utf8_read(text.data + pos, &length);
        utf8proc_ssize_t n =
            utf8proc_decompose_char(code, list->codes + list->count, LONGEST, UTF8PROC_STABLE | UTF8PROC_COMPOSE, NULL);
        if (n < 0) return false;
        list->count += (size_t)n;
    }
    return true;
}

static wf_status apply_nfc(view text, buffer *out, wf_error *err)
{
    code_list list = {0};
    bool done = decompose(text, &list) && order_all(&list);
    utf8proc_ssize_t n = 0;
    if (done)
        n = utf8proc_normalize_utf32(list.codes, (utf8proc_ssize_t)list.count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        utf8proc_uint8_t bytes[4];
        buffer_append(out, bytes, (size_t)utf8proc_encode_char(list.codes[i], bytes));
    }
    free(list.codes);
    return done && n >= 0 ? WF_OK : error_memory(err, text.len * sizeof *list.codes);
}

static void apply_replace(view text, view from, view to, buffer *out)
{
    size_t start = 0;
    for (size_t pos = 0; pos + from.len <= text.len;) {
        if (memcmp(text.data + pos, from.data, from.len)) {
            pos++;
            continue;
        }
        buffer_append(out, text.data + start, pos - start);
        buffer_append_view(out, to);
        start = pos += from.len;
    }
    buffer_append(out, text.data + start, text.len - start);
}

static bool step_changes(const normalize_step *step, bool first, view text)
{
    switch (step->kind) {
    case NORMALIZE_NFC: return needs_nfc(text);
    case NORMALIZE_PREPEND: return true;
    case NORMALIZE_PREFIX: return !view_starts_with(text, step->to);
    case NORMALIZE_PREFIX_FIRST: return first && !view_starts_with(text, step->to);
    case NORMALIZE_REPLACE: return text.len >= step->from.len;
    }
    return false;
}

wf_status normalizer_apply(const normalizer *n, bool first, view *text, buffer memory[2], wf_error *err)
{
    size_t limit = text->len <= SIZE_MAX / 256 ? 128 * text->len + 1024 : SIZE_MAX;
    for (size_t i = 0; i < n->n_steps && text->len; i++) {
        const normalize_step *step = &n->steps[i];
        if (!step_changes(step, first, *text)) continue;
        buffer *out = &memory[text->data == memory[0].data ? 1 : 0];
        buffer_clear(out);
        if (step->kind == NORMALIZE_NFC) {
            TRY(apply_nfc(*text, out, err));
        } else if (step->kind == NORMALIZE_REPLACE) {
            apply_replace(*text, step->from, step->to, out);
        } else {
            buffer_append_view(out, step->to);
            buffer_append_view(out, *text);
        }
        if (out->failed) return error_memory(err, text->len);
        *text = buffer_view(out);
        if (text->len > limit)
            return error_set(err, WF_ERROR_LIMIT, "the normalizer makes the text longer than %zu bytes", limit);
    }
    return WF_OK;
}
