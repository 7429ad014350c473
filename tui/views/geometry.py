"""Where a matrix lies on the screen: cells, blocks of cells, label bands. Pure arithmetic, no drawing.

A matrix is shown in one of two ways. Natively, every cell is a rectangle of one size and a window of whole cells is
shown. Fitted, the whole matrix is shown: cells share characters in blocks as even as whole characters allow, and a
block shows its extreme (the value of largest magnitude), so that one hot cell is always seen.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import TYPE_CHECKING

from textual.geometry import Region

from tui.results import Axis, Grid
from tui.text import narrow, shorten, width

if TYPE_CHECKING:
    import numpy as np
else:
    from tui.later import numpy as np

MAX_CELL = (16, 5)
"""Largest cell in columns and lines: a 2×2 matrix should not become a wall."""
SAMPLE = 256
"""Labels that decide how much room labels get: an axis may hold a vocabulary of 50,257."""
READABLE = 6
"""Columns from which a shortened label on its side can be told from its neighbours."""
TEXT = (5, 14)
"""Columns of a cell with a text in it, the first of them left free: three letters and ``…`` to a long word."""
NUMBER = (5, 7)
"""Columns from which a cell shows its value: three digits and a sign, and those in which they have their zero too."""
NUMBERED_TEXT = 12
"""Columns from which a cell shows its text and its value on one line."""
LEAST_TEXT, SCROLLED_TEXT = 4, 8
"""Columns of such a cell below which a fitted matrix goes without texts, and at least where the window scrolls."""

_NUMBERED = re.compile(r"[A-Z]\d+")
"""A head, a layer, a neuron."""
_PART = re.compile(r"(L\d+)(?:H|N|\.)(\w+)")
"""A head, a neuron, an MLP or a state: its layer, and what it is there."""


@dataclass(frozen=True)
class Span:
    """One axis: block ``i`` shows cells ``starts[i]:starts[i+1]`` on characters ``edges[i]:edges[i+1]``."""

    starts: tuple[int, ...]
    edges: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def size(self) -> int:
        """Characters in all."""
        return self.edges[-1]

    def block(self, cell: int) -> int | None:
        """The block that shows a cell, None outside the window."""
        inside = self.starts[0] <= cell < self.starts[-1]
        return bisect_right(self.starts, cell) - 1 if inside else None

    def at(self, character: int) -> int | None:
        """The block on a character, None outside."""
        inside = 0 <= character < self.size
        return bisect_right(self.edges, character) - 1 if inside else None


@dataclass(frozen=True)
class Layout:
    """Everything about a picture but its colours."""

    width: int
    height: int
    left: int
    """Column of the first cell."""
    top: int
    """Line of the first cell."""
    rows: Span
    cols: Span
    row_labels: tuple[str, ...]
    """One a block, already shortened; empty where there is no room for any."""
    col_labels: tuple[str, ...]
    upright: bool
    """Column labels stand, one character a line."""
    label_lines: int
    """Lines of the column labels, above the axis."""
    axis: bool
    legend: bool
    """Whether the last line holds the colour bar."""
    texts: bool = False
    """Cells hold texts: the first column of each and of its label is left free."""
    numbers: bool = False
    """Cells hold their values."""
    halves: bool = False
    """Rows are half a line high: ``rows`` counts in halves."""
    grouped: bool = False
    """A line above the column labels names each layer once, and they only what is in it."""
    unlettered: int = 0
    """Letters left out at the start of column labels: of ``H0`` to ``H31`` the name of the axis says what they are."""
    groups: tuple[tuple[int, str], ...] = ()
    """First block of a layer, and the layer."""
    col_places: bool = False
    """Columns are blocks of tokens, so their labels are places along the axis."""

    @property
    def right(self) -> int:
        return self.left + self.cols.size

    @property
    def bottom(self) -> int:
        return self.top + self.lines

    @property
    def lines(self) -> int:
        """Lines of the cells."""
        return -(-self.rows.size // 2) if self.halves else self.rows.size

    def span_of(self, down: int) -> tuple[int, int]:
        """First line of a row of blocks and the one after its last, counted from the first cell's."""
        first, end = self.rows.edges[down], self.rows.edges[down + 1]
        return (first // 2, -(-end // 2)) if self.halves else (first, end)

    def region(self, row: int, col: int) -> Region | None:
        """Screen rectangle of a cell (of its block, where fitted)."""
        down, across = self.rows.block(row), self.cols.block(col)
        if down is None or across is None:
            return None
        return self.block_region(down, across)

    def block_region(self, down: int, across: int) -> Region:
        (y, end), x = self.span_of(down), self.cols.edges[across]
        return Region(self.left + x, self.top + y, self.cols.edges[across + 1] - x, end - y)

    def block_at(self, x: int, y: int) -> tuple[int, int] | None:
        down, across = self.rows.at((y - self.top) * (1 + self.halves)), self.cols.at(x - self.left)
        return None if down is None or across is None else (down, across)

    def row_label_region(self, row: int) -> Region | None:
        """One line left of the cell's row, the line that holds its label."""
        down = self.rows.block(row)
        if down is None or not self.row_labels:
            return None
        return Region(0, self.top + self.label_line(down), self.left - self.axis, 1)

    def col_label_region(self, col: int) -> Region | None:
        """The column's place in the label band."""
        across = self.cols.block(col)
        if across is None or not self.col_labels:
            return None
        x = self.cols.edges[across] + self.texts  # above the text, not above the free column before it
        return Region(self.left + x, 0, self.cols.edges[across + 1] - x, self.label_lines)

    def label_line(self, down: int) -> int:
        """Line of the canvas on which the label of a row of blocks stands, and what is written in its cells: its
        middle."""
        first, end = self.span_of(down)
        return (first + end - 1) // 2

    def head_of(self, label: str) -> str:
        """A column's label as far as the line above, or the axis' name, does not say it."""
        return _leaf(label) if self.grouped else label[self.unlettered :]

    def with_heads(self, labels: Sequence[str]) -> Layout:
        """With the labels of the columns that are shown, shortened."""
        heads, groups = list[str](), list[tuple[int, str]]()
        for block, label in enumerate(labels):
            gap = max(1, self.cols.edges[block + 1] - self.cols.edges[block] - 1)
            text = self.head_of(label)
            lines = self.label_lines - self.grouped
            if width(text) > (lines if self.upright else gap):
                text = narrow(text)
            heads.append(shorten(_standing(text), lines) if self.upright else shorten(text, gap))
            part = _PART.fullmatch(label) if self.grouped else None
            if part and (not groups or groups[-1][1] != part[1]):
                groups.append((block, part[1]))
        return replace(self, col_labels=tuple(heads), groups=tuple(groups))


def lay(
    grid: Grid,
    width_: int,
    height: int,
    label: Callable[[Axis, int], str],
    fit: bool = False,
    origin: tuple[int, int] = (0, 0),
    numbers: int = NUMBER[0],
    halves: bool = False,
) -> Layout:
    """The layout of a grid in ``width_`` × ``height`` characters; ``origin`` is its first cell where it scrolls.

    ``numbers``: columns of a cell from which it shows its value; 0: none does. ``halves``: rows of a matrix that is
    larger than the window are half a line high.
    """
    n_rows, n_cols = grid.values.shape
    names = [label(grid.rows, i) for i in range(min(n_rows, SAMPLE))]
    heads = [label(grid.cols, i) for i in range(min(n_cols, SAMPLE))]
    axis = height >= 9 and width_ >= 30
    legend = height >= 6
    room = 0 if width_ < 14 else min(16, max(5, width_ // 5))
    # A block holds many tokens, and none of them names it: where tokens are in blocks, the labels are places.
    tokens = fit and grid.rows.ids is not None
    left = min(room, max([*map(width, names), len(str(n_rows)) if tokens and 2 * n_rows > height else 0]))
    canvas_width = max(1, width_ - left - axis)
    body = max(1, height - legend)

    lettered = grid.text is not None and not is_marked(grid)
    text = text_columns(n_cols, canvas_width, fit, grid.text or ()) if lettered else 0
    least = NUMBER[1] - 1 if numbers and not text and canvas_width // max(1, n_cols) >= numbers else 0

    def size(lines: int, wanted: int) -> tuple[int, int]:
        if text:
            return text, max(1, min(MAX_CELL[1], lines // max(1, n_rows)))
        return cell_size(n_rows, n_cols, canvas_width, lines, max(wanted, least), fit)

    cell = size(max(1, body - 1 - axis), max(map(width, heads), default=0))
    col_places = fit and grid.cols.ids is not None and n_cols > canvas_width
    band = _band(grid.cols, heads, cell[0], body, body - axis - n_rows * cell[1], bool(text))
    if col_places:
        band = _Band(int(body >= 4), False, 0)
    canvas_height = max(1, body - band.lines - axis)
    cell = size(canvas_height, cell[0] if cell[0] >= READABLE else band.widest)
    halved = halves and not fit and not text and canvas_height < n_rows
    if halved:
        cell = 1 + (2 * n_cols <= canvas_width), 1

    rows = lay_axis(n_rows, canvas_height * (1 + halved), cell[1], fit, origin[0])
    cols = lay_axis(n_cols, canvas_width, cell[0], fit, origin[1])
    row_labels = tuple(shorten(label(grid.rows, start), left) for start in rows.starts[:-1]) if left else ()
    if row_labels and tokens and rows.starts[-1] > len(rows):
        row_labels = places(rows, 3)
    if row_labels:  # plotext makes room for the widest label shown: with one of full width the cells stay in place
        row_labels = (" " * (left - width(row_labels[0])) + row_labels[0], *row_labels[1:])
    shown = [label(grid.cols, start) for start in cols.starts[:-1]] if band.lines else []
    each = rows.starts[-1] - rows.starts[0] == len(rows) and cols.starts[-1] - cols.starts[0] == len(cols)
    written = numbers and each and (cell[1] > 1 or text >= NUMBERED_TEXT if text else cell[0] >= numbers)
    made = Layout(
        width_, height, left + axis, band.lines + axis, rows, cols, row_labels, (), band.upright, band.lines, axis,
        legend, bool(text), bool(written) and not halved, halved, band.grouped, band.unlettered, (), col_places,
    )  # fmt: skip
    if col_places:
        return replace(made, col_labels=places(cols, 2 * len(str(n_cols)) + 2) if band.lines else ())
    return made.with_heads(shown)


def places(span: Span, gap: int) -> tuple[str, ...]:
    """``0``, ``100``, ``200`` … on the blocks that hold them, "" on all others: the closest round numbers that stand
    ``gap`` characters apart."""
    step = next(one for one in (m * 10**power for power in count() for m in (1, 2, 5))
                if one * span.size >= gap * span.starts[-1])  # fmt: skip
    at = {span.block(place): str(place) for place in range(0, span.starts[-1], step)}
    return tuple(at.get(block, "") for block in range(len(span)))


@dataclass(frozen=True)
class _Band:
    """The lines above the cells."""

    lines: int
    upright: bool
    widest: int
    """Columns of the widest label."""
    unlettered: int = 0
    grouped: bool = False


def _band(axis: Axis, heads: Sequence[str], cell: int, body: int, spare: int, text: bool) -> _Band:
    """Labels on their side where they have room, else without what all of them share, else one letter a line.

    ``body``: lines for labels, axis and cells; ``spare``: those that the cells leave.
    """
    widest, unlettered, grouped = max(map(width, heads), default=0), 0, False
    named = axis.ids is None and axis.name
    if named and widest > cell - 1 and heads and all(map(_NUMBERED.fullmatch, heads)):
        unlettered, heads = 1, [text[1:] for text in heads]
    elif named and widest > cell - 1 and body >= 8 and sum(bool(_PART.fullmatch(text)) for text in heads) > 1:
        grouped, heads = True, [_leaf(text) for text in heads]
    widest = max(map(width, heads), default=0)
    upright = bool(widest) and widest > cell - 1 and cell < READABLE and not text
    lines = 0 if body < 4 or (widest > cell - 1 and cell < 4) else 1
    if upright and body >= 8:
        lines = min(max(len(_standing(text)) for text in heads), max(body // 4, spare))
    else:
        upright = False
    return _Band(lines + grouped, upright, widest, unlettered, grouped)


def _leaf(label: str) -> str:
    """A part within its layer: the number of a head, the first letters of all else."""
    part = _PART.fullmatch(label)
    return part[2] if part else label[:3]


def _standing(text: str) -> str:
    """A label for standing: no line for a space mark."""
    return text[1:] if text[:1] == "·" and len(text) > 1 else text


def is_marked(grid: Grid) -> bool:
    """Whether its texts are marks on numbers, such as ``≈``, not words."""
    return all(len(text) <= 1 for line in grid.text or () for text in line)


def cell_size(n_rows: int, n_cols: int, columns: int, lines: int, wanted: int, fit: bool) -> tuple[int, int]:
    """Columns and lines of a cell: room for its label, never higher than wide, never below 2×1 unless fitted."""
    tall = max(1, min(MAX_CELL[1], lines // max(1, n_rows)))
    wide = min(columns // max(1, n_cols), MAX_CELL[0], max(2 * tall, wanted + 1))
    wide = max(1 if fit else 2, wide)
    return min(wide, columns), min(tall, wide)


def text_columns(n_cols: int, columns: int, fit: bool, texts: Sequence[Sequence[str]] = ()) -> int:
    """Columns of a cell that holds a text: all cells in sight where they have room, else as few as fill the window and
    are read with ease, or as the longest text needs; 0 where there is no room for any text."""
    room = columns // max(1, n_cols)
    if room < TEXT[0] and not fit:
        longest = 0 if texts else SCROLLED_TEXT
        for line in texts:  # of a prompt's tokens the first line says enough
            longest = max(longest, max(map(width, line[:SAMPLE]), default=0))
            if longest >= SCROLLED_TEXT:
                break
        size = max(LEAST_TEXT, min(SCROLLED_TEXT, longest + 1))
        room = columns // max(1, columns // size)
    return min(room, TEXT[1]) if room >= LEAST_TEXT else 0


def lay_axis(total: int, room: int, size: int, fit: bool, origin: int = 0) -> Span:
    """One axis of ``total`` cells of ``size`` characters in ``room``: blocks where fitted, else a window."""
    if total == 0:
        return Span((0,), (0,))
    if fit and total * size > room:
        starts = tuple(i * total // room for i in range(room + 1))
        return Span(starts, tuple(range(room + 1)))
    shown = min(total, max(1, room // size))
    first = max(0, min(origin, total - shown))
    return Span(tuple(range(first, first + shown + 1)), tuple(size * i for i in range(shown + 1)))


def block_extremes(values: np.ndarray, rows: Sequence[int], cols: Sequence[int], diverging: bool) -> np.ndarray:
    """``[len(rows) - 1, len(cols) - 1]``: of each block the largest value, or the value of largest magnitude with its
    sign. Never the mean, in which one hot cell of a thousand is lost. NaN only where the whole block is."""
    part = values[rows[0] : rows[-1], cols[0] : cols[-1]]
    if part.size == 0 or part.shape == (len(rows) - 1, len(cols) - 1):
        return part
    # Lines first, slice by slice: 25 times faster than one reduceat over the whole, which strides through memory.
    bands = [part[a - rows[0] : b - rows[0]] for a, b in pairwise(rows)]
    across = np.array(cols[:-1]) - cols[0]
    high = np.asarray(np.fmax.reduceat(np.stack([np.fmax.reduce(band) for band in bands]), across, axis=1))
    if not diverging:
        return high
    low = np.fmin.reduceat(np.stack([np.fmin.reduce(band) for band in bands]), across, axis=1)
    return np.where(-low > high, low, high)


def extreme_cell(
    values: np.ndarray, rows: Span, cols: Span, block: tuple[int, int], diverging: bool
) -> tuple[int, int]:
    """The cell whose value a block shows."""
    top, left = rows.starts[block[0]], cols.starts[block[1]]
    part = values[top : rows.starts[block[0] + 1], left : cols.starts[block[1] + 1]]
    size = np.abs(part) if diverging else part
    if np.isnan(size).all():
        return top, left
    down, across = divmod(int(np.nanargmax(size)), part.shape[1])
    return top + down, left + across
