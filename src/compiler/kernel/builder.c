#include "compiler/kernel/builder.h"

#include <assert.h>
#include <string.h>

static MlirStringRef text(const char *s) { return mlirStringRefCreateFromCString(s); }

kernel_target kernel_target_for(const cpu_features *cpu)
{
    return (kernel_target){
        .lanes = cpu->avx512 ? 16 : 8,
        .registers = cpu->avx512 ? 32 : 16,
        .vpdpbusd = cpu->avx512 ? cpu->avx512_vnni : cpu->avx_vnni,
        .vdpbf16ps = cpu->avx512 && cpu->avx512_bf16,
    };
}

void builder_init(builder *b, MlirContext ctx, const cpu_features *cpu)
{
    *b = (builder){.ctx = ctx, .loc = mlirLocationUnknownGet(ctx), .target = kernel_target_for(cpu)};
    b->module = mlirModuleCreateEmpty(b->loc);
    b->i1 = mlirIntegerTypeGet(ctx, 1);
    b->i8 = mlirIntegerTypeGet(ctx, 8);
    b->i16 = mlirIntegerTypeGet(ctx, 16);
    b->i32 = mlirIntegerTypeGet(ctx, 32);
    b->i64 = mlirIntegerTypeGet(ctx, 64);
    b->f16 = mlirF16TypeGet(ctx);
    b->bf16 = mlirBF16TypeGet(ctx);
    b->f32 = mlirF32TypeGet(ctx);
    b->f64 = mlirF64TypeGet(ctx);
    b->ptr = mlirTypeParseGet(ctx, text("!llvm.ptr"));
}

// ---- ops

static MlirNamedAttribute attribute(builder *b, const char *name, MlirAttribute a)
{
    return mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, text(name)), a);
}

static MlirOperation make_op(builder *b, const char *name, int n_results, const type *results, int n_operands,
                             const value *operands, int n_attributes, const MlirNamedAttribute *attributes,
                             int n_regions, MlirRegion *regions)
{
    MlirOperationState state = mlirOperationStateGet(text(name), b->loc);
    mlirOperationStateAddResults(&state, n_results, results);
    mlirOperationStateAddOperands(&state, n_operands, operands);
    mlirOperationStateAddAttributes(&state, n_attributes, attributes);
    if (n_regions) mlirOperationStateAddOwnedRegions(&state, n_regions, regions);
    MlirOperation op = mlirOperationCreate(&state);
    mlirBlockAppendOwnedOperation(b->block, op);
    b->n_ops++;
    return op;
}

value op1(builder *b, const char *name, type result, int n_operands, const value *operands, int n_attributes,
          const MlirNamedAttribute *attributes)
{
    return mlirOperationGetResult(make_op(b, name, 1, &result, n_operands, operands, n_attributes, attributes, 0, NULL),
                                  0);
}

static value unary(builder *b, const char *name, type result, value x) { return op1(b, name, result, 1, &x, 0, NULL); }

static value binary(builder *b, const char *name, value x, value y)
{
    value operands[] = {x, y};
    return op1(b, name, mlirValueGetType(x), 2, operands, 0, NULL);
}

// ---- kernels

void kernel_begin(builder *b, const char *name)
{
    type inputs[] = {b->ptr, b->ptr, b->i64, b->i64};
    MlirLocation locations[] = {b->loc, b->loc, b->loc, b->loc};
    MlirBlock entry = mlirBlockCreate(4, inputs, locations);
    b->body = mlirRegionCreate();
    mlirRegionAppendOwnedBlock(b->body, entry);
    MlirNamedAttribute attributes[] = {
        attribute(b, "sym_name", mlirStringAttrGet(b->ctx, text(name))),
        attribute(b, "function_type", mlirTypeAttrGet(mlirFunctionTypeGet(b->ctx, 4, inputs, 0, NULL))),
    };
    b->block = mlirModuleGetBody(b->module);
    make_op(b, "func.func", 0, NULL, 0, NULL, 2, attributes, 1, &b->body);
    b->block = entry;
    b->depth = 0;
    b->buffers_ = mlirBlockGetArgument(entry, 0);
    b->dims_ = mlirBlockGetArgument(entry, 1);
    b->begin = mlirBlockGetArgument(entry, 2);
    b->end = mlirBlockGetArgument(entry, 3);
}

