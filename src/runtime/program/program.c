// The program's arithmetic. Its check is in program_check.c, the file format in program_file.c, the table in
// program_print.c.
#include "runtime/program/program.h"

#include "base/checked.h"

// ---- dims and forms

const program_dim program_sequence_dims[N_SEQUENCE_DIMS] = {
    [DIM_ONE] = {"1", {0}},         [DIM_TOKENS] = {"n_tokens", {0}},
    [DIM_PAST] = {"n_past", {0}},   [DIM_OUTPUTS] = {"n_outputs", {0}},
    [DIM_CONTEXT] = {"n_ctx", {0}}, [DIM_PAIRS] = {"n_tokens*n_ctx", {DIM_TOKENS, DIM_CONTEXT}},
};

void program_dims(int64_t n_tokens, int64_t n_past, int64_t n_outputs, int64_t n_ctx, int64_t dims[DIM_COUNT])
{
    for (int d = 0; d < DIM_COUNT; d++) dims[d] = 0;
    dims[DIM_ONE] = 1;
    dims[DIM_TOKENS] = n_tokens;
    dims[DIM_PAST] = n_past;
    dims[DIM_OUTPUTS] = n_outputs;
    dims[DIM_CONTEXT] = n_ctx;
    dims[DIM_PAIRS] = n_tokens * n_ctx; // both are below 2^31, plus what rounds a context up
}

int64_t affine_eval(const affine *a, const int64_t dims[DIM_COUNT])
{
    int64_t value = 0;
    for (int d = 0; d < DIM_COUNT; d++) value += a->c[d] * dims[d];
    return value;
}

bool affine_eval_checked(const affine *a, const int64_t dims[DIM_COUNT], int64_t *value)
{
    int64_t sum = 0, term;
    for (int d = 0; d < DIM_COUNT; d++)
        if (__builtin_mul_overflow(a->c[d], dims[d], &term) || __builtin_add_overflow(sum, term, &sum)) return false;
    *value = sum;
    return true;
}

// ---- calls

static int64_t divide_up(int64_t a, int64_t divisor) { return a / divisor + (a % divisor > 0); }

static bool condition_holds(const program_condition *c, const int64_t dims[DIM_COUNT])
{
    if (!c->max_tokens) return true;
    return (dims[DIM_TOKENS] <= c->max_tokens && dims[DIM_PAST] >= c->min_past) != c->otherwise;
}

int64_t program_count_eval(const program_count *count, const int64_t dims[DIM_COUNT])
{
    if (!condition_holds(&count->when, dims)) return 0;
    return count->factor * divide_up(affine_eval(&count->a, dims), count->divisor);
}

double program_call_flops(const program_call *call, const int64_t dims[DIM_COUNT])
{
    double pairs = 0;
    for (int64_t i = 0; call->pair_flops && i < dims[DIM_TOKENS]; i++) {
        int64_t positions = dims[DIM_PAST] + i + 1;
        pairs += (double)(call->window && positions > call->window ? call->window : positions);
    }
    return (double)affine_eval(&call->flops, dims) + pairs * (double)call->pair_flops;
}

// An extent in n_ctx is meant for any place in the context; of the cache's rows a call writes, and of the rotation
// table it reads, only those of its own tokens.
double program_call_bytes(const program *p, const program_call *call, const int64_t dims[DIM_COUNT])
{
    int64_t own[DIM_COUNT], attended[DIM_COUNT];
    for (int d = 0; d < DIM_COUNT; d++) own[d] = attended[d] = dims[d];
    if (program_is_sequence(p)) {
        int64_t tokens = dims[DIM_TOKENS], past = dims[DIM_PAST], outputs = dims[DIM_OUTPUTS];
        int64_t before = call->window && past > call->window ? call->window : past;
        program_dims(tokens, past, outputs, tokens, own);
        program_dims(tokens, past, outputs, before + tokens, attended);
    }
    double bytes = 0;
    bool gathers = affine_eval(&call->flops, dims) == 0 && !call->pair_flops; // reads rows of a table, which it writes
    for (uint32_t i = 0; i < call->n_buffers; i++) {
        const program_buffer *b = &call->buffers[i];
        area_kind kind = p->areas[b->area].kind;
        if (gathers && kind == AREA_WEIGHTS) continue;
        bool is_attended = kind == AREA_ARENA || (kind == AREA_STATE && !b->written);
        bytes += (double)affine_eval(&b->bytes, is_attended ? attended : own);
    }
    return bytes;
}

// ---- weights

int64_t program_source_panels(const program_weight *w, uint32_t s)
{
    return w->layout < LAYOUT_F32_X16 ? w->rows[s] : divide_up(w->rows[s], PANEL_ROWS);
}

bool program_weight_bytes(const program_weight *w, size_t *bytes)
{
    size_t panel_bytes, panels = 0;
    if (!layout_panel_bytes(w->layout, w->cols, &panel_bytes)) return false;
    for (uint32_t s = 0; s < w->n_sources; s++)
        if (w->rows[s] < 1 || !checked_add(panels, (size_t)program_source_panels(w, s), &panels)) return false;
    return checked_mul(panels, panel_bytes, bytes);
}

// ---- areas

uint32_t program_find_area(const program *p, area_kind kind)
{
    uint32_t i = 0;
    while (i < p->n_areas && p->areas[i].kind != kind) i++;
    return i;
}

size_t program_fixed_bytes(const program *p, area_kind kind)
{
    uint32_t i = program_find_area(p, kind);
    return i < p->n_areas ? (size_t)p->areas[i].bytes.c[DIM_ONE] : 0;
}

void program_set_sequence(program *p, affine arena_bytes, size_t weights_bytes, program_area areas[BASE_COUNT])
{
    int64_t rope_row = 0; // bytes of the rows of all rotation tables for one position
    for (uint32_t i = 0; i < p->n_ropes; i++) rope_row += 4 * p->ropes[i].n_dims;
    const program_area all[BASE_COUNT] = {
        [BASE_ARENA] = {"arena", AREA_ARENA, arena_bytes},
        [BASE_WEIGHTS] = {"weights", AREA_WEIGHTS, affine_of(DIM_ONE, (int64_t)weights_bytes)},
        [BASE_KV] = {"kv", AREA_STATE, affine_of(DIM_CONTEXT, kv_position_bytes(&p->kv))},
        [BASE_ROPE] = {"rope", AREA_TABLE, affine_of(DIM_CONTEXT, rope_row)},
        [BASE_TOKENS] = {"tokens", AREA_ARGUMENT, affine_of(DIM_TOKENS, 4)},
        [BASE_ROWS] = {"rows", AREA_ARGUMENT, affine_of(DIM_OUTPUTS, 4)},
        [BASE_LOGITS] = {"logits", AREA_RESULT, affine_of(DIM_OUTPUTS, 4 * p->n_vocab)},
    };
    for (int i = 0; i < BASE_COUNT; i++) areas[i] = all[i];
    p->n_dims = N_SEQUENCE_DIMS;
    p->dims = program_sequence_dims;
    p->n_areas = BASE_COUNT;
    p->areas = areas;
}

void program_free(program *p)
{
    arena_free(&p->memory);
    *p = (program){0};
}
