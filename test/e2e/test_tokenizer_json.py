"""tokenizer.json against Hugging Face's tokenizers, which wrote the file; SentencePiece vocabularies of GGUF files."""
import json
import random
import struct

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from test_tokenizer import CONTROL, NORMAL, QWEN2, USER, Vocabulary, make_texts, read_ids, read_metadata
from tiny_hf import write_json

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")


def write_folder(folder, reference: Tokenizer, settings=None):
    """A checkpoint of which only the header of the tensors is there: enough to tokenize."""
    folder.mkdir()
    n_vocab, width = reference.get_vocab_size(), 64
    reference.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", settings or {})
    write_json(folder / "config.json", {
        "architectures": ["LlamaForCausalLM"], "hidden_size": width, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 4, "max_position_embeddings": 256, "vocab_size": n_vocab, "tie_word_embeddings": True})
    header = json.dumps({"model.embed_tokens.weight": {"dtype": "F32", "shape": [n_vocab, width],
                                                       "data_offsets": [0, 4 * n_vocab * width]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder


def compare(welford, folder, reference: Tokenizer, texts, special, add_special_tokens=True):
    reference.encode_special_tokens = not special
    expected = [e.ids for e in reference.encode_batch([t.decode(errors="replace") for t in texts],
                                                      add_special_tokens=add_special_tokens)]
    options = ["--special"] if special else []
    found = read_ids(welford.run("tokenize", folder, "--ids", "--null", *options,
                                 input=b"".join(t + b"\0" for t in texts)).ok().stdout)
    wrong = [(text, a, b) for text, a, b in zip(texts, found, expected, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first {wrong[0]}"
    return expected


# ---- byte-level

@pytest.fixture(scope="module", params=["smollm2", "deepseek_header"])
def vocabulary(request) -> Vocabulary:
    return Vocabulary(request.getfixturevalue(request.param))


@pytest.mark.parametrize("special", [False, True], ids=["plain", "special"])
def test_byte_level(welford, vocabulary, tmp_path, special):
    folder = write_folder(tmp_path / "model", vocabulary.reference)
    compare(welford, folder, vocabulary.reference, make_texts(11 + special, vocabulary.special + vocabulary.user), special)


def test_llama3_pattern_and_bos(welford, smollm2, tmp_path):
    """Llama 3's expression, ignore_merges, and BOS by a template inside a sequence of post-processors."""
    v = Vocabulary(smollm2)
    text = json.loads(v.reference.to_str())
    text["model"]["ignore_merges"] = True
    reference = Tokenizer.from_str(json.dumps(text))
    reference.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    reference.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|im_start|> $A", pair="<|im_start|> $A <|im_start|> $B:1",
                                      special_tokens=[("<|im_start|>", 1)])])
    folder = write_folder(tmp_path / "model", reference)
    expected = compare(welford, folder, reference, make_texts(21, v.special)[:1500], False)
    assert expected[0][0] == 1


def test_strip_flags(welford, smollm2, tmp_path):
    v = Vocabulary(smollm2)
    reference = v.reference
    reference.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<tail>", rstrip=True),
                                  AddedToken("<both>", lstrip=True, rstrip=True)])
    folder = write_folder(tmp_path / "model", reference)
    texts = ["a  <mask>  b", "<mask>", " \n\t<mask>", "x<tail>\u3000\u2003 y", "<both>  <both>  <both>", "  <tail> <mask> z",
             "a\xa0<both>\xa0b", "é <both> é", "<tail>  "]
    compare(welford, folder, reference, [t.encode() for t in texts], True)


WORDS = ["yes", " yes", "yes no", "yesno", "noyes", "_yes", "yes_", "yes1", "1yes", "éyes", "yes\u0301", "yes\u200d", "\u24b6yes",
         "yes\u2160", "yes\u00bd", "(yes)", "yes-yes", "yesyes", "yes yes", "<x>yes", "yes<x>", "<x>yes<x>", "  yes  ", "-yes\u3000",
         "\xff yes", "yes \u4e2d", "yes\u4e2d", "\U0001f130yes", "\U0001f600yes", "yes\U0001f600"]


