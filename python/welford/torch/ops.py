"""The table of ops: what each op of ATen is in MLIR. An entry is a function of the builder, the result (its type and
shape, or a list of these), and the op's own arguments, tensors among them as Values."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from .mlir import ELEMENTS, Builder, Scalars, Shape, Value, affine_map, identity_map, literal

aten = torch.ops.aten


class Unsupported(Exception):
    """An op that is left to PyTorch, and why."""


@dataclass(frozen=True)
class Out:
    """The type of a result."""

    dtype: torch.dtype
    shape: Shape


Operand = Any  # a Value, or a number
TABLE: dict[Any, Callable[..., Any]] = {}


F = TypeVar("F", bound=Callable[..., Any])


def op(*targets: Any) -> Callable[[F], F]:
    """Makes a function the entry of these ops."""
    def add(function: F) -> F:
        for target in targets:
            TABLE[target] = function
        return function
    return add


def find(packet: str, *overloads: str) -> list[Any]:
    """Overloads of an op, where this PyTorch has them."""
    found = getattr(aten, packet, None)
    return [getattr(found, o) for o in overloads or ("default",) if found is not None and hasattr(found, o)]


def wide(dtype: torch.dtype) -> torch.dtype:
    """What PyTorch computes in."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def dtype_of(x: Operand) -> torch.dtype | None:
    return x.dtype if isinstance(x, Value) else None


def promote(*xs: Operand) -> torch.dtype:
    """The type that operands are brought to, by PyTorch's rules."""
    from torch._prims_common import ELEMENTWISE_TYPE_PROMOTION_KIND as KIND
    from torch._prims_common import elementwise_dtypes

    metas = [torch.empty((1,) * v.rank, dtype=v.dtype, device="meta") if isinstance(v, Value) else v for v in xs]
    return elementwise_dtypes(*metas, type_promotion_kind=KIND.NO_OPMATH)[0]


def elementwise(b: Builder, out: Out, xs: Sequence[Operand], body: Callable[..., str],
                compute: torch.dtype | None = None, predicate: bool = False) -> Value:
    """body(scalars, elements and numbers, all of type `compute`); it gives an i1 where it is a predicate."""
    compute = compute or wide(out.dtype)

    def whole(s: Scalars, *names: str) -> str:
        elements = iter(names)
        given = [s.convert(next(elements), x.dtype, compute) if isinstance(x, Value) else s.const(x) for x in xs]
        result = body(s, *given)
        return result if predicate else s.cast(result, out.dtype)

    return b.mapped([x for x in xs if isinstance(x, Value)], out.dtype, out.shape, whole, compute)


# ---- one operand, of floats

FLOAT = {"exp": "math.exp", "exp2": "math.exp2", "log": "math.log", "log2": "math.log2", "log10": "math.log10",
         "log1p": "math.log1p", "expm1": "math.expm1", "sqrt": "math.sqrt", "rsqrt": "math.rsqrt", "sin": "math.sin",
         "cos": "math.cos", "tan": "math.tan", "tanh": "math.tanh", "sinh": "math.sinh", "cosh": "math.cosh",
         "asin": "math.asin", "acos": "math.acos", "atan": "math.atan", "asinh": "math.asinh", "acosh": "math.acosh",
         "atanh": "math.atanh", "erf": "math.erf", "erfc": "math.erfc"}
ROUND = {"floor": "math.floor", "ceil": "math.ceil", "round": "math.roundeven", "trunc": "math.trunc"}


def _unary(name: str, body: Callable[[Scalars, str], str]) -> None:
    @op(*find(name))
    def translate(b: Builder, out: Out, x: Value) -> Value:
        return elementwise(b, out, [x], body)


def _negate(s: Scalars, x: str) -> str:
    return s("arith.negf", x) if s.is_float else s("arith.subi", s.const(0), x)


def _sigmoid(s: Scalars, x: str) -> str:
    one = s.const(1)
    return s("arith.divf", one, s("arith.addf", s("math.exp", s("arith.negf", x)), one))


def _sign(s: Scalars, x: str) -> str:
    zero, one = s.const(0), s.const(1)
    minus = zero if s.is_unsigned else s.const(-1)
    signed = s.select(s.compare("gt", x, zero), one, s.select(s.compare("lt", x, zero), minus, zero))
    return s.select(s.is_nan(x), zero, signed) if s.is_float else signed


def _relu(s: Scalars, x: str) -> str:
    return s(s.pick("arith.maximumf", "arith.maxsi", "arith.maxui"), x, s.const(0))


def _absolute(s: Scalars, x: str) -> str:
    return x if s.is_unsigned else s(s.pick("math.absf", "math.absi"), x)


for _name, _target in FLOAT.items():
    _unary(_name, lambda s, x, _target=_target: s(_target, x))  # type: ignore[misc]
for _name, _target in ROUND.items():
    _unary(_name, lambda s, x, _target=_target: s(_target, x) if s.is_float else x)  # type: ignore[misc]
_unary("neg", _negate)
_unary("abs", _absolute)
_unary("sign", _sign)
_unary("relu", _relu)
_unary("sigmoid", _sigmoid)
_unary("silu", lambda s, x: s("arith.mulf", x, _sigmoid(s, x)))
_unary("reciprocal", lambda s, x: s("arith.divf", s.const(1), x))
_unary("square", lambda s, x: s(s.pick("arith.mulf", "arith.muli"), x, x))
_unary("bitwise_not", lambda s, x: s("arith.xori", x, s.const(True if s.type == "i1" else -1)))


@op(*find("isnan"))
def isnan(b: Builder, out: Out, x: Value) -> Value:
    return elementwise(b, out, [x], lambda s, a: s.is_nan(a) if s.is_float else s.const(False, "i1"), wide(x.dtype), True)


@op(*find("isinf"))
def isinf(b: Builder, out: Out, x: Value) -> Value:
    return elementwise(b, out, [x], lambda s, a: s.compare("eq", s("math.absf", a), s.const(math.inf))
                       if s.is_float else s.const(False, "i1"), wide(x.dtype), True)


@op(*find("logical_not"))
def logical_not(b: Builder, out: Out, x: Value) -> Value:
    return elementwise(b, out, [x], lambda s, a: s.compare("eq", a, s.const(0)), wide(x.dtype), True)


@op(*find("gelu"))
def gelu(b: Builder, out: Out, x: Value, approximate: str = "none") -> Value:
    def body(s: Scalars, a: str) -> str:
        half, one = s.const(0.5), s.const(1)
        if approximate == "tanh":
            cube = s("arith.mulf", s("arith.mulf", a, a), a)
            inner = s("arith.addf", a, s("arith.mulf", cube, s.const(0.044715)))
            shape = s("math.tanh", s("arith.mulf", inner, s.const(math.sqrt(2 / math.pi))))
        else:
            shape = s("math.erf", s("arith.mulf", a, s.const(math.sqrt(0.5))))
        return s("arith.mulf", s("arith.mulf", a, half), s("arith.addf", shape, one))
    return elementwise(b, out, [x], body)


