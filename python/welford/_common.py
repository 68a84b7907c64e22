"""What models and functions share: thread pools, lists of fusions, reports."""
from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from . import _core

_pools: dict[tuple[int, int], _core.Pool] = {}
_pools_lock = threading.Lock()


def pool(threads: int | None) -> _core.Pool:
    """The pool of so many threads that all models and functions of this process share."""
    key = os.getpid(), threads or 0  # threads do not survive a fork
    with _pools_lock:
        if key not in _pools:
            _pools[key] = _core.Pool(key[1])
        return _pools[key]


def names(value: str | Iterable[str] | None) -> str | None:
    """A list of fusions as the library takes it: "qkv,attention"."""
    return value if value is None or isinstance(value, str) else ",".join(value)


def kernels(plan: str) -> Counter[str]:
    """The calls of a plan, by the op of wf in their label, else by the kernel's name."""
    calls = re.findall(r"^ *\d+  (\S+) +(\S+)", plan.partition("\ncalls\n")[2], re.MULTILINE)
    return Counter(label if label.startswith("wf.") else name for name, label in calls)


@dataclass(frozen=True)
class Fusion:
    """A row of a report."""

    name: str
    found: int  #: places that it looked at
    fused: int  #: those where it took effect
    why_not: str  #: for the others; "" when there are none


class Report:
    """What every rule and fusion found in a program and did: a table as text, rows by name or one after another."""

    def __init__(self, rows: Iterable[tuple[str, int, int, str]], text: str = ""):
        self._rows = {row[0]: Fusion(*row) for row in rows}
        self._text = text

    def __getitem__(self, name: str) -> Fusion:
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[Fusion]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def fused(self, name: str) -> int:
        """In how many places it took effect; 0 where the program has no such row."""
        return self._rows[name].fused if name in self._rows else 0

    def __str__(self) -> str:
        return self._text or "\n".join(f"{f.name:<16} {f.found:5} {f.fused:5}  {f.why_not}".rstrip() for f in self)
