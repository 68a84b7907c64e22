// welford exec: compiles a function of a graph file and runs it on arrays.
#define _GNU_SOURCE
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "format/npy.h"
#include "runtime/compiler.h"
#include "tool/model_options.h"
#include "tool/tool.h"
#include "tool/trace.h"

static const char HELP[] =
    "Usage: welford exec [OPTIONS] FILE\n\n"
    "Compiles a function of TOSA or linalg ops on tensors (MLIR text or bytecode; \"-\" is stdin) and runs it once on "
    "arrays in\n"
    ".npy files. Dynamic sizes are those of the arrays. Prints the shape of every result.\n\n"
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
    bool print_plan, print_report;
    function_options options;
} exec_command;

// Arguments and results, as the program wants them.
typedef struct exec_arrays {
    npy_array files[MAX_ARRAYS];
    graph_shape shapes[MAX_ARRAYS];
    void *copies[MAX_ARRAYS]; // arguments that do not lie at a multiple of 64 in their files
    void **pointers;          // [arguments + results]
    uint32_t n_files, n_arguments, n_results;
} exec_arrays;

// ---- types

static const int TYPE_OF[NPY_TYPE_COUNT] = {
    [NPY_F32] = GRAPH_F32, [NPY_F64] = GRAPH_F64,  [NPY_F16] = GRAPH_F16, [NPY_BOOL] = GRAPH_BOOL,
    [NPY_I8] = GRAPH_I8,   [NPY_I16] = GRAPH_I16,  [NPY_I32] = GRAPH_I32, [NPY_I64] = GRAPH_I64,
    [NPY_U8] = -1,         [NPY_U16] = GRAPH_BF16,
};

static npy_type file_type(graph_type type)
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
        graph_shape *shape = &a->shapes[i];
        shape->type = (graph_type)TYPE_OF[file->type];
        shape->n_dims = file->n_dims;
        memcpy(shape->dims, file->dims, sizeof shape->dims);
    }
    return WF_OK;
}

static void *allocate(size_t bytes) { return aligned_alloc(64, (bytes / 64 + 1) * 64); }

static wf_status place_arrays(const graph_program *p, exec_arrays *a, wf_error *err)
{
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
        if (!graph_shape_bytes(&p->shapes[p->n_arguments + i], &bytes)) return error_memory(err, SIZE_MAX);
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

static wf_status write_results(const exec_command *command, const graph_program *p, const exec_arrays *a, wf_error *err)
{
    for (uint32_t i = 0; i < p->n_results; i++) {
        const graph_shape *shape = &p->shapes[p->n_arguments + i];
        buffer text = {0};
        graph_shape_print(shape, &text);
        printf("result %" PRIu32 ": %s\n", i, buffer_view(&text).data);
        buffer_free(&text);
        if (i < command->n_outputs)
            TRY(npy_write(command->outputs[i], file_type(shape->type), shape->dims, shape->n_dims,
                          a->pointers[p->n_arguments + i], err));
    }
    return WF_OK;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static wf_status time_runs(graph_run *run, void *const *arrays, int64_t n, wf_error *err)
{
    double *seconds = calloc((size_t)n, sizeof *seconds);
    if (!seconds) return error_memory(err, (size_t)n * sizeof *seconds);
    wf_status status = WF_OK;
    for (int64_t i = 0; i < n && status == WF_OK; i++) {
        double start = clock_seconds();
        status = graph_run_compute(run, arrays, err);
        seconds[i] = clock_seconds() - start;
    }
    if (status == WF_OK) {
        qsort(seconds, (size_t)n, sizeof *seconds, compare_doubles);
        printf("min %.1f us, median %.1f us (%" PRId64 " runs)\n", seconds[0] * 1e6, seconds[n / 2] * 1e6, n);
    }
    free(seconds);
    return status;
}

static wf_status write_profile(const char *path, const graph_program *p, graph_run *run, void *const *arrays,
                               wf_error *err)
{
    graph_time *times = calloc(p->n_calls + 1, sizeof *times);
    if (!times) return error_memory(err, p->n_calls * sizeof *times);
    wf_status status = graph_run_profile(run, arrays, times, err);
    trace t = {0};
    for (uint32_t i = 0; i < p->n_calls && status == WF_OK; i++) {
        const graph_call *c = &p->calls[i];
        trace_event(&t, 1, c->kernel, c->label, times[i].start, times[i].end);
        buffer_printf(&t.events, ", \"tiles\": %" PRId64, c->n_tiles);
        trace_end_event(&t);
    }
    if (status == WF_OK) status = trace_write(&t, path, err);
    free(times);
    return status;
}

// ---- running

static wf_status compile(const exec_command *command, const exec_arrays *a, graph_program *p, wf_error *err)
{
    compiler_door door;
    char *text;
    size_t bytes;
    buffer notes = {0};
    TRY(file_read(command->path, &text, &bytes, err));
    wf_status status = compiler_open("welford_compile_function", &door, err);
    if (status == WF_OK) {
        compile_function_fn *function = (compile_function_fn *)(uintptr_t)door.function;
        status =
            function(text, bytes, &command->options, command->n_inputs, a->shapes, command->inputs, p, &notes, err);
        compiler_close(&door);
    }
    if (notes.len) fwrite(notes.data, 1, notes.len, stderr);
    buffer_free(&notes);
    free(text);
    return status;
}

static wf_status run_program(const exec_command *command, const graph_program *p, exec_arrays *a, wf_error *err)
{
    graph_run *run = NULL;
    wf_status status;
    if (command->n_outputs > p->n_results)
        return error_set(err, WF_ERROR_USAGE, "the function has %" PRIu32 " result%s, %" PRIu32 " outputs are named",
                         p->n_results, p->n_results == 1 ? "" : "s", command->n_outputs);
    int n_threads = command->n_threads ? (int)command->n_threads : threads_usable();
    TRY_GOTO(place_arrays(p, a, err), done);
    TRY_GOTO(graph_run_create(p, n_threads, &run, err), done);
    TRY_GOTO(graph_run_compute(run, a->pointers, err), done);
    TRY_GOTO(write_results(command, p, a, err), done);
    if (command->n_runs) TRY_GOTO(time_runs(run, a->pointers, command->n_runs, err), done);
    if (command->profile) TRY_GOTO(write_profile(command->profile, p, run, a->pointers, err), done);
done:
    graph_run_free(run);
    return status;
}

static void print_tables(const exec_command *command, const graph_program *p)
{
    buffer text = {0};
    if (command->print_report) plan_print_fusions(p->fusions, p->n_fusions, &text);
    if (command->print_plan) graph_program_print(p, &text);
    if (text.len) fwrite(text.data, 1, text.len, stderr);
    buffer_free(&text);
}

static wf_status run_exec(exec_command *command, wf_error *err)
{
    exec_arrays *a = calloc(1, sizeof *a);
    graph_program p = {0};
    if (!a) return error_memory(err, sizeof *a);
    wf_status status;
    TRY_GOTO(cpu_detect(&command->options.cpu, err), done);
    TRY_GOTO(open_inputs(command, a, err), done);
    TRY_GOTO(compile(command, a, &p, err), done);
    print_tables(command, &p);
    status = run_program(command, &p, a, err);
done:
    graph_program_free(&p);
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
