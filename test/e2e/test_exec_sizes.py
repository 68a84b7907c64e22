"""Functions whose files leave sizes open: one program for all sizes where the ops allow it, else one for each."""
import itertools
import re

import numpy as np
import pytest

from test_exec import GRAPHS, Function, mlir  # noqa: F401 (a fixture)

RNG = np.random.default_rng(7)


class Sized(Function):
    """A function with a cache of its own, whose programs can be counted."""

    def __init__(self, welford, path, tmp_path, monkeypatch):
        super().__init__(welford, path, tmp_path)
        self.cache = tmp_path / "cache"
        monkeypatch.setenv("WELFORD_CACHE", str(self.cache))

    def programs(self) -> int:
        return len(list(self.cache.glob("programs/*.wfprog")))


@pytest.fixture
def sized(welford, tmp_path, monkeypatch):
    def make(text_or_path):
        path = text_or_path
        if isinstance(text_or_path, str):
            path = tmp_path / "f.mlir"
            path.write_text(text_or_path)
        return Sized(welford, path, tmp_path, monkeypatch)
    return make


def sizes_of(done) -> str:
    return re.search(r"^sizes +(.*)$", done.stderr, re.M)[1]


def layer_norm(x, gamma=1.0, beta=0.0):
    x = x.astype("f8")
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gamma + beta


def test_a_norm_of_three_sizes_is_compiled_once(sized, monkeypatch):
    f = sized(GRAPHS / "linalg/layernorm_noaffine_dyn.mlir")
    for tokens in (5, 1, 64):
        x = RNG.standard_normal((2, tokens, 768), dtype="f4")
        assert sizes_of(f.run(x, options=["--report"]).ok()) == "any"
        assert np.abs(f(x)[0] - layer_norm(x)).max() < 3e-6
        assert f.programs() == 1
        monkeypatch.setenv("LD_DEBUG", "files")  # names every library that is opened
        assert "libLLVM" not in f.run(x).ok().stderr
        monkeypatch.delenv("LD_DEBUG")
    other = RNG.standard_normal((3, 4, 768), dtype="f4")  # the first size is fixed
    assert "2x?x768" in f.run(other).failed(2).stderr


def test_definitions_take_any_size(sized):
    """Ops without a kernel of their own in graphs: written out by their definitions, rows of any number."""
    t = "tensor<?x?x48xf32>"
    f = sized(f"""func.func @main(%x: {t}, %u: {t}) -> ({t}, {t}) {{
  %s = "wf.softmax"(%x) : ({t}) -> {t}
  %g = "wf.glu"(%s, %u) {{activation = "silu"}} : ({t}, {t}) -> {t}
  return %s, %g : {t}, {t}
}}""")
    for shape in ((2, 5, 48), (1, 1, 48), (3, 17, 48)):
        x, u = (RNG.standard_normal(shape, dtype="f4") for _ in range(2))
        assert sizes_of(f.run(x, u, n_results=2, options=["--report"]).ok()) == "any"
        soft = np.exp(x.astype("f8")) / np.exp(x.astype("f8")).sum(-1, keepdims=True)
        s, g = f(x, u, n_results=2)
        assert np.abs(s - soft).max() < 1e-6 and np.abs(g - soft / (1 + np.exp(-soft)) * u).max() < 1e-6
        assert f.programs() == 1


MLP = """func.func @main(%x: tensor<?x?x48xf32>, %r: tensor<?x?x32xf32>) -> (tensor<?x?x32xf32>, tensor<?x?xf32>) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.0 : f32
  %w = arith.constant dense<"0x{w}"> : tensor<32x48xf32>
  %b = arith.constant dense<"0x{b}"> : tensor<32xf32>
  %m = tensor.dim %x, %c0 : tensor<?x?x48xf32>
  %n = tensor.dim %x, %c1 : tensor<?x?x48xf32>
  %flat = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x?x48xf32> into tensor<?x48xf32>
  %y = "wf.linear"(%flat, %w) {{operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>}} : (tensor<?x48xf32>, tensor<32x48xf32>) -> tensor<?x32xf32>
  %deep = tensor.expand_shape %y [[0, 1], [2]] output_shape [%m, %n, 32] : tensor<?x32xf32> into tensor<?x?x32xf32>
  %e = tensor.empty(%m, %n) : tensor<?x?x32xf32>
  %s = linalg.generic {{indexing_maps = [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (k)>, affine_map<(i, j, k) -> (i, j, k)>,
      affine_map<(i, j, k) -> (i, j, k)>], iterator_types = ["parallel", "parallel", "parallel"]}}
      ins(%deep, %b, %r : tensor<?x?x32xf32>, tensor<32xf32>, tensor<?x?x32xf32>) outs(%e : tensor<?x?x32xf32>) {{
  ^bb0(%p: f32, %q: f32, %t: f32, %o: f32):
    %u = arith.addf %p, %q : f32
    %v = arith.maximumf %u, %z : f32
    %a = arith.addf %v, %t : f32
    linalg.yield %a : f32
  }} -> tensor<?x?x32xf32>
  %d = tensor.empty(%m, %n) : tensor<?x?xf32>
  %f = linalg.fill ins(%z : f32) outs(%d : tensor<?x?xf32>) -> tensor<?x?xf32>
  %g = linalg.generic {{indexing_maps = [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (i, j)>],
      iterator_types = ["parallel", "parallel", "reduction"]}} ins(%s : tensor<?x?x32xf32>) outs(%f : tensor<?x?xf32>) {{
  ^bb0(%p: f32, %o: f32):
    %a = arith.addf %p, %o : f32
    linalg.yield %a : f32
  }} -> tensor<?x?xf32>
  return %s, %g : tensor<?x?x32xf32>, tensor<?x?xf32>
}}
"""


