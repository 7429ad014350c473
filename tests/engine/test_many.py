"""Many prompts: means and spreads equal those of the prompts one by one; batches, partial results, cancelling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests.circuits.desk import Desk, error
from tests.models import folders
from tests.models.conftest import ARCHITECTURES
from tests.models.test_trace import Cancelled, cancel_after, hooks_left
from tui.circuits.errors import Refusal
from tui.circuits.tensors import Trace
from tui.engine import many
from tui.engine.engine import Engine
from tui.engine.events import Done, Failed, Idle, Partial, Progress
from tui.engine.jobs import (
    Attribution,
    AttributionOver,
    Contexts,
    FindTarget,
    Job,
    Lens,
    LensCurve,
    LensOver,
    NextTokens,
    Open,
    Pattern,
    PatternOver,
    PreparePrompts,
    PromptRow,
    Prompts,
    ReadPrompts,
    Target,
    Unit,
)
from tui.engine.run import Bench
from tui.models.errors import ModelError
from tui.results import Grid, Table

PARIS, LONDON, KING, FRANCE, OF, BOS = 260, 264, 262, 259, 258, 269
ROWS = (
    PromptRow("the capital of France is", "Paris", "London"),
    PromptRow("the king and the queen of England and the king of France", "queen, king", "London"),
    PromptRow(" capital of England is", "London", "#5"),
    PromptRow("the capital of England is", "London", "Paris"),
    PromptRow("John and Mary and the king of France is", "Mary"),
    PromptRow("the king of of France is"),
)
"""Four lengths, one answer missing."""
LIMIT = 3e-6
"""Of the largest number: what a forward pass of several prompts rounds otherwise than one of one, seen in softmaxes."""


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def desk(request: pytest.FixtureRequest, desk_of: Callable[..., Desk]) -> Desk:
    return desk_of(request.param)


@pytest.fixture(scope="module")
def desk_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Desk]:
    made: dict[tuple[str, str], Desk] = {}

    def desk(name: str, dtype: str = "float32") -> Desk:
        if (name, dtype) not in made:
            path = tmp_path_factory.mktemp("many") / name
            made[name, dtype] = Desk(getattr(folders, f"{name}_folder")(path), dtype)
        return made[name, dtype]

    return desk


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward passes of two prompts."""
    monkeypatch.setattr(many, "PROMPTS", 2)


def prepared(desk: Desk, rows: tuple[PromptRow, ...] = ROWS, target: Target | None = None) -> Prompts:
    made: Prompts = desk.get(PreparePrompts(desk.key, "file.jsonl", rows, False, target))
    return made


def fresh(desk: Desk, job: Job) -> Any:
    """Computed now, whatever was computed before."""
    desk.values = {one: value for one, value in desk.values.items() if one != job and not isinstance(one, ReadPrompts)}
    desk.partials.clear()
    return desk.get(job)


def aim(desk: Desk, prompts: Prompts, index: int) -> Target:
    own = prompts.targets[index]
    return own or Target((desk.get(NextTokens(prompts.runs[index], -1, 1)).rows[0][2],))


def attributions(desk: Desk, prompts: Prompts, unit: Unit = "head") -> np.ndarray:
    """``[prompt, part]``."""
    return np.stack(
        [
            desk.get(Attribution(run, -1, aim(desk, prompts, i), unit)).values[:, 0].astype(np.float64)
            for i, run in enumerate(prompts.runs)
        ]
    )


def statistics(values: np.ndarray) -> np.ndarray:
    return np.stack([values.mean(0), values.std(0)], -1)


