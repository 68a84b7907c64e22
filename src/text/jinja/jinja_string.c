// Text of templates: built piece by piece, cut and changed by code point, each byte with its origin.
//
// A cut shares the bytes of the string it was cut from; everything else goes through jinja_text.
#include <utf8proc.h>

#include "text/jinja/jinja_internal.h"

uint32_t jinja_code_point(const char *data, size_t len, size_t *used)
{
    const unsigned char *bytes = (const unsigned char *)data;
    utf8proc_int32_t cp;
    utf8proc_ssize_t n = utf8proc_iterate(bytes, len < 4 ? (utf8proc_ssize_t)len : 4, &cp);
    *used = n > 0 ? (size_t)n : 1;
    return n > 0 ? (uint32_t)cp : bytes[0];
}

size_t jinja_count(const jinja_string *s)
{
    size_t n = 0;
    for (size_t pos = 0, used; pos < s->len; pos += used, n++) jinja_code_point(s->data + pos, s->len - pos, &used);
    return n;
}

bool jinja_is_space(uint32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
           cp == 0x3000;
}

// What repr() shows as itself: all but control and format characters, unassigned ones and spaces other than ' '.
bool jinja_is_printable(uint32_t cp)
{
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_ZS: return cp == ' ';
    default: return true;
    }
}

bool jinja_has_case(uint32_t cp)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)cp);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

jinja_string *jinja_string_new(jinja_run *r, const char *data, size_t len)
{
    jinja_string *s = jinja_alloc(r, 1, sizeof *s);
    *s = (jinja_string){.data = data, .len = len};
    return s;
}

jinja_string *jinja_string_slice(jinja_run *r, const jinja_string *s, size_t begin, size_t end)
{
    jinja_string *cut = jinja_string_new(r, s->data + begin, end > begin ? end - begin : 0);
    if (s->origin) cut->origin = s->origin + begin;
    cut->markup = s->markup;
    return cut;
}

view jinja_string_view(const jinja_string *s) { return (view){s->data, s->len}; }

static void grow(jinja_run *r, jinja_text *t, size_t extra)
{
    if (extra > JINJA_MAX_STRING || t->len > JINJA_MAX_STRING - extra)
        jinja_fail(r, WF_ERROR_LIMIT, "a text grows beyond %d MB", JINJA_MAX_STRING >> 20);
    if (t->len + extra <= t->capacity) return;
    size_t capacity = t->capacity * 2 > t->len + extra ? t->capacity * 2 : t->len + extra;
    if (capacity < 32) capacity = 32;
    char *data = jinja_alloc(r, capacity, 1);
    if (t->len) memcpy(data, t->data, t->len);
    if (t->origin) {
        unsigned char *origin = jinja_alloc(r, capacity, 1);
        memcpy(origin, t->origin, t->len);
        t->origin = origin;
    }
    t->data = data;
    t->capacity = capacity;
}

void jinja_text_add(jinja_run *r, jinja_text *t, const char *data, size_t len, const unsigned char *origin)
{
    if (!len) return;
    jinja_step(r, len / 32);
    grow(r, t, len);
    memcpy(t->data + t->len, data, len);
    if (origin && !t->origin) t->origin = jinja_alloc(r, t->capacity, 1);
    if (t->origin && origin) memcpy(t->origin + t->len, origin, len);
    t->len += len; // origin bytes beyond len are zero: they come so from the arena and are never taken back
}

void jinja_text_add_literal(jinja_run *r, jinja_text *t, const char *s) { jinja_text_add(r, t, s, strlen(s), NULL); }

void jinja_text_add_string(jinja_run *r, jinja_text *t, const jinja_string *s)
{
    jinja_text_add(r, t, s->data, s->len, s->origin);
}

void jinja_text_add_code_point(jinja_run *r, jinja_text *t, uint32_t cp, bool foreign)
{
    static const unsigned char ones[4] = {1, 1, 1, 1};
    utf8proc_uint8_t bytes[4];
    size_t n = (size_t)utf8proc_encode_char((utf8proc_int32_t)cp, bytes);
    jinja_text_add(r, t, (const char *)bytes, n, foreign ? ones : NULL);
}

jinja_string *jinja_text_end(jinja_run *r, const jinja_text *t)
{
    jinja_string *s = jinja_string_new(r, t->data ? t->data : "", t->len);
    s->origin = t->origin;
    return s;
}

