// What makes two nests the same kernel, as text: loops, accesses, and the body op by op. Layers of a model repeat, and
// a kernel is compiled once.
#include "compiler/nest/nest.h"

#include <inttypes.h>

#include "base/buffer.h"
#include "compiler/mlir/op.h"
#include "compiler/mlir/text.h"

enum { MAX_DEPTH = 32 };

static bool write_op(const nest *n, MlirOperation op, int depth, buffer *key);

// A value of the body by its place there; one from outside by what it is computed from.
static bool write_value(const nest *n, MlirValue v, int depth, buffer *key)
{
    if (mlirValueIsABlockArgument(v)) {
        bool own = n->body.ptr && mlirBlockEqual(mlirBlockArgumentGetOwner(v), n->body);
        buffer_printf(key, " a%zd", mlirBlockArgumentGetArgNumber(v));
        return own;
    }
    MlirOperation op = mlirOpResultGetOwner(v);
    if (!n->body.ptr || !mlirBlockEqual(mlirOperationGetBlock(op), n->body)) return write_op(n, op, depth + 1, key);
    int place = 0;
    for (MlirOperation o = mlirBlockGetFirstOperation(n->body); !mlirOperationEqual(o, op);
         o = mlirOperationGetNextInBlock(o))
        place++;
    buffer_printf(key, " v%d.%zd", place, mlirOpResultGetResultNumber(v));
    return true;
}

static bool write_op(const nest *n, MlirOperation op, int depth, buffer *key)
{
    // a check has a number of its own, an element of a tensor lies elsewhere in the next call
    if (depth > MAX_DEPTH || op_is(op, "cf.assert") || op_is(op, "tensor.extract") || mlirOperationGetNumRegions(op))
        return false;
    append_text(mlirIdentifierStr(mlirOperationGetName(op)), key);
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); i++) {
        MlirNamedAttribute a = mlirOperationGetAttribute(op, i);
        buffer_append_char(key, ' ');
        append_text(mlirIdentifierStr(a.name), key);
        buffer_append_char(key, '=');
        mlirAttributePrint(a.attribute, append_text, key);
    }
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++) {
        buffer_append_char(key, '(');
        if (!write_value(n, mlirOperationGetOperand(op, i), depth, key)) return false;
        buffer_append_char(key, ')');
    }
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++) {
        buffer_append_char(key, ':');
        mlirTypePrint(mlirValueGetType(mlirOperationGetResult(op, i)), append_text, key);
    }
    return true;
}

static bool write_access(const nest *n, const access *a, buffer *key)
{
    buffer_printf(key, "\n%d ", (int)a->kind);
    if (a->kind == ACCESS_NONE) return true;
    mlirTypePrint(a->element, append_text, key);
    if (a->kind == ACCESS_SCALAR && a->scalar.ptr) return write_value(n, a->scalar, 0, key);
    if (a->kind == ACCESS_SCALAR) {
        mlirAttributePrint(a->constant, append_text, key);
        return true;
    }
    buffer_printf(key, " %d+%" PRId64, a->buffer, a->offset);
    if (n->open) buffer_printf(key, " open");
    for (int l = 0; l < n->n_loops; l++) buffer_printf(key, ",%" PRId64, a->coef[l]);
    return true;
}

bool nest_write_key(const nest *n, buffer *key)
{
    if (n->n_gathers) return false;
    buffer_printf(key, "%d %d %d %d", n->n_in, n->n_out, n->math_buffer, n->fault_buffer);
    if (n->open) buffer_printf(key, " open");
    for (int l = 0; l < n->n_loops; l++) buffer_printf(key, " %s%" PRId64, n->reduction[l] ? "r" : "", n->extent[l]);
    for (int i = 0; i < n->n_in; i++)
        if (!write_access(n, &n->in[i], key)) return false;
    for (int o = 0; o < n->n_out; o++)
        if (!write_access(n, &n->out[o], key) || !write_access(n, &n->init[o], key)) return false;
    if (!n->body.ptr) return !key->failed;
    for (MlirOperation op = mlirBlockGetFirstOperation(n->body); op.ptr; op = mlirOperationGetNextInBlock(op)) {
        buffer_append_char(key, '\n');
        if (!write_op(n, op, 0, key)) return false;
    }
    return !key->failed;
}
