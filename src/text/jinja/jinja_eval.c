// The values of expressions.
#include "text/jinja/jinja_eval.h"

// Evaluates the arguments whose name is `name` (see jinja_node), or with NULL those with a name of their own, and
// unpacks those of "*" into `positional` and of "**" into `named`.
static void add_args(jinja_run *r, const jinja_node *n, const char *name, jinja_list *positional, jinja_dict *named)
{
    for (size_t i = 0; i < n->n_items; i++) {
        view own = n->arg_names[i];
        bool has_name = own.len && own.data[0] != '*';
        if (name ? !view_is(own, name) : !has_name) continue;
        jinja_value v = jinja_eval(r, n->items[i]);
        r->line = n->line;
        if (has_name) {
            jinja_dict_set(r, named, jinja_str(jinja_string_new(r, own.data, own.len)), v);
        } else if (!own.len) {
            jinja_list_add(r, positional, v);
        } else if (own.len == 1) {
            const jinja_list *list = jinja_iterate(r, v);
            for (size_t k = 0; k < list->n; k++) jinja_list_add(r, positional, list->items[k]);
        } else {
            if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
            if (v.kind != JINJA_DICT) jinja_fail(r, WF_ERROR_FORMAT, "** needs a dict, not %s", jinja_type_name(v));
            for (size_t k = 0; k < v.dict->n; k++) {
                if (v.dict->keys[k].kind != JINJA_STRING || jinja_dict_find(r, named, v.dict->keys[k]))
                    jinja_fail(r, WF_ERROR_FORMAT, "** with a key that is no string or was given before");
                jinja_dict_set(r, named, v.dict->keys[k], v.dict->values[k]);
            }
        }
    }
}

static jinja_args eval_args(jinja_run *r, const jinja_node *n)
{
    if (!n->n_items) return (jinja_args){0};
    jinja_list positional = {0};
    jinja_dict named = {0};
    static const char *const order[] = {"", "*", NULL, "**"};
    for (size_t i = 0; i < 4; i++) add_args(r, n, order[i], &positional, &named);
    view *names = jinja_alloc(r, named.n, sizeof *names);
    for (size_t i = 0; i < named.n; i++) names[i] = jinja_string_view(named.keys[i].string);
    return (jinja_args){
        .items = positional.items, .n = positional.n, .names = names, .named = named.values, .n_named = named.n};
}

static jinja_value eval_list(jinja_run *r, const jinja_node *n)
{
    jinja_list *list = jinja_list_new(r);
    for (size_t i = 0; i < n->n_items; i++) jinja_list_add(r, list, jinja_eval(r, n->items[i]));
    return jinja_seq(n->kind == NODE_TUPLE ? JINJA_TUPLE : JINJA_LIST, list);
}

static jinja_value eval_dict(jinja_run *r, const jinja_node *n)
{
    jinja_dict *d = jinja_dict_new(r);
    for (size_t i = 0; i + 1 < n->n_items; i += 2) {
        jinja_value key = jinja_eval(r, n->items[i]);
        jinja_dict_set(r, d, key, jinja_eval(r, n->items[i + 1]));
    }
    return (jinja_value){.kind = JINJA_DICT, .dict = d};
}

static jinja_value eval_sign(jinja_run *r, const jinja_node *n)
{
    jinja_value v = jinja_eval(r, n->a);
    int64_t i;
    r->line = n->line;
    if (v.kind == JINJA_UNDEFINED) jinja_fail_undefined(r, v);
    if (v.kind == JINJA_FLOAT) return jinja_float(n->kind == NODE_NEGATE ? -v.real : v.real);
    if (v.kind != JINJA_BIG && !jinja_integer(v, &i))
        jinja_fail(r, WF_ERROR_FORMAT, "%s has no sign", jinja_type_name(v));
    if (n->kind == NODE_NEGATE) return jinja_negate(r, v);
    return v.kind == JINJA_BIG ? v : jinja_int(i);
}

static bool compare(jinja_run *r, jinja_op op, jinja_value a, jinja_value b)
{
    int order;
    switch (op) {
    case OP_EQ: return jinja_equal(r, a, b);
    case OP_NE: return !jinja_equal(r, a, b);
    case OP_IN: return jinja_contains(r, b, a);
    case OP_NOT_IN: return !jinja_contains(r, b, a);
    default: break;
    }
    order = jinja_order(r, a, b);
    if (order == 2) return false;
    return op == OP_LT ? order < 0 : op == OP_LE ? order <= 0 : op == OP_GT ? order > 0 : order >= 0;
}

// a < b < c is a < b and b < c, with b evaluated once.
static jinja_value eval_compare(jinja_run *r, const jinja_node *n)
{
    jinja_value left = jinja_eval(r, n->a);
    for (size_t i = 0; i < n->n_items; i++) {
        jinja_value right = jinja_eval(r, n->items[i]);
        r->line = n->line;
        if (!compare(r, n->ops[i], left, right)) return jinja_bool(false);
        left = right;
    }
    return jinja_bool(true);
}

