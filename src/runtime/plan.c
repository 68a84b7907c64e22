// The plan's arithmetic and its check. The file format is in plan_file.c, the table in plan_print.c.
//
// What the check promises to a session that keeps 64 <= n_ctx <= n_ctx_train (rounded up to 64), 1 <= n_tokens,
// 0 <= n_outputs <= n_tokens and n_past + n_tokens <= n_ctx: no form overflows, and every buffer lies inside its area
// and is aligned to 64 bytes.
//
// Why the corners are enough: these conditions describe a polytope in (n_tokens, n_past, n_outputs, n_ctx), with the 16
// corners of corner_dims. The room that a buffer leaves in its area, area - offset - bytes, is affine too, and an
// affine form has its minimum over a polytope at a corner. Coefficients are not negative, so a form that does not
// overflow at the largest corner overflows nowhere.
//
// With a term p * n_tokens * n_ctx the room is bilinear in these two: it has no minimum inside. On the edges it is
// linear, but for the one where n_tokens = n_ctx; for p <= 0 it is concave there, so corners are enough again. For
// p > 0 the room has to suffice without that term, which is never negative.
#include "runtime/plan.h"

#include <inttypes.h>
#include <math.h>

#include "base/checked.h"
#include "runtime/plan_check.h"

enum { ALIGNMENT = 64, N_CORNERS = 16 };

static const int64_t COEFFICIENT_LIMIT = (int64_t)1 << 48;
static const int64_t SIZE_LIMIT = (int64_t)1 << 31; // of vocabulary, context, layers: all are 32-bit numbers in kernels

typedef struct checker {
    const plan *p;
    const char *name; // stands for the file in messages
    wf_error *err;
    int64_t corners[N_CORNERS][DIM_COUNT];
    int64_t areas[N_CORNERS][BASE_COUNT]; // bytes
} checker;

int64_t affine_eval(const affine *a, const int64_t dims[DIM_COUNT])
{
    int64_t value = 0;
    for (int d = 0; d < DIM_COUNT; d++) value += a->c[d] * dims[d];
    return value;
}

void plan_dims(int64_t n_tokens, int64_t n_past, int64_t n_outputs, int64_t n_ctx, int64_t dims[DIM_COUNT])
{
    dims[DIM_ONE] = 1;
    dims[DIM_TOKENS] = n_tokens;
    dims[DIM_PAST] = n_past;
    dims[DIM_OUTPUTS] = n_outputs;
    dims[DIM_CONTEXT] = n_ctx;
    dims[DIM_PAIRS] = n_tokens * n_ctx; // both are below 2^31, plus what rounds a context up
}

static int64_t divide_up(int64_t a, int64_t divisor) { return a / divisor + (a % divisor > 0); }

static bool condition_holds(const plan_condition *c, const int64_t dims[DIM_COUNT])
{
    if (!c->max_tokens) return true;
    return (dims[DIM_TOKENS] <= c->max_tokens && dims[DIM_PAST] >= c->min_past) != c->otherwise;
}

int64_t plan_count_eval(const plan_count *count, const int64_t dims[DIM_COUNT])
{
    if (!condition_holds(&count->when, dims)) return 0;
    return count->factor * divide_up(affine_eval(&count->a, dims), count->divisor);
}

int64_t plan_source_panels(const plan_weight *w, uint32_t s)
{
    return w->layout == LAYOUT_VECTOR_F32 ? w->rows[s] : divide_up(w->rows[s], PANEL_ROWS);
}

bool plan_weight_bytes(const plan_weight *w, size_t *bytes)
{
    size_t panel_bytes, panels = 0;
    if (!layout_panel_bytes(w->layout, w->cols, &panel_bytes)) return false;
    for (uint32_t s = 0; s < w->n_sources; s++)
        if (w->rows[s] < 1 || !checked_add(panels, (size_t)plan_source_panels(w, s), &panels)) return false;
    return checked_mul(panels, panel_bytes, bytes);
}

double plan_call_flops(const plan_call *call, const int64_t dims[DIM_COUNT])
{
    double pairs = 0;
    for (int64_t i = 0; i < dims[DIM_TOKENS] && call->pair_flops; i++) {
        int64_t positions = dims[DIM_PAST] + i + 1;
        pairs += (double)(call->window && positions > call->window ? call->window : positions);
    }
    return (double)affine_eval(&call->flops, dims) + pairs * (double)call->pair_flops;
}