@pytest.mark.parametrize("strip", [False, True])
def test_single_word(welford, smollm2, tmp_path, strip):
    reference = Vocabulary(smollm2).reference
    reference.add_tokens([AddedToken("yes", single_word=True, normalized=False, lstrip=strip, rstrip=strip)])
    reference.add_special_tokens([AddedToken("<x>", single_word=True)])
    folder = write_folder(tmp_path / "model", reference)
    texts = [t.encode("utf-8", "surrogateescape") for t in WORDS + [a + b for a in WORDS for b in WORDS]]
    expected = compare(welford, folder, reference, texts, True)
    assert sum(reference.token_to_id("yes") in ids for ids in expected) > 200


@pytest.mark.parametrize("digits", [False, True])
def test_prefix_space(welford, smollm2, tmp_path, digits):
    """ByteLevel with add_prefix_space: before each stretch between tokens, unless it begins with a space."""
    v = Vocabulary(smollm2)
    v.reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=not digits)
    folder = write_folder(tmp_path / "model", v.reference)
    for special in (False, True):
        compare(welford, folder, v.reference, make_texts(51 + special, v.special)[:1500], special)


NORMALIZERS = {
    "prepend": normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
    "replace": normalizers.Replace(" ", "▁"),
    "nfc": normalizers.NFC(),
}


@pytest.mark.parametrize("style", NORMALIZERS)
def test_tokens_in_normalized_text(welford, characters, tmp_path, style):
    """Such a token is normalized itself, so that with Prepend it is found only at the beginning of a stretch."""
    text = json.loads(characters.reference.to_str())
    text["added_tokens"] = text["added_tokens"][:200]
    reference = Tokenizer.from_str(json.dumps(text))
    reference.normalizer = NORMALIZERS[style]
    reference.pre_tokenizer = None
    extra = ["<one>", "<two words>", "caf\u00e9", "word"]
    special = extra[0] if style == "nfc" else extra[1]
    reference.add_tokens([AddedToken(t, normalized=True, lstrip=i == 0, rstrip=i == 2, single_word=i == 3)
                          for i, t in enumerate(extra) if t != special])
    reference.add_special_tokens([AddedToken(special, normalized=True)])
    folder = write_folder(tmp_path / "model", reference)
    parts = [*extra, "<two▁words>", "▁<one>", " ", "  ", "a", " b", "<bos>", "cafe\u0301", "▁", ".", "\n", "<", "é"]
    rng = random.Random(61)
    texts = ["".join(rng.choice(parts) for _ in range(rng.randint(1, 7))).encode() for _ in range(3000)]
    for with_special in (False, True):
        expected = compare(welford, folder, reference, texts, with_special)
        counts = [sum(reference.token_to_id(t) in ids for ids in expected) for t in extra]
        assert all(n > 10 or (t == special and not with_special) for t, n in zip(extra, counts)), counts


# ---- characters, byte fallback

class Characters:
    """gemma-3's vocabulary as a tokenizers.Tokenizer: merges are made from the scores."""

    def __init__(self, path):
        meta = read_metadata(path)
        self.path = path
        self.tokens, kinds = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
        scores = meta["tokenizer.ggml.scores"]
        usable = {t: i for i, (t, kind) in enumerate(zip(self.tokens, kinds)) if kind in (NORMAL, USER)}
        merges = []
        for token, i in usable.items():
            merges += [(-scores[i], n, token[:n], token[n:]) for n in range(1, len(token))
                       if token[:n] in usable and token[n:] in usable and kinds[i] == NORMAL]
        merges.sort()
        self.user = [t for t, kind in zip(self.tokens, kinds) if kind == USER]
        self.special = [t for t, kind in zip(self.tokens, kinds) if kind == CONTROL and "unused" not in t]
        self.reference = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(self.tokens)}, byte_fallback=True,
                                              merges=[(a, b) for _, _, a, b in merges], unk_token="<unk>", fuse_unk=True))
        self.reference.normalizer = normalizers.Replace(" ", "▁")
        self.reference.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        self.reference.add_special_tokens([AddedToken(t, normalized=False) for t in self.special])
        self.reference.add_tokens([AddedToken(t, normalized=False) for t in self.user])


