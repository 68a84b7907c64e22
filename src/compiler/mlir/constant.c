#include "compiler/mlir/constant.h"

#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/checked.h"
#include "compiler/mlir/op.h"
#include "compiler/mlir/text.h"

bool constant_is_narrow(MlirType t)
{
    return mlirTypeIsAInteger(t) && mlirIntegerTypeIsSignless(t) && mlirIntegerTypeGetWidth(t) > 1 &&
           mlirIntegerTypeGetWidth(t) < 8;
}

bool constant_type(MlirType t, array_type *type)
{
    MlirContext ctx = mlirTypeGetContext(t);
    const MlirType known[ARRAY_TYPE_COUNT] = {
        [ARRAY_F32] = mlirF32TypeGet(ctx),         [ARRAY_F64] = mlirF64TypeGet(ctx),
        [ARRAY_F16] = mlirF16TypeGet(ctx),         [ARRAY_BF16] = mlirBF16TypeGet(ctx),
        [ARRAY_BOOL] = mlirIntegerTypeGet(ctx, 1), [ARRAY_I8] = mlirIntegerTypeGet(ctx, 8),
        [ARRAY_I16] = mlirIntegerTypeGet(ctx, 16), [ARRAY_I32] = mlirIntegerTypeGet(ctx, 32),
        [ARRAY_I64] = mlirIntegerTypeGet(ctx, 64),
    };
    if (mlirTypeIsAIndex(t)) t = known[ARRAY_I64];
    if (constant_is_narrow(t)) t = known[ARRAY_I8];
    for (int i = 0; i < ARRAY_TYPE_COUNT; i++) {
        if (!mlirTypeEqual(t, known[i])) continue;
        *type = (array_type)i;
        return true;
    }
    return false;
}

