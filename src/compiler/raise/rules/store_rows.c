// In:  tosa.scatter; or loops that write rows of one tensor over those of another, one for each number of a list:
//
//          for b.. { for w { y[b.., at[b.., w], ..] = rows[b.., w, ..] } }
//
//      a row at once (tensor.insert_slice), by one more loop over its elements (tensor.insert), or as tm_tensor.scatter,
//      whose list may have all coordinates of each element, as torch-mlir writes it;
//      or a tensor.insert_slice of rows that follow each other from a computed one on. It is how new keys and values come
//      into a cache
// Out: wf.store_rows y, rows, at, of tensors whose axes behind that of the rows are one
#include <mlir-c/AffineMap.h>

#include "compiler/dialect/definition/definition.h"
#include "compiler/raise/normal/constant.h"
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/normal/steps.h"
#include "compiler/raise/normal/strided.h"
#include "compiler/raise/raise.h"

enum { MAX_LOOPS = 8 };

// y[.., at, ..] = rows along `axis`; at: for each row, perhaps for each index in front of it too.
typedef struct store {
    MlirValue y, rows, at;
    int axis;
} store;

static void write_store(MlirOperation op, const store *s)
{
    op_builder b = op_builder_before(op);
    int behind = rank_of(s->y) - s->axis - 1;
    MlirValue y = s->y, rows = s->rows, result = mlirOperationGetResult(op, 0);
    if (behind > 1) y = build_collapse(&b, y, s->axis + 1, behind);
    if (behind > 1) rows = build_collapse(&b, rows, s->axis + 1, behind);
    store_rows_op made = {.x = y, .rows = rows, .at = s->at, .y = {.type = mlirValueGetType(y)}};
    MlirValue stored = store_rows_write(&b, &made);
    if (behind > 1) stored = build_expand(&b, stored, s->axis + 1, behind, mlirValueGetType(result));
    replace_value(result, stored);
}

static bool is_static(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsARankedTensor(t) && mlirShapedTypeHasStaticShape(t);
}

// ---- loops

typedef struct nest {
    int n;
    MlirValue index[MAX_LOOPS];
    int64_t size[MAX_LOOPS];
    bool used[MAX_LOOPS];
    MlirValue init, carried, yielded; // of the innermost loop the last two
} nest;

// Loops from 0 in steps of 1, one in the other, that carry a tensor and do nothing else to what is outside.
static bool read_loops(MlirOperation op, nest *n)
{
    *n = (nest){.init = mlirOperationGetOperand(op, 3)};
    for (;;) {
        int64_t lo, step;
        if (n->n == MAX_LOOPS || !step_index_value(mlirOperationGetOperand(op, 0), &lo) || lo ||
            !step_index_value(mlirOperationGetOperand(op, 1), &n->size[n->n]) ||
            !step_index_value(mlirOperationGetOperand(op, 2), &step) || step != 1)
            return false;
        MlirBlock body = function_body(op);
        n->index[n->n++] = mlirBlockGetArgument(body, 0);
        n->carried = mlirBlockGetArgument(body, 1);
        n->yielded = mlirOperationGetOperand(mlirBlockGetTerminator(body), 0);
        MlirOperation inner = {0};
        for (MlirOperation o = mlirBlockGetFirstOperation(body); o.ptr; o = mlirOperationGetNextInBlock(o)) {
            if (op_is(o, "scf.for") && !inner.ptr)
                inner = o;
            else if (mlirOperationGetNumRegions(o) || op_is(o, "cf.assert"))
                return false;
        }
        if (!inner.ptr) return true;
        if (mlirOperationGetNumResults(inner) != 1 || !mlirValueEqual(mlirOperationGetOperand(inner, 3), n->carried) ||
            !mlirValueEqual(n->yielded, mlirOperationGetResult(inner, 0)))
            return false;
        op = inner;
    }
}

// Which loop's index v is; -1: none.
static int loop_of(const nest *n, MlirValue v)
{
    for (int i = 0; i < n->n; i++)
        if (mlirValueEqual(n->index[i], v)) return i;
    return -1;
}

// Whether v goes once through an axis of this size; *loop: by which loop, -1: there is nothing but 0.
static bool covers(nest *n, MlirValue v, int64_t size, int *loop)
{
    int64_t number;
    *loop = loop_of(n, v);
    if (*loop < 0) return size == 1 && step_index_value(v, &number) && number == 0;
    n->used[*loop] = true;
    return n->size[*loop] == size;
}