def test_prompts_are_tokenized_and_targets_found(desk: Desk) -> None:
    prompts = prepared(desk)
    assert len(prompts) == 6
    assert [len(run.ids) for run in prompts.runs] == [7, 14, 4, 7, 12, 8]
    for row, run in zip(ROWS, prompts.runs, strict=True):
        assert run == desk.run(*desk.bench.live.tokens.encode(row.text, False).ids)
    assert prompts.targets == (
        Target((PARIS,), (LONDON,)),
        Target((263, KING), (LONDON,)),
        Target((LONDON,), (5,)),
        Target((LONDON,), (PARIS,)),
        Target((266,)),
        None,
    )
    assert prompts.texts == tuple(row.text for row in ROWS)
    for row, label in zip(ROWS, prompts.labels, strict=True):
        words = f"{row.answer} - {row.distractor}" if row.distractor else row.answer
        assert label == (desk.get(FindTarget(desk.key, words)).label if words else "")
    assert prompts.name == "file.jsonl"
    with_bos = desk.get(PreparePrompts(desk.key, "file.jsonl", ROWS, True, Target((KING,))))
    assert with_bos.targets == (*prompts.targets[:5], Target((KING,)))
    assert all(
        longer.ids == (BOS, *run.ids) and longer.bos for longer, run in zip(with_bos.runs, prompts.runs, strict=True)
    )


def test_a_prompt_that_brings_its_bos_has_no_second(desk: Desk) -> None:
    rows = (PromptRow("<|bos|>the king"), PromptRow("the king"), PromptRow("<|bos|>"))
    made = desk.get(PreparePrompts(desk.key, "file.txt", rows, True))
    assert made.runs[0] == made.runs[1]
    assert made.runs[2].ids == (BOS,)
    assert made.with_own_bos == 2
    assert many.about(made)["bos in the text"] == "2 of 3"
    without = desk.get(PreparePrompts(desk.key, "file.txt", rows, False))
    assert (without.runs[0].ids, without.with_own_bos) == (made.runs[0].ids, 2)
    assert "bos in the text" not in many.about(prepared(desk))


def test_prompts_are_equal_when_all_of_them_is(desk: Desk) -> None:
    prompts = prepared(desk)
    again = fresh(desk, PreparePrompts(desk.key, "file.jsonl", ROWS, False))
    assert again == prompts
    assert hash(again) == hash(prompts)
    changed = [
        PreparePrompts(desk.key, "other.jsonl", ROWS, False),
        PreparePrompts(desk.key, "file.jsonl", ROWS, True),
        PreparePrompts(desk.key, "file.jsonl", ROWS[:5], False),
        PreparePrompts(desk.key, "file.jsonl", ROWS, False, Target((1,))),
        PreparePrompts(desk.key, "file.jsonl", (*ROWS[:5], PromptRow(ROWS[5].text, "king")), False),
        PreparePrompts(desk.key, "file.jsonl", (ROWS[1], ROWS[0], *ROWS[2:]), False),
    ]
    assert len({desk.get(job).key for job in changed} | {prompts.key}) == 7
    assert len(repr(AttributionOver(desk.key, prompts))) < 400


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (PromptRow("x " * 17), "(“x x x x x x x x x x x x x x x x x”): The prompt is 34 tokens long, but"),
        (PromptRow("a b\x1b", "Rome"), '(“a b␛”): "Rome" is 5 tokens: " " "R" "o" "m" "e" (without'),
        (PromptRow("is", "Paris, Rome"), '(“is”): "Rome" is 5 tokens'),
        (PromptRow("is", "Paris", "Rome"), '(“is”): "Rome" is 5 tokens'),
        (PromptRow("is", "", "Paris"), "(“is”): There is no answer before the minus."),
        (PromptRow("is", "Paris", "Paris"), "(“is”): The answer and the distractor are the same."),
        (PromptRow("is", "#270"), "(“is”): Token id 270 does not exist"),
        (PromptRow(""), "(“”): The prompt is empty."),
    ],
)
def test_a_row_that_cannot_be_is_named(desk: Desk, row: PromptRow, message: str) -> None:
    with pytest.raises(ModelError) as raised:
        desk.get(PreparePrompts(desk.key, "file.jsonl", (*ROWS, row, *ROWS), False))
    assert raised.value.message.startswith(f"Prompt 7 of file.jsonl {message}")
    assert raised.value.hint


def test_what_no_row_is_to_blame_for(desk: Desk) -> None:
    with pytest.raises(Refusal, match=r"There is no prompt in file\.jsonl"):
        desk.get(PreparePrompts(desk.key, "file.jsonl", (), False))
    with pytest.raises(Refusal, match="270 is not in the vocabulary"):
        prepared(desk, target=Target((270,)))


