#!/usr/bin/env python3
"""Draws a roofline (Williams, Waterman and Patterson, CACM 52(4), 2009) of a model's kernels, as SVG.

    bench/roofline.py [-o FILE.svg] MODEL [options of welford bench, such as -p 512 -n 64 -d 0]

The roofs are what this CPU reads from memory and what it computes, measured by `welford bench --profile` in the same run. A
point is a kernel: its arithmetic a byte against its arithmetic a second, its area the share of the time. Kernels whose data
caches hold may lie above the slope. WELFORD: the program (default: build/welford).
"""
import argparse
import html
import json
import math
import os
import subprocess
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 960, 600, 70, 50, 250, 60
COLOURS = ["#1b6ca8", "#c8553d", "#588157", "#8d5a97", "#b08900", "#2a9d8f", "#6c757d", "#e07a5f"]
X, Y = (0.1, 1000.0), (1.0, 2000.0)  # flop a byte, Gflop/s


def profile(model, options):
    program = os.environ.get("WELFORD", Path(__file__).resolve().parent.parent / "build/welford")
    done = subprocess.run([program, "bench", model, "--profile", "-o", "json", *options], check=True, capture_output=True,
                          text=True)
    return json.loads(done.stdout)


def x_of(value):
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(value / X[0]) / math.log(X[1] / X[0])


def y_of(value):
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(value / Y[0]) / math.log(Y[1] / Y[0])


def text(x, y, words, size=12, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {extra}>{html.escape(words)}</text>'


def axes():
    out = []
    for low, high, line in ((X[0], X[1], "x"), (Y[0], Y[1], "y")):
        value = low
        while value <= high * 1.001:
            if line == "x":
                at = x_of(value)
                out += [f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>',
                        text(at, HEIGHT - BOTTOM + 18, f"{value:g}", anchor="middle")]
            else:
                at = y_of(value)
                out += [f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#ddd"/>',
                        text(LEFT - 8, at + 4, f"{value:g}", anchor="end")]
            value *= 10
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18, "operations a byte", anchor="middle"),
            text(18, middle, "10⁹ operations a second", anchor="middle", extra=f'transform="rotate(-90 18 {middle})"')]
    return out


def roofs(ceilings):
    read, out = ceilings["read"], []
    for name, words in ("int8", "8-bit products"), ("bf16", "bf16 products"), ("fma", "f32 multiply-adds"):
        peak = ceilings[name]
        if name == "bf16" and peak < 1.5 * ceilings["fma"]:
            continue  # computed by multiply-adds: the CPU has no instruction of its own
        ridge = peak / read
        out += [f'<path d="M{x_of(X[0]):.1f},{y_of(max(Y[0], read * X[0] * 1e-9)):.1f} L{x_of(ridge):.1f},'
                f'{y_of(peak * 1e-9):.1f} L{x_of(X[1]):.1f},{y_of(peak * 1e-9):.1f}" fill="none" stroke="#333"/>',
                text(WIDTH - RIGHT - 4, y_of(peak * 1e-9) - 6, f"{words} {peak * 1e-9:.0f}", anchor="end")]
    at = 0.8
    out.append(text(x_of(at) - 6, y_of(read * at * 1e-9) - 6, f"read {read * 1e-9:.1f} GB/s", anchor="end"))
    return out


def points(tests):
    out, names = [], []
    for test in tests:
        phase = f"prefill {test['n_prompt']}" if test["n_prompt"] else f"decode {test['n_gen']}"
        phase += f" at {test['n_depth']}" if test["n_depth"] else ""
        for kernel in test["kernels"]:
            share = kernel["seconds"] / test["seconds"]
            if not kernel["flops"] or share < 0.01:
                continue
            intensity, speed = kernel["flops"] / kernel["bytes"], kernel["flops"] / kernel["seconds"] * 1e-9
            if kernel["name"] not in names:
                names.append(kernel["name"])
            colour = COLOURS[names.index(kernel["name"]) % len(COLOURS)]
            at = min(max(intensity, X[0]), X[1]), min(max(speed, Y[0]), Y[1])
            title = (f"{kernel['name']}, {phase}: {100 * share:.0f} % of the time, {speed:.1f} Gop/s, "
                     f"{kernel['bytes'] / kernel['seconds'] * 1e-9:.1f} GB/s")
            out.append(f'<circle cx="{x_of(at[0]):.1f}" cy="{y_of(at[1]):.1f}" r="{3 + 22 * math.sqrt(share):.1f}" '
                       f'fill="{colour}" fill-opacity="{0.75 if test["n_prompt"] else 0.35}" stroke="{colour}">'
                       f"<title>{html.escape(title)}</title></circle>")
    for i, name in enumerate(names):
        y = TOP + 10 + 20 * i
        short = name if len(name) < 34 else name[:32] + "…"
        out += [f'<circle cx="{WIDTH - RIGHT + 16}" cy="{y - 4}" r="6" fill="{COLOURS[i % len(COLOURS)]}"/>',
                text(WIDTH - RIGHT + 28, y, short, size=11)]
    return out


def draw(tests):
    ceilings = {name: max(test["ceilings"][name] for test in tests) for name in ("fma", "bf16", "int8", "read")}
    title = "Kernels of a model: prefill (full) and decode (pale); the area is the share of the time"
    body = [*axes(), *roofs(ceilings), *points(tests), text(LEFT, 28, title, size=14)]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default="roofline.svg")
    parser.add_argument("model")
    arguments, options = parser.parse_known_args()
    tests = profile(arguments.model, options)
    Path(arguments.output).write_text(draw(tests), encoding="utf-8")
    print(arguments.output)


if __name__ == "__main__":
    main()
