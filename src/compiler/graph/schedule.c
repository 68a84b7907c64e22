// Values of the function, and where they lie:
//
//   memory   a root (a piece of the arena, a constant, an argument, a result) with offset and strides: reshapes, casts and
//            slices are other views of the same root and cost nothing
//   splat    one scalar everywhere: linalg.fill, splat constants; never written out unless an op needs it in memory
//   empty    tensor.empty: what a destination starts as
//
// Every structured op becomes a nest (nest.h) with a kernel of its own. A root lives from the first call that writes it to the
// last that reads it, both rounded to whole chains of calls, within which threads do not wait for each other.
#include "compiler/graph/schedule.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "compiler/codegen/context.h"
#include "compiler/dialect/wf.h"
#include "compiler/graph/constant.h"
#include "compiler/graph/nest.h"
#include "compiler/kernel/norm.h"

enum { MAX_RANK = NEST_MAX_LOOPS, MAX_OPERANDS = 48 };

typedef enum place { PLACE_MEMORY, PLACE_SPLAT, PLACE_EMPTY } place;

typedef struct tensor {
    place place;
    MlirType element;
    int rank;
    int64_t dims[MAX_RANK], strides[MAX_RANK]; // in elements
    int64_t offset;
    int root;               // memory
    MlirValue scalar;       // splat: this value, or
    MlirAttribute constant; // this element
} tensor;

typedef struct root {
    uint32_t base;
    size_t offset, bytes;
    int first, last; // calls; -1: none
    int64_t step;    // elements that a tile of the current chain writes; -1: written as a whole
} root;

typedef struct call {
    const char *kernel, *label;
    int n_buffers;
    int roots[MAX_OPERANDS]; // of each buffer; -1: math, -2: fault
    bool written[MAX_OPERANDS];
    int64_t n_tiles, grain;
    bool chained;
    int chain; // index of the first call of its chain
} call;

typedef struct schedule {
    builder *b;
    graph_program *out;
    wf_error *err;
    bool chain;
    // values
    MlirValue *keys;
    tensor *tensors;
    size_t n_tensors, max_tensors;
    root *roots;
    size_t n_roots, max_roots;
    call *calls;
    size_t n_calls, max_calls;
    MlirAttribute *constants; // that are in the blob, with their roots
    int *constant_roots;
    size_t n_constants, max_constants;
    const char **checks;
    size_t n_checks, max_checks;
    buffer blob;
    MlirOperation op; // being scheduled
    MlirBlock entry;
} schedule;

// ---- tables

static bool grow(void **items, size_t *max, size_t n, size_t size)
{
    if (n < *max) return true;
    size_t capacity = *max ? *max * 2 : 64;
    void *more = realloc(*items, capacity * size);
    if (!more) return false;
    *items = more;
    *max = capacity;
    return true;
}

#define GROW(s, list, count) grow((void **)&(s)->list, &(s)->max_##count, (s)->n_##count, sizeof *(s)->list)

static wf_status refuse_op(schedule *s, MlirOperation op, const char *reason)
{
    buffer where = {0};
    print_location(mlirOperationGetLocation(op), &where);
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    error_set(s->err, WF_ERROR_UNSUPPORTED, "%s: %.*s %s", buffer_view(&where).data, (int)name.length, name.data, reason);
    buffer_free(&where);
    return WF_ERROR_UNSUPPORTED;
}

static wf_status refuse(schedule *s, const char *reason) { return refuse_op(s, s->op, reason); }

static wf_status add_tensor(schedule *s, MlirValue v, const tensor *t)
{
    if (s->n_tensors == s->max_tensors) {
        size_t more = s->max_tensors;
        if (!grow((void **)&s->keys, &more, s->n_tensors, sizeof *s->keys)) return error_memory(s->err, more);
        if (!GROW(s, tensors, tensors)) return error_memory(s->err, more);
    }
    s->keys[s->n_tensors] = v;
    s->tensors[s->n_tensors++] = *t;
    return WF_OK;
}

static wf_status add_root(schedule *s, uint32_t base, size_t offset, size_t bytes, int *index)
{
    if (!GROW(s, roots, roots)) return error_memory(s->err, bytes);
    *index = (int)s->n_roots;
    s->roots[s->n_roots++] = (root){base, offset, bytes, -1, -1, -1};
    return WF_OK;
}

// The shape of a tensor type, with the strides of a contiguous array.
static wf_status read_type(schedule *s, MlirType t, tensor *x)
{
    graph_type known;
    *x = (tensor){.root = -1};
    if (!mlirTypeIsATensor(t) || !mlirShapedTypeHasRank(t) || !mlirShapedTypeHasStaticShape(t))
        return refuse(s, "has a shape that the arguments do not fix");
    x->element = mlirShapedTypeGetElementType(t);
    x->rank = (int)mlirShapedTypeGetRank(t);
    if (x->rank > MAX_RANK) return refuse(s, "has too many dimensions");
    if (!constant_type(x->element, &known)) return refuse(s, "has elements of a type that is not supported");
    int64_t stride = 1;
    for (int d = x->rank; d-- > 0;) {
        x->dims[d] = mlirShapedTypeGetDimSize(t, d);
        x->strides[d] = stride;
        if (__builtin_mul_overflow(stride, x->dims[d] > 0 ? x->dims[d] : 1, &stride) || stride > INT64_C(1) << 40)
            return refuse(s, "is too large");
    }
    return WF_OK;
}

static int64_t count_of(const tensor *x)
{
    int64_t n = 1;
    for (int d = 0; d < x->rank; d++) n *= x->dims[d];
    return n;
}