@pytest.mark.parametrize("unit", get_args(Unit))
def test_attribution(desk: Desk, unit: Unit, small: None) -> None:
    prompts = prepared(desk)
    grid = fresh(desk, AttributionOver(desk.key, prompts, unit))
    one = desk.get(Attribution(prompts.runs[0], -1, aim(desk, prompts, 0), unit))
    assert (grid.rows, grid.cols.labels, grid.diverging) == (one.rows, ("mean", "spread"), True)
    assert error(grid.values, statistics(attributions(desk, prompts, unit))) < LIMIT
    values = [
        desk.get(Attribution(run, -1, aim(desk, prompts, i), unit)).header.checks["value"]
        for i, run in enumerate(prompts.runs)
    ]
    checks = grid.header.checks
    assert checks["value"] == pytest.approx(np.mean(values), rel=1e-6)
    assert checks["sum"] == pytest.approx(float(grid.values[:, 0].sum(dtype=np.float64)), rel=1e-5)
    assert checks["error"] == abs(checks["sum"] - checks["value"]) < 1e-5
    assert checks["error"] <= grid.header.details["largest error of a prompt"] < 1e-5
    assert grid.header.details["spread of the value"] == pytest.approx(np.std(values), rel=1e-5)


@pytest.mark.parametrize("mids", [False, True])
def test_lens(desk: Desk, mids: bool, small: None) -> None:
    prompts = prepared(desk)
    table = fresh(desk, LensOver(desk.key, prompts, mids))
    measures = []
    for index, run in enumerate(prompts.runs):
        target = aim(desk, prompts, index)
        curves = [desk.get(LensCurve(run, -1, target, kind, mids)) for kind in ("probability", "rank")]
        grids = [desk.get(Lens(run, kind, None, mids)) for kind in ("entropy", "kl")]
        measures.append(
            np.stack(
                [*(next(iter(curve.series.values())) for curve in curves), *(grid.values[:, -1] for grid in grids)], 1
            ).astype(np.float64)
        )
    want = statistics(np.stack(measures))
    assert [row[0] for row in table.rows] == list(desk.get(Lens(prompts.runs[0], mids=mids)).rows.labels)
    assert table.columns == (
        "state", "probability", "probability ±", "rank", "rank ±", "entropy", "entropy ±", "KL", "KL ±",
    )  # fmt: skip
    assert table.bar == "probability"
    assert error([row[1:] for row in table.rows], want.reshape(len(table.rows), 8)) < LIMIT
    assert table.header.checks["max |lens of the last state − logits|"] < 1e-4
    assert table.rows[-1][7] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("statistic", ["mean", "spread"])
@pytest.mark.parametrize("equal", [True, False])
def test_pattern(desk: Desk, statistic: Any, equal: bool, small: None) -> None:
    prompts = prepared(desk, (ROWS[0], ROWS[3], ROWS[0]) if equal else ROWS)
    grid = fresh(desk, PatternOver(desk.key, prompts, 1, 2, statistic))
    m = min(len(run.ids) for run in prompts.runs)
    patterns = np.stack([desk.get(Pattern(run, 1, 2)).values[-m:, -m:].astype(np.float64) for run in prompts.runs])
    want = patterns.mean(0) if statistic == "mean" else patterns.std(0)
    assert error(grid.values, want) < LIMIT
    assert (grid.header.view, grid.header.head, grid.diverging) == ("pattern", "L1H2", False)
    assert (grid.rows.name, grid.cols.name) == ("query position", "key position")
    if equal:
        assert grid.rows.labels == ("0 t", "1 h", "2 e", "3 ·capital", "4 ·of", "5", "6 ·is") == grid.cols.labels
        assert grid.header.convention["aligned"] == "position by position"
        assert grid.header.convention["lengths"] == "7 tokens each"
    else:
        assert grid.rows.labels == ("-4", "-3", "-2", "-1")
        assert grid.header.convention["aligned"] == "at the end, over the last 4 positions"
        assert grid.header.convention["lengths"] == "4 to 14 tokens"


