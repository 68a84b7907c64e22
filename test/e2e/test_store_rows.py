"""welford: loops and scatters that write rows at places from a list are wf.store_rows, and compute what NumPy does; what only
looks like them is not, and computes the same all the same."""
import re

import numpy as np
import pytest

from test_exec import mlir  # noqa: F401  a fixture

RNG = np.random.default_rng(7)
X, ROWS = RNG.standard_normal((2, 6, 5)).astype("f4"), RNG.standard_normal((2, 3, 5)).astype("f4")
AT, EACH = np.array([4, 0, 4]), np.array([[1, 5, 0], [2, 2, 3]])
XT, RT = "tensor<2x6x5xf32>", "tensor<2x3x5xf32>"
C = "\n".join(f"%c{i} = arith.constant {i} : index" for i in range(7)) + "\n"


def stored(x, rows, at):
    y = x.copy()
    for b in range(len(x)):
        for w, place in enumerate(np.broadcast_to(at, rows.shape[:2])[b]):
            y[b, place] = rows[b, w]
    return y


def loops(inner, bounds=(2, 3), step=1):
    """Two loops, one in the other, that carry a tensor; `inner` makes %n of %z."""
    return f"""{C}%y = scf.for %b = %c0 to %c{bounds[0]} step %c1 iter_args(%o = %x) -> ({XT}) {{
  %l = scf.for %w = %c0 to %c{bounds[1]} step %c{step} iter_args(%z = %o) -> ({XT}) {{
{inner}
    scf.yield %n : {XT}
  }}
  scf.yield %l : {XT}
}}"""


def slices(place, source="%r[%b, %w, 0]"):
    return f"""{place}
    %s = tensor.extract_slice {source} [1, 1, 5] [1, 1, 1] : {RT} to tensor<5xf32>
    %n = tensor.insert_slice %s into %z[%b, %k, 0] [1, 1, 5] [1, 1, 1] : tensor<5xf32> into {XT}"""


READ = "    %i = tensor.extract %at[%w] : tensor<3xi64>\n    %k = arith.index_cast %i : i64 to index"
READ_EACH = "    %i = tensor.extract %at[%b, %w] : tensor<2x3xi64>\n    %k = arith.index_cast %i : i64 to index"
SINGLE = f"""{READ}
    %n = scf.for %c = %c0 to %c5 step %c1 iter_args(%v = %z) -> ({XT}) {{
      %e = tensor.extract %r[%b, %w, %c] : {RT}
      %u = tensor.insert %e into %v[%b, %k, %c] : {XT}
      scf.yield %u : {XT}
    }}"""
BUFFERS = f"""{C}%xb = bufferization.to_buffer %x : {XT} to memref<2x6x5xf32>
%m = memref.alloc() : memref<2x6x5xf32>
memref.copy %xb, %m : memref<2x6x5xf32> to memref<2x6x5xf32>
scf.for %b = %c0 to %c2 step %c1 {{
  scf.for %w = %c0 to %c3 step %c1 {{
{READ}
    scf.for %c = %c0 to %c5 step %c1 {{
      %e = tensor.extract %r[%b, %w, %c] : {RT}
      memref.store %e, %m[%b, %k, %c] : memref<2x6x5xf32>
    }}
  }}
}}
%y = bufferization.to_tensor %m restrict : memref<2x6x5xf32> to {XT}"""
FIRST = ("tensor<6x5xf32>", "tensor<3x5xf32>")
SCATTER = """%y = tm_tensor.scatter {dimension_map = array<i64: 0>} unique_indices(false) ins(%r, %at : tensor<3x5xf32>, tensor<3x1xi32>) outs(%x : tensor<6x5xf32>) {
^bb0(%a: f32, %b: f32):
  BODY
} -> tensor<6x5xf32>"""



