// The thread pool, and sequences of calls.
//
//   thread 0 (the caller)   run: body, raise start ── body(0) ──────────┐ meet ───── return
//   thread 1..n-1           wait for start ────────── body(t) ──────────┘ meet ───── wait for start
//
// All waiting is done on events: counters that only grow. A waiter that saw value v waits until the counter differs
// from v: it spins, then yields, then sleeps on a futex. Lost wake-ups cannot happen: a waiter counts itself as a
// sleeper before the kernel compares the counter with v, the raiser changes the counter before it looks for sleepers,
// and both in sequentially consistent order, so that one of the two sees the other.
#include "base/threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cores.h"

enum {
    CACHE_LINE = 64,
    SPINS = 2000, // pauses before yielding: 20 to 80 µs, longer than the gap between two calls or two tokens
    SPINS_OVERSUBSCRIBED = 20,
    YIELDS = 40,
    MAX_THREADS = 1024,
};

typedef struct event {
    _Alignas(CACHE_LINE) _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
} event;

// Progress of one call of a sequence. A word is the sequence's number in its upper half and a count in its lower half;
// a word of an older sequence counts as 0, so that nothing needs to be reset between sequences.
typedef struct call_work {
    _Alignas(CACHE_LINE) _Atomic uint64_t done;    // tiles finished
    _Alignas(CACHE_LINE) _Atomic uint64_t taken[]; // [n_threads] tiles taken from each thread's share
} call_work;

typedef struct worker {
    thread_pool *pool;
    int index;
    pthread_t handle;
} worker;

struct wf_pool {
    pthread_mutex_t turn;
    int n_threads, n_started; // n_started: workers that run, 0..n_threads-1
    int spins;
    void (*body)(void *, int); // NULL: workers end
    void *context;
    worker *workers;     // [n_threads]; number 0 is the caller and stays unused
    unsigned char *work; // [work_capacity] call_work of work_stride bytes
    size_t work_stride, work_capacity;
    uint32_t sequence; // number of the current sequence
    event start;       // raised once a run
    event progress;    // raised when a call is finished and somebody sleeps
    event barrier;     // raised when the last thread has ended its body
    _Alignas(CACHE_LINE) _Atomic int arrived;
};

static void event_raise(event *e)
{
    atomic_fetch_add(&e->value, 1);
    if (atomic_load(&e->sleepers)) syscall(SYS_futex, &e->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void event_wait(event *e, uint32_t seen, int spins)
{
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&e->value, memory_order_acquire) != seen) return;
        __builtin_ia32_pause();
    }
    for (int i = 0; i < YIELDS; i++) {
        if (atomic_load_explicit(&e->value, memory_order_acquire) != seen) return;
        sched_yield();
    }
    atomic_fetch_add(&e->sleepers, 1);
    while (atomic_load(&e->value) == seen) syscall(SYS_futex, &e->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&e->sleepers, 1);
}

// Waits until every thread is here.
static void meet(thread_pool *pool)
{
    if (pool->n_threads == 1) return;
    // Read before arriving: it cannot change until this thread has arrived.
    uint32_t seen = atomic_load_explicit(&pool->barrier.value, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 == pool->n_threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        event_raise(&pool->barrier);
    } else {
        event_wait(&pool->barrier, seen, pool->spins);
    }
}

static void *run_worker(void *argument)
{
    worker *self = argument;
    thread_pool *pool = self->pool;
    for (uint32_t seen = 0;; seen++) {
        event_wait(&pool->start, seen, pool->spins);
        if (!pool->body) return NULL;
        pool->body(pool->context, self->index);
        meet(pool);
    }
}

void thread_pool_run(thread_pool *pool, void (*body)(void *context, int thread), void *context)
{
    if (pool->n_threads > 1) {
        pool->body = body;
        pool->context = context;
        event_raise(&pool->start);
    }
    body(context, 0);
    meet(pool);
}

int thread_pool_size(const thread_pool *pool) { return pool->n_threads; }

void thread_pool_take_turn(thread_pool *pool) { pthread_mutex_lock(&pool->turn); }
void thread_pool_end_turn(thread_pool *pool) { pthread_mutex_unlock(&pool->turn); }

wf_status thread_pool_create(int n_threads, thread_pool **out, wf_error *err)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return error_set(err, WF_ERROR_USAGE, "%d threads: must be 1 to %d", n_threads, MAX_THREADS);
    size_t n = (size_t)n_threads;
    thread_pool *pool = aligned_alloc(_Alignof(thread_pool), sizeof *pool);
    if (!pool) return error_memory(err, sizeof *pool);
    memset(pool, 0, sizeof *pool);
    pthread_mutex_init(&pool->turn, NULL); // never fails with Linux's kinds of mutex
    pool->n_threads = n_threads;
    pool->spins = n_threads > cores_usable() ? SPINS_OVERSUBSCRIBED : SPINS;
    pool->workers = calloc(n, sizeof *pool->workers);
    if (!pool->workers) {
        thread_pool_free(pool);
        return error_memory(err, n * sizeof(worker));
    }
    for (int i = 1; i < n_threads; i++) {
        pool->workers[i] = (worker){.pool = pool, .index = i};
        int reason = pthread_create(&pool->workers[i].handle, NULL, run_worker, &pool->workers[i]);
        if (reason) {
            thread_pool_free(pool);
            return error_set(err, WF_ERROR_IO, "thread %d of %d: %s", i + 1, n_threads, strerror(reason));
        }
        pool->n_started++;
    }
    *out = pool;
    return WF_OK;
}

