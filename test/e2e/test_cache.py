"""The cache of programs and packed weights: what it holds, whom it trusts, what goes, and what it does without room."""
import calendar
import json
import os
import resource
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal
from tiny_gguf import CHATML, tiny_llama

DAY = 24 * 3600
GRAPH = """func.func @main(%a: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = tosa.tanh %a : (tensor<4x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}
"""
SOMEBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def make_model(tmp_path):
    def make(name: str = "tiny.gguf", seed: int = 1) -> Path:
        path = tmp_path / name
        path.write_bytes(tiny_llama(seed=seed, chat_template=CHATML).encode())
        return path
    return make


@pytest.fixture
def model(make_model) -> Path:
    return make_model()


def run(welford, model, **options):
    return welford.run("run", "-n", 2, "--temp", 0, model, "hi", **options).ok()


def entries(welford, *args, **options):
    return json.loads(welford.run("cache", "--json", *args, **options).ok().stdout)["entries"]


def names(welford, *args, **options):
    return sorted((entry["name"], entry["what"]) for entry in entries(welford, *args, **options))


def set_age(folder: Path, days: float):
    for path in folder.rglob("*.wf*"):
        os.utime(path, (time.time() - days * DAY,) * 2)


def both(*files):
    return sorted((file, what) for file in files for what in ("pack", "program"))


# ---- what it holds

def test_lists_by_model(welford, fresh_cache, model, tmp_path):
    assert entries(welford) == []
    assert "entries  0, 0.0 MB\n" in welford.run("cache").ok().stdout
    run(welford, model)
    (tmp_path / "g.mlir").write_text(GRAPH)
    np.save(tmp_path / "a.npy", np.zeros((4, 8), np.float32))
    welford.run("exec", "./g.mlir", "-i", "a.npy", cwd=tmp_path).ok()
    found = {(entry["name"], entry["what"]): entry for entry in entries(welford)}
    assert sorted(found) == sorted([*both("tiny.gguf"), ("g.mlir", "program")])
    assert found["g.mlir", "program"]["path"] == str(tmp_path / "g.mlir")
    pack = found["tiny.gguf", "pack"]
    file, = (fresh_cache / "packs").iterdir()
    assert pack["path"] == str(model) and pack["bytes"] == file.stat().st_size and file.name == pack["key"] + ".wfpack"
    assert abs(time.time() - calendar.timegm(time.strptime(pack["last_use"], "%Y-%m-%dT%H:%M:%SZ"))) < 300
    text = welford.run("cache").ok().stdout
    assert f"folder   {fresh_cache}\n" in text and "\ntiny.gguf  pack " in text and f"  {model}\n" in text
    assert "\nentries  3, " in text and "\nlimit    " in text


def test_a_new_version_of_a_file_is_an_entry_of_its_own(welford, fresh_cache, make_model):
    run(welford, make_model(seed=1))
    run(welford, make_model(seed=2))
    assert names(welford) == [("tiny.gguf", "pack"), ("tiny.gguf", "pack"), ("tiny.gguf", "program")]


