// What the files of the Jinja interpreter share: values, syntax tree, the state of a run.
//
//     jinja_lex.c         source -> tokens          jinja_value.c        containers, truth, equality, order, printing
//     jinja_parse.c       tokens -> tree            jinja_json.c         JSON in and out
//     jinja_expression.c  ... of expressions        jinja_string.c       text: building, code points, case
//     jinja_parser.c      ... what both need        jinja_operator.c     + - * / // **
//     jinja_execute.c     tree + context -> text    jinja_percent.c      %, which formats
//     jinja_eval.c        ... of expressions        jinja_format.c       str.format
//     jinja_call.c        ... of calls              jinja_number.c       what both need
//     jinja_scope.c       names                     jinja_attribute.c    attributes, items, slices
//     jinja_arguments.c   arguments of calls        jinja_method*.c      methods
//     jinja_function.c    global functions          jinja_filter*.c      filters
//     jinja.c             the public functions      jinja_is.c           tests ("is ...")
//
// Memory: a compile and a render own one arena each; nothing is freed singly. Errors: jinja_fail fills the error and
// jumps back to the entry (jinja_try), as Lua does; between the two nothing is held that the arena or the run does not
// own, so nothing leaks, and a hundred small functions need no error path.
//
// Strings know their origin: beside its bytes a string may carry one byte each that says whether it came from outside.
#ifndef WELFORD_TEXT_JINJA_JINJA_INTERNAL_H
#define WELFORD_TEXT_JINJA_JINJA_INTERNAL_H

#include <setjmp.h>

#include "base/arena.h"
#include "text/jinja/jinja.h"

// Limits, far above real use (a large tool conversation takes some 1e5 steps) and low enough to end in about a second.
enum {
    JINJA_MAX_SOURCE = 4 << 20,                 // bytes of a template
    JINJA_MAX_NESTING = 100,                    // blocks and brackets inside each other in the source
    JINJA_MAX_DEPTH = 800,                      // expressions, calls and values inside each other while rendering
    JINJA_MAX_STRING = 64 << 20,                // bytes of any string, so of the output
    JINJA_MAX_RANGE = 100000,                   // items of range(), as jinja2's sandbox has it
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION // fuzzers want many short runs
    JINJA_MAX_STEPS = 100000,
    JINJA_MAX_MEMORY = 32 << 20,
#else
    JINJA_MAX_STEPS = 20000000,   // a node evaluated, an item visited, 32 bytes of text moved
    JINJA_MAX_MEMORY = 512 << 20, // bytes of the arena
#endif
};

// ---- values

typedef enum jinja_kind {
    JINJA_UNDEFINED, // .string: the missing name; .of: the kind of the object that lacks it, or JINJA_UNDEFINED
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_BIG, // an integer beyond 64 bits: .string, its digits without zeros before them, zero-terminated; not
               // computed with
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_RANGE,    // range(): .list with its items, .label as printed; a slice of one has no label
    JINJA_VIEW,     // dict.keys() and the like: .list, .label "dict_keys"
    JINJA_ITERATOR, // what map, select, ... give: .list, .next the items already taken
    JINJA_DICT,
    JINJA_NAMESPACE, // .dict
    JINJA_MACRO,
    JINJA_FUNCTION, // a global function
    JINJA_METHOD,   // a method with its object
    JINJA_LOOP,     // the variable `loop`
    JINJA_CYCLER,   // .cycle
    JINJA_JOINER,   // .cycle
    JINJA_SLICE,    // .slice, only ever a subscript
} jinja_kind;

typedef struct jinja_run jinja_run;
typedef struct jinja_node jinja_node;
typedef struct jinja_scope jinja_scope;

typedef struct jinja_string {
    const char *data;
    size_t len;
    const unsigned char *origin; // NULL: all from the template; else len bytes, 1 = from outside
    bool markup;                 // HTML-safe: `+` escapes what is joined to it
} jinja_string;

