"""Modules and exported programs of PyTorch as one Function: the whole graph, or a refusal that names what stands in the
way and where."""
from __future__ import annotations

from typing import Any

import torch
from torch.export.graph_signature import InputKind, OutputKind

from .. import _common, _core
from ..errors import UnsupportedError
from ..function import Function
from .graph import place_of, translate, type_of, unsupported


def compile_module(model: Any, *example_inputs: Any, name: str | None = None, fuse: str | None = None,
                   no_fuse: str | None = None, weights: str | None = None, threads: int | None = None,
                   cache: bool = True) -> Function:
    """An nn.Module, exported for these inputs, or an ExportedProgram. Parameters, buffers and constants become weights;
    the Function takes what the module's forward takes, tensors alone, in their order."""
    from . import _decompositions

    program = model
    if not isinstance(model, torch.export.ExportedProgram):
        with torch.no_grad():
            program = torch.export.export(model, example_inputs)
    program = program.run_decompositions(_decompositions())
    module, signature = program.graph_module, program.graph_signature
    for spec in signature.output_specs:
        if spec.kind != OutputKind.USER_OUTPUT:
            raise UnsupportedError(f"{spec.target}: the module writes to it, which a Function cannot")
    module.graph.eliminate_dead_code()
    for node in module.graph.nodes:
        reason = unsupported(node) if node.op == "call_function" else None
        if reason is not None:
            raise UnsupportedError(f"{place_of(node) or 'the module'}: {node.target}: {reason}")
    kept: list[torch.Tensor] = []
    lent = []
    for i, given in enumerate(signature.input_specs):
        if given.kind == InputKind.USER_INPUT:
            continue
        stored = program.state_dict if given.target in program.state_dict else program.constants
        tensor = stored[given.target].detach().contiguous()
        kept.append(tensor)
        lent.append((i, tensor.data_ptr(), *type_of(tensor)))
    pool = _common.pool(threads or torch.get_num_threads())
    source, file = translate(module).encode(), name or type(model).__name__
    options = (None, _common.names(fuse), _common.names(no_fuse), False, weights, None)
    core = _core.Function(source, file, pool, None, *options[:4], None, not cache, *options[4:], tuple(lent))
    return Function(core, source, file, pool, options, None, tuple(lent), kept)
