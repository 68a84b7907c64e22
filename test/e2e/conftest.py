"""Fixtures of the end-to-end tests.

WELFORD         the program under test (default: build/welford)
WELFORD_MODELS  the folder that scripts/get-model filled (default: the cache folder's models/)
WELFORD_CACHE   the cache of compiled programs that all tests share; see fresh_cache for one of a test's own
"""
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from model_files import find_model

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Result:
    args: list[str]
    exit: int  # the exit status; negative: the signal that killed it
    stdout: str
    stderr: str
    stdout_bytes: bytes

    def ok(self) -> "Result":
        """Fails the test, with what the program said, unless it succeeded."""
        assert self.exit == 0, f"{self.args}: exit {self.exit}\n{self.stderr}"
        return self

    def failed(self, exit: int = 1) -> "Result":
        """Fails the test unless the program failed with this status and one line on stderr."""
        assert self.exit == exit, f"{self.args}: exit {self.exit}, expected {exit}\n{self.stderr}"
        assert self.stderr.endswith("\n") and self.stderr.count("\n") == 1, f"not one line: {self.stderr!r}"
        return self


class Welford:
    """The program under test: welford.run("info", model).ok().stdout"""

    def __init__(self, path: Path):
        self.path = path
        self.env: dict[str, str] = {}  # set for every run; fixtures of a test may add to it

    def run(self, *args, input: str | bytes | None = None, env: dict[str, str] | None = None,
            timeout: float = 120, cwd: Path | None = None) -> Result:
        """Runs to its end; without `input` stdin is empty. Fails the test after `timeout` seconds."""
        command = [str(self.path), *map(str, args)]
        data = input.encode() if isinstance(input, str) else input or b""
        done = subprocess.run(command, input=data, capture_output=True, timeout=timeout, cwd=cwd,
                              env={**os.environ, **self.env, **(env or {})})
        return Result(command[1:], done.returncode, done.stdout.decode(errors="replace"),
                      done.stderr.decode(errors="replace"), done.stdout)


@pytest.fixture
def welford() -> Welford:
    path = Path(os.environ.get("WELFORD", ROOT / "build/welford"))
    assert path.is_file(), f"{path}: not built"
    return Welford(path)


@pytest.fixture
def fresh_cache(welford: Welford, tmp_path: Path) -> Path:
    """Gives the test's runs of welford an empty cache folder of their own."""
    folder = tmp_path / "cache"
    welford.env["WELFORD_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct Q4_1. Its absence is a failure: most of what matters is tested with it."""
    path = find_model("smollm2-135m-instruct.q4_1.gguf")
    assert path.is_file(), f"{path}: missing, run scripts/get-model smollm2"
    return path


@pytest.fixture(scope="session")
def deepseek_header() -> Path:
    """DeepSeek-R1-Distill-Qwen-7B cut short after its header: tokenizer and chat template without weights."""
    path = find_model("deepseek-r1-qwen-header.gguf")
    if not path.is_file():
        pytest.skip(f"{path}: missing, run scripts/get-model deepseek-header")
    return path


@pytest.fixture(scope="session")
def gemma3() -> Path:
    """gemma-3-270m, a base model in mixed types."""
    path = find_model("gemma-3-270m.gguf")
    if not path.is_file():
        pytest.skip(f"{path}: missing, run scripts/get-model gemma-3-270m")
    return path
