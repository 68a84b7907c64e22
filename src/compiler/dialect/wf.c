#include "compiler/dialect/wf.h"

#include <mlir-c/Dialect/IRDL.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "compiler/codegen/context.h"

enum { MAX_LOOPS = 16 }; // of an op, or axes of a tensor: no caller has more

// clang-format off
// Types
//   q8      an activation in blocks of 32: int8 quants, their scale, and scale * sum of the quants
//   q8_0 q4_0 ...   weights in the checkpoint's quantised blocks: the names of runtime/weight_type.c
//
// Ops (rows = tokens of this call)
//   weight       {name}                         a tensor of the checkpoint
//   embed        ids[rows], table[vocab, n]     -> [rows, n] {scale}
//   select_rows  x[rows, n], which[k]           -> [k, n]
//   rms_norm     x, gamma?                      x / sqrt(mean(x^2) + eps) * gamma {eps, plus_one: times 1 + gamma,
//                                               n_heads: each of a row's heads by itself, gamma is of a head's size}
//   residual_norm   x, r, gamma?                -> h = x + r, y = rms_norm of h {as rms_norm}
//   layer_norm   x, gamma?, beta?               (x - mean) / sqrt(var + eps) * gamma + beta {eps}
//   linear       x, w0, w1?, w2?, b0?, b1?, b2?, residual?   x W^T + b (+ residual). Several weights: outputs side by side.
//                {activation = "swiglu"}: two weights, silu(x W0^T) * (x W1^T); "geglu": gelu(x W0^T) * (x W1^T)
//   rope_table   {table}                        -> cos, sin [rows, n/2] of this call's positions
//   rope         x, cos, sin                    rotates each head's first 2 * dim(cos, 1) features {n_heads, interleaved}
//   attention    q, k, v, mask?, sink?          softmax(scale q k^T [+ mask]) v over heads; with {cache}: k and v are appended
//                to that layer's cache first, and q attends to all of it {n_heads, n_kv_heads, scale, causal, window: the
//                last so many positions only, softcap: scores become c tanh(score / c), online: in one pass, without a
//                matrix of scores in memory}
//   swiglu       gate, up                       silu(gate) * up; {activation = "gelu"}: gelu(gate) * up, in its tanh form;
//                "gelu_erf": gelu's own, by erf
//   softcap      x                              cap tanh(x / cap) {cap}
//   softmax      x, sink?                       over the last axis
//   quantize     x f32                          -> the same as q8
//   columns      x                              features first .. first + n of each row, n as the result's type says {first}
//   rope_store   q, k, v, cos, sin, gamma_q?, gamma_k?   -> q: rotates q and k, appends k and v to the cache {n_heads,
//                n_kv_heads, interleaved, cache}; with gammas, rms_norm of q's and k's heads comes first {eps, plus_one}
//   cached_attention  q                         attention over the cache alone {as attention}
//
// Ops raised from graphs keep the graph's shapes: activations of any rank, the last axis contiguous; gamma and beta of any
// shape whose elements are the normalised axes. They may carry besides:
//   rms_norm, layer_norm   axes: trailing axes that are normalised together (absent: 1); plus_one: times (1 + gamma);
//                          rounded: a type that the normalised value, and its product with gamma before beta, are rounded to
//   swiglu                 rounded: a type that silu(gate) is rounded to
//   softmax, attention     zero_masked: a row of nothing but -inf gives 0, not nan
//   attention              mask: added to the scaled scores; broadcast to [batch, heads, queries, keys] as numpy does
//   softmax, attention     sink: a logit more in the sum of each row, which weighs nothing; of softmax as x, with a last axis
//                          of size 1, or 1 along any; of attention [n_heads]
//   rope, attention        rows may have a batch: [batch, sequence, features], each sequence on its own
// clang-format on
static const char OPERATIONS[] =
    "  irdl.operation @weight {\n"
    "    %t = irdl.base \"!builtin.tensor\"\n"
    "    %name = irdl.base \"#builtin.string\"\n"
    "    irdl.results(w: %t)\n"
    "    irdl.attributes { \"name\" = %name }\n"
    "  }\n"
    "  irdl.operation @embed {\n"
    "    %ids = irdl.base \"!builtin.tensor\"\n"
    "    %table = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    irdl.operands(ids: %ids, table: %table)\n"
    "    irdl.results(y: %y)\n"
    "  }\n"
    "  irdl.operation @select_rows {\n"
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %which = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    irdl.operands(x: %x, which: %which)\n"
    "    irdl.results(y: %y)\n"
    "  }\n"
    "  irdl.operation @rms_norm {\n"
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %gamma = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    %eps = irdl.base \"#builtin.float\"\n"
    "    irdl.operands(x: %x, gamma: optional %gamma)\n"
    "    irdl.results(y: %y)\n"
    "    irdl.attributes { \"eps\" = %eps }\n"
    "  }\n"
    "  irdl.operation @residual_norm {\n"
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %gamma = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    %eps = irdl.base \"#builtin.float\"\n"
    "    irdl.operands(x: %x, r: %x, gamma: optional %gamma)\n"
    "    irdl.results(h: %x, y: %y)\n"
    "    irdl.attributes { \"eps\" = %eps }\n"
    "  }\n"
    "  irdl.operation @layer_norm {\n"
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %gamma = irdl.base \"!builtin.tensor\"\n"
    "    %beta = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    %eps = irdl.base \"#builtin.float\"\n"
    "    irdl.operands(x: %x, gamma: optional %gamma, beta: optional %beta)\n"
    "    irdl.results(y: %y)\n"
    "    irdl.attributes { \"eps\" = %eps }\n"
    "  }\n"
    "  irdl.operation @linear {\n" // a variadic operand would force all weights to one shape: each has its own slot
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %w0 = irdl.base \"!builtin.tensor\"\n"
    "    %w1 = irdl.base \"!builtin.tensor\"\n"
    "    %w2 = irdl.base \"!builtin.tensor\"\n"
    "    %b0 = irdl.base \"!builtin.tensor\"\n"
    "    %b1 = irdl.base \"!builtin.tensor\"\n"
    "    %b2 = irdl.base \"!builtin.tensor\"\n"
    "    %r = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    irdl.operands(x: %x, w0: %w0, w1: optional %w1, w2: optional %w2, b0: optional %b0, b1: optional %b1, b2: "
    "optional "
    "%b2, residual: optional %r)\n"
    "    irdl.results(y: %y)\n"
    "  }\n"
    "  irdl.operation @rope_table {\n"
    "    %cos = irdl.base \"!builtin.tensor\"\n"
    "    %sin = irdl.base \"!builtin.tensor\"\n"
    "    %table = irdl.base \"#builtin.integer\"\n"
    "    irdl.results(cos: %cos, sin: %sin)\n"
    "    irdl.attributes { \"table\" = %table }\n"
    "  }\n"
    "  irdl.operation @rope {\n"
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %cos = irdl.base \"!builtin.tensor\"\n"
    "    %sin = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    %n_heads = irdl.base \"#builtin.integer\"\n"
    "    irdl.operands(x: %x, cos: %cos, sin: %sin)\n"
    "    irdl.results(y: %y)\n"
    "    irdl.attributes { \"n_heads\" = %n_heads }\n"
    "  }\n"
    "  irdl.operation @attention {\n"
    "    %q = irdl.base \"!builtin.tensor\"\n"
    "    %k = irdl.base \"!builtin.tensor\"\n"
    "    %v = irdl.base \"!builtin.tensor\"\n"
    "    %mask = irdl.base \"!builtin.tensor\"\n"
    "    %sink = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    %n_heads = irdl.base \"#builtin.integer\"\n"
    "    %n_kv_heads = irdl.base \"#builtin.integer\"\n"
    "    %scale = irdl.base \"#builtin.float\"\n"
    "    irdl.operands(q: %q, k: %k, v: %v, mask: optional %mask, sink: optional %sink)\n"
    "    irdl.results(y: %y)\n"
    "    irdl.attributes { \"n_heads\" = %n_heads, \"n_kv_heads\" = %n_kv_heads, \"scale\" = %scale }\n"
    "  }\n"
    "  irdl.operation @swiglu {\n"
    "    %gate = irdl.base \"!builtin.tensor\"\n"
    "    %up = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    irdl.operands(gate: %gate, up: %up)\n"
    "    irdl.results(y: %y)\n"
    "  }\n"
    "  irdl.operation @softcap {\n"
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    %cap = irdl.base \"#builtin.float\"\n"
    "    irdl.operands(x: %x)\n"
    "    irdl.results(y: %y)\n"
    "    irdl.attributes { \"cap\" = %cap }\n"
    "  }\n"
    "  irdl.operation @softmax {\n"
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %sink = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    irdl.operands(x: %x, sink: optional %sink)\n"
    "    irdl.results(y: %y)\n"
    "  }\n"
    "  irdl.operation @quantize {\n"
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    irdl.operands(x: %x)\n"
    "    irdl.results(y: %y)\n"
    "  }\n"
    "  irdl.operation @columns {\n"
    "    %x = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    %first = irdl.base \"#builtin.integer\"\n"
    "    irdl.operands(x: %x)\n"
    "    irdl.results(y: %y)\n"
    "    irdl.attributes { \"first\" = %first }\n"
    "  }\n"
    "  irdl.operation @rope_store {\n"
    "    %q = irdl.base \"!builtin.tensor\"\n"
    "    %k = irdl.base \"!builtin.tensor\"\n"
    "    %v = irdl.base \"!builtin.tensor\"\n"
    "    %cos = irdl.base \"!builtin.tensor\"\n"
    "    %sin = irdl.base \"!builtin.tensor\"\n"
    "    %gamma_q = irdl.base \"!builtin.tensor\"\n"
    "    %gamma_k = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    %n_heads = irdl.base \"#builtin.integer\"\n"
    "    %n_kv_heads = irdl.base \"#builtin.integer\"\n"
    "    %cache = irdl.base \"#builtin.integer\"\n"
    "    irdl.operands(q: %q, k: %k, v: %v, cos: %cos, sin: %sin, gamma_q: optional %gamma_q, gamma_k: optional "
    "%gamma_k)\n"
    "    irdl.results(rotated: %y)\n"
    "    irdl.attributes { \"n_heads\" = %n_heads, \"n_kv_heads\" = %n_kv_heads, \"cache\" = %cache }\n"
    "  }\n"
    "  irdl.operation @cached_attention {\n"
    "    %q = irdl.base \"!builtin.tensor\"\n"
    "    %y = irdl.base \"!builtin.tensor\"\n"
    "    %n_heads = irdl.base \"#builtin.integer\"\n"
    "    %n_kv_heads = irdl.base \"#builtin.integer\"\n"
    "    %scale = irdl.base \"#builtin.float\"\n"
    "    %cache = irdl.base \"#builtin.integer\"\n"
    "    irdl.operands(q: %q)\n"
    "    irdl.results(y: %y)\n"
    "    irdl.attributes { \"n_heads\" = %n_heads, \"n_kv_heads\" = %n_kv_heads, \"scale\" = %scale, \"cache\" = "
    "%cache }\n"
    "  }\n";

