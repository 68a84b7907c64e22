// Tensors, constants and roots.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "compiler/kernel/rows/q8.h"
#include "compiler/lower/lowering.h"
#include "compiler/mlir/constant.h"
#include "compiler/mlir/constant_tensor.h"
#include "compiler/mlir/text.h"

// ---- tables

bool lowering_grow(void **items, size_t *max, size_t n, size_t size)
{
    if (n < *max) return true;
    size_t capacity = *max ? *max * 2 : 64;
    void *more = realloc(*items, capacity * size);
    if (!more) return false;
    *items = more;
    *max = capacity;
    return true;
}

wf_status lowering_refuse_op(lowering *l, MlirOperation op, const char *reason)
{
    return refuse_op(op, reason, l->err);
}

wf_status lowering_refuse(lowering *l, const char *reason) { return lowering_refuse_op(l, l->op, reason); }

wf_status lowering_refuse_kernel(lowering *l, const char *why)
{
    char reason[256];
    snprintf(reason, sizeof reason, "cannot be compiled: %s", why);
    return lowering_refuse(l, reason);
}

// ---- roots

int lowering_add_root(lowering *l, uint32_t area, affine offset, affine bytes)
{
    if (!GROW(l, roots, roots)) return -1;
    l->roots[l->n_roots] = (root){.area = area,
                                  .offset = offset,
                                  .bytes = bytes,
                                  .first = -1,
                                  .last = -1,
                                  .writer = -1,
                                  .earlier = -1,
                                  .step = -1};
    return (int)l->n_roots++;
}

int lowering_add_end(lowering *l, affine bytes)
{
    int index = lowering_add_root(l, BASE_ARENA, affine_of(DIM_ONE, 0), bytes);
    if (index >= 0) l->roots[index].at_end = true;
    return index;
}

// ---- tensors

wf_status lowering_add_tensor(lowering *l, MlirValue v, const tensor *t)
{
    if (l->n_tensors == l->max_tensors) {
        size_t more = l->max_tensors;
        if (!lowering_grow((void **)&l->keys, &more, l->n_tensors, sizeof *l->keys) || !GROW(l, tensors, tensors))
            return error_memory(l->err, more);
    }
    l->keys[l->n_tensors] = v;
    l->tensors[l->n_tensors++] = *t;
    return WF_OK;
}

static wf_status refuse_type(lowering *l, MlirType t)
{
    buffer reason = {0};
    buffer_printf(&reason, "has elements of ");
    mlirTypePrint(t, append_text, &reason);
    buffer_printf(&reason, ", a type that is not supported");
    lowering_refuse(l, buffer_view(&reason).data);
    buffer_free(&reason);
    return WF_ERROR_UNSUPPORTED;
}

// Strides of a contiguous tensor: from the last size on, until one that is a dim.
static bool set_strides(tensor *x)
{
    int64_t stride = 1;
    for (int d = x->rank; d-- > 0;) {
        x->strides[d] = stride;
        if (stride == NO_STRIDE) continue;
        if (x->dims[d] < 0)
            stride = NO_STRIDE;
        else if (__builtin_mul_overflow(stride, x->dims[d] > 0 ? x->dims[d] : 1, &stride) || stride > INT64_C(1) << 40)
            return false;
    }
    return true;
}

wf_status lowering_read_type(lowering *l, MlirType t, const size_code *like, tensor *x)
{
    array_type known;
    *x = (tensor){.root = -1};
    if (!mlirTypeIsATensor(t) || !mlirShapedTypeHasRank(t))
        return lowering_refuse(l, "has a shape that the arguments do not fix");
    x->element = mlirShapedTypeGetElementType(t);
    x->rank = (int)mlirShapedTypeGetRank(t);
    if (x->rank > MAX_RANK) return lowering_refuse(l, "has too many dimensions");
    if (!constant_type(x->element, &known) && !is_wf_type(x->element, "q8")) return refuse_type(l, x->element);
    for (int d = 0; d < x->rank; d++) {
        bool dynamic = mlirShapedTypeIsDynamicDim(t, d);
        if (dynamic && !like) return lowering_refuse(l, "has a shape that the arguments do not fix");
        x->dims[d] = dynamic ? like[d] : mlirShapedTypeGetDimSize(t, d);
    }
    return set_strides(x) ? WF_OK : lowering_refuse(l, "is too large");
}

int64_t tensor_count(const tensor *x)
{
    int64_t n = 1;
    for (int d = 0; d < x->rank; d++) n *= x->dims[d];
    return n;
}

size_t tensor_element_bytes(const tensor *x)
{
    array_type known = ARRAY_F32;
    constant_type(x->element, &known);
    return array_type_bytes(known);
}

wf_status tensor_bytes(lowering *l, const tensor *x, affine *bytes)
{
    size_code sizes[MAX_RANK + 1], all;
    memcpy(sizes, x->dims, sizeof x->dims);
    sizes[x->rank] = (int64_t)tensor_element_bytes(x);
    if (is_wf_type(x->element, "q8")) { // blocks along the last axis
        sizes[x->rank - 1] = q8_row_bytes(x->dims[x->rank - 1]);
        sizes[x->rank] = 1;
    }
    if (!lowering_multiply(l, sizes, x->rank + 1, &all)) return lowering_refuse(l, "is too large");
    *bytes = form_of(all, 1);
    return WF_OK;
}

