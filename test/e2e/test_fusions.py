"""Fusions: each took effect, can be switched off, and changes nothing but the rounding.

The kernels of a plan tell what ran; the report tells what the passes say they did. Both are compared.
"""
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

import tiny_gguf

FUSIONS = ["qkv", "linear-swiglu", "linear-residual", "rope-kv", "attention", "residual-norm", "quantize-output"]
CASES = json.loads((Path(__file__).parent / "golden/smollm2.json").read_text())["cases"]
PARIS = next(c for c in CASES if c["min_margin"] > 1)  # no rounding turns a margin as wide as that
PROMPT = ["-p", PARIS["messages"][0]["content"]] if PARIS["messages"] else ["--raw", "-p", PARIS["prompt"]]

# What a fusion leaves in the plan of SmolLM2, 30 layers: kernels of that name with it, and with it alone off.
KERNELS = {
    "qkv": (r"linear_", 121, 181),
    "linear-swiglu": (r"linear_\w*_swiglu", 30, 0),
    "linear-residual": (r"linear_\w*_residual", 60, 0),
    "rope-kv": (r"rope_store_", 30, 0),
    "attention": (r"attention_\d", 30, 0),
    "residual-norm": (r"rms_norm_\w*_residual", 0, 0),  # linear-residual adds everywhere: see test_residual_norm
    "quantize-output": (r"rms_norm_\w*_f32_q8_|attention_\w*_q8|linear_\w*_swiglu_q8|swiglu_\w*q8", 121, 0),
}
# Found and fused, with all fusions on.
REPORT = {"qkv": (30, 30), "linear-swiglu": (30, 30), "linear-residual": (60, 60), "rope-kv": (30, 30),
          "attention": (30, 30), "residual-norm": (59, 0), "quantize-output": (121, 121)}


def off(*fusions: str) -> list[str]:
    return ["--no-fuse", ",".join(fusions)] if fusions else []


def read_report(stderr: str) -> dict[str, tuple[int, int, str]]:
    """fusion: (found, fused, why not)"""
    lines = re.findall(r"^([a-z][a-z-]+) +(\d+) +(\d+) *(.*)$", stderr, re.MULTILINE)
    return {name: (int(found), int(fused), why) for name, found, fused, why in lines}


def read_kernels(stderr: str) -> list[str]:
    """The kernels of the calls. Attention, which has further calls for a long past, counts once."""
    calls = re.findall(r"^[+ ] *\d+  ([a-z]\w+)  +(\S+(?: \S+)*)", stderr, re.MULTILINE)
    return [kernel for kernel, label in calls if not re.search("attention (parts|merge)$", label)]


def count(kernels: list[str], pattern: str) -> int:
    return sum(re.match(pattern, name) is not None for name in kernels)


@pytest.fixture
def compile_only(welford, smollm2):
    """The report and the kernels of a program of SmolLM2."""
    def run(*options: str):
        stderr = welford.run("run", smollm2, "-p", "x", "-n", 0, "--report", "--print-plan", *options).ok().stderr
        return read_report(stderr), read_kernels(stderr)

    return run


@pytest.fixture
def logits(welford, tmp_path):
    def run(model: Path, *options: str, env: dict[str, str] | None = None) -> np.ndarray:
        welford.run("logits", model, *options, "-o", tmp_path / "logits.npy", env=env).ok()
        return np.load(tmp_path / "logits.npy")

    return run


def test_the_list_is_complete(welford):
    text = welford.run("opt", "--list").ok().stdout
    section = re.search(r"^fuse: .*\n((?:  .*\n)+)", text, re.MULTILINE)[1]
    assert [line.split()[0] for line in section.splitlines()] == FUSIONS


