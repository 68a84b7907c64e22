"""Tiny Hugging Face checkpoints, written by hand: the same models as tiny_gguf makes, in the other form.

    model = tiny_llama(seed=1)
    folder = write_hf(model, tmp_path / "tiny")     # equal weights, so equal logits
"""
import json
import struct
from pathlib import Path

import numpy as np

from tiny_gguf import BF16, F16, F32, Gguf, dequantize, quantize

DTYPES = {F32: "F32", F16: "F16", BF16: "BF16"}
CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
           "gemma3": "Gemma3ForCausalLM"}
OUTER = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
         "output.weight": "lm_head.weight"}
LAYER = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
         "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
LAYER_GEMMA = LAYER | {"post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
                       "post_ffw_norm": "post_feedforward_layernorm"}


def encode_safetensors(tensors: dict[str, tuple[str, tuple, bytes]], metadata=None) -> bytes:
    """{name: (dtype, shape, data)} as a file; the order is kept."""
    header, offset = {"__metadata__": metadata} if metadata else {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


def hf_name(name: str, gemma: bool) -> str:
    if name in OUTER:
        return OUTER[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{(LAYER_GEMMA if gemma else LAYER)[part]}.{kind}"


def unpermute(x, n_heads):
    """Rows of q and k: GGUF files of "llama" rotate neighbours, Hugging Face's the two halves of a head."""
    return x.reshape(n_heads, x.shape[0] // n_heads // 2, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def hf_tensors(model: Gguf, dtype=None) -> dict[str, tuple[str, tuple, bytes]]:
    """The model's tensors under their other names. `dtype` (F32, F16, BF16) for all of them; else each keeps its own."""
    architecture = model.get("general.architecture")
    gemma = architecture == "gemma3"
    heads = {"attn_q": model.get(f"{architecture}.attention.head_count"),
             "attn_k": model.get(f"{architecture}.attention.head_count_kv")}
    tensors = {}
    for tensor in model.tensors:
        type = tensor.type if dtype is None else dtype
        x = model.weights[tensor.name]
        part = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
        if architecture == "llama" and part in heads:
            x = unpermute(x, heads[part])
        if gemma and "norm" in tensor.name:
            x = x - np.float32(1)
        tensors[hf_name(tensor.name, gemma)] = (DTYPES[type], tensor.shape, quantize(x, type))
    return tensors


def hf_config(model: Gguf) -> dict:
    architecture = model.get("general.architecture")
    get = lambda key: model.get(f"{architecture}.{key}")
    names = {key for key, _ in model.values}
    config = {
        "architectures": [CLASSES[architecture]], "model_type": architecture, "torch_dtype": "float32",
        "hidden_size": get("embedding_length"), "intermediate_size": get("feed_forward_length"),
        "num_hidden_layers": get("block_count"), "num_attention_heads": get("attention.head_count"),
        "num_key_value_heads": get("attention.head_count_kv"), "max_position_embeddings": get("context_length"),
        "rms_norm_eps": float(get("attention.layer_norm_rms_epsilon")), "rope_theta": float(get("rope.freq_base")),
        "hidden_act": "silu", "vocab_size": len(model.get("tokenizer.ggml.tokens")),
        "tie_word_embeddings": all(t.name != "output.weight" for t in model.tensors), "eos_token_id": 2,
        "head_dim": get("rope.dimension_count"),
    }
    if architecture == "gemma3":
        del config["hidden_act"]
        config |= {"hidden_activation": "gelu_pytorch_tanh", "sliding_window": get("attention.sliding_window"),
                   "query_pre_attn_scalar": config["head_dim"], "rope_local_base_freq": 10000.0}
    if f"{architecture}.rope.scaling.type" in names:
        config["rope_scaling"] = {"rope_type": get("rope.scaling.type"), "factor": get("rope.scaling.factor")}
    return config


def byte_level_json(tokens, merges, types, digits=True) -> dict:
    """tokenizer.json of a byte-level vocabulary; `types` as in GGUF files."""
    special = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                "special": kind == 3} for i, (t, kind) in enumerate(zip(tokens, types)) if kind in (3, 4)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    pre = [{"type": "Digits", "individual_digits": True}] if digits else []
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre + [byte_level]},
        "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges},
    }


def hf_tokenizer(model: Gguf) -> dict:
    return byte_level_json(*(model.get(f"tokenizer.ggml.{key}") for key in ("tokens", "merges", "token_type")))


def write_json(path: Path, data) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False))


def write_tensors(folder: Path, tensors, shards=1) -> None:
    """model.safetensors, or with an index that many shards."""
    if shards == 1:
        (folder / "model.safetensors").write_bytes(encode_safetensors(tensors, {"format": "pt"}))
        return
    names, index = list(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
        index |= {name: file for name in part}
        (folder / file).write_bytes(encode_safetensors({name: tensors[name] for name in part}, {"format": "pt"}))
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": 0}, "weight_map": index})


def write_hf(model: Gguf, folder: Path, dtype=None, shards=1, chat_template=None, generation=None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", hf_config(model))
    write_json(folder / "tokenizer.json", hf_tokenizer(model))
    tokens = model.get("tokenizer.ggml.tokens")
    settings = {"bos_token": tokens[1], "eos_token": {"content": tokens[2]}, "add_bos_token": False}
    write_json(folder / "tokenizer_config.json", settings | ({"chat_template": chat_template} if chat_template else {}))
    if generation:
        write_json(folder / "generation_config.json", generation)
    write_tensors(folder, hf_tensors(model, dtype), shards)
    return folder