static jinja_value eval_concat(jinja_run *r, const jinja_node *n)
{
    jinja_text t = {0};
    for (size_t i = 0; i < n->n_items; i++) jinja_print(r, &t, jinja_eval(r, n->items[i]));
    return jinja_str(jinja_text_end(r, &t));
}

static jinja_value eval_slice(jinja_run *r, const jinja_node *n)
{
    jinja_value *parts = jinja_alloc(r, 3, sizeof *parts);
    parts[0] = n->a ? jinja_eval(r, n->a) : jinja_none();
    parts[1] = n->b ? jinja_eval(r, n->b) : jinja_none();
    parts[2] = n->c ? jinja_eval(r, n->c) : jinja_none();
    return (jinja_value){.kind = JINJA_SLICE, .slice = parts};
}

jinja_value jinja_call_filter(jinja_run *r, const jinja_node *n, jinja_value v)
{
    r->line = n->line;
    if (!n->filter) jinja_fail(r, WF_ERROR_UNSUPPORTED, "filter '%.*s'", VIEW_ARG(n->name));
    jinja_args args = eval_args(r, n);
    return jinja_apply_filter(r, n->filter, v, &args);
}

static jinja_value eval_test(jinja_run *r, const jinja_node *n)
{
    jinja_value v = jinja_eval(r, n->a);
    r->line = n->line;
    if (!n->test) jinja_fail(r, WF_ERROR_UNSUPPORTED, "test '%.*s'", VIEW_ARG(n->name));
    jinja_args args = eval_args(r, n);
    return jinja_bool(jinja_apply_test(r, n->test, v, &args));
}

jinja_value jinja_eval_call(jinja_run *r, const jinja_node *n)
{
    jinja_value f = jinja_eval(r, n->a);
    jinja_args args = eval_args(r, n);
    return jinja_call(r, f, &args);
}

jinja_value jinja_new_macro(jinja_run *r, const jinja_node *n)
{
    jinja_macro *m = jinja_alloc(r, 1, sizeof *m);
    *m = (jinja_macro){.node = n, .scope = r->scope};
    return (jinja_value){.kind = JINJA_MACRO, .macro = m};
}

static jinja_value eval_inside(jinja_run *r, const jinja_node *n)
{
    jinja_value a, b;
    switch (n->kind) {
    case NODE_CONST: return n->value;
    case NODE_NAME: return scope_look_up(r, n);
    case NODE_LIST:
    case NODE_TUPLE: return eval_list(r, n);
    case NODE_DICT: return eval_dict(r, n);
    case NODE_NEGATE:
    case NODE_PLUS: return eval_sign(r, n);
    case NODE_NOT: return jinja_bool(!jinja_is_true(r, jinja_eval(r, n->a)));
    case NODE_AND: a = jinja_eval(r, n->a); return jinja_is_true(r, a) ? jinja_eval(r, n->b) : a;
    case NODE_OR: a = jinja_eval(r, n->a); return jinja_is_true(r, a) ? a : jinja_eval(r, n->b);
    case NODE_COND:
        if (jinja_is_true(r, jinja_eval(r, n->a))) return jinja_eval(r, n->b);
        return n->c ? jinja_eval(r, n->c)
                    : jinja_undefined(jinja_literal(r, "inline if without else").string, JINJA_UNDEFINED);
    case NODE_BINARY:
        a = jinja_eval(r, n->a);
        b = jinja_eval(r, n->b);
        r->line = n->line;
        return jinja_binary(r, n->op, a, b);
    case NODE_COMPARE: return eval_compare(r, n);
    case NODE_CONCAT: return eval_concat(r, n);
    case NODE_ATTR:
        a = jinja_eval(r, n->a);
        r->line = n->line;
        return jinja_get_attr(r, a, n->name_string);
    case NODE_ITEM:
        a = jinja_eval(r, n->a);
        b = jinja_eval(r, n->b);
        r->line = n->line;
        return jinja_get_item(r, a, b);
    case NODE_SLICE: return eval_slice(r, n);
    case NODE_CALL: return jinja_eval_call(r, n);
    case NODE_MACRO: return jinja_new_macro(r, n); // of a call block
    case NODE_FILTER: return jinja_call_filter(r, n, jinja_eval(r, n->a));
    case NODE_TEST: return eval_test(r, n);
    default: jinja_fail(r, WF_ERROR_FORMAT, "a statement where a value belongs");
    }
}

jinja_value jinja_eval(jinja_run *r, const jinja_node *n)
{
    r->line = n->line;
    jinja_step(r, 1);
    jinja_enter(r);
    jinja_value v = eval_inside(r, n);
    jinja_leave(r);
    return v;
}
