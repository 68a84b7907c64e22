// A bump allocator: many small allocations of one owner, freed together.
//
// Blocks form a list; an allocation never moves. Every allocation is zeroed and aligned to 16 bytes.
#ifndef WELFORD_BASE_ARENA_H
#define WELFORD_BASE_ARENA_H

#include <stddef.h>

#include "base/view.h"

typedef struct arena_block arena_block;

typedef struct arena {
    arena_block *last; // newest block; NULL while empty
} arena;

// NULL when memory is out or count * size overflows. Zero bytes give a valid, unique pointer.
void *arena_alloc(arena *a, size_t count, size_t size);

// A zero-terminated copy; NULL when memory is out.
char *arena_strdup(arena *a, view text);

// Frees every allocation; the arena is empty and usable again.
void arena_free(arena *a);

#endif
