// What names are made of, and the folders that the environment names.
#include "hub/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool hub_is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

bool hub_is_name_part(const char *text, size_t n)
{
    if (n == 0 || n > 96) return false;
    for (size_t i = 0; i < n; i++) {
        if (!hub_is_name_char(text[i])) return false;
        bool mark = text[i] == '-' || text[i] == '.';
        if (mark && (i == 0 || i == n - 1 || text[i] == text[i + 1])) return false;
    }
    return true;
}

static bool is_hex(const char *text, size_t n) { return strlen(text) == n && strspn(text, "0123456789abcdef") == n; }

bool hub_is_commit(const char *text) { return is_hex(text, 40); }

bool hub_is_etag(const char *text) { return is_hex(text, 40) || is_hex(text, 64); }

bool hub_is_safe_path(const char *text)
{
    if (!*text || strlen(text) >= HUB_FILE_BYTES) return false;
    for (const char *part = text;;) {
        size_t n = strcspn(part, "/");
        if (n == 0 || n > NAME_MAX) return false;
        if (part[0] == '.' && (n == 1 || (n == 2 && part[1] == '.'))) return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)part[i] < ' ' || part[i] == 127 || part[i] == '\\') return false;
        if (!part[n]) return true;
        part += n + 1;
    }
}

bool hub_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

// ---- folders

const char *hub_variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

bool hub_variable_is_on(const char *name)
{
    static const char *const YES[] = {"1", "on", "yes", "true"};
    const char *value = hub_variable(name);
    for (size_t i = 0; value && i < sizeof YES / sizeof *YES; i++)
        if (!strcasecmp(value, YES[i])) return true;
    return false;
}

// A path from the environment; "~/" at its start is the home folder.
static bool expand_home(const char *value, const char *rest, char *path, size_t path_bytes)
{
    const char *home = hub_variable("HOME");
    bool tilde = value[0] == '~' && (value[1] == '/' || !value[1]);
    if (tilde && !home) return false;
    int n =
        snprintf(path, path_bytes, "%s%s%s%s", tilde ? home : "", tilde ? value + 1 : value, *rest ? "/" : "", rest);
    return n > 0 && (size_t)n < path_bytes;
}

bool hub_home_path(const char *file, char *path, size_t path_bytes)
{
    const char *own = hub_variable("HF_HOME"), *xdg = hub_variable("XDG_CACHE_HOME");
    char below[64];
    if (own) return expand_home(own, file, path, path_bytes);
    snprintf(below, sizeof below, "%shuggingface/%s", xdg ? "" : ".cache/", file);
    return expand_home(xdg ? xdg : "~", below, path, path_bytes);
}

wf_status hub_cache_folder(char path[HUB_FOLDER_BYTES], wf_error *err)
{
    const char *own = hub_variable("HF_HUB_CACHE");
    if (!own) own = hub_variable("HUGGINGFACE_HUB_CACHE");
    size_t bytes = HUB_FOLDER_BYTES - 2 * HUB_NAME_BYTES; // .locks/models--owner--name lies below
    if (own ? expand_home(own, "", path, bytes) : hub_home_path("hub", path, bytes)) return WF_OK;
    return error_set(err, WF_ERROR_IO, "no folder for models: HF_HOME and HOME are not set, or too long");
}

void hub_folder_name(const hub_name *name, char text[HUB_NAME_BYTES + 16])
{
    size_t owner = strcspn(name->repository, "/");
    snprintf(text, HUB_NAME_BYTES + 16, "models--%.*s--%s", (int)owner, name->repository, name->repository + owner + 1);
}

static wf_status append_folder(const char *between, const hub_name *name, char path[HUB_FOLDER_BYTES], wf_error *err)
{
    char folder[HUB_NAME_BYTES + 16];
    TRY(hub_cache_folder(path, err));
    hub_folder_name(name, folder);
    size_t n = strlen(path);
    snprintf(path + n, HUB_FOLDER_BYTES - n, "%s/%s", between, folder);
    return WF_OK;
}

wf_status hub_model_folder(const hub_name *name, char path[HUB_FOLDER_BYTES], wf_error *err)
{
    return append_folder("", name, path, err);
}

wf_status hub_lock_folder(const hub_name *name, char path[HUB_FOLDER_BYTES], wf_error *err)
{
    return append_folder("/.locks", name, path, err);
}