// Where an element, or the first of a slice, lies; sizes: of the slice.
typedef struct spot {
    MlirValue of;
    MlirValue at[MAX_AXES]; // null: 0
    int64_t size[MAX_AXES];
} spot;

// tensor.extract, tensor.insert or, where `whole`, their ops on slices (`n` operands in front of the places).
static bool read_spot(MlirOperation op, bool whole, intptr_t n, spot *s)
{
    s->of = mlirOperationGetOperand(op, n - 1);
    int rank = rank_of(s->of);
    if (!is_static(s->of) || rank > MAX_AXES) return false;
    MlirAttribute offsets = op_attribute(op, "static_offsets"), sizes = op_attribute(op, "static_sizes"),
                  strides = op_attribute(op, "static_strides");
    for (int d = 0; d < rank; d++) {
        s->at[d] = (MlirValue){0};
        s->size[d] = 1;
        int64_t offset = whole ? mlirDenseI64ArrayGetElement(offsets, d) : INT64_MIN;
        if (offset == INT64_MIN)
            s->at[d] = mlirOperationGetOperand(op, n++);
        else if (offset)
            return false;
        if (!whole) continue;
        s->size[d] = mlirDenseI64ArrayGetElement(sizes, d);
        if (s->size[d] < 1 || mlirDenseI64ArrayGetElement(strides, d) != 1) return false;
    }
    return true;
}

// Whether the spot is the loops' own along an axis: of whole axes and of single places alike.
static bool covers_axis(nest *n, const spot *s, int axis, int *loop)
{
    int64_t size = dim_of(s->of, axis);
    *loop = -1;
    if (s->size[axis] == size && (!s->at[axis].ptr || size == 1)) return true;
    return s->size[axis] == 1 && s->at[axis].ptr && covers(n, s->at[axis], size, loop);
}

// The list that a place is read from: at[.., w] by the loops of all axes in front of `axis`, or at[w].
static bool read_places(nest *n, MlirValue place, const int *loops, int axis, int by, store *s)
{
    MlirOperation op = defining_op(place);
    if (op_is(op, "arith.index_cast")) op = defining_op(mlirOperationGetOperand(op, 0));
    if (!op_is(op, "tensor.extract")) return false;
    s->at = mlirOperationGetOperand(op, 0);
    int rank = rank_of(s->at), loop;
    if (!is_static(s->at) || !mlirTypeIsAInteger(element_type_of(s->at)) || (rank != 1 && rank != axis + 1))
        return false;
    for (int d = 0; d < rank; d++) {
        bool last = d + 1 == rank;
        if (dim_of(s->at, d) != dim_of(s->rows, last ? axis : d)) return false;
        if (!covers(n, mlirOperationGetOperand(op, d + 1), dim_of(s->at, d), &loop)) return false;
        if (loop != (last ? by : loops[d])) return false;
    }
    return true;
}

static bool read_update(nest *n, store *s)
{
    MlirOperation write = defining_op(n->yielded), read;
    bool whole = op_is(write, "tensor.insert_slice");
    int loops[MAX_AXES], by = -1, other;
    spot to, from;
    if ((!whole && !op_is(write, "tensor.insert")) || !mlirValueEqual(mlirOperationGetOperand(write, 1), n->carried))
        return false;
    read = defining_op(mlirOperationGetOperand(write, 0));
    if (!op_is(read, whole ? "tensor.extract_slice" : "tensor.extract")) return false;
    if (!read_spot(write, whole, 2, &to) || !read_spot(read, whole, 1, &from)) return false;
    int rank = rank_of(to.of);
    *s = (store){n->init, from.of, {0}, -1};
    if (rank_of(from.of) != rank || mlirValueEqual(from.of, n->carried)) return false;
    for (int d = 0; d < rank; d++) {
        bool own = covers_axis(n, &to, d, &loops[d]);
        if (!own && s->axis < 0 && to.at[d].ptr && to.size[d] == 1)
            s->axis = d;
        else if (!own)
            return false;
    }
    if (s->axis < 0 || s->axis + 1 == rank) return false;
    for (int d = 0; d < rank; d++) {
        if (from.size[d] != to.size[d]) return false;
        if (!covers_axis(n, &from, d, d == s->axis ? &by : &other) || (d != s->axis && other != loops[d])) return false;
        if (d != s->axis && dim_of(from.of, d) != dim_of(to.of, d)) return false;
    }
    if (!read_places(n, to.at[s->axis], loops, s->axis, by, s)) return false;
    for (int i = 0; i < n->n; i++)
        if (!n->used[i] && n->size[i] != 1) return false;
    return true;
}

