#!/usr/bin/env python3
"""Writes a checkpoint of DeepSeek-R1-Distill-Qwen-1.5B's shape with random weights, to measure speed and memory.

    scripts/get-model deepseek-header                   # the real tokenizer and chat template, without weights
    pip install numpy gguf==0.19.0                      # gguf for the GGUF types only
    tools/make_r1_shape.py HEADER FOLDER [TYPE]...

TYPE: hf (a Hugging Face folder in BF16, two safetensors files; 3.6 GB), or F16, BF16, Q8_0, Q4_0 (a GGUF file each).
Without one: hf. The weights are N(0, 0.02), norms N(1, 0.1), the same in every type before it rounds them: 1,777,088,000
parameters, output head apart from the embedding, biases on q, k and v. The model talks nonsense, at the right speed.
"""
import json
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test/e2e"))
from gguf_meta import read_metadata

CONTROL, USER, UNUSED = 3, 4, 5  # token types of GGUF
QWEN2_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
                 r"|\s+(?!\S)|\s+")


@dataclass
class Shape:
    hidden: int = 1536
    layers: int = 28
    feed_forward: int = 8960
    heads: int = 12
    kv_heads: int = 2
    vocabulary: int = 151936

    def tensors(self):
        """(GGUF name, Hugging Face name, shape) of each, in the order of the layers."""
        kv = self.hidden // self.heads * self.kv_heads
        yield "token_embd.weight", "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        for i in range(self.layers):
            gguf, hf = f"blk.{i}.", f"model.layers.{i}."
            yield gguf + "attn_norm.weight", hf + "input_layernorm.weight", (self.hidden,)
            for one, other, rows in ("attn_q", "q_proj", self.hidden), ("attn_k", "k_proj", kv), ("attn_v", "v_proj", kv):
                yield gguf + one + ".weight", hf + "self_attn." + other + ".weight", (rows, self.hidden)
                yield gguf + one + ".bias", hf + "self_attn." + other + ".bias", (rows,)
            yield gguf + "attn_output.weight", hf + "self_attn.o_proj.weight", (self.hidden, self.hidden)
            yield gguf + "ffn_norm.weight", hf + "post_attention_layernorm.weight", (self.hidden,)
            yield gguf + "ffn_gate.weight", hf + "mlp.gate_proj.weight", (self.feed_forward, self.hidden)
            yield gguf + "ffn_up.weight", hf + "mlp.up_proj.weight", (self.feed_forward, self.hidden)
            yield gguf + "ffn_down.weight", hf + "mlp.down_proj.weight", (self.hidden, self.feed_forward)
        yield "output_norm.weight", "model.norm.weight", (self.hidden,)
        yield "output.weight", "lm_head.weight", (self.vocabulary, self.hidden)


def weights(name, shape, seed=42):
    """f32; a tensor's numbers depend on its name only, not on what was written before it."""
    random = np.random.Generator(np.random.SFC64([seed, *name.encode()]))
    x = random.standard_normal(shape, dtype=np.float32)
    return 1 + np.float32(0.1) * x if "norm" in name else np.float32(0.02) * x


def to_bf16(x):
    """Bits of the nearest bf16, ties to even; for finite numbers."""
    bits = x.view(np.uint32)
    return ((bits + (0x7fff + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


# ---- Hugging Face


def config(shape: Shape, meta):
    return {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16",
            "bos_token_id": meta["tokenizer.ggml.bos_token_id"], "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
            "hidden_act": "silu", "hidden_size": shape.hidden, "intermediate_size": shape.feed_forward,
            "initializer_range": 0.02, "max_position_embeddings": 131072, "max_window_layers": 21,
            "num_attention_heads": shape.heads, "num_hidden_layers": shape.layers,
            "num_key_value_heads": shape.kv_heads, "rms_norm_eps": 1e-06, "rope_theta": 10000,
            "sliding_window": 4096, "tie_word_embeddings": False, "use_cache": True, "use_mrope": False,
            "use_sliding_window": False, "attention_dropout": 0.0, "vocab_size": shape.vocabulary}


def tokenizer(meta):
    """tokenizer.json from the tokens, types and merges of a GGUF header."""
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    bos = meta["tokenizer.ggml.bos_token_id"]
    added = [{"id": i, "content": text, "special": kind == CONTROL, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False}
             for i, (text, kind) in enumerate(zip(tokens, types)) if kind in (CONTROL, USER)]
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN}, "behavior": "Isolated", "invert": False}, letters]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": tokens[bos], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {tokens[bos]: {"id": tokens[bos], "ids": [bos], "tokens": [tokens[bos]]}}},
        "decoder": letters,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {text: i for i, text in enumerate(tokens)
                            if types[i] not in (CONTROL, USER, UNUSED)}, "merges": meta["tokenizer.ggml.merges"]}}


