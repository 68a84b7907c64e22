// Speed of the linear kernels on one thread, as a part of what this core can do, measured in the same run and in turns:
//
//     linear_bench [LAYOUT-PREFIX] [CPU]        for example: linear_bench q4
//
// m = 1 reads weights far beyond the third-level cache, and is held against a loop that only reads them. Larger m is
// held against the peak of the instruction that multiplies: f32 FMA, vpmaddubsw (64 operations in 256 bits) or
// vpdpbusd. All numbers are the best of many runs, since the machine may be shared.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "compiler/kernel/ceiling.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/linear.h"
#include "compiler/kernel/q8.h"
#include "compiler/kernel/testing.h"

enum { MEMORY_BYTES = 128 << 20, ROWS_MAX = 512, FEW_ROUNDS = 20, ROUNDS = 100, PEAK_TILES = 2 };

static double spent(kernel_fn f, void *const *buffers, const int64_t *dims, int64_t tiles)
{
    double start = clock_seconds();
    f(buffers, dims, 0, tiles);
    return clock_seconds() - start;
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
    int64_t from_memory = MEMORY_BYTES / (int64_t)panel_bytes,
            by_time = (int64_t)(1e8 / panel_ops) + 1; // a millisecond: short enough to be undisturbed at times
    int64_t panels = rows < 16 || by_time > from_memory ? from_memory : by_time;
    int64_t dims[] = {rows, panels * 16, panels}, read_tiles = MEMORY_BYTES / CEILING_READ_BYTES;
    void *linear_buffers[] = {s->x, s->w, s->y}, *peak_buffers[] = {s->y}, *read_buffers[] = {s->y, s->w};
    double best[3] = {1e9, 1e9, 1e9};
    for (int i = 0; i < (rows < 16 ? FEW_ROUNDS : ROUNDS); i++) {
        double times[] = {spent(s->linear, linear_buffers, dims, panels),
                          spent(s->peak, peak_buffers, NULL, PEAK_TILES),
                          rows < 16 ? spent(s->read, read_buffers, NULL, read_tiles) : 1e9};
        for (int t = 0; t < 3; t++) best[t] = times[t] < best[t] ? times[t] : best[t];
    }
    double gops = panel_ops * (double)panels / best[0] / 1e9, peak = s->peak_ops * (double)PEAK_TILES / best[1] / 1e9;
    double gbs = (double)panels * (double)panel_bytes / best[0] / 1e9, read = (double)MEMORY_BYTES / best[2] / 1e9;
    printf("%-8s %5d columns %4d rows  %6.1f GOP/s, %5.1f %% of %5.0f", layout_name(s->k->layout), (int)s->k->cols,
           (int)rows, gops, 100 * gops / peak, peak);
    if (rows < 16) printf("  %5.1f GB/s, %5.1f %% of %4.1f", gbs, 100 * gbs / read, read);
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
        char name[96];
        kernel_fn functions[3];
        linear_name(&k, name);
        TRY(harness_open(&h, cpu, err));
        double start = clock_seconds();
        linear_build(&h.builder, &k, name);
        peak_build(&h.builder, f ? PEAK_INT : PEAK_FMA, "peak");
        ceiling_build(&h.builder, CEILING_READ);
        const char *names[] = {name, "peak", ceiling_name(CEILING_READ)};
        TRY(harness_compile(&h, names, 3, functions, err));
        if (!i) printf("%s compiled in %.0f ms\n", name, (clock_seconds() - start) * 1e3);
        bench s = {functions[0],
                   functions[1],
                   functions[2],
                   &k,
                   peak_tile_ops(&h.builder.target, f ? PEAK_INT : PEAK_FMA),
                   w,
                   x,
                   y};
        run(&s, 1);
        run(&s, 4);
        run(&s, ROWS_MAX);
        harness_close(&h);
    }
    return WF_OK;
}

int main(int argc, char **argv)
{
    const char *prefix = argc > 1 ? argv[1] : "", *cpu = argc > 2 ? argv[2] : "native";
    unsigned char *w = filled_memory(MEMORY_BYTES, 0);
    uint16_t half = half_from_float(0.01f); // a sensible number in every type; quants of all kinds
    for (size_t i = 0; i < MEMORY_BYTES; i += 2) memcpy(w + i, &half, 2);
    void *x = filled_memory((size_t)ROWS_MAX * 8960 * 4, 0), *y = filled_memory((size_t)MEMORY_BYTES / 576 * 4 * 16, 0);
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
