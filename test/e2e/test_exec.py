"""welford exec: functions of graph files on arrays, against NumPy in double precision."""
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import upstream

GRAPHS = Path(__file__).resolve().parents[1] / "graphs"
FILES = sorted(GRAPHS.glob("*/*.mlir"))
ENTRY = re.compile(r"func\.func (?:public )?@main\((.*?)\) -> (.*?) (?:attributes .*)?\{\n")


# ---- arrays

def bf16(x):
    """Float values as bfloat16 bits, rounded to nearest even."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def floats(x):
    """float64 values of any array; uint16 holds bfloat16."""
    if x.dtype == np.uint16:
        return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return x.astype(np.float64) if x.dtype.kind == "f" else x


class Function:
    """A function of a file, called with arrays."""

    def __init__(self, welford, path, tmp_path):
        self.welford, self.path, self.tmp = welford, path, tmp_path

    def run(self, *inputs, n_results=1, options=()):
        args = ["exec", self.path, *options]
        for i, x in enumerate(inputs):
            np.save(self.tmp / f"i{i}.npy", x)
            args += ["-i", self.tmp / f"i{i}.npy"]
        for i in range(n_results):
            args += ["-o", self.tmp / f"o{i}.npy"]
        return self.welford.run(*args)

    def __call__(self, *inputs, n_results=1, options=()):
        self.run(*inputs, n_results=n_results, options=options).ok()
        return [np.load(self.tmp / f"o{i}.npy") for i in range(n_results)]


@pytest.fixture
def function(welford, tmp_path):
    return lambda path: Function(welford, path, tmp_path)


@pytest.fixture
def mlir(welford, tmp_path):
    """A function from its text."""
    def make(text):
        (tmp_path / "f.mlir").write_text(text)
        return Function(welford, tmp_path / "f.mlir", tmp_path)
    return make


# ---- the graphs that torch-mlir wrote

def shapes(path, dynamic):
    """The types of arguments and results: (dims, element)."""
    def parse(types):
        return [([dynamic if d == "?" else int(d) for d in dims.split("x") if d], element)
                for dims, element in re.findall(r"tensor<((?:[\d?]+x)*)(\w+)>", types)]
    match = ENTRY.search(path.read_text())
    return parse(match[1]), parse(match[2])


def random_inputs(path, dynamic=7, scale=0.01):
    """Small values, so that a wrong eps shows."""
    rng = np.random.default_rng(len(path.stem))
    made = []
    for dims, element in shapes(path, dynamic)[0]:
        if element == "i64":
            made.append(rng.integers(0, 256, dims))
        else:
            x = (rng.standard_normal(dims) * scale).astype(np.float32)
            made.append(bf16(x) if element == "bf16" else x)
    return made


def resources(path):
    """The weights that a file holds, by name: gamma before beta."""
    found = re.findall(r"(torch_tensor_[\w.]*?(float32|bfloat16)(?:_\d+)?): \"0x0\d000000(\w+)\"", path.read_text())
    return [floats(np.frombuffer(bytes.fromhex(data), "<f4" if kind == "float32" else "<u2")) for _, kind, data in sorted(found)]


def reference(path, inputs):
    """The results in double precision; None when only comparisons between our own ways are made."""
    name, weights, x = path.stem, resources(path), [floats(i) for i in inputs]
    if name.startswith(("layernorm", "ln_")):
        mean = x[0].mean(-1, keepdims=True)
        y = (x[0] - mean) / np.sqrt(((x[0] - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
        return [y * weights[0] + weights[1] if weights else y]
    if name.startswith(("rms", "resid")):
        h = x[0] + x[1] if name.startswith("resid") else x[0]
        eps = 0 if "epsnone" in name else 1e-5 if name.startswith("rms_hand") else 1e-6
        y = h / np.sqrt((h ** 2).mean(-1, keepdims=True) + eps) * (weights[0] + ("gemma" in name))
        return [y, h] if name.startswith("resid") else [y]
    if name.startswith("sdpa"):
        q, k, v = x[:3]
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        n = q.shape[-2]
        if name != "sdpa_full":
            scores = scores + (x[3] if len(x) > 3 else np.where(np.tri(n), 0, -np.inf))
        e = np.exp(scores - scores.max(-1, keepdims=True))
        return [e / e.sum(-1, keepdims=True) @ v]
    return None


def close(results, wanted, element_bits):
    for y, want in zip(results, wanted, strict=True):
        assert y.shape == want.shape
        tolerance = {24: 3e-6, 8: 2.0 ** -6}[element_bits]  # of bf16: a few roundings on the way
        assert np.abs(floats(y) - want).max() <= tolerance * max(1, np.abs(want).max())


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_graph(function, path):
    """Every graph gives what NumPy gives: raised, written out in linalg, and by upstream's lowering alone."""
    inputs, n = random_inputs(path, scale=1 if "sdpa" in path.stem else 0.01), len(shapes(path, 7)[1])
    f = function(path)
    raised = f(*inputs, n_results=n)
    want = reference(path, inputs) or [floats(y) for y in f(*inputs, n_results=n, options=["--no-raise"])]
    bits = 8 if "bf16" in path.stem else 24
    close(raised, want, bits)
    for options in (["--no-raise"], ["--no-fuse=kernels"], ["--no-fuse=elementwise,chain", "-t", "1"]):
        close(f(*inputs, n_results=n, options=options), want, bits)


@pytest.mark.parametrize("path", [p for p in FILES if "_dyn" in p.stem], ids=lambda p: f"{p.parent.name}/{p.stem}")
@pytest.mark.parametrize("size", [1, 7, 64])
def test_dynamic_sizes(function, path, size):
    inputs, n = random_inputs(path, size, scale=1 if "sdpa" in path.stem else 0.01), len(shapes(path, size)[1])
    close(function(path)(*inputs, n_results=n), reference(path, inputs), 8 if "bf16" in path.stem else 24)


def test_whole_model(function):
    """Two layers of Qwen2: the raised form equals the plain one, and does not depend on the threads."""
    path = next(p for p in FILES if "qwen2" in p.stem)
    ids, f = random_inputs(path), function(path)
    raised, plain = f(*ids)[0], f(*ids, options=["--no-raise"])[0]
    assert np.abs(raised - plain).max() <= 1e-5 and np.std(plain) > 0.1
    assert np.array_equal(raised, f(*ids, options=["-t", "3"])[0])
    assert np.array_equal(raised, f(*ids, options=["-t", "1"])[0])


def test_norm_kernels_run(welford, tmp_path, function):
    """A raised norm is one call of the norm kernel and nothing else."""
    path = GRAPHS / "tosa" / "layernorm_affine.mlir"
    done = function(path).run(*random_inputs(path), options=["--print-plan"]).ok()
    calls = re.findall(r"^[+ ] *\d+ .*$", done.stderr, re.M)
    assert len(calls) == 1 and "layer_norm" in calls[0]


