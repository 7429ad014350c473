"""A drawn Grid: a Result and a size go in, lines of cached Segments come out.

plotext draws the frame: axes, ticks, row and column labels. The cells are plotext blocks (``plt.matrix``), inserted
into that frame run by run, which is exact and five times faster than ``figure.heatmap``. One ``string()`` of the whole
is then cut into Segments by a regular expression with cached styles: 20 times faster than ``Text.from_ansi``. What is
written in cells is laid over these lines, for plotext has no labelled cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from textual.geometry import Region
from textual.strip import Strip

from tui.results import Grid
from tui.text import shorten, width
from tui.views import plot
from tui.views.ansi import strips_of
from tui.views.cells import written_on
from tui.views.colours import Palette, Scale, Scheme, Swatch, mix, palette, scale_of
from tui.views.geometry import NUMBER, Layout, block_extremes, extreme_cell, lay

if TYPE_CHECKING:
    import numpy as np
else:
    from tui.later import numpy as np


Glyphs = Literal["mark", "narrow", "glyph"]
"""Which of a swatch's characters a picture is drawn with, where colours are few."""


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

    def named(self, row: int, col: int) -> tuple[int, int]:
        """The cell that a cell's block is drawn after: of a block of several, the one whose value it shows."""
        block = self.block_of(row, col) if self.is_blocked else None
        return (row, col) if block is None else self.cell_of(block)

    def swatch(self, row: int, col: int) -> Swatch | None:
        """How the block of a cell is drawn, None where it is masked or outside."""
        block = self.block_of(row, col)
        return None if block is None else self.swatch_of(*block)

    def swatch_of(self, down: int, across: int) -> Swatch | None:
        """How a block is drawn, None where it is masked or there is none."""
        level = int(self.levels[down, across]) if down < len(self.levels) else -1
        return None if level < 0 else self.palette.swatches[level]

    @cached_property
    def is_blocked(self) -> bool:
        """Whether some block stands for more than one cell."""
        rows, cols = self.layout.rows, self.layout.cols
        return rows.starts[-1] - rows.starts[0] > len(rows) or cols.starts[-1] - cols.starts[0] > len(cols)


def picture(
    grid: Grid,
    width_: int,
    height: int,
    scheme: Scheme | None = None,
    *,
    fit: bool = False,
    origin: tuple[int, int] = (0, 0),
    scale: Scale | None = None,
    numbers: bool = True,
    halves: bool = False,
) -> Picture:
    """Draw a grid.

    ``fit`` shows the whole matrix, else ``origin`` is the first cell shown where it is larger than the window. A
    ``scale`` makes several pictures comparable; without one the colours span the grid's limits, else its own values.
    ``numbers``: cells that have room show their values. ``halves``: rows that are more than lines are half a line high,
    where there are colours.
    """
    scheme = scheme or Scheme()
    width_, height = max(1, width_), max(1, height)
    with plot.DRAWING:
        layout = lay(grid, width_, height, plot.axis_label, fit, origin, numbered(numbers, scheme),
                     halves and not scheme.glyphs)  # fmt: skip
        scale = scale or scale_of(grid.values, grid.diverging, grid.limits)
        colours = palette(scheme, grid.diverging)
        shown = block_extremes(grid.values, layout.rows.starts, layout.cols.starts, grid.diverging)
        levels = scale.levels(shown, len(colours))
        sheet = plot.blank(width_, height, scheme)
        if levels.size:
            sheet.insert(0, layout.label_lines - _lying(layout), _frame(layout, scheme))
            _insert_heads(sheet, layout, scheme)
            if layout.halves:
                _insert_halves(sheet, levels, layout, colours, scheme)
            else:
                insert_cells(sheet, levels, layout, colours)
        if layout.legend:
            _insert_legend(sheet, grid, layout, colours, scale, scheme)
        strips = strips_of(sheet.string(), width_)
        if levels.size:
            most = max(abs(scale.low), abs(scale.high))
            strips = written_on(strips, grid, layout, levels, colours, scheme, most)
        return Picture(strips, layout, levels, colours, scale, grid)