static bool read_loop_store(matcher *m, MlirOperation op, store *s)
{
    nest n;
    if (mlirOperationGetNumResults(op) != 1 || !is_static(mlirOperationGetResult(op, 0))) return false;
    if (!op_is(mlirOperationGetParentOperation(op), "func.func") || !read_loops(op, &n)) return false;
    for (int i = 0; i < n.n; i++)
        if (n.size[i] < 1) return false;
    if (read_update(&n, s)) return true;
    bool writes = op_is(defining_op(n.yielded), "tensor.insert_slice");
    return writes && near_miss(m, "what a loop writes into a tensor is not each row of another at a place from a list");
}

// ---- single ops

static bool read_tosa_scatter(MlirOperation op, store *s)
{
    *s = (store){mlirOperationGetOperand(op, 0), mlirOperationGetOperand(op, 2), mlirOperationGetOperand(op, 1), 1};
    return is_static(s->y) && is_static(s->rows) && is_static(s->at);
}

// The list of `size` numbers that a column [n, 1] of coordinates repeats, each for `weight` elements; null value: there is
// none.
static MlirValue list_of_column(matcher *m, MlirValue column, int64_t size, int64_t weight)
{
    enum { MAX_STEPS = 16 };
    strided s;
    bool known = rank_of(column) == 2 && dim_of(column, 1) == 1 && strided_start(&s, column);
    for (int step = 0; known && step < MAX_STEPS; step++) {
        const digits *at = &s.at[0];
        if (rank_of(s.v) == 1 && dim_of(s.v, 0) == size &&
            (size == 1 ? at->n == 0
                       : at->n == 1 && at->d[0].axis == 0 && at->d[0].size == size && at->d[0].weight == weight))
            return s.v;
        known = strided_step(&m->r, &s, false);
    }
    return (MlirValue){0};
}

static bool counts_up(MlirValue list)
{
    evaluator e = evaluator_start();
    const const_tensor *t = evaluate(&e, list);
    bool counts = t != NULL;
    for (int64_t i = 0; counts && i < t->count; i++) counts = t->data[i] == (double)i;
    evaluator_free(&e);
    return counts;
}

// Elements one by one: updates [n, 1, ..] are the rows, indices [n, rank] their coordinates in y, one of which comes from
// a list and the others count up.
static bool read_coordinates(matcher *m, MlirOperation op, store *s)
{
    MlirValue rows = mlirOperationGetOperand(op, 0), y = mlirOperationGetOperand(op, 2);
    MlirOperation columns = defining_op(mlirOperationGetOperand(op, 1));
    int rank = rank_of(y);
    int64_t weight = 1;
    while (reshape_input(rows).ptr && rank_of(rows) != rank) rows = reshape_input(rows);
    *s = (store){.y = y, .rows = rows, .axis = -1};
    if (!op_is(columns, "tensor.concat") || op_int(columns, "dim", -1) != 1 ||
        mlirOperationGetNumOperands(columns) != rank || !is_static(rows) || rank_of(rows) != rank)
        return false;
    for (int d = rank; d-- > 0;) {
        int64_t size = dim_of(rows, d);
        MlirValue list = list_of_column(m, mlirOperationGetOperand(columns, d), size, weight);
        weight *= size;
        if (!list.ptr || size < 1) return false;
        if (size == dim_of(y, d) && counts_up(list)) continue;
        if (s->axis >= 0) return false;
        s->axis = d;
        s->at = list;
    }
    return s->axis >= 0 && s->axis + 1 < rank && mlirTypeIsAInteger(element_type_of(s->at)) &&
           weight == dim_of(mlirOperationGetOperand(op, 1), 0);
}

static bool maps_in_order(MlirAttribute map, int n)
{
    if (!map.ptr || !mlirAttributeIsADenseI64Array(map) || mlirDenseArrayGetNumElements(map) != n) return false;
    for (int d = 0; d < n; d++)
        if (mlirDenseI64ArrayGetElement(map, d) != d) return false;
    return true;
}

// Whether the region of a tm_tensor.scatter gives back its first argument: what is new.
static bool yields_update(MlirOperation op)
{
    MlirBlock body = mlirOperationGetNumRegions(op) == 1 ? function_body(op) : (MlirBlock){0};
    MlirOperation first = body.ptr ? mlirBlockGetFirstOperation(body) : (MlirOperation){0};
    return op_is(first, "tm_tensor.yield") && mlirOperationGetNumOperands(first) == 1 &&
           mlirBlockGetNumArguments(body) > 0 &&
           mlirValueEqual(mlirOperationGetOperand(first, 0), mlirBlockGetArgument(body, 0));
}

