// Speed of attention on one thread: prefill of 512 tokens against the FMA peak of this core, measured in the same run,
// and decode of one token at depth 1024 in bytes of cache a second; and what compiling the kernel costs.
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/half.h"
#include "compiler/kernel/attention.h"
#include "compiler/kernel/harness.h"
#include "compiler/kernel/kv.h"

enum { CONTEXT = 2048, PREFILL = 512, DEPTH = 1024, CHAINS = 12, PEAK_ROUNDS = 100000, ROUNDS = 20 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *allocate(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) exit(1);
    return memset(p, 0, (bytes + 63) / 64 * 64);
}

// Independent chains of FMAs in registers, PEAK_ROUNDS a tile.
static void build_peak(builder *b)
{
    type v = vec(b, b->target.lanes, b->f32);
    kernel_begin(b, "fma_peak");
    value y = operand(b, 0), x = load(b, y, (value){0}, 0, v), acc[CHAINS];
    loop tiles, rounds;
    loop_begin(b, &tiles, b->begin, b->end, 1, 0, NULL);
    for (int i = 0; i < CHAINS; i++) acc[i] = load(b, y, (value){0}, 64, v);
    loop_begin(b, &rounds, const_i(b, 0), const_i(b, PEAK_ROUNDS), 1, CHAINS, acc);
    for (int i = 0; i < CHAINS; i++) acc[i] = fma_(b, rounds.args[i], x, x);
    loop_end(b, &rounds, acc);
    value sum = rounds.results[0];
    for (int i = 1; i < CHAINS; i++) sum = add_f(b, sum, rounds.results[i]);
    store(b, sum, y, (value){0}, 128);
    loop_end(b, &tiles, NULL);
    kernel_end(b);
}

// Sum over the tiles of each one's shortest time, in seconds: tiles are short, so that a busy machine shows little.
static double time_call(kernel_fn f, void *const *buffers, const int64_t *dims, int64_t tiles)
{
    double total = 0;
    for (int64_t t = 0; t < tiles; t++) {
        double best = 1e9;
        for (int round = 0; round < ROUNDS; round++) {
            double start = now();
            f(buffers, dims, t, t + 1);
            double spent = now() - start;
            if (spent < best) best = spent;
        }
        total += best;
    }
    return total;
}

static void bench(const char *cpu, const char *model, const attention_kernel *k)
{
    harness h;
    wf_error err = {0};
    char name[96];
    kernel_fn functions[2];
    if (harness_open(&h, cpu, &err) != WF_OK) goto failed;
    double start = now();
    attention_name(k, name);
    attention_build(&h.builder, k, name);
    int64_t tile_tokens = attention_tiles_for(k, &h.builder.target).tokens;
    int width = h.builder.target.lanes;
    build_peak(&h.builder);
    if (harness_compile(&h, (const char *[]){name, "fma_peak"}, 2, functions, &err) != WF_OK) goto failed;
    double compile_ms = (now() - start) * 1e3;

    int64_t features = k->n_heads * k->head_dim;
    size_t row = (size_t)features * 4,
           half = (size_t)(CONTEXT * kv_bytes_per_position(k->n_kv_heads, k->head_dim, k->kv_f32) / 2);
    float *q = allocate(PREFILL * row), *y = allocate(PREFILL * row);
    unsigned char *caches[] = {allocate(half), allocate(half)};
    uint32_t random = 1;
    for (int64_t i = 0; i < PREFILL * features; i++) {
        random = random * 1664525 + 1013904223;
        q[i] = (float)(int32_t)random * 0x1p-31f;
    }
    for (int c = 0; c < 2; c++)
        for (size_t i = 0; i < half; i += k->kv_f32 ? 4 : 2) {
            random = random * 1664525 + 1013904223;
            float x = (float)(int32_t)random * 0x1p-31f;
            uint16_t f16 = half_from_float(x);
            memcpy(caches[c] + i, k->kv_f32 ? (void *)&x : (void *)&f16, k->kv_f32 ? 4 : 2);
        }
    void *buffers[] = {q, caches[0], caches[1], y}, *peak_buffer[] = {y};
    double peak =
        2.0 * width * (double)CHAINS * (double)PEAK_ROUNDS / time_call(functions[1], peak_buffer, NULL, 1) / 1e9;
    int64_t dims[] = {PREFILL, 0, CONTEXT, 0};
    double prefill_s =
        time_call(functions[0], buffers, dims, k->n_kv_heads * ((PREFILL + tile_tokens - 1) / tile_tokens));
    double gflops = 4.0 * (double)features * (PREFILL * (PREFILL + 1) / 2) / prefill_s / 1e9;
    dims[0] = 1, dims[1] = DEPTH - 1;
    for (int warm = 0; warm < ROUNDS; warm++) functions[0](buffers, dims, 0, k->n_kv_heads);
    double decode_s = time_call(functions[0], buffers, dims, k->n_kv_heads);
    double bytes = (double)(DEPTH * kv_bytes_per_position(k->n_kv_heads, k->head_dim, k->kv_f32));
    printf("%-16s %-8s %s kv  prefill %4d: %6.1f GFLOP/s, %2.0f %% of %5.1f  decode at %d: %5.1f us, %4.1f GB/s  "
           "compile %.0f ms\n",
           cpu, model, k->kv_f32 ? "f32" : "f16", PREFILL, gflops, 100 * gflops / peak, peak, DEPTH, decode_s * 1e6,
           bytes / decode_s / 1e9, compile_ms);
    free(q);
    free(y);
    free(caches[0]);
    free(caches[1]);
    harness_close(&h);
    return;
failed:
    fprintf(stderr, "%s: %s\n", cpu, err.message);
    harness_close(&h);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *model;
        int64_t n_heads, n_kv_heads, head_dim;
    } shapes[] = {{"SmolLM2", 9, 3, 64}, {"R1-1.5B", 12, 2, 128}, {"1 head", 1, 1, 256}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int f32 = 0; f32 < 2; f32++) {
            attention_kernel k = {.n_heads = shapes[i].n_heads,
                                  .n_kv_heads = shapes[i].n_kv_heads,
                                  .head_dim = shapes[i].head_dim,
                                  .scale = 1 / sqrt((double)shapes[i].head_dim),
                                  .kv_f32 = f32};
            bench(argc > 1 ? argv[1] : "native", shapes[i].model, &k);
        }
    return 0;
}
