#include "compiler/nest/routine.h"

#include <mlir-c/AffineMap.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/mlir/op.h"
#include "compiler/nest/body.h"

enum { MAX_BUFFERS = 64, MAX_VALUES = 32, MAX_INDICES = NEST_MAX_LOOPS };

typedef struct routine_builder {
    body e; // values of all blocks around
    body_values values;
    const routine *r;
    value buffers[MAX_BUFFERS];
} routine_builder;

static void run_block(routine_builder *rb, MlirBlock block);

static bool is_tensor(MlirValue v) { return mlirTypeIsAShaped(mlirValueGetType(v)); }

static const gather *place_of(routine_builder *rb, MlirValue v, MlirOperation user)
{
    const gather *g = body_gather(&rb->e, v);
    if (!g) body_refuse(&rb->e, user, " uses a tensor that is not known here");
    return g;
}

// Whether another loop or branch may be opened.
static bool has_room(routine_builder *rb, MlirOperation op)
{
    if (rb->e.b->depth + 2 >= BUILDER_DEPTH) body_refuse(&rb->e, op, " is nested too deeply");
    return rb->e.status == WF_OK;
}

static MlirBlock block_of(MlirOperation op, intptr_t region)
{
    MlirRegion r = mlirOperationGetRegion(op, region);
    return mlirRegionIsNull(r) ? (MlirBlock){0} : mlirRegionGetFirstBlock(r);
}

// ---- copies

static int64_t bytes_of(builder *b, MlirType element)
{
    element = body_type(b, element);
    unsigned bits = mlirTypeIsAFloat(element) ? mlirFloatTypeGetWidth(element) : mlirIntegerTypeGetWidth(element);
    return bits < 8 ? 1 : bits / 8;
}

static int64_t count_of(const gather *g)
{
    int64_t n = 1;
    for (int d = 0; d < g->rank; d++) n *= g->dims[d];
    return n;
}

static bool is_same_place(const gather *x, const gather *y) { return x->buffer == y->buffer && x->offset == y->offset; }

static void copy_bytes(builder *b, value from, int64_t from_bytes, value to, int64_t to_bytes, int64_t n)
{
    enum { WIDTH = 32 };
    const int64_t starts[] = {0, n / WIDTH * WIDTH}, ends[] = {n / WIDTH * WIDTH, n};
    for (int part = 0; part < 2; part++) {
        if (starts[part] == ends[part]) continue;
        loop l;
        int width = part ? 1 : WIDTH;
        loop_begin(b, &l, const_i(b, starts[part]), const_i(b, ends[part]), width, 0, NULL);
        store(b, load(b, from, add_i(b, l.iv, from_bytes), 0, vec(b, width, b->i8)), to, add_i(b, l.iv, to_bytes), 0);
        loop_end(b, &l, NULL);
    }
}

// All elements in their order.
static void copy_tensor(routine_builder *rb, const gather *from, const gather *to)
{
    builder *b = rb->e.b;
    if (is_same_place(from, to)) return;
    int64_t bytes = bytes_of(b, to->element);
    copy_bytes(b, rb->buffers[from->buffer], from->offset * bytes, rb->buffers[to->buffer], to->offset * bytes,
               count_of(to) * bytes);
}

static void run_copy(routine_builder *rb, MlirOperation op)
{
    const gather *from = place_of(rb, mlirOperationGetOperand(op, 0), op);
    const gather *to = place_of(rb, mlirOperationGetResult(op, 0), op);
    if (from && to) copy_tensor(rb, from, to);
}

// ---- slices

// Entry d of offsets, sizes or strides; those that are computed are operands, in the order of all three.
static value mixed_number(routine_builder *rb, MlirOperation op, const char *name, int d, intptr_t *operand)
{
    int64_t n = mlirDenseI64ArrayGetElement(op_attribute(op, name), d);
    if (n != INT64_MIN) return const_i(rb->e.b, n);
    return body_get(&rb->e, mlirOperationGetOperand(op, (*operand)++));
}

