// Names: what is one and what is none, and what becomes part of a path.
#include "hub/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> // needs those above

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *repository, *file, *revision;
    } GOOD[] = {
        {"owner/name", "owner/name", "", "main"},
        {"hf:owner/name", "owner/name", "", "main"},
        {"deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B@v1.0", "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "", "v1.0"},
        {"hf:a/b/c.gguf", "a/b", "c.gguf", "main"},
        {"hf:a/b/sub/c d.gguf@refs/pr/7", "a/b", "sub/c d.gguf", "refs/pr/7"},
        {"hf:_a/b_", "_a/b_", "", "main"},
        {"a/b:f.gguf", "a/b", "f.gguf", "main"},
        {"hf://a/b", "a/b", "", "main"},
        {"hf://a/b/sub/c.gguf", "a/b", "sub/c.gguf", "main"},
        {"hf://a/b@v1/c.gguf", "a/b", "c.gguf", "v1"},
        {"hf://a/b@refs/pr/7/c.gguf", "a/b", "c.gguf", "refs/pr/7"},
        {"hf://a/b/c.gguf@v1", "a/b", "c.gguf", "v1"},
        {"hf.co/a/b", "a/b", "", "main"},
        {"HuggingFace.co/a/b", "a/b", "", "main"},
        {"https://hf.co/a/b/", "a/b", "", "main"},
        {"http://www.huggingface.co/a/b?library=x#y", "a/b", "", "main"},
        {"https://huggingface.co/a/b/blob/main/c.gguf", "a/b", "c.gguf", "main"},
        {"https://huggingface.co/a/b/resolve/v2/d/c%20d.gguf?download=true", "a/b", "d/c d.gguf", "v2"},
        {"https://huggingface.co/a/b/raw/main/c.gguf", "a/b", "c.gguf", "main"},
        {"https://huggingface.co/a/b/blob/refs%2Fpr%2F7/c.gguf", "a/b", "c.gguf", "refs/pr/7"},
        {"https://huggingface.co/a/b/resolve/refs/pr/7/c.gguf", "a/b", "c.gguf", "refs/pr/7"},
        {"https://huggingface.co/a/b/blob/main/model.safetensors", "a/b", "", "main"},
        {"https://huggingface.co/a/b/tree/main", "a/b", "", "main"},
        {"huggingface.co/a/b/tree/v1/", "a/b", "", "v1"},
        {"https://huggingface.co/a/b/commit/0123456789abcdef0123456789abcdef01234567", "a/b", "",
         "0123456789abcdef0123456789abcdef01234567"},
    };
    static const char *const BAD[] = {
        "",
        "hf:",
        "a",
        "a/",
        "/a",
        "a//b",
        "a/b/",
        "a/b/c",
        "../b",
        "a/..",
        "a/.b",
        "a-/b",
        "a/b..c",
        "a/b--c",
        "a b/c",
        "a/b@",
        "a/b@/x",
        "a/b@x/",
        "a/b@x/../y",
        "a/b@x y",
        "a/b@\n",
        "@x",
        "a@x/b",
        "a/b\xC3",
        "a/b/../c.gguf",
        "a/b/.gguf/",
        "a/b//c.gguf",
        "a/b/c.bin",
        "a/b/c\\d.gguf",
        "hf:hf:a/b",
        "a/b:",
        "a/b:x/y",
        "a/b:x:y",
        "a/b:q/c.gguf",
        "hf:a/b:../x",
        "hf://a",
        "hf.co/",
        "hf.co/a",
        "https://hf.co/a/b/discussions",
        "https://hf.co/a/b/blob/main/../c.gguf",
        "https://hf.co/a/b/blob/main/%2e%2e/c.gguf",
        "https://hf.co/a/b/blob/main/c%00.gguf",
        "https://hf.co/a/b/blob/a%0Ab/c.gguf",
        "https://hf.co/a/b/blob",
        "https://hf.co/datasets/a/b",
        "hf.co/spaces/a/b",
        "https://example.com/a/b",
    };
    hub_name name;
    wf_error err;
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        if (hub_parse_name(GOOD[i].text, &name, &err) != WF_OK) fail_msg("%s", err.message);
        assert_string_equal(name.repository, GOOD[i].repository);
        assert_string_equal(name.file, GOOD[i].file);
        assert_string_equal(name.revision, GOOD[i].revision);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        if (hub_parse_name(BAD[i], &name, &err) != WF_ERROR_USAGE) fail_msg("%s", BAD[i]);
        assert_null(strchr(err.message, '\n'));
    }
}

static void test_long_names(void **state)
{
    (void)state;
    char text[2000];
    hub_name name;
    static const char *const FRAMES[] = {"%s/b", "a/%s", "a/b@%s", "a/b/%s.gguf"};
    static const size_t LONGEST[] = {96, 96, HUB_REVISION_BYTES - 1, NAME_MAX - 5};
    for (size_t i = 0; i < sizeof FRAMES / sizeof *FRAMES; i++)
        for (size_t n = LONGEST[i]; n < LONGEST[i] + 600; n += n == LONGEST[i] ? 1 : 100) {
            char part[1000] = "";
            memset(part, 'x', n);
            const char *hole = strstr(FRAMES[i], "%s");
            snprintf(text, sizeof text, "%.*s%s%s", (int)(hole - FRAMES[i]), FRAMES[i], part, hole + 2);
            assert_int_equal(hub_parse_name(text, &name, NULL), n == LONGEST[i] ? WF_OK : WF_ERROR_USAGE);
        }
}

