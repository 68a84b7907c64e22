"""Decoder layers as buddy-mlir's frontend spells them, with what they compute by NumPy in double precision.

Its importer writes aten ops one by one: expands are sums with zeros, weights are transposed (or held as [in, out]) before
a linalg.matmul of two axes, the softmax of its flash attention is exp(s - logsumexp), squares are math.fpowi, means are
products with the reciprocal of a constant, dropout of a model that runs is a product with ones or a sum with zeros.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Layer:
    tokens: int = 12
    heads: int = 4
    kv_heads: int = 2
    width: int = 16            # of a head
    hidden: int = 128          # of the MLP
    norm: str = "rms"          # rms, layer
    head_norms: bool = False   # of q and k, as in Qwen3
    bias: bool = True          # of q, k and v
    weights: str = "turned"    # turned: [out, in], transposed in the graph; straight: [in, out]
    rotated: bool = True
    mask: str = "causal"       # causal, additive (an argument), none
    cap: float = 0.0           # soft-cap of the scores, as in Gemma 2
    dropout: str = ""          # "", ones, zeros: of probabilities and of what is added to the residual
    gate: str = "silu"         # silu, gelu (by tanh)
    attention: str = "flash"   # flash: exp(s - logsumexp); plain: exp(s - max) / sum

    @property
    def features(self):
        return self.heads * self.width


class Writer:
    """Text of a function, one op a line, and its arguments."""

    def __init__(self):
        self.lines, self.arguments, self.types = [], [], {}

    def op(self, text, shape, element="f32"):
        name = f"%{len(self.types)}"
        self.types[name] = self.type(shape, element)
        self.lines.append(f"    {name} = {text}")
        return name

    @staticmethod
    def type(shape, element="f32"):
        return "tensor<" + "".join(f"{n}x" for n in shape) + element + ">"

    def argument(self, value):
        name = f"%arg{len(self.arguments)}"
        self.types[name] = self.type(value.shape)
        self.arguments.append(value.astype(np.float32))
        return name

    def shape(self, x):
        return [int(n) for n in self.types[x][len("tensor<"):-len("xf32>")].split("x")]

    def constant(self, value, shape=(1,)):
        return self.op(f'"tosa.const"() <{{values = dense<{value:e}> : {self.type(shape)}}}> : () -> {self.type(shape)}', shape)

    def tosa(self, name, shape, *operands, attributes="", element="f32"):
        types = ", ".join(self.types[x] for x in operands)
        return self.op(f"tosa.{name} {', '.join(operands)}{attributes} : ({types}) -> {self.type(shape, element)}", shape, element)

    def binary(self, name, a, b):
        shape = [max(n, m) for n, m in zip(self.shape(a), self.shape(b), strict=True)]
        return self.tosa(name, shape, a, b)

    def mul(self, a, b):
        shift = self.op('"tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>', (1,), "i8")
        shape = [max(n, m) for n, m in zip(self.shape(a), self.shape(b), strict=True)]
        return self.tosa("mul", shape, a, b, shift)

    def unary(self, name, x):
        return self.tosa(name, self.shape(x), x)

    def math(self, name, x):
        return self.op(f"math.{name} {x} : {self.types[x]}", self.shape(x))

    def negate(self, x):
        return self.tosa("negate", self.shape(x), x, self.constant(0), self.constant(0))

    def reshape(self, x, *shape):
        to = f"!tosa.shape<{len(shape)}>"
        name = f"%{len(self.types)}"
        self.types[name] = to
        self.lines.append(f"    {name} = tosa.const_shape {{values = dense<{list(shape)}> : tensor<{len(shape)}xindex>}} : () -> {to}")
        return self.tosa("reshape", shape, x, name)

    def transpose(self, x, *axes):
        return self.tosa("transpose", [self.shape(x)[a] for a in axes], x, attributes=f" {{perms = array<i32: {', '.join(map(str, axes))}>}}")

    def reduce(self, name, x, axis):
        shape = self.shape(x)
        shape[axis] = 1
        return self.tosa(f"reduce_{name}", shape, x, attributes=f" {{axis = {axis} : i32}}")

    def filled(self, value, shape):
        return self.op(f"arith.constant dense<{value:e}> : {self.type(shape)}", shape)

    def expand(self, x, *shape):
        return self.tosa("add", shape, x, self.constant(0, shape))

    def matmul(self, x, w):
        shape = [self.shape(x)[0], self.shape(w)[1]]
        out = self.filled(0, shape)
        return self.op(f"linalg.matmul {{cast = #linalg.type_fn<cast_signed>}} ins({x}, {w} : {self.types[x]}, {self.types[w]}) "
                       f"outs({out} : {self.type(shape)}) -> {self.type(shape)}", shape)

    def slice(self, x, axis, start, stop):
        shape = self.shape(x)
        offsets, ones = [0] * len(shape), [1] * len(shape)
        offsets[axis], shape[axis] = start, stop - start
        return self.op(f"tensor.extract_slice {x}{offsets} {shape} {ones} : {self.types[x]} to {self.type(shape)}", shape)

    def concat(self, parts, axis):
        shape = self.shape(parts[0])
        shape[axis] = sum(self.shape(p)[axis] for p in parts)
        whole, at = self.op(f"tensor.empty() : {self.type(shape)}", shape), 0
        for part in parts:
            offsets, ones = [0] * len(shape), [1] * len(shape)
            offsets[axis] = at
            at += self.shape(part)[axis]
            whole = self.op(f"tensor.insert_slice {part} into {whole}{offsets} {self.shape(part)} {ones} : {self.types[part]} into "
                            f"{self.type(shape)}", shape)
        return whole

    def square(self, x):
        shape, t = self.shape(x), self.types[x]
        dims = ", ".join(f"d{i}" for i in range(len(shape)))
        two = f"%two{len(self.types)}"
        self.lines.append(f"    {two} = arith.constant 2 : i32")
        out = self.op(f"tensor.empty() : {t}", shape)
        maps = f"affine_map<({dims}) -> ({dims})>"
        kinds = ", ".join(['"parallel"'] * len(shape))
        return self.op(f"linalg.generic {{indexing_maps = [{maps}, {maps}], iterator_types = [{kinds}]}} ins({x} : {t}) outs({out} : {t}) {{\n"
                       f"    ^bb0(%in: f32, %out: f32):\n      %p = math.fpowi %in, {two} : f32, i32\n      linalg.yield %p : f32\n"
                       f"    }} -> {t}", shape)

    def text(self, result):
        arguments = ", ".join(f"%arg{i}: {self.type(a.shape)}" for i, a in enumerate(self.arguments))
        return (f"module {{\n  func.func @forward({arguments}) -> {self.types[result]} {{\n" + "\n".join(self.lines) +
                f"\n    return {result} : {self.types[result]}\n  }}\n}}\n")


# ---- NumPy

def norm_of(layer, x, gamma, beta):
    x = x - x.mean(-1, keepdims=True) if layer.norm == "layer" else x
    y = x / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-6) * gamma
    return y + beta if layer.norm == "layer" else y


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + np.concatenate([-x[..., half:], x[..., :half]], -1) * sin


def activate(layer, x):
    return x / (1 + np.exp(-x)) if layer.gate == "silu" else 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x ** 3)))


# ---- the graph and its reference, side by side: what a method returns is (value in the graph, array)

class Decoder:
    def __init__(self, layer, seed):
        self.l, self.w, self.rng = layer, Writer(), np.random.default_rng(seed)

    def argument(self, *shape, scale=1.0, shift=0.0):
        value = (self.rng.standard_normal(shape) * scale + shift).astype(np.float32)
        return self.w.argument(value), value.astype(np.float64)

    def mean(self, x):
        w, axis = self.w, len(self.w.shape(x)) - 1
        count = w.reshape(w.unary("reciprocal", w.constant(w.shape(x)[-1])), *[1] * (axis + 1))
        return w.mul(count, w.reduce("sum", x, axis))

    def norm(self, x, reference):
        w, n, rank = self.w, self.w.shape(x)[-1], len(self.w.shape(x))
        gamma, g = self.argument(n, scale=0.1, shift=1)
        beta, b = self.argument(n, scale=0.1) if self.l.norm == "layer" else (None, None)
        y = w.binary("sub", x, self.mean(x)) if beta else x
        mean = self.mean(w.square(y))
        root = w.unary("rsqrt", w.binary("add", mean, w.filled(1e-6, w.shape(mean))))
        y = w.mul(w.reshape(gamma, *[1] * (rank - 1), n), w.mul(y, root))
        if beta:
            y = w.binary("add", y, w.reshape(beta, *[1] * (rank - 1), n))
        return y, norm_of(self.l, reference, g, b)

    def linear(self, x, reference, out, bias=False):
        w, (_, tokens, n) = self.w, self.w.shape(x)
        turned = self.l.weights == "turned"
        weight, a = self.argument(*((out, n) if turned else (n, out)), scale=n ** -0.5)
        b, c = self.argument(out) if bias else (None, 0)
        y = w.matmul(w.reshape(x, tokens, n), w.transpose(weight, 1, 0) if turned else weight)
        if bias:
            y = w.binary("add", w.reshape(b, 1, out), y)
        return w.reshape(y, 1, tokens, out), reference @ (a.T if turned else a) + c

    def heads(self, x, reference, n):
        t, d = self.l.tokens, self.l.width
        y = self.w.transpose(self.w.reshape(x, 1, t, n, d), 0, 2, 1, 3)
        return y, reference.reshape(1, t, n, d).transpose(0, 2, 1, 3)

    def tables(self):
        """Angles are positions times frequencies, twice side by side by a sum with zeros."""
        l, w, half = self.l, self.w, self.l.width // 2
        positions, frequencies = np.arange(l.tokens), (10000.0 ** (-np.arange(half) / half)).astype(np.float32)
        at = w.op(f"arith.constant dense<{[float(i) for i in positions]}> : {w.type((l.tokens,))}", (l.tokens,))
        angles = w.mul(w.reshape(at, 1, l.tokens, 1), w.reshape(w.argument(frequencies), 1, 1, half))
        twice = w.expand(w.reshape(angles, 1, l.tokens, 1, half), 1, l.tokens, 2, half)
        twice = w.reshape(twice, 1, l.tokens, 2 * half)
        reference = np.tile(positions[:, None] * frequencies.astype(np.float64), 2)
        tables = []
        for name in ("cos", "sin"):
            table = w.mul(w.math(name, twice), w.constant(1, (1, 1, 1)))
            tables.append((w.reshape(table, 1, 1, l.tokens, 2 * half), getattr(np, name)(reference)))
        return tables

    def rope(self, x, tables):
        w, half, (cos, sin) = self.w, self.l.width // 2, tables
        a, b = w.slice(x[0], 3, 0, half), w.slice(x[0], 3, half, 2 * half)
        swapped = w.concat([w.negate(b), a], 3)
        return (w.binary("add", w.mul(x[0], cos[0]), w.mul(swapped, sin[0])), rotate(x[1], cos[1], sin[1]))

    def repeat(self, x, reference):
        l, w, group = self.l, self.w, self.l.heads // self.l.kv_heads
        y = w.expand(w.reshape(x, 1, l.kv_heads, 1, l.tokens, l.width), 1, l.kv_heads, group, l.tokens, l.width)
        return w.reshape(y, 1, l.heads, l.tokens, l.width), np.repeat(reference, group, 1)

    def drop(self, x):
        w = self.w
        if self.l.dropout == "ones":
            return w.mul(x, w.constant(1, w.shape(x)))
        return w.binary("add", x, w.constant(0, w.shape(x))) if self.l.dropout == "zeros" else x

    def mask(self):
        t, w = self.l.tokens, self.w
        if self.l.mask == "additive":
            return self.argument(t, t)
        values = np.where(np.tri(t), 0, -np.inf)
        rows = ", ".join("[" + ", ".join("0.0" if v == 0 else "0xFF800000" for v in row) + "]" for row in values)
        return w.op(f"arith.constant dense<[{rows}]> : {w.type((t, t))}", (t, t)), values

    def attention(self, q, k, v):
        l, w, t, d, n = self.l, self.w, self.l.tokens, self.l.width, self.l.heads
        left, right, values = (w.reshape(x[0], n, t, d) for x in (q, k, v))
        turned = w.transpose(right, 0, 2, 1)
        s = w.tosa("matmul", (n, t, t), left, turned, w.constant(0), w.constant(0))
        s = w.mul(s, w.filled(d ** -0.5, (n, t, t)))
        r = q[1] @ k[1].swapaxes(-1, -2) * d ** -0.5
        if l.cap:
            s = w.mul(w.unary("tanh", w.mul(s, w.constant(1 / l.cap, (1, 1, 1)))), w.constant(l.cap, (1, 1, 1)))
            r = np.tanh(r / l.cap) * l.cap
        if l.mask != "none":
            m, bias = self.mask()
            s, r = w.binary("add", s, w.reshape(m, 1, t, t)), r + bias
        top = w.reduce("max", s, 2)
        e = w.math("exp", w.binary("sub", s, top))
        total = w.reduce("sum", e, 2)
        if l.attention == "flash":
            p = w.math("exp", w.binary("sub", s, w.binary("add", top, w.unary("log", total))))
        else:
            p = w.mul(e, w.unary("reciprocal", total))
        y = w.tosa("matmul", (n, t, d), self.drop(p), values, w.constant(0), w.constant(0))
        r = np.exp(r - r.max(-1, keepdims=True))
        r = (r / r.sum(-1, keepdims=True)) @ v[1]
        y = w.transpose(w.reshape(y, 1, n, t, d), 0, 2, 1, 3)
        return w.reshape(y, 1, t, n * d), r.transpose(0, 2, 1, 3).reshape(1, t, n * d)

    def activation(self, x):
        w, shape = self.w, self.w.shape(x)
        if self.l.gate == "silu":
            return w.mul(x, w.unary("reciprocal", w.binary("add", w.unary("exp", w.negate(x)), w.filled(1, shape))))
        cube = w.mul(w.mul(w.mul(x, x), x), w.filled(0.044715, shape))
        inner = w.mul(w.binary("add", x, cube), w.filled(0.7978845608028654, shape))
        return w.mul(w.mul(x, w.filled(0.5, shape)), w.binary("add", w.unary("tanh", inner), w.filled(1, shape)))

    def run(self):
        l, w = self.l, self.w
        x, rx = self.argument(1, l.tokens, l.features)
        h, rh = self.norm(x, rx)
        q = self.heads(*self.linear(h, rh, l.features, l.bias), l.heads)
        k = self.heads(*self.linear(h, rh, l.kv_heads * l.width, l.bias), l.kv_heads)
        v = self.heads(*self.linear(h, rh, l.kv_heads * l.width, l.bias), l.kv_heads)
        if l.head_norms:
            q, k = self.norm(*q), self.norm(*k)
        if l.rotated:
            tables = self.tables()
            q, k = self.rope(q, tables), self.rope(k, tables)
        if l.kv_heads != l.heads:
            k, v = self.repeat(*k), self.repeat(*v)
        y, ry = self.linear(*self.attention(q, k, v), l.features)
        x, rx = w.binary("add", x, self.drop(y)), rx + ry
        h, rh = self.norm(x, rx)
        gate, up = self.linear(h, rh, l.hidden), self.linear(h, rh, l.hidden)
        y, ry = self.linear(w.mul(self.activation(gate[0]), up[0]), activate(l, gate[1]) * up[1], l.features)
        return w.binary("add", x, self.drop(y)), rx + ry


def build(layer, seed=1):
    """The graph's text, its arguments, what it computes, and how many ops of each kind are in it."""
    decoder = Decoder(layer, seed)
    result, wanted = decoder.run()
    expected = {"norm": 4 if layer.head_norms else 2, "attention": 1, "rope": 2 * layer.rotated, "glu": 1, "linear": 7}
    return decoder.w.text(result), decoder.w.arguments, wanted, expected


LAYERS = {
    "qwen2": Layer(),
    "qwen2-plain": Layer(attention="plain"),
    "qwen3": Layer(bias=False, head_norms=True),
    "llama-mha": Layer(kv_heads=4, bias=False),
    "llama-dropout-ones": Layer(bias=False, dropout="ones"),
    "llama-dropout-zeros": Layer(bias=False, dropout="zeros"),
    "llama-additive-mask": Layer(bias=False, mask="additive"),
    "llama-no-mask": Layer(bias=False, mask="none"),
    "llama-straight-weights": Layer(bias=False, weights="straight"),
    "gemma": Layer(bias=False, gate="gelu"),
    "gemma2-cap": Layer(bias=False, gate="gelu", cap=50.0, attention="plain"),
    "gpt-layer-norm": Layer(kv_heads=4, norm="layer", rotated=False),
    "one-kv-head": Layer(bias=False, kv_heads=1),
}
