#include "compiler/kernel/rows/rowwise.h"

#include "compiler/kernel/math.h"
#include "compiler/kernel/rows/q8.h"

static bool is_unary(const rowwise_kernel *k) { return k->op == ROWWISE_QUANTIZE || k->op == ROWWISE_SOFTCAP; }

static value compute(builder *b, const rowwise_kernel *k, value x, value y, value offset, int64_t constant, int n)
{
    type t = vec(b, n, b->f32);
    value v = load(b, x, offset, constant, t);
    if (k->op == ROWWISE_QUANTIZE || k->op == ROWWISE_GATHER) return v;
    if (k->op == ROWWISE_SOFTCAP)
        return mul_f(b, math_tanh(b, mul_f(b, v, const_f(b, t, 1 / k->cap))), const_f(b, t, k->cap));
    value w = load(b, y, offset, constant, t);
    if (k->op == ROWWISE_ADD) return add_f(b, v, w);
    return mul_f(b, k->op == ROWWISE_GEGLU ? math_gelu_tanh(b, v) : math_silu(b, v), w);
}

static void build_rowwise(builder *b, const void *params, const char *name)
{
    const rowwise_kernel *k = params;
    kernel_begin(b, name);
    int n = b->target.lanes;
    bool unary = is_unary(k), q8 = k->out_q8 || k->op == ROWWISE_QUANTIZE;
    value x_base = operand(b, 0), y_base = unary ? (value){0} : operand(b, 1), out_base = operand(b, unary ? 1 : 2);
    loop rows;
    loop_begin(b, &rows, b->begin, b->end, 1, 0, NULL);
    value row_bytes = mul_i(b, rows.iv, 4 * k->cols), x_bytes = row_bytes, y = {0};
    if (k->op == ROWWISE_GATHER)
        x_bytes = mul_i(b, ext_s(b, load(b, y_base, mul_i(b, rows.iv, 4), 0, b->i32), b->i64), 4 * k->cols);
    else if (!unary)
        y = at(b, y_base, row_bytes, 0);
    value x = at(b, x_base, x_bytes, 0);
    value out = at(b, out_base, q8 ? mul_i(b, rows.iv, q8_row_bytes(k->cols)) : row_bytes, 0);
    int step = q8 ? Q8_BLOCK : n;
    int64_t whole = k->cols / step * step;
    loop l;
    loop_begin(b, &l, const_i(b, 0), const_i(b, whole), step, 0, NULL);
    value offset = mul_i(b, l.iv, 4), block[Q8_BLOCK / 8];
    for (int v = 0; v < step / n; v++) block[v] = compute(b, k, x, y, offset, v * n * 4, n);
    if (q8)
        q8_store_block(b, block, out, div_i(b, l.iv, Q8_BLOCK), k->cols);
    else
        store(b, block[0], out, offset, 0);
    loop_end(b, &l, NULL);
    if (whole < k->cols) { // fewer values than a vector
        loop rest;
        loop_begin(b, &rest, const_i(b, whole), const_i(b, k->cols), 1, 0, NULL);
        value one = mul_i(b, rest.iv, 4);
        // a vector of one lane: the functions of kernel/math.h take vectors
        store(b, compute(b, k, x, y, one, 0, 1), out, one, 0);
        loop_end(b, &rest, NULL);
    }
    loop_end(b, &rows, NULL);
    kernel_end(b);
}

// The kind's name says it.
static const char *op_text(int op) { return op < ROWWISE_COUNT ? "" : NULL; }

static const kernel_field FIELDS[] = {
    KERNEL_TEXT(rowwise_kernel, op, op_text, ""),
    KERNEL_FIELD(rowwise_kernel, cols, FIELD_INT, "_"),
    KERNEL_FIELD(rowwise_kernel, cap, FIELD_F64, "_cap"),
    KERNEL_FIELD(rowwise_kernel, out_q8, FIELD_BOOL, "_q8"),
};

#define ROWWISE_KERNEL(kind_name, kind_help)                                                                           \
    {.name = (kind_name),                                                                                              \
     .file = "kernel/rows/rowwise.c",                                                                                  \
     .help = (kind_help),                                                                                              \
     .build = build_rowwise,                                                                                           \
     .params_bytes = sizeof(rowwise_kernel),                                                                           \
     .fields = FIELDS,                                                                                                 \
     .n_fields = sizeof FIELDS / sizeof *FIELDS}

const kernel_kind ROWWISE_KERNELS[ROWWISE_COUNT] = {
    [ROWWISE_ADD] = ROWWISE_KERNEL("add", "x + y"),
    [ROWWISE_SWIGLU] = ROWWISE_KERNEL("swiglu", "silu(gate) * up"),
    [ROWWISE_GEGLU] = ROWWISE_KERNEL("geglu", "gelu(gate) * up"),
    [ROWWISE_SOFTCAP] = ROWWISE_KERNEL("softcap", "cap * tanh(x / cap)"),
    [ROWWISE_QUANTIZE] = ROWWISE_KERNEL("quantize", "rows of f32 to 8-bit blocks"),
    [ROWWISE_GATHER] = ROWWISE_KERNEL("gather", "chosen rows"),
};
