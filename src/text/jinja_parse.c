// Tokens into a tree, by recursive descent; precedence as in jinja2, loosest first:
//
//     x if c else y | or | and | not | == != < <= > >= in, not in | + - | ~ | * / // % | ** | - + (unary) | . [] () |
//     is
//
// Left-associative chains become trees as deep as the chain is long, which rendering limits; brackets and blocks nest
// at most JINJA_MAX_NESTING deep here.
#include "text/jinja_internal.h"

typedef struct parser {
    jinja_run *r;
    const jinja_token *token; // the current one; TOKEN_END is never passed
    int loops;                // around the current statement
} parser;

static jinja_node *parse_expression(parser *p);
static jinja_node *parse_unary(parser *p, bool with_filters);
static jinja_node *parse_primary(parser *p);
static jinja_node *parse_postfix(parser *p, jinja_node *n);
static jinja_node *parse_body(parser *p, const char *const *ends, size_t *which);

static bool is_op(const parser *p, const char *op)
{
    return p->token->kind == TOKEN_OPERATOR && view_is(p->token->text, op);
}
static bool is_word(const parser *p, const char *word)
{
    return p->token->kind == TOKEN_NAME && view_is(p->token->text, word);
}

static void next(parser *p)
{
    if (p->token->kind != TOKEN_END) p->token++;
    p->r->line = p->token->line;
}

static bool skip_op(parser *p, const char *op)
{
    if (!is_op(p, op)) return false;
    next(p);
    return true;
}

static bool skip_word(parser *p, const char *word)
{
    if (!is_word(p, word)) return false;
    next(p);
    return true;
}

static _Noreturn void fail_expected(parser *p, const char *expected)
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

static void expect_op(parser *p, const char *op)
{
    char quoted[8] = {'\''};
    strncat(quoted, op, 4);
    strncat(quoted, "'", 2);
    if (!skip_op(p, op)) fail_expected(p, quoted);
}

static view expect_name(parser *p)
{
    if (p->token->kind != TOKEN_NAME) fail_expected(p, "a name");
    view name = p->token->text;
    next(p);
    return name;
}

static void nest(parser *p)
{
    if (++p->r->depth > JINJA_MAX_NESTING)
        jinja_fail(p->r, WF_ERROR_LIMIT, "blocks or expressions lie more than %d deep", JINJA_MAX_NESTING);
}

static jinja_node *new_node(parser *p, jinja_node_kind kind, jinja_node *a, jinja_node *b)
{
    jinja_node *n = jinja_alloc(p->r, 1, sizeof *n);
    n->kind = kind;
    n->line = p->token->line;
    n->a = a;
    n->b = b;
    return n;
}

static void set_name(parser *p, jinja_node *n, view name)
{
    n->name = name;
    n->name_string = jinja_string_new(p->r, name.data, name.len);
}

static jinja_node *new_const(parser *p, jinja_value value)
{
    jinja_node *n = new_node(p, NODE_CONST, NULL, NULL);
    n->value = value;
    return n;
}

static void add_item(parser *p, jinja_node *n, jinja_node *item, view arg_name)
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

static const view no_name = {"", 0};

// ---- expressions

// (a, b=c): the arguments of a call, filter or test.
static void parse_arguments(parser *p, jinja_node *n)
{
    bool named = false;
    expect_op(p, "(");
    while (!is_op(p, ")")) {
        if (n->n_items) {
            expect_op(p, ",");
            if (is_op(p, ")")) break;
        }
        if (is_op(p, "*") || is_op(p, "**")) jinja_fail(p->r, WF_ERROR_UNSUPPORTED, "* and ** in a call's arguments");
        view name = no_name;
        bool has_name =
            p->token->kind == TOKEN_NAME && p->token[1].kind == TOKEN_OPERATOR && view_is(p->token[1].text, "=");
        if (has_name) {
            name = expect_name(p);
            next(p);
        } else if (named) {
            jinja_fail(p->r, WF_ERROR_FORMAT, "positional argument after a named one");
        }
        named |= has_name;
        add_item(p, n, parse_expression(p), name);
    }
    expect_op(p, ")");
}

