// Reshapes that merge or split dimensions, which axes alone cannot say: [2, 3, 64] as rows [6, 64], a channel's
// [C, H, W] as one dimension. Dimensions fall into blocks of equal size, as short as they can be:
//
//     from [6, 1, 64]    to [2, 3, 64]      blocks 6 = 2 * 3 and 64 = 64
//
// The axis of a block's only dimension is a *whole*, those of its several dimensions are *parts*; a group in the
// reader's table holds them together. So [6, 64], reached from axes 0 and 1 of the root, has a whole of these as its
// first axis, and the [2, 3, 64] behind it axes 0 and 1 again.
#include "compiler/raise/normal/steps.h"

#include <mlir-c/BuiltinAttributes.h>

// A block: dimensions of either side, those of size 1 left out.
typedef struct block {
    int n_from, n_to;
    int from[MAX_AXES], to[MAX_AXES];
} block;

static signed char fresh_axis(reader *r)
{
    return (signed char)(AXIS_FRESH + (r->n_fresh < MAX_FRESH ? r->n_fresh++ : MAX_FRESH));
}

// The group of these parts with these sizes, or of this whole (AXIS_ZERO: not known); a new one if there is none; NULL
// when the table is full.
static axis_group *find_group(reader *r, signed char whole, int n, const signed char *part, const int64_t *size)
{
    for (int g = 0; g < r->n_groups; g++) {
        axis_group *group = &r->groups[g];
        bool same = group->n == n && (part || group->whole == whole);
        for (int i = 0; i < n && same; i++) same = group->size[i] == size[i] && (!part || group->part[i] == part[i]);
        if (same) return group;
    }
    if (r->n_groups == MAX_GROUPS || n > MAX_PARTS || r->n_fresh + n > MAX_FRESH) return NULL;
    axis_group *group = &r->groups[r->n_groups++];
    *group = (axis_group){.n = n, .fresh_parts = !part};
    group->whole = part ? fresh_axis(r) : whole;
    for (int i = 0; i < n; i++) {
        group->part[i] = part ? part[i] : fresh_axis(r);
        group->size[i] = size[i];
    }
    return group;
}

static void sizes_of(MlirValue v, int n, const int *dims, int64_t *sizes)
{
    for (int i = 0; i < n; i++) sizes[i] = dim_of(v, dims[i]);
}

static bool enter_block(reader *r, const ref *from, const block *b, ref *to)
{
    signed char whole, axes[MAX_AXES];
    int64_t sizes[MAX_AXES];
    if (b->n_from == 0 && b->n_to == 0) return true;
    if (b->n_from == 0 || b->n_to == 0) return false;
    for (int i = 0; i < b->n_from; i++) axes[i] = from->axis[b->from[i]];
    if (b->n_from == 1) {
        whole = axes[0];
    } else {
        sizes_of(from->v, b->n_from, b->from, sizes);
        const axis_group *merged = find_group(r, AXIS_ZERO, b->n_from, axes, sizes);
        if (!merged) return false;
        whole = merged->whole;
    }
    if (b->n_to == 1) {
        to->axis[b->to[0]] = whole;
        return true;
    }
    sizes_of(to->v, b->n_to, b->to, sizes);
    const axis_group *split = find_group(r, whole, b->n_to, NULL, sizes);
    for (int i = 0; split && i < b->n_to; i++) to->axis[b->to[i]] = split->part[i];
    return split != NULL;
}

// ---- blocks of an expand_shape or collapse_shape: as its attribute says

static int count_unknown(const ref *r, const int *dims, int n)
{
    int unknown = 0;
    for (int i = 0; i < n; i++) unknown += dim_of(r->v, dims[i]) < 0;
    return unknown;
}

