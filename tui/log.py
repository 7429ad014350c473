"""The log: what the user did in this run, step by step, as a script that leads to the same view again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from . import __version__
from .selection import Selection
from .steps import described

Line = tuple[str, str]
"""When, and what was done."""

LENGTH = 2000
"""Steps that are kept at least: of those before, only what they led to."""
CHUNK = 500
"""Steps that go together: each chunk keeps one selection, the one that it began at."""


@dataclass(frozen=True)
class Done:
    """The latest step, which the next may be a part of."""

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
    def lines(self) -> list[Line]:
        """A remark, and what does it again."""
        lines = [*([f"# {self.note}"] if self.note else []), *described(self.before, self.after)]
        return [(f"{self.when:%H:%M:%S}", line) for line in lines]


class Log:
    """Steps, the first one from where the app began. All but the latest are kept as their lines: in a run of days, two
    thousand selections would hold the tokens and the model of each."""

    def __init__(self, start: Selection, now: Callable[[], datetime] = datetime.now) -> None:
        self._began, self._now = now(), now
        self._chunks: list[tuple[Selection, list[list[Line]]]] = [(start, [])]
        """Where each begins, and the lines of its steps."""
        self._last: Done | None = None

    def add(self, before: Selection, after: Selection, note: str = "", visit: int = 0, cursor: bool = False) -> None:
        """The user went from one selection to another. Moves of the cursor one after the other are one step, and so is
        what is typed in one ``visit`` to the prompt field."""
        step, last = Done(self._now(), before, after, note, visit, cursor), self._last
        if last is not None and not note and ((visit and last.visit == visit) or (cursor and last.cursor)):
            step = replace(step, before=last.before)
        elif last is not None:
            self._put_away(last)
        self._last = step

    def _put_away(self, step: Done) -> None:
        steps = self._chunks[-1][1]
        steps.append(step.lines)
        if len(steps) == CHUNK:
            self._chunks.append((step.after, []))
            del self._chunks[: -(LENGTH // CHUNK) - 1]

    @property
    def lines(self) -> list[Line]:
        """When, and what was done then: one line of a script, or a remark after ``#``."""
        start = self._chunks[0][0]
        out = [(f"{self._began:%H:%M:%S}", line) for line in
               (f"model {start.open.source}", *described(Selection(open=start.open), start))]  # fmt: skip
        out += [line for _, steps in self._chunks for lines in steps for line in lines]
        return [*out, *(self._last.lines if self._last is not None else ())]

    def script(self) -> str:
        """All of it as a file that ``circuit-tui export --replay`` takes."""
        head = f"# circuit-tui {__version__}, {self._began:%Y-%m-%d %H:%M}: circuit-tui export --replay FILE"
        return "".join(f"{line}\n" for line in (head, *(line for _, line in self.lines)))
