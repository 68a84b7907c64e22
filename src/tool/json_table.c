#include "tool/json_table.h"

#include <limits.h>
#include <string.h>

const char *json_text(const json_t *object, const char *field, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, field));
    return text ? text : otherwise;
}

int json_width(const json_t *objects, const char *field, size_t width)
{
    const json_t *object;
    size_t i;
    json_array_foreach(objects, i, object)
    {
        size_t n = strlen(json_text(object, field, ""));
        if (n > width) width = n;
    }
    return width < INT_MAX ? (int)width : INT_MAX;
}
