"""A worker as the bench sees it: what it was told, what it has to say, and whether it is still there."""

from __future__ import annotations

import contextlib
import os
import platform
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..engine.jobs import Job, Open
from ..results import ModelKey
from .orders import (
    About,
    Adopt,
    Batch,
    BatchDone,
    Batches,
    Ended,
    Order,
    Over,
    Release,
    Report,
    Start,
    Stays,
)
from .values import owned
from .worker import Worker

LISTENS = 2.0
"""Seconds that one question for news stays with a worker which has none."""
LIVES = 3
"""So often a worker is started, in the place of one that was lost, until a model is opened again."""


@dataclass(frozen=True)
class Needs:
    """What one worker takes of the cluster."""

    gpus: int
    threads: int


class Lost(Exception):
    """The worker that a run was on is not there any more."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(f"{lane.name} was lost")
        self.lane = lane


class Held:
    """The value of a part that stays on a worker. When nobody holds this any more, the worker forgets the part."""

    def __init__(self, lane: Lane, mark: int, nbytes: int) -> None:
        self.nbytes = nbytes
        """What the cache counts."""
        self._forget = weakref.finalize(self, lane.release, mark, lane.life)

    def become(self, other: Held) -> None:
        """The value was made anew, on another worker it may be: ``other``, which this stands for from now on."""
        self._forget()
        if (found := other._forget.detach()) is not None:
            _, release, arguments, _ = found
            self._forget = weakref.finalize(self, release, *arguments)


class Lane:
    """One worker of the cluster, and its successors if it is lost. For one thread, but for ``release``."""

    def __init__(self, number: int, needs: Needs) -> None:
        self.number = number
        """Counted from 1."""
        self.about: About | None = None
        """What it is made of; None: it is not there, or not yet."""
        self.is_coming = False
        """Whether the cluster makes one."""
        self.key: ModelKey | None = None
        """The model that is open on it."""
        self.opening: Open | None = None
        """What it was told to open, and has not opened yet."""
        self.busy = 0
        """The number of what it computes; 0: nothing."""
        self.batch: int | None = None
        """Which batch of a sweep it computes."""
        self.sweep = 0
        """The sweep whose batches it was told."""
        self.life = 0
        """How often it was started."""
        self.reports: deque[Report] = deque()
        """What it has said, and nobody has read yet."""
        self._left = LIVES
        self._needs = needs
        self._actor: Any = None
        self._arrival: Any = None
        self._question: Any = None
        self._released: deque[tuple[int, int]] = deque()

    @property
    def name(self) -> str:
        """``worker 2 on gpu-3``."""
        return f"worker {self.number}{f' on {self.about.node}' if self.about else ''}"

    def renew(self) -> None:
        """Forget how often it was lost."""
        self._left = LIVES

    def start(self) -> bool:
        """Ask the cluster for a worker. False: it was lost too often."""
        import ray

        self.about, self.key, self.opening, self.busy, self.batch, self.sweep = None, None, None, 0, None, 0
        self.reports.clear()
        self.is_coming = self._left > 0
        if not self.is_coming:
            return False
        self.life += 1
        self._left -= 1
        self._question = None
        made = ray.remote(Worker).options(
            name=f"circuit-tui-{platform.node()}-{os.getpid()}-{self.number}-{self.life}", num_cpus=1,
            num_gpus=self._needs.gpus, max_concurrency=4, max_restarts=0, scheduling_strategy="SPREAD",
        )  # fmt: skip
        self._actor = made.remote(self._needs.threads)
        self._arrival = self._actor.about.remote()
        return True

    def arrives(self) -> bool:
        """Whether it has just come. Lost where it could not be made."""
        self.about = self._got(self._arrival)
        self.is_coming = self.about is None
        return not self.is_coming

    def begin(self, number: int, job: Job) -> None:
        """Start a run on it, which is at rest."""
        self.busy = number
        self.opening = job if isinstance(job, Open) else None
        self.tell(Start(number, job, number))

    def has(self, key: ModelKey, adopts: bool = False) -> None:
        """It has opened this model; ``adopts``: and calls it otherwise, but is to call it so."""
        self.key = key
        if adopts:
            self.tell(Adopt(key))

    def give(self, sweep: int, jobs: tuple[Job, ...], index: int) -> None:
        """Have it compute a batch; for who is computing the sweep, beside that."""
        self.busy = self.busy or sweep
        told = [] if self.sweep == sweep else [Batches(sweep, jobs)]
        self.sweep, self.batch = sweep, index
        self.tell(*told, Batch(sweep, index))

    def gave(self, report: BatchDone) -> None:
        """It has computed its batch."""
        self.batch = None
        if self.busy == report.sweep:
            self.busy = 0

    def left_over(self, report: Report) -> None:
        """Words that nobody waits for: they may be the end of what it was at."""
        if isinstance(report, Over | BatchDone):
            number = report.number if isinstance(report, Over) else report.sweep
            if number == self.busy:
                self.busy, self.batch, self.opening = 0, None, None
        elif isinstance(report, Ended) and isinstance(report.value, Stays):
            self.release(report.value.mark, self.life)

    def tell(self, *orders: Order) -> None:
        """Orders, behind what may be forgotten by now."""
        marks = tuple(mark for mark, life in self._taken() if life == self.life)
        first = (Release(marks),) if marks else ()
        self._actor.tell.remote([*first, *orders])

    def stop(self, number: int) -> None:
        """Stop what it computes, up to the run of this number."""
        self._actor.stop.remote(number)

    def release(self, mark: int, life: int) -> None:
        """A part may be forgotten. From any thread."""
        self._released.append((mark, life))

    def _taken(self) -> Iterable[tuple[int, int]]:
        with contextlib.suppress(IndexError):
            while True:
                yield self._released.popleft()

    def question(self) -> Any:
        """What stands for its next words."""
        if self._question is None:
            self._question = self._actor.hear.remote(LISTENS)
        return self._question

    def read(self) -> None:
        """Take its words, which are there. Lost where it is not."""
        words = self._got(self._question)
        if words is not None:
            self._question = None
            self.reports.extend(map(owned, words))

    def _got(self, reference: Any) -> Any | None:
        """What a reference stands for; None: it is not there yet."""
        import ray

        try:
            if not ray.wait([reference], timeout=0)[0]:
                return None
            return ray.get(reference)
        except ray.exceptions.RayError as error:
            raise Lost(self) from error

    def end(self) -> None:
        """Leave the cluster."""
        import ray

        self.about, self.is_coming = None, False
        if self._actor is not None:
            with contextlib.suppress(Exception):
                ray.kill(self._actor, no_restart=True)


def heard(lanes: Iterable[Lane], seconds: float) -> list[Lane]:
    """The workers that have something to say, within so many seconds; whoever is lost is among them."""
    import ray

    questions: Mapping[Any, Lane] = {lane.question(): lane for lane in lanes}
    ready, _ = ray.wait(list(questions), num_returns=1, timeout=seconds)
    return [questions[reference] for reference in ready]


def model_of(job: Job) -> ModelKey | None:
    """The model that a job is asked of."""
    run = getattr(job, "run", None)
    key: ModelKey | None = getattr(job, "model", None) if run is None else run.model
    return key
