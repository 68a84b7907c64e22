"""Builds a function of MLIR, in generic form, op by op.

    b = Builder([(torch.float32, (4, 8))])
    x, = b.arguments
    y = b.mapped([x], torch.float32, (4, 8), lambda s, a, _: s("math.exp", a))
    text = b.finish([y])

Shapes are known. A Value is a tensor of that function; a transposed one remembers what it was made from, so that
products read the original.
"""
from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

Shape = tuple[int, ...]

ELEMENTS = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16", torch.bool: "i1",
            torch.uint8: "i8", torch.int8: "i8", torch.int16: "i16", torch.int32: "i32", torch.int64: "i64"}
WIDTHS = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64}


def tensor_type(dtype: torch.dtype, shape: Sequence[int]) -> str:
    return f"tensor<{''.join(f'{n}x' for n in shape)}{ELEMENTS[dtype]}>"


def literal(value: complex, element: str) -> str:
    """A number as an attribute of that type writes it."""
    if element == "i1":
        return "true" if value else "false"
    if element in WIDTHS:
        bits = WIDTHS[element]
        number = int(value.real) & (1 << bits) - 1  # numbers have no sign in MLIR, but their text has
        return str(number - (1 << bits) if number >> bits - 1 else number)
    real = float(value.real)
    if math.isfinite(real):
        text = repr(real)
        mantissa, e, exponent = text.partition("e")
        return (mantissa if "." in mantissa else mantissa + ".0") + e + exponent
    sign, nan = real < 0, math.isnan(real)
    if element == "f64":
        return "0x" + struct.pack(">d", real).hex().upper()
    if element == "f32":
        return "0x" + struct.pack(">f", real).hex().upper()
    high = {"f16": 0x7C00, "bf16": 0x7F80}[element]
    return f"0x{high | sign << 15 | nan << (9 if element == 'f16' else 6):04X}"


def identity_map(rank: int) -> str:
    dims = ", ".join(f"d{i}" for i in range(rank))
    return f"affine_map<({dims}) -> ({dims})>"


def affine_map(rank: int, results: Sequence[int | None]) -> str:
    """Of so many dims to these; None: 0, of an axis that is repeated."""
    dims = ", ".join(f"d{i}" for i in range(rank))
    return f"affine_map<({dims}) -> ({', '.join('0' if d is None else f'd{d}' for d in results)})>"


@dataclass(frozen=True)
class Value:
    """A tensor of the function."""

    name: str
    dtype: torch.dtype
    shape: Shape
    source: Value | None = field(default=None, compare=False)  # what it is a transposition of
    axes: tuple[int, ...] = ()  # its axis i is axis axes[i] of the source

    @property
    def type(self) -> str:
        return tensor_type(self.dtype, self.shape)

    @property
    def element(self) -> str:
        return ELEMENTS[self.dtype]

    @property
    def rank(self) -> int:
        return len(self.shape)


