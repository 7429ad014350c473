"""Results in the shape that a view draws: the same numbers in other places."""

from __future__ import annotations

import numpy as np

from tests.app.recorded import KEY, RecordedBench, attribution_grid, head
from tui import arrange
from tui.engine.jobs import Composition, HeadScores, Repeats, Run, ScoreParts, TopPairs
from tui.names import part_name
from tui.results import Axis, Grid, Table, frozen

GRID = attribution_grid("head", None, 3, ("attribution",))


def test_parts_by_layer_and_head_keep_their_numbers() -> None:
    picture = arrange.by_layer(GRID)
    assert picture.rows.labels == ("L0", "L1", "L2", "L3")
    assert picture.cols.labels == ("H0", "H1", "H2", "H3", "bias", "MLP")
    for row in range(4):
        for col, name in enumerate(picture.cols.labels):
            part = part_name(row, name)
            assert picture.values[row, col] == GRID.values[GRID.rows.labels.index(part), 0]


def test_layers_without_some_part_have_a_hole_there() -> None:
    names = ("embed", "L0H0", "L0.mlp", "L1H0", "L1.bias", "L1H1")
    grid = Grid(head("a", "q", "f"), frozen(np.arange(6)[:, None]), Axis("part", names), Axis("c", ("x",)), True)
    picture = arrange.by_layer(grid)
    assert picture.cols.labels == ("H0", "H1", "bias", "MLP")
    assert np.isnan(picture.values).tolist() == [[False, True, True, False], [False, False, False, True]]


def test_ranked_by_size_whatever_the_sign() -> None:
    table = arrange.ranked(GRID)
    assert table.columns == ("part", "attribution")
    sizes = [abs(float(row[1])) for row in table.rows]  # type: ignore[arg-type]
    assert sizes == sorted(sizes, reverse=True)
    assert {str(row[0]) for row in table.rows} == set(GRID.rows.labels), "embed, biases and rounding have their rows"


def test_mean_and_spread_stand_side_by_side() -> None:
    over = attribution_grid("head", None, 2, ("mean", "spread"))
    assert arrange.ranked(over).columns == ("part", "mean", "spread")
    assert arrange.ranked(over).bar == "mean"
    assert np.array_equal(arrange.by_layer(over).values[0, 0], over.values[2, 0])


def test_pairs_are_ranked_with_both_names() -> None:
    grid = RecordedBench().compute(ScoreParts(Run(KEY, (1, 2, 3), False), 1, 0, 2, 1), None)
    table = arrange.ranked_pairs(grid)
    query, key, value = table.rows[0]
    row, col = np.unravel_index(np.abs(grid.values).argmax(), grid.values.shape)
    assert (query, key) == (grid.rows.labels[row], grid.cols.labels[col])
    assert value == grid.values[row, col]
    assert len(table.rows) == min(arrange.PAIRS, grid.values.size)


def test_rows_that_come_ranked_stay_in_their_order() -> None:
    grid = attribution_grid("neuron", 1, 3, ("attribution",))
    table = arrange.ranked_in_order(grid)
    assert [row[0] for row in table.rows] == list(grid.rows.labels)
    assert [row[1] for row in table.rows] == grid.values[:, 0].tolist()


HEADS = Grid(
    head("head-scores", "q", "f"), frozen(np.array([[0.1, 0.9], [np.nan, 0.2], [0.7, 0.3]])),
    Axis("head", ("L0H0", "L0H1", "L1H0")), Axis("score", ("induction", "copying")), False,
)  # fmt: skip


def test_heads_are_ranked_by_one_score_with_the_others_beside_it() -> None:
    table = arrange.ranked_heads(HEADS, 1)
    assert (table.columns, table.bar) == (("head", "copying", "induction"), "copying")
    assert [row[0] for row in table.rows] == ["L0H0", "L1H0", "L0H1"]
    by_first = arrange.ranked_heads(HEADS, 0)
    assert [row[0] for row in by_first.rows] == ["L1H0", "L0H0", "L0H1"], "what has no number comes last"


def test_heads_of_one_score_are_layer_by_head() -> None:
    picture = arrange.by_layer(HEADS, 1)
    assert (picture.rows.labels, picture.cols.labels) == (("L0", "L1"), ("H0", "H1"))
    assert np.array_equal(picture.values, np.array([[0.9, 0.2], [0.3, np.nan]], dtype=np.float32), equal_nan=True)


def test_columns_are_picked_under_shorter_names() -> None:
    table = Table(head("x", "q", "f"), ("source", "position", "contribution"), ((" a", 0, 1.5), (" b", 1, 2.5)))
    shown = arrange.picked(table, (("source", "source"), ("contribution", "gives")), "gives")
    assert (shown.columns, shown.rows, shown.bar) == (("source", "gives"), ((" a", 1.5), (" b", 2.5)), "gives")


def test_what_is_no_list_of_tokens_is_left_as_it_is() -> None:
    table = Table(head("x", "q", "f"), ("part", "norm"), (("embed", 1.0),), "norm")
    assert arrange.tokens_alone(table) is table
    assert arrange.tokens_alone(GRID) is GRID


def test_a_card_takes_the_strongest_of_each_section() -> None:
    bench = RecordedBench()
    scores, fed = bench.compute(HeadScores(KEY, Repeats()), None), bench.compute(Composition(KEY, 2, 1, "k"), None)
    pairs = bench.compute(TopPairs(KEY, 2, 1, "ov"), None)
    made = arrange.card({"pattern": None, "scores": scores, "fed by (K)": fed, "OV pairs": pairs}, "L2H1")
    assert made is not None
    sections = [str(row[0]) for row in made.rows]
    assert sections == [
        *["scores, share"] * 4, "scores, nats",
        *["fed by (K), z"] * arrange.CARD_HEADS, *["OV pairs, logit"] * len(pairs.rows)
    ]  # fmt: skip
    z = dict(zip(fed.rows.labels, fed.values[:, 1].tolist(), strict=True))
    best = sorted(z, key=lambda name: -z[name])[: arrange.CARD_HEADS]
    assert [row[1] for row in made.rows if row[0] == "fed by (K), z"] == best
    assert arrange.card({"scores": None}, "L2H1") is None, "nothing is known yet"
