"""Models by name, against a hub of our own: what is brought, how a download survives, and what is refused."""
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hub_server import Fault, HubServer, etag_of
from terminal import Terminal
from tiny_gguf import tiny_llama
from tiny_hf import write_hf

NAME = "owner/tiny-model"
WEIGHTS = "model.safetensors"
WANTED = {"config.json", "tokenizer.json", "tokenizer_config.json", WEIGHTS}
NOISE = {"README.md": b"# hello\n", "pytorch_model.bin": b"pickle", "original/consolidated.safetensors": b"big",
         ".gitattributes": b"*", "onnx/model.onnx": b"onnx"}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    folder = write_hf(tiny_llama(seed=3), tmp_path_factory.mktemp("tiny") / "model")
    return {path.name: path.read_bytes() for path in folder.iterdir()} | NOISE


@pytest.fixture(scope="module")
def sharded(tmp_path_factory) -> dict[str, bytes]:
    folder = write_hf(tiny_llama(seed=4), tmp_path_factory.mktemp("tiny") / "model", shards=3)
    return {path.name: path.read_bytes() for path in folder.iterdir()} | NOISE


@pytest.fixture(scope="module")
def gguf() -> bytes:
    return tiny_llama(seed=3).encode()


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture
def home(hub, welford, tmp_path) -> Path:
    welford.env |= hub.env(tmp_path / "hf")
    return tmp_path / "hf"


def model_folder(home: Path, name: str = NAME) -> Path:
    return home / "hub" / f"models--{name.replace('/', '--')}"


def blobs(home: Path) -> list[str]:
    folder = model_folder(home) / "blobs"
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def snapshot(home: Path, commit: str, name: str = NAME) -> dict[str, bytes]:
    folder = model_folder(home, name) / "snapshots" / commit
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def wanted(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: files[name] for name in WANTED}


def pull(welford, name: str = NAME, **options) -> Path:
    return Path(welford.run("pull", name, **options).ok().stdout.rstrip("\n"))


# ---- what is brought


def test_the_files_of_a_folder_and_nothing_else(welford, hub, home, files):
    commit = hub.add(NAME, files)
    path = pull(welford)
    assert path == model_folder(home) / "snapshots" / commit
    assert snapshot(home, commit) == wanted(files)
    assert (model_folder(home) / "refs/main").read_text() == commit
    for name in WANTED:  # relative links to blobs named by their checksums
        assert os.readlink(path / name) == f"../../blobs/{etag_of(name, files[name])}"
    assert blobs(home) == sorted(etag_of(name, files[name]) for name in WANTED)
    assert sorted(hub.downloads()) == sorted(WANTED)


def test_again_only_asks_for_the_listing(welford, hub, home, files):
    hub.add(NAME, files)
    path = pull(welford)
    hub.requests.clear()
    assert pull(welford) == path
    assert [r.path for r in hub.requests] == [f"/api/models/{NAME}/revision/main"]


def test_run_by_name(welford, hub, home, files, fresh_cache):
    hub.add(NAME, files)
    for model in (NAME, f"hf:{NAME}", f"{NAME}@main"):
        by_name = welford.run("run", model, "--raw", "-p", "hello", "-n", 4, "--temp", 0).ok()
    by_path = welford.run("run", pull(welford), "--raw", "-p", "hello", "-n", 4, "--temp", 0).ok()
    assert by_name.stdout == by_path.stdout != ""
    assert by_name.stderr == ""
    entries = json.loads(welford.run("cache", "--json").ok().stdout)["entries"]
    assert sorted((entry["name"], entry["what"]) for entry in entries) == [(NAME, "pack"), (NAME, "program")]


@pytest.mark.parametrize("verb", [["info"], ["tokenize", "-p", "hello"], ["logits", "--raw", "-p", "hello"]])
def test_verbs_take_names(welford, hub, home, files, verb):
    hub.add(NAME, files)
    by_name = welford.run(*verb, NAME).ok().stdout
    assert by_name == welford.run(*verb, pull(welford)).ok().stdout != ""


def test_weights_by_name(welford, hub, home, files, tmp_path):
    """A .wf file without weights takes those of a model of the hub."""
    hub.add(NAME, files)
    wf, args = tmp_path / "model.wf", ["--raw", "-p", "hello", "-n", 4, "--temp", 0]
    welford.run("compile", NAME, "-o", wf, "--no-weights").ok()
    by_name = welford.run("run", wf, "--weights-from", NAME, *args).ok().stdout
    assert by_name == welford.run("run", NAME, *args).ok().stdout != ""
    missing = welford.run("run", wf, "--weights-from", "owner/none", *args).failed(exit=1)
    assert "owner/none" in missing.stderr


