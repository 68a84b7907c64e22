#include "runtime/function.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

struct function {
    program own;
    const program *prog; // own, or the caller's
    bool cached;
    program_times compiled;
    executor *executor;
    int64_t dims[DIM_COUNT];
    unsigned char *arena;
    unsigned char **areas; // [n_areas]
};

// ---- the program

typedef struct compilation {
    const function_source *source;
    buffer *notes;
} compilation;

wf_status function_compile(const function_source *s, buffer *notes, buffer *image, wf_error *err)
{
    compiler_door door;
    TRY(compiler_open("welford_compile_function", &door, err));
    compile_function_fn *compile_function = (compile_function_fn *)(uintptr_t)door.function;
    wf_status status = compile_function(s->text, s->bytes, &s->options, s->n_arguments, s->arguments, s->argument_names,
                                        image, notes, err);
    compiler_close(&door);
    return status;
}

static wf_status compile(void *context, buffer *image, wf_error *err)
{
    const compilation *c = context;
    return function_compile(c->source, c->notes, image, err);
}

// All that decides the program's bytes: the file, its name (in labels and messages), options, shapes, CPU, compiler.
static bool make_key(const function_source *s, char key[CACHE_KEY_CHARS])
{
    const function_options *o = &s->options;
    const char *const texts[] = {o->name, o->entry, o->fuse, o->no_fuse, o->cpu.key};
    buffer facts = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        buffer_printf(&facts, "%d %s\n", texts[i] != NULL, texts[i] ? texts[i] : "");
    buffer_printf(&facts, "%d %" PRIu32, o->no_raise, s->n_arguments);
    for (uint32_t i = 0; i < s->n_arguments; i++) {
        buffer_append_char(&facts, ' ');
        array_shape_print(&s->arguments[i], &facts);
    }
    char compiler[COMPILER_IDENTITY_CHARS];
    compiler_identity(compiler);
    const view parts[] = {{s->text, s->bytes}, view_of(compiler), buffer_view(&facts)};
    bool good = !facts.failed;
    if (good) cache_key(parts, sizeof parts / sizeof *parts, key);
    buffer_free(&facts);
    return good;
}

// ---- opening

static void *aligned(size_t bytes) { return checked_align(bytes + 64, 64, &bytes) ? aligned_alloc(64, bytes) : NULL; }

static wf_status prepare(function *f, thread_pool *pool, wf_error *err)
{
    const plan *p = &f->prog->plan;
    int64_t bytes;
    f->dims[DIM_ONE] = 1;
    if (plan_is_sequence(p) || p->n_dims != 1)
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: not a function of fixed sizes", p->name);
    if (!affine_eval_checked(&p->areas[FUNCTION_ARENA].bytes, f->dims, &bytes)) return error_memory(err, SIZE_MAX);
    f->arena = aligned((size_t)bytes);
    f->areas = calloc(p->n_areas, sizeof *f->areas);
    if (!f->arena || !f->areas) return error_memory(err, (size_t)bytes);
    f->areas[FUNCTION_ARENA] = f->arena;
    f->areas[FUNCTION_CONSTANTS] = (unsigned char *)(uintptr_t)f->prog->constants; // read-only: no kernel writes here
    return executor_create(f->prog, pool, &f->executor, err);
}

wf_status function_of_program(const program *prog, thread_pool *pool, function **out, wf_error *err)
{
    *out = NULL;
    function *f = calloc(1, sizeof *f);
    if (!f) return error_memory(err, sizeof *f);
    f->prog = prog;
    wf_status status = prepare(f, pool, err);
    if (status == WF_OK)
        *out = f;
    else
        function_close(f);
    return status;
}

wf_status function_open(const function_source *s, thread_pool *pool, buffer *notes, function **out, wf_error *err)
{
    *out = NULL;
    char key[CACHE_KEY_CHARS];
    compilation c = {s, notes};
    bool keep = !s->no_cache && make_key(s, key);
    function *f = calloc(1, sizeof *f);
    if (!f) return error_memory(err, sizeof *f);
    f->prog = &f->own;
    // Who wants to see the compiler's graphs wants it to run.
    f->cached = keep && !s->options.print_ir_after && program_find(key, &f->own);
    wf_status status = f->cached ? WF_OK : program_make(compile, &c, keep ? key : NULL, &f->own, &f->compiled, err);
    if (status == WF_OK) status = prepare(f, pool, err);
    if (status == WF_OK)
        *out = f;
    else
        function_close(f);
    return status;
}

void function_close(function *f)
{
    if (!f) return;
    executor_free(f->executor);
    program_free(&f->own);
    free(f->arena);
    free(f->areas);
    free(f);
}

// ---- calling

const plan *function_plan(const function *f) { return &f->prog->plan; }
bool function_was_cached(const function *f) { return f->cached; }

void function_shape(const function *f, uint32_t index, array_shape *shape)
{
    const plan_array *a = &f->prog->plan.arrays[index];
    *shape = (array_shape){.type = a->type, .n_dims = a->n_dims};
    for (uint32_t d = 0; d < a->n_dims; d++) shape->dims[d] = affine_eval(&a->dims[d], f->dims);
}

void function_observe(function *f, execute_observer *observer, void *context)
{
    executor_observe(f->executor, observer, context);
}

wf_status function_call(function *f, void *const *arrays, wf_error *err)
{
    const plan *p = &f->prog->plan;
    for (uint32_t i = 0; i < p->n_arguments + p->n_results; i++) f->areas[FUNCTION_ARRAYS + i] = arrays[i];
    return executor_run(f->executor, f->areas, f->dims, err);
}
