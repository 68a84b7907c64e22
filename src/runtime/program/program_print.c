// The program as a table for people:
//
//     smollm2 (llama): 30 layers, n_embd 576, n_vocab 49152, context 8192
//     arena      4608*n_tokens bytes
//     ...
//     weights
//        #     offset      bytes  layout    rows x cols   tensors
//     calls
//        #  kernel     label              tiles     dims        operands
//        0  embed      embed              n_tokens  n_tokens    tokens, weights+0 -> arena+0
//     +  1  ...                                                 a call chained to the one before
#include <inttypes.h>

#include "runtime/program/program.h"

enum { N_COLUMNS = 4, GAP = 2 }; // kernel, label, tiles, dims; operands follow unpadded

static void print_term(buffer *out, int64_t c, const char *name, bool *first)
{
    uint64_t magnitude = c < 0 ? 0 - (uint64_t)c : (uint64_t)c;
    if (!*first)
        buffer_printf(out, c < 0 ? " - " : " + ");
    else if (c < 0)
        buffer_append_char(out, '-');
    *first = false;
    if (!*name)
        buffer_printf(out, "%" PRIu64, magnitude);
    else if (magnitude == 1)
        buffer_printf(out, "%s", name);
    else
        buffer_printf(out, "%" PRIu64 "*%s", magnitude, name);
}

void affine_print(const affine *a, const program_dim *dims, buffer *out)
{
    bool first = true;
    for (int d = DIM_ONE + 1; d < DIM_COUNT; d++)
        if (a->c[d]) print_term(out, a->c[d], dims[d].name, &first);
    if (a->c[DIM_ONE]) print_term(out, a->c[DIM_ONE], "", &first);
    if (first) buffer_append_char(out, '0');
}

// More than one term, so that it needs brackets inside an expression.
static bool is_sum(const affine *a)
{
    int terms = 0;
    for (int d = 0; d < DIM_COUNT; d++) terms += a->c[d] != 0;
    return terms > 1;
}

static void print_inside(buffer *out, const program *p, const affine *a)
{
    if (is_sum(a)) buffer_append_char(out, '(');
    affine_print(a, p->dims, out);
    if (is_sum(a)) buffer_append_char(out, ')');
}

// Names come from files: control characters must not reach a terminal.
static void print_text(buffer *out, const char *text)
{
    for (; *text; text++) buffer_append_char(out, (unsigned char)*text < 32 || *text == 127 ? '?' : *text);
}

static void print_condition(buffer *out, const program_condition *when)
{
    if (!when->max_tokens) return;
    buffer_printf(out,
                  when->otherwise ? " if n_tokens > %" PRId64 " or n_past < %" PRId64
                                  : " if n_tokens <= %" PRId64 " and n_past >= %" PRId64,
                  when->max_tokens, when->min_past);
}

static void print_tiles(buffer *out, const program *p, const program_count *tiles)
{
    if (tiles->divisor == PROGRAM_ALL_ROWS) { // as many for any number of rows
        buffer_printf(out, "%" PRId64, tiles->factor);
        return;
    }
    if (tiles->factor != 1) buffer_printf(out, "%" PRId64 "*", tiles->factor);
    if (tiles->divisor == 1) {
        print_inside(out, p, &tiles->a);
        return;
    }
    buffer_printf(out, "ceil(");
    print_inside(out, p, &tiles->a);
    buffer_printf(out, "/%" PRId64 ")", tiles->divisor);
}

static void print_operand(buffer *out, const program *p, const program_buffer *b)
{
    const program_area *area = &p->areas[b->area];
    print_text(out, area->name);
    if (area->kind > AREA_TABLE) return; // a whole array or table
    buffer_append_char(out, '+');
    print_inside(out, p, &b->offset);
}

static void print_operands(buffer *out, const program *p, const program_call *call, bool written)
{
    bool first = true;
    for (uint32_t i = 0; i < call->n_buffers; i++) {
        if (call->buffers[i].written != written) continue;
        if (!first) buffer_printf(out, ", ");
        first = false;
        print_operand(out, p, &call->buffers[i]);
    }
}

static void print_cell(const program *p, const program_call *call, int column, buffer *out)
{
    switch (column) {
    case 0: print_text(out, p->kernels[call->kernel]); break;
    case 1: print_text(out, call->label); break;
    case 2:
        print_tiles(out, p, &call->tiles);
        print_condition(out, &call->tiles.when);
        break;
    default:
        for (uint32_t i = 0; i < call->n_sizes; i++) {
            if (i) buffer_printf(out, ", ");
            affine_print(&call->sizes[i], p->dims, out);
        }
    }
}

static void pad_to(buffer *out, size_t start, size_t width)
{
    while (!out->failed && out->len < start + width) buffer_append_char(out, ' ');
}

