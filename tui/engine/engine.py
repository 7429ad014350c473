"""One thread that works through an ordered wish list.

``want(jobs)`` replaces the whole list, what the user looks at first and prefetch last. The thread computes, caches, and
tells ``emit`` what happened; nobody submits, queues or cancels a single job.

What runs. The *goal* is the first wanted job that is *missing*: it has no value yet and has not failed since it was
last wanted anew. The thread computes the goal; a bench may ask for *parts* on the way (``ctx.get``, such as the forward
pass), which are cached like any job, so a computation is a stack: the job, and the parts asked for, innermost last.

What is stopped. Whenever the list changes, the next ``ctx.check()`` of the running computation lets it go on
  1. if the goal, or a part that the goal needs (``job.needs()``), is on its stack; or
  2. if a part on its stack is needed by any missing job and work on that part worth ``patience`` seconds has been
     thrown away already (what its own parts have kept is not lost);
and raises ``Cancelled`` otherwise. A part that is done is cached, and the check that follows it stops the rest. So
twenty head changes during a slow forward pass give one forward pass (rule 1: the twentieth head needs it) and one
result. A prefetch never holds up what the user asked for: it is not the goal any more, is dropped, and starts again in
its turn.

Who starves. A wish list that rests is worked off from first to last, each job once. While it keeps changing, a job
further down may be dropped again and again. Parts that jobs share are safe from that by rule 2. A long job makes itself
safe by asking for its blocks as parts: those done stay cached, and the next start resumes behind them.

What is kept. Values of wanted jobs, and parts that missing jobs need, are held whatever the cache's bound, so a result
that is too large for the cache is computed once and not for ever. All else lives in the cache, but for two: partial
results are shown and never kept, and the value of an Open, true only while its model is the one that is loaded, goes
when it is not wanted any more.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .bench import Bench, Cancelled, Context, Workshop
from .cache import Cache, size_of
from .events import Done, Event, Failed, Idle, Partial, Progress
from .jobs import Job, Open
from .load import Load, Running
from .trouble import Trouble, explain

log = logging.getLogger(__name__)

MEBIBYTE = 1 << 20
EVENT_INTERVAL = 0.1
"""Seconds between two Progress events of one stage, and between two Partial events of one job."""
STAND_BACK = 0.05
"""Seconds that the thread rests after the first job of the list: about one picture."""


class Engine:
    """The wish list and the thread that works it off. All methods may be called from any thread and return at once."""

    def __init__(
        self,
        emit: Callable[[Event], object],
        make_bench: Callable[[], Bench],
        *,
        cache_bytes: int = 512 * MEBIBYTE,
        nbytes: Callable[[Any], int] = size_of,
        patience: float = 2.0,
        clock: Callable[[], float] = time.perf_counter,
        elsewhere: str = "",
    ) -> None:
        """``emit`` and ``make_bench`` are called from the engine's thread, that one for the first job: slow imports
        belong there. ``elsewhere``: where the bench has the model, if not on this machine."""
        self.cache = Cache(cache_bytes, nbytes)
        self.clock = clock
        self._emit, self._elsewhere = emit, elsewhere
        self._workshop = Workshop(make_bench)
        self._patience = patience
        self._thread = threading.Thread(target=self._live, name="engine", daemon=True)

        # Guarded by the lock of _changed, which is re-entrant: a signal handler may call close() inside want().
        self._changed = threading.Condition(threading.RLock())
        self._wish: tuple[Job, ...] = ()
        self._parts: dict[Job, frozenset[Job]] = {}
        self._needed: frozenset[Job] = frozenset()
        self._held: dict[Job, Any] = {}
        self._failed: set[Job] = set()
        self._lost: dict[Job, float] = {}
        self._revision = 0
        self._rested = True
        self._closing = False

        # Touched by the thread alone, but for what load() reads of them.
        self._stage = ""
        self._told = -EVENT_INTERVAL
        self._running: tuple[tuple[Job, float], ...] = ()
        self._doing = ("", 0, 0)

    def start(self) -> None:
        """Start the thread. Before that, wishes are only noted."""
        if self._thread.ident is None:
            self._thread.start()

    def want(self, jobs: Sequence[Job]) -> dict[Job, Any]:
        """Replace the wish list. Returns the values that are there already, to be shown at once.

        Each other job is answered by Done or Failed, as long as it stays wanted, unless it had failed and was wanted
        all along.
        """
        wish = tuple(jobs)
        with self._changed:
            if wish != self._wish:
                self._parts = {job: job.needs() for job in wish}
                self._wish = wish
                self._failed.intersection_update(wish)
                for job in wish:
                    self._hold_cached(job)
                self._tidy()
                self._wake()
            return {job: self._held[job] for job in wish if job in self._held}

    def cached(self, job: Job) -> Any | None:
        """The value of a job if it is there. Ask after ``want``: if asked before, it can arrive in between unseen."""
        with self._changed:
            return self._held[job] if job in self._held else self.cache.get(job)

    def retry(self, job: Job) -> None:
        """Try a wanted job again that has failed."""
        with self._changed:
            if job in self._failed:
                self._failed.discard(job)
                self._tidy()
                self._wake()

    def load(self) -> Load:
        """What runs, waits and is kept, now."""
        with self._changed:
            now, running = self.clock(), self._running
            busy = tuple(Running(job, now - began) for job, began in running)
            waiting = tuple(job for job in self._missing() if not running or job != running[0][0])
            return Load(busy, self._doing, waiting, *self.cache.kept(), self._elsewhere)

    def close(self, timeout: float = 0.5) -> bool:
        """Cancel what runs and end the thread, waiting ``timeout`` seconds at most. Returns whether it has ended."""
        with self._changed:
            if not self._closing:
                self._closing = True
                self._wake()
        if self._thread.ident is None:
            return True
        if self._thread is threading.current_thread():
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # The wish list. The caller holds the lock.

    def _missing(self) -> Iterator[Job]:
        return (job for job in self._wish if job not in self._held and job not in self._failed)

    def _goal(self) -> Job | None:
        return next(self._missing(), None)

    def _hold_cached(self, job: Job) -> None:
        if job not in self._held and (value := self.cache.get(job)) is not None:
            self._held[job] = value

    def _tidy(self) -> None:
        """Hold what missing jobs need; let go of all that no wish is behind."""
        self._needed = frozenset().union(*(self._parts[job] for job in self._missing()))
        for job in self._needed:
            self._hold_cached(job)
        kept = self._needed.union(self._wish)
        self._held = {job: value for job, value in self._held.items() if job in kept}
        self._lost = {job: lost for job, lost in self._lost.items() if job in self._needed}

    def _wake(self) -> None:
        self._revision += 1
        self._rested = False
        self._changed.notify_all()

    def _worthwhile(self, stack: Sequence[Job]) -> bool:
        """Whether a computation goes on: the two rules of the module's docstring."""
        goal = self._goal()
        if self._closing or goal is None:
            return False
        useful = self._parts[goal] | {goal}
        return any(
            job in useful or (job in self._needed and self._lost.get(job, 0.0) >= self._patience) for job in stack
        )

    # The thread.

    def _live(self) -> None:
        try:
            while (goal := self._await_goal()) is not None:
                self._serve(goal)
                self._stand_back(goal)
        finally:
            self._workshop.close()

    def _await_goal(self) -> Job | None:
        """The next job to compute, waiting for one; None when the engine closes."""
        while True:
            with self._changed:
                while not self._closing and self._rested:
                    self._changed.wait()
                if self._closing:
                    return None
                goal = self._goal()
                if goal is not None:
                    return goal
                self._rested = True
            self._send(Idle())

    def _stand_back(self, job: Job) -> None:
        """Leave the interpreter to the screen while it draws what it waited for most; two threads at it take twice as
        long. A new wish ends the rest."""
        with self._changed:
            if not self._closing and self._wish[:1] == (job,) and self._goal() is not None:
                self._changed.wait(STAND_BACK)

    def _serve(self, job: Job) -> None:
        """Compute one job; out of memory, free some and try once more."""
        trouble = self._attempt(job)
        if trouble is not None and trouble.memory:
            self._free()
            trouble = self._attempt(job)
        if trouble is None:
            return
        with self._changed:
            wanted = job in self._wish
            if wanted:
                self._failed.add(job)
                self._tidy()
        if wanted:
            self._send(Failed(job, trouble.error, trouble.hint))

    def _attempt(self, job: Job) -> Trouble | None:
        """Compute one job. Returns None when it is done or cancelled.

        The exception dies here, and with it the frames that keep a failed computation's tensors alive.
        """
        computation = Computation(self)
        self._doing = ("", 0, 0)
        try:
            computation.run(job)
        except BaseException as error:
            if isinstance(error, Cancelled) and computation.cancelled:
                return None
            trouble = explain(error)
            if trouble.expected:
                log.warning("%s", trouble)
            else:
                log.error("%r failed\n%s", job, traceback.format_exc())
            return trouble
        return None

    def _free(self) -> None:
        with self._changed:
            self.cache.clear()
            self._held = {job: value for job, value in self._held.items() if job in self._wish}
        self._workshop.free()

    def _compute(self, job: Job, ctx: Context) -> Any:
        """The value of one job."""
        if not self._workshop.open:
            self._progress("loading libraries", 0, 0)
        return self._workshop.compute(job, ctx)

    def _keep(self, job: Job, value: Any, seconds: float) -> None:
        """A computation of a job or a part has ended well."""
        if not isinstance(job, Open):
            self.cache.put(job, value, seconds=seconds)
        with self._changed:
            awaited = job in self._wish and job not in self._held
            if awaited or job in self._needed:
                self._held[job] = value
            self._failed.discard(job)
            self._lost.pop(job, None)
            self._tidy()
        if awaited:
            self._send(Done(job, value, seconds))

    def _lose(self, job: Job, seconds: float) -> None:
        """A computation of a job or a part was thrown away."""
        with self._changed:
            if job in self._needed:
                self._lost[job] = self._lost.get(job, 0.0) + seconds

    def _progress(self, stage: str, done: int, total: int) -> None:
        """A new stage is told at once: it may last, and the last one's name would stand beside it."""
        now, self._doing = self.clock(), (stage, done, total)
        if stage == self._stage and now - self._told < EVENT_INTERVAL:
            return
        self._stage, self._told = stage, now
        with self._changed:
            goal = self._goal()
        if goal is not None:
            self._send(Progress(goal, stage, done, total))

    def _partial(self, event: Partial) -> None:
        with self._changed:
            awaited = event.job in self._wish and event.job not in self._held
        if awaited:
            self._send(event)

    def _send(self, event: Event) -> None:
        """Tell the listener, who may be gone."""
        if self._closing:
            return
        try:
            self._emit(event)
        except BaseException:
            log.exception("nobody took %s", type(event).__name__)


