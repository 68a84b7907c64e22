// An answer's text on its way out: tokens come in, whole characters go out, up to the first stop.
//
//     tokens ─▶ pending: bytes of a character that is not complete yet ─▶ text: whole characters ─▶ ready ─▶ out
//                                                                              what may begin a stop stays
#ifndef WELFORD_ENGINE_TEXT_STREAM_H
#define WELFORD_ENGINE_TEXT_STREAM_H

#include "base/buffer.h"
#include "base/view.h"
#include "text/tokenizer/tokenizer.h"

typedef struct text_stream { // {.t, .stops, .n_stops} to begin with
    const tokenizer *t;
    const view *stops; // texts, none empty, that end the answer; what goes out ends before them
    size_t n_stops;
    buffer pending, text; // ill-formed bytes are repaired in `text`
    size_t ready;         // bytes of the text that may go out
    bool stopped;         // a stop has come
} text_stream;

// Then the first `ready` bytes of the text may go out.
wf_status text_stream_add(text_stream *s, int32_t token, wf_error *err);
// No more tokens: all that is left may go out. A character that was cut shows as U+FFFD.
wf_status text_stream_end(text_stream *s, wf_error *err);
void text_stream_sent(text_stream *s); // what was ready has gone out; after a stop, so is the rest

static inline view text_stream_ready(const text_stream *s) { return (view){s->text.data, s->ready}; }

void text_stream_free(text_stream *s);

#endif
