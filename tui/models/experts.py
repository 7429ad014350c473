"""Mixtures of experts (Mixtral, Qwen 3 MoE, GPT-OSS): the model's own router and its own experts, one at a time.

Only MLPs that are nothing but a router and its experts: an expert that every token passes (Qwen 2 MoE, DeepSeek) makes
the sum another one, which the self-check sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..circuits.experts import Experts
from .mlps import mlp_dtype
from .multipliers import times, write_factor
from .weights import mlp_norms


def read_experts(bridge: Any, layer: int) -> Experts | None:
    """A layer's experts; None where its MLP is no mixture of them."""
    block = bridge.blocks[layer]
    mlp = block._modules.get("mlp")
    module = None if mlp is None else mlp.original_component
    router = getattr(module, "gate", None) or getattr(module, "router", None)
    experts = getattr(module, "experts", None)
    count = getattr(experts, "num_experts", None)
    if router is None or experts is None or not isinstance(count, int):
        return None
    (before, after), dtype, factor = mlp_norms(block), mlp_dtype(block), write_factor(block)
    if after.kind != "none":
        return None

    def chosen(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the MLP reads, the experts of each token, and their weights."""
        y = before(x).to(dtype)
        _, weights, indices = router(y)
        return y, indices, weights

    def routed(x: Tensor) -> Tensor:
        with torch.inference_mode():
            _, indices, weights = chosen(x)
            return torch.zeros(len(x), count, device=x.device).scatter(1, indices, weights.float())

    def writes(x: Tensor) -> Iterator[Tensor]:
        with torch.inference_mode():
            y, indices, weights = chosen(x)
            for expert in range(count):
                out = torch.zeros(x.shape, device=x.device)
                rows, places = torch.where(indices == expert)
                if len(rows):
                    made = experts(y[rows], indices[rows, places][:, None], weights[rows, places][:, None])
                    out[rows] = times(made.float(), factor)
                yield out

    return Experts(count, routed, writes)
