#include "compiler/fuse/refer.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/mlir/constant.h"
#include "compiler/mlir/constant_tensor.h"
#include "compiler/mlir/text.h"
#include "compiler/raise/normal/strided.h"

typedef struct referring {
    const refer_options *o;
    MlirOperation function;
    MlirBlock entry;
    wf_error *err;
    wf_status status;
} referring;

static op_builder at_start(const referring *r)
{
    return op_builder_before(mlirBlockGetFirstOperation(r->entry)); // where every op of the function can use it
}

// ---- arguments

// The list's tensor of a wf.weight; NULL: it has none of that name.
static const checkpoint_tensor *find_listed(const refer_options *o, MlirStringRef name)
{
    char text[512];
    if (name.length >= sizeof text) return NULL;
    memcpy(text, name.data, name.length);
    text[name.length] = 0;
    return checkpoint_find_tensor(o->weights, text);
}

static void refuse_weight(referring *r, MlirOperation op, const weight_op *weight, const char *reason)
{
    buffer text = {0};
    buffer_printf(&text, "names the weight '%.*s', %s", (int)(weight->name.length > 80 ? 80 : weight->name.length),
                  weight->name.data, reason);
    refuse_op(op, buffer_view(&text).data, r->err);
    if (r->err) r->err->status = WF_ERROR_USAGE;
    buffer_free(&text);
    r->status = WF_ERROR_USAGE;
}

// The graph's own: its tensor's bytes are those of the type.
static void check_own_weight(MlirOperation op, void *context)
{
    referring *r = context;
    weight_op weight;
    array_type elements;
    if (r->status != WF_OK || !weight_read(op, &weight)) return;
    const checkpoint_tensor *t = find_listed(r->o, weight.name);
    if (!t) {
        refuse_weight(r, op, &weight, "which is not given");
        return;
    }
    MlirType declared = mlirValueGetType(weight.w.value);
    int64_t count = mlirShapedTypeHasStaticShape(declared) ? 1 : -1;
    for (int d = 0; d < rank_of(weight.w.value); d++) count *= dim_of(weight.w.value, d);
    if (!constant_type(mlirShapedTypeGetElementType(declared), &elements) || array_tensor_type(elements) != t->type ||
        count != t->dims[0])
        refuse_weight(r, op, &weight, "which is given with another type or size");
}

wf_status refer_arguments(MlirOperation function, const refer_options *options, wf_error *err)
{
    referring r = {.o = options, .function = function, .entry = function_body(function), .err = err};
    for_each_op(function, check_own_weight, &r);
    for (intptr_t i = mlirBlockGetNumArguments(r.entry); i-- > 0 && r.status == WF_OK;) {
        MlirValue v = mlirBlockGetArgument(r.entry, i);
        const graph_argument *a = &options->arguments[i];
        if (a->kind == ARGUMENT_OF_CALL || has_no_use(v)) continue;
        op_builder b = at_start(&r);
        weight_op weight = {.name = mlir_text(a->name), .w = {.type = mlirValueGetType(v)}};
        replace_value(v, weight_write(&b, &weight));
    }
    return r.status;
}

// ---- weights of linears

// What a matrix or a vector is made of by moves alone.
typedef struct base {
    MlirValue v; // a constant or a wf.weight; null: neither
    bool transposed;
} base;

// Null attribute: v is no constant.
static MlirAttribute constant_of(MlirValue v)
{
    MlirOperation op = defining_op(v);
    if (op_is(op, "arith.constant")) return op_attribute(op, "value");
    return op_is(op, "tosa.const") ? op_attribute(op, "values") : (MlirAttribute){0};
}

static bool is_base(MlirValue v)
{
    weight_op weight;
    if (weight_read(defining_op(v), &weight)) return !weight.transposed;
    MlirAttribute a = constant_of(v);
    return a.ptr && !constant_splat(a).ptr;
}

static base find_base(MlirValue v)
{
    enum { MAX_STEPS = 16 };
    reader r = {0};
    strided s;
    MlirType element = element_type_of(v);
    if (is_base(v)) return (base){.v = v};
    if (!strided_start(&s, v)) return (base){0};
    for (int step = 0; step < MAX_STEPS && strided_step(&r, &s, false); step++) {
        if (!is_base(s.v)) continue;
        bool in_order = is_in_order(&s, v), flipped = !in_order && is_flipped(&s, v);
        if ((!in_order && !flipped) || !mlirTypeEqual(element, element_type_of(s.v))) break;
        return (base){.v = s.v, .transposed = flipped};
    }
    return (base){0};
}

