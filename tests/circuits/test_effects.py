"""Effects of ablations against the same changes made by hand in the float64 reference, one prompt at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.circuits.conftest import EVERY, IDS, Pair
from tests.circuits.desk import Desk
from tests.circuits.reference import Array, Pass, softmax
from tui.circuits.errors import Refusal
from tui.circuits.metrics import METRICS
from tui.engine import ablations, effects
from tui.engine.bench import Cancelled
from tui.engine.jobs import (
    Ablation,
    AblationTable,
    Attribution,
    Effects,
    NextTokens,
    PreparePrompts,
    PromptRow,
    Prompts,
    Run,
    Target,
)
from tui.engine.jobs.parts import Forward
from tui.results import Grid, Table

TARGET = Target((257, 70), (259,))
ROWS = (" king of France", " Mary is queen", " the capital of London is Paris", " queen is Mary", " king is John",
        " Paris is the capital of France", " the the the")  # fmt: skip
"""Five of three tokens, two of six."""
Change = Callable[[str, int, int, Array], Array]
HOWS: tuple[Any, ...] = ("zero", "zero, value biases folded", "mean", "scale")


def prompts(desk: Desk, rows: tuple[str, ...] = ROWS, target: Target | None = TARGET) -> Prompts:
    made: Prompts = desk.get(PreparePrompts(desk.key, "rows.txt", tuple(map(PromptRow, rows)), False, target))
    return made


def metrics(logits: Array, clean: Array, target: Target = TARGET) -> Array:
    """Every metric of ``[outputs]`` by its formula."""
    answers, chance, own = list(target.answers), softmax(logits), softmax(clean)
    others = logits[list(target.distractors)] if target.distractors else logits
    return np.array([
        logits[answers].mean() - others.mean(), np.log(chance[answers]).mean(), chance[answers].mean(),
        np.mean([1 + (logits > logits[answer]).sum() for answer in answers]),
        (own * (np.log(own) - np.log(chance))).sum(),
    ])  # fmt: skip


def mean_of(pair: Pair, rows: Prompts, part: str, length: int) -> Array:
    """A part's mean over a reference: position by position where all rows have the length."""
    layer, head = int(part[1]), None if part.endswith(".mlp") else int(part[3:])
    passes = [pair.want.forward(list(run.ids)) for run in rows.runs]
    values = [one.mlp[layer] if head is None else one.z[layer, head] for one in passes]
    if {len(run.ids) for run in rows.runs} == {length}:
        out: Array = np.mean(values, 0)
    else:
        out = np.concatenate(values).mean(0)
    return out


def changed(pair: Pair, part: str, how: str, run: Run, reference: Prompts | None = None, amount: float = 1.0) -> Change:
    """An ablation as a change of the reference's activations."""
    layer, mlp = int(part[1]), part.endswith(".mlp")
    head = -1 if mlp else int(part[3:])
    bias = 0.0 if mlp else pair.want.processed(layer, head).b_V

    def change(point: str, one: int, index: int, value: Array) -> Array:
        if (point, one, index) != ("mlp" if mlp else "z", layer, head):
            return value
        if how == "mean":
            assert reference is not None
            return 0 * value + mean_of(pair, reference, part, len(run.ids))
        return {"zero": 0 * value, "zero, value biases folded": 0 * value + bias, "scale": amount * value}[how]

    return change


def both(*changes: Change) -> Change:
    def change(point: str, layer: int, head: int, value: Array) -> Array:
        for one in changes:
            value = one(point, layer, head, value)
        return value

    return change


def parts() -> list[str]:
    return [f"L{layer}{kind}" for layer in range(2) for kind in ("H0", "H1", "H2", "H3", ".mlp")]


def close(got: Any, want: Any, size: float = 1.0) -> None:
    np.testing.assert_allclose(got, want, atol=3e-5 * size, rtol=3e-5)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("at", [6, 3])
