#include "compiler/kernel/linear/linear.h"

#include "compiler/kernel/linear/linear_parts.h"
#include "compiler/kernel/math.h"
#include "compiler/kernel/rows/q8.h"

int64_t linear_tile_features(const linear_kernel *k) { return k->q8_features ? 2 * PANEL_ROWS : PANEL_ROWS; }

// ---- how the work is cut

enum {
    CHUNK_BYTES = 8 * 1024,   // of a panel; with 6 rows of x about half of the first-level cache
    CHUNK_COLUMNS = 256,      // chunks are multiples of this
    BLOCK_BYTES = 256 * 1024, // of x: half of the second-level cache
    BLOCK_ROWS_MAX = 96,
    PAIR_ROWS = 3, // most rows of which two chunks are summed side by side
    PAIR_COLUMNS = 2 * CHUNK_COLUMNS,
    UNROLL = 16,                 // floats beyond a multiple of it come one by one
    ROUNDED_BYTES_MAX = 1 << 20, // of rounded rows on the stack: above it, FMA
};

typedef struct cut {
    int tiles[8], n_tiles; // rows of the register tiles, largest first, the last one 1
    int64_t chunk;         // columns that are summed before the next rows' turn
    int64_t whole;         // columns that the loops cover; the rest, fewer than UNROLL, come one by one
    int64_t block;         // rows of x whose sums are kept
} cut;

// Columns [lo, hi) of a panel: of a chunk, or of `chunks` of them, the first one's; or, where `rest` is not 0, the last
// few floats from lo on.
typedef struct span {
    value lo, hi;
    int chunks, rest;
    bool begin; // there are no sums yet
} span;

static int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

static cut choose_cut(const linear *l)
{
    const linear_kernel *k = l->k;
    cut c = {.whole = l->quant ? k->cols : k->cols / UNROLL * UNROLL};
    // 16 registers: the 12 sums in i16 of 6 rows of 4 to 6 bit weights, or the 8 in i32 of 4 rows, leave room for the
    // operands; the sums in f32 are needed once a block and lie on the stack. 32 registers: 12 rows times one vector.
    bool wide = l->b->target.lanes == 16;
    bool signed_bytes = l->quant && !k->wide && l->quant->low_bits == 8 && !l->b->target.vpdpbusd;
    int most = wide ? 12 : signed_bytes ? 4 : 6;
    static const int sizes[] = {12, 8, 6, 5, 4, 3, 2, 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int rows = sizes[i];
        if (rows <= most && (!l->quant || rows == most || rows == 8 || rows == 4 || rows <= 2))
            c.tiles[c.n_tiles++] = rows;
    }

    int64_t fitting = CHUNK_BYTES * k->cols / l->panel_bytes / CHUNK_COLUMNS * CHUNK_COLUMNS;
    if (fitting < CHUNK_COLUMNS) fitting = CHUNK_COLUMNS;
    int64_t n_chunks = (k->cols + fitting - 1) / fitting;
    c.chunk = round_up((k->cols + n_chunks - 1) / n_chunks, CHUNK_COLUMNS);

    int64_t rows = BLOCK_BYTES / l->x_bytes;
    rows = rows > BLOCK_ROWS_MAX ? BLOCK_ROWS_MAX : rows < 2 * most ? 2 * most : rows;
    c.block = rows / most * most;
    return c;
}

// ---- sums: [panel of the tile][row of the block][16] f32 on the stack

// What becomes of the sums of a register tile's columns: they begin its sums, or are added to them.
static void keep_sums(linear *l, const value *sums, int n, bool begin, value sums_at)
{
    builder *b = l->b;
    for (int i = 0; i < n; i++) {
        int64_t offset = (int64_t)i * b->target.lanes * 4;
        value sum = begin ? sums[i] : add_f(b, load(b, sums_at, (value){0}, offset, l->vf), sums[i]);
        store(b, sum, sums_at, (value){0}, offset);
    }
}

