// Slices at computed places, an axis at a time: those along axes whose place is a constant are left to upstream.
#include <stdint.h>

#include "compiler/dialect/definition/define.h"
#include "compiler/dialect/schema.h"

enum { MAX_RANK = 8 };

typedef struct slice {
    int rank;
    int64_t offsets[MAX_RANK], sizes[MAX_RANK], strides[MAX_RANK];
    MlirValue computed[MAX_RANK]; // the offset where it is no number
} slice;

static bool read_number(MlirValue v, int64_t *n)
{
    MlirOperation op = defining_op(v);
    if (!op_is(op, "arith.constant")) return false;
    *n = op_int(op, "value", -1);
    return true;
}

// False when this is no slice of fixed sizes and steps of `whole`, or all its places are known. `operand`: the first
// offset that is no number.
static bool read_slice(MlirOperation op, MlirValue whole, int operand, slice *s)
{
    MlirAttribute offsets = op_attribute(op, "static_offsets"), sizes = op_attribute(op, "static_sizes"),
                  strides = op_attribute(op, "static_strides");
    bool is_computed = false;
    *s = (slice){.rank = rank_of(whole)};
    if (s->rank > MAX_RANK) return false;
    for (int d = 0; d < s->rank; d++) {
        int64_t last;
        s->offsets[d] = mlirDenseI64ArrayGetElement(offsets, d);
        s->sizes[d] = mlirDenseI64ArrayGetElement(sizes, d);
        s->strides[d] = mlirDenseI64ArrayGetElement(strides, d);
        if (s->sizes[d] < 1 || s->strides[d] < 1 || __builtin_mul_overflow(s->sizes[d] - 1, s->strides[d], &last) ||
            last >= dim_of(whole, d))
            return false;
        if (s->offsets[d] != INT64_MIN) continue;
        MlirValue offset = mlirOperationGetOperand(op, operand++);
        if (read_number(offset, &s->offsets[d])) continue;
        s->computed[d] = offset;
        is_computed = true;
    }
    return is_computed;
}

// An axis between those before and those behind it.
static void see_axis(MlirValue v, int axis, int64_t dims[3])
{
    dims[0] = count_elements_of(v, 0, axis);
    dims[1] = dim_of(v, axis);
    dims[2] = count_elements_of(v, axis + 1, rank_of(v));
}

// x, but for `size` along the axis.
static MlirValue shape_like(op_builder *b, MlirValue cube, MlirValue x, int axis, int64_t size)
{
    int64_t dims[MAX_RANK];
    for (int d = 0; d < rank_of(x); d++) dims[d] = d == axis ? size : dim_of(x, d);
    return cube.ptr ? reshape(b, cube, rank_of(x), dims, (MlirValue){0}) : cube;
}

static MlirValue extract_along(MlirOperation op, MlirModule library, MlirValue x, int axis, const slice *s)
{
    int64_t dims[3];
    see_axis(x, axis, dims);
    definition d = definition_of(op, library, "tensor.extract_slice", element_type_of(x), element_type_of(x));
    definition_operand(&d, x, 3, dims);
    definition_value(&d, s->computed[axis]);
    definition_index(&d, s->sizes[axis]);
    definition_index(&d, s->strides[axis]);
    return shape_like(&d.b, definition_build(&d), x, axis, s->sizes[axis]);
}

static MlirValue insert_along(MlirOperation op, MlirModule library, MlirValue part, MlirValue x, int axis,
                              const slice *s)
{
    int64_t dims[3], part_dims[3];
    see_axis(x, axis, dims);
    see_axis(part, axis, part_dims);
    definition d = definition_of(op, library, "tensor.insert_slice", element_type_of(x), element_type_of(x));
    definition_operand(&d, part, 3, part_dims);
    definition_operand(&d, x, 3, dims);
    definition_value(&d, s->computed[axis]);
    return shape_like(&d.b, definition_build(&d), x, axis, dims[1]);
}

