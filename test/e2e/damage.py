"""Damaged GGUF files, made from a tiny valid model: `for case in damaged_files(500, seed=1): ...`

Each kind of damage is one function in DAMAGES; same count and seed, same files. A case says what must happen:

    REFUSE  every verb fails: the file is not valid GGUF
    RUN     valid GGUF, but not a model that can run: `run` fails, other verbs may work
    ANY     perhaps harmless: a verb may work or fail, but cleanly
"""
import random
import struct
from dataclasses import dataclass

from tiny_gguf import (ARRAY, BF16, BOOL, F16, F32, F32_VALUE, I32, Q4_0, Q4_1, Q8_0, STRING, U8, U32, U64, CHATML,
                       Gguf, Tensor, tiny_llama)

REFUSE, RUN, ANY = "refuse", "run", "any"
TYPES = {"token_embd": Q8_0, "attn_q": Q4_0, "attn_k": Q4_1, "attn_v": F16, "ffn_gate": Q4_0, "ffn_up": Q4_1,
         "ffn_down": BF16, "output.weight": F16}
HUGE = [2**31, 2**32, 2**48, 2**60, 2**61 + 1, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1]


@dataclass
class Case:
    name: str
    data: bytes
    verdict: str


class Subject:
    """A fresh valid model to damage, with its encoded form."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.model: Gguf = valid_model(rng.randrange(4))
        self.data = bytearray(self.model.encode())

    def fields(self, *kinds):
        return [f for f in self.model.fields if f.kind in kinds]

    def pick(self, *kinds):
        return self.rng.choice(self.fields(*kinds))

    def write(self, field, number):
        """Overwrites an integer field; the file's length stays."""
        end = field.offset + field.bytes
        self.data[field.offset:end] = (number % 2**(8 * field.bytes)).to_bytes(field.bytes, "little")
        return bytes(self.data)

    def number(self, field):
        return int.from_bytes(self.data[field.offset:field.offset + field.bytes], "little")

    @property
    def header_end(self):
        """End of the tensor table."""
        last = self.model.fields[-1]
        return last.offset + last.bytes


def valid_model(seed=0):
    return tiny_llama(seed=seed, types=TYPES, chat_template=CHATML)


# ---- damages: each takes a Subject and returns (bytes, verdict)

def truncate_header(s):
    return s.data[:s.rng.randrange(s.header_end)], REFUSE


def truncate_start(s):
    return s.data[:s.rng.randrange(32)], REFUSE


def truncate_data(s):
    end = s.model.data_start + sum(len(t.data) for t in s.model.tensors) # without padding: within the last tensor
    return s.data[:s.rng.randrange(s.header_end, end)], RUN


def flip_header_bits(s):
    for _ in range(s.rng.choice([1, 1, 1, 2, 8])):
        s.data[s.rng.randrange(s.header_end)] ^= 1 << s.rng.randrange(8)
    return s.data, ANY


def flip_table_bits(s):
    start = s.fields("name_len")[0].offset
    s.data[s.rng.randrange(start, s.header_end)] ^= 1 << s.rng.randrange(8)
    return s.data, ANY


def flip_weight_bits(s):
    for _ in range(s.rng.choice([1, 8, 64])):
        s.data[s.rng.randrange(s.model.data_start, len(s.data))] ^= 1 << s.rng.randrange(8)
    return s.data, ANY


def overwrite_burst(s):
    start, n = s.rng.randrange(s.header_end), s.rng.choice([4, 8, 64, 512])
    s.data[start:start + n] = s.rng.choice([s.rng.randbytes(n), b"\0" * n, b"\xff" * n])
    return s.data, ANY


def insert_bytes(s):
    at = s.rng.randrange(s.header_end)
    s.data[at:at] = s.rng.randbytes(s.rng.choice([1, 4, 8]))
    return s.data, ANY


def delete_bytes(s):
    at = s.rng.randrange(s.header_end)
    del s.data[at:at + s.rng.choice([1, 4, 8])]
    return s.data, ANY


def garbage(s):
    n = s.rng.choice([1, 16, 24, 100, 10000])
    return s.rng.choice([s.rng.randbytes(n), b"\0" * n, b"\xff" * n, b"GGUF" * n]), REFUSE


def garbage_after_preamble(s):
    return s.data[:24] + s.rng.randbytes(s.rng.choice([100, 5000])), ANY


def bad_magic(s):
    return s.write(s.pick("magic"), s.rng.choice([0, 0x46554746, 0x6C6D6767, 0x47475546])), REFUSE


def bad_version(s):
    return s.write(s.pick("version"), s.rng.choice([0, 1, 4, 0x02000000, 0x03000000, 2**32 - 1])), REFUSE


def huge_count(s):
    return s.write(s.pick("tensor_count", "value_count"), s.rng.choice(HUGE)), REFUSE