@pytest.fixture(scope="module")
def characters(gemma3) -> Characters:
    return Characters(gemma3)


def test_gguf_scores(welford, characters):
    """Merging by scores and by merges made from them differ only where one token is found in two overlapping places."""
    texts = make_texts(31, characters.special + characters.user[:40])
    characters.reference.encode_special_tokens = True
    expected = [[2] + e.ids for e in characters.reference.encode_batch([t.decode(errors="replace") for t in texts])]
    found = read_ids(welford.run("tokenize", characters.path, "--ids", "--null",
                                 input=b"".join(t + b"\0" for t in texts)).ok().stdout)
    wrong = [(t, a, b) for t, a, b in zip(texts, found, expected, strict=True) if a != b]
    assert len(wrong) <= len(texts) // 500, f"{len(wrong)} differ, first {wrong[0]}"


def test_gguf_round_trip(welford, characters):
    texts = make_texts(32, characters.special)
    ids = welford.run("tokenize", characters.path, "--ids", "--null", input=b"".join(t + b"\0" for t in texts)).ok().stdout
    back = welford.run("tokenize", characters.path, "--decode", "--null", input=ids.replace("\n", "\0")).ok().stdout_bytes
    wanted = [t.decode(errors="replace").replace("▁", " ").encode() for t in texts] # the letter that stands for a space
    assert back.split(b"\0")[:-1] == wanted


@pytest.mark.parametrize("style", ["gemma", "llama2", "always", "first", "never"])
def test_character_styles(welford, characters, tmp_path, style):
    reference = Tokenizer.from_str(characters.reference.to_str())
    if style == "gemma":
        reference.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    elif style == "llama2":
        reference.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        reference.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                               decoders.Strip(" ", 1, 0)])
        reference.post_processor = processors.TemplateProcessing(
            single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", 2)])
    else:
        reference.normalizer = normalizers.Sequence([])
        reference.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=style, split=style == "always")
    folder = write_folder(tmp_path / "model", reference)
    for special in (False, True):
        compare(welford, folder, reference, make_texts(41 + special, characters.special + characters.user[:40])[:1500], special)
    if style == "llama2":
        for text in ("hello there é", " hello", "hello  there"):
            ids = reference.encode(text).ids
            decoded = welford.run("tokenize", folder, "--decode", "-p", " ".join(map(str, ids))).ok().stdout
            assert decoded == reference.decode(ids)


def test_settings_overrule(welford, smollm2, tmp_path):
    v = Vocabulary(smollm2)
    folder = write_folder(tmp_path / "model", v.reference,
                          {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}, "add_bos_token": True})
    assert read_ids(welford.run("tokenize", folder, "--ids", "-p", "Hi").ok().stdout) == [[1, 26843]]
    write_json(folder / "tokenizer_config.json", {"bos_token": "<nonsense>"})
    assert "<nonsense>" in welford.run("tokenize", folder, "-p", "Hi").failed().stderr


# ---- pre-tokenizers

BEHAVIORS = ["isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"]


@pytest.mark.parametrize("behavior", BEHAVIORS)
@pytest.mark.parametrize("invert", [False, True], ids=["", "inverted"])
def test_split_behaviors(welford, smollm2, tmp_path, behavior, invert):
    reference = Tokenizer.from_str(Vocabulary(smollm2).reference.to_str())
    texts = make_texts(51, ["x"])[:400]
    for i, pattern in enumerate([Regex(LLAMA3), Regex(r"\d|[aeiou]"), " "]):
        reference.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(pattern, behavior, invert), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=i > 0)])
        compare(welford, write_folder(tmp_path / f"model{i}", reference), reference, texts, False)


