// One pass over the pattern. Operators mean the same to both engines and are copied; each set of characters, a literal
// being one of one character, becomes a mark and its number.
#include "text/regex/regex.h"

#include "base/array.h"
#include "text/unicode/unicode.h"
#include "text/unicode/utf8.h"

enum { SET_MARK = 0xFF, MAX_SETS = 1 << 16, MAX_DEPTH = 64 };

typedef struct regex_flags {
    bool ignore_case, dot_all; // (?i), (?m)
} regex_flags;

typedef struct parser {
    view in;
    size_t pos;
    buffer *out;
    regex_sets *sets;
    wf_error *err;
    regex_flags flags, outer[MAX_DEPTH]; // of the group, and of those around it
    size_t depth;
    size_t start; // of the group's alternative
} parser;

static wf_status refuse(const parser *p, size_t at, const char *what)
{
    return error_set(p->err, WF_ERROR_UNSUPPORTED, "regular expression, offset %zu: %s is not supported", at, what);
}

static view rest_of(const parser *p) { return (view){p->in.data + p->pos, p->in.len - p->pos}; }
static bool at(const parser *p, const char *text) { return view_starts_with(rest_of(p), view_of(text)); }
static bool at_end(const parser *p) { return p->pos == p->in.len; }

static bool take(parser *p, const char *text)
{
    bool found = at(p, text);
    if (found) p->pos += strlen(text);
    return found;
}

static uint32_t take_code(parser *p)
{
    size_t length;
    uint32_t code = utf8_read(p->in.data + p->pos, &length);
    p->pos += length;
    return code;
}

// ---- sets

void regex_sets_free(regex_sets *sets)
{
    for (size_t i = 0; i < sets->count; i++) code_set_free(&sets->items[i]);
    free(sets->items);
    *sets = (regex_sets){0};
}

// Takes over the set and puts its mark into the expression.
static wf_status emit_set(parser *p, code_set set)
{
    regex_sets *sets = p->sets;
    code_set *items = array_grow(sets->items, sets->count, &sets->capacity, sizeof *items);
    if (items) sets->items = items;
    if (!items || set.failed || sets->count == MAX_SETS) {
        code_set_free(&set);
        return error_memory(p->err, sets->count * sizeof *items);
    }
    size_t index = 0; // of an equal one, which most expressions have many of
    while (index < sets->count && !code_set_equal(&sets->items[index], &set)) index++;
    if (index < sets->count)
        code_set_free(&set);
    else
        sets->items[sets->count++] = set;
    char mark[3] = {(char)SET_MARK, (char)(index & 255), (char)(index >> 8)};
    buffer_append(p->out, mark, sizeof mark);
    return WF_OK;
}

static wf_status emit_property(parser *p, const char *name, bool negated)
{
    code_set set = {0};
    unicode_add_property(&set, view_of(name));
    if (negated) code_set_invert(&set);
    return emit_set(p, set);
}

static wf_status emit_code(parser *p, uint32_t code)
{
    code_set set = {0};
    code_set_add(&set, code, code);
    if (p->flags.ignore_case) unicode_add_cases(&set);
    return emit_set(p, set);
}