// Copies between the slice of `whole` that op describes and `part`, whose dimensions are those of the slice or those
// without some of size 1.
static void copy_slice(routine_builder *rb, MlirOperation op, intptr_t first, const gather *whole, const gather *part,
                       bool into_whole)
{
    builder *b = rb->e.b;
    int rank = whole->rank;
    value at = const_i(b, whole->offset), bad = {0};
    int64_t sizes[MAX_INDICES];
    value strides[MAX_INDICES];
    intptr_t operand = first;
    value offsets[MAX_INDICES];
    for (int d = 0; d < rank; d++) offsets[d] = mixed_number(rb, op, "static_offsets", d, &operand);
    for (int d = 0; d < rank; d++) {
        sizes[d] = mlirDenseI64ArrayGetElement(op_attribute(op, "static_sizes"), d);
        if (sizes[d] == INT64_MIN) body_refuse(&rb->e, op, " has a size that is computed");
    }
    for (int d = 0; d < rank; d++) strides[d] = mixed_number(rb, op, "static_strides", d, &operand);
    if (rb->e.status != WF_OK || count_of(part) == 0) return;
    for (int d = 0; d < rank; d++) {
        // the last element lies inside; else all offsets are zero, and the call fails
        value last = add(b, offsets[d], mul_i(b, strides[d], sizes[d] - 1)), zero = const_i(b, 0);
        value out = or_(b, cmp_i(b, CMP_LT, offsets[d], zero), cmp_i(b, CMP_GE, last, const_i(b, whole->dims[d])));
        out = or_(b, out, cmp_i(b, CMP_LT, strides[d], zero));
        bad = bad.ptr ? or_(b, bad, out) : out;
    }
    if (bad.ptr) {
        body_set_fault(&rb->e, bad, "a slice reaches beyond its tensor", op);
        for (int d = 0; d < rank; d++) {
            offsets[d] = select_(b, bad, const_i(b, 0), offsets[d]);
            strides[d] = select_(b, bad, const_i(b, 0), strides[d]);
        }
    }
    for (int d = 0; d < rank; d++) {
        at = add(b, at, mul_i(b, offsets[d], whole->strides[d]));
        strides[d] = mul_i(b, strides[d], whole->strides[d]);
    }
    loop loops[MAX_INDICES];
    int n = 0;
    value inner = const_i(b, part->offset);
    int64_t step = count_of(part);
    for (int d = 0; d < rank; d++) {
        if (sizes[d] == 1) continue;
        step /= sizes[d];
        loop_begin(b, &loops[n], const_i(b, 0), const_i(b, sizes[d]), 1, 0, NULL);
        at = add(b, at, mul(b, loops[n].iv, strides[d]));
        inner = add(b, inner, mul_i(b, loops[n].iv, step));
        n++;
    }
    int64_t bytes = bytes_of(b, whole->element);
    type bits = mlirIntegerTypeGet(b->ctx, (unsigned)bytes * 8);
    value w = rb->buffers[whole->buffer], p = rb->buffers[part->buffer];
    at = mul_i(b, at, bytes);
    inner = mul_i(b, inner, bytes);
    if (into_whole)
        store(b, load(b, p, inner, 0, bits), w, at, 0);
    else
        store(b, load(b, w, at, 0, bits), p, inner, 0);
    while (n) loop_end(b, &loops[--n], NULL);
}

static bool fits_loops(routine_builder *rb, MlirOperation op, int n)
{
    if (rb->e.b->depth + n + 2 >= BUILDER_DEPTH) body_refuse(&rb->e, op, " is nested too deeply");
    return rb->e.status == WF_OK;
}

static void run_slice(routine_builder *rb, MlirOperation op)
{
    bool into = op_is(op, "tensor.insert_slice");
    const gather *from = place_of(rb, mlirOperationGetOperand(op, 0), op);
    const gather *to = place_of(rb, mlirOperationGetResult(op, 0), op);
    if (!from || !to || !fits_loops(rb, op, into ? to->rank : from->rank)) return;
    copy_slice(rb, op, into ? 2 : 1, into ? to : from, into ? from : to, into);
}

// ---- single elements

static void run_insert(routine_builder *rb, MlirOperation op)
{
    MlirValue indices[MAX_INDICES];
    const gather *to = place_of(rb, mlirOperationGetResult(op, 0), op);
    value x = body_get(&rb->e, mlirOperationGetOperand(op, 0));
    if (rb->e.status != WF_OK) return;
    for (int d = 0; d < to->rank; d++) indices[d] = mlirOperationGetOperand(op, d + 2);
    value at = body_place(&rb->e, op, to, indices);
    if (rb->e.status == WF_OK) body_store_at(&rb->e, to, at, x);
}

