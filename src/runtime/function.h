// A function of a graph file, ready to be called: its program, from the cache where it can be, and its arena.
#ifndef WELFORD_RUNTIME_FUNCTION_H
#define WELFORD_RUNTIME_FUNCTION_H

#include "runtime/compiler.h"
#include "runtime/execute.h"
#include "runtime/function_weights.h"
#include "runtime/program_cache.h"

typedef struct function function;

// The graph file's text or bytecode, zero-terminated after `bytes`, and the arguments' shapes. Sizes that the file
// leaves open stay open in the program where its ops allow it; else it is compiled for these sizes. `argument_names`
// (may be NULL) stand for the arguments in messages.
typedef struct function_source {
    const char *text;
    size_t bytes;
    function_options options;
    uint32_t n_arguments;
    const array_shape *arguments;
    const char *const *argument_names;
    function_weights *weights; // of all functions of this source, which it must outlive: options.weights are its list
    bool no_cache;
    bool packs_all; // what is lent too: the program is for somebody else
} function_source;

// Compiles the function: appends the image of a program. *list has the constants that its pack is made of, and what was
// given (function_weights_open_list).
wf_status function_compile(const function_source *source, buffer *notes, buffer *image, checkpoint **list,
                           wf_error *err);

// Compiles the function, or finds it in the cache, packs its weights, or finds them there, and allocates its arena. Messages of the compiler go to `notes`.
// `pool` must outlive the function, which serves one call at a time. Errors as for compile_function_fn. As declared
// (function_options) and without shapes of arguments it is still to be bound where sizes are open, and may be a
// signature; with shapes it is for these alone.
wf_status function_open(const function_source *source, thread_pool *pool, buffer *notes, function **f, wf_error *err);
void function_close(function *f); // NULL is fine

// Other shapes for the calls that follow. WF_ERROR_USAGE: the program takes no such arrays, and nothing has changed;
// function_open may find or make one that does.
wf_status function_bind(function *f, uint32_t n_arguments, const array_shape *arguments,
                        const char *const *argument_names, wf_error *err);

// What bind would say of arrays that no program for any sizes is for: their number, types, and the sizes that are fixed.
wf_status function_check(const function *f, uint32_t n_arguments, const array_shape *arguments,
                         const char *const *argument_names, wf_error *err);

const program *function_plan(const function *f);
// How many arguments a call brings, and the number among the program's of the i-th of them: the others are weights that
// were lent.
uint32_t function_count_arguments(const function *f);
uint32_t function_argument(const function *f, uint32_t i);
// Whether it only says what the function takes and gives: no program can be for any sizes (`fixed` says why).
bool function_is_signature(const function *f);
bool function_was_cached(const function *f);
// An argument, or a result behind them, as declared: sizes that are open are negative.
array_shape function_declared_shape(const program *p, uint32_t index);
// The shape of one of the program's arguments, or of a result behind them.
void function_shape(const function *f, uint32_t index, array_shape *shape);

// Computes once: arrays[i] for the arguments of a call (read only) and the results, aligned to 64 bytes. A result may lie
// where the argument lies that is donated to it. A check that fails while running
// (an index out of range) is WF_ERROR_USAGE; results are then unspecified.
wf_status function_call(function *f, void *const *arrays, wf_error *err);

// As executor_observe.
void function_observe(function *f, execute_observer *observer, void *context);

// A function of a program that is there already, to be bound (but where no size is open); `exe` and the pack of its
// weights (NULL: it has none) must outlive it.
wf_status function_of_program(const executable *exe, const pack *weights, thread_pool *pool, function **f,
                              wf_error *err);

#endif
