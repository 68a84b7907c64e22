// Tokens known by their text: those that end a turn, and those that begin one.
#include "text/tokenizer/tokenizer_internal.h"

typedef struct known_token {
    const char *text;
    bool ends;  // a generation is over with it
    bool plain; // may be ordinary text of a vocabulary
} known_token;

// Those that end are llama.cpp's (llama-vocab.cpp, special_eog_ids), and three more.
static const known_token KNOWN[] = {
    {"<|im_end|>", true, false},
    {"<|eot_id|>", true, false},
    {"<|eom_id|>", true, false},
    {"<|end|>", true, false},
    {"<|endoftext|>", true, false},
    {"<|end_of_text|>", true, false},
    {"<|endofturn|>", true, false},
    {"<|return|>", true, false},
    {"<|call|>", true, false},
    {"<|calls|>", true, false},
    {"<|flush|>", true, false},
    {"<|EOT|>", true, false},
    {"<end_of_turn>", true, false},
    {"<end_of_utterance>", true, false},
    {"<turn|>", true, false},
    {"<|tool_response>", true, false},
    {"<｜end▁of▁sentence｜>", true, false},
    {"[e~[", true, false},
    {"<EOT>", true, true},
    {"_<EOT>", true, true},
    {"[EOT]", true, true},
    {"[EOS]", true, true},
    {"<eos>", true, true},
    {"</s>", true, true},
    // What fills a hole in code, and what begins another file, is behind the answer.
    {"<|fim_pad|>", true, false},
    {"<fim_pad>", true, false},
    {"<fim-pad>", true, false},
    {"<|repo_name|>", true, false},
    {"<|file_sep|>", true, false},
    // Where their partners are not told from text, these are not either.
    {"<|im_start|>", false, false},
    {"<start_of_turn>", false, false},
    {"<|start_header_id|>", false, false},
    {"<|end_header_id|>", false, false},
    {"<|begin_of_text|>", false, false},
    {"<|start_of_role|>", false, false},
    {"<|end_of_role|>", false, false},
    {"<|turn>", false, false},
};

static const known_token *find_known(view text)
{
    // All begin with one of three characters: of a large vocabulary few tokens do.
    if (text.len < 4 || !memchr("<[_", text.data[0], 3)) return NULL;
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; ++i)
        if (view_is(text, KNOWN[i].text)) return &KNOWN[i];
    return NULL;
}

static int32_t find_text(const tokenizer *t, const char *text)
{
    for (int32_t id = 0; id < t->count; ++id)
        if (view_is(t->texts[id], text)) return id;
    return -1;
}

static bool is_end(const tokenizer *t, int32_t id) { return id >= 0 && t->eog[id]; }

// Some models have a token in the middle of an answer that ends those of others.
static void except_ends(tokenizer *t)
{
    int32_t end = find_text(t, "<|end|>"), call = find_text(t, "<|call|>"), calls = find_text(t, "<|calls|>");
    bool calls_end = is_end(t, call) || is_end(t, calls);
    bool others_end = is_end(t, find_text(t, "<|return|>")) || is_end(t, find_text(t, "<|flush|>"));
    if (end >= 0 && calls_end && others_end) t->eog[end] = false; // gpt-oss, Solar
    int32_t old = find_text(t, "</s>");
    if (old >= 0 && is_end(t, find_text(t, "<|tool_response>"))) t->eog[old] = false; // Gemma 4
}

// Some exporters type the tokens of a chat NORMAL: text then never becomes them, and the model never stops. The types
// of a tokenizer.json are its own.
static void retype_known(tokenizer *t)
{
    int32_t first = -1;
    int n = 0;
    for (int pass = 0; pass < 2; ++pass) // those that begin a turn, if one that ends it was found
        for (int32_t id = 0; id < t->count; ++id) {
            const known_token *known = t->types[id] == TOKEN_NORMAL ? find_known(t->texts[id]) : NULL;
            if (!known || known->plain || known->ends != (pass == 0) || (pass && n == 0)) continue;
            t->types[id] = TOKEN_CONTROL;
            if (n++ == 0) first = id;
        }
    if (n == 1)
        tokenizer_warn(t, "token %d '%.*s' looks like a control token but is not typed so: taken for one", first,
                       NAME_ARG(t->texts[first]));
    else if (n)
        tokenizer_warn(t, "%d tokens, as %d '%.*s', look like control tokens but are not typed so: taken for such", n,
                       first, NAME_ARG(t->texts[first]));
}

void tokenizer_find_ends(tokenizer *t)
{
    if (!t->flags) retype_known(t);
    for (int32_t id = 0; id < t->count; ++id) {
        bool may_end = token_is_special(t->types[id]) || t->types[id] == TOKEN_USER;
        const known_token *known = may_end ? find_known(t->texts[id]) : NULL;
        if (known) t->eog[id] = known->ends;
    }
    except_ends(t);
}
