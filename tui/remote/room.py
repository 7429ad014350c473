"""One screen's engine: it stays while the screen's line is cut."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable
from time import monotonic

from .. import shelf
from ..engine.bench import Bench
from ..engine.cache import room_for
from ..engine.engine import Engine
from ..engine.events import Done, Event, Failed, Idle, Partial, Progress, Tied
from ..engine.jobs import Boot, Job, Open
from ..engine.trouble import FAULT_HINT
from ..results import ModelInfo
from . import coding, talk
from .mail import Mail

log = logging.getLogger(__name__)


class Room:
    """Holds an engine, and tells whoever is on the line what it says."""

    def __init__(self, client: str, make_bench: Callable[[], Bench]) -> None:
        self.id = uuid.uuid4().hex
        self.client = client
        """Whose it is; empty: nobody's yet."""
        self.until: float | None = None
        """When it is given up, on the monotonic clock; None: somebody is on the line."""
        self._engine = Engine(self._said, make_bench)
        self._lock = threading.RLock()
        self._mail: Mail | None = None
        self._heard = coding.Heard()
        self._numbers: dict[Job, int] = {}
        self._failed: dict[Job, Failed] = {}
        self._opened: tuple[Open, ModelInfo, object] | None = None
        """The model that is open, how, and how its files were then."""
        self._fresh = True
        """Whether the next wish list is the first one on its line."""
        self._engine.start()

    @property
    def taken(self) -> bool:
        """Whether somebody is on the line."""
        return self._mail is not None

    def prepare(self, job: Open) -> None:
        """Open a model before anybody asks."""
        self._engine.want([job])

    def enter(self, client: str, mail: Mail) -> None:
        """Somebody is on the line, in place of whoever was: a line that is dead may not be known to be."""
        with self._lock:
            if self._mail is not None:
                self._mail.close()
            self.client, self._mail, self.until = client, mail, None
            self._heard, self._numbers, self._fresh = coding.Heard(), {}, True

    def leave(self, mail: Mail, seconds: float) -> None:
        """The line is cut: the engine stays for so long."""
        with self._lock:
            if self._mail is mail:
                self._mail, self.until = None, monotonic() + seconds

    def close(self) -> None:
        """Nobody comes back."""
        with self._lock:
            self._mail = None
        self._engine.close(0)

    def want(self, mail: Mail, message: talk.Want, more: dict[str, object]) -> None:
        """Take a wish list from whoever is on the line. ValueError: it is none."""
        with self._lock:
            if self._mail is not mail:
                return
            self._heard.learn(more)
            self._numbers = {self._heard.job(number): number for number in message.jobs}
            known = {self._heard.job(number) for number in message.known}
            there = {job: info for job in self._numbers if (info := self._is_open(job)) is not None}
            # A model stays wanted: its value is kept only so long.
            missing = [job for job in self._numbers if job not in there and (job not in known or isinstance(job, Open))]
            fresh, self._fresh = self._fresh, False
        there |= self._engine.want(missing)
        with self._lock:
            self._failed = {job: failed for job, failed in self._failed.items() if job in missing}
            if self._mail is not mail:
                return
            wanted = set(self._numbers.values())
            mail.drop(lambda waiting: isinstance(waiting, talk.Came | talk.Part) and waiting.job not in wanted)
            for job, value in there.items():
                if job not in known:
                    mail.put(talk.Came(self._numbers[job], value, 0.0))
            for failed in self._failed.values() if fresh else ():
                self._tell(failed)

    def retry(self, number: int) -> None:
        """Try a failed job again. ValueError: there is none with the number."""
        job = self._heard.job(number)
        with self._lock:
            self._failed.pop(job, None)
        self._engine.retry(job)

    def _is_open(self, job: Job) -> ModelInfo | None:
        """The model that a job opens, where it is the open one and its files are as they were."""
        if self._opened is None or job != self._opened[0]:
            return None
        _, info, files = self._opened
        return info if files == _files(info.key.folder) else None

    def _said(self, event: Event) -> None:
        """In the engine's thread."""
        with self._lock:
            if isinstance(event, Done) and isinstance(event.job, Open):
                self._note_open(event.job, event.result)
            if isinstance(event, Failed):
                self._failed[event.job] = event
            self._tell(event)

    def _note_open(self, job: Open, info: ModelInfo) -> None:
        self._engine.cache.limit(room_for(info))
        if not isinstance(job, Boot):
            self._opened = job, info, _files(info.key.folder)
            shelf.remember(shelf.lasting(job.source, info.key.folder), info.name, info.key.folder)
        elif info.key.apart:  # what was read of the files is not what is there now
            self._opened = None

    def _tell(self, event: Event) -> None:
        mail = self._mail
        if mail is None or isinstance(event, Tied):
            return
        if isinstance(event, Idle):
            mail.put(talk.Rest(), "rest")
            return
        number = self._numbers.get(event.job)
        if number is None:
            return
        if isinstance(event, Progress):
            mail.put(talk.Step(number, event.stage, event.done, event.total), "step")
        elif isinstance(event, Partial):
            mail.put(talk.Part(number, event.result, event.done, event.total), ("part", number))
        elif isinstance(event, Failed):
            mail.put(talk.Lost(number, event.error, event.hint))
        else:
            mail.drop(lambda waiting: isinstance(waiting, talk.Part) and waiting.job == number)
            mail.put(talk.Came(number, event.result, event.seconds), ("came", number))




def unsendable(message: talk.Came | talk.Part, error: Exception) -> talk.Lost:
    """What is said in place of a result that does not go through the line: a fault of ours."""
    log.error("%s cannot be sent: %s", type(message.result).__name__, error)
    return talk.Lost(message.job, f"The result cannot be sent over the line ({error}).", FAULT_HINT)


def _files(folder: str) -> object:
    """Names, sizes and times of a model's files."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, (found := entry.stat()).st_size, found.st_mtime_ns) for entry in entries)
    except OSError:
        return None
