#!/usr/bin/env python3
"""Makes test/data/tiny: random tiny models as Hugging Face checkpoints, and the logits that Transformers computes of them.

    python3 -m venv /tmp/reference && /tmp/reference/bin/pip install torch transformers
    /tmp/reference/bin/python tools/make_reference.py test/data/tiny

Each model is a folder: config.json, model.safetensors, and reference.npz with `tokens` [n] and, for each of the lengths,
`logits` [lengths, vocabulary] that follow the first `lengths[i]` tokens, computed in f64. The same versions and the same
processor give the same files; the weights do not depend on either.
"""
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.models.gemma3 import modeling_gemma3

LENGTHS = [1, 7, 64, 100]
COMMON = dict(vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, head_dim=16, max_position_embeddings=256, rms_norm_eps=1e-6,
              bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=1.0)


def rope(theta=10000.0, type="default", **values):
    return dict(rope_type=type, rope_theta=theta, **values)


# name: (configuration class, its values)
MODELS = {
    "llama": (transformers.LlamaConfig, dict(rope_parameters=rope(), tie_word_embeddings=False)),
    "llama_bias": (transformers.LlamaConfig, dict(rope_parameters=rope(), attention_bias=True, mlp_bias=True,
                                                  tie_word_embeddings=True)),
    "llama_llama3": (transformers.LlamaConfig, dict(
        rope_parameters=rope(500.0, "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=32), tie_word_embeddings=True)),
    "llama_linear": (transformers.LlamaConfig, dict(rope_parameters=rope(10000.0, "linear", factor=4.0),
                                                    tie_word_embeddings=True)),
    "mistral": (transformers.MistralConfig, dict(rope_parameters=rope(), sliding_window=24, tie_word_embeddings=False)),
    "qwen2": (transformers.Qwen2Config, dict(rope_parameters=rope(1000000.0), tie_word_embeddings=True)),
    "qwen2_yarn": (transformers.Qwen2Config, dict(
        rope_parameters=rope(10000.0, "yarn", factor=4.0, beta_fast=4.0, beta_slow=0.5,
                             original_max_position_embeddings=64), tie_word_embeddings=False)),
    "qwen3": (transformers.Qwen3Config, dict(rope_parameters=rope(1000000.0), head_dim=32, tie_word_embeddings=False)),
    "gemma3": (transformers.Gemma3TextConfig, dict(
        num_hidden_layers=7, head_dim=32, sliding_window=16, query_pre_attn_scalar=24, final_logit_softcapping=3.0,
        num_key_value_heads=1,
        rope_parameters=dict(full_attention=rope(1000000.0, "linear", factor=8.0), sliding_attention=rope(10000.0)),
        tie_word_embeddings=True)),
    # Transformers takes attn_logit_softcapping into this class's configuration, but does not apply it: see cap_scores.
    "gemma3_softcap": (transformers.Gemma3TextConfig, dict(
        head_dim=32, sliding_window=16, query_pre_attn_scalar=24, attn_logit_softcapping=1.5, num_key_value_heads=1,
        layer_types=["sliding_attention", "full_attention"], final_logit_softcapping=3.0,
        rope_parameters=dict(full_attention=rope(1000000.0), sliding_attention=rope(10000.0)),
        tie_word_embeddings=True)),
    # Heads of sizes that fill no whole vectors, or many: of their own (head_dim is not hidden_size / heads), in groups.
    "heads_8": (transformers.LlamaConfig, dict(head_dim=8, rope_parameters=rope(), tie_word_embeddings=True)),
    "heads_36": (transformers.Qwen3Config, dict(head_dim=36, num_attention_heads=3, num_key_value_heads=1,
                                                rope_parameters=rope(), tie_word_embeddings=True)),
    "heads_80": (transformers.MistralConfig, dict(head_dim=80, num_attention_heads=2, num_key_value_heads=1,
                                                  sliding_window=24, rope_parameters=rope(), tie_word_embeddings=True)),
    "heads_96": (transformers.LlamaConfig, dict(head_dim=96, num_attention_heads=2, num_key_value_heads=2,
                                                num_hidden_layers=1, rope_parameters=rope(), tie_word_embeddings=True)),
    "heads_100": (transformers.LlamaConfig, dict(head_dim=100, num_attention_heads=2, num_key_value_heads=1,
                                                 num_hidden_layers=1, rope_parameters=rope(), tie_word_embeddings=True)),
    "heads_112": (transformers.Qwen2Config, dict(hidden_size=112, num_attention_heads=1, num_key_value_heads=1, head_dim=112,
                                                 num_hidden_layers=1, rope_parameters=rope(), tie_word_embeddings=True)),
    "heads_192": (transformers.LlamaConfig, dict(head_dim=192, num_attention_heads=1, num_key_value_heads=1,
                                                 num_hidden_layers=1, rope_parameters=rope(), tie_word_embeddings=True)),
    "heads_256": (transformers.Gemma3TextConfig, dict(
        head_dim=256, num_attention_heads=1, num_key_value_heads=1, num_hidden_layers=1, sliding_window=16,
        query_pre_attn_scalar=256, final_logit_softcapping=3.0,
        rope_parameters=dict(full_attention=rope(1000000.0), sliding_attention=rope(10000.0)), tie_word_embeddings=True)),
}


def cap_scores():
    """Lets Gemma 3's attention use the soft cap of its configuration, as its own function for that does."""
    plain = modeling_gemma3.eager_attention_forward

    def capped(module, *args, **kwargs):
        return plain(module, *args, **kwargs, softcap=module.config.attn_logit_softcapping)

    modeling_gemma3.eager_attention_forward = capped


def fill(model, seed):
    """Random weights: outputs of about unit size, norms near 1 (Gemma stores them less 1), biases that matter."""
    random = np.random.default_rng(seed)
    gemma = model.config.model_type.startswith("gemma")
    for name, parameter in sorted(model.named_parameters()):
        x = random.standard_normal(parameter.shape)
        if parameter.ndim == 2 and "embed" not in name:
            x /= np.sqrt(parameter.shape[1])
        elif parameter.ndim == 2:
            x *= 1 / np.sqrt(parameter.shape[1]) if model.config.tie_word_embeddings else 1
        elif "norm" in name:
            x = 0.2 * x + (0 if gemma else 1)
        else:
            x *= 0.3
        parameter.data = torch.tensor(x.astype(np.float32))


def main(folder):
    cap_scores()
    tokens = np.random.default_rng(1).integers(3, COMMON["vocab_size"], max(LENGTHS))
    for seed, (name, (config_class, values)) in enumerate(MODELS.items()):
        config = config_class(**{**COMMON, **values})
        config._attn_implementation = "eager"
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        fill(model, seed)
        model.tie_weights()
        path = Path(folder) / name
        model.save_pretrained(path)
        (path / "generation_config.json").unlink(missing_ok=True)
        model = model.double()
        with torch.no_grad():
            logits = [model(torch.tensor(tokens[None, :n])).logits[0, -1].numpy() for n in LENGTHS]
        np.savez_compressed(path / "reference.npz", tokens=tokens.astype(np.int32), lengths=np.array(LENGTHS, np.int32),
                            logits=np.array(logits, np.float32))
        print(name, "greatest logit", float(np.abs(logits).max()))


if __name__ == "__main__":
    main(sys.argv[1])
