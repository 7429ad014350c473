"""The one module that knows plotext: its matrices, colours and rulers, and what a text looks like in them.

plotext has one figure for the whole process, so every drawing holds one lock; it is imported on the first drawing
(0.27 s), which `warm` can bring forward to a quiet moment after the first paint.
"""

from __future__ import annotations

import atexit
import re
from functools import lru_cache
from threading import RLock
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from tui.results import Axis
from tui.text import visible, width
from tui.views.colours import RGB, Scheme, Swatch

if TYPE_CHECKING:
    import numpy as np
else:
    from tui.later import numpy as np

DRAWING = RLock()
_SPECIAL = re.compile(r"<\|[^<>|\s]{1,32}\|>")


def warm() -> None:
    """Import plotext now."""
    library()


@lru_cache(maxsize=1)
def library() -> Any:
    """plotext itself, without its limit to the size of the terminal that started the process."""
    import plotext

    plotext.terminal.limit(False, False)
    # plotext frees its objects through module globals, which the interpreter takes away first at its end.
    atexit.register(forget)
    return plotext


def forget() -> None:
    """Let go of every object of plotext's that is kept."""
    for kept in (pixel, plain_block, half_block, glyph_block):
        kept.cache_clear()


def blank(columns: int, lines: int, scheme: Scheme) -> Any:
    """A matrix of background."""
    return library().matrix(columns, lines, pixel(None, scheme.surface))


@lru_cache(maxsize=1024)
def pixel(foreground: RGB | None, background: RGB | None, style: str | None = None) -> Any:
    """plotext's colours of one character."""
    return library().pixel(foreground, background, style)


@lru_cache(maxsize=4096)
def printable(label: str) -> str:
    """A label in which plotext, Rich and `tui.text.width` agree on the width of every character.

    An axis does not say which tokens are special; their texts do: ``<|bos|>`` is written ``⟨bos⟩``.
    """
    text = visible(label, special=bool(_SPECIAL.fullmatch(label)))
    if text.isascii():
        return text
    text = "".join(char if _agreed(char) else f"<U+{ord(char):04X}>" for char in text)
    return text if cell_len(text) == width(text) else text.encode("ascii", "namereplace").decode()


def words(text: str) -> str:
    """Text that is ours, not a token's: its blanks stay blanks."""
    return " ".join(map(printable, text.split())) or "∅"


def axis_label(axis: Axis, place: int) -> str:
    """A label of an axis as it is printed: a token's blanks are seen, a component's name is words."""
    text = axis.told_apart[place] if place < len(axis.labels) else ""
    return printable(text) if axis.ids is not None else words(text)


@lru_cache(maxsize=4096)
def _agreed(char: str) -> bool:
    columns = width(char)
    return cell_len(char) == columns and bool(library().colorize(char).matrix().width() == columns)


def write(
    sheet: Any, column: int, line: int, text: str, foreground: RGB | None, background: RGB, style: str | None = None
) -> None:
    """Put a text on a matrix; plotext drops what lies outside."""
    if text:
        sheet.insert(column, line, library().colorize(text).fill(pixel(foreground, background, style)).matrix())


@lru_cache(maxsize=4096)
def plain_block(background: RGB, wide: int, tall: int) -> Any:
    """A matrix of one colour."""
    return library().matrix(wide, tall, pixel(None, background))


@lru_cache(maxsize=4096)
def half_block(upper: RGB, lower: RGB, wide: int) -> Any:
    """One line of two colours above each other."""
    return library().colorize("▀" * wide).fill(pixel(upper, lower)).matrix()


@lru_cache(maxsize=4096)
def glyph_block(swatch: Swatch, widths: tuple[int, ...], tall: int) -> Any:
    """Cells of one level beside each other, each as many columns wide, filled with its glyph."""
    ink = pixel(swatch.foreground, swatch.background)
    block = library().matrix(sum(widths), tall, ink)
    line = library().colorize("".join(swatch.text(columns) for columns in widths)).fill(ink).matrix()
    for number in range(tall):
        block.insert(0, number, line)
    return block


def prepare_figure(columns: int, lines: int, scheme: Scheme) -> Any:
    """plotext's figure, cleared, of this size and in these colours: its default theme paints white."""
    figure = library().figure
    figure.clear()
    figure.plot_size(columns, lines)
    figure.canvas(scheme.surface)
    figure.axes(True, pixel=pixel(scheme.frame, scheme.surface))
    # All four rulers: the corners take the colour of rulers that are not shown.
    rulers = figure.ruler("both", "both")
    rulers.pixel(pixel(scheme.muted, scheme.surface))
    rulers.frequency(0)
    return figure


def number(value: float, sign: bool = False) -> str:
    """A value in three or four digits, with a true minus."""
    if not np.isfinite(value):
        return "–" if np.isnan(value) else ("∞" if value > 0 else "−∞")
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 9999.5 or size < 0.001:
        text = f"{size:.1e}".replace("e+0", "e").replace("e-0", "e−").replace("e+", "e").replace("e-", "e−")
    else:
        power = max(-2, int(np.floor(np.log10(float(f"{size:.2e}")))))  # of what it is rounded to: 0.9999 is 1.00
        text = f"{size:.{max(0, 2 - power)}f}" if size < 99.5 else f"{size:.0f}"
    return ("−" if value < 0 else "+" if sign else "") + text
