"""The one module that knows plotext: a Result and a size go in, lines of cached Segments come out.

plotext draws the frame: axes, ticks, row and column labels. The cells are plotext blocks (``plt.matrix``), inserted
into that frame run by run, which is exact and five times faster than ``figure.heatmap``. One ``string()`` of the whole
is then cut into Segments by a regular expression with cached styles: 20 times faster than ``Text.from_ansi``. Texts in
cells are laid over these lines, for plotext has no labelled cells.

plotext has one figure for the whole process, so every drawing holds one lock; it is imported on the first drawing
(0.27 s), which `warm` can bring forward to a quiet moment after the first paint.
"""

from __future__ import annotations

import atexit
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from threading import RLock
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from tui.results import Axis, Grid
from tui.text import shorten, visible, width
from tui.views.ansi import strips_of
from tui.views.colours import RGB, Palette, Scale, Scheme, Swatch, contrast, mix, palette, scale_of
from tui.views.geometry import Layout, block_extremes, extreme_cell, lay

if TYPE_CHECKING:
    import numpy as np
else:
    from tui.later import numpy as np

DRAWING = RLock()
_SPECIAL = re.compile(r"<\|[^<>|\s]{1,32}\|>")


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawn grid: its lines, and where each cell is on them."""

    strips: tuple[Strip, ...]
    layout: Layout
    levels: np.ndarray
    """``[blocks down, blocks across]`` int16: level of each block shown, -1 where masked."""
    palette: Palette
    scale: Scale
    grid: Grid

    def cell_region(self, row: int, col: int) -> Region | None:
        """Rectangle of a cell, None where it is outside the window."""
        return self.layout.region(row, col)

    def cell_at(self, x: int, y: int) -> tuple[int, int] | None:
        """The cell on a character; of a block of cells, the one whose value it shows."""
        block = self.layout.block_at(x, y)
        return None if block is None else self.cell_of(block)

    def block_of(self, row: int, col: int) -> tuple[int, int] | None:
        down, across = self.layout.rows.block(row), self.layout.cols.block(col)
        return None if down is None or across is None else (down, across)

    def cell_of(self, block: tuple[int, int]) -> tuple[int, int]:
        """The cell whose value a block shows."""
        return extreme_cell(self.grid.values, self.layout.rows, self.layout.cols, block, self.grid.diverging)

    def swatch(self, row: int, col: int) -> Swatch | None:
        """How the block of a cell is drawn, None where it is masked or outside."""
        block = self.block_of(row, col)
        level = -1 if block is None else int(self.levels[block])
        return None if level < 0 else self.palette.swatches[level]

    @cached_property
    def is_blocked(self) -> bool:
        """Whether some block stands for more than one cell."""
        rows, cols = self.layout.rows, self.layout.cols
        return rows.starts[-1] - rows.starts[0] > len(rows) or cols.starts[-1] - cols.starts[0] > len(cols)


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
    for kept in (pixel, _plain_block, _glyph_block):
        kept.cache_clear()


def picture(
    grid: Grid,
    width_: int,
    height: int,
    scheme: Scheme | None = None,
    *,
    fit: bool = False,
    origin: tuple[int, int] = (0, 0),
    scale: Scale | None = None,
) -> Picture:
    """Draw a grid.

    ``fit`` shows the whole matrix, else ``origin`` is the first cell shown where it is larger than the window. A
    ``scale`` makes several pictures comparable; without one the colours span the grid's limits, else its own values.
    """
    scheme = scheme or Scheme()
    width_, height = max(1, width_), max(1, height)
    with DRAWING:
        layout = lay(grid, width_, height, axis_label, fit, origin)
        scale = scale or scale_of(grid.values, grid.diverging, grid.limits)
        colours = palette(scheme, grid.diverging)
        shown = block_extremes(grid.values, layout.rows.starts, layout.cols.starts, grid.diverging)
        levels = scale.levels(shown, len(colours))
        sheet = blank(width_, height, scheme)
        if levels.size:
            sheet.insert(0, layout.label_lines if layout.upright else 0, _frame(layout, scheme))
            _insert_heads(sheet, layout, scheme)
            insert_cells(sheet, levels, layout, colours)
        if layout.legend:
            _insert_legend(sheet, grid, layout, colours, scale, scheme)
        strips = strips_of(sheet.string(), width_)
        if layout.texts and grid.text is not None:
            strips = _with_texts(strips, grid.text, layout, levels, colours, scheme)
        return Picture(strips, layout, levels, colours, scale, grid)


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
    text = axis.labels[place] if place < len(axis.labels) else ""
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


def _frame(layout: Layout, scheme: Scheme) -> Any:
    """Axes with row labels and, where they lie, column labels, around an empty canvas."""
    cols, rows = layout.cols, layout.rows
    above = 0 if layout.upright else layout.label_lines
    figure = prepare_figure(layout.right, rows.size + layout.axis + above, scheme)
    figure.axes(False, axis="x", side="lower")
    figure.axes(False, axis="y", side="right")
    if not layout.axis:
        figure.axes(False)
    if layout.row_labels:
        left = figure.ruler("y", "left")
        # A ruler of exactly one unit a line, so that a tick's place is its line; plotext counts from below.
        left.lim(0, max(1, rows.size - 1))
        left.ticks([rows.size - 1 - layout.label_line(i) for i in range(len(rows))], list(layout.row_labels))
    if above:
        upper = figure.ruler("x", "upper")
        upper.lim(0, max(1, cols.size - 1))
        upper.alignment(tick="left")
        shown = _unhindered(layout)
        upper.ticks([cols.edges[i] + layout.texts for i in shown], [layout.col_labels[i] for i in shown])
    return figure.build()


def _unhindered(layout: Layout) -> list[int]:
    """Blocks whose labels on their side leave a gap to the next."""
    shown, free = [], 0
    for i, text in enumerate(layout.col_labels):
        if layout.cols.edges[i] >= free and layout.cols.edges[i] + width(text) <= layout.cols.size:
            shown.append(i)
            free = layout.cols.edges[i] + width(text) + 1
    return shown


def _insert_heads(sheet: Any, layout: Layout, scheme: Scheme) -> None:
    """Column labels that stand, each with its end at the axis: plotext has no such ticks."""
    if not layout.upright:
        return
    columns = layout.cols.size
    lines = [[" "] * columns for _ in range(layout.label_lines)]
    for i, text in enumerate(layout.col_labels):
        place, end = layout.cols.edges[i], layout.cols.edges[i + 1]
        if end - place == 1 and i % 2:
            continue  # letters that touch on both sides are read by nobody
        middle = (place + end - 1) // 2
        for line, char in enumerate(text, layout.label_lines - len(text)):
            if width(char) == 1 or middle + 1 == end:
                lines[line][middle] = char if width(char) == 1 else "?"
            else:
                lines[line][middle : middle + 2] = char, ""
    for line, chars in enumerate(lines):
        write(sheet, layout.left, line, "".join(chars), scheme.muted, scheme.surface)


def insert_cells(sheet: Any, levels: np.ndarray, layout: Layout, colours: Palette) -> None:
    """Insert one plotext block for every run of equal cells in a row."""
    insert, swatches = sheet.insert, colours.swatches
    x = [layout.left + edge for edge in layout.cols.edges]
    for down, row in enumerate(levels):
        y = layout.top + layout.rows.edges[down]
        tall = layout.rows.edges[down + 1] - layout.rows.edges[down]
        ends = [*(np.flatnonzero(row[1:] != row[:-1]) + 1).tolist(), len(row)]
        start = 0
        for end, level in zip(ends, row[[end - 1 for end in ends]].tolist(), strict=True):
            if level >= 0:
                swatch = swatches[level]
                if swatch.glyph:
                    widths = tuple(x[i + 1] - x[i] for i in range(start, end))
                    insert(x[start], y, _glyph_block(swatch, widths, tall))
                else:
                    insert(x[start], y, _plain_block(swatch.background, x[end] - x[start], tall))
            start = end


@lru_cache(maxsize=4096)
def _plain_block(background: RGB, wide: int, tall: int) -> Any:
    return library().matrix(wide, tall, pixel(None, background))


@lru_cache(maxsize=4096)
def _glyph_block(swatch: Swatch, widths: tuple[int, ...], tall: int) -> Any:
    ink = pixel(swatch.foreground, swatch.background)
    block = library().matrix(sum(widths), tall, ink)
    line = library().colorize("".join(swatch.text(columns) for columns in widths)).fill(ink).matrix()
    for number in range(tall):
        block.insert(0, number, line)
    return block


def _with_texts(
    strips: Sequence[Strip],
    texts: Sequence[Sequence[str]],
    layout: Layout,
    levels: np.ndarray,
    colours: Palette,
    scheme: Scheme,
) -> tuple[Strip, ...]:
    """The lines with their cells written on. A block of several cells has no text, nor has a masked cell."""
    out = list(strips)
    edges, first = layout.cols.edges, layout.cols.starts[0]
    sizes = [end - start for start, end in pairwise(edges)]
    plain = _ink(scheme.text, scheme.surface)
    for down, row in enumerate(levels.tolist()):
        at, end = layout.rows.starts[down : down + 2]
        if end - at > 1:
            continue
        runs = [("", plain)]
        for text, level, size in zip(texts[at][first:], row, sizes, strict=False):
            swatch = None if level < 0 else colours.swatches[level]
            if swatch is None:
                pieces = [(" " * size, plain)]
            elif swatch.glyph:
                pieces = [(swatch.mark, _ink(swatch.foreground, swatch.background)), (in_cell(text, size - 1), plain)]
            else:
                pieces = [(" " + in_cell(text, size - 1, 0), _ink(contrast(swatch.background), swatch.background))]
            for part, style in pieces:
                if style is runs[-1][1]:
                    runs[-1] = (runs[-1][0] + part, style)
                else:
                    runs.append((part, style))
        y = layout.top + layout.rows.edges[down]
        cells = Strip([Segment(part, style) for part, style in runs if part], layout.cols.size)
        line = out[y]
        out[y] = Strip.join([line.crop(0, layout.left), cells, line.crop(layout.right)])
    return tuple(out)


@lru_cache(maxsize=4096)
def _ink(foreground: RGB | None, background: RGB) -> Style:
    colour = None if foreground is None else Color.from_rgb(*foreground)
    return Style(color=colour, bgcolor=Color.from_rgb(*background))


@lru_cache(maxsize=16384)
def in_cell(text: str, columns: int, spare: int = 1) -> str:
    """A token's text in exactly so many columns, the last ``spare`` of them blank; no text is blank."""
    shown = shorten(printable(text), columns - spare) if text else ""
    return shown + " " * (columns - width(shown))


