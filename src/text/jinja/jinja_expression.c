// Expressions into trees, by recursive descent; precedence as in jinja2, loosest first:
//
//     x if c else y | or | and | not | == != < <= > >= in, not in | + - | ~ | * / // % | ** | - + (unary) | . [] () |
//     is
//
// Left-associative chains become trees as deep as the chain is long, which rendering limits; brackets and blocks nest
// at most JINJA_MAX_NESTING deep here.
#include "text/jinja/jinja_parser.h"

static jinja_node *parse_unary(jinja_parser *p, bool with_filters);
static jinja_node *parse_primary(jinja_parser *p);
static jinja_node *parse_postfix(jinja_parser *p, jinja_node *n);

static jinja_node *new_const(jinja_parser *p, jinja_value value)
{
    jinja_node *n = parser_node(p, NODE_CONST, NULL, NULL);
    n->value = value;
    return n;
}

// What stands before an argument: nothing, "name=", "*" or "**"; gives the name, "*" or "**".
static view parse_argument_name(jinja_parser *p)
{
    view name = PARSER_NO_NAME;
    bool named = p->token->kind == TOKEN_NAME && p->token[1].kind == TOKEN_OPERATOR && view_is(p->token[1].text, "=");
    if (!named && !parser_is_op(p, "*") && !parser_is_op(p, "**")) return name;
    name = p->token->text;
    parser_next(p);
    if (named) parser_next(p);
    return name;
}

// Positional ones first, then named ones and one "*", then one "**"; no name twice.
static void check_argument_order(const jinja_parser *p, const jinja_node *n, view name)
{
    for (size_t i = 0; i < n->n_items; i++) {
        view before = n->arg_names[i];
        if (view_is(before, "**") || (before.len && !name.len) || (name.len && view_equal(before, name)))
            jinja_fail(p->r, WF_ERROR_FORMAT, "argument after one that must follow it, or given twice");
    }
}

// (a, b=c, *d, **e): the arguments of a call, filter or test.
static void parse_arguments(jinja_parser *p, jinja_node *n)
{
    parser_expect_op(p, "(");
    while (!parser_is_op(p, ")")) {
        if (n->n_items) {
            parser_expect_op(p, ",");
            if (parser_is_op(p, ")")) break;
        }
        view name = parse_argument_name(p);
        check_argument_order(p, n, name);
        parser_add(p, n, jinja_parse_expression(p), name);
    }
    parser_expect_op(p, ")");
}

// True where an expression cannot begin, so that a tuple ends: ")", "}}", "%}" and a word of the statement around.
static bool ends_tuple(const jinja_parser *p, const char *end_word)
{
    return p->token->kind == TOKEN_PRINT_END || p->token->kind == TOKEN_BLOCK_END || parser_is_op(p, ")") ||
           (end_word && parser_is_word(p, end_word));
}

// a, b, c into a tuple; a alone into itself.
jinja_node *jinja_parse_tuple(jinja_parser *p, jinja_parse_fn *parse_part, const char *end_word, bool in_brackets)
{
    jinja_node *tuple = parser_node(p, NODE_TUPLE, NULL, NULL);
    bool is_tuple = false;
    while (!ends_tuple(p, end_word)) {
        parser_add(p, tuple, parse_part(p), PARSER_NO_NAME);
        if (!parser_skip_op(p, ",")) break;
        is_tuple = true;
    }
    if (!is_tuple && tuple->n_items) return tuple->items[0];
    if (!is_tuple && !in_brackets) parser_fail(p, "an expression");
    return tuple;
}

static jinja_node *parse_list(jinja_parser *p)
{
    jinja_node *list = parser_node(p, NODE_LIST, NULL, NULL);
    parser_expect_op(p, "[");
    while (!parser_is_op(p, "]")) {
        if (list->n_items) parser_expect_op(p, ",");
        if (parser_is_op(p, "]")) break;
        parser_add(p, list, jinja_parse_expression(p), PARSER_NO_NAME);
    }
    parser_expect_op(p, "]");
    return list;
}