wf_status wf_dialect_load(MlirContext ctx, wf_error *err)
{
    buffer text = {0};
    buffer_printf(&text, "irdl.dialect @wf {\n  irdl.type @q8\n");
    for (int layout = 0; layout < LAYOUT_COUNT; layout++) {
        const weight_type *t = weight_type_in((weight_layout)layout);
        if (t && weight_type_is_quantised(t)) buffer_printf(&text, "  irdl.type @%s\n", t->name);
    }
    buffer_printf(&text, "%s}\n", OPERATIONS);
    MlirModule module = {0};
    bool failed = text.failed;
    if (!failed) module = mlirModuleCreateParse(ctx, mlir_text(text.data));
    buffer_free(&text);
    if (failed) return error_memory(err, sizeof OPERATIONS);
    if (mlirModuleIsNull(module)) return error_set(err, WF_ERROR_COMPILE, "the wf dialect does not parse");
    bool loaded = mlirLogicalResultIsSuccess(mlirLoadIRDLDialects(module));
    mlirModuleDestroy(module);
    return loaded ? WF_OK : error_set(err, WF_ERROR_COMPILE, "the wf dialect does not load");
}

// ---- reading

static bool same(MlirStringRef s, const char *t) { return s.length == strlen(t) && !memcmp(s.data, t, s.length); }

