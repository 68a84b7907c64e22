#include "runtime/function.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "runtime/cache/cache.h"

struct function {
    executable own;
    const executable *exe; // own, or the caller's
    bool cached;
    const function_weights *weights; // NULL: none were given
    const pack *pack;                // the weights'; NULL: the program has none
    uint32_t *lent;                  // [arguments + 1]: index among the weights, NOT_LENT: the call brings it
    executor *executor;
    int64_t dims[DIM_COUNT];
    unsigned char *arena;
    size_t arena_bytes;
    unsigned char **areas; // [n_areas]
};

// ---- the program

// Of the program for the sizes that the file declares, which is for any where it leaves some open, or a signature; and
// of the one for the sizes of these arguments.
typedef struct program_ids {
    cache_id declared, fixed;
    bool keep;
} program_ids;

wf_status function_compile(const function_source *s, buffer *notes, buffer *image, checkpoint **list, wf_error *err)
{
    void *address;
    function_options options = s->options;
    *list = NULL;
    TRY(compiler_find("welford_compile_function", &address, err));
    TRY(function_weights_open_list(s->weights, list, err));
    const weight_argument *given = function_weights_list(s->weights, &options.n_weights);
    weight_argument *weights = calloc((size_t)options.n_weights + 1, sizeof *weights);
    for (uint32_t i = 0; i < options.n_weights && weights; i++) {
        weights[i] = given[i];
        weights[i].lent = given[i].lent && !s->packs_all;
    }
    options.weights = weights;
    compile_function_fn *compile = (compile_function_fn *)(uintptr_t)address;
    wf_status status = weights ? compile(s->text, s->bytes, &options, s->n_arguments, s->arguments, s->argument_names,
                                         *list, image, notes, err)
                               : error_memory(err, options.n_weights * sizeof *weights);
    free(weights);
    if (status == WF_OK) return WF_OK;
    checkpoint_close(*list);
    *list = NULL;
    return status;
}

// All that decides the program's bytes: the file, its name (in labels and messages), options, CPU, compiler; the shapes
// where it was compiled for them. `file` is the key of the file's text, which may be large and is hashed once.
static bool make_id(const function_source *s, const char *file, bool declared, cache_id *id)
{
    const function_options *o = &s->options;
    const char *const texts[] = {o->name, o->entry, o->fuse, o->no_fuse, o->packed_as, o->cpu.key};
    buffer facts = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        buffer_printf(&facts, "%d %s\n", texts[i] != NULL, texts[i] ? texts[i] : "");
    buffer_printf(&facts, "%d %d %" PRIu32, o->no_raise, declared, declared ? 0 : s->n_arguments);
    for (uint32_t i = 0; i < s->n_arguments && !declared; i++) {
        buffer_append_char(&facts, ' ');
        array_shape_print(&s->arguments[i], &facts);
    }
    buffer_append_char(&facts, '\n');
    function_weights_describe(s->weights, &facts);
    for (uint32_t i = 0; i < o->n_donations; i++)
        buffer_printf(&facts, "%s=%" PRIu32 "\n", o->donations[i].argument, o->donations[i].result);
    char compiler[COMPILER_IDENTITY_CHARS];
    compiler_identity(compiler);
    const view parts[] = {view_of(file), view_of(compiler), buffer_view(&facts)};
    bool good = !facts.failed;
    *id = (cache_id){.kind = CACHE_PROGRAM, .origin = o->name};
    if (good) cache_key(parts, sizeof parts / sizeof *parts, id->key);
    buffer_free(&facts);
    return good;
}

static bool make_ids(const function_source *s, program_ids *ids)
{
    char file[CACHE_KEY_CHARS];
    const view text = {s->text, s->bytes};
    cache_key(&text, 1, file);
    return make_id(s, file, true, &ids->declared) && make_id(s, file, false, &ids->fixed);
}

// ---- sizes

static bool uses_dim(const program_array *a, uint32_t dim)
{
    for (uint32_t d = 0; d < a->n_dims; d++)
        if (a->dims[d].c[dim]) return true;
    return false;
}

