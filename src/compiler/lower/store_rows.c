// Rows stored at places that are given at run time (kernel/rows/store_rows.h): in place, in a copy of x that only what
// follows reads. The copy is a call of its own.
#include "compiler/kernel/rows/store_rows.h"
#include "compiler/lower/lowering.h"
#include "compiler/mlir/constant.h"

enum { MAX_ROW_BYTES = 1 << 24 };

typedef struct shape {
    int64_t lead, n, n_rows, row; // of x [lead, n, row]
} shape;

// Product of all sizes but the last two; 0 where one is not known, or too many.
static int64_t count_lead(MlirValue v)
{
    int64_t n = 1;
    for (int d = 0; d + 2 < rank_of(v); d++)
        if (dim_of(v, d) < 1 || __builtin_mul_overflow(n, dim_of(v, d), &n) || n >= 1 << 24) return 0;
    return n;
}

static const char *read_store(MlirOperation op, store_rows_op *store, shape *n)
{
    array_type element;
    if (!store_rows_read(op, store)) return "it is no store of rows";
    int rank = rank_of(store->x);
    MlirType index = element_type_of(store->at);
    unsigned bits = mlirTypeIsAInteger(index) ? mlirIntegerTypeGetWidth(index) : 0;
    *n = (shape){count_lead(store->x), dim_of(store->x, rank - 2), dim_of(store->rows, rank - 2),
                 dim_of(store->x, rank - 1)};
    if (bits != 32 && bits != 64) return "no kernel takes places of this type";
    if (!constant_type(element_type_of(store->x), &element)) return "no kernel takes its elements";
    if (n->lead < 1 || n->n < 1 || n->n_rows < 1 || n->row < 1) return "no kernel takes sizes that are not known";
    return n->row > MAX_ROW_BYTES / 8 ? "no kernel takes rows that are so long" : NULL;
}

const char *why_not_store_rows(MlirOperation op, graph_kind kind)
{
    store_rows_op store;
    shape n;
    return kind == GRAPH_OF_SEQUENCE ? "a checkpoint's cache is written by rope_store" : read_store(op, &store, &n);
}

// A tensor of y's that holds x: that of rows stored before, where nobody looks at it but this op.
static wf_status start_from(lowering *l, const store_rows_op *store, tensor *y)
{
    tensor x;
    TRY(lowering_read_tensor(l, store->x, &x));
    bool own = op_is(defining_op(store->x), "wf.store_rows") && has_one_use(store->x);
    if ((own && l->roots[x.root].area == FUNCTION_ARENA) || lowering_take_over(l, 0, &x)) {
        *y = x;
        return WF_OK;
    }
    TRY(lowering_new_tensor(l, store->y.type, NULL, y));
    return x.place == PLACE_EMPTY ? WF_OK : lowering_copy(l, &x, y);
}

wf_status lower_store_rows(lowering *l)
{
    store_rows_op store;
    shape n;
    tensor rows, places, y;
    const char *why = read_store(l->op, &store, &n);
    if (why) return lowering_refuse_kernel(l, why);
    TRY(lowering_to_root(l, store.rows, &rows));
    TRY(lowering_to_root(l, store.at, &places));
    TRY(start_from(l, &store, &y));
    store_rows_kernel k = {.row_bytes = n.row * (int64_t)tensor_element_bytes(&y),
                           .wide = mlirIntegerTypeGetWidth(element_type_of(store.at)) == 64,
                           .drops = store.drops};
    int check = lowering_add_check(l, "an index is out of range", mlirOperationGetLocation(l->op));
    call *c = lowering_add_call(l, lowering_add_kernel(l, &STORE_ROWS_KERNEL, &k), NULL);
    if (!c || check < 0) return error_memory(l->err, sizeof *c);
    call_reads(l, rows.root, 0);
    call_reads(l, places.root, 0);
    c->operands[call_writes(l, y.root)].partly = true;
    call_writes(l, l->fault_root);
    call_tiles(c, affine_of(DIM_ONE, n.lead));
    const int64_t sizes[] = {n.n_rows, n.n, rank_of(store.at) == 1 ? 0 : n.n_rows, check + 1};
    for (int i = 0; i < 4; i++) call_size(l, affine_of(DIM_ONE, sizes[i]));
    l->roots[y.root].step = -1; // of what was written before
    return lowering_add_tensor(l, store.y.value, &y);
}