class Scalars:
    """Writes the body of an op on elements. `s(op, x, ..)` applies an op whose result has the type of its operands."""

    def __init__(self, builder: Builder, dtype: torch.dtype):
        self.builder, self.dtype, self.type = builder, dtype, ELEMENTS[dtype]
        self.is_float = dtype.is_floating_point
        self.is_unsigned = dtype in (torch.uint8, torch.bool)

    def _emit(self, text: str) -> str:
        name = self.builder.new_name()
        self.builder.lines.append(f"    {name} = {text}")
        return name

    def __call__(self, op: str, *operands: str, type: str | None = None) -> str:
        t = type or self.type
        return self._emit(f'"{op}"({", ".join(operands)}) : ({", ".join([t] * len(operands))}) -> {t}')

    def const(self, value: complex, type: str | None = None) -> str:
        t = type or self.type
        return self._emit(f'"arith.constant"() <{{value = {literal(value, t)}{"" if t == "i1" else " : " + t}}}> : () -> {t}')

    FLOAT = {"eq": 1, "gt": 2, "ge": 3, "lt": 4, "le": 5, "ne": 13}  # ordered; une
    SIGNED = {"eq": 0, "ne": 1, "lt": 2, "le": 3, "gt": 4, "ge": 5}
    UNSIGNED = {"eq": 0, "ne": 1, "lt": 6, "le": 7, "gt": 8, "ge": 9}

    def compare(self, how: str, a: str, b: str) -> str:
        """An i1."""
        op, table = ("arith.cmpf", self.FLOAT) if self.is_float else (
            "arith.cmpi", self.UNSIGNED if self.is_unsigned else self.SIGNED)
        fast = ", fastmath = #arith.fastmath<none>" if self.is_float else ""
        return self._emit(f'"{op}"({a}, {b}) <{{predicate = {table[how]} : i64{fast}}}> : ({self.type}, {self.type}) -> i1')

    def is_nan(self, a: str) -> str:
        return self._emit(f'"arith.cmpf"({a}, {a}) <{{predicate = 14 : i64, fastmath = #arith.fastmath<none>}}> : '
                          f'({self.type}, {self.type}) -> i1')

    def select(self, condition: str, a: str, b: str) -> str:
        return self._emit(f'"arith.select"({condition}, {a}, {b}) : (i1, {self.type}, {self.type}) -> {self.type}')

    def pick(self, for_floats: str, for_signed: str, for_unsigned: str | None = None) -> str:
        return for_floats if self.is_float else (for_unsigned or for_signed) if self.is_unsigned else for_signed

    def index(self, dim: int) -> str:
        return self._emit(f'"linalg.index"() <{{dim = {dim} : i64}}> : () -> index')

    def cast(self, a: str, to: torch.dtype) -> str:
        """Of an element of self.dtype."""
        return self.convert(a, self.dtype, to)

    def convert(self, a: str, source: torch.dtype, to: torch.dtype) -> str:
        x, y = ELEMENTS[source], ELEMENTS[to]
        unsigned = source in (torch.uint8, torch.bool)
        if source == to or (x == y and to != torch.bool):
            return a
        if to == torch.bool:
            return Scalars(self.builder, source).compare("ne", a, Scalars(self.builder, source).const(0))
        if source.is_floating_point and to.is_floating_point:
            if source.itemsize == to.itemsize:  # f16 and bf16
                return self.convert(self.convert(a, source, torch.float32), torch.float32, to)
            op = "arith.extf" if source.itemsize < to.itemsize else "arith.truncf"
        elif source.is_floating_point:
            if to == torch.uint8:  # as a negative number wraps around in C
                return self.convert(self._emit(f'"arith.fptosi"({a}) : ({x}) -> i64'), torch.int64, to)
            op = "arith.fptosi"
        elif to.is_floating_point:
            op = "arith.uitofp" if unsigned else "arith.sitofp"
        else:
            op = ("arith.extui" if unsigned else "arith.extsi") if WIDTHS[x] < WIDTHS[y] else "arith.trunci"
        return self._emit(f'"{op}"({a}) : ({x}) -> {y}')

    def to_index(self, a: str, source: torch.dtype = torch.int64) -> str:
        return self._emit(f'"arith.index_cast"({a}) : ({ELEMENTS[source]}) -> index')

    def of_index(self, a: str) -> str:
        """As i64."""
        return self._emit(f'"arith.index_cast"({a}) : (index) -> i64')

    def extract(self, value: Value, indices: Sequence[str]) -> str:
        """An element of a tensor."""
        types = ", ".join([value.type] + ["index"] * len(indices))
        return self._emit(f'"tensor.extract"({", ".join([value.name, *indices])}) : ({types}) -> {value.element}')


Body = Callable[..., str]


