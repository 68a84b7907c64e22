"""Random compositions of ops, compiled and eager: WELFORD_FUZZ_SEED=1000 WELFORD_FUZZ_GRAPHS=500 tries more of them."""
from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

SEED = int(os.environ.get("WELFORD_FUZZ_SEED", 0))
GRAPHS = int(os.environ.get("WELFORD_FUZZ_GRAPHS", 12))

Step = Callable[["torch.Tensor"], "torch.Tensor"]


def steps(rng: random.Random, x: torch.Tensor) -> Step:
    """An op that takes a tensor of this shape, with constants of its own."""
    shape, rank = tuple(x.shape), x.dim()
    axis = rng.randrange(rank)
    other = torch.randn([rng.choice([1, n]) for n in shape])
    square = torch.randn(shape[-1], rng.randint(1, 9))
    order = rng.sample(range(rank), rank)
    start, step = rng.randrange(shape[axis]), rng.randint(1, 2)
    gamma = torch.randn(shape[-1])
    index = torch.randint(-shape[axis], shape[axis], (rng.randint(1, 5),))
    condition = torch.rand(shape) > 0.5
    return rng.choice([
        lambda x: x + other, lambda x: x * other, lambda x: 2.5 - x, lambda x: x / (other.abs() + 0.5),
        lambda x: torch.maximum(x, other), lambda x: torch.where(condition, x, other), lambda x: x.clamp(-1, 0.7),
        lambda x: torch.sin(x), lambda x: torch.tanh(x), lambda x: torch.sigmoid(x), lambda x: F.gelu(x),
        lambda x: F.silu(x), lambda x: x.abs().sqrt(), lambda x: (x * 0.1).exp(), lambda x: x.round(),
        lambda x: x.pow(2), lambda x: (x > 0.1).float(), lambda x: x.bfloat16().float(), lambda x: x.int().float(),
        lambda x: x.sum(axis, keepdim=True), lambda x: x.mean(axis, keepdim=True).expand_as(x), lambda x: x.amax(axis, True),
        lambda x: x.var(axis, unbiased=False, keepdim=True) + x, lambda x: x.cumsum(axis), lambda x: x.softmax(axis),
        lambda x: x.log_softmax(axis), lambda x: x.argmax(axis, keepdim=True).float(),
        lambda x: x @ square, lambda x: F.linear(x, square.t()), lambda x: torch.einsum("...i,...j->...ij", x, x).sum(-1),
        lambda x: F.layer_norm(x, (shape[-1],), gamma), lambda x: F.rms_norm(x, (shape[-1],), gamma, 1e-6),
        lambda x: x.permute(order), lambda x: x.transpose(0, -1), lambda x: x.flatten(), lambda x: x.unsqueeze(axis),
        lambda x: torch.cat([x, x * 2], axis), lambda x: torch.stack([x, -x], axis).sum(axis), lambda x: x.flip(axis),
        lambda x: x.narrow(axis, start, shape[axis] - start), lambda x: x.index_select(axis, index % shape[axis]),
        lambda x: x.split((shape[axis] + 1) // 2, axis)[0], lambda x: x.roll(1, axis), lambda x: F.pad(x, (1, 2), value=0.5),
        lambda x: x.repeat(*([1] * (rank - 1)), 2), lambda x: x.reshape(-1, shape[-1]), lambda x: x.tril() if rank > 1 else x,
        lambda x: torch.index_put(x, [torch.tensor([0])], torch.tensor(0.25)),
        lambda x: x.unfold(axis, 1, 1).squeeze(-1), lambda x: x[..., ::step],
    ])


def build(rng: random.Random) -> tuple[Callable[[torch.Tensor], list[torch.Tensor]], torch.Tensor]:
    first = torch.randn([rng.randint(1, 6) for _ in range(rng.randint(1, 4))])
    listed: list[Step] = []
    x = first
    while len(listed) < rng.randint(3, 12):
        step = steps(rng, x)
        y = step(x)
        if 0 < y.numel() < 5000 and 0 < y.dim() < 6:
            listed.append(step)
            x = y

    def function(x: torch.Tensor) -> list[torch.Tensor]:
        results = []
        for i, step in enumerate(listed):
            x = step(x)
            if i % 4 == 3:
                results.append(x)
        return [*results, x]
    return function, first


@pytest.mark.parametrize("seed", range(SEED, SEED + GRAPHS))
def test_random_module(seed: int) -> None:
    torch.manual_seed(seed)
    torch._dynamo.reset()
    function, x = build(random.Random(seed))
    with torch.no_grad():
        got, want = torch.compile(function, backend="welford")(x), function(x)
    for y, z in zip(got, want, strict=True):
        assert (y.dtype, y.shape, y.stride()) == (z.dtype, z.shape, z.stride())
        scale = max(1.0, float(z.abs().max()))
        assert float((y - z).abs().max()) <= 1e-4 * scale
