"""A worker of the cluster: one copy of the model, and the thread that computes with it.

``tell``, ``hear`` and ``stop`` may be called from any thread. All of the model is the business of one thread, which
takes orders one after another. A run that needs a part asks the bench for it (``Ask``) and waits; the bench, whose
engine decides, has it computed here (``Make``) or sends it. A run that is a sweep hands its batches to the bench
(``AskEach``), and computes some of them itself while it waits for the others.

A batch is computed without asking: the parts that it needs are made here and stay until another sweep begins.
"""

from __future__ import annotations

import hashlib
import os
import platform
import queue
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from .. import __version__, terminal
from ..engine.bench import Cancelled, Context
from ..engine.cache import size_of
from ..engine.jobs import Job, Open
from ..results import Result
from .orders import (
    About,
    Adopt,
    Ask,
    AskEach,
    Batch,
    BatchDone,
    Batches,
    Ended,
    Fault,
    Free,
    Make,
    Opened,
    Order,
    Over,
    Release,
    Report,
    SoFar,
    Start,
    Stays,
    Take,
    Values,
    Wake,
    Went,
)
from .values import travels

if TYPE_CHECKING:
    from ..engine.run import Bench

SHOWN = 0.1
"""Seconds between two partial results that are sent."""
PACKAGES = ("torch", "transformers", "transformer-lens")
"""Whose versions numbers may depend on."""
SAMPLE = 64
"""Rows of the embedding that are read to tell weights apart."""


def versions() -> tuple[tuple[str, str], ...]:
    """Of what numbers may depend on, here."""
    return (("circuit-tui", __version__), *((name, metadata.version(name)) for name in PACKAGES))


class Worker:
    """Runs in a process of its own; made and called through Ray."""

    def __init__(self, threads: int) -> None:
        """``threads``: CPU threads where the model is opened with no number of its own."""
        for name, value in terminal.LIBRARIES.items():
            os.environ.setdefault(name, value)
        self._threads = threads
        self._inbox: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._reports: list[Report] = []
        self._spoken = threading.Condition()
        self._stopped = 0
        """Runs up to this number are to stop."""
        self._bench: Bench | None = None
        self._kept: dict[Job, tuple[int, Any]] = {}
        """Parts that the engine holds, with their marks."""
        self._shared: dict[Job, Any] = {}
        """Parts of the sweep that runs."""
        self._sweeps: dict[int, tuple[Job, ...]] = {}
        threading.Thread(target=self._live, name="bench", daemon=True).start()

    # --- called from outside ---

    def about(self) -> About:
        """Comes once the libraries are there."""
        import torch

        device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
        return About(platform.node(), versions(), device, os.getpid())

    def tell(self, orders: Sequence[Order]) -> None:
        """Orders for the thread, in this order."""
        for order in orders:
            self._inbox.put(order)

    def stop(self, number: int) -> None:
        """Stop the run of this number at its next check, wherever it is."""
        self._stopped = max(self._stopped, number)
        self._inbox.put(Wake())

    def hear(self, seconds: float) -> list[Report]:
        """What there is to say, as soon as there is something; empty after so many seconds."""
        with self._spoken:
            self._spoken.wait_for(lambda: bool(self._reports), seconds)
            reports, self._reports = self._reports, []
        return reports

    # --- the thread ---

    def say(self, report: Report) -> None:
        """Of several words on how far a run is, the last one counts."""
        with self._spoken:
            if isinstance(report, Went) and self._reports and isinstance(self._reports[-1], Went):
                self._reports.pop()
            self._reports.append(report)
            self._spoken.notify()

    def stops(self, number: int) -> bool:
        """Whether a run is to stop."""
        return number <= self._stopped

    def _live(self) -> None:
        import torch

        torch.set_num_threads(self._threads)  # before the import, which takes what there is for all there are
        from ..engine.run import Bench

        self._bench = Bench()
        while True:
            order = self._inbox.get()
            if isinstance(order, Start):
                self._serve(order)
            else:
                self._obey(order)

    def _serve(self, order: Start) -> None:
        job, ctx = order.job, Here(self, order.number)
        try:
            value = self.make(job, ctx)
            if isinstance(job, Open):
                assert self._bench is not None
                self._shared.clear()
                self.say(Ended(Opened(value, digest(self._bench))))
            else:
                self.keep(job, value, order.mark)
        except Cancelled:
            pass
        except BaseException as error:
            self.say(Fault.of(error, traceback.format_exc()))
        finally:
            self.say(Over(order.number))

    def _obey(self, order: Order) -> None:
        """What can be done at any time."""
        assert self._bench is not None
        if isinstance(order, Batches):
            self._shared.clear()
            self._sweeps = {sweep: jobs for sweep, jobs in self._sweeps.items() if not self.stops(sweep)}
            self._sweeps[order.sweep] = order.jobs
        elif isinstance(order, Batch):
            self._compute(order)
        elif isinstance(order, Release):
            self._kept = {job: kept for job, kept in self._kept.items() if kept[0] not in order.marks}
        elif isinstance(order, Adopt):
            self._bench.adopt(order.key)
        elif isinstance(order, Free):
            self._shared.clear()
            self._bench.free()

    def _compute(self, order: Batch) -> None:
        try:
            ctx = Batched(self, order.sweep)
            ctx.check()
            value = self.make(self._sweeps[order.sweep][order.index], ctx)
        except Cancelled:
            self.say(Over(order.sweep))
        except BaseException as error:
            self.say(BatchDone(order.sweep, order.index, Fault.of(error, traceback.format_exc())))
        else:
            self.say(BatchDone(order.sweep, order.index, value))

    def make(self, job: Job, ctx: Context) -> Any:
        """A job's value, computed now."""
        assert self._bench is not None
        ctx.check()
        return self._bench.compute(job, ctx)

    def kept(self, job: Job) -> Any | None:
        """The value of a part that is here."""
        if job in self._kept:
            return self._kept[job][1]
        return self._shared.get(job)

    def share(self, job: Job, value: Any) -> None:
        """Keep a part as long as the sweep runs."""
        self._shared[job] = value

    def keep(self, job: Job, value: Any, mark: int) -> None:
        """Say that a part is done; what cannot travel is kept."""
        if travels(value):
            self.say(Ended(value))
        else:
            self._kept[job] = (mark, value)
            self.say(Ended(Stays(mark, size_of(value))))

    def answer(self, number: int) -> Make | Take | Values:
        """What the bench says to what was asked. Meanwhile batches are computed."""
        while True:
            if self.stops(number):
                raise Cancelled
            order = self._inbox.get()
            if isinstance(order, Make | Take | Values):
                return order
            self._obey(order)


