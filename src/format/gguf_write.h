// Writes the header of a GGUF file: what a checkpoint says of itself and of its tensors, without their data.
#ifndef WELFORD_FORMAT_GGUF_WRITE_H
#define WELFORD_FORMAT_GGUF_WRITE_H

#include "base/buffer.h"
#include "format/checkpoint.h"

// Appends a header that gguf_parse_header reads. `more` values come after the checkpoint's own, of which those with the
// same keys are left out.
void gguf_write_header(const checkpoint *file, const metadata_value *more, size_t n_more, buffer *out);

#endif