@pytest.mark.parametrize("rows, calls", [(1, 2), (3, 2), (4, 1)])
def test_long_norm(mlir, rows, calls):
    """Threads share a row where rows are few and long; the results are the same bits for any number of threads."""
    t, n = f"tensor<{rows}x40003xf32>", 40003
    f = mlir(f"""func.func @main(%a: {t}, %r: {t}, %g: tensor<{n}xf32>) -> ({t}, {t}) {{
  %0 = "wf.layer_norm"(%a, %g, %g) {{eps = 1.0e-5 : f64, operandSegmentSizes = array<i32: 1, 1, 1>}} : ({t}, tensor<{n}xf32>, tensor<{n}xf32>) -> {t}
  %h, %y = "wf.residual_norm"(%0, %r, %g) {{eps = 1.0e-5 : f64}} : ({t}, {t}, tensor<{n}xf32>) -> ({t}, {t})
  return %h, %y : {t}, {t}
}}""")
    a, r, g = RNG.standard_normal((rows, n)) + 3, RNG.standard_normal((rows, n)), RNG.standard_normal(n)
    a, r, g = (x.astype("f4") for x in (a, r, g))
    done = f.run(a, r, g, n_results=2, options=["--print-plan"]).ok().stderr
    assert kernels(done, r"layer_norm_\w+") == kernels(done, r"rms_norm_\w+") == calls, done
    results = [np.load(f.tmp / f"o{i}.npy") for i in range(2)]
    a, r, g = map(floats, (a, r, g))
    h = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5) * g + g + r
    close(results, [h, h / np.sqrt((h ** 2).mean(-1, keepdims=True) + 1e-5) * g], 24)
    for threads in "13":
        again = f(*(x.astype("f4") for x in (a, r, g)), n_results=2, options=["-t", threads])
        assert all(np.array_equal(x, y) for x, y in zip(results, again, strict=True))


# ---- fusions

QWEN2 = GRAPHS / "tosa" / "qwen2_tiny_s16.mlir"
FUSIONS = {  # what the two layers hold, and the kernel that shows it: how many calls of it, with the fusion and without
    "qkv": (2, r"linear_f32x16_64_bias", 2, 6),
    "linear-swiglu": (2, r"linear_\w*_swiglu", 2, 0),
    "linear-residual": (4, r"linear_\w*_residual", 4, 0),
}


def report(text):
    """The table of --report: name to found, fused."""
    return {name: (int(found), int(fused)) for name, found, fused in re.findall(r"^([a-z-]+) +(\d+) +(\d+)", text, re.MULTILINE)}


def kernels(text, pattern):
    return sum(re.match(rf"\+? *\d+ +{pattern} ", line) is not None for line in text.splitlines())


@pytest.mark.parametrize("name", FUSIONS)
def test_fusion(function, name):
    """A fusion takes effect in the graph and in the plan, and its switch takes it back; the results are the same."""
    found, pattern, with_it, without = FUSIONS[name]
    ids, f = random_inputs(QWEN2), function(QWEN2)
    on = f.run(*ids, options=["--report", "--print-plan"]).ok().stderr
    fused = np.load(f.tmp / "o0.npy")
    assert report(on)[name] == (found, found) and kernels(on, pattern) == with_it
    off = f.run(*ids, options=["--report", "--print-plan", f"--no-fuse={name}"]).ok().stderr
    assert report(off)[name] == (report(on)[name][0], 0) and "switched off" in off and kernels(off, pattern) == without
    assert np.abs(np.load(f.tmp / "o0.npy") - fused).max() <= 1e-5


def test_one_fusion(function):
    """--fuse: that one and no other; what was raised stays."""
    ids, f = random_inputs(QWEN2), function(QWEN2)
    done = f.run(*ids, options=["--report", "--fuse=linear-residual,kernels"]).ok().stderr
    assert [name for name, (_, fused) in report(done).items() if fused] == ["linear-residual"]


@pytest.mark.parametrize("road", ["tosa", "linalg"])
def test_residual_norm(function, road):
    """A sum and its norm are one call, which writes both."""
    path = GRAPHS / road / "resid_rms.mlir"
    inputs = random_inputs(path)
    f = function(path)
    done = f.run(*inputs, n_results=2, options=["--report", "--print-plan"]).ok().stderr
    assert report(done)["residual-norm"] == (1, 1) and kernels(done, r"rms_norm_\w*_residual\w*") == 1
    assert len([line for line in done.splitlines() if " tiles " in line]) == 1
    close([np.load(f.tmp / f"o{i}.npy") for i in range(2)], reference(path, inputs), 24)
    off = f.run(*inputs, n_results=2, options=["--print-plan", "--no-fuse=residual-norm"]).ok().stderr
    assert kernels(off, r"rms_norm_\w*_residual\w*") == 0 and kernels(off, r"rms_norm_\w*") == 1


LINEAR = "operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>"
# What stands between a linear and its use, and what the report says of it.
PARTED = {
    "a slice parts the linear from its use": f"""
  %p = "wf.linear"(%x, %w) {{{LINEAR}}} : (tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<32x64xf32>
  %g = tensor.extract_slice %p[0, 0] [32, 32] [1, 1] : tensor<32x64xf32> to tensor<32x32xf32>
  %u = tensor.extract_slice %p[0, 32] [32, 32] [1, 1] : tensor<32x64xf32> to tensor<32x32xf32>""",
    "a transposition parts the linear from its use": f"""
  %v = tensor.extract_slice %w[0, 0] [32, 64] [1, 1] : tensor<64x64xf32> to tensor<32x64xf32>
  %g = "wf.linear"(%x, %v) {{{LINEAR}}} : (tensor<32x64xf32>, tensor<32x64xf32>) -> tensor<32x32xf32>
  %e = tensor.empty() : tensor<32x32xf32>
  %u = linalg.transpose ins(%g : tensor<32x32xf32>) outs(%e : tensor<32x32xf32>) permutation = [1, 0]""",
    "gate and up are not two linears": """
  %g = tensor.extract_slice %x[0, 0] [32, 32] [1, 1] : tensor<32x64xf32> to tensor<32x32xf32>
  %u = tensor.extract_slice %w[0, 0] [32, 32] [1, 1] : tensor<64x64xf32> to tensor<32x32xf32>""",
}


@pytest.mark.parametrize("reason", PARTED)
def test_true_reason(mlir, reason):
    text = ("func.func @main(%x: tensor<32x64xf32>, %w: tensor<64x64xf32>) -> tensor<32x32xf32> {" + PARTED[reason] +
            '\n  %y = "wf.glu"(%g, %u) {activation = "silu"} : (tensor<32x32xf32>, tensor<32x32xf32>) -> tensor<32x32xf32>\n'
            "  return %y : tensor<32x32xf32>\n}\n")
    rng = np.random.default_rng(1)
    done = mlir(text).run(*(rng.standard_normal(s).astype("f4") for s in [(32, 64), (64, 64)]), options=["--report"]).ok()
    assert re.search(rf"^linear-swiglu +1 +0 +1 {reason}$", done.stderr, re.MULTILINE), done.stderr


@pytest.mark.parametrize("constant", [True, False])
def test_fusions_across_reshapes(mlir, constant):
    """View, product, view: the report counts what the plan then calls, and says why weights in arguments stay apart."""
    body = re.search(r"^func\.func @swiglu(.*?^}\n)", (GRAPHS.parent / "lit/raise/rows_forms.mlir").read_text(), re.DOTALL | re.MULTILINE)[1]
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal(s).astype("f4") for s in [(2, 16, 64), (128, 64), (128, 64)]]
    x, gate, up = (a.astype("f8") for a in inputs)
    if constant:
        weights = "".join(f'%{name} = arith.constant dense<"0x{a.tobytes().hex()}"> : tensor<128x64xf32>\n' for name, a in zip("gu", inputs[1:]))
        body = body.replace(", %g: tensor<128x64xf32>, %u: tensor<128x64xf32>", "").replace("{\n", "{\n" + weights, 1)
        inputs = inputs[:1]
    f = mlir(f"func.func @main{body}")
    done = f.run(*inputs, options=["--report", "--print-plan"]).ok().stderr
    g = x @ gate.T
    want = g / (1 + np.exp(-g)) * (x @ up.T)
    assert np.abs(np.load(f.tmp / "o0.npy") - want).max() <= 1e-5 * np.abs(want).max()
    assert report(done)["linear-swiglu"] == (1, int(constant))
    assert kernels(done, r"linear_\w*swiglu\w*") == int(constant)
    assert ("1 no linear kernel takes several weights that are no constants" in done) != constant