def test_a_snapshot_is_called_by_its_models_name(welford, hub, home, files):
    hub.add(NAME, files)
    assert json.loads(welford.run("info", NAME, "--json").ok().stdout)["name"] == "tiny-model"


def test_shards_by_the_index(welford, hub, home, sharded):
    extra = {"model-00009-of-00009.safetensors": b"not in the index"}
    commit = hub.add(NAME, sharded | extra)
    pull(welford)
    shards = {f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)}
    assert set(snapshot(home, commit)) == WANTED - {WEIGHTS} | shards | {WEIGHTS + ".index.json"}
    welford.run("info", NAME).ok()


def test_optional_files(welford, hub, home, files):
    optional = {"generation_config.json": b"{}", "chat_template.jinja": b"{{ messages }}", "chat_template.json": b"{}"}
    commit = hub.add(NAME, files | optional)
    pull(welford)
    assert set(snapshot(home, commit)) == WANTED | {"generation_config.json", "chat_template.jinja"}


def test_the_only_gguf(welford, hub, home, gguf):
    commit = hub.add(NAME, {"sub/tiny-q8.gguf": gguf, "README.md": b"x"})
    path = pull(welford)
    assert path == model_folder(home) / "snapshots" / commit / "sub/tiny-q8.gguf"
    assert os.readlink(path) == f"../../../blobs/{etag_of('x.gguf', gguf)}"
    welford.run("info", NAME).ok()


def test_a_gguf_that_is_nearly_a_part(welford, hub, home, gguf):
    """Its number is none, so it is a file of its own."""
    hub.add(NAME, {"tiny-00000-of-000p3.gguf": gguf})
    assert pull(welford).name == "tiny-00000-of-000p3.gguf"


def test_several_ggufs_must_be_named(welford, hub, home, gguf):
    commit = hub.add(NAME, {"a.gguf": gguf, "b.gguf": gguf + b"\0" * 32, "c-00001-of-00002.gguf": b"1",
                            "c-00002-of-00002.gguf": b"2"})
    message = welford.run("pull", NAME).failed().stderr
    assert "a.gguf, b.gguf, c-00001-of-00002.gguf" in message and "c-00002" not in message
    assert pull(welford, f"hf:{NAME}/a.gguf").name == "a.gguf"
    assert set(snapshot(home, commit)) == {"a.gguf"}
    assert pull(welford, f"hf:{NAME}/c-00002-of-00002.gguf").name == "c-00002-of-00002.gguf"
    assert set(snapshot(home, commit)) == {"a.gguf", "c-00001-of-00002.gguf", "c-00002-of-00002.gguf"}
    assert "has no file" in welford.run("pull", f"hf:{NAME}/d.gguf").failed().stderr


def test_missing_part(welford, hub, home):
    hub.add(NAME, {"c-00001-of-00002.gguf": b"1"})
    assert "c-00002-of-00002.gguf" in welford.run("pull", NAME).failed().stderr


def test_one_model_and_what_lies_beside(welford, hub, home, gguf):
    commit = hub.add(NAME, {"tiny-Q8_0-00001-of-00002.gguf": gguf, "tiny-Q8_0-00002-of-00002.gguf": b"2",
                            "mmproj-tiny-f16.gguf": b"p", "tiny.imatrix.gguf": b"i", "tiny-lora.gguf": b"l",
                            "sub/ggml-vocab-tiny.gguf": b"v", "imatrix.dat": b"d"})
    assert pull(welford).name == "tiny-Q8_0-00001-of-00002.gguf"
    assert set(snapshot(home, commit)) == {"tiny-Q8_0-00001-of-00002.gguf", "tiny-Q8_0-00002-of-00002.gguf"}
    assert pull(welford, f"hf:{NAME}/mmproj-tiny-f16.gguf").name == "mmproj-tiny-f16.gguf"


def test_quantisations(welford, hub, home, files, gguf):
    """owner/name:Q4_K_M, as hf.co, ollama and llama.cpp have it; also beside safetensors."""
    names = ["x-Q4_K_M.gguf", "x-UD-Q4_K_M.gguf", "x.q8_0.gguf", "BF16/x-BF16-00001-of-00002.gguf",
             "BF16/x-BF16-00002-of-00002.gguf", "mmproj-BF16.gguf", "x-IQ3_XS.gguf", "y-IQ3_XS.gguf"]
    commit = hub.add(NAME, files | {name: gguf + bytes([i]) for i, name in enumerate(names)})
    at = f"{model_folder(home)}/snapshots/{commit}/"
    for name, file in ((":Q4_K_M", names[0]), (":q4_k_m", names[0]), (":UD-Q4_K_M", names[1]), (":Q8_0", names[2]),
                       (":BF16", names[3]), (":x-IQ3_XS.gguf", names[6])):
        for form in ("{}", "hf.co/{}", "https://huggingface.co/{}", "hf:{}@main"):
            assert str(pull(welford, form.format(NAME + name))) == at + file, name
    for name, reason in ((":Q4_K", "no GGUF file of Q4_K"), (":IQ3_XS", "more than one GGUF file of IQ3_XS"), (":M", "no GGUF")):
        message = welford.run("pull", NAME + name).failed().stderr
        assert reason in message and names[0] in message
    assert pull(welford, NAME + ":latest") == Path(at[:-1])
    welford.run("rm", NAME + ":Q8_0").ok()
    assert not Path(at + names[2]).exists() and Path(at + names[0]).exists()
    assert "not in the cache" in welford.run("rm", NAME + ":Q8_0").failed().stderr