bool op_is(MlirOperation op, const char *name)
{
    return op.ptr && same(mlirIdentifierStr(mlirOperationGetName(op)), name);
}

bool op_name_starts_with(MlirOperation op, const char *prefix)
{
    if (!op.ptr) return false;
    MlirStringRef s = mlirIdentifierStr(mlirOperationGetName(op));
    return s.length >= strlen(prefix) && !memcmp(s.data, prefix, strlen(prefix));
}

MlirOperation defining_op(MlirValue v)
{
    return v.ptr && mlirValueIsAOpResult(v) ? mlirOpResultGetOwner(v) : (MlirOperation){0};
}

bool has_no_use(MlirValue v) { return mlirOpOperandIsNull(mlirValueGetFirstUse(v)); }

bool has_one_use(MlirValue v)
{
    MlirOpOperand use = mlirValueGetFirstUse(v);
    return !mlirOpOperandIsNull(use) && mlirOpOperandIsNull(mlirOpOperandGetNextUse(use));
}

MlirAttribute op_attribute(MlirOperation op, const char *name)
{
    return mlirOperationGetAttributeByName(op, mlir_text(name));
}

int64_t op_int(MlirOperation op, const char *name, int64_t fallback)
{
    MlirAttribute a = op_attribute(op, name);
    return a.ptr && mlirAttributeIsAInteger(a) ? mlirIntegerAttrGetValueInt(a) : fallback;
}

