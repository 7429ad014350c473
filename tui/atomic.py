"""Files that are written whole or not at all: beside their place first, then renamed over it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path


def write(path: Path, data: bytes, *, private: bool = True, first: Callable[[], object] | None = None) -> None:
    """Write a file. OSError, with ``path`` named, where that cannot be; nothing half-written is left then.

    Args:
        private: for this user's eyes, in a folder that is made where it is missing.
        first: called when the bytes are on the disk, before they take the place of what is there.
    """
    beside = path.with_name(f".{path.name[:40]}.{os.getpid()}.{threading.get_ident()}.part")
    mode = 0o600 if private else 0o666
    try:
        if private:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(beside, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if first is not None:
            first()
        beside.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and str(error.filename) == str(beside):
            error.filename = str(path)
        raise
