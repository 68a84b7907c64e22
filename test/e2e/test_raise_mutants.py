"""Raising never changes what a graph computes: graphs with operands, axes and constants changed, raised and as they are."""
import random
import re

import numpy as np

from forms import FILES as FORMS
from forms import NEAR, forms
from test_exec import FILES, bf16, floats, shapes

TOLERANCE = {"f32": 2e-5, "f16": 4e-3, "bf16": 3e-2}
SMALL = [p for p in FILES if p.stat().st_size < 60000 and "bf16" not in p.stem]
N_MUTANTS = 40


def swap_operands(random_, line):
    operands = list(re.finditer(r"%\w+", line.split(" : ")[0]))[1:]
    if len(operands) < 2:
        return line
    a, b = operands[0], operands[1]
    return line[:a.start()] + b[0] + line[a.end():b.start()] + a[0] + line[b.end():]


def change_number(random_, line):
    numbers = list(re.finditer(r"(?<![\w.<x])\d+\.\d+(?:[eE][-+]?\d+)?", line))
    if not numbers:
        return line
    n = random_.choice(numbers)
    value = float(n[0]) * random_.choice([0.5, 2, 1000]) if random_.random() < 0.7 else 3.0
    return line[:n.start()] + f"{value:.9e}" + line[n.end():]


def change_axis(random_, line):
    return re.sub(r"axis = (\d)", lambda m: f"axis = {random_.choice('012')}", line)


def change_op(random_, line):
    pairs = [("tosa.add", "tosa.sub"), ("arith.addf", "arith.subf"), ("arith.mulf", "arith.addf"),
             ("math.rsqrt", "math.sqrt"), ("tosa.rsqrt", "tosa.exp"), ("arith.subf", "arith.addf")]
    pairs = [p for p in pairs if p[0] in line]
    return line.replace(*random_.choice(pairs)) if pairs else line


def change_value(random_, lines, i):
    """An operand becomes another value of the same name's form, most often of the same type."""
    operands = list(re.finditer(r"%\w+", lines[i].split(" : ")[0]))[1:]
    known = re.findall(r"^\s*(%\w+)(?= =)", "\n".join(lines[:i]), re.MULTILINE) + ["%arg0"]
    if not operands:
        return lines[i]
    o = random_.choice(operands)
    return lines[i][:o.start()] + random_.choice(known[-6:]) + lines[i][o.end():]


def mutate(random_, text):
    head, *resources = text.split("{-#", 1)
    lines = head.split("\n")
    for _ in range(random_.choice([1, 1, 2])):
        i = random_.choice([i for i, line in enumerate(lines) if " = " in line and "affine_map" not in line[:20]])
        kind = random_.randrange(5)
        lines[i] = (change_value(random_, lines, i) if kind == 4 else
                    (swap_operands, change_number, change_axis, change_op)[kind](random_, lines[i]))
    return "{-#".join(["\n".join(lines), *resources])


def make(rng, dims, element):
    if element == "i1":
        return rng.random(dims) < 0.7
    if element == "i32":  # positions in a table of four
        return rng.integers(0, 4, dims, dtype=np.int32)
    x = rng.standard_normal(dims)
    return bf16(x) if element == "bf16" else x.astype({"f32": np.float32, "f16": np.float16, "f64": np.float64}[element])


def test_mutants(welford, tmp_path):
    random_, rng = random.Random(11), np.random.default_rng(11)
    compared = raised = 0
    path = tmp_path / "mutant.mlir"
    small = list(SMALL)
    for name, text in forms(FORMS + NEAR).items():
        small.append(tmp_path / f"{name}.mlir")
        small[-1].write_text(text)
    for _ in range(40 * N_MUTANTS):
        if compared == N_MUTANTS:
            break
        original = random_.choice(small)
        text = mutate(random_, original.read_text())
        path.write_text(text)
        opt = welford.run("opt", "--passes=raise", path)
        if opt.exit != 0:
            opt.failed(1)
            assert "after pass" not in opt.stderr, text
            continue
        if text == original.read_text():
            continue
        arguments, results = shapes(original, 5)
        inputs = []
        for i, (dims, element) in enumerate(arguments):
            np.save(tmp_path / f"i{i}.npy", make(rng, [min(d, 1024) for d in dims], element))
            inputs += ["-i", tmp_path / f"i{i}.npy"]
        outputs = [tmp_path / f"o{i}.npy" for i in range(len(results))]
        arrays = []
        for options in ([], ["--no-raise"]):
            args = [a for o in outputs for a in ("-o", o)]
            run = welford.run("exec", path, *inputs, *args, *options)
            assert run.exit in (0, 1, 2), text  # 2: an assertion of the graph that these inputs break
            arrays.append([np.load(o) for o in outputs] if run.exit == 0 else None)
        if arrays[0] is None or arrays[1] is None:
            assert arrays[0] is arrays[1], text
            continue
        compared += 1
        raised += "wf." in opt.stdout
        for (_, element), a, b in zip(results, *arrays):
            a, b = floats(a), floats(b)
            finite = np.isfinite(b)
            assert np.array_equal(finite, np.isfinite(a)), text
            scale = np.abs(b[finite]).max(initial=1e-30)
            assert np.abs(a[finite] - b[finite]).max(initial=0) <= TOLERANCE[element] * scale, text
    assert compared == N_MUTANTS and raised >= N_MUTANTS // 4
