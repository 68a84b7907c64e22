// welford cache: where compiled programs, packed weights and models lie, and how large they are; --clear empties it.
#include <limits.h>

#include "runtime/cache.h"
#include "tool/tool.h"

static const char HELP[] =
    "Usage: welford cache [--clear]\n\n"
    "Shows the cache folder and what it holds. The folder is $WELFORD_CACHE, else $XDG_CACHE_HOME/welford, else\n"
    "~/.cache/welford.\n\n"
    "  --clear  remove programs and packs, which are made again when needed; models stay\n"
    "  --help   this text\n";

static void print_line(const char *what, size_t count, size_t bytes)
{
    printf("%-9s %6zu %12.1f MiB\n", what, count, (double)bytes / (1024 * 1024));
}

static int show(const char *program)
{
    cache_usage usage;
    wf_error err;
    char folder[PATH_MAX];
    if (cache_measure(&usage, &err) != WF_OK) return tool_fail(program, &err);
    if (cache_folder(folder, sizeof folder)) printf("folder    %s\n", folder);
    print_line("programs", usage.n_programs, usage.program_bytes);
    print_line("packs", usage.n_packs, usage.pack_bytes);
    print_line("models", usage.n_models, usage.model_bytes);
    return EXIT_SUCCESS;
}

static int clear(const char *program)
{
    cache_usage removed;
    wf_error err;
    if (cache_clear(&removed, &err) != WF_OK) return tool_fail(program, &err);
    printf("removed\n");
    print_line("programs", removed.n_programs, removed.program_bytes);
    print_line("packs", removed.n_packs, removed.pack_bytes);
    return EXIT_SUCCESS;
}

int tool_cache(int argc, char **argv)
{
    static const struct option LONG[] = {{"clear", no_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    bool wants_clear = false;
    int exit_code = -1;
    while (tool_next_option(argc, argv, "", LONG, HELP, &exit_code) != -1) wants_clear = true;
    if (exit_code >= 0) return exit_code;
    if (optind != argc) return tool_fail_usage(argv[0], "unexpected argument '%s'", argv[optind]);
    return wants_clear ? clear(argv[0]) : show(argv[0]);
}
