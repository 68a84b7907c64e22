// Regular expressions of tokenizer.json, which Hugging Face tokenizers give to Oniguruma (syntax page:
// https://github.com/kkos/oniguruma/blob/master/doc/RE), rewritten so that pcre2 finds the same matches in the letters
// (alphabet.h) that stand for a text's characters.
#ifndef WELFORD_TEXT_REGEX_REGEX_H
#define WELFORD_TEXT_REGEX_REGEX_H

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"
#include "text/regex/alphabet.h"

// The sets of characters of one or more expressions.
typedef struct regex_sets {
    code_set *items; // owned
    size_t count, capacity;
} regex_sets;

void regex_sets_free(regex_sets *sets);

// Adds the sets of `pattern` to *sets and appends to *parsed what regex_print prints. Understood is what pre-tokenizers
// use: literals, classes within classes, \s \d \w \h \p{..}, ^ $ \A \z \b, groups, lookaround, quantifiers, (?i), (?m).
// WF_ERROR_UNSUPPORTED names anything else and its offset: an expression that cuts words a little differently would
// give a silently different model.
wf_status regex_parse(view pattern, regex_sets *sets, buffer *parsed, wf_error *err);

// Appends a parsed expression in pcre2's syntax. The alphabet tells apart what any of the sets does.
void regex_print(view parsed, const regex_sets *sets, const alphabet *a, buffer *out);

#endif
