// The weights of a function: those that were given to it, and the packs that its programs read. All programs of one
// function, for whatever sizes, share them: there is one pack for each table of weights (program.weights).
//
//     given       arguments by name, from a safetensors file or in the caller's memory
//     constants   of the graph, which the compiler hands over when it makes a program that refers to them
//
// A pack's key (pack/pack_key.h) has the content of what is given in it, and the names of constants say what these hold,
// so that a function whose program and pack are in the cache needs neither compiler nor graph.
#ifndef WELFORD_RUNTIME_FUNCTION_WEIGHTS_H
#define WELFORD_RUNTIME_FUNCTION_WEIGHTS_H

#include "format/checkpoint.h"
#include "runtime/compiler.h"
#include "runtime/pack/pack.h"

typedef struct function_weights function_weights;

// `name` is that of the function's file; it must outlive the weights. Without `cache` packs are made in memory.
wf_status function_weights_create(const char *name, bool cache, function_weights **weights, wf_error *err);
void function_weights_free(function_weights *weights); // NULL is fine; after all functions that read them

// All tensors of a safetensors file, each the weight of its name ("3" is "argument3"). The file stays mapped.
wf_status function_weights_add_file(function_weights *weights, const char *path, wf_error *err);
// A weight in memory that must stay where it is. What is read as it is, is read there, where it lies at a multiple of 64;
// elsewhere it is copied.
wf_status function_weights_lend(function_weights *weights, const char *name, const array_shape *shape, const void *data,
                                wf_error *err);

// All that were given.
const weight_argument *function_weights_list(const function_weights *weights, uint32_t *n);
// Appends what decides a program's bytes: their names and shapes, not their values.
void function_weights_describe(const function_weights *weights, buffer *out);
// A list for the compiler, which adds constants to it: everything that was given, each as a tensor of one dimension.
// Close it when it is packed.
wf_status function_weights_open_list(const function_weights *weights, checkpoint **list, wf_error *err);

// The lent weight that an argument of a program of this name stands for; NOT_LENT: none, the call brings it.
#define NOT_LENT UINT32_MAX
uint32_t function_weights_find_lent(const function_weights *weights, const char *name);
const array_shape *function_weights_shape(const function_weights *weights, uint32_t index);
// At a multiple of 64. NULL: out of memory for a copy.
const void *function_weights_data(const function_weights *weights, uint32_t index);

// The program's pack where it is made already, or can be without constants; *pack stays NULL where not. It belongs to the
// weights, and lies where it lies until function_weights_renew.
wf_status function_weights_find(function_weights *weights, const program *p, thread_pool *pool, const pack **pack,
                                wf_error *err);
// The same, with a list that the compiler has added the program's constants to.
wf_status function_weights_pack(function_weights *weights, const program *p, const checkpoint *list, thread_pool *pool,
                                const pack **pack, wf_error *err);
// Whether all packs came from the cache.
bool function_weights_cached(const function_weights *weights);

// The values of a weight that was lent have changed, or lie elsewhere now: all packs follow. Nobody may compute with them
// meanwhile.
wf_status function_weights_renew(function_weights *weights, const char *name, const array_shape *shape,
                                 const void *data, wf_error *err);

#endif
