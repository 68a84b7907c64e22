// The models on this disk.
#ifndef WELFORD_TOOL_LIST_H
#define WELFORD_TOOL_LIST_H

#include <jansson.h>

#include "base/status.h"

// An array of objects: name, revision, bytes, path (null: not whole, or not supported). json_decref it.
wf_status list_models(json_t **models, wf_error *err);

#endif