void thread_pool_free(thread_pool *pool)
{
    if (!pool) return;
    pool->body = NULL;
    event_raise(&pool->start);
    for (int i = 1; i <= pool->n_started; i++) pthread_join(pool->workers[i].handle, NULL);
    pthread_mutex_destroy(&pool->turn);
    free(pool->workers);
    free(pool->work);
    free(pool);
}

// --- sequences of calls ----------------------------------------------------------------------------------------------

static call_work *work_of(const thread_pool *pool, size_t call)
{
    return (call_work *)(void *)(pool->work + call * pool->work_stride);
}

static uint32_t count_of(const thread_pool *pool, uint64_t word)
{
    return word >> 32 == pool->sequence ? (uint32_t)word : 0;
}

// Adds to a word's count, as long as that stays within `limit`; returns the count before.
static uint32_t add_count(const thread_pool *pool, _Atomic uint64_t *word, uint32_t n, uint32_t limit)
{
    uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
    for (;;) {
        uint32_t count = count_of(pool, old);
        if (count >= limit) return count;
        uint64_t next = (uint64_t)pool->sequence << 32 | (count + n);
        if (atomic_compare_exchange_weak(word, &old, next)) return count;
    }
}

bool work_begin(thread_pool *pool, size_t n_calls)
{
    size_t lines = ((size_t)pool->n_threads * sizeof(uint64_t) + CACHE_LINE - 1) / CACHE_LINE;
    pool->work_stride = (1 + lines) * CACHE_LINE;
    if (n_calls > pool->work_capacity) {
        unsigned char *bigger = aligned_alloc(CACHE_LINE, n_calls * pool->work_stride);
        if (!bigger) return false;
        memset(bigger, 0, n_calls * pool->work_stride);
        free(pool->work);
        pool->work = bigger;
        pool->work_capacity = n_calls;
        pool->sequence = 0;
    }
    if (++pool->sequence == 0) { // after 2^32 sequences old words could look new
        memset(pool->work, 0, pool->work_capacity * pool->work_stride);
        pool->sequence = 1;
    }
    return true;
}

tile_range work_take(thread_pool *pool, size_t call, int thread, int64_t n_tiles, int64_t grain)
{
    call_work *work = work_of(pool, call);
    int n = pool->n_threads;
    int64_t each = n_tiles / n, rest = n_tiles % n;
    for (int i = 0; i < n; i++) {
        int owner = thread + i < n ? thread + i : thread + i - n;
        int64_t first = owner * each + (owner < rest ? owner : rest), size = each + (owner < rest);
        if (count_of(pool, atomic_load_explicit(&work->taken[owner], memory_order_relaxed)) >= size) continue;
        int64_t taken = add_count(pool, &work->taken[owner], (uint32_t)grain, (uint32_t)size);
        if (taken >= size) continue;
        int64_t end = taken + grain < size ? taken + grain : size;
        return (tile_range){first + taken, first + end};
    }
    return (tile_range){0, 0};
}

bool work_finish(thread_pool *pool, size_t call, int64_t n, int64_t n_tiles)
{
    uint32_t before = add_count(pool, &work_of(pool, call)->done, (uint32_t)n, UINT32_MAX);
    if (before + n < n_tiles) return false;
    // Who sleeps counted itself before it looked at `done` for the last time: one of the two sees the other.
    if (atomic_load(&pool->progress.sleepers)) event_raise(&pool->progress);
    return true;
}

void work_wait(thread_pool *pool, size_t call, int64_t n_tiles)
{
    _Atomic uint64_t *done = &work_of(pool, call)->done;
    for (int i = 0; i < pool->spins + YIELDS; i++) {
        if (count_of(pool, atomic_load_explicit(done, memory_order_acquire)) >= n_tiles) return;
        if (i < pool->spins)
            __builtin_ia32_pause();
        else
            sched_yield();
    }
    event *e = &pool->progress;
    atomic_fetch_add(&e->sleepers, 1);
    for (;;) {
        uint32_t seen = atomic_load(&e->value);
        if (count_of(pool, atomic_load(done)) >= n_tiles) break;
        syscall(SYS_futex, &e->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    }
    atomic_fetch_sub(&e->sleepers, 1);
}