static void print_calls(const program *p, buffer *out)
{
    static const char *const TITLES[N_COLUMNS] = {"kernel", "label", "tiles", "dims"};
    size_t widths[N_COLUMNS];
    buffer cell = {0};
    for (int column = 0; column < N_COLUMNS; column++) {
        widths[column] = view_of(TITLES[column]).len;
        for (uint32_t i = 0; i < p->n_calls; i++) {
            buffer_clear(&cell);
            print_cell(p, &p->calls[i], column, &cell);
            if (cell.len > widths[column]) widths[column] = cell.len;
        }
    }
    buffer_free(&cell);
    buffer_printf(out, "calls\n%6s  ", "#");
    for (int column = 0; column < N_COLUMNS; column++)
        buffer_printf(out, "%-*s", (int)widths[column] + GAP, TITLES[column]);
    buffer_printf(out, "operands\n");
    for (uint32_t i = 0; i < p->n_calls; i++) {
        buffer_printf(out, "%c%5" PRIu32 "  ", p->calls[i].chained ? '+' : ' ', i);
        for (int column = 0; column < N_COLUMNS; column++) {
            size_t start = out->len;
            print_cell(p, &p->calls[i], column, out);
            pad_to(out, start, widths[column] + GAP);
        }
        print_operands(out, p, &p->calls[i], false);
        buffer_printf(out, " -> ");
        print_operands(out, p, &p->calls[i], true);
        buffer_append_char(out, '\n');
    }
}

static void print_weights(const program *p, buffer *out)
{
    buffer_printf(out, "weights\n%6s  %14s  %14s  %-8s  %-20s  %s\n", "#", "offset", "bytes", "layout", "rows x cols",
                  "tensors");
    for (uint32_t i = 0; i < p->n_weights; i++) {
        const program_weight *w = &p->weights[i];
        buffer_printf(out, "%6" PRIu32 "  %14zu  %14zu  %-8s  ", i, w->offset, w->bytes, layout_name(w->layout));
        size_t start = out->len;
        for (uint32_t s = 0; s < w->n_sources; s++) buffer_printf(out, "%s%" PRId64, s ? "+" : "", w->rows[s]);
        buffer_printf(out, " x %" PRId64, w->cols);
        pad_to(out, start, 20);
        buffer_printf(out, "  ");
        for (uint32_t s = 0; s < w->n_sources; s++) {
            if (s) buffer_printf(out, w->interleave ? " | " : ", ");
            print_text(out, w->sources[s]);
            if (w->transposed[s]) buffer_printf(out, "^T");
        }
        buffer_printf(out, "%s\n", w->plus_one ? " + 1" : "");
    }
}

static void print_arrays(const program *p, buffer *out)
{
    for (uint32_t i = 0; i < p->n_arguments + p->n_results; i++) {
        const program_array *a = &p->arrays[i];
        buffer_printf(out, "%-10s ", p->areas[FUNCTION_ARRAYS + i].name);
        for (uint32_t d = 0; d < a->n_dims; d++) {
            print_inside(out, p, &a->dims[d]);
            buffer_append_char(out, 'x');
        }
        buffer_printf(out, "%s", array_type_name(a->type));
        if (a->donor) buffer_printf(out, ", in the memory of %s", p->areas[FUNCTION_ARRAYS + a->donor - 1].name);
        buffer_append_char(out, '\n');
    }
}

static void print_head(const program *p, buffer *out)
{
    print_text(out, p->name);
    if (!program_is_sequence(p)) {
        if (p->fixed && *p->fixed) {
            buffer_printf(out, ", for fixed sizes: ");
            print_text(out, p->fixed);
        }
        buffer_append_char(out, '\n');
        print_arrays(p, out);
        return;
    }
    buffer_printf(out, " (");
    print_text(out, p->architecture);
    buffer_printf(out, "): %" PRId64 " layers, n_embd %" PRId64 ", n_vocab %" PRId64 ", context %" PRId64 "\n",
                  p->kv.n_layer, p->n_embd, p->n_vocab, p->n_ctx_train);
    buffer_printf(out, "rotations ");
    for (uint32_t i = 0; i < p->n_ropes; i++)
        buffer_printf(out, "%s[n_ctx, %" PRId64 "]", i ? ", " : " ", p->ropes[i].n_dims);
    buffer_printf(out, "%s\n", p->n_ropes ? "" : " none");
}

void program_print(const program *p, buffer *out)
{
    print_head(p, out);
    for (uint32_t i = 0; i < p->n_areas; i++) {
        const program_area *a = &p->areas[i];
        if (a->kind > AREA_STATE) continue;
        buffer_printf(out, "%-10s ", a->name);
        affine_print(&a->bytes, p->dims, out);
        buffer_printf(out, " bytes");
        if (a->kind == AREA_STATE) buffer_printf(out, " of %s", kv_type_name(p->kv.type));
        buffer_append_char(out, '\n');
    }
    buffer_append_char(out, '\n');
    if (p->n_weights) {
        print_weights(p, out);
        buffer_append_char(out, '\n');
    }
    print_calls(p, out);
}

void program_print_fusions(const program_fusion *fusions, uint32_t n, buffer *out)
{
    buffer_printf(out, "%-16s %5s %5s  %s\n", "fusion", "found", "fused", "not fused and why");
    for (uint32_t i = 0; i < n; i++) {
        const program_fusion *f = &fusions[i];
        buffer_printf(out, "%-16s %5" PRIu32 " %5" PRIu32 "%s%s\n", f->name, f->found, f->fused, *f->why ? "  " : "",
                      f->why);
    }
}
