"""A prompt that is longer than the window, the whole of it in sight, at both sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from textual import constants

from tests.app.driving import driven, pressed
from tests.app.recorded import RecordedBench, tokens
from tests.app.test_snapshots import SIZES, press
from tui.app import CircuitApp
from tui.config import Options
from tui.engine.jobs import Tokenize
from tui.results import Tokens

PROMPT = " ".join((["The", "capital", "of", "France", "is", "Paris", "and"] * 43)[:299])
KEYS = ("z", "z", *["left"] * 12, "up")


class LongBench(RecordedBench):
    """One that reads as many tokens as there are."""

    def _tokenize(self, job: Tokenize) -> Tokens:
        return tokens(["<|bos|>", *(" " + word for word in job.text.split())], job.bos)


def long_app() -> CircuitApp:
    bench = LongBench()
    app = CircuitApp(Options(prompt=PROMPT), bench=lambda: bench, clock=lambda: 0.0)
    app.explorer.pace.draw_pause, app.explorer.pace.panel_pause = 0.0, 0.01
    return app


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_in_blocks(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    app = long_app()
    assert snap_compare(app, run_before=press(app, KEYS), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_by_keys_the_cursor_is_on_the_cell_that_its_block_shows(size: tuple[int, int]) -> None:
    async with driven(size, LongBench(), prompt=PROMPT) as (explorer, pilot):
        await pressed(explorer, pilot, *KEYS)
        shown = explorer.main.heatmap.picture
        assert shown is not None
        down, across = shown.block_of(*explorer.main.heatmap.cursor) or (0, 0)
        rows, cols = shown.layout.rows.starts, shown.layout.cols.starts
        part = shown.grid.values[rows[down] : rows[down + 1], cols[across] : cols[across + 1]].astype(np.float64)
        row, col = explorer.main.heatmap.cursor
        assert shown.grid.values[row, col] == np.nanmax(part)
        assert (explorer.selection.row % 300, explorer.selection.col % 300) == (row, col)
        assert shown.layout.row_labels[0].strip() == "0"
        assert "100" in shown.layout.row_labels
        assert "100" in shown.layout.col_labels
