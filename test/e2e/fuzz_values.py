"""The values of a random graph (graph_fuzz.py), and the text that makes them."""
import numpy as np

FLOATS = {"f32": 2.0 ** -23, "f16": 2.0 ** -10, "bf16": 2.0 ** -7, "f64": 2.0 ** -23}  # of f64: what elementary functions give
LARGEST = {"f32": 1e4, "f64": 1e4, "bf16": 1e4, "f16": 200}
INTS = {"i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "i1": np.bool_}
SIZES = [1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33]
MOST = 3000  # elements of a value


class Unfit(Exception):
    """An op that these values do not suit; another is tried."""


def bf16_bits(x):
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def rounded(element, x):
    """The nearest values of a type, in float32 (float64 for f64); integers wrap."""
    if element == "f64":
        return np.asarray(x, np.float64)
    if element == "f16":
        return np.asarray(x, np.float32).astype(np.float16).astype(np.float32)
    if element == "bf16":
        return (bf16_bits(x).astype(np.uint32) << 16).view(np.float32)
    return np.asarray(x).astype(np.float32 if element == "f32" else INTS[element])


def stored(element, x):
    """As in an .npy file for welford exec."""
    if element == "bf16":
        return bf16_bits(x)
    return x.astype(np.float16) if element == "f16" else x


def loaded(element, x):
    if element == "bf16":
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(np.float32) if element == "f16" else x


class Value:
    def __init__(self, name, element, lo, hi, dynamic, exact):
        self.name, self.element, self.lo, self.hi, self.exact = name, element, lo, hi, exact
        self.dynamic = dynamic  # a size that only the argument tells, for each dimension

    shape = property(lambda self: self.lo.shape)
    rank = property(lambda self: self.lo.ndim)
    is_float = property(lambda self: self.element in FLOATS)
    type = property(lambda self: type_of(self.shape, self.element, self.dynamic))


def type_of(shape, element, dynamic=None):
    dynamic = dynamic or [False] * len(shape)
    return "tensor<" + "".join(f"{'?' if d else n}x" for n, d in zip(shape, dynamic, strict=True)) + element + ">"


def affine_map(n, results):
    return f"affine_map<({', '.join(f'd{i}' for i in range(n))}) -> ({', '.join(map(str, results))})>"


def dims(numbers):
    return [f"d{i}" for i in numbers]


def np_erf(x):
    from math import erf
    return np.vectorize(erf, otypes=[float])(x).astype(x.dtype) if x.size else x


class Builder:
    """What ops are added with. Its fields are set by Graph."""

    def name(self):
        self.n_names += 1
        return f"%v{self.n_names}"

    def shape(self):
        while True:
            shape = tuple(self.random.choice(self.base) for _ in range(self.random.choice([0, 1, 2, 2, 3, 3, 4])))
            if np.prod(shape) <= MOST:
                return shape

    def element(self):
        return self.random.choices([*FLOATS, *INTS], [24, 3, 3, 2, 1, 1, 4, 2, 2])[0]

    def numbers(self, element, shape):
        if element == "i1":
            return self.rng.random(shape) < 0.5
        if element in INTS:
            return self.rng.integers(-9, 10, shape).astype(INTS[element])
        x = self.rng.standard_normal(shape)
        if self.random.random() < 0.3:
            x = np.rint(2 * x) / 2  # with ties
        return rounded(element, x)

    def add_argument(self):
        element, shape = self.element(), self.shape()
        dynamic = [self.random.random() < 0.25 for _ in shape]
        x = self.numbers(element, shape)
        value = Value(f"%arg{len(self.arguments)}", element, x, x.astype(np.float64) if element in FLOATS else x, dynamic, True)
        self.arguments.append(value)
        self.values.append(value)

    def add(self, element, lo, hi, text, exact=False, dynamic=None):
        """A value that `text` computes; {y} and {T} in it are its name and its type."""
        lo = rounded(element, lo)
        if lo.size > MOST or lo.ndim > 6:
            raise Unfit
        if element in FLOATS:
            hi = np.asarray(hi, np.float64)
            if lo.size and (not np.isfinite(lo).all() or np.abs(lo).max() > LARGEST[element]
                            or np.abs(lo - hi).max() > 0.02 * max(1, np.abs(hi).max())):
                raise Unfit
        else:
            hi = lo
        value = Value(self.name(), element, lo, hi, dynamic or [False] * lo.ndim, exact or element in INTS)
        self.lines.append(text.replace("{y}", value.name).replace("{T}", value.type))
        self.values.append(value)
        return value

    def pick(self, wanted=lambda v: True, fallback=True):
        fitting = [v for v in self.values if wanted(v)]
        if not fitting:
            raise Unfit
        return self.random.choice(fitting[-5:] if self.random.random() < 0.7 else fitting)

    def pick_float(self, elements=("f32", "f16", "bf16", "f64"), **limits):
        rank = limits.get("rank")
        return self.pick(lambda v: v.element in elements and (rank is None or v.rank == rank) and v.rank >= limits.get("least", 0))

    def index(self, n):
        name = self.name()
        self.lines.append(f"{name} = arith.constant {n} : index")
        return name

    def size(self, value, d):
        """A dimension as an index, where it is dynamic."""
        axis, name = self.index(d), self.name()
        self.lines.append(f"{name} = tensor.dim {value.name}, {axis} : {value.type}")
        return name

    def empty(self, shape, element, sources):
        """An empty tensor; sources[d]: (value, dimension) of its size or None where it is fixed. Its name and dynamic."""
        dynamic = [s is not None and s[0].dynamic[s[1]] for s in sources]
        sizes = [self.size(*s) for s, free in zip(sources, dynamic) if free]
        name, t = self.name(), type_of(shape, element, dynamic)
        self.lines.append(f"{name} = tensor.empty({', '.join(sizes)}) : {t}")
        return name, t, dynamic

    def filled(self, shape, element, sources, number):
        name, t, dynamic = self.empty(shape, element, sources)
        scalar, full = self.name(), self.name()
        text = f"{number:e}" if element in FLOATS else str(number).lower()
        self.lines.append(f"{scalar} = arith.constant {text} : {element}")
        self.lines.append(f"{full} = linalg.fill ins({scalar} : {element}) outs({name} : {t}) -> {t}")
        return full, t, dynamic

    def shape_constant(self, numbers):
        name = self.name()
        n = len(numbers)
        values = f"dense<{list(map(int, numbers))}>" if n else "dense<>"
        self.lines.append(f"{name} = tosa.const_shape {{values = {values} : tensor<{n}xindex>}} : () -> !tosa.shape<{n}>")
        return f"{name}", f"!tosa.shape<{n}>"

    def scalar_tensor(self, element, number):
        name = self.name()
        text = f"{number:e}" if element in FLOATS else str(number)
        self.lines.append(f'{name} = "tosa.const"() <{{values = dense<{text}> : tensor<1x{element}>}}> : () -> tensor<1x{element}>')
        return name

    def is_tosa(self):
        return self.random.choice(self.dialects) == "tosa"

    def constant_or(self, element, wanted, shape):
        """A value that fits, or a new constant of that shape."""
        if self.random.random() < 0.5:
            try:
                return self.pick(lambda v: v.element == element and wanted(v))
            except Unfit:
                pass
        if int(np.prod(shape)) < 2 or np.prod(shape) > MOST:
            raise Unfit
        c = self.numbers(element, shape)
        return self.add(element, c, c, f'{{y}} = arith.constant dense<"0x{stored(element, c).tobytes().hex().upper()}"> : {{T}}', True)

    def indices(self, shape, below):
        x = self.rng.integers(0, below, shape).astype(np.int32)
        name, t = self.name(), type_of(shape, "i32")
        text = f'dense<"0x{x.tobytes().hex().upper()}">' if x.size > 1 else f"dense<{int(x.flat[0])}>"
        self.lines.append(f"{name} = arith.constant {text} : {t}")
        return x, name, t
