// Engines and requests of the public interface (welford.h): a lock, and if asked for a thread, around the scheduler.
//
// The lock guards what any thread may touch: the requests on their way to the scheduler, their handles, and the counts.
// The scheduler and all that it holds belong to the thread that steps. A handle has two owners, the caller and the engine,
// until one of them lets go; what is left of a finished request is its result.
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "engine/model.h"
#include "engine/scheduler.h"
#include "welford.h"

enum { DEFAULT_SEQUENCES = 16 };

struct wf_request {
    request r;
    wf_engine *owner;          // NULL: it has been freed
    wf_request *newer, *older; // of the engine's handles
    wf_request *next;          // on the way to the scheduler
    int n_owners;
    bool silent, done;
    wf_piece_callback *callback;
    void *context;
    wf_generation result;
    wf_error error;
};

struct wf_engine {
    wf_model *m;
    engine *e;
    scheduler *s;
    prefix_store *store; // NULL: none
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;
    pthread_cond_t wake;      // of the thread: there is something new
    pthread_cond_t changed;   // a request is finished, or a callback has returned
    wf_request *newest;       // of all handles
    wf_request *first, *last; // on the way to the scheduler
    bool stop;
    wf_request *calling; // whose callback runs, on
    pthread_t caller;
    wf_engine_counts counts;
};

// ---- sizes

static wf_status choose_sizes(const wf_model *m, const wf_engine_options *o, engine_options *sizes, wf_error *err)
{
    const model_sizes *of_model = &m->compiled->sizes;
    size_t block_bytes;
    *sizes = (engine_options){.n_ctx = o->n_ctx, .n_batch = o->n_batch, .n_sequences = o->n_sequences};
    if (sizes->n_sequences == 0) sizes->n_sequences = DEFAULT_SEQUENCES;
    if (sizes->n_batch == 0) sizes->n_batch = ENGINE_DEFAULT_BATCH;
    if (sizes->n_batch < sizes->n_sequences && sizes->n_batch > 0) sizes->n_batch = sizes->n_sequences;
    if (!kv_block_bytes(&of_model->kv, &block_bytes)) return error_memory(err, SIZE_MAX);
    if (o->cache_bytes) {
        size_t n = o->cache_bytes / block_bytes;
        if (n == 0)
            return error_set(err, WF_ERROR_USAGE, "a cache of %zu bytes: keys and values of %d tokens take %zu",
                             o->cache_bytes, KV_BLOCK, block_bytes);
        sizes->n_blocks = n < INT32_MAX ? (int64_t)n : INT32_MAX;
        return engine_check_sizes(of_model, sizes, err);
    }
    engine_options one = {.n_ctx = sizes->n_ctx, .n_batch = sizes->n_batch};
    TRY(engine_check_sizes(of_model, &one, err));
    int64_t most = (int64_t)(memory_total() / 4 / block_bytes), all;
    if (__builtin_mul_overflow(one.n_blocks, sizes->n_sequences, &all)) all = INT64_MAX;
    if (sizes->n_sequences > 0) sizes->n_blocks = all < most ? all : most > one.n_blocks ? most : one.n_blocks;
    sizes->n_ctx = one.n_ctx;
    return engine_check_sizes(of_model, sizes, err);
}

static const wf_engine_options DEFAULTS;

wf_status wf_engine_check(const wf_model *m, const wf_engine_options *options, wf_error *err)
{
    engine_options sizes;
    return choose_sizes(m, options ? options : &DEFAULTS, &sizes, err);
}

// ---- handles, under the lock

static void release(wf_request *h)
{
    if (--h->n_owners > 0) return;
    wf_engine *e = h->owner;
    if (e) {
        if (h->newer)
            h->newer->older = h->older;
        else
            e->newest = h->older;
        if (h->older) h->older->newer = h->newer;
    }
    free(h);
}

static void link_handle(wf_engine *e, wf_request *h)
{
    h->older = e->newest;
    if (h->older) h->older->newer = h;
    e->newest = h;
}

// ---- calls from the scheduler

