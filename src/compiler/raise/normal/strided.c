#include "compiler/raise/normal/strided.h"

#include "compiler/raise/normal/steps.h"

bool strided_start(strided *s, MlirValue v)
{
    if (!step_is_tensor(v) || rank_of(v) > MAX_AXES) return false;
    *s = (strided){.v = v, .rank = rank_of(v), .scale = 1};
    for (int i = 0; i < s->rank; i++) {
        int64_t size = dim_of(v, i);
        if (size == 0) return false;
        if (size != 1) s->at[i] = (digits){1, {{i, size, 1}}};
    }
    return true;
}

// ---- digits

// Adds a digit below the others; neighbours that are one number become one digit.
static bool add_digit(digits *to, digit d)
{
    digit *above = to->n ? &to->d[to->n - 1] : NULL;
    if (d.size == 1) return true;
    if (above && d.axis == AXIS_FIXED && above->axis == AXIS_FIXED) {
        above->weight = above->weight * d.size + d.weight; // below their sizes' product
        return !__builtin_mul_overflow(above->size, d.size, &above->size);
    }
    if (above && d.size > 0 && above->size > 0 && above->axis == d.axis && above->weight % d.size == 0 &&
        above->weight / d.size == d.weight) {
        above->weight = d.weight;
        return !__builtin_mul_overflow(above->size, d.size, &above->size);
    }
    if (to->n == MAX_DIGITS) return false;
    to->d[to->n++] = d;
    return true;
}

static bool add_digits(digits *to, const digits *from)
{
    for (int i = 0; i < from->n; i++)
        if (!add_digit(to, from->d[i])) return false;
    return true;
}

// The upper and lower part of a digit, the lower one of `size`.
static bool split_digit(digit d, int64_t size, digit *high, digit *low)
{
    if (d.size < 0 || size < 1 || d.size % size) return false;
    bool fixed = d.axis == AXIS_FIXED;
    *low = (digit){d.axis, size, fixed ? d.weight % size : d.weight};
    *high = (digit){d.axis, d.size / size, fixed ? d.weight / size : d.weight * size};
    return true;
}

bool cut_digits(digits *d, int64_t size, digits *low)
{
    digits reversed = {0};
    *low = (digits){0};
    while (size > 1) {
        digit last, rest = {0};
        if (!d->n || d->d[d->n - 1].size < 1) return false;
        last = d->d[--d->n];
        if (size % last.size) {
            if (!split_digit(last, size, &rest, &last)) return false;
            d->d[d->n++] = rest;
        }
        size /= last.size;
        if (reversed.n == MAX_DIGITS) return false;
        reversed.d[reversed.n++] = last;
    }
    while (reversed.n > 0)
        if (!add_digit(low, reversed.d[--reversed.n])) return false;
    return size == 1;
}

// Cuts the most significant digits off, which have `size` together.
static bool cut_high_digits(digits *d, int64_t size, digits *high)
{
    *high = (digits){0};
    while (size > 1) {
        digit first, rest = {0};
        if (!d->n || d->d[0].size < 1) return false;
        first = d->d[0];
        bool splits = size % first.size != 0;
        if (splits && (first.size % size || !split_digit(first, first.size / size, &first, &rest))) return false;
        size /= first.size;
        if (splits)
            d->d[0] = rest;
        else
            for (int i = 1; i < d->n; i++) d->d[i - 1] = d->d[i];
        d->n -= !splits;
        if (!add_digit(high, first)) return false;
    }
    return size == 1;
}

// ---- reshapes

// Gives the digits of axes [a, a_end) of s to the axes [b, b_end) of next: they are the same number.
static bool move_group(const strided *s, int a, int a_end, strided *next, int b, int b_end)
{
    digits all = {0};
    for (; a < a_end; a++)
        if (!add_digits(&all, &s->at[a])) return false;
    for (; b < b_end && dim_of(next->v, b_end - 1) >= 0; b_end--)
        if (!cut_digits(&all, dim_of(next->v, b_end - 1), &next->at[b_end - 1])) return false;
    if (b == b_end) return all.n == 0;
    for (; b + 1 < b_end && dim_of(next->v, b) >= 0; b++)
        if (!cut_high_digits(&all, dim_of(next->v, b), &next->at[b])) return false;
    next->at[b] = all;
    return b + 1 == b_end; // one size that is not known takes what is left
}

