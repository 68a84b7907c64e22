// Call: a function for arrays of shapes that are known, which lie where the caller says. It is the short way for those
// who have addresses at hand, as torch.compile's backend does.
#include "core.h"

typedef struct call_object {
    PyObject_HEAD function_object *function;
    wf_array *arrays; // [n_arguments + n_results]
    Py_ssize_t n_arguments, n_results;
} call_object;

// [(type, sizes), ..] into arrays.
static bool take_shapes(const core_state *state, PyObject *tuple, wf_array *arrays)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(tuple); i++) {
        const char *name;
        PyObject *sizes;
        wf_dtype type;
        if (!PyArg_ParseTuple(PyTuple_GetItem(tuple, i), "sO:array", &name, &sizes)) return false;
        if (!core_parse_dtype(state, name, &type)) return false;
        if (!core_parse_shape(state, sizes, type, &arrays[i].shape)) return false;
    }
    return true;
}

static PyObject *call_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"function", "arguments", "results", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *function, *arguments, *results;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!O!:Call", names, state->function, &function, &PyTuple_Type,
                                     &arguments, &PyTuple_Type, &results))
        return NULL;
    call_object *self = (call_object *)PyType_GenericAlloc(type, 0);
    if (!self) return NULL;
    self->function = (function_object *)Py_NewRef(function);
    self->n_arguments = PyTuple_Size(arguments);
    self->n_results = PyTuple_Size(results);
    self->arrays = PyMem_Calloc((size_t)(self->n_arguments + self->n_results) + 1, sizeof *self->arrays);
    if (!self->arrays) PyErr_NoMemory();
    if (self->arrays && take_shapes(state, arguments, self->arrays) &&
        take_shapes(state, results, self->arrays + self->n_arguments))
        return (PyObject *)self;
    Py_DECREF((PyObject *)self);
    return NULL;
}

static void call_dealloc(PyObject *object)
{
    call_object *self = (call_object *)object;
    PyMem_Free(self->arrays);
    Py_XDECREF((PyObject *)self->function);
    core_free(object);
}

// run(addresses of arguments and results)
static PyObject *call_run(PyObject *object, PyObject *const *addresses, Py_ssize_t n)
{
    call_object *self = (call_object *)object;
    function_object *f = self->function;
    core_state *state = core_state_of(object);
    wf_error err = {0};
    wf_status status;
    if (n != self->n_arguments + self->n_results)
        return core_refuse(state, WF_ERROR_USAGE, "there are not as many addresses as arrays");
    if (!core_function_is_open(f) || !core_lock_take(&f->lock, state)) return NULL;
    for (Py_ssize_t i = 0; i < n; i++) self->arrays[i].data = PyLong_AsVoidPtr(addresses[i]);
    if (PyErr_Occurred() || !core_function_is_open(f)) {
        core_lock_give(&f->lock);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = wf_function_call(f->function, self->arrays, (size_t)self->n_arguments, self->arrays + self->n_arguments,
                              (size_t)self->n_results, &err);
    Py_END_ALLOW_THREADS
    for (Py_ssize_t i = self->n_arguments; i < n; i++) // memory was made for an empty array without an address
        if (PyLong_AsVoidPtr(addresses[i]) == NULL) wf_free(self->arrays[i].data);
    core_lock_give(&f->lock);
    if (status != WF_OK) return core_raise(state, &err);
    if (PyErr_CheckSignals()) return NULL;
    Py_RETURN_NONE;
}

int core_add_call(PyObject *module, core_state *state)
{
    static PyMethodDef methods[] = {
        {"run", (PyCFunction)(void (*)(void))call_run, METH_FASTCALL,
         "run(*addresses): of the arguments, which are read, then of the results, which are written."},
        {NULL, NULL, 0, NULL},
    };
    static PyType_Slot slots[] = {
        {Py_tp_new, call_new},
        {Py_tp_dealloc, call_dealloc},
        {Py_tp_methods, methods},
        {Py_tp_doc, "Call(function, ((type, shape), ..) of arguments, the same of results)"},
        {0, NULL},
    };
    static PyType_Spec spec = {"welford._core.Call", sizeof(call_object), 0, Py_TPFLAGS_DEFAULT, slots};
    return core_add_type(module, &spec, &state->call);
}
