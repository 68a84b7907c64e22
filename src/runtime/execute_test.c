// The walker on a hand-made program with kernels in C: every tile once, calls in order, the same bytes for any number
// of threads, pointers and sizes as the affine forms say.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/execute.h"

enum { N = 512, MIXES = 60 }; // values of an array; calls of the mixing program

// out[i] = 3 * in[(7 i + k) mod n] + i + k: reads what other threads wrote in the call before. A tile is 16 values.
static void mix(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end)
{
    const uint32_t *in = buffers[0];
    uint32_t *out = buffers[1];
    int64_t k = dims[0], n = dims[1];
    for (int64_t i = 16 * begin; i < 16 * end && i < n; i++) out[i] = 3 * in[(7 * i + k) % n] + (uint32_t)(i + k);
}

// One tile: adds the sum of all values to each.
static void add_sum(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end)
{
    uint32_t *values = buffers[0], sum = 0;
    if (begin != 0 || end != 1) return;
    for (int64_t i = 0; i < dims[0]; i++) sum += values[i];
    for (int64_t i = 0; i < dims[0]; i++) values[i] += sum;
}

static void count_tiles(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end)
{
    unsigned char *counts = buffers[0];
    (void)dims;
    for (int64_t i = begin; i < end; i++) counts[i]++;
}

static void note_thread(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end)
{
    pthread_t self = pthread_self();
    (void)dims;
    if (begin == 0 && end == 1) memcpy(buffers[0], &self, sizeof self);
}

static void note_call(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end)
{
    int64_t *out = buffers[0];
    out[0] = (int64_t)(uintptr_t)buffers[1];
    out[1] = (int64_t)(uintptr_t)buffers[2];
    out[2] = (int64_t)(uintptr_t)buffers[3];
    memcpy(out + 3, dims, PROGRAM_MAX_SIZES * sizeof *dims);
    out[3 + PROGRAM_MAX_SIZES] = begin;
    out[4 + PROGRAM_MAX_SIZES] = end;
}

enum { MIX, ADD_SUM, COUNT_TILES, NOTE_THREAD, NOTE_CALL, N_KERNELS };
static const char *const NAMES[N_KERNELS] = {"mix", "add_sum", "count_tiles", "note_thread", "note_call"};

enum { MAX_CALLS = MIXES * 3, N_BUFFERS = 4 };

typedef struct machine {
    program_call calls[MAX_CALLS];
    program_buffer buffers[MAX_CALLS][N_BUFFERS];
    affine sizes[MAX_CALLS][PROGRAM_MAX_SIZES];
    program_area areas[BASE_COUNT];
    kernel_fn kernels[N_KERNELS];
    executable exe;
    _Alignas(64) unsigned char memory[8 * N * 4];
    unsigned char *bases[BASE_COUNT];
} machine;

static machine *make_machine(void)
{
    machine *m = aligned_alloc(64, sizeof *m);
    assert_non_null(m);
    memset(m, 0, sizeof *m);
    const kernel_fn kernels[N_KERNELS] = {mix, add_sum, count_tiles, note_thread, note_call};
    memcpy(m->kernels, kernels, sizeof kernels);
    for (int i = 0; i < BASE_COUNT; i++)
        m->areas[i].kind = i == BASE_ARENA ? AREA_ARENA : i == BASE_KV ? AREA_STATE : AREA_ARGUMENT;
    m->exe.program = (program){.name = "test",
                               .architecture = "test",
                               .n_dims = N_SEQUENCE_DIMS,
                               .dims = program_sequence_dims,
                               .n_areas = BASE_COUNT,
                               .areas = m->areas,
                               .n_kernels = N_KERNELS,
                               .kernels = NAMES,
                               .calls = m->calls};
    m->exe.kernels = m->kernels;
    for (int i = 0; i < BASE_COUNT; i++) m->bases[i] = m->memory;
    return m;
}

static program_call *add_call(machine *m, uint32_t kernel, affine tiles, int64_t divisor)
{
    uint32_t index = m->exe.program.n_calls++;
    program_call *call = &m->calls[index];
    *call = (program_call){.kernel = kernel,
                           .label = "test",
                           .tiles = {.a = tiles, .divisor = divisor, .factor = 1},
                           .grain = 1,
                           .buffers = m->buffers[index],
                           .sizes = m->sizes[index]};
    return call;
}

static affine constant(int64_t value) { return (affine){{[DIM_ONE] = value}}; }

// They belong to the machine.
static program_buffer *buffer_at(const program_call *call, uint32_t i)
{
    return (program_buffer *)(uintptr_t)&call->buffers[i];
}

static void add_size(program_call *call, affine size)
{
    affine *sizes = (affine *)(uintptr_t)call->sizes;
    sizes[call->n_sizes++] = size;
}

static void add_buffer(program_call *call, int64_t offset)
{
    // An extent that makes some calls long enough to be cut in pieces, though nothing here touches so much.
    *buffer_at(call, call->n_buffers++) =
        (program_buffer){.area = BASE_ARENA, .offset = constant(offset), .bytes = constant(1 << 22), .written = true};
}

