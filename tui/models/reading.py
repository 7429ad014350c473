"""The weights of a folder, read one tensor at a time as transformers asks for them, and counted.

A file that is mapped into memory stays there, page by page, until all of it is read: in float32 a model stored in 16
bits then takes one and a half times its size while it loads. Read in pieces it takes its size and one tensor.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor


class Piece:
    """One tensor of a safetensors file that is read when it is asked for: what transformers takes for a slice."""

    def __init__(self, piece: Any, count: Callable[[Tensor], None]) -> None:
        self._piece, self._count = piece, count

    def __getitem__(self, index: Any) -> Tensor:
        tensor: Tensor = self._piece[index]
        self._count(tensor)
        return tensor

    def get_shape(self) -> list[int]:
        return list(self._piece.get_shape())

    def get_dtype(self) -> str:
        return str(self._piece.get_dtype())


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers reads: one, or those that the index names; else none."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return [single]
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return []
    return [folder / str(name) for name in sorted(names)]


@contextlib.contextmanager
def pieces(files: list[Path], read: Callable[[int, int], None], check: Callable[[], None]) -> Iterator[dict[str, Any]]:
    """Name → what is read when it is asked for. ``read`` is told bytes read and bytes to read; ``check`` may raise
    between two tensors."""
    from safetensors import safe_open

    done, total = 0, sum(file.stat().st_size for file in files)

    def count(tensor: Tensor) -> None:
        nonlocal done
        check()
        done += tensor.nbytes
        read(min(done, total), total)

    with contextlib.ExitStack() as stack:
        out: dict[str, Any] = {}
        for file in files:
            opened = stack.enter_context(_open(safe_open, file))
            out |= {name: Piece(opened.get_slice(name), count) for name in opened.keys()}  # noqa: SIM118
        yield out


def _open(safe_open: Any, file: Path) -> Any:
    try:
        return safe_open(file, framework="pt", backend="pread")
    except TypeError:  # before safetensors 0.8 files are always mapped
        return safe_open(file, framework="pt")


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """transformers reads tensor by tensor in the caller's thread, not several at once: less memory, and no slower from
    one disk."""
    name = "HF_DEACTIVATE_ASYNC_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