// Groups as the op lists them for the side with more axes.
static bool step_listed(const strided *s, strided *next, MlirAttribute groups)
{
    bool expands = op_is(defining_op(s->v), "tensor.expand_shape"); // s has more axes than next
    int n = (int)mlirArrayAttrGetNumElements(groups), at = 0;
    if (n != (expands ? next->rank : s->rank)) return false;
    for (int g = 0; g < n; g++) {
        int size = (int)mlirArrayAttrGetNumElements(mlirArrayAttrGetElement(groups, g)), end = at + size;
        if (end > (expands ? s->rank : next->rank)) return false;
        if (!(expands ? move_group(s, at, end, next, g, g + 1) : move_group(s, g, g + 1, next, at, end))) return false;
        at = end;
    }
    // of scalars there are no groups
    return at == (expands ? s->rank : next->rank);
}

// Groups by sizes: equal products from both ends; between them, one group. At most one size in it is not known.
static bool step_unlisted(const strided *s, strided *next, bool keeps_last)
{
    int a = 0, b = 0, a_end = s->rank, b_end = next->rank;
    for (; keeps_last && a_end > s->rank - 2; a_end--, b_end--)
        if (!move_group(s, a_end - 1, a_end, next, b_end - 1, b_end)) return false;
    while (a < a_end && b < b_end && dim_of(s->v, a) >= 0 && dim_of(s->v, a) == dim_of(next->v, b)) {
        next->at[b++] = s->at[a++];
    }
    while (a < a_end && b < b_end && dim_of(s->v, a_end - 1) >= 0 &&
           dim_of(s->v, a_end - 1) == dim_of(next->v, b_end - 1))
        next->at[--b_end] = s->at[--a_end];
    int dynamic = 0;
    for (int i = b; i < b_end; i++) dynamic += dim_of(next->v, i) < 0;
    for (int i = a; i < a_end; i++) dynamic += dim_of(s->v, i) < 0 ? 16 : 0;
    return (dynamic == 0 || dynamic == 17) && move_group(s, a, a_end, next, b, b_end);
}

static bool step_reshape(strided *s, MlirValue in)
{
    MlirOperation op = defining_op(s->v);
    strided next = {.v = in, .rank = rank_of(in), .scale = s->scale};
    if (next.rank > MAX_AXES) return false;
    for (int i = 0; i < next.rank; i++)
        if (dim_of(in, i) == 0) return false;
    MlirAttribute groups = op_attribute(op, "reassociation");
    bool stepped = groups.ptr && mlirAttributeIsAArray(groups) && mlirArrayAttrGetNumElements(groups) > 0
                       ? step_listed(s, &next, groups)
                       : step_unlisted(s, &next, keeps_last_axes(s->v));
    if (stepped) *s = next;
    return stepped;
}

// ---- other steps

bool strided_enter_slice(strided *s, const slice *cut)
{
    strided next = *s;
    digits *at = &next.at[cut->axis];
    int64_t span, all = dim_of(cut->of, cut->axis);
    if (__builtin_mul_overflow(cut->size, cut->stride, &span) || all < span || all % span ||
        cut->start > all - span + cut->stride - 1)
        return false;
    digits moved = {0};
    digit high = {AXIS_FIXED, all / span, cut->start / span}, low = {AXIS_FIXED, cut->stride, cut->start % span};
    if (low.weight >= cut->stride) return false; // does not begin where a digit does
    next.v = cut->of;
    if (!add_digit(&moved, high) || !add_digits(&moved, at) || !add_digit(&moved, low)) return false;
    *at = moved;
    *s = next;
    return true;
}

// Equal parts side by side: the index in one of them.
static bool step_repeat(strided *s)
{
    concat c;
    strided next = *s;
    digits low;
    if (!read_concat(s->v, &c) || c.interleaved || c.flat) return false;
    for (int i = 1; i < c.n; i++)
        if (!mlirValueEqual(c.parts[0], c.parts[i])) return false;
    if (!cut_digits(&next.at[c.axis], c.size, &low)) return false;
    next.at[c.axis] = low;
    next.v = c.parts[0];
    *s = next;
    return true;
}

static bool step_tile(strided *s)
{
    strided next = *s;
    next.v = mlirOperationGetOperand(defining_op(s->v), 0);
    for (int i = 0; i < s->rank; i++) {
        int64_t size = dim_of(next.v, i);
        if (size < 1) return false; // how often it is repeated is not known
        digits low;
        if (!cut_digits(&next.at[i], size, &low)) return false;
        next.at[i] = low;
    }
    *s = next;
    return true;
}

// The source becomes the tensor of a ref whose axes are the source's.
static bool compose(strided *s, const ref *t, double scale)
{
    strided next = {.v = t->v, .rank = t->n, .scale = s->scale * scale};
    if (!t->v.ptr || !step_is_tensor(t->v)) return false;
    for (int j = 0; j < t->n; j++) {
        if (t->axis[j] >= s->rank) return false;
        if (t->axis[j] != AXIS_ZERO) next.at[j] = s->at[t->axis[j]];
    }
    *s = next;
    return true;
}

