// Every buffer has a root: an argument, an allocation, a global, or a tensor that became one; views (subview, cast,
// reshapes) lead back to it. `now` is the tensor that the root's memory holds at this point of the function:
//
//     memref.store %v, %m[%i]       now(%m) = tensor.insert %v into now(%m)[%i]
//     scf.for .. { memref.store }   carries now(%m)
#include "compiler/frontend/mlir/buffers.h"

#include <stdlib.h>

#include "compiler/frontend/mlir/buffer_transfers.h"
#include "compiler/frontend/mlir/buffer_views.h"
#include "compiler/mlir/build.h"
#include "compiler/mlir/text.h"

// ---- single elements

// memref.load %m[..], memref.store %v, %m[..]
static void access_element(buffers *s, MlirOperation op)
{
    bool store = op_is(op, "memref.store");
    intptr_t first = store ? 2 : 1;
    int n = (int)(mlirOperationGetNumOperands(op) - first);
    MlirValue at[MAX_RANK], operands[2 + MAX_RANK];
    if (n > MAX_RANK) {
        buffers_refuse(s, op, "has too many indices");
        return;
    }
    for (int i = 0; i < n; i++) at[i] = mlirOperationGetOperand(op, first + i);
    int root = buffer_element(s, op, mlirOperationGetOperand(op, first - 1), &n, at);
    if (s->status != WF_OK) return;
    op_builder b = op_builder_before(op);
    MlirValue now = s->roots[root].now;
    int count = 0;
    if (store) operands[count++] = mlirOperationGetOperand(op, 0);
    operands[count++] = now;
    for (int i = 0; i < n; i++) operands[count++] = at[i];
    if (store) {
        s->roots[root].now = build_value(&b, "tensor.insert", mlirValueGetType(now), count, operands, 0, NULL);
        s->roots[root].written = true;
    } else {
        MlirValue y = mlirOperationGetResult(op, 0);
        replace_value(y, build_value(&b, "tensor.extract", mlirValueGetType(y), count, operands, 0, NULL));
    }
}

// ---- op by op

static void visit_block(buffers *s, MlirBlock block);

static MlirBlock block_of(MlirOperation op, intptr_t region)
{
    MlirRegion r = mlirOperationGetRegion(op, region);
    return mlirRegionIsNull(r) ? (MlirBlock){0} : mlirRegionGetFirstBlock(r);
}

static void visit_alloc(buffers *s, MlirOperation op)
{
    MlirValue y = mlirOperationGetResult(op, 0), sizes[MAX_RANK];
    MlirType type = buffer_tensor_type(mlirValueGetType(y));
    op_builder b = op_builder_before(op);
    int64_t first, n = op_segment(op, 0, &first);
    if (!type.ptr || n > MAX_RANK) {
        buffers_refuse(s, op, "has too many dimensions");
        return;
    }
    for (int64_t i = 0; i < n; i++) sizes[i] = mlirOperationGetOperand(op, first + i);
    buffers_add_root(s, op, y, (MlirStringRef){0}, build_value(&b, "tensor.empty", type, (int)n, sizes, 0, NULL));
}

static void visit_to_buffer(buffers *s, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    if (buffer_root_of(s, mlirOperationGetResult(op, 0)) < 0) buffers_add_root(s, op, x, (MlirStringRef){0}, x);
}

static void visit_to_tensor(buffers *s, MlirOperation op)
{
    MlirValue x = buffer_read(s, op, mlirOperationGetOperand(op, 0)), y = mlirOperationGetResult(op, 0);
    if (s->status != WF_OK) return;
    op_builder b = op_builder_before(op);
    replace_value(y, buffer_cast(&b, x, mlirValueGetType(y)));
}

static void visit_copy(buffers *s, MlirOperation op)
{
    MlirValue x = mlirOperationGetOperand(op, 0);
    if (buffer_is(x)) x = buffer_read(s, op, x);
    buffer_write(s, op, mlirOperationGetOperand(op, 1), x);
}

static void visit_clone(buffers *s, MlirOperation op)
{
    MlirValue x = buffer_read(s, op, mlirOperationGetOperand(op, 0));
    buffers_add_root(s, op, mlirOperationGetResult(op, 0), (MlirStringRef){0}, x);
}

