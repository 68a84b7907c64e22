#include "server/models.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/threads.h"

struct models {
    const server_options *options;
    void (*changed)(void *context);
    void *context;
    wf_pool *pool;
    pthread_t thread;
    bool started, stop;
    pthread_mutex_t lock;
    pthread_cond_t wake; // of the thread
    served_model *first; // they stay until the end: whoever holds one may go on holding it
};

// ---- opening and freeing, on the thread

static void close_model(served_model *m)
{
    wf_engine_free(m->engine);
    wf_model_close(m->model);
    m->engine = NULL;
    m->model = NULL;
}

static wf_status open_model(models *all, served_model *m, wf_error *err)
{
    const server_options *o = all->options;
    wf_model_options how = o->model;
    how.pool = all->pool;
    how.defer = true;
    TRY(wf_model_open(m->path, &how, &m->model, err));
    TRY(wf_engine_check(m->model, &o->engine, err));
    TRY(wf_engine_create(m->model, &o->engine, &m->engine, err));
    return wf_engine_start(m->engine, err);
}

static void load(models *all, served_model *m)
{
    const char *program = all->options->program, *line;
    wf_error err = {0};
    double started = clock_seconds();
    wf_status status = open_model(all, m, &err);
    m->load_seconds = clock_seconds() - started;
    if (status == WF_OK) {
        for (size_t i = 0; (line = wf_model_warning(m->model, i)); i++) fprintf(stderr, "%s: %s\n", program, line);
        fprintf(stderr, "%s: %s is ready after %.2f s\n", program, m->name, m->load_seconds);
    } else {
        close_model(m);
        fprintf(stderr, "%s: %s\n", program, err.message);
    }
    pthread_mutex_lock(&all->lock);
    m->state = status == WF_OK ? SERVED_READY : SERVED_FAILED;
    m->error = err;
    m->unused_since = clock_seconds();
    pthread_mutex_unlock(&all->lock);
    all->changed(all->context);
}

static double expires_in(const served_model *m)
{
    if (m->state != SERVED_READY || m->n_users) return INFINITY;
    return m->unused_since + m->keep_alive - clock_seconds();
}

// What to do next, under the lock; *wait: seconds until there may be something.
static served_model *find_work(const models *all, double *wait)
{
    *wait = 3600;
    for (served_model *m = all->first; m; m = m->next) {
        double left = expires_in(m);
        if (m->state == SERVED_LOADING || left <= 0) return m;
        if (left < *wait) *wait = left;
    }
    return NULL;
}

static void wait_for_work(models *all, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double whole = floor(seconds);
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)((seconds - whole) * 1e9) + 1000000; // rather late by a millisecond than early
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&all->wake, &all->lock, &until);
}

