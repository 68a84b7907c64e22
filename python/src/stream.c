// Stream: a generation on a thread of its own, which knows nothing of Python; who reads it waits without the
// interpreter's lock.
//
//   worker: wf_generate ── callback ──▶ ring of pieces ──▶ next()        close(), or a signal: the callback says stop
//
// The model's lock is taken when it starts, and given back when its thread has ended.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core.h"

enum { RING = 64, MAX_STOPS = 64 }; // pieces that may wait to be read

typedef struct piece {
    int32_t token; // -1: none
    char *text;
    size_t bytes;
} piece;

struct stream_object {
    PyObject_HEAD model_object *model;
    PyObject *texts; // what `stops` point to
    wf_sampler *sampler;
    int32_t *prompt;
    size_t n_prompt;
    const char *stops[MAX_STOPS];
    wf_generate_options options;
    pthread_t thread;
    bool running; // `thread` is to be joined, the model's lock to be given back
    // under `mutex`
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    piece ring[RING];
    size_t first, count;
    bool stop, done;
    // the worker's, until it is done
    wf_status status;
    wf_error err;
    wf_generation result;
};

// ---- the worker

static bool push(stream_object *self, piece p)
{
    pthread_mutex_lock(&self->mutex);
    while (self->count == RING && !self->stop) pthread_cond_wait(&self->changed, &self->mutex);
    bool go_on = !self->stop;
    if (go_on) self->ring[(self->first + self->count++) % RING] = p;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->mutex);
    return go_on;
}

static bool take_token(void *context, int32_t token, const char *text, size_t bytes)
{
    stream_object *self = context;
    piece p = {.token = token, .text = malloc(bytes + 1), .bytes = bytes};
    if (p.text && bytes) memcpy(p.text, text, bytes);
    if (p.text && push(self, p)) return true;
    free(p.text);
    return false;
}

static void *work(void *context)
{
    stream_object *self = context;
    wf_status status = wf_generate(self->model->session, self->sampler, self->prompt, self->n_prompt, &self->options,
                                   &self->result, &self->err);
    pthread_mutex_lock(&self->mutex);
    self->status = status;
    self->done = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->mutex);
    return NULL;
}

// Signals are for the interpreter's threads.
static int start_thread(stream_object *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&self->thread, NULL, work, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

// ---- the reader

void core_stop_stream(stream_object *self)
{
    if (!self->running) return;
    self->running = false;
    self->model->stream = NULL;
    if (!core_lock_is_ours(&self->model->lock)) return; // its thread is in another process
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&self->mutex);
    self->stop = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->mutex);
    pthread_join(self->thread, NULL);
    Py_END_ALLOW_THREADS
    self->model->lock.reading = false;
    core_lock_give(&self->model->lock);
}

// Waits a moment for a piece, or the end. False: neither came.
static bool wait_piece(stream_object *self, piece *p, bool *ended)
{
    enum { NANOSECONDS = 50 * 1000 * 1000, SECOND = 1000 * 1000 * 1000 };
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += NANOSECONDS;
    if (until.tv_nsec >= SECOND) until.tv_sec++, until.tv_nsec -= SECOND;
    pthread_mutex_lock(&self->mutex);
    if (!self->count && !self->done) pthread_cond_timedwait(&self->changed, &self->mutex, &until);
    bool came = self->count > 0;
    if (came) {
        *p = self->ring[self->first];
        self->first = (self->first + 1) % RING;
        self->count--;
        pthread_cond_broadcast(&self->changed);
    }
    *ended = !came && self->done;
    pthread_mutex_unlock(&self->mutex);
    return came || *ended;
}

static PyObject *stream_next(PyObject *object)
{
    stream_object *self = (stream_object *)object;
    piece p = {0};
    bool came = false, ended = false;
    if (!self->running) return NULL; // it has ended
    while (!came) {
        Py_BEGIN_ALLOW_THREADS
        came = wait_piece(self, &p, &ended);
        Py_END_ALLOW_THREADS
        if (!PyErr_CheckSignals() && self->running) continue;
        if (came && !ended) free(p.text);
        core_stop_stream(self);
        return NULL;
    }
    if (!ended) {
        PyObject *result = Py_BuildValue("(is#)", (int)p.token, p.text, (Py_ssize_t)p.bytes);
        free(p.text);
        return result;
    }
    core_stop_stream(self);
    return self->status == WF_OK ? NULL : core_raise(core_state_of(object), &self->err);
}

static PyObject *stream_close(PyObject *object, PyObject *none)
{
    (void)none;
    core_stop_stream((stream_object *)object);
    Py_RETURN_NONE;
}

static PyObject *stream_result(PyObject *object, void *none)
{
    (void)none;
    stream_object *self = (stream_object *)object;
    if (self->running) Py_RETURN_NONE;
    const wf_generation *g = &self->result;
    return Py_BuildValue("{s:s,s:L,s:L,s:L,s:d,s:d,s:L,s:d,s:L,s:L,s:K}", "finish", wf_finish_name(g->finish),
                         "n_prompt", (long long)g->n_prompt, "n_reused", (long long)g->n_reused, "n_generated",
                         (long long)g->n_generated, "prefill_seconds", g->prefill_seconds, "decode_seconds",
                         g->decode_seconds, "n_decoded", (long long)g->n_decoded, "first_token_seconds",
                         g->first_token_seconds, "n_guesses", (long long)g->n_guesses, "n_right", (long long)g->n_right,
                         "seed", (unsigned long long)wf_sampler_seed(self->sampler));
}

