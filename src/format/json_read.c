#include "format/json_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_DEPTH = 1000, MAX_NUMBER = 1 << 16 }; // Python's own stack ends near 1000; a number's characters

static const char OUT_OF_MEMORY[] = "out of memory";

static const char WIDE[] = "\1number"; // the only member of a wide number: no file means to have such a name

typedef struct reader {
    const char *start, *p, *end;
    const char *reason; // the first failure; NULL where jansson failed, which it does only when memory is out
    json_rules rules;
    int depth;
    char *text; // a string with its escapes undone, reused
    size_t capacity;
} reader;

static json_t *read_value(reader *r);

static bool fail(reader *r, const char *reason)
{
    if (!r->reason) r->reason = reason;
    return false;
}

static json_t *fail_value(reader *r, const char *reason)
{
    fail(r, reason);
    return NULL;
}

static void skip_space(reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t')) r->p++;
}

// After white space.
static bool take(reader *r, char c)
{
    skip_space(r);
    if (r->p == r->end || *r->p != c) return false;
    r->p++;
    return true;
}

// ---- numbers

static json_t *make_wide(reader *r, view text)
{
    json_t *made = json_object();
    if (!json_object_set_new(made, WIDE, json_stringn(text.data, text.len))) return made;
    json_decref(made);
    return fail_value(r, OUT_OF_MEMORY);
}

static size_t count_digits(const reader *r, const char *p)
{
    size_t n = 0;
    while (p + n < r->end && p[n] >= '0' && p[n] <= '9') n++;
    return n;
}

// Integers beyond 64 bits keep their digits.
static json_t *make_integer(reader *r, view text)
{
    char small[32];
    if (text.len >= sizeof small) return make_wide(r, text);
    memcpy(small, text.data, text.len);
    small[text.len] = 0;
    errno = 0;
    long long number = strtoll(small, NULL, 10);
    return errno ? make_wide(r, text) : json_integer(number);
}

static json_t *make_real(reader *r, view text)
{
    char small[64], *copy = text.len < sizeof small ? small : malloc(text.len + 1);
    if (!copy) return fail_value(r, OUT_OF_MEMORY);
    memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    double number = strtod(copy, NULL);
    if (copy != small) free(copy);
    if (isfinite(number)) return json_real(number);
    return make_wide(r, number < 0 ? VIEW_LITERAL("-Infinity") : VIEW_LITERAL("Infinity"));
}

static json_t *read_number(reader *r)
{
    const char *start = r->p;
    bool real = false;
    if (*r->p == '-') r->p++;
    size_t n = count_digits(r, r->p);
    if (!n) return fail_value(r, "a number without digits");
    if (n > 1 && *r->p == '0') return fail_value(r, "a number that begins with 0");
    r->p += n;
    if (r->p < r->end && *r->p == '.' && (n = count_digits(r, r->p + 1))) r->p += 1 + n, real = true;
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        const char *exponent = r->p + 1;
        if (exponent < r->end && (*exponent == '+' || *exponent == '-')) exponent++;
        if ((n = count_digits(r, exponent))) r->p = exponent + n, real = true;
    }
    view text = {start, (size_t)(r->p - start)};
    if (text.len > MAX_NUMBER) return fail_value(r, "a number of more than 65536 characters");
    return real ? make_real(r, text) : make_integer(r, text);
}

static bool is_wide_text(view text)
{
    size_t sign = text.len && text.data[0] == '-';
    if (view_is(text, "NaN") || view_is(text, "Infinity") || view_is(text, "-Infinity")) return true;
    for (size_t i = sign; i < text.len; i++)
        if (text.data[i] < '0' || text.data[i] > '9') return false;
    return text.len > sign;
}

bool json_is_wide(const json_t *value, view *text)
{
    if (!json_is_object(value) || json_object_size(value) != 1) return false;
    const json_t *inner = json_object_get(value, WIDE);
    if (!json_is_string(inner)) return false;
    *text = (view){json_string_value(inner), json_string_length(inner)};
    return is_wide_text(*text); // a file could spell such an object, and then it is no more than a number either
}

