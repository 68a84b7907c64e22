// A tokenizer inside: what tokenizer_read.c makes of a checkpoint, and tokenizer.c encodes and decodes with.
#ifndef WELFORD_TEXT_TOKENIZER_TOKENIZER_INTERNAL_H
#define WELFORD_TEXT_TOKENIZER_TOKENIZER_INTERNAL_H

#include "base/arena.h"
#include "format/token.h"
#include "text/tokenizer/bpe.h"
#include "text/tokenizer/normalize.h"
#include "text/tokenizer/pretokenize.h"
#include "text/tokenizer/special.h"
#include "text/tokenizer/tokenizer.h"

enum { MAX_WARNINGS = 4 };

struct tokenizer {
    const char *path; // of the file, which owns it, the texts and the merges
    const view *texts;
    int32_t count;
    int32_t bos, eos;
    bool add_bos, add_eos;
    unsigned char *types;                        // [count]
    bool *eog;                                   // [count]
    special_set user, all;                       // user-defined tokens; and the special ones
    special_set normalized_user, normalized_all; // those that are looked for in normalized text
    arena memory;                                // of their normalized texts
    const unsigned char *flags;                  // [count] TOKEN_ bits, or NULL
    bool characters;                             // the vocabulary is of characters, not of byte letters
    bool strip_start;                            // the text of a list of tokens loses a space at its start
    float *scores;                               // [count], or NULL
    normalizer norm, prefix;                     // before and behind the search for tokens in normalized text
    pretokenizer *pre;                           // NULL: a stretch of text is one word
    bpe *bpe;
    char *warnings[MAX_WARNINGS]; // of `memory`
    size_t n_warnings;
};

// Adds a line on what was guessed about the file; what does not fit is left out.
void tokenizer_warn(tokenizer *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Marks in t->eog the tokens that are known to end a generation. Of a GGUF file, known ones typed NORMAL become control
// tokens, with a warning.
void tokenizer_find_ends(tokenizer *t);

#endif
