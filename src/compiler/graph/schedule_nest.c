// Structured ops: operands by their indexing maps, then a nest and its kernel.
#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>
#include <stdio.h>
#include <string.h>

#include "compiler/dialect/wf.h"
#include "compiler/graph/schedule_parts.h"

// offset + coef * loops of an affine expression times `stride`. False when it is not linear.
static bool add_linear(MlirAffineExpr x, int64_t stride, access *a)
{
    if (mlirAffineExprIsAConstant(x)) {
        a->offset += stride * mlirAffineConstantExprGetValue(x);
        return true;
    }
    if (mlirAffineExprIsADim(x)) {
        a->coef[mlirAffineDimExprGetPosition(x)] += stride;
        return true;
    }
    if (mlirAffineExprIsAAdd(x))
        return add_linear(mlirAffineBinaryOpExprGetLHS(x), stride, a) &&
               add_linear(mlirAffineBinaryOpExprGetRHS(x), stride, a);
    if (!mlirAffineExprIsAMul(x)) return false;
    MlirAffineExpr left = mlirAffineBinaryOpExprGetLHS(x), right = mlirAffineBinaryOpExprGetRHS(x);
    if (!mlirAffineExprIsAConstant(right)) return false;
    return add_linear(left, stride * mlirAffineConstantExprGetValue(right), a);
}

// The least and the greatest value of a linear form over the nest's loops lie in [0, size).
static bool stays_inside(const nest *n, MlirAffineExpr x, int64_t size)
{
    access a = {0};
    if (!add_linear(x, 1, &a)) return false;
    int64_t least = a.offset, greatest = a.offset;
    for (int l = 0; l < n->n_loops; l++) {
        if (n->extent[l] == 0) return true;
        (a.coef[l] < 0 ? (least += a.coef[l] * (n->extent[l] - 1)) : (greatest += a.coef[l] * (n->extent[l] - 1)));
    }
    return least >= 0 && greatest < size;
}

// Whether the tensor is all there is of its root.
static bool fills_root(const schedule *s, const tensor *x)
{
    return !x->offset && tensor_is_contiguous(x) &&
           (size_t)tensor_count(x) * tensor_element_bytes(x) == s->roots[x->root].bytes;
}

static wf_status make_access(schedule *s, call *c, const nest *n, const tensor *x, MlirAffineMap map, bool written,
                             access *a)
{
    *a = (access){.element = x->element};
    if (x->place != PLACE_MEMORY) {
        a->kind = ACCESS_SCALAR;
        a->scalar = x->scalar;
        a->constant = x->constant;
        if (x->place == PLACE_EMPTY) // nothing is known of it, so any value will do
            a->constant = mlirTypeIsAFloat(x->element) ? mlirFloatAttrDoubleGet(s->b->ctx, x->element, 0)
                                                       : mlirIntegerAttrGet(x->element, 0);
        return WF_OK;
    }
    a->kind = ACCESS_MEMORY;
    a->offset = x->offset;
    for (int d = 0; d < x->rank; d++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, d);
        if (!add_linear(e, x->strides[d], a)) return schedule_refuse(s, "has an index that is not linear");
        if (!stays_inside(n, e, x->dims[d])) return schedule_refuse(s, "reaches beyond an operand");
    }
    a->buffer = schedule_use_root(s, c, x->root, written);
    if (written && a->buffer >= 0) c->partly[a->buffer] |= !fills_root(s, x);
    return a->buffer < 0 ? schedule_refuse(s, "has too many operands") : WF_OK;
}

typedef struct gather_list {
    schedule *s;
    call *c;
    gather items[16];
    int n, depth;
    wf_status status;
} gather_list;

// Finds the tensors that a body, or a scalar outside that it uses, reads at computed indices.
static void find_gathers(gather_list *g, MlirOperation op)
{
    if (!op.ptr || g->status != WF_OK || g->depth > 64) return;
    if (op_is(op, "tensor.extract")) {
        MlirValue source = mlirOperationGetOperand(op, 0);
        bool known = false;
        for (int i = 0; i < g->n; i++) known = known || mlirValueEqual(g->items[i].source, source);
        tensor x;
        if (!known && g->n == 16) g->status = schedule_refuse_op(g->s, op, "reads too many tensors");
        if (!known && g->status == WF_OK) g->status = schedule_read_tensor(g->s, source, &x);
        if (!known && g->status == WF_OK) {
            gather *item = &g->items[g->n++];
            *item =
                (gather){source, x.element, schedule_use_root(g->s, g->c, x.root, false), x.rank, x.offset, {0}, {0}};
            memcpy(item->dims, x.dims, sizeof item->dims);
            memcpy(item->strides, x.strides, sizeof item->strides);
            if (item->buffer < 0) g->status = schedule_refuse_op(g->s, op, "has too many operands");
            for (int d = 0; d < x.rank; d++)
                if (!x.dims[d]) g->status = schedule_refuse_op(g->s, op, "reads a tensor without elements");
        }
    }
    g->depth++;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirOperation source = defining_op(v);
        if (is_scalar_value(v) && source.ptr &&
            !mlirBlockEqual(mlirOperationGetBlock(source), mlirOperationGetBlock(op)))
            find_gathers(g, source);
        else if (is_scalar_value(v) && source.ptr && mlirBlockEqual(mlirOperationGetBlock(source), g->s->entry))
            find_gathers(g, source);
    }
    g->depth--;
}

