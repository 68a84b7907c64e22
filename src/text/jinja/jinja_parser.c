// The place in the tokens, and new nodes.
#include "text/jinja/jinja_parser.h"

bool parser_is_op(const jinja_parser *p, const char *op)
{
    return p->token->kind == TOKEN_OPERATOR && view_is(p->token->text, op);
}
bool parser_is_word(const jinja_parser *p, const char *word)
{
    return p->token->kind == TOKEN_NAME && view_is(p->token->text, word);
}

void parser_next(jinja_parser *p)
{
    if (p->token->kind != TOKEN_END) p->token++;
    p->r->line = p->token->line;
}

bool parser_skip_op(jinja_parser *p, const char *op)
{
    if (!parser_is_op(p, op)) return false;
    parser_next(p);
    return true;
}

bool parser_skip_word(jinja_parser *p, const char *word)
{
    if (!parser_is_word(p, word)) return false;
    parser_next(p);
    return true;
}

_Noreturn void parser_fail(jinja_parser *p, const char *expected)
{
    p->r->line = p->token->line;
    switch (p->token->kind) {
    case TOKEN_END: jinja_fail(p->r, WF_ERROR_FORMAT, "expected %s, found the end of the template", expected);
    case TOKEN_TEXT: jinja_fail(p->r, WF_ERROR_FORMAT, "expected %s, found text", expected);
    case TOKEN_PRINT_BEGIN: jinja_fail(p->r, WF_ERROR_FORMAT, "expected %s, found '{{'", expected);
    case TOKEN_PRINT_END: jinja_fail(p->r, WF_ERROR_FORMAT, "expected %s, found '}}'", expected);
    case TOKEN_BLOCK_BEGIN: jinja_fail(p->r, WF_ERROR_FORMAT, "expected %s, found '{%%'", expected);
    case TOKEN_BLOCK_END: jinja_fail(p->r, WF_ERROR_FORMAT, "expected %s, found '%%}'", expected);
    default: break;
    }
    size_t len = p->token->text.len < 60 ? p->token->text.len : 60;
    jinja_fail(p->r, WF_ERROR_FORMAT, "expected %s, found '%.*s'", expected, (int)len, p->token->text.data);
}

void parser_expect_op(jinja_parser *p, const char *op)
{
    char quoted[8] = {'\''};
    strncat(quoted, op, 4);
    strncat(quoted, "'", 2);
    if (!parser_skip_op(p, op)) parser_fail(p, quoted);
}

view parser_expect_name(jinja_parser *p)
{
    if (p->token->kind != TOKEN_NAME) parser_fail(p, "a name");
    view name = p->token->text;
    parser_next(p);
    return name;
}

void parser_nest(jinja_parser *p)
{
    if (++p->r->depth > JINJA_MAX_NESTING)
        jinja_fail(p->r, WF_ERROR_LIMIT, "blocks or expressions lie more than %d deep", JINJA_MAX_NESTING);
}

jinja_node *parser_node(jinja_parser *p, jinja_node_kind kind, jinja_node *a, jinja_node *b)
{
    jinja_node *n = jinja_alloc(p->r, 1, sizeof *n);
    n->kind = kind;
    n->line = p->token->line;
    n->a = a;
    n->b = b;
    return n;
}

void parser_set_name(jinja_parser *p, jinja_node *n, view name)
{
    n->name = name;
    n->name_string = jinja_string_new(p->r, name.data, name.len);
}

unsigned jinja_special_parameter(view name)
{
    return view_is(name, "caller")    ? JINJA_CALLER
           : view_is(name, "varargs") ? JINJA_VARARGS
           : view_is(name, "kwargs")  ? JINJA_KWARGS
                                      : 0;
}

void parser_add(jinja_parser *p, jinja_node *n, jinja_node *item, view arg_name)
{
    if (n->n_items == n->items_capacity) {
        size_t capacity = n->items_capacity ? n->items_capacity * 2 : 4;
        jinja_node **items = jinja_alloc(p->r, capacity, sizeof(jinja_node *));
        view *names = jinja_alloc(p->r, capacity, sizeof *names);
        jinja_op *ops = jinja_alloc(p->r, capacity, sizeof *ops);
        if (n->n_items) {
            memcpy(items, n->items, n->n_items * sizeof(jinja_node *));
            memcpy(names, n->arg_names, n->n_items * sizeof *names);
            memcpy(ops, n->ops, n->n_items * sizeof *ops);
        }
        n->items = items;
        n->arg_names = names;
        n->ops = ops;
        n->items_capacity = capacity;
    }
    n->arg_names[n->n_items] = arg_name;
    n->items[n->n_items++] = item;
}
