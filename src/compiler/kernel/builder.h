// A small language for writing kernels: MLIR ops by short calls.
//
// A kernel is one func.func over raw pointers, built in C; loops unroll by C loops, register tiles are C arrays of
// values. Memory is addressed by pointer and byte offset, because packed blocks mix types; a memref would need a view a
// type. Ops come from arith, scf, vector and llvm (loads, stores, intrinsics), all of which lower to LLVM in one pass
// each.
//
//     kernel_begin(b, "axpy");
//     value x = operand(b, 0), y = operand(b, 1);
//     loop rows = loop_begin(b, b->begin, b->end, 1, 0, NULL);
//         value at = mul_i(b, rows.iv, 64);
//         store(b, fma(b, load(b, x, at, 0, v), ..), y, at, 0);
//     loop_end(b, &rows, NULL);
//     kernel_end(b);
//
// Mistakes in a kernel are mistakes of ours: the verifier finds them, compilation fails with WF_ERROR_COMPILE.
#ifndef WELFORD_COMPILER_KERNEL_BUILDER_H
#define WELFORD_COMPILER_KERNEL_BUILDER_H

#include <mlir-c/BuiltinAttributes.h>
#include <mlir-c/BuiltinTypes.h>
#include <mlir-c/IR.h>

#include "base/cpu.h"

typedef MlirValue value;
typedef MlirType type;

// The instruction sets that kernels are generated for. Wider ones include what narrower ones can.
typedef struct kernel_target {
    int lanes;      // f32 values in a vector register: 8 (AVX2) or 16 (AVX-512)
    int registers;  // vector registers: 16 or 32
    bool vpdpbusd;  // u8 x s8 dot product into i32 at the full vector width
    bool vdpbf16ps; // bf16 dot product
    bool emulated;  // both dot products are written out in plain arithmetic (kernel/harness.h)
} kernel_target;

kernel_target kernel_target_for(const cpu_features *cpu);

enum { BUILDER_DEPTH = 32 };

typedef struct builder {
    MlirContext ctx;
    MlirLocation loc;
    MlirModule module;
    kernel_target target;
    MlirBlock block; // where the next op goes
    MlirBlock outer[BUILDER_DEPTH];
    int depth;
    int64_t n_ops; // made so far, of all kernels
    // of the kernel under construction
    MlirRegion body;
    value begin, end; // its range of tiles, i64
    value buffers_, dims_;
    // types
    type i1, i8, i16, i32, i64, f16, bf16, f32, f64, ptr;
} builder;

void builder_init(builder *b, MlirContext ctx, const cpu_features *cpu);

void kernel_begin(builder *b, const char *name);
void kernel_end(builder *b);
value operand(builder *b, int index);     // pointer operand
value dim(builder *b, int index);         // i64 operand
value scratch(builder *b, int64_t bytes); // stack memory of the kernel, aligned to 64; at kernel level only

// Types and constants. vec(b, 8, b->f32) is vector<8xf32>; lanes(t) is 1 for a scalar.
type vec(builder *b, int n, type element);
int lanes(type t);
type element_of(type t);
type with_element(builder *b, type shape, type element); // same number of lanes
value const_i(builder *b, int64_t v);                    // i64
value const_int(builder *b, type t, int64_t v);          // integer scalar or splat
value const_f(builder *b, type t, double v);             // float scalar or splat

// Integers (any width, scalar or vector).
value add(builder *b, value x, value y);
value sub(builder *b, value x, value y);
value mul(builder *b, value x, value y);
value add_i(builder *b, value x, int64_t k); // k: a constant
value mul_i(builder *b, value x, int64_t k);
value div_i(builder *b, value x, int64_t k); // unsigned
value rem_i(builder *b, value x, int64_t k);
value div_u(builder *b, value x, value y);
value rem_u(builder *b, value x, value y);
value min_s(builder *b, value x, value y);
value max_s(builder *b, value x, value y);
value max_u(builder *b, value x, value y);
value and_(builder *b, value x, value y);
value or_(builder *b, value x, value y);
value xor_(builder *b, value x, value y);
value shl_i(builder *b, value x, int64_t k);
value shr_i(builder *b, value x, int64_t k); // logical
value and_i(builder *b, value x, int64_t k);
typedef enum compare {
    CMP_EQ = 0,
    CMP_NE,
    CMP_LT,
    CMP_LE,
    CMP_GT,
    CMP_GE
} compare; // signed; as arith.cmpi numbers them
value cmp_i(builder *b, compare how, value x, value y);
value cmp_f(builder *b, compare how, value x, value y); // ordered
value select_(builder *b, value condition, value x, value y);

