"""TOSA text as LLVM 17 to 20 printed it: what it computes, against NumPy."""
import numpy as np
import pytest
from test_exec import mlir  # noqa: F401  a fixture

RNG = np.random.default_rng(5)
X, Y, V = (RNG.standard_normal(shape).astype("f4") for shape in ((4, 8), (4, 8), (8,)))
W, B = RNG.standard_normal((3, 8)).astype("f4"), RNG.standard_normal(3).astype("f4")
I, J = (RNG.integers(-50, 50, (4, 8)).astype("i4") for _ in range(2))
T, T3, TI = "tensor<4x8xf32>", "tensor<1x4x8xf32>", "tensor<4x8xi32>"
CUBE = f'%c = "tosa.reshape"(%a) {{new_shape = array<i64: 1, 4, 8>}} : ({T}) -> {T3}\n'
AXES = '%p = "tosa.const"() {value = dense<[0, 2, 1]> : tensor<3xi32>} : () -> tensor<3xi32>\n'
CORNERS = '%p = "tosa.const"() <{value = dense<[[1, 0], [0, 2]]> : tensor<2x2xi64>}> : () -> tensor<2x2xi64>\n'

# name: (type of the result, ops that make %y of %a and %b, arguments, what they compute)
FORMS = {
    "const": (T, f'%k = "tosa.const"() <{{value = dense<2.0> : {T}}}> : () -> {T}\n%y = tosa.add %a, %k : ({T}, {T}) -> {T}',
              [X], lambda a: a + 2),
    "mul": (T, f"%y = tosa.mul %a, %b {{shift = 0 : i8}} : ({T}, {T}) -> {T}", [X, Y], lambda a, b: a * b),
    "mul-i32-shift": (T, f"%y = tosa.mul %a, %b {{shift = 0 : i32}} : ({T}, {T}) -> {T}", [X, Y], lambda a, b: a * b),
    "reshape": (T3, f"%y = tosa.reshape %a {{new_shape = array<i64: 1, -1, 8>}} : ({T}) -> {T3}", [X], lambda a: a[None]),
    "transpose": ("tensor<1x8x4xf32>", CUBE + AXES + f"%y = tosa.transpose %c, %p : ({T3}, tensor<3xi32>) -> tensor<1x8x4xf32>",
                  [X], lambda a: a.T[None]),
    "matmul": ("tensor<1x4x4xf32>", CUBE + AXES + f"%t = tosa.transpose %c, %p : ({T3}, tensor<3xi32>) -> tensor<1x8x4xf32>\n"
               f"%y = tosa.matmul %c, %t {{quantization_info = #tosa.matmul_quant<a_zp = 0, b_zp = 0>}} : ({T3}, tensor<1x8x4xf32>) "
               "-> tensor<1x4x4xf32>", [X], lambda a: (a @ a.T)[None]),
    "clamp": (T, f"%y = tosa.clamp %a {{max_fp = 0.5 : f32, max_int = 1 : i64, min_fp = -1.0 : f32, min_int = -1 : i64}} : ({T}) -> {T}",
              [X], lambda a: np.clip(a, -1, 0.5)),
    "clamp-integers": (TI, f"%y = tosa.clamp %a {{max_fp = 0.5 : f32, max_int = 20 : i64, min_fp = -1.0 : f32, min_int = -3 : i64}} : "
                       f"({TI}) -> {TI}", [I], lambda a: np.clip(a, -3, 20)),
    "negate": (T, f"%y = tosa.negate %a {{quantization_info = #tosa.unary_quant<input_zp = 0, output_zp = 0>}} : ({T}) -> {T}",
               [X], lambda a: -a),
    "negate-plain": (T, f"%y = tosa.negate %a : ({T}) -> {T}", [X], lambda a: -a),
    "slice": ("tensor<2x3xf32>", f"%y = tosa.slice %a {{start = array<i64: 1, 4>, size = array<i64: 2, 3>}} : ({T}) -> tensor<2x3xf32>",
              [X], lambda a: a[1:3, 4:7]),
    "pad": ("tensor<5x10xf32>", CORNERS + f"%y = tosa.pad %a, %p : ({T}, tensor<2x2xi64>) -> tensor<5x10xf32>",
            [X], lambda a: np.pad(a, ((1, 0), (0, 2)))),
    "pad-value": ("tensor<5x10xf32>", CORNERS + '%v = "tosa.const"() <{value = dense<7.0> : tensor<f32>}> : () -> tensor<f32>\n'
                  f"%y = tosa.pad %a, %p, %v : ({T}, tensor<2x2xi64>, tensor<f32>) -> tensor<5x10xf32>",
                  [X], lambda a: np.pad(a, ((1, 0), (0, 2)), constant_values=7)),
    "tile": ("tensor<4x16xf32>", f"%y = tosa.tile %a {{multiples = array<i64: 1, 2>}} : ({T}) -> tensor<4x16xf32>",
             [X], lambda a: np.tile(a, (1, 2))),
    "fully-connected": ("tensor<4x3xf32>", f"%y = tosa.fully_connected %a, %b, %c : ({T}, tensor<3x8xf32>, tensor<3xf32>) -> tensor<4x3xf32>",
                        [X, W, B], lambda a, b, c: a @ b.T + c),
    "ranks": (T, f"%y = tosa.sub %a, %b : ({T}, tensor<8xf32>) -> {T}", [X, V], lambda a, b: a - b),
    "div": (TI, f"%y = tosa.div %a, %b : ({TI}, {TI}) -> {TI}", [I, np.where(J == 0, 3, J)], lambda a, b: np.trunc(a / b).astype("i4")),
    "axis": ("tensor<4x1xf32>", f"%y = tosa.reduce_sum %a {{axis = 1 : i64}} : ({T}) -> tensor<4x1xf32>",
             [X], lambda a: a.sum(1, keepdims=True)),
    "average": ("tensor<1x2x4x1xf32>", f"%c = tosa.reshape %a {{new_shape = array<i64: 1, 4, 8, 1>}} : ({T}) -> tensor<1x4x8x1xf32>\n"
                "%y = tosa.avg_pool2d %c {acc_type = f32, kernel = array<i64: 2, 2>, pad = array<i64: 0, 0, 0, 0>, "
                "stride = array<i64: 2, 2>} : (tensor<1x4x8x1xf32>) -> tensor<1x2x4x1xf32>",
                [X], lambda a: a.reshape(1, 2, 2, 4, 2, 1).mean((2, 4))),
    "convolution": ("tensor<1x4x8x1xf32>", f"%c = tosa.reshape %a {{new_shape = array<i64: 1, 4, 8, 1>}} : ({T}) -> tensor<1x4x8x1xf32>\n"
                    '%w = "tosa.const"() {value = dense<3.0> : tensor<1x1x1x1xf32>} : () -> tensor<1x1x1x1xf32>\n'
                    '%z = "tosa.const"() {value = dense<1.0> : tensor<1xf32>} : () -> tensor<1xf32>\n'
                    "%y = tosa.conv2d %c, %w, %z {dilation = array<i64: 1, 1>, pad = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : "
                    "(tensor<1x4x8x1xf32>, tensor<1x1x1x1xf32>, tensor<1xf32>) -> tensor<1x4x8x1xf32>",
                    [X], lambda a: 3 * a.reshape(1, 4, 8, 1) + 1),
}
ELEMENT = {"f": "f32", "i": "i32"}


