"""Lists: sorted by a column, filtered, rows hidden and marked; what was found in a view. Driven by keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from tests.app.driving import drawn, driven, notice, pressed, settled, until
from tests.app.recorded import head
from tests.app.test_snapshots import SIZES, colours, recorded_app
from tui.explorer import Explorer
from tui.results import Table
from tui.stack import StackLook
from tui.views.chart import MARKED, Bars
from tui.views.find import Find
from tui.views.listing import Arranging, arranged, by_column, by_next_column

assert colours  # the fixture that snapshots need

ROWS = ((" b", 1, 3.0), (" a", 2, None), (" c", 3, -4.0))
TABLE = Table(head("x", "x", "x"), ("token", "rank", "value"), ROWS, "value")


def first_words(table: Table) -> str:
    return "".join(str(row[0]).strip() for row in table.rows)


def test_rows_are_sorted_by_any_column_and_what_is_not_known_comes_last() -> None:
    how, seen = Arranging(), []
    for _ in range(4):
        how = by_next_column(TABLE, how)
        shown, order = arranged(TABLE, how)
        seen.append((first_words(shown), order, [c for c in shown.columns if c[0] in "▲▼"]))
    assert seen == [
        ("abc", (1, 0, 2), ["▲token"]), ("cab", (2, 1, 0), ["▼rank"]), ("bca", (0, 2, 1), ["▼value"]),
        ("bac", (0, 1, 2), []),
    ]  # fmt: skip
    up = by_column(TABLE, by_column(TABLE, Arranging(), 2), 2)
    assert first_words(arranged(TABLE, up)[0]) == "cba"
    assert arranged(TABLE, up)[0].bar == "▲value"
    assert arranged(TABLE, Arranging())[0] is TABLE


def test_rows_are_filtered_and_hidden_and_bars_keep_their_scale() -> None:
    shown, order = arranged(TABLE, Arranging(text="·A"))
    assert (order, shown.limits) == ((1,), (-4.0, 3.0))
    assert arranged(TABLE, Arranging(text="!a"))[1] == (0, 2)
    assert arranged(TABLE, Arranging(hidden=frozenset({" b"})))[1] == (1, 2)
    assert Arranging(text="a\x1b").note(1, 3) == "1 of 3 “a␛”"


async def listing(explorer: Explorer, pilot: Pilot[None]) -> Bars:
    """The list of heads' scores at the side, with the keys."""
    await pressed(explorer, pilot, "7")
    explorer.panel.bars.focus()
    await pilot.pause()
    return explorer.panel.bars


def lines(bars: Bars) -> list[str]:
    return [bars.render_line(y).text for y in range(bars.size.height)]


async def test_a_key_sorts_the_list_and_the_row_under_the_cursor_stays_under_it() -> None:
    async with driven() as (explorer, pilot):
        bars = await listing(explorer, pilot)
        table = bars.table
        assert table is not None
        await pilot.press("j", "j")
        row = bars.row
        await pressed(explorer, pilot, "dollar_sign")
        assert bars.row == row
        assert lines(bars)[0].startswith("▲head")
        assert lines(bars)[1].startswith("L0H0")
        assert bars.table is table, "what the list is of stays as it is"
        await pressed(explorer, pilot, "j", "enter")
        names = sorted(str(row[0]) for row in table.rows)
        assert explorer.selection.name == names[names.index(str(row[0])) + 1], "down is down as it is shown"  # type: ignore[index]


async def test_the_list_in_sight_is_sorted_where_the_picture_has_the_keys() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "7", "dollar_sign", "dollar_sign")
        assert "▼" in lines(explorer.panel.bars)[0]
        await pressed(explorer, pilot, "V", "dollar_sign")
        assert lines(explorer.main.bars)[0].startswith("▼ra"), "a picture that is a list"
        explorer.main.bars.focus()
        await pressed(explorer, pilot, "1")
        while explorer.panel_open:
            await pressed(explorer, pilot, "p")
        await pressed(explorer, pilot, "dollar_sign")
        assert "there is no list here: p shows one" in notice(explorer)


async def test_a_list_is_filtered_while_it_is_typed_and_esc_takes_that_back() -> None:
    async with driven() as (explorer, pilot):
        bars = await listing(explorer, pilot)
        await pilot.press("ampersand", *"l1")
        await until(pilot, lambda: len(bars.order) == 4)
        assert isinstance(explorer.app.screen, Find)
        assert "4 of 16 “l1”" in str(explorer.app.screen.query_one("#find-said", Static).render())
        await pilot.press("enter")
        await settled(explorer, pilot)
        assert "4 of 16 “l1”" in lines(bars)[0]
        assert bars.row is not None
        assert str(bars.row[0]).startswith("L1"), "the cursor is on a row that is shown"
        await pressed(explorer, pilot, "ampersand", *"zzz", "escape")
        assert len(bars.order) == 4
        await pressed(explorer, pilot, "ampersand", "ctrl+u", *"zzz", "enter")
        assert bars.order == ()
        assert "0 of 16 “zzz”" in lines(bars)[0]
        for key in ("space", "a", "c"):
            await pressed(explorer, pilot, key)
            assert "is under the cursor here" in notice(explorer), "nothing that is out of sight is acted on"
        assert explorer.selection.look(StackLook).marked == ()
        assert explorer.selection.stack == ()
        await pressed(explorer, pilot, "enter", "backslash")
        assert "no row is left to hide" in notice(explorer)
        await pressed(explorer, pilot, "ampersand", "ctrl+u", "enter")
        assert len(bars.order) == 16