// The tensors that scalars read must be in memory before the call that reads them is made.
static wf_status prepare_gathers(schedule *s, MlirOperation op, int depth)
{
    if (!op.ptr || depth > 64) return WF_OK;
    if (op_is(op, "tensor.extract")) {
        tensor x;
        MlirValue source = mlirOperationGetOperand(op, 0);
        TRY(schedule_read_tensor(s, source, &x));
        if (x.place != PLACE_MEMORY) {
            TRY(schedule_to_memory(s, &x));
            TRY(schedule_add_tensor(s, source, &x)); // found before the older one
        }
    }
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirOperation source = is_scalar_value(v) ? defining_op(v) : (MlirOperation){0};
        if (source.ptr && mlirBlockEqual(mlirOperationGetBlock(source), s->entry))
            TRY(prepare_gathers(s, source, depth + 1));
    }
    return WF_OK;
}

static wf_status prepare_body(schedule *s, MlirBlock body)
{
    for (MlirOperation op = mlirBlockGetFirstOperation(body); op.ptr; op = mlirOperationGetNextInBlock(op))
        TRY(prepare_gathers(s, op, 0));
    return WF_OK;
}

// The kernel of an equal nest, or a name for a new one.
static wf_status name_kernel(schedule *s, const nest *n, size_t index, const char **kernel, bool *known)
{
    buffer key = {0};
    bool shared = nest_write_key(n, &key);
    *known = false;
    for (size_t i = 0; shared && i < s->n_nests && !*known; i++) {
        *known = !strcmp(s->nests[i].key, buffer_view(&key).data);
        *kernel = s->nests[i].kernel;
    }
    char name[64];
    snprintf(name, sizeof name, "nest_%zu", index);
    if (!*known) *kernel = arena_strdup(&s->out->memory, view_of(name));
    const char *copy = shared && !*known ? arena_strdup(&s->out->memory, buffer_view(&key)) : NULL;
    buffer_free(&key);
    if (!*kernel || (shared && !*known && (!copy || !GROW(s, nests, nests)))) return error_memory(s->err, sizeof name);
    if (copy) s->nests[s->n_nests++] = (nest_kernel){copy, *kernel};
    return WF_OK;
}

// Scalar operations of the whole nest.
static double nest_flops(const nest *n)
{
    double count = 0;
    if (n->body.ptr)
        for (MlirOperation op = mlirBlockGetFirstOperation(n->body); op.ptr; op = mlirOperationGetNextInBlock(op))
            count += op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math.");
    for (int l = 0; l < n->n_loops; l++) count *= (double)n->extent[l];
    return count;
}