def numbered(numbers: bool, scheme: Scheme) -> int:
    """Columns of a cell from which it shows its value: one more where a glyph stands before it; 0: none does."""
    return NUMBER[0] + scheme.glyphs if numbers else 0


def _lying(layout: Layout) -> int:
    """Lines of column labels that lie: at most one."""
    return min(1, layout.label_lines) if not layout.upright else 0


def _frame(layout: Layout, scheme: Scheme) -> Any:
    """Axes with row labels and, where they lie, column labels, around an empty canvas."""
    cols, lines, above = layout.cols, layout.lines, _lying(layout)
    figure = plot.prepare_figure(layout.right, lines + layout.axis + above, scheme)
    figure.axes(False, axis="x", side="lower")
    figure.axes(False, axis="y", side="right")
    if not layout.axis:
        figure.axes(False)
    if layout.row_labels:
        left = figure.ruler("y", "left")
        # A ruler of exactly one unit a line, so that a tick's place is its line; plotext counts from below.
        left.lim(0, max(1, lines - 1))
        # Of two rows on one line the first has its label there.
        at = {layout.label_line(i): text for i, text in reversed([*enumerate(layout.row_labels)]) if text}
        left.ticks([lines - 1 - line for line in at], list(at.values()))
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
        if text and layout.cols.edges[i] >= free and layout.cols.edges[i] + width(text) <= layout.cols.size:
            shown.append(i)
            free = layout.cols.edges[i] + width(text) + 1
    return shown


def _insert_heads(sheet: Any, layout: Layout, scheme: Scheme) -> None:
    """Column labels that stand, each with its end at the axis, and the layers above them: plotext has no such ticks."""
    ends = [*(block for block, _ in layout.groups[1:]), len(layout.cols)]
    for (block, name), end in zip(layout.groups, ends, strict=bool(layout.groups)):
        x, room = layout.cols.edges[block], layout.cols.edges[end] - layout.cols.edges[block] - 1
        plot.write(sheet, layout.left + x, 0, shorten(name, max(1, room)), scheme.muted, scheme.surface)
    if not layout.upright:
        return
    columns = layout.cols.size
    lines = [[" "] * columns for _ in range(layout.label_lines - layout.grouped)]
    for i, text in enumerate(layout.col_labels):
        place, end = layout.cols.edges[i], layout.cols.edges[i + 1]
        if end - place == 1 and i % 2:
            continue  # letters that touch on both sides are read by nobody
        middle = (place + end - 1) // 2
        for line, char in enumerate(text, len(lines) - len(text)):
            if width(char) == 1 or middle + 1 == end:
                lines[line][middle] = char if width(char) == 1 else "?"
            else:
                lines[line][middle : middle + 2] = char, ""
    for line, chars in enumerate(lines, layout.grouped):
        plot.write(sheet, layout.left, line, "".join(chars), scheme.muted, scheme.surface)


def insert_cells(sheet: Any, levels: np.ndarray, layout: Layout, colours: Palette) -> None:
    """Insert one plotext block for every run of equal cells in a row."""
    insert, swatches = sheet.insert, colours.swatches
    x = [layout.left + edge for edge in layout.cols.edges]
    for down, row in enumerate(levels):
        y = layout.top + layout.rows.edges[down]
        tall = layout.rows.edges[down + 1] - layout.rows.edges[down]
        start = 0
        for end in _ends(row):
            level = int(row[start])
            if level >= 0:
                swatch = swatches[level]
                if swatch.glyph:
                    widths = tuple(x[i + 1] - x[i] for i in range(start, end))
                    insert(x[start], y, plot.glyph_block(swatch, widths, tall))
                else:
                    insert(x[start], y, plot.plain_block(swatch.background, x[end] - x[start], tall))
            start = end


