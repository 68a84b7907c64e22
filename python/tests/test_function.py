"""Functions of MLIR on arrays of every kind."""
from __future__ import annotations

import array
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import welford

ADD = """#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @main(%a: tensor<?x8xf32>, %b: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%a, %b : tensor<?x8xf32>, tensor<?x8xf32>) outs(%a : tensor<?x8xf32>) {
  ^bb0(%x: f32, %y: f32, %z: f32):
    %1 = arith.addf %x, %y : f32
    linalg.yield %1 : f32
  } -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}
"""
DTYPES = {"f32": np.float32, "f64": np.float64, "f16": np.float16, "i1": np.bool_, "i8": np.int8, "i16": np.int16,
          "i32": np.int32, "i64": np.int64}


def negate(dtype: str, name: str = "main") -> str:
    """x to (x, x with its first axis twice as long): two results of one type."""
    return f"""func.func @{name}(%a: tensor<2x3x{dtype}>) -> (tensor<2x3x{dtype}>, tensor<4x3x{dtype}>) {{
  %0 = tensor.concat dim(0) %a, %a : (tensor<2x3x{dtype}>, tensor<2x3x{dtype}>) -> tensor<4x3x{dtype}>
  return %a, %0 : tensor<2x3x{dtype}>, tensor<4x3x{dtype}>
}}
"""


def aligned(x: np.ndarray) -> np.ndarray:
    """A copy that begins at a multiple of 64 bytes."""
    room = np.empty(x.nbytes + 64, np.uint8)
    begin = -room.ctypes.data % 64
    result = room[begin:begin + x.nbytes].view(x.dtype).reshape(x.shape)
    result[...] = x
    return result


@pytest.fixture(scope="module")
def add() -> welford.Function:
    return welford.compile(ADD)


def test_describes_itself(add: welford.Function) -> None:
    assert add.name == "main"
    assert add.arguments == [welford.ArrayType(f"argument{i}", "f32", (-1, 8)) for i in range(2)]
    assert add.results == [welford.ArrayType("result0", "f32", (-1, 8))]
    assert "sizes            any" in str(add.report())
    assert "result0" in add.plan()


def test_numpy_in_and_out(add: welford.Function) -> None:
    for rows in (1, 3, 40):
        a = np.random.default_rng(rows).standard_normal((rows, 8)).astype(np.float32)
        y = add(a, 2 * a)
        assert type(y) is np.ndarray and y.dtype == np.float32
        np.testing.assert_array_equal(y, a + 2 * a)


def test_no_numpy_needed(add: welford.Function) -> None:
    a = memoryview(array.array("f", range(16))).cast("B").cast("f", (2, 8))
    y = add(a, a)
    assert isinstance(y, welford.Array)
    assert (y.shape, y.dtype, len(y)) == ((2, 8), "f32", 2)
    assert y.tolist() == [[2.0 * (8 * r + c) for c in range(8)] for r in range(2)]


def test_results_are_not_copied(add: welford.Function) -> None:
    a = memoryview(array.array("f", range(16))).cast("B").cast("f", (2, 8))
    y = add(a, a)
    seen, other = np.asarray(y), np.from_dlpack(y)
    assert seen.ctypes.data == other.ctypes.data and seen.ctypes.data % 64 == 0
    del y
    gc.collect()
    assert seen[1, 7] == other[1, 7] == 30  # they keep it alive


def test_strides_and_alignment(add: welford.Function) -> None:
    x = np.arange(160, dtype=np.float32).reshape(2, 80)
    views = [x[:, 1:9], x[:, ::-10], x[::-1, :8], x.reshape(20, 8)[::7], np.asfortranarray(x[:, :8]), aligned(x[:, :8])]
    for view in views:
        np.testing.assert_array_equal(add(view, view), 2 * view)


@pytest.mark.parametrize("dtype", DTYPES)
def test_types(dtype: str) -> None:
    x = np.arange(6).reshape(2, 3).astype(DTYPES[dtype])
    same, twice = welford.compile(negate(dtype))(x)
    assert same.dtype == twice.dtype == x.dtype
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(twice, np.concatenate([x, x]))


def test_scalars_and_empty_arrays(add: welford.Function) -> None:
    f = welford.compile("func.func @main(%a: tensor<f32>) -> tensor<f32> {\n"
                        "  %0 = tosa.add %a, %a : (tensor<f32>, tensor<f32>) -> tensor<f32>\n  return %0 : tensor<f32>\n}\n")
    y = f(np.float32(3))
    assert y.shape == () and y == 6
    assert add(np.zeros((0, 8), np.float32), np.zeros((0, 8), np.float32)).shape == (0, 8)


@pytest.mark.parametrize("form", ["linalg", "tosa"])
def test_norm_of_a_file(graphs: Path, form: str) -> None:
    path = graphs / form / "rmsnorm_llama_f32.mlir"
    f = welford.compile(path)
    assert f.kernels() == {"wf.rms_norm": 1}
    assert '"wf.rms_norm"' in f.mlir(after="raise")
    shape = f.arguments[0].shape
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    plain = welford.compile(path, no_raise=True)
    assert "wf.rms_norm" not in plain.kernels()
    np.testing.assert_allclose(f(x), plain(x), rtol=0, atol=2e-6 * np.abs(plain(x)).max())


