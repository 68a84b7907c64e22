"""welford exec: complex numbers. As arguments and results they are arrays of floats with a last axis of 2."""
import numpy as np
import pytest

from test_exec import mlir  # noqa: F401  a fixture

RNG = np.random.default_rng(5)


def numbers(*shape):
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype("c8")


def pairs(z):
    return np.stack([z.real, z.imag], -1).astype("f4")


def close(y, z):
    assert y.shape == (*z.shape, 2)
    assert np.abs(y[..., 0] + 1j * y[..., 1] - z).max() <= 2e-6 * np.abs(z).max()


T = "tensor<3x4xcomplex<f32>>"
M = "affine_map<(a, b) -> (a, b)>"
OPS = {
    "mul": ("%r = complex.mul %p, %q : complex<f32>", lambda a, b: a * b),
    "div": ("%r = complex.div %p, %q : complex<f32>", lambda a, b: a / b),
    "add and conjugate": ("%s = complex.add %p, %q : complex<f32>\n%r = complex.conj %s : complex<f32>", lambda a, b: np.conj(a + b)),
    "exp": ("%s = complex.exp %p : complex<f32>\n%r = complex.sub %s, %q : complex<f32>", lambda a, b: np.exp(a) - b),
    "chosen": ("%i = linalg.index 0 : index\n%o1 = arith.constant 1 : index\n%c = arith.cmpi slt, %i, %o1 : index\n"
               "%r = arith.select %c, %p, %q : complex<f32>", lambda a, b: np.where(np.arange(3)[:, None] < 1, a, b)),
}


@pytest.mark.parametrize("name", OPS)
def test_arithmetic(mlir, name):  # noqa: F811
    body, f = OPS[name]
    a, b = numbers(3, 4), numbers(3, 4)
    g = mlir(f"""func.func @main(%x: {T}, %y: {T}) -> {T} {{
  %e = tensor.empty() : {T}
  %z = linalg.generic {{indexing_maps = [{M}, {M}, {M}], iterator_types = ["parallel", "parallel"]}} ins(%x, %y : {T}, {T}) outs(%e : {T}) {{
  ^bb0(%p: complex<f32>, %q: complex<f32>, %o: complex<f32>):
    {body}
    linalg.yield %r : complex<f32>
  }} -> {T}
  return %z : {T}
}}""")
    close(g(pairs(a), pairs(b))[0], f(a.astype("c16"), b.astype("c16")))


def test_moves_constants_and_sums(mlir):  # noqa: F811
    a = numbers(3, 4)
    g = mlir(f"""func.func @main(%x: {T}) -> (tensor<4x2xcomplex<f32>>, tensor<3xcomplex<f32>>, tensor<4x3xf32>) {{
  %k = arith.constant dense<[(1.0, 2.0), (0.5, -1.0), (0.0, 3.0)]> : tensor<3xcomplex<f32>>
  %zero = complex.constant [0.0 : f32, 0.0 : f32] : complex<f32>
  %te = tensor.empty() : tensor<4x3xcomplex<f32>>
  %t = linalg.transpose ins(%x : {T}) outs(%te : tensor<4x3xcomplex<f32>>) permutation = [1, 0]
  %s = tensor.extract_slice %t[0, 1] [4, 2] [1, 1] : tensor<4x3xcomplex<f32>> to tensor<4x2xcomplex<f32>>
  %se = tensor.empty() : tensor<3xcomplex<f32>>
  %s0 = linalg.fill ins(%zero : complex<f32>) outs(%se : tensor<3xcomplex<f32>>) -> tensor<3xcomplex<f32>>
  %sum = linalg.generic {{indexing_maps = [{M}, affine_map<(a, b) -> (a)>, affine_map<(a, b) -> (a)>], iterator_types = ["parallel", "reduction"]}}
      ins(%x, %k : {T}, tensor<3xcomplex<f32>>) outs(%s0 : tensor<3xcomplex<f32>>) {{
  ^bb0(%p: complex<f32>, %q: complex<f32>, %o: complex<f32>):
    %m = complex.mul %p, %q : complex<f32>
    %n = complex.add %o, %m : complex<f32>
    linalg.yield %n : complex<f32>
  }} -> tensor<3xcomplex<f32>>
  %ie = tensor.empty() : tensor<4x3xf32>
  %i = linalg.generic {{indexing_maps = [{M}, {M}], iterator_types = ["parallel", "parallel"]}} ins(%t : tensor<4x3xcomplex<f32>>) outs(%ie : tensor<4x3xf32>) {{
  ^bb0(%p: complex<f32>, %o: f32):
    %r = complex.im %p : complex<f32>
    linalg.yield %r : f32
  }} -> tensor<4x3xf32>
  return %s, %sum, %i : tensor<4x2xcomplex<f32>>, tensor<3xcomplex<f32>>, tensor<4x3xf32>
}}""")
    s, total, i = g(pairs(a), n_results=3)
    close(s, a.T[:, 1:])
    close(total, (a * np.array([1 + 2j, 0.5 - 1j, 3j])[:, None]).sum(1))
    assert np.array_equal(i, a.T.imag)


