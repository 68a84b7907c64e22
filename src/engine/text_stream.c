#include "engine/text_stream.h"

#include <string.h>

#include "text/unicode/utf8.h"

// Bytes of the text before the first stop, or before what may become one.
static void find_stop(text_stream *s)
{
    view text = buffer_view(&s->text);
    size_t begun = text.len, stop = text.len;
    s->stopped = false;
    for (size_t i = 0; i < s->n_stops; i++) {
        bool whole;
        size_t at = view_find_begun(text, s->stops[i], &whole);
        size_t *first = whole ? &stop : &begun;
        if (at < *first) *first = at;
        s->stopped = s->stopped || whole;
    }
    s->ready = s->stopped ? stop : begun;
}

// Moves what may be shown from `pending` to `text`.
static wf_status take_characters(text_stream *s, bool all, wf_error *err)
{
    view pending = buffer_view(&s->pending);
    size_t n = all ? pending.len : utf8_complete_prefix(pending);
    utf8_append_repaired(&s->text, (view){pending.data, n});
    buffer rest = {0};
    buffer_append(&rest, pending.data + n, pending.len - n);
    buffer_free(&s->pending);
    s->pending = rest;
    if (s->text.failed || rest.failed) return error_memory(err, pending.len);
    return WF_OK;
}

wf_status text_stream_add(text_stream *s, int32_t token, wf_error *err)
{
    TRY(tokenizer_decode_token(s->t, token, false, &s->pending, err));
    TRY(take_characters(s, false, err));
    find_stop(s);
    return WF_OK;
}

wf_status text_stream_end(text_stream *s, wf_error *err)
{
    if (s->pending.len) TRY(take_characters(s, true, err));
    s->ready = s->text.len;
    return WF_OK;
}

void text_stream_sent(text_stream *s)
{
    size_t bytes = s->ready, left = s->text.len - bytes;
    if (bytes) memmove(s->text.data, s->text.data + bytes, left + 1); // and the zero at the end
    s->text.len = left;
    s->ready = 0;
    if (!s->stopped) return;
    buffer_clear(&s->text); // the stop, and what follows it
    buffer_clear(&s->pending);
}

void text_stream_free(text_stream *s)
{
    buffer_free(&s->pending);
    buffer_free(&s->text);
}