static size_t element_bytes(const tensor *x)
{
    graph_type known = GRAPH_F32;
    constant_type(x->element, &known);
    return graph_type_bytes(known);
}

// A new array in the arena.
static wf_status new_tensor(schedule *s, MlirType t, tensor *x)
{
    TRY(read_type(s, t, x));
    x->place = PLACE_MEMORY;
    return add_root(s, GRAPH_ARENA, 0, (size_t)count_of(x) * element_bytes(x), &x->root);
}

static bool is_contiguous(const tensor *x)
{
    int64_t stride = 1;
    for (int d = x->rank; d-- > 0;) {
        if (x->dims[d] != 1 && x->strides[d] != stride) return false;
        stride *= x->dims[d];
    }
    return true;
}

// ---- constants

static wf_status add_constant(schedule *s, MlirAttribute a, tensor *x)
{
    TRY(read_type(s, mlirAttributeGetType(a), x));
    x->constant = constant_splat(a);
    if (x->constant.ptr) {
        x->place = PLACE_SPLAT;
        return WF_OK;
    }
    x->place = PLACE_MEMORY;
    for (size_t i = 0; i < s->n_constants; i++) {
        if (!mlirAttributeEqual(s->constants[i], a)) continue;
        x->root = s->constant_roots[i];
        return WF_OK;
    }
    while (s->blob.len % 64) buffer_append_char(&s->blob, 0);
    size_t offset = s->blob.len;
    wf_error inner = {0};
    wf_status status = constant_append(a, &s->blob, &inner);
    if (status != WF_OK) {
        refuse(s, inner.message);
        return status;
    }
    TRY(add_root(s, GRAPH_CONSTANTS, offset, s->blob.len - offset, &x->root));
    if (s->n_constants == s->max_constants) {
        size_t more = s->max_constants;
        if (!grow((void **)&s->constant_roots, &more, s->n_constants, sizeof *s->constant_roots) ||
            !GROW(s, constants, constants))
            return error_memory(s->err, more);
    }
    s->constants[s->n_constants] = a;
    s->constant_roots[s->n_constants++] = x->root;
    return WF_OK;
}

// ---- values

static MlirAttribute constant_attribute(MlirOperation op)
{
    if (op_is(op, "arith.constant")) return op_attribute(op, "value");
    if (op_is(op, "tosa.const")) return op_attribute(op, "values");
    return (MlirAttribute){0};
}

static wf_status read_tensor(schedule *s, MlirValue v, tensor *x)
{
    for (size_t i = s->n_tensors; i-- > 0;) {
        if (!mlirValueEqual(s->keys[i], v)) continue;
        *x = s->tensors[i];
        return WF_OK;
    }
    MlirAttribute a = constant_attribute(defining_op(v));
    if (!a.ptr) return refuse(s, "uses a value that is not known here");
    TRY(add_constant(s, a, x));
    return add_tensor(s, v, x);
}

// ---- calls

static call *add_call(schedule *s)
{
    if (!GROW(s, calls, calls)) return NULL;
    call *c = &s->calls[s->n_calls++];
    *c = (call){.n_tiles = 1, .grain = 1};
    return c;
}

static int use_root(schedule *s, call *c, int index, bool written)
{
    for (int i = 0; i < c->n_buffers; i++)
        if (c->roots[i] == index && c->written[i] == written) return i;
    if (c->n_buffers == MAX_OPERANDS) return -1;
    c->roots[c->n_buffers] = index;
    c->written[c->n_buffers] = written;
    int at = (int)(c - s->calls);
    if (index >= 0) {
        if (s->roots[index].first < 0) s->roots[index].first = at;
        s->roots[index].last = at;
    }
    return c->n_buffers++;
}

static const char *make_label(schedule *s)
{
    buffer text = {0};
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(s->op));
    buffer_printf(&text, "%.*s ", (int)name.length, name.data);
    print_location(mlirOperationGetLocation(s->op), &text);
    const char *label = arena_strdup(&s->out->memory, buffer_view(&text));
    buffer_free(&text);
    return label;
}

static int add_check(void *context, const char *message, MlirLocation where)
{
    schedule *s = context;
    if (!GROW(s, checks, checks)) return -1;
    buffer text = {0};
    print_location(where, &text);
    buffer_printf(&text, ": %s", message);
    const char *copy = arena_strdup(&s->out->memory, buffer_view(&text));
    buffer_free(&text);
    if (!copy) return -1;
    for (size_t i = 0; i < s->n_checks; i++)
        if (!strcmp(s->checks[i], copy)) return (int)i;
    s->checks[s->n_checks] = copy;
    return (int)s->n_checks++;
}

// ---- nests

static wf_status to_memory(schedule *s, tensor *x);

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
        if (!add_linear(e, x->strides[d], a)) return refuse(s, "has an index that is not linear");
        if (!stays_inside(n, e, x->dims[d])) return refuse(s, "reaches beyond an operand");
    }
    a->buffer = use_root(s, c, x->root, written);
    return a->buffer < 0 ? refuse(s, "has too many operands") : WF_OK;
}

