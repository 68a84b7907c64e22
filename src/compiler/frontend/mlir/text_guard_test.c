// Files that MLIR's parser would crash on, and those that only look so.
#include "compiler/frontend/mlir/text_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h> // needs those above

#include "base/buffer.h"

// On a heap copy of the exact size, so that a read beyond the end is seen by the sanitizer. NULL reason: passes.
static void expect(const char *text, size_t bytes, const char *reason)
{
    char *copy = malloc(bytes + !bytes);
    assert_non_null(copy);
    memcpy(copy, text, bytes);
    wf_error err = {0};
    wf_status status = text_guard_check((view){copy, bytes}, "f", &err);
    free(copy);
    if (status != (reason ? WF_ERROR_FORMAT : WF_OK)) fail_msg("status %d for \"%.60s\"", (int)status, text);
    if (reason && !strstr(err.message, reason)) fail_msg("\"%s\" lacks \"%s\"", err.message, reason);
}

static void expect_text(const char *text, const char *reason) { expect(text, strlen(text), reason); }

static void put_many(buffer *out, const char *text, int n)
{
    for (int i = 0; i < n; i++) buffer_append_view(out, view_of(text));
}

// `text` n times between two others.
static void expect_many(const char *before, const char *text, int n, const char *after, const char *reason)
{
    buffer b = {0};
    put_many(&b, before, 1);
    put_many(&b, text, n);
    put_many(&b, after, 1);
    assert_false(b.failed);
    expect(b.data, b.len, reason);
    buffer_free(&b);
}

static void test_nesting(void **state)
{
    (void)state;
    expect_many("", "[", 500, "", NULL);
    expect_many("", "[", 501, "", "f:1:501: nested too deeply");
    expect_many("\n\n  ", "tuple<", 501, "", "f:3:3008: nested too deeply");
    expect_many("", "()", 5000, "", NULL);
    expect_many("", ")", 5000, "((", NULL); // closed before they were opened
    // brackets in strings and comments are none; an arrow closes nothing
    expect_many("", "\"[\" ", 5000, "", NULL);
    expect_many("", "// [[[\n", 5000, "", NULL);
    expect_many("\"", "\\\"[", 5000, "\"", NULL);
    expect_many("", "(->", 501, "", "nested too deeply");
    expect_many("", "(", 501, "", "nested too deeply");
}

// The parser descends once an operator, until the expression ends.
static void test_operators(void **state)
{
    (void)state;
    expect_many("affine_map<(i) -> (i", " + i", 400, ")>", NULL);
    expect_many("affine_map<(i) -> (i", " + i", 501, ")>", "nested too deeply");
    expect_many("affine_map<(i) -> (i", " mod i", 501, ")>", "nested too deeply");
    expect_many("affine_map<(i) -> (i", ", i + i", 5000, ")>", NULL);
    expect_many("[", "1.5E-10, ", 5000, "]", NULL);
    expect_many("[", "-1, ", 5000, "]", NULL);
    // what brackets held belongs to the expression around them
    expect_many("affine_map<(i) -> (i", " + (i + i)", 300, ")>", "nested too deeply");
}

// An alias nests by what it stands for, and each may stand for the one before.
static void test_aliases(void **state)
{
    (void)state;
    buffer b = {0};
    for (int i = 1; i < 600; i++) buffer_printf(&b, "#a%d = [#a%d]\n", i, i - 1);
    assert_false(b.failed);
    expect(b.data, b.len, "nested too deeply");
    buffer_clear(&b);
    for (int i = 1; i < 5000; i++) buffer_printf(&b, "#a%d = [[[1]]]\n!t%d = tuple<#a%d>\n", i, i, i);
    expect(b.data, b.len, NULL);
    buffer_free(&b);
    expect_text("#a = #a\n#a = [#a]\n#b = #never", NULL);
    expect_text("#", NULL);
    expect_text("!=", NULL);
}

static void test_axes(void **state)
{
    (void)state;
    expect_text("linalg.transpose permutation = [1, 0]", NULL);
    expect_text("linalg.transpose permutation = array<i64: 1, 0>", NULL);
    expect_text("linalg.transpose permutation = [1, x]", "f:1:32: not a list of axes");
    expect_text("\nlinalg.reduce dimensions = %a", "f:2:28: not a list of axes");
    expect_text("dimensions = [1234567890123456789]", "not a list of axes");
    expect_text("dimensions = [123456789012345678]", NULL);
    expect_text("dimensions =", "f:1:12: not a list of axes");
    expect_text("dimensions", NULL);
    expect_text("my_dimensions = x, %dimensions = x", NULL); // other names
    expect_text("dimensions = [1", NULL);
}

static void test_resources(void **state)
{
    (void)state;
#define RESOURCE(data) "{-# dialect_resources: { builtin: { r: \"" data "\" } } #-}"
    expect_text(RESOURCE("0x40000000AA"), NULL);
    expect_text(RESOURCE("0x00000000AA"), "an alignment of 0 bytes");
    expect_text(RESOURCE("0x03000000AA"), "the resource 'r' has an alignment of 3 bytes, which is no power of two");
    expect_text(RESOURCE("0x00000080AA"), "2147483648 bytes, which is no power of two up to 1048576");
    expect_text(RESOURCE("0x00001000"), NULL); // 2^20
    expect_text(RESOURCE("0x4"), NULL);        // the parser says so
    expect_text(RESOURCE("0xZZ000000"), NULL);
    expect_text("r: \"0x03000000AA\"", NULL); // no resource
    expect_text("{-# external_resources: { builtin: { r: \"0x03000000AA\" } } #-}", NULL);
}

// Any text may end anywhere, and hold any byte; only a list that has not begun is refused.
static void test_cut(void **state)
{
    (void)state;
    static const char TEXT[] = "#a = affine_map<(d0) -> (d0 floordiv 2)>\n\0\xff%0 = op \"s\\\"\" dimensions=[1] // x\n"
                               "{-# dialect_resources: { builtin: { r: \"0x40000000AA\" } } #-}";
    for (size_t n = 0; n < sizeof TEXT; n++) expect(TEXT, n, n && TEXT[n - 1] == '=' && n > 60 ? "not a list" : NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nesting), cmocka_unit_test(test_operators), cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_axes),    cmocka_unit_test(test_resources), cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
