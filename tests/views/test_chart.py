"""Bars of a Table and curves, read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len

from tests.views.apps import Stage, count_bytes, quiet, screen_lines
from tests.views.grids import HEADER, WEIRD, assert_clean, curve_of, shown, table_of
from tui.results import Table
from tui.views import chart as chart_module
from tui.views.chart import Bars, Plot
from tui.views.charting import EIGHTHS, bar_chart, curve_chart, round_ticks
from tui.views.colours import Mode, Scheme

MODES: list[Mode] = ["truecolor", "256", "16", "none"]
SIZES = [(120, 40), (42, 20), (30, 6), (20, 5), (12, 3), (5, 2), (1, 1)]


def eighths(line: list[tuple[str, tuple[int, int, int] | None]], surface: tuple[int, int, int]) -> tuple[int, int]:
    """Filled eighths left and right of the widest free place, of a line cut to its bar."""
    full = [i for i, (_, colour) in enumerate(line) if colour != surface]
    part = sum(EIGHTHS.index(char) for char, colour in line if colour == surface and char in EIGHTHS[1:])
    return len(full) * 8, part


def test_bars_are_as_long_as_their_values() -> None:
    scheme = Scheme()
    values = [4.0, 2.0, 1.0, 0.5, 0.03]
    drawn = bar_chart(table_of(values), 80, 10, scheme)
    lines = [shown(strip) for strip in drawn.strips]
    room = drawn.value_start - drawn.label_end - 2
    for row, value in enumerate(values):
        y = drawn.line_of(row)
        assert y is not None
        whole, part = eighths(lines[y][drawn.label_end + 1 : drawn.value_start - 1], scheme.surface)
        assert abs(whole + part - value / 4.0 * room * 8) <= 1


@pytest.mark.parametrize("limits", [(0.0, 1.0), (-1.0, 1.0)])
def test_bars_of_a_quantity_that_has_limits_span_them(limits: tuple[float, float]) -> None:
    scheme = Scheme()
    drawn = bar_chart(replace(table_of([0.5, 0.013]), limits=limits), 80, 10, scheme)
    lines = [shown(strip)[drawn.label_end + 1 : drawn.value_start - 1] for strip in drawn.strips[1:3]]
    room = (drawn.value_start - drawn.label_end - 2) / (limits[1] - limits[0])
    for line, value in zip(lines, (0.5, 0.013), strict=True):
        assert abs(sum(eighths(line, scheme.surface)) - value * room * 8) <= 4


def test_signed_bars_share_a_zero() -> None:
    scheme = Scheme()
    drawn = bar_chart(table_of([3.0, -3.0, 1.5, -1.5]), 80, 10, scheme)
    spans = []
    for row in range(4):
        line = shown(drawn.strips[drawn.top + row])[drawn.label_end + 1 : drawn.value_start - 1]
        spans.append([i for i, (_, colour) in enumerate(line) if colour != scheme.surface])
    zero = spans[0][0]
    assert spans[2][0] == zero
    assert spans[1][-1] == spans[3][-1] == zero - 1
    assert abs(len(spans[1]) - len(spans[0])) <= 1
    assert abs(len(spans[0]) - 2 * len(spans[2])) <= 2
    colours = [{colour for _, colour in shown(drawn.strips[drawn.top + row])} - {scheme.surface} for row in (0, 1)]
    assert colours[0].isdisjoint(colours[1])


def test_what_is_not_zero_is_seen_and_zero_is_not() -> None:
    scheme = Scheme()
    drawn = bar_chart(table_of([1000.0, 1e-9, 0.0]), 60, 6, scheme)
    lines = [shown(strip)[drawn.label_end + 1 : drawn.value_start - 1] for strip in drawn.strips[1:4]]
    assert eighths(lines[1], scheme.surface) == (0, 1)
    assert eighths(lines[2], scheme.surface) == (0, 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("table", [
    table_of([1.0, -2.5, None, 0.0, float("nan"), float("inf"), -1e30]), table_of([]), table_of([0.0, 0.0]),
    table_of([None]), table_of(list(np.linspace(-1, 1, 300))), table_of([1.0] * len(WEIRD), WEIRD),
    table_of([-1.0, -2.0]), Table(HEADER, ("token", "id"), ((" a", 5), ("\n", 7)), None),
    Table(HEADER, ("value",), ((1.5,), (True,)), "value"), Table(HEADER, (), (), None),
    Table(HEADER, tuple(f"column {i}" for i in range(12)), (tuple(range(12)),), "column 3"),
], ids=["odd", "none", "zeros", "empty", "300", "weird", "negative", "no bar", "no label", "nothing",
        "wide"])  # fmt: skip
def test_any_table_fits_any_window(table: Table, mode: Mode) -> None:
    for size in SIZES:
        drawn = bar_chart(table, *size, Scheme(mode=mode), first=3)
        assert_clean(drawn.strips, *size)


def test_exact_values_stand_at_the_right_in_line() -> None:
    drawn = bar_chart(table_of([3.14159, -0.5, 1e-7, None]), 60, 8, Scheme())
    text = [strip.text.rstrip() for strip in drawn.strips[1:5]]
    assert [line.split()[-2] for line in text] == ["3.14", "−0.50", "1.0e−7", "–"]
    assert len({cell_len(line) for line in text}) == 1


def test_without_a_bar_texts_are_words_and_each_number_is_a_quantity_of_its_own() -> None:
    rows = (("OV pairs", "·Paris → ·France", 31.2), ("", "previous token", 0.0123), ("bad \x1b[2J", "", None),
            ("tokens", "of them", -1000), ("all", "of", True))  # fmt: skip
    drawn = bar_chart(Table(HEADER, ("what", "of", "value"), rows, None), 60, 8, Scheme())
    lines = [strip.text.rstrip() for strip in drawn.strips]
    assert [" ".join(line.split()) for line in lines[:6]] == [
        "what of value", "OV pairs ·Paris → ·France 31.2", "previous token 0.0123", "bad ␛[2J –",
        "tokens of them −1000", "all of yes"]  # fmt: skip
    assert {len(line) for line in lines[:6]} == {drawn.value_end}
    assert drawn.value_end < 40, "beside the words, not at the far edge"
    for first in range(4):
        scrolled = bar_chart(Table(HEADER, ("what", "of", "value"), rows, None), 60, 3, Scheme(), first)
        assert f"{first + 1}–{first + 2}/5" in scrolled.strips[0].text


async def test_keys_walk_the_rows_and_scroll() -> None:
    widget = Bars(table_of(list(range(50))))
    app = Stage(widget)
    async with app.run_test(size=(44, 12)) as pilot:
        await pilot.press("down", "down", "up", "enter")
        assert app.names() == [("CursorMoved", "1"), ("CursorMoved", "2"), ("CursorMoved", "1"), ("Opened", "1")]
        await pilot.press("end")
        assert widget.cursor == 49
        assert widget.chart is not None
        assert widget.chart.line_of(49) is not None
        assert "L0H49" in "".join(strip.text for strip in app.lines())
        await pilot.press("home", "pagedown")
        assert widget.cursor == widget.chart.count // 2
        assert_clean(app.lines(), *widget.content_size)


async def test_a_row_more_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = Bars(table_of(list(range(8))))
    app = Stage(widget)
    async with app.run_test(size=(44, 12)) as pilot:
        await pilot.pause()

        def fail(*args: object) -> None:
            raise AssertionError("plotext was asked")

        monkeypatch.setattr(chart_module, "bar_chart", fail)
        await pilot.press("down", "down")
        await pilot.pause()
        assert widget.cursor == 2
        assert len(app.lines()) == widget.content_size.height


async def test_a_new_table_keeps_the_row_where_its_columns_are_the_same() -> None:
    widget = Bars(table_of(list(range(30))))
    app = Stage(widget)
    async with app.run_test(size=(44, 12)) as pilot:
        widget.set_cursor(20)
        widget.table = table_of(list(range(25)))
        assert widget.cursor == 20
        widget.table = table_of(list(range(5)))
        assert widget.cursor == 4
        widget.table = Table(HEADER, ("token",), (("a",), ("b",), ("c",), ("d",), ("e",)), None)
        assert widget.cursor == 0
        widget.table = None
        widget.message = "nothing to rank"
        await pilot.pause()
        assert "nothing to rank" in "".join(strip.text for strip in app.lines())


async def test_a_longer_table_sends_its_new_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    widget = Bars(table_of([9.0, 8.0, 7.0]))
    widget.styles.margin = (0, 1, 0, 0)  # all of the screen at once is sent whole
    app, sent, costs = Stage(widget), count_bytes(monkeypatch), []
    async with app.run_test(size=(60, 20)) as pilot:
        widget.set_cursor(1)
        await quiet(pilot, sent)
        for values in ([9.0, 8.0, 7.0], [9.0, 8.0, 7.0, 6.0], [9.0, 8.0, 7.0, 6.0, 5.0], [1.0, 8.0, 7.0, 6.0, 5.0]):
            widget.table = table_of(values)
            costs.append(await quiet(pilot, sent))
            on_screen = [line.strip("│╭╮╰╯─ ") for line in screen_lines(app)[1:-1]]
            assert on_screen == [line.text.strip() for line in app.lines()], "and no line is old"
        assert costs[0] == 0, "the same again"
        assert all(0 < cost < 300 for cost in costs[1:3])


async def test_a_click_on_a_row_sets_the_cursor_and_a_double_click_opens() -> None:
    widget = Bars(table_of(list(range(8))))
    app = Stage(widget)
    async with app.run_test(size=(44, 14)) as pilot:
        await pilot.pause()
        await pilot.click(widget, offset=(5, 5), times=2)
        assert app.names() == [("CursorMoved", "3"), ("Opened", "3")]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("series", [
    [[1.0, 2.0, 0.5]], [[]], [], [[np.nan, np.nan]], [[np.inf, 1.0, -np.inf]], [[5.0]], [[2.0, 2.0, 2.0]],
    [[0.0] * 3], [np.sin(np.arange(5000) / 50).tolist()], [[1.0, np.nan, 2.0, 3.0], [3.0, 1.0, np.nan, 0.0]],
    [[1e-30, 2e-30]], [[1e30, -1e30]],
], ids=lambda s: str(s)[:20])  # fmt: skip
def test_any_curve_fits_any_window(series: list[list[float]], mode: Mode) -> None:
    for size in SIZES:
        assert_clean(curve_chart(curve_of(*series), *size, Scheme(mode=mode)), *size)


def test_a_gap_in_a_curve_stays_a_gap() -> None:
    flat = [1.0] * 20 + [np.nan] * 20 + [1.0] * 20
    strips = curve_chart(curve_of(flat, [0.0] * 60), 80, 20, Scheme())
    row = next(strip.text for strip in strips[1:-3] if any(0x2800 < ord(char) < 0x2900 for char in strip.text))
    drawn = [0x2800 < ord(char) < 0x2900 for char in row]
    first, last = drawn.index(True), len(drawn) - 1 - drawn[::-1].index(True)
    assert not all(drawn[first : last + 1])
    assert sum(not cell for cell in drawn[first:last]) >= 15


@pytest.mark.parametrize(("low", "high", "count", "ticks"), [
    (0, 63, 4, [0, 20, 40, 60]), (-2.72, 4, 3, [-2, 0, 2, 4]), (0.1, 0.2, 6, [0.1, 0.12, 0.14, 0.16, 0.18, 0.2]),
    (0, 1, 2, [0, 1]), (-1e6, 1e6, 3, [-1e6, 0, 1e6]), (3.1, 3.3, 2, [3.1, 3.2, 3.3]),
])  # fmt: skip
def test_ticks_are_round_numbers(low: float, high: float, count: int, ticks: list[float]) -> None:
    assert round_ticks(low, high, count) == ticks


async def test_a_curve_is_redrawn_for_a_new_size_only(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = Plot(curve_of(np.cos(np.arange(50) / 5).tolist()))
    app = Stage(widget)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        first = widget.lines()
        assert widget.lines() is first
        await pilot.resize_terminal(40, 12)
        await pilot.pause()
        assert widget.lines() is not first
        assert_clean(app.lines(), *widget.content_size)
        widget.curve = None
        widget.message = "no curve"
        await pilot.pause()
        assert "no curve" in "".join(strip.text for strip in app.lines())
