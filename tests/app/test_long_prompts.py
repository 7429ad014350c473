"""A long prompt: to a position, to a token, from match to match, from one large cell to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from textual.widgets import Input

from tests.app.driving import drawn, driven, notice, pressed, settled
from tests.app.selected import FILE, loaded
from tui import finding, moves, pages
from tui.declared import Here, Say
from tui.pages.circuit import OwnTokens
from tui.selection import Selection

LONG = " ".join((["The", "capital", "of", "France", "is", "Paris", "and"] * 9)[:59])


def there(moved: Selection | Say) -> tuple[int, int]:
    assert isinstance(moved, Selection), moved
    return pages.of(moved).token_cell(moved)


def typed(s: Selection, text: str) -> Selection | Say:
    return moves.typed(s, text)[0][2]()


def stepped(s: Selection, by: int) -> Selection | Say:
    return finding.step(Here(s, None, lambda job: None), by)


def test_a_position_is_typed_from_either_end_for_row_or_column() -> None:
    s = loaded(text="The capital of France is The king", row=2, col=3)
    assert there(typed(s, "4")) == (4, 3)
    assert there(typed(s, "-1")) == (7, 3)
    assert there(typed(s, "5,1")) == (5, 1)
    assert there(typed(s, ",−2")) == (2, 6)
    for page in ("lens", "residual", "attribution", "sources", "neurons"):
        moved = typed(replace(s, page=page), "4")
        assert isinstance(moved, Selection)
        assert moved.position == 4
    said = typed(s, "120")
    assert isinstance(said, Say)
    assert said.sentence == "there is no position 120: 0 to 7, or −1 for the last"
    assert [name for name, _, _ in moves.typed(s, "10 2")] == ["go to L10H2"]
    assert isinstance(typed(Selection(), "4"), Say)


def test_in_a_token_list_and_over_a_file_the_positions_are_theirs() -> None:
    s = loaded(OwnTokens("The, king", loaded(text="The king").tokens), page="qk")
    assert there(typed(s, "1,0")) == (1, 0)
    over = loaded(file=replace(FILE, over=True))
    moved = typed(over, "1")
    assert isinstance(moved, Selection)
    assert pages.of(moved).cell(moved)[0] == 1


def test_a_text_is_found_after_the_cursor_and_round() -> None:
    s = loaded(text="The capital of France is The king of France", row=0, col=0)
    assert there(typed(s, "find france"))[0] == 4
    again = typed(s, "find france")
    assert isinstance(again, Selection)
    assert [there(stepped(again, by))[0] for by in (1, -1)] == [9, 9], "there are two"
    assert there(typed(s, "find rance is The"))[0] == 4, "over several tokens: where it begins"
    assert there(typed(s, "find ,king")) == (0, 7)
    assert there(stepped(replace(s, row=1), 1))[0] == 6, "of the token under the cursor"
    said = typed(s, "find volcano")
    assert isinstance(said, Say)
    assert "“volcano” is nowhere in these 10 tokens" in said.sentence


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (200, 55)])
async def test_a_long_prompt_is_walked_in_a_few_keys(size: tuple[int, int]) -> None:
    async with driven(size, prompt=LONG) as (explorer, pilot):
        for text, row in (("12", 12), ("find capital", 16), ("-1", 59)):
            await pilot.press("colon")
            await pilot.pause(0.1)
            explorer.app.screen.query_one(Input).value = text
            await pilot.pause(0.4)
            await pilot.press("enter")
            await settled(explorer, pilot)
            assert explorer.selection.position == row
            assert explorer.main.heatmap.cursor[0] == row
        await pressed(explorer, pilot, "asterisk")
        assert explorer.selection.position == 2, "past the last: from the front"
        await pressed(explorer, pilot, "number_sign")
        assert explorer.selection.position == 58, "before the first: from the end"
        await pressed(explorer, pilot, "g")
        assert explorer.selection.position == 0


@pytest.mark.parametrize(("page", "key", "axis"), [
    ("1", "underscore", 1), ("1", "exclamation_mark", 0), ("2", "underscore", 1), ("2", "exclamation_mark", 0),
])  # fmt: skip
@pytest.mark.parametrize("fit", [False, True])
async def test_the_largest_cells_of_a_line_one_after_the_other(page: str, key: str, axis: int, fit: bool) -> None:
    async with driven(prompt=LONG) as (explorer, pilot):
        await pressed(explorer, pilot, page, *["z"] * fit, "home" if page == "1" and not axis else "l")
        grid, (row, col) = drawn(explorer), explorer.main.heatmap.cursor
        line = (grid.values[row] if axis else grid.values[:, col]).astype(np.float64)
        sizes = np.abs(line) if grid.diverging else line
        expected = [i for i in np.argsort(-sizes, kind="stable") if not np.isnan(sizes[i])]
        seen = []
        for _ in range(5):
            await pressed(explorer, pilot, key)
            seen.append(explorer.main.heatmap.cursor[axis])
            assert explorer.main.heatmap.cursor[1 - axis] == (row, col)[1 - axis]
            assert explorer.selection.prompt_cell == explorer.main.heatmap.cursor
        first = expected.index(seen[0])
        assert first in (0, 1), "the second, where the cursor was on the first"
        assert seen == [expected[(first + n) % len(expected)] for n in range(5)], "from the last to the first again"


async def test_a_list_is_ranked_already() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "V", "underscore")
        assert "lists are ranked already" in notice(explorer)