def test_each_part_alone(pair: Pair, how: Any, at: int) -> None:
    rows, run = prompts(pair.desk), pair.desk.run(*IDS)
    grid = pair.desk.get(Effects(run, at, TARGET, how, amount=-0.5, reference=rows if how == "mean" else None))
    assert grid.rows.labels == tuple(parts())
    assert grid.cols.labels == (*METRICS, "predicted", "scale")
    clean = pair.run.logits[at]
    size = np.abs(clean).max()
    for part, row in zip(parts(), grid.values, strict=True):
        own = pair.want.forward(list(IDS), changed(pair, part, how, run, rows, -0.5))
        close(row[:5], metrics(own.logits[at], clean) - metrics(clean, clean), size)
        close(row[6], row[0] - frozen(pair, own, at), size)


@pytest.mark.parametrize("how", HOWS)
def test_the_loss_on_a_text_after_the_prompt(pair: Pair, how: Any) -> None:
    after, rows = (66, 258, 4), prompts(pair.desk)
    whole = [*IDS, *after]

    def loss(logits: Array) -> float:
        chances = np.array([softmax(row) for row in logits[len(IDS) - 1 : -1]])
        return -float(np.log(chances[range(len(after)), list(after)]).mean())

    reference = rows if how == "mean" else None
    job = Effects(pair.desk.run(*IDS), 3, TARGET, how, amount=-0.5, reference=reference, continuation=after)
    grid = pair.desk.get(job)
    assert grid.cols.labels == (*METRICS, "loss", "predicted", "scale")
    without = pair.desk.get(replace(job, continuation=()))
    np.testing.assert_array_equal(np.delete(grid.values, 5, 1), without.values)
    clean = loss(pair.want.forward(whole).logits)
    for part, value in zip(parts(), grid.values[:, 5], strict=True):
        own = pair.want.forward(whole, changed(pair, part, how, job.longer.run, rows, -0.5))
        close(value, loss(own.logits) - clean)


def frozen(pair: Pair, own: Pass, at: int) -> float:
    """The change of the logit difference through the clean run's final norm."""
    apart, norm = own.stream[-1][at] - pair.run.stream[-1][at], pair.want.final
    if norm.kind == "LayerNorm":
        apart = apart - apart.mean()
    logits = apart / norm.scale(pair.run.stream[-1][at]) * norm.w @ pair.want.W_U
    return float(logits[list(TARGET.answers)].mean() - logits[list(TARGET.distractors)].mean())


@pytest.mark.parametrize("target", [TARGET, Target((257,))])
def test_what_is_predicted_of_zero_is_the_attribution_taken_away(pair: Pair, target: Target) -> None:
    run = pair.desk.run(*IDS)
    grid = pair.desk.get(Effects(run, 6, target))
    own = pair.desk.get(Attribution(run, 6, target, "head"))
    named = dict(zip(own.rows.labels, own.values[:, 0], strict=True))
    close(grid.values[:, 5], [-named[part] for part in grid.rows.labels])
    # What nothing reads but the unembedding does just that, up to the norm's scale.
    last = grid.rows.labels.index("L1.mlp")
    close(grid.values[last, 0] - grid.values[last, 6], grid.values[last, 5])


