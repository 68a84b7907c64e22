// What every program must keep to, whoever made it: indices in range, no form that overflows, every buffer inside its
// area and aligned to 64 bytes.
//
// For a sequence program the promise holds for all dims with 64 <= n_ctx <= n_ctx_train (rounded up to 64),
// 1 <= n_tokens, 0 <= n_outputs <= n_tokens and n_past + n_tokens <= n_ctx. Why the corners are enough: these
// conditions describe a polytope in (n_tokens, n_past, n_outputs, n_ctx), with the 16 corners of corner_dims. The room
// that a buffer leaves in its area, area - offset - bytes, is affine too, and an affine form has its minimum over a
// polytope at a corner. Coefficients are not negative, so a form that does not overflow at the largest corner overflows
// nowhere.
//
// With a term p * n_tokens * n_ctx the room is bilinear in these two: it has no minimum inside. On the edges it is
// linear, but for the one where n_tokens = n_ctx; for p <= 0 it is concave there, so corners are enough again. For
// p > 0 the room has to suffice without that term, which is never negative.
//
// A function's dims have no limits but 0. There the room must have no negative coefficient: then it is never negative.
// Whether the sizes of a call overflow is seen when the call comes (execute.h), by the largest of all its forms.
#include "runtime/program/program_check.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"

enum { ALIGNMENT = 64, N_CORNERS = 16 };

static const int64_t COEFFICIENT_LIMIT = (int64_t)1 << 48;
static const int64_t SIZE_LIMIT = (int64_t)1 << 31; // of vocabulary, context, layers: all are 32-bit numbers in kernels

typedef struct checker {
    const program *p;
    const char *name; // stands for the file in messages
    wf_error *err;
    bool sequence;
    int64_t corners[N_CORNERS][DIM_COUNT];
    int64_t areas[N_CORNERS][BASE_COUNT]; // bytes
} checker;

static wf_status fail(const checker *c, const char *reason)
{
    return error_set(c->err, WF_ERROR_FORMAT, "%s: %s", c->name, reason);
}

static bool text_is(const char *text, const char *wanted) { return view_is(view_of(text), wanted); }

// ---- forms

static bool multiply_checked(int64_t a, int64_t b, int64_t *product) { return !__builtin_mul_overflow(a, b, product); }

static int64_t divide_up(int64_t a, int64_t divisor) { return a / divisor + (a % divisor > 0); }

static bool coefficients_fit(const affine *a)
{
    for (int d = 0; d < DIM_COUNT; d++)
        if (a->c[d] < 0 || a->c[d] >= COEFFICIENT_LIMIT) return false;
    return true;
}

// As coefficients_fit; but the extent of a part of every row ends before the last row does: rows * row - skipped.
static bool extent_fits(const checker *c, const affine *a)
{
    affine whole = *a;
    if (c->sequence && a->c[DIM_ONE] < 0 && a->c[DIM_ONE] > -a->c[DIM_TOKENS]) whole.c[DIM_ONE] = 0;
    return coefficients_fit(&whole);
}

static bool uses_unknown_dims(const checker *c, const affine *a)
{
    for (uint32_t d = c->p->n_dims; d < DIM_COUNT; d++)
        if (a->c[d]) return true;
    return false;
}

// Whether the form is fine everywhere: coefficients in range, no overflow.
static bool form_fits(const checker *c, const affine *a)
{
    int64_t value;
    if (!coefficients_fit(a) || uses_unknown_dims(c, a)) return false;
    for (int i = 0; i < N_CORNERS && c->sequence; i++)
        if (!affine_eval_checked(a, c->corners[i], &value)) return false;
    return true;
}

// What a kernel takes as a size: in a function any number, such as that of positions less that of tokens.
static bool size_fits(const checker *c, const affine *a)
{
    affine magnitude = *a;
    for (int d = 0; d < DIM_COUNT && !c->sequence; d++)
        if (a->c[d] < 0 && a->c[d] > -COEFFICIENT_LIMIT) magnitude.c[d] = -a->c[d];
    return form_fits(c, &magnitude);
}

// n_ctx is a multiple of 64, so its coefficient needs not be one, nor that of its product.
static bool always_aligned(const checker *c, const affine *a)
{
    for (int d = 0; d < DIM_COUNT; d++)
        if (a->c[d] % ALIGNMENT && !(c->sequence && (d == DIM_CONTEXT || d == DIM_PAIRS))) return false;
    return true;
}

