"""The circuit that is put together: ``c`` on parts anywhere, its panel over the open file, its file beside notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.driving import driven, notice, pressed, settled, text_of, until
from tests.app.recorded import KEY, RecordedBench, info
from tests.app.selected import FILE, here, loaded
from tui import kept, notes
from tui.declared import Nothing, Problem, Say
from tui.engine.jobs import CircuitScores, Prompts
from tui.names import Circuit, circuit
from tui.page import offered
from tui.pages import of
from tui.pages.chosen import PANEL, QUESTION, ChosenLook, chosen, of_model
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
    edges = (("embed", "L0H1.q"), ("L0H1", "L3.mlp"), ("L0H1", "L7H0.k"), ("L3.mlp", "logits"))
    kept_once = {"one": Circuit(("L0H1", "L3.mlp", "L7H0", "L0H9"), edges), "two": Circuit(("L1H1",))}
    there = of_model(s, kept_once)
    assert parts(there) == ("L0H1", "L3.mlp")
    look = there.look(ChosenLook)
    assert (look.edges, look.name, look.others) == ((*edges[:2], edges[3]), "one", (("two", Circuit(("L1H1",))),))
    without = of_model(replace(s, model=info(has_mlp=False)), kept_once)
    assert parts(without) == ("L0H1",)
    assert without.look(ChosenLook).edges == edges[:1]
    assert of_model(s, {}) == s


def test_an_edge_comes_with_its_parts_and_goes_with_one() -> None:
    s = chosen(loaded(), "L0H2 → L1H1.k")
    assert parts(s) == ("L0H2", "L1H1")
    assert isinstance(s, Selection)
    assert s.panel == PANEL.name
    more = chosen(chosen(s, "embed -> L0H2.v"), "L1H1 -> logits")  # type: ignore[arg-type]
    assert isinstance(more, Selection)
    edges = (("embed", "L0H2.v"), ("L0H2", "L1H1.k"), ("L1H1", "logits"))
    assert more.look(ChosenLook).edges == edges
    gone = chosen(more, "L0H2 → L1H1.k")
    assert isinstance(gone, Selection)
    assert gone.look(ChosenLook).circuit == Circuit(("L0H2", "L1H1"), (edges[0], edges[2]))
    less = chosen(more, "L1H1")
    assert isinstance(less, Selection)
    assert less.look(ChosenLook).circuit == Circuit(("L0H2",), edges[:1])
    said = chosen(more, "L1H1 → L0H2.q")
    assert said == Say("L1H1 does not come before L0H2.q: it sends nothing to it")


def test_circuits_have_names() -> None:
    def answered(s: Selection, text: str) -> Selection:
        there = QUESTION.answered(s, text)
        assert isinstance(there, Selection)
        return there

    s = chosen(loaded(), "L0H1")
    assert isinstance(s, Selection)
    assert QUESTION.lists(s) == "circuit (1 part)"
    named = answered(s, "induction")
    assert (named.look(ChosenLook).title, parts(named)) == ("circuit induction", ("L0H1",)), "a name for what has none"
    new = answered(named, "ioi")
    assert (new.look(ChosenLook).title, parts(new)) == ("circuit ioi", ())
    why = PANEL.job(here(new))
    assert isinstance(why, Nothing)
    assert why.why.startswith("it is empty: c puts")
    both = chosen(new, "L1H2 → logits")
    assert isinstance(both, Selection)
    assert QUESTION.lists(both) == "ioi (1 part and 1 edge) · induction (1 part)"
    assert PANEL.title(here(both)) == "circuit ioi of 1 part and 1 edge"
    back = answered(both, "induction")
    assert (parts(back), QUESTION.before(back)) == (("L0H1",), "induction")
    left = answered(back, "")
    assert (left.look(ChosenLook).name, parts(left)) == ("ioi", ("L1H2",))
    none = answered(left, "")
    assert none.look(ChosenLook) == ChosenLook()
    assert QUESTION.before(none) == ""
    for text in ("[a]", "x" * 41, "a#b"):
        assert isinstance(QUESTION.answered(both, text), Problem)


def test_its_file_is_what_the_export_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, two = Circuit(("L0H1", "L1.mlp")), circuit([], [("L0H2", "L1H1.k"), ("embed", "L0H2.v")])
    assert kept.read(KEY, "demo") == ({}, "")
    assert kept.write(KEY, "demo", "circuit", one) == ""
    path = kept.path_of(KEY, "demo")
    assert path.read_text() == "# demo\nL0H1\nL1.mlp\n"
    assert path.parent == notes.notes_file(KEY, "demo").parent
    assert kept.write(KEY, "demo", "two", two) == ""
    assert path.read_text() == (
        "# demo\n[two]\nL0H2\nL1H1\nembed -> L0H2.v\nL0H2 -> L1H1.k\n[circuit]\nL0H1\nL1.mlp\n"
    )
    assert kept.read(KEY, "demo") == ({"two": two, "circuit": one}, "")
    assert kept.write(KEY, "demo", "empty", Circuit()) == ""
    assert list(kept.read(KEY, "demo")[0]) == ["empty", "two", "circuit"]
    assert kept.write(KEY, "demo", "two", None) == ""
    assert list(kept.read(KEY, "demo")[0]) == ["empty", "circuit"]
    path.write_text("L0H1\nnonsense\n")
    found, problem = kept.read(KEY, "demo")
    assert found == {}
    assert "line 2" in problem
    said = kept.write(KEY, "demo", "circuit", one)
    aside = path.with_name(f"{path.stem}.unread-1.txt")
    assert aside.name in said
    assert aside.read_text() == "L0H1\nnonsense\n", "what could not be read is not lost"
    assert kept.read(KEY, "demo") == ({"circuit": one}, "")
    path.unlink()
    path.parent.chmod(0o500)
    try:
        said = kept.write(KEY, "demo", "circuit", one)
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


async def test_edges_and_names_by_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths marks edges; Z names, switches and forgets; the file holds them all."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "facts.jsonl"
    file.write_text(ANSWERED)
    async with driven(prompts=str(file)) as (explorer, pilot):
        await until(pilot, lambda: explorer.selection.file is not None and explorer.selection.file.prepared is not None)
        await pressed(explorer, pilot, "P", *"The capital of England is", "enter")
        await pressed(explorer, pilot, "Y", "j", "l", "c")
        look = explorer.selection.look(ChosenLook)
        assert look.circuit == Circuit(("L1H1",), (("L1H1", "logits"),)), "one part: the logits are none"
        await pressed(explorer, pilot, "enter", "k", "c")
        look = explorer.selection.look(ChosenLook)
        assert look.edges == (("L0H1", "L1H1.q"), ("L1H1", "logits"))
        assert "circuit of 2 parts and 2 edges" in str(explorer.panel.border_title)
        rows = explorer.panel.bars.table
        assert rows is not None
        assert [row[0] for row in rows.rows][-2:] == ["L0H1 → L1H1.q", "L1H1 → logits"]
        await pressed(explorer, pilot, "quotation_mark", *"mine", "enter")
        assert "circuit mine: L0H1, L1H1, L0H1 -> L1H1.q, L1H1 -> logits · kept in" in notice(explorer)
        await pressed(explorer, pilot, "quotation_mark", *"other", "enter")
        assert "circuit other of 0 parts" in str(explorer.panel.border_title)
        await pressed(explorer, pilot, "6", "c")
        assert explorer.selection.look(ChosenLook).all.keys() == {"other", "mine"}
        await pressed(explorer, pilot, "quotation_mark", "backspace", "enter")
        assert "circuit other is gone; it was L0H1" in notice(explorer)
        assert explorer.selection.look(ChosenLook).name == "mine"
    assert kept.path_of(KEY, "demo").read_text().splitlines()[1:] == [
        "[mine]", "L0H1", "L1H1", "L0H1 -> L1H1.q", "L1H1 -> logits"
    ]  # fmt: skip
