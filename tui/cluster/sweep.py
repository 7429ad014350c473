"""A sweep whose batches several workers share: which are done, which are under way, and what the sweep has been given.

Values go to the sweep in the order of its batches, whoever was first. What is done is handed to the engine at once, so
that a sweep which is stopped, or whose worker is lost, goes on behind it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ..engine.bench import Context
from ..engine.jobs import Job
from .lane import Held
from .orders import Fault, Values


class Sweep:
    """For one thread."""

    def __init__(self, number: int, jobs: tuple[Job, ...], ctx: Context) -> None:
        """``ctx``: that of the job whose batches these are."""
        self.number = number
        self.jobs = jobs
        self._ctx = ctx
        self._given = 0
        self._there: dict[int, Any] = {}
        self._waiting: deque[int] = deque()
        for index, job in enumerate(jobs):
            value = ctx.known(job)
            if value is None or isinstance(value, Held):
                self._waiting.append(index)
            else:
                self._there[index] = value

    @property
    def is_over(self) -> bool:
        """Whether the sweep has been given everything."""
        return self._given == len(self.jobs)

    def next(self) -> int | None:
        """The batch that is computed next; None: all are done or under way."""
        return self._waiting.popleft() if self._waiting else None

    def again(self, index: int) -> None:
        """Whoever computed this batch is lost: it is the next one."""
        self._waiting.appendleft(index)

    def came(self, index: int, value: Any) -> None:
        """A batch is done, or has failed. The engine keeps its value."""
        self._there[index] = value
        if not isinstance(value, Fault):
            self._ctx.get(self.jobs[index])

    def due(self) -> Values | None:
        """What the sweep is to be given now."""
        out: list[tuple[int, Any]] = []
        while self._given in self._there:
            out.append((self._given, self._there.pop(self._given)))
            self._given += 1
        return Values(tuple(out)) if out else None
