"""Driving the app by keys in tests: an app on the recorded bench, and waiting for the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual import events
from textual.pilot import Pilot
from textual.widgets import Static

from tests.app.recorded import RecordedBench
from tui import needs
from tui.app import CircuitApp
from tui.config import Options
from tui.explorer import Explorer
from tui.results import Grid


@asynccontextmanager
async def driven(
    size: tuple[int, int] = (140, 40), bench: RecordedBench | None = None, **options: Any
) -> AsyncIterator[tuple[Explorer, Pilot[None]]]:
    """The explorer on recorded results, loaded and drawn."""
    made = bench or RecordedBench()
    app = CircuitApp(Options(**options), bench=lambda: made)
    pace = app.explorer.pace
    pace.draw_pause, pace.panel_pause, pace.typing_pause = 0.0, 0.01, 0.05
    async with app.run_test(size=size) as pilot:
        if made.gate.is_set():
            scene = app.explorer.scene
            await until(pilot, lambda: scene.selection.tokens is not None or bool(scene.wishes.failed))
            await settled(app.explorer, pilot)
        yield app.explorer, pilot


async def until(pilot: Pilot[None], true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; fails the test when it does not come true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not true():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)  # a Pilot's pause would paint the screen each time


async def settled(explorer: Explorer, pilot: Pilot[None]) -> None:
    """Wait until everything that the selection needs is computed (or failed) and drawn.

    It sleeps, and pauses once at the end: a Pilot's pause sends a message to each widget and paints.
    """
    wishes = explorer.scene.wishes
    await asyncio.sleep(explorer.pace.typing_pause)
    await until(
        pilot,
        lambda: all(
            explorer.engine.cached(job) is not None or job in wishes.failed
            for job in needs.needs(explorer.selection, wishes.cached, explorer.panel_open)
        ),
    )
    await asyncio.sleep(0.05)
    await pilot.pause()


async def pasted(pilot: Pilot[None], text: str) -> None:
    """Put a long text where typed ones go, at once: a Pilot waits some time for each key."""
    pilot.app.post_message(events.Paste(text))
    await pilot.pause()


async def pressed(explorer: Explorer, pilot: Pilot[None], *keys: str) -> None:
    """Press keys and wait for what they ask for."""
    await pilot.press(*keys)
    await settled(explorer, pilot)


async def typed(explorer: Explorer, pilot: Pilot[None], text: str) -> None:
    """A command by its name, in the palette."""
    await pilot.press("colon")
    await until(pilot, lambda: explorer.app.screen is not explorer)
    await pilot.press(*text, "enter")
    await until(pilot, lambda: explorer.app.screen is explorer)
    await settled(explorer, pilot)


async def placed(explorer: Explorer, pilot: Pilot[None], text: str) -> None:
    """The first place that the palette offers for a text, without typing it."""
    explorer.directory.places(text)[0][2]()
    await settled(explorer, pilot)


def drawn(explorer: Explorer) -> Grid:
    """The matrix on the screen."""
    grid = explorer.main.heatmap.grid
    assert isinstance(grid, Grid)
    return grid


def notice(explorer: Explorer) -> str:
    return text_of(explorer, "#notice") if explorer.query_one("#notice").has_class("shown") else ""


def text_of(explorer: Explorer, selector: str) -> str:
    """What a line on the screen says."""
    return str(explorer.query_one(selector, Static).render())
