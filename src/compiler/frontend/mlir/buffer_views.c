#include "compiler/frontend/mlir/buffer_views.h"

#include <string.h>

#include "compiler/mlir/text.h"

bool buffer_is(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAMemRef(t) || mlirTypeIsAUnrankedMemRef(t);
}

void buffers_refuse(buffers *s, MlirOperation op, const char *reason)
{
    if (s->status == WF_OK) s->status = refuse_op(op, reason, s->err);
}

// The tensor type of a buffer; null: its rank is not known.
MlirType buffer_tensor_type(MlirType t)
{
    if (!mlirTypeIsAMemRef(t) || mlirShapedTypeGetRank(t) > MAX_RANK) return (MlirType){0};
    return tensor_like(t, mlirShapedTypeGetElementType(t));
}

static MlirNamedAttribute keep_attribute(MlirOperation op, const char *name)
{
    return mlirNamedAttributeGet(mlirIdentifierGet(mlirOperationGetContext(op), mlir_text(name)),
                                 op_attribute(op, name));
}

// ---- roots and views

bool buffer_is_view(MlirOperation op)
{
    static const char *const NAMES[] = {"memref.subview", "memref.cast", "memref.collapse_shape", "memref.expand_shape",
                                        "memref.assume_alignment"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (op_is(op, NAMES[i]) && mlirOperationGetNumResults(op) == 1) return true;
    return false;
}

// -1: none that is known.
int buffer_root_of(const buffers *s, MlirValue v)
{
    while (buffer_is_view(defining_op(v))) v = mlirOperationGetOperand(defining_op(v), 0);
    MlirOperation op = defining_op(v);
    bool global = op_is(op, "memref.get_global"), made = op_is(op, "bufferization.to_buffer");
    if (made) v = mlirOperationGetOperand(op, 0);
    for (int i = s->n; i-- > 0;) {
        const buffer_root *r = &s->roots[i];
        if (global && r->global.data &&
            mlirStringRefEqual(r->global, mlirFlatSymbolRefAttrGetValue(op_attribute(op, "name"))))
            return i;
        if (!global && r->from.ptr && mlirValueEqual(r->from, v)) return i;
    }
    return -1;
}

void buffers_add_root(buffers *s, MlirOperation op, MlirValue from, MlirStringRef global, MlirValue now)
{
    if (s->n == MAX_ROOTS)
        buffers_refuse(s, op, "is one of too many buffers");
    else
        s->roots[s->n++] = (buffer_root){from, global, now, false};
}

// ---- whole buffers

MlirValue buffer_cast(op_builder *b, MlirValue v, MlirType type)
{
    return mlirTypeEqual(mlirValueGetType(v), type) ? v : build_value(b, "tensor.cast", type, 1, &v, 0, NULL);
}

// Offsets, sizes and strides of a subview, for the slice op `name` with `n` operands in front.
static MlirValue build_slice(MlirOperation alias, op_builder *b, const char *name, MlirType type, int n,
                             const MlirValue *first)
{
    MlirValue operands[2 + 3 * MAX_RANK];
    int32_t segments[5] = {0};
    int count = 0, k = 0;
    for (int i = 0; i < n; i++) operands[count++] = first[i], segments[k++] = 1;
    for (int part = 1; part < 4; part++) {
        int64_t at, size = op_segment(alias, part, &at);
        for (int64_t i = 0; i < size; i++) operands[count++] = mlirOperationGetOperand(alias, at + i);
        segments[k++] = (int32_t)size;
    }
    MlirNamedAttribute attributes[] = {keep_attribute(alias, "static_offsets"), keep_attribute(alias, "static_sizes"),
                                       keep_attribute(alias, "static_strides"), named_segments(b, k, segments)};
    return build_value(b, name, type, count, operands, 4, attributes);
}

static MlirValue build_reshape(op_builder *b, MlirOperation alias, MlirValue x, MlirType type, bool expand)
{
    MlirNamedAttribute attributes[2] = {keep_attribute(alias, "reassociation")};
    if (!expand) return build_value(b, "tensor.collapse_shape", type, 1, &x, 1, attributes);
    int64_t dims[MAX_RANK];
    int rank = (int)mlirShapedTypeGetRank(type);
    for (int d = 0; d < rank; d++) dims[d] = mlirShapedTypeGetDimSize(type, d);
    attributes[1] = mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("static_output_shape")),
                                          mlirDenseI64ArrayGet(b->ctx, rank, dims));
    return build_value(b, "tensor.expand_shape", type, 1, &x, 2, attributes);
}

