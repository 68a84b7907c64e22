"""welford compile: what a .wf file gives is what its model or function gives, without compiler and cache."""
import json
import random
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from damage import valid_model
from test_damage import find_fault
from test_exec import GRAPHS, Function
from tiny_gguf import BF16, CHATML, F32_VALUE, U32, tiny_llama
from tiny_hf import write_hf

TEXT = "hello the cat is in the world"
CHAT = json.dumps([{"role": "user", "content": "hello"}])
ADD = """func.func @add(%a: tensor<?x4xf32>, %b: tensor<2x4xf32>) -> tensor<?x4xf32> {
  %0 = tosa.add %a, %b : (tensor<?x4xf32>, tensor<2x4xf32>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}"""


@pytest.fixture
def alone(welford, tmp_path):
    """welford without compiler and with an empty cache, which must stay empty."""
    cache = tmp_path / "no-cache"

    def run(*args, env=None, **options):
        hidden = {"WELFORD_COMPILER": str(tmp_path / "hidden.so"), "WELFORD_CACHE": str(cache)}
        result = welford.run(*args, env=hidden | (env or {}), **options)
        assert not list(cache.glob("programs/*")), "a program was compiled"
        return result
    return run


@pytest.fixture
def gguf(tmp_path):
    model = valid_model()
    model.set("general.sampling.temp", F32_VALUE, 0.25)
    model.set("general.sampling.top_k", U32, 7)
    path = tmp_path / "model.gguf"
    path.write_bytes(model.encode())
    return path


def results(run, model, tmp_path, tag):
    """What every verb that takes a model says of it."""
    logits = tmp_path / f"{tag}.npy"
    run("logits", model, "--raw", "-p", TEXT, "-o", logits).ok()
    (tmp_path / "text.txt").write_text(TEXT * 40)
    ppl = run("ppl", model, "-f", tmp_path / "text.txt", "-c", "32").ok().stdout
    answer = json.loads(run("run", model, "--raw", "-p", TEXT, "-n", "12", "--temp", "0", "--json").ok().stdout)
    return {
        "logits": logits.read_bytes(),
        "ppl": re.findall(r"\d+\.\d{3,}", ppl)[:1],
        "run": (answer["tokens"], answer["text"]),
        "tokens": run("tokenize", model, "-p", TEXT + " <|im_end|>\n").ok().stdout,
        "prompt": run("template", model, input=CHAT).ok().stdout,
    }


# ---- models

@pytest.mark.parametrize("options", [[], ["--kv", "f32"], ["--no-fuse", "attention,qkv"]], ids=" ".join)
def test_same_bytes_as_the_gguf_file(welford, alone, gguf, fresh_cache, tmp_path, options):
    wf = tmp_path / "model.wf"
    welford.run("compile", gguf, "-o", wf, *options).ok()
    direct = tmp_path / "direct.npy"
    welford.run("logits", gguf, "--raw", "-p", TEXT, "-o", direct, *options).ok()
    gguf.unlink()
    ahead = tmp_path / "ahead.npy"
    alone("logits", wf, "--raw", "-p", TEXT, "-o", ahead).ok()
    assert direct.read_bytes() == ahead.read_bytes()


def test_every_verb(welford, alone, gguf, fresh_cache, tmp_path):
    wf = tmp_path / "other" / "model.wf"
    wf.parent.mkdir()
    welford.run("compile", gguf, "-o", wf).ok()
    direct = results(welford.run, gguf, tmp_path, "direct")
    gguf.unlink()
    assert results(alone, wf, tmp_path, "ahead") == direct and direct["ppl"]
    bench = json.loads(alone("bench", wf, "-p", "8", "-n", "4", "-r", "1", "-o", "json").ok().stdout)
    assert bench
    info = json.loads(alone("info", wf, "--json").ok().stdout)
    assert info["runs"] and info["file_bytes"] == wf.stat().st_size and info["chat_template"]
    assert info["sampling"]["temperature"] == 0.25 and info["sampling"]["top_k"] == 7
    assert [p["cpu"] for p in info["compiled"]["programs"]] == ["native"] and info["compiled"]["weights_bytes"] > 0


def test_hugging_face_folder(welford, alone, fresh_cache, tmp_path):
    model = tiny_llama(seed=3, default_type=BF16)
    folder = write_hf(model, tmp_path / "model", shards=2, chat_template=CHATML, generation={"temperature": 0.5})
    welford.run("compile", folder, "-o", tmp_path / "model.wf").ok()
    direct = results(welford.run, folder, tmp_path, "direct")
    assert results(alone, tmp_path / "model.wf", tmp_path, "ahead") == direct
    assert json.loads(alone("info", tmp_path / "model.wf", "--json").ok().stdout)["sampling"]["temperature"] == 0.5


