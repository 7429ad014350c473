"""The stack of interventions by keys: what goes on it, what every view then says, and that nothing changed is ever
shown under the name of the clean model."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.app.driving import drawn, driven, notice, pressed, settled, text_of
from tests.app.recorded import RecordedBench, Refused, interventions_of
from tests.app.selected import here, loaded
from tui import stack
from tui.declared import Say
from tui.engine.jobs import Ablation, CutEdge, StackEffect, Unchanged
from tui.explorer import Explorer
from tui.results import Table
from tui.selection import Entry, Selection


def title(explorer: Explorer) -> str:
    return text_of(explorer, "#title").strip()


def changes(explorer: Explorer) -> list[str]:
    return [str(entry.change) for entry in explorer.selection.stack]


async def test_a_head_is_knocked_out_and_brought_back() -> None:
    async with driven() as (explorer, pilot):
        clean = drawn(explorer)
        await pressed(explorer, pilot, "a")
        assert changes(explorer) == ["L0H0 zero"]
        assert title(explorer).startswith("changed · L0H0")
        assert "changed: L0H0 zero" in explorer.query_one("Status").conventions  # type: ignore[attr-defined]
        assert np.allclose(drawn(explorer).values, clean.values * 0.9, equal_nan=True)
        assert explorer.query_one("TokenStrip").mark == "changed"  # type: ignore[attr-defined]
        assert explorer.panel.border_title.startswith("p 1/4 · changed · after")  # type: ignore[union-attr]
        await pressed(explorer, pilot, "a")
        assert not explorer.selection.stack
        assert drawn(explorer).values is clean.values
        assert "changed" not in title(explorer)


async def test_contrast_goes_through_changed_clean_and_difference() -> None:
    async with driven() as (explorer, pilot):
        clean = drawn(explorer)
        await pressed(explorer, pilot, "a", "d")
        assert title(explorer).startswith("clean · ")
        assert drawn(explorer).values is clean.values
        assert "1 change off" in explorer.query_one("Status").conventions  # type: ignore[attr-defined]
        await pressed(explorer, pilot, "d")
        assert title(explorer).startswith("Δ changed − clean · ")
        assert np.allclose(drawn(explorer).values, clean.values * -0.1, equal_nan=True)
        assert drawn(explorer).diverging
        assert not drawn(explorer).header.checks, "an identity of the pattern is none of a difference"
        line = text_of(explorer, "#inspector")
        row, col = explorer.main.heatmap.cursor
        assert f"= {-0.1 * clean.values[row, col]:.3f}".replace("-", "−") in line
        assert "changed" in line
        await pressed(explorer, pilot, "d")
        assert title(explorer).startswith("changed · ")


async def test_a_difference_is_taken_from_a_run_made_the_same_way() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await pressed(explorer, pilot, "a", "d", "d")
        gone = Ablation("L0H0")
        asked = [job.run.interventions for job in bench.computed if getattr(job, "run", None) is not None]
        assert (gone,) in asked
        assert (Unchanged((gone,)),) in asked


async def test_a_view_of_the_weights_alone_is_not_called_changed() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "a", "2")
        assert "changed" not in title(explorer)
        await pressed(explorer, pilot, "d", "d")
        assert "Δ" not in title(explorer)
        assert title(explorer).startswith("L0H0 · QK")


async def test_marked_parts_go_together() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "space", "right_curly_bracket", "space", "a")
        assert changes(explorer) == ["L0H0 zero", "L0H1 zero"]
        await pressed(explorer, pilot, "backspace")
        assert changes(explorer) == [], "they came together"
        await pressed(explorer, pilot, "d")
        assert "nothing is changed" in notice(explorer)


async def test_a_row_of_a_list_and_a_cell_of_parts_are_what_is_knocked_out() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "6", "down", "down")
        named = explorer.selection
        await pressed(explorer, pilot, "a")
        assert changes(explorer)[0].split()[0] in text_of(explorer, "#inspector")
        assert explorer.selection.page == named.page


async def test_the_list_of_changes_switches_them() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "a", "right_curly_bracket", "a")
        while explorer.selection.panel != "changes":
            await pressed(explorer, pilot, "p")
        table = explorer.panel.picture.table  # type: ignore[union-attr]
        assert isinstance(table, Table)
        assert [row[0] for row in table.rows] == ["clean", "L0H0 zero", "L0H1 zero"]
        explorer.panel.picture.focus()
        await pressed(explorer, pilot, "down", "down", "enter")
        assert [entry.on for entry in explorer.selection.stack] == [True, False]
        assert str(explorer.panel.picture.table.rows[2][0]).endswith("(off)")  # type: ignore[union-attr]
        assert explorer.selection.run is not None
        assert explorer.selection.run.interventions == (Ablation("L0H0"),)
        await pressed(explorer, pilot, "enter", "up", "up", "enter")
        assert "switches it off and on" in notice(explorer)


async def test_kinds_of_knocking_out() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "a", "E")
        assert changes(explorer) == ["L0H0 zero, value biases folded"]
        await pressed(explorer, pilot, "E")
        assert changes(explorer) == ["L0H0 × 0.5"], "mean, resample and noise need a file of prompts"
        await pressed(explorer, pilot, "E")
        assert changes(explorer) == ["L0H0 zero"]


async def test_an_edge_is_cut_dropped_and_whole_again() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "x")
        place = explorer.selection.prompt_cell
        assert changes(explorer) == [f"L0H0 {place[0]}→{place[1]} knockout"]
        await pressed(explorer, pilot, "x")
        assert changes(explorer) == [f"L0H0 {place[0]}→{place[1]} drop"]
        await pressed(explorer, pilot, "x")
        assert changes(explorer) == []
        await pressed(explorer, pilot, "home", "end", "up", "end", "x")
        assert "masked" in notice(explorer)
        await pressed(explorer, pilot, "2", "x")
        assert "attention pattern" in notice(explorer)


async def test_what_the_model_says_next_stands_beside_the_picture() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "plus")
        table = explorer.panel.picture.table  # type: ignore[union-attr]
        assert isinstance(table, Table)
        assert [row[1] for row in table.rows][:2] == [" Paris", " London"]
        await pressed(explorer, pilot, "a")
        table = explorer.panel.picture.table  # type: ignore[union-attr]
        assert table.columns == ("clean", "p", "changed", "p'")
        assert table.rows[1] == (" London", 0.45, " capital", 0.45)
        assert "clean and changed" in str(explorer.panel.border_title)
        explorer.panel.picture.focus()
        await pressed(explorer, pilot, "down", "enter")
        assert explorer.selection.text.endswith("is The capital"), "the changed model's words"
        await pressed(explorer, pilot, "plus")
        assert explorer.selection.panel == ""


async def test_the_answer_stays_that_of_the_clean_model() -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        before = explorer.selection.likeliest
        await pressed(explorer, pilot, "a", "4")
        assert explorer.selection.likeliest == before
        effects = [job for job in bench.computed if isinstance(job, StackEffect)]
        assert all(not job.run.interventions for job in effects)


async def test_the_stack_survives_another_prompt_and_goes_with_the_model() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "a")
        explorer.scene.change(replace(explorer.selection, text="The king of Rome"))
        await pressed(explorer, pilot)
        assert changes(explorer) == ["L0H0 zero"]
        assert title(explorer).startswith("changed")


async def test_changes_of_another_model_are_gone_and_that_is_said() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "a", "M", "ctrl+u", *"other", "enter")
        assert explorer.selection.open.source == "other"
        assert not explorer.selection.stack
        assert "gone with it" in notice(explorer)
        assert title(explorer) == "L0H0 · pattern"


class Choosy(RecordedBench):
    """Holds, or refuses, the runs that a test names."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.refused = lambda changes: False

    def compute(self, job: Any, ctx: Any) -> Any:
        changes = interventions_of(job)
        while self.held(changes):
            ctx.check()
            time.sleep(0.005)
        if self.refused(changes):
            raise Refused("this change is refused on purpose.", "backspace takes it off.")
        return super().compute(job, ctx)


