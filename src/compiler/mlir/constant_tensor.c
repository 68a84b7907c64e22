#include "compiler/mlir/constant_tensor.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

#include "compiler/mlir/constant.h"
#include "runtime/program/constant_name.h"

static wf_status add_tensor(checkpoint *list, const char *name, tensor_type type, int64_t count, view bytes,
                            wf_error *err)
{
    arena *memory = checkpoint_memory(list);
    const char *copy = arena_strdup(memory, view_of(name));
    unsigned char *data = arena_alloc(memory, bytes.len, 1);
    if (!copy || !data) return error_memory(err, bytes.len);
    memcpy(data, bytes.data, bytes.len);
    const checkpoint_tensor tensor = {
        .name = view_of(copy), .type = type, .n_dims = 1, .dims = {count, 1, 1, 1}, .data = data, .bytes = bytes.len};
    TRY(checkpoint_add_tensor(list, &tensor, err));
    return checkpoint_finish(list, (view){0}, err);
}

wf_status constant_keep_bytes(view bytes, tensor_type type, const char *type_name, int64_t count, checkpoint *list,
                              const checkpoint_tensor **tensor, wf_error *err)
{
    char name[CONSTANT_NAME_CHARS];
    constant_name(type_name, bytes, name);
    if (!checkpoint_find_tensor(list, name)) TRY(add_tensor(list, name, type, count, bytes, err));
    *tensor = checkpoint_find_tensor(list, name);
    return WF_OK;
}

wf_status constant_keep(MlirAttribute a, checkpoint *list, const checkpoint_tensor **tensor, wf_error *err)
{
    buffer elements = {0};
    array_type type = ARRAY_F32;
    wf_status status = constant_append(a, &elements, err);
    constant_type(mlirShapedTypeGetElementType(mlirAttributeGetType(a)), &type);
    if (status == WF_OK)
        status = constant_keep_bytes(buffer_view(&elements), array_tensor_type(type), array_type_name(type),
                                     (int64_t)(elements.len / array_type_bytes(type)), list, tensor, err);
    buffer_free(&elements);
    return status;
}
