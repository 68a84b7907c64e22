"""Writes functions of MLIR text in three spellings, and computes in double precision what they mean.

A Writer has the operations that decomposed norms are made of. Its subclasses say them as frontends do: Tosa; Generic, one
linalg.generic an op, as torch-mlir writes them; Named, linalg's own ops with explicit broadcasts, as StableHLO's
lowering does. Every Tensor carries its float64 value, so a text and its reference come from one description.
"""
from dataclasses import dataclass

import numpy as np

BITS = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16, "i64": 64}


@dataclass
class Tensor:
    name: str
    element: str
    axes: tuple  # which axes of the whole, of as many dimensions as `array`, are its dimensions
    dynamic: frozenset  # the axes whose size the type does not tell
    array: np.ndarray  # always with all axes, of size 1 where it does not vary
    number: float | None = None  # a constant of one value; no type of its own

    @property
    def dims(self) -> list[int]:
        return [self.array.shape[a] for a in self.axes]

    @property
    def shape(self) -> list[str]:
        return ["?" if a in self.dynamic else str(self.array.shape[a]) for a in self.axes]

    @property
    def type(self) -> str:
        return f"tensor<{''.join(d + 'x' for d in self.shape)}{self.element}>"


BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "max": np.maximum}
UNARY = {"rsqrt": lambda x: x ** -0.5, "sqrt": np.sqrt, "recip": lambda x: 1 / x, "abs": np.abs, "neg": np.negative,
         "square": np.square}


class Writer:
    """One function. Operations take Tensors and append to `lines`."""

    def __init__(self, rank):
        self.rank, self.lines, self.args, self.count = rank, [], [], 0

    def fresh(self):
        self.count += 1
        return f"%v{self.count - 1}"

    def emit(self, text):
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return name

    def arg(self, array, element, dynamic=(), axes=None):
        """`array` has all axes; the argument those of `axes`, by default all."""
        axes = tuple(range(self.rank) if axes is None else axes)
        dynamic = frozenset(a for a in dynamic if a in axes and array.shape[a] > 1)
        t = Tensor(f"%a{len(self.args)}", element, axes, dynamic, array.astype(np.float64))
        self.args.append(t)
        return t

    def const(self, number, element):
        return Tensor("", element, (), frozenset(), np.full([1] * self.rank, number, np.float64), number)

    def result_of(self, name, element, ins, array):
        """A tensor that varies as the broadcast of `ins`."""
        axes = tuple(sorted(set().union(*(t.axes for t in ins))))
        dynamic = frozenset(a for t in ins for a in t.dynamic)
        return Tensor(name, element, axes, dynamic, array)

    def __call__(self, op, *ins):
        array = (BINARY.get(op) or UNARY[op])(*(t.array for t in ins))
        return self.elementwise(op, ins, ins[0].element, array)

    def cast(self, x, element):
        if x.element == element:
            return x
        if x.number is not None:
            return self.const(x.number, element)
        return self.elementwise("cast", [x], element, x.array)

    def text(self, name, results, visibility=" private"):
        args = ", ".join(f"{a.name}: {a.type}" for a in self.args)
        types = ", ".join(r.type for r in results)
        names = ", ".join(r.name for r in results)
        return "\n".join([f"func.func{visibility} @{name}({args}) -> ({types}) {{", *self.lines,
                          f"  return {names} : {types}", "}", ""])


