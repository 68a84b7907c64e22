// Model: a wf_model and its only session.
#include "core.h"

bool core_model_is_open(model_object *self)
{
    if (!self->model) core_refuse(core_state_of((PyObject *)self), WF_ERROR_USAGE, "the model is closed");
    return self->model != NULL;
}

bool core_model_session(model_object *self)
{
    wf_error err = {0};
    wf_status status = WF_OK;
    if (self->session) return true;
    Py_BEGIN_ALLOW_THREADS
    status = wf_session_create(self->model, self->n_ctx, 0, &self->session, &err);
    Py_END_ALLOW_THREADS
    if (status != WF_OK) core_raise(core_state_of((PyObject *)self), &err);
    return status == WF_OK;
}

// ---- opening and closing

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"path",    "pool",         "n_ctx",         "kv", "no_cache", "fuse", "no_fuse",
                            "weights", "weights_from", "chat_template", NULL};
    PyObject *path = NULL, *pool;
    long long n_ctx;
    int no_cache;
    wf_model_options options = {0};
    wf_error err = {0};
    wf_status status;
    core_state *state = PyType_GetModuleState(type);
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O!Lzpzzzzz:Model", names, PyUnicode_FSConverter, &path,
                                     state->pool, &pool, &n_ctx, &options.kv, &no_cache, &options.fuse,
                                     &options.no_fuse, &options.weights, &options.weights_from, &options.chat_template))
        return NULL;
    model_object *self = (model_object *)PyType_GenericAlloc(type, 0);
    if (self) {
        self->pool = Py_NewRef(pool);
        self->texts = Py_BuildValue("(OO)", args, kwargs ? kwargs : Py_None);
        self->n_ctx = n_ctx;
    }
    if (!self || !self->texts || core_lock_init(&self->lock)) goto fail;
    options.pool = ((pool_object *)pool)->pool;
    options.no_cache = no_cache;
    Py_BEGIN_ALLOW_THREADS
    status = wf_model_open(PyBytes_AsString(path), &options, &self->model, &err);
    // what the context cannot be, before the first prompt
    if (status == WF_OK) status = wf_model_check_context(self->model, &self->n_ctx, 0, &err);
    Py_END_ALLOW_THREADS
    if (status != WF_OK) {
        core_raise(state, &err);
        goto fail;
    }
    Py_DECREF(path);
    return (PyObject *)self;
fail:
    Py_XDECREF((PyObject *)self);
    Py_DECREF(path);
    return NULL;
}

static void close_model(model_object *self)
{
    if (self->stream) core_stop_stream(self->stream);
    // Threads do not survive a fork, nor can they be ended there: the memory stays.
    if (core_lock_is_ours(&self->lock)) {
        wf_session_free(self->session);
        wf_model_close(self->model);
    }
    self->session = NULL;
    self->model = NULL;
}

static PyObject *model_close(PyObject *object, PyObject *none)
{
    (void)none;
    model_object *self = (model_object *)object;
    if (!self->model) Py_RETURN_NONE;
    if (self->stream) core_stop_stream(self->stream);
    if (core_lock_is_ours(&self->lock)) {
        if (!core_lock_take(&self->lock, core_state_of(object))) return NULL;
        close_model(self);
        core_lock_give(&self->lock);
    }
    self->model = NULL;
    Py_RETURN_NONE;
}

static void model_dealloc(PyObject *object)
{
    model_object *self = (model_object *)object;
    if (self->lock.lock) close_model(self);
    core_lock_free(&self->lock);
    Py_XDECREF(self->pool);
    Py_XDECREF(self->texts);
    core_free(object);
}

// ---- describing

