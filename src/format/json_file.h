// JSON files of checkpoint folders: opened whole, their fields read with messages that name file and field.
#ifndef WELFORD_FORMAT_JSON_FILE_H
#define WELFORD_FORMAT_JSON_FILE_H

#include "base/status.h"
#include "base/view.h"
#include "format/json_read.h"

// Reads a file that must hold a JSON object, by json_read. WF_ERROR_IO when it cannot be read, WF_ERROR_FORMAT
// with path and line when it is not that. *root: json_decref it.
wf_status json_file_open(const char *path, json_t **root, wf_error *err);

// An object on its way through the fields of a file.
typedef struct json_fields {
    const char *path;     // of the file
    const json_t *object; // NULL: has no fields
    wf_error *err;
} json_fields;

// The field, or NULL when it is absent or null.
json_t *json_field(const json_fields *f, const char *name);

// Typed fields; an absent or null one leaves *value as it is. A wrong type or a number out of range is WF_ERROR_FORMAT.
wf_status json_field_int(const json_fields *f, const char *name, int64_t min, int64_t max, int64_t *value);
wf_status json_field_float(const json_fields *f, const char *name, double *value); // an integer will do; finite
wf_status json_field_bool(const json_fields *f, const char *name, bool *value);
wf_status json_field_string(const json_fields *f, const char *name, view *value); // of the object
wf_status json_field_object(const json_fields *f, const char *name, json_t **value);
wf_status json_field_array(const json_fields *f, const char *name, json_t **value);

// WF_ERROR_UNSUPPORTED: "path: field 'name' = value is not supported".
wf_status json_refuse(const json_fields *f, const char *name, const json_t *value);

#endif
