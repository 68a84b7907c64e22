"""Models of Hugging Face transformers, two small layers each: one graph, every norm and attention found, PyTorch's
logits; and generate() with a static cache."""
from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import welford  # noqa: E402

SMALL = dict(vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
GQA = dict(SMALL, num_key_value_heads=2)
GPT = dict(vocab_size=128, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)

# name: (configuration class, its arguments, norms)
CAUSAL = {
    "llama": ("LlamaConfig", GQA, {"wf.rms_norm": 5, "wf.attention": 2, "wf.rope": 4, "wf.glu": 2}),
    "qwen2": ("Qwen2Config", GQA, {"wf.rms_norm": 5, "wf.attention": 2, "wf.rope": 4, "wf.glu": 2}),
    "qwen3": ("Qwen3Config", dict(GQA, head_dim=16), {"wf.rms_norm": 9, "wf.attention": 2, "wf.rope": 4, "wf.glu": 2}),
    "gemma3": ("Gemma3TextConfig", dict(GQA, head_dim=16, sliding_window=8),
               {"wf.rms_norm": 13, "wf.attention": 2, "wf.rope": 4, "wf.glu": 2}),
    "phi3": ("Phi3Config", GQA, {"wf.rms_norm": 5, "wf.attention": 2}),
    "gpt2": ("GPT2Config", GPT, {"wf.layer_norm": 5, "wf.attention": 2}),
}


def build(kind: str, arguments: dict[str, Any]) -> Any:
    torch.manual_seed(1)
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**arguments)).eval()
    for parameter in model.parameters():  # gammas and biases that are not all 1 and 0
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("name", CAUSAL)
def test_causal(name: str) -> None:
    kind, arguments, found = CAUSAL[name]
    model, ids = build(kind, arguments), torch.arange(3, 19).reshape(1, 16)
    explanation = welford.explain(model, input_ids=ids, use_cache=False)
    assert explanation.graphs == 1 and len(explanation.parts) == 1 and not explanation.left, str(explanation)
    raised = explanation.raised()
    assert {op: raised[op] for op in found} == found
    with torch.no_grad():
        want = model(input_ids=ids, use_cache=False).logits
        got = torch.compile(model, backend="welford")(input_ids=ids, use_cache=False).logits
    assert float((got - want).abs().max()) <= 1e-5 * float(want.abs().max())


def test_bert() -> None:
    torch.manual_seed(1)
    model = transformers.BertModel(transformers.BertConfig(**{k: v for k, v in SMALL.items() if "token" not in k})).eval()
    ids, mask = torch.arange(3, 27).reshape(2, 12), torch.ones(2, 12, dtype=torch.int64)
    mask[1, 7:] = 0
    with torch.no_grad():
        want = model(input_ids=ids, attention_mask=mask).last_hidden_state
        got = torch.compile(model, backend="welford")(input_ids=ids, attention_mask=mask).last_hidden_state
    assert float((got - want).abs().max()) <= 1e-5 * float(want.abs().max())
    raised = welford.explain(model, input_ids=ids, attention_mask=mask).raised()
    assert raised["wf.layer_norm"] == 5 and raised["wf.attention"] == 2


def test_generate_with_a_static_cache() -> None:
    """The same greedy tokens; decoding compiles once, whatever the position."""
    model = build("Qwen2Config", GQA)
    ids = torch.arange(3, 11).reshape(1, 8)
    options = dict(max_new_tokens=12, do_sample=False, cache_implementation="static", disable_compile=True)
    with torch.no_grad():
        want = model.generate(ids, **options)
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        forward = model.forward
        model.forward = torch.compile(forward, backend="welford")
        try:
            got = model.generate(ids, **options)
            graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        finally:
            model.forward = forward
    assert torch.equal(got, want)
    assert graphs <= 4
