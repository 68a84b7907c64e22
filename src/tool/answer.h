// How the text of an answer reaches the user: at once to stdout, or kept for a JSON object; reasoning shown, hidden or
// apart.
#ifndef WELFORD_TOOL_ANSWER_H
#define WELFORD_TOOL_ANSWER_H

#include "base/buffer.h"
#include "base/status.h"

typedef enum think_mode {
    THINK_SHOW, // as it comes; on a terminal dimmed, without its tags
    THINK_HIDE,
    THINK_JSON, // apart, in a JSON object
} think_mode;

typedef struct answer_printer {
    think_mode think;
    bool keeps;             // into `text`, not to stdout
    bool dims;              // stdout is a terminal with colours
    buffer text, reasoning; // what was kept
    int write_error;        // errno of stdout; 0: none
    // of the answer that is being written
    wf_splitter *split;
    bool in_line;       // its last byte was no line break
    bool has_reasoning; // some was printed, and no answer yet
} answer_printer;

// The end of the prompt, which the session holds, tells whether the answer begins inside its reasoning.
wf_status answer_begin(answer_printer *p, const wf_model *m, const wf_session *s, wf_error *err);
void answer_write(answer_printer *p, const char *text, size_t bytes);
void answer_end(answer_printer *p); // closes the line
void answer_free(answer_printer *p);

#endif