@pytest.mark.parametrize("options", [[], ["--no-fuse=chain"], ["-t", "1"], ["-t", "3"]])
def test_products_sums_and_elements_of_any_size(sized, options):
    w, b = RNG.standard_normal((32, 48), dtype="f4"), RNG.standard_normal(32, dtype="f4")
    f = sized(MLP.format(w=w.tobytes().hex(), b=b.tobytes().hex()))
    for m, n in ((2, 3), (1, 1), (5, 40), (3, 0), (0, 3), (1, 300)):
        x = RNG.standard_normal((m, n, 48), dtype="f4")
        r = RNG.standard_normal((m, n, 32), dtype="f4")
        y, total = f(x, r, n_results=2, options=options)
        wanted = np.maximum(x.astype("f8") @ w.T + b, 0) + r
        assert y.shape == (m, n, 32) and total.shape == (m, n)
        assert np.abs(y - wanted).max(initial=0) < 1e-5
        assert np.abs(total - wanted.sum(-1)).max(initial=0) < 1e-4
    assert f.programs() == 1
    assert sizes_of(f.run(x, r, n_results=2, options=["--report", *options]).ok()) == "any"


def test_arguments_have_to_agree(sized):
    """Sizes that an op wants to be equal are one dim: arrays that disagree are refused by name, whatever was cached."""
    w, b = np.zeros((32, 48), "f4"), np.zeros(32, "f4")
    f = sized(MLP.format(w=w.tobytes().hex(), b=b.tobytes().hex()))
    zeros = lambda *shape: np.zeros(shape, "f4")
    f(zeros(2, 3, 48), zeros(2, 3, 32), n_results=2)
    assert f.run(zeros(2, 3, 48), zeros(2, 4, 32)).failed(2).stderr.count("\n") == 1
    assert "argument 1" in f.run(zeros(2, 3, 48), zeros(2, 4, 32)).failed(2).stderr
    assert f.run(zeros(2, 3, 48), zeros(3, 2, 32)).failed(2).stderr.count("\n") == 1
    assert f.run(zeros(2, 3, 48)).failed(2)
    assert f.run(zeros(2, 3, 47), zeros(2, 3, 32)).failed(2)
    y, _ = f(zeros(4, 1, 48), zeros(4, 1, 32), n_results=2)
    assert y.shape == (4, 1, 32)


def test_same_bytes_as_for_fixed_sizes(sized, welford, tmp_path):
    """A program for any size computes what one for these sizes computes, on any number of threads."""
    w, b = RNG.standard_normal((32, 48), dtype="f4"), RNG.standard_normal(32, dtype="f4")
    text = MLP.format(w=w.tobytes().hex(), b=b.tobytes().hex())
    x, r = RNG.standard_normal((3, 17, 48), dtype="f4"), RNG.standard_normal((3, 17, 32), dtype="f4")
    results = []
    for open_sizes, threads in itertools.product((True, False), (1, 2, 3)):
        fixed = text.replace("tensor<?x?x", "tensor<3x17x").replace("tensor<?x32", "tensor<51x32").replace("tensor<?x48", "tensor<51x48")
        fixed = re.sub(r"tensor\.empty\(%m, %n\)", "tensor.empty()", fixed).replace("[%m, %n, 32]", "[3, 17, 32]")
        f = sized(text if open_sizes else fixed)
        results.append(f(x, r, n_results=2, options=["-t", str(threads)]))
    for got in results[1:]:
        for a, b in zip(results[0], got):
            assert np.array_equal(a, b)


TRANSPOSED = """func.func @main(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %p = arith.constant dense<[1, 0]> : tensor<2xi32>
  %0 = tosa.transpose %x {perms = array<i32: 1, 0>} : (tensor<?x?xf32>) -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}
"""


def test_what_needs_its_sizes_is_compiled_for_them(sized):
    f = sized(TRANSPOSED)
    for i, shape in enumerate(((2, 3), (4, 1), (5, 7)), 1):
        x = RNG.standard_normal(shape, dtype="f4")
        assert np.array_equal(f(x)[0], x.T)
        assert f.programs() == i
        assert "f.mlir:" in sizes_of(f.run(x, options=["--report"]).ok())
