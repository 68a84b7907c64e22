"""Runs functions of TOSA or linalg on tensors as upstream MLIR lowers them: mlir-opt to LLVM, then mlir-runner.

Needs Debian's mlir-22-tools.
"""

import os
import re
import subprocess

KEEP_MEMORY = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:glibc.malloc.top_pad=67108864"

# Integers that a value is printed as, bit by bit: one of its size, and the way to i64.
BITS = {"f32": "i32", "bf16": "i16", "f16": "i16", "f64": "i64"}
DTYPES = {"f32": "<f4", "bf16": "<u2", "f16": "<f2", "f64": "<f8", "i64": "<i8", "i32": "<i4"}
SIGNATURE = re.compile(r"func\.func (?:public )?@main\((.*?)\) -> (.*?) (?:attributes .*)?\{\n")


class Refused(Exception):
    """mlir-opt or mlir-runner cannot run a function; the first line of what it says."""


def pipeline(free, fused):
    """free: buffers are freed, else every call works on fresh pages; fused: elementwise ops share loops."""
    fuse = "func.func(linalg-fuse-elementwise-ops)," if fused else ""
    return (
        "builtin.module(func.func(tosa-optional-decompositions,tosa-to-linalg-named,canonicalize,tosa-to-linalg,tosa-to-arith,"
        f"tosa-to-tensor,canonicalize,cse),{fuse}"
        "one-shot-bufferize{bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map},"
        f"{'buffer-deallocation-pipeline,' if free else ''}func.func(convert-linalg-to-loops),expand-strided-metadata,lower-affine,"
        "func.func(arith-expand{include-bf16=true}),convert-math-to-funcs,convert-scf-to-cf,convert-math-to-llvm,"
        "convert-math-to-libm,convert-to-llvm,reconcile-unrealized-casts)"
    )


def run(llvm, text, *, keep_memory, fused):
    """The lines that @main prints. keep_memory: buffers are freed, and malloc keeps them."""
    def checked(command, **options):
        done = subprocess.run(command, capture_output=True, text=True, **options)
        if done.returncode:
            raise Refused(f"{command[0].name}: {done.stderr.splitlines()[0] if done.stderr else done.returncode}")
        return done.stdout
    lowered = checked([llvm / "bin/mlir-opt", f"--pass-pipeline={pipeline(keep_memory, fused)}"], input=text)
    environment = dict(os.environ)
    if keep_memory:
        environment["GLIBC_TUNABLES"] = KEEP_MEMORY
    libraries = ",".join(str(llvm / "lib" / f"libmlir_{name}runner_utils.so") for name in ("", "c_"))
    return checked([llvm / "bin/mlir-runner", "-O3", "-e", "main", "--entry-point-result=void", f"--shared-libs={libraries}"],
                   input=lowered, env=environment).splitlines()


# ---- a function @main of a file, called with arrays


def types_of(text):
    """The types of @main's arguments and results: ([dims; None: dynamic], element)."""
    def parse(types):
        return [([None if d == "?" else int(d) for d in dims.split("x") if d], element)
                for dims, element in re.findall(r"tensor<((?:[\d?]+x)*)(\w+)>", types)]
    match = SIGNATURE.search(text)
    return parse(match[1]), parse(match[2])


def tensor(dims, element):
    return "tensor<" + "".join(f"{'?' if d is None else d}x" for d in dims) + element + ">"


def write_calls(arguments, results, arrays):
    """Text that makes the arguments, and the call of @graph that takes them."""
    lines = []
    for i, ((dims, element), array) in enumerate(zip(arguments, arrays, strict=True)):
        fixed, free = tensor(array.shape, element), tensor(dims, element)
        lines.append(f'%c{i} = arith.constant dense<"0x{array.tobytes().hex()}"> : {fixed}')
        lines.append(f"%a{i} = tensor.cast %c{i} : {fixed} to {free}")
    names = ", ".join(f"%a{i}" for i in range(len(arguments)))
    ins = ", ".join(tensor(*t) for t in arguments)
    outs = ", ".join(tensor(*t) for t in results)
    return lines, f"%y:{len(results)} = func.call @graph({names}) : ({ins}) -> ({outs})"


def write_values(index, dims, element):
    """Text that prints every element of a result as an integer."""
    lines = []
    for d in range(len(dims)):
        lines.append(f"%k{index}_{d} = arith.constant {d} : index")
        lines.append(f"%n{index}_{d} = tensor.dim %y#{index}, %k{index}_{d} : {tensor(dims, element)}")
        lines.append(f"scf.for %i{d} = %zero to %n{index}_{d} step %one {{")
    subscripts = ", ".join(f"%i{d}" for d in range(len(dims)))
    lines.append(f"%v = tensor.extract %y#{index}[{subscripts}] : {tensor(dims, element)}")
    name, bits = "%v", BITS.get(element, element)
    if bits != element:
        lines.append(f"%b = arith.bitcast %v : {element} to {bits}")
        name = "%b"
    if bits != "i64":
        lines.append(f"%w = arith.extsi {name} : {bits} to i64")
        name = "%w"
    lines += [f"func.call @printI64({name}) : (i64) -> ()", "func.call @printNewline() : () -> ()", *["}"] * len(dims)]
    return lines


def with_main(text, body):
    """The file with its @main renamed to @graph, and a new @main."""
    head = ("func.func private @rtclock() -> f64\nfunc.func private @printF64(f64)\nfunc.func private @printI64(i64)\n"
            "func.func private @printNewline()\nfunc.func @main() {\n%zero = arith.constant 0 : index\n"
            "%one = arith.constant 1 : index\n" + "\n".join(body) + "\nreturn\n}\n")
    text = text.replace("@main(", "@graph(", 1)
    module = re.search(r"^module.*\{\n", text, re.MULTILINE)
    at = module.end() if module else 0
    return text[:at] + head + text[at:]


def compute(llvm, text, arrays):
    """The results of @main, exactly; bfloat16 as uint16."""
    import numpy

    arguments, results = types_of(text)
    lines, call = write_calls(arguments, results, arrays)
    for i, (dims, element) in enumerate(results):
        lines += ([call] if i == 0 else []) + write_values(i, dims, element)
    printed = numpy.array([int(line) for line in run(llvm, with_main(text, lines), keep_memory=False, fused=False)], "<i8")
    sizes = iter({d for (dims, _), array in zip(arguments, arrays) for d, n in zip(array.shape, dims) if n is None})
    dynamic = next(sizes, None)  # all dynamic sizes are one
    found, at = [], 0
    for dims, element in results:
        shape = [dynamic if d is None else d for d in dims]
        count = int(numpy.prod(shape))
        bits = printed[at:at + count].astype("<i" + str(int(BITS.get(element, element)[1:]) // 8))
        found.append(bits.view(DTYPES[element]).reshape(shape))
        at += count
    return found


def time(llvm, text, arrays, runs, *, keep_memory, fused):
    """Seconds of each of `runs` calls of @main."""
    lines, call = write_calls(*types_of(text), arrays)
    lines += [f"%runs = arith.constant {runs} : index", "scf.for %i = %zero to %runs step %one {",
              "%start = func.call @rtclock() : () -> f64", call, "%end = func.call @rtclock() : () -> f64",
              "%time = arith.subf %end, %start : f64", "func.call @printF64(%time) : (f64) -> ()",
              "func.call @printNewline() : () -> ()", "}"]
    return [float(line) for line in run(llvm, with_main(text, lines), keep_memory=keep_memory, fused=fused)]
