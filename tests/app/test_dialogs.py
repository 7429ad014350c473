"""Answers that come late: the question may have been asked again by then."""

from __future__ import annotations

from tests.app.driving import driven
from tui.views.ask import Ask


async def test_an_answer_of_the_question_before_leaves_one_that_is_coming_up_alone() -> None:
    async with driven() as (explorer, pilot):
        explorer.app.push_screen(Ask("filter", "Heads in the tree"))
        await explorer.on_event(Ask.Answered("filter", ":-3"))  # it is on top, and has no field yet
        await pilot.pause()
        assert explorer.app.is_running
        assert isinstance(explorer.app.screen, Ask)