def test_cpu_types_share_the_weights(welford, alone, gguf, fresh_cache, tmp_path):
    one, three = tmp_path / "one.wf", tmp_path / "three.wf"
    welford.run("compile", gguf, "-o", one, "--cpu", "haswell").ok()
    welford.run("compile", gguf, "-o", three, "--cpu", "znver4,haswell,native").ok()
    info = json.loads(alone("info", three, "--json").ok().stdout)["compiled"]
    assert [p["cpu"] for p in info["programs"]] == ["znver4", "haswell", "native"]
    assert "AVX512_BF16" in info["programs"][0]["needs"] and "AVX-512" not in info["programs"][1]["needs"]
    weights = json.loads(alone("info", one, "--json").ok().stdout)["compiled"]["weights_bytes"]
    assert info["weights_bytes"] == weights
    logits = {}
    for name, path, cpu in [("haswell", gguf, "haswell"), ("of one", one, "haswell"), ("of three", three, "haswell"),
                            ("native", gguf, ""), ("of three, native", three, "")]:
        out = tmp_path / "out.npy"
        run = welford.run if path == gguf else alone
        run("logits", path, "--raw", "-p", TEXT, "-o", out, env={"WELFORD_CPU": cpu}).ok()
        logits[name] = out.read_bytes()
    assert logits["haswell"] == logits["of one"] == logits["of three"]
    assert logits["native"] == logits["of three, native"]


def test_a_cpu_that_lacks_features(welford, alone, gguf, fresh_cache, tmp_path):
    wf = tmp_path / "model.wf"
    welford.run("compile", gguf, "-o", wf, "--cpu", "skylake-avx512,znver4").ok()
    message = alone("run", wf, "-p", "x", env={"WELFORD_CPU": "haswell"}).failed().stderr
    assert "compiled for skylake-avx512, but this CPU lacks AVX-512 (F, BW, CD, DQ, VL)" in message
    assert re.search(r"compiled for znver4, but this CPU lacks .*AVX512_BF16.*GFNI", message)
    shown = alone("info", wf, env={"WELFORD_CPU": "haswell"}).ok().stdout
    assert re.search(r"^runs +no: .*lacks AVX-512", shown, re.M) and "znver4" in shown


def test_without_weights(welford, alone, gguf, fresh_cache, tmp_path):
    wf, moved = tmp_path / "model.wf", tmp_path / "away" / "weights.gguf"
    welford.run("compile", gguf, "-o", wf, "--no-weights").ok()
    assert wf.stat().st_size < gguf.stat().st_size
    direct = results(welford.run, gguf, tmp_path, "direct")
    assert results(alone, wf, tmp_path, "beside") == direct
    moved.parent.mkdir()
    gguf.rename(moved)
    message = alone("run", wf, "-p", "x").failed().stderr
    assert "model.gguf does not lie beside it" in message and "--weights-from" in message
    run = lambda verb, *args, **options: alone(  # noqa: E731
        verb, *args, *(["--weights-from", moved] if verb in ("run", "logits", "ppl") else []), **options)
    assert results(run, wf, tmp_path, "moved") == direct
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny_llama(seed=9, layers=3).encode())
    assert "not the checkpoint" in alone("run", wf, "-p", "x", "--weights-from", other).failed(exit=2).stderr


def test_sessions_go_on_with_the_file(welford, alone, gguf, fresh_cache, tmp_path):
    wf, cache = tmp_path / "model.wf", tmp_path / "prompt.session"
    welford.run("compile", gguf, "-o", wf).ok()
    run = ["--raw", "-p", TEXT, "-n", "4", "--temp", "0", "--prompt-cache", cache, "--json"]
    first = json.loads(welford.run("run", gguf, *run).ok().stdout)
    again = alone("run", wf, *run).ok()
    assert json.loads(again.stdout)["tokens"] == first["tokens"] and again.stderr == ""


