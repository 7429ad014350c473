"""The smallest application around one widget, with the messages that it posts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip

from tui.views.ahead import Ahead
from tui.views.chart import Bars
from tui.views.colours import Mode
from tui.views.frame import send_changes
from tui.views.gallery import Thumbnails
from tui.views.heatmap import Heatmap
from tui.views.surface import Drawing


class Frugal(App[None]):
    """Takes keys as the app takes them, and sends what it sends: changes."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = Ahead(self, super().on_event)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            await self.ahead.take(event)
        else:
            await super().on_event(event)

    def get_default_screen(self) -> Screen[Any]:
        screen = super().get_default_screen()
        send_changes(screen)
        return screen


class Stage(Frugal):
    CSS = "Drawing { border: round $border; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"go({down},{right})") for key, down, right in
          (("down", 1, 0), ("up", -1, 0), ("right", 0, 1), ("left", 0, -1))),
        Binding("enter", "on('open')"), Binding("z", "on('fit')"),
        Binding("home", "edge(-1)"), Binding("end", "edge(1)"), Binding("pagedown", "page(1)"),
    ]  # fmt: skip

    def __init__(self, widget: Drawing, theme: str | None = None, mode: Mode = "truecolor") -> None:
        super().__init__()
        self.widget = widget
        widget.mode = mode
        self.wanted_theme = theme
        self.said: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_mount(self) -> None:
        if self.wanted_theme:
            self.theme = self.wanted_theme
        self.widget.focus()

    def action_go(self, down: int, right: int) -> None:
        if isinstance(self.widget, Bars):
            self.widget.action_cursor(down)
        elif isinstance(self.widget, Heatmap | Thumbnails):
            self.widget.action_cursor(down, right)

    def action_on(self, name: str) -> None:
        getattr(self.widget, f"action_{name}")()

    def action_edge(self, side: int) -> None:
        self.widget.action_edge(side)

    def action_page(self, side: int) -> None:
        self.widget.action_page(side)

    def on_heatmap_cursor_moved(self, message: Message) -> None:
        self.said.append(message)

    on_heatmap_opened = on_bars_cursor_moved = on_bars_opened = on_heatmap_cursor_moved
    on_thumbnails_cursor_moved = on_thumbnails_opened = on_heatmap_cursor_moved

    def names(self) -> list[tuple[str, ...]]:
        """What was said: class name and numbers."""
        out = []
        for message in self.said:
            numbers = [getattr(message, name) for name in ("row", "col", "index") if hasattr(message, name)]
            out.append((type(message).__name__, *map(str, numbers)))
        return out

    def lines(self) -> list[Strip]:
        """The widget's content as rendered now."""
        return [self.widget.render_line(y) for y in range(self.widget.content_size.height)]


def burst(app: App[None], keys: Sequence[str]) -> None:
    """Keys as a slow link delivers them: several before the first has been looked at."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def taken(app: Frugal, pilot: Pilot[None]) -> None:
    """Wait until all that was typed has been taken."""
    await pilot.pause()
    while not app.ahead.at_rest:
        await pilot.pause(0.01)
    await pilot.pause()


def count_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each frame; to be called before the app runs, for what was not sent is sent again."""
    out: list[int] = []
    display = App._display

    def counted(self: App[None], screen: Any, renderable: Any) -> None:
        if hasattr(renderable, "render_segments"):
            out.append(len(renderable.render_segments(self.console).encode()))
        display(self, screen, renderable)

    monkeypatch.setattr(App, "_display", counted)
    return out


async def costs_of_moves(app: Stage, pilot: Pilot[None], sent: list[int], seed: int = 0) -> list[int]:
    """Bytes of each of 200 random cursor moves that draw no other picture."""
    widget, rng, out = app.widget, random.Random(seed), []
    assert isinstance(widget, Heatmap)
    await quiet(pilot, sent)
    while len(out) < 200:
        shown = widget.picture
        widget.action_cursor(*rng.choice(((0, 1), (0, -1), (1, 0), (-1, 0))))
        if widget.picture is not shown:
            await quiet(pilot, sent)
            continue
        app.screen._compositor.update_widgets({widget})
        update = app.screen._compositor.render_update(screen_stack=app.screen_stack)
        if update is not None:
            app._display(app.screen, update)
            out.append(sum(sent))
        sent.clear()
    return out


async def quiet(pilot: Pilot[None], sent: list[int]) -> int:
    """Wait until nothing is sent any more; the bytes that were, which are forgotten then."""
    count = -1
    while len(sent) != count:
        count = len(sent)
        await pilot.pause(0.1)
    total = sum(sent)
    sent.clear()
    return total


def screen_lines(app: App[None]) -> list[str]:
    """What the terminal shows."""
    return [strip.text for strip in app.screen._compositor.render_strips()]
