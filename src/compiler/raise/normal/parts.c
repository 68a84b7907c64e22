#include "compiler/raise/normal/parts.h"

#include "compiler/raise/normal/constant.h"
#include "compiler/raise/normal/steps.h"

static bool read_list(MlirOperation op, const char *name, int rank, int64_t out[])
{
    MlirAttribute a = op_attribute(op, name);
    if (!a.ptr || !mlirAttributeIsADenseI64Array(a) || mlirDenseArrayGetNumElements(a) != rank) return false;
    for (int i = 0; i < rank; i++) {
        out[i] = mlirDenseI64ArrayGetElement(a, i);
        if (out[i] < 0) out[i] = -1;
    }
    return true;
}

bool read_window(MlirOperation op, int rank, slice_window *w)
{
    return rank >= 1 && rank <= MAX_AXES && read_list(op, "static_offsets", rank, w->start) &&
           read_list(op, "static_sizes", rank, w->size) && read_list(op, "static_strides", rank, w->stride);
}

MlirValue window_size(MlirOperation op, const slice_window *w, int axis)
{
    int64_t first, n = op_segment(op, op_is(op, "tensor.insert_slice") ? 3 : 2, &first);
    int at = 0;
    if (w->size[axis] >= 0) return (MlirValue){0};
    for (int i = 0; i < axis; i++) at += w->size[i] < 0;
    return at < n ? mlirOperationGetOperand(op, first + at) : (MlirValue){0};
}

// Whether the window has all of the tensor's axis: its size is the axis's own.
static bool has_all(MlirOperation op, const slice_window *w, MlirValue of, int axis)
{
    int64_t size = dim_of(of, axis);
    if (w->start[axis] != 0 || w->stride[axis] != 1) return false;
    return size >= 0 ? w->size[axis] == size : step_is_size(window_size(op, w, axis), of, axis);
}

// The one axis along which the window is not all of the tensor; -1 when there are more, or it is not known where it
// lies. Of a window that is all: the last axis.
static int cut_axis(MlirOperation op, const slice_window *w, MlirValue of, int rank)
{
    int axis = -1;
    for (int i = 0; i < rank; i++) {
        if (has_all(op, w, of, i)) continue;
        if (axis >= 0 || w->start[i] < 0 || w->size[i] < 0 || w->stride[i] < 1) return -1;
        axis = i;
    }
    return axis < 0 ? rank - 1 : axis;
}

static bool read_tosa_slice(MlirOperation op, slice *s)
{
    slice_window w;
    int rank = rank_of(s->of);
    if (rank < 1 || rank > MAX_AXES || read_integers(mlirOperationGetOperand(op, 1), w.start, MAX_AXES) != rank ||
        read_integers(mlirOperationGetOperand(op, 2), w.size, MAX_AXES) != rank)
        return false;
    s->axis = -1;
    for (int i = 0; i < rank; i++) {
        int64_t size = dim_of(s->of, i);
        if (w.start[i] == 0 && (size < 0 ? w.size[i] == -1 : w.size[i] == size)) continue;
        if (s->axis >= 0 || w.start[i] < 0 || w.size[i] < 1) return false;
        s->axis = i;
    }
    if (s->axis < 0) s->axis = rank - 1;
    s->start = w.start[s->axis];
    s->size = w.size[s->axis];
    s->stride = 1;
    return s->size >= 1;
}

// tosa.gather of the same rows of every matrix [n, k, c], at places with one step between them: how TOSA says a slice
// with a stride.
static bool read_gather(MlirValue v, slice *s)
{
    MlirOperation op = defining_op(v);
    *s = (slice){.of = mlirOperationGetOperand(op, 0), .axis = 1, .stride = 1};
    evaluator e = evaluator_start();
    const const_tensor *at = evaluate(&e, mlirOperationGetOperand(op, 1));
    bool even = at && at->rank == 2 && at->count > 0 && rank_of(v) == 3 && dim_of(s->of, 0) == dim_of(v, 0);
    if (even) {
        s->size = at->shape[1];
        s->start = (int64_t)at->data[0];
        if (s->size > 1) s->stride = (int64_t)(at->data[1] - at->data[0]);
        for (int64_t i = 0; even && i < at->count; i++)
            even = at->data[i] == (double)(s->start + i % s->size * s->stride);
    }
    evaluator_free(&e);
    return even && s->start >= 0 && s->stride >= 1;
}

bool read_slice(MlirValue v, slice *s)
{
    MlirOperation op = defining_op(v);
    slice_window w;
    if (op_is(op, "tosa.gather")) return read_gather(v, s);
    if (!op_is(op, "tosa.slice") && !op_is(op, "tensor.extract_slice")) return false;
    *s = (slice){.of = mlirOperationGetOperand(op, 0)};
    if (!step_is_tensor(v) || rank_of(s->of) != rank_of(v)) return false;
    if (op_is(op, "tosa.slice")) return read_tosa_slice(op, s);
    int rank = rank_of(s->of);
    if (!read_window(op, rank, &w)) return false;
    s->axis = cut_axis(op, &w, s->of, rank);
    if (s->axis < 0) return false;
    s->start = w.start[s->axis];
    s->size = w.size[s->axis];
    s->stride = w.stride[s->axis];
    return s->size >= 1 && s->start >= 0;
}

