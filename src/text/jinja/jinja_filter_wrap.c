// Filters that fit text to a width: center, truncate, wordwrap; see jinja_filter.c.
#include <utf8proc.h>

#include "text/jinja/jinja_internal.h"

FILTER(filter_center)
{
    int64_t width = jinja_arg_int(r, args, 0, "width", 80);
    return jinja_str(jinja_string_center(r, jinja_to_string(r, v), width, NULL));
}

// ---- texts by character

typedef struct characters {
    const jinja_string *s;
    uint32_t *cps;
    size_t *offsets; // of each character, and of the end
    size_t n;
} characters;

static characters read_characters(jinja_run *r, const jinja_string *s)
{
    characters c = {.s = s, .n = jinja_count(s)};
    size_t pos = 0, used;
    jinja_step(r, c.n);
    c.cps = jinja_alloc(r, c.n + 1, sizeof *c.cps);
    c.offsets = jinja_alloc(r, c.n + 1, sizeof *c.offsets);
    for (size_t i = 0; i < c.n; i++, pos += used) {
        c.offsets[i] = pos;
        c.cps[i] = jinja_code_point(s->data + pos, s->len - pos, &used);
    }
    c.offsets[c.n] = s->len;
    return c;
}

static const jinja_string *cut(jinja_run *r, const characters *c, size_t begin, size_t end)
{
    return jinja_string_slice(r, c->s, c->offsets[begin], c->offsets[end]);
}

FILTER(filter_truncate)
{
    int64_t length = jinja_arg_int(r, args, 0, "length", 255), leeway = 5;
    bool kill_words = jinja_arg_bool(r, args, 1, "killwords", false);
    const jinja_value *given = jinja_arg(args, 2, "end"), *slack = jinja_arg(args, 3, "leeway");
    jinja_value end = given ? *given : jinja_literal(r, "...");
    if (slack && slack->kind != JINJA_NONE) leeway = jinja_arg_int(r, args, 3, "leeway", 5);
    int64_t kept = length - jinja_length(r, end);
    if (kept < 0 || leeway < 0) jinja_fail(r, WF_ERROR_FORMAT, "truncate: the length is less than that of the end");
    int64_t n_all = jinja_length(r, v);
    if (n_all <= length || n_all - length <= leeway) return v; // whatever it is
    if (v.kind != JINJA_STRING || end.kind != JINJA_STRING)
        jinja_fail(r, WF_ERROR_FORMAT, "truncate of %s", jinja_type_name(v));
    characters c = read_characters(r, v.string);
    size_t n = (size_t)kept, word = n;
    while (!kill_words && word > 0 && c.cps[word - 1] != ' ') word--;
    jinja_text t = {0};
    jinja_text_add_string(r, &t, cut(r, &c, 0, word ? word - !kill_words : n));
    jinja_text_add_string(r, &t, end.string);
    return jinja_str(jinja_text_end(r, &t));
}

// ---- wordwrap: Python's textwrap.wrap

static bool is_letter(uint32_t cp)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)cp);
    return cp == '_' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO);
}

