"""Opening a model: what can be refused is refused before anything is compiled or packed, and a run that fails or is killed
leaves no pack behind that no program uses."""
import fcntl
import json
import signal
import subprocess
import time

import pytest
from tiny_gguf import ARRAY, CHATML, STRING, U32, tiny_llama
from tiny_hf import write_hf


@pytest.fixture
def model():
    return tiny_llama(chat_template=CHATML)


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(model.encode())
    return path


def files(cache):
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())


def refused(welford, cache, reason, *args, exit=1, **options):
    """In milliseconds, with one line, and nothing is written."""
    assert reason in welford.run(*args, **options).failed(exit).stderr
    assert files(cache) == []


# ---- what is wrong with the model

@pytest.mark.parametrize("key, type, value, reason", [
    ("tokenizer.ggml.model", STRING, "abacus", "abacus"),
    ("tokenizer.ggml.pre", STRING, "scissors", "scissors"),
    ("llama.attention.key_length", U32, 600, "heads of 600 features"),
    ("general.architecture", STRING, "teapot", "teapot"),
])
def test_metadata(welford, fresh_cache, model, path, key, type, value, reason):
    model.set(key, type, value)
    path.write_bytes(model.encode())
    for args in (["run", "-n", 1, path, "hi"], ["logits", "-p", "hi", path], ["info", path]):
        refused(welford, fresh_cache, reason, *args)


def test_text_longer_than_the_model(welford, fresh_cache, model, path):
    tokens = model.get("tokenizer.ggml.tokens")
    types = model.get("tokenizer.ggml.token_type")
    model.set("tokenizer.ggml.tokens", ARRAY, [*tokens, "<more>"])
    model.set("tokenizer.ggml.token_type", ARRAY, [*types, 1], 5)
    path.write_bytes(model.encode())
    refused(welford, fresh_cache, "301 tokens in the tokenizer, 300 in the model", "run", "-n", 1, path, "hi")


def test_folder_without_tokenizer(welford, fresh_cache, model, tmp_path):
    folder = write_hf(model, tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    for args in (["run", "-n", 1, folder, "hi"], ["logits", "-p", "hi", folder], ["ppl", "-f", __file__, folder]):
        refused(welford, fresh_cache, "tokenizer.json", *args)
    assert "in bench only" in welford.run("info", folder).ok().stdout
    welford.run("bench", "-p", 8, "-n", 0, "-r", 1, folder).ok()


def test_sampling_of_the_checkpoint(welford, fresh_cache, model, tmp_path):
    folder = write_hf(model, tmp_path / "model", generation={"top_p": 7})
    refused(welford, fresh_cache, "top_p", "run", "-n", 1, folder, "hi")


@pytest.mark.parametrize("template, reason", [("{% for m in messages %}", "endfor"), ("{{ raise_exception('not so') }}", "not so")])
def test_template(welford, fresh_cache, model, path, tmp_path, template, reason):
    (tmp_path / "own.jinja").write_text(template)
    refused(welford, fresh_cache, reason, "run", "-n", 1, "--chat-template", tmp_path / "own.jinja", path, "hi")
    model.set("tokenizer.chat_template", STRING, template)
    path.write_bytes(model.encode())
    for args in (["run", "-n", 1, path, "hi"], ["logits", "-p", "hi", path]):
        refused(welford, fresh_cache, reason, *args)
    welford.run("run", "-n", 1, "--raw", path, "hi").ok()


# ---- what is wrong with the command

@pytest.mark.parametrize("args, exit, reason", [
    (["run", "-c", 257, "MODEL", "hi"], 2, "this model takes 1 to 256"),
    (["run", "-c", 4, "MODEL", "a longer prompt than that"], 1, "has room for 4 (--ctx, up to 256)"),
    (["run", "--no-fuse", "everything", "MODEL", "hi"], 2, "everything"),
    (["run", "--weights", "q9", "MODEL", "hi"], 2, "q9"),
    (["logits", "--ids", "-p", "5 300", "MODEL"], 2, "token id 300"),
    (["logits", "-p", "the cat is in the world " * 40, "MODEL"], 1, "has room for 256"),
    (["ppl", "-f", __file__, "-c", 257, "MODEL"], 2, "this model takes 1 to 256"),
    (["ppl", "-f", "/dev/null", "MODEL", "-c", 16], 2, "at least two chunks"),
    (["run", "--prompt-cache", "/missing/file", "MODEL", "hi"], 1, "/missing/file: No such file"),
    (["run", "--trace", "/", "MODEL", "hi"], 1, "/: Is a directory"),
    (["logits", "-p", "hi", "-o", "/missing/file", "MODEL"], 1, "/missing/file: No such file"),
    (["bench", "--trace", "/missing/file", "MODEL"], 1, "/missing/file: No such file"),
    (["bench", "-p", 250, "-n", 0, "-d", 7, "MODEL"], 2, "this model takes 1 to 256"),
    (["bench", "-p", 250, "-n", 0, "-d", 7, "--profile", "MODEL"], 2, "this model takes 1 to 256"),
])
def test_options(welford, fresh_cache, path, args, exit, reason):
    refused(welford, fresh_cache, reason, *(path if word == "MODEL" else word for word in args), exit=exit)


def test_prompt_cache_of_another_model(welford, fresh_cache, model, path, tmp_path):
    saved = tmp_path / "saved"
    welford.run("run", "-n", 1, "--prompt-cache", saved, path, "hi").ok()
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny_llama(seed=9, chat_template=CHATML).encode())
    welford.run("cache", "--clear").ok()
    refused(welford, fresh_cache, "of another model", "run", "-n", 1, "--prompt-cache", saved, other, "hi")
    refused(welford, fresh_cache, "of another model", "run", "-n", 1, "--kv", "f32", "--prompt-cache", saved, path, "hi")
    saved.write_bytes(saved.read_bytes()[:-1])
    refused(welford, fresh_cache, "damaged", "run", "-n", 1, "--prompt-cache", saved, path, "hi")


