// welford exec: compiles a function of a graph file and runs it on arrays.
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/cores.h"
#include "base/file.h"
#include "base/samples.h"
#include "format/npy.h"
#include "runtime/bundle_program.h"
#include "runtime/function.h"
#include "tool/model_options.h"
#include "tool/tool.h"
#include "tool/trace.h"

static const char HELP[] =
    "Usage: welford exec [OPTIONS] FILE\n\n"
    "Compiles a function of TOSA or linalg ops on tensors (MLIR text or bytecode; \"-\" is stdin) and runs it once on "
    "arrays in\n"
    ".npy files. Dynamic sizes are those of the arrays. Prints the shape of every result. A .wf file (welford compile) "
    "is\n"
    "run as it is.\n\n"
    "      --entry NAME          the function (default: the only public one, or main, or forward)\n"
    "  -i, --input FILE          the next argument\n"
    "  -o, --output FILE         where the next result goes\n"
    "      --time N              then runs N times and prints the least and the median time in microseconds\n"
    "      --profile FILE        then runs once more, step by step, and writes a Chrome trace (JSON)\n"
    "      --no-raise            no wf ops: everything through upstream's lowering\n"
    "      --fuse LIST           only these fusions: those of welford opt --list, and elementwise, chain, kernels\n"
    "      --no-fuse LIST        all but these; raising rules have names here too\n"
    "      --report              what each fusion found and did, and why not the rest, to stderr\n"
    "      --print-ir-after LIST the IR after bind, a rule, raise, a pass, linalg, lower, kernels, or all, to stderr\n"
    "      --print-plan          the calls of kernels to stderr\n"
    "      --no-cache            neither read nor write the cache of programs\n"
    "  -t, --threads N           threads that compute (default: the cores this process may use)\n"
    "      --help                this text\n\n"
    "Types: float32, float64, float16, int8, int16, int32, int64, bool; bfloat16 as uint16, the upper half of a "
    "float32's\n"
    "bits.\n";

enum { MAX_ARRAYS = 256, MAX_RUNS = 1000000 };

typedef struct exec_command {
    const char *path, *profile;
    const char *inputs[MAX_ARRAYS], *outputs[MAX_ARRAYS];
    uint32_t n_inputs, n_outputs;
    int64_t n_runs, n_threads;
    bool print_plan, print_report, no_cache;
    function_options options;
} exec_command;

// Arguments and results, as the program wants them.
typedef struct exec_arrays {
    npy_array files[MAX_ARRAYS];
    array_shape shapes[MAX_ARRAYS];
    void *copies[MAX_ARRAYS]; // arguments that do not lie at a multiple of 64 in their files
    void **pointers;          // [arguments + results]
    uint32_t n_files, n_arguments, n_results;
} exec_arrays;

// ---- types

static const int TYPE_OF[NPY_TYPE_COUNT] = {
    [NPY_F32] = ARRAY_F32, [NPY_F64] = ARRAY_F64,  [NPY_F16] = ARRAY_F16, [NPY_BOOL] = ARRAY_BOOL,
    [NPY_I8] = ARRAY_I8,   [NPY_I16] = ARRAY_I16,  [NPY_I32] = ARRAY_I32, [NPY_I64] = ARRAY_I64,
    [NPY_U8] = -1,         [NPY_U16] = ARRAY_BF16,
};

static npy_type file_type(array_type type)
{
    for (int i = 0; i < NPY_TYPE_COUNT; i++)
        if (TYPE_OF[i] == (int)type) return (npy_type)i;
    return NPY_U8;
}

// ---- arrays

