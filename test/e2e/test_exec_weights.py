"""Weights of functions: constants of the graph, and arguments that a safetensors file brings. However they come, they are
packed once, as a checkpoint's are, and the same kernels read them."""
import json
import os
import re
import struct
import subprocess
import time

import numpy as np
import pytest

RNG = np.random.default_rng(11)
DTYPES = {"float32": "F32", "float16": "F16", "int64": "I64", "float64": "F64"}
IDS = np.array([3, 99, 0, 7, 50])
EMBEDDING, W_IN = RNG.standard_normal((100, 64), dtype="f4"), RNG.standard_normal((64, 128), dtype="f4")
BIAS, W_OUT = RNG.standard_normal(128, dtype="f4"), RNG.standard_normal((48, 128), dtype="f4")

# An embedding; a product with a matrix [in, out] and a bias; one with a matrix [out, in].
LAYERS = '''  %e0 = tensor.empty() : tensor<5x64xf32>
  %e = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%ids : tensor<5xi64>) outs(%e0 : tensor<5x64xf32>) {
  ^bb0(%i: i64, %o: f32):
    %k = arith.index_cast %i : i64 to index
    %c = linalg.index 1 : index
    %v = tensor.extract %table[%k, %c] : tensor<100x64xf32>
    linalg.yield %v : f32
  } -> tensor<5x64xf32>
  %zero = arith.constant 0.0 : f32
  %m0 = tensor.empty() : tensor<5x128xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%m0 : tensor<5x128xf32>) -> tensor<5x128xf32>
  %m = linalg.matmul ins(%e, %w_in : tensor<5x64xf32>, tensor<64x128xf32>) outs(%f0 : tensor<5x128xf32>) -> tensor<5x128xf32>
  %b = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%m, %bias : tensor<5x128xf32>, tensor<128xf32>) outs(%m0 : tensor<5x128xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %s = arith.addf %p, %q : f32
    linalg.yield %s : f32
  } -> tensor<5x128xf32>
  %t0 = tensor.empty() : tensor<128x48xf32>
  %t = linalg.transpose ins(%w_out : tensor<48x128xf32>) outs(%t0 : tensor<128x48xf32>) permutation = [1, 0]
  %n0 = tensor.empty() : tensor<5x48xf32>
  %g0 = linalg.fill ins(%zero : f32) outs(%n0 : tensor<5x48xf32>) -> tensor<5x48xf32>
  %n = linalg.matmul ins(%b, %t : tensor<5x128xf32>, tensor<128x48xf32>) outs(%g0 : tensor<5x48xf32>) -> tensor<5x48xf32>
  return %n : tensor<5x48xf32>
}
'''
WEIGHTS = {"table": EMBEDDING, "w_in": W_IN, "bias": BIAS, "w_out": W_OUT}
# In the file, the first and the last argument have names of their own.
PARAMS = {"embedding": EMBEDDING, "2": W_IN, "argument3": BIAS, "out.weight": W_OUT}
LAYOUTS = [["plain", "embedding"], ["f32x16", "argument2^T"], ["f32", "argument3"], ["f32x16", "out.weight"]]


def tensor_type(a) -> str:
    return f"tensor<{'x'.join(map(str, a.shape))}x{ {'float32': 'f32', 'float16': 'f16'}[str(a.dtype)]}>"


def dense(name: str, a) -> str:
    return f'  %{name} = arith.constant dense<"0x{a.tobytes().hex().upper()}"> : {tensor_type(a)}\n'


def resource(name: str, a) -> tuple[str, str]:
    """A constant, and what the file says of it at its end."""
    return (f"  %{name} = arith.constant dense_resource<{name}> : {tensor_type(a)}\n",
            f'      {name}: "0x40000000{a.tobytes().hex().upper()}"')


def constants_text(function: str = "main", layers: str = LAYERS) -> str:
    return f"func.func @{function}(%ids: tensor<5xi64>) -> tensor<5x48xf32> {{\n" + \
        "".join(dense(name, a) for name, a in WEIGHTS.items()) + layers


