// Parts of an answer: what a reasoning model thinks, and what it says. DeepSeek R1 and others write
//
//     <think>                 often the prompt's last token, so that the answer begins inside
//     ... reasoning ...
//     </think>
//     ... answer ...
//
// The splitter takes the answer's text piece by piece, as it is generated, and gives each byte to the part that it
// belongs to; tags, and white space around them, to neither. Text that might be the beginning of a tag is held back
// until it is known.
#ifndef WELFORD_ENGINE_REASONING_H
#define WELFORD_ENGINE_REASONING_H

#include "base/buffer.h"
#include "base/status.h"

typedef enum reasoning_state {
    REASONING_UNKNOWN, // nothing but white space so far: a <think> may come
    REASONING_OPEN,
    REASONING_CLOSED, // white space after the tag is not yet over
    REASONING_OVER,   // all that follows is the answer
} reasoning_state;

typedef struct reasoning {
    reasoning_state state;
    bool began; // the reasoning has had text
    buffer held;
    wf_part_callback *callback;
    void *context;
} reasoning;

// `prompt_end`: the end of the prompt's text, special tokens included.
void reasoning_begin(reasoning *r, view prompt_end, wf_part_callback *callback, void *context);
void reasoning_feed(reasoning *r, const char *text, size_t bytes);
// Gives out what is held, and frees. False when memory ran out on the way.
bool reasoning_end(reasoning *r);

#endif
