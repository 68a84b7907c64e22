"""Graph files that opt and exec refuse: each says what it is, where, and why."""
import io
import re
import zipfile

import numpy as np
import pytest
from test_exec import mlir  # noqa: F401  a fixture

N = 100000
HOLD = "func.func private @f() attributes {m = %s}\n"


def chain(first, step, last=HOLD, sign="#"):
    """Aliases that each hold the one before."""
    lines = [first] + [step.replace("<", f"{sign}a{i - 1}").replace(">", f"{sign}a{i}") for i in range(1, N)]
    return "\n".join(lines) + "\n" + last % f"{sign}a{N - 1}"


# ---- nesting

DEEP = {
    "sum": "#m = affine_map<(d0) -> (d0" + " + d0 * 2" * N + ")>\n" + HOLD % "#m",
    "product": "#m = affine_map<(d0)[s0] -> (s0" + " * s0" * N + ")>\n" + HOLD % "#m",
    "minus": "#m = affine_map<(d0) -> (" + "-" * N + "d0)>\n" + HOLD % "#m",
    "mod": "#m = affine_map<(d0) -> (d0" + " mod 7" * N + ")>\n" + HOLD % "#m",
    "floordiv": "#m = affine_map<(d0) -> (d0" + " floordiv 7" * N + ")>\n" + HOLD % "#m",
    "set": "#m = affine_set<(d0) : (d0" + " + d0 * 2" * N + " >= 0)>\n" + HOLD % "#m",
    "subscript": "func.func @f(%m: memref<4xf32>, %x: index) {\n  %q = affine.load %m[%x" + " + 1" * N + "] : memref<4xf32>\n  return\n}\n",
    "lists": chain("#a0 = [1]", "> = [<]"),
    "dictionaries": chain("#a0 = {x = 1}", "> = {x = <}"),
    "types": chain("!a0 = tuple<i32>", "> = tuple\u27e8<\u27e9", sign="!").replace("\u27e8", "<").replace("\u27e9", ">"),
    "functions": chain("!a0 = () -> ()", "> = (<) -\u27e9 ()", sign="!").replace("\u27e9", ">"),
    "encodings": chain("#a0 = 1", "> = tensor\u27e82xf32, <\u27e9").replace("\u27e8", "<").replace("\u27e9", ">"),
    "locations": chain('#a0 = loc("x")', '> = loc("y"(<))', "func.func private @f() loc(%s)\n"),
    "fused": chain('#a0 = loc("x")', '> = loc(fused[<, "z"])', "func.func private @f() loc(%s)\n"),
    "calls": chain('#a0 = loc("x")', '> = loc(callsite(< at "z"))', "func.func private @f() loc(%s)\n"),
    "not used": chain("#a0 = [1]", "> = [<]", "// %s\n"),
    "brackets between comments": "// )\n".join(["module {\n"] * 1000),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep(welford, tmp_path, name):
    (tmp_path / "deep.mlir").write_text(DEEP[name])
    for verb in ("opt", "exec"):
        assert "nested too deeply" in welford.run(verb, tmp_path / "deep.mlir").failed(1).stderr


def test_not_deep(welford, tmp_path):
    """Aliases of one value, brackets in strings and comments, many operators apart: nothing nests."""
    text = "#a0 = [1]\n" + "".join(f"#a{i} = #a{i - 1}\n" for i in range(1, 2000)) + HOLD % "#a1999"
    text += "// " + "(" * 2000 + "\n" + 'func.func private @g() attributes {m = "' + "[" * 2000 + '"}\n'
    text += "func.func private @h() attributes {m = dense<[" + ", ".join(["-1"] * 2000) + "]> : tensor<2000xi64>}\n"
    text += "".join(f"#m{i} = affine_map<(d0, d1) -> (d0 + d1 * 2 - 3, d1 mod 4)>\n" for i in range(1000))
    (tmp_path / "flat.mlir").write_text(text)
    welford.run("opt", tmp_path / "flat.mlir").ok()


# ---- resources

RESOURCE = """func.func @main(%%x: tensor<2xf32>) -> tensor<2xf32> {
  %%w = arith.constant dense_resource<w> : tensor<2xf32>
  %%0 = arith.addf %%x, %%w : tensor<2xf32>
  return %%0 : tensor<2xf32>
}
{-#
  dialect_resources: {
    builtin: {
      %s: "0x%s0000803F00000040"
    }
  }
#-}
"""


@pytest.mark.parametrize("alignment", [0, 3, 12, 1 << 21, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("verb", ["opt", "exec"])
def test_alignment(mlir, welford, alignment, verb):  # noqa: F811
    f = mlir(RESOURCE % ("w", alignment.to_bytes(4, "little").hex()))
    done = welford.run("opt", f.path) if verb == "opt" else f.run(np.zeros(2, "f4"))
    assert f"f.mlir:9:10: the resource 'w' has an alignment of {alignment} bytes" in done.failed(1).stderr


def test_resources(mlir):  # noqa: F811
    x = np.zeros(2, "f4")
    for alignment in (1, 4, 64, 4096):
        assert np.array_equal(mlir(RESOURCE % ("w", alignment.to_bytes(4, "little").hex()))(x)[0], np.array([1, 2], "f4"))
    assert "'w'" in mlir(RESOURCE % ("other", "04000000")).run(x).failed(1).stderr
    assert "'w'" in mlir((RESOURCE % ("w", "04000000")).replace("00000040\"", "\"")).run(x).failed(1).stderr


@pytest.mark.parametrize("element", ["i4", "f8E4M3FN", "i128", "f32"])
def test_part_of_a_resource(welford, mlir, element):  # noqa: F811
    """Upstream's folder of slices aborts on resources."""
    one = f"tensor<1x{element}>"
    f = mlir(f"""func.func @main() -> {one} {{
      %w = "tosa.const"() <{{values = dense_resource<w> : tensor<2x{element}>}}> : () -> tensor<2x{element}>
      %n = tosa.const_shape {{values = dense<1> : tensor<1xindex>}} : () -> !tosa.shape<1>
      %y = tosa.slice %w, %n, %n : (tensor<2x{element}>, !tosa.shape<1>, !tosa.shape<1>) -> {one}
      return %y : {one}
    }}
    {{-# dialect_resources: {{ builtin: {{ w: "0x040000000000803F00000040" }} }} #-}}""")
    for verb in ("opt", "exec"):
        done = welford.run(verb, f.path)
        if element == "f32":
            done.ok()
        else:
            assert re.search(r"f\.mlir:2:12: .*(not supported|cannot be compiled)", done.failed(1).stderr), done.stderr


# ---- files of other kinds

def zipped(*names):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        for name in names:
            z.writestr(name, "x")
    return data.getvalue()


def saved(array):
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


KINDS = {
    "model.onnx": (b"\x08\x0a\x12\x07pytorch\x1a\x052.1.0:\x10graph of no nodes", "an ONNX file: no verb takes it"),
    "model.pt2": (zipped("m/models/model.json", "m/archive_format"), "a program of torch.export"),
    "model.pt": (zipped("model/data.pkl", "model/version"), "a PyTorch checkpoint"),
    "model.bin": (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "a Python pickle"),
    "arrays.npz": (zipped("a.npy"), "a NumPy archive"),
    "array.npy": (saved(np.ones(3)), "a NumPy array: `welford exec` takes it by -i"),
    "model.safetensors": (b"\x14\x00\x00\x00\x00\x00\x00\x00" + b'{"__metadata__":{}  }', "a safetensors file"),
    "model.tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(32), "a TensorFlow Lite file"),
    "model.gz": (b"\x1f\x8b\x08" + bytes(20), "compressed by gzip"),
    "page.html": (b"<!DOCTYPE html>\n<html></html>", "a web page"),
    "config.json": (b'{\n  "model_type": "llama"\n}', "a JSON file"),
    "module.bc": (b"BC\xc0\xde" + bytes(20), "LLVM bitcode"),
}


@pytest.mark.parametrize("name", KINDS)
def test_kind(welford, tmp_path, name):
    data, what = KINDS[name]
    (tmp_path / name).write_bytes(data)
    for verb, *prompt in (["exec"], ["opt"], ["info"], ["run", "hello"]):
        stderr = welford.run(verb, tmp_path / name, *prompt).failed(1).stderr
        assert name in stderr and what in stderr, (verb, stderr)


def test_models_and_graphs(welford, tmp_path):
    """Each verb names the other."""
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(60))
    (tmp_path / "g.mlir").write_text("// a graph\n\nmodule {\n}\n")
    welford.run("opt", tmp_path / "g.mlir", "-o", tmp_path / "g.mlirbc").ok()
    for verb in ("opt", "exec"):
        assert "m.gguf: no MLIR, but a GGUF file, a model: `welford run` takes it" in welford.run(verb, tmp_path / "m.gguf").failed(1).stderr
    for name, what in (("g.mlir", "MLIR text"), ("g.mlirbc", "MLIR bytecode")):
        assert f"{what}: `welford exec` and `opt` take it" in welford.run("info", tmp_path / name).failed(1).stderr


TWO = "tensor<2x8xf32>"


@pytest.mark.parametrize("dialect, place, body", [
    ("onnx", "2:20", f'  %0 = "onnx.Exp"(%a) : ({TWO}) -> {TWO}'),
    ("stablehlo", "2:8", f"  %0 = stablehlo.exponential %a : {TWO}"),
    ("torch", "2:20", f'  %0 = "torch.op"(%a) : ({TWO}) -> !torch.vtensor<[2,8],f32>'),
    ("my_own", "2:8", f"  %0 = my_own.op %a : {TWO}"),
])
def test_dialect(mlir, dialect, place, body):  # noqa: F811
    f = mlir(f"func.func @main(%a: {TWO}) -> {TWO} {{\n{body}\n  return %0 : {TWO}\n}}")
    stderr = f.run(np.zeros((2, 8), "f4")).failed(1).stderr
    assert f"dialect {dialect} is not known here: " in stderr and f"f.mlir:{place.split(':')[0]}:" in stderr, stderr


def test_newer_bytecode(welford, tmp_path):
    (tmp_path / "g.mlir").write_text("module {\n}\n")
    welford.run("opt", tmp_path / "g.mlir", "-o", tmp_path / "g.mlirbc").ok()
    data = bytearray((tmp_path / "g.mlirbc").read_bytes())
    data[4] = 2 * 60 + 1  # the version, a number of one byte
    (tmp_path / "g.mlirbc").write_bytes(data)
    stderr = welford.run("opt", tmp_path / "g.mlirbc").failed(1).stderr
    assert "g.mlirbc: written by MLIR of a newer version" in stderr and "text in generic form" in stderr


# ---- reasons of exec

FOUR = "tensor<4xf32>"
REASONS = {
    "stride": ("f.mlir:2:12: tensor.extract_slice has a stride of -1",
               f"%0 = tensor.extract_slice %a[3] [4] [-1] : {FOUR} to {FOUR}"),
    "loop": ("f.mlir:2:14: tosa.while_loop is a loop",
             f"""%0:2 = tosa.while_loop (%i = %a, %v = %a) : ({FOUR}, {FOUR}) -> ({FOUR}, {FOUR}) {{
               %z = "tosa.const"() <{{values = dense<1> : tensor<i32>}}> : () -> tensor<i32>
               %c = tosa.greater %z, %z : (tensor<i32>, tensor<i32>) -> tensor<i1>
               tosa.yield %c : tensor<i1>
             }} do {{
             ^bb0(%i: {FOUR}, %v: {FOUR}):
               tosa.yield %i, %v : {FOUR}, {FOUR}
             }}"""),
    "declared": ("f.mlir:2:7: a call of @rtclock, which is declared in the file, but has no body there",
                 "call @rtclock() : () -> ()"),
}


@pytest.mark.parametrize("name", REASONS)
def test_reason(mlir, name):  # noqa: F811
    reason, body = REASONS[name]
    result = "%0" if name == "stride" else "%a"
    f = mlir(f"func.func @main(%a: {FOUR}) -> {FOUR} {{\n      {body}\n      return {result} : {FOUR}\n}}\n"
             "func.func private @rtclock()\n")
    assert reason in f.run(np.zeros(4, "f4")).failed(1).stderr


def test_encoding(mlir):  # noqa: F811
    t = 'tensor<4xf32, "enc">'
    f = mlir(f"func.func @main(%a: {t}) -> {t} {{\n  %y = math.exp %a : {t}\n  return %y : {t}\n}}")
    assert "f.mlir:2:8: math.exp has a tensor with an encoding" in f.run(np.zeros(4, "f4")).failed(1).stderr


def test_no_function(mlir):  # noqa: F811
    f = mlir(f"module {{\n  module @inner {{\n    func.func @main(%a: {FOUR}) -> {FOUR} {{\n      return %a : {FOUR}\n    }}\n  }}\n}}")
    assert "f.mlir: there is no function but in an inner module" in f.run(np.zeros(4, "f4")).failed(2).stderr
    assert "f.mlir: there is no function" in mlir("module {\n}").run().failed(2).stderr
    assert "no public function with a body" in mlir("func.func private @f()").run().failed(2).stderr
