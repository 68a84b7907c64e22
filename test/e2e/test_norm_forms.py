"""Norms in every spelling that norm_forms.py composes: what is found, why the rest is not, and that values stay.

    test_norm_forms.py SEED N    tries N others of each road, and prints what fails
"""
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT, Welford
from graph_text import Tensor
from norm_forms import ROADS, SPOILERS, Form, make
from test_exec import bf16, floats

MLIR_OPT = Path("/usr/lib/llvm-22/bin/mlir-opt")
PIPELINES = {  # what upstream does to a text before it is raised
    "fused": "linalg-generalize-named-ops,linalg-fuse-elementwise-ops,canonicalize,cse",
    "lowered": "tosa-to-linalg-named,tosa-to-linalg,tosa-to-arith,tosa-to-tensor,canonicalize,cse",
}
LEFT = re.compile(r'tosa\.(reduce_sum|matmul)|"reduction"|linalg\.(reduce|batch_matmul|dot)\b')
# Of the largest result; both ways round 16-bit values at other places.
TOLERANCE = {"f64": 1e-8, "f32": 1e-5, "f16": 6e-3, "bf16": 5e-2}


def prepare(road: str, text: str) -> str:
    if road in PIPELINES:
        pipeline = f"--pass-pipeline=builtin.module(func.func({PIPELINES[road]}))"
        text = subprocess.run([MLIR_OPT, pipeline], input=text, capture_output=True, text=True, check=True).stdout
    return text


def functions(text: str) -> dict[str, str]:
    found = re.finditer(r"func\.func (?:private )?@(\w+)\(.*?(?=\n *func\.func|\Z)", text, re.DOTALL)
    return {m[1]: m[0] for m in found}


def notes_by_function(text: str, notes: str) -> dict[str, list[str]]:
    """The reasons of --explain by the function whose lines they name."""
    owner, current = {}, ""
    for i, line in enumerate(text.split("\n"), 1):
        match = re.search(r"func\.func .*?@(\w+)\(", line)
        current = match[1] if match else current
        owner[i] = current
    found = defaultdict(list)
    for line in notes.splitlines():
        place = re.match(r".*?:(\d+):\d+: (.*)", line)
        assert place, f"a note without a place: {line}"
        found[owner[int(place[1])]].append(place[2])
    return found


def wrong(form: Form, body: str, notes: list[str]) -> str:
    """What is not as it must be; empty: nothing."""
    found = re.findall(r'"(wf\.\w*norm)"\((.*?)\) \{(.*?)\}', body)
    if not form.op:
        if found:
            return f"raised to {found}"
        return "" if any(re.search(form.reason, note) for note in notes) else f"no reason given: {notes}"
    if [op for op, _, _ in found] != [form.op] * form.attributes["times"]:
        return f"found {found}: {notes}"
    _, operands, attributes = max(found, key=lambda op: op[1].count("%"))  # of twins the one with gamma and beta
    want = form.attributes
    eps = float(re.search(r"eps = ([-+\d.Ee]+)", attributes)[1])
    axes = re.search(r"axes = (\d+)", attributes)
    if abs(eps - want["eps"]) > 4e-3 * want["eps"]:
        return f"eps is {eps}"
    if int(axes[1] if axes else 1) != want["axes"] or ("plus_one" in attributes) != want["plus_one"]:
        return f"attributes are {attributes}"
    if want["operands"] and operands.count("%") != want["operands"]:
        return f"operands are {operands}"
    return f"left: {LEFT.search(body)[0]}" if LEFT.search(body) else ""


def check_raised(welford: Welford, road: str, forms: list[Form], folder: Path) -> list[str]:
    path = folder / f"{road}.mlir"
    path.write_text(prepare(road, "".join(form.text("") for form in forms)))
    run = welford.run("opt", "--passes=raise", "--explain", path).ok()
    bodies, notes = functions(run.stdout), notes_by_function(path.read_text(), run.stderr)
    failures = [(form, wrong(form, bodies[form.name], notes[form.name])) for form in forms]
    return [f"{form.name} {why}; {form.choice}\n{form.text()}" for form, why in failures if why]


