#!/usr/bin/env python3
"""Compares what welford and llama.cpp make of hard strings, for every name of a pre-tokenizer, and makes the golden.

    python3 -m venv /tmp/compare && /tmp/compare/bin/pip install xllamacpp tokenizers==0.23.3
    /tmp/compare/bin/python tools/compare_pretokenizers.py build/welford smollm2-135m-instruct.q4_1.gguf

The vocabulary is that of a GGUF model with byte letters and merges; only the key tokenizer.ggml.pre changes. Where the
table follows the model's own expression and llama.cpp's differs from it, Hugging Face tokenizers with that expression are
the reference. With a third argument, the digests of the reference's ids are written to that file (test/e2e/golden).
"""
import ctypes
import hashlib
import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import xllamacpp
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test/e2e"))
from gguf_meta import read_metadata  # noqa: E402
from pretokenizer_strings import STRINGS  # noqa: E402

STRING, ARRAY, I32 = 8, 9, 5
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def cased(behind: str) -> str:
    return (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{behind}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{behind}")


def signs(numbers: str) -> str:
    return rf"|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{SPACES}"


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
GPT4O = cased(CONTRACTIONS + "?") + signs(r"\p{N}{1,3}")
LLAMA3 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES)
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACES)
HAN = r"&&[^\p{Han}]]"
KIMI_UPPER, KIMI_LOWER = UPPER[:-1] + HAN, LOWER[:-1] + HAN
KIMI = (rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}*{KIMI_LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}+"
        rf"{KIMI_LOWER}*{CONTRACTIONS}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{SPACES}")
BAILING = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")

# name: (NFC first, the model's own expressions); those of llama.cpp differ or are spelled in another way.
ORIGINALS = {
    **dict.fromkeys(["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"], (True, [QWEN2])),
    "qwen35": (True, [QWEN35]),
    **dict.fromkeys(["mpt", "olmo"], (True, [GPT2])),
    "command-r": (True, [r"\p{N}", GPT2]),
    "tekken": (False, [cased("") + signs(r"\p{N}")]),
    **dict.fromkeys(["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2", "granite-embed-multi-97m"], (False, [GPT4O])),
    **dict.fromkeys(["tiny_aya", "cohere2moe"], (False, [r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O])),
    "kimi-k2": (False, [KIMI]),
    **dict.fromkeys(["bailingmoe", "bailingmoe2", "llada-moe"], (False, [BAILING])),
    **dict.fromkeys(["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
                     "jina-v5-nano", "dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], (False, [LLAMA3])),
    "youtu": (False, [r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+",
                      cased(CONTRACTIONS + "?") + signs(r"\p{N}")]),
    **dict.fromkeys(["stablelm2", "hunyuan", "solar-open", "grok-2"], (False, [QWEN2])),
}
IGNORE_MERGES = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano",
                 "tekken", "granite-embed-multi-97m", "youtu"}


class Vocabulary:
    """Tokens and merges of a model, as a GGUF file without tensors and as a Hugging Face tokenizer."""

    def __init__(self, path: Path):
        meta = read_metadata(path)
        self.tokens, self.types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
        self.merges = meta["tokenizer.ggml.merges"]

    def write(self, path: Path, pre: str):
        def text(value: str) -> bytes:
            raw = value.encode()
            return struct.pack("<Q", len(raw)) + raw

        def strings(values: list[str]) -> bytes:
            return struct.pack("<IQ", STRING, len(values)) + b"".join(map(text, values))

        values = [("general.architecture", STRING, text("llama")), ("tokenizer.ggml.model", STRING, text("gpt2")),
                  ("tokenizer.ggml.pre", STRING, text(pre)), ("tokenizer.ggml.tokens", ARRAY, strings(self.tokens)),
                  ("tokenizer.ggml.merges", ARRAY, strings(self.merges)),
                  ("tokenizer.ggml.token_type", ARRAY,
                   struct.pack(f"<IQ{len(self.types)}i", I32, len(self.types), *self.types)),
                  ("tokenizer.ggml.add_bos_token", 7, b"\0")]
        data = struct.pack("<4sIQQ", b"GGUF", 3, 0, len(values))
        for key, kind, value in values:
            data += text(key) + struct.pack("<I", kind) + value
        path.write_bytes(data + bytes(-len(data) % 32))

    def encode_original(self, name: str) -> list[list[int]]:
        normalizes, expressions = ORIGINALS[name]
        merges = [tuple(merge.split(" ", 1)) for merge in self.merges]
        reference = Tokenizer(models.BPE({t: i for i, t in enumerate(self.tokens)}, merges,
                                         ignore_merges=name in IGNORE_MERGES))
        if normalizes:
            reference.normalizer = normalizers.NFC()
        reference.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(e), "isolated") for e in expressions]
            + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        reference.decoder = decoders.ByteLevel()
        return [e.ids for e in reference.encode_batch(STRINGS, add_special_tokens=False)]