static void *run_thread(void *context)
{
    models *all = context;
    pthread_mutex_lock(&all->lock);
    while (!all->stop) {
        double wait;
        served_model *m = find_work(all, &wait);
        if (!m) {
            wait_for_work(all, wait);
        } else if (m->state == SERVED_LOADING) {
            pthread_mutex_unlock(&all->lock);
            load(all, m);
            pthread_mutex_lock(&all->lock);
        } else {
            served_model old = *m;
            m->state = SERVED_CLOSED;
            m->model = NULL;
            m->engine = NULL;
            pthread_mutex_unlock(&all->lock);
            close_model(&old);
            pthread_mutex_lock(&all->lock);
        }
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

// ---- the list

static served_model *find(const models *all, const char *name)
{
    for (served_model *m = all->first; m; m = m->next)
        if (!strcmp(m->name, name)) return m;
    return NULL;
}

// Under the lock.
static void add(void *context, const server_model *from)
{
    models *all = context;
    if (!from->path || find(all, from->name)) return;
    served_model *m = calloc(1, sizeof *m), **last = &all->first;
    if (m) m->name = strdup(from->name);
    if (m) m->path = strdup(from->path);
    if (!m || !m->name || !m->path) {
        if (m) free(m->name);
        free(m);
        return; // out of memory: it is not listed
    }
    m->bytes = from->bytes;
    m->created = (int64_t)time(NULL);
    m->keep_alive = all->options->path ? INFINITY : all->options->keep_alive;
    while (*last) last = &(*last)->next;
    *last = m;
}

static wf_status list_again(models *all, wf_error *err)
{
    const server_options *o = all->options;
    return o->path ? WF_OK : o->list_models(o->list_context, add, all, err);
}

wf_status models_list(models *all, served_model ***list, size_t *count, wf_error *err)
{
    *list = NULL;
    *count = 0;
    pthread_mutex_lock(&all->lock);
    wf_status status = list_again(all, err);
    size_t n = 0;
    for (served_model *m = all->first; m; m = m->next) n++;
    if (status == WF_OK && n && !(*list = calloc(n, sizeof **list))) status = error_memory(err, n * sizeof **list);
    for (served_model *m = all->first; *list && m; m = m->next) (*list)[(*count)++] = m;
    pthread_mutex_unlock(&all->lock);
    return status;
}

// ---- using one

// Under the lock.
static models_answer answer(const served_model *m, api_error *err)
{
    switch (m->state) {
    case SERVED_READY: return MODELS_READY;
    case SERVED_FAILED:
        api_fail_status(err, "model", &m->error);
        err->http_status = 503;
        return MODELS_NONE;
    default: return MODELS_LOADING;
    }
}

models_answer models_acquire(models *all, const char *name, served_model **out, api_error *err)
{
    wf_error error;
    pthread_mutex_lock(&all->lock);
    served_model *m = all->options->path ? all->first : name ? find(all, name) : NULL;
    if (!m && name && list_again(all, &error) == WF_OK) m = find(all, name);
    models_answer result = MODELS_NONE;
    if (!m && !name)
        api_fail(err, 400, "model", "model: which of the models that /v1/models lists?");
    else if (!m)
        api_fail(err, 404, "model", "model: there is no model '%.200s' here (/v1/models lists them)", name);
    if (m) {
        if (m->state == SERVED_CLOSED || (m->state == SERVED_FAILED && !all->options->path)) m->state = SERVED_LOADING;
        m->n_users++;
        result = answer(m, err);
        if (result == MODELS_NONE) m->n_users--;
        pthread_cond_signal(&all->wake);
    }
    *out = result == MODELS_NONE ? NULL : m;
    pthread_mutex_unlock(&all->lock);
    return result;
}

models_answer models_poll(models *all, served_model *m, api_error *err)
{
    pthread_mutex_lock(&all->lock);
    models_answer result = answer(m, err);
    pthread_mutex_unlock(&all->lock);
    return result;
}

void models_release(models *all, served_model *m, double keep_alive)
{
    if (!m) return;
    pthread_mutex_lock(&all->lock);
    m->n_users--;
    m->unused_since = clock_seconds();
    if (keep_alive >= 0 && !all->options->path) m->keep_alive = keep_alive;
    pthread_cond_signal(&all->wake);
    pthread_mutex_unlock(&all->lock);
}

bool models_ready(models *all, bool *failed, wf_error *err)
{
    pthread_mutex_lock(&all->lock);
    const served_model *m = all->options->path ? all->first : NULL;
    bool ready = !m || m->state == SERVED_READY;
    *failed = m && m->state == SERVED_FAILED;
    if (*failed) *err = m->error;
    pthread_mutex_unlock(&all->lock);
    return ready;
}

bool models_are_listed(const models *all) { return !all->options->path; }

served_state models_state(models *all, const served_model *m, double *left)
{
    pthread_mutex_lock(&all->lock);
    served_state state = m->state;
    *left = m->n_users ? m->keep_alive : expires_in(m);
    pthread_mutex_unlock(&all->lock);
    return state;
}

void models_each_ready(models *all, void (*visit)(void *context, const served_model *m), void *context)
{
    pthread_mutex_lock(&all->lock);
    for (const served_model *m = all->first; m; m = m->next)
        if (m->state == SERVED_READY) visit(context, m);
    pthread_mutex_unlock(&all->lock);
}

// ---- all of them

wf_status models_create(const server_options *o, void (*changed)(void *context), void *context, models **out,
                        wf_error *err)
{
    *out = NULL;
    models *all = calloc(1, sizeof *all);
    if (!all) return error_memory(err, sizeof *all);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    *all = (models){.options = o, .changed = changed, .context = context};
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    wf_status status = wf_pool_create(o->model.n_threads, &all->pool, err);
    if (status == WF_OK && o->path) {
        add(all, &(server_model){.name = o->name, .path = o->path});
        if (all->first)
            all->first->state = SERVED_LOADING;
        else
            status = error_memory(err, sizeof(served_model));
    }
    if (status == WF_OK && pthread_create(&all->thread, NULL, run_thread, all))
        status = error_set(err, WF_ERROR_MEMORY, "no thread to open models: the system refuses");
    all->started = status == WF_OK;
    if (status != WF_OK)
        models_free(all);
    else
        *out = all;
    return status;
}

void models_free(models *all)
{
    if (!all) return;
    if (all->started) {
        pthread_mutex_lock(&all->lock);
        all->stop = true;
        pthread_cond_signal(&all->wake);
        pthread_mutex_unlock(&all->lock);
        pthread_join(all->thread, NULL);
    }
    for (served_model *m = all->first, *next; m; m = next) {
        next = m->next;
        close_model(m);
        free(m->name);
        free(m->path);
        free(m);
    }
    wf_pool_free(all->pool);
    pthread_mutex_destroy(&all->lock);
    pthread_cond_destroy(&all->wake);
    free(all);
}
