"""Models that the installed libraries compute wrongly."""

from __future__ import annotations

from typing import Any

from .errors import ModelError


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