static void visit_dim(buffers *s, MlirOperation op)
{
    MlirValue operands[] = {buffer_read(s, op, mlirOperationGetOperand(op, 0)), mlirOperationGetOperand(op, 1)};
    MlirValue y = mlirOperationGetResult(op, 0);
    if (s->status != WF_OK) return;
    op_builder b = op_builder_before(op);
    replace_value(y, build_value(&b, "tensor.dim", mlirValueGetType(y), 2, operands, 0, NULL));
}

static void visit_alloc_tensor(buffers *s, MlirOperation op)
{
    (void)s;
    int64_t first, n = op_segment(op, 0, &first), at, copies = op_segment(op, 1, &at);
    MlirValue y = mlirOperationGetResult(op, 0), sizes[MAX_RANK];
    op_builder b = op_builder_before(op);
    for (int64_t i = 0; i < n && i < MAX_RANK; i++) sizes[i] = mlirOperationGetOperand(op, first + i);
    replace_value(y, copies ? mlirOperationGetOperand(op, at)
                            : build_value(&b, "tensor.empty", mlirValueGetType(y), (int)n, sizes, 0, NULL));
}

static void visit_nothing(buffers *s, MlirOperation op)
{
    (void)s;
    (void)op;
}

// A structured op on buffers: the same on tensors, whose results are what its destinations hold then.
static void visit_structured(buffers *s, MlirOperation op)
{
    intptr_t n = mlirOperationGetNumOperands(op), n_out = 1;
    int64_t first = 0;
    if (op_attribute(op, "operandSegmentSizes").ptr)
        n_out = op_segment(op, 1, &first);
    else if (op_is(op, "linalg.reduce"))
        n_out = n / 2;
    MlirValue operands[MAX_VALUES];
    MlirType types[MAX_VALUES];
    MlirNamedAttribute attributes[32];
    intptr_t n_attributes = mlirOperationGetNumAttributes(op);
    if (n > MAX_VALUES || n_attributes > 32 || mlirOperationGetNumResults(op)) {
        buffers_refuse(s, op, "on buffers and tensors at once cannot be compiled");
        return;
    }
    for (intptr_t r = 0; r < mlirOperationGetNumRegions(op); r++)
        if (block_of(op, r).ptr) visit_block(s, block_of(op, r));
    for (intptr_t i = 0; i < n; i++) {
        operands[i] = mlirOperationGetOperand(op, i);
        if (buffer_is(operands[i])) operands[i] = buffer_read(s, op, operands[i]);
    }
    if (s->status != WF_OK) return;
    for (intptr_t o = 0; o < n_out; o++) types[o] = mlirValueGetType(operands[n - n_out + o]);
    for (intptr_t i = 0; i < n_attributes; i++) attributes[i] = mlirOperationGetAttribute(op, i);
    MlirOperationState state =
        mlirOperationStateGet(mlirIdentifierStr(mlirOperationGetName(op)), mlirOperationGetLocation(op));
    mlirOperationStateAddResults(&state, n_out, types);
    mlirOperationStateAddOperands(&state, n, operands);
    mlirOperationStateAddAttributes(&state, n_attributes, attributes);
    MlirRegion region = mlirRegionCreate();
    if (mlirOperationGetNumRegions(op)) mlirRegionTakeBody(region, mlirOperationGetRegion(op, 0));
    mlirOperationStateAddOwnedRegions(&state, 1, &region);
    MlirOperation made = mlirOperationCreate(&state);
    mlirBlockInsertOwnedOperationBefore(mlirOperationGetBlock(op), op, made);
    for (intptr_t o = 0; o < n_out; o++)
        buffer_write(s, op, mlirOperationGetOperand(op, n - n_out + o), mlirOperationGetResult(made, o));
    mlirOperationDestroy(op);
}

// ---- loops and branches

typedef struct write_search {
    buffers *s;
    bool found[MAX_ROOTS];
} write_search;

static MlirWalkResult find_write(MlirOperation op, void *context)
{
    write_search *w = context;
    intptr_t first = -1, n = mlirOperationGetNumOperands(op);
    if (op_is(op, "memref.store") || op_is(op, "memref.copy") || op_is(op, "vector.transfer_write") ||
        op_is(op, "bufferization.materialize_in_destination"))
        first = 1, n = 2;
    else if (op_name_starts_with(op, "linalg."))
        first = 0;
    for (intptr_t i = first; i >= 0 && i < n; i++) { // of linalg, sources too
        MlirValue v = mlirOperationGetOperand(op, i);
        int root = buffer_is(v) ? buffer_root_of(w->s, v) : -1;
        if (root >= 0) w->found[root] = true;
    }
    return MlirWalkResultAdvance;
}