def resources_text() -> str:
    parts = [resource(name, a) for name, a in WEIGHTS.items()]
    return "func.func @main(%ids: tensor<5xi64>) -> tensor<5x48xf32> {\n" + "".join(p[0] for p in parts) + LAYERS + \
        "{-#\n  dialect_resources: {\n    builtin: {\n" + ",\n".join(p[1] for p in parts) + "\n    }\n  }\n#-}\n"


def arguments_text() -> str:
    names = {"table": ' {wf.name = "embedding"}', "w_out": ' {wf.name = "out.weight"}'}
    return "func.func @main(%ids: tensor<5xi64>" + \
        "".join(f", %{name}: {tensor_type(a)}{names.get(name, '')}" for name, a in WEIGHTS.items()) + \
        ") -> tensor<5x48xf32> {\n" + LAYERS


def write_safetensors(path, tensors: dict, types=DTYPES):
    header, data = {}, b""
    for name, a in tensors.items():
        header[name] = {"dtype": types[str(a.dtype)], "shape": list(a.shape),
                        "data_offsets": [len(data), len(data) + a.nbytes]}
        data += a.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture
def files(welford, tmp_path, fresh_cache):
    (tmp_path / "constants.mlir").write_text(constants_text())
    (tmp_path / "resources.mlir").write_text(resources_text())
    (tmp_path / "arguments.mlir").write_text(arguments_text())
    write_safetensors(tmp_path / "p.safetensors", PARAMS)
    np.save(tmp_path / "ids.npy", IDS)
    return tmp_path


@pytest.fixture
def call(welford, files):
    def run(name: str, *options, inputs=("ids.npy",), **how):
        out = files / "out.npy"
        done = welford.run("exec", name, *options, *(x for i in inputs for x in ("-i", i)), "-o", out, cwd=files, **how).ok()
        return np.load(out), done
    return run


def origin(done) -> str:
    """Where the report says the packed weights are from."""
    return re.search(r"^weights +\d+ bytes, (.*)$", done.stderr, re.M)[1]


def tables(plan: str) -> list[list[str]]:
    """Layout and tensors of each weight."""
    body = plan.split("tensors\n")[1].split("\n\n")[0]
    return [re.split(" {2,}", line.strip())[3::2] for line in body.splitlines()]


def kernels(plan: str) -> list[str]:
    return [line[7:].split()[0].replace("+", "") for line in plan.split("calls\n")[1].splitlines()[1:]]


def packs(cache):
    return {p.name: p.stat().st_mtime_ns for p in cache.glob("*/*.wfpack")}


# ---- the same bits


@pytest.mark.parametrize("cpu", ["native", "haswell"])
def test_constants_and_params_give_the_same_bits(call, cpu):
    env = {} if cpu == "native" else {"WELFORD_CPU": cpu}
    constants, plan = call("constants.mlir", "--print-plan", env=env)
    exact = (EMBEDDING[IDS].astype("f8") @ W_IN + BIAS) @ W_OUT.T.astype("f8")
    assert np.abs(constants - exact).max() < 1e-3
    assert [layout for layout, _ in tables(plan.stderr)] == [layout for layout, _ in LAYOUTS]
    assert "constants  0 bytes" in plan.stderr
    for name, options in (("resources.mlir", []), ("arguments.mlir", ["--params", "p.safetensors"])):
        values, other = call(name, "--print-plan", *options, env=env)
        assert values.tobytes() == constants.tobytes(), name
        assert kernels(other.stderr) == kernels(plan.stderr)
    assert tables(other.stderr) == LAYOUTS


def test_every_type_of_weights(call, files):
    """Each type gives the same bits from constants, from params, and from a .wf file; the last two from cached packs too."""
    exact = (EMBEDDING[IDS].astype("f8") @ W_IN + BIAS) @ W_OUT.T.astype("f8")
    for weights, bound in (("f32", 1e-6), ("bf16", 1e-2), ("q8_0", 2e-2), ("q4_0", 0.2)):
        first, _ = call("constants.mlir", "--weights", weights)
        assert np.abs(first - exact).max() < bound * np.abs(exact).max()
        for _ in range(2):
            values, done = call("arguments.mlir", "--weights", weights, "--params", "p.safetensors", "--print-plan")
            assert values.tobytes() == first.tobytes()
            assert f"{weights}x16" in done.stderr
        for name, options in (("constants.mlir", []), ("arguments.mlir", ["--params", "p.safetensors"])):
            call.welford.run("compile", name, *options, "--weights", weights, "-o", "f.wf", cwd=files).ok()
            assert call("f.wf")[0].tobytes() == first.tobytes()


