// compiled_model_open with a compiler library made here, which counts its calls: what is compiled and packed, and what comes
// from the cache, whole or damaged.
#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/test_folder.h"
#include "runtime/compiled_model.h"

enum { N_WEIGHTS = 64 };

static void put(const char *name, const void *data, size_t bytes)
{
    assert_int_equal(file_write(in_root(name), data, bytes, NULL), WF_OK);
}

static int run_command(const char *format, const char *a, const char *b)
{
    char command[3 * PATH_MAX];
    snprintf(command, sizeof command, format, a, b);
    return system(command);
}

// The library: compiles to the image in the file $WELFORD_TEST_IMAGE, and lengthens $WELFORD_TEST_COUNT by a byte each
// time.
static const char COMPILER[] =
    "#include <stdio.h>\n#include <stdlib.h>\n#include <stddef.h>\n#include <stdbool.h>\n"
    "typedef struct { char *data; size_t len, capacity; bool failed; } buffer;\n"
    "__attribute__((visibility(\"default\"))) int NAME(const void *, const void *, void *, buffer *, char *);\n"
    "int NAME(const void *file, const void *options, void *sizes, buffer *b, char *err) {\n"
    "    if (!b) return 0;\n"
    "    FILE *f = fopen(getenv(\"WELFORD_TEST_COUNT\"), \"a\");\n"
    "    if (f) { fputc('x', f); fclose(f); }\n"
    "    f = fopen(getenv(\"WELFORD_TEST_IMAGE\"), \"r\");\n"
    "    if (!f) { sprintf(err + sizeof(int), \"cannot compile this\"); return 7; }\n"
    "    b->data = malloc(1 << 20);\n    b->capacity = 1 << 20;\n"
    "    b->len = fread(b->data, 1, 1 << 20, f);\n    fclose(f);\n    return 0;\n}\n";

static size_t count_calls(void)
{
    char *data;
    size_t bytes;
    if (file_read(in_root("count"), &data, &bytes, NULL) != WF_OK) return 0;
    free(data);
    return bytes;
}

// A checkpoint of one tensor "w", [64] f32: value + 0, value + 1, …
static void write_checkpoint(float value)
{
    static const unsigned char HEADER[] = {
        'G', 'G', 'U', 'F', 3, 0, 0, 0, 1,   0, 0, 0, 0, 0,         0, 0, 1, 0, 0, 0, 0,
        0,   0,   0,                                                                     // version 3, a tensor, a value
        1,   0,   0,   0,   0, 0, 0, 0, 'a', 4, 0, 0, 0, 1,         0, 0, 0,             // "a": u32 1
        1,   0,   0,   0,   0, 0, 0, 0, 'w', 1, 0, 0, 0, N_WEIGHTS, 0, 0, 0, 0, 0, 0, 0, // "w": [64]
        0,   0,   0,   0,   0, 0, 0, 0, 0,   0, 0, 0,                                    // f32 at offset 0
    };
    unsigned char file[96 + 4 * N_WEIGHTS] = {0};
    assert_true(sizeof HEADER <= 96);
    memcpy(file, HEADER, sizeof HEADER);
    for (int i = 0; i < N_WEIGHTS; i++) {
        float w = value + (float)i;
        memcpy(file + 96 + 4 * i, &w, 4);
    }
    put("model.gguf", file, sizeof file);
}

static void write_image(void)
{
    static const char *const KERNELS[] = {"answer"};
    static const program_weight WEIGHT = {.layout = LAYOUT_VECTOR_F32,
                                          .n_sources = 1,
                                          .sources = {"w"},
                                          .types = {TENSOR_F32},
                                          .rows = {1},
                                          .cols = N_WEIGHTS,
                                          .bytes = 4 * N_WEIGHTS};
    const char source[] =
        "void answer(void *const *b, const long *d, long begin, long end) { *(long *)b[0] = d[0] + 42; }";
    put("k.c", source, strlen(source));
    assert_int_equal(run_command("${CC:-cc} -c -O2 -fPIC %s -o %s", in_root("k.c"), in_root("k.o")), 0);
    char *object;
    size_t object_bytes;
    assert_int_equal(file_read(in_root("k.o"), &object, &object_bytes, NULL), WF_OK);
    program p = {.architecture = "test",
                 .name = "test",
                 .n_vocab = 8,
                 .n_ctx_train = 64,
                 .n_embd = 64,
                 .kv = {.n_layer = 1, .n_kv_heads = 1, .head_dim = 16},
                 .n_weights = 1,
                 .weights = &WEIGHT,
                 .n_kernels = 1,
                 .kernels = KERNELS};
    program_area areas[BASE_COUNT];
    program_set_sequence(&p, affine_of(DIM_TOKENS, 64), 4 * N_WEIGHTS, areas);
    buffer image = {0};
    executable_write(&p, &(view){object, object_bytes}, 1, (view){0}, &image);
    assert_false(image.failed);
    put("image", image.data, image.len);
    buffer_free(&image);
    free(object);
}

