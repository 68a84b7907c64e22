// Structured ops: operands by their indexing maps, then a nest and its kernel.
#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>
#include <string.h>

#include "compiler/lower/lowering.h"

enum { MAX_GATHERS = 16 };

// The least and the greatest value of a linear form over the nest's loops lie in [0, size).
static bool stays_inside(const nest *n, MlirAffineExpr x, int64_t size)
{
    access a = {0};
    if (!access_add_linear(x, 1, &a)) return false;
    int64_t least = a.offset, greatest = a.offset;
    for (int l = 0; l < n->n_loops; l++) {
        if (n->extent[l] == 0) return true;
        (a.coef[l] < 0 ? (least += a.coef[l] * (n->extent[l] - 1)) : (greatest += a.coef[l] * (n->extent[l] - 1)));
    }
    return least >= 0 && greatest < size;
}

// A call whose kernel is found when the nest is known.
static call *add_nest_call(lowering *l) { return lowering_add_call(l, 0, NULL); }

// Whether the tensor is all there is of its root.
static bool fills_root(lowering *l, const tensor *x)
{
    affine bytes;
    return !x->offset && tensor_is_contiguous(x) && tensor_bytes(l, x, &bytes) == WF_OK &&
           !memcmp(&bytes, &l->roots[x->root].bytes, sizeof bytes);
}

// `lead`: leading loops of open sizes.
static wf_status make_access(lowering *l, call *c, const nest *n, int lead, const tensor *x, MlirAffineMap map,
                             bool written, access *a)
{
    *a = (access){.element = x->element};
    if (x->place != PLACE_MEMORY) {
        a->kind = ACCESS_SCALAR;
        a->scalar = x->scalar;
        a->constant = x->constant;
        if (x->place == PLACE_EMPTY) // nothing is known of it, so any value will do
            a->constant = mlirTypeIsAFloat(x->element) ? mlirFloatAttrDoubleGet(l->b->ctx, x->element, 0)
                                                       : mlirIntegerAttrGet(x->element, 0);
        return WF_OK;
    }
    a->kind = ACCESS_MEMORY;
    a->offset = x->offset;
    if (tensor_lead(x)) a->coef[lead - 1] = x->strides[lead - 1]; // of all leading loops as one
    for (int d = tensor_lead(x) ? lead : 0; d < x->rank; d++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, d);
        if (!access_add_linear(e, x->strides[d], a)) return lowering_refuse(l, "has an index that is not linear");
        if (!stays_inside(n, e, x->dims[d])) return lowering_refuse(l, "reaches beyond an operand");
    }
    a->buffer = lowering_use_root(l, c, x->root, written);
    if (written && a->buffer >= 0) c->operands[a->buffer].partly |= !fills_root(l, x);
    return a->buffer < 0 ? lowering_refuse(l, "has too many operands") : WF_OK;
}

void lowering_find_gathers(gather_list *g, MlirOperation op)
{
    if (!op.ptr || g->status != WF_OK || g->depth > 64) return;
    if (op_is(op, "tensor.extract")) {
        MlirValue source = mlirOperationGetOperand(op, 0);
        bool known = false;
        for (int i = 0; i < g->n; i++) known = known || mlirValueEqual(g->items[i].source, source);
        tensor x;
        if (!known && g->n == g->max) g->status = lowering_refuse_op(g->l, op, "reads too many tensors");
        if (!known && g->status == WF_OK) g->status = lowering_read_tensor(g->l, source, &x);
        if (!known && g->status == WF_OK && !tensor_is_fixed(&x)) // an index is held against numbers
            g->status = lowering_refuse_op(g->l, op, "needs its sizes");
        if (!known && g->status == WF_OK) {
            gather *item = &g->items[g->n++];
            *item =
                (gather){source, x.element, lowering_use_root(g->l, g->c, x.root, false), x.rank, x.offset, {0}, {0}};
            memcpy(item->dims, x.dims, sizeof item->dims);
            memcpy(item->strides, x.strides, sizeof item->strides);
            if (item->buffer < 0) g->status = lowering_refuse_op(g->l, op, "has too many operands");
            for (int d = 0; d < x.rank; d++)
                if (!x.dims[d]) g->status = lowering_refuse_op(g->l, op, "reads a tensor without elements");
        }
    }
    g->depth++;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirOperation source = defining_op(v);
        if (!is_scalar_value(v) || !source.ptr) continue;
        MlirBlock block = mlirOperationGetBlock(source);
        if (!mlirBlockEqual(block, mlirOperationGetBlock(op)) || mlirBlockEqual(block, g->l->entry))
            lowering_find_gathers(g, source);
    }
    g->depth--;
}

