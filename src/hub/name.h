// Names: of models, revisions, files and checksums. What comes from a user or a server is checked here before it
// becomes part of a path or an address.
#ifndef WELFORD_HUB_NAME_H
#define WELFORD_HUB_NAME_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum {
    HUB_NAME_BYTES = 200,
    HUB_REVISION_BYTES = 128,
    HUB_QUANT_BYTES = 64,
    HUB_FILE_BYTES = 512,
    HUB_COMMIT_BYTES = 41,
    HUB_ETAG_BYTES = 65,
    HUB_FOLDER_BYTES = PATH_MAX - 2 * HUB_FILE_BYTES, // of a model's folder: leaves room for what lies in it
};

typedef struct hub_name {
    char repository[HUB_NAME_BYTES];   // "owner/name"
    char file[HUB_FILE_BYTES];         // a GGUF file in it; "": not given
    char quant[HUB_QUANT_BYTES];       // which of its GGUF files, such as "Q4_K_M"; "": not given
    char revision[HUB_REVISION_BYTES]; // branch, tag or commit; "main" when not given
    bool has_revision;                 // it was given
} hub_name;

// Takes a name apart, in the forms that people paste:
//
//     [hf:]owner/name[:QUANT | /file.gguf][@revision]
//     hf.co/owner/name[:QUANT]                           huggingface.co likewise; with https:// or without
//     https://hf.co/owner/name/blob/REVISION/file.gguf   of a page or a download (resolve, raw), or tree/REVISION
//     hf://owner/name[@revision][/file.gguf]             of huggingface_hub's file system
//
// A file that is no GGUF file means its repository. WF_ERROR_USAGE when it is none of these, with a hint for the names
// of ollama's library.
wf_status hub_parse_name(const char *text, hub_name *name, wf_error *err);

// Whether an argument that is no path on this disk means the hub: an address, "hf:…", owner/name where the name does
// not look like a model file's; or a name of ollama's library, which hub_parse_name refuses.
bool hub_is_name(const char *text);

bool hub_is_name_char(char c); // letters, digits, '.', '_', '-'
// One part of owner/name: neither "--" nor "..", neither '-' nor '.' at an end (the hub's own rule).
bool hub_is_name_part(const char *text, size_t n);

bool hub_is_commit(const char *text); // 40 hexadecimal digits
bool hub_is_etag(const char *text);   // a SHA-1 or a SHA-256 in hexadecimal digits
// Relative, without ".", "..", empty parts, control characters and backslashes.
bool hub_is_safe_path(const char *text);
bool hub_ends_with(const char *text, const char *end);

// The value of an environment variable, NULL when it is unset or empty; and whether it says yes ("1", "yes", "true",
// "on").
const char *hub_variable(const char *name);
bool hub_variable_is_on(const char *name);

// A file of Hugging Face's home folder, such as "hub" and "token": $HF_HOME, else $XDG_CACHE_HOME/huggingface, else
// ~/.cache/huggingface. False: no home is known, or the path is too long.
bool hub_home_path(const char *file, char *path, size_t path_bytes);
// The cache: $HF_HUB_CACHE, else "hub" in the home folder.
wf_status hub_cache_folder(char path[HUB_FOLDER_BYTES], wf_error *err);
// "models--owner--name"
void hub_folder_name(const hub_name *name, char text[HUB_NAME_BYTES + 16]);
// Where files are: in the cache folder the model's folder, and its folder of locks.
wf_status hub_model_folder(const hub_name *name, char path[HUB_FOLDER_BYTES], wf_error *err);
wf_status hub_lock_folder(const hub_name *name, char path[HUB_FOLDER_BYTES], wf_error *err);

#endif