def near_count(s):
    field = s.pick("tensor_count", "value_count")
    return s.write(field, s.number(field) + s.rng.choice([-2, -1, 1, 2, 100])), ANY


def huge_string(s):
    return s.write(s.pick("key_len", "string_len", "item_len", "name_len"), s.rng.choice(HUGE)), REFUSE


def near_string(s):
    field = s.pick("key_len", "string_len", "item_len", "name_len")
    return s.write(field, s.number(field) + s.rng.choice([-1, 1, 2, 8])), ANY


def huge_array(s):
    return s.write(s.pick("array_count"), s.rng.choice(HUGE)), REFUSE


def near_array(s):
    field = s.pick("array_count")
    return s.write(field, s.number(field) + s.rng.choice([-100, -1, 1, 2, 50])), ANY


def bad_value_type(s):
    return s.write(s.pick("type", "item_type"), s.rng.choice([13, 14, 255, 2**31, 2**32 - 1])), REFUSE


def nested_array(s):
    return s.write(s.pick("item_type"), ARRAY), REFUSE


def other_value_type(s):
    field = s.pick("type", "item_type")
    return s.write(field, (s.number(field) + s.rng.randrange(1, 13)) % 13), ANY


def bad_bool(s):
    field = next(f for f in s.fields("number") if f.owner == "tokenizer.ggml.add_bos_token")
    return s.write(field, s.rng.randrange(2, 256)), REFUSE


def duplicate_key(s):
    key, value = s.rng.choice(s.model.values)
    s.model.values.insert(s.rng.randrange(len(s.model.values)), (key, value))
    return s.model.encode(), REFUSE


def duplicate_hostile_key(s):
    """The message about it must stay one line, without colours."""
    key = s.rng.choice(["a\nb", "\x1b[31mred\x1b[0m\r\n", "%s%n%x", "x" * 60000])
    s.model.values += [(key, s.model.values[0][1])] * 2
    return s.model.encode(), REFUSE


def duplicate_tensor(s):
    s.model.tensors.append(s.rng.choice(s.model.tensors))
    return s.model.encode(), REFUSE


def zero_dim(s):
    return s.write(s.pick("dim"), 0), REFUSE


def bad_n_dims(s):
    return s.write(s.pick("n_dims"), s.rng.choice([0, 5, 255, 2**31, 2**32 - 1])), REFUSE


def huge_dim(s):
    return s.write(s.pick("dim"), s.rng.choice(HUGE[2:])), REFUSE


def dims_overflow(s):
    name = s.rng.choice([t.name for t in s.model.tensors if len(t.shape) == 2])
    a, b = s.rng.choice([(2**32, 2**32), (2**40, 2**24), (2**47, 2**17), (2**40, 2**22 + 32)])
    first, second = (f for f in s.fields("dim") if f.owner == name)
    s.write(first, a)
    return s.write(second, b), REFUSE


def other_dims(s):
    """Sizes that fit the file, but not the model."""
    field = s.rng.choice([f for f in s.fields("dim") if f.owner.startswith("blk.") and s.number(f) > 32])
    return s.write(field, 32), RUN


def broken_block(s):
    name = s.rng.choice([t.name for t in s.model.tensors if t.type in (Q4_0, Q4_1, Q8_0)])
    field = next(f for f in s.fields("dim") if f.owner == name)
    return s.write(field, s.rng.choice([1, 31, 33, 63])), REFUSE


def unknown_tensor_type(s):
    return s.write(s.pick("tensor_type"), s.rng.choice([4, 5, 31, 36, 39, 64, 1000, 2**31, 2**32 - 1])), REFUSE


def useless_tensor_type(s):
    """I8 in place of floats: fits into the file."""
    name = s.rng.choice([t.name for t in s.model.tensors if t.type in (F32, F16, BF16)])
    field = next(f for f in s.fields("tensor_type") if f.owner == name)
    return s.write(field, 24), RUN


def misaligned_offset(s):
    field = s.pick("tensor_offset")
    return s.write(field, s.number(field) + s.rng.choice([1, 2, 4, 8, 16, 31])), REFUSE


def far_offset(s):
    return s.write(s.pick("tensor_offset"), s.rng.choice([2**31, 2**40, 2**62, 2**63])), RUN


def offset_overflow(s):
    return s.write(s.pick("tensor_offset"), 2**64 - 32 * s.rng.randrange(1, 8)), REFUSE


def overlap_whole(s):
    a, b = s.rng.sample(s.fields("tensor_offset"), 2)
    return s.write(a, s.number(b)), REFUSE


def overlap_part(s):
    table = s.fields("tensor_offset")
    i = s.rng.randrange(len(table) - 1)
    return s.write(table[i], s.number(table[i + 1]) - 32), REFUSE


