#include "compiler/nest/body.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "compiler/mlir/constant.h"
#include "compiler/mlir/op.h"
#include "compiler/mlir/text.h"

MlirType body_type(builder *b, MlirType element) { return mlirTypeIsAIndex(element) ? b->i64 : element; }

MlirType body_lanes_of(body *e, MlirType element) { return vec(e->b, e->lanes, body_type(e->b, element)); }

bool body_is_half(builder *b, MlirType t)
{
    return mlirTypeEqual(element_of(t), b->f16) || mlirTypeEqual(element_of(t), b->bf16);
}

static bool is_bool(builder *b, MlirType t) { return mlirTypeEqual(element_of(t), b->i1); }

value body_refuse(body *e, MlirOperation op, const char *reason)
{
    if (e->status != WF_OK) return (value){0};
    buffer place = {0};
    print_location(mlirOperationGetLocation(op), &place);
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    e->status = error_set(e->err, WF_ERROR_UNSUPPORTED, "%s: %.*s%s", buffer_view(&place).data, (int)name.length,
                          name.data, reason);
    buffer_free(&place);
    return (value){0};
}

// ---- values

void body_set(body *e, MlirValue from, value to)
{
    body_values *v = e->values;
    if (e->status != WF_OK) return;
    if (v->n == v->max) {
        int more = v->max ? 2 * v->max : 256;
        value *grown = realloc(v->to, (size_t)more * sizeof *grown);
        if (!grown) e->status = error_memory(e->err, (size_t)more * sizeof *grown);
        if (!grown) return;
        v->to = grown;
        v->max = more;
    }
    v->to[v->n] = to;
    if (!pointer_map_set(&v->index, from.ptr, v->n++)) e->status = error_memory(e->err, sizeof to);
}

void body_forget(body *e, int n)
{
    pointer_map *index = &e->values->index;
    for (size_t i = 0; i < index->size; i++)
        if (index->entries[i].key && index->entries[i].number >= n) index->entries[i].number = -1;
    if (n < e->values->n) e->values->n = n;
}

static bool find(body *e, MlirValue from, value *to)
{
    int i = pointer_map_get(&e->values->index, from.ptr);
    if (i >= 0) *to = e->values->to[i];
    return i >= 0;
}

value body_get(body *e, MlirValue from)
{
    value to;
    if (e->status != WF_OK) return (value){0};
    if (find(e, from, &to)) return to;
    MlirOperation op = defining_op(from);
    if (!op.ptr)
        return body_refuse(e, mlirBlockGetParentOperation(mlirBlockArgumentGetOwner(from)),
                           " has an argument that is a scalar of another op");
    if (mlirOperationGetNumResults(op) != 1) return body_refuse(e, op, " is not supported for scalars");
    to = body_eval(e, op);
    if (e->status == WF_OK) body_set(e, from, to);
    return to;
}

static value splat_constant(body *e, MlirAttribute a)
{
    MlirType t = mlirAttributeGetType(a);
    if (mlirTypeIsAIndex(t)) return const_int(e->b, body_lanes_of(e, t), mlirIntegerAttrGetValueInt(a));
    MlirType shaped = body_lanes_of(e, t);
    if (e->lanes > 1) a = mlirDenseElementsAttrSplatGet(shaped, a);
    MlirNamedAttribute named = mlirNamedAttributeGet(mlirIdentifierGet(e->b->ctx, mlir_text("value")), a);
    return op1(e->b, "arith.constant", shaped, 0, NULL, 1, &named);
}

// ---- memory

// Element bytes in memory.
static int64_t element_bytes(builder *b, MlirType element)
{
    element = body_type(b, element);
    if (is_bool(b, element) || constant_is_narrow(element)) return 1;
    return mlirTypeIsAFloat(element) ? (int64_t)mlirFloatTypeGetWidth(element) / 8
                                     : (int64_t)mlirIntegerTypeGetWidth(element) / 8;
}

// 16-bit floats come and go as their bits: LLVM puts vectors of bf16 together by way of f32 and a function of its
// library.
static MlirType bits_type(builder *b, MlirType element) { return body_is_half(b, element) ? b->i16 : element; }

static value from_bits(body *e, value x, MlirType element)
{
    return body_is_half(e->b, element) ? bitcast(e->b, x, body_lanes_of(e, element)) : x;
}

// n consecutive elements, at an element offset (null: 0) and a constant one.
static value load_elements(builder *b, value p, value offset, int64_t constant, MlirType element, int n)
{
    element = body_type(b, element);
    int64_t bytes = element_bytes(b, element);
    value at_bytes = offset.ptr ? mul_i(b, offset, bytes) : offset;
    bool narrow = constant_is_narrow(element);
    if (!is_bool(b, element) && !narrow) return load(b, p, at_bytes, constant * bytes, vec(b, n, element));
    type bytes_type = vec(b, n, b->i8);
    value x = load(b, p, at_bytes, constant, bytes_type);
    if (narrow) return trunc_i(b, x, vec(b, n, element));
    return cmp_i(b, CMP_NE, x, const_int(b, bytes_type, 0));
}