double op_float(MlirOperation op, const char *name, double fallback)
{
    MlirAttribute a = op_attribute(op, name);
    return a.ptr && mlirAttributeIsAFloat(a) ? mlirFloatAttrGetValueDouble(a) : fallback;
}

bool op_bool(MlirOperation op, const char *name)
{
    MlirAttribute a = op_attribute(op, name);
    return a.ptr && mlirAttributeIsABool(a) && mlirBoolAttrGetValue(a);
}

MlirStringRef op_string(MlirOperation op, const char *name)
{
    MlirAttribute a = op_attribute(op, name);
    return a.ptr && mlirAttributeIsAString(a) ? mlirStringAttrGetValue(a) : (MlirStringRef){"", 0};
}

int64_t op_segment(MlirOperation op, int segment, int64_t *first)
{
    MlirAttribute sizes = op_attribute(op, "operandSegmentSizes");
    *first = 0;
    if (!sizes.ptr) return 0;
    for (int i = 0; i < segment; i++) *first += mlirDenseI32ArrayGetElement(sizes, i);
    return mlirDenseI32ArrayGetElement(sizes, segment);
}

int rank_of(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAShaped(t) && mlirShapedTypeHasRank(t) ? (int)mlirShapedTypeGetRank(t) : -1;
}

int64_t dim_of(MlirValue v, int axis)
{
    MlirType t = mlirValueGetType(v);
    return mlirShapedTypeIsDynamicDim(t, axis) ? -1 : mlirShapedTypeGetDimSize(t, axis);
}

MlirType element_type_of(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAShaped(t) ? mlirShapedTypeGetElementType(t) : t;
}

MlirType wf_type(MlirContext ctx, const char *name)
{
    char text[32] = "!wf.";
    strncat(text, name, sizeof text - 5);
    return mlirTypeParseGet(ctx, mlir_text(text));
}

MlirType wf_weight_element(MlirContext ctx, const weight_type *t)
{
    return weight_type_is_quantised(t) ? wf_type(ctx, t->name) : mlirTypeParseGet(ctx, mlir_text(t->name));
}

const weight_type *wf_weight_type(MlirType element)
{
    for (int layout = 0; layout < LAYOUT_COUNT; layout++) {
        const weight_type *t = weight_type_in((weight_layout)layout);
        if (t && mlirTypeEqual(element, wf_weight_element(mlirTypeGetContext(element), t))) return t;
    }
    return NULL;
}