def test_addresses_of_pages(welford, hub, home, files, gguf):
    commit = hub.add(NAME, files | {"sub/a b.gguf": gguf})
    at = model_folder(home) / "snapshots" / commit
    site = f"https://huggingface.co/{NAME}"
    for address, path in ((site, at), (site + "/tree/main", at), (site + "/blob/main/model.safetensors", at),
                          (site + "/resolve/main/sub/a%20b.gguf?download=true", at / "sub/a b.gguf"),
                          (site + f"/blob/{commit}/sub/a b.gguf", at / "sub/a b.gguf"), (f"hf://{NAME}@main/sub/a b.gguf", at / "sub/a b.gguf")):
        assert pull(welford, address) == path, address
    assert "ollama" in welford.run("run", "llama3.2:1b", "-p", "x").failed(2).stderr


def test_safetensors_go_before_gguf(welford, hub, home, files, gguf):
    commit = hub.add(NAME, files | {"tiny.gguf": gguf})
    assert pull(welford).name == commit
    assert pull(welford, f"hf:{NAME}/tiny.gguf").name == "tiny.gguf"


def test_nothing_usable(welford, hub, home):
    hub.add(NAME, {"config.json": b"{}", "pytorch_model.bin": b"x"})
    message = welford.run("pull", NAME).failed().stderr
    assert "pytorch_model.bin" in message and "model.safetensors" in message
    hub.add(NAME, {})
    assert "nothing" in welford.run("pull", NAME).failed().stderr


def test_revisions(welford, hub, home, files, sharded):
    old = hub.add(NAME, files, "v1")
    new = hub.add(NAME, sharded, "refs/pr/1")
    assert pull(welford, f"{NAME}@v1").name == old
    assert pull(welford, f"hf:{NAME}@refs/pr/1").name == new
    assert pull(welford, f"hf:{NAME}@{new}").name == new
    assert (model_folder(home) / "refs/refs/pr/1").read_text() == new


def test_a_branch_moves_on(welford, hub, home, files):
    old = hub.add(NAME, files)
    pull(welford)
    hub.requests.clear()
    new = hub.add(NAME, files | {"generation_config.json": b"{}"})
    assert pull(welford).name == new
    assert hub.downloads() == ["generation_config.json"]  # the other blobs are here
    assert set(snapshot(home, old)) == WANTED


def test_listing_without_sizes_and_checksums(welford, hub, home, files):
    """Then every file is asked for its own, which the headers of the hub's redirect tell."""
    hub.tells_blobs = False
    commit = hub.add(NAME, files)
    pull(welford)
    assert snapshot(home, commit) == wanted(files)
    assert len(hub.paths("HEAD")) == len(WANTED)


@pytest.mark.parametrize("tells_blobs", [True, False])
def test_large_files_elsewhere(welford, home, hub, files, tells_blobs):
    """The hub redirects to another host, which must not see the token."""
    with HubServer() as cdn:
        hub.cdn, hub.tells_blobs = cdn, tells_blobs
        hub.gated[NAME] = "hf_secret"
        commit = hub.add(NAME, files)
        pull(welford, env={"HF_TOKEN": "hf_secret"})
        assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]
        assert all(r.headers["Authorization"] == "Bearer hf_secret" for r in hub.requests)
        assert cdn.requests and not any("Authorization" in r.headers for r in cdn.requests)


def test_a_path_on_disk_wins(welford, hub, home, files, tmp_path):
    hub.add(NAME, files)
    folder = tmp_path / "here" / NAME
    write_hf(tiny_llama(seed=9), folder)
    done = welford.run("info", NAME, cwd=tmp_path / "here").ok()
    assert not hub.requests and NAME in done.stdout


@pytest.mark.parametrize("path", ["models/tiny.gguf", "/no/such", "./owner/name", "a/b/c", "plain", "owner/..", "a/b--c"])
def test_what_is_no_name_is_a_path(welford, hub, home, path):
    assert "No such file" in welford.run("info", path).failed().stderr
    assert not hub.requests


