"""Results in the shape that a view draws: the same numbers in other places."""

from __future__ import annotations

import numpy as np
import pytest

from tests.app.recorded import KEY, RecordedBench, attribution_grid, head
from tui import arrange
from tui.engine.jobs import Run, ScoreParts
from tui.results import Axis, Grid, Table, frozen

GRID = attribution_grid("head", None, 3, ("attribution",))


def test_parts_by_layer_and_head_keep_their_numbers() -> None:
    picture = arrange.by_layer(GRID)
    assert picture.rows.labels == ("L0", "L1", "L2", "L3")
    assert picture.cols.labels == ("H0", "H1", "H2", "H3", "bias", "MLP")
    for row in range(4):
        for col, name in enumerate(picture.cols.labels):
            part = arrange.part_at(row, name)
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


@pytest.mark.parametrize("unit", ["head", "neuron"])
def test_neurons_are_a_list_and_heads_a_picture(unit: str) -> None:
    grid = attribution_grid(unit, 1, 3, ("attribution",))
    drawn = arrange.for_view(grid, "attribution")
    assert isinstance(drawn, Table if unit == "neuron" else Grid)
    if isinstance(drawn, Table):
        assert [row[0] for row in drawn.rows] == list(grid.rows.labels), "ranked already, the rest last"