class Builder:
    """One function, `main`."""

    def __init__(self, arguments: Sequence[tuple[torch.dtype, Shape]]):
        self.lines: list[str] = []
        self._count = 0
        self.arguments = [Value(f"%arg{i}", dtype, tuple(shape)) for i, (dtype, shape) in enumerate(arguments)]

    def new_name(self) -> str:
        self._count += 1
        return f"%{self._count}"

    def finish(self, results: Sequence[Value], donations: Mapping[int, int] | None = None) -> str:
        """The text of the module. `donations`: results that may be written over the argument that is given."""
        donated = {argument: result for result, argument in (donations or {}).items()}
        attributes = ", ".join(f"{{tf.aliasing_output = {donated[i]} : i32}}" if i in donated else "{}"
                               for i in range(len(self.arguments)))
        attributes = f", arg_attrs = [{attributes}]" if donated else ""
        arguments = ", ".join(f"{a.name}: {a.type}" for a in self.arguments)
        types = ", ".join(r.type for r in results)
        inputs = ", ".join(a.type for a in self.arguments)
        body = "\n".join(self.lines)
        return (f'"builtin.module"() ({{\n"func.func"() <{{sym_name = "main", function_type = ({inputs}) -> ({types})'
                f"{attributes}}}> "
                f"({{\n^bb0({arguments}):\n{body}\n"
                f'  "func.return"({", ".join(r.name for r in results)}) : ({types}) -> ()\n}}) : () -> ()\n}}) : () -> ()\n')

    # ---- ops

    def op(self, name: str, operands: Sequence[Value], dtype: torch.dtype, shape: Sequence[int], properties: str = "",
           attributes: str = "", region: str = "") -> Value:
        """An op with one result. `properties`: of upstream's ops, `attributes`: of wf's."""
        result = Value(self.new_name(), dtype, tuple(shape))
        middle = (f" <{{{properties}}}>" if properties else "") + (f" ({{{region}}})" if region else "")
        middle += f" {{{attributes}}}" if attributes else ""
        types = ", ".join(v.type for v in operands)
        self.lines.append(f'  {result.name} = "{name}"({", ".join(v.name for v in operands)}){middle} : ({types}) -> '
                          f"{result.type}")
        return result

    def empty(self, dtype: torch.dtype, shape: Sequence[int]) -> Value:
        return self.op("tensor.empty", [], dtype, shape)

    def constant(self, value: complex, dtype: torch.dtype, shape: Sequence[int] = ()) -> Value:
        """All elements alike."""
        element = ELEMENTS[dtype]
        return self.op("arith.constant", [], dtype, shape,
                       f"value = dense<{literal(value, element)}> : {tensor_type(dtype, shape)}")

    def generic(self, ins: Sequence[Value], maps: Sequence[str], init: Value, init_map: str, iterators: Sequence[str],
                dtype: torch.dtype, body: Body) -> Value:
        """linalg.generic with one result; body(scalars of `dtype`, elements of `ins`, element of `init`)."""
        if 0 in init.shape:
            return init
        result = Value(self.new_name(), init.dtype, init.shape)
        values = [*ins, init]
        all_maps = ", ".join([*maps, init_map])
        kinds = ", ".join(f"#linalg.iterator_type<{kind}>" for kind in iterators)
        names = [self.new_name() for _ in values]
        typed = ", ".join(f"{n}: {v.element}" for n, v in zip(names, values))
        self.lines.append(
            f'  {result.name} = "linalg.generic"({", ".join(v.name for v in values)}) <{{indexing_maps = [{all_maps}], '
            f"iterator_types = [{kinds}], operandSegmentSizes = array<i32: {len(ins)}, 1>}}> ({{\n  ^bb0({typed}):")
        element = body(Scalars(self, dtype), *names)
        self.lines.append(f'    "linalg.yield"({element}) : ({init.element}) -> ()')
        self.lines.append(f'  }}) : ({", ".join(v.type for v in values)}) -> {result.type}')
        return result

    def mapped(self, ins: Sequence[Value], dtype: torch.dtype, shape: Sequence[int], body: Body,
               compute: torch.dtype | None = None) -> Value:
        """Elements of `dtype` of the operands', which broadcast to `shape`: body(scalars of `compute`, elements of the
        operands as they are, element that is there)."""
        rank = len(shape)
        maps = []
        for v in ins:
            lead = rank - v.rank
            maps.append(affine_map(rank, [None if n == 1 and shape[lead + i] != 1 else lead + i
                                          for i, n in enumerate(v.shape)]))
        return self.generic(ins, maps, self.empty(dtype, shape), identity_map(rank), ["parallel"] * rank,
                            compute or dtype, body)

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        if value.dtype == dtype:
            return value
        if value.element == ELEMENTS[dtype] and dtype != torch.bool:  # int8 and uint8 are the same bits
            return Value(value.name, dtype, value.shape)
        return self.mapped([value], dtype, value.shape, lambda s, a, _: s.convert(a, value.dtype, dtype))

    def reduce(self, value: Value, axes: Sequence[int], dtype: torch.dtype, start: complex, body: Body) -> Value:
        """Over `axes`, which it no longer has; body(scalars of `dtype`, element, what came so far)."""
        kept = [d for d in range(value.rank) if d not in axes]
        init = self.constant(start, dtype, [value.shape[d] for d in kept])
        return self.generic([value], [identity_map(value.rank)], init, affine_map(value.rank, kept),
                            ["reduction" if d in axes else "parallel" for d in range(value.rank)], dtype,
                            lambda s, a, so_far: body(s, s.convert(a, value.dtype, dtype), so_far))

    # ---- shapes

    def transpose(self, value: Value, axes: Sequence[int]) -> Value:
        """Axis i of the result is axis axes[i] of the value."""
        source, to = value, tuple(axes)
        if value.source is not None:
            source, to = value.source, tuple(value.axes[a] for a in axes)
        if to == tuple(range(len(to))):
            return source
        shape = tuple(source.shape[a] for a in to)
        e = value.element
        a, b = self.new_name(), self.new_name()
        result = self.op("linalg.transpose", [source, self.empty(value.dtype, shape)], value.dtype, shape,
                         f"permutation = array<i64: {', '.join(map(str, to))}>",
                         region=f'\n  ^bb0({a}: {e}, {b}: {e}):\n    "linalg.yield"({a}) : ({e}) -> ()\n  ')
        return Value(result.name, result.dtype, result.shape, source, to)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        to = tuple(shape)
        if value.shape == to:
            return value
        if 0 in to:
            return self.empty(value.dtype, to)
        groups = reshape_groups(value.shape, to)
        middle = tuple(math.prod(value.shape[i] for i in first) for first, _ in groups)
        if not to or not value.shape:
            middle = ()
        result = value
        if middle != value.shape:
            result = self.op("tensor.collapse_shape", [value], value.dtype, middle,
                             f"reassociation = {_reassociation([g[0] for g in groups] if middle else [])}")
        if middle != to:
            sizes = ", ".join(map(str, to))
            result = self.op("tensor.expand_shape", [result], value.dtype, to,
                             f"reassociation = {_reassociation([g[1] for g in groups] if middle else [])}, "
                             f"static_output_shape = array<i64: {sizes}>")
        return result

    def slice(self, value: Value, offsets: Sequence[int], sizes: Sequence[int], strides: Sequence[int]) -> Value:
        if tuple(sizes) == value.shape and set(strides) <= {1}:
            return value
        if 0 in sizes:
            return self.empty(value.dtype, sizes)
        return self.op("tensor.extract_slice", [value], value.dtype, sizes,
                       f"operandSegmentSizes = array<i32: 1, 0, 0, 0>, {_slice(offsets, sizes, strides)}")

    def insert(self, part: Value, whole: Value, offsets: Sequence[int], strides: Sequence[int]) -> Value:
        """`whole` with `part` in the place of a slice."""
        if 0 in part.shape:
            return whole
        return self.op("tensor.insert_slice", [part, whole], whole.dtype, whole.shape,
                       f"operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, {_slice(offsets, part.shape, strides)}")

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        values = [v for v in values if 0 not in v.shape] or list(values[:1])
        if len(values) == 1:
            return values[0]
        shape = list(values[0].shape)
        shape[axis] = sum(v.shape[axis] for v in values)
        return self.op("tensor.concat", values, values[0].dtype, shape, f"dim = {axis} : i64")

    def expand(self, value: Value, shape: Sequence[int]) -> Value:
        """Repeats axes of size 1, and adds some in front."""
        if value.shape == tuple(shape):
            return value
        return self.mapped([value], value.dtype, shape, lambda s, a, _: a)

    # ---- products

    def contract(self, a: Value, a_axes: Sequence[int], b: Value, b_axes: Sequence[int], sizes: Sequence[int],
                 result_axes: Sequence[int], dtype: torch.dtype) -> Value:
        """Sum over the dims that are not in result_axes of a[a_axes] * b[b_axes], in f32 where dtype is shorter."""
        compute = dtype if dtype.itemsize >= 4 or not dtype.is_floating_point else torch.float32
        ins, maps = [], []
        for v, axes in ((a, a_axes), (b, b_axes)):
            if v.source is not None:  # read what was transposed
                axes = [axes[v.axes.index(i)] for i in range(v.rank)]
                v = v.source
            ins.append(v)
            maps.append(affine_map(len(sizes), list(axes)))
        init = self.constant(0, compute, [sizes[d] for d in result_axes])

        def body(s: Scalars, x: str, y: str, so_far: str) -> str:
            product = s(s.pick("arith.mulf", "arith.muli"), s.convert(x, a.dtype, compute), s.convert(y, b.dtype, compute))
            return s(s.pick("arith.addf", "arith.addi"), product, so_far)

        kinds = ["parallel" if d in result_axes else "reduction" for d in range(len(sizes))]
        result = self.generic(ins, maps, init, affine_map(len(sizes), list(result_axes)), kinds, compute, body)
        return self.cast(result, dtype)


