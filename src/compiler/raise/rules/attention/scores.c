// What softmax is of (scores.h).
#include "compiler/raise/rules/attention/scores.h"

// Whether a tensor has the root's axes in order, perhaps without some of size 1, and all that are longer.
static bool is_plain(const ref *r, MlirValue root)
{
    int axis = 0, rank = rank_of(root);
    if (!r->v.ptr || r->n > rank || r->n < 2) return false;
    for (int i = 0; i < r->n; i++) {
        if (r->axis[i] == AXIS_ZERO) continue;
        while (axis < rank && axis != r->axis[i] && dim_of(root, axis) == 1) axis++;
        if (axis >= rank || axis != r->axis[i] || rank - axis != r->n - i) return false;
        axis++;
    }
    while (axis < rank && dim_of(root, axis) == 1) axis++;
    return axis == rank;
}

bool walk_to_scores(matcher *m, MlirValue *v)
{
    enum { MAX_STEPS = 32 };
    strided s;
    contraction c;
    softmax_op softmax;
    if (rank_of(*v) < 2 || !strided_start(&s, *v)) return false;
    MlirValue outer = *v;
    int last = rank_of(outer) - 1;
    for (int step = 0; step < MAX_STEPS; step++) {
        MlirOperation op = defining_op(s.v);
        if (is_in_order(&s, outer) && s.rank >= 2 && is_whole_axis(&s.at[s.rank - 1], outer, last) &&
            is_whole_axis(&s.at[s.rank - 2], outer, last - 1))
            *v = s.v;
        if (op.ptr && (softmax_read(op, &softmax) || read_contraction(m, op, &c))) break;
        if (!strided_step(&m->r, &s, false)) break;
    }
    return true;
}

static bool read_within(matcher *m, MlirValue root, const ref *from, scores *s, int depth);

// mask + scores, or condition ? scores : -inf, or the other way round.
static bool read_masked(matcher *m, MlirValue root, const node *n, scores *s, int depth)
{
    bool selects = n->kind == N_SELECT;
    for (int i = 0; i < 2; i++) {
        constant c = {0};
        scores inner = {.scale = s->scale};
        const ref *of = &n->in[selects ? 2 - i : i], *other = &n->in[selects ? 1 + i : 1 - i];
        bool is_constant = read_constant(&m->r, other, &c);
        if (selects && (!is_constant || c.value >= 0)) continue;
        if (!read_within(m, root, of, &inner, depth + 1)) {
            if (inner.reason) s->reason = inner.reason;
            continue;
        }
        s->reason = s->softcap != 0              ? "the mask is added before the soft cap"
                    : !(s->scale > 0)            ? "masked scores are not scaled by a positive number"
                    : inner.n_masks == MAX_MASKS ? "there are too many masks"
                    : selects && !(c.value * s->scale <= -1e30)
                        ? "hidden scores become a number that is not minus infinity, or near it"
                        : NULL;
        if (s->reason) return false;
        mask_term term = {selects ? n->in[0] : *other, root, selects, i == 0, c.value * s->scale, s->scale};
        *s = inner;
        if (selects || !is_constant || c.value != 0) s->masks[s->n_masks++] = term;
        return true;
    }
    return false;
}

static bool read_within(matcher *m, MlirValue root, const ref *from, scores *s, int depth)
{
    enum { MAX_DEPTH = 8 };
    ref next;
    if (depth > MAX_DEPTH) return false;
    node n = read_uncast(&m->r, from);
    if (n.kind == N_ADD || n.kind == N_SELECT) return read_masked(m, root, &n, s, depth);
    for (int i = 1; (n.kind == N_MUL || n.kind == N_DIV) && i >= (n.kind == N_DIV ? 1 : 0); i--) {
        constant c;
        if (!read_constant(&m->r, &n.in[i], &c)) continue;
        s->scale *= n.kind == N_DIV ? 1 / c.value : c.value;
        return read_within(m, root, &n.in[1 - i], s, depth + 1);
    }
    if (n.kind == N_TANH) {
        if (s->softcap != 0 || !(s->scale > 0)) return s->reason = "the soft cap is no positive number", false;
        s->softcap = s->scale;
        s->scale = 1;
        if (!read_within(m, root, &n.in[0], s, depth + 1)) return false;
        s->scale *= s->softcap; // cap tanh(scale q k / cap)
        return !s->n_masks || (s->reason = "the mask is added before the soft cap", false);
    }
    MlirValue v = n.first.v, product = v;
    if (!is_plain(&n.first, root)) return false;
    if (!walk_to_scores(m, &product)) return false;
    MlirOperation op = defining_op(product);
    if (op.ptr && read_contraction(m, op, &s->product)) return true;
    if (mlirValueEqual(product, root) || !root_ref(product, &next)) return false;
    return read_within(m, product, &next, s, depth + 1);
}

bool read_scores(matcher *m, MlirValue x, scores *s)
{
    ref from;
    *s = (scores){.scale = 1};
    return rank_of(x) >= 2 && root_ref(x, &from) && read_within(m, x, &from, s, 0) && !s->product.init.ptr;
}
