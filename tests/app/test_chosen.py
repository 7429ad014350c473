"""The circuit that is put together: ``c`` on parts anywhere, its panel over the open file, its file beside notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.driving import driven, notice, pressed, settled, text_of, until
from tests.app.recorded import KEY, RecordedBench, info
from tests.app.selected import FILE, here, loaded
from tui import kept, notes
from tui.engine.jobs import CircuitScores, Prompts
from tui.page import Nothing, Say, offered
from tui.pages import of
from tui.pages.chosen import PANEL, ChosenLook, chosen, of_model
from tui.results import Table
from tui.selection import Selection, with_model

ANSWERED = '{"prompt": "The capital of France is", "answer": "Paris"}\n{"prompt": "The king", "answer": "Rome"}\n'


def parts(s: Selection | Say) -> tuple[str, ...]:
    assert isinstance(s, Selection)
    return s.look(ChosenLook).parts


def test_a_part_goes_in_and_out_in_the_models_order() -> None:
    s = chosen(loaded(), "L1H2")
    assert parts(s) == ("L1H2",)
    assert isinstance(s, Selection)
    assert s.panel == PANEL.name, "the first part shows the list"
    more = chosen(chosen(replace(s, panel="outputs"), "L0.mlp"), "L0H3")  # type: ignore[arg-type]
    assert parts(more) == ("L0H3", "L0.mlp", "L1H2")
    assert isinstance(more, Selection)
    assert more.panel == "outputs"
    assert parts(chosen(more, "L0.mlp")) == ("L0H3", "L1H2")
    for name in ("", "embed", "L1.attn", "L1N3"):
        assert isinstance(chosen(more, name), Say)


def test_the_panel_is_there_while_there_is_a_circuit() -> None:
    s = loaded()
    assert PANEL not in offered(of(s), s)
    there = s.put(ChosenLook(("L0H1",)))
    assert PANEL in offered(of(there), there)
    assert with_model(there, there.open, info()).look(ChosenLook).parts == ()


def test_its_scores_are_over_the_open_file_with_answers() -> None:
    s = loaded(ChosenLook(("L0H1", "L1.mlp")))
    why = PANEL.job(here(s))
    assert isinstance(why, Nothing)
    assert why.why == "L0H1, L1.mlp · scores are over a file of prompts with answers: O opens one, such as induction"
    why = PANEL.job(here(replace(s, file=FILE)))
    assert isinstance(why, Nothing)
    assert "prompt 2 of facts.jsonl has no answer" in why.why
    assert FILE.prepared is not None
    first = FILE.prepared
    answered = Prompts("other", first.name, first.runs, (first.targets[0],) * 2, first.texts)
    there = replace(s, file=replace(FILE, prepared=answered))
    assert PANEL.job(here(there)) == CircuitScores(KEY, answered, ("L0H1", "L1.mlp"), answered)
    assert PANEL.title(here(there)) == "circuit of 2 parts over facts.jsonl"
    table = PANEL.shape(here(there), RecordedBench().compute(PANEL.job(here(there)), None))  # type: ignore[arg-type]
    assert isinstance(table, Table)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["faithfulness"] == (0.77, "−0.13 … 0.30"), "never without its baseline"
    assert rows["L1.mlp"] == (0.15, "0.00 … 0.20")
    opened = PANEL.opens(here(there), table, list(rows).index("L0H1"))
    assert isinstance(opened, Selection)
    assert (opened.layer, opened.head) == (0, 1)
    assert isinstance(PANEL.opens(here(there), table, 0), Say)


def test_what_was_kept_is_taken_as_far_as_the_model_has_it() -> None:
    s = loaded()
    assert parts(of_model(s, ("L0H1", "L3.mlp", "L7H0", "L0H9"))) == ("L0H1", "L3.mlp")
    assert parts(of_model(replace(s, model=info(has_mlp=False)), ("L0H1", "L3.mlp"))) == ("L0H1",)


def test_its_file_is_what_the_export_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert kept.read(KEY, "demo") == ((), "")
    assert kept.write(KEY, "demo", ("L0H1", "L1.mlp")) == ""
    path = kept.path_of(KEY, "demo")
    assert path.read_text() == "# demo\nL0H1\nL1.mlp\n"
    assert path.parent == notes.notes_file(KEY, "demo").parent
    assert kept.read(KEY, "demo") == (("L0H1", "L1.mlp"), "")
    path.write_text("L0H1\nnonsense\n")
    found, problem = kept.read(KEY, "demo")
    assert found == ()
    assert "line 2" in problem
    path.unlink()
    path.parent.chmod(0o500)
    try:
        said = kept.write(KEY, "demo", ("L0H1",))
        assert said == "" or "cannot be kept" in said  # a superuser may write anywhere
    finally:
        path.parent.chmod(0o700)


async def test_a_circuit_by_keys_is_kept_for_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "facts.jsonl"
    file.write_text(ANSWERED)
    async with driven(prompts=str(file)) as (explorer, pilot):
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        await pressed(explorer, pilot, "6", "j", "l", "c")
        assert explorer.selection.look(ChosenLook).parts == ("L1H1",)
        assert "kept in" in notice(explorer)
        assert "circuit of 1 part over facts.jsonl" in str(explorer.panel.border_title)
        rows = explorer.panel.bars.table
        assert rows is not None
        assert rows.columns == ("score", "circuit", "random")
        await pressed(explorer, pilot, "k", "c", "c", "c")
        assert explorer.selection.look(ChosenLook).parts == ("L0H1", "L1H1")
    async with driven(prompts=str(file)) as (explorer, pilot):
        await settled(explorer, pilot)
        await until(pilot, lambda: explorer.selection.look(ChosenLook).parts == ("L0H1", "L1H1"))
        assert "circuit" not in text_of(explorer, "#title")
