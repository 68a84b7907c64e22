#!/usr/bin/env python3
"""welford and llama.cpp on the same files, in turn, in one run: prefill and decode tokens/s, their ratios, and how near
welford comes to what the CPU can do.

    pip install llama-cpp-python==0.3.36        (builds llama.cpp for this CPU: its default flags)
    bench/compare.py [--welford build/welford] [-t 2] [-r 5] [-p 512] [-n 64] [-d 0,1024] MODEL.gguf ...

Both sides get the same number of threads and the same token counts; neither tokenizes nor samples while the clock
runs. Every repetition runs one side right after the other, so that a slow minute of the machine hits both; the table
gives the median of the repetitions and the median of their ratios. The last column is the larger part of a ceiling
that welford reaches, of the bytes read a second or of the arithmetic a second; `welford bench --profile` measures the
ceilings between its own repetitions, right after the others.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


class LlamaCpp:
    """One model in llama.cpp, through its C API as llama-cpp-python exposes it."""

    def __init__(self, path, threads, n_ctx, flash):
        import llama_cpp

        self.api = llama_cpp
        llama_cpp.llama_log_set(self._quiet(), None)
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_load_model_from_file(str(path).encode(), params)
        if not self.model:
            sys.exit(f"llama.cpp cannot load {path}")
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = n_ctx
        context.n_batch = context.n_ubatch = 512
        context.n_threads = context.n_threads_batch = threads
        if hasattr(context, "flash_attn_type"):
            context.flash_attn_type = 1 if flash else 0
        self.context = llama_cpp.llama_new_context_with_model(self.model, context)

    def _quiet(self):
        self._callback = self.api.llama_log_callback(lambda level, text, user: None)
        return self._callback

    def _decode(self, n, start, only_last):
        batch = self.api.llama_batch_init(n, 0, 1)
        batch.n_tokens = n
        for i in range(n):
            batch.token[i] = 100 + (start + i) * 7 % 1000
            batch.pos[i] = start + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = i == n - 1 if only_last else True
        if self.api.llama_decode(self.context, batch):
            sys.exit("llama_decode failed")
        self.api.llama_batch_free(batch)

    def _fill(self, n, start):
        for at in range(0, n, 512):
            self._decode(min(512, n - at), start + at, True)

    def _clear(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def prefill(self, n):
        self._clear()
        begin = time.perf_counter()
        self._fill(n, 0)
        return n / (time.perf_counter() - begin)

    def decode(self, n, depth):
        self._clear()
        self._fill(depth, 0)
        begin = time.perf_counter()
        for i in range(n):
            self._decode(1, depth + i, True)
        return n / (time.perf_counter() - begin)


def bench(binary, path, threads, options):
    """The only test of a run of welford bench."""
    command = [binary, "bench", str(path), "-t", str(threads), "-o", "json", *options]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout)[0]


def welford(binary, path, threads, options):
    return bench(binary, path, threads, ["-r", "1", *options])["avg_ts"]


def part_of_ceiling(test):
    """"63 % of int8": the larger part of a ceiling that the whole test reaches."""
    ceilings, seconds, kernels = test["ceilings"], test["seconds"], test["kernels"]
    parts = {"read": sum(k["bytes"] for k in kernels) / ceilings["read"] / seconds}
    for name in {k["ceiling"] for k in kernels}:
        parts[name] = sum(k["flops"] for k in kernels if k["ceiling"] == name) / ceilings[name] / seconds
    name = max(parts, key=parts.get)
    return f"{100 * parts[name]:.0f} % of {name}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--welford", default="build/welford")
    parser.add_argument("-t", type=int, default=len(os.sched_getaffinity(0)), help="threads")
    parser.add_argument("-r", type=int, default=5, help="repetitions")
    parser.add_argument("-p", type=int, default=512, help="prefill tokens")
    parser.add_argument("-n", type=int, default=64, help="decoded tokens")
    parser.add_argument("-d", default="0", help="depths of decode, a list")
    parser.add_argument("--flash", action="store_true", help="llama.cpp with flash attention")
    args = parser.parse_args()
    depths = [int(d) for d in args.d.split(",")]
    print("| model | test | welford t/s | llama.cpp t/s | ratio | ceiling |\n|---|---|---|---|---|---|", flush=True)
    for path in args.models:
        llama = LlamaCpp(path, args.t, max(depths) + max(args.p, args.n) + 64, args.flash)
        tests = [(f"prefill {args.p}", ["-p", str(args.p), "-n", "0"], lambda: llama.prefill(args.p))]
        for depth in depths:
            name = f"decode {args.n}" + (f" at depth {depth}" if depth else "")
            options = ["-p", "0", "-n", str(args.n), "-d", str(depth)]
            tests.append((name, options, lambda depth=depth: llama.decode(args.n, depth)))
        for name, options, theirs in tests:
            theirs()  # warm: page cache, threads
            pairs = [(welford(args.welford, path, args.t, options), theirs()) for _ in range(args.r)]
            ours, other = (statistics.median(p[i] for p in pairs) for i in (0, 1))
            ratio = statistics.median(a / b for a, b in pairs)
            part = part_of_ceiling(bench(args.welford, path, args.t, ["--profile", "-r", str(args.r), *options]))
            print(f"| {path.stem} | {name} | {ours:.1f} | {other:.1f} | {ratio:.2f}x | {part} |", flush=True)


if __name__ == "__main__":
    main()
