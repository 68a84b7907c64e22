#!/usr/bin/env python3
"""What llvm-mca expects of the linear kernels' inner loops, for CPUs that need not be this one.

    bench/mca.py [-t q4] [CPU...]           default: znver3 znver4 sapphirerapids

For each weight type and CPU, two loops of the generated code (`linear_bench --assembly`): the widest register tile, which
prefill runs in, and the tile of one row, which decode runs in. Prefill: products a cycle, and how many of them the loop of
nothing but the dot instruction does by the same model (kernel/ceiling.c): an estimate, not a measurement; memory is taken to
be the first-level cache. One row: products a cycle, which memory bounds long before. Spills: references to the stack.

LINEAR_BENCH: the program (default: build/linear_bench, of cmake -DWELFORD_BENCHES=ON); LLVM_MCA (default: llvm-mca-22, of
llvm-22, which comes with llvm-22-dev).
"""
import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

BENCH = os.environ.get("LINEAR_BENCH", Path(__file__).resolve().parent.parent / "build/linear_bench")
MCA = os.environ.get("LLVM_MCA", "llvm-mca-22")
CPUS = ["znver3", "znver4", "sapphirerapids"]
CEILINGS = {"f32": "fma", "f16": "fma", "bf16": "bf16"}  # the others: int8
# The instruction that multiplies, and its products in 128 bits. Later ones only widen or scale in loops with earlier ones.
DOTS = [("vpdpbusd", 16), ("vpmaddubsw", 16), ("vpmaddwd", 8), ("vdpbf16ps", 8), (r"vfmadd\d+ps", 4)]
# Where LLVM 22's models are wrong, other instructions stand for those of the code. Zen 4: dot products of registers would
# take two or three cycles, and those of memory half of the units that they need; the CPU does one of 512 bits a cycle, in
# the units of multiply-adds. Sapphire Rapids: x xor x would wait for x; a load does not.
STANDS_FOR = {"znver4": (r"vpdpbusd|vdpbf16ps", "vfmadd231ps"),
              "sapphirerapids": (r"vp?xor\w*\s+%xmm(\d+), %xmm\1, %xmm\1", r"vpbroadcastd (%r8), %zmm\1")}
WIDTHS = {"x": 1, "y": 2, "z": 4}


def functions(assembly):
    """Name and lines of each."""
    found, lines = {}, None
    for line in assembly.splitlines():
        head = re.match(r"(\w+):", line)
        if head:
            lines = found.setdefault(head[1], [])
        elif lines is not None:
            lines.append(line)
    return found


def innermost_loops(lines):
    """Bodies of loops with nothing but one block in them: from a label to the first jump, which leads back to it."""
    loops, label, body = [], None, []
    for line in lines:
        code = line.split("#")[0].strip()
        head, jump = re.match(r"(\.L\w+):", code), re.match(r"j\w+\s+(\.L\w+)$", code)
        if head:
            label, body = head[1], []
        elif code and not code.startswith("."):
            body.append(code)
            if jump:
                if jump[1] == label:
                    loops.append(body)
                label, body = None, []
    return loops


def products(body):
    """Multiplications of one round."""
    for name, number in DOTS:
        widths = [WIDTHS[m[1]] for code in body if (m := re.match(rf"(?:\{{vex\}}\s+)?{name}\s.*%([xyz])mm\d+(?:\s*\{{.*)?$", code))]
        if widths:
            return number * sum(widths)
    return 0


def cycles(body, cpu):
    """Of one round, in the middle of many."""
    text, rounds = "\n".join(body), 100
    if cpu in STANDS_FOR:
        text = re.sub(*STANDS_FOR[cpu], text)
    done = subprocess.run([MCA, "-mtriple=x86_64", f"-mcpu={cpu}", f"-iterations={rounds}"], input=text, text=True,
                          capture_output=True)
    if done.returncode:
        sys.exit(f"{MCA}: {done.stderr.strip()}")
    return int(re.search(r"Total Cycles:\s+(\d+)", done.stdout)[1]) / rounds


def describe(name, loops, cpu, peaks):
    loops = [body for body in loops if products(body)]
    if not loops:
        sys.exit(f"{cpu}: no loop over columns in {name}")
    widest, single = max(loops, key=products), min(loops, key=products)
    speed = products(widest) / cycles(widest, cpu)
    peak = peaks[CEILINGS.get(name.removesuffix("x16"), "int8")]
    spills = [sum("%rsp" in code or "%rbp" in code for code in body) for body in (widest, single)]
    return (f"| {name.removesuffix('x16'):6} | {cpu:14} | {speed:6.1f} | {100 * speed / peak:4.0f} % | {spills[0]:6} "
            f"| {products(single) / cycles(single, cpu):6.1f} | {spills[1]:6} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-t", "--types", default="", help="only weight types that begin so")
    parser.add_argument("cpus", nargs="*", default=CPUS)
    options = parser.parse_args()
    print("| type   | CPU            | widest | of peak | spills | 1 row | spills |")
    print("|--------|----------------|--------|---------|--------|-------|--------|")
    rows = []
    for cpu in options.cpus:
        done = subprocess.run([BENCH, "--assembly", cpu], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr.strip())
        code = {name: innermost_loops(lines) for name, lines in functions(done.stdout).items()}
        peaks = {}
        for kind in "fma", "bf16", "int8":
            body = max(code["ceiling_" + kind], key=products)
            peaks[kind] = products(body) / cycles(body, cpu)
        rows += [(i, describe(name, code[name], cpu, peaks)) for i, name in enumerate(code)
                 if name.endswith("x16") and name.startswith(options.types)]
    print("\n".join(row for _, row in sorted(rows, key=lambda pair: pair[0])))


if __name__ == "__main__":
    main()
