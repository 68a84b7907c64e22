// welford serve: a model, or all that are here, over HTTP (server/server.h).
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "hub/hub.h"
#include "runtime/library.h"
#include "server/server.h"
#include "tool/list.h"
#include "tool/model_options.h"
#include "tool/model_path.h"

enum {
    OPTION_HOST = OPTION_OWN,
    OPTION_PORT,
    OPTION_API_KEY_FILE,
    OPTION_NO_AUTH,
    OPTION_CORS_ORIGIN,
    OPTION_ALLOW_HOST,
    OPTION_TLS_CERT,
    OPTION_TLS_KEY,
    OPTION_ALIAS,
    OPTION_CHAT_TEMPLATE,
    OPTION_CACHE_MEMORY,
    OPTION_SPECULATE,
    OPTION_QUEUE,
    OPTION_MAX_BODY,
    OPTION_TIMEOUT,
    OPTION_PING,
    OPTION_KEEP_ALIVE,
};

static const char HELP[] =
    "Usage: welford serve [OPTIONS] [MODEL]\n\n"
    "Answers over HTTP, as OpenAI's interface does: point a client at http://127.0.0.1:8080/v1. An answer is the\n"
    "same whatever else is asked at the same time. Without MODEL it serves every model that `welford list` shows,\n"
    "opened when it is asked for. SIGTERM (or Ctrl-C): what is under way is answered; a second one stops at once.\n\n"
    "  -m, --model MODEL       the model\n"
    "      --host ADDRESS      where to listen (default 127.0.0.1)\n"
    "      --port N            (default 8080; 0: one that is free)\n"
    "      --alias NAME        what clients call the model (default: its name, or its file's)\n"
    "      --api-key-file FILE the keys that clients must have one of, one a line\n"
    "      --no-auth           listen beyond this machine without a key\n"
    "      --cors-origin LIST  web pages that may ask, as http://host:port, separated by commas; *: all\n"
    "      --allow-host LIST   names of this server, beside localhost and addresses in digits\n"
    "      --tls-cert FILE, --tls-key FILE\n"
    "                          HTTPS with this certificate and key (PEM)\n"
    "  -c, --ctx N             tokens that fit in the context of a request (default: what the model was trained for,\n"
    "                          at most 4096)\n"
    "  -np, --parallel N       requests computed at the same time (default 16)\n"
    "  -b, --batch N           tokens of a step (default 512)\n"
    "      --cache-memory MB   memory for keys and values (default: what the requests take, at most a quarter of all)\n"
    "      --speculate         guess from what was said before: the same answers, sooner where text is copied\n"
    "      --chat-template FILE\n"
    "                          a Jinja template in place of the model's own\n"
    "      --queue N           requests that may wait; others are told to come back (429; default 256)\n"
    "      --max-body N        bytes of a request (default 8388608)\n"
    "      --timeout N         seconds without a byte after which a connection is closed (default 120)\n"
    "      --ping N            seconds of silence after which a stream gets a comment (default 15)\n"
    "      --keep-alive N      without MODEL: seconds that an unused model stays open (default "
    "300)\n" MODEL_OPTIONS_HELP "      --help              this text\n\n"
    "Each option may stand in the environment too: WELFORD_PORT=8081, WELFORD_API_KEY_FILE=..., WELFORD_NO_AUTH=1.\n";

