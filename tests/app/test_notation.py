"""Interventions as they are written: what is read, what is refused, and that both ways agree."""

from __future__ import annotations

import pytest

from tests.app.recorded import KEY
from tests.app.selected import loaded
from tui import notation, questions
from tui.declared import Problem
from tui.engine.jobs import Ablation, Change, CutEdge, Patch, Prompts, Run
from tui.selection import Entry, Selection

REFERENCE = Prompts("key", "rows.txt", (), (), ())


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("L1H3", Ablation("L1H3")),
        ("l1h3 zero", Ablation("L1H3")),
        ("L1H3@4", Ablation("L1H3", positions=(4,))),
        ("L2.mlp@-3--1 mean", Ablation("L2.mlp", "mean", (-3, -2, -1), reference=REFERENCE)),
        ("L1N17 scale 0.5", Ablation("L1N17", "scale", amount=0.5)),
        ("L1H3 noise 2 seed 7", Ablation("L1H3", "noise", amount=2.0, seed=7, reference=REFERENCE)),
        ("L1 folded", Ablation("L1", "zero, value biases folded")),
        ("L0.attn resample seed 3", Ablation("L0.attn", "resample", seed=3, reference=REFERENCE)),
        ("L1H3 5>3", CutEdge("L1H3", 5, 3)),
        ("L1H3 -1→0 drop", CutEdge("L1H3", -1, 0, "drop")),
    ],
)
def test_lines(line: str, want: Change) -> None:
    assert notation.read(line, REFERENCE, "processed") == want
    assert notation.read(notation.written(want), REFERENCE, "processed") == want


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "nothing is named"),
        ("Paris", "is no part"),
        ("L1H3,L2H1", "one part a line"),
        ("L1H3 gone", "no way of changing a part"),
        ("L1H3 patch", "no other prompt"),
        ("L1H3 zero 3", "does not belong there"),
        ("L1H3 scale", "needs a number"),
        ("L1H3 scale much", "does not belong there"),
        ("L1.mlp 5>3", "is no head"),
        ("L1H3@5-2", "goes upwards"),
    ],
)
def test_what_is_no_change(line: str, sentence: str) -> None:
    got = notation.read(line, REFERENCE, "processed")
    assert isinstance(got, str)
    assert sentence in got


def test_a_part_as_in_the_other_prompt() -> None:
    other = Run(KEY, (1, 2, 3), True)
    change = notation.read("L1H3@2 patch", None, "processed", other)
    assert change == Patch("L1H3", other, (2,))
    assert notation.written(change) == "L1H3@2 patch"
    assert str(change) == "L1H3 of the other prompt @2"


def test_a_mean_needs_a_file() -> None:
    got = notation.read("L1H3 mean", None, "processed")
    assert isinstance(got, str)
    assert "none is open" in got


def test_a_file_of_changes() -> None:
    text = "# the circuit\nL1H3  # a head\n\nL2.mlp scale 0\n"
    assert notation.read_file(text, None, "raw", str) == (
        Ablation("L1H3", weights="raw"), Ablation("L2.mlp", "scale", amount=0.0, weights="raw"),
    )  # fmt: skip
    assert notation.read_file("L1H3\n\nnonsense", None, "raw", str) == (3, notation.read("nonsense", None, "raw"))


def test_the_question_edits_the_last_change() -> None:
    s = loaded(file=None)
    question = questions.named("change", s)
    first = question.answered(s, "L1H3; L0H1 3>2")
    assert isinstance(first, Selection)
    assert [entry.change for entry in first.stack] == [Ablation("L1H3"), CutEdge("L0H1", 3, 2)]
    assert question.before(first) == "L0H1 3>2"
    second = question.answered(first, "L0H1 3>2 drop")
    assert isinstance(second, Selection)
    assert second.stack == (Entry(Ablation("L1H3")), Entry(CutEdge("L0H1", 3, 2, "drop")))
    third = question.answered(second, "")
    assert isinstance(third, Selection)
    assert third.stack == (Entry(Ablation("L1H3")),)
    problem = question.answered(third, "L1H3 mean")
    assert isinstance(problem, Problem)
    assert "O opens one" in problem.sentence
