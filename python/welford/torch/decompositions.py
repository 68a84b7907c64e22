"""Ops of PyTorch that are several layers in one, in smaller ones."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def encoder_layer(x: Tensor, width: int, heads: int, qkv_weight: Tensor, qkv_bias: Tensor, out_weight: Tensor,
                  out_bias: Tensor, use_gelu: bool, norm_first: bool, eps: float, gamma1: Tensor, beta1: Tensor,
                  gamma2: Tensor, beta2: Tensor, up_weight: Tensor, up_bias: Tensor, down_weight: Tensor,
                  down_bias: Tensor, mask: Tensor | None = None, mask_type: int | None = None) -> Tensor:
    """nn.TransformerEncoderLayer when it does not train; what is true in a mask of bools is hidden."""
    batch, n, _ = x.shape
    if mask is not None:
        mask = mask if mask.dtype != torch.bool else ~mask
        mask = mask[:, None, None, :] if mask_type == 1 else mask

    def attend(h: Tensor) -> Tensor:
        parts = F.linear(h, qkv_weight, qkv_bias).view(batch, n, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], mask)
        return F.linear(y.transpose(1, 2).reshape(batch, n, width), out_weight, out_bias)

    def feed(h: Tensor) -> Tensor:
        h = F.linear(h, up_weight, up_bias)
        return F.linear(F.gelu(h) if use_gelu else F.relu(h), down_weight, down_bias)

    def first(h: Tensor) -> Tensor:
        return F.layer_norm(h, (width,), gamma1, beta1, eps)

    def second(h: Tensor) -> Tensor:
        return F.layer_norm(h, (width,), gamma2, beta2, eps)

    if norm_first:
        x = x + attend(first(x))
        return x + feed(second(x))
    x = first(x + attend(x))
    return second(x + feed(x))


OWN: dict[Any, Callable[..., Any]] = {torch.ops.aten._transformer_encoder_layer_fwd.default: encoder_layer}