static void run_from_elements(routine_builder *rb, MlirOperation op)
{
    const gather *to = place_of(rb, mlirOperationGetResult(op, 0), op);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op) && rb->e.status == WF_OK; i++) {
        value x = body_get(&rb->e, mlirOperationGetOperand(op, i));
        if (rb->e.status == WF_OK) body_store_at(&rb->e, to, const_i(rb->e.b, i), x);
    }
}

// ---- structured ops

static bool read_access(const gather *g, MlirAffineMap map, int64_t *extents, access *a)
{
    *a = (access){.kind = ACCESS_MEMORY, .element = g->element, .buffer = g->buffer, .offset = g->offset};
    for (int d = 0; d < g->rank; d++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, d);
        if (!access_add_linear(e, g->strides[d], a)) return false;
        if (mlirAffineExprIsADim(e)) extents[mlirAffineDimExprGetPosition(e)] = g->dims[d];
    }
    return true;
}

// All loops of a linalg.generic, one element after the other. Its results lie where what they start from lies.
static void run_generic(routine_builder *rb, MlirOperation op)
{
    body *e = &rb->e;
    builder *b = e->b;
    intptr_t n = mlirOperationGetNumOperands(op), n_out = mlirOperationGetNumResults(op);
    MlirAttribute maps = op_attribute(op, "indexing_maps");
    MlirBlock inner = block_of(op, 0);
    access at[MAX_VALUES], out[MAX_VALUES];
    loop loops[NEST_MAX_LOOPS];
    int64_t extents[NEST_MAX_LOOPS];
    if (!maps.ptr || n > MAX_VALUES || !inner.ptr) {
        body_refuse(e, op, " cannot be compiled inside a loop");
        return;
    }
    int n_loops = (int)mlirAffineMapGetNumDims(mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(maps, 0)));
    for (int l = 0; l < NEST_MAX_LOOPS; l++) extents[l] = -1;
    for (intptr_t i = 0; i < n && n_loops <= NEST_MAX_LOOPS; i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirAffineMap map = mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(maps, i));
        const gather *g = is_tensor(v) ? place_of(rb, v, op) : NULL;
        at[i] = (access){.kind = ACCESS_SCALAR, .scalar = v};
        if (is_tensor(v) && (!g || !read_access(g, map, extents, &at[i])))
            body_refuse(e, op, " has an index that is not linear");
        if (i < n - n_out || e->status != WF_OK) continue;
        g = place_of(rb, mlirOperationGetResult(op, i - (n - n_out)), op);
        if (g) read_access(g, map, extents, &out[i - (n - n_out)]);
    }
    if (n_loops > NEST_MAX_LOOPS) body_refuse(e, op, " has too many loops");
    if (!fits_loops(rb, op, n_loops)) return;

    nest own = rb->r->places;
    const nest *around = e->n;
    own.n_loops = n_loops;
    memcpy(own.extent, extents, sizeof own.extent);
    e->n = &own;
    int known = e->values->n;
    for (int l = 0; l < n_loops; l++) {
        if (extents[l] < 0) body_refuse(e, op, " has a loop whose size no operand tells");
        loop_begin(b, &loops[l], const_i(b, 0), const_i(b, extents[l] > 0 ? extents[l] : 0), 1, 0, NULL);
        e->iv[l] = loops[l].iv;
    }
    for (intptr_t i = 0; i < n && e->status == WF_OK; i++) {
        MlirValue argument = mlirBlockGetArgument(inner, i);
        if (!has_no_use(argument)) body_set(e, argument, body_load(e, &at[i]));
    }
    body_run(e, inner);
    MlirOperation yield = mlirBlockGetTerminator(inner);
    value results[MAX_VALUES];
    for (intptr_t o = 0; o < n_out && e->status == WF_OK; o++)
        results[o] = body_get(e, mlirOperationGetOperand(yield, o));
    for (intptr_t o = 0; o < n_out && e->status == WF_OK; o++) body_store(e, &out[o], results[o]);
    for (int l = n_loops; l-- > 0;) {
        loop_end(b, &loops[l], NULL);
        e->iv[l] = (value){0};
    }
    body_forget(e, known);
    e->n = around;
}

