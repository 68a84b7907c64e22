// Tensors, constants, roots and calls.
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/context.h"
#include "compiler/dialect/wf.h"
#include "compiler/graph/constant.h"
#include "compiler/graph/schedule_parts.h"

// ---- tables

bool schedule_grow(void **items, size_t *max, size_t n, size_t size)
{
    if (n < *max) return true;
    size_t capacity = *max ? *max * 2 : 64;
    void *more = realloc(*items, capacity * size);
    if (!more) return false;
    *items = more;
    *max = capacity;
    return true;
}

wf_status schedule_refuse_op(schedule *s, MlirOperation op, const char *reason)
{
    buffer where = {0};
    print_location(mlirOperationGetLocation(op), &where);
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    error_set(s->err, WF_ERROR_UNSUPPORTED, "%s: %.*s %s", buffer_view(&where).data, (int)name.length, name.data,
              reason);
    buffer_free(&where);
    return WF_ERROR_UNSUPPORTED;
}

wf_status schedule_refuse(schedule *s, const char *reason) { return schedule_refuse_op(s, s->op, reason); }

wf_status schedule_add_tensor(schedule *s, MlirValue v, const tensor *t)
{
    if (s->n_tensors == s->max_tensors) {
        size_t more = s->max_tensors;
        if (!schedule_grow((void **)&s->keys, &more, s->n_tensors, sizeof *s->keys)) return error_memory(s->err, more);
        if (!GROW(s, tensors, tensors)) return error_memory(s->err, more);
    }
    s->keys[s->n_tensors] = v;
    s->tensors[s->n_tensors++] = *t;
    return WF_OK;
}

wf_status schedule_add_root(schedule *s, uint32_t base, size_t offset, size_t bytes, int *index)
{
    if (!GROW(s, roots, roots)) return error_memory(s->err, bytes);
    *index = (int)s->n_roots;
    s->roots[s->n_roots++] = (root){.base = base,
                                    .offset = offset,
                                    .bytes = bytes,
                                    .first = -1,
                                    .last = -1,
                                    .writer = -1,
                                    .earlier = -1,
                                    .step = -1};
    return WF_OK;
}

static wf_status refuse_type(schedule *s, MlirType t)
{
    buffer reason = {0};
    buffer_printf(&reason, "has elements of ");
    mlirTypePrint(t, append_text, &reason);
    buffer_printf(&reason, ", a type that is not supported");
    schedule_refuse(s, buffer_view(&reason).data);
    buffer_free(&reason);
    return WF_ERROR_UNSUPPORTED;
}

// The shape of a tensor type, with the strides of a contiguous array.
wf_status schedule_read_type(schedule *s, MlirType t, tensor *x)
{
    graph_type known;
    *x = (tensor){.root = -1};
    if (!mlirTypeIsATensor(t) || !mlirShapedTypeHasRank(t) || !mlirShapedTypeHasStaticShape(t))
        return schedule_refuse(s, "has a shape that the arguments do not fix");
    x->element = mlirShapedTypeGetElementType(t);
    x->rank = (int)mlirShapedTypeGetRank(t);
    if (x->rank > MAX_RANK) return schedule_refuse(s, "has too many dimensions");
    if (!constant_type(x->element, &known)) return refuse_type(s, x->element);
    int64_t stride = 1;
    for (int d = x->rank; d-- > 0;) {
        x->dims[d] = mlirShapedTypeGetDimSize(t, d);
        x->strides[d] = stride;
        if (__builtin_mul_overflow(stride, x->dims[d] > 0 ? x->dims[d] : 1, &stride) || stride > INT64_C(1) << 40)
            return schedule_refuse(s, "is too large");
    }
    return WF_OK;
}

int64_t tensor_count(const tensor *x)
{
    int64_t n = 1;
    for (int d = 0; d < x->rank; d++) n *= x->dims[d];
    return n;
}

size_t tensor_element_bytes(const tensor *x)
{
    graph_type known = GRAPH_F32;
    constant_type(x->element, &known);
    return graph_type_bytes(known);
}

// A new array in the arena.
wf_status schedule_new_tensor(schedule *s, MlirType t, tensor *x)
{
    TRY(schedule_read_type(s, t, x));
    x->place = PLACE_MEMORY;
    return schedule_add_root(s, GRAPH_ARENA, 0, (size_t)tensor_count(x) * tensor_element_bytes(x), &x->root);
}

