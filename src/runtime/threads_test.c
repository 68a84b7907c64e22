// The pool under 1, 2, 3 and 8 threads: barriers keep order, tiles are handed out exactly once, an idle pool sleeps,
// and cgroup quotas are found.
#define _GNU_SOURCE
#include <limits.h>
#include <sched.h>
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

#include "base/file.h"
#include "runtime/threads.h"

static const int SIZES[] = {1, 2, 3, 8};
enum { N_SIZES = 4 };

typedef struct shared {
    thread_pool *pool;
    int n, rounds;
    int64_t value[8]; // written by its thread, read by all after the barrier: not atomic, so that TSan sees races
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

// In every round each thread writes its own value and, after the barrier, checks everybody's.
static void walk_rounds(void *context, int thread)
{
    shared *s = context;
    for (int round = 1; round <= s->rounds; round++) {
        s->value[thread] = round;
        thread_pool_barrier(s->pool, thread);
        for (int i = 0; i < s->n; i++) s->wrong[thread] += s->value[i] != round;
        thread_pool_barrier(s->pool, thread);
    }
}

static void test_barrier(void **state)
{
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        shared s = {.n = SIZES[i], .rounds = SIZES[i] > 2 ? 300 : 3000};
        assert_int_equal(thread_pool_create(s.n, &s.pool, NULL), WF_OK);
        thread_pool_run(s.pool, walk_rounds, &s);
        for (int t = 0; t < s.n; t++) assert_int_equal(s.wrong[t], 0);
        thread_pool_free(s.pool);
    }
}

// A thread that comes late finds the others asleep on the futex, and wakes them.
static void come_late(void *context, int thread)
{
    shared *s = context;
    for (int round = 0; round < 3; round++) {
        if (thread == round % s->n) usleep(20000);
        s->value[thread]++;
        thread_pool_barrier(s->pool, thread);
    }
}

static void test_late_thread(void **state)
{
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        shared s = {.n = SIZES[i]};
        assert_int_equal(thread_pool_create(s.n, &s.pool, NULL), WF_OK);
        thread_pool_run(s.pool, come_late, &s);
        usleep(20000);
        thread_pool_run(s.pool, come_late, &s);
        for (int t = 0; t < s.n; t++) assert_int_equal(s.value[t], 6);
        thread_pool_free(s.pool);
    }
}

// Two alternating queues, one barrier a call, as the plan walker uses them.
static void take_tiles(void *context, int thread)
{
    shared *s = context;
    for (int call = 0; call < s->rounds; call++) {
        if (thread == 0) tiles_reset(thread_pool_queue(s->pool, (call + 1) % 2), s->n, s->n_tiles, s->grain);
        tile_queue *queue = thread_pool_queue(s->pool, call % 2);
        for (tile_range r = tiles_take(queue, thread); r.begin < r.end; r = tiles_take(queue, thread)) {
            if (r.begin < 0 || r.end > s->n_tiles || r.end - r.begin > s->grain) s->wrong[thread]++;
            for (int64_t tile = r.begin; tile < r.end; tile++) s->taken[tile]++;
            s->sums[thread] += r.end - r.begin;
        }
        thread_pool_barrier(s->pool, thread);
        if (thread == 0)
            for (int64_t tile = 0; tile < s->n_tiles; tile++)
                s->wrong[0] += s->taken[tile] != (unsigned char)(call + 1);
        thread_pool_barrier(s->pool, thread);
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
                tiles_reset(thread_pool_queue(s.pool, 0), s.n, s.n_tiles, s.grain);
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

// A thread's first tiles are its own share, from the front; then it takes the others'.
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

static void test_own_share_first(void **state)
{
    (void)state;
    thread_pool *pool;
    assert_int_equal(thread_pool_create(3, &pool, NULL), WF_OK);
    tile_queue *queue = thread_pool_queue(pool, 0);
    tiles_reset(queue, 3, 10, 2); // shares [0,4) [4,7) [7,10)
    const tile_range expected[] = {{4, 6}, {6, 7}, {7, 9}, {9, 10}, {0, 2}, {2, 4}, {0, 0}, {0, 0}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        tile_range r = tiles_take(queue, 1);
        assert_int_equal(r.begin, expected[i].begin);
        assert_int_equal(r.end, expected[i].end);
    }
    tiles_reset(queue, 3, INT64_MAX, INT64_MAX);
    tile_range r = tiles_take(queue, 2);
    assert_true(r.begin > 0 && r.end == INT64_MAX);
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

static void put(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    assert_int_equal(file_make_folder(path, NULL), WF_OK);
    *slash = '/';
    assert_int_equal(file_write_atomic(path, text, strlen(text), NULL), WF_OK);
}

static void remove_tree(const char *folder)
{
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void test_quota(void **state)
{
    (void)state;
    char folder[] = "/tmp/welford-threads-XXXXXX", list[PATH_MAX];
    assert_non_null(mkdtemp(folder));
    snprintf(list, sizeof list, "%s/cgroup", folder);
    assert_int_equal(threads_quota(list, folder), 0); // no file at all

    put(folder, "cgroup", "0::/a/b\n");
    assert_int_equal(threads_quota(list, folder), 0);
    put(folder, "a/b/cpu.max", "max 100000\n");
    assert_int_equal(threads_quota(list, folder), 0);
    put(folder, "a/cpu.max", "350000 100000\n"); // a parent's quota holds too
    assert_int_equal(threads_quota(list, folder), 4);
    put(folder, "a/b/cpu.max", "50000 100000\n");
    assert_int_equal(threads_quota(list, folder), 1);
    put(folder, "a/b/cpu.max", "800000 100000\n");
    assert_int_equal(threads_quota(list, folder), 4);
    put(folder, "a/cpu.max", "nonsense\n");
    assert_int_equal(threads_quota(list, folder), 8);
    put(folder, "a/b/cpu.max", "100000 0\n");
    assert_int_equal(threads_quota(list, folder), 0);
    put(folder, "cpu.max", "200000 100000"); // the group's own folder is not visible in the container, the root is
    put(folder, "cgroup", "0::/somewhere/else");
    assert_int_equal(threads_quota(list, folder), 2);

    put(folder, "cgroup", "7:cpuset:/\n4:cpu,cpuacct:/job\n0::/hidden\nnonsense\n:\n");
    put(folder, "cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    put(folder, "cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    put(folder, "cpu.max", "max 100000");
    assert_int_equal(threads_quota(list, folder), 0);
    put(folder, "cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n");
    assert_int_equal(threads_quota(list, folder), 2);
    put(folder, "unified/hidden/cpu.max", "100000 100000");
    assert_int_equal(threads_quota(list, folder), 1);
    remove_tree(folder);
}

static void test_usable(void **state)
{
    (void)state;
    int all = threads_usable();
    assert_true(all >= 1 && all <= sysconf(_SC_NPROCESSORS_CONF));
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
            break;
        }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int usable = threads_usable();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(usable, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),   cmocka_unit_test(test_barrier),         cmocka_unit_test(test_late_thread),
        cmocka_unit_test(test_tiles), cmocka_unit_test(test_own_share_first), cmocka_unit_test(test_idle_pool_sleeps),
        cmocka_unit_test(test_quota), cmocka_unit_test(test_usable),          cmocka_unit_test(test_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