// offset + sum of coef * iv as (dynamic, constant). The constant is kept small enough for an address.
static value element_offset(body *e, const access *a, int64_t *constant)
{
    builder *b = e->b;
    value sum = {0};
    for (int l = 0; l < e->n->n_loops; l++) {
        if (!a->coef[l] || !e->iv[l].ptr) continue;
        value term = mul_i(b, e->iv[l], a->coef[l]);
        sum = sum.ptr ? add(b, sum, term) : term;
    }
    *constant = a->offset;
    if (*constant > (1 << 24) || *constant < -(1 << 24)) {
        value big = const_i(b, *constant);
        sum = sum.ptr ? add(b, sum, big) : big;
        *constant = 0;
    }
    return sum;
}

value body_load(body *e, const access *a)
{
    builder *b = e->b;
    if (e->status != WF_OK) return (value){0};
    if (a->kind == ACCESS_SCALAR) return a->scalar.ptr ? body_get(e, a->scalar) : splat_constant(e, a->constant);
    int64_t constant, step = e->vector_loop >= 0 ? a->coef[e->vector_loop] : 0;
    value p = e->buffers[a->buffer], offset = element_offset(e, a, &constant), x = {0};
    MlirType t = bits_type(b, a->element);
    if (e->lanes == 1 || step == 1) return from_bits(e, load_elements(b, p, offset, constant, t, e->lanes), a->element);
    if (step == 0) return from_bits(e, splat(b, load_elements(b, p, offset, constant, t, 1), e->lanes), a->element);
    if (!offset.ptr) offset = const_i(b, 0);
    for (int i = 0; i < e->lanes; i++) {
        value one = load_elements(b, p, add_i(b, offset, i * step), constant, t, 1);
        x = i ? insert(b, one, x, i) : splat(b, one, e->lanes);
    }
    return from_bits(e, x, a->element);
}

void body_store(body *e, const access *a, value x)
{
    builder *b = e->b;
    if (e->status != WF_OK) return;
    if (is_bool(b, a->element)) x = ext_u(b, x, with_element(b, mlirValueGetType(x), b->i8));
    if (constant_is_narrow(a->element)) x = ext_s(b, x, with_element(b, mlirValueGetType(x), b->i8));
    if (body_is_half(b, a->element)) x = bitcast(b, x, with_element(b, mlirValueGetType(x), b->i16));
    int64_t constant, bytes = element_bytes(b, a->element), step = e->vector_loop >= 0 ? a->coef[e->vector_loop] : 0;
    value p = e->buffers[a->buffer], offset = element_offset(e, a, &constant);
    if (e->lanes == 1 || step == 1) {
        store(b, x, p, offset.ptr ? mul_i(b, offset, bytes) : offset, constant * bytes);
        return;
    }
    if (!offset.ptr) offset = const_i(b, 0);
    for (int i = 0; i < e->lanes; i++)
        store(b, extract(b, x, i), p, mul_i(b, add_i(b, offset, i * step), bytes), constant * bytes);
}

// ---- checks

// Where any lane of `failed` is true.
void body_set_fault(body *e, value failed, const char *message, MlirOperation op)
{
    int check = e->n->add_check(e->n->check_context, message, mlirOperationGetLocation(op));
    if (check < 0) {
        if (e->status == WF_OK) e->status = error_memory(e->err, 64);
        return;
    }
    builder *b = e->b;
    if (e->lanes > 1) {
        MlirType bits = mlirIntegerTypeGet(b->ctx, (unsigned)e->lanes);
        failed = cmp_i(b, CMP_NE, bitcast(b, failed, bits), const_int(b, bits, 0));
    }
    branch br;
    if_begin(b, &br, failed, 0, NULL);
    store(b, const_i(b, check + 1), e->buffers[e->n->fault_buffer], (value){0}, 0);
    if_end(b, &br, NULL);
}

static value run_assert(body *e, MlirOperation op)
{
    builder *b = e->b;
    value holds = body_get(e, mlirOperationGetOperand(op, 0));
    MlirStringRef text = op_string(op, "msg");
    char message[256];
    snprintf(message, sizeof message, "assertion fails: %.*s", (int)text.length, text.data);
    if (e->status == WF_OK) body_set_fault(e, xor_(b, holds, const_int(b, mlirValueGetType(holds), -1)), message, op);
    return (value){0};
}

