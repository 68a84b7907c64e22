#!/usr/bin/env python3
"""Times welford exec against upstream MLIR on the same TOSA and linalg files, and compares what they compute.

    bench/exec.py [--build build] [--llvm /usr/lib/llvm-22] [--rows 128] [--threads 1] [--runs 20] [FILE.mlir ...]

Prints microseconds: medians of repeated calls inside one process each, compilation and first calls left out.

    upstream     tosa-to-linalg, one-shot-bufferize, loops and LLVM at -O3 (upstream.py); one thread, since that lowering
                 has no other. Nothing frees its buffers, so every call works on fresh pages
    fused        with upstream's fusion of elementwise ops and its deallocation of buffers, malloc told to keep what is
                 freed: no page faults after the first calls
    no raise     welford exec --no-raise: no wf ops, our loops alone
    no fuse      welford exec with raising, without the fusions of wf ops
    welford      welford exec
    error        the largest difference of the results from upstream's, relative to their largest value

Without files, those of test/graphs in f32; dynamic sizes are --rows. Needs numpy and Debian's mlir-22-tools.

    bench/exec.py --shapes FOLDER [--names gpt2,bert] [--peer-threads 1,2] [--rounds 5] [--runs 5] [--cpu]

times whole models instead, those that bench/shapes.py wrote to FOLDER, beside onnxruntime and PyTorch (peers.py): medians
in milliseconds, welford's share of theirs, and the largest difference from PyTorch's result. --cpu: the processor's time,
on a machine that does other things too. Needs onnxruntime, torch and transformers.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy

import peers
import upstream

HERE = Path(__file__).resolve().parent
NO_FUSE = "--no-fuse=qkv,linear-swiglu,linear-residual,residual-norm,attention"


def default_files():
    files = sorted((HERE.parent / "test" / "graphs").glob("*/*.mlir"))
    return [f for f in files if "_dyn" not in f.stem and "bf16" not in f.stem]


def random_arrays(arguments, rows):
    rng = numpy.random.default_rng(1)
    made = []
    for dims, element in arguments:
        dims = [rows if d is None else d for d in dims]
        if element not in ("f32", "i64"):
            raise upstream.Refused(f"an argument of {element}")
        made.append(rng.standard_normal(dims, dtype=numpy.float32) if element == "f32" else rng.integers(0, 256, dims))
    return made


class Welford:
    def __init__(self, build, path, arrays, threads, folder):
        self.folder = folder
        self.command = [build / "welford", "exec", path, "-t", str(threads)]
        for i, array in enumerate(arrays):
            numpy.save(folder / f"in{i}.npy", array)
            self.command += ["-i", folder / f"in{i}.npy"]

    def run(self, *options):
        done = subprocess.run([*self.command, *options], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return done.stdout

    def time(self, runs, *options):
        return float(re.search(r"median ([\d.]+) us", self.run("--time", str(runs), *options))[1])

    def compute(self, n_results):
        outputs = [self.folder / f"out{i}.npy" for i in range(n_results)]
        self.run(*[word for path in outputs for word in ("-o", path)])
        return [numpy.load(path) for path in outputs]


def error(results, wanted):
    return max(float(numpy.abs(y - want).max() / numpy.abs(want).max()) for y, want in zip(results, wanted, strict=True))


def measure(options, path, folder):
    text = path.read_text()
    arguments, results = upstream.types_of(text)
    arrays = random_arrays(arguments, options.rows)
    times = []
    for keep in (False, True):
        seconds = upstream.time(options.llvm, text, arrays, options.runs, keep_memory=keep, fused=keep)
        times.append(statistics.median(seconds[len(seconds) // 4:]) * 1e6)
    welford = Welford(options.build, path, arrays, options.threads, folder)
    for switches in (("--no-raise",), (NO_FUSE,), ()):
        times.append(welford.time(options.runs, *switches))
    wanted = upstream.compute(options.llvm, text, arrays)
    return times, error(welford.compute(len(results)), wanted)


def compare_models(options):
    names = options.names.split(",") if options.names else sorted(p.parent.name for p in options.shapes.glob("*/graph.mlir"))
    with tempfile.TemporaryDirectory() as folder:
        def welford(path, arrays, threads):
            return Welford(options.build, path, arrays, threads, Path(folder))
        peers.table(options.shapes, names, welford, [int(n) for n in options.peer_threads.split(",")], options.rounds,
                    options.runs, options.cpu)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE.parent / "build")
    parser.add_argument("--llvm", type=Path, default=Path("/usr/lib/llvm-22"))
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--shapes", type=Path)
    parser.add_argument("--names")
    parser.add_argument("--peer-threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    if options.shapes:
        compare_models(options)
        return
    head = ["file", "upstream", "fused", "no raise", "no fuse", "welford", "upstream x", "fused x", "no raise x", "error"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    with tempfile.TemporaryDirectory() as folder:
        for path in options.files or default_files():
            try:
                times, difference = measure(options, path, Path(folder))
            except upstream.Refused as refused:
                sys.exit(f"{path}: {refused}")
            ours = times[-1]
            ratios = [times[0] / ours, times[1] / ours, times[2] / ours]
            cells = [f"{path.parent.name}/{path.stem}", *(f"{t:.1f}" for t in times), *(f"{r:.1f}" for r in ratios)]
            print("| " + " | ".join([*cells, f"{difference:.0e}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
