#include "session/engine.h"

#include <stdlib.h>

#include "base/cores.h"
#include "base/file.h"
#include "format/token.h"
#include "text/unicode/utf8.h"

static bool is_special(const tokenizer *t, int32_t id)
{
    return token_is_special(tokenizer_token_type(t, id)) && tokenizer_token_text(t, id).len > 0;
}

static wf_status collect_specials(engine *e, wf_error *err)
{
    int32_t n_tokens = tokenizer_count(e->t);
    size_t n = 0;
    for (int32_t id = 0; id < n_tokens; id++) n += is_special(e->t, id);
    e->specials = calloc(n ? n : 1, sizeof *e->specials);
    if (!e->specials) return error_memory(err, n * sizeof *e->specials);
    for (int32_t id = 0; id < n_tokens; id++)
        if (is_special(e->t, id)) e->specials[e->n_specials++] = tokenizer_token_text(e->t, id);
    return WF_OK;
}

static wf_status create_chat(engine *e, view source, const char *name, wf_error *err)
{
    json_t *variables = NULL;
    e->has_chat = true;
    wf_status status = chat_variables(e->m->file, &variables, err);
    if (status == WF_OK) status = chat_template_create(source, name, variables, &e->chat, err);
    json_decref(variables);
    return status;
}

// The model's own template; why it cannot be used, those learn who use it.
static void open_chat(engine *e, const char *path)
{
    view source = {0};
    wf_status status = checkpoint_get_string_or(e->m->file, "tokenizer.chat_template", &source, &e->chat_error);
    e->has_chat = status != WF_OK || source.len > 0;
    if (status == WF_OK && e->has_chat) create_chat(e, source, path, &e->chat_error);
}

static wf_status read_chat(engine *e, const char *path, wf_error *err)
{
    char *source;
    size_t bytes;
    TRY(file_read(path, &source, &bytes, err));
    wf_status status = create_chat(e, (view){source, bytes}, path, err);
    free(source);
    return status;
}

wf_status engine_create_pool(int n_threads, thread_pool **pool, wf_error *err)
{
    return thread_pool_create(n_threads > 0 ? n_threads : cores_usable(), pool, err);
}

model_options engine_model_options(const wf_model_options *o)
{
    return (model_options){
        .kv_f32 = o->kv_f32,
        .no_cache = o->no_cache,
        .fuse = o->fuse,
        .no_fuse = o->no_fuse,
        .print_ir_after = o->print_ir_after,
        .weights = o->weights,
        .weights_from = o->weights_from,
        .print_plan = o->print_plan,
        .print_report = o->print_report,
        .progress = o->progress,
        .progress_context = o->progress_context,
    };
}

int64_t engine_count_parameters(const checkpoint *file)
{
    int64_t n = 0;
    for (size_t i = 0; i < checkpoint_tensor_count(file); i++) {
        const checkpoint_tensor *t = checkpoint_tensor_at(file, i);
        int64_t product = 1; // checked by gguf_open
        for (int d = 0; d < 4; d++) product *= t->dims[d];
        if (__builtin_add_overflow(n, product, &n)) return INT64_MAX;
    }
    return n;
}

wf_status engine_sampler_options(const checkpoint *file, wf_sampler_options *options, wf_error *err)
{
    wf_sampler_options o = sampler_defaults();
    const struct {
        const char *key;
        double *value, min, max;
    } numbers[] = {{"general.sampling.temp", &o.temperature, 0, 1e6},
                   {"general.sampling.top_p", &o.top_p, 0, 1},
                   {"general.sampling.min_p", &o.min_p, 0, 1},
                   {"general.sampling.penalty_repeat", &o.repeat_penalty, 0.01, 100}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        TRY(checkpoint_get_float_or(file, numbers[i].key, numbers[i].value, err));
        if (*numbers[i].value < numbers[i].min || *numbers[i].value > numbers[i].max)
            return error_set(err, WF_ERROR_FORMAT, "%s: key '%s': %g is not in %g..%g", checkpoint_path(file),
                             numbers[i].key, *numbers[i].value, numbers[i].min, numbers[i].max);
    }
    bool greedy = false;
    TRY(checkpoint_get_int_or(file, "general.sampling.top_k", -1, INT32_MAX, &o.top_k, err));
    if (o.top_k < 0) o.top_k = 0; // all tokens
    TRY(checkpoint_get_int_or(file, "general.sampling.penalty_last_n", 0, INT32_MAX, &o.repeat_last_n, err));
    TRY(checkpoint_get_bool_or(file, "general.sampling.greedy", &greedy, err));
    if (greedy) o.temperature = 0;
    *options = o;
    return WF_OK;
}

