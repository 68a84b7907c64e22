"""welford exec: torch-mlir's tm_tensor ops, as its linalg output has them, against NumPy."""
import random

import numpy as np
import pytest

from test_exec import mlir  # noqa: F401  mlir is a fixture


def type_of(shape, element):
    return f"tensor<{''.join(f'{n}x' for n in shape)}{element}>"


def function(arguments, results, body, returned):
    named = ", ".join(f"%{name}: {t}" for name, t in arguments)
    return f"func.func @main({named}) -> ({', '.join(results)}) {{\n{body}\n  return {returned} : {', '.join(results)}\n}}\n"


def random_shape(rng):
    return [rng.randint(1, 7) for _ in range(rng.randint(1, 4))]


# ---- scan

COMBINE = {"arith.addf": np.add, "arith.mulf": np.multiply, "arith.maximumf": np.maximum, "arith.minimumf": np.minimum}


def scan_text(shape, axis, inclusive, op):
    last = shape[:axis] + shape[axis + 1:]
    t, s = type_of(shape, "f32"), type_of(last, "f32")
    return function([("x", t), ("s", s)], [t, s], f"""  %e = tensor.empty() : {t}
  %y:2 = tm_tensor.scan dimension({axis}) inclusive({str(inclusive).lower()}) ins(%x : {t}) outs(%e, %s : {t}, {s}) {{
  ^bb0(%a: f32, %b: f32):
    %c = {op} %a, %b : f32
    tm_tensor.yield %c : f32
  }} -> {t}, {s}""", "%y#0, %y#1")


@pytest.mark.parametrize("seed", range(10))
def test_scan(mlir, seed):  # noqa: F811
    rng, values = random.Random(seed), np.random.default_rng(seed)
    shape, inclusive, op = random_shape(rng), rng.random() < 0.6, rng.choice(list(COMBINE))
    axis = rng.randrange(len(shape))
    x = values.standard_normal(shape).astype("f4")
    start = values.standard_normal(shape[:axis] + shape[axis + 1:]).astype("f4")
    parts = np.moveaxis(x, axis, 0)
    if not inclusive:
        parts = np.concatenate([start[None], parts[:-1]])
    want = np.moveaxis(COMBINE[op].accumulate(parts.astype("f8"), 0), 0, axis)
    got = mlir(scan_text(shape, axis, inclusive, op))(x, start, n_results=2)
    assert np.allclose(got[0], want, 1e-5, 1e-6)
    assert np.array_equal(got[1], np.take(got[0], -1, axis))


def test_open_sizes(mlir):  # noqa: F811
    """A file of open sizes runs for those of its arguments."""
    f = mlir("""func.func @main(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %x, %c0 : tensor<?x?xf32>
  %n = tensor.dim %x, %c1 : tensor<?x?xf32>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %s = tensor.empty(%m) : tensor<?xf32>
  %t = linalg.fill ins(%z : f32) outs(%s : tensor<?xf32>) -> tensor<?xf32>
  %y:2 = tm_tensor.scan dimension(1) inclusive(true) ins(%x : tensor<?x?xf32>) outs(%e, %t : tensor<?x?xf32>, tensor<?xf32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    tm_tensor.yield %c : f32
  } -> tensor<?x?xf32>, tensor<?xf32>
  return %y#0 : tensor<?x?xf32>
}""")
    x = np.random.default_rng(0).standard_normal((3, 50)).astype("f4")
    assert np.allclose(f(x)[0], np.cumsum(x, 1), 1e-5, 1e-5)


# ---- sort

def sort_text(shape, axis, how):
    t, s = type_of(shape, "f32"), type_of(shape, "i64")
    return function([("x", t), ("i", s)], [t, s], f"""  %y:2 = tm_tensor.sort dimension({axis}) outs(%x, %i : {t}, {s}) {{
  ^bb0(%a: f32, %b: f32, %p: i64, %q: i64):
    %c = arith.cmpf {how}, %a, %b : f32
    tm_tensor.yield %c : i1
  }} -> {t}, {s}""", "%y#0, %y#1")


@pytest.mark.parametrize("seed", range(10))
def test_sort(mlir, seed):  # noqa: F811
    """Stable: equal values keep their order."""
    rng, values = random.Random(seed), np.random.default_rng(seed)
    shape, down = random_shape(rng), rng.random() < 0.5
    axis = rng.randrange(len(shape))
    shape[axis] = rng.choice([1, 2, 7, 64, 100])
    x = values.integers(-5, 5, shape).astype("f4")
    index = np.broadcast_to(np.arange(shape[axis]).reshape([-1] + [1] * (len(shape) - axis - 1)), shape).copy()
    order = np.argsort(-x if down else x, axis, kind="stable")
    got = mlir(sort_text(shape, axis, "oge" if down else "ole"))(x, index, n_results=2)
    assert np.array_equal(got[1], order) and np.array_equal(got[0], np.take_along_axis(x, order, axis))


# ---- topk