static void append_operands(MlirOperation end, int n, const MlirValue *more)
{
    MlirValue all[MAX_VALUES];
    intptr_t had = mlirOperationGetNumOperands(end);
    for (intptr_t i = 0; i < had; i++) all[i] = mlirOperationGetOperand(end, i);
    for (int i = 0; i < n; i++) all[had + i] = more[i];
    mlirOperationSetOperands(end, had + n, all);
}

// Rebuilds scf.for, scf.while or scf.if so that it carries what its regions write.
static void visit_region_op(buffers *s, MlirOperation op)
{
    bool is_for = op_is(op, "scf.for"), is_while = op_is(op, "scf.while");
    write_search search = {.s = s};
    int which[MAX_VALUES], n = 0;
    intptr_t n_operands = mlirOperationGetNumOperands(op), n_results = mlirOperationGetNumResults(op);
    for (intptr_t i = 0; i < n_results; i++)
        if (buffer_is(mlirOperationGetResult(op, i)))
            buffers_refuse(s, op, "carries a buffer, which cannot be compiled");
    mlirOperationWalk(op, find_write, &search, MlirWalkPreOrder);
    for (int i = 0; i < s->n; i++)
        if (search.found[i] && n < MAX_VALUES) which[n++] = i;
    if (n_operands + n > MAX_VALUES || n_results + n > MAX_VALUES) buffers_refuse(s, op, "writes too many buffers");
    if (s->status != WF_OK) return;

    MlirValue operands[MAX_VALUES], more[MAX_VALUES], before[MAX_VALUES];
    MlirType types[MAX_VALUES];
    MlirLocation location = mlirOperationGetLocation(op);
    for (intptr_t i = 0; i < n_operands; i++) operands[i] = mlirOperationGetOperand(op, i);
    for (intptr_t i = 0; i < n_results; i++) types[i] = mlirValueGetType(mlirOperationGetResult(op, i));
    for (int i = 0; i < n; i++) {
        before[i] = s->roots[which[i]].now;
        types[n_results + i] = mlirValueGetType(before[i]);
        if (!op_is(op, "scf.if")) operands[n_operands++] = before[i];
    }
    int n_roots = s->n;
    MlirRegion regions[2];
    intptr_t n_regions = mlirOperationGetNumRegions(op);
    for (intptr_t r = 0; r < n_regions && s->status == WF_OK; r++) {
        regions[r] = mlirRegionCreate();
        mlirRegionTakeBody(regions[r], mlirOperationGetRegion(op, r));
    }
    MlirOperationState state = mlirOperationStateGet(mlirIdentifierStr(mlirOperationGetName(op)), location);
    mlirOperationStateAddResults(&state, n_results + n, types);
    mlirOperationStateAddOperands(&state, n_operands, operands);
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); i++) {
        MlirNamedAttribute a = mlirOperationGetAttribute(op, i);
        if (!mlirStringRefEqual(mlirIdentifierStr(a.name), mlir_text("operandSegmentSizes")))
            mlirOperationStateAddAttributes(&state, 1, &a);
    }
    mlirOperationStateAddOwnedRegions(&state, n_regions, regions);
    MlirOperation made = mlirOperationCreate(&state);
    mlirBlockInsertOwnedOperationBefore(mlirOperationGetBlock(op), op, made);
    for (intptr_t r = 0; r < n_regions && s->status == WF_OK; r++) {
        MlirBlock block = block_of(made, r);
        if (!block.ptr) { // the other way of a branch without one
            block = mlirBlockCreate(0, NULL, NULL);
            mlirRegionAppendOwnedBlock(mlirOperationGetRegion(made, r), block);
            op_builder b = op_builder_at_end(block, location);
            build_op(&b, "scf.yield", 0, NULL, 0, NULL, 0, NULL);
        }
        for (int i = 0; i < n; i++)
            s->roots[which[i]].now =
                is_for || is_while ? mlirBlockAddArgument(block, mlirValueGetType(before[i]), location) : before[i];
        visit_block(s, block);
        for (int i = 0; i < n; i++) more[i] = s->roots[which[i]].now;
        s->n = n_roots; // what was made inside ends there
        append_operands(mlirBlockGetTerminator(block), n, more);
    }
    for (int i = 0; i < n; i++) {
        s->roots[which[i]].now = mlirOperationGetResult(made, n_results + i);
        s->roots[which[i]].written = true;
    }
    for (intptr_t i = 0; i < n_results; i++)
        replace_value(mlirOperationGetResult(op, i), mlirOperationGetResult(made, i));
    mlirOperationDestroy(op);
}