def test_names_that_are_no_text(welford, fresh_cache, make_model, tmp_path):
    strange = os.fsencode(tmp_path) + b"/\xff\n\x1b[2J.gguf"
    os.rename(make_model(), strange)
    subprocess.run([welford.path, "run", "-n", "1", strange, "hi"], env={**os.environ, **welford.env}, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert names(welford) == both("???[2J.gguf")
    assert "\x1b" not in welford.run("cache").ok().stdout


def test_clear(welford, fresh_cache, model):
    run(welford, model)
    (fresh_cache / "models").mkdir()
    (fresh_cache / "models/own.gguf").write_bytes(b"x")
    assert names(welford, "--clear") == both("tiny.gguf")
    assert entries(welford) == []
    assert (fresh_cache / "models/own.gguf").exists()
    assert "removed  0, 0.0 MB\n" in welford.run("cache", "--clear").ok().stdout


def test_command_line(welford, fresh_cache):
    assert "exclude each other" in welford.run("cache", "--prune", "--clear").failed(2).stderr
    assert "unexpected argument 'x'" in welford.run("cache", "x").failed(2).stderr
    assert "WELFORD_CACHE_LIMIT" in welford.run("cache", "--help").ok().stdout
    assert not fresh_cache.exists()  # looking makes nothing


# ---- what goes

def test_unused_for_thirty_days(welford, fresh_cache, make_model):
    run(welford, make_model("old.gguf", 1))
    set_age(fresh_cache, 31)
    run(welford, make_model("new.gguf", 2))  # whose program is the same, and in use again
    assert names(welford) == [("new.gguf", "pack"), ("old.gguf", "program")]


def test_using_an_entry_keeps_it(welford, fresh_cache, make_model):
    model = make_model("old.gguf")
    run(welford, model)
    set_age(fresh_cache, 31)
    run(welford, model)
    assert entries(welford, "--prune") == []
    assert names(welford) == both("old.gguf")


def test_limit(welford, fresh_cache, make_model):
    """The least recently used goes; what is larger than the limit is kept nevertheless, and used the next time."""
    first, second = make_model("first.gguf", 1), make_model("second.gguf", 2)
    run(welford, first)
    set_age(fresh_cache, 1)
    env = {"WELFORD_CACHE_LIMIT": "1K"}
    run(welford, second, env=env)
    assert ("second.gguf", "pack") in names(welford) and ("first.gguf", "pack") not in names(welford)
    run(welford, second, env={"WELFORD_CACHE_LIMIT": "none"})
    assert run(welford, second, env=env).stderr == ""
    assert names(welford, "--prune", env=env) and entries(welford) == []


def test_prune(welford, fresh_cache, make_model):
    run(welford, make_model("a.gguf", 1))
    set_age(fresh_cache, 2)
    assert entries(welford, "--prune") == []
    assert entries(welford, "--prune", env={"WELFORD_CACHE_LIMIT": "none"}) == []
    set_age(fresh_cache, 30)
    assert names(welford, "--prune", env={"WELFORD_CACHE_LIMIT": "none"}) == both("a.gguf")
    assert entries(welford) == []


def test_bad_limit(welford, fresh_cache, model):
    for text in ("much", "-1", "1.5G", "20 G"):
        stderr = run(welford, model, env={"WELFORD_CACHE_LIMIT": text}).stderr
        assert stderr.count("\n") == 1 and f"WELFORD_CACHE_LIMIT={text} is neither" in stderr
        welford.run("cache", "--clear").ok()
    limit = json.loads(welford.run("cache", "--json", env={"WELFORD_CACHE_LIMIT": "3M"}).ok().stdout)["limit"]
    assert limit == 3 << 20
    assert json.loads(welford.run("cache", "--json", env={"WELFORD_CACHE_LIMIT": "none"}).ok().stdout)["limit"] is None


def test_what_is_in_use_stays(welford, fresh_cache, model):
    """A chat has the pack mapped while it waits for the next line: that it stays, whatever else goes."""
    run(welford, model)
    chat = Terminal([str(welford.path), "run", "-n", "2", str(model)], {**os.environ, **welford.env, "TERM": "xterm"})
    try:
        chat.prompt()
        set_age(fresh_cache, 31)
        assert names(welford, "--prune") == [("tiny.gguf", "program")]
        assert names(welford) == [("tiny.gguf", "pack")]
        chat.type("/exit\n")
        assert chat.wait() == 0
    finally:
        chat.close()
    assert names(welford, "--prune") == [("tiny.gguf", "pack")]


# ---- whom it trusts

def test_folders_are_private(welford, fresh_cache, model):
    subprocess.run(["sh", "-c", 'umask 0; exec "$0" run -n 1 "$1" hi', welford.path, model], stdin=subprocess.DEVNULL,
                   env={**os.environ, **welford.env}, check=True, capture_output=True)
    for path in (fresh_cache, *fresh_cache.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def untrusted(welford, model, fresh_cache, path, reason):
    """The same words, and one line that says why; an entry is made anew, into a folder nothing is put."""
    expected = run(welford, model, env={"WELFORD_CACHE": str(fresh_cache) + ".other"}).stdout
    before = sorted(fresh_cache.rglob("*"))
    for _ in range(2):
        done = run(welford, model)
        assert done.stdout == expected
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("welford: warning: ")
        assert path.name in done.stderr and reason in done.stderr
        if path.is_file():
            break
    if path.is_file():
        assert run(welford, model).stderr == ""
    assert sorted(fresh_cache.rglob("*")) == before


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
@pytest.mark.parametrize("what", ["", "programs", "packs", "programs/*", "packs/*"])
def test_others_may_write(welford, fresh_cache, model, mode, what):
    run(welford, model)
    path, = fresh_cache.glob(what) if what else (fresh_cache,)
    path.chmod(mode)
    untrusted(welford, model, fresh_cache, path, "others may write to it")


@needs_root
@pytest.mark.parametrize("what", ["", "programs", "packs", "programs/*", "packs/*"])
def test_of_another_user(welford, fresh_cache, model, what):
    run(welford, model)
    path, = fresh_cache.glob(what) if what else (fresh_cache,)
    os.chown(path, SOMEBODY, SOMEBODY)
    untrusted(welford, model, fresh_cache, path, "it belongs to another user")


def test_a_link_to_an_entry(welford, fresh_cache, model, tmp_path):
    run(welford, model)
    for kind in ("programs", "packs"):
        path, = (fresh_cache / kind).iterdir()
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        assert "it is a link" in run(welford, model).stderr
        assert not path.is_symlink() and run(welford, model).stderr == ""


def test_exec_warns_too(welford, fresh_cache, tmp_path):
    (tmp_path / "g.mlir").write_text(GRAPH)
    np.save(tmp_path / "a.npy", np.zeros((4, 8), np.float32))
    args = ["exec", tmp_path / "g.mlir", "-i", tmp_path / "a.npy"]
    welford.run(*args).ok()
    fresh_cache.chmod(0o777)
    stderr = welford.run(*args).ok().stderr
    assert stderr.count("\n") == 1 and "others may write to it" in stderr
    assert welford.run(*args, "--no-cache").ok().stderr == ""


# ---- room, and two at once

def limit_files(bytes):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, bytes))