bool is_wf_type(MlirType t, const char *name) { return mlirTypeEqual(t, wf_type(mlirTypeGetContext(t), name)); }

// ---- writing

op_builder op_builder_before(MlirOperation op)
{
    return (op_builder){mlirOperationGetContext(op), mlirOperationGetLocation(op), mlirOperationGetBlock(op), op};
}

op_builder op_builder_at_end(MlirBlock block, MlirLocation loc)
{
    return (op_builder){mlirLocationGetContext(loc), loc, block, {0}};
}

static MlirNamedAttribute named(op_builder *b, const char *name, MlirAttribute a)
{
    return mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text(name)), a);
}

MlirNamedAttribute named_int(op_builder *b, const char *name, int64_t v)
{
    return named(b, name, mlirIntegerAttrGet(mlirIntegerTypeGet(b->ctx, 64), v));
}

MlirNamedAttribute named_float(op_builder *b, const char *name, double v)
{
    return named(b, name, mlirFloatAttrDoubleGet(b->ctx, mlirF64TypeGet(b->ctx), v));
}

MlirNamedAttribute named_bool(op_builder *b, const char *name, bool v)
{
    return named(b, name, mlirBoolAttrGet(b->ctx, v));
}

MlirNamedAttribute named_string(op_builder *b, const char *name, const char *v)
{
    return named(b, name, mlirStringAttrGet(b->ctx, mlir_text(v)));
}

MlirNamedAttribute named_type(op_builder *b, const char *name, MlirType v)
{
    return named(b, name, mlirTypeAttrGet(v));
}

MlirNamedAttribute named_segments(op_builder *b, int n, const int32_t *sizes)
{
    return named(b, "operandSegmentSizes", mlirDenseI32ArrayGet(b->ctx, n, sizes));
}

MlirOperation build_op(op_builder *b, const char *name, int n_results, const MlirType *results, int n_operands,
                       const MlirValue *operands, int n_attributes, const MlirNamedAttribute *attributes)
{
    MlirOperationState state = mlirOperationStateGet(mlir_text(name), b->loc);
    mlirOperationStateAddResults(&state, n_results, results);
    mlirOperationStateAddOperands(&state, n_operands, operands);
    mlirOperationStateAddAttributes(&state, n_attributes, attributes);
    MlirOperation op = mlirOperationCreate(&state);
    if (b->before.ptr)
        mlirBlockInsertOwnedOperationBefore(b->block, b->before, op);
    else
        mlirBlockAppendOwnedOperation(b->block, op);
    return op;
}

MlirValue build_value(op_builder *b, const char *name, MlirType result, int n_operands, const MlirValue *operands,
                      int n_attributes, const MlirNamedAttribute *attributes)
{
    return mlirOperationGetResult(build_op(b, name, 1, &result, n_operands, operands, n_attributes, attributes), 0);
}

MlirValue build_generic(op_builder *b, int n, const MlirValue *operands, const MlirAttribute *maps, int n_loops,
                        const bool *reduces, MlirBlock body)
{
    MlirAttribute iterators[MAX_LOOPS];
    for (int d = 0; d < n_loops; d++) {
        bool reduction = reduces && reduces[d];
        iterators[d] = mlirAttributeParseGet(
            b->ctx, mlir_text(reduction ? "#linalg.iterator_type<reduction>" : "#linalg.iterator_type<parallel>"));
    }
    int32_t segments[] = {n - 1, 1};
    MlirNamedAttribute attributes[] = {
        mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("indexing_maps")), mlirArrayAttrGet(b->ctx, n, maps)),
        mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("iterator_types")),
                              mlirArrayAttrGet(b->ctx, n_loops, iterators)),
        named_segments(b, 2, segments),
    };
    MlirType type = mlirValueGetType(operands[n - 1]);
    MlirRegion region = mlirRegionCreate();
    mlirRegionAppendOwnedBlock(region, body);
    MlirOperationState state = mlirOperationStateGet(mlir_text("linalg.generic"), b->loc);
    mlirOperationStateAddResults(&state, 1, &type);
    mlirOperationStateAddOperands(&state, n, operands);
    mlirOperationStateAddAttributes(&state, 3, attributes);
    mlirOperationStateAddOwnedRegions(&state, 1, &region);
    MlirOperation op = mlirOperationCreate(&state);
    mlirBlockInsertOwnedOperationBefore(b->block, b->before, op);
    return mlirOperationGetResult(op, 0);
}