static PyObject *model_describe(PyObject *object, PyObject *none)
{
    (void)none;
    model_object *self = (model_object *)object;
    if (!core_model_is_open(self)) return NULL;
    const wf_model_facts f = wf_model_describe(self->model);
    return Py_BuildValue("{s:s,s:s,s:L,s:L,s:L,s:L,s:L,s:n,s:n,s:i,s:i,s:N,s:N,s:i,s:L,s:N,s:N,s:d,s:d}",
                         "architecture", f.architecture, "name", f.name, "n_vocab", (long long)f.n_vocab, "n_ctx_train",
                         (long long)f.n_ctx_train, "n_layer", (long long)f.n_layer, "n_embd", (long long)f.n_embd,
                         "n_parameters", (long long)f.n_parameters, "file_bytes", (Py_ssize_t)f.file_bytes,
                         "weights_bytes", (Py_ssize_t)f.weights_bytes, "bos", (int)f.bos, "eos", (int)f.eos, "add_bos",
                         PyBool_FromLong(f.add_bos), "has_chat_template", PyBool_FromLong(f.has_chat_template),
                         "n_threads", f.n_threads, "n_ctx", (long long)self->n_ctx, "program_cached",
                         PyBool_FromLong(f.program_cached), "pack_cached", PyBool_FromLong(f.pack_cached),
                         "compile_seconds", f.compile_seconds, "pack_seconds", f.pack_seconds);
}

static PyObject *model_warnings(PyObject *object, PyObject *none)
{
    (void)none;
    model_object *self = (model_object *)object;
    if (!core_model_is_open(self)) return NULL;
    PyObject *list = PyList_New(0);
    const char *text;
    for (size_t i = 0; list && (text = wf_model_warning(self->model, i)); i++) {
        PyObject *line = PyUnicode_FromString(text);
        if (!line || PyList_Append(list, line)) Py_CLEAR(list);
        Py_XDECREF(line);
    }
    return list;
}

static PyObject *model_plan(PyObject *object, PyObject *none)
{
    (void)none;
    model_object *self = (model_object *)object;
    char *text;
    wf_error err = {0};
    if (!core_model_is_open(self)) return NULL;
    if (wf_model_print(self->model, WF_PRINT_PLAN, &text, &err)) return core_raise(core_state_of(object), &err);
    PyObject *result = PyUnicode_FromString(text);
    wf_free(text);
    return result;
}

