// Walks the tree: statements print into r->out, expressions give values.
//
// Scopes: a loop's body (each round anew), a macro's body, {% with %}, {% set %} and {% filter %} blocks have their
// own; what is set there ends with it. {% if %} has none. A name is looked up from the innermost scope out, then in the
// context, then among the global functions.
#include "text/jinja_internal.h"

typedef enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE } flow;

static jinja_value eval(jinja_run *r, const jinja_node *n);
static flow execute(jinja_run *r, const jinja_node *n);

// ---- names

static jinja_scope *push_scope(jinja_run *r, jinja_scope *parent)
{
    jinja_scope *s = jinja_alloc(r, 1, sizeof *s);
    s->parent = parent;
    return r->scope = s;
}

static jinja_binding *find_binding(jinja_scope *s, view name)
{
    for (jinja_binding *b = s->bindings; b; b = b->next)
        if (view_equal(b->name, name)) return b;
    return NULL;
}

static void bind(jinja_run *r, jinja_scope *s, view name, jinja_value v)
{
    jinja_binding *b = find_binding(s, name);
    jinja_step(r, 1);
    if (!b) {
        b = jinja_alloc(r, 1, sizeof *b);
        b->name = name;
        b->next = s->bindings;
        s->bindings = b;
    }
    b->value = v;
}

static bool is_foreign(const jinja_run *r, view name)
{
    for (const char *const *f = r->foreign; f && *f; f++)
        if (view_is(name, *f)) return true;
    return false;
}

static jinja_value look_up(jinja_run *r, const jinja_node *n)
{
    for (jinja_scope *s = r->scope; s; s = s->parent) {
        jinja_step(r, 1);
        jinja_binding *b = find_binding(s, n->name);
        if (b) return b->value;
    }
    jinja_binding *cached = find_binding(r->globals, n->name);
    if (cached) return cached->value;
    jinja_value v = jinja_undefined(n->name_string, JINJA_UNDEFINED);
    const json_t *j = json_object_getn(r->context, n->name.data, n->name.len);
    const jinja_function *f = jinja_find_function(n->name);
    if (j)
        v = jinja_from_json(r, j, is_foreign(r, n->name));
    else if (f)
        v = (jinja_value){.kind = JINJA_FUNCTION, .function = f};
    bind(r, r->globals, n->name, v);
    return v;
}

static void assign(jinja_run *r, const jinja_node *target, jinja_value v)
{
    jinja_enter(r);
    if (target->kind == NODE_NAME) {
        bind(r, r->scope, target->name, v);
    } else if (target->kind == NODE_ATTR) {
        jinja_value object = eval(r, target->a);
        r->line = target->line;
        if (object.kind != JINJA_NAMESPACE)
            jinja_fail(r, WF_ERROR_FORMAT, "cannot assign to an attribute of %s, only of a namespace",
                       jinja_type_name(object));
        jinja_dict_set(r, object.dict, jinja_str(target->name_string), v);
    } else if (target->kind == NODE_TUPLE) {
        const jinja_list *parts = jinja_iterate(r, v);
        if (parts->n != target->n_items)
            jinja_fail(r, WF_ERROR_FORMAT, "cannot unpack %zu values into %zu names", parts->n, target->n_items);
        for (size_t i = 0; i < parts->n; i++) assign(r, target->items[i], parts->items[i]);
    } else {
        jinja_fail(r, WF_ERROR_FORMAT, "cannot assign to this");
    }
    jinja_leave(r);
}

// ---- expressions

