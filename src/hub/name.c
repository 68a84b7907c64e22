// The syntax of names, and the folders that the environment names.
#define _GNU_SOURCE
#include "hub/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

// One part of owner/name: neither "--" nor "..", neither '-' nor '.' at an end (the hub's own rule).
static bool is_name_part(const char *text, size_t n)
{
    if (n == 0 || n > 96) return false;
    for (size_t i = 0; i < n; i++) {
        if (!is_name_char(text[i])) return false;
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

static wf_status fail_name(const char *text, const char *reason, wf_error *err)
{
    return error_set(err, WF_ERROR_USAGE,
                     "'%.200s' is not a model's name, owner/name or hf:owner/name[/file.gguf][@revision]: %s", text,
                     reason);
}

// What stands after '@': it becomes a path below refs/.
static bool take_revision(const char *text, hub_name *name)
{
    size_t n = strlen(text);
    if (n >= sizeof name->revision || !hub_is_safe_path(text)) return false;
    for (size_t i = 0; i < n; i++)
        if (!is_name_char(text[i]) && text[i] != '/') return false;
    memcpy(name->revision, text, n + 1);
    return true;
}

wf_status hub_parse_name(const char *text, hub_name *name, wf_error *err)
{
    *name = (hub_name){.revision = "main"};
    const char *rest = strncmp(text, "hf:", 3) ? text : text + 3, *at = strchr(rest, '@');
    size_t length = at ? (size_t)(at - rest) : strlen(rest), owner = strcspn(rest, "/@");
    if (at && !take_revision(at + 1, name)) return fail_name(text, "that is no revision", err);
    if (owner >= length) return fail_name(text, "it has no owner", err);
    size_t used = owner + 1 + strcspn(rest + owner + 1, "/@");
    if (!is_name_part(rest, owner) || !is_name_part(rest + owner + 1, used - owner - 1))
        return fail_name(text, "letters, digits and single '-', '_', '.' only", err);
    snprintf(name->repository, sizeof name->repository, "%.*s", (int)used, rest);
    if (used == length) return WF_OK;
    if (length - used - 1 >= sizeof name->file) return fail_name(text, "too long", err);
    snprintf(name->file, sizeof name->file, "%.*s", (int)(length - used - 1), rest + used + 1);
    if (hub_is_safe_path(name->file) && hub_ends_with(name->file, ".gguf")) return WF_OK;
    return fail_name(text, "that is no GGUF file", err);
}

bool hub_is_name(const char *text)
{
    static const char *const FILES[] = {".gguf", ".safetensors", ".json", ".jinja", ".bin", ".txt"};
    hub_name name;
    if (!strncmp(text, "hf:", 3)) return true;
    if (hub_parse_name(text, &name, NULL) != WF_OK || name.file[0]) return false;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        if (hub_ends_with(name.repository, FILES[i])) return false; // a path with a mistake in it
    return true;
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
