"""The order in which the rows of a list are shown, and which are: sorted by a column, filtered by a text, hidden by
hand. The table stays what it is: its ranks, its numbers, what is exported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan

from tui.results import Limits, Scalar, Table
from tui.text import visible

DOWN, UP = "▼", "▲"
WITHOUT = "!"
"""Begins a filter of the rows that do not have the text."""


@dataclass(frozen=True)
class Arranging:
    """How rows are arranged; the default is as they come."""

    column: int | None = None
    """The column they are sorted by; None: as they come."""
    down: bool = True
    """Whether the largest is first."""
    text: str = ""
    """Rows that have it are shown; ``!text``: those that do not."""
    hidden: frozenset[str] = frozenset()
    """Rows that are not shown, by their words."""

    def note(self, shown: int, of: int) -> str:
        """What the heading says of rows that are not shown; "" where all are."""
        if shown == of and not self.text:
            return ""
        return f"{shown} of {of}{f' “{visible(self.text)}”' if self.text else ''}"


def arranged(table: Table, how: Arranging) -> tuple[Table, tuple[int, ...]]:
    """The table as it is shown, and which of its rows each shown one is. Bars keep the scale that all rows have."""
    order = [at for at, row in enumerate(table.rows) if _is_shown(row, how)]
    columns = list(table.columns)
    bar = table.bar
    if how.column is not None and how.column < len(columns):
        at, down = how.column, how.down
        order = _sorted(table, order, at, down)
        columns[at] = f"{DOWN if down else UP}{columns[at]}"
        bar = columns[at] if bar == table.columns[at] else bar
    elif len(order) == len(table.rows):
        return table, tuple(order)
    limits = table.limits if table.limits is not None or bar is None else _limits(table)
    rows = tuple(table.rows[at] for at in order)
    return replace(table, columns=tuple(columns), rows=rows, bar=bar, limits=limits), tuple(order)


def by_next_column(table: Table, how: Arranging) -> Arranging:
    """Sorted by the next column, numbers from the largest and words from the first; behind the last as they come."""
    at = 0 if how.column is None else how.column + 1
    return by_column(table, replace(how, column=None), at) if at < len(table.columns) else replace(how, column=None)


def by_column(table: Table, how: Arranging, at: int) -> Arranging:
    """Sorted by a column; the other way round where they are already."""
    if how.column == at:
        return replace(how, down=not how.down)
    return replace(how, column=at, down=not any(isinstance(row[at], str) for row in table.rows))


def words_of(row: tuple[Scalar, ...]) -> str:
    """The words of a row, which tell it from others and are searched; its cells where it has none."""
    words = [cell for cell in row if isinstance(cell, str)]
    return " ".join(words or [str(cell) for cell in row])


def _is_shown(row: tuple[Scalar, ...], how: Arranging) -> bool:
    words = words_of(row)
    if words in how.hidden:
        return False
    without = how.text.startswith(WITHOUT)
    wanted = how.text.removeprefix(WITHOUT).replace("·", " ").lower()
    return not wanted or (wanted in words.lower()) != without


def _sorted(table: Table, order: list[int], at: int, down: bool) -> list[int]:
    """Words by their letters; what is not known comes last, either way."""
    keys = {row: _key(table.rows[row][at]) for row in order}
    known = [row for row in order if keys[row] == keys[row]]
    known.sort(key=lambda row: (isinstance(keys[row], str), keys[row]), reverse=down)
    return known + [row for row in order if keys[row] != keys[row]]


def _key(value: Scalar) -> str | float:
    if isinstance(value, str):
        return visible(value).strip("· ").lower()
    return float(value) if isinstance(value, int | float) else nan


def _limits(table: Table) -> Limits | None:
    at = table.columns.index(table.bar) if table.bar in table.columns else -1
    cells = [row[at] for row in table.rows] if at >= 0 else []
    numbers = [float(cell) for cell in cells if isinstance(cell, int | float)]
    known = [number for number in numbers if number - number == 0]  # neither infinite nor missing
    return (min(0.0, *known), max(0.0, *known)) if known else None
