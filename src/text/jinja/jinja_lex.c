// Template text into tokens.
//
//     text {{ print }} text {% statement %} text {# comment #} text
//
// White space, in this order of strength, as jinja2 treats it with trim_blocks and lstrip_blocks:
//     {%-  {{-  {#-    strips all white space before        -%}  -}}  -#}    strips all white space after
//     {%+  {#+         keeps the white space before         +%}  +#}         keeps the line break after
//     {%   {#          strips blanks between the line's start and it
//     %}   #}          swallows one line break after it
// One line break at the very end of the source is dropped; \r\n and \r become \n.
#include <errno.h>
#include <stdlib.h>

#include <utf8proc.h>

#include "text/jinja/jinja_internal.h"

typedef struct lexer {
    jinja_run *r;
    const char *source;
    size_t len, pos;
    jinja_token *tokens;
    size_t n, capacity;
    char brackets[JINJA_MAX_NESTING]; // open ones, inside a tag
    size_t n_brackets;
} lexer;

static jinja_token *add_token(lexer *l, jinja_token_kind kind, view text)
{
    if (l->n == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 64;
        jinja_token *tokens = jinja_alloc(l->r, capacity, sizeof *tokens);
        if (l->n) memcpy(tokens, l->tokens, l->n * sizeof *tokens);
        l->tokens = tokens;
        l->capacity = capacity;
    }
    l->tokens[l->n] = (jinja_token){.kind = kind, .line = l->r->line, .text = text};
    return &l->tokens[l->n++];
}

// Moves to `pos`, counting lines.
static void advance(lexer *l, size_t pos)
{
    for (; l->pos < pos; l->pos++)
        if (l->source[l->pos] == '\n') l->r->line++;
}

static bool at(const lexer *l, size_t pos, const char *s)
{
    size_t len = strlen(s);
    return l->len - pos >= len && !memcmp(l->source + pos, s, len);
}

static size_t skip_space(const lexer *l, size_t pos)
{
    while (pos < l->len) {
        size_t used;
        if (!jinja_is_space(jinja_code_point(l->source + pos, l->len - pos, &used))) break;
        pos += used;
    }
    return pos;
}

// The end of source[begin, end) without the white space that trails it.
static size_t strip_end(const lexer *l, size_t begin, size_t end)
{
    size_t kept = begin;
    for (size_t pos = begin; pos < end;) {
        size_t used;
        bool space = jinja_is_space(jinja_code_point(l->source + pos, end - pos, &used));
        pos += used;
        if (!space) kept = pos;
    }
    return kept;
}

// Adds the text [begin, end) before a tag that opens at `end` with `sign` ('-', '+' or 0).
static void add_text(lexer *l, size_t begin, size_t end, char sign, bool is_print)
{
    if (sign == '-') {
        end = strip_end(l, begin, end);
    } else if (sign != '+' && !is_print) {
        size_t line = end;
        while (line > begin && l->source[line - 1] != '\n') line--;
        bool at_line_start = line > begin || begin == 0 || l->source[begin - 1] == '\n';
        if (at_line_start && strip_end(l, line, end) == line) end = line;
    }
    if (end > begin) add_token(l, TOKEN_TEXT, (view){l->source + begin, end - begin});
}

// The length of a block's or comment's end mark (`close` is "%}" or "#}") at `pos`; 0 when there is none.
static size_t end_mark(const lexer *l, size_t pos, const char *close)
{
    if (pos >= l->len) return 0;
    if (l->source[pos] == '-' && at(l, pos + 1, close)) return skip_space(l, pos + 3) - pos;
    if (l->source[pos] == '+' && at(l, pos + 1, close)) return 3;
    if (at(l, pos, close)) return at(l, pos + 2, "\n") ? 3 : 2;
    return 0;
}

static size_t find_sign(const lexer *l, size_t pos, char *sign)
{
    *sign = pos < l->len && (l->source[pos] == '-' || l->source[pos] == '+') ? l->source[pos] : 0;
    return pos + (*sign != 0);
}

// {% WORD %} at `pos`: gives its sign and the place after "WORD" and white space; 0 when it is another tag.
static size_t match_tag(const lexer *l, size_t pos, const char *word, char *sign)
{
    if (!at(l, pos, "{%")) return 0;
    pos = skip_space(l, find_sign(l, pos + 2, sign));
    return at(l, pos, word) ? skip_space(l, pos + strlen(word)) : 0;
}

