"""When to draw: held keys give few pictures, the last one always; what costs a screenful of bytes waits for rest."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.timer import Timer

AWAITED = 0.06
"""Seconds that a change waits for what it shows: most results come sooner, and one frame is painted instead of two."""
PANEL_PAUSE = 0.25
"""Seconds that the cursor must rest before the side panel follows: it is a screenful of bytes, a cursor move is not."""
TYPING_PAUSE = 0.15
"""Seconds after the last typed character before the prompt is run."""


class Pace:
    """Delays by name: another call of the same name takes the place of the one that waits."""

    def __init__(
        self, set_timer: Callable[[float, Callable[[], object]], Timer], draw: Callable[[], object], draw_pause: float
    ) -> None:
        self.draw_pause = draw_pause
        """Seconds between two redraws while heads fly by: a slow link must not queue pictures nobody will see."""
        self.panel_pause = PANEL_PAUSE
        self.typing_pause = TYPING_PAUSE
        self._set_timer, self._draw = set_timer, draw
        self._waiting: dict[str, Timer] = {}
        self._due = 0.0
        """When the picture is drawn that waits."""
        self._drawn_at = 0.0

    def later(self, name: str, seconds: float, call: Callable[[], object]) -> None:
        """Call once, in so many seconds."""

        def now() -> None:
            self._waiting.pop(name, None)
            call()

        self.cancel(name)
        self._waiting[name] = self._set_timer(seconds, now)

    def cancel(self, name: str) -> None:
        """Do not call what waits under this name."""
        if (timer := self._waiting.pop(name, None)) is not None:
            timer.stop()

    def waits(self, name: str) -> bool:
        """Whether a call of this name is to come."""
        return name in self._waiting

    def draw(self, rest: float = 0.0) -> None:
        """Draw now, or shortly if a picture was drawn just before. ``rest``: no sooner than in so many seconds, unless
        another call asks for it."""
        now = time.monotonic()
        due = max(now + rest, self._drawn_at + self.draw_pause)
        if self.waits("draw") and self._due <= due:
            return
        if due <= now:
            self._draw()
        else:
            self._due = due
            self.later("draw", due - now, self._draw)

    def draw_now(self) -> None:
        """Draw what waits."""
        self._draw()

    def drawn(self) -> None:
        """A picture is drawn now: nothing waits any longer."""
        self.cancel("draw")
        self._drawn_at = time.monotonic()