void kernel_end(builder *b) { make_op(b, "func.return", 0, NULL, 0, NULL, 0, NULL, 0, NULL); }

value operand(builder *b, int index) { return load(b, b->buffers_, (value){0}, index * 8, b->ptr); }

value dim(builder *b, int index) { return load(b, b->dims_, (value){0}, index * 8, b->i64); }

value scratch(builder *b, int64_t bytes)
{
    value count = const_i(b, bytes);
    MlirNamedAttribute attributes[] = {
        attribute(b, "elem_type", mlirTypeAttrGet(b->i8)),
        attribute(b, "alignment", mlirIntegerAttrGet(b->i64, 64)),
    };
    return op1(b, "llvm.alloca", b->ptr, 1, &count, 2, attributes);
}

// ---- types and constants

type vec(builder *b, int n, type element)
{
    (void)b;
    if (n == 1) return element;
    int64_t shape = n;
    return mlirVectorTypeGet(1, &shape, element);
}

int lanes(type t) { return mlirTypeIsAVector(t) ? (int)mlirShapedTypeGetDimSize(t, 0) : 1; }

type element_of(type t) { return mlirTypeIsAVector(t) ? mlirShapedTypeGetElementType(t) : t; }

type with_element(builder *b, type shape, type element) { return vec(b, lanes(shape), element); }

static value constant(builder *b, type t, MlirAttribute scalar)
{
    if (mlirTypeIsAVector(t)) scalar = mlirDenseElementsAttrSplatGet(t, scalar);
    MlirNamedAttribute a = attribute(b, "value", scalar);
    return op1(b, "arith.constant", t, 0, NULL, 1, &a);
}

value const_i(builder *b, int64_t v) { return const_int(b, b->i64, v); }

value const_int(builder *b, type t, int64_t v) { return constant(b, t, mlirIntegerAttrGet(element_of(t), v)); }

value const_f(builder *b, type t, double v) { return constant(b, t, mlirFloatAttrDoubleGet(b->ctx, element_of(t), v)); }

// ---- integers

value add(builder *b, value x, value y) { return binary(b, "arith.addi", x, y); }
value sub(builder *b, value x, value y) { return binary(b, "arith.subi", x, y); }
value mul(builder *b, value x, value y) { return binary(b, "arith.muli", x, y); }
value div_u(builder *b, value x, value y) { return binary(b, "arith.divui", x, y); }
value rem_u(builder *b, value x, value y) { return binary(b, "arith.remui", x, y); }
value min_s(builder *b, value x, value y) { return binary(b, "arith.minsi", x, y); }
value max_s(builder *b, value x, value y) { return binary(b, "arith.maxsi", x, y); }
value max_u(builder *b, value x, value y) { return binary(b, "arith.maxui", x, y); }
value and_(builder *b, value x, value y) { return binary(b, "arith.andi", x, y); }
value or_(builder *b, value x, value y) { return binary(b, "arith.ori", x, y); }
value xor_(builder *b, value x, value y) { return binary(b, "arith.xori", x, y); }

static value like(builder *b, value x, int64_t k) { return const_int(b, mlirValueGetType(x), k); }