def test_subsets_of_fusions(function):
    """Every pair of fusions off, with kernels and without."""
    ids, f = random_inputs(QWEN2), function(QWEN2)
    plain = f(*ids, options=["--no-raise"])[0]
    names = [*FUSIONS, "residual-norm", "kernels"]
    for i, a in enumerate(names):
        for b in names[i:]:
            assert np.abs(f(*ids, options=[f"--no-fuse={a},{b}"])[0] - plain).max() <= 1e-5, (a, b)


LINEAR = """func.func @main(%x: tensor<3x5x32x{t}>, %w0: tensor<16x32x{t}>, %w1: tensor<16x32x{t}>, %b: tensor<{b}x{t}>) -> tensor<{y}x{t}> {{
  %0 = "wf.linear"({operands}) {{operandSegmentSizes = array<i32: {segments}>{more}}} : ({types}) -> tensor<{y}x{t}>
  return %0 : tensor<{y}x{t}>
}}"""
X3, W3, B3 = "tensor<3x5x32x{t}>", "tensor<16x32x{t}>", "tensor<{b}x{t}>"


def linear(operands, segments, t="f32", b="16", y="3x5x16", more=""):
    types = ", ".join({"x": X3, "w": W3, "b": B3}[o[0]] for o in operands).format(t=t, b=b)
    return LINEAR.format(t=t, b=b, y=y, more=more, segments=segments, types=types, operands=", ".join(f"%{o}" for o in operands))


@pytest.mark.parametrize("t", ["f32", "bf16"])
def test_fused_ops_without_kernels(mlir, t):
    """Linears of several weights that no kernel takes (here their weights are arguments) do what they say."""
    x, w0, w1, b = (RNG.standard_normal(s).astype("f4") for s in [(3, 5, 32), (16, 32), (16, 32), 16])
    inputs = [bf16(i) if t == "bf16" else i for i in (x, w0, w1, b)]
    x, w0, w1, b = map(floats, inputs)
    gate = x @ w0.T
    cases = [
        (linear(["x", "w0", "w1"], "1, 1, 1, 0, 0, 0, 0, 0", t, y="3x5x32"), np.concatenate([x @ w0.T, x @ w1.T], -1)),
        (linear(["x", "w0", "w1", "b", "b"], "1, 1, 1, 0, 1, 1, 0, 0", t, y="3x5x32"), np.concatenate([x @ w0.T + b, x @ w1.T + b], -1)),
        (linear(["x", "w0", "w1"], "1, 1, 1, 0, 0, 0, 0, 0", t, more=', glu = "silu"'), gate / (1 + np.exp(-gate)) * (x @ w1.T)),
    ]
    for text, want in cases:
        y = floats(mlir(text)(*inputs)[0])
        assert np.abs(y - want).max() <= (2.0 ** -6 if t == "bf16" else 3e-6) * np.abs(want).max()


@pytest.mark.parametrize("text", [
    linear(["x", "w0", "b"], "1, 1, 0, 0, 1, 0, 0, 0", b="15"),
    linear(["x", "w0", "b"], "1, 1, 0, 0, 0, 0, 0, 1", b="3x5x15"),
    linear(["x", "w0"], "1, 1, 0, 0, 0, 0, 0, 0", y="3x5x17"),
    linear(["x", "w0"], "1, 1, 0, 0, 0, 0, 0, 0", y="3x6x16"),
    linear(["x", "w0", "w1"], "1, 1, 1, 0, 0, 0, 0, 0"),
    linear(["x", "w0", "w1"], "1, 1, 1, 0, 0, 0, 0, 0", y="3x5x33"),
    linear(["x", "w0", "w1"], "1, 1, 1, 0, 0, 0, 0, 0", y="3x5x32", more=', glu = "silu"'),
])
def test_linear_of_wrong_shapes(mlir, text):
    """wf ops in a file are checked as all else is."""
    b = [int(d) for d in re.search(r"%b: tensor<([\dx]+)xf32>", text)[1].split("x")]
    done = mlir(text).run(*(np.ones(s, "f4") for s in [(3, 5, 32), (16, 32), (16, 32), b])).failed(1)
    assert "f.mlir:2:" in done.stderr, done.stderr


@pytest.mark.parametrize("text", [
    '%h, %y = "wf.residual_norm"(%a, %b) {eps = 1.0e-6 : f64} : (T, tensor<4x7xf32>) -> (T, T)',
    '%h, %y = "wf.residual_norm"(%a, %a) {eps = 1.0e-6 : f64} : (T, T) -> (tensor<4x9xf32>, T)',
    '%y = "wf.columns"(%a) {first = 5 : i64} : (T) -> T',
    '%y = "wf.columns"(%a) {first = -1 : i64} : (T) -> T',
])
def test_fused_ops_of_wrong_shapes(mlir, text):
    text = text.replace("T", "tensor<4x8xf32>")
    f = mlir("func.func @main(%a: tensor<4x8xf32>, %b: tensor<4x7xf32>) -> tensor<4x8xf32> {\n" + text + "\nreturn %y : tensor<4x8xf32>\n}")
    done = f.run(np.ones((4, 8), "f4"), np.ones((4, 7), "f4")).failed(1)
    assert "f.mlir:2:" in done.stderr, done.stderr


# ---- upstream's lowering

LLVM = Path("/usr/lib/llvm-22")


@pytest.mark.parametrize("name", ["tosa/qwen2_tiny_s16", "tosa/sdpa_causal", "linalg/sdpa_mask", "tosa/ln_hand_var", "tosa/rms_hand_div",
                                  "tosa/resid_rms_dyn", "linalg/resid_rms_dyn", "linalg/layernorm_affine_dyn", "linalg/rmsnorm_gemma_f32_dyn"])
def test_against_upstream(function, name):
    """Raised and fused, a graph gives what mlir-opt and mlir-runner make of the same file."""
    path = GRAPHS / f"{name}.mlir"
    inputs = random_inputs(path, scale=1)
    wanted = upstream.compute(LLVM, path.read_text(), inputs)
    for y, want in zip(function(path)(*inputs, n_results=len(wanted)), wanted, strict=True):
        assert np.abs(y - want).max() <= 1e-5 * max(1, np.abs(want).max())


# ---- op by op

RNG = np.random.default_rng(1)
A, B = (RNG.standard_normal((3, 5, 37)).astype(np.float32) for _ in range(2))
POSITIVE = np.abs(A) + np.float32(0.1)
UNIT = np.clip(A / 4, -0.99, 0.99).astype(np.float32)
INTS = RNG.integers(-50, 50, (4, 9)).astype(np.int32)
T = "tensor<3x5x37xf32>"


