// Tokens of MLIR's text.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_TOKENS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_TOKENS_H

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/view.h"

static inline char text_at(view text, size_t i) { return i < text.len ? text.data[i] : 0; }

static inline size_t text_skip_space(view text, size_t i)
{
    while (i < text.len && strchr(" \t\r\n", text.data[i] ? text.data[i] : '?')) i++;
    return i;
}

static inline bool text_is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '.'; }

// Behind one of %@#!^: these may hold '-' too.
static inline size_t text_end_of_name(view text, size_t i)
{
    while (i < text.len && (text_is_word(text.data[i]) || text.data[i] == '-')) i++;
    return i;
}

// Behind the opening quote: the place of the closing one. MLIR's strings end with their line at the latest.
static inline size_t text_end_of_string(view text, size_t i)
{
    while (i < text.len && text.data[i] != '"' && text.data[i] != '\n') i += text.data[i] == '\\' ? 2 : 1;
    return i < text.len ? i : text.len;
}

static inline size_t text_end_of_line(view text, size_t i)
{
    const char *end = memchr(text.data + i, '\n', text.len - i);
    return end ? (size_t)(end - text.data) : text.len;
}

// Behind the string, comment, name or word that begins at i; anything else is one character.
static inline size_t text_end_of_token(view text, size_t i)
{
    char c = text.data[i];
    if (c == '"') {
        size_t close = text_end_of_string(text, i + 1);
        return close + (close < text.len);
    }
    if (c == '/' && text_at(text, i + 1) == '/') return text_end_of_line(text, i);
    if (c && strchr("%@#!^", c)) return text_end_of_name(text, i + 1);
    size_t end = i + 1;
    while (text_is_word(c) && end < text.len && text_is_word(text.data[end])) end++;
    return end;
}

#endif
