// The command line: finds the verb in a table and calls it.
#include <errno.h>
#include <string.h>

#include "tool/tool.h"

typedef struct verb {
    const char *name, *program; // "info", "welford info"
    tool_function *run;
    const char *help; // one line
} verb;

#define VERB(name, help) {#name, "welford " #name, tool_##name, help}

static const verb VERBS[] = {
    VERB(run, "answer a prompt, or chat"),
    VERB(serve, "answer over HTTP, as OpenAI's, Anthropic's and ollama's interfaces do"),
    VERB(pull, "download a model from the Hugging Face hub"),
    VERB(list, "list the models that are here"),
    VERB(rm, "remove a downloaded model"),
    VERB(bench, "measure tokens a second of prefill and decode"),
    VERB(ppl, "measure a model's perplexity on a text"),
    VERB(logits, "show the likeliest next tokens"),
    VERB(tokenize, "turn text into a model's tokens, or back"),
    VERB(template, "render a chat template, to debug it"),
    VERB(info, "show what a model file holds"),
    VERB(opt, "run passes on a graph file (MLIR)"),
    VERB(compile, "compile a model or a function into a .wf file, which needs no compiler"),
    VERB(exec, "compile a function of a graph file and run it on arrays"),
    VERB(cache, "show or clear the cache folder"),
};

enum { VERB_COUNT = sizeof VERBS / sizeof *VERBS };

static void print_usage(FILE *out)
{
    fputs("welford: compiles transformer models for this CPU and runs them\n\n"
          "Usage: welford VERB [OPTIONS] ...\n\n",
          out);
    for (int i = 0; i < VERB_COUNT; i++) fprintf(out, "  %-10s %s\n", VERBS[i].name, VERBS[i].help);
    fputs("\nA MODEL is a GGUF file, a folder of Hugging Face files, a .wf file (welford compile --help), or a name "
          "on the\nhub (welford pull --help).\n"
          "\nOptions:\n"
          "  --help     this text; `welford VERB --help` explains one verb\n"
          "  --version  the version\n",
          out);
}

static const verb *find_verb(const char *name)
{
    for (int i = 0; i < VERB_COUNT; i++)
        if (!strcmp(VERBS[i].name, name)) return &VERBS[i];
    return NULL;
}

static int run_command(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_usage(stdout);
        return EXIT_SUCCESS;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("welford %s\n", wf_version());
        return EXIT_SUCCESS;
    }
    const verb *found = find_verb(argv[1]);
    if (!found) return tool_fail_usage("welford", "there is no verb '%s'", argv[1]);
    argv[1] = (char *)found->program; // never written to
    return found->run(argc - 1, argv + 1);
}

// Output that could not be written is a failure: `welford info m > /dev/full` must not exit 0.
int main(int argc, char **argv)
{
    int result = run_command(argc, argv);
    errno = 0;
    if ((fflush(stdout) || ferror(stdout)) && result == EXIT_SUCCESS) {
        fprintf(stderr, "welford: cannot write the output: %s\n", errno ? strerror(errno) : "write error");
        result = EXIT_FAILURE;
    }
    return result;
}
