"""welford exec: wf ops in their forms and types, and ops that upstream lowers to nothing that exec could run."""
import math
import re

import numpy as np
import pytest

from fuzz_values import loaded, rounded, stored, type_of
from test_exec import kernels_of, mlir  # noqa: F401  mlir is a fixture

RNG = np.random.default_rng(3)


def function_of(arguments, results, body):
    names = ", ".join(f"%{name}: {t}" for name, t in arguments)
    returned = ", ".join(f"%y{i}" if i else "%y" for i in range(len(results)))
    return f"func.func @main({names}) -> ({', '.join(results)}) {{\n{body}\nreturn {returned} : {', '.join(results)}\n}}\n"


# ---- wf.linear

TOLERANCE = {"f32": 2e-6, "f16": 2.0 ** -10, "bf16": 2.0 ** -7}


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("x, w, y", [("bf16", "bf16", "bf16"), ("f16", "f16", "f16"), ("f32", "bf16", "f32"), ("f32", "f16", "f32"),
                                     ("bf16", "bf16", "f32"), ("f16", "f32", "f16")])
@pytest.mark.parametrize("m, k, n", [(1, 64, 32), (20, 33, 37)])
def test_linear_of_16_bits(mlir, x, w, y, m, k, n, constant):
    """Activations, weights and results of any small type run on the linear kernel: 1 row only where weights are packed."""
    types = {"x": (x, (m, k)), "b": (y, (n,)), "r": (y, (m, n)), "w": (w, (n, k))}
    values = {name: rounded(e, RNG.standard_normal(shape)) for name, (e, shape) in types.items()}
    t = {name: type_of(shape, e) for name, (e, shape) in types.items()}
    text = f'%w = arith.constant dense<"0x{stored(w, values["w"]).tobytes().hex()}"> : {t["w"]}\n' if constant else ""
    text += (f'%y = "wf.linear"(%x, %w, %b, %r) {{operandSegmentSizes = array<i32: 1, 1, 0, 0, 1, 0, 0, 1>}} : '
             f'({t["x"]}, {t["w"]}, {t["b"]}, {t["r"]}) -> {t["r"]}')
    names = "xbr" if constant else "xbrw"
    f = mlir(function_of([(name, t[name]) for name in names], [t["r"]], text))
    done = f.run(*(stored(types[name][0], values[name]) for name in names), options=["--print-plan"]).ok()
    want = values["x"].astype(np.float64) @ values["w"].T + values["b"] + values["r"]
    assert np.abs(loaded(y, np.load(f.tmp / "o0.npy")) - want).max() <= TOLERANCE[y] * np.abs(want).max()
    assert ("linear" in kernels_of(done)) == (constant or m > 1)


# ---- wf.rope

@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("rows", [1, 5])
def test_rope(mlir, interleaved, rows):
    """Halves or neighbours, a row of angles for each token or one for all: one nest."""
    x, c, s = (RNG.standard_normal(shape).astype("f4") for shape in [(2, 5, 24), (rows, 4), (rows, 4)])
    t, table = "tensor<2x5x24xf32>", f"tensor<{rows}x4xf32>"
    f = mlir(function_of([("x", t), ("c", table), ("s", table)], [t],
                         f'%y = "wf.rope"(%x, %c, %s) {{n_heads = 3 : i64, interleaved = {str(interleaved).lower()}}} : ({t}, {table}, {table}) -> {t}'))
    done = f.run(x, c, s, options=["--print-plan"]).ok()
    heads, c, s = x.reshape(2, 5, 3, 8), c[:, None], s[:, None]
    a, b = (heads[..., ::2], heads[..., 1::2]) if interleaved else (heads[..., :4], heads[..., 4:])
    pair = [a * c - b * s, b * c + a * s]
    want = (np.stack(pair, -1) if interleaved else np.concatenate(pair, -1)).reshape(x.shape)
    assert np.abs(np.load(f.tmp / "o0.npy") - want).max() < 1e-6
    assert len([line for line in done.stderr.splitlines() if " tiles " in line]) == 1


# ---- wf.glu

ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3))) / 2,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_glu(mlir, activation):
    t = "tensor<3x20xf32>"
    gate, up = RNG.standard_normal((2, 3, 20)).astype("f4")
    f = mlir(function_of([("g", t), ("u", t)], [t], f'%y = "wf.glu"(%g, %u) {{activation = "{activation}"}} : ({t}, {t}) -> {t}'))
    active = ACTIVATIONS[activation](gate.astype(np.float64))
    assert np.abs(f(gate, up)[0] - active * up).max() < 2e-6


# ---- ops of TOSA, tensor, linalg, scf

X, INDEX = RNG.standard_normal((2, 6, 5)).astype("f4"), np.array([[4, 0, 3], [1, 5, 2]], "i4")
ROWS = RNG.standard_normal((2, 3, 5)).astype("f4")
AT = "%i = tensor.extract %at[] : tensor<i64>\n%j = arith.index_cast %i : i64 to index\n"
XT, SCALAR, TRUE = "tensor<2x6x5xf32>", ("at", "tensor<i64>"), np.array(True)


