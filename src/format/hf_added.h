// Tokens that stand beside a tokenizer.json: in tokenizer_config.json (added_tokens_decoder, extra_special_tokens,
// additional_special_tokens, bos_token and its like), or in the older added_tokens.json and special_tokens_map.json.
#ifndef WELFORD_FORMAT_HF_ADDED_H
#define WELFORD_FORMAT_HF_ADDED_H

#include "format/json_file.h"

// Adds them to the "added_tokens" of `tokenizer`, the root of a tokenizer.json, as Transformers adds them: what is a
// token already keeps its id and takes the new settings, what is none gets the next id. `path` is the folder.
wf_status hf_join_added_tokens(const char *path, json_t *tokenizer, wf_error *err);

#endif
