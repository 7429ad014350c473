"""Layers on several devices, or on disk: where each module goes, and its weights at hand where they are offloaded.

transformers places the modules and accelerate's hooks move what passes between them; ``here`` brings offloaded weights
in for as long as they are read.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import re
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
_SIZE = re.compile(r"\d+(\.\d+)?[KMG]i?B", re.IGNORECASE)
"""What accelerate reads."""
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
        what = str(error.strerror) if isinstance(error, OSError) else first_line(error)
        raise ModelError(f"The device map {text} cannot be read: {what}.", FORMS) from error
    known = isinstance(value, dict) and value and all(
        isinstance(place, int | str) and not isinstance(place, bool) for place in value.values()
    )
    if not known:
        raise ModelError(f"{text} is no map of modules to devices.", FORMS)
    for place in value.values():
        _expect(place, text)
    return dict(value)


def _expect(place: int | str, where: str) -> None:
    """ModelError for a GPU that is not there."""
    count = torch.cuda.device_count()
    if isinstance(place, int) and place >= count:
        there = f"GPUs 0 to {count - 1}" if count > 1 else "GPU 0 alone" if count else "no GPU"
        numbers = "".join(f"{number}, " for number in range(count))
        said = f"{where} names GPU {place}, but torch sees {there}."
        raise ModelError(said, f"Name what is there: {numbers}cpu, disk.")


def read_memory(text: str) -> dict[int | str, str] | None:
    """``--max-memory 0=20GB,1=20GB,cpu=60GB``: device → most that is put there; None: as much as there is."""
    if not text:
        return None
    out: dict[int | str, str] = {}
    for part in text.split(","):
        device, _, size = part.strip().partition("=")
        if not device or not _SIZE.fullmatch(size):
            raise ModelError(f"--max-memory {text}: {part!r} is not a device and a size.",
                             "Write --max-memory 0=20GB,1=20GB,cpu=60GB")  # fmt: skip
        place = int(device) if device.isdigit() else device
        _expect(place, f"--max-memory {text}")
        out[place] = size
    return out


def refusal(error: BaseException) -> ModelError | None:
    """What to say where it is the device map that transformers refuses; None where it is something else."""
    said = str(error)
    if "device_map provided does not give any device" not in said:
        return None
    names = re.findall(r"[\w.]+", said.partition("parameters:")[2])
    modules = dict.fromkeys(re.match(r".*?\.\d+(?=\.)|.*(?=\.)|.*", name)[0] for name in names)  # type: ignore[index]
    some = ", ".join(list(modules)[:6]) + (f" and {len(modules) - 6} more" if len(modules) > 6 else "")
    put = ", ".join(f'"{module}": "cpu"' for module in list(modules)[:2])
    return ModelError(f"The device map says no device for {some}.", f"Write each of them into it: {put}, …")


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
    """A dataclass with tensors of its own on one device: a view would keep all of an offloaded matrix. They are none of
    inference mode: a gradient passes what is multiplied with them."""
    made: dict[str, Any] = {}
    with torch.inference_mode(False), torch.no_grad():
        for field in fields(value):  # type: ignore[arg-type]
            part = getattr(value, field.name)
            if isinstance(part, Tensor):
                made[field.name] = part.to(device).clone()
            elif hasattr(part, "__dataclass_fields__"):
                made[field.name] = own(part, device)
    return replace(value, **made)  # type: ignore[type-var]
