"""Pattern scores against loops over a float64 forward pass, TransformerLens' head detector, and known answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.circuits.conftest import Pair
from tests.circuits.desk import Desk, error
from tests.models import folders
from tests.models.conftest import ARCHITECTURES
from tui.circuits import scores
from tui.circuits.errors import Refusal
from tui.engine.jobs import (
    Ablation,
    CutEdge,
    HeadScores,
    Patch,
    PreparePrompts,
    PromptRow,
    Prompts,
    Repeats,
    Run,
)
from tui.engine.jobs.parts import Forward, PatternSums
from tui.models.errors import ModelError
from tui.results import Grid

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
BOS = 269
TEXTS = (
    (65, 257, 259, 65, 65, 257, 3, 259, 65),
    (BOS, 65, 257, 259, 65, BOS, 65, 257, 3, 259, 65),
    (65, 257, 259, 70),
    (65,),
    (BOS, 65),
)
"""Tokens that come twice in a row, three times, again; a second BOS; nothing that comes again; nothing to look at."""


def by_definition(rows: Sequence[tuple[Sequence[int], bool, np.ndarray]]) -> list[float]:
    """Destination by destination. ``rows``: ids, whether the first is a BOS, one head's pattern ``[n, n]``."""
    found: dict[str, list[float]] = {name: [] for name in scores.SCORES}
    for ids, bos, pattern in rows:
        s = int(bos)
        for i in range(len(ids)):
            if i > s:
                found["previous token"].append(pattern[i, i - 1])
            if i > 0:
                found["first token"].append(pattern[i, 0])
                found["entropy"].append(-sum(p * np.log(p) for p in pattern[i] if p > 0))
            before = [j for j in range(s, i) if ids[j] == ids[i]]
            if before:
                found["duplicate token"].append(sum(pattern[i, j] for j in before))
                found["induction"].append(sum(pattern[i, j + 1] for j in before))
    return [float(np.mean(values)) if values else np.nan for values in found.values()]


def every_head(pair: Pair, rows: Sequence[tuple[Sequence[int], bool]]) -> list[list[float]]:
    """``[head, score]`` over the reference's own passes."""
    passes = [(ids, bos, pair.want.forward(list(ids))) for ids, bos in rows]
    out = []
    for layer in range(2):
        for head in range(4):
            patterns = [(ids, bos, np.nan_to_num(run.patterns[layer][head])) for ids, bos, run in passes]
            out.append(by_definition(patterns))
    return out


def rows_read(desk: Desk, job: HeadScores) -> list[Run]:
    """The rows of tokens that a job reads."""
    desk.computed.clear()
    desk.get(job)
    return [run for done in desk.computed if isinstance(done, PatternSums) for run in done.runs]


@pytest.mark.parametrize("ids", TEXTS)
def test_a_prompt(pair: Pair, ids: tuple[int, ...]) -> None:
    bos = ids[0] == BOS
    grid = pair.desk.get(HeadScores(pair.desk.key, Run(pair.desk.key, ids, bos)))
    assert grid.rows.labels == tuple(f"L{layer}H{head}" for layer in range(2) for head in range(4))
    assert grid.cols.labels == scores.SCORES
    want = np.array(every_head(pair, [(ids, bos)]))
    assert (np.isnan(grid.values) == np.isnan(want)).all()
    np.testing.assert_allclose(grid.values, want, atol=1e-5)
    again = len(set(ids[bos:])) < len(ids[bos:])
    assert np.isnan(grid.values[:, 1:3]).all() == (not again)
    assert ("repeats" in grid.header.details) == (not again)


