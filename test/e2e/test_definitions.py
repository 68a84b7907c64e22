"""Ops compute what docs/wf.md says, in NumPy in double precision: by their kernels, and by their definitions (wf.mlir).

Random ops, of random shapes, types and attributes, run both ways; between them they have every field of every op that
graphs can have.
"""
import os
import re

import numpy as np
import pytest

from conftest import ROOT
from fuzz_values import loaded, np_erf, rounded, stored, type_of
from test_exec import mlir  # noqa: F401  a fixture

SEED = int(os.environ.get("WELFORD_FUZZ_SEED", 0))
N = int(os.environ.get("WELFORD_FUZZ_GRAPHS", 12))
ROUNDING = {"f64": 1e-13, "f32": 2e-6, "f16": 2.0 ** -9, "bf16": 2.0 ** -6}  # of the largest value
ELEMENTARY = 4e-7  # what exp, tanh and erf give of f64
FLOATS = ("f32", "f16", "bf16", "f64")
SMALL = ("f32", "f16", "bf16")
ROUNDED = ("f16", "bf16")


class Operand:
    def __init__(self, name, shape, element, x):
        self.name, self.type, self.element = name, type_of(shape, element), element
        self.x = x.astype("f8") if x.dtype.kind == "f" else x


class Graph:
    """A function that returns the result of every op."""

    def __init__(self, rng):
        self.rng, self.arguments, self.lines, self.results, self.inputs, self.kernels = rng, [], [], [], [], []
        self.seen = set()  # (op, field)

    def chance(self, p):
        return self.rng.random() < p

    def choice(self, *options):
        return options[self.rng.integers(len(options))]

    def size(self, low, high):
        return int(self.rng.integers(low, high))

    def operand(self, name, shape, element, x):
        x = rounded(element, x)
        return Operand(name, shape, element, x), stored(element, x)

    def argument(self, shape, element, x=None):
        operand, bits = self.operand(f"%a{len(self.arguments)}", shape, element, self.rng.standard_normal(shape) if x is None else x)
        self.arguments.append(operand)
        self.inputs.append(bits)
        return operand

    def constant(self, shape, element):
        operand, bits = self.operand(f"%c{len(self.lines)}", shape, element, self.rng.standard_normal(shape))
        self.lines.append(f'{operand.name} = arith.constant dense<"0x{bits.tobytes().hex().upper()}"> : {operand.type}')
        return operand

    def op(self, kernel, name, operands, attributes, results, tolerance=0.0):
        """Operands by name: None where one is left out; attributes likewise, as MLIR writes them. Results: (element, value).
        `kernel` is what it runs on, if any."""
        given = {n: o for n, o in operands.items() if o}
        written = {n: a for n, a in attributes.items() if a is not None}
        self.seen |= {(name, n) for n in [*given, *written]}
        if name in ("layer_norm", "linear", "attention"):
            written["operandSegmentSizes"] = f"array<i32: {', '.join(str(int(bool(o))) for o in operands.values())}>"
        types = [type_of(x.shape, element) for element, x in results]
        names = [f"%y{len(self.results) + i}" for i in range(len(results))]
        self.lines.append(f'{", ".join(names)} = "wf.{name}"({", ".join(o.name for o in given.values())}) '
                          f'{{{", ".join(f"{n} = {a}" for n, a in written.items())}}} : '
                          f'({", ".join(o.type for o in given.values())}) -> ({", ".join(types)})')
        self.results += [(n, t, element, x, tolerance) for n, t, (element, x) in zip(names, types, results)]
        self.kernels += [kernel] if kernel else []

    def text(self):
        types = ", ".join(t for _, t, *_ in self.results)
        return (f"func.func @main({', '.join(f'{a.name}: {a.type}' for a in self.arguments)}) -> ({types}) {{\n"
                + "\n".join(self.lines) + f"\nreturn {', '.join(n for n, *_ in self.results)} : {types}\n}}\n")


def number(x, kind="i64"):
    return None if x is None else f"{x} : {kind}"


def words(yes):
    return "true" if yes else None


