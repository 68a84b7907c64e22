// The object loader on objects of the system's compiler: good ones run, damaged ones are refused without a crash.
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

#include "base/file.h"
#include "runtime/program/test_program.h"

static void check_kernels(kernel_fn const functions[N_NAMES])
{
    float in[8] = {1, -1, 0.5f, 3, 4, 5, 6, 7}, out[8];
    int64_t offset = 2;
    void *buffers[] = {in, out};
    functions[0](buffers, &offset, 0, 8);
    const float table[] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int i = 0; i < 8; i++) assert_float_equal(out[i], in[i] * table[(i + 2) & 7] + 0.1f, 1e-6);

    char word[4] = {0};
    void *text[] = {word};
    int64_t index = 1;
    functions[1](text, &index, 0, 3);
    assert_string_equal(word, "one");

    const void *address;
    void *result[] = {&address};
    functions[2](result, &index, 0, 1);
    assert_int_equal((uintptr_t)address % 64, 0);
}

// The permissions of the mapping that holds `address`: "r-xp".
static void find_permissions(const void *address, char permissions[5])
{
    char *text, *line;
    size_t bytes;
    assert_int_equal(file_read("/proc/self/maps", &text, &bytes, NULL), WF_OK);
    permissions[0] = 0;
    for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long begin, end;
        char found[5];
        if (sscanf(line, "%lx-%lx %4s", &begin, &end, found) == 3 && (uintptr_t)address >= begin &&
            (uintptr_t)address < end)
            memcpy(permissions, found, 5);
    }
    free(text);
}

static void test_good_object(void **state)
{
    (void)state;
    const char *const flags[] = {"", "-ffunction-sections -fdata-sections", "-fno-asynchronous-unwind-tables -g",
                                 "-mavx2 -O3"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        object o = compile(KERNELS, flags[i]);
        kernel_fn functions[N_NAMES];
        void *code;
        size_t code_bytes;
        wf_error err = {0};
        wf_status status =
            objects_load(&(view){o.data, o.bytes}, 1, "test", NAMES, N_NAMES, functions, &code, &code_bytes, &err);
        if (status != WF_OK) fail_msg("%s", err.message);
        free(o.data); // the loaded code does not need it
        check_kernels(functions);

        char permissions[5];
        find_permissions((void *)(uintptr_t)functions[0], permissions);
        assert_string_equal(permissions, "r-xp");
        const void *address;
        void *result[] = {&address};
        functions[2](result, NULL, 0, 1);
        find_permissions(address, permissions);
        assert_string_equal(permissions, "r--p");
        objects_unload(code, code_bytes);
    }
}

// Kernels that were compiled apart: found in whichever object has them, in one mapping.
static void test_several_objects(void **state)
{
    (void)state;
    const char first[] = "void one(void *const *b) { *(int *)b[0] = 1; }\n"
                         "static const int table[16] __attribute__((aligned(64))) = {10, 20, 30};\n"
                         "void look_up(void *const *b, const long long *d) { *(int *)b[0] = table[d[0]]; }\n";
    object a = compile(first, ""), b = compile(KERNELS, "-ffunction-sections");
    const view objects[] = {{a.data, a.bytes}, {b.data, b.bytes}};
    const char *const names[] = {"scale", "spell", "where", "one", "look_up"};
    kernel_fn functions[5];
    void *code;
    size_t code_bytes;
    wf_error err = {0};
    if (objects_load(objects, 2, "test", names, 5, functions, &code, &code_bytes, &err) != WF_OK)
        fail_msg("%s", err.message);
    check_kernels(functions);
    int number = 0;
    int64_t index = 2;
    void *result[] = {&number};
    functions[3](result, NULL, 0, 1);
    assert_int_equal(number, 1);
    functions[4](result, &index, 0, 1);
    assert_int_equal(number, 30);
    char permissions[5];
    find_permissions((void *)(uintptr_t)functions[0], permissions);
    assert_string_equal(permissions, "r-xp");
    find_permissions((void *)(uintptr_t)functions[3], permissions);
    assert_string_equal(permissions, "r-xp");
    objects_unload(code, code_bytes);

    // One object alone lacks the others' functions; a damaged one spoils the whole.
    assert_int_equal(objects_load(objects, 1, "test", names, 5, functions, &code, &code_bytes, &err), WF_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "no function \"scale\""));
    b.data[0] = 0;
    assert_int_equal(objects_load(objects, 2, "test", names, 5, functions, &code, &code_bytes, &err), WF_ERROR_FORMAT);
    assert_null(code);
    free(a.data);
    free(b.data);
}

static void expect_refusal(const char *source, const char *flags, const char *symbol, const char *reason)
{
    object o = compile(source, flags);
    kernel_fn function;
    void *code;
    size_t code_bytes;
    wf_error err = {0};
    wf_status status =
        objects_load(&(view){o.data, o.bytes}, 1, "test", &symbol, 1, &function, &code, &code_bytes, &err);
    if (status != WF_ERROR_FORMAT) fail_msg("status %d, not refused for \"%s\"", (int)status, reason);
    assert_null(code);
    if (!strstr(err.message, reason)) fail_msg("\"%s\" does not say \"%s\"", err.message, reason);
    free(o.data);
}

