// Functions on arrays of the public interface (welford.h).
//
//   declared   the program for the sizes that the file declares, any where it leaves them open, or a signature, which
//              only says what the function takes: then there is
//   made       a program for each set of sizes that was called, the last few of them
//
// A .wf file has one program, which is `declared`. All programs share the weights; the file's text is let go once there is
// a program, and read again where another is to be made.
#include "engine/api_function.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/versions.h"
#include "runtime/bundle_make.h"
#include "runtime/bundle_program.h"
#include "runtime/cache/cache.h"
#include "runtime/function.h"
#include "engine/fusion_row.h"

enum { MAX_MADE = 8, ALIGNMENT = 64 };

struct wf_function {
    thread_pool *pool;
    bool owns_pool;
    char *name;                // of the file
    void *data;                // its bytes, aligned to 64; NULL: in `ahead`, or to be read again
    char key[CACHE_KEY_CHARS]; // of a graph file that is read again
    bundle ahead;
    executable exe; // in it
    pack pack;      // in it
    function_source source;
    function_weights *weights;                                    // of a graph file
    donation *donations;                                          // [source.options.n_donations]
    char (*donors)[24];                                           // numbers of those that are given by index
    function *declared;                                           // NULL when it was opened for the sizes of arguments
    function *made[MAX_MADE];                                     // the newest first
    function *current;                                            // one of these
    void (*print)(void *context, const char *text, size_t bytes); // NULL: to stderr
    void *print_context;
    void **pointers, **copies; // of a call: [arguments + results]
};

static wf_status refuse(const wf_function *f, const char *reason, wf_error *err)
{
    return error_set(err, WF_ERROR_USAGE, "%s: %s", f->name, reason);
}

// ---- opening

// What the compiler printed.
static void show_notes(const wf_function *f, buffer *notes)
{
    if (notes->len && f->print) f->print(f->print_context, notes->data, notes->len);
    if (notes->len && !f->print) fwrite(notes->data, 1, notes->len, stderr);
    buffer_free(notes);
}

static void make_key(const void *text, size_t bytes, char key[CACHE_KEY_CHARS])
{
    const view all = {text, bytes};
    cache_key(&all, 1, key);
}

// A text may be as long as the weights in it: only a file that cannot be read again is kept.
static void let_text_go(wf_function *f)
{
    if (!*f->key) return;
    free(f->data);
    f->data = NULL;
    f->source.text = NULL;
}

// The file's text, for the caller to free.
static wf_status read_again(const wf_function *f, char **text, wf_error *err)
{
    char key[CACHE_KEY_CHARS];
    size_t bytes;
    TRY(file_read(f->name, text, &bytes, err));
    make_key(*text, bytes, key);
    if (bytes == f->source.bytes && !strcmp(key, f->key)) return WF_OK;
    free(*text);
    *text = NULL;
    return refuse(f, "the file has changed since it was opened", err);
}

static wf_status open_source(const wf_function *f, const function_source *source, function **out, wf_error *err)
{
    buffer notes = {0};
    wf_status status = function_open(source, f->pool, &notes, out, err);
    show_notes(f, &notes);
    return status;
}

typedef struct argument_list {
    array_shape *shapes;
    const char **names;
} argument_list;

static void free_list(argument_list *list)
{
    free(list->shapes);
    free(list->names);
}

static wf_status list_arguments(const wf_array *arguments, size_t n, argument_list *list, wf_error *err)
{
    list->shapes = calloc(n + 1, sizeof *list->shapes);
    list->names = calloc(n + 1, sizeof *list->names);
    if (!list->shapes || !list->names) {
        free_list(list);
        return error_memory(err, n * sizeof *list->shapes);
    }
    for (size_t i = 0; i < n; i++) {
        list->shapes[i] = arguments[i].shape;
        list->names[i] = arguments[i].name;
    }
    return WF_OK;
}

// Of numbers that came through the interface.
static wf_status check_arrays(const wf_function *f, const char *kind, const wf_array *arrays, size_t n, wf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const wf_shape *s = &arrays[i].shape;
        bool good = (unsigned)s->type < WF_TYPE_COUNT && s->n_dims <= WF_MAX_DIMS;
        for (uint32_t d = 0; good && d < s->n_dims; d++) good = s->dims[d] >= 0;
        if (!good)
            return error_set(err, WF_ERROR_USAGE, "%s: %s %zu: its type, rank or a size makes no sense", f->name, kind,
                             i);
    }
    return WF_OK;
}

