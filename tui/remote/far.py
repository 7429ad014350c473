"""What stands in the engine's place where the engine is on another machine: the same wish list, cache and events.

Values that came stay here, in a cache like the engine's, so what was shown once is shown again without a word over
there. One thread reads the line and connects again when it is cut; one writes what waits in the ``Mail``. Of wish lists
that could not be sent yet only the last one is. After a cut the wish list is told anew with what is known already: the
other side answers with what it has, computes what is missing, and where its process has ended meanwhile, opens the
model again first.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from ..engine.cache import Cache
from ..engine.events import Done, Event, Failed, Idle, Partial, Progress, Tied
from ..engine.jobs import Boot, Job, Open
from ..engine.load import Load, Running
from ..host import explain
from ..label import Label
from ..results import ModelInfo
from . import coding, talk
from .frames import Ended, Garbled
from .line import Line
from .mail import Mail
from .reach import NoLine, Reached

log = logging.getLogger(__name__)

MEBIBYTE = 1 << 20
PING_EVERY = 5.0
"""Seconds between two signs of life that are asked for."""
SILENT = 15.0
"""Seconds of silence after which a line is taken to be cut."""
BACK_OFF = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds before each attempt to connect again; the last one again and again."""
STEADY = 10.0
"""Seconds for which a line has to hold before the next attempt is the first again."""
CHANGE = 0.25, 0.002
"""A share and seconds by which the line has to be slower or faster to be told again: each time costs bytes."""
_WANT, _PING = object(), object()


class FarEngine:
    """The face of ``engine.Engine``. All methods may be called from any thread and return at once."""

    def __init__(
        self, emit: Callable[[Event], object], reached: Reached,
        *, cache_bytes: int = 512 * MEBIBYTE, back_off: Sequence[float] = BACK_OFF,
    ) -> None:  # fmt: skip
        self.cache = Cache(cache_bytes)
        self._emit, self._reached, self._host = emit, reached, reached.host
        self._back_off = back_off
        self._thread = threading.Thread(target=self._live, name="line", daemon=True)
        self._leaving = threading.Event()

        # Guarded by _lock.
        self._lock = threading.RLock()
        self._wish: tuple[Job, ...] = ()
        self._held: dict[Job, Any] = {}
        self._failed: set[Job] = set()
        self._opened: tuple[tuple[Open, ModelInfo], ...] = ()
        """What was opened last, to be opened again where the process over there has ended."""
        self._again: tuple[Open, ...] = ()
        self._retries: set[Job] = set()
        self._room = reached.room
        self._mail = Mail()
        self._told = coding.Told()
        self._looks: dict[int, Mail] = {}
        self._ping: tuple[int, float] = -1, 0.0
        """Number of the last one, and when it was sent."""
        self._doing: tuple[Job, float, tuple[str, int, int]] | None = None
        """What is computed over there as far as was told, since when, and its stage."""
        self._latency: float | None = None
        """As it was told."""
        self._count = 0

    def start(self) -> None:
        """Start the thread. Before that, wishes are only noted."""
        if self._thread.ident is None:
            self._thread.start()

    def want(self, jobs: Sequence[Job]) -> dict[Job, Any]:
        """As ``Engine.want``."""
        wish = tuple(jobs)
        with self._lock:
            if wish != self._wish:
                self._wish = wish
                self._failed.intersection_update(wish)
                kept = {job: self._held.get(job, self.cache.get(job)) for job in wish}
                self._held = {job: value for job, value in kept.items() if value is not None}
                if self._opens_another():
                    self._again = ()
                self._mail.put(_WANT, _WANT)
            return dict(self._held)

    def cached(self, job: Job) -> Any | None:
        """The value of a job if it is here."""
        with self._lock:
            return self._held[job] if job in self._held else self.cache.get(job)

    def retry(self, job: Job) -> None:
        """Try a wanted job again that has failed."""
        with self._lock:
            if job in self._failed:
                self._failed.discard(job)
                self._retries.add(job)
                self._mail.put(_WANT, _WANT)

    def load(self) -> Load:
        """As ``Engine.load``: what was heard of last, what waits for an answer, and what is kept here."""
        with self._lock:
            busy: tuple[Running, ...] = ()
            stage = "", 0, 0
            if self._doing is not None:
                job, since, stage = self._doing
                busy = (Running(job, monotonic() - since),)
            waiting = tuple(
                job for job in self._wish
                if job not in self._held and job not in self._failed and all(job != one.job for one in busy)
            )  # fmt: skip
            return Load(busy, stage, waiting, *self.cache.kept(), self._host.short)

    def look(self, opened: str, device: str) -> Iterator[tuple[int | None, tuple[Label, ...]]]:
        """The models over there in lots, with the free bytes of the device; ends where the line is cut."""
        answers = Mail()
        with self._lock:
            self._count += 1
            number = self._count
            self._looks = {number: answers}
            self._mail.put(talk.Look(number, opened, device))
        while (seen := answers.take(SILENT)) is not None:
            yield seen.free, seen.labels
            if seen.done:
                return

    def close(self, timeout: float = 0.5) -> bool:
        """Say goodbye, so that nothing is kept over there, waiting ``timeout`` seconds at most. Returns whether that
        was so."""
        with self._lock:
            self._leaving.set()
            self._mail.put(talk.Bye())
            self._mail.close()
        if self._thread.ident is None:
            self._reached.line.close()
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # The line's thread.

    def _live(self) -> None:
        line: Line | None = self._reached.line
        room, attempt = self._reached.room, 0
        while not self._leaving.is_set():
            why, since = NoLine(""), monotonic()
            try:
                if line is None:
                    line, room = self._reached.again()
                self._talk(line, room)
                why = NoLine(*explain(self._host, *line.why()))
                if not self._leaving.is_set():  # else it ends by itself, once goodbye is said
                    line.close()
            except NoLine as error:
                why = error
            line, attempt = None, 0 if monotonic() - since > STEADY else attempt
            if not self._leaving.is_set():
                log.warning("the line to %s: %s", self._host.name, why)
                self._latency, self._doing = None, None
                self._send(Tied(self._host.short, None, str(why)))
                self._leaving.wait(self._back_off[min(attempt, len(self._back_off) - 1)])
                attempt += 1

    def _talk(self, line: Line, room: str) -> None:
        """Write and read until the line is cut."""
        with self._lock:
            if room != self._room and not self._opens_another():
                self._again = tuple(job for job, _ in self._opened)
            self._room = room
            for waiting in self._looks.values():
                waiting.close()
            self._told, self._mail = coding.Told(), Mail()
            mail = self._mail
            if self._leaving.is_set():
                mail.put(talk.Bye())
                mail.close()
            else:
                mail.put(_PING, _PING)
                mail.put(_WANT, _WANT)
        self._send(Tied(self._host.short))
        threading.Thread(target=self._write, args=(line, mail), name="mail", daemon=True).start()
        try:
            while True:
                frame = line.read()
                self._take(coding.decode(frame.header, frame.arrays))
        except Ended:
            pass
        except (Garbled, ValueError) as error:
            log.error("what came from %s is no message: %s", self._host.name, error)
        except Exception:
            log.exception("what came from %s", self._host.name)
        finally:
            mail.close()

    def _write(self, line: Line, mail: Mail) -> None:
        try:
            while not mail.closed:
                message = mail.take(PING_EVERY)
                if line.silent > SILENT:
                    line.close()
                    return
                if message is _WANT:
                    self._write_wish(line)
                elif message is not None and message is not _PING:
                    line.send(message)
                if message is _PING or monotonic() - self._ping[1] > PING_EVERY:
                    self._ping = self._ping[0] + 1, monotonic()
                    line.send(talk.Ping(self._ping[0]))
            line.leave()
        except Ended:
            return  # the reader has noticed it too
        except Exception:
            log.exception("writing to %s", self._host.name)
            line.close()

    def _write_wish(self, line: Line) -> None:
        with self._lock:
            wish = [*self._again, *(job for job in self._wish if job not in self._again)]
            held, retries, told = self._held, self._retries, self._told
            self._retries = set()
        # Without the lock, which the screen waits for: a file of a hundred thousand prompts takes a second.
        numbers, more = told.wish(wish)
        numbered = list(zip(numbers, wish, strict=True))
        line.send(talk.Want(tuple(numbers), tuple(number for number, job in numbered if job in held)), more)
        for number in (number for number, job in numbered if job in retries):
            line.send(talk.Retry(number))

    # What is said over there.

    def _take(self, message: talk.Message) -> None:
        if isinstance(message, talk.Pong):
            number, sent = self._ping
            if message.number == number:
                self._measured(monotonic() - sent)
        elif isinstance(message, talk.Seen):
            with self._lock:
                answers = self._looks.get(message.number)
            if answers is not None:
                answers.put(message)
        elif isinstance(message, talk.Rest):
            self._doing = None
            self._send(Idle())
        elif isinstance(message, talk.Came | talk.Part | talk.Step | talk.Lost):
            job = self._told.value(message.job)
            if isinstance(job, Job):
                self._answered(job, message)

    def _measured(self, latency: float) -> None:
        before, (share, least) = self._latency, CHANGE
        if before is None or abs(latency - before) > max(least, share * before):
            self._latency = latency
            self._send(Tied(self._host.short, latency))

    def _answered(self, job: Job, message: talk.Came | talk.Part | talk.Step | talk.Lost) -> None:
        if isinstance(message, talk.Came):
            self._came(job, message)
            return
        with self._lock:
            if isinstance(message, talk.Step):
                since = self._doing[1] if self._doing is not None and self._doing[0] == job else monotonic()
                self._doing = job, since, (message.stage, message.done, message.total)
            elif isinstance(message, talk.Lost):
                self._doing = None
            awaited = job in self._wish and job not in self._held
            fails = isinstance(message, talk.Lost) and awaited and job not in self._failed
            if fails:
                self._failed.add(job)
            if isinstance(message, talk.Lost):
                self._again = tuple(one for one in self._again if one != job)
        if isinstance(message, talk.Step):
            self._send(Progress(job, message.stage, message.done, message.total))
        elif isinstance(message, talk.Part):
            if awaited:
                self._send(Partial(job, message.result, message.done, message.total))
        elif fails:
            self._send(Failed(job, message.error, message.hint))

    def _came(self, job: Job, message: talk.Came) -> None:
        with self._lock:
            awaited = job in self._wish and job not in self._held
            self._doing = None
            if isinstance(job, Open):
                self._note_open(job, message.result)
            else:
                self.cache.put(job, message.result)
            if job in self._wish:
                self._held = {**self._held, job: message.result}
            self._failed.discard(job)
        if awaited:
            self._send(Done(job, message.result, message.seconds))

    def _opens_another(self) -> bool:
        """Whether a model is wanted in place of the one that was opened last."""
        return any(
            isinstance(job, Open) and not isinstance(job, Boot) and job not in self._held for job in self._wish
        )

    def _note_open(self, job: Open, info: ModelInfo) -> None:
        self._again = tuple(one for one in self._again if one != job)
        before = self._opened[:1] if isinstance(job, Boot) else ()
        self._opened = (*before, (job, info))

    def _send(self, event: Event) -> None:
        """Tell the listener, who may be gone."""
        if not self._leaving.is_set():
            try:
                self._emit(event)
            except BaseException:
                log.exception("nobody took %s", type(event).__name__)

