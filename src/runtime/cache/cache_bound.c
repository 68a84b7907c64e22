#include "runtime/cache/cache_bound.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static int by_use(const void *a, const void *b)
{
    const cache_item *x = a, *y = b;
    return x->used != y->used ? (x->used > y->used) - (x->used < y->used) : strcmp(x->name, y->name);
}

static bool is_stale(const cache_item *item, int64_t now)
{
    return item->is_draft || now - item->used >= CACHE_KEEP_SECONDS;
}

void cache_bound_apply(const cache_bound *bound, cache_item *items, size_t n_items, cache_remove *remove, void *context)
{
    size_t all = bound->coming;
    if (n_items) qsort(items, n_items, sizeof *items, by_use);
    for (size_t i = 0; i < n_items; i++)
        if (!checked_add(all, items[i].bytes, &all)) all = SIZE_MAX;
    for (size_t i = 0; i < n_items; i++) {
        bool goes = is_stale(&items[i], bound->now) || (all > bound->limit && bound->limit != CACHE_NO_LIMIT);
        items[i].removed = goes && remove(context, &items[i]);
        if (items[i].removed) all -= items[i].bytes;
    }
}

bool cache_limit_parse(const char *text, size_t *limit)
{
    static const char UNITS[] = "KMGTkmgt";
    size_t value = 0, digits = strspn(text, "0123456789");
    if (!strcmp(text, "none")) {
        *limit = CACHE_NO_LIMIT;
        return true;
    }
    for (size_t i = 0; i < digits; i++)
        if (!checked_mul(value, 10, &value) || !checked_add(value, (size_t)(text[i] - '0'), &value)) return false;
    const char *unit = text[digits] ? strchr(UNITS, text[digits]) : NULL;
    size_t factor = unit ? (size_t)1 << 10 * ((unit - UNITS) % 4 + 1) : 1;
    if (!digits || text[digits + (unit != NULL)] || !checked_mul(value, factor, &value)) return false;
    *limit = value;
    return true;
}
