// Speed of attention:
//
//     attention_bench [THREADS] [CPU]
//
// Prefill of 512 tokens on one thread, against the FMA peak of this core. Decode of one token at depth 1024, in spans
// and merged, in bytes of cache a second: on one thread with the cache of a layer in the CPU's caches, and on THREADS
// with the layers of a KV cache larger than those one after the other, against a loop that reads the same memory. All
// measured in the same run, in turns; each tile's shortest and each layer's second shortest time, since the machine may
// be shared.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cores.h"
#include "base/half.h"
#include "base/samples.h"
#include "base/threads.h"
#include "compiler/kernel/attention/attention.h"
#include "compiler/kernel/ceiling.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/testing.h"
#include "runtime/program/kv.h"

enum { PREFILL = 512, DEPTH = 1024, ROUNDS = 20, MEMORY_BYTES = 96 << 20, PEAK_TILES = 10, READ_TILES = 16 };

enum { ATTENTION, MERGE, PEAK, READ, N_KERNELS };

typedef struct bench {
    const attention_kernel *k;
    kernel_fn kernels[N_KERNELS];
    thread_pool *pool;
    unsigned char *kv; // [DEPTH / KV_BLOCK] blocks of [n_layers][2] halves
    size_t half;       // bytes of K, or of V, of a layer and block
    unsigned char *table[DEPTH / KV_BLOCK + 1];
    int64_t n_layers;
    float *q, *y;
    unsigned char *parts;
    int64_t dims[5];
    int64_t n_spans;
    double *ended; // [2][n_layers] when attention and reading were finished
    double *spent; // [2][n_layers][ROUNDS] seconds of each
} bench;

static size_t layer_of_all(const bench *s) { return DEPTH / KV_BLOCK * 2 * s->half; } // bytes of a layer in all blocks

// `ended` (may be NULL) gets the time at which the last tile was finished.
static void run_work(const bench *s, size_t call, int thread, kernel_fn f, void *const *buffers, const int64_t *dims,
                     int64_t n, int64_t at_once, double *ended)
{
    for (;;) {
        tile_range t = work_take(s->pool, call, thread, n, at_once);
        if (t.begin == t.end) break;
        f(buffers, dims, t.begin, t.end);
        if (work_finish(s->pool, call, t.end - t.begin, n) && ended) *ended = clock_seconds();
    }
    work_wait(s->pool, call, n);
}

static void run_layers(void *context, int thread)
{
    const bench *s = context;
    size_t layer_bytes = layer_of_all(s);
    int64_t n_spans = s->n_spans * s->k->n_kv_heads, n_read = (int64_t)(layer_bytes / CEILING_READ_BYTES);
    void *table = (void *)(uintptr_t)s->table;
    size_t call = 0;
    for (int64_t layer = 0; layer < s->n_layers; layer++, call += 2) {
        void *buffers[] = {s->q, table, table, s->parts}, *merged[] = {s->parts, s->y};
        int64_t dims[] = {s->dims[0], s->dims[1], s->dims[2], s->dims[3], 2 * layer * (int64_t)s->half};
        run_work(s, call, thread, s->kernels[ATTENTION], buffers, dims, n_spans, 1, NULL);
        run_work(s, call + 1, thread, s->kernels[MERGE], merged, dims, s->k->n_kv_heads, 1, &s->ended[layer]);
    }
    for (int64_t layer = 0; layer < s->n_layers; layer++, call++) {
        void *buffers[] = {s->y + 256 * thread, s->kv + (size_t)layer * layer_bytes};
        run_work(s, call, thread, s->kernels[READ], buffers, NULL, n_read, READ_TILES, &s->ended[s->n_layers + layer]);
    }
}

// The layers one after the other; seconds of all layers' attention, and of reading them: the second shortest of each
// layer, since a thread that is taken off its core between a call's end and the clock makes the next call look short.
static void time_layers(bench *s, double seconds[2])
{
    int64_t n = s->n_layers;
    for (int round = 0; round < ROUNDS; round++) {
        if (!work_begin(s->pool, 3 * (size_t)n)) exit(1);
        double before = clock_seconds();
        thread_pool_run(s->pool, run_layers, s);
        for (int64_t i = 0; i < 2 * n; before = s->ended[i++]) s->spent[i * ROUNDS + round] = s->ended[i] - before;
    }
    for (int64_t i = 0; i < 2 * n; i++) {
        samples_sort(s->spent + i * ROUNDS, ROUNDS);
        seconds[i / n] += s->spent[i * ROUNDS + 1];
    }
}

// Sum over the tiles of each one's shortest time, in seconds: tiles are short, so that a busy machine shows little.
static double time_call(kernel_fn f, void *const *buffers, const int64_t *dims, int64_t tiles)
{
    double total = 0;
    for (int64_t t = 0; t < tiles; t++) {
        double best = 1e9;
        for (int round = 0; round < ROUNDS; round++) {
            double start = clock_seconds();
            f(buffers, dims, t, t + 1);
            double spent = clock_seconds() - start;
            if (spent < best) best = spent;
        }
        total += best;
    }
    return total;
}

static wf_status compile(harness *h, const char *cpu, bench *s, wf_error *err)
{
    TRY(harness_open(h, cpu, err));
    const ceiling_kernel peak = {CEILING_FMA}, reading = {CEILING_READ};
    const char *names[] = {harness_add(h, &ATTENTION_KERNEL, s->k), harness_add(h, &ATTENTION_MERGE_KERNEL, s->k),
                           harness_add(h, &CEILING_KERNEL, &peak), harness_add(h, &CEILING_KERNEL, &reading)};
    return harness_compile(h, names, N_KERNELS, s->kernels, err);
}