// ---- escapes, inside of classes and out

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// \xHH, \x{H..}, \uHHHH: behind the letter.
static wf_status take_hex(parser *p, size_t start, size_t n_digits, uint32_t *code)
{
    bool braces = n_digits == 2 && take(p, "{");
    size_t max = braces ? 6 : n_digits, n = 0;
    *code = 0;
    for (; n < max && !at_end(p) && is_hex(p->in.data[p->pos]); n++, p->pos++) {
        char c = p->in.data[p->pos];
        *code = 16 * *code + (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    bool closed = braces ? take(p, "}") : n == n_digits;
    if (n == 0 || !closed || *code >= CODE_SET_END) return refuse(p, start, "this character code");
    return WF_OK;
}

// \p{..}, \p{^..}, \P{..}: at the brace.
static wf_status take_property(parser *p, size_t start, bool negated, code_set *set)
{
    if (!take(p, "{")) return refuse(p, start, "a property without braces");
    if (take(p, "^")) negated = !negated;
    const char *end = at_end(p) ? NULL : memchr(p->in.data + p->pos, '}', p->in.len - p->pos);
    if (!end) return refuse(p, start, "a property without its closing brace");
    view name = {p->in.data + p->pos, (size_t)(end - p->in.data) - p->pos};
    if (!unicode_add_property(set, name)) return refuse(p, start, "this property");
    if (negated) code_set_invert(set);
    p->pos += name.len + 1;
    return WF_OK;
}

// What a backslash and what follows stand for: *is_code, one character, or else a set.
static wf_status take_escape(parser *p, bool *is_code, uint32_t *code, code_set *set)
{
    static const char letters[] = "sSdDwWhH", *const names[] = {"space", "digit", "word", "xdigit"};
    static const char controls[] = "nrtfvae", codes[] = "\n\r\t\f\v\a\x1b";
    size_t start = p->pos++;
    *is_code = false;
    if (at_end(p)) return refuse(p, start, "a backslash at the end");
    *code = take_code(p);
    const char *found = *code < 0x80 && *code ? strchr(letters, (int)*code) : NULL;
    if (found) {
        unicode_add_property(set, view_of(names[(found - letters) / 2]));
        if ((found - letters) % 2) code_set_invert(set);
        return WF_OK;
    }
    if (*code == 'p' || *code == 'P') return take_property(p, start, *code == 'P', set);
    *is_code = true;
    if (*code == 'x') return take_hex(p, start, 2, code);
    if (*code == 'u') return take_hex(p, start, 4, code);
    bool is_plain = *code < 0x80 && !unicode_is_word(*code); // \- and the like
    found = is_plain || *code >= 0x80 ? NULL : strchr(controls, (int)*code);
    if (!found && !is_plain) return refuse(p, start, "this escape");
    if (found) *code = (unsigned char)codes[found - controls];
    return WF_OK;
}

// ---- classes

static wf_status take_class(parser *p, int depth, code_set *set);

// [:name:], [:^name:]; *found: that is what stands here.
static wf_status take_posix(parser *p, code_set *set, bool *found)
{
    size_t start = p->pos, end = p->pos + 2;
    bool negated = at(p, "[:^");
    *found = false;
    if (!at(p, "[:")) return WF_OK;
    while (end + 1 < p->in.len && memcmp(p->in.data + end, ":]", 2)) end++;
    if (end + 1 >= p->in.len) return WF_OK;
    view name = {p->in.data + start + 2 + negated, end - start - 2 - negated};
    code_set inner = {0};
    if (!unicode_add_property(&inner, name)) return refuse(p, start, "this property");
    if (negated) code_set_invert(&inner);
    code_set_add_all(set, &inner);
    code_set_free(&inner);
    p->pos = end + 2;
    *found = true;
    return WF_OK;
}

// One character of a class, or a set in it, which is added.
static wf_status take_item(parser *p, int depth, code_set *set, bool *is_code, uint32_t *code)
{
    code_set inner = {0};
    wf_status status = WF_OK;
    *is_code = false;
    if (at(p, "[")) {
        bool posix;
        TRY(take_posix(p, set, &posix));
        if (!posix) status = take_class(p, depth + 1, &inner);
    } else if (at(p, "\\")) {
        status = take_escape(p, is_code, code, &inner);
    } else {
        *is_code = true;
        *code = take_code(p);
    }
    code_set_add_all(set, &inner);
    code_set_free(&inner);
    return status;
}

// A character, a range or a set. A hyphen that cannot make a range is itself.
static wf_status take_range(parser *p, int depth, code_set *set)
{
    size_t start = p->pos;
    bool is_code;
    uint32_t first, last;
    TRY(take_item(p, depth, set, &is_code, &first));
    if (!is_code) return WF_OK;
    if (!at(p, "-") || at(p, "-]") || at(p, "-&&")) {
        code_set_add(set, first, first);
        return WF_OK;
    }
    p->pos++;
    if (at_end(p)) return refuse(p, start, "a class without its end");
    TRY(take_item(p, depth, set, &is_code, &last));
    if (!is_code) {
        code_set_add(set, first, first);
        code_set_add(set, '-', '-');
    } else if (first > last) {
        return refuse(p, start, "an empty range");
    } else {
        code_set_add(set, first, last);
    }
    return WF_OK;
}

static wf_status take_class_body(parser *p, int depth, size_t start, code_set *set, code_set *left)
{
    bool meets = false; // behind &&: what is on its left
    while (!take(p, "]")) {
        if (at_end(p)) return refuse(p, start, "a class without its end");
        if (take(p, "&&")) {
            if (meets)
                code_set_keep(left, set);
            else
                code_set_add_all(left, set);
            code_set_free(set);
            meets = true;
        } else {
            TRY(take_range(p, depth, set));
        }
    }
    if (meets) code_set_keep(set, left);
    return WF_OK;
}

// At '['.
static wf_status take_class(parser *p, int depth, code_set *set)
{
    size_t start = p->pos++;
    bool negated = take(p, "^");
    code_set left = {0};
    if (depth == MAX_DEPTH) return refuse(p, start, "a class so deep in others");
    if (at(p, "]")) return refuse(p, start, "an empty class");
    wf_status status = take_class_body(p, depth, start, set, &left);
    code_set_free(&left);
    if (p->flags.ignore_case) unicode_add_cases(set);
    if (negated) code_set_invert(set);
    return status;
}

// ---- groups and the rest

static void emit(parser *p, const char *text) { buffer_append_view(p->out, view_of(text)); }

// (?i), (?i:, (?-i:, (?m:, ...: behind "(?". *found: that is what stands here.
static wf_status take_flags(parser *p, size_t start, bool *found, bool *opens)
{
    regex_flags flags = p->flags;
    size_t pos = p->pos;
    bool on = true;
    for (; pos < p->in.len && memchr("im-", p->in.data[pos], 3); pos++) {
        if (p->in.data[pos] == '-') on = false;
        if (p->in.data[pos] == 'i') flags.ignore_case = on;
        if (p->in.data[pos] == 'm') flags.dot_all = on;
    }
    *opens = pos < p->in.len && p->in.data[pos] == ':';
    *found = *opens || (pos < p->in.len && pos > p->pos && p->in.data[pos] == ')');
    if (!*found) return WF_OK;
    // For the rest of the group: Oniguruma takes "a(?i)b|c" for "a(?i:b|c)".
    if (!*opens && start != p->start) return refuse(p, start, "a flag within an alternative");
    p->pos = pos + 1;
    if (*opens) p->outer[p->depth++] = p->flags;
    p->flags = flags;
    p->start = p->pos;
    if (*opens) emit(p, "(?:");
    return WF_OK;
}

static wf_status take_group(parser *p)
{
    static const char *const openings[] = {"(?=", "(?!", "(?<=", "(?<!", "(?>"};
    size_t start = p->pos;
    bool found = false, opens;
    if (p->depth == MAX_DEPTH) return refuse(p, start, "a group so deep in others");
    for (size_t i = 0; i < sizeof openings / sizeof *openings && !found; i++)
        if ((found = take(p, openings[i]))) emit(p, openings[i]);
    if (!found && take(p, "(?")) {
        TRY(take_flags(p, start, &found, &opens));
        return found ? WF_OK : refuse(p, start, "this kind of group");
    }
    if (!found) {
        if (at(p, "(*")) return refuse(p, start, "this kind of group");
        p->pos++;
        emit(p, "(?:"); // nobody asks what was captured
    }
    p->outer[p->depth++] = p->flags;
    p->start = p->pos;
    return WF_OK;
}

static wf_status close_group(parser *p)
{
    if (p->depth == 0) return refuse(p, p->pos, "a closing parenthesis alone");
    p->flags = p->outer[--p->depth];
    p->pos++;
    emit(p, ")");
    return WF_OK;
}

// At '{': {n}, {n,}, {n,m}, {,m}. Oniguruma reads a + behind it as another quantifier, pcre2 as "possessive", and a ?
// behind {n} as another one, pcre2 as "lazy".
static wf_status take_repeat(parser *p)
{
    size_t start = p->pos, end = p->pos + 1, n_commas = 0;
    for (; end < p->in.len && memchr("0123456789,", p->in.data[end], 11); end++) n_commas += p->in.data[end] == ',';
    bool is_open = p->in.data[start + (start + 1 < p->in.len)] == ',';
    if (end == p->in.len || p->in.data[end] != '}' || end == start + 1 + is_open || n_commas > 1)
        return refuse(p, start, "this brace");
    emit(p, is_open ? "{0" : "{");
    buffer_append(p->out, p->in.data + start + 1, end - start);
    p->pos = end + 1;
    if (at(p, "+")) return refuse(p, p->pos, "a + behind a repetition");
    return at(p, "?") && n_commas == 0 ? refuse(p, p->pos, "a ? behind a repetition") : WF_OK;
}

// A place between characters, in terms of sets: as text in which a space stands for the set.
static wf_status emit_place(parser *p, const char *text, const char *property, uint32_t code)
{
    for (; *text; text++) {
        if (*text != ' ')
            buffer_append_char(p->out, *text);
        else if (property)
            TRY(emit_property(p, property, false));
        else
            TRY(emit_code(p, code));
    }
    return WF_OK;
}

static wf_status take_backslash(parser *p)
{
    static const char BOUNDARY[] = "(?:(?<= )(?! )|(?<! )(?= ))", INSIDE[] = "(?:(?<= )(?= )|(?<! )(?! ))";
    if (take(p, "\\b")) return emit_place(p, BOUNDARY, "word", 0);
    if (take(p, "\\B")) return emit_place(p, INSIDE, "word", 0);
    if (take(p, "\\A")) return emit_place(p, "\\A", NULL, 0);
    if (take(p, "\\z")) return emit_place(p, "\\z", NULL, 0);
    if (take(p, "\\Z")) return emit_place(p, "(?= ?\\z)", NULL, '\n');
    code_set set = {0};
    bool is_code;
    uint32_t code;
    wf_status status = take_escape(p, &is_code, &code, &set);
    if (status == WF_OK && !is_code) return emit_set(p, set);
    code_set_free(&set);
    return status == WF_OK ? emit_code(p, code) : status;
}

static wf_status take_set(parser *p)
{
    code_set set = {0};
    wf_status status = take_class(p, 0, &set);
    if (status == WF_OK) return emit_set(p, set);
    code_set_free(&set);
    return status;
}

static wf_status take_dot(parser *p)
{
    code_set set = {0};
    p->pos++;
    if (!p->flags.dot_all) code_set_add(&set, '\n', '\n');
    code_set_invert(&set);
    return emit_set(p, set);
}

static wf_status take_one(parser *p)
{
    switch (p->in.data[p->pos]) {
    case '\\': return take_backslash(p);
    case '[': return take_set(p);
    case '(': return take_group(p);
    case ')': return close_group(p);
    case '{': return take_repeat(p);
    case '.': return take_dot(p);
    case '^': p->pos++; return emit_place(p, "(?:\\A|(?<= )(?!\\z))", NULL, '\n');
    case '$': p->pos++; return emit_place(p, "(?:\\z|(?= ))", NULL, '\n');
    case '|':
    case '?':
    case '*':
    case '+':
        buffer_append_char(p->out, p->in.data[p->pos++]);
        if (p->in.data[p->pos - 1] == '|') p->start = p->pos;
        return WF_OK;
    default: return emit_code(p, take_code(p));
    }
}

wf_status regex_parse(view pattern, regex_sets *sets, buffer *parsed, wf_error *err)
{
    parser p = {.in = pattern, .out = parsed, .sets = sets, .err = err};
    if (!utf8_is_valid(pattern)) return refuse(&p, 0, "text that is not UTF-8");
    while (!at_end(&p)) TRY(take_one(&p));
    if (p.depth) return refuse(&p, pattern.len, "a group without its end");
    return parsed->failed ? error_memory(err, pattern.len) : WF_OK;
}

void regex_print(view parsed, const regex_sets *sets, const alphabet *a, buffer *out)
{
    for (size_t i = 0; i < parsed.len; i++) {
        const unsigned char *at = (const unsigned char *)parsed.data + i;
        if (*at != SET_MARK) {
            buffer_append_char(out, parsed.data[i]);
            continue;
        }
        alphabet_print_set(a, &sets->items[at[1] | at[2] << 8], out);
        i += 2;
    }
}
