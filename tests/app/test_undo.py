"""Undo and redo: every setting and edit, one key at a time; places are left to back and forward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.app.driving import drawn, driven, notice, placed, pressed, settled, until
from tests.app.recorded import KEY, LAYERS, RecordedBench, info
from tui import kept
from tui.choices import bare, differing, graft, put
from tui.engine.jobs import Ablation, Open
from tui.pages.chosen import ChosenLook
from tui.pages.circuit import CircuitLook
from tui.pages.pattern import PatternLook
from tui.selection import Entry, Selection
from tui.tree import TreeLook
from tui.undo import LENGTH, Undo


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        (("m",), lambda s: s.look(PatternLook).mode),
        (("2", "n"), lambda s: s.look(CircuitLook).normalize),
        (("w",), lambda s: s.weights),
        (("B",), lambda s: s.with_bos),
        (("A", *"London", "enter"), lambda s: s.answer),
        (("i", *" king", "enter"), lambda s: s.text),
        (("ctrl+n",), lambda s: s.text),
        (("a",), lambda s: s.stack),
        (("a", "E"), lambda s: s.stack),
        (("a", "d"), lambda s: s.contrast),
        (("x",), lambda s: s.stack),
        (("semicolon", *"L2", "enter"), lambda s: s.look(TreeLook).filter),
        (("P", *"Rome of Rome is of", "enter"), lambda s: s.pair and s.pair.text),
    ],
    ids=lambda keys: "".join(keys) if isinstance(keys, tuple) else "",
)
async def test_what_a_key_changed_is_undone_and_made_again(keys: tuple[str, ...], field: Any) -> None:
    async with driven() as (explorer, pilot):
        first = keys[:-1] if len(keys) == 2 else ()  # what has to be there before
        await pressed(explorer, pilot, *first)
        before = field(explorer.selection)
        await pressed(explorer, pilot, *keys[len(first) :])
        after = field(explorer.selection)
        assert before != after
        await pressed(explorer, pilot, "backspace")
        assert field(explorer.selection) == before
        assert notice(explorer).startswith("undone: now ")
        await pressed(explorer, pilot, "ctrl+r")
        assert field(explorer.selection) == after
        await pressed(explorer, pilot, "ctrl+r")
        assert "nothing was undone" in notice(explorer)


async def test_a_file_of_prompts_is_closed_and_opened_again(tmp_path: Path) -> None:
    facts = tmp_path / "facts.csv"
    facts.write_text("prompt,answer\nRome is in,Rome\nThe king of France is,Paris\n")
    async with driven() as (explorer, pilot):
        before = explorer.selection
        await placed(explorer, pilot, f"prompts {facts}")
        await pressed(explorer, pilot, "greater_than_sign", "A", "ctrl+u", *"London", "enter")
        opened = explorer.selection
        await pressed(explorer, pilot, "backspace")
        assert explorer.selection.answer is not None
        assert explorer.selection.answer.of_file
        await pressed(explorer, pilot, "backspace", "backspace")
        assert bare(explorer.selection) == bare(before)
        await pressed(explorer, pilot, "ctrl+r", "ctrl+r", "ctrl+r")
        assert bare(explorer.selection) == bare(opened)


async def test_moving_about_is_no_change_and_stays_as_it_is() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "m", "3", "right_square_bracket", "up", "7", "p", "4", "comma")
        here = explorer.selection
        await pressed(explorer, pilot, "backspace")
        there = explorer.selection
        assert there.look(PatternLook).mode == "pattern"
        assert (there.page, there.layer, there.row, there.panel) == (here.page, here.layer, here.row, here.panel)
        await pressed(explorer, pilot, "backspace")
        assert "nothing to undo" in notice(explorer)


async def test_a_prompt_that_is_typed_in_one_visit_is_one_step_and_the_cursor_comes_back() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "up", "up")
        before, grid = explorer.selection, drawn(explorer)
        await pilot.press("i")
        for letter in " king":
            await pilot.press(letter)
            await settled(explorer, pilot)
        await pressed(explorer, pilot, "enter", "i", *" queen", "enter")
        assert explorer.selection.text == before.text + " king queen"
        await pressed(explorer, pilot, "backspace")
        assert explorer.selection.text == before.text + " king", "two visits are two steps"
        await pressed(explorer, pilot, "backspace")
        assert (explorer.selection.text, explorer.selection.prompt_cell) == (before.text, before.prompt_cell)
        assert drawn(explorer) is grid


async def test_several_in_one_packet() -> None:
    async with driven() as (explorer, pilot):
        await pilot.press("a", "w", "m", "backspace", "backspace", "ctrl+r")
        await settled(explorer, pilot)
        s = explorer.selection
        assert (len(s.stack), s.weights, s.look(PatternLook).mode) == (1, "raw", "pattern")


async def test_the_one_taken_off_in_the_list_of_changes_comes_back() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "a", "right_curly_bracket", "a", "p")
        while explorer.desk.panel.bars.table is None or "changes" not in (explorer.selection.panel,):
            await pressed(explorer, pilot, "p")
        explorer.desk.panel.bars.focus()
        while explorer.desk.entry != 0:
            await pressed(explorer, pilot, "down")
        await pressed(explorer, pilot, "backspace")
        assert [str(entry.change) for entry in explorer.selection.stack] == ["L0H1 zero"]
        explorer.main.heatmap.focus()
        await pressed(explorer, pilot, "backspace")
        assert [str(entry.change) for entry in explorer.selection.stack] == ["L0H0 zero", "L0H1 zero"]


async def test_a_circuit_that_is_undone_is_kept_so() -> None:
    async with driven() as (explorer, pilot):
        await pressed(explorer, pilot, "c", "right_curly_bracket", "c")
        model = explorer.selection.model
        assert model is not None
        await pressed(explorer, pilot, "backspace")
        assert explorer.selection.look(ChosenLook).parts == ("L0H0",)
        [circuit] = kept.read(model.key, model.name)[0].values()
        assert circuit.parts == ("L0H0",)
        await pressed(explorer, pilot, "backspace")
        assert kept.read(model.key, model.name)[0] == {}


class Two(RecordedBench):
    """Two models, one with more layers."""

    def _open(self, job: Open) -> Any:
        made = super()._open(job)
        return info(n_layers=LAYERS + 2, name="other", key=job_key(job)) if job.source == "other" else made


def job_key(job: Open) -> Any:
    return replace(KEY, folder=f"/{job.source}", fingerprint=job.source)


async def test_another_model_is_undone_with_what_it_had_cost() -> None:
    async with driven(bench=Two()) as (explorer, pilot):
        await pressed(explorer, pilot, "a", "A", *"London", "enter")
        left = explorer.selection
        await pressed(explorer, pilot, "M", "ctrl+u", *"other", "enter")
        await until(pilot, lambda: explorer.selection.model is not None and explorer.selection.model.name == "other")
        assert explorer.selection.stack == ()
        await pressed(explorer, pilot, "backspace")
        await until(pilot, lambda: explorer.selection.model is not None and explorer.selection.model.name == "demo")
        await settled(explorer, pilot)
        assert bare(explorer.selection) == bare(left)


def test_what_is_remembered_is_bounded() -> None:
    undo, s = Undo(), Selection()
    for n in range(LENGTH + 5):
        after = s.put(TreeLook(filter=str(n)))
        assert undo.record(s, after)
        s = after
    steps = 0
    while (found := undo.back(s)) is not None:
        s, steps = found[0], steps + 1
    assert (steps, s.look(TreeLook).filter) == (LENGTH, "4")


def test_only_what_a_step_changed_is_put_back() -> None:
    before = Selection(weights="raw")
    after = before.put(TreeLook(filter="x"), stack=(Entry(Ablation("L0H0")),))
    choices = differing(before, after)
    assert set(choices) == {"stack", (TreeLook, "filter")}
    here = Selection(text="other", page="qk")
    assert put(here, after, choices) == here.put(TreeLook(filter="x"), stack=after.stack)


def test_a_graft_keeps_what_the_worker_found() -> None:
    here = Selection(open=Open("gpt2"), model=info(), text="a b")
    there = graft(here, Selection(page="qk", text="c"))
    assert (there.open, there.model, there.page, there.text) == (here.open, here.model, "qk", "c")
    assert bare(there) == bare(Selection(open=Open("gpt2"), page="qk", text="c"))
