"""The text whose loss is measured: given in the palette, measured in Patching and Knock out, gone with an empty one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.app.driving import drawn, driven, notice, pressed, settled, text_of
from tests.app.recorded import HEADS, KEY, LAYERS, RecordedBench, tokens
from tests.app.selected import loaded
from tests.app.test_patching_page import job_of, paired
from tui import moves, needs, pages
from tui.declared import Nothing, Say
from tui.engine.jobs import Effects, Tokenize
from tui.pages import loss
from tui.pages.loss import LossLook
from tui.pages.patching import PatchingLook
from tui.selection import Selection, settle


@pytest.mark.parametrize(
    ("text", "given"), [("Paris", " Paris"), ('" Paris."', " Paris."), ('","', ","), ("", ""), ('"', ' "')]
)
def test_a_text_goes_on_after_a_blank_or_as_it_is_quoted(text: str, given: str) -> None:
    assert loss.given(loaded(), text).look(LossLook).text == given


def test_both_runs_end_with_it() -> None:
    there = moves.to_continuation(paired(), "king queen")
    assert isinstance(there, Selection)
    assert there.look(PatchingLook).measured == "loss"
    assert pages.of(there).shown(there) == Nothing(), "its tokens are on their way"
    (job,) = pages.of(there).asks(there)
    assert job == Tokenize(KEY, " king queen", False)
    assert job in needs.needs(there, lambda job: None)
    told = needs.told(there, job, tokens([" king", " queen"], False))
    made = job_of(told)
    assert (made.metric, made.continuation, made.clean.ids[-2:], made.corrupted.ids[-2:]) == (
        "loss", (8, 9), (8, 9), (8, 9))  # fmt: skip
    assert made.length == len(job_of(paired()).clean.ids)
    assert "loss of ·king·queen" in pages.of(told).words(told)
    none = moves.to_continuation(told, "")
    assert isinstance(none, Selection)
    assert job_of(none) == job_of(paired())
    dropped = settle(needs.told(there, job, None))
    assert job_of(dropped) == job_of(paired()), "a text that cannot be is dropped"


def test_without_a_text_the_key_says_how_to_give_one() -> None:
    there, sentence = moves.cycle(paired(PatchingLook(measured="KL")), "mode", "")
    assert there.look(PatchingLook).measured == "logit difference"
    assert "continuation Paris" in sentence
    said = moves.to_continuation(loaded(page="qk"), "Paris")
    assert isinstance(said, Say)
    assert "press 9 or K first" in said.sentence
    assert [name for name, *_ in moves.typed(paired(), "continuation Paris")] == ["continuation Paris"]


async def test_by_keys() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "9", "m", "m", "m", "m", "m")
        assert "continuation Paris" in notice(explorer)
        await pilot.press("colon")
        await pilot.pause(0.2)
        await pilot.press(*"continuation", "space", *"king")
        await pilot.pause(0.4)
        await pilot.press("enter")
        await settled(explorer, pilot)
        assert "loss of ·king" in text_of(explorer, "#title")
        assert explorer.selection.look(LossLook).tokens is not None


async def test_in_knock_out_by_keys() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "K", "m", "m", "m", "m", "m")
        assert "continuation Paris" in notice(explorer)
        await pilot.press("colon")
        await pilot.pause(0.2)
        await pilot.press(*"continuation", "space", *"king")
        await pilot.pause(0.4)
        await pilot.press("enter")
        await settled(explorer, pilot)
        assert "Δ loss of ·king" in text_of(explorer, "#title")
        job = next(job for job in reversed(bench.computed) if isinstance(job, Effects))
        assert job.continuation == explorer.selection.look(LossLook).tokens.ids  # type: ignore[union-attr]
        whole = bench._effects(job)
        values = whole.values[:, whole.cols.labels.index("loss")]
        assert np.array_equal(drawn(explorer).values, values.reshape(LAYERS, HEADS + 1))
        table = explorer.panel.bars.table
        assert table is not None
        assert table.columns[:2] == ("part", "change")
        await pressed(explorer, pilot, "m")
        assert "Δ logit difference" in text_of(explorer, "#title")
        assert next(job for job in reversed(bench.computed) if isinstance(job, Effects)) == job, "one sweep for all"