// The name that a weight is given by: "3" for the argument of that number.
static const char *weight_name(const wf_weight *weight, char number[24])
{
    if (weight->name) return weight->name;
    snprintf(number, 24, "%zu", weight->index);
    return number;
}

static wf_status check_weight(const wf_function *f, const wf_weight *weight, wf_error *err)
{
    const wf_array array = {.shape = weight->shape};
    return check_arrays(f, "the shape of a weight", &array, 1, err);
}

static wf_status give_weights(wf_function *f, const wf_function_options *o, wf_error *err)
{
    TRY(function_weights_create(f->name, !o->no_cache, &f->weights, err));
    f->source.weights = f->weights;
    if (o->params) TRY(function_weights_add_file(f->weights, o->params, err));
    for (size_t i = 0; i < o->n_lent; i++) {
        char number[24];
        const wf_weight *weight = &o->lent[i];
        TRY(check_weight(f, weight, err));
        TRY(function_weights_lend(f->weights, weight_name(weight, number), &weight->shape, weight->data, err));
    }
    return WF_OK;
}

static wf_status list_donations(wf_function *f, const wf_function_options *o, wf_error *err)
{
    if (o->n_donated > PROGRAM_MAX_AREAS) return refuse(f, "that many donations no function takes", err);
    f->donations = calloc(o->n_donated + 1, sizeof *f->donations);
    f->donors = calloc(o->n_donated + 1, sizeof *f->donors);
    if (!f->donations || !f->donors) return error_memory(err, o->n_donated * sizeof *f->donations);
    for (size_t i = 0; i < o->n_donated; i++) {
        const wf_donation *d = &o->donated[i];
        if (d->result > PROGRAM_MAX_AREAS) return refuse(f, "a donation is to a result that no function has", err);
        snprintf(f->donors[i], sizeof f->donors[i], "%zu", d->index);
        f->donations[i] = (donation){d->name ? d->name : f->donors[i], (uint32_t)d->result};
    }
    return WF_OK;
}

static wf_status open_graph(wf_function *f, const wf_function_options *o, wf_error *err)
{
    function_source *s = &f->source;
    TRY(list_donations(f, o, err));
    TRY(give_weights(f, o, err));
    s->options = (function_options){.cpu = s->options.cpu,
                                    .name = f->name,
                                    .entry = o->entry,
                                    .no_raise = o->no_raise,
                                    .fuse = o->fuse,
                                    .no_fuse = o->no_fuse,
                                    .print_ir_after = o->print_ir_after,
                                    .packed_as = o->weights,
                                    .donations = f->donations,
                                    .n_donations = (uint32_t)o->n_donated,
                                    .as_declared = !o->arguments,
                                    .or_signature = !o->arguments};
    s->no_cache = o->no_cache;
    if (!o->arguments) return open_source(f, s, &f->declared, err);
    function_source own = *s;
    argument_list list;
    TRY(list_arguments(o->arguments, o->n_arguments, &list, err));
    own.n_arguments = (uint32_t)o->n_arguments;
    own.arguments = list.shapes;
    own.argument_names = list.names;
    wf_status status = open_source(f, &own, &f->made[0], err);
    free_list(&list);
    return status;
}

static wf_status check_ahead(const wf_function *f, const wf_function_options *o, wf_error *err)
{
    const char *option = o->no_raise         ? "--no-raise"
                         : o->fuse           ? "--fuse"
                         : o->no_fuse        ? "--no-fuse"
                         : o->print_ir_after ? "--print-ir-after"
                         : o->weights        ? "--weights"
                         : o->params         ? "--params"
                         : o->n_lent         ? "a weight from memory"
                         : o->n_donated      ? "--donate"
                                             : NULL;
    if (!option) return WF_OK;
    return error_set(err, WF_ERROR_USAGE, "%s: %s is for `welford compile`: the file is compiled already", f->name,
                     option);
}