static const struct option LONG[] = {MODEL_LONG_OPTIONS,
                                     {"model", required_argument, NULL, 'm'},
                                     {"host", required_argument, NULL, OPTION_HOST},
                                     {"port", required_argument, NULL, OPTION_PORT},
                                     {"alias", required_argument, NULL, OPTION_ALIAS},
                                     {"api-key-file", required_argument, NULL, OPTION_API_KEY_FILE},
                                     {"no-auth", no_argument, NULL, OPTION_NO_AUTH},
                                     {"cors-origin", required_argument, NULL, OPTION_CORS_ORIGIN},
                                     {"allow-host", required_argument, NULL, OPTION_ALLOW_HOST},
                                     {"tls-cert", required_argument, NULL, OPTION_TLS_CERT},
                                     {"tls-key", required_argument, NULL, OPTION_TLS_KEY},
                                     {"ctx", required_argument, NULL, 'c'},
                                     {"ctx-size", required_argument, NULL, 'c'},
                                     {"parallel", required_argument, NULL, 'P'},
                                     {"batch", required_argument, NULL, 'b'},
                                     {"batch-size", required_argument, NULL, 'b'},
                                     {"cache-memory", required_argument, NULL, OPTION_CACHE_MEMORY},
                                     {"speculate", no_argument, NULL, OPTION_SPECULATE},
                                     {"chat-template", required_argument, NULL, OPTION_CHAT_TEMPLATE},
                                     {"queue", required_argument, NULL, OPTION_QUEUE},
                                     {"max-body", required_argument, NULL, OPTION_MAX_BODY},
                                     {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                     {"ping", required_argument, NULL, OPTION_PING},
                                     {"keep-alive", required_argument, NULL, OPTION_KEEP_ALIVE},
                                     {"help", no_argument, NULL, 'h'},
                                     {0}};

static bool take_option(const char *verb, int option, const char *value, server_options *o)
{
    int64_t number;
    switch (option) {
    case 'm': o->path = value; return true;
    case OPTION_HOST: o->host = value; return true;
    case OPTION_PORT: return tool_parse_int(verb, "--port", value, 0, 65535, &o->port);
    case OPTION_ALIAS: o->name = value; return true;
    case OPTION_API_KEY_FILE: o->api_key_file = value; return true;
    case OPTION_NO_AUTH: o->no_auth = true; return true;
    case OPTION_CORS_ORIGIN: o->cors_origin = value; return true;
    case OPTION_ALLOW_HOST: o->allow_host = value; return true;
    case OPTION_TLS_CERT: o->tls_cert = value; return true;
    case OPTION_TLS_KEY: o->tls_key = value; return true;
    case 'c': return tool_parse_int(verb, "--ctx", value, 0, INT32_MAX, &o->engine.n_ctx);
    case 'P': return tool_parse_int(verb, "--parallel", value, 1, 4096, &o->engine.n_sequences);
    case 'b': return tool_parse_int(verb, "--batch", value, 1, INT32_MAX, &o->engine.n_batch);
    case OPTION_CACHE_MEMORY:
        if (!tool_parse_int(verb, "--cache-memory", value, 1, INT32_MAX, &number)) return false;
        o->engine.cache_bytes = (size_t)number * 1000000;
        return true;
    case OPTION_SPECULATE: o->engine.speculate = true; return true;
    case OPTION_CHAT_TEMPLATE: o->model.chat_template = value; return true;
    case OPTION_QUEUE: return tool_parse_int(verb, "--queue", value, 0, INT32_MAX, &o->n_queue);
    case OPTION_MAX_BODY: return tool_parse_int(verb, "--max-body", value, 1, INT32_MAX, &o->max_body);
    case OPTION_TIMEOUT: return tool_parse_int(verb, "--timeout", value, 1, 86400, &o->timeout);
    case OPTION_PING: return tool_parse_int(verb, "--ping", value, 1, 86400, &o->ping);
    case OPTION_KEEP_ALIVE: return tool_parse_float(verb, "--keep-alive", value, 0, 1e9, &o->keep_alive);
    default: return model_option_take(verb, option, value, &o->model);
    }
}

// WELFORD_API_KEY_FILE for --api-key-file.
static bool take_environment(const char *verb, server_options *o)
{
    for (const struct option *option = LONG; option->name; option++) {
        char name[64] = "WELFORD_";
        size_t n = strlen(name);
        for (const char *c = option->name; *c && n < sizeof name - 1; c++)
            name[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        const char *value = getenv(name);
        bool is_flag = option->has_arg == no_argument;
        if (!value || !*value || option->val == 'h' || (is_flag && !strcmp(value, "0"))) continue;
        if (!take_option(verb, option->val, value, o)) return false;
    }
    return true;
}

// getopt reads -np as -n -p: it is llama-server's word.
static void spell_out(int argc, char **argv)
{
    static char parallel[] = "--parallel";
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "-np")) argv[i] = parallel;
}

static wf_status add_models(void *context, server_add_model *add, void *add_context, wf_error *err)
{
    (void)context;
    json_t *models;
    const json_t *model;
    size_t i;
    TRY(list_models(&models, err));
    json_array_foreach(models, i, model)
    {
        const server_model m = {.name = json_string_value(json_object_get(model, "name")),
                                .path = json_string_value(json_object_get(model, "path")),
                                .bytes = (size_t)json_integer_value(json_object_get(model, "bytes"))};
        if (m.name && m.path) add(add_context, &m);
    }
    json_decref(models);
    return WF_OK;
}

// The name of the hub where it has one, else the file's without folders and ".gguf".
static void choose_name(const char *path, char name[PATH_MAX])
{
    if (hub_name_of_path(path, name, PATH_MAX)) return;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t from = n;
    while (from && path[from - 1] != '/') from--;
    snprintf(name, PATH_MAX, "%.*s", (int)(n - from), path + from);
    n = strlen(name);
    if (hub_ends_with(name, ".gguf")) name[n - strlen(".gguf")] = 0;
}

static wf_status run(const server_options *o, wf_error *err)
{
    static const library_name LIBRARY = {"libwelford_server.so", "WELFORD_SERVER"};
    void *address;
    server_run_function *function;
    TRY(library_find(LIBRARY, "welford_server_run", &address, err));
    memcpy(&function, &address, sizeof function); // ISO C has no cast from data to function pointers
    return function(o, err);
}

int tool_serve(int argc, char **argv)
{
    server_options o = {.program = argv[0],
                        .list_models = add_models,
                        .engine = {.n_sequences = 16},
                        .host = "127.0.0.1",
                        .port = 8080,
                        .n_queue = 256,
                        .max_body = 8 << 20,
                        .timeout = 120,
                        .ping = 15,
                        .keep_alive = 300};
    int exit_code = -1, c;
    char name[PATH_MAX];
    model_paths paths;
    model_progress bar;
    wf_error err = {0};
    if (!take_environment(argv[0], &o)) return EXIT_USAGE;
    spell_out(argc, argv);
    while ((c = tool_next_option(argc, argv, "m:c:b:t:", LONG, HELP, &exit_code)) != -1)
        if (!take_option(argv[0], c, optarg, &o)) return EXIT_USAGE;
    if (exit_code >= 0) return exit_code;
    if (argc - optind > 1) return tool_fail_usage(argv[0], "unexpected argument '%s'", argv[optind + 1]);
    if (optind < argc) o.path = argv[optind];
    if (o.path) {
        exit_code = model_paths_find(argv[0], &o.path, &o.model, &paths);
        if (exit_code >= 0) return exit_code;
        choose_name(o.path, name);
        if (!o.name) o.name = name;
    }
    model_progress_set(&bar, &o.model);
    wf_status status = run(&o, &err);
    model_progress_end(&bar);
    return status == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
