// Letters for a regular expression's characters.
//
// An expression tells apart few kinds of characters: those that lie in the same ones of its sets behave alike. So each
// kind becomes one letter, a byte from 1 to 255, a text becomes a string of letters, one a character, and each set a
// class of bytes. What a set holds is decided here, once, and matching goes by bytes.
#ifndef WELFORD_TEXT_REGEX_ALPHABET_H
#define WELFORD_TEXT_REGEX_ALPHABET_H

#include "base/buffer.h"
#include "base/status.h"
#include "text/unicode/code_set.h"

typedef struct alphabet {
    unsigned char *letters; // [CODE_SET_END], owned: of each code point
    uint32_t members[256];  // a code point of each letter
    int n_letters;
} alphabet;

// The coarsest alphabet that tells apart what any of `sets` does. WF_ERROR_UNSUPPORTED when it has too many letters.
wf_status alphabet_create(const code_set *sets, size_t n_sets, alphabet *a, wf_error *err);
void alphabet_free(alphabet *a);

// Writes the letter of each character of `text`, well-formed UTF-8, to letters[0 .. text.len - 1]; returns their
// number.
size_t alphabet_spell(const alphabet *a, view text, unsigned char *letters);

// Appends `set`, one of those of the creation, in pcre2's syntax.
void alphabet_print_set(const alphabet *a, const code_set *set, buffer *out);

#endif
