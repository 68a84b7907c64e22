// The kernel around the statistics: rows, results, and rows whose squares leave the range of f32.
//
// A row is read for its sums, then read again to be written; in between stand a reduction over lanes, a root and a
// division. While one row is written the next is read for its sums in the same loop, so that memory is busy throughout:
// a fifth of the time at [1024, 1536] and [512, 576] f32 (docs/norms.md). Rows beyond the cache gain nothing by it.
//
//     sums(row 0)
//     for each row: factors(row);  write(row) with sums(row + 1)
//
// What is written is (x * factor - mean) * scale: factor is a power of two, and 1 for nearly all rows. Squares overflow
// beyond 2^64 and lose bits below 2^-63; then the statistics are taken again on x * 2^-70 or x * 2^98 (two constants
// suffice, as in J. L. Blue's norm, ACM TOMS 4, 1978; see wide_range).
//
// Cost: 3 (rms_norm) or 5 (layer_norm) operations a value; bytes: x read, y written once where rows fit in the cache.
// Few and long rows are shared out over threads in parts: norm_split.c.
#include "compiler/kernel/norm/norm.h"

#include <math.h>
#include <string.h>

#include "compiler/kernel/norm/norm_parts.h"
#include "compiler/kernel/rows/q8.h"

// Rows of more f32 bytes (the second-level cache of most CPUs) are read by the online form, and not pipelined. Measured
// on Zen 3, layer_norm of random rows, online time over two-pass time: 1.46 at 64 KiB, 1.31 at 256 KiB and 512 KiB,
// 0.97 at 1 MiB, 1.00 at 16 MiB. So online loses nothing once the cache is left, and wins where a bad guess makes the
// two-pass form read a third time: 0.80 at 16 MiB, on rows that drift.
enum { TWO_PASS_BYTES = 512 * 1024 };

static bool fits_cache(const norm_builder *m) { return m->k->cols * (m->k->x == TENSOR_F64 ? 8 : 4) <= TWO_PASS_BYTES; }

static bool is_online(const norm_builder *m)
{
    if (!m->centred) return false;
    if (m->k->strategy != NORM_BY_SIZE) return m->k->strategy == NORM_ONLINE;
    return !fits_cache(m);
}

static bool is_pipelined(const norm_builder *m) { return !is_online(m) && fits_cache(m); }

// ---- statistics to factors

static norm_moments moments(const norm_builder *m, const norm_row *row, norm_sums sums, value eps)
{
    if (!m->centred)
        return (norm_moments){.square = mul_f(m->b, sums.q, const_f(m->b, m->b->f64, 1.0 / (double)m->k->cols))};
    return is_online(m) ? norm_online(m, row) : norm_two_pass(m, row, sums, eps);
}

// f64 statistics to factors of type f.
static norm_scaling finish(const norm_builder *m, norm_moments s, value eps)
{
    builder *b = m->b;
    value zero = const_f(b, b->f64, 0);
    // rounding may leave a variance of nearly 0 below 0; a NaN stays
    value square = m->centred ? select_(b, cmp_f(b, CMP_LT, s.square, zero), zero, s.square) : s.square;
    value scale = div_f(b, const_f(b, b->f64, 1), sqrt_f(b, add_f(b, square, eps)));
    norm_scaling f = {.scale = norm_narrow(m, scale)};
    if (!m->centred) return f;
    f.mean = norm_narrow(m, s.mean);
    value rest = sub_f(b, s.mean, norm_wide(m, f.mean));
    f.shift = norm_narrow(m, neg_f(b, mul_f(b, rest, scale)));
    value near = neg_f(b, mul_f(b, s.mean, scale));
    value is_near = cmp_f(b, CMP_LE, mul_f(b, s.mean, s.mean), mul_f(b, square, const_f(b, b->f64, 16)));
    f.near = norm_narrow(m, select_(b, is_near, near, const_f(b, b->f64, NAN)));
    return f;
}

