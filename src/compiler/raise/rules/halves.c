#include "compiler/raise/rules/halves.h"

#include "compiler/raise/normal/constant.h"

// ---- taken apart

// Whether each row of the source gives one half of its features to the view, and all else is in order.
static bool is_half(const strided *s, MlirValue v, half *h)
{
    digits *last, one;
    strided rest = *s;
    if (s->rank < 1 || s->scale != 1) return false;
    last = &rest.at[s->rank - 1];
    if (last->n != 2) return false;
    int fixed = last->d[0].axis == AXIS_FIXED ? 0 : 1;
    digit f = last->d[fixed];
    one = (digits){1, {last->d[1 - fixed]}};
    if (f.axis != AXIS_FIXED || f.size != 2 || one.d[0].axis == AXIS_FIXED || !is_whole_axis(&one, v, one.d[0].axis))
        return false;
    *last = one;
    if (!is_in_order(&rest, v)) return false;
    *h = (half){.x = s->v, .which = (int)f.weight, .interleaved = fixed == 1};
    for (int i = 0; i < MAX_AXES; i++) h->x_axis[i] = -1;
    for (int i = 0; i < rest.rank; i++)
        for (int j = 0; j < rest.at[i].n; j++) h->x_axis[rest.at[i].d[j].axis] = i;
    return true;
}

// A slice of what x is a slice of, as a slice of x.
static bool enter_slice_of(strided *s, MlirValue x)
{
    slice cut, whole;
    if (!x.ptr || !read_slice(s->v, &cut) || !read_slice(x, &whole) || !mlirValueEqual(cut.of, whole.of) ||
        cut.axis != whole.axis || whole.stride != 1 || mlirValueEqual(s->v, x) || cut.start < whole.start)
        return false;
    cut.of = x;
    cut.start -= whole.start;
    return strided_enter_slice(s, &cut);
}

// Whether a tensor has the root's axes that are longer than 1, all of them and in order.
static bool has_axes_of(const ref *root, const ref *t)
{
    MlirValue whole = root_tensor(root);
    int axis = 0;
    if (!t->v.ptr || !mlirTypeIsARankedTensor(mlirValueGetType(t->v))) return false;
    for (int i = 0; i < t->n; i++) {
        if (t->axis[i] == AXIS_ZERO) continue;
        while (axis < rank_of(whole) && dim_of(whole, axis) == 1) axis++;
        if (t->axis[i] != axis || dim_of(t->v, i) != dim_of(whole, axis)) return false;
        axis++;
    }
    while (axis < rank_of(whole) && dim_of(whole, axis) == 1) axis++;
    return axis == rank_of(whole);
}

bool read_half(reader *r, const ref *root, const ref *from, MlirValue x, half *h)
{
    enum { MAX_STEPS = 16 };
    strided s;
    node n = read_unwidened(r, from);
    const ref *t = has_axes_of(root, &n.first) ? &n.first : &n.tensor;
    if (!has_axes_of(root, t) || !strided_start(&s, t->v)) return false;
    for (int step = 0; step < MAX_STEPS; step++) {
        half found;
        if ((!x.ptr || mlirValueEqual(s.v, x)) && is_half(&s, t->v, &found)) {
            *h = found; // by the axes of the root
            for (int i = 0; i < MAX_AXES; i++) h->x_axis[i] = -1;
            for (int i = 0; i < t->n; i++)
                if (t->axis[i] != AXIS_ZERO) h->x_axis[(int)t->axis[i]] = found.x_axis[i];
            return true;
        }
        if (!enter_slice_of(&s, x) && !strided_step(r, &s, false)) return false;
    }
    return false;
}

// ---- put together

bool is_two_halves(MlirValue v, concat *c, bool *interleaved)
{
    if (!read_concat(v, c) || c->n != 2) return false;
    int last = rank_of(v) - 1;
    if (c->size == 1) { // [.., d/2, 2] or [.., 2, d/2]
        *interleaved = c->axis == last;
        return c->axis >= last - 1;
    }
    *interleaved = c->interleaved;
    return c->axis == last;
}

bool find_halves(reader *r, MlirValue v, concat *c, bool *interleaved)
{
    enum { MAX_STEPS = 8 };
    strided s;
    if (!strided_start(&s, v)) return false;
    for (int step = 0; step < MAX_STEPS && is_in_order(&s, v); step++) {
        if (is_two_halves(s.v, c, interleaved)) return true;
        if (!strided_step(r, &s, false)) return false;
    }
    return false;
}

