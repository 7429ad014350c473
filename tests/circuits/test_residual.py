"""The stream as a sum, direct attribution, and what a head reads, against float64."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.circuits.conftest import IDS, Pair
from tests.circuits.desk import Desk, error
from tests.models import folders
from tui.circuits.errors import Refusal
from tui.engine.jobs import HeadInput, Residual, ResidualParts, Side, Target, Unit, Weights

TARGETS = (Target((260,)), Target((260,), (264,)), Target((260, 3, 65), (264, 70)))
"""Against the mean logit, against one token, and means of several against means of several."""


def parts_of(pair: Pair, unit: str, layers: int = 2) -> dict[str, np.ndarray]:
    """Components of the stream before block ``layers``: heads apart, or summed with the bias."""
    out: dict[str, np.ndarray] = {}
    for name, value in pair.run.parts:
        if name[0] == "L" and int(name[1]) >= layers:
            continue
        if name.endswith(".bias") and not value.any():
            continue
        layer = name.partition("H")[0].partition(".")[0]
        if unit == "component" and ("H" in name or "bias" in name):
            name = f"{layer}.attn"
        out[name] = out.get(name, 0.0) + value
    return out


def shown(pair: Pair, value: np.ndarray, weights: str) -> np.ndarray:
    """A write in the stream that the weights speak of."""
    return value @ pair.want.centre if weights == "processed" and pair.want.final.kind == "LayerNorm" else value


def of_target(logits: np.ndarray, target: Target) -> np.ndarray:
    """The answers' mean logit minus that of the distractors, or of the vocabulary."""
    other = logits[..., list(target.distractors)] if target.distractors else logits
    return logits[..., list(target.answers)].mean(-1) - other.mean(-1)


def towards(pair: Pair, value: np.ndarray, target: Target) -> np.ndarray:
    """Logits that a write adds through the final norm frozen at the stream."""
    final = pair.want.final
    if final.kind == "LayerNorm":
        value = value - value.mean(-1, keepdims=True)
    return of_target(value / final.scale(pair.run.stream[-1]) * final.w @ pair.want.W_U, target)


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("unit", get_args(Unit))
@pytest.mark.parametrize("target", TARGETS)
def test_grid(pair: Pair, weights: Weights, unit: Unit, target: Target) -> None:
    desk, run = pair.desk, pair.desk.run(*IDS)
    want = parts_of(pair, unit)
    norms = desk.get(Residual(run, weights, unit=unit))
    assert norms.rows.labels == tuple(want)
    assert error(norms.values, [np.linalg.norm(shown(pair, v, weights), axis=-1) for v in want.values()]) < 1e-5
    answer = desk.get(Residual(run, weights, "answer", target, unit))
    assert error(answer.values, [towards(pair, v, target) for v in want.values()]) < 1e-5
    for grid in (norms, answer):
        assert grid.header.checks["max |stream − Σ parts| / max |stream|"] < 1e-6
    assert answer.header.checks["max |Σ parts − logit|"] < 1e-5 * np.abs(pair.run.logits).max()


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("unit", get_args(Unit))
@pytest.mark.parametrize("target", TARGETS)
def test_parts_sum_to_the_logit(pair: Pair, weights: Weights, unit: Unit, target: Target) -> None:
    """Parts + rounding + bias = centred logit, or the logit difference."""
    logits = pair.run.logits
    for at in (0, len(IDS) - 1):
        job = ResidualParts(pair.desk.run(*IDS), at, weights, unit, "answer", target)
        table = pair.desk.get(job)
        wanted = of_target(logits[at], target)
        assert sum(row[2] for row in table.rows) == pytest.approx(wanted, abs=1e-5 * np.abs(logits).max())
        want = parts_of(pair, unit)
        assert [row[0] for row in table.rows] == [*want, "rounding", "unembed.bias"]
        norms = [np.linalg.norm(shown(pair, value, weights)[at]) for value in want.values()]
        assert error([row[1] for row in table.rows[:-2]], norms) < 1e-5
        assert table.columns == ("part", "norm", "answer")
        assert table.bar == "answer"


