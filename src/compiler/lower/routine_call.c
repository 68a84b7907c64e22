// Loops and branches over tensors: every tensor gets its place, then one kernel (nest/routine.h).
//
// A place is "owned" where only the routine knows it: what goes into a loop, or is written into, goes on in the same
// place if nobody looks at the older value later; else a cast is put in front, which is a copy.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/lower/lowering.h"
#include "compiler/mlir/build.h"
#include "compiler/nest/routine.h"

typedef struct placed {
    MlirValue v;
    tensor where; // root WORKSPACE: `offset` bytes into it
    bool owned;
} placed;

enum { WORKSPACE = -2, MAX_SCALARS = 16 };

typedef struct placing {
    lowering *l;
    MlirOperation op;
    placed *items;
    size_t n, max;
    int64_t workspace_bytes;
    int workspace;      // its root
    bool keeps_nothing; // iterations of op use no place of the workspace
    wf_status status;
} placing;

static bool is_tensor(MlirValue v) { return !is_scalar_value(v); }

// ---- places

static void add_placed(placing *p, MlirValue v, const tensor *where, bool owned)
{
    if (p->status == WF_OK && !lowering_grow((void **)&p->items, &p->max, p->n, sizeof *p->items))
        p->status = error_memory(p->l->err, p->n * sizeof *p->items);
    if (p->status == WF_OK) p->items[p->n++] = (placed){v, *where, owned};
}

static placed *find_placed(placing *p, MlirValue v)
{
    for (size_t i = p->n; i-- > 0;)
        if (mlirValueEqual(p->items[i].v, v)) return &p->items[i];
    return NULL;
}

static bool has_same_place(const placed *x, const placed *y)
{
    return x->where.root == y->where.root && x->where.offset == y->where.offset;
}

// A place of its own.
static void place_new(placing *p, MlirValue v)
{
    tensor x;
    affine bytes;
    if (p->status == WF_OK) p->status = lowering_read_type(p->l, mlirValueGetType(v), NULL, &x);
    if (p->status == WF_OK) p->status = tensor_bytes(p->l, &x, &bytes);
    if (p->status != WF_OK) return;
    x.place = PLACE_MEMORY;
    x.root = WORKSPACE;
    x.offset = p->workspace_bytes;
    p->workspace_bytes += (tensor_count(&x) * (int64_t)tensor_element_bytes(&x) + 63) / 64 * 64;
    if (p->workspace_bytes > INT64_C(1) << 40) p->status = lowering_refuse(p->l, "is too large");
    add_placed(p, v, &x, true);
}

// The place of an older value.
static void place_as(placing *p, MlirValue v, MlirValue older)
{
    placed *from = find_placed(p, older);
    tensor x;
    if (p->status != WF_OK) return;
    if (!from) {
        p->status = lowering_refuse(p->l, "uses a tensor that is not known here");
        return;
    }
    p->status = lowering_read_type(p->l, mlirValueGetType(v), NULL, &x);
    x.place = PLACE_MEMORY;
    x.root = from->where.root;
    x.offset = from->where.offset;
    add_placed(p, v, &x, true);
}

// ---- who looks at what

static MlirOperation ancestor_in(MlirOperation op, MlirBlock block)
{
    while (op.ptr && !mlirBlockEqual(mlirOperationGetBlock(op), block)) op = mlirOperationGetParentOperation(op);
    return op;
}

static bool is_before(MlirOperation a, MlirOperation b) // in one block
{
    for (a = mlirOperationGetNextInBlock(a); a.ptr; a = mlirOperationGetNextInBlock(a))
        if (mlirOperationEqual(a, b)) return true;
    return false;
}

// Whether `user` may run after `op`.
static bool is_later(MlirOperation user, MlirOperation op)
{
    for (MlirOperation at = op; at.ptr; at = mlirOperationGetParentOperation(at)) {
        MlirOperation other = ancestor_in(user, mlirOperationGetBlock(at));
        if (!other.ptr) continue;
        // the two ways of a branch exclude each other; in a loop what is carried comes back as another value
        if (mlirOperationEqual(other, at)) return !op_is(at, "scf.if");
        return !is_before(other, at);
    }
    return true;
}

