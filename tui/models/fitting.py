"""Whether a model, or one forward pass of it, fits into the memory that is free: said with the figure beforehand.

An estimate refuses only what is larger by itself than all that is free.
"""

from __future__ import annotations

import torch

from ..label import BYTES, Label, free_memory, in_bytes, needed
from .errors import ModelError

SMALL = 256 << 20
"""Bytes up to which a forward pass is not weighed: looking costs more than it can save."""
KEPT_WIDTHS = 8
"""Activations of a layer that a pass has at once or keeps, in widths of the stream."""


def free_on(device: str | torch.device) -> int | None:
    """Free bytes of a device, with what torch holds of it and does not use; None where nobody says."""
    where = torch.device(device)
    if where.type == "cuda":
        free, _ = torch.cuda.mem_get_info(where)
        return int(free + torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where))
    return free_memory("cpu")


def refuse_model(
    label: Label, dtype: str, device: str, freed: int, free: int | None, by_slice: bool = False
) -> None:
    """ModelError where a model is larger than what is free and what the model before it gives back (``freed``).
    ``by_slice``: whether its files can be read without loading it."""
    wanted = label.memory(dtype, device)
    if free is None or wanted <= free + freed:
        return
    raise ModelError(
        f"{label.name} takes {in_bytes(wanted)} in {dtype} on {device}, and {in_bytes(free + freed)} are free.",
        f"Use {', or '.join(choices(label, dtype, device, free + freed, by_slice))}.",
    )


def choices(label: Label, dtype: str, device: str, free: int, by_slice: bool = False) -> list[str]:
    """What to do about a model that does not fit: what is likeliest to help first."""
    out = []
    if BYTES[dtype] > 2:
        smaller = needed(label.parameters or label.file_bytes // 4, label.vocabulary * label.d_model, "bfloat16")
        fits = "" if smaller <= free else ", still too much"
        out.append(f"--dtype bfloat16 ({in_bytes(smaller)}{fits})")
    if torch.cuda.device_count() > 1:
        out.append("--device-map auto (layers on every device)")
    if device != "cpu" and (there := free_memory("cpu")) is not None and label.memory(dtype, "cpu") <= there:
        out.append(f"--device cpu ({in_bytes(there)} free)")
    if by_slice:
        out.append("--weights-only (its circuits, without loading it)")
        out.append("--stream (one prompt, layer by layer)")
    return [*out, "a smaller model, or a machine with more memory"]


def forward_bytes(tokens: int, layers: int, heads: int, d_model: int, d_vocab: int) -> int:
    """About what one forward pass takes: the stream of every layer, one layer's scores and patterns, the logits."""
    return 4 * (tokens * (KEPT_WIDTHS * layers * d_model + 2 * d_vocab) + 3 * heads * tokens * tokens)
