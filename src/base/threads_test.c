// The pool under 1, 2, 3 and 8 threads: calls keep their order, tiles are handed out exactly once, and an idle pool
// sleeps.
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/threads.h"

static const int SIZES[] = {1, 2, 3, 8};
enum { N_SIZES = 4 };

typedef struct shared {
    thread_pool *pool;
    int n, rounds;
    int64_t value[8]; // not atomic, so that TSan sees races
    int64_t wrong[8];
    _Atomic int visits;
    int64_t n_tiles, grain;
    unsigned char *taken; // [n_tiles], written by whoever takes the tile
    int64_t sums[8];
} shared;

static void count_visit(void *context, int thread)
{
    shared *s = context;
    (void)thread;
    atomic_fetch_add(&s->visits, 1);
}

static void test_run(void **state)
{
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        shared s = {.n = SIZES[i]};
        assert_int_equal(thread_pool_create(s.n, &s.pool, NULL), WF_OK);
        assert_int_equal(thread_pool_size(s.pool), s.n);
        for (int round = 0; round < 200; round++) thread_pool_run(s.pool, count_visit, &s);
        assert_int_equal(s.visits, 200 * s.n);
        thread_pool_free(s.pool);
    }
    thread_pool *pool;
    wf_error err;
    assert_int_equal(thread_pool_create(0, &pool, &err), WF_ERROR_USAGE);
    assert_int_equal(thread_pool_create(1000000, &pool, &err), WF_ERROR_USAGE);
    assert_null(pool);
    thread_pool_free(NULL);
}

// Takes and finishes a call of one tile for each thread and, when all are done, checks everybody's.
static void walk_rounds(void *context, int thread)
{
    shared *s = context;
    for (int round = 1; round <= s->rounds; round++) {
        size_t call = (size_t)(2 * round - 2);
        for (int step = 0; step < 2; step++, call++) {
            tile_range t;
            while (t = work_take(s->pool, call, thread, s->n, 1), t.begin < t.end) {
                for (int i = 0; i < s->n && step; i++) s->wrong[t.begin] += s->value[i] != round;
                if (!step) s->value[t.begin] = round;
                work_finish(s->pool, call, 1, s->n);
            }
            work_wait(s->pool, call, s->n);
        }
    }
}

static void test_order(void **state)
{
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        shared s = {.n = SIZES[i], .rounds = SIZES[i] > 2 ? 300 : 3000};
        assert_int_equal(thread_pool_create(s.n, &s.pool, NULL), WF_OK);
        assert_true(work_begin(s.pool, 2 * (size_t)s.rounds));
        thread_pool_run(s.pool, walk_rounds, &s);
        for (int t = 0; t < s.n; t++) assert_int_equal(s.wrong[t], 0);
        thread_pool_free(s.pool);
    }
}

// A thread that is late with its tile finds the others asleep on the futex, and wakes them; so does the last to end.
static void come_late(void *context, int thread)
{
    shared *s = context;
    for (int round = 0; round < 3; round++) {
        tile_range t = work_take(s->pool, (size_t)round, thread, s->n, 1);
        if (thread == round % s->n) usleep(20000);
        for (; t.begin < t.end; t = work_take(s->pool, (size_t)round, thread, s->n, 1)) {
            s->value[t.begin]++;
            work_finish(s->pool, (size_t)round, 1, s->n);
        }
        work_wait(s->pool, (size_t)round, s->n);
    }
    if (thread == s->n - 1) usleep(20000);
}

static void test_late_thread(void **state)
{
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        shared s = {.n = SIZES[i]};
        assert_int_equal(thread_pool_create(s.n, &s.pool, NULL), WF_OK);
        for (int run = 0; run < 2; run++) {
            assert_true(work_begin(s.pool, 3));
            thread_pool_run(s.pool, come_late, &s);
            usleep(20000);
        }
        for (int t = 0; t < s.n; t++) assert_int_equal(s.value[t], 6);
        thread_pool_free(s.pool);
    }
}

// Every tile of every call once, never more than a grain at a time.
static void take_tiles(void *context, int thread)
{
    shared *s = context;
    for (size_t call = 0; call < (size_t)s->rounds; call++) {
        tile_range r;
        while (r = work_take(s->pool, call, thread, s->n_tiles, s->grain), r.begin < r.end) {
            if (r.begin < 0 || r.end > s->n_tiles || r.end - r.begin > s->grain) s->wrong[thread]++;
            for (int64_t tile = r.begin; tile < r.end; tile++) s->wrong[thread] += s->taken[tile]++ != call;
            s->sums[thread] += r.end - r.begin;
            work_finish(s->pool, call, r.end - r.begin, s->n_tiles);
        }
        work_wait(s->pool, call, s->n_tiles);
    }
}

