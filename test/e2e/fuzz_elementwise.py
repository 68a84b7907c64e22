"""Elementwise ops, casts, reductions and changes of shape for graph_fuzz.py."""
import numpy as np

from fuzz_values import FLOATS, INTS, Builder, Unfit, np_erf, stored, type_of


MOST_FACTORS = 16  # more may leave the type's range in one order of multiplying and not in another

# name in TOSA, in math, what it computes, and what it wants of x
UNARY = [
    ("abs", "absf", np.abs, None), ("ceil", "ceil", np.ceil, "exact"), ("floor", "floor", np.floor, "exact"),
    ("exp", "exp", np.exp, "small"), ("log", "log", np.log, "positive"), ("tanh", "tanh", np.tanh, None),
    ("erf", "erf", np_erf, None), ("sin", "sin", np.sin, None), ("cos", "cos", np.cos, None),
    ("reciprocal", None, lambda x: 1 / x, "positive"), ("rsqrt", "rsqrt", lambda x: 1 / np.sqrt(x), "positive"),
    ("sigmoid", None, lambda x: 1 / (1 + np.exp(-x)), "small"), (None, "sqrt", np.sqrt, "positive"),
    (None, "trunc", np.trunc, "exact"), (None, "roundeven", np.rint, "exact"), (None, "exp2", np.exp2, "small"),
    (None, "expm1", np.expm1, "small"), (None, "log1p", np.log1p, "positive"), (None, "atan", np.arctan, None),
]
BINARY_FLOAT = [("add", "addf", np.add, None), ("sub", "subf", np.subtract, None), ("mul", "mulf", np.multiply, None),
                ("maximum", "maximumf", np.maximum, None), ("minimum", "minimumf", np.minimum, None),
                (None, "divf", np.divide, "positive"), (None, "maxnumf", np.maximum, None)]
BINARY_INT = [("add", "addi", np.add), ("sub", "subi", np.subtract), ("mul", "muli", np.multiply),
              ("maximum", "maxsi", np.maximum), ("minimum", "minsi", np.minimum), ("bitwise_and", "andi", np.bitwise_and),
              ("bitwise_or", "ori", np.bitwise_or), ("bitwise_xor", "xori", np.bitwise_xor)]
COMPARE = [("greater", "ogt", "sgt", np.greater), ("greater_equal", "oge", "sge", np.greater_equal),
           ("equal", "oeq", "eq", np.equal), (None, "olt", "slt", np.less), (None, "une", "ne", np.not_equal)]


