// Function: a wf_function.
#include <stdlib.h>
#include <string.h>

#include "core.h"

bool core_function_is_open(function_object *self)
{
    if (!self->function) core_refuse(core_state_of((PyObject *)self), WF_ERROR_USAGE, "the function is closed");
    return self->function != NULL;
}

// ---- lists of arrays

typedef struct array_list {
    borrowed *borrowed;
    wf_array *arrays;
    Py_ssize_t n;
} array_list;

static void free_list(array_list *list)
{
    for (Py_ssize_t i = 0; i < list->n; i++) core_give_back(&list->borrowed[i]);
    PyMem_Free(list->borrowed);
    PyMem_Free(list->arrays);
    *list = (array_list){0};
}

// (type, sizes)
static bool parse_shape(const core_state *state, PyObject *tuple, wf_shape *shape)
{
    const char *name;
    PyObject *sizes;
    wf_dtype type;
    return PyArg_ParseTuple(tuple, "sO:array", &name, &sizes) && core_parse_dtype(state, name, &type) &&
           core_parse_shape(state, sizes, type, shape);
}

// Of arrays; a tuple (type, sizes) stands for one without data.
static bool borrow_list(const core_state *state, PyObject *tuple, array_list *list)
{
    const Py_ssize_t n = PyTuple_Size(tuple);
    *list = (array_list){0};
    if (n < 0) return false;
    list->borrowed = PyMem_Calloc((size_t)n + 1, sizeof *list->borrowed);
    list->arrays = PyMem_Calloc((size_t)n + 1, sizeof *list->arrays);
    bool good = list->borrowed && list->arrays;
    if (!good) PyErr_NoMemory();
    for (; good && list->n < n; list->n += good) {
        PyObject *item = PyTuple_GetItem(tuple, list->n);
        good = PyTuple_Check(item) ? parse_shape(state, item, &list->arrays[list->n].shape)
                                   : core_borrow(state, item, &list->borrowed[list->n]);
        if (good && !PyTuple_Check(item)) list->arrays[list->n] = list->borrowed[list->n].array;
    }
    if (!good) free_list(list);
    return good;
}

// ---- weights in the caller's memory

// (index, address, type, sizes)
static bool parse_weight(const core_state *state, PyObject *tuple, wf_weight *weight)
{
    Py_ssize_t index;
    PyObject *address, *sizes;
    const char *name;
    wf_dtype type;
    if (!PyTuple_Check(tuple)) return PyErr_SetString(PyExc_TypeError, "a weight is a tuple"), false;
    if (!PyArg_ParseTuple(tuple, "nOsO:weight", &index, &address, &name, &sizes)) return false;
    if (!core_parse_dtype(state, name, &type) || !core_parse_shape(state, sizes, type, &weight->shape)) return false;
    weight->index = (size_t)index;
    weight->data = PyLong_AsVoidPtr(address);
    return !PyErr_Occurred();
}

static bool take_weights(function_object *self, PyObject *tuple, wf_function_options *o)
{
    const core_state *state = core_state_of((PyObject *)self);
    const Py_ssize_t n = PyTuple_Size(tuple);
    if (n < 0) return false;
    self->lent = PyMem_Calloc((size_t)n + 1, sizeof *self->lent);
    if (!self->lent) return PyErr_NoMemory(), false;
    for (Py_ssize_t i = 0; i < n; i++)
        if (!parse_weight(state, PyTuple_GetItem(tuple, i), &self->lent[i])) return false;
    o->lent = self->lent;
    o->n_lent = (size_t)n;
    return true;
}

