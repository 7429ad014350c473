"""What chooses heads and tokens: labels of the tree, its order, settings and filters as they are typed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tui.finding import Finding

from tests.app.recorded import head
from tui import finding
from tui.engine.jobs import Repeats, TokenFilter
from tui.results import Axis, Grid, Pairs, frozen


def scores(values: dict[str, tuple[float, ...]], names: tuple[str, ...]) -> Grid:
    rows, numbers = Axis("head", tuple(values)), frozen(np.array(list(values.values())))
    return Grid(head("head-scores", "q", "f"), numbers, rows, Axis("score", names), False)


GRID = scores(
    {"L0H0": (0.97, 0.1, 0.0, 0.2), "L0H1": (0.1, 0.2, 0.3, 0.9), "L1H0": (0.5, 0.1, 0.93, 0.99),
     "L1H1": (0.1, 0.1, 0.1, np.nan)},
    ("previous token", "duplicate token", "induction", "first token"),
)  # fmt: skip


def test_a_head_is_labelled_by_its_strongest_score() -> None:
    labels = finding.label_texts(GRID)
    assert labels == {(0, 0): "prev 0.97", (1, 0): "ind 0.93", (0, 1): "first 0.90"}


def test_attention_on_the_first_token_labels_only_heads_that_do_nothing_else() -> None:
    assert finding.label_texts(GRID)[1, 0] == "ind 0.93", "although it rests on the first token more"


def test_copying_labels_too_once_it_is_known() -> None:
    copying = scores({"L1H1": (0.87,), "L0H0": (0.99,)}, ("copying",))
    labels = finding.label_texts(GRID, copying, None)
    assert labels[1, 1] == "copy 0.87"
    assert labels[0, 0] == "copy 0.99"


@pytest.mark.parametrize(
    ("text", "heads"),
    [("ind", {(1, 0)}), ("prev", {(0, 0)}), ("ind>0.95", set()), ("ind > 0.9", {(1, 0)}), ("L1", {(1, 0), (1, 1)}),
     ("nothing", set()), ("ind>x", set())],
)  # fmt: skip
def test_the_tree_is_filtered_by_label(text: str, heads: set[tuple[int, int]]) -> None:
    order = finding.tree_order(Finding(tree_filter=text), GRID, finding.label_texts(GRID))
    assert order is not None
    assert set(order) == heads


def test_the_tree_is_sorted_by_the_score_of_heads() -> None:
    f = Finding(by_score=True, score="first token")
    assert finding.tree_order(f, GRID, {}) == ((1, 0), (0, 1), (0, 0), (1, 1)), "what has no number comes last"
    assert finding.tree_order(replace(f, by_score=False), GRID, {}) is None
    assert finding.tree_order(f, None, {}) is None, "not computed yet"


def test_pair_searches_are_scores_once_there_are_pairs() -> None:
    assert "pairs, QK" not in Finding().scores
    assert "pairs, OV" in Finding(pairs=Pairs(((1, 2),), (("a", "b"),))).scores


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("seed=3 rows=2 length=20", Repeats(3, 2, 20)),
        ("seed 3", Repeats(3)),
        ("length=auto, rows=4", Repeats(0, 4)),
        ("", Repeats()),
        ("rows=0", "rows must be from 1 to 256"),
        ("length=64", "length must be from 1 to 31"),
        ("seed=-1", "seed"),
        ("speed=3", "no setting"),
        ("bos=on", "B switches it"),
        ("rows=many", "whole number"),
    ],
)
def test_settings_of_the_random_tokens(text: str, want: Repeats | str) -> None:
    got = finding.parse_repeats(text, Repeats(), 31)
    assert got == want if isinstance(want, Repeats) else want in str(got)


def test_settings_read_back_as_they_are_shown() -> None:
    repeats = Repeats(5, 3, 12)
    assert finding.parse_repeats(finding.repeats_text(repeats), Repeats(), 31) == repeats


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", TokenFilter()),
        ("3+", TokenFilter(shortest=3)),
        ("same", TokenFilter(same=False)),
        ("/ing$/ 4+, same", TokenFilter(False, 4, "ing$")),
        ("/a b/", TokenFilter(pattern="a b")),
        ("/(/", "no regular expression"),
        ("long", "no filter"),
    ],
)
def test_filters_of_tokens(text: str, want: TokenFilter | str) -> None:
    got = finding.parse_filter(text)
    assert got == want if isinstance(want, TokenFilter) else want in str(got)


def test_the_earlier_head_comes_first_in_a_path() -> None:
    f = Finding(other=(0, 2))
    assert finding.path(f, (2, 1)) == ((0, 2), (2, 1))
    assert finding.path(replace(f, other=(3, 0), direction="into"), (2, 1)) == ((2, 1), (3, 0))
    assert list(finding.others(f, 2, 4)) == [0, 1]
    assert list(finding.others(replace(f, direction="into"), 2, 4)) == [3]