static bool is_scalar(MlirValue v) { return !mlirTypeIsAShaped(mlirValueGetType(v)); }

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
        if (!known && g->n == 16) g->status = refuse_op(g->s, op, "reads too many tensors");
        if (!known && g->status == WF_OK) g->status = read_tensor(g->s, source, &x);
        if (!known && g->status == WF_OK) {
            gather *item = &g->items[g->n++];
            *item = (gather){source, x.element, use_root(g->s, g->c, x.root, false), x.rank, x.offset, {0}, {0}};
            memcpy(item->dims, x.dims, sizeof item->dims);
            memcpy(item->strides, x.strides, sizeof item->strides);
            if (item->buffer < 0) g->status = refuse_op(g->s, op, "has too many operands");
            for (int d = 0; d < x.rank; d++)
                if (!x.dims[d]) g->status = refuse_op(g->s, op, "reads a tensor without elements");
        }
    }
    g->depth++;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirOperation source = defining_op(v);
        if (is_scalar(v) && source.ptr && !mlirBlockEqual(mlirOperationGetBlock(source), mlirOperationGetBlock(op)))
            find_gathers(g, source);
        else if (is_scalar(v) && source.ptr && mlirBlockEqual(mlirOperationGetBlock(source), g->s->entry))
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
        TRY(read_tensor(s, source, &x));
        if (x.place != PLACE_MEMORY) {
            TRY(to_memory(s, &x));
            TRY(add_tensor(s, source, &x)); // found before the older one
        }
    }
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        MlirOperation source = is_scalar(v) ? defining_op(v) : (MlirOperation){0};
        if (source.ptr && mlirBlockEqual(mlirOperationGetBlock(source), s->entry)) TRY(prepare_gathers(s, source, depth + 1));
    }
    return WF_OK;
}

static wf_status prepare_body(schedule *s, MlirBlock body)
{
    for (MlirOperation op = mlirBlockGetFirstOperation(body); op.ptr; op = mlirOperationGetNextInBlock(op))
        TRY(prepare_gathers(s, op, 0));
    return WF_OK;
}

// Plans the nest, builds its kernel and fills in the call.
static wf_status finish_nest(schedule *s, size_t index, nest *n)
{
    call *c = &s->calls[index];
    n->math_buffer = use_root(s, c, -1, false);
    n->fault_buffer = use_root(s, c, -2, true);
    if (n->math_buffer < 0 || n->fault_buffer < 0) return refuse(s, "has too many operands");
    n->add_check = add_check;
    n->check_context = s;
    nest_shape shape;
    nest_plan(n, &s->b->target, &shape);
    char name[64];
    snprintf(name, sizeof name, "nest_%zu", index);
    c->kernel = arena_strdup(&s->out->memory, view_of(name));
    c->label = make_label(s);
    c->n_tiles = shape.n_tiles;
    c->grain = shape.grain;
    if (!c->kernel || !c->label) return error_memory(s->err, sizeof name);

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
                if (r->base == GRAPH_CONSTANTS || (r->base >= GRAPH_ARRAYS && r->base < GRAPH_ARRAYS + s->out->n_arguments) ||
                    r->first < before->chain)
                    continue;
                chained = chained && a->offset == 0 && nest_tile_step(n, &shape, a, &step) && step == r->step;
            }
        for (int o = 0; o < n->n_out; o++) { // nor may it write what another call of the chain writes
            const root *r = &s->roots[c->roots[n->out[o].buffer]];
            chained = chained && (r->first == (int)index || r->first < before->chain);
        }
        if (chained) {
            c->chained = true;
            c->chain = before->chain;
        }
    }
    for (int o = 0; o < n->n_out; o++) {
        root *r = &s->roots[c->roots[n->out[o].buffer]];
        bool first = r->first == (int)index;
        r->step = first && n->out[o].offset == 0 && nest_tile_step(n, &shape, &n->out[o], &step) ? step : -1;
    }
    return nest_build(s->b, n, &shape, c->kernel, s->err);
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
    return is_scalar(mlirOperationGetOperand(op, 0)) && mlirOperationEqual(yield, mlirBlockGetFirstOperation(body)) &&
           mlirValueEqual(mlirOperationGetOperand(yield, 0), mlirBlockGetArgument(body, 0));
}

static wf_status schedule_splat(schedule *s, MlirValue scalar)
{
    MlirValue y = mlirOperationGetResult(s->op, 0);
    tensor x;
    TRY(read_type(s, mlirValueGetType(y), &x));
    x.place = scalar.ptr ? PLACE_SPLAT : PLACE_EMPTY;
    x.scalar = scalar;
    return add_tensor(s, y, &x);
}