// Floats: columns [lo, hi) of a chunk, from zero on; with `chunks` of 2, as many of the next one beside them.
static void sum_float_tile(linear *l, const span *s, int rows, value x_row, value panel, value sums_at)
{
    builder *b = l->b;
    int n = rows * l->nv, bytes = (int)weight_type_file_bytes(l->weights, 1);
    int step = l->rounded || n * s->chunks <= 4 || (bytes == 2 && n == 8) ? 8 : 4;
    value sums[LOOP_MAX], next[LOOP_MAX];
    for (int i = 0; i < s->chunks * n; i++) sums[i] = const_f(b, l->vf, 0);
    loop columns;
    loop_begin(b, &columns, s->lo, s->hi, step, s->chunks * n, sums);
    // a chunk is followed by the one beside it, and that by the pair's next
    int64_t line = PANEL_ROWS * bytes;
    value ahead = columns.iv;
    if (s->chunks == 2) ahead = add(b, ahead, and_i(b, add_i(b, ahead, PREFETCH_FAR / line), CHUNK_COLUMNS));
    for (int c = 0; c < s->chunks; c++) {
        int64_t skip = c * CHUNK_COLUMNS;
        linear_prefetch(l, panel, mul_i(b, add_i(b, ahead, skip), line), step * line);
        linear_float_columns(l, rows, x_row, add_i(b, columns.iv, skip), step, panel, columns.args + c * n,
                             next + c * n);
    }
    loop_end(b, &columns, next);
    for (int c = 0; c < s->chunks; c++) keep_sums(l, columns.results + c * n, n, s->begin && !c, sums_at);
}

static void sum_quant_tile(linear *l, const span *s, int rows, value x_row, value panel, value sums_at)
{
    builder *b = l->b;
    int n = rows * l->nv, bytes = b->target.lanes * 4;
    value sums[LOOP_MAX], next[LOOP_MAX];
    for (int i = 0; i < n; i++)
        sums[i] = s->begin ? const_f(b, l->vf, 0) : load(b, sums_at, (value){0}, i * bytes, l->vf);
    loop blocks;
    loop_begin(b, &blocks, div_i(b, s->lo, QUANT_BLOCK), div_i(b, s->hi, QUANT_BLOCK), 1, n, sums);
    (l->k->wide ? linear_wide_block : linear_quant_block)(l, rows, x_row, blocks.iv, panel, blocks.args, next);
    loop_end(b, &blocks, next);
    keep_sums(l, blocks.results, n, true, sums_at);
}

// The last few columns of floats.
static void sum_rest(linear *l, const span *s, int rows, value x_row, value panel, value sums_at)
{
    builder *b = l->b;
    int n = rows * l->nv;
    value sums[LOOP_MAX], next[LOOP_MAX];
    for (int i = 0; i < n; i++) sums[i] = load(b, sums_at, (value){0}, i * b->target.lanes * 4, l->vf);
    linear_float_columns(l, rows, x_row, s->lo, s->rest, panel, sums, next);
    keep_sums(l, next, n, true, sums_at);
}

// All rows of a block over some columns, in register tiles of falling size, of at most `most` rows.
static void sum_rows(linear *l, const cut *c, const span *s, int most, value x, value n_rows, value panel, value sums)
{
    builder *b = l->b;
    value row = const_i(b, 0);
    for (int t = 0; t < c->n_tiles; t++) {
        int rows = c->tiles[t];
        if (rows > most) continue;
        value end = n_rows;
        if (rows > 1) {
            value all = sub(b, n_rows, row), left = rem_i(b, all, rows), one_less = {0};
            end = sub(b, n_rows, left);
            // 8 rows are faster as 4 and 4 than as 6 and 2; of floats, which have few sums in flight, 7 as 4 and 3
            if (rows == 6) one_less = cmp_i(b, CMP_EQ, left, const_i(b, 2));
            if (!l->quant && rows >= 6) {
                value one = cmp_i(b, CMP_EQ, left, const_i(b, 1)), two = cmp_i(b, CMP_EQ, left, const_i(b, 2));
                one_less = or_(b, one, two);
            }
            if (one_less.ptr) end = select_(b, one_less, max_s(b, row, add_i(b, end, -rows)), end);
            if (rows == 5) end = select_(b, cmp_i(b, CMP_EQ, all, const_i(b, 5)), n_rows, row);
        }
        loop tiles;
        loop_begin(b, &tiles, row, end, rows, 0, NULL);
        value x_row = at(b, x, mul_i(b, tiles.iv, l->x_bytes), 0);
        (l->quant  ? sum_quant_tile
         : s->rest ? sum_rest
                   : sum_float_tile)(l, s, rows, x_row, panel, at(b, sums, mul_i(b, tiles.iv, PANEL_ROWS * 4), 0));
        loop_end(b, &tiles, NULL);
        row = end;
    }
}