value add_i(builder *b, value x, int64_t k) { return k ? add(b, x, like(b, x, k)) : x; }
value mul_i(builder *b, value x, int64_t k) { return k == 1 ? x : mul(b, x, like(b, x, k)); }
value div_i(builder *b, value x, int64_t k) { return k == 1 ? x : div_u(b, x, like(b, x, k)); }
value rem_i(builder *b, value x, int64_t k) { return rem_u(b, x, like(b, x, k)); }
value shl_i(builder *b, value x, int64_t k) { return binary(b, "arith.shli", x, like(b, x, k)); }
value shr_i(builder *b, value x, int64_t k) { return binary(b, "arith.shrui", x, like(b, x, k)); }
value and_i(builder *b, value x, int64_t k) { return and_(b, x, like(b, x, k)); }

static value compare_op(builder *b, const char *name, int64_t predicate, value x, value y)
{
    value operands[] = {x, y};
    MlirNamedAttribute a = attribute(b, "predicate", mlirIntegerAttrGet(b->i64, predicate));
    return op1(b, name, with_element(b, mlirValueGetType(x), b->i1), 2, operands, 1, &a);
}

value cmp_i(builder *b, compare how, value x, value y) { return compare_op(b, "arith.cmpi", how, x, y); }

value cmp_f(builder *b, compare how, value x, value y)
{
    // arith.cmpf numbers its ordered predicates oeq 1, ogt 2, oge 3, olt 4, ole 5, one 6
    static const int64_t ordered[] = {[CMP_EQ] = 1, [CMP_NE] = 6, [CMP_LT] = 4,
                                      [CMP_LE] = 5, [CMP_GT] = 2, [CMP_GE] = 3};
    return compare_op(b, "arith.cmpf", ordered[how], x, y);
}

value select_(builder *b, value condition, value x, value y)
{
    value operands[] = {condition, x, y};
    return op1(b, "arith.select", mlirValueGetType(x), 3, operands, 0, NULL);
}

// ---- floats

value add_f(builder *b, value x, value y) { return binary(b, "arith.addf", x, y); }
value sub_f(builder *b, value x, value y) { return binary(b, "arith.subf", x, y); }
value mul_f(builder *b, value x, value y) { return binary(b, "arith.mulf", x, y); }
value div_f(builder *b, value x, value y) { return binary(b, "arith.divf", x, y); }
value neg_f(builder *b, value x) { return unary(b, "arith.negf", mlirValueGetType(x), x); }

// maxnum with nnan would lower to one instruction but makes NaN undefined; vmaxps returns its second operand when
// either is NaN, which compare-and-select expresses exactly: x > y ? x : y.
value max_f(builder *b, value x, value y) { return select_(b, cmp_f(b, CMP_GT, x, y), x, y); }
value min_f(builder *b, value x, value y) { return select_(b, cmp_f(b, CMP_LT, x, y), x, y); }

value fma_(builder *b, value x, value y, value z)
{
    value operands[] = {x, y, z};
    return op1(b, "llvm.intr.fma", mlirValueGetType(x), 3, operands, 0, NULL);
}

value abs_f(builder *b, value x) { return unary(b, "llvm.intr.fabs", mlirValueGetType(x), x); }
value sqrt_f(builder *b, value x) { return unary(b, "llvm.intr.sqrt", mlirValueGetType(x), x); }
value round_f(builder *b, value x) { return unary(b, "llvm.intr.roundeven", mlirValueGetType(x), x); }

// ---- conversions

value ext_s(builder *b, value x, type t) { return unary(b, "arith.extsi", t, x); }
value ext_u(builder *b, value x, type t) { return unary(b, "arith.extui", t, x); }
value trunc_i(builder *b, value x, type t) { return unary(b, "arith.trunci", t, x); }
value int_to_f(builder *b, value x, type t) { return unary(b, "arith.sitofp", t, x); }
value f_to_int(builder *b, value x, type t) { return unary(b, "arith.fptosi", t, x); }
value ext_f(builder *b, value x, type t) { return unary(b, "arith.extf", t, x); }
value trunc_f(builder *b, value x, type t) { return unary(b, "arith.truncf", t, x); }
value bitcast(builder *b, value x, type t) { return unary(b, "llvm.bitcast", t, x); }

