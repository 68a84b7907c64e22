"""Every architecture against Hugging Face Transformers, on tiny random models: all the logits after 1, 7, 64 and 100 tokens.

The same model is read as a GGUF file and as a Hugging Face folder, prompts are evaluated at once, in chunks and token by
token, with and without each fusion.
"""
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import tiny_checkpoint
from tiny_gguf import ARRAY, BOOL, F32, F32_VALUE, STRING, U32, tiny_llama, tiny_vocabulary
from tiny_hf import byte_level_json, write_json

TOLERANCE = 1e-4
NAMES = tiny_checkpoint.NAMES
# In the order in which they run; a list of all of them turns everything off.
FUSIONS = ("qkv", "linear-swiglu", "linear-residual", "rope-kv", "attention", "residual-norm", "quantize-output")


class Model:
    def __init__(self, welford, path, folder, scratch):
        self.welford, self.path, self.scratch = welford, path, scratch
        reference = np.load(folder / "reference.npz")
        self.tokens, self.lengths, self.expected = (reference[k] for k in ("tokens", "lengths", "logits"))

    def logits(self, n, *args):
        ids = " ".join(map(str, self.tokens[:n]))
        self.welford.run("logits", self.path, "--ids", "-p", ids, "--kv", "f32", "--top", 0, "-o", self.scratch, *args).ok()
        return np.load(self.scratch)

    def check(self, *args, lengths=None):
        for n, expected in zip(self.lengths, self.expected):
            if lengths is None or n in lengths:
                difference = np.abs(self.logits(n, *args) - expected).max()
                assert difference < TOLERANCE, f"{n} tokens, {args}: {difference}"


@pytest.fixture
def open_model(welford, tmp_path):
    def open(name):
        folder = tiny_checkpoint.folder(name)
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(tiny_checkpoint.gguf_of(folder).encode())
        return Model(welford, path, folder, tmp_path / "logits.npy")

    return open


@pytest.fixture
def open_folder(welford, tmp_path):
    def open(name):
        folder = tiny_checkpoint.folder(name)
        path = shutil.copytree(folder, tmp_path / name)
        write_json(path / "tokenizer.json", byte_level_json(*tiny_vocabulary()))
        return Model(welford, path, folder, tmp_path / "logits.npy")

    return open


def test_every_architecture_has_a_model():
    assert {"llama", "mistral", "qwen2", "qwen3", "gemma3"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_prefill(open_model, name):
    open_model(name).check()


@pytest.mark.parametrize("name", NAMES)
def test_hugging_face_folder(open_folder, name):
    open_folder(name).check()


@pytest.mark.parametrize("name", NAMES)
def test_chunks_and_single_tokens(open_model, name):
    model = open_model(name)
    for batch in (1, 13, 64):
        model.check("-b", batch, lengths=(64, 100))


@pytest.mark.parametrize("name", ["llama_bias", "qwen2", "qwen3", "gemma3", "heads_36", "heads_100"])
def test_without_fusions(open_model, name):
    model = open_model(name)
    for off in ("qkv", "rope-kv", "linear-swiglu", "attention", "attention,rope-kv", ",".join(FUSIONS)):
        model.check("--no-fuse", off, lengths=(7, 100))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("heads_")])
def test_heads_of_other_cpus_and_caches(open_model, name):
    """Vectors of 8; and keys and values in f16, which round a little."""
    model = open_model(name)
    model.welford.env["WELFORD_CPU"] = "haswell"
    model.check(lengths=(7, 100))
    model.check("-b", 1, lengths=(7,))
    assert np.abs(model.logits(100, "--kv", "f16") - model.expected[-1]).max() < 0.02
    assert np.abs(model.logits(100, "--kv", "q8") - model.expected[-1]).max() < 0.1


@pytest.mark.parametrize("name", ["qwen3", "gemma3"])
def test_norms_of_heads_are_fused(open_model, name):
    model = open_model(name)
    layers = model.expected is not None and {"qwen3": 2, "gemma3": 7}[name]
    args = ("logits", model.path, "--ids", "-p", "1", "--kv", "f32", "--no-cache", "--print-plan")
    plan = model.welford.run(*args).ok().stderr
    assert len(re.findall(r"rope_store_\w+_norm_", plan)) >= layers and "head_norm" not in plan
    plan = model.welford.run(*args, "--no-fuse", "rope-kv").ok().stderr
    assert len(re.findall(r"head_norm_\w+", plan)) >= 2 * layers


