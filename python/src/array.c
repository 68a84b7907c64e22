// Array: the memory of a result, given to others by DLPack and the buffer protocol without a copy; and the arrays of
// others, borrowed the same way.
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "dlpack.h"

typedef struct array_object {
    PyObject_HEAD wf_array array; // its data is for wf_free
    size_t bytes;
    Py_ssize_t sizes[WF_MAX_DIMS], strides[WF_MAX_DIMS]; // as the buffer protocol has them
} array_object;

// ---- types, by wf_dtype

typedef struct dtype {
    size_t size;
    const char *format; // of the buffer protocol; NULL: it has none
    uint8_t code;       // of DLPack
} dtype;

static const dtype DTYPES[WF_TYPE_COUNT] = {
    [WF_F32] = {4, "f", DL_FLOAT},    [WF_F64] = {8, "d", DL_FLOAT}, [WF_F16] = {2, "e", DL_FLOAT},
    [WF_BF16] = {2, NULL, DL_BFLOAT}, [WF_BOOL] = {1, "?", DL_BOOL}, [WF_I8] = {1, "b", DL_INT},
    [WF_I16] = {2, "h", DL_INT},      [WF_I32] = {4, "i", DL_INT},   [WF_I64] = {8, "q", DL_INT},
};

bool core_parse_dtype(const core_state *state, const char *name, wf_dtype *type)
{
    for (int i = 0; i < WF_TYPE_COUNT; i++) {
        *type = (wf_dtype)i;
        if (!strcmp(name, wf_dtype_name(*type))) return true;
    }
    core_refuse(state, WF_ERROR_USAGE, "not the name of a type of elements, such as f32 or i1");
    return false;
}

// Integers have no sign of their own in MLIR: those without one are taken for their bits.
static bool type_of_integer(size_t size, wf_dtype *type)
{
    *type = size == 1 ? WF_I8 : size == 2 ? WF_I16 : size == 4 ? WF_I32 : WF_I64;
    return size == 1 || size == 2 || size == 4 || size == 8;
}

static bool type_of_format(const char *format, Py_ssize_t size, wf_dtype *type)
{
    if (!format) format = "B";
    if (*format == '@' || *format == '=' || *format == '<') format++;
    if (!*format || format[1]) return false;
    if (strchr("bBhHiIlLqQnN", *format)) return type_of_integer((size_t)size, type);
    for (int i = 0; i < WF_TYPE_COUNT; i++) {
        *type = (wf_dtype)i;
        if (DTYPES[i].format && *DTYPES[i].format == *format) return (size_t)size == DTYPES[i].size;
    }
    return false;
}

static bool type_of_dlpack(dl_type dl, wf_dtype *type)
{
    if (dl.lanes != 1 || dl.bits % 8) return false;
    if (dl.code == DL_UINT) return type_of_integer(dl.bits / 8, type);
    for (int i = 0; i < WF_TYPE_COUNT; i++) {
        *type = (wf_dtype)i;
        if (DTYPES[i].code == dl.code && DTYPES[i].size * 8 == dl.bits) return true;
    }
    return false;
}

// ---- shapes

PyObject *core_shape_tuple(const wf_shape *shape)
{
    PyObject *tuple = PyTuple_New(shape->n_dims);
    for (uint32_t d = 0; tuple && d < shape->n_dims; d++) {
        PyObject *size = PyLong_FromLongLong(shape->dims[d]);
        if (size && PyTuple_SetItem(tuple, d, size) == 0) continue;
        Py_DECREF(tuple);
        tuple = NULL;
    }
    return tuple;
}

bool core_parse_shape(const core_state *state, PyObject *sizes, wf_dtype type, wf_shape *shape)
{
    Py_ssize_t n = PySequence_Size(sizes);
    *shape = (wf_shape){.type = type, .n_dims = (uint32_t)n};
    if (n < 0) return false;
    if (n > WF_MAX_DIMS) return core_refuse(state, WF_ERROR_USAGE, "an array has at most 8 dimensions"), false;
    for (Py_ssize_t d = 0; d < n; d++) {
        PyObject *size = PySequence_GetItem(sizes, d);
        shape->dims[d] = size ? PyLong_AsLongLong(size) : -1;
        Py_XDECREF(size);
        if (PyErr_Occurred()) return false;
    }
    return true;
}

// ---- arrays of others

static bool refuse_array(const core_state *state, const char *reason)
{
    core_refuse(state, WF_ERROR_USAGE, reason);
    return false;
}

// Copies elements that lie `strides` bytes apart to where they are contiguous.
static void copy_strided(char *to, const char *from, const int64_t *dims, const int64_t *strides, uint32_t n_dims,
                         size_t size)
{
    if (!n_dims) {
        memcpy(to, from, size);
        return;
    }
    size_t part = size;
    for (uint32_t d = 1; d < n_dims; d++) part *= (size_t)dims[d];
    for (int64_t i = 0; i < dims[0]; i++)
        copy_strided(to + (size_t)i * part, from + i * strides[0], dims + 1, strides + 1, n_dims - 1, size);
}

// The elements at `data`, copied unless they are contiguous; strides in bytes.
static bool take_elements(const core_state *state, const char *data, const int64_t *strides, borrowed *out)
{
    const wf_shape *s = &out->array.shape;
    size_t bytes, size = DTYPES[s->type].size;
    if (!wf_shape_bytes(s, &bytes)) return refuse_array(state, "an array is too large");
    int64_t contiguous = (int64_t)size;
    bool good = true;
    for (uint32_t d = s->n_dims; d-- > 0; contiguous *= s->dims[d])
        good = good && (s->dims[d] == 1 || strides[d] == contiguous);
    out->array.data = (void *)(uintptr_t)data; // arguments are only read
    if (good || !bytes) return true;
    out->array.data = out->copy = malloc(bytes);
    if (!out->copy) return PyErr_NoMemory(), false;
    copy_strided(out->copy, data, s->dims, strides, s->n_dims, size);
    return true;
}

static bool borrow_buffer(const core_state *state, PyObject *object, borrowed *out)
{
    int64_t strides[WF_MAX_DIMS];
    Py_buffer *v = &out->view;
    if (PyObject_GetBuffer(object, v, PyBUF_STRIDED_RO | PyBUF_FORMAT)) return false;
    out->has_view = true;
    if (v->ndim > WF_MAX_DIMS) return refuse_array(state, "an array has at most 8 dimensions");
    wf_shape *shape = &out->array.shape;
    if (!type_of_format(v->format, v->itemsize, &shape->type))
        return refuse_array(state, "no function takes elements of that type");
    shape->n_dims = (uint32_t)v->ndim;
    for (int d = 0; d < v->ndim; d++) shape->dims[d] = v->shape[d], strides[d] = v->strides[d];
    return take_elements(state, v->buf, strides, out);
}

static bool take_tensor(const core_state *state, const dl_tensor *t, borrowed *out)
{
    int64_t strides[WF_MAX_DIMS];
    wf_shape *shape = &out->array.shape;
    if (t->device.type != DL_CPU) return refuse_array(state, "an array lies on another device than the CPU");
    if (t->n_dims > WF_MAX_DIMS) return refuse_array(state, "an array has at most 8 dimensions");
    if (!type_of_dlpack(t->type, &shape->type)) return refuse_array(state, "no function takes elements of that type");
    shape->n_dims = (uint32_t)t->n_dims;
    int64_t size = (int64_t)DTYPES[shape->type].size, contiguous = size;
    for (int32_t d = t->n_dims; d-- > 0;) {
        shape->dims[d] = t->shape[d];
        strides[d] = t->strides ? t->strides[d] * size : contiguous;
        contiguous *= t->shape[d];
    }
    return take_elements(state, (const char *)t->data + t->byte_offset, strides, out);
}

static bool borrow_dlpack(const core_state *state, PyObject *object, borrowed *out)
{
    out->capsule = PyObject_CallMethod(object, "__dlpack__", NULL);
    if (!out->capsule) return false;
    // It stays ours: whoever made it frees it with the capsule.
    const dl_managed *managed = PyCapsule_GetPointer(out->capsule, DL_CAPSULE);
    return managed && take_tensor(state, &managed->tensor, out);
}

bool core_borrow(const core_state *state, PyObject *object, borrowed *out)
{
    *out = (borrowed){.capsule = NULL};
    bool good = false;
    if (PyObject_CheckBuffer(object))
        good = borrow_buffer(state, object, out);
    else if (PyObject_HasAttrString(object, "__dlpack__"))
        good = borrow_dlpack(state, object, out);
    else
        PyErr_SetString(PyExc_TypeError, "not an array: it has neither __dlpack__ nor the buffer protocol");
    if (!good) core_give_back(out);
    return good;
}

void core_give_back(borrowed *array)
{
    free(array->copy);
    if (array->has_view) PyBuffer_Release(&array->view);
    Py_XDECREF(array->capsule);
    *array = (borrowed){.capsule = NULL};
}

// ---- our own

PyObject *core_make_array(const core_state *state, const wf_array *array)
{
    array_object *self = (array_object *)PyType_GenericAlloc(state->array, 0);
    if (!self) {
        wf_free(array->data);
        return NULL;
    }
    self->array = *array;
    self->array.name = NULL;
    wf_shape_bytes(&array->shape, &self->bytes);
    Py_ssize_t stride = (Py_ssize_t)DTYPES[array->shape.type].size;
    for (uint32_t d = array->shape.n_dims; d-- > 0; stride *= self->sizes[d]) {
        self->sizes[d] = (Py_ssize_t)array->shape.dims[d];
        self->strides[d] = stride;
    }
    return (PyObject *)self;
}

PyObject *core_new_array(const core_state *state, wf_dtype type, int64_t rows, int64_t cols, void **data)
{
    enum { ALIGNMENT = 64 };
    wf_array a = {.shape = {type, cols < 0 ? 1 : 2, {rows, cols}}};
    size_t bytes;
    if (!wf_shape_bytes(&a.shape, &bytes) || bytes > PY_SSIZE_T_MAX - ALIGNMENT) return PyErr_NoMemory();
    *data = a.data = aligned_alloc(ALIGNMENT, (bytes / ALIGNMENT + 1) * ALIGNMENT);
    return a.data ? core_make_array(state, &a) : PyErr_NoMemory();
}

static void array_dealloc(PyObject *object)
{
    wf_free(((array_object *)object)->array.data);
    core_free(object);
}

static int array_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    array_object *self = (array_object *)object;
    const char *format = DTYPES[self->array.shape.type].format;
    view->obj = NULL;
    if (!format) {
        PyErr_SetString(PyExc_BufferError,
                        "the buffer protocol has no bfloat16: use DLPack, as torch.from_dlpack does");
        return -1;
    }
    if (PyBuffer_FillInfo(view, object, self->array.data, (Py_ssize_t)self->bytes, 0, flags)) return -1;
    view->itemsize = (Py_ssize_t)DTYPES[self->array.shape.type].size;
    view->format = (flags & PyBUF_FORMAT) == PyBUF_FORMAT ? (char *)(uintptr_t)format : NULL;
    if ((flags & PyBUF_ND) != PyBUF_ND) return 0; // bytes, one after the other
    view->ndim = (int)self->array.shape.n_dims;
    view->shape = self->sizes;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? self->strides : NULL;
    return 0;
}

// ---- DLPack

static void delete_managed(dl_managed *managed)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    Py_DECREF((PyObject *)managed->context);
    PyGILState_Release(gil);
    free(managed);
}

// Of a capsule that nobody took; who took one has renamed it.
static void delete_capsule(PyObject *capsule)
{
    if (!PyCapsule_IsValid(capsule, DL_CAPSULE)) return;
    dl_managed *managed = PyCapsule_GetPointer(capsule, DL_CAPSULE);
    managed->deleter(managed);
}

