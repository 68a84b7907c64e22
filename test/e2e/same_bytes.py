"""Tiny models of every architecture and tensor type, and what must not change a bit of their logits.

    for name, make in MODELS.items(): path.write_bytes(make().encode())
    settings(...)   # which to run; each has .args for `welford logits`, and .path: what a result may depend on

test_same_bytes.py runs a part of it, tools/same_bytes.py all.
"""
import itertools
import random
from dataclasses import dataclass

import numpy as np

import tiny_checkpoint
from tiny_gguf import BF16, F16, F32, Q4_0, Q4_1, Q8_0, U32, Gguf, Tensor, tiny_llama

N_TOKENS = 700  # more than two of the spans that attention is summed by
CHUNKS = ("1", "3", "5", "17", "100", "512", "1,17,3,100,8,2")  # the last: in turn
THREADS = (1, 2, 3)
CPUS = ("native", "haswell")
N_CTX = 1024

# Types without a quantiser here: name, number in a file, values and bytes of a block, offsets of its f16 scales.
_BLOCKS = (("q5_0", 6, 32, 22, (0,)), ("q5_1", 7, 32, 24, (0, 2)), ("q4_k", 12, 256, 144, (0, 2)),
           ("q5_k", 13, 256, 176, (0, 2)), ("q6_k", 14, 256, 210, (208,)))


@dataclass(frozen=True)
class Setting:
    chunks: str
    threads: int
    cpu: str

    @property
    def args(self) -> list[str]:
        return ["-b", self.chunks, "-t", str(self.threads)]


def _of_checkpoint(name: str) -> Gguf:
    model = tiny_checkpoint.gguf_of(tiny_checkpoint.folder(name))
    model.set(f"{model.get('general.architecture')}.context_length", U32, N_CTX)
    return model


def _of_type(type: int) -> Gguf:
    """Rows of 3 chunks of columns and 5 more, of one and a few, and of many: what float kernels tell apart."""
    odd = type in (F32, F16, BF16)
    return tiny_llama(layers=1, n_embd=264 if odd else 256, ffn=773 if odd else 768, heads=4, context=N_CTX,
                      default_type=type)


def _of_blocks(type: int, values: int, size: int, scales: tuple[int, ...]) -> Gguf:
    """Random bits with small scales."""
    model, rng = _of_type(F32 if values == 1 else Q8_0), np.random.default_rng(type)
    for i, t in enumerate(model.tensors):
        if t.type == F32:
            continue
        blocks = rng.integers(0, 256, (t.shape[0] * t.shape[1] // values, size), np.uint8)
        for at in scales:
            scale = (rng.standard_normal(len(blocks)) * (2e-5 if values == 256 else 2e-3)).astype(np.float16)
            blocks[:, at:at + 2] = scale.view(np.uint8).reshape(-1, 2)
        model.tensors[i] = Tensor(t.name, type, t.shape, blocks.tobytes())
    return model


MODELS = {name: lambda name=name: _of_checkpoint(name) for name in tiny_checkpoint.NAMES}
MODELS |= {name: lambda type=type: _of_type(type) for name, type in
           (("f32", F32), ("f16", F16), ("bf16", BF16), ("q8_0", Q8_0), ("q4_0", Q4_0), ("q4_1", Q4_1))}
MODELS |= {name: lambda rest=rest: _of_blocks(*rest) for name, *rest in _BLOCKS}


def token_ids(n: int) -> str:
    """Ids of the tiny vocabulary, no two runs alike."""
    return " ".join(str(i) for i in np.random.default_rng(1).integers(3, 300, n))


def all_settings() -> list[Setting]:
    return [Setting(*s) for s in itertools.product(CHUNKS, THREADS, CPUS)]


def pairwise_settings(seed: str) -> list[Setting]:
    """Few settings in which every two values of different kinds meet; which few depends on the seed."""
    everything, r = all_settings(), random.Random(seed)
    r.shuffle(everything)

    def pairs(s):
        values = (s.chunks, s.threads, s.cpu)
        return {(i, values[i], j, values[j]) for i, j in itertools.combinations(range(3), 2)}

    chosen, missing = [], set().union(*map(pairs, everything))
    while missing:
        best = max(everything, key=lambda s: len(pairs(s) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen
