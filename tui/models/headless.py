"""Base models (``LlamaModel``): the body of a language model, saved without the head that makes logits of its stream.

transformers builds the whole model and would fill the head with noise. The embedding stands in for it, so that the
self-check has logits to compare; nothing that is read off it is ever shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ..results import Capabilities


def borrow_head(model: Any) -> set[str]:
    """Put the embedding where the head is missing; the names of what is missing, as transformers reports them."""
    outputs, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    with torch.no_grad():
        outputs.weight.copy_(embedding.weight)
        if getattr(outputs, "bias", None) is not None:
            outputs.bias.zero_()
    names = [name for name, module in model.named_modules() if module is outputs]
    return {f"{name}.{part}" for name in names for part in ("weight", "bias")}


def without_outputs(capabilities: Capabilities, base: str, architecture: str) -> Capabilities:
    """What a model without a head can have: all that asks for no logits."""
    why = (
        f"This is a {base}: it was saved without its head, so it has no outputs. Save the whole model "
        f"({architecture}.save_pretrained) for logits."
    )
    return replace(capabilities, outputs=why, one_vocabulary=why)