// The list's tensor of a base; NULL: there is none, or r->status says why not.
static const checkpoint_tensor *list_base(referring *r, const base *b)
{
    weight_op weight;
    const checkpoint_tensor *t = NULL;
    if (weight_read(defining_op(b->v), &weight)) return find_listed(r->o, weight.name);
    wf_error inner = {0};
    r->status = constant_keep(constant_of(b->v), r->o->weights, &t, &inner);
    if (r->status != WF_OK) refuse_op(defining_op(b->v), inner.message, r->err);
    return r->status == WF_OK ? t : NULL;
}

static MlirValue write_reference(const referring *r, const checkpoint_tensor *t, bool transposed, MlirType result)
{
    op_builder b = at_start(r);
    weight_op weight = {
        .name = mlirStringRefCreate(t->name.data, t->name.len), .transposed = transposed, .w = {.type = result}};
    return weight_write(&b, &weight);
}

// A block as a checkpoint has it: its scale, then 32 bytes, or 16 of which each holds a number j and number j + 16, plus 8
// (https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h).
static void append_block(const char *q, const char *d, bool nibbles, buffer *out)
{
    buffer_append(out, d, 2);
    if (!nibbles) buffer_append(out, q, QUANT_BLOCK);
    for (int j = 0; j < QUANT_BLOCK / 2 && nibbles; j++)
        buffer_append_char(out, (char)(((q[j] + 8) & 15) | (q[j + QUANT_BLOCK / 2] + 8) << 4));
}

static wf_status append_blocks(const blocks_op *blocks, buffer *out, wf_error *err)
{
    buffer q = {0}, d = {0};
    bool nibbles = is_wf_type(element_type_of(blocks->w.value), "q4_0");
    wf_status status = constant_append(constant_of(blocks->q), &q, err);
    if (status == WF_OK) status = constant_append(constant_of(blocks->d), &d, err);
    for (size_t i = 0; status == WF_OK && i < q.len / QUANT_BLOCK; i++)
        append_block(q.data + i * QUANT_BLOCK, d.data + 2 * i, nibbles, out);
    if (out->failed) status = error_memory(err, q.len);
    buffer_free(&q);
    buffer_free(&d);
    return status;
}

static MlirValue refer_blocks(referring *r, const blocks_op *blocks)
{
    const MlirValue w = blocks->w.value;
    const weight_type *t = wf_weight_type(element_type_of(w));
    const checkpoint_tensor *kept;
    buffer bytes = {0};
    wf_error inner = {0};
    if (!constant_of(blocks->q).ptr || !constant_of(blocks->d).ptr) return (MlirValue){0};
    r->status = append_blocks(blocks, &bytes, &inner);
    if (r->status == WF_OK)
        r->status = constant_keep_bytes(buffer_view(&bytes), t->tensor, t->name, dim_of(w, 0) * dim_of(w, 1),
                                        r->o->weights, &kept, &inner);
    buffer_free(&bytes);
    if (r->status != WF_OK) {
        refuse_op(defining_op(w), inner.message, r->err);
        return (MlirValue){0};
    }
    op_builder b = at_start(r);
    weight_op weight = {
        .name = mlirStringRefCreate(kept->name.data, kept->name.len), .wide = true, .w = {.type = mlirValueGetType(w)}};
    return weight_write(&b, &weight);
}

// A matrix [n, k], in the type that it is packed in; null value: it is no weight.
static MlirValue refer_matrix(referring *r, MlirValue v, const weight_type *packed_as)
{
    blocks_op blocks;
    if (blocks_read(defining_op(v), &blocks)) return refer_blocks(r, &blocks);
    base b = find_base(v);
    int64_t n = dim_of(v, 0), k = dim_of(v, 1);
    const weight_type *stored = wf_weight_type(element_type_of(v));
    if (!b.v.ptr || n < 1 || k < 1 || !stored || !stored->widen) return (MlirValue){0};
    const checkpoint_tensor *t = list_base(r, &b);
    if (!t) return (MlirValue){0};
    const weight_type *packed = weight_type_packed(stored->tensor, k, packed_as);
    MlirContext ctx = mlirTypeGetContext(mlirValueGetType(v));
    return write_reference(r, t, b.transposed, tensor2(n, k, wf_weight_element(ctx, packed)));
}