static void visit_return(buffers *s, MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op) && s->status == WF_OK; i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        if (buffer_is(v)) mlirOperationSetOperand(op, i, buffer_read(s, op, v));
    }
}

static const struct {
    const char *name;
    void (*visit)(buffers *s, MlirOperation op);
} RULES[] = {
    {"memref.alloc", visit_alloc},
    {"memref.alloca", visit_alloc},
    {"memref.load", access_element},
    {"memref.store", access_element},
    {"memref.copy", visit_copy},
    {"memref.dim", visit_dim},
    {"memref.get_global", visit_nothing},
    {"memref.dealloc", visit_nothing},
    {"memref.prefetch", visit_nothing},
    {"bufferization.to_buffer", visit_to_buffer},
    {"bufferization.to_tensor", visit_to_tensor},
    {"bufferization.clone", visit_clone},
    {"bufferization.dealloc_tensor", visit_nothing},
    {"bufferization.alloc_tensor", visit_alloc_tensor},
    {"bufferization.materialize_in_destination", visit_copy},
    {"vector.transfer_read", buffer_transfer_read},
    {"vector.transfer_write", buffer_transfer_write},
    {"func.return", visit_return},
};

static bool has_buffers(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (buffer_is(mlirOperationGetOperand(op, i))) return true;
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        if (buffer_is(mlirOperationGetResult(op, i))) return true;
    return false;
}

static void visit(buffers *s, MlirOperation op)
{
    if (op_is(op, "scf.for") || op_is(op, "scf.while") || op_is(op, "scf.if")) {
        visit_region_op(s, op);
        return;
    }
    if (buffer_is_view(op)) return;
    if (has_buffers(op) && op_name_starts_with(op, "linalg.")) {
        visit_structured(s, op);
        return;
    }
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++)
        if (op_is(op, RULES[i].name)) {
            RULES[i].visit(s, op);
            return;
        }
    if (has_buffers(op)) buffers_refuse(s, op, "on buffers cannot be compiled");
    for (intptr_t r = 0; r < mlirOperationGetNumRegions(op) && s->status == WF_OK; r++) {
        write_search search = {.s = s};
        mlirOperationWalk(op, find_write, &search, MlirWalkPreOrder);
        for (int i = 0; i < s->n; i++)
            if (search.found[i]) buffers_refuse(s, op, "writes a buffer from outside");
        if (block_of(op, r).ptr) visit_block(s, block_of(op, r));
    }
}

static void visit_block(buffers *s, MlirBlock block)
{
    MlirOperation next;
    for (MlirOperation op = mlirBlockGetFirstOperation(block); op.ptr && s->status == WF_OK; op = next) {
        next = mlirOperationGetNextInBlock(op);
        visit(s, op);
    }
}

// ---- the function

static MlirOperation find_global(const buffers *s, MlirStringRef name)
{
    MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(s->module));
    while (op.ptr && !(op_is(op, "memref.global") && mlirStringRefEqual(op_string(op, "sym_name"), name)))
        op = mlirOperationGetNextInBlock(op);
    return op;
}

static void add_global(MlirOperation op, void *context)
{
    buffers *s = context;
    if (!op_is(op, "memref.get_global") || s->status != WF_OK) return;
    MlirStringRef name = mlirFlatSymbolRefAttrGetValue(op_attribute(op, "name"));
    MlirOperation global = find_global(s, name), at = op;
    if (buffer_root_of(s, mlirOperationGetResult(op, 0)) >= 0) return;
    if (!global.ptr) {
        buffers_refuse(s, op, "reads a global that is not in the file");
        return;
    }
    while (!op_is(mlirOperationGetParentOperation(at), "func.func")) at = mlirOperationGetParentOperation(at);
    op_builder b = op_builder_before(mlirBlockGetFirstOperation(mlirOperationGetBlock(at)));
    MlirType type = buffer_tensor_type(mlirValueGetType(mlirOperationGetResult(op, 0)));
    MlirAttribute initial = op_attribute(global, "initial_value");
    bool known = initial.ptr && mlirAttributeIsAElements(initial);
    MlirNamedAttribute value = mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("value")), initial);
    buffers_add_root(s, op, (MlirValue){0}, name,
                     known ? build_value(&b, "arith.constant", type, 0, NULL, 1, &value)
                           : build_value(&b, "tensor.empty", type, 0, NULL, 0, NULL));
}