static wf_status open_inputs(const exec_command *command, exec_arrays *a, wf_error *err)
{
    for (uint32_t i = 0; i < command->n_inputs; i++) {
        TRY(npy_open(command->inputs[i], &a->files[i], err));
        a->n_files++;
        const npy_array *file = &a->files[i];
        if (TYPE_OF[file->type] < 0)
            return error_set(err, WF_ERROR_USAGE, "%s: no function takes arrays of %s", command->inputs[i],
                             npy_type_name(file->type));
        array_shape *shape = &a->shapes[i];
        shape->type = (array_type)TYPE_OF[file->type];
        shape->n_dims = file->n_dims;
        memcpy(shape->dims, file->dims, sizeof shape->dims);
    }
    return WF_OK;
}

static void *allocate(size_t bytes) { return aligned_alloc(64, (bytes / 64 + 1) * 64); }

static wf_status place_arrays(const function *f, exec_arrays *a, wf_error *err)
{
    const program *p = function_plan(f);
    a->pointers = calloc(p->n_arguments + p->n_results + 1, sizeof *a->pointers);
    if (!a->pointers) return error_memory(err, sizeof *a->pointers);
    a->n_arguments = p->n_arguments;
    for (uint32_t i = 0; i < p->n_arguments; i++) {
        size_t bytes = a->files[i].count * npy_item_bytes(a->files[i].type);
        a->pointers[i] = (void *)(uintptr_t)a->files[i].data; // kernels do not write to arguments
        if ((uintptr_t)a->files[i].data % 64 == 0) continue;
        a->pointers[i] = a->copies[i] = allocate(bytes);
        if (!a->copies[i]) return error_memory(err, bytes);
        memcpy(a->copies[i], a->files[i].data, bytes);
    }
    for (uint32_t i = 0; i < p->n_results; i++) {
        size_t bytes;
        array_shape shape;
        function_shape(f, p->n_arguments + i, &shape);
        if (!array_shape_bytes(&shape, &bytes)) return error_memory(err, SIZE_MAX);
        void *result = allocate(bytes);
        if (!result) return error_memory(err, bytes);
        memset(result, 0, bytes);
        a->pointers[p->n_arguments + i] = result;
        a->n_results++;
    }
    return WF_OK;
}

static void free_arrays(exec_arrays *a)
{
    for (uint32_t i = 0; i < a->n_results; i++) free(a->pointers[a->n_arguments + i]);
    for (uint32_t i = 0; i < a->n_files; i++) {
        free(a->copies[i]);
        npy_close(&a->files[i]);
    }
    free(a->pointers);
}

// ---- results

static wf_status write_results(const exec_command *command, const function *f, const exec_arrays *a, wf_error *err)
{
    const program *p = function_plan(f);
    for (uint32_t i = 0; i < p->n_results; i++) {
        array_shape shape;
        buffer text = {0};
        function_shape(f, p->n_arguments + i, &shape);
        array_shape_print(&shape, &text);
        printf("result %" PRIu32 ": %s\n", i, buffer_view(&text).data);
        buffer_free(&text);
        if (i < command->n_outputs)
            TRY(npy_write(command->outputs[i], file_type(shape.type), shape.dims, shape.n_dims,
                          a->pointers[p->n_arguments + i], err));
    }
    return WF_OK;
}

static wf_status time_runs(function *f, void *const *arrays, int64_t n, wf_error *err)
{
    double *seconds = calloc((size_t)n, sizeof *seconds);
    if (!seconds) return error_memory(err, (size_t)n * sizeof *seconds);
    wf_status status = WF_OK;
    for (int64_t i = 0; i < n && status == WF_OK; i++) {
        double start = clock_seconds();
        status = function_call(f, arrays, err);
        seconds[i] = clock_seconds() - start;
    }
    if (status == WF_OK) {
        samples_sort(seconds, n);
        printf("min %.1f us, median %.1f us (%" PRId64 " runs)\n", seconds[0] * 1e6,
               samples_quantile(seconds, n, 0.5) * 1e6, n);
    }
    free(seconds);
    return status;
}

