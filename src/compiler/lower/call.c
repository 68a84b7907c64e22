// Calls, their operands and kernels.
#include <string.h>

#include "compiler/lower/lowering.h"
#include "compiler/mlir/text.h"

// ---- kernels

uint32_t lowering_find_kernel(lowering *l, const char *name, bool *is_new)
{
    *is_new = false;
    for (size_t i = 0; i < l->n_kernels; i++)
        if (!strcmp(l->kernels[i], name)) return (uint32_t)i;
    const char *copy = arena_strdup(&l->out->memory, view_of(name));
    if (!copy || !GROW(l, kernels, kernels)) return UINT32_MAX;
    *is_new = true;
    l->kernels[l->n_kernels] = copy;
    return (uint32_t)l->n_kernels++;
}

uint32_t lowering_add_kernel(lowering *l, const kernel_kind *kind, const void *params)
{
    bool is_new = false;
    buffer name = {0};
    kernel_write_name(kind, params, &name);
    uint32_t index = name.failed ? UINT32_MAX : lowering_find_kernel(l, name.data, &is_new);
    buffer_free(&name);
    if (index != UINT32_MAX && is_new) kind->build(l->b, params, l->kernels[index]);
    return index;
}

// ---- calls

static const char *make_label(lowering *l)
{
    buffer text = {0};
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(l->op));
    buffer_printf(&text, "%.*s ", (int)name.length, name.data);
    print_location(mlirOperationGetLocation(l->op), &text);
    const char *label = arena_strdup(&l->out->memory, buffer_view(&text));
    buffer_free(&text);
    return label;
}

call *lowering_add_call(lowering *l, uint32_t kernel, const char *label)
{
    const char *copy = label ? arena_strdup(&l->out->memory, view_of(label)) : make_label(l);
    if (!copy || kernel == UINT32_MAX || !GROW(l, calls, calls)) return NULL;
    call *c = &l->calls[l->n_calls++];
    *c = (call){.kernel = kernel,
                .label = copy,
                .tiles = {.a = affine_of(DIM_ONE, 1), .divisor = 1, .factor = 1},
                .grain = 1,
                .chain = (int)(l->n_calls - 1)};
    return c;
}

static void note_use(root *r, int index, bool written)
{
    if (r->first < 0) r->first = index;
    r->last = index;
    if (!written || r->writer == index) return;
    r->earlier = r->writer;
    r->writer = index;
}

int root_writer_before(const root *r, int index) { return r->writer == index ? r->earlier : r->writer; }

static int add_operand(lowering *l, call *c, int index, int64_t skip_bytes, bool written)
{
    if (c->n_operands == MAX_OPERANDS || index < 0) return -1;
    note_use(&l->roots[index], (int)(c - l->calls), written);
    c->operands[c->n_operands] = (call_operand){.root = index, .skip_bytes = skip_bytes, .written = written};
    return c->n_operands++;
}

int call_reads(lowering *l, int index, int64_t skip_bytes)
{
    return add_operand(l, &l->calls[l->n_calls - 1], index, skip_bytes, false);
}

int call_writes(lowering *l, int index) { return add_operand(l, &l->calls[l->n_calls - 1], index, 0, true); }

int lowering_use_root(lowering *l, call *c, int index, bool written)
{
    for (int i = 0; i < c->n_operands; i++)
        if (c->operands[i].root == index && c->operands[i].written == written) return i;
    return add_operand(l, c, index, 0, written);
}

bool has_same_tiles(const call *a, const call *b)
{
    bool same = a->tiles.divisor == b->tiles.divisor && a->tiles.factor == b->tiles.factor &&
                !a->tiles.when.max_tokens && !b->tiles.when.max_tokens;
    int64_t sum = 0;
    for (int d = 0; d < DIM_COUNT; d++) {
        same = same && a->tiles.a.c[d] == b->tiles.a.c[d];
        sum += a->tiles.a.c[d];
    }
    return same && sum > 1;
}

void call_size(lowering *l, affine size)
{
    call *c = &l->calls[l->n_calls - 1];
    if (c->n_sizes < PROGRAM_MAX_SIZES) c->sizes[c->n_sizes++] = size;
}

int lowering_add_check(void *context, const char *message, MlirLocation where)
{
    lowering *l = context;
    if (!GROW(l, checks, checks)) return -1;
    buffer text = {0};
    print_location(where, &text);
    buffer_printf(&text, ": %s", message);
    const char *copy = arena_strdup(&l->out->memory, buffer_view(&text));
    buffer_free(&text);
    if (!copy) return -1;
    for (size_t i = 0; i < l->n_checks; i++)
        if (!strcmp(l->checks[i], copy)) return (int)i;
    l->checks[l->n_checks] = copy;
    return (int)l->n_checks++;
}