static PyObject *model_fusions(PyObject *object, PyObject *none)
{
    (void)none;
    model_object *self = (model_object *)object;
    wf_fusion f;
    if (!core_model_is_open(self)) return NULL;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && wf_model_fusion(self->model, i, &f); i++) {
        PyObject *row = Py_BuildValue("(sIIs)", f.name, f.found, f.fused, f.why_not);
        if (!row || PyList_Append(list, row)) Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

// ---- text

static PyObject *model_tokenize(PyObject *object, PyObject *args)
{
    model_object *self = (model_object *)object;
    const char *text;
    Py_ssize_t bytes;
    int special;
    int32_t *ids;
    size_t n;
    wf_error err = {0};
    if (!PyArg_ParseTuple(args, "s#p:tokenize", &text, &bytes, &special) || !core_model_is_open(self)) return NULL;
    if (wf_tokenize(self->model, text, (size_t)bytes, special, &ids, &n, &err))
        return core_raise(core_state_of(object), &err);
    PyObject *list = core_make_ids(ids, n);
    wf_free(ids);
    return list;
}

static PyObject *model_detokenize(PyObject *object, PyObject *args)
{
    model_object *self = (model_object *)object;
    PyObject *sequence, *result = NULL;
    int special;
    size_t n, bytes;
    char *text;
    wf_error err = {0};
    if (!PyArg_ParseTuple(args, "Op:detokenize", &sequence, &special) || !core_model_is_open(self)) return NULL;
    int32_t *ids = core_parse_ids(sequence, &n);
    if (!ids) return NULL;
    if (wf_detokenize(self->model, ids, n, special, &text, &bytes, &err)) {
        core_raise(core_state_of(object), &err);
    } else {
        result = PyUnicode_FromStringAndSize(text, (Py_ssize_t)bytes);
        wf_free(text);
    }
    PyMem_Free(ids);
    return result;
}

// [(role, content), ..]
static PyObject *model_chat_ids(PyObject *object, PyObject *sequence)
{
    model_object *self = (model_object *)object;
    int32_t *ids;
    size_t n_ids;
    wf_error err = {0};
    if (!core_model_is_open(self)) return NULL;
    PyObject *list = PySequence_List(sequence), *result = NULL;
    if (!list) return NULL;
    Py_ssize_t n = PyList_Size(list);
    wf_message *messages = PyMem_Calloc((size_t)n + 1, sizeof *messages);
    if (!messages) PyErr_NoMemory();
    bool good = messages != NULL;
    for (Py_ssize_t i = 0; good && i < n; i++)
        good = PyArg_ParseTuple(PyList_GetItem(list, i), "ss:message", &messages[i].role, &messages[i].content);
    if (good && wf_chat_apply(self->model, messages, (size_t)n, &ids, &n_ids, &err)) {
        core_raise(core_state_of(object), &err);
    } else if (good) {
        result = core_make_ids(ids, n_ids);
        wf_free(ids);
    }
    PyMem_Free(messages);
    Py_DECREF(list);
    return result;
}

static PyObject *model_is_end(PyObject *object, PyObject *args)
{
    model_object *self = (model_object *)object;
    int token;
    if (!PyArg_ParseTuple(args, "i:is_end", &token) || !core_model_is_open(self)) return NULL;
    return PyBool_FromLong(wf_is_end(self->model, token));
}

// ---- evaluating: parts of a sequence, with a look at signals between them

enum { PART = 512 };

static bool eval_part(model_object *self, const int32_t *ids, int64_t n, int64_t first_logits, wf_error *err)
{
    wf_status status;
    Py_BEGIN_ALLOW_THREADS
    status = wf_session_eval(self->session, ids, n, first_logits, err);
    Py_END_ALLOW_THREADS
    if (status != WF_OK) core_raise(core_state_of((PyObject *)self), err);
    return status == WF_OK && !PyErr_CheckSignals();
}

// How many rows of logits are held at a time.
static int64_t rows_of_part(int64_t n_vocab)
{
    enum { BYTES = 64 << 20 };
    int64_t rows = BYTES / (4 * n_vocab);
    return rows < 1 ? 1 : rows < PART ? rows : PART;
}

// Evaluates ids[0 .. n) in a new sequence; only from `first` on their logits are looked at, by `take`, a part at a time.
typedef bool take_logits(model_object *self, const int32_t *ids, int64_t begin, int64_t n, void *context);

static bool eval_all(model_object *self, const int32_t *ids, int64_t n, int64_t first, take_logits *take, void *context)
{
    wf_error err = {0};
    const int64_t rows = rows_of_part(wf_model_describe(self->model).n_vocab);
    if (wf_session_truncate(self->session, 0, &err)) return core_raise(core_state_of((PyObject *)self), &err), false;
    for (int64_t begin = 0; begin < n;) {
        bool looks = begin >= first;
        int64_t part = looks ? rows : first - begin < PART ? first - begin : PART;
        if (part > n - begin) part = n - begin;
        if (!eval_part(self, ids + begin, part, looks ? 0 : part, &err)) return false;
        if (looks && !take(self, ids, begin, part, context)) return false;
        begin += part;
    }
    return true;
}

typedef struct logits_job {
    float *out; // [n - first, n_vocab]
    int64_t first, n_vocab;
} logits_job;

static bool take_rows(model_object *self, const int32_t *ids, int64_t begin, int64_t n, void *context)
{
    (void)ids;
    const logits_job *job = context;
    const size_t row = (size_t)job->n_vocab;
    for (int64_t i = 0; i < n; i++) {
        const float *from = wf_session_logits(self->session, i);
        float *to = job->out + (size_t)(begin + i - job->first) * row;
        for (size_t k = 0; k < row; k++) to[k] = from[k];
    }
    return true;
}

typedef struct score_job {
    double *out; // [n - 1 - first]
    int64_t first, n;
} score_job;

static bool take_scores(model_object *self, const int32_t *ids, int64_t begin, int64_t n, void *context)
{
    const score_job *job = context;
    wf_error err = {0};
    int64_t n_next = begin + n < job->n ? n : job->n - 1 - begin; // nothing follows the last
    wf_status status = wf_session_score(self->session, ids + begin + 1, n_next, job->out + (begin - job->first), &err);
    if (status != WF_OK) core_raise(core_state_of((PyObject *)self), &err);
    return status == WF_OK;
}

// Both take (ids, first).
static PyObject *evaluate(PyObject *object, PyObject *args, bool score)
{
    model_object *self = (model_object *)object;
    core_state *state = core_state_of(object);
    PyObject *sequence, *result = NULL;
    long long first;
    size_t n;
    void *data;
    if (!PyArg_ParseTuple(args, "OL", &sequence, &first) || !core_model_is_open(self)) return NULL;
    int32_t *ids = core_parse_ids(sequence, &n);
    if (!ids) return NULL;
    const int64_t n_ids = (int64_t)n, n_vocab = wf_model_describe(self->model).n_vocab;
    if (first < 0 || first >= n_ids - score) {
        core_refuse(state, WF_ERROR_USAGE, "there are no tokens to look at");
    } else if (core_lock_take(&self->lock, state)) {
        bool good = core_model_is_open(self) && core_model_session(self);
        if (good)
            result = score ? core_new_array(state, WF_F64, n_ids - 1 - first, -1, &data)
                           : core_new_array(state, WF_F32, n_ids - first, n_vocab, &data);
        if (good && result)
            good = score ? eval_all(self, ids, n_ids, first, take_scores, &(score_job){data, first, n_ids})
                         : eval_all(self, ids, n_ids, first, take_rows, &(logits_job){data, first, n_vocab});
        if (!good) Py_CLEAR(result);
        core_lock_give(&self->lock);
    }
    PyMem_Free(ids);
    return result;
}

static PyObject *model_logits(PyObject *object, PyObject *args) { return evaluate(object, args, false); }
static PyObject *model_score(PyObject *object, PyObject *args) { return evaluate(object, args, true); }

static PyObject *model_stream(PyObject *object, PyObject *args, PyObject *kwargs)
{
    return core_model_is_open((model_object *)object) ? core_start_stream((model_object *)object, args, kwargs) : NULL;
}

int core_add_model(PyObject *module, core_state *state)
{
    static PyMethodDef methods[] = {
        {"close", model_close, METH_NOARGS, "Frees it."},
        {"describe", model_describe, METH_NOARGS, "What wf_model_describe says, as a dict."},
        {"warnings", model_warnings, METH_NOARGS, "What had to be guessed about its file."},
        {"plan", model_plan, METH_NOARGS, "The calls of kernels, as a table."},
        {"fusions", model_fusions, METH_NOARGS, "[(name, found, fused, why not)]"},
        {"tokenize", model_tokenize, METH_VARARGS, "tokenize(text, special) -> ids"},
        {"detokenize", model_detokenize, METH_VARARGS, "detokenize(ids, special) -> text"},
        {"chat_ids", model_chat_ids, METH_O, "chat_ids([(role, content)]) -> ids of the prompt"},
        {"is_end", model_is_end, METH_VARARGS, "is_end(id): whether it ends an answer."},
        {"logits", model_logits, METH_VARARGS, "logits(ids, first) -> f32 [n - first, n_vocab]"},
        {"score", model_score, METH_VARARGS,
         "score(ids, first) -> f64 [n - 1 - first]: -log of the probability of each id behind ids[first]."},
        {"stream", (PyCFunction)(void (*)(void))model_stream, METH_VARARGS | METH_KEYWORDS,
         "stream(ids, ..) -> Stream"},
        {NULL, NULL, 0, NULL},
    };
    static PyType_Slot slots[] = {
        {Py_tp_new, model_new},
        {Py_tp_dealloc, model_dealloc},
        {Py_tp_methods, methods},
        {Py_tp_doc, "A wf_model and its session."},
        {0, NULL},
    };
    static PyType_Spec spec = {"welford._core.Model", sizeof(model_object), 0, Py_TPFLAGS_DEFAULT, slots};
    return core_add_type(module, &spec, &state->model);
}
