// welford pull: downloads a model from the hub and prints where it is.
#include "tool/model_path.h"

static const char HELP[] =
    "Usage: welford pull NAME\n\n"
    "Downloads a model from the Hugging Face hub, unless it is here already, and prints its path. Every verb that "
    "takes\n"
    "a MODEL takes such a NAME too. An interrupted download goes on where it stopped.\n\n"
    "  owner/name                    config.json, tokenizer and *.safetensors; or the only GGUF file there is\n"
    "  owner/name:Q4_K_M             its GGUF file of that quantisation; hf.co/owner/name:Q4_K_M as well\n"
    "  hf:owner/name/file.gguf       that file, with all its parts\n"
    "  hf:owner/name[...]@revision   of this branch, tag or commit (default: main)\n"
    "  https://huggingface.co/...    a model's or a file's page, or a link to download it; hf:// as well\n\n"
    "      --help  this text\n\n"
    "Models lie in the cache of Hugging Face's own clients: $HF_HUB_CACHE, else $HF_HOME/hub, else\n"
    "~/.cache/huggingface/hub. HF_TOKEN: an access token, for models that want one. HF_ENDPOINT: another hub.\n"
    "HF_HUB_OFFLINE=1: only what is here.\n";

int tool_pull(int argc, char **argv)
{
    int exit_code = -1;
    wf_error err;
    char path[PATH_MAX];
    tool_next_option(argc, argv, "", NULL, HELP, &exit_code);
    if (exit_code >= 0) return exit_code;
    if (argc - optind != 1) return tool_fail_usage(argv[0], "one NAME is needed");
    if (model_path_fetch(argv[0], argv[optind], path, &err) != WF_OK) return tool_fail(argv[0], &err);
    puts(path);
    return EXIT_SUCCESS;
}