static bool enter_listed(reader *r, const ref *from, MlirAttribute groups, bool expands, ref *to)
{
    int next = 0;
    int n_few = expands ? to->n : from->n; // the input of an expansion has few dimensions
    const ref *few = expands ? to : from, *many = expands ? from : to;
    if (mlirArrayAttrGetNumElements(groups) != n_few) return false;
    for (int i = 0; i < n_few; i++) {
        MlirAttribute list = mlirArrayAttrGetElement(groups, i);
        block b = {0};
        int *dims = expands ? b.from : b.to, n = 0;
        for (intptr_t k = mlirArrayAttrGetNumElements(list); k > 0; k--, next++)
            if (next < many->n && dim_of(many->v, next) != 1) dims[n++] = next;
        if (count_unknown(many, dims, n) > 1) return false; // their sizes are not known from the whole
        bool one = dim_of(few->v, i) == 1;
        (expands ? b.to : b.from)[0] = i;
        b.n_from = expands ? n : !one;
        b.n_to = expands ? !one : n;
        if (!enter_block(r, from, &b, to)) return false;
    }
    return true;
}

// ---- blocks of a reshape: by sizes. One size may be unknown, if all others show it to be the same on both sides.

static int64_t size_at(MlirValue v, int i, bool *unknown)
{
    int64_t size = dim_of(v, i);
    *unknown = *unknown || size < 0;
    return size < 0 ? 1 : size;
}

static bool product_of(MlirValue v, int n, int64_t *product, int *unknown)
{
    *product = 1;
    *unknown = 0;
    for (int i = 0; i < n; i++) {
        int64_t size = dim_of(v, i);
        *unknown += size < 0;
        if (size == 0 || (size > 0 && __builtin_mul_overflow(*product, size, product))) return false;
    }
    return true;
}

static bool enter_by_size(reader *r, const ref *from, ref *to)
{
    int64_t total, other;
    int n_unknown, n_other, i = 0, j = 0;
    if (!product_of(from->v, from->n, &total, &n_unknown) || !product_of(to->v, to->n, &other, &n_other) ||
        total != other || n_unknown != n_other || n_unknown > 1)
        return false;
    while (i < from->n || j < to->n) {
        block b = {0};
        int64_t f = 1, t = 1;
        bool f_unknown = false, t_unknown = false;
        do {
            // the unknown size counts as larger than any other
            bool extend_from = i < from->n && (b.n_from == 0 || (f_unknown == t_unknown ? f <= t : t_unknown));
            if (!extend_from && j == to->n) extend_from = true;
            if (extend_from) {
                if (i == from->n) return false;
                f *= size_at(from->v, i, &f_unknown);
                if (dim_of(from->v, i) != 1) b.from[b.n_from++] = i;
                i++;
            } else {
                t *= size_at(to->v, j, &t_unknown);
                if (dim_of(to->v, j) != 1) b.to[b.n_to++] = j;
                j++;
            }
        } while (f != t || f_unknown != t_unknown);
        if (!enter_block(r, from, &b, to)) return false;
    }
    return true;
}

bool step_regroup(reader *r, const ref *from, ref *to)
{
    MlirValue input = reshape_input(from->v);
    if (!input.ptr || !step_start_ref(to, input)) return false;
    for (int i = 0; i < to->n; i++) to->axis[i] = AXIS_ZERO;
    MlirOperation op = defining_op(from->v);
    MlirAttribute groups = op_attribute(op, "reassociation");
    if (groups.ptr) return enter_listed(r, from, groups, op_is(op, "tensor.expand_shape"), to);
    return enter_by_size(r, from, to);
}

// ---- axes in groups

bool axis_covers(const reader *r, signed char axis, signed char root_axis)
{
    if (axis == root_axis) return true;
    for (int g = 0; g < r->n_groups; g++) {
        const axis_group *group = &r->groups[g];
        for (int i = 0; i < group->n; i++) {
            if (group->fresh_parts && group->part[i] == axis) return axis_covers(r, group->whole, root_axis);
            if (!group->fresh_parts && group->whole == axis && axis_covers(r, group->part[i], root_axis)) return true;
        }
    }
    return false;
}

const axis_group *axis_as_part(const reader *r, signed char axis, int *place)
{
    for (int g = 0; g < r->n_groups; g++)
        for (*place = 0; r->groups[g].fresh_parts && *place < r->groups[g].n; ++*place)
            if (r->groups[g].part[*place] == axis) return &r->groups[g];
    return NULL;
}

const axis_group *axis_as_whole(const reader *r, signed char axis)
{
    for (int g = 0; g < r->n_groups; g++)
        if (!r->groups[g].fresh_parts && r->groups[g].whole == axis) return &r->groups[g];
    return NULL;
}
