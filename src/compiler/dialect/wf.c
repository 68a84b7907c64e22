// The table of ops, and what is done with all of them.
#include "compiler/dialect/wf.h"

#include <mlir-c/Dialect/IRDL.h>
#include <string.h>

#include "compiler/dialect/schema.h"
#include "compiler/mlir/text.h"

static const op_schema *const FAMILIES[] = {ROW_OPS, NORM_OPS, LINEAR_OPS, ROPE_OPS, ATTENTION_OPS};
enum { N_FAMILIES = sizeof FAMILIES / sizeof *FAMILIES };

// q8: an activation in blocks of 32: int8 quants, their scale, and scale * sum of the quants. The others: weights in
// the checkpoint's quantised blocks.
static const char *const TYPES[] = {"q8", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"};

wf_status wf_dialect_load(MlirContext ctx, wf_error *err)
{
    buffer text = {0};
    buffer_printf(&text, "irdl.dialect @wf {\n");
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) buffer_printf(&text, "  irdl.type @%s\n", TYPES[i]);
    for (int f = 0; f < N_FAMILIES; f++)
        for (const op_schema *s = FAMILIES[f]; s->name; s++) schema_declare(s, &text);
    buffer_printf(&text, "}\n");
    if (text.failed) return error_memory(err, text.len);
    MlirModule module = mlirModuleCreateParse(ctx, mlir_text(text.data));
    buffer_free(&text);
    if (mlirModuleIsNull(module)) return error_set(err, WF_ERROR_COMPILE, "the wf dialect does not parse");
    bool loaded = mlirLogicalResultIsSuccess(mlirLoadIRDLDialects(module));
    mlirModuleDestroy(module);
    return loaded ? WF_OK : error_set(err, WF_ERROR_COMPILE, "the wf dialect does not load");
}

MlirType wf_type(MlirContext ctx, const char *name)
{
    char text[32] = "!wf.";
    strncat(text, name, sizeof text - 5);
    return mlirTypeParseGet(ctx, mlir_text(text));
}

bool is_wf_type(MlirType t, const char *name) { return mlirTypeEqual(t, wf_type(mlirTypeGetContext(t), name)); }

static const op_schema *find_schema(MlirOperation op)
{
    for (int f = 0; f < N_FAMILIES && op_name_starts_with(op, "wf."); f++)
        for (const op_schema *s = FAMILIES[f]; s->name; s++)
            if (schema_is(s, op)) return s;
    return NULL;
}

typedef struct verification {
    wf_error *err;
    wf_status status;
} verification;

static MlirWalkResult verify(MlirOperation op, void *context)
{
    verification *v = context;
    const op_schema *s = find_schema(op);
    wf_error reason = {0};
    if (!s || schema_verify(s, op, &reason) == WF_OK) return MlirWalkResultAdvance;
    buffer where = {0};
    print_location(mlirOperationGetLocation(op), &where);
    v->status = error_set(v->err, WF_ERROR_FORMAT, "%s: wf.%s: %s", buffer_view(&where).data, s->name, reason.message);
    buffer_free(&where);
    return MlirWalkResultInterrupt;
}

wf_status wf_verify(MlirOperation root, wf_error *err)
{
    verification v = {err, WF_OK};
    mlirOperationWalk(root, verify, &v, MlirWalkPreOrder);
    return v.status;
}

void wf_list_ops(buffer *out)
{
    for (int f = 0; f < N_FAMILIES; f++)
        for (const op_schema *s = FAMILIES[f]; s->name; s++) {
            buffer_printf(out, "  ");
            schema_list(s, out);
        }
}

bool rowwise_read(MlirOperation op, int *n_rows, int *axes)
{
    norm_op norm;
    linear_op linear;
    softmax_op softmax;
    glu_op glu;
    bool gated = glu_read(op, &glu);
    *n_rows = gated ? 2 : 1;
    *axes = gated ? 0 : 1;
    if (norm_read(op, &norm)) {
        *axes = (int)norm.axes;
        return norm.kind != NORM_RESIDUAL;
    }
    return gated || linear_read(op, &linear) || softmax_read(op, &softmax);
}
