#include "runtime/program/poison.h"

#include <stdlib.h>
#include <string.h>

enum { UNIT = 64 }; // places in the arena are multiples of this

typedef enum unit_state { UNKNOWN, LIVE, DEAD } unit_state;

// Sets all unknown units that a call's arena operands touch, those it writes or those it needs: what it reads, and what
// it writes only a part of.
static void mark(const program_call *call, uint32_t area, bool written, unit_state state, const int64_t dims[DIM_COUNT],
                 unsigned char *units, int64_t n_units)
{
    for (uint32_t i = 0; i < call->n_buffers; i++) {
        const program_buffer *b = &call->buffers[i];
        if (b->area != area || (written ? !b->written || b->partly : b->written && !b->partly)) continue;
        int64_t first = affine_eval(&b->offset, dims), end = first + affine_eval(&b->bytes, dims);
        // a unit that is only partly overwritten keeps what else it holds
        int64_t from = written ? (first + UNIT - 1) / UNIT : first / UNIT;
        int64_t to = written ? end / UNIT : (end + UNIT - 1) / UNIT;
        for (int64_t u = from; u < to && u < n_units; u++)
            if (units[u] == UNKNOWN) units[u] = (unsigned char)state;
    }
}

bool poison_dead(const program *p, uint32_t after, unsigned char *memory, const int64_t dims[DIM_COUNT])
{
    uint32_t area = program_find_area(p, AREA_ARENA);
    int64_t n_units = affine_eval(&p->areas[area].bytes, dims) / UNIT;
    unsigned char *units = calloc((size_t)n_units + 1, 1); // all UNKNOWN
    if (!units) return false;
    for (uint32_t i = after + 1; i < p->n_calls; i++) {
        if (program_count_eval(&p->calls[i].tiles, dims) <= 0) continue;
        mark(&p->calls[i], area, false, LIVE, dims, units, n_units);
        mark(&p->calls[i], area, true, DEAD, dims, units, n_units);
    }
    for (int64_t u = 0; u < n_units; u++)
        if (units[u] != LIVE) memset(memory + u * UNIT, 0xff, UNIT);
    free(units);
    return true;
}