MlirType tensor_of(int rank, const int64_t *shape, MlirType element)
{
    int64_t sizes[MAX_LOOPS];
    for (int i = 0; i < rank; i++) sizes[i] = shape[i] < 0 ? mlirShapedTypeGetDynamicSize() : shape[i];
    return mlirRankedTensorTypeGet(rank, sizes, element, mlirAttributeGetNull());
}

MlirType tensor2(int64_t rows, int64_t cols, MlirType element)
{
    return tensor_of(2, (int64_t[]){rows, cols}, element);
}

bool linear_read(MlirOperation op, linear_parts *parts)
{
    *parts = (linear_parts){0};
    if (!op_is(op, "wf.linear")) return false;
    MlirValue slots[8]; // x, three weights, three biases, residual; null where absent
    for (int i = 0; i < 8; i++) {
        int64_t first;
        slots[i] = op_segment(op, i, &first) ? mlirOperationGetOperand(op, first) : (MlirValue){0};
    }
    parts->x = slots[0];
    for (int i = 0; i < LINEAR_MAX_WEIGHTS && slots[1 + i].ptr; i++) parts->weights[parts->n_weights++] = slots[1 + i];
    for (int i = 0; i < LINEAR_MAX_WEIGHTS && slots[4 + i].ptr; i++) parts->biases[parts->n_biases++] = slots[4 + i];
    parts->residual = slots[7];
    parts->swiglu = op_string(op, "activation").length > 0;
    parts->gelu = same(op_string(op, "activation"), "geglu");
    parts->result = mlirValueGetType(mlirOperationGetResult(op, 0));
    return true;
}

MlirValue linear_write(op_builder *b, const linear_parts *parts)
{
    MlirValue operands[2 + 2 * LINEAR_MAX_WEIGHTS] = {parts->x};
    int n = 1;
    for (int i = 0; i < parts->n_weights; i++) operands[n++] = parts->weights[i];
    for (int i = 0; i < parts->n_biases; i++) operands[n++] = parts->biases[i];
    if (parts->residual.ptr) operands[n++] = parts->residual;
    int32_t sizes[] = {1,
                       1,
                       parts->n_weights > 1,
                       parts->n_weights > 2,
                       parts->n_biases > 0,
                       parts->n_biases > 1,
                       parts->n_biases > 2,
                       parts->residual.ptr != NULL};
    MlirNamedAttribute attributes[] = {named_segments(b, 8, sizes),
                                       named_string(b, "activation", parts->gelu ? "geglu" : "swiglu")};
    return build_value(b, "wf.linear", parts->result, n, operands, parts->swiglu ? 2 : 1, attributes);
}

bool linear_is_plain(const linear_parts *parts)
{
    return parts->n_weights == 1 && !parts->residual.ptr && !parts->swiglu;
}

bool attention_read(MlirOperation op, attention_parts *parts)
{
    *parts = (attention_parts){0};
    if (!op_is(op, "wf.attention")) return false;
    MlirValue *slots[] = {&parts->q, &parts->k, &parts->v, &parts->mask, &parts->sink};
    for (int i = 0; i < 5; i++) {
        int64_t first;
        if (op_segment(op, i, &first)) *slots[i] = mlirOperationGetOperand(op, first);
    }
    return true;
}

MlirValue attention_write(op_builder *b, const attention_parts *parts, MlirType result, int n_attributes,
                          const MlirNamedAttribute *attributes)
{
    MlirValue operands[5] = {parts->q, parts->k, parts->v};
    int n = 3;
    if (parts->mask.ptr) operands[n++] = parts->mask;
    if (parts->sink.ptr) operands[n++] = parts->sink;
    const int32_t sizes[] = {1, 1, 1, parts->mask.ptr != NULL, parts->sink.ptr != NULL};
    MlirValue y = build_value(b, "wf.attention", result, n, operands, n_attributes, attributes);
    MlirNamedAttribute segments = named_segments(b, 5, sizes);
    mlirOperationSetAttributeByName(defining_op(y), mlirIdentifierStr(segments.name), segments.attribute);
    return y;
}