// Of a program's arguments: those that a call brings, and weights that were lent.
typedef struct call_arrays {
    const array_shape *shapes[PROGRAM_MAX_AREAS];
    const char *names[PROGRAM_MAX_AREAS]; // for messages; may be NULL
} call_arrays;

static const char *argument_name(const program *p, uint32_t i) { return p->areas[FUNCTION_ARRAYS + i].name; }

// Which of the program's arguments are weights.
static wf_status find_lent(function *f, wf_error *err)
{
    const program *p = &f->exe->program;
    free(f->lent);
    f->lent = calloc((size_t)p->n_arguments + 1, sizeof *f->lent);
    if (!f->lent) return error_memory(err, p->n_arguments * sizeof *f->lent);
    for (uint32_t i = 0; i < p->n_arguments; i++)
        f->lent[i] = f->weights ? function_weights_find_lent(f->weights, argument_name(p, i)) : NOT_LENT;
    return WF_OK;
}

uint32_t function_count_arguments(const function *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->exe->program.n_arguments; i++) n += f->lent[i] == NOT_LENT;
    return n;
}

uint32_t function_argument(const function *f, uint32_t i)
{
    uint32_t k = 0;
    while (k < f->exe->program.n_arguments && (f->lent[k] != NOT_LENT || i-- > 0)) k++;
    return k;
}

static wf_status list_arrays(const function *f, uint32_t n, const array_shape *shapes, const char *const *names,
                             call_arrays *all, wf_error *err)
{
    uint32_t wanted = function_count_arguments(f), next = 0;
    if (n != wanted)
        return error_set(err, WF_ERROR_USAGE, "the function takes %" PRIu32 " argument%s, %" PRIu32 " %s given", wanted,
                         wanted == 1 ? "" : "s", n, n == 1 ? "is" : "are");
    for (uint32_t i = 0; i < f->exe->program.n_arguments; i++) {
        bool lent = f->lent[i] != NOT_LENT;
        all->names[i] = lent || !names ? NULL : names[next];
        all->shapes[i] = lent ? function_weights_shape(f->weights, f->lent[i]) : &shapes[next++];
    }
    return WF_OK;
}

// As the file counts its arguments, weights among them.
static uint32_t number_of(const program *p, uint32_t i)
{
    static const char PREFIX[] = "argument";
    view name = view_of(argument_name(p, i));
    bool numbered = view_starts_with(name, view_of(PREFIX)) && name.len > sizeof PREFIX - 1;
    const char *digits = name.data + sizeof PREFIX - 1;
    return numbered && !digits[strspn(digits, "0123456789")] ? (uint32_t)strtoul(digits, NULL, 10) : i;
}

static wf_status refuse_shape(uint32_t number, const array_shape *given, const char *name, const buffer *wanted,
                              wf_error *err)
{
    buffer have = {0};
    array_shape_print(given, &have);
    error_set(err, WF_ERROR_USAGE, "argument %" PRIu32 "%s%s%s is %s, the function takes %s", number, name ? " (" : "",
              name ? name : "", name ? ")" : "", buffer_view(&have).data, buffer_view(wanted).data);
    buffer_free(&have);
    return WF_ERROR_USAGE;
}

// `dims`: what the arguments before this one say; NULL: nothing.
static wf_status wrong_shape(const program *p, uint32_t i, const array_shape *given, const char *name,
                             const int64_t *dims, wf_error *err)
{
    buffer want = {0};
    for (uint32_t d = 0; d < p->arrays[i].n_dims; d++) {
        affine_print(&p->arrays[i].dims[d], p->dims, &want);
        buffer_append_char(&want, 'x');
    }
    buffer_printf(&want, "%s", array_type_name(p->arrays[i].type));
    for (uint32_t d = 1, n = 0; d < p->n_dims && dims; d++)
        if (uses_dim(&p->arrays[i], d) && dims[d] >= 0)
            buffer_printf(&want, "%s%s = %" PRId64, n++ ? ", " : ", where ", p->dims[d].name, dims[d]);
    wf_status status = refuse_shape(number_of(p, i), given, name, &want, err);
    buffer_free(&want);
    return status;
}

