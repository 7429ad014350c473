"""An attention score as a sum over pairs of components: against float64, on every architecture, on a known answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import get_args

import numpy as np
import pytest

from tests.circuits.conftest import EVERY, IDS, Pair
from tests.circuits.desk import Desk, error
from tests.circuits.test_attribution import LIMITS, PROMPT
from tests.circuits.test_residual import parts_of
from tui.circuits.errors import Refusal
from tui.engine.jobs import HeadInput, Pattern, ScoreParts, Unit
from tui.results import Grid

LAYER, HEAD = 1, 2


def adds_up(grid: Grid, limit: float, score: float = 0.0) -> None:
    """Within ``limit`` of the largest part, or of the head's largest ``score`` on the prompt: in bfloat16 a score
    near zero is the rounding of long queries and keys."""
    checks = grid.header.checks
    [whole] = set(checks) - {"sum", "error"}
    assert whole in ("score", "value"), "a difference is not called a score"
    largest = max(float(np.abs(grid.values).max()), score)
    assert checks["sum"] == pytest.approx(float(grid.values.sum(dtype=np.float64)), abs=1e-5 * largest)
    assert checks["error"] == abs(checks["sum"] - checks[whole]) <= limit * largest
    rest = grid.rows.labels.index("rounding")
    assert np.abs(grid.values[rest]).max() <= limit * largest
    assert np.abs(grid.values[:, rest]).max() <= limit * largest


@pytest.mark.parametrize("unit", get_args(Unit))
@pytest.mark.parametrize(("query", "key"), [(5, 2), (4, 4), (3, 0)])
def test_against_float64(pair: Pair, unit: Unit, query: int, key: int) -> None:
    want, run = pair.want, pair.desk.run(*IDS)
    head, norm, stream = want.heads[LAYER][HEAD], want.norms[LAYER], pair.run.stream[LAYER]
    before = parts_of(pair, unit, LAYER)

    def side(at: int, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Each part's share of q or k there, then the bias."""
        out = []
        for value in before.values():
            x = value[at] - value[at].mean() if norm.kind == "LayerNorm" else value[at]
            out.append(x / norm.scale(stream[at : at + 1])[0] * norm.w @ W)
        out.append(norm.b @ W + b)
        vectors = np.stack(out)
        return vectors if want.rope is None else want.rope(vectors, np.full(len(vectors), at))

    keys = [side(at, head.W_K, head.b_K) for at in range(query + 1)]
    pairs = side(query, head.W_Q, head.b_Q) @ keys[key].T / want.attn_scale
    grid = pair.desk.get(ScoreParts(run, LAYER, HEAD, query, key, unit))
    assert grid.rows.labels == grid.cols.labels == (*before, "rounding", "bias")
    shown = [i for i, label in enumerate(grid.rows.labels) if label != "rounding"]
    assert error(grid.values[np.ix_(shown, shown)], pairs) < 1e-5
    scores, pattern = pair.run.scores[LAYER][HEAD][query], pair.run.patterns[LAYER][HEAD][query]
    assert grid.header.checks["score"] == pytest.approx(scores[key], abs=1e-5)
    adds_up(grid, 1e-5)

    # Less another key, and less the mean of all keys by the query's attention.
    mean = sum(pattern[at] * keys[at] for at in range(query + 1))
    seen = float(pattern[: query + 1] @ scores[: query + 1])
    for against, taken, value in ((1, keys[1], scores[1]), ("mean", mean, seen)):
        less = pair.desk.get(ScoreParts(run, LAYER, HEAD, query, key, unit, against))
        assert less.rows.labels == less.cols.labels == grid.rows.labels
        want_less = pairs - side(query, head.W_Q, head.b_Q) @ taken.T / want.attn_scale
        assert error(less.values[np.ix_(shown, shown)], want_less) < 1e-5
        assert less.header.checks["value"] == pytest.approx(scores[key] - value, abs=1e-5)
        adds_up(less, 1e-5, float(np.abs(scores[: query + 1]).max()))
        assert want.rope is not None or np.abs(less.values[:, -1]).max() < 1e-5, "all keys share their bias"


