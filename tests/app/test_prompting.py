"""The prompt field holds what is analysed, whoever put it there."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot

from tests.app.driving import driven, notice, pasted, pressed, settled, text_of, until
from tests.views.apps import screen_lines
from tui import needs, pages
from tui.explorer import Explorer
from tui.pane import REFUSED
from tui.selection import EXAMPLE
from tui.views.chart import Bars
from tui.views.menu import Menu
from tui.views.prompt import PromptInput, PromptLine
from tui.views.status import Status

TWO = "The king of France\nRome is in\n"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    path = tmp_path / "two.txt"
    path.write_text(TWO)
    return path


def field(explorer: Explorer) -> str:
    """What the prompt line says: what is in the field, or what stands in its place."""
    line = explorer.query_one(PromptInput)
    beside = explorer.query_one("#prompt-file")
    assert line.display != beside.display, "one of them"
    return line.prompt if line.display else text_of(explorer, "#prompt-file")


def menu_of(explorer: Explorer) -> Menu:
    made = explorer.app.screen
    assert isinstance(made, Menu)
    return made


def is_right(explorer: Explorer) -> None:
    """The prompt line says what is analysed."""
    s = explorer.selection
    job = needs.tokenizing(s)
    assert s.tokens_of == job
    if pages.of(s).is_over(s):
        assert field(explorer) == "two.txt · 2 prompts"
        assert "over two.txt (2 prompts)" in text_of(explorer, "#title")
    else:
        assert job is not None
        assert field(explorer) == job.text
        assert "two.txt" not in text_of(explorer, "#title")


async def opened(explorer: Explorer, pilot: Pilot[None], path: Path) -> None:
    """A file of prompts by its key."""
    await pilot.press("O", "ctrl+u")
    await pasted(pilot, str(path))
    await pilot.press("enter")
    await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
    await settled(explorer, pilot)


async def test_a_prompt_that_is_refused_is_said_in_views_that_are_not_drawn_yet() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "i", "end")
        await pasted(pilot, " word" * 100)
        await pilot.press("enter")
        await until(pilot, lambda: "tokens long; this model" in notice(explorer))
        await pilot.press("5")
        await until(pilot, lambda: "tokens long; this model" in explorer.main.heatmap.message)
        await pressed(explorer, pilot, "1", "i", "end", "ctrl+u", *"France", "enter", "5")
        assert explorer.main.heatmap.grid is not None


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_prompt_that_is_refused_is_marked_until_one_is_taken(size: tuple[int, int]) -> None:
    """What is below is of the prompt before, whatever key comes next, and no command claims to be of the one above."""
    async with driven(size=size) as (explorer, pilot):
        await pressed(explorer, pilot, "i", "end")
        await pasted(pilot, " word" * 100)
        await pressed(explorer, pilot, "enter", "right_curly_bracket", "3", "left")
        assert explorer.selection.tokens is not None
        assert "word" not in "".join(explorer.selection.tokens.texts)
        assert text_of(explorer, "#prompt-answer") == REFUSED
        assert any(REFUSED in line for line in screen_lines(explorer.app))
        await pressed(explorer, pilot, "y")
        for letter in "sn":
            (entry,) = (one for one in menu_of(explorer).entries if one.key == letter)
            assert "of the prompt before" in entry.why_not
        await pressed(explorer, pilot, "escape", "i", "ctrl+u", *"France", "enter")
        assert text_of(explorer, "#prompt-answer") != REFUSED
        await pressed(explorer, pilot, "y")
        assert not next(one for one in menu_of(explorer).entries if one.key == "s").why_not


async def test_a_file_that_cannot_be_prepared_says_why_where_its_numbers_would_stand(two: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.txt"
    long.write_text("word " * 100 + "\nThe king of France\n")
    async with driven() as (explorer, pilot):
        await opened(explorer, pilot, two)
        await pressed(explorer, pilot, "5", "p")
        await pressed(explorer, pilot, "O", "ctrl+u")
        await pasted(pilot, str(long))
        await pressed(explorer, pilot, "enter", "right", "1", "5")
        assert field(explorer) == "long.txt · 2 prompts"
        assert "tokens long; this model" in explorer.main.heatmap.message
        assert explorer.main.heatmap.grid is None, "no numbers of the file before under this one's name"
        assert "tokens long; this model" in explorer.panel.bars.message
        await opened(explorer, pilot, two)
        assert isinstance(explorer.main.picture, Bars)
        assert "over two.txt (2 prompts)" in text_of(explorer, "#title")


async def closed(explorer: Explorer, pilot: Pilot[None]) -> None:
    await pressed(explorer, pilot, "O", "ctrl+u", "enter")
    assert explorer.selection.file is None


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_file_and_the_typed_prompt_again(size: tuple[int, int], two: Path) -> None:
    async with driven(size=size) as (explorer, pilot):
        await opened(explorer, pilot, two)
        assert field(explorer) == "two.txt · 2 prompts"
        await pressed(explorer, pilot, "F")
        assert field(explorer) == "The king of France"
        await pressed(explorer, pilot, "greater_than_sign")
        assert field(explorer) == "Rome is in"
        await pressed(explorer, pilot, "F")
        assert field(explorer) == "two.txt · 2 prompts"
        await closed(explorer, pilot)
        assert (field(explorer), explorer.selection.text) == (EXAMPLE, EXAMPLE)
        is_right(explorer)


async def test_every_page_says_what_it_analyses(two: Path) -> None:
    async with driven() as (explorer, pilot):
        await opened(explorer, pilot, two)
        for page in (*pages.every(), *pages.every()[::-1]):
            if explorer.selection.page != page.name:
                await pressed(explorer, pilot, page.key)
            is_right(explorer)
            await pressed(explorer, pilot, "F")
            is_right(explorer)
            await pressed(explorer, pilot, "F")
            is_right(explorer)


@pytest.mark.parametrize("keys", [(), ("greater_than_sign",), ("greater_than_sign", "F")])
async def test_i_edits_the_prompt_that_is_analysed(keys: tuple[str, ...], two: Path) -> None:
    async with driven() as (explorer, pilot):
        await opened(explorer, pilot, two)
        await pressed(explorer, pilot, *keys)
        assert explorer.selection.file is not None
        analysed = TWO.splitlines()[explorer.selection.file.at]
        await pressed(explorer, pilot, "i", *" is", "enter")
        assert field(explorer) == explorer.selection.text == f"{analysed} is"
        is_right(explorer)
        await closed(explorer, pilot)
        assert field(explorer) == f"{analysed} is", "it is typed now"


async def test_one_file_after_another_and_one_that_cannot_be_used(two: Path, tmp_path: Path) -> None:
    other, long = tmp_path / "other.txt", tmp_path / "long.txt"
    other.write_text("The queen\n")
    long.write_text("The king\n" + "word " * 80 + "\n")
    async with driven() as (explorer, pilot):
        await pilot.press("O")
        await pasted(pilot, str(long))
        await pilot.press("enter")
        await until(pilot, lambda: "reads at most 60" in notice(explorer))
        await settled(explorer, pilot)
        assert explorer.selection.file is None
        assert field(explorer) == EXAMPLE, "nothing of it is analysed"
        is_right(explorer)
        await opened(explorer, pilot, other)
        assert field(explorer) == "other.txt · 1 prompt"
        await opened(explorer, pilot, two)
        await pressed(explorer, pilot, "greater_than_sign")
        await pilot.press("O", "ctrl+u")
        await pasted(pilot, str(long))
        await pilot.press("enter")
        await until(pilot, lambda: "reads at most 60" in notice(explorer))
        await settled(explorer, pilot)
        assert field(explorer) == "Rome is in", "as it was"
        is_right(explorer)
        await closed(explorer, pilot)
        assert field(explorer) == EXAMPLE, "through both files"


async def test_a_bos_that_is_typed_is_said_in_the_status_line() -> None:
    async with driven() as (explorer, pilot):
        status = explorer.query_one(Status)
        assert status.conventions.endswith(" · BOS")
        await pressed(explorer, pilot, "i", "ctrl+u", *"<|bos|>Rome is", "enter")
        assert status.conventions.endswith(" · BOS typed, none added")
        assert explorer.selection.tokens is not None
        assert explorer.selection.tokens.texts == ("<|bos|>", " Rome", " is")
        await pressed(explorer, pilot, "B")
        assert status.conventions.endswith(" · BOS typed, none added"), "it is there all the same"
        await pressed(explorer, pilot, "i", "ctrl+u", *"Rome is", "enter")
        assert status.conventions.endswith(" · no BOS")


@pytest.mark.parametrize("leave", ["enter", "escape"])
async def test_what_comes_behind_enter_in_one_packet_is_a_command(leave: str) -> None:
    async with driven() as (explorer, pilot):
        for key in ("i", "end", "space", *"in", leave, "2", "right_curly_bracket"):
            character = {"space": " ", "right_curly_bracket": "}"}.get(key, key if len(key) == 1 else None)
            explorer.app.post_message(events.Key(key, character))
        await until(pilot, lambda: explorer.selection.page == "qk")
        await settled(explorer, pilot)
        assert (explorer.selection.text, explorer.selection.name) == ("The capital of France is in", "L0H1")
        assert explorer.prompting.history[-1] == explorer.selection.text
        assert explorer.main.heatmap.has_focus


async def test_over_a_file_no_prompt_s_answer_is_shown_and_one_prompt_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("prompt,answer\nThe capital of France is,Paris\nThe capital of,London\n")
    async with driven() as (explorer, pilot):
        explorer.directory.open_prompts(str(path))
        await settled(explorer, pilot)
        beside = explorer.query_one(PromptLine)
        assert (field(explorer), beside.answer) == ("two.csv · 2 prompts", "")
        for key, answer in (("F", "·Paris"), ("greater_than_sign", "·London")):
            await pressed(explorer, pilot, key)
            assert beside.answer == f"answer {answer}"


async def test_keys_of_a_field_take_effect_in_their_order() -> None:
    """Several in one packet, as a paste over SSH or a fast hand sends them."""
    async with driven(prompt="The king") as (explorer, pilot):
        await pilot.press("i")
        await until(pilot, lambda: isinstance(explorer.focused, PromptInput))
        for key in ("ctrl+u", "a", "b", "backspace", "c", "home", "x", "end", "d"):
            explorer.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await settled(explorer, pilot)
        assert explorer.selection.text == "xacd"
