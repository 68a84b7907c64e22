"""Writes GGUF files, and makes tiny random models of llama architecture for tests.

    model = tiny_llama(types={"attn_q": Q4_0, "token_embd": Q8_0}, seed=3)
    path.write_bytes(model.encode())
    model.weights["blk.0.attn_q.weight"]   # float32 [rows, columns], as the stored blocks mean it

Arrays have their shape in numpy's order, [rows, columns]; the file stores dimensions in reverse.
Format page: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""
import struct
from dataclasses import dataclass, field

import numpy as np

# Value types.
U8, I8, U16, I16, U32, I32, F32_VALUE, BOOL, STRING, ARRAY, U64, I64, F64_VALUE = range(13)
_NUMBERS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32_VALUE: "f", BOOL: "B",
            U64: "Q", I64: "q", F64_VALUE: "d"}

# Tensor types that this module can quantise.
F32, F16, Q4_0, Q4_1, Q8_0, BF16 = 0, 1, 2, 3, 8, 30


# ---- quantisers: float32 [rows, columns] to bytes, columns a multiple of the block (32, or 1 for floats)

def _blocks(x):
    return np.ascontiguousarray(x, np.float32).reshape(-1, 32)


def _inverse(d):
    return np.divide(1, d, out=np.zeros_like(d), where=d != 0)


def _join(*columns):
    """One block a row: the columns' bytes side by side."""
    return np.concatenate([c.view(np.uint8).reshape(len(c), -1) for c in columns], axis=1).tobytes()


def _nibbles(q):
    """Values 0..15 [blocks, 32] to 16 bytes a block: value i in the low half of byte i, 16 + i in its high half."""
    q = q.astype(np.uint8)
    return q[:, :16] | q[:, 16:] << 4


def _quantize_q8_0(x):
    """Block: f16 d, 32 x i8; x = d q with d = max|x| / 127, q rounded half away from zero."""
    x = _blocks(x)
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = x * _inverse(d)
    q = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)
    return _join(d.astype(np.float16), q)


def _quantize_q4_0(x):
    """Block: f16 d, 32 x 4 bits; x = d (q - 8), where the value of largest magnitude becomes q = 0."""
    x = _blocks(x)
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1, keepdims=True), axis=1)
    d = largest / np.float32(-8)
    q = np.minimum(15, np.trunc(x * _inverse(d) + np.float32(8.5)))
    return _join(d.astype(np.float16), _nibbles(q))


def _quantize_q4_1(x):
    """Block: f16 d, f16 m, 32 x 4 bits; x = d q + m with m the least value and d = range / 15."""
    x = _blocks(x)
    least = x.min(axis=1, keepdims=True)
    d = (x.max(axis=1, keepdims=True) - least) / np.float32(15)
    q = np.minimum(15, np.trunc((x - least) * _inverse(d) + np.float32(0.5)))
    return _join(d.astype(np.float16), least.astype(np.float16), _nibbles(q))


