"""Two pictures at once: what was pinned beside what comes, one cursor, one colour scale, and their difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.app.driving import drawn, driven, notice, pressed, settled, text_of, until
from tests.app.recorded import RecordedBench
from tests.views.apps import burst
from tui import needs, pages
from tui.arrange import PINNED, difference, shared_limits
from tui.engine.jobs import Pattern
from tui.explorer import Explorer
from tui.results import Grid
from tui.views.main_view import MainView


def beside(explorer: Explorer) -> MainView:
    return explorer.query_one("#pinned", MainView)


def title(view: MainView) -> str:
    return str(view.query_one("#title").render()).strip()


def grid_of(view: MainView) -> Grid:
    assert isinstance(view.heatmap.grid, Grid)
    return view.heatmap.grid


async def test_what_is_pinned_stays_while_the_picture_goes_on() -> None:
    async with driven() as (explorer, pilot):
        first = drawn(explorer)
        await pressed(explorer, pilot, "vertical_line")
        assert not explorer.panel_open, "there is room for two"
        assert np.array_equal(grid_of(beside(explorer)).values, first.values, equal_nan=True)
        await pressed(explorer, pilot, "right_curly_bracket")
        assert title(beside(explorer)) == "L0H0 · pattern"
        assert text_of(explorer, "#title").strip() == "L0H1 · pattern"
        await pressed(explorer, pilot, "up", "left")
        assert beside(explorer).heatmap.cursor == explorer.main.heatmap.cursor
        await pressed(explorer, pilot, "vertical_line")
        assert title(beside(explorer)) == "Δ this − L0H0 · pattern"
        apart = drawn(explorer).values - first.values
        assert np.allclose(grid_of(beside(explorer)).values, apart, equal_nan=True)
        assert grid_of(beside(explorer)).header.explanation.startswith("this − pinned")
        await pressed(explorer, pilot, "vertical_line")
        assert not explorer.query("#pinned")
        assert explorer.panel_open


async def test_both_share_a_colour_scale() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "2", "vertical_line", "right_square_bracket")
        own, other = drawn(explorer), grid_of(beside(explorer))
        most = max(np.abs(own.values).max(), np.abs(other.values).max())
        assert own.limits == other.limits == (-most, most)


async def test_two_prompts_side_by_side() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "vertical_line")
        explorer.scene.change(replace(explorer.selection, text="The king of Rome"))
        await pressed(explorer, pilot)
        assert len(grid_of(beside(explorer)).rows) == 6
        assert len(drawn(explorer).rows) == 5
        assert "pinned: The capital of France is" in str(beside(explorer).border_title)
        await pressed(explorer, pilot, "vertical_line")
        assert "no rows and columns in common" in beside(explorer).heatmap.message


async def test_the_clean_view_beside_the_changed_one() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "vertical_line", "a")
        assert title(beside(explorer)) == "L0H0 · pattern"
        assert text_of(explorer, "#title").strip().startswith("changed · L0H0")


async def test_it_goes_with_the_model_and_says_what_it_is() -> None:
    async with driven(size=(80, 24)) as (explorer, pilot):
        await pressed(explorer, pilot, "vertical_line")
        assert "share the cursor" in notice(explorer)
        assert beside(explorer).size.width > 30
        assert not explorer.desk.model_tree.display or explorer.desk.model_tree.size.width == 0
        await pressed(explorer, pilot, "p", "tab", "enter", "escape")
        assert explorer.focused is None or beside(explorer) not in explorer.focused.ancestors


async def test_pinned_twice_in_one_packet_ends_without_it() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press(*["vertical_line"] * 6)
        await pressed(explorer, pilot)
        assert not explorer.query("#pinned")
        await pressed(explorer, pilot, *["vertical_line"] * 4)
        assert title(beside(explorer)) == "L0H0 · pattern"


def test_scales_that_cannot_be_shared() -> None:
    from tests.app.recorded import KEY, RecordedBench
    from tui.engine.jobs import Run

    grid = RecordedBench().compute(Pattern(Run(KEY, (0, 1, 2), True), 0, 0), None)
    assert shared_limits(grid, replace(grid, diverging=True)) is None
    assert shared_limits(grid, replace(grid, limits=(0.0, 1.0))) is None
    assert shared_limits(grid, None) is None
    assert shared_limits(grid, grid) == (0.0, float(np.nanmax(grid.values)))
    assert difference(grid, grid, PINNED) is difference(grid, grid, PINNED), "drawn once"


async def test_pinned_again_before_the_picture_of_the_last_pin_is_gone() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "vertical_line")
        first = explorer.scene.pinned
        explorer.scene.hold(None)
        explorer.draw()
        explorer.scene.hold(first)
        explorer.draw()
        await settled(explorer, pilot)
        assert len(explorer.query("#pinned")) == 1
        burst(explorer.app, ["vertical_line"] * 5)
        await settled(explorer, pilot)
        assert explorer.app.is_running


async def test_what_is_pinned_before_its_answer_is_known_gets_it() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "6")
        bench.gate.clear()
        try:
            await pilot.press("i", *" Paris", "enter", "vertical_line")
            await until(pilot, lambda: explorer.scene.pinned is not None)
            assert needs.deciding(explorer.scene.pinned)
        finally:
            bench.gate.set()
        await pressed(explorer, pilot, "5")
        await until(pilot, lambda: not needs.deciding(explorer.scene.pinned), 10)
        await settled(explorer, pilot)
        pinned = explorer.scene.pinned
        assert pinned is not None
        assert pinned.likeliest is not None
        computed = explorer.engine.cached(needs.shown(pinned))
        assert computed is not None
        drawn_of = pages.of(pinned).shape(pinned, computed)
        assert isinstance(drawn_of, Grid)
        assert np.array_equal(grid_of(beside(explorer)).values, drawn_of.values, equal_nan=True)


async def test_a_difference_to_a_view_that_is_refused_says_why() -> None:
    """It was “computing …” for ever: the page's side of it never comes."""
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "vertical_line", "right_curly_bracket", "vertical_line", "a", "9")
        assert "patching is between two runs of the unchanged model" in explorer.main.heatmap.message
        assert "patching is between two runs of the unchanged model" in beside(explorer).heatmap.message
        await pressed(explorer, pilot, "1")
        assert np.isfinite(grid_of(beside(explorer)).values).any()