wf_status engine_open(const char *path, const wf_model_options *options, engine *e, wf_error *err)
{
    static const wf_model_options defaults;
    if (!options) options = &defaults;
    *e = (engine){0};
    model_options runtime_options = engine_model_options(options);
    wf_status status;
    TRY_GOTO(engine_create_pool(options->n_threads, &e->pool, err), failed);
    TRY_GOTO(model_open(path, &runtime_options, &e->m, err), failed);
    TRY_GOTO(tokenizer_create(e->m->file, &e->t, err), failed);
    if (tokenizer_count(e->t) > e->m->sizes.n_vocab) {
        status = error_set(err, WF_ERROR_FORMAT, "%s: %d tokens in the tokenizer, %lld in the model", path,
                           tokenizer_count(e->t), (long long)e->m->sizes.n_vocab);
        goto failed;
    }
    if (options->chat_template)
        TRY_GOTO(read_chat(e, options->chat_template, err), failed);
    else
        open_chat(e, path);
    TRY_GOTO(collect_specials(e, err), failed);
    e->n_parameters = engine_count_parameters(e->m->file);
    return WF_OK;
failed:
    engine_close(e);
    return status;
}

wf_status engine_load(engine *e, wf_error *err) { return model_load(e->m, e->pool, err); }

void engine_close(engine *e)
{
    free(e->specials);
    chat_template_free(e->chat);
    tokenizer_free(e->t);
    if (e->m) model_close(e->m);
    if (e->pool) thread_pool_free(e->pool);
    *e = (engine){0};
}

static wf_status encode_with_bos(const engine *e, view text, bool parse_special, const size_t *blocked,
                                 size_t n_blocked, token_list *out, wf_error *err)
{
    token_list ids = {0};
    wf_status status;
    int32_t bos = tokenizer_bos(e->t);
    TRY_GOTO(tokenizer_encode(e->t, text, parse_special, blocked, n_blocked, &ids, err), done);
    if (tokenizer_add_bos(e->t) && (ids.count == 0 || ids.ids[0] != bos))
        TRY_GOTO(token_list_append(out, bos, err), done);
    for (size_t i = 0; i < ids.count; i++) TRY_GOTO(token_list_append(out, ids.ids[i], err), done);
done:
    token_list_free(&ids);
    return status;
}

wf_status engine_encode(const engine *e, view text, bool parse_special, token_list *out, wf_error *err)
{
    return encode_with_bos(e, text, parse_special, NULL, 0, out, err);
}

wf_status engine_check_chat(const engine *e, wf_error *err)
{
    if (!e->has_chat) return error_set(err, WF_ERROR_UNSUPPORTED, "%s: no chat template", checkpoint_path(e->m->file));
    return e->chat ? WF_OK : error_set(err, e->chat_error.status, "%s", e->chat_error.message);
}

wf_status engine_encode_chat(const engine *e, const json_t *messages, token_list *out, bool *text_lost, wf_error *err)
{
    TRY(engine_check_chat(e, err));
    buffer prompt = {0};
    size_t *blocked = NULL, n_blocked = 0;
    wf_status status;
    TRY_GOTO(
        chat_template_apply(e->chat, messages, true, e->specials, e->n_specials, &prompt, &blocked, &n_blocked, err),
        done);
    if (text_lost) *text_lost = chat_prompt_lacks_text(buffer_view(&prompt), messages);
    TRY_GOTO(encode_with_bos(e, buffer_view(&prompt), true, blocked, n_blocked, out, err), done);
done:
    free(blocked);
    buffer_free(&prompt);
    return status;
}

json_t *chat_message(const char *role, view content)
{
    buffer repaired = {0};
    utf8_append_repaired(&repaired, content);
    json_t *text = repaired.failed ? NULL : json_stringn(repaired.data ? repaired.data : "", repaired.len);
    buffer_free(&repaired);
    return json_pack("{s:s, s:o}", "role", role, "content", text); // frees `text` on failure; fails when it is NULL
}