static wf_status schedule_generic(schedule *s)
{
    MlirOperation op = s->op;
    intptr_t n_operands = mlirOperationGetNumOperands(op), n_out = mlirOperationGetNumResults(op);
    MlirAttribute maps = op_attribute(op, "indexing_maps");
    MlirBlock body;
    if (!maps.ptr || n_operands > 32 || n_operands < 1 || n_out > 8 || mlirOperationGetNumRegions(op) != 1)
        return refuse(s, "cannot be compiled");
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
        if (is_scalar(v))
            operands[i] = (tensor){.place = PLACE_SPLAT, .element = mlirValueGetType(v), .scalar = v, .root = -1};
        else
            TRY(read_tensor(s, v, &operands[i]));
    }
    n.n_loops = (int)mlirAffineMapGetNumDims(map[0]);
    if (n.n_loops > NEST_MAX_LOOPS) return refuse(s, "has too many loops");
    for (int l = 0; l < n.n_loops; l++) n.extent[l] = -1;
    for (intptr_t i = 0; i < n_operands; i++)
        if (!is_scalar(mlirOperationGetOperand(op, i)) && !find_extents(&n, &operands[i], map[i]))
            return refuse(s, "has operands whose sizes disagree");
    access used = {0};
    for (intptr_t o = 0; o < n_out; o++) {
        TRY(new_tensor(s, mlirValueGetType(mlirOperationGetResult(op, o)), &results[o]));
        for (int d = 0; d < results[o].rank; d++)
            if (!add_linear(mlirAffineMapGetResult(map[n.n_in + o], d), 1, &used))
                return refuse(s, "has an index that is not linear");
    }
    for (int l = 0; l < n.n_loops; l++) {
        n.reduction[l] = used.coef[l] == 0 && n_out > 0; // without results: only checks
        if (n.extent[l] < 0) return refuse(s, "has a loop whose size no operand tells");
    }
    size_t index = s->n_calls;
    call *c = add_call(s);
    if (!c) return error_memory(s->err, sizeof *c);
    for (int i = 0; i < n.n_in; i++) TRY(make_access(s, c, &n, &operands[i], map[i], false, &in[i]));
    for (int o = 0; o < n.n_out; o++) {
        init[o] = (access){.kind = ACCESS_NONE};
        if (!has_no_use(mlirBlockGetArgument(body, n.n_in + o)))
            TRY(make_access(s, c, &n, &operands[n.n_in + o], map[n.n_in + o], false, &init[o]));
        TRY(make_access(s, c, &n, &results[o], map[n.n_in + o], true, &out[o]));
        TRY(add_tensor(s, mlirOperationGetResult(op, o), &results[o]));
    }
    gather_list g = {.s = s, .c = c};
    for (MlirOperation o = mlirBlockGetFirstOperation(body); o.ptr; o = mlirOperationGetNextInBlock(o)) find_gathers(&g, o);
    for (int i = 0; i < n_operands && g.status == WF_OK; i++)
        if (operands[i].place == PLACE_SPLAT && operands[i].scalar.ptr) find_gathers(&g, defining_op(operands[i].scalar));
    TRY(g.status);
    n.in = in, n.out = out, n.init = init, n.gathers = g.items, n.n_gathers = g.n;
    return finish_nest(s, index, &n);
}