MlirAttribute constant_splat(MlirAttribute a)
{
    if (!mlirAttributeIsADenseElements(a) || !mlirDenseElementsAttrIsSplat(a)) return (MlirAttribute){0};
    return mlirDenseElementsAttrGetSplatValue(a);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// "dense_resource<name> : type" up to the name's end.
static view name_of_resource(const char *printed)
{
    const char *start = strchr(printed, '<'), *end = start ? strchr(start, '>') : NULL;
    return end ? (view){start + 1, (size_t)(end - start - 1)} : (view){0};
}

static wf_status refuse_resource(MlirAttribute a, size_t bytes, const char *hex, const char *end, wf_error *err)
{
    buffer printed = {0};
    mlirAttributePrint(a, append_text, &printed);
    view name = name_of_resource(buffer_view(&printed).data);
    if (!hex || !end)
        error_set(err, WF_ERROR_FORMAT, "reads a resource: '%.*s' has no data in the file", NAME_ARG(name));
    else
        error_set(err, WF_ERROR_FORMAT, "reads a resource: '%.*s' of %zu bytes has %zd bytes in the file",
                  NAME_ARG(name), bytes, (end - hex - 5) / 2 - 4);
    buffer_free(&printed);
    return WF_ERROR_FORMAT;
}

// The C API gives elements of a resource one by one and without its size. Its printed form has both: an op that holds
// the attribute is followed by
//
//   {-# dialect_resources: { builtin: { name: "0x04000000…" } } #-}      alignment in 4 bytes, then the elements
static wf_status append_resource(MlirAttribute a, size_t bytes, buffer *out, wf_error *err)
{
    MlirContext ctx = mlirAttributeGetContext(a);
    MlirOperation op = mlirModuleGetOperation(mlirModuleCreateEmpty(mlirLocationUnknownGet(ctx)));
    mlirOperationSetDiscardableAttributeByName(op, mlir_text("wf.constant"), a);
    buffer text = {0};
    print_operation(op, &text);
    mlirOperationDestroy(op);
    if (text.failed) {
        buffer_free(&text);
        return error_memory(err, bytes);
    }
    wf_status status = WF_OK;
    const char *resources = strstr(buffer_view(&text).data, "dialect_resources:");
    const char *hex = resources ? strstr(resources, ": \"0x") : NULL;
    const char *end = hex ? strchr(hex + 5, '"') : NULL;
    if (!hex || !end || (size_t)(end - hex - 5) != 8 + 2 * bytes) {
        status = refuse_resource(a, bytes, hex, end, err);
    } else if (buffer_reserve(out, bytes)) {
        for (const char *p = hex + 13; p < end; p += 2) {
            int high = hex_digit(p[0]), low = hex_digit(p[1]);
            if (high < 0 || low < 0) {
                status = error_set(err, WF_ERROR_FORMAT, "a dense_resource constant is no hexadecimal number");
                break;
            }
            buffer_append_char(out, (char)(high << 4 | low));
        }
    }
    buffer_free(&text);
    return status;
}

wf_status constant_append(MlirAttribute a, buffer *out, wf_error *err)
{
    MlirType t = mlirAttributeGetType(a);
    array_type type;
    if (!mlirTypeIsAShaped(t) || !mlirShapedTypeHasStaticShape(t) ||
        !constant_type(mlirShapedTypeGetElementType(t), &type))
        return error_set(err, WF_ERROR_UNSUPPORTED, "a constant of a type that arrays cannot have");
    size_t bytes = array_type_bytes(type), count = 1;
    for (intptr_t i = 0; i < mlirShapedTypeGetRank(t); i++)
        if (!checked_mul(count, (size_t)mlirShapedTypeGetDimSize(t, i), &count)) return error_memory(err, SIZE_MAX);
    if (!checked_mul(bytes, count, &bytes)) return error_memory(err, SIZE_MAX);
    bool resource = mlirAttributeIsADenseResourceElements(a);
    if (resource && constant_is_narrow(mlirShapedTypeGetElementType(t)))
        return error_set(err, WF_ERROR_UNSUPPORTED, "a resource of integers of less than a byte is not supported");
    if (resource) return append_resource(a, bytes, out, err);
    if (!mlirAttributeIsADenseElements(a))
        return error_set(err, WF_ERROR_UNSUPPORTED, "a constant that is neither dense nor dense_resource");
    if (type == ARRAY_BOOL) // their form in memory is MLIR's own business
        for (size_t i = 0; i < count; i++)
            buffer_append_char(out, mlirDenseElementsAttrGetBoolValue(a, (intptr_t)i) ? 1 : 0);
    else if (mlirDenseElementsAttrIsSplat(a))
        for (size_t i = 0; i < count; i++)
            buffer_append(out, mlirDenseElementsAttrGetRawData(a), array_type_bytes(type));
    else
        buffer_append(out, mlirDenseElementsAttrGetRawData(a), bytes);
    return out->failed ? error_memory(err, bytes) : WF_OK;
}

// ---- resources

static bool is_taken_apart(MlirValue v)
{
    static const char *const TAKERS[] = {"tosa.slice", "tensor.extract", "tensor.extract_slice"};
    for (MlirOpOperand use = mlirValueGetFirstUse(v); !mlirOpOperandIsNull(use); use = mlirOpOperandGetNextUse(use))
        for (size_t i = 0; i < sizeof TAKERS / sizeof *TAKERS; i++)
            if (op_is(mlirOpOperandGetOwner(use), TAKERS[i])) return true;
    return false;
}

static MlirAttribute dense_of(MlirAttribute resource, const buffer *data)
{
    MlirType t = mlirAttributeGetType(resource), element = mlirShapedTypeGetElementType(t);
    if (mlirTypeIsAIndex(element)) return resource;
    if (!mlirTypeIsAInteger(element) || mlirIntegerTypeGetWidth(element) > 1)
        return mlirDenseElementsAttrRawBufferGet(t, data->len, data->data);
    int *bits = calloc(data->len + 1, sizeof *bits);
    if (!bits) return resource;
    for (size_t i = 0; i < data->len; i++) bits[i] = data->data[i] != 0;
    MlirAttribute dense = mlirDenseElementsAttrBoolGet(t, (intptr_t)data->len, bits);
    free(bits);
    return dense;
}

typedef struct settling {
    wf_error *err;
    wf_status status;
} settling;

static void refuse_settling(settling *s, MlirOperation op, wf_status status, const char *reason)
{
    buffer where = {0};
    print_location(mlirOperationGetLocation(op), &where);
    s->status = error_set(s->err, status, "%s: %s", buffer_view(&where).data, reason);
    buffer_free(&where);
}

// Whether arrays can have the type of a constant, with elements in it.
static bool has_bytes(MlirType t)
{
    array_shape shape = {0};
    size_t bytes;
    if (!constant_type(mlirShapedTypeGetElementType(t), &shape.type) || mlirShapedTypeGetRank(t) > ARRAY_MAX_DIMS)
        return false;
    shape.n_dims = (uint32_t)mlirShapedTypeGetRank(t);
    for (uint32_t d = 0; d < shape.n_dims; d++) shape.dims[d] = mlirShapedTypeGetDimSize(t, d);
    return array_shape_bytes(&shape, &bytes) && bytes > 0;
}

static void settle(MlirOperation op, void *context)
{
    settling *s = context;
    const char *name = op_is(op, "arith.constant") ? "value" : op_is(op, "tosa.const") ? "values" : NULL;
    MlirAttribute a = name ? op_attribute(op, name) : (MlirAttribute){0};
    if (s->status != WF_OK || !a.ptr || !mlirAttributeIsADenseResourceElements(a)) return;
    if (!is_taken_apart(mlirOperationGetResult(op, 0))) return;
    if (!has_bytes(mlirAttributeGetType(a))) {
        refuse_settling(s, op, WF_ERROR_UNSUPPORTED, "a part is taken of a resource of a type that is not supported");
        return;
    }
    buffer data = {0};
    wf_error reason = {0};
    wf_status status = constant_append(a, &data, &reason);
    if (status == WF_OK)
        mlirOperationSetAttributeByName(op, mlir_text(name), dense_of(a, &data));
    else
        refuse_settling(s, op, status, reason.message);
    buffer_free(&data);
}

wf_status constant_settle_resources(MlirOperation root, wf_error *err)
{
    settling s = {err, WF_OK};
    for_each_op(root, settle, &s);
    return s.status;
}