static bool is_zero(const affine *a)
{
    for (int d = 0; d < DIM_COUNT; d++)
        if (a->c[d]) return false;
    return true;
}

static bool is_never_negative(const affine *a)
{
    for (int d = 0; d < DIM_COUNT; d++)
        if (a->c[d] < 0) return false;
    return true;
}

static bool only_in(const affine *a, unsigned dims) // a bit a dim
{
    for (int d = 0; d < DIM_COUNT; d++)
        if (a->c[d] && !(dims >> d & 1)) return false;
    return true;
}

// ---- dims

static void corner_dims(int corner, int64_t n_ctx_max, int64_t dims[DIM_COUNT])
{
    int64_t n_ctx = corner & 1 ? n_ctx_max : KV_BLOCK, n_tokens = corner & 2 ? n_ctx : 1;
    program_dims(n_tokens, corner & 4 ? n_ctx - n_tokens : 0, corner & 8 ? n_tokens : 0, n_ctx, dims);
}

static wf_status check_dims(checker *c)
{
    const program *p = c->p;
    if (p->n_dims < 1 || p->n_dims > DIM_COUNT) return fail(c, "number of dims out of range");
    for (uint32_t d = 0; d < p->n_dims; d++) {
        const uint32_t *f = p->dims[d].factors;
        if (!p->dims[d].name) return fail(c, "a dim without a name");
        if ((f[0] == 0) != (f[1] == 0) || (f[0] && (f[0] >= d || f[1] >= d)))
            return fail(c, "a dim that is no product of two dims before it");
    }
    if (!c->sequence) return WF_OK;
    bool same = p->n_dims == N_SEQUENCE_DIMS;
    for (uint32_t d = 0; d < N_SEQUENCE_DIMS && same; d++)
        same = text_is(p->dims[d].name, program_sequence_dims[d].name) &&
               !memcmp(p->dims[d].factors, program_sequence_dims[d].factors, sizeof p->dims[d].factors);
    return same ? WF_OK : fail(c, "the dims are not those of a sequence");
}

// ---- facts and areas

static wf_status check_facts(const checker *c)
{
    const program *p = c->p;
    if (!p->name) return fail(c, "a name is missing");
    if (!c->sequence) return p->n_ropes ? fail(c, "a function with rotation tables") : WF_OK;
    if (!kv_layout_is_valid(&p->kv)) return fail(c, "the sizes of the KV cache are out of range");
    const int64_t sizes[] = {p->n_vocab, p->n_ctx_train, p->n_embd};
    static const char *const NAMES[] = {"n_vocab", "n_ctx_train", "n_embd"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] < 1 || sizes[i] >= SIZE_LIMIT)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: %s is out of range", c->name, NAMES[i]);
    return WF_OK;
}

static wf_status check_ropes(const checker *c)
{
    for (uint32_t i = 0; i < c->p->n_ropes; i++) {
        const program_rope *rope = &c->p->ropes[i];
        bool good = i < 64 && rope->n_dims >= 2 && rope->n_dims % 2 == 0 && rope->n_dims < SIZE_LIMIT &&
                    isfinite(rope->magnitude);
        for (int64_t d = 0; good && d < rope->n_dims / 2; d++) good = isfinite(rope->inv_freq[d]);
        if (!good)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: rotation table %" PRIu32 " makes no sense", c->name, i);
    }
    return WF_OK;
}

static bool same_form(const affine *a, const affine *b) { return !memcmp(a, b, sizeof *a); }

