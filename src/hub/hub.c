// From a name to a path: the cache, the hub, or the cache after all.
#include "hub/hub.h"

#include <stdio.h>
#include <string.h>

#include "runtime/library.h"

static const library_name LIBRARY = {"libwelford_hub.so", "WELFORD_HUB"};

static wf_status fetch(const hub_request *request, char path[PATH_MAX], bool *unreachable, wf_error *err)
{
    void *address;
    *unreachable = false;
    TRY(library_find(LIBRARY, "welford_hub_fetch", &address, err));
    hub_fetch_fn *function;
    memcpy(&function, &address, sizeof function); // ISO C has no cast from data to function pointers
    return function(request, path, unreachable, err);
}

static wf_status fail_offline(const hub_name *name, wf_error *err)
{
    char folder[HUB_FOLDER_BYTES];
    TRY(hub_cache_folder(folder, err));
    return error_set(err, WF_ERROR_IO, "HF_HUB_OFFLINE is set, and %s%s%s%s%s (%s) is not in %s whole",
                     name->repository, name->file[0] ? "/" : "", name->file, name->quant[0] ? ":" : "", name->quant,
                     name->revision, folder);
}

static void tell(const hub_options *o, const hub_name *name, const hub_cached *cached, const wf_error *reason)
{
    char text[sizeof reason->message + HUB_NAME_BYTES + 64];
    if (!o->notice) return;
    snprintf(text, sizeof text, "%s; using %s %.7s from the cache", reason->message, name->repository, cached->commit);
    o->notice(o->context, text);
}

wf_status hub_find(const char *text, const hub_options *options, char path[PATH_MAX], wf_error *err)
{
    hub_name name;
    hub_cached cached;
    bool unreachable;
    wf_error reason = {0};
    TRY(hub_parse_name(text, &name, err));
    TRY(hub_find_cached(&name, &cached, err));
    bool offline = hub_variable_is_on("HF_HUB_OFFLINE") || hub_variable_is_on("TRANSFORMERS_OFFLINE");
    if (cached.path[0] && (offline || hub_is_commit(name.revision))) {
        memcpy(path, cached.path, sizeof cached.path);
        return WF_OK;
    }
    if (offline) return fail_offline(&name, err);
    hub_request request = {&name, options, cached.path[0] != 0};
    wf_status status = fetch(&request, path, &unreachable, &reason);
    if (status == WF_OK) return WF_OK;
    if (!unreachable || !cached.path[0]) return error_set(err, status, "%s", reason.message);
    tell(options, &name, &cached, &reason);
    memcpy(path, cached.path, sizeof cached.path);
    return WF_OK;
}