// Plans the nest, builds its kernel and fills in the call.
static wf_status finish_nest(schedule *s, size_t index, nest *n)
{
    call *c = &s->calls[index];
    n->math_buffer = schedule_use_root(s, c, -1, false);
    n->fault_buffer = schedule_use_root(s, c, -2, true);
    if (n->math_buffer < 0 || n->fault_buffer < 0) return schedule_refuse(s, "has too many operands");
    n->add_check = schedule_add_check;
    n->check_context = s;
    nest_shape shape;
    nest_plan(n, &s->b->target, &shape);
    bool known;
    TRY(name_kernel(s, n, index, &c->kernel, &known));
    c->label = schedule_make_label(s);
    c->n_tiles = shape.n_tiles;
    c->grain = shape.grain > 0 ? shape.grain : 1;
    c->flops = nest_flops(n);
    if (!c->label) return error_memory(s->err, sizeof *c);

    // Chained to the call before: as many tiles, and whatever this chain wrote is read at the same steps.
    call *before = index > 0 ? &s->calls[index - 1] : NULL;
    int64_t step;
    c->chain = (int)index;
    if (s->chain && before && before->n_tiles == c->n_tiles && c->n_tiles > 1) {
        bool chained = n->n_gathers == 0;
        const access *lists[] = {n->in, n->init};
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < (k == 0 ? n->n_in : n->n_out); i++) {
                const access *a = &lists[k][i];
                if (a->kind != ACCESS_MEMORY) continue;
                const root *r = &s->roots[c->roots[a->buffer]];
                if (r->base == FUNCTION_CONSTANTS ||
                    (r->base >= FUNCTION_ARRAYS && r->base < FUNCTION_ARRAYS + s->out->n_arguments) ||
                    root_writer_before(r, (int)index) < before->chain)
                    continue;
                chained = chained && a->offset == 0 && nest_tile_step(n, &shape, a, &step) && step == r->step;
            }
        for (int o = 0; o < n->n_out; o++) { // nor may it write what another call of the chain writes
            const root *r = &s->roots[c->roots[n->out[o].buffer]];
            chained = chained && root_writer_before(r, (int)index) < before->chain;
        }
        if (chained) {
            c->chained = true;
            c->chain = before->chain;
        }
    }
    for (int o = 0; o < n->n_out; o++) {
        root *r = &s->roots[c->roots[n->out[o].buffer]];
        bool only = root_writer_before(r, (int)index) < 0;
        r->step = only && n->out[o].offset == 0 && nest_tile_step(n, &shape, &n->out[o], &step) ? step : -1;
    }
    return known ? WF_OK : nest_build(s->b, n, &shape, c->kernel, s->err);
}

// The first result dimension that is just loop l tells its extent.
static bool find_extents(nest *n, const tensor *x, MlirAffineMap map)
{
    if (mlirAffineMapGetNumResults(map) != x->rank) return false;
    for (int d = 0; d < x->rank; d++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, d);
        if (!mlirAffineExprIsADim(e)) continue;
        intptr_t l = mlirAffineDimExprGetPosition(e);
        if (n->extent[l] < 0) n->extent[l] = x->dims[d];
        if (n->extent[l] != x->dims[d]) return false;
    }
    return true;
}

// A structured op that only spreads a scalar: linalg.fill as upstream generalises it, and as torch-mlir writes it.
static bool is_fill(MlirOperation op, MlirBlock body)
{
    if (mlirOperationGetNumOperands(op) != 2 || mlirOperationGetNumResults(op) != 1) return false;
    MlirOperation yield = mlirBlockGetTerminator(body);
    return is_scalar_value(mlirOperationGetOperand(op, 0)) &&
           mlirOperationEqual(yield, mlirBlockGetFirstOperation(body)) &&
           mlirValueEqual(mlirOperationGetOperand(yield, 0), mlirBlockGetArgument(body, 0));
}

wf_status schedule_splat(schedule *s, MlirValue scalar)
{
    MlirValue y = mlirOperationGetResult(s->op, 0);
    tensor x;
    TRY(schedule_read_type(s, mlirValueGetType(y), &x));
    x.place = scalar.ptr ? PLACE_SPLAT : PLACE_EMPTY;
    x.scalar = scalar;
    return schedule_add_tensor(s, y, &x);
}

