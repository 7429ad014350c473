"""A keeper in this process, screens that talk to it over socket pairs, and lines that the test cuts."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from tests.app.recorded import RecordedBench
from tests.engine.fakes import SOON, Events, wait_until
from tui.engine.events import Tied
from tui.engine.jobs import Open, Tokenize
from tui.engine.jobs.base import Job
from tui.host import Host
from tui.remote.far import FarEngine
from tui.remote.keeper import Keeper
from tui.remote.line import Line, Pipes
from tui.remote.reach import Reached, reach

BOX = Host("me@box.example.org", linger=1.0)


class Cord(Pipes):
    """A line over a socket pair."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(end.fileno(), end.fileno())
        self.end = end

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.end.shutdown(socket.SHUT_RDWR)

    leave = close

    def why(self) -> tuple[int | None, str]:
        return 255, "client_loop: send disconnect: Broken pipe\n"


class Network:
    """Makes lines to the keeper, and cuts them."""

    def __init__(self, keeper: Callable[[], Keeper]) -> None:
        self._keeper = keeper
        self.lines: list[Cord] = []
        self.there = threading.Event()
        """Cleared: nobody can connect."""
        self.there.set()
        self.dialled = 0

    def dial(self, asks: bool) -> Line:
        self.dialled += 1
        if not self.there.is_set():
            raise OSError(113, "No route to host")
        ours, theirs = socket.socketpair()
        self._keeper().receive(theirs)
        line = Cord(ours)
        self.lines.append(line)
        return line

    def cut(self) -> None:
        """Every line that there is."""
        for line in self.lines:
            line.close()
        self.lines.clear()


class Screen:
    """One screen's engine, and what it said."""

    def __init__(self, reached: Reached) -> None:
        self.reached = reached
        self.events = Events()
        self.engine = FarEngine(self.events.append, reached, back_off=(0.01,))
        self.engine.start()

    def value(self, job: Job, seconds: float = SOON) -> Any:
        """The value of a job, wanted and waited for."""
        there = self.engine.want([job])
        wait_until(lambda: self.engine.cached(job) is not None or job in self.events.failed, seconds)
        return there.get(job, self.engine.cached(job))

    @property
    def tied(self) -> list[Tied]:
        return self.events.of(Tied)

    @property
    def cuts(self) -> int:
        return sum(bool(event.trouble) for event in self.tied)

    def is_tied(self) -> bool:
        return bool(self.tied) and not self.tied[-1].trouble


class Rig:
    """A keeper with recorded benches, one a room."""

    def __init__(self, **options: Any) -> None:
        self.benches: list[RecordedBench] = []
        self.keeper = Keeper(self._bench, **options)
        self.network = Network(lambda: self.keeper)
        self.screens: list[Screen] = []

    def _bench(self) -> RecordedBench:
        self.benches.append(RecordedBench())
        return self.benches[-1]

    @property
    def computed(self) -> list[Job]:
        """All that was ever computed."""
        return [job for bench in self.benches for job in bench.computed]

    def reached(self, host: Host = BOX, adopts: bool = False) -> Reached:
        return reach(host, self.network.dial, adopts)

    def screen(self, host: Host = BOX, adopts: bool = False) -> Screen:
        """Another screen, connected."""
        screen = Screen(self.reached(host, adopts))
        self.screens.append(screen)
        wait_until(screen.is_tied)
        return screen

    def opened(self) -> tuple[Screen, Tokenize]:
        """A screen with a model, and a job that it has not asked for yet."""
        screen = self.screen()
        info = screen.value(Open("demo"))
        return screen, Tokenize(info.key, "France is Paris", True)

    def restart(self) -> None:
        """The keeper has died, with all that it kept; another one is there."""
        old, self.keeper = self.keeper, Keeper(self._bench)
        self.network.cut()
        old.close()

    def close(self) -> None:
        for screen in self.screens:
            screen.engine.close(2.0)
        self.network.cut()
        self.keeper.close()