// x * constant, x / constant.
static bool step_scale(reader *r, strided *s, const ref *root)
{
    node n = read_uncast(r, root);
    if (n.kind != N_MUL && n.kind != N_DIV) return false;
    for (int i = 1; i >= (n.kind == N_DIV ? 1 : 0); i--) {
        constant c;
        if (!read_constant(r, &n.in[i], &c)) continue;
        node other = read_node(r, &n.in[1 - i]);
        return compose(s, &other.first, n.kind == N_DIV ? 1 / c.value : c.value);
    }
    return false;
}

// One transposition: read_node would go on behind it, past a tensor that a rule looks for.
static bool step_transposition(strided *s)
{
    int perm[MAX_AXES];
    MlirValue in = transpose_input(s->v, perm);
    strided next = {.v = in, .rank = s->rank, .scale = s->scale};
    if (!in.ptr) return false;
    for (int i = 0; i < s->rank; i++) next.at[perm[i]] = s->at[i];
    *s = next;
    return true;
}

bool strided_step(reader *r, strided *s, bool scales)
{
    ref root;
    slice cut;
    MlirValue in = reshape_input(s->v);
    if (in.ptr && step_reshape(s, in)) return true;
    if (step_transposition(s)) return true;
    if (read_slice(s->v, &cut) && strided_enter_slice(s, &cut)) return true;
    if (step_repeat(s)) return true;
    if (op_is(defining_op(s->v), "tosa.tile") && step_tile(s)) return true;
    if (!root_ref(s->v, &root)) return false;
    node n = read_node(r, &root);
    if (n.tensor.v.ptr && !mlirValueEqual(n.tensor.v, s->v)) return compose(s, &n.tensor, 1);
    return scales && step_scale(r, s, &root);
}

// ---- what a view looks like

bool is_whole_axis(const digits *d, MlirValue view, int axis)
{
    int64_t size = dim_of(view, axis);
    if (size == 1) return d->n == 0;
    return d->n == 1 && d->d[0].axis == axis && d->d[0].size == size && d->d[0].weight == 1;
}

// The elements in the source as the view's axes in their order, or from the last to the first.
static bool has_order(const strided *s, MlirValue view, bool backwards)
{
    digits all = {0}, expected = {0};
    int rank = rank_of(view);
    for (int i = 0; i < s->rank; i++)
        if (!add_digits(&all, &s->at[i])) return false;
    for (int i = 0; i < rank; i++) {
        int axis = backwards ? rank - 1 - i : i;
        if (!add_digit(&expected, (digit){axis, dim_of(view, axis), 1})) return false;
    }
    if (all.n != expected.n) return false;
    for (int i = 0; i < all.n; i++)
        if (all.d[i].axis != expected.d[i].axis || all.d[i].size != expected.d[i].size ||
            all.d[i].weight != expected.d[i].weight)
            return false;
    return true;
}

bool is_in_order(const strided *s, MlirValue view) { return has_order(s, view, false); }
bool is_flipped(const strided *s, MlirValue view) { return rank_of(view) == 2 && has_order(s, view, true); }

// Rows lie one after the other: where the last sizes are the same, so are the last indices.
bool keeps_last(MlirValue reshaped, int n)
{
    MlirValue in = reshape_input(reshaped);
    if (!in.ptr || n > rank_of(in) || n > rank_of(reshaped)) return false;
    for (int i = 1; i <= n; i++) {
        int64_t size = dim_of(reshaped, rank_of(reshaped) - i);
        if (size < 1 || size != dim_of(in, rank_of(in) - i)) return false;
    }
    return true;
}

// Between equal types with one size that is not known, reshapes change nothing; with several, they may exchange them.
static bool is_same_shape(MlirValue a, MlirValue b)
{
    int n_dynamic = 0;
    for (int i = 0; i < rank_of(a); i++) n_dynamic += dim_of(a, i) < 0;
    return n_dynamic < 2 && mlirTypeEqual(mlirValueGetType(a), mlirValueGetType(b));
}

MlirValue behind_moves(MlirValue v)
{
    enum { MAX_STEPS = 16 };
    strided s;
    reader r = {0};
    int perm[MAX_AXES];
    MlirValue found = {0}, at = v;
    for (int step = 0; step < MAX_STEPS && reshape_input(at).ptr; step++) {
        at = reshape_input(at);
        if (is_same_shape(at, v)) found = at;
    }
    if (!strided_start(&s, v)) return found;
    for (int step = 0; step < MAX_STEPS; step++) {
        if ((!reshape_input(s.v).ptr && !transpose_input(s.v, perm).ptr) || !strided_step(&r, &s, false)) break;
        if (mlirTypeEqual(mlirValueGetType(s.v), mlirValueGetType(v)) && is_in_order(&s, v)) found = s.v;
    }
    return found;
}