// Rows that replace what was there: of the first axis, updates [w, ..], indices [w, 1]; or by all coordinates.
static bool read_scatter(matcher *m, MlirOperation op, store *s)
{
    MlirAttribute map = op_attribute(op, "dimension_map");
    if (mlirOperationGetNumOperands(op) != 3 || mlirOperationGetNumResults(op) != 1 || !yields_update(op)) return false;
    MlirValue rows = mlirOperationGetOperand(op, 0), at = mlirOperationGetOperand(op, 1),
              y = mlirOperationGetOperand(op, 2);
    int rank = is_static(y) ? rank_of(y) : 0;
    if (rank > 1 && maps_in_order(map, rank)) return read_coordinates(m, op, s);
    if (!maps_in_order(map, 1)) return false;
    if (!is_static(rows) || !is_static(at) || !is_static(y) || rank < 2 || rank_of(rows) != rank || rank_of(at) != 2 ||
        dim_of(at, 1) != 1 || dim_of(at, 0) != dim_of(rows, 0) || dim_of(rows, 0) < 1)
        return false;
    for (int d = 1; d < rank; d++)
        if (dim_of(rows, d) != dim_of(y, d) || dim_of(y, d) < 1) return false;
    op_builder b = op_builder_before(op);
    *s = (store){y, rows, build_collapse(&b, at, 0, 2), 0};
    return mlirTypeIsAInteger(element_type_of(at));
}

// first, first + 1, .. of w rows.
static MlirValue build_places(op_builder *b, MlirValue first, int64_t w)
{
    MlirType i64 = mlirIntegerTypeGet(b->ctx, 64), index = mlirIndexTypeGet(b->ctx), type = tensor_of(1, &w, i64);
    MlirValue start = build_value(b, "arith.index_cast", i64, 1, &first, 0, NULL);
    if (w == 1) return build_value(b, "tensor.from_elements", type, 1, &start, 0, NULL);
    MlirValue empty = build_value(b, "tensor.empty", type, 0, NULL, 0, NULL);
    MlirBlock body = mlirBlockCreate(1, &i64, &b->loc);
    op_builder in = op_builder_at_end(body, b->loc);
    MlirNamedAttribute dim = named_int(&in, "dim", 0);
    MlirValue at = build_value(&in, "linalg.index", index, 0, NULL, 1, &dim);
    at = build_value(&in, "arith.index_cast", i64, 1, &at, 0, NULL);
    at = build_value(&in, "arith.addi", i64, 2, (MlirValue[]){at, start}, 0, NULL);
    build_op(&in, "linalg.yield", 0, NULL, 1, &at, 0, NULL);
    MlirAttribute map = mlirAffineMapAttrGet(mlirAffineMapMultiDimIdentityGet(b->ctx, 1));
    return build_generic(b, 1, &empty, &map, 1, NULL, body);
}

// Whole rows from a computed one on.
static bool read_insertion(MlirOperation op, store *s)
{
    spot to;
    MlirValue rows = mlirOperationGetOperand(op, 0);
    if (!op_is(mlirOperationGetParentOperation(op), "func.func") || !is_static(rows) || !read_spot(op, true, 2, &to))
        return false;
    int rank = rank_of(to.of);
    *s = (store){.y = to.of, .axis = -1};
    for (int d = 0; d < rank; d++) {
        int64_t number;
        if (to.at[d].ptr && !step_index_value(to.at[d], &number) && s->axis < 0)
            s->axis = d;
        else if (to.at[d].ptr || to.size[d] != dim_of(to.of, d))
            return false;
    }
    if (s->axis < 0 || s->axis + 1 == rank) return false;
    op_builder b = op_builder_before(op);
    s->rows = reshape(&b, rows, rank, to.size, (MlirValue){0});
    s->at = build_places(&b, to.at[s->axis], to.size[s->axis]);
    return s->rows.ptr != NULL;
}

bool raise_store_rows(matcher *m, MlirOperation op)
{
    store s = {0};
    bool found = op_is(op, "scf.for")               ? read_loop_store(m, op, &s)
                 : op_is(op, "tosa.scatter")        ? read_tosa_scatter(op, &s)
                 : op_is(op, "tm_tensor.scatter")   ? read_scatter(m, op, &s)
                 : op_is(op, "tensor.insert_slice") ? read_insertion(op, &s)
                                                    : false;
    found = found && mlirTypeEqual(element_type_of(s.y), element_type_of(s.rows));
    if (found) write_store(op, &s);
    return found;
}
