// Memory that runs out while a tokenizer or a chat template is made and used.
#include <stdio.h>

#include "base/failing_memory.h"
#include "text/chat.h"
#include "text/jinja/jinja.h"
#include "text/tokenizer/test_vocabulary.h"
#include "text/tokenizer/tokenizer.h"

// ---- tokenizers

static wf_status use_tokenizer(const tokenizer *t, wf_error *err)
{
    static const size_t blocked[] = {3};
    token_list ids = {0};
    buffer text = {0};
    wf_status status;
    TRY_GOTO(tokenizer_encode(t, VIEW_LITERAL("hello <s>hello e\u0301 \xff"), true, blocked, 1, &ids, err), done);
    TRY_GOTO(tokenizer_decode(t, ids.ids, ids.count, true, &text, err), done);
done:
    token_list_free(&ids);
    buffer_free(&text);
    return status;
}

static wf_status make_tokenizer(void *context, wf_error *err)
{
    tokenizer *t;
    TRY(tokenizer_create(context, &t, err));
    wf_status status = use_tokenizer(t, err);
    tokenizer_free(t);
    return status;
}

// A vocabulary of bytes with merges and a special token; `scores`: of characters.
static void check_tokenizer(const char *pre, bool scores)
{
    enum { N_TOKENS = 256 + 4 };
    static const char *const EXTRA[] = {"he", "ll", "<s>", "\u2581h"};
    char letters[256][8];
    view tokens[N_TOKENS], merges[] = {view_of("h e"), view_of("l l")};
    int32_t types[N_TOKENS];
    test_vocabulary v = {0};
    for (int i = 0; i < N_TOKENS; i++) {
        size_t length = 0;
        if (i < 256)
            length = scores ? (size_t)snprintf(letters[i], 8, "<0x%02X>", (unsigned)i) : put_letter(i, letters[i]);
        tokens[i] = i < 256 ? (view){letters[i], length} : view_of(EXTRA[i - 256]);
        types[i] = i == 258 ? 3 : i < 256 && scores ? 6 : 1;
    }
    add_text(&v, "tokenizer.ggml.model", scores ? "llama" : "gpt2");
    add_text(&v, "tokenizer.ggml.pre", pre);
    add_int(&v, "tokenizer.ggml.bos_token_id", 258);
    add_int(&v, "tokenizer.ggml.eos_token_id", 258);
    add_texts(&v, "tokenizer.ggml.tokens", tokens, N_TOKENS);
    add_ints(&v, "tokenizer.ggml.token_type", types, N_TOKENS);
    if (scores) {
        put_key(&v, "tokenizer.ggml.scores", METADATA_ARRAY);
        put_number(&v.values, METADATA_F32, 4);
        put_number(&v.values, N_TOKENS, 8);
        for (int i = 0; i < N_TOKENS; i++) put_number(&v.values, 0, 4);
    }
    add_texts(&v, "tokenizer.ggml.merges", merges, 2);
    checkpoint *file;
    assert_int_equal(open_vocabulary(&v, &file, NULL), WF_OK);
    fail_each_allocation(make_tokenizer, file);
    checkpoint_close(file);
    free_vocabulary(&v);
}

static void test_tokenizer(void **state)
{
    (void)state;
    check_tokenizer("qwen2", false); // brings text to NFC
    check_tokenizer("gpt-2", false);
    check_tokenizer("default", true);
}

// ---- templates

