#!/usr/bin/env python3
"""Runs every tiny model of test/e2e/same_bytes.py with all chunkings, numbers of threads and CPU paths, and says where
logits differ by a bit.

    tools/same_bytes.py [--welford build/welford] [--jobs 1] [MODEL ...] > docs/same-bytes.txt

A line a model and CPU path: how many settings ran, how many results there were (one is the law of docs/architecture.md),
and the first of them as a checksum. Exit status 1 where one is not the only one. Needs numpy.
"""
import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test/e2e"))
import same_bytes  # noqa: E402


def logits(welford: Path, model: Path, setting, scratch: Path) -> str:
    command = [welford, "logits", model, "--ids", "-p", same_bytes.token_ids(same_bytes.N_TOKENS), "--top", "0", "-o",
               scratch, *setting.args]
    subprocess.run(command, check=True, env={**os.environ, "WELFORD_CPU": setting.cpu})
    values = np.load(scratch)
    assert np.isfinite(values).all(), f"{model.stem}, {setting}: not finite"
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--welford", type=Path, default=ROOT / "build/welford")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names, as the output has them; default: all")
    options = parser.parse_args()
    print(f"{same_bytes.N_TOKENS} tokens; chunks of {' | '.join(same_bytes.CHUNKS)} (several: in turn); "
          f"{', '.join(map(str, same_bytes.THREADS))} threads\n")
    print(f"{'model':<16} {'CPU path':<8} {'settings':>8} {'results':>7}  SHA-256, first 16 digits")
    settings, differs = same_bytes.all_settings(), False
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        for name in options.models or same_bytes.MODELS:
            path = Path(folder) / f"{name}.gguf"
            path.write_bytes(same_bytes.MODELS[name]().encode())
            for cpu in same_bytes.CPUS:
                mine = [s for s in settings if s.cpu == cpu]
                found = list(pool.map(lambda i: logits(options.welford, path, mine[i], Path(folder) / f"{i}.npy"),
                                      range(len(mine))))
                print(f"{name:<16} {cpu:<8} {len(mine):>8} {len(set(found)):>7}  {found[0]}", flush=True)
                for setting, bits in zip(mine, found):
                    if bits != found[0]:
                        print(f"    differs: {setting}", flush=True)
                        differs = True
            path.unlink()
    return differs


if __name__ == "__main__":
    sys.exit(main())
