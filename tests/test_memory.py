"""What was freed is the system's again."""

from __future__ import annotations

import ctypes
import gc

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


def test_another_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It collects all the same."""
    collected = []
    monkeypatch.setattr(memory, "_trim", lambda: None)
    monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
    memory.give_back()
    assert collected == [True]