// Floats.
value add_f(builder *b, value x, value y);
value sub_f(builder *b, value x, value y);
value mul_f(builder *b, value x, value y);
value div_f(builder *b, value x, value y);
value fma_(builder *b, value x, value y, value z); // x * y + z, one rounding
value neg_f(builder *b, value x);
value max_f(builder *b, value x, value y); // the other one where one is NaN
value min_f(builder *b, value x, value y);
value abs_f(builder *b, value x);
value sqrt_f(builder *b, value x);
value round_f(builder *b, value x); // to nearest, ties to even

// Conversions.
value ext_s(builder *b, value x, type t);
value ext_u(builder *b, value x, type t);
value trunc_i(builder *b, value x, type t);
value int_to_f(builder *b, value x, type t); // signed
value f_to_int(builder *b, value x, type t); // signed, towards zero; in range
value ext_f(builder *b, value x, type t);
value trunc_f(builder *b, value x, type t); // to f16 or f32, nearest even
value bitcast(builder *b, value x, type t);
value to_f32(builder *b, value x);                 // from f16 or bf16, any number of lanes; f32 stays
value from_f32(builder *b, value x, type element); // to f16 or bf16, nearest even, NaN kept; without library calls

// Vectors.
value splat(builder *b, value x, int n); // n == 1: x itself
value extract(builder *b, value x, int lane);
value insert(builder *b, value scalar, value x, int lane);
value shuffle(builder *b, value x, value y, int n, const int64_t *lanes);
value iota(builder *b, int n, type element);
value sum_f(builder *b, value x); // of all lanes, pairwise
value max_of_f(builder *b, value x);
value sum_i(builder *b, value x);
value max_of_s(builder *b, value x); // signed integers

// Memory: pointer, i64 byte offset (or none), constant byte offset.
value at(builder *b, value p, value offset, int64_t constant);
value load(builder *b, value p, value offset, int64_t constant, type t);
void store(builder *b, value x, value p, value offset, int64_t constant);
void prefetch(builder *b, value p, value offset, int64_t constant, int cache_level);

// acc[i] + sum over j < 4 of u8 u[4i + j] * s8 s[4i + j], on vectors of i32 and four times as many i8; exact. On
// targets without vpdpbusd, pairs of products must fit i16 (vpmaddubsw saturates): fine for |u| <= 128 or u < 128.
value dot_u8s8(builder *b, value acc, value u, value s);

// acc[i] + x[2i + 1] y[2i + 1] + x[2i] y[2i], on vectors of 16 f32 and 32 bf16, in that order, each addition rounded
// once and denormals taken as zero: vdpbf16ps, only for targets that have it.
value dot_bf16(builder *b, value acc, value x, value y);

// LLVM intrinsics by name: "llvm.x86.avx2.pmadd.ub.sw".
value intrinsic(builder *b, const char *name, type result, int n, const value *operands);

// x itself, computed before what is pinned after it: an empty inline assembly that holds x in a vector register. LLVM
// orders a large unrolled body by its own lights, and then spills half of it; pinned accumulators keep it to the order
// written.
value pin(builder *b, value x);

// Control. A loop runs iv from lo to hi in steps of the constant `step`; it carries n values.
enum { LOOP_MAX = 96 };
typedef struct loop {
    value iv;
    int n;
    value args[LOOP_MAX];    // inside: the carried values
    value results[LOOP_MAX]; // after loop_end
    MlirBlock body_;
    value lo_, hi_, step_;
    value inits_[LOOP_MAX];
} loop;
void loop_begin(builder *b, loop *l, value lo, value hi, int64_t step, int n, const value *inits);
void loop_end(builder *b, loop *l, const value *next);

// A loop that computes whether it goes on: `test` gives m values to the body, or as results where it ends.
typedef struct while_loop {
    int n, m;
    value inits_[LOOP_MAX];
    value tested[LOOP_MAX];  // in the test: the carried values
    value args[LOOP_MAX];    // in the body: what the test gave
    value results[LOOP_MAX]; // after while_end
    type types_[LOOP_MAX];   // of what the test gives
    MlirBlock test_, body_;
} while_loop;
void while_begin(builder *b, while_loop *w, int n, const value *inits);
void while_body(builder *b, while_loop *w, value condition, int m, const value *given);
void while_end(builder *b, while_loop *w, const value *next);

// if (condition) { then } else { otherwise }, giving n values.
typedef struct branch {
    value condition_;
    int n;
    type types_[16];
    value results[16];
    MlirRegion then_, else_;
    bool in_else_;
} branch;
void if_begin(builder *b, branch *br, value condition, int n, const type *types);
void if_else(builder *b, branch *br, const value *then_values);
void if_end(builder *b, branch *br, const value *else_values); // without if_else: n must be 0

// Any op by name, one result.
value op1(builder *b, const char *name, type result, int n_operands, const value *operands, int n_attributes,
          const MlirNamedAttribute *attributes);

#endif