// Whether `op` runs once for each time that v is made: no loop lies between them.
static bool is_made_as_often(MlirValue v, MlirOperation op)
{
    MlirOperation maker = defining_op(v);
    MlirBlock block = maker.ptr ? mlirOperationGetBlock(maker) : mlirBlockArgumentGetOwner(v);
    for (MlirOperation at = op; at.ptr; at = mlirOperationGetParentOperation(at)) {
        if (mlirBlockEqual(mlirOperationGetBlock(at), block)) return true;
        if (!op_is(mlirOperationGetParentOperation(at), "scf.if")) return false;
    }
    return false;
}

// Whether op may write where operand i lies.
static bool may_take(placing *p, MlirOperation op, intptr_t i)
{
    MlirValue v = mlirOperationGetOperand(op, i);
    placed *x = find_placed(p, v);
    if (!x || !x->owned || !is_made_as_often(v, op)) return false;
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use);
        if (mlirOperationEqual(user, op) ? mlirOpOperandGetOperandNumber(use) != i : is_later(user, op)) return false;
    }
    return true;
}

// Copies operand i in front of op.
static void copy_operand(placing *p, MlirOperation op, intptr_t i)
{
    MlirValue v = mlirOperationGetOperand(op, i);
    op_builder b = op_builder_before(op);
    MlirValue copy = build_value(&b, "tensor.cast", mlirValueGetType(v), 1, &v, 0, NULL);
    mlirOperationSetOperand(op, i, copy);
    place_new(p, copy);
}

// `to` goes on where operand i of op lies.
static void take_operand(placing *p, MlirOperation op, intptr_t i, MlirValue to)
{
    if (!may_take(p, op, i)) copy_operand(p, op, i);
    place_as(p, to, mlirOperationGetOperand(op, i));
}

// ---- op by op

static void place_block(placing *p, MlirBlock block);

static MlirBlock block_of(MlirOperation op, intptr_t region)
{
    MlirRegion r = mlirOperationGetRegion(op, region);
    return mlirRegionIsNull(r) ? (MlirBlock){0} : mlirRegionGetFirstBlock(r);
}

// What a block gives back to the places `to` that it began with: a value that lies in the place of another one is moved
// out of the way first.
static void settle_yield(placing *p, MlirOperation end, intptr_t first, const MlirValue *to, intptr_t n)
{
    for (intptr_t i = 0; i < n && p->status == WF_OK; i++) {
        MlirValue v = mlirOperationGetOperand(end, first + i);
        if (is_scalar_value(v)) continue;
        placed *x = find_placed(p, v);
        bool crosses = false;
        for (intptr_t k = 0; x && k < n; k++) {
            placed *y = is_tensor(to[k]) ? find_placed(p, to[k]) : NULL;
            crosses = crosses || (k != i && y && has_same_place(x, y));
        }
        if (crosses) copy_operand(p, end, first + i);
    }
}

static intptr_t list_arguments(placing *p, MlirBlock block, intptr_t first, MlirValue list[64])
{
    intptr_t n = mlirBlockGetNumArguments(block) - first;
    if (n > 64) p->status = lowering_refuse(p->l, "carries too many values");
    for (intptr_t i = 0; i < n && i < 64; i++) list[i] = mlirBlockGetArgument(block, first + i);
    return n < 64 ? n : 64;
}

// The initial values are in place.
static void place_for_body(placing *p, MlirOperation op)
{
    MlirBlock block = block_of(op, 0);
    MlirValue inside[64];
    intptr_t n = list_arguments(p, block, 1, inside);
    for (intptr_t i = 0; i < n && p->status == WF_OK; i++) {
        if (is_scalar_value(inside[i])) continue;
        place_as(p, inside[i], mlirOperationGetResult(op, i));
    }
    place_block(p, block);
    settle_yield(p, mlirBlockGetTerminator(block), 0, inside, n);
}