def coordinates():
    """Of each element all of them, as torch-mlir writes index_copy and index_put: columns of 30 numbers, side by side."""
    text, columns = "", []
    for d, (name, size) in enumerate((("b", 2), ("w", 3), ("c", 5))):
        given = "%at" if name == "w" else f"%n{name}"
        if name != "w":
            text += f"""%e{name} = tensor.empty() : tensor<{size}xi64>
%n{name} = linalg.generic {{indexing_maps = [affine_map<(a) -> (a)>], iterator_types = ["parallel"]}} outs(%e{name} : tensor<{size}xi64>) {{
^bb0(%o: i64):
  %i = linalg.index 0 : index
  %j = arith.index_cast %i : index to i64
  linalg.yield %j : i64
}} -> tensor<{size}xi64>
"""
        text += f"""%f{name} = tensor.empty() : tensor<2x3x5xi64>
%g{name} = linalg.generic {{indexing_maps = [affine_map<(b, w, c) -> ({name})>, affine_map<(b, w, c) -> (b, w, c)>], iterator_types = ["parallel", "parallel", "parallel"]}}
    ins({given} : tensor<{size}xi64>) outs(%f{name} : tensor<2x3x5xi64>) {{
^bb0(%p: i64, %o: i64):
  linalg.yield %p : i64
}} -> tensor<2x3x5xi64>
%h{name} = tensor.collapse_shape %g{name} [[0, 1, 2]] : tensor<2x3x5xi64> into tensor<30xi64>
%k{name} = tensor.expand_shape %h{name} [[0, 1]] output_shape [30, 1] : tensor<30xi64> into tensor<30x1xi64>
"""
        columns.append(f"%k{name}")
    return text + f"""%list = tensor.concat dim(1) {", ".join(columns)} : (tensor<30x1xi64>, tensor<30x1xi64>, tensor<30x1xi64>) -> tensor<30x3xi64>
%flat = tensor.collapse_shape %r [[0, 1, 2]] : {RT} into tensor<30xf32>
%single = tensor.expand_shape %flat [[0, 1, 2, 3]] output_shape [30, 1, 1, 1] : tensor<30xf32> into tensor<30x1x1x1xf32>
%y = tm_tensor.scatter {{dimension_map = array<i64: 0, 1, 2>}} unique_indices(false) ins(%single, %list : tensor<30x1x1x1xf32>, tensor<30x3xi64>) outs(%x : {XT}) {{
^bb0(%a: f32, %b: f32):
  tm_tensor.yield %a : f32
}} -> {XT}"""


FOUND = {
    "coordinates": (XT, RT, "tensor<3xi64>", coordinates(), X, ROWS, AT, stored(X, ROWS, AT)),
    "slices": (XT, RT, "tensor<3xi64>", loops(slices(READ)), X, ROWS, AT, stored(X, ROWS, AT)),
    "a list for each": (XT, RT, "tensor<2x3xi64>", loops(slices(READ_EACH)), X, ROWS, EACH, stored(X, ROWS, EACH)),
    "elements": (XT, RT, "tensor<3xi64>", loops(SINGLE), X, ROWS, AT, stored(X, ROWS, AT)),
    "buffers": (XT, RT, "tensor<3xi64>", BUFFERS, X, ROWS, AT, stored(X, ROWS, AT)),
    "tosa.scatter": (XT, RT, "tensor<2x3xi32>", f"%y = tosa.scatter %x, %at, %r : ({XT}, tensor<2x3xi32>, {RT}) -> {XT}",
                     X, ROWS, EACH[:, ::-1].copy().astype("i4"), stored(X, ROWS, EACH[:, ::-1])),
    "tm_tensor.scatter": (*FIRST, "tensor<3x1xi32>", SCATTER.replace("BODY", "tm_tensor.yield %a : f32"),
                          X[0], ROWS[0], AT[:, None].astype("i4"), stored(X[:1], ROWS[:1], AT)[0]),
}


def offset(x, rows, at):
    """Rows one place behind those of the list."""
    return stored(x, rows, np.asarray(at) + 1)


def added(x, rows, at):
    y = x.copy()
    for w, place in enumerate(at):
        y[place] += rows[w]
    return y


def every_other(x, rows, at):
    y = x.copy()
    for w in (0, 2):
        y[:, at[w]] = rows[:, w]
    return y


def same_head(x, rows, at):
    return stored(x, np.stack([rows[0], rows[0]]), at)


