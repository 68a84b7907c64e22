// A session's state in a file, so that a long prompt is evaluated once for many runs (--prompt-cache).
//
//     0    magic (base/versions.h)
//     8    u64 XXH3-64 of all that follows
//     16   32 hex digits: compiled_model_identity
//     48   u64 tokens
//     56   u64 bytes of keys and values
//     64   i32 ids, zero bytes up to a multiple of 64
//          keys and values: session_get_state
#ifndef WELFORD_ENGINE_SESSION_FILE_H
#define WELFORD_ENGINE_SESSION_FILE_H

#include "engine/model.h"
#include "engine/session.h"

// Writes the state of `s`, so that whoever reads sees the old file or the whole new one.
wf_status session_save(const session *s, const wf_model *m, const char *path, wf_error *err);

// What session_restore would refuse, before the model is loaded, for a context of n_ctx tokens.
wf_status session_file_check(const wf_model *m, int64_t n_ctx, const char *path, wf_error *err);

// Makes the session's sequence that of the file. *restored: false when there is no such file. WF_ERROR_FORMAT: damaged;
// WF_ERROR_UNSUPPORTED: of another model; WF_ERROR_LIMIT: longer than the context. The session is as before then.
wf_status session_restore(session *s, const wf_model *m, const char *path, bool *restored, wf_error *err);

#endif
