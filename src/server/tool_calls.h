// Calls of tools in an answer.
//
// How a model writes them, its template tells: a conversation with a call is rendered, and what stands around the call is
// looked at. Understood are calls that are a JSON object with the name under one key and the arguments under another:
//
//     <tool_call>{"name": "f", "arguments": {...}}</tool_call>      Hermes, Qwen: open, close
//     [TOOL_CALLS][{"name": "f", "arguments": {...}}, ...]          Mistral: open, no close
//     {"name": "f", "parameters": {...}}                            Llama 3: no open, at the beginning of the answer
//
// A call is given out when it is whole and its arguments are valid; what is not stays text.
#ifndef WELFORD_SERVER_TOOL_CALLS_H
#define WELFORD_SERVER_TOOL_CALLS_H

#include "server/ask.h"

typedef struct tool_format {
    char open[64], close[64]; // without white space around them; "": none
    char name_key[32], arguments_key[32];
} tool_format;

// False: `err` says that the model's template writes no calls that are understood.
bool tool_format_find(tool_format *f, const wf_model *m, api_error *err);

// Appends how a call begins, of `function` where that is not NULL.
void tool_format_begin(const tool_format *f, const char *function, buffer *out);

typedef struct tool_callbacks {
    void (*text)(void *context, const char *text, size_t bytes);
    // A new reference to the arguments, an object.
    void (*call)(void *context, const char *name, json_t *arguments);
    void *context;
} tool_callbacks;

typedef struct tool_parser {
    const tool_format *format;
    const json_t *tools;
    tool_callbacks to;
    enum { TOOL_TEXT, TOOL_BETWEEN, TOOL_CALL } state;
    buffer held; // not yet known what it is
    bool began;  // the answer has had text
    bool one;    // a second call is left out
    size_t n_calls;
} tool_parser;

void tool_parser_feed(tool_parser *p, const char *text, size_t bytes);
// Gives out as text what no call came of, and frees. False: memory ran out.
bool tool_parser_finish(tool_parser *p);

#endif
