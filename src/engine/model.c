#include "engine/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/cores.h"
#include "base/file.h"
#include "format/token.h"
#include "runtime/cache/cache.h"
#include "text/unicode/utf8.h"

static bool is_special(const tokenizer *t, int32_t id)
{
    return token_is_special(tokenizer_token_type(t, id)) && tokenizer_token_text(t, id).len > 0;
}

static wf_status collect_specials(wf_model *m, wf_error *err)
{
    int32_t n_tokens = tokenizer_count(m->t);
    size_t n = 0;
    for (int32_t id = 0; id < n_tokens; id++) n += is_special(m->t, id);
    m->specials = calloc(n ? n : 1, sizeof *m->specials);
    if (!m->specials) return error_memory(err, n * sizeof *m->specials);
    for (int32_t id = 0; id < n_tokens; id++)
        if (is_special(m->t, id)) m->specials[m->n_specials++] = tokenizer_token_text(m->t, id);
    return WF_OK;
}

static wf_status create_chat(wf_model *m, view source, const char *name, wf_error *err)
{
    json_t *variables = NULL;
    m->has_chat = true;
    wf_status status = chat_variables(m->compiled->file, &variables, err);
    if (status == WF_OK) status = chat_template_create(source, name, variables, &m->chat, err);
    json_decref(variables);
    return status;
}

// The model's own template; why it cannot be used, those learn who use it.
static void open_chat(wf_model *m, const char *path)
{
    view source = {0};
    wf_status status = checkpoint_get_string_or(m->compiled->file, "tokenizer.chat_template", &source, &m->chat_error);
    m->has_chat = status != WF_OK || source.len > 0;
    if (status == WF_OK && m->has_chat) create_chat(m, source, path, &m->chat_error);
}

static wf_status read_chat(wf_model *m, const char *path, wf_error *err)
{
    char *source;
    size_t bytes;
    TRY(file_read(path, &source, &bytes, err));
    wf_status status = create_chat(m, (view){source, bytes}, path, err);
    free(source);
    return status;
}

wf_status model_create_pool(int n_threads, thread_pool **pool, wf_error *err)
{
    return thread_pool_create(n_threads > 0 ? n_threads : cores_usable(), pool, err);
}

int64_t model_count_parameters(const checkpoint *file)
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

wf_status model_sampler_options(const checkpoint *file, wf_sampler_options *options, wf_error *err)
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

static wf_status open_parts(const char *path, const wf_model_options *options, wf_model *m, wf_error *err)
{
    m->pool = options->pool;
    m->owns_pool = !options->pool;
    if (m->owns_pool) TRY(model_create_pool(options->n_threads, &m->pool, err));
    TRY(compiled_model_open(path, options, &m->compiled, err));
    TRY(tokenizer_create(m->compiled->file, &m->t, err));
    if (tokenizer_count(m->t) > m->compiled->sizes.n_vocab)
        return error_set(err, WF_ERROR_FORMAT, "%s: %d tokens in the tokenizer, %lld in the model", path,
                         tokenizer_count(m->t), (long long)m->compiled->sizes.n_vocab);
    if (options->chat_template)
        TRY(read_chat(m, options->chat_template, err));
    else
        open_chat(m, path);
    m->n_parameters = model_count_parameters(m->compiled->file);
    return collect_specials(m, err);
}

wf_status model_open(const char *path, const wf_model_options *options, wf_model **out, wf_error *err)
{
    static const wf_model_options defaults;
    *out = NULL;
    wf_model *m = calloc(1, sizeof *m);
    if (!m) return error_memory(err, sizeof *m);
    wf_status status = open_parts(path, options ? options : &defaults, m, err);
    if (status == WF_OK)
        *out = m;
    else
        model_close(m);
    return status;
}

wf_status model_load(wf_model *m, wf_error *err)
{
    if (m->loaded) return WF_OK;
    TRY(compiled_model_load(m->compiled, m->pool, err));
    m->loaded = true;
    return WF_OK;
}

