// tm_tensor.NAME KEY(VALUE).. {ATTRIBUTES} ins(VALUES : TYPES) outs(VALUES : TYPES) {REGION} -> TYPES
// tm_tensor.yield VALUES : TYPES
#include "compiler/frontend/mlir/tm_tensor.h"
#include "compiler/frontend/mlir/tokens.h"

static const view PREFIX = {"tm_tensor.", 10};

bool tm_tensor_is_in(view text)
{
    return text.len >= PREFIX.len && memmem(text.data, text.len, PREFIX.data, PREFIX.len) != NULL;
}

// Behind the bracket that closes the one at i; text.len when it has none.
static size_t end_of_bracket(view text, size_t i)
{
    size_t depth = 0;
    for (; i < text.len; i++) {
        char c = text.data[i];
        if (c == '"') i = text_end_of_string(text, i + 1);
        if (c == '/' && text_at(text, i + 1) == '/') i = text_end_of_line(text, i);
        if (c == '-' && text_at(text, i + 1) == '>')
            i++; // an arrow closes nothing
        else if (c && strchr("({[<", c))
            depth++;
        else if (c && strchr(")}]>", c) && --depth == 0)
            return i + 1;
    }
    return text.len;
}

// Behind "type, type, .."
static size_t end_of_types(view text, size_t i)
{
    size_t end = i;
    while (i < text.len) {
        if (text_at(text, i) == '!') i++;
        while (i < text.len && text_is_word(text.data[i])) i++;
        if (text_at(text, i) == '<') i = end_of_bracket(text, i);
        if (i == end) return end;
        end = i;
        i = text_skip_space(text, i);
        if (text_at(text, i) != ',') return end;
        i = text_skip_space(text, i + 1);
    }
    return end;
}

// VALUES : TYPES, split at the colon; nothing: two empty ones.
static void split_typed(view inner, view *values, view *types)
{
    const char *colon = memchr(inner.data, ':', inner.len);
    size_t at = colon ? (size_t)(colon - inner.data) : inner.len;
    *values = (view){inner.data, at};
    *types = (view){inner.data + at + (at < inner.len), inner.len - at - (at < inner.len)};
}

static int count_values(view values)
{
    int n = 0;
    for (size_t i = 0; i < values.len; i++) n += values.data[i] == '%';
    return n;
}

static void append_list(buffer *out, view x, view y)
{
    buffer_printf(out, "%.*s%s%.*s", VIEW_ARG(x), x.len && y.len ? ", " : "", VIEW_ARG(y));
}

static size_t write_yield(view text, size_t i, buffer *out)
{
    size_t start = text_skip_space(text, i), end = start;
    view values = {text.data + i, 0}, types = values;
    if (text_at(text, start) == '%') {
        const char *colon = memchr(text.data + start, ':', text.len - start);
        if (!colon) return i;
        size_t at = (size_t)(colon - text.data), first = text_skip_space(text, at + 1);
        end = end_of_types(text, first);
        values = (view){text.data + start, at - start};
        types = (view){text.data + first, end - first};
    } else {
        end = i;
    }
    buffer_printf(out, "\"tm_tensor.yield\"(%.*s) : (%.*s) -> ()", VIEW_ARG(values), VIEW_ARG(types));
    return end;
}

// The clauses of an op up to its end. Returns i where it has another form.
static size_t write_op(view text, view name, size_t i, buffer *out)
{
    view values[2] = {{"", 0}, {"", 0}}, types[2] = {{"", 0}, {"", 0}}, region = {"", 0}, results = {"", 0};
    buffer attributes = {0};
    size_t at = i, end = i;
    bool has_outs = false;
    for (;;) {
        at = text_skip_space(text, end);
        char c = text_at(text, at);
        size_t word = at;
        while (at < text.len && text_is_word(text.data[at])) at++;
        view key = {text.data + word, at - word};
        if (c == '{' && region.len == 0) {
            end = end_of_bracket(text, word);
            view inner = {text.data + word, end - word};
            if (has_outs)
                region = inner;
            else if (inner.len > 2)
                buffer_printf(&attributes, "%.*s, ", (int)inner.len - 2, inner.data + 1);
        } else if (c == '-' && text_at(text, word + 1) == '>') {
            size_t first = text_skip_space(text, word + 2);
            end = end_of_types(text, first);
            results = (view){text.data + first, end - first};
            break;
        } else if (key.len && text_at(text, at) == '(' && !has_outs) {
            end = end_of_bracket(text, at);
            view inner = {text.data + at + 1, end > at + 2 ? end - at - 2 : 0};
            has_outs = view_is(key, "outs");
            if (has_outs || view_is(key, "ins"))
                split_typed(inner, &values[has_outs], &types[has_outs]);
            else
                buffer_printf(&attributes, "%.*s = %.*s, ", VIEW_ARG(key), VIEW_ARG(inner));
        } else {
            break;
        }
    }
    if (has_outs) {
        buffer_printf(out, "\"%.*s\"(", VIEW_ARG(name));
        append_list(out, values[0], values[1]);
        buffer_printf(out, ")");
        if (region.len) {
            buffer_printf(out, " (");
            tm_tensor_rename(region, out);
            buffer_printf(out, ")");
        }
        buffer_printf(out, " {%.*soperandSegmentSizes = array<i32: %d, %d>} : (", (int)attributes.len,
                      attributes.data ? attributes.data : "", count_values(values[0]), count_values(values[1]));
        append_list(out, types[0], types[1]);
        buffer_printf(out, ") -> (%.*s)", VIEW_ARG(results));
    }
    buffer_free(&attributes);
    return has_outs ? end : i;
}

void tm_tensor_rename(view text, buffer *out)
{
    for (size_t at = 0, end; at < text.len && !out->failed; at = end) {
        end = text_end_of_token(text, at);
        view token = {text.data + at, end - at};
        if (view_is(token, "tm_tensor.yield")) {
            end = write_yield(text, end, out);
            continue;
        }
        size_t behind = view_starts_with(token, PREFIX) ? write_op(text, token, end, out) : end;
        if (behind == end) buffer_append(out, token.data, token.len);
        end = behind;
    }
}
