"""welford opt: what the raising rules find in graphs that torch-mlir wrote, and what damaged files do."""
import os
import random
import re
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import tiny_gguf
from forms import NEAR, forms
from test_exec import floats, shapes
from test_raise_mutants import make

GRAPHS = Path(__file__).resolve().parents[1] / "graphs"
FILES = sorted(GRAPHS.glob("*/*.mlir"))

# The ops of every graph whose name begins so; of all others, one norm alone.
EXPECTED = {
    "layernorm": {"wf.layer_norm": 1},
    "ln_": {"wf.layer_norm": 1},
    "rms": {"wf.rms_norm": 1},
    "resid_rms": {"wf.rms_norm": 1},
    "sdpa": {"wf.attention": 1},
    "qwen2": {"wf.rms_norm": 5, "wf.attention": 2, "wf.rope": 4, "wf.glu": 2, "wf.linear": 15},
}


def count_ops(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for op in re.findall(r'"(wf\.\w+)"\(', text.split("{-#")[0]):
        counts[op] = counts.get(op, 0) + 1
    return counts


def expected(path: Path) -> dict[str, int]:
    return next(ops for prefix, ops in EXPECTED.items() if path.stem.startswith(prefix))


def test_graphs_are_here():
    assert {p.parent.name for p in FILES} == {"linalg", "tosa"}
    for prefix in EXPECTED:
        assert any(p.stem.startswith(prefix) for p in FILES), prefix


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_graph(welford, path, tmp_path):
    text = welford.run("opt", "--passes=raise", path).ok().stdout
    assert count_ops(text) == expected(path)
    if "wf.softmax" not in expected(path):  # nothing of what was raised is left
        assert not re.search(r"tosa\.(rsqrt|reduce_sum|reduce_max|pow|matmul|exp)|math\.(rsqrt|sqrt|exp)|reduction", text)
    # bytecode holds the same
    bytecode = tmp_path / "graph.mlirbc"
    welford.run("opt", "--passes=raise", path, "-o", bytecode).ok()
    assert bytecode.read_bytes()[:4] == b"ML\xefR"
    assert count_ops(welford.run("opt", "--passes=raise", bytecode).ok().stdout) == expected(path)
    # and all passes leave a valid graph
    welford.run("opt", path).ok()


def test_both_roads_meet(welford):
    """TOSA and linalg of one module give the same norm."""
    def norm(road: str, name: str) -> str:
        text = welford.run("opt", "--passes=raise", GRAPHS / road / f"{name}.mlir").ok().stdout
        return re.search(r'"wf\.\w+_norm"\(.*?\) ({.*?}) :', text)[1]
    names = {p.stem for p in FILES if p.parent.name == "tosa"} & {p.stem for p in FILES if p.parent.name == "linalg"}
    names = {n for n in names if "sdpa" not in n and n not in ("rmsnorm_nn_bf16", "rmsnorm_nn_bf16_dyn")}
    assert len(names) > 15
    for name in sorted(names):
        assert norm("tosa", name) == norm("linalg", name), name


LOWERINGS = {  # of TOSA, by mlir-opt
    "named": "func.func(tosa-to-linalg-named,tosa-to-linalg,tosa-to-arith,tosa-to-tensor)",
    "cse": "func.func(tosa-to-linalg-named,tosa-to-linalg,tosa-to-arith,tosa-to-tensor,canonicalize,cse)",
    "fused": "func.func(tosa-to-linalg-named,tosa-to-linalg,tosa-to-arith,tosa-to-tensor,linalg-generalize-named-ops,"
             "canonicalize,cse,linalg-fuse-elementwise-ops,canonicalize,cse)",
    "generic": "func.func(linalg-generalize-named-ops,canonicalize,cse)",
}


def lower(path: Path, name: str, to: Path) -> Path:
    mlir_opt = Path(os.environ.get("WELFORD_LLVM_BIN", "/usr/lib/llvm-22/bin")) / "mlir-opt"
    subprocess.run([mlir_opt, f"--pass-pipeline=builtin.module({LOWERINGS[name]})", path, "-o", to], check=True)
    return to


def attentions(text: str) -> list[str]:
    return re.findall(r'"wf.attention"\(.*?\) {(.*?)}', text)


@pytest.mark.parametrize("lowering", ["named", "cse", "fused"])
def test_lowered_model(welford, tmp_path, lowering):
    """A whole model raises to the same ops after upstream has lowered, simplified and fused it, and computes the same."""
    tosa = GRAPHS / "tosa/qwen2_tiny_s16.mlir"
    path = lower(tosa, lowering, tmp_path / "lowered.mlir")
    text = welford.run("opt", "--passes=raise", path).ok().stdout
    assert count_ops(text) == expected(tosa)
    assert attentions(text) == attentions(welford.run("opt", "--passes=raise", tosa).ok().stdout)
    agree(welford, path, tmp_path)


@pytest.mark.parametrize("lowering", ["generic", "fused"])
@pytest.mark.parametrize("name", ["sdpa_causal", "sdpa_causal_dyn", "sdpa_mask"])
def test_lowered_attention(welford, tmp_path, name, lowering):
    path = lower(GRAPHS / f"linalg/{name}.mlir", lowering, tmp_path / "lowered.mlir")
    assert count_ops(welford.run("opt", "--passes=raise", path).ok().stdout) == {"wf.attention": 1}


def agree(welford, path: Path, tmp_path: Path):
    """Raised and as it is, a function gives the same."""
    rng = np.random.default_rng(5)
    arguments, results = shapes(path, 6)
    arrays, inputs = [], []
    for i, (dims, element) in enumerate(arguments):
        x = rng.integers(0, 256, dims) if element == "i64" else rng.random(dims) < 0.7 if element == "i1" else make(rng, dims, element)
        np.save(tmp_path / f"i{i}.npy", x)
        inputs += ["-i", tmp_path / f"i{i}.npy"]
    outputs = [tmp_path / f"o{i}.npy" for i in range(len(results))]
    for options in ([], ["--no-raise"]):
        welford.run("exec", path, *inputs, *[a for o in outputs for a in ("-o", o)], *options).ok()
        arrays.append([floats(np.load(o)) for o in outputs])
    for a, b in zip(*arrays):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1, np.nanmax(np.abs(b))))  # nan where nan is


