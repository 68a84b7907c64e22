"""welford exec: a decoder's step over caches, as a frontend writes it (decode_graph.py): found whole, its caches written in
place and read where they lie, and equal to what NumPy computes."""
import collections
import re

import numpy as np
import pytest

import decode_graph
from test_exec import mlir  # noqa: F401  a fixture

LAYERS = {
    "one-token": decode_graph.Layer(),
    "two-tokens": decode_graph.Layer(tokens=2, past=30),
    "first": decode_graph.Layer(past=0),
    "wide-heads": decode_graph.Layer(heads=6, width=64, positions=130, past=129, hidden=96),
    "odd-heads": decode_graph.Layer(width=20, heads=3, kv_heads=1),
    "all-heads": decode_graph.Layer(kv_heads=4, bias=False, positions=70, past=40, tokens=7),
    "prefill": decode_graph.Layer(tokens=31, past=0),
    "long-prefill": decode_graph.Layer(tokens=120, past=3, positions=128, layers=1),
}


def run(f, arguments, n, *options):
    f.run(*arguments, n_results=n, options=["--report", *options]).ok()
    return [np.load(f.tmp / f"o{i}.npy") for i in range(n)]


@pytest.mark.parametrize("name", LAYERS)
def test_graph(welford, mlir, name):  # noqa: F811
    text, arguments, wanted, expected = decode_graph.build(LAYERS[name])
    f = mlir(text)
    raised = welford.run("opt", "--passes=raise", f.path).ok().stdout
    found = collections.Counter(re.findall(r'"wf\.(\w+)"\(', raised))
    assert {kind: found[kind] for kind in expected} == expected
    assert "scf.for" not in raised and "memref" not in raised
    for options in ([], ["--no-raise"], ["--no-fuse=kernels"]):
        for got, want in zip(f(*arguments, n_results=len(wanted), options=options), wanted):
            assert np.abs(got - want).max() <= 4e-6 * np.abs(want).max(), options


@pytest.mark.parametrize("name", ["one-token", "two-tokens", "wide-heads", "all-heads"])
def test_caches_stay_where_they_are(welford, mlir, name):  # noqa: F811
    """A cache is copied once, to the result that it becomes; the attention reads that."""
    layer = LAYERS[name]
    text, arguments, wanted, _ = decode_graph.build(layer)
    f = mlir(text)
    plan = f.run(*arguments, n_results=len(wanted), options=["--print-plan"]).ok().stderr
    names = re.findall(r"result\d+", plan)
    attention = [line for line in plan.splitlines() if "attention_" in line]
    assert len(attention) == layer.layers and all("_rows" in line for line in attention)
    for i, line in enumerate(attention):
        assert f"result{2 * i}" in line and f"result{2 * i + 1}" in line
    assert len(names)
