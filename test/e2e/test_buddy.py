"""Decoder layers in buddy-mlir's spelling: all ops are found, and what is computed is what NumPy computes."""
import collections
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from test_exec import mlir  # noqa: F401  a fixture

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import buddy


@pytest.mark.parametrize("name", buddy.LAYERS)
def test_layer(welford, mlir, name):  # noqa: F811
    text, arguments, wanted, expected = buddy.build(buddy.LAYERS[name])
    f = mlir(text)
    raised = welford.run("opt", "--passes=raise", f.path).ok().stdout
    found = collections.Counter(re.findall(r'"wf\.(\w+)"\(', raised))
    found["norm"] = found["rms_norm"] + found["layer_norm"]
    assert {kind: found[kind] for kind in expected} == expected
    for options in ([], ["--no-raise"]):
        assert np.abs(f(*arguments, options=options)[0] - wanted).max() <= 2e-6 * np.abs(wanted).max()
