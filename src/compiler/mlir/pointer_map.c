#include "compiler/mlir/pointer_map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Where the key is, or where it would go: the first free entry from its hash on.
static pointer_entry *find(const pointer_map *m, const void *key)
{
    size_t i = (size_t)(((uint64_t)(uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (m->size - 1);
    while (m->entries[i].key && m->entries[i].key != key) i = (i + 1) & (m->size - 1);
    return &m->entries[i];
}

static bool grow(pointer_map *m)
{
    pointer_map larger = {.size = m->size ? 2 * m->size : 64, .n = m->n};
    larger.entries = calloc(larger.size, sizeof *larger.entries);
    if (!larger.entries) return false;
    for (size_t i = 0; i < m->size; i++)
        if (m->entries[i].key) *find(&larger, m->entries[i].key) = m->entries[i];
    free(m->entries);
    *m = larger;
    return true;
}

bool pointer_map_set(pointer_map *m, const void *key, int number)
{
    if (2 * (m->n + 1) > m->size && !grow(m)) return false;
    pointer_entry *e = find(m, key);
    m->n += !e->key;
    *e = (pointer_entry){key, number};
    return true;
}

int pointer_map_get(const pointer_map *m, const void *key)
{
    if (!m->n) return -1;
    const pointer_entry *e = find(m, key);
    return e->key ? e->number : -1;
}

void pointer_map_clear(pointer_map *m)
{
    if (m->size) memset(m->entries, 0, m->size * sizeof *m->entries);
    m->n = 0;
}

void pointer_map_free(pointer_map *m)
{
    free(m->entries);
    *m = (pointer_map){0};
}