def _reassociation(groups: Sequence[Sequence[int]]) -> str:
    return "[" + ", ".join("[" + ", ".join(f"{i} : i64" for i in g) + "]" for g in groups) + "]"


def _slice(offsets: Sequence[int], sizes: Sequence[int], strides: Sequence[int]) -> str:
    parts = [("static_offsets", offsets), ("static_sizes", sizes), ("static_strides", strides)]
    return ", ".join(f"{name} = array<i64{': ' if values else ''}{', '.join(map(str, values))}>" for name, values in parts)


def reshape_groups(a: Shape, b: Shape) -> list[tuple[list[int], list[int]]]:
    """Cuts both shapes into the shortest runs of axes with as many elements: [2, 3, 4], [6, 2, 2] into [0, 1]-[0] and
    [2]-[1, 2]. Every axis is in a run, and no run is empty, unless a shape is."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        first, second, m, n = [i], [j], a[i], b[j]
        i, j = i + 1, j + 1
        while m != n:
            if m < n:
                first.append(i)
                m, i = m * a[i], i + 1
            else:
                second.append(j)
                n, j = n * b[j], j + 1
        groups.append((first, second))
    if groups:  # axes of size 1 that are left
        groups[-1][0].extend(range(i, len(a)))
        groups[-1][1].extend(range(j, len(b)))
    return groups