static bool call_back(void *context, const wf_piece *piece)
{
    wf_request *h = context;
    wf_engine *e = h->owner;
    pthread_mutex_lock(&e->lock);
    bool silent = h->silent || !h->callback;
    e->calling = silent ? NULL : h;
    e->caller = pthread_self();
    pthread_mutex_unlock(&e->lock);
    if (silent) return true;
    bool go_on = h->callback(h->context, piece);
    pthread_mutex_lock(&e->lock);
    e->calling = NULL;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    return go_on;
}

static void note_finished(void *context, request *r)
{
    wf_engine *e = context;
    wf_request *h = r->context;
    wf_generation result = r->result;
    wf_error error = r->error;
    pthread_mutex_lock(&e->lock);
    request_free(r);
    h->result = result;
    h->error = error;
    h->done = true;
    release(h);
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

// ---- steps

static void take_counts(wf_engine *e)
{
    scheduler_counts c = scheduler_count(e->s);
    block_pool_counts blocks = engine_blocks(e->e);
    e->counts = (wf_engine_counts){.n_waiting = c.n_waiting,
                                   .n_running = c.n_running,
                                   .n_finished = c.n_finished,
                                   .n_put_aside = c.n_put_aside,
                                   .n_steps = c.n_steps,
                                   .n_prompt = c.n_prompt,
                                   .n_reused = c.n_reused,
                                   .n_generated = c.n_generated,
                                   .n_guesses = c.n_guesses,
                                   .n_right = c.n_right,
                                   .n_blocks = blocks.n_blocks,
                                   .n_blocks_used = blocks.n_used,
                                   .n_blocks_kept = blocks.n_kept,
                                   .block_tokens = KV_BLOCK,
                                   .busy_seconds = c.busy_seconds};
    if (!e->store) return;
    e->counts.n_blocks_read = prefix_store_count(e->store).n_read;
    e->counts.n_blocks_written = prefix_store_count(e->store).n_written;
}

static void take_new(wf_engine *e)
{
    pthread_mutex_lock(&e->lock);
    for (wf_request *h = e->first; h; h = h->next) scheduler_add(e->s, &h->r);
    e->first = e->last = NULL;
    take_counts(e);
    pthread_mutex_unlock(&e->lock);
}

static bool step(wf_engine *e)
{
    bool idle;
    take_new(e);
    scheduler_step(e->s, &idle);
    pthread_mutex_lock(&e->lock);
    take_counts(e);
    pthread_mutex_unlock(&e->lock);
    return idle;
}

static void *run_thread(void *context)
{
    wf_engine *e = context;
    for (;;) {
        bool idle = step(e);
        pthread_mutex_lock(&e->lock);
        while (idle && !e->stop && !e->first) pthread_cond_wait(&e->wake, &e->lock);
        bool stop = e->stop;
        pthread_mutex_unlock(&e->lock);
        if (stop) return NULL;
    }
}

wf_status wf_engine_step(wf_engine *e, bool *idle, wf_error *err)
{
    bool nothing;
    if (e->started) return error_set(err, WF_ERROR_USAGE, "the engine's own thread is stepping");
    nothing = step(e);
    if (idle) *idle = nothing;
    return WF_OK;
}

wf_status wf_engine_start(wf_engine *e, wf_error *err)
{
    if (e->started) return WF_OK;
    e->stop = false;
    int error = pthread_create(&e->thread, NULL, run_thread, e);
    if (error) return error_set(err, WF_ERROR_MEMORY, "no thread for the engine: the system refuses (%d)", error);
    e->started = true;
    return WF_OK;
}

void wf_engine_stop(wf_engine *e)
{
    if (!e->started) return;
    pthread_mutex_lock(&e->lock);
    e->stop = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    e->started = false;
}

// ---- engines

wf_status wf_engine_create(wf_model *m, const wf_engine_options *options, wf_engine **out, wf_error *err)
{
    engine_options sizes;
    *out = NULL;
    if (!options) options = &DEFAULTS;
    TRY(choose_sizes(m, options, &sizes, err));
    TRY(model_load(m, err));
    wf_engine *e = calloc(1, sizeof *e);
    if (!e) return error_memory(err, sizeof *e);
    e->m = m;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->wake, NULL);
    pthread_cond_init(&e->changed, NULL);
    const scheduler_options scheduling = {.n_sequences = sizes.n_sequences,
                                          .speculate = options->speculate,
                                          .clock = clock_seconds,
                                          .finished = note_finished,
                                          .context = e};
    wf_status status = engine_create(m->compiled, m->pool, &sizes, &e->e, err);
    if (status == WF_OK && options->prefix_cache)
        status = model_open_prefixes(m, options->prefix_cache, &e->store, err);
    if (status == WF_OK) engine_set_store(e->e, e->store);
    if (status == WF_OK) status = scheduler_create(e->e, &scheduling, &e->s, err);
    if (status != WF_OK) {
        wf_engine_free(e);
        return status;
    }
    take_counts(e);
    *out = e;
    return WF_OK;
}

