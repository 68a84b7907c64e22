// The MLIR context that the compiler works in: the dialects it needs and no others (registering all costs 10 ms), its
// passes, and diagnostics turned into wf_error.
#ifndef WELFORD_COMPILER_DIALECT_CONTEXT_H
#define WELFORD_COMPILER_DIALECT_CONTEXT_H

#include <mlir-c/Diagnostics.h>
#include <mlir-c/IR.h>

#include "base/status.h"
#include "compiler/mlir/text.h"

typedef struct compiler_context {
    MlirContext mlir;
    MlirDiagnosticHandlerID handler;
    wf_error *first; // where the first error diagnostic goes; NULL: dropped
    bool has_error;
    MlirModule definitions; // wf.mlir; null until it is asked for
} compiler_context;

// The wf dialect is loaded too (dialect/wf.h).
wf_status compiler_context_create(compiler_context *c, wf_error *err);
void compiler_context_destroy(compiler_context *c);

// From here on the first error diagnostic is kept in err as "location: message".
void compiler_context_watch(compiler_context *c, wf_error *err);

// The end of watching: WF_OK when `good`; else WF_ERROR_COMPILE with what was seen, or `reason` where nothing was.
wf_status compiler_context_end_watch(compiler_context *c, bool good, const char *reason, wf_error *err);

// The definitions of ops (wf.mlir), which the context owns.
wf_status compiler_context_definitions(compiler_context *c, MlirModule *definitions, wf_error *err);

// Runs a textual pass pipeline on a module: "builtin.module(convert-scf-to-cf,...)".
wf_status compiler_run_passes(compiler_context *c, MlirModule module, const char *pipeline, wf_error *err);

#endif