// ---- reading and writing rows

typedef struct row_pass {
    const norm_row *next; // to sum up, or NULL
    value pivot;          // of next
    value row, y;         // to write, where `scaling` is not NULL: the row (h where there is one) and its result
    const norm_scaling *scaling;
} row_pass;

// `count` vectors of results, in place of the values in v.
static void normalise(const norm_builder *m, const row_pass *pass, value column, int64_t constant, int width, int count,
                      value *v)
{
    builder *b = m->b;
    const norm_kernel *k = m->k;
    const norm_scaling *s = pass->scaling;
    value gamma[NORM_CHAINS], beta[NORM_CHAINS], scale = splat(b, s->scale, width);
    if (k->gamma) norm_load(m, k->weight, m->gamma, column, constant, width, count, gamma);
    if (k->beta) norm_load(m, k->weight, m->beta, column, constant, width, count, beta);
    for (int c = 0; c < count; c++) {
        if (m->centred && !s->mean.ptr) {
            v[c] = fma_(b, v[c], scale, splat(b, s->near, width));
        } else if (m->centred) {
            value mean = splat(b, s->mean, width);
            v[c] = s->factor.ptr ? fma_(b, v[c], splat(b, s->factor, width), neg_f(b, mean)) : sub_f(b, v[c], mean);
            v[c] = fma_(b, v[c], scale, splat(b, s->shift, width));
        } else {
            if (s->factor.ptr) v[c] = mul_f(b, v[c], splat(b, s->factor, width));
            v[c] = mul_f(b, v[c], scale);
        }
        if (k->round_before_gamma) v[c] = norm_round(m, k->x, v[c]);
        if (k->gamma && k->plus_one) gamma[c] = add_f(b, gamma[c], const_f(b, mlirValueGetType(gamma[c]), 1));
        if (k->gamma) v[c] = k->beta ? fma_(b, v[c], gamma[c], beta[c]) : mul_f(b, v[c], gamma[c]);
        if (!k->gamma && k->beta) v[c] = add_f(b, v[c], beta[c]);
    }
}

static void sum_up(const norm_builder *m, const row_pass *pass, value column, int64_t constant, int width, int count,
                   value *sums)
{
    value v[NORM_CHAINS];
    norm_load_row(m, pass->next, column, constant, width, count, v);
    if (m->centred) {
        norm_add_centred(m, v, count, pass->pivot, sums);
        return;
    }
    for (int c = 0; c < count; c++) {
        v[c] = norm_widen(m, v[c]);
        sums[c] = fma_(m->b, v[c], v[c], sums[c]);
    }
}

static void visit_row(const norm_builder *m, void *context, value column, int64_t constant, int width, int count,
                      value *sums)
{
    const row_pass *pass = context;
    builder *b = m->b;
    if (pass->next) sum_up(m, pass, column, constant, width, count, sums);
    if (!pass->scaling) return;
    value v[NORM_CHAINS];
    norm_load(m, m->k->x, pass->row, column, constant, width, count, v);
    normalise(m, pass, column, constant, width, count, v);
    if (!m->k->out_q8) {
        norm_store(m, m->k->y, v, pass->y, column, constant, count);
        return;
    }
    for (int c = 0; c < count; c += Q8_BLOCK / width) {
        value first = column.ptr ? add_i(b, column, constant + c * width) : const_i(b, constant + c * width);
        q8_store_block(b, v + c, pass->y, div_i(b, first, Q8_BLOCK), m->k->cols);
    }
}

