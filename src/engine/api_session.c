// Sessions, sampling, generation, conversations and reasoning of the public interface (welford.h), as thin wrappers.
#include "engine/api_session.h"

#include <stdlib.h>

#include "engine/conversation.h"
#include "engine/generate.h"
#include "engine/logprobs.h"
#include "engine/model.h"
#include "engine/reasoning.h"
#include "engine/session_file.h"
#include "welford.h"

struct wf_session {
    session *s;
    speculation *ahead;  // NULL: wf_session_speculate was not asked for
    prefix_store *store; // NULL: none
    const wf_model *owner;
};

struct wf_sampler {
    sampler *s;
};

// ---- sessions

wf_status wf_session_create(wf_model *m, int64_t n_ctx, int64_t n_batch, wf_session **out, wf_error *err)
{
    *out = NULL;
    wf_session *handle = calloc(1, sizeof *handle);
    if (!handle) return error_memory(err, sizeof *handle);
    handle->owner = m;
    wf_status status = model_load(m, err);
    if (status == WF_OK) status = session_create(m->compiled, m->pool, n_ctx, n_batch, &handle->s, err);
    if (status != WF_OK) {
        free(handle);
        return status;
    }
    *out = handle;
    return WF_OK;
}

void wf_session_free(wf_session *handle)
{
    if (!handle) return;
    speculation_free(handle->ahead);
    session_free(handle->s);
    prefix_store_close(handle->store);
    free(handle);
}

wf_status wf_session_eval(wf_session *handle, const int32_t *tokens, int64_t n, int64_t first_logits, wf_error *err)
{
    return session_eval(handle->s, tokens, n, first_logits, err);
}

const float *wf_session_logits(const wf_session *handle, int64_t row) { return session_logits(handle->s, row); }

wf_status wf_session_truncate(wf_session *handle, int64_t n_past, wf_error *err)
{
    return session_truncate(handle->s, n_past, err);
}

wf_status wf_session_speculate(wf_session *handle, bool on, wf_error *err)
{
    if (on && !handle->ahead) return speculation_create(handle->s, clock_seconds, &handle->ahead, err);
    if (!on) speculation_free(handle->ahead), handle->ahead = NULL;
    return WF_OK;
}

wf_status wf_session_draft(wf_session *handle, wf_model *of, wf_error *err)
{
    drafter *d;
    TRY(model_check_same_tokens(handle->owner, of, err));
    TRY(model_load(of, err));
    TRY(wf_session_speculate(handle, true, err));
    TRY(drafter_create(of->compiled, of->pool, session_context(handle->s), clock_seconds, &d, err));
    speculation_set_drafter(handle->ahead, d);
    return WF_OK;
}

wf_status wf_session_check_draft(const wf_model *m, const wf_model *of, wf_error *err)
{
    return model_check_same_tokens(m, of, err);
}

wf_status wf_session_keep_prompts(wf_session *handle, const char *folder, wf_error *err)
{
    prefix_store *store = NULL;
    if (folder) TRY(model_open_prefixes(handle->owner, folder, &store, err));
    session_set_store(handle->s, store);
    prefix_store_close(handle->store);
    handle->store = store;
    return WF_OK;
}

typedef struct score_job {
    const session *s;
    const int32_t *next;
    int64_t n;
    int n_threads;
    double *nll;
} score_job;

static double score_row(const float *logits, int64_t n_vocab, int32_t token)
{
    return logits_log_sum(logits, n_vocab) - logits[token];
}

static void score_rows(void *context, int thread)
{
    const score_job *job = context;
    for (int64_t row = thread; row < job->n; row += job->n_threads)
        job->nll[row] = score_row(session_logits(job->s, row), session_vocabulary(job->s), job->next[row]);
}

