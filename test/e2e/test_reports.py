"""What --report says is what the program calls: every line, of models and of graph files, with all fusions and without each.

A fusion is counted from the kernels of --print-plan alone, never from what a pass says.
"""
import re

import numpy as np
import pytest

import tiny_checkpoint
import tiny_gguf
from test_exec import GRAPHS, Function, random_inputs, shapes
from test_fusions import FUSIONS, off, read_report

# The calls that a fusion leaves, one a place.
SHOWN = {
    "linear-swiglu": r"linear_\w*_swiglu",
    "linear-residual": r"linear_\w*_residual",
    "rope-kv": r"rope_store_",
    "attention": r"attention_\d",
    "residual-norm": r"(rms|layer)_norm_\w*_residual",
    "quantize-output": r"(rms_norm_\w*_f32_q8|attention_(values_)?\d\w*_q8|linear_\w*_q8_|(swi|ge)glu_\w*q8)",
}


def calls_of(stderr: str) -> list[str]:
    """The kernels of the calls; what attention is for a deep context is another form of the same call."""
    calls = re.findall(r"^[+ ] *\d+  ([a-z]\w+)  +(\S+(?: \S+)*)", stderr, re.MULTILINE)
    return [kernel for kernel, label in calls if not re.search("attention (parts|merge)$", label)]


def count(calls: list[str], pattern: str) -> int:
    return sum(re.match(pattern, kernel) is not None for kernel in calls)


def check(stderr: str, n_linears: int, names=FUSIONS):
    """n_linears: those of the graph before any fusion, each of which is one call then."""
    report, calls = read_report(stderr), calls_of(stderr)
    assert list(report) == names and calls
    fused = {name: count(calls, pattern) for name, pattern in SHOWN.items()}
    gone = n_linears - count(calls, "linear_") - fused["linear-swiglu"]  # one call in the place of two
    assert gone % 2 == 0
    fused["qkv"] = gone // 2  # one in the place of three
    assert {name: line[1] for name, line in report.items()} == fused
    for name, (found, n, why) in report.items():  # and the reasons are as many as what was left
        assert sum(map(int, re.findall(r"(?:^|; )(\d+) ", why))) == found - n, (name, why)


FEW = [[], ["linear-residual"], ["qkv", "linear-swiglu"], FUSIONS]  # off
SETS = [[], *([name] for name in FUSIONS), ["linear-residual", "residual-norm"], FUSIONS]


@pytest.fixture
def run_model(welford):
    def run(model, *options):
        return welford.run("run", model, "--raw", "-p", "x", "-n", 0, "--report", "--print-plan", *options).ok().stderr

    return run


@pytest.mark.parametrize("fixture", ["smollm2", "gemma3"])
def test_models(request, run_model, fixture):
    model = request.getfixturevalue(fixture)
    n_linears = count(calls_of(run_model(model, *off(*FUSIONS))), "linear_")
    assert n_linears % 7 == 1  # q, k, v, o, gate, up, down of each layer, and the head
    for fusions in FEW:
        check(run_model(model, *off(*fusions)), n_linears)


@pytest.mark.parametrize("kind", [tiny_gguf.F32, tiny_gguf.F16, tiny_gguf.BF16, tiny_gguf.Q4_1, "mixed"])
def test_tiny_models(run_model, tmp_path, kind):
    """Of floats nothing is quantised, and the report says that; in the mixed one only down is of 8 bits."""
    model = tmp_path / "tiny.gguf"
    types = {"ffn_down": tiny_gguf.Q8_0} if kind == "mixed" else {}
    model.write_bytes(tiny_gguf.tiny_llama(types=types, default_type=tiny_gguf.F32 if kind == "mixed" else kind).encode())
    for fusions in SETS:
        stderr = run_model(model, *off(*fusions))
        check(stderr, 2 * 7 + 1)
        if not fusions:
            floats = {"mixed": 7, tiny_gguf.Q4_1: 0}.get(kind, 9)
            fused = read_report(stderr)["quantize-output"]
            assert fused == (9, 9 - floats, f"{floats} float weights: the linear reads f32" if floats else "")


@pytest.mark.parametrize("name", ["gemma3_softcap", "qwen3", "qwen2", "heads_36", "heads_80"])
def test_tiny_architectures(run_model, tmp_path, name):
    model = tmp_path / f"{name}.gguf"
    model.write_bytes(tiny_checkpoint.gguf_of(tiny_checkpoint.folder(name)).encode())
    n_linears = count(calls_of(run_model(model, *off(*FUSIONS))), "linear_")
    for fusions in FEW:
        check(run_model(model, *off(*fusions)), n_linears)


# ---- graph files

def run_graph(welford, path, tmp_path, inputs, n_results, *options):
    done = Function(welford, path, tmp_path).run(*inputs, n_results=n_results, options=["--report", "--print-plan", *options]).ok()
    return done.stderr


@pytest.mark.parametrize("file", ["tosa/qwen2_tiny_s16", "tosa/resid_rms", "linalg/resid_rms", "tosa/sdpa_causal", "linalg/sdpa_mask",
                                  "tosa/rmsnorm_nn_bf16"])
def test_graphs(welford, tmp_path, file):
    path = GRAPHS / f"{file}.mlir"
    inputs, n_results = random_inputs(path), len(shapes(path, 7)[1])
    n_linears = 2 * 7 + 1 if "qwen2" in file else 0
    for fusions in SETS:
        check(run_graph(welford, path, tmp_path, inputs, n_results, *off(*fusions)), n_linears)


