"""The wf dialect: its reference says what the table of ops says, and what breaks it is refused with place and reason."""
import re

import numpy as np
import pytest

from conftest import ROOT
from test_definitions import Graph, add_attention, add_linear, add_norm


def test_reference(welford):
    """docs/wf.md has every op under its name, with the declaration that the compiler has."""
    listed = re.search(r"\nops: .*\n((?:  wf\..*\n)+)", welford.run("opt", "--list").ok().stdout)[1]
    documented = re.findall(r"^### (\w+)\n\n`(.*)`$", (ROOT / "docs/wf.md").read_text(), re.M)
    assert sorted(d for _, d in documented) == sorted(line.strip() for line in listed.splitlines())
    for name, declaration in documented:
        assert declaration.startswith(f"wf.{name}("), declaration


HEADS = "n_heads = 4 : i64, n_kv_heads = 2 : i64, scale = 0.5 : f64"
ATTENTION = ('%m = tensor.empty() : {t}\n%y = "wf.attention"(%a, %k, %k{m}) {{operandSegmentSizes = array<i32: 1, 1, 1, {s}, 0>, {h}}}'
             " : (tensor<4x8xf32>, tensor<6x4xf32>, tensor<6x4xf32>{n}) -> tensor<4x8xf32>")
LINEAR = '%y = "wf.linear"({o}) {{operandSegmentSizes = array<i32: {s}>{more}}} : ({t}) -> tensor<4x8xf32>'
T, W, G = "tensor<4x8xf32>", "tensor<8x8xf32>", "tensor<8xf32>"


def norm(attributes):
    return f'%y = "wf.rms_norm"(%a, %g) {{{attributes}}} : ({T}, {G}) -> {T}'


def attention(heads=HEADS, mask=None):
    return ATTENTION.format(h=heads, s=1 if mask else 0, m=", %m" if mask else "", n=f", {mask}" if mask else "", t=mask or G)


MALFORMED = {
    norm(""): 'wf.rms_norm: has no attribute "eps"',
    norm("eps = 1 : i64"): "wf.rms_norm: eps is no floating-point number",
    norm("eps = 0x7FF0000000000000 : f64"): "wf.rms_norm: eps is not finite",
    norm("eps = 1.0e-6 : f64, gamma = 1 : i64"): 'wf.rms_norm: an attribute "gamma" is not known',
    norm("eps = 1.0e-6 : f64, plus_one = 1 : i64"): "wf.rms_norm: plus_one is neither true nor false",
    norm("eps = 1.0e-6 : f64, axes = 3 : i64"): "wf.rms_norm: axes is 3, of a tensor of 2 dimensions",
    norm("eps = 1.0e-6 : f64, axes = 2 : i64"): "wf.rms_norm: gamma has 8 elements, 32 are normalised together",
    norm("eps = 1.0e-6 : f64, axes = 12345678901234567890 : i128"): "wf.rms_norm: axes is no integer of up to 64 bits",
    norm("eps = 1.0e-6 : f64, n_heads = 3 : i64"): "wf.rms_norm: 8 features make no 3 heads",
    norm("eps = 1.0e-6 : f64, rounded = i32"): "wf.rms_norm: rounded is no type of floats",
    f'%y = "wf.glu"(%a, %a) : ({T}, {T}) -> {T}': 'wf.glu: has no attribute "activation"',
    f'%y = "wf.glu"(%a, %a) {{activation = "gelu_erf"}} : ({T}, {T}) -> {T}': 'wf.glu: activation "gelu_erf" is not known',
    f'%y = "wf.glu"(%a, %w) {{activation = "silu"}} : ({T}, {W}) -> {T}': "wf.glu: dimension 0 is 4 in gate, 8 in up",
    f'%y = "wf.swiglu"(%a, %a) : ({T}, {T}) -> {T}': "wf.swiglu",
    f'%y = "wf.softcap"(%a) {{cap = 0.0 : f64}} : ({T}) -> {T}': "wf.softcap: cap is zero",
    f'%y = "wf.softmax"(%a, %w) : ({T}, {W}) -> {T}': "wf.softmax: dimension 0 is 8 in sink",
    f'%y = "wf.rope"(%a, %g, %g) {{n_heads = 3 : i64}} : ({T}, {G}, {G}) -> {T}': "wf.rope: 8 features of x make no 3 heads",
    f'%y = "wf.rope"(%a, %g, %g) {{n_heads = 2 : i64}} : ({T}, {G}, {G}) -> {T}': "wf.rope: cos rotates 2 x 8 features",
    f'%y = "wf.columns"(%a) {{first = 1 : i64}} : ({T}) -> {T}': "wf.columns: features 1 to 9 are beyond the 8 of x",
    attention(HEADS.replace("= 4", "= 3")): "wf.attention: 3 heads of q make no groups for 2 heads of k and v",
    attention(HEADS.replace("= 2", "= 0")): "wf.attention: 4 heads of q make no groups for 0 heads",
    attention(HEADS.replace("= 4", "= 2")): "wf.attention: heads of q and k are of different sizes",
    attention(HEADS + ", window = 3 : i64"): "wf.attention: a window goes with causal alone",
    attention(mask="tensor<5x6xf32>"): "wf.attention: dimension 0 of mask is 5, neither 1 nor 4",
    attention(mask="tensor<4x6xi8>"): "wf.attention: mask is neither of floats nor of i1",
    LINEAR.format(o="%a, %w", s="1, 0, 1, 0, 0, 0, 0, 0", more="", t=f"{T}, {W}"): "w0|operand",
    LINEAR.format(o="%a, %w, %w", s="1, 1, 0, 1, 0, 0, 0, 0", more="", t=f"{T}, {W}, {W}"): "not the one before it",
    LINEAR.format(o="%a, %w", s="1, 1, 0, 0, 0, 0, 0, 0", more=', glu = "silu"', t=f"{T}, {W}"): "glu goes with two weights",
    LINEAR.format(o="%a, %w, %g", s="1, 1, 0, 0, 0, 0, 0, 1", more="", t=f"{T}, {W}, {G}"): "residual has not as many elements",
    LINEAR.format(o="%a, %g", s="1, 1, 0, 0, 0, 0, 0, 0", more="", t=f"{T}, {G}"): "wf.linear: w0 is no matrix",
}