wf_status lowering_prepare_gathers(lowering *l, MlirOperation op, int depth)
{
    if (!op.ptr || depth > 64) return WF_OK;
    if (op_is(op, "tensor.extract")) {
        tensor x;
        MlirValue source = mlirOperationGetOperand(op, 0);
        TRY(lowering_read_tensor(l, source, &x));
        if (x.place != PLACE_MEMORY) {
            TRY(lowering_to_memory(l, &x));
            TRY(lowering_add_tensor(l, source, &x)); // found before the older one
        }
    }
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirOperation source = is_scalar_value(v) ? defining_op(v) : (MlirOperation){0};
        if (source.ptr && mlirBlockEqual(mlirOperationGetBlock(source), l->entry))
            TRY(lowering_prepare_gathers(l, source, depth + 1));
    }
    return WF_OK;
}

static wf_status prepare_body(lowering *l, MlirBlock body)
{
    for (MlirOperation op = mlirBlockGetFirstOperation(body); op.ptr; op = mlirOperationGetNextInBlock(op))
        TRY(lowering_prepare_gathers(l, op, 0));
    return WF_OK;
}

// Scalar operations of the whole nest.
static int64_t nest_flops(const nest *n)
{
    double count = 0;
    if (n->body.ptr)
        for (MlirOperation op = mlirBlockGetFirstOperation(n->body); op.ptr; op = mlirOperationGetNextInBlock(op))
            count += op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math.");
    for (int i = 0; i < n->n_loops; i++) count *= (double)n->extent[i];
    return count < 0x1p40 ? (int64_t)count : INT64_C(1) << 40;
}

static bool is_read_only(const lowering *l, const root *r)
{
    return r->area != FUNCTION_ARENA && !(r->area >= FUNCTION_ARRAYS + l->n_arguments);
}

// Whether a call with as many tiles may be chained to the call before: whatever this chain wrote is read at the same
// steps, and nothing is written that another call of the chain writes.
static bool can_chain(const lowering *l, const call *c, int index, const call *before, const nest *n,
                      const nest_shape *shape)
{
    const access *lists[] = {n->in, n->init};
    int64_t step;
    if (n->n_gathers) return false;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < (k == 0 ? n->n_in : n->n_out); i++) {
            const access *a = &lists[k][i];
            if (a->kind != ACCESS_MEMORY) continue;
            const root *r = &l->roots[c->operands[a->buffer].root];
            if (is_read_only(l, r) || root_writer_before(r, index) < before->chain) continue;
            if (a->offset || !nest_tile_step(n, shape, a, &step) || step != r->step) return false;
        }
    for (int o = 0; o < n->n_out; o++) {
        const root *r = &l->roots[c->operands[n->out[o].buffer].root];
        if (r->overwritten || root_writer_before(r, index) >= before->chain) return false;
    }
    return true;
}

// Whether what is summed is the same for all rows, as in a product of matrices: its speed lies in taking several rows
// at a time, which an open loop cannot.
static bool shares_sums(const nest *n)
{
    for (int i = 0; i < n->n_in; i++)
        for (int k = 1; k < n->n_loops; k++)
            if (n->in[i].kind == ACCESS_MEMORY && n->reduction[k] && n->in[i].coef[k] && !n->in[i].coef[0]) return true;
    return false;
}

// Plans the nest, builds its kernel and fills in the call.
static wf_status finish_nest(lowering *l, size_t index, nest *n, size_code rows)
{
    call *c = &l->calls[index];
    n->math_buffer = lowering_use_root(l, c, l->math_root, false);
    n->fault_buffer = lowering_use_root(l, c, l->fault_root, true);
    if (n->math_buffer < 0 || n->fault_buffer < 0) return lowering_refuse(l, "has too many operands");
    n->add_check = lowering_add_check;
    n->check_context = l;
    nest_shape shape;
    nest_plan(n, &l->b->target, &shape);
    if (n->open && (shape.vector_loop < 0 || shares_sums(n))) return lowering_refuse(l, "needs its sizes");
    wf_status built = WF_OK;
    const nest_kernel k = {n, &shape, &built, l->err};
    c->kernel = lowering_add_kernel(l, &NEST_KERNEL, &k);
    if (c->kernel == UINT32_MAX) return error_memory(l->err, sizeof k);
    TRY(built);
    call_tiles(c, form_of(rows, shape.n_tiles));
    c->grain = shape.grain > 0 ? shape.grain : 1;
    c->flops = form_of(rows, nest_flops(n));

    call *before = index > 0 ? &l->calls[index - 1] : NULL;
    if (l->o.chain && before && has_same_tiles(c, before) && can_chain(l, c, (int)index, before, n, &shape)) {
        c->chained = true;
        c->chain = before->chain;
    }
    for (int o = 0; o < n->n_out; o++) {
        int64_t step;
        root *r = &l->roots[c->operands[n->out[o].buffer].root];
        bool only = root_writer_before(r, (int)index) < 0;
        r->step = only && !r->overwritten && n->out[o].offset == 0 && nest_tile_step(n, &shape, &n->out[o], &step)
                      ? step
                      : -1;
    }
    return WF_OK;
}