bool tensor_is_contiguous(const tensor *x)
{
    int64_t stride = 1;
    for (int d = x->rank; d-- > 0;) {
        if (x->dims[d] != 1 && x->strides[d] != stride) return false;
        stride *= x->dims[d];
    }
    return true;
}

// ---- constants

static wf_status add_constant(schedule *s, MlirAttribute a, tensor *x)
{
    TRY(schedule_read_type(s, mlirAttributeGetType(a), x));
    x->constant = constant_splat(a);
    if (x->constant.ptr) {
        x->place = PLACE_SPLAT;
        return WF_OK;
    }
    x->place = PLACE_MEMORY;
    for (size_t i = 0; i < s->n_constants; i++) {
        if (!mlirAttributeEqual(s->constants[i], a)) continue;
        x->root = s->constant_roots[i];
        return WF_OK;
    }
    while (s->blob.len % 64) buffer_append_char(&s->blob, 0);
    size_t offset = s->blob.len;
    wf_error inner = {0};
    wf_status status = constant_append(a, &s->blob, &inner);
    if (status != WF_OK) {
        schedule_refuse(s, inner.message);
        return status;
    }
    TRY(schedule_add_root(s, GRAPH_CONSTANTS, offset, s->blob.len - offset, &x->root));
    if (s->n_constants == s->max_constants) {
        size_t more = s->max_constants;
        if (!schedule_grow((void **)&s->constant_roots, &more, s->n_constants, sizeof *s->constant_roots) ||
            !GROW(s, constants, constants))
            return error_memory(s->err, more);
    }
    s->constants[s->n_constants] = a;
    s->constant_roots[s->n_constants++] = x->root;
    return WF_OK;
}

// ---- values

MlirAttribute constant_attribute_of(MlirOperation op)
{
    if (op_is(op, "arith.constant")) return op_attribute(op, "value");
    if (op_is(op, "tosa.const")) return op_attribute(op, "values");
    return (MlirAttribute){0};
}

wf_status schedule_read_tensor(schedule *s, MlirValue v, tensor *x)
{
    for (size_t i = s->n_tensors; i-- > 0;) {
        if (!mlirValueEqual(s->keys[i], v)) continue;
        *x = s->tensors[i];
        return WF_OK;
    }
    MlirAttribute a = constant_attribute_of(defining_op(v));
    if (!a.ptr) return schedule_refuse(s, "uses a value that is not known here");
    TRY(add_constant(s, a, x));
    return schedule_add_tensor(s, v, x);
}

// ---- calls

call *schedule_add_call(schedule *s)
{
    if (!GROW(s, calls, calls)) return NULL;
    call *c = &s->calls[s->n_calls++];
    *c = (call){.n_tiles = 1, .grain = 1};
    return c;
}

void root_use(root *r, int index, bool written)
{
    if (r->first < 0) r->first = index;
    r->last = index;
    if (!written || r->writer == index) return;
    r->earlier = r->writer;
    r->writer = index;
}

int root_writer_before(const root *r, int index) { return r->writer == index ? r->earlier : r->writer; }

int schedule_use_root(schedule *s, call *c, int index, bool written)
{
    for (int i = 0; i < c->n_buffers; i++)
        if (c->roots[i] == index && c->written[i] == written) return i;
    if (c->n_buffers == MAX_OPERANDS) return -1;
    c->roots[c->n_buffers] = index;
    c->written[c->n_buffers] = written;
    if (index >= 0) root_use(&s->roots[index], (int)(c - s->calls), written);
    return c->n_buffers++;
}

const char *schedule_make_label(schedule *s)
{
    buffer text = {0};
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(s->op));
    buffer_printf(&text, "%.*s ", (int)name.length, name.data);
    print_location(mlirOperationGetLocation(s->op), &text);
    const char *label = arena_strdup(&s->out->memory, buffer_view(&text));
    buffer_free(&text);
    return label;
}

int schedule_add_check(void *context, const char *message, MlirLocation where)
{
    schedule *s = context;
    if (!GROW(s, checks, checks)) return -1;
    buffer text = {0};
    print_location(where, &text);
    buffer_printf(&text, ": %s", message);
    const char *copy = arena_strdup(&s->out->memory, buffer_view(&text));
    buffer_free(&text);
    if (!copy) return -1;
    for (size_t i = 0; i < s->n_checks; i++)
        if (!strcmp(s->checks[i], copy)) return (int)i;
    s->checks[s->n_checks] = copy;
    return (int)s->n_checks++;
}

bool is_scalar_value(MlirValue v) { return !mlirTypeIsAShaped(mlirValueGetType(v)); }
