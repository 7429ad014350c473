"""Keys mean in one packet what they mean one by one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.command import Hits
from textual.screen import Screen
from textual.widgets import Input

from tests.app.driving import driven, settled, until
from tests.app.recorded import RecordedBench
from tests.views.apps import burst
from tui.app import CircuitApp
from tui.views.ahead import Ahead
from tui.views.ask import Ask
from tui.views.find import Find
from tui.views.palette import Commands, Palette


def ahead(app: App[Any]) -> Ahead:
    assert isinstance(app, CircuitApp)
    return app.ahead


def typed(dialog: Screen[Any]) -> str:
    """What stands in its field, once it has one."""
    return "".join(field.value for field in dialog.query(Input))


@pytest.mark.parametrize(
    ("keys", "page", "head"),
    [
        ([":", *"L0H2", "enter", "2"], "qk", "L0H2"),
        ([":", *"L1H3", "enter", "right_curly_bracket", "3", ":", *"L0H1", "enter", "5"], "lens", "L0H1"),
        ([":", *"residual", "enter", "right_curly_bracket"], "residual", "L0H1"),
        (["t", "ctrl+u", *"king", "enter", "3"], "ov", "L0H0"),
        (["A", *"Paris", "enter", "6"], "attribution", "L0H0"),
        (["i", "ctrl+u", *"The king is", "enter", "right_curly_bracket", "2"], "qk", "L0H1"),
        ([":", "tab", "ctrl+u", *"L1H2", "enter", "3"], "ov", "L1H2"),
        ([":", *"L1H", "tab", "enter", "3"], "ov", "L1H0"),
        ([":", *"posit", "tab", "enter", "escape", "escape", "3"], "ov", "L0H0"),
        (["1", "2", "3", "2", "right_curly_bracket", "1", "slash", "escape", "3"], "ov", "L0H1"),
        (["ctrl+f", *"France", "enter", "2"], "qk", "L0H0"),
        (["question_mark", *"logit", "enter", "right_curly_bracket"], "attribution", "L0H1"),
    ],
)  # fmt: skip
async def test_one_packet(keys: list[str], page: str, head: str) -> None:
    async with driven() as (explorer, pilot):
        burst(explorer.app, ["colon" if key == ":" else key for key in keys])
        await until(pilot, lambda: (explorer.selection.page, explorer.selection.name) == (page, head), 10)
        await until(pilot, lambda: explorer.app.screen is explorer, 10)
        await settled(explorer, pilot)


@pytest.mark.parametrize("opens", ["question_mark", "colon", "slash", "M", "e", "y", "C", "J", "ctrl+f"])
async def test_behind_an_escape(opens: str) -> None:
    async with driven() as (explorer, pilot):
        await pilot.press(opens)
        await until(pilot, lambda: explorer.app.screen is not explorer)
        burst(explorer.app, ["escape", "2", "right_curly_bracket"])
        await until(pilot, lambda: (explorer.selection.page, explorer.selection.name) == ("qk", "L0H1"), 10)


async def test_behind_a_letter_of_a_menu() -> None:
    async with driven() as (explorer, pilot):
        burst(explorer.app, ["y", "p", "2"])
        await until(pilot, lambda: explorer.selection.page == "qk", 10)
        assert explorer.app.screen is explorer


@pytest.mark.parametrize(("opens", "text", "dialog"), [("slash", "nowords", Ask), ("colon", "nosuchthing", Palette)])
async def test_what_is_no_answer_leaves_the_keys_in_the_field(opens: str, text: str, dialog: type[Screen[Any]]) -> None:
    """The question stays, and so does what was typed to it."""
    async with driven() as (explorer, pilot):
        burst(explorer.app, [opens, *text, "enter", *"xy"])
        await until(pilot, lambda: isinstance(explorer.app.screen, dialog))
        asked = explorer.app.screen
        await until(pilot, lambda: typed(asked) == f"{text}xy", 10)
        assert explorer.app.screen is asked
        began = time.monotonic()
        burst(explorer.app, ["escape", "2"])
        await until(pilot, lambda: explorer.selection.page == "qk", 10)
        assert time.monotonic() - began < 5


async def test_an_answer_that_is_looked_up_for_long_holds_no_key_for_ever() -> None:
    """``esc`` reaches the question soon, other keys after a second."""
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        bench.gate.clear()
        try:
            burst(explorer.app, ["t", "ctrl+u", *"queen", "enter", "z"])
            await until(pilot, lambda: isinstance(explorer.app.screen, Ask))
            ask = explorer.app.screen
            await until(pilot, lambda: typed(ask) == "queenz", 10)
            burst(explorer.app, ["enter", "escape"])
            await until(pilot, lambda: explorer.app.screen is explorer, 10)
        finally:
            bench.gate.set()


async def test_the_filter_of_a_list_keeps_none_of_what_follows() -> None:
    async with driven() as (explorer, pilot):
        burst(explorer.app, ["7", "p"])
        await settled(explorer, pilot)
        await pilot.press("tab")
        burst(explorer.app, ["ampersand", *"l1", "enter", "2"])
        await until(pilot, lambda: explorer.selection.page == "qk", 10)
        assert not isinstance(explorer.app.screen, Find)


async def test_nothing_is_left_behind() -> None:
    async with driven() as (explorer, pilot):
        before = len(asyncio.all_tasks())
        for _ in range(5):
            burst(explorer.app, ["slash", "x", "enter", "escape", "e", "2", "escape", "escape", "y", "2", "escape"])
        await pilot.pause()
        await until(pilot, lambda: explorer.app.screen is explorer and ahead(explorer.app).at_rest, 20)
        await settled(explorer, pilot)
        await until(pilot, lambda: len(asyncio.all_tasks()) <= before + 1, 10)


async def test_what_passes_nothing_on_holds_no_key_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("slash")
        monkeypatch.setattr("tui.views.ahead.LONGEST", (2, 10))
        monkeypatch.setattr(ahead(explorer.app), "_follow", lambda *_: None)
        burst(explorer.app, ["escape", "2", "right_curly_bracket"])
        await until(pilot, lambda: (explorer.selection.page, explorer.selection.name) == ("qk", "L0H1"), 10)
        await until(pilot, lambda: ahead(explorer.app).at_rest, 10)


async def test_a_machine_without_time_for_the_app_changes_no_keys_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a key does takes three times as long as an app that has nothing to do is waited for."""
    search = Commands.search

    async def slow(self: Commands, query: str) -> Hits:
        for _ in range(24):
            began = time.thread_time()
            while time.thread_time() - began < 0.05:
                pass
            await asyncio.sleep(0)
        async for hit in search(self, query):
            yield hit

    monkeypatch.setattr(Commands, "search", slow)
    async with driven() as (explorer, pilot):
        burst(explorer.app, ["colon", *"L1H3", "enter", "3"])
        await until(pilot, lambda: (explorer.selection.page, explorer.selection.name) == ("ov", "L1H3"))
        await until(pilot, lambda: explorer.app.screen is explorer)


async def test_text_waits_for_nothing() -> None:
    """A letter of a text goes on at once: the next one goes where it goes."""
    async with driven() as (explorer, pilot):
        await pilot.press("slash")
        app = explorer.app
        for letter in "abc":
            await ahead(app).take(events.Key(letter, letter))
            assert ahead(app).at_rest
        await ahead(app).take(events.Key("enter", None))
        assert not ahead(app).at_rest
        await until(pilot, lambda: ahead(app).at_rest, 10)


async def test_an_app_that_ends_takes_no_more() -> None:
    async with driven() as (explorer, pilot):
        burst(explorer.app, ["slash", "escape", "q", "2", "slash", "x", "enter"])
        await until(pilot, lambda: explorer.app.return_code is not None, 10)
