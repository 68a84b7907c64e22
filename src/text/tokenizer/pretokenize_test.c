// What each pre-tokenizer makes of a text, where they differ.
#include "text/tokenizer/pretokenize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> // needs those above

#include "base/buffer.h"

typedef struct cut {
    const char *name, *text, *words; // words joined by '|'
} cut;

static const cut CUTS[] = {
    {"gpt-2", "Hello world, it's  5 o'clock 1234!!", "Hello| world|,| it|'s| | 5| o|'|clock| 1234|!!"},
    {"gpt-2", "a\n\n b \t", "a|\n\n| b| \t"},
    {"smollm", "a  12b ³", "a|  |1|2|b| |³"},
    {"smollm", " \n\n1", " \n\n|1"},
    {"llama-bpe", "WE'VE 12345 (x)\r\n\r\n  y", "WE|'VE| |123|45| (|x|)\r\n\r\n| | y"},
    {"llama-bpe", "\tfoo+bar", "\tfoo|+bar"},
    {"qwen2", "x=123;\n  y", "x|=|1|2|3|;\n| | y"},
    {"qwen2", "'\u017fa'S", "'\u017f|a|'S"},                               // the long s folds to s
    {"deepseek-r1-qwen", "don't\u00a0\u180ego", "don|'t|\u00a0|\u180ego"}, // U+180E is no white space
    {"default", "a+b=12345  c", "a|+|b|=|123|45| | c"},
};

static wf_status append_word(void *context, view word, wf_error *err)
{
    (void)err;
    buffer *words = context;
    if (words->len) buffer_append_char(words, '|');
    buffer_append_view(words, word);
    return WF_OK;
}

static pretokenizer *open_named(const char *name)
{
    pretokenizer *p = NULL;
    const pretokenizer_recipe *recipe = pretokenizer_find_recipe(view_of(name));
    assert_non_null(recipe);
    assert_int_equal(pretokenizer_create_named(recipe, &p, NULL), WF_OK);
    return p;
}

static void test_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof CUTS / sizeof *CUTS; ++i) {
        pretokenizer *p;
        buffer words = {0};
        p = open_named(CUTS[i].name);
        assert_int_equal(pretokenizer_split(p, view_of(CUTS[i].text), append_word, &words, NULL), WF_OK);
        assert_string_equal(words.data, CUTS[i].words);
        buffer_free(&words);
        pretokenizer_free(p);
    }
}

static wf_status refuse_word(void *context, view word, wf_error *err)
{
    int *calls = context;
    ++*calls;
    return error_set(err, WF_ERROR_LIMIT, "refused %.*s", VIEW_ARG(word));
}

static void test_stops_at_error(void **state)
{
    (void)state;
    pretokenizer *p;
    wf_error err;
    int calls = 0;
    p = open_named("qwen2");
    assert_int_equal(pretokenizer_split(p, view_of("one two"), refuse_word, &calls, &err), WF_ERROR_LIMIT);
    assert_string_equal(err.message, "refused one");
    assert_int_equal(calls, 1);
    assert_int_equal(pretokenizer_split(p, view_of(""), refuse_word, &calls, &err), WF_OK);
    pretokenizer_free(p);
}

static void test_unknown_name(void **state)
{
    (void)state;
    assert_null(pretokenizer_find_recipe(view_of("qwen")));
    assert_null(pretokenizer_find_recipe(view_of("")));
    assert_non_null(pretokenizer_find_recipe(view_of("exaone4")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_stops_at_error),
        cmocka_unit_test(test_unknown_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
