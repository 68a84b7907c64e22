"""Attention in graphs: with a mask, without causality, several sequences; fused, unfused, and by the definition."""
import re

import numpy as np
import pytest

from test_exec import GRAPHS, Function, kernels_of

INF = np.float32(np.inf)


def reference(q, k, v, heads, kv_heads, scale, causal, mask=None, zero_masked=False, sink=None):
    """q [b, t, heads * d], k and v [b, s, kv_heads * d], mask that broadcasts to [b, heads, t, s], sink [heads]; float64."""
    def split(x, n):
        return x.astype(np.float64).reshape(*x.shape[:2], n, -1).swapaxes(1, 2)

    q, k, v = split(q, heads), *(split(x, kv_heads).repeat(heads // kv_heads, 1) for x in (k, v))
    scores = q @ k.swapaxes(-1, -2) * scale
    if mask is not None:
        scores = (scores + mask).astype(np.float32).astype(np.float64)  # beside the lowest float a score vanishes
    t, s = scores.shape[-2:]
    if causal:
        scores[..., np.arange(s) > np.arange(t)[:, None] + s - t] = -np.inf
    if sink is not None:
        scores = np.concatenate([scores, np.broadcast_to(sink[:, None, None], (*scores.shape[:-1], 1))], -1)
    with np.errstate(invalid="ignore"):  # -inf - -inf where a row is hidden wholly
        e = np.exp(scores - scores.max(-1, keepdims=True))
    weights = (e / e.sum(-1, keepdims=True))[..., :s]
    if zero_masked:
        weights = np.nan_to_num(weights)
    return (weights @ v).swapaxes(1, 2).reshape(q.shape[0], t, -1)


def text_of(q, k, mask, attributes, constant=None, sink=None):
    """A function of one wf.attention; `constant`: the mask's values in hexadecimal, else it is an argument."""
    def type_of(shape):
        return f"tensor<{'x'.join(map(str, shape))}xf32>"

    types = [type_of(q), type_of(k), type_of(k)]
    arguments, body = list(types), ""
    if mask is not None:
        types.append(type_of(mask))
        if constant is None:
            arguments.append(types[-1])
        else:
            body = f'    %a3 = arith.constant dense<"0x{constant.hex().upper()}"> : {types[-1]}\n'
    if sink is not None:
        types.append(type_of(sink.shape))
        arguments.append(types[-1])
    names = [f"%a{i}" for i in range(len(types))]
    return (f"func.func @main({', '.join(f'{n}: {t}' for n, t in zip(names, arguments))}) -> {types[0]} {{\n{body}"
            f'    %y = "wf.attention"({", ".join(names)}) {{{attributes}, operandSegmentSizes = array<i32: 1, 1, 1, '
            f'{int(mask is not None)}, {int(sink is not None)}>}} : ({", ".join(types)}) -> {types[0]}\n'
            f"    return %y : {types[0]}\n}}\n")


@pytest.fixture
def attend(welford, tmp_path):
    """Runs the op on random q, k, v and this mask; compares, fused and unfused, and checks that the kernel ran."""
    def run(b, t, s, heads, kv_heads, dim, causal=False, mask=None, constant=False, zero_masked=False, rank=3, grow=1, sink=None):
        rng = np.random.default_rng(t + s)
        q = (grow * rng.standard_normal((b, t, heads * dim))).astype(np.float32)
        k, v = (rng.standard_normal((b, s, kv_heads * dim)).astype(np.float32) for _ in range(2))
        attributes = (f"n_heads = {heads} : i64, n_kv_heads = {kv_heads} : i64, scale = 2.5e-01 : f64, "
                      f"causal = {str(causal).lower()}{', zero_masked = true' if zero_masked else ''}")
        lead = (b,) if rank == 3 else (1,) * (rank - 2) if b == 1 else (b // 2, 2)
        shapes = (*lead, t, heads * dim), (*lead, s, kv_heads * dim)
        path = tmp_path / "f.mlir"
        path.write_text(text_of(*shapes, None if mask is None else mask.shape, attributes,
                                mask.tobytes() if constant else None, sink))
        f = Function(welford, path, tmp_path)
        inputs = [q.reshape(shapes[0]), k.reshape(shapes[1]), v.reshape(shapes[1])]
        if mask is not None and not constant:
            inputs.append(mask)
        if sink is not None:
            inputs.append(sink)
        wanted = reference(q, k, v, heads, kv_heads, 0.25, causal, mask, zero_masked, sink).reshape(shapes[0])
        plans = []
        for options in ([], ["--no-fuse=attention"], ["--no-fuse=kernels", "-t", "1"]):
            done = f.run(*inputs, options=[*options, "--print-plan"]).ok()
            got = np.load(tmp_path / "o0.npy")
            assert np.array_equal(np.isnan(got), np.isnan(wanted)), options
            assert np.nanmax(np.abs(got - wanted), initial=0) < 2e-5, options
            plans.append("attention" in kernels_of(done))
        assert plans == [dim <= 512, False, False]  # longer heads have no kernel
        return wanted
    return run


def hiding(shape, seed=0, hidden=-INF):
    """A mask of zeros and `hidden`, with a row of nothing else, one that sees a single position, and some numbers."""
    rng = np.random.default_rng(seed)
    mask = np.where(rng.random(shape) < 0.4, hidden, np.float32(0)).astype(np.float32)
    mask[..., 0] = 0
    rows = mask.reshape(-1, shape[-1])
    rows[:1] = hidden
    if len(rows) > 2:
        rows[1, :-1], rows[1, -1] = hidden, 0.5
        rows[2] = rng.standard_normal(shape[-1])
    return mask


@pytest.mark.parametrize("b, t, s, heads, kv_heads, dim", [
    (1, 1, 1, 1, 1, 16), (1, 7, 7, 4, 2, 32), (2, 33, 65, 6, 2, 64), (3, 64, 64, 3, 3, 80), (1, 100, 9, 2, 1, 128)])
def test_all_positions(attend, b, t, s, heads, kv_heads, dim):
    attend(b, t, s, heads, kv_heads, dim)


@pytest.mark.parametrize("b, t, s, heads, kv_heads, dim", [
    (1, 7, 7, 4, 2, 8), (2, 33, 65, 6, 2, 20), (1, 5, 70, 2, 2, 1), (2, 20, 70, 3, 1, 100), (1, 9, 17, 2, 1, 112),
    (1, 9, 17, 2, 1, 192), (2, 3, 40, 2, 1, 513), (1, 3, 40, 2, 2, 640)])
def test_heads_of_any_size(attend, b, t, s, heads, kv_heads, dim):
    attend(b, t, s, heads, kv_heads, dim, causal=t <= s)
    attend(b, t, s, heads, kv_heads, dim, mask=hiding((t, s)))


@pytest.mark.parametrize("b, t, s", [(2, 5, 5), (3, 20, 70), (2, 1, 130)])
def test_causal_sequences(attend, b, t, s):
    attend(b, t, s, 4, 2, 32, causal=True)


@pytest.mark.parametrize("constant", [False, True], ids=["argument", "constant"])
@pytest.mark.parametrize("shape", [(20, 70), (1, 70), (20, 1), (1, 1, 20, 70), (2, 1, 1, 70), (4, 20, 70), (2, 4, 20, 70)],
                         ids=str)
def test_masks(attend, shape, constant):
    attend(2, 20, 70, 4, 2, 32, mask=hiding(shape), constant=constant)


@pytest.mark.parametrize("causal, masked", [(False, False), (True, False), (False, True)])
def test_sinks(attend, causal, masked):
    """A logit of each head takes a part of the weight: all of it, none, or some; of hidden rows all."""
    sink = np.array([40, -40, 0.5, -1], np.float32)
    attend(2, 20, 70, 4, 2, 32, causal=causal, mask=hiding((2, 1, 20, 70)) if masked else None, sink=sink)


def test_mask_without_a_copy(attend):
    """Rows of whole blocks are read where they are."""
    attend(2, 20, 128, 4, 4, 32, mask=hiding((2, 4, 20, 128)))


def test_mask_and_causality(attend):
    attend(2, 20, 70, 4, 2, 32, causal=True, mask=hiding((1, 1, 20, 70)))


def test_more_axes(attend):
    attend(4, 9, 17, 2, 2, 16, rank=4, mask=hiding((4, 1, 9, 17)))
    attend(1, 9, 17, 2, 2, 16, rank=4, causal=True)


def test_hidden_rows(attend):
    """What softmax gives for a row of -inf is nan; a guarded softmax gives 0; the lowest float is no infinity."""
    mask = np.zeros((6, 70), np.float32)
    mask[2], mask[4, :-1] = -INF, -INF
    assert np.isnan(attend(1, 6, 70, 2, 1, 32, mask=mask)[0, 2]).all()
    assert (attend(1, 6, 70, 2, 1, 32, mask=mask, zero_masked=True)[0, 2] == 0).all()
    lowest = np.finfo(np.float32).min
    mask = np.where(np.isinf(mask), lowest, mask)
    assert np.isfinite(attend(1, 6, 70, 2, 1, 32, mask=mask)).all()
    attend(1, 6, 70, 2, 1, 32, mask=mask, grow=30)


@pytest.mark.parametrize("kind", ["tosa", "linalg"])
@pytest.mark.parametrize("sample", ["sdpa_causal", "sdpa_mask"])
def test_switch(welford, tmp_path, kind, sample):
    """Off, opt and exec leave the graph's own steps; the report says so, and what is computed is the same."""
    path = GRAPHS / kind / f"{sample}.mlir"
    for command, has in (([], True), (["--no-fuse=attention"], False), (["--fuse=qkv"], False)):
        assert ("fused = true" in welford.run("opt", path, *command).ok().stdout) == has
    assert "wf.attention" not in welford.run("opt", path, "--no-fuse=attention").ok().stdout
    assert "fused" not in welford.run("opt", path, "--passes=raise").ok().stdout
    assert "fused = true" in welford.run("opt", path, "--passes=softmax,attention").ok().stdout
    rng = np.random.default_rng(3)
    inputs = [rng.standard_normal((1, 8, 128, 64)).astype(np.float32) for _ in range(3)]
    if sample == "sdpa_mask":
        inputs.append(hiding((1, 1, 128, 128)))
        inputs[-1][0, 0, 0, 0] = 0  # no row without a position
    f = Function(welford, path, tmp_path)
    results, lines = [], []
    for options in ([], ["--no-fuse=attention"], ["--fuse=qkv"]):
        done = f.run(*inputs, options=[*options, "--report", "--print-plan"]).ok()
        results.append(np.load(tmp_path / "o0.npy"))
        lines.append(re.search(r"^attention +(\d+) +(\d+) *(.*)$", done.stderr, re.M).groups())
        assert ("attention" in kernels_of(done)) == (not options)
    assert lines[0] == ("1", "1", "") and lines[1][1:] == ("0", "switched off") and lines[2] == ("1", "0", "1 switched off")
    for other in results[1:]:
        assert np.abs(results[0] - other).max() < 2e-5