static void place_while_body(placing *p, MlirOperation op, const MlirValue *carried)
{
    MlirBlock test = block_of(op, 0), block = block_of(op, 1);
    MlirValue tested[64], inside[64];
    intptr_t n = list_arguments(p, test, 0, tested), m = list_arguments(p, block, 0, inside);
    for (intptr_t i = 0; i < n && p->status == WF_OK; i++)
        if (is_tensor(tested[i])) place_as(p, tested[i], carried[i]);
    place_block(p, test);
    MlirOperation condition = mlirBlockGetTerminator(test);
    for (intptr_t i = 0; i < m && p->status == WF_OK; i++) {
        if (is_scalar_value(inside[i])) continue;
        take_operand(p, condition, i + 1, inside[i]);
        place_as(p, mlirOperationGetResult(op, i), inside[i]);
    }
    if (p->status == WF_OK) place_block(p, block);
    settle_yield(p, mlirBlockGetTerminator(block), 0, tested, n);
}

static bool is_within(MlirValue v, MlirOperation op)
{
    MlirOperation at = defining_op(v);
    if (!at.ptr) at = mlirBlockGetParentOperation(mlirBlockArgumentGetOwner(v));
    while (at.ptr && !mlirOperationEqual(at, op)) at = mlirOperationGetParentOperation(at);
    return at.ptr != NULL;
}

// Whether nobody looks at v behind the branch `op`, or it is made in there.
static bool ends_in(MlirValue v, MlirOperation op)
{
    if (is_within(v, op)) return true;
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation other = ancestor_in(mlirOpOperandGetOwner(use), mlirOperationGetBlock(op));
        if (!other.ptr || (!mlirOperationEqual(other, op) && !is_before(other, op))) return false;
    }
    return is_made_as_often(v, op);
}

// The result lies where both ways leave it, else in a place of its own.
static void place_if(placing *p, MlirOperation op)
{
    for (int way = 0; way < 2; way++) {
        MlirBlock block = block_of(op, way);
        if (block.ptr) place_block(p, block);
    }
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op) && p->status == WF_OK; i++) {
        MlirValue y = mlirOperationGetResult(op, i), from[2];
        if (is_scalar_value(y)) continue;
        bool same = true;
        placed *x[2];
        for (int way = 0; way < 2; way++) {
            from[way] = mlirOperationGetOperand(mlirBlockGetTerminator(block_of(op, way)), i);
            x[way] = find_placed(p, from[way]);
            same = same && x[way] && x[way]->owned && ends_in(from[way], op);
        }
        if (same && has_same_place(x[0], x[1]))
            place_as(p, y, from[0]);
        else
            place_new(p, y);
    }
}

static bool reads_destination(MlirOperation op, intptr_t o)
{
    MlirBlock block = block_of(op, 0);
    intptr_t n = mlirBlockGetNumArguments(block) - mlirOperationGetNumResults(op) + o;
    return n < 0 || !has_no_use(mlirBlockGetArgument(block, n));
}

static void place_op(placing *p, MlirOperation op)
{
    intptr_t n_results = mlirOperationGetNumResults(op), n = mlirOperationGetNumOperands(op);
    if (op_is(op, "scf.for")) {
        for (intptr_t i = 0; i < n_results && p->status == WF_OK; i++)
            if (is_tensor(mlirOperationGetResult(op, i))) take_operand(p, op, i + 3, mlirOperationGetResult(op, i));
        if (p->status == WF_OK) place_for_body(p, op);
    } else if (op_is(op, "scf.while")) {
        MlirValue carried[64] = {0};
        for (intptr_t i = 0; i < n && i < 64 && p->status == WF_OK; i++) {
            if (is_tensor(mlirOperationGetOperand(op, i)) && !may_take(p, op, i)) copy_operand(p, op, i);
            carried[i] = mlirOperationGetOperand(op, i);
        }
        if (p->status == WF_OK) place_while_body(p, op, carried);
    } else if (op_is(op, "scf.if")) {
        place_if(p, op);
    } else if (op_is(op, "tensor.insert") || op_is(op, "tensor.insert_slice")) {
        take_operand(p, op, 1, mlirOperationGetResult(op, 0));
    } else if (op_is(op, "linalg.generic")) {
        for (intptr_t o = 0; o < n_results && p->status == WF_OK; o++) {
            intptr_t i = n - n_results + o;
            if (may_take(p, op, i) || reads_destination(op, o))
                take_operand(p, op, i, mlirOperationGetResult(op, o));
            else
                place_new(p, mlirOperationGetResult(op, o));
        }
    } else {
        for (intptr_t i = 0; i < n_results && p->status == WF_OK; i++)
            if (is_tensor(mlirOperationGetResult(op, i))) place_new(p, mlirOperationGetResult(op, i));
    }
}