@op(*find("leaky_relu"))
def leaky_relu(b: Builder, out: Out, x: Value, slope: float = 0.01) -> Value:
    return elementwise(b, out, [x], lambda s, a: s.select(s.compare("gt", a, s.const(0)), a,
                                                          s("arith.mulf", a, s.const(slope))))


@op(*find("elu"))
def elu(b: Builder, out: Out, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Value:
    def body(s: Scalars, a: str) -> str:
        low = s("arith.mulf", s("math.expm1", s("arith.mulf", a, s.const(input_scale))), s.const(alpha * scale))
        return s.select(s.compare("gt", a, s.const(0)), s("arith.mulf", a, s.const(scale)), low)
    return elementwise(b, out, [x], body)


def _limit(s: Scalars, x: str, low: str | None, high: str | None) -> str:
    if low is not None:
        x = s(s.pick("arith.maximumf", "arith.maxsi", "arith.maxui"), x, low)
    return x if high is None else s(s.pick("arith.minimumf", "arith.minsi", "arith.minui"), x, high)


@op(*find("clamp", "default", "Tensor"), *find("clamp_min", "default", "Tensor"), *find("hardtanh"))
def clamp(b: Builder, out: Out, x: Value, low: Operand = None, high: Operand = None) -> Value:
    given = [v for v in (x, low, high) if v is not None]

    def body(s: Scalars, a: str, *bounds: str) -> str:
        rest = list(bounds)
        return _limit(s, a, rest.pop(0) if low is not None else None, rest.pop(0) if high is not None else None)
    return elementwise(b, out, given, body)


@op(*find("clamp_max", "default", "Tensor"))
def clamp_max(b: Builder, out: Out, x: Value, high: Operand) -> Value:
    return elementwise(b, out, [x, high], lambda s, a, h: _limit(s, a, None, h))


# ---- two operands

def _binary(name: str, body: Callable[[Scalars, str, str], str], *overloads: str) -> None:
    @op(*find(name, *(overloads or ("Tensor", "Scalar", "default", "Tensor_Tensor", "Tensor_Scalar", "Scalar_Tensor"))))
    def translate(b: Builder, out: Out, x: Operand, y: Operand) -> Value:
        return elementwise(b, out, [x, y], body)


def _scaled(plus: str, for_integers: str, for_booleans: str) -> Callable[..., Value]:
    def translate(b: Builder, out: Out, x: Operand, y: Operand, alpha: complex = 1) -> Value:
        def body(s: Scalars, p: str, q: str) -> str:
            if s.type == "i1":
                return s(for_booleans, p, q)
            if alpha != 1:
                q = s(s.pick("arith.mulf", "arith.muli"), q, s.const(alpha))
            return s(s.pick(plus, for_integers), p, q)
        return elementwise(b, out, [x, y], body)
    return translate


op(*find("add", "Tensor", "Scalar"))(_scaled("arith.addf", "arith.addi", "arith.ori"))
op(*find("sub", "Tensor", "Scalar"))(_scaled("arith.subf", "arith.subi", "arith.xori"))


@op(*find("rsub", "Tensor", "Scalar"))
def rsub(b: Builder, out: Out, x: Operand, y: Operand, alpha: complex = 1) -> Value:
    result: Value = _scaled("arith.subf", "arith.subi", "arith.xori")(b, out, y, x, alpha)
    return result


_binary("mul", lambda s, x, y: s("arith.andi" if s.type == "i1" else s.pick("arith.mulf", "arith.muli"), x, y))
_binary("maximum", lambda s, x, y: s(s.pick("arith.maximumf", "arith.maxsi", "arith.maxui"), x, y))
_binary("minimum", lambda s, x, y: s(s.pick("arith.minimumf", "arith.minsi", "arith.minui"), x, y))
_binary("fmax", lambda s, x, y: s(s.pick("arith.maxnumf", "arith.maxsi", "arith.maxui"), x, y))
_binary("fmin", lambda s, x, y: s(s.pick("arith.minnumf", "arith.minsi", "arith.minui"), x, y))
_binary("copysign", lambda s, x, y: s("math.copysign", x, y), "Tensor", "Scalar")
_binary("atan2", lambda s, x, y: s("math.atan2", x, y))
_binary("bitwise_and", lambda s, x, y: s("arith.andi", x, y))
_binary("bitwise_or", lambda s, x, y: s("arith.ori", x, y))
_binary("bitwise_xor", lambda s, x, y: s("arith.xori", x, y))
_binary("fmod", lambda s, x, y: s(s.pick("arith.remf", "arith.remsi", "arith.remui"), x, y), "Tensor", "Scalar")


@op(*find("remainder", "Tensor", "Scalar"))
def remainder(b: Builder, out: Out, x: Operand, y: Operand) -> Value:
    """Of the divisor's sign."""
    def body(s: Scalars, p: str, q: str) -> str:
        rest = s(s.pick("arith.remf", "arith.remsi", "arith.remui"), p, q)
        if s.is_unsigned:
            return rest
        zero = s.const(0)
        other = s.builder.new_name()
        a, c = s.compare("lt", rest, zero), s.compare("lt", q, zero)
        s.builder.lines.append(f'    {other} = "arith.xori"({a}, {c}) : (i1, i1) -> i1')
        moved = s.select(other, s(s.pick("arith.addf", "arith.addi"), rest, q), rest)
        return s.select(s.compare("eq", rest, zero), rest, moved)
    return elementwise(b, out, [x, y], body)


@op(*find("div", "Tensor", "Scalar", "Tensor_mode", "Scalar_mode"), *find("floor_divide", "default", "Scalar"))
def div(b: Builder, out: Out, x: Operand, y: Operand, rounding_mode: str | None = None) -> Value:
    def body(s: Scalars, p: str, q: str) -> str:
        if not s.is_float:
            signed = "arith.floordivsi" if rounding_mode == "floor" else "arith.divsi"
            return s("arith.divui" if s.is_unsigned else signed, p, q)
        quotient = s("arith.divf", p, q)
        if rounding_mode == "trunc" and wide(out.dtype) != out.dtype:  # PyTorch rounds first
            quotient = s.convert(s.cast(quotient, out.dtype), out.dtype, s.dtype)
        return s({"floor": "math.floor", "trunc": "math.trunc"}[rounding_mode], quotient) if rounding_mode else quotient
    return elementwise(b, out, [x, y], body)


TABLE.update({t: (lambda b, out, x, y: div(b, out, x, y, "floor")) for t in find("floor_divide", "default", "Scalar")})


@op(*find("pow", "Tensor_Scalar", "Tensor_Tensor", "Scalar"))
def power(b: Builder, out: Out, x: Operand, y: Operand) -> Value:
    def body(s: Scalars, p: str, q: str = "") -> str:
        if y == 0.5 and s.is_float:
            return s("math.sqrt", p)
        if isinstance(y, Value) or y not in (1, 2, 3, 4, -1, -2):
            return s(s.pick("math.powf", "math.ipowi"), p, q or s.const(y))
        times = s.pick("arith.mulf", "arith.muli")
        result = p
        for _ in range(abs(int(y)) - 1):
            result = s(times, result, p)
        return result if y > 0 else s("arith.divf", s.const(1), result)
    if not out.dtype.is_floating_point and not isinstance(y, Value) and y < 0:
        raise Unsupported("negative powers of integers")
    if isinstance(y, Value):
        return elementwise(b, out, [x, y], body)
    return elementwise(b, out, [x], body)


def _comparison(name: str) -> None:
    @op(*find(name, "Tensor", "Scalar"))
    def translate(b: Builder, out: Out, x: Operand, y: Operand) -> Value:
        return elementwise(b, out, [x, y], lambda s, p, q: s.compare(name, p, q), promote(x, y), True)


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _comparison(_name)


def _logical(name: str, target: str) -> None:
    @op(*find(name))
    def translate(b: Builder, out: Out, x: Operand, y: Operand) -> Value:
        return elementwise(b, out, [x, y], lambda s, p, q: s(target, p, q), torch.bool)


for _name, _target in {"logical_and": "arith.andi", "logical_or": "arith.ori", "logical_xor": "arith.xori"}.items():
    _logical(_name, _target)


@op(*find("where", "self", "ScalarOther", "ScalarSelf", "Scalar"))
def where(b: Builder, out: Out, condition: Value, x: Operand, y: Operand) -> Value:
    values = [v for v in (condition, x, y) if isinstance(v, Value)]

    def body(s: Scalars, *names: str) -> str:
        elements = iter(names)
        c = s.convert(next(elements), condition.dtype, torch.bool)
        p, q = (s.convert(next(elements), v.dtype, out.dtype) if isinstance(v, Value) else s.const(v) for v in (x, y))
        return s.select(c, p, q)
    return b.mapped(values, out.dtype, out.shape, body)


@op(*find("masked_fill", "Scalar", "Tensor"))
def masked_fill(b: Builder, out: Out, x: Value, mask: Value, value: Operand) -> Value:
    return where(b, out, mask, value, x)


# ---- types, and what makes tensors

@op(*find("clone"), *find("alias"), *find("detach"), *find("lift_fresh_copy"), *find("lift"), *find("contiguous"),
    *find("_to_copy"), *find("to", "dtype"), torch.ops.prims.convert_element_type.default)
def same(b: Builder, out: Out, x: Value, *_: Any, **__: Any) -> Value:
    return b.cast(x, out.dtype)


@op(*find("copy"))
def copy(b: Builder, out: Out, x: Value, y: Value, *_: Any) -> Value:
    return b.expand(b.cast(y, out.dtype), out.shape)


@op(*find("full"), *find("full_like"), *find("new_full"))
def full(b: Builder, out: Out, _: Any, *rest: Any, **__: Any) -> Value:
    value = rest[-1] if len(rest) > 1 else rest[0]
    return b.constant(value, out.dtype, out.shape)


@op(*find("scalar_tensor"))
def scalar_tensor(b: Builder, out: Out, value: complex, **_: Any) -> Value:
    return b.constant(value, out.dtype)


@op(*find("zeros"), *find("zeros_like"), *find("new_zeros"), *find("empty", "memory_format"), *find("empty_like"))
def zeros(b: Builder, out: Out, *_: Any, **__: Any) -> Value:
    return b.constant(0, out.dtype, out.shape)


@op(*find("ones"), *find("ones_like"), *find("new_ones"))
def ones(b: Builder, out: Out, *_: Any, **__: Any) -> Value:
    return b.constant(1, out.dtype, out.shape)


def iota(b: Builder, out: Out, body: Callable[[Scalars, str], str]) -> Value:
    """body(scalars, position as i64) along the only axis."""
    return b.mapped([], out.dtype, out.shape, lambda s, _: body(s, s.of_index(s.index(0))))


@op(*find("arange", "default", "start", "start_step"))
def arange(b: Builder, out: Out, *numbers: complex, **_: Any) -> Value:
    start, _end, step = (0, *numbers, 1) if len(numbers) == 1 else (*numbers, 1)[:3]

    def body(s: Scalars, i: str) -> str:
        x = s.convert(i, torch.int64, out.dtype)
        x = x if step == 1 else s(s.pick("arith.mulf", "arith.muli"), x, s.const(step))
        return x if start == 0 else s(s.pick("arith.addf", "arith.addi"), x, s.const(start))
    return iota(b, out, body)


@op(torch.ops.prims.iota.default)
def prims_iota(b: Builder, out: Out, _n: int, start: int = 0, step: int = 1, **_: Any) -> Value:
    return arange(b, out, start, 0, step)


# ---- shapes

def axis_of(axis: int, rank: int) -> int:
    return axis % rank if rank else 0


@op(*find("view"), *find("_unsafe_view"), *find("reshape"), *find("unsqueeze"), *find("squeeze", "default", "dim", "dims"),
    *find("flatten", "using_ints"))
def view(b: Builder, out: Out, x: Value, *_: Any) -> Value:
    return b.reshape(x, out.shape)


@op(*find("permute"))
def permute(b: Builder, out: Out, x: Value, axes: Sequence[int]) -> Value:
    return b.transpose(x, [axis_of(a, x.rank) for a in axes])


@op(*find("transpose", "int"))
def transpose(b: Builder, out: Out, x: Value, first: int, second: int) -> Value:
    axes = list(range(x.rank))
    if axes:
        i, j = axis_of(first, x.rank), axis_of(second, x.rank)
        axes[i], axes[j] = axes[j], axes[i]
    return b.transpose(x, axes)


@op(*find("t"))
def t(b: Builder, out: Out, x: Value) -> Value:
    return b.transpose(x, list(range(x.rank))[::-1])


@op(*find("expand"))
def expand(b: Builder, out: Out, x: Value, *_: Any, **__: Any) -> Value:
    return b.expand(x, out.shape)


@op(*find("repeat"))
def repeat(b: Builder, out: Out, x: Value, repeats: Sequence[int]) -> Value:
    lead = len(repeats) - x.rank
    single = [d for r, n in zip(repeats, (1,) * lead + x.shape) for d in (1, n)]
    whole = [d for r, n in zip(repeats, (1,) * lead + x.shape) for d in (r, n)]
    return b.reshape(b.expand(b.reshape(x, single), whole), out.shape)


def limits(start: int | None, end: int | None, n: int) -> tuple[int, int]:
    def bound(i: int) -> int:
        return max(0, min(n, i + n if i < 0 else i))
    first = bound(0 if start is None else start)
    return first, max(first, bound(n if end is None else end))


@op(*find("slice", "Tensor"))
def slice_tensor(b: Builder, out: Out, x: Value, axis: int = 0, start: int | None = None, end: int | None = None,
                 step: int = 1) -> Value:
    axis = axis_of(axis, x.rank)
    first, _ = limits(start, end, x.shape[axis])
    offsets, strides = [0] * x.rank, [1] * x.rank
    offsets[axis], strides[axis] = first, step
    return b.slice(x, offsets, out.shape, strides)


@op(*find("select", "int"))
def select_int(b: Builder, out: Out, x: Value, axis: int, index: int) -> Value:
    axis = axis_of(axis, x.rank)
    offsets, sizes = [0] * x.rank, list(x.shape)
    offsets[axis], sizes[axis] = index % x.shape[axis], 1
    return b.reshape(b.slice(x, offsets, sizes, [1] * x.rank), out.shape)


@op(*find("slice_scatter"))
def slice_scatter(b: Builder, out: Out, x: Value, y: Value, axis: int = 0, start: int | None = None,
                  end: int | None = None, step: int = 1) -> Value:
    axis = axis_of(axis, x.rank)
    first, last = limits(start, end, x.shape[axis])
    offsets, strides, part = [0] * x.rank, [1] * x.rank, list(x.shape)
    offsets[axis], strides[axis], part[axis] = first, step, -(-(last - first) // step)
    if 0 in part:
        return x
    return b.insert(b.expand(b.cast(y, x.dtype), part), x, offsets, strides)


@op(*find("select_scatter"))
def select_scatter(b: Builder, out: Out, x: Value, y: Value, axis: int, index: int) -> Value:
    axis = axis_of(axis, x.rank)
    offsets, part = [0] * x.rank, list(x.shape)
    offsets[axis], part[axis] = index % x.shape[axis], 1
    return b.insert(b.reshape(b.cast(y, x.dtype), part), x, offsets, [1] * x.rank)


@op(*find("cat"))
def cat(b: Builder, out: Out, tensors: Sequence[Value], axis: int = 0) -> Value:
    kept = [b.cast(v, out.dtype) for v in tensors if v.shape != (0,)]
    return b.concat(kept, axis_of(axis, len(out.shape)))


@op(*find("stack"))
def stack(b: Builder, out: Out, tensors: Sequence[Value], axis: int = 0) -> Value:
    axis = axis_of(axis, len(out.shape))
    single = list(out.shape)
    single[axis] = 1
    return b.concat([b.reshape(b.cast(v, out.dtype), single) for v in tensors], axis)


@op(*find("split", "Tensor"), *find("split_with_sizes"), *find("chunk"))
def split(b: Builder, outs: Sequence[Out], x: Value, _: Any, axis: int = 0) -> list[Value]:
    axis, at, parts = axis_of(axis, x.rank), 0, []
    for out in outs:
        offsets = [0] * x.rank
        offsets[axis] = at
        at += out.shape[axis]
        parts.append(b.slice(x, offsets, out.shape, [1] * x.rank))
    return parts


@op(*find("unbind", "int"))
def unbind(b: Builder, outs: Sequence[Out], x: Value, axis: int = 0) -> list[Value]:
    return [select_int(b, out, x, axis, i) for i, out in enumerate(outs)]


@op(*find("flip"))
def flip(b: Builder, out: Out, x: Value, axes: Sequence[int]) -> Value:
    turned = {axis_of(a, x.rank) for a in axes}

    def body(s: Scalars, _: str) -> str:
        where_from = []
        for d, n in enumerate(x.shape):
            i = s.index(d)
            if d in turned:
                last = s.const(n - 1, "i64")
                i = s.to_index(s("arith.subi", last, s.of_index(i), type="i64"))
            where_from.append(i)
        return s.extract(x, where_from)
    return b.mapped([], out.dtype, out.shape, body)


@op(*find("diagonal"))
def diagonal(b: Builder, out: Out, x: Value, offset: int = 0, first: int = 0, second: int = 1) -> Value:
    i, j = axis_of(first, x.rank), axis_of(second, x.rank)

    def body(s: Scalars, _: str) -> str:
        others = iter(range(x.rank - 2))
        along = s.of_index(s.index(x.rank - 2))

        def moved(by: int) -> str:
            return s.to_index(s("arith.addi", along, s.const(by, "i64"), type="i64"))
        places = [moved(max(0, -offset)) if d == i else moved(max(0, offset)) if d == j else s.index(next(others))
                  for d in range(x.rank)]
        return s.extract(x, places)
    return b.mapped([], out.dtype, out.shape, body)


@op(*find("constant_pad_nd"))
def constant_pad_nd(b: Builder, out: Out, x: Value, pad: Sequence[int], value: complex = 0) -> Value:
    pairs = [(0, 0)] * (x.rank - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    offsets = [max(0, -low) for low, _ in pairs]
    kept = [n - max(0, -low) - max(0, -high) for n, (low, high) in zip(x.shape, pairs)]
    x = b.slice(x, offsets, kept, [1] * x.rank)
    whole = b.constant(value, out.dtype, out.shape)
    return b.insert(x, whole, [max(0, low) for low, _ in pairs], [1] * x.rank)


# ---- reductions

def axes_of(axes: Any, rank: int) -> list[int]:
    if axes is None or (isinstance(axes, (list, tuple)) and not axes):
        return list(range(rank))
    return sorted({axis_of(a, rank) for a in (axes if isinstance(axes, (list, tuple)) else [axes])})


def add(s: Scalars, x: str, y: str) -> str:
    return s(s.pick("arith.addf", "arith.addi"), x, y)


def sums(b: Builder, x: Value, axes: Sequence[int], dtype: torch.dtype) -> Value:
    return b.reduce(x, axes, dtype, 0, add)


@op(*find("sum", "default", "dim_IntList"))
def sum_dims(b: Builder, out: Out, x: Value, axes: Any = None, keep: bool = False, **_: Any) -> Value:
    total = sums(b, x, axes_of(axes, x.rank), wide(out.dtype))
    return b.reshape(b.cast(total, out.dtype), out.shape)


@op(*find("mean", "default", "dim"))
def mean_dims(b: Builder, out: Out, x: Value, axes: Any = None, keep: bool = False, **_: Any) -> Value:
    listed = axes_of(axes, x.rank)
    compute = wide(out.dtype)
    total = b.reshape(sums(b, x, listed, compute), out.shape)
    n = math.prod(x.shape[a] for a in listed)
    return elementwise(b, out, [total], lambda s, a: s("arith.divf", a, s.const(n)), compute)


def variance(b: Builder, x: Value, axes: Sequence[int], correction: float, dtype: torch.dtype) -> tuple[Value, Value]:
    """Variance and mean, with `axes` of size 1."""
    kept = tuple(1 if d in axes else n for d, n in enumerate(x.shape))
    n = math.prod(x.shape[a] for a in axes)
    total = b.reshape(sums(b, x, axes, dtype), kept)
    mean = elementwise(b, Out(dtype, kept), [total], lambda s, a: s("arith.divf", a, s.const(n)))
    centred = elementwise(b, Out(dtype, x.shape), [x, mean], lambda s, a, m: s("arith.subf", a, m))
    squares = elementwise(b, Out(dtype, x.shape), [centred], lambda s, a: s("arith.mulf", a, a))
    total = b.reshape(sums(b, squares, axes, dtype), kept)
    divisor = max(0.0, n - correction)
    return elementwise(b, Out(dtype, kept), [total], lambda s, a: s("arith.divf", a, s.const(divisor))), mean


@op(*find("var", "correction", "dim"))
def var(b: Builder, out: Out, x: Value, axes: Any = None, *rest: Any, correction: float | None = 1,
        keepdim: bool = False) -> Value:
    if rest and isinstance(rest[0], bool):
        correction = 1 if rest[0] else 0
    result, _ = variance(b, x, axes_of(axes, x.rank), 1 if correction is None else correction, wide(out.dtype))
    return b.reshape(b.cast(result, out.dtype), out.shape)


@op(*find("var_mean", "correction"))
def var_mean(b: Builder, outs: Sequence[Out], x: Value, axes: Any = None, *, correction: float | None = 1,
             keepdim: bool = False) -> list[Value]:
    results = variance(b, x, axes_of(axes, x.rank), 1 if correction is None else correction, wide(outs[0].dtype))
    return [b.reshape(b.cast(r, out.dtype), out.shape) for r, out in zip(results, outs)]


def _lowest(dtype: torch.dtype) -> complex:
    return -math.inf if dtype.is_floating_point else 0 if dtype == torch.bool else torch.iinfo(dtype).min


def _highest(dtype: torch.dtype) -> complex:
    return math.inf if dtype.is_floating_point else 1 if dtype == torch.bool else torch.iinfo(dtype).max


def largest(s: Scalars, x: str, y: str) -> str:
    return s(s.pick("arith.maximumf", "arith.maxsi", "arith.maxui"), x, y)


def least(s: Scalars, x: str, y: str) -> str:
    return s(s.pick("arith.minimumf", "arith.minsi", "arith.minui"), x, y)


@op(*find("amax"), *find("max"))
def amax(b: Builder, out: Out, x: Value, axes: Any = (), keep: bool = False) -> Value:
    return b.reshape(b.reduce(x, axes_of(axes, x.rank), out.dtype, _lowest(out.dtype), largest), out.shape)


@op(*find("amin"), *find("min"))
def amin(b: Builder, out: Out, x: Value, axes: Any = (), keep: bool = False) -> Value:
    return b.reshape(b.reduce(x, axes_of(axes, x.rank), out.dtype, _highest(out.dtype), least), out.shape)


@op(*find("any", "default", "dim", "dims"))
def any_dims(b: Builder, out: Out, x: Value, axes: Any = None, keep: bool = False) -> Value:
    result = b.reduce(b.cast(x, torch.bool), axes_of(axes, x.rank), torch.bool, False, lambda s, p, q: s("arith.ori", p, q))
    return b.reshape(b.cast(result, out.dtype), out.shape)


@op(*find("all", "default", "dim", "dims"))
def all_dims(b: Builder, out: Out, x: Value, axes: Any = None, keep: bool = False) -> Value:
    result = b.reduce(b.cast(x, torch.bool), axes_of(axes, x.rank), torch.bool, True,
                      lambda s, p, q: s("arith.andi", p, q))
    return b.reshape(b.cast(result, out.dtype), out.shape)


@op(*find("prod", "default", "dim_int"))
def prod(b: Builder, out: Out, x: Value, axes: Any = None, keep: bool = False, **_: Any) -> Value:
    result = b.reduce(x, axes_of(axes, x.rank), wide(out.dtype), 1, lambda s, p, q: s(
        s.pick("arith.mulf", "arith.muli"), p, q))
    return b.reshape(b.cast(result, out.dtype), out.shape)


def first_extreme(b: Builder, x: Value, axis: int, top: bool) -> tuple[Value, Value]:
    """The largest or least value along an axis, NaN before all others, and where it stands first; without the axis."""
    kept = tuple(1 if d == axis else n for d, n in enumerate(x.shape))
    if top:
        value = b.reduce(x, [axis], x.dtype, _lowest(x.dtype), largest)
    else:
        value = b.reduce(x, [axis], x.dtype, _highest(x.dtype), least)

    def place(s: Scalars, a: str, v: str, _: str) -> str:
        integers = Scalars(b, torch.int64)
        found = s.compare("eq", a, v)
        if s.is_float:
            found = Scalars(b, torch.bool)("arith.ori", found, s.is_nan(a))
        return integers.select(found, s.of_index(s.index(axis)), integers.const(x.shape[axis]))
    places = b.mapped([x, b.reshape(value, kept)], torch.int64, x.shape, place, x.dtype)
    return value, b.reduce(places, [axis], torch.int64, x.shape[axis], lambda s, p, q: s("arith.minsi", p, q))


def _extreme_dim(top: bool) -> Callable[..., list[Value]]:
    def translate(b: Builder, outs: Sequence[Out], x: Value, axis: int, keep: bool = False) -> list[Value]:
        if not x.rank:
            return [x, b.constant(0, torch.int64)]
        return [b.reshape(v, o.shape) for v, o in zip(first_extreme(b, x, axis_of(axis, x.rank), top), outs)]
    return translate


def _extreme_place(top: bool) -> Callable[..., Value]:
    def translate(b: Builder, out: Out, x: Value, axis: int | None = None, keep: bool = False) -> Value:
        if axis is None or not x.rank:
            x, axis = b.reshape(x, (math.prod(x.shape),)), 0
        return b.reshape(first_extreme(b, x, axis_of(axis, x.rank), top)[1], out.shape)
    return translate


op(*find("max", "dim"))(_extreme_dim(True))
op(*find("min", "dim"))(_extreme_dim(False))
op(*find("argmax"))(_extreme_place(True))
op(*find("argmin"))(_extreme_place(False))


# ---- softmax, norms, attention, products

def last_axis(b: Builder, x: Value, axis: int, function: Callable[[Value], Value]) -> Value:
    """function of x with that axis last, and back."""
    if axis == x.rank - 1:
        return function(x)
    axes = list(range(x.rank))
    axes[axis], axes[-1] = axes[-1], axes[axis]
    y = function(Value(*_plain(b.transpose(x, axes))))
    return b.transpose(Value(*_plain(y)), axes)


def _plain(v: Value) -> tuple[str, torch.dtype, Shape]:
    return v.name, v.dtype, v.shape


@op(*find("_softmax"), *find("softmax", "int"), *find("_safe_softmax"))
def softmax(b: Builder, out: Out, x: Value, axis: int, *_: Any) -> Value:
    if not x.rank:
        return b.constant(1, out.dtype)
    x = b.cast(x, out.dtype)
    return last_axis(b, x, axis_of(axis, x.rank), lambda v: b.op("wf.softmax", [v], v.dtype, v.shape))


TABLE.update({t: (lambda b, out, x, axis, *_: last_axis(
    b, b.cast(x, out.dtype), axis_of(axis, x.rank), lambda v: b.op("wf.softmax", [v], v.dtype, v.shape,
                                                                   attributes="zero_masked = true")))
    for t in find("_safe_softmax")})


@op(*find("_log_softmax"), *find("log_softmax", "int"))
def log_softmax(b: Builder, out: Out, x: Value, axis: int, *_: Any) -> Value:
    axis, compute = axis_of(axis, x.rank), wide(out.dtype)
    kept = tuple(1 if d == axis else n for d, n in enumerate(x.shape))
    top = b.reshape(b.reduce(x, [axis], compute, -math.inf, largest), kept)
    moved = elementwise(b, Out(compute, x.shape), [x, top], lambda s, a, m: s("arith.subf", a, m))
    powers = elementwise(b, Out(compute, x.shape), [moved], lambda s, a: s("math.exp", a))
    total = b.reshape(sums(b, powers, [axis], compute), kept)
    return elementwise(b, out, [moved, total], lambda s, a, n: s("arith.subf", a, s("math.log", n)), compute)


def norm(b: Builder, name: str, out: Out, x: Value, n_axes: int, parts: Sequence[Value | None], eps: float) -> Value:
    given = [p for p in parts if p is not None]
    segments = f"operandSegmentSizes = array<i32: {', '.join(str(int(p is not None)) for p in (x, *parts))}>"
    attributes = f"eps = {literal(eps, 'f64')} : f64, axes = {n_axes} : i64"
    if len(parts) > 1:
        attributes += ", " + segments
    return b.op(name, [x, *given], out.dtype, out.shape, attributes=attributes)


@op(*find("native_layer_norm"), *find("layer_norm"))
def native_layer_norm(b: Builder, outs: Any, x: Value, shape: Sequence[int], gamma: Value | None = None,
                      beta: Value | None = None, eps: float = 1e-5, *_: Any) -> Any:
    first = outs if isinstance(outs, Out) else outs[0]
    y = norm(b, "wf.layer_norm", first, x, len(shape), [gamma, beta], eps)
    return y if isinstance(outs, Out) else [y, None, None]


@op(*find("_fused_rms_norm"), *find("rms_norm"))
def rms_norm(b: Builder, outs: Any, x: Value, shape: Sequence[int], gamma: Value | None = None,
             eps: float | None = None) -> Any:
    first = outs if isinstance(outs, Out) else outs[0]
    y = norm(b, "wf.rms_norm", first, x, len(shape), [gamma], torch.finfo(wide(x.dtype)).eps if eps is None else eps)
    return y if isinstance(outs, Out) else [y, None]


@op(*find("_native_batch_norm_legit_no_training"))
def batch_norm(b: Builder, outs: Sequence[Out], x: Value, gamma: Value | None, beta: Value | None, mean: Value,
               spread: Value, momentum: float, eps: float) -> Any:
    out = outs[0]

    def column(v: Value) -> Value:
        return b.reshape(v, (v.shape[0],) + (1,) * (x.rank - 2))

    inverse = elementwise(b, Out(wide(out.dtype), spread.shape), [spread],
                          lambda s, v: s("math.rsqrt", s("arith.addf", v, s.const(eps))))
    parts = [x, column(mean), column(inverse), *(column(p) for p in (gamma, beta) if p is not None)]

    def body(s: Scalars, a: str, m: str, r: str, *rest: str) -> str:
        y = s("arith.mulf", s("arith.subf", a, m), r)
        left = list(rest)
        if gamma is not None:
            y = s("arith.mulf", y, left.pop(0))
        return s("arith.addf", y, left.pop(0)) if beta is not None else y
    return [elementwise(b, out, parts, body), None, None]


@op(*find("native_group_norm"))
def group_norm(b: Builder, outs: Sequence[Out], x: Value, gamma: Value | None, beta: Value | None, n: int, c: int, hw: int,
               groups: int, eps: float) -> Any:
    out, rows = outs[0], (n * groups, c // groups * hw)
    y = norm(b, "wf.layer_norm", Out(wide(out.dtype), rows), b.cast(b.reshape(x, rows), wide(out.dtype)), 1, [None, None],
             eps)
    y = b.reshape(y, x.shape)
    for part, body in ((gamma, "arith.mulf"), (beta, "arith.addf")):
        if part is not None:
            column = b.reshape(part, (c,) + (1,) * (x.rank - 2))
            y = elementwise(b, Out(wide(out.dtype), x.shape), [y, column], lambda s, a, p, body=body: s(body, a, p))
    return [b.cast(y, out.dtype), None, None]


@op(*find("mm"))
def mm(b: Builder, out: Out, x: Value, y: Value) -> Value:
    (m, k), (_, n) = x.shape, y.shape
    return b.contract(x, [0, 2], y, [2, 1], [m, n, k], [0, 1], out.dtype)


@op(*find("bmm"))
def bmm(b: Builder, out: Out, x: Value, y: Value) -> Value:
    (batch, m, k), (_, _, n) = x.shape, y.shape
    return b.contract(x, [0, 1, 3], y, [0, 3, 2], [batch, m, n, k], [0, 1, 2], out.dtype)


@op(*find("addmm"))
def addmm(b: Builder, out: Out, bias: Value, x: Value, y: Value, *, beta: complex = 1, alpha: complex = 1) -> Value:
    product = mm(b, Out(wide(out.dtype), out.shape), x, y)
    return _scaled_sum(b, out, product, bias, alpha, beta)


@op(*find("baddbmm"))
def baddbmm(b: Builder, out: Out, bias: Value, x: Value, y: Value, *, beta: complex = 1, alpha: complex = 1) -> Value:
    return _scaled_sum(b, out, bmm(b, Out(wide(out.dtype), out.shape), x, y), bias, alpha, beta)


def _scaled_sum(b: Builder, out: Out, product: Value, bias: Value, alpha: complex, beta: complex) -> Value:
    def body(s: Scalars, p: str, q: str) -> str:
        p = p if alpha == 1 else s(s.pick("arith.mulf", "arith.muli"), p, s.const(alpha))
        q = q if beta == 1 else s(s.pick("arith.mulf", "arith.muli"), q, s.const(beta))
        return s(s.pick("arith.addf", "arith.addi"), p, q)
    return product if beta == 0 and alpha == 1 else elementwise(b, out, [product, bias], body)


@op(*find("linear"))
def linear(b: Builder, out: Out, x: Value, weight: Value, bias: Value | None = None) -> Value:
    rows, (n, k) = math.prod(x.shape[:-1]), weight.shape
    flat = b.reshape(x, (rows, k))
    y = b.contract(flat, [0, 2], weight, [1, 2], [rows, n, k], [0, 1], wide(out.dtype))
    if bias is not None:
        y = elementwise(b, Out(wide(out.dtype), (rows, n)), [y, bias], add)
    return b.reshape(b.cast(y, out.dtype), out.shape)


@op(*find("dot"), *find("vdot"))
def dot(b: Builder, out: Out, x: Value, y: Value) -> Value:
    return b.contract(x, [0], y, [0], [x.shape[0]], [], out.dtype)


@op(*find("mv"))
def mv(b: Builder, out: Out, x: Value, y: Value) -> Value:
    return b.contract(x, [0, 1], y, [1], list(x.shape), [0], out.dtype)


def attention(b: Builder, out: Out, q: Value, k: Value, v: Value, mask: Value | None, causal: bool,
              scale: float | None) -> Value:
    """softmax(q k^T scale + mask) v of [batch, heads, rows, size], in f32; the raising rules see what it is."""
    batch, heads, rows, size = q.shape
    columns, kept = k.shape[2], wide(q.dtype)
    if k.shape[1] != heads:  # heads that share keys
        k, v = (b.reshape(b.expand(b.reshape(x, (batch, x.shape[1], 1, *x.shape[2:])),
                                   (batch, x.shape[1], heads // x.shape[1], *x.shape[2:])),
                          (batch, heads, *x.shape[2:])) for x in (k, v))
    shape = (batch, heads, rows, columns)
    scores = b.contract(q, [0, 1, 2, 4], k, [0, 1, 3, 4], [batch, heads, rows, columns, size], [0, 1, 2, 3], kept)
    factor = 1 / math.sqrt(size) if scale is None else scale
    scores = elementwise(b, Out(kept, shape), [scores], lambda s, a: s("arith.mulf", a, s.const(factor)))
    if mask is not None and mask.dtype == torch.bool:
        scores = where(b, Out(kept, shape), mask, scores, -math.inf)
    elif mask is not None:
        scores = elementwise(b, Out(kept, shape), [scores, mask], add)
    if causal:
        def sees(s: Scalars, _: str) -> str:
            i, j = s.of_index(s.index(0)), s.of_index(s.index(1))
            return Scalars(b, torch.int64).compare("le", j, i)
        scores = where(b, Out(kept, shape), b.mapped([], torch.bool, (rows, columns), sees), scores, -math.inf)
    weights = b.op("wf.softmax", [scores], kept, shape, attributes="zero_masked = true")
    y = b.contract(weights, [0, 1, 2, 4], v, [0, 1, 4, 3], [batch, heads, rows, v.shape[3], columns], [0, 1, 2, 3], kept)
    return b.cast(y, out.dtype)


@op(*find("_scaled_dot_product_flash_attention_for_cpu"))
def flash_attention(b: Builder, outs: Sequence[Out], q: Value, k: Value, v: Value, dropout: float = 0.0,
                    causal: bool = False, *, attn_mask: Value | None = None, scale: float | None = None) -> Any:
    if dropout:
        raise Unsupported("dropout")
    return [attention(b, outs[0], q, k, v, attn_mask, causal, scale), None]


@op(*find("scaled_dot_product_attention"))
def dot_product_attention(b: Builder, out: Out, q: Value, k: Value, v: Value, mask: Value | None = None,
                          dropout: float = 0.0, causal: bool = False, *, scale: float | None = None,
                          enable_gqa: bool = False) -> Value:
    if dropout:
        raise Unsupported("dropout")
    if q.rank != 4:
        raise Unsupported(f"attention of {q.rank} axes")
    return attention(b, out, q, k, v, mask, causal, scale)


# ---- indices

def broadcast(*shapes: Shape) -> Shape:
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def whole_index(s: Scalars, index: str, dtype: torch.dtype, n: int) -> str:
    """An element of a tensor of indices, counted from the end where it is negative."""
    i = s.convert(index, dtype, torch.int64)
    integers = Scalars(s.builder, torch.int64)
    moved = integers("arith.addi", i, integers.const(n))
    return s.to_index(integers.select(integers.compare("lt", i, integers.const(0)), moved, i))


@op(*find("embedding"))
def embedding(b: Builder, out: Out, table: Value, ids: Value, *_: Any) -> Value:
    rank = len(out.shape)

    def body(s: Scalars, i: str, _: str) -> str:
        return s.extract(table, [s.to_index(s.convert(i, ids.dtype, torch.int64)), s.index(rank - 1)])
    return b.generic([ids], [affine_map(rank, list(range(rank - 1)))], b.empty(out.dtype, out.shape), identity_map(rank),
                     ["parallel"] * rank, out.dtype, body)


@op(*find("index", "Tensor"), *find("_unsafe_index", "Tensor"))
def index_tensor(b: Builder, out: Out, x: Value, indices: Sequence[Value | None]) -> Value:
    """NumPy's rule: indexed axes become one block of axes, in the place of the first, or in front where others stand
    between them."""
    listed = [(d, v) for d, v in enumerate(indices) if v is not None]
    if any(v.dtype == torch.bool for _, v in listed):
        raise Unsupported("indexing by booleans")
    axes = [d for d, _ in listed]
    block = broadcast(*(v.shape for _, v in listed))
    first = axes[0] if axes == list(range(axes[0], axes[-1] + 1)) else 0
    rank = len(out.shape)
    ins, maps = [], []
    for _, v in listed:
        lead = first + len(block) - v.rank
        ins.append(v)
        maps.append(affine_map(rank, [None if n == 1 and block[len(block) - v.rank + i] != 1 else lead + i
                                      for i, n in enumerate(v.shape)]))
    others = [d for d in range(rank) if not first <= d < first + len(block)]

    def body(s: Scalars, *names: str) -> str:
        given, rest = iter(zip(names, listed)), iter(others)
        where_from = []
        for d in range(x.rank):
            if d in axes:
                name, (_, v) = next(given)
                where_from.append(whole_index(s, name, v.dtype, x.shape[d]))
            else:
                where_from.append(s.index(next(rest)))
        return s.extract(x, where_from)
    return b.generic(ins, maps, b.empty(out.dtype, out.shape), identity_map(rank), ["parallel"] * rank, out.dtype, body)


@op(*find("index_select"))
def index_select(b: Builder, out: Out, x: Value, axis: int, index: Value) -> Value:
    if not x.rank:
        return x
    axis = axis_of(axis, x.rank)
    return index_tensor(b, out, x, [None] * axis + [b.reshape(index, (math.prod(index.shape),))])


@op(*find("gather"))
def gather(b: Builder, out: Out, x: Value, axis: int, index: Value, *_: Any, **__: Any) -> Value:
    axis = axis_of(axis, x.rank)

    def body(s: Scalars, i: str, _: str) -> str:
        at = whole_index(s, i, index.dtype, x.shape[axis])
        return s.extract(x, [at if d == axis else s.index(d) for d in range(x.rank)])
    return b.mapped([index], out.dtype, out.shape, body)


@op(*find("cumsum"))
def cumsum(b: Builder, out: Out, x: Value, axis: int, **_: Any) -> Value:
    return scan(b, out, x, axis, 0, "arith.addf", "arith.addi")


@op(*find("cumprod"))
def cumprod(b: Builder, out: Out, x: Value, axis: int, **_: Any) -> Value:
    return scan(b, out, x, axis, 1, "arith.mulf", "arith.muli")


def scan(b: Builder, out: Out, x: Value, axis: int, start: int, for_floats: str, for_integers: str) -> Value:
    if not x.rank or 0 in x.shape:
        return b.cast(x, out.dtype)
    axis, compute = axis_of(axis, x.rank), wide(out.dtype)
    x = b.cast(x, compute)
    rest = x.shape[:axis] + x.shape[axis + 1:]
    init, total = b.empty(compute, x.shape), b.constant(start, compute, rest)
    result, (p, q, r) = Value(b.new_name(), compute, x.shape), (b.new_name() for _ in range(3))
    plus = for_floats if compute.is_floating_point else for_integers
    b.lines.append(f"  {result.name}:2 = tm_tensor.scan dimension({axis}) inclusive(true) ins({x.name} : {x.type}) "
                   f"outs({init.name}, {total.name} : {init.type}, {total.type}) {{\n"
                   f"  ^bb0({p}: {x.element}, {q}: {x.element}):\n"
                   f'    {r} = "{plus}"({p}, {q}) : ({x.element}, {x.element}) -> {x.element}\n'
                   f"    tm_tensor.yield {r} : {x.element}\n  }} -> {init.type}, {total.type}")
    return b.cast(Value(f"{result.name}#0", compute, x.shape), out.dtype)


@op(*find("index_put"), *find("_unsafe_index_put"))
def index_put(b: Builder, out: Out, x: Value, indices: Sequence[Value | None], values: Value,
              accumulate: bool = False) -> Value:
    """Indexed axes in front, through tm_tensor.scatter."""
    axes = [d for d, v in enumerate(indices) if v is not None]
    listed = [v for v in indices if v is not None]
    if any(v.dtype == torch.bool for v in listed):
        raise Unsupported("indexing by booleans")
    block = broadcast(*(v.shape for v in listed))
    n, kept = math.prod(block), [d for d in range(x.rank) if d not in axes]
    order = axes + kept
    rest = tuple(x.shape[d] for d in kept)
    first = axes[0] if axes == list(range(axes[0], axes[-1] + 1)) else 0
    shape = rest[:first] + tuple(block) + rest[first:]  # as the values broadcast
    values = b.expand(b.cast(values, x.dtype), shape)
    if len(axes) == 1 and len(block) == 1 and not accumulate and 0 not in x.shape:
        return store_rows(b, x, axes[0], listed[0], values)
    forward = list(range(first, first + len(block))) + [d for d in range(len(shape)) if not first <= d < first + len(block)]
    updates = b.reshape(Value(*_plain(b.transpose(values, forward))), (n, *rest))
    columns = []
    for d, v in zip(axes, listed):
        whole = b.mapped([v], torch.int64, block, lambda s, i, _, v=v, d=d: s.of_index(
            whole_index(s, i, v.dtype, x.shape[d])))
        columns.append(b.reshape(whole, (n, 1)))
    return scatter(b, x, order, len(axes), b.concat(columns, 1), updates, accumulate)


def store_rows(b: Builder, x: Value, axis: int, index: Value, rows: Value) -> Value:
    """x with rows [.., w, ..] in the places that the index [w] names along an axis: how a cache of keys and values grows."""
    behind = math.prod(x.shape[axis + 1:])
    at = b.mapped([index], torch.int64, index.shape, lambda s, i, _: s.of_index(
        whole_index(s, i, index.dtype, x.shape[axis])))
    matrix = (*x.shape[:axis + 1], behind)
    y = b.op("wf.store_rows", [b.reshape(x, matrix), b.reshape(rows, (*x.shape[:axis], index.shape[0], behind)), at],
             x.dtype, matrix)
    return b.reshape(y, x.shape)


def scatter(b: Builder, x: Value, order: Sequence[int], depth: int, index: Value, updates: Value, accumulate: bool) -> Value:
    """x, whose axes `order[:depth]` are indexed by the columns of `index`, with updates [n, the other axes]."""
    moved = Value(*_plain(b.transpose(x, order)))
    result, (p, q, r) = Value(b.new_name(), x.dtype, moved.shape), (b.new_name() for _ in range(3))
    plus = "arith.addf" if x.dtype.is_floating_point else "arith.ori" if x.dtype == torch.bool else "arith.addi"
    b.lines.append(f"  {result.name} = tm_tensor.scatter {{dimension_map = array<i64: {', '.join(map(str, range(depth)))}>}} "
                   f"unique_indices(false) ins({updates.name}, {index.name} : {updates.type}, {index.type}) "
                   f"outs({moved.name} : {moved.type}) {{\n  ^bb0({p}: {x.element}, {q}: {x.element}):\n"
                   f'    {r} = "{plus}"({p}, {q}) : ({x.element}, {x.element}) -> {x.element}\n'
                   f"    tm_tensor.yield {r if accumulate else p} : {x.element}\n  }} -> {moved.type}")
    return b.transpose(result, [list(order).index(d) for d in range(x.rank)])


@op(*find("scatter", "src", "value"), *find("scatter_add"))
def scatter_src(b: Builder, out: Out, x: Value, axis: int, index: Value, source: Operand, *_: Any) -> Value:
    return scatter_along(b, x, axis, index, source, False)


TABLE.update({t: (lambda b, out, x, axis, index, source: scatter_along(b, x, axis, index, source, True))
              for t in find("scatter_add")})


def scatter_along(b: Builder, x: Value, axis: int, index: Value, source: Operand, accumulate: bool) -> Value:
    if not x.rank:
        raise Unsupported("scatter of a single value")
    axis, n = axis_of(axis, x.rank), math.prod(index.shape)
    columns = []
    for d in range(x.rank):
        def body(s: Scalars, i: str, _: str, d: int = d) -> str:
            return s.of_index(whole_index(s, i, index.dtype, x.shape[d]) if d == axis else s.index(d))
        columns.append(b.reshape(b.mapped([index], torch.int64, index.shape, body), (n, 1)))
    if isinstance(source, Value):
        part = b.slice(b.cast(source, x.dtype), [0] * x.rank, index.shape, [1] * x.rank)
    else:
        part = b.constant(source, x.dtype, index.shape)
    return scatter(b, x, list(range(x.rank)), x.rank, b.concat(columns, 1), b.reshape(part, (n,)), accumulate)


def is_known(dtype: torch.dtype) -> bool:
    return dtype in ELEMENTS