// Evaluates the arguments whose name is `name` (see jinja_node), or with NULL those with a name of their own, and
// unpacks those of "*" into `positional` and of "**" into `named`.
static void add_args(jinja_run *r, const jinja_node *n, const char *name, jinja_list *positional, jinja_dict *named)
{
    for (size_t i = 0; i < n->n_items; i++) {
        view own = n->arg_names[i];
        bool has_name = own.len && own.data[0] != '*';
        if (name ? !view_is(own, name) : !has_name) continue;
        jinja_value v = eval(r, n->items[i]);
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
    for (size_t i = 0; i < n->n_items; i++) jinja_list_add(r, list, eval(r, n->items[i]));
    return jinja_seq(n->kind == NODE_TUPLE ? JINJA_TUPLE : JINJA_LIST, list);
}

static jinja_value eval_dict(jinja_run *r, const jinja_node *n)
{
    jinja_dict *d = jinja_dict_new(r);
    for (size_t i = 0; i + 1 < n->n_items; i += 2) {
        jinja_value key = eval(r, n->items[i]);
        jinja_dict_set(r, d, key, eval(r, n->items[i + 1]));
    }
    return (jinja_value){.kind = JINJA_DICT, .dict = d};
}

static jinja_value eval_sign(jinja_run *r, const jinja_node *n)
{
    jinja_value v = eval(r, n->a);
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
    jinja_value left = eval(r, n->a);
    for (size_t i = 0; i < n->n_items; i++) {
        jinja_value right = eval(r, n->items[i]);
        r->line = n->line;
        if (!compare(r, n->ops[i], left, right)) return jinja_bool(false);
        left = right;
    }
    return jinja_bool(true);
}

static jinja_value eval_concat(jinja_run *r, const jinja_node *n)
{
    jinja_text t = {0};
    for (size_t i = 0; i < n->n_items; i++) jinja_print(r, &t, eval(r, n->items[i]));
    return jinja_str(jinja_text_end(r, &t));
}

static jinja_value eval_slice(jinja_run *r, const jinja_node *n)
{
    jinja_value *parts = jinja_alloc(r, 3, sizeof *parts);
    parts[0] = n->a ? eval(r, n->a) : jinja_none();
    parts[1] = n->b ? eval(r, n->b) : jinja_none();
    parts[2] = n->c ? eval(r, n->c) : jinja_none();
    return (jinja_value){.kind = JINJA_SLICE, .slice = parts};
}

static jinja_value call_filter(jinja_run *r, const jinja_node *n, jinja_value v)
{
    r->line = n->line;
    if (!n->filter) jinja_fail(r, WF_ERROR_UNSUPPORTED, "filter '%.*s'", VIEW_ARG(n->name));
    jinja_args args = eval_args(r, n);
    return jinja_apply_filter(r, n->filter, v, &args);
}

static jinja_value eval_test(jinja_run *r, const jinja_node *n)
{
    jinja_value v = eval(r, n->a);
    r->line = n->line;
    if (!n->test) jinja_fail(r, WF_ERROR_UNSUPPORTED, "test '%.*s'", VIEW_ARG(n->name));
    jinja_args args = eval_args(r, n);
    return jinja_bool(jinja_apply_test(r, n->test, v, &args));
}

static jinja_value eval_call(jinja_run *r, const jinja_node *n)
{
    jinja_value f = eval(r, n->a);
    jinja_args args = eval_args(r, n);
    return jinja_call(r, f, &args);
}

static jinja_value new_macro(jinja_run *r, const jinja_node *n)
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
    case NODE_NAME: return look_up(r, n);
    case NODE_LIST:
    case NODE_TUPLE: return eval_list(r, n);
    case NODE_DICT: return eval_dict(r, n);
    case NODE_NEGATE:
    case NODE_PLUS: return eval_sign(r, n);
    case NODE_NOT: return jinja_bool(!jinja_is_true(r, eval(r, n->a)));
    case NODE_AND: a = eval(r, n->a); return jinja_is_true(r, a) ? eval(r, n->b) : a;
    case NODE_OR: a = eval(r, n->a); return jinja_is_true(r, a) ? a : eval(r, n->b);
    case NODE_COND:
        if (jinja_is_true(r, eval(r, n->a))) return eval(r, n->b);
        return n->c ? eval(r, n->c)
                    : jinja_undefined(jinja_literal(r, "inline if without else").string, JINJA_UNDEFINED);
    case NODE_BINARY:
        a = eval(r, n->a);
        b = eval(r, n->b);
        r->line = n->line;
        return jinja_binary(r, n->op, a, b);
    case NODE_COMPARE: return eval_compare(r, n);
    case NODE_CONCAT: return eval_concat(r, n);
    case NODE_ATTR:
        a = eval(r, n->a);
        r->line = n->line;
        return jinja_get_attr(r, a, n->name_string);
    case NODE_ITEM:
        a = eval(r, n->a);
        b = eval(r, n->b);
        r->line = n->line;
        return jinja_get_item(r, a, b);
    case NODE_SLICE: return eval_slice(r, n);
    case NODE_CALL: return eval_call(r, n);
    case NODE_MACRO: return new_macro(r, n); // of a call block
    case NODE_FILTER: return call_filter(r, n, eval(r, n->a));
    case NODE_TEST: return eval_test(r, n);
    default: jinja_fail(r, WF_ERROR_FORMAT, "a statement where a value belongs");
    }
}