// Brings what comes from outside into memory.
static void place_outer(placing *p, MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op) && p->status == WF_OK; i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirOperation from = defining_op(v);
        MlirBlock block = from.ptr ? mlirOperationGetBlock(from) : mlirBlockArgumentGetOwner(v);
        if (is_tensor(v) && !find_placed(p, v)) {
            tensor x;
            if (!mlirBlockEqual(block, p->l->entry) && !constant_attribute_of(from).ptr) continue;
            p->status = lowering_read_tensor(p->l, v, &x);
            if (p->status == WF_OK && !tensor_is_fixed(&x)) p->status = lowering_refuse(p->l, "needs its sizes");
            if (p->status == WF_OK) p->status = lowering_to_memory(p->l, &x);
            if (p->status == WF_OK) add_placed(p, v, &x, false);
        } else if (is_scalar_value(v) && from.ptr && mlirBlockEqual(block, p->l->entry)) {
            p->status = lowering_prepare_gathers(p->l, from, 0);
        }
    }
}

static void visit_outer(MlirOperation op, void *context) { place_outer(context, op); }

static void place_block(placing *p, MlirBlock block)
{
    MlirOperation end = mlirBlockGetTerminator(block);
    for (MlirOperation op = mlirBlockGetFirstOperation(block); !mlirOperationEqual(op, end) && p->status == WF_OK;
         op = mlirOperationGetNextInBlock(op))
        if (!constant_attribute_of(op).ptr) place_op(p, op);
}

// ---- the op itself

// Whether the tensor's memory is nobody else's: made here, and looked at only by what follows.
static bool is_free(const lowering *l, MlirValue v, const tensor *x)
{
    static const char *const VIEWS[] = {"tensor.collapse_shape", "tensor.expand_shape", "tensor.reshape"};
    for (size_t i = 0; i < sizeof VIEWS / sizeof *VIEWS && has_one_use(v); i++)
        while (has_one_use(v) && op_is(defining_op(v), VIEWS[i])) v = mlirOperationGetOperand(defining_op(v), 0);
    MlirOperation from = defining_op(v);
    bool makes =
        op_is(from, "tensor.insert_slice") || op_is(from, "linalg.generic") || op_name_starts_with(from, "scf.");
    return makes && has_one_use(v) && x->place == PLACE_MEMORY && l->roots[x->root].area == FUNCTION_ARENA &&
           tensor_is_contiguous(x);
}

// What goes into the loop, in memory that it may write.
static wf_status place_initial(placing *p, intptr_t operand, MlirValue result)
{
    lowering *l = p->l;
    MlirValue v = mlirOperationGetOperand(p->op, operand);
    tensor x, y;
    TRY(lowering_read_tensor(l, v, &x));
    if (!tensor_is_fixed(&x)) return lowering_refuse(l, "needs its sizes");
    if (is_free(l, v, &x) || lowering_take_over(l, operand, &x)) {
        y = x;
    } else {
        TRY(lowering_new_tensor(l, mlirValueGetType(v), NULL, &y));
        if (x.place != PLACE_EMPTY) TRY(lowering_copy(l, &x, &y));
    }
    add_placed(p, result, &y, true);
    return p->status;
}