// Copies `from` (memory or splat) into `to`, of the same shape.
static wf_status schedule_copy(schedule *s, const tensor *from, const tensor *to)
{
    if (from->place == PLACE_SPLAT && from->scalar.ptr) TRY(prepare_gathers(s, defining_op(from->scalar), 0));
    nest n = {.n_in = 1, .n_out = 1, .n_loops = to->rank};
    access in = {0}, out = {0}, init = {.kind = ACCESS_NONE};
    size_t index = s->n_calls;
    call *c = add_call(s);
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
static wf_status to_memory(schedule *s, tensor *x)
{
    if (x->place == PLACE_MEMORY && is_contiguous(x)) return WF_OK;
    tensor copy;
    TRY(new_tensor(s, tensor_of(0, NULL, x->element), &copy));
    copy.rank = x->rank;
    int64_t stride = 1;
    for (int d = x->rank; d-- > 0;) {
        copy.dims[d] = x->dims[d];
        copy.strides[d] = stride;
        stride *= x->dims[d];
    }
    s->roots[copy.root].bytes = (size_t)count_of(&copy) * element_bytes(&copy);
    if (x->place != PLACE_EMPTY) TRY(schedule_copy(s, x, &copy));
    *x = copy;
    return WF_OK;
}

// ---- views

static wf_status schedule_reshape(schedule *s)
{
    MlirValue y = mlirOperationGetResult(s->op, 0);
    tensor x, shape;
    TRY(read_tensor(s, mlirOperationGetOperand(s->op, 0), &x));
    TRY(read_type(s, mlirValueGetType(y), &shape));
    if (count_of(&x) != count_of(&shape)) return refuse(s, "changes the number of elements");
    if (x.place == PLACE_MEMORY) TRY(to_memory(s, &x));
    memcpy(x.dims, shape.dims, sizeof x.dims);
    memcpy(x.strides, shape.strides, sizeof x.strides);
    x.rank = shape.rank;
    return add_tensor(s, y, &x);
}

static wf_status schedule_alias(schedule *s)
{
    tensor x;
    TRY(read_tensor(s, mlirOperationGetOperand(s->op, 0), &x));
    return add_tensor(s, mlirOperationGetResult(s->op, 0), &x);
}

// Entry d of an array of fixed numbers, in which those that are operands count as INT64_MIN: constants are looked up. *operand
// is the next operand. INT64_MIN: it is computed.
static int64_t mixed_number(schedule *s, MlirAttribute numbers, intptr_t d, intptr_t *operand)
{
    int64_t n = mlirDenseI64ArrayGetElement(numbers, d);
    if (n != INT64_MIN || *operand >= mlirOperationGetNumOperands(s->op)) return n;
    MlirAttribute a = constant_attribute(defining_op(mlirOperationGetOperand(s->op, (*operand)++)));
    return a.ptr && mlirAttributeIsAInteger(a) ? mlirIntegerAttrGetValueInt(a) : INT64_MIN;
}

// The part of `x` that an op with static_offsets, static_sizes and static_strides means. Sizes of 1 are dropped until the rank
// is that of `shape`.
static wf_status take_slice(schedule *s, intptr_t operand, const tensor *x, const tensor *shape, tensor *part)
{
    int64_t offset_of[MAX_RANK], size_of[MAX_RANK], stride_of[MAX_RANK];
    MlirAttribute offsets = op_attribute(s->op, "static_offsets"), sizes = op_attribute(s->op, "static_sizes"),
                  strides = op_attribute(s->op, "static_strides");
    if (!offsets.ptr || !sizes.ptr || !strides.ptr || mlirDenseArrayGetNumElements(offsets) != x->rank)
        return refuse(s, "cannot be compiled");
    for (int d = 0; d < x->rank; d++) offset_of[d] = mixed_number(s, offsets, d, &operand);
    for (int d = 0; d < x->rank; d++) size_of[d] = mixed_number(s, sizes, d, &operand);
    for (int d = 0; d < x->rank; d++) stride_of[d] = mixed_number(s, strides, d, &operand);
    *part = *x;
    part->rank = 0;
    for (int d = 0; d < x->rank; d++) {
        int64_t offset = offset_of[d], size = size_of[d], stride = stride_of[d], last;
        if (offset < 0 || size < 0 || stride < 1) return refuse(s, "has an offset that is computed");
        if (__builtin_mul_overflow(size ? size - 1 : 0, stride, &last) || __builtin_add_overflow(last, offset, &last) ||
            (size && last >= x->dims[d]))
            return refuse(s, "reaches beyond its operand");
        if (size) part->offset += offset * x->strides[d];
        bool matches = part->rank < shape->rank && shape->dims[part->rank] == size;
        if (!matches && size == 1) continue; // which of several sizes of 1 is dropped makes no difference
        if (!matches) return refuse(s, "has a shape that does not fit its sizes");
        part->dims[part->rank] = size;
        part->strides[part->rank++] = x->strides[d] * stride;
    }
    return part->rank == shape->rank ? WF_OK : refuse(s, "has a shape that does not fit its sizes");
}

static wf_status schedule_extract_slice(schedule *s)
{
    MlirValue y = mlirOperationGetResult(s->op, 0);
    tensor x, shape, part;
    TRY(read_tensor(s, mlirOperationGetOperand(s->op, 0), &x));
    TRY(read_type(s, mlirValueGetType(y), &shape));
    TRY(take_slice(s, 1, &x, &shape, &part));
    return add_tensor(s, y, &part);
}

// A chain of insertions into one tensor writes into one buffer, when nobody looks at the steps between.
static bool owns_buffer(const schedule *s, MlirValue v, const tensor *x)
{
    return x->place == PLACE_MEMORY && op_is(defining_op(v), "tensor.insert_slice") && has_one_use(v) &&
           s->roots[x->root].base == GRAPH_ARENA;
}

static wf_status schedule_insert_slice(schedule *s)
{
    MlirValue y = mlirOperationGetResult(s->op, 0), into = mlirOperationGetOperand(s->op, 1);
    tensor x, whole, result, part;
    TRY(read_tensor(s, mlirOperationGetOperand(s->op, 0), &x));
    TRY(read_tensor(s, into, &whole));
    if (owns_buffer(s, into, &whole)) {
        result = whole;
    } else {
        TRY(new_tensor(s, mlirValueGetType(y), &result));
        if (whole.place != PLACE_EMPTY) TRY(schedule_copy(s, &whole, &result));
    }
    TRY(take_slice(s, 2, &result, &x, &part));
    if (x.place != PLACE_EMPTY) TRY(schedule_copy(s, &x, &part));
    return add_tensor(s, y, &result);
}

static wf_status schedule_concat(schedule *s)
{
    MlirValue y = mlirOperationGetResult(s->op, 0);
    tensor result;
    int64_t axis = op_int(s->op, "dim", -1), at = 0;
    TRY(new_tensor(s, mlirValueGetType(y), &result));
    if (axis < 0 || axis >= result.rank) return refuse(s, "has no such axis");
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(s->op); i++) {
        tensor x, part = result;
        TRY(read_tensor(s, mlirOperationGetOperand(s->op, i), &x));
        if (x.rank != result.rank || at + x.dims[axis] > result.dims[axis]) return refuse(s, "has operands that do not fit");
        part.dims[axis] = x.dims[axis];
        part.offset = at * result.strides[axis];
        at += x.dims[axis];
        if (x.place != PLACE_EMPTY) TRY(schedule_copy(s, &x, &part));
    }
    return add_tensor(s, y, &result);
}

static wf_status schedule_pad(schedule *s)
{
    MlirValue y = mlirOperationGetResult(s->op, 0);
    MlirAttribute low = op_attribute(s->op, "static_low"), high = op_attribute(s->op, "static_high");
    MlirOperation yield = mlirBlockGetTerminator(mlirRegionGetFirstBlock(mlirOperationGetRegion(s->op, 0)));
    tensor x, result, padding;
    TRY(read_tensor(s, mlirOperationGetOperand(s->op, 0), &x));
    TRY(new_tensor(s, mlirValueGetType(y), &result));
    if (!low.ptr || !high.ptr || mlirDenseArrayGetNumElements(low) != x.rank) return refuse(s, "cannot be compiled");
    int64_t before_of[MAX_RANK], after_of[MAX_RANK];
    intptr_t operand = 1;
    for (int d = 0; d < x.rank; d++) before_of[d] = mixed_number(s, low, d, &operand);
    for (int d = 0; d < x.rank; d++) after_of[d] = mixed_number(s, high, d, &operand);
    padding = result;
    padding.place = PLACE_SPLAT;
    padding.root = -1;
    padding.scalar = mlirOperationGetOperand(yield, 0);
    if (!defining_op(padding.scalar).ptr) return refuse(s, "has padding that depends on the place");
    tensor part = result;
    for (int d = 0; d < x.rank; d++) {
        int64_t before = before_of[d], after = after_of[d];
        if (before < 0 || after < 0 || before + x.dims[d] + after != result.dims[d])
            return refuse(s, "has an amount that is negative or computed");
        part.offset += before * result.strides[d];
        part.dims[d] = x.dims[d];
    }
    TRY(schedule_copy(s, &padding, &result));
    if (x.place != PLACE_EMPTY) TRY(schedule_copy(s, &x, &part));
    return add_tensor(s, y, &result);
}

