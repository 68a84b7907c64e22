// Traces in Chrome's format, for chrome://tracing or ui.perfetto.dev: what each thread did when.
// Format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (complete events)
//
//     thread 0       phases of the program: open, compile, pack, prefill, decode
//     thread 1 ..    those that compute: a span for each call of a kernel that the thread had a part in
#ifndef WELFORD_TOOL_TRACE_H
#define WELFORD_TOOL_TRACE_H

#include "base/buffer.h"
#include "runtime/compiled_model.h"
#include "runtime/execute.h"

typedef struct trace {
    double origin; // clock_seconds of time 0
    buffer events;
} trace;

// Begins an event and leaves its "args" object open: `label` is its first member; trace_end_event closes it. Others may
// be added between with buffer_printf(&t->events, ", \"name\": %d", ..).
void trace_event(trace *t, int thread, const char *name, const char *label, double begin, double end);
void trace_end_event(trace *t);

void trace_phase(trace *t, const char *name, double begin, double end);
execute_observer trace_observe; // context: a trace

// Traces the calls of a function from here on; `t` NULL: no more.
void trace_function(trace *t, wf_function *f);

// The phases of opening a model.
void trace_model(trace *t, const compiled_model *m, double begin, double end);
// The same of a public one, and the calls of its session from here on.
void trace_run(trace *t, const wf_model *m, double begin, double end);
void trace_session(trace *t, wf_session *s);

// Writes the file and forgets the events.
wf_status trace_write(trace *t, const char *path, wf_error *err);

#endif