def test_what_is_said(pair: Pair) -> None:
    run = pair.desk.run(*IDS)
    grid = pair.desk.get(ScoreParts(run, LAYER, HEAD, 5, 1))
    header = grid.header
    assert (header.view, header.head) == ("score-parts", "L1H2")
    assert "the query ·France (5)" in header.explanation
    assert "the key ·capital (1)" in header.explanation
    assert {"query": 5, "key": 1, "unit": "head"}.items() <= header.convention.items()
    assert header.checks["score"] == pytest.approx(pair.desk.get(Pattern(run, LAYER, HEAD, "scores")).values[5, 1])


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", [name for name in EVERY if name != "olmo2"])
def test_sums_on_every_architecture(name: str, dtype: str, desk_of: Callable[[str, str], Desk]) -> None:
    """Through query/key norms, the model's own rotation at the real positions, its own scale, before a soft cap."""
    desk = desk_of(name, dtype)
    run = desk.run(*PROMPT)
    for layer, head in product(range(2), range(4)):
        scores = desk.get(Pattern(run, layer, head, "scores")).values
        score = float(np.nanmax(np.abs(scores))) if dtype == "bfloat16" else 0.0
        for (query, key), unit in product(((9, 7), (4, 0), (3, 3)), get_args(Unit)):
            grid = desk.get(ScoreParts(run, layer, head, query, key, unit))
            adds_up(grid, LIMITS[dtype], score)


def test_before_the_soft_cap(desk_of: Callable[[str], Desk]) -> None:
    desk = desk_of("gemma2")
    grid = desk.get(ScoreParts(desk.run(*PROMPT), 1, 1, 5, 3))
    capped = desk.get(Pattern(desk.run(*PROMPT), 1, 1, "scores")).values[5, 3]
    assert 3 * np.tanh(grid.header.checks["score"] / 3) == pytest.approx(capped, abs=1e-5)
    assert "before the soft cap of 3" in str(grid.header.details["note"])


def test_induction_head_looks_by_what_the_first_head_wrote(induction: Desk) -> None:
    """L1H0 looks from the second A to B because B's L0H0 wrote A there: embedding × L0H0 is the whole score."""
    run = induction.run(3, 8, 1, 12, 5, 3)
    grid = induction.get(ScoreParts(run, 1, 0, 5, 1))
    row, col = grid.rows.labels.index("embed"), grid.cols.labels.index("L0H0")
    assert grid.values[row, col] == pytest.approx(200.0)
    rest = grid.values.copy()
    rest[row, col] = 0
    assert not rest.any()
    assert grid.header.checks["error"] < 1e-3


def test_rows_are_what_the_query_reads(pair: Pair) -> None:
    """The same mathematics as one side alone: names, and no share where there is no score."""
    run = pair.desk.run(*IDS)
    grid = pair.desk.get(ScoreParts(run, LAYER, HEAD, 5, 2))
    assert grid.rows.labels == tuple(row[0] for row in pair.desk.get(HeadInput(run, LAYER, HEAD, 5, "q")).rows)


def test_keys_out_of_sight(pair: Pair, desk_of: Callable[[str], Desk]) -> None:
    with pytest.raises(
        Refusal, match=r"the query ·France \(2\) cannot see the key ·Paris \(3\): it comes later"
    ) as raised:
        pair.desk.get(ScoreParts(pair.desk.run(*IDS), LAYER, HEAD, 2, 3))
    assert raised.value.hint
    mistral = desk_of("mistral")
    with pytest.raises(Refusal, match="out of the head's window"):
        mistral.get(ScoreParts(mistral.run(*PROMPT), 0, 0, 9, 1))
    gemma = desk_of("gemma2")
    with pytest.raises(Refusal, match="out of the head's window"):
        gemma.get(ScoreParts(gemma.run(*PROMPT), 0, 0, 9, 1))
    gemma.get(ScoreParts(gemma.run(*PROMPT), 1, 0, 9, 1))


def test_refusals(pair: Pair, desk_of: Callable[[str], Desk]) -> None:
    olmo = desk_of("olmo2")
    with pytest.raises(Refusal, match="all heads at once"):
        olmo.get(ScoreParts(olmo.run(*PROMPT), 1, 1, 3, 2))
    for job, sentence in (
        (ScoreParts(pair.desk.run(*IDS), 2, 0, 1, 1), "L2H0 does not exist"),
        (ScoreParts(pair.desk.run(*IDS), 1, 0, 7, 1), "Position 7 is not"),
    ):
        with pytest.raises(Refusal, match=sentence):
            pair.desk.get(job)