@pytest.mark.parametrize("seed", range(8))
def test_topk(mlir, seed):  # noqa: F811
    """Equal values: the first comes first, as the dialect says."""
    rng, values = random.Random(seed), np.random.default_rng(seed)
    shape, down = random_shape(rng), rng.random() < 0.5
    axis = rng.randrange(len(shape))
    shape[axis] = rng.randint(3, 40)
    k = rng.randint(1, shape[axis])
    x = values.integers(-9, 9, shape).astype("f4")
    t, y, z = type_of(shape, "f32"), *[type_of(shape[:axis] + [k] + shape[axis + 1:], e) for e in ("f32", "i32")]
    text = function([("x", t)], [y, z], f"""  %ye = tensor.empty() : {y}
  %ze = tensor.empty() : {z}
  %y:2 = tm_tensor.topk dimension({axis}) ins(%x : {t}) outs(%ye, %ze : {y}, {z}) {{
  ^bb0(%a: f32, %b: f32):
    %c = arith.cmpf {"ogt" if down else "olt"}, %a, %b : f32
    tm_tensor.yield %c : i1
  }} -> {y}, {z}""", "%y#0, %y#1")
    order = np.take(np.argsort(-x if down else x, axis, kind="stable"), range(k), axis)
    got = mlir(text)(x, n_results=2)
    assert np.array_equal(got[1], order) and np.array_equal(got[0], np.take_along_axis(x, order, axis))


# ---- scatter

def scatter_text(x, index, update, dims, add):
    t, i, u = (type_of(shape, e) for shape, e in ((x, "f32"), (index, "i64"), (update, "f32")))
    result = "%c" if add else "%new"
    return function([("x", t), ("i", i), ("u", u)], [t], f"""  %y = tm_tensor.scatter {{dimension_map = array<i64: {', '.join(map(str, dims))}>}}
      unique_indices(false) ins(%u, %i : {u}, {i}) outs(%x : {t}) {{
  ^bb0(%new: f32, %old: f32):
    %c = arith.addf %new, %old : f32
    tm_tensor.yield {result} : f32
  }} -> {t}""", "%y")


@pytest.mark.parametrize("seed", range(10))
def test_scatter(mlir, seed):  # noqa: F811
    """Updates of slices at indices of any leading axes, repeated ones in their order."""
    rng, values = random.Random(seed), np.random.default_rng(seed)
    shape, add = random_shape(rng), rng.random() < 0.5
    depth, n = rng.randint(1, len(shape)), rng.randint(1, 12)
    dims = rng.sample(range(depth), depth)
    x, update = (values.standard_normal(s).astype("f4") for s in (shape, [n] + shape[depth:]))
    index = np.stack([values.integers(0, shape[d], n) for d in dims], 1)
    want = x.copy()
    for i in range(n):
        at = tuple(index[i, dims.index(d)] for d in range(depth))
        want[at] = want[at] + update[i] if add else update[i]
    text = scatter_text(shape, index.shape, update.shape, dims, add)
    assert np.allclose(mlir(text)(x, index, update)[0], want, 1e-6, 1e-6)
    index[0, 0] = shape[dims[0]]
    assert "is out of range" in mlir(text).run(x, index, update).failed(2).stderr


# ---- attention

@pytest.mark.parametrize("mask", [None, "f32", "i1"])
def test_attention(mlir, mask):  # noqa: F811
    values = np.random.default_rng(2)
    q, k, v = (values.standard_normal(s).astype("f4") for s in ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 4)))
    given = {None: [], "f32": [values.standard_normal((2, 3, 5, 7)).astype("f4")], "i1": [values.random((2, 3, 5, 7)) < 0.7]}[mask]
    if mask == "i1":
        given[0][..., 0] = True
    types = [type_of(x.shape, "f32") for x in (q, k, v)] + [type_of(x.shape, mask) for x in given]
    names, y = ["q", "k", "v", "m"][:len(types)], type_of((2, 3, 5, 4), "f32")
    text = function(list(zip(names, types)), [y], f"""  %e = tensor.empty() : {y}
  %y = tm_tensor.attention ins({", ".join("%" + n for n in names)} : {", ".join(types)}) outs(%e : {y}) -> {y}""", "%y")
    scores = np.einsum("abmd,abnd->abmn", q.astype("f8"), k) / np.sqrt(8)
    for m in given:
        scores = scores + (np.where(m, 0, -np.inf) if mask == "i1" else m)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    want = (p / p.sum(-1, keepdims=True)) @ v
    assert np.abs(mlir(text)(q, k, v, *given)[0] - want).max() < 1e-5


# ---- what is refused

@pytest.mark.parametrize("text, reason", [
    ("%y = tm_tensor.fold ins(%x : tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>", "f.mlir:2:6: tm_tensor.fold is not known here"),
    ("""%y = tm_tensor.sort dimension(0) outs(%x : tensor<4xf32>) {
        ^bb0(%a: f32):
          %c = arith.cmpf ole, %a, %a : f32
          tm_tensor.yield %c : i1
        } -> tensor<4xf32>""", "f.mlir:2:6: tm_tensor.sort has a region of another form"),
    ("%y = \"my.op\"(%x) : (tensor<4xf32>) -> tensor<4xf32> // no tm_tensor.op", "my.op is of a dialect that is not known here"),
    ("%y = tm_tensor.sort dimension(0) outs(%x : tensor<4xf32>", "f.mlir:2"),
])
def test_refusals(mlir, text, reason):  # noqa: F811
    f = mlir(f"func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {{\n{text}\n return %y : tensor<4xf32>\n}}\n")
    assert reason in f.run(np.zeros(4, "f4")).failed().stderr