static void lex_raw(lexer *l)
{
    size_t begin = l->pos, end, after;
    char sign = 0;
    for (end = begin; end < l->len; end++) {
        after = match_tag(l, end, "endraw", &sign);
        size_t mark = after ? end_mark(l, after, "%}") : 0;
        if (!mark) continue;
        add_text(l, begin, end, sign, false);
        advance(l, after + mark);
        return;
    }
    jinja_fail(l->r, WF_ERROR_FORMAT, "{%% raw %%} without {%% endraw %%}");
}

static void lex_comment(lexer *l)
{
    for (size_t end = l->pos; end < l->len; end++) {
        size_t mark = end_mark(l, end, "#}");
        if (!mark) continue;
        advance(l, end + mark);
        return;
    }
    jinja_fail(l->r, WF_ERROR_FORMAT, "comment without #}");
}

static void add_utf8(char *text, size_t *len, uint32_t cp)
{
    *len += (size_t)utf8proc_encode_char((utf8proc_int32_t)cp, (utf8proc_uint8_t *)text + *len);
}

// A code point in `digits` hexadecimal digits at `pos`.
static uint32_t read_hex(lexer *l, size_t pos, size_t end, size_t digits)
{
    uint32_t cp = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = pos + i < end ? l->source[pos + i] : 0;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (digit == 16) jinja_fail(l->r, WF_ERROR_FORMAT, "escape in a string needs %zu hexadecimal digits", digits);
        cp = cp << 4 | digit;
    }
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
        jinja_fail(l->r, WF_ERROR_FORMAT, "escape in a string is no Unicode character");
    return cp;
}

// The escape after the backslash at `pos`, Python's rules; gives the place after it.
static size_t undo_escape(lexer *l, size_t pos, size_t end, char *text, size_t *len)
{
    static const char names[] = "abfnrtv\\'\"", values[] = "\a\b\f\n\r\t\v\\'\"";
    char c = l->source[pos + 1];
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        text[(*len)++] = values[name - names];
        return pos + 2;
    }
    if (c == '\n') return pos + 2;
    if (c >= '0' && c <= '7') {
        uint32_t cp = 0;
        size_t i = 1;
        for (; i <= 3 && pos + i < end && l->source[pos + i] >= '0' && l->source[pos + i] <= '7'; i++)
            cp = cp * 8 + (uint32_t)(l->source[pos + i] - '0');
        add_utf8(text, len, cp);
        return pos + i;
    }
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits) {
        add_utf8(text, len, read_hex(l, pos + 2, end, digits));
        return pos + 2 + digits;
    }
    if (c == 'N') jinja_fail(l->r, WF_ERROR_UNSUPPORTED, "escape \\N in a string");
    text[(*len)++] = '\\';
    return pos + 1;
}

static void lex_string(lexer *l)
{
    char quote = l->source[l->pos];
    size_t begin = l->pos + 1, end = begin;
    while (end < l->len && l->source[end] != quote) end += l->source[end] == '\\' ? 2 : 1;
    if (end >= l->len) jinja_fail(l->r, WF_ERROR_FORMAT, "string without its closing quote");
    char *text = jinja_alloc(l->r, end - begin + 1, 1); // no escape is shorter than what it stands for
    size_t len = 0;
    for (size_t pos = begin; pos < end;) {
        if (l->source[pos] == '\\')
            pos = undo_escape(l, pos, end, text, &len);
        else
            text[len++] = l->source[pos++];
    }
    add_token(l, TOKEN_STRING, (view){text, len});
    advance(l, end + 1);
}

static bool is_digit(const lexer *l, size_t pos)
{
    return pos < l->len && l->source[pos] >= '0' && l->source[pos] <= '9';
}

// Digits with single underscores between them; copies them without.
static size_t read_digits(const lexer *l, size_t pos, char *text, size_t max, size_t *len)
{
    while (is_digit(l, pos)) {
        if (*len < max) text[(*len)++] = l->source[pos];
        pos++;
        if (pos < l->len && l->source[pos] == '_' && is_digit(l, pos + 1)) pos++;
    }
    return pos;
}