void wf_engine_free(wf_engine *e)
{
    if (!e) return;
    wf_engine_stop(e);
    if (e->s) {
        take_new(e);
        scheduler_finish_all(e->s);
    }
    for (wf_request *h = e->newest; h; h = h->older) h->owner = NULL; // what is left is the callers'
    scheduler_free(e->s);
    engine_free(e->e);
    prefix_store_close(e->store);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->wake);
    pthread_cond_destroy(&e->changed);
    free(e);
}

wf_engine_counts wf_engine_count(const wf_engine *of)
{
    wf_engine *e = (wf_engine *)(uintptr_t)of; // the lock changes, nothing else
    pthread_mutex_lock(&e->lock);
    wf_engine_counts counts = e->counts;
    for (const wf_request *h = e->first; h; h = h->next) counts.n_waiting++;
    pthread_mutex_unlock(&e->lock);
    return counts;
}

int64_t wf_engine_context(const wf_engine *e) { return engine_context(e->e); }

// ---- requests

wf_status wf_engine_submit(wf_engine *e, const wf_request_options *options, wf_request **out, wf_error *err)
{
    if (out) *out = NULL;
    wf_request *h = calloc(1, sizeof *h);
    if (!h) return error_memory(err, sizeof *h);
    wf_status status = request_create(e->m, options, engine_context(e->e), &h->r, err);
    if (status != WF_OK) {
        free(h);
        return status;
    }
    h->owner = e;
    h->n_owners = out ? 2 : 1;
    h->callback = options->callback;
    h->context = options->context;
    h->r.callback = call_back;
    h->r.context = h;
    h->r.submitted = clock_seconds();
    pthread_mutex_lock(&e->lock);
    link_handle(e, h);
    *(e->last ? &e->last->next : &e->first) = h;
    e->last = h;
    if (out) *out = h;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
    return WF_OK;
}

void wf_request_cancel(wf_request *h)
{
    if (!h->owner) return;
    pthread_mutex_lock(&h->owner->lock);
    if (!h->done) atomic_store(&h->r.cancelled, true);
    pthread_mutex_unlock(&h->owner->lock);
}

wf_status wf_request_wait(wf_request *h, wf_generation *result, wf_error *err)
{
    wf_engine *e = h->owner;
    if (e) {
        pthread_mutex_lock(&e->lock);
        while (!h->done) pthread_cond_wait(&e->changed, &e->lock);
        pthread_mutex_unlock(&e->lock);
    }
    if (result) *result = h->result;
    if (h->result.finish != WF_FINISH_ERROR) return WF_OK;
    return error_set(err, h->error.status, "%s", h->error.message);
}

void wf_request_free(wf_request *h)
{
    if (!h) return;
    wf_engine *e = h->owner;
    if (!e) {
        free(h);
        return;
    }
    pthread_mutex_lock(&e->lock);
    h->silent = true;
    if (!h->done) atomic_store(&h->r.cancelled, true);
    while (e->calling == h && !pthread_equal(e->caller, pthread_self())) pthread_cond_wait(&e->changed, &e->lock);
    release(h);
    pthread_mutex_unlock(&e->lock);
}
