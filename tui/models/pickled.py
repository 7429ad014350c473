"""torch.save files, on the CPU whatever device saved them. Code in a file is never run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ModelError

SAVE = "Save it again with torch.save(model.state_dict(), path)."
STATES = ("state_dict", "model_state_dict", "model")
"""What training loops call the state dict in a file that holds more."""
_CONFIGS = ("config", "cfg", "model_config")


def read_pickle(file: Path) -> Any:
    """What a ``.pt`` or ``.pth`` file holds. ModelError where it is no such file, or would run code."""
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{file} cannot be read as a state dict.", SAVE) from error


def config_inside(file: Path) -> dict[str, object] | None:
    """The configuration that a file holds beside the weights, as a dict of plain values; None where it holds none."""
    if file.suffix == ".safetensors":
        return None
    held = read_pickle(file)
    if not isinstance(held, Mapping) or not any(isinstance(held.get(name), Mapping) for name in STATES):
        return None
    found = next((held[name] for name in _CONFIGS if isinstance(held.get(name), Mapping)), None)
    return None if found is None else {str(key): value for key, value in found.items()}
