"""LayerNorm and RMSNorm, PyTorch's modules and a dozen ways to write them by hand: compiled, each is one kernel of its
kind, and at least as near to float64 as PyTorch's own result is, or within 2e-6 of the row's scale; on hard data too."""
from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

import welford  # noqa: E402

N = 96
Form = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]


# ---- RMSNorm

def rms_mean(x, w, b, eps=1e-6):  # transformers' Llama, Qwen2, Mistral, ..
    variance = x.pow(2).mean(-1, keepdim=True)
    return w * (x * torch.rsqrt(variance + eps))


def rms_product(x, w, b, eps=1e-6):
    return x * (x * x).mean(-1, keepdim=True).add(eps).rsqrt() * w


def rms_divided(x, w, b, eps=1e-6):
    return x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps) * w


def rms_sum(x, w, b, eps=1e-6):
    return w * x / (x.pow(2).sum(-1, keepdim=True) / x.shape[-1] + eps).sqrt()


def rms_power(x, w, b, eps=1e-6):  # transformers' Gemma 3n
    return x * torch.pow((x ** 2).mean(-1, keepdim=True) + eps, -0.5) * w


def rms_one_plus(x, w, b, eps=1e-6):  # Gemma
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * (1.0 + w)


def rms_einsum(x, w, b, eps=1e-6):
    return x * torch.rsqrt(torch.einsum("bti,bti->bt", x, x)[..., None] / x.shape[-1] + eps) * w


# ---- LayerNorm

def layer_var(x, w, b, eps=1e-5):
    mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(var + eps) * w + b


def layer_centred(x, w, b, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + eps) * w + b


def layer_product(x, w, b, eps=1e-5):
    d = x - x.sum(-1, keepdim=True) / x.shape[-1]
    return w * (d / ((d * d).sum(-1, keepdim=True) / x.shape[-1] + eps).sqrt()) + b


def layer_var_mean(x, w, b, eps=1e-5):
    var, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
    return torch.addcmul(b, (x - mean) * torch.rsqrt(var + eps), w)


def layer_twice(x, w, b, eps=1e-5):  # the mean computed once for each use
    d = (x - x.mean(-1, keepdim=True)).pow(2).mean(-1, keepdim=True)
    return (x - x.mean(-1, keepdim=True)) * (d + eps).pow(-0.5) * w + b


def layer_no_affine(x, w, b, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], eps=eps)


RMS = [rms_mean, rms_product, rms_divided, rms_sum, rms_power, rms_one_plus, rms_einsum,
       lambda x, w, b: F.rms_norm(x, x.shape[-1:], w, 1e-6)]
LAYER = [layer_var, layer_centred, layer_product, layer_var_mean, layer_twice, layer_no_affine,
         lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, 1e-5)]
FORMS = [(f, "wf.rms_norm") for f in RMS] + [(f, "wf.layer_norm") for f in LAYER]


def data(kind: str, generator: torch.Generator) -> torch.Tensor:
    """Rows [2, 7, N]: plain ones, and those that norms go wrong on."""
    x = torch.randn(2, 7, N, generator=generator)
    if kind == "mean":
        x += 1e4
    if kind == "outlier":
        x[..., 5] = 1e4
    if kind == "constant":
        x[:] = 3.0
    if kind == "small":
        x *= 1e-4
    return x


def largest_error(y: torch.Tensor, exact: torch.Tensor) -> float:
    """Of the row's scale."""
    scale = exact.abs().amax(-1, keepdim=True).clamp_min(1e-3)
    return float(((y.double() - exact) / scale).abs().max())


@pytest.mark.parametrize("form, op", FORMS, ids=[getattr(f, "__name__", "module") + str(i) for i, (f, _) in enumerate(FORMS)])
def test_form(form: Form, op: str) -> None:
    generator = torch.Generator().manual_seed(3)
    w, b = torch.rand(N, generator=generator) + 0.5, torch.randn(N, generator=generator)
    explanation = welford.explain(form, data("plain", generator), w, b)
    assert not explanation.left and len(explanation.parts) == 1, str(explanation)
    assert explanation.raised()[op] == 1, explanation.parts[0].text
    assert explanation.kernels()[op] == 1
    compiled = torch.compile(form, backend="welford")
    with torch.no_grad():
        for kind in ("plain", "mean", "outlier", "constant", "small"):
            x = data(kind, generator)
            exact = form(x.double(), w.double(), b.double())
            ours, eager = largest_error(compiled(x, w, b), exact), largest_error(form(x, w, b), exact)
            assert ours <= max(2e-6, 1.05 * eager), f"{kind}: {ours:.1e}, PyTorch {eager:.1e}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("make, op", [(lambda: torch.nn.LayerNorm(N), "wf.layer_norm"),
                                      (lambda: torch.nn.LayerNorm(N, bias=False), "wf.layer_norm"),
                                      (lambda: torch.nn.LayerNorm((7, N)), "wf.layer_norm"),
                                      (lambda: torch.nn.LayerNorm(N, elementwise_affine=False), "wf.layer_norm"),
                                      (lambda: torch.nn.RMSNorm(N, eps=1e-6), "wf.rms_norm"),
                                      (lambda: torch.nn.RMSNorm(N), "wf.rms_norm"),
                                      (lambda: torch.nn.RMSNorm(N, elementwise_affine=False), "wf.rms_norm")])
def test_module(make: Callable[[], torch.nn.Module], op: str, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    module = make()
    for parameter in module.parameters():
        parameter.data += torch.randn_like(parameter) / 4
    module = module.to(dtype)
    x = torch.randn(2, 7, N).to(dtype)
    explanation = welford.explain(module, x)
    assert not explanation.left and explanation.raised()[op] == 1, str(explanation)
    with torch.no_grad():
        y = torch.compile(module, backend="welford")(x)
        want = module(x)
        exact = module.double()(x.double())
    assert y.dtype == dtype and y.shape == want.shape and y.stride() == want.stride()
    ours, eager = largest_error(y, exact), largest_error(want, exact)
    assert ours <= max(2e-6, 1.05 * eager), f"{ours:.1e}, PyTorch {eager:.1e}"


@pytest.mark.parametrize("form, op", [(rms_mean, "wf.rms_norm"), (layer_centred, "wf.layer_norm")])
def test_other_sizes(form: Form, op: str) -> None:
    """Compiled once more for each shape, by torch.compile's own rules."""
    torch._dynamo.reset()
    compiled = torch.compile(form, backend="welford", dynamic=True)
    with torch.no_grad():
        for shape in ((3, 5, 32), (1, 9, 48), (4, 2, 32)):
            x, w, b = torch.randn(shape), torch.rand(shape[-1]), torch.randn(shape[-1])
            torch.testing.assert_close(compiled(x, w, b), form(x, w, b), rtol=1e-5, atol=1e-5)


def test_what_is_no_norm() -> None:
    """eps outside of the root is another function."""
    def outside(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return w * x / (x.pow(2).mean(-1, keepdim=True).sqrt() + 0.5)
    x, w = torch.randn(4, N), torch.rand(N)
    explanation = welford.explain(outside, x, w)
    assert not explanation.raised()["wf.rms_norm"]
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(outside, backend="welford")(x, w), outside(x, w))
