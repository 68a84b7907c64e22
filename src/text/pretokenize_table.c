// The pre-tokenizers that llama.cpp knows (llama-vocab.cpp, llama_vocab::impl::load and llm_tokenizer_bpe), but for
// those of embedding models that are no byte-level BPE.
//
// An expression is that of the model's own tokenizer.json where that is known, else llama.cpp's; where llama.cpp spells
// an expression in a way that its engine can do, the original stands here. NFC is the original's too: llama.cpp has
// none.
#include "text/pretokenize_table.h"

#include <stddef.h>

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define WORDS(digits) "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define LLAMA3 CONTRACTIONS "|" WORDS("\\p{N}{1,3}")
#define QWEN2 CONTRACTIONS "|" WORDS("\\p{N}")
#define QWEN35 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES

// Words that begin in capitals and go on in small letters.
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(behind)                                                                                                  \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" behind "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" behind
#define SIGNS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES
#define TEKKEN CASED("") "|\\p{N}" SIGNS
#define GPT4O CASED(CONTRACTIONS "?") "|\\p{N}{1,3}" SIGNS
#define YOUTU CASED(CONTRACTIONS "?") "|\\p{N}" SIGNS

// https://huggingface.co/moonshotai/Kimi-K2-Instruct, tokenization_kimi.py
#define KIMI_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define KIMI_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define KIMI                                                                                                           \
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?" KIMI_UPPER "*" KIMI_LOWER "+" CONTRACTIONS                                    \
    "?|[^\\r\\n\\p{L}\\p{N}]?" KIMI_UPPER "+" KIMI_LOWER "*" CONTRACTIONS                                              \
    "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES

#define DEEPSEEK_CJK "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define DEEPSEEK_HEAD                                                                                                  \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
#define DEEPSEEK3 DEEPSEEK_HEAD "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES
#define DEEPSEEK_LETTERS                                                                                               \
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-"    \
    "ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ί"                                                                                                   \
    "ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
#define DEEPSEEK_ASIAN "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"

#define BLOOM " ?[^(\\s|.,!?…。，、।۔،)]+"
#define LINES "[^\\n]+|[\\n]+"

// clang-format off
static const pretokenizer_recipe RECIPES[] = {
    // names            NFC    ignore bos    characters
    {"default",         false, false, false, false,
     {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en jina-v2-code "
     "roberta-bpe jais trillion granite-docling exaone4",
                        false, false, false, false, {GPT2}},
    {"mpt olmo",        true,  false, false, false, {GPT2}}, // GPT-NeoX's
    {"smollm starcoder refact codeshell exaone minerva-7b mellum2",
                        false, false, false, false, {"\\p{N}", GPT2}},
    {"command-r",       true,  false, false, false, {"\\p{N}", GPT2}},
    {"falcon",          false, false, false, false, {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"chameleon",       false, false, true,  false,
     {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
      "[\\p{P}!-/:-@\\[-`{-~]", GPT2}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
                        false, true,  true,  false, {LLAMA3}},
    {"dbrx smaug-bpe glm4 chatglm-bpe",
                        false, false, false, false, {LLAMA3}},
    {"jais-2",          false, false, false, false,
     {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
      "|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)"
      "|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"}},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 megrez",
                        true,  false, false, false, {QWEN2}},
    {"stablelm2 hunyuan solar-open grok-2",
                        false, false, false, false, {QWEN2}},
    {"qwen35",          true,  false, false, false, {QWEN35}},
    {"laguna",          false, false, false, false, {LINES, QWEN2}},
    {"minicpm5",        false, true,  false, false, {"\\p{N}{1,3}", CONTRACTIONS "|" WORDS("\\p{N}+")}},
    {"ufakzeka",        false, false, false, false, {WORDS("\\p{N}")}},
    {"bailingmoe bailingmoe2 llada-moe",
                        false, false, false, false,
     {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]"
      "|\\s+(?!\\S)|\\s+"}},
    {"seed-coder",      false, false, false, false,
     {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES}},
    {"exaone-moe",      false, false, false, false,
     {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?"
      "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {"tekken",          false, true,  true,  false, {TEKKEN}},
    {"gpt-4o llama4 kanana2 talkie minimax-m2",
                        false, false, false, false, {GPT4O}},
    {"granite-embed-multi-97m",
                        false, true,  false, false, {GPT4O}},
    {"tiny_aya cohere2moe",
                        false, false, false, false, {"\\d{1,3}(?=(?:\\d{3})*\\b)", GPT4O}},
    {"youtu",           false, true,  false, false,
     {"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+", YOUTU}},
    {"kimi-k2",         false, false, false, false, {KIMI}},
    {"superbpe",        false, false, false, false, {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
    {"deepseek-llm",    false, false, false, false,
     {"[\\r\\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", DEEPSEEK_ASIAN, "\\p{N}+"}},
    {"deepseek-coder",  false, false, false, false,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_ASIAN, "\\p{N}"}},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4",
                        false, false, false, false, {"\\p{N}{1,3}", DEEPSEEK_CJK, DEEPSEEK3}},
    {"spark2_5",        false, false, false, false,
     {"\\p{N}{1,3}", DEEPSEEK_CJK, DEEPSEEK_HEAD "| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+", "\\p{N}"}},
    {"afmoe",           false, false, false, false, // digits in threes, counted from the right
     {"\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
      "[一-鿿㐀-䶿豈-﫿぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+", DEEPSEEK3}},
    {"poro-chat bloom gpt3-finnish",
                        false, false, false, false, {BLOOM}},
    {"viking",          false, false, false, false, {BLOOM, "\\p{N}"}},
    {"gemma4 granite-embed-multi-311m",
                        false, false, true,  true,  {LINES}},
    {"sarvam-moe",      false, false, false, true,  {LINES}},
};
// clang-format on

static bool has_name(const char *names, view name)
{
    for (const char *at = names; *at;) {
        const char *end = at;
        while (*end && *end != ' ') end++;
        if (view_equal((view){at, (size_t)(end - at)}, name)) return true;
        at = *end ? end + 1 : end;
    }
    return false;
}

const pretokenizer_recipe *pretokenizer_find_recipe(view name)
{
    for (size_t i = 0; i < sizeof RECIPES / sizeof *RECIPES; ++i)
        if (has_name(RECIPES[i].names, name)) return &RECIPES[i];
    return NULL;
}