def test_save_and_open(add: welford.Function, tmp_path: Path) -> None:
    path = tmp_path / "add.wf"
    add.save(path)
    again = welford.compile(path)
    assert again.cached
    for rows in (2, 5):
        x = np.full((rows, 8), rows, np.float32)
        np.testing.assert_array_equal(again(x, x), 2 * x)
    with pytest.raises(welford.UsageError, match="a .wf file already"):
        again.save(tmp_path / "twice.wf")


def test_save_of_sizes_that_cannot_stay_open(tmp_path: Path) -> None:
    f = welford.compile("""func.func @main(%a: tensor<?x?xf32>) -> tensor<?x2xf32> {
  %s = tosa.const_shape {values = dense<[-1, 2]> : tensor<2xindex>} : () -> !tosa.shape<2>
  %0 = tosa.reshape %a, %s : (tensor<?x?xf32>, !tosa.shape<2>) -> tensor<?x2xf32>
  return %0 : tensor<?x2xf32>
}
""")
    with pytest.raises(welford.UsageError, match="call the function first"):
        f.save(tmp_path / "early.wf")
    assert f.mlir() == ""  # of which sizes?
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(f(x), x.reshape(6, 2))
    assert "tensor<4x3xf32>" in f.mlir()
    f.save(tmp_path / "f.wf")
    saved = welford.compile(tmp_path / "f.wf")
    np.testing.assert_array_equal(saved(x), x.reshape(6, 2))
    with pytest.raises(welford.UsageError):
        saved(x[:2])


def test_errors_say_why(add: welford.Function, tmp_path: Path) -> None:
    x = np.zeros((2, 8), np.float32)
    with pytest.raises(welford.UsageError, match="the function takes 2 arguments, 1 is given"):
        add(x)
    with pytest.raises(welford.UsageError, match="argument 1 is 2x7xf32"):
        add(x, x[:, :7])
    with pytest.raises(welford.UsageError, match="argument 0 is 2x8xf64"):
        add(x.astype(np.float64), x)
    with pytest.raises(TypeError, match="not an array"):
        add([1, 2], x)
    with pytest.raises(welford.UsageError, match="elements of that type"):
        add(x.astype(np.complex64), x)
    with pytest.raises(welford.UsageError, match="no function 'other'"):
        welford.compile(ADD, entry="other")
    with pytest.raises(welford.UsageError, match="no-such-fusion"):
        welford.compile(ADD, no_fuse=["no-such-fusion"])
    with pytest.raises(welford.FormatError, match="^g.mlir:1:"):
        welford.compile("func.func @main(\n", name="g.mlir")
    with pytest.raises(welford.FileError) as caught:
        welford.compile(tmp_path / "missing.mlir")
    assert isinstance(caught.value, OSError) and "\n" not in str(caught.value)
    with pytest.raises(welford.UsageError):  # before anything is compiled
        welford.compile(ADD, x.astype(np.int32), x)
    with pytest.raises(welford.UnsupportedError, match="custom"):
        welford.compile('func.func @main(%a: tensor<2xf32>) -> tensor<2xf32> {\n  %0 = "tosa.custom"(%a) {domain_name = '
                        '"d", implementation_attrs = "", operator_name = "n"} : (tensor<2xf32>) -> tensor<2xf32>\n'
                        '  return %0 : tensor<2xf32>\n}\n')


def test_closed() -> None:
    with welford.compile(ADD) as f:
        pass
    f.close()
    with pytest.raises(welford.UsageError, match="closed"):
        f(np.zeros((1, 8), np.float32), np.zeros((1, 8), np.float32))
    with pytest.raises(welford.UsageError, match="closed"):
        f.report()


def test_threads_take_turns(add: welford.Function) -> None:
    wrong: list[int] = []

    def run(k: int) -> None:
        x = np.full((16, 8), k, np.float32)
        wrong.extend(k for _ in range(200) if not (add(x, x) == 2 * k).all())

    threads = [threading.Thread(target=run, args=(k,)) for k in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_after_a_fork(add: welford.Function) -> None:
    """What was opened before it says so; what is opened in the child works."""
    x = np.ones((2, 8), np.float32)
    add(x, x)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                add(x, x)
            except welford.UsageError as reason:
                code = 2 if "forked" in str(reason) else 3
            if code == 2 and (welford.compile(ADD)(x, x) == 2).all():
                code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(add(x, x), 2 * x)


def test_neither_numpy_nor_torch_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", "import sys, welford; print([m for m in ('numpy', 'torch') if m in "
                           "sys.modules])"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_memory_is_given_back(add: welford.Function) -> None:
    x = np.zeros((1 << 15, 8), np.float32)  # 1 MB
    with open("/proc/self/statm") as file:
        def resident() -> int:
            file.seek(0)
            return int(file.read().split()[1]) * 4096
        for _ in range(20):
            add(x, x)
        before = resident()
        for i in range(400):
            y = add(x, x[::-1])
            if i % 2:
                np.from_dlpack(y)
        assert resident() - before < 50e6
