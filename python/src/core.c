// The module, exceptions, locks, small conversions.
#include "core.h"

#include <unistd.h>

core_state *core_state_of(PyObject *object) { return PyType_GetModuleState(Py_TYPE(object)); }

int core_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *type ? PyModule_AddType(module, *type) : -1;
}

void core_free(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(object);
    Py_DECREF((PyObject *)type);
}

// ---- failures

PyObject *core_refuse(const core_state *state, wf_status status, const char *reason)
{
    PyObject *type = PyTuple_GetItem(state->errors, status);
    if (type) PyErr_SetString(type, reason);
    return NULL;
}

PyObject *core_raise(const core_state *state, const wf_error *err)
{
    if (PyErr_Occurred()) return NULL; // a callback's
    return core_refuse(state, err->status, err->message);
}

// ---- locks

int core_lock_init(core_lock *lock)
{
    lock->lock = PyThread_allocate_lock();
    lock->process = (long)getpid();
    if (!lock->lock) PyErr_NoMemory();
    return lock->lock ? 0 : -1;
}

void core_lock_free(core_lock *lock)
{
    if (lock->lock) PyThread_free_lock(lock->lock);
    lock->lock = NULL;
}

bool core_lock_is_ours(const core_lock *lock) { return lock->process == (long)getpid(); }

bool core_lock_take(core_lock *lock, const core_state *state)
{
    enum { MICROSECONDS = 50000 };
    if (!core_lock_is_ours(lock)) {
        core_refuse(state, WF_ERROR_USAGE, "it was opened before this process was forked: open it in this one");
        return false;
    }
    for (;;) {
        if (lock->reading) {
            core_refuse(state, WF_ERROR_USAGE, "a generation of this model is still being read: finish or close it");
            return false;
        }
        PyLockStatus taken = PyThread_acquire_lock_timed(lock->lock, 0, 0);
        if (taken != PY_LOCK_ACQUIRED) {
            Py_BEGIN_ALLOW_THREADS
            taken = PyThread_acquire_lock_timed(lock->lock, MICROSECONDS, 0);
            Py_END_ALLOW_THREADS
        }
        if (taken == PY_LOCK_ACQUIRED) return true;
        if (PyErr_CheckSignals()) return false;
    }
}

void core_lock_give(core_lock *lock) { PyThread_release_lock(lock->lock); }

// ---- ids

int32_t *core_parse_ids(PyObject *sequence, size_t *n)
{
    PyObject *list = PySequence_List(sequence);
    if (!list) return NULL;
    Py_ssize_t count = PyList_Size(list);
    int32_t *ids = PyMem_Malloc(((size_t)count + 1) * sizeof *ids);
    if (!ids) PyErr_NoMemory();
    for (Py_ssize_t i = 0; ids && i < count; i++) {
        PyObject *number = PyNumber_Index(PyList_GetItem(list, i));
        long id = number ? PyLong_AsLong(number) : -1;
        Py_XDECREF(number);
        if (!PyErr_Occurred() && (id < INT32_MIN || id > INT32_MAX))
            PyErr_SetString(PyExc_OverflowError, "a token id has 32 bits");
        if (PyErr_Occurred()) {
            PyMem_Free(ids);
            ids = NULL;
        } else {
            ids[i] = (int32_t)id;
        }
    }
    Py_DECREF(list);
    *n = (size_t)count;
    return ids;
}

PyObject *core_make_ids(const int32_t *ids, size_t n)
{
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list && i < n; i++) {
        PyObject *id = PyLong_FromLong(ids[i]);
        if (id && PyList_SetItem(list, (Py_ssize_t)i, id) == 0) continue; // which takes it
        Py_DECREF(list);
        list = NULL;
    }
    return list;
}

// ---- pools

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"threads", NULL};
    int n_threads = 0;
    wf_error err = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|i:Pool", names, &n_threads)) return NULL;
    pool_object *self = (pool_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    if (wf_pool_create(n_threads, &self->pool, &err) == WF_OK) return (PyObject *)self;
    core_raise(core_state_of((PyObject *)self), &err);
    Py_DECREF((PyObject *)self);
    return NULL;
}

