"""Random functions of TOSA, linalg, tensor, arith and math ops, with what they compute.

    graph = Graph(seed); graph.text; graph.inputs; graph.check(results)

Every value is known twice: rounded after each op as its type says, and in double precision. How far the two are apart
tells how much rounding may move a result. Ops that jump (comparisons, casts to integers, floor) only see values that
rounding cannot move. A module may use an op in ways that no frontend would; all of them have one meaning.
"""
import random

import numpy as np

from fuzz_elementwise import Elementwise
from fuzz_shapes import Shapes
from fuzz_structured import Structured
from fuzz_values import FLOATS, SIZES, Unfit, loaded, stored


class Graph(Elementwise, Shapes, Structured):
    def __init__(self, seed, n_ops=8):
        self.random, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.lines, self.values, self.arguments, self.resources, self.n_names = [], [], [], [], 0
        self.dialects = self.random.choice([("tosa",), ("linalg",), ("tosa", "linalg")])
        self.zero_sizes = self.random.random() < 0.05
        self.base = [self.random.choice(SIZES) for _ in range(4)]  # sizes that come again, so that shapes match
        if self.zero_sizes:
            self.base[self.random.randrange(4)] = 0
        for _ in range(self.random.choice([1, 2, 2, 3])):
            self.add_argument()
        made = 0
        for _ in range(n_ops * 40):
            if made >= n_ops:
                break
            made += self.try_op()
        self.finish()

    def try_op(self):
        ops = [name for name in dir(self) if name.startswith("op_")]
        n = len(self.lines), len(self.values), len(self.resources)
        try:
            with np.errstate(all="ignore"):
                getattr(self, self.random.choice(ops))()
            if self.zero_sizes and any("tosa." in line for line in self.lines[n[0]:]):
                raise Unfit  # TOSA knows no empty tensors
            return True
        except Unfit:
            del self.lines[n[0]:], self.values[n[1]:], self.resources[n[2]:]
            return False

    def finish(self):
        made = [v for v in self.values if v not in self.arguments] or self.values
        n = self.random.choice([1, 1, 2, 3])
        self.results = [made[-1], *self.random.sample(made, min(n - 1, len(made)))]
        if self.random.random() < 0.1:
            self.results.append(self.random.choice(self.arguments))
        self.inputs = [stored(v.element, v.lo) for v in self.arguments]
        arguments = ", ".join(f"{v.name}: {v.type}" for v in self.arguments)
        types = ", ".join(v.type for v in self.results)
        self.text = (f"func.func @main({arguments}) -> ({types}) {{\n" + "\n".join(self.lines) +
                     f"\nreturn {', '.join(v.name for v in self.results)} : {types}\n}}\n")
        if self.resources:
            self.text += "{-# dialect_resources: { builtin: { " + ", ".join(self.resources) + " } } #-}\n"

    def check(self, results):
        """What is wrong with these results; None: nothing."""
        for i, (value, y) in enumerate(zip(self.results, results, strict=True)):
            y = loaded(value.element, y)
            if y.shape != value.shape:
                return f"result {i} has shape {y.shape}, not {value.shape}"
            if not value.is_float:
                if not np.array_equal(y, value.lo):
                    return f"result {i} ({value.name}): {int((y != value.lo).sum())} of {y.size} integers differ"
                continue
            if not y.size:
                continue
            scale = max(1, np.abs(value.hi).max())
            tolerance = 0 if value.exact else FLOATS[value.element] * scale * 8 + 32 * np.abs(value.lo - value.hi).max() + 4e-6 * scale
            worst = np.abs(y - value.hi).max() if np.isfinite(y).all() else np.inf
            if worst > tolerance:
                return f"result {i} ({value.name}) is off by {worst:.3g}, at most {tolerance:.3g} is rounding"
        return None
