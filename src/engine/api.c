// The public interface (welford.h) as thin wrappers around model and tokenizer; api_session.c and
// api_function.c have the rest.
#include "welford.h"

#include <stdlib.h>

#include "engine/engine.h"
#include "engine/fusion_row.h"
#include "engine/model.h"
#include "text/unicode/utf8.h"

#ifndef WELFORD_VERSION
#define WELFORD_VERSION "0.1.0"
#endif

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
    wf_status status = options && options->defer ? WF_OK : model_load(m, err);
    if (status == WF_OK)
        *out = m;
    else
        model_close(m);
    return status;
}

void wf_model_close(wf_model *m) { model_close(m); }

wf_status wf_model_load(wf_model *m, wf_error *err) { return model_load(m, err); }

wf_status wf_model_check_context(const wf_model *m, int64_t *n_ctx, int64_t n_batch, wf_error *err)
{
    engine_options o = {.n_ctx = *n_ctx, .n_batch = n_batch};
    TRY(engine_check_sizes(&m->compiled->sizes, &o, err));
    *n_ctx = o.n_ctx;
    return WF_OK;
}

wf_status wf_model_print(const wf_model *m, wf_print what, char **text, wf_error *err)
{
    const program *p = &m->compiled->executable.program;
    buffer out = {0};
    *text = NULL;
    if (!m->loaded) return error_set(err, WF_ERROR_USAGE, "the model is not loaded");
    if (what == WF_PRINT_REPORT)
        program_print_fusions(p->fusions, p->n_fusions, &out);
    else
        program_print(p, &out);
    if (!out.failed) *text = out.data;
    if (out.failed) buffer_free(&out);
    return *text ? WF_OK : error_memory(err, out.len);
}

bool wf_model_fusion(const wf_model *m, size_t index, wf_fusion *fusion)
{
    return m->loaded && fusion_of_program(&m->compiled->executable.program, index, fusion);
}

wf_model_facts wf_model_describe(const wf_model *m)
{
    const compiled_model *c = m->compiled;
    const program *p = &c->executable.program;
    return (wf_model_facts){
        .architecture = p->architecture ? p->architecture : "",
        .name = p->name ? p->name : "",
        .n_vocab = c->sizes.n_vocab,
        .n_ctx_train = c->sizes.n_ctx_train,
        .n_layer = c->sizes.kv.n_layer,
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
        .pack_kept = c->pack.cached,
        .compile_seconds = c->compile_seconds,
        .pack_seconds = c->pack_seconds,
    };
}

const char *wf_model_warning(const wf_model *m, size_t index) { return tokenizer_warning(m->t, index); }

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

wf_status wf_token_text(const wf_model *m, int32_t token, char **text, size_t *bytes, wf_error *err)
{
    buffer raw = {0};
    wf_status status = WF_OK;
    *text = NULL;
    *bytes = 0;
    if (token >= 0 && token < tokenizer_count(m->t)) status = tokenizer_decode_token(m->t, token, true, &raw, err);
    if (status == WF_OK && !buffer_reserve(&raw, 0)) status = error_memory(err, raw.len);
    if (status != WF_OK) {
        buffer_free(&raw);
        return status;
    }
    *text = raw.data;
    *bytes = raw.len;
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
