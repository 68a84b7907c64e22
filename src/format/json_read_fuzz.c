// Any bytes: read, or one line that says why not; what jansson reads is read alike.
#include "format/json_read.h"

#include <stdlib.h>
#include <string.h>

static void check(bool good)
{
    if (!good) abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    json_t *root, *strict;
    json_error_t reason;
    wf_error err = {0};
    view text = {(const char *)data, bytes}, wide;
    wf_status status = json_read(text, "fuzz", JSON_RULES_PYTHON, &root, &err);
    check(status == WF_OK ? root != NULL : err.message[0] && !strchr(err.message, '\n'));
    bool has_nul = bytes && memchr(data, 0, bytes); // to jansson the end of the text
    json_t *other = has_nul ? NULL : json_loadb((const char *)data, bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &reason);
    if (other) check(json_equal(root, other));
    if (root && json_is_wide(root, &wide)) check(wide.len > 0);
    if (json_read(text, "fuzz", JSON_RULES_STRICT, &strict, &err) == WF_OK) check(root && json_equal(root, strict));
    json_decref(strict);
    json_decref(other);
    json_decref(root);
    return 0;
}