static PyObject *function_renew(PyObject *object, PyObject *tuple)
{
    function_object *self = (function_object *)object;
    core_state *state = core_state_of(object);
    wf_weight weight = {0};
    wf_error err = {0};
    wf_status status;
    if (!core_function_is_open(self) || !parse_weight(state, tuple, &weight)) return NULL;
    if (!core_lock_take(&self->lock, state)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    status = wf_function_renew(self->function, &weight, &err);
    Py_END_ALLOW_THREADS
    core_lock_give(&self->lock);
    if (status != WF_OK) return core_raise(state, &err);
    Py_RETURN_NONE;
}

// ---- opening and closing

static void keep_print(void *context, const char *text, size_t bytes)
{
    function_object *self = context;
    char *longer = realloc(self->printed, self->n_printed + bytes);
    if (!longer) return;
    memcpy(longer + self->n_printed, text, bytes);
    self->printed = longer;
    self->n_printed += bytes;
}

// Opens self->function from `source`, bytes, or from the file `name`.
static bool open_function(function_object *self, PyObject *source, PyObject *name, const wf_function_options *options)
{
    char *data = NULL;
    Py_ssize_t bytes = 0;
    wf_error err = {0};
    wf_status status;
    const char *path = PyBytes_AsString(name);
    if (!path || (source != Py_None && PyBytes_AsStringAndSize(source, &data, &bytes))) return false;
    Py_BEGIN_ALLOW_THREADS
    status = data ? wf_function_open_bytes(data, (size_t)bytes, path, options, &self->function, &err)
                  : wf_function_open(path, options, &self->function, &err);
    Py_END_ALLOW_THREADS
    if (status != WF_OK) core_raise(core_state_of((PyObject *)self), &err);
    return status == WF_OK;
}

static PyObject *function_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"source",   "name",           "pool",     "arguments", "entry",  "fuse", "no_fuse",
                            "no_raise", "print_ir_after", "no_cache", "weights",   "params", "lent", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *source, *name = NULL, *pool, *arguments, *lent;
    array_list hint = {0};
    wf_function_options o = {0};
    int no_raise, no_cache;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO&O!OzzzpzpzzO!:Function", names, &source, PyUnicode_FSConverter,
                                     &name, state->pool, &pool, &arguments, &o.entry, &o.fuse, &o.no_fuse, &no_raise,
                                     &o.print_ir_after, &no_cache, &o.weights, &o.params, &PyTuple_Type, &lent))
        return NULL;
    function_object *self = (function_object *)PyType_GenericAlloc(type, 0);
    if (self) {
        self->pool = Py_NewRef(pool);
        self->texts = Py_BuildValue("(OO)", args, kwargs ? kwargs : Py_None);
    }
    bool good = self && self->texts && !core_lock_init(&self->lock);
    good = good && take_weights(self, lent, &o);
    if (good && arguments != Py_None) good = borrow_list(state, arguments, &hint);
    o.pool = ((pool_object *)pool)->pool;
    o.no_raise = no_raise;
    o.no_cache = no_cache;
    o.print = keep_print;
    o.print_context = self;
    o.arguments = hint.arrays;
    o.n_arguments = (size_t)hint.n;
    good = good && open_function(self, source, name, &o);
    free_list(&hint);
    Py_DECREF(name);
    if (good) return (PyObject *)self;
    Py_XDECREF((PyObject *)self);
    return NULL;
}

static void close_function(function_object *self)
{
    if (core_lock_is_ours(&self->lock)) wf_function_close(self->function);
    self->function = NULL;
}

static PyObject *function_close(PyObject *object, PyObject *none)
{
    (void)none;
    function_object *self = (function_object *)object;
    if (!self->function) Py_RETURN_NONE;
    if (core_lock_is_ours(&self->lock) && !core_lock_take(&self->lock, core_state_of(object))) return NULL;
    bool ours = core_lock_is_ours(&self->lock);
    close_function(self);
    if (ours) core_lock_give(&self->lock);
    Py_RETURN_NONE;
}

static void function_dealloc(PyObject *object)
{
    function_object *self = (function_object *)object;
    if (self->lock.lock) close_function(self);
    core_lock_free(&self->lock);
    free(self->printed);
    PyMem_Free(self->shapes);
    PyMem_Free(self->lent);
    Py_XDECREF(self->pool);
    Py_XDECREF(self->texts);
    core_free(object);
}

// ---- describing

static PyObject *describe_array(const wf_array *a)
{
    PyObject *shape = core_shape_tuple(&a->shape);
    return shape ? Py_BuildValue("(ssN)", a->name, wf_dtype_name(a->shape.type), shape) : NULL;
}