wf_status schedule_generic(schedule *s)
{
    MlirOperation op = s->op;
    intptr_t n_operands = mlirOperationGetNumOperands(op), n_out = mlirOperationGetNumResults(op);
    MlirAttribute maps = op_attribute(op, "indexing_maps");
    MlirBlock body;
    if (!maps.ptr || n_operands > 32 || n_operands < 1 || n_out > 8 || mlirOperationGetNumRegions(op) != 1)
        return schedule_refuse(s, "cannot be compiled");
    body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    if (is_fill(op, body)) return schedule_splat(s, mlirOperationGetOperand(op, 0));
    TRY(prepare_body(s, body));

    nest n = {.n_in = (int)(n_operands - n_out), .n_out = (int)n_out, .body = body};
    tensor operands[32], results[8];
    MlirAffineMap map[32];
    access in[32], out[8], init[8];
    for (intptr_t i = 0; i < n_operands; i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        map[i] = mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(maps, i));
        if (is_scalar_value(v))
            operands[i] = (tensor){.place = PLACE_SPLAT, .element = mlirValueGetType(v), .scalar = v, .root = -1};
        else
            TRY(schedule_read_tensor(s, v, &operands[i]));
    }
    n.n_loops = (int)mlirAffineMapGetNumDims(map[0]);
    if (n.n_loops > NEST_MAX_LOOPS) return schedule_refuse(s, "has too many loops");
    for (int l = 0; l < n.n_loops; l++) n.extent[l] = -1;
    for (intptr_t i = 0; i < n_operands; i++)
        if (!is_scalar_value(mlirOperationGetOperand(op, i)) && !find_extents(&n, &operands[i], map[i]))
            return schedule_refuse(s, "has operands whose sizes disagree");
    access used = {0};
    for (intptr_t o = 0; o < n_out; o++) {
        TRY(schedule_new_tensor(s, mlirValueGetType(mlirOperationGetResult(op, o)), &results[o]));
        for (int d = 0; d < results[o].rank; d++)
            if (!add_linear(mlirAffineMapGetResult(map[n.n_in + o], d), 1, &used))
                return schedule_refuse(s, "has an index that is not linear");
    }
    for (int l = 0; l < n.n_loops; l++) {
        n.reduction[l] = used.coef[l] == 0 && n_out > 0; // without results: only checks
        if (n.extent[l] < 0) return schedule_refuse(s, "has a loop whose size no operand tells");
    }
    size_t index = s->n_calls;
    call *c = schedule_add_call(s);
    if (!c) return error_memory(s->err, sizeof *c);
    for (int i = 0; i < n.n_in; i++) TRY(make_access(s, c, &n, &operands[i], map[i], false, &in[i]));
    for (int o = 0; o < n.n_out; o++) {
        init[o] = (access){.kind = ACCESS_NONE};
        if (!has_no_use(mlirBlockGetArgument(body, n.n_in + o)))
            TRY(make_access(s, c, &n, &operands[n.n_in + o], map[n.n_in + o], false, &init[o]));
        TRY(make_access(s, c, &n, &results[o], map[n.n_in + o], true, &out[o]));
        TRY(schedule_add_tensor(s, mlirOperationGetResult(op, o), &results[o]));
    }
    gather_list g = {.s = s, .c = c};
    for (MlirOperation o = mlirBlockGetFirstOperation(body); o.ptr; o = mlirOperationGetNextInBlock(o))
        find_gathers(&g, o);
    for (int i = 0; i < n_operands && g.status == WF_OK; i++)
        if (operands[i].place == PLACE_SPLAT && operands[i].scalar.ptr)
            find_gathers(&g, defining_op(operands[i].scalar));
    TRY(g.status);
    n.in = in, n.out = out, n.init = init, n.gathers = g.items, n.n_gathers = g.n;
    return finish_nest(s, index, &n);
}

// Copies `from` (memory or splat) into `to`, of the same shape.
wf_status schedule_copy(schedule *s, const tensor *from, const tensor *to)
{
    if (from->place == PLACE_SPLAT && from->scalar.ptr) TRY(prepare_gathers(s, defining_op(from->scalar), 0));
    nest n = {.n_in = 1, .n_out = 1, .n_loops = to->rank};
    access in = {0}, out = {0}, init = {.kind = ACCESS_NONE};
    size_t index = s->n_calls;
    call *c = schedule_add_call(s);
    if (!c) return error_memory(s->err, sizeof *c);
    memcpy(n.extent, to->dims, sizeof n.extent);
    MlirAffineMap map = mlirAffineMapMultiDimIdentityGet(s->b->ctx, to->rank);
    TRY(make_access(s, c, &n, from, map, false, &in));
    TRY(make_access(s, c, &n, to, map, true, &out));
    gather_list g = {.s = s, .c = c};
    if (from->scalar.ptr) find_gathers(&g, defining_op(from->scalar));
    TRY(g.status);
    n.in = &in, n.out = &out, n.init = &init, n.gathers = g.items, n.n_gathers = g.n;
    return finish_nest(s, index, &n);
}

// The same values, contiguous in memory.
wf_status schedule_to_memory(schedule *s, tensor *x)
{
    if (x->place == PLACE_MEMORY && tensor_is_contiguous(x)) return WF_OK;
    tensor copy;
    TRY(schedule_new_tensor(s, tensor_of(0, NULL, x->element), &copy));
    copy.rank = x->rank;
    int64_t stride = 1;
    for (int d = x->rank; d-- > 0;) {
        copy.dims[d] = x->dims[d];
        copy.strides[d] = stride;
        stride *= x->dims[d];
    }
    s->roots[copy.root].bytes = (size_t)tensor_count(&copy) * tensor_element_bytes(&copy);
    if (x->place != PLACE_EMPTY) TRY(schedule_copy(s, x, &copy));
    *x = copy;
    return WF_OK;
}