value to_f32(builder *b, value x)
{
    type t = mlirValueGetType(x), element = element_of(t), f32 = with_element(b, t, b->f32);
    if (mlirTypeEqual(element, b->f32)) return x;
    if (mlirTypeEqual(element, b->f16)) return ext_f(b, x, f32);
    value bits = ext_u(b, bitcast(b, x, with_element(b, t, b->i16)), with_element(b, t, b->i32));
    return bitcast(b, shl_i(b, bits, 16), f32);
}

value from_f32(builder *b, value x, type element)
{
    type t = mlirValueGetType(x);
    if (mlirTypeEqual(element, b->f32)) return x;
    if (mlirTypeEqual(element, b->f16)) return trunc_f(b, x, with_element(b, t, b->f16));
    // bf16, rounded to nearest even on the bits: + 0x7fff + (last kept bit); a NaN keeps its top bits and is made quiet
    type i32 = with_element(b, t, b->i32);
    value bits = bitcast(b, x, i32);
    value odd = and_i(b, shr_i(b, bits, 16), 1);
    value rounded = shr_i(b, add(b, add_i(b, bits, 0x7fff), odd), 16);
    value quiet = or_(b, shr_i(b, bits, 16), const_int(b, i32, 0x40));
    value is_number = cmp_f(b, CMP_EQ, x, x);
    value kept = trunc_i(b, select_(b, is_number, rounded, quiet), with_element(b, t, b->i16));
    return bitcast(b, kept, with_element(b, t, b->bf16));
}

// ---- vectors

value splat(builder *b, value x, int n)
{
    return n == 1 ? x : unary(b, "vector.broadcast", vec(b, n, mlirValueGetType(x)), x);
}

value extract(builder *b, value x, int lane)
{
    value operands[] = {x, const_int(b, b->i64, lane)};
    return op1(b, "llvm.extractelement", element_of(mlirValueGetType(x)), 2, operands, 0, NULL);
}

value insert(builder *b, value scalar, value x, int lane)
{
    value operands[] = {x, scalar, const_int(b, b->i64, lane)};
    return op1(b, "llvm.insertelement", mlirValueGetType(x), 3, operands, 0, NULL);
}

value shuffle(builder *b, value x, value y, int n, const int64_t *mask)
{
    value operands[] = {x, y};
    MlirNamedAttribute a = attribute(b, "mask", mlirDenseI64ArrayGet(b->ctx, n, mask));
    return op1(b, "vector.shuffle", vec(b, n, element_of(mlirValueGetType(x))), 2, operands, 1, &a);
}

value iota(builder *b, int n, type element)
{
    MlirAttribute items[64];
    assert(n <= 64);
    for (int i = 0; i < n; i++) items[i] = mlirIntegerAttrGet(element, i);
    type t = vec(b, n, element);
    MlirNamedAttribute a = attribute(b, "value", mlirDenseElementsAttrGet(t, n, items));
    return op1(b, "arith.constant", t, 0, NULL, 1, &a);
}

typedef value combine(builder *b, value x, value y);

// Halves the vector until one lane is left: the same tree on every CPU.
static value reduce(builder *b, value x, combine *two)
{
    int n = lanes(mlirValueGetType(x));
    while (n > 1) {
        int64_t low[32], high[32];
        n /= 2;
        for (int i = 0; i < n; i++) low[i] = i, high[i] = n + i;
        if (n == 1) return two(b, extract(b, x, 0), extract(b, x, 1));
        x = two(b, shuffle(b, x, x, n, low), shuffle(b, x, x, n, high));
    }
    return x;
}

value sum_f(builder *b, value x) { return reduce(b, x, add_f); }
value max_of_f(builder *b, value x) { return reduce(b, x, max_f); }
value sum_i(builder *b, value x) { return reduce(b, x, add); }
value max_of_s(builder *b, value x) { return reduce(b, x, max_s); }

