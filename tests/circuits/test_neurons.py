"""Neurons along a prompt and what they write, against float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.circuits.conftest import EVERY, IDS, Pair
from tests.circuits.desk import Desk, error
from tests.circuits.test_attribution import ANYWHERE, LIMITS, PROMPT
from tests.circuits.test_residual import TARGETS, towards
from tests.models import folders
from tui.circuits.errors import Refusal
from tui.engine.jobs import Attribution, Neurons, NeuronTokens, Target, Weights
from tui.engine.jobs.parts import Forward

CHECK = "max |Σ act W_out + b_out − MLP|"
LAYER, AT = 1, 4


def activations(pair: Pair) -> np.ndarray:
    """``[n, d_mlp]`` of the layer."""
    own = [v for name, v in pair.run.parts if name.startswith(f"L{LAYER}") and not name.endswith("mlp")]
    return pair.want.activations(LAYER, pair.run.stream[LAYER] + sum(own))


@pytest.mark.parametrize("target", [None, *TARGETS])
def test_along_the_prompt(pair: Pair, target: Target | None) -> None:
    acts, W_out = activations(pair), pair.want.W_out[LAYER]
    if target is None:
        sizes = np.abs(acts[AT]) * np.linalg.norm(W_out, axis=-1)
    else:
        sizes = np.array([abs(towards(pair, acts[:, [n]] * W_out[n], target)[AT]) for n in range(len(W_out))])
    order = np.argsort(-sizes)
    grid = pair.desk.get(Neurons(pair.desk.run(*IDS), LAYER, AT, target, k=5))
    assert grid.rows.labels == tuple(f"L1N{n}" for n in order[:5])
    assert error(grid.values, acts[:, order[:5]].T) < 1e-5
    assert grid.cols.ids == IDS
    assert grid.header.checks[CHECK] < 1e-5
    # One that is named comes first, unless it is there already.
    named = pair.desk.get(Neurons(pair.desk.run(*IDS), LAYER, AT, target, int(order[-1]), 5))
    assert named.rows.labels == (f"L1N{order[-1]}", *grid.rows.labels)
    assert error(named.values, acts[:, [order[-1], *order[:5]]].T) < 1e-5
    again = pair.desk.get(Neurons(pair.desk.run(*IDS), LAYER, AT, target, int(order[2]), 5))
    assert again.rows.labels == grid.rows.labels


def test_what_is_said(pair: Pair) -> None:
    header = pair.desk.get(Neurons(pair.desk.run(*IDS), LAYER, AT, TARGETS[1])).header
    assert (header.view, header.head) == ("neurons", "L1")
    assert "matter most at position 4 for ·Paris, away from ·London" in header.explanation
    assert header.details["d_mlp"] == pair.desk.info.d_mlp
    alone = pair.desk.get(Neurons(pair.desk.run(*IDS), LAYER, AT)).header
    assert "write most at position 4" in alone.explanation
    assert "answer" not in alone.convention


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", EVERY)
def test_every_architecture(name: str, dtype: str, desk_of: Callable[[str, str], Desk]) -> None:
    """The neurons' writes sum to the MLP's own; the ranking is that of Attribution."""
    if (name, dtype) == ("olmo2", "bfloat16"):
        pytest.skip("TransformerLens cannot run it: its attention mixes float32 patterns with bfloat16 values")
    desk = desk_of(name, dtype)
    run = desk.run(*PROMPT)
    if not desk.info.d_mlp:
        with pytest.raises(Refusal, match="no MLPs"):
            desk.get(Neurons(run, 1, -1))
        with pytest.raises(Refusal, match="no MLPs"):
            desk.get(NeuronTokens(desk.key, 1, 0))
        return
    for layer in range(2):
        for target in (None, *ANYWHERE):
            grid = desk.get(Neurons(run, layer, -1, target))
            wrote = desk.get(Forward(run)).mlp_out[layer, -1].abs().max()
            assert grid.header.checks[CHECK] <= LIMITS[dtype] * wrote
            if target is not None:
                ranked = desk.get(Attribution(run, -1, target, "neuron", layer))
                assert grid.rows.labels == ranked.rows.labels[:20]


@pytest.mark.parametrize("weights", get_args(Weights))
def test_what_a_neuron_promotes(pair: Pair, weights: Weights) -> None:
    want = pair.want.W_out[LAYER][7] @ pair.want.unembed(weights)
    table = pair.desk.get(NeuronTokens(pair.desk.key, LAYER, 7, weights, 6))
    assert table.columns == ("part", "rank", "token", "id", "value")
    assert table.bar == "value"
    order = np.argsort(-want)
    assert [row[3] for row in table.rows] == [*order[:6], *order[::-1][:6]]
    assert [row[0] for row in table.rows] == ["promoted"] * 6 + ["suppressed"] * 6
    for _, rank, token, number, value in table.rows:
        assert rank == 1 + (want > want[number]).sum()
        assert token == pair.desk.bench.texts((number,))[0]
        assert value == pytest.approx(want[number], abs=1e-5 * np.abs(want).max())
    assert ("as stored" in str(table.header.details.get("W_U"))) == (weights == "raw")


@pytest.mark.parametrize("weights", get_args(Weights))
def test_a_post_norm_s_gain_is_folded(weights: Weights, tmp_path: Path) -> None:
    desk = Desk(folders.gemma2_folder(tmp_path))
    state = {k: v.astype(np.float64) for k, v in load_file(tmp_path / "model.safetensors").items()}
    row, W_U = state["model.layers.1.mlp.down_proj.weight"][:, 3], state["model.embed_tokens.weight"].T
    if weights == "processed":
        row = row * (1 + state["model.layers.1.post_feedforward_layernorm.weight"])
        W_U = (1 + state["model.norm.weight"])[:, None] * W_U
    want = row @ W_U
    table = desk.get(NeuronTokens(desk.key, 1, 3, weights))
    assert error([line[4] for line in table.rows], [want[line[3]] for line in table.rows]) < 1e-5
    assert table.rows[0][3] == want.argmax()
    assert "the scale is left out" in str(table.header.details["post-norm"])


def test_refusals(pair: Pair) -> None:
    key, run, last = pair.desk.key, pair.desk.run(*IDS), pair.desk.info.d_mlp - 1
    for job, sentence in (
        (NeuronTokens(key, 1, last + 1), f"L1N{last + 1} does not exist: the neurons of L1 are L1N0 to L1N{last}"),
        (NeuronTokens(key, 2, 0), "Layer 2 does not exist"),
        (NeuronTokens(key, -1, 0), "Layer -1 does not exist"),
        (Neurons(run, 1, -1, neuron=-1), "L1N-1 does not exist"),
        (Neurons(run, 1, 9), "Position 9 is not"),
        (Neurons(run, 1, 0, Target((270,))), "270 is not in the vocabulary"),
    ):
        with pytest.raises(Refusal, match=sentence):
            pair.desk.get(job)