// Whether every value of the index lies in [0, size) whatever the data.
static bool index_is_safe(body *e, MlirValue index, int64_t size)
{
    MlirOperation op = defining_op(index);
    if (op_is(op, "linalg.index")) return e->n->extent[op_int(op, "dim", 0)] <= size;
    if (op_is(op, "arith.constant")) return op_int(op, "value", -1) >= 0 && op_int(op, "value", -1) < size;
    return false;
}

const gather *body_gather(const body *e, MlirValue source)
{
    for (int i = 0; i < e->n->n_gathers; i++)
        if (mlirValueEqual(e->n->gathers[i].source, source)) return &e->n->gathers[i];
    return NULL;
}

value body_place(body *e, MlirOperation op, const gather *g, const MlirValue *indices)
{
    builder *b = e->b;
    value offset = const_int(b, body_lanes_of(e, b->i64), 0), bad = {0};
    for (int d = 0; d < g->rank; d++) {
        value index = body_get(e, indices[d]);
        if (e->status != WF_OK) return index;
        if (!index_is_safe(e, indices[d], g->dims[d])) {
            type t = mlirValueGetType(index);
            value low = const_int(b, t, 0), high = const_int(b, t, g->dims[d] > 0 ? g->dims[d] - 1 : 0);
            value kept = max_s(b, min_s(b, index, high), low), differs = cmp_i(b, CMP_NE, kept, index);
            bad = bad.ptr ? or_(b, bad, differs) : differs;
            index = kept;
        }
        offset = add(b, offset, mul_i(b, index, g->strides[d]));
    }
    if (bad.ptr) body_set_fault(e, bad, "an index is out of range", op);
    return offset;
}

value body_load_at(body *e, const gather *g, value at)
{
    return load_elements(e->b, e->buffers[g->buffer], add_i(e->b, at, g->offset), 0, bits_type(e->b, g->element), 1);
}

void body_store_at(body *e, const gather *g, value at, value x)
{
    builder *b = e->b;
    if (is_bool(b, g->element)) x = ext_u(b, x, b->i8);
    if (constant_is_narrow(g->element)) x = ext_s(b, x, b->i8);
    if (body_is_half(b, g->element)) x = bitcast(b, x, b->i16);
    store(b, x, e->buffers[g->buffer], mul_i(b, add_i(b, at, g->offset), element_bytes(b, g->element)), 0);
}

static value run_extract(body *e, MlirOperation op)
{
    builder *b = e->b;
    enum { MAX_INDICES = NEST_MAX_LOOPS };
    const gather *g = body_gather(e, mlirOperationGetOperand(op, 0));
    if (!g || g->rank > MAX_INDICES) return body_refuse(e, op, ": of a tensor that is not known here");
    MlirValue indices[MAX_INDICES];
    for (int d = 0; d < g->rank; d++) indices[d] = mlirOperationGetOperand(op, d + 1);
    value offset = body_place(e, op, g, indices), x = {0};
    for (int i = 0; i < e->lanes && e->status == WF_OK; i++) {
        value one = body_load_at(e, g, e->lanes > 1 ? extract(b, offset, i) : offset);
        x = e->lanes == 1 ? one : i ? insert(b, one, x, i) : splat(b, one, e->lanes);
    }
    return e->status == WF_OK ? from_bits(e, x, g->element) : x;
}

// ---- bodies

value body_eval(body *e, MlirOperation op)
{
    if (op_is(op, "arith.constant")) {
        MlirAttribute a = op_attribute(op, "value");
        if (mlirAttributeIsAFloat(a) || mlirAttributeIsAInteger(a)) return splat_constant(e, a);
        return body_refuse(e, op, " cannot be compiled");
    }
    if (body_is_index_op(op)) return body_index(e, op);
    if (op_is(op, "tensor.extract")) return run_extract(e, op);
    if (op_is(op, "cf.assert")) return run_assert(e, op);
    if (op_name_starts_with(op, "arith.") || op_name_starts_with(op, "math.")) return body_arithmetic(e, op);
    return body_refuse(e, op, " cannot be compiled");
}

void body_run(body *e, MlirBlock block)
{
    MlirOperation terminator = mlirBlockGetTerminator(block);
    for (MlirOperation op = mlirBlockGetFirstOperation(block); op.ptr && e->status == WF_OK;
         op = mlirOperationGetNextInBlock(op)) {
        if (mlirOperationEqual(op, terminator)) return;
        value y = body_eval(e, op);
        if (e->status == WF_OK && mlirOperationGetNumResults(op) == 1) body_set(e, mlirOperationGetResult(op, 0), y);
    }
}

value body_combine(builder *b, const char *name, value x, value y)
{
    value operands[] = {x, y};
    return op1(b, name, mlirValueGetType(x), 2, operands, 0, NULL);
}
