"""What a hand expects: keys that change nothing by accident, clicks, and the way back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.app.driving import driven, notice, pressed, settled, text_of, until
from tests.app.recorded import RecordedBench
from tui import keys
from tui.engine.jobs import Open
from tui.explorer import Explorer
from tui.pages import scores
from tui.pages.circuit import Half, OwnTokens
from tui.pages.scores import ScoresLook
from tui.results import Gallery, Grid
from tui.views.model_tree import ModelTree
from tui.views.palette import rank
from tui.views.prompt import TokenStrip

SIZES = ((80, 24), (100, 30), (120, 40), (200, 55))


def lines(explorer: Explorer) -> list[str]:
    """The screen as text."""
    return [strip.text for strip in explorer.app.screen._compositor.render_strips()]


async def click_on(explorer: Explorer, pilot: Pilot[None], text: str, times: int = 1) -> None:
    """Click where the screen says this for the first time."""
    y = next(y for y, line in enumerate(lines(explorer)) if text in line)
    await pilot.click(offset=(lines(explorer)[y].index(text) + 1, y), times=times)
    await settled(explorer, pilot)


async def test_gg_goes_to_the_first_row_and_leaves_the_prompt_alone() -> None:
    async with driven() as (explorer, pilot):
        text = explorer.selection.text
        await pressed(explorer, pilot, "g", "g")
        assert explorer.selection.text == text
        assert explorer.selection.prompt_cell == (0, 5)
        await pressed(explorer, pilot, "Z")
        assert explorer.selection.prompt_cell == (5, 5)
        await pressed(explorer, pilot, "ctrl+home", "home")
        assert explorer.selection.prompt_cell == (0, 0)
        await pressed(explorer, pilot, "ctrl+end")
        assert explorer.selection.prompt_cell == (5, 0)
        await pressed(explorer, pilot, "ctrl+n")
        assert explorer.selection.text == text + " in"


async def test_first_and_last_go_to_the_ends_of_the_tree_and_of_lists_too() -> None:
    async with driven() as (explorer, pilot):
        explorer.query_one(ModelTree).focus()
        await pressed(explorer, pilot, "Z")
        assert explorer.selection.page == "neurons" or explorer.selection.layer == 3
        explorer.panel.bars.focus()
        await pressed(explorer, pilot, "Z")
        table = explorer.panel.bars.table
        assert table is not None
        assert explorer.panel.bars.cursor == len(table.rows) - 1
        await pressed(explorer, pilot, "g")
        assert explorer.panel.bars.cursor == 0


@pytest.mark.parametrize(("keys", "name"), [
    (("right_curly_bracket",) * 2, "L0H2"), (("left_curly_bracket",), "L0H3"),
    (("right_square_bracket", "right_curly_bracket"), "L1H1"), (("right_curly_bracket",) * 5, "L0H1"),
])  # fmt: skip
async def test_heads_that_are_stepped_while_the_model_loads_are_kept(keys: tuple[str, ...], name: str) -> None:
    bench = RecordedBench()
    bench.gate.clear()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press(*keys)
        await pilot.pause()
        assert "when the model is there" in notice(explorer)
        bench.gate.set()
        await until(pilot, lambda: explorer.selection.tokens is not None)
        await settled(explorer, pilot)
        assert explorer.selection.name == name
        assert text_of(explorer, "#title").strip().startswith(name)
        assert not notice(explorer)


async def test_escape_goes_back_where_nothing_is_open() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "2", "3")
        explorer.query_one(ModelTree).focus()
        await pressed(explorer, pilot, "escape")
        assert explorer.selection.page == "ov"
        assert explorer.main.heatmap.has_focus
        await pressed(explorer, pilot, "m")
        assert notice(explorer)
        await pressed(explorer, pilot, "escape")
        assert not notice(explorer)
        assert explorer.selection.page == "ov"
        await pressed(explorer, pilot, "escape")
        assert explorer.selection.page == "qk"
        await pressed(explorer, pilot, "escape", "escape", "escape")
        assert explorer.selection.page == "pattern"
        assert not notice(explorer)


async def test_escape_leaves_the_panel_of_a_small_screen_first() -> None:
    async with driven((80, 24)) as (explorer, pilot):
        await pressed(explorer, pilot, "2", "p", "escape")
        assert explorer.selection.page == "qk"
        assert not explorer.panel_open
        await pressed(explorer, pilot, "escape")
        assert explorer.selection.page == "pattern"


@pytest.mark.parametrize("key", ["V", "D"])
async def test_a_search_is_in_the_circuit_of_the_page_it_came_from(key: str) -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "2", key)
        assert explorer.selection.look(Half).circuit == "qk"
        await pressed(explorer, pilot, "3", key)
        assert explorer.selection.look(Half).circuit == "ov"
        await pressed(explorer, pilot, "m", "1", key)
        assert explorer.selection.look(Half).circuit == "qk"


async def test_the_mark_among_all_heads_is_the_selected_head() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "right_curly_bracket", "m", "m", "m")
        wall = explorer.main.thumbnails
        assert isinstance(wall.gallery, Gallery)
        assert wall.cursor == 1
        await pressed(explorer, pilot, "right_curly_bracket")
        assert wall.cursor == 2
        await pressed(explorer, pilot, "l")
        assert (explorer.selection.name, wall.cursor) == ("L0H3", 3)
        node = explorer.query_one(ModelTree).cursor_node
        assert node is not None
        assert (node.data.layer, node.data.head) == (0, 3)  # type: ignore[union-attr]
        await pressed(explorer, pilot, "enter")
        assert text_of(explorer, "#title").strip().startswith("L0H3 · pattern")


async def test_a_head_is_marked_among_all_after_the_direct_path_too() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "0", "1")
        assert explorer.selection.head is None
        await pressed(explorer, pilot, "l")
        assert explorer.selection.name == "L0H1"
        assert isinstance(explorer.main.thumbnails.gallery, Gallery)
        assert explorer.main.picture is explorer.main.thumbnails


@pytest.mark.parametrize("size", SIZES)
async def test_tabs_take_clicks(size: tuple[int, int]) -> None:
    async with driven(size) as (explorer, pilot):
        for key, page in (("2", "qk"), ("3", "ov"), ("7", "heads"), ("1", "pattern"), ("1", "pattern")):
            y = next(y for y, line in enumerate(lines(explorer)) if re.search(r"─ *1 ", line))
            x = next(found.start() for found in re.finditer(rf"(?<=[ ─]){key} ", lines(explorer)[y]))
            await pilot.click(offset=(x, y))
            await settled(explorer, pilot)
            assert explorer.selection.page == page
        assert explorer.selection.page == "pattern"
        await pressed(explorer, pilot, "comma")
        assert explorer.selection.page == "heads"


async def test_the_name_of_a_page_without_a_number_takes_no_click() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "V")
        await click_on(explorer, pilot, "V Pairs")
        assert explorer.selection.page == "pairs"


@pytest.mark.parametrize("size", SIZES)
async def test_tokens_take_clicks_and_a_double_click_opens(size: tuple[int, int]) -> None:
    async with driven(size) as (explorer, pilot):
        await click_on(explorer, pilot, "·capital│")
        assert explorer.selection.position == 2
        assert explorer.query_one(TokenStrip).row == 2
        assert explorer.main.heatmap.cursor[0] == 2
        await click_on(explorer, pilot, "·France│", times=2)
        assert explorer.selection.page == "ov"
        assert explorer.selection.prompt_cell[0] == 5, "OV of the key, as enter opens it"


async def test_a_click_on_a_cell_goes_there_and_a_double_click_opens() -> None:
    async with driven() as (explorer, pilot):
        heatmap = explorer.main.heatmap
        assert heatmap.picture is not None
        place = heatmap.picture.layout.region(3, 1)
        assert place is not None
        for _ in range(2):
            await pilot.click(heatmap, offset=place.offset)
            await pilot.pause(0.6)
            assert explorer.selection.page == "pattern", "two clicks are no double click"
            assert heatmap.cursor == (3, 1)
        await pilot.click(heatmap, offset=place.offset, times=2)
        await settled(explorer, pilot)
        assert explorer.selection.page == "ov"


async def test_after_a_search_the_cursor_is_on_its_pair() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("slash", *"The>Paris", "enter")
        await settled(explorer, pilot)
        assert explorer.selection.page == "heads"
        await pressed(explorer, pilot, "enter")
        assert explorer.selection.page == "qk"
        assert explorer.selection.look(OwnTokens).words
        assert explorer.main.heatmap.cursor == (0, 1)


async def test_the_tree_is_filtered_by_the_score_that_heads_shows() -> None:
    async with driven() as (explorer, pilot):
        tree = explorer.query_one(ModelTree)
        await pressed(explorer, pilot, "7", "m", "m", "m", "m", "m", "m", "m")  # previous token
        score = explorer.selection.look(ScoresLook).score
        grid = explorer.scene.wishes.cached(scores.job(explorer.selection, score))
        assert isinstance(grid, Grid)
        values = grid.values[:, scores.column(grid, score)]
        limit = float(np.median(values))
        await pressed(explorer, pilot, "semicolon", *f">{limit:.3f}", "enter")
        listed = [str(node.label).strip() for node in tree.root.children]
        named = zip(grid.rows.labels, values, strict=True)
        expected = [name for name, value in named if round(value, 3) > round(limit, 3)]
        assert sorted(listed) == sorted(expected)
        assert f"{values[grid.rows.labels.index(listed[0])]:.3f}".lstrip("0") in lines(explorer)[tree.region.y + 1]


async def test_a_filter_by_a_score_that_does_not_exist_is_said_with_what_does() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("semicolon", *"foo>1", "enter")
        await pilot.pause()
        problem = str(explorer.app.screen.query_one("#ask-problem").render())
        assert "no score is called “foo”" in problem
        assert "induction" in problem


async def test_bookmarks_and_notes_filter_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with driven() as (explorer, pilot):
        await pilot.press("C")
        await settled(explorer, pilot)
        await pilot.press("b", "right_curly_bracket")
        await settled(explorer, pilot)
        assert "L0H1  ☆ no bookmark" in "\n".join(lines(explorer))
        await pilot.press("i", *"mine", "enter")
        await settled(explorer, pilot)
        await pilot.press("right_square_bracket")
        await settled(explorer, pilot)
        assert "L1H1  ☆ no bookmark" in "\n".join(lines(explorer))
        await pilot.press("left_square_bracket", "left_curly_bracket")
        await settled(explorer, pilot)
        assert "L0H0  ★ bookmarked" in "\n".join(lines(explorer))
        await pilot.press("enter")
        await settled(explorer, pilot)
        assert explorer.app.screen is explorer
        assert (explorer.selection.name, explorer.selection.page) == ("L0H0", "pattern")
        tree = explorer.query_one(ModelTree)
        for text, name in (("★", "L0H0"), ("note mi", "L0H1")):
            explorer.action_ask("filter")
            await pilot.pause()
            explorer.app.screen.query_one(Input).value = text
            await pilot.press("enter")
            await settled(explorer, pilot)
            assert [str(node.label).strip() for node in tree.root.children] == [name]


@pytest.mark.parametrize(("typed", "first"), [
    ("svg", "export"), ("undo", "undo"), ("redo", "redo"), ("previous", "back"),
    ("gg", "top"), ("exit", "quit"), ("bookmark", "filter"),
    ("append", "append"), ("norm", "normalize"),
])  # fmt: skip
def test_the_palette_finds_what_is_meant(typed: str, first: str) -> None:
    ranked = sorted(keys.entries(), key=lambda entry: -rank(typed, entry))
    assert ranked[0].id == first
    assert rank("svg", next(entry for entry in ranked if entry.id == "over")) == 0


async def test_header_and_picture_agree_on_whether_the_model_is_there() -> None:
    bench = RecordedBench()
    bench.gate.clear()
    async with driven(bench=bench) as (explorer, pilot):
        explorer.pace.draw_pause = 0.2
        bench.gate.set()
        for _ in range(200):
            await pilot.pause(0.002)
            screen = lines(explorer)
            there = "float32" in screen[0] or "ready" in screen[0]
            assert there != any("the model is loading" in line for line in screen), "\n".join(screen)


async def test_after_a_model_that_failed_no_key_says_that_it_loads() -> None:
    bench = RecordedBench()
    bench.broken = Open
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "a")
        assert "loading" not in notice(explorer)
