// Pre-tokenizers: cut a text into the words inside which BPE merges.
//
// A tokenizer.json spells its expressions out. A GGUF file names its pre-tokenizer (tokenizer.ggml.pre); the name
// stands for a list of expressions and a few habits of the original tokenizer: see pretokenize_table.h.
#ifndef WELFORD_TEXT_TOKENIZER_PRETOKENIZE_H
#define WELFORD_TEXT_TOKENIZER_PRETOKENIZE_H

#include "base/status.h"
#include "base/view.h"
#include "text/tokenizer/pretokenize_table.h"

typedef struct pretokenizer pretokenizer;

// n_pairs pairs, stage after stage: what becomes of a match, and the expression (see regex.h). With
//
//     isolated                  a match is a piece, and so is what lies between two
//     removed                   the same, but matches are dropped
//     merged_with_previous      a match joins what lies before it
//     merged_with_next          a match joins what lies behind it
//     contiguous                matches that touch are one piece
//
// followed by " inverted", what lies between matches is taken for matches and the other way round.
// WF_ERROR_UNSUPPORTED names what cannot be done.
wf_status pretokenizer_create(const view *pairs, size_t n_pairs, pretokenizer **p, wf_error *err);
wf_status pretokenizer_create_named(const pretokenizer_recipe *recipe, pretokenizer **p, wf_error *err);
void pretokenizer_free(pretokenizer *p);

// Calls word(context, ...) for each word in order; together the words are the text but for what was removed. `text` is
// well-formed UTF-8. WF_ERROR_LIMIT when an expression gives up (pcre2's match and heap limits); else the first error
// of `word`.
typedef wf_status (*word_function)(void *context, view word, wf_error *err);
wf_status pretokenizer_split(const pretokenizer *p, view text, word_function word, void *context, wf_error *err);

#endif