@pytest.mark.parametrize("bos", [True, False])
def test_repeated_tokens(pair: Pair, bos: bool) -> None:
    """Destinations by their places in the row: from ``s + L + i`` to ``s + i`` and to ``s + i + 1``."""
    desk, L, s = pair.desk, 6, int(bos)
    job = HeadScores(desk.key, Repeats(seed=3, rows=4, length=L, bos=bos))
    rows = rows_read(desk, job)
    grid = desk.get(job)
    assert len(rows) == 4
    passes = [pair.want.forward(list(run.ids)) for run in rows]
    for run in rows:
        drawn = run.ids[s : s + L]
        assert run.ids == (BOS,) * s + drawn * 2
        assert len(set(drawn)) == L
        assert BOS not in drawn
    for index in range(8):
        layer, head = divmod(index, 4)
        previous, duplicate, induction, first, entropy = [], [], [], [], []
        for run in passes:
            p = np.nan_to_num(run.patterns[layer][head])
            previous += [p[i, i - 1] for i in range(s + 1, s + 2 * L)]
            duplicate += [p[s + L + i, s + i] for i in range(L)]
            induction += [p[s + L + i, s + i + 1] for i in range(L)]
            first += [p[i, 0] for i in range(1, s + 2 * L)]
            entropy += [-(p[i, : i + 1] * np.log(p[i, : i + 1])).sum() for i in range(1, s + 2 * L)]
        want = [np.mean(values) for values in (previous, duplicate, induction, first, entropy)]
        np.testing.assert_allclose(grid.values[index], want, atol=1e-5)
    said = {"seed": 3, "length": L, "rows": 4, "bos": bos, "on": "repeated random tokens"}
    assert said.items() <= grid.header.convention.items()


def test_what_is_drawn(pair: Pair) -> None:
    desk = pair.desk
    rows = rows_read(desk, HeadScores(desk.key, Repeats()))
    assert len({run.ids for run in rows}) == len(rows) == 8
    assert {len(run.ids) for run in rows} == {31}  # a context of 32: L = 15
    assert all(0 <= token < BOS for run in rows for token in run.ids[1:])
    other = rows_read(desk, HeadScores(desk.key, Repeats(seed=1)))
    assert {run.ids for run in rows}.isdisjoint(run.ids for run in other)
    assert rows_read(Desk(Path(desk.key.folder)), HeadScores(desk.key, Repeats())) == rows


def test_the_hand_built_model(induction: Desk) -> None:
    grid = induction.get(HeadScores(induction.key, Repeats()))
    rows = dict(zip(grid.rows.labels, grid.values.tolist(), strict=True))
    assert rows["L0H0"][0] >= 1 - 1e-6
    assert rows["L1H0"][2] >= 1 - 1e-6
    assert max(rows["L1H0"][:2]) < 0.1
    assert rows["L0H0"][4] < 1e-6
    assert grid.header.convention["length"] == 12
    assert grid.header.convention["bos"] is False
    assert grid.header.details["bos"] == "this model has none"


def test_a_small_vocabulary_makes_shorter_rows(tmp_path: Path) -> None:
    desk = Desk(folders.induction_checkpoint(tmp_path, n_tokens=7))
    header = desk.get(HeadScores(desk.key, Repeats())).header
    assert header.convention["length"] == 7
    assert header.details["length"] == "7, not 12: the vocabulary has no more tokens to draw from"


def test_padding_of_the_vocabulary_is_not_drawn(tmp_path: Path) -> None:
    desk = Desk(folders.gpt2_folder(tmp_path, vocab_size=400))
    assert desk.bench.live.tokens.size == 270
    rows = rows_read(desk, HeadScores(desk.key, Repeats(rows=40)))
    assert max(token for run in rows for token in run.ids) == BOS


def prompts(desk: Desk, ids: Sequence[tuple[int, ...]], bos: bool) -> Prompts:
    runs = tuple(Run(desk.key, row, bos) for row in ids)
    return Prompts(repr(runs), "file.txt", runs, (None,) * len(runs), ("",) * len(runs))


def test_a_file_of_prompts(pair: Pair) -> None:
    """Every destination of any prompt counts once, whatever the length of its prompt."""
    desk = pair.desk
    texts = [ids for ids in TEXTS if ids[0] != BOS]
    texts += [texts[0][::-1], texts[2][::-1]]
    grid = desk.get(HeadScores(desk.key, prompts(desk, texts, False)))
    np.testing.assert_allclose(grid.values, every_head(pair, [(ids, False) for ids in texts]), atol=1e-5)
    assert grid.header.convention["prompts"] == "file.txt"
    assert grid.header.convention["count"] == 5


