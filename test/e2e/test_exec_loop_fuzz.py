"""welford exec: random loops and branches over tensors and buffers against the same program in Python.

What is checked is who shares memory with whom: a loop writes in place wherever nobody looks at the older value.
WELFORD_FUZZ_LOOPS  how many programs (default 12)
WELFORD_FUZZ_SEED   the first seed (default 0)
"""
import os
import random

import numpy as np
import pytest

from test_exec import mlir  # noqa: F401  mlir is a fixture

COUNT, FIRST = int(os.environ.get("WELFORD_FUZZ_LOOPS", 12)), int(os.environ.get("WELFORD_FUZZ_SEED", 0))
N = 4
T = f"tensor<{N}xf32>"


class Program:
    """MLIR text, and Python text that computes the same on copies."""

    def __init__(self, seed):
        self.random, self.n, self.budget = random.Random(seed), 0, 40
        self.text, self.python = [], []
        indices = [f"c{i}" for i in range(N)]
        for i in range(N):
            self.emit(0, f"%c{i} = arith.constant {i} : index", f"c{i} = {i}")
        self.emit(0, "%half = arith.constant 0.5 : f32", "half = F(0.5)")
        tensors, scalars, self.buffers = ["x", "y"], ["half"], []
        if self.random.random() < 0.5:
            for name in ("x", "y"):
                m = self.name("m")
                self.emit(0, f"%{m} = memref.alloc() : memref<{N}xf32>\n  bufferization.materialize_in_destination %{name} in restrict writable %{m}"
                          f" : ({T}, memref<{N}xf32>) -> ()", f"{m} = {name}.copy()")
                self.buffers.append(m)
        self.block(0, tensors, scalars, indices)
        results = [self.random.choice(tensors) for _ in range(2)]
        for m in self.buffers:
            t = self.name("t")
            self.emit(0, f"%{t} = bufferization.to_tensor %{m} : memref<{N}xf32> to {T}", f"{t} = {m}.copy()")
            results.append(t)
        self.n_results = len(results)
        types = ", ".join([T] * len(results))
        self.python.append(f"results = [{', '.join(results)}]")
        self.mlir = (f"func.func @main(%x: {T}, %y: {T}) -> ({types}) {{\n" + "\n".join(self.text) +
                     f"\n  return {', '.join('%' + r for r in results)} : {types}\n}}\n")

    def name(self, kind):
        self.n += 1
        return f"{kind}{self.n}"

    def emit(self, depth, text, python):
        self.text.append("  " * (depth + 1) + text)
        self.python.append("    " * depth + python)

    def block(self, depth, tensors, scalars, indices):
        for _ in range(self.random.randint(2, 6)):
            if self.budget <= 0:
                return
            self.budget -= 1
            kinds = [self.extract, self.insert, self.insert, self.add, self.mean]
            if self.buffers:
                kinds += [self.store, self.load]
            if depth < 3:
                kinds += [self.loop, self.branch]
            self.random.choice(kinds)(depth, tensors, scalars, indices)

    def extract(self, depth, tensors, scalars, indices):
        s, t, i = self.name("s"), self.random.choice(tensors), self.random.choice(indices)
        self.emit(depth, f"%{s} = tensor.extract %{t}[%{i}] : {T}", f"{s} = {t}[{i}]")
        scalars.append(s)

    def insert(self, depth, tensors, scalars, indices):
        r, s, t, i = self.name("t"), self.random.choice(scalars), self.random.choice(tensors[-4:]), self.random.choice(indices)
        self.emit(depth, f"%{r} = tensor.insert %{s} into %{t}[%{i}] : {T}", f"{r} = {t}.copy(); {r}[{i}] = {s}")
        tensors.append(r)

    def store(self, depth, tensors, scalars, indices):
        m, s, i = self.random.choice(self.buffers), self.random.choice(scalars), self.random.choice(indices)
        self.emit(depth, f"memref.store %{s}, %{m}[%{i}] : memref<{N}xf32>", f"{m}[{i}] = {s}")

    def load(self, depth, tensors, scalars, indices):
        m, s, i = self.random.choice(self.buffers), self.name("s"), self.random.choice(indices)
        self.emit(depth, f"%{s} = memref.load %{m}[%{i}] : memref<{N}xf32>", f"{s} = {m}[{i}]")
        scalars.append(s)

    def add(self, depth, tensors, scalars, indices):
        r, h, a, b = self.name("t"), self.name("s"), self.random.choice(scalars), self.random.choice(scalars)
        self.emit(depth, f"%{r} = arith.addf %{a}, %{b} : f32\n%{h} = arith.mulf %{r}, %half : f32", f"{h} = ({a} + {b}) * half")
        scalars.append(h)

    def mean(self, depth, tensors, scalars, indices):
        r, e, t, a, b = (*(self.name("t") for _ in range(3)), self.random.choice(tensors), self.random.choice(tensors))
        self.emit(depth, f"%{e} = tensor.splat %half : {T}\n%{t} = arith.addf %{a}, %{b} : {T}\n%{r} = arith.mulf %{t}, %{e} : {T}",
                  f"{r} = ({a} + {b}) * half")
        tensors.append(r)

    def loop(self, depth, tensors, scalars, indices):
        k, i = self.random.randint(1, 2), self.name("i")
        results, inside = [self.name("t") for _ in range(k)], [self.name("t") for _ in range(k)]
        inits = [self.random.choice(tensors[-4:]) for _ in range(k)]
        y, z, start = self.name("s"), self.name("s"), self.random.choice(scalars)
        types = ", ".join([T] * k + ["f32"])
        pack = self.name("l")
        carried = ", ".join(f"%{a} = %{b}" for a, b in zip(inside + [z], inits + [start]))
        self.emit(depth, f"%{pack}:{k + 1} = scf.for %{i} = %c0 to %c3 step %c1 iter_args({carried}) -> ({types}) {{",
                  f"{', '.join(inside + [z])} = {', '.join(inits + [start])}")
        self.python.append("    " * depth + f"for {i} in range(3):")
        own_tensors, own_scalars = tensors + inside, scalars + [z]
        self.block(depth + 1, own_tensors, own_scalars, indices + [i])
        given = [self.random.choice(own_tensors[-5:]) for _ in range(k)] + [self.random.choice(own_scalars[-3:])]
        self.emit(depth + 1, f"scf.yield {', '.join('%' + g for g in given)} : {types}", f"{', '.join(inside + [z])} = {', '.join(given)}")
        self.emit(depth, "}", f"{', '.join(results + [y])} = {', '.join(inside + [z])}")
        self.rename(depth, pack, results + [y])
        tensors += results
        scalars.append(y)

    def rename(self, depth, pack, names):
        """Results of an op of several have numbers in MLIR."""
        for j, name in enumerate(names):
            if name[0] == "t":
                self.text.append(f"%{name} = tensor.cast %{pack}#{j} : {T} to {T}")
            else:
                self.text.append(f"%{name} = arith.addf %{pack}#{j}, %none : f32")

    def branch(self, depth, tensors, scalars, indices):
        k, c, pack = self.random.randint(1, 2), self.name("b"), self.name("l")
        results, a, b = [self.name("t") for _ in range(k)], self.random.choice(scalars), self.random.choice(scalars)
        types = ", ".join([T] * k)
        self.emit(depth, f"%{c} = arith.cmpf olt, %{a}, %{b} : f32\n%{pack}:{k} = scf.if %{c} -> ({types}) {{", f"if {a} < {b}:")
        for way in range(2):
            own_tensors, own_scalars = list(tensors), list(scalars)
            self.block(depth + 1, own_tensors, own_scalars, indices)
            given = [self.random.choice(own_tensors[-4:]) for _ in range(k)]
            self.emit(depth + 1, f"scf.yield {', '.join('%' + g for g in given)} : {types}", f"{', '.join(results)} = {', '.join(given)}")
            if way == 0:
                self.emit(depth, "} else {", "else:")
        self.text.append("}")
        self.rename(depth, pack, results)
        tensors += results

    def run(self, x, y):
        names = {"x": x, "y": y, "F": np.float32}
        exec("\n".join(self.python), names)
        return names["results"]


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_program(mlir, seed):  # noqa: F811
    p = Program(seed)
    text = p.mlir.replace("%half = arith", "%none = arith.constant -0.0 : f32\n  %half = arith", 1)
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, N)).astype("f4")
    got = mlir(text)(x, y, n_results=p.n_results)
    for g, w in zip(got, p.run(x, y)):
        assert np.allclose(g, w, 1e-5, 1e-6), text
