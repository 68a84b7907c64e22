// Definitions (definition.h) parsed and put in place of their ops.
#include "compiler/dialect/definition/decompose.h"

#include <mlir-c/AffineExpr.h>
#include <mlir-c/AffineMap.h>

#include "compiler/dialect/definition/definition.h"

static const struct {
    const char *name;
    definition *define;
} DEFINITIONS[] = {
    {"wf.rms_norm", define_norm},
    {"wf.layer_norm", define_norm},
    {"wf.softmax", define_softmax},
    {"wf.glu", define_glu},
    {"wf.linear", define_linear},
    {"wf.rope", define_rope},
    {"wf.attention", define_attention},
    // what upstream does not lower
    {"tosa.scatter", define_scatter},
    {"tensor.insert", define_insert},
    {"tensor.extract_slice", define_extract_slice},
    {"tensor.insert_slice", define_insert_slice},
    {"tensor.bitcast", define_bitcast},
    {"linalg.softmax", define_linalg_softmax},
};

enum { MAX_OPERANDS = 8, MAX_RANK = 8 }; // of the generics of definitions, where transpositions are looked through

static definition *find_definition(MlirOperation op)
{
    for (size_t i = 0; i < sizeof DEFINITIONS / sizeof *DEFINITIONS; i++)
        if (op_is(op, DEFINITIONS[i].name)) return DEFINITIONS[i].define;
    return NULL;
}

// In a loop or a branch single elements and slices are written in place (nest/routine.h).
static bool is_in_place(MlirOperation op)
{
    return op_name_starts_with(mlirOperationGetParentOperation(op), "scf.") &&
           (op_is(op, "tensor.insert") || op_is(op, "tensor.insert_slice") || op_is(op, "tensor.extract_slice"));
}

static bool write_definition(writer *w)
{
    definition *define = find_definition(w->op);
    if (!define) return false;
    intptr_t n = mlirOperationGetNumOperands(w->op);
    char type[256];
    buffer_printf(&w->text, "func.func @reference(");
    for (intptr_t k = 0; k < n; k++) {
        print_type(operand_of(w, (int)k), type);
        buffer_printf(&w->text, "%s%%arg%zd: %s", k ? ", " : "", k, type);
    }
    print_type(result_of(w), type);
    buffer_printf(&w->text, ") -> %s {\n", type);
    bool written = define(w);
    buffer_printf(&w->text, "}\n");
    return written && !w->text.failed;
}

static MlirWalkResult place_at(MlirOperation op, void *location)
{
    mlirOperationSetLocation(op, *(MlirLocation *)location);
    return MlirWalkResultAdvance;
}

// A generic reads what a transposition moves where it lies: so its loops can follow the order in memory.
static void read_untransposed(MlirOperation op)
{
    MlirAttribute maps = op_attribute(op, "indexing_maps");
    if (!op_is(op, "linalg.generic") || !maps.ptr) return;
    MlirContext ctx = mlirOperationGetContext(op);
    MlirAttribute list[MAX_OPERANDS];
    intptr_t n = mlirArrayAttrGetNumElements(maps);
    if (n > MAX_OPERANDS) return;
    for (intptr_t i = 0; i < n; i++) {
        list[i] = mlirArrayAttrGetElement(maps, i);
        MlirOperation from = defining_op(mlirOperationGetOperand(op, i));
        MlirAttribute permutation = op_attribute(from.ptr ? from : op, "permutation");
        MlirAffineMap map = mlirAffineMapAttrGetValue(list[i]);
        intptr_t rank = mlirAffineMapGetNumResults(map);
        if (i + 1 == n || !op_is(from, "linalg.transpose") || rank > MAX_RANK) continue;
        MlirAffineExpr at[MAX_RANK];
        for (intptr_t d = 0; d < rank; d++)
            at[mlirDenseI64ArrayGetElement(permutation, d)] = mlirAffineMapGetResult(map, d);
        list[i] = mlirAffineMapAttrGet(mlirAffineMapGet(ctx, mlirAffineMapGetNumDims(map), 0, rank, at));
        mlirOperationSetOperand(op, i, mlirOperationGetOperand(from, 0));
    }
    mlirOperationSetAttributeByName(op, mlir_text("indexing_maps"), mlirArrayAttrGet(ctx, n, list));
}

// Moves the ops of the definition in front of the op, which they replace.
static void splice(MlirModule parsed, MlirOperation op)
{
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(parsed));
    MlirBlock from = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0)), to = mlirOperationGetBlock(op);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        replace_value(mlirBlockGetArgument(from, i), mlirOperationGetOperand(op, i));
    MlirOperation end = mlirBlockGetTerminator(from), next;
    MlirLocation location = mlirOperationGetLocation(op);
    for (MlirOperation o = mlirBlockGetFirstOperation(from); !mlirOperationEqual(o, end); o = next) {
        next = mlirOperationGetNextInBlock(o);
        mlirOperationWalk(o, place_at, &location, MlirWalkPreOrder);
        mlirOperationRemoveFromParent(o);
        mlirBlockInsertOwnedOperationBefore(to, op, o);
        read_untransposed(o);
    }
    replace_value(mlirOperationGetResult(op, 0), mlirOperationGetOperand(end, 0));
    mlirOperationDestroy(op);
}

typedef struct run {
    compiler_context *c;
    bool (*keep)(MlirOperation op);
    wf_error *err;
    wf_status status;
} run;

static void decompose(MlirOperation op, void *context)
{
    run *r = context;
    bool ours = op_name_starts_with(op, "wf.");
    if (r->status != WF_OK || is_in_place(op) || (!ours && !find_definition(op)) || (r->keep && r->keep(op))) return;
    writer w = {.op = op};
    wf_error reason = {0};
    MlirModule parsed = {0};
    bool defined = mlirOperationGetNumResults(op) == 1 && write_definition(&w);
    if (defined) {
        compiler_context_watch(r->c, &reason);
        parsed = mlirModuleCreateParse(r->c->mlir, mlir_text(w.text.data));
        compiler_context_watch(r->c, NULL);
    }
    buffer where = {0};
    print_location(mlirOperationGetLocation(op), &where);
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    if (!defined && !ours) {
        // it runs as it is, or is refused later
    } else if (!defined) {
        r->status = error_set(r->err, WF_ERROR_UNSUPPORTED, "%s: %.*s of this form cannot be compiled",
                              buffer_view(&where).data, (int)name.length, name.data);
    } else if (!parsed.ptr) {
        r->status = error_set(r->err, WF_ERROR_COMPILE, "%s: the definition of %.*s: %s", buffer_view(&where).data,
                              (int)name.length, name.data, reason.message);
    } else {
        splice(parsed, op);
        mlirModuleDestroy(parsed);
    }
    buffer_free(&where);
    buffer_free(&w.text);
}

wf_status decompose_function(compiler_context *c, MlirOperation function, bool (*keep)(MlirOperation op), wf_error *err)
{
    run r = {c, keep, err, WF_OK};
    for_each_op(function, decompose, &r);
    return r.status;
}

typedef struct search {
    bool (*keep)(MlirOperation op);
    MlirOperation found;
} search;

static bool is_open(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return mlirTypeIsAShaped(t) && !(mlirShapedTypeHasRank(t) && mlirShapedTypeHasStaticShape(t));
}

static void find_open(MlirOperation op, void *context)
{
    search *s = context;
    bool ours = op_name_starts_with(op, "wf.");
    if (s->found.ptr || is_in_place(op) || (!ours && !find_definition(op)) || (s->keep && s->keep(op))) return;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (is_open(mlirOperationGetOperand(op, i))) s->found = op;
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        if (is_open(mlirOperationGetResult(op, i))) s->found = op;
}

wf_status decompose_check_sizes(MlirOperation function, bool (*keep)(MlirOperation op), wf_error *err)
{
    search s = {.keep = keep};
    for_each_op(function, find_open, &s);
    if (!s.found.ptr) return WF_OK;
    buffer where = {0};
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(s.found));
    print_location(mlirOperationGetLocation(s.found), &where);
    error_set(err, WF_ERROR_UNSUPPORTED, "%s: %.*s has no kernel for sizes that are not known",
              buffer_view(&where).data, (int)name.length, name.data);
    buffer_free(&where);
    return WF_ERROR_UNSUPPORTED;
}
