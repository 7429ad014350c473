"""What a picture says at a glance: numbers, a scale that is kept, Why from its largest pair, room at every size."""

from __future__ import annotations

import numpy as np
import pytest
from rich.cells import cell_len
from textual.widgets._footer import FooterKey

from tests.app.driving import drawn, driven, notice, pressed, settled, text_of
from tests.app.recorded import RecordedBench
from tui.engine.jobs import ScoreParts
from tui.explorer import Explorer
from tui.pages.why import AGAINST, AgainstLook
from tui.results import Grid
from tui.views.footer import KeysFooter

SIZES = [(80, 24), (100, 30), (120, 40), (140, 40), (200, 55)]


def badges(explorer: Explorer) -> str:
    return text_of(explorer, "#badges")


def on_screen(explorer: Explorer) -> str:
    lines = explorer.main.heatmap.lines()
    assert lines is not None
    return "\n".join(strip.text for strip in lines)


async def test_numbers_are_there_and_a_key_takes_them_away() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "2")
        value = f"{abs(float(drawn(explorer).values[1, 2])):.3g}"
        assert value.lstrip("0") in on_screen(explorer)
        await pressed(explorer, pilot, "percent_sign")
        assert value.lstrip("0") not in on_screen(explorer)
        await pressed(explorer, pilot, "percent_sign")
        assert value.lstrip("0") in on_screen(explorer)


async def test_a_scale_is_kept_for_other_heads_and_given_back() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "2", "equals_sign")
        most = float(np.abs(drawn(explorer).values).max())
        assert "scale locked" in badges(explorer)
        await pressed(explorer, pilot, "right_curly_bracket")
        assert drawn(explorer).limits == (-most, most)
        beyond = float(np.abs(drawn(explorer).values).max()) > most
        assert ("some beyond it" in badges(explorer)) == beyond
        await pressed(explorer, pilot, "m")
        assert drawn(explorer).limits == (-most, most), "modes of one quantity too"
        await pressed(explorer, pilot, "3")
        assert drawn(explorer).limits is None, "another quantity has its own"
        assert "scale" not in badges(explorer)
        await pressed(explorer, pilot, "2", "equals_sign")
        assert drawn(explorer).limits is None
        assert "scale" not in badges(explorer)


async def test_a_scale_with_fixed_ends_needs_no_lock() -> None:
    async with driven() as (explorer, pilot):
        grid = drawn(explorer)
        await pressed(explorer, pilot, "equals_sign")
        assert (grid.limits is None) == ("scale locked" in badges(explorer))
        await pressed(explorer, pilot, "V")
        await pressed(explorer, pilot, "equals_sign")
        assert "no colour scale" in notice(explorer) or grid.limits is None


async def test_why_starts_on_its_largest_pair_and_stays_where_it_is_put() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "right_square_bracket", "h", "W")
        values = np.abs(drawn(explorer).values)
        assert explorer.main.heatmap.cursor == divmod(int(values.argmax()), values.shape[1])
        await pressed(explorer, pilot, "home", "up")
        put = explorer.main.heatmap.cursor
        await pressed(explorer, pilot, "right_curly_bracket")
        assert explorer.main.heatmap.cursor == put


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (140, 40)], ids=str)
async def test_why_shows_its_list_first_where_panes_take_turns(size: tuple[int, int]) -> None:
    async with driven(size=size) as (explorer, pilot):
        await pressed(explorer, pilot, "right_square_bracket", "h", "W")
        assert explorer.panel_open
        turns = size[0] < 130
        assert explorer.main.display == (not turns), "the list alone"
        await pressed(explorer, pilot, "escape")
        assert (explorer.selection.page == "why") == turns, "esc: the picture first, then back"
        assert explorer.main.display


async def test_why_less_another_key_and_less_the_mean() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "right_square_bracket", "h", "h", "apostrophe", "l", "W", "m")
        asked = [job for job in bench.computed if isinstance(job, ScoreParts)]
        assert asked[-1].against == "mean"
        assert AGAINST[1] in text_of(explorer, "#title")
        await pressed(explorer, pilot, "m")
        asked = [job for job in bench.computed if isinstance(job, ScoreParts)]
        assert (asked[-1].key, asked[-1].against) == (4, 3)
        assert "less ·of (3)" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "1", "h", "W")
        assert explorer.selection.look(AgainstLook).against == AGAINST[0], "the marked key is this one now"
        await pressed(explorer, pilot, "m", "m")
        assert "marked key is this one" in notice(explorer)


async def test_no_marked_key_is_said() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "right_square_bracket", "h", "W", "m", "m")
        assert "' on a cell of a pattern marks its key" in notice(explorer)


async def test_the_picture_is_never_narrower_on_a_larger_screen() -> None:
    widths = []
    for size in SIZES:
        async with driven(size=size) as (explorer, _):
            widths.append(explorer.main.heatmap.content_size.width)
    assert min(widths) == widths[0], widths


@pytest.mark.parametrize("width", [50, 64, 79, 80, 100, 120])
async def test_the_footer_ends_with_a_whole_word(width: int) -> None:
    async with driven(size=(90, 24)) as (explorer, pilot):
        await settled(explorer, pilot)
        await pilot.resize_terminal(width, 24)
        await pilot.pause()
        keys = explorer.query_one(KeysFooter)
        shown = [key for key in keys.query(FooterKey) if key.region.area and key.parent is keys]
        assert shown
        assert all(key.region.right <= width for key in shown)


@pytest.mark.parametrize("width", [60, 80])
async def test_the_inspector_keeps_its_value(width: int) -> None:
    async with driven(size=(width, 24), prompt="The capital of France is " + "w" * 70) as (explorer, pilot):
        await settled(explorer, pilot)
        line = text_of(explorer, "#inspector")
        assert cell_len(line) <= width
        assert "pattern" in line
        assert isinstance(explorer.main.heatmap.grid, Grid)
