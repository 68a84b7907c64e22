#include "compiler/registry.h"

#include "compiler/kernel/attention/attention_apart.h"
#include "compiler/kernel/ceiling.h"
#include "compiler/kernel/linear/linear.h"
#include "compiler/kernel/norm/norm.h"
#include "compiler/kernel/rows/embed.h"
#include "compiler/kernel/rows/rope.h"
#include "compiler/kernel/rows/rowwise.h"
#include "compiler/kernel/rows/store_rows.h"
#include "compiler/nest/nest.h"
#include "compiler/nest/routine.h"

const kernel_kind *const KERNELS[] = {
    &EMBED_KERNEL,
    &RMS_NORM_KERNEL,
    &LAYER_NORM_KERNEL,
    &HEAD_NORM_KERNEL,
    &LINEAR_KERNEL,
    &ROPE_KERNEL,
    &ROPE_STORE_KERNEL,
    &KV_STORE_KERNEL,
    &STORE_ROWS_KERNEL,
    &ATTENTION_KERNEL,
    &ATTENTION_MERGE_KERNEL,
    &ATTENTION_SCORES_KERNEL,
    &ATTENTION_SOFTMAX_KERNEL,
    &ATTENTION_VALUES_KERNEL,
    &ROWWISE_KERNELS[ROWWISE_ADD],
    &ROWWISE_KERNELS[ROWWISE_SWIGLU],
    &ROWWISE_KERNELS[ROWWISE_GEGLU],
    &ROWWISE_KERNELS[ROWWISE_SOFTCAP],
    &ROWWISE_KERNELS[ROWWISE_QUANTIZE],
    &ROWWISE_KERNELS[ROWWISE_GATHER],
    &NEST_KERNEL,
    &ROUTINE_KERNEL,
    &CEILING_KERNEL,
    NULL,
};
