// tokenizer.json, the tokenizer of Hugging Face checkpoints, as metadata values.
// Format: the serialised form of https://github.com/huggingface/tokenizers (tokenizers/src/tokenizer/serialization.rs)
//
// What the file says becomes the keys that text/tokenizer/tokenizer.c reads: tokenizer.ggml.* as in GGUF files where
// they exist, and for the steps that GGUF does not spell out
//
//     tokenizer.json.normalizer    [STRING]  steps of text/tokenizer/normalize.h
//     tokenizer.json.prefix        [STRING]  more of them, done to what lies between tokens
//     tokenizer.json.split         [STRING]  pairs: what becomes of a match (see text/tokenizer/pretokenize.h), an expression
//     tokenizer.json.flags         [U8]      a token: TOKEN_ bits of format/token.h
//     tokenizer.json.ignore_merges, .fuse_unknown, .strip_start  BOOL
#ifndef WELFORD_FORMAT_HF_TOKENIZER_H
#define WELFORD_FORMAT_HF_TOKENIZER_H

#include "format/checkpoint.h"
#include "format/hf_value.h"
#include "format/json_file.h"

// What the caller may still overrule.
typedef struct hf_specials {
    const view *texts; // [count], of the file's memory
    int64_t count;
    int64_t bos, eos; // what the post-processor adds; -1: nothing
} hf_specials;

// Adds the values of `root` (of the file `path`) to `file`. Tokens whose ids are not below n_vocab are left out: the
// model has no embedding for them. WF_ERROR_UNSUPPORTED names a part that is not understood.
wf_status hf_read_tokenizer(const char *path, const json_t *root, int64_t n_vocab, checkpoint *file, hf_specials *out,
                            wf_error *err);

#endif
