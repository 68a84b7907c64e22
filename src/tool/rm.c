// welford rm: removes a downloaded model from the hub's cache folder.
#define _GNU_SOURCE
#include <getopt.h>

#include "hub/hub.h"
#include "tool/tool.h"

static const char HELP[] =
    "Usage: welford rm NAME\n\n"
    "Removes a downloaded model (welford list shows them) from the cache folder that Hugging Face's clients share.\n\n"
    "  owner/name                 all of its revisions\n"
    "  owner/name@revision        that one; files that another revision has too stay\n"
    "  hf:owner/name/file.gguf    that file, of all revisions or the given one\n\n"
    "      --help  this text\n";

int tool_rm(int argc, char **argv)
{
    static const struct option LONG[] = {{"help", no_argument, NULL, 'h'}, {0}};
    wf_error err;
    uint64_t bytes;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "h", LONG, NULL)) != -1;) {
        if (c != 'h') return EXIT_USAGE; // getopt_long has said why
        fputs(HELP, stdout);
        return EXIT_SUCCESS;
    }
    if (argc - optind != 1) return tool_fail_usage(argv[0], "one NAME is needed");
    if (hub_remove(argv[optind], &bytes, &err) != WF_OK) return tool_fail(argv[0], &err);
    printf("removed %s, %.1f MB\n", argv[optind], (double)bytes / 1e6);
    return EXIT_SUCCESS;
}