// ---- loops and branches

// What the terminator of a block gives, from operand `first` on: tensors go to the places of `to`, scalars into `out`;
// their number is returned.
static int give(routine_builder *rb, MlirOperation end, intptr_t first, const MlirValue *to, value *out)
{
    int n = 0;
    for (intptr_t i = first; i < mlirOperationGetNumOperands(end) && rb->e.status == WF_OK; i++) {
        MlirValue v = mlirOperationGetOperand(end, i);
        if (!is_tensor(v)) {
            out[n++] = body_get(&rb->e, v);
            continue;
        }
        const gather *from = place_of(rb, v, end), *into = place_of(rb, to[i - first], end);
        if (from && into) copy_tensor(rb, from, into);
    }
    return n;
}

// Scalars among the values take the next of `from`.
static void take(routine_builder *rb, intptr_t n, const MlirValue *values, const value *from)
{
    for (intptr_t i = 0; i < n; i++)
        if (!is_tensor(values[i])) body_set(&rb->e, values[i], *from++);
}

static intptr_t results_of(MlirOperation op, MlirValue *values)
{
    intptr_t n = mlirOperationGetNumResults(op);
    for (intptr_t i = 0; i < n && i < MAX_VALUES; i++) values[i] = mlirOperationGetResult(op, i);
    return n < MAX_VALUES ? n : MAX_VALUES;
}

static intptr_t arguments_of(MlirBlock block, intptr_t first, MlirValue *values)
{
    intptr_t n = mlirBlockGetNumArguments(block) - first;
    for (intptr_t i = 0; i < n && i < MAX_VALUES; i++) values[i] = mlirBlockGetArgument(block, first + i);
    return n < MAX_VALUES ? n : MAX_VALUES;
}

static bool has_few_values(routine_builder *rb, MlirOperation op)
{
    if (mlirOperationGetNumOperands(op) > MAX_VALUES || mlirOperationGetNumResults(op) > 16)
        body_refuse(&rb->e, op, " carries too many values");
    return rb->e.status == WF_OK;
}

// The body of a loop for index `iv`.
static int run_iteration(routine_builder *rb, MlirOperation op, value iv, const value *args, value *next)
{
    MlirBlock block = block_of(op, 0);
    MlirValue inside[MAX_VALUES];
    intptr_t n = arguments_of(block, 1, inside);
    MlirType t = mlirValueGetType(mlirBlockGetArgument(block, 0));
    builder *b = rb->e.b;
    if (!mlirTypeIsAIndex(t) && mlirIntegerTypeGetWidth(t) < 64) iv = trunc_i(b, iv, t);
    body_set(&rb->e, mlirBlockGetArgument(block, 0), iv);
    take(rb, n, inside, args);
    run_block(rb, block);
    return give(rb, mlirBlockGetTerminator(block), 0, inside, next);
}

static value as_i64(routine_builder *rb, MlirValue v)
{
    value x = body_get(&rb->e, v);
    builder *b = rb->e.b;
    if (rb->e.status != WF_OK || mlirTypeEqual(mlirValueGetType(x), b->i64)) return x;
    return ext_s(b, x, b->i64);
}

static void run_for(routine_builder *rb, MlirOperation op)
{
    body *e = &rb->e;
    builder *b = e->b;
    if (!has_room(rb, op) || !has_few_values(rb, op)) return;
    value lo = as_i64(rb, mlirOperationGetOperand(op, 0)), hi = as_i64(rb, mlirOperationGetOperand(op, 1));
    value step = as_i64(rb, mlirOperationGetOperand(op, 2)), inits[MAX_VALUES], next[MAX_VALUES];
    int n = 0;
    for (intptr_t i = 3; i < mlirOperationGetNumOperands(op); i++)
        if (!is_tensor(mlirOperationGetOperand(op, i))) inits[n++] = body_get(e, mlirOperationGetOperand(op, i));
    if (e->status != WF_OK) return;
    // a step below 1 is none that a loop may have
    step = max_s(b, step, const_i(b, 1));
    value span = max_s(b, sub(b, hi, lo), const_i(b, 0));
    value count = div_u(b, add(b, span, add_i(b, step, -1)), step);
    loop *l = malloc(sizeof *l);
    if (!l) {
        e->status = error_memory(e->err, sizeof *l);
        return;
    }
    int known = e->values->n;
    loop_begin(b, l, const_i(b, 0), count, 1, n, inits);
    run_iteration(rb, op, add(b, lo, mul(b, l->iv, step)), l->args, next);
    loop_end(b, l, e->status == WF_OK ? next : l->args);
    body_forget(e, known);
    MlirValue results[MAX_VALUES];
    take(rb, results_of(op, results), results, l->results);
    free(l);
}

