// Any JSON as a tokenizer.json: refused with one line, or a tokenizer whose ids are in range and that gives text back.
#include <stdlib.h>

#include "format/hf_tokenizer.h"
#include "text/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static const char TEXT[] = "Hello  the\tcat's 123\xc3\xa9 \xff\xe2\x96\x81<s>\n";

static void check(bool holds)
{
    if (!holds) abort();
}

static void check_line(const wf_error *err) { check(err->message[0] && !strchr(err->message, '\n')); }

static void check_tokenizer(const tokenizer *t)
{
    token_list ids = {0};
    buffer back = {0};
    wf_error err = {0};
    for (int special = 0; special < 2; special++) {
        wf_status status = tokenizer_encode(t, (view){TEXT, sizeof TEXT - 1}, special, NULL, 0, &ids, &err);
        check(status == WF_OK || status == WF_ERROR_LIMIT); // an expression or a normalizer gave up
        for (size_t i = 0; i < ids.count; i++) check(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_count(t));
        check(tokenizer_decode(t, ids.ids, ids.count, special, &back, &err) == WF_OK);
    }
    token_list_free(&ids);
    buffer_free(&back);
}

static void check_values(checkpoint *file)
{
    wf_error err = {0};
    tokenizer *t = NULL;
    check(checkpoint_finish(file, (view){"", 0}, &err) == WF_OK);
    if (tokenizer_create(file, &t, &err) == WF_OK)
        check_tokenizer(t);
    else
        check_line(&err);
    tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    json_t *root;
    checkpoint *file;
    hf_specials specials;
    wf_error err = {0};
    if (json_read((view){(const char *)data, bytes}, "fuzz", JSON_RULES_PYTHON, &root, &err) != WF_OK) return 0;
    if (!json_is_object(root)) {
        json_decref(root);
        return 0;
    }
    check(checkpoint_create("fuzz", &file, &err) == WF_OK);
    if (hf_read_tokenizer("fuzz", root, 100, file, &specials, &err) == WF_OK)
        check_values(file);
    else
        check_line(&err);
    checkpoint_close(file);
    json_decref(root);
    return 0;
}
