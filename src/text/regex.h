// Regular expressions of tokenizer.json, which Hugging Face tokenizers give to Oniguruma (syntax page:
// https://github.com/kkos/oniguruma/blob/master/doc/RE), rewritten so that pcre2 finds the same matches.
#ifndef WELFORD_TEXT_REGEX_H
#define WELFORD_TEXT_REGEX_H

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"

// The property White_Space as the inside of a character class. pcre2's own \s adds U+180E, which the others do not.
#define REGEX_SPACE "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

// Appends `pattern` in pcre2's syntax (for PCRE2_UTF | PCRE2_UCP). Understood is what pre-tokenizers use: literals,
// classes, \s \d \p{..}, groups, lookaround, quantifiers, (?i). WF_ERROR_UNSUPPORTED names anything else and its
// offset.
wf_status regex_translate(view pattern, buffer *out, wf_error *err);

#endif
