// Upstream writes the arithmetic out (convert-complex-to-standard), so that complex.create, complex.re and complex.im are
// left of it, in the bodies of structured ops. Every other op either moves complex numbers, and is cloned for either part,
// or is a structured op, which gets two operands, results and arguments of its body for each complex one.
#include "compiler/frontend/mlir/complex_pairs.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/mlir/build.h"
#include "compiler/mlir/text.h"

enum { MAX_RANK = 15, MAX_VALUES = 64 };

typedef struct pair {
    MlirValue from, part[2];
} pair;

typedef struct pairing {
    pair *items;
    size_t n, max;
    wf_error *err;
    wf_status status;
} pairing;

static MlirType element_of(MlirType t) { return mlirTypeIsAShaped(t) ? mlirShapedTypeGetElementType(t) : t; }
static bool is_complex_type(MlirType t) { return mlirTypeIsAComplex(element_of(t)); }
static bool is_complex(MlirValue v) { return is_complex_type(mlirValueGetType(v)); }

static bool has_complex(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        if (is_complex(mlirOperationGetResult(op, i))) return true;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (is_complex(mlirOperationGetOperand(op, i))) return true;
    return false;
}

static void refuse(pairing *p, MlirOperation op, const char *reason)
{
    if (p->status == WF_OK) p->status = refuse_op(op, reason, p->err);
}

// The type of either part.
static MlirType part_type(MlirType t)
{
    MlirType element = mlirComplexTypeGetElementType(element_of(t));
    return mlirTypeIsAShaped(t) ? tensor_like(t, element) : element;
}

static void add_pair(pairing *p, MlirValue from, MlirValue real, MlirValue imaginary)
{
    if (p->n == p->max) {
        size_t more = p->max ? 2 * p->max : 64;
        pair *items = realloc(p->items, more * sizeof *items);
        if (!items) {
            p->status = error_memory(p->err, more * sizeof *items);
            return;
        }
        p->items = items;
        p->max = more;
    }
    p->items[p->n++] = (pair){from, {real, imaginary}};
}

static MlirValue part_of(pairing *p, MlirOperation user, MlirValue v, int part)
{
    for (size_t i = p->n; i-- > 0;)
        if (mlirValueEqual(p->items[i].from, v)) return p->items[i].part[part];
    refuse(p, user, "on complex numbers of unknown origin cannot be compiled");
    return v;
}

// ---- constants

static MlirValue build_constant(op_builder *b, MlirAttribute value)
{
    MlirNamedAttribute attribute = mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("value")), value);
    return build_value(b, "arith.constant", mlirAttributeGetType(value), 0, NULL, 1, &attribute);
}

static void pair_scalar_constant(pairing *p, MlirOperation op)
{
    op_builder b = op_builder_before(op);
    MlirAttribute value = op_attribute(op, "value");
    MlirValue parts[2];
    for (int i = 0; i < 2; i++) parts[i] = build_constant(&b, mlirArrayAttrGetElement(value, i));
    add_pair(p, mlirOperationGetResult(op, 0), parts[0], parts[1]);
}

// Elements lie in pairs.
static void pair_constant(pairing *p, MlirOperation op)
{
    op_builder b = op_builder_before(op);
    MlirAttribute value = op_attribute(op, "value");
    MlirType type = mlirValueGetType(mlirOperationGetResult(op, 0)), half = part_type(type);
    size_t size = mlirTypeIsAF64(element_of(half)) ? 8 : 4;
    if (!mlirAttributeIsADenseElements(value) || !(mlirTypeIsAF32(element_of(half)) || size == 8)) {
        refuse(p, op, "of complex numbers is neither dense nor of f32 or f64");
        return;
    }
    size_t n = mlirDenseElementsAttrIsSplat(value) ? 1 : (size_t)mlirElementsAttrGetNumElements(value);
    const char *from = mlirDenseElementsAttrGetRawData(value);
    char *to = malloc(n * size + 1);
    MlirValue parts[2] = {{0}};
    for (int i = 0; i < 2 && to; i++) {
        for (size_t k = 0; k < n; k++) memcpy(to + k * size, from + (2 * k + (size_t)i) * size, size);
        parts[i] = build_constant(&b, mlirDenseElementsAttrRawBufferGet(half, n * size, to));
    }
    if (!to) p->status = error_memory(p->err, n * size);
    free(to);
    add_pair(p, mlirOperationGetResult(op, 0), parts[0], parts[1]);
}

