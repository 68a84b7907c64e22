#include "format/json_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/file_kind.h"

wf_status json_file_open(const char *path, json_t **root, wf_error *err)
{
    file_map map;
    view number;
    *root = NULL;
    TRY(file_kind_map_open(path, &map, err));
    view text = {map.data ? (const char *)map.data : "", map.bytes};
    wf_status status = json_read(text, path, JSON_RULES_PYTHON, root, err);
    file_map_close(&map);
    if (status != WF_OK) return status;
    if (json_is_object(*root) && !json_is_wide(*root, &number)) return WF_OK;
    json_decref(*root);
    *root = NULL;
    return error_set(err, WF_ERROR_FORMAT, "%s: not a JSON object", path);
}

json_t *json_field(const json_fields *f, const char *name)
{
    json_t *value = json_object_get(f->object, name);
    return json_is_null(value) ? NULL : value;
}

static wf_status fail_type(const json_fields *f, const char *name, const char *expected)
{
    return error_set(f->err, WF_ERROR_FORMAT, "%s: field '%s' is not %s", f->path, name, expected);
}

wf_status json_field_int(const json_fields *f, const char *name, int64_t min, int64_t max, int64_t *value)
{
    const json_t *found = json_field(f, name);
    if (!found) return WF_OK;
    view wide;
    if (json_is_wide(found, &wide))
        return error_set(f->err, WF_ERROR_FORMAT, "%s: field '%s': %.40s%s is not in %" PRId64 "..%" PRId64, f->path,
                         name, wide.data, wide.len > 40 ? "..." : "", min, max);
    if (!json_is_integer(found)) return fail_type(f, name, "an integer");
    int64_t number = json_integer_value(found);
    if (number < min || number > max)
        return error_set(f->err, WF_ERROR_FORMAT, "%s: field '%s': %" PRId64 " is not in %" PRId64 "..%" PRId64,
                         f->path, name, number, min, max);
    *value = number;
    return WF_OK;
}

wf_status json_field_float(const json_fields *f, const char *name, double *value)
{
    const json_t *found = json_field(f, name);
    double number;
    if (!found) return WF_OK;
    if (!json_number_of(found, &number) || !isfinite(number)) return fail_type(f, name, "a finite number");
    *value = number;
    return WF_OK;
}

wf_status json_field_bool(const json_fields *f, const char *name, bool *value)
{
    const json_t *found = json_field(f, name);
    if (!found) return WF_OK;
    if (!json_is_boolean(found)) return fail_type(f, name, "a bool");
    *value = json_is_true(found);
    return WF_OK;
}

wf_status json_field_string(const json_fields *f, const char *name, view *value)
{
    const json_t *found = json_field(f, name);
    if (!found) return WF_OK;
    if (!json_is_string(found)) return fail_type(f, name, "a string");
    *value = (view){json_string_value(found), json_string_length(found)};
    return WF_OK;
}

wf_status json_field_object(const json_fields *f, const char *name, json_t **value)
{
    json_t *found = json_field(f, name);
    view wide;
    if (!found) return WF_OK;
    if (!json_is_object(found) || json_is_wide(found, &wide)) return fail_type(f, name, "an object");
    *value = found;
    return WF_OK;
}

wf_status json_field_array(const json_fields *f, const char *name, json_t **value)
{
    json_t *found = json_field(f, name);
    if (!found) return WF_OK;
    if (!json_is_array(found)) return fail_type(f, name, "an array");
    *value = found;
    return WF_OK;
}

wf_status json_refuse(const json_fields *f, const char *name, const json_t *value)
{
    view wide;
    char *text = json_is_wide(value, &wide) ? strdup(wide.data) : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    wf_status status = error_set(f->err, WF_ERROR_UNSUPPORTED, "%s: field '%.80s' = %.80s is not supported", f->path,
                                 name, text ? text : "?");
    free(text);
    return status;
}
