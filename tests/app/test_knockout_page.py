"""Knock out: by its keys on recorded results, and what its declarations say without a screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.app.driving import drawn, driven, notice, pressed, text_of, until
from tests.app.recorded import HEADS, KEY, LAYERS, RecordedBench
from tests.app.selected import FILE, PARIS, here, loaded
from tui import moves, needs, pages
from tui.declared import Nothing, Say
from tui.engine.jobs import AddVector, Effects, SteeringDirection, Target
from tui.pages.knockout import KnockoutLook
from tui.results import Grid
from tui.selection import Entry, Selection, settle


def asked(bench: RecordedBench) -> Effects:
    """The last of its jobs that was computed."""
    return next(job for job in reversed(bench.computed) if isinstance(job, Effects))


def whole(bench: RecordedBench) -> Grid:
    return bench._effects(asked(bench))


async def test_its_picture_is_layer_by_head_and_mlp_of_the_chosen_metric() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "K")
        assert explorer.selection.page == "knockout"
        picture, values = drawn(explorer), whole(bench).values.reshape(LAYERS, HEADS + 1, -1)
        assert picture.cols.labels == ("H0", "H1", "H2", "H3", "MLP")
        for column in range(5):
            assert np.array_equal(drawn(explorer).values, values[..., column])
            await pressed(explorer, pilot, "m")
        assert explorer.selection.look(KnockoutLook).metric == "logit difference", "round again"
        assert sum(isinstance(job, Effects) for job in bench.computed) == 1, "one sweep gives all metrics"
        assert asked(bench).position == explorer.selection.position
        await pressed(explorer, pilot, "left_parenthesis")
        assert asked(bench).position == explorer.selection.position == 4


async def test_the_cursor_and_enter_lead_to_heads_and_mlps() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "K", "j", "l")
        assert (explorer.selection.layer, explorer.selection.head) == (1, 1)
        said = text_of(explorer, "#inspector")
        row = whole(bench).rows.labels.index("L1H1")
        assert "L1H1 out at ·is (5)" in said
        for column, name in ((0, "logit difference"), (5, "predicted"), (6, "scale")):
            assert f"{name} {whole(bench).values[row, column]:.3f}".replace("-", "−") in said
        await pressed(explorer, pilot, "enter")
        assert (explorer.selection.page, explorer.selection.layer, explorer.selection.head) == ("pattern", 1, 1)
        await pressed(explorer, pilot, "comma", *["l"] * 3)
        assert "L1.mlp out at" in text_of(explorer, "#inspector")
        assert (explorer.selection.layer, explorer.selection.head) == (1, 3), "the MLP is no head"
        await pressed(explorer, pilot, "enter")
        assert (explorer.selection.page, explorer.selection.layer) == ("neurons", 1)


async def test_the_ranked_list_has_measured_beside_predicted() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "K")
        table = explorer.panel.bars.table
        assert table is not None
        assert table.columns == ("part", "measured", "predicted", "scale", "log-prob", "prob", "rank", "KL")
        sizes = [abs(float(row[1] or 0)) for row in table.rows]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) == LAYERS * (HEADS + 1)
        await pressed(explorer, pilot, "m")
        assert explorer.panel.bars.table is not None
        assert explorer.panel.bars.table.columns == ("part", "change", "logit diff", "prob", "rank", "KL")
        await pressed(explorer, pilot, "p")
        assert "as tokens" in str(explorer.panel.border_title)


async def test_kinds_are_cycled_and_the_mean_needs_a_file(tmp_path: Path) -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "K", "u")
        assert asked(bench).how == "zero, value biases folded"
        assert asked(bench).weights == "processed"
        await pressed(explorer, pilot, "w")
        assert asked(bench).weights == "raw"
        await pressed(explorer, pilot, "u")
        assert explorer.selection.look(KnockoutLook).how == "zero"
        assert notice(explorer) == "the mean is over a file of prompts, and none is open: O opens one"
        assert sum(isinstance(job, Effects) for job in bench.computed) == 3, "zero does not depend on weights"
    path = tmp_path / "prompts.txt"
    path.write_text("The capital of France is\nThe king of Rome is\n")
    async with driven(bench=(bench := RecordedBench()), prompts=str(path)) as (explorer, pilot):
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        await pressed(explorer, pilot, "K", "u", "u")
        assert asked(bench).how == "mean"
        assert asked(bench).reference is not None
        assert len(asked(bench).reference or ()) == 2
        assert "over prompts.txt" in text_of(explorer, "#title")


def test_without_tokens_or_an_answer_there_is_nothing_to_ask() -> None:
    page = pages.named("knockout")
    assert page.job(Selection()) == Nothing("no tokens yet: press i and type a prompt")
    assert page.job(loaded(page="knockout")) == Nothing()
    s = loaded(page="knockout", likeliest=PARIS)
    assert page.job(s) == Effects(s.run, 3, Target((6,)))  # type: ignore[arg-type]


def test_the_stack_is_part_of_what_is_asked() -> None:
    change = AddVector(1, SteeringDirection("mine", "token", (6,)))
    s = loaded(page="knockout", likeliest=PARIS, stack=(Entry(change),))
    job = pages.of(s).job(s)
    assert isinstance(job, Effects)
    assert job.run.interventions == (change,)


def test_a_closed_file_takes_the_mean_along() -> None:
    s = loaded(KnockoutLook(how="mean"), page="knockout", file=FILE, likeliest=PARIS)
    job = pages.of(s).job(s)
    assert isinstance(job, Effects)
    assert (job.how, job.reference) == ("mean", FILE.prepared)
    assert settle(replace(s, file=None)).look(KnockoutLook).how == "zero"


def test_back_from_the_mlp_a_head_by_name_is_a_head() -> None:
    s = loaded(page="knockout", likeliest=PARIS)
    page = pages.of(s)
    mlp = page.at(s, 2, HEADS)
    assert page.cell(mlp) == (2, HEADS)
    assert page.cell(page.at(mlp, 3, 1)) == (3, 1)
    there = moves.to_head(mlp, (2, 0))
    assert not isinstance(there, Say)
    assert page.cell(there) == (2, 0)
    assert page.part(here(mlp)) == "L2.mlp"


@pytest.mark.parametrize("metric", ["rank", "KL"])
def test_other_metrics_stand_beside_the_logit_difference(metric: str) -> None:
    s = loaded(KnockoutLook(metric=metric), page="knockout", likeliest=PARIS)  # type: ignore[arg-type]
    said = "".join(text for text, _ in pages.of(s).line(here(s)))
    assert f"  {metric} " in said
    assert "  logit difference " in said
    assert s.key == KEY


async def test_the_difference_of_two_models_has_the_predictions_difference_too() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "a", "K", "j", "l", "d", "d")
        line = text_of(explorer, "#inspector")
        assert explorer.selection.contrast == "difference"
        s, cached = explorer.selection, explorer.scene.wishes.cached
        grids = [cached(needs.shown(there)) for there in (s.changed, s.base)]
        for name in ("predicted", "scale"):
            values = [grid.values[grid.rows.labels.index("L1H1"), grid.cols.labels.index(name)] for grid in grids]  # type: ignore[union-attr]
            assert f"Δ {name} {values[0] - values[1]:.3f}".replace("-", "−") in line
        assert line.startswith(" L1 · H1   changed ")
