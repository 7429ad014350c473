"""What the engine and its bench know of each other: where jobs are computed, and what a computation may ask for."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from ..memory import give_back
from ..results import Result
from .jobs import Job, Open

log = logging.getLogger(__name__)


class Cancelled(BaseException):
    """The result is not wanted any more. A BaseException, so that ``except Exception`` in a library lets it through."""


class Context(Protocol):
    """What a computation may ask of whoever runs it: the engine, or the export in place."""

    def get(self, job: Job) -> Any:
        """The value of another job, from the cache or computed now and cached."""

    def each(self, jobs: Sequence[Job]) -> Iterator[Any]:
        """The values of the batches of a sweep, in this order: one after another, or side by side where there are
        several benches. None of them may depend on another, nor its value on where it was computed."""
        return map(self.get, jobs)

    def known(self, job: Job) -> Any | None:
        """The value of another job if it is there already."""
        return None

    def check(self) -> None:
        """Raise Cancelled if nobody waits for this any more. Cheap: call it in every hook and loop."""

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say how far this is; ``total`` 0 if that is unknown. A stage keeps its name while ``done`` counts up."""

    def partial(self, result: Result) -> None:
        """Show what there is so far."""


class Bench(Protocol):
    """Where jobs are computed: the model and all that belongs to the thread that made it."""

    def compute(self, job: Job, ctx: Context) -> Any:
        """The value of a job; never None."""

    def close(self) -> None: ...

    def free(self) -> None:
        """Give back memory that can be had again, after memory ran out."""


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Without garbage collection: during imports and a model's load it stops the screen for 70 to 250 ms at a time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Workshop:
    """The bench of the engine's thread, made for the first job; what a broken one raises at its end is logged."""

    def __init__(self, make: Callable[[], Bench]) -> None:
        self._make = make
        self._bench: Bench | None = None

    @property
    def open(self) -> bool:
        """Whether there is a bench; making one takes seconds."""
        return self._bench is not None

    def compute(self, job: Job, ctx: Context) -> Any:
        """The value of one job."""
        if self._bench is None:
            with collector_paused():
                self._bench = self._make()
                # The libraries stay for good and are 430,000 objects. Looking through them costs 350 ms a time, in
                # which the screen stands still; frozen, 0.
                gc.freeze()
            ctx.check()
        if not isinstance(job, Open):
            return self._bench.compute(job, ctx)
        with collector_paused():
            value = self._bench.compute(job, ctx)
        # Not frozen: a model is full of cycles, and frozen ones are never freed (220 of 220 parameters stayed after the
        # model was dropped). Some ms, and the model before this one is gone.
        give_back()
        return value

    def free(self) -> None:
        """Give back memory that can be had again."""
        if self._bench is not None:
            try:
                self._bench.free()
            except Exception:
                log.exception("freeing memory failed")
        give_back()

    def close(self) -> None:
        """The thread ends."""
        if self._bench is not None:
            try:
                self._bench.close()
            except BaseException:
                log.exception("closing the bench failed")
