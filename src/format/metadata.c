#include "format/metadata.h"

#include <math.h>
#include <string.h>

size_t metadata_number_bytes(uint32_t type)
{
    static const unsigned char BYTES[] = {
        [METADATA_U8] = 1,  [METADATA_I8] = 1,  [METADATA_U16] = 2, [METADATA_I16] = 2,
        [METADATA_U32] = 4, [METADATA_I32] = 4, [METADATA_F32] = 4, [METADATA_BOOL] = 1,
        [METADATA_U64] = 8, [METADATA_I64] = 8, [METADATA_F64] = 8,
    };
    return type < sizeof BYTES ? BYTES[type] : 0;
}

bool metadata_is_unsigned(metadata_type type)
{
    return type == METADATA_U8 || type == METADATA_U16 || type == METADATA_U32 || type == METADATA_U64 ||
           type == METADATA_BOOL;
}

bool metadata_is_signed(metadata_type type)
{
    return type == METADATA_I8 || type == METADATA_I16 || type == METADATA_I32 || type == METADATA_I64;
}

// ---- numbers: little endian, at any address

static uint64_t load_unsigned(const unsigned char *p, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static int64_t load_signed(const unsigned char *p, size_t bytes)
{
    uint64_t value = load_unsigned(p, bytes), sign = (uint64_t)1 << (8 * bytes - 1); // NOLINT: bytes > 0
    return (int64_t)((value ^ sign) - sign);
}

static double load_float(const unsigned char *p, size_t bytes)
{
    uint64_t bits = load_unsigned(p, bytes);
    if (bytes == sizeof(double)) {
        double wide;
        memcpy(&wide, &bits, sizeof wide);
        return wide;
    }
    uint32_t low = (uint32_t)bits;
    float narrow;
    memcpy(&narrow, &low, sizeof narrow);
    return (double)narrow;
}

void metadata_load(metadata_value *value, const unsigned char *bytes)
{
    size_t n = metadata_number_bytes(value->type);
    if (value->type == METADATA_F32 || value->type == METADATA_F64)
        value->f = load_float(bytes, n);
    else if (metadata_is_signed(value->type))
        value->i = load_signed(bytes, n);
    else
        value->u = load_unsigned(bytes, n);
}

// A double beyond int64_t has no integer: converting it would be undefined, so it is clamped, and NaN gives 0.
static int64_t clamp_to_int(double value)
{
    if (!(value > -0x1p63)) return isnan(value) ? 0 : INT64_MIN;
    return value < 0x1p63 ? (int64_t)value : INT64_MAX;
}

int64_t metadata_item_int(const metadata_value *array, uint64_t index)
{
    size_t bytes = metadata_number_bytes(array->item_type);
    const unsigned char *p = array->data + index * bytes;
    if (metadata_is_signed(array->item_type)) return load_signed(p, bytes);
    if (array->item_type == METADATA_F32 || array->item_type == METADATA_F64) return clamp_to_int(load_float(p, bytes));
    uint64_t value = load_unsigned(p, bytes);
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

double metadata_item_float(const metadata_value *array, uint64_t index)
{
    size_t bytes = metadata_number_bytes(array->item_type);
    const unsigned char *p = array->data + index * bytes;
    if (metadata_is_signed(array->item_type)) return (double)load_signed(p, bytes);
    if (metadata_is_unsigned(array->item_type)) return (double)load_unsigned(p, bytes);
    return load_float(p, bytes);
}