static int set_up(void **state)
{
    (void)state;
    if (make_root()) return -1;
    setenv("WELFORD_CACHE", in_root("cache"), 1);
    setenv("WELFORD_COMPILER", in_root("compiler.so"), 1);
    setenv("WELFORD_TEST_IMAGE", in_root("image"), 1);
    setenv("WELFORD_TEST_COUNT", in_root("count"), 1);
    unsetenv("WELFORD_CPU");
    put("compiler.c", COMPILER, strlen(COMPILER));
    write_checkpoint(1);
    write_image();
    return run_command("${CC:-cc} -shared -fPIC -DNAME=welford_compile %s -o %s", in_root("compiler.c"),
                       in_root("compiler.so"));
}

static void count_progress(void *context, const char *what, size_t done, size_t all)
{
    assert_string_equal(what, "packing");
    assert_true(done <= all);
    ++*(int *)context;
}

typedef struct seen {
    bool program_cached, pack_cached;
    int reports;
} seen;

// Opens, checks that weights and kernel are right, and closes.
static seen open_model(wf_model_options options, float first_weight)
{
    seen s = {0};
    options.progress = count_progress;
    options.progress_context = &s.reports;
    thread_pool *pool;
    compiled_model *m;
    wf_error err = {0};
    assert_int_equal(thread_pool_create(2, &pool, NULL), WF_OK);
    if (compiled_model_open(in_root("model.gguf"), &options, &m, &err) != WF_OK ||
        compiled_model_load(m, pool, &err) != WF_OK)
        fail_msg("%s", err.message);
    float weight;
    memcpy(&weight, m->pack.data + 4 * 5, sizeof weight);
    assert_float_equal(weight, first_weight + 5, 0);
    int64_t answer = 0, dim = 1;
    void *buffers[] = {&answer};
    m->executable.kernels[0](buffers, &dim, 0, 1);
    assert_int_equal(answer, 43);
    assert_true(m->compile_seconds >= 0 && m->pack_seconds >= 0);
    s.program_cached = m->program_cached;
    s.pack_cached = m->pack_cached;
    compiled_model_close(m);
    thread_pool_free(pool);
    return s;
}

static wf_status try_open(const char *name, wf_error *err)
{
    wf_model_options options = {0};
    thread_pool *pool;
    compiled_model *m;
    assert_int_equal(thread_pool_create(1, &pool, NULL), WF_OK);
    wf_status status = compiled_model_open(in_root(name), &options, &m, err);
    if (status == WF_OK) status = compiled_model_load(m, pool, err);
    compiled_model_close(m);
    thread_pool_free(pool);
    return status;
}

static void test_cold_and_warm(void **state)
{
    (void)state;
    seen cold = open_model((wf_model_options){0}, 1);
    assert_false(cold.program_cached || cold.pack_cached);
    assert_true(cold.reports > 0);
    seen warm = open_model((wf_model_options){0}, 1);
    assert_true(warm.program_cached && warm.pack_cached);
    assert_int_equal(warm.reports, 0);
    assert_int_equal(count_calls(), 1);
}