// A loop whose iterations may run at the same time says so; then they must write nothing but what they carry.
static int64_t count_tiles(placing *p)
{
    MlirAttribute mark = op_attribute(p->op, "wf.tiles");
    MlirBlock block = block_of(p->op, 0);
    int64_t bounds[3];
    if (!mark.ptr || !op_is(p->op, "scf.for") || !p->keeps_nothing) return 1;
    for (int i = 0; i < 3; i++) {
        MlirAttribute a = constant_attribute_of(defining_op(mlirOperationGetOperand(p->op, i)));
        if (!a.ptr || !mlirAttributeIsAInteger(a)) return 1;
        bounds[i] = mlirIntegerAttrGetValueInt(a);
    }
    MlirOperation end = mlirBlockGetTerminator(block);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(end); i++) {
        MlirValue v = mlirOperationGetOperand(end, i);
        placed *x = is_tensor(v) ? find_placed(p, v) : NULL,
               *y = x ? find_placed(p, mlirBlockGetArgument(block, i + 1)) : NULL;
        if (!x || !y || !has_same_place(x, y)) return 1;
    }
    if (bounds[2] < 1 || bounds[1] <= bounds[0]) return 1;
    return (bounds[1] - bounds[0] + bounds[2] - 1) / bounds[2];
}

static wf_status place_all(placing *p)
{
    MlirOperation op = p->op;
    intptr_t n = mlirOperationGetNumResults(op);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op) && p->status == WF_OK; i++)
        if (is_scalar_value(mlirOperationGetOperand(op, i)))
            p->status = lowering_prepare_gathers(p->l, defining_op(mlirOperationGetOperand(op, i)), 0);
    for_each_op(op, visit_outer, p);
    TRY(p->status);
    if (op_is(op, "scf.for")) {
        for (intptr_t i = 0; i < n; i++)
            if (is_tensor(mlirOperationGetResult(op, i))) TRY(place_initial(p, i + 3, mlirOperationGetResult(op, i)));
        place_for_body(p, op);
        p->keeps_nothing = p->workspace_bytes == 0;
    } else if (op_is(op, "scf.while")) {
        MlirValue carried[64];
        MlirBlock test = block_of(op, 0);
        intptr_t m = list_arguments(p, test, 0, carried);
        for (intptr_t i = 0; i < m && p->status == WF_OK; i++)
            if (is_tensor(carried[i])) TRY(place_initial(p, i, carried[i]));
        place_while_body(p, op, carried);
    } else {
        place_if(p, op);
    }
    return p->status;
}

// A scalar result that others use is read from memory: regions_box_scalars put it into a tensor of its own.
static MlirOperation find_box(MlirValue scalar)
{
    for (MlirOpOperand use = mlirValueGetFirstUse(scalar); !mlirOpOperandIsNull(use);
         use = mlirOpOperandGetNextUse(use))
        if (op_is(mlirOpOperandGetOwner(use), "tensor.from_elements")) return mlirOpOperandGetOwner(use);
    return (MlirOperation){0};
}

static wf_status add_gather(gather_list *g, const placed *x, int workspace)
{
    lowering *l = g->l;
    const tensor *t = &x->where;
    int64_t bytes = (int64_t)tensor_element_bytes(t);
    bool inner = t->root == WORKSPACE;
    int where = lowering_use_root(l, g->c, inner ? workspace : t->root, x->owned);
    if (where < 0) return lowering_refuse(l, "has too many operands");
    if (x->owned && !inner) g->c->operands[where].partly = true; // it is also read
    if (!tensor_count(t)) return lowering_refuse(l, "works on a tensor without elements");
    gather *item = &g->items[g->n++];
    *item = (gather){x->v, t->element, where, t->rank, inner ? t->offset / bytes : t->offset, {0}, {0}};
    memcpy(item->dims, t->dims, sizeof item->dims);
    memcpy(item->strides, t->strides, sizeof item->strides);
    return WF_OK;
}

static void find_inner_gathers(MlirOperation op, void *context) { lowering_find_gathers(context, op); }

