"""Options that name an output write into what is there: no device, FIFO or link is replaced, and files keep their mode."""
import os
import stat
import threading

import numpy as np
import pytest

from tiny_gguf import tiny_llama

GRAPH = """func.func @main(%a: tensor<2x8xf32>) -> tensor<2x8xf32> {
  %0 = tosa.add %a, %a : (tensor<2x8xf32>, tensor<2x8xf32>) -> tensor<2x8xf32>
  return %0 : tensor<2x8xf32>
}
"""


@pytest.fixture
def commands(welford, tmp_path):
    """Name of an option to a call that writes there."""
    graph, model = tmp_path / "g.mlir", tmp_path / "m.gguf"
    graph.write_text(GRAPH)
    np.save(tmp_path / "a.npy", np.ones((2, 8), np.float32))
    model.write_bytes(tiny_llama(seed=3).encode())
    return {
        "opt -o": lambda path: welford.run("opt", graph, "-o", path),
        "exec -o": lambda path: welford.run("exec", graph, "-i", tmp_path / "a.npy", "-o", path),
        "exec --profile": lambda path: welford.run("exec", graph, "-i", tmp_path / "a.npy", "--profile", path),
        "logits -o": lambda path: welford.run("logits", model, "-p", "hello", "-o", path),
        "run --trace": lambda path: welford.run("run", model, "-p", "hello", "-n", 2, "--trace", path),
        "run --prompt-cache": lambda path: welford.run("run", model, "-p", "hello", "-n", 2, "--prompt-cache", path),
    }


OPTIONS = ["opt -o", "exec -o", "exec --profile", "logits -o", "run --trace", "run --prompt-cache"]


@pytest.mark.parametrize("option", OPTIONS)
def test_plain_files_and_links(commands, tmp_path, option):
    write = commands[option]
    plain, link, dangling = tmp_path / "plain", tmp_path / "link", tmp_path / "dangling"
    write(plain).ok()
    plain.chmod(0o640)
    link.symlink_to("plain")
    write(link).ok()
    assert link.is_symlink() and plain.stat().st_size > 20 and stat.S_IMODE(plain.stat().st_mode) == 0o640
    dangling.symlink_to("not-yet")
    write(dangling).ok()
    assert dangling.is_symlink() and (tmp_path / "not-yet").stat().st_size > 20
    assert not [p for p in tmp_path.iterdir() if "XXXXXX" in p.name or p.name.startswith("plain.")]


@pytest.mark.parametrize("option", OPTIONS)
def test_fifos(commands, tmp_path, option):
    fifo, read = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    commands[option](fifo).ok()
    reader.join(60)
    assert len(read[0]) > 20 and stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("option", OPTIONS)
def test_devices(commands, tmp_path, option):
    device, link = tmp_path / "null", tmp_path / "link"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.write_bytes(b"x")
    except PermissionError:
        pytest.skip("no device can be made here")
    link.symlink_to(device)
    for path in (device, link):
        commands[option](path).ok()
        assert stat.S_ISCHR(os.stat(device).st_mode) and link.is_symlink()


def test_standard_output(welford, commands, tmp_path):
    expected = welford.run("opt", tmp_path / "g.mlir").ok().stdout
    for path in ("-", "/dev/stdout"):
        assert commands["opt -o"](path).ok().stdout == expected
