"""Models that cannot be read: those that the installed libraries compute wrongly, and those put together otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from .errors import ModelError, first_line


def refuse_known_trouble(config: Any) -> None:
    """ModelError for a transformers config whose model would be opened with wrong numbers."""
    if config.model_type != "falcon":
        return
    if config.alibi:
        raise ModelError(
            "This Falcon has ALiBi positions, which transformers' eager attention adds twice: its patterns are not "
            "the model's.",
            "Open a Falcon with rotary positions, such as falcon-7b, or Bloom for ALiBi.",
        )
    if config.new_decoder_architecture and config.num_kv_heads != config.num_attention_heads:
        raise ModelError(
            "This Falcon stores queries in groups with their key and value, which TransformerLens takes apart wrongly.",
            "Open a Falcon of the first kind, such as falcon-7b.",
        )


@contextlib.contextmanager
def read_off(architecture: str) -> Iterator[None]:
    """What goes wrong inside, a library's KeyError or the like, is said as a ModelError about this architecture."""
    try:
        yield
    except (ModelError, torch.OutOfMemoryError, MemoryError):
        raise
    except (LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{architecture} is put together in a way that cannot be read here: {first_line(error)}.",
            "Choose another model; the README's “Your own model” lists the families that open.",
        ) from error