def strongest(desk: Desk, prompts: Prompts, layer: int, head: int, token: int) -> list[tuple[float, int, int, int]]:
    cells = []
    for index, run in enumerate(prompts.runs):
        pattern = desk.get(Pattern(run, layer, head)).values
        for key in np.flatnonzero(np.array(run.ids) == token).tolist():
            cells += [(float(pattern[query, key]), index, query, key) for query in range(key, len(run.ids))]
    return sorted(cells, key=lambda cell: (-cell[0], *cell[1:]))


@pytest.mark.parametrize(("token", "k"), [(OF, 5), (FRANCE, 1000), (FRANCE, 1)])
def test_contexts(desk: Desk, token: int, k: int, small: None) -> None:
    prompts = prepared(desk)
    table = fresh(desk, Contexts(desk.key, prompts, 0, 3, token, k))
    want = strongest(desk, prompts, 0, 3, token)
    assert len(table.rows) == min(k, len(want))
    for row, (share, index, query, key) in zip(table.rows, want, strict=False):
        assert row[0] == pytest.approx(share, abs=1e-6)
        assert row[1:5] == (index, query, key, desk.bench.texts((prompts.runs[index].ids[query],))[0])
        assert f"«{desk.bench.texts((token,))[0]}»" in str(row[5])
    assert table.columns == ("attention", "prompt", "query position", "key position", "query", "context")
    assert table.bar == "attention"
    assert table.header.details["prompts with the token"] == len({cell[1] for cell in want})
    assert (table.header.view, table.header.head) == ("contexts", "L0H3")


def test_equal_shares_stand_in_the_order_of_the_file(tmp_path: Path) -> None:
    """The induction model's shares are exactly 1."""
    desk = Desk(folders.induction_checkpoint(tmp_path))
    prompts = prepared(desk, tuple(PromptRow(text) for text in ("c d e a b", "a b c a b", "a b", "b a b a")))
    table = desk.get(Contexts(desk.key, prompts, 0, 0, 0, 3))
    assert [row[:4] for row in table.rows] == [(1.0, 0, 4, 3), (1.0, 1, 0, 0), (1.0, 1, 1, 0)]


@pytest.mark.parametrize(
    ("query", "key", "context"),
    [
        (3, 1, "a«b»cdefgh…"),
        (0, 0, "«a»bcde…"),
        (9, 9, "…fghi«j»"),
        (9, 5, "…«f»ghij"),
        (9, 4, "…«e»fghij"),
        (9, 3, "…«d»…fghij"),
        (9, 0, "«a»…fghij"),
        (5, 0, "«a»bcdefghij"),
        (6, 0, "«a»…cdefghij"),
    ],
)
def test_context(query: int, key: int, context: str) -> None:
    assert many._context("abcdefghij", query, key) == context


def test_no_occurrence_is_said(desk: Desk) -> None:
    with pytest.raises(Refusal) as raised:
        desk.get(Contexts(desk.key, prepared(desk), 0, 0, 7))
    assert raised.value.message == "( is in none of the prompts of file.jsonl."
    assert raised.value.hint


@pytest.mark.parametrize("kind", [PatternOver, Contexts])
def test_a_head_that_does_not_exist(desk: Desk, kind: Any) -> None:
    rest = (FRANCE,) if kind is Contexts else ()
    with pytest.raises(Refusal, match="L2H0 does not exist"):
        desk.get(kind(desk.key, prepared(desk), 2, 0, *rest))


def jobs(desk: Desk, prompts: Prompts) -> tuple[Job, ...]:
    key = desk.key
    return (
        AttributionOver(key, prompts),
        LensOver(key, prompts),
        PatternOver(key, prompts, 1, 0),
        Contexts(key, prompts, 1, 0, OF),
    )


def shown(result: Any) -> Any:
    """The numbers of a result."""
    if isinstance(result, Grid):
        return result.values
    return [[cell for cell in row if not isinstance(cell, str)] for row in result.rows]


