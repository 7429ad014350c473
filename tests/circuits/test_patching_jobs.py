"""Grids of patches as jobs: estimate first, exact batch by batch, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.circuits.conftest import EVERY, IDS
from tests.circuits.conftest import Pair as Models
from tests.circuits.desk import Desk
from tui.circuits.errors import Refusal
from tui.engine.jobs import (
    Ablation,
    PatchedCells,
    PatchedPair,
    Patching,
    PatchingEstimate,
    PatchingGrid,
    PatchingOver,
    PreparePrompts,
    PromptRow,
    Target,
)
from tui.engine.jobs.parts import Forward
from tui.results import Grid

OTHER = (65, 257, 259, 257, 70, 65, 3)
TARGET = Target((257, 259), (260,))


def job(desk: Desk, kind: type[Patching] = PatchingGrid, **changes: Any) -> Any:
    made = kind(desk.run(*OTHER), desk.run(*IDS), TARGET)
    return replace(made, **changes)


def metric(desk: Desk, *ids: int, **changes: Any) -> float:
    run = replace(desk.run(*ids), **changes)
    logits = desk.get(Forward(run)).logits[-1]
    return float(logits[list(TARGET.answers)].mean() - logits[list(TARGET.distractors)].mean())


@pytest.mark.parametrize(
    ("site", "by", "shape", "axes"),
    [
        ("z", "head", (2, 4), ("layer", "head")), ("q", "head", (2, 4), ("layer", "head")),
        ("pattern", "head-position", (8, 7), ("head", "position")),
        ("resid_pre", "position", (2, 7), ("layer", "position")),
        ("mlp_out", "position", (2, 7), ("layer", "position")),
    ],
)  # fmt: skip
def test_grids(pair: Models, site: str, by: str, shape: tuple[int, int], axes: tuple[str, str]) -> None:
    grid: Grid = pair.desk.get(job(pair.desk, site=site, by=by))
    assert (grid.values.shape, (grid.rows.name, grid.cols.name)) == (shape, axes)
    assert np.isfinite(grid.values).all()
    assert grid.text is None
    assert not grid.header.partial
    assert grid.header.details["exact"] == f"{shape[0] * shape[1]} of {shape[0] * shape[1]}"
    said = {"site": site, "by": by, "metric": "logit difference", "toward": "denoise"}
    assert said.items() <= grid.header.convention.items()


def test_a_cell_is_the_share_that_an_intervention_brings_back(pair: Models) -> None:
    """The same change as a run of its own, by another path."""
    from tui.engine.jobs import Patch

    desk = pair.desk
    clean, corrupted = metric(desk, *OTHER), metric(desk, *IDS)
    grid: Grid = desk.get(job(desk))
    for row, col in ((0, 1), (1, 3)):
        patched = metric(desk, *IDS, interventions=(Patch(f"L{row}H{col}", desk.run(*OTHER)),))
        assert grid.values[row, col] == pytest.approx((patched - corrupted) / (clean - corrupted), abs=1e-4)
    noise: Grid = desk.get(job(desk, toward="noise"))
    patched = metric(desk, *OTHER, interventions=(Patch("L1H2", desk.run(*IDS)),))
    assert noise.values[1, 2] == pytest.approx((patched - corrupted) / (clean - corrupted), abs=1e-4)
    assert noise.values.flatten()[np.abs(noise.values - 1).argmin()] == pytest.approx(1, abs=0.5), "1 is no effect"


def test_everything_is_one_and_nothing_zero(pair: Models) -> None:
    at = (*OTHER[:3], IDS[3], *OTHER[4:])
    desk = pair.desk
    for toward, whole, nothing in (("denoise", 1.0, 0.0), ("noise", 0.0, 1.0)):
        wanted = job(desk, site="resid_pre", by="position", toward=toward, corrupted=desk.run(*at))
        grid: Grid = desk.get(wanted)
        assert grid.values[0, 3] == whole, "bit for bit: it is all that differs"
        assert (grid.values[0, :3] == nothing).all()
        assert grid.cols.labels[3].count("/") == 1, "both tokens, where they differ"


def test_the_estimate_comes_first_and_cells_become_exact(pair: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.engine.patching.PAUSE", -1.0)
    desk, wanted = pair.desk, job(pair.desk, by="head-position", metric="log-probability")
    desk.partials.clear()
    whole: Grid = desk.get(wanted)
    guess: Grid = desk.get(wanted.estimate)
    parts = [grid for grid in desk.partials if isinstance(grid, Grid)]
    first = parts[0]
    assert first.header.partial
    assert first.header.details["exact"] == "0 of 56"
    assert np.array_equal(first.values, guess.values)
    assert first.text is not None
    assert {mark for line in first.text for mark in line} == {"≈"}
    counts = []
    for grid in parts:
        assert grid.text is not None
        exact = np.array([[not mark for mark in line] for line in grid.text])
        assert np.array_equal(grid.values[exact], whole.values[exact])
        assert np.array_equal(grid.values[~exact], guess.values[~exact])
        assert grid.header.details["exact"] == f"{exact.sum()} of 56"
        counts.append(int(exact.sum()))
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    told = float(whole.header.details["correlation with the estimate"] or 0)
    assert told == pytest.approx(np.corrcoef(whole.values.ravel(), guess.values.ravel())[0, 1], abs=1e-6)
    assert guess.header.quantity.endswith("estimate: z, clean into corrupted")


def test_the_strongest_estimates_are_exact_first(pair: Models) -> None:
    wanted = job(pair.desk, site="v", by="head-position", memory=1)
    pair.desk.computed.clear()
    pair.desk.get(wanted)
    guess = pair.desk.get(wanted.estimate).values.ravel()
    count = pair.desk.info.n_key_value_heads
    done = [made for made in pair.desk.computed if isinstance(made, PatchedCells)]
    order = [made.cells[0] for made in done if made.of == wanted.unmeasured]
    strength = [abs(guess[(layer * count + head) * 7 + position]) for layer, head, position in order]
    assert strength == sorted(strength, reverse=True)


def test_a_sweep_that_was_stopped_goes_on(pair: Models) -> None:
    class Stopped(BaseException):
        pass

    wanted, desk = job(pair.desk, site="q", by="head-position", metric="probability"), pair.desk
    before = desk.bench.compute
    done = 0

    def stopping(made: Any, ctx: Any) -> Any:
        nonlocal done
        done += isinstance(made, PatchedCells)
        if done == 3:
            raise Stopped
        return before(made, ctx)

    desk.bench.compute = stopping  # type: ignore[method-assign]
    try:
        with pytest.raises(Stopped):
            desk.get(wanted)
    finally:
        desk.bench.compute = before  # type: ignore[method-assign]
    desk.computed.clear()
    desk.get(wanted)
    batches = [made for made in desk.values if isinstance(made, PatchedCells) and made.of == wanted.unmeasured]
    again = [made for made in desk.computed if isinstance(made, PatchedCells)]
    assert len(again) == len(batches) - 2, "what was there is there"


METRIC_NAMES = ("logit difference", "log-probability", "probability", "rank", "KL")


@pytest.mark.parametrize("toward", ["denoise", "noise"])
def test_every_metric_stands_beside_the_one_that_is_drawn(pair: Models, toward: str) -> None:
    """Against the float64 reference: m of each metric, from the whole logits; and none of them costs a forward pass."""
    desk = pair.desk
    wanted = job(desk, toward=toward)
    base, other = (wanted.base.ids, wanted.other.ids)
    made = pair.want.forward(list(other))

    def of(logits: Any) -> dict[str, float]:
        logs = logits[-1] - np.log(np.exp(logits[-1] - logits[-1].max()).sum()) - logits[-1].max()
        own = (made if toward == "denoise" else pair.want.forward(list(base))).logits[-1]
        clean = own - np.log(np.exp(own - own.max()).sum()) - own.max()
        answer, against = wanted.target.answers, wanted.target.distractors
        chosen = logits[-1][list(answer)]
        return {
            "logit difference": chosen.mean() - logits[-1][list(against)].mean(),
            "log-probability": logs[list(answer)].mean(), "probability": np.exp(logs[list(answer)]).mean(),
            "rank": np.mean([1 + (logits[-1] > value).sum() for value in chosen]),
            "KL": (np.exp(clean) * (clean - logs)).sum(),
        }  # fmt: skip

    ends = [of(pair.want.forward(list(ids)).logits) for ids in (wanted.clean.ids, wanted.corrupted.ids)]
    grid: Grid = desk.get(wanted)
    sizes = {name: max(abs(end[name]) for end in ends) for name in METRIC_NAMES}
    apart = {name for name in METRIC_NAMES[1:] if abs(ends[0][name] - ends[1][name]) > 1e-3 * sizes[name]}
    assert set(grid.beside) == apart
    for layer, head in ((0, 1), (1, 2)):

        def change(point: str, at: int, which: int, value: Any, layer: int = layer, head: int = head) -> Any:
            return made.z[layer, head] if (point, at, which) == ("z", layer, head) else value

        got = of(pair.want.forward(list(base), change).logits)
        for name, values in {"logit difference": grid.values, **grid.beside}.items():
            m = (got[name] - ends[1][name]) / (ends[0][name] - ends[1][name])
            assert values[layer, head] == pytest.approx(m, abs=2e-4), name
    desk.computed.clear()
    for name in grid.beside:
        again: Grid = desk.get(replace(wanted, metric=name))  # type: ignore[arg-type]
        assert np.array_equal(again.values, grid.beside[name], equal_nan=True)
        assert np.array_equal(again.beside["logit difference"], grid.values)
    assert not any(isinstance(made, PatchedCells) for made in desk.computed), "the cells are there already"


def test_a_metric_that_the_prompts_share_is_left_out(pair: Models) -> None:
    grid: Grid = pair.desk.get(job(pair.desk))
    ends = [pair.desk.get(Forward(run)).logits[-1] for run in (job(pair.desk).clean, job(pair.desk).corrupted)]
    aim = job(pair.desk).target.answers
    ranks = [np.mean([1 + int((end > end[a]).sum()) for a in aim]) for end in ends]
    assert ("rank" in grid.beside) == (ranks[0] != ranks[1])


def test_heads_that_share_keys_are_one_node(pair: Models) -> None:
    grid: Grid = pair.desk.get(job(pair.desk, site="k"))
    grouped = pair.name == "llama"
    assert grid.values.shape == (2, 2 if grouped else 4)
    assert grid.cols.name == ("key/value head" if grouped else "head")
    assert grid.cols.labels[0] == ("H0–1" if grouped else "H0")
    assert ("heads" in grid.header.details) == grouped


def test_one_position_and_neurons(pair: Models) -> None:
    desk = pair.desk
    everywhere: Grid = desk.get(job(desk, by="head-position"))
    one: Grid = desk.get(job(desk, position=4))
    assert one.values.ravel() == pytest.approx(everywhere.values[:, 4], abs=1e-5)
    neurons: Grid = desk.get(job(desk, PatchingEstimate, site="neuron", by="neuron", layer=1))
    assert neurons.rows.labels[2] == "L1N2"
    assert neurons.values.shape == (desk.info.d_mlp, 1)
    whole: Grid = desk.get(job(desk, PatchingEstimate, site="mlp_out", by="position"))
    assert float(neurons.values.sum()) == pytest.approx(float(whole.values[1].sum()), abs=1e-3), "they are its sum"


@pytest.mark.parametrize("metric", ["log-probability", "probability", "rank", "KL"])
def test_metrics(pair: Models, metric: str) -> None:
    grid: Grid = pair.desk.get(job(pair.desk, metric=metric, site="resid_pre", by="position"))
    assert np.isfinite(grid.values).all()
    if metric == "rank":
        assert "correlation with the estimate" not in grid.header.details
        with pytest.raises(Refusal, match="no gradient"):
            pair.desk.get(job(pair.desk, PatchingEstimate, metric=metric))
    if metric == "KL":
        with pytest.raises(Refusal, match="gradient zero"):
            pair.desk.get(job(pair.desk, PatchingEstimate, metric=metric, toward="noise"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"corrupted": (65, 257, 260)}, "7 tokens, the corrupted one 3: from position 2 on"),
        ({"corrupted": OTHER}, "Both prompts are the same"),
        ({"site": "resid_pre"}, "it has no heads"),
        ({"by": "position"}, "z is of a head"),
        ({"site": "neuron", "layer": 0}, "one by one"),
        ({"site": "neuron", "by": "neuron", "layer": 9}, "does not exist"),
        ({"position": 7}, "positions are 0 to 6"),
        ({"metric": "loss"}, "loss (is not measured|has no gradient)"),
        ({"target": Target((269,), (269,))}, "no effect to recover"),
    ],
)
def test_what_cannot_be_patched_is_said(pair: Models, changes: dict[str, Any], sentence: str) -> None:
    if "corrupted" in changes:
        changes = {"corrupted": pair.desk.run(*changes["corrupted"])}
    for kind in (PatchingGrid, PatchingEstimate):
        with pytest.raises(Refusal, match=sentence) as refused:
            pair.desk.get(job(pair.desk, kind, **changes))
        assert refused.value.message


def test_only_the_unchanged_model_is_patched(pair: Models) -> None:
    changed = replace(pair.desk.run(*IDS), interventions=(Ablation("L0H0"),))
    with pytest.raises(Refusal, match="unchanged model"):
        pair.desk.get(job(pair.desk, corrupted=changed))


def test_the_model_is_bit_for_bit_what_it_was(pair: Models) -> None:
    before = pair.desk.bench.live.trace(list(IDS)).logits
    pair.desk.get(job(pair.desk, metric="log-probability"))
    assert (pair.desk.bench.live.trace(list(IDS)).logits == before).all()


@pytest.mark.parametrize("name", EVERY)
def test_where_the_plain_forward_does_not_hold_hooks_do(
    desk_of: Callable[[str, str], Desk], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(name, "float32")
    if len({id % desk.info.d_vocab for id in (IDS[3], OTHER[3])}) == 1:
        pytest.skip("too few tokens")
    runs = {side: desk.run(*(id % desk.info.d_vocab for id in ids)) for side, ids in
            (("clean", OTHER), ("corrupted", IDS))}  # fmt: skip
    outputs = desk.bench.ends.W_U.shape[1]
    for site, by in (("z", "head"), ("resid_pre", "position")):
        wanted = PatchingGrid(**runs, target=Target((1 % outputs,), (0,)), site=site, by=by)  # type: ignore[arg-type]
        plain: Grid = desk.bench.compute(wanted, desk)
        capabilities = replace(desk.info.capabilities, plain="Not here.")
        with monkeypatch.context() as patched:
            patched.setattr(desk.bench.live, "info", replace(desk.info, capabilities=capabilities))
            hooked: Grid = desk.bench.compute(replace(wanted, memory=2), desk)
            with pytest.raises(Refusal, match="plain tensors"):
                desk.bench.compute(wanted.estimate, desk)
        assert "slow" in hooked.header.details
        assert hooked.values == pytest.approx(plain.values, abs=2e-3)


# --- files of pairs ---

ROWS = (("the capital of France is", "the capital of Paris is", "Paris"),
        ("the king of London is", "the queen of London is", ""))  # fmt: skip


def over(desk: Desk, rows: tuple[tuple[str, str, str], ...] = ROWS, **changes: Any) -> PatchingOver:
    read = tuple(PromptRow(clean, answer, "", corrupted) for clean, corrupted, answer in rows)
    pairs = desk.get(PreparePrompts(desk.key, "pairs.jsonl", read, False))
    return replace(PatchingOver(desk.key, pairs), **changes)


@pytest.mark.parametrize("toward", ["denoise", "noise"])
def test_over_pairs_it_is_the_ratio_of_means(pair: Models, toward: str) -> None:
    desk, made = pair.desk, over(pair.desk, toward=toward)
    grid: Grid = desk.get(made)
    assert grid.cols.labels == ("ratio of means", "spread", "same sign")
    effects, scales = [], []
    for clean, corrupted, target in zip(made.pairs.runs, made.pairs.corrupted, made.pairs.targets, strict=True):
        if target is None:
            best = [int(desk.get(Forward(run)).logits[-1].argmax()) for run in (clean, corrupted)]
            target = Target((best[0],), (best[1],) if best[1] != best[0] else ())
        single: Grid = desk.get(PatchingGrid(clean, corrupted, target, toward=toward))  # type: ignore[arg-type]
        ends = [float(value) for name, value in single.header.details.items() if "clean" in name or name == "corrupted"]
        scales.append(ends[0] - ends[1])
        effects.append((single.values.ravel() - (toward == "noise")) * scales[-1])
    mean = np.mean(effects, 0)
    want = mean / np.mean(scales) + (toward == "noise")
    assert grid.values[:, 0] == pytest.approx(want, abs=1e-4)
    assert grid.values[:, 1] == pytest.approx(np.std(effects, 0) / abs(np.mean(scales)), abs=1e-4)
    assert grid.values[:, 2] == pytest.approx((np.sign(effects) == np.sign(mean)).mean(0))


def test_over_pairs_it_goes_on_where_it_was_stopped(pair: Models) -> None:
    desk, made = pair.desk, over(pair.desk, site="v")
    first = desk.get(PatchedPair(made, 0))
    desk.computed.clear()
    grid: Grid = desk.get(made)
    assert [job for job in desk.computed if isinstance(job, PatchedPair)] == [PatchedPair(made, 1)]
    assert len(first) == 1 + len(grid.rows)
    assert grid.diverging
    assert not desk.get(replace(made, toward="noise")).diverging
    other = over(desk, ((*ROWS[0],), ("the king of London is", "the king of France is", "")))
    assert other.pairs != made.pairs, "other corrupted prompts are other pairs"


def test_over_pairs_estimated_and_refused(pair: Models) -> None:
    desk = pair.desk
    guess: Grid = desk.get(over(desk, estimate=True, site="mlp_out"))
    assert guess.rows.labels == ("L0.mlp", "L1.mlp")
    assert "estimate" in guess.header.quantity
    bad = (*ROWS, ("the king of London", "the king of London is", ""))
    with pytest.raises(Refusal, match=r"Pair 3 of pairs.jsonl: The clean prompt has"):
        desk.get(over(desk, bad))
    with pytest.raises(Refusal, match="heads or layers"):
        desk.get(over(desk, site="neuron"))
    with pytest.raises(Refusal, match="no gradient"):
        desk.get(over(desk, estimate=True, metric="rank"))
