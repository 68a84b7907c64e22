"""The tiny Hugging Face checkpoints of test/data/tiny (tools/make_reference.py), and the same models as GGUF files.

    gguf_of(folder("gemma3")).encode()

The conversion follows what GGUF files hold: q and k rows of "llama" permuted so that rotated pairs lie side by side,
Gemma's norms with the 1 added, llama3 scaling as a tensor of factors.
"""
import json
import math
import struct
from pathlib import Path

import numpy as np

import tiny_gguf
from tiny_gguf import ARRAY, BOOL, F32_VALUE, I32, STRING, U32

TINY = Path(__file__).resolve().parents[1] / "data/tiny"
NAMES = sorted(p.name for p in TINY.iterdir())

_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3"}
_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LAYER = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
          "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
          "input_layernorm": "attn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
          "post_attention_layernorm": "ffn_norm"}
_GEMMA_LAYER = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
                "post_feedforward_layernorm": "post_ffw_norm"}


def folder(name: str) -> Path:
    return TINY / name


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """F32 tensors only: https://huggingface.co/docs/safetensors"""
    data = path.read_bytes()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    body = data[8 + size:]
    assert all(t["dtype"] == "F32" for t in header.values())
    return {name: np.frombuffer(body[slice(*t["data_offsets"])], np.float32).reshape(t["shape"])
            for name, t in header.items()}


def _gguf_name(name: str, gemma: bool) -> str:
    stem, kind = name.rsplit(".", 1)
    if stem in _OUTER:
        return f"{_OUTER[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{(_GEMMA_LAYER if gemma else {}).get(part) or _LAYER[part]}.{kind}"


def _interleave(x: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head: i and i + half become 2i and 2i + 1."""
    return x.reshape(heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def _llama3_factors(rope: dict, head_dim: int) -> np.ndarray:
    factors = []
    for i in range(head_dim // 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (2 * i / head_dim)
        turns = rope["original_max_position_embeddings"] / wavelength
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        share = min(max((turns - low) / (high - low), 0), 1)
        factors.append(1 / (share + (1 - share) / rope["factor"]))
    return np.array(factors, np.float32)


def _set_rope(model, arch: str, config: dict):
    rope = config["rope_parameters"]
    rope = rope.get("full_attention", rope)
    model.set(f"{arch}.rope.freq_base", F32_VALUE, rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        model.set(f"{arch}.rope.scaling.type", STRING, rope["rope_type"])
        model.set(f"{arch}.rope.scaling.factor", F32_VALUE, rope["factor"])
    if rope["rope_type"] == "yarn":
        model.set(f"{arch}.rope.scaling.original_context_length", U32, rope["original_max_position_embeddings"])
        model.set(f"{arch}.rope.scaling.yarn_beta_fast", F32_VALUE, rope["beta_fast"])
        model.set(f"{arch}.rope.scaling.yarn_beta_slow", F32_VALUE, rope["beta_slow"])
    if rope["rope_type"] == "llama3":
        model.add_tensor("rope_freqs.weight", _llama3_factors(rope, config["head_dim"]))


def _set_facts(model, arch: str, config: dict):
    model.set("general.architecture", STRING, arch)
    for key, field in (("context_length", "max_position_embeddings"), ("embedding_length", "hidden_size"),
                       ("block_count", "num_hidden_layers"), ("feed_forward_length", "intermediate_size"),
                       ("attention.head_count", "num_attention_heads"),
                       ("attention.head_count_kv", "num_key_value_heads")):
        model.set(f"{arch}.{key}", U32, config[field])
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    config["head_dim"] = head_dim
    model.set(f"{arch}.attention.key_length", U32, head_dim)
    model.set(f"{arch}.attention.value_length", U32, head_dim)
    model.set(f"{arch}.attention.layer_norm_rms_epsilon", F32_VALUE, config["rms_norm_eps"])
    if config.get("sliding_window") and (arch == "gemma3" or config["model_type"] == "mistral"):
        model.set(f"{arch}.attention.sliding_window", U32, config["sliding_window"])
    if arch == "gemma3":
        model.set("gemma3.attention.scale", F32_VALUE, config["query_pre_attn_scalar"] ** -0.5)
        model.set("gemma3.final_logit_softcapping", F32_VALUE, config["final_logit_softcapping"])
        model.set("gemma3.attention.sliding_window_pattern", ARRAY,
                  [kind == "sliding_attention" for kind in config["layer_types"]], BOOL)
        if config["attn_logit_softcapping"]:
            model.set("gemma3.attn_logit_softcapping", F32_VALUE, config["attn_logit_softcapping"])


def _set_tokenizer(model):
    tokens, merges, types = tiny_gguf.tiny_vocabulary()
    model.set("tokenizer.ggml.model", STRING, "gpt2")
    model.set("tokenizer.ggml.pre", STRING, "smollm")
    model.set("tokenizer.ggml.tokens", ARRAY, tokens)
    model.set("tokenizer.ggml.token_type", ARRAY, types, I32)
    model.set("tokenizer.ggml.merges", ARRAY, merges)
    model.set("tokenizer.ggml.eos_token_id", U32, 2)
    model.set("tokenizer.ggml.add_bos_token", BOOL, False)


def gguf_of(path: Path) -> tiny_gguf.Gguf:
    config = json.loads((path / "config.json").read_text())
    arch = _ARCHITECTURES[config["model_type"]]
    model = tiny_gguf.Gguf()
    _set_facts(model, arch, config)
    _set_rope(model, arch, config)
    _set_tokenizer(model)
    for name, x in read_safetensors(path / "model.safetensors").items():
        if arch == "llama" and "q_proj" in name:
            x = _interleave(x, config["num_attention_heads"])
        if arch == "llama" and "k_proj" in name:
            x = _interleave(x, config["num_key_value_heads"])
        if arch == "gemma3" and "norm" in name:
            x = x + 1
        model.add_tensor(_gguf_name(name, arch == "gemma3"), x)
    return model
