"""How much memory the process has, and the card that its model is on: what the system says, without torch; and what the
process has freed, given back."""

from __future__ import annotations

import ctypes
import gc
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

ARENA_MAX = -8
"""glibc's name for the number of heaps, in ``malloc.h``."""


def resident() -> int:
    """Bytes of this process in memory; where the system does not say (macOS), the most there ever were."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10
    return pages * resource.getpagesize()


def of_card(device: str) -> tuple[int, int] | None:
    """Bytes in use, by all processes, and there are on a device ``cuda:N``; None where nobody says. Takes up to
    seconds."""
    if not device.startswith("cuda"):
        return None
    index = device.partition(":")[2] or "0"
    command = ["nvidia-smi", f"--id={index}", "--query-gpu=memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=5, text=True).stdout
        used, total = said.splitlines()[0].split(",")
        return int(used) << 20, int(total) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


@cache
def _of_glibc(name: str, *numbers: type) -> Callable[..., int] | None:
    """A function of the C library that takes these numbers and gives an int; None where it has none of that name."""
    try:
        return ctypes.CFUNCTYPE(ctypes.c_int, *numbers)((name, ctypes.CDLL(None)))
    except (OSError, TypeError, AttributeError):
        return None


def share_free() -> None:
    """One heap for all threads, before there are any. glibc gives each its own, and what one has freed no other takes:
    in a run of days the heaps of the engine, of look-ups and of the screen each grow to the most it ever needed."""
    if (mallopt := _of_glibc("mallopt", ctypes.c_int, ctypes.c_int)) is not None:
        mallopt(ARENA_MAX, 1)


def give_back() -> None:
    """Collect what is in cycles, as a model that was dropped is, and let the system have what is free, which glibc
    keeps between blocks in use: some ms."""
    gc.collect()
    if (trim := _of_glibc("malloc_trim", ctypes.c_size_t)) is not None:
        trim(0)
