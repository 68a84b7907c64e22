"""A share of PyTorch's own samples of its ops (opinfo.py runs them all): none differs."""
from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

import opinfo  # noqa: E402


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_share(dtype: str) -> None:
    torch.manual_seed(0)
    total = opinfo.run([], share=16, samples=2, dtypes=[dtype])
    assert total["same"] >= 20 and not total["differs"], total


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
def test_ops_of_models(dtype: str) -> None:
    """Those that every transformer has."""
    names = ["add", "mul", "div", "where", "sum", "mean", "softmax", "nn.functional.silu", "matmul", "nn.functional.embedding",
             "nn.functional.layer_norm", "index_put", "cumsum", "cat", "argmax", "nn.functional.scaled_dot_product_attention"]
    total = opinfo.run(names, share=1, samples=2, dtypes=[dtype])
    assert total["same"] > 5 and not total["differs"], total