@pytest.mark.parametrize("name", ["hf:", "hf:a", "hf:a/", "hf:../b", "hf:a/b/../../c.gguf", "hf:a/b/c.bin", "hf:a/b@",
                                  "hf:a/b@../../x", "hf:a/b@x?y", "hf:a--b/c", "hf:-a/b", "hf:a/b/" + "x" * 600 + ".gguf",
                                  "hf:a/b/x\ny.gguf", "hf:a/b//c.gguf", "hf:" + "a" * 97 + "/b"])
def test_bad_names(welford, hub, home, name):
    assert "not a model's name" in welford.run("run", name, "-p", "x").failed(2).stderr
    assert not hub.requests


# ---- where it is kept


def test_folders(welford, hub, home, files, tmp_path):
    commit = hub.add(NAME, files)
    below = f"models--owner--tiny-model/snapshots/{commit}"
    assert pull(welford, env={"HF_HUB_CACHE": str(tmp_path / "own")}) == tmp_path / "own" / below
    xdg = {"HF_HOME": "", "XDG_CACHE_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path / "home")}
    assert pull(welford, env=xdg) == tmp_path / "xdg/huggingface/hub" / below
    home_only = xdg | {"XDG_CACHE_HOME": ""}
    assert pull(welford, env=home_only) == tmp_path / "home/.cache/huggingface/hub" / below
    assert pull(welford, env=xdg | {"HF_HOME": "~/hf"}) == tmp_path / "home/hf/hub" / below


def python_client(code: str, env: dict) -> str:
    env = {name: value for name, value in {**os.environ, **env}.items() if value}  # it takes "" for a value
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_python_client_finds_what_we_brought(welford, hub, home, files):
    hub.add(NAME, files)
    path = pull(welford)
    hub.requests.clear()
    code = "import huggingface_hub as h; print(h.snapshot_download('%s', local_files_only=True))" % NAME
    assert Path(python_client(code, hub.env(home))) == path
    code = "import huggingface_hub as h; c = h.scan_cache_dir(); print(len(c.warnings), [r.repo_id for r in c.repos])"
    assert python_client(code, hub.env(home)) == f"0 ['{NAME}']"
    assert not hub.requests
    # And goes on from it: only what we leave out is fetched.
    code = "import huggingface_hub as h; print(h.snapshot_download('%s'))" % NAME
    python_client(code, hub.env(home))
    assert sorted(hub.downloads()) == sorted(NOISE)


def test_we_find_what_the_python_client_brought(welford, hub, home, files):
    hub.add(NAME, files)
    code = "import huggingface_hub as h; print(h.snapshot_download('%s'))" % NAME
    path = python_client(code, hub.env(home))
    hub.requests.clear()
    assert str(pull(welford, env={"HF_HUB_OFFLINE": "1"})) == path
    assert not hub.requests
    assert str(pull(welford)) == path
    assert not hub.downloads()


def test_a_part_that_another_client_brought_is_not_whole(welford, hub, home, files):
    commit = hub.add(NAME, files)
    code = "import huggingface_hub as h\nfor f in ('config.json', '%s'): h.hf_hub_download('%s', f)" % (WEIGHTS, NAME)
    python_client(code, hub.env(home))
    hub.requests.clear()
    message = welford.run("pull", NAME, env={"HF_HUB_OFFLINE": "1"}).failed().stderr
    assert "HF_HUB_OFFLINE" in message and NAME in message
    assert pull(welford, f"{NAME}@{commit}").name == commit
    assert sorted(hub.downloads()) == sorted(WANTED - {"config.json", WEIGHTS})


# ---- without a network


def test_offline(welford, hub, home, files):
    commit = hub.add(NAME, files)
    path = pull(welford)
    hub.requests.clear()
    assert pull(welford, env={"HF_HUB_OFFLINE": "1"}) == path
    assert pull(welford, f"{NAME}@{commit}") == path  # a commit never changes: nobody is asked
    assert not hub.requests
    hub.stop()
    done = welford.run("info", NAME).ok()
    assert "using owner/tiny-model" in done.stderr and done.stderr.count("\n") == 1
    message = welford.run("pull", f"{NAME}@v2", env={"HF_HUB_OFFLINE": "true"}).failed().stderr
    assert "v2" in message and "HF_HUB_OFFLINE" in message


def test_no_server(welford, hub, home):
    hub.stop()
    assert hub.url in welford.run("pull", NAME).failed().stderr


def test_bad_endpoint(welford, hub, home):
    assert "HF_ENDPOINT" in welford.run("pull", NAME, env={"HF_ENDPOINT": "file:///etc"}).failed(2).stderr


# ---- access


@pytest.mark.parametrize("how", ["variable", "file"])
def test_token(welford, hub, home, files, how):
    hub.add(NAME, files)
    hub.gated[NAME] = "hf_secret"
    assert "set HF_TOKEN" in welford.run("pull", NAME).failed().stderr
    wrong = welford.run("pull", NAME, env={"HF_TOKEN": "hf_wrong"}).failed().stderr
    assert "gated" in wrong and "hf_wrong" not in wrong
    if how == "file":
        home.mkdir(exist_ok=True)
        (home / "token").write_text("hf_secret\n")
        pull(welford)
    else:
        pull(welford, env={"HF_TOKEN": "hf_secret"})


def test_not_there(welford, hub, home, files):
    hub.add(NAME, files)
    assert "does not exist" in welford.run("pull", "owner/other").failed().stderr
    assert "no revision v9" in welford.run("pull", f"{NAME}@v9").failed().stderr
    hub.faults.append(Fault("/revision/main", status=404))
    assert "neither on this disk nor on the hub" in welford.run("pull", NAME).failed().stderr
    assert not model_folder(home, "owner/other").exists()


def test_a_listed_file_is_missing(welford, hub, home, files):
    commit = hub.add(NAME, files)
    hub.faults.append(Fault(WEIGHTS, status=404))
    assert WEIGHTS in welford.run("pull", NAME).failed().stderr
    assert not snapshot(home, commit)


# ---- downloads that go wrong


def test_cut_and_gone_on(welford, hub, home, files):
    commit = hub.add(NAME, files)
    hub.faults += [Fault(WEIGHTS, cut=10000), Fault(WEIGHTS, cut=5000)]
    pull(welford)
    assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]
    ranges = [r.headers.get("Range") for r in hub.requests if r.path.endswith(WEIGHTS)]
    assert ranges == [None, "bytes=10000-", "bytes=15000-"]


