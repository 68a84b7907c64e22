"""Functions on arrays: graphs of MLIR, compiled for this CPU."""
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Union

from . import _common, _core

Source = Union[str, bytes, "os.PathLike[str]"]


@dataclass(frozen=True)
class ArrayType:
    """What a function takes or gives: -1 in the shape stands for any size."""

    name: str
    dtype: str  #: as MLIR writes it: "f32", "i1"
    shape: tuple[int, ...]


def _like(array: Any) -> Any:
    """What makes of an Array one of the kind that the caller uses; no copies."""
    kind = type(array).__module__.partition(".")[0]
    if kind == "numpy":
        import numpy

        return numpy.asarray
    if kind == "torch":
        import torch

        return torch.utils.dlpack.from_dlpack
    return lambda result: result


class Function:
    """A compiled function; `welford.compile` makes it. Calls of other threads wait.

    It takes arrays of numpy, torch and all that have __dlpack__ or the buffer protocol. Contiguous arrays are not
    copied where they begin at a multiple of 64 bytes. Results are arrays of numpy or torch when the first argument is;
    else welford.Array. A function with several results gives a tuple of them."""

    def __init__(self, core: _core.Function, source: bytes | None, name: str, pool: _core.Pool,
                 options: tuple[Any, ...], examples: tuple[Any, ...] | None,
                 lent: tuple[tuple[int, int, str, tuple[int, ...]], ...] = (), kept: Any = None):
        self._core = core
        self._lent, self._kept = lent, kept  # weights in memory, and what owns that
        self._source, self._file, self._pool, self._options = source, name, pool, options
        self._examples = examples

    def __call__(self, *arrays: Any) -> Any:
        results = self._core.call(arrays)
        like = _like(arrays[0]) if arrays else _like(None)
        return like(results[0]) if len(results) == 1 else tuple(like(r) for r in results)

    # ---- describing

    @property
    def name(self) -> str:
        """Its name in the file."""
        return self._core.name()

    @property
    def arguments(self) -> list[ArrayType]:
        """What it takes."""
        return [ArrayType(*row) for row in self._core.arguments()]

    @property
    def results(self) -> list[ArrayType]:
        """What it gives."""
        return [ArrayType(*row) for row in self._core.results()]

    @property
    def cached(self) -> bool:
        """Whether its program came from the cache or a .wf file."""
        return self._core.cached()

    def report(self) -> _common.Report:
        """What every rule and fusion found and did, and why not the rest, of the program that was called last."""
        return _common.Report(self._core.fusions(), self._core.print(False).rstrip("\n"))

    def plan(self) -> str:
        """The calls of kernels, with operands and sizes, as a table, of the program that was called last."""
        return self._core.print(True)

    def kernels(self) -> Counter[str]:
        """How many kernels the program calls, by the op of wf that each computes ("wf.rms_norm"), or by its name."""
        return _common.kernels(self.plan())

    def mlir(self, after: str = "raise") -> str:
        """The IR after a step, "bind", "raise", "linalg", "lower", "kernels", the name of a rule or pass, or "all".
        Compiles once more to see it: for any sizes where that can be, else for those of the last call."""
        text = self._printed(after, self._examples)
        return text or self._printed(after, self._core.call_shapes())

    def _printed(self, after: str, arguments: tuple[Any, ...] | None) -> str:
        entry, fuse, no_fuse, no_raise, weights, params = self._options
        again = _core.Function(self._source, self._file, self._pool, arguments, entry, fuse, no_fuse, no_raise, after, True,
                               weights, params, self._lent)
        try:
            return again.printed()
        finally:
            again.close()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a .wf file for this CPU, which `welford.compile` and `welford exec` open without the compiler."""
        self._core.save(os.fspath(path))

    # ---- closing

    def close(self) -> None:
        """Frees it."""
        self._core.close()

    def __enter__(self) -> Function:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"welford.Function({self.name!r} of {self._file})"


def _read(source: Source) -> tuple[bytes | None, str]:
    """The bytes of a graph, or None and the path of its file."""
    if isinstance(source, bytes):
        return source, "<bytes>"
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith(("module", "func.func", '"builtin'))):
        return source.encode(), "<text>"
    return None, os.fspath(source)


def compile_graph(source: Source, *example_inputs: Any, entry: str | None = None, name: str | None = None,
                  fuse: str | Iterable[str] | None = None, no_fuse: str | Iterable[str] | None = None,
                  no_raise: bool = False, weights: str | None = None, params: str | os.PathLike[str] | None = None,
                  threads: int | None = None, cache: bool = True) -> Function:
    """A function of MLIR (text, bytecode, or a file of either), or of a .wf file."""
    data, file = _read(source)
    options = (entry, _common.names(fuse), _common.names(no_fuse), no_raise, weights,
               os.fspath(params) if params else None)
    examples = tuple(example_inputs) or None
    pool = _common.pool(threads)
    core = _core.Function(data, name or file, pool, examples, *options[:4], None, not cache, *options[4:], ())
    return Function(core, data, name or file, pool, options, examples)