static void lex_based_integer(lexer *l, int base)
{
    size_t pos = l->pos + 2, begin = pos;
    int64_t value = 0;
    for (; pos < l->len; pos++) {
        char c = l->source[pos];
        if (c == '_') continue;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : 16;
        if (digit >= base) break;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
            jinja_fail(l->r, WF_ERROR_UNSUPPORTED, "integer beyond 64 bits");
    }
    if (pos == begin) jinja_fail(l->r, WF_ERROR_FORMAT, "number without digits");
    add_token(l, TOKEN_INT, (view){l->source + l->pos, pos - l->pos})->integer = value;
    advance(l, pos);
}

static void lex_number(lexer *l)
{
    char next = l->pos + 1 < l->len ? (char)(l->source[l->pos + 1] | 0x20) : 0;
    if (l->source[l->pos] == '0' && (next == 'x' || next == 'o' || next == 'b')) {
        lex_based_integer(l, next == 'x' ? 16 : next == 'o' ? 8 : 2);
        return;
    }
    char text[400];
    size_t max = sizeof text - 1, len = 0;
    size_t pos = read_digits(l, l->pos, text, max, &len);
    bool is_float = false;
    if (l->pos == 0 || l->source[l->pos - 1] != '.') { // in x.0.1 the 0 and the 1 are subscripts
        if (at(l, pos, ".") && is_digit(l, pos + 1)) {
            is_float = true;
            if (len < max) text[len++] = '.';
            pos = read_digits(l, pos + 1, text, max, &len);
        }
        size_t exponent = pos + 1;
        if (pos < l->len && (l->source[pos] == 'e' || l->source[pos] == 'E')) {
            char sign = exponent < l->len ? l->source[exponent] : 0;
            if (sign == '+' || sign == '-') exponent++;
            if (is_digit(l, exponent)) {
                is_float = true;
                if (len < max) text[len++] = 'e';
                if (sign == '-' && len < max) text[len++] = '-';
                pos = read_digits(l, exponent, text, max, &len);
            }
        }
    }
    if (len >= max) jinja_fail(l->r, WF_ERROR_UNSUPPORTED, "number of more than %zu characters", max - 1);
    text[len] = 0;
    jinja_token *token = add_token(l, is_float ? TOKEN_FLOAT : TOKEN_INT, (view){l->source + l->pos, pos - l->pos});
    errno = 0;
    if (is_float)
        token->real = strtod(text, NULL);
    else
        token->integer = strtoll(text, NULL, 10);
    if (!is_float && errno == ERANGE) {
        char *digits = jinja_alloc(l->r, len + 1, 1);
        memcpy(digits, text, len);
        token->kind = TOKEN_BIG;
        token->text = (view){digits, len};
    }
    advance(l, pos);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c & 0x80);
}

static void track_bracket(lexer *l, char c)
{
    if (strchr("([{", c)) {
        if (l->n_brackets == JINJA_MAX_NESTING)
            jinja_fail(l->r, WF_ERROR_LIMIT, "more than %d brackets inside each other", JINJA_MAX_NESTING);
        l->brackets[l->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c)) {
        if (!l->n_brackets || l->brackets[l->n_brackets - 1] != c)
            jinja_fail(l->r, WF_ERROR_FORMAT, "unexpected '%c'", c);
        l->n_brackets--;
    }
}

static void lex_operator(lexer *l)
{
    static const char *const doubles[] = {"**", "//", "==", "!=", ">=", "<="};
    size_t len = 0;
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++)
        if (at(l, l->pos, doubles[i])) len = 2;
    char c = l->source[l->pos];
    if (!len && c && strchr("+-*/%~()[]{}<>=.:|,;", c)) len = 1;
    if (!len && (c <= ' ' || c == 0x7f))
        jinja_fail(l->r, WF_ERROR_FORMAT, "unexpected byte 0x%02x in a tag", (unsigned)(unsigned char)c);
    if (!len) jinja_fail(l->r, WF_ERROR_FORMAT, "unexpected character '%c'", c);
    if (len == 1) track_bracket(l, c);
    add_token(l, TOKEN_OPERATOR, (view){l->source + l->pos, len});
    advance(l, l->pos + len);
}