@pytest.mark.parametrize("name", forms())
def test_form(welford, tmp_path, name):
    """What a form of an op is raised to computes what it computed."""
    path = tmp_path / "form.mlir"
    path.write_text(forms()[name])
    assert count_ops(welford.run("opt", "--passes=raise", path).ok().stdout)
    agree(welford, path, tmp_path)


@pytest.mark.parametrize("name", forms(NEAR))
def test_near_form(welford, tmp_path, name):
    """What is nearly an attention gets a reason, and computes the same beside what is raised in it."""
    path = tmp_path / "form.mlir"
    path.write_text(forms(NEAR)[name])
    run = welford.run("opt", "--passes=raise", "--explain", path).ok()
    assert "wf.attention" not in count_ops(run.stdout) and re.search(r": (attention|softmax): ", run.stderr)
    agree(welford, path, tmp_path)


def layers(text: str) -> list[Counter]:
    """The ops of each decoder layer, from its first norm to the sum at its end: name, attributes, output features,
    and a linear's weight. What differs by nature is left out: the cache, and how rows are counted."""
    found: list[Counter] = []
    n_norms = 0
    for op, attributes, types, features in re.findall(
            r'= (?:"(wf\.\w+)"\(.*?\)|arith\.addf .*?)(?: {(.*?)})? : (.*?)x(\d+)x[a-z]\w*>$', text.split("{-#")[0], re.MULTILINE):
        op = op or "arith.addf"
        if op not in ("wf.rms_norm", "wf.linear", "wf.rope", "wf.attention", "wf.glu", "arith.addf"):
            continue
        n_norms += op == "wf.rms_norm"
        if op == "wf.rms_norm" and n_norms % 2:
            found.append(Counter())
        weight = re.findall("tensor<.*?>", types)[1] if op == "wf.linear" else ""
        attributes = re.sub(r"cache = \d+ : i64, ", "", attributes)
        found[-1][op, attributes, weight, features] += 1
    return found