wf_status lowering_new_tensor(lowering *l, MlirType t, const size_code *like, tensor *x)
{
    affine bytes;
    TRY(lowering_read_type(l, t, like, x));
    TRY(tensor_bytes(l, x, &bytes));
    x->place = PLACE_MEMORY;
    x->root = lowering_add_root(l, BASE_ARENA, affine_of(DIM_ONE, 0), bytes);
    return x->root < 0 ? error_memory(l->err, sizeof *l->roots) : WF_OK;
}

bool tensor_is_contiguous(const tensor *x)
{
    int64_t stride = 1;
    for (int d = x->rank; d-- > 0;) {
        if (x->dims[d] != 1 && x->strides[d] != stride) return false;
        if (x->dims[d] < 0) return true; // what comes before a size that is a dim always follows on
        stride *= x->dims[d];
    }
    return true;
}

MlirType type_with_f32(MlirType t) { return tensor_like(t, mlirF32TypeGet(mlirTypeGetContext(t))); }

// ---- constants

MlirAttribute constant_attribute_of(MlirOperation op)
{
    if (op_is(op, "arith.constant")) return op_attribute(op, "value");
    if (op_is(op, "tosa.const")) return op_attribute(op, "values");
    return (MlirAttribute){0};
}

static wf_status append_constant(lowering *l, MlirAttribute a, tensor *x)
{
    while (l->blob->len % 64) buffer_append_char(l->blob, 0);
    size_t offset = l->blob->len;
    wf_error inner = {0};
    wf_status status = constant_append(a, l->blob, &inner);
    if (status != WF_OK) {
        lowering_refuse(l, inner.message);
        return status;
    }
    x->root = lowering_add_root(l, FUNCTION_CONSTANTS, affine_of(DIM_ONE, (int64_t)offset),
                                affine_of(DIM_ONE, (int64_t)(l->blob->len - offset)));
    return WF_OK;
}

// What programs for several sizes, functions and CPUs would each have again.
static bool is_large(const tensor *x)
{
    enum { LARGE_BYTES = 4096 };
    return tensor_count(x) >= LARGE_BYTES / (int64_t)tensor_element_bytes(x);
}

static wf_status pack_constant(lowering *l, MlirAttribute a, tensor *x)
{
    const checkpoint_tensor *kept;
    wf_error inner = {0};
    wf_status status = constant_keep(a, l->o.weights, &kept, &inner);
    if (status != WF_OK) {
        lowering_refuse(l, inner.message);
        return status;
    }
    return lowering_bind_plain(l, kept->name.data, mlirAttributeGetType(a), x);
}

static wf_status add_constant(lowering *l, MlirAttribute a, tensor *x)
{
    TRY(lowering_read_type(l, mlirAttributeGetType(a), NULL, x));
    x->constant = constant_splat(a);
    x->place = x->constant.ptr ? PLACE_SPLAT : PLACE_MEMORY;
    if (x->constant.ptr) return WF_OK;
    for (size_t i = 0; i < l->n_constants; i++) {
        if (!mlirAttributeEqual(l->constants[i], a)) continue;
        x->root = l->constant_roots[i];
        return WF_OK;
    }
    TRY((l->o.weights && is_large(x) ? pack_constant : append_constant)(l, a, x));
    size_t more = l->max_constants;
    if (x->root < 0 || !lowering_grow((void **)&l->constant_roots, &more, l->n_constants, sizeof *l->constant_roots) ||
        !GROW(l, constants, constants))
        return error_memory(l->err, more);
    l->constants[l->n_constants] = a;
    l->constant_roots[l->n_constants++] = x->root;
    return WF_OK;
}

// ---- values

bool is_scalar_value(MlirValue v) { return !mlirTypeIsAShaped(mlirValueGetType(v)); }

wf_status lowering_read_tensor(lowering *l, MlirValue v, tensor *x)
{
    for (size_t i = l->n_tensors; i-- > 0;) {
        if (!mlirValueEqual(l->keys[i], v)) continue;
        *x = l->tensors[i];
        return WF_OK;
    }
    MlirAttribute a = constant_attribute_of(defining_op(v));
    if (!a.ptr && !is_weight(v)) return lowering_refuse(l, "uses a value that is not known here");
    TRY(a.ptr ? add_constant(l, a, x) : lowering_read_weight(l, v, x));
    return lowering_add_tensor(l, v, x);
}

wf_status lowering_to_root(lowering *l, MlirValue v, tensor *x)
{
    TRY(lowering_read_tensor(l, v, x));
    TRY(lowering_to_memory(l, x));
    if (!x->offset) return WF_OK;
    tensor moved;
    TRY(lowering_new_tensor(l, mlirValueGetType(v), x->dims, &moved));
    TRY(lowering_copy(l, x, &moved));
    *x = moved;
    return WF_OK;
}
