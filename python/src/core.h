// welford._core: welford.h as Python objects, in CPython's limited API (3.11 and later). What is meant for users is in
// Python, in the package above it (python/welford).
//
//   core.c       the module, exceptions, small conversions
//   array.c      Array: a result's memory, by DLPack and the buffer protocol; borrowing the arrays of others
//   model.c      Model: a wf_model, its session and their lock
//   stream.c     Stream: a generation that runs on a thread of its own and is read piece by piece
//   function.c   Function: a wf_function and its lock
//   call.c       Call: a function for arrays of known shapes, by address
//
// Whatever computes or waits does so without the interpreter's lock.
#ifndef WELFORD_PYTHON_CORE_H
#define WELFORD_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pythread.h>
#include <welford.h>

typedef struct core_state {
    PyObject *errors; // welford.errors.BY_STATUS, a tuple by wf_status
    PyTypeObject *array, *pool, *model, *stream, *function, *call;
} core_state;

extern struct PyModuleDef core_module;

// ---- types: each is added by its own file

int core_add_array(PyObject *module, core_state *state);
int core_add_pool(PyObject *module, core_state *state);
int core_add_model(PyObject *module, core_state *state);
int core_add_stream(PyObject *module, core_state *state);
int core_add_function(PyObject *module, core_state *state);
int core_add_call(PyObject *module, core_state *state);

// The state of the module that defines the object's type.
core_state *core_state_of(PyObject *object);

// Makes a type of the module, and adds it. 0, or -1 with an exception.
int core_add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type);

// Frees an object's own memory, and lets go of its type.
void core_free(PyObject *object);

// ---- failures

// Raises the exception of err->status with its line. Always NULL.
PyObject *core_raise(const core_state *state, const wf_error *err);
// The same with a line of our own.
PyObject *core_refuse(const core_state *state, wf_status status, const char *reason);

// ---- locks: what only one caller may use at a time, and only in the process that made it

typedef struct core_lock {
    PyThread_type_lock lock;
    long process; // its id: threads do not survive a fork
    bool reading; // a Stream has it, until it ends
} core_lock;

int core_lock_init(core_lock *lock);
void core_lock_free(core_lock *lock);
// Waits for it without the interpreter's lock. False: an exception is raised, since a signal came, a generation that
// is being read has it, or this process is a fork of the one that made it.
bool core_lock_take(core_lock *lock, const core_state *state);
void core_lock_give(core_lock *lock);
bool core_lock_is_ours(const core_lock *lock);

// ---- pools

typedef struct pool_object {
    PyObject_HEAD wf_pool *pool;
} pool_object;

// ---- arrays

// An array of someone else, readable until it is given back.
typedef struct borrowed {
    wf_array array;
    Py_buffer view;
    bool has_view;
    PyObject *capsule;
    void *copy; // of one that is not contiguous
} borrowed;

// By the buffer protocol, else by __dlpack__. False: an exception is raised.
bool core_borrow(const core_state *state, PyObject *object, borrowed *out);
void core_give_back(borrowed *array);

// An Array that owns array->data, which wf_free frees (also when this fails).
PyObject *core_make_array(const core_state *state, const wf_array *array);
// A new Array of f32 or f64 of this shape, [rows, cols], or [rows] where cols is negative, and its data.
PyObject *core_new_array(const core_state *state, wf_dtype type, int64_t rows, int64_t cols, void **data);

// "f32" and the like; false: an exception is raised.
bool core_parse_dtype(const core_state *state, const char *name, wf_dtype *type);

// A tuple of sizes as `shape`. False: an exception is raised.
bool core_parse_shape(const core_state *state, PyObject *sizes, wf_dtype type, wf_shape *shape);
PyObject *core_shape_tuple(const wf_shape *shape);

// ---- ids

// The integers of a sequence; NULL: an exception is raised. Free with PyMem_Free.
int32_t *core_parse_ids(PyObject *sequence, size_t *n);
PyObject *core_make_ids(const int32_t *ids, size_t n);

// ---- models and functions

typedef struct stream_object stream_object;

typedef struct model_object {
    PyObject_HEAD wf_model *model; // NULL: closed
    wf_session *session;
    int64_t n_ctx;
    core_lock lock;
    PyObject *pool, *texts; // kept alive: what the options point to
    stream_object *stream;  // the one that is being read; not owned
} model_object;

// Raises unless the model is open.
bool core_model_is_open(model_object *model);
// The model's session, made when it is first asked for; the caller has the lock. False: an exception is raised.
bool core_model_session(model_object *model);
// Starts generating. `options`: as Model.stream takes them.
PyObject *core_start_stream(model_object *model, PyObject *args, PyObject *kwargs);
// Stops it, and waits until its thread has ended and the model's lock is free.
void core_stop_stream(stream_object *stream);

typedef struct function_object {
    PyObject_HEAD wf_function *function; // NULL: closed
    core_lock lock;
    PyObject *pool, *texts;
    char *printed; // by the compiler, where that was asked for; malloc
    size_t n_printed;
    wf_shape *shapes; // of the arguments of the last call; NULL: there was none
    Py_ssize_t n_shapes;
    wf_weight *lent;
} function_object;

// Raises unless the function is open.
bool core_function_is_open(function_object *function);

#endif