// An extent in n_ctx is meant for any place in the context; of the cache's rows a call writes, and of the rotation
// table it reads, only those of its own tokens.
double plan_call_bytes(const plan_call *call, const int64_t dims[DIM_COUNT])
{
    int64_t tokens = dims[DIM_TOKENS], past = dims[DIM_PAST], outputs = dims[DIM_OUTPUTS];
    int64_t before = call->window && past > call->window ? call->window : past, own[DIM_COUNT], attended[DIM_COUNT];
    plan_dims(tokens, past, outputs, tokens, own);
    plan_dims(tokens, past, outputs, before + tokens, attended);
    double bytes = 0;
    bool gathers = affine_eval(&call->flops, dims) == 0 && !call->pair_flops; // reads rows of a table, which it writes
    for (uint32_t i = 0; i < call->n_buffers; i++) {
        const plan_buffer *b = &call->buffers[i];
        if (gathers && b->base == BASE_WEIGHTS) continue;
        bool is_attended = b->base == BASE_ARENA || (b->base == BASE_KV && !b->written);
        bytes += (double)affine_eval(&b->bytes, is_attended ? attended : own);
    }
    return bytes;
}

void plan_free(plan *p)
{
    arena_free(&p->memory);
    *p = (plan){0};
}

// ---- forms

static bool eval_checked(const affine *a, const int64_t dims[DIM_COUNT], int64_t *value)
{
    int64_t sum = 0, term;
    for (int d = 0; d < DIM_COUNT; d++)
        if (__builtin_mul_overflow(a->c[d], dims[d], &term) || __builtin_add_overflow(sum, term, &sum)) return false;
    *value = sum;
    return true;
}

static bool multiply_checked(int64_t a, int64_t b, int64_t *product) { return !__builtin_mul_overflow(a, b, product); }

static bool coefficients_fit(const affine *a)
{
    for (int d = 0; d < DIM_COUNT; d++)
        if (a->c[d] < 0 || a->c[d] >= COEFFICIENT_LIMIT) return false;
    return true;
}

// As coefficients_fit; but the extent of a part of every row ends before the last row does: rows * row - skipped.
static bool extent_fits(const affine *a)
{
    affine whole = *a;
    if (a->c[DIM_ONE] < 0 && a->c[DIM_ONE] > -a->c[DIM_TOKENS]) whole.c[DIM_ONE] = 0;
    return coefficients_fit(&whole);
}

// Whether the form is fine everywhere: coefficients in range, no overflow.
static bool form_fits(const checker *c, const affine *a)
{
    int64_t value;
    if (!coefficients_fit(a)) return false;
    for (int i = 0; i < N_CORNERS; i++)
        if (!eval_checked(a, c->corners[i], &value)) return false;
    return true;
}

// n_ctx is a multiple of 64, so its coefficient needs not be one, nor that of its product.
static bool always_aligned(const affine *a)
{
    for (int d = 0; d < DIM_COUNT; d++)
        if (d != DIM_CONTEXT && d != DIM_PAIRS && a->c[d] % ALIGNMENT) return false;
    return true;
}

static bool is_zero(const affine *a)
{
    for (int d = 0; d < DIM_COUNT; d++)
        if (a->c[d]) return false;
    return true;
}

static void corner_dims(int corner, int64_t n_ctx_max, int64_t dims[DIM_COUNT])
{
    int64_t n_ctx = corner & 1 ? n_ctx_max : KV_CONTEXT_STEP, n_tokens = corner & 2 ? n_ctx : 1;
    plan_dims(n_tokens, corner & 4 ? n_ctx - n_tokens : 0, corner & 8 ? n_tokens : 0, n_ctx, dims);
}

// ---- facts and areas

static wf_status fail(const checker *c, const char *reason)
{
    return error_set(c->err, WF_ERROR_FORMAT, "%s: %s", c->name, reason);
}

static wf_status check_facts(const checker *c)
{
    const plan *p = c->p;
    if (!p->architecture || !p->name) return fail(c, "a name is missing");
    if (!kv_layout_is_valid(&p->kv)) return fail(c, "the sizes of the KV cache are out of range");
    const int64_t sizes[] = {p->n_vocab, p->n_ctx_train, p->n_embd};
    static const char *const NAMES[] = {"n_vocab", "n_ctx_train", "n_embd"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] < 1 || sizes[i] >= SIZE_LIMIT)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: %s is %" PRId64, c->name, NAMES[i], sizes[i]);
    if (p->weights_bytes > INT64_MAX) return fail(c, "weights_bytes is out of range");
    return WF_OK;
}