// The array lives as long as `context`; its sizes stand behind the struct.
static PyObject *array_dlpack(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stream", "max_version", "dl_device", "copy", NULL};
    array_object *self = (array_object *)object;
    const wf_shape *s = &self->array.shape;
    PyObject *ignored[3], *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__", names, &ignored[0], &ignored[1], &ignored[2],
                                     &copy))
        return NULL;
    if (copy == Py_True) {
        PyErr_SetString(PyExc_BufferError, "an Array gives its own memory, not a copy");
        return NULL;
    }
    dl_managed *managed = calloc(1, sizeof *managed + 2 * WF_MAX_DIMS * sizeof(int64_t));
    if (!managed) return PyErr_NoMemory();
    int64_t *sizes = (int64_t *)(managed + 1), *strides = sizes + WF_MAX_DIMS, stride = 1;
    for (uint32_t d = s->n_dims; d-- > 0; stride *= s->dims[d]) sizes[d] = s->dims[d], strides[d] = stride;
    *managed = (dl_managed){
        .tensor = {.data = self->array.data,
                   .device = {DL_CPU, 0},
                   .n_dims = (int32_t)s->n_dims,
                   .type = {DTYPES[s->type].code, (uint8_t)(8 * DTYPES[s->type].size), 1},
                   .shape = sizes,
                   .strides = strides},
        .context = Py_NewRef(object),
        .deleter = delete_managed,
    };
    PyObject *capsule = PyCapsule_New(managed, DL_CAPSULE, delete_capsule);
    if (!capsule) delete_managed(managed);
    return capsule;
}

static PyObject *array_dlpack_device(PyObject *object, PyObject *none)
{
    (void)object;
    (void)none;
    return Py_BuildValue("(ii)", DL_CPU, 0);
}

static PyObject *array_shape(PyObject *object, void *none)
{
    (void)none;
    return core_shape_tuple(&((array_object *)object)->array.shape);
}

static PyObject *array_dtype(PyObject *object, void *none)
{
    (void)none;
    return PyUnicode_FromString(wf_dtype_name(((array_object *)object)->array.shape.type));
}

static PyObject *array_tolist(PyObject *object, PyObject *none)
{
    (void)none;
    PyObject *view = PyMemoryView_FromObject(object);
    PyObject *list = view ? PyObject_CallMethod(view, "tolist", NULL) : NULL;
    Py_XDECREF(view);
    return list;
}

static PyObject *array_repr(PyObject *object)
{
    PyObject *shape = array_shape(object, NULL), *text = NULL;
    if (shape)
        text = PyUnicode_FromFormat("welford.Array(shape=%R, dtype='%s')", shape,
                                    wf_dtype_name(((array_object *)object)->array.shape.type));
    Py_XDECREF(shape);
    return text;
}

static Py_ssize_t array_length(PyObject *object)
{
    const wf_shape *s = &((array_object *)object)->array.shape;
    if (s->n_dims) return (Py_ssize_t)s->dims[0];
    PyErr_SetString(PyExc_TypeError, "an Array without dimensions has no length");
    return -1;
}

int core_add_array(PyObject *module, core_state *state)
{
    static PyMethodDef methods[] = {
        {"__dlpack__", (PyCFunction)(void (*)(void))array_dlpack, METH_VARARGS | METH_KEYWORDS,
         "The array's memory as a capsule of DLPack."},
        {"__dlpack_device__", array_dlpack_device, METH_NOARGS, "(1, 0): the CPU."},
        {"tolist", array_tolist, METH_NOARGS, "Its elements as lists in lists."},
        {NULL, NULL, 0, NULL},
    };
    static PyGetSetDef members[] = {
        {"shape", array_shape, NULL, "A tuple of sizes.", NULL},
        {"dtype", array_dtype, NULL, "The type of its elements as MLIR writes it: 'f32', 'i1'.", NULL},
        {NULL, NULL, NULL, NULL, NULL},
    };
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, array_dealloc},
        {Py_tp_repr, array_repr},
        {Py_tp_methods, methods},
        {Py_tp_getset, members},
        {Py_mp_length, array_length},
        {Py_bf_getbuffer, array_getbuffer},
        {Py_tp_doc,
         "An array that welford computed. numpy.asarray, numpy.from_dlpack, torch.from_dlpack and memoryview "
         "look at its memory without copying it."},
        {0, NULL},
    };
    static PyType_Spec spec = {"welford._core.Array", sizeof(array_object), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
    return core_add_type(module, &spec, &state->array);
}
