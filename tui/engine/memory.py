"""Memory that is free in this process and not yet the system's."""

from __future__ import annotations

import ctypes
import gc
from functools import cache
from typing import Any


@cache
def _c_library() -> Any:
    """None where it has no ``malloc_trim``: that is glibc's, which keeps what was freed between blocks in use."""
    try:
        library = ctypes.CDLL(None)
        library.malloc_trim.argtypes = [ctypes.c_size_t]
        return library
    except (OSError, TypeError, AttributeError):
        return None


def give_back() -> None:
    """Collect what is in cycles, as a model that was dropped is, and let the system have what is free: some ms."""
    gc.collect()
    if (library := _c_library()) is not None:
        library.malloc_trim(0)
