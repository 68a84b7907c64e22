// How a nest becomes a kernel.
//
//   along    the vector loop is parallel: lanes are neighbouring elements of the output. A register tile of rows x
//   unroll
//            vectors is carried through the reduction loops, so that a matrix product reads a row of B once for several
//            rows of A.
//   across   the vector loop is a reduction over neighbouring elements of the inputs: lanes are partial results,
//   combined
//            at the end. For sums of rows, and products with a transposed B.
//
//   tile t = (other parallel loops, outermost first), chunk of the vector loop, block of rows
//
// Partial results in f32 lanes are at least as accurate as the one long sum that the op describes; 16-bit floats are
// reduced in f32 and rounded once.
#include "compiler/graph/nest.h"

#include <stdio.h>
#include <string.h>

#include "compiler/codegen/context.h"
#include "compiler/dialect/wf.h"
#include "compiler/graph/body.h"

static int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

// ---- combiners

// out = out OP term: ops whose partial results can be combined in any order, and what they start from.
typedef enum identity { IDENTITY_ZERO, IDENTITY_ONE, IDENTITY_LOWEST, IDENTITY_HIGHEST, IDENTITY_ONES } identity;
static const struct combiner {
    const char *name;
    identity start;
} COMBINERS[] = {
    {"arith.addf", IDENTITY_ZERO},        {"arith.mulf", IDENTITY_ONE},       {"arith.maximumf", IDENTITY_LOWEST},
    {"arith.minimumf", IDENTITY_HIGHEST}, {"arith.maxnumf", IDENTITY_LOWEST}, {"arith.minnumf", IDENTITY_HIGHEST},
    {"arith.addi", IDENTITY_ZERO},        {"arith.muli", IDENTITY_ONE},       {"arith.maxsi", IDENTITY_LOWEST},
    {"arith.minsi", IDENTITY_HIGHEST},    {"arith.maxui", IDENTITY_ZERO},     {"arith.minui", IDENTITY_ONES},
    {"arith.andi", IDENTITY_ONES},        {"arith.ori", IDENTITY_ZERO},       {"arith.xori", IDENTITY_ZERO},
};

typedef struct reduction_of {
    const struct combiner *combiner;
    MlirValue term; // what is combined
    MlirOperation op;
} reduction_of;

// Reads output `o` of the body as a reduction. False when the body is none, or looks at the output elsewhere too.
static bool read_reduction(const nest *n, int o, reduction_of *r)
{
    if (!n->body.ptr) return false;
    MlirValue out = mlirBlockGetArgument(n->body, n->n_in + o);
    r->op = defining_op(mlirOperationGetOperand(mlirBlockGetTerminator(n->body), o));
    if (!r->op.ptr || !has_one_use(out) || mlirOperationGetNumOperands(r->op) != 2) return false;
    if (!has_one_use(mlirOperationGetResult(r->op, 0))) return false;
    MlirValue left = mlirOperationGetOperand(r->op, 0), right = mlirOperationGetOperand(r->op, 1);
    if (mlirValueEqual(left, out) == mlirValueEqual(right, out)) return false;
    r->term = mlirValueEqual(left, out) ? right : left;
    for (size_t i = 0; i < sizeof COMBINERS / sizeof *COMBINERS; i++) {
        r->combiner = &COMBINERS[i];
        if (op_is(r->op, COMBINERS[i].name)) return true;
    }
    return false;
}

static MlirType reduced_type(builder *b, MlirType element)
{
    return mlirTypeEqual(element, b->f16) || mlirTypeEqual(element, b->bf16) ? b->f32 : body_type(b, element);
}