static void run_if(routine_builder *rb, MlirOperation op)
{
    body *e = &rb->e;
    builder *b = e->b;
    MlirValue results[MAX_VALUES];
    value given[MAX_VALUES];
    type types[MAX_VALUES];
    branch br;
    if (!has_room(rb, op) || !has_few_values(rb, op)) return;
    value condition = body_get(e, mlirOperationGetOperand(op, 0));
    if (e->status != WF_OK) return;
    intptr_t n = results_of(op, results);
    int n_scalars = 0;
    for (intptr_t i = 0; i < n; i++)
        if (!is_tensor(results[i])) types[n_scalars++] = body_type(b, mlirValueGetType(results[i]));
    int known = e->values->n;
    if_begin(b, &br, condition, n_scalars, types);
    for (int way = 0; way < 2; way++) {
        MlirBlock block = block_of(op, way);
        if (way) if_else(b, &br, given);
        if (block.ptr) {
            run_block(rb, block);
            give(rb, mlirBlockGetTerminator(block), 0, results, given);
        }
        body_forget(e, known);
        for (int i = 0; i < n_scalars && e->status != WF_OK; i++) given[i] = const_i(b, 0); // nobody runs it
    }
    if_end(b, &br, given);
    take(rb, n, results, br.results);
}

static void run_while(routine_builder *rb, MlirOperation op)
{
    body *e = &rb->e;
    builder *b = e->b;
    MlirBlock test = block_of(op, 0), inner = block_of(op, 1);
    MlirValue tested[MAX_VALUES], inside[MAX_VALUES] = {0}, results[MAX_VALUES];
    value inits[MAX_VALUES], given[MAX_VALUES], next[MAX_VALUES];
    int n = 0, m = 0;
    if (!has_room(rb, op) || !has_few_values(rb, op)) return;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (!is_tensor(mlirOperationGetOperand(op, i))) inits[n++] = body_get(e, mlirOperationGetOperand(op, i));
    while_loop *w = e->status == WF_OK ? malloc(sizeof *w) : NULL;
    if (!w) {
        if (e->status == WF_OK) e->status = error_memory(e->err, sizeof *w);
        return;
    }
    int known = e->values->n;
    while_begin(b, w, n, inits);
    take(rb, arguments_of(test, 0, tested), tested, w->tested);
    run_block(rb, test);
    MlirOperation condition = mlirBlockGetTerminator(test);
    intptr_t n_inside = arguments_of(inner, 0, inside);
    value goes_on = body_get(e, mlirOperationGetOperand(condition, 0));
    m = give(rb, condition, 1, inside, given);
    bool good = e->status == WF_OK; // else the loop is closed for nobody to run
    if (!good) goes_on = const_int(b, b->i1, 0), m = 0;
    while_body(b, w, goes_on, m, given);
    body_forget(e, known);
    if (good) {
        take(rb, n_inside, inside, w->args);
        run_block(rb, inner);
        give(rb, mlirBlockGetTerminator(inner), 0, tested, next);
    }
    if (e->status != WF_OK)
        for (int i = 0; i < n; i++) next[i] = inits[i];
    while_end(b, w, next);
    body_forget(e, known);
    if (good) take(rb, results_of(op, results), results, w->results);
    free(w);
}

// ---- ops

static void run_nothing(routine_builder *rb, MlirOperation op)
{
    (void)rb;
    (void)op;
}

static const struct {
    const char *name;
    void (*run)(routine_builder *rb, MlirOperation op);
} RULES[] = {
    {"scf.for", run_for},
    {"scf.if", run_if},
    {"scf.while", run_while},
    {"tensor.insert", run_insert},
    {"tensor.from_elements", run_from_elements},
    {"tensor.extract_slice", run_slice},
    {"tensor.insert_slice", run_slice},
    {"tensor.cast", run_copy},
    {"tensor.collapse_shape", run_copy},
    {"tensor.expand_shape", run_copy},
    {"tensor.reshape", run_copy},
    {"tensor.empty", run_nothing},
    {"linalg.generic", run_generic},
};

