// Jinja, the part of it that chat templates are written in: compile a template once, render it with a JSON context.
//
// Language reference: https://jinja.palletsprojects.com/en/stable/templates/, as Hugging Face sets it up: trim_blocks
// and lstrip_blocks on, no autoescape, immutable sandbox, loop controls, tojson without HTML escapes, raise_exception,
// strftime_now, {% generation %}. What a template prints equals what jinja2 prints, Python's spelling of values
// included.
//
// Templates are hostile: nesting, depth, steps, memory and output are limited (jinja_internal.h).
#ifndef WELFORD_TEXT_JINJA_JINJA_H
#define WELFORD_TEXT_JINJA_JINJA_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"

typedef struct jinja_template jinja_template;

// Parses `source` (UTF-8), which need not outlive the call. `name` (a path, say) stands in messages. Free with
// jinja_free. WF_ERROR_FORMAT: syntax; WF_ERROR_UNSUPPORTED: a statement welford lacks. Messages: "name: line N:
// reason".
wf_status jinja_compile(view source, const char *name, jinja_template **t, wf_error *err);
void jinja_free(jinja_template *t);

// Appends the rendered text to `out`; `context` is an object with the template's variables. On failure `out` is as it
// was. WF_ERROR_FORMAT: the template refuses (raise_exception) or fails on these values; WF_ERROR_UNSUPPORTED: it uses
// a filter, test, method or function that welford lacks; WF_ERROR_LIMIT: it runs too long or too deep, or prints too
// much.
wf_status jinja_render(const jinja_template *t, const json_t *context, buffer *out, wf_error *err);

// The same, and remembers where text came from: origin gets one byte for each byte appended to `out`, 1 when it is text
// of a string in one of `foreign`'s variables (NULL-terminated names of context variables), 0 when it is the template's
// or trusted. All string operations carry the origin along. A "role" that is one plain word ([A-Za-z0-9_]) is trusted,
// since templates build markers around it.
wf_status jinja_render_origin(const jinja_template *t, const json_t *context, const char *const *foreign, buffer *out,
                              buffer *origin, wf_error *err);

#endif