class Computation:
    """One computation: a job and the parts it asks for. Lives in the engine's thread."""

    def __init__(self, engine: Engine) -> None:
        self.cancelled = False
        self._engine = engine
        self._stack: list[Job] = []
        self._seen = -1
        self._kept = 0.0
        """Seconds of parts that are done, and cached."""

    def run(self, job: Job) -> Any:
        """Compute a job that is not cached, on top of what runs already."""
        if job in self._stack:
            raise RuntimeError(f"{job!r} asks for itself")
        engine = self._engine
        started, kept = engine.clock(), self._kept
        self._stack.append(job)
        engine._running = (*engine._running, (job, started))
        try:
            self.check()
            value = engine._compute(job, Frame(engine, self, job))
            if self.cancelled:  # and the bench went on all the same: what it returns may be cut short
                raise Cancelled
        except Cancelled:
            engine._lose(job, engine.clock() - started - (self._kept - kept))
            raise
        finally:
            self._stack.pop()
            engine._running = engine._running[:-1]
            self._seen = -1  # the stack has changed, so what was worth while may not be any more
        seconds = engine.clock() - started
        self._kept = kept + seconds
        engine._keep(job, value, seconds)
        return value

    def check(self) -> None:
        engine = self._engine
        if not self.cancelled and self._seen != engine._revision:
            with engine._changed:
                self._seen = engine._revision
                self.cancelled = not engine._worthwhile(self._stack)
        if self.cancelled:
            raise Cancelled


class Frame(Context):
    """The Context of one job or part of a computation."""

    def __init__(self, engine: Engine, computation: Computation, job: Job) -> None:
        self._engine = engine
        self._computation = computation
        self._job = job
        self._done = self._total = 0
        self._shown = -EVENT_INTERVAL

    def get(self, job: Job) -> Any:
        self.check()
        value = self._engine.cached(job)
        if value is None:
            value = self._computation.run(job)
            self.check()
        return value

    def known(self, job: Job) -> Any | None:
        return self._engine.cached(job)

    def check(self) -> None:
        self._computation.check()

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        self._done, self._total = done, total
        self._engine._progress(stage, done, total)

    def partial(self, result: Any) -> None:
        now = self._engine.clock()
        if now - self._shown >= EVENT_INTERVAL:
            self._shown = now
            self._engine._partial(Partial(self._job, result, self._done, self._total))
