"""What the drawn widgets share: the theme's colours, and Segments laid over cached lines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from tui.text import shorten, visible, width
from tui.views.colours import RGB, Mode, Scheme, mode_of

COMPONENTS = {"plot--label", "plot--frame", "plot--cursor", "plot--message"}
"""Component classes of every drawn widget: a theme or the application's CSS may colour them."""


def component_css(widget: str) -> str:
    """The default CSS of a drawn widget."""
    return f"""
    {widget} {{ width: 1fr; height: 1fr; }}
    {widget} > .plot--label {{ color: $foreground 65%; }}
    {widget} > .plot--frame {{ color: $foreground 30%; }}
    {widget} > .plot--cursor {{ color: $text-accent; text-style: bold; }}
    {widget} > .plot--message {{ color: $foreground 65%; }}
    """


def scheme_of(widget: Widget, mode: Mode | None = None) -> Scheme:
    """The widget's surface and component colours, in the colours that its terminal has."""
    surface = widget.background_colors[1]
    styles = {name: widget.get_component_styles(f"plot--{name}") for name in ("label", "frame", "cursor")}
    ink = {name: surface + style.color for name, style in styles.items()}
    return Scheme(
        mode=mode or mode_of(widget.app),
        surface=_rgb(surface),
        text=_rgb(surface + widget.colors[3]),
        muted=_rgb(ink["label"]),
        frame=_rgb(ink["frame"]),
        accent=_rgb(ink["cursor"]),
        dark=surface.brightness < 0.5,
    )


def _rgb(colour: Color) -> RGB:
    return colour.rgb


def laid_over(strip: Strip, x: int, segments: Sequence[Segment]) -> Strip:
    """A strip with segments in place of what is at column ``x``."""
    over = Strip(segments)
    return Strip.join([strip.crop(0, x), over, strip.crop(x + over.cell_length, strip.cell_length)])


def message_strip(text: str, columns: int, style: Style) -> Strip:
    """One line of words in the middle of ``columns``."""
    text = shorten(" ".join(map(visible, text.split())), columns)
    before = max(0, (columns - width(text)) // 2)
    return Strip([Segment(" " * before + text + " " * (columns - before - width(text)), style)], columns)