static value identity_value(builder *b, identity start, MlirType t)
{
    MlirType element = element_of(t);
    if (mlirTypeIsAFloat(element)) {
        static const double VALUES[] = {[IDENTITY_ZERO] = 0,
                                        [IDENTITY_ONE] = 1,
                                        [IDENTITY_LOWEST] = -__builtin_inf(),
                                        [IDENTITY_HIGHEST] = __builtin_inf()};
        return const_f(b, t, VALUES[start]);
    }
    unsigned bits = mlirIntegerTypeGetWidth(element);
    int64_t lowest = bits >= 64 ? INT64_MIN : -(INT64_C(1) << (bits - 1));
    const int64_t values[] = {[IDENTITY_ZERO] = 0,
                              [IDENTITY_ONE] = 1,
                              [IDENTITY_LOWEST] = lowest,
                              [IDENTITY_HIGHEST] = -(lowest + 1),
                              [IDENTITY_ONES] = -1};
    return const_int(b, t, values[start]);
}

// ---- planning

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
        for (int k = i; k > 0 && comes_before(n, k, k - 1); k--) swap_loops(n, k, k - 1);
    while (n->n_loops > 0 && n->extent[n->n_loops - 1] == 1) n->n_loops--;
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
    for (int l = n->n_loops - 2; l >= 0; l--) {
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
        if (!read_reduction(n, o, &r)) return false;
    return true;
}

