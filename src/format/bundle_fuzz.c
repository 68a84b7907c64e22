// Any bytes as a .wf file, with checksums that fit: bundle_parse refuses them with one line, or every section lies in
// them, and so does what the metadata says.
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "format/bundle.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void check(bool holds)
{
    if (!holds) abort();
}

// What a fuzzer does not find by itself: magic, size and checksums.
static void mend(unsigned char *file, size_t bytes)
{
    memcpy(file, "WFFILE01", 8);
    uint64_t size = bytes;
    memcpy(file + 16, &size, 8);
    for (size_t at = 32; at + 128 <= BUNDLE_ALIGNMENT; at += 128) {
        uint64_t offset = load_u64(file + at + 8), length = load_u64(file + at + 16);
        if (file[at] != BUNDLE_METADATA || offset > bytes || length > bytes - offset) continue;
        uint64_t sum = XXH3_64bits(file + offset, length);
        memcpy(file + at + 24, &sum, 8);
    }
    uint64_t sum = XXH3_64bits(file + 16, BUNDLE_ALIGNMENT - 16);
    memcpy(file + 8, &sum, 8);
}

static void check_bundle(bundle *b, view file)
{
    wf_error err;
    checkpoint *c;
    check(b->n_sections <= BUNDLE_MAX_SECTIONS && bundle_find(b, BUNDLE_PROGRAM));
    for (uint32_t i = 0; i < b->n_sections; i++) {
        const bundle_section *s = &b->sections[i];
        check(s->bytes.data >= file.data && s->bytes.len <= (size_t)(file.data + file.len - s->bytes.data));
        check(strlen(s->cpu) < BUNDLE_CPU_CHARS);
    }
    if (bundle_checkpoint(b, false, &c, &err) == WF_OK) {
        for (size_t i = 0; i < checkpoint_value_count(c); i++) check(checkpoint_value_at(c, i)->key.len > 0);
        checkpoint_close(c);
    } else {
        check(!c && err.message[0] && !strchr(err.message, '\n'));
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    wf_error err;
    bundle b;
    unsigned char *file = malloc(bytes + 1);
    if (!file) return 0;
    memcpy(file, data, bytes);
    if (bytes >= BUNDLE_ALIGNMENT) mend(file, bytes);
    view all = {(const char *)file, bytes};
    if (bundle_parse(all, "fuzz", &b, &err) == WF_OK)
        check_bundle(&b, all);
    else
        check(err.message[0] && !strchr(err.message, '\n'));
    bundle_close(&b);
    free(file);
    return 0;
}