class Tosa(Writer):
    OPS = {"add": "tosa.add", "sub": "tosa.sub", "pow": "tosa.pow", "max": "tosa.maximum", "rsqrt": "tosa.rsqrt",
           "recip": "tosa.reciprocal", "abs": "tosa.abs", "neg": "tosa.negate", "cast": "tosa.cast"}

    def shift(self):
        return self.emit('"tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>')

    def whole(self, t):
        """TOSA asks for operands of one rank: a reshape, or for a number a constant."""
        if t.number is not None:
            kind = f"tensor<{'1x' * self.rank}{t.element}>"
            t.name = self.emit(f'"tosa.const"() <{{values = dense<{t.number:.9e}> : {kind}}}> : () -> {kind}')
            return Tensor(t.name, t.element, tuple(range(self.rank)), frozenset(), t.array)
        return t if len(t.axes) == self.rank else self.reshape(t, range(self.rank))

    def reshape(self, t, axes):
        """The same values with these axes as dimensions."""
        r = Tensor("", t.element, tuple(axes), t.dynamic, t.array)
        sizes = ", ".join("-1" if d == "?" else d for d in r.shape)
        kind = f"!tosa.shape<{len(r.axes)}>"
        shape = self.emit(f"tosa.const_shape {{values = dense<[{sizes}]> : tensor<{len(r.axes)}xindex>}} : () -> {kind}")
        r.name = self.emit(f"tosa.reshape {t.name}, {shape} : ({t.type}, {kind}) -> {r.type}")
        return r

    def elementwise(self, op, ins, element, array):
        if op == "square":
            return self("mul", ins[0], ins[0])
        if op == "sqrt":
            return self("pow", ins[0], self.const(0.5, ins[0].element))
        if op == "div":
            return self("mul", ins[0], self("recip", self.whole(ins[1])))
        ins = [self.whole(t) for t in ins]
        r = self.result_of("", element, ins, array)
        names, types = [t.name for t in ins], [t.type for t in ins]
        if op == "mul":
            names, types = names + [self.shift()], types + ["tensor<1xi8>"]
        if op == "neg":
            zeros = [self.emit(f'"tosa.const"() <{{values = dense<0.0> : tensor<1x{element}>}}> : () -> tensor<1x{element}>') for _ in "ab"]
            names, types = names + zeros, types + [f"tensor<1x{element}>"] * 2
        r.name = self.emit(f"{self.OPS.get(op, 'tosa.mul')} {', '.join(names)} : ({', '.join(types)}) -> {r.type}")
        return r

    def sum(self, x, axes, keep=True):
        array = x.array
        for a in axes:
            array = array.sum(a, keepdims=True)
            r = Tensor("", x.element, x.axes, x.dynamic - {a}, array)
            r.name = self.emit(f"tosa.reduce_sum {x.name} {{axis = {a} : i32}} : ({x.type}) -> {r.type}")
            x = r
        return x if keep else self.reshape(x, [a for a in x.axes if a not in axes])

    def dot(self, x, y):
        """Sums of x * y over the last axis as a matrix product: rows [r, 1, n] by columns [r, n, 1]."""
        n = x.array.shape[-1]
        array = (x.array * y.array).sum(-1, keepdims=True)
        rows = array.size
        def view(t, dims):
            shape = self.emit(f"tosa.const_shape {{values = dense<{dims}> : tensor<3xindex>}} : () -> !tosa.shape<3>")
            kind = "tensor<" + "".join(f"{d}x" for d in dims) + t.element + ">"
            return self.emit(f"tosa.reshape {t.name}, {shape} : ({t.type}, !tosa.shape<3>) -> {kind}"), kind
        (a, a_type), (b, b_type) = view(x, [rows, 1, n]), view(y, [rows, n, 1])
        zeros = [self.emit(f'"tosa.const"() <{{values = dense<0.0> : tensor<1x{x.element}>}}> : () -> tensor<1x{x.element}>') for _ in "ab"]
        kind = f"tensor<{rows}x1x1x{x.element}>"
        zero = f"tensor<1x{x.element}>"
        product = self.emit(f"tosa.matmul {a}, {b}, {', '.join(zeros)} : ({a_type}, {b_type}, {zero}, {zero}) -> {kind}")
        r = Tensor("", x.element, x.axes, x.dynamic - {self.rank - 1}, array)
        sizes = ", ".join(r.shape)
        shape = self.emit(f"tosa.const_shape {{values = dense<[{sizes}]> : tensor<{self.rank}xindex>}} : () -> !tosa.shape<{self.rank}>")
        r.name = self.emit(f"tosa.reshape {product}, {shape} : ({kind}, !tosa.shape<{self.rank}>) -> {r.type}")
        return r

    def transpose(self, x, perm):
        r = Tensor("", x.element, x.axes, frozenset(i for i, p in enumerate(perm) if p in x.dynamic), x.array.transpose(perm))
        perms = ", ".join(map(str, perm))
        r.name = self.emit(f"tosa.transpose {x.name} {{perms = array<i32: {perms}>}} : ({x.type}) -> {r.type}")
        return r

    def spread(self, t, like):
        """t repeated to the size of `like`."""
        t = self.whole(t)
        sizes = [str(n if m == 1 else 1) for n, m in zip(like.array.shape, t.array.shape)]
        kind = f"!tosa.shape<{self.rank}>"
        if like.dynamic:
            return t
        r = Tensor("", t.element, like.axes, frozenset(), np.broadcast_to(t.array, like.array.shape))
        shape = self.emit(f"tosa.const_shape {{values = dense<[{', '.join(sizes)}]> : tensor<{self.rank}xindex>}} : () -> {kind}")
        r.name = self.emit(f"tosa.tile {t.name}, {shape} : ({t.type}, {kind}) -> {r.type}")
        return r

    def size_of(self, x, axes, element):
        """The number of elements along the axes: TOSA can only write it down."""
        return self.const(float(np.prod([x.array.shape[a] for a in axes])), element)


