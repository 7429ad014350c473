"""How the log looks, and a view that was gone on with, at both sizes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from textual import constants

from tests.app.recorded import info
from tests.app.test_snapshots import SIZES, press, recorded_app
from tui import log, session
from tui.app import CircuitApp
from tui.selection import Selection

NOON = datetime(2026, 11, 30, 12, 0)
KEYS = ("2", "n", "right_square_bracket", "up", "a", "i", "end", *" king", "enter", "backspace")


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")
    monkeypatch.setattr(log.Log.__init__, "__defaults__", (lambda: NOON,))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_log(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    app = recorded_app()
    before = press(app, KEYS)

    async def shown(pilot: Any) -> None:
        await before(pilot)
        app.explorer.keeping.run("log")
        await pilot.pause(0.1)

    assert snap_compare(app, run_before=shown, terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_view_that_was_gone_on_with(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    app: CircuitApp = recorded_app()
    model = info()
    path = session.of_model(model)
    path.parent.mkdir(parents=True)
    s = Selection(model=model, page="ov", layer=1, head=2, text="The king of France is", weights="raw")
    data = session.written(s, now=NOON)
    assert re.search(rb'"saved": "2026-11-30 12:00"', data)
    path.write_bytes(data)
    assert snap_compare(app, run_before=press(app, ()), terminal_size=size)