async def test_a_row_is_hidden_until_all_are_shown_again() -> None:
    async with driven() as (explorer, pilot):
        bars = await listing(explorer, pilot)
        gone = bars.row
        await pressed(explorer, pilot, "backslash")
        assert len(bars.order) == 15
        assert bars.row != gone
        await pressed(explorer, pilot, "ampersand", "enter")
        assert len(bars.order) == 16


async def test_rows_are_marked_and_knocked_out_together() -> None:
    async with driven() as (explorer, pilot):
        bars = await listing(explorer, pilot)
        await pressed(explorer, pilot, "dollar_sign", "g", "space", "j", "space")
        assert explorer.selection.look(StackLook).marked == ("L0H0", "L0H1")
        assert [MARKED in line for line in lines(bars)[1:4]] == [True, True, False]
        await pressed(explorer, pilot, "a")
        assert [getattr(entry.change, "part", "") for entry in explorer.selection.stack] == ["L0H0", "L0H1"]
        assert not any(MARKED in line for line in lines(bars))


# --- finding ---


def said(explorer: Explorer) -> str:
    assert isinstance(explorer.app.screen, Find)
    return str(explorer.app.screen.query_one("#find-said", Static).render())


async def test_a_token_is_found_while_it_is_typed_and_esc_goes_back() -> None:
    async with driven(prompt="The king of France is The king") as (explorer, pilot):
        before = explorer.main.heatmap.cursor
        await pilot.press("ctrl+f", *"king")
        await until(pilot, lambda: explorer.selection.prompt_cell[0] == 7)
        assert "2 of 2 rows" in said(explorer)
        await pilot.press("down")
        await until(pilot, lambda: "1 of 2 rows" in said(explorer))
        assert explorer.selection.prompt_cell[0] == 2
        await pressed(explorer, pilot, "escape")
        assert explorer.main.heatmap.cursor == before
        await pressed(explorer, pilot, "ctrl+f", *"fran", "enter")
        assert explorer.main.heatmap.cursor[0] == 4
        await pressed(explorer, pilot, "ctrl+f", *",king", "enter")
        assert explorer.main.heatmap.cursor == (4, 7 if before[1] > 2 else 2)
        await pressed(explorer, pilot, "asterisk")
        assert explorer.main.heatmap.cursor[0] == 4, "in the columns"


async def test_labels_cells_and_lists_are_found_too() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "6", "ctrl+f", *"l2", "enter")
        assert drawn(explorer).rows.labels[explorer.main.heatmap.cursor[0]] == "L2"
        await pressed(explorer, pilot, "5", "ctrl+f", *"rome", "enter")
        row, col = explorer.main.heatmap.cursor
        assert drawn(explorer).text[row][col] == " Rome"  # type: ignore[index]
        bars = await listing(explorer, pilot)
        await pressed(explorer, pilot, "ctrl+f", *"h3", "enter")
        assert bars.row is not None
        assert str(bars.row[0]).endswith("H3")
        at = bars.cursor
        await pressed(explorer, pilot, "asterisk")
        assert str(bars.row[0]).endswith("H3")
        assert bars.cursor != at
        await pressed(explorer, pilot, "ctrl+f", *"volcano", "enter")
        assert bars.cursor is not None


async def test_what_is_nowhere_is_said_and_nothing_moves() -> None:
    async with driven() as (explorer, pilot):
        before = explorer.main.heatmap.cursor
        await pilot.press("ctrl+f", *"volcano\x1b[31m".replace("\x1b", ""))
        await until(pilot, lambda: "is nowhere in these" in said(explorer))
        await pressed(explorer, pilot, "escape")
        assert explorer.main.heatmap.cursor == before


async def test_keys_that_come_in_one_packet_are_taken_in_their_order() -> None:
    async with driven(prompt="The king of France is") as (explorer, pilot):
        for key in ("ctrl+f", *"king", "enter", "l"):
            explorer.app.simulate_key(key)
        await settled(explorer, pilot)
        assert explorer.app.screen is explorer
        assert explorer.main.heatmap.cursor[0] == 2


LOOKS: dict[str, tuple[str, ...]] = {"sorted": ("7", "p", "dollar_sign"), "finding": ("ctrl+f", *"king")}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", LOOKS)
def test_snapshot(snap_compare: Callable[..., bool], name: str, size: tuple[int, int]) -> None:
    app = recorded_app(prompt="The king of France is The king")

    async def run(pilot: Pilot[None]) -> None:
        explorer = app.explorer
        await until(pilot, lambda: explorer.selection.tokens is not None)
        await settled(explorer, pilot)
        for key in LOOKS[name]:
            await pilot.press(key)
            await pilot.pause()
        await settled(explorer, pilot)
        explorer.scene.wishes.activity = ""  # which job came last is a race
        explorer.draw()
        await pilot.pause()

    assert snap_compare(app, run_before=run, terminal_size=size)
