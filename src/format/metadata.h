// Metadata values: what a checkpoint says about itself, key by key. Types and bytes are those of GGUF.
// Format page: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#ifndef WELFORD_FORMAT_METADATA_H
#define WELFORD_FORMAT_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

// Metadata value types, numbered as in GGUF.
typedef enum metadata_type {
    METADATA_U8 = 0,
    METADATA_I8,
    METADATA_U16,
    METADATA_I16,
    METADATA_U32,
    METADATA_I32,
    METADATA_F32,
    METADATA_BOOL,
    METADATA_STRING,
    METADATA_ARRAY,
    METADATA_U64,
    METADATA_I64,
    METADATA_F64,
} metadata_type;

typedef struct metadata_value {
    view key;
    metadata_type type;
    metadata_type item_type; // of an array
    uint64_t count;          // items of an array, else 1
    union {
        uint64_t u; // U8 U16 U32 U64 BOOL
        int64_t i;  // I8 .. I64
        double f;   // F32 F64
        view s;     // STRING
    };
    const view *strings;       // array of STRING: count views; else NULL
    const unsigned char *data; // array of numbers: count items, little endian, NOT aligned; else NULL
} metadata_value;

// Bytes of a number or bool; 0 for STRING, ARRAY and types that do not exist.
size_t metadata_number_bytes(uint32_t type);
bool metadata_is_signed(metadata_type type);   // I8 .. I64
bool metadata_is_unsigned(metadata_type type); // U8 .. U64, BOOL

// Reads a number or bool of `value->type` from its little-endian bytes into the union.
void metadata_load(metadata_value *value, const unsigned char *bytes);

// Item `index` of an array of numbers (index < count), as integer or float.
int64_t metadata_item_int(const metadata_value *array, uint64_t index);
double metadata_item_float(const metadata_value *array, uint64_t index);

#endif