// ---- memory

value at(builder *b, value p, value offset, int64_t constant)
{
    for (int part = 0; part < 2; part++) {
        bool dynamic = part == 0;
        if (dynamic ? !offset.ptr : !constant) continue;
        value operands[] = {p, offset};
        int32_t index = dynamic ? INT32_MIN : (int32_t)constant; // INT32_MIN: taken from the operand
        assert(dynamic || (constant < INT32_MAX && constant > INT32_MIN));
        MlirNamedAttribute attributes[] = {
            attribute(b, "elem_type", mlirTypeAttrGet(b->i8)),
            attribute(b, "rawConstantIndices", mlirDenseI32ArrayGet(b->ctx, 1, &index)),
        };
        p = op1(b, "llvm.getelementptr", b->ptr, dynamic ? 2 : 1, operands, 2, attributes);
    }
    return p;
}

// Vectors and scalars of any element type may lie at any multiple of their element's size.
static MlirNamedAttribute element_alignment(builder *b, type t)
{
    type element = element_of(t);
    int64_t bytes = 8;
    if (mlirTypeIsAInteger(element))
        bytes = (int64_t)(mlirIntegerTypeGetWidth(element) + 7) / 8;
    else if (mlirTypeIsAFloat(element))
        bytes = (int64_t)mlirFloatTypeGetWidth(element) / 8;
    return attribute(b, "alignment", mlirIntegerAttrGet(b->i64, bytes));
}

value load(builder *b, value p, value offset, int64_t constant, type t)
{
    value address = at(b, p, offset, constant);
    MlirNamedAttribute a = element_alignment(b, t);
    return op1(b, "llvm.load", t, 1, &address, 1, &a);
}

void store(builder *b, value x, value p, value offset, int64_t constant)
{
    value operands[] = {x, at(b, p, offset, constant)};
    MlirNamedAttribute a = element_alignment(b, mlirValueGetType(x));
    make_op(b, "llvm.store", 0, NULL, 2, operands, 1, &a, 0, NULL);
}

void prefetch(builder *b, value p, value offset, int64_t constant, int cache_level)
{
    value address = at(b, p, offset, constant);
    MlirNamedAttribute attributes[] = {
        attribute(b, "rw", mlirIntegerAttrGet(b->i32, 0)),
        attribute(b, "hint", mlirIntegerAttrGet(b->i32, 4 - cache_level)), // 3: into the first level,
        attribute(b, "cache", mlirIntegerAttrGet(b->i32, 1)),
    };
    make_op(b, "llvm.intr.prefetch", 0, NULL, 1, &address, 3, attributes, 0, NULL);
}

value intrinsic(builder *b, const char *name, type result, int n, const value *operands)
{
    int32_t sizes[] = {n, 0}; // operands, then operand bundles
    MlirNamedAttribute attributes[] = {
        attribute(b, "intrin", mlirStringAttrGet(b->ctx, text(name))),
        attribute(b, "operandSegmentSizes", mlirDenseI32ArrayGet(b->ctx, 2, sizes)),
        attribute(b, "op_bundle_sizes", mlirDenseI32ArrayGet(b->ctx, 0, NULL)),
    };
    return op1(b, "llvm.call_intrinsic", result, n, operands, 3, attributes);
}

value pin(builder *b, value x)
{
    if (b->target.emulated) return x; // its vectors are wider than the registers
    MlirNamedAttribute attributes[] = {
        attribute(b, "asm_string", mlirStringAttrGet(b->ctx, text(""))),
        attribute(b, "constraints", mlirStringAttrGet(b->ctx, text("=v,0,~{memory}"))),
        attribute(b, "has_side_effects", mlirUnitAttrGet(b->ctx)),
    };
    return op1(b, "llvm.inline_asm", mlirValueGetType(x), 1, &x, 3, attributes);
}

