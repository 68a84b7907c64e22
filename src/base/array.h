// Arrays that grow.
#ifndef WELFORD_BASE_ARRAY_H
#define WELFORD_BASE_ARRAY_H

#include <stdint.h>
#include <stdlib.h>

// `items`, moved where it must, with room for `more` (at least 1) behind its `count` items; *capacity doubles at least.
// NULL: out of memory, and the old array stays as it was.
static inline void *array_reserve(void *items, size_t count, size_t more, size_t *capacity, size_t item_bytes)
{
    enum { FIRST = 16 };
    if (more <= *capacity - count) return items;
    size_t wanted = *capacity ? 2 * *capacity : FIRST, most = SIZE_MAX / 2 / item_bytes;
    if (*capacity > most / 2 || count > most || more > most - count) return NULL;
    if (wanted < count + more) wanted = count + more;
    void *moved = realloc(items, wanted * item_bytes);
    if (moved) *capacity = wanted;
    return moved;
}

static inline void *array_grow(void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    return array_reserve(items, count, 1, capacity, item_bytes);
}

#endif
