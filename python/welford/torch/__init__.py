"""welford as a backend of torch.compile:

    compiled = torch.compile(model, backend="welford")     # nothing has to be imported
    compiled = torch.compile(model, backend="welford", options={"no_fuse": ["attention"], "check": True})

`explain` says what became of a model: docs/pytorch.md.
"""
from __future__ import annotations

import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .. import _common
from .graph import Left, Options, Part, Record, split

__all__ = ["Explanation", "backend", "explain"]

_warned = False


def _is_training(inputs: Sequence[Any]) -> bool:
    return torch.is_grad_enabled() and any(isinstance(t, torch.Tensor) and t.requires_grad for t in inputs)


def _leave_training() -> None:
    global _warned
    if not _warned:
        warnings.warn("welford compiles inference: a graph whose inputs or parameters require gradients is left to "
                      "PyTorch; use torch.no_grad()", stacklevel=3)
    _warned = True


def _decompositions() -> dict[Any, Any]:
    """Core ATen, but for what the table has whole."""
    from torch._decomp import core_aten_decompositions

    from .decompositions import OWN
    from .ops import TABLE

    return {target: how for target, how in dict(core_aten_decompositions()).items() if target not in TABLE} | OWN


def _has_symbols(inputs: Sequence[Any]) -> bool:
    return any(isinstance(x, torch.SymInt) or isinstance(x, torch.Tensor) and
               any(isinstance(n, torch.SymInt) for n in x.shape) for x in inputs)


def _compile(module: torch.fx.GraphModule, inputs: Sequence[Any], options: Options, record: Record) -> Callable[..., Any]:
    if not _has_symbols(inputs):
        return split(module, options, record)
    return _BySizes(module, options, record)


class _BySizes:
    """A graph whose sizes differ from call to call: a program for each set of them."""

    def __init__(self, module: torch.fx.GraphModule, options: Options, record: Record):
        self.module, self.options, self.record = module, options, record
        self.made: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, *inputs: Any) -> Any:
        key = tuple((tuple(x.shape), x.stride()) if isinstance(x, torch.Tensor) else x for x in inputs)
        if key not in self.made:
            self.made[key] = self.make(inputs)
        return self.made[key](*inputs)

    def make(self, inputs: Sequence[Any]) -> Callable[..., Any]:
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.fx.experimental.proxy_tensor import make_fx

        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            fake = [mode.from_tensor(x) if isinstance(x, torch.Tensor) else x for x in inputs]
            module = make_fx(lambda *tensors: torch.fx.Interpreter(self.module).run(*tensors))(*fake)
        return split(module, self.options, self.record)


def _flat(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """As AOTAutograd calls what a compiler gives it: with its arguments in a list."""
    def call(arguments: list[Any]) -> Any:
        inputs = list(arguments)
        arguments.clear()  # theirs may be freed
        return compiled(*inputs)

    call._boxed_call = True  # type: ignore[attr-defined]
    return call


def _with_record(module: torch.fx.GraphModule, inputs: Sequence[Any], options: Options, record: Record) -> Any:
    from torch._dynamo.backends.common import aot_autograd

    if _is_training(inputs):
        _leave_training()
        return module.forward

    def compiler(graph: torch.fx.GraphModule, flat: Sequence[Any]) -> Callable[..., Any]:
        return _flat(_compile(graph, flat, options, record))

    compiled = aot_autograd(fw_compiler=compiler, inference_compiler=compiler,
                            decompositions=_decompositions(), keep_inference_input_mutations=True)(module, inputs)
    if options.explain:
        print(Explanation(record, []), file=sys.stderr)
    return compiled


def backend(module: torch.fx.GraphModule, inputs: Sequence[Any], *, options: dict[str, Any] | None = None,
            mode: str | None = None) -> Any:
    """The backend, as torch.compile calls it. Options:

    fuse, no_fuse  names of fusions, and of raising rules: only these, all but these; for measurements
    threads        that compute; otherwise as many as torch.get_num_threads() says
    weights        the type that matrices of parameters are packed in: "bf16", "q8_0", "q4_0"; otherwise as they are
    check          the first call of every graph is compared with PyTorch's own result
    explain        says on stderr what became of every graph
    cache          False: do not use the cache folder
    """
    return _with_record(module, inputs, Options.of(options), Record())


class Explanation:
    """What became of a model: functions that welford compiled, and what stayed with PyTorch, by the user's line."""

    def __init__(self, record: Record, breaks: list[str]):
        self._record = record
        self.breaks = breaks  #: why TorchDynamo cut the model into several graphs

    @property
    def graphs(self) -> int:
        """Graphs that TorchDynamo made."""
        return self._record.graphs

    @property
    def parts(self) -> list[Part]:
        """Functions of welford: `text` is the MLIR of one, `report()` what was fused."""
        return self._record.parts

    @property
    def left(self) -> list[Left]:
        """Ops that stay with PyTorch."""
        return self._record.left

    def fused(self, name: str) -> int:
        """In how many places of all functions a fusion took effect."""
        return sum(part.report().fused(name) for part in self.parts)

    def raised(self) -> Counter[str]:
        """How many ops of wf the rules found in all functions: "wf.rms_norm", "wf.attention", ..; compiles once more."""
        return Counter(name for part in self.parts if not part.failure
                       for name in re.findall(r'"(wf\.\w+)"\(', part.mlir("raise")))

    def kernels(self) -> Counter[str]:
        """How many kernels all functions call, by the op of wf that each computes, or by name."""
        return sum((_common.kernels(part.plan()) for part in self.parts), Counter())

    def __str__(self) -> str:
        lines = [f"{self.graphs} graph{'s' * (self.graphs != 1)}, {len(self.parts)} function"
                 f"{'s' * (len(self.parts) != 1)} of welford, {len(self.left)} op{'s' * (len(self.left) != 1)} left to PyTorch"]
        lines += [f"graph break: {reason}" for reason in self.breaks]
        lines += [f"left: {left.op}: {left.reason}{' at ' if left.place else ''}{left.place}" for left in self.left]
        for part in self.parts:
            lines.append(f"left: a function: {part.failure}" if part.failure else str(part.report()))
        return "\n".join(line for line in lines if line)


def explain(model: Callable[..., Any], *inputs: Any, options: dict[str, Any] | None = None, **keywords: Any) -> Explanation:
    """Compiles the model for these inputs, calls it once, without gradients, and tells what became of it."""
    record = Record()
    own = Options.of(options)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(model, backend=lambda module, given, **_: _with_record(module, given, own, record))
    with torch.no_grad():
        compiled(*inputs, **keywords)
    breaks = [str(reason) for reason in torch._dynamo.utils.counters["graph_break"]]
    return Explanation(record, breaks)