@pytest.mark.parametrize("op", MALFORMED)
def test_malformed(welford, tmp_path, op):
    path = tmp_path / "f.mlir"
    path.write_text(f"func.func @main(%a: {T}, %g: {G}, %w: {W}, %k: tensor<6x4xf32>) -> {T} {{\n{op}\nreturn %y : {T}\n}}\n")
    np.save(tmp_path / "a.npy", np.ones((4, 8), "f4"))
    for command in (["opt", path], ["exec", path, *["--input", tmp_path / "a.npy"] * 4]):
        done = welford.run(*command).failed(1)
        assert re.search(r"f\.mlir:[23]:\d+: ", done.stderr) and re.search(MALFORMED[op], done.stderr), done.stderr


NEEDS_A_CHECKPOINT = [
    '%t:2 = "wf.rope_table"() {table = 0 : i64} : () -> (tensor<4x4xf32>, tensor<4x4xf32>)\n'
    f'%y = "wf.rope"(%a, %t#0, %t#1) {{n_heads = 1 : i64}} : ({T}, tensor<4x4xf32>, tensor<4x4xf32>) -> {T}',
    f'%y = "wf.rms_norm"(%a) {{eps = 1.0e-6 : f64, n_heads = 2 : i64}} : ({T}) -> {T}',
    f'%y = "wf.cached_attention"(%a) {{n_heads = 2 : i64, n_kv_heads = 2 : i64, scale = 1.0 : f64, cache = 0 : i64}} : ({T}) -> {T}',
    '%y = "wf.attention"(%a, %a, %a) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, n_heads = 2 : i64, n_kv_heads = 2 : i64, '
    f'scale = 1.0 : f64, causal = true, cache = 0 : i64}} : ({T}, {T}, {T}) -> {T}',
    f'%q = "wf.quantize"(%a) : ({T}) -> tensor<4x8x!wf.q8>\n%y = "wf.linear"(%q, %w) {{operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0>}}'
    f' : (tensor<4x8x!wf.q8>, {W}) -> {T}',
]


@pytest.mark.parametrize("text", NEEDS_A_CHECKPOINT)
def test_only_of_checkpoints(welford, tmp_path, text):
    """Well-formed, but nothing that a graph can run: refused, not run as something else."""
    path = tmp_path / "f.mlir"
    path.write_text(f"func.func @main(%a: {T}, %w: {W}) -> {T} {{\n{text}\nreturn %y : {T}\n}}\n")
    np.save(tmp_path / "a.npy", np.ones((4, 8), "f4"))
    np.save(tmp_path / "w.npy", np.ones((8, 8), "f4"))
    welford.run("opt", path, "--passes=raise").ok()
    done = welford.run("exec", path, "--input", tmp_path / "a.npy", "--input", tmp_path / "w.npy").failed(1)
    assert re.search(r"f\.mlir:[23]:\d+: ", done.stderr), done.stderr


NUMBERS = ["0", "-1", "2", "3", "7", "1000000", "9223372036854775807"]
ELEMENTS = ["i32", "i1", "index", "f64", "!wf.q8", "!wf.q4_0"]


def damage(line, rng):
    """One of: another number, an attribute less, one of another name, other element types."""
    kind, pattern = [("number", r"(?<![\w%.])-?\d+(?=[ ,>x])"), ("without", r"\w+ = [^,{}]+(, )?"), ("renamed", r"\w+(?= = )"),
                     ("element", r"(f32|f16|bf16)(?=>)")][rng.integers(4)]
    found = list(re.finditer(pattern, line))
    if not found:
        return line
    m = found[rng.integers(len(found))]
    new = {"number": NUMBERS[rng.integers(len(NUMBERS))], "without": "", "renamed": m[0] + "x", "element": ELEMENTS[rng.integers(len(ELEMENTS))]}
    return line[:m.start()] + new[kind] + line[m.end():]


@pytest.mark.parametrize("seed", range(12))
def test_damaged(welford, tmp_path, seed):
    """Whatever is wrong with an op: it is refused in one line, or it is no op that is wrong."""
    rng = np.random.default_rng(seed)
    g = Graph(rng)
    for add in (add_norm, add_linear, add_attention):
        add(g)
    arguments = []
    for i, x in enumerate(g.inputs):
        np.save(tmp_path / f"{i}.npy", x)
        arguments += ["-i", tmp_path / f"{i}.npy"]
    lines = list(g.lines)
    for i, line in enumerate(lines):
        g.lines[i] = damage(line, rng)
        (tmp_path / "f.mlir").write_text(g.text())
        g.lines[i] = line
        for command in (["opt", tmp_path / "f.mlir"], ["exec", tmp_path / "f.mlir", *arguments]):
            done = welford.run(*command)
            if done.exit:
                assert "f.mlir" in done.failed(1).stderr and "after pass" not in done.stderr, done.stderr