static jinja_node *parse_dict(jinja_parser *p)
{
    jinja_node *dict = parser_node(p, NODE_DICT, NULL, NULL);
    parser_expect_op(p, "{");
    while (!parser_is_op(p, "}")) {
        if (dict->n_items) parser_expect_op(p, ",");
        if (parser_is_op(p, "}")) break;
        parser_add(p, dict, jinja_parse_expression(p), PARSER_NO_NAME);
        parser_expect_op(p, ":");
        parser_add(p, dict, jinja_parse_expression(p), PARSER_NO_NAME);
    }
    parser_expect_op(p, "}");
    return dict;
}

static jinja_node *parse_name(jinja_parser *p)
{
    view name = p->token->text;
    jinja_node *n;
    if (view_is(name, "true") || view_is(name, "True")) {
        n = new_const(p, jinja_bool(true));
    } else if (view_is(name, "false") || view_is(name, "False")) {
        n = new_const(p, jinja_bool(false));
    } else if (view_is(name, "none") || view_is(name, "None")) {
        n = new_const(p, jinja_none());
    } else {
        n = parser_node(p, NODE_NAME, NULL, NULL);
        parser_set_name(p, n, name);
        p->specials |= jinja_special_parameter(name) & ~p->assigned;
    }
    parser_next(p);
    return n;
}

// "a" "b" is "ab".
static jinja_node *parse_strings(jinja_parser *p)
{
    jinja_text t = {0};
    jinja_node *n = new_const(p, jinja_none());
    for (; p->token->kind == TOKEN_STRING; parser_next(p))
        jinja_text_add(p->r, &t, p->token->text.data, p->token->text.len, NULL);
    n->value = jinja_str(jinja_text_end(p->r, &t));
    return n;
}

static jinja_node *parse_primary(jinja_parser *p)
{
    jinja_node *n = NULL;
    switch (p->token->kind) {
    case TOKEN_NAME: return parse_name(p);
    case TOKEN_STRING: return parse_strings(p);
    case TOKEN_INT: n = new_const(p, jinja_int(p->token->integer)); break;
    case TOKEN_BIG: n = new_const(p, jinja_integer_of(p->r, p->token->text)); break;
    case TOKEN_FLOAT: n = new_const(p, jinja_float(p->token->real)); break;
    default: break;
    }
    if (n) {
        parser_next(p);
        return n;
    }
    if (parser_is_op(p, "[")) return parse_list(p);
    if (parser_is_op(p, "{")) return parse_dict(p);
    if (!parser_skip_op(p, "(")) parser_fail(p, "an expression");
    n = jinja_parse_tuple(p, jinja_parse_expression, NULL, true);
    parser_expect_op(p, ")");
    return n;
}

// A subscript's inside: an expression or a slice.
static jinja_node *parse_subscript(jinja_parser *p)
{
    jinja_node *first = parser_is_op(p, ":") ? NULL : jinja_parse_expression(p);
    if (!parser_is_op(p, ":")) return first;
    jinja_node *slice = parser_node(p, NODE_SLICE, first, NULL);
    parser_next(p);
    if (!parser_is_op(p, ":") && !parser_is_op(p, "]") && !parser_is_op(p, ",")) slice->b = jinja_parse_expression(p);
    if (parser_skip_op(p, ":") && !parser_is_op(p, "]") && !parser_is_op(p, ",")) slice->c = jinja_parse_expression(p);
    return slice;
}

static jinja_node *parse_brackets(jinja_parser *p, jinja_node *object)
{
    jinja_node *n = parser_node(p, NODE_ITEM, object, NULL), *tuple = parser_node(p, NODE_TUPLE, NULL, NULL);
    parser_expect_op(p, "[");
    while (!parser_is_op(p, "]")) {
        if (tuple->n_items) parser_expect_op(p, ",");
        parser_add(p, tuple, parse_subscript(p), PARSER_NO_NAME);
    }
    parser_expect_op(p, "]");
    n->b = tuple->n_items == 1 ? tuple->items[0] : tuple;
    return n;
}

