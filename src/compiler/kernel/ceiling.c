#include "compiler/kernel/ceiling.h"

enum { CHAINS = 10, ROUNDS = 4000, STREAMS = 4 }; // chains: latency 4 or 5 times two units

// f32 or i32 values in the vectors that the instruction works on.
static int lanes_of(ceiling_kind kind, const kernel_target *t)
{
    return kind == CEILING_INT8 && !t->vpdpbusd ? 8 : t->lanes;
}

double ceiling_tile_flops(ceiling_kind kind, const kernel_target *target)
{
    int products = kind == CEILING_INT8 ? 4 : kind == CEILING_BF16 && target->vdpbf16ps ? 2 : 1; // a lane
    int n = lanes_of(kind, target) * CHAINS * ROUNDS;
    return kind == CEILING_READ ? 0 : 2.0 * products * n;
}

static value chain_step(builder *b, ceiling_kind kind, value acc, value x)
{
    int n = lanes_of(kind, &b->target);
    type bytes = vec(b, 4 * n, b->i8);
    if (kind == CEILING_BF16 && b->target.vdpbf16ps) {
        value halves = bitcast(b, x, vec(b, 2 * n, b->bf16));
        return dot_bf16(b, acc, halves, halves);
    }
    if (kind != CEILING_INT8) return fma_(b, acc, x, x);
    if (b->target.vpdpbusd) return dot_u8s8(b, acc, bitcast(b, x, bytes), bitcast(b, x, bytes));
    type pairs = vec(b, 2 * n, b->i16);
    value operands[] = {bitcast(b, acc, bytes), bitcast(b, x, bytes)};
    value sums[] = {intrinsic(b, "llvm.x86.avx2.pmadd.ub.sw", pairs, 2, operands), bitcast(b, x, pairs)};
    return intrinsic(b, "llvm.x86.avx2.pmadd.wd", vec(b, n, b->i32), 2, sums);
}

static void build_chains(builder *b, ceiling_kind kind)
{
    type v = vec(b, lanes_of(kind, &b->target), kind == CEILING_INT8 ? b->i32 : b->f32);
    value y = operand(b, 0), x = load(b, y, (value){0}, 0, v), acc[CHAINS];
    loop tiles, rounds;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    for (int i = 0; i < CHAINS; i++) acc[i] = load(b, y, (value){0}, 64, v);
    loop_begin(b, &rounds, const_i(b, 0), const_i(b, ROUNDS), 1, CHAINS, acc);
    for (int i = 0; i < CHAINS; i++) acc[i] = chain_step(b, kind, rounds.args[i], x);
    loop_end(b, &rounds, acc);
    for (int i = 0; i < CHAINS; i++) store(b, rounds.results[i], y, (value){0}, 128 + 64 * i);
    loop_end(b, &tiles, NULL);
}

static void build_read(builder *b)
{
    type v = vec(b, b->target.lanes, b->i32);
    int bytes = 4 * b->target.lanes;
    value y = operand(b, 0), x = operand(b, 1), acc[STREAMS];
    for (int i = 0; i < STREAMS; i++) acc[i] = const_int(b, v, 0);
    loop lines;
    loop_begin(b, &lines, mul_i(b, b->begin, CEILING_READ_BYTES), mul_i(b, b->end, CEILING_READ_BYTES), 8 * bytes,
               STREAMS, acc);
    for (int i = 0; i < 8; i++)
        acc[i % STREAMS] = or_(b, i < STREAMS ? lines.args[i] : acc[i % STREAMS], load(b, x, lines.iv, i * bytes, v));
    loop_end(b, &lines, acc);
    for (int i = 0; i < STREAMS; i++) store(b, lines.results[i], y, (value){0}, 64 * i);
}

static void build_ceiling(builder *b, const void *params, const char *name)
{
    const ceiling_kernel *k = params;
    kernel_begin(b, name);
    if (k->kind == CEILING_READ)
        build_read(b);
    else
        build_chains(b, k->kind);
    kernel_end(b);
}

static const char *kind_text(int kind)
{
    static const char *const TEXTS[] = {
        [CEILING_FMA] = "fma", [CEILING_BF16] = "bf16", [CEILING_INT8] = "int8", [CEILING_READ] = "read"};
    return kind >= 0 && kind < CEILING_COUNT ? TEXTS[kind] : NULL;
}

static const kernel_field FIELDS[] = {KERNEL_TEXT(ceiling_kernel, kind, kind_text, "_")};

const kernel_kind CEILING_KERNEL = {
    .name = "ceiling",
    .file = "kernel/ceiling.c",
    .help = "what a core can do at best: multiply-adds, products of bf16 or of 8 bits, reading",
    .build = build_ceiling,
    .params_bytes = sizeof(ceiling_kernel),
    .fields = FIELDS,
    .n_fields = sizeof FIELDS / sizeof *FIELDS,
};