def narrowed(element, x):
    return rounded(element, x).astype("f8") if element else x


# ---- norms

def add_norm(g):
    element = g.choice(*FLOATS)
    shape = [g.size(1, 40) for _ in range(g.size(1, 4))]
    axes = g.size(1, len(shape) + 1)
    vector = shape[len(shape) - axes:]
    of = element if element == "f64" or g.chance(0.5) else g.choice(*SMALL)
    kind = g.choice("rms_norm", "residual_norm", "layer_norm")
    gamma, beta = (g.argument(vector, of) if g.chance(0.7) else None for _ in range(2))
    plus_one, narrow = g.chance(0.3), element if element in ROUNDED and g.chance(0.5) else None
    attributes = {"eps": "1.0e-5 : f64", "axes": number(axes), "plus_one": words(plus_one), "rounded": narrow}
    operands = {"x": g.argument(shape, element)}
    if kind == "residual_norm":
        operands["residual"] = g.argument(shape, element)
    operands["gamma"] = gamma
    if kind == "layer_norm":
        operands["beta"] = beta
    x = operands["x"].x + (operands["residual"].x if kind == "residual_norm" else 0)
    total = x = narrowed(element, x)
    over = tuple(range(-axes, 0))
    if kind == "layer_norm":
        x = x - x.mean(over, keepdims=True)
    y = narrowed(narrow, x / np.sqrt((x * x).mean(over, keepdims=True) + 1e-5))
    if gamma:
        y = y * (gamma.x + plus_one)
    if kind == "layer_norm" and beta:
        y = narrowed(narrow, y) + beta.x
    results = [(element, total)] * (kind == "residual_norm") + [(element, y)]
    g.op("layer_norm" if kind == "layer_norm" else "rms_norm", kind, operands, attributes, results)


# ---- products

ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + np_erf(x / np.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3))) / 2,
}


def add_linear(g):
    """Weights are arguments, which kernels take from some rows on; several weights are constants of whole panels."""
    element, n = g.choice(*SMALL), g.choice(1, 1, 2, 3)
    rows, cols = g.size(8, 30), g.size(1, 80)
    lead = [2] if g.chance(0.3) else []
    glu = g.choice("silu", "gelu", "gelu_tanh") if n == 2 and g.chance(0.7) else None
    biased, residual, features = not glu and g.chance(0.5), not glu and g.chance(0.5), g.size(1, 50)
    each = [features] if n == 1 else [16 * g.size(1, 3)] * n if glu else [16 * g.size(1, 3) for _ in range(n)]
    x = g.argument([*lead, rows, cols], element)
    weights = [(g.argument if n == 1 else g.constant)([f, cols], element) for f in each]
    biases = [g.argument([f], element) if n == 1 else g.constant([f], "f32") for f in each] if biased else []
    products = [x.x @ w.x.T + (biases[i].x if biased else 0) for i, w in enumerate(weights)]
    y = ACTIVATIONS[glu](products[0]) * products[1] if glu else np.concatenate(products, -1)
    more = g.argument(y.shape, element) if residual else None
    y = y + more.x if more else y
    operands = {"x": x, **{f"w{i}": weights[i] if i < n else None for i in range(3)},
                **{f"b{i}": biases[i] if i < len(biases) else None for i in range(3)}, "residual": more}
    g.op(None if glu == "gelu" else "linear", "linear", operands, {"glu": f'"{glu}"' if glu else None}, [(element, y)], ELEMENTARY if glu else 0)


