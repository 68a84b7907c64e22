// Any text: graph_file_read refuses it with one line, or hands out a module that verifies, prints, and is read again.
#include <stdlib.h>
#include <string.h>

#include "compiler/frontend/mlir/graph_file.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void check(bool holds)
{
    if (!holds) abort();
}

static wf_status read_text(compiler_context *c, const char *text, size_t bytes, MlirModule *module)
{
    wf_error err = {0};
    wf_status status = graph_file_read(c, text, bytes, "fuzz.mlir", module, &err);
    check(status == WF_OK || (!strncmp(err.message, "fuzz.mlir", 9) && !strchr(err.message, '\n')));
    return status;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    compiler_context c;
    MlirModule module = {0}, again = {0};
    buffer text = {0};
    if (bytes >= 4 && !memcmp(data, "ML\xefR", 4)) return 0; // bytecode is read by a child process
    check(compiler_context_create(&c, NULL) == WF_OK);
    if (read_text(&c, (const char *)data, bytes, &module) == WF_OK) {
        check(mlirOperationVerify(mlirModuleGetOperation(module)));
        print_operation(mlirModuleGetOperation(module), &text);
        check(!text.failed && read_text(&c, text.data, text.len, &again) == WF_OK);
        mlirModuleDestroy(again);
        mlirModuleDestroy(module);
    }
    buffer_free(&text);
    compiler_context_destroy(&c);
    return 0;
}
