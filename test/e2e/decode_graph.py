"""Decoder layers as buddy-mlir spells them for decoding (bench/buddy.py has them without a cache), with NumPy beside them.

Keys and values of the new tokens go into caches by loops over buffers, row by row, at places that are computed from
`past`, a number that is given; attention goes over the whole caches, under a mask that hides what has not come yet.
"""
import dataclasses
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import buddy


@dataclasses.dataclass
class Layer(buddy.Layer):
    tokens: int = 1
    positions: int = 32        # of a cache
    layers: int = 2
    past: int = 5


class Writer(buddy.Writer):
    def given(self, value, element):
        name = f"%arg{len(self.arguments)}"
        self.types[name] = self.type(value.shape, element)
        self.arguments.append(value)
        return name

    def texts(self, results):
        arguments = ", ".join(f"%arg{i}: {self.types[f'%arg{i}']}" for i in range(len(self.arguments)))
        types = ", ".join(self.types[r] for r in results)
        return (f"module {{\n  func.func @forward({arguments}) -> ({types}) {{\n" + "\n".join(self.lines) +
                f"\n    return {', '.join(results)} : {types}\n  }}\n}}\n")

    def integers(self, name, shape, *operands):
        return self.tosa(name, shape, *operands, element="i64")

    def reshaped(self, x, *shape):
        """Of integers."""
        name = f"%{len(self.types)}"
        self.types[name] = to = f"!tosa.shape<{len(shape)}>"
        self.lines.append(f"    {name} = tosa.const_shape {{values = dense<{list(shape)}> : tensor<{len(shape)}xindex>}} : () -> {to}")
        return self.integers("reshape", shape, x, name)

    def counted(self, n):
        return self.op(f"tensor.generate {{\n    ^bb0(%i: index):\n      %j = arith.index_cast %i : index to i64\n"
                       f"      tensor.yield %j : i64\n    }} : {self.type((n,), 'i64')}", (n,), "i64")

    def store(self, cache, rows, at):
        """Loops over a copy of the cache. at: the place of each row of each head."""
        shape, (_, heads, n, width), m = self.shape(cache), self.shape(rows), len(self.types)
        memory = [t.replace("tensor", "memref") for t in (self.types[cache], self.types[rows], self.types[at])]
        self.lines.append(f"""    %cache{m} = bufferization.to_buffer {cache} : {self.types[cache]} to {memory[0]}
    %new{m} = memref.alloc() : {memory[0]}
    memref.copy %cache{m}, %new{m} : {memory[0]} to {memory[0]}
    %rows{m} = bufferization.to_buffer {rows} : {self.types[rows]} to {memory[1]}
    %at{m} = bufferization.to_buffer {at} : {self.types[at]} to {memory[2]}
    %zero{m} = arith.constant 0 : index
    %one{m} = arith.constant 1 : index
    %heads{m} = arith.constant {heads} : index
    %n{m} = arith.constant {n} : index
    %pad{m} = arith.constant 0.0 : f32
    scf.for %b = %zero{m} to %one{m} step %one{m} {{
      scf.for %h = %zero{m} to %heads{m} step %one{m} {{
        scf.for %w = %zero{m} to %n{m} step %one{m} {{
          %place = memref.load %at{m}[%b, %h, %w] : {memory[2]}
          %row = arith.index_cast %place : i64 to index
          %x = vector.transfer_read %rows{m}[%b, %h, %w, %zero{m}], %pad{m} {{in_bounds = [true]}} : {memory[1]}, vector<{width}xf32>
          vector.transfer_write %x, %new{m}[%b, %h, %row, %zero{m}] {{in_bounds = [true]}} : vector<{width}xf32>, {memory[0]}
        }}
      }}
    }}""")
        return self.op(f"bufferization.to_tensor %new{m} restrict : {memory[0]} to {self.types[cache]}", shape)

    def products(self, q, k):
        """q k^T of batches, as a linalg.batch_matmul with maps of its own."""
        (n, t, _), (_, s, _) = self.shape(q), self.shape(k)
        out = self.filled(0, (n, t, s))
        maps = ", ".join(f"affine_map<(a, b, c, d) -> ({r})>" for r in ("a, b, d", "a, c, d", "a, b, c"))
        return self.op(f"linalg.batch_matmul indexing_maps = [{maps}] {{cast = #linalg.type_fn<cast_signed>}} ins({q}, {k} : "
                       f"{self.types[q]}, {self.types[k]}) outs({out} : {self.type((n, t, s))}) -> {self.type((n, t, s))}", (n, t, s))