// The sums of `next` about `pivot` (layer_norm), where it is not NULL, while `row` is written, where `s` is not NULL.
static norm_sums pass_row(const norm_builder *m, const norm_row *next, value pivot, const norm_scaling *s, value row)
{
    builder *b = m->b;
    row_pass pass = {.next = next, .pivot = pivot, .scaling = s};
    if (s) {
        pass.row = norm_row_at(m, m->k->x, m->k->residual ? m->h : m->x, row);
        pass.y =
            m->k->out_q8 ? at(b, m->y, mul_i(b, row, q8_row_bytes(m->k->cols)), 0) : norm_row_at(m, m->k->y, m->y, row);
    }
    value totals[2] = {{0}};
    norm_for_row(m, visit_row, &pass, next ? m->centred ? 2 : 1 : 0, totals);
    if (!m->centred) return (norm_sums){.q = totals[0]};
    return (norm_sums){.s = totals[0], .q = totals[1], .pivot = pass.pivot};
}

static value pivot_of(const norm_builder *m, const norm_row *row)
{
    return m->centred ? norm_pivot(m, row) : (value){0};
}

static norm_row row_at(const norm_builder *m, value row)
{
    return (norm_row){.x = norm_row_at(m, m->k->x, m->x, row),
                      .residual = norm_row_at(m, m->k->x, m->residual, row),
                      .h = norm_row_at(m, m->k->x, m->h, row)};
}

// The row once it has been read: h in place of x + residual.
static norm_row row_read(const norm_builder *m, value row)
{
    return (norm_row){.x = norm_row_at(m, m->k->x, m->k->residual ? m->h : m->x, row)};
}

// ---- range

static const double TOO_SMALL = 0x1p-100;

// f16 has no values whose squares leave the range of f32. f64 rows beyond 1e150 give inf and NaN, as plain arithmetic
// does.
static bool may_leave_range(const norm_builder *m) { return m->k->x != TENSOR_F16 && m->k->x != TENSOR_F64; }

// 1: the row is fine. Else the power of two that brings it into range, as the mean square shows:
// - not finite: some |x| is above 2^59 (2^24 columns), and 2^-70 brings the largest between 2^-11 and 2^58, or, less a
//   mean, 2^59. Sums of NORM_STEPS * NORM_CHAINS squares stay below 2^126.
// - below 2^-100, unless eps drowns that: all |x| are below 2^-38, and 2^98 brings those that are not 0 between 2^-51
// and
//   2^60; all their squares are normal. With a mean above 2^-10 so small a variance is that of a constant row.
static value wide_range(const norm_builder *m, norm_moments s)
{
    builder *b = m->b;
    value one = const_f(b, b->f32, 1);
    value finite = cmp_f(b, CMP_LE, s.square, const_f(b, b->f64, 0x1p200));
    value factor = select_(b, finite, one, const_f(b, b->f32, 0x1p-70));
    if (m->k->eps >= TOO_SMALL) return factor;
    value small = cmp_f(b, CMP_LT, s.square, const_f(b, b->f64, TOO_SMALL));
    if (m->centred) {
        value near = const_f(b, b->f64, 0x1p-10);
        small = and_(b, small, cmp_f(b, CMP_LT, abs_f(b, s.mean), near));
    }
    return select_(b, small, const_f(b, b->f32, 0x1p98), factor);
}

// The moments of the row, times `factor`, with the eps to go with them.
typedef struct ranged {
    norm_moments moments;
    value factor, eps; // factor: null where it is always 1
} ranged;

static ranged row_moments(const norm_builder *m, const norm_row *row, value row_number, norm_sums sums)
{
    builder *b = m->b;
    value eps = const_f(b, b->f64, m->k->eps);
    norm_moments s = moments(m, row, sums, eps);
    if (!may_leave_range(m)) return (ranged){.moments = s, .eps = eps};
    value factor = wide_range(m, s), mean = m->centred ? s.mean : eps; // rms_norm has no mean: any f64 will do
    type types[] = {b->f64, b->f64, b->f64};
    branch again;
    if_begin(b, &again, cmp_f(b, CMP_NE, factor, const_f(b, b->f32, 1)), 3, types);
    norm_row scaled = row_read(m, row_number);
    scaled.factor = factor;
    value f = ext_f(b, factor, b->f64), scaled_eps = mul_f(b, mul_f(b, eps, f), f);
    norm_sums scaled_sums = is_online(m) ? sums : pass_row(m, &scaled, pivot_of(m, &scaled), NULL, row_number);
    norm_moments t = moments(m, &scaled, scaled_sums, scaled_eps);
    if_else(b, &again, (value[]){m->centred ? t.mean : mean, t.square, scaled_eps});
    if_end(b, &again, (value[]){mean, s.square, eps});
    const value *r = again.results;
    return (ranged){.moments = {.mean = r[0], .square = r[1]}, .factor = factor, .eps = r[2]};
}

