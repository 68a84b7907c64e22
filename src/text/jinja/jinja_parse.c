// Tokens into a tree: text, and statements with their bodies.
#include "text/jinja/jinja_parser.h"

static jinja_node *parse_body(jinja_parser *p, const char *const *ends, size_t *which);

static jinja_node *parse_target_part(jinja_parser *p)
{
    jinja_node *n;
    if (parser_skip_op(p, "(")) {
        parser_nest(p);
        n = jinja_parse_tuple(p, parse_target_part, NULL, true);
        jinja_leave(p->r);
        parser_expect_op(p, ")");
        return n;
    }
    n = parser_node(p, NODE_NAME, NULL, NULL);
    parser_set_name(p, n, parser_expect_name(p));
    static const char *const constants[] = {"true", "True", "false", "False", "none", "None"};
    for (size_t i = 0; i < 6; i++)
        if (view_is(n->name, constants[i])) jinja_fail(p->r, WF_ERROR_FORMAT, "cannot assign to %s", constants[i]);
    if (parser_is_op(p, ".")) return jinja_parse_dot(p, n);
    p->assigned |= jinja_special_parameter(n->name);
    return n;
}

static void expect_block_end(jinja_parser *p)
{
    if (p->token->kind != TOKEN_BLOCK_END) parser_fail(p, "'%}'");
    parser_next(p);
}

// The body of a statement whose tag ends here, up to and over the word that ends it; gives the index of that word. The
// tag of that word stays open.
static jinja_node *parse_block(jinja_parser *p, const char *const *ends, size_t *which)
{
    expect_block_end(p);
    parser_nest(p);
    jinja_node *body = parse_body(p, ends, which);
    jinja_leave(p->r);
    parser_next(p);
    return body;
}

static jinja_node *parse_until(jinja_parser *p, const char *end)
{
    size_t which;
    return parse_block(p, (const char *const[]){end, NULL}, &which);
}

static jinja_node *parse_if(jinja_parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    jinja_node *n = parser_node(p, NODE_IF, NULL, NULL);
    size_t which = 0;
    while (which == 0) {
        parser_add(p, n, jinja_parse_tuple(p, jinja_parse_or, NULL, false), PARSER_NO_NAME);
        parser_add(p, n, parse_block(p, ends, &which), PARSER_NO_NAME);
    }
    if (which == 1) n->c = parse_until(p, "endif");
    return n;
}

static jinja_node *parse_for(jinja_parser *p)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    jinja_node *n = parser_node(p, NODE_FOR, NULL, NULL);
    n->a = jinja_parse_tuple(p, parse_target_part, "in", false);
    if (!parser_skip_word(p, "in")) parser_fail(p, "'in'");
    n->b = jinja_parse_tuple(p, jinja_parse_or, "recursive", false);
    if (parser_skip_word(p, "if")) n->c = jinja_parse_expression(p);
    n->value = jinja_bool(parser_skip_word(p, "recursive"));
    size_t which;
    p->loops++;
    parser_add(p, n, parse_block(p, ends, &which), PARSER_NO_NAME);
    p->loops--;
    parser_add(p, n, which == 1 ? parse_until(p, "endfor") : NULL, PARSER_NO_NAME);
    return n;
}

// upper | replace("a", "b"): a chain of filters over the text of a block.
static jinja_node *parse_filter_chain(jinja_parser *p)
{
    jinja_node *n = jinja_parse_filter(p, NULL);
    while (parser_skip_op(p, "|")) n = jinja_parse_filter(p, n);
    return n;
}

static jinja_node *parse_set(jinja_parser *p)
{
    jinja_node *n = parser_node(p, NODE_SET, NULL, NULL);
    n->a = jinja_parse_tuple(p, parse_target_part, NULL, false);
    if (parser_skip_op(p, "=")) {
        n->b = jinja_parse_tuple(p, jinja_parse_expression, NULL, false);
        return n;
    }
    n->kind = NODE_SET_BLOCK;
    if (parser_skip_op(p, "|")) n->b = parse_filter_chain(p);
    n->c = parse_until(p, "endset");
    return n;
}

// (a, b=default): the parameters of a macro or of a call block.
static void parse_parameters(jinja_parser *p, jinja_node *macro)
{
    parser_expect_op(p, "(");
    bool has_default = false;
    while (!parser_is_op(p, ")")) {
        if (macro->n_items) parser_expect_op(p, ",");
        view name = parser_expect_name(p);
        jinja_node *fallback = parser_skip_op(p, "=") ? jinja_parse_expression(p) : NULL;
        if (!fallback && has_default) jinja_fail(p->r, WF_ERROR_FORMAT, "parameter without default after one with");
        has_default |= fallback != NULL;
        parser_add(p, macro, fallback, name);
    }
    parser_expect_op(p, ")");
}

// The body of a macro. What it reads of caller, varargs and kwargs, a call must hand over; names count for the macros
// around it too, as in jinja2.
static void parse_macro_body(jinja_parser *p, jinja_node *macro, const char *end)
{
    jinja_parser outer = *p;
    p->loops = 0;
    p->specials = p->assigned = 0;
    macro->c = parse_until(p, end);
    macro->specials = p->specials;
    p->loops = outer.loops;
    p->specials = outer.specials | (p->specials & ~outer.assigned);
    p->assigned |= outer.assigned;
    for (size_t i = 0; i < macro->n_items; i++) {
        unsigned special = jinja_special_parameter(macro->arg_names[i]);
        if (special & macro->specials & JINJA_CALLER && !macro->items[i])
            jinja_fail(p->r, WF_ERROR_FORMAT, "parameter 'caller' needs a default");
        macro->specials &= ~special;
    }
}

