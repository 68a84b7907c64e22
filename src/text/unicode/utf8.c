// UTF-8 by table 3-7 of The Unicode Standard; see utf8.h.
#include "text/unicode/utf8.h"

#include <stdint.h>

// Bytes of the sequence that `lead` begins and the range of its second byte; 0 when nothing well-formed begins so.
static size_t lead_length(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80) return 1;
    if (lead < 0xC2) return 0;
    if (lead < 0xE0) return 2;
    if (lead < 0xF0) {
        if (lead == 0xE0) *low = 0xA0;
        if (lead == 0xED) *high = 0x9F;
        return 3;
    }
    if (lead > 0xF4) return 0;
    if (lead == 0xF0) *low = 0x90;
    if (lead == 0xF4) *high = 0x8F;
    return 4;
}

size_t utf8_next(view text, size_t pos, utf8_kind *kind)
{
    const unsigned char *s = (const unsigned char *)text.data + pos;
    size_t left = text.len - pos;
    unsigned char low, high;
    size_t length = lead_length(s[0], &low, &high);
    *kind = UTF8_INVALID;
    if (length == 0) return 1;
    for (size_t i = 1; i < length; ++i) {
        if (i == left) {
            *kind = UTF8_TRUNCATED;
            return i;
        }
        if (s[i] < low || s[i] > high) return i;
        low = 0x80;
        high = 0xBF;
    }
    *kind = UTF8_VALID;
    return length;
}

// The first place at or after `pos` that is not ASCII.
static size_t skip_ascii(view text, size_t pos)
{
    for (uint64_t word; pos + 8 <= text.len; pos += 8) {
        memcpy(&word, text.data + pos, 8);
        if (word & 0x8080808080808080u) break;
    }
    while (pos < text.len && !(text.data[pos] & 0x80)) ++pos;
    return pos;
}

bool utf8_is_valid(view text)
{
    for (size_t pos = skip_ascii(text, 0); pos < text.len; pos = skip_ascii(text, pos)) {
        utf8_kind kind;
        pos += utf8_next(text, pos, &kind);
        if (kind != UTF8_VALID) return false;
    }
    return true;
}

size_t utf8_complete_prefix(view text)
{
    // A truncated character has at most three bytes, of which only the first is no continuation byte.
    for (size_t back = 1; back <= 3 && back <= text.len; ++back) {
        size_t pos = text.len - back;
        if (((unsigned char)text.data[pos] & 0xC0) == 0x80) continue;
        utf8_kind kind;
        size_t length = utf8_next(text, pos, &kind);
        return kind == UTF8_TRUNCATED && length == back ? pos : text.len;
    }
    return text.len;
}

void utf8_append_repaired(buffer *out, view text)
{
    size_t start = 0, pos = 0; // [start, pos) is well-formed and not appended yet
    while (pos < text.len) {
        utf8_kind kind;
        size_t length = utf8_next(text, pos, &kind);
        if (kind != UTF8_VALID) {
            buffer_append(out, text.data + start, pos - start);
            buffer_append_view(out, VIEW_LITERAL("\xEF\xBF\xBD"));
            start = pos + length;
        }
        pos += length;
    }
    buffer_append(out, text.data + start, pos - start);
}

size_t utf8_space_at(view text, size_t pos)
{
    static const char *const spaces[] = {
        "\t",     "\n",     "\v",     "\f",     "\r",     " ",      "\xc2\x85", "\xc2\xa0", "\u1680",
        "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",   "\u2007",   "\u2008",
        "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
    };
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; ++i)
        if (view_starts_with((view){text.data + pos, text.len - pos}, view_of(spaces[i]))) return strlen(spaces[i]);
    return 0;
}