def _ends(*rows: np.ndarray) -> list[int]:
    """Where runs of equal cells end."""
    changes = np.any([row[1:] != row[:-1] for row in rows], axis=0)
    return [*(np.flatnonzero(changes) + 1).tolist(), len(rows[0])]


def _insert_halves(sheet: Any, levels: np.ndarray, layout: Layout, colours: Palette, scheme: Scheme) -> None:
    """Two rows a line: the upper one in the ink of a half block, the lower one behind it."""
    x = [layout.left + edge for edge in layout.cols.edges]
    grounds = [*(swatch.background for swatch in colours.swatches), scheme.surface]  # the last is level −1
    even = np.vstack([levels, np.full((len(levels) % 2, levels.shape[1]), -1, dtype=levels.dtype)])
    for line, (upper, lower) in enumerate(zip(even[::2], even[1::2], strict=True), layout.top):
        start = 0
        for end in _ends(upper, lower):
            above, below, wide = grounds[int(upper[start])], grounds[int(lower[start])], x[end] - x[start]
            made = plot.plain_block(above, wide, 1) if above == below else plot.half_block(above, below, wide)
            sheet.insert(x[start], line, made)
            start = end


def _insert_legend(sheet: Any, grid: Grid, layout: Layout, colours: Palette, scale: Scale, scheme: Scheme) -> None:
    """The last line: axis names and the part shown at the left, the colour bar with its ends at the right."""
    # Such cells have glyphs of their own, and so has the bar.
    glyphs: Glyphs = "mark" if layout.texts else "narrow" if _one_wide(layout) else "glyph"
    line, most = layout.height - 1, layout.width // 4
    names = width(axes_line(grid, layout, layout.width)) + 2
    room = min(layout.width, max(layout.right, 56, names + bar_width(colours, scale, scheme, most)))
    start = insert_bar(sheet, line, room, colours, scale, scheme, glyphs, most)
    if start >= 0:
        text, ink = axes_line(grid, layout, start - 2), mix(scheme.muted, scheme.surface, 0.3)
        plot.write(sheet, 0, line, text, ink, scheme.surface)


def _one_wide(layout: Layout) -> bool:
    return layout.cols.size == len(layout.cols)


def bar_width(colours: Palette, scale: Scale, scheme: Scheme, most: int) -> int:
    """Columns of the colour bar, at most ``most`` and an odd number, with the scale's ends."""
    bar = min(2 * len(colours) if scheme.glyphs else max(len(colours), 16), max(3, most))
    ends = sum(len(plot.number(value, sign=colours.diverging)) for value in (scale.low, scale.high))
    return bar - 1 + bar % 2 + ends + 2


def insert_bar(
    sheet: Any,
    line: int,
    end: int,
    colours: Palette,
    scale: Scale,
    scheme: Scheme,
    glyphs: Glyphs = "narrow",
    most: int = 20,
) -> int:
    """The colour bar with the scale's ends, up to a column; where it begins, or −1 where it has no room."""
    low, high = (plot.number(value, sign=colours.diverging) for value in (scale.low, scale.high))
    total = bar_width(colours, scale, scheme, most)
    start, bar = end - total, total - len(low) - len(high) - 2
    if start < 0:
        return -1
    plot.write(sheet, start, line, low, scheme.muted, scheme.surface)
    plot.write(sheet, end - len(high), line, high, scheme.muted, scheme.surface)
    for i in range(bar):
        swatch = colours.swatches[round(i * (len(colours) - 1) / (bar - 1))]
        glyph = getattr(swatch, glyphs) or " "
        plot.write(sheet, start + len(low) + 1 + i, line, glyph, swatch.foreground, swatch.background)
    return start


def axes_line(grid: Grid, layout: Layout, columns: int) -> str:
    """Names of the axes, and of a larger matrix the part that is shown: what fits of it."""
    rows, cols, count = layout.rows, layout.cols, grid.values.shape
    names = [f"↓ {plot.words(grid.rows.name or 'row')}", f"→ {plot.words(grid.cols.name or 'column')}"]
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