def constant(name, shape):
    values = np.random.default_rng(len(name)).standard_normal(shape).astype("f4")
    return f'%{name} = arith.constant dense<"0x{values.tobytes().hex()}"> : tensor<{shape[0]}x{shape[1]}xf32>\n'


LINEAR = '"wf.linear"({}, %{}) {{operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>}} : (tensor<32x64xf32>, tensor<{}x64xf32>) -> tensor<32x{}xf32>\n'
GLU = '%y = "wf.glu"(%g, %u) {{activation = "{}"{}}} : (tensor<32x{n}xf32>, tensor<32x{n}xf32>) -> tensor<32x{n}xf32>\nreturn %y : tensor<32x{n}xf32>\n'


def glu(n=48, activation="silu", more="", arguments=False):
    weights = {name: (n, 64) for name in ("wg", "wu")}
    given = "".join(f", %{name}: tensor<{n}x64xf32>" for name in weights) if arguments else ""
    body = "" if arguments else "".join(constant(name, shape) for name, shape in weights.items())
    return (f"func.func @main(%x: tensor<32x64xf32>{given}) -> tensor<32x{n}xf32> {{\n{body}%g = {LINEAR.format('%x', 'wg', n, n)}"
            f"%u = {LINEAR.format('%x', 'wu', n, n)}{GLU.format(activation, more, n=n)}}}\n")


def residual_norm(element):
    t = f"tensor<8x64x{element}>"
    return (f'func.func @main(%x: {t}, %r: {t}) -> ({t}, {t}) {{\n%h = arith.addf %x, %r : {t}\n'
            f'%y = "wf.rms_norm"(%h) {{eps = 1.0e-5 : f64}} : ({t}) -> {t}\nreturn %y, %h : {t}, {t}\n}}\n')


def attention(heads, head_dim, tokens=8, positions=8, element="f32"):
    q, k = (f"tensor<1x{n}x{heads * head_dim}x{element}>" for n in (tokens, positions))
    return (f'func.func @main(%q: {q}, %k: {k}, %v: {k}) -> {q} {{\n%y = "wf.attention"(%q, %k, %v) {{n_heads = {heads} : i64, '
            f'n_kv_heads = {heads} : i64, scale = 0.1 : f64, causal = true, operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>}} : '
            f'({q}, {k}, {k}) -> {q}\nreturn %y : {q}\n}}\n')


def residual(element):
    t = f"tensor<32x64x{element}>"
    return (f'func.func @main(%x: {t}, %w: tensor<64x64x{element}>, %r: {t}) -> {t} {{\n%p = "wf.linear"(%x, %w) {{operandSegmentSizes = '
            f'array<i32: 1, 1, 0, 0, 0, 0, 0, 0>}} : ({t}, tensor<64x64x{element}>) -> {t}\n%y = arith.addf %r, %p : {t}\nreturn %y : {t}\n}}\n')


# text, fusion, whether it runs, why not, linears of the plan when nothing is fused
ASKED = {
    "glu of constants": (glu(), "linear-swiglu", True, "", 2),
    "glu of arguments": (glu(arguments=True), "linear-swiglu", False, "no linear kernel takes several weights that are no constants", 2),
    "glu rounded": (glu(more=", rounded = bf16"), "linear-swiglu", False, "the activation is rounded before the product", 2),
    "gelu by erf": (glu(activation="gelu"), "linear-swiglu", False, "no linear kernel has gelu by erf", 2),
    "norm f32": (residual_norm("f32"), "residual-norm", True, "", 0),
    "norm f64": (residual_norm("f64"), "residual-norm", True, "", 0),
    "attention": (attention(2, 64), "attention", True, "", 0),
    "attention of wide heads": (attention(1, 576), "attention", False, "no attention kernel has heads of more than 512 features", 0),
    "attention past its keys": (attention(2, 32, 9, 8), "attention", False,
                                "no causal attention kernel has fewer positions than tokens", 0),
    "residual f32": (residual("f32"), "linear-residual", True, "", 1),
    "residual f64": (residual("f64"), "linear-residual", False, "no linear kernel has its types", 0),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_back_end_is_asked(welford, tmp_path, name):
    """A fusion whose op no kernel would take is not made, with the reason; and none is made without kernels."""
    text, fusion, runs, why, n_linears = ASKED[name]
    path = tmp_path / "f.mlir"
    path.write_text(text)
    types = [[int(d) for d in dims.split("x")[:-1]] + [dims.split("x")[-1]]
             for dims in re.findall(r"%\w+: tensor<(\w+)>", text.split("->")[0])]
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal(t[:-1]).astype({"f64": "f8", "f32": "f4"}[t[-1]]) for t in types]
    n_results = 2 if "norm" in name else 1
    stderr = run_graph(welford, path, tmp_path, inputs, n_results)
    check(stderr, n_linears)
    found, fused, reason = read_report(stderr)[fusion]
    assert (found, fused, reason) == (1, int(runs), "" if runs else f"1 {why}")
    results = [np.load(tmp_path / f"o{i}.npy") for i in range(n_results)]
    stderr = run_graph(welford, path, tmp_path, inputs, n_results, "--no-fuse=kernels")
    check(stderr, 0)
    assert read_report(stderr)[fusion][1] == 0
    for i, x in enumerate(results):
        assert np.allclose(x, np.load(tmp_path / f"o{i}.npy"), 1e-4, 1e-4, equal_nan=True)
