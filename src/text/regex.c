// One pass over the pattern. What means the same to both engines is copied; \s, \S and \d are spelled out; all else is
// refused, since an expression that cuts words a little differently would give a silently different model.
#include "text/regex.h"

#include "text/utf8.h"

typedef struct translator {
    view in;
    size_t pos;
    buffer *out;
    wf_error *err;
} translator;

static wf_status refuse(const translator *t, size_t at, const char *what)
{
    return error_set(t->err, WF_ERROR_UNSUPPORTED, "regular expression, offset %zu: %s is not supported", at, what);
}

static bool starts_with(const translator *t, const char *text)
{
    return view_starts_with((view){t->in.data + t->pos, t->in.len - t->pos}, view_of(text));
}

static void copy(translator *t, size_t n)
{
    buffer_append(t->out, t->in.data + t->pos, n);
    t->pos += n;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// \p{..}, \P{..}: at the brace.
static wf_status copy_property(translator *t, size_t start)
{
    size_t end = t->pos;
    if (end == t->in.len || t->in.data[end] != '{') return refuse(t, start, "a property without braces");
    while (end < t->in.len && t->in.data[end] != '}') end++;
    for (size_t i = t->pos + 1; i < end; i++)
        if (!is_word(t->in.data[i]) && t->in.data[i] != '^') return refuse(t, start, "this property");
    if (end == t->in.len) return refuse(t, start, "a property without its closing brace");
    copy(t, end + 1 - t->pos);
    return WF_OK;
}

// \xHH, \x{H..}, \uHHHH: behind the letter.
static wf_status copy_code(translator *t, size_t start, size_t n_digits)
{
    size_t end = t->pos, first;
    bool braces = n_digits == 2 && end < t->in.len && t->in.data[end] == '{';
    first = end += braces;
    while (end < t->in.len && is_hex(t->in.data[end]) && end - first < (braces ? 6 : n_digits)) end++;
    bool closed = !braces || (end < t->in.len && t->in.data[end] == '}');
    if (end == first || (!braces && end - first != n_digits) || !closed) return refuse(t, start, "this character code");
    buffer_printf(t->out, "\\x{%.*s}", (int)(end - first), t->in.data + first);
    t->pos = end + braces;
    return WF_OK;
}

static wf_status translate_escape(translator *t, bool in_class)
{
    size_t start = t->pos++;
    if (t->pos == t->in.len) return refuse(t, start, "a backslash at the end");
    char c = t->in.data[t->pos++];
    switch (c) {
    case 's': buffer_printf(t->out, in_class ? "%s" : "[%s]", REGEX_SPACE); return WF_OK;
    case 'S':
        if (in_class) return refuse(t, start, "\\S in a class");
        buffer_printf(t->out, "[^%s]", REGEX_SPACE);
        return WF_OK;
    case 'd':
    case 'D': buffer_printf(t->out, "\\%c{Nd}", c == 'd' ? 'p' : 'P'); return WF_OK;
    case 'p':
    case 'P': buffer_append(t->out, t->in.data + start, 2); return copy_property(t, start);
    case 'x': return copy_code(t, start, 2);
    case 'u': return copy_code(t, start, 4);
    case 'n':
    case 'r':
    case 't':
    case 'f': buffer_append(t->out, t->in.data + start, 2); return WF_OK;
    default:
        if (is_word(c) || (unsigned char)c >= 0x80) return refuse(t, start, "this escape");
        buffer_append(t->out, t->in.data + start, 2);
        return WF_OK;
    }
}

// At '['. A '[' inside would open a class in a class, && would be an intersection.
static wf_status translate_class(translator *t)
{
    size_t start = t->pos;
    copy(t, 1);
    if (starts_with(t, "^")) copy(t, 1);
    if (starts_with(t, "]")) return refuse(t, start, "an empty class");
    while (t->pos < t->in.len) {
        if (starts_with(t, "]")) {
            copy(t, 1);
            return WF_OK;
        }
        if (starts_with(t, "[")) return refuse(t, t->pos, "a class in a class");
        if (starts_with(t, "&&")) return refuse(t, t->pos, "an intersection of classes");
        if (starts_with(t, "\\"))
            TRY(translate_escape(t, true));
        else
            copy(t, 1);
    }
    return refuse(t, start, "a class without its end");
}

static wf_status translate_group(translator *t)
{
    static const char *const openings[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i)"};
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++)
        if (starts_with(t, openings[i])) {
            copy(t, strlen(openings[i]));
            return WF_OK;
        }
    if (starts_with(t, "(?") || starts_with(t, "(*")) return refuse(t, t->pos, "this kind of group");
    copy(t, 1);
    return WF_OK;
}

// At '{': {n}, {n,}, {n,m}. Oniguruma reads a + behind it as another quantifier, pcre2 as "possessive".
static wf_status translate_repeat(translator *t)
{
    size_t end = t->pos + 1, start = t->pos;
    while (end < t->in.len && ((t->in.data[end] >= '0' && t->in.data[end] <= '9') || t->in.data[end] == ',')) end++;
    if (end == t->in.len || t->in.data[end] != '}' || end == start + 1 || t->in.data[start + 1] == ',')
        return refuse(t, start, "this brace");
    copy(t, end + 1 - start);
    return starts_with(t, "+") ? refuse(t, t->pos, "a + behind a repetition") : WF_OK;
}

wf_status regex_translate(view pattern, buffer *out, wf_error *err)
{
    translator t = {pattern, 0, out, err};
    if (!utf8_is_valid(pattern) || (pattern.len && memchr(pattern.data, 0, pattern.len)))
        return refuse(&t, 0, "text that is not UTF-8 or holds a zero byte");
    while (t.pos < pattern.len) {
        switch (pattern.data[t.pos]) {
        case '\\': TRY(translate_escape(&t, false)); break;
        case '[': TRY(translate_class(&t)); break;
        case '(': TRY(translate_group(&t)); break;
        case '{': TRY(translate_repeat(&t)); break;
        case '^':
        case '$': return refuse(&t, t.pos, "an anchor"); // Oniguruma's match at every line
        default: copy(&t, 1);
        }
    }
    return out->failed ? error_memory(err, pattern.len) : WF_OK;
}
