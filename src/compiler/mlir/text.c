#include "compiler/mlir/text.h"

#include "base/buffer.h"

void append_text(MlirStringRef s, void *out) { buffer_append(out, s.data, s.length); }

void print_operation(MlirOperation op, buffer *out) { mlirOperationPrint(op, append_text, out); }

void print_location(MlirLocation location, buffer *out)
{
    if (mlirLocationIsAFileLineColRange(location)) {
        MlirStringRef file = mlirIdentifierStr(mlirLocationFileLineColRangeGetFilename(location));
        buffer_printf(out, "%.*s:%d:%d", (int)file.length, file.data,
                      mlirLocationFileLineColRangeGetStartLine(location),
                      mlirLocationFileLineColRangeGetStartColumn(location));
    } else if (mlirLocationEqual(location, mlirLocationUnknownGet(mlirLocationGetContext(location)))) {
        buffer_printf(out, "unknown location");
    } else {
        mlirLocationPrint(location, append_text, out);
    }
}

wf_status refuse_op(MlirOperation op, const char *reason, wf_error *err)
{
    buffer where = {0};
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    print_location(mlirOperationGetLocation(op), &where);
    error_set(err, WF_ERROR_UNSUPPORTED, "%s: %.*s %s", buffer_view(&where).data, (int)name.length, name.data, reason);
    buffer_free(&where);
    return WF_ERROR_UNSUPPORTED;
}
