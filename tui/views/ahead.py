"""Keys that are typed ahead: behind one that closes a dialog, or does not, while it is not known yet which.

Over a slow line several keys arrive in one packet. Textual hands each to what has the focus at that moment, so a key
behind enter would be a letter of the text that enter was about, and one behind escape would be lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from textual import events
from textual.app import App

from .once import Once

EVERY, LONGEST, AFTER_ESCAPE = 0.01, 1.0, 0.2
"""Seconds between looks, until keys behind an enter go where they would have gone, and those behind another key; and
from an escape on that waits among them."""
ROUNDS = 2
"""From the app to its screen and back."""


class Ahead:
    """What was typed since."""

    def __init__(self, app: App[Any], take: Callable[[events.Event], Awaitable[None]]) -> None:
        """``take``: what the app does with a key or a paste."""
        self._app, self._take = app, take
        self._held: deque[events.Event] = deque()
        self._asked: Once[Any] | None = None
        """The dialog that decides."""
        self._until = 0.0
        self._leaving = False
        """Whether what was held is on its way: what comes now goes behind it."""

    def holds(self, event: events.Key | events.Paste) -> bool:
        """Whether it has to wait. Asked of every key and paste, in their order."""
        if self._asked is None and not self._leaving:
            self._begins(event)
            return False
        self._held.append(event)
        now = time.monotonic()
        if self._leaving and now > self._until + LONGEST:
            self._until = now  # a screen that was taken away has not passed it on
            self._app.call_later(self._let_go)
        elif _escapes(event):
            self._until = min(self._until, now + AFTER_ESCAPE)
        return True

    def _begins(self, event: events.Event) -> None:
        screen = next(reversed(self._app.screen_stack), None)  # none when the app ends
        if isinstance(event, events.Key) and isinstance(screen, Once) and screen.decides_on(event.key):
            screen.decide()
            waits = event.key == "enter" and not any(map(_escapes, self._held))
            self._asked, self._until = screen, time.monotonic() + (LONGEST if waits else AFTER_ESCAPE)
            self._app.set_timer(EVERY, self._look)

    def _look(self) -> None:
        """Whether it is decided."""
        if (asked := self._asked) is None:
            return
        if asked.deciding and asked.on_top and time.monotonic() < self._until:
            self._app.set_timer(EVERY, self._look)
            return
        self._asked, self._leaving, self._until = None, True, time.monotonic()
        self._after(ROUNDS)

    def _after(self, rounds: int) -> None:
        """What came of the key is on its way still, from the dialog over the app to the screen below: behind that."""
        if not self._app.screen_stack:
            self._held.clear()
        elif rounds:
            self._app.screen.call_later(self._app.call_later, self._after, rounds - 1)
        else:
            self._app.call_later(self._let_go)

    async def _let_go(self) -> None:
        """One after the other, as the app's own queue would have them, up to the next that a dialog decides on."""
        if self._asked is not None:
            return
        self._leaving = bool(self._held)
        if not self._held:
            return
        event = self._held.popleft()
        self._begins(event)
        self._leaving = self._asked is None
        if self._leaving:
            self._app.call_later(self._let_go)
        await self._take(event)


def _escapes(event: events.Event) -> bool:
    return isinstance(event, events.Key) and event.key == "escape"
