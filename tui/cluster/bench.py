"""The engine's bench on a cluster: each job goes to the first worker, the batches of its sweeps to all of them.

The engine decides what runs and what is kept as it does with a model of its own: a part that a run needs is asked of it
(``ctx.get``), which finds it or has it computed (``compute``, again) while the run waits. So its stack of jobs is the
worker's, and a job that is not wanted any more is stopped, wherever it is, within ``WAIT`` and the worker's next check.

A worker that is lost is started anew, opens the model, and joins the others when it is there. What it was at is
computed again: batches by whoever is free, a job by the next worker, behind the batches that are done.
"""

from __future__ import annotations

from typing import Any

from ..circuits.errors import Refusal
from ..engine.bench import Context
from ..engine.jobs import Job, Open
from . import joining
from .crew import WAIT, Crew
from .lane import Held, Lane, Lost, heard, model_of
from .orders import (
    Ask,
    AskEach,
    BatchDone,
    Ended,
    Fault,
    Free,
    Make,
    Over,
    Report,
    SoFar,
    Stays,
    Take,
    Went,
)
from .sweep import Sweep


class ClusterBench:
    """For one thread, as every bench."""

    def __init__(self, wish: joining.Wish) -> None:
        """Joins the cluster. Refusal where there is none, or not what was asked for."""
        count, needs = joining.join(wish)
        self.crew = Crew([Lane(number, needs) for number in range(1, count + 1)])
        self._sweeps: list[Sweep] = []
        """Those under way, innermost last."""
        self._ready: dict[Job, Any] = {}
        """Batches that are done, on their way into the engine's cache."""
        self._asked: tuple[Lane, Job] | None = None
        """The part that a run waits for, while the engine looks for it."""

    # --- the engine's side ---

    def compute(self, job: Job, ctx: Context) -> Any:
        """The value of a job; of a part, while the run that asked for it waits. ``Held`` for what cannot travel."""
        if job in self._ready:
            return self._ready[job]
        if self._asked is not None and self._asked[1] == job:
            return self._part(self._asked[0], ctx)
        self.crew.forget_trouble()
        while True:
            try:
                return self.crew.open(job, ctx) if isinstance(job, Open) else self._run(self.crew.lead(ctx), job, ctx)
            except Lost as lost:
                self.crew.replace(lost.lane, ctx)

    def close(self) -> None:
        """End the workers, and a cluster that was started here."""
        for lane in self.crew.lanes:
            lane.end()
        joining.leave()

    def free(self) -> None:
        """Every worker gives back what memory it can."""
        for lane in self.crew.there():
            lane.tell(Free())

    # --- one run ---

    def _run(self, lead: Lane, job: Job, ctx: Context) -> Any:
        self.crew.rest(lead, ctx)
        if (key := model_of(job)) is not None and key != lead.key:
            raise Refusal("That model is not the one that is open.", "Open it again.")
        lead.begin(self.crew.count(), job)
        try:
            return self._heed(lead, ctx)
        except BaseException:
            self.crew.stop([lead])
            raise
        finally:
            self._asked = None
            self._sweeps.clear()
            self._ready.clear()
            self.crew.stop([lane for lane in self.crew.there() if lane is not lead])

    def _heed(self, lead: Lane, ctx: Context) -> Any:
        """What the innermost job on a worker's stack comes to, while all that it asks for is answered."""
        while True:
            ctx.check()
            match self._next(lead, ctx):
                case Went(stage, done, total):
                    trouble = self.crew.trouble
                    ctx.progress(f"{trouble} · {stage}" if trouble else stage, done, total)
                case SoFar(result):
                    ctx.partial(result)
                case Ask(job):
                    self._answer(lead, job, ctx)
                case AskEach(jobs):
                    self._sweeps.append(Sweep(self.crew.count(), jobs, ctx))
                    self._deal(lead)
                case Ended(Stays(mark, nbytes)):
                    return Held(lead, mark, nbytes)
                case Ended(value):
                    return value
                case Fault() as fault:
                    raise fault.raised(lead.name)

    def _next(self, lead: Lane, ctx: Context) -> Report | None:
        """What it says next; what the others say meanwhile is seen to. None after ``WAIT``."""
        if not lead.reports:
            self.crew.admit(ctx)
            others = [lane for lane in self.crew.there() if lane.busy and lane is not lead]
            for lane in heard([lead, *others], WAIT):
                try:
                    lane.read()
                except Lost:
                    if lane is lead:
                        raise
                    self._lose(lane, ctx)
            for lane in others:
                self._batches(lane)
            self._deal(lead)
        while lead.reports:
            report = lead.reports.popleft()
            if isinstance(report, BatchDone):
                self._came(lead, report)
                self._deal(lead)
            elif isinstance(report, Over):
                lead.left_over(report)
            else:
                return report
        return None

    def _answer(self, lead: Lane, job: Job, ctx: Context) -> None:
        """A part that a run needs, from the engine, or made by the worker that needs it: under the engine's eyes if it
        is nowhere, without them if it is on a worker that is not there any more."""
        self._asked = (lead, job)
        try:
            value = ctx.get(job)
        except Lost:
            raise
        except Exception:
            if self._asked is None:  # it has failed there, so that the worker knows
                return
            raise
        if self._asked is None:
            return
        self._asked = None
        if not isinstance(value, Held):
            lead.tell(Take(value))
            return
        lead.tell(Make(self.crew.count()))
        if isinstance(made := self._heed(lead, ctx), Held):
            value.become(made)

    def _part(self, lead: Lane, ctx: Context) -> Any:
        """The engine has no value: the worker that waits for it makes it."""
        self._asked = None
        lead.tell(Make(self.crew.count()))
        return self._heed(lead, ctx)

    # --- the batches of a sweep ---

    def _deal(self, lead: Lane) -> None:
        """Give the sweep what it is due, and a batch to everybody who has none."""
        self._sweeps = [sweep for sweep in self._sweeps if not sweep.is_over]
        if not self._sweeps:
            return
        sweep = self._sweeps[-1]
        if (due := sweep.due()) is not None:
            lead.tell(due)
        for lane in self.crew.there():
            if lane.batch is None and (not lane.busy or lane is lead) and (index := sweep.next()) is not None:
                lane.give(sweep.number, sweep.jobs, index)

    def _batches(self, lane: Lane) -> None:
        """What a worker beside the first has done."""
        while lane.reports:
            report = lane.reports.popleft()
            if isinstance(report, BatchDone) and report.sweep == lane.busy:
                self._came(lane, report)
            else:
                lane.left_over(report)

    def _came(self, lane: Lane, report: BatchDone) -> None:
        lane.gave(report)
        if (sweep := self._sweep(report.sweep)) is not None:
            job = sweep.jobs[report.index]
            if not isinstance(report.value, Fault):
                self._ready[job] = report.value
            sweep.came(report.index, report.value)
            self._ready.pop(job, None)

    def _lose(self, lane: Lane, ctx: Context) -> None:
        """A worker beside the first is lost: somebody else computes its batch."""
        if lane.batch is not None and (sweep := self._sweep(lane.sweep)) is not None:
            sweep.again(lane.batch)
        self.crew.replace(lane, ctx)

    def _sweep(self, number: int) -> Sweep | None:
        return next((sweep for sweep in self._sweeps if sweep.number == number), None)
