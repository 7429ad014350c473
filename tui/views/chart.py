"""Ranked rows as bars, and curves: what stands beside a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui.results import Curve, Table
from tui.views.charting import BarChart, bar_chart, curve_chart
from tui.views.surface import Drawing, restyled


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
        self._drawn: tuple[tuple[object, ...], Table, BarChart] | None = None
        self.set_reactive(Bars.table, table)

    @property
    def cursor(self) -> int:
        return self._at

    @property
    def chart(self) -> BarChart | None:
        """What is drawn now."""
        table, size = self.table, self.content_size
        if table is None or not table.rows or not size.width or not size.height:
            return None
        key = (size, self._first, self.scheme)
        if self._drawn is None or self._drawn[0] != key or self._drawn[1] is not table:
            self._drawn = (key, table, bar_chart(table, size.width, size.height, self.scheme, self._first))
        return self._drawn[2]

    def lines(self) -> Sequence[Strip] | None:
        chart = self.chart
        return chart.strips if chart else None

    def line_with_cursor(self, strip: Strip, y: int) -> Strip:
        chart = self.chart
        if chart is None or y != chart.line_of(self._at):
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
            lines = (chart.line_of(old), chart.line_of(new))
            self.refresh(*(Region(0, y, self.content_size.width, 1) for y in lines if y is not None))
        self.post_message(self.CursorMoved(self, new))

    def action_cursor(self, down: int, right: int = 0) -> None:
        """Move by rows; there is nothing at the right."""
        self.set_cursor(self._at + down)

    def action_page(self, down: int) -> None:
        """Move by half a window."""
        chart = self.chart
        self.set_cursor(self._at + down * max(1, (chart.count if chart else 1) // 2))

    def action_edge(self, side: int, down: int = 0) -> None:
        """Go to the first (-1) or the last (1) row, by either."""
        if self.table is not None:
            self.set_cursor(0 if (side or down) < 0 else len(self.table.rows) - 1)

    def action_open(self) -> None:
        """Enter on a row."""
        if self.chart is not None:
            self.post_message(self.Opened(self, self._at))

    def watch_table(self, old: Table | None, new: Table | None) -> None:
        same = old is not None and new is not None and old.columns == new.columns
        count = len(new.rows) if new is not None else 0
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
        row = chart.row_at(place.y) if chart and place else None
        if row is None:
            return
        event.stop()
        self.set_cursor(row)
        if event.chain == 2:
            self.action_open()

    def _scroll_to_cursor(self, chart: BarChart) -> bool:
        if chart.line_of(self._at) is not None:
            return False
        first = max(0, min(self._at - chart.count // 2, len(chart.table.rows) - chart.count))
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