def add_blocks(g):
    """Quantised weights, of constants, and a linear that reads them."""
    rows, blocks, features, four_bits = g.size(1, 12), g.size(1, 4), g.size(1, 40), g.chance(0.5)
    cols = 32 * blocks
    q = g.rng.integers(*((-8, 8) if four_bits else (-128, 128)), (features, cols)).astype("i1")
    d = (g.rng.standard_normal((features, blocks)) * 0.05).astype("f2")
    x = g.argument([rows, cols], "f32")
    n, types = len(g.lines), {"q": f"tensor<{features}x{cols}xi8>", "d": f"tensor<{features}x{blocks}xf16>"}
    for name, values in (("q", q), ("d", d)):
        text = f'dense<"0x{values.tobytes().hex().upper()}">' if values.size > 1 else f"dense<{values.flat[0]}>"
        g.lines.append(f"%{name}{n} = arith.constant {text} : {types[name]}")
    w = Operand(f"%w{n}", [features, cols], f"!wf.q{4 if four_bits else 8}_0", q * np.repeat(d.astype("f8"), 32, 1))
    g.lines.append(f'{w.name} = "wf.blocks"(%q{n}, %d{n}) : ({types["q"]}, {types["d"]}) -> {w.type}')
    g.seen |= {("blocks", "q"), ("blocks", "d")}
    none = {name: None for name in ("w1", "w2", "b0", "b1", "b2", "residual")}
    g.op("linear", "linear", {"x": x, "w0": w, **none}, {}, [("f32", x.x @ w.x.T)])


def add_glu(g):
    element, activation = g.choice(*FLOATS), g.choice(*ACTIVATIONS)
    shape = [g.size(1, 20) for _ in range(g.size(1, 4))]
    narrow = element if element in ROUNDED and g.chance(0.5) else None
    gate, up = g.argument(shape, element), g.argument(shape, element)
    y = narrowed(narrow, ACTIVATIONS[activation](gate.x)) * up.x
    g.op(None, "glu", {"gate": gate, "up": up}, {"activation": f'"{activation}"', "rounded": narrow}, [(element, y)], ELEMENTARY)


# ---- rows

def add_rows(g):
    element, of = g.choice(*FLOATS), g.choice("i32", "i64")
    vocabulary, n, size = g.size(1, 30), g.size(1, 20), g.size(1, 40)
    table = g.argument([vocabulary, size], element)
    ids = g.argument([n], of, g.rng.integers(0, vocabulary, n))
    scale = g.choice(None, 0.5)
    g.op(None, "embed", {"ids": ids, "table": table}, {"scale": number(scale, "f64")}, [(element, table.x[ids.x] * (scale or 1))])
    which = g.argument([3], of, g.rng.integers(0, vocabulary, 3))
    g.op(None, "select_rows", {"x": table, "which": which}, {}, [(element, table.x[which.x])])
    first = g.size(0, size)
    width = g.size(1, size - first + 1)
    g.op(None, "columns", {"x": table}, {"first": number(first)}, [(element, table.x[:, first:first + width])])
    cap = g.choice(0.5, 30.0)
    g.op(None, "softcap", {"x": table}, {"cap": number(cap, "f64")}, [(element, cap * np.tanh(table.x / cap))], ELEMENTARY)


def add_store_rows(g):
    """Of places that come twice the last stays; those that x does not have are left out where the op says so."""
    element, of, drops = g.choice(*FLOATS, "i8", "i64"), g.choice("i32", "i64"), g.chance(0.5)
    lead, n, rows, size = [g.size(1, 4) for _ in range(g.size(0, 3))], g.size(1, 12), g.size(1, 6), g.size(1, 40)
    values = (lambda shape: None) if element in FLOATS else (lambda shape: g.rng.integers(-100, 100, shape))
    x, new = (g.argument(shape, element, values(shape)) for shape in ([*lead, n, size], [*lead, rows, size]))
    shape = [*(lead if g.chance(0.5) else []), rows]
    at = g.argument(shape, of, g.rng.integers(-2 if drops else 0, n + 2 if drops else n, shape))
    y = x.x.reshape(-1, n, size).copy()
    for i, (places, of_lead) in enumerate(zip(np.broadcast_to(at.x, [*lead, rows]).reshape(-1, rows), new.x.reshape(-1, rows, size))):
        for place, row in zip(places, of_lead):
            if 0 <= place < n:
                y[i, place] = row
    g.op("store_rows", "store_rows", {"x": x, "rows": new, "at": at}, {"drops": words(drops)}, [(element, y.reshape(x.x.shape))])


