// Chat templates: a conversation as JSON messages in, the prompt text that the model was trained on out.
#ifndef WELFORD_TEXT_CHAT_H
#define WELFORD_TEXT_CHAT_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"
#include "format/checkpoint.h"

typedef struct chat_template chat_template;

// The variables of a template that the checkpoint tells: an object with the texts of its special tokens (bos_token,
// eos_token, pad_token, ...), as many as it names. WF_ERROR_FORMAT: one is not valid UTF-8.
wf_status chat_variables(const checkpoint *file, json_t **variables, wf_error *err);

// Compiles a template in Jinja, whose text it copies. `name` (the model's path, say) stands in messages. `variables` is
// an object, of which it keeps a reference. Free with chat_template_free.
wf_status chat_template_create(view source, const char *name, json_t *variables, chat_template **t, wf_error *err);
void chat_template_free(chat_template *t);

// Appends the prompt for `messages`, an array of {"role", "content", ...}, to `out`. The template sees its
// variables, messages, add_generation_prompt, tools (an array of functions as OpenAI writes them; NULL: none) and
// documents (none). What follows of messages holds of tools too. Content that is a string goes to a
// template that prints only lists of parts, as those of models that see images do, as a list of one part of type
// "text".
//
// `specials` are the texts of the model's special tokens, any order. Text that came from a message must not become one:
// *blocked (the caller frees it; NULL when empty) receives, ascending, the byte offsets in `out` where a special's text
// begins and any byte of it came from a message. Covered are occurrences inside a message, overlapping ones, ones that
// the template's string operations made, and ones that form where template text and message text meet ("<|im_" at
// the end of a message). An offset where a special lies wholly in template text is not blocked, even if a longer
// one that reaches into a message begins there too.
//
// NULL specials or NULL blocked: no search. On failure `out` is as it was and *blocked is NULL.
wf_status chat_template_apply(const chat_template *t, const json_t *messages, const json_t *tools,
                              bool add_generation_prompt, const view *specials, size_t n_specials, buffer *out,
                              size_t **blocked, size_t *n_blocked, wf_error *err);

// Whether the last message is a user's and its text, without the white space around it, does not stand in the prompt: a
// template that leaves it out or changes it.
bool chat_prompt_lacks_text(view prompt, const json_t *messages);

#endif
