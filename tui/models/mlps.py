"""A block's MLP alone, behind the norm that it reads through, whatever its module wants to be called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def own_mlp(block: Any) -> Callable[[Tensor], Tensor] | None:
    """The model's own ``y [b, n, d_model] → [b, n, d_model]``, in its dtype, before any multiplier or norm that follows
    it; None where there is no MLP."""
    mlp = block._modules.get("mlp")
    if mlp is None or mlp.original_component is None:
        return None
    if mlp.name is None:  # OPT has no module for it: two projections in the block itself
        up, down = (mlp._modules[name].original_component for name in ("in", "out"))
        activation = block.original_component.activation_fn
        return lambda y: down(activation(up(y)))
    module = mlp.original_component
    if type(module).__name__ == "BloomMLP":  # adds the stream itself
        return lambda y: module(y, torch.zeros_like(y))

    def run(y: Tensor) -> Tensor:
        made = module(y)
        out: Tensor = made[0] if isinstance(made, tuple) else made
        return out

    return run


def mlp_dtype(block: Any) -> torch.dtype:
    """The dtype that the MLP computes in."""
    dtype: torch.dtype = next(block._modules["mlp"].parameters()).dtype
    return dtype
