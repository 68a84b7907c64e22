// The pre-tokenizers that llama.cpp knows (llama-vocab.cpp, llama_vocab::impl::load and llm_tokenizer_bpe), but for
// those of embedding models that are no byte-level BPE.
//
// An expression is that of the model's own tokenizer.json where that is known, else llama.cpp's; where llama.cpp spells
// an expression in a way that its engine can do, the original stands here. NFC is the original's too: llama.cpp has
// none.
#include "text/tokenizer/pretokenize_table.h"

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
    "\\s?[A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}"               \
    "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"             \
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}"                    \
    "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"                  \
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"                  \
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}"                             \
    "\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}"                            \
    "\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}"                  \
    "\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}"                    \
    "\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"                             \
    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}"                             \
    "\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}"                   \
    "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}"                  \
    "\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"                                 \
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}"                             \
    "\\x{1E900}-\\x{1E943}]+"
#define DEEPSEEK_SIGNS "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"
#define DEEPSEEK_ASIAN "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"

#define AFMOE_ASIAN                                                                                                    \
    "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{F900}-\\x{FAFF}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}"                 \
    "\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{E40}-\\x{E7F}\\x{E80}-\\x{EFF}\\x{1780}-\\x{17FF}"                      \
    "\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}\\x{1100}-\\x{11FF}]+"
#define YOUTU_ASIAN                                                                                                    \
    "[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|"                                                                       \
    "[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}\\x{2018}\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}\\x{3001}-\\x{303F}"   \
    "\\x{FE30}-\\x{FE4F}]+|"                                                                                           \
    "[\\x{3105}-\\x{312F}]+|[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"

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
     {YOUTU_ASIAN, YOUTU}},
    {"kimi-k2",         false, false, false, false, {KIMI}},
    {"superbpe",        false, false, false, false, {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
    {"deepseek-llm",    false, false, false, false,
     {"[\\r\\n]", DEEPSEEK_LETTERS, DEEPSEEK_SIGNS, "\\s+$", DEEPSEEK_ASIAN, "\\p{N}+"}},
    {"deepseek-coder",  false, false, false, false,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_ASIAN, "\\p{N}"}},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4",
                        false, false, false, false, {"\\p{N}{1,3}", DEEPSEEK_CJK, DEEPSEEK3}},
    {"spark2_5",        false, false, false, false,
     {"\\p{N}{1,3}", DEEPSEEK_CJK, DEEPSEEK_HEAD "| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+", "\\p{N}"}},
    {"afmoe",           false, false, false, false, // digits in threes, counted from the right
     {"\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))", AFMOE_ASIAN, DEEPSEEK3}},
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
