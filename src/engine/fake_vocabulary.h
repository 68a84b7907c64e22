// For tests: words for the fake model (fake_model.h): 256 single bytes, "he", and a few special tokens.
#ifndef WELFORD_ENGINE_FAKE_VOCABULARY_H
#define WELFORD_ENGINE_FAKE_VOCABULARY_H

#include "engine/fake_model.h"
#include "text/tokenizer/test_vocabulary.h"
#include "text/tokenizer/tokenizer.h"

enum { BOS = 256, IM_START, IM_END, HE, N_TOKENS = FAKE_VOCAB - 1 }; // the model's vocabulary is padded by one

// Makes the fake model's file too; the vocabulary is the caller's.
static inline tokenizer *fake_open_tokenizer(fake_model *fake, test_vocabulary *vocabulary)
{
    char letters[256][2];
    view texts[N_TOKENS];
    int32_t types[N_TOKENS];
    for (int i = 0; i < 256; i++) texts[i] = (view){letters[i], put_letter(i, letters[i])}, types[i] = 1;
    texts[BOS] = VIEW_LITERAL("<|bos|>"), types[BOS] = 3;
    texts[IM_START] = VIEW_LITERAL("<|im_start|>"), types[IM_START] = 3;
    texts[IM_END] = VIEW_LITERAL("<|im_end|>"), types[IM_END] = 3;
    texts[HE] = VIEW_LITERAL("he"), types[HE] = 1;
    static const view merges[] = {{"h e", 3}};
    *vocabulary = (test_vocabulary){0};
    add_text(vocabulary, "tokenizer.ggml.model", "gpt2");
    add_text(vocabulary, "tokenizer.ggml.pre", "gpt-2");
    add_texts(vocabulary, "tokenizer.ggml.tokens", texts, N_TOKENS);
    add_ints(vocabulary, "tokenizer.ggml.token_type", types, N_TOKENS);
    add_texts(vocabulary, "tokenizer.ggml.merges", merges, 1);
    add_int(vocabulary, "tokenizer.ggml.bos_token_id", BOS);
    add_int(vocabulary, "tokenizer.ggml.eos_token_id", IM_END);
    add_bool(vocabulary, "tokenizer.ggml.add_bos_token", true);
    wf_error err = {0};
    tokenizer *t = NULL;
    if (open_vocabulary(vocabulary, &fake->m.file, &err) != WF_OK || tokenizer_create(fake->m.file, &t, &err) != WF_OK)
        fail_msg("%s", err.message);
    return t;
}

#endif