def chat_template(meta):
    """The header's template is the first that was published; the second one opens the reasoning itself."""
    first = meta["tokenizer.chat_template"]
    end = "{{'<｜Assistant｜>'}}{% endif %}"
    return first.removesuffix(end) + "{{'<｜Assistant｜><think>\\n'}}{% endif %}" if first.endswith(end) else first


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for _, name, shape in tensors:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, _, shape in tensors:
            file.write(to_bf16(weights(name, shape)).tobytes())
    return offset


def write_hf(meta, folder: Path, shape=Shape(), files=2):
    folder.mkdir(parents=True, exist_ok=True)
    tokens, bos, eos = (meta["tokenizer.ggml." + key] for key in ("tokens", "bos_token_id", "eos_token_id"))
    write_json(folder / "config.json", config(shape, meta))
    write_json(folder / "generation_config.json", {"bos_token_id": bos, "eos_token_id": eos, "do_sample": True,
                                                   "temperature": 0.6, "top_p": 0.95})
    write_json(folder / "tokenizer.json", tokenizer(meta))
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": tokens[bos], "eos_token": tokens[eos],
        "model_max_length": 16384, "tokenizer_class": "LlamaTokenizerFast",
        "chat_template": chat_template(meta)})
    tensors, total, places = list(shape.tensors()), 0, {}
    for i in range(files):
        part = tensors[len(tensors) * i // files:len(tensors) * (i + 1) // files]
        name = f"model-{i + 1:05}-of-{files:06}.safetensors" if files > 1 else "model.safetensors"
        total += write_safetensors(folder / name, part)
        places |= {hf: name for _, hf, _ in part}
    if files > 1:
        write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    return folder


# ---- GGUF


def write_gguf(meta, path: Path, kind, shape=Shape()):
    import gguf
    quantization = gguf.GGMLQuantizationType[kind]
    out = gguf.GGUFWriter(path, "qwen2", use_temp_file=True)
    out.add_name("DeepSeek-R1-Distill-Qwen-1.5B's shape, random weights")
    out.add_block_count(shape.layers)
    out.add_context_length(131072)
    out.add_embedding_length(shape.hidden)
    out.add_feed_forward_length(shape.feed_forward)
    out.add_head_count(shape.heads)
    out.add_head_count_kv(shape.kv_heads)
    out.add_rope_freq_base(10000.0)
    out.add_layer_norm_rms_eps(1e-6)
    get = lambda key: meta["tokenizer.ggml." + key]
    out.add_tokenizer_model(get("model"))
    out.add_tokenizer_pre(get("pre"))
    out.add_token_list(get("tokens")[:shape.vocabulary])
    out.add_token_types(get("token_type")[:shape.vocabulary])
    out.add_token_merges(get("merges"))
    out.add_bos_token_id(get("bos_token_id"))
    out.add_eos_token_id(get("eos_token_id"))
    out.add_add_bos_token(True)
    out.add_chat_template(chat_template(meta))
    for name, _, dims in shape.tensors():
        x = weights(name, dims)
        if len(dims) == 1:
            out.add_tensor(name, x)
        else:
            out.add_tensor(name, gguf.quants.quantize(x, quantization), raw_dtype=quantization)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def main():
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    meta, folder = read_metadata(Path(sys.argv[1])), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for kind in sys.argv[3:] or ["hf"]:
        if kind == "hf":
            print(write_hf(meta, folder / "r1-1.5b-shape"))
        elif kind in ("F16", "BF16", "Q8_0", "Q4_0"):
            print(write_gguf(meta, folder / f"r1-1.5b-shape-{kind.lower()}.gguf", kind))
        else:
            sys.exit(f"{kind}: not one of hf, F16, BF16, Q8_0, Q4_0")


if __name__ == "__main__":
    main()
