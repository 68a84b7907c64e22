// In:  x * cos + turned(x) * sin, turned(x) = (-b, a) put together as x is of its two halves (a, b): the first and the
//      last d/2 features, or, interleaved, those at even and at odd places; cos, sin the same for both halves
//      (a * cos - b * sin, b * cos + a * sin) put together in the same way, as a complex product gives it
//      x [batch, heads, sequence, d], [batch, sequence, heads, d] or [sequence, batch, heads, d], also without a batch
// Out: wf.rope rows of x, cos [sequence, d/2], sin {n_heads, interleaved}
//
// Where only the first features are rotated, x is a slice. https://arxiv.org/abs/2104.09864
#include "compiler/raise/normal/layout.h"
#include "compiler/raise/raise.h"
#include "compiler/raise/rules/halves.h"
#include "compiler/raise/rules/split.h"

// What is rotated, by which tables, and what the op replaces.
typedef struct rotation {
    MlirValue x, result;
    bool interleaved;
    ref cos, sin;         // indexed by the axes of `root`
    int x_axis[MAX_AXES]; // of each of these axes; -1: of size 1
    int64_t table_size;   // of the last axis of cos and sin: d or d/2
    MlirOperation before; // where to write
} rotation;

static void same_axes(rotation *r, int rank)
{
    for (int i = 0; i < rank; i++) r->x_axis[i] = i;
}

// ---- x * cos + turned(x) * sin

// How a value stands to (-b, a) of x; of any tensor where x is null.
typedef struct turn {
    bool halves; // it is put together of two halves of it, one of them negated perhaps
    bool interleaved;
    const char *reason; // why it is not (-b, a) then
} turn;

static turn read_turn(matcher *m, MlirValue turned, MlirValue x)
{
    concat c;
    half halves[2];
    bool negated[2];
    turn t = {0}, none = {0};
    if (!find_halves(&m->r, turned, &c, &t.interleaved)) return none;
    for (int p = 0; p < 2; p++) {
        ref root;
        if (!root_ref(c.parts[p], &root)) return none;
        node n = read_unwidened(&m->r, &root);
        ref from = root;
        negated[p] = read_negated(&m->r, &n, &from);
        if (!read_half(&m->r, &root, &from, x, &halves[p])) return none;
    }
    t.halves = halves[0].which != halves[1].which;
    bool mixed = halves[0].interleaved != t.interleaved || halves[1].interleaved != t.interleaved;
    t.reason = mixed ? "x is taken apart in one way (halves, even and odd places), put together in the other"
               : halves[0].which != 1      ? "the two halves are not exchanged"
               : negated[0] && negated[1]  ? "both halves are negated"
               : !negated[0] && negated[1] ? "the second half is negated, not the first: it rotates backwards"
               : !negated[0]               ? "the first half is not negated"
                                           : NULL;
    return t;
}

static bool read_sum(matcher *m, const ref *root, const node *sum, rotation *out)
{
    for (int side = 0; side < 2; side++) {
        node turned = read_unwidened(&m->r, &sum->in[side]), plain = read_unwidened(&m->r, &sum->in[1 - side]);
        if (turned.kind != N_MUL || plain.kind != N_MUL) return false;
        for (int i = 0; i < 2; i++) {
            MlirValue at = operand_at_root(&m->r, root, &turned.in[i]);
            if (!at.ptr) continue;
            for (int k = 0; k < 2; k++) {
                MlirValue x = operand_at_root(&m->r, root, &plain.in[k]);
                turn t = x.ptr ? read_turn(m, at, x) : (turn){0};
                if (!t.halves) continue;
                if (t.reason) return near_miss(m, "%s", t.reason);
                *out =
                    (rotation){.x = x, .interleaved = t.interleaved, .cos = plain.in[1 - k], .sin = turned.in[1 - i]};
                return true;
            }
            MlirValue any = {0};
            turn t = read_turn(m, at, any);
            if (t.halves && !t.reason) return near_miss(m, "the rotated value is another than the one scaled by cos");
        }
    }
    return false;
}

static bool read_whole(matcher *m, MlirOperation op, rotation *out)
{
    ref root;
    if (is_structured(op, NULL) || !root_ref(mlirOperationGetResult(op, 0), &root)) return false;
    node sum = read_node(&m->r, &root);
    if (sum.kind != N_ADD || !mlirOperationEqual(sum.op, op) || !read_sum(m, &root, &sum, out)) return false;
    same_axes(out, rank_of(out->x));
    out->table_size = dim_of(out->x, rank_of(out->x) - 1);
    if (!tables_agree(m, &out->cos, rank_of(out->x) - 1, out->table_size, out->interleaved) ||
        !tables_agree(m, &out->sin, rank_of(out->x) - 1, out->table_size, out->interleaved))
        return near_miss(m, "the two halves of cos or sin are not known to be the same");
    out->result = take_result(&root);
    return out->result.ptr ? true : near_miss(m, "the sum is no tensor, and cannot be made one");
}

