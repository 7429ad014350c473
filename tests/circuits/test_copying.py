"""Copying scores against the dense OV circuit in float64, TransformerLens' eigenvalues, and known answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests.circuits.conftest import Pair
from tests.circuits.desk import Desk, error
from tests.models import folders
from tui.circuits import copying
from tui.circuits.errors import Refusal
from tui.engine.jobs import CopyingScores, Weights
from tui.engine.jobs.parts import EndsProduct, HeadCopying
from tui.results import Grid

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"


def of_circuit(full: np.ndarray, ids: np.ndarray) -> list[float]:
    """The three scores of ``OV [d_vocab, d_vocab]``, dense; top k over the tokens ``ids``."""
    values = np.linalg.eigvals(full)
    ranks = 1 + (full > np.diagonal(full)[:, None]).sum(1)
    return [float(values.real.sum() / np.abs(values).sum()), *(float((ranks[ids] <= k).mean()) for k in (1, 5))]


@pytest.mark.parametrize("weights", get_args(Weights))
def test_against_the_whole_circuit(pair: Pair, weights: Weights) -> None:
    grid = pair.desk.get(CopyingScores(pair.desk.key, weights, None))
    assert grid.cols.labels == ("copying", "OV top 1", "OV top 5")
    assert grid.rows.labels == tuple(f"L{layer}H{head}" for layer in range(2) for head in range(4))
    everything = np.arange(270)
    for layer in range(2):
        for head in range(4):
            full = pair.want.ov(layer, head, weights, pair.want.basis("embed", weights, layer))
            assert grid.values[4 * layer + head].tolist() == pytest.approx(of_circuit(full, everything), abs=2e-5)
    assert grid.header.convention["sample"] == "all 270 tokens"
    assert "seed" not in grid.header.convention


def test_scores_have_the_limits_that_they_have(pair: Pair) -> None:
    pair.desk.partials.clear()
    job = CopyingScores(pair.desk.key, sample=40)
    grid = pair.desk.get(job)
    assert [grid.limits_of(column) for column in range(3)] == [(-1.0, 1.0), (0.0, 1.0), (0.0, 1.0)]
    assert grid.limits == (-1.0, 1.0)
    for made in (grid, *pair.desk.partials):
        assert isinstance(made, Grid)
        assert (made.limits, made.column_limits) == (grid.limits, grid.column_limits)
        assert np.nanmax(np.abs(made.values)) <= 1 + 1e-6


def test_a_sample(pair: Pair) -> None:
    """The same tokens for every head, others with another seed, none twice."""
    desk = pair.desk
    whole = desk.get(CopyingScores(desk.key, sample=None)).values
    rows = []
    for seed in (0, 0, 1):
        grid = desk.get(CopyingScores(desk.key, sample=100, seed=seed))
        drawn = np.sort(torch.randperm(270, generator=torch.Generator().manual_seed(seed))[:100].numpy())
        for index in (1, 6):
            layer, head = divmod(index, 4)
            full = pair.want.ov(layer, head, "processed", pair.want.basis("embed", "processed", layer))
            assert grid.values[index].tolist() == pytest.approx(of_circuit(full, drawn), abs=2e-5)
        assert grid.header.convention["sample"] == "100 of 270 tokens"
        assert grid.header.convention["seed"] == seed
        assert (grid.values[:, 0] == whole[:, 0]).all()
        rows.append(grid.values)
    assert (rows[0] == rows[1]).all()
    assert (rows[0] != rows[2]).any()
    assert desk.get(CopyingScores(desk.key, sample=300)).header.convention["sample"] == "all 270 tokens"


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_sign_is_kept(sign: float, tmp_path: Path) -> None:
    """The induction head's full OV is the identity minus 1/V, and its negative; the others write nothing."""
    desk = Desk(folders.induction_checkpoint(tmp_path, sign=sign))
    grid = desk.get(CopyingScores(desk.key))
    rows = dict(zip(grid.rows.labels, grid.values.tolist(), strict=True))
    assert rows["L1H0"] == pytest.approx([sign, float(sign > 0), float(sign > 0)], abs=1e-6)
    for name in ("L0H0", "L0H1", "L1H1"):
        assert np.isnan(rows[name]).all()


def test_random_weights_do_not_copy(tmp_path: Path) -> None:
    size = {"n_layers": 4, "n_heads": 8, "d_model": 64, "d_head": 8, "d_vocab": 200}
    desk = Desk(folders.tl_checkpoint(tmp_path, *folders.random_checkpoint(**size)))
    values = desk.get(CopyingScores(desk.key)).values
    assert abs(values[:, 0].mean()) < 0.1
    assert values[:, 1].mean() < 0.03
    assert values[:, 2].mean() < 0.06


