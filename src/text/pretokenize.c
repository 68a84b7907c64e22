// Pre-tokenizers by pcre2.
//
// Stage after stage of a pre-tokenizer cuts the pieces that the stage before it left; what an expression matches and
// what lies between its matches both become pieces. Each stage sees its piece alone, as if it were the whole text: that
// decides what a lookahead sees at the end of a piece.
//
// Sources: the tokenizer.json files of the models (Split and Digits pre-tokenizers, behaviour "Isolated"), the
// ByteLevel pre-tokenizer of Hugging Face tokenizers for GPT2, and for "default" the table of llama.cpp.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretokenize.h"

#include <pcre2.h>
#include <stdlib.h>

#include "text/regex.h"

#define SPACE REGEX_SPACE
#define RUN "[" SPACE "]+"
#define TAIL RUN "(?![^" SPACE "])" // a run of space without the last one before a word: that one belongs to the word

#define GPT2_WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|" TAIL
#define GPT2 GPT2_WORDS "|" RUN
#define LLAMA3_LIKE(numbers)                                                                                           \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^" SPACE                                \
    "\\p{L}\\p{N}]+[\\r\\n]*|[" SPACE "]*[\\r\\n]+|" TAIL "|" RUN
#define LLAMA3 LLAMA3_LIKE("\\p{N}{1,3}")
#define QWEN2 LLAMA3_LIKE("\\p{N}")

enum { MAX_STAGES = 8, MAX_PATTERN = 4096 }; // bytes of a pattern from a file

typedef struct recipe {
    const char *name;
    bool normalizes, ignores_merges, adds_bos;
    const char *stages[MAX_STAGES];
} recipe;

// clang-format off
static const recipe recipes[] = {
    // name              NFC    ignore bos
    {"default",          false, false, false, {"[\\p{P}$+<=>^~|]+", GPT2_WORDS, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"gpt-2",            false, false, false, {GPT2}},
    {"smollm",           false, false, false, {"\\p{N}", GPT2}},
    {"llama-bpe",        false, true,  true,  {LLAMA3}},
    {"llama3",           false, true,  true,  {LLAMA3}},
    {"llama-v3",         false, true,  true,  {LLAMA3}},
    {"qwen2",            true,  false, false, {QWEN2}},
    {"deepseek-r1-qwen", true,  false, false, {QWEN2}},
};
// clang-format on

static const recipe no_recipe = {.name = ""};

struct pretokenizer {
    const recipe *recipe; // no_recipe: from a file's patterns
    int n_stages;
    pcre2_code *stages[MAX_STAGES];
};

static wf_status compile_stage(const char *pattern, pcre2_code **code, wf_error *err)
{
    int number;
    PCRE2_SIZE offset;
    *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &number, &offset, NULL);
    if (!*code) {
        PCRE2_UCHAR reason[128];
        pcre2_get_error_message(number, reason, sizeof reason);
        return error_set(err, WF_ERROR_UNSUPPORTED, "pcre2 does not compile the pre-tokenizer at offset %zu: %s",
                         offset, (const char *)reason);
    }
    // Where memory may not be made executable this fails, and pcre2_match interprets: slower, with the same words.
    pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE);
    return WF_OK;
}

wf_status pretokenizer_create(view name, pretokenizer **out, wf_error *err)
{
    const recipe *found = NULL;
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; ++i)
        if (view_is(name, recipes[i].name)) found = &recipes[i];
    if (!found) return error_set(err, WF_ERROR_UNSUPPORTED, "unknown pre-tokenizer '%.*s'", VIEW_ARG(name));

    pretokenizer *p = calloc(1, sizeof *p);
    if (!p) return error_memory(err, sizeof *p);
    p->recipe = found;
    while (p->n_stages < MAX_STAGES && found->stages[p->n_stages]) {
        wf_status status = compile_stage(found->stages[p->n_stages], &p->stages[p->n_stages], err);
        if (status != WF_OK) {
            pretokenizer_free(p);
            return status;
        }
        ++p->n_stages;
    }
    *out = p;
    return WF_OK;
}

// What a stage isolates, so that a match goes together with the text before or behind it.
static wf_status translate_pattern(view behaviour, view pattern, buffer *out, wf_error *err)
{
    buffer inner = {0};
    if (pattern.len > MAX_PATTERN)
        return error_set(err, WF_ERROR_UNSUPPORTED, "a regular expression of %zu bytes, more than %d", pattern.len,
                         MAX_PATTERN);
    wf_status status = regex_translate(pattern, &inner, err);
    if (status == WF_OK) {
        if (view_is(behaviour, "isolated"))
            buffer_append_view(out, buffer_view(&inner));
        else if (view_is(behaviour, "merged_with_previous"))
            buffer_printf(out, "(?s:(?!%s).)*(?:%s)", inner.data ? inner.data : "", inner.data ? inner.data : "");
        else if (view_is(behaviour, "merged_with_next"))
            buffer_printf(out, "(?:%s)(?s:(?!%s).)*", inner.data ? inner.data : "", inner.data ? inner.data : "");
        else
            status = error_set(err, WF_ERROR_UNSUPPORTED, "pre-tokenizer behaviour '%.*s' is not supported",
                               VIEW_ARG(behaviour));
    }
    if (inner.failed || out->failed) status = error_memory(err, pattern.len);
    buffer_free(&inner);
    return status;
}