static void stream_dealloc(PyObject *object)
{
    stream_object *self = (stream_object *)object;
    core_stop_stream(self);
    for (; self->count; self->count--, self->first = (self->first + 1) % RING) free(self->ring[self->first].text);
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->mutex);
    wf_sampler_free(self->sampler);
    PyMem_Free(self->prompt);
    Py_XDECREF((PyObject *)self->model);
    Py_XDECREF(self->texts);
    core_free(object);
}

// ---- starting

// Takes what is a number over from `values`, a tuple in the order of wf_sampler_options; None: what the model recommends.
static bool take_sampling(PyObject *values, wf_sampler_options *o)
{
    PyObject *v[7];
    if (!PyArg_ParseTuple(values, "OOOOOOO:sampling", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6])) return false;
    if (v[0] != Py_None) o->repeat_penalty = PyFloat_AsDouble(v[0]);
    if (v[1] != Py_None) o->repeat_last_n = PyLong_AsLongLong(v[1]);
    if (v[2] != Py_None) o->top_k = PyLong_AsLongLong(v[2]);
    if (v[3] != Py_None) o->top_p = PyFloat_AsDouble(v[3]);
    if (v[4] != Py_None) o->min_p = PyFloat_AsDouble(v[4]);
    if (v[5] != Py_None) o->temperature = PyFloat_AsDouble(v[5]);
    if (v[6] != Py_None) o->seed = PyLong_AsUnsignedLongLong(v[6]);
    return !PyErr_Occurred();
}

static bool take_stops(stream_object *self, PyObject *stops)
{
    Py_ssize_t n = PyTuple_Size(stops);
    if (n < 0) return false;
    if (n > MAX_STOPS)
        return core_refuse(core_state_of((PyObject *)self), WF_ERROR_USAGE, "more than 64 texts in stop"), false;
    for (Py_ssize_t i = 0; i < n; i++)
        if (!(self->stops[i] = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(stops, i), NULL))) return false;
    self->texts = Py_NewRef(stops);
    self->options.stops = self->stops;
    self->options.n_stops = (size_t)n;
    return true;
}

static stream_object *make_stream(model_object *model)
{
    stream_object *self = (stream_object *)PyType_GenericAlloc(core_state_of((PyObject *)model)->stream, 0);
    pthread_condattr_t monotonic;
    if (!self) return NULL;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&self->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&self->mutex, NULL);
    self->model = (model_object *)Py_NewRef((PyObject *)model);
    self->options.callback = take_token;
    self->options.context = self;
    return self;
}

// The model's lock is taken.
static bool start(stream_object *self, bool speculate)
{
    core_state *state = core_state_of((PyObject *)self);
    wf_error err = {0};
    if (!core_model_is_open(self->model) || !core_model_session(self->model)) return false;
    if (wf_session_speculate(self->model->session, speculate, &err)) return core_raise(state, &err), false;
    if (start_thread(self)) return core_refuse(state, WF_ERROR_IO, "no thread could be started"), false;
    self->running = self->model->lock.reading = true;
    self->model->stream = self;
    return true;
}

PyObject *core_start_stream(model_object *model, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids", "sampling", "max_tokens", "stop", "ignore_end", "speculate", NULL};
    core_state *state = core_state_of((PyObject *)model);
    PyObject *ids, *sampling, *stops;
    long long max_tokens;
    int ignore_end, speculate;
    wf_sampler_options options;
    wf_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!LO!pp:stream", names, &ids, &PyTuple_Type, &sampling,
                                     &max_tokens, &PyTuple_Type, &stops, &ignore_end, &speculate))
        return NULL;
    stream_object *self = make_stream(model);
    if (!self) return NULL;
    self->options.n_max = max_tokens;
    self->options.ignore_end = ignore_end;
    bool good = take_stops(self, stops) && (self->prompt = core_parse_ids(ids, &self->n_prompt));
    if (good && (wf_sampler_recommended(model->model, &options, &err) || !take_sampling(sampling, &options) ||
                 wf_sampler_create(model->model, &options, &self->sampler, &err))) {
        core_raise(state, &err);
        good = false;
    }
    if (good && core_lock_take(&model->lock, state)) {
        if (start(self, speculate)) return (PyObject *)self;
        core_lock_give(&model->lock);
    }
    Py_DECREF((PyObject *)self);
    return NULL;
}

int core_add_stream(PyObject *module, core_state *state)
{
    static PyMethodDef methods[] = {
        {"close", stream_close, METH_NOARGS, "Stops it."},
        {NULL, NULL, 0, NULL},
    };
    static PyGetSetDef members[] = {
        {"result", stream_result, NULL, "wf_generation as a dict, when it has ended; else None.", NULL},
        {NULL, NULL, NULL, NULL, NULL},
    };
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, stream_dealloc},
        {Py_tp_iter, PyObject_SelfIter},
        {Py_tp_iternext, stream_next},
        {Py_tp_methods, methods},
        {Py_tp_getset, members},
        {Py_tp_doc, "Yields (token, text); token is -1 where text comes without one."},
        {0, NULL},
    };
    static PyType_Spec spec = {"welford._core.Stream", sizeof(stream_object), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    return core_add_type(module, &spec, &state->stream);
}
