"""The Neurons page of a mixture of experts, driven by keys on recorded results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from textual import constants

from tests.app.driving import drawn, driven, notice, pressed, text_of
from tests.app.recorded import RecordedBench, info
from tests.app.test_snapshots import press
from tui.app import CircuitApp, Options
from tui.engine.jobs import Experts, Neurons, ResidualParts
from tui.pages.neurons import ExpertsLook
from tui.pages.residual import PartsLook
from tui.results import Capabilities

REASON = "The MLPs of this model are not one layer of neurons each (mixtures of experts)."
SIZES = [(80, 24), (120, 40)]


def mixture() -> RecordedBench:
    """A recorded model of eight experts a layer."""
    return RecordedBench(info(n_experts=8, d_mlp=0, capabilities=Capabilities(neurons=REASON)))


async def test_experts_stand_where_neurons_would() -> None:
    bench = mixture()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "U")
        assert drawn(explorer).rows.labels == tuple(f"L0E{expert}" for expert in range(8))
        assert "L0 experts · router weight" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "j", "j")
        value = drawn(explorer).values[2, -1]
        line = text_of(explorer, "#inspector")
        assert line.startswith(" L0E2 at ·is")
        assert "router weight" in line
        assert f"{value:.3f}" in line
        await pressed(explorer, pilot, "m")
        assert "L0 experts · norm of its write" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "m")
        assert "L0 experts · toward" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "m")
        assert explorer.selection.look(ExpertsLook).measure == "router"
        await pressed(explorer, pilot, "right_square_bracket")
        assert drawn(explorer).rows.labels[0] == "L1E0"
    assert not any(isinstance(job, Neurons) for job in bench.computed)


async def test_the_row_colours_the_token_strip() -> None:
    async with driven(bench=mixture()) as (explorer, pilot):
        await pressed(explorer, pilot, "U", "j")
        values = drawn(explorer).values[1]
        shade = explorer.query_one("TokenStrip").shade  # type: ignore[attr-defined]
        assert shade == pytest.approx(tuple(values / np.abs(values).max()))


async def test_the_stream_by_expert_and_enter_on_an_mlp() -> None:
    bench = mixture()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "4", "u", "u")
        assert explorer.selection.look(PartsLook).unit in ("component", "expert")
        assert any(isinstance(job, ResidualParts) and job.unit == "expert" for job in bench.computed)
        await pressed(explorer, pilot, "6", "end", "enter")
        assert explorer.selection.page == "neurons"
        assert drawn(explorer).rows.labels[0].startswith("L0E")
    assert any(isinstance(job, Experts) for job in bench.computed)


async def test_other_models_have_no_experts_to_choose() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "U", "m")
        assert "neurons have one mode" in notice(explorer)
        await pressed(explorer, pilot, "4", "u", "u")
        assert explorer.selection.look(PartsLook).unit == "head"
    assert not any(isinstance(job, Experts) for job in bench.computed)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("keys", [("U", "j"), ("U", "j", "m")], ids=["router", "norm"])
def test_snapshot(
    snap_compare: Callable[..., bool], size: tuple[int, int], keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "COLOR_SYSTEM", "truecolor")
    bench = mixture()
    app = CircuitApp(Options(), bench=lambda: bench, clock=lambda: 0.0)
    app.explorer.pace.draw_pause, app.explorer.pace.panel_pause = 0.0, 0.01
    assert snap_compare(app, run_before=press(app, keys), terminal_size=size)
