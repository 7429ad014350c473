"""Fake jobs and a fake bench whose computations the test drives, so that nothing depends on how long things take."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tui.engine.bench import Bench, Cancelled, Context
from tui.engine.engine import Engine
from tui.engine.events import Done, Event, Failed, Idle
from tui.engine.jobs import Job

SOON = 5.0
"""Seconds until a test gives up waiting. Never slept: every wait ends when the thing it waits for happens."""


@dataclass(frozen=True)
class Forward(Job):
    """A shared part."""

    text: str = "prompt"


@dataclass(frozen=True)
class Head(Job):
    """Asks for its forward pass first."""

    index: int
    text: str = "prompt"

    def needs(self) -> frozenset[Job]:
        return frozenset({Forward(self.text)})


@dataclass(frozen=True)
class Plain(Job):
    """Needs nothing."""

    name: str = "plain"


def wait_until(true: Callable[[], bool], seconds: float = SOON) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


class Gate:
    """A place in a computation where the test can hold it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def hold(self, ctx: Context) -> None:
        self.entered.set()
        while not self.opened.wait(0.001):
            ctx.check()
        ctx.check()

    def wait(self) -> None:
        assert self.entered.wait(SOON), "the computation never came here"


class FakeBench:
    """Counts starts, ends and cancels; holds jobs at their gates; answers by what ``answers`` says."""

    def __init__(self) -> None:
        self.started: list[Job] = []
        self.finished: list[Job] = []
        self.cancelled: list[Job] = []
        self.gates: dict[Job, Gate] = {}
        self.answers: dict[Job, Callable[[Context], Any]] = {}
        self.threads: set[int] = set()
        self.freed = 0
        self.closed = 0

    def gate(self, job: Job) -> Gate:
        return self.gates.setdefault(job, Gate())

    def compute(self, job: Job, ctx: Context) -> Any:
        self.threads.add(threading.get_ident())
        self.started.append(job)
        try:
            if isinstance(job, Head):
                ctx.get(Forward(job.text))
            if job in self.gates:
                self.gates[job].hold(ctx)
            value = self.answers[job](ctx) if job in self.answers else f"value of {job}"
        except Cancelled:
            self.cancelled.append(job)
            raise
        self.finished.append(job)
        return value

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed += 1

    def free(self) -> None:
        self.freed += 1

    def starts(self, job: Job) -> int:
        return Counter(self.started)[job]


class Events(list[Event]):
    """What the engine emitted, in order."""

    def of(self, kind: type) -> list[Any]:
        return [event for event in list(self) if isinstance(event, kind)]

    @property
    def done(self) -> list[Job]:
        return [event.job for event in self.of(Done)]

    @property
    def failed(self) -> list[Job]:
        return [event.job for event in self.of(Failed)]

    def settled(self, *jobs: Job) -> Callable[[], bool]:
        return lambda: set(jobs) <= {*self.done, *self.failed}

    def idle(self, times: int = 1) -> Callable[[], bool]:
        return lambda: len(self.of(Idle)) >= times


@dataclass
class Rig:
    """An engine, what it computes with, and what it said."""

    engine: Engine
    bench: FakeBench
    events: Events

    def settle(self, *jobs: Job) -> None:
        """Want these and wait until the engine rests."""
        before = len(self.events.of(Idle))
        self.engine.want(jobs)
        wait_until(self.events.idle(before + 1))


__all__ = ["SOON", "Bench", "Events", "FakeBench", "Forward", "Gate", "Head", "Plain", "Rig", "wait_until"]
