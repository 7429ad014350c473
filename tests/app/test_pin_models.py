"""What is pinned: its own colour scale by a key, and beside another model of the same vocabulary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from textual.pilot import Pilot

from tests.app.driving import drawn, driven, notice, pressed
from tests.app.recorded import KEY, RecordedBench, info
from tests.app.test_pin import beside, grid_of, title
from tests.circuits.desk import Desk
from tests.models.folders import gpt2_folder, llama_folder
from tui.engine.jobs import Open
from tui.explorer import Explorer
from tui.results import Grid, ModelInfo


class Two(RecordedBench):
    """Another model, of one vocabulary with the first or not, whose numbers are half as large; it answers nothing about
    the model before."""

    def __init__(self, vocabulary: str) -> None:
        super().__init__(info(vocabulary="one"))
        self.vocabulary = vocabulary

    def _open(self, job: Open) -> ModelInfo:
        if job.source == "other":
            key = replace(KEY, folder="/other")
            self.model = info(key=key, name="other", vocabulary=self.vocabulary)
        return self.model

    def compute(self, job: Any, ctx: Any) -> Any:
        run = getattr(job, "run", None)
        if run is not None:
            assert run.model == self.model.key, "that model is not the one that is open"
        result = super().compute(job, ctx)
        if isinstance(result, Grid) and self.model.name == "other":
            result = replace(result, values=result.values / 2)
        return result


async def other_model(explorer: Explorer, pilot: Pilot[None]) -> None:
    await pressed(explorer, pilot, "M", "ctrl+u", *"other", "enter")
    assert explorer.selection.model is not None
    assert explorer.selection.model.name == "other"


async def test_two_models_of_one_vocabulary_are_compared() -> None:
    async with driven(bench=Two("one")) as (explorer, pilot):
        first = drawn(explorer)
        await pressed(explorer, pilot, "vertical_line")
        await other_model(explorer, pilot)
        assert title(beside(explorer)) == "demo · L0H0 · pattern"
        assert np.array_equal(grid_of(beside(explorer)).values, first.values, equal_nan=True)
        assert np.allclose(drawn(explorer).values, first.values / 2, equal_nan=True)
        await pressed(explorer, pilot, "vertical_line")
        assert title(beside(explorer)) == "Δ this − demo · L0H0 · pattern"
        assert np.allclose(grid_of(beside(explorer)).values, first.values * -0.5, equal_nan=True)


async def test_a_model_of_another_vocabulary_takes_it_away_and_says_so() -> None:
    async with driven(bench=Two("two")) as (explorer, pilot):
        await pressed(explorer, pilot, "a", "vertical_line")
        await other_model(explorer, pilot)
        assert not explorer.query("#pinned")
        assert "different vocabularies" in notice(explorer)
        assert "gone with it" in notice(explorer), "the changes are, too"


async def test_each_picture_can_have_its_own_scale() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "equals_sign")
        await pressed(explorer, pilot, "2", "vertical_line", "right_square_bracket")
        assert "one scale" in str(beside(explorer).border_title)
        shared = drawn(explorer).limits
        assert shared == grid_of(beside(explorer)).limits
        assert shared is not None
        await pressed(explorer, pilot, "equals_sign")
        assert "own scale" in str(beside(explorer).border_title)
        assert drawn(explorer).limits is None
        assert grid_of(beside(explorer)).limits is None
        await pressed(explorer, pilot, "equals_sign")
        assert drawn(explorer).limits == shared
        await pressed(explorer, pilot, "vertical_line")
        assert "scale" not in str(beside(explorer).border_title), "a difference has its own"


def test_a_vocabulary_is_known_by_its_tokens(tmp_path: Path) -> None:
    one, same = Desk(gpt2_folder(tmp_path / "one")), Desk(llama_folder(tmp_path / "two"))
    more = Desk(gpt2_folder(tmp_path / "three", vocab_size=400))
    assert one.info.vocabulary != more.info.vocabulary
    equal = one.bench.live.tokens.all_texts == same.bench.live.tokens.all_texts
    assert (one.info.vocabulary == same.info.vocabulary) is equal
