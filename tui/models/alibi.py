"""ALiBi: what attention adds to scaled scores by the key's position, from the model's own code (Bloom, Falcon).

Source: Press, Smith, Lewis 2022, "Train Short, Test Long". These models add slope · key position, which is the paper's
−slope · distance but for a constant in each row that the softmax does not see.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ScoreBias = Callable[[int], Tensor]


def has_alibi(attn: Any) -> bool:
    """Whether a model's own attention module adds ALiBi."""
    if not hasattr(sys.modules.get(type(attn).__module__), "build_alibi_tensor"):
        return False
    return bool(getattr(getattr(attn, "config", None), "alibi", True))  # Falcon may have it, Bloom always has


def score_bias(bridge: Any, layer: int) -> ScoreBias | None:
    """``n → [n_heads, n]``: what is added to every query's scaled score with each of n keys; None without ALiBi."""
    attn = bridge.blocks[layer].attn.original_component
    if not has_alibi(attn):
        return None
    build = sys.modules[type(attn).__module__].build_alibi_tensor
    heads, device, dtype = bridge.cfg.n_heads, bridge.embed.W_E.device, bridge.embed.W_E.dtype
    # Falcon adds it before it divides by √d_head, Bloom after.
    factor = 1.0 if getattr(attn, "beta", 1.0) == 1.0 else float(attn.beta)

    def bias(n: int) -> Tensor:
        made: Tensor = build(torch.ones(1, n, dtype=torch.int64, device=device), heads, dtype)
        return made[:, 0].float() * factor

    return bias
