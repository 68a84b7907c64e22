// The bound of the cache: what goes, and in which order. Nothing here touches a file.
//
// Unused for 30 days: gone. Then, while the rest and what is about to come are larger than the limit, the least
// recently used goes. What is in use stays, so the limit may be passed; it never keeps anything new out.
#ifndef WELFORD_RUNTIME_CACHE_CACHE_BOUND_H
#define WELFORD_RUNTIME_CACHE_CACHE_BOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/cache/cache_folder.h"

enum { CACHE_KEEP_SECONDS = 30 * 24 * 3600 };
static const size_t CACHE_NO_LIMIT = SIZE_MAX;

typedef struct cache_item {
    cache_kind kind;
    char *name; // in its folder
    bool is_draft;
    char *origin; // of its record, "": unknown; NULL: not asked for
    size_t bytes;
    int64_t used; // seconds since the epoch
    bool removed;
} cache_item;

typedef struct cache_bound {
    int64_t now;   // seconds since the epoch
    size_t limit;  // bytes
    size_t coming; // bytes that are about to come
} cache_bound;

// False: the item is in use, and stays.
typedef bool cache_remove(void *context, const cache_item *item);

// Sorts the items by their last use, the oldest first, and has some removed. Drafts go whenever they can.
void cache_bound_apply(const cache_bound *bound, cache_item *items, size_t n_items, cache_remove *remove,
                       void *context);

// A number of bytes ("1048576", "512M"; K, M, G, T are powers of 1024), or "none". "0": nothing stays but what is in
// use and what came last. False: neither.
bool cache_limit_parse(const char *text, size_t *limit);

#endif
