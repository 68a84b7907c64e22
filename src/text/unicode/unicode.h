// Classes of characters by Unicode 16.0, the version of Hugging Face tokenizers 0.22 and later: what a text's tokens
// are must not depend on how old the system's libraries are.
#ifndef WELFORD_TEXT_UNICODE_UNICODE_H
#define WELFORD_TEXT_UNICODE_UNICODE_H

#include "base/view.h"
#include "text/unicode/code_set.h"

// Adds the characters of a property: a general category ("L", "Lu", "Uppercase_Letter"), a script ("Han"), or a class
// ("Any", "ASCII", "Assigned", "Space", "Word", "Alnum", "Digit", "Punct", "XDigit", "Cntrl", "Blank"). Case, spaces, _
// and - do not count. False when there is no such property.
bool unicode_add_property(code_set *set, view name);

// Adds what differs from a member in case only, one character for one (CaseFolding.txt, status C and S).
void unicode_add_cases(code_set *set);

// A character of a word, as UTS 18 defines it: letters, marks, digits, connectors, symbols that are alphabetic, and the
// two joiners.
bool unicode_is_word(uint32_t code);

#endif
