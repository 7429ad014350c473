"""The log: what the user did in this run, step by step, as a script that leads to the same view again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from . import __version__
from .selection import Selection
from .steps import described

LENGTH = 2000
"""Steps that are kept: of those before, only what they led to."""


@dataclass(frozen=True)
class Done:
    """One step."""

    when: datetime
    before: Selection
    after: Selection
    note: str = ""
    """What it was, where that is more than what it changed."""
    visit: int = 0
    """The visit to the prompt field in which it was typed; 0: it was not."""
    cursor: bool = False
    """Whether only the cursor moved."""

    @property
    def lines(self) -> list[str]:
        """A remark, and what does it again."""
        return [*([f"# {self.note}"] if self.note else []), *described(self.before, self.after)]


class Log:
    """Steps, the first one from where the app began."""

    def __init__(self, start: Selection, now: Callable[[], datetime] = datetime.now) -> None:
        self._start, self._began, self._now = start, now(), now
        self._steps: list[Done] = []

    def add(self, before: Selection, after: Selection, note: str = "", visit: int = 0, cursor: bool = False) -> None:
        """The user went from one selection to another. Moves of the cursor one after the other are one step, and so is
        what is typed in one ``visit`` to the prompt field."""
        step = Done(self._now(), before, after, note, visit, cursor)
        last = self._steps[-1] if self._steps else None
        if last is not None and not note and ((visit and last.visit == visit) or (cursor and last.cursor)):
            self._steps[-1] = replace(step, before=last.before)
            return
        self._steps.append(step)
        if len(self._steps) > LENGTH:
            self._start = self._steps.pop(0).after

    @property
    def lines(self) -> list[tuple[str, str]]:
        """When, and what was done then: one line of a script, or a remark after ``#``."""
        start = [f"model {self._start.open.source}", *described(Selection(open=self._start.open), self._start)]
        out = [(f"{self._began:%H:%M:%S}", line) for line in start]
        return [*out, *((f"{step.when:%H:%M:%S}", line) for step in self._steps for line in step.lines)]

    def script(self) -> str:
        """All of it as a file that ``circuit-tui export --replay`` takes."""
        head = f"# circuit-tui {__version__}, {self._began:%Y-%m-%d %H:%M}: circuit-tui export --replay FILE"
        return "".join(f"{line}\n" for line in (head, *(line for _, line in self.lines)))