static wf_status schedule_from_elements(schedule *s)
{
    MlirValue y = mlirOperationGetResult(s->op, 0);
    tensor result;
    TRY(new_tensor(s, mlirValueGetType(y), &result));
    intptr_t n = mlirOperationGetNumOperands(s->op);
    if (n > 64) return refuse(s, "has more than 64 elements");
    for (intptr_t i = 0; i < n; i++) {
        tensor one = {.place = PLACE_SPLAT, .element = result.element, .root = -1};
        tensor slot = {.place = PLACE_MEMORY, .element = result.element, .root = result.root, .offset = i};
        one.scalar = mlirOperationGetOperand(s->op, i);
        TRY(schedule_copy(s, &one, &slot));
    }
    return add_tensor(s, y, &result);
}

// ---- wf ops with kernels

static bool norm_type(MlirType t, tensor_type *out)
{
    graph_type g;
    if (!constant_type(t, &g) || (g != GRAPH_F32 && g != GRAPH_F16 && g != GRAPH_BF16)) return false;
    *out = g == GRAPH_F32 ? TENSOR_F32 : g == GRAPH_F16 ? TENSOR_F16 : TENSOR_BF16;
    return true;
}

// The kernel for a norm; false when there is none.
static bool read_norm(MlirOperation op, norm_kernel *k, MlirValue operands[3], int *n)
{
    bool layer = op_is(op, "wf.layer_norm");
    if (!layer && !op_is(op, "wf.rms_norm")) return false;
    MlirValue x = mlirOperationGetOperand(op, 0), y = mlirOperationGetResult(op, 0);
    int rank = rank_of(x), axes = (int)op_int(op, "axes", 1);
    *k = (norm_kernel){.cols = 1, .eps = op_float(op, "eps", 0), .plus_one = op_bool(op, "plus_one")};
    if (axes < 1 || axes > rank || !norm_type(element_type_of(x), &k->x) || !norm_type(element_type_of(y), &k->y))
        return false;
    for (int d = rank - axes; d < rank; d++)
        if (dim_of(x, d) < 1 || __builtin_mul_overflow(k->cols, dim_of(x, d), &k->cols)) return false;
    if (k->cols > 1 << 24) return false;
    MlirAttribute rounded = op_attribute(op, "rounded");
    if (rounded.ptr) {
        MlirType t = mlirTypeAttrGetValue(rounded);
        tensor_type to;
        if (!norm_type(t, &to) || (to != TENSOR_F32 && to != k->x)) return false;
        k->round_before_gamma = to != TENSOR_F32;
    }
    operands[0] = x;
    *n = 1;
    bool segments = op_attribute(op, "operandSegmentSizes").ptr != NULL;
    for (int i = 1; i <= (layer ? 2 : 1); i++) {
        int64_t at = i, present = segments ? op_segment(op, i, &at) : mlirOperationGetNumOperands(op) > i;
        if (!present) continue;
        tensor_type weight;
        MlirValue v = mlirOperationGetOperand(op, (intptr_t)at);
        if (!norm_type(element_type_of(v), &weight) || (*n > 1 && weight != k->weight)) return false;
        int64_t count = 1;
        for (int d = 0; d < rank_of(v); d++) count *= dim_of(v, d);
        if (count != k->cols) return false;
        k->weight = weight;
        (i == 1 ? (k->gamma = true) : (k->beta = true));
        operands[(*n)++] = v;
    }
    return true;
}

bool schedule_has_kernel(MlirOperation op)
{
    norm_kernel k;
    MlirValue operands[3];
    int n;
    return read_norm(op, &k, operands, &n);
}

static bool has_kernel_named(const schedule *s, const char *name)
{
    for (size_t i = 0; i + 1 < s->n_calls; i++)
        if (s->calls[i].kernel && !strcmp(s->calls[i].kernel, name)) return true;
    return false;
}

static wf_status schedule_norm(schedule *s)
{
    norm_kernel k;
    MlirValue operands[3];
    int n;
    tensor x[3], y;
    bool layer = op_is(s->op, "wf.layer_norm");
    if (!read_norm(s->op, &k, operands, &n)) return refuse(s, "cannot be compiled");
    for (int i = 0; i < n; i++) {
        TRY(read_tensor(s, operands[i], &x[i]));
        TRY(to_memory(s, &x[i]));
        if (x[i].offset && i > 0) { // weights are read from the start of their buffer
            tensor moved = x[i];
            TRY(new_tensor(s, mlirValueGetType(operands[i]), &moved));
            TRY(schedule_copy(s, &x[i], &moved));
            x[i] = moved;
        }
    }
    if (x[0].offset) {
        tensor moved;
        TRY(new_tensor(s, mlirValueGetType(operands[0]), &moved));
        TRY(schedule_copy(s, &x[0], &moved));
        x[0] = moved;
    }
    TRY(new_tensor(s, mlirValueGetType(mlirOperationGetResult(s->op, 0)), &y));
    size_t index = s->n_calls;
    call *c = add_call(s);
    if (!c) return error_memory(s->err, sizeof *c);
    // operands are told apart by place, so that no two share a buffer: x may be gamma as well
    const int order[] = {x[0].root, y.root, n > 1 ? x[1].root : -1, n > 2 ? x[2].root : -1};
    for (int i = 0; i < n + 1; i++) {
        c->roots[i] = order[i];
        c->written[i] = i == 1;
        root *r = &s->roots[order[i]];
        if (r->first < 0) r->first = (int)index;
        r->last = (int)index;
        c->n_buffers++;
    }
    char name[96];
    (layer ? layer_norm_name : rms_norm_name)(&k, name);
    c->kernel = arena_strdup(&s->out->memory, view_of(name));
    c->label = make_label(s);
    if (!c->kernel || !c->label) return error_memory(s->err, sizeof name);
    c->n_tiles = count_of(&x[0]) / k.cols;
    c->grain = 16384 / k.cols > 1 ? 16384 / k.cols : 1;
    c->chain = (int)index;
    call *before = index > 0 ? &s->calls[index - 1] : NULL;
    root *from = &s->roots[x[0].root];
    bool fresh = before && from->base == GRAPH_ARENA && from->first >= before->chain;
    bool weights_fresh = false;
    for (int i = 1; i < n; i++) {
        const root *r = &s->roots[x[i].root];
        weights_fresh = weights_fresh || (before && r->base == GRAPH_ARENA && r->first >= before->chain);
    }
    if (s->chain && before && before->n_tiles == c->n_tiles && c->n_tiles > 1 && !weights_fresh &&
        (!fresh || from->step == k.cols)) {
        c->chained = true;
        c->chain = before->chain;
    }
    s->roots[y.root].step = k.cols;
    if (!has_kernel_named(s, c->kernel)) (layer ? layer_norm_build : rms_norm_build)(s->b, &k, c->kernel);
    return add_tensor(s, mlirOperationGetResult(s->op, 0), &y);
}

