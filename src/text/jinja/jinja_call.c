// Calls: of macros, of recursive loops, of functions and methods.
#include "text/jinja/jinja_eval.h"

jinja_string *jinja_render_block(jinja_run *r, const jinja_node *body, jinja_flow *f)
{
    jinja_text t = {0}, *out = r->out;
    r->out = &t;
    *f = jinja_execute_node(r, body);
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
    if (macro->specials & JINJA_VARARGS) scope_bind(r, r->scope, VIEW_LITERAL("varargs"), varargs);
    if (macro->specials & JINJA_KWARGS) scope_bind(r, r->scope, VIEW_LITERAL("kwargs"), kwargs);
    if (macro->specials & JINJA_CALLER) scope_bind(r, r->scope, VIEW_LITERAL("caller"), caller);
}

// Binds the parameters: positional, else named, else the default, which sees the parameters before it.
static void bind_parameters(jinja_run *r, const jinja_node *macro, const jinja_args *args)
{
    bool *used = jinja_alloc(r, args->n_named, sizeof *used);
    const jinja_value **given = jinja_alloc(r, macro->n_items, sizeof *given);
    for (size_t i = 0; i < macro->n_items; i++) {
        jinja_step(r, args->n_named / 8);
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
                        : macro->items[i] ? jinja_eval(r, macro->items[i])
                                          : jinja_undefined(jinja_string_new(r, name.data, name.len), JINJA_UNDEFINED);
        scope_bind(r, r->scope, name, v);
    }
}

static jinja_value call_macro(jinja_run *r, const jinja_macro *m, const jinja_args *args)
{
    jinja_scope *outer = r->scope;
    jinja_flow f;
    scope_push(r, m->scope);
    bind_parameters(r, m->node, args);
    jinja_string *text = jinja_render_block(r, m->node->c, &f);
    r->scope = outer;
    return jinja_str(text);
}

// loop(items): the loop's text for other items, one deeper.
static jinja_value call_loop(jinja_run *r, const jinja_loop *loop, const jinja_args *args)
{
    jinja_text t = {0}, *out = r->out;
    jinja_scope *scope = r->scope;
    if (!loop->node->value.boolean) jinja_fail(r, WF_ERROR_FORMAT, "the loop must be marked 'recursive' to be called");
    if (args->n + args->n_named != 1) jinja_fail(r, WF_ERROR_FORMAT, "loop takes one argument");
    r->out = &t;
    jinja_run_loop(r, loop->node, loop->scope, *jinja_need_arg(r, args, 0, "iterable"), loop->depth + 1);
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