// The arena is sized by the largest batch and the context; the rest follows from the facts.
static wf_status check_sequence_areas(checker *c)
{
    const program *p = c->p;
    enum { ARENA_DIMS = 1 << DIM_ONE | 1 << DIM_TOKENS | 1 << DIM_OUTPUTS | 1 << DIM_CONTEXT | 1 << DIM_PAIRS };
    if (p->n_areas != BASE_COUNT) return fail(c, "the areas are not those of a sequence");
    const affine *arena_bytes = &p->areas[BASE_ARENA].bytes, *weights = &p->areas[BASE_WEIGHTS].bytes;
    program same = *p;
    program_area wanted[BASE_COUNT];
    program_set_sequence(&same, *arena_bytes, (size_t)weights->c[DIM_ONE], wanted);
    for (int i = 0; i < BASE_COUNT; i++)
        if (!p->areas[i].name || !text_is(p->areas[i].name, wanted[i].name) || p->areas[i].kind != wanted[i].kind ||
            !same_form(&p->areas[i].bytes, &wanted[i].bytes))
            return fail(c, "the areas are not those of a sequence");
    if (weights->c[DIM_ONE] < 0) return fail(c, "the size of the weights is out of range");
    if (!coefficients_fit(arena_bytes)) return fail(c, "the size of the arena is out of range");
    if (!only_in(arena_bytes, ARENA_DIMS)) return fail(c, "the arena's size depends on n_past");
    int64_t n_ctx_max = kv_capacity(p->n_ctx_train);
    for (int i = 0; i < N_CORNERS; i++) {
        corner_dims(i, n_ctx_max, c->corners[i]);
        for (int a = 0; a < BASE_COUNT; a++)
            if (!affine_eval_checked(&p->areas[a].bytes, c->corners[i], &c->areas[i][a]))
                return fail(c, "the size of a memory area overflows");
    }
    return WF_OK;
}

// The bytes of an argument or a result whose dims are constants, or 1 where they are not: an array of one form's size.
static wf_status check_array(const checker *c, uint32_t i)
{
    const program_array *a = &c->p->arrays[i];
    if ((unsigned)a->type >= ARRAY_TYPE_COUNT || a->n_dims > ARRAY_MAX_DIMS)
        return fail(c, "an array's type or rank is out of range");
    for (uint32_t d = 0; d < a->n_dims; d++)
        if (!form_fits(c, &a->dims[d])) return fail(c, "an array's size is out of range");
    return WF_OK;
}

// A donor gives its memory once, has its result's shape, and is not among what calls read.
static wf_status check_donors(const checker *c)
{
    const program *p = c->p;
    bool given[PROGRAM_MAX_AREAS + 1] = {false}; // by 1 + the argument
    for (uint32_t i = 0; i < p->n_arguments + p->n_results; i++) {
        const program_array *y = &p->arrays[i], *x = &p->arrays[y->donor ? y->donor - 1 : 0];
        if (!y->donor) continue;
        if (i < p->n_arguments || y->donor > p->n_arguments) return fail(c, "a donor that is no argument");
        if (x->type != y->type || x->n_dims != y->n_dims || memcmp(x->dims, y->dims, sizeof x->dims) != 0)
            return fail(c, "a donor of another shape than its result");
        if (given[y->donor]) return fail(c, "a donor of two results");
        given[y->donor] = true;
    }
    for (uint32_t i = 0; i < p->n_calls; i++)
        for (uint32_t k = 0; k < p->calls[i].n_buffers; k++) {
            uint32_t area = p->calls[i].buffers[k].area;
            if (area >= FUNCTION_ARRAYS && area < FUNCTION_ARRAYS + p->n_arguments && given[area - FUNCTION_ARRAYS + 1])
                return fail(c, "a call that reads a donor itself");
        }
    return WF_OK;
}

static wf_status check_function_areas(const checker *c)
{
    static const area_kind FIRST[] = {AREA_ARENA, AREA_CONSTANTS, AREA_MATH, AREA_FAULT, AREA_WEIGHTS};
    const program *p = c->p;
    if (p->n_arguments > PROGRAM_MAX_AREAS || p->n_results > PROGRAM_MAX_AREAS ||
        p->n_areas != FUNCTION_ARRAYS + p->n_arguments + p->n_results)
        return fail(c, "the areas are not those of a function");
    for (uint32_t i = 0; i < p->n_areas; i++) {
        area_kind wanted = i < FUNCTION_ARRAYS                    ? FIRST[i]
                           : i < FUNCTION_ARRAYS + p->n_arguments ? AREA_ARGUMENT
                                                                  : AREA_RESULT;
        const program_area *a = &p->areas[i];
        if (!a->name || a->kind != wanted) return fail(c, "the areas are not those of a function");
        if (!coefficients_fit(&a->bytes) || uses_unknown_dims(c, &a->bytes))
            return fail(c, "the size of a memory area is out of range");
        if (wanted != AREA_ARENA && i < FUNCTION_ARRAYS && !only_in(&a->bytes, 1 << DIM_ONE))
            return fail(c, "the size of the constants or the weights is not fixed");
        if (i >= FUNCTION_ARRAYS) TRY(check_array(c, i - FUNCTION_ARRAYS));
    }
    return WF_OK;
}