// ---- ops

static wf_status schedule_assert(schedule *s)
{
    MlirOperation condition = defining_op(mlirOperationGetOperand(s->op, 0));
    MlirAttribute a = constant_attribute(condition);
    if (!a.ptr || !mlirAttributeIsABool(a)) return refuse(s, "with a condition that is computed cannot be compiled");
    if (mlirBoolAttrGetValue(a)) return WF_OK;
    MlirStringRef message = op_string(s->op, "msg");
    buffer where = {0};
    print_location(mlirOperationGetLocation(s->op), &where);
    error_set(s->err, WF_ERROR_USAGE, "%s: the function does not take these shapes: %.*s", buffer_view(&where).data,
              (int)message.length, message.data);
    buffer_free(&where);
    return WF_ERROR_USAGE;
}

static const struct {
    const char *name;
    wf_status (*run)(schedule *s);
} OPS[] = {
    {"tensor.cast", schedule_alias},
    {"tensor.expand_shape", schedule_reshape},
    {"tensor.collapse_shape", schedule_reshape},
    {"tensor.reshape", schedule_reshape},
    {"tensor.extract_slice", schedule_extract_slice},
    {"tensor.insert_slice", schedule_insert_slice},
    {"tensor.concat", schedule_concat},
    {"tensor.pad", schedule_pad},
    {"tensor.from_elements", schedule_from_elements},
    {"linalg.generic", schedule_generic},
    {"wf.rms_norm", schedule_norm},
    {"wf.layer_norm", schedule_norm},
    {"cf.assert", schedule_assert},
};

static wf_status schedule_op(schedule *s)
{
    MlirOperation op = s->op;
    intptr_t n = mlirOperationGetNumResults(op);
    if (constant_attribute(op).ptr || op_is(op, "tosa.const_shape")) return WF_OK; // read where they are used
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS; i++)
        if (op_is(op, OPS[i].name)) return OPS[i].run(s);
    if (op_is(op, "tensor.empty")) return schedule_splat(s, (MlirValue){0});
    if (op_is(op, "tensor.splat") || op_is(op, "linalg.fill")) return schedule_splat(s, mlirOperationGetOperand(op, 0));
    // scalars are computed by the kernels that use them
    bool scalar = n == 1 && is_scalar(mlirOperationGetResult(op, 0)) && mlirOperationGetNumRegions(op) == 0;
    if (scalar && (op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math.") || op_is(op, "tensor.extract") ||
                   op_is(op, "affine.apply")))
        return WF_OK;
    return refuse(s, "cannot be compiled");
}

// ---- arguments, results

static wf_status read_shapes(schedule *s, MlirOperation end)
{
    uint32_t n = (uint32_t)mlirBlockGetNumArguments(s->entry), m = (uint32_t)mlirOperationGetNumOperands(end);
    graph_shape *shapes = arena_alloc(&s->out->memory, n + m + 1, sizeof *shapes);
    if (!shapes) return error_memory(s->err, (n + m) * sizeof *shapes);
    s->out->n_arguments = n;
    s->out->n_results = m;
    s->out->shapes = shapes;
    s->op = end;
    for (uint32_t i = 0; i < n + m; i++) {
        MlirValue v = i < n ? mlirBlockGetArgument(s->entry, i) : mlirOperationGetOperand(end, i - n);
        tensor x;
        if (is_scalar(v)) return refuse(s, "has a scalar as argument or result, where arrays are wanted");
        TRY(read_type(s, mlirValueGetType(v), &x));
        if (x.rank > GRAPH_MAX_DIMS) return refuse(s, "has an array of too many dimensions");
        if (mlirTypeIsAIndex(x.element)) return refuse(s, "has an array of index");
        constant_type(x.element, &shapes[i].type);
        shapes[i].n_dims = (uint32_t)x.rank;
        memcpy(shapes[i].dims, x.dims, sizeof shapes[i].dims);
        if (i >= n) continue;
        x.place = PLACE_MEMORY;
        TRY(add_root(s, GRAPH_ARRAYS + i, 0, (size_t)count_of(&x) * element_bytes(&x), &x.root));
        TRY(add_tensor(s, v, &x));
    }
    return WF_OK;
}