def test_layers_come_one_by_one_and_it_can_be_stopped(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, job = pair.desk, Effects(pair.desk.run(*IDS), 5, TARGET)
    desk.partials.clear()
    want = desk.get(job)
    (part,) = desk.partials
    assert isinstance(part, Grid)
    assert part.header.partial
    assert np.isnan(part.values[:5]).all()
    assert np.array_equal(part.values[5:], want.values[5:])
    assert not want.header.partial

    def cancelled() -> None:
        raise Cancelled

    with monkeypatch.context() as patched:
        patched.setattr(desk, "check", cancelled)
        with pytest.raises(Cancelled):
            desk.bench.compute(job, desk)
    assert np.array_equal(desk.bench.compute(job, desk).values, want.values)


def test_small_memory_is_small_batches_with_the_same_numbers(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    run = pair.desk.run(*IDS)
    want = pair.desk.get(Effects(run, 6, TARGET))
    monkeypatch.setattr(effects, "bytes_of", lambda n, bench: 2**20 // 2)
    close(pair.desk.bench.compute(Effects(run, 6, TARGET, memory=1), pair.desk).values, want.values, 10)


def test_parts_of_a_run_that_is_changed_already(pair: Pair) -> None:
    """The stack stays in force above and below what is knocked out."""
    stack = (Ablation("L0H1", positions=(-1,)), Ablation("L1.mlp", "scale", amount=0.5))
    run = replace(pair.desk.run(*IDS), interventions=stack)
    grid = pair.desk.get(Effects(run, 6, TARGET))

    def last(point: str, layer: int, head: int, value: Array) -> Array:
        if (point, layer, head) == ("z", 0, 1):
            value = value.copy()
            value[-1] = 0
        return 0.5 * value if (point, layer) == ("mlp", 1) else value

    base = pair.want.forward(list(IDS), last).logits[6]
    for part, row in zip(parts(), grid.values, strict=True):
        own = pair.want.forward(list(IDS), both(last, changed(pair, part, "zero", run))).logits[6]
        close(row[:5], metrics(own, base) - metrics(base, base), np.abs(base).max())


@pytest.mark.parametrize("name", EVERY)
def test_batches_and_hooks_agree_with_single_runs(
    desk_of: Callable[[str, str], Desk], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_of(name, "float32")
    run = desk.run(*(id % desk.info.d_vocab for id in IDS))
    target = Target((int(desk.get(NextTokens(run, 6)).rows[0][2]),))
    job = Effects(run, 6, target)
    plain = desk.get(job)
    clean = desk.get(Forward(run)).logits[6].double().numpy()
    size = np.abs(clean).max()
    for part, row in zip(plain.rows.labels, plain.values, strict=True):
        logits = desk.get(Forward(replace(run, interventions=(Ablation(part),)))).logits[6].double().numpy()
        change = metrics(logits, clean, target) - metrics(clean, clean, target)
        np.testing.assert_allclose(row[[0, 1, 2, 4]], change[[0, 1, 2, 4]], atol=1e-4 * size)
    monkeypatch.setattr(desk.bench.live, "info", replace(desk.info, capabilities=replace(
        desk.info.capabilities, plain="no plain forward.")))  # fmt: skip
    hooked = desk.bench.compute(job, desk)
    np.testing.assert_allclose(np.delete(hooked.values, 3, 1), np.delete(plain.values, 3, 1), atol=1e-4 * size)
    assert "no plain forward" in hooked.header.details["hooks"]
    rows = Prompts("effects, two", "two", (run, replace(run, ids=run.ids[::-1])), (target, target), ("", ""))
    changes = (Ablation("L1H1"), Ablation("L0H0", "scale", amount=0.5), Ablation("L1H0", "resample", reference=rows),
               Ablation("L0H1", "noise", reference=rows))  # fmt: skip
    table = AblationTable(desk.key, rows, changes, True)
    one = desk.bench.compute(table, desk)
    monkeypatch.undo()
    other = desk.get(table)
    for row, same in zip(one.rows, other.rows, strict=True):
        assert row[0] == same[0]
        np.testing.assert_allclose(np.delete(row[1:], 3), np.delete(same[1:], 3), atol=1e-4 * size)


# --- tables over prompts ---


def table(pair: Pair, rows: Prompts, *changes: Ablation, **more: Any) -> Table:
    made: Table = pair.desk.get(AblationTable(pair.desk.key, rows, changes, **more))
    return made


@pytest.mark.parametrize("how", HOWS)
def test_a_table_is_the_mean_of_single_runs(pair: Pair, how: Any) -> None:
    rows = prompts(pair.desk)
    reference = rows if how == "mean" else None
    named = ("L0H2", "L1.mlp")
    changes = tuple(Ablation(part, how, amount=0.25, reference=reference) for part in named)
    got = table(pair, rows, *changes, each=True)
    assert got.columns == ("part", *METRICS, "change of logit difference")
    assert [row[0] for row in got.rows] == ["clean", "all", *named]
    want: dict[str, list[Array]] = {name: [] for name in ("clean", "all", *named)}
    for run in rows.runs:
        clean = pair.want.forward(list(run.ids)).logits[-1]
        own = {part: changed(pair, part, how, run, rows, 0.25) for part in named}
        for name, change in {"clean": both(), "all": both(*own.values()), **own}.items():
            want[name].append(metrics(pair.want.forward(list(run.ids), change).logits[-1], clean))
    mean = {name: np.mean(values, 0) for name, values in want.items()}
    for row in got.rows:
        close(row[1:6], mean[str(row[0])], 30)
        close(row[6], mean[str(row[0])][0] - mean["clean"][0], 30)
    assert got.header.checks["logit_difference_clean"] == got.rows[0][1]
    assert got.header.checks["logit_difference_ablated"] == got.rows[1][1]
    assert got.rows[0][5] == got.rows[0][6] == 0


def test_the_mean_is_per_position_where_the_rows_have_the_prompts_length(pair: Pair) -> None:
    rows = prompts(pair.desk)
    runs = tuple(pair.desk.run(*ids) for ids in (IDS, IDS[::-1], IDS[2:] + IDS[:2]))
    same = replace(rows, key="effects, same", runs=runs, targets=(TARGET,) * 3)
    got = table(pair, same, Ablation("L0H2", "mean", reference=same))
    want = [
        metrics(pair.want.forward(list(run.ids), changed(pair, "L0H2", "mean", run, same)).logits[-1], np.zeros(270))[0]
        for run in same.runs
    ]
    close(got.rows[1][1], np.mean(want), 30)
    assert got.header.convention["mean"] == "per position"
    mixed = table(pair, rows, Ablation("L0H2", "mean", reference=same))
    assert str(mixed.header.convention["mean"]).startswith(("over positions", "per position for prompts of 7"))


def test_prompts_are_resampled_by_a_permutation(pair: Pair) -> None:
    rows = prompts(pair.desk)
    got = table(pair, rows, Ablation("L0H2", "resample", reference=rows, seed=3))
    want = []
    by_length: dict[int, list[Run]] = {}
    for run in rows.runs:
        by_length.setdefault(len(run.ids), []).append(run)
    assert max(map(len, by_length.values())) > 1
    for group in by_length.values():
        order = Random(3).sample(group, len(group))
        assert sorted(run.ids for run in order) == sorted(run.ids for run in group), "each once"
        for run, source in zip(group, order, strict=True):
            z = pair.want.forward(list(source.ids)).z[0, 2]

            def change(point: str, layer: int, head: int, value: Array, z: Array = z) -> Array:
                return z if (point, layer, head) == ("z", 0, 2) else value

            want.append(metrics(pair.want.forward(list(run.ids), change).logits[-1], np.zeros(270))[0])
    close(got.rows[1][1], np.mean(want), 30)
    other = table(pair, rows, Ablation("L0H2", "resample", reference=rows, seed=4))
    assert other.rows[1] != got.rows[1]
    first = replace(rows, key="effects, first", runs=rows.runs[:1], targets=rows.targets[:1])
    alone = table(pair, first, Ablation("L0H2", "resample", reference=rows, seed=3))
    job = Effects(rows.runs[0], -1, TARGET, "resample", seed=3, reference=rows)
    grid = pair.desk.get(job)
    close(alone.rows[1][6], grid.values[grid.rows.labels.index("L0H2"), 0], 30)


def test_noise_of_each_prompt_is_its_own_and_none_is_nothing(pair: Pair) -> None:
    rows = prompts(pair.desk, ROWS[:1] * 3)
    none = table(pair, rows, Ablation("L0H2", "noise", amount=0.0, reference=rows))
    assert none.rows[1][1:] == none.rows[0][1:], "bit for bit"
    noise = Ablation("L0H2", "noise", amount=1.0, reference=prompts(pair.desk), seed=5)
    got = table(pair, rows, noise)
    singles = [
        pair.desk.get(Forward(replace(run, interventions=(replace(noise, seed=5 + ablations.STRIDE * index),)))).logits
        for index, run in enumerate(rows.runs)
    ]
    want = [metrics(logits[-1].double().numpy(), np.zeros(270))[0] for logits in singles]
    close(got.rows[1][1], np.mean(want), 30)
    assert np.ptp(want) > 1e-3


def test_positions_and_neurons(pair: Pair) -> None:
    rows = prompts(pair.desk)
    got = table(pair, rows, Ablation("L0H3", positions=(-1,)), Ablation("L1N5"), each=True)
    assert [row[0] for row in got.rows] == ["clean", "all", "L0H3@-1", "L1N5"]

    def last(point: str, layer: int, head: int, value: Array) -> Array:
        value = value.copy()
        if (point, layer, head) == ("z", 0, 3):
            value[-1] = 0
        return value

    def neuron(point: str, layer: int, head: int, value: Array) -> Array:
        value = value.copy()
        if (point, layer) == ("act", 1):
            value[:, 5] = 0
        return value

    for at, change in ((2, last), (3, neuron), (1, both(last, neuron))):
        runs = [pair.want.forward(list(run.ids), change).logits[-1] for run in rows.runs]
        close(got.rows[at][1], np.mean([metrics(logits, logits)[0] for logits in runs]), 30)


def test_each_prompt_has_its_own_answer(pair: Pair) -> None:
    rows = prompts(pair.desk, ROWS, None)
    mixed = replace(rows, key="effects, mixed", targets=(TARGET, Target((70,)), *rows.targets[2:]))
    got = table(pair, mixed, Ablation("L1H0"))
    want = []
    for run, target in zip(mixed.runs, mixed.targets, strict=True):
        clean = pair.want.forward(list(run.ids)).logits[-1]
        own = pair.want.forward(list(run.ids), changed(pair, "L1H0", "zero", run)).logits[-1]
        want.append(metrics(own, clean, target or Target((int(clean.argmax()),))))
    close(got.rows[1][1:6], np.mean(want, 0), 30)


def test_the_loss_of_what_goes_on(pair: Pair) -> None:
    rows, more = prompts(pair.desk), (257, 70)
    got = table(pair, rows, Ablation("L0H2", positions=(-1,)), continuation=more, metric="KL")
    assert got.columns[-2:] == ("loss", "change of KL")
    clean, own = [], []
    for run in rows.runs:
        n = len(run.ids)

        def change(point: str, layer: int, head: int, value: Array, n: int = n) -> Array:
            value = value.copy()
            if (point, layer, head) == ("z", 0, 2):
                value[n - 1] = 0
            return value

        for out, made in ((clean, both()), (own, change)):
            logits = pair.want.forward([*run.ids, *more], made).logits[n - 1 : n + 1]
            out.append(-np.log(softmax(logits))[[0, 1], list(more)].mean())
    close([row[6] for row in got.rows], [np.mean(clean), np.mean(own)], 30)


def test_small_batches_give_the_same_table_and_show_how_far_they_are(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = prompts(pair.desk)
    job = AblationTable(pair.desk.key, rows, (Ablation("L0H2", "resample", reference=rows), Ablation("L1H1")), True)
    want = pair.desk.get(job)
    pair.desk.partials.clear()
    monkeypatch.setattr(ablations, "tokens", lambda bench: 1)
    got = pair.desk.bench.compute(job, pair.desk)
    for row, same in zip(got.rows, want.rows, strict=True):
        close(row[1:], same[1:], 30)
    headers = [made.header for made in pair.desk.partials if isinstance(made, Table)]
    assert headers[-1].details["so far"] == f"{len(rows) - 1} of {len(rows)} prompts"
    assert all(header.partial for header in headers)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (Ablation("L9H0"), "does not exist"), (Ablation("L0H0", positions=(3,)), "Position 3"),
        (Ablation("L0.bias"), "no part"), (Ablation("L0H0", "mean"), "needs a file"),
        (Ablation("L0H0", "resample"), "needs a file"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_runs(pair: Pair, change: Ablation, sentence: str) -> None:
    rows = prompts(pair.desk)
    with pytest.raises(Refusal, match=sentence):
        table(pair, rows, change)
    with pytest.raises(Refusal, match="No part"):
        table(pair, rows)
    with pytest.raises(Refusal, match="cannot be resampled"):
        table(pair, rows, Ablation("L0H0", "resample", reference=rows), continuation=(70,))
    with pytest.raises(Refusal, match="has 3 tokens, as this one: there is nothing to resample"):
        table(pair, rows, Ablation("L0H0", "resample", reference=prompts(pair.desk, ROWS[2:3])))
    with pytest.raises(Refusal, match="Position 99"):
        table(pair, rows, Ablation("L0H0"), position=99)
    with pytest.raises(Refusal, match="Position 99"):
        pair.desk.get(Effects(pair.desk.run(*IDS), 99, TARGET))