static wf_status check_ropes(const checker *c)
{
    for (uint32_t i = 0; i < c->p->n_ropes; i++) {
        const plan_rope *rope = &c->p->ropes[i];
        bool good =
            rope->n_dims >= 2 && rope->n_dims % 2 == 0 && rope->n_dims < SIZE_LIMIT && isfinite(rope->magnitude);
        for (int64_t d = 0; good && d < rope->n_dims / 2; d++) good = isfinite(rope->inv_freq[d]);
        if (!good)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: rotation table %" PRIu32 " makes no sense", c->name, i);
    }
    return WF_OK;
}

static bool areas_at_corner(checker *c, int corner)
{
    const plan *p = c->p;
    const int64_t *dims = c->corners[corner];
    int64_t *areas = c->areas[corner], rope_row = 0; // bytes of the rows of all rotation tables for one position
    for (uint32_t i = 0; i < p->n_ropes; i++)
        if (__builtin_add_overflow(rope_row, 4 * p->ropes[i].n_dims, &rope_row)) return false;
    areas[BASE_WEIGHTS] = (int64_t)p->weights_bytes;
    areas[BASE_TOKENS] = 4 * dims[DIM_TOKENS];
    areas[BASE_ROWS] = 4 * dims[DIM_OUTPUTS];
    return eval_checked(&p->arena_bytes, dims, &areas[BASE_ARENA]) &&
           multiply_checked(kv_position_bytes(&p->kv), dims[DIM_CONTEXT], &areas[BASE_KV]) &&
           multiply_checked(rope_row, dims[DIM_CONTEXT], &areas[BASE_ROPE]) &&
           multiply_checked(4 * dims[DIM_OUTPUTS], p->n_vocab, &areas[BASE_LOGITS]);
}

// A session sizes the arena by its largest batch and its context.
static wf_status check_areas(checker *c)
{
    if (!coefficients_fit(&c->p->arena_bytes)) return fail(c, "the size of the arena is out of range");
    if (c->p->arena_bytes.c[DIM_PAST]) return fail(c, "the arena's size depends on n_past");
    int64_t n_ctx_max = kv_capacity(c->p->n_ctx_train);
    for (int i = 0; i < N_CORNERS; i++) {
        corner_dims(i, n_ctx_max, c->corners[i]);
        if (!areas_at_corner(c, i)) return fail(c, "the size of a memory area overflows");
    }
    return WF_OK;
}

// ---- weights

static const char *weight_fault(const checker *c, const plan_weight *w, size_t previous_end)
{
    size_t bytes, end;
    if (!layout_name(w->layout)) return "unknown layout";
    if (w->n_sources < 1 || w->n_sources > PLAN_MAX_SOURCES) return "number of sources out of range";
    for (uint32_t s = 0; s < w->n_sources; s++)
        if (!w->sources[s]) return "a source without a name";
    if (!plan_weight_bytes(w, &bytes)) return "rows and columns out of range or not suited to the layout";
    if (bytes != w->bytes) return "size does not follow from rows and columns";
    bool is_vector = w->layout == LAYOUT_VECTOR_F32;
    if (w->plus_one && !is_vector) return "plus_one on a matrix";
    if (w->interleave && (w->n_sources != 2 || plan_source_panels(w, 0) != plan_source_panels(w, 1)))
        return "interleaved sources of different sizes";
    if (w->offset % ALIGNMENT) return "offset is no multiple of 64";
    if (!checked_add(w->offset, w->bytes, &end) || end > c->p->weights_bytes) return "lies outside the pack";
    if (w->offset < previous_end) return "overlaps the weight before it, or is out of order";
    return NULL;
}

// Weights lie in order, so that none overlaps another and the pack is written as one stream.
static wf_status check_weights(const checker *c)
{
    size_t end = 0;
    for (uint32_t i = 0; i < c->p->n_weights; i++) {
        const plan_weight *w = &c->p->weights[i];
        const char *fault = weight_fault(c, w, end);
        if (fault) return error_set(c->err, WF_ERROR_FORMAT, "%s: weight %" PRIu32 ": %s", c->name, i, fault);
        end = w->offset + w->bytes;
    }
    return WF_OK;
}

// ---- calls

