// What parsing expressions and statements has in common: the place in the tokens, and new nodes.
#ifndef WELFORD_TEXT_JINJA_JINJA_PARSER_H
#define WELFORD_TEXT_JINJA_JINJA_PARSER_H

#include "text/jinja/jinja_internal.h"

typedef struct jinja_parser {
    jinja_run *r;
    const jinja_token *token; // the current one; TOKEN_END is never passed
    int loops;                // around the current statement
    unsigned specials;        // jinja_special: names that the current macro's body has read
    unsigned assigned;        // ... and assigned before reading, which makes them plain names
} jinja_parser;

// ---- tokens (jinja_parser.c)

bool parser_is_op(const jinja_parser *p, const char *op);
bool parser_is_word(const jinja_parser *p, const char *word);
void parser_next(jinja_parser *p);
bool parser_skip_op(jinja_parser *p, const char *op); // whether it was there
bool parser_skip_word(jinja_parser *p, const char *word);
void parser_expect_op(jinja_parser *p, const char *op); // fails where it is not there
view parser_expect_name(jinja_parser *p);
_Noreturn void parser_fail(jinja_parser *p, const char *expected);
void parser_nest(jinja_parser *p); // one level deeper, up to JINJA_MAX_NESTING; jinja_leave goes back

// ---- nodes

jinja_node *parser_node(jinja_parser *p, jinja_node_kind kind, jinja_node *a, jinja_node *b);
void parser_set_name(jinja_parser *p, jinja_node *n, view name);
void parser_add(jinja_parser *p, jinja_node *n, jinja_node *item, view arg_name);
#define PARSER_NO_NAME VIEW_LITERAL("")

unsigned jinja_special_parameter(view name); // a jinja_special; 0 for other names

// ---- expressions (jinja_expression.c)

typedef jinja_node *jinja_parse_fn(jinja_parser *p);
jinja_node *jinja_parse_expression(jinja_parser *p);
jinja_node *jinja_parse_or(jinja_parser *p); // without "if" and "else"
// a, b, c into a tuple; a alone into itself. It ends where no part can begin, and at `end_word`.
jinja_node *jinja_parse_tuple(jinja_parser *p, jinja_parse_fn *parse_part, const char *end_word, bool in_brackets);
jinja_node *jinja_parse_dot(jinja_parser *p, jinja_node *object);
jinja_node *jinja_parse_filter(jinja_parser *p, jinja_node *n); // name and arguments behind "|"

#endif
