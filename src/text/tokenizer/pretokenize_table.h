// What a GGUF file's tokenizer.ggml.pre stands for.
#ifndef WELFORD_TEXT_TOKENIZER_PRETOKENIZE_TABLE_H
#define WELFORD_TEXT_TOKENIZER_PRETOKENIZE_TABLE_H

#include <stdbool.h>

#include "base/view.h"

enum { PRETOKENIZER_MAX_EXPRESSIONS = 7 };

typedef struct pretokenizer_recipe {
    const char *names;   // separated by spaces
    bool normalizes;     // the original brings text to NFC first
    bool ignores_merges; // a word that is a token is taken as it is
    bool adds_bos;       // unless the file says otherwise
    bool characters;     // the vocabulary is of characters, with U+2581 for spaces, not of byte letters
    const char *expressions[PRETOKENIZER_MAX_EXPRESSIONS]; // stage after stage: see regex.h; matches are isolated
} pretokenizer_recipe;

const pretokenizer_recipe *pretokenizer_find_recipe(view name); // NULL: not known

#endif
