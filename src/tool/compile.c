// welford compile: compiles a model or a function of a graph file into a .wf file, ahead of time.
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "engine/model.h"
#include "format/file_kind.h"
#include "runtime/bundle_make.h"
#include "tool/model_options.h"
#include "tool/model_path.h"
#include "tool/tool.h"

static const char HELP[] =
    "Usage: welford compile [OPTIONS] MODEL|GRAPH -o FILE.wf\n\n"
    "Compiles a model, or a function of TOSA or linalg ops (MLIR text or bytecode; \"-\" is stdin), into one file that "
    "needs\n"
    "no compiler: run, bench, logits, ppl, tokenize, template and info take a model's, exec and info a function's.\n"
    "Programs for several CPU types share the packed weights. A .wf file is a program: run only those that you would "
    "trust\n"
    "as one.\n\n"
    "  -o, --output FILE       the .wf file\n"
    "      --cpu LIST          the CPUs to compile for, by LLVM's names, separated by commas: haswell, znver4, ...;\n"
    "                          native is this one (default)\n"
    "of a model:\n"
    "      --no-weights        leave the packed weights out: who runs the file has the model beside it, or names it "
    "by\n"
    "                          --weights-from\n"
    "      --kv f16|f32|q8     type of the KV cache (default f16)\n"
    "of a function:\n"
    "      --entry LIST        the function, or several, separated by commas, of which exec --entry chooses one "
    "(default:\n"
    "                          the only public one, or main, or forward)\n"
    "      --shape N=2x128     sizes of argument N, counted from 0, once an argument: where the file leaves them open, "
    "it\n"
    "                          is compiled for any sizes without, if its ops allow that, and for these sizes alone "
    "with\n"
    "      --no-raise          no wf ops: everything through upstream's lowering\n"
    "      --params FILE       arguments that are weights, by name or number: a safetensors file. They, and constants, "
    "go\n"
    "                          into the file, packed\n"
    "      --donate ARG=RESULT the argument's memory becomes that of result number RESULT (argument by name or "
    "number)\n"
    "of both:\n"
    "      --weights TYPE      pack float weights as f32, bf16, q8_0 or q4_0 (default: as stored)\n"
    "      --fuse LIST         only these fusions, separated by commas (welford opt --list shows them)\n"
    "      --no-fuse LIST      all fusions but these\n"
    "      --print-ir-after P  print the graph after pass P (or all) to stderr\n"
    "      --no-cache          neither read nor write the cache of packed weights\n"
    "  -t, --threads N         threads that compile and pack (default: the cores this process may use)\n"
    "      --help              this text\n";

enum { MAX_CPUS = BUNDLE_MAX_SECTIONS - 2, MAX_ENTRIES = BUNDLE_MAX_SECTIONS - 1, MAX_ARGUMENTS = 256 };

typedef struct compile_command {
    const char *path;
    const char *for_model, *for_function; // an option that only these take, for messages
    wf_model_options model;
    bundle_options bundle;
    cpu_features cpus[MAX_CPUS];
    const char *entries[MAX_ENTRIES]; // each other
    uint32_t n_entries;
    const char *params;
    donation donations[MAX_ARGUMENTS];
    uint32_t n_donations;
    bool no_raise, has_shapes;
    array_shape shapes[MAX_ARGUMENTS]; // without dims: not given
} compile_command;

// ---- options

static bool parse_cpus(const char *verb, const char *list, compile_command *c)
{
    c->bundle.n_cpus = 0;
    for (view rest = view_of(list);;) {
        char name[BUNDLE_CPU_CHARS];
        const char *comma = memchr(rest.data, ',', rest.len);
        view word = {rest.data, comma ? (size_t)(comma - rest.data) : rest.len};
        cpu_features *cpu = &c->cpus[c->bundle.n_cpus];
        wf_error err;
        if (c->bundle.n_cpus == MAX_CPUS) return tool_fail_usage(verb, "--cpu: more than %d CPUs", MAX_CPUS), false;
        snprintf(name, sizeof name, "%.*s", VIEW_ARG(word));
        if (cpu_named(name, cpu, &err) != WF_OK) return tool_fail_usage(verb, "--cpu: %s", err.message), false;
        for (size_t i = 0; i < c->bundle.n_cpus; i++)
            if (!strcmp(c->cpus[i].name, cpu->name))
                return tool_fail_usage(verb, "--cpu: %s is there twice", cpu->name), false;
        c->bundle.n_cpus++;
        if (!comma) return true;
        rest = (view){comma + 1, rest.len - word.len - 1};
    }
}