static jinja_value eval(jinja_run *r, const jinja_node *n)
{
    r->line = n->line;
    jinja_step(r, 1);
    jinja_enter(r);
    jinja_value v = eval_inside(r, n);
    jinja_leave(r);
    return v;
}

// ---- macros

static jinja_string *render_block(jinja_run *r, const jinja_node *body, flow *f)
{
    jinja_text t = {0}, *out = r->out;
    r->out = &t;
    *f = execute(r, body);
    r->out = out;
    return jinja_text_end(r, &t);
}

// Binds what is left of a call's arguments after the parameters to varargs, kwargs and caller; `used` marks the named
// ones that are parameters'.
static void bind_specials(jinja_run *r, const jinja_node *macro, const jinja_args *args, const bool *used)
{
    jinja_value varargs = jinja_seq(JINJA_TUPLE, jinja_list_new(r));
    jinja_value kwargs = {.kind = JINJA_DICT, .dict = jinja_dict_new(r)};
    jinja_value caller = jinja_undefined(jinja_literal(r, "caller").string, JINJA_UNDEFINED);
    for (size_t i = macro->n_items; i < args->n; i++) jinja_list_add(r, varargs.list, args->items[i]);
    for (size_t k = 0; k < args->n_named; k++) {
        view name = args->names[k];
        if (used[k]) continue;
        if ((macro->specials & JINJA_CALLER) && view_is(name, "caller"))
            caller = args->named[k];
        else if (macro->specials & JINJA_KWARGS)
            jinja_dict_set(r, kwargs.dict, jinja_str(jinja_string_new(r, name.data, name.len)), args->named[k]);
        else
            jinja_fail(r, WF_ERROR_FORMAT, "macro '%.*s' takes no argument '%.*s'", VIEW_ARG(macro->name),
                       VIEW_ARG(name));
    }
    if (varargs.list->n && !(macro->specials & JINJA_VARARGS))
        jinja_fail(r, WF_ERROR_FORMAT, "macro '%.*s' takes not more than %zu arguments", VIEW_ARG(macro->name),
                   macro->n_items);
    if (macro->specials & JINJA_VARARGS) bind(r, r->scope, VIEW_LITERAL("varargs"), varargs);
    if (macro->specials & JINJA_KWARGS) bind(r, r->scope, VIEW_LITERAL("kwargs"), kwargs);
    if (macro->specials & JINJA_CALLER) bind(r, r->scope, VIEW_LITERAL("caller"), caller);
}

// Binds the parameters: positional, else named, else the default, which sees the parameters before it.
static void bind_parameters(jinja_run *r, const jinja_node *macro, const jinja_args *args)
{
    bool *used = jinja_alloc(r, args->n_named, sizeof *used);
    const jinja_value **given = jinja_alloc(r, macro->n_items, sizeof *given);
    for (size_t i = 0; i < macro->n_items; i++) {
        if (i < args->n) given[i] = &args->items[i];
        for (size_t k = 0; k < args->n_named && !given[i]; k++) {
            if (!view_equal(args->names[k], macro->arg_names[i])) continue;
            given[i] = &args->named[k];
            used[k] = true;
        }
    }
    bind_specials(r, macro, args, used);
    for (size_t i = 0; i < macro->n_items; i++) {
        view name = macro->arg_names[i];
        jinja_value v = given[i]          ? *given[i]
                        : macro->items[i] ? eval(r, macro->items[i])
                                          : jinja_undefined(jinja_string_new(r, name.data, name.len), JINJA_UNDEFINED);
        bind(r, r->scope, name, v);
    }
}

