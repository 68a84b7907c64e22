// welford exec: compiles a function of a graph file and runs it on arrays.
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/samples.h"
#include "format/npy.h"
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
    "      --params FILE         arguments that are weights, by name or number: a safetensors file. They, and "
    "constants, are\n"
    "                            packed once, as a model's\n"
    "      --weights TYPE        pack float matrices of both as f32, bf16, q8_0 or q4_0 (default: as stored)\n"
    "      --donate ARG=RESULT   the argument's memory becomes that of result number RESULT (argument by name or "
    "number)\n"
    "      --time N              then runs N times and prints the least and the median time in microseconds\n"
    "      --profile FILE        then runs once more, step by step, and writes a Chrome trace (JSON)\n"
    "      --no-raise            no wf ops: everything through upstream's lowering\n"
    "      --fuse LIST           only these fusions: those of welford opt --list, and elementwise, chain, kernels\n"
    "      --no-fuse LIST        all but these; raising rules have names here too\n"
    "      --report              what each fusion found and did, and why not the rest, to stderr\n"
    "      --print-ir-after LIST the IR after bind, a rule, raise, refer, a pass, linalg, lower, kernels, or all, to "
    "stderr\n"
    "      --print-plan          the calls of kernels to stderr\n"
    "      --no-cache            neither read nor write the cache of programs and packed weights\n"
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
    wf_donation donated[MAX_ARRAYS];
    wf_function_options options;
} exec_command;

typedef struct exec_arrays {
    npy_array files[MAX_ARRAYS];
    wf_array arguments[MAX_ARRAYS];
    uint32_t n_files;
    wf_array *results;
    size_t n_results;
} exec_arrays;

// ---- arrays in files

static const int TYPE_OF[NPY_TYPE_COUNT] = {
    [NPY_F32] = WF_F32, [NPY_F64] = WF_F64, [NPY_F16] = WF_F16, [NPY_BOOL] = WF_BOOL, [NPY_I8] = WF_I8,
    [NPY_I16] = WF_I16, [NPY_I32] = WF_I32, [NPY_I64] = WF_I64, [NPY_U8] = -1,        [NPY_U16] = WF_BF16,
};

static npy_type file_type(wf_dtype type)
{
    for (int i = 0; i < NPY_TYPE_COUNT; i++)
        if (TYPE_OF[i] == (int)type) return (npy_type)i;
    return NPY_U8;
}

static wf_status open_inputs(const exec_command *command, exec_arrays *a, wf_error *err)
{
    for (uint32_t i = 0; i < command->n_inputs; i++) {
        TRY(npy_open(command->inputs[i], &a->files[i], err));
        a->n_files++;
        const npy_array *file = &a->files[i];
        if (TYPE_OF[file->type] < 0)
            return error_set(err, WF_ERROR_USAGE, "%s: no function takes arrays of %s", command->inputs[i],
                             npy_type_name(file->type));
        wf_array *array = &a->arguments[i];
        *array = (wf_array){.data = (void *)(uintptr_t)file->data, // is only read
                            .shape = {.type = (wf_dtype)TYPE_OF[file->type], .n_dims = file->n_dims},
                            .name = command->inputs[i]};
        memcpy(array->shape.dims, file->dims, sizeof array->shape.dims);
    }
    return WF_OK;
}

static void close_arrays(exec_arrays *a)
{
    for (size_t i = 0; i < a->n_results && a->results; i++) wf_free(a->results[i].data);
    for (uint32_t i = 0; i < a->n_files; i++) npy_close(&a->files[i]);
    free(a->results);
}

// ---- results

static wf_status write_results(const exec_command *command, const exec_arrays *a, wf_error *err)
{
    for (size_t i = 0; i < a->n_results; i++) {
        const wf_shape *shape = &a->results[i].shape;
        printf("result %zu: ", i);
        for (uint32_t d = 0; d < shape->n_dims; d++) printf("%" PRId64 "x", shape->dims[d]);
        puts(wf_dtype_name(shape->type));
        if (i < command->n_outputs)
            TRY(npy_write(command->outputs[i], file_type(shape->type), shape->dims, shape->n_dims, a->results[i].data,
                          err));
    }
    return WF_OK;
}

static wf_status call(wf_function *f, exec_arrays *a, wf_error *err)
{
    return wf_function_call(f, a->arguments, a->n_files, a->results, a->n_results, err);
}

