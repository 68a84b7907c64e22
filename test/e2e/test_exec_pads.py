"""Pads of any sign: negative amounts cut, in every form in which they come."""
import random

import numpy as np
import pytest
from test_exec import mlir  # noqa: F401  a fixture


def padded(x, low, high, value=7.0):
    y = np.full([n + a + b for n, a, b in zip(x.shape, low, high)], value, x.dtype)
    for place in np.ndindex(*y.shape):
        source = tuple(p - a for p, a in zip(place, low))
        if all(0 <= s < n for s, n in zip(source, x.shape)):
            y[place] = x[source]
    return y


def tensor_type(shape):
    return f"tensor<{''.join(f'{n}x' for n in shape)}f32>"


def tensor_pad(source, result, low, high, before=""):
    places = ", ".join(f"%i{d}: index" for d in range(len(source)))
    return f"""func.func @main(%x: {tensor_type(source)}) -> {tensor_type(result)} {{
      %f = arith.constant 7.0 : f32
      {before}
      %0 = tensor.pad %x low[{', '.join(map(str, low))}] high[{', '.join(map(str, high))}] {{
      ^bb0({places}):
        tensor.yield %f : f32
      }} : {tensor_type(source)} to {tensor_type(result)}
      return %0 : {tensor_type(result)}
    }}"""


def fixed(x, y, low, high):
    return tensor_pad(x.shape, y.shape, low, high)


def dynamic(x, y, low, high):
    unknown = ["?"] * x.ndim
    return tensor_pad(unknown, unknown, low, high)


def computed(x, y, low, high):
    """Amounts that only folding makes constants."""
    lines = ["%m = arith.constant -1 : index"]
    for name, amounts in (("l", low), ("h", high)):
        for d, n in enumerate(amounts):
            lines += [f"%n{name}{d} = arith.constant {-n} : index", f"%{name}{d} = arith.muli %n{name}{d}, %m : index"]
    unknown = ["?"] * x.ndim
    names = [[f"%{name}{d}" for d in range(x.ndim)] for name in "lh"]
    return tensor_pad(unknown, unknown, *names, before="\n      ".join(lines))


def tosa(x, y, low, high):
    amounts = [n for pair in zip(low, high) for n in pair]
    shape = f"!tosa.shape<{len(amounts)}>"
    return f"""func.func @main(%x: {tensor_type(x.shape)}) -> {tensor_type(y.shape)} {{
      %p = tosa.const_shape {{values = dense<{amounts}> : tensor<{len(amounts)}xindex>}} : () -> {shape}
      %c = "tosa.const"() <{{values = dense<7.0> : tensor<1xf32>}}> : () -> tensor<1xf32>
      %0 = tosa.pad %x, %p, %c : ({tensor_type(x.shape)}, {shape}, tensor<1xf32>) -> {tensor_type(y.shape)}
      return %0 : {tensor_type(y.shape)}
    }}"""


@pytest.mark.parametrize("form, lowest", [(fixed, -4), (dynamic, -4), (computed, -4), (tosa, -1)])
@pytest.mark.parametrize("seed", range(6))
def test_pads(mlir, form, lowest, seed):  # noqa: F811
    """Half of them keep their type: what one side loses, the other gains."""
    random_ = random.Random(seed)
    shape = [random_.randint(4, 6) for _ in range(random_.randint(1, 3))]
    low = [random_.randint(lowest, 1 if form is tosa else 4) for _ in shape]
    high = [-n for n in low] if seed % 2 else [random_.randint(-lowest - 4, 4) for _ in shape]
    x = np.random.default_rng(seed).standard_normal(shape).astype("f4")
    y = padded(x, low, high)
    f = mlir(form(x, y, low, high))
    for options in ([], ["--no-raise"]):
        assert np.array_equal(f(x, options=options)[0], y), (low, high)


def test_nothing_left(mlir):  # noqa: F811
    """What is cut may be more than there is."""
    x = np.ones((3, 2), "f4")
    assert np.array_equal(mlir(fixed(x, np.zeros((3, 2)), [-4, 0], [4, 0]))(x)[0], np.full((3, 2), 7))


def test_padding_by_place(mlir):  # noqa: F811
    x = np.random.default_rng(1).standard_normal((4, 6)).astype("f4")
    y = np.add.outer(np.arange(7), np.arange(8)).astype("f4")
    y[2:6, 1:7] = x
    f = mlir("""func.func @main(%x: tensor<4x6xf32>) -> tensor<7x8xf32> {
      %0 = tensor.pad %x low[2, 1] high[1, 1] {
      ^bb0(%i: index, %j: index):
        %k = arith.addi %i, %j : index
        %l = arith.index_cast %k : index to i32
        %m = arith.sitofp %l : i32 to f32
        tensor.yield %m : f32
      } : tensor<4x6xf32> to tensor<7x8xf32>
      return %0 : tensor<7x8xf32>
    }""")
    assert np.array_equal(f(x)[0], y)