@pytest.mark.parametrize("fault", [{"ignore_range": True}, {"wrong_range": True}, {"status": 416}])
def test_ranges_that_are_not_kept_to(welford, hub, home, files, fault):
    commit = hub.add(NAME, files)
    hub.faults += [Fault(WEIGHTS, cut=10000), Fault(WEIGHTS, **fault)]
    pull(welford)
    assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_that_pass(welford, hub, home, files, status):
    commit = hub.add(NAME, files)
    hub.faults += [Fault("/revision/main", status=status, headers={"Retry-After": "1"}), Fault(WEIGHTS, status=status)]
    pull(welford)
    assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]


def test_errors_that_stay(welford, hub, home, files):
    commit = hub.add(NAME, files)
    hub.faults.append(Fault(WEIGHTS, cut=10000))
    hub.faults.append(Fault(WEIGHTS, status=500, times=100))
    message = welford.run("pull", NAME).failed().stderr
    assert "HTTP 500" in message and "goes on where it stopped" in message
    assert not snapshot(home, commit) and not (model_folder(home) / "refs").exists()
    assert (model_folder(home) / "blobs" / (etag_of(WEIGHTS, files[WEIGHTS]) + ".incomplete")).stat().st_size == 10000
    assert "not whole" not in welford.run("list").ok().stdout
    assert welford.run("run", NAME, "-p", "x", env={"HF_HUB_OFFLINE": "1"}).exit == 1
    hub.faults.clear()
    hub.requests.clear()
    pull(welford)
    assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]
    assert [r.headers["Range"] for r in hub.requests if r.path.endswith(WEIGHTS)] == ["bytes=10000-"]


def test_stalled(welford, hub, home, files):
    commit = hub.add(NAME, files)
    hub.faults.append(Fault(WEIGHTS, cut=5000, stall=10000))  # far longer than welford.run waits
    pull(welford, env={"HF_HUB_DOWNLOAD_TIMEOUT": "1"})
    assert [r.headers.get("Range") for r in hub.requests if r.path.endswith(WEIGHTS)] == [None, "bytes=5000-"]
    assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]


def test_https(welford, files, tmp_path):
    certificate = tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out", tmp_path / "public.pem"],
                   check=True, capture_output=True)
    certificate.write_bytes(certificate.read_bytes() + (tmp_path / "public.pem").read_bytes())
    with HubServer(certificate=certificate) as hub:
        commit = hub.add(NAME, files)
        welford.env |= hub.env(tmp_path / "hf")
        assert "certificate" in welford.run("pull", NAME).failed().stderr
        assert not hub.requests
        pull(welford, env={"CURL_CA_BUNDLE": str(tmp_path / "public.pem")})
        assert snapshot(tmp_path / "hf", commit)[WEIGHTS] == files[WEIGHTS]


