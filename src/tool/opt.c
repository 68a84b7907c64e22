// welford opt: a graph file (MLIR) through the compiler's passes.
#include <string.h>

#include "base/file.h"
#include "runtime/compiler.h"
#include "tool/tool.h"

static const char HELP[] =
    "Usage: welford opt [OPTIONS] FILE\n"
    "       welford opt --list\n\n"
    "Reads MLIR text (pretty or generic) or bytecode, runs passes, and writes MLIR. FILE \"-\" is stdin.\n\n"
    "  --passes LIST          names of passes, rules and the groups raise, fuse, lower, run in this order (default: "
    "all)\n"
    "  --fuse LIST            only these fusions\n"
    "  --no-fuse LIST         all fusions but these\n"
    "  --explain              for each op that is nearly a match of a rule: place, rule, what differs; to stderr\n"
    "  --print-ir-after LIST  the graph after these passes (frontend: before all; all) to stderr\n"
    "  --list                 the tables of rules, passes and kernels\n"
    "  -o FILE                write there, not to stdout; a name that ends in .mlirbc asks for bytecode\n"
    "  --help                 this text\n";

typedef struct opt_command {
    opt_options options;
    const char *output;
    bool list;
} opt_command;

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && !strcmp(text + n - k, end);
}

static wf_status write_output(const char *path, const buffer *out, wf_error *err)
{
    view text = buffer_view(out);
    if (path) return file_write(path, text.data, text.len, err);
    fwrite(text.data, 1, text.len, stdout); // main reports what could not be written
    return WF_OK;
}

static wf_status print_list(wf_error *err)
{
    void *address;
    buffer out = {0};
    TRY(compiler_find("welford_list", &address, err));
    wf_status status = ((list_fn *)(uintptr_t)address)(&out, err);
    if (status == WF_OK) status = write_output(NULL, &out, err);
    buffer_free(&out);
    return status;
}

static wf_status run_opt(const char *path, opt_command *command, wf_error *err)
{
    void *address;
    char *text;
    size_t bytes;
    buffer out = {0}, notes = {0};
    TRY(file_read(path, &text, &bytes, err));
    wf_status status = compiler_find("welford_opt", &address, err);
    if (status == WF_OK) {
        command->options.name = strcmp(path, "-") ? path : "<stdin>";
        status = ((opt_fn *)(uintptr_t)address)(text, bytes, &command->options, &out, &notes, err);
    }
    fwrite(buffer_view(&notes).data, 1, notes.len, stderr);
    if (status == WF_OK) status = write_output(command->output, &out, err);
    buffer_free(&out);
    buffer_free(&notes);
    free(text);
    return status;
}

int tool_opt(int argc, char **argv)
{
    enum { PASSES = 256, FUSE, NO_FUSE, EXPLAIN, PRINT, LIST };
    static const struct option OPTIONS[] = {
        {"passes", required_argument, NULL, PASSES},
        {"fuse", required_argument, NULL, FUSE},
        {"no-fuse", required_argument, NULL, NO_FUSE},
        {"explain", no_argument, NULL, EXPLAIN},
        {"print-ir-after", required_argument, NULL, PRINT},
        {"list", no_argument, NULL, LIST},
        {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    opt_command command = {0};
    int exit_code = -1;
    for (int c; (c = tool_next_option(argc, argv, "o:", OPTIONS, HELP, &exit_code)) != -1;) {
        switch (c) {
        case PASSES: command.options.passes = optarg; break;
        case FUSE: command.options.fuse = optarg; break;
        case NO_FUSE: command.options.no_fuse = optarg; break;
        case EXPLAIN: command.options.explain = true; break;
        case PRINT: command.options.print_ir_after = optarg; break;
        case LIST: command.list = true; break;
        case 'o': command.output = optarg; break;
        }
    }
    if (exit_code >= 0) return exit_code;
    wf_error err = {0};
    if (command.list) {
        if (optind != argc) return tool_fail_usage(argv[0], "--list takes no FILE");
        return print_list(&err) == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
    }
    if (argc - optind != 1) return tool_fail_usage(argv[0], "one FILE is needed");
    command.options.bytecode = command.output && ends_with(command.output, ".mlirbc");
    return run_opt(argv[optind], &command, &err) == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
