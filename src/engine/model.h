// A model (wf_model in welford.h): all that a file of one gives: threads, tokenizer, chat template, and once it is
// loaded program and pack.
#ifndef WELFORD_ENGINE_MODEL_H
#define WELFORD_ENGINE_MODEL_H

#include <jansson.h>

#include "engine/prefix_store.h"
#include "engine/sampler.h"
#include "runtime/compiled_model.h"
#include "text/chat.h"
#include "text/tokenizer/tokenizer.h"

struct wf_model {
    thread_pool *pool;
    bool owns_pool, loaded;
    compiled_model *compiled;
    tokenizer *t;
    bool has_chat;       // the file has a chat template
    chat_template *chat; // NULL: it has none, or chat_error says why it cannot be used
    wf_error chat_error;
    view *specials; // texts of special tokens, which a message must not spell
    size_t n_specials;
    int64_t n_parameters;
};

// The cheap part: checkpoint, tokenizer, chat template, and everything that is refused about them. `options` may be
// NULL. A chat template that cannot be used is no failure here: plain completion needs none, so model_encode_chat
// reports it.
wf_status model_open(const char *path, const wf_model_options *options, wf_model **m, wf_error *err);
wf_status model_load(wf_model *m, wf_error *err); // the dear part (compiled_model_load): before anything is evaluated
void model_close(wf_model *m);                    // NULL is fine

// The model's blocks of the KV cache in a folder.
wf_status model_open_prefixes(const wf_model *m, const char *folder, prefix_store **store, wf_error *err);

// WF_ERROR_UNSUPPORTED: a token of one is none, or another, of the other.
wf_status model_check_same_tokens(const wf_model *m, const wf_model *other, wf_error *err);

// n_threads <= 0: the usable cores.
wf_status model_create_pool(int n_threads, thread_pool **pool, wf_error *err);
int64_t model_count_parameters(const checkpoint *file);

// The sampler options that the checkpoint asks for (generation_config.json, or general.sampling.* of a GGUF file); what
// it does not speak of is as in sampler_defaults. WF_ERROR_FORMAT names a value out of range.
wf_status model_sampler_options(const checkpoint *file, wf_sampler_options *options, wf_error *err);

// Appends the ids of a text, BOS first where the model wants it and it is not there.
wf_status model_encode(const wf_model *m, view text, bool parse_special, token_list *out, wf_error *err);

// Whether there is a chat template that can be used.
wf_status model_check_chat(const wf_model *m, wf_error *err);

// Appends the ids of the prompt for `messages` by the chat template; special tokens that a message spells stay text.
// WF_ERROR_UNSUPPORTED when the model has no template, or the reason why its template cannot be used. *text_lost (may
// be NULL): chat_prompt_lacks_text.
wf_status model_encode_chat(const wf_model *m, const json_t *messages, token_list *out, bool *text_lost, wf_error *err);

// A message {"role", "content"} for such an array; ill-formed UTF-8 in the text is repaired. NULL: out of memory.
json_t *chat_message(const char *role, view content);

#endif