static wf_status add_pattern(pretokenizer *p, view behaviour, view pattern, wf_error *err)
{
    buffer text = {0};
    wf_status status = translate_pattern(behaviour, pattern, &text, err);
    if (status == WF_OK) status = compile_stage(text.data ? text.data : "", &p->stages[p->n_stages], err);
    buffer_free(&text);
    if (status != WF_OK) return status;
    uint32_t may_be_empty = 1;
    const pcre2_code *code = p->stages[p->n_stages++];
    pcre2_pattern_info(code, PCRE2_INFO_MATCHEMPTY, &may_be_empty);
    if (may_be_empty) // split_stage would never get on
        return error_set(err, WF_ERROR_UNSUPPORTED, "a pre-tokenizer whose expression matches the empty text");
    return WF_OK;
}

wf_status pretokenizer_create_patterns(const view *pairs, size_t n_pairs, pretokenizer **out, wf_error *err)
{
    if (n_pairs > MAX_STAGES)
        return error_set(err, WF_ERROR_UNSUPPORTED, "a pre-tokenizer of %zu stages, more than %d", n_pairs, MAX_STAGES);
    pretokenizer *p = calloc(1, sizeof *p);
    if (!p) return error_memory(err, sizeof *p);
    p->recipe = &no_recipe;
    wf_status status = WF_OK;
    for (size_t i = 0; i < n_pairs && status == WF_OK; ++i)
        status = add_pattern(p, pairs[2 * i], pairs[2 * i + 1], err);
    if (status == WF_OK)
        *out = p;
    else
        pretokenizer_free(p);
    return status;
}

void pretokenizer_free(pretokenizer *p)
{
    if (!p) return;
    for (int i = 0; i < p->n_stages; ++i) pcre2_code_free(p->stages[i]);
    free(p);
}

bool pretokenizer_normalizes(const pretokenizer *p) { return p->recipe->normalizes; }
bool pretokenizer_ignores_merges(const pretokenizer *p) { return p->recipe->ignores_merges; }
bool pretokenizer_adds_bos(const pretokenizer *p) { return p->recipe->adds_bos; }

typedef struct splitter {
    const pretokenizer *p;
    pcre2_match_data *match; // read before a deeper stage writes it again
    word_function word;
    void *context;
} splitter;

// The next match of `code` in text at or after `pos`, as [*start, *end); an empty range at the end when there is none.
static wf_status find_match(const splitter *s, const pcre2_code *code, view text, size_t pos, size_t *start,
                            size_t *end, wf_error *err)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)text.data;
    int n = pcre2_match(code, subject, text.len, pos, PCRE2_NO_UTF_CHECK, s->match, NULL);
    // The interpreter keeps its backtracking on the heap, where the machine code has a fixed stack.
    if (n == PCRE2_ERROR_JIT_STACKLIMIT)
        n = pcre2_match(code, subject, text.len, pos, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match, NULL);
    *start = *end = text.len;
    if (n == PCRE2_ERROR_NOMATCH) return WF_OK;
    if (n == PCRE2_ERROR_NOMEMORY) return error_memory(err, text.len);
    if (n < 0) {
        PCRE2_UCHAR reason[128];
        pcre2_get_error_message(n, reason, sizeof reason);
        return error_set(err, WF_ERROR_LIMIT, "the text cannot be cut into words at byte %zu of %zu: %s", pos, text.len,
                         (const char *)reason);
    }
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(s->match);
    *start = range[0];
    *end = range[1];
    return WF_OK;
}

static wf_status split_stage(const splitter *s, int stage, view text, wf_error *err)
{
    if (text.len == 0) return WF_OK;
    if (stage == s->p->n_stages) return s->word(s->context, text, err);
    for (size_t pos = 0, start, end; pos < text.len; pos = end) {
        TRY(find_match(s, s->p->stages[stage], text, pos, &start, &end, err));
        TRY(split_stage(s, stage + 1, (view){text.data + pos, start - pos}, err));
        TRY(split_stage(s, stage + 1, (view){text.data + start, end - start}, err));
    }
    return WF_OK;
}

wf_status pretokenizer_split(const pretokenizer *p, view text, word_function word, void *context, wf_error *err)
{
    splitter s = {p, pcre2_match_data_create(1, NULL), word, context};
    if (!s.match) return error_memory(err, 0);
    wf_status status = split_stage(&s, 0, text, err);
    pcre2_match_data_free(s.match);
    return status;
}