@pytest.fixture(autouse=True)
def attach(request):
    """What tests run beside `call`."""
    if "call" in request.fixturenames:
        request.getfixturevalue("call").welford = request.getfixturevalue("welford")


def q8_rows(x):
    """[rows, blocks, 32] quants and [rows, blocks] scales of rows in blocks of 32, as GGUF's Q8_0 has them."""
    blocks = x.reshape(len(x), -1, 32)
    scale = np.abs(blocks).max(-1) / np.float32(127)
    inverse = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0).astype("f4")
    scaled = blocks * inverse[..., None]
    return np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled).astype("i8"), scale


def test_q8_0_is_what_a_checkpoint_multiplies(call, files, welford):
    """The kernels are those of a checkpoint with these weights, and the numbers those that its blocks stand for."""
    x = RNG.standard_normal((1, 3, 64), dtype="f4")
    np.save(files / "x.npy", x)
    (files / "l.mlir").write_text(
        f"func.func @main(%x: tensor<1x3x64xf32>) -> tensor<1x3x48xf32> {{\n{dense('w', W_OUT[:, :64].copy())}"
        '  %y = "wf.linear"(%x, %w) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : '
        "(tensor<1x3x64xf32>, tensor<48x64xf32>) -> tensor<1x3x48xf32>\n  return %y : tensor<1x3x48xf32>\n}\n")
    y, plan = call("l.mlir", "--weights", "q8_0", "--print-plan", inputs=["x.npy"])
    model = welford.run("bench", "test/data/tiny/llama", "-p", "4", "-n", "0", "-r", "1", "--weights", "q8_0", "--print-plan",
                        "--no-fuse=linear-residual,quantize-output")
    assert [k for k in kernels(plan.stderr)] == ["quantize_64_q8", "linear_q8_0x16_64"]
    assert {"quantize_64_q8", "linear_q8_0x16_64"} <= set(kernels(model.ok().stderr))
    q, scale = q8_rows(W_OUT[:, :64])
    p, own = q8_rows(x[0])
    weights, rows = q * scale.astype("f2").astype("f4")[..., None], p * own[..., None]
    exact = rows.reshape(3, 64).astype("f8") @ weights.reshape(48, 64).T.astype("f8")
    assert np.abs(y[0] - exact).max() < 2e-6 * np.abs(exact).max()


# ---- fusions

DECODER = '''func.func @main(%x: tensor<7x64xf32>ARGUMENTS) -> tensor<7x64xf32> {
CONSTANTS  %n = "wf.rms_norm"(%x, %gain) {eps = 1.0e-5 : f64} : (tensor<7x64xf32>, tensor<64xf32>) -> tensor<7x64xf32>
  %g = "wf.linear"(%n, %gate) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<7x64xf32>, tensor<96x64xf32>) -> tensor<7x96xf32>
  %u = "wf.linear"(%n, %up) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<7x64xf32>, tensor<96x64xf32>) -> tensor<7x96xf32>
  %h = "wf.glu"(%g, %u) {activation = "silu"} : (tensor<7x96xf32>, tensor<7x96xf32>) -> tensor<7x96xf32>
  %d = "wf.linear"(%h, %down) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>} : (tensor<7x96xf32>, tensor<64x96xf32>) -> tensor<7x64xf32>
  %y = arith.addf %x, %d : tensor<7x64xf32>
  return %y : tensor<7x64xf32>
}
'''
MLP = {"gain": RNG.standard_normal(64, dtype="f4"), "gate": RNG.standard_normal((96, 64), dtype="f4"),
       "up": RNG.standard_normal((96, 64), dtype="f4"), "down": RNG.standard_normal((64, 96), dtype="f4")}