@pytest.mark.parametrize("args, reason", [
    (["--no-fuse", "qkv"], "--no-fuse is for `welford compile`"),
    (["--weights", "q8_0"], "--weights is for `welford compile`"),
    (["--kv", "f32"], "--kv f32 is for `welford compile`"),
    (["--weights-from", "/x.gguf"], "--weights-from: the file has its weights"),
])
def test_options_of_the_compiler_are_refused(welford, alone, gguf, fresh_cache, tmp_path, args, reason):
    welford.run("compile", gguf, "-o", tmp_path / "model.wf").ok()
    assert reason in alone("run", tmp_path / "model.wf", "-p", "x", *args).failed(exit=2).stderr


@pytest.mark.parametrize("args, exit, reason", [
    ([], 2, "-o FILE.wf is needed"),
    (["-o", "OUT", "--cpu", "haswell,vax"], 2, 'unknown CPU "vax"'),
    (["-o", "OUT", "--cpu", ""], 2, 'unknown CPU ""'),
    (["-o", "OUT", "--cpu", "haswell,haswell"], 2, "haswell is there twice"),
    (["-o", "OUT", "--shape", "0=1x2"], 2, "--shape is for functions"),
    (["-o", "OUT", "--weights-from", "/x.gguf"], 2, "--weights-from is for .wf files"),
    (["-o", "/dev/null"], 1, "not a regular file"),
    (["-o", "/nowhere/x.wf"], 1, "No such file"),
])
def test_usage(welford, gguf, tmp_path, args, exit, reason):
    args = [str(tmp_path / "out.wf") if a == "OUT" else a for a in args]
    assert reason in welford.run("compile", gguf, *args).failed(exit=exit).stderr
    assert not (tmp_path / "out.wf").exists()


def test_a_compiled_file_is_not_compiled_again(welford, gguf, fresh_cache, tmp_path):
    wf = tmp_path / "model.wf"
    welford.run("compile", gguf, "-o", wf, "--no-weights").ok()
    before = wf.read_bytes()
    assert "compiled already" in welford.run("compile", wf, "-o", wf).failed(exit=2).stderr
    assert wf.read_bytes() == before


def test_cached_programs_run_without_the_compiler(welford, gguf, fresh_cache, tmp_path):
    args = ["run", gguf, "--raw", "-p", TEXT, "-n", "4", "--temp", "0"]
    hidden = {"WELFORD_COMPILER": str(tmp_path / "hidden.so")}
    assert "hidden.so" in welford.run(*args, env=hidden).failed().stderr
    first = welford.run(*args).ok().stdout
    assert welford.run(*args, env=hidden).ok().stdout == first


def test_real_model(welford, alone, smollm2, fresh_cache, tmp_path):
    """And neither MLIR nor LLVM comes into the process."""
    wf = tmp_path / "smollm2.wf"
    welford.run("compile", smollm2, "-o", wf).ok()
    args = ["-p", "What is the capital of France?", "--temp", "0", "-n", "24"]
    assert alone("run", wf, *args).ok().stdout == welford.run("run", smollm2, *args).ok().stdout
    with subprocess.Popen([str(welford.path), "run", str(wf), "--raw", "-p", "Once upon a time", "-n", "400"],
                          stdout=subprocess.PIPE) as running:
        assert running.stdout.read(1)
        maps = Path(f"/proc/{running.pid}/maps").read_text()
        running.kill()
    assert "smollm2.wf" in maps and not re.search("LLVM|MLIR|welford_compiler", maps), maps


# ---- functions

