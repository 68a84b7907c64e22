"""welford tokenize against Hugging Face's tokenizers.

The reference is a tokenizers.Tokenizer made from the same GGUF file's vocabulary and merges, with the normalizer and
pre-tokenizer that the model's own tokenizer.json has.
"""
import hashlib
import json
import random
import struct
import unicodedata
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from gguf_meta import read_metadata
from pretokenizer_strings import STRINGS

N_STRINGS = 5000
NORMAL, UNKNOWN, CONTROL, USER = 1, 2, 3, 4
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


class Vocabulary:
    """A model's vocabulary, and the reference tokenizer built from it."""

    def __init__(self, path: Path):
        self.path = path
        meta = read_metadata(path)
        self.tokens = meta["tokenizer.ggml.tokens"]
        types = meta["tokenizer.ggml.token_type"]
        self.special = [t for t, kind in zip(self.tokens, types) if kind in (UNKNOWN, CONTROL)]
        self.user = [t for t, kind in zip(self.tokens, types) if kind == USER]
        adds_bos = meta.get("tokenizer.ggml.add_bos_token", False)
        self.prefix = [meta["tokenizer.ggml.bos_token_id"]] if adds_bos else []
        vocabulary = {t: i for i, t in enumerate(self.tokens)}
        merges = [tuple(merge.split(" ", 1)) for merge in meta["tokenizer.ggml.merges"]]
        self.reference = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        self.reference.decoder = decoders.ByteLevel()
        pre = meta["tokenizer.ggml.pre"]
        if pre == "smollm":
            self.reference.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
        elif pre == "deepseek-r1-qwen":
            self.reference.normalizer = normalizers.NFC()
            self.reference.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        else:
            raise AssertionError(f"no reference for pre-tokenizer {pre}")
        self.reference.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in self.special])
        self.reference.add_tokens([AddedToken(t, normalized=False, special=False) for t in self.user])
        # A byte that has no token is dropped; text with one does not come back.
        letters = {c: b for b, c in enumerate(byte_letters())}
        self.bytes = {letters[t] for t in self.tokens if t in letters}

    def encode(self, texts: list[str], special: bool) -> list[list[int]]:
        self.reference.encode_special_tokens = not special
        return [self.prefix + e.ids for e in self.reference.encode_batch(texts, add_special_tokens=False)]


def byte_letters() -> list[str]:
    """GPT-2's letter of each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b if b in printable else next(others)) for b in range(256)]


@pytest.fixture(scope="module", params=["smollm2", "deepseek_header"])
def vocabulary(request) -> Vocabulary:
    return Vocabulary(request.getfixturevalue(request.param))


NFC = normalizers.NFC()


def orders_by_standard(c: str) -> bool:
    """False for a combining mark younger than the reference's NFC tables (Unicode 10): it leaves such marks where they are."""
    cases = ["a" + c + "\u0316\u0301", "a\u0301" + c + "\u0316"]
    return not unicodedata.combining(c) or all(NFC.normalize_str(t) == unicodedata.normalize("NFC", t) for t in cases)


def assigned(first: int, last: int) -> list[str]:
    """The characters of a block whose properties engines of different ages agree on."""
    kinds = ("Cn", "Cs", "Co")
    return [c for c in map(chr, range(first, last + 1)) if unicodedata.category(c) not in kinds and orders_by_standard(c)]


SCRIPTS = [assigned(*block) for block in [
    (0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x24F), (0x370, 0x3FF), (0x400, 0x4FF), (0x531, 0x586), (0x591, 0x5F4),
    (0x600, 0x6FF), (0x900, 0x97F), (0x980, 0x9FE), (0xB82, 0xBFA), (0xE01, 0xE5B), (0xF00, 0xFDA), (0x1000, 0x109F),
    (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137C), (0x13A0, 0x13FD), (0x1780, 0x17F9), (0x1E00, 0x1EFF),
    (0x1F00, 0x1FFE), (0x2000, 0x206F), (0x2070, 0x209C), (0x20A0, 0x20BF), (0x2100, 0x218B), (0x2190, 0x23FF),
    (0x2460, 0x24FF), (0x2500, 0x27BF), (0x3000, 0x30FF), (0x3105, 0x31BF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF), (0xFB00, 0xFB4F), (0xFE70, 0xFEFC), (0xFF01, 0xFFEE), (0x10330, 0x1034A), (0x10400, 0x1044F),
    (0x1D165, 0x1D1C0), (0x1D400, 0x1D7FF), (0x1F300, 0x1F6D7), (0x1F900, 0x1F9FF), (0x20000, 0x2A6D6), (0x2F800, 0x2FA1D)]]
