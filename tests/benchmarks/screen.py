"""A child of the benchmarks on a pseudo-terminal, with what it drew when."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyte

from tests.e2e.scenario import CONVENTIONS, LOAD, head_of
from tests.e2e.terminal import Terminal, environment

WORDS = ("the", "capital", "of", "France", "is", "Paris", "and")
LONG = "The " + " ".join(WORDS[i % 7] for i in range(1, 63))
"""63 words, a token each: 64 with the BOS, as many as the demo reads."""


class Child(Terminal):
    """Runs ``tests.benchmarks.child``."""

    def __init__(
        self, kind: str, *arguments: str, size: tuple[int, int] = (120, 40), rate: float | None = None, **variables: str
    ) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name)
        self.log = path / "log"
        self.log.touch()
        self.begun = time.monotonic()
        command = [sys.executable, "-m", "tests.benchmarks.child", kind, str(self.log), *arguments]
        super().__init__(command, environment(path, **variables), path, size, rate)

    def close(self) -> None:
        super().close()
        self.folder.cleanup()

    def open(self) -> None:
        """Wait until the model is there and all that belongs to its first head."""
        self.wait_for(CONVENTIONS, LOAD)
        self.wait_for(lambda text: "→ " in text and head_of(text) and "softmax(scaled)" in text, LOAD)
        self.settle(1.5, LOAD)

    def noted(self) -> list[list[str]]:
        """The log, line by line, word by word."""
        return [line.split() for line in self.log.read_text().splitlines()]

    def painted(self, text: str) -> float:
        """Seconds from here until the child has written this text."""
        start, wanted = time.monotonic(), text.encode()
        while wanted not in self.raw:
            assert self.process.poll() is None, self.text
            assert time.monotonic() - start < LOAD
            time.sleep(0.001)
        return time.monotonic() - start

    def after(self, key: str, quiet: float = 0.15, least: int = 1) -> tuple[float, int]:
        """Press a key: seconds until the last byte of what it changed, and how many bytes that was."""
        before, start = self.count, time.monotonic()
        self.press(key)
        deadline = start + 1
        while self.count < before + least and time.monotonic() < deadline:
            time.sleep(0.0005)
        self.settle(quiet)
        return self.last_byte - start, self.count - before


@contextlib.contextmanager
def taped(child: Child) -> Iterator[list[tuple[float, int]]]:
    """When each byte arrived, to 2 ms: pairs of a time and the count of bytes until then."""
    tape = [(time.monotonic(), child.count)]
    going = True

    def record() -> None:
        while going:
            if child.count != tape[-1][1]:
                tape.append((time.monotonic(), child.count))
            time.sleep(0.002)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield tape
    finally:
        going = False
        thread.join()


def last_change(child: Child, tape: list[tuple[float, int]], lines: slice, columns: slice) -> float:
    """When a part of the screen last changed."""
    size = child._emulator.columns, child._emulator.lines
    screen = pyte.Screen(*size)
    stream = pyte.ByteStream(screen)
    raw, done, shown, when = bytes(child.raw), 0, None, tape[0][0]
    for moment, count in tape:
        stream.feed(_readable(raw[done:count]))
        done = count
        now = [
            [(char.data, char.fg, char.bg, char.reverse) for char in map(screen.buffer[y].__getitem__, range(size[0]))]
            [columns]
            for y in range(*lines.indices(size[1]))
        ]  # fmt: skip
        if now != shown:
            shown, when = now, moment
    return when


def _readable(data: bytes) -> bytes:
    from tests.e2e.terminal import _UNKNOWN_TO_PYTE

    return _UNKNOWN_TO_PYTE.sub(b"", data)