static void test_quantisations(void **state)
{
    (void)state;
    static const char *const GOOD[][2] = {
        {"a/b:Q4_K_M", "Q4_K_M"},       {"hf:a/b:q8_0@v1", "q8_0"},
        {"hf.co/a/b:IQ2_XS", "IQ2_XS"}, {"https://huggingface.co/a/b:UD-Q4_K_XL", "UD-Q4_K_XL"},
        {"hf://a/b:F16", "F16"},        {"a/b:latest", ""},
    };
    hub_name name;
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        assert_int_equal(hub_parse_name(GOOD[i][0], &name, NULL), WF_OK);
        assert_string_equal(name.repository, "a/b");
        assert_string_equal(name.quant, GOOD[i][1]);
        assert_string_equal(name.file, "");
    }
}

static void test_names_of_ollama(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"llama3.2:1b",
                                        "deepseek-r1:8b-0528-qwen3-q4_K_M",
                                        "ollama.com/library/llama3.2:1b",
                                        "https://ollama.com/library/llama3.2",
                                        "registry.ollama.ai/library/llama3.2",
                                        "library/llama3.2:1b",
                                        "ollama:llama3.2"};
    static const char *const OTHERS[] = {"llama3.2", "a:b/c", "hf:a", "a/b:c", "a:", ":a", "library/x.gguf"};
    hub_name name;
    wf_error err;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        assert_true(hub_is_name(NAMES[i]));
        assert_int_equal(hub_parse_name(NAMES[i], &name, &err), WF_ERROR_USAGE);
        assert_non_null(strstr(err.message, "hf.co/OWNER/NAME-GGUF:Q4_K_M"));
    }
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (hub_parse_name(OTHERS[i], &name, &err) != WF_OK) assert_null(strstr(err.message, "ollama"));
}

static void test_what_means_the_hub(void **state)
{
    (void)state;
    static const char *const NAMES[] = {
        "a/b",        "hf:a/b",     "hf:whatever",   "a/b@v1",    "Qwen/Qwen2.5-0.5B",
        "a/b:Q4_K_M", "a/b:c.gguf", "a/b@refs/pr/7", "hf.co/a/b", "https://huggingface.co/a/b/blob/main/c.gguf",
        "hf://a/b/c"};
    static const char *const PATHS[] = {"a", "./a/b", "/a/b", "a/b/c.gguf", "a/b.gguf", "a/b.json", "~/b", ""};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) assert_true(hub_is_name(NAMES[i]));
    for (size_t i = 0; i < sizeof PATHS / sizeof *PATHS; i++) assert_false(hub_is_name(PATHS[i]));
}

static void test_paths_and_checksums(void **state)
{
    (void)state;
    static const char *const SAFE[] = {"a", "a/b.c", ".a", "..a", "a b", "\xC3\xA9"};
    static const char *const UNSAFE[] = {"", ".", "..", "/a", "a/", "a//b", "a/../b", "a/./b", "a\nb", "a\\b", "a\x7F"};
    for (size_t i = 0; i < sizeof SAFE / sizeof *SAFE; i++) assert_true(hub_is_safe_path(SAFE[i]));
    for (size_t i = 0; i < sizeof UNSAFE / sizeof *UNSAFE; i++) assert_false(hub_is_safe_path(UNSAFE[i]));
    assert_true(hub_is_etag("0123456789abcdef0123456789abcdef01234567"));
    assert_false(hub_is_etag("0123456789ABCDEF0123456789abcdef01234567"));
    assert_false(hub_is_etag("0123456789abcdef0123456789abcdef0123456"));
    assert_false(hub_is_etag("../456789abcdef0123456789abcdef012345678"));
    assert_true(hub_is_etag("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
}

static void test_folders(void **state)
{
    (void)state;
    hub_name name;
    char path[HUB_FOLDER_BYTES], large[PATH_MAX];
    assert_int_equal(hub_parse_name("o/n", &name, NULL), WF_OK);
    setenv("HOME", "/home/me", 1);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HF_HOME");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("HF_HUB_CACHE");
    assert_int_equal(hub_model_folder(&name, path, NULL), WF_OK);
    assert_string_equal(path, "/home/me/.cache/huggingface/hub/models--o--n");
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    assert_int_equal(hub_lock_folder(&name, path, NULL), WF_OK);
    assert_string_equal(path, "/xdg/huggingface/hub/.locks/models--o--n");
    setenv("HF_HOME", "~/hf", 1);
    assert_int_equal(hub_model_folder(&name, path, NULL), WF_OK);
    assert_string_equal(path, "/home/me/hf/hub/models--o--n");
    setenv("HF_HUB_CACHE", "/cache", 1);
    assert_int_equal(hub_model_folder(&name, path, NULL), WF_OK);
    assert_string_equal(path, "/cache/models--o--n");
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = 0;
    setenv("HF_HUB_CACHE", large, 1);
    assert_int_equal(hub_model_folder(&name, path, NULL), WF_ERROR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_quantisations),
        cmocka_unit_test(test_names_of_ollama),
        cmocka_unit_test(test_what_means_the_hub),
        cmocka_unit_test(test_paths_and_checksums),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
