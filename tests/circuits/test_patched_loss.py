"""The loss on a text after the prompt, patched: against the float64 reference; the estimate against differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.circuits.conftest import IDS
from tests.circuits.conftest import Pair as Models
from tests.circuits.desk import Desk
from tests.circuits.reference import Array
from tests.circuits.test_patching_jobs import OTHER, TARGET
from tui.circuits.errors import Refusal
from tui.engine.jobs import PatchedCells, PatchingEstimate, PatchingGrid
from tui.engine.jobs.parts import Forward
from tui.results import Grid

AFTER = (66, 258, 4)


def job(desk: Desk, **changes: Any) -> PatchingGrid:
    made = PatchingGrid(desk.run(*OTHER, *AFTER), desk.run(*IDS, *AFTER), TARGET, metric="loss", continuation=AFTER)
    return replace(made, **changes)


def loss(logits: Array) -> float:
    rows = logits[len(IDS) - 1 : -1].astype(np.float64)
    rows -= rows.max(-1, keepdims=True)
    logs = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
    return -float(np.mean([logs[i, token] for i, token in enumerate(AFTER)]))


@pytest.mark.parametrize("toward", ["denoise", "noise"])
@pytest.mark.parametrize("position", [None, 5])
def test_it_is_the_loss_of_the_change_made_by_hand(pair: Models, toward: str, position: int | None) -> None:
    want, made = pair.want, job(pair.desk, toward=toward, position=position)
    base, other = list(made.base.ids), list(made.other.ids)
    source = want.forward(other)
    ends = [loss(want.forward(list(run.ids)).logits) for run in (made.clean, made.corrupted)]
    grid: Grid = pair.desk.get(made)
    at = slice(None) if position is None else position
    for layer, head in ((0, 1), (1, 2)):

        def change(point: str, where: int, which: int, value: Array, layer: int = layer, head: int = head) -> Array:
            value = value.copy()
            if (point, where, which) == ("z", layer, head):
                value[at] = source.z[layer, head][at]
            return value

        m = (loss(want.forward(base, change).logits) - ends[1]) / (ends[0] - ends[1])
        assert grid.values[layer, head] == pytest.approx(m, abs=2e-4)
    assert grid.header.convention["continuation"]


def test_the_other_metrics_are_those_before_the_text(pair: Models) -> None:
    """What comes after the prompt changes nothing that is read at its end."""
    desk = pair.desk
    grid: Grid = desk.get(job(desk))
    alone: Grid = desk.get(PatchingGrid(desk.run(*OTHER), desk.run(*IDS), TARGET))
    assert grid.beside["logit difference"] == pytest.approx(alone.values, abs=1e-4)
    assert grid.beside["KL"] == pytest.approx(alone.beside["KL"], abs=1e-4)
    desk.computed.clear()
    again: Grid = desk.get(job(desk, metric="KL"))
    assert np.array_equal(again.beside["loss"], grid.values)
    assert not any(isinstance(made, PatchedCells) for made in desk.computed)


@pytest.mark.parametrize("site", ["resid_pre", "v", "mlp_out"])
def test_cells_are_the_prompts_positions(pair: Models, site: str) -> None:
    by = "head-position" if site == "v" else "position"
    grid: Grid = pair.desk.get(job(pair.desk, site=site, by=by))
    assert len(grid.cols) == len(IDS)
    assert np.isfinite(grid.values).all()
    if site == "resid_pre":
        assert (grid.values[0, :3] == 0).all(), "the prompts begin alike"
    whole = job(pair.desk, site=site, by=by, memory=1)
    assert pair.desk.get(whole).values == pytest.approx(grid.values, abs=1e-4), "batches change nothing"


def test_the_estimate_is_its_slope(pair: Models) -> None:
    want, made = pair.want, job(pair.desk)
    base, source = list(made.base.ids), want.forward(list(made.other.ids))
    guess: Grid = pair.desk.get(made.estimate)
    assert isinstance(made.estimate, PatchingEstimate)
    ends = [loss(want.forward(list(run.ids)).logits) for run in (made.clean, made.corrupted)]
    step = 1e-3
    for layer, head in ((0, 0), (1, 3)):

        def moved(share: float, layer: int = layer, head: int = head) -> float:
            def change(point: str, where: int, which: int, value: Array) -> Array:
                return value + share * (source.z[layer, head] - value) if (point, where, which) == (
                    "z", layer, head) else value  # fmt: skip

            return loss(want.forward(base, change).logits)

        slope = (moved(step) - moved(-step)) / (2 * step)
        assert guess.values[layer, head] == pytest.approx(slope / (ends[0] - ends[1]), abs=1e-4)


def test_through_hooks_it_is_the_same(pair: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = pair.desk
    plain: Grid = desk.get(job(desk))
    info = replace(desk.info, capabilities=replace(desk.info.capabilities, plain="Not here."))
    monkeypatch.setattr(desk.bench.live, "info", info)
    hooked: Grid = desk.bench.compute(job(desk, memory=3), desk)
    assert hooked.values == pytest.approx(plain.values, abs=1e-3)
    assert desk.get(Forward(job(desk).clean)).logits.shape[0] == len(OTHER) + len(AFTER)


def test_what_cannot_be_is_said(pair: Models) -> None:
    with pytest.raises(Refusal, match="loss is not measured here"):
        pair.desk.get(replace(job(pair.desk), continuation=()))
    long = AFTER * 40
    runs = {"clean": pair.desk.run(*OTHER, *long), "corrupted": pair.desk.run(*IDS, *long)}
    with pytest.raises(Refusal, match="token"):
        pair.desk.get(job(pair.desk, continuation=long, **runs))
