"""Numbers in cells, layers above their parts, rows of half a line: what is read at a glance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.views.apps import Stage
from tests.views.grids import assert_clean, grid_of, random_grid
from tests.views.test_plot import NAMES, SCHEMES, is_number, wrong_cells
from tui.results import Axis
from tui.views.cells import number_in
from tui.views.colours import Scheme, contrast, palette, scale_of
from tui.views.heatmap import Heatmap
from tui.views.picture import picture

VALUES = (0.914, -0.371, 9.82, -10.948, 123.4, -1234.0, 0.0123, -0.0123, 3.4e-7, -8.8e-13, 5e-324, 9e30, -9e30, 0.9999)


@pytest.mark.parametrize("columns", range(3, 14))
def test_a_number_fills_its_cell_and_is_the_value(columns: int) -> None:
    for value in VALUES:
        text = number_in(value, columns)
        assert len(text) == columns
        assert text[0] in " −" or text.strip() == "…", "a digit never touches the cell before"
        if columns >= 5:
            assert is_number(text, value)
    assert number_in(float("nan"), columns).strip() == ""
    assert number_in(0.0, columns).strip() == "0"


@pytest.mark.parametrize(("value", "columns", "text"), [
    (0.914, 5, " .914"), (-0.371, 5, "−.371"), (0.914, 6, " 0.914"), (-0.371, 7, " −0.371"), (9.82, 5, " 9.82"),
    (3.4e-7, 5, " 3e−7"), (3.4e-7, 7, " 3.4e−7"), (-8.8e-13, 5, "   ≈0"), (0.0123, 7, " 0.0123"), (0.0123, 5, "  .01"),
    (0.5, 9, "   0.500 "),
])  # fmt: skip
def test_three_digits_where_there_is_room_for_them(value: float, columns: int, text: str) -> None:
    assert number_in(value, columns) == text


@pytest.mark.parametrize("scheme", SCHEMES, ids=NAMES)
def test_cells_of_five_columns_have_numbers_narrower_ones_none(scheme: Scheme) -> None:
    for count in range(1, 30):
        for columns in (30, 64, 97, 180):
            drawn = picture(random_grid(6, count, masked=0.2), columns, 20, scheme)
            layout = drawn.layout
            room = (columns - layout.left) // count
            assert layout.numbers == (room >= 5 + scheme.glyphs), "all columns are in sight, each of five or more"
            assert wrong_cells(drawn, scheme) == 0
            assert not picture(random_grid(6, count), columns, 20, scheme, numbers=False).layout.numbers


def test_a_value_that_is_next_to_nothing_on_the_scale_is_faint() -> None:
    drawn = picture(grid_of(np.array([[1.0, 0.5, 2e-4, 0.0]]), diverging=False), 60, 9)
    inks = []
    for col in range(4):
        region = drawn.cell_region(0, col)
        assert region is not None
        line = drawn.strips[drawn.layout.top + drawn.layout.label_line(0)].crop(region.x, region.right)
        [style] = {segment.style for segment in line}
        assert style is not None
        assert style.color is not None
        inks.append(tuple(style.color.get_truecolor()))
    clear = [contrast(drawn.palette.swatches[level].background) for level in drawn.levels[0]]
    assert inks[:2] == clear[:2]
    assert inks[2] != clear[2]
    assert inks[3] != clear[3]


def parts(layers: int, heads: int, ends: bool = True) -> tuple[str, ...]:
    inside = [f"L{layer}{name}" for layer in range(layers) for name in (*(f"H{i}" for i in range(heads)), ".mlp")]
    return ("embed", "pos", *inside, "bias") if ends else tuple(inside)


@pytest.mark.parametrize("size", [(65, 20), (78, 26), (98, 34), (180, 48)], ids=str)
@pytest.mark.parametrize(("layers", "heads"), [(2, 4), (12, 12), (3, 16)])
def test_parts_are_told_apart_by_their_layer_once_and_their_number(
    size: tuple[int, int], layers: int, heads: int
) -> None:
    names = parts(layers, heads)
    grid = replace(
        random_grid(len(names), len(names)), cols=Axis("at the key", names), rows=Axis("at the query", names)
    )
    for origin in ((0, 0), (0, len(names) // 2)):
        drawn = picture(grid, *size, origin=origin)
        layout = drawn.layout
        assert_clean(drawn.strips, *size)
        assert wrong_cells(drawn, Scheme()) == 0
        assert layout.grouped == (layout.cols.edges[1] < 7), "as soon as their names have no room"
        if not layout.grouped:
            continue
        shown = [names[start] for start in layout.cols.starts[:-1]]
        for text, name in zip(layout.col_labels, shown, strict=True):
            if "H" in name:
                assert text == name.partition("H")[2], "the number whole"
        known = list(dict.fromkeys(name.partition("H")[0].partition(".")[0] for name in shown if name[0] == "L"))
        assert [name for _, name in layout.groups] == known, "each layer once"
        line = drawn.strips[0].text
        for block, name in layout.groups:
            place = layout.left + layout.cols.edges[block]
            assert line[place : place + len(name)] == name or line[place] == "…"


def test_bytes_of_one_character_have_heads_of_their_own() -> None:
    names = ("<0xE6>", "<0x9D>", "<0xB1>", " town") * 5
    axis = Axis("key", names, tuple(range(20)))
    grid = replace(random_grid(20, 20), rows=axis, cols=axis)
    layout = picture(grid, 65, 24).layout
    assert layout.col_labels[:3] == ("東₁", "東₂", "東₃")
    assert [label.strip() for label in layout.row_labels[:3]] == ["東₁", "東₂", "東₃"]
    broken = replace(grid, cols=Axis("key", ("<0xE6>", "<0x9D>", " town", "<0xB1>") * 5, tuple(range(20))))
    labels = picture(broken, 65, 24).layout.col_labels
    assert (labels[0], labels[1], labels[3]) == ("E6", "9D", "B1"), "no character"


def test_no_two_levels_look_alike_and_a_third_of_the_scale_is_seen() -> None:
    for scheme in SCHEMES[:3]:
        for diverging in (True, False):
            colours = [swatch.background for swatch in palette(scheme, diverging).swatches]
            assert len(set(colours)) == len(colours)
            levels = scale_of(np.array([-1.0, 1.0]), diverging).levels(
                np.array([0.66, 0.87, -0.66, -0.87]), len(colours)
            )
            assert len(set(levels.tolist())) == 4 if diverging else levels[0] != levels[1]


async def test_z_goes_from_cells_to_halves_to_the_whole_and_back() -> None:
    widget = Heatmap(random_grid(60, 70))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        seen = []
        for _ in range(4):
            shown = widget.picture
            assert shown is not None
            seen.append((widget.zoom, shown.layout.rows.starts[-1] - shown.layout.rows.starts[0]))
            assert_clean(app.lines(), *widget.content_size)
            await pilot.press("z")
        assert [zoom for zoom, _ in seen] == ["cells", "halves", "whole", "cells"]
        assert seen[0][1] < seen[1][1] < seen[2][1] == 60


async def test_the_cursor_of_half_a_line_is_on_its_half() -> None:
    widget = Heatmap(random_grid(30, 20))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("z")
        for cell in ((0, 3), (1, 3), (7, 0), (29, 19)):
            widget.set_cursor(*cell)
            await pilot.pause()
            shown = widget.picture
            assert shown is not None
            region, swatch = shown.cell_region(*cell), shown.swatch(*cell)
            assert region is not None
            assert swatch is not None
            [(text, style, _)] = app.lines()[region.y].crop(region.x, region.x + 1)
            assert text == "▀"
            assert style is not None
            half = style.bgcolor if (cell[0] - shown.layout.rows.starts[0]) % 2 else style.color
            assert half is not None
            assert tuple(half.get_truecolor()) == contrast(swatch.background)


async def test_a_matrix_that_is_whole_has_no_other_size() -> None:
    widget = Heatmap(random_grid(5, 5))
    async with Stage(widget).run_test(size=(80, 24)) as pilot:
        await pilot.press("z", "z")
        assert widget.zoom == "cells"
