#!/usr/bin/env python3
"""Compares the speed of two builds on a machine that others use too: runs in turn, user CPU time, medians of ratios.

    bench/pairs.py OLD/welford NEW/welford MODEL.gguf ... [--pairs 20]

A pair is `welford bench` of both builds one after the other, on one thread, in changing order; each build has a cache of
its own, filled before. A line a model and test: the median of new/old user time, below 1 where the new build is faster,
and the 95 % bounds of that median by order statistics, which need no assumption about the noise. Exit status 1 where a
lower bound is above --limit (default 1.03): slower, and not by chance.
"""
import argparse
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path

TESTS = {"prefill 512": ["-p", "512", "-n", "0", "-r", "2"], "decode 64": ["-p", "0", "-n", "64", "-r", "1"],
         "decode 64 at 600": ["-p", "0", "-n", "64", "-d", "600", "-r", "1"]}


def user_seconds(program: Path, cache: str, arguments: list[str]) -> float:
    null = os.open(os.devnull, os.O_WRONLY)
    child = os.posix_spawn(program, [str(program), "bench", "-t", "1", *arguments],
                           {**os.environ, "WELFORD_CACHE": cache}, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
    os.close(null)
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{program} {' '.join(arguments)}: status {status}")
    return usage.ru_utime


def median_bounds(values: list[float]) -> tuple[float, float]:
    """The k-th smallest and largest, with the largest k for which the median lies outside in at most 5 % of samples."""
    n, k, below = len(values), 0, 0.0
    while below + math.comb(n, k) / 2**n <= 0.025:
        below += math.comb(n, k) / 2**n
        k += 1
    values = sorted(values)
    return (values[k - 1], values[n - k]) if k else (values[0], values[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--limit", type=float, default=1.03)
    parser.add_argument("--tests", default=",".join(TESTS), help="names, separated by commas")
    options = parser.parse_args()
    slower = False
    with tempfile.TemporaryDirectory() as folder:
        builds = [(p.resolve(), str(Path(folder) / n)) for n, p in (("old", options.old), ("new", options.new))]
        for model in options.models:
            for test in options.tests.split(","):
                arguments, ratios = [*TESTS[test], str(model)], []
                for build in builds:
                    user_seconds(*build, arguments)
                for i in range(options.pairs):
                    seconds = [0.0, 0.0]
                    for b in ((0, 1), (1, 0))[i % 2]:
                        seconds[b] = user_seconds(*builds[b], arguments)
                    ratios.append(seconds[1] / seconds[0])
                low, high = median_bounds(ratios)
                slower |= low > options.limit
                print(f"{model.stem:<32} {test:<17} {options.pairs} pairs  new/old {statistics.median(ratios):.3f}  "
                      f"{low:.3f}..{high:.3f}", flush=True)
    return slower


if __name__ == "__main__":
    sys.exit(main())
