// Numbers of things that MLIR knows by pointer: ops, values.
#ifndef WELFORD_COMPILER_MLIR_POINTER_MAP_H
#define WELFORD_COMPILER_MLIR_POINTER_MAP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct pointer_entry {
    const void *key; // null: free
    int number;
} pointer_entry;

// All zero is an empty map.
typedef struct pointer_map {
    pointer_entry *entries; // [size], a power of two, at most half of them taken
    size_t n, size;
} pointer_map;

// Replaces what the key had. False when memory is out.
bool pointer_map_set(pointer_map *m, const void *key, int number);
int pointer_map_get(const pointer_map *m, const void *key); // -1: none
void pointer_map_clear(pointer_map *m);
void pointer_map_free(pointer_map *m);

#endif