// ---- ops that move numbers

// A copy for either part.
static void clone_for_parts(pairing *p, MlirOperation op)
{
    MlirValue parts[2];
    for (int i = 0; i < 2; i++) {
        MlirOperation copy = mlirOperationClone(op);
        for (intptr_t k = 0; k < mlirOperationGetNumOperands(op); k++)
            if (is_complex(mlirOperationGetOperand(op, k)))
                mlirOperationSetOperand(copy, k, part_of(p, op, mlirOperationGetOperand(op, k), i));
        MlirBlock body = mlirOperationGetNumRegions(copy) ? function_body(copy) : (MlirBlock){0};
        for (intptr_t k = 0; body.ptr && k < mlirBlockGetNumArguments(body); k++) {
            MlirValue v = mlirBlockGetArgument(body, k);
            if (is_complex(v)) mlirValueSetType(v, part_type(mlirValueGetType(v)));
        }
        parts[i] = mlirOperationGetResult(copy, 0);
        mlirValueSetType(parts[i], part_type(mlirValueGetType(parts[i])));
        mlirBlockInsertOwnedOperationBefore(mlirOperationGetBlock(op), op, copy);
    }
    add_pair(p, mlirOperationGetResult(op, 0), parts[0], parts[1]);
}

static bool moves_numbers(MlirOperation op)
{
    static const char *const NAMES[] = {
        "tensor.empty",         "tensor.cast",         "tensor.expand_shape",  "tensor.collapse_shape",
        "tensor.extract_slice", "tensor.insert_slice", "tensor.concat",        "tensor.extract",
        "tensor.insert",        "tensor.splat",        "tensor.from_elements", "tensor.reshape",
        "linalg.fill",          "linalg.transpose",    "linalg.broadcast",     "linalg.copy",
        "arith.select",
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (op_is(op, NAMES[i])) return mlirOperationGetNumResults(op) == 1;
    return false;
}

// ---- structured ops

static void pair_block(pairing *p, MlirBlock block);

// Both parts in the place of each complex value.
static intptr_t spread(pairing *p, MlirOperation op, intptr_t first, intptr_t n, MlirValue *out)
{
    intptr_t count = 0;
    for (intptr_t i = first; i < first + n; i++) {
        MlirValue v = mlirOperationGetOperand(op, i);
        if (!is_complex(v)) {
            out[count++] = v;
            continue;
        }
        for (int k = 0; k < 2; k++) out[count++] = part_of(p, op, v, k);
    }
    return count;
}

static void spread_body(pairing *p, MlirBlock body, MlirLocation where)
{
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(body); i++) {
        MlirValue v = mlirBlockGetArgument(body, i);
        if (!is_complex(v)) continue;
        MlirType half = part_type(mlirValueGetType(v));
        MlirValue real = mlirBlockInsertArgument(body, i, half, where);
        MlirValue imaginary = mlirBlockInsertArgument(body, i + 1, half, where);
        add_pair(p, v, real, imaginary);
        i += 2; // it goes when nobody uses it
    }
    pair_block(p, body);
    MlirValue yielded[MAX_VALUES];
    MlirOperation end = mlirBlockGetTerminator(body);
    intptr_t n = spread(p, end, 0, mlirOperationGetNumOperands(end), yielded);
    mlirOperationSetOperands(end, n, yielded);
}

