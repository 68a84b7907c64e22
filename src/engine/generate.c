#include "engine/generate.h"

#include "engine/text_stream.h"

const char *wf_finish_name(wf_finish finish)
{
    static const char *const names[] = {[WF_FINISH_STOP] = "stop",
                                        [WF_FINISH_LENGTH] = "length",
                                        [WF_FINISH_CONTEXT] = "context",
                                        [WF_FINISH_CALLBACK] = "interrupted",
                                        [WF_FINISH_ERROR] = "error"};
    return names[finish];
}

// The answer's text on its way to the callback.
typedef struct stream {
    const generate_request *request;
    text_stream text;
} stream;

// Gives what is ready to the callback.
static bool call_back(stream *out, int32_t token)
{
    const generate_request *r = out->request;
    view ready = text_stream_ready(&out->text);
    bool go_on = !r->callback || r->callback(r->context, token, ready.data, ready.len);
    text_stream_sent(&out->text);
    return go_on;
}

static wf_status send_token(stream *out, int32_t token, bool *go_on, wf_error *err)
{
    TRY(text_stream_add(&out->text, token, err));
    *go_on = call_back(out, token);
    return WF_OK;
}

static wf_status send_rest(stream *out, wf_error *err)
{
    TRY(text_stream_end(&out->text, err));
    if (out->text.ready) call_back(out, -1);
    return WF_OK;
}

wf_status generate_take_stops(const char *const *texts, size_t n, view stops[GENERATE_MAX_STOPS], wf_error *err)
{
    if (n > GENERATE_MAX_STOPS) return error_set(err, WF_ERROR_USAGE, "more than %d stops", GENERATE_MAX_STOPS);
    for (size_t i = 0; i < n; i++) {
        stops[i] = view_of(texts[i]);
        if (!stops[i].len) return error_set(err, WF_ERROR_USAGE, "stop %zu is empty", i);
    }
    return WF_OK;
}

wf_status generate_check_prompt(int64_t n_prompt, int64_t n_ctx, wf_error *err)
{
    if (n_prompt < 1) return error_set(err, WF_ERROR_USAGE, "the prompt is empty");
    if (n_prompt <= n_ctx) return WF_OK;
    return error_set(err, WF_ERROR_LIMIT, "the prompt has %lld tokens, the context has room for %lld",
                     (long long)n_prompt, (long long)n_ctx);
}

// Evaluates the prompt. Between parts of n_batch tokens the callback may stop it.
static wf_status prefill(stream *out, wf_generation *result, bool *go_on, wf_error *err)
{
    const generate_request *r = out->request;
    session *s = r->s;
    TRY(generate_check_prompt(r->n_prompt, session_context(s), err));
    int64_t reused = session_match(s, r->prompt, r->n_prompt);
    if (reused == r->n_prompt) reused--;
    TRY(session_truncate(s, reused, err));
    TRY(session_check(s, r->prompt + reused, r->n_prompt - reused, err));
    result->n_prompt = r->n_prompt;
    result->n_reused = reused;
    for (int64_t begin = reused; begin < r->n_prompt && *go_on;) {
        int64_t n = r->n_prompt - begin < session_batch(s) ? r->n_prompt - begin : session_batch(s);
        bool last = begin + n == r->n_prompt;
        TRY(session_eval(s, r->prompt + begin, n, last ? n - 1 : n, err));
        begin += n;
        if (!last) *go_on = call_back(out, -1);
    }
    sampler_forget(r->choose);
    for (int64_t i = 0; i < r->n_prompt; i++) sampler_accept(r->choose, r->prompt[i]);
    return WF_OK;
}

// ---- the logits of what follows the sequence, with speculation or without

static const float *next_logits(const generate_request *r)
{
    return r->ahead ? speculation_logits(r->ahead) : session_logits(r->s, 0);
}

static bool has_room(const generate_request *r)
{
    return r->ahead ? speculation_has_room(r->ahead) : session_past(r->s) < session_context(r->s);
}

static wf_status append_token(const generate_request *r, int32_t token, int64_t n_generated, wf_error *err)
{
    int64_t n_wanted = r->n_max < 0 ? INT64_MAX : r->n_max - n_generated;
    return r->ahead ? speculation_step(r->ahead, token, n_wanted, err) : session_eval(r->s, &token, 1, 0, err);
}

static wf_status decode(stream *out, double start, token_list *answer, wf_generation *result, wf_error *err)
{
    const generate_request *r = out->request;
    double first_token = 0;
    for (;;) {
        if (r->n_max >= 0 && result->n_generated >= r->n_max) {
            result->finish = WF_FINISH_LENGTH;
            break;
        }
        int32_t token;
        TRY(sampler_pick(r->choose, next_logits(r), &token, err));
        sampler_accept(r->choose, token);
        double now = clock_seconds();
        if (result->first_token_seconds == 0) first_token = now, result->first_token_seconds = now - start;
        result->decode_seconds = now - first_token;
        if (!r->ignore_end && tokenizer_is_eog(r->t, token)) {
            result->finish = WF_FINISH_STOP;
            break;
        }
        result->n_generated++;
        if (answer) TRY(token_list_append(answer, token, err));
        bool go_on;
        TRY(send_token(out, token, &go_on, err));
        if (out->text.stopped || !go_on) {
            result->finish = out->text.stopped ? WF_FINISH_STOP : WF_FINISH_CALLBACK;
            break;
        }
        if (r->n_max >= 0 && result->n_generated >= r->n_max) continue;
        if (!has_room(r)) {
            result->finish = WF_FINISH_CONTEXT;
            break;
        }
        TRY(append_token(r, token, result->n_generated, err));
        result->n_decoded++;
    }
    return WF_OK;
}

static wf_status decode_ahead(stream *out, double start, token_list *answer, wf_generation *result, wf_error *err)
{
    speculation *a = out->request->ahead;
    if (!a) return decode(out, start, answer, result, err);
    TRY(speculation_begin(a, err));
    wf_status status = decode(out, start, answer, result, err);
    speculation_counts counts = speculation_count(a);
    result->n_guesses = counts.n_guesses;
    result->n_right = counts.n_right;
    wf_status ended = speculation_end(a, status == WF_OK ? err : NULL);
    return status == WF_OK ? ended : status;
}

wf_status generate(const generate_request *request, token_list *answer, wf_generation *result, wf_error *err)
{
    wf_generation ignored;
    if (!result) result = &ignored;
    *result = (wf_generation){.finish = WF_FINISH_CALLBACK};
    stream out = {.request = request, .text = {.t = request->t, .stops = request->stops, .n_stops = request->n_stops}};
    bool go_on = true;
    double start = clock_seconds();
    wf_status status = prefill(&out, result, &go_on, err);
    result->prefill_seconds = clock_seconds() - start;
    if (status == WF_OK && go_on) status = decode_ahead(&out, start, answer, result, err);
    if (status == WF_OK) status = send_rest(&out, err);
    if (status == WF_OK) session_store(request->s);
    text_stream_free(&out.text);
    return status;
}
