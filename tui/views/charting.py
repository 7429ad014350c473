"""Bars and curves, drawn with the parts that `plot` makes of plotext."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from textual.strip import Strip

from tui.results import Curve, Limits, Scalar, Table
from tui.text import shorten, width
from tui.views import ansi, plot
from tui.views.colours import RGB, Scheme, mix, palette

if TYPE_CHECKING:
    import numpy as np
else:
    from tui.later import numpy as np

EIGHTHS = " ▏▎▍▌▋▊▉"
"""Blocks that fill a character from the left: the end of a bar."""
_INKS: dict[bool, tuple[RGB, ...]] = {
    True: ((90, 170, 240), (240, 150, 60), (110, 205, 130), (235, 120, 170), (190, 190, 90), (170, 140, 240)),
    False: ((20, 90, 180), (190, 80, 10), (20, 120, 60), (180, 30, 110), (110, 105, 0), (100, 60, 190)),
}
"""Colours of curves, told apart by those who do not see red or green as well."""


@dataclass(frozen=True, eq=False)
class BarChart:
    """A drawn Table: its lines, and which row is where."""

    strips: tuple[Strip, ...]
    table: Table
    first: int
    count: int
    """Rows shown, from ``first``."""
    top: int
    """Line of the first row: 1 under a heading."""
    label_end: int
    value_start: int
    value_end: int

    def line_of(self, row: int) -> int | None:
        inside = self.first <= row < self.first + self.count
        return self.top + row - self.first if inside else None

    def row_at(self, y: int) -> int | None:
        row = y - self.top
        return self.first + row if 0 <= row < self.count else None


def bar_chart(table: Table, columns: int, lines: int, scheme: Scheme, first: int = 0, note: str = "") -> BarChart:
    """Draw a Table: text columns, the bars, then the numbers; ``note`` stands in the heading.

    Numbers are dropped from the right where there is no room, the bar's own last; bars need 6 columns.

    A table that names no bar is a list of facts: its texts are words, not tokens whose blanks are to be seen, its
    numbers stand beside them, and each has digits of its own, for it is a quantity of its own.
    """
    top = 1 if lines >= 3 else 0
    count = min(len(table.rows), lines - top)
    first = max(0, min(first, len(table.rows) - count))
    texts, numbers = _columns(table)
    window = slice(first, first + count)
    bar = table.columns.index(table.bar) if table.bar in table.columns else -1
    of_column = _values if bar >= 0 else _facts
    cells = {i: of_column([row[i] for row in table.rows], window) for i in numbers}
    sizes = {i: max(width(_head(table, i)), *map(width, texts_of)) for i, texts_of in cells.items() if texts_of}
    heading, label = _labels(table, texts, window)
    beside = 12 + sizes.get(bar, 0) if bar >= 0 else 1 + max(sizes.values(), default=0)
    room = max(columns // 3, columns - beside) if numbers else columns
    label_end = min(max(map(width, label), default=0), max(4, room))
    shown = _fitting(bar, numbers, sizes, columns - label_end - 1)
    value_start = columns - sum(sizes[i] + 1 for i in shown)
    if note:
        heading = f"{note}  {heading}"
    if top and count < len(table.rows):
        heading += f"  {first + 1}–{first + count}/{len(table.rows)}"
    if bar < 0:
        value_start = min(value_start, max(label_end, width(heading)) + 1)
    value_end = value_start + sum(sizes[i] + 1 for i in shown)
    with plot.DRAWING:
        sheet = plot.blank(columns, max(1, lines), scheme)
        if top:
            ink = mix(scheme.muted, scheme.surface, 0.3)
            plot.write(sheet, 0, 0, shorten(heading, value_start), ink, scheme.surface)
        for line, text in enumerate(label):
            plot.write(sheet, 0, top + line, shorten(text, label_end), scheme.text, scheme.surface)
        place = value_start
        for i in shown:
            if top:
                head = _head(table, i)
                plot.write(sheet, place + 1 + sizes[i] - width(head), 0, head, ink, scheme.surface)
            for line, text in enumerate(cells[i]):
                x = place + 1 + sizes[i] - width(text)
                plot.write(sheet, x, top + line, text, scheme.muted, scheme.surface)
            place += sizes[i] + 1
        room = value_start - label_end - 2
        if bar >= 0 and room >= 6:
            values = np.array([_real(row[bar]) for row in table.rows])
            _draw_bars(sheet, values, window, (label_end + 1, top), room, scheme, table.limits)
        strips = ansi.strips_of(sheet.string(), columns)
    return BarChart(strips, table, first, count, top, label_end if bar >= 0 else value_start, value_start, value_end)


def _columns(table: Table) -> tuple[list[int], list[int]]:
    """Columns that stand before the bar (all up to the last with words) and those after it."""
    wordy = [i for i in range(len(table.columns)) if any(isinstance(row[i], str) for row in table.rows)]
    last = max(wordy, default=-1)
    return list(range(last + 1)), list(range(last + 1, len(table.columns)))


def _labels(table: Table, texts: Sequence[int], window: slice) -> tuple[str, list[str]]:
    """The columns before the bar under each other, and their heading: numbers to the right, words to the left."""
    heading, lines = "", [""] * len(table.rows[window])
    for i in texts:
        head, column = plot.words(table.columns[i]), [row[i] for row in table.rows[window]]
        cells = list(map(_text, column)) if table.bar in table.columns else _facts(column)
        size = max(map(width, cells), default=0)
        wordy = any(isinstance(row[i], str) for row in table.rows)
        for line, cell in enumerate(cells):
            space = " " * (size - width(cell))
            lines[line] += (" " if lines[line] else "") + (cell + space if wordy else space + cell)
        # A heading longer than its column runs on: what stands below it is what counts.
        heading += (" " if heading else "") + (head.ljust(size) if wordy else shorten(head, max(size, 4)).rjust(size))
    return heading.rstrip(), [line.rstrip() for line in lines]


def _fitting(bar: int, numbers: Sequence[int], sizes: dict[int, int], room: int) -> list[int]:
    room -= 8 if bar >= 0 and room >= 16 else 0  # the bars' share
    kept: list[int] = []
    for i in sorted(numbers, key=lambda i: (i != bar, i)):
        if i in sizes and sum(sizes[k] + 1 for k in kept) + sizes[i] + 1 <= room:
            kept.append(i)
    return sorted(kept)


def _head(table: Table, column: int) -> str:
    return shorten(plot.words(table.columns[column]), 12)


def _text(value: Scalar) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plot.number(value) if isinstance(value, float) else plot.printable(str(value))


def _values(column: Sequence[Scalar], rows: slice) -> list[str]:
    """Numbers of one column, all with the decimals that its largest needs; less than those show is in powers of ten."""
    most = np.nanmax([abs(_real(value)) for value in column] + [0.0])
    decimals = max(1, min(4, 2 - int(np.floor(np.log10(most))))) if most > 0 else 1
    out = []
    for value in column[rows]:
        if isinstance(value, float) and np.isfinite(value) and (round(value, decimals) or not value):
            out.append(f"{value:.{decimals}f}".replace("-", "−"))
        elif isinstance(value, int) and not isinstance(value, bool):
            out.append(str(value).replace("-", "−"))
        else:
            out.append(_text(value))
    return out


def _facts(column: Sequence[Scalar], rows: slice = slice(None)) -> list[str]:
    """Words and numbers of their own."""
    out = []
    for value in column[rows]:
        if isinstance(value, str):
            out.append(plot.words(value) if value.strip() else "")
        else:
            out.append(_text(value).replace("-", "−") if isinstance(value, int) else _text(value))
    return out


def _real(value: Scalar) -> float:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else float("nan")


def _draw_bars(
    sheet: Any,
    values: np.ndarray,
    rows: slice,
    at: tuple[int, int],
    room: int,
    scheme: Scheme,
    limits: Limits | None,
) -> None:
    """Bars around a shared zero, in eighths of a column; all rows share the scale, also those out of sight."""
    finite = values[np.isfinite(values)]
    low, high = limits or (min(0.0, finite.min(initial=0.0)), max(0.0, finite.max(initial=0.0)))
    if high == low:
        return
    swatches = palette(scheme, True).swatches
    ends = (swatches[len(swatches) // 6], swatches[-1 - len(swatches) // 6])
    inks = [end.foreground or end.background for end in ends]
    zero = round(-low / (high - low) * room)
    for line, value in enumerate(values[rows], at[1]):
        if low < 0 and not value > 0:
            plot.write(sheet, at[0] + zero, line, "▏", scheme.frame, scheme.surface)
        if np.isfinite(value) and value:
            space = room - zero if value > 0 else zero
            eighths = max(1, min(round(abs(value) / (high - low) * room * 8), space * 8))
            _draw_bar(sheet, at[0] + zero, line, eighths if value > 0 else -eighths, inks[int(value > 0)], scheme)


def _draw_bar(sheet: Any, zero: int, line: int, eighths: int, ink: RGB, scheme: Scheme) -> None:
    if scheme.glyphs:
        eighths = round(eighths / 4) * 4 or (4 if eighths > 0 else -4)
    full, part = divmod(abs(eighths), 8)
    start = zero if eighths > 0 else zero - full
    body, background = ("█", scheme.surface) if scheme.glyphs else (" ", ink)
    plot.write(sheet, start, line, body * full, ink, background)
    if part and eighths > 0:
        plot.write(sheet, start + full, line, EIGHTHS[part], ink, scheme.surface)
    elif part and scheme.glyphs:
        plot.write(sheet, start - 1, line, "▐", ink, scheme.surface)
    elif part:
        # No block fills from the right: the rest of the column is drawn over the ink.
        plot.write(sheet, start - 1, line, EIGHTHS[8 - part], scheme.surface, ink)


def curve_chart(curve: Curve, columns: int, lines: int, scheme: Scheme) -> tuple[Strip, ...]:
    """Draw the series of a Curve with plotext's own lines, a legend above and the name of x below."""
    lines, columns = max(1, lines), max(1, columns)
    with plot.DRAWING:
        sheet = plot.blank(columns, lines, scheme)
        inks = _INKS[scheme.dark] if scheme.mode != "none" else (scheme.text,)
        # A name too long for the line ends the legend: the last series are the least.
        place = 0
        for i, name in enumerate(curve.series):
            text = shorten(plot.words(name), columns - place - 2)
            if lines >= 4 and len(curve.series) > 1 and text:
                plot.write(sheet, place, 0, "━ " + text, inks[i % len(inks)], scheme.surface)
                place += width(text) + 4
        if lines >= 4 and len(curve.series) == 1:
            plot.write(sheet, 0, 0, shorten(plot.words(curve.y_name), columns), scheme.muted, scheme.surface)
        canvas = _curves(curve, columns, lines - 2 if lines >= 4 else lines, inks, scheme)
        if canvas is not None:
            sheet.insert(0, 1 if lines >= 4 else 0, canvas)
        if lines >= 4:
            name = shorten(plot.words(curve.x_name), columns)
            plot.write(sheet, max(0, (columns - width(name)) // 2), lines - 1, name, scheme.muted, scheme.surface)
        return ansi.strips_of(sheet.string(), columns)


def _curves(curve: Curve, columns: int, lines: int, inks: Sequence[RGB], scheme: Scheme) -> Any:
    x = np.asarray(curve.x, dtype=np.float64)
    all_y = [np.asarray(y, dtype=np.float64)[: len(x)] for y in curve.series.values()]
    seen = [y[np.isfinite(y) & np.isfinite(x[: len(y)])] for y in all_y]
    values = np.concatenate([*seen, np.empty(0)])
    inside = x[np.isfinite(x)]
    if not values.size or not inside.size or columns < 12 or lines < 4:
        return None
    figure = plot.prepare_figure(columns, lines, scheme)
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    low, high = _limits(float(values.min()), float(values.max()))
    left, right = _limits(float(inside.min()), float(inside.max()))
    # Ticks of our own: plotext divides the range evenly, which gives 0.639 and -2.72.
    for axis, ends, count in (("y", (low, high), max(2, lines // 4)), ("x", (left, right), max(2, columns // 14))):
        ruler = figure.ruler(axis, "left" if axis == "y" else "lower")
        ticks = round_ticks(*ends, count)
        ruler.lim(*ends)
        ruler.ticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    if low < 0 < high:
        figure.line(0, orientation="horizontal", pixel=plot.pixel(scheme.frame, scheme.surface))
    for i, y in enumerate(all_y):
        for part in _runs(x[: len(y)], y):
            kept = part[:: max(1, len(part) // (4 * columns))]
            # Braille has 2×4 points a character; the sixteen-colour console has no such font.
            marker = plot.library().marker("hd" if scheme.glyphs else "braille", inks[i % len(inks)])
            signal = figure.signal(x[kept].tolist(), y[kept].tolist(), marker=marker)
            figure.draw(signal.lines(True))
    return figure.build()


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """About ``count`` round numbers in a range, at least two."""
    power = 10.0 ** np.floor(np.log10((high - low) / max(1, count)))
    choices = []
    for step in (power * factor for factor in (0.5, 1, 2, 5, 10)):
        first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
        choices.append([float(f"{i * step:.12g}") for i in range(first, last + 1)])
    good = [ticks for ticks in choices if len(ticks) >= 2]
    return min(good, key=lambda ticks: abs(len(ticks) - count)) if good else [low, high]


def _limits(low: float, high: float) -> tuple[float, float]:
    """A range of more than a point: plotext divides by it."""
    pad = 0.0 if high - low > 1e-9 * max(abs(low), abs(high)) and high > low else max(abs(high), 1.0) / 2
    return low - pad, high + pad


def _runs(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Stretches without a gap: plotext raises on NaN, and a line across one would be a lie."""
    good = np.isfinite(x) & np.isfinite(y)
    groups = groupby(range(len(y)), key=lambda i: bool(good[i]))
    return [np.array(list(members)) for whole, members in groups if whole]
