// Sizes that are dims of the program: those of a function's arguments that its file leaves open, and their products.
//
// Two sizes that an op wants to be equal become one dim: whoever calls the function has to give arrays that agree.
#include <inttypes.h>
#include <stdio.h>

#include "compiler/lower/lowering.h"

int tensor_lead(const tensor *x)
{
    int n = 0;
    for (int d = 0; d < x->rank; d++)
        if (x->dims[d] < 0) n = d + 1;
    return n;
}

// ---- dims

static uint32_t find(const lowering *l, uint32_t dim)
{
    while (l->same[dim] != dim) dim = l->same[dim];
    return dim;
}

static uint32_t add_dim(lowering *l, const char *name, uint32_t a, uint32_t b)
{
    if (l->n_dims == DIM_COUNT) return DIM_ONE;
    const char *copy = arena_strdup(&l->out->memory, view_of(name));
    if (!copy) return DIM_ONE;
    l->dims[l->n_dims] = (program_dim){.name = copy, .factors = {a, b}};
    l->same[l->n_dims] = l->n_dims;
    return l->n_dims++;
}

uint32_t lowering_add_dim(lowering *l)
{
    char name[16];
    snprintf(name, sizeof name, "d%" PRIu32, l->n_dims - 1);
    return add_dim(l, name, 0, 0);
}

static void put_in_order(uint32_t *a, uint32_t *b)
{
    if (*a <= *b) return;
    uint32_t larger = *a;
    *a = *b;
    *b = larger;
}

static uint32_t multiply_dims(lowering *l, uint32_t a, uint32_t b)
{
    if (a == DIM_ONE || b == DIM_ONE) return a == DIM_ONE ? b : a;
    a = find(l, a), b = find(l, b);
    put_in_order(&a, &b);
    for (uint32_t d = 1; d < l->n_dims; d++)
        if (l->dims[d].factors[0] == a && l->dims[d].factors[1] == b) return d;
    char name[64];
    snprintf(name, sizeof name, "%.24s*%.24s", l->dims[a].name, l->dims[b].name);
    return add_dim(l, name, a, b);
}

bool lowering_multiply(lowering *l, const size_code *sizes, int n, size_code *product)
{
    uint32_t dim = DIM_ONE;
    int64_t factor = 1;
    for (int i = 0; i < n; i++) {
        if (__builtin_mul_overflow(factor, size_factor(sizes[i]), &factor) || factor > INT64_C(1) << 40) return false;
        uint32_t more = size_dim(sizes[i]), all = multiply_dims(l, dim, more);
        if (all == DIM_ONE && (dim != DIM_ONE || more != DIM_ONE)) return false;
        dim = all;
    }
    *product = dim == DIM_ONE || factor == 0 ? factor : size_of(dim, factor);
    return true;
}

bool lowering_equate(lowering *l, size_code a, size_code b)
{
    uint32_t x = find(l, size_dim(a)), y = find(l, size_dim(b));
    if (size_factor(a) != size_factor(b)) return false;
    if (x == y) return true;
    put_in_order(&x, &y);
    const uint32_t *f = l->dims[x].factors, *g = l->dims[y].factors;
    if (x == DIM_ONE || is_sequence(l)) return false;
    if (f[0] && g[0])
        return lowering_equate(l, size_of(f[0], 1), size_of(g[0], 1)) &&
               lowering_equate(l, size_of(f[1], 1), size_of(g[1], 1));
    if (f[0] || g[0]) return false;
    for (uint32_t d = y + 1; d < l->n_dims; d++) // what was named by the dim that goes
        for (int i = 0; i < 2; i++)
            if (l->dims[d].factors[i] == y) l->dims[d].factors[i] = x;
    l->same[y] = x;
    return true;
}

void lowering_settle_form(const lowering *l, affine *form)
{
    for (uint32_t d = 1; d < l->n_dims; d++) {
        uint32_t stays = find(l, d);
        if (stays == d) continue;
        form->c[stays] += form->c[d];
        form->c[d] = 0;
    }
}

// ---- sizes that ops compute

bool lowering_read_size(lowering *l, MlirValue v, size_code *size)
{
    MlirOperation op = defining_op(v);
    if (!op.ptr) return false;
    MlirAttribute a = constant_attribute_of(op);
    if (a.ptr && mlirAttributeIsAInteger(a)) {
        *size = mlirIntegerAttrGetValueInt(a);
        return *size >= 0;
    }
    if (op_is(op, "arith.index_cast")) return lowering_read_size(l, mlirOperationGetOperand(op, 0), size);
    if (op_is(op, "arith.muli")) {
        size_code both[2];
        return lowering_read_size(l, mlirOperationGetOperand(op, 0), &both[0]) &&
               lowering_read_size(l, mlirOperationGetOperand(op, 1), &both[1]) && lowering_multiply(l, both, 2, size);
    }
    size_code axis;
    tensor source;
    if (!op_is(op, "tensor.dim") || !lowering_read_size(l, mlirOperationGetOperand(op, 1), &axis)) return false;
    if (lowering_read_tensor(l, mlirOperationGetOperand(op, 0), &source) != WF_OK || axis >= source.rank) return false;
    *size = source.dims[axis];
    return true;
}