// Sums neighbours: lane i of the result is x[2i] + x[2i + 1].
static value add_pairs(builder *b, value x)
{
    int n = lanes(mlirValueGetType(x)) / 2;
    int64_t even[64], odd[64];
    for (int i = 0; i < n; i++) even[i] = 2 * i, odd[i] = 2 * i + 1;
    return add(b, shuffle(b, x, x, n, even), shuffle(b, x, x, n, odd));
}

value dot_u8s8(builder *b, value acc, value u, value s)
{
    type t = mlirValueGetType(acc);
    int n = lanes(t);
    if (b->target.emulated) {
        type wide = vec(b, 4 * n, b->i32);
        return add(b, acc, add_pairs(b, add_pairs(b, mul(b, ext_u(b, u, wide), ext_s(b, s, wide)))));
    }
    value operands[] = {acc, u, s};
    if (b->target.vpdpbusd)
        return intrinsic(b, n == 16 ? "llvm.x86.avx512.vpdpbusd.512" : "llvm.x86.avx512.vpdpbusd.256", t, 3, operands);
    type i16 = vec(b, 2 * n, b->i16);
    value pairs[] = {intrinsic(b, "llvm.x86.avx2.pmadd.ub.sw", i16, 2, operands + 1), const_int(b, i16, 1)};
    return add(b, acc, intrinsic(b, "llvm.x86.avx2.pmadd.wd", t, 2, pairs));
}

value dot_bf16(builder *b, value acc, value x, value y)
{
    value operands[] = {acc, x, y};
    type f32 = mlirValueGetType(acc), i32 = vec(b, lanes(f32), b->i32);
    if (!b->target.emulated) return intrinsic(b, "llvm.x86.avx512bf16.dpbf16ps.512", f32, 3, operands);
    value u = bitcast(b, x, i32), v = bitcast(b, y, i32);
    acc = fma_(b, bitcast(b, and_i(b, u, -65536), f32), bitcast(b, and_i(b, v, -65536), f32), acc);
    return fma_(b, bitcast(b, shl_i(b, u, 16), f32), bitcast(b, shl_i(b, v, 16), f32), acc);
}

// ---- control

static void enter(builder *b, MlirBlock block)
{
    assert(b->depth < BUILDER_DEPTH);
    b->outer[b->depth++] = b->block;
    b->block = block;
}

static void leave(builder *b) { b->block = b->outer[--b->depth]; }

void loop_begin(builder *b, loop *l, value lo, value hi, int64_t step, int n, const value *inits)
{
    assert(n <= LOOP_MAX);
    *l = (loop){.n = n, .lo_ = lo, .hi_ = hi, .step_ = const_i(b, step)};
    type types[1 + LOOP_MAX];
    MlirLocation locations[1 + LOOP_MAX];
    types[0] = b->i64;
    locations[0] = b->loc;
    for (int i = 0; i < n; i++) {
        l->inits_[i] = inits[i];
        types[1 + i] = mlirValueGetType(inits[i]);
        locations[1 + i] = b->loc;
    }
    l->body_ = mlirBlockCreate(1 + n, types, locations);
    l->iv = mlirBlockGetArgument(l->body_, 0);
    for (int i = 0; i < n; i++) l->args[i] = mlirBlockGetArgument(l->body_, 1 + i);
    enter(b, l->body_);
}

void loop_end(builder *b, loop *l, const value *next)
{
    make_op(b, "scf.yield", 0, NULL, l->n, next, 0, NULL, 0, NULL);
    leave(b);
    value operands[3 + LOOP_MAX] = {l->lo_, l->hi_, l->step_};
    type types[LOOP_MAX];
    for (int i = 0; i < l->n; i++) {
        operands[3 + i] = l->inits_[i];
        types[i] = mlirValueGetType(l->inits_[i]);
    }
    MlirRegion region = mlirRegionCreate();
    mlirRegionAppendOwnedBlock(region, l->body_);
    MlirOperation op = make_op(b, "scf.for", l->n, types, 3 + l->n, operands, 0, NULL, 1, &region);
    for (int i = 0; i < l->n; i++) l->results[i] = mlirOperationGetResult(op, i);
}