jinja_node *jinja_parse_dot(jinja_parser *p, jinja_node *object)
{
    jinja_node *n = parser_node(p, NODE_ATTR, object, NULL);
    parser_expect_op(p, ".");
    if (p->token->kind == TOKEN_INT) {
        n->kind = NODE_ITEM;
        n->b = parse_primary(p);
    } else {
        parser_set_name(p, n, parser_expect_name(p));
    }
    return n;
}

static jinja_node *parse_call(jinja_parser *p, jinja_node *function)
{
    jinja_node *n = parser_node(p, NODE_CALL, function, NULL);
    parse_arguments(p, n);
    return n;
}

static jinja_node *parse_postfix(jinja_parser *p, jinja_node *n)
{
    for (;;) {
        if (parser_is_op(p, "."))
            n = jinja_parse_dot(p, n);
        else if (parser_is_op(p, "["))
            n = parse_brackets(p, n);
        else if (parser_is_op(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
}

// The name of a filter or test, which may have dots in it (of extensions; welford has none).
static void parse_dotted_name(jinja_parser *p, jinja_node *n)
{
    jinja_text name = {0};
    view first = parser_expect_name(p);
    parser_set_name(p, n, first);
    if (!parser_is_op(p, ".")) return;
    jinja_text_add(p->r, &name, first.data, first.len, NULL);
    while (parser_skip_op(p, ".")) {
        view part = parser_expect_name(p);
        jinja_text_add_literal(p->r, &name, ".");
        jinja_text_add(p->r, &name, part.data, part.len, NULL);
    }
    parser_set_name(p, n, (view){name.data, name.len});
}

// a | name(arguments), from the "|" on or, in a filter block, from the name on.
jinja_node *jinja_parse_filter(jinja_parser *p, jinja_node *n)
{
    jinja_node *filter = parser_node(p, NODE_FILTER, n, NULL);
    parse_dotted_name(p, filter);
    if (parser_is_op(p, "(")) parse_arguments(p, filter);
    filter->filter = jinja_find_filter(filter->name);
    return filter;
}

static bool begins_test_argument(const jinja_parser *p)
{
    switch (p->token->kind) {
    case TOKEN_STRING:
    case TOKEN_INT:
    case TOKEN_BIG:
    case TOKEN_FLOAT: return true;
    case TOKEN_NAME: return !parser_is_word(p, "else") && !parser_is_word(p, "or") && !parser_is_word(p, "and");
    default: return parser_is_op(p, "(") || parser_is_op(p, "[") || parser_is_op(p, "{");
    }
}

static jinja_node *parse_test(jinja_parser *p, jinja_node *n)
{
    bool negated = parser_skip_word(p, "not");
    jinja_node *test = parser_node(p, NODE_TEST, n, NULL);
    parse_dotted_name(p, test);
    test->test = jinja_find_test(test->name);
    if (parser_is_op(p, "(")) {
        parse_arguments(p, test);
    } else if (begins_test_argument(p)) {
        if (parser_is_word(p, "is")) jinja_fail(p->r, WF_ERROR_FORMAT, "'is' after a test");
        parser_add(p, test, parse_postfix(p, parse_primary(p)), PARSER_NO_NAME);
    }
    return negated ? parser_node(p, NODE_NOT, test, NULL) : test;
}

static jinja_node *parse_filters(jinja_parser *p, jinja_node *n)
{
    for (;;) {
        if (parser_skip_op(p, "|"))
            n = jinja_parse_filter(p, n);
        else if (parser_skip_word(p, "is"))
            n = parse_test(p, n);
        else if (parser_is_op(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
}

static jinja_node *parse_unary(jinja_parser *p, bool with_filters)
{
    jinja_node *n;
    parser_nest(p);
    if (parser_is_op(p, "-") || parser_is_op(p, "+")) {
        n = parser_node(p, parser_is_op(p, "-") ? NODE_NEGATE : NODE_PLUS, NULL, NULL);
        parser_next(p);
        n->a = parse_unary(p, false);
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    if (with_filters) n = parse_filters(p, n);
    jinja_leave(p->r);
    return n;
}

static jinja_node *parse_power(jinja_parser *p)
{
    jinja_node *n = parse_unary(p, true);
    while (parser_is_op(p, "**")) {
        n = parser_node(p, NODE_BINARY, n, NULL);
        n->op = OP_POW;
        parser_next(p);
        n->b = parse_unary(p, true);
    }
    return n;
}

static jinja_node *parse_product(jinja_parser *p)
{
    static const char *const ops[] = {"*", "/", "//", "%"};
    static const jinja_op codes[] = {OP_MUL, OP_DIV, OP_FLOOR_DIV, OP_MOD};
    jinja_node *n = parse_power(p);
    for (size_t i = 0; i < 4; i++) {
        if (!parser_is_op(p, ops[i])) continue;
        n = parser_node(p, NODE_BINARY, n, NULL);
        n->op = codes[i];
        parser_next(p);
        n->b = parse_power(p);
        i = SIZE_MAX; // start over
    }
    return n;
}

static jinja_node *parse_concat(jinja_parser *p)
{
    jinja_node *first = parse_product(p);
    if (!parser_is_op(p, "~")) return first;
    jinja_node *n = parser_node(p, NODE_CONCAT, NULL, NULL);
    parser_add(p, n, first, PARSER_NO_NAME);
    while (parser_skip_op(p, "~")) parser_add(p, n, parse_product(p), PARSER_NO_NAME);
    return n;
}

static jinja_node *parse_sum(jinja_parser *p)
{
    jinja_node *n = parse_concat(p);
    while (parser_is_op(p, "+") || parser_is_op(p, "-")) {
        n = parser_node(p, NODE_BINARY, n, NULL);
        n->op = parser_is_op(p, "+") ? OP_ADD : OP_SUB;
        parser_next(p);
        n->b = parse_concat(p);
    }
    return n;
}

static bool skip_comparison(jinja_parser *p, jinja_op *op)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    static const jinja_op codes[] = {OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE};
    for (size_t i = 0; i < 6; i++) {
        *op = codes[i];
        if (parser_skip_op(p, ops[i])) return true;
    }
    *op = OP_IN;
    if (parser_skip_word(p, "in")) return true;
    *op = OP_NOT_IN;
    if (!parser_is_word(p, "not") || p->token[1].kind != TOKEN_NAME || !view_is(p->token[1].text, "in")) return false;
    parser_next(p);
    parser_next(p);
    return true;
}

static jinja_node *parse_comparison(jinja_parser *p)
{
    jinja_node *first = parse_sum(p), *n = NULL;
    for (jinja_op op; skip_comparison(p, &op);) {
        if (!n) n = parser_node(p, NODE_COMPARE, first, NULL);
        parser_add(p, n, parse_sum(p), PARSER_NO_NAME);
        n->ops[n->n_items - 1] = op;
    }
    return n ? n : first;
}

static jinja_node *parse_not(jinja_parser *p)
{
    if (!parser_is_word(p, "not")) return parse_comparison(p);
    jinja_node *n = parser_node(p, NODE_NOT, NULL, NULL);
    parser_next(p);
    parser_nest(p);
    n->a = parse_not(p);
    jinja_leave(p->r);
    return n;
}

static jinja_node *parse_and(jinja_parser *p)
{
    jinja_node *n = parse_not(p);
    while (parser_skip_word(p, "and")) {
        n = parser_node(p, NODE_AND, n, NULL);
        n->b = parse_not(p);
    }
    return n;
}

jinja_node *jinja_parse_or(jinja_parser *p)
{
    jinja_node *n = parse_and(p);
    while (parser_skip_word(p, "or")) {
        n = parser_node(p, NODE_OR, n, NULL);
        n->b = parse_and(p);
    }
    return n;
}

jinja_node *jinja_parse_expression(jinja_parser *p)
{
    parser_nest(p);
    jinja_node *n = jinja_parse_or(p);
    while (parser_skip_word(p, "if")) {
        jinja_node *then = n;
        n = parser_node(p, NODE_COND, NULL, then);
        n->a = jinja_parse_or(p);
        if (parser_skip_word(p, "else")) n->c = jinja_parse_expression(p);
    }
    jinja_leave(p->r);
    return n;
}
