// A checkpoint in memory, whatever files it came from (checkpoint_open.h): metadata values and tensors by name. Keys
// and tensor names are GGUF's, also where the files are Hugging Face's, so that later parts know one vocabulary.
//
// Files are mapped read-only; every size, offset, count, type, name and string length is checked once by the reader of
// the format, so later parts can use what they see here without checks of their own.
#ifndef WELFORD_FORMAT_CHECKPOINT_H
#define WELFORD_FORMAT_CHECKPOINT_H

#include "base/arena.h"
#include "base/file.h"
#include "base/status.h"
#include "base/view.h"
#include "format/metadata.h"
#include "format/tensor_type.h"

typedef struct checkpoint_tensor {
    view name;
    tensor_type type;
    uint32_t n_dims; // 1..4
    int64_t dims[4]; // dims[0] is contiguous: a linear weight [rows, cols] has dims {cols, rows}; unused ones are 1
    const unsigned char *data; // into the map, aligned to the file's alignment
    size_t offset;             // of data in the file
    size_t bytes;
} checkpoint_tensor;

typedef struct checkpoint checkpoint;

void checkpoint_close(checkpoint *file);

const char *checkpoint_path(const checkpoint *file);
uint32_t checkpoint_gguf_version(const checkpoint *file); // 0: not from a GGUF file
size_t checkpoint_alignment(const checkpoint *file);      // of tensors in a GGUF file, bytes; else 0
// The header: all that says what the file holds, without the tensors' data; *header_bytes is its size, *bytes that of
// all parts. Of a file opened or parsed the header is the beginning of its only part.
const unsigned char *checkpoint_bytes(const checkpoint *file, size_t *bytes, size_t *header_bytes);
// The mapped files, or the memory, in which the tensors' data lie.
size_t checkpoint_part_count(const checkpoint *file);
view checkpoint_part(const checkpoint *file, size_t index);
// Whether that is a file's own map, not memory of somebody else.
bool checkpoint_part_is_mapped(const checkpoint *file, size_t index);
// Changes with that of each file; 0 where the memory is the caller's.
int64_t checkpoint_mtime_ns(const checkpoint *file);

size_t checkpoint_value_count(const checkpoint *file);
const metadata_value *checkpoint_value_at(const checkpoint *file, size_t index);
const metadata_value *checkpoint_find(const checkpoint *file, const char *key); // NULL when absent; O(log n)
size_t checkpoint_tensor_count(const checkpoint *file);
const checkpoint_tensor *checkpoint_tensor_at(const checkpoint *file, size_t index);
const checkpoint_tensor *checkpoint_find_tensor(const checkpoint *file, const char *name); // NULL when absent; O(log n)

// Typed access. Integer getters accept any integer type whose value is in [min, max]; a wrong type or value is
// WF_ERROR_FORMAT and names path and key. An absent key is an error too, unless the getter is given a fallback.
wf_status checkpoint_get_int(const checkpoint *file, const char *key, int64_t min, int64_t max, int64_t *value,
                             wf_error *err);
wf_status checkpoint_get_float(const checkpoint *file, const char *key, double *value, wf_error *err); // finite
wf_status checkpoint_get_string(const checkpoint *file, const char *key, view *value, wf_error *err);
wf_status checkpoint_get_bool(const checkpoint *file, const char *key, bool *value, wf_error *err);
// As above; an absent key leaves *value as it is.
wf_status checkpoint_get_int_or(const checkpoint *file, const char *key, int64_t min, int64_t max, int64_t *value,
                                wf_error *err);
wf_status checkpoint_get_float_or(const checkpoint *file, const char *key, double *value, wf_error *err);
wf_status checkpoint_get_string_or(const checkpoint *file, const char *key, view *value, wf_error *err);
wf_status checkpoint_get_bool_or(const checkpoint *file, const char *key, bool *value, wf_error *err);
// A number or bool of any type, as a float.
wf_status checkpoint_get_number_or(const checkpoint *file, const char *key, double *value, wf_error *err);

// The id of a token, an integer of any type. -1 when the key is absent, or names no token: what converters write for
// "none" (-1, 4294967295) or an id beyond the vocabulary of `n_tokens`, as llama.cpp takes it.
wf_status checkpoint_get_token(const checkpoint *file, const char *key, int64_t n_tokens, int32_t *id, wf_error *err);
// Whether the key is there, but names no token.
bool checkpoint_token_is_bad(const checkpoint *file, const char *key, int64_t n_tokens);

// ---- for readers of formats
//
// They create a checkpoint empty, fill it, then finish it. Structs are copied, but not what their views point to: that
// belongs to the checkpoint's own memory (checkpoint_memory) or to a map or part which it took over.

wf_status checkpoint_create(const char *path, checkpoint **file, wf_error *err);
arena *checkpoint_memory(checkpoint *file);
void checkpoint_set_gguf(checkpoint *file, uint32_t version, size_t alignment);
// Memory of the caller, which must outlive the file.
wf_status checkpoint_lend_part(checkpoint *file, view bytes, wf_error *err);
// The same of a map that the caller keeps, whose pages may be let go.
wf_status checkpoint_lend_map(checkpoint *file, const file_map *map, wf_error *err);
// Takes over the map, or the file with its only part; on failure it is closed.
wf_status checkpoint_take_map(checkpoint *file, file_map *map, wf_error *err);
wf_status checkpoint_take_part(checkpoint *file, checkpoint *part, wf_error *err);
wf_status checkpoint_add_value(checkpoint *file, const metadata_value *value, wf_error *err);
wf_status checkpoint_add_tensor(checkpoint *file, const checkpoint_tensor *tensor, wf_error *err);
// WF_ERROR_FORMAT when a key or a tensor's name occurs twice. `header` is what checkpoint_bytes gives. May be called
// again after more was added.
wf_status checkpoint_finish(checkpoint *file, view header, wf_error *err);

#endif