array_shape function_declared_shape(const program *p, uint32_t index)
{
    const program_array *a = &p->arrays[index];
    array_shape shape = {.type = a->type, .n_dims = a->n_dims};
    for (uint32_t d = 0; d < a->n_dims; d++) {
        const affine constant = affine_of(DIM_ONE, a->dims[d].c[DIM_ONE]);
        bool open = memcmp(&constant, &a->dims[d], sizeof constant) != 0;
        shape.dims[d] = open ? -1 : a->dims[d].c[DIM_ONE];
    }
    return shape;
}

wf_status function_check(const function *f, uint32_t n, const array_shape *arguments, const char *const *names,
                         wf_error *err)
{
    const program *p = &f->exe->program;
    call_arrays all;
    TRY(list_arrays(f, n, arguments, names, &all, err));
    for (uint32_t i = 0; i < p->n_arguments; i++) {
        const array_shape want = function_declared_shape(p, i), *have = all.shapes[i];
        bool same = want.type == have->type && want.n_dims == have->n_dims;
        for (uint32_t d = 0; same && d < want.n_dims; d++) same = want.dims[d] < 0 || want.dims[d] == have->dims[d];
        if (same) continue;
        buffer wanted = {0};
        array_shape_print(&want, &wanted);
        wf_status status = refuse_shape(number_of(p, i), have, all.names[i], &wanted, err);
        buffer_free(&wanted);
        return status;
    }
    return WF_OK;
}

// The dim that a size is a multiple of; DIM_ONE: none.
static uint32_t dim_of_size(const affine *size)
{
    uint32_t dim = DIM_COUNT - 1;
    while (dim > DIM_ONE && !size->c[dim]) dim--;
    return dim;
}

// What the arguments' sizes say of the program's dims: each dim stands alone somewhere; then all sizes have to agree.
static wf_status find_dims(const function *f, uint32_t n_of_call, const array_shape *of_call,
                           const char *const *names_of_call, int64_t dims[DIM_COUNT], wf_error *err)
{
    call_arrays all;
    const program *p = &f->exe->program;
    TRY(list_arrays(f, n_of_call, of_call, names_of_call, &all, err));
    const array_shape *const *shapes = all.shapes;
    const uint32_t n = p->n_arguments;
    for (uint32_t d = 0; d < DIM_COUNT; d++) dims[d] = d < p->n_dims ? -1 : 0; // -1: not known yet
    dims[DIM_ONE] = 1;
    for (uint32_t i = 0; i < n; i++) {
        const program_array *a = &p->arrays[i];
        if (shapes[i]->type != a->type || shapes[i]->n_dims != a->n_dims)
            return wrong_shape(p, i, shapes[i], all.names[i], NULL, err);
        for (uint32_t d = 0; d < a->n_dims; d++) {
            uint32_t dim = dim_of_size(&a->dims[d]);
            if (dim != DIM_ONE && !p->dims[dim].factors[0] && dims[dim] < 0)
                dims[dim] = shapes[i]->dims[d] / a->dims[d].c[dim];
        }
    }
    for (uint32_t d = 1; d < p->n_dims; d++) {
        const uint32_t *of = p->dims[d].factors;
        if (!of[0] && dims[d] < 0) dims[d] = 0; // a dim that became another
        if (of[0] && __builtin_mul_overflow(dims[of[0]], dims[of[1]], &dims[d])) return error_memory(err, SIZE_MAX);
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t d = 0; d < p->arrays[i].n_dims; d++) {
            int64_t wanted;
            if (!affine_eval_checked(&p->arrays[i].dims[d], dims, &wanted) || wanted != shapes[i]->dims[d])
                return wrong_shape(p, i, shapes[i], all.names[i], dims, err);
        }
    return WF_OK;
}

static void *aligned(size_t bytes) { return checked_align(bytes + 64, 64, &bytes) ? aligned_alloc(64, bytes) : NULL; }