typedef struct jinja_value {
    unsigned char kind; // jinja_kind
    unsigned char of;   // jinja_kind; see JINJA_UNDEFINED
    union {
        bool boolean;
        int64_t integer;
        double real;
        const jinja_string *string;
        struct jinja_list *list;
        struct jinja_dict *dict;
        const struct jinja_macro *macro;
        const struct jinja_function *function;
        const struct jinja_method *method;
        struct jinja_loop *loop;
        struct jinja_cycle *cycle;
        const struct jinja_value *slice; // start, stop, step; none where left out
    };
} jinja_value;

typedef struct jinja_list {
    jinja_value *items;
    size_t n, capacity;
    size_t next;
    const char *label;
} jinja_list;

// Keys in the order of insertion, found by a linear search: templates' dicts are small, and each search costs steps.
typedef struct jinja_dict {
    jinja_value *keys, *values;
    size_t n, capacity;
} jinja_dict;

typedef struct jinja_args {
    const jinja_value *items;
    size_t n;
    const view *names; // of the named ones
    const jinja_value *named;
    size_t n_named;
} jinja_args;

typedef jinja_value jinja_filter_fn(jinja_run *r, jinja_value v, const jinja_args *args);
typedef bool jinja_test_fn(jinja_run *r, jinja_value v, const jinja_args *args);

typedef struct jinja_function {
    const char *name;
    jinja_value (*call)(jinja_run *r, const jinja_args *args);
    const char *parameters; // jinja_check_args
} jinja_function;

// cycler(...) and joiner(...): the items to give in turn.
typedef struct jinja_cycle {
    const jinja_value *items;
    size_t n, next;
} jinja_cycle;

typedef struct jinja_method {
    jinja_value self;
    view name;
} jinja_method;

typedef struct jinja_macro {
    const jinja_node *node; // name, parameters, body
    jinja_scope *scope;     // where it was defined
} jinja_macro;

typedef struct jinja_loop {
    const jinja_node *node;
    jinja_scope *scope; // around the loop
    const jinja_list *list;
    size_t index, depth; // depth: of recursion, from 0
    jinja_value changed; // last argument of loop.changed()
} jinja_loop;

// ---- tokens

typedef enum jinja_token_kind {
    TOKEN_END,
    TOKEN_TEXT,
    TOKEN_PRINT_BEGIN, // {{
    TOKEN_PRINT_END,
    TOKEN_BLOCK_BEGIN, // {%
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING, // text without quotes, escapes undone
    TOKEN_INT,
    TOKEN_BIG, // an integer beyond 64 bits: text, its digits
    TOKEN_FLOAT,
    TOKEN_OPERATOR,
} jinja_token_kind;

typedef struct jinja_token {
    jinja_token_kind kind;
    int line;
    view text;
    int64_t integer;
    double real;
} jinja_token;

// All tokens of `source`, the last one TOKEN_END; in the run's arena, as the text they point to.
jinja_token *jinja_lex(jinja_run *r, view source);

// ---- tree

typedef enum jinja_node_kind {
    // expressions
    NODE_CONST,   // value
    NODE_NAME,    // name
    NODE_LIST,    // items
    NODE_TUPLE,   // items
    NODE_DICT,    // items: key, value, key, ...
    NODE_NEGATE,  // a
    NODE_PLUS,    // a
    NODE_NOT,     // a
    NODE_AND,     // a, b
    NODE_OR,      // a, b
    NODE_BINARY,  // a, op, b
    NODE_COMPARE, // a, then ops[i] items[i]
    NODE_CONCAT,  // items
    NODE_COND,    // a: condition; b: then; c: else or NULL
    NODE_ATTR,    // a, name
    NODE_ITEM,    // a, b
    NODE_SLICE,   // a, b, c: start, stop, step, each may be NULL
    NODE_CALL,    // a; items, arg_names
    NODE_FILTER,  // a (NULL: the block's text), name; items, arg_names
    NODE_TEST,    // a, name; items, arg_names
    // statements
    NODE_BLOCK,        // items: the statements of a body
    NODE_TEXT,         // value
    NODE_PRINT,        // a
    NODE_IF,           // items: condition, body, condition, body, ...; c: else or NULL
    NODE_FOR,          // a: target; b: sequence; c: filter or NULL; items: body, else or NULL; value: recursive
    NODE_SET,          // a: target; b: value
    NODE_SET_BLOCK,    // a: target; b: filter chain or NULL; c: body
    NODE_FILTER_BLOCK, // b: filter chain; c: body
    NODE_MACRO,        // specials; name; items: defaults or NULL; arg_names: parameters; c: body
    NODE_CALL_BLOCK,   // a: the call, whose argument `caller` is the block's NODE_MACRO
    NODE_WITH,         // items: target, value, ...; c: body
    NODE_BREAK,
    NODE_CONTINUE,
} jinja_node_kind;

