// Reshapes and slices are views; tensors that are put together from parts are copies into slices.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compiler/lower/lowering.h"

// Strides of the same elements in another shape, where no copy is needed: sizes are matched from the left in groups of
// equal product, and within a group the old dimensions must follow each other in memory.
static bool view_as(tensor *x, const tensor *shape)
{
    int64_t strides[MAX_RANK];
    int from = 0, to = 0;
    if (!tensor_count(x)) return false;
    while (from < x->rank || to < shape->rank) {
        int first = from, start = to;
        int64_t old = from < x->rank ? x->dims[from++] : 1, now = to < shape->rank ? shape->dims[to++] : 1;
        while (old != now) {
            if (old < now && from == x->rank) return false;
            if (old > now && to == shape->rank) return false;
            if (old < now)
                old *= x->dims[from++];
            else
                now *= shape->dims[to++];
        }
        int64_t stride = 1, last = -1; // last: the innermost old dimension that is no 1
        for (int d = first; d < from; d++)
            if (x->dims[d] != 1) last = d;
        if (last >= 0) stride = x->strides[last];
        int64_t expected = stride;
        for (int d = from; d-- > first;) {
            if (x->dims[d] == 1) continue;
            if (x->strides[d] != expected) return false;
            expected *= x->dims[d];
        }
        for (int d = to; d-- > start;) {
            strides[d] = stride;
            stride *= shape->dims[d];
        }
    }
    x->rank = shape->rank;
    memcpy(x->dims, shape->dims, sizeof x->dims);
    memcpy(x->strides, strides, sizeof x->strides);
    return true;
}

// The open sizes of a reshape's result: of a size that is cut in parts, as its operands say, or what its other parts
// leave; of sizes that are joined, their product.
static wf_status read_new_sizes(lowering *l, const tensor *x, MlirValue y, size_code open[MAX_RANK])
{
    MlirType t = mlirValueGetType(y);
    MlirAttribute groups = op_attribute(l->op, "reassociation");
    bool expands = op_is(l->op, "tensor.expand_shape");
    if (mlirShapedTypeHasStaticShape(t)) return WF_OK;
    if (!groups.ptr) return lowering_refuse(l, "needs its sizes");
    intptr_t operand = 1; // the open sizes of an expanded shape, in order
    for (intptr_t g = 0; g < mlirArrayAttrGetNumElements(groups); g++) {
        MlirAttribute group = mlirArrayAttrGetElement(groups, g);
        intptr_t n = mlirArrayAttrGetNumElements(group), cut = -1, n_open = 0, n_told = 0;
        size_code parts[MAX_RANK], all = 1;
        int64_t rest = 1;
        for (intptr_t i = 0; i < n && i < MAX_RANK; i++) {
            int64_t d = mlirIntegerAttrGetValueInt(mlirArrayAttrGetElement(group, i));
            if (!expands) {
                parts[i] = x->dims[d];
            } else if (mlirShapedTypeIsDynamicDim(t, d)) {
                cut = d;
                n_open++;
                n_told += operand < mlirOperationGetNumOperands(l->op) &&
                          lowering_read_size(l, mlirOperationGetOperand(l->op, operand++), &open[d]);
            } else {
                rest *= mlirShapedTypeGetDimSize(t, d);
            }
        }
        if (!expands && (n > MAX_RANK || !lowering_multiply(l, parts, (int)n, &open[g])))
            return lowering_refuse(l, "needs its sizes");
        if (!expands || n_told == n_open) continue;
        all = x->dims[g];
        if (n_open > 1 || rest < 1 || size_factor(all) % rest) return lowering_refuse(l, "needs its sizes");
        open[cut] = all < 0 ? size_of(size_dim(all), size_factor(all) / rest) : all / rest;
    }
    return WF_OK;
}

wf_status lower_reshape(lowering *l)
{
    MlirValue y = mlirOperationGetResult(l->op, 0);
    tensor x, shape;
    size_code open[MAX_RANK] = {0}, before, after;
    TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, 0), &x));
    TRY(read_new_sizes(l, &x, y, open));
    TRY(lowering_read_type(l, mlirValueGetType(y), open, &shape));
    if (!lowering_multiply(l, x.dims, x.rank, &before) || !lowering_multiply(l, shape.dims, shape.rank, &after) ||
        (before != after && !lowering_equate(l, before, after)))
        return lowering_refuse(l, "changes the number of elements");
    bool fixed = tensor_is_fixed(&x) && tensor_is_fixed(&shape);
    if (!fixed && (x.offset || !tensor_is_contiguous(&x))) return lowering_refuse(l, "needs its sizes");
    if (x.place == PLACE_MEMORY && !tensor_is_contiguous(&x) && view_as(&x, &shape))
        return lowering_add_tensor(l, y, &x);
    if (x.place == PLACE_MEMORY) TRY(lowering_to_memory(l, &x));
    memcpy(x.dims, shape.dims, sizeof x.dims);
    memcpy(x.strides, shape.strides, sizeof x.strides);
    x.rank = shape.rank;
    return lowering_add_tensor(l, y, &x);
}

