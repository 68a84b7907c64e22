// What walks the tree: names (jinja_scope.c), expressions (jinja_eval.c), calls (jinja_call.c), statements
// (jinja_execute.c). Statements print into r->out, expressions give values.
#ifndef WELFORD_TEXT_JINJA_JINJA_EVAL_H
#define WELFORD_TEXT_JINJA_JINJA_EVAL_H

#include "text/jinja/jinja_internal.h"

// ---- names

jinja_scope *scope_push(jinja_run *r, jinja_scope *parent); // becomes the current one
void scope_bind(jinja_run *r, jinja_scope *s, view name, jinja_value v);
jinja_value scope_look_up(jinja_run *r, const jinja_node *n);
void scope_assign(jinja_run *r, const jinja_node *target, jinja_value v);

// ---- expressions

jinja_value jinja_eval(jinja_run *r, const jinja_node *n);
jinja_value jinja_eval_call(jinja_run *r, const jinja_node *n);
jinja_value jinja_call_filter(jinja_run *r, const jinja_node *n, jinja_value v);
jinja_value jinja_new_macro(jinja_run *r, const jinja_node *n);

// ---- statements

typedef enum jinja_flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE } jinja_flow;

jinja_flow jinja_execute_node(jinja_run *r, const jinja_node *n);
jinja_string *jinja_render_block(jinja_run *r, const jinja_node *body, jinja_flow *f);
// A loop over `items`, `depth` recursions deep, in scopes inside `outer`. A break or continue in its else part means
// the loop around, and is what it returns.
jinja_flow jinja_run_loop(jinja_run *r, const jinja_node *n, jinja_scope *outer, jinja_value items, size_t depth);

#endif
