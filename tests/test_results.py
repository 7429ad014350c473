"""What results say of themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tui.results import Axis, Grid, Header, Limits, frozen, none_above

SHARE, SIGNED = (0.0, 1.0), (-1.0, 1.0)


def scores(*values: float, limits: Limits | None = SHARE) -> Grid:
    heads = Axis("head", tuple(f"H{i}" for i in range(len(values))))
    header, layer = Header("head-scores", "", ""), Axis("layer", ("L0",))
    return Grid(header, frozen(np.array([values])), layer, heads, diverging=False, limits=limits)


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        (scores(0.013, 0.0), "no head above 0.1"),
        (scores(0.1, np.nan), "no head above 0.1"),
        (scores(0.1001, 0.0), ""),
        (scores(0.9), ""),
        (scores(np.nan, np.nan), ""),
        (scores(), ""),
        (scores(0.01, limits=None), ""),
        (scores(0.01, -0.09, limits=SIGNED), "no head beyond ±0.1"),
        (scores(0.01, -0.2, limits=SIGNED), ""),
        (replace(scores(0.01), header=Header("head-scores", "", "", partial=True)), ""),
    ],
)
def test_no_head_does_it(grid: Grid, sentence: str) -> None:
    assert none_above(grid) == sentence


def test_columns_may_have_limits_of_their_own() -> None:
    grid = scores(0.1, 0.2, 0.3)
    assert [grid.limits_of(column) for column in range(3)] == [SHARE] * 3
    mixed = replace(grid, limits=None, column_limits=(SHARE, SIGNED, None))
    assert [mixed.limits_of(column) for column in range(3)] == [SHARE, SIGNED, None]