static void pair_generic(pairing *p, MlirOperation op)
{
    intptr_t n = mlirOperationGetNumOperands(op), n_results = mlirOperationGetNumResults(op), n_in, n_all, n_types = 0,
             n_maps = 0;
    if (2 * n > MAX_VALUES) {
        refuse(p, op, "has too many operands");
        return;
    }
    op_builder b = op_builder_before(op);
    MlirValue operands[MAX_VALUES];
    MlirAttribute maps[MAX_VALUES], given = op_attribute(op, "indexing_maps");
    MlirType types[MAX_VALUES];
    n_in = spread(p, op, 0, n - n_results, operands);
    n_all = n_in + spread(p, op, n - n_results, n_results, operands + n_in);
    for (intptr_t i = 0; i < n; i++)
        for (int k = 0; k < (is_complex(mlirOperationGetOperand(op, i)) ? 2 : 1); k++)
            maps[n_maps++] = mlirArrayAttrGetElement(given, i);
    for (intptr_t i = n_in; i < n_all; i++) types[n_types++] = mlirValueGetType(operands[i]);
    if (p->status != WF_OK) return;
    MlirNamedAttribute attributes[] = {
        mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("indexing_maps")),
                              mlirArrayAttrGet(b.ctx, n_maps, maps)),
        mlirNamedAttributeGet(mlirIdentifierGet(b.ctx, mlir_text("iterator_types")),
                              op_attribute(op, "iterator_types")),
        named_segments(&b, 2, (const int32_t[]){(int32_t)n_in, (int32_t)(n_all - n_in)}),
    };
    MlirRegion region = mlirRegionCreate();
    mlirRegionTakeBody(region, mlirOperationGetRegion(op, 0));
    MlirOperationState state = mlirOperationStateGet(mlir_text("linalg.generic"), b.loc);
    mlirOperationStateAddResults(&state, n_types, types);
    mlirOperationStateAddOperands(&state, n_all, operands);
    mlirOperationStateAddAttributes(&state, 3, attributes);
    mlirOperationStateAddOwnedRegions(&state, 1, &region);
    MlirOperation made = mlirOperationCreate(&state);
    mlirBlockInsertOwnedOperationBefore(b.block, op, made);
    spread_body(p, function_body(made), b.loc);
    for (intptr_t i = 0, k = 0; i < n_results; i++) {
        MlirValue y = mlirOperationGetResult(op, i), part = mlirOperationGetResult(made, k++);
        if (is_complex(y))
            add_pair(p, y, part, mlirOperationGetResult(made, k++));
        else
            replace_value(y, part);
    }
}

// ---- op by op

static bool has_known_rank(MlirValue v)
{
    MlirType t = mlirValueGetType(v);
    return !mlirTypeIsAShaped(t) || (mlirShapedTypeHasRank(t) && mlirShapedTypeGetRank(t) <= MAX_RANK);
}

static bool has_known_ranks(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        if (!has_known_rank(mlirOperationGetResult(op, i))) return false;
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (!has_known_rank(mlirOperationGetOperand(op, i))) return false;
    return true;
}

static void pair_op(pairing *p, MlirOperation op)
{
    if (has_complex(op) && !has_known_ranks(op)) refuse(p, op, "on complex numbers of unknown rank cannot be compiled");
    if (p->status != WF_OK || !has_complex(op) || op_is(op, "func.return") || op_is(op, "linalg.yield")) return;
    if (op_is(op, "complex.constant"))
        pair_scalar_constant(p, op);
    else if (op_is(op, "arith.constant"))
        pair_constant(p, op);
    else if (op_is(op, "complex.create"))
        add_pair(p, mlirOperationGetResult(op, 0), mlirOperationGetOperand(op, 0), mlirOperationGetOperand(op, 1));
    else if (op_is(op, "complex.re") || op_is(op, "complex.im"))
        replace_value(mlirOperationGetResult(op, 0),
                      part_of(p, op, mlirOperationGetOperand(op, 0), op_is(op, "complex.im")));
    else if (op_is(op, "tensor.dim"))
        mlirOperationSetOperand(op, 0, part_of(p, op, mlirOperationGetOperand(op, 0), 0));
    else if (op_is(op, "linalg.generic"))
        pair_generic(p, op);
    else if (moves_numbers(op))
        clone_for_parts(p, op);
    else
        refuse(p, op, "on complex numbers cannot be compiled");
}

static void pair_block(pairing *p, MlirBlock block)
{
    MlirOperation next;
    for (MlirOperation op = mlirBlockGetFirstOperation(block); op.ptr && p->status == WF_OK; op = next) {
        next = mlirOperationGetNextInBlock(op);
        pair_op(p, op);
    }
}

// ---- arguments and results: floats with a last axis of 2

typedef struct halves {
    int rank; // of the pairs
    int64_t dims[MAX_RANK + 1], offsets[MAX_RANK + 1], sizes[MAX_RANK + 1], strides[MAX_RANK + 1];
    MlirType joined, half;
} halves;

static bool read_halves(pairing *p, MlirOperation at, MlirType t, halves *h)
{
    if (!mlirTypeIsARankedTensor(t) || !mlirShapedTypeHasStaticShape(t) || mlirShapedTypeGetRank(t) >= MAX_RANK) {
        refuse(p, at, "has complex numbers as arguments or results of sizes that are not known");
        return false;
    }
    *h = (halves){.rank = (int)mlirShapedTypeGetRank(t) + 1, .half = part_type(t)};
    for (int d = 0; d < h->rank; d++) {
        bool last = d + 1 == h->rank;
        h->dims[d] = last ? 2 : mlirShapedTypeGetDimSize(t, d);
        h->sizes[d] = last ? 1 : h->dims[d];
        h->strides[d] = 1;
    }
    h->joined = tensor_of(h->rank, h->dims, element_of(h->half));
    return true;
}

