// welford template: renders a chat template, for people who debug templates.
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "format/bundle.h"
#include "format/checkpoint_open.h"
#include "format/file_kind.h"
#include "format/json_read.h"
#include "text/chat.h"
#include "text/jinja/jinja.h"
#include "tool/model_path.h"

typedef struct template_options {
    const char *source, *messages, *context;
    bool no_generation_prompt, lines;
} template_options;

static const char HELP[] =
    "Usage: welford template [OPTIONS] MODEL|FILE.jinja\n\n"
    "Prints a conversation as the chat template of a model, or in a file, makes it: the prompt the model would see.\n"
    "The conversation is a JSON array of {\"role\", \"content\"} on standard input, or an object with all of the "
    "template's\n"
    "variables (\"messages\", \"tools\", ...). A model file that was cut short after its header will do.\n\n"
    "  -f, --file FILE             the conversation is in FILE (- is standard input)\n"
    "      --context JSON          more variables for the template, as a JSON object\n"
    "      --no-generation-prompt  end before the assistant's turn\n"
    "      --lines                 the input is one JSON document a line; print one line for each: {\"text\": ...}, "
    "or\n"
    "                              {\"error\": ...} and exit 1 at the end\n"
    "      --help                  this text\n";

// What a template needs: the source, and from a model its special tokens.
typedef struct template_input {
    checkpoint *model; // NULL: `file` is the template
    char *file;
    view source;
    json_t *variables; // object; defaults for each document
} template_input;

static void close_input(template_input *input)
{
    checkpoint_close(input->model);
    free(input->file);
    json_decref(input->variables);
}

// A folder is a model, and so is a file that begins with the magic of GGUF or of .wf files; anything else is a
// template's text.
static wf_status is_model(const char *path, bool *model, wf_error *err)
{
    struct stat st;
    file_map map;
    *model = !stat(path, &st) && S_ISDIR(st.st_mode);
    *model = *model || bundle_is(path);
    if (*model) return WF_OK;
    TRY(file_kind_map_open(path, &map, err));
    *model = map.bytes >= 4 && !memcmp(map.data, "GGUF", 4);
    file_map_close(&map);
    return WF_OK;
}

static wf_status open_input(const char *path, template_input *input, wf_error *err)
{
    size_t bytes;
    bool model;
    TRY(is_model(path, &model, err));
    if (!model) {
        input->variables = json_object();
        TRY(file_read(path, &input->file, &bytes, err));
        input->source = (view){input->file, bytes};
        return WF_OK;
    }
    TRY(checkpoint_open_header(path, &input->model, err));
    if (!checkpoint_find(input->model, "tokenizer.chat_template"))
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: the model has no chat template", path);
    TRY(checkpoint_get_string(input->model, "tokenizer.chat_template", &input->source, err));
    return chat_variables(input->model, &input->variables, err);
}

static wf_status add_context(const template_options *options, template_input *input, wf_error *err)
{
    json_t *more =
        json_pack("{s:b, s:n, s:n}", "add_generation_prompt", !options->no_generation_prompt, "tools", "documents");
    int failed = json_object_update_new(input->variables, more); // of NULLs too
    if (failed) return error_memory(err, 0);
    if (!options->context) return WF_OK;
    TRY(json_read(view_of(options->context), "--context", JSON_RULES_PYTHON, &more, err));
    wf_status status = WF_OK;
    if (!json_is_object(more))
        status = error_set(err, WF_ERROR_USAGE, "--context: not a JSON object");
    else if (json_object_update(input->variables, more))
        status = error_memory(err, 0);
    json_decref(more);
    return status;
}

// One document: the array of messages, or an object of variables.
static wf_status render_document(const jinja_template *t, const template_input *input, view text, const char *name,
                                 buffer *out, wf_error *err)
{
    json_t *document = NULL, *context = json_copy(input->variables);
    wf_status status = context ? json_read(text, name, JSON_RULES_PYTHON, &document, err) : error_memory(err, 0);
    if (status == WF_OK) {
        int failed = json_is_object(document)  ? json_object_update(context, document)
                     : json_is_array(document) ? json_object_set(context, "messages", document)
                                               : 1;
        if (failed)
            status = error_set(err, WF_ERROR_FORMAT, "%s: neither a JSON array of messages nor an object", name);
    }
    if (status == WF_OK) status = jinja_render(t, context, out, err);
    json_decref(document);
    json_decref(context);
    return status;
}