static void drop_old(MlirOperation op, void *context)
{
    (void)context;
    bool memory = op_name_starts_with(op, "memref.") || op_name_starts_with(op, "bufferization.");
    if (!memory) return;
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        if (!has_no_use(mlirOperationGetResult(op, i))) return;
    mlirOperationDestroy(op);
}

static void find_buffers(MlirOperation op, void *found)
{
    if (has_buffers(op) || op_is(op, "bufferization.alloc_tensor")) ((bool *)found)[0] = true;
    if (op_name_starts_with(op, "affine.")) ((bool *)found)[1] = true;
    if (op_is(op, "scf.parallel")) ((bool *)found)[2] = true;
    if (op_is(op, "scf.forall")) ((bool *)found)[3] = true;
}

// A tensor in front of each argument that is a buffer.
static void add_arguments(buffers *s, MlirOperation function)
{
    MlirBlock entry = block_of(function, 0);
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(entry) && s->status == WF_OK; i++) {
        MlirValue v = mlirBlockGetArgument(entry, i);
        if (!buffer_is(v)) continue;
        MlirType type = buffer_tensor_type(mlirValueGetType(v));
        if (!type.ptr) {
            buffers_refuse(s, function, "has an argument that is a buffer of unknown rank");
            return;
        }
        MlirValue x = mlirBlockInsertArgument(entry, i++, type, mlirOperationGetLocation(function));
        buffers_add_root(s, function, v, (MlirStringRef){0}, x);
    }
}

static void drop_arguments(MlirOperation function)
{
    MlirBlock entry = block_of(function, 0);
    for (intptr_t i = mlirBlockGetNumArguments(entry); i-- > 0;)
        if (buffer_is(mlirBlockGetArgument(entry, i)) && has_no_use(mlirBlockGetArgument(entry, i)))
            mlirBlockEraseArgument(entry, (unsigned)i);
    update_function_type(function);
}

// Arguments that were written are results, unless they are returned anyway.
static void return_written(buffers *s, int n_roots, MlirOperation function)
{
    MlirOperation end = mlirBlockGetTerminator(block_of(function, 0));
    for (int i = 0; i < n_roots; i++) {
        bool known = !s->roots[i].written;
        intptr_t n = mlirOperationGetNumOperands(end);
        for (intptr_t k = 0; k < n; k++)
            known = known || mlirValueEqual(mlirOperationGetOperand(end, k), s->roots[i].now);
        if (known) continue;
        if (n >= MAX_VALUES) {
            buffers_refuse(s, end, "has too many results");
            return;
        }
        append_operands(end, 1, &s->roots[i].now);
        mlirOperationRemoveAttributeByName(function, mlir_text("res_attrs"));
    }
}

wf_status buffers_to_tensors(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err)
{
    static const char *const PASSES[] = {"", "builtin.module(func.func(lower-affine))",
                                         "builtin.module(func.func(scf-parallel-for-to-nested-fors))",
                                         "builtin.module(func.func(scf-forall-to-for))"};
    MlirBlock entry = block_of(function, 0);
    bool found[4] = {0};
    for_each_op(function, find_buffers, found);
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(entry); i++)
        found[0] = found[0] || buffer_is(mlirBlockGetArgument(entry, i));
    if (mlirBlockGetNextInRegion(entry).ptr) return WF_OK; // refused later
    if (found[0] && found[3]) TRY(compiler_run_passes(c, module, PASSES[3], err));
    if (found[2]) TRY(compiler_run_passes(c, module, PASSES[2], err));
    if (found[0] && found[1]) TRY(compiler_run_passes(c, module, PASSES[1], err));
    if (!found[0]) return WF_OK;

    buffers *s = calloc(1, sizeof *s);
    if (!s) return error_memory(err, sizeof *s);
    *s = (buffers){.module = module, .err = err};
    add_arguments(s, function);
    int n_roots = s->n;
    for_each_op(function, add_global, s);
    visit_block(s, block_of(function, 0));
    if (s->status == WF_OK) return_written(s, n_roots, function);
    wf_status status = s->status;
    free(s);
    for (int round = 0; round < 64 && status == WF_OK; round++) { // views of views
        for_each_op(function, drop_old, NULL);
        found[0] = false;
        for_each_op(function, find_buffers, found);
        if (!found[0]) break;
    }
    if (status == WF_OK) drop_arguments(function);
    return status;
}