def test_prompts_as_they_are_prepared(pair: Pair) -> None:
    rows = tuple(PromptRow(text) for text in ("the king the king", "Mary John"))
    made = pair.desk.get(PreparePrompts(pair.desk.key, "file.txt", rows, True))
    grid = pair.desk.get(HeadScores(pair.desk.key, made))
    np.testing.assert_allclose(grid.values, every_head(pair, [(run.ids, True) for run in made.runs]), atol=1e-5)
    assert grid.header.convention["bos"] is True


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name: str, desk_of: Callable[..., Desk]) -> None:
    """The patterns that a full pass keeps, windows and grouped keys included."""
    desk = desk_of(name)
    run = desk.run(*((250 + 3 * i) % 8 + 256 for i in range(14)))
    grid = desk.get(HeadScores(desk.key, run))
    trace = desk.get(Forward(run))
    for index in range(8):
        layer, head = divmod(index, 4)
        want = by_definition([(run.ids, False, trace.patterns[layer][head].double().numpy())])
        np.testing.assert_allclose(grid.values[index], want, atol=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral"])
def test_transformer_lens_detects_the_same(name: str, desk_of: Callable[..., Desk]) -> None:
    """Its score is the share of all attention that a kind of cell gets; ours a mean over the destinations that have
    such a cell. Its cells are those of a row without a BOS."""
    from transformer_lens import head_detector

    desk = desk_of(name)
    run = desk.run(*TEXTS[0])
    grid, trace, n = desk.get(HeadScores(desk.key, run)), desk.get(Forward(run)), len(TEXTS[0])
    tokens = torch.tensor([run.ids])
    again = sum(token in run.ids[:i] for i, token in enumerate(run.ids))
    kinds = {"previous_token": n - 1, "duplicate_token": again, "induction": again}
    for column, (kind, count) in enumerate(kinds.items()):
        cells = getattr(head_detector, f"get_{kind}_head_detection_pattern")(tokens)
        for index in range(8):
            pattern = trace.patterns[index // 4][index % 4]
            theirs = head_detector.compute_head_attention_similarity_score(
                pattern, cells, exclude_bos=False, exclude_current_token=False, error_measure="mul"
            )
            assert grid.values[index, column] == pytest.approx(theirs * n / count, abs=1e-5)


def test_results_come_pass_by_pass_and_are_not_made_twice(tmp_path: Path) -> None:
    """Rows share passes of 512 tokens; a job that is stopped goes on behind those done."""
    desk = Desk(folders.gpt2_folder(tmp_path, n_positions=128))
    job = HeadScores(desk.key, Repeats(rows=12))
    desk.progress = stop_at(5)  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        desk.get(job)
    del desk.progress  # type: ignore[method-assign]
    assert len(desk.partials) == 0
    grid = desk.get(job)
    passes = [done for done in desk.computed if isinstance(done, PatternSums)]
    assert [len(done.runs) for done in passes] == [5, 5, 2]
    partials = [partial for partial in desk.partials if isinstance(partial, Grid)]
    assert [partial.header.details["so far"] for partial in partials] == ["5 of 12 rows", "10 of 12 rows"]
    assert all(partial.header.partial and np.isfinite(partial.values).all() for partial in partials)
    assert not grid.header.partial
    apart = HeadScores(desk.key, prompts(desk, [run.ids for done in passes for run in done.runs][:5], True))
    assert error(partials[0].values, desk.get(apart).values) < 1e-6


class Stopped(Exception):
    """What the engine's check raises."""


def stop_at(rows: int) -> Callable[..., None]:
    def progress(stage: str, done: int = 0, total: int = 0) -> None:
        if stage == "pattern scores" and done == rows:
            raise Stopped

    return progress


def test_sixteen_bits(desk_of: Callable[..., Desk]) -> None:
    desk, exact = desk_of("llama", "bfloat16"), desk_of("llama")
    found = desk.get(HeadScores(desk.key, Repeats(length=8))).values
    assert np.abs(found - exact.get(HeadScores(exact.key, Repeats(length=8))).values).max() < 0.05


def test_shares_have_limits_and_nats_have_none(pair: Pair) -> None:
    pair.desk.partials.clear()
    grid = pair.desk.get(HeadScores(pair.desk.key, Repeats(seed=9, rows=40)))
    limits = dict(zip(grid.cols.labels, map(grid.limits_of, range(5)), strict=True))
    assert limits == {**dict.fromkeys(scores.SCORES, (0.0, 1.0)), "entropy": None}
    assert grid.limits is None, "columns of several units have no scale in common"
    assert np.nanmin(grid.values) >= 0
    assert np.nanmax(grid.values[:, :4]) <= 1 + 1e-6
    assert pair.desk.partials
    assert {made.column_limits for made in pair.desk.partials if isinstance(made, Grid)} == {grid.column_limits}


def test_what_is_said(pair: Pair) -> None:
    header = pair.desk.get(HeadScores(pair.desk.key, Repeats())).header
    assert (header.view, header.quantity) == ("head-scores", "pattern scores on repeated random tokens")
    assert header.convention["tokens"] == "drawn without replacement, no special ones"
    assert set(scores.SCORES) <= set(header.details)
    prompt = pair.desk.get(HeadScores(pair.desk.key, pair.desk.run(*TEXTS[0]))).header
    assert prompt.quantity == "pattern scores on the prompt"
    assert "seed" not in prompt.convention


def test_refusals(pair: Pair) -> None:
    desk = pair.desk
    for wrong in (Repeats(rows=0), Repeats(length=0), Repeats(length=-2)):
        with pytest.raises(Refusal, match="a row or more of a token or more"):
            desk.get(HeadScores(desk.key, wrong))
    with pytest.raises(Refusal, match="Twice 16 tokens do not fit") as refused:
        desk.get(HeadScores(desk.key, Repeats(length=16)))
    assert refused.value.hint == "Use a length of 1 to 15."
    assert desk.get(HeadScores(desk.key, Repeats(length=16, bos=False))).header.convention["length"] == 16
    with pytest.raises(Refusal, match="not in the vocabulary"):
        desk.get(HeadScores(desk.key, desk.run(1, 2, 270)))
    with pytest.raises(ModelError, match="at most 32"):
        desk.get(HeadScores(desk.key, desk.run(*range(33))))
    for change in (Ablation("L0H1", positions=(3,)), CutEdge("L0H1", 3, 1), Patch("L0H1", desk.run(1, 2))):
        with pytest.raises(Refusal, match="places of the prompt") as refused:
            desk.get(HeadScores(desk.key, Repeats(), (change,)))
        assert refused.value.hint.startswith("u scores")


def test_the_demo_s_card() -> None:
    """assets/demo/README.md, "Measured" and "What the heads do": other random tokens, the same heads."""
    desk = Desk(DEMO)
    cards = {
        8: {"L2H2": (2, 0.919), "L0H2": (0, 0.991)},
        15: {"L0H0": (1, 0.94), "L0H1": (1, 0.968), "L0H2": (0, 0.989), "L2H2": (2, 0.936), "L2H3": (2, 0.92)}
        | {"L2H0": (2, 0.89), "L3H3": (2, 0.85), "L1H3": (2, 0.79), "L1H2": (2, 0.75), "L1H1": (2, 0.73)},
        31: {"L2H2": (2, 0.914), "L0H2": (0, 0.972)},
    }
    for length, card in cards.items():
        grid = desk.get(HeadScores(desk.key, Repeats(rows=32, length=length)))
        for name, (column, value) in card.items():
            assert grid.values[grid.rows.labels.index(name), column] == pytest.approx(value, abs=0.03), (length, name)
        best = [grid.rows.labels[row] for row in grid.values.argmax(0)]
        assert best[:3] == ["L0H2", "L0H1", "L2H2"]
