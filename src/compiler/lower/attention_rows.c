// Keys and values that an attention of few tokens reads where they lie: what brings a cache [sequences, heads, positions,
// features] into the rows that wf.attention takes, a transposition between reshapes, is not lowered at all.
#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

#include "compiler/lower/lowering.h"

enum { POSITIONS, HEADS, SEQUENCES, N_STRIDES };

static bool is_reshape(MlirOperation op)
{
    return op_is(op, "tensor.collapse_shape") || op_is(op, "tensor.expand_shape");
}

// A structured op that gives back its operand with its axes in another order: axis d of the result is axes[d] of the
// operand.
static bool read_move(MlirOperation op, int axes[MAX_RANK])
{
    if (!op_is(op, "linalg.generic") || mlirOperationGetNumOperands(op) != 2 || mlirOperationGetNumResults(op) != 1)
        return false;
    MlirBlock body = function_body(op);
    MlirOperation end = mlirBlockGetTerminator(body);
    MlirAttribute maps = op_attribute(op, "indexing_maps");
    MlirAffineMap in = mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(maps, 0)),
                  out = mlirAffineMapAttrGetValue(mlirArrayAttrGetElement(maps, 1));
    if (!mlirOperationEqual(mlirBlockGetFirstOperation(body), end) ||
        !mlirValueEqual(mlirOperationGetOperand(end, 0), mlirBlockGetArgument(body, 0)) ||
        !mlirAffineMapIsIdentity(out) || !mlirAffineMapIsPermutation(in) || mlirAffineMapGetNumDims(in) > MAX_RANK)
        return false;
    for (intptr_t d = 0; d < mlirAffineMapGetNumResults(in); d++)
        axes[mlirAffineDimExprGetPosition(mlirAffineMapGetResult(in, d))] = (int)d;
    return true;
}

// The transposition that v is a reshape of, nothing of which anybody else looks at; null op: there is none.
static MlirOperation move_behind(MlirValue v)
{
    int axes[MAX_RANK];
    MlirOperation op = defining_op(v), none = {0};
    while (is_reshape(op) && has_one_use(v)) {
        v = mlirOperationGetOperand(op, 0);
        op = defining_op(v);
    }
    return op.ptr && has_one_use(v) && read_move(op, axes) ? op : none;
}

// Takes an axis of that size off the end of the axes that are left, where it is there: else its index is always 0.
static int64_t take_axis(const tensor *x, int *n, int64_t size)
{
    while (*n && x->dims[*n - 1] == 1) --*n;
    return *n && size != 1 && x->dims[*n - 1] == size ? x->strides[--*n] : 0;
}

// Strides by the sizes of the rows: all axes must be found.
static bool read_strides(const tensor *x, MlirValue v, int64_t n_heads, tensor *rows)
{
    int n = x->rank, rank = rank_of(v);
    int64_t positions = dim_of(v, rank - 2), features = dim_of(v, rank - 1) / n_heads, sequences = 1;
    for (int d = 0; d + 2 < rank; d++) sequences *= dim_of(v, d);
    *rows = *x;
    if (take_axis(x, &n, features) != 1) return false;
    rows->strides[HEADS] = take_axis(x, &n, n_heads);
    rows->strides[POSITIONS] = take_axis(x, &n, positions);
    rows->strides[SEQUENCES] = take_axis(x, &n, sequences);
    take_axis(x, &n, 1);
    return n == 0;
}

static bool find_moved(lowering *l, MlirOperation move, MlirValue v, int64_t n_heads, tensor *rows)
{
    int axes[MAX_RANK];
    tensor x, moved;
    if (!read_move(move, axes) || lowering_read_tensor(l, mlirOperationGetOperand(move, 0), &x) != WF_OK) return false;
    if (x.place != PLACE_MEMORY || !tensor_is_fixed(&x)) return false;
    moved = x;
    for (int d = 0; d < x.rank; d++) {
        moved.dims[d] = x.dims[axes[d]];
        moved.strides[d] = x.strides[axes[d]];
    }
    return read_strides(&moved, v, n_heads, rows);
}

// Rows of all heads side by side.
static bool find_flat(lowering *l, MlirValue v, int64_t n_heads, tensor *rows)
{
    tensor x;
    if (lowering_read_tensor(l, v, &x) != WF_OK || x.place != PLACE_MEMORY || !tensor_is_contiguous(&x)) return false;
    int64_t row = x.dims[x.rank - 1];
    *rows = x;
    rows->strides[HEADS] = row / n_heads;
    rows->strides[SEQUENCES] = row * x.dims[x.rank - 2];
    rows->strides[POSITIONS] = row;
    return true;
}

bool attention_find_rows(lowering *l, MlirValue v, int64_t n_heads, tensor *rows)
{
    MlirOperation move = move_behind(v);
    return move.ptr ? find_moved(l, move, v, n_heads, rows) : find_flat(l, v, n_heads, rows);
}

// The keys or values of an attention that `op`, all of whose uses lie between them, leads to; null value: there are none.
static MlirValue leads_to(const lowering *l, MlirOperation op, attention_op *a)
{
    MlirValue v = {0};
    if (mlirOperationGetNumResults(op) != 1) return v;
    v = mlirOperationGetResult(op, 0);
    while (has_one_use(v)) {
        MlirOperation user = mlirOpOperandGetOwner(mlirValueGetFirstUse(v));
        if (is_reshape(user)) {
            v = mlirOperationGetResult(user, 0);
            continue;
        }
        if (!attention_read(user, a) || mlirValueEqual(v, a->q) || !attention_reads_rows(user, &l->b->target)) break;
        if (mlirValueEqual(v, a->k) || mlirValueEqual(v, a->v)) return v;
        break;
    }
    return (MlirValue){0};
}

bool attention_reads_through(lowering *l, MlirOperation op)
{
    attention_op a;
    int axes[MAX_RANK];
    if (!is_reshape(op) && !read_move(op, axes)) return false;
    MlirValue v = leads_to(l, op, &a);
    MlirOperation move = v.ptr ? move_behind(v) : (MlirOperation){0};
    tensor rows;
    if (!move.ptr || !find_moved(l, move, v, a.n_kv_heads, &rows)) return false;
    // what stands in front of the transposition is lowered
    for (MlirOperation at = defining_op(v);; at = defining_op(mlirOperationGetOperand(at, 0))) {
        if (mlirOperationEqual(at, op)) return true;
        if (mlirOperationEqual(at, move)) return false;
    }
}

wf_status attention_move_rows(lowering *l, MlirValue v)
{
    MlirOperation move = move_behind(v), chain[MAX_RANK], attention = l->op;
    int n = 0;
    tensor known;
    if (!move.ptr || lowering_read_tensor(l, v, &known) == WF_OK) return WF_OK;
    for (MlirOperation at = defining_op(v); n < MAX_RANK; at = defining_op(mlirOperationGetOperand(at, 0))) {
        chain[n++] = at;
        if (mlirOperationEqual(at, move)) break;
    }
    wf_status status = WF_OK;
    while (n > 0 && status == WF_OK) {
        l->op = chain[--n];
        status = is_reshape(l->op) ? lower_reshape(l) : lower_generic(l);
    }
    l->op = attention;
    return status;
}
