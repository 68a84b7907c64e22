// What is in the cache, and what goes.
#ifndef WELFORD_RUNTIME_CACHE_CACHE_LIST_H
#define WELFORD_RUNTIME_CACHE_CACHE_LIST_H

#include "base/arena.h"
#include "base/status.h"
#include "runtime/cache/cache_bound.h"

typedef struct cache_items {
    arena memory;
    cache_item *items;
    size_t count, capacity;
} cache_items;

// All entries, and drafts of them. The items are freed by cache_items_free, whatever is returned.
wf_status cache_list(cache_items *list, wf_error *err);
void cache_items_free(cache_items *list);

// The same, and applies the bound at once; `removed` of the items tells.
wf_status cache_prune(cache_items *list, wf_error *err);
// The same, and removes them all, even those in use: who has mapped one keeps it.
wf_status cache_clear(cache_items *list, wf_error *err);

// Applies the bound before `bytes` come to an open folder of the cache under `name`; how many could be written there.
// Nothing goes when that would not be enough anyhow.
size_t cache_make_room(int folder, const char *name, size_t bytes);

// Removes drafts of processes that died.
void cache_sweep(void);

// $WELFORD_CACHE_LIMIT (cache_limit_parse), else a tenth of the disk that the folder lies on. A value that makes no
// sense is warned of (cache_warn).
size_t cache_limit(int folder);

#endif
