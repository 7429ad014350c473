"""Keys that are typed ahead: each is taken when it is known what the one before has done.

Over a slow line several keys arrive in one packet. Textual hands each to what has the focus at that moment, and what a
key does comes by messages, later: one behind enter would be a letter of the text that enter was about, one behind the
key that opens a dialog would be for what is below it, and one behind escape would be lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterator
from typing import Any

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.widgets import Input

from .once import Once

EVERY = 0.01
"""Seconds between looks at a dialog."""
TICK, WORKING = 0.05, 0.1
"""Seconds of a tick, and the share of them from which it is no idle one: on a machine that has little time for the app,
a dialog opens in more than a second, and is waited for while it does."""
LONGEST, AFTER_ESCAPE = (20, 100), (4, 20)
"""Idle ticks, and ticks of any kind, until keys are taken whatever is not known yet, and until then where escape waits
among them: it is for what does not come to an end."""
ROUNDS = 2
"""From a dialog over the app to the screen below, and what comes of it there."""


class Ahead:
    """An app's keys and pastes: those that wait, and what the last one taken is still about."""

    def __init__(
        self, app: App[Any], take: Callable[[events.Event], Awaitable[None]], steps: Container[str] = ()
    ) -> None:
        """``take``: what the app does with a key or a paste. ``steps``: keys that on its page only move, so that one
        that is held down is not waited for."""
        self._app, self._take, self._steps = app, take, steps
        self._waiting: deque[events.Key | events.Paste] = deque()
        self._turn = 0
        """Counts the keys whose outcome was waited for: a callback of an earlier one has nothing to say any more."""
        self._idle: int | None = None
        """Idle ticks since the key was taken whose outcome is not known; None: there is none."""
        self._ticks = 0
        """Ticks of any kind since then."""
        self._clocks = (0.0, 0.0)
        """Seconds that had passed at the last one, and those in which this thread worked."""
        self._behind = False
        """Whether such are on their way that were not waited for: what is no text, or step, would overtake them."""
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def at_rest(self) -> bool:
        """Whether all that was typed has been taken, and has done what it does."""
        return self._idle is None and not self._waiting

    async def take(self, event: events.Key | events.Paste) -> None:
        """Now, or behind those that wait. Called with every key and paste, in their order."""
        self._waiting.append(event)
        if self._idle is None:
            await self._next()

    async def _next(self) -> None:
        while self._idle is None and self._waiting and self._app.screen_stack:  # none when the app ends
            goes_on = self._goes_on(self._waiting[0])
            if goes_on or not self._behind:
                event, self._behind = self._waiting.popleft(), goes_on
                if not goes_on:
                    self._begin()
                await self._take(event)
            else:
                self._behind = False
                self._begin()

    def _goes_on(self, event: events.Key | events.Paste) -> bool:
        """Whether the next one goes where this one goes: text, and steps."""
        if isinstance(self._app.focused, Input):
            return isinstance(event, events.Paste) or event.is_printable
        return isinstance(event, events.Key) and event.key in self._steps and not isinstance(self._app.screen, Once)

    def _begin(self) -> None:
        focused = self._app.focused or self._app.screen
        self._turn, self._idle, self._ticks = self._turn + 1, 0, 0
        self._clocks = _now()
        # Once behind the key as it rises to whoever has it bound, and once behind what that says: it rises, too.
        self._app.call_later(self._follow, self._turn, iter([*focused.ancestors_with_self] * 2), ROUNDS)
        self._alarm = self._later(TICK, self._tick)  # a screen that is taken away may pass nothing on

    def _follow(self, turn: int, path: Iterator[MessagePump], rounds: int) -> None:
        """Behind the key, from what it was given to up to the app and once more, then so many times over all screens
        and the app."""
        if self._is_over(turn):
            return
        for pump in path:
            if pump.call_later(self._follow, turn, path, rounds):
                return  # what is closed is passed over
        if rounds:
            self._follow(turn, self._over_all(), rounds - 1)
        else:
            self._look(turn)

    def _over_all(self) -> Iterator[MessagePump]:
        """Looked up one after the other, as they are come to: a screen that is under another and has no message by then
        is passed over, for Textual paints everything anew when it takes any."""
        for screen in reversed(self._app.screen_stack):
            if screen is self._app.screen or screen.message_queue_size:
                yield screen
        yield self._app

    def _look(self, turn: int) -> None:
        """Whether the dialog on top knows what it does."""
        if self._is_over(turn):
            return
        screen = next(reversed(self._app.screen_stack), None)
        if isinstance(screen, Once) and screen.answering and not self._is_late():
            self._later(EVERY, self._look)
        else:
            self._app.call_later(self._end, turn)

    def _later(self, seconds: float, act: Callable[[int], object]) -> asyncio.TimerHandle:
        """A timer of Textual's would be a task."""
        return asyncio.get_running_loop().call_later(seconds, self._app.call_later, act, self._turn)

    async def _tick(self, turn: int) -> None:
        if self._is_over(turn):
            return
        (passed, worked), self._clocks = self._clocks, _now()
        is_idle = self._clocks[1] - worked < WORKING * (self._clocks[0] - passed)
        self._idle, self._ticks = (self._idle or 0) + is_idle, self._ticks + 1
        if self._has_waited(LONGEST):
            await self._end(turn)
        else:
            self._alarm = self._later(TICK, self._tick)

    def _has_waited(self, longest: tuple[int, int]) -> bool:
        return (self._idle or 0) >= longest[0] or self._ticks >= longest[1]

    def _is_late(self) -> bool:
        escape = any(isinstance(event, events.Key) and event.key == "escape" for event in self._waiting)
        return self._has_waited(AFTER_ESCAPE if escape else LONGEST)

    async def _end(self, turn: int) -> None:
        if self._is_over(turn):
            return
        self._idle = None
        if self._alarm is not None:
            self._alarm.cancel()
        await self._next()

    def _is_over(self, turn: int) -> bool:
        return self._idle is None or turn != self._turn


def _now() -> tuple[float, float]:
    return time.monotonic(), time.thread_time()