static void fill(bench *s)
{
    rng r = {1};
    int64_t n = PREFILL * s->k->n_heads * s->k->head_dim, step = kv_element_bytes(s->k->kv);
    for (int64_t i = 0; i < n; i++) s->q[i] = random_normal(&r);
    size_t layer = layer_of_all(s);
    for (size_t i = 0; i < layer; i += (size_t)step) {
        float x = (float)(int32_t)random_bits(&r) * 0x1p-31f;
        uint16_t f16 = half_from_float(x);
        memcpy(s->kv + i, step == 4 ? (void *)&x : (void *)&f16, (size_t)step); // in q8 any bytes do
    }
    for (int64_t i = 1; i < s->n_layers; i++) memcpy(s->kv + (size_t)i * layer, s->kv, layer);
}

static void measure(bench *s, const kernel_target *target)
{
    const attention_kernel *k = s->k;
    void *table = (void *)(uintptr_t)s->table, *buffers[] = {s->q, table, table, s->y}, *peak_buffer[] = {s->y};
    double peak_s = time_call(s->kernels[PEAK], peak_buffer, NULL, PEAK_TILES),
           peak = (double)PEAK_TILES * ceiling_tile_flops(CEILING_FMA, target) / peak_s / 1e9;
    int64_t prefill[] = {PREFILL, 0, DEPTH, 0, 0}, tile_tokens = attention_tiles_for(k, target).tokens;
    double prefill_s =
        time_call(s->kernels[ATTENTION], buffers, prefill, k->n_kv_heads * ((PREFILL + tile_tokens - 1) / tile_tokens));
    double gflops = 4.0 * (double)(k->n_heads * k->head_dim) * (PREFILL * (PREFILL + 1) / 2) / prefill_s / 1e9;
    printf("prefill %5.1f GFLOP/s, %2.0f %% of %5.1f", gflops, 100 * gflops / peak, peak);

    double layer_bytes = (double)(DEPTH * kv_bytes_per_position(k->n_kv_heads, k->head_dim, k->kv));
    buffers[3] = s->parts;
    double cached_s = time_call(s->kernels[ATTENTION], buffers, s->dims, s->n_spans * k->n_kv_heads);
    printf("  decode cached %5.1f GB/s", layer_bytes / cached_s / 1e9);

    double spent[2] = {0}, bytes = layer_bytes * (double)s->n_layers;
    time_layers(s, spent);
    printf(", from memory %4.1f GB/s, %3.0f %% of %4.1f\n", bytes / spent[0] / 1e9, 100 * spent[1] / spent[0],
           bytes / spent[1] / 1e9);
}

static void run_bench(const char *cpu, thread_pool *pool, const char *model, const attention_kernel *k)
{
    harness h;
    wf_error err = {0};
    // the cache ends with the position of the token, so that reading all of it is reading what attention reads
    bench s = {.k = k, .pool = pool, .dims = {1, DEPTH - 1, DEPTH, 1}, .n_spans = DEPTH / ATTENTION_SPAN};
    s.half = (size_t)(KV_BLOCK * kv_bytes_per_position(k->n_kv_heads, k->head_dim, k->kv) / 2);
    s.n_layers = MEMORY_BYTES / (int64_t)layer_of_all(&s);
    size_t rows = (size_t)(PREFILL * k->n_heads * k->head_dim) * 4;
    if (compile(&h, cpu, &s, &err) != WF_OK) {
        fprintf(stderr, "%s: %s\n", cpu, err.message);
        harness_close(&h);
        return;
    }
    s.q = filled_memory(rows, 0);
    s.y = filled_memory(rows + 1024, 0);
    s.kv = filled_memory((size_t)s.n_layers * layer_of_all(&s), 0);
    for (int i = 0; i < DEPTH / KV_BLOCK; i++) s.table[i] = s.kv + (size_t)i * (size_t)s.n_layers * 2 * s.half;
    s.parts = filled_memory((size_t)(s.n_spans * k->n_heads * attention_part_bytes(k->head_dim)), 0);
    s.ended = filled_memory(2 * (size_t)s.n_layers * sizeof(double), 0);
    s.spent = filled_memory(2 * (size_t)s.n_layers * ROUNDS * sizeof(double), 0);
    fill(&s);
    printf("%-8s %s kv  ", model, kv_type_name(k->kv));
    measure(&s, &h.builder.target);
    free(s.q);
    free(s.y);
    free(s.kv);
    free(s.parts);
    free(s.ended);
    free(s.spent);
    harness_close(&h);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *model;
        int64_t n_heads, n_kv_heads, head_dim;
    } shapes[] = {{"SmolLM2", 9, 3, 64}, {"R1-1.5B", 12, 2, 128}, {"gemma-3", 4, 1, 256}};
    thread_pool *pool;
    wf_error err = {0};
    if (thread_pool_create(argc > 1 ? atoi(argv[1]) : cores_usable(), &pool, &err) != WF_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (kv_type kv = 0; kv < KV_TYPE_COUNT; kv++) {
            attention_kernel k = {.n_heads = shapes[i].n_heads,
                                  .n_kv_heads = shapes[i].n_kv_heads,
                                  .head_dim = shapes[i].head_dim,
                                  .span = ATTENTION_SPAN,
                                  .scale = 1 / sqrt((double)shapes[i].head_dim),
                                  .kv = kv};
            run_bench(argc > 2 ? argv[2] : "native", pool, shapes[i].model, &k);
        }
    thread_pool_free(pool);
    return 0;
}
