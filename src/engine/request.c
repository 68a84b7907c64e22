#include "engine/request.h"

#include <stdlib.h>
#include <string.h>

#include "engine/generate.h"
#include "engine/logprobs.h"

static wf_status copy_stops(const wf_request_options *o, request *r, wf_error *err)
{
    view stops[GENERATE_MAX_STOPS];
    size_t bytes = 1, at = 0;
    TRY(generate_take_stops(o->stops, o->n_stops, stops, err));
    for (size_t i = 0; i < o->n_stops; i++) bytes += stops[i].len;
    r->stop_bytes = malloc(bytes);
    r->stops = calloc(o->n_stops + 1, sizeof *r->stops);
    if (!r->stop_bytes || !r->stops) return error_memory(err, bytes);
    for (size_t i = 0; i < o->n_stops; i++) {
        memcpy(r->stop_bytes + at, stops[i].data, stops[i].len);
        r->stops[i] = (view){r->stop_bytes + at, stops[i].len};
        at += stops[i].len;
    }
    return WF_OK;
}

static wf_status copy_prompt(const wf_model *m, const wf_request_options *o, int64_t n_ctx, request *r, wf_error *err)
{
    int64_t n_vocab = m->compiled->sizes.n_vocab;
    TRY(generate_check_prompt(o->n_prompt > INT64_MAX ? INT64_MAX : (int64_t)o->n_prompt, n_ctx, err));
    r->n_prompt = (int64_t)o->n_prompt;
    for (int64_t i = 0; i < r->n_prompt; i++) {
        if (o->prompt[i] < 0 || o->prompt[i] >= n_vocab)
            return error_set(err, WF_ERROR_USAGE, "token %d at index %lld is outside the vocabulary of %lld",
                             o->prompt[i], (long long)i, (long long)n_vocab);
        TRY(token_list_append(&r->tokens, o->prompt[i], err));
    }
    return WF_OK;
}

static wf_status create(const wf_model *m, const wf_request_options *o, int64_t n_ctx, request *r, wf_error *err)
{
    wf_sampler_options own;
    if (o->n_top > WF_MAX_TOP || (int64_t)o->n_top > tokenizer_count(m->t))
        return error_set(err, WF_ERROR_USAGE, "the %zu likeliest tokens: there may be %d", o->n_top, WF_MAX_TOP);
    TRY(copy_prompt(m, o, n_ctx, r, err));
    TRY(copy_stops(o, r, err));
    if (!o->sampler) TRY(model_sampler_options(m->compiled->file, &own, err));
    TRY(sampler_create(o->sampler ? o->sampler : &own, tokenizer_count(m->t), &r->choose, err));
    for (int64_t i = 0; i < r->n_prompt; i++) sampler_accept(r->choose, o->prompt[i]);
    r->text = (text_stream){.t = m->t, .stops = r->stops, .n_stops = o->n_stops};
    return WF_OK;
}

wf_status request_create(const wf_model *m, const wf_request_options *o, int64_t n_ctx, request *r, wf_error *err)
{
    *r = (request){.n_max = generate_most(o->n_max),
                   .ignore_end = o->ignore_end,
                   .logprobs = o->logprobs || o->n_top,
                   .n_top = o->n_top,
                   .callback = o->callback,
                   .context = o->context};
    r->result = (wf_generation){.finish = WF_FINISH_CALLBACK, .n_prompt = (int64_t)o->n_prompt};
    wf_status status = create(m, o, n_ctx, r, err);
    if (status != WF_OK) request_free(r);
    return status;
}

void request_free(request *r)
{
    sequence_free(r->q);
    guesses_free(r->ahead);
    sampler_free(r->choose);
    text_stream_free(&r->text);
    token_list_free(&r->tokens);
    free(r->stop_bytes);
    free(r->stops);
    *r = (request){0};
}

static bool call(request *r, wf_piece *piece)
{
    view ready = text_stream_ready(&r->text);
    piece->text = ready.len ? ready.data : "";
    piece->bytes = ready.len;
    bool go_on = !r->callback || r->callback(r->context, piece);
    text_stream_sent(&r->text);
    return go_on;
}

bool request_tell(request *r, int32_t token, const float *logits, int64_t n_vocab)
{
    wf_logprob top[WF_MAX_TOP];
    wf_piece piece = {.token = token, .top = top, .n_top = r->n_top};
    if (r->logprobs) {
        double log_sum = logits_log_sum(logits, n_vocab);
        piece.logprob = (double)logits[token] - log_sum;
        logits_likeliest(logits, tokenizer_count(r->text.t), log_sum, top, r->n_top);
    }
    return call(r, &piece);
}

void request_tell_end(request *r)
{
    wf_error ignored;
    text_stream_end(&r->text, &ignored);
    call(r, &(wf_piece){
                .token = -1, .finished = &r->result, .error = r->result.finish == WF_FINISH_ERROR ? &r->error : NULL});
}