def is_base(changes: tuple[Any, ...]) -> bool:
    return any(isinstance(change, Unchanged) for change in changes)


async def test_a_changed_picture_that_is_computed_leaves_the_clean_one_under_its_own_name() -> None:
    bench = Choosy()
    async with driven(bench=bench) as (explorer, pilot):
        clean = drawn(explorer)
        bench.held = bool
        await pilot.press("a")
        await pilot.pause(0.1)
        assert (title(explorer), drawn(explorer)) == ("L0H0 · pattern", clean)
        assert explorer.main.picture.stale
        assert "changed" not in str(explorer.panel.border_title)
        assert explorer.query_one("TokenStrip").mark == "", "these predictions are the clean model's"  # type: ignore[attr-defined]
        bench.held = lambda changes: False
        await settled(explorer, pilot)
        assert title(explorer) == "changed · L0H0 · pattern"
        bench.held = is_base
        await pilot.press("d", "d")
        await pilot.pause(0.1)
        assert title(explorer) in ("clean · L0H0 · pattern", "changed · L0H0 · pattern")
        shown = drawn(explorer)
        assert np.array_equal(shown.values, clean.values * (1 if title(explorer)[1] == "l" else 0.9), equal_nan=True)
        bench.held = lambda changes: False
        await settled(explorer, pilot)
        assert title(explorer) == "Δ changed − clean · L0H0 · pattern"