static norm_scaling row_scaling(const norm_builder *m, const norm_row *row, value row_number, norm_sums sums)
{
    ranged r = row_moments(m, row, row_number, sums);
    norm_scaling s = finish(m, r.moments, r.eps);
    s.factor = r.factor;
    return s;
}

// The first reading of a row, which writes its h; none where norm_online will read it.
static norm_sums first_sums(const norm_builder *m, const norm_row *row, value row_number)
{
    return is_online(m) ? (norm_sums){.q = {0}} : pass_row(m, row, pivot_of(m, row), NULL, row_number);
}

// ---- parts of rows (norm_split.c)

norm_moments norm_read_part(const norm_builder *m)
{
    builder *b = m->b;
    value zero = const_i(b, 0);
    norm_row row = row_at(m, zero), again = row_read(m, zero);
    norm_sums sums = first_sums(m, &row, zero);
    ranged r = row_moments(m, is_online(m) ? &row : &again, zero, sums);
    if (!r.factor.ptr) return r.moments;
    value back = div_f(b, const_f(b, b->f64, 1), ext_f(b, r.factor, b->f64)); // exact: a power of two
    norm_moments s = {.square = mul_f(b, mul_f(b, r.moments.square, back), back)};
    if (m->centred) s.mean = mul_f(b, r.moments.mean, back);
    return s;
}

norm_scaling norm_scale(const norm_builder *m, norm_moments s)
{
    builder *b = m->b;
    value eps = const_f(b, b->f64, m->k->eps);
    if (!may_leave_range(m)) return finish(m, s, eps);
    value factor = wide_range(m, s), f = ext_f(b, factor, b->f64);
    norm_moments scaled = {.square = mul_f(b, mul_f(b, s.square, f), f)};
    if (m->centred) scaled.mean = mul_f(b, s.mean, f);
    norm_scaling result = finish(m, scaled, mul_f(b, mul_f(b, eps, f), f));
    result.factor = factor;
    return result;
}

void norm_write_part(const norm_builder *m, const norm_scaling *s)
{
    pass_row(m, NULL, (value){0}, s, const_i(m->b, 0));
}

// ---- the kernel

static void build_rows(const norm_builder *m)
{
    builder *b = m->b;
    loop rows;
    loop_begin(b, &rows, b->begin, b->end, 1, 0, NULL);
    norm_row row = row_at(m, rows.iv), again = row_read(m, rows.iv);
    norm_sums sums = first_sums(m, &row, rows.iv);
    norm_scaling s = row_scaling(m, is_online(m) ? &row : &again, rows.iv, sums);
    pass_row(m, NULL, (value){0}, &s, rows.iv);
    loop_end(b, &rows, NULL);
}

// Harmless ones, where there is no row.
static norm_sums no_sums(const norm_builder *m)
{
    builder *b = m->b;
    norm_sums sums = {.q = const_f(b, b->f64, (double)m->k->cols)};
    if (m->centred) sums.s = const_f(b, b->f64, 0), sums.pivot = const_f(b, m->f, 0);
    return sums;
}