typedef enum jinja_op {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOOR_DIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN,
} jinja_op;

// What a macro may read beyond its parameters.
typedef enum jinja_special { JINJA_CALLER = 1, JINJA_VARARGS = 2, JINJA_KWARGS = 4 } jinja_special;

struct jinja_node {
    jinja_node_kind kind;
    jinja_op op;
    int line;
    view name;
    const jinja_string *name_string; // name again, ready for values
    jinja_value value;
    jinja_node *a, *b, *c;
    jinja_node **items;
    size_t n_items, items_capacity;
    view *arg_names;   // of calls: one an item, empty for positional ones, "*" and "**" for those to unpack
    unsigned specials; // of macros
    jinja_op *ops;
    union {
        const struct jinja_filter_row *filter; // NULL: unknown, an error once it is called
        const struct jinja_test_row *test;
    };
};

jinja_node *jinja_parse(jinja_run *r, view source);

// ---- a run: one compile or one render

// Text under construction, in the arena.
typedef struct jinja_text {
    char *data;
    unsigned char *origin; // NULL until a piece from outside comes
    size_t len, capacity;
} jinja_text;

typedef struct jinja_binding {
    view name;
    jinja_value value;
    struct jinja_binding *next;
} jinja_binding;

struct jinja_scope {
    jinja_scope *parent;
    jinja_binding *bindings;
};

struct jinja_run {
    const char *name; // of the template
    wf_error *err;
    wf_status status; // of the failure that jumped
    jmp_buf entry;
    arena memory;
    size_t memory_used;
    int64_t steps;
    int depth, line;
    const json_t *context;
    const char *const *foreign; // NULL: origins are not asked for
    jinja_scope *scope;
    jinja_scope *globals; // outermost scope
    jinja_text *out;
};

struct jinja_template {
    arena memory;
    char *name;
    const jinja_node *root;
};

// Calls work(r, data); the status of jinja_fail if that was called on the way.
wf_status jinja_try(jinja_run *r, void (*work)(jinja_run *r, void *data), void *data);
_Noreturn void jinja_fail(jinja_run *r, wf_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *jinja_alloc(jinja_run *r, size_t count, size_t size); // zeroed; fails the run when memory or the limit is out
void jinja_step(jinja_run *r, size_t cost);
void jinja_enter(jinja_run *r); // one level deeper: an expression, call or value inside another
static inline void jinja_leave(jinja_run *r) { r->depth--; }

void jinja_execute(jinja_run *r, const jinja_node *root); // appends to r->out

// ---- strings

// The code point at `data` (len > 0) and its length in *used; an invalid byte counts as a character of its own.
uint32_t jinja_code_point(const char *data, size_t len, size_t *used);
size_t jinja_count(const jinja_string *s); // code points
bool jinja_is_space(uint32_t cp);          // str.isspace
bool jinja_is_printable(uint32_t cp);      // for repr()
bool jinja_has_case(uint32_t cp);          // an upper, lower or title case letter

jinja_string *jinja_string_new(jinja_run *r, const char *data, size_t len); // does not copy
jinja_string *jinja_string_slice(jinja_run *r, const jinja_string *s, size_t begin, size_t end);
view jinja_string_view(const jinja_string *s);

void jinja_text_add(jinja_run *r, jinja_text *t, const char *data, size_t len, const unsigned char *origin);
void jinja_text_add_literal(jinja_run *r, jinja_text *t, const char *s);
void jinja_text_add_string(jinja_run *r, jinja_text *t, const jinja_string *s);
void jinja_text_add_code_point(jinja_run *r, jinja_text *t, uint32_t cp, bool foreign);
jinja_string *jinja_text_end(jinja_run *r, const jinja_text *t);

typedef enum jinja_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITALIZE } jinja_case;
jinja_string *jinja_string_case(jinja_run *r, const jinja_string *s, jinja_case how);
jinja_string *jinja_string_strip(jinja_run *r, const jinja_string *s, const jinja_string *chars, bool left, bool right);
jinja_string *jinja_string_replace(jinja_run *r, const jinja_string *s, const jinja_string *from,
                                   const jinja_string *to, int64_t count);