// The coefficient of n_tokens * n_ctx in the room that a buffer leaves in its area; only the arena's size has one.
static int64_t pairs_of_room(const checker *c, const plan_buffer *b)
{
    int64_t of_area = b->base == BASE_ARENA ? c->p->arena_bytes.c[DIM_PAIRS] : 0;
    return of_area - b->offset.c[DIM_PAIRS] - b->bytes.c[DIM_PAIRS];
}

static const char *buffer_fault(const checker *c, const plan_buffer *b)
{
    if ((unsigned)b->base >= BASE_COUNT) return "unknown memory area";
    if (!coefficients_fit(&b->offset) || !extent_fits(&b->bytes)) return "a coefficient is out of range";
    if (b->written && b->base != BASE_ARENA && b->base != BASE_KV && b->base != BASE_LOGITS)
        return "writes to a read-only area";
    bool whole_only =
        b->base == BASE_TOKENS || b->base == BASE_ROWS || b->base == BASE_LOGITS; // rows of 4 bytes or more
    if (whole_only ? !is_zero(&b->offset) : !always_aligned(&b->offset)) return "offset is not aligned";
    int64_t pairs = pairs_of_room(c, b);
    for (int i = 0; i < N_CORNERS; i++) {
        int64_t offset, bytes, end, left_out = pairs > 0 ? pairs * c->corners[i][DIM_PAIRS] : 0;
        if (!eval_checked(&b->offset, c->corners[i], &offset) || !eval_checked(&b->bytes, c->corners[i], &bytes) ||
            __builtin_add_overflow(offset, bytes, &end))
            return "offset or size overflows";
        if (end > c->areas[i][b->base] - left_out) return "lies outside its memory area";
    }
    return NULL;
}

static const char *tiles_fault(const checker *c, const plan_count *tiles)
{
    const plan_condition *when = &tiles->when;
    if (!form_fits(c, &tiles->a) || tiles->divisor < 1 || tiles->factor < 0) return "number of tiles out of range";
    if (when->max_tokens < 0 || when->min_past < 0 || (!when->max_tokens && (when->min_past || when->otherwise)))
        return "a condition that makes no sense";
    for (int i = 0; i < N_CORNERS; i++) {
        int64_t n;
        if (!multiply_checked(divide_up(affine_eval(&tiles->a, c->corners[i]), tiles->divisor), tiles->factor, &n) ||
            n > INT64_C(1) << 31)
            return "number of tiles out of range";
    }
    return NULL;
}

static wf_status fail_call(const checker *c, uint32_t index, const char *reason)
{
    return error_set(c->err, WF_ERROR_FORMAT, "%s: call %" PRIu32 ": %s", c->name, index, reason);
}

static wf_status check_call(const checker *c, uint32_t index)
{
    const plan_call *call = &c->p->calls[index];
    if (call->kernel >= c->p->n_kernels) return fail_call(c, index, "no such kernel");
    if (!call->label) return fail_call(c, index, "no label");
    if (call->n_buffers > PLAN_MAX_BUFFERS || call->n_dims > PLAN_MAX_DIMS)
        return fail_call(c, index, "too many buffers or dimensions");
    for (uint32_t i = 0; i < call->n_buffers; i++) {
        const char *fault = buffer_fault(c, &call->buffers[i]);
        if (fault)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: call %" PRIu32 ", buffer %" PRIu32 ": %s", c->name, index, i,
                             fault);
    }
    for (uint32_t i = 0; i < call->n_dims; i++)
        if (!form_fits(c, &call->dims[i])) return fail_call(c, index, "a dimension is out of range");
    if (!form_fits(c, &call->flops) || call->pair_flops < 0 || call->pair_flops >= SIZE_LIMIT || call->window < 0)
        return fail_call(c, index, "flops out of range");
    const char *fault = tiles_fault(c, &call->tiles);
    return fault ? fail_call(c, index, fault) : WF_OK;
}

wf_status plan_check_named(const plan *p, const char *name, wf_error *err)
{
    checker c = {.p = p, .name = name, .err = err};
    TRY(check_facts(&c));
    TRY(check_ropes(&c));
    TRY(check_areas(&c));
    TRY(check_weights(&c));
    for (uint32_t i = 0; i < p->n_kernels; i++)
        if (!p->kernels[i] || !*p->kernels[i]) return fail(&c, "a kernel without a name");
    for (uint32_t i = 0; i < p->n_calls; i++) TRY(check_call(&c, i));
    return WF_OK;
}

wf_status plan_check(const plan *p, wf_error *err) { return plan_check_named(p, "plan", err); }
