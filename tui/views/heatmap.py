"""A matrix with a cursor.

The picture comes from `plot.picture` once for a grid, a size and a scroll position, as lines of Segments; the cursor
is laid over those lines. So a cursor move asks plotext for nothing and refreshes the cells and labels that changed:
some 200 bytes on the wire, where 64×64 cells cost 40 kB. For the same reason the window scrolls by half its size when
the cursor leaves it, not by a line at each key.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, get_args

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui.results import Axis, Grid
from tui.text import shorten, width
from tui.views.colours import RGB, contrast
from tui.views.geometry import Layout, lay
from tui.views.picture import Picture, numbered, picture
from tui.views.plot import axis_label
from tui.views.surface import Drawing, laid_over

Cell = tuple[int, int]
Zoom = Literal["cells", "halves", "whole"]


class Heatmap(Drawing):
    """Draws a Grid; the cursor is one of its cells."""

    grid: reactive[Grid | None] = reactive(None, repaint=False)
    """The matrix shown. A new one keeps the cursor on its labels, else on its place, as far as there is one."""
    zoom: reactive[Zoom] = reactive("cells", repaint=False)
    """A window that scrolls: of cells, or of rows half a line high; or the whole matrix, by block extremes."""
    numbers: reactive[bool] = reactive(True, repaint=False)
    """Cells that have room show their values."""

    class OnCell(Message):
        """Something about one cell."""

        def __init__(self, heatmap: Heatmap, row: int, col: int) -> None:
            super().__init__()
            self.heatmap, self.row, self.col = heatmap, row, col

        @property
        def control(self) -> Heatmap:
            return self.heatmap

    class CursorMoved(OnCell):
        """The cursor is on another cell."""

    class Opened(OnCell):
        """Enter, or a double click on a cell."""

    def __init__(self, grid: Grid | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._at: Cell = (0, 0)
        self._said: Cell = (0, 0)
        self._origin: Cell = (0, 0)
        # Going back to the last window, size or head must not draw again. The grid is part of the value, not of the
        # key: an id may be used again after its grid is gone.
        self._drawn: OrderedDict[tuple[object, ...], Picture] = OrderedDict()
        self._shown: Picture | None = None
        """The picture whose lines were given last."""
        self.set_reactive(Heatmap.grid, grid)

    @property
    def cursor(self) -> Cell:
        """Row and column of the cell under the cursor."""
        return self._at

    @property
    def picture(self) -> Picture | None:
        """What is drawn now; None without a grid or room."""
        grid, size = self.grid, self.content_size
        if grid is None or not grid.values.size or not size.width or not size.height:
            return None
        key = (id(grid), size, self.zoom, self._origin, self.scheme, self.numbers)
        found = self._drawn.get(key)
        if found is None or found.grid is not grid:
            found = picture(grid, size.width, size.height, self.scheme, fit=self.zoom == "whole", origin=self._origin,
                            numbers=self.numbers, halves=self.zoom == "halves")  # fmt: skip
            self._drawn[key] = found
            while len(self._drawn) > 6:
                self._drawn.popitem(last=False)
        self._drawn.move_to_end(key)
        return found

    def _lay(self, zoom: Zoom | None = None) -> Layout | None:
        """Where the cells would lie: known without drawing, which waits until the cursor has its place too."""
        grid, size, zoom = self.grid, self.content_size, zoom or self.zoom
        if grid is None or not grid.values.size or not size.width or not size.height:
            return None
        halves = zoom == "halves" and not self.scheme.glyphs
        return lay(grid, size.width, size.height, axis_label, zoom == "whole", self._origin,
                   numbered(self.numbers, self.scheme), halves)  # fmt: skip

    def set_cursor(self, row: int, col: int) -> None:
        """Put the cursor on a cell (clamped), scroll it into sight and say so."""
        if self.grid is None or not self.grid.values.size:
            return
        n_rows, n_cols = self.grid.values.shape
        old, new = self._at, (max(0, min(row, n_rows - 1)), max(0, min(col, n_cols - 1)))
        if old == new:
            return
        self._at = new
        layout = self._lay()
        if layout is not None and not self._scroll_to_cursor(layout):
            self.refresh(*_touched(layout, old), *_touched(layout, new))
        self._announce()

    def _announce(self) -> None:
        if self._said != self._at:
            self._said = self._at
            self.post_message(self.CursorMoved(self, *self._at))

    def action_cursor(self, down: int, right: int = 0) -> None:
        """Move by cells; in a fitted matrix by blocks, to the cell whose value the block shows."""
        row, col = self._at
        shown = self.picture
        block = shown.block_of(row, col) if shown else None
        if shown is None or block is None or not shown.is_blocked:
            self.set_cursor(row + down, col + right)
            return
        blocks = shown.levels.shape
        target = (max(0, min(block[0] + down, blocks[0] - 1)), max(0, min(block[1] + right, blocks[1] - 1)))
        if target != block:
            self.set_cursor(*shown.cell_of(target))

    def action_page(self, down: int, right: int = 0) -> None:
        """Move by half a window."""
        shown = self.picture
        if shown is not None:
            blocks = shown.levels.shape
            self.action_cursor(down * max(1, blocks[0] // 2), right * max(1, blocks[1] // 2))

    def action_edge(self, side: int, down: int = 0) -> None:
        """Go to the first (-1) or last (1) column (``side``) or row (``down``); 0 stays."""
        if self.grid is not None:
            row, col = self._at
            n_rows, n_cols = self.grid.values.shape
            self.set_cursor(*((n - 1 if to > 0 else 0 if to < 0 else at)
                               for to, n, at in ((down, n_rows, row), (side, n_cols, col))))  # fmt: skip

    def action_fit(self) -> bool:
        """The next smaller cells, as far as they show more: one a line, two a line, the whole matrix; and back. False:
        there is no other size."""
        steps, before = get_args(Zoom), self.zoom
        after = steps[(steps.index(self.zoom) + 1) :]
        now = self._lay()
        self.zoom = next((zoom for zoom in after if self._lay(zoom) != now), "cells")
        return self.zoom != before

    def action_numbers(self) -> None:
        """Values in the cells, or colours alone."""
        self.numbers = not self.numbers

    def action_open(self) -> None:
        """Enter on a cell."""
        if self.picture is not None:
            self.post_message(self.Opened(self, *self._at))

    def watch_grid(self, old: Grid | None, new: Grid | None) -> None:
        if new is not None and new.values.size:
            row = _same_place(old.rows if old else None, new.rows, self._at[0], new.values.shape[0])
            col = _same_place(old.cols if old else None, new.cols, self._at[1], new.values.shape[1])
            self._at = (row, col)
            if (layout := self._lay()) is not None:
                self._scroll_to_cursor(layout)
            # Later, for whoever sets the grid may set the cursor next.
            self.call_later(self._announce)
        self.refresh()

    def watch_numbers(self) -> None:
        self.watch_zoom()

    def watch_zoom(self) -> None:
        if (layout := self._lay()) is not None:
            self._scroll_to_cursor(layout)
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        if (layout := self._lay()) is not None:
            self._scroll_to_cursor(layout)

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        shown = self.picture
        cell = shown.cell_at(place.x, place.y) if shown and place else None
        if cell is None or shown is None:
            return
        event.stop()
        if shown.block_of(*cell) != shown.block_of(*self._at):
            self.set_cursor(*cell)
        if event.chain == 2:
            self.action_open()

    @property
    def stale_line(self) -> int:
        return max(0, self.content_size.height - 1)

    def lines(self) -> Sequence[Strip] | None:
        self._shown = self.picture
        return self._shown.strips if self._shown else None

    def line_with_cursor(self, strip: Strip, y: int) -> Strip:
        shown = self._shown
        cell = shown.layout.region(*self._at) if shown else None
        if shown is None or cell is None:
            return strip
        layout, grid = shown.layout, shown.grid
        # Beside a block stands what its colour is of, which need not be the cell that the cursor was sent to.
        row, col = shown.named(*self._at)
        style = self.get_component_rich_style("plot--cursor")
        if cell.y <= y < cell.bottom:
            strip = laid_over(strip, cell.x, self._cell(strip, shown, cell, y - cell.y))
        label = layout.row_label_region(self._at[0])
        if label is not None and label.y == y:
            text = shorten(axis_label(grid.rows, row), label.width)
            text = " " * (label.width - width(text)) + text
            strip = laid_over(strip, label.x, [Segment(text, style)])
        if layout.axis and y == layout.top - 1:
            # The column's label may be 8 lines high and each line is sent from the left edge: a mark on the axis is
            # one line.
            mark = "▼" if cell.width < 3 else "▼".center(cell.width, "─")
            strip = laid_over(strip, cell.x, [Segment(mark.ljust(cell.width, "─"), style)])
        head = layout.col_label_region(self._at[1])
        if layout.col_places and y == layout.label_lines - 1:
            text = shorten(axis_label(grid.cols, col), layout.cols.size)
            strip = _labelled(strip, min(cell.x, layout.right - width(text)), text, style)
        elif head is not None and not layout.upright and y == layout.label_lines - 1:
            text = shorten(layout.head_of(axis_label(grid.cols, col)), head.width)
            strip = laid_over(strip, head.x, [Segment(text + " " * (head.width - width(text)), style)])
        return strip

    def _cell(self, strip: Strip, shown: Picture, cell: Region, line: int) -> list[Segment]:
        """The cursor's cell keeps its colour and what is written on it, and gets a frame in whatever is read on it."""
        under, scheme = strip.crop(cell.x, cell.right), self.scheme
        swatch = shown.swatch(*self._at)
        if shown.layout.halves:
            return [self._half(shown, swatch.background if swatch else scheme.surface, cell.width)]
        if scheme.glyphs:
            if swatch is not None:
                return [Segment(segment.text, (segment.style or Style()) + Style(reverse=True)) for segment in under]
            style = self.get_component_rich_style("plot--label") + Style(reverse=True)
            return [Segment(_cursor_text(cell.width, cell.height, line), style)]
        background = swatch.background if swatch is not None else scheme.surface
        ink, ground = Color.from_rgb(*contrast(background)), Color.from_rgb(*background)
        text = under.text
        if cell.height < 3 and swatch is not None and (text.strip() or shown.layout.numbers or shown.layout.texts):
            mark = "▸" if line == (cell.height - 1) // 2 and text[0] == " " else text[0]
            return [Segment(mark + text[1:], Style(color=ground, bgcolor=ink, bold=True))]
        return [Segment(_framed(text, cell.width, cell.height, line), Style(color=ink, bgcolor=ground, bold=True))]

    def _half(self, shown: Picture, own: RGB, wide: int) -> Segment:
        """A cell of half a line: the cursor is the half in which nothing else is drawn."""
        down, across = shown.block_of(*self._at) or (0, 0)
        beside = shown.swatch_of(down ^ 1, across)
        other = beside.background if beside else self.scheme.surface
        upper, lower = (contrast(own), other) if down % 2 == 0 else (other, contrast(own))
        return Segment("▀" * wide, Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))

    def _scroll_to_cursor(self, layout: Layout) -> bool:
        """Bring the cursor into the window; whether that takes another picture."""
        origin = tuple(
            span.starts[0] if span.block(at) is not None or not len(span) else max(0, at - len(span) // 2)
            for span, at in zip((layout.rows, layout.cols), self._at, strict=True)
        )
        moved = origin != (layout.rows.starts[0], layout.cols.starts[0])
        self._origin = (origin[0], origin[1])
        if moved:
            self.refresh()
        return moved


def _touched(layout: Layout, cell: Cell) -> list[Region]:
    """What the cursor marks when it is on a cell."""
    place, head = layout.region(*cell), layout.col_label_region(cell[1])
    regions = [place, layout.row_label_region(cell[0]), None if layout.upright else head]
    if layout.col_places and layout.label_lines:  # the label is as long as its token
        regions.append(Region(layout.left, layout.label_lines - 1, layout.cols.size, 1))
    if place is not None and layout.axis:
        regions.append(Region(place.x, layout.top - 1, place.width, 1))
    return [region for region in regions if region is not None]


def _labelled(strip: Strip, x: int, text: str, style: Style) -> Strip:
    """A label over others: of 250 no 25 is left beside it."""
    line, first, end = strip.text, x, x + width(text)
    while first and line[first - 1] != " ":
        first -= 1
    while end < len(line) and line[end] != " ":
        end += 1
    return laid_over(strip, first, [Segment(" " * (x - first) + text + " " * (end - x - width(text)), style)])


def _framed(text: str, columns: int, lines: int, line: int) -> str:
    """What is written in a cell, and a frame where nothing is written."""
    frame = _cursor_text(columns, lines, line)
    if width(text) != len(text) or len(frame) != len(text):
        return text
    return "".join(under if under != " " else edge for under, edge in zip(text, frame, strict=True))


def _cursor_text(columns: int, lines: int, line: int) -> str:
    if columns == 1:
        return "◆" if line == (lines - 1) // 2 else " "
    if lines == 1:
        return "[" + " " * (columns - 2) + "]"
    if line == 0:
        return "┌" + "─" * (columns - 2) + "┐"
    if line == lines - 1:
        return "└" + "─" * (columns - 2) + "┘"
    return "│" + " " * (columns - 2) + "│"


def _same_place(old: Axis | None, new: Axis, at: int, count: int) -> int:
    """Where the label at ``at`` is now: there, else nearest to there, else as close to the place as it goes."""
    clamped = max(0, min(at, count - 1))
    if old is None or at >= len(old.labels):
        return clamped
    label = old.labels[at]
    if clamped < len(new.labels) and new.labels[clamped] == label:
        return clamped
    places = [i for i, text in enumerate(new.labels[:count]) if text == label]
    return min(places, key=lambda i: abs(i - at)) if places else clamped
