#include "compiler/frontend/mlir/old_tosa.h"
#include "compiler/frontend/mlir/tokens.h"

static const view PREFIX = {"tosa.", 5};

// Behind "%a, %b#1, %c"; `i` where there is no value.
static size_t end_of_values(view text, size_t i)
{
    size_t end = i;
    while (text_at(text, i) == '%') {
        end = text_end_of_name(text, i + 1);
        if (text_at(text, end) == '#') end = text_end_of_name(text, end + 1);
        i = text_skip_space(text, end);
        if (text_at(text, i) != ',') break;
        i = text_skip_space(text, i + 1);
    }
    return end;
}

// Behind the } of the { at i; text.len when it has none.
static size_t end_of_braces(view text, size_t i)
{
    size_t depth = 0;
    for (; i < text.len; i++) {
        char c = text.data[i];
        if (c == '"') i = text_end_of_string(text, i + 1);
        if (c == '{') depth++;
        if (c == '}' && --depth == 0) return i + 1;
    }
    return text.len;
}

// tosa.x VALUES {ATTRIBUTES} : (TYPES) -> TYPE: the form of all ops without regions. `name` ends at i. Appends its
// generic form up to the colon, and returns the place of that; i where the op has another form.
static size_t write_pretty(view text, view name, size_t i, buffer *out)
{
    size_t first = text_skip_space(text, i), end = end_of_values(text, first), at = text_skip_space(text, end);
    size_t attributes = at;
    if (text_at(text, at) == '{') at = text_skip_space(text, end_of_braces(text, at));
    if (text_at(text, at) != ':' || text_at(text, text_skip_space(text, at + 1)) != '(') return i;
    buffer_printf(out, "\"old_%.*s\"(", VIEW_ARG(name));
    buffer_append(out, text.data + first, end > first ? end - first : 0);
    buffer_printf(out, ") ");
    buffer_append(out, text.data + attributes, at - attributes);
    return at;
}

// "tosa.x"( of an op in generic form.
static bool is_generic(view text, view string, size_t end)
{
    return view_starts_with(string, PREFIX) && text_at(text, text_skip_space(text, end)) == '(';
}

// Behind the string of "tosa.x"(VALUES) <{PROPERTIES}>: appends what follows up to the properties, which become
// attributes, since those of an unknown op cannot be listed. Returns the place of what comes next.
static size_t write_generic(view text, size_t i, buffer *out)
{
    const char *close = memchr(text.data + i, ')', text.len - i);
    size_t after = close ? (size_t)(close - text.data) + 1 : i, at = text_skip_space(text, after);
    if (text_at(text, at) != '<' || text_at(text, at + 1) != '{') return i;
    size_t end = end_of_braces(text, at + 1);
    if (text_at(text, end) != '>' || text_at(text, text_skip_space(text, end + 1)) == '{') return i;
    buffer_append(out, text.data + i, at - i);
    buffer_append(out, text.data + at + 1, end - at - 1);
    return end + 1;
}

void old_tosa_rename(view text, buffer *out)
{
    for (size_t at = 0, end; at < text.len && !out->failed; at = end) {
        end = text_end_of_token(text, at);
        view token = {text.data + at, end - at};
        size_t behind = end; // of what was written in another form
        if (text.data[at] == '"') {
            view string = {token.data + 1, text_end_of_string(text, at + 1) - at - 1};
            if (is_generic(text, string, end)) {
                buffer_printf(out, "\"old_%.*s\"", VIEW_ARG(string));
                end = write_generic(text, end, out);
                continue;
            }
        } else if (view_starts_with(token, PREFIX)) {
            behind = write_pretty(text, token, end, out);
        }
        if (behind == end) buffer_append(out, token.data, token.len);
        end = behind;
    }
}
