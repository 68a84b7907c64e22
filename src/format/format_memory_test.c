// Memory that runs out while the files of a checkpoint are read.
#include "base/buffer.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/failing_memory.h"
#include "base/file.h"
#include "format/checkpoint_open.h"
#include "format/gguf.h"
#include "format/json_read.h"
#include "format/safetensors.h"

static wf_status read_json(void *context, wf_error *err)
{
    json_t *root;
    wf_status status = json_read(view_of(context), "test", JSON_RULES_STRICT, &root, err);
    if (status == WF_OK) json_decref(root);
    return status;
}

static void test_json(void **state)
{
    (void)state;
    static char text[] =
        "{\"a\": [1, -2.5, 123456789012345678901234567890, NaN, true, null, \"\\u00e9\\n\", \"\"],"
        " \"a name that is longer than sixty-four bytes, and so is kept somewhere else\": {\"\\t\": 1e5},"
        " \"n\": 1.000000000000000000000000000000000000000000000000000000000000000000000000001}";
    fail_each_allocation(read_json, text);
}

// Two values, an array of texts and a tensor of 8 numbers.
static const char GGUF[] = "GGUF\3\0\0\0"
                           "\1\0\0\0\0\0\0\0"
                           "\3\0\0\0\0\0\0\0"
                           "\1\0\0\0\0\0\0\0a\4\0\0\0\7\0\0\0"
                           "\1\0\0\0\0\0\0\0b\10\0\0\0\2\0\0\0\0\0\0\0hi"
                           "\1\0\0\0\0\0\0\0c\11\0\0\0\10\0\0\0\2\0\0\0\0\0\0\0"
                           "\1\0\0\0\0\0\0\0x\1\0\0\0\0\0\0\0y"
                           "\1\0\0\0\0\0\0\0t\1\0\0\0\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

static wf_status read_gguf(void *context, wf_error *err)
{
    checkpoint *file;
    const buffer *b = context;
    TRY(gguf_parse((const unsigned char *)b->data, b->len, "test", &file, err));
    checkpoint_close(file);
    return WF_OK;
}

static void test_gguf(void **state)
{
    (void)state;
    buffer b = {0};
    buffer_append(&b, GGUF, sizeof GGUF - 1);
    while (b.len % 32) buffer_append_char(&b, 0);
    for (int i = 0; i < 32; i++) buffer_append_char(&b, 0);
    assert_false(b.failed);
    fail_each_allocation(read_gguf, &b);
    buffer_free(&b);
}

static wf_status read_safetensors(void *context, wf_error *err)
{
    arena memory = {0};
    safetensors s;
    const buffer *b = context;
    wf_status status = safetensors_parse((const unsigned char *)b->data, b->len, "test", false, &memory, &s, err);
    arena_free(&memory);
    return status;
}

static void test_safetensors(void **state)
{
    (void)state;
    static const char HEADER[] = "{\"b\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[4,16]},"
                                 "\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}";
    buffer b = {0};
    uint64_t length = sizeof HEADER - 1;
    buffer_append(&b, &length, sizeof length);
    buffer_append(&b, HEADER, sizeof HEADER - 1);
    for (int i = 0; i < 16; i++) buffer_append_char(&b, 0);
    assert_false(b.failed);
    fail_each_allocation(read_safetensors, &b);
    buffer_free(&b);
}

// Whole checkpoints: a folder of Hugging Face's with its configuration, its tokenizer and its tensors.
static wf_status open_checkpoint(void *context, wf_error *err)
{
    checkpoint *file;
    TRY(checkpoint_open(context, &file, err));
    checkpoint_close(file);
    return WF_OK;
}

static const char TOKENIZER[] =
    "{\"added_tokens\": [{\"id\": 3, \"content\": \"<s>\", \"special\": true}], \"normalizer\": {\"type\": \"NFC\"},"
    " \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true},"
    " \"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\"},"
    " \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]}}";
// What stands beside it, in the newer and in the older way.
static const char CONFIG[] = "{\"bos_token\": \"<s>\", \"chat_template\": \"{{ messages }}\", \"added_tokens_decoder\":"
                             " {\"4\": {\"content\": \"</s>\", \"special\": true}}}",
                  LEGACY[] = "{\"</s>\": 4, \"<x>\": 5}", SPECIAL[] = "{\"eos_token\": \"</s>\"}",
                  GENERATION[] = "{\"temperature\": 0.5, \"eos_token_id\": [1, 2]}";

static void put_file(const char *folder, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_write(path, text, strlen(text), NULL), WF_OK);
}

static void take_file(const char *folder, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    remove(path);
}

static void test_folder(void **state)
{
    (void)state;
    static const char *const GIVEN[] = {"config.json", "model.safetensors"};
    static const char *const MADE[] = {"tokenizer.json", "tokenizer_config.json", "added_tokens.json",
                                       "special_tokens_map.json", "generation_config.json"};
    char folder[] = "/tmp/welford-format-memory-XXXXXX", from[4096], to[128];
    const char *source = getenv("WELFORD_SOURCE");
    if (!source) skip();
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/test/data/tiny/qwen2_yarn/%s", source, GIVEN[i]);
        snprintf(to, sizeof to, "%s/%s", folder, GIVEN[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    put_file(folder, "tokenizer.json", TOKENIZER);
    put_file(folder, "tokenizer_config.json", CONFIG);
    put_file(folder, "generation_config.json", GENERATION);
    fail_each_allocation(open_checkpoint, folder);
    take_file(folder, "tokenizer_config.json");
    put_file(folder, "added_tokens.json", LEGACY);
    put_file(folder, "special_tokens_map.json", SPECIAL);
    fail_each_allocation(open_checkpoint, folder);
    for (int i = 0; i < 5; i++) take_file(folder, MADE[i]);
    for (int i = 0; i < 2; i++) take_file(folder, GIVEN[i]);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_safetensors),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
