"""The pane at the right: bars, lines or a small heatmap, one at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.app import App, ComposeResult

from tests.views.apps import Frugal, count_bytes, quiet, screen_lines
from tests.views.grids import assert_clean, attention, curve_of, grid_of, random_grid, table_of
from tui.results import Curve, Grid, Table
from tui.views import plot
from tui.views.side_panel import SidePanel
from tui.views.still import Still

RESULTS: dict[str, Callable[[], Table | Curve | Grid]] = {
    "bars": lambda: table_of([3.0, -1.0, 0.5]), "plot": lambda: curve_of([1, 2, 3]), "still": lambda: attention(6),
}  # fmt: skip


class Pane(Frugal):
    CSS = "#panel { width: 38; border: round $border; }"

    def __init__(self) -> None:
        super().__init__()
        self.panel = SidePanel()

    def compose(self) -> ComposeResult:
        yield self.panel


@pytest.mark.parametrize("after", RESULTS)
@pytest.mark.parametrize("before", RESULTS)
async def test_one_picture_at_a_time_and_the_focus_goes_along(before: str, after: str) -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        panel = app.panel
        panel.show(RESULTS[before](), "title", "below")
        panel.picture.focus()
        await pilot.pause()
        panel.show(RESULTS[after](), "another", "")
        await pilot.pause()
        assert panel.picture is getattr(panel, after)
        assert [name for name in RESULTS if getattr(panel, name).display] == [after]
        assert app.focused is panel.picture
        assert_clean([panel.picture.render_line(y) for y in range(22)], 36, 22)
        assert "another" in screen_lines(app)[0]


async def test_a_picture_without_focus_takes_none() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        app.set_focus(None)
        app.panel.show(RESULTS["still"](), "", "")
        await pilot.pause()
        assert app.focused is None


async def test_waiting_keeps_title_and_rows_or_blanks_both() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        panel, table = app.panel, table_of([3.0, -1.0, 0.5])
        panel.show(table, "title", "below")
        panel.wait()
        assert panel.bars.stale
        assert (panel.border_title, panel.border_subtitle, panel.bars.table) == ("title", "below", table)
        panel.show(attention(6), "a grid", "")
        panel.picture.focus()
        await pilot.pause()
        panel.blank("why there is nothing", "another")
        await pilot.pause()
        assert panel.picture is panel.bars
        assert panel.bars.has_focus
        assert (panel.border_title, panel.border_subtitle, panel.bars.table) == ("another", "", None)
        assert "why there is nothing" in "\n".join(screen_lines(app))
        panel.show(table, "title", "below")
        assert not panel.bars.stale


async def test_what_is_shown_is_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app, grid, sent = Pane(), attention(8), count_bytes(monkeypatch)
    async with app.run_test(size=(80, 24)) as pilot:
        app.panel.show(grid, "pattern", "")
        assert await quiet(pilot, sent)
        monkeypatch.setattr(plot, "blank", lambda *_: pytest.fail("drawn again"))
        app.panel.show(grid, "pattern", "")
        assert not await quiet(pilot, sent)
        assert app.panel.still.grid is grid


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (38, 5), (20, 3), (5, 2)], ids=str)
async def test_a_grid_is_whole_whatever_its_size(size: tuple[int, int]) -> None:
    app = Pane()
    async with app.run_test(size=size) as pilot:
        for grid in (grid_of([[1.0]]), random_grid(32, 32), random_grid(300, 3), attention(60)):
            app.panel.show(grid, "", "")
            await pilot.pause()
            still = app.panel.still
            columns, lines = still.content_size
            assert_clean([still.render_line(y) for y in range(lines)], columns, lines)
            still.action_cursor(1, 1)
            still.action_open()


async def test_no_values_show_the_message() -> None:
    still = Still(random_grid(0, 3))
    still.message = "no pattern yet"

    class Alone(App[None]):
        def compose(self) -> ComposeResult:
            yield still

    app = Alone()
    async with app.run_test(size=(40, 8)):
        assert "no pattern yet" in "\n".join(screen_lines(app))


async def test_another_table_costs_the_rows_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    app, sent = Pane(), count_bytes(monkeypatch)
    values = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5]
    async with app.run_test(size=(120, 40)) as pilot:
        app.panel.show(table_of(values), "after ·is", "")
        await quiet(pilot, sent)
        app.panel.show(table_of(values), "after ·is", "")
        assert await quiet(pilot, sent) == 0
        app.panel.show(table_of(values), "after ·of", "")
        assert 0 < await quiet(pilot, sent) <= 100, "the title repaints the pane, and costs its letters"
        app.panel.show(table_of([*values[:4], 4.5, *values[5:]]), "after ·of", "")
        assert 0 < await quiet(pilot, sent) <= 200, "one row"
