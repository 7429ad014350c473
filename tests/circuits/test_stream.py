"""The stream's states and the directions that components write, against float64 numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from tests.circuits.conftest import IDS, Pair
from tests.circuits.desk import Desk, error
from tests.circuits.test_lens import states_of
from tests.circuits.test_residual import parts_of, shown
from tui.circuits.errors import Refusal
from tui.engine.jobs import Stream, Unit, Weights, WriteCosines


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("mids", [False, True])
def test_states(pair: Pair, weights: Weights, mids: bool) -> None:
    desk, run = pair.desk, pair.desk.run(*IDS)
    states = {name: shown(pair, value, weights) for name, value in states_of(pair, mids).items()}
    final = states["L1.post"]
    norms = desk.get(Stream(run, "norm", weights, mids))
    assert norms.rows.labels == tuple(states)
    assert norms.cols.ids == IDS
    assert error(norms.values, [np.linalg.norm(x, axis=-1) for x in states.values()]) < 1e-5
    cosine = desk.get(Stream(run, "final", weights, mids))
    assert error(cosine.values, [cosines(x, final) for x in states.values()]) < 1e-5
    assert np.abs(cosine.values[-1] - 1).max() < 1e-6
    assert (norms.diverging, cosine.diverging) == (False, True)
    for grid in (norms, cosine):
        assert grid.header.view == "stream"
        centred = weights == "processed" and pair.name == "gpt2"
        assert grid.header.convention["stream"] == ("centred" if centred else "as it is")


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("unit", get_args(Unit))
def test_writes(pair: Pair, weights: Weights, unit: Unit) -> None:
    at = 4
    writes = {name: shown(pair, value, weights)[at] for name, value in parts_of(pair, unit).items()}
    grid = pair.desk.get(WriteCosines(pair.desk.run(*IDS), at - len(IDS), weights, unit))
    assert grid.rows == grid.cols
    assert grid.rows.labels == tuple(writes)
    stacked = np.stack(list(writes.values()))
    assert error(grid.values, cosines(stacked[:, None], stacked[None])) < 1e-5
    assert grid.diverging
    assert grid.header.view == "stream"
    assert grid.header.convention["position"] == at


def test_what_writes_nothing_points_nowhere(induction: Desk) -> None:
    """Empty heads, and the induction head where it has seen nothing: cosine 0 with all, itself included."""
    grid = induction.get(WriteCosines(induction.run(1, 2, 3), 2, unit="head"))
    assert np.isfinite(grid.values).all()
    empty = grid.rows.labels.index("L1H1")
    assert (grid.values[empty] == 0).all()
    assert (grid.values[:, empty] == 0).all()
    token = grid.rows.labels.index("embed")
    assert grid.values[token, token] == pytest.approx(1)


@pytest.mark.parametrize("name", ["gemma2", "neox", "olmo2", "gemma3", "mistral", "qwen3"])
def test_other_architectures(name: str, desk_of: Callable[..., Desk]) -> None:
    desk = desk_of(name)
    run, parallel = desk.run(*range(250, 262)), name == "neox"
    for measure in ("norm", "final"):
        grid = desk.get(Stream(run, measure, mids=not parallel))
        assert np.isfinite(grid.values).all()
        assert len(grid.rows) == (3 if parallel else 5)
    if parallel:
        with pytest.raises(Refusal, match="in parallel: there is no state between"):
            desk.get(Stream(run, mids=True))
    writes = desk.get(WriteCosines(run, -1)).values
    assert error(writes, writes.T) < 1e-6
    assert np.abs(np.diag(writes) - 1).max() < 1e-6


def test_positions_outside_the_prompt(pair: Pair) -> None:
    with pytest.raises(Refusal, match="Position 7 is not"):
        pair.desk.get(WriteCosines(pair.desk.run(*IDS), 7))