def test_checkpoint_and_graph_meet(welford, tmp_path):
    """A layer of Qwen2 is the same ops, read from a checkpoint or raised from the graph of a framework."""
    model = tiny_gguf.tiny_llama(architecture="qwen2", pre="qwen2", biases=True, eps=1e-6)
    model.tensors = [t for t in model.tensors if not t.name.endswith("attn_output.bias")]  # Qwen2 has none
    path = tmp_path / "qwen2.gguf"
    path.write_bytes(model.encode())
    run = welford.run("run", path, "--raw", "-p", "x", "-n", 0, "--no-cache", "--print-ir-after=frontend").ok()
    checkpoint = layers(run.stderr)
    raised = layers(welford.run("opt", "--passes=raise", GRAPHS / "tosa/qwen2_tiny_s16.mlir").ok().stdout)
    assert len(checkpoint) == len(raised) == 3  # two layers, and the last norm with the head
    assert checkpoint[:2] == raised[:2]
    assert sum(checkpoint[0].values()) == 2 + 7 + 2 + 1 + 1 + 2  # norms, linears, ropes, attention, swiglu, sums
    fused = welford.run("opt", GRAPHS / "tosa/qwen2_tiny_s16.mlir").ok().stdout  # and both fuse
    assert fused.count('glu = "silu"') == 2 and fused.count('"wf.columns"') == 6


def test_list(welford):
    text = welford.run("opt", "--list").ok().stdout
    assert "rms_norm" in text and "quantize-output" in text


def test_bad_names(welford):
    path = GRAPHS / "tosa/rms_hand_div.mlir"
    assert "no pass 'nothing'" in welford.run("opt", "--passes=nothing", path).failed(2).stderr
    assert "no fusion 'rms_norm'" in welford.run("opt", "--no-fuse=rms_norm", path).failed(2).stderr
    welford.run("opt").failed(2)


def test_print_ir_after(welford):
    run = welford.run("opt", "--passes=raise", "--print-ir-after=rms_norm", GRAPHS / "tosa/rms_hand_div.mlir").ok()
    assert run.stderr.count("// ---- after rms_norm") == 1 and "wf.rms_norm" in run.stderr


def test_stdin_and_place_of_error(welford):
    text = (GRAPHS / "tosa/rms_hand_div.mlir").read_text()
    assert "wf.rms_norm" in welford.run("opt", "--passes=raise", "-", input=text).ok().stdout
    error = welford.run("opt", "-", input=text.replace("tosa.pow", "tosa.powder")).failed(1).stderr
    assert re.search(r"<stdin>:\d+:\d+: .*powder", error)


@pytest.mark.parametrize("text", ["(" * 300000, "module {" * 100000, "#m = affine_map<(d0) -> (" + "(" * 300000,
                                  "module attributes {a = " + "[" * 300000])
def test_deep(welford, text, tmp_path):
    path = tmp_path / "deep.mlir"
    path.write_text(text)
    assert "deep" in welford.run("opt", path).failed(1).stderr


def mutate(random_: random.Random, data: bytes) -> bytes:
    b = bytearray(data)
    kind = random_.randrange(5)
    at = random_.randrange(len(b))
    if kind == 0:
        return bytes(b[:at])
    if kind == 1:
        for _ in range(random_.randrange(1, 6)):
            b[random_.randrange(len(b))] = random_.randrange(256)
    elif kind == 2:
        del b[at:at + random_.randrange(1, 200)]
    elif kind == 3:
        b[at:at] = random_.choice([b"tensor<?x?xf32>", b"dense<0>", b"-1", b"%0", b"f64", b"tensor<0xf32>", b"9" * 20])
    else:
        ids = list(re.finditer(rb"%\w+|\d+", data))
        if ids:
            a, c = random_.choice(ids), random_.choice(ids)
            b[a.start():a.end()] = c.group()
    return bytes(b)


def test_damaged(welford, tmp_path):
    """Whatever a file holds: it is read, or one line says what is wrong."""
    random_ = random.Random(7)
    small = [p for p in FILES if p.stat().st_size < 20000]
    texts = [p.read_bytes() for p in small] + [text.encode() for text in forms().values()]
    bytecode = tmp_path / "graph.mlirbc"
    welford.run("opt", "--passes=", small[0], "-o", bytecode).ok()
    for i in range(200):
        data = bytecode.read_bytes() if i % 5 == 0 else random_.choice(texts).split(b"{-#")[0]
        path = tmp_path / "damaged.mlir"
        path.write_bytes(mutate(random_, data))
        run = welford.run("opt", "--passes=raise", path)
        if run.exit != 0:
            run.failed(1)
            assert "damaged.mlir" in run.stderr and "after pass" not in run.stderr, (i, run.stderr)
