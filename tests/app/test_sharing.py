"""What leaves the screen: the menus of copies and files, the clipboard of the terminal, figures."""

from __future__ import annotations

import base64
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from textual.drivers.headless_driver import HeadlessDriver
from textual.widgets import OptionList, Static

from tests.app.driving import drawn, driven, notice, pressed, settled, until
from tests.app.recorded import KEY, RecordedBench, info
from tui import clipboard, formats
from tui.config import state_directory
from tui.engine.jobs import Pattern, Run
from tui.explorer import Explorer
from tui.views.ask import Ask
from tui.views.menu import Menu


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to the terminal beside the frames."""
    written: list[str] = []
    monkeypatch.setattr(HeadlessDriver, "write", lambda driver, data: written.append(data))
    return written


def menu(explorer: Explorer) -> Menu:
    top = explorer.app.screen
    assert isinstance(top, Menu)
    return top


def entry(explorer: Explorer, key: str) -> str:
    """A line of the menu as it reads."""
    shown = menu(explorer)
    listing = shown.query_one(OptionList)
    return str(listing.get_option_at_index([one.key for one in shown.entries].index(key)).prompt)


def kept(name: str) -> str:
    """The file that a copy is kept in."""
    return (state_directory() / "copied" / name).read_text("utf-8")


def on_clipboard(written: list[str]) -> str:
    (one,) = [re.fullmatch(r"\x1b\]52;c;([^\a]*)\a", data) for data in written if "]52;" in data]
    assert one is not None
    return base64.b64decode(one[1]).decode("utf-8")


async def test_a_letter_copies_and_the_notice_says_sent(sent: list[str]) -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("y", "g")  # in one packet: nothing waits for a frame
        await until(pilot, lambda: "sent" in notice(explorer))
        text = kept("pattern-L0H0-all-of-it.tsv")
        assert on_clipboard(sent) == text
        rows = [line.split("\t") for line in text.splitlines()]
        assert rows[0][0] == "L0H0 query\\key"
        assert len(rows) == 7
        assert {len(row) for row in rows} == {7}
        assert clipboard.size(text) in notice(explorer)
        assert str(state_directory() / "copied") in notice(explorer)
        assert "copied," not in notice(explorer)


async def test_cell_row_and_column_are_those_under_the_cursor(sent: list[str]) -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "3", "up", "left")
        grid = explorer.main.heatmap.grid
        assert grid is not None
        row, col = explorer.main.heatmap.cursor
        await pressed(explorer, pilot, "y", "c")
        assert np.float32(kept("ov-L0H0-cell.txt")) == grid.values[row, col]
        await pressed(explorer, pilot, "y", "r")
        head, line = (text.split("\t") for text in kept("ov-L0H0-row.tsv").splitlines())
        assert head[1:] == list(grid.cols.labels)
        assert [np.float32(cell) for cell in line[1:]] == grid.values[row].tolist()
        await pressed(explorer, pilot, "y", "k")
        lines = [text.split("\t") for text in kept("ov-L0H0-column.tsv").splitlines()]
        assert [np.float32(cell) for _, cell in lines[1:]] == grid.values[:, col].tolist()


async def test_the_list_is_that_of_the_side_panel(sent: list[str]) -> None:
    async with driven() as (explorer, pilot):
        table = explorer.panel.bars.table
        assert table is not None
        await pressed(explorer, pilot, "y", "l")
        lines = [line.split("\t") for line in kept("pattern-L0H0-list.tsv").splitlines()]
        assert lines[0] == list(table.columns)
        assert len(lines) == len(table.rows) + 1
    async with driven(size=(80, 24)) as (explorer, pilot):
        await pressed(explorer, pilot, "y")
        assert "p opens a side panel" in entry(explorer, "l")
        await pilot.press("l")
        await pilot.pause()
        assert isinstance(explorer.app.screen, Menu), "what cannot be copied leaves the menu open"
        await pressed(explorer, pilot, "escape")


async def test_the_prompt_the_command_and_the_code(sent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.snippets.CHECKED", {"gpt2": ()})
    async with driven(prompt="The 'capital' of") as (explorer, pilot):
        await pressed(explorer, pilot, "1", "y", "p")
        assert kept("pattern-L0H0-prompt.txt") == "The 'capital' of"
        await pressed(explorer, pilot, "y", "s")
        assert kept("pattern-L0H0-shell-command.sh") == (
            "circuit-tui export pattern --model demo --prompt 'The '\"'\"'capital'\"'\"' of' --head L0H0 --kind pattern"
        )
        await pressed(explorer, pilot, "y", "n")
        assert "TransformerBridge.boot_transformers('/recorded'" in kept("pattern-L0H0-python.py")


async def test_what_is_computed_still_cannot_be_copied_but_the_prompt_can() -> None:
    bench = RecordedBench()
    bench.gate.clear()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("y")
        await until(pilot, lambda: isinstance(explorer.app.screen, Menu))
        assert all(one.why_not for one in menu(explorer).entries if one.key != "p")
        await pilot.press("p")
        await until(pilot, lambda: "sent" in notice(explorer))
        bench.gate.set()


async def test_a_difference_has_no_command_of_its_own() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "a", "right_square_bracket", "d", "d", "y")
        assert "d shows the changed or the clean model" in entry(explorer, "s")
        await pilot.press("s")
        await pilot.pause()
        assert "d shows the changed or the clean model" in str(menu(explorer).query_one("#menu-why").render())


def test_a_file_says_that_it_holds_a_part() -> None:
    grid = RecordedBench().compute(Pattern(Run(KEY, (0, 1, 2), True), 0, 0), None)
    for partial in (False, True):
        part = replace(grid, header=replace(grid.header, partial=partial))
        assert json.loads(formats.encode(part, "json", info())).get("partial", False) is partial


async def test_the_numbers_of_a_difference_are_written_as_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "a", "right_square_bracket", "d", "d")
        shown = drawn(explorer)
        await pressed(explorer, pilot, "e", "j")
        await until(pilot, lambda: "written" in notice(explorer))
    (file,) = tmp_path.glob("*.json")
    made = json.loads(file.read_text("utf-8"))
    assert made["quantity"] == shown.header.quantity
    np.testing.assert_allclose(np.array(made["values"], float), shown.values)


async def test_arrows_and_enter_and_clicks_take_entries_and_esc_closes(sent: list[str]) -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "y", "down", "down", "enter")
        assert "column sent" in notice(explorer)
        await pressed(explorer, pilot, "y", "up", "up", "enter")
        assert "shell command sent" in notice(explorer)
        await pilot.press("y")
        await pilot.pause()
        await pilot.click(OptionList, offset=(3, 0))
        await until(pilot, lambda: "cell sent" in notice(explorer))
        await pressed(explorer, pilot, "y", "escape", "2")
        assert explorer.selection.page == "qk"
        await pressed(explorer, pilot, "y", "Q", "escape")
        assert explorer.selection.page == "qk", "a letter that is no entry does nothing"


async def test_too_much_for_a_clipboard_is_in_the_file_all_the_same(
    sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipboard, "MOST", 100)
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "y", "g")
        assert "too much for a terminal's clipboard" in notice(explorer)
        assert not any("]52;" in data for data in sent)
        assert kept("pattern-L0H0-all-of-it.tsv").startswith("L0H0 query")


async def test_a_copy_without_room_is_sent_all_the_same(sent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven() as (explorer, pilot):
        def refuse(*args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tui.export.save", refuse)
        await pressed(explorer, pilot, "y", "p")
        assert "No space left" in notice(explorer)
        assert on_clipboard(sent)


@pytest.mark.parametrize(("key", "ending"), [("c", "csv"), ("n", "npz"), ("j", "json")])
async def test_numbers_as_files(key: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "e", key)
        await until(pilot, lambda: "written" in notice(explorer))
        assert (tmp_path / f"circuit-tui-pattern-L0H0.{ending}").is_file()


async def test_a_graph_has_no_csv_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of its edges is what is exported."""
    monkeypatch.chdir(tmp_path)
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "c", "right_square_bracket", "c", "Q", "e", "c")
        await until(pilot, lambda: bool(notice(explorer)))
        assert (tmp_path / "circuit-tui-wiring.csv").read_text().startswith("sender,receiver")


