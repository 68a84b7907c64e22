// Arrays that grow one item at a time.
#ifndef WELFORD_BASE_ARRAY_H
#define WELFORD_BASE_ARRAY_H

#include <stdint.h>
#include <stdlib.h>

// `items`, moved where it must, with room behind its `count` items; *capacity doubles. NULL: out of memory, and the
// old array stays as it was.
static inline void *array_grow(void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    enum { FIRST = 16 };
    if (count < *capacity) return items;
    if (*capacity > SIZE_MAX / 2 / item_bytes) return NULL;
    size_t wanted = *capacity ? 2 * *capacity : FIRST;
    void *moved = realloc(items, wanted * item_bytes);
    if (moved) *capacity = wanted;
    return moved;
}

#endif