static void choose_vector_loop(const nest *n, nest_shape *s)
{
    int along = -1, across = -1;
    for (int l = 0; l < n->n_loops; l++) {
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
    for (int l = 0; l < n->n_loops; l++) // scattered stores, but some loop to call the innermost
        if (!n->reduction[l]) s->vector_loop = l;
}

static bool has_reductions(const nest *n)
{
    for (int l = 0; l < n->n_loops; l++)
        if (n->reduction[l]) return true;
    return false;
}

// The innermost parallel loop that some vector operand does not depend on: its rows can share loads.
static void choose_rows(const nest *n, const kernel_target *target, nest_shape *s)
{
    s->row_loop = -1;
    s->rows = 1;
    if (s->vector_loop < 0 || !has_reductions(n)) return;
    for (int l = 0; l < n->n_loops; l++) {
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
    s->rows = (int)min_of(most, extent);
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
    s->unroll = (int)min_of(s->across           ? (s->rows > 1 ? 2 : 4)
                            : has_reductions(n) ? 2
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
        else if (others < 32 && work > 8192)
            s->chunk = max_of(4096 / max_of(work / max_of(extent, 1), 1) / block, 1) * block;
        if (s->chunk > extent) s->chunk = max_of(extent, 1);
        work = work / max_of(extent, 1) * s->chunk;
    }
    s->n_tiles = others * ((extent + s->chunk - 1) / max_of(s->chunk, 1));
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

// ---- building

typedef struct nest_builder {
    builder *b;
    const nest *n;
    const nest_shape *s;
    wf_error *err;
    wf_status status;
    value buffers[64];
    value iv[NEST_MAX_LOOPS]; // of the tile, then of the loops around
} nest_builder;

enum { MAX_BUFFERS = 64, MAX_CARRIED = LOOP_MAX };

static void start_body(const nest_builder *nb, body *e, int lanes)
{
    e->b = nb->b;
    e->n = nb->n;
    e->lanes = lanes;
    e->vector_loop = nb->s->vector_loop;
    e->buffers = nb->buffers;
    e->err = nb->err;
    e->status = nb->status;
    e->n_values = 0;
    memcpy(e->iv, nb->iv, sizeof e->iv);
}

static void load_inputs(body *e)
{
    for (int i = 0; i < e->n->n_in; i++) {
        MlirValue argument = mlirBlockGetArgument(e->n->body, i);
        if (!has_no_use(argument)) body_set(e, argument, body_load(e, &e->n->in[i]));
    }
}

// One evaluation of the body at the current indices: `out` holds the outputs' values and gets the next ones (types may
// be wider than the elements: 16-bit floats in f32).
static void evaluate(nest_builder *nb, int lanes, value *out)
{
    const nest *n = nb->n;
    builder *b = nb->b;
    body e;
    start_body(nb, &e, lanes);
    if (!n->body.ptr) {
        out[0] = body_load(&e, &n->in[0]);
    } else {
        load_inputs(&e);
        reduction_of r[8];
        bool wide[8] = {0};
        for (int o = 0; o < n->n_out; o++) {
            MlirType t = body_type(b, n->out[o].element);
            MlirValue argument = mlirBlockGetArgument(n->body, n->n_in + o);
            // a sum of 16-bit floats is kept in f32 where the body only adds to it
            wide[o] = !mlirTypeEqual(reduced_type(b, t), t) && has_reductions(n) && read_reduction(n, o, &r[o]);
            if (!has_no_use(argument) && out[o].ptr) body_set(&e, argument, wide[o] ? from_f32(b, out[o], t) : out[o]);
        }
        body_run(&e, n->body);
        MlirOperation yield = mlirBlockGetTerminator(n->body);
        for (int o = 0; o < n->n_out && e.status == WF_OK; o++) {
            if (wide[o]) {
                value term = to_f32(b, body_get(&e, r[o].term));
                out[o] = body_combine(b, r[o].combiner->name, out[o], term);
            } else {
                out[o] = body_get(&e, mlirOperationGetOperand(yield, o));
            }
        }
    }
    nb->status = e.status;
}

static void load_inits(nest_builder *nb, int lanes, value *out)
{
    body e;
    start_body(nb, &e, lanes);
    for (int o = 0; o < nb->n->n_out; o++) {
        const access *init = &nb->n->init[o];
        out[o] = (value){0};
        if (init->kind == ACCESS_NONE) continue;
        out[o] = body_load(&e, init);
        reduction_of r;
        if (e.status == WF_OK && has_reductions(nb->n) && read_reduction(nb->n, o, &r)) {
            MlirType t = mlirValueGetType(out[o]), element = element_of(t);
            if (!mlirTypeEqual(reduced_type(nb->b, element), element)) out[o] = to_f32(nb->b, out[o]);
        }
    }
    nb->status = e.status;
}

static void store_outputs(nest_builder *nb, int lanes, const value *out)
{
    body e;
    start_body(nb, &e, lanes);
    for (int o = 0; o < nb->n->n_out && e.status == WF_OK; o++) {
        MlirType element = body_type(nb->b, nb->n->out[o].element);
        value x = out[o];
        if (!mlirTypeEqual(element_of(mlirValueGetType(x)), element)) x = from_f32(nb->b, x, element);
        body_store(&e, &nb->n->out[o], x);
    }
    nb->status = e.status;
}

// Loops over all reductions but `skip`, innermost last; n values are carried.
typedef struct reduction_loops {
    loop loops[NEST_MAX_LOOPS];
    int n;
} reduction_loops;

static void open_reductions(nest_builder *nb, reduction_loops *r, int skip, int n, value *carried)
{
    r->n = 0;
    for (int l = 0; l < nb->n->n_loops; l++) {
        if (!nb->n->reduction[l] || l == skip) continue;
        loop *open = &r->loops[r->n++];
        loop_begin(nb->b, open, const_i(nb->b, 0), const_i(nb->b, nb->n->extent[l]), 1, n, carried);
        for (int i = 0; i < n; i++) carried[i] = open->args[i];
        nb->iv[l] = open->iv;
    }
}

static void close_reductions(nest_builder *nb, reduction_loops *r, int n, value *carried)
{
    while (r->n > 0) {
        loop *open = &r->loops[--r->n];
        loop_end(nb->b, open, carried);
        for (int i = 0; i < n; i++) carried[i] = open->results[i];
    }
}

// A register tile: `rows` rows from iv[row_loop], `unroll` vectors from iv[vector_loop].
static void build_block(nest_builder *nb, int rows, int unroll, int lanes)
{
    const nest *n = nb->n;
    const nest_shape *s = nb->s;
    builder *b = nb->b;
    value row = s->row_loop >= 0 ? nb->iv[s->row_loop] : (value){0};
    value column = s->vector_loop >= 0 ? nb->iv[s->vector_loop] : (value){0};
    value carried[MAX_CARRIED], out[MAX_CARRIED];
    int blocks = rows * unroll, count = 0;
    bool reduces = has_reductions(n);
    reduction_loops loops = {.n = 0};
#define MOVE_TO(k)                                                                                                     \
    do {                                                                                                               \
        if (row.ptr) nb->iv[s->row_loop] = add_i(b, row, (k) / unroll);                                                \
        if (column.ptr) nb->iv[s->vector_loop] = add_i(b, column, (k) % unroll * lanes);                               \
    } while (0)
    for (int k = 0; k < blocks && nb->status == WF_OK; k++) {
        MOVE_TO(k);
        load_inits(nb, lanes, out + k * n->n_out);
    }
    if (nb->status != WF_OK) return;
    if (reduces) {
        for (int i = 0; i < blocks * n->n_out; i++)
            if (out[i].ptr) carried[count++] = out[i];
        open_reductions(nb, &loops, -1, count, carried);
        for (int i = 0, at = 0; i < blocks * n->n_out; i++)
            if (out[i].ptr) out[i] = carried[at++];
    }
    bool had[MAX_CARRIED];
    for (int i = 0; i < blocks * n->n_out; i++) had[i] = out[i].ptr != NULL;
    for (int k = 0; k < blocks && nb->status == WF_OK; k++) {
        MOVE_TO(k);
        evaluate(nb, lanes, out + k * n->n_out);
        // without a start value a reduction keeps its last one: store at once
        if (reduces && !had[k * n->n_out] && nb->status == WF_OK) store_outputs(nb, lanes, out + k * n->n_out);
    }
    if (reduces) {
        count = 0;
        for (int i = 0; i < blocks * n->n_out; i++)
            if (had[i]) {
                if (nb->status == WF_OK) carried[count] = out[i]; // else: what the loop carries, so that it closes
                count++;
            }
        close_reductions(nb, &loops, count, carried);
        for (int i = 0, at = 0; i < blocks * n->n_out; i++)
            if (had[i]) out[i] = carried[at++];
    }
    for (int k = 0; k < blocks && nb->status == WF_OK; k++) {
        MOVE_TO(k);
        if (!reduces || had[k * n->n_out]) store_outputs(nb, lanes, out + k * n->n_out);
    }
#undef MOVE_TO
    if (row.ptr) nb->iv[s->row_loop] = row;
    if (column.ptr) nb->iv[s->vector_loop] = column;
}

// The vector loop over [lo, hi): blocks, then vectors, then single elements.
static void build_along(nest_builder *nb, int rows, value lo, value hi, int64_t known)
{
    const nest_shape *s = nb->s;
    builder *b = nb->b;
    if (s->vector_loop < 0) {
        build_block(nb, rows, 1, 1);
        return;
    }
    const int unrolls[] = {s->unroll, 1, 1}, lanes[] = {s->lanes, s->lanes, 1};
    for (int part = 0; part < 3 && nb->status == WF_OK; part++) {
        int64_t step = (int64_t)unrolls[part] * lanes[part];
        if (part > 0 && step == (int64_t)unrolls[part - 1] * lanes[part - 1]) continue;
        if (known >= 0 && known < step) continue; // nothing is left for this part
        value end = hi;
        if (step > 1) end = add(b, lo, mul_i(b, div_i(b, sub(b, hi, lo), step), step));
        loop l;
        loop_begin(b, &l, lo, end, step, 0, NULL);
        nb->iv[s->vector_loop] = l.iv;
        build_block(nb, rows, unrolls[part], lanes[part]);
        loop_end(b, &l, NULL);
        lo = end;
        if (known >= 0) known %= step;
    }
    nb->iv[s->vector_loop] = (value){0};
}

// Halves the vector until one lane is left.
static value combine_lanes(builder *b, const char *name, value x)
{
    for (int n = lanes(mlirValueGetType(x)) / 2; n >= 1; n /= 2) {
        int64_t low[64], high[64];
        for (int i = 0; i < n; i++) low[i] = i, high[i] = n + i;
        if (n == 1) return body_combine(b, name, extract(b, x, 0), extract(b, x, 1));
        x = body_combine(b, name, shuffle(b, x, x, n, low), shuffle(b, x, x, n, high));
    }
    return x;
}

// Terms of all outputs at the current indices, combined into `sums`.
static void add_terms(nest_builder *nb, int lanes, const reduction_of *r, value *sums)
{
    body e;
    start_body(nb, &e, lanes);
    load_inputs(&e);
    // the combining ops themselves look at outputs; each output stands for its identity, and only terms are read
    for (int o = 0; o < nb->n->n_out && e.status == WF_OK; o++) {
        MlirType t = vec(nb->b, lanes, body_type(nb->b, nb->n->out[o].element));
        body_set(&e, mlirBlockGetArgument(nb->n->body, nb->n->n_in + o), identity_value(nb->b, IDENTITY_ZERO, t));
    }
    body_run(&e, nb->n->body);
    for (int o = 0; o < nb->n->n_out && e.status == WF_OK; o++) {
        value term = body_get(&e, r[o].term);
        if (e.status != WF_OK) break;
        MlirType element = element_of(mlirValueGetType(term));
        if (!mlirTypeEqual(reduced_type(nb->b, element), element)) term = to_f32(nb->b, term);
        sums[o] = body_combine(nb->b, r[o].combiner->name, sums[o], term);
    }
    nb->status = e.status;
}

static void build_across(nest_builder *nb)
{
    const nest *n = nb->n;
    const nest_shape *s = nb->s;
    builder *b = nb->b;
    reduction_of r[8];
    value carried[MAX_CARRIED], row = s->row_loop >= 0 ? nb->iv[s->row_loop] : (value){0};
    int n_out = n->n_out, unroll = s->unroll, block = s->rows * n_out, count = block * (unroll + 1);
    for (int o = 0; o < n_out; o++) read_reduction(n, o, &r[o]);
    for (int i = 0; i < count; i++) { // [unroll + 1][rows][n_out], the last of the first for single elements
        int o = i % n_out;
        MlirType t = vec(b, i / block < unroll ? s->lanes : 1, reduced_type(b, n->out[o].element));
        carried[i] = identity_value(b, r[o].combiner->start, t);
    }
    reduction_loops outer;
    open_reductions(nb, &outer, s->vector_loop, count, carried);
    int64_t extent = n->extent[s->vector_loop], step = (int64_t)unroll * s->lanes, whole = extent / step * step;
    int64_t vectors = extent / s->lanes * s->lanes;
    const int64_t from[] = {0, whole, vectors}, to[] = {whole, vectors, extent};
    for (int part = 0; part < 3 && nb->status == WF_OK; part++) {
        if (from[part] == to[part]) continue;
        int first = part < 2 ? 0 : unroll * block, times = part == 0 ? unroll : 1, width = part < 2 ? s->lanes : 1;
        loop l;
        loop_begin(b, &l, const_i(b, from[part]), const_i(b, to[part]), times * width, times * block, carried + first);
        value next[MAX_CARRIED];
        for (int i = 0; i < times * block; i++) next[i] = l.args[i];
        for (int k = 0; k < times * s->rows && nb->status == WF_OK; k++) {
            nb->iv[s->vector_loop] = add_i(b, l.iv, k / s->rows * width);
            if (row.ptr) nb->iv[s->row_loop] = add_i(b, row, k % s->rows);
            add_terms(nb, width, r, next + k * n_out);
        }
        loop_end(b, &l, next);
        for (int i = 0; i < times * block; i++) carried[first + i] = l.results[i];
    }
    nb->iv[s->vector_loop] = (value){0};
    close_reductions(nb, &outer, count, carried);
    for (int k = 0; k < s->rows && nb->status == WF_OK; k++) {
        value out[8];
        if (row.ptr) nb->iv[s->row_loop] = add_i(b, row, k);
        load_inits(nb, 1, out);
        for (int o = 0; o < n_out && nb->status == WF_OK; o++) {
            const char *name = r[o].combiner->name;
            const value *sums = carried + k * n_out + o;
            value x = sums[0];
            for (int u = 1; u < unroll; u++) x = body_combine(b, name, x, sums[u * block]);
            x = body_combine(b, name, combine_lanes(b, name, x), sums[unroll * block]);
            out[o] = out[o].ptr ? body_combine(b, name, out[o], x) : x;
        }
        if (nb->status == WF_OK) store_outputs(nb, 1, out);
    }
}

// The rows of a tile, from `row`: a whole block, or what is left one by one.
static void build_rows(nest_builder *nb, value block, value lo, value hi, int64_t known)
{
    const nest_shape *s = nb->s;
    builder *b = nb->b;
    int64_t extent = nb->n->extent[s->row_loop];
    value row = mul_i(b, block, s->rows);
    branch br;
    bool ragged = extent % s->rows != 0;
    if (ragged) if_begin(b, &br, cmp_i(b, CMP_LT, block, const_i(b, extent / s->rows)), 0, NULL);
    nb->iv[s->row_loop] = row;
    build_along(nb, s->rows, lo, hi, known);
    if (ragged) {
        if_else(b, &br, NULL);
        loop l;
        loop_begin(b, &l, row, const_i(b, extent), 1, 0, NULL);
        nb->iv[s->row_loop] = l.iv;
        build_along(nb, 1, lo, hi, known);
        loop_end(b, &l, NULL);
        if_end(b, &br, NULL);
    }
    nb->iv[s->row_loop] = (value){0};
}

static void build_tile(nest_builder *nb, value tile)
{
    const nest *n = nb->n;
    const nest_shape *s = nb->s;
    builder *b = nb->b;
    int64_t extent = s->vector_loop >= 0 ? n->extent[s->vector_loop] : 1;
    value block = {0}, lo = {0}, hi = {0};
    if (s->row_loop >= 0) {
        int64_t blocks = (n->extent[s->row_loop] + s->rows - 1) / s->rows;
        block = rem_i(b, tile, blocks);
        tile = div_i(b, tile, blocks);
    }
    if (!s->across && s->vector_loop >= 0) {
        lo = const_i(b, 0);
        hi = const_i(b, extent);
        if (s->chunk < extent) {
            int64_t chunks = (extent + s->chunk - 1) / s->chunk;
            lo = mul_i(b, rem_i(b, tile, chunks), s->chunk);
            hi = min_s(b, add_i(b, lo, s->chunk), hi);
            tile = div_i(b, tile, chunks);
        }
    }
    for (int i = s->n_tile_loops; i-- > 0;) {
        int l = s->tile_loops[i];
        nb->iv[l] = i ? rem_i(b, tile, n->extent[l]) : tile;
        if (i) tile = div_i(b, tile, n->extent[l]);
    }
    int64_t known = s->chunk == extent || extent % s->chunk == 0 ? s->chunk : -1;
    if (s->across && s->row_loop >= 0) nb->iv[s->row_loop] = mul_i(b, block, s->rows);
    if (s->across)
        build_across(nb);
    else if (s->row_loop >= 0)
        build_rows(nb, block, lo, hi, known);
    else
        build_along(nb, 1, lo, hi, known);
}

wf_status nest_build(builder *b, const nest *n, const nest_shape *s, const char *name, wf_error *err)
{
    nest_builder nb = {.b = b, .n = n, .s = s, .err = err};
    if (n->n_out > 8 || n->fault_buffer >= MAX_BUFFERS || (s->rows * s->unroll) * n->n_out > MAX_CARRIED ||
        (s->unroll + 1) * s->rows * n->n_out > MAX_CARRIED)
        return error_set(err, WF_ERROR_UNSUPPORTED, "an op with %d results and %d operands", n->n_out, n->n_in);
    kernel_begin(b, name);
    for (int i = 0; i <= n->fault_buffer; i++) nb.buffers[i] = operand(b, i);
    loop tiles;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    build_tile(&nb, tiles.iv);
    loop_end(b, &tiles, NULL);
    kernel_end(b);
    return nb.status;
}