def _quantize_bf16(x):
    """The upper half of a float32, rounded to nearest even; finite values only."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()


_QUANTIZERS = {
    F32: lambda x: np.ascontiguousarray(x, np.float32).tobytes(),
    F16: lambda x: x.astype(np.float16).tobytes(),
    BF16: _quantize_bf16, Q8_0: _quantize_q8_0, Q4_0: _quantize_q4_0, Q4_1: _quantize_q4_1,
}


def quantize(x, type):
    return _QUANTIZERS[type](np.asarray(x, np.float32))


# ---- dequantisers: bytes to float32 [rows, columns]

def _split(data, *widths):
    """[blocks, bytes] cut into columns of the given widths."""
    blocks = np.frombuffer(data, np.uint8).reshape(-1, sum(widths))
    return np.split(blocks, np.cumsum(widths)[:-1], axis=1)


def _half(column):
    return np.ascontiguousarray(column).view(np.float16).astype(np.float32)


def _from_nibbles(column):
    return np.concatenate([column & 15, column >> 4], axis=1).astype(np.float32)


def _dequantize_q8_0(data):
    d, q = _split(data, 2, 32)
    return _half(d) * np.ascontiguousarray(q).view(np.int8)


def _dequantize_q4_0(data):
    d, q = _split(data, 2, 16)
    return _half(d) * (_from_nibbles(q) - 8)


def _dequantize_q4_1(data):
    d, m, q = _split(data, 2, 2, 16)
    return _half(d) * _from_nibbles(q) + _half(m)


_DEQUANTIZERS = {
    F32: lambda data: np.frombuffer(data, np.float32),
    F16: lambda data: np.frombuffer(data, np.float16).astype(np.float32),
    BF16: lambda data: (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32),
    Q8_0: _dequantize_q8_0, Q4_0: _dequantize_q4_0, Q4_1: _dequantize_q4_1,
}


def dequantize(data, type, shape):
    return _DEQUANTIZERS[type](data).reshape(shape)


# ---- the file

@dataclass
class Value:
    type: int
    data: object  # a number, str, bytes or, for ARRAY, a list
    item_type: int = STRING


@dataclass
class Tensor:
    name: str | bytes
    type: int
    shape: tuple[int, ...]
    data: bytes


@dataclass
class Field:
    """A piece of an encoded header, for those who want to damage it."""
    kind: str   # value_count, key_len, array_count, dim, tensor_offset, ...
    owner: str  # the key or tensor that it belongs to, "" for the preamble
    offset: int
    bytes: int


@dataclass
class Gguf:
    values: list[tuple[str | bytes, Value]] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)  # what the tensors mean, float32
    version: int = 3
    alignment: int = 32
    fields: list[Field] = field(default_factory=list)  # of the last encode()
    data_start: int = 0                                # file offset of the tensors' data, of the last encode()

    def set(self, key, type, data, item_type=STRING):
        """Adds a value, or replaces it in its place."""
        value = Value(type, data, item_type)
        for i, (name, _) in enumerate(self.values):
            if name == key:
                self.values[i] = (key, value)
                return
        self.values.append((key, value))

    def get(self, key):
        return dict(self.values)[key].data

    def remove(self, key):
        self.values = [(name, value) for name, value in self.values if name != key]

    def add_tensor(self, name, array, type=F32):
        """Quantises `array`; `weights` gets what the stored bytes mean."""
        array = np.asarray(array, np.float32)
        data = quantize(array, type)
        self.tensors.append(Tensor(name, type, array.shape, data))
        self.weights[name] = dequantize(data, type, array.shape)

    def tensor(self, name):
        return next(t for t in self.tensors if t.name == name)

    def encode(self) -> bytes:
        return _Encoder(self).encode()


class _Encoder:
    def __init__(self, model: Gguf):
        self.model = model
        self.out = bytearray()
        self.owner = ""
        model.fields = []

    def put(self, kind, data):
        self.model.fields.append(Field(kind, self.owner, len(self.out), len(data)))
        self.out += data

    def number(self, kind, type, value):
        self.put(kind, struct.pack("<" + _NUMBERS[type], value))

    def string(self, kind, text):
        data = text.encode() if isinstance(text, str) else bytes(text)
        self.number(kind + "_len", U64, len(data))
        self.put(kind, data)

    def value(self, value):
        self.number("type", U32, value.type)
        if value.type == STRING:
            self.string("string", value.data)
        elif value.type == ARRAY:
            self.number("item_type", U32, value.item_type)
            self.number("array_count", U64, len(value.data))
            if value.item_type == STRING:
                for item in value.data:
                    self.string("item", item)
            else:
                self.put("items", struct.pack(f"<{len(value.data)}{_NUMBERS[value.item_type]}", *value.data))
        else:
            self.number("number", value.type, value.data)

    def tensor(self, tensor, offset):
        self.string("name", tensor.name)
        self.number("n_dims", U32, len(tensor.shape))
        for dim in reversed(tensor.shape):
            self.number("dim", U64, dim)
        self.number("tensor_type", U32, tensor.type)
        self.number("tensor_offset", U64, offset)

    def pad(self):
        self.out += bytes(-len(self.out) % self.model.alignment)

    def encode(self):
        model = self.model
        self.put("magic", b"GGUF")
        self.number("version", U32, model.version)
        self.number("tensor_count", U64, len(model.tensors))
        self.number("value_count", U64, len(model.values))
        for key, value in model.values:
            self.owner = key
            self.string("key", key)
            self.value(value)
        offset = 0
        for tensor in model.tensors:
            self.owner = tensor.name
            self.tensor(tensor, offset)
            offset += len(tensor.data) + -len(tensor.data) % model.alignment
        self.pad()
        model.data_start = len(self.out)
        for tensor in model.tensors:
            self.out += tensor.data
            self.pad()
        return bytes(self.out)


# ---- tiny models

_SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_MERGES = ["h e", "l l", "he ll", "hell o", "Ġ t", "Ġ a", "i n", "r e", "o n", "Ġt he", "e r", "Ġ s", "a t", "o u",
           "Ġ w", "i s", "n d", "Ġw or", "o r", "Ġ c", "in g", "Ġ o", "e s", "e n", "Ġa nd", "l d", "Ġ f", "Ġ p",
           "a n", "i t", "Ġ b", "a r", "Ġ d", "o m", "Ġc at", "Ġo f", "Ġ in", "Ġ m", "l e", "er s", "i c"]
CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'"
          " + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def byte_letters():
    """GPT-2's letter for each byte: printable Latin-1 stands for itself, the rest for U+0100 onwards."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    letters, spare = [], 0x100
    for byte in range(256):
        letters.append(chr(byte) if byte in printable else chr(spare))
        spare += byte not in printable
    return letters


