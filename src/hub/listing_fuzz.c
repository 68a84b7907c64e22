// Any bytes as the hub's answer: refused with one line, or a listing of safe names, from which a choice is made.
#include <stdlib.h>
#include <string.h>

#include "hub/listing.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void check(bool holds)
{
    if (!holds) abort();
}

static void check_choice(hub_listing *l, const char *text)
{
    hub_name name;
    hub_choice choice;
    wf_error err = {0};
    check(hub_parse_name(text, &name, &err) == WF_OK);
    if (hub_choose(l, &name, &choice, &err) != WF_OK) {
        check(err.message[0] && !strchr(err.message, '\n'));
        return;
    }
    check(choice.count >= 1 && choice.count <= l->count && choice.path);
    for (size_t i = 0; i < choice.count; i++) {
        check(choice.files[i] >= l->files && choice.files[i] < l->files + l->count);
        for (size_t k = 0; k < i; k++) check(choice.files[k] != choice.files[i]);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    hub_listing l;
    wf_error err = {0};
    if (hub_listing_parse("fuzz", (view){(const char *)data, bytes}, &l, &err) != WF_OK) {
        check(err.message[0] && !strchr(err.message, '\n'));
        return 0;
    }
    check(hub_is_commit(l.commit));
    for (size_t i = 0; i < l.count; i++) {
        const hub_file *file = &l.files[i];
        check(hub_is_safe_path(file->path) && file->bytes >= -1 && (!file->etag[0] || hub_is_etag(file->etag)));
        check((file->bytes < 0) == !file->etag[0]);
    }
    check_choice(&l, "owner/name");
    check_choice(&l, "hf:owner/name/model-00002-of-00003.gguf");
    hub_listing_free(&l);
    return 0;
}