// A block with arguments of the types of the values.
static MlirBlock block_for(builder *b, int n, const value *values)
{
    type types[LOOP_MAX];
    MlirLocation locations[LOOP_MAX];
    assert(n <= LOOP_MAX);
    for (int i = 0; i < n; i++) {
        types[i] = mlirValueGetType(values[i]);
        locations[i] = b->loc;
    }
    return mlirBlockCreate(n, types, locations);
}

void while_begin(builder *b, while_loop *w, int n, const value *inits)
{
    *w = (while_loop){.n = n, .test_ = block_for(b, n, inits)};
    for (int i = 0; i < n; i++) {
        w->inits_[i] = inits[i];
        w->tested[i] = mlirBlockGetArgument(w->test_, i);
    }
    enter(b, w->test_);
}

void while_body(builder *b, while_loop *w, value condition, int m, const value *given)
{
    value operands[1 + LOOP_MAX] = {condition};
    w->m = m;
    w->body_ = block_for(b, m, given);
    for (int i = 0; i < m; i++) {
        operands[1 + i] = given[i];
        w->types_[i] = mlirValueGetType(given[i]);
        w->args[i] = mlirBlockGetArgument(w->body_, i);
    }
    make_op(b, "scf.condition", 0, NULL, 1 + m, operands, 0, NULL, 0, NULL);
    leave(b);
    enter(b, w->body_);
}

void while_end(builder *b, while_loop *w, const value *next)
{
    make_op(b, "scf.yield", 0, NULL, w->n, next, 0, NULL, 0, NULL);
    leave(b);
    MlirRegion regions[] = {mlirRegionCreate(), mlirRegionCreate()};
    mlirRegionAppendOwnedBlock(regions[0], w->test_);
    mlirRegionAppendOwnedBlock(regions[1], w->body_);
    MlirOperation op = make_op(b, "scf.while", w->m, w->types_, w->n, w->inits_, 0, NULL, 2, regions);
    for (int i = 0; i < w->m; i++) w->results[i] = mlirOperationGetResult(op, i);
}

static MlirRegion region_with_block(MlirBlock *block)
{
    MlirRegion region = mlirRegionCreate();
    *block = mlirBlockCreate(0, NULL, NULL);
    mlirRegionAppendOwnedBlock(region, *block);
    return region;
}

void if_begin(builder *b, branch *br, value condition, int n, const type *types)
{
    *br = (branch){.condition_ = condition, .n = n};
    for (int i = 0; i < n; i++) br->types_[i] = types[i];
    MlirBlock block;
    br->then_ = region_with_block(&block);
    br->else_ = mlirRegionCreate();
    enter(b, block);
}

void if_else(builder *b, branch *br, const value *then_values)
{
    make_op(b, "scf.yield", 0, NULL, br->n, then_values, 0, NULL, 0, NULL);
    leave(b);
    MlirBlock block = mlirBlockCreate(0, NULL, NULL);
    mlirRegionAppendOwnedBlock(br->else_, block);
    br->in_else_ = true;
    enter(b, block);
}

void if_end(builder *b, branch *br, const value *else_values)
{
    assert(br->in_else_ || br->n == 0);
    make_op(b, "scf.yield", 0, NULL, br->n, else_values, 0, NULL, 0, NULL);
    leave(b);
    MlirRegion regions[] = {br->then_, br->else_};
    MlirOperation op = make_op(b, "scf.if", br->n, br->types_, 1, &br->condition_, 0, NULL, 2, regions);
    for (int i = 0; i < br->n; i++) br->results[i] = mlirOperationGetResult(op, i);
}
