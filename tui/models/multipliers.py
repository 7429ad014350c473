"""Constants that a model multiplies embeddings, writes and logits with, read off its own modules.

Weights are read in the scale in which they act: an embedding as it enters the stream (Gemma's √d_model, Granite's
multiplier), ``W_O`` and ``W_out`` as they write into it (Granite's residual multiplier), ``W_U`` as logits leave it
(Granite divides, Cohere multiplies). The self-check compares all of them with what the model computes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def embedding_factor(bridge: Any) -> float:
    """What the stored embedding is multiplied by before it enters the stream."""
    model = bridge.original_model
    body = getattr(model, model.base_model_prefix, None) if hasattr(model, "base_model_prefix") else None
    for module, name in ((bridge.embed.original_component, "embed_scale"), (body, "embedding_multiplier")):
        if (scale := getattr(module, name, None)) is not None:
            return float(scale)
    return 1.0


def write_factor(block: Any) -> float:
    """What a block's sublayers are multiplied by on their way into the stream."""
    return float(getattr(block.original_component, "residual_multiplier", None) or 1.0)


def logit_factor(bridge: Any) -> float:
    """What the unembedding's product is multiplied by."""
    model = bridge.original_model
    divisor = getattr(getattr(model, "config", None), "logits_scaling", None)
    if isinstance(divisor, int | float) and divisor:
        return 1.0 / float(divisor)
    factor = getattr(model, "logit_scale", None)
    return float(factor) if isinstance(factor, int | float) else 1.0


def times(x: Tensor, factor: float) -> Tensor:
    """x itself where the factor is one: a view stays a view."""
    return x if factor == 1.0 else x * factor
