// Calls, their operands and kernels.
#include <string.h>

#include "compiler/lower/lowering.h"
#include "compiler/mlir/text.h"

// ---- kernels

// A new kernel. A key of its own, where it has one, stands in the place of the name.
static uint32_t add_name(lowering *l, const kernel_kind *kind, const buffer *key, bool shared)
{
    buffer number = {0};
    size_t more = l->max_kernels;
    if (kind->write_key) buffer_printf(&number, "%s_%zu", kind->name, l->n_kernels);
    const char *copy = shared ? arena_strdup(&l->out->memory, buffer_view(key)) : NULL;
    const char *name = kind->write_key ? arena_strdup(&l->out->memory, buffer_view(&number)) : copy;
    bool failed = number.failed;
    buffer_free(&number);
    if (failed || !name || (shared && !copy) ||
        !lowering_grow((void **)&l->kernel_keys, &more, l->n_kernels, sizeof *l->kernel_keys) ||
        !GROW(l, kernels, kernels))
        return UINT32_MAX;
    l->kernel_keys[l->n_kernels] = copy;
    l->kernels[l->n_kernels] = name;
    return (uint32_t)l->n_kernels++;
}

uint32_t lowering_add_kernel(lowering *l, const kernel_kind *kind, const void *params)
{
    buffer key = {0};
    bool shared = true, known = false;
    uint32_t index = UINT32_MAX;
    if (kind->write_key) {
        buffer_printf(&key, "%s ", kind->name); // no name has a space
        shared = kind->write_key(params, &key);
    } else {
        kernel_write_name(kind, params, &key);
    }
    for (size_t i = 0; shared && !key.failed && i < l->n_kernels && !known; i++) {
        known = l->kernel_keys[i] && !strcmp(l->kernel_keys[i], key.data);
        if (known) index = (uint32_t)i;
    }
    if (!known && !key.failed) index = add_name(l, kind, &key, shared);
    buffer_free(&key);
    if (index != UINT32_MAX && !known) kind->build(l->b, params, l->kernels[index]);
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
