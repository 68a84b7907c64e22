#include "text/unicode/code_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void code_set_free(code_set *set)
{
    free(set->bounds);
    *set = (code_set){0};
}

// How many bounds are at or below `code`: an odd number when it is in the set.
static size_t count_bounds(const code_set *set, uint32_t code)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->bounds[middle] <= code)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool code_set_has(const code_set *set, uint32_t code) { return count_bounds(set, code) & 1; }

bool code_set_meets(const code_set *set, uint32_t first, uint32_t last)
{
    size_t n = count_bounds(set, first);
    return n & 1 || count_bounds(set, last) != n;
}

bool code_set_equal(const code_set *a, const code_set *b)
{
    return a->count == b->count && (a->count == 0 || !memcmp(a->bounds, b->bounds, a->count * sizeof *a->bounds));
}

// Puts `n` bounds in place of those in [start, end).
static void replace_bounds(code_set *set, size_t start, size_t end, const uint32_t *bounds, size_t n)
{
    size_t count = set->count - (end - start) + n;
    if (count > set->capacity) {
        uint32_t *moved = array_reserve(set->bounds, set->count, count - set->count, &set->capacity, sizeof *moved);
        set->failed = set->failed || !moved;
        if (!moved) return;
        set->bounds = moved;
    }
    if (set->count > end) memmove(set->bounds + start + n, set->bounds + end, (set->count - end) * sizeof *set->bounds);
    if (n) memcpy(set->bounds + start, bounds, n * sizeof *bounds);
    set->count = count;
}

void code_set_add(code_set *set, uint32_t first, uint32_t last)
{
    uint32_t bounds[2] = {first, last + 1};
    if (set->count == 0 || set->bounds[set->count - 1] < first) { // most sets grow in order
        replace_bounds(set, set->count, set->count, bounds, 2);
        return;
    }
    // Bounds from first to last + 1 go; what lay just before and lies just behind decides which of the two are new.
    size_t start = first ? count_bounds(set, first - 1) : 0, end = count_bounds(set, last + 1), n = 0;
    if (start % 2 == 0) bounds[n++] = first;
    if (end % 2 == 0) bounds[n++] = last + 1;
    replace_bounds(set, start, end, bounds, n);
}

// In the order of the bounds of both: one stays where it is the first to begin or the last to end something.
void code_set_add_all(code_set *set, const code_set *other)
{
    size_t n = 0, a = 0, b = 0;
    uint32_t *bounds = other->count ? malloc((set->count + other->count) * sizeof *bounds) : NULL;
    set->failed = set->failed || other->failed || (other->count && !bounds);
    if (!bounds) return;
    while (a < set->count || b < other->count) {
        bool first = b == other->count || (a < set->count && set->bounds[a] <= other->bounds[b]);
        bool both = first && b < other->count && set->bounds[a] == other->bounds[b], inside = (a | b) & 1;
        uint32_t bound = first ? set->bounds[a] : other->bounds[b];
        a += first;
        b += !first || both;
        if (inside != (bool)((a | b) & 1)) bounds[n++] = bound;
    }
    free(set->bounds);
    set->capacity = set->count + other->count;
    set->bounds = bounds;
    set->count = n;
}

void code_set_invert(code_set *set)
{
    static const uint32_t ends[] = {0, CODE_SET_END};
    bool has_first = set->count && set->bounds[0] == 0;
    replace_bounds(set, 0, has_first, ends, !has_first);
    bool has_last = set->count && set->bounds[set->count - 1] == CODE_SET_END;
    replace_bounds(set, set->count - has_last, set->count, ends + 1, !has_last);
}

void code_set_keep(code_set *set, const code_set *other)
{
    code_set outside = {0};
    code_set_add_all(&outside, other);
    code_set_invert(&outside);
    code_set_invert(set);
    code_set_add_all(set, &outside);
    code_set_invert(set);
    code_set_free(&outside);
}