enum { NO_EXTENT = INT64_MAX }; // of a loop that no operand has told yet

// The first result dimension that is just a loop tells its extent.
static bool find_extents(lowering *l, size_code *extents, const tensor *x, MlirAffineMap map)
{
    if (mlirAffineMapGetNumResults(map) != x->rank) return false;
    for (int d = 0; d < x->rank; d++) {
        MlirAffineExpr e = mlirAffineMapGetResult(map, d);
        if (!mlirAffineExprIsADim(e)) continue;
        size_code *extent = &extents[mlirAffineDimExprGetPosition(e)];
        if (*extent == NO_EXTENT) *extent = x->dims[d];
        if (*extent != x->dims[d] && !lowering_equate(l, *extent, x->dims[d])) return false;
    }
    return true;
}

// The leading loops up to the last one of an open size; they become one loop, if every operand in memory has all of
// them first and in this order, or none. -1: some operand has them otherwise.
static int find_lead(const size_code *extents, int n_loops, const tensor *operands, const MlirAffineMap *maps, int n)
{
    int lead = 0;
    for (int k = 0; k < n_loops; k++)
        if (extents[k] < 0) lead = k + 1;
    for (int i = 0; i < n && lead; i++) {
        const tensor *x = &operands[i];
        int in_order = 0;
        bool others = false;
        for (int d = 0; d < x->rank; d++) {
            MlirAffineExpr e = mlirAffineMapGetResult(maps[i], d);
            bool own = mlirAffineExprIsADim(e) && mlirAffineDimExprGetPosition(e) == d && d < lead;
            in_order += own;
            for (int k = 0; k < lead && !own; k++) others = others || mlirAffineExprIsFunctionOfDim(e, k);
        }
        if (others || (in_order && in_order != lead) || (tensor_lead(x) && !in_order)) return -1;
    }
    return lead;
}

static void join_lead_access(access *a, int lead, int n_loops)
{
    for (int k = 0; k + lead - 1 < n_loops; k++) a->coef[k] = a->coef[k + lead - 1];
    for (int k = n_loops - lead + 1; k < n_loops; k++) a->coef[k] = 0;
}

// Makes the leading loops one open loop, of one step as the nest sees it.
static void join_lead(nest *n, int lead)
{
    access *lists[] = {n->in, n->out, n->init};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < (k == 0 ? n->n_in : n->n_out); i++) join_lead_access(&lists[k][i], lead, n->n_loops);
    n->n_loops -= lead - 1;
    for (int k = 1; k < n->n_loops; k++) {
        n->extent[k] = n->extent[k + lead - 1];
        n->reduction[k] = n->reduction[k + lead - 1];
    }
    n->extent[0] = 1;
    n->reduction[0] = false;
    n->open = 1;
}

static bool uses_index(MlirBlock body)
{
    for (MlirOperation op = mlirBlockGetFirstOperation(body); op.ptr; op = mlirOperationGetNextInBlock(op))
        if (op_is(op, "linalg.index") || op_is(op, "tensor.extract")) return true;
    return false;
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

// The open sizes of tensor.empty and tensor.splat are operands; those of linalg.fill and of a generic that fills, the
// sizes of what they fill.
static wf_status read_open_sizes(lowering *l, MlirValue y, size_code open[MAX_RANK])
{
    MlirType t = mlirValueGetType(y);
    tensor filled;
    if (mlirShapedTypeHasStaticShape(t)) return WF_OK;
    if (op_name_starts_with(l->op, "linalg.")) {
        TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, 1), &filled));
        memcpy(open, filled.dims, sizeof filled.dims);
        return WF_OK;
    }
    intptr_t operand = op_is(l->op, "tensor.splat") ? 1 : 0;
    for (int d = 0; d < rank_of(y) && d < MAX_RANK; d++)
        if (mlirShapedTypeIsDynamicDim(t, d) &&
            !lowering_read_size(l, mlirOperationGetOperand(l->op, operand++), &open[d]))
            return lowering_refuse(l, "has a size that is computed");
    return WF_OK;
}