static jinja_value call_macro(jinja_run *r, const jinja_macro *m, const jinja_args *args)
{
    jinja_scope *outer = r->scope;
    flow f;
    push_scope(r, m->scope);
    bind_parameters(r, m->node, args);
    jinja_string *text = render_block(r, m->node->c, &f);
    r->scope = outer;
    return jinja_str(text);
}

static flow run_loop(jinja_run *r, const jinja_node *n, jinja_scope *outer, jinja_value items, size_t depth);

// loop(items): the loop's text for other items, one deeper.
static jinja_value call_loop(jinja_run *r, const jinja_loop *loop, const jinja_args *args)
{
    jinja_text t = {0}, *out = r->out;
    jinja_scope *scope = r->scope;
    if (!loop->node->value.boolean) jinja_fail(r, WF_ERROR_FORMAT, "the loop must be marked 'recursive' to be called");
    if (args->n + args->n_named != 1) jinja_fail(r, WF_ERROR_FORMAT, "loop takes one argument");
    r->out = &t;
    run_loop(r, loop->node, loop->scope, *jinja_need_arg(r, args, 0, "iterable"), loop->depth + 1);
    r->out = out;
    r->scope = scope;
    return jinja_str(jinja_text_end(r, &t));
}

jinja_value jinja_call(jinja_run *r, jinja_value f, const jinja_args *args)
{
    jinja_value v;
    jinja_enter(r);
    switch (f.kind) {
    case JINJA_MACRO: v = call_macro(r, f.macro, args); break;
    case JINJA_FUNCTION:
        jinja_check_args(r, f.function->name, f.function->parameters, args);
        v = f.function->call(r, args);
        break;
    case JINJA_JOINER:
        jinja_check_args(r, "joiner", "", args);
        v = f.cycle->items[f.cycle->next];
        f.cycle->next = 1;
        break;
    case JINJA_METHOD: v = jinja_call_method(r, f.method, args); break;
    case JINJA_LOOP: v = call_loop(r, f.loop, args); break;
    case JINJA_UNDEFINED: jinja_fail_undefined(r, f);
    default: jinja_fail(r, WF_ERROR_FORMAT, "%s cannot be called", jinja_type_name(f));
    }
    jinja_leave(r);
    return v;
}

// ---- statements

static jinja_value apply_chain(jinja_run *r, const jinja_node *chain, jinja_value v)
{
    jinja_enter(r);
    if (chain->a) v = apply_chain(r, chain->a, v);
    jinja_leave(r);
    return call_filter(r, chain, v);
}

// The text of n->c, in a scope of its own, through the filters of n->b.
static jinja_value filtered_block(jinja_run *r, const jinja_node *n, flow *f)
{
    jinja_scope *outer = r->scope;
    push_scope(r, outer);
    jinja_value text = jinja_str(render_block(r, n->c, f));
    r->scope = outer;
    return n->b ? apply_chain(r, n->b, text) : text;
}

static flow execute_if(jinja_run *r, const jinja_node *n)
{
    for (size_t i = 0; i + 1 < n->n_items; i += 2)
        if (jinja_is_true(r, eval(r, n->items[i]))) return execute(r, n->items[i + 1]);
    return n->c ? execute(r, n->c) : FLOW_NEXT;
}

static const jinja_list *filter_items(jinja_run *r, const jinja_node *n, const jinja_list *all)
{
    jinja_scope *outer = r->scope;
    jinja_list *kept = jinja_list_new(r);
    for (size_t i = 0; i < all->n; i++) {
        push_scope(r, outer);
        assign(r, n->a, all->items[i]);
        if (jinja_is_true(r, eval(r, n->c))) jinja_list_add(r, kept, all->items[i]);
    }
    r->scope = outer;
    return kept;
}