static void pool_dealloc(PyObject *object)
{
    pool_object *self = (pool_object *)object;
    wf_pool_free(self->pool);
    core_free(object);
}

int core_add_pool(PyObject *module, core_state *state)
{
    static PyType_Slot slots[] = {
        {Py_tp_new, pool_new},
        {Py_tp_dealloc, pool_dealloc},
        {Py_tp_doc,
         "Pool(threads=0): threads that models and functions share; 0: the cores that this process may use."},
        {0, NULL},
    };
    static PyType_Spec spec = {"welford._core.Pool", sizeof(pool_object), 0, Py_TPFLAGS_DEFAULT, slots};
    return core_add_type(module, &spec, &state->pool);
}

// ---- the module

static PyObject *version(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    return PyUnicode_FromString(wf_version());
}

typedef struct finder {
    PyObject *notice; // called with each line; None: nobody
    bool failed;
} finder;

static void show_notice(void *context, const char *text)
{
    finder *f = context;
    PyGILState_STATE gil = PyGILState_Ensure();
    if (f->notice != Py_None && !f->failed) {
        PyObject *result = PyObject_CallFunction(f->notice, "s", text);
        f->failed = !result;
        Py_XDECREF(result);
        if (f->failed) PyErr_WriteUnraisable(f->notice);
    }
    PyGILState_Release(gil);
}

static PyObject *find_model(PyObject *module, PyObject *args)
{
    const char *name;
    finder f = {.notice = Py_None};
    const wf_find_options options = {.notice = show_notice, .context = &f};
    char *path;
    wf_error err = {0};
    wf_status status;
    if (!PyArg_ParseTuple(args, "s|O:find_model", &name, &f.notice)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = wf_model_find(name, &options, &path, &err);
    Py_END_ALLOW_THREADS
    if (status != WF_OK) return core_raise(PyModule_GetState(module), &err);
    PyObject *result = PyUnicode_DecodeFSDefault(path);
    wf_free(path);
    return result;
}

static PyMethodDef functions[] = {
    {"version", version, METH_NOARGS, "version() -> str: of the library."},
    {"find_model", find_model, METH_VARARGS,
     "find_model(name, notice=None) -> str: the path of a model; a name on the hub is downloaded where it is missing."},
    {NULL, NULL, 0, NULL},
};

static int load_errors(core_state *state)
{
    PyObject *errors = PyImport_ImportModule("welford.errors");
    state->errors = errors ? PyObject_GetAttrString(errors, "BY_STATUS") : NULL;
    Py_XDECREF(errors);
    if (!state->errors) return -1;
    if (PyTuple_Check(state->errors) && PyTuple_Size(state->errors) == WF_ERROR_COMPILE + 1) return 0;
    PyErr_SetString(PyExc_ImportError, "welford.errors.BY_STATUS is not of this library");
    return -1;
}

static int execute(PyObject *module)
{
    core_state *state = PyModule_GetState(module);
    if (load_errors(state)) return -1;
    if (core_add_array(module, state) || core_add_pool(module, state) || core_add_model(module, state)) return -1;
    return core_add_stream(module, state) || core_add_function(module, state) || core_add_call(module, state) ? -1 : 0;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    core_state *state = PyModule_GetState(module);
    Py_VISIT(state->errors);
    Py_VISIT(state->array);
    Py_VISIT(state->pool);
    Py_VISIT(state->model);
    Py_VISIT(state->stream);
    Py_VISIT(state->function);
    Py_VISIT(state->call);
    return 0;
}

static int clear(PyObject *module)
{
    core_state *state = PyModule_GetState(module);
    Py_CLEAR(state->errors);
    Py_CLEAR(state->array);
    Py_CLEAR(state->pool);
    Py_CLEAR(state->model);
    Py_CLEAR(state->stream);
    Py_CLEAR(state->function);
    Py_CLEAR(state->call);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};

struct PyModuleDef core_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "welford._core",
    .m_doc = "welford.h as Python objects; the package welford is made of it.",
    .m_size = sizeof(core_state),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&core_module); }
