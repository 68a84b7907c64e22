"""welford ppl: the definition, computed a second way, and the value that llama.cpp finds."""
import math
import re
from pathlib import Path

import numpy as np
import pytest

LICENCES = [Path("/usr/share/common-licenses") / name for name in ("GPL-3", "GFDL-1.3", "LGPL-2.1", "GPL-2")]
LLAMA_CPP = 16.50  # on these texts, 512 tokens a chunk


def parse(done) -> tuple[float, float]:
    found = re.fullmatch(r"Final estimate: PPL = ([\d.]+) \+/- ([\d.]+)\n", done.ok().stdout)
    assert found, done.stdout
    return float(found[1]), float(found[2])


def test_definition(welford, smollm2, tmp_path):
    """Two chunks of 16 tokens; each scored token's logits from a run of its own on the text before it."""
    text = ("The cat sat on the old table and looked out of the window at the rain while "
            "the dog slept near the door and dreamed of long walks in the green forest with his")
    (tmp_path / "text").write_text(text + "\n")  # the line break is no part of it
    ids = list(map(int, welford.run("tokenize", smollm2, "--ids", "-p", text).ok().stdout.split()))
    assert len(ids) // 16 == 2
    scores = []
    for chunk in (ids[:16], ids[16:32]):
        for j in range(8, 15):
            before = welford.run("tokenize", smollm2, "--decode", input=" ".join(map(str, chunk[:j + 1]))).ok().stdout
            again = welford.run("tokenize", smollm2, "--ids", "-p", before).ok().stdout
            assert list(map(int, again.split())) == chunk[:j + 1]  # else the text would be scored otherwise
            welford.run("logits", smollm2, "--raw", "-p", before, "-o", tmp_path / "x.npy").ok()
            logits = np.load(tmp_path / "x.npy").astype(np.float64)
            top = logits.max()
            scores.append(np.log(np.exp(logits - top).sum()) + top - logits[chunk[j + 1]])
    assert len(scores) == 14
    expected = math.exp(np.mean(scores))
    deviation = expected * np.std(scores) / math.sqrt(len(scores) - 1)
    done = welford.run("ppl", smollm2, "-f", tmp_path / "text", "-c", 16)
    ppl, spread = parse(done)
    assert math.isclose(ppl, expected, rel_tol=0.01)
    assert math.isclose(spread, deviation, rel_tol=0.02)
    running = re.fullmatch(r"\[1\]([\d.]+),\[2\]([\d.]+)\n", done.stderr)
    assert running and math.isclose(float(running[1]), math.exp(np.mean(scores[:7])), rel_tol=0.01)
    assert float(running[2]) == ppl
    assert parse(welford.run("ppl", smollm2, "-f", "-", "-c", 16, input=text))[0] == ppl
    assert math.isclose(parse(welford.run("ppl", smollm2, "-f", tmp_path / "text", "-c", 16, "--kv", "f32"))[0], expected,
                        rel_tol=0.05)  # so few tokens feel how the cache is rounded


def test_licences(welford, smollm2, tmp_path):
    if not all(path.is_file() for path in LICENCES):
        pytest.skip("no folder of common licences: not a Debian system")
    (tmp_path / "text").write_bytes(b"".join(path.read_bytes() for path in LICENCES))
    ppl, spread = parse(welford.run("ppl", smollm2, "-f", tmp_path / "text", timeout=900))
    assert abs(ppl / LLAMA_CPP - 1) < 0.01, ppl
    assert 0.3 < spread < 0.6


def test_errors(welford, smollm2, tmp_path):
    for args in ([], ["m"], ["m", "-f", "x", "-c", "3"], ["m", "n", "-f", "x"], ["m", "-f"]):
        assert welford.run("ppl", *args).failed(2).stderr.startswith("welford ppl: ")
    (tmp_path / "short").write_text("too short")
    assert "two chunks of 512" in welford.run("ppl", smollm2, "-f", tmp_path / "short").failed(2).stderr
    welford.run("ppl", smollm2, "-f", tmp_path / "missing").failed(1)
    welford.run("ppl", tmp_path / "missing", "-f", tmp_path / "short").failed(1)
    assert "llama-perplexity" in welford.run("ppl", "--help").ok().stdout
