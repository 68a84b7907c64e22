"""Graphs of ATen, as AOTAutograd makes them, in two steps: which nodes welford can take (split), and a part of them as a
function of MLIR (translate), compiled when it is first called with arrays of its sizes (Part)."""
from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .. import _common, _core
from ..errors import CompileError, Error
from .mlir import ELEMENTS, Builder, Value
from .ops import TABLE, Out, Unsupported, is_known, wide

SMALL = 64  # elements of a constant tensor that is written into the text


@dataclass
class Options:
    """What torch.compile's options mean."""

    no_fuse: str | None = None
    fuse: str | None = None
    threads: int | None = None
    explain: bool = False
    check: bool = False
    cache: bool = True
    weights: str | None = None

    @staticmethod
    def of(given: dict[str, Any] | None) -> Options:
        given = dict(given or {})
        given.pop("dynamic", None)  # torch.compile's own dynamic= says it
        for name in ("fuse", "no_fuse"):
            given[name] = _common.names(given.get(name))
        unknown = set(given) - set(Options.__dataclass_fields__)
        if unknown:
            raise ValueError(f"welford has no option {sorted(unknown)[0]!r}: there are "
                             f"{', '.join(Options.__dataclass_fields__)}")
        return Options(**given)


@dataclass
class Left:
    """An op that stays with PyTorch."""

    op: str
    reason: str
    place: str  # "model.py:12: y = torch.sort(x)"


@dataclass
class Record:
    """What became of the graphs of one model: for `explain`."""

    parts: list[Part] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    graphs: int = 0


# ---- which nodes

def place_of(node: Node) -> str:
    """The user's line that a node came from."""
    trace = node.meta.get("stack_trace") or ""
    lines = [line.strip() for line in trace.strip().splitlines()]
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].startswith("File ") and "/torch/" not in lines[at]:
            file, _, rest = lines[at][6:].partition('"')
            number = rest.partition("line ")[2].partition(",")[0]
            code = lines[at + 1] if at + 1 < len(lines) else ""
            return f"{file}:{number}: {code}"
    return ""


def outs_of(value: Any) -> Any:
    """Out of a tensor, a list of them of several."""
    if isinstance(value, torch.Tensor):
        if not is_known(value.dtype):
            raise Unsupported(f"elements of {value.dtype}")
        if value.device.type not in ("cpu", "meta"):
            raise Unsupported(f"a tensor on {value.device}")
        if value.layout is not torch.strided or any(not isinstance(n, int) for n in value.shape):
            raise Unsupported("sizes that are not known")
        return Out(value.dtype, tuple(value.shape))
    if isinstance(value, (list, tuple)):
        return [None if v is None else outs_of(v) for v in value]
    raise Unsupported("a result that is no tensor")


def unsupported(node: Node) -> str | None:
    """Why a node cannot be taken; None: it can. It is tried, with arguments of its own."""
    if node.target is operator.getitem:
        return None
    if node.target not in TABLE:
        return "not in the table of ops"
    try:
        arguments: list[tuple[torch.dtype, tuple[int, ...]]] = []

        def stand_in(n: Node) -> Any:
            value = n.meta.get("val")
            if isinstance(value, (int, float, bool)):
                return value
            out = outs_of(value)
            arguments.append((out.dtype, out.shape) if isinstance(out, Out) else (torch.float32, ()))
            return len(arguments) - 1

        for n in node.all_input_nodes:
            stand_in(n)
        b = Builder(arguments)
        values = dict(zip(node.all_input_nodes, b.arguments))
        results = apply(b, node, values)
        check_users(node, results)
    except Unsupported as reason:
        return str(reason)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as reason:
        return f"these arguments are not taken ({type(reason).__name__}: {reason})"
    return None


def check_users(node: Node, results: Any) -> None:
    """Of results that the table does not compute."""
    if isinstance(results, list):
        for user in node.users:
            arguments: Any = user.args
            index = arguments[1] if user.target is operator.getitem else None
            if index is None or results[index] is None:
                raise Unsupported("a result that is not computed is used")