// \w of Python's re
static bool is_word(uint32_t cp)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)cp);
    return is_letter(cp) || (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

static bool is_blank(uint32_t cp) { return cp == ' ' || (cp >= 9 && cp <= 13); }

static bool is_word_or_mark(uint32_t cp) { return is_word(cp) || (cp && cp < 0x80 && strchr("!\"'&.,?", (int)cp)); }

// A dash of two hyphens or more at i, between words: its end, else 0.
static size_t dash_end(const characters *c, size_t i)
{
    size_t end = i;
    if (!i || !is_word_or_mark(c->cps[i - 1])) return 0;
    while (end < c->n && c->cps[end] == '-') end++;
    return end - i >= 2 && end < c->n && is_word(c->cps[end]) ? end : 0;
}

// A hyphen at i within a word, behind which a line may end.
static bool is_hyphen(const characters *c, size_t i)
{
    const uint32_t *cps = c->cps;
    if (cps[i] != '-') return false;
    bool before = (i >= 2 && is_letter(cps[i - 2]) && is_letter(cps[i - 1])) ||
                  (i >= 3 && is_letter(cps[i - 3]) && cps[i - 2] == '-' && is_word_or_mark(cps[i - 1]));
    if (!before || i + 2 >= c->n || !is_letter(cps[i + 1])) return false;
    return is_letter(cps[i + 2]) || (cps[i + 2] == '-' && i + 3 < c->n && is_letter(cps[i + 3]));
}

// The end of the chunk at `begin`: white space, a dash, or a word or a part of it up to a hyphen.
static size_t chunk_end(const characters *c, size_t begin, bool hyphens)
{
    size_t end = begin;
    if (is_blank(c->cps[begin])) {
        while (end < c->n && is_blank(c->cps[end])) end++;
        return end;
    }
    size_t dash = hyphens ? dash_end(c, begin) : 0;
    if (dash) return dash;
    for (end = begin + 1; end < c->n && !is_blank(c->cps[end]); end++) {
        if (hyphens && is_hyphen(c, end)) return end + 1;
        if (hyphens && dash_end(c, end)) return end;
    }
    return end;
}

typedef struct wrap_options {
    size_t width;
    bool break_long, hyphens;
    const jinja_string *newline;
} wrap_options;

// How much of the word [begin, end) that is longer than a line goes on this one, where `room` is left.
static size_t break_word(const characters *c, size_t begin, size_t end, size_t room, bool hyphens)
{
    size_t hyphen = begin + room < end ? begin + room : end;
    while (hyphens && hyphen > begin && c->cps[hyphen - 1] != '-') hyphen--;
    for (size_t i = begin; hyphens && hyphen > begin + 1 && i + 1 < hyphen; i++)
        if (c->cps[i] != '-') return hyphen;
    return begin + room < end ? begin + room : end;
}

static bool all_space(const characters *c, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (!jinja_is_space(c->cps[i])) return false;
    return true;
}

static void wrap_line(jinja_run *r, jinja_text *t, const characters *c, const wrap_options *o)
{
    bool any = false;
    size_t rest = 0; // the end of a chunk that was broken
    for (size_t pos = 0; pos < c->n;) {
        size_t begin = pos, last = pos, end; // the line, its last chunk, that chunk's end
        end = rest > pos ? rest : chunk_end(c, pos, o->hyphens);
        if (any && all_space(c, pos, end)) begin = last = pos = end;
        for (; pos < c->n; last = pos, pos = end) {
            end = rest > pos ? rest : chunk_end(c, pos, o->hyphens);
            if (end - begin > o->width) break;
        }
        if (pos < c->n && end - pos > o->width && (o->break_long || pos == begin)) {
            last = pos;
            rest = end;
            pos = o->break_long ? break_word(c, pos, end, o->width - (pos - begin), o->hyphens) : end;
        }
        end = last < pos && !all_space(c, last, pos) ? pos : last;
        jinja_step(r, 1 + pos - begin);
        if (end == begin) continue;
        if (any) jinja_text_add_string(r, t, o->newline);
        jinja_text_add_string(r, t, cut(r, c, begin, end));
        any = true;
    }
}

FILTER(filter_wordwrap)
{
    int64_t width = jinja_arg_int(r, args, 0, "width", 79);
    const jinja_string *newline = jinja_arg_string(r, args, 2, "wrapstring");
    wrap_options o = {.break_long = jinja_arg_bool(r, args, 1, "break_long_words", true),
                      .newline = newline ? newline : jinja_literal(r, "\n").string,
                      .hyphens = jinja_arg_bool(r, args, 3, "break_on_hyphens", true)};
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (v.kind != JINJA_STRING) jinja_fail(r, WF_ERROR_FORMAT, "wordwrap of %s", jinja_type_name(v));
    const jinja_list *lines = jinja_string_split_lines(r, v.string, false);
    jinja_text t = {0};
    if (width <= 0 && lines->n) jinja_fail(r, WF_ERROR_FORMAT, "wordwrap: the width must be above 0");
    o.width = (size_t)width;
    for (size_t i = 0; i < lines->n; i++) {
        characters c = read_characters(r, lines->items[i].string);
        if (i) jinja_text_add_string(r, &t, o.newline);
        wrap_line(r, &t, &c, &o);
    }
    return jinja_str(jinja_text_end(r, &t));
}

FILTER(filter_wordcount)
{
    characters c = read_characters(r, jinja_to_string(r, v));
    int64_t n = 0;
    (void)args;
    for (size_t i = 0; i < c.n; i++) n += is_word(c.cps[i]) && (!i || !is_word(c.cps[i - 1]));
    return jinja_int(n);
}

const jinja_filter_row jinja_wrap_filters[] = {
    {"center", filter_center, "width?"},
    {"truncate", filter_truncate, "length? killwords? end? leeway?"},
    {"wordcount", filter_wordcount, ""},
    {"wordwrap", filter_wordwrap, "width? break_long_words? wrapstring? break_on_hyphens?"},
    {NULL, NULL, NULL},
};