def test_a_limit_on_the_size_of_files(welford, fresh_cache, model):
    """`ulimit -f`: a process that writes on is killed."""
    expected = run(welford, model, env={"WELFORD_CACHE": str(fresh_cache) + ".other"}).stdout
    for bytes in (0, 1024, 16384):
        done = subprocess.run([welford.path, "run", "-n", "2", "--temp", "0", model, "hi"], stdin=subprocess.DEVNULL,
                              env={**os.environ, **welford.env}, capture_output=True, text=True,
                              preexec_fn=limit_files(bytes))
        assert (done.returncode, done.stdout) == (0, expected)
        assert "is full or cannot be written" in done.stderr
        assert [path for path in fresh_cache.rglob("*.wfpack*")] == []


def test_a_result_beyond_the_limit_on_files(welford, model, tmp_path):
    done = subprocess.run([welford.path, "run", "-n", "1", "--prompt-cache", tmp_path / "saved", model, "hi"],
                          stdin=subprocess.DEVNULL, env={**os.environ, **welford.env}, capture_output=True, text=True,
                          preexec_fn=limit_files(100))
    assert done.returncode == 1 and "saved: File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("saved")] == []


def test_several_start_on_a_cold_cache(welford, fresh_cache, model):
    command = [welford.path, "run", "-n", "2", "--temp", "0", model, "hi"]
    running = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **welford.env}) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0] * 3
    assert len({out for out, _ in outputs}) == 1 and {err for _, err in outputs} <= {outputs[0][1]}
    assert names(welford) == both("tiny.gguf")
    assert not [path for path in fresh_cache.rglob("*.wf*.*")]