def test_parts_without_an_answer(pair: Pair) -> None:
    table = pair.desk.get(ResidualParts(pair.desk.run(*IDS), -1))
    assert table.columns == ("part", "norm")
    assert table.bar == "norm"
    assert table.rows[-1][0] == "rounding"
    for target in (None, Target(())):
        with pytest.raises(Refusal, match="needs an answer"):
            pair.desk.get(Residual(pair.desk.run(*IDS), measure="answer", target=target))


def test_a_target_is_said_in_words(pair: Pair) -> None:
    grid = pair.desk.get(Residual(pair.desk.run(*IDS), measure="answer", target=TARGETS[2]))
    assert (grid.header.convention["answer"], grid.header.convention["distractor"]) == (" Paris, $, b", " London, g")
    assert grid.header.explanation == (
        'row = component, column = position: push toward the mean of ·Paris, "$", b, away from the mean of ·London, g'
        " at the final norm's frozen scale"
    )
    alone = pair.desk.get(ResidualParts(pair.desk.run(*IDS), -1, measure="answer", target=TARGETS[0])).header
    assert alone.explanation == "push toward ·Paris against the mean logit at the final norm's frozen scale"
    assert "distractor" not in alone.convention


@pytest.mark.parametrize("side", get_args(Side))
@pytest.mark.parametrize("unit", get_args(Unit))
def test_what_a_head_reads(pair: Pair, side: Side, unit: Unit) -> None:
    layer, index, at = 1, 2, 5
    head, norm, stream = pair.want.heads[layer][index], pair.want.norms[layer], pair.run.stream[layer]
    W, b = getattr(head, f"W_{side.upper()}"), getattr(head, f"b_{side.upper()}")
    whole = (norm(stream) @ W + b)[at]
    want = []
    for value in parts_of(pair, unit, layer).values():
        if norm.kind == "LayerNorm":
            value = value - value.mean(-1, keepdims=True)
        want.append((value / norm.scale(stream) * norm.w @ W)[at] @ whole / (whole @ whole))
    table = pair.desk.get(HeadInput(pair.desk.run(*IDS), layer, index, at, side, unit=unit))
    rows = dict(table.rows)
    assert error([rows[name] for name in parts_of(pair, unit, layer)], want) < 1e-5
    assert rows["bias"] == pytest.approx((norm.b @ W + b) @ whole / (whole @ whole), abs=1e-5)
    assert sum(rows.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["qwen3", "gemma2", "gemma3", "neox", "gptj"])
def test_sums_on_other_architectures(name: str, tmp_path: Path) -> None:
    """Post-norms, parallel blocks, soft-capped logits (before the cap), query/key norm."""
    desk = Desk(getattr(folders, f"{name}_folder")(tmp_path))
    run = desk.run(*range(60, 70))
    for target in TARGETS:
        checks = desk.get(ResidualParts(run, -1, "processed", "head", "answer", target)).header.checks
        assert checks["max |stream − Σ parts| / max |stream|"] < 1e-6
        assert checks["max |Σ parts − logit|"] < 1e-4
    for side in get_args(Side):
        table = desk.get(HeadInput(run, 1, 1, 4, side))
        assert sum(row[1] for row in table.rows) == pytest.approx(1, abs=1e-5)


def test_a_bias_of_the_unembedding_is_a_part(tmp_path: Path) -> None:
    """A TransformerLens checkpoint with ``b_U``: its difference is in the row ``bias``."""
    config, state = folders.random_checkpoint()
    desk = Desk(folders.tl_checkpoint(tmp_path, config, state))
    run, b_U = desk.run(1, 2, 3, 4), state["unembed.b_U"].numpy()
    for target in (Target((5,)), Target((5, 6), (7,))):
        table = desk.get(ResidualParts(run, -1, "raw", "head", "answer", target))
        assert table.header.checks["max |Σ parts − logit|"] < 1e-5
        of_norm = state["ln_final.b"].numpy() @ state["unembed.W_U"].numpy()
        bias = b_U + of_norm
        assert table.rows[-1][0] == "unembed.bias"
        assert table.rows[-1][2] == pytest.approx(of_target(bias, target), abs=1e-5)


def test_empty_head_reads_nothing(induction: Desk) -> None:
    with pytest.raises(Refusal, match="zero"):
        induction.get(HeadInput(induction.run(1, 2, 3), 1, 1, 2, "q"))
