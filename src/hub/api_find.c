// Models by name, for the public interface (welford.h).
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "hub/hub.h"
#include "welford.h"

static wf_status give(const char *path, char **out, wf_error *err)
{
    *out = strdup(path);
    return *out ? WF_OK : error_memory(err, strlen(path));
}

wf_status wf_model_find(const char *name, const wf_find_options *o, char **out, wf_error *err)
{
    char path[PATH_MAX];
    *out = NULL;
    if (!name) return error_set(err, WF_ERROR_USAGE, "no name of a model");
    if (access(name, F_OK) == 0) return give(name, out, err);
    if (!hub_is_name(name)) {
        if (errno != ENOENT || strchr(name, '/') || hub_ends_with(name, ".gguf"))
            return give(name, out, err); // opening it says why
        return error_set(err, WF_ERROR_IO,
                         "%s: No such file or directory, nor a model's name, which has the form owner/name", name);
    }
    hub_options options = {0};
    if (o) options = (hub_options){.progress = o->progress, .notice = o->notice, .context = o->context};
    TRY(hub_find(name, &options, path, err));
    return give(path, out, err);
}
