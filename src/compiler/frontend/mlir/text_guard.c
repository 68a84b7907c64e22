// One pass over the tokens of a file, which is all that nesting needs: MLIR descends once a bracket, once an operator
// of an affine expression, and once an alias that another alias was made of.
#include "compiler/frontend/mlir/text_guard.h"

#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "compiler/frontend/mlir/tokens.h"

enum {
    MAX_NESTING = 500,        // stacks of 8 MB end beyond 5000; no frontend's file reaches 100
    MAX_ALIGNMENT = 1 << 20,  // of a resource, in bytes: upstream allocates by it
    ALIGNMENT_DIGITS = 2 * 4, // in hexadecimal, the lowest byte first
};

// #name or !name, which stands for an attribute or a type.
typedef struct alias {
    view name;
    int nesting; // the deepest in what it stands for
} alias;

typedef struct scan {
    view text;
    const char *file;
    size_t at;
    int nesting;                    // open brackets, and operators of the expressions that they stand in
    int depth;                      // open brackets
    int operators[MAX_NESTING + 1]; // at each depth, in the expression at hand
    alias *defined;                 // whose value is being read; NULL before the first
    void *aliases;                  // a tree of tsearch
    arena memory;
    view word;                      // the last bare word
    bool after_colon;               // the token before this one
    bool in_metadata, in_resources; // inside {-# #-}; inside its dialect_resources
    wf_error *err;
} scan;

static wf_status refuse_at(view text, size_t at, const char *file, const char *reason, wf_error *err)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < at; i++)
        if (text.data[i] == '\n') {
            line++;
            start = i + 1;
        }
    return error_set(err, WF_ERROR_FORMAT, "%s:%zu:%zu: %s", file, line, at - start + 1, reason);
}

// ---- nesting

static wf_status check_nesting(scan *s, int more)
{
    int nesting = s->nesting + more;
    if (nesting > MAX_NESTING) return refuse_at(s->text, s->at, s->file, "nested too deeply", s->err);
    if (s->defined && nesting > s->defined->nesting) s->defined->nesting = nesting;
    return WF_OK;
}

static wf_status open_bracket(scan *s)
{
    s->nesting++;
    TRY(check_nesting(s, 0));
    s->operators[++s->depth] = 0;
    return WF_OK;
}

// What the brackets held is part of the expression around them.
static void close_bracket(scan *s)
{
    if (!s->depth) return;
    s->operators[s->depth - 1] += s->operators[s->depth];
    s->depth--;
    s->nesting--;
}

static wf_status add_operator(scan *s)
{
    s->nesting++;
    s->operators[s->depth]++;
    return check_nesting(s, 0);
}

static void end_expression(scan *s)
{
    s->nesting -= s->operators[s->depth];
    s->operators[s->depth] = 0;
}

// ---- aliases

static int compare_aliases(const void *a, const void *b)
{
    view x = ((const alias *)a)->name, y = ((const alias *)b)->name;
    if (x.len != y.len) return x.len < y.len ? -1 : 1;
    return memcmp(x.data, y.data, x.len);
}

static void keep_alias(void *a) { (void)a; } // the arena's

// `name` at the outermost level, with = behind it, begins the alias's value, which the next one ends at the latest;
// elsewhere it stands for its value.
static wf_status read_alias(scan *s, view name, size_t end)
{
    alias key = {.name = name};
    alias **found = tfind(&key, &s->aliases, compare_aliases);
    size_t next = text_skip_space(s->text, end);
    if (s->depth || next == s->text.len || s->text.data[next] != '=')
        return found ? check_nesting(s, (*found)->nesting) : WF_OK;
    if (!found) {
        alias *added = arena_alloc(&s->memory, 1, sizeof *added);
        if (!added) return error_memory(s->err, sizeof *added);
        added->name = name;
        found = tsearch(added, &s->aliases, compare_aliases);
        if (!found) return error_memory(s->err, sizeof *added);
    }
    s->defined = *found;
    return WF_OK;
}

// ---- resources

// name: "0x<alignment><data>"
static wf_status check_resource(const scan *s, view string)
{
    static const char DIGITS[] = "0123456789abcdef";
    if (string.len < 2 + ALIGNMENT_DIGITS || memcmp(string.data, "0x", 2)) return WF_OK; // the parser says why
    uint32_t alignment = 0;
    for (int i = 0; i < ALIGNMENT_DIGITS; i++) {
        const char *digit = strchr(DIGITS, tolower((unsigned char)string.data[2 + i]));
        if (!digit || !*digit) return WF_OK;
        alignment |= (uint32_t)(digit - DIGITS) << (4 * (i ^ 1));
    }
    if (alignment && !(alignment & (alignment - 1)) && alignment <= MAX_ALIGNMENT) return WF_OK;
    char reason[200];
    snprintf(reason, sizeof reason, "the resource '%.*s' has an alignment of %u bytes, which is no power of two%s",
             NAME_ARG(s->word), alignment, alignment > MAX_ALIGNMENT ? " up to 1048576" : "");
    return refuse_at(s->text, s->at, s->file, reason, s->err);
}

// ---- tokens