// An arena for these dims.
static wf_status allocate(function *f, const int64_t dims[DIM_COUNT], wf_error *err)
{
    int64_t bytes;
    if (!affine_eval_checked(&f->exe->program.areas[FUNCTION_ARENA].bytes, dims, &bytes))
        return error_memory(err, SIZE_MAX);
    if (!f->arena || (size_t)bytes > f->arena_bytes) {
        unsigned char *more = aligned((size_t)bytes);
        if (!more) return error_memory(err, (size_t)bytes);
        free(f->arena);
        f->arena = more;
        f->arena_bytes = (size_t)bytes;
    }
    f->areas[FUNCTION_ARENA] = f->arena;
    memmove(f->dims, dims, sizeof f->dims);
    return WF_OK;
}

wf_status function_bind(function *f, uint32_t n, const array_shape *arguments, const char *const *names, wf_error *err)
{
    int64_t dims[DIM_COUNT];
    TRY(find_dims(f, n, arguments, names, dims, err));
    return allocate(f, dims, err);
}

// ---- opening

static wf_status prepare(function *f, thread_pool *pool, wf_error *err)
{
    const program *p = &f->exe->program;
    f->dims[DIM_ONE] = 1;
    if (program_is_sequence(p)) return error_set(err, WF_ERROR_USAGE, "%s: not a function on arrays", p->name);
    f->areas = calloc(p->n_areas, sizeof *f->areas);
    if (!f->areas) return error_memory(err, p->n_areas * sizeof *f->areas);
    TRY(find_lent(f, err));
    if (p->n_weights && !f->pack) return error_set(err, WF_ERROR_FORMAT, "%s: its weights are missing", p->name);
    f->areas[FUNCTION_CONSTANTS] = (unsigned char *)(uintptr_t)f->exe->constants; // read-only: no kernel writes here
    TRY(executor_create(f->exe, pool, &f->executor, err));
    return p->n_dims == 1 ? allocate(f, f->dims, err) : WF_OK;
}

wf_status function_of_program(const executable *exe, const pack *weights, thread_pool *pool, function **out,
                              wf_error *err)
{
    *out = NULL;
    function *f = calloc(1, sizeof *f);
    if (!f) return error_memory(err, sizeof *f);
    f->exe = exe;
    f->pack = weights;
    wf_status status = prepare(f, pool, err);
    if (status == WF_OK)
        *out = f;
    else
        function_close(f);
    return status;
}

static bool wants_declared(const function_source *s) { return s->options.as_declared && !s->n_arguments; }
static bool is_fixed(const program *p) { return p->fixed && *p->fixed; }

// Compiles, packs, and keeps the program where the ids say so.
static wf_status make_program(function *f, const function_source *s, const program_ids *ids, thread_pool *pool,
                              buffer *notes, wf_error *err)
{
    buffer image = {0};
    checkpoint *list;
    wf_status status = function_compile(s, notes, &image, &list, err);
    if (status == WF_OK) status = executable_load_made(&image, &f->own, err);
    bool declared = status == WF_OK && (wants_declared(s) || (!s->options.as_declared && !is_fixed(&f->own.program)));
    if (status == WF_OK && ids->keep) program_keep(declared ? &ids->declared : &ids->fixed, buffer_view(&image));
    buffer_free(&image);
    if (status == WF_OK && f->own.program.n_weights)
        status = function_weights_pack(s->weights, &f->own.program, list, pool, &f->pack, err);
    checkpoint_close(list);
    return status;
}

// Whether the cache has a program for these arrays, for any sizes or for theirs; as declared the one or a signature.
static bool find_program(function *f, const function_source *s, const program_ids *ids)
{
    int64_t dims[DIM_COUNT];
    if (wants_declared(s)) return program_find(&ids->declared, &f->own);
    if (!s->options.as_declared && program_find(&ids->declared, &f->own)) {
        if (!is_fixed(&f->own.program) && find_lent(f, NULL) == WF_OK &&
            find_dims(f, s->n_arguments, s->arguments, NULL, dims, NULL) == WF_OK)
            return true;
        executable_free(&f->own);
    }
    return program_find(&ids->fixed, &f->own);
}

