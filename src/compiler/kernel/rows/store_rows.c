#include "compiler/kernel/rows/store_rows.h"

// Copies a row, by vectors and what is left of them.
static void copy_row(builder *b, int64_t row_bytes, value from, value to)
{
    int64_t width = 4 * b->target.lanes, whole = row_bytes / width * width;
    type bytes = vec(b, (int)width, b->i8);
    loop l;
    loop_begin(b, &l, const_i(b, 0), const_i(b, whole), width, 0, NULL);
    store(b, load(b, from, l.iv, 0, bytes), to, l.iv, 0);
    loop_end(b, &l, NULL);
    for (int64_t done = whole; done < row_bytes; done += width) {
        while (width > row_bytes - done) width /= 2;
        store(b, load(b, from, (value){0}, done, vec(b, (int)width, b->i8)), to, (value){0}, done);
    }
}

static value load_place(builder *b, const store_rows_kernel *k, value places, value index)
{
    if (k->wide) return load(b, places, mul_i(b, index, 8), 0, b->i64);
    return ext_s(b, load(b, places, mul_i(b, index, 4), 0, b->i32), b->i64);
}

static void build_store_rows(builder *b, const void *params, const char *name)
{
    const store_rows_kernel *k = params;
    kernel_begin(b, name);
    value rows = operand(b, 0), places = operand(b, 1), y = operand(b, 2), fault = operand(b, 3);
    value n_rows = dim(b, 0), n = dim(b, 1), lead_places = dim(b, 2), broken = dim(b, 3);
    loop tiles, l;
    branch fits;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    loop_begin(b, &l, const_i(b, 0), n_rows, 1, 0, NULL);
    value place = load_place(b, k, places, add(b, mul(b, tiles.iv, lead_places), l.iv));
    value inside = and_(b, cmp_i(b, CMP_GE, place, const_i(b, 0)), cmp_i(b, CMP_LT, place, n));
    if_begin(b, &fits, inside, 0, NULL);
    value from = mul_i(b, add(b, mul(b, tiles.iv, n_rows), l.iv), k->row_bytes);
    value to = mul_i(b, add(b, mul(b, tiles.iv, n), place), k->row_bytes);
    copy_row(b, k->row_bytes, at(b, rows, from, 0), at(b, y, to, 0));
    if (!k->drops) {
        if_else(b, &fits, NULL);
        store(b, broken, fault, (value){0}, 0);
    }
    if_end(b, &fits, NULL);
    loop_end(b, &l, NULL);
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}

static const kernel_field FIELDS[] = {
    KERNEL_FIELD(store_rows_kernel, row_bytes, FIELD_INT, "_"),
    KERNEL_FIELD(store_rows_kernel, wide, FIELD_BOOL, "_i64"),
    KERNEL_FIELD(store_rows_kernel, drops, FIELD_BOOL, "_drops"),
};

const kernel_kind STORE_ROWS_KERNEL = {
    .name = "store_rows",
    .file = "kernel/rows/store_rows.c",
    .help = "rows to places in a tensor that are given at run time",
    .build = build_store_rows,
    .params_bytes = sizeof(store_rows_kernel),
    .fields = FIELDS,
    .n_fields = sizeof FIELDS / sizeof *FIELDS,
};
