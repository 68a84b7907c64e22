#include "tool/trace.h"

#include <inttypes.h>

#include "base/file.h"
#include "engine/api_function.h"
#include "engine/api_session.h"
#include "engine/model.h" // IWYU pragma: keep (wf_model)
#include "format/json_read.h"
#include "text/unicode/utf8.h"

// In quotes; names of files may be no UTF-8.
static void append_text(buffer *out, const char *text)
{
    buffer repaired = {0};
    utf8_append_repaired(&repaired, view_of(text));
    json_t *value = json_stringn(buffer_view(&repaired).data, repaired.len);
    json_append(value, JSON_ENCODE_ANY, out);
    json_decref(value);
    buffer_free(&repaired);
}

void trace_event(trace *t, int thread, const char *name, const char *label, double begin, double end)
{
    buffer *out = &t->events;
    buffer_printf(out, "%s{\"ph\": \"X\", \"pid\": 1, \"tid\": %d, \"ts\": %.3f, \"dur\": %.3f, \"name\": ",
                  out->len ? ",\n" : "", thread, (begin - t->origin) * 1e6, (end - begin) * 1e6);
    append_text(out, name);
    buffer_printf(out, ", \"args\": {\"op\": ");
    append_text(out, label);
}

void trace_end_event(trace *t) { buffer_printf(&t->events, "}}"); }

void trace_phase(trace *t, const char *name, double begin, double end)
{
    trace_event(t, 0, name, name, begin, end);
    trace_end_event(t);
}

void trace_model(trace *t, const compiled_model *m, double begin, double end)
{
    trace_phase(t, "open", begin, end);
    if (!m->program_cached) trace_phase(t, "compile", m->compile_started, m->compile_started + m->compile_seconds);
    trace_phase(t, m->pack_cached ? "map weights" : "pack", m->pack_started, m->pack_started + m->pack_seconds);
}

void trace_observe(void *context, const execute_record *r)
{
    trace *t = context;
    const program *p = r->program;
    for (int thread = 0; thread < r->n_threads; thread++) {
        for (uint32_t i = 0; i < p->n_calls; i++) {
            const execute_span *span = &r->spans[(uint32_t)thread * p->n_calls + i];
            if (span->begin == 0) continue;
            trace_event(t, thread + 1, p->kernels[p->calls[i].kernel], p->calls[i].label, span->begin, span->end);
            for (uint32_t d = DIM_ONE + 1; d < p->n_dims; d++)
                if (!p->dims[d].factors[0])
                    buffer_printf(&t->events, ", \"%s\": %" PRId64, p->dims[d].name, r->dims[d]);
            buffer_printf(&t->events, ", \"tiles\": %" PRId64, program_count_eval(&p->calls[i].tiles, r->dims));
            trace_end_event(t);
        }
    }
}

void trace_run(trace *t, const wf_model *m, double begin, double end) { trace_model(t, m->compiled, begin, end); }
void trace_session(trace *t, wf_session *s) { observe_session(s, trace_observe, t); }
void trace_function(trace *t, wf_function *f) { observe_function(f, t ? trace_observe : NULL, t); }

wf_status trace_write(trace *t, const char *path, wf_error *err)
{
    static const view head = VIEW_LITERAL("{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n"),
                      tail = VIEW_LITERAL("\n]}\n");
    buffer text = {0};
    buffer_append_view(&text, head);
    buffer_append_view(&text, buffer_view(&t->events));
    buffer_append_view(&text, tail);
    wf_status status =
        text.failed || t->events.failed ? error_memory(err, t->events.len) : file_write(path, text.data, text.len, err);
    buffer_free(&text);
    buffer_free(&t->events);
    return status;
}
