"""The backend of torch.compile: models written here, what stays with PyTorch, options, types, training, sizes."""
from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

import welford  # noqa: E402


def compiled(model: Any, **options: Any) -> Any:
    torch._dynamo.reset()
    return torch.compile(model, backend="welford", options=options or None)


def agree(model: Any, *inputs: Any, tolerance: float = 1e-5, **options: Any) -> None:
    """Compiled and eager agree, in values, types and strides."""
    with torch.no_grad():
        want, got = model(*inputs), compiled(model, check=True, **options)(*inputs)
    for x, y in zip(torch.utils._pytree.tree_leaves(got), torch.utils._pytree.tree_leaves(want), strict=True):
        if not isinstance(y, torch.Tensor):
            assert x == y
            continue
        assert (x.dtype, x.shape, x.stride()) == (y.dtype, y.shape, y.stride())
        scale = float(y.double().abs().max()) if y.numel() else 0.0
        assert float((x.double() - y.double()).abs().max() if y.numel() else 0) <= tolerance * max(scale, 1e-6)


# ---- models

class Mlp(nn.Module):
    def __init__(self, activation: Any = nn.GELU()):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32, bias=False)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(self.activation(self.up(self.norm(x))))


class Attention(nn.Module):
    """Heads of 16, grouped, with rotations where cos and sin are given."""

    def __init__(self, width: int, heads: int, kv_heads: int, bias: bool):
        super().__init__()
        self.heads, self.kv_heads, size = heads, kv_heads, width // heads
        self.q, self.o = nn.Linear(width, width, bias=bias), nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(width, kv_heads * size, bias=bias) for _ in range(2))

    @staticmethod
    def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-b, a), dim=-1) * sin

    def forward(self, x: torch.Tensor, cos: torch.Tensor | None = None, sin: torch.Tensor | None = None,
                mask: torch.Tensor | None = None, causal: bool = False) -> torch.Tensor:
        batch, n, width = x.shape
        q, k, v = (p(x).view(batch, n, h, -1).transpose(1, 2)
                   for p, h in ((self.q, self.heads), (self.k, self.kv_heads), (self.v, self.kv_heads)))
        if cos is not None and sin is not None:
            q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, enable_gqa=self.heads != self.kv_heads)
        return self.o(y.transpose(1, 2).reshape(batch, n, width))


class Qwen2(nn.Module):
    """Two layers: RMSNorm, rotations, grouped heads, a gated MLP."""

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.RMSNorm(64, eps=1e-6), nn.RMSNorm(64, eps=1e-6)
            self.attention = Attention(64, 4, 2, bias=True)
            self.gate, self.up, self.down = nn.Linear(64, 96, False), nn.Linear(64, 96, False), nn.Linear(96, 64, False)

        def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
            x = x + self.attention(self.first(x), cos, sin, causal=True)
            h = self.second(x)
            return x + self.down(F.silu(self.gate(h)) * self.up(h))

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.layers = nn.Embedding(50, 64), nn.ModuleList(self.Layer() for _ in range(2))
        self.norm, self.head = nn.RMSNorm(64, eps=1e-6), nn.Linear(64, 50, bias=False)
        self.register_buffer("frequencies", 1e4 ** (-torch.arange(0, 16, 2) / 16))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        angles = torch.arange(ids.shape[1], dtype=torch.float32)[:, None] * self.frequencies[None, :]
        angles = torch.cat((angles, angles), dim=-1)
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, angles.cos(), angles.sin())
        return self.head(self.norm(x))


class Gpt2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(50, 64), nn.Embedding(32, 64)
        self.blocks = nn.ModuleList(nn.ModuleDict({
            "first": nn.LayerNorm(64), "attention": Attention(64, 4, 4, bias=True), "second": nn.LayerNorm(64),
            "up": nn.Linear(64, 128), "down": nn.Linear(128, 64)}) for _ in range(2))
        self.norm = nn.LayerNorm(64)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = x + block["attention"](block["first"](x), causal=True)
            x = x + block["down"](F.gelu(block["up"](block["second"](x)), approximate="tanh"))
        return self.norm(x) @ self.embed.weight.T