def kernels_of(done) -> set[str]:
    """Names of the kernels in --print-plan, without their sizes."""
    return set(re.findall(r"^[+ ] *\d+ +([a-z_]+)_", done.stderr, re.M))


def test_kernels_of_a_whole_model(function):
    path = GRAPHS / "tosa/qwen2_tiny_s16.mlir"
    ids = np.arange(16, dtype=np.int64).reshape(1, 16)
    done = function(path).run(ids, options=("--print-plan",)).ok()
    assert {"linear", "attention", "rms_norm", "nest"} <= kernels_of(done)
    # of seven linears a layer the fusions leave four; and the head
    assert kernels(done.stderr, r"linear_f32x16_\w*") == 9 and kernels(done.stderr, r"attention_\w*") == 2
    done = function(path).run(ids, options=("--print-plan", "--no-fuse", "kernels")).ok()
    assert kernels_of(done) == {"nest"}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("n", [1, 5, 16, 40, 65, 300])
def test_causal_attention_of_any_length(mlir, n):
    """The sample with another number of tokens: whole groups of keys, and groups that are not full."""
    text = (GRAPHS / "tosa/sdpa_causal.mlir").read_text()
    text = re.sub(r"\b128(?=[x\],])|x128(?=x)", lambda m: m[0].replace("128", str(n)), text)
    text = re.sub(f'dense<"0x[0-9A-F]+"> : tensor<{n}xi64>',
                  f"dense<{list(range(n)) if n > 1 else 0}> : tensor<{n}xi64>", text)
    rng = np.random.default_rng(n)
    q, k, v = (rng.standard_normal((1, 8, n, 64)).astype(np.float32) for _ in range(3))
    scores = (q.astype(np.float64) @ k.astype(np.float64).swapaxes(-1, -2)) / 8
    scores[..., np.triu(np.ones((n, n), bool), 1)] = -np.inf
    f = mlir(text)
    result, = f(q, k, v)
    assert np.abs(result - softmax(scores) @ v).max() < 1e-5
    if n > 1:
        assert "attention" in kernels_of(f.run(q, k, v, options=("--print-plan",)).ok())


@pytest.mark.parametrize("rows, cols, features", [(1, 64, 32), (3, 20, 37), (50, 7, 5), (17, 300, 100)])
def test_linear_with_constant_weights(mlir, rows, cols, features):
    rng = np.random.default_rng(rows)
    w, b = rng.standard_normal((cols, features)).astype(np.float32), rng.standard_normal(features).astype(np.float32)
    hex_of = lambda x: "0x" + x.tobytes().hex().upper()
    f = mlir(f"""
      func.func @main(%x: tensor<{rows}x{cols}xf32>) -> tensor<{rows}x{features}xf32> {{
        %w = arith.constant dense<"{hex_of(w)}"> : tensor<{cols}x{features}xf32>
        %b = arith.constant dense<"{hex_of(b)}"> : tensor<{features}xf32>
        %zero = arith.constant 0.0 : f32
        %e = tensor.empty() : tensor<{rows}x{features}xf32>
        %f = linalg.fill ins(%zero : f32) outs(%e : tensor<{rows}x{features}xf32>) -> tensor<{rows}x{features}xf32>
        %p = linalg.matmul ins(%x, %w : tensor<{rows}x{cols}xf32>, tensor<{cols}x{features}xf32>) outs(%f : tensor<{rows}x{features}xf32>) -> tensor<{rows}x{features}xf32>
        %v = linalg.broadcast ins(%b : tensor<{features}xf32>) outs(%e : tensor<{rows}x{features}xf32>) dimensions = [0]
        %y = linalg.add ins(%p, %v : tensor<{rows}x{features}xf32>, tensor<{rows}x{features}xf32>) outs(%e : tensor<{rows}x{features}xf32>) -> tensor<{rows}x{features}xf32>
        return %y : tensor<{rows}x{features}xf32>
      }}""")
    x = rng.standard_normal((rows, cols)).astype(np.float32)
    result, = f(x)
    assert np.abs(result - (x.astype(np.float64) @ w + b)).max() < 1e-4
    assert "linear" in kernels_of(f.run(x, options=("--print-plan",)).ok())


def unary(op, reference, x=A, tolerance=2e-6):
    return pytest.param(f"%0 = tosa.{op} %a0 : ({T}) -> {T}", [T], T, [x], reference, tolerance, id=op)


def binary(op, reference, x=A, y=B, result="f32"):
    r = f"tensor<3x5x37x{result}>"
    return pytest.param(f"%0 = tosa.{op} %a0, %a1 : ({T}, {T}) -> {r}", [T, T], r, [x, y], reference, 2e-6, id=op)


def case(name, text, types, result, inputs, reference, tolerance=2e-6):
    return pytest.param(text, types, result, inputs, reference, tolerance, id=name)


def reduction(op, reference, axis):
    dims = [3, 5, 37]
    dims[axis] = 1
    r = "tensor<" + "x".join(map(str, dims)) + "xf32>"
    return case(f"{op}-{axis}", f"%0 = tosa.{op} %a0 {{axis = {axis} : i32}} : ({T}) -> {r}", [T], r, [A],
                lambda x: reference(x, axis), 5e-6)


def erf(x):
    from math import erf as one
    return np.vectorize(one)(x)


def conv2d(x, w, b):
    n, h, wide, _ = x.shape
    o, kh, kw, _ = w.shape
    y = np.zeros((n, h - kh + 1, wide - kw + 1, o))
    for i in range(kh):
        for j in range(kw):
            y += np.einsum("nhwc,oc->nhwo", x[:, i:i + h - kh + 1, j:j + wide - kw + 1], w[:, i, j])
    return y + b


ZERO = '%z = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>\n'
SHIFT = '%s = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>\n'
SMALL = "tensor<4x9xi32>"
X4, W4, BIAS = RNG.standard_normal((1, 8, 9, 5)), RNG.standard_normal((7, 3, 2, 5)), RNG.standard_normal(7)
MA, MB = RNG.standard_normal((2, 13, 70)), RNG.standard_normal((2, 70, 45))
INDEX = RNG.integers(0, 5, (3, 6)).astype(np.int32)

