#!/usr/bin/env python3
"""Times rms_norm and layer_norm against the same graph in TOSA as upstream MLIR lowers it, and against peers.

    bench/norm.py [--build build] [--llvm /usr/lib/llvm-22] [--shapes 1024x1536,1x1536] [--types f32,bf16]
                  [--threads 1,2] [--runs 20]

Prints microseconds: medians of repeated calls inside one process each, compilation and first calls left out.

    tosa         bench/norm/*.mlir through tosa-to-linalg, one-shot-bufferize, loops and LLVM at -O3; one thread, since
                 that lowering has no other. Nothing frees its buffers, so every call works on fresh pages
    no faults    with buffer-deallocation-pipeline too, and malloc told to keep what is freed: no page faults after the
                 first calls
    fused        "no faults" with upstream's fusion of elementwise ops
    memcpy       of x to y, in welford's process, interleaved with its kernels; all other ratios are across processes

ONNX Runtime and PyTorch are timed where this Python has them (pip install onnxruntime onnx numpy; torch).
Needs build/norm_bench (cmake -DWELFORD_BENCHES=ON) and Debian's mlir-22-tools.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import upstream

HERE = Path(__file__).resolve().parent
OPS = ("rms_norm", "layer_norm")


def write_module(op, rows, cols, kind, runs):
    text = (HERE / "norm" / f"{op}.mlir").read_text() + (HERE / "norm" / "main.mlir").read_text()
    rounding = "arith.truncf %value : f32 to bf16" if kind == "bf16" else "arith.addf %value, %value : f32"
    fills = {"ROWS": rows, "COLS": cols, "TYPE": kind, "RUNS": runs, "SHARE": repr(1 / cols), "ROUND": rounding}
    for name, value in fills.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def time_tosa(llvm, op, rows, cols, kind, runs, *, keep_memory, fused):
    try:
        lines = upstream.run(llvm, write_module(op, rows, cols, kind, runs), keep_memory=keep_memory, fused=fused)
    except upstream.Refused as refused:
        sys.exit(str(refused))
    times = [float(line) for line in lines]
    return statistics.median(times[len(times) // 4:]) * 1e6


def time_welford(build, rows, cols, kind, threads):
    out = subprocess.run([build / "norm_bench", str(rows), str(cols), kind, str(threads)],
                         check=True, capture_output=True, text=True).stdout
    return {name: float(us) for name, us in (line.split() for line in out.splitlines())}


def time_calls(call):
    for _ in range(3):
        call()
    start = time.perf_counter()
    call()
    repeats = max(1, int(2e-3 / max(time.perf_counter() - start, 1e-7)))
    times = []
    for _ in range(31):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        times.append((time.perf_counter() - start) / repeats)
    return statistics.median(times) * 1e6


def onnxruntime_call(op, rows, cols, kind, threads):
    """A function that runs the op on bound buffers: neither copies nor allocations of Python are timed."""
    import numpy
    import onnxruntime
    from onnx import TensorProto, helper

    layer = op == "layer_norm"
    element = {"f32": TensorProto.FLOAT, "bf16": TensorProto.BFLOAT16}[kind]
    node = helper.make_node("LayerNormalization" if layer else "SimplifiedLayerNormalization",
                            ["x", "gamma", "beta"] if layer else ["x", "gamma"], ["y"], axis=-1, epsilon=1e-6)
    weights = [helper.make_tensor(name, element, [cols], numpy.linspace(-1, 1, cols))
               for name in ("gamma", "beta")[:2 if layer else 1]]
    value = lambda name: helper.make_tensor_value_info(name, element, [rows, cols])
    model = helper.make_model(helper.make_graph([node], op, [value("x")], [value("y")], weights),
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = numpy.random.default_rng(1).standard_normal((rows, cols), dtype=numpy.float32)
    if kind == "bf16":
        x = (x.view(numpy.uint32) >> 16).astype(numpy.uint16)
    y = numpy.empty_like(x)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, element) for array in (x, y)]
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", values[0])
    binding.bind_ortvalue_output("y", values[1])

    def call(_keep=(x, y, values)):  # the binding refers to their memory, but does not own it
        session.run_with_iobinding(binding)

    return call


def time_onnxruntime(op, rows, cols, kind, threads):
    try:
        call = onnxruntime_call(op, rows, cols, kind, threads)
    except ImportError:
        return None
    except Exception as error:  # older ones have no bf16 kernels
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        return None
    return time_calls(call)


def time_torch(op, rows, cols, kind, threads):
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[kind]
    x, gamma, beta = (torch.randn(*shape).to(dtype) for shape in ((rows, cols), (cols,), (cols,)))
    function = torch.nn.functional
    with torch.inference_mode():
        if op == "rms_norm":
            return time_calls(lambda: function.rms_norm(x, (cols,), gamma, 1e-6))
        return time_calls(lambda: function.layer_norm(x, (cols,), gamma, beta, 1e-6))


def cell(value, form="{:.1f}"):
    return "-" if value is None else form.format(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE.parent / "build")
    parser.add_argument("--llvm", type=Path, default=Path("/usr/lib/llvm-22"))
    parser.add_argument("--shapes", default="1024x1536,1x1536,512x576,2048x4096")
    parser.add_argument("--types", default="f32,bf16")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=12, help="calls of each TOSA program (default 12); \"tosa\" needs up to 400 MB for each")
    options = parser.parse_args()
    if not (options.build / "norm_bench").exists():
        sys.exit(f"{options.build}/norm_bench is missing: cmake {options.build} -DWELFORD_BENCHES=ON, and build it")

    head = ["op", "shape", "type", "threads", "tosa", "no faults", "fused", "ONNX RT", "PyTorch", "memcpy", "welford",
            "of memcpy", "tosa x", "no faults x", "fused x", "ONNX RT x", "PyTorch x"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for shape in options.shapes.split(","):
        rows, cols = map(int, shape.split("x"))
        for kind in options.types.split(","):
            # not a function of the number of threads
            tosa = {op: [time_tosa(options.llvm, op, rows, cols, kind, options.runs, keep_memory=keep, fused=fused)
                         for keep, fused in ((False, False), (True, False), (True, True))] for op in OPS}
            for threads in map(int, options.threads.split(",")):
                times = time_welford(options.build, rows, cols, kind, threads)
                for op in OPS:
                    ours = times[op]
                    peers = [*tosa[op], time_onnxruntime(op, rows, cols, kind, threads),
                             time_torch(op, rows, cols, kind, threads)]
                    numbers = [*peers, times["memcpy"], ours]
                    ratios = [None if t is None else t / ours for t in peers]
                    line = [op, shape, kind, str(threads), *map(cell, numbers), f"{100 * times['memcpy'] / ours:.0f} %"]
                    print("| " + " | ".join(line + [cell(r) for r in ratios]) + " |", flush=True)


if __name__ == "__main__":
    main()