static bool read_concat_op(MlirOperation op, concat *c)
{
    intptr_t n = mlirOperationGetNumOperands(op);
    if (n < 2 || n > MAX_CONCAT || mlirOperationGetNumResults(op) != 1) return false;
    int64_t axis = op_int(op, op_is(op, "tosa.concat") ? "axis" : "dim", -1);
    *c = (concat){.axis = (int)axis, .n = (int)n};
    for (int i = 0; i < c->n; i++) {
        c->parts[i] = mlirOperationGetOperand(op, i);
        if (!step_is_tensor(c->parts[i]) || axis < 0 || axis >= rank_of(c->parts[i])) return false;
        int64_t size = dim_of(c->parts[i], c->axis);
        if (size < 1 || (i > 0 && size != c->size)) return false;
        c->size = size;
    }
    return true;
}

// Whether `part` is inserted with all of its dimensions, or lacks `axis` alone, along which the window has size 1.
static bool is_flat_part(MlirValue part, int rank, const slice_window *w, int axis)
{
    if (rank_of(part) != rank - 1 || w->size[axis] != 1) return false;
    for (int i = 0; i < rank - 1; i++)
        if (dim_of(part, i) != w->size[i < axis ? i : i + 1]) return false;
    return true;
}

static bool read_insertions(MlirValue v, concat *c)
{
    enum { FREE = -1 };
    int rank = rank_of(v);
    *c = (concat){.axis = FREE};
    MlirOperation op = defining_op(v);
    for (; op_is(op, "tensor.insert_slice"); op = defining_op(mlirOperationGetOperand(op, 1))) {
        slice_window w;
        MlirValue part = mlirOperationGetOperand(op, 0), whole = mlirOperationGetResult(op, 0);
        if (!read_window(op, rank, &w)) return false;
        int axis = cut_axis(op, &w, whole, rank);
        int64_t all = axis < 0 ? 0 : dim_of(whole, axis);
        if (all < 1 || w.size[axis] < 1 || (c->axis != FREE && axis != c->axis)) return false;
        int64_t n = all / w.size[axis], size = w.size[axis];
        bool flat = is_flat_part(part, rank, &w, axis), interleaved = w.stride[axis] == n && size > 1;
        if (n < 2 || n > MAX_CONCAT || n * size != all || (!interleaved && w.stride[axis] != 1 && size > 1))
            return false;
        if (!flat && rank_of(part) != rank) return false;
        int64_t p = interleaved ? w.start[axis] : w.start[axis] / size;
        if (p >= n || (interleaved ? p : p * size) != w.start[axis]) return false;
        if (c->axis != FREE && (c->size != size || c->interleaved != interleaved || c->flat != flat)) return false;
        c->axis = axis;
        c->n = (int)n;
        c->size = size;
        c->interleaved = interleaved;
        c->flat = flat;
        if (!c->parts[p].ptr) c->parts[p] = part; // a later insertion hides an earlier one
        int found = 0;
        for (int i = 0; i < c->n; i++) found += c->parts[i].ptr != NULL;
        if (found == c->n) return true;
    }
    return false;
}

bool read_concat(MlirValue v, concat *c)
{
    MlirOperation op = defining_op(v);
    if (!op.ptr || !step_is_tensor(v) || rank_of(v) < 1 || rank_of(v) > MAX_AXES) return false;
    if (op_is(op, "tosa.concat") || op_is(op, "tensor.concat")) return read_concat_op(op, c);
    return op_is(op, "tensor.insert_slice") && read_insertions(v, c);
}

bool read_appended(MlirValue v, MlirValue parts[2])
{
    MlirOperation op = defining_op(v);
    int last = step_is_tensor(v) ? rank_of(v) - 1 : -1;
    if (last < 0 || last >= MAX_AXES) return false;
    if (op_is(op, "tosa.concat") || op_is(op, "tensor.concat")) {
        if (mlirOperationGetNumOperands(op) != 2 || op_int(op, op_is(op, "tosa.concat") ? "axis" : "dim", -1) != last)
            return false;
        for (int i = 0; i < 2; i++) parts[i] = mlirOperationGetOperand(op, i);
        return dim_of(parts[1], last) == 1;
    }
    bool found[2] = {false, false};
    for (int i = 0; i < 2 && op_is(op, "tensor.insert_slice"); i++) {
        slice_window w;
        MlirValue part = mlirOperationGetOperand(op, 0), whole = mlirOperationGetResult(op, 0);
        int64_t size = dim_of(whole, last);
        if (rank_of(part) != last + 1 || !read_window(op, last + 1, &w) || cut_axis(op, &w, whole, last + 1) != last)
            return false;
        int which = w.start[last] == 0 ? 0 : 1;
        if (w.stride[last] != 1 || w.start[last] != (which ? size - 1 : 0) || w.size[last] != (which ? 1 : size - 1))
            return false;
        parts[which] = part;
        found[which] = true;
        op = defining_op(mlirOperationGetOperand(op, 1));
    }
    return found[0] && found[1];
}