wf_status lower_alias(lowering *l)
{
    tensor x;
    TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, 0), &x));
    return lowering_add_tensor(l, mlirOperationGetResult(l->op, 0), &x);
}

wf_status lower_columns(lowering *l)
{
    columns_op op;
    tensor x;
    columns_read(l->op, &op);
    TRY(lowering_read_tensor(l, op.x, &x));
    x.offset += op.first;
    x.dims[x.rank - 1] = dim_of(op.y.value, x.rank - 1);
    return lowering_add_tensor(l, op.y.value, &x);
}

// Entry d of an array of fixed numbers, in which those that are operands count as INT64_MIN: constants are looked up.
// *operand is the next operand. INT64_MIN: it is computed.
static int64_t mixed_number(lowering *l, MlirAttribute numbers, intptr_t d, intptr_t *operand)
{
    int64_t n = mlirDenseI64ArrayGetElement(numbers, d);
    if (n != INT64_MIN || *operand >= mlirOperationGetNumOperands(l->op)) return n;
    MlirAttribute a = constant_attribute_of(defining_op(mlirOperationGetOperand(l->op, (*operand)++)));
    return a.ptr && mlirAttributeIsAInteger(a) ? mlirIntegerAttrGetValueInt(a) : INT64_MIN;
}

static wf_status refuse_stride(lowering *l, int64_t stride)
{
    char reason[64];
    snprintf(reason, sizeof reason, "has a stride of %" PRId64, stride);
    return lowering_refuse(l, reason);
}

// The part of `x` that an op with static_offsets, static_sizes and static_strides means. Sizes of 1 are dropped until
// the rank is that of `shape`.
static wf_status take_slice(lowering *l, intptr_t operand, const tensor *x, const tensor *shape, tensor *part)
{
    int64_t offset_of[MAX_RANK], size_of[MAX_RANK], stride_of[MAX_RANK];
    MlirAttribute offsets = op_attribute(l->op, "static_offsets"), sizes = op_attribute(l->op, "static_sizes"),
                  strides = op_attribute(l->op, "static_strides");
    if (!offsets.ptr || !sizes.ptr || !strides.ptr || mlirDenseArrayGetNumElements(offsets) != x->rank)
        return lowering_refuse(l, "cannot be compiled");
    for (int d = 0; d < x->rank; d++) offset_of[d] = mixed_number(l, offsets, d, &operand);
    for (int d = 0; d < x->rank; d++) size_of[d] = mixed_number(l, sizes, d, &operand);
    for (int d = 0; d < x->rank; d++) stride_of[d] = mixed_number(l, strides, d, &operand);
    *part = *x;
    part->rank = 0;
    for (int d = 0; d < x->rank; d++) {
        int64_t offset = offset_of[d], size = size_of[d], stride = stride_of[d], last;
        if (offset == INT64_MIN || size == INT64_MIN || stride == INT64_MIN)
            return lowering_refuse(l, "has an offset, a size or a stride that is computed");
        if (offset < 0 || size < 0) return lowering_refuse(l, "has an offset or a size that is negative");
        if (stride < 1) return refuse_stride(l, stride);
        if (__builtin_mul_overflow(size ? size - 1 : 0, stride, &last) || __builtin_add_overflow(last, offset, &last) ||
            (size && last >= x->dims[d]))
            return lowering_refuse(l, "reaches beyond its operand");
        if (size) part->offset += offset * x->strides[d];
        bool matches = part->rank < shape->rank && shape->dims[part->rank] == size;
        if (!matches && size == 1) continue; // which of several sizes of 1 is dropped makes no difference
        if (!matches) return lowering_refuse(l, "has a shape that does not fit its sizes");
        part->dims[part->rank] = size;
        part->strides[part->rank++] = x->strides[d] * stride;
    }
    return part->rank == shape->rank ? WF_OK : lowering_refuse(l, "has a shape that does not fit its sizes");
}

