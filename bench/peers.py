"""Whole models beside their peers: welford exec, onnxruntime and PyTorch on the graphs that bench/shapes.py wrote.

Engines take turns, so that what else the machine does meets all alike. A time is that of one call: the median over
rounds of each round's median, or with `cpu` the processor's time (user), which other programs hardly lengthen.
"""

import resource
import statistics
import time

import numpy

import shapes

ENGINES = ["welford", "onnxruntime", "pytorch"]


def children_seconds():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def seconds_of_calls(call, runs, cpu):
    """A list of each call's, or the mean where the processor's time is asked for."""
    if cpu:
        start = time.process_time()
        for _ in range(runs):
            call()
        return [(time.process_time() - start) / runs]
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


class WelfordEngine:
    def __init__(self, welford, threads):
        self.welford, self.options = welford, ["-t", str(threads)]
        self.welford.run(*self.options)  # compiles

    def compute(self):
        return self.welford.compute(1)[0]

    def seconds(self, runs, cpu):
        if not cpu:
            return [self.welford.time(runs, *self.options) * 1e-6]
        marks = [children_seconds()]
        for n in (1, runs + 1):  # loading and the first calls fall out of the difference
            self.welford.time(n, *self.options)
            marks.append(children_seconds())
        return [(marks[2] - marks[1] - (marks[1] - marks[0])) / runs]


class OnnxRuntime:
    def __init__(self, folder, x, threads):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(folder / "graph.onnx", options, providers=["CPUExecutionProvider"])
        self.feed = {self.session.get_inputs()[0].name: x}
        self.compute()

    def compute(self):
        return self.session.run(None, self.feed)[0]

    def seconds(self, runs, cpu):
        return seconds_of_calls(self.compute, runs, cpu)


class PyTorch:
    def __init__(self, name, threads):
        import torch
        self.torch, self.threads = torch, threads
        self.model, self.x = shapes.make_model(shapes.SHAPES[name])
        self.compute()

    def compute(self):
        with self.torch.inference_mode():
            return self.model(self.x).numpy()

    def seconds(self, runs, cpu):
        self.torch.set_num_threads(self.threads)
        return seconds_of_calls(self.compute, runs, cpu)


def measure(folder, make_welford, threads, rounds, runs, cpu):
    """Seconds by engine, and the largest difference from PyTorch's result, relative to its largest value."""
    x, wanted = numpy.load(folder / "in0.npy"), numpy.load(folder / "out.npy")
    engines = {"welford": WelfordEngine(make_welford(folder / "graph.mlir", [x], threads), threads),
               "onnxruntime": OnnxRuntime(folder, x, threads), "pytorch": PyTorch(folder.name, threads)}
    differences = {name: float(numpy.abs(e.compute() - wanted).max() / numpy.abs(wanted).max())
                   for name, e in engines.items()}
    times = {name: [] for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            times[name].append(statistics.median(engine.seconds(runs, cpu)))
    return {name: statistics.median(t) for name, t in times.items()}, differences


def table(folder, names, make_welford, threads, rounds, runs, cpu):
    head = ["shape", "threads", *(f"{name} ms" for name in ENGINES), "of onnxruntime", "of pytorch", "error"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name in names:
        for n in threads:
            seconds, differences = measure(folder / name, make_welford, n, rounds, runs, cpu)
            ours = seconds["welford"]
            cells = [name, str(n), *(f"{seconds[e] * 1e3:.1f}" for e in ENGINES),
                     *(f"{ours / seconds[e]:.2f}" for e in ENGINES[1:]), f"{differences['welford']:.0e}"]
            print("| " + " | ".join(cells) + " |", flush=True)
