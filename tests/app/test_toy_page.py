"""Adding a page is one class and its registration: what a page of this module gets without any other file knowing it.

``ToyPage`` draws the numbers of its own job. Tab, key, help, palette, the key of its option, side panel, export, the
README's row and the name of an exported file follow from what it declares.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from textual.widgets import OptionList

from tests.app.driving import driven, notice, pressed, settled, text_of, until
from tests.app.recorded import KEY, RecordedBench, head
from tests.app.selected import loaded
from tui import commands, export, moves, needs, pages
from tui.declared import NO_HEAD, Asked, Export, Here, Nothing, Option, Panel, Say, Segments
from tui.engine.jobs import HeadAt, Job
from tui.page import Page
from tui.phrases import cell_line
from tui.results import Axis, Grid, ModelKey, Table, frozen
from tui.selection import Look, Selection
from tui.views.help import Help
from tui.views.palette import Palette

Kind = Literal["plain", "squared"]
KINDS: tuple[Kind, ...] = ("plain", "squared")


@dataclass(frozen=True)
class ToyNumbers(Job):
    """A job that nobody else knows."""

    model: ModelKey
    head: HeadAt
    kind: Kind


@dataclass(frozen=True)
class ToyRows(Job):
    """What stands at its side."""

    model: ModelKey
    cell: tuple[int, int]


class ToyBench(RecordedBench):
    """Computes both."""

    def _toynumbers(self, job: ToyNumbers) -> Grid:
        values = np.arange(6.0).reshape(2, 3) + 10 * job.head[0] + job.head[1]
        values = values if job.kind == "plain" else values**2
        header = head("toy", f"toy numbers, {job.kind}", "n")
        return Grid(header, frozen(values), Axis("row", ("r0", "r1")), Axis("column", ("c0", "c1", "c2")), False)

    def _toyrows(self, job: ToyRows) -> Table:
        rows = tuple((f"row {i} of {job.cell}", float(i)) for i in range(3))
        return Table(head("toy", "toy rows", "n"), ("what", "value"), rows, "value")


@dataclass(frozen=True)
class ToyLook(Look):
    """Which numbers."""

    kind: Kind = "plain"


def _rows(here: Here) -> Job | Nothing:
    return ToyRows(here.s.key, PAGE.cell(here.s)) if here.s.key else Nothing()


def _exported(ask: Asked) -> Job:
    return ToyNumbers(ask.model.key, ask.head, ask.options.measure or "plain")


class ToyPage(Page):
    name = "toy"
    title = "Toy"
    key = "f9"
    help = "Numbers to play with."
    says = ("row × column", "numbers to play with")
    options = (Option("mode", ToyLook, "kind", KINDS, "plain or squared numbers"),)
    panels = (Panel("toy rows", _rows, lambda here: f"toy rows of {PAGE.cell(here.s)}"),)
    exports = (Export("toy", _exported, ("measure",), {"measure": KINDS}, "weights", "needed"),)
    of_head = True

    def job(self, s: Selection) -> Job | Nothing:
        if s.key is None or s.head is None:
            return NO_HEAD
        return ToyNumbers(s.key, (s.layer, s.head), s.look(ToyLook).kind)

    def words(self, s: Selection) -> list[str]:
        return [s.name, "toy", s.look(ToyLook).kind]

    def line(self, here: Here) -> Segments:
        return cell_line(here, self.cell(here.s), "{0} · {1}", "toy number", 0)

    def opens(self, here: Here, row: int, col: int) -> Selection | Say:
        return Say("toys open nothing")


PAGE = ToyPage()


@pytest.fixture(autouse=True)
def _offered() -> Iterator[None]:
    pages.register(PAGE)
    try:
        yield
    finally:
        pages.withdraw(PAGE)


async def test_its_key_shows_it_with_its_tab_title_side_panel_and_line() -> None:
    async with driven(bench=ToyBench()) as (explorer, pilot):
        assert "Toy" not in words_of(explorer.main)
        await pressed(explorer, pilot, "f9")
        assert explorer.selection.page == "toy"
        assert explorer.main.heatmap.grid is not None
        assert explorer.main.heatmap.grid.values.tolist() == np.arange(6.0).reshape(2, 3).tolist()
        assert "Toy" in words_of(explorer.main), "its tab"
        assert "L0H0 · toy · plain" in words_of(explorer.main)
        assert explorer.panel_open
        assert "toy rows of" in str(explorer.panel.border_title)
        assert explorer.panel.bars.table is not None
        assert explorer.panel.bars.table.rows[0][0] == f"row 0 of {PAGE.cell(explorer.selection)}"
        assert "toy number" in text_of(explorer, "#inspector")


async def test_its_option_is_cycled_by_the_key_that_all_pages_share() -> None:
    bench = ToyBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "f9", "m")
        assert explorer.selection.look(ToyLook) == ToyLook("squared")
        assert explorer.main.heatmap.grid is not None
        assert explorer.main.heatmap.grid.values[1, 2] == 25
        assert "squared" in words_of(explorer.main)
        await pressed(explorer, pilot, "u")
        assert "nothing here depends on it" in notice(explorer)
        await pressed(explorer, pilot, "m", "right_curly_bracket")
        assert ToyNumbers(KEY, (0, 1), "plain") in bench.computed, "heads are walked as everywhere"


async def test_cursor_enter_and_back() -> None:
    async with driven(bench=ToyBench()) as (explorer, pilot):
        await pressed(explorer, pilot, "f9")
        await pressed(explorer, pilot, *["up"] * 4, *["left"] * 4, "right")
        assert PAGE.cell(explorer.selection) == (0, 1)
        assert "r0 · c1" in text_of(explorer, "#inspector")
        assert explorer.panel.bars.table is not None
        assert explorer.panel.bars.table.rows[0][0] == "row 0 of (0, 1)"
        await pressed(explorer, pilot, "enter")
        assert notice(explorer) == "toys open nothing"
        await pressed(explorer, pilot, "comma")
        assert explorer.selection.page == "pattern"


async def test_help_lists_and_runs_it() -> None:
    async with driven(bench=ToyBench()) as (explorer, pilot):
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(explorer.app.screen, Help))
        await pilot.press(*"play with")
        await pilot.pause()
        listing = explorer.app.screen.query_one(OptionList)
        listed = [str(listing.get_option_at_index(i).prompt) for i in range(listing.option_count)]
        assert any("Numbers to play with." in entry for entry in listed)
        await pilot.press("enter")
        await until(pilot, lambda: explorer.selection.page == "toy")


async def test_the_palette_finds_it() -> None:
    async with driven(bench=ToyBench()) as (explorer, pilot):
        await pilot.press("colon")
        await until(pilot, lambda: isinstance(explorer.app.screen, Palette))
        await pilot.press(*"Toy", "enter")
        await until(pilot, lambda: explorer.selection.page == "toy")
        await settled(explorer, pilot)


async def test_what_it_shows_is_written_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven(bench=ToyBench()) as (explorer, pilot):
        await pressed(explorer, pilot, "f9", "e", "enter")
        await until(pilot, lambda: (tmp_path / "circuit-tui-toy-L0H0.json").is_file())
        assert json.loads((tmp_path / "circuit-tui-toy-L0H0.json").read_text())["view"] == "toy"


def test_keys_and_help_of_shared_keys_speak_of_it() -> None:
    listed = {command.id: command for command in commands.every()}
    assert (listed["toy"].keys, listed["toy"].help) == (("f9",), "Numbers to play with.")
    assert "Toy: plain or squared numbers." in listed["mode"].help
    assert "| `F9` | Toy | Numbers to play with. |" in commands.key_table()
    moved = moves.cycle(loaded(page="qk"), "unit", "unit")[1]
    assert "Toy" not in moved, "it has no unit"


def test_the_wish_list_asks_for_it_and_for_the_heads_beside_it() -> None:
    listed = needs.needs(loaded(page="toy", head=1), lambda job: None)
    assert listed[0] == ToyNumbers(KEY, (0, 1), "plain")
    assert ToyRows(KEY, (3, 3)) in listed
    assert {ToyNumbers(KEY, (0, 0), "plain"), ToyNumbers(KEY, (0, 2), "plain")} <= set(listed)


def exported(*arguments: str) -> int:
    """The exit code of ``circuit-tui export …``, in this process."""
    parser = argparse.ArgumentParser(prog="circuit-tui export")
    export.add_arguments(parser)
    return export.export(parser.parse_args(list(arguments)))


def test_it_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tui.engine.run.Bench", ToyBench)
    out = tmp_path / "toy.json"
    assert exported("toy", "--head", "L2H1", "--measure", "squared", "--out", str(out)) == 0
    written: dict[str, Any] = json.loads(out.read_text())
    assert (written["view"], written["values"][0]) == ("toy", [21**2, 22**2, 23**2])
    assert exported("toy") == 2
    assert "toy needs --head" in capsys.readouterr().err
    assert exported("toy", "--head", "L0H0", "--measure", "rank") == 2
    assert "--measure rank is not for toy, which has plain, squared" in capsys.readouterr().err
    assert exported("toy", "--head", "L0H0", "--basis", "normed") == 2
    assert "toy does not depend on it" in capsys.readouterr().err
    assert exported("pattern", "--head", "L0H0", "--prompt", "a", "--measure", "squared") == 2


def test_the_exports_help_knows_it() -> None:
    parser = argparse.ArgumentParser(prog="circuit-tui export")
    export.add_arguments(parser)
    said = " ".join(parser.format_help().split())
    assert "toy" in said.split("one of ")[1].split(" options:")[0].replace(",", " ").split()
    assert "toy: plain, squared" in said


def test_the_readmes_tables_have_its_rows() -> None:
    tables = importlib.import_module("tui.pages.__main__")
    assert "| `f9` Toy | row × column | numbers to play with |" in tables.view_table().splitlines()
    assert "`toy`" in tables.export_names()


def words_of(view: Any) -> str:
    """Titles above and below a picture."""
    return f"{view.border_title} {view.border_subtitle} {' '.join(str(w.render()) for w in view.query('Static'))}"
