// How a nest becomes a kernel.
//
//   along    the vector loop is parallel: lanes are neighbouring elements of the output. A register tile of rows x
//            unroll vectors is carried through the reduction loops, so that a matrix product reads a row of B once for
//            several rows of A.
//   across   the vector loop is a reduction over neighbouring elements of the inputs: lanes are partial results,
//            combined at the end. For sums of rows, and products with a transposed B.
//
//   tile t = (other parallel loops, outermost first), chunk of the vector loop, block of rows
//
// Partial results in f32 lanes are at least as accurate as the one long sum that the op describes; 16-bit floats are
// reduced in f32 and rounded once.
#include "compiler/nest/nest.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/mlir/op.h"
#include "compiler/nest/body.h"
#include "compiler/nest/nest_reduction.h"

typedef struct nest_builder {
    builder *b;
    const nest *n;
    const nest_shape *s;
    wf_error *err;
    wf_status status;
    value buffers[64];
    value iv[NEST_MAX_LOOPS]; // of the tile, then of the loops around
    body_values values;       // of the body at hand
} nest_builder;

enum { MAX_BUFFERS = 64, MAX_CARRIED = LOOP_MAX };

static void start_body(nest_builder *nb, body *e, int lanes)
{
    e->b = nb->b;
    e->n = nb->n;
    e->lanes = lanes;
    e->vector_loop = nb->s->vector_loop;
    e->buffers = nb->buffers;
    e->err = nb->err;
    e->status = nb->status;
    e->values = &nb->values;
    e->values->n = 0;
    pointer_map_clear(&e->values->index);
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
        // a copy into another float type rounds as it stores
        if (e.status == WF_OK && !mlirTypeEqual(n->out[0].element, n->in[0].element)) out[0] = to_f32(b, out[0]);
    } else {
        load_inputs(&e);
        reduction_of r[8];
        bool wide[8] = {0}, sums[8] = {0};
        for (int o = 0; o < n->n_out; o++) {
            MlirType t = body_type(b, n->out[o].element);
            MlirValue argument = mlirBlockGetArgument(n->body, n->n_in + o);
            // 16-bit floats are carried in f32; a sum stays there, where the body only adds to it
            wide[o] = !mlirTypeEqual(nest_reduced_type(b, t), t) && nest_has_reductions(n);
            sums[o] = wide[o] && nest_read_reduction(n, o, &r[o]);
            if (!has_no_use(argument) && out[o].ptr) body_set(&e, argument, wide[o] ? from_f32(b, out[o], t) : out[o]);
        }
        body_run(&e, n->body);
        MlirOperation yield = mlirBlockGetTerminator(n->body);
        for (int o = 0; o < n->n_out && e.status == WF_OK; o++) {
            if (sums[o]) {
                value term = to_f32(b, body_get(&e, r[o].term));
                out[o] = body_combine(b, r[o].combiner->name, out[o], term);
            } else {
                out[o] = body_get(&e, mlirOperationGetOperand(yield, o));
                if (wide[o] && e.status == WF_OK) out[o] = to_f32(b, out[o]);
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
        if (e.status == WF_OK && nest_has_reductions(nb->n)) {
            MlirType element = element_of(mlirValueGetType(out[o]));
            if (!mlirTypeEqual(nest_reduced_type(nb->b, element), element)) out[o] = to_f32(nb->b, out[o]);
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
    bool reduces = nest_has_reductions(n);
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
        body_set(&e, mlirBlockGetArgument(nb->n->body, nb->n->n_in + o), nest_identity(nb->b, IDENTITY_ZERO, t));
    }
    body_run(&e, nb->n->body);
    for (int o = 0; o < nb->n->n_out && e.status == WF_OK; o++) {
        value term = body_get(&e, r[o].term);
        if (e.status != WF_OK) break;
        MlirType element = element_of(mlirValueGetType(term));
        if (!mlirTypeEqual(nest_reduced_type(nb->b, element), element)) term = to_f32(nb->b, term);
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
    for (int o = 0; o < n_out; o++) nest_read_reduction(n, o, &r[o]);
    for (int i = 0; i < count; i++) { // [unroll + 1][rows][n_out], the last of the first for single elements
        int o = i % n_out;
        MlirType t = vec(b, i / block < unroll ? s->lanes : 1, nest_reduced_type(b, n->out[o].element));
        carried[i] = nest_identity(b, r[o].combiner->start, t);
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

static wf_status build(builder *b, const nest *n, const nest_shape *s, const char *name, wf_error *err)
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
    pointer_map_free(&nb.values.index);
    free(nb.values.to);
    return nb.status;
}

static void build_nest(builder *b, const void *params, const char *name)
{
    const nest_kernel *k = params;
    *k->status = build(b, k->n, k->shape, name, k->err);
}

static bool write_key(const void *params, buffer *key)
{
    const nest_kernel *k = params;
    return nest_write_key(k->n, key);
}

const kernel_kind NEST_KERNEL = {
    .name = "nest",
    .file = "nest/nest.c",
    .help = "a loop nest of a graph: what one structured op, or several fused, compute element by element",
    .build = build_nest,
    .params_bytes = sizeof(nest_kernel),
    .write_key = write_key,
};
