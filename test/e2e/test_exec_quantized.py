"""welford exec: weights of integers and scales, as frontends write them, are linears on quantised weights where a format has
exactly their values, on floats where none does; static quantisation of activations runs as it stands."""
import numpy as np
import pytest

from test_exec import mlir  # noqa: F401  a fixture

RNG = np.random.default_rng(3)
N, K, M = 24, 128, 5
X = RNG.standard_normal((M, K)).astype("f4")


def text_of(x, element):
    shape = "x".join(map(str, x.shape))
    return f"arith.constant dense<{x.tolist()}> : tensor<{shape}x{element}>"


def product(w):
    return f"""%o = arith.constant dense<0.0> : tensor<{M}x{N}xf32>
%y = linalg.matmul indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
    ins(%x, {w} : tensor<{M}x{K}xf32>, tensor<{N}x{K}xf32>) outs(%o : tensor<{M}x{N}xf32>) -> tensor<{M}x{N}xf32>"""


def function(body):
    return f"func.func @main(%x: tensor<{M}x{K}xf32>) -> tensor<{M}x{N}xf32> {{\n{body}\nreturn %y : tensor<{M}x{N}xf32>\n}}\n"


def grouped(q, element, scale, zero, cast="sitofp"):
    """q [N, groups, size] of integers, a scale and a zero point for each group, as weight-only quantisation writes them."""
    groups, size = q.shape[1:]
    shape = f"{N}x{groups}x{size}"
    whole, each = "affine_map<(n, g, k) -> (n, g, k)>", "affine_map<(n, g, k) -> (n, g)>"
    return function(f"""%q = {text_of(q, element)}
%s = {text_of(scale, "f32")}
%z = {text_of(zero, "f32")}
%e = tensor.empty() : tensor<{shape}xf32>
%d = linalg.generic {{indexing_maps = [{whole}, {each}, {each}, {whole}], iterator_types = ["parallel", "parallel", "parallel"]}}
    ins(%q, %s, %z : tensor<{shape}x{element}>, tensor<{N}x{groups}xf32>, tensor<{N}x{groups}xf32>) outs(%e : tensor<{shape}xf32>) {{
^bb0(%i: {element}, %a: f32, %b: f32, %c: f32):
  %f = arith.{cast} %i : {element} to f32
  %g = arith.subf %f, %b : f32
  %h = arith.mulf %g, %a : f32
  linalg.yield %h : f32
}} -> tensor<{shape}xf32>
%w = tensor.collapse_shape %d [[0], [1, 2]] : tensor<{shape}xf32> into tensor<{N}x{K}xf32>
{product("%w")}""")


def half(shape):
    """Scales that f16 has."""
    return (RNG.random(shape) * 0.02 + 0.001).astype("f2").astype("f4")


def per_tensor(scale):
    q = RNG.integers(-127, 128, (N, K)).astype("i1")
    t = f"tensor<{N}x{K}x"
    return function(f"""%q = {text_of(q, "i8")}
%f = tosa.cast %q : ({t}i8>) -> {t}f32>
%s = "tosa.const"() <{{values = dense<{float(scale)!r}> : tensor<1x1xf32>}}> : () -> tensor<1x1xf32>
%n = "tosa.const"() <{{values = dense<0> : tensor<1xi8>}}> : () -> tensor<1xi8>
%w = tosa.mul %f, %s, %n : ({t}f32>, tensor<1x1xf32>, tensor<1xi8>) -> {t}f32>
{product("%w")}"""), q * np.float64(scale)