wf_status model_open_prefixes(const wf_model *m, const char *folder, prefix_store **store, wf_error *err)
{
    char model[CACHE_KEY_CHARS], identity[CACHE_KEY_CHARS];
    size_t block_bytes;
    const wf_model_options *o = &m->compiled->options;
    *store = NULL;
    if (!compiled_model_identity(m->compiled, model)) return error_memory(err, sizeof model);
    // programs for other CPUs, and of other fusions, round otherwise
    const view parts[] = {view_of(model), view_of(m->compiled->cpu.key), view_of(o->fuse ? o->fuse : "*"),
                          view_of(o->no_fuse ? o->no_fuse : "")};
    cache_key(parts, sizeof parts / sizeof *parts, identity);
    if (!kv_block_bytes(&m->compiled->sizes.kv, &block_bytes)) return error_memory(err, SIZE_MAX);
    return prefix_store_open(folder, identity, block_bytes, store, err);
}

wf_status model_check_same_tokens(const wf_model *m, const wf_model *other, wf_error *err)
{
    int64_t n = tokenizer_count(m->t), n_other = tokenizer_count(other->t);
    buffer text = {0}, other_text = {0};
    wf_status status = WF_OK;
    if (n != n_other || m->compiled->sizes.n_vocab != other->compiled->sizes.n_vocab)
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: a model of %lld tokens cannot draft for one of %lld",
                         checkpoint_path(other->compiled->file), (long long)n_other, (long long)n);
    for (int64_t i = 0; i < n && status == WF_OK; i++) {
        buffer_clear(&text);
        buffer_clear(&other_text);
        status = tokenizer_decode_token(m->t, (int32_t)i, true, &text, err);
        if (status == WF_OK) status = tokenizer_decode_token(other->t, (int32_t)i, true, &other_text, err);
        if (status == WF_OK &&
            (text.len != other_text.len || (text.len && memcmp(text.data, other_text.data, text.len))))
            status = error_set(err, WF_ERROR_UNSUPPORTED,
                               "%s: it cannot draft for the other model: their tokens %lld are not the same text",
                               checkpoint_path(other->compiled->file), (long long)i);
    }
    buffer_free(&text);
    buffer_free(&other_text);
    return status;
}

void model_close(wf_model *m)
{
    if (!m) return;
    free(m->specials);
    chat_template_free(m->chat);
    tokenizer_free(m->t);
    compiled_model_close(m->compiled);
    if (m->owns_pool) thread_pool_free(m->pool);
    free(m);
}

static wf_status encode_with_bos(const wf_model *m, view text, bool parse_special, const size_t *blocked,
                                 size_t n_blocked, token_list *out, wf_error *err)
{
    token_list ids = {0};
    wf_status status;
    int32_t bos = tokenizer_bos(m->t);
    TRY_GOTO(tokenizer_encode(m->t, text, parse_special, blocked, n_blocked, &ids, err), done);
    if (tokenizer_add_bos(m->t) && (ids.count == 0 || ids.ids[0] != bos))
        TRY_GOTO(token_list_append(out, bos, err), done);
    for (size_t i = 0; i < ids.count; i++) TRY_GOTO(token_list_append(out, ids.ids[i], err), done);
done:
    token_list_free(&ids);
    return status;
}

wf_status model_encode(const wf_model *m, view text, bool parse_special, token_list *out, wf_error *err)
{
    return encode_with_bos(m, text, parse_special, NULL, 0, out, err);
}

wf_status model_check_chat(const wf_model *m, wf_error *err)
{
    if (!m->has_chat)
        return error_set(err, WF_ERROR_UNSUPPORTED, "%s: no chat template", checkpoint_path(m->compiled->file));
    return m->chat ? WF_OK : error_set(err, m->chat_error.status, "%s", m->chat_error.message);
}

wf_status model_encode_chat(const wf_model *m, const json_t *messages, token_list *out, bool *text_lost, wf_error *err)
{
    TRY(model_check_chat(m, err));
    buffer prompt = {0};
    size_t *blocked = NULL, n_blocked = 0;
    wf_status status;
    TRY_GOTO(
        chat_template_apply(m->chat, messages, true, m->specials, m->n_specials, &prompt, &blocked, &n_blocked, err),
        done);
    if (text_lost) *text_lost = chat_prompt_lacks_text(buffer_view(&prompt), messages);
    TRY_GOTO(encode_with_bos(m, buffer_view(&prompt), true, blocked, n_blocked, out, err), done);
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
