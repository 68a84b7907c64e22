"""Models: text, generation, streams, numbers."""
from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import welford

PROMPT = [1, 5, 9, 4, 7]


@pytest.fixture(scope="module")
def model(tiny: Path) -> Iterator[welford.Model]:
    with welford.load(tiny, threads=2) as m:
        yield m


def test_describe(model: welford.Model) -> None:
    facts = model.describe()
    assert facts["architecture"] == "llama" and facts["n_threads"] == 2 and facts["n_vocab"] > 0
    assert model.report().fused("attention") == model.report()["attention"].found == facts["n_layer"]
    assert "attention" in model.plan() and "attention" in str(model.report())


def test_no_fuse(tiny: Path) -> None:
    with welford.load(tiny, no_fuse=["attention", "qkv"]) as m:
        for name in ("attention", "qkv"):
            assert m.report().fused(name) == 0 and "switched off" in m.report()[name].why_not


def test_text_and_back(model: welford.Model) -> None:
    ids = model.tokenize("a b")
    assert ids and all(isinstance(i, int) for i in ids)
    assert model.detokenize(np.array(ids, np.int32)) == model.detokenize(ids)


def test_greedy_is_the_largest_logit(model: welford.Model) -> None:
    answer = model.generate(PROMPT, max_tokens=12, temperature=0, ignore_end=True)
    assert len(answer.ids) == 12 and answer.finish == "length" and answer.n_prompt == len(PROMPT)
    logits = np.asarray(model.logits(PROMPT + answer.ids[:-1], first=len(PROMPT) - 1))
    assert logits.dtype == np.float32 and logits.shape == (12, model.describe()["n_vocab"])
    assert logits.argmax(axis=1).tolist() == answer.ids
    np.testing.assert_array_equal(np.asarray(model.logits(PROMPT + answer.ids[:-1]))[len(PROMPT) - 1:], logits)


def test_a_seed_is_kept(model: welford.Model) -> None:
    first = model.generate(PROMPT, max_tokens=20, temperature=1.5, top_k=0, top_p=1, min_p=0, seed=7, ignore_end=True)
    again = model.generate(PROMPT, max_tokens=20, temperature=1.5, top_k=0, top_p=1, min_p=0, seed=7, ignore_end=True)
    other = model.generate(PROMPT, max_tokens=20, temperature=1.5, top_k=0, top_p=1, min_p=0, seed=8, ignore_end=True)
    assert first.seed == 7 and first.ids == again.ids != other.ids
    drawn = model.generate(PROMPT, max_tokens=20, temperature=1.5, top_k=0, ignore_end=True)
    assert model.generate(PROMPT, max_tokens=20, temperature=1.5, top_k=0, seed=drawn.seed,
                          ignore_end=True).ids == drawn.ids


def test_stream_gives_the_same(model: welford.Model) -> None:
    whole = model.generate(PROMPT, max_tokens=30, temperature=0, ignore_end=True)
    pieces = model.generate(PROMPT, max_tokens=30, temperature=0, ignore_end=True, stream=True)
    assert pieces.generation is None
    text = "".join(pieces)
    assert pieces.generation is not None
    assert text == whole.text == pieces.generation.text and pieces.ids == whole.ids
    assert list(pieces) == []


def test_stream_closed_early(model: welford.Model) -> None:
    with model.generate(PROMPT, temperature=0, ignore_end=True, stream=True) as pieces:
        for _ in pieces:
            if len(pieces.ids) >= 3:
                break
        with pytest.raises(welford.UsageError, match="still being read"):
            model.logits(PROMPT)
        assert model.tokenize("a")  # what only reads may run
    assert pieces.generation is not None and pieces.generation.finish == "interrupted"
    assert len(model.logits(PROMPT)) == len(PROMPT)
    model.generate(PROMPT, ignore_end=True, stream=True)  # dropped
    assert len(model.logits(PROMPT)) == len(PROMPT)


def test_prompt_only_and_reuse(model: welford.Model) -> None:
    assert model.generate(PROMPT, max_tokens=0).ids == []
    assert model.generate(PROMPT + [3, 2], max_tokens=1).n_reused == len(PROMPT)