class Linalg(Writer):
    def empty(self, r, sources):
        """tensor.empty for r, with the sizes of the tensors that it comes from."""
        sizes = []
        for a in (a for a in r.axes if a in r.dynamic):
            t = next(t for t in sources if a in t.dynamic and a in t.axes)
            i = self.emit(f"arith.constant {t.axes.index(a)} : index")
            sizes.append(self.emit(f"tensor.dim {t.name}, {i} : {t.type}"))
        return self.emit(f"tensor.empty({', '.join(sizes)}) : {r.type}")

    def zeros(self, r, sources):
        zero = self.emit(f"arith.constant 0.0 : {r.element}")
        return self.emit(f"linalg.fill ins({zero} : {r.element}) outs({self.empty(r, sources)} : {r.type}) -> {r.type}")

    def map_of(self, t, loops):
        """The indexing map of t in an op whose loops are these axes of the whole; sizes by axis in `loops`."""
        names = [f"d{i}" for i in range(len(loops))]
        order = list(loops)
        places = [f"d{order.index(a)}" if t.array.shape[a] == loops[a] else "0" for a in t.axes]
        return f"affine_map<({', '.join(names)}) -> ({', '.join(places)})>"

    def generic(self, ins, r, loops, reduced, init, body):
        """`body`: lines with {0}, {1}, .. for arguments and {o} for the old output, the last line the value yielded."""
        maps = ", ".join(self.map_of(t, loops) for t in [*ins, r])
        kinds = ", ".join('"reduction"' if a in reduced else '"parallel"' for a in loops)
        places = [f"%in{i}" for i in range(len(ins))]
        arguments = ", ".join([f"{p}: {t.element}" for p, t in zip(places, ins)] + [f"%out: {r.element}"])
        operands = f"ins({', '.join(t.name for t in ins)} : {', '.join(t.type for t in ins)}) " if ins else ""
        r.name = self.emit(f"linalg.generic {{indexing_maps = [{maps}], iterator_types = [{kinds}]}} {operands}outs({init} : {r.type}) {{")
        self.lines.append(f"  ^bb0({arguments}):")
        self.lines += [f"    {line}" for line in body(places)]
        self.lines.append(f"  }} -> {r.type}")
        return r

    def loops_of(self, tensors):
        axes = sorted(set().union(*(t.axes for t in tensors)))
        return {a: max(t.array.shape[a] for t in tensors if a in t.axes) for a in axes}

    def scalar(self, t):
        """A number, as a constant of the function; f16 and bf16 spell it in their own precision."""
        return self.emit(f"arith.constant {t.number:.9e} : {t.element}")

    SCALAR = {"add": "arith.addf", "sub": "arith.subf", "mul": "arith.mulf", "div": "arith.divf", "pow": "math.powf",
              "max": "arith.maximumf", "rsqrt": "math.rsqrt", "sqrt": "math.sqrt", "abs": "math.absf", "neg": "arith.negf"}

    def scalar_line(self, op, names, old, new):
        if op == "cast":
            return f"arith.{'extf' if BITS[new] > BITS[old] else 'truncf'} {names[0]} : {old} to {new}"
        if op == "square":
            return f"arith.mulf {names[0]}, {names[0]} : {new}"
        return f"{self.SCALAR[op]} {', '.join(names)} : {new}"

    def elementwise(self, op, ins, element, array):
        if op == "recip":
            return self("div", self.const(1.0, element), ins[0])
        tensors = [t for t in ins if t.number is None]
        known = {i: self.scalar(t) for i, t in enumerate(ins) if t.number is not None}
        r = self.result_of("", element, tensors, array)
        def body(places):
            rest = iter(places)
            names = [known[i] if i in known else next(rest) for i in range(len(ins))]
            value = self.fresh()
            return [f"{value} = {self.scalar_line(op, names, ins[0].element, element)}", f"linalg.yield {value} : {element}"]
        return self.generic(tensors, r, self.loops_of(tensors), (), self.empty(r, tensors), body)

    def sum(self, x, axes, keep=True):
        left = tuple(a for a in x.axes if keep or a not in axes)
        r = Tensor("", x.element, left, x.dynamic - set(axes), x.array.sum(tuple(axes), keepdims=True))
        def body(places):
            value = self.fresh()
            return [f"{value} = arith.addf {places[0]}, %out : {r.element}", f"linalg.yield {value} : {r.element}"]
        return self.generic([x], r, self.loops_of([x]), set(axes), self.zeros(r, [x]), body)

    def welford(self, x, axes):
        """(mean, M2) over the axes by recurrence: one op of three results."""
        left = tuple(a for a in x.axes if a not in axes)
        mean = x.array.mean(tuple(axes), keepdims=True)
        r = [Tensor("", x.element, left, x.dynamic - set(axes), array)
             for array in (mean, ((x.array - mean) ** 2).sum(tuple(axes), keepdims=True))]
        e, kind, loops, init = x.element, r[0].type, self.loops_of([x]), self.zeros(r[0], [x])
        maps = ", ".join([self.map_of(x, loops)] + 3 * [self.map_of(r[0], loops)])
        kinds = ", ".join('"reduction"' if a in axes else '"parallel"' for a in loops)
        one = self.emit(f"arith.constant 1.0 : {e}")
        name = self.fresh()
        self.lines += [f"  {name}:3 = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{kinds}]}} ins({x.name} : {x.type}) "
                       f"outs({init}, {init}, {init} : {kind}, {kind}, {kind}) {{",
                       f"  ^bb0(%x: {e}, %n: {e}, %m: {e}, %s: {e}):",
                       f"    %n1 = arith.addf %n, {one} : {e}", f"    %d = arith.subf %x, %m : {e}",
                       f"    %q = arith.divf %d, %n1 : {e}", f"    %m1 = arith.addf %m, %q : {e}",
                       f"    %d1 = arith.subf %x, %m1 : {e}", f"    %p = arith.mulf %d, %d1 : {e}",
                       f"    %s1 = arith.addf %s, %p : {e}", f"    linalg.yield %n1, %m1, %s1 : {e}, {e}, {e}",
                       f"  }} -> ({kind}, {kind}, {kind})"]
        r[0].name, r[1].name = f"{name}#1", f"{name}#2"
        return r

    def dot(self, x, y):
        last = self.rank - 1
        r = Tensor("", x.element, tuple(a for a in x.axes if a != last), x.dynamic - {last}, (x.array * y.array).sum(-1, keepdims=True))
        def body(places):
            product, value = self.fresh(), self.fresh()
            return [f"{product} = arith.mulf {places[0]}, {places[1]} : {r.element}",
                    f"{value} = arith.addf %out, {product} : {r.element}", f"linalg.yield {value} : {r.element}"]
        return self.generic([x, y], r, self.loops_of([x]), {last}, self.zeros(r, [x]), body)

    def transpose(self, x, perm):
        r = Tensor("", x.element, x.axes, frozenset(i for i, p in enumerate(perm) if p in x.dynamic), x.array.transpose(perm))
        sizes = []
        for a in sorted(r.dynamic):
            i = self.emit(f"arith.constant {perm[a]} : index")
            sizes.append(self.emit(f"tensor.dim {x.name}, {i} : {x.type}"))
        empty = self.emit(f"tensor.empty({', '.join(sizes)}) : {r.type}")
        r.name = self.emit(f"linalg.transpose ins({x.name} : {x.type}) outs({empty} : {r.type}) permutation = [{', '.join(map(str, perm))}]")
        return r

    def fill(self, t, r, like):
        if not r.dynamic:
            r.name = self.emit(f"arith.constant dense<{t.number:.9e}> : {r.type}")
        else:
            value = self.scalar(t)
            r.name = self.emit(f"linalg.fill ins({value} : {t.element}) outs({self.empty(r, [like])} : {r.type}) -> {r.type}")
        return r

    def spread(self, t, like):
        r = Tensor("", t.element, like.axes, like.dynamic, np.broadcast_to(t.array, like.array.shape))
        if t.number is not None:
            return self.fill(t, r, like)
        def body(places):
            return [f"linalg.yield {places[0]} : {t.element}"]
        return self.generic([t], r, dict(zip(like.axes, like.dims)), (), self.empty(r, [like]), body)

    def size_of(self, x, axes, element):
        number = float(np.prod([x.array.shape[a] for a in axes]))
        if not set(axes) & x.dynamic:
            return self.const(number, element)
        sizes = []
        for a in axes:
            i = self.emit(f"arith.constant {x.axes.index(a)} : index")
            size = self.emit(f"tensor.dim {x.name}, {i} : {x.type}")
            sizes.append(self.emit(f"arith.index_cast {size} : index to i64"))
        total = sizes[0]
        for s in sizes[1:]:
            total = self.emit(f"arith.muli {total}, {s} : i64")
        value = self.emit(f"arith.sitofp {total} : i64 to {element}")
        r = Tensor(value, element, (), frozenset(), np.full([1] * self.rank, number))
        return Size(**vars(r))


