// Lines from a person at a terminal: editing and history by libedit, end and interruption told apart.
#ifndef WELFORD_TOOL_LINE_H
#define WELFORD_TOOL_LINE_H

#include "base/view.h"
#include "tool/tool.h"

typedef struct line_reader line_reader;

// Prompts go to stderr. The history lies in $XDG_STATE_HOME/welford/history, else ~/.local/state/welford/history; where
// that cannot be read or written there is none. `wake_fd` becomes readable when a line shall be interrupted: a signal
// handler's eventfd, so that no signal is lost between a look at a flag and the wait. NULL: out of memory.
line_reader *line_reader_create(const char *verb, int wake_fd);
// Writes the history.
void line_reader_free(line_reader *r);

typedef enum line_result { LINE_TEXT, LINE_END, LINE_INTERRUPTED } line_result;

// The next line without its line break, valid until the next call. wake_fd is only waited for: the
// caller empties it.
line_result line_read(line_reader *r, view *line);

#endif
