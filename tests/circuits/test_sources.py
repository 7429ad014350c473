"""Where a head's attribution comes from: against float64, on every architecture, and on a known answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from tests.circuits.conftest import EVERY, IDS, Pair
from tests.circuits.desk import Desk, error
from tests.circuits.test_attribution import ANYWHERE, LIMITS, PROMPT, rows
from tests.circuits.test_residual import TARGETS, of_target
from tui.circuits.errors import Refusal
from tui.engine.jobs import Attribution, Pattern, SourceRow, Sources, Target, Weights
from tui.engine.jobs.parts import Forward

CHECK = "max |Σ sources − head|"
LAYER, HEAD = 1, 2


def contributions(pair: Pair, target: Target) -> np.ndarray:
    """``[destination, source]`` by loops: what each source's value, moved by the pattern, adds there."""
    want, final = pair.want, pair.want.final
    head, values, stream = want.heads[LAYER][HEAD], pair.run.values[LAYER][HEAD], pair.run.stream[-1]
    n = len(IDS)
    out = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(i + 1):
            write = pair.run.patterns[LAYER][HEAD][i, j] * values[j] @ head.W_O
            write = write - write.mean() if final.kind == "LayerNorm" else write
            out[i, j] = of_target(write / final.scale(stream[i : i + 1])[0] * final.w @ want.W_U, target)
    return out


@pytest.mark.parametrize("target", TARGETS)
def test_grid(pair: Pair, target: Target) -> None:
    grid = pair.desk.get(Sources(pair.desk.run(*IDS), LAYER, HEAD, target))
    assert error(grid.values, contributions(pair, target)) < 1e-5
    assert set(grid.header.checks) == {CHECK}
    assert grid.header.checks[CHECK] < 1e-5
    assert (grid.header.view, grid.header.head) == ("sources", "L1H2")
    assert grid.rows.ids == grid.cols.ids == IDS
    assert grid.diverging


def test_a_row_sums_to_the_head_s_attribution(pair: Pair) -> None:
    for target in TARGETS:
        grid = pair.desk.get(Sources(pair.desk.run(*IDS), LAYER, HEAD, target))
        for at in range(len(IDS)):
            head = rows(pair.desk.get(Attribution(pair.desk.run(*IDS), at, target)))["L1H2"]
            assert np.nansum(grid.values[at]) == pytest.approx(head, abs=1e-5)


@pytest.mark.parametrize("weights", get_args(Weights))
@pytest.mark.parametrize("target", TARGETS)
def test_one_row_beside_pattern_and_weights(pair: Pair, target: Target, weights: Weights) -> None:
    at = 4
    table = pair.desk.get(SourceRow(pair.desk.run(*IDS), LAYER, HEAD, at, target, weights))
    assert table.columns == ("source", "position", "contribution", "pattern", "OV")
    assert table.bar == "contribution"
    assert [row[1] for row in table.rows] == list(range(at + 1))
    assert [row[0] for row in table.rows] == list(pair.desk.bench.texts(IDS[: at + 1]))
    assert error([row[2] for row in table.rows], contributions(pair, target)[at, : at + 1]) < 1e-5
    assert error([row[3] for row in table.rows], pair.run.patterns[LAYER][HEAD][at, : at + 1]) < 1e-5
    effects = pair.want.ov(LAYER, HEAD, weights, pair.want.basis("embed", weights, LAYER))[list(IDS[: at + 1])]
    # Raw W_U is as stored: not centred over the vocabulary.
    wanted = of_target(effects, target) if target.distractors else effects[:, list(target.answers)].mean(-1)
    assert error([row[4] for row in table.rows], wanted) < 1e-5
    assert table.header.checks[CHECK] < 1e-5


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", EVERY)
def test_sums_on_every_architecture(name: str, dtype: str, desk_of: Callable[[str, str], Desk]) -> None:
    if (name, dtype) == ("olmo2", "bfloat16"):
        pytest.skip("TransformerLens cannot run it: its attention mixes float32 patterns with bfloat16 values")
    desk = desk_of(name, dtype)
    run = desk.run(*PROMPT)
    for target in ANYWHERE:
        for layer in range(2):
            for head in range(4):
                grid = desk.get(Sources(run, layer, head, target))
                assert grid.header.checks[CHECK] <= LIMITS[dtype] * np.nanmax(np.abs(grid.values))
                pattern = desk.get(Pattern(run, layer, head)).values
                assert (np.isnan(grid.values) == np.isnan(pattern)).all()
    last = len(PROMPT) - 1
    table = desk.get(SourceRow(run, 0, 1, -1, ANYWHERE[0]))
    seen = np.flatnonzero(~np.isnan(desk.get(Pattern(run, 0, 1)).values[last])).tolist()
    assert [row[1] for row in table.rows] == seen
    assert (len(seen) == 6) == (name in ("mistral", "gemma2", "gemma3"))


def test_induction_head_takes_what_followed(induction: Desk) -> None:
    """… A B … A: all of L1H0's push toward B comes from B, the token after the previous A."""
    ids = (3, 8, 1, 12, 5, 3)
    target = Target((8,), (2,))
    values = induction.get(Sources(induction.run(*ids), 1, 0, target)).values
    want = np.zeros(6)
    want[1] = 1.0
    assert values[-1] == pytest.approx(want, abs=1e-6)
    table = induction.get(SourceRow(induction.run(*ids), 1, 0, -1, target))
    assert table.rows[1][2:] == pytest.approx((1.0, 1.0, 1.0), abs=1e-6)
    # By the weights alone only B itself would say B.
    assert [row[4] for row in table.rows] == pytest.approx(want, abs=1e-6)


def test_no_forward_pass_of_its_own(pair: Pair) -> None:
    run = pair.desk.run(*IDS[:3])
    pair.desk.get(Pattern(run, 0, 0))
    for head in range(4):
        pair.desk.get(Sources(run, 1, head, TARGETS[0]))
        pair.desk.get(SourceRow(run, 1, head, 1, TARGETS[0]))
    assert [job for job in pair.desk.computed if isinstance(job, Forward) and job.run == run] == [Forward(run)]


def test_long_prompts_keep_one_layer_s_patterns(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.engine.opened.KEPT", 0)
    run = pair.desk.run(*IDS[1:])
    assert pair.desk.get(Sources(run, 1, 2, TARGETS[0])).header.checks[CHECK] < 1e-5
    assert set(pair.desk.get(Forward(run, 1)).patterns) == {1}


def test_refusals(pair: Pair) -> None:
    run = pair.desk.run(*IDS)
    with pytest.raises(Refusal, match="L1H4 does not exist"):
        pair.desk.get(Sources(run, 1, 4, TARGETS[0]))
    with pytest.raises(Refusal, match="Position 7 is not"):
        pair.desk.get(SourceRow(run, 1, 1, 7, TARGETS[0]))
    with pytest.raises(Refusal, match="needs an answer"):
        pair.desk.get(Sources(run, 1, 1, Target(())))
