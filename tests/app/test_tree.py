"""The tree of heads: labels, order and filter."""

from __future__ import annotations

import numpy as np
import pytest

from tests.app.recorded import KEY, head
from tests.app.selected import loaded
from tui import questions, tree
from tui.declared import Problem
from tui.engine.jobs import CopyingScores, HeadScores, Repeats
from tui.notes import Note
from tui.pages.scores import ScoresLook
from tui.results import Axis, Grid, frozen
from tui.selection import Selection
from tui.tree import TreeLook


def scores(values: dict[str, tuple[float, ...]], names: tuple[str, ...]) -> Grid:
    rows, numbers = Axis("head", tuple(values)), frozen(np.array(list(values.values())))
    return Grid(head("head-scores", "q", "f"), numbers, rows, Axis("score", names), False)


GRID = scores(
    {"L0H0": (0.97, 0.1, 0.0, 0.2), "L0H1": (0.1, 0.2, 0.3, 0.9), "L1H0": (0.5, 0.1, 0.93, 0.99),
     "L1H1": (0.1, 0.1, 0.1, np.nan)},
    ("previous token", "duplicate token", "induction", "first token"),
)  # fmt: skip


NOTES = {"L0H1": Note("L0H1", "", True), "L1H1": Note("L1H1", "it copies", False)}


def test_a_head_is_labelled_by_its_strongest_score() -> None:
    labels = tree.label_texts(GRID)
    assert labels == {(0, 0): "prev 0.970", (1, 0): "ind 0.930", (0, 1): "first 0.900"}


def test_attention_on_the_first_token_labels_only_heads_that_do_nothing_else() -> None:
    assert tree.label_texts(GRID)[1, 0] == "ind 0.930", "although it rests on the first token more"


def test_copying_labels_too_once_it_is_known() -> None:
    copying = scores({"L1H1": (0.87,), "L0H0": (0.99,)}, ("copying",))
    labels = tree.label_texts(GRID, copying, None)
    assert labels[1, 1] == "copy 0.870"
    assert labels[0, 0] == "copy 0.990"


def test_a_head_says_the_score_that_heads_are_sorted_by() -> None:
    assert tree.score_texts("induction", GRID)[1, 1] == "ind 0.100", "also where it labels nobody"
    assert (1, 1) not in tree.score_texts("first token", GRID), "what has no number has no text"
    assert tree.score_texts("pairs, QK", scores({"L1H1": (2.5, 1.0)}, ("mean z", "worst z"))) == {(1, 1): "z QK 2.500"}


@pytest.mark.parametrize(
    ("text", "heads"),
    [("ind", {(1, 0)}), ("prev", {(0, 0)}), ("ind>0.95", set()), ("ind > 0.9", {(1, 0)}), ("ind>0.93", set()),
     ("ind>0.2", {(0, 1), (1, 0)}), (">0.2", {(0, 1), (1, 0)}), ("prev>0.4", {(0, 0), (1, 0)}), ("★", {(0, 1)}),
     ("note", {(1, 1)}), ("note Copies", {(1, 1)}), ("note x", set()), ("L1", {(1, 0), (1, 1)}),
     ("nothing", set())],
)  # fmt: skip
def test_the_tree_is_filtered_by_label(text: str, heads: set[tuple[int, int]]) -> None:
    order = tree.order(TreeLook(filter=text), "induction", GRID, tree.label_texts(GRID), GRID, NOTES)
    assert order is not None
    assert set(order) == heads


def test_the_tree_is_sorted_by_the_score_of_heads() -> None:
    look = TreeLook(by_score=True)
    order = tree.order(look, "first token", GRID, {})
    assert order == ((1, 0), (0, 1), (0, 0), (1, 1)), "what has no number comes last"
    assert tree.order(TreeLook(), "first token", GRID, {}) is None
    assert tree.order(look, "first token", None, {}) is None, "not computed yet"


def test_what_labels_and_sorts_the_tree_is_computed() -> None:
    s = loaded()
    assert [job for job in tree.needs(s) if job] == [HeadScores(KEY, Repeats())]
    by_score = s.put(TreeLook(by_score=True), ScoresLook("copying"))
    assert [type(job) for job in tree.needs(by_score) if job] == [HeadScores, CopyingScores]
    filtered = [type(job) for job in tree.needs(s.put(TreeLook(filter="copy>0.5"))) if job]
    assert filtered == [HeadScores, CopyingScores]
    assert [job for job in tree.needs(Selection()) if job] == []


def test_the_filter_is_asked_for_where_the_page_has_none_of_its_own() -> None:
    question = questions.named("filter", loaded(page="lens"))
    assert question is tree.TREE
    answered = question.answered(loaded(), "ind>0.6")
    assert isinstance(answered, Selection)
    assert answered.look(TreeLook).filter == question.before(answered) == "ind>0.6"
    assert isinstance(question.answered(loaded(), "ind>>"), Problem)
    assert questions.named("filter", loaded(page="pairs")) is not tree.TREE
