"""A changed model over a file of prompts and on random tokens, against the same changes made by hand in the float64
reference, prompt after prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.circuits.conftest import IDS, Pair
from tests.circuits.desk import Desk, error
from tests.circuits.reference import Array, Pass
from tests.circuits.test_scores import every_head, rows_read
from tui.circuits.errors import Refusal
from tui.engine.jobs import (
    Ablation,
    AddVector,
    Attribution,
    AttributionOver,
    Change,
    Contexts,
    CutEdge,
    HeadScores,
    LensOver,
    Pattern,
    PatternOver,
    Prompts,
    Repeats,
    Run,
    SteeringDirection,
    Target,
    Unchanged,
    interventions_of,
)

TEXTS = (IDS, (70, 259, 257, 65), (260, 3, 259, 70, 257, 65, 259), (9, 8, 259, 7, 6))
ANSWER = Target((70,), (65,))
GONE = Ablation("L0H2")


def file_of(desk: Desk, *changes: Change, target: Target | None = ANSWER) -> Prompts:
    runs = tuple(desk.run(*ids) for ids in TEXTS)
    return Prompts("four", "four.txt", runs, (target,) * 4, ("some text",) * 4, changes=changes)


def without(name: str, layer: int, head: int, value: Array) -> Array:
    return 0 * value if (name, layer, head) == ("z", 0, 2) else value


def passes(pair: Pair, change: Callable[[str, int, int, Array], Array] = without) -> list[Pass]:
    return [pair.want.forward(list(ids), change) for ids in TEXTS]


def test_the_pattern_over_a_file_is_that_of_the_changed_model(pair: Pair) -> None:
    rows = np.stack([run.patterns[1][3][-4:, -4:] for run in passes(pair)])
    for statistic, want in (("mean", rows.mean(0)), ("spread", rows.std(0))):
        got = pair.desk.get(PatternOver(pair.desk.key, file_of(pair.desk, GONE), 1, 3, statistic))  # type: ignore[arg-type]
        seen = np.tril(np.ones((4, 4), dtype=bool))
        assert np.abs(got.values[seen] - want[seen]).max() < 1e-5
        assert got.header.convention["changed"] == "L0H2 zero"
    clean = pair.desk.get(PatternOver(pair.desk.key, file_of(pair.desk), 1, 3))
    assert error(got.values, clean.values) > 1e-3
    assert "changed" not in clean.header.convention


def test_the_lens_over_a_file_is_that_of_the_changed_model(pair: Pair) -> None:
    table = pair.desk.get(LensOver(pair.desk.key, file_of(pair.desk, GONE)))
    at = table.columns.index("probability")
    for row, state in enumerate([0, 1, 2]):
        logits = [pair.want.final(run.stream[state][-1:])[0] @ pair.want.W_U for run in passes(pair)]
        chances = [np.exp(line - line.max())[70] / np.exp(line - line.max()).sum() for line in logits]
        assert table.rows[row][at : at + 2] == pytest.approx((np.mean(chances), np.std(chances)), rel=1e-4)


def test_attribution_over_a_file_is_that_of_the_changed_model(pair: Pair) -> None:
    grid = pair.desk.get(AttributionOver(pair.desk.key, file_of(pair.desk, GONE)))
    values = [run.logits[-1][70] - run.logits[-1][65] for run in passes(pair)]
    assert grid.header.checks["value"] == pytest.approx(np.mean(values), rel=1e-4)
    assert grid.header.details["spread of the value"] == pytest.approx(np.std(values), rel=1e-4)
    assert grid.values[grid.rows.labels.index("L0H2")].tolist() == [0.0, 0.0]
    one_by_one = [
        pair.desk.get(Attribution(replace(run, interventions=(GONE,)), -1, ANSWER)).values[:, 0]
        for run in file_of(pair.desk).runs
    ]
    assert error(grid.values[:, 0], np.mean(one_by_one, 0, dtype=np.float64)) < 1e-6


def test_the_likeliest_token_stays_that_of_the_clean_model(pair: Pair) -> None:
    prompts = file_of(pair.desk, Ablation("L0"), Ablation("L1"), target=None)
    grid = pair.desk.get(AttributionOver(pair.desk.key, prompts))
    clean = [run.logits[-1].argmax() for run in passes(pair, lambda name, layer, head, value: value)]

    def gone(name: str, layer: int, head: int, value: Array) -> Array:
        return 0 * value if name in ("z", "mlp") else value

    want = [run.logits[-1][token] - run.logits[-1].mean() for run, token in zip(passes(pair, gone), clean, strict=True)]
    assert grid.header.checks["value"] == pytest.approx(np.mean(want), rel=1e-4, abs=1e-5)


def test_where_the_changed_head_looks(pair: Pair) -> None:
    table = pair.desk.get(Contexts(pair.desk.key, file_of(pair.desk, GONE), 1, 3, 259, 3))
    found = [
        (run.patterns[1][3][query, key], number, query, key)
        for number, (run, ids) in enumerate(zip(passes(pair), TEXTS, strict=True))
        for key, token in enumerate(ids) if token == 259
        for query in range(key, len(ids))
    ]  # fmt: skip
    for row, want in zip(table.rows, sorted(found, reverse=True), strict=False):
        assert row[0] == pytest.approx(want[0], abs=1e-5)


def test_scores_of_the_heads_of_the_changed_model(pair: Pair) -> None:
    desk = pair.desk
    job = HeadScores(desk.key, Repeats(rows=3, length=5), (GONE,))
    read = rows_read(desk, job)
    assert all(run.interventions == (GONE,) for run in read)
    for on, rows in (
        (Run(desk.key, IDS, False, (GONE,)), [IDS]),
        (file_of(desk, GONE), TEXTS),
        (job, [run.ids for run in read]),
    ):
        grid = desk.get(on if isinstance(on, HeadScores) else HeadScores(desk.key, on))
        bos = isinstance(on, HeadScores) and read[0].bos
        changed = type(pair)(pair.name, desk, _Changed(pair), pair.run)  # type: ignore[arg-type]
        np.testing.assert_allclose(grid.values, every_head(changed, [(ids, bos) for ids in rows]), atol=1e-5)
        assert grid.header.convention["changed"] == "L0H2 zero"


class _Changed:
    """The reference without that head."""

    def __init__(self, pair: Pair) -> None:
        self.forward = lambda ids: pair.want.forward(ids, without)


def test_nothing_changed_differs_by_nothing(pair: Pair) -> None:
    """What differences are taken from is run as the changed model is."""
    desk = pair.desk
    late = Ablation("L1H1")
    for job in (
        lambda made: PatternOver(desk.key, made, 1, 3),
        lambda made: PatternOver(desk.key, made, 0, 1, "spread"),
    ):
        changed, base = (desk.get(job(file_of(desk, one))) for one in (late, Unchanged((late,))))
        assert np.array_equal(changed.values, base.values, equal_nan=True)
    silent = Ablation("L1H1", "noise", amount=0.0, reference=file_of(desk))
    lens = [desk.get(LensOver(desk.key, file_of(desk, one))) for one in (silent, Unchanged((silent,)))]
    assert lens[0].rows == lens[1].rows, "noise with σ 0 changes nothing, bit for bit"


def test_positions_count_from_the_end_of_each_prompt(pair: Pair) -> None:
    def last(name: str, layer: int, head: int, value: Array) -> Array:
        if (name, layer, head) == ("z", 0, 2):
            value = value.copy()
            value[-1] = 0
        return value

    grid = pair.desk.get(AttributionOver(pair.desk.key, file_of(pair.desk, Ablation("L0H2", positions=(-1,)))))
    values = [run.logits[-1][70] - run.logits[-1][65] for run in passes(pair, last)]
    assert grid.header.checks["value"] == pytest.approx(np.mean(values), rel=1e-4)


def test_an_added_vector_is_as_long_as_each_prompt_s_own_stream(pair: Pair) -> None:
    direction = np.linspace(-1, 1, pair.want.W_E.shape[1])
    steer = AddVector(1, SteeringDirection("d", "given", numbers=tuple(direction.tolist())), 2.0)

    def pushed(name: str, layer: int, head: int, value: Array) -> Array:
        if (name, layer) != ("stream", 1):
            return value
        return value + 2.0 * direction / np.linalg.norm(direction) * np.linalg.norm(value, axis=1).mean()

    grid = pair.desk.get(AttributionOver(pair.desk.key, file_of(pair.desk, steer)))
    values = [run.logits[-1][70] - run.logits[-1][65] for run in passes(pair, pushed)]
    assert grid.header.checks["value"] == pytest.approx(np.mean(values), rel=1e-4)


@pytest.mark.parametrize("change", [Ablation("L0H2", positions=(5,)), CutEdge("L0H2", 5, 1)], ids=str)
def test_a_position_that_one_prompt_lacks_is_said_with_the_prompt(pair: Pair, change: Change) -> None:
    key, prompts = pair.desk.key, file_of(pair.desk, change)
    for job in (PatternOver(key, prompts, 0, 0), LensOver(key, prompts)):
        with pytest.raises(Refusal, match=r"Prompt 2 of four.txt \(“some text”\): Position 5 is not in") as said:
            pair.desk.get(job)
        assert "d shows the clean model" in said.value.hint


def test_what_a_job_is_changed_by(pair: Pair) -> None:
    desk = pair.desk
    run = replace(desk.run(*IDS), interventions=(GONE,))
    for job in (
        PatternOver(desk.key, file_of(desk, GONE), 0, 0), HeadScores(desk.key, file_of(desk, GONE)), Pattern(run, 0, 0),
        HeadScores(desk.key, run), HeadScores(desk.key, Repeats(), (GONE,)),
    ):  # fmt: skip
        assert interventions_of(job) == (GONE,)
    assert interventions_of(LensOver(desk.key, file_of(desk))) == ()
