"""500 damaged model files: each is refused with one line, or works; never a signal, a sanitizer's report or a hang."""
import random
import subprocess

import numpy as np
import pytest
from damage import ANY, DAMAGES, REFUSE, RUN, damaged_files, valid_model
from tiny_gguf import BF16, F16, F32, Q4_0, Q4_1, Q8_0, dequantize, quantize, tiny_llama

COUNT = 500
TIMEOUT = 60  # seconds for one file; sanitizers are slow

# Verb, options before and after the file.
COMMANDS = {
    "info": ["info", "--tensors", "MODEL"],
    "tokenize": ["tokenize", "MODEL", "-p", "hello"],
    "run": ["run", "MODEL", "-p", "hi", "-n", "1"],
}
SANITIZERS = ("AddressSanitizer", "LeakSanitizer", "runtime error:")


@pytest.fixture
def command(request, welford):
    """The command line of a verb as a list; skips a verb that this build does not have."""
    verb = request.param
    if f"\n  {verb} " not in welford.run("--help").ok().stdout:
        pytest.skip(f"no verb {verb} in this build")
    return COMMANDS[verb]


def run(welford, command, path):
    return welford.run(*[path if word == "MODEL" else word for word in command], timeout=TIMEOUT)


def find_fault(result, verb, verdict):
    """None, or what is wrong with how the program ended."""
    if any(word in result.stderr for word in SANITIZERS):
        return "a sanitizer's report"
    if result.exit == 0:
        must_fail = verdict == REFUSE or (verdict == RUN and verb == "run")
        return "accepted" if must_fail else None
    if result.exit != 1:
        return f"exit {result.exit}"
    if not result.stderr.endswith("\n") or result.stderr.count("\n") != 1 or result.stdout:
        return "not exactly one line"
    if not result.stderr.startswith(f"welford {verb}: "):
        return f"does not begin with 'welford {verb}: '"
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in result.stderr[:-1]):
        return "control characters in the message"
    return None


@pytest.mark.parametrize("command", COMMANDS, indirect=True)
def test_valid_model_works(welford, command, fresh_cache, tmp_path):
    path = tmp_path / "valid.gguf"
    path.write_bytes(valid_model().encode())
    run(welford, command, path).ok()


@pytest.mark.parametrize("command", COMMANDS, indirect=True)
def test_damaged_files(welford, command, fresh_cache, tmp_path):
    verb, faults, refused = command[0], [], 0
    path = tmp_path / "damaged.gguf"
    for case in damaged_files(COUNT):
        path.write_bytes(case.data)
        try:
            result = run(welford, command, path)
        except subprocess.TimeoutExpired:
            faults.append(f"{case.name}: no end after {TIMEOUT} s")
            continue
        refused += result.exit == 1
        fault = find_fault(result, verb, case.verdict)
        if fault:
            faults.append(f"{case.name} ({case.verdict}): {fault}: exit {result.exit}: {result.stderr[:2000]}")
    assert not faults, f"{len(faults)} of {COUNT}:\n" + "\n".join(faults)
    assert refused > COUNT // 2


@pytest.mark.parametrize("reason, data", [
    ("file ends", b"GGUF\3\0\0\0"), ("not a GGUF file", b""), ("not a GGUF file", b"GGML"),
    ("version 9", b"GGUF\x09\0\0\0"),
])
def test_message_names_file_and_reason(welford, tmp_path, reason, data):
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    message = welford.run("info", path).failed().stderr
    assert str(path) in message and reason in message


# ---- the generator itself

def test_damages_are_repeatable_and_differ():
    first, again = list(damaged_files(COUNT)), list(damaged_files(COUNT))
    assert [c.data for c in first] == [c.data for c in again]
    assert {c.name.split("-")[1] for c in first} == {d.__name__ for d in DAMAGES}
    valid = {valid_model(seed).encode() for seed in range(4)}
    assert not [c.name for c in first if c.data in valid]
    assert len({c.data for c in first}) > 0.9 * COUNT
    assert {c.verdict for c in first} == {REFUSE, RUN, ANY}


def test_tiny_model_reads_back_by_another_reader(tmp_path):
    gguf = pytest.importorskip("gguf")
    model = tiny_llama(types={"attn_q": Q4_0, "ffn": Q4_1, "token_embd": Q8_0, "attn_v": BF16}, biases=True)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(model.encode())
    reader = gguf.GGUFReader(path)
    assert reader.fields["tokenizer.ggml.tokens"].contents() == model.get("tokenizer.ggml.tokens")
    assert len(reader.tensors) == len(model.tensors)
    for read in reader.tensors:
        meant = gguf.quants.dequantize(read.data, read.tensor_type)
        np.testing.assert_array_equal(meant.reshape(model.weights[read.name].shape), model.weights[read.name])


@pytest.mark.parametrize("type", [F32, F16, BF16, Q8_0, Q4_0, Q4_1])
def test_quantisers_equal_another_implementation(type):
    gguf = pytest.importorskip("gguf")
    rng = np.random.default_rng(random.Random(type).randrange(1000))
    x = rng.standard_normal((50, 64)).astype(np.float32)
    x[0] = 0
    x[1] *= 1e4
    x[2] = 3.5
    kind = gguf.GGMLQuantizationType(type)
    data, expected = quantize(x, type), gguf.quants.quantize(x, kind)
    assert data == expected.tobytes()
    np.testing.assert_array_equal(dequantize(data, type, x.shape), gguf.quants.dequantize(expected, kind))
