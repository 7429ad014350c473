"""A file of pairs: opened by P, walked, patched over, closed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.app.driving import drawn, driven, notice, pressed, settled, text_of, until
from tests.app.recorded import RecordedBench
from tests.app.selected import here, loaded
from tui import moves, pages
from tui.declared import Nothing, Problem, Say
from tui.engine.jobs import Ablation, PatchingGrid, PatchingOver, PreparePrompts
from tui.explorer import Explorer
from tui.pages.pair import PAIR
from tui.pages.patching import PatchingLook
from tui.questions import prompt_file
from tui.results import Grid
from tui.selection import Entry, Pair, Selection, prepared
from tui.views.ask import Ask

ROWS = (("The capital of France is", "The capital of Rome is", "Paris", "London"),
        ("The king of France is", "The queen of France is", "", ""))  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "pairs.jsonl"
    keys = ("clean", "corrupted", "answer", "distractor")
    rows = ({key: word for key, word in zip(keys, row, strict=True) if word} for row in ROWS)
    made.write_text("\n".join(map(json.dumps, rows)))
    return made


@pytest.fixture
def s(path: Path) -> Selection:
    """On the file, tokenized."""
    opened = PAIR.answered(loaded(text="The king", pair=Pair("The queen")), str(path))
    assert isinstance(opened, Selection)
    assert opened.file is not None
    assert opened.key is not None
    job = PreparePrompts(opened.key, "pairs.jsonl", opened.file.rows, True)
    return prepared(opened, job, RecordedBench().compute(job, None))


def test_it_opens_over_all_pairs(s: Selection) -> None:
    assert (s.page, s.text, s.pair) == ("patching", ROWS[0][0], Pair(ROWS[0][1]))
    assert s.file is not None
    assert s.file.count == "2 pairs"
    job = pages.of(s).shown(s)
    assert job == PatchingOver(s.key, s.file.prepared)  # type: ignore[arg-type]
    words = pages.of(s).words(s)
    assert words == ["z by head", "logit difference, ratio of means", "denoise: clean into corrupted",
                     "over pairs.jsonl (2 pairs)"]  # fmt: skip
    chosen = s.put(PatchingLook("mlp_out by position", "probability", "noise"))
    assert pages.of(s).shown(chosen) == PatchingOver(s.key, s.file.prepared, "mlp_out", "probability", "noise")  # type: ignore[arg-type]
    assert pages.of(s).words(chosen)[0] == "mlp_out by layer"


def test_the_picture_is_the_ratio_and_the_line_has_the_rest(s: Selection) -> None:
    for of, shape, name in (("z by head", (4, 4), "L2H3"), ("mlp_out by position", (4, 1), "L2.mlp")):
        there = pages.of(s).at(s.put(PatchingLook(of)), 2, 3 if shape[1] == 4 else 0)
        known = here(there)
        whole = known.result(pages.of(there).shown(there))
        assert isinstance(known.drawn, Grid)
        assert isinstance(whole, Grid)
        assert np.array_equal(known.drawn.values.ravel(), whole.values[:, 0])
        assert known.drawn.values.shape == shape
        line = "".join(text for text, _ in pages.of(there).line(known))
        row = whole.values[whole.rows.labels.index(name)]
        assert line.startswith(f" {name} ")
        for label, value in zip(("ratio of means", "spread", "same sign"), row, strict=True):
            assert f"{label} {value:.3f}".replace("-", "−") in line
    table = pages.of(s).panels[0].shape(here(s), here(s).result(pages.of(s).shown(s)))  # type: ignore[arg-type]
    assert table.columns == ("part", "ratio", "spread", "same sign")  # type: ignore[union-attr]


def test_what_is_of_one_pair_says_so(s: Selection) -> None:
    there = moves.cycle(s.put(PatchingLook("pattern by head")), "unit", "")
    assert there[0].look(PatchingLook).of == "resid_pre by position"
    assert "F shows one pair" in there[1]
    assert "F shows one pair" in moves.cycle(s, "span", "")[1]
    one = moves.toggle_over(s)
    assert isinstance(one, Selection)
    assert not isinstance(pages.of(one).shown(one), PatchingOver)


def test_walking_shows_each_pair_with_its_answers(s: Selection) -> None:
    first = moves.step_prompt(s, 2)
    assert isinstance(first, Selection)
    assert first.answer is not None
    assert (first.text, first.pair, first.answer.label) == (ROWS[0][0], Pair(ROWS[0][1]), "·Paris − ·London")
    second = moves.step_prompt(first, 1)
    assert isinstance(second, Selection)
    assert (second.text, second.pair, second.answer) == (ROWS[1][0], Pair(ROWS[1][1]), None)


def test_closing_it_brings_back_what_was_typed(s: Selection) -> None:
    for there in (s, moves.step_prompt(s, 1)):
        assert isinstance(there, Selection)
        closed = PAIR.answered(there, "")
        assert isinstance(closed, Selection)
        assert (closed.text, closed.pair, closed.file) == ("The king", Pair("The queen"), None)


def test_a_file_without_pairs_is_said(s: Selection, tmp_path: Path) -> None:
    plain = tmp_path / "facts.jsonl"
    plain.write_text('{"prompt": "The king"}')
    for text, sentence in ((str(plain), "has no clean and corrupted prompts"), ("none.jsonl", "could not be read")):
        answer = PAIR.answered(s, text)
        assert isinstance(answer, Problem)
        assert sentence in answer.sentence
    opened = prompt_file(s, str(plain))
    assert isinstance(opened, Selection)
    assert opened.pair == Pair("The queen"), "the file's pair goes with the file"
    assert not pages.of(opened).is_over(opened)
    said = moves.toggle_over(opened)
    assert isinstance(said, Say)
    assert "has no pairs for Patching" in said.sentence


def test_a_changed_model_is_refused_with_the_key_and_clean_works(s: Selection) -> None:
    for contrast in ("changed", "difference"):
        changed = Selection(**{**vars(s), "stack": (Entry(Ablation("L0H0")),), "contrast": contrast})
        why = pages.of(changed).shown(changed)
        assert isinstance(why, Nothing)
        assert "d goes on to the clean one" in why.why
    assert isinstance(pages.of(s).shown(changed.clean), PatchingOver)
    one = moves.toggle_over(changed.clean)
    assert isinstance(one, Selection)
    assert "unchanged" not in getattr(pages.of(one).shown(one), "why", "")


async def asked(explorer: Explorer, pilot: Pilot[None], text: str) -> None:
    await pilot.press("P")
    await until(pilot, lambda: isinstance(explorer.app.screen, Ask))
    explorer.app.screen.query_one(Input).value = text
    await pilot.press("enter")
    await settled(explorer, pilot)


async def test_by_keys(path: Path) -> None:
    bench = RecordedBench()
    async with driven(bench=bench) as (explorer, pilot):
        await asked(explorer, pilot, str(path))
        assert "over pairs.jsonl (2 pairs)" in text_of(explorer, "#title")
        assert "pairs.jsonl · 2 pairs" in text_of(explorer, "#prompt-file")
        assert "has pairs: Patching (9)" in notice(explorer)
        assert drawn(explorer).values.shape == (4, 4)
        rows = explorer.panel.bars.table
        assert rows is not None
        assert rows.columns == ("part", "ratio", "spread", "same sign")
        await pressed(explorer, pilot, "j", "l", "m", "r")
        assert "same sign" in text_of(explorer, "#inspector")
        assert "log-probability, ratio of means · noise" in text_of(explorer, "#title")
        await pressed(explorer, pilot, "greater_than_sign")
        assert explorer.selection.text == ROWS[1][0]
        assert "The [king|queen] of France is" in text_of(explorer, "#explanation")
        assert any(isinstance(job, PatchingGrid) for job in bench.computed)
        await pressed(explorer, pilot, "F")
        assert "over pairs.jsonl" in text_of(explorer, "#title")
        await asked(explorer, pilot, "")
        assert explorer.selection.file is None