// The newest call, with its operands, and its kernel.
static wf_status build(placing *p, gather_list *g)
{
    lowering *l = p->l;
    size_t index = l->n_calls;
    int scalars[MAX_SCALARS];
    gather boxes[MAX_SCALARS];
    routine r = {.op = p->op, .n_tiles = count_tiles(p), .scalars = scalars, .scalar_places = boxes};
    int workspace = -1;
    if (p->workspace_bytes) {
        workspace = lowering_add_root(l, BASE_ARENA, affine_of(DIM_ONE, 0), affine_of(DIM_ONE, p->workspace_bytes));
        if (workspace < 0) return error_memory(l->err, sizeof *l->roots);
    }
    p->workspace = workspace;
    tensor cells[MAX_SCALARS];
    MlirOperation found[MAX_SCALARS];
    for (intptr_t i = 0; i < mlirOperationGetNumResults(p->op); i++) {
        MlirValue y = mlirOperationGetResult(p->op, i);
        if (is_tensor(y) || has_no_use(y)) continue;
        MlirOperation box = find_box(y);
        if (!box.ptr || r.n_scalars == MAX_SCALARS) return lowering_refuse(l, "has a scalar result that is used");
        TRY(lowering_new_tensor(l, mlirValueGetType(mlirOperationGetResult(box, 0)), NULL, &cells[r.n_scalars]));
        TRY(lowering_add_tensor(l, mlirOperationGetResult(box, 0), &cells[r.n_scalars]));
        found[r.n_scalars] = box;
        scalars[r.n_scalars++] = (int)i;
    }
    call *c = lowering_add_call(l, 0, NULL);
    if (!c) return error_memory(l->err, sizeof *c);
    g->c = c;
    for (size_t i = 0; i < p->n; i++) TRY(add_gather(g, &p->items[i], workspace));
    for (int i = 0; i < r.n_scalars; i++) {
        placed box = {mlirOperationGetResult(found[i], 0), cells[i], true};
        TRY(add_gather(g, &box, workspace));
        boxes[i] = g->items[--g->n];
    }
    lowering_find_gathers(g, p->op);
    for_each_op(p->op, find_inner_gathers, g);
    r.places = (nest){.gathers = g->items, .n_gathers = g->n};
    r.places.math_buffer = lowering_use_root(l, c, l->math_root, false);
    r.places.fault_buffer = lowering_use_root(l, c, l->fault_root, true);
    if (r.places.math_buffer < 0 || r.places.fault_buffer < 0) return lowering_refuse(l, "has too many operands");
    r.places.add_check = lowering_add_check;
    r.places.check_context = l;
    TRY(g->status);
    wf_status built = WF_OK;
    const routine_kernel k = {&r, &built, l->err};
    uint32_t kernel = lowering_add_kernel(l, &ROUTINE_KERNEL, &k);
    if (kernel == UINT32_MAX) return error_memory(l->err, sizeof k);
    c = &l->calls[index];
    c->kernel = kernel;
    call_tiles(c, affine_of(DIM_ONE, r.n_tiles));
    c->grain = (r.n_tiles + 63) / 64;
    return built;
}

wf_status lower_routine(lowering *l)
{
    enum { MORE = 64 }; // tensors that scalars from outside read
    placing p = {.l = l, .op = l->op};
    wf_status status = place_all(&p);
    gather *items = calloc(p.n + MORE, sizeof *items);
    if (!items && status == WF_OK) status = error_memory(l->err, p.n * sizeof *items);
    gather_list g = {.l = l, .items = items, .max = (int)p.n + MORE};
    if (status == WF_OK) status = build(&p, &g);
    for (intptr_t i = 0; i < mlirOperationGetNumResults(l->op) && status == WF_OK; i++) {
        placed *y = find_placed(&p, mlirOperationGetResult(l->op, i));
        if (!y) continue; // a scalar
        if (y->where.root == WORKSPACE) {
            y->where.root = p.workspace;
            y->where.offset /= (int64_t)tensor_element_bytes(&y->where);
        }
        status = lowering_add_tensor(l, y->v, &y->where);
    }
    free(items);
    free(p.items);
    return status;
}