class Here(Context):
    """The context of a run: what it needs is asked of the bench, whose engine knows what is wanted."""

    def __init__(self, worker: Worker, number: int) -> None:
        self._worker, self._number = worker, number
        self._shown = -SHOWN

    def get(self, job: Job) -> Any:
        self.check()
        value = self._worker.kept(job)
        if value is not None:
            return value
        self._worker.say(Ask(job))
        answer = self._worker.answer(self._number)
        if isinstance(answer, Take):
            return answer.value
        assert isinstance(answer, Make)
        try:
            value = self._worker.make(job, Here(self._worker, self._number))
        except Cancelled:
            raise
        except Exception as error:
            self._worker.say(Fault.of(error, traceback.format_exc()))
            raise
        self._worker.keep(job, value, answer.mark)
        return value

    def each(self, jobs: Sequence[Job]) -> Iterator[Any]:
        return self._each(tuple(jobs)) if len(jobs) > 1 else map(self.get, jobs)

    def _each(self, jobs: tuple[Job, ...]) -> Iterator[Any]:
        self._worker.say(AskEach(jobs))
        there: dict[int, Any] = {}
        for index in range(len(jobs)):
            while index not in there:
                answer = self._worker.answer(self._number)
                assert isinstance(answer, Values)
                there.update(answer.values)
            value = there.pop(index)
            if isinstance(value, Fault):
                raise value.raised()
            yield value

    def check(self) -> None:
        if self._worker.stops(self._number):
            raise Cancelled

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        self._worker.say(Went(stage, done, total))

    def partial(self, result: Result) -> None:
        now = time.monotonic()
        if now - self._shown >= SHOWN:
            self._shown = now
            self._worker.say(SoFar(result))


class Batched(Context):
    """The context of a batch: it asks nobody, and says nothing but its end."""

    def __init__(self, worker: Worker, sweep: int) -> None:
        self._worker, self._sweep = worker, sweep

    def get(self, job: Job) -> Any:
        self.check()
        value = self._worker.kept(job)
        if value is None:
            value = self._worker.make(job, self)
            self._worker.share(job, value)
        return value

    def check(self) -> None:
        if self._worker.stops(self._sweep):
            raise Cancelled

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None: ...

    def partial(self, result: Result) -> None: ...


def digest(bench: Bench) -> str:
    """Of rows of the embedding and of a head of three layers, bit for bit: weights of another training step differ."""
    import torch

    found = hashlib.blake2b(digest_size=16)

    def read(rows: torch.Tensor) -> None:
        found.update(rows.detach().float().cpu().contiguous().numpy().tobytes())

    with torch.inference_mode():
        embedding = bench.ends.W_E
        read(embedding[torch.linspace(0, len(embedding) - 1, SAMPLE, device=bench.live.device).long()])
        for layer in {0, bench.info.n_layers // 2, bench.info.n_layers - 1}:
            head = bench.live.head(layer, 0)
            for weights in (head.W_Q, head.W_K, head.W_V, head.W_O):
                read(weights)
    return found.hexdigest()