static void test_tiles(void **state)
{
    (void)state;
    const int64_t counts[] = {0, 1, 2, 7, 8, 9, 100, 1003};
    const int64_t grains[] = {1, 3, 64, 5000};
    for (int i = 0; i < N_SIZES; i++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                shared s = {.n = SIZES[i], .rounds = 5, .n_tiles = counts[c], .grain = grains[g]};
                s.taken = calloc((size_t)s.n_tiles + 1, 1);
                assert_non_null(s.taken);
                assert_int_equal(thread_pool_create(s.n, &s.pool, NULL), WF_OK);
                assert_true(work_begin(s.pool, (size_t)s.rounds));
                thread_pool_run(s.pool, take_tiles, &s);
                int64_t sum = 0;
                for (int t = 0; t < s.n; t++) {
                    assert_int_equal(s.wrong[t], 0);
                    sum += s.sums[t];
                }
                assert_int_equal(sum, s.n_tiles * s.rounds);
                thread_pool_free(s.pool);
                free(s.taken);
            }
}

// A sequence of calls: every tile once, and none before the call before it is finished.
typedef struct sequence {
    thread_pool *pool;
    int n_calls, n_tiles;
    int64_t *value; // [n_calls][n_tiles], each 1 + the sum of the call before it: not atomic, so that TSan sees races
    _Atomic int finished;
} sequence;

static int64_t sum_of_call(const sequence *s, int call)
{
    int64_t sum = 0;
    for (int i = 0; call >= 0 && i < s->n_tiles; i++) sum = (sum + s->value[call * s->n_tiles + i]) % 1000003;
    return sum;
}

static void run_sequence(void *context, int thread)
{
    sequence *s = context;
    for (int call = 0; call < s->n_calls; call++) {
        for (;;) {
            tile_range t = work_take(s->pool, (size_t)call, thread, s->n_tiles, 3);
            if (t.begin == t.end) break;
            for (int64_t i = t.begin; i < t.end; i++)
                s->value[call * s->n_tiles + i] += 1 + sum_of_call(s, call - 1) + i;
            s->finished += work_finish(s->pool, (size_t)call, t.end - t.begin, s->n_tiles);
        }
        work_wait(s->pool, (size_t)call, s->n_tiles);
    }
}

static void test_work(void **state)
{
    (void)state;
    enum { CALLS = 40, TILES = 29 };
    for (int i = 0; i < N_SIZES; i++) {
        sequence s = {.n_calls = CALLS, .n_tiles = TILES};
        assert_int_equal(thread_pool_create(SIZES[i], &s.pool, NULL), WF_OK);
        for (int round = 0; round < 20; round++) {
            s.n_calls = round % 2 ? CALLS : CALLS / 2; // growing and shrinking sequences
            s.value = calloc(CALLS * TILES, sizeof *s.value);
            s.finished = 0;
            assert_true(work_begin(s.pool, (size_t)s.n_calls));
            thread_pool_run(s.pool, run_sequence, &s);
            assert_int_equal(s.finished, s.n_calls);
            for (int call = 0; call < s.n_calls; call++)
                for (int t = 0; t < TILES; t++)
                    assert_int_equal(s.value[call * TILES + t], 1 + sum_of_call(&s, call - 1) + t);
            free(s.value);
        }
        thread_pool_free(s.pool);
    }
}

// A thread's first tiles are its own share, from the front; then it takes the others'.
static void test_own_share_first(void **state)
{
    (void)state;
    thread_pool *pool;
    assert_int_equal(thread_pool_create(3, &pool, NULL), WF_OK);
    assert_true(work_begin(pool, 2)); // shares [0,4) [4,7) [7,10)
    const tile_range expected[] = {{4, 6}, {6, 7}, {7, 9}, {9, 10}, {0, 2}, {2, 4}, {0, 0}, {0, 0}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        tile_range r = work_take(pool, 0, 1, 10, 2);
        assert_int_equal(r.begin, expected[i].begin);
        assert_int_equal(r.end, expected[i].end);
    }
    tile_range r = work_take(pool, 1, 2, INT32_MAX, INT32_MAX);
    assert_true(r.begin > 0 && r.end == INT32_MAX);
    thread_pool_free(pool);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec) * 1e-6;
}

static void test_idle_pool_sleeps(void **state)
{
    (void)state;
    shared s = {.n = 4};
    assert_int_equal(thread_pool_create(s.n, &s.pool, NULL), WF_OK);
    thread_pool_run(s.pool, count_visit, &s);
    usleep(50000); // they spin for some µs first
    double before = cpu_seconds();
    usleep(300000);
    assert_true(cpu_seconds() - before < 0.03);
    thread_pool_free(s.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),   cmocka_unit_test(test_order),           cmocka_unit_test(test_late_thread),
        cmocka_unit_test(test_tiles), cmocka_unit_test(test_own_share_first), cmocka_unit_test(test_idle_pool_sleeps),
        cmocka_unit_test(test_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
