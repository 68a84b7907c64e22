"""The logits of a sequence are the same bits whatever its chunks and the number of threads: one result for each CPU path;
and whatever runs beside it, is cut, copied or found in the cache (src/engine/same_bytes_test.c, a program of the build).

Tiny models of every architecture and tensor type (same_bytes.py), 700 tokens, settings chosen so that every two meet.
WELFORD_TEST_SHARE=10 runs every tenth of the models' tests (under sanitizers, which do not see into kernels).
"""
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from same_bytes import CHUNKS, CPUS, MODELS, N_TOKENS, Setting, pairwise_settings, token_ids

FUSIONS = ("qkv", "linear-swiglu", "linear-residual", "rope-kv", "attention", "norm-linear", "quantize-output")
SHARE = int(os.environ.get("WELFORD_TEST_SHARE", 1))


class Model:
    def __init__(self, welford, path, scratch):
        self.welford, self.path, self.scratch = welford, path, scratch

    def logits(self, setting: Setting, *args) -> bytes:
        self.welford.run("logits", self.path, "--ids", "-p", token_ids(N_TOKENS), "--top", 0, "-o", self.scratch,
                         *setting.args, *args, env={"WELFORD_CPU": setting.cpu}).ok()
        values = np.load(self.scratch)
        assert np.isfinite(values).all() and values.std() > 0
        return values.tobytes()

    def check(self, settings, *args):
        first = {}
        for setting in settings:
            bits = self.logits(setting, *args)
            known = first.setdefault(setting.cpu, (setting, bits))
            assert bits == known[1], f"{setting} differs from {known[0]}"


@pytest.fixture
def open_model(welford, tmp_path):
    def open(name):
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(MODELS[name]().encode())
        return Model(welford, path, tmp_path / "logits.npy")

    return open


@pytest.mark.parametrize("name", list(MODELS)[::SHARE])
def test_chunks_threads_and_cpus(open_model, name):
    open_model(name).check(pairwise_settings(name))


def check_engine(welford, path, cpu):
    program = Path(welford.path).parent / "test/bin/test_engine_same_bytes"
    if not program.exists():
        pytest.skip("the unit tests are not built")
    env = dict(os.environ, WELFORD_CPU=cpu, WELFORD_COMPILER=str(Path(welford.path).parent / "libwelford_compiler.so"))
    done = subprocess.run([program, path], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", list(MODELS)[::SHARE])
def test_engine(welford, tmp_path, name):
    path = tmp_path / f"{name}.gguf"
    path.write_bytes(MODELS[name]().encode())
    check_engine(welford, path, CPUS[list(MODELS).index(name) % len(CPUS)])


OTHER_PROGRAMS = (("--kv", "f32"), ("--kv", "q8"), ("--no-fuse=attention",), (f"--no-fuse={','.join(FUSIONS)}",))


@pytest.mark.parametrize("args", OTHER_PROGRAMS[::SHARE], ids=("kv-f32", "kv-q8", "attention-apart", "unfused")[::SHARE])
@pytest.mark.parametrize("name", ("gemma3", "bf16", "q6_k")[::SHARE])
def test_other_programs(open_model, name, args):
    open_model(name).check([Setting(chunks, 1, "native") for chunks in CHUNKS], *args)


@pytest.mark.skipif(SHARE > 1, reason="of what sanitizers see, nothing that the tiny models do not show")
@pytest.mark.parametrize("model", ("smollm2", "gemma3"))
def test_real_models(welford, request, tmp_path, model):
    real = Model(welford, request.getfixturevalue(model), tmp_path / "logits.npy")
    real.check([Setting(chunks, 2, "native") for chunks in ("3", "17", "512", "1,17,3,100,8,2")])
    check_engine(welford, real.path, "native")
