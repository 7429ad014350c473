"""The engine's side of the screen: what is wished for, known, failed, stopped. No widgets."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from . import needs
from .engine.events import Done, Failed, Partial, Progress, Tied
from .engine.jobs import Job
from .engine.load import Load
from .results import Result
from .selection import Selection

NOTABLE = 0.05
"""Seconds from which a job beside the shown one is named in the status line."""
BY_HAND = "this was stopped in the list of jobs\nJ lists it: x there asks for it again"
SEEN = 5.0
"""Seconds over which a rate is measured: what was cached goes by in no time and is soon forgotten."""
NAMES = {
    "NextTokens": "next tokens", "OVRow": "OV row", "ResidualParts": "parts", "LayerPatterns": "patterns",
    "LensTop": "lens", "LensCurve": "lens", "LensOver": "lens", "AttributionOver": "attribution",
    "PatternOver": "patterns", "ScoreParts": "score parts", "SourceRow": "sources", "WriteCosines": "cosines",
    "NeuronTokens": "neuron", "Directions": "directions", "HeadScores": "head scores", "PairSearch": "search",
    "CopyingScores": "copying", "TopPairs": "top pairs", "SingularTokens": "SVD", "Spectrum": "SVD",
    "PatchingGrid": "patching", "PatchingOver": "patching", "PatchingEstimate": "estimate", "Boot": "model loaded",
}  # fmt: skip


class Asks(Protocol):
    """What the screen asks of the engine."""

    def want(self, jobs: Sequence[Job]) -> dict[Job, Any]: ...
    def cached(self, job: Job) -> Any: ...
    def retry(self, job: Job) -> None: ...
    def load(self) -> Load: ...


class Wishes:
    """The wish list of a selection, and what has come of it."""

    def __init__(
        self, engine: Asks, first: Callable[[], Iterable[Job]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``first``: jobs that come before everything, such as the look-up of an answer that was just typed."""
        self.activity = "starting"
        self.line = ""
        """How the line to another machine is, where the worker is on one: ``box 23 ms``."""
        self._engine = engine
        self._first = first
        self._failures: dict[Job, Failed] = {}
        self._listed: frozenset[Job] = frozenset()
        """What the worker was asked for last."""
        self._partial: dict[Job, Result] = {}
        self._stopped: Job | None = None
        """A search that the user has stopped: what was found so far stays."""
        self._off: dict[Job, None] = {}
        """Jobs that the user wants no more, in the order in which they were stopped."""
        self._counting = False
        """Whether ``activity`` says how far a job is."""
        self._clock = clock
        self._stage: tuple[Job, str] | None = None
        self._steps: deque[tuple[float, int]] = deque()
        """When how much of the stage was done, lately."""

    def want(self, s: Selection, with_panel: bool, pinned: Selection | None = None) -> dict[Job, Any]:
        """Replace the wish list; what of it is known already. ``pinned``: what is shown beside it."""
        wanted = needs.needs(s, self.cached, with_panel)
        if pinned is not None and s.model is not None:
            undecided = needs.deciding(pinned) if pinned.open == s.open else []
            wanted[1:1] = [job for job in [*needs.pictured(pinned), *undecided] if job not in wanted]
        needed = [job for job in wanted if job != self._stopped]
        listed = [job for job in (*self._first(), *needed) if job not in self._off]
        there = self._engine.want(listed)
        self._listed = frozenset(listed)
        self._failures = {job: failed for job, failed in self._failures.items() if job in self._listed}
        return there

    def lists(self, job: Job) -> bool:
        """Whether somebody waits for the job still: what is said of another comes late."""
        return job in self._listed

    def cached(self, job: Job | None) -> Result | None:
        """The job's result, or what there is of it so far."""
        if job is None:
            return None
        result: Result | None = self._engine.cached(job)
        return self._partial.get(job) if result is None else result

    def finished(self, job: Job) -> Result | None:
        """The job's whole result."""
        result: Result | None = self._engine.cached(job)
        return result

    def why(self, job: Job | None) -> str:
        """What went wrong with a job, and what to do about it; "" if nothing did."""
        failed = self._failures.get(job) if job is not None else None
        if failed is None and job in self._off and self._engine.cached(job) is None:
            return BY_HAND
        return f"{failed.error}\n{failed.hint}" if failed is not None else ""

    def refusal(self, s: Selection) -> str:
        """Why there are no tokens of the prompt, so that what is shown is of the one before; "" if there are."""
        return self.why(needs.tokenizing(s)) if s.tokens_of != needs.tokenizing(s) else ""

    def refusal_of_file(self, s: Selection) -> str:
        """Why the open file of prompts cannot be computed over; "" if it can."""
        there = s.file is None or s.file.prepared_of == needs.preparing(s)
        return "" if there else self.why(needs.preparing(s)) or self.refusal(s)  # a row of it is in the prompt line

    def resume(self, job: Job | None) -> None:
        """Somebody asks for the job: one that failed in idle time or was stopped is wanted again."""
        self._stopped = None
        if job is not None:
            self._off.pop(job, None)
        if job is not None and self._failures.pop(job, None) is not None:
            self._engine.retry(job)

    def stop(self, job: Job | None) -> bool:
        """Stop a search that has something to show already. False: there was none."""
        if job is None or job not in self._partial or self._engine.cached(job) is not None:
            return False
        self._stopped, self.activity = job, "stopped"
        return True

    def switch(self, *jobs: Job) -> bool:
        """Take jobs off the list until somebody asks for them, or put them back. Whether they are off it now."""
        off = any(job not in self._off for job in jobs)
        for job in jobs:
            self._off.pop(job, None)
            if off:
                self._off[job] = None
        return off

    @property
    def off(self) -> tuple[Job, ...]:
        """Jobs that were taken off the list by hand and are not known."""
        return tuple(job for job in self._off if self._engine.cached(job) is None)

    def load(self) -> Load:
        """What the worker is busy with."""
        return self._engine.load()

    # --- what the worker says ---

    def counted(self, event: Progress) -> None:
        """How far a job is."""
        share, left = f"{event.done}/{event.total}" if event.total else "", self._left(event)
        # The stage last: a narrow status line cuts what comes last.
        self.activity = f"{share}, {left} left · {event.stage}" if left else f"{event.stage} {share}".rstrip()
        self._counting = True

    def _left(self, event: Progress) -> str:
        """How long a stage still takes at the rate of the last seconds: ``12 s``; "" while there is none."""
        now, steps = self._clock(), self._steps
        if (event.job, event.stage) != self._stage or (steps and event.done < steps[-1][1]):
            self._stage = event.job, event.stage
            steps.clear()
        steps.append((now, event.done))
        while len(steps) > 2 and now - steps[0][0] > SEEN:
            steps.popleft()
        seconds, done = now - steps[0][0], event.done - steps[0][1]
        if seconds < 1 or not done or event.done >= event.total:
            return ""
        left = (event.total - event.done) * seconds / done
        return f"{left:.0f} s" if left < 100 else f"{left / 60:.0f} min" if left < 6000 else f"{left / 3600:.0f} h"

    def came(self, event: Done, shown: Job | None) -> None:
        """A result is there. What took time is named; the rest would change the status line with every cursor move."""
        self._failures.pop(event.job, None)
        if event.seconds >= NOTABLE or self._counting or event.job == shown:
            self._counting = False
            name = type(event.job).__name__
            self.activity = f"{NAMES.get(name, name)} {event.seconds * 1e3:.0f} ms"

    def came_in_part(self, event: Partial) -> None:
        """More of a result is there."""
        self._partial = {event.job: event.result}

    def went_wrong(self, event: Failed) -> None:
        """A job failed."""
        self._failures[event.job] = event

    def tied(self, event: Tied) -> None:
        """The line to another machine is slower or faster than it was, cut, or there again."""
        measured = "" if event.seconds is None else f" {event.seconds * 1e3:.0f} ms"
        self.line = f"{event.host}: line cut" if event.trouble else f"{event.host}{measured}"

    @property
    def failed(self) -> frozenset[Job]:
        """Jobs that failed, and are still wanted."""
        return frozenset(self._failures)