static MlirValue read_view(buffers *s, MlirOperation user, MlirOperation alias)
{
    MlirValue x = buffer_read(s, user, mlirOperationGetOperand(alias, 0));
    MlirType type = buffer_tensor_type(mlirValueGetType(mlirOperationGetResult(alias, 0)));
    if (s->status != WF_OK) return x;
    op_builder b = op_builder_before(user);
    if (!type.ptr)
        buffers_refuse(s, alias, "makes a buffer of a rank that is not known");
    else if (op_is(alias, "memref.subview"))
        return build_slice(alias, &b, "tensor.extract_slice", type, 1, &x);
    else if (op_is(alias, "memref.collapse_shape"))
        return build_reshape(&b, alias, x, type, false);
    else if (!op_is(alias, "memref.expand_shape"))
        return buffer_cast(&b, x, type);
    else if (mlirShapedTypeHasStaticShape(type))
        return build_reshape(&b, alias, x, type, true);
    buffers_refuse(s, alias, "has sizes that are not known");
    return x;
}

// What the buffer holds in front of `user`. Null after a failure.
MlirValue buffer_read(buffers *s, MlirOperation user, MlirValue v)
{
    if (s->status != WF_OK) return (MlirValue){0};
    if (buffer_is_view(defining_op(v))) return read_view(s, user, defining_op(v));
    int root = buffer_root_of(s, v);
    if (root < 0) buffers_refuse(s, user, "works on a buffer of unknown origin");
    return root < 0 ? (MlirValue){0} : s->roots[root].now;
}

void buffer_write(buffers *s, MlirOperation user, MlirValue v, MlirValue x)
{
    if (s->status != WF_OK) return;
    op_builder b = op_builder_before(user);
    MlirOperation alias = defining_op(v);
    if (!buffer_is_view(alias)) {
        int root = buffer_root_of(s, v);
        if (root < 0) {
            buffers_refuse(s, user, "works on a buffer of unknown origin");
            return;
        }
        s->roots[root].now = buffer_cast(&b, x, mlirValueGetType(s->roots[root].now));
        s->roots[root].written = true;
        return;
    }
    MlirValue parent = mlirOperationGetOperand(alias, 0), operands[] = {x, buffer_read(s, user, parent)};
    if (s->status != WF_OK) return;
    MlirType type = mlirValueGetType(operands[1]);
    if (op_is(alias, "memref.subview"))
        x = build_slice(alias, &b, "tensor.insert_slice", type, 2, operands);
    else if (op_is(alias, "memref.expand_shape"))
        x = build_reshape(&b, alias, x, type, false);
    else if (op_is(alias, "memref.collapse_shape") && mlirShapedTypeHasStaticShape(type))
        x = build_reshape(&b, alias, x, type, true);
    else if (op_is(alias, "memref.collapse_shape"))
        buffers_refuse(s, alias, "has sizes that are not known");
    else
        x = buffer_cast(&b, x, type);
    buffer_write(s, user, parent, x);
}

// ---- single elements

static MlirValue constant(op_builder *b, int64_t n)
{
    MlirType index = mlirIndexTypeGet(b->ctx);
    MlirNamedAttribute value =
        mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("value")), mlirIntegerAttrGet(index, n));
    return build_value(b, "arith.constant", index, 0, NULL, 1, &value);
}

static MlirValue arithmetic(op_builder *b, const char *name, MlirValue x, MlirValue y)
{
    return build_value(b, name, mlirIndexTypeGet(b->ctx), 2, (MlirValue[]){x, y}, 0, NULL);
}