static void test_what_keys_depend_on(void **state)
{
    (void)state;
    open_model((wf_model_options){0}, 1);
    seen s = open_model((wf_model_options){.no_fuse = "norm"}, 1); // another program, the same pack
    assert_true(!s.program_cached && s.pack_cached);
    s = open_model((wf_model_options){.kv = "f32"}, 1);
    assert_true(!s.program_cached && s.pack_cached);
    assert_int_equal(count_calls(), 3);
    cpu_features cpu;
    setenv("WELFORD_CPU", "haswell", 1);
    assert_int_equal(cpu_detect(&cpu, NULL), WF_OK);
    s = open_model((wf_model_options){0}, 1);
    assert_true(!s.program_cached && s.pack_cached);
    unsetenv("WELFORD_CPU");
    assert_int_equal(count_calls(), 4);

    write_checkpoint(100); // the same header, other weights: the same program, another pack
    s = open_model((wf_model_options){0}, 100);
    assert_true(s.program_cached && !s.pack_cached);
    s = open_model((wf_model_options){.print_ir_after = "all"}, 100); // compiles whatever the cache holds
    assert_true(!s.program_cached && s.pack_cached);
    assert_int_equal(count_calls(), 5);
}

// The path of the only program in the cache.
static void find_program(char path[PATH_MAX])
{
    DIR *dir = opendir(in_root("cache/programs"));
    assert_non_null(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.') n++, snprintf(path, PATH_MAX, "%s/cache/programs/%s", root, e->d_name);
    closedir(dir);
    assert_int_equal(n, 1);
}

static void test_damaged_program(void **state)
{
    (void)state;
    char path[PATH_MAX], *good;
    size_t bytes;
    open_model((wf_model_options){0}, 1);
    find_program(path);
    assert_int_equal(file_read(path, &good, &bytes, NULL), WF_OK);
    const size_t cuts[] = {0, 1, 47, 48, 200, bytes - 1};
    size_t n_calls = 1;
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        assert_int_equal(file_write(path, good, cuts[i], NULL), WF_OK);
        assert_false(open_model((wf_model_options){0}, 1).program_cached);
        assert_int_equal(count_calls(), ++n_calls);
        assert_true(open_model((wf_model_options){0}, 1).program_cached); // rebuilt
    }
    for (size_t at = 0; at < bytes; at += bytes / 7) {
        good[at] = (char)(good[at] ^ 4);
        assert_int_equal(file_write(path, good, bytes, NULL), WF_OK);
        good[at] = (char)(good[at] ^ 4);
        assert_false(open_model((wf_model_options){0}, 1).program_cached);
        assert_true(open_model((wf_model_options){0}, 1).program_cached);
    }
    free(good);
}

static void test_without_cache(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        seen s = open_model((wf_model_options){.no_cache = true}, 1);
        assert_false(s.program_cached || s.pack_cached);
    }
    assert_int_equal(access(in_root("cache"), F_OK), -1);
    put("cache", "a file, not a folder", 20);
    for (int i = 0; i < 2; i++) {
        seen s = open_model((wf_model_options){0}, 1);
        assert_false(s.program_cached || s.pack_cached);
    }
    assert_int_equal(count_calls(), 4);
}

static void expect_error(const char *name, wf_status status, const char *reason)
{
    wf_error err = {0};
    wf_status actual = try_open(name, &err);
    if (actual != status || !strstr(err.message, reason)) fail_msg("status %d: %s", (int)actual, err.message);
}

static void test_failures(void **state)
{
    (void)state;
    expect_error("missing.gguf", WF_ERROR_IO, "missing.gguf: No such file");
    setenv("WELFORD_TEST_IMAGE", in_root("missing"), 1);
    expect_error("model.gguf", WF_ERROR_COMPILE, "cannot compile this");
    setenv("WELFORD_TEST_IMAGE", in_root("k.c"), 1);
    expect_error("model.gguf", WF_ERROR_COMPILE, "compiled program");
    setenv("WELFORD_COMPILER", in_root("missing.so"), 1);
    expect_error("model.gguf", WF_ERROR_COMPILE, "no libwelford_compiler.so; tried ");
    expect_error("model.gguf", WF_ERROR_COMPILE, in_root("missing.so"));
    setenv("WELFORD_COMPILER", in_root("k.c"), 1);
    expect_error("model.gguf", WF_ERROR_COMPILE, "k.c (");
    assert_int_equal(run_command("${CC:-cc} -shared -fPIC -DNAME=something_else %s -o %s", in_root("compiler.c"),
                                 in_root("other.so")),
                     0);
    setenv("WELFORD_COMPILER", in_root("other.so"), 1);
    expect_error("model.gguf", WF_ERROR_COMPILE, "no function welford_compile");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cold_and_warm), TEST(test_what_keys_depend_on), TEST(test_damaged_program), TEST(test_without_cache),
        TEST(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
