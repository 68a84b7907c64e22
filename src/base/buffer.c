#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"

bool buffer_reserve(buffer *b, size_t extra)
{
    size_t need;
    if (b->failed) return false;
    if (!checked_add(b->len, extra, &need) || !checked_add(need, 1, &need)) return b->failed = true, false;
    if (need <= b->capacity) return true;
    size_t capacity = b->capacity > need / 2 ? b->capacity : need / 2;
    if (!checked_mul(capacity, 2, &capacity) || capacity < need) capacity = need;
    if (capacity < 64) capacity = 64;
    char *data = realloc(b->data, capacity);
    if (!data) return b->failed = true, false;
    b->data = data;
    b->capacity = capacity;
    b->data[b->len] = 0;
    return true;
}

void buffer_append(buffer *b, const void *data, size_t len)
{
    if (!len || !buffer_reserve(b, len)) return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
}

void buffer_append_view(buffer *b, view text) { buffer_append(b, text.data, text.len); }

void buffer_append_char(buffer *b, char c) { buffer_append(b, &c, 1); }

void buffer_printf(buffer *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !buffer_reserve(b, (size_t)len)) return;
    va_start(args, format);
    vsnprintf(b->data + b->len, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
}

void buffer_clear(buffer *b)
{
    b->len = 0;
    if (b->data) b->data[0] = 0;
}

void buffer_free(buffer *b)
{
    free(b->data);
    *b = (buffer){0};
}
