// Any bytes as a prompt cache, as such and with magic, model and checksum put right, so that what they guard is
// reached: refused with one line and the session as it was, or restored with tokens that are the model's.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/session_file.h"
#include "format/gguf.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

enum { SUM_AT = 8, SUMMED_FROM = 16, IDENTITY_AT = 16, IDENTITY_BYTES = 32, HEADER = 64 }; // session_file.h
enum { VOCABULARY = 300, CONTEXT = 96, PAST = 3 };

static void check(bool holds)
{
    if (!holds) abort();
}

typedef struct place {
    compiled_model m;
    wf_model model;
    program_area areas[BASE_COUNT];
    thread_pool *pool;
    session *s;
    char header[HEADER]; // of a good file
    int fd;
    char path[64];
} place;

// A model without calls, kept from run to run.
static void set_up(place *p)
{
    static const char GGUF[24] = "GGUF\3"; // no tensors, no values
    const kv_layout kv = {.n_layer = 2, .n_kv_heads = 1, .head_dim = 4};
    p->m.executable.program = (program){.name = "fuzz",
                                        .architecture = "fuzz",
                                        .n_vocab = VOCABULARY,
                                        .n_ctx_train = CONTEXT + 32,
                                        .n_embd = 8,
                                        .kv = kv};
    program_set_sequence(&p->m.executable.program, affine_of(DIM_TOKENS, 64), 0, p->areas);
    p->m.sizes = (model_sizes){VOCABULARY, CONTEXT + 32, kv};
    p->model.compiled = &p->m;
    check(gguf_parse((const unsigned char *)GGUF, sizeof GGUF, "fuzz", &p->m.file, NULL) == WF_OK);
    check(thread_pool_create(1, &p->pool, NULL) == WF_OK);
    check(session_create(&p->m, p->pool, CONTEXT, 0, &p->s, NULL) == WF_OK);
    char path[] = "/tmp/welford-session-fuzz-XXXXXX";
    p->fd = mkstemp(path);
    check(p->fd >= 0 && !close(p->fd) && session_save(p->s, &p->model, path, NULL) == WF_OK);
    p->fd = open(path, O_RDONLY | O_CLOEXEC);
    check(p->fd >= 0 && read(p->fd, p->header, HEADER) == HEADER && !close(p->fd) && !remove(path));
    p->fd = memfd_create("fuzz", MFD_CLOEXEC);
    check(p->fd >= 0);
    snprintf(p->path, sizeof p->path, "/proc/self/fd/%d", p->fd);
}

static void restore(place *p, const unsigned char *data, size_t bytes)
{
    static const int32_t TOKENS[PAST] = {1, 2, 3};
    wf_error err = {0};
    bool restored;
    check(session_truncate(p->s, 0, NULL) == WF_OK && session_eval(p->s, TOKENS, PAST, PAST, NULL) == WF_OK);
    check(!ftruncate(p->fd, 0) && pwrite(p->fd, data, bytes, 0) == (ssize_t)bytes);
    wf_status checked = session_file_check(&p->model, CONTEXT, p->path, &err);
    wf_status status = session_restore(p->s, &p->model, p->path, &restored, &err);
    check(status == checked || (checked == WF_OK && status == WF_ERROR_USAGE)); // an id that is none
    if (status != WF_OK) {
        check(err.message[0] && !strchr(err.message, '\n') && !restored);
        check(session_past(p->s) == PAST && session_tokens(p->s)[PAST - 1] == PAST);
        return;
    }
    int64_t n = session_past(p->s);
    for (int64_t i = 0; i < n && restored; i++)
        check(session_tokens(p->s)[i] >= 0 && session_tokens(p->s)[i] < VOCABULARY);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    static place p;
    if (!p.s) set_up(&p);
    restore(&p, data, bytes);
    if (bytes < HEADER) return 0;
    unsigned char *copy = malloc(bytes);
    check(copy != NULL);
    memcpy(copy, data, bytes);
    memcpy(copy, p.header, SUM_AT);
    memcpy(copy + IDENTITY_AT, p.header + IDENTITY_AT, IDENTITY_BYTES);
    uint64_t sum = XXH3_64bits(copy + SUMMED_FROM, bytes - SUMMED_FROM);
    memcpy(copy + SUM_AT, &sum, sizeof sum);
    restore(&p, copy, bytes);
    free(copy);
    return 0;
}