MARKS = assigned(0x300, 0x36F) + list("\u0323\u0307\u0345\u05b0\u064b\u093c\u0e38\u3099\u309a\U0001d165")
SPACES = list(" \t\n\r\v\f\x85\xa0\u1680\u180e\u2000\u2003\u2007\u2009\u2028\u2029\u202f\u205f\u3000\u200b\ufeff")
DIGITS = assigned(0x30, 0x39) + list("²³¼½٠١٣९௧๓Ⅷↂ㊿①𝟘𝟡𒐀")
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "🇩", "❤️", "1️⃣", "\u200d", "\ufe0f", "🧑🏿‍🚀", "☕", "🫠"]
WORDS = ("the of and Hello world don't I'll WE'VE it's 'S 'ſ ſ' they'RE o'clock naïve café cafe\u0301 Ångström A\u030angstro\u0308m "
         "Straße ﬁn ǅ İstanbul ı K Å 한국어 \u1112\u1161\u11ab 日本語 中文 привет мир γειά שלום مرحبا नमस्ते สวัสดี").split()
CODE = ["def f(x):\n    return x**2  # note\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\r\n", "<div class=\"a\">&amp;</div>",
        "SELECT * FROM t WHERE a<>'b''c';", "\\x00\\n\\\\", "{\"key\": [1, 2.5e-3, null]}", "a->b::c<d>>e", "=====", "...!?!?",
        "https://example.org/?q=a%20b#c", "x = y;;  // ——", "$PATH | grep -E '^[a-z]+$'", "0xDEADBEEF", "1,234,567.89"]
CONTROLS = [chr(c) for c in range(1, 32)] + ["\x7f", "\x80", "\x9f", "\u200e", "\u202e", "\ufffd", "\U0010ffff", "\ue000"]


def make_piece(rng: random.Random, tokens: list[str]) -> str:
    kind = rng.randrange(12)
    if kind == 0:
        return "".join(rng.choices(rng.choice(SCRIPTS), k=rng.randint(1, 12)))
    if kind == 1:
        return "".join(rng.choice(WORDS) + rng.choice(["", " ", "  ", "'", "-"]) for _ in range(rng.randint(1, 8)))
    if kind == 2:
        return "".join(rng.choices(SPACES, k=rng.randint(1, 10)))
    if kind == 3:
        return rng.choice([" ", "\n", "\r\n", "\t", "\n\n", " \n", "\r", "\u3000"]) * rng.randint(1, 20)
    if kind == 4:
        return "".join(rng.choices(DIGITS, k=rng.randint(1, 8)))
    if kind == 5:
        return "".join(rng.choices(EMOJI, k=rng.randint(1, 4)))
    if kind == 6:
        return rng.choice(CODE)
    if kind == 7:
        return "".join(rng.choice(rng.choice(SCRIPTS)) + "".join(rng.choices(MARKS, k=rng.randint(0, 4)))
                       for _ in range(rng.randint(1, 6)))
    if kind == 8:
        return "".join(rng.choices(CONTROLS, k=rng.randint(1, 4)))
    if kind == 9:
        return rng.choice(tokens)
    if kind == 10:
        token = rng.choice(tokens)  # a damaged special token is text
        cut = rng.randrange(len(token))
        return rng.choice([token[:cut], token[cut:], token[:cut] + " " + token[cut:], token.upper()])
    return "".join(rng.choice("etaoin shrdlu") for _ in range(rng.randint(1, 40)))


def make_texts(seed: int, tokens: list[str]) -> list[bytes]:
    """Varied texts without NUL; one in eight has some bytes damaged and is no UTF-8."""
    rng = random.Random(seed)
    texts = []
    for i in range(N_STRINGS):
        text = "".join(make_piece(rng, tokens) for _ in range(rng.randint(1, 6))).encode()
        if i % 8 == 0:
            damaged = bytearray(text)
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(damaged) + 1)
                if rng.random() < 0.5:
                    damaged[at:at + 1] = b""
                else:
                    damaged[at:at] = rng.choice([b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xff", b"\xe2\x82",
                                                 b"\xf4\x90\x80\x80", bytes([rng.randint(128, 255)])])
            text = bytes(damaged)
        texts.append(text)
    return texts


def read_ids(output: str) -> list[list[int]]:
    return [[int(i) for i in line.split()] for line in output.split("\n")[:-1]]


