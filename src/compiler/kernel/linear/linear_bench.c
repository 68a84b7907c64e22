// Speed of the linear kernels on one thread, as a part of what this core can do, measured in the same run and in turns:
//
//     linear_bench [LAYOUT-PREFIX] [CPU]        for example: linear_bench q4
//     linear_bench --assembly CPU               what is generated for a CPU of harness.h, for bench/mca.py
//
// Few rows read weights far beyond the third-level cache, and are held against a loop that only reads them. Many rows
// are held against the arithmetic ceiling (kernel/ceiling.h). Everything is run in short pieces and the best time of
// each piece counts, since the machine may be shared.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "compiler/kernel/ceiling.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/linear/linear.h"
#include "compiler/kernel/rows/q8.h"
#include "compiler/kernel/testing.h"

enum {
    MEMORY_BYTES = 128 << 20,
    PIECE_BYTES = 1 << 20,
    ROWS_MAX = 512,
    FEW_ROUNDS = 20,
    ROUNDS = 100,
    PEAK_TILES = 20
};

typedef struct work {
    kernel_fn f;
    void *const *buffers;
    const int64_t *dims;
    int64_t tiles, piece; // all, and those that are timed together
    double *best;         // [pieces] seconds, the shortest
} work;

static work create_work(kernel_fn f, void *const *buffers, const int64_t *dims, int64_t tiles, int64_t piece)
{
    int64_t n = (tiles + piece - 1) / piece;
    work w = {f, buffers, dims, tiles, piece, filled_memory((size_t)n * sizeof(double), 0)};
    for (int64_t i = 0; i < n; i++) w.best[i] = 1e9;
    return w;
}

static void run_piece(const work *w, int64_t piece)
{
    int64_t first = piece * w->piece, end = first + w->piece < w->tiles ? first + w->piece : w->tiles;
    if (first >= w->tiles) return;
    double start = clock_seconds();
    w->f(w->buffers, w->dims, first, end);
    double seconds = clock_seconds() - start;
    if (seconds < w->best[piece]) w->best[piece] = seconds;
}

// Seconds of all pieces; frees the work.
static double finish_work(work *w)
{
    double sum = 0;
    for (int64_t i = 0; i * w->piece < w->tiles; i++) sum += w->best[i];
    free(w->best);
    return sum;
}

typedef struct bench {
    kernel_fn linear, peak, read;
    const linear_kernel *k;
    double peak_ops; // of a tile of `peak`
    unsigned char *w;
    void *x, *y;
} bench;

static void run(const bench *s, int64_t rows)
{
    size_t panel_bytes = 0;
    layout_panel_bytes(s->k->layout, s->k->cols, &panel_bytes);
    double panel_ops = 2.0 * 16 * (double)s->k->cols * (double)rows;
    int64_t by_time = (int64_t)(1e8 / panel_ops) + 1; // a millisecond: short enough to be undisturbed at times
    int64_t from_memory = MEMORY_BYTES / (int64_t)panel_bytes;
    bool few = rows < ROWS_MAX;
    int64_t panels = few || by_time > from_memory ? from_memory : by_time;
    int64_t piece = few ? PIECE_BYTES / (int64_t)panel_bytes + 1 : panels;
    int64_t dims[] = {rows, panels * 16, panels}, read_tiles = few ? MEMORY_BYTES / CEILING_READ_BYTES : 0;
    void *linear_buffers[] = {s->x, s->w, s->y}, *peak_buffers[] = {s->y}, *read_buffers[] = {s->y, s->w};
    work linear = create_work(s->linear, linear_buffers, dims, panels, piece),
         peak = create_work(s->peak, peak_buffers, NULL, PEAK_TILES, PEAK_TILES),
         read = create_work(s->read, read_buffers, NULL, read_tiles, PIECE_BYTES / CEILING_READ_BYTES);
    for (int i = 0; i < (few ? FEW_ROUNDS : ROUNDS); i++) {
        for (int64_t p = 0; p * piece < panels; p++) run_piece(&linear, p);
        run_piece(&peak, 0);
        for (int64_t p = 0; p * read.piece < read_tiles; p++) run_piece(&read, p);
    }
    double seconds = finish_work(&linear), gops = panel_ops * (double)panels / seconds / 1e9,
           peak_gops = s->peak_ops * (double)PEAK_TILES / finish_work(&peak) / 1e9,
           gbs = (double)panels * (double)panel_bytes / seconds / 1e9,
           read_gbs = (double)MEMORY_BYTES / finish_work(&read) / 1e9;
    printf("%-8s %5d columns %4d rows  %6.1f GOP/s, %5.1f %% of %5.0f", layout_name(s->k->layout), (int)s->k->cols,
           (int)rows, gops, 100 * gops / peak_gops, peak_gops);
    if (few) printf("  %5.1f GB/s, %5.1f %% of %4.1f", gbs, 100 * gbs / read_gbs, read_gbs);
    printf("\n");
}

