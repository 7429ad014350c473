"""TransformerLens' short names of models on the hub: ``gpt2-small``, ``attn-only-2l``, ``pythia-70m-deduped``."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path

_TABLE = Path("tools", "model_registry", "data", "model_aliases.json")


def official_name(name: str) -> str | None:
    """The hub name that a short name stands for, as TransformerLens resolves it (whatever its case); None where it
    knows none of that name."""
    return _table().get(name.lower())


@cache
def _table() -> dict[str, str]:
    """Short name → hub name, from TransformerLens' own file: importing the package for it would take seconds."""
    spec = importlib.util.find_spec("transformer_lens")
    if spec is None or spec.origin is None:
        return {}
    file = Path(spec.origin).parent / _TABLE
    try:
        aliases = json.loads(file.read_text(encoding="utf-8"))["aliases"]
        return {alias.lower(): official for official, names in aliases.items() for alias in names}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}  # a TransformerLens that keeps its names elsewhere: hub names in full still work