static void observe(machine *m, int n_threads, const int64_t dims[DIM_COUNT], execute_observer *observer, void *context)
{
    thread_pool *pool;
    executor *e;
    assert_int_equal(thread_pool_create(n_threads, &pool, NULL), WF_OK);
    assert_int_equal(executor_create(&m->exe, pool, &e, NULL), WF_OK);
    executor_observe(e, observer, context);
    assert_int_equal(executor_run(e, m->bases, dims, NULL), WF_OK);
    executor_free(e);
    thread_pool_free(pool);
}

static void run(machine *m, int n_threads, const int64_t dims[DIM_COUNT]) { observe(m, n_threads, dims, NULL, NULL); }

// Two arrays in turn; now and then single-tile calls in a row, and calls without tiles.
static machine *make_mixing_machine(int64_t n_values)
{
    machine *m = make_machine();
    for (int i = 0; i < MIXES; i++) {
        program_call *call = add_call(m, MIX, constant(i % 7 == 3 ? 16 : n_values), 16); // sometimes one tile
        add_buffer(call, i % 2 * N * 4);
        add_buffer(call, (i + 1) % 2 * N * 4);
        add_size(call, constant(i));
        add_size(call, constant(n_values));
        if (i % 3 == 1) // a short call: one piece
            buffer_at(call, 0)->bytes = buffer_at(call, 1)->bytes = constant(64);
        if (i % 5 == 2) add_call(m, COUNT_TILES, constant(0), 1);
        if (i % 5 == 0)
            for (int j = 0; j <= i % 2; j++) {
                call = add_call(m, ADD_SUM, constant(1), 1);
                add_buffer(call, (i + 1) % 2 * N * 4);
                add_size(call, constant(n_values));
            }
    }
    for (int i = 0; i < 2 * N; i++) ((uint32_t *)(void *)m->memory)[i] = (uint32_t)i * 2654435761u;
    return m;
}

static void test_same_for_any_threads(void **state)
{
    (void)state;
    const int64_t sizes[] = {N, 17, 100};
    const int threads[] = {1, 2, 3, 8};
    const int64_t dims[DIM_COUNT] = {1, 1, 0, 1, 64};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        machine *reference = make_mixing_machine(sizes[s]);
        for (uint32_t i = 0; i < reference->exe.program.n_calls; i++) { // the program as a plain loop
            const program_call *call = &reference->calls[i];
            void *buffers[PROGRAM_MAX_BUFFERS];
            int64_t sizes_of_call[PROGRAM_MAX_SIZES];
            for (uint32_t b = 0; b < call->n_buffers; b++)
                buffers[b] = reference->memory + call->buffers[b].offset.c[DIM_ONE];
            for (uint32_t d = 0; d < call->n_sizes; d++) sizes_of_call[d] = call->sizes[d].c[DIM_ONE];
            int64_t n_tiles = (call->tiles.a.c[DIM_ONE] + call->tiles.divisor - 1) / call->tiles.divisor;
            for (int64_t t = 0; t < n_tiles; t++) reference->kernels[call->kernel](buffers, sizes_of_call, t, t + 1);
        }
        for (size_t t = 0; t < sizeof threads / sizeof *threads; t++)
            for (int round = 0; round < 5; round++) {
                machine *m = make_mixing_machine(sizes[s]);
                run(m, threads[t], dims);
                assert_memory_equal(m->memory, reference->memory, sizeof m->memory);
                free(m);
            }
        free(reference);
    }
}

static void test_every_tile_once(void **state)
{
    (void)state;
    const int64_t counts[] = {0, 1, 2, 5, 64, 4000};
    const int threads[] = {1, 2, 3, 8};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
            machine *m = make_machine();
            for (int i = 0; i < 20; i++) add_buffer(add_call(m, COUNT_TILES, (affine){{[DIM_TOKENS] = 1}}, 1), 64);
            const int64_t dims[DIM_COUNT] = {1, counts[c], 0, 0, 64};
            run(m, threads[t], dims);
            for (int64_t i = 0; i < (int64_t)sizeof m->memory - 64; i++)
                if (m->memory[64 + i] != (i < counts[c] ? 20 : 0))
                    fail_msg("tile %d ran %d times", (int)i, m->memory[64 + i]);
            free(m);
        }
}

static void test_single_tile_runs_on_caller(void **state)
{
    (void)state;
    machine *m = make_machine();
    for (int i = 0; i < 100; i++) add_buffer(add_call(m, NOTE_THREAD, constant(1), 1), 64 * i);
    const int64_t dims[DIM_COUNT] = {1, 1, 0, 1, 64};
    run(m, 3, dims);
    for (int i = 0; i < 100; i++) {
        pthread_t ran;
        memcpy(&ran, m->memory + 64 * i, sizeof ran);
        assert_true(pthread_equal(ran, pthread_self()));
    }
    free(m);
}