@pytest.mark.parametrize("special", [False, True], ids=["plain", "special"])
def test_ids_equal_reference(welford, vocabulary, special):
    texts = make_texts(1 + special, vocabulary.special + vocabulary.user)
    expected = vocabulary.encode([text.decode(errors="replace") for text in texts], special)
    options = ["--special"] if special else []
    done = welford.run("tokenize", vocabulary.path, "--ids", "--null", *options, input=b"".join(t + b"\0" for t in texts))
    found = read_ids(done.ok().stdout)
    assert len(found) == len(texts)
    wrong = [(text, a, b) for text, a, b in zip(texts, found, expected) if a != b]
    assert not wrong, f"{len(wrong)} of {len(texts)} differ, first {wrong[0]}"
    specials = {vocabulary.tokens.index(t) for t in vocabulary.special}
    n_special = sum(i in specials for ids in found for i in ids[len(vocabulary.prefix):])
    assert (n_special > 0) == special


def test_round_trip(welford, vocabulary):
    texts = make_texts(3, vocabulary.special + vocabulary.user)
    ids = welford.run("tokenize", vocabulary.path, "--ids", "--null", input=b"".join(t + b"\0" for t in texts)).ok().stdout
    done = welford.run("tokenize", vocabulary.path, "--decode", "--null", input=ids.replace("\n", "\0"))
    found = done.ok().stdout_bytes.split(b"\0")[:-1]
    normalizes = vocabulary.reference.normalizer is not None
    n_whole = 0
    for text, back in zip(texts, found, strict=True):
        wanted = text.decode(errors="replace")
        if normalizes:
            wanted = unicodedata.normalize("NFC", wanted)
        kept = bytes(b for b in wanted.encode() if b in vocabulary.bytes)
        assert back == kept
        n_whole += kept == wanted.encode()
    assert n_whole > 0.7 * len(texts)


def test_nul_is_text(welford, vocabulary, tmp_path):
    file = tmp_path / "text"
    file.write_bytes(b"a\0b\0\0 c")
    found = read_ids(welford.run("tokenize", vocabulary.path, "--ids", "-f", file).ok().stdout)
    assert found == vocabulary.encode(["a\0b\0\0 c"], False)


def test_long_runs(welford, vocabulary):
    """A megabyte of one character is neither slow nor a failure."""
    for text in ["a" * 10**6, " " * 10**6, "\n" * 10**6, "é" * 10**5, "e\u0301" * 10**5, "!" * 10**6]:
        done = welford.run("tokenize", vocabulary.path, "--ids", input=text, timeout=20)
        assert read_ids(done.ok().stdout) == vocabulary.encode([text], False)


def test_many_marks_are_not_slow(welford, vocabulary):
    """Sorting marks is quadratic in some libraries: half a megabyte in the worst order."""
    text = "a" + "\u0301" * 10**5 + "\u0323" * 10**5
    done = welford.run("tokenize", vocabulary.path, "--ids", input=text, timeout=20)
    if vocabulary.reference.normalizer:
        text = "\u1ea1" + "\u0323" * (10**5 - 1) + "\u0301" * 10**5
    assert read_ids(done.ok().stdout) == read_ids(
        welford.run("tokenize", vocabulary.path, "--ids", input=text, timeout=20).ok().stdout)
    short = "a" + "\u0301" * 40 + "\u0323" * 40
    assert read_ids(welford.run("tokenize", vocabulary.path, "--ids", input=short).ok().stdout) == vocabulary.encode([short], False)


def test_lists_tokens(welford, smollm2):
    lines = welford.run("tokenize", smollm2, "--special", "-p", "Hi \"é\"\n\t<|im_end|>\U0001f920").ok().stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    texts = [json.loads(text) for _, text in rows]
    assert rows[0][0] == "26843" and texts[0] == "Hi"
    assert "2\t\"<|im_end|>\"" in lines
    assert "".join(t for t in texts if "\ufffd" not in t).startswith("Hi \"é\"\n\t<|im_end|>")
    assert any("\ufffd" in t for t in texts)  # a part of the emoji


def test_decode(welford, smollm2):
    assert welford.run("tokenize", smollm2, "--decode", "-p", " 1 26843\n2\t").ok().stdout == "Hi"
    assert welford.run("tokenize", smollm2, "--decode", "--special", "-p", "1 26843 2").ok().stdout == "<|im_start|>Hi<|im_end|>"
    assert welford.run("tokenize", smollm2, "--decode", "-p", "").ok().stdout == ""