// ---- weights

static const char *weight_fault(const checker *c, const program_weight *w, size_t previous_end)
{
    size_t bytes, end;
    if (!layout_name(w->layout)) return "unknown layout";
    if (w->n_sources < 1 || w->n_sources > PROGRAM_MAX_SOURCES) return "number of sources out of range";
    for (uint32_t s = 0; s < w->n_sources; s++)
        if (!w->sources[s]) return "a source without a name";
    if (!program_weight_bytes(w, &bytes)) return "rows and columns out of range or not suited to the layout";
    if (bytes != w->bytes) return "size does not follow from rows and columns";
    bool is_vector = w->layout == LAYOUT_VECTOR_F32;
    bool is_plain = w->layout == LAYOUT_PLAIN;
    if (w->plus_one && !is_vector) return "plus_one on a matrix";
    if (is_plain && (w->n_sources != 1 || w->rows[0] != 1)) return "several plain sources";
    for (uint32_t s = 0; s < w->n_sources; s++)
        if (w->transposed[s] && (is_plain || is_vector)) return "a transposed source of no matrix";
    if (w->interleave && (w->n_sources != 2 || program_source_panels(w, 0) != program_source_panels(w, 1)))
        return "interleaved sources of different sizes";
    if (w->offset % ALIGNMENT) return "offset is no multiple of 64";
    if (!checked_add(w->offset, w->bytes, &end) || end > program_fixed_bytes(c->p, AREA_WEIGHTS))
        return "lies outside the pack";
    if (w->offset < previous_end) return "overlaps the weight before it, or is out of order";
    return NULL;
}

// Weights lie in order, so that none overlaps another and the pack is written as one stream.
static wf_status check_weights(const checker *c)
{
    size_t end = 0;
    for (uint32_t i = 0; i < c->p->n_weights; i++) {
        const program_weight *w = &c->p->weights[i];
        const char *fault = weight_fault(c, w, end);
        if (fault) return error_set(c->err, WF_ERROR_FORMAT, "%s: weight %" PRIu32 ": %s", c->name, i, fault);
        end = w->offset + w->bytes;
    }
    return WF_OK;
}

// ---- calls

static affine room_of(const program *p, const program_buffer *b)
{
    affine room = p->areas[b->area].bytes;
    for (int d = 0; d < DIM_COUNT; d++) room.c[d] -= b->offset.c[d] + b->bytes.c[d]; // each below 2^48
    return room;
}

static const char *room_fault(const checker *c, const program_buffer *b)
{
    affine room = room_of(c->p, b);
    if (!c->sequence) return is_never_negative(&room) ? NULL : "lies outside its memory area";
    int64_t pairs = room.c[DIM_PAIRS];
    for (int i = 0; i < N_CORNERS; i++) {
        int64_t offset, bytes, end, left_out = pairs > 0 ? pairs * c->corners[i][DIM_PAIRS] : 0;
        if (!affine_eval_checked(&b->offset, c->corners[i], &offset) ||
            !affine_eval_checked(&b->bytes, c->corners[i], &bytes) || __builtin_add_overflow(offset, bytes, &end))
            return "offset or size overflows";
        if (end > c->areas[i][b->area] - left_out) return "lies outside its memory area";
    }
    return NULL;
}

static const char *buffer_fault(const checker *c, const program_buffer *b)
{
    if (b->area >= c->p->n_areas) return "unknown memory area";
    area_kind kind = c->p->areas[b->area].kind;
    if (!coefficients_fit(&b->offset) || !extent_fits(c, &b->bytes) || uses_unknown_dims(c, &b->offset) ||
        uses_unknown_dims(c, &b->bytes))
        return "a coefficient is out of range";
    bool may_write = kind == AREA_ARENA || kind == AREA_STATE || kind == AREA_RESULT || kind == AREA_FAULT;
    if (b->written && !may_write) return "writes to a read-only area";
    if (b->partly && !b->written) return "leaves a part of what it does not write";
    // arrays are the caller's: only their beginning is aligned
    bool whole_only = kind == AREA_ARGUMENT || kind == AREA_RESULT;
    if (whole_only ? !is_zero(&b->offset) : !always_aligned(c, &b->offset)) return "offset is not aligned";
    return room_fault(c, b);
}

