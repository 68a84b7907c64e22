"""Donated arguments: their memory is the result's, nothing is copied where nobody reads the old values later, and results are
the same bits as without."""
import re

import numpy as np
import pytest

RNG = np.random.default_rng(23)
T = "tensor<4x6xf32>"


@pytest.fixture
def call(welford, tmp_path):
    """Results of main on arrays, and the calls of its plan: of kernels, with the areas that they read and write."""
    def run(text, arrays, n_results, *options, **how):
        path = tmp_path / "f.mlir"
        if text is not None:
            path.write_text(text)
        args = []
        for i, a in enumerate(arrays):
            np.save(tmp_path / f"i{i}.npy", a)
            args += ["-i", tmp_path / f"i{i}.npy"]
        for i in range(n_results):
            args += ["-o", tmp_path / f"o{i}.npy"]
        done = welford.run("exec", how.pop("path", path), *args, "--print-plan", *options, **how).ok()
        plan = done.stderr.split("calls\n")[1].splitlines()[1:]
        calls = [re.search(r"  (\S[^>]*) -> (.*)$", line) for line in plan]
        calls = [([re.split(r"[ ]{2,}", c[1])[-1].split(", ")][0], c[2].split(", ")) for c in calls]
        return [np.load(tmp_path / f"o{i}.npy") for i in range(n_results)], calls, done.stderr
    return run


def in_place(calls) -> bool:
    """Whether the donated array is written by one call, and no call copies it."""
    writers = [c for c in calls if "result0" in c[1]]
    return len(writers) == 1 and not any("argument0" in c[0] for c in calls)


X, ROWS = RNG.standard_normal((4, 6), dtype="f4"), RNG.standard_normal((2, 6), dtype="f4")
PLACE = """  %zero = arith.constant 0 : index
  %n = tensor.extract %p[%zero] : tensor<1xi64>
  %k = arith.index_cast %n : i64 to index
"""


def with_rows(at):
    y = X.copy()
    y[at:at + 2] = ROWS
    return y


def one_result(body: str, arguments: str, attribute: str = " {tf.aliasing_output = 0 : i32}") -> str:
    return f"func.func @main(%x: {T}{attribute}, {arguments}) -> {T} {{\n{body}  return %y : {T}\n}}\n"


