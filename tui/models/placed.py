"""Layers on several devices, or on disk: where each module goes, and its weights at hand where they are offloaded.

transformers places the modules and accelerate's hooks move what passes between them; ``here`` brings offloaded weights
in for as long as they are read.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import shutil
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from .errors import ModelError, first_line

KINDS = ("auto", "balanced", "balanced_low_0", "sequential")
FORMS = 'Use --device-map auto, balanced, or a JSON file such as {"model.embed_tokens": 0, "model.layers.0": "cpu", …}.'
T = TypeVar("T")


def read_map(text: str) -> str | dict[str, int | str]:
    """``--device-map``: a strategy by its name, or a file of module → device. ModelError for what is neither."""
    if importlib.util.find_spec("accelerate") is None:
        raise ModelError("--device-map needs accelerate, which is not installed.", "Run: pip install accelerate")
    if text in KINDS:
        return text
    try:
        value = json.loads(Path(text).expanduser().read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"The device map {text} cannot be read: {first_line(error)}.", FORMS) from error
    known = isinstance(value, dict) and value and all(
        isinstance(place, int | str) and not isinstance(place, bool) for place in value.values()
    )
    if not known:
        raise ModelError(f"{text} is no map of modules to devices.", FORMS)
    for place in value.values():
        if isinstance(place, int) and place >= torch.cuda.device_count():
            said = f"{text} names CUDA device {place}, but torch sees {torch.cuda.device_count()}."
            raise ModelError(said, "Name devices that are there: 0, 1, …, cpu or disk.")
    return dict(value)


def read_memory(text: str) -> dict[int | str, str] | None:
    """``--max-memory 0=20GB,1=20GB,cpu=60GB``: device → most that is put there; None: as much as there is."""
    if not text:
        return None
    out: dict[int | str, str] = {}
    for part in text.split(","):
        device, _, size = part.strip().partition("=")
        if not device or not size:
            raise ModelError(f"--max-memory {text}: {part!r} is not a device and a size.",
                             "Write --max-memory 0=20GB,1=20GB,cpu=60GB")  # fmt: skip
        out[int(device) if device.isdigit() else device] = size
    return out


def offload_folder() -> str:
    """Where weights go that cannot be read again from where they are; taken away when the process ends."""
    folder = tempfile.mkdtemp(prefix="circuit-tui-offload-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def devices(model: Any) -> str:
    """Where a model lies, as its key has it: ``cuda:0+cuda:1``, ``cpu+disk``."""
    places = getattr(model, "hf_device_map", {}).values()
    names = sorted({f"cuda:{place}" if isinstance(place, int) else str(place) for place in places})
    return "+".join(names)


def home(model: Any) -> torch.device:
    """The device that tokens go to and that all is computed on beside the model: that of its embedding."""
    from transformer_lens.utilities.multi_gpu import find_embedding_device

    found: torch.device | None = find_embedding_device(model) if getattr(model, "hf_device_map", None) else None
    if found is None:
        found = next(model.parameters()).device
    return torch.device("cpu") if found.type == "meta" else found


def is_spread(bridge: Any) -> bool:
    """Whether its modules lie on more than one device."""
    return len(set(map(str, getattr(bridge.original_model, "hf_device_map", {}).values()))) > 1


def here(*modules: Any) -> contextlib.AbstractContextManager[object]:
    """Offloaded weights of these modules are there, and gone again afterwards; nothing where none is offloaded."""
    away = [module for module in modules if module is not None and any(p.is_meta for p in module.parameters())]
    if not away:
        return contextlib.nullcontext()
    from transformer_lens.model_bridge.generalized_components.base import align_offloaded_subtree

    stack = contextlib.ExitStack()
    for module in away:
        stack.enter_context(align_offloaded_subtree(module))
    return stack


def own(value: T, device: torch.device) -> T:
    """A dataclass with tensors of its own on one device: a view would keep all of an offloaded matrix."""
    made: dict[str, Any] = {}
    for field in fields(value):  # type: ignore[arg-type]
        part = getattr(value, field.name)
        if isinstance(part, Tensor):
            made[field.name] = part.to(device).clone()
        elif hasattr(part, "__dataclass_fields__"):
            made[field.name] = own(part, device)
    return replace(value, **made)  # type: ignore[type-var]