static const char *tiles_fault(const checker *c, const program_count *tiles)
{
    const program_condition *when = &tiles->when;
    if (!form_fits(c, &tiles->a) || tiles->divisor < 1 || tiles->factor < 0 || tiles->factor >= COEFFICIENT_LIMIT)
        return "number of tiles out of range";
    if (when->max_tokens < 0 || when->min_past < 0 || (!when->max_tokens && (when->min_past || when->otherwise)) ||
        (when->max_tokens && !c->sequence))
        return "a condition that makes no sense";
    for (int i = 0; i < N_CORNERS && c->sequence; i++) {
        int64_t n;
        if (!multiply_checked(divide_up(affine_eval(&tiles->a, c->corners[i]), tiles->divisor), tiles->factor, &n) ||
            n > INT64_C(1) << 31)
            return "number of tiles out of range";
    }
    return NULL;
}

static bool same_count(const program_count *a, const program_count *b)
{
    return same_form(&a->a, &b->a) && a->divisor == b->divisor && a->factor == b->factor &&
           a->when.max_tokens == b->when.max_tokens && a->when.min_past == b->when.min_past &&
           a->when.otherwise == b->when.otherwise;
}

static wf_status fail_call(const checker *c, uint32_t index, const char *reason)
{
    return error_set(c->err, WF_ERROR_FORMAT, "%s: call %" PRIu32 ": %s", c->name, index, reason);
}

static wf_status check_call(const checker *c, uint32_t index)
{
    const program_call *call = &c->p->calls[index];
    if (call->kernel >= c->p->n_kernels) return fail_call(c, index, "no such kernel");
    if (!call->label) return fail_call(c, index, "no label");
    if (call->n_buffers > PROGRAM_MAX_BUFFERS || call->n_sizes > PROGRAM_MAX_SIZES)
        return fail_call(c, index, "too many buffers or dimensions");
    for (uint32_t i = 0; i < call->n_buffers; i++) {
        const char *fault = buffer_fault(c, &call->buffers[i]);
        if (fault)
            return error_set(c->err, WF_ERROR_FORMAT, "%s: call %" PRIu32 ", buffer %" PRIu32 ": %s", c->name, index, i,
                             fault);
    }
    for (uint32_t i = 0; i < call->n_sizes; i++)
        if (!size_fits(c, &call->sizes[i])) return fail_call(c, index, "a dimension is out of range");
    if (!form_fits(c, &call->flops) || call->pair_flops < 0 || call->pair_flops >= SIZE_LIMIT || call->window < 0 ||
        (!c->sequence && (call->pair_flops || call->window)))
        return fail_call(c, index, "flops out of range");
    if (call->grain < 1 || call->grain >= SIZE_LIMIT) return fail_call(c, index, "number of tiles out of range");
    if (call->chained && (index == 0 || !same_count(&call->tiles, &c->p->calls[index - 1].tiles)))
        return fail_call(c, index, "chained to a call with other tiles");
    const char *fault = tiles_fault(c, &call->tiles);
    return fault ? fail_call(c, index, fault) : WF_OK;
}

wf_status program_check_named(const program *p, const char *name, wf_error *err)
{
    checker c = {.p = p, .name = name, .err = err, .sequence = program_is_sequence(p)};
    TRY(check_facts(&c));
    TRY(check_dims(&c));
    TRY(check_ropes(&c));
    TRY(c.sequence ? check_sequence_areas(&c) : check_function_areas(&c));
    if (!c.sequence) TRY(check_donors(&c));
    TRY(check_weights(&c));
    for (uint32_t i = 0; i < p->n_checks; i++)
        if (!p->checks[i]) return fail(&c, "a check without a message");
    for (uint32_t i = 0; i < p->n_kernels; i++)
        if (!p->kernels[i] || !*p->kernels[i]) return fail(&c, "a kernel without a name");
    for (uint32_t i = 0; i < p->n_calls; i++) TRY(check_call(&c, i));
    return WF_OK;
}

wf_status program_check(const program *p, wf_error *err) { return program_check_named(p, "program", err); }
