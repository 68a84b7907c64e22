"""Metadata as converters leave it: values that mean none, integers of every type."""
import pytest

from tiny_gguf import ARRAY, BOOL, CHATML, F32_VALUE, I8, I32, I64, U8, U16, U32, U64, tiny_llama

NONE = [(U32, 0xFFFFFFFF), (I32, -1), (U32, 999999), (I64, -1), (U64, 2**64 - 1), (I8, -1)]
TOKENS = ["bos", "eos", "eot", "eom", "padding", "unknown", "seperator", "cls", "mask", "image"]


@pytest.fixture
def run(welford, tmp_path):
    """Answers a prompt with the tiny model, some keys changed."""
    def run(**values):
        model = tiny_llama(seed=3)
        model.set("tokenizer.chat_template", 8, CHATML)
        for key, (type, value, *item_type) in values.items():
            model.set(key.replace("__", "."), type, value, *item_type)
        path = tmp_path / "model.gguf"
        path.write_bytes(model.encode())
        return welford.run("run", path, "-n", 2, "--temp", 0, "hello")
    return run


@pytest.mark.parametrize("token", TOKENS)
def test_ids_that_mean_none(run, token):
    for value in NONE:
        run(**{f"tokenizer.ggml.{token}_token_id": value}).ok()


@pytest.mark.parametrize("type", [U8, I8, U16, I32, U32, U64, I64])
def test_integers_of_every_type(run, type):
    expected = run().ok().stdout
    for key, value in (("llama.block_count", 2), ("llama.attention.head_count", 4), ("llama.expert_count", 0),
                       ("llama.attention.relative_buckets_count", 0), ("tokenizer.ggml.eos_token_id", 2)):
        assert run(**{key: (type, value)}).ok().stdout == expected, key
    for key in ("llama.expert_count", "llama.attention.relative_buckets_count"):
        assert f"{key} = 8" in run(**{key: (type, 8)}).failed().stderr
    assert "mixtures of experts are not supported" in run(**{"llama.expert_count": (type, 8)}).failed().stderr


def test_fields_that_are_off(run):
    for key in ("llama.expert_count", "llama.logit_scale", "llama.attention.clamp_kqv", "llama.attention.max_alibi_bias"):
        for value in ((F32_VALUE, 0.0), (BOOL, False), (U32, 0)):
            run(**{key: value}).ok()


def test_a_number_for_each_layer(run):
    """llama.cpp reads sizes that way too."""
    expected = run().ok().stdout
    for key, number in (("head_count", 4), ("head_count_kv", 2)):
        assert run(**{f"llama.attention.{key}": (ARRAY, [number] * 2, U32)}).ok().stdout == expected
        assert "layers that differ" in run(**{f"llama.attention.{key}": (ARRAY, [number, 1], I32)}).failed().stderr
    assert run(**{"llama.feed_forward_length": (ARRAY, [128] * 2, I32)}).ok().stdout == expected