def case(bits, size, exact, zero=0, element=None, cast="sitofp"):
    low, high = (0, 2 ** bits) if cast == "uitofp" else (-2 ** (bits - 1), 2 ** (bits - 1))
    q = RNG.integers(low, high, (N, K // size, size))
    scale = half((N, K // size)) if exact else (RNG.random((N, K // size)) * 0.02 + 0.001).astype("f4")
    zeros = np.full(scale.shape, zero, "f4")
    stored = np.where(q >= 2 ** (bits - 1), q - 2 ** bits, q) if cast == "uitofp" else q
    w = (q - zeros[..., None].astype("f8")) * scale[..., None].astype("f8")
    return grouped(stored, element or f"i{bits}", scale, zeros, cast), w.reshape(N, K)


CASES = {  # text, weights, layout of the linear
    "q4_0": (*case(4, 32, True), "q4_0x16"),
    "groups of 128": (*case(4, 128, True), "q4_0x16"),
    "unsigned": (*case(4, 64, True, zero=8, cast="uitofp"), "q4_0x16"),
    "uneven zero point": (*case(4, 32, True, zero=5), "q8_0x16"),
    "q8_0": (*case(8, 32, True), "q8_0x16"),
    "per channel": (*case(8, K, True), "q8_0x16"),
    "groups of 16": (*case(4, 16, True), "f32x16"),
    "scales of f32": (*case(4, 32, False), "f32x16"),
    "per tensor": (*per_tensor(0.0078125), "q8_0x16"),
    "per tensor of f32": (*per_tensor(np.float32(0.0123456789)), "f32x16"),
}


@pytest.mark.parametrize("name", CASES)
def test_weights(mlir, name):  # noqa: F811
    text, w, layout = CASES[name]
    f, wanted = mlir(text), X @ w.T
    plan = f.run(X, options=["--print-plan"]).ok().stderr
    assert f" linear_{layout}_{K}" in plan and ("_wide" in plan) == (layout != "f32x16"), plan
    assert plan.count("nest_") == 0
    for options in ([], ["--no-raise"], ["--no-fuse=kernels"]):
        assert np.abs(f(X, options=options)[0] - wanted).max() <= 2e-6 * np.abs(wanted).max(), options
    assert np.array_equal(f(X)[0][2], f(np.stack([X[2]] * M))[0][0])  # a row's bits do not depend on the others


def test_static_activations(mlir):  # noqa: F811
    """x is rounded by the graph itself, to integers of a scale and a zero point, and back."""
    q = RNG.integers(-127, 128, (N, K)).astype("i1")
    t = f"tensor<{M}x{K}x"
    f = mlir(function(f"""%e = tensor.empty() : {t}i8>
%r = tensor.empty() : {t}f32>
%a = linalg.generic {{indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m, k)>], iterator_types = ["parallel", "parallel"]}}
    ins(%x : {t}f32>) outs(%e : {t}i8>) {{
^bb0(%i: f32, %o: i8):
  %s = arith.constant 0.03125 : f32
  %z = arith.constant 3.0 : f32
  %low = arith.constant -128.0 : f32
  %high = arith.constant 127.0 : f32
  %d = arith.divf %i, %s : f32
  %n = math.roundeven %d : f32
  %p = arith.addf %n, %z : f32
  %l = arith.maximumf %p, %low : f32
  %h = arith.minimumf %l, %high : f32
  %c = arith.fptosi %h : f32 to i8
  linalg.yield %c : i8
}} -> {t}i8>
%b = linalg.generic {{indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m, k)>], iterator_types = ["parallel", "parallel"]}}
    ins(%a : {t}i8>) outs(%r : {t}f32>) {{
^bb0(%i: i8, %o: f32):
  %s = arith.constant 0.03125 : f32
  %z = arith.constant 3.0 : f32
  %f = arith.sitofp %i : i8 to f32
  %g = arith.subf %f, %z : f32
  %h = arith.mulf %g, %s : f32
  linalg.yield %h : f32
}} -> {t}f32>
%q = {text_of(q, "i8")}
%f = arith.sitofp %q : tensor<{N}x{K}xi8> to tensor<{N}x{K}xf32>
{product("%f").replace("ins(%x,", "ins(%b,")}"""))
    x = X * 2
    rounded = (np.clip(np.rint(x.astype("f8") / 0.03125) + 3, -128, 127) - 3) * 0.03125
    wanted = rounded @ q.T.astype("f8")
    for options in ([], ["--no-raise"]):
        assert np.abs(f(x, options=options)[0] - wanted).max() <= 2e-6 * np.abs(wanted).max()


def test_blocks_of_arguments(mlir):  # noqa: F811
    """No constants: they are multiplied out where the program runs."""
    f = mlir(f"""func.func @main(%x: tensor<{M}x64xf32>, %q: tensor<{N}x64xi8>, %d: tensor<{N}x2xf16>) -> tensor<{M}x{N}xf32> {{
  %w = "wf.blocks"(%q, %d) : (tensor<{N}x64xi8>, tensor<{N}x2xf16>) -> tensor<{N}x64x!wf.q8_0>
  %y = "wf.linear"(%x, %w) {{operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>}} : (tensor<{M}x64xf32>, tensor<{N}x64x!wf.q8_0>) -> tensor<{M}x{N}xf32>
  return %y : tensor<{M}x{N}xf32>
}}""")
    q, d = RNG.integers(-128, 128, (N, 64)).astype("i1"), (RNG.random((N, 2)) * 0.1).astype("f2")
    wanted = X[:, :64] @ (q * np.repeat(d.astype("f8"), 32, 1)).T
    for options in ([], ["--no-fuse=kernels"]):
        assert np.abs(f(X[:, :64].copy(), q, d, options=options)[0] - wanted).max() <= 2e-6 * np.abs(wanted).max()