// Prints {"NAME": "text"}; the text of a render is valid UTF-8, as all it is made of.
static void print_json_line(const char *name, view text)
{
    json_t *line = json_pack("{s:s%}", name, text.data, text.len);
    char *dumped = line ? json_dumps(line, JSON_COMPACT) : NULL;
    puts(dumped ? dumped : "{\"error\":\"the text is not valid UTF-8\"}");
    free(dumped);
    json_decref(line);
}

static wf_status render_lines(const jinja_template *t, const template_input *input, view text, const char *name,
                              wf_error *err)
{
    wf_status first = WF_OK;
    for (size_t begin = 0, end; begin < text.len; begin = end + 1) {
        const char *newline = memchr(text.data + begin, '\n', text.len - begin);
        end = newline ? (size_t)(newline - text.data) : text.len;
        buffer out = {0};
        wf_error reason;
        wf_status status = render_document(t, input, (view){text.data + begin, end - begin}, name, &out, &reason);
        print_json_line(status == WF_OK ? "text" : "error",
                        status == WF_OK ? buffer_view(&out) : view_of(reason.message));
        if (status != WF_OK && first == WF_OK) {
            first = status;
            *err = reason;
        }
        buffer_free(&out);
    }
    return first;
}

static wf_status render_input(const template_options *options, const jinja_template *t, const template_input *input,
                              wf_error *err)
{
    const char *path = options->messages ? options->messages : "-", *name = strcmp(path, "-") ? path : "standard input";
    char *text;
    size_t bytes;
    buffer out = {0};
    TRY(file_read(path, &text, &bytes, err));
    wf_status status;
    if (options->lines) {
        status = render_lines(t, input, (view){text, bytes}, name, err);
    } else {
        status = render_document(t, input, (view){text, bytes}, name, &out, err);
        if (status == WF_OK) fwrite(buffer_view(&out).data, 1, out.len, stdout);
    }
    buffer_free(&out);
    free(text);
    return status;
}

static wf_status run_template(const template_options *options, wf_error *err)
{
    template_input input = {0};
    jinja_template *t = NULL;
    wf_status status;
    TRY_GOTO(open_input(options->source, &input, err), done);
    TRY_GOTO(add_context(options, &input, err), done);
    TRY_GOTO(jinja_compile(input.source, options->source, &t, err), done);
    status = render_input(options, t, &input, err);
done:
    jinja_free(t);
    close_input(&input);
    return status;
}

// -1 when the verb shall go on, else the exit code.
static int parse_options(int argc, char **argv, template_options *options)
{
    static const struct option LONG[] = {{"file", required_argument, NULL, 'f'},
                                         {"context", required_argument, NULL, 'c'},
                                         {"no-generation-prompt", no_argument, NULL, 'n'},
                                         {"lines", no_argument, NULL, 'l'},
                                         {"help", no_argument, NULL, 'h'},
                                         {0}};
    int exit_code = -1;
    for (int c; (c = tool_next_option(argc, argv, "f:", LONG, HELP, &exit_code)) != -1;) {
        switch (c) {
        case 'f': options->messages = optarg; break;
        case 'c': options->context = optarg; break;
        case 'n': options->no_generation_prompt = true; break;
        case 'l': options->lines = true; break;
        }
    }
    if (exit_code >= 0) return exit_code;
    if (optind + 1 != argc)
        return tool_fail_usage(argv[0],
                               optind == argc ? "no model or template given" : "more than one model or template given");
    options->source = argv[optind];
    return -1;
}

int tool_template(int argc, char **argv)
{
    template_options options = {0};
    int exit_code = parse_options(argc, argv, &options);
    char path[PATH_MAX];
    if (exit_code < 0) exit_code = model_path_find(argv[0], &options.source, path);
    if (exit_code >= 0) return exit_code;
    wf_error err;
    return run_template(&options, &err) == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
