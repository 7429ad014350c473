"""Whether a model fits: the bytes of its weights in the dtype that they run in, against the memory that is free."""

from __future__ import annotations

from pathlib import Path

import torch

from .errors import ModelError

GROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""Of a container, in either form that Linux has: how much it may take, and takes."""


def free_memory(device: str) -> int | None:
    """Bytes that may still be taken on a device; None where nothing says."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    free = [found for found in (_available(), *map(_left, GROUPS)) if found is not None]
    return min(free, default=None)


def _available() -> int | None:
    for line in _text(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left(names: tuple[str, str]) -> int | None:
    limit, taken = (_text(Path("/sys/fs/cgroup") / name).strip() for name in names)
    return int(limit) - int(taken) if limit.isdigit() and taken.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def check_room(name: str, n_parameters: int, dtype: str, device: str, streams: bool) -> None:
    """ModelError where the weights alone are more than is free. ``streams``: whether the files can be read by slice."""
    size = n_parameters * (4 if dtype == "float32" else 2)
    free = free_memory(device)
    if free is None or size <= free:
        return
    where = "of memory" if device == "cpu" else f"on {device}"
    half = " --dtype bfloat16 halves it." if dtype == "float32" else ""
    hint = "Choose a smaller model."
    if streams:
        hint = ("--weights-only shows its circuits without loading it, --stream runs one prompt layer by layer."
                f"{half}")  # fmt: skip
    elif half:
        hint = half.strip()
    raise ModelError(f"{name} needs {_gb(size)} in {dtype}, but {_gb(free)} {where} are free.", hint)


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