// Cuts the list into its names.
static bool parse_entries(const char *verb, char *list, compile_command *c)
{
    for (char *name = list; name;) {
        char *comma = strchr(name, ',');
        if (comma) *comma = 0;
        if (!*name) return tool_fail_usage(verb, "--entry: an empty name"), false;
        if (c->n_entries == MAX_ENTRIES)
            return tool_fail_usage(verb, "--entry: more than %d functions", MAX_ENTRIES), false;
        for (uint32_t i = 0; i < c->n_entries; i++)
            if (!strcmp(c->entries[i], name)) return tool_fail_usage(verb, "--entry: %s is there twice", name), false;
        c->entries[c->n_entries++] = name;
        name = comma ? comma + 1 : NULL;
    }
    return true;
}

// "3=2x128"
static bool parse_shape(const char *verb, const char *text, compile_command *c)
{
    char *end;
    unsigned long index = strtoul(text, &end, 10);
    array_shape shape = {0};
    bool good = *text >= '0' && *text <= '9' && *end == '=' && index < MAX_ARGUMENTS;
    do {
        text = end + 1;
        long long size = good ? strtoll(text, &end, 10) : 0;
        good = good && *text >= '0' && *text <= '9' && size >= 0 && size < (long long)1 << 40 &&
               shape.n_dims < ARRAY_MAX_DIMS;
        if (good) shape.dims[shape.n_dims++] = size;
    } while (good && *end == 'x');
    if (good && !*end) {
        c->shapes[index] = shape;
        return true;
    }
    tool_fail_usage(verb, "--shape: not of the form N=2x128, argument N counted from 0");
    return false;
}

static bool parse_donation(const char *verb, char *text, compile_command *c)
{
    wf_donation d;
    if (c->n_donations == MAX_ARGUMENTS) return tool_fail_usage(verb, "more than %d donations", MAX_ARGUMENTS), false;
    if (!tool_parse_donation(verb, text, &d)) return false;
    c->donations[c->n_donations++] = (donation){d.name, (uint32_t)d.result};
    return true;
}