R, P = "%r: tensor<2x6xf32>", "%p: tensor<1xi64>"
WRITERS = {
    "a slice": (R, "  %y = tensor.insert_slice %r into %x[1, 0] [2, 6] [1, 1] : tensor<2x6xf32> into tensor<4x6xf32>\n",
                [ROWS], with_rows(1), []),
    "a slice of columns": (
        "%r: tensor<4x2xf32>",
        "  %y = tensor.insert_slice %r into %x[0, 3] [4, 2] [1, 1] : tensor<4x2xf32> into tensor<4x6xf32>\n",
        [ROWS[:, :4].T.copy()], np.concatenate([X[:, :3], ROWS[:, :4].T, X[:, 5:]], 1), []),
    "rows at a computed place": (
        f"{R}, {P}", PLACE + "  %y = tensor.insert_slice %r into %x[%k, 0] [2, 6] [1, 1] : tensor<2x6xf32> into tensor<4x6xf32>\n",
        [ROWS, np.array([2])], with_rows(2), []),
    "a slice at a computed place": (
        f"{R}, {P}", PLACE + "  %y = tensor.insert_slice %r into %x[%k, 0] [2, 6] [1, 1] : tensor<2x6xf32> into tensor<4x6xf32>\n",
        [ROWS, np.array([2])], with_rows(2), ["--no-fuse=store_rows"]),
    "elementwise": (f"%r: {T}", f"  %a = arith.mulf %r, %r : {T}\n  %y = arith.subf %x, %a : {T}\n", [X[::-1].copy()],
                    X - X[::-1] * X[::-1], []),
    "a scatter": (
        "%r: tensor<2x6xf32>, %p: tensor<2x1xi32>",
        """  %y = tm_tensor.scatter {dimension_map = array<i64: 0>} unique_indices(false) ins(%r, %p : tensor<2x6xf32>, tensor<2x1xi32>) outs(%x : tensor<4x6xf32>) {
  ^bb0(%a: f32, %b: f32):
    tm_tensor.yield %a : f32
  } -> tensor<4x6xf32>
""", [ROWS, np.array([[3], [0]], "i4")], np.stack([ROWS[1], X[1], X[2], ROWS[0]]), []),
    "a loop": (
        P, """  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %many = arith.constant 100 : index
  %f = arith.constant 1.0 : f32
  %y = scf.for %i = %zero to %many step %one iter_args(%c = %x) -> (tensor<4x6xf32>) {
    %v = tensor.extract %c[%one, %one] : tensor<4x6xf32>
    %w = arith.addf %v, %f : f32
    %d = tensor.insert %w into %c[%one, %one] : tensor<4x6xf32>
    scf.yield %d : tensor<4x6xf32>
  }
""", [np.array([0])], X + 100 * (np.arange(24).reshape(4, 6) == 7), []),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writers_take_the_memory(call, name):
    arguments, body, arrays, wanted, options = WRITERS[name]
    plain, _, _ = call(one_result(body, arguments, ""), [X, *arrays], 1, *options)
    donated, calls, plan = call(one_result(body, arguments), [X, *arrays], 1, *options)
    option, _, other = call(one_result(body, arguments, ""), [X, *arrays], 1, *options, "--donate", "0=0")
    assert plain[0].tobytes() == donated[0].tobytes() == option[0].tobytes()
    assert np.abs(donated[0] - wanted).max() < 1e-5
    assert "result0    4x6xf32, in the memory of argument0" in plan and "in the memory of argument0" in other
    assert in_place(calls), plan
    poisoned, _, _ = call(None, [X, *arrays], 1, *options, "--donate", "0=0", env={"WELFORD_POISON": "1"})
    assert poisoned[0].tobytes() == plain[0].tobytes()


def test_places_are_checked(welford, call, tmp_path):
    for options in ([], ["--no-fuse=store_rows"], ["--no-raise"]):
        arguments, body, arrays, _, _ = WRITERS["rows at a computed place"]
        for place in (3, -1, 2**62):
            np.save(tmp_path / "p.npy", np.array([place]))
            call(one_result(body, arguments), [X, ROWS, np.array([0])], 1, *options)
            done = welford.run("exec", "f.mlir", "-i", "i0.npy", "-i", "i1.npy", "-i", "p.npy", *options, cwd=tmp_path).failed(2)
            assert re.search(r"f\.mlir:5:8: (an index is out of range|a slice reaches beyond its tensor)", done.stderr)


# ---- who reads the old values


LATER = {
    # the sum is of the old values, behind the writer
    "a reader": ("  %y = tensor.insert_slice %r into %x[1, 0] [2, 6] [1, 1] : tensor<2x6xf32> into tensor<4x6xf32>\n"
                 f"  %z = arith.addf %x, %y : {T}\n", X + with_rows(1)),
    "a view": ("  %v = tensor.extract_slice %x[1, 0] [2, 6] [1, 1] : tensor<4x6xf32> to tensor<2x6xf32>\n"
               "  %y = tensor.insert_slice %r into %x[0, 0] [2, 6] [1, 1] : tensor<2x6xf32> into tensor<4x6xf32>\n"
               f"  %z = tensor.insert_slice %v into %y[2, 0] [2, 6] [1, 1] : tensor<2x6xf32> into {T}\n",
               np.concatenate([ROWS, X[1:3]])),
    "a scalar": ("  %o = arith.constant 1 : index\n"
                 "  %s = tensor.extract %x[%o, %o] : tensor<4x6xf32>\n"
                 "  %y = tensor.insert_slice %r into %x[1, 0] [2, 6] [1, 1] : tensor<2x6xf32> into tensor<4x6xf32>\n"
                 f"  %f = tensor.splat %s : {T}\n  %z = arith.addf %y, %f : {T}\n", with_rows(1) + X[1, 1]),
    "its own source": ("  %v = tensor.extract_slice %x[0, 0] [2, 6] [1, 1] : tensor<4x6xf32> to tensor<2x6xf32>\n"
                       "  %y = tensor.insert_slice %v into %x[1, 0] [2, 6] [1, 1] : tensor<2x6xf32> into tensor<4x6xf32>\n"
                       f"  %w = tensor.insert_slice %r into %y[0, 0] [2, 6] [1, 1] : tensor<2x6xf32> into {T}\n"
                       f"  %z = arith.addf %w, %w : {T}\n", 2 * np.concatenate([ROWS, X[1:2], X[3:]])),
}


@pytest.mark.parametrize("name", LATER)
def test_old_values_are_kept_for_who_reads_them(call, name):
    body, wanted = LATER[name]
    text = f"func.func @main(%x: {T} {{tf.aliasing_output = 1 : i32}}, {R}) -> ({T}, {T}) {{\n{body}  return %z, %y : {T}, {T}\n}}\n"
    donated, _, _ = call(text, [X, ROWS], 2)
    plain, _, _ = call(text.replace(" {tf.aliasing_output = 1 : i32}", ""), [X, ROWS], 2)
    assert [a.tobytes() for a in donated] == [a.tobytes() for a in plain]
    if name == "its own source":
        wanted = 2 * np.concatenate([ROWS, X[1:2], X[3:]])
        wanted[2] = 2 * X[1]
    assert np.abs(donated[0] - wanted).max() < 1e-5


def test_exchanged_unchanged_and_unused(call):
    text = f"func.func @main(%a: {T}, %b: {T}, %c: {T}, %d: {T}) -> ({T}, {T}, {T}, {T}, {T}) {{\n" \
        f"  %s = arith.addf %a, %b : {T}\n  return %b, %a, %c, %s, %b : {T}, {T}, {T}, {T}, {T}\n}}\n"
    arrays = [RNG.standard_normal((4, 6), dtype="f4") for _ in range(4)]
    a, b, c, _ = arrays
    results, calls, _ = call(text, arrays, 5, "--donate", "0=0", "--donate", "1=1", "--donate", "2=2", "--donate", "argument3=3")
    for y, wanted in zip(results, [b, a, c, a + b, b]):
        assert y.tobytes() == wanted.tobytes()
    assert not any("argument2" in r or "result2" in w for r, w in calls)  # nothing is to be done for it


def random_graph(rng) -> tuple[str, int, int]:
    """Ops on a few arrays: many read what others write over."""
    n_arguments = int(rng.integers(1, 4))
    values = [f"%a{i}" for i in range(n_arguments)]
    lines = []
    for i in range(int(rng.integers(2, 9))):
        x, y = (values[int(rng.integers(len(values)))] for _ in range(2))
        v = f"%v{i}"
        kind = int(rng.integers(7))
        at, to = int(rng.integers(3)), int(rng.integers(3))
        if kind == 0:
            lines.append(f"{v} = arith.addf {x}, {y} : {T}")
        elif kind == 1:
            lines.append(f"{v} = arith.mulf {x}, {x} : {T}")
        elif kind == 2:
            lines += [f"%s{i} = tensor.extract_slice {y}[{at}, 0] [2, 6] [1, 1] : {T} to tensor<2x6xf32>",
                      f"{v} = tensor.insert_slice %s{i} into {x}[{to}, 0] [2, 6] [1, 1] : tensor<2x6xf32> into {T}"]
        elif kind == 3:
            lines += [f"%s{i} = tensor.extract_slice {y}[0, {at}] [4, 2] [1, 1] : {T} to tensor<4x2xf32>",
                      f"{v} = tensor.insert_slice %s{i} into {x}[0, %k] [4, 2] [1, 1] : tensor<4x2xf32> into {T}"]
        elif kind == 4:
            lines += [f"%s{i} = tensor.extract {y}[%k, %zero] : {T}", f"%f{i} = tensor.splat %s{i} : {T}",
                      f"{v} = arith.subf {x}, %f{i} : {T}"]
        elif kind == 5:
            lines += [f"%c{i} = tensor.collapse_shape {x} [[0, 1]] : {T} into tensor<24xf32>",
                      f"%s{i} = tensor.extract_slice %c{i}[{at}] [8] [2] : tensor<24xf32> to tensor<8xf32>",
                      f"%d{i} = tensor.insert_slice %s{i} into %c{i}[{to}] [8] [3] : tensor<8xf32> into tensor<24xf32>",
                      f"{v} = tensor.expand_shape %d{i} [[0, 1]] output_shape [4, 6] : tensor<24xf32> into {T}"]
        else:
            lines += [f"{v} = scf.for %i{i} = %zero to %hundred step %one iter_args(%t{i} = {x}) -> ({T}) {{",
                      f"  %e{i} = tensor.extract {y}[%one, %k] : {T}",
                      f"  %g{i} = tensor.extract %t{i}[%one, %one] : {T}",
                      f"  %h{i} = arith.addf %e{i}, %g{i} : f32",
                      f"  %j{i} = tensor.insert %h{i} into %t{i}[%k, %one] : {T}", f"  scf.yield %j{i} : {T}", "}"]
        values.append(v)
    results = [values[int(rng.integers(len(values)))] for _ in range(int(rng.integers(n_arguments, 5)))]
    text = "func.func @main(" + ", ".join(f"%a{i}: {T}" for i in range(n_arguments)) + f", {P}) -> (" + \
        ", ".join([T] * len(results)) + ") {\n" + PLACE + "  %one = arith.constant 1 : index\n  %hundred = arith.constant 100 : index\n" + \
        "".join(f"  {line}\n" for line in lines) + f"  return {', '.join(results)} : {', '.join([T] * len(results))}\n}}\n"
    return text, n_arguments, len(results)


@pytest.mark.parametrize("seed", range(60))
def test_any_graph_gives_the_same_bits(call, seed):
    rng = np.random.default_rng(seed)
    text, n, n_results = random_graph(rng)
    arrays = [rng.standard_normal((4, 6), dtype="f4") for _ in range(n)] + [np.array([1])]
    plain, _, _ = call(text, arrays, n_results)
    pairs = zip(rng.permutation(n)[:int(rng.integers(1, n + 1))], rng.permutation(n_results))
    options = [o for a, r in pairs for o in ("--donate", f"{a}={r}")]
    for more in ([], ["--no-raise"], ["--no-fuse=chain,elementwise"]):
        donated, _, _ = call(None, arrays, n_results, *options, *more)
        reference = plain if not more else call(None, arrays, n_results, *more)[0]
        for y, wanted in zip(donated, reference):
            assert y.tobytes() == wanted.tobytes(), text


# ---- sizes, files, refusals


def test_open_sizes(call):
    text = "func.func @main(%x: tensor<?x6xf32> {tf.aliasing_output = 0 : i32}, %r: tensor<?x6xf32>) -> tensor<?x6xf32> {\n" \
        "  %y = tosa.add %x, %r : (tensor<?x6xf32>, tensor<?x6xf32>) -> tensor<?x6xf32>\n  return %y : tensor<?x6xf32>\n}\n"
    for rows in (3, 5):
        x, r = (RNG.standard_normal((rows, 6), dtype="f4") for _ in range(2))
        (y,), calls, plan = call(text, [x, r], 1)
        assert y.tobytes() == (x + r).tobytes()
        assert len(calls) == 1 and calls[0][0][:2] == ["result0", "argument1"], plan


def test_wf_files(welford, call, tmp_path):
    arguments, body, arrays, wanted, _ = WRITERS["elementwise"]
    (tmp_path / "f.mlir").write_text(one_result(body, arguments, ""))
    welford.run("compile", "f.mlir", "--donate", "0=0", "-o", "f.wf", cwd=tmp_path).ok()
    (y,), calls, plan = call(None, [X, *arrays], 1, path=tmp_path / "f.wf")
    assert np.abs(y - wanted).max() < 1e-5 and in_place(calls) and "in the memory of argument0" in plan
    done = welford.run("exec", "f.wf", "-i", "i0.npy", "-i", "i1.npy", "--donate", "0=0", cwd=tmp_path).failed(2)
    assert "--donate is for `welford compile`" in done.stderr


@pytest.mark.parametrize("options, reason", [
    (["0=1"], "f.mlir: argument 0 cannot be donated to result 1: there is no such result"),
    (["1=0"], "f.mlir: argument 1 cannot be donated to result 0: they are of different types"),
    (["5=0"], "f.mlir: no argument of the function is called '5'"),
    (["0=0", "2=0"], "f.mlir: argument 2 cannot be donated to result 0: another argument is donated to it"),
    (["0"], "--donate: not of the form ARGUMENT=RESULT (see welford exec --help)"),
    (["0=x"], "--donate: 'x' is not a whole number in 0..1023 (see welford exec --help)"),
])
def test_refusals(welford, tmp_path, options, reason):
    (tmp_path / "f.mlir").write_text(f"func.func @main(%x: {T}, {R}, %z: {T}) -> {T} {{\n  %y = arith.addf %x, %z : {T}\n  return %y : {T}\n}}\n")
    for i, a in enumerate([X, ROWS, X]):
        np.save(tmp_path / f"i{i}.npy", a)
    args = [x for o in options for x in ("--donate", o)]
    done = welford.run("exec", "f.mlir", *(x for i in range(3) for x in ("-i", f"i{i}.npy")), *args, cwd=tmp_path).failed(2)
    assert done.stderr == f"welford exec: {reason}\n"
