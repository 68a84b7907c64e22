#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/checked.h"

enum { ALIGNMENT = 16, BLOCK_BYTES = 64 * 1024 };

struct arena_block {
    arena_block *previous;
    size_t used, capacity; // bytes of data
    _Alignas(ALIGNMENT) unsigned char data[];
};

void *arena_alloc(arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (!checked_mul(count, size, &bytes) || !checked_align(bytes ? bytes : 1, ALIGNMENT, &bytes)) return NULL;
    arena_block *block = a->last;
    if (!block || block->capacity - block->used < bytes) {
        size_t capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES, total;
        if (!checked_add(capacity, sizeof(arena_block), &total)) return NULL;
        block = calloc(1, total);
        if (!block) return NULL;
        block->capacity = capacity;
        block->previous = a->last;
        a->last = block;
    }
    void *p = block->data + block->used;
    block->used += bytes;
    return p;
}

char *arena_strdup(arena *a, view text)
{
    size_t bytes;
    if (!checked_add(text.len, 1, &bytes)) return NULL;
    char *copy = arena_alloc(a, bytes, 1);
    if (copy && text.len) memcpy(copy, text.data, text.len);
    return copy;
}

void arena_free(arena *a)
{
    while (a->last) {
        arena_block *previous = a->last->previous;
        free(a->last);
        a->last = previous;
    }
}