OPS = [
    unary("abs", np.abs), unary("ceil", np.ceil), unary("floor", np.floor),
    unary("exp", np.exp), unary("log", np.log, POSITIVE), unary("tanh", np.tanh), unary("erf", erf), unary("sin", np.sin),
    unary("cos", np.cos), unary("reciprocal", lambda x: 1 / x, POSITIVE), unary("rsqrt", lambda x: 1 / np.sqrt(x), POSITIVE),
    unary("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    binary("add", np.add), binary("sub", np.subtract), binary("maximum", np.maximum), binary("minimum", np.minimum),
    binary("pow", np.power, POSITIVE, B),
    binary("greater", np.greater, result="i1"), binary("greater_equal", np.greater_equal, A, A, result="i1"),
    binary("equal", np.equal, A, np.where(B > 0, A, B), result="i1"),
    *[reduction("reduce_sum", lambda x, axis: x.sum(axis, keepdims=True), axis) for axis in range(3)],
    *[reduction("reduce_max", lambda x, axis: x.max(axis, keepdims=True), axis) for axis in range(3)],
    *[reduction("reduce_min", lambda x, axis: x.min(axis, keepdims=True), axis) for axis in range(3)],
    *[reduction("reduce_product", lambda x, axis: x.prod(axis, keepdims=True), axis) for axis in range(3)],
    case("mul", SHIFT + f"%0 = tosa.mul %a0, %a1, %s : ({T}, {T}, tensor<1xi8>) -> {T}", [T, T], T, [A, B], np.multiply),
    case("negate", ZERO + f"%0 = tosa.negate %a0, %z, %z : ({T}, tensor<1xf32>, tensor<1xf32>) -> {T}", [T], T, [A], np.negative),
    case("broadcast", f"%0 = tosa.add %a0, %a1 : ({T}, tensor<1x5x1xf32>) -> {T}", [T, "tensor<1x5x1xf32>"], T,
         [A, B[:1, :, :1]], np.add),
    case("clamp", f"%0 = tosa.clamp %a0 {{min_val = -0.5 : f32, max_val = 0.25 : f32}} : ({T}) -> {T}", [T], T, [A],
         lambda x: np.clip(x, -0.5, 0.25)),
    case("select", f"%0 = tosa.select %a0, %a1, %a2 : (tensor<3x5x37xi1>, {T}, {T}) -> {T}", ["tensor<3x5x37xi1>", T, T], T,
         [A > 0, A, B], np.where),
    case("matmul", ZERO + "%0 = tosa.matmul %a0, %a1, %z, %z : (tensor<2x13x70xf32>, tensor<2x70x45xf32>, tensor<1xf32>, "
         "tensor<1xf32>) -> tensor<2x13x45xf32>", ["tensor<2x13x70xf32>", "tensor<2x70x45xf32>"], "tensor<2x13x45xf32>",
         [MA.astype("f4"), MB.astype("f4")], np.matmul, 3e-6),
    case("conv2d", ZERO + "%0 = tosa.conv2d %a0, %a1, %a2, %z, %z {acc_type = f32, pad = array<i64: 0, 0, 0, 0>, "
         "stride = array<i64: 1, 1>, dilation = array<i64: 1, 1>} : (tensor<1x8x9x5xf32>, tensor<7x3x2x5xf32>, tensor<7xf32>, "
         "tensor<1xf32>, tensor<1xf32>) -> tensor<1x6x8x7xf32>",
         ["tensor<1x8x9x5xf32>", "tensor<7x3x2x5xf32>", "tensor<7xf32>"], "tensor<1x6x8x7xf32>",
         [X4.astype("f4"), W4.astype("f4"), BIAS.astype("f4")], conv2d, 3e-6),
    case("max_pool2d", "%0 = tosa.max_pool2d %a0 {kernel = array<i64: 2, 3>, pad = array<i64: 0, 0, 0, 0>, "
         "stride = array<i64: 2, 3>} : (tensor<1x8x9x5xf32>) -> tensor<1x4x3x5xf32>", ["tensor<1x8x9x5xf32>"], "tensor<1x4x3x5xf32>",
         [X4.astype("f4")], lambda x: x.reshape(1, 4, 2, 3, 3, 5).max((2, 4))),
    case("avg_pool2d", ZERO + "%0 = tosa.avg_pool2d %a0, %z, %z {kernel = array<i64: 2, 3>, pad = array<i64: 0, 0, 0, 0>, "
         "stride = array<i64: 2, 3>, acc_type = f32} : (tensor<1x8x9x5xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x3x5xf32>",
         ["tensor<1x8x9x5xf32>"], "tensor<1x4x3x5xf32>", [X4.astype("f4")], lambda x: x.reshape(1, 4, 2, 3, 3, 5).mean((2, 4))),
    case("transpose", f"%0 = tosa.transpose %a0 {{perms = array<i32: 2, 0, 1>}} : ({T}) -> tensor<37x3x5xf32>", [T],
         "tensor<37x3x5xf32>", [A], lambda x: x.transpose(2, 0, 1)),
    case("reshape", "%c = tosa.const_shape {values = dense<[5, 111]> : tensor<2xindex>} : () -> !tosa.shape<2>\n"
         f"%0 = tosa.reshape %a0, %c : ({T}, !tosa.shape<2>) -> tensor<5x111xf32>", [T], "tensor<5x111xf32>", [A],
         lambda x: x.reshape(5, 111)),
    case("concat", f"%0 = tosa.concat %a0, %a1 {{axis = 1 : i32}} : ({T}, {T}) -> tensor<3x10x37xf32>", [T, T],
         "tensor<3x10x37xf32>", [A, B], lambda x, y: np.concatenate([x, y], 1)),
    case("slice", "%c = tosa.const_shape {values = dense<[1, 0, 3]> : tensor<3xindex>} : () -> !tosa.shape<3>\n"
         "%d = tosa.const_shape {values = dense<[2, 5, 20]> : tensor<3xindex>} : () -> !tosa.shape<3>\n"
         f"%0 = tosa.slice %a0, %c, %d : ({T}, !tosa.shape<3>, !tosa.shape<3>) -> tensor<2x5x20xf32>", [T], "tensor<2x5x20xf32>",
         [A], lambda x: x[1:3, :, 3:23]),
    case("pad", ZERO + "%c = tosa.const_shape {values = dense<[0, 1, 2, 0, 3, 4]> : tensor<6xindex>} : () -> !tosa.shape<6>\n"
         f"%0 = tosa.pad %a0, %c, %z : ({T}, !tosa.shape<6>, tensor<1xf32>) -> tensor<4x7x44xf32>", [T], "tensor<4x7x44xf32>", [A],
         lambda x: np.pad(x, ((0, 1), (2, 0), (3, 4)))),
    case("tile", "%c = tosa.const_shape {values = dense<[2, 1, 3]> : tensor<3xindex>} : () -> !tosa.shape<3>\n"
         f"%0 = tosa.tile %a0, %c : ({T}, !tosa.shape<3>) -> tensor<6x5x111xf32>", [T], "tensor<6x5x111xf32>", [A],
         lambda x: np.tile(x, (2, 1, 3))),
    case("reverse", f"%0 = tosa.reverse %a0 {{axis = 2 : i32}} : ({T}) -> {T}", [T], T, [A], lambda x: x[..., ::-1]),
    case("gather", f"%0 = tosa.gather %a0, %a1 : ({T}, tensor<3x6xi32>) -> tensor<3x6x37xf32>", [T, "tensor<3x6xi32>"],
         "tensor<3x6x37xf32>", [A, INDEX], lambda x, i: np.take_along_axis(x, i[..., None], 1)),
    case("argmax", f"%0 = tosa.argmax %a0 {{axis = 2 : i32}} : ({T}) -> tensor<3x5xi32>", [T], "tensor<3x5xi32>", [A],
         lambda x: x.argmax(2)),
    case("cast-f64", f"%0 = tosa.cast %a0 : ({T}) -> tensor<3x5x37xf64>", [T], "tensor<3x5x37xf64>", [A], lambda x: x),
    case("cast-f16", f"%0 = tosa.cast %a0 : ({T}) -> tensor<3x5x37xf16>", [T], "tensor<3x5x37xf16>", [A],
         lambda x: x.astype("f2")),
    case("cast-bf16", f"%0 = tosa.cast %a0 : ({T}) -> tensor<3x5x37xbf16>", [T], "tensor<3x5x37xbf16>", [A],
         lambda x: floats(bf16(x))),
    case("cast-i32", f"%0 = tosa.cast %a0 : ({T}) -> tensor<3x5x37xi32>", [T], "tensor<3x5x37xi32>", [A * 10],
         lambda x: np.rint(x)),
    case("cast-to-f32", f"%0 = tosa.cast %a0 : ({SMALL}) -> tensor<4x9xf32>", [SMALL], "tensor<4x9xf32>", [INTS], lambda x: x),
    case("cast-true", '%t = "tosa.const"() <{values = dense<true> : tensor<1x1x37xi1>}> : () -> tensor<1x1x37xi1>\n'
         f"%n = tosa.cast %t : (tensor<1x1x37xi1>) -> tensor<1x1x37xf32>\n%0 = tosa.add %a0, %n : ({T}, tensor<1x1x37xf32>) -> {T}",
         [T], T, [A], lambda x: x + 1),
    case("int-add", f"%0 = tosa.add %a0, %a1 : ({SMALL}, {SMALL}) -> {SMALL}", [SMALL] * 2, SMALL, [INTS, INTS[::-1]], np.add),
    case("int-div", f"%0 = tosa.intdiv %a0, %a1 : ({SMALL}, {SMALL}) -> {SMALL}", [SMALL] * 2, SMALL,
         [INTS, np.abs(INTS[::-1]) + 1], lambda x, y: np.trunc(x / y)),
    case("logical", "%0 = tosa.logical_xor %a0, %a1 : (tensor<3x5x37xi1>, tensor<3x5x37xi1>) -> tensor<3x5x37xi1>",
         ["tensor<3x5x37xi1>"] * 2, "tensor<3x5x37xi1>", [A > 0, B > 0], np.logical_xor),
    case("reduce_all", "%0 = tosa.reduce_all %a0 {axis = 2 : i32} : (tensor<3x5x37xi1>) -> tensor<3x5x1xi1>",
         ["tensor<3x5x37xi1>"], "tensor<3x5x1xi1>", [A > -2.2], lambda x: x.all(2, keepdims=True)),
    case("f16-add", "%0 = tosa.add %a0, %a1 : (tensor<3x5x37xf16>, tensor<3x5x37xf16>) -> tensor<3x5x37xf16>",
         ["tensor<3x5x37xf16>"] * 2, "tensor<3x5x37xf16>", [A.astype("f2"), B.astype("f2")],
         lambda x, y: (x.astype("f2") + y.astype("f2"))),
    case("bf16-sum", "%0 = tosa.reduce_sum %a0 {axis = 2 : i32} : (tensor<3x5x37xbf16>) -> tensor<3x5x1xbf16>",
         ["tensor<3x5x37xbf16>"], "tensor<3x5x1xbf16>", [bf16(A)], lambda x: x.sum(2, keepdims=True), 2.0 ** -8),
    case("f64-exp", "%0 = tosa.cast %a0 : (tensor<3x5x37xf32>) -> tensor<3x5x37xf64>\n"
         "%1 = math.exp %0 : tensor<3x5x37xf64>", [T], "tensor<3x5x37xf64>", [A], np.exp, 1e-14),
]


@pytest.mark.parametrize("text, types, result, inputs, reference, tolerance", OPS)
def test_op(mlir, text, types, result, inputs, reference, tolerance):
    arguments = ", ".join(f"%a{i}: {t}" for i, t in enumerate(types))
    last = re.findall(r"(%\d+) =", text)[-1]
    f = mlir(f"func.func @main({arguments}) -> {result} {{\n{text}\nreturn {last} : {result}\n}}\n")
    y, want = f(*inputs)[0], reference(*map(floats, inputs))
    assert y.shape == want.shape
    if y.dtype.kind in "ib":
        assert np.array_equal(y, want)
    else:
        assert np.abs(floats(y) - want).max() <= tolerance * max(1, np.abs(want).max())


@pytest.mark.parametrize("op, reference", [
    ("exp", np.exp), ("tanh", np.tanh), ("erf", erf), ("log", np.log), ("log2", np.log2), ("log10", np.log10),
    ("log1p", np.log1p), ("expm1", np.expm1), ("exp2", np.exp2), ("sin", np.sin), ("cos", np.cos), ("tan", np.tan),
    ("atan", np.arctan), ("asin", np.arcsin), ("acos", np.arccos), ("sinh", np.sinh), ("cosh", np.cosh),
    ("asinh", np.arcsinh), ("acosh", np.arccosh), ("atanh", np.arctanh), ("cbrt", np.cbrt), ("sqrt", np.sqrt),
    ("rsqrt", lambda x: 1 / np.sqrt(x)), ("erfc", lambda x: 1 - erf(x)),
    ("round", lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x)),
])
def test_accuracy(mlir, op, reference):
    """Functions over many magnitudes, and what they make of 0, denormals, huge numbers, inf and nan; 2 ulp."""
    rng = np.random.default_rng(2)
    x = (rng.standard_normal(20001) * 10.0 ** rng.uniform(-6, 1.3, 20001)).astype("f4")
    edges = np.array([0, 1e-42, 1, 0.5, 2.5, 89, 1e9, 2e9, 1e38, np.inf, np.nan], "f4")
    x = np.concatenate([edges, -edges, x, x[::7] * np.float32(2) ** rng.integers(-100, 100, x[::7].size).astype("f4")])
    if op == "erfc":
        x = np.clip(x, -9, 0.5)  # where the reference is good
    f = mlir(f"func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> {{\n %0 = math.{op} %x : tensor<?xf32>\n"
             " return %0 : tensor<?xf32>\n}")
    with np.errstate(all="ignore"):
        y, want = f(x)[0], reference(floats(x))
        rounded = want.astype("f4")
    special = ~np.isfinite(rounded) | (rounded == 0)
    assert np.array_equal(y[special], rounded[special], equal_nan=True)
    assert np.array_equal(np.signbit(y[rounded == 0]), np.signbit(rounded[rounded == 0]))
    ulp = np.spacing(np.abs(rounded[~special])).astype("f8")
    assert (np.abs(floats(y)[~special] - want[~special]) / ulp).max() <= (1 << 20 if op == "erfc" else 2)


