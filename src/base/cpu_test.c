// cpu_detect against what the kernel says in /proc/cpuinfo, and what WELFORD_CPU may force.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/file.h"

// Whether the flags line of the first CPU holds `flag` as a word.
static bool kernel_says(const char *flag)
{
    char *text;
    size_t bytes;
    assert_int_equal(file_read("/proc/cpuinfo", &text, &bytes, NULL), WF_OK);
    char *line = strstr(text, "\nflags");
    assert_non_null(line);
    char *end = strchr(line + 1, '\n');
    if (end) *end = 0;
    char word[32];
    snprintf(word, sizeof word, " %s ", flag);
    size_t len = strlen(line);
    char *padded = malloc(len + 2);
    assert_non_null(padded);
    memcpy(padded, line, len);
    memcpy(padded + len, " ", 2);
    bool found = strstr(padded, word) != NULL;
    free(padded);
    free(text);
    return found;
}

static void test_agrees_with_kernel(void **state)
{
    (void)state;
    unsetenv("WELFORD_CPU");
    cpu_features cpu;
    bool avx2 = kernel_says("avx2") && kernel_says("fma") && kernel_says("f16c");
    if (!avx2) {
        assert_int_equal(cpu_detect(&cpu, NULL), WF_ERROR_UNSUPPORTED);
        return;
    }
    assert_int_equal(cpu_detect(&cpu, NULL), WF_OK);
    assert_true(cpu.avx2);
    bool avx512 = kernel_says("avx512f") && kernel_says("avx512bw") && kernel_says("avx512cd") &&
                  kernel_says("avx512dq") && kernel_says("avx512vl");
    assert_int_equal(cpu.avx512, avx512);
    assert_int_equal(cpu.avx512_vnni, avx512 && kernel_says("avx512_vnni"));
    assert_int_equal(cpu.avx512_bf16, avx512 && kernel_says("avx512_bf16"));
    assert_int_equal(cpu.avx_vnni, kernel_says("avx_vnni"));
    assert_string_equal(cpu.name, "native");
}

static void test_key(void **state)
{
    (void)state;
    cpu_features native, again, less;
    unsetenv("WELFORD_CPU");
    if (cpu_detect(&native, NULL) != WF_OK) skip();
    assert_int_equal(cpu_detect(&again, NULL), WF_OK);
    assert_string_equal(native.key, again.key);
    assert_true(strlen(native.key) < sizeof native.key - 1);
    setenv("WELFORD_CPU", "haswell", 1);
    assert_int_equal(cpu_detect(&less, NULL), WF_OK);
    assert_string_not_equal(native.key, less.key);
    setenv("WELFORD_CPU", "native", 1);
    assert_int_equal(cpu_detect(&again, NULL), WF_OK);
    assert_string_equal(native.key, again.key);
}

static void test_forced(void **state)
{
    (void)state;
    cpu_features native, cpu;
    wf_error err;
    unsetenv("WELFORD_CPU");
    if (cpu_detect(&native, NULL) != WF_OK) skip();

    setenv("WELFORD_CPU", "haswell", 1);
    assert_int_equal(cpu_detect(&cpu, &err), WF_OK);
    assert_true(cpu.avx2);
    assert_false(cpu.avx512 || cpu.avx512_vnni || cpu.avx512_bf16 || cpu.avx_vnni);
    assert_string_equal(cpu.name, "haswell");

    setenv("WELFORD_CPU", "cooperlake", 1);
    wf_status status = cpu_detect(&cpu, &err);
    if (native.avx512 && native.avx512_vnni && native.avx512_bf16) {
        assert_int_equal(status, WF_OK);
        assert_true(cpu.avx512 && cpu.avx512_vnni && cpu.avx512_bf16);
        setenv("WELFORD_CPU", "skylake-avx512", 1);
        assert_int_equal(cpu_detect(&cpu, &err), WF_OK);
        assert_true(cpu.avx512 && !cpu.avx512_vnni && !cpu.avx512_bf16);
    } else {
        assert_int_equal(status, WF_ERROR_UNSUPPORTED);
        assert_non_null(strstr(err.message, "WELFORD_CPU=cooperlake: this CPU lacks AVX"));
    }

    setenv("WELFORD_CPU", "pentium\nmmx", 1);
    assert_int_equal(cpu_detect(&cpu, &err), WF_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "unknown CPU \"pentium?mmx\""));
    setenv("WELFORD_CPU", "", 1);
    assert_int_equal(cpu_detect(&cpu, &err), WF_OK);
    assert_string_equal(cpu.name, "native");
}

// A type that need not be this machine's: to compile for it.
static void test_named(void **state)
{
    (void)state;
    cpu_features haswell, znver4, native, again;
    wf_error err;
    buffer names = {0};
    setenv("WELFORD_CPU", "", 1);
    assert_int_equal(cpu_named("haswell", &haswell, &err), WF_OK);
    assert_int_equal(cpu_named("znver4", &znver4, &err), WF_OK);
    assert_true(haswell.avx2 && !haswell.avx512 && !haswell.avx_vnni);
    assert_true(znver4.avx512 && znver4.avx512_vnni && znver4.avx512_bf16 && !znver4.avx_vnni);
    assert_string_equal(znver4.name, "znver4");
    assert_string_not_equal(znver4.key, haswell.key);
    assert_true(!(haswell.sets & ~znver4.sets) && znver4.sets & ~haswell.sets);
    cpu_print_sets(haswell.sets, &names);
    assert_string_equal(buffer_view(&names).data, "AVX2 (with FMA, F16C), BMI (1, 2, LZCNT, MOVBE)");
    buffer_free(&names);
    assert_int_equal(cpu_named("vax", &again, &err), WF_ERROR_USAGE);
    assert_non_null(strstr(err.message, "unknown CPU \"vax\" (x86-64-v3, haswell, "));
    if (cpu_detect(&native, NULL) != WF_OK) skip();
    assert_int_equal(cpu_named("native", &again, &err), WF_OK);
    assert_string_equal(native.key, again.key);
    assert_true(native.sets == again.sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_agrees_with_kernel),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_forced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
