"""welford logits: the numbers behind the next token, against those that llama.cpp computed."""
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

CASES = json.loads((Path(__file__).parent / "golden/smollm2.json").read_text())["cases"]
VARIANTS = ("first_step_top8_logits", "first_step_top8_logits_f32_kv", "first_step_top8_logits_f32_weights")


def prompt_args(case: dict) -> list[str]:
    return ["-p", case["messages"][0]["content"]] if case["messages"] else ["--raw", "-p", case["prompt"]]


@pytest.fixture
def logits(welford, smollm2, tmp_path):
    def compute(*args) -> np.ndarray:
        welford.run("logits", smollm2, "-o", tmp_path / "logits.npy", *args).ok()
        return np.load(tmp_path / "logits.npy")

    return compute


def difference(case: dict, variant: str, values) -> np.ndarray:
    return np.array([abs(values[id] - logit) for id, logit in case[variant]])


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["prompt"][-40:-30])
def test_first_step(logits, case):
    values = logits(*prompt_args(case))
    assert values.shape == (49152,) and values.dtype == np.float32 and np.isfinite(values).all()
    assert difference(case, "first_step_top8_logits", values).max() < 0.7


def test_nearer_to_exact_weights_than_the_variants_to_each_other(logits):
    """The F32-weights variant has the file's numbers without rounded activations: the nearest to exact that is known."""
    ours, theirs = [], []
    for case in CASES:
        ours += list(difference(case, "first_step_top8_logits_f32_weights", logits(*prompt_args(case))))
        for a, b in itertools.combinations(VARIANTS, 2):
            known = dict(map(tuple, case[b]))
            theirs += [abs(logit - known[id]) for id, logit in case[a] if id in known]
    print(f"mean {np.mean(ours):.3f} and {np.mean(theirs):.3f}, greatest {max(ours):.3f} and {max(theirs):.3f}")
    assert np.mean(ours) < np.mean(theirs)


def test_lines(welford, smollm2, logits):
    args = prompt_args(CASES[0])
    values = logits(*args)
    lines = welford.run("logits", smollm2, *args).ok().stdout.splitlines()
    assert len(lines) == 8
    best = np.argsort(-values, kind="stable")
    for line, id in zip(lines, best):
        columns = line.split("\t")
        assert len(columns) == 3 and int(columns[0]) == id and columns[1] == f"{values[id]:.5f}"
        text = json.loads(columns[2])
        assert text == welford.run("tokenize", smollm2, "--decode", "--special", input=str(id)).ok().stdout
    assert len(welford.run("logits", smollm2, *args, "--top", 100).ok().stdout.splitlines()) == 100
    assert welford.run("logits", smollm2, *args, "--top", 0).ok().stdout == ""


def test_threads_change_no_bit(logits):
    args = ["-p", "What is the capital of France?"]
    one = logits(*args, "-t", 1)
    for n_threads in (2, 3, 5):
        assert (logits(*args, "-t", n_threads) == one).all()


def test_raw_equals_the_template_spelled_out(logits):
    templated = next(c for c in CASES if c["messages"])
    assert (logits("-p", templated["messages"][0]["content"]) == logits("--raw", "-p", templated["prompt"])).all()


def test_errors(welford, smollm2, tmp_path):
    for args in ([], ["m", "-b", "0"], ["m", "-b", "3,x"], ["m", "-b", ","], ["m", "-b", "1," * 17], ["m", "--top", "x"], ["m", "--top", "-1"], ["m", "-p", "a", "-f", "b"], ["m", "n"], ["m", "--no"]):
        assert welford.run("logits", *args).failed(2).stderr.startswith("welford logits: ")
    welford.run("logits", tmp_path / "missing", "-p", "x").failed(1)
    welford.run("logits", smollm2, "-p", "x", "-o", tmp_path / "no/such/folder.npy").failed(1)
    assert "8192" in welford.run("logits", smollm2, "--raw", "-p", "a b " * 5000).failed(1).stderr
    assert "empty" in welford.run("logits", smollm2, "--raw", "-p", "").failed(2).stderr
    assert "--raw" in welford.run("logits", "--help").ok().stdout