jinja_string *jinja_string_escape(jinja_run *r, const jinja_string *s); // HTML
jinja_string *jinja_string_center(jinja_run *r, const jinja_string *s, int64_t width, const jinja_string *fill);
// Byte offset of `needle` in s at or after `from`; SIZE_MAX when there is none.
size_t jinja_string_find(jinja_run *r, const jinja_string *s, const jinja_string *needle, size_t from);
jinja_list *jinja_string_split_lines(jinja_run *r, const jinja_string *s, bool keep_ends);

// ---- values

static inline jinja_value jinja_none(void) { return (jinja_value){.kind = JINJA_NONE}; }
static inline jinja_value jinja_bool(bool b) { return (jinja_value){.kind = JINJA_BOOL, .boolean = b}; }
static inline jinja_value jinja_int(int64_t i) { return (jinja_value){.kind = JINJA_INT, .integer = i}; }
static inline jinja_value jinja_float(double f) { return (jinja_value){.kind = JINJA_FLOAT, .real = f}; }
static inline jinja_value jinja_str(const jinja_string *s) { return (jinja_value){.kind = JINJA_STRING, .string = s}; }
static inline jinja_value jinja_seq(jinja_kind kind, jinja_list *l)
{
    return (jinja_value){.kind = (unsigned char)kind, .list = l};
}
jinja_value jinja_undefined(const jinja_string *name, jinja_kind of);
jinja_value jinja_literal(jinja_run *r, const char *s);
// An integer in decimal digits, "-" before them or not: JINJA_BIG only where 64 bits do not hold it. Copies.
jinja_value jinja_integer_of(jinja_run *r, view digits);

jinja_list *jinja_list_new(jinja_run *r);
void jinja_list_add(jinja_run *r, jinja_list *l, jinja_value v);
jinja_dict *jinja_dict_new(jinja_run *r);
jinja_value *jinja_dict_find(jinja_run *r, const jinja_dict *d, jinja_value key); // NULL when absent
void jinja_dict_set(jinja_run *r, jinja_dict *d, jinja_value key, jinja_value v);

