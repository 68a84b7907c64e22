#include "server/body.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

// Deepest nesting of brackets outside strings. What is no JSON is for the parser to say.
static int find_depth(view text)
{
    int depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest) deepest = depth;
            if (deepest > BODY_MAX_DEPTH) return deepest;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

json_t *body_parse(view text, api_error *err)
{
    json_error_t error;
    if (find_depth(text) > BODY_MAX_DEPTH) {
        api_fail(err, 400, NULL, "the body has more than %d arrays and objects inside each other", BODY_MAX_DEPTH);
        return NULL;
    }
    json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (root && json_is_object(root)) return root;
    if (root)
        api_fail(err, 400, NULL, "the body is no JSON object");
    else
        api_fail(err, 400, NULL, "the body is no JSON: line %d, column %d: %s", error.line, error.column, error.text);
    json_decref(root);
    return NULL;
}

// ---- fields

const json_t *field_find(const fields *f, const char *name)
{
    const json_t *value = json_object_get(f->object, name);
    return json_is_null(value) ? NULL : value;
}

bool field_fail(const fields *f, const char *name, const char *message)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", f->prefix, name);
    return api_fail(f->err, 400, full, "%s: %s", full, message);
}

double field_number(const fields *f, const char *name, double min, double max, double missing)
{
    const json_t *value = field_find(f, name);
    if (!value) return missing;
    double number = json_number_value(value);
    if (json_is_number(value) && number >= min && number <= max) return number;
    char message[96];
    snprintf(message, sizeof message, isinf(max) ? "not a number of at least %g" : "not a number in %g..%g", min, max);
    field_fail(f, name, message);
    return missing;
}

int64_t field_integer(const fields *f, const char *name, int64_t min, int64_t max, int64_t missing)
{
    const json_t *value = field_find(f, name);
    if (!value) return missing;
    // 128.0 is a whole number too
    double real = json_number_value(value);
    bool whole = json_is_integer(value) || (json_is_real(value) && floor(real) == real && fabs(real) < 0x1p53);
    int64_t number = json_is_integer(value) ? json_integer_value(value) : whole ? (int64_t)real : 0;
    if (whole && number >= min && number <= max) return number;
    char message[96];
    snprintf(message, sizeof message,
             max == INT64_MAX ? "not a whole number of at least %" PRId64
                              : "not a whole number in %" PRId64 "..%" PRId64,
             min, max);
    field_fail(f, name, message);
    return missing;
}

bool field_bool(const fields *f, const char *name, bool missing)
{
    const json_t *value = field_find(f, name);
    if (!value) return missing;
    if (!json_is_boolean(value)) field_fail(f, name, "neither true nor false");
    return json_is_true(value);
}

const char *field_string(const fields *f, const char *name, const char *missing)
{
    const json_t *value = field_find(f, name);
    if (!value) return missing;
    if (json_is_string(value)) return json_string_value(value);
    field_fail(f, name, "not a string");
    return missing;
}

const json_t *field_object(const fields *f, const char *name)
{
    const json_t *value = field_find(f, name);
    if (!value || json_is_object(value)) return value;
    field_fail(f, name, "not an object");
    return NULL;
}

const json_t *field_array(const fields *f, const char *name)
{
    const json_t *value = field_find(f, name);
    if (!value || json_is_array(value)) return value;
    field_fail(f, name, "not an array");
    return NULL;
}

void field_refuse(const fields *f, const char *name)
{
    const json_t *value = field_find(f, name);
    bool nothing = !value || json_is_false(value) || (json_is_number(value) && json_number_value(value) == 0) ||
                   (json_is_string(value) && json_string_length(value) == 0) ||
                   (json_is_array(value) && json_array_size(value) == 0) ||
                   (json_is_object(value) && json_object_size(value) == 0);
    if (!nothing) field_fail(f, name, "not supported");
}

// ---- JSON out

static int append_bytes(const char *data, size_t bytes, void *out)
{
    buffer_append(out, data, bytes);
    return 0;
}

void json_take(buffer *out, json_t *value)
{
    // 15 digits: 0.1 stays 0.1
    if (!value ||
        json_dump_callback(value, append_bytes, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)))
        out->failed = true;
    json_decref(value);
}

json_t *json_text_of(view text)
{
    json_t *value = json_stringn(text.data, text.len);
    return value ? value : json_string("");
}