@pytest.mark.parametrize("name", FORMS)
def test_form(mlir, name):  # noqa: F811
    result, body, inputs, reference = FORMS[name]
    names = dict(zip("abc", inputs))
    arguments = ", ".join(f"%{n}: tensor<{''.join(f'{d}x' for d in x.shape)}{ELEMENT[x.dtype.kind]}>" for n, x in names.items())
    f = mlir(f"func.func @main({arguments}) -> {result} {{\n{body}\nreturn %y : {result}\n}}")
    want = reference(*(x.astype("f8") if x.dtype.kind == "f" else x for x in inputs))
    for options in ([], ["--no-raise"]):
        assert np.abs(f(*inputs, options=options)[0] - want).max() <= 1e-5 * np.abs(want).max()


def test_unknown_form(mlir):  # noqa: F811
    """What is not read says that it is of an older version."""
    text = f'func.func @main(%a: {TI}) -> {TI} {{\n  %c = "tosa.const"() {{value = dense<1> : {TI}}} : () -> {TI}\n' \
           f"  %y = tosa.rescale %a {{multiplier = array<i32: 1>}} : ({TI}) -> {TI}\n  return %y : {TI}\n}}"
    assert "f.mlir:3:8: tosa.rescale of LLVM 20 or older" in mlir(text).run(I).failed(1).stderr


def test_faults_of_today(mlir):  # noqa: F811
    """A text of today with a fault is not taken for an old one."""
    text = f"func.func @main(%a: {T}) -> {T} {{\n  %y = tosa.expp %a : ({T}) -> {T}\n  return %y : {T}\n}}"
    assert "f.mlir:2:8: custom op 'tosa.expp' is unknown" in mlir(text).run(X).failed(1).stderr
