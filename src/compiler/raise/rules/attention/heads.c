#include "compiler/raise/rules/attention/heads.h"

#include "compiler/raise/normal/layout.h"

// The axes of the product's operand.
typedef struct operand {
    MlirValue v;
    int n_lead, sequence, features;
} operand;

// One lead digit as part of all lead axes in one number: *size and *weight; size 1 where there is none.
static bool read_lead(const operand *o, const digits *d, int64_t *size, int64_t *weight)
{
    *size = *weight = 1;
    if (d->n == 0) return true;
    if (d->n != 1 || d->d[0].axis == AXIS_FIXED || d->d[0].axis >= o->n_lead) return false;
    *size = d->d[0].size;
    *weight = d->d[0].weight;
    for (int i = d->d[0].axis + 1; i < o->n_lead; i++) {
        int64_t below = dim_of(o->v, i);
        if (below < 0 || __builtin_mul_overflow(*weight, below, weight)) return false;
    }
    return true;
}

static bool read_parts(const operand *o, const digits *batch, const digits *head, heads *h)
{
    return read_lead(o, batch, &h->batch, &h->batch_weight) && read_lead(o, head, &h->n, &h->group) && h->n > 0;
}

// The features without what stands above them: a row of heads is {head, features}.
static bool cut_features(const operand *o, const digits *row, digits *head)
{
    digits low;
    *head = *row;
    int64_t dim = dim_of(o->v, o->features);
    return dim > 0 && cut_digits(head, dim, &low) && is_whole_axis(&low, o->v, o->features);
}

static bool is_flat(const operand *o, const strided *s)
{
    if (s->rank != o->n_lead + 2 || o->n_lead > 1) return false;
    if (o->n_lead == 1 && !is_whole_axis(&s->at[0], o->v, 0)) return false;
    return is_whole_axis(&s->at[s->rank - 2], o->v, o->sequence) &&
           is_whole_axis(&s->at[s->rank - 1], o->v, o->features);
}

// A view of more than four axes without those of size 1 in front.
static strided drop_ones(const strided *s, int *n)
{
    strided rest = *s;
    for (*n = 0; rest.rank > 4 && s->at[*n].n == 0 && dim_of(s->v, *n) == 1; ++*n) rest.rank--;
    for (int i = 0; i < rest.rank; i++) rest.at[i] = s->at[i + *n];
    return rest;
}

static heads match_heads(const operand *o, const strided *whole)
{
    int ones;
    const strided rest = drop_ones(whole, &ones), *s = &rest;
    heads none = {0}, h = {.v = s->v, .length = dim_of(o->v, o->sequence), .dim = dim_of(o->v, o->features)};
    digits head, empty = {0};
    int last = s->rank - 1;
    h.scale = s->scale;
    h.ones = ones;
    if (h.dim < 1 || s->rank < 2 || s->rank > 4) return none;
    if (s->rank == 4 && is_whole_axis(&s->at[2], o->v, o->features) && is_whole_axis(&s->at[3], o->v, o->sequence)) {
        h.layout = FEATURES_FIRST;
        return read_parts(o, &s->at[0], &s->at[1], &h) ? h : none;
    }
    if (!cut_features(o, &s->at[last], &head)) return none;
    if (s->rank == 4) {
        int sequence = is_whole_axis(&s->at[2], o->v, o->sequence)   ? 2
                       : is_whole_axis(&s->at[1], o->v, o->sequence) ? 1
                                                                     : 0;
        h.layout = sequence == 2 ? HEADS_FIRST : SEQUENCE_FIRST;
        return sequence && head.n == 0 && read_parts(o, &s->at[0], &s->at[3 - sequence], &h) ? h : none;
    }
    h.layout = HEADS_IN_ROWS;
    if (!is_whole_axis(&s->at[last - 1], o->v, o->sequence)) return none;
    return read_parts(o, s->rank == 3 ? &s->at[0] : &empty, &head, &h) ? h : none;
}

void read_heads(reader *r, MlirValue v, bool transposed, bool scales, heads_trace *t)
{
    enum { MAX_STEPS = 64 };
    int rank = rank_of(v);
    operand o = {v, rank - 2, rank - (transposed ? 1 : 2), rank - (transposed ? 2 : 1)};
    strided s;
    *t = (heads_trace){0};
    if (rank < 2 || !strided_start(&s, v)) return;
    for (int step = 0; step < MAX_STEPS; step++) {
        heads h = match_heads(&o, &s);
        if (h.layout != HEADS_NONE && is_flat(&o, &s)) {
            h.layout = HEADS_FLAT;
            t->flat = h;
        } else if (h.layout != HEADS_NONE) {
            // as many as can be kept: the first, and the last
            if (t->n == MAX_TRACES) t->n--;
            t->deep[t->n++] = h;
        }
        if (!strided_step(r, &s, scales)) return;
    }
}

MlirValue write_rows(op_builder *b, const heads *h)
{
    MlirValue v = h->v;
    for (int i = 0; i < h->ones; i++) v = build_collapse(b, v, 0, 2);
    if (h->layout == FEATURES_FIRST) return rows_of_heads(b, build_last_transpose(b, v), false);
    if (h->layout == HEADS_FLAT || h->layout == HEADS_IN_ROWS) return v;
    return rows_of_heads(b, v, h->layout == SEQUENCE_FIRST);
}
