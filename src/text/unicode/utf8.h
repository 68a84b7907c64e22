// UTF-8: what is well-formed, where a stream may be cut, and the repair of what is not.
//
// Well-formed sequences, The Unicode Standard, table 3-7 (no surrogates, no overlong forms, nothing above U+10FFFF):
//
//     00..7F
//     C2..DF  80..BF
//     E0      A0..BF  80..BF         ED      80..9F  80..BF         E1..EC EE EF  80..BF  80..BF
//     F0      90..BF  80..BF 80..BF  F4      80..8F  80..BF 80..BF  F1..F3        80..BF  80..BF  80..BF
//
// Ill-formed bytes become one U+FFFD for each maximal subpart: the longest beginning of a well-formed sequence, or else
// one byte. That is the practice the standard recommends (chapter 3.9) and what Python's errors="replace" does.
#ifndef WELFORD_TEXT_UNICODE_UTF8_H
#define WELFORD_TEXT_UNICODE_UTF8_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/view.h"

typedef enum utf8_kind {
    UTF8_VALID,     // a whole character
    UTF8_INVALID,   // a maximal subpart that the next byte breaks off
    UTF8_TRUNCATED, // the beginning of a character, cut by the end of the text
} utf8_kind;

// Bytes of the character or maximal subpart at text.data[pos], 1..4; pos < text.len.
size_t utf8_next(view text, size_t pos, utf8_kind *kind);

bool utf8_is_valid(view text);

// The code point of the well-formed character at `text`, and its bytes.
static inline uint32_t utf8_read(const char *text, size_t *length)
{
    const unsigned char *s = (const unsigned char *)text;
    *length = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    switch (*length) {
    case 1: return s[0];
    case 2: return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    case 3: return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    default: return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
    }
}

// Bytes of the character at text.data[pos] if it has the property White_Space, else 0.
size_t utf8_space_at(view text, size_t pos);

// Bytes of `text` that a stream may print now: all but a truncated character at the end.
size_t utf8_complete_prefix(view text);

// Appends `text` with one U+FFFD for each ill-formed maximal subpart.
void utf8_append_repaired(buffer *out, view text);

#endif
