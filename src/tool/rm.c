// welford rm: removes a downloaded model from the hub's cache folder.
#include "hub/hub.h"
#include "tool/tool.h"

static const char HELP[] =
    "Usage: welford rm NAME\n\n"
    "Removes a downloaded model (welford list shows them) from the cache folder that Hugging Face's clients share.\n\n"
    "  owner/name                 all of its revisions\n"
    "  owner/name@revision        that one; files that another revision has too stay\n"
    "  hf:owner/name/file.gguf    that file, of all revisions or the given one; owner/name:Q4_K_M likewise\n\n"
    "      --help  this text\n";

static void show_notice(void *context, const char *text) { fprintf(stderr, "%s: %s\n", (char *)context, text); }

int tool_rm(int argc, char **argv)
{
    int exit_code = -1;
    wf_error err;
    uint64_t bytes;
    tool_next_option(argc, argv, "", NULL, HELP, &exit_code);
    if (exit_code >= 0) return exit_code;
    if (argc - optind != 1) return tool_fail_usage(argv[0], "one NAME is needed");
    hub_options options = {.notice = show_notice, .context = argv[0]};
    if (hub_remove(argv[optind], &options, &bytes, &err) != WF_OK) return tool_fail(argv[0], &err);
    printf("removed %s, %.1f MB\n", argv[optind], (double)bytes / 1e6);
    return EXIT_SUCCESS;
}