def apply(b: Builder, node: Node, values: dict[Node, Any]) -> Any:
    arguments: Any = torch.fx.map_arg(node.args, lambda n: values[n])
    keywords: Any = torch.fx.map_arg(node.kwargs, lambda n: values[n])
    if node.target is operator.getitem:
        return arguments[0][arguments[1]]
    outs = outs_of(node.meta["val"])
    result = TABLE[node.target](b, outs, *arguments, **keywords)
    if isinstance(outs, Out) and (result.dtype, result.shape) != (outs.dtype, outs.shape):
        raise Unsupported(f"it would give {result.type}, not {outs.dtype} {outs.shape}")
    return result


# ---- a part as MLIR

def translate(module: GraphModule, donations: Mapping[int, int] | None = None) -> str:
    """The text of a function of the module's placeholders, all of which are tensors of known sizes. `donations`: results
    that are written over the input that is given."""
    placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
    outs = [outs_of(n.meta["val"]) for n in placeholders]
    b = Builder([(o.dtype, o.shape) for o in outs])
    values: dict[Node, Any] = dict(zip(placeholders, b.arguments))
    for node in module.graph.nodes:
        if node.op == "call_function":
            values[node] = apply(b, node, values)
        elif node.op == "output":
            results = node.args[0]
            listed = results if isinstance(results, (list, tuple)) else [results]
            return b.finish([values[r] for r in listed], donations)
    raise AssertionError("a graph without an output")


TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}


def type_of(t: torch.Tensor) -> tuple[str, tuple[int, ...]]:
    return ELEMENTS[t.dtype], tuple(t.shape)


class Weights:
    """Parameters, which are lent to a function and packed once. A change of one is seen at the next call by its address
    or its version; what changes neither (a write through .data, or through another library's view) is not."""

    def __init__(self, listed: Sequence[tuple[int, torch.Tensor]]):
        self.listed = list(listed)  # place among the inputs, and the tensor, which stays alive
        self.kept = [t.detach().contiguous() for _, t in listed]
        self.marks = [self.mark(t) for _, t in listed]

    @staticmethod
    def mark(t: torch.Tensor) -> tuple[int, int]:
        return t.data_ptr(), 0 if t.is_inference() else t._version

    def lent(self) -> tuple[tuple[int, int, str, tuple[int, ...]], ...]:
        return tuple((i, t.data_ptr(), *type_of(t)) for (i, _), t in zip(self.listed, self.kept))

    def renew(self, function: _core.Function, tensors: Sequence[torch.Tensor]) -> None:
        for k, (i, _) in enumerate(self.listed):
            t = tensors[i]
            mark = self.mark(t)
            if mark == self.marks[k]:
                continue
            kept = t.detach().contiguous()
            function.renew((i, kept.data_ptr(), *type_of(kept)))
            self.listed[k], self.kept[k], self.marks[k] = (i, t), kept, mark


def laid_out(result: torch.Tensor, strides: Sequence[int]) -> torch.Tensor:
    """A copy with the strides that PyTorch's own result would have; 0 where it is repeated."""
    kept = [n if s else 1 for n, s in zip(result.shape, strides)]
    part = result[tuple(slice(n) for n in kept)]
    return torch.empty_strided(kept, strides, dtype=result.dtype).copy_(part).expand(result.shape)


