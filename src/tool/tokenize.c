// welford tokenize: text to token ids and back.
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "format/checkpoint_open.h"
#include "text/tokenizer/tokenizer.h"
#include "tool/model_options.h"
#include "tool/model_path.h"
#include "tool/token_ids.h"

typedef struct tokenize_options {
    const char *model, *text, *path;
    bool ids, special, decode, records;
} tokenize_options;

static const char HELP[] =
    "Usage: welford tokenize [OPTIONS] MODEL\n\n"
    "Prints the tokens of a text, one a line: the id, a tab, the token's text as a JSON string. A BOS or EOS token is\n"
    "added where the model says so. Without -p and -f the text comes from standard input.\n"
    "A file that was cut short after its header will do.\n\n"
    "  -p, --prompt TEXT  the text\n"
    "  -f, --file FILE    the text is in FILE (- is standard input)\n"
    "      --ids          print one line of ids, separated by spaces\n"
    "      --special      special tokens spelled in the text become their ids; with --decode: are printed\n"
    "      --decode       the input is ids, separated by white space; print the text they stand for\n"
    "  -0, --null         the input is records, each ended by a NUL byte: with --ids one line for each, with --decode\n"
    "                     the output is such records too, else an empty line follows each\n"
    "      --help         this text\n";

static wf_status read_input(const tokenize_options *options, char **data, view *input, wf_error *err)
{
    *data = NULL;
    if (options->text) {
        *input = view_of(options->text);
        return WF_OK;
    }
    size_t bytes;
    TRY(file_read(options->path ? options->path : "-", data, &bytes, err));
    *input = (view){*data, bytes};
    return WF_OK;
}

static wf_status print_token(const tokenizer *t, int32_t id, wf_error *err)
{
    buffer bytes = {0};
    wf_status status = tokenizer_decode_token(t, id, true, &bytes, err);
    if (status == WF_OK) {
        printf("%" PRId32 "\t", id);
        print_json_string(stdout, buffer_view(&bytes)); // repaired: a token may hold a part of a character
        putchar('\n');
    }
    buffer_free(&bytes);
    return status;
}

static wf_status encode_all(const tokenizer *t, view text, bool special, token_list *ids, wf_error *err)
{
    if (tokenizer_add_bos(t)) TRY(token_list_append(ids, tokenizer_bos(t), err));
    TRY(tokenizer_encode(t, text, special, NULL, 0, ids, err));
    if (tokenizer_add_eos(t)) TRY(token_list_append(ids, tokenizer_eos(t), err));
    return WF_OK;
}

static wf_status print_encoded(const tokenizer *t, const tokenize_options *options, view text, wf_error *err)
{
    token_list ids = {0};
    wf_status status = encode_all(t, text, options->special, &ids, err);
    for (size_t i = 0; status == WF_OK && i < ids.count; i++) {
        if (options->ids)
            printf("%s%" PRId32, i ? " " : "", ids.ids[i]);
        else
            status = print_token(t, ids.ids[i], err);
    }
    if (status == WF_OK && (options->ids || options->records)) putchar('\n');
    token_list_free(&ids);
    return status;
}

static wf_status print_decoded(const tokenizer *t, const tokenize_options *options, view input, wf_error *err)
{
    token_list ids = {0};
    buffer text = {0};
    wf_status status = parse_token_ids(input, &ids, err);
    if (status == WF_OK) status = tokenizer_decode(t, ids.ids, ids.count, options->special, &text, err);
    if (status == WF_OK) fwrite(buffer_view(&text).data, 1, text.len, stdout);
    if (status == WF_OK && options->records) putchar(0);
    buffer_free(&text);
    token_list_free(&ids);
    return status;
}

// Takes the next record off the front of *input; without --null all of it is one.
static view next_record(const tokenize_options *options, view *input)
{
    const char *end = options->records && input->len ? memchr(input->data, 0, input->len) : NULL;
    view record = {input->data, end ? (size_t)(end - input->data) : input->len};
    size_t used = record.len + (end ? 1 : 0);
    *input = (view){input->data + used, input->len - used};
    return record;
}

static wf_status tokenize_input(const tokenizer *t, const tokenize_options *options, view input, wf_error *err)
{
    if (options->records && input.len == 0) return WF_OK;
    do {
        view record = next_record(options, &input);
        TRY((options->decode ? print_decoded : print_encoded)(t, options, record, err));
    } while (input.len);
    return WF_OK;
}

static wf_status run_tokenize(const char *program, const tokenize_options *options, wf_error *err)
{
    checkpoint *file = NULL;
    tokenizer *t = NULL;
    char *data = NULL;
    view input;
    wf_status status;
    TRY_GOTO(checkpoint_open_header(options->model, &file, err), done);
    TRY_GOTO(tokenizer_create(file, &t, err), done);
    tool_warn_tokenizer(program, t);
    TRY_GOTO(read_input(options, &data, &input, err), done);
    status = tokenize_input(t, options, input, err);
done:
    free(data);
    tokenizer_free(t);
    checkpoint_close(file);
    return status;
}

// -1 when the verb shall go on, else the exit code.
static int parse_options(int argc, char **argv, tokenize_options *options)
{
    static const struct option LONG[] = {
        {"prompt", required_argument, NULL, 'p'}, {"file", required_argument, NULL, 'f'},
        {"ids", no_argument, NULL, 'i'},          {"special", no_argument, NULL, 's'},
        {"decode", no_argument, NULL, 'd'},       {"null", no_argument, NULL, '0'},
        {"help", no_argument, NULL, 'h'},         {0}};
    int exit_code = -1;
    for (int c; (c = tool_next_option(argc, argv, "p:f:0", LONG, HELP, &exit_code)) != -1;) {
        switch (c) {
        case 'p': options->text = optarg; break;
        case 'f': options->path = optarg; break;
        case 'i': options->ids = true; break;
        case 's': options->special = true; break;
        case 'd': options->decode = true; break;
        case '0': options->records = true; break;
        }
    }
    if (exit_code >= 0) return exit_code;
    if (optind + 1 != argc)
        return tool_fail_usage(argv[0], optind == argc ? "no model file given" : "more than one model file given");
    options->model = argv[optind];
    if (options->text && options->path) return tool_fail_usage(argv[0], "-p and -f exclude each other");
    if (options->ids && options->decode) return tool_fail_usage(argv[0], "--ids and --decode exclude each other");
    if (!options->text && !options->path && isatty(STDIN_FILENO))
        return tool_fail_usage(argv[0], "no text: give -p, -f, or pipe it in");
    return -1;
}

int tool_tokenize(int argc, char **argv)
{
    tokenize_options options = {0};
    int exit_code = parse_options(argc, argv, &options);
    char path[PATH_MAX];
    if (exit_code < 0) exit_code = model_path_find(argv[0], &options.model, path);
    if (exit_code >= 0) return exit_code;
    wf_error err;
    if (run_tokenize(argv[0], &options, &err) != WF_OK) {
        if (err.status == WF_ERROR_USAGE) err.status = WF_ERROR_FORMAT; // an id out of range is bad input
        return tool_fail(argv[0], &err);
    }
    return EXIT_SUCCESS;
}