@pytest.mark.parametrize("name", ["gpt2", "llama", "checkpoint", "gemma2"])
def test_transformer_lens_has_the_same_eigenvalues(name: str, desk_of: Callable[..., Desk]) -> None:
    from transformer_lens import FactoredMatrix

    desk = desk_of(name)
    ends = desk.bench.ends
    raw = desk.get(CopyingScores(desk.key, "raw")).values[:, 0]
    for index in (0, 3, 5):
        head = desk.bench.live.head(*divmod(index, 4))
        A, B = ends.W_E.double() @ head.W_V.double(), head.W_O.double() @ ends.W_U.double()
        values: Any = FactoredMatrix(A, B).eigenvalues
        assert raw[index] == pytest.approx(float(values.real.sum() / values.abs().sum()), abs=2e-5)


def test_ties_share_the_smaller_rank_and_a_flat_row_ranks_nothing() -> None:
    outputs = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    sources = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    ids = torch.arange(4)
    # Token 0 and 1 share rank 1, token 2's row is all 0, token 3 has rank 3.
    assert copying.own_top(sources, outputs, ids, lambda: None) == [0.5, 0.75]
    assert np.isnan(copying.own_top(sources[2:3], outputs, ids[2:3], lambda: None)).all()


def test_rows_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    sources, outputs, ids = torch.randn(50, 4), torch.randn(4, 60), torch.randperm(60)[:50]
    whole = copying.own_top(sources, outputs, ids, lambda: None)
    checks: list[int] = []
    monkeypatch.setattr(copying, "CELLS", 7 * 60)
    assert copying.own_top(sources, outputs, ids, lambda: checks.append(1)) == whole
    assert len(checks) == 8


def test_results_come_head_by_head_and_are_not_made_twice(tmp_path: Path) -> None:
    """A job that is stopped after three heads goes on with the fourth."""
    desk = Desk(folders.gpt2_folder(tmp_path))
    job = CopyingScores(desk.key)
    stop_after(desk, 3)
    with pytest.raises(Stopped):
        desk.get(job)
    del desk.progress  # type: ignore[method-assign]
    assert sum(isinstance(done, HeadCopying) for done in desk.computed) == 3
    desk.partials.clear()
    grid = desk.get(job)
    assert sum(isinstance(done, HeadCopying) for done in desk.computed) == 8
    assert sum(isinstance(done, EndsProduct) for done in desk.computed) == 1
    assert [int(np.isfinite(partial.values).all(1).sum()) for partial in grids(desk)] == list(range(1, 8))
    assert all(partial.header.partial for partial in grids(desk))
    assert grids(desk)[2].header.details["so far"] == "3 of 8 heads"
    assert not grid.header.partial
    assert "so far" not in grid.header.details


class Stopped(Exception):
    """What the engine's check raises."""


def stop_after(desk: Desk, heads: int) -> None:
    def progress(stage: str, done: int = 0, total: int = 0) -> None:
        if stage == "copying scores" and done == heads:
            raise Stopped

    desk.progress = progress  # type: ignore[method-assign]


def grids(desk: Desk) -> list[Grid]:
    return [partial for partial in desk.partials if isinstance(partial, Grid)]


def test_what_is_said(pair: Pair, desk_of: Callable[..., Desk]) -> None:
    header = pair.desk.get(CopyingScores(pair.desk.key)).header
    assert (header.view, header.quantity) == ("head-scores", "copying scores of the full OV circuit")
    assert {"weights": "processed", "basis": "embed", "dtype": "float32"}.items() <= header.convention.items()
    assert "1 copies, −1 suppresses" in str(header.details["copying"])
    gemma = desk_of("gemma2")
    details = gemma.get(CopyingScores(gemma.key)).header.details
    assert "soft-capped" in str(details["W_U"])
    assert "the scale is left out" in str(details["post-norm"])


def test_refusals(pair: Pair) -> None:
    for sample in (0, -3):
        with pytest.raises(Refusal, match="A sample has a token or more"):
            pair.desk.get(CopyingScores(pair.desk.key, sample=sample))


def test_the_demo_s_card() -> None:
    """assets/demo/README.md, "What the heads do"."""
    desk = Desk(DEMO)
    grid = desk.get(CopyingScores(desk.key, sample=None))
    rows = dict(zip(grid.rows.labels, grid.values[:, 0].tolist(), strict=True))
    assert [rows[name] for name in ("L0H2", "L0H3", "L2H1")] == pytest.approx([0.87, 0.86, 0.90], abs=0.01)
    state = desk.bench.ends
    W_U = state.W_U.double() * state.final_norm.w.double()[:, None]  # type: ignore[union-attr]
    W_U = W_U - W_U.mean(0)
    W_U = W_U - W_U.mean(1, keepdim=True)
    head = desk.bench.head(0, 2, "processed")
    W_E = state.W_E.double() - state.W_E.double().mean(1, keepdim=True)
    full = (W_E @ head.W_V.double() @ head.W_O.double() @ W_U).numpy()
    ranks = 1 + (full > np.diagonal(full)[:, None]).sum(1)
    assert error(grid.values[2, 1:], [(ranks <= 1).mean(), (ranks <= 5).mean()]) < 1e-6
