"""What was freed is the system's again."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys

import pytest

from tui import memory


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc's")
def test_what_lies_between_blocks_in_use_is_given_back() -> None:
    blocks: list[bytearray | None] = [bytearray(b"x" * 20_000) for _ in range(10_000)]
    for at in range(len(blocks)):
        if at % 100:
            blocks[at] = None
    gc.collect()
    before = memory.resident()
    memory.give_back()
    assert before - memory.resident() > 100e6


HEAPS = """
import ctypes, sys, threading
from tui import memory
if sys.argv[1] == "shared":
    memory.share_free()
threads = [threading.Thread(target=lambda: [bytes(5_000) for _ in range(100)]) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = libc.fdopen(1, b"w")
libc.malloc_info(0, ctypes.c_void_p(out))
libc.fflush(ctypes.c_void_p(out))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc's")
def test_all_threads_take_what_one_has_freed() -> None:
    def heaps(how: str) -> int:
        ran = subprocess.run([sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True)
        return ran.stdout.count("<heap nr=")

    assert heaps("shared") == 1
    assert heaps("own") > 1


def test_another_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It collects all the same."""
    collected = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    memory._of_glibc.cache_clear()
    monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
    memory.give_back()
    assert collected == [True]
    memory.share_free()
    memory._of_glibc.cache_clear()