static const char CONTEXT[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi <|x|> \\u00e9\\n\"}],"
                              " \"s\": \"abc de\", \"i\": -7, \"f\": 1e16, \"n\": null, \"l\": [3, 1, 2],"
                              " \"d\": {\"b\": 1, \"a\": \"x\"}}";

// Each renders at least one kind of value, statement, filter, test or method that allocates for itself.
static const char *const TEMPLATES[] = {
    "plain {{ s }} {{ i }} {{ f }} {{ n }} {{ l }} {{ d }} {# no #}{% raw %}{{ }}{% endraw %}",
    "{% for m in messages %}{{ loop.index }}{{ m.role + ': ' + m['content'] | trim }}{% else %}none{% endfor %}",
    "{% set ns = namespace(x=1) %}{% set ns.x = ns.x + 1 %}{{ ns.x }}{% set a, b = (1, 2) %}{{ a ~ b }}",
    "{% macro f(a, b='c') %}{{ a }}{{ b }}{{ caller() if caller }}{% endmacro %}{{ f('x') }}{{ f(b=1, a=2) }}"
    "{% call f(3) %}body{% endcall %}",
    "{{ l | sort | join(', ') }} {{ l | map('string') | list }} {{ l | select('odd') | list }} {{ l | reverse | list "
    "}}",
    "{{ d | dictsort }} {{ d.items() | list }} {{ d | tojson(indent=2) }} {{ messages | tojson }}",
    "{{ s.split(' ') }} {{ s.upper() }} {{ s | replace('a', 'bb') }} {{ s[::-1] }} {{ s.strip('a') | title }}",
    "{{ 'x%sy%5.2f' % (s, 1.5) }} {{ '{} {}'.format(1, 'b') }} {{ s | indent }} {{ s | wordwrap(3) }} {{ '<' | e }}",
    "{% filter upper %}{{ s }}{% endfilter %}{% set x %}block {{ i }}{% endset %}{{ x }}{{ 2 ** 7 }}{{ 7 // 2 }}",
    "{{ [1, 2] + [3] }} {{ (1, 'a') }} {{ {'k': [1], 2: 3} }} {{ l[1:] }} {{ range(3) | list }} {{ s if i else n }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list }} {{ l | groupby(0) if n }} {{ l | batch(2) | list }}",
};

static wf_status render(void *context, wf_error *err)
{
    static const char *const foreign[] = {"messages", "s", NULL};
    jinja_template *t;
    buffer out = {0}, origin = {0};
    bool armed = failing.armed;
    failing.armed = false; // the caller's
    json_t *variables = json_loads(CONTEXT, 0, NULL);
    failing.armed = armed;
    wf_status status = jinja_compile(view_of(context), "test", &t, err);
    if (status == WF_OK) {
        status = jinja_render_origin(t, variables, foreign, &out, &origin, err);
        jinja_free(t);
    }
    failing.armed = false;
    json_decref(variables);
    buffer_free(&out);
    buffer_free(&origin);
    failing.armed = armed;
    return status;
}

static void test_templates(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof TEMPLATES / sizeof *TEMPLATES; i++)
        fail_each_allocation(render, (void *)(uintptr_t)TEMPLATES[i]);
}

typedef struct conversation {
    json_t *variables, *messages;
    checkpoint *file;
} conversation;

static wf_status apply_chat(void *context, wf_error *err)
{
    static const view SPECIALS[] = {VIEW_LITERAL("<|x|>"), VIEW_LITERAL("<|y|>")};
    static const char SOURCE[] = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}";
    const conversation *c = context;
    json_t *variables;
    chat_template *t;
    buffer out = {0};
    size_t *blocked = NULL, n_blocked;
    TRY(chat_variables(c->file, &variables, err));
    json_decref(variables);
    TRY(chat_template_create(view_of(SOURCE), "test", c->variables, &t, err));
    wf_status status = chat_template_apply(t, c->messages, NULL, true, SPECIALS, 2, &out, &blocked, &n_blocked, err);
    if (status != WF_OK) assert_null(blocked);
    free(blocked);
    buffer_free(&out);
    chat_template_free(t);
    return status;
}

static void test_chat(void **state)
{
    (void)state;
    json_set_alloc_funcs(__wrap_malloc, free);
    conversation c = {
        .variables = json_pack("{s:s}", "bos_token", "<s>"),
        .messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "a <|x|> b <|y|>"),
    };
    static const view TOKENS[] = {VIEW_LITERAL("<s>"), VIEW_LITERAL("</s>")};
    test_vocabulary v = {0};
    add_texts(&v, "tokenizer.ggml.tokens", TOKENS, 2);
    add_int(&v, "tokenizer.ggml.eos_token_id", 1);
    assert_int_equal(open_vocabulary(&v, &c.file, NULL), WF_OK);
    fail_each_allocation(apply_chat, &c);
    checkpoint_close(c.file);
    free_vocabulary(&v);
    json_decref(c.variables);
    json_decref(c.messages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_chat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
