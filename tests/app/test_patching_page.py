"""Patching: a pair is typed, its prompts are compared, the picture is of what was chosen, a sweep can be stopped."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from textual.widgets import Input

from tests.app.driving import driven, notice, pressed, settled, text_of, until
from tests.app.recorded import KEY, RecordedBench, tokens
from tests.app.selected import PARIS, here, loaded
from tui import moves, needs, pages, questions
from tui.arrange import patched
from tui.declared import Nothing, Say
from tui.engine.jobs import Ablation, NextTokens, PatchingEstimate, PatchingGrid, Run, Target, Tokenize
from tui.pages.pair import PAIRS, both
from tui.pages.patching import GRIDS, PatchingLook
from tui.results import Grid
from tui.selection import Answer, Entry, Likeliest, Pair, Selection
from tui.views.ask import Ask

CLEAN, CORRUPTED = "The capital of France is", "The capital of Rome is"
LONDON = Likeliest(7, " London")


def paired(look: PatchingLook | None = None, other: str = CORRUPTED, **changes: Any) -> Selection:
    made = tokens(["<|bos|>", *(f" {word}" for word in other.split())], True)
    pair = Pair(other, made, Tokenize(KEY, other, True), LONDON)
    looks = () if look is None else (look,)
    return loaded(*looks, text=CLEAN, pair=pair, page="patching", likeliest=PARIS, **changes)


def job_of(s: Selection) -> PatchingGrid:
    job = pages.of(s).shown(s)
    assert isinstance(job, PatchingGrid)
    return job


def why(s: Selection) -> str:
    job = pages.of(s).shown(s)
    assert isinstance(job, Nothing)
    return job.why


def test_the_job_names_both_runs_and_everything_chosen() -> None:
    s = paired()
    assert s.tokens is not None
    clean, corrupted = Run(KEY, s.tokens.ids, True), Run(KEY, (0, 1, 2, 3, 10, 5), True)
    assert job_of(s) == PatchingGrid(clean, corrupted, Target((6,), (7,)))
    chosen = PatchingLook("mlp_out by position", "KL", "noise")
    aim = Target((6,), (7,))
    assert job_of(paired(chosen)) == PatchingGrid(clean, corrupted, aim, "mlp_out", "position", "KL", "noise")
    at = PatchingLook("q by head", here=True)
    assert job_of(paired(at, row=4)).position == 4
    assert job_of(paired(PatchingLook("neurons of a layer"), layer=2)).layer == 2
    asked = paired(answer=Answer(Target((6,), (9,)), "Paris - queen"))
    assert job_of(asked).target == Target((6,), (9,)), "the user's answer"
    assert job_of(asked).base == corrupted


def test_the_same_prediction_is_no_distractor() -> None:
    s = paired()
    assert s.pair is not None
    assert job_of(replace(s, pair=replace(s.pair, likeliest=PARIS))).target == Target((6,))
    assert why(replace(s, pair=replace(s.pair, likeliest=None))) == "", "it is on its way"


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ("The capital of France", "6 tokens, the corrupted one 5: from position 5 on (·is against nothing)"),
        ("The king of France is in", "6 tokens, the corrupted one 7: from position 2 on (·capital against ·king)"),
        (CLEAN, "both prompts are the same"),
    ],
)
def test_prompts_that_are_no_pair_are_said_with_the_place(other: str, sentence: str) -> None:
    assert sentence in why(paired(other=other))
    assert "P" in why(paired(other=other)), "and what to do"


def test_without_a_pair_and_with_interventions() -> None:
    assert "press P" in why(replace(paired(), pair=None))
    assert "unchanged model" in why(replace(paired(), stack=(Entry(Ablation("L0H0")),)))


def test_where_they_differ_stands_above_the_picture() -> None:
    assert both(paired()) == "The capital of [France|Rome] is"
    drawn = here(paired()).drawn
    assert isinstance(drawn, Grid)
    assert drawn.header.explanation.startswith("The capital of [France|Rome] is · ")
    assert here(paired()).drawn is not None
    words = pages.of(paired()).words(paired())
    assert words[0] == "z by head"
    assert "denoise: clean into corrupted" in words
    assert "logit difference ·Paris − ·London" in words
    assert "noise: corrupted into clean" in pages.of(paired()).words(paired(PatchingLook(toward="noise")))


def test_prompts_that_the_demo_knows_bring_the_other_one() -> None:
    s = loaded(text=CLEAN)
    entered = moves.to_page(s, "patching")
    assert entered.pair == Pair(PAIRS["capital"][1])
    assert needs.needs(entered, lambda job: None)[0] == Tokenize(KEY, PAIRS["capital"][1], True)
    assert moves.to_page(loaded(text="The king"), "patching").pair is None
    question = questions.named("pair", s)
    assert question.before(loaded(text=CLEAN)) == PAIRS["capital"][1]
    named = question.answered(s, "Induction")
    assert isinstance(named, Selection)
    assert (named.text, named.pair) == (PAIRS["induction"][0], Pair(PAIRS["induction"][1]))
    away = question.answered(paired(), "")
    assert isinstance(away, Selection)
    assert away.pair is None
    assert question.answered(s, CORRUPTED) == Tokenize(KEY, CORRUPTED, True)


def test_another_model_reads_the_pair_anew() -> None:
    s = replace(paired(), bos=False)
    there = replace(s, tokens_of=Tokenize(KEY, CLEAN, False))
    assert Tokenize(KEY, CORRUPTED, False) in needs.needs(there, lambda job: None)
    told = needs.told(s, Tokenize(KEY, CORRUPTED, False), tokens([" The"], False))
    assert told.pair == Pair(CORRUPTED, tokens([" The"], False), Tokenize(KEY, CORRUPTED, False))
    assert needs.failed(s, Tokenize(KEY, CORRUPTED, False)).pair is None


def test_its_prediction_is_asked_for_once() -> None:
    s = paired()
    assert s.pair is not None
    unknown = replace(s, pair=replace(s.pair, likeliest=None))
    after = needs.after_pair(unknown)
    assert isinstance(after, NextTokens)
    assert after in needs.needs(unknown, lambda job: None)
    assert after not in needs.needs(s, lambda job: None)
    told = needs.told(unknown, after, RecordedBench().compute(after, None))
    assert told.pair is not None
    assert told.pair.likeliest is not None


@pytest.mark.parametrize("of", GRIDS)
def test_the_cursor_is_the_cell(of: str) -> None:
    page, s = pages.named("patching"), paired(PatchingLook(of))
    drawn = here(s).drawn
    assert drawn is not None
    count = drawn.values.shape if isinstance(drawn, Grid) else (len(drawn.rows), 1)  # type: ignore[union-attr]
    for row in (0, count[0] - 1):
        for col in (0, count[1] - 1):
            assert page.cell(page.at(s, row, col)) == (row, col)


@pytest.mark.parametrize(
    ("of", "where", "there"),
    [
        ("z by head", (2, 3), ("pattern", 2, 3)), ("v by head", (1, 1), ("pattern", 1, 1)),
        ("z by head and position", (6, 2), ("pattern", 1, 2)), ("mlp_out by position", (1, 2), ("neurons", 1, 0)),
        ("neurons of a layer", (3, 0), ("neurons", 0, 0)),
    ],
)  # fmt: skip
def test_enter_opens_the_head_or_the_neurons(of: str, where: tuple[int, int], there: tuple[str, int, int]) -> None:
    page = pages.named("patching")
    s = page.at(paired(PatchingLook(of)), *where)
    opened = moves.open_cell(here(s), *where)
    assert isinstance(opened, Selection)
    assert (opened.page, opened.layer, opened.head) == there
    state = moves.open_cell(here(paired(PatchingLook("resid_pre by position"))), 0, 0)
    assert isinstance(state, Say)


@pytest.mark.parametrize("where", [(99, 0), (0, 99)])
def test_enter_on_a_cell_of_a_larger_picture_before_is_nothing(where: tuple[int, int]) -> None:
    """It was pressed there; until it arrives another grid may have come."""
    assert moves.open_cell(here(paired(PatchingLook("z by head"))), *where) == Say("")


def test_the_inspector_says_estimate_or_exact() -> None:
    s = paired(layer=1, head=2)
    page, known = pages.of(s), here(s)
    line = "".join(text for text, _ in page.line(known))
    assert line.startswith(" L1H2   recovered ")
    assert "exact" in line
    assert "predicted" in line
    assert isinstance(known.drawn, Grid)
    marked = replace(known.drawn, text=tuple(("≈",) * 4 for _ in range(4)))
    line = "".join(text for text, _ in page.line(replace(known, drawn=marked)))
    assert "estimate" in line
    assert "predicted" not in line


def test_the_ranked_list_has_both() -> None:
    s = paired()
    grid, guess = (RecordedBench().compute(job, None) for job in (job_of(s), job_of(s).estimate))
    marks = [["≈"] * 4, *[[""] * 4] * 3]
    table = patched(replace(grid, text=tuple(map(tuple, marks))), guess)
    assert table.columns == ("part", "is", "recovered", "≈", "log-prob", "KL"), "other metrics beside it"
    sizes = [abs(float(row[2] or 0)) for row in table.rows]
    assert sizes == sorted(sizes, reverse=True)
    rows = {str(row[0]): row for row in table.rows}
    assert rows["L0H1"][1] == "≈"
    assert rows["L3H1"][1] == "exact"
    exact = float(rows["L3H1"][2] or 0)
    assert rows["L3H1"][3:] == pytest.approx((exact + 0.05, 0.9 * exact, 0.8 * exact), abs=1e-6)


def test_a_rank_has_no_estimate() -> None:
    page = pages.named("patching")
    assert page.inspects(paired()) == (job_of(paired()).estimate,)
    assert page.inspects(paired(PatchingLook(measured="rank"))) == ()
    assert page.inspects(paired(PatchingLook(measured="KL", toward="noise"))) == ()


class SlowBench(RecordedBench):
    """A sweep that has its estimate at once and its exact values when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.finish = threading.Event()
        self.cancelled = 0

    def compute(self, job: Any, ctx: Any) -> Any:
        whole = super().compute(job, ctx)
        if isinstance(job, PatchingGrid) and not self.finish.is_set():
            text = tuple(tuple("" if row == 0 else "≈" for _ in line) for row, line in enumerate(whole.values))
            header = replace(whole.header, partial=True, details={"exact": "4 of 16"})
            ctx.partial(replace(whole, header=header, text=text))
            ctx.progress("patches", 4, 16)
            while not self.finish.is_set():
                try:
                    ctx.check()
                except BaseException:
                    self.cancelled += 1
                    raise
                time.sleep(0.005)
        return whole


