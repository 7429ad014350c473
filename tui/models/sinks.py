"""What some models do inside attention besides a softmax of scores: sinks (GPT-OSS) and clipping (OLMo 1)."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def sinks(attn: Any) -> Tensor | None:
    """``[n_heads]``: a score for each head that no key has and that takes its share of the row; None without."""
    held = getattr(attn.original_component, "sinks", None)
    return held.detach().float() if isinstance(held, Tensor) else None


def clip(attn: Any) -> float | None:
    """Projected queries, keys and values are clipped at ± this; None without."""
    module = attn.original_component
    own = getattr(getattr(module, "config", None), "clip_qkv", None)
    return float(own) if own else None
