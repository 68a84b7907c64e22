// The tokenizer: text to token ids and back, from the vocabulary that a checkpoint carries.
//
//     text ─ special tokens cut out ─▶ segments ─ valid UTF-8, normalizer ─ pre-tokenizer (regex) ─▶ words ─ BPE ─▶ ids
//
// Known: byte-level BPE with the pre-tokenizers of pretokenize.c (GGUF's "gpt2"), SentencePiece's BPE with scores and
// byte fallback (GGUF's "llama"), and both kinds as tokenizer.json files describe them. A tokenizer never changes after
// its creation, so that threads may share it.
//
// Token types, as in the file: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. Types 2 and 3 are
// called special here: they come out of text only when the caller asks (parse_special). User-defined tokens are
// ordinary text that is never split: they are found in every text.
#ifndef WELFORD_TEXT_TOKENIZER_TOKENIZER_H
#define WELFORD_TEXT_TOKENIZER_TOKENIZER_H

#include "base/buffer.h"
#include "base/status.h"
#include "base/view.h"
#include "format/checkpoint.h"
#include "text/tokenizer/token_list.h"

typedef struct tokenizer tokenizer;

// Builds the tokenizer of `file`, which must outlive it. WF_ERROR_UNSUPPORTED names an unknown model or pre-tokenizer,
// WF_ERROR_FORMAT the key that is missing or damaged. Of two normal tokens with one text the later is used, of two
// equal merges the earlier.
wf_status tokenizer_create(const checkpoint *file, tokenizer **t, wf_error *err);
void tokenizer_free(tokenizer *t); // NULL is fine

// What the file leaves open, so that it was guessed, one line each, with the file's name in front; NULL behind the
// last.
const char *tokenizer_warning(const tokenizer *t, size_t index);

// Appends the ids of `text` to *out; adds no BOS or EOS of its own.
//
// parse_special: special tokens spelled out in the text become their ids. At each place the longest token that starts
// there is taken, then the search goes on behind it. No token, special or user-defined, is taken at one of the
// n_blocked ascending byte offsets `blocked`: an offset for each byte of user text that must stay text (NULL and 0:
// none).
//
// Ill-formed UTF-8 is read as U+FFFD (see utf8.h). Where the original tokenizer normalizes, the text is brought to NFC
// (see pretokenize.h). A byte for which the vocabulary has no token is dropped, as the reference tokenizers do; a
// vocabulary with all 256 byte tokens thus gives back any text exactly (its NFC form, if it normalizes). SentencePiece
// puts a space before each stretch of text between special tokens where the model wants that.
wf_status tokenizer_encode(const tokenizer *t, view text, bool parse_special, const size_t *blocked, size_t n_blocked,
                           token_list *out, wf_error *err);

int32_t tokenizer_count(const tokenizer *t); // ids are 0 .. count - 1
bool tokenizer_add_bos(const tokenizer *t);  // whether the model wants BOS before a text; then bos >= 0
bool tokenizer_add_eos(const tokenizer *t);
int32_t tokenizer_bos(const tokenizer *t); // -1 when the file names none
int32_t tokenizer_eos(const tokenizer *t);

// Whether `id` ends a generation: the file's eos and eot tokens, and special tokens with a well-known text such as
// <|im_end|>, <|eot_id|>, <|endoftext|>, <end_of_turn>. False for an id out of range.
bool tokenizer_is_eog(const tokenizer *t, int32_t id);

view tokenizer_token_text(const tokenizer *t, int32_t id); // as stored, in byte-level letters; empty when out of range
int tokenizer_token_type(const tokenizer *t, int32_t id);  // 0 when out of range

// The id of the token stored as `text` (special or not), or -1.
int32_t tokenizer_find_token(const tokenizer *t, view text);

// Appends the bytes that a token stands for; a character's bytes may be spread over several tokens. Special tokens give
// no bytes, or their text when `special`. A normal token that is not byte-level text gives its text as it is.
// WF_ERROR_USAGE when an id is out of range. tokenizer_decode takes away the space that encoding put before a text.
wf_status tokenizer_decode_token(const tokenizer *t, int32_t id, bool special, buffer *out, wf_error *err);
wf_status tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t n_ids, bool special, buffer *out,
                           wf_error *err);

#endif
