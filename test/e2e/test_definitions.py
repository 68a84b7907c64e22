"""Kernels compute what the definitions of their ops say: random ops, of random shapes and types, run both ways."""
import os

import numpy as np
import pytest

from fuzz_values import loaded, rounded, stored, type_of
from test_exec import mlir  # noqa: F401  a fixture

SEED = int(os.environ.get("WELFORD_FUZZ_SEED", 0))
N = int(os.environ.get("WELFORD_FUZZ_GRAPHS", 12))
ROUNDING = {"f64": 1e-13, "f32": 2e-6, "f16": 2.0 ** -9, "bf16": 2.0 ** -6}  # of the largest value


class Graph:
    """A function that returns the result of every op."""

    def __init__(self, rng):
        self.rng, self.arguments, self.lines, self.results, self.inputs, self.kernels = rng, [], [], [], [], []

    def chance(self, p):
        return self.rng.random() < p

    def argument(self, shape, element):
        name = f"%a{len(self.arguments)}"
        self.arguments.append((name, type_of(shape, element)))
        self.inputs.append(stored(element, rounded(element, self.rng.standard_normal(shape))))
        return self.arguments[-1]

    def choice(self, *options):
        return options[self.rng.integers(len(options))]

    def op(self, kernel, name, operands, attributes, shapes, element, segments=None):
        """Operands are (name, type), or None where the op leaves one out; `segments`: whether the op says so."""
        given = [o for o in operands if o]
        if segments:
            attributes = [*attributes, f"operandSegmentSizes = array<i32: {', '.join(str(int(bool(o))) for o in operands)}>"]
        types = [type_of(s, element) for s in shapes]
        results = [f"%y{len(self.results) + i}" for i in range(len(shapes))]
        self.lines.append(f'{", ".join(results)} = "wf.{name}"({", ".join(n for n, _ in given)}) {{{", ".join(attributes)}}} : '
                          f'({", ".join(t for _, t in given)}) -> ({", ".join(types)})')
        self.results += zip(results, types, [element] * len(shapes))
        self.kernels.append(kernel)

    def text(self):
        return (f"func.func @main({', '.join(f'{n}: {t}' for n, t in self.arguments)}) -> ({', '.join(t for _, t, _ in self.results)}) {{\n"
                + "\n".join(self.lines)
                + f"\nreturn {', '.join(n for n, _, _ in self.results)} : {', '.join(t for _, t, _ in self.results)}\n}}\n")


def add_norm(g):
    rng, element = g.rng, g.choice("f32", "f16", "bf16", "f64")
    shape = [int(n) for n in rng.integers(1, 40, rng.integers(1, 4))]
    axes = int(rng.integers(1, len(shape) + 1))
    vector = shape[len(shape) - axes:]
    of = element if element == "f64" or g.chance(0.5) else g.choice("f32", "f16", "bf16")
    kind = g.choice("rms_norm", "residual_norm", "layer_norm")
    gamma, beta = (g.argument(vector, of) if g.chance(0.7) else None for _ in range(2))
    attributes = ["eps = 1.0e-5 : f64", f"axes = {axes} : i64"]
    if g.chance(0.3):
        attributes.append("plus_one = true")
    if element in ("f16", "bf16") and g.chance(0.5):
        attributes.append(f"rounded = {element}")
    x = g.argument(shape, element)
    if kind == "layer_norm":
        g.op("layer_norm", kind, [x, gamma, beta], attributes, [shape], element, segments=True)
    elif kind == "residual_norm":
        g.op("rms_norm", kind, [x, g.argument(shape, element), gamma], attributes, [shape, shape], element)
    else:
        g.op("rms_norm", kind, [x, gamma], attributes, [shape], element)


def add_linear(g):
    """Weights are arguments, which kernels take from some rows on."""
    rng, element = g.rng, g.choice("f32", "f16", "bf16")
    rows, cols, features = int(rng.integers(8, 30)), int(rng.integers(1, 80)), int(rng.integers(1, 50))
    lead = [2] if g.chance(0.3) else []
    bias, residual = ([features], element) if g.chance(0.5) else None, g.chance(0.5)
    operands = [g.argument([*lead, rows, cols], element), g.argument([features, cols], element), None, None,
                g.argument(*bias) if bias else None, None, None, g.argument([*lead, rows, features], element) if residual else None]
    g.op("linear", "linear", operands, [], [[*lead, rows, features]], element, segments=True)


def add_attention(g):
    rng = g.rng
    kv, group, size, rows = (int(n) for n in (rng.integers(1, 4), rng.integers(1, 4), 4 * rng.integers(1, 20), rng.integers(1, 24)))
    heads, keys, batch = kv * group, rows + int(rng.integers(0, 30)), int(rng.integers(1, 3))
    causal = g.chance(0.5)
    attributes = [f"n_heads = {heads} : i64", f"n_kv_heads = {kv} : i64", f"scale = {size ** -0.5:.6f} : f64", f"causal = {str(causal).lower()}"]
    if causal and g.chance(0.5):
        attributes.append(f"window = {int(rng.integers(1, keys + 1))} : i64")
    if g.chance(0.3):
        attributes.append("softcap = 5.0 : f64")
    if g.chance(0.3):
        attributes.append("zero_masked = true")
    full = [batch, heads, rows, keys]
    mask = [n if g.chance(0.6) else 1 for n in full][int(rng.integers(0, 3)):] if g.chance(0.5) else None
    operands = [g.argument([batch, rows, heads * size], "f32"), *(g.argument([batch, keys, kv * size], "f32") for _ in range(2)),
                g.argument(mask, "f32") if mask else None, g.argument([heads], "f32") if g.chance(0.3) else None]
    g.op("attention", "attention", operands, attributes, [[batch, rows, heads * size]], "f32", segments=True)


@pytest.mark.parametrize("seed", range(SEED, SEED + N))
def test_kernels(mlir, seed):
    g = Graph(np.random.default_rng(seed))
    for add in (add_norm, add_norm, add_norm, add_linear, add_attention):
        add(g)
    function, y = mlir(g.text()), {}
    for way, options in {"kernels": [], "definitions": ["--no-fuse=kernels"]}.items():
        done = function.run(*g.inputs, n_results=len(g.results), options=[*options, "--print-plan"]).ok()
        y[way] = [loaded(element, np.load(function.tmp / f"o{i}.npy")).astype("f8") for i, (_, _, element) in enumerate(g.results)]
        found = [kernel for kernel in set(g.kernels) if f" {kernel}_" in done.stderr]
        assert sorted(found) == (sorted(set(g.kernels)) if way == "kernels" else []), done.stderr
    for (name, _, element), a, b in zip(g.results, y["kernels"], y["definitions"]):
        assert a.shape == b.shape and np.abs(a - b).max() <= ROUNDING[element] * max(1, np.abs(b).max()), f"{name} of\n{g.text()}"
