"""What keys cost on the wire, counted at the compositor in true colour; times are for the benchmarks."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import App

from tests.app.driving import driven, settled
from tests.app.recorded import RecordedBench
from tui.engine.jobs import Open
from tui.views import plot

WORDS = ("The", "capital", "of", "France", "is", "Paris", "king", "queen")
LONG = " ".join(WORDS[i % len(WORDS)] for i in range(59))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each frame."""
    out: list[int] = []
    monkeypatch.setenv("COLORTERM", "truecolor")
    display = App._display

    def counted(self: App[None], screen: Any, renderable: Any) -> None:
        if hasattr(renderable, "render_segments"):
            out.append(len(renderable.render_segments(self.console).encode()))
        display(self, screen, renderable)

    monkeypatch.setattr(App, "_display", counted)
    return out


async def test_a_cursor_move_sends_little_and_draws_nothing(sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    bench, drawn = RecordedBench(), []
    blank = plot.blank
    async with driven(bench=bench, prompt=LONG) as (explorer, pilot):
        await pilot.press("p", "p", "p", "z")  # no side panel, the whole matrix in sight
        await settled(explorer, pilot)
        await pilot.press("k")
        await settled(explorer, pilot)
        monkeypatch.setattr(plot, "blank", lambda *size: drawn.append(size) or blank(*size))
        costs = []
        for key in "h" * 20 + "kh" * 8 + "k" * 10:
            sent.clear()
            await pilot.press(key)
            await settled(explorer, pilot)
            costs.append(sum(sent))
        assert explorer.selection.prompt_cell != (59, 59)
    # Lines of tokens and inspector included, whose texts here are longer than the demo's (p95 1.9 kB there).
    assert sorted(costs)[len(costs) // 2] <= 2000, costs
    assert max(costs) <= 3000, costs
    assert not drawn
    assert sum(isinstance(job, Open) for job in bench.computed) == 1


async def test_the_next_head_on_a_small_screen(sent: list[int]) -> None:
    async with driven(size=(80, 24)) as (explorer, pilot):
        costs = []
        for key in ["right_curly_bracket"] * 3 + ["right_square_bracket"] * 2:
            sent.clear()
            await pilot.press(key)
            await settled(explorer, pilot)
            costs.append(sum(sent))
        assert max(costs) <= 25_000, costs
        assert min(costs) > 0


async def test_a_whole_redraw_and_rest(sent: list[int]) -> None:
    async with driven(prompt=LONG) as (explorer, pilot):
        sent.clear()
        explorer.refresh(layout=True)
        await pilot.resize_terminal(120, 39)
        await settled(explorer, pilot)
        assert max(sent) <= 24 * 120 * 39
        sent.clear()
        await pilot.pause(1.0)
        assert not sent
