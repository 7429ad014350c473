"""A bench whose jobs are computed on another machine, one after the other: for the export, which has no screen."""

from __future__ import annotations

import queue
import time
from typing import Any

from ..engine.bench import Context
from ..engine.events import Done, Event, Failed, Progress, Tied
from ..engine.jobs import Boot, Job, Open
from .far import FarEngine
from .reach import NoLine, Reached

LINGER = 2.0
"""Minutes for which the model is kept there while the line is cut, and for which it is tried to connect again."""


class Unanswered(Exception):
    """A job that failed over there; ``message`` and ``hint`` as it was said."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message, self.hint = message, hint


class FarBench:
    """The face of ``engine.bench.Bench``."""

    def __init__(self, reached: Reached, patience: float = 60 * LINGER) -> None:
        """``patience``: seconds for which a cut line is tried again."""
        self._said: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._engine = FarEngine(self._said.put, reached)
        self._engine.start()
        self._patience = patience
        self._opened: list[Job] = []

    def compute(self, job: Job, ctx: Context) -> Any:
        """The value of a job. Unanswered: it failed there; NoLine: the line was cut for too long."""
        wanted = [*self._opened, job] if job not in self._opened else self._opened
        there = self._engine.want(wanted)
        if job in there:
            return there[job]
        if isinstance(job, Open):
            self._opened = [*(self._opened if isinstance(job, Boot) else ()), job]
        cut: float | None = None
        while True:
            try:
                event = self._said.get(timeout=0.2)
            except queue.Empty:
                ctx.check()
                continue
            if isinstance(event, Done) and event.job == job:
                return event.result
            if isinstance(event, Failed) and event.job == job:
                raise Unanswered(event.error, event.hint)
            if isinstance(event, Progress):
                ctx.progress(event.stage, event.done, event.total)
            if isinstance(event, Tied):
                cut = (cut or time.monotonic()) if event.trouble else None
                if cut is not None and time.monotonic() - cut > self._patience:
                    raise NoLine(event.trouble)
                if event.trouble:
                    ctx.progress(f"the line to {event.host} is cut, connecting again")

    def close(self) -> None:
        """Say goodbye: nothing is kept over there."""
        self._engine.close(2.0)

    def free(self) -> None:
        """Memory is a matter of the machine over there."""