def test_kernels_are_listed(welford, compile_only, tmp_path):
    """What plans call, of models, graphs and the ceilings, stands in the table of kernels, in a file that exists."""
    section = welford.run("opt", "--list").ok().stdout.split("\nkernels: ")[1].splitlines()[1:]
    listed = {line.split()[0]: line.split()[1] for line in section}
    called = {kernel for options in ([], off(*FUSIONS)) for kernel in compile_only(*options)[1]}
    x = tmp_path / "x.npy"
    np.save(x, np.arange(16, dtype=np.int64).reshape(1, 16))
    root = Path(__file__).resolve().parents[2]
    graph = welford.run("exec", root / "test/graphs/tosa/qwen2_tiny_s16.mlir", "-i", x, "--print-plan").ok()
    called |= set(read_kernels(graph.stderr)) | {"ceiling_fma", "ceiling_bf16", "ceiling_int8", "ceiling_read"}
    for kernel in called:
        assert re.match(r"(ceiling|[a-z_]+?(?=_\d|_[qf]\d|_bf16))", kernel)[0] in listed, kernel
    assert "nest" in {kernel.split("_")[0] for kernel in called}
    for name, file in listed.items():
        text = (root / "src/compiler" / file).read_text()
        assert f'"{name}"' in text, name


def test_all_take_effect(compile_only):
    report, kernels = compile_only()
    assert {name: line[:2] for name, line in report.items()} == REPORT
    assert report["residual-norm"][2] == "59 a linear adds as it stores (linear-residual)"
    assert all(line[2] == "" for name, line in report.items() if name != "residual-norm")
    for name, (pattern, n_on, _) in KERNELS.items():
        assert count(kernels, pattern) == n_on, name
    assert len(kernels) == 30 * 8 + 4  # embed; per layer 2 norms, 4 linears, rope, attention; rows, norm, head


@pytest.mark.parametrize("name", FUSIONS)
def test_switched_off(compile_only, name):
    report, kernels = compile_only(*off(name))
    pattern, _, n_off = KERNELS[name]
    assert count(kernels, pattern) == n_off
    assert report[name] == (REPORT[name][0], 0, f"{REPORT[name][0]} switched off")


def test_all_switched_off(compile_only):
    report, kernels = compile_only(*off(*FUSIONS))
    assert all(line[1] == 0 and "switched off" in line[2] for line in report.values()) and len(report) == len(FUSIONS)
    for name, (pattern, _, n_off) in KERNELS.items():
        if name != "qkv":
            assert count(kernels, pattern) == n_off, name
    # a layer: 2 norms, 7 linears, 2 ropes, store, 3 of attention, swiglu, 2 sums, and quantize before qkv, o, gate/up,
    # down
    assert len(kernels) == 30 * 22 + 5
    assert count(kernels, "linear_") == 30 * 7 + 1 and count(kernels, "quantize_") == 30 * 4 + 1


def test_attention(compile_only):
    """Unfused: three kernels a layer, of which the last takes over the quantisation; memory for all scores."""
    report, kernels = compile_only(*off("attention"))
    for step in ("scores", "softmax", "values"):
        assert count(kernels, f"attention_{step}_") == 30
    assert count(kernels, r"attention_values_\w*_q8") == 30 and report["quantize-output"][:2] == (121, 121)
    assert len(kernels) == 30 * 10 + 4


def test_residual_norm(compile_only):
    report, kernels = compile_only(*off("linear-residual"))
    assert report["residual-norm"] == (59, 59, "") and report["quantize-output"][:2] == (121, 121)
    assert count(kernels, r"rms_norm_\w*_q8_residual") == 59
    assert count(kernels, "add_") == 1  # the last sum, between which and its norm rows are selected
    _, kernels = compile_only(*off("linear-residual", "residual-norm"))
    assert count(kernels, r"rms_norm_\w*_residual") == 0 and count(kernels, "add_") == 60


def test_only_these(compile_only):
    report, kernels = compile_only("--fuse", "linear-swiglu,quantize-output")
    assert {name for name, line in report.items() if line[1]} == {"linear-swiglu", "quantize-output"}
    assert count(kernels, KERNELS["linear-swiglu"][0]) == 30 and count(kernels, r"rms_norm_\w*_f32_q8_") == 61
    assert count(kernels, KERNELS["linear-residual"][0]) == 0 and count(kernels, KERNELS["rope-kv"][0]) == 0