const char *json_name_of(const json_t *value)
{
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

bool json_number_of(const json_t *value, double *number)
{
    view text;
    if (json_is_number(value))
        *number = json_number_value(value);
    else if (json_is_wide(value, &text)) // zero-terminated, and strtod reads all its forms
        *number = strtod(text.data, NULL);
    else
        return false;
    return true;
}

// ---- copying and writing

bool json_add_missing(json_t *object, const json_t *from)
{
    const char *name;
    size_t length;
    json_t *value;
    // Walking an object changes nothing in it.
    json_object_keylen_foreach((json_t *)(uintptr_t)from, name, length, value)
    {
        if (!json_object_getn(object, name, length) && json_object_setn(object, name, length, value)) return false;
    }
    return true;
}

static int append_part(const char *text, size_t bytes, void *out)
{
    buffer_append(out, text, bytes);
    return 0;
}

void json_append(const json_t *value, size_t flags, buffer *out)
{
    if (json_dump_callback(value, append_part, out, flags)) out->failed = true;
}

// ---- strings

static bool grow_text(reader *r, size_t bytes)
{
    if (bytes <= r->capacity) return true;
    char *grown = realloc(r->text, 2 * bytes);
    if (!grown) return fail(r, OUT_OF_MEMORY);
    r->text = grown;
    r->capacity = 2 * bytes;
    return true;
}

// The four digits of \uXXXX.
static bool read_hex(reader *r, uint32_t *unit)
{
    *unit = 0;
    if (r->end - r->p < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = *r->p++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return false;
        *unit = *unit * 16 + (uint32_t)digit;
    }
    return true;
}

static size_t put_utf8(char *out, uint32_t cp)
{
    if (cp < 0x80) return out[0] = (char)cp, 1;
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char LEAD[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3f));
    out[0] = (char)(LEAD[n] | cp);
    return n;
}

// What follows a backslash, into `out` (4 bytes); 0: no escape.
static size_t read_escape(reader *r, char *out)
{
    static const char LETTERS[] = "\"\\/bfnrt", MEANING[] = "\"\\/\b\f\n\r\t";
    if (r->p == r->end) return fail(r, "a string without an end");
    char c = *r->p++;
    const char *letter = c ? strchr(LETTERS, c) : NULL;
    if (letter) return out[0] = MEANING[letter - LETTERS], 1;
    uint32_t unit, low;
    if (c != 'u' || !read_hex(r, &unit)) return fail(r, "an escape that JSON does not have");
    if (unit < 0xd800 || unit > 0xdfff) return put_utf8(out, unit);
    bool paired = unit < 0xdc00 && r->end - r->p >= 2 && r->p[0] == '\\' && r->p[1] == 'u';
    if (paired) r->p += 2;
    if (!paired || !read_hex(r, &low) || low < 0xdc00 || low > 0xdfff)
        return fail(r, "an escape with half a surrogate pair: no text has it in UTF-8");
    return put_utf8(out, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
}

// After the opening quote. *text points into the source, or into r->text until the next string.
static bool read_text(reader *r, view *text)
{
    const char *start = r->p;
    size_t n = 0;
    bool escaped = false;
    for (;;) {
        const char *run = r->p;
        while (r->p < r->end && *r->p != '"' && *r->p != '\\' && (unsigned char)*r->p >= ' ') r->p++;
        size_t len = (size_t)(r->p - run);
        if (r->p == r->end) return fail(r, "a string without an end");
        if ((unsigned char)*r->p < ' ') return fail(r, "a control character in a string");
        if (*r->p == '"' && !escaped) break;
        if (!grow_text(r, n + len + 4)) return false;
        memcpy(r->text + n, run, len);
        n += len;
        if (*r->p == '"') break;
        escaped = true;
        r->p++;
        size_t used = read_escape(r, r->text + n);
        if (!used) return false;
        n += used;
    }
    *text = escaped ? (view){r->text, n} : (view){start, (size_t)(r->p - start)};
    r->p++;
    return true;
}

static bool is_utf8(view text)
{
    utf8proc_int32_t code;
    for (size_t i = 0; i < text.len;) {
        const utf8proc_uint8_t *rest = (const utf8proc_uint8_t *)text.data + i;
        utf8proc_ssize_t n = utf8proc_iterate(rest, (utf8proc_ssize_t)(text.len - i), &code);
        if (n < 1) return false;
        i += (size_t)n;
    }
    return true;
}

static json_t *read_string(reader *r)
{
    view text;
    if (!read_text(r, &text)) return NULL;
    json_t *made = json_stringn(text.data, text.len);
    return made || is_utf8(text) ? made : fail_value(r, "a string that is not valid UTF-8");
}

// ---- containers

// One member, after '{' or ','.
static bool read_member(reader *r, json_t *object)
{
    view text = {"", 0};
    if (!take(r, '"')) return fail(r, "a name in quotes is missing");
    if (!read_text(r, &text)) return false;
    char small[64], *name = text.len <= sizeof small ? small : malloc(text.len); // r->text is overwritten below
    if (!name) return fail(r, OUT_OF_MEMORY);
    memcpy(name, text.data, text.len);
    bool added = false;
    if (r->rules == JSON_RULES_STRICT && json_object_getn(object, name, text.len)) {
        fail(r, "duplicate name in an object");
    } else if (r->rules == JSON_RULES_STRICT && text.len && memchr(name, 0, text.len)) {
        fail(r, "NUL in a name");
    } else if (!take(r, ':')) {
        fail(r, "':' is missing");
    } else {
        json_t *value = read_value(r);
        added = value && !json_object_setn_new(object, name, text.len, value);
        if (value && !added && !is_utf8((view){name, text.len})) fail(r, "a name that is not valid UTF-8");
    }
    if (name != small) free(name);
    return added;
}

static json_t *read_object(reader *r)
{
    json_t *object = json_object();
    if (!object) return fail_value(r, OUT_OF_MEMORY);
    if (take(r, '}')) return object;
    do {
        if (!read_member(r, object)) goto failed;
    } while (take(r, ','));
    if (take(r, '}')) return object;
    fail(r, "',' or '}' is missing");
failed:
    json_decref(object);
    return NULL;
}

static json_t *read_array(reader *r)
{
    json_t *array = json_array();
    if (!array) return fail_value(r, OUT_OF_MEMORY);
    if (take(r, ']')) return array;
    do {
        json_t *item = read_value(r);
        if (!item) goto failed;
        if (!json_array_append_new(array, item)) continue;
        fail(r, OUT_OF_MEMORY);
        goto failed;
    } while (take(r, ','));
    if (take(r, ']')) return array;
    fail(r, "',' or ']' is missing");
failed:
    json_decref(array);
    return NULL;
}

// ---- all

static bool take_word(reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n)) return false;
    r->p += n;
    return true;
}