wf_status lower_splat(lowering *l, MlirValue scalar)
{
    MlirValue y = mlirOperationGetResult(l->op, 0);
    tensor x;
    size_code open[MAX_RANK] = {0};
    TRY(read_open_sizes(l, y, open));
    TRY(lowering_read_type(l, mlirValueGetType(y), open, &x));
    x.place = scalar.ptr ? PLACE_SPLAT : PLACE_EMPTY;
    x.scalar = scalar;
    return lowering_add_tensor(l, y, &x);
}

// The operand in whose place result o may be written element by element: donated memory that becomes this result's, which
// each element is read from where it is written. -1: there is none.
static intptr_t find_in_place(lowering *l, const nest *n, const tensor *operands, const MlirAffineMap *map, intptr_t o)
{
    MlirValue y = mlirOperationGetResult(l->op, o);
    MlirAffineMap to = map[n->n_in + o];
    if (!mlirAffineMapIsIdentity(to) || uses_index(n->body)) return -1;
    for (intptr_t i = 0; i < n->n_in + n->n_out; i++) {
        const tensor *x = &operands[i];
        bool returned = false;
        for (uint32_t r = 0; r < l->n_results && x->place == PLACE_MEMORY; r++)
            returned = returned || (l->donors[r].root == x->root &&
                                    mlirValueEqual(mlirOperationGetOperand(mlirBlockGetTerminator(l->entry), r), y));
        if (returned && mlirAffineMapEqual(map[i], to) &&
            mlirTypeEqual(mlirValueGetType(mlirOperationGetOperand(l->op, i)), mlirValueGetType(y)) &&
            lowering_take_over(l, i, x))
            return i;
    }
    return -1;
}

wf_status lower_generic(lowering *l)
{
    MlirOperation op = l->op;
    intptr_t n_operands = mlirOperationGetNumOperands(op), n_out = mlirOperationGetNumResults(op);
    MlirAttribute maps = op_attribute(op, "indexing_maps");
    MlirBlock body;
    if (!maps.ptr || n_operands > 32 || n_operands < 1 || n_out > 8 || mlirOperationGetNumRegions(op) != 1)
        return lowering_refuse(l, "cannot be compiled");
    body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    if (is_fill(op, body)) return lower_splat(l, mlirOperationGetOperand(op, 0));
    TRY(prepare_body(l, body));

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
            TRY(lowering_read_tensor(l, v, &operands[i]));
    }
    n.n_loops = (int)mlirAffineMapGetNumDims(map[0]);
    if (n.n_loops > NEST_MAX_LOOPS) return lowering_refuse(l, "has too many loops");
    size_code extents[NEST_MAX_LOOPS], rows = 1;
    for (int k = 0; k < n.n_loops; k++) extents[k] = NO_EXTENT;
    for (intptr_t i = 0; i < n_operands; i++)
        if (!is_scalar_value(mlirOperationGetOperand(op, i)) && !find_extents(l, extents, &operands[i], map[i]))
            return lowering_refuse(l, "has operands whose sizes disagree");
    int lead = find_lead(extents, n.n_loops, operands, map, (int)n_operands);
    if (lead && (lead < 0 || uses_index(body) || !lowering_multiply(l, extents, lead, &rows)))
        return lowering_refuse(l, "needs its sizes");
    access used = {0};
    for (intptr_t o = 0; o < n_out; o++) {
        size_code open[MAX_RANK] = {0};
        for (intptr_t d = 0; d < mlirAffineMapGetNumResults(map[n.n_in + o]) && d < MAX_RANK; d++) {
            MlirAffineExpr e = mlirAffineMapGetResult(map[n.n_in + o], d);
            if (mlirAffineExprIsADim(e)) open[d] = extents[mlirAffineDimExprGetPosition(e)];
        }
        MlirType type_of_result = mlirValueGetType(mlirOperationGetResult(op, o));
        intptr_t same = find_in_place(l, &n, operands, map, o);
        if (same >= 0)
            results[o] = operands[same];
        else
            TRY(lowering_new_tensor(l, type_of_result, open, &results[o]));
        for (int d = 0; d < results[o].rank; d++)
            if (!access_add_linear(mlirAffineMapGetResult(map[n.n_in + o], d), 1, &used))
                return lowering_refuse(l, "has an index that is not linear");
    }
    for (int k = 0; k < n.n_loops; k++) {
        n.reduction[k] = used.coef[k] == 0 && n_out > 0; // without results: only checks
        if (extents[k] == NO_EXTENT) return lowering_refuse(l, "has a loop whose size no operand tells");
        if (n.reduction[k] && k < lead) return lowering_refuse(l, "needs its sizes");
        n.extent[k] = k < lead ? 1 : extents[k];
    }
    size_t index = l->n_calls;
    call *c = add_nest_call(l);
    if (!c) return error_memory(l->err, sizeof *c);
    for (int i = 0; i < n.n_in; i++) TRY(make_access(l, c, &n, lead, &operands[i], map[i], false, &in[i]));
    for (int o = 0; o < n.n_out; o++) {
        init[o] = (access){.kind = ACCESS_NONE};
        if (!has_no_use(mlirBlockGetArgument(body, n.n_in + o)))
            TRY(make_access(l, c, &n, lead, &operands[n.n_in + o], map[n.n_in + o], false, &init[o]));
        TRY(make_access(l, c, &n, lead, &results[o], map[n.n_in + o], true, &out[o]));
        TRY(lowering_add_tensor(l, mlirOperationGetResult(op, o), &results[o]));
    }
    gather gathers[MAX_GATHERS];
    gather_list g = {.l = l, .c = c, .items = gathers, .max = MAX_GATHERS};
    for (MlirOperation o = mlirBlockGetFirstOperation(body); o.ptr; o = mlirOperationGetNextInBlock(o))
        lowering_find_gathers(&g, o);
    for (int i = 0; i < n_operands && g.status == WF_OK; i++)
        if (operands[i].place == PLACE_SPLAT && operands[i].scalar.ptr)
            lowering_find_gathers(&g, defining_op(operands[i].scalar));
    TRY(g.status);
    n.in = in, n.out = out, n.init = init, n.gathers = g.items, n.n_gathers = g.n;
    if (lead) join_lead(&n, lead);
    return finish_nest(l, index, &n, rows);
}

