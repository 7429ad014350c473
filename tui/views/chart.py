"""Ranked rows as bars, and curves: what stands beside a matrix."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui.results import Curve, Scalar, Table
from tui.views.charting import BarChart, bar_chart, curve_chart
from tui.views.listing import Arranging, arranged
from tui.views.surface import Drawing, laid_over, restyled

MARKED = "◂"
"""Behind the name of a row that is marked."""


class Bars(Drawing):
    """A Table, one row a line: label, bar, exact values; the cursor is one of its rows."""

    table: reactive[Table | None] = reactive(None, repaint=False)

    class OnRow(Message):
        """Something about one row of the table."""

        def __init__(self, bars: Bars, row: int) -> None:
            super().__init__()
            self.bars, self.row = bars, row

        @property
        def control(self) -> Bars:
            return self.bars

    class CursorMoved(OnRow):
        """The cursor is on another row."""

    class Opened(OnRow):
        """Enter, or a double click on a row."""

    def __init__(self, table: Table | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._at = 0
        self._first = 0
        self._how = Arranging()
        self._arranged: tuple[Table, Arranging, Table, tuple[int, ...]] | None = None
        self._picked: frozenset[str] = frozenset()
        self._drawn: tuple[tuple[object, ...], Table, BarChart] | None = None
        self.set_reactive(Bars.table, table)

    @property
    def cursor(self) -> int:
        """The row of the table that the cursor is on, wherever it is shown."""
        return self._at

    @property
    def row(self) -> tuple[Scalar, ...] | None:
        """What is under the cursor; None where no row is shown."""
        return self.table.rows[self._at] if self.table is not None and self._at in self.order else None

    # --- how the rows are arranged ---

    @property
    def how(self) -> Arranging:
        """Order and choice of the rows."""
        return self._how

    @property
    def order(self) -> tuple[int, ...]:
        """Which rows of the table are shown, in their order."""
        return self._shown()[1]

    def _shown(self) -> tuple[Table | None, tuple[int, ...]]:
        table = self.table
        if table is None:
            return None, ()
        if self._arranged is None or self._arranged[0] is not table or self._arranged[1] != self._how:
            self._arranged = (table, self._how, *arranged(table, self._how))
        return self._arranged[2], self._arranged[3]

    def rearrange(self, how: Arranging) -> None:
        """Another order or choice of the rows; the cursor stays on its row, or goes to the next one that is shown."""
        before = self.order
        self._how = how
        order, row = self.order, self._at
        if order and row not in order:
            behind = before[before.index(row) :] if row in before else ()
            self._at = next((other for other in behind if other in order), order[-1])
            self.post_message(self.CursorMoved(self, self._at))
        self._first = 0
        if (chart := self.chart) is not None:
            self._scroll_to_cursor(chart)
        self.refresh()

    def mark(self, names: Collection[str]) -> None:
        """Show which rows are marked, by what stands first in them."""
        if frozenset(names) != self._picked:
            self._picked = frozenset(names)
            self.refresh()

    def _line_of(self, chart: BarChart, row: int) -> int | None:
        order = self.order
        return chart.line_of(order.index(row)) if row in order else None

    # --- drawing ---

    @property
    def chart(self) -> BarChart | None:
        """What is drawn now."""
        whole, (table, order), size = self.table, self._shown(), self.content_size
        if whole is None or table is None or not whole.rows or not size.width or not size.height:
            return None
        key = (size, self._first, self.scheme)
        if self._drawn is None or self._drawn[0] != key or self._drawn[1] is not table:
            note = self._how.note(len(order), len(whole.rows))
            drawn = bar_chart(table, size.width, size.height, self.scheme, self._first, note)
            self._drawn = (key, table, drawn)
        return self._drawn[2]

    def lines(self) -> Sequence[Strip] | None:
        chart = self.chart
        return chart.strips if chart else None

    def line_with_cursor(self, strip: Strip, y: int) -> Strip:
        chart = self.chart
        at = chart.row_at(y) if chart is not None else None
        if chart is None or at is None:
            return strip
        if self._picked and str(chart.table.rows[at][0]) in self._picked:
            strip = laid_over(strip, chart.label_end, [Segment(MARKED, self.get_component_rich_style("plot--cursor"))])
        if self.order[at] != self._at:
            return strip
        style = Style(color=self.get_component_rich_style("plot--cursor").color, bold=True)
        style += Style(reverse=self.has_focus or self.scheme.mode == "none")
        return restyled(restyled(strip, 0, chart.label_end, style), chart.value_start, chart.value_end, style)

    def set_cursor(self, row: int) -> None:
        """Put the cursor on a row (clamped) and scroll it into sight, by half a window."""
        if self.table is None or not self.table.rows:
            return
        old, new = self._at, max(0, min(row, len(self.table.rows) - 1))
        chart = self.chart
        self._at = new
        if old == new:
            return
        if chart is not None and self._scroll_to_cursor(chart):
            self.refresh()
        elif chart is not None:
            lines = (self._line_of(chart, old), self._line_of(chart, new))
            self.refresh(*(Region(0, y, self.content_size.width, 1) for y in lines if y is not None))
        self.post_message(self.CursorMoved(self, new))

    def action_cursor(self, down: int, right: int = 0) -> None:
        """Move by rows; there is nothing at the right."""
        self._go(self._place() + down)

    def action_page(self, down: int) -> None:
        """Move by half a window."""
        chart = self.chart
        self._go(self._place() + down * max(1, (chart.count if chart else 1) // 2))

    def action_edge(self, side: int, down: int = 0) -> None:
        """Go to the first (-1) or the last (1) row, by either."""
        self._go(0 if (side or down) < 0 else len(self.order) - 1)

    def _place(self) -> int:
        """Which of the shown rows has the cursor; the first where that one is not shown."""
        return self.order.index(self._at) if self._at in self.order else 0

    def _go(self, place: int) -> None:
        order = self.order
        if order:
            self.set_cursor(order[max(0, min(place, len(order) - 1))])

    def action_open(self) -> None:
        """Enter on a row."""
        if self.chart is not None and self._at in self.order:
            self.post_message(self.Opened(self, self._at))

    def watch_table(self, old: Table | None, new: Table | None) -> None:
        same = old is not None and new is not None and old.columns == new.columns
        count = len(new.rows) if new is not None else 0
        if old is not None and new is not None and (old.columns, old.header.view) != (new.columns, new.header.view):
            self._how = Arranging()  # it was of another list
        self._at = max(0, min(self._at if same else 0, count - 1))
        self._first = self._first if same else 0
        if (chart := self.chart) is not None:
            self._scroll_to_cursor(chart)
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        if (chart := self.chart) is not None:
            self._scroll_to_cursor(chart)

    def on_click(self, event: events.Click) -> None:
        place, chart = event.get_content_offset(self), self.chart
        at = chart.row_at(place.y) if chart and place else None
        if at is None:
            return
        event.stop()
        self._go(at)
        if event.chain == 2:
            self.action_open()

    def _scroll_to_cursor(self, chart: BarChart) -> bool:
        if self._at not in self.order or self._line_of(chart, self._at) is not None:
            return False
        first = max(0, min(self._place() - chart.count // 2, len(chart.table.rows) - chart.count))
        moved, self._first = first != self._first, first
        return moved


class Plot(Drawing):
    """A Curve: one or more lines over a shared x."""

    curve: reactive[Curve | None] = reactive(None, repaint=False)

    def __init__(self, curve: Curve | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: tuple[tuple[object, ...], Curve, tuple[Strip, ...]] | None = None
        self.set_reactive(Plot.curve, curve)

    def lines(self) -> Sequence[Strip] | None:
        curve, size = self.curve, self.content_size
        if curve is None or not size.width or not size.height:
            return None
        key: tuple[Any, ...] = (size, self.scheme)
        if self._drawn is None or self._drawn[0] != key or self._drawn[1] is not curve:
            self._drawn = (key, curve, curve_chart(curve, size.width, size.height, self.scheme))
        return self._drawn[2]

    def watch_curve(self) -> None:
        self.refresh()
