// Chat templates: a conversation as JSON messages in, the prompt text that the model was trained on out.
#ifndef WELFORD_TEXT_CHAT_H
#define WELFORD_TEXT_CHAT_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"

typedef struct chat_template chat_template;

// Compiles a template in Jinja; copies all three texts. `name` (the model's path, say) stands in messages. bos_token
// and eos_token are the texts of the model's tokens, empty where it has none. Free with chat_template_free.
wf_status chat_template_create(view source, const char *name, view bos_token, view eos_token, chat_template **t,
                               wf_error *err);
void chat_template_free(chat_template *t);

// Appends the prompt for `messages`, an array of {"role", "content", ...}, to `out`. The template sees messages,
// bos_token, eos_token, add_generation_prompt and tools (none).
//
// `specials` are the texts of the model's special tokens, any order. Text that came from a message must not become one:
// *blocked (the caller frees it; NULL when empty) receives, ascending, the byte offsets in `out` where a special's text
// begins and any byte of it came from a message. Covered are occurrences inside a message, overlapping ones, ones that
// the template's string operations made, and ones that form where template text and message text meet ("<|im_" at
// the end of a message). An offset where a special lies wholly in template text is not blocked, even if a longer
// one that reaches into a message begins there too.
//
// NULL specials or NULL blocked: no search. On failure `out` is as it was and *blocked is NULL.
wf_status chat_template_apply(const chat_template *t, const json_t *messages, bool add_generation_prompt,
                              const view *specials, size_t n_specials, buffer *out, size_t **blocked, size_t *n_blocked,
                              wf_error *err);

#endif
