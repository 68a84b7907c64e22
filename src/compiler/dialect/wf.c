// The table of ops, and what is done with all of them.
#include "compiler/dialect/wf.h"

#include <mlir-c/Dialect/IRDL.h>
#include <string.h>

#include "compiler/dialect/schema.h"
#include "compiler/mlir/text.h"

static const op_schema *const FAMILIES[] = {ROW_OPS, NORM_OPS, LINEAR_OPS, ROPE_OPS, ATTENTION_OPS};
enum { N_FAMILIES = sizeof FAMILIES / sizeof *FAMILIES };

wf_status wf_dialect_load(MlirContext ctx, wf_error *err)
{
    buffer text = {0};
    buffer_printf(&text, "irdl.dialect @wf {\n  irdl.type @q8\n"); // an activation in blocks of 32 (kernel/rows/q8.h)
    for (int layout = 0; layout < LAYOUT_COUNT; layout++) {
        const weight_type *t = weight_type_in((weight_layout)layout);
        if (t && weight_type_is_quantised(t)) buffer_printf(&text, "  irdl.type @%s\n", t->name);
    }
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

bool rows_read(MlirOperation op, rows_op *r)
{
    norm_op norm;
    linear_op linear;
    softmax_op softmax;
    glu_op glu;
    if (norm_read(op, &norm) && norm.kind != NORM_RESIDUAL)
        *r = (rows_op){{norm.x}, 1, (int)norm.axes, norm.y};
    else if (linear_read(op, &linear))
        *r = (rows_op){{linear.x}, 1, 1, linear.y};
    else if (softmax_read(op, &softmax) && !softmax.sink.ptr) // which goes by x's axes
        *r = (rows_op){{softmax.x}, 1, 1, softmax.y};
    else if (glu_read(op, &glu))
        *r = (rows_op){{glu.gate, glu.up}, 2, 0, glu.y};
    else
        return false;
    return true;
}

MlirValue rows_write(op_builder *b, MlirOperation like, rows_op *r)
{
    norm_op norm;
    linear_op linear;
    softmax_op softmax;
    glu_op glu;
    if (norm_read(like, &norm)) {
        norm.x = r->rows[0];
        norm.y = r->y;
        r->y.value = norm_write(b, &norm);
    } else if (linear_read(like, &linear)) {
        linear.x = r->rows[0];
        linear.y = r->y;
        r->y.value = linear_write(b, &linear);
    } else if (softmax_read(like, &softmax)) {
        softmax.x = r->rows[0];
        softmax.y = r->y;
        r->y.value = softmax_write(b, &softmax);
    } else if (glu_read(like, &glu)) {
        glu.gate = r->rows[0];
        glu.up = r->rows[1];
        glu.y = r->y;
        r->y.value = glu_write(b, &glu);
    }
    return r->y.value;
}
