// Byte-level byte pair encoding, as GPT-2 defined it (Radford et al. 2019; github.com/openai/gpt-2, encoder.py).
//
// Every byte has a letter: a printable byte of Latin-1 is its own letter, the others are U+0100, U+0101, ... in order.
// Tokens and merges are stored in letters ("Ġthe" is " the"). A word starts as a row of letters; again and again the
// neighbours whose pair stands first in the list of merges, leftmost first, become one symbol; what is left are tokens.
//
// In place of letters a word may be spelled in characters, as SentencePiece does (Kudo and Richardson 2018; Llama 2,
// Gemma). A character that is no token falls apart into the tokens of its bytes, <0x00> .. <0xFF>. Its vocabularies
// carry a score for each token instead of merges: neighbours become one where their joint text is a token, that of the
// best score first, leftmost first.
#ifndef WELFORD_TEXT_TOKENIZER_BPE_H
#define WELFORD_TEXT_TOKENIZER_BPE_H

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"
#include "text/tokenizer/token_list.h"

typedef struct bpe bpe;

typedef struct bpe_config {
    const view *tokens; // n_tokens, in letters; the views must outlive the encoder, as those of merges
    const bool *usable; // n_tokens: whether words may become this token
    size_t n_tokens;    // ids are int32_t: at most INT32_MAX
    const view *merges; // n_merges, each "left right"; at most INT32_MAX
    size_t n_merges;
    bool ignore_merges; // a whole word that is a token is taken without merging
    // spelling in characters
    bool characters;
    const int32_t *byte_tokens; // [256], -1: none
    const float *scores;        // n_tokens, NULL: by merges; must outlive the encoder
    int32_t unknown;            // for a character without a token and with a byte that has none; -1: it is dropped
    bool fuse_unknown;          // several of them in a row become one token
} bpe_config;

// WF_ERROR_FORMAT names a merge that is not two parts with a space between. An empty token is never used; of equal
// tokens the last is used, of equal merges the first. The product of a merge that is no token falls apart into bytes,
// or into characters. byte_tokens and usable are read only here.
wf_status bpe_create(const bpe_config *config, bpe **b, wf_error *err);
void bpe_free(bpe *b);

// What encoding needs besides: memory that is used again from word to word, and a cache of short words.
typedef struct bpe_scratch bpe_scratch;
wf_status bpe_scratch_create(bool cache, bpe_scratch **s, wf_error *err);
void bpe_scratch_free(bpe_scratch *s);

// Appends the ids of a word, which is well-formed UTF-8 if spelled in characters. A byte letter that has no token is
// dropped before merging, as Hugging Face tokenizers do.
// O(n log n) in its bytes. WF_ERROR_LIMIT for a word above 512 MiB.
wf_status bpe_encode_word(const bpe *b, bpe_scratch *s, view word, token_list *out, wf_error *err);

int32_t bpe_find_token(const bpe *b, view text); // the usable token stored as `text`, or -1

// Appends the bytes whose letters `text` is; where it has something else than letters, `text` as it is.
void bpe_decode(const bpe *b, view text, buffer *out);

#endif
