// Values of ops that move elements: slices, pads, tiles, concatenations, transpositions, gathers.
#include "compiler/raise/normal/constant_parts.h"
#include "compiler/raise/normal/parts.h"
#include "compiler/raise/normal/steps.h"

#include <string.h>

bool constant_fill_transposed(const const_tensor *in, const int *perm, const_tensor *t)
{
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[MAX_AXES], from[MAX_AXES] = {0};
        constant_unravel(t, i, index);
        for (int a = 0; a < t->rank; a++) from[perm[a]] = index[a];
        if (!constant_fetch(in, from, &t->data[i])) return false;
    }
    return true;
}

// slice, pad and tile: each index is moved along its axis.
bool constant_fill_moved(evaluator *e, MlirOperation op, const const_tensor *in, const_tensor *t)
{
    int64_t shift[2 * MAX_AXES] = {0};
    bool cut = op_is(op, "tosa.slice"), pad = op_is(op, "tosa.pad");
    const const_tensor *outside = NULL;
    if (in->rank != t->rank) return false;
    if (cut && read_integers(mlirOperationGetOperand(op, 1), shift, MAX_AXES) != t->rank) return false;
    if (pad) {
        int n = read_integers(mlirOperationGetOperand(op, 1), shift, 2 * MAX_AXES);
        outside = evaluate(e, mlirOperationGetOperand(op, 2));
        if (n != 2 * t->rank || !outside || outside->count != 1) return false;
    }
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[MAX_AXES], at = 0;
        bool inside = true;
        constant_unravel(t, i, index);
        for (int a = 0; a < t->rank; a++) {
            int64_t k = cut ? index[a] + shift[a] : pad ? index[a] - shift[2 * a] : index[a] % in->shape[a];
            inside = inside && k >= 0 && k < in->shape[a];
            at = at * in->shape[a] + k;
        }
        if (!inside && !pad) return false;
        t->data[i] = inside ? in->data[at] : outside->data[0];
    }
    return true;
}

bool constant_fill_concat(evaluator *e, MlirOperation op, const_tensor *t)
{
    int64_t axis = op_int(op, "axis", -1), first = 0;
    if (axis < 0 || axis >= t->rank) return false;
    for (intptr_t k = 0; k < mlirOperationGetNumOperands(op); k++) {
        const const_tensor *in = evaluate(e, mlirOperationGetOperand(op, k));
        if (!in || in->rank != t->rank) return false;
        for (int64_t i = 0; i < in->count; i++) {
            int64_t index[MAX_AXES], at = 0;
            constant_unravel(in, i, index);
            index[axis] += first;
            for (int a = 0; a < t->rank; a++) {
                if (index[a] >= t->shape[a]) return false;
                at = at * t->shape[a] + index[a];
            }
            t->data[at] = in->data[i];
        }
        first += in->shape[axis];
    }
    return first == t->shape[axis];
}

// values [n, k, c] at indices [n, w] -> [n, w, c]
bool constant_fill_gather(evaluator *e, MlirOperation op, const_tensor *t)
{
    const const_tensor *values = evaluate(e, mlirOperationGetOperand(op, 0));
    const const_tensor *indices = evaluate(e, mlirOperationGetOperand(op, 1));
    if (!values || !indices || values->rank != 3 || indices->rank != 2 || t->rank != 3) return false;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[MAX_AXES];
        double k;
        constant_unravel(t, i, index);
        if (!constant_fetch(indices, index, &k) || !(k >= 0) || !(k < (double)values->shape[1])) return false;
        int64_t from[] = {index[0], (int64_t)k, index[2]};
        if (!constant_fetch(values, from, &t->data[i])) return false;
    }
    return true;
}

// ---- ops of tensor

// What is cut out of `in`, or `part` put into t, which holds what it is put into.
bool constant_fill_window(MlirOperation op, const const_tensor *part, const const_tensor *in, const_tensor *t)
{
    slice_window w;
    const const_tensor *whole = in ? in : t, *small = in ? t : part;
    if (whole->rank != small->rank || !read_window(op, whole->rank, &w)) return false;
    for (int64_t i = 0; i < small->count; i++) {
        int64_t index[MAX_AXES], at = 0;
        constant_unravel(small, i, index);
        for (int a = 0; a < whole->rank; a++) {
            // below 2^22 each, where the tensors are: windows beyond their ends are none
            if (w.start[a] < 0 || w.stride[a] < 0 || w.start[a] >= whole->shape[a] || w.stride[a] > whole->shape[a])
                return false;
            int64_t k = w.start[a] + index[a] * w.stride[a];
            if (k >= whole->shape[a]) return false;
            at = at * whole->shape[a] + k;
        }
        if (in)
            t->data[i] = in->data[at];
        else
            t->data[at] = part->data[i];
    }
    return true;
}

bool constant_fill_insertion(evaluator *e, MlirOperation op, const_tensor *t)
{
    const const_tensor *part = evaluate(e, mlirOperationGetOperand(op, 0));
    const const_tensor *into = evaluate(e, mlirOperationGetOperand(op, 1));
    if (!part || !into || into->count != t->count) return false;
    memcpy(t->data, into->data, (size_t)t->count * sizeof *t->data);
    return constant_fill_window(op, part, NULL, t);
}

bool constant_fill_padded(evaluator *e, MlirOperation op, const_tensor *t)
{
    const const_tensor *in = evaluate(e, mlirOperationGetOperand(op, 0));
    MlirAttribute low = op_attribute(op, "static_low");
    MlirBlock body = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, 0));
    int64_t shift[MAX_AXES], first, next = 0, n_low = op_segment(op, 1, &first);
    if (!in || in->rank != t->rank || !low.ptr || mlirDenseArrayGetNumElements(low) != t->rank) return false;
    for (int a = 0; a < t->rank; a++) {
        shift[a] = mlirDenseI64ArrayGetElement(low, a);
        if (shift[a] != INT64_MIN) continue;
        if (next >= n_low || !step_index_value(mlirOperationGetOperand(op, first + next++), &shift[a])) return false;
    }
    ref from;
    reader r = {0};
    MlirOperation yield = mlirBlockGetTerminator(body);
    if (!step_start_ref(&from, mlirOperationGetOperand(yield, 0))) return false;
    node outside = read_node(&r, &from);
    if (outside.kind != N_CONST) return false;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[MAX_AXES];
        bool inside = true;
        constant_unravel(t, i, index);
        for (int a = 0; a < t->rank; a++) {
            index[a] -= shift[a];
            inside = inside && index[a] >= 0 && index[a] < in->shape[a];
        }
        t->data[i] = outside.value;
        if (inside && !constant_fetch(in, index, &t->data[i])) return false;
    }
    return true;
}