static jinja_node *parse_macro(jinja_parser *p)
{
    jinja_node *n = parser_node(p, NODE_MACRO, NULL, NULL);
    parser_set_name(p, n, parser_expect_name(p));
    parse_parameters(p, n);
    parse_macro_body(p, n, "endmacro");
    return n;
}

static jinja_node *parse_call_block(jinja_parser *p)
{
    jinja_node *n = parser_node(p, NODE_CALL_BLOCK, NULL, parser_node(p, NODE_MACRO, NULL, NULL));
    n->b->name = VIEW_LITERAL("caller"); // in messages; it has no name to the template
    if (parser_is_op(p, "(")) parse_parameters(p, n->b);
    n->a = jinja_parse_expression(p);
    if (n->a->kind != NODE_CALL) jinja_fail(p->r, WF_ERROR_FORMAT, "'call' needs a call");
    parser_add(p, n->a, n->b, VIEW_LITERAL("caller")); // evaluates to the macro
    parse_macro_body(p, n->b, "endcall");
    return n;
}

static jinja_node *parse_filter_block(jinja_parser *p)
{
    jinja_node *n = parser_node(p, NODE_FILTER_BLOCK, NULL, NULL);
    n->b = parse_filter_chain(p);
    n->c = parse_until(p, "endfilter");
    return n;
}

static jinja_node *parse_with(jinja_parser *p)
{
    jinja_node *n = parser_node(p, NODE_WITH, NULL, NULL);
    while (p->token->kind != TOKEN_BLOCK_END) {
        if (n->n_items) parser_expect_op(p, ",");
        parser_add(p, n, parse_target_part(p), PARSER_NO_NAME);
        parser_expect_op(p, "=");
        parser_add(p, n, jinja_parse_expression(p), PARSER_NO_NAME);
    }
    n->c = parse_until(p, "endwith");
    return n;
}

// Hugging Face marks the assistant's text with it for training; it prints its body.
static jinja_node *parse_generation(jinja_parser *p) { return parse_until(p, "endgeneration"); }

static jinja_node *parse_loop_control(jinja_parser *p, jinja_node_kind kind)
{
    if (!p->loops) jinja_fail(p->r, WF_ERROR_FORMAT, "'break' or 'continue' outside a loop");
    return parser_node(p, kind, NULL, NULL);
}

static jinja_node *parse_break(jinja_parser *p) { return parse_loop_control(p, NODE_BREAK); }
static jinja_node *parse_continue(jinja_parser *p) { return parse_loop_control(p, NODE_CONTINUE); }

static const struct {
    const char *word;
    jinja_node *(*parse)(jinja_parser *p);
} statements[] = {
    {"if", parse_if},
    {"for", parse_for},
    {"set", parse_set},
    {"macro", parse_macro},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"with", parse_with},
    {"break", parse_break},
    {"continue", parse_continue},
    {"generation", parse_generation},
};

static jinja_node *parse_statement(jinja_parser *p)
{
    static const char *const missing[] = {"block", "extends",    "include", "import", "from",
                                          "do",    "autoescape", "trans",   "debug"};
    if (p->token->kind != TOKEN_NAME) parser_fail(p, "a statement");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!parser_is_word(p, statements[i].word)) continue;
        parser_next(p);
        jinja_node *n = statements[i].parse(p);
        expect_block_end(p);
        return n;
    }
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        if (parser_is_word(p, missing[i])) jinja_fail(p->r, WF_ERROR_UNSUPPORTED, "statement '%s'", missing[i]);
    parser_fail(p, "a statement");
}

// The statements up to a tag that begins with ends[*which] (current after the call) or, with NULL, to the template's
// end.
static jinja_node *parse_body(jinja_parser *p, const char *const *ends, size_t *which)
{
    jinja_node *body = parser_node(p, NODE_BLOCK, NULL, NULL);
    for (;;) {
        if (p->token->kind == TOKEN_TEXT) {
            jinja_node *text = parser_node(p, NODE_TEXT, NULL, NULL);
            text->value = jinja_str(jinja_string_new(p->r, p->token->text.data, p->token->text.len));
            parser_add(p, body, text, PARSER_NO_NAME);
            parser_next(p);
        } else if (p->token->kind == TOKEN_PRINT_BEGIN) {
            jinja_node *print = parser_node(p, NODE_PRINT, NULL, NULL);
            parser_next(p);
            print->a = jinja_parse_tuple(p, jinja_parse_expression, NULL, false);
            if (p->token->kind != TOKEN_PRINT_END) parser_fail(p, "'}}'");
            parser_next(p);
            parser_add(p, body, print, PARSER_NO_NAME);
        } else if (p->token->kind == TOKEN_BLOCK_BEGIN) {
            parser_next(p);
            for (size_t i = 0; ends && ends[i]; i++) {
                if (!parser_is_word(p, ends[i])) continue;
                *which = i;
                return body;
            }
            parser_add(p, body, parse_statement(p), PARSER_NO_NAME);
        } else {
            if (ends) {
                char wanted[64] = "'";
                strncat(wanted, ends[0], 30);
                strncat(wanted, "'", 2);
                parser_fail(p, wanted);
            }
            return body;
        }
    }
}

jinja_node *jinja_parse(jinja_run *r, view source)
{
    jinja_parser p = {.r = r, .token = jinja_lex(r, source)};
    r->line = 1;
    return parse_body(&p, NULL, NULL);
}