async def test_a_change_that_cannot_be_is_said_and_taken_off_again() -> None:
    bench = Choosy()
    async with driven(bench=bench) as (explorer, pilot):
        clean = drawn(explorer)
        bench.refused = bool
        await pressed(explorer, pilot, "a")
        assert "refused on purpose" in explorer.main.heatmap.message
        assert title(explorer) == "changed · L0H0 · pattern"
        assert "refused on purpose" in explorer.panel.picture.message  # type: ignore[union-attr]
        await pressed(explorer, pilot, "d")
        assert drawn(explorer).values is clean.values
        await pressed(explorer, pilot, "d")
        assert "refused on purpose" in explorer.main.heatmap.message
        await pressed(explorer, pilot, "backspace", "backspace", "backspace")
        assert (title(explorer), drawn(explorer).values is clean.values) == ("L0H0 · pattern", True)


def test_a_file_gives_its_mean() -> None:
    s = loaded(file=None)
    said = stack.KEYS["toggle"](here(s.put(stack.StackLook("mean"))), "")
    assert isinstance(said, Say)
    assert "none is open" in said.sentence


@pytest.mark.parametrize("listed", ["L2.mlp", "L1N17", "L3H1", "L0.attn"])
def test_what_a_list_names_comes_first(listed: str) -> None:
    made = stack.KEYS["toggle"](here(loaded()), listed)
    assert isinstance(made, Selection)
    assert made.stack == (Entry(Ablation(listed)),)


def test_what_is_no_part_is_passed_over() -> None:
    made = stack.KEYS["toggle"](here(loaded(layer=2, head=3)), "rounding")
    assert isinstance(made, Selection)
    assert made.stack[0].change == Ablation("L2H3")
    said = stack.KEYS["toggle"](here(loaded(head=None)), "embed")
    assert isinstance(said, Say)


def test_changes_are_named_as_they_are_written() -> None:
    assert str(Ablation("L1H3", positions=(2, 4))) == "L1H3 zero @2,4"
    assert str(Ablation("L1.mlp", "noise", amount=2.0)) == "L1.mlp noise σ 2"
    assert str(CutEdge("L1H3", 5, 3)) == "L1H3 5→3 knockout"