// A number as in 1.5E-10: its sign is no operator.
static size_t end_of_number(view text, size_t i)
{
    while (i < text.len && (isdigit((unsigned char)text.data[i]) || text.data[i] == '.')) i++;
    bool exponent = i + 2 < text.len && (text.data[i] == 'e' || text.data[i] == 'E') &&
                    (text.data[i + 1] == '-' || text.data[i + 1] == '+') && isdigit((unsigned char)text.data[i + 2]);
    return exponent ? i + 2 : i;
}

static wf_status read_word(scan *s, size_t end)
{
    s->word = (view){s->text.data + s->at, end - s->at};
    if (s->in_metadata && !s->after_colon && view_is(s->word, "dialect_resources")) s->in_resources = true;
    if (s->in_metadata && !s->after_colon && view_is(s->word, "external_resources")) s->in_resources = false;
    bool is_operator = view_is(s->word, "mod") || view_is(s->word, "floordiv") || view_is(s->word, "ceildiv");
    return is_operator ? add_operator(s) : WF_OK;
}

static wf_status read_mark(scan *s, char c)
{
    switch (c) {
    case '(':
    case '[':
    case '{':
    case '<': return open_bracket(s);
    case ')':
    case ']':
    case '}':
    case '>': close_bracket(s); return WF_OK;
    case ',':
    case ':':
    case '=': end_expression(s); return WF_OK;
    case '+':
    case '-':
    case '*': return add_operator(s);
    default: return WF_OK;
    }
}

// Reads the token at s->at, and leaves s->at behind it.
static wf_status read_token(scan *s)
{
    view text = s->text;
    size_t at = s->at, end = at + 1;
    char c = text.data[at], next = end < text.len ? text.data[end] : 0;
    wf_status status = WF_OK;
    if (c == '"') {
        end = text_end_of_string(text, end);
        view string = {text.data + at + 1, end - at - 1};
        if (s->in_resources && s->after_colon) status = check_resource(s, string);
        s->word = string;
        end += end < text.len;
    } else if (c == '/' && next == '/') {
        s->at = text_end_of_line(text, at);
        return WF_OK;
    } else if (c == '-' && next == '>') {
        end++;
    } else if (c == '#' || c == '!') {
        end = text_end_of_name(text, end);
        if (end > at + 1) status = read_alias(s, (view){text.data + at, end - at}, end);
    } else if (c == '%' || c == '@' || c == '^') {
        end = text_end_of_name(text, end);
    } else if (isdigit((unsigned char)c)) {
        end = end_of_number(text, end);
    } else if (text_is_word(c)) {
        while (end < text.len && text_is_word(text.data[end])) end++;
        status = read_word(s, end);
    } else {
        if (c == '{' && next == '-') s->in_metadata = true; // "{-#", to the end of the file
        status = read_mark(s, c);
    }
    s->after_colon = c == ':';
    s->at = end;
    return status;
}

static wf_status check_tokens(view text, const char *name, wf_error *err)
{
    scan s = {.text = text, .file = name, .err = err};
    wf_status status = WF_OK;
    while (status == WF_OK && (s.at = text_skip_space(text, s.at)) < text.len) status = read_token(&s);
    tdestroy(s.aliases, keep_alias);
    arena_free(&s.memory);
    return status;
}

// ---- lists of axes

// Whether linalg's parser of lists of axes, which crashes on anything else, can read what begins at i: a list of
// integers. Generic forms have `array<..>` there.
static bool is_axis_list(view text, size_t i)
{
    enum { MAX_DIGITS = 18 };
    int digits = 0;
    if (view_starts_with((view){text.data + i, text.len - i}, VIEW_LITERAL("array<"))) return true;
    if (i == text.len || text.data[i] != '[') return false;
    for (i++; i < text.len && text.data[i] != ']'; i++) {
        char c = text.data[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !strchr("-, \t\r\n", c ? c : '?')) return false;
        digits = digit ? digits + 1 : 0;
        if (digits > MAX_DIGITS) return false;
    }
    return true;
}

// The offset of what should be a list of axes behind `name =`, and is none; text.len when there is no such place.
static size_t find_bad_list(view text, const char *name)
{
    const char *end = text.data + text.len, *found = text.data;
    for (; (found = memmem(found, (size_t)(end - found), name, strlen(name))); found++) {
        size_t i = (size_t)(found - text.data);
        if (i > 0 && (isalnum((unsigned char)found[-1]) || strchr("_%#!@$.-", found[-1]))) continue;
        size_t at = text_skip_space(text, i + strlen(name));
        if (at == text.len || text.data[at] != '=') continue;
        at = text_skip_space(text, at + 1);
        if (!is_axis_list(text, at)) return at < text.len ? at : text.len - 1;
    }
    return text.len;
}

static wf_status check_lists(view text, const char *name, wf_error *err)
{
    static const char *const LISTS[] = {"permutation", "dimensions"};
    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) {
        size_t list = find_bad_list(text, LISTS[i]);
        if (list < text.len) return refuse_at(text, list, name, "not a list of axes", err);
    }
    return WF_OK;
}

wf_status text_guard_check(view text, const char *name, wf_error *err)
{
    TRY(check_tokens(text, name, err));
    return check_lists(text, name, err);
}
