// How a kernel walks a nest: the order of its loops, which one becomes vectors, register tiles, tiles.
#include "compiler/mlir/op.h"
#include "compiler/nest/nest_reduction.h"

static int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

// ---- loops

static bool uses_index(MlirBlock block)
{
    if (!block.ptr) return false;
    for (MlirOperation op = mlirBlockGetFirstOperation(block); op.ptr; op = mlirOperationGetNextInBlock(op))
        if (op_is(op, "linalg.index")) return true;
    return false;
}

typedef bool visit_access(access *a, void *context);

// Every operand in memory; false as soon as visit says so.
static bool for_each_access(const nest *n, visit_access *visit, void *context)
{
    access *lists[] = {n->in, n->out, n->init};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < (k == 0 ? n->n_in : n->n_out); i++)
            if (lists[k][i].kind == ACCESS_MEMORY && !visit(&lists[k][i], context)) return false;
    return true;
}

typedef struct loop_pair {
    const nest *n;
    int a, b;
} loop_pair;

static bool swap_coefs(access *a, void *context)
{
    loop_pair *p = context;
    int64_t c = a->coef[p->a];
    a->coef[p->a] = a->coef[p->b];
    a->coef[p->b] = c;
    return true;
}

static void swap_loops(nest *n, int a, int b)
{
    loop_pair p = {n, a, b};
    for_each_access(n, swap_coefs, &p);
    int64_t extent = n->extent[a];
    bool reduction = n->reduction[a];
    n->extent[a] = n->extent[b];
    n->reduction[a] = n->reduction[b];
    n->extent[b] = extent;
    n->reduction[b] = reduction;
}

// Parallel loops first, those with the largest steps in the output outermost; loops of one iteration at the end.
static bool comes_before(const nest *n, int a, int b)
{
    bool single_a = n->extent[a] == 1, single_b = n->extent[b] == 1;
    if (single_a != single_b) return single_b;
    if (n->reduction[a] != n->reduction[b]) return n->reduction[b];
    if (n->reduction[a] || !n->n_out) return false;
    return n->out[0].coef[a] > n->out[0].coef[b];
}

static void sort_loops(nest *n)
{
    for (int i = 1; i < n->n_loops; i++)
        for (int k = i; k > n->open && comes_before(n, k, k - 1); k--) swap_loops(n, k, k - 1);
    while (n->n_loops > n->open && n->extent[n->n_loops - 1] == 1) n->n_loops--;
}

static bool can_join(access *a, void *context)
{
    const loop_pair *p = context;
    return a->coef[p->a] == a->coef[p->b] * p->n->extent[p->b];
}

// Joins loop l + 1 into loop l.
static bool remove_coef(access *a, void *context)
{
    const loop_pair *p = context;
    a->coef[p->a] = a->coef[p->b];
    for (int l = p->b; l + 1 < p->n->n_loops; l++) a->coef[l] = a->coef[l + 1];
    return true;
}

// Rows are kept apart, since they are what tiles are made of; but short rows are joined until vectors fill.
static void join_loops(nest *n)
{
    enum { ENOUGH = 128 };
    for (int l = n->n_loops - 2; l >= n->open; l--) {
        loop_pair p = {n, l, l + 1};
        if (n->reduction[l] != n->reduction[l + 1] || (!n->reduction[l] && n->extent[l + 1] >= ENOUGH)) continue;
        if (!for_each_access(n, can_join, &p)) continue;
        for_each_access(n, remove_coef, &p);
        n->extent[l] *= n->extent[l + 1];
        for (int k = l + 1; k + 1 < n->n_loops; k++) {
            n->extent[k] = n->extent[k + 1];
            n->reduction[k] = n->reduction[k + 1];
        }
        n->n_loops--;
    }
}

// Whether vectors along the loop need no scattered loads.
static bool is_smooth(const nest *n, int l)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i].kind == ACCESS_MEMORY && n->in[i].coef[l] != 0 && n->in[i].coef[l] != 1) return false;
    return true;
}

static bool can_go_across(const nest *n)
{
    reduction_of r;
    for (int o = 0; o < n->n_out; o++)
        if (!nest_read_reduction(n, o, &r)) return false;
    return true;
}

static void choose_vector_loop(const nest *n, nest_shape *s)
{
    int along = -1, across = -1;
    for (int l = n->open; l < n->n_loops; l++) {
        bool writes_in_order = true;
        for (int o = 0; o < n->n_out; o++) writes_in_order = writes_in_order && n->out[o].coef[l] == 1;
        if (!n->reduction[l] && writes_in_order) along = l;
        if (n->reduction[l] && (across < 0 || is_smooth(n, l))) across = l;
    }
    if (across >= 0 && !can_go_across(n)) across = -1;
    bool along_smooth = along >= 0 && is_smooth(n, along), across_smooth = across >= 0 && is_smooth(n, across);
    s->across = across >= 0 && !along_smooth && (across_smooth || along < 0);
    s->vector_loop = s->across ? across : along;
    if (s->vector_loop >= 0) return;
    for (int l = n->open; l < n->n_loops; l++) // scattered stores, but some loop to call the innermost
        if (!n->reduction[l]) s->vector_loop = l;
}