def test_the_old_name_of_a_switch(compile_only):
    """norm-linear was a fusion of its own before it became a part of quantize-output."""
    assert compile_only(*off("norm-linear")) == compile_only(*off("quantize-output"))
    assert compile_only("--fuse", "norm-linear") == compile_only("--fuse", "quantize-output")


def test_unknown_names(welford, smollm2):
    for option in ("--fuse", "--no-fuse"):
        for name in ("nothing", "quantize-activations"):
            assert name in welford.run("run", smollm2, "-p", "x", option, name, "--no-cache").failed(2).stderr


def test_every_subset_gives_the_same_tokens(welford, smollm2, logits):
    """All fusions, none, each one off, all pairs off.

    Attention alone sums in another order when it is unfused. Here every rounding that turns an 8-bit value is felt:
    the logits then differ by what they differ between two types of the KV cache. Without 8-bit blocks (test_float_attention)
    they are the same to 1e-4.
    """
    expected = logits(smollm2, *PROMPT)
    sets = [FUSIONS, *itertools.combinations(FUSIONS, 1), *itertools.combinations(FUSIONS, 2)]
    for fusions in sets:
        answer = json.loads(welford.run("run", smollm2, *PROMPT, "--temp", 0, "-n", 8, "--json", *off(*fusions)).ok().stdout)
        assert answer["text"] == PARIS["output_text"], fusions
        difference = np.abs(logits(smollm2, *PROMPT, *off(*fusions)) - expected).max()
        assert difference < (3 if "attention" in fusions else 0.5), (fusions, difference)


@pytest.mark.parametrize("n_tokens", [1, 70, 300])
def test_float_attention(logits, tmp_path, n_tokens):
    """Fused and unfused attention of a model in f32: one block of positions, several, and deep enough to be split."""
    model = tmp_path / "tiny.gguf"
    model.write_bytes(tiny_gguf.tiny_llama(default_type=tiny_gguf.F32, biases=True, context=320).encode())
    args = [model, "--ids", "-p", " ".join(str(2 + i % 50) for i in range(n_tokens)), "-b", "37"]
    fused, unfused = logits(*args), logits(*args, *off("attention"))
    assert fused.std() > 0.01 and np.abs(fused - unfused).max() < 1e-4 * np.abs(fused).max()
    assert n_tokens == 1 or (fused != unfused).any()


def test_many_heads_a_group(logits, tmp_path):
    """8 heads share a key head: a call of 8 tokens deep in a context has more tiles a span than one."""
    model = tmp_path / "tiny.gguf"
    tiny = tiny_gguf.tiny_llama(default_type=tiny_gguf.F32, n_embd=128, heads=8, kv_heads=1, context=320)
    model.write_bytes(tiny.encode())
    args = [model, "--ids", "-p", " ".join(str(2 + i % 50) for i in range(272))]
    at_once, in_chunks = logits(*args), logits(*args, "-b", "8")
    assert np.abs(at_once - in_chunks).max() < 1e-4 * np.abs(at_once).max()


@pytest.mark.parametrize("fusions", [[], ["linear-residual"], FUSIONS], ids=["all on", "residual-norm on", "all off"])
@pytest.mark.parametrize("kind", ["smollm2", "q4", "f32"])
def test_no_call_reads_what_is_dead(request, logits, tmp_path, kind, fusions):
    """With memory that no later call may read filled with NaNs the logits stay the same, bit by bit."""
    if kind == "smollm2":
        model = request.getfixturevalue("smollm2")
    else:
        model = tmp_path / "tiny.gguf"
        types = {"ffn_down": tiny_gguf.Q8_0} if kind == "q4" else {}
        default = tiny_gguf.Q4_1 if kind == "q4" else tiny_gguf.F32
        model.write_bytes(tiny_gguf.tiny_llama(types=types, default_type=default, biases=True).encode())
    args = [model, "--raw", "-p", "The capital of France", *off(*fusions)]
    plain, poisoned = logits(*args), logits(*args, env={"WELFORD_POISON": "1"})
    assert np.isfinite(plain).all() and plain.std() > 0
    assert plain.tobytes() == poisoned.tobytes()