// Writes row `number` and sums up the row `after`, where there are such rows.
static norm_sums write_and_sum(const norm_builder *m, value number, const norm_scaling *s, value after, value pivot)
{
    builder *b = m->b;
    value is_row = cmp_i(b, CMP_GE, number, b->begin), is_after = cmp_i(b, CMP_LT, after, b->end);
    value fused = and_(b, is_row, is_after);
    if (s->factor.ptr) fused = and_(b, fused, cmp_f(b, CMP_EQ, s->factor, const_f(b, b->f32, 1)));
    if (m->centred) fused = and_(b, fused, cmp_f(b, CMP_EQ, s->near, s->near));
    norm_row after_row = row_at(m, after);
    type types[] = {b->f64, b->f64, m->f};
    int n = m->centred ? 3 : 1;
    branch usual, alone, more;
    if_begin(b, &usual, fused, n, types);
    norm_scaling plain = *s;
    plain.factor = plain.mean = (value){0};
    norm_sums sums = pass_row(m, &after_row, pivot, &plain, number);
    if_else(b, &usual, (value[]){sums.q, sums.s, sums.pivot});
    if_begin(b, &alone, is_row, 0, NULL);
    pass_row(m, NULL, (value){0}, s, number);
    if_end(b, &alone, NULL);
    if_begin(b, &more, is_after, n, types);
    sums = pass_row(m, &after_row, pivot, NULL, number);
    if_else(b, &more, (value[]){sums.q, sums.s, sums.pivot});
    sums = no_sums(m);
    if_end(b, &more, (value[]){sums.q, sums.s, sums.pivot});
    if_end(b, &usual, more.results);
    return m->centred ? (norm_sums){usual.results[0], usual.results[1], usual.results[2]}
                      : (norm_sums){.q = usual.results[0]};
}

// Round r writes row r and sums up row r + 1; the first one writes nothing, the last one sums up nothing. The rounds
// carry the sums of row r, and the pivot of row r + 1, which is taken a round early so that its sums need not wait.
static void build_pipelined_rows(const norm_builder *m)
{
    builder *b = m->b;
    int n = m->centred ? 4 : 1;
    branch any;
    if_begin(b, &any, cmp_i(b, CMP_LT, b->begin, b->end), 0, NULL);
    norm_row first = row_at(m, b->begin);
    norm_sums sums = no_sums(m);
    value pivot = pivot_of(m, &first), last = add_i(b, b->end, -1);
    loop rounds;
    loop_begin(b, &rounds, add_i(b, b->begin, -1), b->end, 1, n, (value[]){sums.q, sums.s, sums.pivot, pivot});
    const value *carried = rounds.args;
    sums =
        m->centred ? (norm_sums){.q = carried[0], .s = carried[1], .pivot = carried[2]} : (norm_sums){.q = carried[0]};
    value after = add_i(b, rounds.iv, 1);
    norm_row row = row_read(m, rounds.iv), later = row_at(m, min_s(b, add_i(b, after, 1), last));
    norm_scaling s = row_scaling(m, &row, rounds.iv, sums);
    value later_pivot = pivot_of(m, &later);
    sums = write_and_sum(m, rounds.iv, &s, after, m->centred ? carried[3] : (value){0});
    loop_end(b, &rounds, (value[]){sums.q, sums.s, sums.pivot, later_pivot});
    if_end(b, &any, NULL);
}

static void build(builder *b, const norm_kernel *k, const char *name, bool centred)
{
    kernel_begin(b, name);
    int next = 0;
    bool wide = k->x == TENSOR_F64;
    norm_builder m = {.b = b, .k = k, .centred = centred, .f = wide ? b->f64 : b->f32};
    m.n = b->target.lanes / (wide ? 2 : 1);
    m.whole = norm_whole(&m);
    m.paired = !k->out_q8 && (k->x == TENSOR_BF16 || k->y == TENSOR_BF16);
    m.plain_nans = k->x == TENSOR_BF16 && (k->weight == TENSOR_BF16 || !(k->gamma || k->beta));
    m.vf = vec(b, m.n, m.f);
    m.vd = vec(b, m.n, b->f64);
    m.x = operand(b, next++);
    if (k->stage != NORM_READ_PARTS) m.y = operand(b, next++);
    if (k->stage != NORM_ROWS) m.moments = operand(b, next++);
    if (k->gamma && m.y.ptr) m.gamma = operand(b, next++);
    if (k->beta && m.y.ptr) m.beta = operand(b, next++);
    if (k->residual) m.residual = operand(b, next++);
    if (k->residual) m.h = operand(b, next++);
    if (k->stage != NORM_ROWS)
        norm_build_parts(&m);
    else if (is_pipelined(&m))
        build_pipelined_rows(&m);
    else
        build_rows(&m);
    kernel_end(b);
}