async def test_a_pair_is_typed_and_swept_by_keys() -> None:
    bench = SlowBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pilot.press("P")
        await until(pilot, lambda: isinstance(explorer.app.screen, Ask))
        explorer.app.screen.query_one(Input).value = CORRUPTED
        await pilot.press("enter")
        await until(pilot, lambda: explorer.main.heatmap.grid is not None
                    and explorer.main.heatmap.grid.header.view == "patching")  # fmt: skip
        assert explorer.selection.page == "patching"
        assert explorer.selection.pair is not None
        assert explorer.selection.pair.text == CORRUPTED
        title, checks = text_of(explorer, "#title"), text_of(explorer, "#checks")
        assert "(so far)" in title
        assert "exact 4 of 16" in checks
        await pilot.press("j", "j")
        await pilot.pause(0.1)
        assert "estimate" in text_of(explorer, "#inspector")
        await pilot.press("escape")
        await until(pilot, lambda: bench.cancelled == 1)
        assert "stopped" in notice(explorer)
        assert explorer.main.heatmap.grid is not None, "what there is stays"
        bench.finish.set()
        await pressed(explorer, pilot, "r")
        assert explorer.selection.look(PatchingLook).toward == "noise"
        await pressed(explorer, pilot, "r")
        assert "(so far)" not in text_of(explorer, "#title")
        assert explorer.main.heatmap.grid.text is None
        assert "exact" in text_of(explorer, "#inspector")


