// Few and long rows: a row is cut into parts of columns, which threads share.
//
//     | part 0 | part 1 | ... | part n - 1 |        NORM_READ_PARTS    a tile: mean_i and square_i of part i
//     0                                    cols     NORM_WRITE_PARTS   a tile: merges them all, then writes part i
//
// where square_i is the mean of (x - mean_i)^2, or of x^2 (rms_norm). Chan's formula (norm_online.c) merges parts of
// n_i of n values in f64:
//
//     mean = sum(n_i / n mean_i)    square = sum(n_i / n (square_i + (mean_i - mean)^2))
//
// A part is read as a row of its own, by the strategy that its own size asks for. Moments are kept in f64 and so need
// no power of two beside them, whatever the range of the part (norm.c).
//
// It takes a wait between the two kernels and, beyond the second-level cache, a second reading of x that is not needed
// where one thread does the row. Where that pays: lower/norm.c.
#include "compiler/kernel/norm/norm_parts.h"

// At least 16384 columns, 2 us of work; and not so many that merging them for each part shows (64: 3 % of writing it).
// An even number, for two threads.
enum { PART_COLS_MIN = 16384, PARTS_MAX = 64, PART_ALIGNMENT = 64 };

int64_t norm_part_count(int64_t cols)
{
    int64_t n = cols / PART_COLS_MIN / 2 * 2;
    return n < 1 ? 1 : n > PARTS_MAX ? PARTS_MAX : n;
}

typedef struct cut {
    int64_t n, cols, last; // parts, columns of each, of the last one
} cut;

// The last part has columns: the others have less than 64 each in excess of their share, which is 16384 or more.
static cut cut_row(int64_t cols)
{
    int64_t n = norm_part_count(cols), each = (cols + n - 1) / n;
    each = n > 1 ? (each + PART_ALIGNMENT - 1) / PART_ALIGNMENT * PART_ALIGNMENT : cols;
    return (cut){n, each, cols - (n - 1) * each};
}

// Moments of part i (i64) of the row whose moments begin at `row`.
static norm_moments load_moments(const norm_builder *m, value row, value i)
{
    builder *b = m->b;
    value offset = mul_i(b, i, NORM_MOMENTS_BYTES);
    return (norm_moments){.mean = m->centred ? load(b, row, offset, 0, b->f64) : (value){0},
                          .square = load(b, row, offset, 8, b->f64)};
}

// Sums of a row's parts; about `mean`, or where that is null, of the means themselves.
static value sum_parts(const norm_builder *m, cut c, value row, bool squares, value mean)
{
    builder *b = m->b;
    value sum = const_f(b, b->f64, 0);
    for (int last = 0; last < 2; last++) {
        value share = const_f(b, b->f64, (double)(last ? c.last : c.cols) / (double)m->k->cols);
        loop parts;
        loop_begin(b, &parts, const_i(b, last ? c.n - 1 : 0), const_i(b, last ? c.n : c.n - 1), 1, 1, &sum);
        norm_moments part = load_moments(m, row, parts.iv);
        value v = squares ? part.square : part.mean;
        if (squares && m->centred) {
            value d = sub_f(b, part.mean, mean);
            v = fma_(b, d, d, v);
        }
        sum = fma_(b, v, share, parts.args[0]);
        loop_end(b, &parts, &sum);
        sum = parts.results[0];
    }
    return sum;
}

static norm_moments merge_parts(const norm_builder *m, cut c, value row)
{
    value mean = m->centred ? sum_parts(m, c, row, false, (value){0}) : (value){0};
    return (norm_moments){.mean = mean, .square = sum_parts(m, c, row, true, mean)};
}

static value skip(const norm_builder *m, tensor_type t, value array, value columns)
{
    return array.ptr ? at(m->b, array, mul_i(m->b, columns, norm_element_bytes(t)), 0) : array;
}

// The tile's part, of `cols` columns, as a row of its own.
static void build_part(const norm_builder *m, int64_t cols, value column, value first, value moments,
                       const norm_scaling *s)
{
    builder *b = m->b;
    norm_kernel k = *m->k;
    k.cols = cols;
    norm_builder part = *m;
    part.k = &k;
    part.whole = norm_whole(&part);
    part.x = skip(m, k.x, m->x, first);
    part.y = skip(m, k.y, m->y, first);
    part.residual = skip(m, k.x, m->residual, first);
    part.h = skip(m, k.x, m->h, first);
    part.gamma = skip(m, k.weight, m->gamma, column);
    part.beta = skip(m, k.weight, m->beta, column);
    if (s) {
        norm_write_part(&part, s);
        return;
    }
    norm_moments found = norm_read_part(&part);
    if (m->centred) store(b, found.mean, moments, (value){0}, 0);
    store(b, found.square, moments, (value){0}, 8);
}

void norm_build_parts(const norm_builder *m)
{
    builder *b = m->b;
    cut c = cut_row(m->k->cols);
    bool writes = m->k->stage == NORM_WRITE_PARTS;
    loop tiles;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    value row = div_i(b, tiles.iv, c.n), part = rem_i(b, tiles.iv, c.n), column = mul_i(b, part, c.cols);
    value first = add(b, mul_i(b, row, m->k->cols), column),
          moments = at(b, m->moments, mul_i(b, tiles.iv, NORM_MOMENTS_BYTES), 0);
    norm_scaling s = {.scale = {0}};
    if (writes) s = norm_scale(m, merge_parts(m, c, at(b, m->moments, mul_i(b, row, NORM_MOMENTS_BYTES * c.n), 0)));
    branch full;
    if_begin(b, &full, cmp_i(b, CMP_LT, part, const_i(b, c.n - 1)), 0, NULL);
    build_part(m, c.cols, column, first, moments, writes ? &s : NULL);
    if_else(b, &full, NULL);
    build_part(m, c.last, column, first, moments, writes ? &s : NULL);
    if_end(b, &full, NULL);
    loop_end(b, &tiles, NULL);
}
