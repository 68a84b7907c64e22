// A function of a graph file on arrays: says what it takes and gives, calls it on ones, and prints the first values.
//
//     cc function.c $(pkg-config --cflags --libs welford) -o function && ./function GRAPH.mlir
//
// GRAPH.mlir is TOSA or linalg as PyTorch, TensorFlow and others export it, or a .wf file of `welford compile`.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <welford.h>

enum { MAX_ARRAYS = 64, OPEN = 4 }; // the size that stands for one that the file leaves open

static void print_array(const char *kind, const wf_array *a)
{
    printf("%s %s: ", kind, a->name);
    for (uint32_t d = 0; d < a->shape.n_dims; d++)
        a->shape.dims[d] < 0 ? printf("?x") : printf("%lldx", (long long)a->shape.dims[d]);
    puts(wf_dtype_name(a->shape.type));
}

// Ones, of f32; zeros of other types.
static int fill(wf_array *a)
{
    size_t bytes;
    for (uint32_t d = 0; d < a->shape.n_dims; d++)
        if (a->shape.dims[d] < 0) a->shape.dims[d] = OPEN;
    if (!wf_shape_bytes(&a->shape, &bytes) || !(a->data = calloc(bytes ? bytes : 1, 1))) return 0;
    if (a->shape.type == WF_F32)
        for (size_t i = 0; i < bytes / sizeof(float); i++) ((float *)a->data)[i] = 1;
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s GRAPH\n", argv[0]);
        return 2;
    }
    static wf_array arguments[MAX_ARRAYS], results[MAX_ARRAYS];
    wf_function *function;
    wf_error err;
    if (wf_function_open(argv[1], NULL, &function, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    size_t n = wf_function_arguments(function), m = wf_function_results(function);
    int ok = n <= MAX_ARRAYS && m <= MAX_ARRAYS;
    for (size_t i = 0; ok && i < n; i++) {
        arguments[i] = wf_function_argument(function, i);
        print_array("argument", &arguments[i]);
        ok = fill(&arguments[i]);
    }
    if (!ok) {
        fprintf(stderr, "%s: too many arrays, or too large\n", argv[1]);
    } else if (wf_function_call(function, arguments, n, results, m, &err)) { // results get memory of their own
        fprintf(stderr, "%s\n", err.message);
        ok = 0;
    }
    for (size_t i = 0; ok && i < m; i++) {
        size_t bytes;
        results[i].name = wf_function_result(function, i).name;
        print_array("result", &results[i]);
        if (results[i].shape.type == WF_F32 && wf_shape_bytes(&results[i].shape, &bytes))
            for (size_t k = 0; k < bytes / sizeof(float) && k < 4; k++) printf("  %g\n", ((float *)results[i].data)[k]);
    }
    for (size_t i = 0; i < MAX_ARRAYS; i++) {
        free(arguments[i].data);
        wf_free(results[i].data);
    }
    wf_function_close(function);
    return !ok;
}