def test_windows_and_scaling_matter(open_model):
    """A model without them must not pass: it would have been computed by the wrong formula."""
    for name, key in (("mistral", "llama.attention.sliding_window"), ("qwen2_yarn", "qwen2.rope.scaling.factor"),
                      ("llama_linear", "llama.rope.scaling.factor"), ("gemma3", "gemma3.attention.scale"),
                      ("gemma3", "gemma3.final_logit_softcapping"), ("gemma3", "gemma3.attention.sliding_window"),
                      ("gemma3", "gemma3.rope.scaling.factor")):
        model = open_model(name)
        gguf = tiny_checkpoint.gguf_of(tiny_checkpoint.folder(name))
        gguf.remove(key)
        model.path.write_bytes(gguf.encode())
        assert np.abs(model.logits(100) - model.expected[-1]).max() > 100 * TOLERANCE, key


# ---- a model that people have

GEMMA_CASES = json.loads((Path(__file__).parent / "golden/gemma3.json").read_text())["cases"]


@pytest.mark.parametrize("case", GEMMA_CASES, ids=lambda c: c["prompt"][:20])
def test_gemma3_first_step(welford, gemma3, tmp_path, case):
    """As near to llama.cpp's logits as its own variants are to each other."""
    welford.run("logits", gemma3, "--raw", "-p", case["prompt"], "--top", 0, "-o", tmp_path / "logits.npy").ok()
    logits = np.load(tmp_path / "logits.npy")
    assert logits.argmax() == case["first_step_top8_logits"][0][0]
    variants = [case["first_step_top8_logits"], *(v["first_step_top8_logits"] for v in case["variants"].values())]
    assert min(max(abs(logits[id] - logit) for id, logit in variant) for variant in variants) < 0.7


def test_gemma3_perplexity(welford, gemma3, tmp_path):
    """llama.cpp finds 13.25 on these texts, 512 tokens a chunk."""
    licences = [Path("/usr/share/common-licenses") / name for name in ("GPL-3", "GFDL-1.3", "LGPL-2.1", "GPL-2")]
    if not all(path.is_file() for path in licences):
        pytest.skip("no folder of common licences: not a Debian system")
    (tmp_path / "text").write_bytes(b"".join(path.read_bytes() for path in licences))
    done = welford.run("ppl", gemma3, "-f", tmp_path / "text", timeout=1200).ok()
    assert abs(float(re.search(r"PPL = ([\d.]+)", done.stdout)[1]) / 13.25 - 1) < 0.01, done.stdout


# ---- what must be refused, by name

def refused(welford, tmp_path, gguf):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf.encode())
    return welford.run("logits", path, "--ids", "-p", "5", "--no-cache").failed(1).stderr


@pytest.mark.parametrize("name", ["gemma", "gemma2", "gemma3n", "gemma4", "phi3", "llama4"])
def test_other_architectures(welford, tmp_path, name):
    message = refused(welford, tmp_path, tiny_llama(architecture=name))
    assert f'"{name}"' in message and "qwen3" in message


@pytest.mark.parametrize("tensor", ["blk.0.attn_q_norm.weight", "blk.1.ffn_gate_inp.weight", "rope_factors_long.weight",
                                    "blk.0.post_attention_norm.weight"])
def test_tensors_that_the_graph_does_not_know(welford, tmp_path, tensor):
    model = tiny_llama()
    model.add_tensor(tensor, np.ones(16), F32)
    message = refused(welford, tmp_path, model)
    assert tensor in message and "not used" in message


def test_harmless_tensors(welford, tmp_path):
    model = tiny_llama()
    model.add_tensor("blk.0.attn_rot_embd.weight", np.ones(8), F32)
    path = tmp_path / "model.gguf"
    path.write_bytes(model.encode())
    welford.run("logits", path, "--ids", "-p", "5", "--no-cache").ok()


@pytest.mark.parametrize("key, type, value, part", [
    ("rope.scaling.type", STRING, "longrope", "longrope"),
    ("rope.scaling.factor", F32_VALUE, -2.0, "rope.scaling.factor"),
    ("rope.freq_base", F32_VALUE, 0.0, "rope.freq_base"),
    ("expert_count", U32, 8, "expert_count"),
    ("logit_scale", F32_VALUE, 0.5, "logit_scale"),
    ("attention.causal", BOOL, False, "causal"),
    ("attention.key_length", U32, 600, "heads of 600 features"),
    ("attention.key_length", U32, 24, "blk.0.attn_q.weight"),
])
def test_fields(welford, tmp_path, key, type, value, part):
    model = tiny_llama()
    model.set(f"llama.{key}", type, value)
    assert part in refused(welford, tmp_path, model)


def test_window_pattern_of_the_wrong_length(welford, tmp_path):
    model = tiny_llama()
    model.set("llama.attention.sliding_window", U32, 16)
    model.set("llama.attention.sliding_window_pattern", ARRAY, [True, False, True], BOOL)
    assert "sliding_window_pattern" in refused(welford, tmp_path, model)


def test_ids(welford, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_llama().encode())
    assert "300" in welford.run("logits", path, "--ids", "-p", "300").failed(2).stderr
    welford.run("logits", path, "--ids", "-p", "1 x").failed(1)
    welford.run("logits", path, "--ids", "-p", " ").failed(2)