// ---- the halves by themselves

// sign * factor * factor
typedef struct term {
    bool negative;
    ref factors[2];
} term;

static bool read_term(matcher *m, const ref *from, bool negative, term *t)
{
    ref x;
    node n = read_unwidened(&m->r, from);
    if (n.kind == N_NEG && read_negated(&m->r, &n, &x)) {
        negative = !negative;
        n = read_unwidened(&m->r, &x);
    }
    if (n.kind != N_MUL) return false;
    *t = (term){.negative = negative, .factors = {n.in[0], n.in[1]}};
    for (int i = 0; i < 2; i++) {
        node f = read_unwidened(&m->r, &t->factors[i]);
        if (f.kind == N_NEG && read_negated(&m->r, &f, &t->factors[i])) t->negative = !t->negative;
    }
    return true;
}

static bool read_terms(matcher *m, const ref *root, term terms[2])
{
    node n = read_unwidened(&m->r, root);
    if (n.kind != N_ADD && n.kind != N_SUB) return false;
    return read_term(m, &n.in[0], false, &terms[0]) && read_term(m, &n.in[1], n.kind == N_SUB, &terms[1]);
}

// The terms of one half of the result by the halves of x in them: tables[p] goes with half p of x.
typedef struct half_sum {
    ref tables[2];
    bool negative[2];
} half_sum;

// `x` null: found here. `first`: which factor to try first as that of x.
static bool read_half_sum(matcher *m, MlirValue part, int first, MlirValue *x, half *of, half_sum *out)
{
    ref root;
    term terms[2];
    bool seen[2] = {false, false};
    if (!root_ref(part, &root) || !read_terms(m, &root, terms)) return false;
    for (int t = 0; t < 2; t++) {
        bool found = false;
        for (int k = 0; k < 2 && !found; k++) {
            int i = first ? 1 - k : k;
            if (!read_half(&m->r, &root, &terms[t].factors[i], *x, of)) continue;
            if (seen[of->which]) return false;
            seen[of->which] = found = true;
            *x = of->x;
            out->tables[of->which] = terms[t].factors[1 - i];
            out->negative[of->which] = terms[t].negative;
        }
        if (!found) return false;
    }
    return true;
}

static bool read_parts(matcher *m, MlirValue v, rotation *out)
{
    concat c;
    bool interleaved;
    if (!is_two_halves(v, &c, &interleaved)) return false;
    for (int first = 0; first < 2; first++) {
        MlirValue x = {0};
        half of;
        half_sum low, high;
        if (!read_half_sum(m, c.parts[0], first, &x, &of, &low) || !read_half_sum(m, c.parts[1], first, &x, &of, &high))
            continue;
        if (!same_value(&m->r, &low.tables[0], &high.tables[1]) || !same_value(&m->r, &low.tables[1], &high.tables[0]))
            continue;
        if (of.interleaved != interleaved)
            return near_miss(m, "x is taken apart %s, and put together %s",
                             of.interleaved ? "by even and odd places" : "in halves",
                             interleaved ? "by even and odd places" : "in halves");
        if (low.negative[0] || high.negative[1] || !low.negative[1] || high.negative[0])
            return near_miss(m, "the signs are not those of a cos - b sin, b cos + a sin");
        *out = (rotation){.x = x, .result = v, .interleaved = interleaved, .cos = low.tables[0], .sin = low.tables[1]};
        out->table_size = dim_of(x, rank_of(x) - 1) / 2;
        for (int i = 0; i < MAX_AXES; i++) out->x_axis[i] = of.x_axis[i];
        return true;
    }
    return false;
}

// ---- the op

// A table varies along the sequence and the features, perhaps the batch, in this order. *axes: bits of the axes of x
// before the last that it varies along.
static bool read_table(matcher *m, const rotation *r, const ref *from, node *table, unsigned *axes)
{
    *table = read_unwidened(&m->r, from);
    const ref *t = &table->tensor;
    int before = -1, last = rank_of(r->x) - 1;
    if (!t->v.ptr && !scalar_as_tensor(&table->self, &table->tensor)) return false; // computed in the body
    for (int j = 0; j < t->n; j++) {
        if (t->axis[j] == AXIS_ZERO) continue;
        int axis = t->axis[j] < MAX_AXES ? r->x_axis[t->axis[j]] : -1;
        if (axis <= before) return false;
        before = axis;
        if (axis < last) *axes |= 1u << axis;
    }
    return before == last && dim_of(t->v, t->n - 1) == r->table_size;
}

static MlirValue write_table(op_builder *b, const rotation *r, const node *table)
{
    MlirValue v = table->tensor.v;
    int64_t pairs = dim_of(r->x, rank_of(r->x) - 1) / 2;
    if (r->table_size != pairs) v = build_features(b, v, pairs, r->interleaved ? 2 : 1);
    return build_squeeze(b, v, 2);
}

// The result as x has its features: put together of parts, it may have them as [d/2, 2] or [2, d/2].
static bool fits_result(const rotation *r)
{
    int rank = rank_of(r->x), more = rank_of(r->result) - rank;
    if (more < 0 || more > 1) return false;
    for (int i = 0; i < rank - 1; i++)
        if (dim_of(r->x, i) != dim_of(r->result, i)) return false;
    return true;
}

static void write_rope(const rotation *r, const node tables[2], bool sequence_leads, bool sequence_first)
{
    op_builder b = op_builder_before(defining_op(r->result));
    static const int SWAP[] = {1, 0, 2, 3};
    MlirValue x = r->x;
    int rank = rank_of(x);
    while (rank_of(x) < 4) x = build_batch_of_one(&b, x);
    if (sequence_leads) x = build_transpose(&b, x, SWAP);
    int64_t shape[MAX_AXES], four[4], heads = dim_of(x, sequence_first ? 2 : 1);
    MlirValue rows = rows_of_heads(&b, x, sequence_first);
    MlirValue cos = write_table(&b, r, &tables[0]), sin = write_table(&b, r, &tables[1]);
    MlirType element = element_type_of(r->result);
    for (int i = 0; i < rank_of(rows); i++) shape[i] = dim_of(rows, i);
    for (int i = 0; i < 4; i++) four[i] = dim_of(x, i);
    rope_op rope = {.x = rows,
                    .cos = cos,
                    .sin = sin,
                    .n_heads = heads,
                    .interleaved = r->interleaved,
                    .y = {.type = tensor_of(rank_of(rows), shape, element)}};
    MlirValue y = rope_write(&b, &rope);
    y = heads_of_rows(&b, y, tensor_of(4, four, element), sequence_first);
    if (sequence_leads) y = build_transpose(&b, y, SWAP);
    while (rank_of(y) > rank) y = build_collapse(&b, y, 0, 2);
    if (rank_of(r->result) > rank) y = build_expand(&b, y, rank - 1, 2, mlirValueGetType(r->result));
    replace_value(r->result, y);
    fold_layout(mlirOperationGetParentOperation(b.before));
}

bool raise_rope(matcher *m, MlirOperation op)
{
    rotation r = {0};
    node tables[2];
    if (mlirOperationGetNumResults(op) != 1) return false;
    if (!read_whole(m, op, &r) && !read_parts(m, mlirOperationGetResult(op, 0), &r)) return false;
    int rank = rank_of(r.x), missing = 4 - rank;
    if (rank < 2 || rank > 4) return near_miss(m, "x has %d axes, not batch, heads, sequence and features", rank);
    if (!fits_result(&r)) return near_miss(m, "the result does not have the axes of x");
    unsigned axes = 0;
    if (!read_table(m, &r, &r.cos, &tables[0], &axes) || !read_table(m, &r, &r.sin, &tables[1], &axes))
        return near_miss(m, "cos and sin do not lie along sequence and features");
    axes <<= missing;
    if (axes & (axes - 1)) return near_miss(m, "cos or sin vary along more than the sequence: heads, or the batch");
    bool sequence_leads = axes == 1, no_sequence = axes == 0;
    int64_t middle = missing > 2 ? 1 : dim_of(r.x, 1 - (missing > 1 ? 1 : missing)), after = dim_of(r.x, rank - 2);
    bool sequence_first = sequence_leads || axes == 2 || (no_sequence && middle == 1 && after != 1);
    int64_t heads = sequence_first ? after : missing > 1 ? 1 : middle;
    if (heads < 0) return near_miss(m, "the number of heads is not known");
    write_rope(&r, tables, sequence_leads, sequence_first);
    return true;
}
