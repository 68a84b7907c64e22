// An old TOSA op on its way to today's form, and the rules that change it.
#ifndef WELFORD_COMPILER_FRONTEND_MLIR_OLD_TOSA_PARTS_H
#define WELFORD_COMPILER_FRONTEND_MLIR_OLD_TOSA_PARTS_H

#include "compiler/mlir/build.h"

enum { UPGRADE_MAX_OPERANDS = 64, UPGRADE_MAX_ATTRIBUTES = 16 };

// An op under construction: what the old one has, changed step by step.
typedef struct upgrade {
    op_builder b;
    MlirOperation op;
    const char *name; // "tosa.mul"
    MlirValue operands[UPGRADE_MAX_OPERANDS];
    int n_operands;
    MlirNamedAttribute attributes[UPGRADE_MAX_ATTRIBUTES];
    int n_attributes;
    bool is_old;
    const char *problem; // what is not read; NULL: nothing
} upgrade;

// Changes the op by the rule of its name, if there is one.
void upgrade_apply(upgrade *u);

#endif
