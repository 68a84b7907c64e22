// A tokenizer inside: what tokenizer_read.c makes of a checkpoint, and tokenizer.c encodes and decodes with.
#ifndef WELFORD_TEXT_TOKENIZER_INTERNAL_H
#define WELFORD_TEXT_TOKENIZER_INTERNAL_H

#include "base/arena.h"
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/special.h"
#include "text/tokenizer.h"

#define SPACE_LETTER "\xe2\x96\x81" // U+2581, a space in vocabularies of characters

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

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
    const unsigned char *flags;                  // [count] SPECIAL_ bits, or NULL
    bool characters;                             // the vocabulary is of characters, not of byte letters
    bool strip_start;                            // the text of a list of tokens loses a space at its start
    float *scores;                               // [count], or NULL
    normalizer norm, prefix;                     // before and behind the search for tokens in normalized text
    pretokenizer *pre;                           // NULL: a stretch of text is one word
    bpe *bpe;
};

static inline bool tokenizer_is_special(int type) { return type == TYPE_UNKNOWN || type == TYPE_CONTROL; }

// The byte of a token "<0xHH>", or -1.
int tokenizer_byte_of(view text);

#endif