// Copies `from` (memory or splat) into `to`, of the same shape.
wf_status lowering_copy(lowering *l, const tensor *from, const tensor *to)
{
    if (!tensor_is_fixed(to)) return lowering_refuse(l, "needs its sizes");
    if (from->place == PLACE_SPLAT && from->scalar.ptr) TRY(lowering_prepare_gathers(l, defining_op(from->scalar), 0));
    nest n = {.n_in = 1, .n_out = 1, .n_loops = to->rank};
    access in = {0}, out = {0}, init = {.kind = ACCESS_NONE};
    size_t index = l->n_calls;
    call *c = add_nest_call(l);
    if (!c) return error_memory(l->err, sizeof *c);
    memcpy(n.extent, to->dims, sizeof n.extent);
    MlirAffineMap map = mlirAffineMapMultiDimIdentityGet(l->b->ctx, to->rank);
    TRY(make_access(l, c, &n, 0, from, map, false, &in));
    TRY(make_access(l, c, &n, 0, to, map, true, &out));
    gather gathers[MAX_GATHERS];
    gather_list g = {.l = l, .c = c, .items = gathers, .max = MAX_GATHERS};
    if (from->scalar.ptr) lowering_find_gathers(&g, defining_op(from->scalar));
    TRY(g.status);
    n.in = &in, n.out = &out, n.init = &init, n.gathers = g.items, n.n_gathers = g.n;
    return finish_nest(l, index, &n, 1);
}

// The same values, contiguous in memory.
wf_status lowering_to_memory(lowering *l, tensor *x)
{
    if (x->place == PLACE_MEMORY && tensor_is_contiguous(x)) return WF_OK;
    tensor copy;
    TRY(lowering_new_tensor(l, tensor_of(0, NULL, x->element), NULL, &copy));
    copy.rank = x->rank;
    int64_t stride = 1;
    for (int d = x->rank; d-- > 0;) {
        copy.dims[d] = x->dims[d];
        copy.strides[d] = stride;
        stride *= x->dims[d];
    }
    TRY(tensor_bytes(l, &copy, &l->roots[copy.root].bytes));
    if (x->place != PLACE_EMPTY) TRY(lowering_copy(l, x, &copy));
    *x = copy;
    return WF_OK;
}