def softmax(x, sink=None, zero_masked=False):
    with np.errstate(invalid="ignore"):
        m = x.max(-1, keepdims=True) if sink is None else np.maximum(x.max(-1, keepdims=True), sink)
        e = np.exp(x - m)
        y = e / (e.sum(-1, keepdims=True) + (0 if sink is None else np.exp(sink - m)))
    return np.where(m == -np.inf, 0.0 if zero_masked else np.nan, y)


def add_softmax(g):
    element = g.choice(*FLOATS)
    shape = [g.size(1, 6) for _ in range(g.size(1, 6))]
    sink = g.argument([n if g.chance(0.6) else 1 for n in shape[:-1]] + [1], element) if g.chance(0.6) else None
    x = g.rng.standard_normal(shape)
    x[g.rng.random(shape) < 0.3] = -np.inf
    x, zero_masked = g.argument(shape, element, x), g.chance(0.5)
    y = softmax(x.x, sink.x if sink else None, zero_masked)
    g.op(None, "softmax", {"x": x, "sink": sink}, {"zero_masked": words(zero_masked)}, [(element, y)], ELEMENTARY)


# ---- heads

def add_rope(g):
    element, of = g.choice(*FLOATS), g.choice(*FLOATS)
    lead, rows, heads, half = [g.size(1, 3) for _ in range(g.size(0, 3))], g.size(1, 9), g.size(1, 4), g.size(1, 9)
    x, interleaved = g.argument([*lead, rows, heads * 2 * half], element), g.chance(0.5)
    cos = g.argument([g.choice(1, rows), half], of)
    sin = g.argument(cos.x.shape, of)
    v = x.x.reshape(*lead, rows, heads, *((half, 2) if interleaved else (2, half)))
    axis = -1 if interleaved else -2
    a, b = np.moveaxis(v, axis, 0)
    c, s = cos.x[:, None, :], sin.x[:, None, :]
    y = np.stack([a * c - b * s, b * c + a * s], axis).reshape(x.x.shape)
    g.op(None, "rope", {"x": x, "cos": cos, "sin": sin}, {"n_heads": number(heads), "interleaved": words(interleaved)}, [(element, y)])


