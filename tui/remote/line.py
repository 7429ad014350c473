"""One connection: the process that is ssh (or stands in for it) and the frames on its pipes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from . import coding, frames, talk
from .frames import Frame

KEPT = 4000
"""Characters of standard error that are remembered."""


class Line(Protocol):
    """Frames to and from the other side."""

    @property
    def silent(self) -> float:
        """Seconds since something came."""

    def begin(self) -> None:
        """Find the first frame. Ended, Garbled: there is none."""

    def read(self) -> Frame: ...
    def send(self, message: talk.Message, more: dict[str, object] | None = None) -> None: ...
    def close(self) -> None:
        """End it at once."""

    def leave(self) -> None:
        """Say that nothing more is sent."""

    def why(self) -> tuple[int | None, str]:
        """The exit code of what has ended, and what it said on standard error."""


class Pipes:
    """Frames on two descriptors."""

    def __init__(self, down: int, up: int) -> None:
        self._up = up
        self._heard = time.monotonic()
        self._reader = frames.Reader(down, self._note)

    @property
    def silent(self) -> float:
        return time.monotonic() - self._heard

    def begin(self) -> None:
        self._reader.find_start()

    def read(self) -> Frame:
        return self._reader.read()

    def send(self, message: talk.Message, more: dict[str, object] | None = None) -> None:
        header, arrays = coding.encode(message)
        frames.write(self._up, header | (more or {}), arrays)

    def _note(self, count: int) -> None:
        self._heard = time.monotonic()


class Process(Pipes):
    """Frames on the pipes of a child process."""

    def __init__(self, arguments: Sequence[str], alone: bool, show: Callable[[str], object] | None = None) -> None:
        """``alone``: without this terminal, so that it can neither ask nor write there, and outlives a Ctrl+C. ``show``
        is given the lines that it writes on standard error before the first frame. OSError: it cannot be started."""
        self._process = subprocess.Popen(
            list(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=alone, bufsize=0,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        super().__init__(self._process.stdout.fileno(), self._process.stdin.fileno())
        self._said = ""
        self._show = show
        self._listener = threading.Thread(target=self._listen, name="ssh", daemon=True)
        self._listener.start()

    def begin(self) -> None:
        try:
            super().begin()
        finally:
            self._show = None

    def close(self) -> None:
        self.leave()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.3)
        self._process.kill()
        self._process.wait()

    def leave(self) -> None:
        # Not closed: a thread may still be writing, and the number may be another file's by then.
        nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nothing, self._up, inheritable=False)
        os.close(nothing)

    def why(self) -> tuple[int | None, str]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._listener.join(0.5)
        return self._process.poll(), self._said

    def _listen(self) -> None:
        assert self._process.stderr is not None
        descriptor = self._process.stderr.fileno()
        while data := os.read(descriptor, 4096):
            text = data.decode("utf-8", "replace")
            self._said = (self._said + text)[-KEPT:]
            if self._show is not None:
                self._show("".join(char if char.isprintable() or char == "\n" else " " for char in text))
