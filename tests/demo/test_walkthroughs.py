"""The README's walk-throughs, key by key on the embedded model: every figure it prints is the one on the screen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.app.driving import text_of, until
from tui import needs
from tui.app import CircuitApp
from tui.config import Options
from tui.explorer import Explorer
from tui.results import Grid, Table

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def demo(prompt: str) -> AsyncIterator[tuple[Explorer, Pilot[None]]]:
    app = CircuitApp(Options(prompt=prompt))
    async with app.run_test(size=(120, 40)) as pilot:
        await computed(app.explorer, pilot)
        yield app.explorer, pilot


async def computed(explorer: Explorer, pilot: Pilot[None]) -> None:
    """Wait until everything that the screen needs is there and drawn."""
    deadline = asyncio.get_running_loop().time() + 60
    while explorer.selection.tokens is None or not all(
        explorer.engine.cached(job) is not None
        for job in needs.needs(explorer.selection, explorer.scene.wishes.cached, explorer.panel_open)
    ):
        assert asyncio.get_running_loop().time() < deadline
        await pilot.pause(0.05)
    await pilot.pause(0.3)


async def press(explorer: Explorer, pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await computed(explorer, pilot)


def panel(explorer: Explorer) -> dict[str, tuple[object, ...]]:
    """Rows of the side panel by their first word."""
    table = explorer.panel.bars.table
    assert isinstance(table, Table)
    named = table.columns.index("token") if "token" in table.columns else 0
    return {str(row[named]): row for row in table.rows}


def said(pattern: str) -> tuple[float, ...]:
    """Figures as the README has them."""
    match = re.search(pattern, README)
    assert match is not None, pattern
    return tuple(float(number.replace("−", "-")) for number in match.groups())


async def test_how_the_model_knows_that_frances_capital_is_paris() -> None:
    async with demo("The capital of France is") as (explorer, pilot):
        await press(explorer, pilot, "5")
        grid = explorer.heatmap.grid
        assert isinstance(grid, Grid)
        assert grid.text is not None
        at_is = [(row[-1], round(float(value), 4)) for row, value in zip(grid.text, grid.values[:, -1], strict=True)]
        first, second, last = said(
            r"` not` \((0\.\d+)\); one layer later ` Paris` \((0\.\d+)\), at the end ` Paris` \((0\.\d+)\)"
        )
        assert at_is[0] == (" not", pytest.approx(first, abs=0.005))
        assert at_is[1] == (" Paris", pytest.approx(second, abs=0.005))
        assert at_is[-1] == (" Paris", pytest.approx(last, abs=0.00005))
        assert "lens of the last state = logits" in text_of(explorer, "#checks")
        await press(explorer, pilot, "u")
        grid = explorer.heatmap.grid
        assert isinstance(grid, Grid)
        (mid,) = said(r"` Paris` \((0\.\d+)\) is there before MLP 0")
        assert grid.values[1, -1] == pytest.approx(mid, abs=0.005)
        await press(explorer, pilot, "6")
        (whole,) = said(r"minus the mean logit is (\d+\.\d+)")
        assert f"Σ parts {whole:.3f} = value {whole:.3f}" in text_of(explorer, "#checks")
        parts = panel(explorer)
        for name, value in re.findall(r"(L\dH\d) \+(\d\.\d\d)", README.partition("Largest: ")[2][:80]):
            assert parts[name][1] == pytest.approx(float(value), abs=0.005)
        assert list(parts)[:4] == ["L0H2", "L0H3", "L1H2", "L2H2"]
        await press(explorer, pilot, "l", "l", "enter")
        assert (explorer.selection.page, explorer.selection.name) == ("pattern", "L0H2")
        grid = explorer.heatmap.grid
        assert isinstance(grid, Grid)
        assert grid.values[5, 4] == pytest.approx(1, abs=0.0005)
        await press(explorer, pilot, "S")
        sources = panel(explorer)
        assert sources[" France"][1] == pytest.approx(4.04, abs=0.005)
        assert sources[" France"][3] == pytest.approx(9.82, abs=0.005)
        assert all(abs(float(str(row[1]))) < 1e-7 for name, row in sources.items() if name != " France")
        await press(explorer, pilot, "h", "enter")
        assert explorer.selection.page == "ov"
        writes = panel(explorer)
        assert list(writes)[:2] == [" Paris", " France"]
        assert writes[" Paris"][2] == pytest.approx(9.82, abs=0.005)
        assert writes[" France"][2] == pytest.approx(5.85, abs=0.005)


async def test_the_induction_circuit() -> None:
    async with demo("robin silk volcano robin") as (explorer, pilot):
        predictions = explorer.engine.cached(needs.next_tokens(explorer.selection))  # type: ignore[arg-type]
        assert predictions.rows[0][1] == " silk"
        assert predictions.rows[0][3] == pytest.approx(said(r"says ` silk` \((0\.\d+)\)")[0], abs=0.0005)
        await press(explorer, pilot, "7")
        heads = panel(explorer)
        figures = said(r"L2H2 (0\.\d+) is the strongest, then L2H3 (0\.\d+) and L2H0 (0\.\d+)")
        assert list(heads)[:3] == ["L2H2", "L2H3", "L2H0"]
        assert [row[1] for row in list(heads.values())[:3]] == pytest.approx(figures, abs=0.0005)
        await press(explorer, pilot, "j", "j", "l", "l", "8")
        feeding = panel(explorer)
        keys = said(r"L0H2 \(z (\d+\.\d)[^)]*\) and L0H3 \(z (\d+\.\d)\)")
        assert [feeding["L0H2"][1], feeding["L0H3"][1]] == pytest.approx(keys, abs=0.05)
        assert all(float(str(row[1])) < 0 for name, row in feeding.items() if name not in ("L0H2", "L0H3"))
        await press(explorer, pilot, "m", "m")  # value, query
        queries = said(r"L0H0 \(z (\d+\.\d)\), L0H1 \((\d+\.\d)\) and L1H0 \((\d+\.\d)\)")
        feeding = panel(explorer)
        assert [feeding[name][1] for name in ("L0H0", "L0H1", "L1H0")] == pytest.approx(queries, abs=0.05)
        await press(explorer, pilot, "m", "l", "l", "enter")
        assert explorer.selection.name == "L0H2"
        grid = explorer.heatmap.grid
        assert isinstance(grid, Grid)
        looks = said(
            r"at ` volcano` \((0\.\d+)\), from ` volcano` at ` silk` \((0\.\d+)\), "
            r"from ` silk` at ` robin` \((0\.\d+)\)"
        )
        assert [grid.values[4, 3], grid.values[3, 2], grid.values[2, 1]] == pytest.approx(looks, abs=0.0005)
        await press(explorer, pilot, "comma", "X")
        grid = explorer.heatmap.grid
        assert isinstance(grid, Grid)
        assert grid.values[4, 1] == pytest.approx(said(r"It does not \((−0\.\d+)\)")[0], abs=0.005)
        await pilot.press("colon", *"L2H2", "enter")
        await until(pilot, lambda: explorer.selection.name == "L2H2")
        await computed(explorer, pilot)
        await press(explorer, pilot, "1", "h", "h", "W")
        (score,) = said(r"` robin` → ` silk` is (\d+\.\d+)")
        assert f"score {score:.3f}" in text_of(explorer, "#checks")
        pairs = explorer.panel.bars.table
        assert isinstance(pairs, Table)
        best = said(r"L0H0 at the query × L0H2 at the key (\d\.\d+), L0H1 × L0H2 (\d\.\d+), L0H0 × L0H3 (\d\.\d+)")
        assert [row[2] for row in pairs.rows[:3]] == pytest.approx(best, abs=0.005)