@pytest.mark.parametrize("file", ["linalg/layernorm_affine.mlir", "tosa/sdpa_mask.mlir", "tosa/qwen2_tiny_s16.mlir"])
def test_functions(welford, alone, fresh_cache, tmp_path, file):
    wf = tmp_path / "f.wf"
    welford.run("compile", GRAPHS / file, "-o", wf, "--cpu", "native,haswell").ok()
    info = json.loads(alone("info", wf, "--json").ok().stdout)
    rng = np.random.default_rng(1)
    inputs = []
    for argument in info["arguments"]:
        shape = argument["shape"]
        inputs.append(rng.integers(0, 9, shape) if argument["type"] == "i64" else
                      rng.standard_normal(shape).astype(np.float32))
    n = len(info["results"])
    direct = Function(welford, GRAPHS / file, tmp_path)(*inputs, n_results=n)
    welford.env["WELFORD_COMPILER"] = str(tmp_path / "hidden.so")
    ahead = Function(welford, wf, tmp_path)(*inputs, n_results=n)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(direct, ahead, strict=True))
    welford.env["WELFORD_CPU"] = "haswell"
    for a, b in zip(direct, Function(welford, wf, tmp_path)(*inputs, n_results=n), strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_sizes_that_the_file_leaves_open(welford, alone, fresh_cache, tmp_path):
    graph, wf = tmp_path / "f.mlir", tmp_path / "f.wf"
    graph.write_text(ADD)
    compile = ["compile", graph, "-o", wf]
    for args, reason in [([], "argument 0 is ?x4xf32: its sizes have to be given"), (["--shape", "0=2x5"], "argument 0: wrong size"), (["--shape", "0=2"], "wrong number of dim"),
                         (["--shape", "0=2x4", "--shape", "2=2x4"], "the function takes 2 arguments"), (["--shape", "0=2y4"], "form N=2x128"),
                         (["--shape", "0=2x4", "--kv", "f32"], "--kv is for models"),
                         (["--shape", "0=2x4", "--entry", "sub"], "no function 'sub'")]:
        assert reason in welford.run(*compile, *args).failed(exit=2).stderr
        assert not wf.exists()
    welford.run(*compile, "--shape", "0=2x4").ok()
    a, b = np.arange(8, dtype=np.float32).reshape(2, 4), np.ones((2, 4), np.float32)
    function = Function(welford, wf, tmp_path)
    assert (function(a, b)[0] == a + b).all()
    wanted = "argument 0 ({0}/i0.npy) is 3x4xf32, the function takes 2x4xf32".format(tmp_path)
    assert wanted in function.run(np.zeros((3, 4), np.float32), b).failed(exit=2).stderr
    assert "is 2x4xf64" in function.run(a.astype(np.float64), b).failed(exit=2).stderr
    assert "takes 2 arguments, 1 is given" in function.run(a).failed(exit=2).stderr
    assert "no function 'sub', but 'add'" in function.run(a, b, options=["--entry", "sub"]).failed(exit=2).stderr
    assert "--no-raise is for `welford compile`" in function.run(a, b, options=["--no-raise"]).failed(exit=2).stderr
    assert (function(a, b, options=["--entry", "add"])[0] == a + b).all()


def test_one_program_for_any_sizes(welford, alone, fresh_cache, tmp_path):
    """Where all ops allow it; --shape fixes them all the same."""
    graph, wf = GRAPHS / "linalg/layernorm_affine_dyn.mlir", tmp_path / "f.wf"
    welford.run("compile", graph, "-o", wf).ok()
    assert re.search(r"^argument 0 +2x(\w+)x768xf32\nresult 0 +2x\1x768xf32$", alone("info", wf).ok().stdout, re.M)
    rng = np.random.default_rng(2)
    direct, ahead = Function(welford, graph, tmp_path), Function(welford, wf, tmp_path)
    for n in (1, 5, 33):
        x = rng.standard_normal((2, n, 768)).astype(np.float32)
        assert ahead(x)[0].tobytes() == direct(x)[0].tobytes()
    assert "the function takes 2x" in ahead.run(np.zeros((3, 1, 768), np.float32)).failed(exit=2).stderr
    welford.run("compile", graph, "-o", wf, "--shape", "0=2x5x768").ok()
    assert json.loads(alone("info", wf, "--json").ok().stdout)["arguments"][0]["shape"] == [2, 5, 768]
    assert "the function takes 2x5x768xf32" in ahead.run(x).failed(exit=2).stderr
    assert ahead(x[:, :5])[0].shape == (2, 5, 768)


SEVERAL = """
func.func @main(%a: tensor<4xf32>) -> tensor<4xf32> {
  %0 = tosa.add %a, %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func @less(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %0 = tosa.sub %a, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
func.func @more(%a: tensor<4xf32>) -> tensor<4xf32> {
  %0 = tosa.exp %a : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
"""


def test_several_functions_in_a_file(welford, alone, fresh_cache, tmp_path):
    graph, wf = tmp_path / "f.mlir", tmp_path / "f.wf"
    graph.write_text(SEVERAL)
    compile = ["compile", graph, "-o", wf]
    for entries, reason in [("main,", "an empty name"), ("main,main", "main is there twice"),
                            ("main,none", "there is no function 'none'")]:
        assert reason in welford.run(*compile, "--entry", entries).failed(exit=2).stderr
    assert "one function at a time" in welford.run(*compile, "--entry", "main,less", "--shape", "0=4").failed(exit=2).stderr
    assert not wf.exists()
    welford.run(*compile, "--entry", "less,more,main", "--cpu", "native,haswell").ok()
    info = json.loads(alone("info", wf, "--json").ok().stdout)
    assert [(f["function"], len(f["arguments"])) for f in info["functions"]] == [("less", 2), ("more", 1), ("main", 1)]
    assert [p["function"] for p in info["compiled"]["programs"]] == ["less", "less", "more", "more", "main", "main"]
    text = alone("info", wf).ok().stdout
    assert "functions compiled ahead of time" in text and "less for haswell" in text
    welford.env["WELFORD_COMPILER"] = str(tmp_path / "hidden.so")
    function, a, b = Function(welford, wf, tmp_path), np.arange(4, dtype=np.float32), np.ones(4, np.float32)
    assert (function(a)[0] == a + a).all()
    assert (function(a, b, options=["--entry", "less"])[0] == a - b).all()
    assert np.allclose(function(a, options=["--entry", "more"])[0], np.exp(a))
    assert "no function 'none', but less, more, main" in function.run(a, options=["--entry", "none"]).failed(exit=2).stderr


def test_one_of_several_functions_is_chosen(welford, fresh_cache, tmp_path):
    """Where none is called main or forward, by name."""
    graph, wf = tmp_path / "f.mlir", tmp_path / "f.wf"
    graph.write_text(SEVERAL)
    welford.run("compile", graph, "-o", wf, "--entry", "less,more").ok()
    function, a = Function(welford, wf, tmp_path), np.zeros(4, np.float32)
    assert "2 functions: choose one by --entry: less, more" in function.run(a).failed(exit=2).stderr
    welford.run("compile", graph, "-o", wf, "--entry", "more").ok()
    assert (function(a)[0] == 1).all()


def test_models_and_functions_are_told_apart(welford, alone, gguf, fresh_cache, tmp_path):
    graph = tmp_path / "f.mlir"
    graph.write_text(ADD)
    welford.run("compile", graph, "-o", tmp_path / "f.wf", "--shape", "0=2x4").ok()
    welford.run("compile", gguf, "-o", tmp_path / "m.wf", "--no-weights").ok()
    for verb in (["run", tmp_path / "f.wf", "-p", "x"], ["tokenize", tmp_path / "f.wf", "-p", "x"],
                 ["bench", tmp_path / "f.wf"]):
        assert "a function on arrays, no model: `welford exec` takes it" in alone(*verb).failed().stderr
    assert "a model, no function: `welford run` takes it" in alone("exec", tmp_path / "m.wf").failed().stderr


# ---- damage

def damaged(data, rng):
    """Damaged copies, and whether the damage may lie in bytes that nobody reads."""
    kind = rng.randrange(4)
    if kind == 0:
        return data[:rng.randrange(len(data))], False
    copy = bytearray(data)
    if kind == 1:
        for _ in range(rng.choice([1, 1, 8])):
            copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        copy[rng.randrange(8, 600)] ^= 1 << rng.randrange(8)
        return bytes(copy), False
    else:
        start, n = rng.randrange(len(copy)), rng.choice([4, 64, 4096])
        copy[start:start + n] = rng.choice([b"\0" * n, b"\xff" * n, rng.randbytes(n)])[:len(copy) - start]
    return bytes(copy), True


@pytest.mark.parametrize("what", ["model", "function"])
def test_damaged_files(welford, alone, gguf, fresh_cache, tmp_path, what):
    source, wf = gguf, tmp_path / "sound.wf"
    if what == "function":
        source = tmp_path / "f.mlir"
        source.write_text(ADD)
        np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    welford.run("compile", source, "-o", wf, *(["--shape", "0=2x4"] if what == "function" else [])).ok()
    path, rng, faults, refused = tmp_path / "damaged.wf", random.Random(what), [], 0
    arrays = ["-i", tmp_path / "x.npy", "-i", tmp_path / "x.npy"]
    commands = {"model": [["run", path, "--raw", "-p", "hi", "-n", "1", "-t", "1"], ["info", path]],
                "function": [["exec", path, *arrays, "-t", "1"], ["info", path]]}[what]
    for command in commands:
        assert alone(*[wf if word == path else word for word in command]).exit == 0
    sound = wf.read_bytes()
    for i in range(250):
        data, perhaps_harmless = damaged(sound, rng)
        path.write_bytes(data)
        command = commands[i % 5 == 4]
        result = alone(*command)
        refused += result.exit == 1
        fault = find_fault(result, command[0], "any" if perhaps_harmless else "refuse")
        if fault and not (command[0] == "exec" and result.exit == 2):
            faults.append(f"{i}: {fault}: exit {result.exit}: {result.stderr[:300]}")
    assert not faults, "\n".join(faults)
    assert refused > 125