// The products of a block of rows with one panel.
static void sum_panel(linear *l, const cut *c, value x, value n_rows, value panel, value sums)
{
    builder *b = l->b;
    int most = c->tiles[0];
    value zero = const_i(b, 0), whole = const_i(b, c->whole);
    span s = {.lo = zero, .hi = whole, .chunks = 1, .begin = c->whole && c->chunk >= c->whole};
    if (!s.begin) {
        loop rows;
        loop_begin(b, &rows, zero, n_rows, 1, 0, NULL);
        for (int v = 0; v < l->nv; v++)
            store(b, const_f(b, l->vf, 0), sums, mul_i(b, rows.iv, PANEL_ROWS * 4), v * b->target.lanes * 4);
        loop_end(b, &rows, NULL);
    }
    if (s.begin) {
        sum_rows(l, c, &s, most, x, n_rows, panel, sums);
    } else if (c->whole) {
        value first = zero;
        loop parts;
        if (!l->quant && c->whole >= PAIR_COLUMNS) {
            first = select_(b, cmp_i(b, CMP_LE, n_rows, const_i(b, PAIR_ROWS)),
                            const_i(b, c->whole / PAIR_COLUMNS * PAIR_COLUMNS), zero);
            loop_begin(b, &parts, zero, first, PAIR_COLUMNS, 0, NULL);
            span pair = {.lo = parts.iv, .hi = add_i(b, parts.iv, CHUNK_COLUMNS), .chunks = 2};
            sum_rows(l, c, &pair, PAIR_ROWS, x, n_rows, panel, sums);
            loop_end(b, &parts, NULL);
        }
        loop_begin(b, &parts, first, whole, c->chunk, 0, NULL);
        s.lo = parts.iv;
        s.hi = min_s(b, add_i(b, parts.iv, c->chunk), whole);
        sum_rows(l, c, &s, most, x, n_rows, panel, sums);
        loop_end(b, &parts, NULL);
    }
    span rest = {.lo = whole, .rest = (int)(l->k->cols - c->whole)};
    if (rest.rest) sum_rows(l, c, &rest, most, x, n_rows, panel, sums);
}

// ---- what becomes of the sums: one row

// Stores the first `tail` lanes of a panel's vectors one by one.
static void store_tail(linear *l, const value *sums, value p)
{
    builder *b = l->b;
    for (int lane = 0; lane < l->k->tail; lane++)
        store(b, extract(b, sums[lane / b->target.lanes], lane % b->target.lanes), p, (value){0}, lane * 4);
}