class Parameters(ctypes.Structure):
    """llama_model_params, of which only vocab_only is set: the first of the bools."""
    _fields_ = [("bytes", ctypes.c_ubyte * 256)]
    VOCAB_ONLY = 72


def open_llama() -> ctypes.CDLL:
    library = ctypes.CDLL(str(Path(xllamacpp.__file__).parent / "xllamacpp.abi3.so"))
    library.llama_model_default_params.restype = Parameters
    library.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Parameters]
    for name in ("llama_model_load_from_file", "llama_model_get_vocab"):
        getattr(library, name).restype = ctypes.c_void_p
    library.llama_model_get_vocab.argtypes = library.llama_model_free.argtypes = [ctypes.c_void_p]
    library.llama_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(ctypes.c_int32),
                                       ctypes.c_int32, ctypes.c_bool, ctypes.c_bool]
    return library


def encode_llama(library: ctypes.CDLL, path: Path) -> list[list[int]] | None:
    parameters = library.llama_model_default_params()
    parameters.bytes[Parameters.VOCAB_ONLY] = 1
    model = library.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        return None
    vocabulary, found = library.llama_model_get_vocab(model), []
    room = (ctypes.c_int32 * 4096)()
    for string in STRINGS:
        raw = string.encode()
        n = library.llama_tokenize(vocabulary, raw, len(raw), room, len(room), False, False)
        found.append(list(room[:n]))
    library.llama_model_free(model)
    return found


def encode_welford(program: str, path: Path) -> list[list[int]]:
    done = subprocess.run([program, "tokenize", path, "--ids", "--null"], capture_output=True, check=True,
                          input=b"".join(s.encode() + b"\0" for s in STRINGS))
    return [[int(i) for i in line.split()] for line in done.stdout.decode().split("\n")[:-1]]


def known_names() -> list[str]:
    """All names of the table."""
    source = (ROOT / "src/text/tokenizer/pretokenize_table.c").read_text()
    rows = source[source.index("RECIPES[] = {"):]
    entries = re.findall(r'^    \{((?:"[^"]*"\s*)+),\s+(?:true|false), +(?:true|false), +(?:true|false), +(true|false)', rows, re.M)
    return [name for names, characters in entries if characters == "false"
            for name in "".join(re.findall(r'"([^"]*)"', names)).split()]


def digest(ids: list[list[int]]) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


def main():
    program, model = sys.argv[1], Vocabulary(Path(sys.argv[2]))
    library, golden, failed = open_llama(), {}, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        for name in known_names():
            model.write(path, name)
            found, reference, kind = encode_welford(program, path), encode_llama(library, path), "llama.cpp"
            if name in ORIGINALS:
                reference, kind = model.encode_original(name), "tokenizers"
            wrong = [(s, a, b) for s, a, b in zip(STRINGS, found, reference or []) if a != b]
            print(f"{name:26} {kind:10} {len(wrong)} of {len(STRINGS)} differ", *wrong[:1] if reference else ["NOT KNOWN"])
            failed += bool(wrong) or reference is None
            if reference is not None:
                golden[name] = {"reference": kind, "digest": digest(reference)}
    if len(sys.argv) > 3:
        Path(sys.argv[3]).write_text(json.dumps(golden, indent=0) + "\n")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
