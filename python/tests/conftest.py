"""Fixtures: a cache folder of the tests' own, tiny models as test/e2e makes them, SmolLM2 where it is present.

WELFORD_MODELS  the folder that scripts/get-model filled (default: the cache folder's models/)
"""
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test/e2e"))  # tiny_gguf, model_files


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs and packs of these tests alone."""
    before = os.environ.get("WELFORD_CACHE")
    os.environ.setdefault("WELFORD_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    if before is None:
        del os.environ["WELFORD_CACHE"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of two small layers with random weights."""
    from tiny_gguf import tiny_llama

    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    path.write_bytes(tiny_llama(seed=3).encode())
    return path


@pytest.fixture(scope="session")
def smollm2() -> Path:
    from model_files import find_model

    path = find_model("smollm2-135m-instruct.q4_1.gguf")
    if not path.is_file():
        pytest.skip(f"{path}: missing, run scripts/get-model smollm2")
    return path


@pytest.fixture(scope="session")
def graphs() -> Path:
    return ROOT / "test/graphs"