static void store_row(linear *l, value row, value tile, value *sums)
{
    builder *b = l->b;
    int n = b->target.lanes;
    value feature = mul_i(b, tile, PANEL_ROWS * 4), offset = add(b, mul_i(b, mul(b, row, l->stride), 4), feature);
    for (int v = 0; v < l->nv; v++) {
        if (l->k->bias) sums[v] = add_f(b, sums[v], load(b, l->bias, feature, v * n * 4, l->vf));
        if (l->k->residual && !l->k->tail) sums[v] = add_f(b, sums[v], load(b, l->residual, offset, v * n * 4, l->vf));
    }
    if (!l->k->tail) {
        for (int v = 0; v < l->nv; v++) store(b, sums[v], l->y, offset, v * n * 4);
        return;
    }
    // the last panel may be narrower: nothing is read or written beyond its end
    branch last;
    if_begin(b, &last, cmp_i(b, CMP_EQ, add_i(b, tile, 1), l->n_tiles), 0, NULL);
    value kept[MAX_VECTORS];
    for (int v = 0; v < l->nv; v++) kept[v] = sums[v];
    for (int lane = 0; lane < l->k->tail && l->k->residual; lane++) {
        value *sum = &kept[lane / n];
        value r = load(b, l->residual, offset, lane * 4, b->f32);
        *sum = insert(b, add_f(b, extract(b, *sum, lane % n), r), *sum, lane % n);
    }
    store_tail(l, kept, at(b, l->y, offset, 0));
    if_else(b, &last, NULL);
    for (int v = 0; v < l->nv; v++) {
        value sum = sums[v];
        if (l->k->residual) sum = add_f(b, sum, load(b, l->residual, offset, v * n * 4, l->vf));
        store(b, sum, l->y, offset, v * n * 4);
    }
    if_end(b, &last, NULL);
}

// sums: gate and up; with q8 output another such pair
static void store_swiglu_row(linear *l, value row, value tile, const value *sums)
{
    builder *b = l->b;
    int n = b->target.lanes, pairs = l->k->q8_features ? 2 : 1;
    value out[2 * MAX_VECTORS];
    for (int p = 0; p < pairs; p++)
        for (int v = 0; v < l->nv; v++) {
            value gate = sums[2 * p * l->nv + v], up = sums[(2 * p + 1) * l->nv + v];
            out[p * l->nv + v] = mul_f(b, l->k->gelu ? math_gelu_tanh(b, gate) : math_silu(b, gate), up);
        }
    if (l->k->q8_features) {
        value y_row = at(b, l->y, mul_i(b, row, q8_row_bytes(l->k->q8_features)), 0);
        q8_store_block(b, out, y_row, tile, l->k->q8_features);
        return;
    }
    value offset = add(b, mul_i(b, mul(b, row, l->stride), 4), mul_i(b, tile, PANEL_ROWS * 4));
    for (int v = 0; v < l->nv; v++) store(b, out[v], l->y, offset, v * n * 4);
}

// ---- the kernel

static int panels_of_tile(const linear_kernel *k) { return k->swiglu ? (k->q8_features ? 4 : 2) : 1; }

// One tile for rows first .. first + n_rows - 1, which begin at x.
static void build_tile(linear *l, const cut *c, value tile, value first, value n_rows, value x, value sums)
{
    builder *b = l->b;
    int n = b->target.lanes, n_panels = panels_of_tile(l->k);
    int64_t panel_sums = c->block * PANEL_ROWS * 4;
    value w = at(b, l->w, mul_i(b, tile, n_panels * l->panel_bytes), 0);
    loop panels, rows;
    loop_begin(b, &panels, const_i(b, 0), const_i(b, n_panels), 1, 0, NULL);
    sum_panel(l, c, x, n_rows, at(b, w, mul_i(b, panels.iv, l->panel_bytes), 0),
              at(b, sums, mul_i(b, panels.iv, panel_sums), 0));
    loop_end(b, &panels, NULL);
    loop_begin(b, &rows, const_i(b, 0), n_rows, 1, 0, NULL);
    value row_sums[4 * MAX_VECTORS], row = add(b, first, rows.iv);
    for (int p = 0; p < n_panels; p++)
        for (int v = 0; v < l->nv; v++)
            row_sums[p * l->nv + v] =
                load(b, sums, mul_i(b, rows.iv, PANEL_ROWS * 4), p * panel_sums + v * n * 4, l->vf);
    if (l->k->swiglu)
        store_swiglu_row(l, row, tile, row_sums);
    else
        store_row(l, row, tile, row_sums);
    loop_end(b, &rows, NULL);
}