// The op of this name at the places that are numbers, of whole axes where they are computed.
static MlirValue build_fixed(op_builder *b, const char *name, MlirType type, int n, const MlirValue *operands,
                             const slice *s, MlirValue x)
{
    int64_t offsets[MAX_RANK], sizes[MAX_RANK], strides[MAX_RANK];
    bool whole = true;
    for (int d = 0; d < s->rank; d++) {
        bool computed = s->computed[d].ptr != NULL;
        offsets[d] = computed ? 0 : s->offsets[d];
        sizes[d] = computed ? dim_of(x, d) : s->sizes[d];
        strides[d] = computed ? 1 : s->strides[d];
        whole = whole && sizes[d] == dim_of(x, d);
    }
    if (whole) return operands[0];
    return build_static_slice(b, name, type, n, operands, s->rank, offsets, sizes, strides);
}

MlirValue define_extract_slice(MlirOperation op, MlirModule library)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    int64_t dims[MAX_RANK];
    slice s;
    if (!read_slice(op, x, 1, &s)) return (MlirValue){0};
    op_builder b = op_builder_before(op);
    for (int d = 0; d < s.rank; d++) dims[d] = s.computed[d].ptr ? dim_of(x, d) : s.sizes[d];
    MlirType type = tensor_of(s.rank, dims, element_type_of(x));
    MlirValue y = build_fixed(&b, "tensor.extract_slice", type, 1, &x, &s, x);
    for (int d = 0; d < s.rank && y.ptr; d++)
        if (s.computed[d].ptr) y = extract_along(op, library, y, d, &s);
    return y;
}

// part, of x's rank, into x. What is at the places of x along all computed axes but the last takes the part along that
// one; it is put back axis by axis.
static MlirValue insert(MlirOperation op, MlirModule library, MlirValue part, MlirValue x, const slice *s)
{
    MlirValue at[MAX_RANK + 1] = {x}; // x, and its slices along one more axis each
    int axes[MAX_RANK], n = 0;
    op_builder b = op_builder_before(op);
    for (int d = 0; d < s->rank; d++)
        if (s->computed[d].ptr) axes[n++] = d;
    bool fixed = true; // whether the part fills the axes whose places are numbers
    for (int d = 0; d < s->rank; d++) fixed = fixed && (s->computed[d].ptr || s->sizes[d] == dim_of(x, d));
    int n_slices = fixed ? n - 1 : n;
    for (int i = 0; i < n_slices; i++) {
        at[i + 1] = at[i].ptr ? extract_along(op, library, at[i], axes[i], s) : at[i];
        if (!at[i + 1].ptr) return at[i + 1];
    }
    if (!fixed) {
        MlirValue operands[] = {part, at[n]};
        part = build_fixed(&b, "tensor.insert_slice", mlirValueGetType(at[n]), 2, operands, s, at[n]);
    }
    for (int i = n - 1; i >= 0 && part.ptr; i--) part = insert_along(op, library, part, at[i], axes[i], s);
    return part;
}

MlirValue define_insert_slice(MlirOperation op, MlirModule library)
{
    MlirValue part = mlirOperationGetOperand(op, 0), x = mlirOperationGetOperand(op, 1);
    slice s;
    if (!read_slice(op, x, 2, &s)) return (MlirValue){0};
    for (int d = 0; d < s.rank; d++)
        if (s.strides[d] != 1) return (MlirValue){0};
    op_builder b = op_builder_before(op);
    part = reshape(&b, part, s.rank, s.sizes, (MlirValue){0});
    return part.ptr ? insert(op, library, part, x, &s) : part;
}

MlirValue define_insert(MlirOperation op, MlirModule library)
{
    MlirValue scalar = mlirOperationGetOperand(op, 0), x = mlirOperationGetOperand(op, 1);
    slice s = {.rank = rank_of(x)};
    if (s.rank > MAX_RANK) return (MlirValue){0};
    for (int d = 0; d < s.rank; d++) {
        s.sizes[d] = s.strides[d] = 1;
        if (dim_of(x, d) < 1) return (MlirValue){0};
        MlirValue offset = mlirOperationGetOperand(op, d + 2);
        bool known = read_number(offset, &s.offsets[d]) && s.offsets[d] >= 0 && s.offsets[d] < dim_of(x, d);
        if (!known) s.computed[d] = offset; // which is checked at run time
    }
    op_builder b = op_builder_before(op);
    MlirType one = tensor_of(s.rank, s.sizes, element_type_of(x));
    MlirValue part = build_value(&b, "tensor.from_elements", one, 1, &scalar, 0, NULL);
    return insert(op, library, part, x, &s);
}