static void test_resolution(void **state)
{
    (void)state;
    machine *m = make_machine();
    static unsigned char rope[4096], *table[4];
    m->bases[BASE_ROPE] = rope;
    m->bases[BASE_KV] = (unsigned char *)table;
    program_call *call = add_call(m, NOTE_CALL, (affine){{[DIM_TOKENS] = 1, [DIM_PAST] = 1}}, 64);
    call->n_buffers = 4;
    *buffer_at(call, 0) = (program_buffer){.area = BASE_ARENA, .written = true};
    *buffer_at(call, 1) = (program_buffer){.area = BASE_ROPE, .offset = {{64, 2, 3, 5, 7}}};
    *buffer_at(call, 2) = (program_buffer){.area = BASE_ARENA, .offset = {{[DIM_CONTEXT] = 4}}};
    *buffer_at(call, 3) = (program_buffer){.area = BASE_KV, .offset = {{64, 2, 3, 5, 7}}}; // gets the table itself
    for (int i = 0; i < PROGRAM_MAX_SIZES; i++)
        add_size(call, (affine){{[DIM_ONE] = i, [DIM_TOKENS] = 10, [DIM_PAST] = -i}});
    const int64_t dims[DIM_COUNT] = {1, 30, 34, 1, 128}; // 64 positions: one tile
    run(m, 2, dims);
    int64_t noted[5 + PROGRAM_MAX_SIZES];
    memcpy(noted, m->memory, sizeof noted);
    assert_true((uintptr_t)noted[0] == (uintptr_t)(rope + 64 + 60 + 102 + 5 + 896));
    assert_true((uintptr_t)noted[1] == (uintptr_t)(m->memory + 512));
    assert_true((uintptr_t)noted[2] == (uintptr_t)table);
    for (int i = 0; i < PROGRAM_MAX_SIZES; i++) assert_int_equal(noted[3 + i], i + 300 - 34 * i);
    assert_int_equal(noted[3 + PROGRAM_MAX_SIZES], 0);
    assert_int_equal(noted[4 + PROGRAM_MAX_SIZES], 1);
    free(m);
}

static void test_empty_plan(void **state)
{
    (void)state;
    machine *m = make_machine();
    const int64_t dims[DIM_COUNT] = {1, 1, 0, 1, 64};
    run(m, 2, dims);
    add_call(m, COUNT_TILES, constant(0), 1); // nothing but calls without tiles
    run(m, 2, dims);
    free(m);
}

typedef struct watcher {
    int n_runs, n_threads;
    double spent[3];
    bool worked[3][2]; // [call][thread]
} watcher;

static void watch(void *context, const execute_record *r)
{
    watcher *w = context;
    double previous = r->begin;
    w->n_runs++;
    w->n_threads = r->n_threads;
    assert_int_equal(r->program->n_calls, 3);
    assert_int_equal(r->dims[DIM_TOKENS], 9);
    for (uint32_t i = 0; i < 3; i++) {
        double end = execute_call_end(r, i);
        for (int t = 0; t < r->n_threads; t++) {
            const execute_span *span = &r->spans[(uint32_t)t * 3 + i];
            w->worked[i][t] = span->begin > 0;
            if (!w->worked[i][t]) continue;
            assert_true(span->begin >= previous && span->end >= span->begin && end >= span->end);
        }
        if (end == 0) continue;
        w->spent[i] = end - previous;
        previous = end;
    }
    assert_true(r->end >= previous);
}

static void test_observer(void **state)
{
    (void)state;
    watcher w = {0};
    unsetenv("WELFORD_POISON");
    machine *m = make_machine();
    add_buffer(add_call(m, COUNT_TILES, (affine){{[DIM_TOKENS] = 1}}, 1), 64);
    add_call(m, COUNT_TILES, constant(0), 1);
    add_buffer(add_call(m, NOTE_THREAD, constant(1), 1), 0);
    const int64_t dims[DIM_COUNT] = {1, 9, 4, 1, 64};
    observe(m, 2, dims, watch, &w);
    assert_int_equal(w.n_threads, 2);
    assert_true(w.worked[0][0] || w.worked[0][1]);
    assert_false(w.worked[1][0] || w.worked[1][1]); // no tiles
    assert_true(w.worked[2][0] != w.worked[2][1]);  // one tile
    observe(m, 1, dims, watch, &w);
    assert_int_equal(w.n_threads, 1);
    assert_int_equal(w.n_runs, 2);
    assert_true(w.worked[0][0] && w.worked[2][0]);
    for (int i = 0; i < 9; i++) assert_int_equal(m->memory[64 + i], 2);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_for_any_threads),
        cmocka_unit_test(test_every_tile_once),
        cmocka_unit_test(test_single_tile_runs_on_caller),
        cmocka_unit_test(test_resolution),
        cmocka_unit_test(test_empty_plan),
        cmocka_unit_test(test_observer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