@pytest.mark.parametrize("part", [
    pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit(), pre_tokenizers.CharDelimiterSplit("e"),
    pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(True), pre_tokenizers.Digits(False),
    pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Punctuation("merged_with_next")], ids=lambda p: type(p).__name__)
def test_parts(welford, smollm2, tmp_path, part):
    reference = Tokenizer.from_str(Vocabulary(smollm2).reference.to_str())
    reference.pre_tokenizer = pre_tokenizers.Sequence([part, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    # The reference takes punctuation from older tables, which lack U+061D.
    texts = [t for t in make_texts(52, ["x"])[:400] if "\u061d".encode() not in t]
    compare(welford, write_folder(tmp_path / "model", reference), reference, texts, False)


DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
             r"|\s*[\r\n]+|\s+(?!\S)|\s+")


@pytest.mark.parametrize("expression", [DEEPSEEK3, LLAMA3, QWEN2], ids=["deepseek3", "llama3", "qwen2"])
def test_classes_of_characters(welford, smollm2, tmp_path, expression):
    """Characters of all ages, every 7th code point and those that Unicode 15 and 16 brought, are cut as tokenizers cuts them."""
    reference = Tokenizer.from_str(Vocabulary(smollm2).reference.to_str())
    reference.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    new = [*range(0x10D40, 0x10D90), *range(0x11380, 0x113E3), *range(0x1FA75, 0x1FA78), *range(0x1FAC0, 0x1FAFF),
           *range(0x16D40, 0x16D7A), *range(0x1C89, 0x1C8B), *range(0xA7CB, 0xA7DD), *range(0x1CC00, 0x1CCFA)]
    codes = [c for c in [*range(1, 0x32000, 7), *new] if not 0xD800 <= c < 0xE000]
    texts = [f" a{chr(c)}1 {chr(c)}{chr(c)}!".encode() for c in codes]
    compare(welford, write_folder(tmp_path / "model", reference), reference, texts, False)


# ---- tokens beside tokenizer.json

def setting(text, **values):
    return {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True} | values


def test_tokens_beside(welford, smollm2, tmp_path):
    reference = Tokenizer.from_str(Vocabulary(smollm2).reference.to_str())
    n = reference.get_vocab_size()
    settings = {"added_tokens_decoder": {str(n + 1): setting("<|over|>", lstrip=True), str(n): setting("<|turn|>"),
                                         str(n + 2): setting("<plain>", special=False)},
                "eos_token": "<|over|>", "additional_special_tokens": ["<|more|>", "<|turn|>"]}
    folder = write_folder(tmp_path / "model", reference, settings)
    config = json.loads((folder / "config.json").read_text())
    header = json.dumps({"model.embed_tokens.weight": {"dtype": "F32", "shape": [n + 4, 64],
                                                       "data_offsets": [0, 4 * (n + 4) * 64]}}).encode()
    write_json(folder / "config.json", config | {"vocab_size": n + 4})
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    hi = reference.encode("hi").ids
    text = "<|turn|>hi <|over|><plain><|more|>"

    def ids(*options):
        return read_ids(welford.run("tokenize", folder, "--ids", *options, "-p", text).ok().stdout)[0]

    assert ids("--special") == [n, *hi, n + 1, n + 2, n + 3]
    assert n + 2 in ids() and n not in ids()
    # The older files say the same.
    write_json(folder / "tokenizer_config.json", {})
    write_json(folder / "added_tokens.json", {"<|over|>": n + 1, "<|turn|>": n, "<plain>": n + 2})
    write_json(folder / "special_tokens_map.json", {"eos_token": {"content": "<|over|>"},
                                                    "additional_special_tokens": ["<|turn|>", "<|more|>"]})
    text = "<|turn|>hi<|over|><plain><|more|>"
    assert ids("--special") == [n, *hi, n + 1, n + 2, n + 3]
    assert n + 2 in ids() and n not in ids()
