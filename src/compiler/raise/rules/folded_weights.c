#include "compiler/raise/rules/folded_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "compiler/mlir/text.h"
#include "compiler/raise/normal/constant.h"

enum { BLOCK = QUANT_BLOCK, MOST_ELEMENTS = 1 << 26 };

// ---- what they depend on

// Whether v is computed from constants, and some of them are integers of 2 to 16 bits. `steps` bounds the walk.
static bool has_constants_alone(MlirValue v, int *steps, bool *integers)
{
    enum { MAX_STEPS = 256 };
    MlirOperation op = defining_op(v);
    if (!op.ptr || ++*steps > MAX_STEPS) return false;
    if (op_is(op, "arith.constant") || op_is(op, "tosa.const")) {
        MlirType t = element_type_of(v);
        unsigned width = mlirTypeIsAInteger(t) ? mlirIntegerTypeGetWidth(t) : 0;
        *integers = *integers || (width > 1 && width <= 16);
        return true;
    }
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); i++)
        if (mlirTypeIsARankedTensor(mlirValueGetType(mlirOperationGetOperand(op, i))) &&
            !has_constants_alone(mlirOperationGetOperand(op, i), steps, integers))
            return false;
    return true;
}

// ---- blocks of 32 with one scale

// The scale d >= 0, a number of f16, with which all values are d times integers of [-most, most): the greatest value is
// then d times a small integer, from `most` down. False: there is none.
static bool find_scale(const float x[BLOCK], int most, float *d, signed char q[BLOCK])
{
    float top = 0;
    for (int j = 0; j < BLOCK; j++) top = fmaxf(top, fabsf(x[j]));
    for (int m = most; m >= 1; m--) {
        *d = top / (float)m;
        bool good = half_to_float(half_from_float(*d)) == *d && *d * (float)m == top;
        for (int j = 0; j < BLOCK && good; j++) {
            float number = *d > 0 ? rintf(x[j] / *d) : 0;
            good = number * *d == x[j] && number >= (float)-most && number < (float)most;
            q[j] = (signed char)number;
        }
        if (good) return true;
    }
    return false;
}

typedef struct blocks {
    signed char *q;     // [n, k]
    uint16_t *d;        // [n, k / 32]
    const char *format; // of weights
} blocks;

static bool fill_blocks(const float *x, int64_t n, int64_t k, int most, blocks *out)
{
    for (int64_t i = 0; i < n * k / BLOCK; i++) {
        float d;
        if (!find_scale(x + i * BLOCK, most, &d, out->q + i * BLOCK)) return false;
        out->d[i] = half_from_float(d);
    }
    return true;
}

// In the format of fewest bits that holds them all.
static bool find_blocks(const float *x, int64_t n, int64_t k, blocks *out)
{
    if (k % BLOCK) return false;
    *out = (blocks){malloc((size_t)(n * k)), malloc((size_t)(n * k) / BLOCK * sizeof *out->d), "q4_0"};
    bool found = out->q && out->d && fill_blocks(x, n, k, 8, out);
    if (!found && out->q && out->d) {
        out->format = "q8_0";
        found = fill_blocks(x, n, k, 128, out);
    }
    return found;
}

static MlirValue build_constant(op_builder *b, MlirType type, size_t bytes, const void *data)
{
    MlirNamedAttribute value = mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text("value")),
                                                     mlirDenseElementsAttrRawBufferGet(type, bytes, data));
    return build_value(b, "arith.constant", type, 0, NULL, 1, &value);
}

static MlirValue write_blocks(op_builder *b, const blocks *w, int64_t n, int64_t k)
{
    const MlirType q = tensor2(n, k, mlirIntegerTypeGet(b->ctx, 8)), d = tensor2(n, k / BLOCK, mlirF16TypeGet(b->ctx));
    blocks_op op = {.q = build_constant(b, q, (size_t)(n * k), w->q),
                    .d = build_constant(b, d, (size_t)(n * k / BLOCK) * sizeof *w->d, w->d),
                    .w = {.type = tensor2(n, k, wf_type(b->ctx, w->format))}};
    return blocks_write(b, &op);
}

// ---- the values

// [n, k] in f32, which the caller frees; NULL: some are no numbers of f32, or out of memory.
static float *narrow_values(const const_tensor *t, bool rows_first, int64_t n, int64_t k)
{
    float *x = t->count == n * k ? malloc((size_t)t->count * sizeof *x) : NULL;
    for (int64_t i = 0; x && i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            float value = (float)t->data[rows_first ? i * k + j : j * n + i];
            x[i * k + j] = value;
            if (isfinite(value)) continue;
            free(x);
            return NULL;
        }
    return x;
}

MlirValue fold_weights(op_builder *b, MlirValue v, bool rows_first, int64_t n, int64_t k)
{
    int steps = 0;
    bool integers = false;
    MlirValue w = {0};
    if (!mlirTypeIsAF32(element_type_of(v)) || !has_constants_alone(v, &steps, &integers) || !integers) return w;
    evaluator e = evaluator_start();
    e.most = MOST_ELEMENTS;
    e.budget = 2 * MOST_ELEMENTS;
    const const_tensor *t = evaluate(&e, v);
    float *x = t ? narrow_values(t, rows_first, n, k) : NULL;
    evaluator_free(&e);
    blocks found = {0};
    if (x && find_blocks(x, n, k, &found))
        w = write_blocks(b, &found, n, k);
    else if (x)
        w = build_constant(b, tensor2(n, k, mlirF32TypeGet(b->ctx)), (size_t)(n * k) * sizeof *x, x);
    free(found.q);
    free(found.d);
    free(x);
    return w;
}
