// The text of wf.mlir, which the build puts into the library (cmake/embed.cmake).
#ifndef WELFORD_COMPILER_DIALECT_WF_MLIR_H
#define WELFORD_COMPILER_DIALECT_WF_MLIR_H

#include <stddef.h>

extern const char wf_mlir[]; // ends with 0
extern const size_t wf_mlir_bytes;

#endif