// The length of the tag's end mark at the lexer's place; 0 when there is none.
static size_t tag_end(const lexer *l, bool is_print)
{
    if (l->n_brackets) return 0; // the }} of {{ {'a': {}} }} closes dicts
    if (!is_print) return end_mark(l, l->pos, "%}");
    if (at(l, l->pos, "-}}")) return skip_space(l, l->pos + 3) - l->pos;
    return at(l, l->pos, "}}") ? 2 : 0;
}

static void lex_tag(lexer *l, bool is_print)
{
    add_token(l, is_print ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN, (view){l->source + l->pos, 0});
    l->n_brackets = 0;
    for (;;) {
        size_t mark = l->pos < l->len ? tag_end(l, is_print) : 0;
        if (mark) {
            add_token(l, is_print ? TOKEN_PRINT_END : TOKEN_BLOCK_END, (view){l->source + l->pos, 0});
            advance(l, l->pos + mark);
            return;
        }
        size_t used;
        advance(l, skip_space(l, l->pos));
        if (l->pos >= l->len) jinja_fail(l->r, WF_ERROR_FORMAT, "tag without %s", is_print ? "}}" : "%}");
        if (tag_end(l, is_print)) continue;
        char c = l->source[l->pos];
        if (c == '"' || c == '\'') {
            lex_string(l);
        } else if (is_digit(l, l->pos)) {
            lex_number(l);
        } else if (is_name_char(c)) {
            used = 1;
            while (l->pos + used < l->len && is_name_char(l->source[l->pos + used])) used++;
            add_token(l, TOKEN_NAME, (view){l->source + l->pos, used});
            l->pos += used;
        } else {
            lex_operator(l);
        }
    }
}

static void lex_source(lexer *l)
{
    while (l->pos < l->len) {
        size_t open = l->pos;
        while (open < l->len && !(l->source[open] == '{' && open + 1 < l->len && l->source[open + 1] &&
                                  strchr("{%#", l->source[open + 1])))
            open++;
        if (open == l->len) {
            add_token(l, TOKEN_TEXT, (view){l->source + l->pos, open - l->pos});
            advance(l, open);
            return;
        }
        char kind = l->source[open + 1], sign;
        size_t inside = find_sign(l, open + 2, &sign);
        add_text(l, l->pos, open, sign, kind == '{');
        size_t raw = match_tag(l, open, "raw", &sign);
        if (raw && (at(l, raw, "%}") || at(l, raw, "-%}"))) {
            advance(l, at(l, raw, "-%}") ? skip_space(l, raw + 3) : raw + 2);
            lex_raw(l);
        } else {
            advance(l, inside);
            if (kind == '#')
                lex_comment(l);
            else
                lex_tag(l, kind == '{');
        }
    }
}

// Copies the source with \n for every line break, without the last one.
static view normalize_lines(jinja_run *r, view source)
{
    char *text = jinja_alloc(r, source.len + 1, 1);
    size_t len = 0;
    for (size_t i = 0; i < source.len; i++) {
        char c = source.data[i];
        if (c == '\r') {
            c = '\n';
            if (i + 1 < source.len && source.data[i + 1] == '\n') i++;
        }
        text[len++] = c;
    }
    if (len && text[len - 1] == '\n') len--;
    return (view){text, len};
}

// Overlong forms, surrogates and bytes that are no UTF-8 at all stop here, so that later parts see text.
static void check_utf8(jinja_run *r, view source)
{
    for (size_t pos = 0, used; pos < source.len; pos += used) {
        uint32_t cp = jinja_code_point(source.data + pos, source.len - pos, &used);
        if (cp == '\n') r->line++;
        if (cp >= 0x80 && used == 1) jinja_fail(r, WF_ERROR_FORMAT, "the template is not valid UTF-8");
    }
    r->line = 1;
}

jinja_token *jinja_lex(jinja_run *r, view source)
{
    if (source.len > JINJA_MAX_SOURCE)
        jinja_fail(r, WF_ERROR_LIMIT, "the template has more than %d bytes", JINJA_MAX_SOURCE);
    check_utf8(r, source);
    view text = normalize_lines(r, source);
    lexer l = {.r = r, .source = text.data, .len = text.len};
    lex_source(&l);
    add_token(&l, TOKEN_END, (view){"", 0});
    return l.tokens;
}
