// Methods of strings that make other text of them or ask what they are made of. Those that find parts are in
// jinja_method_string.c.
#include <utf8proc.h>

#include "text/jinja/jinja_format.h"
#include "text/jinja/jinja_method.h"

static jinja_value change_case(jinja_run *r, jinja_value self, jinja_case how)
{
    return jinja_str(jinja_string_case(r, self.string, how));
}

METHOD(string_upper)
{
    (void)args;
    return change_case(r, self, CASE_UPPER);
}
METHOD(string_lower)
{
    (void)args;
    return change_case(r, self, CASE_LOWER);
}
METHOD(string_capitalize)
{
    (void)args;
    return change_case(r, self, CASE_CAPITALIZE);
}

// str.title: a word starts after anything that is no letter, where the filter asks for a space or a bracket.
METHOD(string_title)
{
    const jinja_string *s = self.string;
    jinja_text t = {0};
    (void)args;
    jinja_step(r, s->len);
    for (size_t pos = 0, end, used; pos < s->len; pos = end) {
        bool letters = false;
        for (end = pos; end < s->len; end += used) {
            uint32_t cp = jinja_code_point(s->data + end, s->len - end, &used);
            bool letter = jinja_has_case(cp);
            if (end == pos)
                letters = letter;
            else if (letter != letters)
                break;
        }
        jinja_string *run = jinja_string_slice(r, s, pos, end);
        jinja_text_add_string(r, &t, letters ? jinja_string_case(r, run, CASE_CAPITALIZE) : run);
    }
    return jinja_str(jinja_text_end(r, &t));
}

// The other case of each letter.
METHOD(string_swapcase)
{
    const jinja_string *s = self.string;
    jinja_text t = {0};
    (void)args;
    jinja_step(r, s->len);
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        bool upper = utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_LU;
        jinja_string *one = jinja_string_slice(r, s, pos, pos + used);
        jinja_text_add_string(r, &t, jinja_string_case(r, one, upper ? CASE_LOWER : CASE_UPPER));
    }
    return jinja_str(jinja_text_end(r, &t));
}

METHOD(string_casefold)
{
    const jinja_string *s = self.string;
    jinja_text t = {0};
    (void)args;
    jinja_step(r, s->len);
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        utf8proc_int32_t folded[8];
        int boundary = 0;
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, folded, 8, UTF8PROC_CASEFOLD, &boundary);
        if (cp >= 0x80 && used == 1) n = 0; // no character
        if (n <= 0) jinja_text_add(r, &t, s->data + pos, used, s->origin ? s->origin + pos : NULL);
        for (utf8proc_ssize_t i = 0; i < n; i++)
            jinja_text_add_code_point(r, &t, (uint32_t)folded[i], s->origin && s->origin[pos]);
    }
    return jinja_str(jinja_text_end(r, &t));
}

METHOD(string_replace)
{
    return jinja_str(jinja_string_replace(r, self.string, jinja_need_string(r, args, 0, "old"),
                                          jinja_need_string(r, args, 1, "new"),
                                          jinja_arg_int(r, args, 2, "count", -1)));
}

METHOD(string_join)
{
    const jinja_list *list = jinja_iterate(r, *jinja_need_arg(r, args, 0, "iterable"));
    jinja_text t = {0};
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].kind != JINJA_STRING)
            jinja_fail(r, WF_ERROR_FORMAT, "join of %s", jinja_type_name(list->items[i]));
        if (i) jinja_text_add_string(r, &t, self.string);
        jinja_text_add_string(r, &t, list->items[i].string);
    }
    return jinja_str(jinja_text_end(r, &t));
}

METHOD(string_format) { return jinja_format_braces(r, self.string, args); }

METHOD(string_format_map)
{
    jinja_value map = args->items[0];
    jinja_args named = {0};
    if (map.kind != JINJA_DICT) jinja_fail(r, WF_ERROR_FORMAT, "format_map needs a dict");
    view *names = jinja_alloc(r, map.dict->n, sizeof *names);
    jinja_value *values = jinja_alloc(r, map.dict->n, sizeof *values);
    for (size_t i = 0; i < map.dict->n; i++) {
        if (map.dict->keys[i].kind != JINJA_STRING) continue;
        names[named.n_named] = jinja_string_view(map.dict->keys[i].string);
        values[named.n_named++] = map.dict->values[i];
    }
    named.names = names;
    named.named = values;
    return jinja_format_braces(r, self.string, &named);
}

// ---- padding

