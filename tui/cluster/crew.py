"""Who there is of the workers: made, let in once they are like the first, replaced when they are lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from ..circuits.errors import Refusal
from ..engine.bench import Context
from ..engine.jobs import Boot, Open
from ..results import ModelInfo
from . import joining
from .lane import Lane, Lost, heard
from .orders import About, Ended, Fault, Opened, Went
from .worker import versions

log = logging.getLogger(__name__)

WAIT = 0.05
"""Seconds between two looks at whether a job is still wanted."""
PATIENCE = 120.0
"""Seconds that a cluster has to make a worker; libraries are imported in it."""
GONE = "No worker of the cluster is left."
HERE = "circuit-tui[cluster] has to be on every node, in the environment that runs `ray start`."
ALONE = "Open the model again (m) to ask the cluster for new ones, or start circuit-tui without --cluster."


class Crew:
    """The workers, and the model that is open on all of them. For one thread."""

    def __init__(self, lanes: list[Lane], clock: Callable[[], float] = time.monotonic) -> None:
        self.lanes = lanes
        self.trouble = ""
        """What has gone wrong in this run, for the status line."""
        self._clock = clock
        self._number = 0
        self._opening: Open | None = None
        """How a worker that comes later opens the model."""
        self._opened: Opened | None = None
        """The model as the first worker has it: all must have the same."""

    def forget_trouble(self) -> None:
        """Another run begins."""
        self.trouble = ""

    def count(self) -> int:
        """A number for the next run or sweep: larger than any before."""
        self._number += 1
        return self._number

    def stop(self, lanes: Iterator[Lane] | list[Lane]) -> None:
        """Stop whatever runs on these."""
        for lane in lanes:
            if lane.busy:
                lane.stop(self._number)

    @property
    def info(self) -> ModelInfo | None:
        """The model that is open."""
        return None if self._opened is None else self._opened.info

    def there(self) -> Iterator[Lane]:
        """Those that can be given work: they are there, and have the model."""
        key = None if self.info is None else self.info.key
        return (lane for lane in self.lanes if lane.about is not None and lane.opening is None and lane.key == key)

    def lead(self, ctx: Context) -> Lane:
        """The worker that answers what is looked at: the first of those there, waiting for one. Refusal where none
        comes."""
        until = self._clock() + PATIENCE
        while True:
            self.admit(ctx)
            if (first := next(self.there(), None)) is not None:
                return first
            if self._clock() > until or not any(lane.is_coming or lane.opening for lane in self.lanes):
                raise Refusal(GONE, ALONE)
            ctx.check()
            ctx.progress(self.trouble or "waiting for a worker of the cluster")
            time.sleep(WAIT)

    def rest(self, lane: Lane, ctx: Context) -> None:
        """Wait until what was stopped on it has ended."""
        while lane.busy:
            ctx.check()
            while lane.reports:
                lane.left_over(lane.reports.popleft())
            if lane.busy and heard([lane], WAIT):
                lane.read()

    def replace(self, lane: Lane, ctx: Context) -> None:
        """A worker is lost: another is started in its place."""
        log.warning("%s was lost", lane.name)
        self.trouble = f"worker {lane.number} was lost: its share runs again"
        lane.start()
        ctx.progress(self.trouble)

    def admit(self, ctx: Context) -> None:
        """Let in who has come since, and has the same versions and the same weights."""
        for lane in self.lanes:
            try:
                if lane.is_coming:
                    if lane.arrives():
                        self._check(lane)
                elif lane.opening is not None:
                    self._follow(lane)
                elif lane.about and not lane.busy and self._opening and self.info and lane.key != self.info.key:
                    lane.begin(self.count(), self._opening)
            except Lost:
                self.replace(lane, ctx)
            except Refusal as problem:
                lane.end()
                log.warning("%s", problem.message)
                self.trouble = problem.message.rstrip(".")
                ctx.progress(self.trouble)

    def _follow(self, lane: Lane) -> None:
        """What has come of a worker that opens the model behind the others."""
        if heard([lane], 0):
            lane.read()
        while lane.reports:
            report = lane.reports.popleft()
            if isinstance(report, Ended) and isinstance(report.value, Opened):
                if lane.opening == self._opening:
                    self._accept(lane, report.value)
            elif isinstance(report, Fault):
                raise Refusal(f"{lane.name.capitalize()} cannot open the model: {report.error}", report.hint)
            else:
                lane.left_over(report)

    # --- opening a model ---

    def open(self, job: Open, ctx: Context) -> ModelInfo:
        """On every worker. All must have the same weights, and the same libraries."""
        lanes = self._gather(ctx)
        for lane in lanes:
            self.rest(lane, ctx)
            lane.begin(self.count(), job)
        found: dict[Lane, Opened | Fault] = {}
        try:
            while len(found) < len(lanes):
                ctx.check()
                for lane in heard([lane for lane in lanes if lane not in found], WAIT):
                    self._listen(lane, lane is lanes[0], found, ctx)
        except BaseException:
            self.stop(lanes)
            raise
        for lane in lanes:
            if isinstance(value := found[lane], Fault):
                raise value.raised(lane.name)
        before = self._opened
        try:
            for lane in lanes:
                value = found[lane]
                assert isinstance(value, Opened)
                self._opened = value if lane is lanes[0] else self._opened
                self._accept(lane, value)
        except Refusal:
            self._opened = before
            raise
        assert self.info is not None
        self._opening = how_later(job)
        return self.info

    def _listen(self, lane: Lane, tells: bool, found: dict[Lane, Opened | Fault], ctx: Context) -> None:
        try:
            lane.read()
        except Lost:
            found[lane] = Fault(f"{lane.name.capitalize()} was lost while it opened the model.", ALONE, False, True)
            lane.start()
            return
        while lane.reports:
            report = lane.reports.popleft()
            if isinstance(report, Went):
                if tells:
                    ctx.progress(report.stage, report.done, report.total)
            elif isinstance(report, Ended) and isinstance(report.value, Opened):
                found[lane] = report.value
                lane.has(report.value.info.key)
            elif isinstance(report, Fault):
                found[lane] = report
            else:
                lane.left_over(report)

    def _gather(self, ctx: Context) -> list[Lane]:
        """The workers that are there: all, or those that come in time. Refusal where there is none."""
        for lane in self.lanes:
            lane.renew()
            if not lane.about and not lane.is_coming:
                lane.start()
        until = self._clock() + PATIENCE
        while (missing := [lane for lane in self.lanes if lane.is_coming]) and self._clock() < until:
            ctx.check()
            ctx.progress("workers of the cluster", len(self.lanes) - len(missing), len(self.lanes))
            for lane in missing:
                try:
                    if lane.arrives():
                        self._check(lane)
                except Lost as lost:
                    if not lane.start():
                        why = last_line(lost.__cause__)
                        raise Refusal(f"Worker {lane.number} could not be started: {why}", HERE) from None
            time.sleep(WAIT)
        lanes = [lane for lane in self.lanes if lane.about is not None]
        if not lanes:
            raise Refusal(f"No worker came in {PATIENCE:.0f} seconds: the cluster has no room for one.",
                          f"`ray status` says what is free. {joining.WITHOUT}")  # fmt: skip
        return lanes

    def _check(self, lane: Lane) -> None:
        first = next(other.about for other in self.lanes if other.about is not None)
        assert lane.about is not None
        alike(lane.about, first)

    def _accept(self, lane: Lane, opened: Opened) -> None:
        """Refusal for other weights than the first worker's; the same at another place are called by its name."""
        assert self._opened is not None
        wanted = self._opened
        lane.has(opened.info.key)
        if opened.digest != wanted.digest:
            node = lane.about.node if lane.about else lane.name
            raise Refusal(f"{lane.name.capitalize()} has other weights of {wanted.info.name} than the first worker.",
                          f"Put the same files on {node}, or name a folder that all nodes share.")  # fmt: skip
        if opened.info.key != wanted.info.key:
            lane.has(wanted.info.key, adopts=True)


def alike(about: About, first: About) -> None:
    """Refusal for a worker whose numbers may be others: versions that are not those here, or another device."""
    for (package, theirs), (_, ours) in zip(about.versions, versions(), strict=True):
        if theirs != ours:
            raise Refusal(f"{about.node} has {package} {theirs}, and this machine {ours}: numbers might differ.",
                          f"Install the same versions on {about.node}.")  # fmt: skip
    if about.device != first.device:
        names = [device or "no GPU" for device in (about.device, first.device)]
        raise Refusal(f"{about.node} has {names[0]}, and {first.node} {names[1]}: numbers might differ.",
                      "Choose nodes that are alike, such as by --cluster-workers.")  # fmt: skip


def last_line(error: BaseException | None) -> str:
    """What an error says in the end: Ray's bring tracebacks from other processes."""
    lines = [line for line in map(str.strip, str(error).splitlines()) if line]
    return lines[-1] if lines else "nothing is known of it."


def how_later(job: Open) -> Open:
    """What a worker that comes later is told to open: a model that was loaded behind its files is loaded at once."""
    if not isinstance(job, Boot):
        return job
    return Open(job.source, job.device, job.dtype, job.threads, "load", job.device_map, job.max_memory)
