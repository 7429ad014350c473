"""A child of the benchmarks on a pseudo-terminal, with what it drew when, and what must be on its screen for a figure
to mean what its row says."""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyte

from tests.e2e.scenario import CONVENTIONS, LOAD, head_of, title_of
from tests.e2e.terminal import Terminal, environment
from tui.terminal import FRAMES_PER_SECOND, SSH_FRAMES_PER_SECOND

BOOTING = re.compile(r"from files|importing |loading weights|checking files|self-check|MB of weights")
"""What the first line says while the model is loaded behind its files."""
WORDS = ("the", "capital", "of", "France", "is", "Paris", "and")
LONG = "The " + " ".join(WORDS[i % 7] for i in range(1, 63))
"""63 words, a token each: 64 with the BOS, as many as the demo reads."""


class Shown(NamedTuple):
    """What a screen shows, read from its text alone."""

    title: str
    """``L0H0 · pattern``."""
    matrix: bool
    """Whether the picture is a matrix: its axes, or the part in sight, stand below it."""
    whole: bool
    """Whether all of the matrix is in sight."""
    panel: str
    """Title of the side panel; empty where it is closed."""
    middle: tuple[slice, slice]
    """Lines and columns of the picture."""


def shown(text: str) -> Shown:
    """Read a screen."""
    lines = text.splitlines()
    tabs = next((y for y, line in enumerate(lines) if re.search(r"─\s+1 \S", line)), 0)
    panes = [pane.strip("─╮ ") for pane in lines[tabs].split("╭─")[1:]]
    axes = next((y for y, line in enumerate(lines) if re.search(r"↓ .*→ |\d–\d+/\d+ | in blocks ", line)), 0)
    edges = [x for x, letter in enumerate(lines[tabs]) if letter in "╭╮│"]
    left, right = (edges[2], edges[3]) if len(edges) > 3 else (edges[-1] if edges else 0, len(lines[tabs]))
    title = re.sub(r"\s{2,}.*", "", title_of(text).strip())
    return Shown(
        title, axes > 0, axes > 0 and not re.search(r"\d–\d+/\d", lines[axes]),
        panes[2] if len(panes) > 2 else "", (slice(tabs + 3, axes), slice(left + 1, right)),
    )  # fmt: skip


class Child(Terminal):
    """Runs ``tests.benchmarks.child``."""

    def __init__(
        self, kind: str, *arguments: str, size: tuple[int, int] = (140, 40), rate: float | None = None, **variables: str
    ) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name)
        self.log = path / "log"
        self.log.touch()
        self.begun = time.monotonic()
        command = [sys.executable, "-m", "tests.benchmarks.child", kind, str(self.log), *arguments]
        self.color = dict(itertools.pairwise(arguments)).get("--color", "256")
        # As the command line does before Textual is imported, which the child imports first.
        frames = SSH_FRAMES_PER_SECOND if "SSH_CONNECTION" in variables else FRAMES_PER_SECOND
        variables = {"TEXTUAL_COLOR_SYSTEM": self.color, "TEXTUAL_FPS": frames} | variables
        super().__init__(command, environment(path, **variables), path, size, rate)

    def close(self) -> None:
        super().close()
        self.folder.cleanup()

    def open(self) -> None:
        """Wait until the model is there, loaded behind its files, and all that belongs to its first head."""
        self.wait_for(CONVENTIONS, LOAD)
        self.wait_for(lambda text: not BOOTING.search(text), LOAD)
        self.wait_for(lambda text: "→ " in text and head_of(text) and "softmax(scaled)" in text, LOAD)
        self.settle(1.5, LOAD)
        found = {name for name, code in (("truecolor", b"38;2;"), ("256", b"38;5;")) if code in self.raw}
        assert found == {self.color}, f"drawn in {found}, not in {self.color}"

    def expect(self, title: str, *, panel: bool, whole: bool | None = None) -> Shown:
        """Fail unless the screen shows this matrix, whose title begins so: else the figure is about something else."""
        found = shown(self.text)
        wanted = (title, True, found.whole if whole is None else whole, panel)
        seen = (found.title[: len(title)], found.matrix, found.whole, bool(found.panel))
        assert seen == wanted, f"{wanted} wanted, {seen} seen:\n{self.text}"
        return found

    def close_panel(self) -> None:
        """``p`` goes through what the side panel shows, and closes it after the last."""
        for _ in range(9):
            if not shown(self.text).panel:
                return
            self.after("p", 0.5)
        raise AssertionError(f"the side panel does not close:\n{self.text}")

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
    """When a part of the screen last changed, which it must have."""
    size = child._emulator.columns, child._emulator.lines
    screen = pyte.Screen(*size)
    stream = pyte.ByteStream(screen)
    raw, done, before, when = bytes(child.raw), 0, None, tape[0][0]
    for moment, count in tape:
        stream.feed(_readable(raw[done:count]))
        done = count
        now = [
            [(char.data, char.fg, char.bg, char.reverse) for char in map(screen.buffer[y].__getitem__, range(size[0]))]
            [columns]
            for y in range(*lines.indices(size[1]))
        ]  # fmt: skip
        if now != before:
            before, when = now, moment
    assert when > tape[0][0], f"nothing changed there:\n{child.text}"
    return when


def _readable(data: bytes) -> bytes:
    from tests.e2e.terminal import _UNKNOWN_TO_PYTE

    return _UNKNOWN_TO_PYTE.sub(b"", data)
