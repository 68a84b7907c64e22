"""PyTorch's own samples of its ops, through the table of ops (python/welford/torch/ops.py).

    opinfo.py [--share N] [--samples N] [--dtypes float32,int64] [NAME ...]

Every op of PyTorch's database whose core ATen form is in the table: each sample's result against PyTorch's, by the
tolerances of its own tests. Prints a line for each op that differs or is left to PyTorch, and the sums. --share N: only
every N-th op, by a hash of its name.
"""
from __future__ import annotations

import argparse
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close
from torch.testing._internal.common_methods_invocations import op_db

from welford.torch import _decompositions
from welford.torch.graph import Options, Record, split

DTYPES = ["float32", "bfloat16", "float64", "int64", "bool"]
# Results that are undefined, random, or have the shape of their data; and what is no op on tensors of this machine.
RANDOM = ("rand", "normal", "bernoulli", "multinomial", "nn.functional.dropout", "nn.functional.alpha_dropout",
          "nn.functional.feature_alpha_dropout", "uniform", "exponential", "geometric", "log_normal", "cauchy",
          "nn.functional.rrelu", "nn.functional.fractional_max_pool")
SKIPPED = {"empty", "empty_like", "new_empty", "new_empty_strided", "empty_strided", "empty_permuted"}


def flat_tensors(value: Any) -> list[torch.Tensor]:
    return [t for t in torch.utils._pytree.tree_leaves(value) if isinstance(t, torch.Tensor)]


def try_sample(op: Any, sample: Any) -> tuple[str, str]:
    """("same" | "left" | "differs" | "skipped", why)"""
    leaves, spec = torch.utils._pytree.tree_flatten(((sample.input, *sample.args), sample.kwargs))
    places = [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
    tensors = [leaves[i].detach() for i in places]

    def call(*given: torch.Tensor) -> list[torch.Tensor]:
        filled = list(leaves)
        for i, t in zip(places, given):
            filled[i] = t
        args, kwargs = torch.utils._pytree.tree_unflatten(filled, spec)
        return flat_tensors(op(*args, **kwargs))

    with torch.no_grad():
        try:
            want = call(*[t.clone() for t in tensors])
            module = make_fx(torch.func.functionalize(call), _decompositions(), tracing_mode="fake")(*tensors)
        except Exception as reason:  # noqa: BLE001  what PyTorch itself cannot trace
            return "skipped", str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        if any(getattr(getattr(n.target, "_schema", None), "is_mutable", False) for n in module.graph.nodes):
            return "skipped", "written in place, which AOTAutograd's graphs have not"
        record = Record()
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            compiled = split(module, Options(cache=False, threads=1), record)
            try:
                got = flat_tensors(compiled(*[t.clone() for t in tensors]))
            except Exception as reason:  # noqa: BLE001
                return "differs", f"{type(reason).__name__}: {reason}"
    failures = [part.failure for part in record.parts if part.failure]
    try:
        for x, y in zip(got, want, strict=True):
            assert_close(x, y, equal_nan=True, check_stride=False)
    except AssertionError as reason:
        return "differs", " ".join(str(reason).split())
    if failures:
        return "left", failures[0]
    if record.left:
        return "left", f"{record.left[0].op}: {record.left[0].reason}"
    return "same", ""


def chosen(names: list[str], share: int) -> Iterator[Any]:
    for op in op_db:
        full = op.name + ("." + op.variant_test_name if op.variant_test_name else "")
        if names and op.name not in names:
            continue
        if zlib.crc32(full.encode()) % share == 0 and op.name not in SKIPPED and not op.name.startswith(
                (*RANDOM, "fft", "linalg", "sparse", "torch.ops", "signal", "special.airy", "masked")):
            yield op, full


def run(names: list[str], share: int, samples: int, dtypes: list[str]) -> Counter[str]:
    total: Counter[str] = Counter()
    for op, full in chosen(names, share):
        for dtype in (getattr(torch, d) for d in dtypes):
            if dtype not in op.dtypes:
                continue
            outcomes: Counter[str] = Counter()
            reasons: dict[str, str] = {}
            try:
                listed = list(op.sample_inputs("cpu", dtype, requires_grad=False))
            except Exception:  # noqa: BLE001
                continue
            step = max(1, len(listed) // samples)
            for sample in listed[::step][:samples]:
                outcome, reason = try_sample(op, sample)
                outcomes[outcome] += 1
                reasons.setdefault(outcome, reason)
            total += outcomes
            bad = {k: v for k, v in outcomes.items() if k in ("differs", "left")}
            if bad:
                text = "; ".join(f"{n} {k}: {reasons[k][:150]}" for k, n in bad.items())
                print(f"{full} {str(dtype)[6:]}: {outcomes['same']} same, {text}", flush=True)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=int, default=1)
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    torch.manual_seed(0)
    total = run(options.names, options.share, options.samples, options.dtypes.split(","))
    print(", ".join(f"{n} {k}" for k, n in sorted(total.items())))
    return 1 if total["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