def scattered(x, index, rows):
    y = x.copy()
    for b in range(len(x)):
        y[b, index[b]] = rows[b]
    return y


def inserted(x, part, at):
    y = x.copy()
    y[:, at:at + part.shape[1]] = part
    return y


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def either(kind):
    if kind == "tosa.cond_if":
        return (f"%y = tosa.cond_if %c (%p = %a, %q = %b) : tensor<i1> ({XT}, {XT}) -> {XT} {{\n^bb0(%p: {XT}, %q: {XT}):\n"
                f"%s = tosa.add %p, %q : ({XT}, {XT}) -> {XT}\ntosa.yield %s : {XT}\n}} else {{\n^bb0(%p: {XT}, %q: {XT}):\ntosa.yield %p : {XT}\n}}")
    return (f"%t = tensor.extract %c[] : tensor<i1>\n%y = scf.if %t -> ({XT}) {{\n%s = arith.addf %a, %b : {XT}\nscf.yield %s : {XT}\n}} else {{\n"
            f"scf.yield %a : {XT}\n}}")


FORMS = [
    ("tosa.scatter", [("a", XT), ("i", "tensor<2x3xi32>"), ("b", "tensor<2x3x5xf32>")], [XT],
     f"%y = tosa.scatter %a, %i, %b : ({XT}, tensor<2x3xi32>, tensor<2x3x5xf32>) -> {XT}", [X, INDEX, ROWS], [scattered(X, INDEX, ROWS)]),
    ("slice", [("a", XT), SCALAR], ["tensor<2x2xf32>"],
     AT + f"%y = tensor.extract_slice %a[0, %j, 1] [2, 1, 2] [1, 1, 2] : {XT} to tensor<2x2xf32>", [X, np.array(3)], [X[:, 3, 1:5:2]]),
    ("insert_slice", [("a", XT), ("b", "tensor<2x3x5xf32>"), SCALAR], [XT],
     AT + f"%y = tensor.insert_slice %b into %a[0, %j, 0] [2, 3, 5] [1, 1, 1] : tensor<2x3x5xf32> into {XT}", [X, ROWS, np.array(2)],
     [inserted(X, ROWS, 2)]),
    ("insert", [("a", "tensor<5xf32>"), SCALAR], ["tensor<5xf32>"], AT + "%f = arith.constant 9.0 : f32\n%y = tensor.insert %f into %a[%j] : tensor<5xf32>",
     [X[0, 0], np.array(4)], [np.array([*X[0, 0, :4], 9], "f4")]),
    ("generate", [("a", "tensor<5xf32>")], ["tensor<3x5xf32>"],
     "%y = tensor.generate {\n^bb0(%i: index, %j: index):\n%e = tensor.extract %a[%j] : tensor<5xf32>\n%k = arith.index_cast %i : index to i32\n"
     "%f = arith.sitofp %k : i32 to f32\n%s = arith.addf %e, %f : f32\ntensor.yield %s : f32\n} : tensor<3x5xf32>",
     [X[0, 0]], [X[0, 0] + np.arange(3, dtype="f4")[:, None]]),
    ("bitcast", [("a", XT)], ["tensor<2x6x5xi32>"], f"%y = tensor.bitcast %a : {XT} to tensor<2x6x5xi32>", [X], [X.view("i4")]),
    *((f"linalg.softmax-{axis}", [("a", XT)], [XT],
       f"%e = tensor.empty() : {XT}\n%y = linalg.softmax dimension({axis}) ins(%a : {XT}) outs(%e : {XT}) -> {XT}", [X], [softmax(X, axis)]) for axis in range(3)),
    *((f"{kind}-{taken}", [("c", "tensor<i1>"), ("a", XT), ("b", XT)], [XT], either(kind), [np.array(taken), X, X[::-1].copy()], [X + X[::-1] if taken else X])
      for kind in ("tosa.cond_if", "scf.if") for taken in (True, False)),
    ("tosa.rfft2d", [("a", "tensor<2x8x16xf32>")], ["tensor<2x8x9xf32>"] * 2,
     "%y, %y1 = tosa.rfft2d %a : (tensor<2x8x16xf32>) -> (tensor<2x8x9xf32>, tensor<2x8x9xf32>)", [np.sin(np.arange(256, dtype="f4")).reshape(2, 8, 16)],
     [f(np.fft.rfft2(np.sin(np.arange(256, dtype="f4")).reshape(2, 8, 16))).astype("f4") for f in (np.real, np.imag)]),
    ("sum of nothing", [("a", "tensor<0x3xf16>")], ["tensor<f16>"],
     "%c = arith.constant 2.0 : f16\n%e = tensor.empty() : tensor<f16>\n%f = linalg.fill ins(%c : f16) outs(%e : tensor<f16>) -> tensor<f16>\n"
     "%y = linalg.reduce { arith.mulf } ins(%a : tensor<0x3xf16>) outs(%f : tensor<f16>) dimensions = [0, 1]", [np.zeros((0, 3), "f2")], [np.array(2, "f2")]),
]