@pytest.mark.parametrize("weights", [None, "q8_0"])
def test_fusions_are_those_of_constants(call, files, weights):
    x = RNG.standard_normal((7, 64), dtype="f4")
    np.save(files / "x.npy", x)
    constants = DECODER.replace("ARGUMENTS", "").replace("CONSTANTS", "".join(dense(*item) for item in MLP.items()))
    arguments = DECODER.replace("CONSTANTS", "").replace(
        "ARGUMENTS", "".join(f', %{n}: {tensor_type(a)} {{wf.name = "{n}"}}' for n, a in MLP.items()))
    (files / "c.mlir").write_text(constants)
    (files / "a.mlir").write_text(arguments)
    write_safetensors(files / "m.safetensors", MLP)
    options = ["--weights", weights] if weights else []
    y, report = call("c.mlir", "--report", "--print-plan", *options, inputs=["x.npy"])
    z, other = call("a.mlir", "--report", "--print-plan", "--params", "m.safetensors", *options, inputs=["x.npy"])
    assert y.tobytes() == z.tobytes()
    fused = {line.split()[0]: line.split()[2] for line in other.stderr.splitlines() if re.match(r"\S+ +\d+ +\d+", line)}
    assert fused["linear-swiglu"] == "1" and fused["linear-residual"] == "1"
    assert fused["quantize-output"] == ("2" if weights else "0")
    assert kernels(report.stderr) == kernels(other.stderr) and len(kernels(other.stderr)) == 3
    n = x / np.sqrt((x.astype("f8") ** 2).mean(-1, keepdims=True) + 1e-5) * MLP["gain"]
    gate = n @ MLP["gate"].T
    exact = x + (gate / (1 + np.exp(-gate)) * (n @ MLP["up"].T)) @ MLP["down"].T
    assert np.abs(y - exact).max() < (2e-2 if weights else 1e-5) * np.abs(exact).max()


# ---- packed once


def test_the_second_start_packs_nothing(call, files, fresh_cache):
    for name, options in (("constants.mlir", []), ("arguments.mlir", ["--params", "p.safetensors"])):
        first, done = call(name, "--report", *options)
        assert origin(done) == "packed now"
        before = packs(fresh_cache)
        again, done = call(name, "--report", *options, env={"LD_DEBUG": "files"})
        assert origin(done) == "from the cache" and "libLLVM" not in done.stderr
        assert packs(fresh_cache).keys() == before.keys()
        assert first.tobytes() == again.tobytes()
    assert len(packs(fresh_cache)) == 2


def test_a_lost_pack_is_made_again(call, fresh_cache):
    for name, options in (("constants.mlir", []), ("arguments.mlir", ["--params", "p.safetensors"])):
        first, _ = call(name, *options)
        for path in fresh_cache.glob("*/*.wfpack"):
            path.unlink()
        again, done = call(name, "--report", *options)
        assert origin(done) == "packed now" and first.tobytes() == again.tobytes()


def test_a_changed_file_is_packed_anew(call, files):
    options = ["--params", "p.safetensors", "--report"]
    first, _ = call("arguments.mlir", *options)
    write_safetensors(files / "p.safetensors", {**PARAMS, "argument3": BIAS + 1})
    other, done = call("arguments.mlir", *options)
    assert origin(done) == "packed now"
    exact = (EMBEDDING[IDS].astype("f8") @ W_IN + BIAS + 1) @ W_OUT.T.astype("f8")
    assert np.abs(other - exact).max() < 1e-3 and first.tobytes() != other.tobytes()