// A result that is a whole buffer of the arena moves to the caller's array; else it is copied there.
static wf_status schedule_results(schedule *s, MlirOperation end)
{
    s->op = end;
    for (uint32_t i = 0; i < s->out->n_results; i++) {
        MlirValue v = mlirOperationGetOperand(end, i);
        uint32_t base = GRAPH_ARRAYS + s->out->n_arguments + i;
        tensor x, y;
        TRY(read_tensor(s, v, &x));
        size_t bytes = (size_t)count_of(&x) * element_bytes(&x);
        if (x.place == PLACE_MEMORY && s->roots[x.root].base == GRAPH_ARENA && !x.offset && is_contiguous(&x) &&
            s->roots[x.root].bytes == bytes) {
            s->roots[x.root].base = base;
            continue;
        }
        TRY(read_type(s, mlirValueGetType(v), &y));
        y.place = PLACE_MEMORY;
        TRY(add_root(s, base, 0, bytes, &y.root));
        if (x.place != PLACE_EMPTY) TRY(schedule_copy(s, &x, &y));
    }
    return WF_OK;
}

// ---- memory

// First fit: a root goes to the lowest place where no other root that lives at the same time lies.
static wf_status place_roots(schedule *s)
{
    for (size_t i = 0; i < s->n_roots; i++) {
        root *r = &s->roots[i];
        if (r->first < 0) continue;
        r->first = s->calls[r->first].chain;
        int last = r->last + 1;
        while (last < (int)s->n_calls && s->calls[last].chained) last++;
        r->last = last - 1;
    }
    size_t all = 0;
    for (size_t i = 0; i < s->n_roots; i++) {
        root *r = &s->roots[i];
        if (r->base != GRAPH_ARENA || r->first < 0) continue;
        size_t at = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (size_t k = 0; k < i; k++) {
                const root *o = &s->roots[k];
                if (o->base != GRAPH_ARENA || o->first < 0 || o->last < r->first || o->first > r->last) continue;
                if (o->offset >= at + r->bytes || o->offset + o->bytes <= at) continue;
                at = (o->offset + o->bytes + 63) / 64 * 64;
                moved = true;
            }
        }
        r->offset = at;
        if (at + r->bytes > all) all = at + r->bytes;
    }
    s->out->arena_bytes = all;
    return WF_OK;
}

static wf_status write_calls(schedule *s)
{
    graph_program *p = s->out;
    graph_call *calls = arena_alloc(&p->memory, s->n_calls + 1, sizeof *calls);
    if (!calls) return error_memory(s->err, s->n_calls * sizeof *calls);
    for (size_t i = 0; i < s->n_calls; i++) {
        const call *c = &s->calls[i];
        graph_buffer *buffers = arena_alloc(&p->memory, (size_t)c->n_buffers + 1, sizeof *buffers);
        if (!buffers) return error_memory(s->err, sizeof *buffers);
        for (int k = 0; k < c->n_buffers; k++) {
            if (c->roots[k] < 0)
                buffers[k] = (graph_buffer){c->roots[k] == -1 ? GRAPH_MATH : GRAPH_FAULT, 0, 8, c->written[k]};
            else
                buffers[k] = (graph_buffer){s->roots[c->roots[k]].base, s->roots[c->roots[k]].offset,
                                            s->roots[c->roots[k]].bytes, c->written[k]};
        }
        calls[i] = (graph_call){.kernel = c->kernel, .label = c->label, .n_buffers = (uint32_t)c->n_buffers,
                                .buffers = buffers, .n_tiles = c->n_tiles, .grain = c->grain, .chained = c->chained};
    }
    p->n_calls = (uint32_t)s->n_calls;
    p->calls = calls;
    const char **checks = arena_alloc(&p->memory, s->n_checks + 1, sizeof *checks);
    if (!checks) return error_memory(s->err, s->n_checks);
    if (s->n_checks) memcpy(checks, s->checks, s->n_checks * sizeof *checks);
    p->n_checks = (uint32_t)s->n_checks;
    p->checks = checks;
    p->constants_bytes = s->blob.len;
    p->constants = aligned_alloc(64, (s->blob.len + 64) / 64 * 64);
    if (!p->constants || s->blob.failed) return error_memory(s->err, s->blob.len);
    if (s->blob.len) memcpy(p->constants, s->blob.data, s->blob.len);
    return WF_OK;
}

static wf_status run_schedule(schedule *s, MlirOperation function)
{
    MlirRegion region = mlirOperationGetRegion(function, 0);
    s->entry = mlirRegionGetFirstBlock(region);
    MlirOperation end = mlirBlockGetTerminator(s->entry);
    s->op = function;
    if (mlirBlockGetNextInRegion(s->entry).ptr) return refuse(s, "with branches cannot be compiled");
    TRY(read_shapes(s, end));
    for (MlirOperation op = mlirBlockGetFirstOperation(s->entry); !mlirOperationEqual(op, end);
         op = mlirOperationGetNextInBlock(op)) {
        s->op = op;
        TRY(schedule_op(s));
    }
    TRY(schedule_results(s, end));
    TRY(place_roots(s));
    return write_calls(s);
}

wf_status schedule_function(MlirOperation function, builder *kernels, bool chain, graph_program *out, wf_error *err)
{
    schedule s = {.b = kernels, .out = out, .err = err, .chain = chain};
    wf_status status = run_schedule(&s, function);
    free(s.keys);
    free(s.tensors);
    free(s.roots);
    free(s.calls);
    free(s.constants);
    free(s.constant_roots);
    free((void *)s.checks);
    buffer_free(&s.blob);
    return status;
}