static MlirValue refer_bias(referring *r, MlirValue v, int64_t n)
{
    base b = find_base(v);
    const weight_type *stored = wf_weight_type(element_type_of(v));
    if (!b.v.ptr || b.transposed || n < 1 || !stored || !stored->widen) return (MlirValue){0};
    const checkpoint_tensor *t = list_base(r, &b);
    return t ? write_reference(r, t, false, tensor_of(1, &n, element_type_of(v))) : (MlirValue){0};
}

// The linear with its weights referred to, where a kernel takes it: false, and nothing has changed, where not.
static bool refer_linear(referring *r, MlirOperation op, const linear_op *linear, const weight_type *packed_as)
{
    linear_op l = *linear;
    MlirValue y = linear->y.value;
    int n_biases = 0;
    for (int i = 0; i < l.n_weights && r->status == WF_OK; i++) {
        l.weights[i] = refer_matrix(r, linear->weights[i], packed_as);
        if (!l.weights[i].ptr || !mlirTypeEqual(element_type_of(l.weights[i]), element_type_of(l.weights[0])))
            return false;
        MlirValue bias = l.n_biases ? refer_bias(r, l.biases[i], dim_of(linear->weights[i], 0)) : (MlirValue){0};
        n_biases += bias.ptr != NULL;
        if (bias.ptr) l.biases[i] = bias;
    }
    if (r->status != WF_OK || (l.n_weights > 1 && n_biases != l.n_biases)) return false;
    op_builder b = op_builder_before(op);
    MlirValue referred = linear_write(&b, &l);
    if (ask_back_end(r->o->back_end, referred)) return false;
    replace_value(y, referred);
    mlirOperationDestroy(op);
    return true;
}

static void refer(MlirOperation op, void *context)
{
    referring *r = context;
    linear_op linear;
    if (r->status != WF_OK || !linear_read(op, &linear)) return;
    for (int i = 0; i < linear.n_weights; i++)
        if (rank_of(linear.weights[i]) != 2) return;
    if (r->o->packed_as && refer_linear(r, op, &linear, r->o->packed_as)) return;
    if (r->status == WF_OK) refer_linear(r, op, &linear, NULL);
}

// ---- what else reads arguments

typedef struct op_list {
    MlirOperation *ops;
    size_t n, max;
    bool failed;
} op_list;

static void list_weight(MlirOperation op, void *context)
{
    op_list *list = context;
    weight_op weight;
    if (!weight_read(op, &weight)) return;
    if (list->n == list->max) {
        size_t max = list->max ? 2 * list->max : 64;
        MlirOperation *more = realloc(list->ops, max * sizeof *more);
        list->failed = list->failed || !more;
        if (!more) return;
        list->ops = more;
        list->max = max;
    }
    list->ops[list->n++] = op;
}

// The argument that a wf.weight stands for; null value: it is the graph's own.
static MlirValue argument_of(const referring *r, const weight_op *weight)
{
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(r->entry); i++) {
        const graph_argument *a = &r->o->arguments[i];
        if (a->kind != ARGUMENT_OF_CALL && mlir_text_is(weight->name, a->name))
            return mlirBlockGetArgument(r->entry, i);
    }
    return (MlirValue){0};
}

wf_status refer_weights(MlirOperation function, const refer_options *options, wf_error *err)
{
    referring r = {.o = options, .function = function, .entry = function_body(function), .err = err};
    op_list before = {0};
    for_each_op(function, list_weight, &before);
    if (before.failed)
        r.status = error_memory(err, before.max);
    else
        for_each_op(function, refer, &r);
    for (size_t i = 0; i < before.n && r.status == WF_OK; i++) {
        weight_op weight;
        weight_read(before.ops[i], &weight);
        MlirValue argument = argument_of(&r, &weight);
        if (argument.ptr) replace_value(weight.w.value, argument);
    }
    free(before.ops);
    erase_dead(function);
    return r.status;
}