def test_sizes_share_a_pack(call, files, fresh_cache):
    """Whether one program is for all sizes or each for its own: one table of weights, one pack."""
    head = "(%x: tensor<?x64xf32>, %w: tensor<64x48xf32>) -> tensor<?x48xf32> {\n"
    product = '''  %z = arith.constant dense<0.0> : tensor<1xf32>
  %a = tosa.const_shape {values = dense<[1, -1, 64]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %b = tosa.const_shape {values = dense<[1, 64, 48]> : tensor<3xindex>} : () -> !tosa.shape<3>
  %c = tosa.const_shape {values = dense<[-1, 48]> : tensor<2xindex>} : () -> !tosa.shape<2>
  %p = tosa.reshape %x, %a : (tensor<?x64xf32>, !tosa.shape<3>) -> tensor<1x?x64xf32>
  %q = tosa.reshape %w, %b : (tensor<64x48xf32>, !tosa.shape<3>) -> tensor<1x64x48xf32>
  %m = tosa.matmul %p, %q, %z, %z : (tensor<1x?x64xf32>, tensor<1x64x48xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x?x48xf32>
  %y = tosa.reshape %m, %c : (tensor<1x?x48xf32>, !tosa.shape<2>) -> tensor<?x48xf32>
'''
    end = "  return %y : tensor<?x48xf32>\n}\n"
    softmax = '''  %e = tensor.empty() : tensor<48xf32>
  %l = arith.constant 0xFF800000 : f32
  %f = linalg.fill ins(%l : f32) outs(%e : tensor<48xf32>) -> tensor<48xf32>
  %r = linalg.reduce ins(%y : tensor<?x48xf32>) outs(%f : tensor<48xf32>) dimensions = [0]
    (%i: f32, %o: f32) {
      %s = arith.maximumf %i, %o : f32
      linalg.yield %s : f32
    }
  return %r : tensor<48xf32>
}
'''
    (files / "any.mlir").write_text("func.func @main" + head + product + end)
    (files / "each.mlir").write_text("func.func @main" + head.replace("tensor<?x48xf32> {", "tensor<48xf32> {") + product + softmax)
    write_safetensors(files / "w.safetensors", {"1": W_IN[:, :48].copy()})
    for name, sizes in (("any.mlir", "any"), ("each.mlir", "those of these arrays")):
        for rows in (1, 5, 16):
            x = RNG.standard_normal((rows, 64), dtype="f4")
            np.save(files / "x.npy", x)
            y, done = call(name, "--params", "w.safetensors", "--report", "--print-plan", inputs=["x.npy"])
            assert re.search(f"^sizes +{sizes}", done.stderr, re.M)
            assert [layout for layout, _ in tables(done.stderr)] == ["f32x16"]
            exact = x.astype("f8") @ W_IN[:, :48]
            assert np.abs(y - (exact if name == "any.mlir" else exact.max(0))).max() < 1e-4
            assert len(packs(fresh_cache)) == 1


# ---- .wf files


def test_wf_files_have_one_pack_for_a_table(call, files):
    """Of two functions with the same constants and of two CPUs there is one; another table is another."""
    two = constants_text("one") + constants_text("two").replace("tensor<5xi64>)", "tensor<5xi64>, %more: tensor<3xf32>)", 1)
    (files / "two.mlir").write_text(two)
    (files / "other.mlir").write_text(two + constants_text("three").replace(W_OUT.tobytes().hex().upper(),
                                                                          (-W_OUT).tobytes().hex().upper()))
    first, plan = call("constants.mlir", "--print-plan")
    bytes_packed = int(re.search(r"^weights +(\d+) bytes", plan.stderr, re.M)[1])
    for name, entries, n_packs in (("two", "one,two", 1), ("other", "one,two,three", 2)):
        call.welford.run("compile", f"{name}.mlir", "--entry", entries, "--cpu", "native,haswell", "-o", f"{name}.wf",
                         cwd=files).ok()
        size = (files / f"{name}.wf").stat().st_size
        assert n_packs * bytes_packed < size < (n_packs + 0.9) * bytes_packed + len(entries.split(",")) * 2 * 20000
        said = re.search("^weights +(.*)$", call.welford.run("info", f"{name}.wf", cwd=files).ok().stdout, re.M)[1]
        assert said == ("83.5 kB, packed" if n_packs == 1 else "166.9 kB, packed, in 2 tables")
    np.save(files / "three.npy", np.zeros(3, "f4"))
    for cpu in ({}, {"WELFORD_CPU": "haswell"}):
        expected, _ = call("constants.mlir", env=cpu)
        assert call("other.wf", "--entry", "one", env=cpu)[0].tobytes() == expected.tobytes()
        assert call("other.wf", "--entry", "two", env=cpu, inputs=["ids.npy", "three.npy"])[0].tobytes() == expected.tobytes()
        assert call("other.wf", "--entry", "three", env=cpu)[0].tobytes() == (-expected).tobytes()


