// welford list: the models that are here by name, in the cache that Hugging Face's clients share, and those in
// welford's own folder of models.
#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "hub/hub.h"
#include "runtime/cache/cache_folder.h"
#include "tool/json_table.h"
#include "tool/list.h"
#include "tool/tool.h"

static const char HELP[] =
    "Usage: welford list [--json]\n\n"
    "Lists the models that are here: name, revision, size and path. Those of the Hugging Face hub are used by name, "
    "those\n"
    "in welford's cache folder by path. One without a path is not whole, or not of a kind that welford reads.\n\n"
    "      --json  as an array of objects: name, revision, bytes, path (null: see above)\n"
    "      --help  this text\n";

// As an argument of the other verbs.
static json_t *describe(const hub_entry *e)
{
    json_t *name = json_sprintf("%s%s%s%s", e->file[0] ? "hf:" : "", e->repository, e->file[0] ? "/" : "", e->file);
    return json_pack("{s:o, s:s, s:I, s:o}", "name", name, "revision", e->revision, "bytes", (json_int_t)e->bytes,
                     "path", e->path[0] ? json_string(e->path) : json_null());
}

static wf_status add_hub(json_t *models, wf_error *err)
{
    hub_entries list;
    TRY(hub_list(&list, err));
    for (size_t i = 0; i < list.count; i++) json_array_append_new(models, describe(&list.entries[i]));
    hub_entries_free(&list);
    return WF_OK;
}

// The GGUF files in welford's own folder, which have no revision.
static void add_own(json_t *models)
{
    char folder[PATH_MAX], path[PATH_MAX];
    if (!cache_folder(folder, sizeof folder)) return;
    if (snprintf(path, sizeof path, "%s/models", folder) >= (int)sizeof path) return;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat st;
        int n = snprintf(path, sizeof path, "%s/models/%s", folder, e->d_name);
        if (n >= (int)sizeof path || !hub_ends_with(path, ".gguf") || stat(path, &st) || !S_ISREG(st.st_mode)) continue;
        json_array_append_new(models, json_pack("{s:s, s:n, s:I, s:s}", "name", e->d_name, "revision", "bytes",
                                                (json_int_t)st.st_size, "path", path));
    }
    if (dir) closedir(dir);
}

wf_status list_models(json_t **models, wf_error *err)
{
    *models = json_array();
    if (!*models) return error_memory(err, 0);
    wf_status status = add_hub(*models, err);
    if (status == WF_OK) {
        add_own(*models);
    } else {
        json_decref(*models);
        *models = NULL;
    }
    return status;
}

static void print_table(const json_t *models)
{
    int name = json_width(models, "name", 4), revision = json_width(models, "revision", 8);
    const json_t *model;
    size_t i;
    if (!json_array_size(models)) fputs("no models are here yet (welford pull NAME)\n", stderr);
    if (json_array_size(models)) printf("%-*s  %-*s  %10s  %s\n", name, "NAME", revision, "REVISION", "MB", "PATH");
    json_array_foreach(models, i, model)
    {
        double bytes = (double)json_integer_value(json_object_get(model, "bytes"));
        printf("%-*s  %-*s  %10.1f  %s\n", name, json_text(model, "name", "?"), revision,
               json_text(model, "revision", "-"), bytes / 1e6,
               json_text(model, "path", "(not whole, or not supported)"));
    }
}

int tool_list(int argc, char **argv)
{
    static const struct option LONG[] = {{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
    bool as_json = false;
    wf_error err;
    int exit_code = -1;
    while (tool_next_option(argc, argv, "", LONG, HELP, &exit_code) != -1) as_json = true;
    if (exit_code >= 0) return exit_code;
    if (optind != argc) return tool_fail_usage(argv[0], "unexpected argument '%s'", argv[optind]);
    json_t *models;
    wf_status status = list_models(&models, &err);
    if (status == WF_OK && as_json) {
        json_dumpf(models, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (status == WF_OK) {
        print_table(models);
    }
    json_decref(models);
    return status == WF_OK ? EXIT_SUCCESS : tool_fail(argv[0], &err);
}
