#include "compiler/mlir/constant_tensor.h"

#include <mlir-c/BuiltinTypes.h>
#include <string.h>

#include "compiler/mlir/constant.h"
#include "runtime/program/constant_name.h"

static wf_status add_tensor(checkpoint *list, const char *name, tensor_type type, const buffer *elements, wf_error *err)
{
    arena *memory = checkpoint_memory(list);
    const char *copy = arena_strdup(memory, view_of(name));
    unsigned char *data = arena_alloc(memory, elements->len, 1);
    if (!copy || !data) return error_memory(err, elements->len);
    memcpy(data, elements->data, elements->len);
    size_t size = tensor_type_layout(type)->block_bytes; // of plain numbers
    const checkpoint_tensor tensor = {.name = view_of(copy),
                                      .type = type,
                                      .n_dims = 1,
                                      .dims = {(int64_t)(elements->len / size), 1, 1, 1},
                                      .data = data,
                                      .bytes = elements->len};
    TRY(checkpoint_add_tensor(list, &tensor, err));
    return checkpoint_finish(list, (view){0}, err);
}

wf_status constant_keep(MlirAttribute a, checkpoint *list, const checkpoint_tensor **tensor, wf_error *err)
{
    buffer elements = {0};
    char name[CONSTANT_NAME_CHARS];
    array_type type = ARRAY_F32;
    wf_status status = constant_append(a, &elements, err);
    if (status == WF_OK) {
        constant_type(mlirShapedTypeGetElementType(mlirAttributeGetType(a)), &type);
        constant_name(array_type_name(type), buffer_view(&elements), name);
        if (!checkpoint_find_tensor(list, name))
            status = add_tensor(list, name, array_tensor_type(type), &elements, err);
        *tensor = checkpoint_find_tensor(list, name);
    }
    buffer_free(&elements);
    return status;
}
