"""What is written in the cells of a drawn matrix: values, texts and marks, in ink that is read on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.results import Grid
from tui.text import shorten, width
from tui.views import plot
from tui.views.colours import RGB, Palette, Scheme, Swatch, contrast, mix
from tui.views.geometry import Layout, is_marked

if TYPE_CHECKING:
    import numpy as np
else:
    from tui.later import numpy as np

FIELD = 6
"""Columns of ``−0.123``: in wider cells numbers stand in the middle, with their last digits under each other."""
WORD = 6
"""Columns that a text keeps where its value stands beside it."""
FAINT = 1e-3
"""Of the scale: values below it stand there in a faint ink, so that they do not hide the others."""


def written_on(
    strips: Sequence[Strip],
    grid: Grid,
    layout: Layout,
    levels: np.ndarray,
    colours: Palette,
    scheme: Scheme,
    most: float,
) -> tuple[Strip, ...]:
    """The lines with their cells written on. A block of several cells has nothing on it, nor has a masked cell.

    ``most``: the largest size on the scale.
    """
    marked = bool(grid.text) and is_marked(grid) and layout.cols.size > len(layout.cols)
    if not (layout.texts or layout.numbers or marked) or layout.halves:
        return tuple(strips)
    least = FAINT * most
    out, sizes = list(strips), [end - start for start, end in pairwise(layout.cols.edges)]
    first = layout.cols.starts[0]
    for down, row in enumerate(levels.tolist()):
        at, end = layout.rows.starts[down : down + 2]
        if end - at > 1:
            continue
        swatches = [None if level < 0 else colours.swatches[level] for level in row]
        y, last = layout.top + layout.label_line(down), layout.top + layout.span_of(down)[1]
        values = grid.values[at, first : first + len(row)].tolist()
        written = grid.text if layout.texts or marked else None
        texts = ("",) * len(row) if written is None else written[at][first : first + len(row)]
        faint = [not layout.texts and abs(value) < least for value in values]
        for line, cells in enumerate(_lines(layout, texts, values, sizes, last - y, scheme.glyphs), y):
            # What says the size: of a text a mark before it, of a number a shade, for a mark would be read as its sign.
            marks = "mark" if layout.texts and line == y else "" if layout.texts else "glyph"
            runs = _runs(cells, swatches, faint, scheme, marks)
            strip = Strip([Segment(part, style) for part, style in runs if part], layout.cols.size)
            out[line] = Strip.join([out[line].crop(0, layout.left), strip, out[line].crop(layout.right)])
    return tuple(out)


def _lines(
    layout: Layout, texts: Sequence[str], values: Sequence[float], sizes: Sequence[int], lines: int, glyphs: bool
) -> Iterator[list[str]]:
    """What stands in the cells of a row, line by line; ``glyphs``: their first column is a glyph's."""
    if not layout.texts:  # a mark, or nothing, and the value
        marks = [" " + text if glyphs and layout.numbers else text for text in texts]
        yield [
            mark + (number_in(value, size - len(mark), apart=glyphs) if layout.numbers else " " * (size - len(mark)))
            for mark, value, size in zip(marks, values, sizes, strict=True)
        ]
        return
    beside = layout.numbers and lines < 2
    yield [" " + _beside(*cell) if beside else " " + in_cell(cell[0], cell[2] - 1, int(glyphs))
           for cell in zip(texts, values, sizes, strict=True)]  # fmt: skip
    if layout.numbers and not beside:
        yield [" " + number_in(value, size - 2, left=True) + " " for value, size in zip(values, sizes, strict=True)]


def _beside(text: str, value: float, size: int) -> str:
    """A text and its value in all but the first column of a cell."""
    number = number_in(value, size - 1 - WORD).strip()
    return in_cell(text, size - 1 - len(number), 1) + number


def _runs(
    cells: Sequence[str], swatches: Sequence[Swatch | None], faint: Sequence[bool], scheme: Scheme, marks: str
) -> list[tuple[str, Style]]:
    """Cells of one look after the other as one piece each."""
    plain = _ink(scheme.text, scheme.surface)
    runs = [("", plain)]
    for text, swatch, pale in zip(cells, swatches, faint, strict=True):
        size = width(text)
        if swatch is None:
            pieces = [(" " * size, plain)]
        elif swatch.glyph:
            mark = text[0] if text[0] != " " or not marks else getattr(swatch, marks)
            pieces = [(mark, _ink(swatch.foreground, swatch.background)), (text[1:], plain)]
        else:
            ink = contrast(swatch.background)
            pieces = [(text, _ink(mix(ink, swatch.background, 0.45) if pale else ink, swatch.background))]
        for part, style in pieces:
            if style is runs[-1][1]:
                runs[-1] = (runs[-1][0] + part, style)
            else:
                runs.append((part, style))
    return runs


@lru_cache(maxsize=4096)
def _ink(foreground: RGB | None, background: RGB) -> Style:
    colour = None if foreground is None else Color.from_rgb(*foreground)
    return Style(color=colour, bgcolor=Color.from_rgb(*background))


@lru_cache(maxsize=16384)
def in_cell(text: str, columns: int, spare: int = 1) -> str:
    """A token's text in exactly so many columns, the last ``spare`` of them blank; no text is blank."""
    shown = shorten(plot.printable(text), columns - spare) if text else ""
    return shown + " " * (columns - width(shown))


@lru_cache(maxsize=16384)
def number_in(value: float, columns: int, left: bool = False, apart: bool = False) -> str:
    """A value in exactly so many columns: three digits, or as many as there is room for, never nothing of what is not
    zero. ``apart``: something stands between it and the cell before; else a sign may touch that, a digit may not."""
    if math.isnan(value):
        return " " * columns
    sizes = ((text, len(text) + (text[0] != "−" and not left and not apart)) for text in _shorter(value))
    shown, needed = next((pair for pair in sizes if pair[1] <= columns), ("…"[:columns], columns))
    if left:
        return shown.ljust(columns)
    after = min(max(0, columns - FIELD) // 2, columns - needed)
    return shown.rjust(columns - after) + " " * after


def _shorter(value: float) -> Iterator[str]:
    """A value with ever fewer signs."""
    full = plot.number(value)
    yield full
    if not math.isfinite(value) or not value:
        return
    yield full.replace("0.", ".", 1) if full.lstrip("−").startswith("0.") else full
    size, sign = abs(value), "−" if value < 0 else ""
    for text in (f"{size:.2f}", f"{size:.3f}"):
        if text.startswith("0") and float(text):
            yield sign + text[1:]
    if 1 <= size < 1000:
        yield from (f"{sign}{size:.1f}", f"{sign}{size:.0f}")
    mantissa, power = f"{size:.0e}".split("e")
    yield f"{sign}{mantissa}e{int(power)}".replace("e-", "e−")
    yield "≈0" if size < 1 else sign + "∞"