// True where an expression cannot begin, so that a tuple ends: ")", "}}", "%}" and a word of the statement around.
static bool ends_tuple(const parser *p, const char *end_word)
{
    return p->token->kind == TOKEN_PRINT_END || p->token->kind == TOKEN_BLOCK_END || is_op(p, ")") ||
           (end_word && is_word(p, end_word));
}

typedef jinja_node *parse_fn(parser *p);

// a, b, c into a tuple; a alone into itself.
static jinja_node *parse_tuple(parser *p, parse_fn *parse_part, const char *end_word, bool in_brackets)
{
    jinja_node *tuple = new_node(p, NODE_TUPLE, NULL, NULL);
    bool is_tuple = false;
    while (!ends_tuple(p, end_word)) {
        add_item(p, tuple, parse_part(p), no_name);
        if (!skip_op(p, ",")) break;
        is_tuple = true;
    }
    if (!is_tuple && tuple->n_items) return tuple->items[0];
    if (!is_tuple && !in_brackets) fail_expected(p, "an expression");
    return tuple;
}

static jinja_node *parse_list(parser *p)
{
    jinja_node *list = new_node(p, NODE_LIST, NULL, NULL);
    expect_op(p, "[");
    while (!is_op(p, "]")) {
        if (list->n_items) expect_op(p, ",");
        if (is_op(p, "]")) break;
        add_item(p, list, parse_expression(p), no_name);
    }
    expect_op(p, "]");
    return list;
}

static jinja_node *parse_dict(parser *p)
{
    jinja_node *dict = new_node(p, NODE_DICT, NULL, NULL);
    expect_op(p, "{");
    while (!is_op(p, "}")) {
        if (dict->n_items) expect_op(p, ",");
        if (is_op(p, "}")) break;
        add_item(p, dict, parse_expression(p), no_name);
        expect_op(p, ":");
        add_item(p, dict, parse_expression(p), no_name);
    }
    expect_op(p, "}");
    return dict;
}

static jinja_node *parse_name(parser *p)
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
        n = new_node(p, NODE_NAME, NULL, NULL);
        set_name(p, n, name);
    }
    next(p);
    return n;
}

// "a" "b" is "ab".
static jinja_node *parse_strings(parser *p)
{
    jinja_text t = {0};
    jinja_node *n = new_const(p, jinja_none());
    for (; p->token->kind == TOKEN_STRING; next(p))
        jinja_text_add(p->r, &t, p->token->text.data, p->token->text.len, NULL);
    n->value = jinja_str(jinja_text_end(p->r, &t));
    return n;
}

static jinja_node *parse_primary(parser *p)
{
    jinja_node *n = NULL;
    switch (p->token->kind) {
    case TOKEN_NAME: return parse_name(p);
    case TOKEN_STRING: return parse_strings(p);
    case TOKEN_INT: n = new_const(p, jinja_int(p->token->integer)); break;
    case TOKEN_FLOAT: n = new_const(p, jinja_float(p->token->real)); break;
    default: break;
    }
    if (n) {
        next(p);
        return n;
    }
    if (is_op(p, "[")) return parse_list(p);
    if (is_op(p, "{")) return parse_dict(p);
    if (!skip_op(p, "(")) fail_expected(p, "an expression");
    n = parse_tuple(p, parse_expression, NULL, true);
    expect_op(p, ")");
    return n;
}

// A subscript's inside: an expression or a slice.
static jinja_node *parse_subscript(parser *p)
{
    jinja_node *first = is_op(p, ":") ? NULL : parse_expression(p);
    if (!is_op(p, ":")) return first;
    jinja_node *slice = new_node(p, NODE_SLICE, first, NULL);
    next(p);
    if (!is_op(p, ":") && !is_op(p, "]") && !is_op(p, ",")) slice->b = parse_expression(p);
    if (skip_op(p, ":") && !is_op(p, "]") && !is_op(p, ",")) slice->c = parse_expression(p);
    return slice;
}