// A break or continue in the else part means the loop around.
static flow run_loop(jinja_run *r, const jinja_node *n, jinja_scope *outer, jinja_value items, size_t depth)
{
    const jinja_list *list = jinja_iterate(r, items);
    flow f = FLOW_NEXT;
    r->scope = outer;
    if (n->c) list = filter_items(r, n, list);
    if (!list->n && n->items[1]) {
        push_scope(r, outer);
        f = execute(r, n->items[1]);
        r->scope = outer;
        return f;
    }
    jinja_loop *loop = jinja_alloc(r, 1, sizeof *loop);
    *loop = (jinja_loop){.node = n, .scope = outer, .list = list, .depth = depth, .changed = {.kind = JINJA_SLICE}};
    for (; loop->index < list->n && f != FLOW_BREAK; loop->index++) {
        push_scope(r, outer);
        bind(r, r->scope, VIEW_LITERAL("loop"), (jinja_value){.kind = JINJA_LOOP, .loop = loop});
        assign(r, n->a, list->items[loop->index]);
        f = execute(r, n->items[0]);
    }
    r->scope = outer;
    return FLOW_NEXT;
}

static flow execute_for(jinja_run *r, const jinja_node *n)
{
    jinja_value items = eval(r, n->b);
    r->line = n->line;
    return run_loop(r, n, r->scope, items, 0);
}

static flow execute_with(jinja_run *r, const jinja_node *n)
{
    jinja_scope *outer = r->scope, *inner = push_scope(r, outer);
    for (size_t i = 0; i + 1 < n->n_items; i += 2) {
        r->scope = outer; // the values do not see each other
        jinja_value v = eval(r, n->items[i + 1]);
        r->scope = inner;
        assign(r, n->items[i], v);
    }
    flow f = execute(r, n->c);
    r->scope = outer;
    return f;
}

// What a block of a filter or a call prints must be a string.
static void print_text(jinja_run *r, jinja_value v)
{
    if (v.kind != JINJA_STRING) jinja_fail(r, WF_ERROR_FORMAT, "the block gives no text but %s", jinja_type_name(v));
    jinja_text_add_string(r, r->out, v.string);
}

static flow execute_call_block(jinja_run *r, const jinja_node *n)
{
    print_text(r, eval_call(r, n->a));
    return FLOW_NEXT;
}

static flow execute_body(jinja_run *r, const jinja_node *n)
{
    flow f = FLOW_NEXT;
    for (size_t i = 0; i < n->n_items && f == FLOW_NEXT; i++) f = execute(r, n->items[i]);
    return f;
}

static flow execute_inside(jinja_run *r, const jinja_node *n)
{
    flow f = FLOW_NEXT;
    switch (n->kind) {
    case NODE_BLOCK: return execute_body(r, n);
    case NODE_TEXT: jinja_text_add_string(r, r->out, n->value.string); break;
    case NODE_PRINT: jinja_print(r, r->out, eval(r, n->a)); break;
    case NODE_IF: return execute_if(r, n);
    case NODE_FOR: return execute_for(r, n);
    case NODE_SET: assign(r, n->a, eval(r, n->b)); break;
    case NODE_SET_BLOCK: assign(r, n->a, filtered_block(r, n, &f)); break;
    case NODE_FILTER_BLOCK: print_text(r, filtered_block(r, n, &f)); break;
    case NODE_MACRO: bind(r, r->scope, n->name, new_macro(r, n)); break;
    case NODE_CALL_BLOCK: return execute_call_block(r, n);
    case NODE_WITH: return execute_with(r, n);
    case NODE_BREAK: return FLOW_BREAK;
    case NODE_CONTINUE: return FLOW_CONTINUE;
    default: jinja_fail(r, WF_ERROR_FORMAT, "a value where a statement belongs");
    }
    return f;
}

static flow execute(jinja_run *r, const jinja_node *n)
{
    r->line = n->line;
    jinja_step(r, 1);
    jinja_enter(r);
    flow f = execute_inside(r, n);
    jinja_leave(r);
    return f;
}

void jinja_execute(jinja_run *r, const jinja_node *root)
{
    r->globals = push_scope(r, NULL);
    push_scope(r, NULL);
    execute(r, root);
}
