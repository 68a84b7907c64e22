// Opening a checkpoint, whatever its form: a GGUF file, one of several parts of a split GGUF checkpoint, a folder of
// Hugging Face files (hf.h), or a .wf file (bundle.h), whose tensors have no data. Later parts of welford see one thing
// only, a checkpoint.
#ifndef WELFORD_FORMAT_CHECKPOINT_OPEN_H
#define WELFORD_FORMAT_CHECKPOINT_OPEN_H

#include "format/checkpoint.h"

// Opens `path`. A file named NAME-0000i-of-0000N.gguf with N > 1 stands for all N parts, which must agree.
// Free with checkpoint_close.
wf_status checkpoint_open(const char *path, checkpoint **file, wf_error *err);

// The same, but tensors' data may lie beyond the end of a file: see gguf_open_header in gguf.h.
wf_status checkpoint_open_header(const char *path, checkpoint **file, wf_error *err);

// Whether a path is that of one part of several: *stem bytes, "-0000i-of-0000N.gguf"; *count: N.
// Both mean nothing where it is not.
bool checkpoint_is_split(const char *path, size_t *stem, long *count);

#endif
