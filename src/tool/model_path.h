// MODEL on the command line: a path on this disk, or else a name on the hub (hub/hub.h), downloaded if need be.
#ifndef WELFORD_TOOL_MODEL_PATH_H
#define WELFORD_TOOL_MODEL_PATH_H

#include <limits.h>

#include "tool/tool.h"

// Finds the model of a name. What there is to say meanwhile goes to stderr: notices, and a bar where that is a
// terminal.
wf_status model_path_fetch(const char *verb, const char *name, char path[PATH_MAX], wf_error *err);

// Replaces *model by the path, kept in `path`, of the model that it names; not if there is such a file, or it does not
// look like a name. -1 when the verb shall go on, else its exit code, after a message.
int model_path_find(const char *verb, const char **model, char path[PATH_MAX]);

// The same of a verb's model and of its --weights-from, where that is given.
typedef struct model_paths {
    char model[PATH_MAX], weights[PATH_MAX];
} model_paths;
int model_paths_find(const char *verb, const char **model, wf_model_options *options, model_paths *paths);

#endif