def bad_alignment(s):
    type, number = s.rng.choice([(U32, 0), (U32, 1), (U32, 3), (U32, 33), (U32, 48), (U32, 2**31), (U32, 2**32 - 1),
                                 (U64, 2**63), (I32, -32), (F32_VALUE, 32.0), (STRING, "32"), (BOOL, True),
                                 (ARRAY, ["32"]), (U8, 7)])
    s.model.set("general.alignment", type, number)
    return s.model.encode(), REFUSE


def other_alignment(s):
    """A valid one, but not the one that the file was laid out for."""
    s.model.set("general.alignment", U32, s.rng.choice([64, 256, 4096, 65536]))
    return s.model.encode(), ANY


def empty_name(s):
    if s.rng.random() < 0.5:
        s.model.values.append(("", s.model.values[0][1]))
    else:
        s.model.tensors.append(Tensor("", F32, (8,), bytes(32)))
    return s.model.encode(), REFUSE


def zero_byte_in_name(s):
    if s.rng.random() < 0.5:
        s.model.values.append(("a\0b", s.model.values[0][1]))
    else:
        s.model.tensors[-1].name += "\0"
    return s.model.encode(), REFUSE


def long_name(s):
    if s.rng.random() < 0.5:
        s.model.values.append(("k" * 65536, s.model.values[0][1]))
    else:
        s.model.tensors[-1].name = "t" * s.rng.choice([257, 1000, 100000])
    return s.model.encode(), REFUSE


def odd_key(s):
    """Not UTF-8, or not printable: allowed."""
    key = s.rng.choice([b"\xff\xfe\xfd", b"\xc0\x80", b"\xed\xa0\x80", b"a\nb\x1b[2J", b"\xf4\x90\x80\x80", b" "])
    s.model.values.append((key, s.model.values[0][1]))
    return s.model.encode(), ANY


def odd_tensor_name(s):
    tensor = s.rng.choice(s.model.tensors)
    tensor.name = s.rng.choice([b"\xff\xfe", b"\xc3", b"a\nb\x1b[2J", b"\xf0\x9f\x98\x80"])
    is_head = tensor is s.model.tensors[-1] # without it the model may count as tied
    return s.model.encode(), ANY if is_head else RUN


def odd_text(s):
    """Values and tokens that are not UTF-8."""
    text = s.rng.choice([b"\xff\xfe\xfd", b"\xc3", b"", b"\0\0\0", b"\x1b]0;x\x07\n" * 50])
    key = s.rng.choice(["general.name", "tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.chat_template"])
    value = dict(s.model.values)[key]
    if value.type == STRING:
        value.data = text
    else:
        value.data = list(value.data)
        value.data[s.rng.randrange(len(value.data))] = text
    return s.model.encode(), ANY


def missing_key(s):
    s.model.remove(s.rng.choice(
        ["general.architecture", "llama.embedding_length", "llama.block_count", "llama.attention.head_count",
         "llama.feed_forward_length", "llama.attention.layer_norm_rms_epsilon", "tokenizer.ggml.model",
         "tokenizer.ggml.tokens"]))
    return s.model.encode(), RUN


def missing_tensor(s):
    del s.model.tensors[s.rng.randrange(len(s.model.tensors) - 1)] # the last is the head, which may be tied
    return s.model.encode(), RUN


def wrong_parameter(s):
    key, numbers = s.rng.choice([
        ("llama.block_count", [0, 3, 1000, 2**31, 2**32 - 1]),
        ("llama.embedding_length", [0, 1, 63, 128, 2**31, 2**32 - 1]),
        ("llama.feed_forward_length", [0, 64, 129, 2**32 - 1]),
        ("llama.attention.head_count", [0, 3, 5, 2**31, 2**32 - 1]),
        ("llama.attention.head_count_kv", [3, 4, 5, 2**31, 2**32 - 1]),
    ])
    s.model.set(key, U32, s.rng.choice(numbers))
    return s.model.encode(), RUN


def wrong_float(s):
    key = s.rng.choice(["llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base"])
    s.model.set(key, F32_VALUE, s.rng.choice([float("nan"), float("inf"), float("-inf"), -1.0]))
    return s.model.encode(), RUN


def odd_parameter(s):
    """Strange, but some of it can be run."""
    key, type, number = s.rng.choice([
        ("llama.context_length", U32, 0), ("llama.context_length", U32, 1), ("llama.context_length", U32, 2**32 - 1),
        ("llama.rope.dimension_count", U32, 0), ("llama.rope.dimension_count", U32, 17),
        ("llama.rope.dimension_count", U32, 2**31), ("llama.vocab_size", U32, 0), ("llama.vocab_size", U32, 2**32 - 1),
        ("llama.attention.head_count_kv", U32, 0), ("llama.attention.layer_norm_rms_epsilon", F32_VALUE, 0.0),
        ("llama.block_count", U32, 1), ("llama.expert_count", U32, 8), ("llama.attention.sliding_window", U32, 4),
        ("llama.rope.freq_base", F32_VALUE, 0.0), ("llama.rope.scaling.type", STRING, "yarn"),
        ("llama.rope.scaling.factor", F32_VALUE, float("nan")),
    ])
    s.model.set(key, type, number)
    return s.model.encode(), ANY


