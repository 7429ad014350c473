"""The list of changes: each entry by itself switched, moved, placed, written anew and taken off."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot

from tests.app.driving import driven, notice, pressed
from tests.app.selected import PROMPT, loaded
from tui import stack
from tui.declared import Say
from tui.engine.jobs import Ablation, AddVector, CutEdge, SteeringDirection
from tui.explorer import Explorer
from tui.selection import Entry, Selection
from tui.views.ask import Ask


def changes(explorer: Explorer) -> list[str]:
    return [str(entry.change) for entry in explorer.selection.stack]


async def listed(explorer: Explorer, pilot: Pilot[None]) -> None:
    """L0H0, L0H1 and L0H2 knocked out, the keys with their list and the cursor on the second."""
    await pressed(explorer, pilot, "a", "right_curly_bracket", "a", "right_curly_bracket", "a")
    while explorer.selection.panel != "changes":
        await pressed(explorer, pilot, "p")
    explorer.panel.picture.focus()
    while explorer.desk.entry != 1:
        await pressed(explorer, pilot, "down")


async def test_each_change_is_placed_moved_and_taken_off_where_the_cursor_is() -> None:
    async with driven() as (explorer, pilot):
        await listed(explorer, pilot)
        await pressed(explorer, pilot, "at")
        assert changes(explorer) == ["L0H0 zero", "L0H1 zero @5", "L0H2 zero"], "the last position has the cursor"
        await pressed(explorer, pilot, "circumflex_accent")
        assert changes(explorer) == ["L0H1 zero @5", "L0H0 zero", "L0H2 zero"]
        assert explorer.desk.entry == 0, "the cursor goes with it"
        await pressed(explorer, pilot, "circumflex_accent")
        assert changes(explorer) == ["L0H0 zero", "L0H2 zero", "L0H1 zero @5"]
        assert explorer.desk.entry == 2
        await pressed(explorer, pilot, "circumflex_accent", "circumflex_accent")
        await pressed(explorer, pilot, "E", "enter")
        assert changes(explorer)[0] == "L0H1 zero, value biases folded @5", "what it becomes, not where"
        assert [entry.on for entry in explorer.selection.stack] == [False, True, True]
        await pressed(explorer, pilot, "backspace")
        assert changes(explorer) == ["L0H0 zero", "L0H2 zero"]


async def test_the_change_under_the_cursor_is_written_anew() -> None:
    async with driven() as (explorer, pilot):
        await listed(explorer, pilot)
        await pilot.press("G")
        await pilot.pause()
        assert isinstance(explorer.app.screen, Ask)
        await pressed(explorer, pilot, "ctrl+u", *"L2.mlp@1-3", "enter")
        assert changes(explorer) == ["L0H0 zero", "L2.mlp zero @1-3", "L0H2 zero"]
        explorer.main.heatmap.focus()
        await pressed(explorer, pilot, "G", "ctrl+u", *"L1H1", "enter")
        assert changes(explorer) == ["L0H0 zero", "L2.mlp zero @1-3", "L1H1 zero"], "elsewhere the last"
        await pressed(explorer, pilot, "backspace")
        assert changes(explorer) == ["L0H0 zero", "L2.mlp zero @1-3", "L0H2 zero"], "elsewhere it undoes"


async def test_two_backspaces_in_one_packet_take_the_two_below_the_cursor() -> None:
    async with driven() as (explorer, pilot):
        await listed(explorer, pilot)
        await pilot.press("backspace", "backspace")
        await pressed(explorer, pilot)
        assert changes(explorer) == ["L0H0 zero"]


async def test_a_key_for_the_list_says_where_it_is() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "circumflex_accent")
        assert "nothing is changed" in notice(explorer)
        await pressed(explorer, pilot, "a", "circumflex_accent")
        assert "p shows it" in notice(explorer)
        await pressed(explorer, pilot, "x", "at")
        assert "one cell" in notice(explorer)


def placed(s: Selection, times: int) -> Selection:
    for _ in range(times):
        made = stack.place(s)
        assert isinstance(made, Selection)
        s = made
    return s


@pytest.mark.parametrize(
    ("times", "positions"), [(1, (2,)), (2, tuple(range(2, len(PROMPT)))), (3, (0, 1, 2)), (4, None), (5, (2,))]
)
def test_where_a_change_can_be(times: int, positions: tuple[int, ...] | None) -> None:
    s = replace(loaded(row=2), stack=(Entry(Ablation("L0H1")),))
    assert placed(s, times).stack[0].change == Ablation("L0H1", positions=positions)


def test_a_place_that_was_written_goes_to_everywhere() -> None:
    vector = AddVector(1, SteeringDirection("d", "given", numbers=(1.0,)), positions=(1, 3))
    assert placed(replace(loaded(row=2), stack=(Entry(vector),)), 1).stack[0].change == replace(vector, positions=None)


def test_what_cannot_be_written_anew() -> None:
    vector = AddVector(1, SteeringDirection("d", "given", numbers=(1.0,)))
    s = replace(loaded(), stack=(Entry(vector), Entry(CutEdge("L0H1", 3, 1))))
    said = stack.write(s, 0)
    assert isinstance(said, Say)
    assert "I adds another direction" in said.sentence
    assert isinstance(stack.write(s, 1), Selection)


def test_a_long_run_of_positions_is_named_short() -> None:
    assert str(Ablation("L1H3", positions=(2, 3, 4, 5))) == "L1H3 zero @2-5"
    assert str(Ablation("L1H3", positions=(2, 3))) == "L1H3 zero @2,3"
