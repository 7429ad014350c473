"""The tour as it is walked: it watches what keys do, and never does anything by itself."""

from __future__ import annotations

from collections.abc import Awaitable

from textual.timer import Timer

from . import tour
from .scene import Says, Scene
from .views.tour import TourCard

LOOKS = 0.1
"""Seconds between two looks at what keys that are no commands have done, such as arrows."""


class Touring:
    """The step that is asked for, while there is one."""

    def __init__(self, card: TourCard, scene: Scene, notice: Says) -> None:
        self._card, self._scene, self._notice = card, scene, notice
        self._at: int | None = None
        self._timer: Timer | None = None
        self._before = scene.selection
        """As it was when the step began."""

    def start(self) -> None:
        """From the first step, also in the middle of it."""
        self._end()
        self._at = 0
        self._timer = self._card.set_interval(LOOKS, self.watch)
        self._notice.say("")
        self._ask("")

    def _end(self) -> None:
        self._at = None
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._card.hide()

    def leave(self) -> bool:
        """No more of it; whether there was any."""
        if self._at is None:
            return False
        self._end()
        self._notice.say(f"the tour is left: {tour.key('palette')} tour begins it anew", good=True)
        return True

    async def after(self, running: Awaitable[object], ran: str) -> None:
        """Wait for a command, and look at what it has done."""
        await running
        self.watch(ran)

    def watch(self, ran: str = "") -> None:
        """A command was run, or the selection is another one: the next step, if that is what this one asks for."""
        if self._at is None:
            return
        step, s = tour.STEPS[self._at], self._scene.selection
        if not step.done(self._before, s, ran):
            return
        self._at += 1
        if self._at < len(tour.STEPS):
            self._ask(step.shown(s))
            return
        self._end()
        self._notice.say(tour.farewell(), good=True)

    def _ask(self, shown: str) -> None:
        assert self._at is not None
        self._before = self._scene.selection
        place = f"Tour {self._at + 1}/{len(tour.STEPS)}"
        self._card.show(shown, place, tour.STEPS[self._at].asks(self._before))