static wf_status open_ahead(wf_function *f, const wf_function_options *o, wf_error *err)
{
    if (bundle_find(&f->ahead, BUNDLE_METADATA))
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: a model, no function: `welford run` takes it", f->name);
    TRY(check_ahead(f, o, err));
    uint32_t index;
    TRY(bundle_choose_function(&f->ahead, o->entry, &index, err));
    TRY(bundle_program(&f->ahead, index, &f->source.options.cpu, &f->exe, err));
    const char *name = f->exe.program.name;
    if (o->entry && strcmp(o->entry, name))
        return error_set(err, WF_ERROR_USAGE, "%s: there is no function '%s', but '%s'", f->name, o->entry, name);
    const bundle_section *packed = bundle_program_pack(&f->ahead, index, &f->source.options.cpu);
    if (packed) TRY(pack_lend(packed->bytes, packed->checksum, &f->exe.program, f->name, f->pool, &f->pack, err));
    TRY(function_of_program(&f->exe, packed ? &f->pack : NULL, f->pool, &f->declared, err));
    if (!o->arguments) return WF_OK;
    argument_list list;
    TRY(list_arguments(o->arguments, o->n_arguments, &list, err));
    wf_status status = function_bind(f->declared, (uint32_t)o->n_arguments, list.shapes, list.names, err);
    free_list(&list);
    return status;
}

// Its file is in f->ahead, or in f->source.
static wf_status open_function(wf_function *f, const wf_function_options *o, wf_error *err)
{
    TRY(cpu_detect(&f->source.options.cpu, err));
    if (o->arguments) TRY(check_arrays(f, "argument", o->arguments, o->n_arguments, err));
    f->print = o->print;
    f->print_context = o->print_context;
    f->pool = o->pool;
    f->owns_pool = !o->pool;
    if (!o->pool) TRY(wf_pool_create(o->n_threads, &f->pool, err));
    TRY(f->ahead.n_sections ? open_ahead(f, o, err) : open_graph(f, o, err));
    f->current = f->declared ? f->declared : f->made[0];
    let_text_go(f);
    const program *p = function_plan(f->current);
    f->pointers = calloc(p->n_arguments + p->n_results + 1, sizeof *f->pointers);
    f->copies = calloc(p->n_arguments + p->n_results + 1, sizeof *f->copies);
    return f->pointers && f->copies ? WF_OK : error_memory(err, sizeof *f->pointers);
}

static wf_status create(const char *name, wf_function **out, wf_error *err)
{
    wf_function *f = calloc(1, sizeof *f);
    if (f && !(f->name = strdup(name))) {
        free(f);
        f = NULL;
    }
    *out = f;
    return f ? WF_OK : error_memory(err, sizeof *f);
}

static wf_status finish(wf_status status, wf_function *f, const wf_function_options *o, wf_function **out,
                        wf_error *err)
{
    static const wf_function_options DEFAULTS;
    if (status == WF_OK) status = open_function(f, o ? o : &DEFAULTS, err);
    if (status == WF_OK)
        *out = f;
    else
        wf_function_close(f);
    return status;
}

wf_status wf_function_open(const char *path, const wf_function_options *o, wf_function **out, wf_error *err)
{
    *out = NULL;
    if (!path) return error_set(err, WF_ERROR_USAGE, "no path of a function");
    wf_function *f;
    TRY(create(path, &f, err));
    if (bundle_is(path)) return finish(bundle_open(f->name, &f->ahead, err), f, o, out, err);
    char *text;
    wf_status status = file_read(path, &text, &f->source.bytes, err);
    if (status == WF_OK) {
        f->source.text = f->data = text;
        if (strcmp(path, "-")) make_key(text, f->source.bytes, f->key);
    }
    return finish(status, f, o, out, err);
}

static wf_status copy_bytes(wf_function *f, const void *data, size_t bytes, wf_error *err)
{
    size_t room;
    bool fits = checked_align(bytes + 1, ALIGNMENT, &room) && bytes < SIZE_MAX - ALIGNMENT;
    f->data = fits ? aligned_alloc(ALIGNMENT, room) : NULL;
    if (!f->data) return error_memory(err, bytes);
    memcpy(f->data, data, bytes);
    ((char *)f->data)[bytes] = 0;
    if (bytes >= MAGIC_BYTES && !memcmp(data, BUNDLE_MAGIC, MAGIC_BYTES))
        return bundle_parse((view){f->data, bytes}, f->name, &f->ahead, err);
    f->source.text = f->data;
    f->source.bytes = bytes;
    return WF_OK;
}

wf_status wf_function_open_bytes(const void *data, size_t bytes, const char *name, const wf_function_options *o,
                                 wf_function **out, wf_error *err)
{
    *out = NULL;
    if (!data || !name) return error_set(err, WF_ERROR_USAGE, "no bytes, or no name, of a function");
    wf_function *f;
    TRY(create(name, &f, err));
    return finish(copy_bytes(f, data, bytes, err), f, o, out, err);
}