static json_t *read_word(reader *r)
{
    static const char *const WIDE_WORDS[] = {"NaN", "Infinity", "-Infinity"};
    if (take_word(r, "true")) return json_true();
    if (take_word(r, "false")) return json_false();
    if (take_word(r, "null")) return json_null();
    for (size_t i = 0; i < sizeof WIDE_WORDS / sizeof *WIDE_WORDS; i++)
        if (take_word(r, WIDE_WORDS[i])) return make_wide(r, view_of(WIDE_WORDS[i]));
    if (*r->p == '-' || (*r->p >= '0' && *r->p <= '9')) return read_number(r);
    return fail_value(r, "no JSON value begins so");
}

static json_t *read_value(reader *r)
{
    skip_space(r);
    if (r->p == r->end) return fail_value(r, "the text ends where a value should be");
    if (*r->p != '{' && *r->p != '[' && *r->p != '"') return read_word(r);
    char open = *r->p++;
    if (open == '"') return read_string(r);
    if (r->depth == MAX_DEPTH) return fail_value(r, "values lie more than 1000 deep");
    r->depth++;
    json_t *value = open == '{' ? read_object(r) : read_array(r);
    r->depth--;
    return value;
}

static int count_lines(const reader *r)
{
    int line = 1;
    for (const char *p = r->start; p < r->p; p++) line += *p == '\n';
    return line;
}

wf_status json_read(view text, const char *name, json_rules rules, json_t **root, wf_error *err)
{
    reader r = {.start = text.data, .p = text.data, .end = text.data + text.len, .rules = rules};
    if (text.len >= 3 && !memcmp(text.data, "\xef\xbb\xbf", 3)) r.p += 3;
    *root = read_value(&r);
    skip_space(&r);
    if (*root && r.p < r.end) {
        json_decref(*root);
        *root = fail_value(&r, "text after the value");
    }
    free(r.text);
    if (*root) return WF_OK;
    if (!r.reason || r.reason == OUT_OF_MEMORY) return error_memory(err, text.len);
    return error_set(err, WF_ERROR_FORMAT, "%s: line %d: %s", name, count_lines(&r), r.reason);
}