class Bert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.kinds, self.norm = nn.Embedding(50, 64, padding_idx=0), nn.Embedding(2, 64), nn.LayerNorm(64, 1e-12)
        layer = nn.TransformerEncoderLayer(64, 4, 128, 0.0, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.pool = nn.Linear(64, 64)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.norm(self.embed(ids) + self.kinds(torch.zeros_like(ids)))
        x = self.encoder(x, src_key_padding_mask=~mask)
        return x, torch.tanh(self.pool(x[:, 0]))


IDS = (torch.arange(24) * 7 % 50).reshape(2, 12)
MASK = torch.arange(12)[None, :] < torch.tensor([[12], [8]])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(5)


@pytest.mark.parametrize("make, inputs, found", [
    (Mlp, (torch.randn(3, 5, 32),), {"wf.layer_norm": 1, "wf.linear": 2}),
    (lambda: Mlp(nn.SiLU()), (torch.randn(3, 5, 32),), {"wf.layer_norm": 1, "wf.linear": 2}),
    (Qwen2, (IDS,), {"wf.rms_norm": 5, "wf.linear": 15, "wf.attention": 2, "wf.rope": 4, "wf.glu": 2}),
    (Gpt2, (IDS,), {"wf.layer_norm": 5, "wf.linear": 13, "wf.attention": 2}),
    (Bert, (IDS, MASK), {"wf.layer_norm": 5, "wf.attention": 2}),
], ids=["mlp-gelu", "mlp-silu", "qwen2", "gpt2", "bert"])
def test_models(make: Any, inputs: Any, found: dict[str, int]) -> None:
    """One graph, one function, every op of wf found in it, PyTorch's values."""
    model = make().eval()
    agree(model, *inputs)
    explanation = welford.explain(model, *inputs)
    assert explanation.graphs == 1 and len(explanation.parts) == 1 and not explanation.left, str(explanation)
    raised = explanation.raised()
    assert {name: raised[name] for name in found} == found


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_models_of_other_types(dtype: torch.dtype) -> None:
    model = Mlp().eval().to(dtype)
    x = torch.randn(4, 32)
    with torch.no_grad():
        exact = Mlp.forward(model.double(), x.double())
        model = model.to(dtype)
        ours, eager = compiled(model)(x.to(dtype)), model(x.to(dtype))
    assert ours.dtype == dtype
    error, limit = (float((y.double() - exact).abs().max()) for y in (ours, eager))
    assert error <= max(1.5 * limit, 1e-12)


@pytest.mark.parametrize("causal, mask", [(True, None), (False, None), (False, torch.rand(2, 1, 12, 12) > 0.4),
                                          (False, torch.randn(12, 12)), (False, torch.zeros(2, 4, 12, 12))])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention(causal: bool, mask: torch.Tensor | None, kv_heads: int) -> None:
    model, x = Attention(64, 4, kv_heads, bias=True).eval(), torch.randn(2, 12, 64)
    if mask is not None and mask.dtype == torch.bool:
        mask[..., 0] = True
    agree(model, x, None, None, mask, causal)
    assert welford.explain(model, x, None, None, mask, causal).raised()["wf.attention"] == 1


# ---- what the compiled model is asked

def test_values_are_read_anew() -> None:
    """Parameters that change between calls, in place and as a whole."""
    model = Mlp().eval()
    x = torch.randn(3, 32)
    with torch.no_grad():
        function = compiled(model)
        for change in (lambda: None, lambda: model.up.weight.mul_(2), lambda: model.norm.bias.add_(1),
                       lambda: setattr(model, "down", nn.Linear(64, 32, bias=False)),
                       lambda: model.load_state_dict(Mlp().state_dict())):
            change()
            torch.testing.assert_close(function(x), model(x), rtol=1e-5, atol=1e-5)


def test_inputs_that_are_no_plain_rows() -> None:
    model = Mlp().eval()
    for x in (torch.randn(32, 6).t(), torch.randn(4, 64)[:, ::2], torch.randn(5, 33)[:, 1:], torch.randn(1, 32).expand(3, 32),
              torch.randn(0, 32)):
        agree(model, x)


def test_outputs_of_all_kinds() -> None:
    def function(x: torch.Tensor) -> Any:
        y = x.t() * 2
        return {"transposed": y, "twice": (y, y), "input": x, "view": x[1:], "number": x.shape[0], "flags": x > 0,
                "none": None, "scalar": x.sum()}
    agree(function, torch.randn(4, 5))


def test_what_is_written_in_place() -> None:
    def function(cache: torch.Tensor, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        cache.index_copy_(0, at, x)
        cache[1].mul_(2)
        return cache.sum(0)
    x, at = torch.randn(2, 5), torch.tensor([3, 0])
    ours, eager = torch.zeros(4, 5), torch.zeros(4, 5)
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(compiled(function)(ours, x, at), function(eager, x, at))
            torch.testing.assert_close(ours, eager)


@pytest.mark.parametrize("axis", [0, 2, 3])
def test_a_cache_is_written_in_place(axis: int) -> None:
    """No copy of it is made: the program writes rows where the tensor lies, and PyTorch knows that it changed."""
    def function(cache: torch.Tensor, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        cache.index_copy_(axis, at, x)
        return cache.sum(axis)
    cache, at = torch.randn(3, 4, 5, 6), torch.tensor([2, 0])
    x = torch.randn([2 if d == axis else n for d, n in enumerate(cache.shape)])
    (part,) = welford.explain(function, cache.clone(), x, at).parts
    assert list(part.donations) == [0] and "in the memory of argument" in part.plan()
    ours = cache.clone()
    place, before = ours.data_ptr(), ours._version
    with torch.no_grad():
        torch.testing.assert_close(compiled(function, check=True)(ours, x, at), function(cache, x, at))
    torch.testing.assert_close(ours, cache)
    assert ours.data_ptr() == place and ours._version == before + 1
    for view in (torch.randn(6, 5, 4, 3).permute(3, 2, 1, 0), torch.randn(3, 4, 5, 12)[..., ::2]):
        other = view.clone()
        with torch.no_grad():
            torch.testing.assert_close(compiled(function)(view, x, at), function(other, x, at))
        torch.testing.assert_close(view, other)


def test_old_values_that_are_read_after_new_ones_are_written() -> None:
    def function(cache: torch.Tensor, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        old = cache * 2
        cache.index_copy_(0, at, x)
        return old + cache
    ours, x, at = torch.randn(4, 5), torch.randn(2, 5), torch.tensor([3, 0])
    eager = ours.clone()
    with torch.no_grad():
        torch.testing.assert_close(compiled(function)(ours, x, at), function(eager, x, at))
    torch.testing.assert_close(ours, eager)


def test_other_sizes() -> None:
    model = Qwen2().eval()
    function = compiled(model)
    with torch.no_grad():
        for batch, n in ((1, 3), (1, 4), (2, 9), (1, 4)):
            ids = torch.randint(50, (batch, n))
            torch.testing.assert_close(function(ids), model(ids), rtol=1e-5, atol=1e-5)


def test_what_stays_with_pytorch() -> None:
    def function(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        y = F.layer_norm(x, x.shape[-1:])
        z = torch.linalg.qr(y @ w)[0]  # this line
        return F.layer_norm(z, z.shape[-1:])
    x, w = torch.randn(6, 6), torch.randn(6, 6)
    explanation = welford.explain(function, x, w)
    assert len(explanation.parts) == 2 and explanation.raised()["wf.layer_norm"] == 2
    assert [left.op for left in explanation.left] == ["aten.linalg_qr.default"], str(explanation)
    assert "this line" in explanation.left[0].place and "test_torch.py" in explanation.left[0].place
    assert "this line" in str(explanation) and "2 functions of welford" in str(explanation)
    agree(function, x, w)


def test_graph_breaks_are_told() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        y = F.layer_norm(x, x.shape[-1:])
        torch._dynamo.graph_break()
        return y * 2
    explanation = welford.explain(function, torch.randn(3, 8))
    assert explanation.graphs == 2 and explanation.breaks
    agree(function, torch.randn(3, 8))


def test_training_is_left_to_pytorch() -> None:
    model, x = Mlp(), torch.randn(3, 32)
    import welford.torch as backend

    backend._warned = False
    function = compiled(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(x).sum().backward()
        compiled(model)(x).sum().backward()
    assert len([w for w in caught if "gradients" in str(w.message)]) == 1
    assert model.up.weight.grad is not None and float(model.up.weight.grad.abs().sum()) > 0
    with torch.no_grad():
        torch.testing.assert_close(function(x), model(x), rtol=1e-5, atol=1e-5)


# ---- modules as functions

def test_module_as_a_function(tmp_path: Any) -> None:
    """Exported, compiled, called with arrays; saved with its weights, and opened without PyTorch."""
    model = Qwen2().eval()
    f = welford.compile(model, IDS)
    assert len(f.arguments) == 1 and f.kernels()["wf.rms_norm"] == 5
    assert f.mlir(after="raise").count('"wf.attention"(') == 2
    with torch.no_grad():
        want = model(IDS)
    torch.testing.assert_close(f(IDS), want, rtol=1e-5, atol=1e-5)
    f.save(tmp_path / "qwen2.wf")
    code = f"""import array, welford
f = welford.compile({str(tmp_path / "qwen2.wf")!r})
ids = memoryview(array.array("q", {IDS.flatten().tolist()})).cast("B").cast("q", (2, 12))
print(f(ids).tolist()[1][3][:4])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(torch.tensor(eval(done.stdout)), want[1, 3, :4], rtol=1e-5, atol=1e-5)


def test_exported_program() -> None:
    model, x = Mlp().eval(), torch.randn(3, 5, 32)
    f = welford.compile(torch.export.export(model, (x,)))
    with torch.no_grad():
        torch.testing.assert_close(f(x), model(x), rtol=1e-5, atol=1e-5)


def test_module_that_is_no_function() -> None:
    class Sorted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.qr(x)[0]  # here
    with pytest.raises(welford.UnsupportedError, match="# here: aten.linalg_qr.default: not in the table"):
        welford.compile(Sorted(), torch.randn(4, 4))


def test_llvm_of_others() -> None:
    """Triton's own LLVM, and inductor, in the same process."""
    code = """import torch
try:
    import triton._C.libtriton
except ImportError:
    pass
torch.set_grad_enabled(False)
x = torch.randn(3, 8)
for backend in ("welford", "inductor", "welford"):
    torch._dynamo.reset()
    f = torch.compile(lambda x: torch.nn.functional.layer_norm(x, (8,)).exp(), backend=backend)
    torch.testing.assert_close(f(x), torch.nn.functional.layer_norm(x, (8,)).exp())
print("fine")"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "fine", done.stderr


# ---- options

def test_no_fuse() -> None:
    model, x = Mlp().eval(), torch.randn(64, 32)
    agree(model, x, no_fuse=["linear-residual"])
    with_it, without = (welford.explain(model, x, options=o) for o in (None, {"no_fuse": "linear-residual"}))
    assert with_it.fused("linear-residual") == 1 and without.fused("linear-residual") == 0


@pytest.mark.parametrize("weights, limit", [("f32", 1e-6), ("bf16", 1e-2), ("q8_0", 2e-2), ("q4_0", 0.3)])
def test_weights(weights: str, limit: float) -> None:
    """Packed in another type: near, and, where it is a shorter one, not the same."""
    model, x = Qwen2().eval(), IDS
    with torch.no_grad():
        want, got = model(x), compiled(model, weights=weights)(x)
    error = float((got - want).abs().max() / want.abs().max())
    assert error <= limit and (error > 1e-6 or weights == "f32")


def test_parameters_of_all_layouts() -> None:
    """Tied, transposed, part of a larger tensor, askew."""
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(40, 32))
            self.turned = nn.Parameter(torch.randn(32, 24).t())
            self.part = nn.Parameter(torch.randn(33 * 24)[24:].view(32, 24)[:, :])
            self.askew = nn.Parameter(torch.randn(24 * 24 + 1)[1:].view(24, 24))
            self.scalar = nn.Parameter(torch.tensor(0.5))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = F.embedding(ids, self.table)
            return (x @ self.table.t()).sum() + F.linear(F.linear(x, self.turned), self.askew) @ self.part.t() * self.scalar
    model = Model()
    agree(model, IDS % 40)
    function = compiled(model)
    with torch.no_grad():
        for parameter in model.parameters():
            function(IDS % 40)
            parameter.mul_(1.5)
            torch.testing.assert_close(function(IDS % 40), model(IDS % 40), rtol=1e-4, atol=1e-4)


def test_unknown_option() -> None:
    with pytest.raises(Exception, match="no option 'no_fusion'"):
        compiled(Mlp().eval(), no_fusion="qkv")(torch.randn(2, 32))


def test_check_finds_a_wrong_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from welford.torch import ops

    monkeypatch.setitem(ops.TABLE, torch.ops.aten.sin.default, ops.TABLE[torch.ops.aten.cos.default])
    x = torch.randn(8)
    with torch.no_grad(), pytest.raises(welford.CompileError, match="differs from PyTorch's"):
        compiled(lambda x: x.sin() + 1, check=True)(x)


def test_explain_option(capfd: pytest.CaptureFixture[str]) -> None:
    with torch.no_grad():
        compiled(Mlp().eval(), explain=True)(torch.randn(2, 32))
    assert "0 ops left to PyTorch" in capfd.readouterr().err


def test_nothing_has_to_be_imported() -> None:
    """The backend is found by its entry point."""
    code = ("import torch; assert 'welford' in torch._dynamo.list_backends(); torch.set_grad_enabled(False); "
            "f = torch.compile(lambda x: x.sin() + 1, backend='welford'); x = torch.randn(5); "
            "assert torch.allclose(f(x), x.sin() + 1); import sys; print('welford' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_arrays_of_torch_through_a_function() -> None:
    f = welford.compile("""func.func @main(%a: tensor<2x3xbf16>) -> tensor<2x3xbf16> {
  %0 = arith.addf %a, %a : tensor<2x3xbf16>
  return %0 : tensor<2x3xbf16>
}
""")
    x = torch.randn(2, 3).bfloat16()
    assert torch.equal(f(x), x + x) and f(x).dtype == torch.bfloat16
    assert torch.equal(f(torch.randn(3, 2).bfloat16().t() * 0 + x), x + x)
