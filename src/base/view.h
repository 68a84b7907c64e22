// A string that somebody else owns: bytes and a length, not zero-terminated.
#ifndef WELFORD_BASE_VIEW_H
#define WELFORD_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct view {
    const char *data;
    size_t len;
} view;

// For printf: "%.*s", VIEW_ARG(v)
#define VIEW_ARG(v) (int)((v).len > 0x7fffffff ? 0x7fffffff : (v).len), (v).data
// The same for a name in a message, which may be 64 KiB long: its first 80 bytes.
#define NAME_ARG(v) (int)((v).len > 80 ? 80 : (v).len), (v).data
#define VIEW_LITERAL(s) ((view){(s), sizeof(s) - 1})

static inline view view_of(const char *s) { return (view){s, strlen(s)}; }

static inline bool view_equal(view a, view b)
{
    return a.len == b.len && (a.len == 0 || !memcmp(a.data, b.data, a.len));
}

static inline bool view_is(view a, const char *s) { return view_equal(a, view_of(s)); }

static inline bool view_starts_with(view a, view prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || !memcmp(a.data, prefix.data, prefix.len));
}

// In a stream: bytes before the first place where `needle` (not empty) stands, or a beginning of it that the text ends
// in; all of the text when there is none. *whole: it is the whole needle.
static inline size_t view_find_begun(view text, view needle, bool *whole)
{
    for (size_t at = 0; at < text.len; at++) {
        size_t n = text.len - at < needle.len ? text.len - at : needle.len;
        if (memcmp(text.data + at, needle.data, n)) continue;
        *whole = n == needle.len;
        return at;
    }
    *whole = false;
    return text.len;
}

#endif
