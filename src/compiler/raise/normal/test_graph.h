// For the tests of reading: a function as text, and what it returns.
#ifndef WELFORD_COMPILER_RAISE_NORMAL_TEST_GRAPH_H
#define WELFORD_COMPILER_RAISE_NORMAL_TEST_GRAPH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/dialect/context.h"
#include "compiler/frontend/mlir/graph_file.h"
#include "compiler/raise/normal/steps.h"

typedef struct test_graph {
    compiler_context context;
    MlirModule module;
    MlirBlock body;
} test_graph;

static inline void test_graph_open(test_graph *g, const char *text)
{
    wf_error err = {0};
    if (compiler_context_create(&g->context, &err) != WF_OK) fail_msg("%s", err.message);
    if (graph_file_read(&g->context, text, strlen(text), "test", &g->module, &err) != WF_OK)
        fail_msg("%s\n%s", err.message, text);
    MlirOperation function = mlirBlockGetFirstOperation(mlirModuleGetBody(g->module));
    g->body = mlirRegionGetFirstBlock(mlirOperationGetRegion(function, 0));
}

static inline void test_graph_close(test_graph *g)
{
    mlirModuleDestroy(g->module);
    compiler_context_destroy(&g->context);
}

static inline MlirValue test_argument(const test_graph *g, int i) { return mlirBlockGetArgument(g->body, i); }
static inline MlirValue test_result(const test_graph *g, int i)
{
    return mlirOperationGetOperand(mlirBlockGetTerminator(g->body), i);
}

#endif