def wrong_kind(s):
    """A hyper-parameter of a type that it cannot have."""
    key = s.rng.choice(["llama.block_count", "llama.embedding_length", "llama.attention.head_count",
                        "general.architecture", "llama.attention.layer_norm_rms_epsilon"])
    type, data = s.rng.choice([(ARRAY, ["2"]), (BOOL, True)])
    s.model.set(key, type, data)
    return s.model.encode(), RUN


def wrong_architecture(s):
    s.model.set("general.architecture", STRING, s.rng.choice(["", "lama", "llama\0", "x" * 10000, b"\xff", "a\nb"]))
    return s.model.encode(), RUN


def tokens_of_wrong_kind(s):
    value = s.rng.choice([(ARRAY, [1] * 300, U32), (STRING, "abc"), (ARRAY, [], STRING)])
    s.model.set("tokenizer.ggml.tokens", *value)
    return s.model.encode(), RUN


def odd_tokenizer(s):
    m = s.model
    tokens, merges = m.get("tokenizer.ggml.tokens"), m.get("tokenizer.ggml.merges")
    key, *value = s.rng.choice([
        ("tokenizer.ggml.bos_token_id", U32, 300), ("tokenizer.ggml.eos_token_id", U32, 2**32 - 1),
        ("tokenizer.ggml.bos_token_id", I32, -1), ("tokenizer.ggml.add_bos_token", U32, 7),
        ("tokenizer.ggml.token_type", ARRAY, [1] * 10, I32), ("tokenizer.ggml.token_type", ARRAY, [99] * 300, I32),
        ("tokenizer.ggml.token_type", ARRAY, ["x"] * 300), ("tokenizer.ggml.token_type", ARRAY, [3] * 300, I32),
        ("tokenizer.ggml.merges", ARRAY, merges + ["nospace"]), ("tokenizer.ggml.merges", ARRAY, merges + ["", " "]),
        ("tokenizer.ggml.merges", ARRAY, ["zz qq"] + merges), ("tokenizer.ggml.merges", ARRAY, merges * 2),
        ("tokenizer.ggml.merges", ARRAY, [7] * 5, U32), ("tokenizer.ggml.tokens", ARRAY, tokens[:-40]),
        ("tokenizer.ggml.tokens", ARRAY, tokens + ["more"]), ("tokenizer.ggml.tokens", ARRAY, ["a"] * 300),
        ("tokenizer.ggml.tokens", ARRAY, [""] * 300),
        ("tokenizer.ggml.tokens", ARRAY, tokens[:3] + tokens[20:] + [""] * 17),
        ("tokenizer.ggml.pre", STRING, "nonsense"), ("tokenizer.ggml.model", STRING, "nonsense"),
        ("tokenizer.chat_template", STRING, "{% for %}{{"), ("tokenizer.chat_template", STRING, "{{" * 5000),
        ("tokenizer.chat_template", STRING, "{{ messages[99].content }}"), ("tokenizer.chat_template", U32, 5),
    ])
    m.set(key, *value)
    return m.encode(), ANY


DAMAGES = [
    truncate_header, truncate_start, truncate_data, flip_header_bits, flip_table_bits, flip_weight_bits, overwrite_burst,
    insert_bytes, delete_bytes, garbage, garbage_after_preamble, bad_magic, bad_version, huge_count, near_count,
    huge_string, near_string, huge_array, near_array, bad_value_type, nested_array, other_value_type, bad_bool,
    duplicate_key, duplicate_hostile_key, duplicate_tensor, zero_dim, bad_n_dims, huge_dim, dims_overflow, other_dims,
    broken_block, unknown_tensor_type, useless_tensor_type, misaligned_offset, far_offset, offset_overflow,
    overlap_whole, overlap_part, bad_alignment, other_alignment, empty_name, zero_byte_in_name, long_name, odd_key,
    odd_tensor_name, odd_text, missing_key, missing_tensor, wrong_parameter, wrong_float, odd_parameter, wrong_kind,
    wrong_architecture, tokens_of_wrong_kind, odd_tokenizer,
]


def damaged_files(count=500, seed=1):
    """Yields `count` cases, going round through DAMAGES."""
    for i in range(count):
        damage = DAMAGES[i % len(DAMAGES)]
        rng = random.Random(f"{seed}:{i}:{damage.__name__}")
        data, verdict = damage(Subject(rng))
        yield Case(f"{i:03d}-{damage.__name__}", bytes(data), verdict)
