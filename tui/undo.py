"""Undo and redo of settings and edits. Where the user has been is the trail's."""

from __future__ import annotations

from dataclasses import dataclass

from .choices import SETTINGS, Choice, carried, differing, put
from .selection import Selection

LENGTH = 500
"""Steps that are remembered."""


@dataclass(frozen=True)
class Step:
    """One thing that the user did."""

    before: Selection
    """The choices before, as much as ``carried`` keeps of the selection; so ``after``."""
    after: Selection
    choices: tuple[Choice, ...]
    """What it changed."""
    visit: int = 0
    """The visit to the prompt field in which it was typed; 0: it was not."""


class Undo:
    """What the user changed, and what was undone of it."""

    def __init__(self) -> None:
        self._past: list[Step] = []
        self._future: list[Step] = []

    def record(self, before: Selection, after: Selection, visit: int = 0) -> bool:
        """The user went from one selection to another; whether that is more than a move. What is typed in one
        ``visit`` to the prompt field is one step. A page that is entered may put its choices right: that is a move."""
        choices = differing(before, after)
        if before.page != after.page:
            choices = tuple(choice for choice in choices if choice in SETTINGS)
        if not choices:
            return False
        last = self._past[-1] if self._past else None
        if visit and last is not None and last.visit == visit and {*choices} <= {*last.choices}:
            self._past[-1] = Step(last.before, carried(after, last.choices), last.choices, visit)
        else:
            self._past.append(Step(carried(before, choices), carried(after, choices), choices, visit))
            del self._past[:-LENGTH]
        self._future.clear()
        return True

    def back(self, here: Selection) -> tuple[Selection, Step] | None:
        """Without the last step, and that step; None where there is none."""
        while self._past:
            step = self._past.pop()
            self._future.append(step)
            if differing(here, there := put(here, step.before, step.choices)):
                return there, step
        return None

    def forward(self, here: Selection) -> tuple[Selection, Step] | None:
        """With the step that was undone last, and that step; None where there is none."""
        while self._future:
            step = self._future.pop()
            self._past.append(step)
            if differing(here, there := put(here, step.after, step.choices)):
                return there, step
        return None
