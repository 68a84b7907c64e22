// The public interface (welford.h) as thin wrappers around model, session, sampler and generate.
#include "welford.h"

#include <stdlib.h>

#include "session/model.h"
#include "session/generate.h"
#include "text/unicode/utf8.h"

#ifndef WELFORD_VERSION
#define WELFORD_VERSION "0.1.0"
#endif

struct wf_session {
    session *s;
    speculation *ahead; // NULL: wf_session_speculate was not asked for
    const wf_model *owner;
};

struct wf_sampler {
    sampler *s;
};

const char *wf_version(void) { return WELFORD_VERSION; }

void wf_free(void *memory) { free(memory); }

// ---- threads

wf_status wf_pool_create(int n_threads, wf_pool **pool, wf_error *err)
{
    return model_create_pool(n_threads, pool, err);
}
void wf_pool_free(wf_pool *pool) { thread_pool_free(pool); }

// ---- models

wf_status wf_model_open(const char *path, const wf_model_options *options, wf_model **out, wf_error *err)
{
    *out = NULL;
    if (!path) return error_set(err, WF_ERROR_USAGE, "no path of a model");
    wf_model *m;
    TRY(model_open(path, options, &m, err));
    wf_status status = model_load(m, err);
    if (status == WF_OK)
        *out = m;
    else
        model_close(m);
    return status;
}

void wf_model_close(wf_model *m) { model_close(m); }

wf_model_facts wf_model_describe(const wf_model *m)
{
    const compiled_model *c = m->compiled;
    const program *p = &c->executable.program;
    return (wf_model_facts){
        .architecture = p->architecture ? p->architecture : "",
        .name = p->name ? p->name : "",
        .n_vocab = p->n_vocab,
        .n_ctx_train = p->n_ctx_train,
        .n_layer = p->kv.n_layer,
        .n_embd = p->n_embd,
        .n_parameters = m->n_parameters,
        .file_bytes = compiled_model_file_bytes(c),
        .weights_bytes = program_fixed_bytes(p, AREA_WEIGHTS),
        .bos = tokenizer_bos(m->t),
        .eos = tokenizer_eos(m->t),
        .add_bos = tokenizer_add_bos(m->t),
        .has_chat_template = m->has_chat,
        .n_threads = thread_pool_size(m->pool),
        .program_cached = c->program_cached,
        .pack_cached = c->pack_cached,
        .compile_seconds = c->compile_seconds,
        .pack_seconds = c->pack_seconds,
    };
}

// ---- text

// Hands a list over to the caller, who frees the ids; an empty one is not NULL.
static wf_status give_ids(wf_status status, token_list *list, int32_t **ids, size_t *n_ids, wf_error *err)
{
    if (status == WF_OK && !list->ids && !(list->ids = malloc(sizeof *list->ids)))
        status = error_memory(err, sizeof *list->ids);
    if (status != WF_OK) token_list_free(list);
    *ids = list->ids;
    *n_ids = list->count;
    return status;
}

wf_status wf_tokenize(const wf_model *m, const char *text, size_t bytes, bool parse_special, int32_t **ids,
                      size_t *n_ids, wf_error *err)
{
    token_list list = {0};
    wf_status status = model_encode(m, (view){text, bytes}, parse_special, &list, err);
    return give_ids(status, &list, ids, n_ids, err);
}

wf_status wf_detokenize(const wf_model *m, const int32_t *ids, size_t n_ids, bool special, char **text, size_t *bytes,
                        wf_error *err)
{
    *text = NULL;
    *bytes = 0;
    buffer raw = {0}, repaired = {0};
    wf_status status = tokenizer_decode(m->t, ids, n_ids, special, &raw, err);
    if (status == WF_OK) {
        utf8_append_repaired(&repaired, buffer_view(&raw));
        if (raw.failed || !buffer_reserve(&repaired, 0)) status = error_memory(err, raw.len);
    }
    buffer_free(&raw);
    if (status != WF_OK) {
        buffer_free(&repaired);
        return status;
    }
    *text = repaired.data;
    *bytes = repaired.len;
    return WF_OK;
}

bool wf_is_end(const wf_model *m, int32_t token) { return tokenizer_is_eog(m->t, token); }

static wf_status build_messages(const wf_message *messages, size_t n_messages, json_t *array, wf_error *err)
{
    for (size_t i = 0; i < n_messages; i++) {
        const wf_message *m = &messages[i];
        if (!m->role || !m->content || !utf8_is_valid(view_of(m->role)))
            return error_set(err, WF_ERROR_USAGE, "message %zu: a role and a content are needed", i);
        if (json_array_append_new(array, chat_message(m->role, view_of(m->content))))
            return error_memory(err, strlen(m->content));
    }
    return WF_OK;
}

wf_status wf_chat_apply(const wf_model *m, const wf_message *messages, size_t n_messages, int32_t **ids, size_t *n_ids,
                        wf_error *err)
{
    token_list list = {0};
    json_t *array = json_array();
    wf_status status = array ? build_messages(messages, n_messages, array, err) : error_memory(err, sizeof *array);
    if (status == WF_OK) status = model_encode_chat(m, array, &list, NULL, err);
    json_decref(array);
    return give_ids(status, &list, ids, n_ids, err);
}

// ---- sessions

wf_status wf_session_create(wf_model *m, int64_t n_ctx, int64_t n_batch, wf_session **out, wf_error *err)
{
    *out = NULL;
    wf_session *handle = calloc(1, sizeof *handle);
    if (!handle) return error_memory(err, sizeof *handle);
    handle->owner = m;
    wf_status status = session_create(m->compiled, m->pool, n_ctx, n_batch, &handle->s, err);
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

int64_t wf_session_past(const wf_session *handle) { return session_past(handle->s); }

int64_t wf_session_context(const wf_session *handle) { return session_context(handle->s); }

// ---- sampling

wf_sampler_options wf_sampler_defaults(void) { return sampler_defaults(); }

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

wf_status wf_generate(wf_session *handle, wf_sampler *choose, const int32_t *prompt, size_t n_prompt, int64_t n_max,
                      wf_generate_callback *callback, void *context, wf_generation *result, wf_error *err)
{
    generate_request request = {
        .s = handle->s,
        .ahead = handle->ahead,
        .choose = choose->s,
        .t = handle->owner->t,
        .prompt = prompt,
        .n_prompt = (int64_t)n_prompt,
        .n_max = n_max,
        .callback = callback,
        .context = context,
    };
    return generate(&request, NULL, result, err);
}