def add_attention(g, element="f32"):
    kv, group, size, rows = g.size(1, 4), g.size(1, 4), 4 * g.size(1, 20), g.size(1, 24)
    heads, keys, batch = kv * group, rows + g.size(0, 30), g.size(1, 3)
    of_v = size if element == "f32" else 4 * g.size(1, 9)
    causal = g.chance(0.5)
    window = g.size(1, keys + 1) if causal and g.chance(0.5) else None
    cap = 5.0 if g.chance(0.3) else None
    scale = float(f"{size ** -0.5:.6f}")
    zero_masked, fused = g.chance(0.3), element == "f32" and g.chance(0.5)
    full = [batch, heads, rows, keys]
    shape = [n if g.chance(0.6) else 1 for n in full][g.size(0, 3):] if g.chance(0.5) else None
    q = g.argument([batch, rows, heads * size], element)
    k, v = g.argument([batch, keys, kv * size], element), g.argument([batch, keys, kv * of_v], element)
    of_mask = g.choice(element, "i1")
    mask = g.argument(shape, of_mask, g.rng.random(shape) < 0.7 if of_mask == "i1" else None) if shape else None
    sink = g.argument([heads], element) if g.chance(0.3) else None

    def split(x, n):  # [batch, heads, rows, size]
        return np.repeat(x.x.reshape(*x.x.shape[:2], n, -1).transpose(0, 2, 1, 3), heads // n, 1)

    scores = scale * (split(q, heads) @ split(k, kv).transpose(0, 1, 3, 2))
    scores = cap * np.tanh(scores / cap) if cap else scores
    if mask:
        scores = np.where(mask.x, scores, -np.inf) if of_mask == "i1" else scores + mask.x
    last, at = np.arange(rows)[:, None] + keys - rows, np.arange(keys)
    if causal:
        scores = np.where((at <= last) & (at > last - (window or keys + 1)), scores, -np.inf)
    y = softmax(scores, sink.x.reshape(-1, 1, 1) if sink else None, zero_masked) @ split(v, kv)
    y = y.transpose(0, 2, 1, 3).reshape(batch, rows, heads * of_v)
    attributes = {"n_heads": number(heads), "n_kv_heads": number(kv), "scale": f"{scale:.6f} : f64", "causal": str(causal).lower(),
                  "window": number(window), "softcap": number(cap, "f64"), "zero_masked": words(zero_masked), "fused": words(fused)}
    has_kernel = element == "f32" and not (mask and of_mask == "i1")
    g.op("attention" if has_kernel else None, "attention", {"q": q, "k": k, "v": v, "mask": mask, "sink": sink}, attributes,
         [(element, y)], ELEMENTARY)


def add_wide_attention(g):
    """Of types that no kernel takes."""
    add_attention(g, g.choice("f16", "bf16", "f64"))


def random_graph(seed):
    g = Graph(np.random.default_rng(seed))
    for add in (add_norm, add_norm, add_norm, add_linear, add_linear, add_blocks, add_glu, add_rows, add_store_rows, add_store_rows, add_softmax,
                add_softmax, add_rope, add_attention, add_wide_attention):
        add(g)
    return g


def close(a, b, element, tolerance):
    same = np.isnan(a) == np.isnan(b)
    most = max(1, np.abs(np.nan_to_num(b)).max())
    return a.shape == b.shape and same.all() and np.nanmax(np.abs(a - b), initial=0) <= max(ROUNDING.get(element, 0), tolerance) * most


@pytest.mark.parametrize("seed", range(SEED, SEED + N))
def test_ops(mlir, seed):
    g = random_graph(seed)
    function, y = mlir(g.text()), {}
    for way, options in {"kernels": [], "definitions": ["--no-fuse=kernels"]}.items():
        done = function.run(*g.inputs, n_results=len(g.results), options=[*options, "--print-plan"]).ok()
        y[way] = [loaded(element, np.load(function.tmp / f"o{i}.npy")).astype("f8") for i, (_, _, element, *_) in enumerate(g.results)]
        found = [kernel for kernel in set(g.kernels) if f" {kernel}_" in done.stderr]
        assert sorted(found) == (sorted(set(g.kernels)) if way == "kernels" else []), done.stderr
    for i, (name, _, element, expected, tolerance) in enumerate(g.results):
        for way in y:
            assert close(y[way][i], expected, element, tolerance), f"{name} by {way} of\n{g.text()}"
        assert close(y["kernels"][i], y["definitions"][i], element, 0), f"{name} of\n{g.text()}"


ONLY_OF_CHECKPOINTS = {"weight", "quantize", "rope_table", "rope_store", "cached_attention", ("rms_norm", "n_heads"), ("attention", "cache")}


def test_every_field(welford):
    """What the graphs above are made of is all there is."""
    seen = set().union(*(random_graph(seed).seen for seed in range(12)))
    for line in welford.run("opt", "--list").ok().stdout.splitlines():
        m = re.match(r"  wf\.(\w+)\((.*?)\) -> [^{]*(?:\{(.*)\})?$", line)
        if not m or m[1] in ONLY_OF_CHECKPOINTS:
            continue
        fields = {re.match(r"\w+", f)[0] for f in [*(m[2] or "").split(", "), *(m[3] or "").split(", ")] if f}
        missing = {(m[1], f) for f in fields} - seen - ONLY_OF_CHECKPOINTS
        assert not missing, missing


def test_reference_has_every_definition():
    """wf.mlir and docs/wf.md have the same ops, but those that only join others and those of checkpoints alone."""
    defined = set(re.findall(r"^func\.func @wf\.(\w+)", (ROOT / "src/compiler/dialect/wf.mlir").read_text(), re.M))
    documented = set(re.findall(r"^### (\w+)$", (ROOT / "docs/wf.md").read_text(), re.M))
    joined = {"residual_norm", "columns", "select_rows"}  # a select is an embed without a scale
    assert defined == documented - joined - {name for name in ONLY_OF_CHECKPOINTS if isinstance(name, str)}