static jinja_string *pad(jinja_run *r, const jinja_string *s, int64_t before, int64_t after, const jinja_string *fill)
{
    jinja_text t = {0};
    jinja_string space = {.data = " ", .len = 1};
    if (!fill) fill = &space;
    for (int64_t i = 0; i < before; i++) jinja_text_add_string(r, &t, fill);
    jinja_text_add_string(r, &t, s);
    for (int64_t i = 0; i < after; i++) jinja_text_add_string(r, &t, fill);
    return jinja_text_end(r, &t);
}

// How many characters `s` lacks to be `width` long, within what a text may hold.
static int64_t missing(jinja_run *r, const jinja_string *s, int64_t width)
{
    int64_t n = (int64_t)jinja_count(s);
    jinja_step(r, s->len / 16);
    if (width - JINJA_MAX_STRING > n)
        jinja_fail(r, WF_ERROR_LIMIT, "a text grows beyond %d MB", JINJA_MAX_STRING >> 20);
    return width > n ? width - n : 0;
}

jinja_string *jinja_string_center(jinja_run *r, const jinja_string *s, int64_t width, const jinja_string *fill)
{
    int64_t n = missing(r, s, width), before = n / 2 + (n & width & 1);
    return pad(r, s, before, n - before, fill);
}

static const jinja_string *read_fill(jinja_run *r, const jinja_args *args)
{
    if (args->n < 2) return NULL;
    const jinja_string *fill = jinja_need_string(r, args, 1, "fillchar");
    if (jinja_count(fill) != 1) jinja_fail(r, WF_ERROR_FORMAT, "the fill must be one character");
    return fill;
}

METHOD(string_center)
{
    return jinja_str(jinja_string_center(r, self.string, jinja_arg_int(r, args, 0, "width", 0), read_fill(r, args)));
}
METHOD(string_ljust)
{
    int64_t n = missing(r, self.string, jinja_arg_int(r, args, 0, "width", 0));
    return jinja_str(pad(r, self.string, 0, n, read_fill(r, args)));
}
METHOD(string_rjust)
{
    int64_t n = missing(r, self.string, jinja_arg_int(r, args, 0, "width", 0));
    return jinja_str(pad(r, self.string, n, 0, read_fill(r, args)));
}

METHOD(string_zfill)
{
    const jinja_string *s = self.string;
    int64_t n = missing(r, s, jinja_arg_int(r, args, 0, "width", 0));
    size_t sign = s->len && (s->data[0] == '-' || s->data[0] == '+');
    jinja_string zero = {.data = "0", .len = 1};
    jinja_text t = {0};
    jinja_text_add_string(r, &t, jinja_string_slice(r, s, 0, sign));
    jinja_text_add_string(r, &t, pad(r, jinja_string_slice(r, s, sign, s->len), n, 0, &zero));
    return jinja_str(jinja_text_end(r, &t));
}

METHOD(string_expandtabs)
{
    const jinja_string *s = self.string;
    int64_t size = jinja_arg_int(r, args, 0, "tabsize", 8), column = 0;
    jinja_text t = {0};
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        if (cp != '\t') {
            jinja_text_add(r, &t, s->data + pos, used, s->origin ? s->origin + pos : NULL);
            column = cp == '\n' || cp == '\r' ? 0 : column + 1;
            continue;
        }
        for (int64_t n = size > 0 ? size - column % size : 0; n > 0; n--, column++) jinja_text_add_literal(r, &t, " ");
    }
    return jinja_str(jinja_text_end(r, &t));
}

// ---- what a string is made of

static bool is_letter(uint32_t cp)
{
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return true;
    default: return false;
    }
}

static bool is_decimal(uint32_t cp) { return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_ND; }

// Also the digits with Numeric_Type=Digit, such as superscripts (Unicode's DerivedNumericType.txt).
static bool is_digit(uint32_t cp)
{
    static const uint32_t ranges[][2] = {
        {0xb2, 0xb3},     {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},   {0x2070, 0x2070},
        {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247c},   {0x2488, 0x2490},
        {0x24ea, 0x24ea}, {0x24f5, 0x24fd},   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},
        {0x278a, 0x2792}, {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (cp >= ranges[i][0] && cp <= ranges[i][1]) return true;
    return is_decimal(cp);
}

static bool is_numeric(uint32_t cp)
{
    // Ideographs that are numbers, as far as they are common ones: zero to ten, hundred, thousand, ten thousand.
    static const uint32_t ideographs[] = {0x96f6, 0x3007, 0x4e00, 0x4e8c, 0x4e09, 0x56db, 0x4e94, 0x516d,
                                          0x4e03, 0x516b, 0x4e5d, 0x5341, 0x767e, 0x5343, 0x4e07};
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)cp);
    for (size_t i = 0; i < sizeof ideographs / sizeof *ideographs; i++)
        if (cp == ideographs[i]) return true;
    return is_digit(cp) || category == UTF8PROC_CATEGORY_NO || category == UTF8PROC_CATEGORY_NL;
}

