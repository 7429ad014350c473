"""The footer: what can be done here and now."""

from __future__ import annotations

import gc

from textual.widgets._footer import FooterKey

from tests.app.driving import driven, pressed, until
from tui.explorer import Explorer
from tui.views.footer import KeysFooter


def words(explorer: Explorer) -> str:
    """The line as it is on the screen."""
    footer = explorer.query_one(KeysFooter)
    strips = explorer.app.screen._compositor.render_strips()
    return strips[footer.region.y].text


async def test_it_goes_with_what_has_the_keys_and_leaves_out_what_means_nothing() -> None:
    async with driven() as (explorer, pilot):
        await until(pilot, lambda: "m mode" in words(explorer))
        await pressed(explorer, pilot, "3")
        await until(pilot, lambda: "mode" not in words(explorer))
        await pressed(explorer, pilot, "7")
        explorer.panel.bars.focus()
        await until(pilot, lambda: words(explorer).lstrip().startswith("enter open $ sort & filter"))
        explorer.desk.model_tree.focus()
        await until(pilot, lambda: words(explorer).lstrip().startswith("; filter L sort"))
        await pilot.press("i")
        await until(pilot, lambda: words(explorer).lstrip().startswith("enter run"))
        await pilot.press("escape")
        await until(pilot, lambda: words(explorer).lstrip().startswith("? help"))


async def test_the_keys_that_stand_there_stay_where_no_other_would() -> None:
    async with driven() as (explorer, pilot):
        await until(pilot, lambda: "m mode" in words(explorer))
        before = [*explorer.query(FooterKey)]
        assert before
        await pressed(explorer, pilot, "down")
        await pilot.press("question_mark")
        await until(pilot, lambda: explorer.app.screen is not explorer)
        await pressed(explorer, pilot, "escape")
        explorer.refresh_bindings()
        await pressed(explorer, pilot, "up")
        assert [*explorer.query(FooterKey)] == before
        await pressed(explorer, pilot, "3")
        await until(pilot, lambda: "mode" not in words(explorer))
        assert not {*before} & {*explorer.query(FooterKey)}


async def test_keys_that_were_shown_once_are_let_go_of() -> None:
    async with driven() as (explorer, pilot):
        counts = []
        for _ in range(2):
            for _ in range(5):
                await pressed(explorer, pilot, "i", "escape", "tab")
            gc.collect()
            counts.append(sum(isinstance(one, FooterKey) for one in gc.get_objects()))
        assert counts[1] <= counts[0] + 40, counts


async def test_keys_of_one_word_stand_apart_where_they_have_names() -> None:
    async with driven((160, 40), keys={"head_next": "f9"}) as (explorer, pilot):
        await until(pilot, lambda: "{ F9 head" in words(explorer))
    async with driven((160, 40), keys={}) as (explorer, pilot):
        await until(pilot, lambda: "{} head" in words(explorer))