wf_status lower_extract_slice(lowering *l)
{
    MlirValue y = mlirOperationGetResult(l->op, 0);
    tensor x, shape, part;
    TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, 0), &x));
    TRY(lowering_read_type(l, mlirValueGetType(y), NULL, &shape));
    TRY(take_slice(l, 1, &x, &shape, &part));
    return lowering_add_tensor(l, y, &part);
}

// A chain of insertions into one tensor writes into one buffer, when nobody looks at the steps between.
static bool owns_buffer(const lowering *l, MlirValue v, const tensor *x)
{
    return x->place == PLACE_MEMORY && op_is(defining_op(v), "tensor.insert_slice") && has_one_use(v) &&
           l->roots[x->root].area == FUNCTION_ARENA;
}

// ---- memory that is taken over

static MlirOperation ancestor_in_entry(const lowering *l, MlirOperation op)
{
    while (op.ptr && !mlirBlockEqual(mlirOperationGetBlock(op), l->entry)) op = mlirOperationGetParentOperation(op);
    return op;
}

static const tensor *find_tensor(const lowering *l, MlirValue v)
{
    for (size_t i = l->n_tensors; i-- > 0;)
        if (mlirValueEqual(l->keys[i], v)) return &l->tensors[i];
    return NULL;
}

// Whether v is read by the op being lowered, other than as its operand i, or behind it. What an op before it gives may be
// read later too: other views of the memory, scalars, and moves that nobody makes (attention_reads_through).
static bool is_read_later(const lowering *l, MlirValue v, intptr_t i, int memory, int depth)
{
    enum { MAX_DEPTH = 16 };
    if (depth > MAX_DEPTH) return true;
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use)) {
        MlirOperation user = mlirOpOperandGetOwner(use), at = ancestor_in_entry(l, user);
        if (mlirOperationEqual(user, l->op) && (intptr_t)mlirOpOperandGetOperandNumber(use) == i) continue;
        if (!at.ptr || !mlirOperationIsBeforeInBlock(at, l->op)) return true;
        for (intptr_t r = 0; r < mlirOperationGetNumResults(at); r++) {
            MlirValue y = mlirOperationGetResult(at, r);
            const tensor *x = find_tensor(l, y);
            bool made = x && x->place == PLACE_MEMORY && x->root != memory;
            if (!made && is_read_later(l, y, i, memory, depth + 1)) return true;
        }
    }
    return false;
}

bool lowering_take_over(lowering *l, intptr_t i, const tensor *x)
{
    bool donated = false;
    affine bytes;
    if (x->place != PLACE_MEMORY || x->offset || !tensor_is_contiguous(x)) return false;
    for (uint32_t r = 0; r < l->n_results; r++) donated = donated || l->donors[r].root == x->root;
    if (!donated || tensor_bytes(l, x, &bytes) != WF_OK || memcmp(&bytes, &l->roots[x->root].bytes, sizeof bytes) != 0)
        return false;
    for (size_t k = 0; k < l->n_tensors; k++)
        if (l->tensors[k].root == x->root && l->tensors[k].place == PLACE_MEMORY &&
            is_read_later(l, l->keys[k], i, x->root, 0))
            return false;
    l->roots[x->root].overwritten = true;
    return true;
}

wf_status lower_insert_slice(lowering *l)
{
    MlirValue y = mlirOperationGetResult(l->op, 0), into = mlirOperationGetOperand(l->op, 1);
    tensor x, whole, result, part;
    TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, 0), &x));
    TRY(lowering_read_tensor(l, into, &whole));
    if (owns_buffer(l, into, &whole) || lowering_take_over(l, 1, &whole)) {
        result = whole;
    } else {
        TRY(lowering_new_tensor(l, mlirValueGetType(y), NULL, &result));
        if (whole.place != PLACE_EMPTY) TRY(lowering_copy(l, &whole, &result));
    }
    TRY(take_slice(l, 2, &result, &x, &part));
    if (x.place != PLACE_EMPTY) TRY(lowering_copy(l, &x, &part));
    return lowering_add_tensor(l, y, &result);
}

wf_status lower_concat(lowering *l)
{
    MlirValue y = mlirOperationGetResult(l->op, 0);
    tensor result;
    int64_t axis = op_int(l->op, "dim", -1), at = 0;
    TRY(lowering_new_tensor(l, mlirValueGetType(y), NULL, &result));
    if (axis < 0 || axis >= result.rank) return lowering_refuse(l, "has no such axis");
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(l->op); i++) {
        tensor x, part = result;
        TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, i), &x));
        if (x.rank != result.rank || at + x.dims[axis] > result.dims[axis])
            return lowering_refuse(l, "has operands that do not fit");
        part.dims[axis] = x.dims[axis];
        part.offset = at * result.strides[axis];
        at += x.dims[axis];
        if (x.place != PLACE_EMPTY) TRY(lowering_copy(l, &x, &part));
    }
    return lowering_add_tensor(l, y, &result);
}