// All rows; `rounded` has room for a block of them where they are to be rounded.
static void build_rows(linear *l, const cut *c, value n_rows, value sums, value rounded)
{
    builder *b = l->b;
    int64_t x_bytes = l->x_bytes;
    loop blocks, tiles;
    loop_begin(b, &blocks, const_i(b, 0), n_rows, c->block, 0, NULL);
    value n = min_s(b, sub(b, n_rows, blocks.iv), const_i(b, c->block)),
          x = at(b, l->x, mul_i(b, blocks.iv, x_bytes), 0);
    l->rounded = rounded.ptr;
    if (l->rounded) {
        linear_round_rows(l, x, n, rounded);
        x = rounded;
        l->x_bytes = linear_rounded_bytes(l->k->cols);
    }
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    build_tile(l, c, tiles.iv, blocks.iv, n, x, sums);
    loop_end(b, &tiles, NULL);
    loop_end(b, &blocks, NULL);
    l->x_bytes = x_bytes;
    l->rounded = false;
}

static void build(linear *l)
{
    builder *b = l->b;
    const linear_kernel *k = l->k;
    l->x = operand(b, 0);
    l->w = operand(b, 1);
    l->y = operand(b, 2);
    if (k->bias) l->bias = operand(b, 3);
    if (k->residual) l->residual = operand(b, k->bias ? 4 : 3);
    value n_rows = dim(b, 0);
    l->stride = dim(b, 1);
    if (k->tail) l->n_tiles = dim(b, 2);

    cut c = choose_cut(l);
    int64_t rounded_bytes = c.block * linear_rounded_bytes(k->cols);
    bool rounds =
        l->weights->activation == ACTIVATION_BF16 && b->target.vdpbf16ps && rounded_bytes <= ROUNDED_BYTES_MAX;
    value sums = scratch(b, panels_of_tile(k) * c.block * PANEL_ROWS * 4), rounded = {0};
    if (rounds) rounded = scratch(b, rounded_bytes);
    build_rows(l, &c, n_rows, sums, rounded);
}

static void build_linear(builder *b, const void *params, const char *name)
{
    const linear_kernel *k = params;
    kernel_target target = b->target;
    const weight_type *weights = weight_type_in(k->layout);
    const quant_format *quant = layout_quant(k->layout);
    // AVX-512 without VNNI has no vpsignb; its quantised kernels are those of AVX2
    if (quant && !k->wide && !target.vpdpbusd) b->target.lanes = 8;
    size_t panel_bytes = 0;
    layout_panel_bytes(k->layout, k->cols, &panel_bytes);
    linear l = {.b = b,
                .k = k,
                .weights = weights,
                .quant = quant,
                .nv = PANEL_ROWS / b->target.lanes,
                .vf = vec(b, b->target.lanes, b->f32),
                .x_bytes = weights->activation == ACTIVATION_Q8 && !k->wide ? q8_row_bytes(k->cols) : 4 * k->cols,
                .panel_bytes = (int64_t)panel_bytes};
    kernel_begin(b, name);
    build(&l);
    kernel_end(b);
    b->target = target;
}

static const kernel_field FIELDS[] = {
    KERNEL_TEXT(linear_kernel, layout, linear_layout_text, "_"),
    KERNEL_FIELD(linear_kernel, cols, FIELD_INT, "_"),
    KERNEL_FIELD(linear_kernel, bias, FIELD_BOOL, "_bias"),
    KERNEL_FIELD(linear_kernel, residual, FIELD_BOOL, "_residual"),
    KERNEL_FIELD(linear_kernel, swiglu, FIELD_BOOL, "_swiglu"),
    KERNEL_FIELD(linear_kernel, gelu, FIELD_BOOL, "_gelu"),
    KERNEL_FIELD(linear_kernel, q8_features, FIELD_INT, "_q8_"),
    KERNEL_FIELD(linear_kernel, tail, FIELD_INT, "_tail"),
    KERNEL_FIELD(linear_kernel, wide, FIELD_BOOL, "_wide"),
};

const kernel_kind LINEAR_KERNEL = {
    .name = "linear",
    .file = "kernel/linear/linear.c",
    .help = "x W^T [+ bias] [+ residual], or silu(x W0^T) * (x W1^T), by panels of 16 features",
    .build = build_linear,
    .params_bytes = sizeof(linear_kernel),
    .fields = FIELDS,
    .n_fields = sizeof FIELDS / sizeof *FIELDS,
};