// -1 when the verb shall go on, else the exit code.
static int parse_options(int argc, char **argv, compile_command *c)
{
    enum { CPU = OPTION_OWN, NO_WEIGHTS, ENTRY, SHAPE, NO_RAISE, PARAMS, DONATE };
    static const struct option OPTIONS[] = {
        MODEL_LONG_OPTIONS,
        {"output", required_argument, NULL, 'o'},
        {"cpu", required_argument, NULL, CPU},
        {"no-weights", no_argument, NULL, NO_WEIGHTS},
        {"entry", required_argument, NULL, ENTRY},
        {"shape", required_argument, NULL, SHAPE},
        {"no-raise", no_argument, NULL, NO_RAISE},
        {"params", required_argument, NULL, PARAMS},
        {"donate", required_argument, NULL, DONATE},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int exit_code = -1;
    const char *cpus = "native";
    for (int o; (o = tool_next_option(argc, argv, "o:t:", OPTIONS, HELP, &exit_code)) != -1;) {
        switch (o) {
        case 'o': c->bundle.output = optarg; break;
        case CPU: cpus = optarg; break;
        case NO_WEIGHTS: c->bundle.no_weights = true, c->for_model = "--no-weights"; break;
        case ENTRY:
            if (!parse_entries(argv[0], optarg, c)) return EXIT_USAGE;
            c->for_function = "--entry";
            break;
        case DONATE:
            if (!parse_donation(argv[0], optarg, c)) return EXIT_USAGE;
            c->for_function = "--donate";
            break;
        case PARAMS: c->params = optarg, c->for_function = "--params"; break;
        case NO_RAISE: c->no_raise = true, c->for_function = "--no-raise"; break;
        case SHAPE:
            if (!parse_shape(argv[0], optarg, c)) return EXIT_USAGE;
            c->for_function = "--shape", c->has_shapes = true;
            break;
        default:
            if (!model_option_take(argv[0], o, optarg, &c->model)) return EXIT_USAGE;
            if (o == OPTION_KV) c->for_model = "--kv";
        }
    }
    if (exit_code >= 0) return exit_code;
    c->path = argv[optind];
    if (argc - optind != 1) return tool_fail_usage(argv[0], "one MODEL or GRAPH is needed");
    if (!c->bundle.output) return tool_fail_usage(argv[0], "-o FILE.wf is needed");
    if (c->n_entries > 1 && c->has_shapes) return tool_fail_usage(argv[0], "--shape is for one function at a time");
    return parse_cpus(argv[0], cpus, c) ? -1 : EXIT_USAGE;
}

// ---- compiling

// A graph by its bytes or its name; all else is a model, or is refused as one.
static bool is_graph(const char *path)
{
    struct stat st;
    file_map map;
    const char *dot = strrchr(path, '.');
    if (!strcmp(path, "-") || (dot && (!strcmp(dot, ".mlir") || !strcmp(dot, ".mlirbc")))) return true;
    if (stat(path, &st) || !S_ISREG(st.st_mode) || file_map_open(path, &map, NULL) != WF_OK) return false;
    const file_kind *kind = file_kind_find((view){(const char *)map.data, map.bytes});
    file_map_close(&map);
    return kind && kind->is_graph;
}

static wf_status compile_source(const compile_command *c, function_source *source, thread_pool *pool, wf_error *err)
{
    buffer notes = {0};
    TRY(function_weights_create(c->path, !c->model.no_cache, &source->weights, err));
    if (c->params) TRY(function_weights_add_file(source->weights, c->params, err));
    wf_status status = bundle_make_function(source, c->entries, c->n_entries, &c->bundle, pool, &notes, err);
    if (notes.len) fwrite(notes.data, 1, notes.len, stderr);
    buffer_free(&notes);
    return status;
}

static wf_status compile_graph(const compile_command *c, wf_error *err)
{
    function_source source = {.options = {.name = c->path,
                                          .no_raise = c->no_raise,
                                          .fuse = c->model.fuse,
                                          .no_fuse = c->model.no_fuse,
                                          .as_declared = true,
                                          .counts_weights = true,
                                          .packed_as = c->model.weights,
                                          .donations = c->donations,
                                          .n_donations = c->n_donations,
                                          .print_ir_after = c->model.print_ir_after},
                              .n_arguments = MAX_ARGUMENTS,
                              .arguments = c->shapes};
    char *text;
    thread_pool *pool = NULL;
    TRY(file_read(c->path, &text, &source.bytes, err));
    source.text = text;
    wf_status status = model_create_pool(c->model.n_threads, &pool, err);
    if (status == WF_OK) status = compile_source(c, &source, pool, err);
    function_weights_free(source.weights);
    if (pool) thread_pool_free(pool);
    free(text);
    return status;
}

static wf_status compile_model(compile_command *c, wf_error *err)
{
    thread_pool *pool;
    model_progress bar;
    TRY(model_create_pool(c->model.n_threads, &pool, err));
    model_progress_set(&bar, &c->model);
    wf_status status = bundle_make_model(c->path, &c->model, &c->bundle, pool, err);
    model_progress_end(&bar);
    thread_pool_free(pool);
    return status;
}

int tool_compile(int argc, char **argv)
{
    compile_command c = {0};
    char path[PATH_MAX];
    wf_error err;
    int exit_code = parse_options(argc, argv, &c);
    if (exit_code >= 0) return exit_code;
    bool graph = is_graph(c.path);
    const char *other = graph ? c.for_model : c.for_function;
    if (other) return tool_fail_usage(argv[0], "%s is for %s", other, graph ? "models" : "functions of graph files");
    c.bundle.cpus = c.cpus;
    if (!graph) exit_code = model_path_find(argv[0], &c.path, path);
    if (exit_code >= 0) return exit_code;
    wf_status status = graph ? compile_graph(&c, &err) : compile_model(&c, &err);
    return status == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
