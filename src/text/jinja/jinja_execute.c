// Statements.
#include "text/jinja/jinja_eval.h"

static jinja_value apply_chain(jinja_run *r, const jinja_node *chain, jinja_value v)
{
    jinja_enter(r);
    if (chain->a) v = apply_chain(r, chain->a, v);
    jinja_leave(r);
    return jinja_call_filter(r, chain, v);
}

// The text of n->c, in a scope of its own, through the filters of n->b.
static jinja_value filtered_block(jinja_run *r, const jinja_node *n, jinja_flow *f)
{
    jinja_scope *outer = r->scope;
    scope_push(r, outer);
    jinja_value text = jinja_str(jinja_render_block(r, n->c, f));
    r->scope = outer;
    return n->b ? apply_chain(r, n->b, text) : text;
}

static jinja_flow execute_if(jinja_run *r, const jinja_node *n)
{
    for (size_t i = 0; i + 1 < n->n_items; i += 2)
        if (jinja_is_true(r, jinja_eval(r, n->items[i]))) return jinja_execute_node(r, n->items[i + 1]);
    return n->c ? jinja_execute_node(r, n->c) : FLOW_NEXT;
}

static const jinja_list *filter_items(jinja_run *r, const jinja_node *n, const jinja_list *all)
{
    jinja_scope *outer = r->scope;
    jinja_list *kept = jinja_list_new(r);
    for (size_t i = 0; i < all->n; i++) {
        scope_push(r, outer);
        scope_assign(r, n->a, all->items[i]);
        if (jinja_is_true(r, jinja_eval(r, n->c))) jinja_list_add(r, kept, all->items[i]);
    }
    r->scope = outer;
    return kept;
}

jinja_flow jinja_run_loop(jinja_run *r, const jinja_node *n, jinja_scope *outer, jinja_value items, size_t depth)
{
    const jinja_list *list = jinja_iterate(r, items);
    jinja_flow f = FLOW_NEXT;
    r->scope = outer;
    if (n->c) list = filter_items(r, n, list);
    if (!list->n && n->items[1]) {
        scope_push(r, outer);
        f = jinja_execute_node(r, n->items[1]);
        r->scope = outer;
        return f;
    }
    jinja_loop *loop = jinja_alloc(r, 1, sizeof *loop);
    *loop = (jinja_loop){.node = n, .scope = outer, .list = list, .depth = depth, .changed = {.kind = JINJA_SLICE}};
    for (; loop->index < list->n && f != FLOW_BREAK; loop->index++) {
        scope_push(r, outer);
        scope_bind(r, r->scope, VIEW_LITERAL("loop"), (jinja_value){.kind = JINJA_LOOP, .loop = loop});
        scope_assign(r, n->a, list->items[loop->index]);
        f = jinja_execute_node(r, n->items[0]);
    }
    r->scope = outer;
    return FLOW_NEXT;
}

static jinja_flow execute_for(jinja_run *r, const jinja_node *n)
{
    jinja_value items = jinja_eval(r, n->b);
    r->line = n->line;
    return jinja_run_loop(r, n, r->scope, items, 0);
}

static jinja_flow execute_with(jinja_run *r, const jinja_node *n)
{
    jinja_scope *outer = r->scope, *inner = scope_push(r, outer);
    for (size_t i = 0; i + 1 < n->n_items; i += 2) {
        r->scope = outer; // the values do not see each other
        jinja_value v = jinja_eval(r, n->items[i + 1]);
        r->scope = inner;
        scope_assign(r, n->items[i], v);
    }
    jinja_flow f = jinja_execute_node(r, n->c);
    r->scope = outer;
    return f;
}

// What a block of a filter or a call prints must be a string.
static void print_text(jinja_run *r, jinja_value v)
{
    if (v.kind != JINJA_STRING) jinja_fail(r, WF_ERROR_FORMAT, "the block gives no text but %s", jinja_type_name(v));
    jinja_text_add_string(r, r->out, v.string);
}

static jinja_flow execute_call_block(jinja_run *r, const jinja_node *n)
{
    print_text(r, jinja_eval_call(r, n->a));
    return FLOW_NEXT;
}

static jinja_flow execute_body(jinja_run *r, const jinja_node *n)
{
    jinja_flow f = FLOW_NEXT;
    for (size_t i = 0; i < n->n_items && f == FLOW_NEXT; i++) f = jinja_execute_node(r, n->items[i]);
    return f;
}

static jinja_flow execute_inside(jinja_run *r, const jinja_node *n)
{
    jinja_flow f = FLOW_NEXT;
    switch (n->kind) {
    case NODE_BLOCK: return execute_body(r, n);
    case NODE_TEXT: jinja_text_add_string(r, r->out, n->value.string); break;
    case NODE_PRINT: jinja_print(r, r->out, jinja_eval(r, n->a)); break;
    case NODE_IF: return execute_if(r, n);
    case NODE_FOR: return execute_for(r, n);
    case NODE_SET: scope_assign(r, n->a, jinja_eval(r, n->b)); break;
    case NODE_SET_BLOCK: scope_assign(r, n->a, filtered_block(r, n, &f)); break;
    case NODE_FILTER_BLOCK: print_text(r, filtered_block(r, n, &f)); break;
    case NODE_MACRO: scope_bind(r, r->scope, n->name, jinja_new_macro(r, n)); break;
    case NODE_CALL_BLOCK: return execute_call_block(r, n);
    case NODE_WITH: return execute_with(r, n);
    case NODE_BREAK: return FLOW_BREAK;
    case NODE_CONTINUE: return FLOW_CONTINUE;
    default: jinja_fail(r, WF_ERROR_FORMAT, "a value where a statement belongs");
    }
    return f;
}

jinja_flow jinja_execute_node(jinja_run *r, const jinja_node *n)
{
    r->line = n->line;
    jinja_step(r, 1);
    jinja_enter(r);
    jinja_flow f = execute_inside(r, n);
    jinja_leave(r);
    return f;
}

void jinja_execute(jinja_run *r, const jinja_node *root)
{
    r->globals = scope_push(r, NULL);
    scope_push(r, NULL);
    jinja_execute_node(r, root);
}