const char *jinja_type_name(jinja_value v); // as Python names it
_Noreturn void jinja_fail_undefined(jinja_run *r, jinja_value v);
bool jinja_is_true(jinja_run *r, jinja_value v);
bool jinja_is_sequence(jinja_value v); // LIST, TUPLE, RANGE, VIEW, ITERATOR: has .list
bool jinja_is_iterable(jinja_value v);
bool jinja_number(jinja_value v, double *f);   // INT, FLOAT, BOOL
bool jinja_integer(jinja_value v, int64_t *i); // INT, BOOL
bool jinja_equal(jinja_run *r, jinja_value a, jinja_value b);
int jinja_order(jinja_run *r, jinja_value a, jinja_value b); // -1, 0, 1; 2: unordered (nan); fails like Python's <
bool jinja_contains(jinja_run *r, jinja_value container, jinja_value item);
bool jinja_is_hashable(jinja_run *r, jinja_value v);
int64_t jinja_length(jinja_run *r, jinja_value v);
jinja_list *jinja_iterate(jinja_run *r, jinja_value v); // the items in order; not to be changed; ends an iterator
const jinja_string *jinja_to_string(jinja_run *r, jinja_value v);
void jinja_print(jinja_run *r, jinja_text *t, jinja_value v); // str()
void jinja_repr(jinja_run *r, jinja_text *t, jinja_value v);
void jinja_text_add_int(jinja_run *r, jinja_text *t, int64_t i);
void jinja_text_add_float(jinja_run *r, jinja_text *t, double f);
jinja_value jinja_from_json(jinja_run *r, const json_t *j, bool foreign);
jinja_value jinja_filter_tojson(jinja_run *r, jinja_value v, const jinja_args *args);
jinja_value jinja_filter_items(jinja_run *r, jinja_value v, const jinja_args *args);

// ---- operations

jinja_value jinja_negate(jinja_run *r, jinja_value v); // of an integer
jinja_value jinja_binary(jinja_run *r, jinja_op op, jinja_value a, jinja_value b);
jinja_value jinja_get_attr(jinja_run *r, jinja_value v, const jinja_string *name); // v.name
jinja_value jinja_get_item(jinja_run *r, jinja_value v, jinja_value key);          // v[key]
jinja_value jinja_call(jinja_run *r, jinja_value f, const jinja_args *args);
jinja_value jinja_call_method(jinja_run *r, const jinja_method *m, const jinja_args *args);
jinja_value jinja_format(jinja_run *r, const jinja_string *format, jinja_value args); // the operator %
const jinja_function *jinja_find_function(view name);
bool jinja_has_method(jinja_value v, view name);

// Fails unless `args` fit `parameters`, words such as "old new count?": "?" marks one that may be left out, "/" stands
// before those that have no name to callers, "*" and "**" for any more positional and named ones. `function` is a name
// for the message.
void jinja_check_args(jinja_run *r, const char *function, const char *parameters, const jinja_args *args);

// Argument `index` or, where there are fewer, the one named `name`; NULL when absent.
const jinja_value *jinja_arg(const jinja_args *args, size_t index, const char *name);
bool jinja_arg_bool(jinja_run *r, const jinja_args *args, size_t index, const char *name, bool fallback);
int64_t jinja_arg_int(jinja_run *r, const jinja_args *args, size_t index, const char *name, int64_t fallback);
// A string argument; NULL when absent or none.
const jinja_string *jinja_arg_string(jinja_run *r, const jinja_args *args, size_t index, const char *name);
// These fail where there is none.
const jinja_string *jinja_need_string(jinja_run *r, const jinja_args *args, size_t index, const char *name);
const jinja_value *jinja_need_arg(jinja_run *r, const jinja_args *args, size_t index, const char *name);

// Filters and tests with their parameters (jinja_check_args), in tables that end with a NULL.
#define FILTER(name) static jinja_value name(jinja_run *r, jinja_value v, const jinja_args *args)
typedef struct jinja_filter_row {
    const char *name;
    jinja_filter_fn *filter;
    const char *parameters;
} jinja_filter_row;
typedef struct jinja_test_row {
    const char *name;
    jinja_test_fn *test;
    const char *parameters;
} jinja_test_row;
extern const jinja_filter_row jinja_text_filters[], jinja_number_filters[], jinja_html_filters[], jinja_wrap_filters[];
const jinja_filter_row *jinja_find_filter(view name); // NULL: unknown
const jinja_test_row *jinja_find_test(view name);
jinja_value jinja_apply_filter(jinja_run *r, const jinja_filter_row *row, jinja_value v, const jinja_args *args);
bool jinja_apply_test(jinja_run *r, const jinja_test_row *row, jinja_value v, const jinja_args *args);

#endif
