#include "tool/info_value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <utf8proc.h>

#include "tool/model_options.h"

enum {
    ITEMS_SHOWN = 8, // of an array
    TEXT_SHOWN = 72, // bytes of a string in the text form
};

static const char *const TYPE_NAMES[] = {
    [METADATA_U8] = "u8",         [METADATA_I8] = "i8",       [METADATA_U16] = "u16", [METADATA_I16] = "i16",
    [METADATA_U32] = "u32",       [METADATA_I32] = "i32",     [METADATA_F32] = "f32", [METADATA_BOOL] = "bool",
    [METADATA_STRING] = "string", [METADATA_ARRAY] = "array", [METADATA_U64] = "u64", [METADATA_I64] = "i64",
    [METADATA_F64] = "f64",
};

const char *value_type_name(metadata_type type) { return TYPE_NAMES[type]; }

void print_escaped(view text, size_t limit, bool quotes)
{
    size_t i = 0;
    while (i < text.len && i < limit) {
        utf8proc_int32_t c;
        size_t left = text.len - i;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.data + i, (utf8proc_ssize_t)left, &c);
        if (n <= 0) {
            fputs("\xef\xbf\xbd", stdout);
            i++;
            continue;
        }
        bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
        if (c == '\n')
            fputs("\\n", stdout);
        else if (control)
            printf("\\u%04x", (unsigned)c);
        else if (quotes && (c == '"' || c == '\\'))
            printf("\\%c", (char)c);
        else
            fwrite(text.data + i, 1, (size_t)n, stdout);
        i += (size_t)n;
    }
}

static void print_quoted(view text)
{
    putchar('"');
    print_escaped(text, TEXT_SHOWN, true);
    fputs(text.len > TEXT_SHOWN ? "…\"" : "\"", stdout);
}

void print_text_string(view text)
{
    print_escaped(text, TEXT_SHOWN, false);
    if (text.len > TEXT_SHOWN) printf("… (%zu bytes)", text.len);
}

// With as few digits as give the value back in its own type. JSON has no infinity and no nan.
static void print_float(double value, metadata_type type, bool json)
{
    char text[32];
    if (!isfinite(value)) {
        fputs(json ? "null" : isnan(value) ? "nan" : value < 0 ? "-inf" : "inf", stdout);
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (type == METADATA_F32 ? (float)back == (float)value : back == value) break;
    }
    fputs(text, stdout);
}

static void print_item(const metadata_value *array, uint64_t i, bool json)
{
    if (array->item_type == METADATA_STRING) {
        if (json)
            print_json_string(stdout, array->strings[i]);
        else
            print_quoted(array->strings[i]);
    } else if (array->item_type == METADATA_F32 || array->item_type == METADATA_F64) {
        print_float(metadata_item_float(array, i), array->item_type, json);
    } else if (array->item_type == METADATA_BOOL) {
        fputs(metadata_item_int(array, i) ? "true" : "false", stdout);
    } else {
        printf("%" PRId64, metadata_item_int(array, i));
    }
}

static void print_array(const metadata_value *array, bool json)
{
    uint64_t shown = array->count < ITEMS_SHOWN ? array->count : ITEMS_SHOWN;
    if (json)
        printf("{\"type\": \"%s\", \"count\": %" PRIu64 ", \"first\": ", TYPE_NAMES[array->item_type], array->count);
    putchar('[');
    for (uint64_t i = 0; i < shown; i++) {
        if (i) fputs(", ", stdout);
        print_item(array, i, json);
    }
    fputs(!json && shown < array->count ? ", …]" : "]", stdout);
    if (json) putchar('}');
    if (!json && shown < array->count) printf(" (%" PRIu64 " items)", array->count);
}

void print_value(const metadata_value *value, bool json)
{
    switch (value->type) {
    case METADATA_STRING:
        if (json)
            print_json_string(stdout, value->s);
        else
            print_text_string(value->s);
        break;
    case METADATA_ARRAY: print_array(value, json); break;
    case METADATA_F32:
    case METADATA_F64: print_float(value->f, value->type, json); break;
    case METADATA_BOOL: fputs(value->u ? "true" : "false", stdout); break;
    case METADATA_I8:
    case METADATA_I16:
    case METADATA_I32:
    case METADATA_I64: printf("%" PRId64, value->i); break;
    default: printf("%" PRIu64, value->u); break;
    }
}