class Part:
    """Nodes of a graph that are one function of welford's. Called as the module that they were."""

    def __init__(self, module: GraphModule, options: Options, donations: Mapping[int, int] | None = None):
        self.module, self.options = module, options
        self.donations = dict(donations or {})  # results, and the inputs whose places they take
        self.text = translate(module, self.donations)
        output = next(n for n in module.graph.nodes if n.op == "output").args[0]
        self.single = not isinstance(output, (list, tuple))
        listed: Sequence[Any] = [output] if self.single else output
        self.outputs = [n.meta["val"] for n in listed]
        self.inputs = [n.meta["val"] for n in module.graph.nodes if n.op == "placeholder"]
        self.function: _core.Function | None = None
        self.call: _core.Call | None = None
        self.weights = Weights([])
        self.taken = list(range(len(self.inputs)))  # the inputs that a call brings: all but weights
        self.failure = ""  # why it runs in PyTorch after all

    def report(self) -> _common.Report:
        """What every rule and fusion found and did."""
        if self.function is None:
            return _common.Report([])
        return _common.Report(self.function.fusions(), self.function.print(False).rstrip("\n"))

    def plan(self) -> str:
        """The calls of kernels, as a table."""
        return "" if self.function is None else self.function.print(True)

    def mlir(self, after: str = "raise") -> str:
        """The IR after a step; compiles once more to see it. `text` is the IR before all of them."""
        return self._open(after).printed()

    def _open(self, after: str | None) -> _core.Function:
        o = self.options
        pool = _common.pool(o.threads or torch.get_num_threads())
        return _core.Function(self.text.encode(), "torch", pool, None, None, o.fuse, o.no_fuse, False, after,
                              after is not None or not o.cache, o.weights, None, self.weights.lent())

    def compile(self, tensors: Sequence[torch.Tensor]) -> None:
        """For these parameters; the other tensors are as those of any call."""
        places = [i for i, t in enumerate(tensors) if isinstance(t, torch.nn.Parameter) and t.numel()]
        self.weights = Weights([(i, tensors[i]) for i in places])
        self.taken = [i for i in range(len(tensors)) if i not in places]
        self.function = self._open(None)
        self.call = _core.Call(self.function, tuple(type_of(self.inputs[i]) for i in self.taken),
                               tuple(type_of(t) for t in self.outputs))

    def __call__(self, *tensors: torch.Tensor) -> Any:
        if self.call is None:
            return self.first_call(*tensors)
        return self.run(*tensors)

    def first_call(self, *tensors: torch.Tensor) -> Any:
        try:
            if not self.failure:
                self.compile(tensors)
        except Error as reason:
            self.failure = str(reason)
            warnings.warn(f"welford leaves a graph to PyTorch: {reason}", stacklevel=2)
        eager = self.module(*tensors) if self.failure or self.options.check else None
        if self.failure:
            return self.write_back(eager, tensors)
        results = self.run(*tensors)
        if self.options.check:
            self.compare(results, eager)
        return results

    def write_back(self, results: Any, tensors: Sequence[torch.Tensor]) -> Any:
        """What PyTorch computed, where the graph writes to its inputs."""
        for result, i in self.donations.items():
            tensors[i].copy_(results if self.single else results[result])
        return results

    def run(self, *tensors: torch.Tensor) -> Any:
        assert self.call is not None and self.function is not None
        if self.weights.listed:
            self.weights.renew(self.function, tensors)
        # `inputs` keeps those alive that had to be made contiguous
        inputs = [t if (t := tensors[i]).is_contiguous() else t.contiguous() for i in self.taken]
        results = [torch.empty(t.shape, dtype=t.dtype) for t in self.outputs] if not self.donations else [
            inputs[self.taken.index(self.donations[i])] if i in self.donations
            else torch.empty(t.shape, dtype=t.dtype) for i, t in enumerate(self.outputs)]
        self.call.run(*[t.data_ptr() for t in inputs], *[t.data_ptr() for t in results])
        if self.donations:
            self.copy_back(results, tensors)
        for i, like in enumerate(self.outputs):
            if i not in self.donations and results[i].stride() != like.stride() and results[i].numel() > 1:
                results[i] = laid_out(results[i], like.stride())
        return results[0] if self.single else tuple(results)

    def copy_back(self, results: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]) -> None:
        """Into those that had to be made contiguous. AOTAutograd counts their versions."""
        for result, i in self.donations.items():
            if results[result] is not tensors[i]:
                tensors[i].copy_(results[result])

    def compare(self, ours: Any, eager: Any) -> None:
        """Raises where a result is another than PyTorch's."""
        for i, (x, y) in enumerate(zip(*([r] if self.single else r for r in (ours, eager)))):
            p, q = x.double(), y.double()
            scale = max(float(torch.nan_to_num(q, 0, 0, 0).abs().max()), 1e-30) if q.numel() else 1.0
            same = (p == q) | (p.isnan() & q.isnan())
            error = float(torch.where(same, 0.0, (p - q).abs()).max()) / scale if q.numel() else 0.0
            if not error <= TOLERANCE.get(x.dtype, 0.0):
                raise CompileError(f"result {i} of a graph differs from PyTorch's by {error:.1e} of its largest value: "
                                   "a defect of welford")