@pytest.mark.parametrize("input", ["x", "1,2", "-1", "49152", "99999999999999999999", "1 2 3\0", "2147483648"])
def test_decode_refuses(welford, smollm2, input):
    welford.run("tokenize", smollm2, "--decode", input=input).failed()


def test_usage(welford, smollm2, tmp_path):
    assert "--special" in welford.run("tokenize", "--help").ok().stdout
    welford.run("tokenize").failed(2)
    welford.run("tokenize", smollm2, smollm2).failed(2)
    welford.run("tokenize", smollm2, "-p", "a", "-f", "b").failed(2)
    welford.run("tokenize", smollm2, "-p", "a", "--ids", "--decode").failed(2)
    welford.run("tokenize", smollm2, "--nonsense").failed(2)
    welford.run("tokenize", smollm2, "-f", tmp_path / "missing").failed(1)
    welford.run("tokenize", tmp_path / "missing", "-p", "a").failed(1)


def test_golden_gemma3(welford, gemma3):
    """Ids that llama.cpp gives."""
    cases = json.loads((Path(__file__).parent / "golden/gemma3.json").read_text())["cases"]
    for case in cases:
        done = welford.run("tokenize", gemma3, "--ids", "--special", "-p", case["prompt"])
        assert read_ids(done.ok().stdout)[0] == case["prompt_ids"]


# ---- files that leave something open

def edited(path: Path, to: Path, edit) -> Path:
    """The header of a GGUF file whose metadata values are changed, without its tensors."""
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def encode(value) -> bytes:
        if isinstance(value, bool):
            return struct.pack("<I?", 7, value)
        if isinstance(value, int):
            return struct.pack("<Ii", 5, value)
        if isinstance(value, str):
            return struct.pack("<I", 8) + text(value)
        if isinstance(value[0], str):
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
        return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)

    values = {k: v for k, v in read_metadata(path).items() if k.startswith("tokenizer.ggml.")} | {"general.architecture": "llama"}
    edit(values)
    data = struct.pack("<4sIQQ", b"GGUF", 3, 0, len(values))
    to.write_bytes(data + b"".join(text(k) + encode(v) for k, v in values.items()) + bytes(64))
    return to


def test_names_of_pre_tokenizers(welford, smollm2, tmp_path):
    """Digests of the ids that llama.cpp, or the models' own expressions, give (tools/compare_pretokenizers.py)."""
    golden = json.loads((Path(__file__).parent / "golden/pretokenizers.json").read_text())
    assert len(golden) > 80
    records = b"".join(s.encode() + b"\0" for s in STRINGS)
    for name, wanted in golden.items():
        model = edited(smollm2, tmp_path / "model.gguf", lambda v: v.update({"tokenizer.ggml.pre": name,
                                                                              "tokenizer.ggml.add_bos_token": False}))
        done = welford.run("tokenize", model, "--ids", "--null", input=records).ok()
        assert not done.stderr
        assert hashlib.sha256(json.dumps(read_ids(done.stdout)).encode()).hexdigest()[:16] == wanted["digest"], name


def test_warns_without_pre(welford, smollm2, tmp_path):
    model = edited(smollm2, tmp_path / "model.gguf", lambda v: v.pop("tokenizer.ggml.pre"))
    for verb in (["tokenize", "--ids", "-p", "I don't know"], ["info", "--any"]):
        done = welford.run(verb[0], model, *verb[1:]).ok()
        assert done.stderr.count("\n") == 1 and "tokenizer.ggml.pre" in done.stderr and "guess" in done.stderr
    assert not welford.run("tokenize", smollm2, "-p", "a").ok().stderr


def test_control_tokens_typed_normal(welford, smollm2, tmp_path):
    def edit(values):
        values["tokenizer.ggml.token_type"][1] = values["tokenizer.ggml.token_type"][2] = NORMAL
    model = edited(smollm2, tmp_path / "model.gguf", edit)
    done = welford.run("tokenize", model, "--ids", "--special", "-p", "<|im_start|>hi<|im_end|>").ok()
    assert read_ids(done.stdout) == [[1, 6004, 2]]
    assert done.stderr.count("\n") == 1 and "2 '<|im_end|>'" in done.stderr
    plain = welford.run("tokenize", model, "--ids", "-p", "<|im_end|>").ok().stdout
    assert plain == welford.run("tokenize", smollm2, "--ids", "-p", "<|im_end|>").ok().stdout
