// Names and what they are bound to.
//
// Scopes: a loop's body (each round anew), a macro's body, {% with %}, {% set %} and {% filter %} blocks have their
// own; what is set there ends with it. {% if %} has none. A name is looked up from the innermost scope out, then in the
// context, then among the global functions.
#include "text/jinja/jinja_eval.h"

jinja_scope *scope_push(jinja_run *r, jinja_scope *parent)
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

void scope_bind(jinja_run *r, jinja_scope *s, view name, jinja_value v)
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

jinja_value scope_look_up(jinja_run *r, const jinja_node *n)
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
    scope_bind(r, r->globals, n->name, v);
    return v;
}

void scope_assign(jinja_run *r, const jinja_node *target, jinja_value v)
{
    jinja_enter(r);
    if (target->kind == NODE_NAME) {
        scope_bind(r, r->scope, target->name, v);
    } else if (target->kind == NODE_ATTR) {
        jinja_value object = jinja_eval(r, target->a);
        r->line = target->line;
        if (object.kind != JINJA_NAMESPACE)
            jinja_fail(r, WF_ERROR_FORMAT, "cannot assign to an attribute of %s, only of a namespace",
                       jinja_type_name(object));
        jinja_dict_set(r, object.dict, jinja_str(target->name_string), v);
    } else if (target->kind == NODE_TUPLE) {
        const jinja_list *parts = jinja_iterate(r, v);
        if (parts->n != target->n_items)
            jinja_fail(r, WF_ERROR_FORMAT, "cannot unpack %zu values into %zu names", parts->n, target->n_items);
        for (size_t i = 0; i < parts->n; i++) scope_assign(r, target->items[i], parts->items[i]);
    } else {
        jinja_fail(r, WF_ERROR_FORMAT, "cannot assign to this");
    }
    jinja_leave(r);
}
