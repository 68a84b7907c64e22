"""welford exec on random graphs (graph_fuzz.py), raised and as they are.

WELFORD_FUZZ_SEED    the first seed (default 0)
WELFORD_FUZZ_GRAPHS  how many, from there on (default 40)
"""
import os

import numpy as np
import pytest

import graph_fuzz

FIRST, COUNT = (int(os.environ.get(f"WELFORD_FUZZ_{name}", default)) for name, default in (("SEED", 0), ("GRAPHS", 40)))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_random_graph(welford, tmp_path, seed):
    graph = graph_fuzz.Graph(seed)
    (tmp_path / "f.mlir").write_text(graph.text)
    arrays = []
    for i, x in enumerate(graph.inputs):
        np.save(tmp_path / f"i{i}.npy", x)
        arrays += ["-i", tmp_path / f"i{i}.npy"]
    outputs = [tmp_path / f"o{i}.npy" for i in range(len(graph.results))]
    for options in ([], ["--no-raise"]):
        welford.run("exec", tmp_path / "f.mlir", *options, *arrays, *(word for path in outputs for word in ("-o", path))).ok()
        wrong = graph.check([np.load(path) for path in outputs])
        assert wrong is None, f"{wrong}\n{graph.text}"