static bool in_set(const jinja_string *chars, uint32_t cp)
{
    if (!chars) return jinja_is_space(cp);
    for (size_t pos = 0, used; pos < chars->len; pos += used)
        if (jinja_code_point(chars->data + pos, chars->len - pos, &used) == cp) return true;
    return false;
}

jinja_string *jinja_string_strip(jinja_run *r, const jinja_string *s, const jinja_string *chars, bool left, bool right)
{
    jinja_step(r, s->len / 32 * (chars ? chars->len / 8 + 1 : 1));
    size_t begin = 0, used;
    while (left && begin < s->len && in_set(chars, jinja_code_point(s->data + begin, s->len - begin, &used)))
        begin += used;
    size_t end = right ? begin : s->len;
    for (size_t pos = begin; right && pos < s->len;) {
        bool strip = in_set(chars, jinja_code_point(s->data + pos, s->len - pos, &used));
        pos += used;
        if (!strip) end = pos;
    }
    return jinja_string_slice(r, s, begin, end);
}

size_t jinja_string_find(jinja_run *r, const jinja_string *s, const jinja_string *needle, size_t from)
{
    if (from > s->len || needle->len > s->len - from) return SIZE_MAX;
    if (!needle->len) return from;
    size_t last = s->len - needle->len, tried = 0;
    for (size_t pos = from; pos <= last; pos++) {
        const char *hit = memchr(s->data + pos, needle->data[0], last - pos + 1);
        if (!hit) break;
        pos = (size_t)(hit - s->data);
        if (++tried % 32 == 0) jinja_step(r, 1 + needle->len / 32);
        if (!memcmp(hit, needle->data, needle->len)) {
            jinja_step(r, (pos - from) / 32);
            return pos;
        }
    }
    jinja_step(r, (s->len - from) / 32);
    return SIZE_MAX;
}

jinja_string *jinja_string_replace(jinja_run *r, const jinja_string *s, const jinja_string *from,
                                   const jinja_string *to, int64_t count)
{
    jinja_text t = {0};
    size_t pos = 0;
    for (; count != 0; count -= count > 0) {
        size_t hit = jinja_string_find(r, s, from, pos), next;
        if (hit == SIZE_MAX) break;
        jinja_step(r, 1);
        if (from->len) {
            jinja_text_add(r, &t, s->data + pos, hit - pos, s->origin ? s->origin + pos : NULL);
            jinja_text_add_string(r, &t, to);
            pos = hit + from->len;
            continue;
        }
        jinja_text_add_string(r, &t, to); // an empty `from` lies before every character and at the end
        if (pos == s->len) return jinja_text_end(r, &t);
        jinja_code_point(s->data + pos, s->len - pos, &next);
        jinja_text_add(r, &t, s->data + pos, next, s->origin ? s->origin + pos : NULL);
        pos += next;
    }
    jinja_text_add(r, &t, s->data + pos, s->len - pos, s->origin ? s->origin + pos : NULL);
    return jinja_text_end(r, &t);
}

jinja_string *jinja_string_escape(jinja_run *r, const jinja_string *s)
{
    static const char specials[] = "&<>'\"";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    jinja_text t = {0};
    jinja_step(r, s->len / 8);
    for (size_t pos = 0; pos < s->len; pos++) {
        const char *special = s->data[pos] ? strchr(specials, s->data[pos]) : NULL;
        if (special)
            jinja_text_add_literal(r, &t, names[special - specials]);
        else
            jinja_text_add(r, &t, s->data + pos, 1, s->origin ? s->origin + pos : NULL);
    }
    jinja_string *escaped = jinja_text_end(r, &t);
    escaped->markup = true;
    return escaped;
}

static bool breaks_line(uint32_t cp)
{
    return (cp >= 0x0a && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

jinja_list *jinja_string_split_lines(jinja_run *r, const jinja_string *s, bool keep_ends)
{
    jinja_list *lines = jinja_list_new(r);
    size_t begin = 0;
    jinja_step(r, s->len / 8);
    for (size_t pos = 0, used; pos < s->len;) {
        uint32_t cp = jinja_code_point(s->data + pos, s->len - pos, &used);
        size_t end = pos;
        pos += used;
        if (!breaks_line(cp)) continue;
        if (cp == '\r' && pos < s->len && s->data[pos] == '\n') pos++;
        jinja_list_add(r, lines, jinja_str(jinja_string_slice(r, s, begin, keep_ends ? pos : end)));
        begin = pos;
    }
    if (begin < s->len) jinja_list_add(r, lines, jinja_str(jinja_string_slice(r, s, begin, s->len)));
    return lines;
}