void replace_value(MlirValue from, MlirValue to) { mlirValueReplaceAllUsesOfWith(from, to); }

// ---- walking

typedef struct op_list {
    MlirOperation *ops;
    size_t n, capacity;
} op_list;

static MlirWalkResult collect(MlirOperation op, void *user)
{
    op_list *list = user;
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 256;
        MlirOperation *ops = realloc(list->ops, capacity * sizeof *ops);
        if (!ops) return MlirWalkResultInterrupt;
        list->ops = ops;
        list->capacity = capacity;
    }
    list->ops[list->n++] = op;
    return MlirWalkResultAdvance;
}

void for_each_op(MlirOperation root, void (*visit)(MlirOperation op, void *context), void *context)
{
    op_list list = {0};
    mlirOperationWalk(root, collect, &list, MlirWalkPreOrder);
    for (size_t i = 0; i < list.n; i++)
        if (!mlirOperationEqual(list.ops[i], root)) visit(list.ops[i], context);
    free(list.ops);
}

static bool is_pure(MlirOperation op);

// Of an scf.if or scf.for: all that its regions do is yield what pure ops compute.
static bool has_pure_regions(MlirOperation op)
{
    for (intptr_t r = 0; r < mlirOperationGetNumRegions(op); r++) {
        MlirBlock block = mlirRegionGetFirstBlock(mlirOperationGetRegion(op, r));
        if (mlirBlockIsNull(block)) continue;
        MlirOperation inner = mlirBlockGetFirstOperation(block);
        for (; inner.ptr; inner = mlirOperationGetNextInBlock(inner))
            if (!op_is(inner, "scf.yield") && !is_pure(inner)) return false;
    }
    return true;
}

static bool is_pure(MlirOperation op)
{
    static const char *const dialects[] = {"wf.", "arith.", "tensor.", "math.", "tosa."};
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (op_name_starts_with(op, dialects[i])) return true;
    if (op_is(op, "scf.if") || op_is(op, "scf.for")) return has_pure_regions(op);
    // linalg on tensors has no effects; linalg.yield has no results and stays
    return op_name_starts_with(op, "linalg.") && mlirOperationGetNumResults(op) > 0;
}

static bool is_idle_assert(MlirOperation op)
{
    if (!op_is(op, "cf.assert")) return false;
    MlirOperation condition = defining_op(mlirOperationGetOperand(op, 0));
    if (!op_is(condition, "arith.constant")) return false;
    MlirAttribute value = op_attribute(condition, "value");
    return value.ptr && mlirAttributeIsABool(value) && mlirBoolAttrGetValue(value);
}

// Ops inside the region of a structured op live and die with it.
static MlirWalkResult collect_outer(MlirOperation op, void *user)
{
    MlirWalkResult result = collect(op, user);
    bool structured = op_name_starts_with(op, "linalg.") || op_name_starts_with(op, "tensor.");
    return structured && result == MlirWalkResultAdvance ? MlirWalkResultSkip : result;
}

void wf_erase_dead(MlirOperation root)
{
    // Backwards: by the time an op is looked at, all its dead users are gone.
    op_list list = {0};
    mlirOperationWalk(root, collect_outer, &list, MlirWalkPreOrder);
    for (size_t i = list.n; i-- > 0;) {
        MlirOperation op = list.ops[i];
        if (is_idle_assert(op)) {
            mlirOperationDestroy(op);
            continue;
        }
        if (!is_pure(op) || mlirOperationGetNumResults(op) == 0) continue;
        bool dead = true;
        for (intptr_t r = 0; r < mlirOperationGetNumResults(op); r++)
            dead = dead && has_no_use(mlirOperationGetResult(op, r));
        if (dead) mlirOperationDestroy(op);
    }
    free(list.ops);
}