@pytest.mark.parametrize("form", ["scalar", "tensor", "fpowi", "unfused"])
@pytest.mark.parametrize("k", [3, 2, -1, 0.5, -0.5, 1.5, 7, -3, 20, 2.3, 0])
def test_power(mlir, form, k):
    """A constant exponent, as a number in the body or a tensor that is one number all over."""
    if form == "fpowi" and k != int(k):
        pytest.skip("no whole number")
    x = np.abs(np.random.default_rng(4).standard_normal(1003)).astype("f4") + np.float32(0.1)
    x[::3] *= -1 if k == int(k) else 1
    t = "tensor<1003xf32>"
    power = {"fpowi": f"%k = arith.constant dense<{int(k)}> : tensor<1003xi32>\n %0 = math.fpowi %x, %k : {t}, tensor<1003xi32>",
             "scalar": f"%w = arith.constant {float(k)} : f64\n %c = arith.truncf %w : f64 to f32\n"
                       f" %k = tensor.splat %c : {t}\n %0 = math.powf %x, %k : {t}"}.get(
        form, f"%k = arith.constant dense<{float(k)}> : {t}\n %0 = math.powf %x, %k : {t}")
    f = mlir(f"func.func @main(%x: {t}) -> {t} {{\n {power}\n return %0 : {t}\n}}")
    y = f(x, options=["--no-fuse=elementwise"] if form == "unfused" else [])[0]
    want = floats(x) ** k
    assert (np.abs(y - want) / np.spacing(np.abs(want).astype("f4"))).max() <= 2