class Elementwise(Builder):
    def op_constant(self):
        element, shape = self.element(), self.shape()
        x = self.numbers(element, shape)
        t = type_of(shape, element)
        form = self.random.choice(["splat", "bytes", "resource"])
        if form == "splat" or x.size == 0 or element == "i1":
            x = np.broadcast_to(x.flat[0] if x.size else x.dtype.type(0), shape).copy()
            number = x.flat[0] if x.size else 0
            text = f"dense<{float(number):.17e}>" if element in FLOATS else f"dense<{str(bool(number)).lower() if element == 'i1' else int(number)}>"
        elif form == "bytes" or x.size < 2:
            text = f'dense<"0x{stored(element, x).tobytes().hex().upper()}">'
        else:
            text = f"dense_resource<r{len(self.resources)}>"
            self.resources.append(f'r{len(self.resources)}: "0x{x.itemsize if element not in ("f16", "bf16") else 2:02x}000000{stored(element, x).tobytes().hex()}"')
        op = f'"tosa.const"() <{{values = {text} : {t}}}> : () -> {t}' if self.is_tosa() and element != "f64" else f"arith.constant {text} : {t}"
        self.add(element, x, x, f"{{y}} = {op}", exact=True)

    def fitting_unary(self):
        tosa, math, f, want = self.random.choice(UNARY)
        x = self.pick_float()
        if want == "exact" and not x.exact or want == "positive" and x.lo.size and x.lo.min() < 0.05:
            raise Unfit
        if want == "small" and x.lo.size and np.abs(x.lo).max() > 8:
            raise Unfit
        return tosa, math, f, want, x

    def op_unary(self):
        tosa, math, f, want, x = self.fitting_unary()
        exact = x.exact and (want == "exact" or tosa == "abs")
        if tosa and (self.is_tosa() or not math) and x.element != "f64":
            text = f"{{y}} = tosa.{tosa} {x.name} : ({x.type}) -> {{T}}"
        elif math:
            text = f"{{y}} = math.{math} {x.name} : {x.type}"
        else:
            raise Unfit
        self.add(x.element, f(x.lo), f(x.hi), text, exact, x.dynamic)

    def op_linalg_unary(self):
        name, f, want = self.random.choice([("exp", np.exp, "small"), ("log", np.log, "positive"), ("abs", np.abs, None), ("negf", np.negative, None),
                                            ("tanh", np.tanh, None), ("sqrt", np.sqrt, "positive"), ("rsqrt", lambda x: 1 / np.sqrt(x), "positive"),
                                            ("square", np.square, None), ("reciprocal", lambda x: 1 / x, "positive"), ("erf", np_erf, None)])
        x = self.pick_float()
        if want and x.lo.size and (np.abs(x.lo).max() > 8 if want == "small" else x.lo.min() < 0.05):
            raise Unfit
        out, t, dynamic = self.empty(x.shape, x.element, [(x, d) for d in range(x.rank)])
        self.add(x.element, f(x.lo), f(x.hi), f"{{y}} = linalg.{name} ins({x.name} : {x.type}) outs({out} : {t}) -> {t}", False, dynamic)

    def op_clamp(self):
        x = self.pick(lambda v: v.element in ("f32", "f16", "bf16"))
        self.add(x.element, np.clip(x.lo, -0.5, 1), np.clip(x.hi, -0.5, 1),
                 f"{{y}} = tosa.clamp {x.name} {{min_val = -0.5 : {x.element}, max_val = 1.0 : {x.element}}} : ({x.type}) -> {{T}}", x.exact, x.dynamic)

    def op_negate(self):
        x = self.pick(lambda v: v.element in ("f32", "f16", "bf16", "i32", "i8"))
        if not x.is_float and x.lo.size and np.abs(x.lo.astype(np.int64)).max() > 100:
            raise Unfit
        z = self.scalar_tensor(x.element, 0)
        t = f"tensor<1x{x.element}>"
        self.add(x.element, -x.lo, -x.hi, f"{{y}} = tosa.negate {x.name}, {z}, {z} : ({x.type}, {t}, {t}) -> {{T}}", x.exact, x.dynamic)

    def pair(self, wanted):
        """Two values of one type and rank whose shapes are the same, or broadcast in TOSA's way."""
        x = self.pick(wanted)
        y = self.pick(lambda v: v.element == x.element and v.rank == x.rank and all(a == b or 1 in (a, b) for a, b in zip(x.shape, v.shape)))
        dynamic = [a if n == m else a if m == 1 else b for n, m, a, b in zip(x.shape, y.shape, x.dynamic, y.dynamic)]
        dynamic = [d or n == m and b for d, n, m, b in zip(dynamic, x.shape, y.shape, y.dynamic)]
        dynamic = [d or n != m and (a or b) for d, n, m, a, b in zip(dynamic, x.shape, y.shape, x.dynamic, y.dynamic)]
        return x, y, dynamic

    def binary_text(self, x, y, tosa, arith):
        """By tosa's op where there is one for the type, or arith's, which broadcasts nothing."""
        if self.is_tosa() and tosa:
            shift = f", {self.scalar_tensor('i8', 0)}" if tosa == "mul" else ""
            more = ", tensor<1xi8>" if tosa == "mul" else ""
            return f"{{y}} = tosa.{tosa} {x.name}, {y.name}{shift} : ({x.type}, {y.type}{more}) -> {{T}}"
        if x.type != y.type or x.shape != y.shape:
            raise Unfit
        return f"{{y}} = arith.{arith} {x.name}, {y.name} : {x.type}"

    def op_binary(self):
        x, y, dynamic = self.pair(lambda v: v.is_float)
        tosa, arith, f, want = self.random.choice(BINARY_FLOAT)
        if want == "positive" and y.lo.size and y.lo.min() < 0.05:
            raise Unfit
        exact = x.exact and y.exact and "m" == (tosa or " ")[0] and tosa != "mul"
        text = self.binary_text(x, y, tosa if x.element != "f64" else None, arith)
        self.add(x.element, f(x.lo, y.lo), f(x.hi, y.hi), text, exact, dynamic)

    def op_linalg_binary(self):
        x = self.pick_float()
        y = self.pick(lambda v: v.element == x.element and v.type == x.type and v.shape == x.shape)
        name, f = self.random.choice([("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("max", np.maximum), ("min", np.minimum)])
        out, t, dynamic = self.empty(x.shape, x.element, [(x, d) for d in range(x.rank)])
        self.add(x.element, f(x.lo, y.lo), f(x.hi, y.hi),
                 f"{{y}} = linalg.{name} ins({x.name}, {y.name} : {x.type}, {y.type}) outs({out} : {t}) -> {t}", False, dynamic)

    def op_binary_int(self):
        x, y, dynamic = self.pair(lambda v: v.element in ("i8", "i16", "i32", "i64"))
        tosa, arith, f = self.random.choice(BINARY_INT)
        text = self.binary_text(x, y, tosa if x.element == "i32" else None, arith)
        self.add(x.element, f(x.lo, y.lo), None, text, True, dynamic)

    def op_divide_int(self):
        x, y, dynamic = self.pair(lambda v: v.element in ("i32", "i64"))
        if (y.lo == 0).any() or (np.abs(x.lo.astype(np.float64)) > 2 ** 30).any():
            raise Unfit
        quotient = np.trunc(x.lo.astype(np.float64) / y.lo).astype(np.int64)
        if self.is_tosa() and x.element == "i32":
            return self.add(x.element, quotient, None, f"{{y}} = tosa.intdiv {x.name}, {y.name} : ({x.type}, {y.type}) -> {{T}}", True, dynamic)
        if x.type != y.type:
            raise Unfit
        name, z = self.random.choice([("divsi", quotient), ("remsi", x.lo - quotient * y.lo), ("floordivsi", x.lo // y.lo)])
        self.add(x.element, z, None, f"{{y}} = arith.{name} {x.name}, {y.name} : {x.type}", True, dynamic)

    def op_compare(self):
        x, y, dynamic = self.pair(lambda v: v.exact and v.element != "i1")
        if not y.exact:
            raise Unfit
        tosa, arith_f, arith_i, f = self.random.choice(COMPARE)
        if self.is_tosa() and tosa and x.element in ("f32", "f16", "bf16", "i32"):
            text = f"{{y}} = tosa.{tosa} {x.name}, {y.name} : ({x.type}, {y.type}) -> {{T}}"
        elif x.type == y.type and x.shape == y.shape:
            op = f"cmpf {arith_f}" if x.is_float else f"cmpi {arith_i}"
            text = f"{{y}} = arith.{op}, {x.name}, {y.name} : {x.type}"
        else:
            raise Unfit
        self.add("i1", f(x.lo, y.lo), None, text, True, dynamic)

    def op_select(self):
        c = self.pick(lambda v: v.element == "i1")
        x = self.pick(lambda v: v.shape == c.shape and v.element != "f64")
        y = self.pick(lambda v: v.shape == c.shape and v.element == x.element)
        if self.is_tosa():
            text = f"{{y}} = tosa.select {c.name}, {x.name}, {y.name} : ({c.type}, {x.type}, {y.type}) -> {{T}}"
            dynamic = [any(d) for d in zip(c.dynamic, x.dynamic, y.dynamic)]
        elif x.type == y.type and x.shape == y.shape and c.dynamic == x.dynamic:
            text = f"{{y}} = arith.select {c.name}, {x.name}, {y.name} : {c.type}, {x.type}"
            dynamic = x.dynamic
        else:
            raise Unfit
        self.add(x.element, np.where(c.lo, x.lo, y.lo), np.where(c.lo, x.hi, y.hi), text, x.exact and y.exact, dynamic)

    def op_logical(self):
        x, y, dynamic = self.pair(lambda v: v.element == "i1")
        name, f = self.random.choice([("and", np.logical_and), ("or", np.logical_or), ("xor", np.logical_xor)])
        self.add("i1", f(x.lo, y.lo), None, f"{{y}} = tosa.logical_{name} {x.name}, {y.name} : ({x.type}, {y.type}) -> {{T}}", True, dynamic)

    def op_cast(self):
        x = self.pick()
        to = self.element()
        if to == x.element or not x.exact and to not in FLOATS:
            raise Unfit
        with_tosa = self.is_tosa() and "f64" not in (x.element, to)
        if x.is_float and to in INTS:
            if to == "i1" or x.lo.size and np.abs(x.lo).max() > 100:
                raise Unfit
            z = np.rint(x.lo) if with_tosa else np.trunc(x.lo)
            op = "fptosi"
        elif x.is_float:
            z = x.lo
            if "bf16" in (to, x.element) and "f16" in (to, x.element):
                raise Unfit
            order = ["bf16", "f16", "f32", "f64"]
            op = "extf" if order.index(to) > order.index(x.element) else "truncf"
        elif to in FLOATS:
            z = x.lo.astype(np.float64)
            op = "uitofp" if x.element == "i1" else "sitofp"
        else:
            if with_tosa and (x.element, to) == ("i64", "i1"):
                raise Unfit
            bits = lambda e: int(e[1:])
            z = x.lo != 0 if to == "i1" and with_tosa else x.lo.astype(np.int64) & 1 if to == "i1" else x.lo.astype(np.int64)
            op = ("extui" if x.element == "i1" else "extsi") if bits(to) > bits(x.element) else "trunci"
        hi = x.hi if x.is_float and to in FLOATS else z
        text = f"{{y}} = tosa.cast {x.name} : ({x.type}) -> {{T}}" if with_tosa else f"{{y}} = arith.{op} {x.name} : {x.type} to {{T}}"
        exact = x.exact
        value = self.add(to, z, hi, text, exact, x.dynamic)
        if exact and to in FLOATS:
            value.hi = value.lo.astype(np.float64)

    # ---- reductions

    def op_reduce(self):
        x = self.pick(lambda v: v.rank > 0 and v.element in ("f32", "f16", "bf16", "i32", "i1"))
        axis = self.random.randrange(x.rank)
        if x.element == "i1":
            name, f = self.random.choice([("all", np.all), ("any", np.any)])
        else:
            name, f = self.random.choice([("sum", np.sum), ("max", np.max), ("min", np.min), ("product", np.prod)])
        if name in ("max", "min") and not x.shape[axis] or name == "product" and x.is_float and x.shape[axis] > MOST_FACTORS:
            raise Unfit
        lo = f(x.lo.astype(np.float64) if x.is_float else x.lo, axis=axis, keepdims=True)
        if not x.is_float and x.element != "i1":
            lo = f(x.lo.astype(np.int64), axis=axis, keepdims=True)
        dynamic = [free and d != axis for d, free in enumerate(x.dynamic)]
        self.add(x.element, lo, f(x.hi, axis=axis, keepdims=True),
                 f"{{y}} = tosa.reduce_{name} {x.name} {{axis = {axis} : i32}} : ({x.type}) -> {{T}}", x.exact and name[0] == "m", dynamic)

    def op_argmax(self):
        x = self.pick(lambda v: v.rank > 0 and v.exact and v.element in ("f32", "f16", "bf16"))
        axis = self.random.randrange(x.rank)
        if not x.shape[axis]:
            raise Unfit
        self.add("i32", x.lo.argmax(axis), None, f"{{y}} = tosa.argmax {x.name} {{axis = {axis} : i32}} : ({x.type}) -> {{T}}", True,
                 [free for d, free in enumerate(x.dynamic) if d != axis])

    def op_linalg_reduce(self):
        x = self.pick(lambda v: v.rank > 0 and v.element not in ("i1", "i8", "i16"))
        axes = sorted(self.random.sample(range(x.rank), self.random.randint(1, x.rank)))
        kept = [d for d in range(x.rank) if d not in axes]
        name, f, start = self.random.choice([("add", np.sum, 0), ("max", np.max, -20), ("min", np.min, 20), ("mul", np.prod, 1)])
        if name == "mul" and np.prod([x.shape[d] for d in axes]) > MOST_FACTORS:
            raise Unfit
        op = {"add": "addf", "max": "maximumf", "min": "minimumf", "mul": "mulf"}[name] if x.is_float else {"add": "addi", "max": "maxsi", "min": "minsi", "mul": "muli"}[name]
        full, t, dynamic = self.filled([x.shape[d] for d in kept], x.element, [(x, d) for d in kept], start)
        reduce = lambda a: f(a, axis=tuple(axes), initial=start)
        self.add(x.element, reduce(x.lo.astype(np.float64 if x.is_float else np.int64)), reduce(x.hi),
                 f"{{y}} = linalg.reduce {{ arith.{op} }} ins({x.name} : {x.type}) outs({full} : {t}) dimensions = {axes}", x.exact and name[0:2] in ("ma", "mi"), dynamic)
