// What a vocabulary says about a token beside its text.
#ifndef WELFORD_FORMAT_TOKEN_H
#define WELFORD_FORMAT_TOKEN_H

#include "base/view.h"

#define TOKEN_SPACE "\xe2\x96\x81" // U+2581, a space in vocabularies of characters

// Numbered as in GGUF (tokenizer.ggml.token_type).
enum {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN,
    TOKEN_CONTROL,
    TOKEN_USER, // user-defined: ordinary text that is never split
    TOKEN_UNUSED,
    TOKEN_BYTE, // "<0xHH>"
};

// Control and unknown tokens come out of text only where the caller asks.
static inline bool token_is_special(int type) { return type == TOKEN_UNKNOWN || type == TOKEN_CONTROL; }

// What a token asks for of the text around it, and how it is found; bits (tokenizer.json.flags).
enum {
    TOKEN_STRIP_LEFT = 1, // it takes the space on its left
    TOKEN_STRIP_RIGHT = 2,
    TOKEN_SINGLE_WORD = 4, // it is one only where no letter, digit or underscore touches it
    TOKEN_NORMALIZED = 8,  // it is looked for in text that is normalized
    TOKEN_LEARNED = 16,    // user-defined, but of the model's own vocabulary: merging makes it as well
};

// The byte of "<0xHH>", capital digits, or -1.
static inline int token_byte_of(view text)
{
    static const char digits[] = "0123456789ABCDEF";
    if (text.len != 6 || !view_starts_with(text, VIEW_LITERAL("<0x")) || text.data[5] != '>') return -1;
    const char *high = text.data[3] ? strchr(digits, text.data[3]) : NULL;
    const char *low = text.data[4] ? strchr(digits, text.data[4]) : NULL;
    return high && low ? (int)(16 * (high - digits) + (low - digits)) : -1;
}

#endif