def save(path: Path, t: Tensor):
    array = t.array.reshape(t.dims)
    np.save(path, bf16(array) if t.element == "bf16" else array.astype({"f64": "f8", "f32": "f4", "f16": "f2"}[t.element]))


def check_values(welford: Welford, road: str, forms: list[Form], folder: Path) -> list[str]:
    """All in one function, raised and as it is, against NumPy."""
    args = [a for form in forms for a in form.writer.args]
    results = [r for form in forms for r in form.results]
    lines, returned, n = [], [], 0
    for form in forms:
        names = [f"%x{n + i}" for i in range(len(form.writer.args))]
        n += len(names)
        types = [", ".join(t.type for t in list_) for list_ in (form.writer.args, form.results)]
        lines.append(f"  %{form.name}:{len(form.results)} = func.call @{form.name}({', '.join(names)}) : ({types[0]}) -> ({types[1]})")
        returned += [f"%{form.name}#{i}" for i in range(len(form.results))]
    signature = ", ".join(f"%x{i}: {t.type}" for i, t in enumerate(args))
    types = ", ".join(r.type for r in results)
    main = [f"func.func @main({signature}) -> ({types}) {{", *lines, f"  return {', '.join(returned)} : {types}", "}", ""]
    path = folder / f"{road}_values.mlir"
    path.write_text(prepare(road, "".join(form.text() for form in forms) + "\n".join(main)))
    options = []
    for i, t in enumerate(args):
        save(folder / f"i{i}.npy", t)
        options += ["-i", folder / f"i{i}.npy"]
    for i in range(len(results)):
        options += ["-o", folder / f"o{i}.npy"]
    failures = []
    for more in ([], ["--no-raise"]):
        welford.run("exec", path, *options, *more).ok()
        i = 0
        for form in forms:
            for r in form.results:
                got, want = floats(np.load(folder / f"o{i}.npy")), r.array.reshape(r.dims)
                i += 1
                error = np.abs(got - want).max() / max(np.abs(want).max(), 1e-6)
                if not error <= TOLERANCE[r.element]:
                    failures.append(f"{form.name} {more} is off by {error:.1e}; {form.choice}\n{form.text()}")
    return failures


def compose(seed: int, road: str, n: int, spoiled: bool) -> list[Form]:
    random_, rng = random.Random(f"{seed} {road} {spoiled}"), np.random.default_rng(seed)
    names = list(SPOILERS)
    with np.errstate(invalid="ignore"):  # the roots of what is no norm
        return [make(f"f{i}", random_, rng, road, names[i % len(names)] if spoiled else None) for i in range(n)]


@pytest.mark.parametrize("road", ROADS)
def test_found(welford, road, tmp_path):
    assert not check_raised(welford, road, compose(1, road, 60, False), tmp_path)


@pytest.mark.parametrize("road", ROADS)
def test_refused(welford, road, tmp_path):
    assert not check_raised(welford, road, compose(2, road, 3 * len(SPOILERS), True), tmp_path)


@pytest.mark.parametrize("road", ROADS)
def test_values(welford, road, tmp_path):
    forms = compose(3, road, 8, False)
    assert not check_values(welford, road, forms, tmp_path)


def main(seed: int, n: int):
    welford = Welford(Path(os.environ.get("WELFORD", ROOT / "build/welford")))
    with tempfile.TemporaryDirectory() as folder:
        for road in ROADS:
            for spoiled in (False, True):
                print(*check_raised(welford, road, compose(seed, road, n, spoiled), Path(folder)), sep="\n")
            print(*check_values(welford, road, compose(seed, road, min(n, 24), False), Path(folder)), sep="\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