void wf_function_close(wf_function *f)
{
    if (!f) return;
    function_close(f->declared);
    for (int i = 0; i < MAX_MADE; i++) function_close(f->made[i]);
    function_weights_free(f->weights);
    free(f->donations);
    free(f->donors);
    executable_free(&f->exe);
    bundle_close(&f->ahead);
    if (f->owns_pool && f->pool) thread_pool_free(f->pool);
    free(f->pointers);
    free(f->copies);
    free(f->data);
    free(f->name);
    free(f);
}

// ---- describing

// What the file declares is in `declared`, where it was opened as such.
static const function *declared_function(const wf_function *f) { return f->declared ? f->declared : f->current; }
static const program *declaration(const wf_function *f) { return function_plan(declared_function(f)); }

const char *wf_function_name(const wf_function *f) { return declaration(f)->name; }
size_t wf_function_arguments(const wf_function *f) { return function_count_arguments(declared_function(f)); }
size_t wf_function_results(const wf_function *f) { return declaration(f)->n_results; }

static wf_array describe(const program *p, size_t index)
{
    return (wf_array){.shape = function_declared_shape(p, (uint32_t)index),
                      .name = p->areas[FUNCTION_ARRAYS + index].name};
}

wf_array wf_function_argument(const wf_function *f, size_t index)
{
    uint32_t i =
        index < wf_function_arguments(f) ? function_argument(declared_function(f), (uint32_t)index) : UINT32_MAX;
    return i < UINT32_MAX ? describe(declaration(f), i) : (wf_array){0};
}

wf_array wf_function_result(const wf_function *f, size_t index)
{
    const program *p = declaration(f);
    return index < p->n_results ? describe(p, p->n_arguments + index) : (wf_array){0};
}

size_t wf_function_donor(const wf_function *f, size_t result)
{
    const function *of = f->current;
    const program *p = function_plan(of);
    uint32_t donor = result < p->n_results ? p->arrays[p->n_arguments + result].donor : 0,
             n = function_count_arguments(of);
    for (uint32_t i = 0; i < n && donor; i++)
        if (function_argument(of, i) == donor - 1) return i;
    return n;
}

bool wf_function_cached(const wf_function *f) { return f->ahead.n_sections || function_was_cached(f->current); }

bool wf_shape_bytes(const wf_shape *shape, size_t *bytes)
{
    bool good = (unsigned)shape->type < WF_TYPE_COUNT && shape->n_dims <= WF_MAX_DIMS;
    return good && array_shape_bytes(shape, bytes);
}

const char *wf_dtype_name(wf_dtype type) { return (unsigned)type < WF_TYPE_COUNT ? array_type_name(type) : "?"; }

static void print_report(const wf_function *f, buffer *text)
{
    const program *p = function_plan(f->current), *d = declaration(f);
    const char *fixed = p->fixed && *p->fixed ? p->fixed : d->fixed && *d->fixed ? d->fixed : NULL;
    program_print_fusions(p->fusions, p->n_fusions, text);
    if (p->n_dims > 1 && !fixed) buffer_printf(text, "sizes            any\n");
    if (fixed) buffer_printf(text, "sizes            those of these arrays: %s\n", fixed);
    if (!p->n_weights) return;
    bool cached = !f->weights || function_weights_cached(f->weights);
    buffer_printf(text, "weights          %zu bytes, %s\n", program_fixed_bytes(p, AREA_WEIGHTS),
                  f->ahead.n_sections ? "in the file"
                  : cached            ? "from the cache"
                                      : "packed now");
}

wf_status wf_function_print(const wf_function *f, wf_print what, char **text, wf_error *err)
{
    buffer out = {0};
    *text = NULL;
    if (what == WF_PRINT_REPORT)
        print_report(f, &out);
    else
        program_print(function_plan(f->current), &out);
    if (!buffer_reserve(&out, 0) || out.failed) {
        size_t bytes = out.len;
        buffer_free(&out);
        return error_memory(err, bytes);
    }
    *text = out.data;
    return WF_OK;
}

bool wf_function_fusion(const wf_function *f, size_t index, wf_fusion *fusion)
{
    return fusion_of_program(function_plan(f->current), index, fusion);
}