async def test_a_figure_is_drawn_in_the_size_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "e", "s")
        await until(pilot, lambda: "written" in notice(explorer), 60)
        assert "12 × 9 cm" in notice(explorer)
        picture = (tmp_path / "circuit-tui-pattern-L0H0.svg").read_text()
        assert "L0H0 · pattern" in picture
        await pressed(explorer, pilot, "e", "o")
        await until(pilot, lambda: isinstance(explorer.app.screen, Ask))
        await pilot.press(*"purple", "enter")
        await pilot.pause()
        assert "“purple” says nothing of a figure" in str(explorer.app.screen.query_one("#ask-problem").render())
        await pilot.press("ctrl+u", *"dark 16x6 L1H0, L2H3", "enter")
        await until(pilot, lambda: not isinstance(explorer.app.screen, Ask))
        await pressed(explorer, pilot, "e", "d")
        await until(pilot, lambda: "16 × 6 cm" in notice(explorer), 60)
        assert (tmp_path / "circuit-tui-pattern-L0H0-row.pdf").read_bytes().startswith(b"%PDF")
        computed = {(job.layer, job.head) for job in bench.computed if isinstance(job, Pattern)}
        assert {(1, 0), (2, 3)} <= computed, "heads that were not there yet are computed first"


async def test_without_matplotlib_a_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "e")
        assert "pip install 'circuit-tui[figures]'" in entry(explorer, "p"), "seen before it is taken"
        await pressed(explorer, pilot, "p")
        menu = explorer.app.screen
        assert "pip install 'circuit-tui[figures]'" in str(menu.query_one("#menu-why", Static).content)
        assert list(tmp_path.iterdir()) == []
        await pressed(explorer, pilot, "enter", "escape", "e", "enter")
        await until(pilot, lambda: "written" in notice(explorer))


async def test_a_row_of_heads_is_for_pages_of_one_head() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "e", "o", "ctrl+u", *"L0H0 L0H1", "enter")
        await pressed(explorer, pilot, "5", "e")
        assert "Lens is of no one head" in entry(explorer, "s")
        await pressed(explorer, pilot, "escape")


async def test_settings_are_kept_and_shown() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "e", "o", "ctrl+u", *"dark 8.5x6 plain", "enter")
        await pressed(explorer, pilot, "e")
        assert "dark 8.5x6 cm plain" in entry(explorer, "d")
        await pressed(explorer, pilot, "o")
        assert isinstance(explorer.app.screen, Ask)
        await pilot.press("ctrl+u", *"L9H9", "enter")
        await pilot.pause()
        assert "there is no L9H9" in str(explorer.app.screen.query_one("#ask-problem").render())


async def test_json_is_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The menu writes what was shown when it was opened."""
    monkeypatch.chdir(tmp_path)
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "2", "e", "enter")
        await until(pilot, lambda: "written" in notice(explorer))
        grid = explorer.main.heatmap.grid
        assert grid is not None
        values = json.loads((tmp_path / "circuit-tui-qk-L0H0.json").read_text())["values"]
        assert values == grid.values.tolist()
        await settled(explorer, pilot)