def tiny_vocabulary():
    """(tokens, merges, token types): 3 control tokens, 256 bytes, and 41 merges: 300 in all."""
    tokens = _SPECIALS + byte_letters() + [merge.replace(" ", "") for merge in _MERGES]
    return tokens, list(_MERGES), [3] * len(_SPECIALS) + [1] * (len(tokens) - len(_SPECIALS))


def _type_of(name, types, default):
    """`types` maps parts of names to tensor types; the longest part found in the name decides."""
    parts = [part for part in types if part in name]
    return types[max(parts, key=len)] if parts else default


def tiny_llama(seed=0, layers=2, n_embd=64, heads=4, kv_heads=2, ffn=128, context=256, eps=1e-5, freq_base=10000.0,
               types=None, default_type=F32, tied=False, biases=False, chat_template=None, architecture="llama",
               pre="smollm"):
    """A random model with a byte-level vocabulary of 300 tokens.

    types: {part of a tensor's name: type} for matrices, as in {"attn_q": Q4_0, "output.weight": F16}; else
    `default_type`. Norms and biases are F32. tied: no output.weight. Same arguments, same file.
    """
    rng = np.random.default_rng(seed)
    tokens, merges, token_types = tiny_vocabulary()
    head_dim = n_embd // heads
    model = Gguf()
    model.set("general.architecture", STRING, architecture)
    model.set("general.name", STRING, "tiny")
    for key, number in (("context_length", context), ("embedding_length", n_embd), ("block_count", layers),
                        ("feed_forward_length", ffn), ("attention.head_count", heads),
                        ("attention.head_count_kv", kv_heads), ("rope.dimension_count", head_dim),
                        ("vocab_size", len(tokens))):
        model.set(f"{architecture}.{key}", U32, number)
    model.set(f"{architecture}.attention.layer_norm_rms_epsilon", F32_VALUE, eps)
    model.set(f"{architecture}.rope.freq_base", F32_VALUE, freq_base)
    model.set("tokenizer.ggml.model", STRING, "gpt2")
    model.set("tokenizer.ggml.pre", STRING, pre)
    model.set("tokenizer.ggml.tokens", ARRAY, tokens)
    model.set("tokenizer.ggml.token_type", ARRAY, token_types, I32)
    model.set("tokenizer.ggml.merges", ARRAY, merges)
    model.set("tokenizer.ggml.bos_token_id", U32, 1)
    model.set("tokenizer.ggml.eos_token_id", U32, 2)
    model.set("tokenizer.ggml.add_bos_token", BOOL, False)
    if chat_template:
        model.set("tokenizer.chat_template", STRING, chat_template)

    def matrix(name, rows, columns):
        x = rng.standard_normal((rows, columns)).astype(np.float32) / np.float32(np.sqrt(columns))
        model.add_tensor(name, x, _type_of(name, types or {}, default_type))

    def vector(name, n, mean):
        model.add_tensor(name, mean + 0.1 * rng.standard_normal(n), F32)

    matrix("token_embd.weight", len(tokens), n_embd)
    for i in range(layers):
        vector(f"blk.{i}.attn_norm.weight", n_embd, 1)
        for name, rows, columns in (("attn_q", n_embd, n_embd), ("attn_k", kv_heads * head_dim, n_embd),
                                    ("attn_v", kv_heads * head_dim, n_embd), ("attn_output", n_embd, n_embd)):
            matrix(f"blk.{i}.{name}.weight", rows, columns)
            if biases:
                vector(f"blk.{i}.{name}.bias", rows, 0)
        vector(f"blk.{i}.ffn_norm.weight", n_embd, 1)
        for name, rows, columns in (("ffn_gate", ffn, n_embd), ("ffn_up", ffn, n_embd), ("ffn_down", n_embd, ffn)):
            matrix(f"blk.{i}.{name}.weight", rows, columns)
    vector("output_norm.weight", n_embd, 1)
    if not tied:
        matrix("output.weight", len(tokens), n_embd)
    return model