// ---- the same

// Whether what the view is made of does not tell its halves along `axis`, of size d, apart.
static bool is_repeated(reader *r, MlirValue v, int axis, int64_t d, bool interleaved)
{
    enum { MAX_STEPS = 16 };
    strided s;
    if (!strided_start(&s, v)) return false;
    for (int step = 0; step < MAX_STEPS && strided_step(r, &s, false); step++) {
        bool repeated = true;
        for (int i = 0; i < s.rank; i++)
            for (int j = 0; j < s.at[i].n; j++) {
                digit x = s.at[i].d[j];
                if (x.axis == axis && (interleaved ? x.weight % 2 : x.size < 0 || x.weight * x.size > d / 2))
                    repeated = false;
            }
        if (repeated) return true;
    }
    return false;
}

static bool constant_halves_agree(MlirValue v, bool interleaved)
{
    evaluator e = evaluator_start();
    const const_tensor *t = evaluate(&e, v);
    bool agree = t && t->rank > 0 && t->count > 0 && t->shape[t->rank - 1] % 2 == 0;
    for (int64_t i = 0; agree && i < t->count; i++) {
        int64_t d = t->shape[t->rank - 1], at = i % d;
        if (interleaved ? at % 2 == 0 : at < d / 2) agree = t->data[i] == t->data[i + (interleaved ? 1 : d / 2)];
    }
    evaluator_free(&e);
    return agree;
}

// The table whose rows a gather takes; its last axis is that of the result.
static MlirValue gathered_table(const node *n, int last)
{
    MlirOperation op = n->op;
    if (op_is(op, "tosa.gather"))
        return n->self.n == 3 && n->self.axis[2] == last ? mlirOperationGetOperand(op, 0) : (MlirValue){0};
    if (!op_is(op, "tensor.extract")) return (MlirValue){0};
    MlirOperation index = defining_op(mlirOperationGetOperand(op, mlirOperationGetNumOperands(op) - 1));
    int64_t loop = op_is(index, "linalg.index") ? op_int(index, "dim", -1) : -1;
    bool along = loop >= 0 && loop < n->self.n && n->self.axis[loop] == last;
    return along ? mlirOperationGetOperand(op, 0) : (MlirValue){0};
}

static bool agree(matcher *m, const ref *table, int last, int64_t d, bool interleaved, int depth)
{
    enum { MAX_DEPTH = 8 };
    if (depth > MAX_DEPTH) return false;
    node n = read_uncast(&m->r, table);
    constant c;
    if (n.kind == N_COS || n.kind == N_SIN) return agree(m, &n.in[0], last, d, interleaved, depth + 1);
    for (int i = 0; i < 2 && n.kind == N_MUL; i++)
        if (read_constant(&m->r, &n.in[i], &c)) return agree(m, &n.in[1 - i], last, d, interleaved, depth + 1);
    const ref *views[] = {&n.first, &n.self};
    for (int i = 0; i < 2; i++)
        for (int axis = 0; views[i]->v.ptr && axis < views[i]->n; axis++)
            if (views[i]->axis[axis] == last && mlirTypeIsARankedTensor(mlirValueGetType(views[i]->v)) &&
                dim_of(views[i]->v, axis) == d && is_repeated(&m->r, views[i]->v, axis, d, interleaved))
                return true;
    MlirValue gathered = gathered_table(&n, last);
    if (gathered.ptr && mlirTypeIsARankedTensor(mlirValueGetType(gathered)) && rank_of(gathered) > 0) {
        ref rows = {.v = gathered, .n = rank_of(gathered)};
        for (int i = 0; i < rows.n; i++) rows.axis[i] = (signed char)(i + 1 == rows.n ? last : AXIS_ZERO);
        return agree(m, &rows, last, d, interleaved, depth + 1);
    }
    bool ends_there =
        n.self.n > 0 && n.self.axis[n.self.n - 1] == last && mlirTypeIsARankedTensor(mlirValueGetType(n.self.v));
    return ends_there && constant_halves_agree(n.self.v, interleaved);
}

bool tables_agree(matcher *m, const ref *table, int last, int64_t d, bool interleaved)
{
    return agree(m, table, last, d, interleaved, 0);
}