@pytest.mark.parametrize("name, arguments, results, body, inputs, wanted", FORMS, ids=[f[0] for f in FORMS])
def test_form(mlir, name, arguments, results, body, inputs, wanted):
    found = mlir(function_of(arguments, results, body))(*inputs, n_results=len(results))
    for y, want in zip(found, wanted, strict=True):
        assert y.shape == want.shape and y.dtype == want.dtype
        assert np.abs(y.astype(np.float64) - want).max() <= 2e-5


@pytest.mark.parametrize("name, message", [("slice", "an index is out of range"), ("insert_slice", "an index is out of range"),
                                           ("insert", "a slice is out of range"), ("tosa.scatter", "an index is out of range")])
def test_out_of_range(mlir, name, message):
    """Places come from data: a bad one is an error."""
    _, arguments, results, body, inputs, _ = next(f for f in FORMS if f[0] == name)
    f = mlir(function_of(arguments, results, body))
    at = 2 + body.count("\n")
    for bad in (-1, 6, 2 ** 30):
        place = {i: np.full_like(x, bad) for i, x in enumerate(inputs) if x.dtype.kind == "i"}
        done = f.run(*(place.get(i, x) for i, x in enumerate(inputs))).failed(2)
        assert re.search(rf"f\.mlir:{at}:\d+: (assertion fails: )?{message}", done.stderr), done.stderr


def test_element_of_a_resource(mlir):
    """Upstream's folding of one element of a dense_resource aborts."""
    data = np.arange(16, dtype="f4")
    f = mlir("""func.func @main(%a: tensor<1xf32>) -> tensor<1xf32> {
      %c = "tosa.const"() <{values = dense_resource<w> : tensor<16xf32>}> : () -> tensor<16xf32>
      %s = tosa.const_shape {values = dense<[15]> : tensor<1xindex>} : () -> !tosa.shape<1>
      %n = tosa.const_shape {values = dense<[1]> : tensor<1xindex>} : () -> !tosa.shape<1>
      %0 = tosa.slice %c, %s, %n : (tensor<16xf32>, !tosa.shape<1>, !tosa.shape<1>) -> tensor<1xf32>
      %1 = tosa.add %0, %a : (tensor<1xf32>, tensor<1xf32>) -> tensor<1xf32>
      return %1 : tensor<1xf32>
    }
    {-# dialect_resources: { builtin: { w: "0x04000000""" + data.tobytes().hex() + '" } } #-}')
    assert f(np.ones(1, "f4"))[0][0] == 16


# ---- kernels

SHARED = """#map = affine_map<(d0) -> (d0)>
func.func @main(%a: tensor<40xf32>) -> (tensor<40xf32>, tensor<40xf32>, tensor<40xf32>) {{
  %e = tensor.empty() : tensor<40xf32>
  {scale_ops}
  return %y0, %y1, %y2 : tensor<40xf32>, tensor<40xf32>, tensor<40xf32>
}}"""


def scale(i, number):
    """x * number + i, the number from outside the body."""
    return f"""%c{i} = arith.constant {number} : f32
  %y{i} = linalg.generic {{indexing_maps = [#map, #map], iterator_types = ["parallel"]}} ins(%a : tensor<40xf32>) outs(%e : tensor<40xf32>) {{
  ^bb0(%in: f32, %out: f32):
    %p = arith.mulf %in, %c{i} : f32
    %t = math.tanh %p : f32
    linalg.yield %t : f32
  }} -> tensor<40xf32>"""


def test_equal_loops_share_a_kernel(mlir):
    """Three calls, two kernels: what differs in a number alone differs. (Equal ops of the same operands would be one.)"""
    text = SHARED.format(scale_ops="\n  ".join([scale(0, 2.0), scale(1, 3.0), scale(2, 2.0).replace("ins(%a", "ins(%y1")]))
    x = RNG.standard_normal(40).astype("f4")
    f = mlir(text)
    done = f.run(x, n_results=3, options=["--print-plan", "--no-fuse=elementwise"]).ok()
    found = [np.load(f.tmp / f"o{i}.npy") for i in range(3)]
    wanted = [np.tanh(x * 2), np.tanh(x * 3), np.tanh(np.tanh(x * 3) * 2)]
    assert all(np.abs(y - want).max() < 1e-6 for y, want in zip(found, wanted, strict=True))
    kernels = re.findall(r"^[+ ] *\d+ +(nest_\d+) ", done.stderr, re.M)
    assert len(kernels) == 3 and kernels[0] == kernels[2] != kernels[1]