def _insert_legend(sheet: Any, grid: Grid, layout: Layout, colours: Palette, scale: Scale, scheme: Scheme) -> None:
    """The last line: axis names and the part shown at the left, the colour bar with its ends at the right."""
    line = layout.height - 1
    low, high = number(scale.low, sign=grid.diverging), number(scale.high, sign=grid.diverging)
    bar = min(2 * len(colours) if scheme.glyphs else len(colours), max(3, layout.width // 4))
    bar -= 1 - bar % 2
    total = len(low) + bar + len(high) + 2
    if total > layout.width:
        return
    start = max(0, min(layout.width, max(layout.right, 56)) - total)
    write(sheet, start, line, low, scheme.muted, scheme.surface)
    write(sheet, start + total - len(high), line, high, scheme.muted, scheme.surface)
    one_wide = layout.cols.size == len(layout.cols)  # such cells have glyphs of their own, and so has the bar
    for i in range(bar):
        swatch = colours.swatches[round(i * (len(colours) - 1) / (bar - 1))]
        glyph = swatch.mark if layout.texts else swatch.narrow if one_wide else swatch.glyph
        write(sheet, start + len(low) + 1 + i, line, glyph or " ", swatch.foreground, swatch.background)
    text = axes_line(grid, layout, start - 2)
    write(sheet, 0, line, text, mix(scheme.muted, scheme.surface, 0.3), scheme.surface)


def axes_line(grid: Grid, layout: Layout, columns: int) -> str:
    """Names of the axes, and of a larger matrix the part that is shown: what fits of it."""
    rows, cols, count = layout.rows, layout.cols, grid.values.shape
    names = [f"↓ {words(grid.rows.name or 'row')}", f"→ {words(grid.cols.name or 'column')}"]
    plain, texts = "  ".join(names), [""]
    ends = [(span.starts[0] + 1, span.starts[-1], total) for span, total in zip((rows, cols), count, strict=True)]
    if grid.values.size and any(last - first + 1 < total for first, last, total in ends):
        parts = [f"{first}–{last}/{total}" for first, last, total in ends]
        # With less room only the axis of which a part is shown says so.
        short = [f"{name} {part}" if last - first + 1 < total else name
                 for name, part, (first, last, total) in zip(names, parts, ends, strict=True)]  # fmt: skip
        texts = [f"{plain}   {' × '.join(parts)}", "  ".join(short), " × ".join(parts)]
    elif len(rows) < count[0] or len(cols) < count[1]:
        part = f"{count[0]}×{count[1]} in blocks"
        texts = [f"{plain}   {part}", part]
    return next((text for text in texts if text and width(text) <= columns), shorten(plain, columns))


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
        text = f"{size:.{max(0, 2 - max(-2, int(np.floor(np.log10(size)))))}f}" if size < 100 else f"{size:.0f}"
    return ("−" if value < 0 else "+" if sign else "") + text