def test_always_cut_at_once(welford, hub, home, files):
    """Ends, instead of trying for ever."""
    commit = hub.add(NAME, files)
    hub.faults.append(Fault(WEIGHTS, cut=10, times=1000))
    assert "goes on" in welford.run("pull", NAME).failed().stderr
    assert not snapshot(home, commit)


@pytest.mark.parametrize("path", [WEIGHTS, "tokenizer_config.json"])
def test_wrong_checksum(welford, hub, home, files, path):
    commit = hub.add(NAME, files)
    damaged = bytes([files[path][0] ^ 1]) + files[path][1:]
    hub.faults.append(Fault(path, data=damaged))
    assert "checksum" in welford.run("pull", NAME).failed().stderr
    etag = etag_of(path, files[path])
    assert not snapshot(home, commit) and not {etag, etag + ".incomplete"} & set(blobs(home))
    pull(welford)
    assert snapshot(home, commit)[path] == files[path]


def test_a_damaged_beginning_is_not_gone_on_from(welford, hub, home, files):
    commit = hub.add(NAME, files)
    incomplete = model_folder(home) / "blobs" / (etag_of(WEIGHTS, files[WEIGHTS]) + ".incomplete")
    for left in (b"\0" * 1000, b"\0" * len(files[WEIGHTS]), b"\0" * (len(files[WEIGHTS]) + 5)):
        shutil.rmtree(home, ignore_errors=True)
        incomplete.parent.mkdir(parents=True)
        incomplete.write_bytes(left)
        pull(welford)
        assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]


def test_wrong_lengths(welford, hub, home, files):
    commit = hub.add(NAME, files)
    hub.faults.append(Fault(WEIGHTS, data=files[WEIGHTS] + b"more"))
    assert "more than its" in welford.run("pull", NAME).failed().stderr
    hub.faults.append(Fault(WEIGHTS, cut=100, short=True))  # says that these 100 bytes are all
    pull(welford)
    assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]


def test_a_blob_of_the_wrong_size_is_brought_again(welford, hub, home, files):
    commit = hub.add(NAME, files)
    blob = model_folder(home) / "blobs" / etag_of(WEIGHTS, files[WEIGHTS])
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"short")
    pull(welford)
    assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_redirects_elsewhere(welford, hub, home, files, where):
    commit = hub.add(NAME, files)
    hub.faults.append(Fault(WEIGHTS, redirect=where, times=100))
    assert WEIGHTS in welford.run("pull", NAME).failed().stderr
    assert not snapshot(home, commit)
    assert len([r for r in hub.requests if r.path.endswith(WEIGHTS)]) == 1


def test_redirects_in_a_circle(welford, hub, home, files):
    hub.add(NAME, files)
    hub.faults.append(Fault(WEIGHTS, redirect=f"{hub.url}/{NAME}/resolve/main/{WEIGHTS}", times=1000))
    assert "redirects" in welford.run("pull", NAME).failed().stderr
    assert len(hub.requests) < 100


def test_killed_and_gone_on(welford, hub, home, files):
    commit = hub.add(NAME, files)
    hub.faults.append(Fault(WEIGHTS, cut=20000, stall=30))
    process = subprocess.Popen([welford.path, "pull", NAME], env={**os.environ, **welford.env})
    incomplete = model_folder(home) / "blobs" / (etag_of(WEIGHTS, files[WEIGHTS]) + ".incomplete")
    end = time.monotonic() + 60
    while not (incomplete.exists() and incomplete.stat().st_size == 20000):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not snapshot(home, commit)
    assert welford.run("info", NAME, env={"HF_HUB_OFFLINE": "1"}).exit == 1
    hub.requests.clear()
    pull(welford)
    assert snapshot(home, commit)[WEIGHTS] == files[WEIGHTS]
    assert [r.headers["Range"] for r in hub.requests if r.path.endswith(WEIGHTS)] == ["bytes=20000-"]


