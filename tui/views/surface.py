"""What the drawn widgets share: the theme's colours, cached lines, and Segments laid over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import wrap
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from tui.text import shorten, visible, width
from tui.views.colours import Mode, Scheme, mix, mode_of

STALE_AFTER = 0.25
"""Seconds."""


class Drawing(Widget, can_focus=True):
    """A widget whose lines are drawn once and kept; what moves on them is laid over line by line."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"plot--label", "plot--frame", "plot--cursor", "plot--message"}
    DEFAULT_CSS = """
    Drawing { width: 1fr; height: 1fr; }
    Drawing > .plot--label { color: $foreground 65%; }
    Drawing > .plot--frame { color: $foreground 30%; }
    Drawing > .plot--cursor { color: $text-accent; text-style: bold; }
    Drawing > .plot--message { color: $foreground 65%; }
    """

    stale: reactive[bool] = reactive(False, repaint=False)
    """A newer result is being computed: one line says so after a moment, the picture stays."""
    message: reactive[str] = reactive("", repaint=False)
    """What to say while there is nothing to draw; may have several lines."""
    mode: reactive[Mode | None] = reactive(None, repaint=False)
    """Colours to draw with; None: those of the terminal."""

    _kept_scheme: Scheme | None = None
    _frame: tuple[Size, Sequence[Strip] | None] | None = None
    """Size and lines while they are being rendered."""

    @property
    def scheme(self) -> Scheme:
        """The widget's surface and component colours, in the colours that its terminal has."""
        if self._kept_scheme is None:
            self._kept_scheme = self._read_scheme()
        return self._kept_scheme

    def _read_scheme(self) -> Scheme:
        surface = self.background_colors[1]
        names = ("label", "frame", "cursor")
        muted, frame, accent = (self.get_component_styles(f"plot--{name}").color for name in names)
        return replace(
            scheme_of(self, self.mode),
            muted=(surface + muted).rgb,
            frame=(surface + frame).rgb,
            accent=(surface + accent).rgb,
        )

    def lines(self) -> Sequence[Strip] | None:
        """The picture, drawn or remembered; None where there is none."""
        raise NotImplementedError

    def line_with_cursor(self, strip: Strip, y: int) -> Strip:
        """A line of the picture with what the cursor changes on it."""
        return strip

    def action_cursor(self, down: int, right: int = 0) -> None:
        """Move the cursor; a picture without one stays as it is, also by the next three."""

    def action_page(self, down: int) -> None:
        """Move by about half of what is shown."""

    def action_edge(self, side: int, down: int = 0) -> None:
        """Go to the first (-1) or the last (1) column (``side``) or row (``down``); 0 stays."""

    def action_open(self) -> None:
        """Enter on what has the cursor."""

    @property
    def stale_line(self) -> int:
        """The line that says that the picture is old."""
        return 0

    _marked = False
    _marking: Timer | None = None

    def watch_stale(self) -> None:
        # A result that comes at once must not flicker, nor send the line twice.
        if self._marking is not None:
            self._marking.stop()
            self._marking = None
        if self.stale:
            # It may be called when it was stopped too late.
            self._marking = self.set_timer(STALE_AFTER, lambda: self._mark(self.stale))
        else:
            self._mark(False)

    def _mark(self, marked: bool) -> None:
        if marked != self._marked:
            self._marked = marked
            self.refresh(Region(0, self.stale_line, max(1, self.content_size.width), 1))

    def watch_message(self) -> None:
        if self.lines() is None:
            self.refresh()

    def watch_mode(self) -> None:
        self._kept_scheme = None
        self.refresh()

    def on_mount(self) -> None:
        # Pictures are drawn in the theme's colours, which are part of what they are remembered by.
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return container.width

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return container.height

    def render_lines(self, crop: Region) -> list[Strip]:
        # Reading styles and sizes costs 0.2 ms: once a frame, not once a line.
        self._kept_scheme = None
        self._frame = self.content_size, self.lines()
        try:
            return super().render_lines(crop)
        finally:
            self._frame = None

    def render_line(self, y: int) -> Strip:
        size, strips = self._frame or (self.content_size, self.lines())
        if strips is None or y >= len(strips):
            room = max(1, size.width - 4)
            words = [part for text in self.message.splitlines() for part in wrap(text, room)] if strips is None else []
            line = y - max(0, (size.height - len(words)) // 2)
            text = words[line] if 0 <= line < len(words) else ""
            return _words(text, size.width, self.get_component_rich_style("plot--message"))
        strip = self.line_with_cursor(strips[y], y)
        if self._marked and y == self.stale_line:
            style = self.get_component_rich_style("plot--cursor") + Style(reverse=True)
            strip = laid_over(strip, 0, [Segment(shorten(" computing … ", size.width), style)])
        return strip


def scheme_of(widget: Widget, mode: Mode | None = None) -> Scheme:
    """A widget's surface and text, in the colours that its terminal has unless told."""
    surface = widget.background_colors[1]
    text = surface + widget.colors[3]
    muted = mix(text.rgb, surface.rgb, 0.35)
    return Scheme(mode or mode_of(widget.app), surface.rgb, text.rgb, muted, dark=surface.brightness < 0.5)


def laid_over(strip: Strip, x: int, segments: Sequence[Segment]) -> Strip:
    """A strip with segments in place of what is at column ``x``."""
    over = Strip(segments)
    return Strip.join([strip.crop(0, x), over, strip.crop(x + over.cell_length, strip.cell_length)])


def restyled(strip: Strip, x: int, end: int, style: Style, text: str | None = None) -> Strip:
    """A strip with a style laid on columns ``x`` to ``end``, and another text there where one is given."""
    if end <= x:
        return strip
    under = strip.crop(x, end)
    if text is not None:
        return laid_over(strip, x, [Segment(text, style)])
    return laid_over(strip, x, [Segment(part.text, (part.style or Style()) + style) for part in under])


def _words(text: str, columns: int, style: Style) -> Strip:
    text = shorten(" ".join(map(visible, text.split())), columns)
    before = max(0, (columns - width(text)) // 2)
    return Strip([Segment(" " * before + text + " " * (columns - before - width(text)), style)], columns)
