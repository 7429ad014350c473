"""The app on an engine over a line: keys, the status line, a cut, the list of models; and the export."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from tests.app.driving import drawn, notice, pressed, settled, until
from tests.engine.fakes import wait_until
from tests.remote import made
from tests.remote.rig import Rig
from tui import needs
from tui.app import CircuitApp
from tui.config import Options
from tui.engine.jobs import OV
from tui.explorer import Explorer
from tui.label import Label
from tui.remote import keeper
from tui.views.models import Models
from tui.views.status import Status


@asynccontextmanager
async def remote(rig: Rig, size: tuple[int, int] = (120, 40)) -> AsyncIterator[tuple[Explorer, Pilot[None]]]:
    """The explorer on an engine over a line, loaded and drawn."""
    reached = await asyncio.to_thread(rig.reached)
    app = CircuitApp(Options(), reached=reached)
    pace = app.explorer.pace
    pace.draw_pause, pace.panel_pause, pace.typing_pause = 0.0, 0.01, 0.05
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.explorer.selection.tokens is not None)
        await settled(app.explorer, pilot)
        yield app.explorer, pilot


def status(explorer: Explorer) -> str:
    return str(explorer.query_one(Status).render())


async def test_the_same_picture_as_here(rig: Rig) -> None:
    async with remote(rig) as (explorer, pilot):
        await pressed(explorer, pilot, "l", "2")
        grid = drawn(explorer)
        job = needs.shown(explorer.selection)
        assert job is not None
        assert made.differs(rig.benches[0].compute(job, None).values, grid.values) == ""


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_status_line_has_the_latency(rig: Rig, size: tuple[int, int]) -> None:
    async with remote(rig, size) as (explorer, pilot):
        await until(pilot, lambda: "box" in status(explorer) and " ms" in status(explorer))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_cut_is_said_and_mended(rig: Rig, size: tuple[int, int]) -> None:
    async with remote(rig, size) as (explorer, pilot):
        before, grid = list(rig.computed), drawn(explorer)
        rig.network.there.clear()
        rig.network.cut()
        await until(pilot, lambda: "Connecting again" in notice(explorer))
        assert "box: line cut" in status(explorer)
        assert drawn(explorer) is grid, "what is here stays on the screen"
        await pilot.press("down")
        rig.network.there.set()
        await until(pilot, lambda: not notice(explorer))
        await settled(explorer, pilot)
        assert "line cut" not in status(explorer)
        assert drawn(explorer) is grid
        assert [job for job in rig.computed[len(before) :] if job in before] == [], "nothing is computed again"


async def test_what_is_asked_during_a_cut_comes_after_it(rig: Rig) -> None:
    async with remote(rig) as (explorer, pilot):
        rig.network.there.clear()
        rig.network.cut()
        await until(pilot, lambda: "Connecting again" in notice(explorer))
        await pilot.press("3")
        rig.network.there.set()
        await settled(explorer, pilot)
        assert drawn(explorer).header.view == "ov"


async def test_the_models_over_there(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    there = [Label("/data/run-7", "run-7", "below data", "/data/run-7", "GPT2LMHeadModel")]
    monkeypatch.setattr(keeper.shelf, "look", lambda here, opened: iter(there))
    async with remote(rig) as (explorer, pilot):
        await pilot.press("M")
        await until(pilot, lambda: isinstance(explorer.app.screen, Models))
        listed = explorer.app.screen.query_one(OptionList)
        await until(pilot, lambda: any("run-7" in str(option.prompt) for option in listed.options))
        assert explorer.app.screen.query_one("#models-body").parent.border_title == "Models on box"  # type: ignore[union-attr]
        await pilot.press("escape")


async def test_an_error_over_there_is_said_here(rig: Rig) -> None:
    async with remote(rig) as (explorer, pilot):
        rig.benches[0].broken = OV
        await pressed(explorer, pilot, "3", "right_curly_bracket")
        await until(pilot, lambda: "broken on purpose" in explorer.main.heatmap.message)


async def test_leaving_says_goodbye(rig: Rig) -> None:
    async with remote(rig):
        assert not rig.keeper.is_over()
    await asyncio.to_thread(wait_until, rig.keeper.is_over)