static wf_status time_runs(wf_function *f, exec_arrays *a, int64_t n, wf_error *err)
{
    double *seconds = calloc((size_t)n, sizeof *seconds);
    if (!seconds) return error_memory(err, (size_t)n * sizeof *seconds);
    wf_status status = WF_OK;
    for (int64_t i = 0; i < n && status == WF_OK; i++) {
        double start = clock_seconds();
        status = call(f, a, err);
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

static wf_status write_profile(const char *path, wf_function *f, exec_arrays *a, wf_error *err)
{
    trace t = {.origin = clock_seconds()};
    trace_function(&t, f);
    wf_status status = call(f, a, err);
    trace_function(NULL, f);
    if (status == WF_OK) return trace_write(&t, path, err);
    buffer_free(&t.events);
    return status;
}

// ---- running

static wf_status print_table(const wf_function *f, wf_print what, wf_error *err)
{
    char *text;
    TRY(wf_function_print(f, what, &text, err));
    fputs(text, stderr);
    wf_free(text);
    return WF_OK;
}

static wf_status run_function(const exec_command *command, wf_function *f, exec_arrays *a, wf_error *err)
{
    if (command->print_report) TRY(print_table(f, WF_PRINT_REPORT, err));
    if (command->print_plan) TRY(print_table(f, WF_PRINT_PLAN, err));
    a->n_results = wf_function_results(f);
    if (command->n_outputs > a->n_results)
        return error_set(err, WF_ERROR_USAGE, "the function has %zu result%s, %" PRIu32 " outputs are named",
                         a->n_results, a->n_results == 1 ? "" : "s", command->n_outputs);
    a->results = calloc(a->n_results + 1, sizeof *a->results);
    if (!a->results) return error_memory(err, a->n_results * sizeof *a->results);
    TRY(call(f, a, err));
    TRY(write_results(command, a, err));
    if (command->n_runs) TRY(time_runs(f, a, command->n_runs, err));
    return command->profile ? write_profile(command->profile, f, a, err) : WF_OK;
}

static wf_status run_exec(exec_command *command, wf_error *err)
{
    exec_arrays *a = calloc(1, sizeof *a);
    wf_function *f = NULL;
    if (!a) return error_memory(err, sizeof *a);
    wf_status status = open_inputs(command, a, err);
    command->options.n_threads = (int)command->n_threads;
    command->options.donated = command->donated;
    command->options.arguments = a->arguments;
    command->options.n_arguments = a->n_files;
    if (status == WF_OK) status = wf_function_open(command->path, &command->options, &f, err);
    if (status == WF_OK) status = run_function(command, f, a, err);
    wf_function_close(f);
    close_arrays(a);
    free(a);
    return status;
}

int tool_exec(int argc, char **argv)
{
    enum { ENTRY = OPTION_OWN, TIME, PROFILE, NO_RAISE, FUSE, PARAMS, DONATE };
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
        {"params", required_argument, NULL, PARAMS},
        {"donate", required_argument, NULL, DONATE},
        {"weights", required_argument, NULL, OPTION_WEIGHTS},
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
        case DONATE:
            if (command.options.n_donated == MAX_ARRAYS)
                return tool_fail_usage(argv[0], "more than %d donations", MAX_ARRAYS);
            if (!tool_parse_donation(argv[0], optarg, &command.donated[command.options.n_donated++])) return EXIT_USAGE;
            break;
        case PARAMS: command.options.params = optarg; break;
        case OPTION_WEIGHTS: command.options.weights = optarg; break;
        case NO_RAISE: command.options.no_raise = true; break;
        case FUSE: command.options.fuse = optarg; break;
        case OPTION_NO_CACHE: command.options.no_cache = true; break;
        case OPTION_NO_FUSE: command.options.no_fuse = optarg; break;
        case OPTION_PRINT_IR: command.options.print_ir_after = optarg; break;
        case OPTION_PRINT_PLAN: command.print_plan = true; break;
        case OPTION_REPORT: command.print_report = true; break;
        }
    }
    if (exit_code >= 0) return exit_code;
    if (argc - optind != 1) return tool_fail_usage(argv[0], "one FILE is needed");
    command.path = argv[optind];
    wf_error err = {0};
    return run_exec(&command, &err) == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