LOW = np.array([4, 0, 2])
OTHER = {
    "a place that is computed": (XT, RT, "tensor<3xi64>", loops(slices(READ.replace("%k =", "%h =") + "\n    %k = arith.addi %h, %c1 : index")),
                                 X, ROWS, LOW, offset(X, ROWS, LOW)),
    "every other row": (XT, RT, "tensor<3xi64>", loops(slices(READ), step=2), X, ROWS, AT, every_other(X, ROWS, AT)),
    "rows of one head": (XT, RT, "tensor<3xi64>", loops(slices(READ, "%r[0, %w, 0]")), X, ROWS, AT, same_head(X, ROWS, AT)),
    "some of the heads": (XT, RT, "tensor<3xi64>", loops(slices(READ), bounds=(1, 3)), X, ROWS, AT,
                          np.stack([stored(X, ROWS, AT)[0], X[1]])),
    "what is added": (*FIRST, "tensor<3x1xi32>", SCATTER.replace("BODY", "%c = arith.addf %a, %b : f32\n  tm_tensor.yield %c : f32"),
                      X[0], ROWS[0], AT[:, None].astype("i4"), added(X[0], ROWS[0], AT)),
}


def make(mlir, x, r, at, body):  # noqa: F811
    return mlir(f"func.func @main(%x: {x}, %r: {r}, %at: {at}) -> {x} {{\n{body}\nreturn %y : {x}\n}}\n")


def count(welford, f):
    return len(re.findall(r'"wf.store_rows"\(', welford.run("opt", "--passes=raise", f.path).ok().stdout))


@pytest.mark.parametrize("name", FOUND)
def test_found(welford, mlir, name):  # noqa: F811
    x, r, at, body, *inputs, wanted = FOUND[name]
    f = make(mlir, x, r, at, body)
    assert count(welford, f) == 1
    for options in ([], ["--no-raise"], ["--no-fuse=kernels"], ["--no-fuse=store_rows"]):
        assert np.array_equal(f(*inputs, options=options)[0], wanted), options
    plan = f.run(*inputs, options=["--print-plan"]).ok().stderr
    assert " store_rows_20" in plan and plan.count("nest_") == 1  # the copy of x
    bad = inputs[2].copy()
    bad.flat[1] = 6
    for options in ([], ["--no-fuse=kernels"]):
        assert "an index is out of range" in f.run(*inputs[:2], bad, options=options).failed(2).stderr


@pytest.mark.parametrize("name", OTHER)
def test_not_found(welford, mlir, name):  # noqa: F811
    x, r, at, body, *inputs, wanted = OTHER[name]
    f = make(mlir, x, r, at, body)
    assert count(welford, f) == 0
    for options in ([], ["--no-raise"]):
        assert np.abs(f(*inputs, options=options)[0] - wanted).max() < 1e-6, options


def test_one_after_the_other(mlir):  # noqa: F811
    """Rows that are stored into what rows were stored into go into the same memory."""
    f = mlir(f'''func.func @main(%x: {XT}, %r: {RT}, %at: tensor<3xi32>, %each: tensor<2x3xi32>) -> {XT} {{
  %y = "wf.store_rows"(%x, %r, %at) : ({XT}, {RT}, tensor<3xi32>) -> {XT}
  %z = "wf.store_rows"(%y, %r, %each) {{drops = true}} : ({XT}, {RT}, tensor<2x3xi32>) -> {XT}
  return %z : {XT}
}}''')
    each = np.array([[1, 6, 0], [-1, 2, 3]])
    wanted = stored(X, ROWS, AT)
    for b, w, place in ((0, 0, 1), (0, 2, 0), (1, 1, 2), (1, 2, 3)):
        wanted[b, place] = ROWS[b, w]
    inputs = (X, ROWS, AT.astype("i4"), each.astype("i4"))
    assert np.array_equal(f(*inputs)[0], wanted)
    assert f.run(*inputs, options=["--print-plan"]).ok().stderr.count("nest_") == 1


@pytest.mark.parametrize("text", [
    '%y = "tm_tensor.scatter"(%r, %at, %x) {dimension_map = array<i64: 0>, operandSegmentSizes = array<i32: 2, 1>} : '
    '(tensor<3x5xf32>, tensor<3x1xi32>, tensor<6x5xf32>) -> tensor<6x5xf32>',
    SCATTER.replace("BODY", "%c = arith.addf %a, %b : f32").replace("^bb0(%a: f32, %b: f32):", "").replace("%c = arith.addf %a, %b : f32", '"tm_tensor.yield"() : () -> ()'),
])
def test_damaged_scatters(welford, mlir, text):  # noqa: F811
    f = make(mlir, *FIRST, "tensor<3x1xi32>", text)
    assert f.run(X[0], ROWS[0], AT[:, None].astype("i4")).failed().stderr
    assert welford.run("opt", f.path).exit in (0, 1)