def test_two_at_once(welford, hub, home, files):
    commit = hub.add(NAME, files)
    hub.faults.append(Fault("/config.json", stall=0.5))
    results = []
    threads = [threading.Thread(target=lambda: results.append(welford.run("pull", NAME))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.ok().stdout for r in results] == [f"{model_folder(home)}/snapshots/{commit}\n"] * 3
    assert sorted(hub.downloads()) == sorted(WANTED)  # each file once
    assert snapshot(home, commit) == wanted(files)


@pytest.mark.parametrize("verb", ["pull", "rm"])
def test_waiting_is_told(welford, hub, home, files, verb):
    hub.add(NAME, files)
    if verb == "rm":
        pull(welford)
    lock = home / "hub/.locks" / model_folder(home).name / "welford.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = subprocess.Popen([welford.path, verb, NAME], env={**os.environ, **welford.env}, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        told = process.stderr.readline()
    assert told == f"welford {verb}: waiting for another process that works on {NAME}\n"
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 0


def test_disk_full(welford, hub, home, files):
    hub.add(NAME, files)
    hub.listing = lambda l: l | {"siblings": [s | {"size": 1 << 61} if s["rfilename"] == WEIGHTS else s
                                              for s in l["siblings"]]}
    assert "has room for" in welford.run("pull", NAME).failed().stderr
    hub.listing = None
    # A limit on the size of files stands for a disk that fills up meanwhile.
    limited = f"ulimit -f 64; trap '' XFSZ; exec {welford.path} pull {NAME}"
    done = subprocess.run(["bash", "-c", limited], env={**os.environ, **welford.env}, capture_output=True, text=True)
    assert done.returncode == 1 and "cannot write" in done.stderr and WEIGHTS in done.stderr
    pull(welford)


def test_progress(welford, hub, home, files):
    """One bar for all files, on a terminal."""
    commit = hub.add(NAME, files)
    hub.faults += [Fault("/config.json", stall=1.2), Fault(WEIGHTS, cut=100000, stall=0.2)]
    terminal = Terminal([str(welford.path), "pull", NAME], {**os.environ, **welford.env, "TERM": "xterm"})
    terminal.expect(r"downloading \[#* *\] +\d+ % of 0\.\d MB")
    assert terminal.wait() == 0
    terminal.close()
    assert snapshot(home, commit) == wanted(files)


# ---- servers that lie


@pytest.mark.parametrize("path", ["../../../../evil.json", "/etc/evil", "a/../b.gguf", "a//b", "a\\b", "x\0y", "", "."])
def test_paths_from_the_listing(welford, hub, home, files, path):
    hub.add(NAME, files)
    hub.listing = lambda l: l | {"siblings": l["siblings"] + [{"rfilename": path, "size": 4, "blobId": "0" * 40}]}
    message = welford.run("pull", NAME).failed().stderr
    assert "refused" in message or "null byte" in message.lower() or "answer" in message
    assert not model_folder(home).exists()


def test_paths_from_the_index(welford, hub, home, sharded):
    for shard in ("../../../../x.safetensors", "/etc/passwd", "missing.safetensors", "config.json", 5):
        index = {"weight_map": {"a": shard}}
        hub.add(NAME, sharded | {WEIGHTS + ".index.json": json.dumps(index).encode()})
        assert "which the repository does not have" in welford.run("pull", NAME).failed().stderr


@pytest.mark.parametrize("change", [
    {"sha": "../../x"}, {"sha": 5}, {"sha": ""}, {"siblings": None}, {"siblings": {}}, {"siblings": [5]},
    {"siblings": [{"rfilename": 5}]}], ids=str)
def test_listings(welford, hub, home, files, change):
    hub.add(NAME, files)
    hub.listing = lambda l: l | change
    welford.run("pull", NAME).failed()
    assert not model_folder(home).exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"<html>", b"[" * 100000, b"\xff\xfe", b'{"sha":1,"sha":2}'])
def test_answers_that_are_no_listing(welford, hub, home, files, body):
    hub.add(NAME, files)
    hub.faults.append(Fault("/revision/main", data=body))
    assert NAME in welford.run("pull", NAME).failed().stderr


@pytest.mark.parametrize("etag", ["../../../x", "a/b", "", "0" * 39, "0" * 64 + "/..", "Z" * 40])
def test_checksums_that_are_none(welford, hub, home, files, etag):
    """They are not believed, and the file is asked for its own."""
    commit = hub.add(NAME, files)
    hub.listing = lambda l: l | {"siblings": [{k: v for k, v in s.items() if k != "lfs"} | {"blobId": etag}
                                              for s in l["siblings"]]}
    pull(welford)
    assert snapshot(home, commit) == wanted(files)


def test_sizes_that_overflow(welford, hub, home, files):
    hub.add(NAME, files)
    hub.listing = lambda l: l | {"siblings": [s | {"size": 2**63 - 1} for s in l["siblings"]]}
    assert "impossible sizes" in welford.run("pull", NAME).failed().stderr


# ---- list and rm


def listed(welford) -> dict[str, dict]:
    return {f"{m['name']}@{m['revision']}": m for m in json.loads(welford.run("list", "--json").ok().stdout)}