static wf_status write_profile(const char *path, function *f, void *const *arrays, wf_error *err)
{
    trace t = {.origin = clock_seconds()};
    function_observe(f, trace_observe, &t);
    wf_status status = function_call(f, arrays, err);
    function_observe(f, NULL, NULL);
    if (status == WF_OK) return trace_write(&t, path, err);
    buffer_free(&t.events);
    return status;
}

// ---- a function compiled ahead of time

typedef struct ahead {
    bundle file;
    executable exe; // in it
} ahead;

static void close_ahead(ahead *w)
{
    executable_free(&w->exe);
    bundle_close(&w->file);
}

static wf_status check_command(const exec_command *command, const char *name, wf_error *err)
{
    const function_options *o = &command->options;
    const char *option = o->no_raise         ? "--no-raise"
                         : o->fuse           ? "--fuse"
                         : o->no_fuse        ? "--no-fuse"
                         : o->print_ir_after ? "--print-ir-after"
                                             : NULL;
    if (option)
        return error_set(err, WF_ERROR_USAGE, "%s: %s is for `welford compile`: the file is compiled already",
                         command->path, option);
    if (o->entry && strcmp(o->entry, name))
        return error_set(err, WF_ERROR_USAGE, "%s: there is no function '%s', but '%s'", command->path, o->entry, name);
    return WF_OK;
}

static wf_status open_ahead(const exec_command *command, const exec_arrays *a, thread_pool *pool, ahead *w,
                            function **f, wf_error *err)
{
    TRY(bundle_open(command->path, &w->file, err));
    if (bundle_find(&w->file, BUNDLE_METADATA))
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: a model, no function: `welford run` takes it", command->path);
    TRY(bundle_program(&w->file, &command->options.cpu, &w->exe, err));
    TRY(check_command(command, w->exe.program.name, err));
    TRY(function_of_program(&w->exe, pool, f, err));
    return function_bind(*f, command->n_inputs, a->shapes, command->inputs, err);
}

// ---- running

static wf_status open_function(const exec_command *command, const exec_arrays *a, thread_pool *pool, ahead *w,
                               function **f, wf_error *err)
{
    if (bundle_is(command->path)) return open_ahead(command, a, pool, w, f, err);
    function_source source = {.options = command->options,
                              .n_arguments = command->n_inputs,
                              .arguments = a->shapes,
                              .argument_names = command->inputs,
                              .no_cache = command->no_cache};
    char *text;
    buffer notes = {0};
    TRY(file_read(command->path, &text, &source.bytes, err));
    source.text = text;
    wf_status status = function_open(&source, pool, &notes, f, err);
    if (notes.len) fwrite(notes.data, 1, notes.len, stderr);
    buffer_free(&notes);
    free(text);
    return status;
}

static void print_tables(const exec_command *command, const program *p)
{
    buffer text = {0};
    if (command->print_report) program_print_fusions(p->fusions, p->n_fusions, &text);
    if (command->print_report && p->n_dims > 1) buffer_printf(&text, "sizes            any\n");
    if (command->print_report && p->fixed && *p->fixed)
        buffer_printf(&text, "sizes            those of these arrays: %s\n", p->fixed);
    if (command->print_plan) program_print(p, &text);
    if (text.len) fwrite(text.data, 1, text.len, stderr);
    buffer_free(&text);
}

static wf_status run_function(const exec_command *command, function *f, exec_arrays *a, wf_error *err)
{
    const program *p = function_plan(f);
    if (command->n_outputs > p->n_results)
        return error_set(err, WF_ERROR_USAGE, "the function has %" PRIu32 " result%s, %" PRIu32 " outputs are named",
                         p->n_results, p->n_results == 1 ? "" : "s", command->n_outputs);
    TRY(place_arrays(f, a, err));
    TRY(function_call(f, a->pointers, err));
    TRY(write_results(command, f, a, err));
    if (command->n_runs) TRY(time_runs(f, a->pointers, command->n_runs, err));
    return command->profile ? write_profile(command->profile, f, a->pointers, err) : WF_OK;
}

