"""welford info, and what the command line does whatever the verb."""
import json
import subprocess

import pytest
from tiny_gguf import ARRAY, CHATML, F16, F32_VALUE, Q4_0, STRING, U32, tiny_llama


@pytest.fixture
def model():
    return tiny_llama(types={"attn_q": Q4_0, "attn_v": F16}, chat_template=CHATML)


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(model.encode())
    return path


def test_json_equals_the_file(welford, model, path):
    info = json.loads(welford.run("info", "--json", "--tensors", path).ok().stdout)
    assert info["architecture"] == "llama" and info["context"] == 256 and info["tokens"] == 300
    assert info["chat_template"] is True and info["cut_short"] is False
    assert info["parameters"] == sum(w.size for w in model.weights.values())
    assert info["file_bytes"] == path.stat().st_size
    assert info["tensor_bytes"] == sum(len(t.data) for t in model.tensors)
    assert info["bits_per_weight"] == pytest.approx(8 * info["tensor_bytes"] / info["parameters"], abs=1e-3)
    assert info["tensor_types"] == {"F32": len(model.tensors) - 4, "F16": 2, "Q4_0": 2}
    assert list(info["metadata"]) == [key for key, _ in model.values]
    assert info["metadata"]["tokenizer.chat_template"] == CHATML
    tokens = model.get("tokenizer.ggml.tokens")
    assert info["metadata"]["tokenizer.ggml.tokens"] == {"type": "string", "count": 300, "first": tokens[:8]}
    data = path.read_bytes()
    for shown, tensor in zip(info["tensors"], model.tensors, strict=True):
        assert (shown["name"], tuple(shown["shape"]), shown["bytes"]) == (tensor.name, tensor.shape, len(tensor.data))
        assert data[shown["offset"]:shown["offset"] + shown["bytes"]] == tensor.data


def test_text(welford, path):
    lines = welford.run("info", path, "--tensors").ok().stdout.splitlines()
    rows = [line.split() for line in lines]
    assert ["architecture", "llama"] in rows and ["tokenizer", "gpt2,", "smollm,", "300", "tokens"] in rows
    assert ["llama.rope.freq_base", "f32", "10000"] in rows
    assert ["tokenizer.ggml.add_bos_token", "bool", "false"] in rows
    assert any(row[:5] == ["blk.0.attn_k.weight", "F32", "[32,", "64]", "8192"] for row in rows)
    assert not any("blk.0" in line for line in welford.run("info", path).ok().stdout.splitlines())


def test_file_cut_short_after_its_header(welford, path):
    path.write_bytes(path.read_bytes()[:-1000])
    assert "CUT SHORT" in welford.run("info", path).ok().stdout
    assert json.loads(welford.run("info", "--json", path).ok().stdout)["cut_short"] is True


def test_hostile_strings(welford, model, path):
    model.set("general.name", STRING, b"\x1b[31m\n\"\\\xff\xc2\x9b\0end")
    model.set("odd\x1b\n", ARRAY, [b"\xff", "\x07", "x" * 1000])
    model.set("nan", F32_VALUE, float("nan"))
    path.write_bytes(model.encode())
    text = welford.run("info", path).ok().stdout
    assert not any(ord(c) < 0x20 and c != "\n" or 0x7F <= ord(c) < 0xA0 for c in text)
    metadata = json.loads(welford.run("info", "--json", path).ok().stdout)["metadata"]
    assert metadata["general.name"] == "\x1b[31m\n\"\\\ufffd\x9b\0end"
    assert metadata["odd\x1b\n"]["first"] == ["\ufffd", "\x07", "x" * 1000] and metadata["nan"] is None


def test_keys_of_unexpected_types(welford, model, path):
    for key in ("general.architecture", "general.name", "tokenizer.ggml.model", "tokenizer.ggml.tokens",
                "tokenizer.chat_template"):
        model.set(key, U32, 7)
    path.write_bytes(model.encode())
    info = json.loads(welford.run("info", "--json", path).ok().stdout)
    assert info["architecture"] == "" and info["tokens"] == 0 and info["chat_template"] is False


def test_real_model(welford, smollm2):
    info = json.loads(welford.run("info", "--json", smollm2).ok().stdout)
    assert info["parameters"] == 134515008 and info["tensor_types"] == {"F32": 61, "Q4_1": 210, "Q8_0": 1}


@pytest.mark.parametrize("args, message", [
    ([], "no model file"), (["a", "b"], "more than one"), (["--nonsense", "a"], "nonsense"),
])
def test_usage_errors(welford, args, message):
    assert message in welford.run("info", *args).failed(2).stderr


def test_sampling(welford, smollm2):
    assert "\nsampling        temp 0.8, top-k 40, " in welford.run("info", smollm2).ok().stdout
    wanted = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1, "repeat_last_n": 64}
    assert json.loads(welford.run("info", smollm2, "--json").ok().stdout)["sampling"] == wanted


def test_missing_file_and_folder(welford, tmp_path):
    assert "No such file" in welford.run("info", tmp_path / "absent").failed().stderr
    assert "config.json: No such file" in welford.run("info", tmp_path).failed().stderr


def test_command_line(welford):
    usage = welford.run("--help").ok()
    assert "info" in usage.stdout and not usage.stderr
    assert welford.run("--version").ok().stdout.startswith("welford ")
    assert "Usage: welford info" in welford.run("info", "--help").ok().stdout
    assert "'nonsense'" in welford.run("nonsense").failed(2).stderr
    nothing = welford.run()
    assert nothing.exit == 2 and not nothing.stdout and "Usage" in nothing.stderr


def test_full_disk_is_a_failure(welford, path):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([welford.path, "info", path], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"No space left" in done.stderr