def test_stop(model: welford.Model) -> None:
    whole = model.generate(PROMPT, max_tokens=40, temperature=0, ignore_end=True).text
    stop = whole[len(whole) // 2:][:2]
    cut = model.generate(PROMPT, max_tokens=40, temperature=0, ignore_end=True, stop=stop)
    assert cut.finish == "stop" and cut.text == whole[:whole.index(stop)]


def test_perplexity(model: welford.Model) -> None:
    ids = np.random.default_rng(1).integers(3, model.describe()["n_vocab"], 100).tolist()
    logits = np.asarray(model.logits(ids[:64])).astype(np.float64)
    if model.describe()["add_bos"]:
        logits = np.asarray(model.logits([model.describe()["bos"], *ids[1:64]])).astype(np.float64)
    scores = np.log(np.exp(logits).sum(axis=1))[32:63] - logits[np.arange(32, 63), ids[33:64]]
    assert model.perplexity(ids, n_ctx=64) == pytest.approx(np.exp(scores.mean()), rel=1e-6)


def test_refusals(model: welford.Model, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(welford.FileError, match="owner/name"):
        welford.load("no-such-model")
    with pytest.raises(welford.FileError, match="missing.gguf"):
        welford.load(tmp_path / "missing.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\3\0\0\0" + b"\xff" * 16)
    with pytest.raises(welford.FormatError, match="bad.gguf"):
        welford.load(tmp_path / "bad.gguf")
    with pytest.raises(welford.UsageError):
        welford.load(tiny, weights="q3_0")
    with pytest.raises(welford.UsageError):
        welford.load(tiny, kv="f8")  # type: ignore[arg-type]
    with pytest.raises(welford.UsageError, match="temperature"):
        model.generate(PROMPT, temperature=-1)
    with pytest.raises(welford.UsageError, match="empty"):
        model.generate([], max_tokens=1)
    with pytest.raises(welford.UsageError, match="vocabulary"):
        model.generate([10**6], max_tokens=1)
    with pytest.raises(OverflowError):
        model.logits([2**40])
    with pytest.raises(welford.LimitError):
        model.generate([1] * (model.describe()["n_ctx"] + 1))
    with pytest.raises(welford.UsageError):
        model.logits([])
    assert len(model.logits(PROMPT)) == len(PROMPT)  # all is well


def test_closed(tiny: Path) -> None:
    m = welford.load(tiny)
    pieces = m.generate(PROMPT, ignore_end=True, stream=True)
    next(pieces)
    m.close()  # ends the stream
    m.close()
    assert pieces.generation is not None and pieces.generation.finish == "interrupted"
    with pytest.raises(welford.UsageError, match="closed"):
        m.generate(PROMPT)
    with pytest.raises(welford.UsageError, match="closed"):
        m.describe()


def test_the_interpreter_runs_meanwhile(model: welford.Model) -> None:
    """Other threads of Python count while the model computes."""
    counted, ended = [0], threading.Event()

    def count() -> None:
        while not ended.is_set():
            counted[0] += 1
            time.sleep(0)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        before = counted[0]
        for _ in range(20):
            model.logits([3] * 200)
        assert counted[0] > before
    finally:
        ended.set()
        thread.join()


def test_ctrl_c(tiny: Path) -> None:
    """SIGINT in the middle of a generation that would go on for long becomes KeyboardInterrupt, and the model goes on."""
    code = f"""
import os, signal, threading, welford
model = welford.load({str(tiny)!r}, )
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    while True:
        model.generate([1, 2], temperature=0, ignore_end=True)
except KeyboardInterrupt:
    print(len(model.generate([1, 2], max_tokens=3, temperature=0, ignore_end=True).ids))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "3", done.stderr


def test_exit_amid_a_stream(tiny: Path) -> None:
    code = f"import welford; s = welford.load({str(tiny)!r}).generate([1], ignore_end=True, stream=True); print(next(s))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_smollm2(smollm2: Path) -> None:
    with welford.load(smollm2) as model:
        messages = [{"role": "system", "content": ""}, {"role": "user", "content": "What is the capital of France?"}]
        assert str(model.chat(messages, temperature=0)) == "The capital of France is Paris."
        assert "".join(model.generate(messages, temperature=0, stream=True)) == "The capital of France is Paris."
        assert model.tokenize(model.detokenize(model.tokenize("Hello, world"))) == model.tokenize("Hello, world")