// ---- saving

static wf_status save_source(const wf_function *f, const char *path, const function_source *source, wf_error *err)
{
    buffer notes = {0};
    const bundle_options options = {.output = path, .cpus = &source->options.cpu, .n_cpus = 1};
    function_source own = *source;
    char *text = NULL;
    if (!f->data) TRY(read_again(f, &text, err));
    if (text) own.text = text;
    own.packs_all = true;
    wf_status status = bundle_make_function(&own, NULL, 0, &options, f->pool, &notes, err);
    show_notes(f, &notes);
    free(text);
    return status;
}

// Of the program that was called last: for any sizes, or for those of that call.
static wf_status save_current(const wf_function *f, const char *path, wf_error *err)
{
    function_source source = f->source;
    if (f->current == f->declared) return save_source(f, path, &source, err);
    const uint32_t n = function_count_arguments(f->current);
    array_shape *shapes = calloc(n + 1, sizeof *shapes);
    if (!shapes) return error_memory(err, n * sizeof *shapes);
    for (uint32_t i = 0; i < n; i++) function_shape(f->current, function_argument(f->current, i), &shapes[i]);
    source.n_arguments = n;
    source.arguments = shapes;
    source.options.as_declared = source.options.or_signature = false;
    wf_status status = save_source(f, path, &source, err);
    free(shapes);
    return status;
}

wf_status wf_function_save(wf_function *f, const char *path, wf_error *err)
{
    if (!path) return error_set(err, WF_ERROR_USAGE, "no path to save to");
    if (f->ahead.n_sections) return refuse(f, "it is a .wf file already", err);
    if (function_is_signature(f->current))
        return refuse(f, "no program can be for any sizes: call the function first, with those that shall be saved",
                      err);
    return save_current(f, path, err);
}

// ---- calling

static wf_status make_for_sizes(wf_function *f, size_t n, const argument_list *list, wf_error *err)
{
    function *made;
    if (f->declared) TRY(function_check(f->declared, (uint32_t)n, list->shapes, list->names, err));
    char *text = NULL;
    if (!f->data) TRY(read_again(f, &text, err));
    function_source source = f->source;
    if (text) source.text = text;
    source.options.as_declared = f->declared != NULL; // it is known that no program is for any sizes
    source.options.or_signature = false;
    source.n_arguments = (uint32_t)n;
    source.arguments = list->shapes;
    source.argument_names = list->names;
    wf_status status = open_source(f, &source, &made, err);
    free(text);
    TRY(status);
    function_close(f->made[MAX_MADE - 1]);
    memmove(f->made + 1, f->made, (MAX_MADE - 1) * sizeof *f->made);
    f->made[0] = f->current = made;
    return WF_OK;
}

static wf_status choose(wf_function *f, size_t n, const argument_list *list, wf_error *err)
{
    bool declared = f->declared && !function_is_signature(f->declared);
    if (declared) return function_bind(f->declared, (uint32_t)n, list->shapes, list->names, err);
    for (int i = 0; i < MAX_MADE && f->made[i]; i++) {
        if (function_bind(f->made[i], (uint32_t)n, list->shapes, list->names, NULL) != WF_OK) continue;
        f->current = f->made[i];
        return WF_OK;
    }
    return make_for_sizes(f, n, list, err);
}

// The function for the sizes of these arguments becomes the current one, and is bound to them.
static wf_status bind(wf_function *f, const wf_array *arguments, size_t n, wf_error *err)
{
    argument_list list;
    if (n > PROGRAM_MAX_AREAS) return refuse(f, "that many arguments no function takes", err);
    TRY(check_arrays(f, "argument", arguments, n, err));
    TRY(list_arguments(arguments, n, &list, err));
    wf_status status = choose(f, n, &list, err);
    free_list(&list);
    return status;
}

wf_status wf_function_shapes(wf_function *f, const wf_array *arguments, size_t n, wf_shape *results, wf_error *err)
{
    TRY(bind(f, arguments, n, err));
    const program *p = function_plan(f->current);
    for (uint32_t i = 0; i < p->n_results; i++) function_shape(f->current, p->n_arguments + i, &results[i]);
    return WF_OK;
}

static void *allocate(size_t bytes) { return aligned_alloc(ALIGNMENT, (bytes / ALIGNMENT + 1) * ALIGNMENT); }

static bool is_aligned(const void *data) { return (uintptr_t)data % ALIGNMENT == 0; }