static bool is_alnum(uint32_t cp) { return is_letter(cp) || is_numeric(cp); }
static bool is_ascii(uint32_t cp) { return cp < 0x80; }

static bool is_lower(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_LL || cp == 0xaa || cp == 0xba;
}
static bool is_upper(uint32_t cp) { return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_LU; }
static bool is_title(uint32_t cp) { return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_LT; }

// Whether all characters are such; of no characters: `empty`.
static jinja_value all_are(jinja_run *r, jinja_value self, bool (*is)(uint32_t), bool empty)
{
    const jinja_string *s = self.string;
    jinja_step(r, s->len / 8);
    for (size_t pos = 0, used; pos < s->len; pos += used)
        if (!is(jinja_code_point(s->data + pos, s->len - pos, &used))) return jinja_bool(false);
    return jinja_bool(s->len ? true : empty);
}

// Whether some characters are such, and none are `others` or title case.
static jinja_value cased_are(jinja_run *r, jinja_value self, bool (*is)(uint32_t), bool (*others)(uint32_t))
{
    const jinja_string *s = self.string;
    bool some = false;
    jinja_step(r, s->len / 8);
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        if (others(cp) || is_title(cp)) return jinja_bool(false);
        some |= is(cp);
    }
    return jinja_bool(some);
}

#define ALL_ARE(name, is, empty)                                                                                       \
    METHOD(name)                                                                                                       \
    {                                                                                                                  \
        (void)args;                                                                                                    \
        return all_are(r, self, is, empty);                                                                            \
    }
ALL_ARE(string_isalpha, is_letter, false)
ALL_ARE(string_isalnum, is_alnum, false)
ALL_ARE(string_isascii, is_ascii, true)
ALL_ARE(string_isdecimal, is_decimal, false)
ALL_ARE(string_isdigit, is_digit, false)
ALL_ARE(string_isnumeric, is_numeric, false)
ALL_ARE(string_isprintable, jinja_is_printable, true)
ALL_ARE(string_isspace, jinja_is_space, false)

METHOD(string_islower)
{
    (void)args;
    return cased_are(r, self, is_lower, is_upper);
}
METHOD(string_isupper)
{
    (void)args;
    return cased_are(r, self, is_upper, is_lower);
}

// Upper or title case where a word begins, lower case within it.
METHOD(string_istitle)
{
    const jinja_string *s = self.string;
    bool some = false, inside = false;
    (void)args;
    jinja_step(r, s->len / 8);
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        bool upper = is_upper(cp) || is_title(cp), lower = is_lower(cp);
        if ((upper && inside) || (lower && !inside)) return jinja_bool(false);
        inside = upper || lower;
        some |= inside;
    }
    return jinja_bool(some);
}

METHOD(string_isidentifier)
{
    const jinja_string *s = self.string;
    (void)args;
    jinja_step(r, s->len / 8);
    for (size_t pos = 0, used; pos < s->len; pos += used) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        if (cp != '_' && !is_letter(cp) && !(pos && is_decimal(cp))) return jinja_bool(false);
    }
    return jinja_bool(s->len > 0);
}

const jinja_method_row jinja_text_methods[] = {
    {"upper", string_upper, ""},
    {"lower", string_lower, ""},
    {"title", string_title, ""},
    {"capitalize", string_capitalize, ""},
    {"swapcase", string_swapcase, ""},
    {"casefold", string_casefold, ""},
    {"replace", string_replace, "/ old new count?"},
    {"join", string_join, "/ iterable"},
    {"format", string_format, "* **"},
    {"format_map", string_format_map, "/ mapping"},
    {"center", string_center, "/ width fillchar?"},
    {"ljust", string_ljust, "/ width fillchar?"},
    {"rjust", string_rjust, "/ width fillchar?"},
    {"zfill", string_zfill, "/ width"},
    {"expandtabs", string_expandtabs, "tabsize?"},
    {"isalpha", string_isalpha, ""},
    {"isalnum", string_isalnum, ""},
    {"isascii", string_isascii, ""},
    {"isdecimal", string_isdecimal, ""},
    {"isdigit", string_isdigit, ""},
    {"isidentifier", string_isidentifier, ""},
    {"islower", string_islower, ""},
    {"isnumeric", string_isnumeric, ""},
    {"isprintable", string_isprintable, ""},
    {"isspace", string_isspace, ""},
    {"istitle", string_istitle, ""},
    {"isupper", string_isupper, ""},
    {"encode", jinja_no_method, "* **"},
    {"translate", jinja_no_method, "* **"},
    {"maketrans", jinja_no_method, "* **"},
    {NULL, NULL, NULL},
};