def test_batches_are_of_one_length_and_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = prepared(desk)
    sizes = {}
    for name, bound in {"PROMPTS": 1, "TOKENS": 14, "LOGITS": 4 * 270 * 14}.items():
        with monkeypatch.context() as patch:
            patch.setattr(many, name, bound)
            sizes[name] = list(many._batches(prompts, range(6), 270))
    assert sizes["TOKENS"] == sizes["LOGITS"] == [[0, 3], [1], [2], [4], [5]]
    assert sizes["PROMPTS"] == [[0], [3], [1], [2], [4], [5]]
    runs = tuple(desk.run(*[1] * 32) for _ in range(40))
    long = Prompts("", "long", runs, (None,) * 40, ("",) * 40)
    assert [len(batch) for batch in many._batches(long, range(40), 270)] == [16, 16, 8]
    assert [len(batch) for batch in many._batches(long, range(40), 1 << 18)] == [4] * 10
    assert [len(batch) for batch in many._batches(long, range(1), 1 << 40)] == [1]


def test_how_prompts_are_batched_changes_no_number(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = prepared(desk)
    passes: list[int] = []
    traces = desk.bench.live.traces

    def counted(ids: Any, *rest: Any, **options: Any) -> Any:
        passes.append(len(ids))
        return traces(ids, *rest, **options)

    monkeypatch.setattr(desk.bench.live, "traces", counted)
    for job in jobs(desk, prompts):
        passes.clear()
        whole = fresh(desk, job)
        assert passes == [2, 1, 1, 1, 1]
        with monkeypatch.context() as patch:
            patch.setattr(many, "PROMPTS", 1)
            assert error(shown(fresh(desk, job)), shown(whole)) < LIMIT
        assert passes[-6:] == [1] * 6


def test_partial_results_are_of_the_prompts_so_far(desk: Desk) -> None:
    prompts = prepared(desk)
    order = [0, 3, 1, 2, 4, 5]
    for job in jobs(desk, prompts):
        whole = fresh(desk, job)
        partials = list(desk.partials)
        assert [partial.header.details["so far"] for partial in partials] == [f"{n} of 6 prompts" for n in range(2, 6)]
        assert all(partial.header.partial for partial in partials)
        assert not whole.header.partial
        assert "so far" not in whole.header.details
        if isinstance(job, Contexts | PatternOver):
            continue
        for count, partial in enumerate(partials, 2):
            rows = tuple(ROWS[index] for index in order[:count])
            assert error(shown(partial), shown(desk.get(type(job)(desk.key, prepared(desk, rows))))) < LIMIT


def test_a_pattern_so_far_is_cut_as_the_whole(desk: Desk) -> None:
    """Its cells do not change their meaning when a shorter prompt comes."""
    prompts = prepared(desk)
    whole = fresh(desk, PatternOver(desk.key, prompts, 1, 0))
    assert all(partial.rows == whole.rows for partial in desk.partials)
    two = [desk.get(Pattern(prompts.runs[index], 1, 0)).values[-4:, -4:] for index in (0, 3)]
    assert error(desk.partials[0].values, np.mean(two, 0)) < LIMIT


def test_no_prompt_is_kept(desk: Desk) -> None:
    prompts = prepared(desk)
    for job in jobs(desk, prompts):
        desk.values.pop(job, None)
        before = len(desk.computed)
        desk.get(job)
        assert desk.computed[before:][0] == job
        assert all(isinstance(part, ReadPrompts) and part.of == job for part in desk.computed[before + 1 :])
    kept = [value for part, value in desk.values.items() if isinstance(part, ReadPrompts)]
    assert kept
    things = [thing for passed in kept for one in passed for thing in parts_of(one)]
    assert not any(isinstance(thing, torch.Tensor | Trace) for thing in things)


def parts_of(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]


def test_what_is_said(desk: Desk) -> None:
    prompts = prepared(desk)
    said = {"prompts": "file.jsonl", "count": 6, "lengths": "4 to 14 tokens", "bos": False, "dtype": "float32"}
    for job, view in zip(jobs(desk, prompts), ("attribution", "lens", "pattern", "contexts"), strict=True):
        header = desk.get(job).header
        assert header.view == view
        assert said.items() <= header.convention.items()
        assert all((header.quantity, header.formula, header.explanation))
    mixed = desk.get(AttributionOver(desk.key, prompts)).header
    assert mixed.convention["position"] == "last"
    assert mixed.convention["answer"] == "each prompt's own, else its likeliest next token"
    assert mixed.convention["distractor"] == "each prompt's own, where it has one"
    assert str(mixed.details["targets"]).startswith("some have a distractor and some have none")
    assert mixed.explanation == (
        "push toward each prompt's answer, through the final norm's frozen scale; "
        "the means sum to the mean of the prompts' values"
    )
    assert "distractor" not in desk.get(LensOver(desk.key, prompts)).header.convention
    own = desk.get(AttributionOver(desk.key, prepared(desk, ROWS[:4]))).header
    assert own.explanation == (
        "push toward each prompt's answer, away from its distractor, through the final norm's frozen scale; "
        "the means sum to the mean of the logit difference"
    )
    assert own.convention["distractor"] == "each prompt's own"
    assert "targets" not in own.details
    alone = desk.get(AttributionOver(desk.key, prepared(desk, (PromptRow("a"), PromptRow("b c"))))).header
    assert alone.convention["answer"] == "of each prompt its likeliest next token"
    assert alone.explanation.startswith("push toward each prompt's likeliest next token, through")
    one = desk.get(AttributionOver(desk.key, prepared(desk, (PromptRow("a"),), Target((PARIS,), (LONDON,))))).header
    assert (one.convention["answer"], one.convention["distractor"]) == (" Paris", " London")
    assert one.explanation.startswith("push toward ·Paris, away from ·London, through")


@pytest.mark.parametrize("kind", ["attribution", "lens", "pattern", "contexts"])
def test_a_cancel_anywhere_leaves_the_model_as_it_was(desk: Desk, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = dict(zip(("attribution", "lens", "pattern", "contexts"), jobs(desk, prepared(desk)), strict=True))[kind]
    hooks, calls = hooks_left(desk.bench.live), []
    want = fresh(desk, job)
    monkeypatch.setattr(desk, "check", lambda: calls.append(1))
    fresh(desk, job)
    assert len(calls) > 50
    for after in range(0, len(calls), 7):
        monkeypatch.setattr(desk, "check", cancel_after(after))
        with pytest.raises(Cancelled):
            fresh(desk, job)
        assert hooks_left(desk.bench.live) == hooks
    monkeypatch.setattr(desk, "check", lambda: None)
    np.testing.assert_array_equal(shown(fresh(desk, job)), shown(want))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name: str, desk_of: Callable[..., Desk]) -> None:
    """Windows, soft caps, parallel blocks, norms after the sublayers: as one prompt at a time."""
    desk = desk_of(name)
    prompts = listed(desk, (3, 20, 41, 7), (12, 33, 9, 48, 20, 15, 5, 5, 8, 1), (200, 260, 41, 7))
    assert error(desk.get(AttributionOver(desk.key, prompts)).values, statistics(attributions(desk, prompts))) < LIMIT
    chances = [
        next(iter(desk.get(LensCurve(run, -1, aim(desk, prompts, i))).series.values()))
        for i, run in enumerate(prompts.runs)
    ]
    table = desk.get(LensOver(desk.key, prompts))
    assert error([row[1:3] for row in table.rows], statistics(np.stack(chances).astype(np.float64))) < LIMIT
    same = listed(desk, *((first, *[OF] * 11) for first in (3, 20, 41)))
    grid = desk.get(PatternOver(desk.key, same, 0, 1))
    assert error(grid.values, np.mean([desk.get(Pattern(run, 0, 1)).values for run in same.runs], 0)) < LIMIT
    out_of_sight = 21 if name in ("mistral", "gemma2", "gemma3") else 0
    assert int(np.isnan(grid.values).sum()) == 66 + out_of_sight


def listed(desk: Desk, *prompts: tuple[int, ...]) -> Prompts:
    """Prompts by their ids: an architecture's own tokenizer class may not know the words."""
    runs = tuple(desk.run(*ids) for ids in prompts)
    aims: tuple[Target | None, ...] = (Target((5,)), None, Target((6, 7), (8,)))
    return Prompts(repr(prompts), "listed", runs, aims, ("",) * len(runs))


@pytest.mark.parametrize("name", ["gpt2", "llama", "neox", "gemma2"])
def test_bfloat16(name: str, desk_of: Callable[..., Desk]) -> None:
    desk = desk_of(name, "bfloat16")
    prompts = prepared(desk, ROWS[:5])
    grid = desk.get(AttributionOver(desk.key, prompts))
    largest = float(np.abs(grid.values).max())
    assert grid.header.checks["error"] < 3e-2 * largest
    assert error(grid.values, statistics(attributions(desk, prompts))) < 3e-2
    assert all(np.isfinite(row[1:]).all() for row in desk.get(LensOver(desk.key, prompts)).rows)
    grid = desk.get(PatternOver(desk.key, prompts, 1, 1))
    patterns = [desk.get(Pattern(run, 1, 1)).values[-4:, -4:] for run in prompts.runs]
    assert error(grid.values, np.mean(patterns, 0)) < 3e-2


def test_no_states_between_in_parallel_blocks(desk_of: Callable[..., Desk]) -> None:
    desk = desk_of("neox")
    with pytest.raises(Refusal, match="parallel"):
        desk.get(LensOver(desk.key, prepared(desk), mids=True))


def test_soft_capped_logits_are_named(desk_of: Callable[..., Desk]) -> None:
    desk = desk_of("gemma2")
    header = desk.get(AttributionOver(desk.key, prepared(desk))).header
    assert "soft-capped" in str(header.details["note"])
    assert "targets" in header.details


class Told:
    """A real engine on a small GPT-2 and what it said."""

    def __init__(self, folder: Path) -> None:
        self.events: list[Any] = []
        self.bench = Bench()
        self.engine = Engine(self.events.append, lambda: self.bench)
        self.engine.start()
        self.info = self.wait(Open(str(folder), device="cpu"))

    def wait(self, job: Job) -> Any:
        self.engine.want([job])
        self.until(lambda: self.engine.cached(job) is not None)
        return self.engine.cached(job)

    def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self.events[-3:]
            assert not any(isinstance(event, Failed) for event in self.events), self.events[-1]
            time.sleep(0.002)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    made = Told(folders.gpt2_folder(tmp_path / "gpt2"))
    yield made
    assert made.engine.close(5.0)


def test_in_the_engine(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress counts up, partial results come on the way, a cancel in the middle leaves no hook behind."""
    rows = tuple(PromptRow(f"the capital of {'a' * (n % 20)} is") for n in range(400))
    prompts = told.wait(PreparePrompts(told.info.key, "file.txt", rows, False))
    hooks, traces = hooks_left(told.bench.live), told.bench.live.traces
    passes, third, go_on = [0], threading.Event(), threading.Event()

    def paused(*args: Any, **options: Any) -> Any:
        passes[0] += 1
        if passes[0] == 3:
            third.set()
            assert go_on.wait(30)
        return traces(*args, **options)

    monkeypatch.setattr(told.bench.live, "traces", paused)
    job = LensOver(told.info.key, prompts, mids=True)
    told.events.clear()
    told.engine.want([job])
    assert third.wait(30)
    told.engine.want([])
    go_on.set()
    told.until(lambda: any(isinstance(event, Idle) for event in told.events))
    assert passes == [3]
    assert not any(isinstance(event, Done) for event in told.events)
    assert hooks_left(told.bench.live) == hooks
    table = told.wait(job)
    assert isinstance(table, Table)
    assert not table.header.partial
    progress = [event for event in told.events if isinstance(event, Progress)]
    assert {(event.stage, event.total) for event in progress} == {("prompts", 400)}
    partial = next(event for event in told.events if isinstance(event, Partial))
    assert (partial.done, partial.total) == (20, 400)
    assert partial.result.header.details["so far"] == "20 of 400 prompts"
    assert torch.isfinite(torch.tensor([row[1:] for row in table.rows])).all()
