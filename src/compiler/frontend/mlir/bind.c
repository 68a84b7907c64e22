#include "compiler/frontend/mlir/bind.h"

#include <mlir-c/BuiltinTypes.h>
#include <stdlib.h>

#include "compiler/mlir/build.h"
#include "compiler/mlir/constant.h"
#include "compiler/mlir/text.h"

// ---- arguments

// Of a type with a rank below ARRAY_MAX_DIMS; sizes that it leaves open are -1.
static array_shape declared_shape(MlirType declared)
{
    array_shape shape = {0};
    shape.n_dims = mlirTypeIsAShaped(declared) ? (uint32_t)mlirShapedTypeGetRank(declared) : 0;
    for (uint32_t d = 0; d < shape.n_dims; d++)
        shape.dims[d] = mlirShapedTypeIsDynamicDim(declared, d) ? -1 : mlirShapedTypeGetDimSize(declared, d);
    constant_type(mlirTypeIsAShaped(declared) ? mlirShapedTypeGetElementType(declared) : declared, &shape.type);
    return shape;
}

static wf_status wrong_argument(uint32_t i, const char *name, const array_shape *given, MlirType declared,
                                const char *what, wf_error *err)
{
    buffer want = {0}, have = {0};
    const array_shape shape = declared_shape(declared);
    array_shape_print(&shape, &want);
    array_shape_print(given, &have);
    error_set(err, WF_ERROR_USAGE, "argument %u%s%s%s: %s: it is %s, the function takes %s", i, name ? " (" : "",
              name ? name : "", name ? ")" : "", what, buffer_view(&have).data, buffer_view(&want).data);
    buffer_free(&want);
    buffer_free(&have);
    return WF_ERROR_USAGE;
}

static wf_status refuse_argument(uint32_t i, MlirType declared, wf_error *err)
{
    buffer text = {0};
    mlirTypePrint(declared, append_text, &text);
    error_set(err, WF_ERROR_UNSUPPORTED, "argument %u of the function is no tensor that an array can be: %s", i,
              buffer_view(&text).data);
    buffer_free(&text);
    return WF_ERROR_UNSUPPORTED;
}

static wf_status check_tensor(uint32_t i, MlirType declared, array_type *type, wf_error *err)
{
    bool tensor = mlirTypeIsATensor(declared) && mlirShapedTypeHasRank(declared);
    if (!tensor || mlirShapedTypeGetRank(declared) > ARRAY_MAX_DIMS ||
        !constant_type(mlirShapedTypeGetElementType(declared), type))
        return refuse_argument(i, declared, err);
    return WF_OK;
}

static wf_status check_argument(uint32_t i, const char *name, const array_shape *given, MlirType declared,
                                wf_error *err)
{
    array_type type;
    TRY(check_tensor(i, declared, &type, err));
    if (given->type != type) return wrong_argument(i, name, given, declared, "wrong type", err);
    if (given->n_dims != mlirShapedTypeGetRank(declared))
        return wrong_argument(i, name, given, declared, "wrong number of dimensions", err);
    for (uint32_t d = 0; d < given->n_dims; d++)
        if (!mlirShapedTypeIsDynamicDim(declared, d) && mlirShapedTypeGetDimSize(declared, d) != given->dims[d])
            return wrong_argument(i, name, given, declared, "wrong size", err);
    return WF_OK;
}

wf_status bind_declared(MlirOperation function, const array_shape *given, uint32_t n_all, array_shape *all,
                        wf_error *err)
{
    MlirBlock entry = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    for (uint32_t i = 0; i < n_all; i++) {
        array_type type;
        MlirType declared = mlirValueGetType(mlirBlockGetArgument(entry, i));
        TRY(check_tensor(i, declared, &type, err));
        all[i] = given[i].n_dims ? given[i] : declared_shape(declared);
        all[i].type = type;
    }
    return WF_OK;
}

static bool is_open(const array_shape *shape)
{
    bool open = false;
    for (uint32_t d = 0; d < shape->n_dims; d++) open |= shape->dims[d] < 0;
    return open;
}

wf_status bind_check_fixed(uint32_t n, const array_shape *shapes, const buffer *reason, wf_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        buffer text = {0};
        if (!is_open(&shapes[i])) continue;
        array_shape_print(&shapes[i], &text);
        error_set(err, WF_ERROR_USAGE, "argument %u is %s: its sizes have to be given, as in --shape %u=2x128%s%s", i,
                  buffer_view(&text).data, i, reason->len ? ": " : "", buffer_view(reason).data);
        buffer_free(&text);
        return WF_ERROR_USAGE;
    }
    return WF_OK;
}

bool bind_has_open_sizes(MlirOperation function)
{
    MlirBlock entry = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(entry); i++) {
        MlirType t = mlirValueGetType(mlirBlockGetArgument(entry, i));
        if (mlirTypeIsATensor(t) && mlirShapedTypeHasRank(t) && !mlirShapedTypeHasStaticShape(t)) return true;
    }
    return false;
}

wf_status bind_check_arguments(MlirOperation function, uint32_t n, const array_shape *shapes, const char *const *names,
                               wf_error *err)
{
    MlirBlock entry = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
    intptr_t wanted = mlirBlockGetNumArguments(entry);
    if (n != wanted)
        return error_set(err, WF_ERROR_USAGE, "the function takes %zd argument%s, %u %s given", wanted,
                         wanted == 1 ? "" : "s", n, n == 1 ? "is" : "are");
    for (uint32_t i = 0; i < n; i++)
        TRY(check_argument(i, names ? names[i] : NULL, &shapes[i], mlirValueGetType(mlirBlockGetArgument(entry, i)),
                           err));
    return WF_OK;
}

static void set_shape(MlirOperation function, uint32_t i, const array_shape *shape)
{
    MlirBlock entry = function_body(function);
    MlirOperation first = mlirBlockGetFirstOperation(entry);
    MlirValue argument = mlirBlockGetArgument(entry, i);
    MlirType declared = mlirValueGetType(argument);
    mlirValueSetType(argument, tensor_of((int)shape->n_dims, shape->dims, element_type_of(argument)));
    if (mlirTypeEqual(declared, mlirValueGetType(argument)) || !first.ptr) return;
    // users keep the type that they were written for, until bind_propagate knows the sizes of all their operands
    op_builder b = op_builder_before(first);
    MlirValue cast = build_value(&b, "tensor.cast", declared, 1, &argument, 0, NULL);
    mlirValueReplaceAllUsesExcept(argument, cast, 1, (MlirOperation[]){defining_op(cast)});
}

wf_status bind_arguments(MlirOperation function, uint32_t n, const array_shape *shapes, const char *const *names,
                         wf_error *err)
{
    TRY(bind_check_arguments(function, n, shapes, names, err));
    for (uint32_t i = 0; i < n; i++) set_shape(function, i, &shapes[i]);
    update_function_type(function);
    return WF_OK;
}

wf_status bind_argument(MlirOperation function, uint32_t i, const array_shape *shape, const char *name, wf_error *err)
{
    TRY(check_argument(i, name, shape, mlirValueGetType(mlirBlockGetArgument(function_body(function), i)), err));
    set_shape(function, i, shape);
    update_function_type(function);
    return WF_OK;
}

array_shape bind_shape(MlirOperation function, uint32_t i)
{
    MlirType t = mlirValueGetType(mlirBlockGetArgument(function_body(function), i));
    bool ranked = mlirTypeIsATensor(t) && mlirShapedTypeHasRank(t) && mlirShapedTypeGetRank(t) <= ARRAY_MAX_DIMS;
    return ranked ? declared_shape(t) : (array_shape){0};
}
