// Reads graphs that other compilers write: MLIR text, pretty or generic, or bytecode, of TOSA, linalg and their
// company.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_GRAPH_FILE_H
#define WELFORD_COMPILER_FRONTEND_MLIR_GRAPH_FILE_H

#include "compiler/dialect/context.h"

// Parses and verifies `bytes` bytes, zero-terminated after them, into a module that the caller destroys. Loads the
// dialects that graphs come in into the context. `name` stands for the file in messages: "name:line:column: reason". A
// file that does not parse is WF_ERROR_FORMAT.
wf_status graph_file_read(compiler_context *c, const char *text, size_t bytes, const char *name, MlirModule *module,
                          wf_error *err);

#endif