static wf_status run_exec(exec_command *command, wf_error *err)
{
    exec_arrays *a = calloc(1, sizeof *a);
    thread_pool *pool = NULL;
    function *f = NULL;
    ahead w = {0};
    if (!a) return error_memory(err, sizeof *a);
    wf_status status;
    int n_threads = command->n_threads ? (int)command->n_threads : cores_usable();
    TRY_GOTO(cpu_detect(&command->options.cpu, err), done);
    TRY_GOTO(open_inputs(command, a, err), done);
    TRY_GOTO(thread_pool_create(n_threads, &pool, err), done);
    TRY_GOTO(open_function(command, a, pool, &w, &f, err), done);
    print_tables(command, function_plan(f));
    status = run_function(command, f, a, err);
done:
    function_close(f);
    close_ahead(&w);
    if (pool) thread_pool_free(pool);
    free_arrays(a);
    free(a);
    return status;
}

int tool_exec(int argc, char **argv)
{
    enum { ENTRY = OPTION_OWN, TIME, PROFILE, NO_RAISE, FUSE };
    static const struct option OPTIONS[] = {
        {"entry", required_argument, NULL, ENTRY},
        {"input", required_argument, NULL, 'i'},
        {"output", required_argument, NULL, 'o'},
        {"time", required_argument, NULL, TIME},
        {"profile", required_argument, NULL, PROFILE},
        {"no-raise", no_argument, NULL, NO_RAISE},
        {"fuse", required_argument, NULL, FUSE},
        {"no-cache", no_argument, NULL, OPTION_NO_CACHE},
        {"no-fuse", required_argument, NULL, OPTION_NO_FUSE},
        {"print-ir-after", required_argument, NULL, OPTION_PRINT_IR},
        {"print-plan", no_argument, NULL, OPTION_PRINT_PLAN},
        {"report", no_argument, NULL, OPTION_REPORT},
        {"threads", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    exec_command command = {0};
    int exit_code = -1;
    for (int c; (c = tool_next_option(argc, argv, "i:o:t:", OPTIONS, HELP, &exit_code)) != -1;) {
        switch (c) {
        case ENTRY: command.options.entry = optarg; break;
        case 'i':
            if (command.n_inputs == MAX_ARRAYS) return tool_fail_usage(argv[0], "more than %d inputs", MAX_ARRAYS);
            command.inputs[command.n_inputs++] = optarg;
            break;
        case 'o':
            if (command.n_outputs == MAX_ARRAYS) return tool_fail_usage(argv[0], "more than %d outputs", MAX_ARRAYS);
            command.outputs[command.n_outputs++] = optarg;
            break;
        case TIME:
            if (!tool_parse_int(argv[0], "--time", optarg, 1, MAX_RUNS, &command.n_runs)) return EXIT_USAGE;
            break;
        case 't':
            if (!tool_parse_int(argv[0], "--threads", optarg, 1, MAX_THREADS, &command.n_threads)) return EXIT_USAGE;
            break;
        case PROFILE: command.profile = optarg; break;
        case NO_RAISE: command.options.no_raise = true; break;
        case FUSE: command.options.fuse = optarg; break;
        case OPTION_NO_CACHE: command.no_cache = true; break;
        case OPTION_NO_FUSE: command.options.no_fuse = optarg; break;
        case OPTION_PRINT_IR: command.options.print_ir_after = optarg; break;
        case OPTION_PRINT_PLAN: command.print_plan = true; break;
        case OPTION_REPORT: command.print_report = true; break;
        }
    }
    if (exit_code >= 0) return exit_code;
    if (argc - optind != 1) return tool_fail_usage(argv[0], "one FILE is needed");
    command.path = argv[optind];
    command.options.name = command.path;
    wf_error err = {0};
    return run_exec(&command, &err) == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