async def test_its_options_and_its_panel_by_keys() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "9")
        assert "The capital of [France|Germany] is" in text_of(explorer, "#explanation"), "a pair that the demo knows"
        rows = explorer.panel.bars.table
        assert rows is not None
        assert rows.columns == ("part", "is", "recovered", "≈", "log-prob", "KL")
        await pressed(explorer, pilot, "m")
        assert explorer.selection.look(PatchingLook).measured == "log-probability"
        await pressed(explorer, pilot, "s")
        assert explorer.selection.look(PatchingLook).here
        await pressed(explorer, pilot, *"uuuuuu")
        assert explorer.selection.look(PatchingLook).by == "position"
        assert explorer.main.heatmap.grid is not None
        assert explorer.main.heatmap.grid.values.shape == (4, 6)
        await pressed(explorer, pilot, "s", "s")
        assert "cells of its own" in notice(explorer)
        await pressed(explorer, pilot, *"uuuu")
        assert explorer.selection.look(PatchingLook).of == "neurons of a layer"
        await pressed(explorer, pilot, "u", "9", "j", "enter")
        assert explorer.selection.page == "pattern"
        assert any(isinstance(job, PatchingEstimate) for job in bench.computed)
        assert np.isfinite(explorer.selection.layer)


async def test_a_prompt_that_cannot_be_leaves_the_pair_that_was_there() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "9")
        before = explorer.selection.pair
        await pilot.press("P")
        await until(pilot, lambda: isinstance(explorer.app.screen, Ask))
        explorer.app.screen.query_one(Input).value = "word " * 70
        await pilot.press("enter")
        await pilot.pause(0.3)
        await pilot.press("escape")
        await settled(explorer, pilot)
        assert explorer.selection.pair == before