// The innermost parallel loop that some vector operand does not depend on: its rows can share loads.
static void choose_rows(const nest *n, const kernel_target *target, nest_shape *s)
{
    s->row_loop = -1;
    s->rows = 1;
    if (s->vector_loop < 0 || !nest_has_reductions(n)) return;
    for (int l = n->open; l < n->n_loops; l++) {
        if (n->reduction[l] || l == s->vector_loop) continue;
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i].kind == ACCESS_MEMORY && !n->in[i].coef[l] && n->in[i].coef[s->vector_loop] == 1)
                s->row_loop = l;
    }
    if (s->row_loop < 0) return;
    if (s->across) { // a load of what the rows share serves all of them; only whole blocks
        while (s->rows < 4 && n->extent[s->row_loop] % (2 * s->rows) == 0) s->rows *= 2;
        if (s->rows == 1) s->row_loop = -1;
        return;
    }
    // With two vectors a row, six rows fill 16 registers: 12 sums, 2 of B, 1 of A.
    int64_t most = target->registers >= 32 ? 12 : 6, extent = n->extent[s->row_loop];
    s->rows = (int)max_of(min_of(most, extent), 1); // an extent may be 0
    for (int64_t r = s->rows; r > most / 2; r--)
        if (extent % r == 0) {
            s->rows = (int)r;
            break;
        }
}

static int64_t power_below(int64_t n, int64_t most)
{
    int64_t p = 1;
    while (p * 2 <= n && p * 2 <= most) p *= 2;
    return p;
}

void nest_plan(nest *n, const kernel_target *target, nest_shape *s)
{
    *s = (nest_shape){.vector_loop = -1, .row_loop = -1, .rows = 1, .unroll = 1, .lanes = 1};
    if (!uses_index(n->body)) {
        sort_loops(n);
        join_loops(n);
    }
    choose_vector_loop(n, s);
    choose_rows(n, target, s);
    int64_t extent = s->vector_loop >= 0 ? n->extent[s->vector_loop] : 1, others = 1, work = 1;
    s->lanes = (int)power_below(extent, target->lanes);
    s->unroll = (int)min_of(s->across                ? (s->rows > 1 ? 2 : 4)
                            : nest_has_reductions(n) ? 2
                                                     : 1,
                            max_of(extent / s->lanes, 1));
    for (int l = 0; l < n->n_loops; l++) {
        if (n->reduction[l] || l == s->vector_loop || l == s->row_loop) {
            work *= max_of(n->extent[l], 1);
            continue;
        }
        s->tile_loops[s->n_tile_loops++] = l;
        others *= n->extent[l];
    }
    if (s->row_loop >= 0) {
        others *= (n->extent[s->row_loop] + s->rows - 1) / s->rows;
        work = work / max_of(n->extent[s->row_loop], 1) * s->rows;
    }
    s->chunk = extent;
    if (!s->across && s->vector_loop >= 0) {
        int64_t block = s->lanes * s->unroll;
        if (s->rows > 1) // a panel of B stays in cache while the rows of A pass by
            s->chunk = block;
        else if (!n->open && others < 32 && work > 8192)
            s->chunk = max_of(4096 / max_of(work / max_of(extent, 1), 1) / block, 1) * block;
        if (s->chunk > extent) s->chunk = max_of(extent, 1);
        work = work / max_of(extent, 1) * s->chunk;
    }
    // a sum of nothing is written too
    s->n_tiles = s->across ? others : others * ((extent + max_of(s->chunk, 1) - 1) / max_of(s->chunk, 1));
    s->grain = max_of(16384 / max_of(work, 1), 1);
}

bool nest_tile_step(const nest *n, const nest_shape *s, const access *a, int64_t *step)
{
    int64_t extent = s->vector_loop >= 0 ? n->extent[s->vector_loop] : 1, span = 1, expected;
    if (s->rows > 1 || s->chunk < extent || !s->n_tile_loops || a->kind != ACCESS_MEMORY) return false;
    bool is_tile[NEST_MAX_LOOPS] = {0};
    for (int i = 0; i < s->n_tile_loops; i++) is_tile[s->tile_loops[i]] = true;
    for (int l = 0; l < n->n_loops; l++) {
        if (!is_tile[l] && a->coef[l] < 0) return false;
        if (!is_tile[l]) span += (n->extent[l] - 1) * a->coef[l];
    }
    *step = expected = a->coef[s->tile_loops[s->n_tile_loops - 1]];
    for (int i = s->n_tile_loops; i-- > 0;) {
        if (a->coef[s->tile_loops[i]] != expected) return false;
        expected *= n->extent[s->tile_loops[i]];
    }
    return *step >= span && *step > 0;
}
