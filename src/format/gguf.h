// GGUF, the single-file checkpoint format of the ggml project, versions 2 and 3, little endian.
// Format page: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#ifndef WELFORD_FORMAT_GGUF_H
#define WELFORD_FORMAT_GGUF_H

#include "format/checkpoint.h"

// Maps and checks the file. The error names the path, the offset or key, and what is wrong.
wf_status gguf_open(const char *path, checkpoint **file, wf_error *err);

// The same on bytes in memory, which must outlive the file; `name` stands for the path in messages. For tests, fuzzing.
wf_status gguf_parse(const unsigned char *data, size_t bytes, const char *name, checkpoint **file, wf_error *err);

// As gguf_parse for a header alone: tensors whose data it does not hold have none (NULL).
wf_status gguf_parse_header(const unsigned char *data, size_t bytes, const char *name, checkpoint **file,
                            wf_error *err);

// As gguf_open for a file that was cut short after its header: tensors may lie beyond its end; their data is then NULL.
wf_status gguf_open_header(const char *path, checkpoint **file, wf_error *err);

#endif
