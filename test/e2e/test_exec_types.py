"""welford exec: scalars, index and integers of less than a byte."""
import numpy as np
import pytest

from test_exec import mlir  # noqa: F401  mlir is a fixture


def test_scalars_and_index(mlir):  # noqa: F811
    """Scalar arguments and results are arrays without dimensions; index is i64."""
    f = mlir("""func.func @main(%x: tensor<4xf32>, %s: f32, %k: index) -> (tensor<4xf32>, f32, index, tensor<4xindex>) {
      %b = tensor.splat %s : tensor<4xf32>
      %y = arith.mulf %x, %b : tensor<4xf32>
      %e = tensor.extract %y[%k] : tensor<4xf32>
      %c1 = arith.constant 1 : index
      %k1 = arith.addi %k, %c1 : index
      %i = arith.constant dense<[5, 6, 7, 8]> : tensor<4xindex>
      return %y, %e, %k1, %i : tensor<4xf32>, f32, index, tensor<4xindex>
    }""")
    x = np.arange(4, dtype="f4")
    y, e, k, i = f(x, np.array(2.5, "f4"), np.array(2), n_results=4)
    assert np.array_equal(y, x * 2.5) and e == 5 and k == 3 and i.tolist() == [5, 6, 7, 8]
    assert k.dtype == i.dtype == np.int64 and e.shape == k.shape == ()


def test_four_bits(mlir):  # noqa: F811
    """A byte each, sign-extended; arithmetic wraps."""
    f = mlir("""func.func @main(%x: tensor<2x20xi4>) -> (tensor<2x20xi4>, tensor<2x20xf32>) {
      %c = arith.constant dense<3> : tensor<2x20xi4>
      %y = arith.addi %x, %c : tensor<2x20xi4>
      %z = arith.sitofp %y : tensor<2x20xi4> to tensor<2x20xf32>
      return %y, %z : tensor<2x20xi4>, tensor<2x20xf32>
    }""")
    x = np.random.default_rng(0).integers(-8, 8, (2, 20)).astype("i1")
    want = (x + 3 + 8) % 16 - 8
    y, z = f(x, n_results=2)
    assert y.dtype == np.int8 and np.array_equal(y, want) and np.array_equal(z, want)


def test_weights_of_four_bits(mlir):  # noqa: F811
    rng = np.random.default_rng(1)
    w, x = rng.integers(-8, 8, (8, 32)), rng.standard_normal((2, 32)).astype("f4")
    f = mlir(f"""func.func @main(%x: tensor<2x32xf32>) -> tensor<2x8xf32> {{
      %w = arith.constant dense<{w.tolist()}> : tensor<8x32xi4>
      %f = arith.sitofp %w : tensor<8x32xi4> to tensor<8x32xf32>
      %z = arith.constant dense<0.0> : tensor<2x8xf32>
      %y = linalg.matmul indexing_maps = [affine_map<(m,n,k)->(m,k)>, affine_map<(m,n,k)->(n,k)>, affine_map<(m,n,k)->(m,n)>]
          ins(%x, %f : tensor<2x32xf32>, tensor<8x32xf32>) outs(%z : tensor<2x8xf32>) -> tensor<2x8xf32>
      return %y : tensor<2x8xf32>
    }}""")
    assert np.abs(f(x)[0] - x @ w.T).max() < 1e-4


def test_unsigned(mlir):  # noqa: F811
    """ui8: arrays of int8 have its bits. Casts count from 0 to 255, and moves and sums do not ask."""
    f = mlir("""func.func @main(%x: tensor<2x6xui8>, %f: tensor<2x6xf32>) -> (tensor<6x2xf32>, tensor<2x6xui8>, tensor<2x6xi32>) {
      %c = "tosa.const"() <{values = dense<[[200, 100, 50, 1, 0, 255]]> : tensor<1x6xui8>}> : () -> tensor<1x6xui8>
      %t = tosa.transpose %x {perms = array<i32: 1, 0>} : (tensor<2x6xui8>) -> tensor<6x2xui8>
      %y = tosa.cast %t : (tensor<6x2xui8>) -> tensor<6x2xf32>
      %u = tosa.cast %f : (tensor<2x6xf32>) -> tensor<2x6xui8>
      %w = tosa.cast %x : (tensor<2x6xui8>) -> tensor<2x6xi32>
      %v = tosa.cast %c : (tensor<1x6xui8>) -> tensor<1x6xi32>
      %z = tosa.add %w, %v : (tensor<2x6xi32>, tensor<1x6xi32>) -> tensor<2x6xi32>
      return %y, %u, %z : tensor<6x2xf32>, tensor<2x6xui8>, tensor<2x6xi32>
    }""")
    x = np.array([[0, 1, 127, 128, 200, 255], [5, 250, 130, 3, 2, 1]], "u1")
    v = np.array([[-3, 0.4, 127.6, 254.6, 300, 99], [1.5, 2.5, 255.4, 128, 1e9, -1e9]], "f4")
    y, u, z = f(x.view("i1"), v, n_results=3)
    assert np.array_equal(y, x.T) and np.array_equal(u.view("u1"), np.clip(np.rint(v), 0, 255))
    assert np.array_equal(z, x.astype("i4") + [200, 100, 50, 1, 0, 255])


@pytest.mark.parametrize("element, reason", [("f8E4M3FN", "has elements of type f8E4M3FN"), ("ui8", "tosa.maximum on integers that have a sign")])
def test_other_types_are_named(mlir, element, reason):  # noqa: F811
    f = mlir(f"""func.func @main(%x: tensor<4x{element}>) -> tensor<4x{element}> {{
      %y = tosa.maximum %x, %x : (tensor<4x{element}>, tensor<4x{element}>) -> tensor<4x{element}>
      return %y : tensor<4x{element}>
    }}""")
    assert reason in f.run(np.zeros(4, "f4")).failed().stderr
