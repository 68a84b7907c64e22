"""welford: transformers on CPUs, compiled through MLIR and LLVM.

    import welford
    model = welford.load("model.gguf")                 # or owner/name on the Hugging Face hub
    print(model.chat("What is the capital of France?", temperature=0))

    f = welford.compile("graph.mlir")                  # TOSA, linalg and their company
    y = f(x)                                           # arrays of numpy, torch, ...

`load` makes a Model, `compile` a Function. What goes wrong is a welford.Error with one line of reason.
"""
from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from . import errors
from ._common import Fusion, Report
from ._common import names as _names
from ._core import Array
from ._core import version as _version
from .errors import (CompileError, Error, FileError, FormatError, LimitError, OutOfMemoryError, UnsupportedError,
                     UsageError)
from .function import ArrayType, Function, compile_graph
from .model import Generation, Model, Stream, load

__version__: str = _version()
__all__ = ["Array", "ArrayType", "CompileError", "Error", "FileError", "FormatError", "Function", "Fusion", "Generation",
           "LimitError", "Model", "OutOfMemoryError", "Report", "Stream", "UnsupportedError", "UsageError", "compile",
           "errors", "explain", "load"]


def explain(model: Any, *inputs: Any, options: dict[str, Any] | None = None, **keywords: Any) -> Any:
    """What torch.compile(model, backend="welford") makes of a model of PyTorch: compiles it for these inputs and calls it
    once. Printed, the result names what stays with PyTorch, and what was fused; see welford.torch.Explanation."""
    from .torch import explain as explain_model

    return explain_model(model, *inputs, options=options, **keywords)


def compile(obj: Any, *example_inputs: Any, entry: str | None = None, name: str | None = None,
            fuse: str | Iterable[str] | None = None, no_fuse: str | Iterable[str] | None = None,
            no_raise: bool = False, weights: str | None = None, params: str | os.PathLike[str] | None = None,
            threads: int | None = None, cache: bool = True) -> Function:
    """Compiles a function for this CPU, or finds it in the cache.

    obj             MLIR as text or bytecode; the path of a file of either, or of a .wf file; an nn.Module of PyTorch, which
                    is exported for the example inputs, or an ExportedProgram
    example_inputs  arrays as the first call will have them: sizes that the graph leaves open are theirs, and what it
                    does not take is refused before anything is compiled. Without them open sizes stay open, where the
                    graph's ops allow it, and one program serves all.
    entry           the function's name; None: the only public one, else "main" or "forward"
    name            stands for the file in messages, where obj is no path
    fuse, no_fuse   names of fusions, and of raising rules in no_fuse: only these, all but these; for measurements
    no_raise        everything through upstream's lowering, no wf ops; for measurements
    weights         the type that float matrices are packed in ("f32", "bf16", "q8_0", "q4_0"); None: as they are
    params          a safetensors file: each tensor is the argument of that name or number, which no call brings then
    threads         that compute; None: the cores that this process may use
    cache           whether to use the cache folder
    """
    if not isinstance(obj, (str, bytes, os.PathLike)):
        from .torch.export import compile_module

        if entry is not None or params is not None or no_raise:
            raise UsageError("entry, params and no_raise are for graphs of MLIR")
        return compile_module(obj, *example_inputs, name=name, fuse=_names(fuse), no_fuse=_names(no_fuse), weights=weights,
                              threads=threads, cache=cache)
    return compile_graph(obj, *example_inputs, entry=entry, name=name, fuse=fuse, no_fuse=no_fuse, no_raise=no_raise,
                         weights=weights, params=params, threads=threads, cache=cache)
