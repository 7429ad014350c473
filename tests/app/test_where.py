"""Where one is: which of how many modes and panels, what is out of the ordinary, and the way back through them."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from tests.app.driving import driven, notice, pressed, settled, text_of
from tests.app.selected import loaded
from tests.app.test_manners import SIZES, lines
from tui import pages
from tui.page import offered
from tui.pages.circuit import CircuitLook
from tui.pages.pattern import PatternLook
from tui.pages.scores import ScoresLook


@pytest.mark.parametrize("size", SIZES)
async def test_a_view_says_which_of_its_modes_it_is_in_and_goes_both_ways(size: tuple[int, int]) -> None:
    async with driven(size) as (explorer, pilot):
        assert text_of(explorer, "#badges").strip() == "m 1/4"
        await pressed(explorer, pilot, "m", "m")
        assert text_of(explorer, "#badges").strip() == "m 3/4"
        assert explorer.selection.look(PatternLook).mode == "value-weighted"
        assert any("value-weighted" in line and "m 3/4" in line for line in lines(explorer))
        await pressed(explorer, pilot, "minus")
        assert explorer.selection.look(PatternLook).mode == "scores"
        await pressed(explorer, pilot, "minus", "minus")
        assert explorer.selection.look(PatternLook).mode == "all heads", "round, past the first"
        await pressed(explorer, pilot, "6")
        assert "u 1/3" in text_of(explorer, "#badges")
        await pressed(explorer, pilot, "u", "minus")
        assert "u 1/3" in text_of(explorer, "#badges")


@pytest.mark.parametrize("size", SIZES)
async def test_a_panel_says_which_of_how_many_it_is_and_goes_both_ways(size: tuple[int, int]) -> None:
    async with driven(size) as (explorer, pilot):
        await pressed(explorer, pilot, "2")
        if not explorer.panel_open:
            await pressed(explorer, pilot, "p")
        count = len(offered(pages.named("qk"), explorer.selection))
        assert str(explorer.panel.border_title).startswith("p 1/")
        title = str(explorer.panel.border_title)
        await pressed(explorer, pilot, "p")
        assert str(explorer.panel.border_title).startswith("p 2/")
        await pressed(explorer, pilot, "minus")
        assert str(explorer.panel.border_title) == title
        await pressed(explorer, pilot, "minus")
        assert not explorer.panel_open
        await pressed(explorer, pilot, "minus")
        last = str(explorer.panel.border_title).split(" · ")[0].removeprefix("p ").split("/")
        assert last[0] == last[1]
        assert int(last[1]) == count


def test_every_option_goes_back_to_where_it_was() -> None:
    for page in pages.every():
        s = loaded(page=page.name, layer=1, head=1)
        for option in page.options:
            for _ in option.choices(s):
                there, _ = option.cycle(s)
                assert option.of(option.cycle(there, back=True)[0]) == option.of(s), (page.name, option.key)
                s = there


async def test_what_is_out_of_the_ordinary_has_a_badge() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "2")
        assert text_of(explorer, "#badges").strip() == "m 1/4"
        await pressed(explorer, pilot, "b")
        assert "basis normed" in text_of(explorer, "#badges")
        await pressed(explorer, pilot, "w")
        assert "raw weights" in text_of(explorer, "#badges")
        await pressed(explorer, pilot, "1")
        assert text_of(explorer, "#badges").strip() == "m 1/4", "the pattern is the model's own: of no basis"
        await pressed(explorer, pilot, "2")
        await pilot.press("t", *"The, king", "enter")
        await settled(explorer, pilot)
        assert "token list" in text_of(explorer, "#badges")
        explorer.desk.put(explorer.selection.put(CircuitLook()))
        await pressed(explorer, pilot, "w", "vertical_line", "right_curly_bracket")
        assert "shared scale" in text_of(explorer, "#badges")
        await pressed(explorer, pilot, "1")
        assert "token list" not in text_of(explorer, "#badges")


async def test_a_change_of_numbers_is_announced() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "w")
        assert notice(explorer).startswith("weights raw, as stored")
        await pressed(explorer, pilot, "w")
        assert notice(explorer).startswith("weights processed")
        await pressed(explorer, pilot, "B")
        assert notice(explorer).startswith("the prompt has no BOS before it")
        await pressed(explorer, pilot, "right_curly_bracket")
        assert not notice(explorer)


async def test_the_palette_has_the_values_of_a_views_options() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "7")
        await pilot.press("colon")
        await pilot.pause(0.1)
        explorer.app.screen.query_one(Input).value = "duplicate"
        await pilot.pause(0.5)
        await pilot.press("enter")
        await settled(explorer, pilot)
        assert explorer.selection.look(ScoresLook).score == "duplicate token"
        names = [name for name, _, _ in explorer.directory.values("score")]
        assert names == []
        assert len(explorer.directory.values("mode")) == len(explorer.selection.look(ScoresLook).scores)
