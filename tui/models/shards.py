"""The tensors of a folder by name, read when and as far as they are looked at.

A safetensors file is mapped, not read: a tensor taken from it is a view of the file, and only the pages behind the rows
that are used come from the disk. What leaves this module is a copy, so that a file that is replaced later changes
nothing that is held. A TransformerLens ``.pt`` and a ``pytorch_model.bin`` are mapped the same way by torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import ModelError, first_line
from .files import AGAIN, safetensors_header
from .formats import plain_name
from .pickled import SAVE

MAPPED = 32 << 20
"""Bytes that are read before files are mapped anew."""
REOPEN = "Open the model again."
Index = Any
"""What stands in brackets behind a tensor: slices, an int, an index tensor."""


class Shards:
    """A folder's tensors. Not for two threads at once."""

    def __init__(self, where: dict[str, Path], rename: Callable[[str], str] = lambda name: name) -> None:
        """``where``: each tensor's file. ``rename``: what a file calls it → what it is called here."""
        self._where = {rename(name): (path, name) for name, path in where.items()}
        self._open: dict[Path, Any] = {}
        self._states: dict[Path, tuple[int, int, int]] = {}
        self._touched = 0

    @property
    def stored_names(self) -> list[str]:
        """What the files call the tensors."""
        return [own for _, own in self._where.values()]

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, from the header alone."""
        path, own = self._place(name)
        file = self._file(path)
        if isinstance(file, _Mapped):
            return tuple(file.get_tensor(own).shape)
        return tuple(file.get_slice(own).get_shape())

    def read(self, name: str, at: Index = slice(None)) -> Tensor:
        """``tensor[at]`` as it is stored, a copy on the CPU. ModelError where there is no such tensor, and where its
        file has changed since it was opened."""
        stored = self._stored(name)
        part = stored[at]
        copy = part.clone(memory_format=torch.contiguous_format)
        # Columns of a matrix lie on all of its pages.
        self._touched += part.nbytes if part.is_contiguous() else stored.nbytes
        del part, stored
        if self._touched > MAPPED:  # pages that are mapped count as memory of the process: give them back
            self.close()
        return copy

    def close(self) -> None:
        """Let go of the files."""
        self._open.clear()
        self._touched = 0

    def _place(self, name: str) -> tuple[Path, str]:
        if name not in self._where:
            raise ModelError(f"The folder has no tensor {name}.", "Compare its config.json with the original.")
        return self._where[name]

    def _stored(self, name: str) -> Tensor:
        path, own = self._place(name)
        found: Tensor = self._file(path).get_tensor(own)
        return found

    def _file(self, path: Path) -> Any:
        """The file, mapped once. Cut short while it is mapped it would end the process, so that is looked at first."""
        try:
            now = path.stat()
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.", REOPEN) from error
        state = (now.st_size, now.st_mtime_ns, now.st_ino)
        if self._states.setdefault(path, state) != state:
            raise ModelError(f"{path} has changed since it was opened.", REOPEN)
        if path not in self._open:
            self._open[path] = _opened(path)
        return self._open[path]


class _Mapped:
    """A state dict that torch has mapped, with the face of ``safe_open``."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self._state = state

    def get_tensor(self, name: str) -> Tensor:
        return self._state[name]

    def keys(self) -> Iterator[str]:
        return iter(self._state)


def _opened(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            return safe_open(path, framework="pt", device="cpu")
        return _Mapped(state_dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True)))
    except Exception as error:
        if path.suffix == ".safetensors":
            safetensors_header(path)  # says what is wrong with it
            raise ModelError(f"{path} cannot be read: {first_line(error)}.", AGAIN) from error
        said = f"{path} cannot be read as tensors: it is broken, or holds more than tensors, which is not run."
        raise ModelError(said, f"{SAVE} Or copy the file again.") from error


def state_dict(saved: Any) -> dict[str, Tensor]:
    """The tensors of what ``torch.save`` has written: a state dict, or one inside a training state."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(saved, dict) and isinstance(saved.get(key), dict):
            saved = saved[key]
    if not isinstance(saved, dict) or not all(isinstance(value, Tensor) for value in saved.values()):
        raise ValueError("no state dict")
    return saved


def find_shards(folder: Path) -> Shards | None:
    """The weight files of a folder in Hugging Face format; None where they are none that can be read by slice."""
    # What wrappers put before the names is taken off here as it is at a load.
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return one_file([single], plain_name)
    if index.exists():
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            named: dict[str, str] = json.loads(index.read_text("utf-8"))["weight_map"]
            where = {name: folder / file for name, file in named.items()}
            return Shards(where, plain_name) if all(path.exists() for path in set(where.values())) else None
        return None
    binary = folder / "pytorch_model.bin"
    return one_file([binary] if binary.exists() else [], plain_name)


def one_file(files: Sequence[Path], rename: Callable[[str], str] = lambda name: name) -> Shards | None:
    """The one weight file that there is; None where there is none, or more of them, or two tensors of one name.
    ``rename``: what its tensors are called."""
    if len(files) != 1:
        return None
    names = list(_opened(files[0]).keys())
    return Shards(dict.fromkeys(names, files[0]), rename) if len(set(map(rename, names))) == len(names) else None