class Size(Tensor):
    """A scalar that the function computes."""


class Generic(Linalg):
    def scalar(self, t):
        return t.name if isinstance(t, Size) else super().scalar(t)

    def elementwise(self, op, ins, element, array):
        for t in ins:
            if isinstance(t, Size):
                t.number = float(t.array.flat[0])  # stands as a scalar, by its name
        return super().elementwise(op, ins, element, array)


class Named(Linalg):
    """linalg's named ops: all operands of one shape, broadcasts explicit, reductions drop their axes."""
    OPS = {"add": "linalg.add", "sub": "linalg.sub", "mul": "linalg.mul", "div": "linalg.div", "max": "linalg.max",
           "pow": "linalg.powf", "rsqrt": "linalg.rsqrt", "sqrt": "linalg.sqrt", "abs": "linalg.abs",
           "neg": "linalg.negf", "square": "linalg.square", "recip": "linalg.reciprocal"}

    def size_of(self, x, axes, element):
        return self.const(float(np.prod([x.array.shape[a] for a in axes])), element)

    def spread(self, t, like):
        r = Tensor("", t.element, like.axes, like.dynamic, np.broadcast_to(t.array, like.array.shape))
        if t.number is not None:
            return self.fill(t, r, like)
        if t.axes == like.axes and t.array.shape != like.array.shape:  # dimensions of size 1 are dropped, then repeated
            return super().spread(t, like)
        new = [i for i, a in enumerate(like.axes) if a not in t.axes]
        r.name = self.emit(f"linalg.broadcast ins({t.name} : {t.type}) outs({self.empty(r, [like])} : {r.type}) dimensions = {new}")
        return r

    def elementwise(self, op, ins, element, array):
        if op == "cast":
            return super().elementwise(op, ins, element, array)
        tensors = [t for t in ins if t.number is None]
        axes = self.loops_of(tensors)
        dynamic = frozenset(a for t in tensors for a in t.dynamic)
        like = next((t for t in tensors if t.axes == tuple(axes) and t.dims == list(axes.values())), None)
        if like is None:
            return super().elementwise(op, ins, element, array)
        ins = [t if t.number is None and t.axes == like.axes and t.dims == like.dims else self.spread(t, like) for t in ins]
        r = Tensor("", element, like.axes, dynamic, array)
        return self.same_shape(op, ins, r, like)

    def same_shape(self, op, ins, r, like):
        names, types = ", ".join(t.name for t in ins), ", ".join(t.type for t in ins)
        r.name = self.emit(f"{self.OPS[op]} ins({names} : {types}) outs({self.empty(r, [like])} : {r.type}) -> {r.type}")
        return r

    def sum(self, x, axes, keep=True):
        left = tuple(a for a in x.axes if a not in axes)
        r = Tensor("", x.element, left, x.dynamic - set(axes), x.array.sum(tuple(axes), keepdims=True))
        init = self.zeros(r, [x])
        r.name = self.emit(f"linalg.reduce {{ arith.addf }} ins({x.name} : {x.type}) outs({init} : {r.type}) dimensions = {[x.axes.index(a) for a in axes]}")
        return r


class Mapped(Named):
    """Elementwise ops as linalg.map, which is what StableHLO's lowering writes when asked for primitive ops."""

    def same_shape(self, op, ins, r, like):
        if op in ("square", "recip"):
            one = self.spread(self.const(1.0, r.element), like)
            return self.same_shape(*{"square": ("mul", [ins[0]] * 2), "recip": ("div", [one, ins[0]])}[op], r, like)
        names, types = ", ".join(t.name for t in ins), ", ".join(t.type for t in ins)
        r.name = self.emit(f"linalg.map {{ {self.SCALAR[op]} }} ins({names} : {types}) outs({self.empty(r, [like])} : {r.type})")
        return r


class Arith(Named):
    """Elementwise ops as arith and math on tensors."""

    def same_shape(self, op, ins, r, like):
        if op == "recip":
            return self.same_shape("div", [self.spread(self.const(1.0, r.element), like), ins[0]], r, like)
        names = [t.name for t in ins] * (2 if op == "square" else 1)
        r.name = self.emit(f"{'arith.mulf' if op == 'square' else self.SCALAR[op]} {', '.join(names)} : {r.type}")
        return r