static wf_status place_arguments(wf_function *f, const wf_array *arguments, size_t n, wf_error *err)
{
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        wf_shape_bytes(&arguments[i].shape, &bytes);
        if (!arguments[i].data && bytes) return refuse(f, "an argument has no data", err);
        f->pointers[i] = arguments[i].data; // kernels do not write to arguments
        if (is_aligned(arguments[i].data)) continue;
        f->pointers[i] = f->copies[i] = allocate(bytes);
        if (!f->copies[i]) return error_memory(err, bytes);
        memcpy(f->copies[i], arguments[i].data, bytes);
    }
    return WF_OK;
}

static wf_status check_result(const wf_function *f, size_t i, const wf_shape *given, const wf_shape *shape,
                              wf_error *err)
{
    bool same = given->type == shape->type && given->n_dims == shape->n_dims &&
                !memcmp(given->dims, shape->dims, shape->n_dims * sizeof *shape->dims);
    if (same) return WF_OK;
    buffer wanted = {0}, have = {0};
    array_shape_print(shape, &wanted);
    array_shape_print(given, &have);
    error_set(err, WF_ERROR_USAGE, "%s: result %zu is %s, the array for it %s", f->name, i, buffer_view(&wanted).data,
              buffer_view(&have).data);
    buffer_free(&wanted);
    buffer_free(&have);
    return WF_ERROR_USAGE;
}

// Memory for results that have none is theirs when all has gone well: until then it is among the copies.
static wf_status place_results(wf_function *f, const wf_array *results, size_t n, wf_error *err)
{
    const uint32_t first = function_count_arguments(f->current), of = function_plan(f->current)->n_arguments;
    for (size_t i = 0; i < n; i++) {
        wf_shape shape;
        size_t bytes;
        function_shape(f->current, of + (uint32_t)i, &shape);
        if (!array_shape_bytes(&shape, &bytes)) return error_memory(err, SIZE_MAX);
        if (results[i].data) TRY(check_result(f, i, &results[i].shape, &shape, err));
        f->pointers[first + i] = results[i].data;
        if (results[i].data && is_aligned(results[i].data)) continue;
        f->pointers[first + i] = f->copies[first + i] = allocate(bytes);
        if (!f->copies[first + i]) return error_memory(err, bytes);
        memset(f->copies[first + i], 0, bytes);
    }
    return WF_OK;
}

static void take_results(wf_function *f, wf_array *results, size_t n)
{
    const uint32_t first = function_count_arguments(f->current), of = function_plan(f->current)->n_arguments;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        void **copy = &f->copies[first + i];
        function_shape(f->current, of + (uint32_t)i, &results[i].shape);
        if (!*copy) continue;
        array_shape_bytes(&results[i].shape, &bytes);
        if (results[i].data) {
            memcpy(results[i].data, *copy, bytes);
            continue;
        }
        results[i].data = *copy;
        *copy = NULL;
    }
}

wf_status wf_function_call(wf_function *f, const wf_array *arguments, size_t n_arguments, wf_array *results,
                           size_t n_results, wf_error *err)
{
    size_t n_all = wf_function_arguments(f) + wf_function_results(f);
    if (n_results != wf_function_results(f))
        return error_set(err, WF_ERROR_USAGE, "%s: the function has %zu result%s, there are %zu arrays for them",
                         f->name, wf_function_results(f), wf_function_results(f) == 1 ? "" : "s", n_results);
    TRY(bind(f, arguments, n_arguments, err));
    wf_status status = place_arguments(f, arguments, n_arguments, err);
    if (status == WF_OK) status = place_results(f, results, n_results, err);
    if (status == WF_OK) status = function_call(f->current, f->pointers, err);
    if (status == WF_OK) take_results(f, results, n_results);
    for (size_t i = 0; i < n_all; i++) {
        free(f->copies[i]);
        f->copies[i] = NULL;
    }
    return status;
}

wf_status wf_function_renew(wf_function *f, const wf_weight *weight, wf_error *err)
{
    char number[24];
    if (!f->weights) return refuse(f, "a file that is compiled already has its weights", err);
    TRY(check_weight(f, weight, err));
    return function_weights_renew(f->weights, weight_name(weight, number), &weight->shape, weight->data, err);
}

void observe_function(wf_function *f, execute_observer *observer, void *context)
{
    function_observe(f->current, observer, context);
}