static void run_op(routine_builder *rb, MlirOperation op)
{
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++)
        if (op_is(op, RULES[i].name)) {
            RULES[i].run(rb, op);
            return;
        }
    bool scalar = mlirOperationGetNumResults(op) == 1 && !is_tensor(mlirOperationGetResult(op, 0));
    if (scalar && mlirOperationGetNumRegions(op) == 0)
        body_get(&rb->e, mlirOperationGetResult(op, 0));
    else if (op_is(op, "cf.assert"))
        body_eval(&rb->e, op);
    else if (!op_is(op, "arith.constant"))
        body_refuse(&rb->e, op, " cannot be compiled inside a loop or a branch");
}

static void run_block(routine_builder *rb, MlirBlock block)
{
    MlirOperation end = mlirBlockGetTerminator(block);
    for (MlirOperation op = mlirBlockGetFirstOperation(block); !mlirOperationEqual(op, end) && rb->e.status == WF_OK;
         op = mlirOperationGetNextInBlock(op))
        run_op(rb, op);
}

// Scalars from outside are computed once, before all loops.
static void compute_outer(MlirOperation op, void *context)
{
    routine_builder *rb = context;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op) && rb->e.status == WF_OK; i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirOperation from = defining_op(v);
        if (is_tensor(v) || !from.ptr) continue;
        if (mlirBlockEqual(mlirOperationGetBlock(from), mlirOperationGetBlock(rb->r->op))) body_get(&rb->e, v);
    }
}

static wf_status build(builder *b, const routine *r, const char *name, wf_error *err)
{
    routine_builder *rb = calloc(1, sizeof *rb);
    if (!rb) return error_memory(err, sizeof *rb);
    if (r->places.fault_buffer >= MAX_BUFFERS) {
        free(rb);
        return error_set(err, WF_ERROR_UNSUPPORTED, "a loop with too many operands");
    }
    rb->r = r;
    rb->e = (body){.b = b,
                   .n = &r->places,
                   .lanes = 1,
                   .vector_loop = -1,
                   .buffers = rb->buffers,
                   .err = err,
                   .values = &rb->values};
    kernel_begin(b, name);
    for (int i = 0; i <= r->places.fault_buffer; i++) rb->buffers[i] = operand(b, i);
    compute_outer(r->op, rb);
    for_each_op(r->op, compute_outer, rb);
    if (r->n_tiles > 1) {
        value lo = as_i64(rb, mlirOperationGetOperand(r->op, 0)), step = as_i64(rb, mlirOperationGetOperand(r->op, 2));
        loop tiles;
        value none[1];
        loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
        if (rb->e.status == WF_OK) run_iteration(rb, r->op, add(b, lo, mul(b, tiles.iv, step)), NULL, none);
        loop_end(b, &tiles, NULL);
    } else if (rb->e.status == WF_OK) {
        run_op(rb, r->op);
    }
    for (int i = 0; i < r->n_scalars && rb->e.status == WF_OK; i++) {
        value x = body_get(&rb->e, mlirOperationGetResult(r->op, r->scalars[i]));
        if (rb->e.status == WF_OK) body_store_at(&rb->e, &r->scalar_places[i], const_i(b, 0), x);
    }
    kernel_end(b);
    wf_status status = rb->e.status;
    pointer_map_free(&rb->values.index);
    free(rb->values.to);
    free(rb);
    return status;
}

static void build_routine(builder *b, const void *params, const char *name)
{
    const routine_kernel *k = params;
    *k->status = build(b, k->r, name, k->err);
}

static bool has_no_key(const void *params, buffer *key)
{
    (void)params;
    (void)key;
    return false;
}

const kernel_kind ROUTINE_KERNEL = {
    .name = "routine",
    .file = "nest/routine.c",
    .help = "a loop or a branch of a graph that is not written out: single elements, one after the other",
    .build = build_routine,
    .params_bytes = sizeof(routine_kernel),
    .write_key = has_no_key,
};
