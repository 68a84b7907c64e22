#include "format/tensor_type.h"

#include <string.h>

// Name, values and bytes of a block, in safetensors. Those have no values whose name is known, but whose blocks welford
// does not read.
static const tensor_layout LAYOUTS[] = {
    [TENSOR_F32] = {"F32", 1, 4, true},
    [TENSOR_F16] = {"F16", 1, 2, true},
    [TENSOR_Q4_0] = {"Q4_0", 32, 18, false},
    [TENSOR_Q4_1] = {"Q4_1", 32, 20, false},
    [TENSOR_Q5_0] = {"Q5_0", 32, 22, false},
    [TENSOR_Q5_1] = {"Q5_1", 32, 24, false},
    [TENSOR_Q8_0] = {"Q8_0", 32, 34, false},
    [TENSOR_Q8_1] = {"Q8_1", 32, 36, false},
    [TENSOR_Q2_K] = {"Q2_K", 256, 84, false},
    [TENSOR_Q3_K] = {"Q3_K", 256, 110, false},
    [TENSOR_Q4_K] = {"Q4_K", 256, 144, false},
    [TENSOR_Q5_K] = {"Q5_K", 256, 176, false},
    [TENSOR_Q6_K] = {"Q6_K", 256, 210, false},
    [TENSOR_Q8_K] = {"Q8_K", 256, 292, false},
    [TENSOR_I8] = {"I8", 1, 1, false},
    [TENSOR_I16] = {"I16", 1, 2, false},
    [TENSOR_I32] = {"I32", 1, 4, false},
    [TENSOR_I64] = {"I64", 1, 8, false},
    [TENSOR_F64] = {"F64", 1, 8, false},
    [TENSOR_BF16] = {"BF16", 1, 2, true},
    [16] = {"IQ2_XXS", 0, 0, false},
    [17] = {"IQ2_XS", 0, 0, false},
    [18] = {"IQ3_XXS", 0, 0, false},
    [19] = {"IQ1_S", 0, 0, false},
    [20] = {"IQ4_NL", 0, 0, false},
    [21] = {"IQ3_S", 0, 0, false},
    [22] = {"IQ2_S", 0, 0, false},
    [23] = {"IQ4_XS", 0, 0, false},
    [29] = {"IQ1_M", 0, 0, false},
    [34] = {"TQ1_0", 0, 0, false},
    [35] = {"TQ2_0", 0, 0, false},
    [39] = {"MXFP4", 0, 0, false},
};

enum { N_KNOWN = sizeof LAYOUTS / sizeof *LAYOUTS };

const char *tensor_type_name(uint32_t type)
{
    return type < N_KNOWN && LAYOUTS[type].name ? LAYOUTS[type].name : "unknown";
}

const tensor_layout *tensor_type_layout(uint32_t type)
{
    return type < N_KNOWN && LAYOUTS[type].block_values ? &LAYOUTS[type] : NULL;
}

bool tensor_type_of_dtype(const char *dtype, tensor_type *type)
{
    for (uint32_t i = 0; i < N_KNOWN; i++) {
        if (!LAYOUTS[i].in_safetensors || strcmp(LAYOUTS[i].name, dtype)) continue;
        *type = (tensor_type)i;
        return true;
    }
    return false;
}