def chain(n, step):
    lines = [f" %v{i + 1} = tosa.{step} %v{i} : (tensor<9xf32>) -> tensor<9xf32>" for i in range(n)]
    return "\n".join(["func.func @main(%v0: tensor<9xf32>) -> tensor<9xf32> {", *lines, f" return %v{n} : tensor<9xf32>\n}}"])


@pytest.mark.parametrize("n", [250, 1030, 3000])
def test_chain_of_any_length(mlir, n):
    """Fusion ends before a body grows too large, and none but a body's own ops are too many."""
    x = np.linspace(-3, 3, 9, dtype="f4")
    want = x
    for _ in range(n):
        want = np.sin(floats(want)).astype("f4")
    f = mlir(chain(n, "sin"))
    assert np.abs(f(x)[0] - want).max() < 1e-5
    assert np.abs(f(x, options=["--no-fuse=elementwise"])[0] - want).max() < 1e-5


@pytest.mark.parametrize("n", [12, 60])
def test_sum_of_many_tensors(mlir, n):
    """A fused op has a bounded number of operands."""
    t = "tensor<8xf32>"
    rows = [f" %s{i} = tensor.extract_slice %x[{i}, 0] [1, 8] [1, 1] : tensor<{n}x8xf32> to {t}" for i in range(n)]
    sums = [f" %a{i} = tosa.add %{'s0' if i == 1 else f'a{i - 1}'}, %s{i} : ({t}, {t}) -> {t}" for i in range(1, n)]
    x = np.random.default_rng(3).standard_normal((n, 8), dtype="f4")
    text = "\n".join([f"func.func @main(%x: tensor<{n}x8xf32>) -> {t} {{", *rows, *sums, f" return %a{n - 1} : {t}\n}}"])
    assert np.allclose(mlir(text)(x)[0], x.sum(0), atol=1e-5)


def test_long_body(mlir):
    """What the file itself says in one body is compiled, however long."""
    n = 2000
    steps = "\n".join(f" %v{i + 1} = arith.addf %v{i}, %c : f32" for i in range(n))
    x = np.arange(9, dtype="f4")
    f = mlir(f"""func.func @main(%x: tensor<9xf32>) -> tensor<9xf32> {{
      %c = arith.constant 1.0 : f32
      %e = tensor.empty() : tensor<9xf32>
      %y = linalg.generic {{indexing_maps = [affine_map<(d) -> (d)>, affine_map<(d) -> (d)>],
        iterator_types = ["parallel"]}} ins(%x : tensor<9xf32>) outs(%e : tensor<9xf32>) {{
      ^bb0(%v0: f32, %o: f32):
{steps}
        linalg.yield %v{n} : f32
      }} -> tensor<9xf32>
      return %y : tensor<9xf32>
    }}""")
    assert np.array_equal(f(x)[0], x + n)


@pytest.mark.parametrize("shape", [(1,), (7,), (8,), (33,), (1, 1), (5, 1), (1, 300), (3, 1000), (257, 3), (2, 3, 4, 5)])
def test_sizes(mlir, shape):
    """x * tanh(x) - mean over the last axis, for sizes that are no multiple of anything."""
    t = "tensor<" + "x".join(map(str, shape)) + "xf32>"
    r = "tensor<" + "x".join(map(str, (*shape[:-1], 1))) + "xf32>"
    n = len(shape) - 1
    x = RNG.standard_normal(shape).astype(np.float32)
    f = mlir(f"""func.func @main(%x: {t}) -> ({t}, {r}) {{
      %0 = math.tanh %x : {t}
      %1 = arith.mulf %x, %0 : {t}
      %2 = tosa.reduce_sum %1 {{axis = {n} : i32}} : ({t}) -> {r}
      %3 = tosa.sub %1, %2 : ({t}, {r}) -> {t}
      return %3, %2 : {t}, {r}
    }}""")
    y, total = f(x, n_results=2)
    z = floats(x) * np.tanh(floats(x))
    assert y.shape == z.shape and total.shape == (*shape[:-1], 1)
    assert np.abs(total - z.sum(-1, keepdims=True)).max() < 1e-6 * max(1, np.abs(z).sum(-1).max())
    assert np.abs(y - (z - z.sum(-1, keepdims=True))).max() < 1e-6 * max(1, np.abs(z).sum(-1).max())


def test_no_elements(mlir):
    f = mlir("func.func @main(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {\n %0 = math.tanh %x : tensor<?x4xf32>\n"
             " return %0 : tensor<?x4xf32>\n}")
    assert f(np.zeros((0, 4), "f4"))[0].shape == (0, 4)
    assert np.abs(f(np.ones((3, 4), "f4"))[0] - np.tanh(1)).max() < 1e-6


@pytest.mark.parametrize("m, k, n", [(1, 1, 1), (1, 300, 5), (6, 64, 16), (13, 7, 40), (50, 33, 129), (128, 256, 64)])
@pytest.mark.parametrize("transposed", [False, True])
def test_matmul_sizes(mlir, m, k, n, transposed):
    rng = np.random.default_rng(m + k + n)
    a, b = rng.standard_normal((m, k)).astype("f4"), rng.standard_normal((n, k) if transposed else (k, n)).astype("f4")
    index = "(d1, d2)" if transposed else "(d2, d1)"
    f = mlir(f"""func.func @main(%a: tensor<{m}x{k}xf32>, %b: tensor<{b.shape[0]}x{b.shape[1]}xf32>) -> tensor<{m}x{n}xf32> {{
      %c = arith.constant 0.0 : f32
      %e = tensor.empty() : tensor<{m}x{n}xf32>
      %i = linalg.fill ins(%c : f32) outs(%e : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
      %y = linalg.generic {{indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> {index}>,
            affine_map<(d0, d1, d2) -> (d0, d1)>], iterator_types = ["parallel", "parallel", "reduction"]}}
            ins(%a, %b : tensor<{m}x{k}xf32>, tensor<{b.shape[0]}x{b.shape[1]}xf32>) outs(%i : tensor<{m}x{n}xf32>) {{
      ^bb0(%p: f32, %q: f32, %o: f32):
        %t = arith.mulf %p, %q : f32
        %s = arith.addf %o, %t : f32
        linalg.yield %s : f32
      }} -> tensor<{m}x{n}xf32>
      return %y : tensor<{m}x{n}xf32>
    }}""")
    want = floats(a) @ (floats(b).T if transposed else floats(b))
    for options in ([], ["--no-raise"]):
        assert np.abs(f(a, b, options=options)[0] - want).max() < 2e-6 * k ** 0.5 * 4


# ---- what is refused, and how

IDENTITY = """func.func @main(%a: tensor<2x?xf32>) -> tensor<2x?xf32> {
  return %a : tensor<2x?xf32>
}
"""
X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize("inputs, message", [
    ([], "takes 1 argument, 0 are given"),
    ([X, X], "takes 1 argument, 2 are given"),
    ([X[0]], "argument 0 (.*): wrong number of dimensions: it is 3xf32, the function takes 2x?xf32"),
    ([X.astype("f8")], "argument 0 (.*): wrong type: it is 2x3xf64"),
    ([np.ones((3, 3), "f4")], "argument 0 (.*): wrong size: it is 3x3xf32"),
    ([X.astype("u1")], "no function takes arrays of uint8"),
])
def test_wrong_arguments(mlir, inputs, message):
    done = mlir(IDENTITY).run(*inputs).failed(2)
    assert re.search(message.replace("(.*)", r"\(.*\)").replace("?", r"\?"), done.stderr), done.stderr