static wf_status bench_layout(weight_layout layout, const char *cpu, unsigned char *w, void *x, void *y, wf_error *err)
{
    static const int64_t columns[] = {576, 1536, 8960};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        const quant_format *f = layout_quant(layout);
        if (f && columns[i] % (f->blocks * QUANT_BLOCK)) continue;
        linear_kernel k = {.layout = layout, .cols = columns[i]};
        harness h;
        kernel_fn functions[3];
        TRY(harness_open(&h, cpu, err));
        double start = clock_seconds();
        const char *name = harness_add(&h, &LINEAR_KERNEL, &k);
        const ceiling_kernel peak = {activation_ceiling(weight_type_in(layout)->activation)}, reading = {CEILING_READ};
        const char *names[] = {name, harness_add(&h, &CEILING_KERNEL, &peak),
                               harness_add(&h, &CEILING_KERNEL, &reading)};
        TRY(harness_compile(&h, names, 3, functions, err));
        if (!i) printf("%s compiled in %.0f ms\n", name, (clock_seconds() - start) * 1e3);
        bench s = {
            functions[0], functions[1], functions[2], &k, ceiling_tile_flops(peak.kind, &h.builder.target), w, x, y};
        static const int64_t rows[] = {1, 2, 4, 8, 12, 16, 32, ROWS_MAX};
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) run(&s, rows[r]);
        harness_close(&h);
    }
    return WF_OK;
}

// The ceilings and a kernel of each layout for a CPU that need not be this one.
static wf_status print_assembly(const char *cpu, wf_error *err)
{
    harness h;
    buffer assembly = {0};
    TRY(harness_open_other(&h, cpu, err));
    for (int i = 0; i < CEILING_READ; i++) {
        const ceiling_kernel k = {(ceiling_kind)i};
        harness_add(&h, &CEILING_KERNEL, &k);
    }
    for (int layout = LAYOUT_F32_X16; layout < LAYOUT_COUNT; layout++) {
        linear_kernel k = {.layout = (weight_layout)layout, .cols = 1536};
        harness_add(&h, &LINEAR_KERNEL, &k);
    }
    wf_status status = harness_assembly(&h, &assembly, err);
    if (status == WF_OK) fwrite(assembly.data, 1, assembly.len, stdout);
    buffer_free(&assembly);
    harness_close(&h);
    return status;
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--assembly")) {
        wf_error err = {0};
        if (print_assembly(argv[2], &err) == WF_OK) return 0;
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const char *prefix = argc > 1 ? argv[1] : "", *cpu = argc > 2 ? argv[2] : "native";
    unsigned char *w = filled_memory(MEMORY_BYTES, 0);
    uint16_t half = half_from_float(0.01f); // a sensible number in every type; quants of all kinds
    for (size_t i = 0; i < MEMORY_BYTES; i += 2) memcpy(w + i, &half, 2);
    void *x = filled_memory((size_t)ROWS_MAX * 8960 * 4, 0), *y = filled_memory(MEMORY_BYTES, 0);
    for (size_t i = 0; i < (size_t)ROWS_MAX * 8960; i++) ((float *)x)[i] = 0.01f;
    for (int layout = LAYOUT_F32_X16; layout < LAYOUT_COUNT; layout++) {
        wf_error err = {0};
        if (strncmp(layout_name((weight_layout)layout), prefix, strlen(prefix))) continue;
        if (bench_layout((weight_layout)layout, cpu, w, x, y, &err) != WF_OK) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
    }
    free(w);
    free(x);
    free(y);
    return 0;
}
