"""Writes a session to its file while the user rests: in a thread of its own, whole or not at all, never oftener than it
takes to matter."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import notes, session
from .atomic import write
from .session import Unreadable

REST, LONGEST = 1.0, 10.0
"""Seconds without a change until it is written; at the latest after so many."""

Make = Callable[[], tuple[Path, bytes] | None]
"""What is to be written and where, as it is now; None: nothing is there yet. Called in any thread."""


class Saver:
    """Holds what is to be written."""

    def __init__(self, make: Make, said: Callable[[str], object], rest: float = REST) -> None:
        """``said``: where a sentence goes, from any thread."""
        self._make, self._said, self._rest = make, said, rest
        self._wake = threading.Condition()
        self._writing = threading.Lock()
        self._due: tuple[float, float] | None = None
        """When the first change was that is not written yet, and the last."""
        self._closed = False
        self._own: set[Path] = set()
        """Files that hold what is shown here: they may be written over."""
        self._thread: threading.Thread | None = None
        self._problem = ""

    @property
    def problem(self) -> str:
        """What went wrong the last time; empty: nothing did."""
        return self._problem

    def own(self, path: Path) -> None:
        """What is in that file is on the screen now."""
        self._own.add(path)

    def offer(self) -> None:
        """Something has changed."""
        now = time.monotonic()
        with self._wake:
            first = self._due[0] if self._due is not None else now
            self._due = first, now
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="sessions", daemon=True)
                self._thread.start()
            self._wake.notify()

    def flush(self) -> None:
        """Write now what is not written yet, in the caller's thread."""
        with self._wake:
            due, self._due = self._due, None
        if due is not None:
            self._write()

    def close(self) -> None:
        """Write what is left, and end."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self.flush()

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._due is None and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                assert self._due is not None
                first, last = self._due
                left = min(last + self._rest, first + LONGEST) - time.monotonic()
                if left > 0:
                    self._wake.wait(left)
                    continue
            self.flush()

    def _write(self) -> None:
        with self._writing:
            try:
                made = self._make()
                if made is None:
                    return
                path, data = made
                told = "" if path in self._own else self._aside(path)
                write(path, data)
                self._own.add(path)
            except OSError as error:
                told = f"The session cannot be kept in {session.folder()} ({error.strerror or error}): make room there."
            if told and told != self._problem:
                self._said(told)
            self._problem = told

    @staticmethod
    def _aside(path: Path) -> str:
        """Make room for a first session: that of another run stays, and so does what could not be read."""
        if not os.path.lexists(path):
            return ""
        try:
            session.read(path)
        except Unreadable:
            moved = path.rename(notes.unused(path))
            return f"The session before could not be read. It is {moved.name} now, and this one is in its place."
        path.replace(path.with_name(f"{path.stem}.before.json"))
        return ""
