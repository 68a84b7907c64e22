// Every text is fed in pieces of every size: the parts must not depend on where it was cut.
#include "engine/reasoning.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct parts {
    char text[2][256]; // by wf_part
} parts;

static void collect(void *context, wf_part part, const char *text, size_t bytes)
{
    parts *p = context;
    size_t used = strlen(p->text[part]);
    assert_true(bytes > 0 && used + bytes < sizeof p->text[part]);
    memcpy(p->text[part] + used, text, bytes);
}

static void expect(const char *prompt_end, const char *text, const char *thought, const char *said)
{
    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
        parts p = {0};
        reasoning r;
        reasoning_begin(&r, view_of(prompt_end), collect, &p);
        for (size_t at = 0; at < strlen(text); at += piece) {
            size_t left = strlen(text) - at;
            reasoning_feed(&r, text + at, left < piece ? left : piece);
        }
        assert_true(reasoning_end(&r));
        assert_string_equal(p.text[WF_PART_REASONING], thought);
        assert_string_equal(p.text[WF_PART_ANSWER], said);
    }
}

static void test_opened_by_the_prompt(void **state)
{
    (void)state;
    expect("<Assistant><think>\n", "I see.\n</think>\n\nYes.\n", "I see.", "Yes.\n");
    expect("<think>", "</think>Yes", "", "Yes");
    expect("<think>\n", "a < b </ c </thin d", "a < b </ c </thin d", "");
    expect("<think>\n", "\n\nx \n y\n", "x \n y\n", "");
    expect("<think>\n", "a</think> b </think> c", "a", "b </think> c");
    expect("<think>\n", "<<//think></<</think>.", "<<//think></<", ".");
}

static void test_opened_by_the_answer(void **state)
{
    (void)state;
    expect("<Assistant>", "<think>\nHm\n</think>\n\nNo", "Hm", "No");
    expect("<Assistant>", "\n <think>Hm</think>", "Hm", "");
    expect("", "<think", "", "<think");
}

static void test_no_reasoning(void **state)
{
    (void)state;
    expect("<Assistant>", "Yes. <think>not</think>", "", "Yes. <think>not</think>");
    expect("<Assistant>", "  <b>\n", "", "  <b>\n");
    expect("<think></think>", " \xe2\x82\xac", "", " \xe2\x82\xac");
    expect("<Assistant>", "", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opened_by_the_prompt),
        cmocka_unit_test(test_opened_by_the_answer),
        cmocka_unit_test(test_no_reasoning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