static void test_refused_objects(void **state)
{
    (void)state;
    expect_refusal("extern void g(void); void f(void) { g(); }", "-fvisibility=default", "f", "outside symbol \"g\"");
    expect_refusal("int n = 3; void f(void) { n++; }", "", "f", "writable data");
    expect_refusal("static int n; void f(void) { n++; } int g(void) { return n; }", "", "f",
                   "neither code nor constants");
    expect_refusal("_Thread_local int n = 1; void f(void) { n++; }", "", "f", "writable data");
    expect_refusal("__attribute__((constructor)) void f(void) { __asm__ volatile(\"nop\"); }", "", "f",
                   "neither code nor constants");
    expect_refusal("const char *const t[] = {\"a\", \"b\"}; const char *f(int i) { return t[i]; }",
                   "-fno-pic -mcmodel=small", "f", "relocation type");
    expect_refusal("void f(void) {}", "", "g", "no function \"g\"");
    expect_refusal("static __attribute__((used)) void f(void) {}", "", "f", "no function \"f\"");
    expect_refusal("const int f = 3;", "", "f", "no function \"f\"");
}

static uint32_t next_random(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

// Loads without running. An exact-size copy on the heap lets AddressSanitizer see reads beyond its end.
static bool loads(const char *data, size_t bytes)
{
    char *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    kernel_fn functions[N_NAMES];
    void *code;
    size_t code_bytes;
    wf_error err = {0};
    wf_status status =
        objects_load(&(view){copy, bytes}, 1, "test", NAMES, N_NAMES, functions, &code, &code_bytes, &err);
    free(copy);
    if (status == WF_OK) {
        objects_unload(code, code_bytes);
        return true;
    }
    assert_true(status == WF_ERROR_FORMAT || status == WF_ERROR_MEMORY);
    assert_true(err.message[0] && !strchr(err.message, '\n'));
    assert_null(code);
    return false;
}

static void test_cut_objects(void **state)
{
    (void)state;
    object o = compile(KERNELS, "");
    assert_true(loads(o.data, o.bytes));
    for (size_t bytes = 0; bytes < o.bytes; bytes++) // the section headers come last, so no shorter file is whole
        assert_false(loads(o.data, bytes));
    free(o.data);
}

static void test_damaged_objects(void **state)
{
    (void)state;
    object o = compile(KERNELS, "");
    char *damaged = malloc(o.bytes);
    assert_non_null(damaged);
    Elf64_Ehdr header;
    memcpy(&header, o.data, sizeof header);
    uint32_t random = 1;
    int n_refused = 0;
    for (int round = 0; round < 6000; round++) {
        memcpy(damaged, o.data, o.bytes);
        int n_changes = 1 + (int)(next_random(&random) >> 8) % 4;
        for (int i = 0; i < n_changes; i++) {
            size_t at = (next_random(&random) >> 4) % o.bytes;
            // Half of the changes hit the header and the section headers, which random positions seldom do.
            if (round % 2) {
                at = (next_random(&random) >> 4) % (sizeof header + header.e_shnum * sizeof(Elf64_Shdr));
                if (at >= sizeof header) at += header.e_shoff - sizeof header;
            }
            const unsigned char values[] = {0, 0xff, 0x7f, 0x80, (unsigned char)(next_random(&random) >> 16)};
            damaged[at] = (char)values[(next_random(&random) >> 8) % 5];
        }
        n_refused += !loads(damaged, o.bytes);
    }
    assert_true(n_refused > 1000);
    free(damaged);
    free(o.data);
}

// Sections that claim the whole file again and again must not become a huge mapping.
static void test_overlapping_sections(void **state)
{
    (void)state;
    object o = compile(KERNELS, "");
    Elf64_Ehdr header;
    memcpy(&header, o.data, sizeof header);
    for (size_t i = 1; i < header.e_shnum; i++) {
        Elf64_Shdr section;
        char *at = o.data + header.e_shoff + i * sizeof section;
        memcpy(&section, at, sizeof section);
        if (section.sh_type != SHT_PROGBITS || !(section.sh_flags & SHF_ALLOC)) continue;
        section.sh_offset = 0;
        section.sh_size = o.bytes;
        memcpy(at, &section, sizeof section);
    }
    assert_false(loads(o.data, o.bytes));
    free(o.data);
}

// A function whose only area is its constants.
static program make_function(size_t constants_bytes)
{
    static program_area areas[FUNCTION_ARRAYS] = {{"arena", AREA_ARENA, {{0}}},
                                                  {"constants", AREA_CONSTANTS, {{0}}},
                                                  {"math", AREA_MATH, {{8}}},
                                                  {"fault", AREA_FAULT, {{8}}},
                                                  {"weights", AREA_WEIGHTS, {{0}}}};
    areas[FUNCTION_CONSTANTS].bytes = affine_of(DIM_ONE, (int64_t)constants_bytes);
    return (program){
        .name = "f", .n_dims = 1, .dims = program_sequence_dims, .n_areas = FUNCTION_ARRAYS, .areas = areas};
}

// Constants are aligned, as they came, and a file that has them stays mapped.
static void test_constants(void **state)
{
    (void)state;
    char text[1000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 7);
    program p = make_function(sizeof text);
    buffer image = {0};
    executable_write(&p, NULL, 0, (view){text, sizeof text}, &image);
    assert_false(image.failed);
    char path[] = "/tmp/welford-constants-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, image.data, image.len) == (ssize_t)image.len);
    close(fd);
    for (int from_file = 0; from_file < 2; from_file++) {
        executable exe;
        wf_error err = {0};
        wf_status status =
            from_file ? executable_open(path, &exe, &err) : executable_load(image.data, image.len, "test", &exe, &err);
        if (status != WF_OK) fail_msg("%s", err.message);
        assert_int_equal((uintptr_t)exe.constants % 64, 0);
        assert_memory_equal(exe.constants, text, sizeof text);
        assert_true(from_file ? exe.map.data && !exe.copy : exe.copy && !exe.map.data);
        executable_free(&exe);
    }
    remove(path);
    buffer_clear(&image);
    executable_write(&p, NULL, 0, (view){text, sizeof text - 1}, &image); // shorter than the program says
    executable exe;
    assert_int_equal(executable_load(image.data, image.len, "test", &exe, NULL), WF_ERROR_FORMAT);
    buffer_free(&image);
}

// A wrong number under a good checksum.
static void expect_bad_field(const buffer *image, size_t field, uint64_t value)
{
    char *copy = malloc(image->len);
    assert_non_null(copy);
    memcpy(copy, image->data, image->len);
    memcpy(copy + field, &value, sizeof value);
    uint64_t sum = XXH3_64bits(copy + 24, image->len - 24);
    memcpy(copy + 16, &sum, sizeof sum);
    executable exe;
    wf_error err = {0};
    assert_int_equal(executable_load(copy, image->len, "test", &exe, &err), WF_ERROR_FORMAT);
    free(copy);
}

static void test_image(void **state)
{
    (void)state;
    object o = compile(KERNELS, ""), unused = compile("void f(void) {}", "");
    const view objects[] = {{unused.data, unused.bytes}, {o.data, o.bytes}};
    program p = make_plan();
    buffer image = {0};
    executable_write(&p, objects, 2, (view){0}, &image);
    free(o.data);
    free(unused.data);
    assert_false(image.failed);
    assert_int_equal(image.len % 16, 0);

    executable exe;
    wf_error err = {0};
    wf_status status = executable_load(image.data, image.len, "test", &exe, &err);
    if (status != WF_OK) fail_msg("%s", err.message);
    assert_int_equal(exe.program.n_calls, 1);
    assert_string_equal(exe.program.kernels[1], "where");
    float in[8] = {1, 2, 3}, out[8];
    int64_t offset = 0;
    void *buffers[] = {in, out};
    exe.kernels[0](buffers, &offset, 0, 3);
    assert_float_equal(out[2], 9.1f, 1e-6);
    executable_free(&exe);
    executable_free(&exe); // freed twice does no harm

    // The checksum sees every change, and every cut changes the size.
    uint32_t random = 7;
    for (int round = 0; round < 500; round++) {
        size_t at = (next_random(&random) >> 4) % image.len;
        image.data[at] = (char)(image.data[at] ^ (1 << round % 8));
        assert_int_equal(executable_load(image.data, image.len, "test", &exe, &err), WF_ERROR_FORMAT);
        image.data[at] = (char)(image.data[at] ^ (1 << round % 8));
    }
    for (size_t field = 24; field <= 40;
         field += 8) { // bytes of the program, number of objects, bytes of the constants
        const uint64_t lies[] = {field < 40 ? 0 : 5, 1, 3, 1 << 20, UINT64_MAX - 7, UINT64_MAX};
        for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) expect_bad_field(&image, field, lies[i]);
    }
    for (size_t bytes = 0; bytes < image.len; bytes += 13) {
        char *copy = malloc(bytes + 1);
        assert_non_null(copy);
        memcpy(copy, image.data, bytes);
        assert_int_equal(executable_load(copy, bytes, "test", &exe, &err), WF_ERROR_FORMAT);
        free(copy);
    }
    buffer_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_object),     cmocka_unit_test(test_several_objects),
        cmocka_unit_test(test_refused_objects), cmocka_unit_test(test_cut_objects),
        cmocka_unit_test(test_damaged_objects), cmocka_unit_test(test_overlapping_sections),
        cmocka_unit_test(test_image),           cmocka_unit_test(test_constants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