// Whether what `op` holds computes v, other than as a constant.
static bool is_inside(MlirValue v, MlirOperation op)
{
    MlirOperation from = defining_op(v);
    if (!from.ptr) return mlirOperationEqual(mlirBlockGetParentOperation(mlirBlockArgumentGetOwner(v)), op);
    return mlirOperationEqual(mlirOperationGetParentOperation(from), op) && !op_is(from, "arith.constant");
}

// What a pad leaves of x along dimension d, in x and in the result: element i of x is element i + low of the result.
static bool cut_dimension(int64_t low, int64_t high, int d, tensor *x, tensor *part)
{
    int64_t size, end;
    if (__builtin_add_overflow(x->dims[d], high, &end) || __builtin_add_overflow(end, low, &size) ||
        size != part->dims[d])
        return false;
    int64_t from = low < 0 ? -low : 0;
    if (from > x->dims[d]) from = x->dims[d];
    if (end > x->dims[d]) end = x->dims[d];
    int64_t left = end > from ? end - from : 0;
    if (left) {
        x->offset += from * x->strides[d];
        part->offset += (from + low) * part->strides[d];
    }
    x->dims[d] = part->dims[d] = left;
    return true;
}

wf_status lower_pad(lowering *l)
{
    MlirValue y = mlirOperationGetResult(l->op, 0);
    MlirAttribute low = op_attribute(l->op, "static_low"), high = op_attribute(l->op, "static_high");
    MlirOperation yield = mlirBlockGetTerminator(mlirRegionGetFirstBlock(mlirOperationGetRegion(l->op, 0)));
    tensor x, result, padding;
    TRY(lowering_read_tensor(l, mlirOperationGetOperand(l->op, 0), &x));
    TRY(lowering_new_tensor(l, mlirValueGetType(y), NULL, &result));
    if (!low.ptr || !high.ptr || mlirDenseArrayGetNumElements(low) != x.rank)
        return lowering_refuse(l, "cannot be compiled");
    int64_t before_of[MAX_RANK], after_of[MAX_RANK];
    intptr_t operand = 1;
    for (int d = 0; d < x.rank; d++) before_of[d] = mixed_number(l, low, d, &operand);
    for (int d = 0; d < x.rank; d++) after_of[d] = mixed_number(l, high, d, &operand);
    padding = result;
    padding.place = PLACE_SPLAT;
    padding.root = -1;
    padding.scalar = mlirOperationGetOperand(yield, 0);
    if (is_inside(padding.scalar, l->op)) return lowering_refuse(l, "has padding that depends on the place");
    tensor part = result;
    for (int d = 0; d < x.rank; d++) {
        if (before_of[d] == INT64_MIN || after_of[d] == INT64_MIN)
            return lowering_refuse(l, "has an amount that is computed");
        if (!cut_dimension(before_of[d], after_of[d], d, &x, &part))
            return lowering_refuse(l, "has amounts that do not fit its sizes");
    }
    TRY(lowering_copy(l, &padding, &result));
    if (x.place != PLACE_EMPTY && tensor_count(&x)) TRY(lowering_copy(l, &x, &part));
    return lowering_add_tensor(l, y, &result);
}

wf_status lower_from_elements(lowering *l)
{
    MlirValue y = mlirOperationGetResult(l->op, 0);
    tensor result;
    intptr_t n = mlirOperationGetNumOperands(l->op);
    if (n == 1 && op_name_starts_with(defining_op(mlirOperationGetOperand(l->op, 0)), "scf."))
        return WF_OK; // the routine writes it (routine_call.c)
    if (n > 64) return lowering_refuse(l, "has more than 64 elements");
    TRY(lowering_new_tensor(l, mlirValueGetType(y), NULL, &result));
    for (intptr_t i = 0; i < n; i++) {
        tensor one = {.place = PLACE_SPLAT, .element = result.element, .root = -1};
        tensor slot = {.place = PLACE_MEMORY, .element = result.element, .root = result.root, .offset = i};
        one.scalar = mlirOperationGetOperand(l->op, i);
        TRY(lowering_copy(l, &one, &slot));
    }
    return lowering_add_tensor(l, y, &result);
}