def test_rotations(mlir):  # noqa: F811
    """As Llama's first code rotates: pairs of features are complex numbers, times others."""
    shape, half = (2, 8, 4, 8, 2), "tensor<2x8x4x8x"
    x, z = RNG.standard_normal(shape).astype("f4"), np.exp(1j * RNG.standard_normal((8, 8))).astype("c8")
    a, f = "affine_map<(b, s, h, d) -> (b, s, h, d)>", "affine_map<(b, s, h, d) -> (s, d)>"
    kinds = ", ".join(['"parallel"'] * 4)
    text = f"""func.func @main(%x: tensor<2x8x4x8x2xf32>, %f: tensor<8x8xcomplex<f32>>) -> tensor<2x8x4x8x2xf32> {{
  %re = tensor.extract_slice %x[0, 0, 0, 0, 0] [2, 8, 4, 8, 1] [1, 1, 1, 1, 1] : tensor<2x8x4x8x2xf32> to {half}f32>
  %im = tensor.extract_slice %x[0, 0, 0, 0, 1] [2, 8, 4, 8, 1] [1, 1, 1, 1, 1] : tensor<2x8x4x8x2xf32> to {half}f32>
  %e = tensor.empty() : {half}complex<f32>>
  %z = linalg.generic {{indexing_maps = [{a}, {a}, {f}, {a}], iterator_types = [{kinds}]}} ins(%re, %im, %f : {half}f32>, {half}f32>, tensor<8x8xcomplex<f32>>) outs(%e : {half}complex<f32>>) {{
  ^bb0(%r: f32, %i: f32, %v: complex<f32>, %o: complex<f32>):
    %u = complex.create %r, %i : complex<f32>
    %w = complex.mul %u, %v : complex<f32>
    linalg.yield %w : complex<f32>
  }} -> {half}complex<f32>>
  %ef = tensor.empty() : {half}f32>
  PARTS
  %y0 = tensor.empty() : tensor<2x8x4x8x2xf32>
  %y1 = tensor.insert_slice %pre into %y0[0, 0, 0, 0, 0] [2, 8, 4, 8, 1] [1, 1, 1, 1, 1] : {half}f32> into tensor<2x8x4x8x2xf32>
  %y2 = tensor.insert_slice %pim into %y1[0, 0, 0, 0, 1] [2, 8, 4, 8, 1] [1, 1, 1, 1, 1] : {half}f32> into tensor<2x8x4x8x2xf32>
  return %y2 : tensor<2x8x4x8x2xf32>
}}"""
    parts = "\n".join(f"""%p{part} = linalg.generic {{indexing_maps = [{a}, {a}], iterator_types = [{kinds}]}} ins(%z : {half}complex<f32>>) outs(%ef : {half}f32>) {{
  ^bb0(%w: complex<f32>, %o: f32):
    %r = complex.{part} %w : complex<f32>
    linalg.yield %r : f32
  }} -> {half}f32>""" for part in ("re", "im"))
    wanted = (x[..., 0] + 1j * x[..., 1]) * z[:, None]
    close(mlir(text.replace("PARTS", parts))(x, pairs(z))[0], wanted)


def test_refused_by_name(mlir):  # noqa: F811
    f = mlir(f"""func.func @main(%x: {T}) -> {T} {{
  %y = tensor.pad %x low[1, 0] high[0, 0] {{
  ^bb0(%i: index, %j: index):
    %z = complex.constant [0.0 : f32, 0.0 : f32] : complex<f32>
    tensor.yield %z : complex<f32>
  }} : {T} to tensor<4x4xcomplex<f32>>
  %s = tensor.extract_slice %y[0, 0] [3, 4] [1, 1] : tensor<4x4xcomplex<f32>> to {T}
  return %s : {T}
}}""")
    assert "tensor.pad on complex numbers cannot be compiled" in f.run(np.zeros((3, 4, 2), "f4")).failed().stderr


def test_unknown_rank(mlir):  # noqa: F811
    f = mlir(f"""func.func @main(%x: {T}) -> {T} {{
  %y = tensor.cast %x : {T} to tensor<*xcomplex<f32>>
  %z = tensor.cast %y : tensor<*xcomplex<f32>> to {T}
  return %z : {T}
}}""")
    assert "unknown rank" in f.run(np.zeros((3, 4, 2), "f4")).failed().stderr