# ---- a whole graph

def split(module: GraphModule, options: Options, record: Record) -> Callable[..., Any]:
    """The graph with every run of nodes that welford takes in one Part; the others run in PyTorch."""
    from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
    from torch.fx.passes.operator_support import OperatorSupportBase

    record.graphs += 1
    module.graph.eliminate_dead_code()
    reasons = {n: unsupported(n) for n in module.graph.nodes if n.op == "call_function"}
    for node, reason in reasons.items():  # a tuple's parts go where the tuple does
        if node.target is torch.ops.aten.copy_.default:  # over an input, at the graph's end
            reasons[node] = ""
        if node.target is operator.getitem and reasons.get(node.args[0], "left"):
            reasons[node] = ""
    for node, reason in reasons.items():
        if reason:
            record.left.append(Left(str(node.target), reason, place_of(node)))

    class Support(OperatorSupportBase):
        def is_node_supported(self, submodules: Any, node: Node) -> bool:
            return node.op == "call_function" and reasons.get(node, "left") is None

    partitioner = CapabilityBasedPartitioner(module, Support(), allows_single_node_partition=True)
    fused = partitioner.fuse_partitions(partitioner.propose_partitions())
    for name, child in list(fused.named_children()):
        if name.startswith("fused_") and isinstance(child, GraphModule):
            part = Part(child, options, take_writes(fused, name))
            record.parts.append(part)
            setattr(fused, name, Caller(part))
    fused.recompile()
    return shortcut(fused) or fused


def take_writes(module: GraphModule, name: str) -> dict[int, int]:
    """The results of a part that the graph only copies over an input of that part, which nothing else reads: the part
    writes them there itself, and the copy goes."""
    call = next(n for n in module.graph.nodes if n.op == "call_module" and n.target == name)
    donations: dict[int, int] = {}
    for copy in [n for n in module.graph.nodes if n.target is torch.ops.aten.copy_.default]:
        target, source = copy.args
        if source is call:
            result = 0
        elif source.target is operator.getitem and source.args[0] is call:
            result = source.args[1]
        else:
            continue
        alike = [(t.dtype, t.shape) for t in (target.meta["val"], source.meta["val"])]
        if (target.op != "placeholder" or set(target.users) != {call, copy} or set(source.users) != {copy}
                or alike[0] != alike[1] or target.meta["val"].numel() == 0):
            continue
        donations[result] = list(call.args).index(target)
        copy.replace_all_uses_with(target)
        module.graph.erase_node(copy)
    return donations


def shortcut(module: GraphModule) -> Callable[..., Any] | None:
    """A graph that is one Part, without the module around it; None: it is more."""
    inputs = [n for n in module.graph.nodes if n.op == "placeholder"]
    calls = [n for n in module.graph.nodes if n.op in ("call_module", "call_function", "call_method", "get_attr")
             and n.target is not operator.getitem]
    output = next(n for n in module.graph.nodes if n.op == "output").args[0]
    if len(calls) != 1 or calls[0].op != "call_module" or not isinstance(output, (list, tuple)):
        return None
    child = getattr(module, str(calls[0].target))
    if not isinstance(child, Caller):
        return None
    part = child.part
    taken = [inputs.index(n) for n in calls[0].args]

    def result(n: Any) -> tuple[bool, int] | None:
        """Whether it is the Part's, and its number; a placeholder's otherwise."""
        if n is None:
            return None
        if n is calls[0]:
            return True, 0
        return (True, n.args[1]) if n.target is operator.getitem else (False, inputs.index(n))
    given = [result(n) for n in output]

    def call(*tensors: Any) -> Any:
        results = part(*[tensors[i] for i in taken])
        if part.single:
            results = (results,)
        return [None if g is None else results[g[1]] if g[0] else tensors[g[1]] for g in given]
    return call


class Caller(torch.nn.Module):
    """A Part in the place of a module."""

    def __init__(self, part: Part):
        super().__init__()
        self.part = part

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.part(*tensors)


__all__ = ["Left", "Options", "Part", "Record", "Value", "split", "translate", "unsupported", "wide"]