static MlirValue mixed(op_builder *b, MlirOperation alias, int segment, const char *name, int d)
{
    MlirAttribute numbers = op_attribute(alias, name);
    int64_t first, n = mlirDenseI64ArrayGetElement(numbers, d);
    if (n != INT64_MIN) return constant(b, n);
    op_segment(alias, segment, &first);
    for (int i = 0; i < d; i++) first += mlirDenseI64ArrayGetElement(numbers, i) == INT64_MIN;
    return mlirOperationGetOperand(alias, first);
}

// Indices of a subview as those of its operand: axes of size 1 may be left out.
static int subview_indices(op_builder *b, MlirOperation alias, int n, MlirValue at[MAX_RANK])
{
    MlirType type = mlirValueGetType(mlirOperationGetResult(alias, 0));
    MlirAttribute sizes = op_attribute(alias, "static_sizes");
    int rank = (int)mlirDenseArrayGetNumElements(sizes), k = 0;
    MlirValue old[MAX_RANK];
    memcpy(old, at, sizeof old);
    for (int d = 0; d < rank; d++) {
        int64_t size = mlirDenseI64ArrayGetElement(sizes, d);
        at[d] = mixed(b, alias, 1, "static_offsets", d);
        bool kept = k < n && (rank - d <= n - k || size != 1 || mlirShapedTypeGetDimSize(type, k) == 1);
        if (!kept) continue;
        MlirValue stride = mixed(b, alias, 3, "static_strides", d);
        at[d] = arithmetic(b, "arith.addi", at[d], arithmetic(b, "arith.muli", old[k++], stride));
    }
    return rank;
}

// Indices of a reshape as those of its operand: by group, from the place within the group.
static int reshape_indices(buffers *s, op_builder *b, MlirOperation alias, MlirValue at[MAX_RANK], MlirType parent)
{
    MlirAttribute groups = op_attribute(alias, "reassociation");
    bool collapse = op_is(alias, "memref.collapse_shape");
    MlirType type = collapse ? parent : mlirValueGetType(mlirOperationGetResult(alias, 0));
    MlirValue out[MAX_RANK];
    int n = 0;
    if (!mlirShapedTypeHasStaticShape(type)) {
        buffers_refuse(s, alias, "has sizes that are not known");
        return 0;
    }
    for (intptr_t g = 0; g < mlirArrayAttrGetNumElements(groups); g++) {
        MlirAttribute group = mlirArrayAttrGetElement(groups, g);
        intptr_t size = mlirArrayAttrGetNumElements(group),
                 first = size ? mlirIntegerAttrGetValueInt(mlirArrayAttrGetElement(group, 0)) : 0;
        if (collapse) {
            MlirValue rest = at[g];
            for (intptr_t i = size; i-- > 0;) {
                MlirValue extent = constant(b, mlirShapedTypeGetDimSize(type, first + i));
                out[first + i] = i ? arithmetic(b, "arith.remui", rest, extent) : rest;
                if (i) rest = arithmetic(b, "arith.divui", rest, extent);
            }
            n += (int)size;
        } else {
            MlirValue place = constant(b, 0);
            for (intptr_t i = 0; i < size; i++) {
                place = arithmetic(b, "arith.muli", place, constant(b, mlirShapedTypeGetDimSize(type, first + i)));
                place = arithmetic(b, "arith.addi", place, at[first + i]);
            }
            out[n++] = place;
        }
    }
    memcpy(at, out, sizeof(MlirValue) * (size_t)n);
    return n;
}

// The root of v, and element `at` of v as one of the root's. -1 after a failure.
int buffer_element(buffers *s, MlirOperation user, MlirValue v, int *n, MlirValue at[MAX_RANK])
{
    op_builder b = op_builder_before(user);
    for (; buffer_is_view(defining_op(v)) && s->status == WF_OK; v = mlirOperationGetOperand(defining_op(v), 0)) {
        MlirOperation alias = defining_op(v);
        if (op_is(alias, "memref.subview"))
            *n = subview_indices(&b, alias, *n, at);
        else if (op_is(alias, "memref.collapse_shape") || op_is(alias, "memref.expand_shape"))
            *n = reshape_indices(s, &b, alias, at, mlirValueGetType(mlirOperationGetOperand(alias, 0)));
    }
    int root = buffer_root_of(s, v);
    if (root < 0) buffers_refuse(s, user, "works on a buffer of unknown origin");
    return root;
}