static PyObject *describe_arrays(PyObject *object, size_t count(const wf_function *),
                                 wf_array describe(const wf_function *, size_t))
{
    function_object *self = (function_object *)object;
    if (!core_function_is_open(self)) return NULL;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < count(self->function); i++) {
        const wf_array a = describe(self->function, i);
        PyObject *row = describe_array(&a);
        if (!row || PyList_Append(list, row)) Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

static PyObject *function_arguments(PyObject *object, PyObject *none)
{
    (void)none;
    return describe_arrays(object, wf_function_arguments, wf_function_argument);
}

static PyObject *function_results(PyObject *object, PyObject *none)
{
    (void)none;
    return describe_arrays(object, wf_function_results, wf_function_result);
}

static PyObject *function_donors(PyObject *object, PyObject *none)
{
    (void)none;
    function_object *self = (function_object *)object;
    if (!core_function_is_open(self)) return NULL;
    const size_t n = wf_function_results(self->function), n_arguments = wf_function_arguments(self->function);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < n; i++) {
        size_t donor = wf_function_donor(self->function, i);
        PyObject *number = donor == n_arguments ? PyLong_FromLong(-1) : PyLong_FromSize_t(donor);
        if (!number || PyList_Append(list, number)) Py_CLEAR(list);
        Py_XDECREF(number);
    }
    return list;
}

static PyObject *function_name(PyObject *object, PyObject *none)
{
    (void)none;
    function_object *self = (function_object *)object;
    return core_function_is_open(self) ? PyUnicode_FromString(wf_function_name(self->function)) : NULL;
}

static PyObject *function_cached(PyObject *object, PyObject *none)
{
    (void)none;
    function_object *self = (function_object *)object;
    return core_function_is_open(self) ? PyBool_FromLong(wf_function_cached(self->function)) : NULL;
}

static PyObject *function_printed(PyObject *object, PyObject *none)
{
    (void)none;
    function_object *self = (function_object *)object;
    return PyUnicode_DecodeUTF8(self->printed ? self->printed : "", (Py_ssize_t)self->n_printed, "replace");
}

static PyObject *function_print(PyObject *object, PyObject *args)
{
    function_object *self = (function_object *)object;
    core_state *state = core_state_of(object);
    int plan;
    char *text;
    wf_error err = {0};
    if (!PyArg_ParseTuple(args, "p:print", &plan) || !core_function_is_open(self)) return NULL;
    if (!core_lock_take(&self->lock, state)) return NULL;
    wf_status status = wf_function_print(self->function, plan ? WF_PRINT_PLAN : WF_PRINT_REPORT, &text, &err);
    core_lock_give(&self->lock);
    if (status != WF_OK) return core_raise(state, &err);
    PyObject *result = PyUnicode_FromString(text);
    wf_free(text);
    return result;
}

static PyObject *function_fusions(PyObject *object, PyObject *none)
{
    (void)none;
    function_object *self = (function_object *)object;
    wf_fusion f;
    if (!core_function_is_open(self) || !core_lock_take(&self->lock, core_state_of(object))) return NULL;
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && wf_function_fusion(self->function, i, &f); i++) {
        PyObject *row = Py_BuildValue("(sIIs)", f.name, f.found, f.fused, f.why_not);
        if (!row || PyList_Append(list, row)) Py_CLEAR(list);
        Py_XDECREF(row);
    }
    core_lock_give(&self->lock);
    return list;
}

static PyObject *function_save(PyObject *object, PyObject *args)
{
    function_object *self = (function_object *)object;
    core_state *state = core_state_of(object);
    PyObject *path;
    wf_error err = {0};
    wf_status status = WF_OK;
    if (!PyArg_ParseTuple(args, "O&:save", PyUnicode_FSConverter, &path)) return NULL;
    bool good = core_function_is_open(self) && core_lock_take(&self->lock, state);
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        status = wf_function_save(self->function, PyBytes_AsString(path), &err);
        Py_END_ALLOW_THREADS
        core_lock_give(&self->lock);
    }
    Py_DECREF(path);
    if (!good || PyErr_CheckSignals()) return NULL;
    if (status != WF_OK) return core_raise(state, &err);
    Py_RETURN_NONE;
}

// ---- calling

// A tuple of Arrays; the results' memory goes over to them.
static PyObject *make_results(const core_state *state, wf_array *results, size_t n)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)n);
    for (size_t i = 0; tuple && i < n; i++) {
        PyObject *array = core_make_array(state, &results[i]);
        results[i].data = NULL;
        if (array && PyTuple_SetItem(tuple, (Py_ssize_t)i, array) == 0) continue;
        Py_CLEAR(tuple);
    }
    for (size_t i = 0; i < n; i++) wf_free(results[i].data);
    return tuple;
}

