"""What README.md and docs/python.md show runs."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import welford

ROOT = Path(__file__).resolve().parents[2]


def blocks(path: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / path).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", ["README.md", "docs/python.md"])
def test_blocks(path: str, smollm2: Path, graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.gguf", smollm2.name):
        (tmp_path / name).symlink_to(smollm2)
    for name in ("graph.mlir", "norm.mlir"):
        (tmp_path / name).write_text((graphs / "tosa/rmsnorm_llama_f32.mlir").read_text())
    shape = welford.compile("norm.mlir").arguments[0].shape
    scope: dict[str, Any] = {"x": np.ones(shape, np.float32), "welford": welford}
    found = blocks(path)
    assert found
    for block in found:
        if "torch.compile" not in block:
            exec(block, scope)
    assert scope["y"].shape == shape
    assert "The capital of France is Paris." in capsys.readouterr().out