class Decoder(buddy.Decoder):
    def __init__(self, layer, seed):
        super().__init__(layer, seed)
        self.w = Writer()

    def positions(self):
        w, t = self.w, self.l.tokens
        past = w.given(np.array(self.l.past), "i64")
        self.at = w.integers("add", (t,), w.counted(t), w.reshaped(past, 1))
        self.places = self.l.past + np.arange(t)

    def tables(self):
        l, w, half = self.l, self.w, self.l.width // 2
        frequencies = (10000.0 ** (-np.arange(half) / half)).astype(np.float32)
        at = w.tosa("cast", (1, l.tokens, 1), w.reshaped(self.at, 1, l.tokens, 1))
        angles = w.mul(at, w.reshape(w.argument(frequencies), 1, 1, half))
        twice = w.expand(w.reshape(angles, 1, l.tokens, 1, half), 1, l.tokens, 2, half)
        twice = w.reshape(twice, 1, l.tokens, 2 * half)
        reference = np.tile(self.places[:, None] * frequencies.astype(np.float64), 2)
        tables = []
        for name in ("cos", "sin"):
            table = w.mul(w.math(name, twice), w.constant(1, (1, 1, 1)))
            tables.append((w.reshape(table, 1, 1, l.tokens, 2 * half), getattr(np, name)(reference)))
        return tables

    def hidden(self):
        """0 where a position has come, -inf where it has not: [1, tokens, positions]."""
        w, t, c = self.w, self.l.tokens, self.l.positions
        seen = w.tosa("greater_equal", (1, 1, t, c), w.reshaped(self.at, 1, 1, t, 1), w.reshaped(w.counted(c), 1, 1, 1, c), element="i1")
        scalars = [w.op(f"arith.constant dense<{x}> : tensor<f32>", ()) for x in ("0.0", "0xFF800000")]
        shape, out = (1, 1, t, c), w.op(f"tensor.empty() : {w.type((1, 1, t, c))}", (1, 1, t, c))
        whole, scalar = "affine_map<(a, b, c, d) -> (a, b, c, d)>", "affine_map<(a, b, c, d) -> ()>"
        kinds = ", ".join(['"parallel"'] * 4)
        mask = w.op(f"linalg.generic {{indexing_maps = [{whole}, {scalar}, {scalar}, {whole}], iterator_types = "
                    f"[{kinds}]}} ins({seen}, {', '.join(scalars)} : {w.types[seen]}, tensor<f32>, tensor<f32>) "
                    f"outs({out} : {w.type(shape)}) {{\n    ^bb0(%s: i1, %y: f32, %n: f32, %o: f32):\n"
                    f"      %v = arith.select %s, %y, %n : f32\n      linalg.yield %v : f32\n    }} -> {w.type(shape)}", shape)
        return w.reshape(w.binary("add", w.filled(0, (t, c)), w.reshape(mask, t, c)), 1, t, c), \
            np.where(self.places[:, None] >= np.arange(c), 0, -np.inf)

    def remember(self, x, reference):
        l, w = self.l, self.w
        cache, old = self.argument(1, l.kv_heads, l.positions, l.width)
        at = w.integers("add", (1, l.kv_heads, l.tokens), w.reshaped(self.at, 1, 1, l.tokens),
                        w.op(f"arith.constant dense<0> : {w.type((1, l.kv_heads, l.tokens), 'i64')}", (1, l.kv_heads, l.tokens), "i64"))
        new = old.copy()
        new[:, :, self.places] = reference
        self.caches.append((w.store(cache, x, at), new))
        return self.caches[-1]

    def repeat(self, x, reference):
        l, w, group = self.l, self.w, self.l.heads // self.l.kv_heads
        y = w.expand(w.reshape(x, 1, l.kv_heads, 1, l.positions, l.width), 1, l.kv_heads, group, l.positions, l.width)
        return w.reshape(y, 1, l.heads, l.positions, l.width), np.repeat(reference, group, 1)

    def attention(self, q, k, v):
        l, w, t, c, d, n = self.l, self.w, self.l.tokens, self.l.positions, self.l.width, self.l.heads
        s = w.products(w.reshape(q[0], n, t, d), w.reshape(k[0], n, c, d))
        s = w.mul(s, w.filled(d ** -0.5, (n, t, c)))
        s = w.binary("add", s, self.mask[0])
        top = w.reduce("max", s, 2)
        total = w.reduce("sum", w.math("exp", w.binary("sub", s, top)), 2)
        p = w.math("exp", w.binary("sub", s, w.binary("add", top, w.unary("log", total))))
        y = w.tosa("matmul", (n, t, d), p, w.reshape(v[0], n, c, d), w.constant(0), w.constant(0))
        r = q[1] @ k[1].swapaxes(-1, -2) * d ** -0.5 + self.mask[1]
        r = np.exp(r - r.max(-1, keepdims=True))
        r = (r / r.sum(-1, keepdims=True)) @ v[1]
        y = w.transpose(w.reshape(y, 1, n, t, d), 0, 2, 1, 3)
        return w.reshape(y, 1, t, n * d), r.transpose(0, 2, 1, 3).reshape(1, t, n * d)

    def layer(self, x, rx):
        l, w = self.l, self.w
        h, rh = self.norm(x, rx)
        q = self.heads(*self.linear(h, rh, l.features, l.bias), l.heads)
        k = self.heads(*self.linear(h, rh, l.kv_heads * l.width, l.bias), l.kv_heads)
        v = self.heads(*self.linear(h, rh, l.kv_heads * l.width, l.bias), l.kv_heads)
        q, k = self.rope(q, self.angles), self.rope(k, self.angles)
        k, v = self.remember(*k), self.remember(*v)
        if l.kv_heads != l.heads:
            k, v = self.repeat(*k), self.repeat(*v)
        y, ry = self.linear(*self.attention(q, k, v), l.features)
        x, rx = w.binary("add", x, y), rx + ry
        h, rh = self.norm(x, rx)
        gate, up = self.linear(h, rh, l.hidden), self.linear(h, rh, l.hidden)
        y, ry = self.linear(w.mul(self.activation(gate[0]), up[0]), buddy.activate(l, gate[1]) * up[1], l.features)
        return w.binary("add", x, y), rx + ry

    def run(self):
        self.caches = []
        self.positions()
        x = self.argument(1, self.l.tokens, self.l.features)
        self.angles, self.mask = self.tables(), self.hidden()
        for _ in range(self.l.layers):
            x = self.layer(*x)
        h, rh = self.norm(*x)
        return [*self.caches, self.linear(h, rh, 96)]


def build(layer, seed=1):
    """The graph's text, its arguments, what it computes (the caches, then the output), and how many ops it has."""
    decoder = Decoder(layer, seed)
    results = decoder.run()
    n = layer.layers
    expected = {"rms_norm": 2 * n + 1, "attention": n, "rope": 2 * n, "glu": n, "linear": 7 * n + 1, "store_rows": 2 * n}
    return decoder.w.texts([name for name, _ in results]), decoder.w.arguments, [value for _, value in results], expected