// What call_shapes gives.
static void note_shapes(function_object *self, const array_list *list)
{
    wf_shape *shapes = PyMem_Realloc(self->shapes, ((size_t)list->n + 1) * sizeof *shapes);
    if (!shapes) return;
    for (Py_ssize_t i = 0; i < list->n; i++) shapes[i] = list->arrays[i].shape;
    self->shapes = shapes;
    self->n_shapes = list->n;
}

static PyObject *function_call_shapes(PyObject *object, PyObject *none)
{
    (void)none;
    function_object *self = (function_object *)object;
    if (!self->shapes) Py_RETURN_NONE;
    PyObject *tuple = PyTuple_New(self->n_shapes);
    for (Py_ssize_t i = 0; tuple && i < self->n_shapes; i++) {
        PyObject *sizes = core_shape_tuple(&self->shapes[i]);
        PyObject *pair = sizes ? Py_BuildValue("(sN)", wf_dtype_name(self->shapes[i].type), sizes) : NULL;
        if (!pair || PyTuple_SetItem(tuple, i, pair)) Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *function_call(PyObject *object, PyObject *arguments)
{
    function_object *self = (function_object *)object;
    core_state *state = core_state_of(object);
    array_list list;
    wf_error err = {0};
    wf_status status = WF_OK;
    PyObject *tuple = NULL;
    if (!core_function_is_open(self) || !borrow_list(state, arguments, &list)) return NULL;
    if (core_lock_take(&self->lock, state)) {
        const size_t n = core_function_is_open(self) ? wf_function_results(self->function) : 0;
        wf_array *results = self->function ? PyMem_Calloc(n + 1, sizeof *results) : NULL;
        if (results) {
            Py_BEGIN_ALLOW_THREADS
            status = wf_function_call(self->function, list.arrays, (size_t)list.n, results, n, &err);
            Py_END_ALLOW_THREADS
            if (status == WF_OK) {
                note_shapes(self, &list);
                tuple = make_results(state, results, n);
            } else {
                core_raise(state, &err);
            }
        } else if (self->function) {
            PyErr_NoMemory();
        }
        PyMem_Free(results);
        core_lock_give(&self->lock);
    }
    free_list(&list);
    if (tuple && PyErr_CheckSignals()) Py_CLEAR(tuple);
    return tuple;
}

int core_add_function(PyObject *module, core_state *state)
{
    static PyMethodDef methods[] = {
        {"close", function_close, METH_NOARGS, "Frees it."},
        {"name", function_name, METH_NOARGS, "The function's name."},
        {"arguments", function_arguments, METH_NOARGS, "[(name, type, shape)]; -1: a size that is open."},
        {"results", function_results, METH_NOARGS, "[(name, type, shape)]"},
        {"donors", function_donors, METH_NOARGS, "For each result the argument that is donated to it; -1: none."},
        {"cached", function_cached, METH_NOARGS, "Whether its program came from the cache or a .wf file."},
        {"printed", function_printed, METH_NOARGS, "What the compiler printed, by print_ir_after."},
        {"print", function_print, METH_VARARGS, "print(plan) -> the plan, or the report, as a table"},
        {"fusions", function_fusions, METH_NOARGS, "[(name, found, fused, why not)]"},
        {"save", function_save, METH_VARARGS, "save(path): a .wf file for this CPU."},
        {"renew", function_renew, METH_O,
         "renew((index, address, type, sizes)): a weight that was lent has other values now, or lies elsewhere."},
        {"call_shapes", function_call_shapes, METH_NOARGS,
         "((type, sizes), ..) of the last call; None: there was none."},
        {"call", function_call, METH_O, "call(tuple of arrays) -> tuple of Arrays"},
        {NULL, NULL, 0, NULL},
    };
    static PyType_Slot slots[] = {
        {Py_tp_new, function_new},
        {Py_tp_dealloc, function_dealloc},
        {Py_tp_methods, methods},
        {Py_tp_doc, "A wf_function."},
        {0, NULL},
    };
    static PyType_Spec spec = {"welford._core.Function", sizeof(function_object), 0, Py_TPFLAGS_DEFAULT, slots};
    return core_add_type(module, &spec, &state->function);
}