def test_options(mlir):
    f = mlir(IDENTITY)
    assert "no function 'other'" in f.run(X, options=["--entry", "other"]).failed(2).stderr
    assert "no fusion 'nothing'" in f.run(X, options=["--no-fuse=nothing"]).failed(2).stderr
    assert "1 result, 2 outputs" in f.run(X, n_results=2).failed(2).stderr
    f.run(X, options=["--time", "0"]).failed(2)
    done = f.run(X, options=["--time", "20"]).ok()
    assert re.search(r"min [\d.]+ us, median [\d.]+ us \(20 runs\)", done.stdout)


def test_entry(mlir):
    f = mlir("""
    func.func private @half(%a: tensor<4xf32>) -> tensor<4xf32> {
      %c = arith.constant dense<0.5> : tensor<4xf32>
      %0 = arith.mulf %a, %c : tensor<4xf32>
      return %0 : tensor<4xf32>
    }
    func.func @one(%a: tensor<4xf32>) -> tensor<4xf32> {
      %0 = func.call @half(%a) : (tensor<4xf32>) -> tensor<4xf32>
      return %0 : tensor<4xf32>
    }
    func.func @two(%a: tensor<4xf32>) -> tensor<4xf32> {
      return %a : tensor<4xf32>
    }""")
    x = np.arange(4, dtype=np.float32)
    assert "choose one by --entry" in f.run(x).failed(2).stderr
    assert np.array_equal(f(x, options=["--entry", "one"])[0], x / 2)
    assert np.array_equal(f(x, options=["--entry", "two"])[0], x)


def test_refused_op(mlir):
    done = mlir("""func.func @main(%a: tensor<8xf32>) -> tensor<2x4xf32> {
      %e = tensor.empty() : tensor<2x4xf32>
      %0 = linalg.pack %a inner_dims_pos = [0] inner_tiles = [4] into %e : tensor<8xf32> -> tensor<2x4xf32>
      return %0 : tensor<2x4xf32>
    }""").run(np.ones(8, "f4")).failed(1)
    assert re.search(r"f\.mlir:3:\d+: linalg\.pack cannot be compiled", done.stderr), done.stderr


def test_index_out_of_range(mlir):
    """Indices come from data: a bad one is an error, not a read beyond the end."""
    f = mlir("""func.func @main(%a: tensor<1x5x8xf32>, %i: tensor<1x3xi32>) -> tensor<1x3x8xf32> {
      %0 = tosa.gather %a, %i : (tensor<1x5x8xf32>, tensor<1x3xi32>) -> tensor<1x3x8xf32>
      return %0 : tensor<1x3x8xf32>
    }""")
    a = np.arange(40, dtype="f4").reshape(1, 5, 8)
    assert np.array_equal(f(a, np.array([[0, 4, 2]], "i4"))[0], a[:, [0, 4, 2]])
    for bad in (5, -1, 2 ** 30):
        assert "index is out of range" in f.run(a, np.array([[0, bad, 2]], "i4")).failed(2).stderr


def test_division_by_zero(mlir):
    """Integer division has no result there, but the program goes on."""
    t = "tensor<3xi32>"
    f = mlir(f"func.func @main(%a: {t}, %b: {t}) -> {t} {{\n %0 = tosa.intdiv %a, %b : ({t}, {t}) -> {t}\n return %0 : {t}\n}}")
    y = f(np.array([7, -2 ** 31, 9], "i4"), np.array([0, -1, 3], "i4"))[0]
    assert y[2] == 3


def test_failed_assertion(mlir):
    f = mlir("""#map = affine_map<(d0) -> (d0)>
    func.func @main(%a: tensor<4xf32>) -> tensor<4xf32> {
      %z = arith.constant 0.0 : f32
      %e = tensor.empty() : tensor<4xf32>
      %0 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel"]} ins(%a : tensor<4xf32>) outs(%e : tensor<4xf32>) {
      ^bb0(%in: f32, %out: f32):
        %c = arith.cmpf one, %in, %z : f32
        cf.assert %c, "a zero"
        %r = arith.divf %in, %in : f32
        linalg.yield %r : f32
      } -> tensor<4xf32>
      return %0 : tensor<4xf32>
    }""")
    assert np.array_equal(f(np.full(4, 2, "f4"))[0], np.ones(4))
    assert "f.mlir:8:9: assertion fails: a zero" in f.run(np.array([1, 2, 0, 3], "f4")).failed(2).stderr


def test_damaged_arrays(welford, tmp_path):
    (tmp_path / "f.mlir").write_text(IDENTITY)
    np.save(tmp_path / "x.npy", X)
    good = (tmp_path / "x.npy").read_bytes()
    for i, bad in enumerate([b"", good[:5], good[:60], good[:-1], good + b"x", good.replace(b"(2, 3)", b"(9999999999999999, 3)"),
                             good.replace(b"<f4", b">f4"), good.replace(b"False", b"True ")]):
        (tmp_path / "bad.npy").write_bytes(bad)
        done = welford.run("exec", tmp_path / "f.mlir", "-i", tmp_path / "bad.npy").failed(1)
        assert "bad.npy" in done.stderr, i


def test_damaged_constant(mlir):
    text = """func.func @main(%a: tensor<4xf32>) -> tensor<4xf32> {
      %c = arith.constant dense_resource<w> : tensor<4xf32>
      %0 = arith.addf %a, %c : tensor<4xf32>
      return %0 : tensor<4xf32>
    }
    """
    x = np.zeros(4, "f4")
    data = '{-# dialect_resources: { builtin: { w: "0x04000000%s" } } #-}\n'
    assert np.array_equal(mlir(text + data % np.arange(4, dtype="f4").tobytes().hex())(x)[0], np.arange(4))
    assert "16 bytes has 8 bytes" in mlir(text + data % ("00" * 8)).run(x).failed(1).stderr
    assert "no data" in mlir(text).run(x).failed(1).stderr


def test_profile(mlir, tmp_path):
    f = mlir(f"func.func @main(%a: {T}) -> {T} {{\n %0 = tosa.exp %a : ({T}) -> {T}\n return %0 : {T}\n}}")
    f.run(A, options=["--profile", tmp_path / "t.json"]).ok()
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert len(events) == 1 and events[0]["dur"] > 0 and "f.mlir:2:7" in events[0]["args"]["op"]


@pytest.mark.parametrize("options", [[], ["--no-raise"]], ids=["raised", "plain"])
def test_product_of_no_rows(welford, tmp_path, options):
    path = tmp_path / "f.mlir"
    path.write_text("""func.func @main(%x: tensor<0x17xf32>, %w: tensor<17x7xf32>) -> tensor<0x7xf32> {
  %z = arith.constant dense<0.0> : tensor<0x7xf32>
  %y = linalg.matmul ins(%x, %w : tensor<0x17xf32>, tensor<17x7xf32>) outs(%z : tensor<0x7xf32>) -> tensor<0x7xf32>
  return %y : tensor<0x7xf32>
}
""")
    Function(welford, path, tmp_path).run(np.zeros((0, 17), np.float32), np.zeros((17, 7), np.float32), options=options).ok()
    assert np.load(tmp_path / "o0.npy").shape == (0, 7)
