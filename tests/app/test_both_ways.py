"""A model without a causal mask, and one whose positions reach queries and keys alone: what views say and compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.app.driving import driven, text_of
from tests.app.recorded import RecordedBench, info
from tests.circuits.desk import Desk
from tests.models.folders import random_checkpoint, tl_checkpoint
from tui.engine.jobs import QK, Attribution, Lens, Pattern, ScoreParts, Target

IDS = (3, 1, 4, 1, 5)


async def test_titles_say_that_all_see_all() -> None:
    async with driven(bench=RecordedBench(info(bidirectional=True))) as (explorer, _):
        assert "all ↔ all" in text_of(explorer, "#badges")
    async with driven() as (explorer, _):
        assert "all ↔ all" not in text_of(explorer, "#badges")


def test_every_position_sees_and_is_measured(tmp_path: Path) -> None:
    config, state = random_checkpoint(attention_dir="bidirectional", d_vocab_out=3)
    desk = Desk(tl_checkpoint(tmp_path / "both", config, state))
    run = desk.run(*IDS)
    grid = desk.get(Pattern(run, 1, 2))
    assert not np.isnan(grid.values).any()
    assert np.allclose(grid.values.sum(1), 1.0, atol=1e-6)
    assert grid.header.convention["attention"] == "all ↔ all"
    for at in range(len(IDS)):
        made = desk.get(Attribution(run, at, Target((1,))))
        assert made.header.checks["error"] < 1e-5
    assert desk.get(Lens(run)).values.shape[1] == len(IDS)
    early = desk.get(ScoreParts(run, 1, 2, 0, 4))  # a query and a key after it
    assert early.header.checks["error"] < 1e-5


def test_a_shortformers_position_terms(tmp_path: Path) -> None:
    """Positions go through no norm: p_i W_Q (p_j W_K)ᵀ, whatever the weights are folded with."""
    config, state = random_checkpoint(positional_embedding_type="shortformer")
    desk = Desk(tl_checkpoint(tmp_path / "short", config, state))
    w = {key: value.double().numpy() for key, value in state.items()}
    p, at = w["pos_embed.W_pos"][:6], "blocks.1.attn."
    q, k = p @ w[at + "W_Q"][2], p @ w[at + "W_K"][2]
    rows = tuple(range(6))
    for weights in ("raw", "processed"):
        made = desk.get(QK(desk.key, 1, 2, rows, rows, weights, term="position-position"))
        assert np.abs(made.values - q @ k.T).max() / np.abs(q @ k.T).max() < 1e-5
        assert made.header.convention["term"] == "position-position"
    b_Q = w[at + "b_Q"][2]
    tokens = w["embed.W_E"][list(IDS)] @ w[at + "W_K"][2]
    made = desk.get(QK(desk.key, 1, 2, rows, IDS, "raw", form="scaled", term="position-token"))
    want = (q + b_Q) @ (tokens + w[at + "b_K"][2]).T / 8**0.5
    assert np.abs(made.values - want).max() / np.abs(want).max() < 1e-5
    # Score parts: a shortformer's position is one of them.
    run = desk.run(*IDS)
    parts = desk.get(ScoreParts(run, 1, 2, 4, 1))
    assert "pos" in parts.rows.labels
    assert parts.header.checks["error"] < 1e-5
