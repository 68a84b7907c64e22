// Split GGUF checkpoints (the llama.cpp tool gguf-split): part i of N, counted from 1 in the name and from 0 in
// split.no, has its own tensor table; the first part has the metadata. Every part says split.count = N, the first one
// split.tensors.count, the tensors of all parts.
#include "format/checkpoint_open.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "format/bundle.h"
#include "format/gguf.h"
#include "format/hf.h"

enum { NUMBER = 5, SUFFIX = sizeof "-00001-of-00002.gguf" - 1 };

static bool read_number(const char *text, long *number)
{
    *number = 0;
    for (int i = 0; i < NUMBER; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        *number = 10 * *number + text[i] - '0';
    }
    return true;
}

bool checkpoint_is_split(const char *path, size_t *stem, long *count)
{
    size_t n = strlen(path);
    long index;
    if (n <= SUFFIX) return false;
    *stem = n - SUFFIX;
    const char *s = path + *stem;
    return s[0] == '-' && read_number(s + 1, &index) && !memcmp(s + 6, "-of-", 4) && read_number(s + 10, count) &&
           !strcmp(s + 15, ".gguf") && index >= 1 && index <= *count && *count > 1;
}

static wf_status check_part(const checkpoint *part, long index, long count, wf_error *err)
{
    int64_t number;
    TRY(checkpoint_get_int(part, "split.no", 0, UINT16_MAX, &number, err));
    if (number != index)
        return error_set(err, WF_ERROR_FORMAT, "%s: split.no is %lld, by its name it is part %ld",
                         checkpoint_path(part), (long long)number, index);
    TRY(checkpoint_get_int(part, "split.count", 0, UINT16_MAX, &number, err));
    if (number != count)
        return error_set(err, WF_ERROR_FORMAT, "%s: split.count is %lld, by its name there are %ld parts",
                         checkpoint_path(part), (long long)number, count);
    return WF_OK;
}

static wf_status add_part(checkpoint *whole, checkpoint *part, bool first, buffer *header, wf_error *err)
{
    size_t bytes, header_bytes;
    const unsigned char *data = checkpoint_bytes(part, &bytes, &header_bytes);
    buffer_append(header, data, header_bytes);
    for (size_t i = 0; i < checkpoint_value_count(part) && first; i++)
        TRY(checkpoint_add_value(whole, checkpoint_value_at(part, i), err));
    for (size_t i = 0; i < checkpoint_tensor_count(part); i++)
        TRY(checkpoint_add_tensor(whole, checkpoint_tensor_at(part, i), err));
    return WF_OK;
}

static wf_status open_parts(const char *path, size_t stem, long count, bool header_only, checkpoint *whole,
                            buffer *header, wf_error *err)
{
    char name[PATH_MAX];
    if (stem + SUFFIX >= sizeof name) return error_set(err, WF_ERROR_IO, "%s: the path is too long", path);
    for (long i = 0; i < count; i++) {
        checkpoint *part;
        snprintf(name, sizeof name, "%.*s-%05ld-of-%05ld.gguf", (int)stem, path, i + 1, count);
        TRY(header_only ? gguf_open_header(name, &part, err) : gguf_open(name, &part, err));
        TRY(checkpoint_take_part(whole, part, err));
        TRY(check_part(part, i, count, err));
        TRY(add_part(whole, part, i == 0, header, err));
    }
    return WF_OK;
}

static wf_status check_whole(const checkpoint *whole, wf_error *err)
{
    int64_t n_tensors = (int64_t)checkpoint_tensor_count(whole);
    TRY(checkpoint_get_int_or(whole, "split.tensors.count", 0, INT64_MAX, &n_tensors, err));
    if ((size_t)n_tensors == checkpoint_tensor_count(whole)) return WF_OK;
    return error_set(err, WF_ERROR_FORMAT, "%s: split.tensors.count is %lld, but the parts hold %zu tensors",
                     checkpoint_path(whole), (long long)n_tensors, checkpoint_tensor_count(whole));
}

static wf_status open_split(const char *path, size_t stem, long count, bool header_only, checkpoint **file,
                            wf_error *err)
{
    checkpoint *whole;
    buffer header = {0};
    TRY(checkpoint_create(path, &whole, err));
    wf_status status;
    TRY_GOTO(open_parts(path, stem, count, header_only, whole, &header, err), done);
    char *copy = arena_strdup(checkpoint_memory(whole), buffer_view(&header));
    if (!copy || header.failed) {
        status = error_memory(err, header.len);
        goto done;
    }
    TRY_GOTO(checkpoint_finish(whole, (view){copy, header.len}, err), done);
    status = check_whole(whole, err);
done:
    buffer_free(&header);
    if (status == WF_OK)
        *file = whole;
    else
        checkpoint_close(whole);
    return status;
}

static wf_status open_bundle(const char *path, checkpoint **file, wf_error *err)
{
    bundle b;
    TRY(bundle_open(path, &b, err));
    wf_status status = bundle_checkpoint(&b, true, file, err);
    bundle_close(&b);
    return status;
}

static wf_status open_any(const char *path, bool header_only, checkpoint **file, wf_error *err)
{
    struct stat st;
    size_t stem;
    long count;
    *file = NULL;
    if (!stat(path, &st) && S_ISDIR(st.st_mode)) return hf_open(path, header_only, file, err);
    if (checkpoint_is_split(path, &stem, &count)) return open_split(path, stem, count, header_only, file, err);
    if (bundle_is(path)) return open_bundle(path, file, err);
    return header_only ? gguf_open_header(path, file, err) : gguf_open(path, file, err);
}

wf_status checkpoint_open(const char *path, checkpoint **file, wf_error *err)
{
    return open_any(path, false, file, err);
}

wf_status checkpoint_open_header(const char *path, checkpoint **file, wf_error *err)
{
    return open_any(path, true, file, err);
}
