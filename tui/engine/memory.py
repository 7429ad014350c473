"""Memory that is free in this process and not yet the system's."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from functools import cache


@cache
def _trim() -> Callable[[int], int] | None:
    """None where the C library has none: it is glibc's, which keeps what was freed between blocks in use."""
    try:
        return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_size_t)(("malloc_trim", ctypes.CDLL(None)))
    except (OSError, TypeError, AttributeError):
        return None


def give_back() -> None:
    """Collect what is in cycles, as a model that was dropped is, and let the system have what is free: some ms."""
    gc.collect()
    if (trim := _trim()) is not None:
        trim(0)
