// The types of weights that welford packs and multiplies: one row each, which says all that differs between them. Who
// packs, unpacks, quantises, declares or compiles weights finds it here.
#ifndef WELFORD_RUNTIME_WEIGHT_WEIGHT_TYPE_H
#define WELFORD_RUNTIME_WEIGHT_WEIGHT_TYPE_H

#include "base/status.h"
#include "format/tensor_type.h"
#include "runtime/weight/layout.h"

// In what form weights of a type are multiplied with activations.
typedef enum activation_form {
    ACTIVATION_F32,  // f32
    ACTIVATION_BF16, // f32 in memory; the kernel rounds it to bf16 where the CPU multiplies pairs of these
    ACTIVATION_Q8,   // 8-bit blocks (compiler/kernel/rows/q8.h) in memory
} activation_form;

typedef struct weight_type weight_type;

// 16 rows of `cols` values as the file has them, `row_bytes` apart and of any alignment, to a panel of the layout.
typedef void panel_pack_fn(const unsigned char *rows, size_t row_bytes, int64_t cols, unsigned char *out);
// Row `row` (0..15) of a panel to f32.
typedef void panel_unpack_fn(const weight_type *t, const unsigned char *panel, size_t row, size_t cols, float *out);
// n values between f32 and the file's form.
typedef void widen_fn(const unsigned char *in, int64_t n, float *out);
typedef void narrow_fn(const float *in, int64_t n, unsigned char *out);

struct weight_type {
    weight_layout layout; // of matrices in a pack; also the row's place in the table
    tensor_type tensor;   // in a checkpoint
    const char *name;     // that of the type in MLIR: f32, f16 and bf16 are its own, the quantised ones !wf.NAME
    const char *layout_name;
    activation_form activation;
    panel_pack_fn *pack;
    panel_unpack_fn *unpack;
    widen_fn *widen;    // floats only: what can be a vector, and what can be packed in another type
    narrow_fn *narrow;  // NULL: float matrices cannot be packed in this type
    bool pairs;         // of floats: two columns lie side by side
    quant_format quant; // blocks == 0: floats
};

// The row of a type, of a layout, of a name; NULL: there is none. VECTOR_F32 is no matrix's layout.
const weight_type *weight_type_of(tensor_type type);
const weight_type *weight_type_in(weight_layout layout);
const weight_type *weight_type_named(const char *name, size_t length);

static inline bool weight_type_is_quantised(const weight_type *t) { return t->quant.blocks > 0; }
// Bytes of n values in a file: whole blocks.
size_t weight_type_file_bytes(const weight_type *t, int64_t n);

// The type in which float matrices shall be packed, by its name. NULL or "": as stored, *asked = NULL. WF_ERROR_USAGE,
// with a list, for any other name than those of types that have `narrow`.
wf_status weight_type_parse(const char *name, const weight_type **asked, wf_error *err);

// The type in which a matrix of `cols` columns is packed that is stored as `stored`, when `asked` (NULL: none) is asked
// for: floats take it, unless a row is no multiple of the type's blocks; everything else stays as stored. NULL: weights
// cannot be stored so.
const weight_type *weight_type_packed(tensor_type stored, int64_t cols, const weight_type *asked);

#endif