wf_status wf_session_score(const wf_session *handle, const int32_t *next, int64_t n, double *nll, wf_error *err)
{
    thread_pool *pool = handle->owner->pool;
    score_job job = {handle->s, next, n, thread_pool_size(pool), nll};
    if (n < 0 || n > session_logits_count(handle->s))
        return error_set(err, WF_ERROR_USAGE, "%lld rows to score, there are logits for %lld", (long long)n,
                         (long long)session_logits_count(handle->s));
    for (int64_t i = 0; i < n; i++)
        if (next[i] < 0 || next[i] >= session_vocabulary(handle->s))
            return error_set(err, WF_ERROR_USAGE, "token %d at index %lld is outside the vocabulary", next[i],
                             (long long)i);
    thread_pool_take_turn(pool);
    thread_pool_run(pool, score_rows, &job);
    thread_pool_end_turn(pool);
    return WF_OK;
}

wf_status wf_session_save(const wf_session *handle, const char *path, wf_error *err)
{
    return session_save(handle->s, handle->owner, path, err);
}

wf_status wf_session_restore(wf_session *handle, const char *path, bool *restored, wf_error *err)
{
    return session_restore(handle->s, handle->owner, path, restored, err);
}

wf_status wf_session_check_file(const wf_model *m, int64_t n_ctx, const char *path, wf_error *err)
{
    return session_file_check(m, n_ctx, path, err);
}

const int32_t *wf_session_tokens(const wf_session *handle) { return session_tokens(handle->s); }

int64_t wf_session_past(const wf_session *handle) { return session_past(handle->s); }

int64_t wf_session_context(const wf_session *handle) { return session_context(handle->s); }

void observe_session(wf_session *handle, execute_observer *observer, void *context)
{
    session_observe(handle->s, observer, context);
}

// ---- sampling

wf_sampler_options wf_sampler_defaults(void) { return sampler_defaults(); }

wf_status wf_sampler_recommended(const wf_model *m, wf_sampler_options *options, wf_error *err)
{
    return model_sampler_options(m->compiled->file, options, err);
}

wf_status wf_sampler_create(const wf_model *m, const wf_sampler_options *options, wf_sampler **out, wf_error *err)
{
    *out = NULL;
    wf_sampler_options own;
    if (!options) TRY(model_sampler_options(m->compiled->file, &own, err));
    wf_sampler *handle = calloc(1, sizeof *handle);
    if (!handle) return error_memory(err, sizeof *handle);
    wf_status status = sampler_create(options ? options : &own, tokenizer_count(m->t), &handle->s, err);
    if (status != WF_OK) {
        free(handle);
        return status;
    }
    *out = handle;
    return WF_OK;
}

void wf_sampler_free(wf_sampler *handle)
{
    if (!handle) return;
    sampler_free(handle->s);
    free(handle);
}

wf_status wf_sampler_pick(wf_sampler *handle, const float *logits, int32_t *token, wf_error *err)
{
    return sampler_pick(handle->s, logits, token, err);
}

void wf_sampler_accept(wf_sampler *handle, int32_t token) { sampler_accept(handle->s, token); }

uint64_t wf_sampler_seed(const wf_sampler *handle) { return sampler_seed(handle->s); }

// ---- generation

typedef struct stop_list {
    view texts[GENERATE_MAX_STOPS];
} stop_list;

// What of a request the options say; `stops` must outlive it.
static wf_status take_options(const wf_generate_options *o, stop_list *stops, generate_request *request, wf_error *err)
{
    static const wf_generate_options DEFAULTS;
    if (!o) o = &DEFAULTS;
    TRY(generate_take_stops(o->stops, o->n_stops, stops->texts, err));
    request->n_max = generate_most(o->n_max);
    request->stops = stops->texts;
    request->n_stops = o->n_stops;
    request->ignore_end = o->ignore_end;
    request->callback = o->callback;
    request->context = o->context;
    return WF_OK;
}