static void build_rms_norm(builder *b, const void *params, const char *name) { build(b, params, name, false); }

static void build_layer_norm(builder *b, const void *params, const char *name) { build(b, params, name, true); }

// ---- the kinds

static const char *type_text(int tensor)
{
    static const char *const TEXTS[] = {
        [TENSOR_F32] = "f32", [TENSOR_F16] = "f16", [TENSOR_BF16] = "bf16", [TENSOR_F64] = "f64"};
    return (size_t)tensor < sizeof TEXTS / sizeof *TEXTS ? TEXTS[tensor] : NULL;
}

static const char *strategy_text(int strategy)
{
    static const char *const TEXTS[] = {[NORM_BY_SIZE] = "", [NORM_TWO_PASS] = "_two_pass", [NORM_ONLINE] = "_online"};
    return (size_t)strategy < sizeof TEXTS / sizeof *TEXTS ? TEXTS[strategy] : NULL;
}

static const char *stage_text(int stage)
{
    static const char *const TEXTS[] = {
        [NORM_ROWS] = "", [NORM_READ_PARTS] = "_read_parts", [NORM_WRITE_PARTS] = "_write_parts"};
    return (size_t)stage < sizeof TEXTS / sizeof *TEXTS ? TEXTS[stage] : NULL;
}

static const kernel_field FIELDS[] = {
    KERNEL_FIELD(norm_kernel, cols, FIELD_INT, "_"),
    KERNEL_FIELD(norm_kernel, eps, FIELD_F64, "_eps"),
    KERNEL_TEXT(norm_kernel, x, type_text, "_"),
    KERNEL_TEXT(norm_kernel, y, type_text, "_"),
    KERNEL_FIELD(norm_kernel, out_q8, FIELD_BOOL, "_q8"),
    KERNEL_FIELD(norm_kernel, residual, FIELD_BOOL, "_residual"),
    KERNEL_FIELD(norm_kernel, round_before_gamma, FIELD_BOOL, "_rounded"),
    KERNEL_FIELD(norm_kernel, gamma, FIELD_BOOL, "_gamma"),
    KERNEL_FIELD(norm_kernel, plus_one, FIELD_BOOL, "_plus_one"),
    KERNEL_FIELD(norm_kernel, beta, FIELD_BOOL, "_beta"),
    KERNEL_TEXT(norm_kernel, weight, type_text, "_"),
    KERNEL_TEXT(norm_kernel, strategy, strategy_text, ""),
    KERNEL_TEXT(norm_kernel, stage, stage_text, ""),
};

const kernel_kind RMS_NORM_KERNEL = {
    .name = "rms_norm",
    .file = "kernel/norm/norm.c",
    .help = "RMSNorm of rows, [+ residual] [* gamma], to floats or 8-bit blocks",
    .build = build_rms_norm,
    .params_bytes = sizeof(norm_kernel),
    .fields = FIELDS,
    .n_fields = sizeof FIELDS / sizeof *FIELDS,
};

const kernel_kind LAYER_NORM_KERNEL = {
    .name = "layer_norm",
    .file = "kernel/norm/norm.c",
    .help = "LayerNorm of rows, [+ residual] [* gamma] [+ beta], two-pass or online",
    .build = build_layer_norm,
    .params_bytes = sizeof(norm_kernel),
    .fields = FIELDS,
    .n_fields = sizeof FIELDS / sizeof *FIELDS,
};