static void pair_arguments(pairing *p, MlirOperation function)
{
    MlirBlock entry = function_body(function);
    op_builder b = op_builder_before(mlirBlockGetFirstOperation(entry));
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(entry) && p->status == WF_OK; i++) {
        MlirValue v = mlirBlockGetArgument(entry, i), parts[2];
        halves h;
        if (!is_complex(v) || !read_halves(p, function, mlirValueGetType(v), &h)) continue;
        MlirValue x = mlirBlockInsertArgument(entry, i, h.joined, b.loc);
        for (int part = 0; part < 2; part++) {
            h.offsets[h.rank - 1] = part;
            parts[part] =
                build_static_slice(&b, "tensor.extract_slice", h.half, 1, &x, h.rank, h.offsets, h.sizes, h.strides);
        }
        add_pair(p, v, parts[0], parts[1]);
        i++; // it goes when nobody uses it
    }
}

static void join_results(pairing *p, MlirOperation end)
{
    op_builder b = op_builder_before(end);
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(end) && p->status == WF_OK; i++) {
        MlirValue v = mlirOperationGetOperand(end, i);
        halves h;
        if (!is_complex(v) || !read_halves(p, end, mlirValueGetType(v), &h)) continue;
        MlirValue y = build_value(&b, "tensor.empty", h.joined, 0, NULL, 0, NULL);
        for (int part = 0; part < 2; part++) {
            const MlirValue operands[] = {part_of(p, end, v, part), y};
            h.offsets[h.rank - 1] = part;
            y = build_static_slice(&b, "tensor.insert_slice", h.joined, 2, operands, h.rank, h.offsets, h.sizes,
                                   h.strides);
        }
        mlirOperationSetOperand(end, i, y);
    }
}

// ---- what is left of the complex ones

static void find_complex(MlirOperation op, void *found)
{
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        *(bool *)found = *(bool *)found || is_complex(mlirOperationGetResult(op, i));
}

static void drop_arguments(MlirBlock block)
{
    for (intptr_t i = mlirBlockGetNumArguments(block); i-- > 0;)
        if (is_complex(mlirBlockGetArgument(block, i))) mlirBlockEraseArgument(block, (unsigned)i);
}

static bool has_no_users(MlirOperation op)
{
    for (intptr_t i = 0; i < mlirOperationGetNumResults(op); i++)
        if (!has_no_use(mlirOperationGetResult(op, i))) return false;
    return true;
}

// Users first; then the arguments of bodies.
static void drop_complex(MlirBlock block)
{
    bool dropped = true;
    while (dropped) { // as often as one is used by another in front of it
        dropped = false;
        MlirOperation next;
        for (MlirOperation op = mlirBlockGetFirstOperation(block); op.ptr; op = next) {
            next = mlirOperationGetNextInBlock(op);
            if (has_complex(op) && has_no_users(op)) {
                mlirOperationDestroy(op);
                dropped = true;
            } else if (!has_complex(op) && mlirOperationGetNumRegions(op) && function_body(op).ptr) {
                drop_complex(function_body(op));
            }
        }
    }
    drop_arguments(block);
}

wf_status complex_to_pairs(compiler_context *c, MlirModule module, MlirOperation function, wf_error *err)
{
    MlirBlock entry = function_body(function);
    bool found = false;
    for (intptr_t i = 0; i < mlirBlockGetNumArguments(entry); i++)
        found = found || is_complex(mlirBlockGetArgument(entry, i));
    for_each_op(function, find_complex, &found);
    if (!found || mlirBlockGetNextInRegion(entry).ptr) return WF_OK; // of several blocks: refused later
    TRY(compiler_run_passes(c, module, "builtin.module(func.func(convert-complex-to-standard))", err));
    pairing p = {.err = err};
    pair_arguments(&p, function);
    if (p.status == WF_OK) pair_block(&p, entry);
    if (p.status == WF_OK) join_results(&p, mlirBlockGetTerminator(entry));
    if (p.status == WF_OK) {
        drop_complex(entry);
        update_function_type(function);
    }
    free(p.items);
    return p.status;
}
