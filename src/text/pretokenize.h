// Pre-tokenizers: cut a text into the words inside which BPE merges.
//
// A model names its pre-tokenizer (tokenizer.ggml.pre); the name stands for a list of regular expressions and a few
// habits of the original tokenizer that the file does not carry. See the table in pretokenize.c.
#ifndef WELFORD_TEXT_PRETOKENIZE_H
#define WELFORD_TEXT_PRETOKENIZE_H

#include "base/status.h"
#include "base/view.h"

typedef struct pretokenizer pretokenizer;

// Compiles the expressions of the pre-tokenizer `name`; WF_ERROR_UNSUPPORTED when it is not known.
wf_status pretokenizer_create(view name, pretokenizer **p, wf_error *err);
// From a tokenizer.json: n_patterns pairs of what becomes of a match ("isolated", "merged_with_previous",
// "merged_with_next") and the expression (see regex.h), stage after stage. WF_ERROR_UNSUPPORTED names what cannot be
// done.
wf_status pretokenizer_create_patterns(const view *pairs, size_t n_pairs, pretokenizer **p, wf_error *err);
void pretokenizer_free(pretokenizer *p);

bool pretokenizer_normalizes(const pretokenizer *p);     // the original brings text to NFC first
bool pretokenizer_ignores_merges(const pretokenizer *p); // a word that is a token is taken as it is
bool pretokenizer_adds_bos(const pretokenizer *p);       // unless the file says otherwise

// Calls word(context, ...) for each word in order; together the words are the text. `text` is well-formed UTF-8.
// WF_ERROR_LIMIT when an expression gives up (pcre2's match and heap limits); else the first error of `word`.
typedef wf_status (*word_function)(void *context, view word, wf_error *err);
wf_status pretokenizer_split(const pretokenizer *p, view text, word_function word, void *context, wf_error *err);

#endif