// A program without its pack is of no use where constants are in it, which only the compiler can read.
static wf_status find_cached(function *f, const function_source *s, const program_ids *ids, thread_pool *pool,
                             wf_error *err)
{
    // Who wants to see the compiler's graphs wants it to run.
    f->cached = ids->keep && !s->options.print_ir_after && find_program(f, s, ids);
    if (!f->cached || !f->own.program.n_weights) return WF_OK;
    TRY(function_weights_find(s->weights, &f->own.program, pool, &f->pack, err));
    f->cached = f->pack;
    if (!f->cached) executable_free(&f->own);
    return WF_OK;
}

wf_status function_open(const function_source *s, thread_pool *pool, buffer *notes, function **out, wf_error *err)
{
    *out = NULL;
    program_ids ids;
    ids.keep = !s->no_cache && make_ids(s, &ids);
    function *f = calloc(1, sizeof *f);
    if (!f) return error_memory(err, sizeof *f);
    f->exe = &f->own;
    f->weights = s->weights;
    wf_status status = find_cached(f, s, &ids, pool, err);
    if (status == WF_OK && !f->cached) status = make_program(f, s, &ids, pool, notes, err);
    if (status == WF_OK) status = prepare(f, pool, err);
    if (status == WF_OK && !wants_declared(s))
        status = function_bind(f, s->n_arguments, s->arguments, s->argument_names, err);
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
    executable_free(&f->own);
    free(f->arena);
    free(f->areas);
    free(f->lent);
    free(f);
}

// ---- calling

bool function_is_signature(const function *f) { return is_fixed(&f->exe->program) && !f->exe->program.n_calls; }
const program *function_plan(const function *f) { return &f->exe->program; }
bool function_was_cached(const function *f) { return f->cached; }

void function_shape(const function *f, uint32_t index, array_shape *shape)
{
    const program_array *a = &f->exe->program.arrays[index];
    *shape = (array_shape){.type = a->type, .n_dims = a->n_dims};
    for (uint32_t d = 0; d < a->n_dims; d++) shape->dims[d] = affine_eval(&a->dims[d], f->dims);
}

void function_observe(function *f, execute_observer *observer, void *context)
{
    executor_observe(f->executor, observer, context);
}

// A result that has a donor starts with its values: where the caller has not given the same memory for both, a copy.
static void give_donations(const function *f, unsigned char *const *areas)
{
    const program *p = &f->exe->program;
    for (uint32_t i = 0; i < p->n_results; i++) {
        array_shape shape;
        size_t bytes;
        uint32_t from = p->arrays[p->n_arguments + i].donor, to = p->n_arguments + i;
        if (!from || areas[from - 1] == areas[to]) continue;
        function_shape(f, to, &shape);
        if (array_shape_bytes(&shape, &bytes) && bytes) memcpy(areas[to], areas[from - 1], bytes);
    }
}

wf_status function_call(function *f, void *const *arrays, wf_error *err)
{
    const program *p = &f->exe->program;
    unsigned char **areas = f->areas + FUNCTION_ARRAYS;
    for (uint32_t i = 0; i < p->n_arguments; i++) {
        bool lent = f->lent[i] != NOT_LENT;
        areas[i] = lent ? (unsigned char *)(uintptr_t)function_weights_data(f->weights, f->lent[i]) : *arrays++;
        if (lent && !areas[i]) return error_memory(err, 0);
    }
    for (uint32_t i = 0; i < p->n_results; i++) areas[p->n_arguments + i] = *arrays++;
    give_donations(f, areas);
    // Read-only; after function_weights_renew it lies elsewhere.
    if (f->pack) f->areas[FUNCTION_WEIGHTS] = (unsigned char *)(uintptr_t)f->pack->data;
    return executor_run(f->executor, f->areas, f->dims, err);
}