def test_wf_files_bring_params_along(call, files):
    first, _ = call("arguments.mlir", "--params", "p.safetensors")
    call.welford.run("compile", "arguments.mlir", "--params", "p.safetensors", "-o", "f.wf", cwd=files).ok()
    (files / "p.safetensors").unlink()
    values, done = call("f.wf", "--report", env={"WELFORD_COMPILER": "/nowhere"})
    assert values.tobytes() == first.tobytes() and origin(done) == "in the file"
    data = bytearray((files / "f.wf").read_bytes())
    at = data.index(np.ascontiguousarray(EMBEDDING).tobytes())
    data[at + 5] ^= 1
    (files / "f.wf").write_bytes(data)
    assert "wrong checksum of the packed weights" in call.welford.run("exec", "f.wf", "-i", "ids.npy", cwd=files).failed(1).stderr


# ---- memory


def resident(welford, files, *args, low: int, high: int) -> int:
    """The memory, in bytes, of a process that calls the function again and again, once it lies in [low, high): until
    then it is being opened. Half a minute is enough."""
    process = subprocess.Popen([welford.path, "exec", *args, "--time", "1000000"], cwd=files,
                               env={**os.environ, **welford.env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        end, size, within = time.monotonic() + 30, 0, 0
        while within < 5 and time.monotonic() < end:
            time.sleep(0.2)
            assert process.poll() is None, process.stderr.read().decode()
            status = open(f"/proc/{process.pid}/status").read()
            size = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024
            within = within + 1 if low <= size < high else 0
        return size
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif("WELFORD_TEST_SANITIZED" in os.environ, reason="sanitizers need memory of their own")
@pytest.mark.parametrize("form", ["constants", "params", "transposed"])
def test_memory_holds_weights_once(welford, files, form):
    n = 2048
    w = RNG.standard_normal((n, n), dtype="f4")
    np.save(files / "x.npy", np.zeros((1, n), "f4"))
    write_safetensors(files / "w.safetensors", {"w": w})
    head = f"func.func @main(%x: tensor<1x{n}xf32>" + \
        (") " if form == "constants" else f', %w: tensor<{n}x{n}xf32> {{wf.name = "w"}}) ') + f"-> tensor<1x{n}xf32> {{\n"
    text = head + (dense("w", w) if form == "constants" else "")
    factor = "%w"
    if form != "transposed":
        text += f"  %e = tensor.empty() : tensor<{n}x{n}xf32>\n  %t = linalg.transpose ins(%w : tensor<{n}x{n}xf32>) " \
            f"outs(%e : tensor<{n}x{n}xf32>) permutation = [1, 0]\n"
        factor = "%t"
    text += f"  %z = arith.constant 0.0 : f32\n  %o = tensor.empty() : tensor<1x{n}xf32>\n" \
        f"  %f = linalg.fill ins(%z : f32) outs(%o : tensor<1x{n}xf32>) -> tensor<1x{n}xf32>\n" \
        f"  %y = linalg.matmul ins(%x, {factor} : tensor<1x{n}xf32>, tensor<{n}x{n}xf32>) " \
        f"outs(%f : tensor<1x{n}xf32>) -> tensor<1x{n}xf32>\n  return %y : tensor<1x{n}xf32>\n}}\n"
    (files / "big.mlir").write_text(text)
    args = ["big.mlir", "-i", "x.npy"] + ([] if form == "constants" else ["--params", "w.safetensors"])
    welford.run("exec", *args, cwd=files).ok()
    bound = w.nbytes + 10 * 2**20  # from the cache: the rest is the program's own
    assert resident(welford, files, *args, low=w.nbytes, high=bound) < bound


# ---- refusals


@pytest.mark.parametrize("tensors, reason", [
    ({**PARAMS, "other": BIAS}, "f.mlir: no argument of the function is called 'other'"),
    ({**PARAMS, "out.weight": W_OUT.T.copy()},
     "argument 4 (out.weight): wrong size: it is 128x48xf32, the function takes 48x128xf32"),
    ({**PARAMS, "2": W_IN.astype("f2")}, "argument 2 (argument2): wrong type: it is 64x128xf16, the function takes 64x128xf32"),
    ({**PARAMS, "argument4": W_OUT}, "f.mlir: argument 4 is given twice, as 'out.weight' and as 'argument4'"),
    ({**PARAMS, "argument2": W_IN}, "p.safetensors: weight 'argument2' is given twice"),
    ({**PARAMS, "5": W_IN}, "f.mlir: no argument of the function is called 'argument5'"),
    ({**PARAMS, "argument3": BIAS[None]},
     "argument 3 (argument3): wrong number of dimensions: it is 1x128xf32, the function takes 128xf32"),
    ({**PARAMS, "argument3": BIAS[:0]}, "p.safetensors: weight 'argument3' has no elements"),
    ({k: v for k, v in PARAMS.items() if k != "2"}, "the function takes 2 arguments, 1 is given"),
])
def test_refuses_params(welford, files, tensors, reason):
    write_safetensors(files / "p.safetensors", tensors)
    (files / "f.mlir").write_text(arguments_text())
    for verb in (["exec", "f.mlir", "-i", "ids.npy"], ["compile", "f.mlir", "-o", "f.wf"]):
        if verb[0] == "compile" and "takes 2 arguments" in reason:
            continue  # such a file asks for the other
        done = welford.run(*verb, "--params", "p.safetensors", cwd=files).failed(2)
        assert done.stderr == f"welford {verb[0]}: {reason}\n"
    assert not (files / "f.wf").exists()


def test_refuses_files(welford, files):
    def fails(*args):
        return welford.run("exec", *args, "-i", "ids.npy", cwd=files)
    assert "nowhere: No such file" in fails("arguments.mlir", "--params", "nowhere").failed(1).stderr
    assert "arguments.mlir: offset 0" in fails("arguments.mlir", "--params", "arguments.mlir").failed(1).stderr
    write_safetensors(files / "u.safetensors", {"2": np.zeros(4, "f4")}, {"float32": "U32"})
    assert "tensor '2' is of U32, which no function takes" in fails("arguments.mlir", "--params", "u.safetensors").failed(1).stderr
    assert "weights 'q9': the types are" in fails("constants.mlir", "--weights", "q9").failed(2).stderr
    welford.run("compile", "constants.mlir", "-o", "c.wf", cwd=files).ok()
    assert "--params is for `welford compile`" in fails("c.wf", "--params", "p.safetensors").failed(2).stderr
    assert "--weights is for `welford compile`" in fails("c.wf", "--weights", "q8_0").failed(2).stderr
    assert "--params is for functions" in welford.run("compile", "test/data/tiny/llama", "--params", "x", "-o", "m.wf").failed(2).stderr


# ---- weights that the graph names itself


def test_a_graph_may_name_its_weights(call, files):
    (files / "named.mlir").write_text(
        'func.func @main(%x: tensor<9x64xf32>) -> tensor<9x48xf32> {\n'
        '  %w = "wf.weight"() {name = "out"} : () -> tensor<48x64xf32>\n'
        '  %b = "wf.weight"() {name = "bias"} : () -> tensor<48xf32>\n'
        '  %y = "wf.linear"(%x, %w, %b) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 1, 0, 0, 0>} : '
        "(tensor<9x64xf32>, tensor<48x64xf32>, tensor<48xf32>) -> tensor<9x48xf32>\n  return %y : tensor<9x48xf32>\n}\n")
    x, w = RNG.standard_normal((9, 64), dtype="f4"), W_OUT[:, :64].copy()
    np.save(files / "x.npy", x)
    write_safetensors(files / "n.safetensors", {"out": w, "bias": BIAS[:48].copy()})
    y, _ = call("named.mlir", "--params", "n.safetensors", inputs=["x.npy"])
    assert np.abs(y - (x.astype("f8") @ w.T + BIAS[:48])).max() < 1e-4
    write_safetensors(files / "n.safetensors", {"out": w})
    done = call.welford.run("exec", "named.mlir", "-i", "x.npy", "--params", "n.safetensors", cwd=files).failed(2)
    assert "named.mlir:3:8: wf.weight names the weight 'bias', which is not given" in done.stderr
    write_safetensors(files / "n.safetensors", {"out": w.astype("f2"), "bias": BIAS[:48].copy()})
    done = call.welford.run("exec", "named.mlir", "-i", "x.npy", "--params", "n.safetensors", cwd=files).failed(2)
    assert "wf.weight names the weight 'out', which is given with another type or size" in done.stderr