wf_status wf_generate(wf_session *handle, wf_sampler *choose, const int32_t *prompt, size_t n_prompt,
                      const wf_generate_options *options, wf_generation *result, wf_error *err)
{
    stop_list stops;
    generate_request request = {.s = handle->s,
                                .ahead = handle->ahead,
                                .choose = choose->s,
                                .t = handle->owner->t,
                                .prompt = prompt,
                                .n_prompt = (int64_t)n_prompt};
    TRY(take_options(options, &stops, &request, err));
    return generate(&request, NULL, result, err);
}

// ---- conversations

struct wf_conversation {
    conversation c;
    const wf_session *s;
};

wf_status wf_conversation_create(wf_session *s, wf_sampler *choose, const char *system, wf_conversation **out,
                                 wf_error *err)
{
    *out = NULL;
    wf_conversation *handle = calloc(1, sizeof *handle);
    if (!handle) return error_memory(err, sizeof *handle);
    handle->s = s;
    wf_status status = conversation_create(s->owner, s->s, choose->s, system, &handle->c, err);
    if (status == WF_OK)
        *out = handle;
    else
        free(handle);
    return status;
}

void wf_conversation_free(wf_conversation *handle)
{
    if (!handle) return;
    conversation_free(&handle->c);
    free(handle);
}

void wf_conversation_reset(wf_conversation *handle) { conversation_reset(&handle->c); }

static conversation_turn turn_of(const wf_turn *turn, const generate_request *request)
{
    return (conversation_turn){.text = {turn->text, turn->bytes},
                               .raw = turn->raw,
                               .n_max = request->n_max,
                               .stops = request->stops,
                               .n_stops = request->n_stops,
                               .ignore_end = request->ignore_end,
                               .callback = request->callback,
                               .context = request->context};
}

wf_status wf_conversation_say(wf_conversation *handle, const wf_turn *turn, const wf_generate_options *options,
                              wf_answer *answer, wf_error *err)
{
    stop_list stops;
    generate_request request = {0};
    token_list ids = {0};
    if (answer) *answer = (wf_answer){0};
    TRY(take_options(options, &stops, &request, err));
    conversation_turn own = turn_of(turn, &request);
    own.ahead = handle->s->ahead;
    wf_status status = conversation_say(&handle->c, &own, &ids, answer ? &answer->generation : NULL, err);
    if (!answer || status != WF_OK) {
        token_list_free(&ids);
        return status;
    }
    answer->text_lost = handle->c.text_lost;
    answer->ids = ids.ids;
    answer->n_ids = ids.count;
    return WF_OK;
}

wf_status wf_conversation_check(const wf_model *m, const char *system, const wf_turn *turn, int64_t n_ctx,
                                wf_error *err)
{
    if (!turn) return m->has_chat ? model_check_chat(m, err) : WF_OK;
    const conversation_turn own = turn_of(turn, &(generate_request){0});
    return conversation_check(m, system, &own, n_ctx, err);
}

// ---- reasoning

struct wf_splitter {
    reasoning r;
};

wf_status wf_splitter_create(const wf_model *m, const int32_t *prompt, size_t n_prompt, wf_part_callback *callback,
                             void *context, wf_splitter **out, wf_error *err)
{
    enum { LAST = 8 }; // tokens; <think> may be several, where it is none of its own
    size_t skip = n_prompt > LAST ? n_prompt - LAST : 0;
    buffer end = {0};
    *out = calloc(1, sizeof **out);
    if (!*out) return error_memory(err, sizeof **out);
    tokenizer_decode(m->t, prompt + skip, n_prompt - skip, true, &end, NULL);
    reasoning_begin(&(*out)->r, buffer_view(&end), callback, context);
    buffer_free(&end);
    return WF_OK;
}

void wf_splitter_feed(wf_splitter *splitter, const char *text, size_t bytes)
{
    reasoning_feed(&splitter->r, text, bytes);
}

wf_status wf_splitter_finish(wf_splitter *splitter, wf_error *err)
{
    if (!splitter) return WF_OK;
    bool good = reasoning_end(&splitter->r);
    free(splitter);
    return good ? WF_OK : error_memory(err, 0);
}
