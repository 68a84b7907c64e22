// A growing byte buffer, always zero-terminated after its length so that it can be read as a C string.
//
// Appending never fails at the call: on lack of memory the buffer sets `failed`, keeps what it held and ignores what
// follows, so that a writer checks once at its end.
#ifndef WELFORD_BASE_BUFFER_H
#define WELFORD_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/view.h"

typedef struct buffer {
    char *data; // owned; NULL while empty
    size_t len, capacity;
    bool failed;
} buffer;

void buffer_append(buffer *b, const void *data, size_t len);
void buffer_append_view(buffer *b, view text);
void buffer_append_char(buffer *b, char c);
void buffer_printf(buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Makes room for `extra` more bytes; false when memory is out.
bool buffer_reserve(buffer *b, size_t extra);
void buffer_clear(buffer *b); // length 0, keeps the memory
void buffer_free(buffer *b);

static inline view buffer_view(const buffer *b) { return (view){b->data ? b->data : "", b->len}; }

#endif