static jinja_node *parse_brackets(parser *p, jinja_node *object)
{
    jinja_node *n = new_node(p, NODE_ITEM, object, NULL), *tuple = new_node(p, NODE_TUPLE, NULL, NULL);
    expect_op(p, "[");
    while (!is_op(p, "]")) {
        if (tuple->n_items) expect_op(p, ",");
        add_item(p, tuple, parse_subscript(p), no_name);
    }
    expect_op(p, "]");
    n->b = tuple->n_items == 1 ? tuple->items[0] : tuple;
    return n;
}

static jinja_node *parse_dot(parser *p, jinja_node *object)
{
    jinja_node *n = new_node(p, NODE_ATTR, object, NULL);
    expect_op(p, ".");
    if (p->token->kind == TOKEN_INT) {
        n->kind = NODE_ITEM;
        n->b = parse_primary(p);
    } else {
        set_name(p, n, expect_name(p));
    }
    return n;
}

static jinja_node *parse_call(parser *p, jinja_node *function)
{
    jinja_node *n = new_node(p, NODE_CALL, function, NULL);
    parse_arguments(p, n);
    return n;
}

static jinja_node *parse_postfix(parser *p, jinja_node *n)
{
    for (;;) {
        if (is_op(p, "."))
            n = parse_dot(p, n);
        else if (is_op(p, "["))
            n = parse_brackets(p, n);
        else if (is_op(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
}

// a | name(arguments), from the "|" on or, in a filter block, from the name on.
static jinja_node *parse_filter(parser *p, jinja_node *n)
{
    jinja_node *filter = new_node(p, NODE_FILTER, n, NULL);
    set_name(p, filter, expect_name(p));
    if (is_op(p, "(")) parse_arguments(p, filter);
    filter->filter = jinja_find_filter(filter->name);
    return filter;
}

static bool begins_test_argument(const parser *p)
{
    switch (p->token->kind) {
    case TOKEN_STRING:
    case TOKEN_INT:
    case TOKEN_FLOAT: return true;
    case TOKEN_NAME: return !is_word(p, "else") && !is_word(p, "or") && !is_word(p, "and");
    default: return is_op(p, "(") || is_op(p, "[") || is_op(p, "{");
    }
}

static jinja_node *parse_test(parser *p, jinja_node *n)
{
    bool negated = skip_word(p, "not");
    jinja_node *test = new_node(p, NODE_TEST, n, NULL);
    set_name(p, test, expect_name(p));
    test->test = jinja_find_test(test->name);
    if (is_op(p, "(")) {
        parse_arguments(p, test);
    } else if (begins_test_argument(p)) {
        if (is_word(p, "is")) jinja_fail(p->r, WF_ERROR_FORMAT, "'is' after a test");
        add_item(p, test, parse_postfix(p, parse_primary(p)), no_name);
    }
    return negated ? new_node(p, NODE_NOT, test, NULL) : test;
}

static jinja_node *parse_filters(parser *p, jinja_node *n)
{
    for (;;) {
        if (skip_op(p, "|"))
            n = parse_filter(p, n);
        else if (skip_word(p, "is"))
            n = parse_test(p, n);
        else if (is_op(p, "("))
            n = parse_call(p, n);
        else
            return n;
    }
}

static jinja_node *parse_unary(parser *p, bool with_filters)
{
    jinja_node *n;
    nest(p);
    if (is_op(p, "-") || is_op(p, "+")) {
        n = new_node(p, is_op(p, "-") ? NODE_NEGATE : NODE_PLUS, NULL, NULL);
        next(p);
        n->a = parse_unary(p, false);
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    if (with_filters) n = parse_filters(p, n);
    jinja_leave(p->r);
    return n;
}

static jinja_node *parse_power(parser *p)
{
    jinja_node *n = parse_unary(p, true);
    while (is_op(p, "**")) {
        n = new_node(p, NODE_BINARY, n, NULL);
        n->op = OP_POW;
        next(p);
        n->b = parse_unary(p, true);
    }
    return n;
}

static jinja_node *parse_product(parser *p)
{
    static const char *const ops[] = {"*", "/", "//", "%"};
    static const jinja_op codes[] = {OP_MUL, OP_DIV, OP_FLOOR_DIV, OP_MOD};
    jinja_node *n = parse_power(p);
    for (size_t i = 0; i < 4; i++) {
        if (!is_op(p, ops[i])) continue;
        n = new_node(p, NODE_BINARY, n, NULL);
        n->op = codes[i];
        next(p);
        n->b = parse_power(p);
        i = SIZE_MAX; // start over
    }
    return n;
}

static jinja_node *parse_concat(parser *p)
{
    jinja_node *first = parse_product(p);
    if (!is_op(p, "~")) return first;
    jinja_node *n = new_node(p, NODE_CONCAT, NULL, NULL);
    add_item(p, n, first, no_name);
    while (skip_op(p, "~")) add_item(p, n, parse_product(p), no_name);
    return n;
}

static jinja_node *parse_sum(parser *p)
{
    jinja_node *n = parse_concat(p);
    while (is_op(p, "+") || is_op(p, "-")) {
        n = new_node(p, NODE_BINARY, n, NULL);
        n->op = is_op(p, "+") ? OP_ADD : OP_SUB;
        next(p);
        n->b = parse_concat(p);
    }
    return n;
}

static bool skip_comparison(parser *p, jinja_op *op)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    static const jinja_op codes[] = {OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE};
    for (size_t i = 0; i < 6; i++) {
        *op = codes[i];
        if (skip_op(p, ops[i])) return true;
    }
    *op = OP_IN;
    if (skip_word(p, "in")) return true;
    *op = OP_NOT_IN;
    if (!is_word(p, "not") || p->token[1].kind != TOKEN_NAME || !view_is(p->token[1].text, "in")) return false;
    next(p);
    next(p);
    return true;
}

static jinja_node *parse_comparison(parser *p)
{
    jinja_node *first = parse_sum(p), *n = NULL;
    for (jinja_op op; skip_comparison(p, &op);) {
        if (!n) n = new_node(p, NODE_COMPARE, first, NULL);
        add_item(p, n, parse_sum(p), no_name);
        n->ops[n->n_items - 1] = op;
    }
    return n ? n : first;
}

static jinja_node *parse_not(parser *p)
{
    if (!is_word(p, "not")) return parse_comparison(p);
    jinja_node *n = new_node(p, NODE_NOT, NULL, NULL);
    next(p);
    nest(p);
    n->a = parse_not(p);
    jinja_leave(p->r);
    return n;
}

static jinja_node *parse_and(parser *p)
{
    jinja_node *n = parse_not(p);
    while (skip_word(p, "and")) {
        n = new_node(p, NODE_AND, n, NULL);
        n->b = parse_not(p);
    }
    return n;
}

static jinja_node *parse_or(parser *p)
{
    jinja_node *n = parse_and(p);
    while (skip_word(p, "or")) {
        n = new_node(p, NODE_OR, n, NULL);
        n->b = parse_and(p);
    }
    return n;
}

static jinja_node *parse_expression(parser *p)
{
    nest(p);
    jinja_node *n = parse_or(p);
    while (skip_word(p, "if")) {
        jinja_node *then = n;
        n = new_node(p, NODE_COND, NULL, then);
        n->a = parse_or(p);
        if (skip_word(p, "else")) n->c = parse_expression(p);
    }
    jinja_leave(p->r);
    return n;
}

// ---- statements

static jinja_node *parse_target_part(parser *p)
{
    jinja_node *n;
    if (skip_op(p, "(")) {
        nest(p);
        n = parse_tuple(p, parse_target_part, NULL, true);
        jinja_leave(p->r);
        expect_op(p, ")");
        return n;
    }
    n = new_node(p, NODE_NAME, NULL, NULL);
    set_name(p, n, expect_name(p));
    static const char *const constants[] = {"true", "True", "false", "False", "none", "None"};
    for (size_t i = 0; i < 6; i++)
        if (view_is(n->name, constants[i])) jinja_fail(p->r, WF_ERROR_FORMAT, "cannot assign to %s", constants[i]);
    if (!is_op(p, ".")) return n;
    return parse_dot(p, n);
}

static void expect_block_end(parser *p)
{
    if (p->token->kind != TOKEN_BLOCK_END) fail_expected(p, "'%}'");
    next(p);
}

// The body of a statement whose tag ends here, up to and over the word that ends it; gives the index of that word. The
// tag of that word stays open.
static jinja_node *parse_block(parser *p, const char *const *ends, size_t *which)
{
    expect_block_end(p);
    nest(p);
    jinja_node *body = parse_body(p, ends, which);
    jinja_leave(p->r);
    next(p);
    return body;
}

static jinja_node *parse_until(parser *p, const char *end)
{
    size_t which;
    return parse_block(p, (const char *const[]){end, NULL}, &which);
}

static jinja_node *parse_if(parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    jinja_node *n = new_node(p, NODE_IF, NULL, NULL);
    size_t which = 0;
    while (which == 0) {
        add_item(p, n, parse_tuple(p, parse_or, NULL, false), no_name);
        add_item(p, n, parse_block(p, ends, &which), no_name);
    }
    if (which == 1) n->c = parse_until(p, "endif");
    return n;
}

static jinja_node *parse_for(parser *p)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    jinja_node *n = new_node(p, NODE_FOR, NULL, NULL);
    n->a = parse_tuple(p, parse_target_part, "in", false);
    if (!skip_word(p, "in")) fail_expected(p, "'in'");
    n->b = parse_tuple(p, parse_or, "recursive", false);
    if (skip_word(p, "if")) n->c = parse_expression(p);
    if (is_word(p, "recursive")) jinja_fail(p->r, WF_ERROR_UNSUPPORTED, "recursive for loop");
    size_t which;
    p->loops++;
    add_item(p, n, parse_block(p, ends, &which), no_name);
    p->loops--;
    add_item(p, n, which == 1 ? parse_until(p, "endfor") : NULL, no_name);
    return n;
}

// upper | replace("a", "b"): a chain of filters over the text of a block.
static jinja_node *parse_filter_chain(parser *p)
{
    jinja_node *n = parse_filter(p, NULL);
    while (skip_op(p, "|")) n = parse_filter(p, n);
    return n;
}

static jinja_node *parse_set(parser *p)
{
    jinja_node *n = new_node(p, NODE_SET, NULL, NULL);
    n->a = parse_tuple(p, parse_target_part, NULL, false);
    if (skip_op(p, "=")) {
        n->b = parse_tuple(p, parse_expression, NULL, false);
        return n;
    }
    n->kind = NODE_SET_BLOCK;
    if (skip_op(p, "|")) n->b = parse_filter_chain(p);
    n->c = parse_until(p, "endset");
    return n;
}

// (a, b=default): the parameters of a macro or of a call block.
static void parse_parameters(parser *p, jinja_node *macro)
{
    expect_op(p, "(");
    bool has_default = false;
    while (!is_op(p, ")")) {
        if (macro->n_items) expect_op(p, ",");
        view name = expect_name(p);
        jinja_node *fallback = skip_op(p, "=") ? parse_expression(p) : NULL;
        if (!fallback && has_default) jinja_fail(p->r, WF_ERROR_FORMAT, "parameter without default after one with");
        has_default |= fallback != NULL;
        add_item(p, macro, fallback, name);
    }
    expect_op(p, ")");
}

static jinja_node *parse_macro(parser *p)
{
    jinja_node *n = new_node(p, NODE_MACRO, NULL, NULL);
    int loops = p->loops;
    set_name(p, n, expect_name(p));
    parse_parameters(p, n);
    p->loops = 0;
    n->c = parse_until(p, "endmacro");
    p->loops = loops;
    return n;
}

static jinja_node *parse_call_block(parser *p)
{
    jinja_node *n = new_node(p, NODE_CALL_BLOCK, NULL, new_node(p, NODE_MACRO, NULL, NULL));
    int loops = p->loops;
    set_name(p, n->b, VIEW_LITERAL("caller"));
    if (is_op(p, "(")) parse_parameters(p, n->b);
    n->a = parse_expression(p);
    if (n->a->kind != NODE_CALL) jinja_fail(p->r, WF_ERROR_FORMAT, "'call' needs a call");
    p->loops = 0;
    n->b->c = parse_until(p, "endcall");
    p->loops = loops;
    return n;
}

static jinja_node *parse_filter_block(parser *p)
{
    jinja_node *n = new_node(p, NODE_FILTER_BLOCK, NULL, NULL);
    n->b = parse_filter_chain(p);
    n->c = parse_until(p, "endfilter");
    return n;
}

static jinja_node *parse_with(parser *p)
{
    jinja_node *n = new_node(p, NODE_WITH, NULL, NULL);
    while (p->token->kind != TOKEN_BLOCK_END) {
        if (n->n_items) expect_op(p, ",");
        add_item(p, n, parse_target_part(p), no_name);
        expect_op(p, "=");
        add_item(p, n, parse_expression(p), no_name);
    }
    n->c = parse_until(p, "endwith");
    return n;
}

// Hugging Face marks the assistant's text with it for training; it prints its body.
static jinja_node *parse_generation(parser *p) { return parse_until(p, "endgeneration"); }

static jinja_node *parse_loop_control(parser *p, jinja_node_kind kind)
{
    if (!p->loops) jinja_fail(p->r, WF_ERROR_FORMAT, "'break' or 'continue' outside a loop");
    return new_node(p, kind, NULL, NULL);
}

static jinja_node *parse_break(parser *p) { return parse_loop_control(p, NODE_BREAK); }
static jinja_node *parse_continue(parser *p) { return parse_loop_control(p, NODE_CONTINUE); }

static const struct {
    const char *word;
    jinja_node *(*parse)(parser *p);
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

static jinja_node *parse_statement(parser *p)
{
    static const char *const missing[] = {"block", "extends",    "include", "import", "from",
                                          "do",    "autoescape", "trans",   "debug"};
    if (p->token->kind != TOKEN_NAME) fail_expected(p, "a statement");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!is_word(p, statements[i].word)) continue;
        next(p);
        jinja_node *n = statements[i].parse(p);
        expect_block_end(p);
        return n;
    }
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        if (is_word(p, missing[i])) jinja_fail(p->r, WF_ERROR_UNSUPPORTED, "statement '%s'", missing[i]);
    fail_expected(p, "a statement");
}

// The statements up to a tag that begins with ends[*which] (current after the call) or, with NULL, to the template's
// end.
static jinja_node *parse_body(parser *p, const char *const *ends, size_t *which)
{
    jinja_node *body = new_node(p, NODE_BLOCK, NULL, NULL);
    for (;;) {
        if (p->token->kind == TOKEN_TEXT) {
            jinja_node *text = new_node(p, NODE_TEXT, NULL, NULL);
            text->value = jinja_str(jinja_string_new(p->r, p->token->text.data, p->token->text.len));
            add_item(p, body, text, no_name);
            next(p);
        } else if (p->token->kind == TOKEN_PRINT_BEGIN) {
            jinja_node *print = new_node(p, NODE_PRINT, NULL, NULL);
            next(p);
            print->a = parse_tuple(p, parse_expression, NULL, false);
            if (p->token->kind != TOKEN_PRINT_END) fail_expected(p, "'}}'");
            next(p);
            add_item(p, body, print, no_name);
        } else if (p->token->kind == TOKEN_BLOCK_BEGIN) {
            next(p);
            for (size_t i = 0; ends && ends[i]; i++) {
                if (!is_word(p, ends[i])) continue;
                *which = i;
                return body;
            }
            add_item(p, body, parse_statement(p), no_name);
        } else {
            if (ends) {
                char wanted[64] = "'";
                strncat(wanted, ends[0], 30);
                strncat(wanted, "'", 2);
                fail_expected(p, wanted);
            }
            return body;
        }
    }
}

jinja_node *jinja_parse(jinja_run *r, view source)
{
    parser p = {.r = r, .token = jinja_lex(r, source)};
    r->line = 1;
    return parse_body(&p, NULL, NULL);
}