def test_list(welford, hub, home, files, sharded, gguf, fresh_cache):
    assert welford.run("list").ok().stdout == ""
    hub.add(NAME, files)
    path = pull(welford)
    hub.add("owner/quants", {"a.gguf": gguf, "b.gguf": gguf})
    pull(welford, "hf:owner/quants/a.gguf")
    commit = hub.add("owner/partial", sharded)
    partial = model_folder(home, "owner/partial") / "snapshots" / commit
    partial.mkdir(parents=True)
    (partial / "config.json").write_bytes(sharded["config.json"])
    (fresh_cache / "models").mkdir(parents=True)
    (fresh_cache / "models/own.gguf").write_bytes(gguf)
    models = listed(welford)
    assert set(models) == {f"{NAME}@main", "hf:owner/quants/a.gguf@main", f"owner/partial@{commit}", "own.gguf@None"}
    assert models[f"{NAME}@main"]["path"] == str(path)
    assert models[f"{NAME}@main"]["bytes"] == sum(len(files[name]) for name in WANTED)
    assert models[f"owner/partial@{commit}"]["path"] is None
    for name in (f"{NAME}@main", "hf:owner/quants/a.gguf@main", "own.gguf@None"):
        welford.run("info", models[name]["path"]).ok()
    table = welford.run("list").ok().stdout.splitlines()
    assert table[0].split() == ["NAME", "REVISION", "MB", "PATH"] and len(table) == 5
    assert any(line.startswith(f"{NAME} ") and line.endswith(str(path)) for line in table)


def test_rm(welford, hub, home, files):
    hub.add(NAME, files)
    pull(welford)
    hub.add("owner/other", files)
    pull(welford, "owner/other")
    assert "removed" in welford.run("rm", NAME).ok().stdout
    assert not model_folder(home).exists()
    assert set(listed(welford)) == {"owner/other@main"}
    assert "not in the cache" in welford.run("rm", NAME).failed().stderr


def test_rm_of_a_revision_keeps_what_another_needs(welford, hub, home, files):
    old = hub.add(NAME, files, "v1")
    pull(welford, f"{NAME}@v1")
    new = hub.add(NAME, files | {"tokenizer_config.json": b'{"a": 1}'})
    pull(welford)
    welford.run("rm", f"{NAME}@v1").ok()
    assert not (model_folder(home) / "snapshots" / old).exists()
    assert not (model_folder(home) / "refs/v1").exists()
    assert set(snapshot(home, new)) == WANTED
    assert etag_of("tokenizer_config.json", files["tokenizer_config.json"]) not in blobs(home)
    assert len(blobs(home)) == len(WANTED)
    assert "not in the cache" in welford.run("rm", f"{NAME}@v1").failed().stderr
    welford.run("rm", f"{NAME}@{new}").ok()
    assert not model_folder(home).exists()


def test_rm_of_a_file(welford, hub, home, gguf):
    commit = hub.add(NAME, {"a.gguf": gguf, "b.gguf": gguf + b"\0" * 32})
    pull(welford, f"hf:{NAME}/a.gguf")
    pull(welford, f"hf:{NAME}/b.gguf")
    welford.run("rm", f"hf:{NAME}/a.gguf").ok()
    assert set(snapshot(home, commit)) == {"b.gguf"} and len(blobs(home)) == 1
    welford.run("rm", f"hf:{NAME}/b.gguf@main").ok()
    assert not model_folder(home).exists()


def test_rm_after_an_interrupted_download(welford, hub, home, files):
    hub.add(NAME, files)
    hub.faults.append(Fault(WEIGHTS, cut=1000))
    hub.faults.append(Fault(WEIGHTS, status=404))
    welford.run("pull", NAME).failed()
    welford.run("rm", NAME).ok()
    assert not model_folder(home).exists()


def test_rm_touches_nothing_outside(welford, hub, home, files, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "a.gguf").write_bytes(b"keep")
    commit = hub.add(NAME, files)
    pull(welford)
    folder = model_folder(home)
    (folder / "snapshots" / commit / "out").symlink_to(precious)
    (folder / "snapshots" / ("0" * 40)).symlink_to(precious)
    (folder / "blobs" / ("1" * 40)).symlink_to(precious / "a.gguf")
    (folder / "refs" / "out").symlink_to(precious)
    welford.run("rm", f"hf:{NAME}/a.gguf").failed()
    welford.run("rm", NAME).ok()
    assert not folder.exists()
    assert (precious / "a.gguf").read_bytes() == b"keep"
    folder.symlink_to(precious)
    welford.run("rm", NAME).failed()
    for name in ("../precious/x", "owner/..", "..", "/", ".", ""):
        welford.run("rm", name).failed(2)
    assert (precious / "a.gguf").read_bytes() == b"keep"


def test_a_cache_that_cannot_be_written(welford, hub, home, files):
    commit = hub.add(NAME, files)
    home.mkdir()
    (home / "hub").write_text("a file where the folder should be")
    assert "hub" in welford.run("pull", NAME).failed().stderr
    (home / "hub").unlink()
    path = pull(welford)
    shutil.rmtree(model_folder(home) / "refs")
    (model_folder(home) / "refs").write_text("")  # no ref can be written, and none need be
    assert pull(welford) == path and snapshot(home, commit)