def test_info_shows_any_model_on_demand(welford, model, path):
    model.set("llama.attention.key_length", U32, 600)
    path.write_bytes(model.encode())
    assert "heads of 600 features" in welford.run("info", path).failed(1).stderr
    assert "\nruns            no: " in welford.run("info", "--any", path).ok().stdout
    info = json.loads(welford.run("info", "--any", "--json", path).ok().stdout)
    assert info["runs"] is False and "heads of 600 features" in info["refusal"] and info["tokens"] == 300


def test_info_says_that_a_template_cannot_be_used(welford, model, path):
    model.set("tokenizer.chat_template", STRING, "{% if %}")
    path.write_bytes(model.encode())
    text = welford.run("info", path).ok().stdout
    assert "chat template   yes, but it cannot be used: " in text and "\nruns            yes" in text


# ---- what is left behind

@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_killed_while_packing(welford, fresh_cache, smollm2, how):
    """Whenever that is: there is a whole pack or none."""
    for milliseconds in (20, 60, 120, 250):
        command = [welford.path, "run", "-n", "1", str(smollm2), "hi"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env={"PATH": "/usr/bin:/bin", **welford.env})
        packs = fresh_cache / "packs"
        for _ in range(2000):
            if packs.is_dir() or process.poll() is not None:
                break
            time.sleep(0.005)
        time.sleep(milliseconds / 1000)
        process.send_signal(how)
        process.wait()
        welford.run("run", "-n", 1, smollm2, "hi").ok()
        assert [path.suffix for path in packs.iterdir()] == [".wfpack"]
        next(packs.iterdir()).unlink()


def test_abandoned_drafts_go(welford, fresh_cache, path):
    """Where files cannot be without a name, a writer's lock says that it lives."""
    welford.run("run", "-n", 1, path, "hi").ok()
    packs = fresh_cache / "packs"
    pack, = packs.iterdir()
    dead, alive, other = (packs / name for name in (f"{pack.name}.dead00", f"{pack.name}.alive0", "notes.wfpack.txt"))
    for file in (dead, alive, other):
        file.write_bytes(b"half a pack")
    with alive.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        welford.run("run", "-n", 1, path, "hi").ok()
        assert sorted(packs.iterdir()) == sorted([pack, alive, other])
