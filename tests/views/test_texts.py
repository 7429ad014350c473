"""Texts in the cells of a grid: read back, under the cursor, and what they cost."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from html import escape

import numpy as np
import pytest
from rich.cells import cell_len
from rich.color import Color, ColorSystem
from rich.style import Style
from textual.geometry import Region

from tests.views.apps import Stage, costs_of_moves, count_bytes
from tests.views.grids import WEIRD, WORDS, assert_clean, lens, random_grid
from tests.views.test_heatmap import on_screen
from tests.views.test_plot import NAMES, SCHEMES, SIZES, is_number, wrong_cells
from tui.results import frozen
from tui.text import shorten
from tui.views import heatmap as heatmap_module
from tui.views.cells import in_cell
from tui.views.colours import Scheme, contrast, luminance, palette
from tui.views.geometry import LEAST_TEXT, TEXT, text_columns
from tui.views.heatmap import Heatmap
from tui.views.picture import Picture, picture
from tui.views.plot import printable
from tui.views.svg import svg_of

MODES = ["truecolor", "256", "16", "none"]


def cell_text(drawn: Picture, row: int, col: int) -> str:
    """What stands on the line of a cell that has its text."""
    region = text_region(drawn, row, col)
    return drawn.strips[region.y].crop(region.x, region.right).text


def text_region(drawn: Picture, row: int, col: int) -> Region:
    region = drawn.cell_region(row, col)
    assert region is not None
    return Region(region.x, region.y + (region.height - 1) // 2, region.width, 1)


def colours(style: Style | None) -> tuple[object, object]:
    assert style is not None
    assert style.color is not None
    assert style.bgcolor is not None
    return tuple(style.color.get_truecolor()), tuple(style.bgcolor.get_truecolor())


@pytest.mark.parametrize("scheme", SCHEMES, ids=NAMES)
@pytest.mark.parametrize("fit", [False, True], ids=["native", "fit"])
@pytest.mark.parametrize("shape", [(1, 1), (13, 6), (25, 64), (40, 3), (3, 300)], ids=str)
def test_every_cell_in_sight_says_its_text_on_its_colour(shape: tuple[int, int], fit: bool, scheme: Scheme) -> None:
    for words in (WORDS, WEIRD):
        grid = lens(*shape, words, masked=0.2)
        assert grid.text is not None
        for size in SIZES:
            drawn = picture(grid, *size, scheme, fit=fit, origin=(shape[0] // 3, shape[1] // 3), numbers=False)
            assert_clean(drawn.strips, *size)
            if not drawn.layout.texts:
                assert wrong_cells(drawn, scheme) == 0
                continue
            for down, across in np.ndindex(drawn.levels.shape):
                row, col = drawn.layout.rows.starts[down], drawn.layout.cols.starts[across]
                region, swatch = text_region(drawn, row, col), drawn.swatch(row, col)
                alone = drawn.layout.rows.starts[down + 1] == row + 1
                found = drawn.strips[region.y].crop(region.x, region.right)
                if swatch is None:
                    assert found.text.strip() == ""
                elif not alone:
                    assert printable(grid.text[row][col]) not in found.text
                elif swatch.glyph:
                    assert found.text == swatch.mark + in_cell(grid.text[row][col], region.width - 1)
                else:
                    assert found.text == " " + in_cell(grid.text[row][col], region.width - 1, 0)
                    assert {colours(style) for _, style, _ in found} == {
                        (contrast(swatch.background), swatch.background)
                    }


def test_texts_are_cut_and_cells_kept_apart() -> None:
    drawn = picture(lens(4, 4, [" understanding", "日本語の長い長い", "\x1b[31m\n", "x"]), 50, 12, numbers=False)
    wide = drawn.layout.cols.edges[1]
    assert wide == 10
    shown = {cell_text(drawn, row, col) for row in range(4) for col in range(4)}
    assert shown == {" ·underst…", " 日本語の…", " ␛[31m⏎   ", " x        "}
    assert all(cell_len(text) == wide for text in shown)


def test_no_text_is_blank_and_a_masked_cell_has_none() -> None:
    grid = lens(2, 2, [" a"])
    values = np.array([[0.5, np.nan], [1.0, 0.2]], dtype=np.float32)
    grid = replace(grid, values=frozen(values), text=((" a", " b"), ("", " d")))
    for scheme in SCHEMES:
        drawn = picture(grid, 60, 12, scheme, numbers=False)
        assert cell_text(drawn, 0, 1).strip() == ""
        assert "·b" not in "".join(strip.text for strip in drawn.strips)
        assert cell_text(drawn, 1, 0)[1:].strip() == ""
        assert "·d" in cell_text(drawn, 1, 1)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 10, 13, 64])
def test_all_columns_are_in_sight_where_each_has_five(count: int) -> None:
    for columns in range(1, 200):
        wide = text_columns(count, columns, fit=False)
        assert wide == 0 or LEAST_TEXT <= wide <= TEXT[1]
        assert wide * min(count, columns // wide if wide else 0) <= columns
        if columns // count >= TEXT[0]:
            assert wide * count <= columns, "all of them"
        elif columns >= 8:
            assert wide >= 8, "as few as are read with ease"
        fitted = text_columns(count, columns, fit=True)
        assert fitted == 0 or (fitted >= LEAST_TEXT and fitted * count <= columns)
        assert (fitted == 0) == (columns // count < LEAST_TEXT)


def test_short_texts_scroll_in_cells_as_wide_as_they_need() -> None:
    """The heads of a layer have short labels: more of them are in sight."""
    for longest, least in (("ind", 4), ("copy", 5), ("", 4), ("previous token", 8), ("日本", 5)):
        for columns in range(8, 120):
            wide = text_columns(64, columns, fit=False, texts=[["x"], [longest, "y"]])
            assert wide >= least
            assert columns // wide == columns // least, "no fewer than fit"
    grid = lens(12, 32, ["ind", "prev", "", "copy"])
    assert len(picture(grid, 65, 15).layout.cols) == 11
    assert len(picture(lens(12, 32), 65, 15).layout.cols) == 7


@pytest.mark.parametrize("scheme", SCHEMES, ids=NAMES)
def test_values_stand_below_their_texts_or_beside_them(scheme: Scheme) -> None:
    """Where rows have two lines or columns twelve; never a number alone."""
    seen = set()
    for shape, size in (((3, 3), (120, 40)), ((13, 6), (98, 34)), ((13, 6), (98, 16)), ((13, 4), (61, 17)),
                        ((3, 3), (20, 5))):  # fmt: skip
        grid = lens(*shape, WORDS, masked=0.2)
        assert grid.text is not None
        drawn = picture(grid, *size, scheme)
        assert_clean(drawn.strips, *size)
        tall = drawn.layout.rows.edges[1]
        seen.add((drawn.layout.numbers, tall > 1))
        for row, col in np.argwhere(grid.mask).tolist():
            if drawn.cell_region(row, col) is None:
                continue
            region = text_region(drawn, row, col)
            word, value = printable(grid.text[row][col]), float(grid.values[row, col])
            line = cell_text(drawn, row, col)
            assert line[1:4].strip() == word[:3].strip(), "the text comes first"
            if drawn.layout.numbers and tall > 1:
                below = drawn.strips[region.y + 1].crop(region.x, region.right).text
                assert is_number(below[1:], value)
            elif drawn.layout.numbers:
                assert is_number(line.split()[-1], value)
    assert seen == {(True, True), (True, False), (False, False)}


def test_labels_stand_above_their_texts() -> None:
    grid = lens(3, 8)
    for size in ((65, 20), (98, 34), (30, 10)):
        drawn = picture(grid, *size)
        for across, start in enumerate(drawn.layout.cols.starts[:-1]):
            label = shorten(printable(grid.cols.labels[start]), drawn.layout.cols.edges[1] - 1)
            assert drawn.layout.col_labels[across] == label
            place = drawn.layout.left + drawn.layout.cols.edges[across] + 1
            assert drawn.strips[0].crop(place, place + cell_len(label)).text == label


@pytest.mark.parametrize("mode", ["16", "none"])
def test_without_backgrounds_the_size_of_a_value_is_a_character_before_its_text(mode: str) -> None:
    grid = lens(1, 5, [" a"], diverging=True)
    grid = replace(grid, values=frozen(np.array([[-1.0, -0.3, 0.0, 0.3, 1.0]], dtype=np.float32)))
    drawn = picture(grid, 80, 9, Scheme(mode=mode), numbers=False)
    assert [cell_text(drawn, 0, col)[0] for col in range(5)] == ["≡", "-", " ", "+", "@"]
    assert [cell_text(drawn, 0, col)[1:].strip() for col in range(5)] == ["·a"] * 5
    assert {"≡", "-", "+", "@"} <= set(drawn.strips[-1].text), "the colour bar speaks the same glyphs"


@pytest.mark.parametrize("scheme", SCHEMES[:3], ids=NAMES[:3])
def test_texts_are_read_on_every_colour_also_after_rounding_to_256(scheme: Scheme) -> None:
    for diverging in (True, False):
        for swatch in palette(scheme, diverging).swatches:
            pair = [swatch.background, contrast(swatch.background)]
            if scheme.mode == "256":
                pair = [tuple(Color.from_rgb(*c).downgrade(ColorSystem.EIGHT_BIT).get_truecolor()) for c in pair]
            low, high = sorted(map(luminance, pair))
            assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fit", [False, True], ids=["native", "fit"])
async def test_the_text_under_the_cursor_is_read(fit: bool, mode: str) -> None:
    for size in ((65, 20), (98, 34), (40, 12)):
        widget = Heatmap(lens(13, 6, masked=0.2))
        app = Stage(widget, mode=mode)
        async with app.run_test(size=size) as pilot:
            widget.zoom = "whole" if fit else "cells"
            await pilot.pause()
            for cell in ((0, 0), (5, 3), (12, 5), (7, 2)):
                widget.set_cursor(*cell)
                shown = widget.picture
                assert shown is not None
                assert_clean(app.lines(), *widget.content_size)
                region = text_region(shown, *cell)
                found = app.lines()[region.y].crop(region.x, region.right)
                plain = cell_text(shown, *cell)
                if not plain.strip():  # masked, or a block of several: framed as in a grid without texts
                    assert found.text[0] in "[┌│" or shown.is_blocked
                    continue
                assert found.text[1:] == plain[1:]
                assert found.text[0] == plain[0] if mode in ("16", "none") else found.text[0] in "▸│"
                before = shown.strips[region.y].crop(region.x, region.right)
                changed = [(a.style, b.style) for a, b in zip(found, before, strict=False)]
                assert all(a != b for a, b in changed)


async def test_a_cursor_move_draws_nothing_and_refreshes_only_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = Heatmap(lens(13, 6))
    app = Stage(widget)
    async with app.run_test(size=(98, 34)) as pilot:
        await pilot.pause()

        def fail(*args: object, **kwargs: object) -> None:
            raise AssertionError("plotext was asked")

        monkeypatch.setattr(heatmap_module, "picture", fail)
        asked: list[tuple[Region, ...]] = []
        refresh = widget.refresh
        monkeypatch.setattr(
            widget, "refresh", lambda *regions, **kw: (asked.append(regions), refresh(*regions, **kw))[1]
        )
        for key in ("down", "right", "right", "up"):
            await pilot.press(key)
        assert len(asked) == 4
        # A cell of up to four lines, its two labels and its mark on the axis, before and after.
        assert all(0 < sum(region.area for region in regions) <= 2 * (7 * TEXT[1]) for regions in asked)
        app.lines()


@pytest.mark.parametrize("words", [WORDS, WEIRD], ids=["words", "weird"])
async def test_what_is_on_the_screen_after_moves_is_what_the_widget_draws(words: tuple[str, ...]) -> None:
    widget = Heatmap(lens(25, 64, words))
    app = Stage(widget)
    async with app.run_test(size=(120, 30)) as pilot:
        for keys in (["down"] * 4, ["right"] * 20, ["end"], ["pagedown"] * 2, ["z"], ["left"] * 5, ["z", "home"]):
            for key in keys:
                await pilot.press(key)
            await pilot.pause()
            wanted = [[char for text, _, _ in strip for char in text] for strip in app.lines()]
            assert [[char for char, _ in line] for line in on_screen(app)] == wanted


@pytest.mark.parametrize("size", [(65, 20), (98, 34), (120, 40)], ids=str)
async def test_a_move_costs_a_cell_and_its_labels(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    for grid in (lens(13, 6), lens(25, 64)):
        app, sent = Stage(Heatmap(grid)), count_bytes(monkeypatch)
        async with app.run_test(size=size) as pilot:
            costs = await costs_of_moves(app, pilot, sent)
            assert max(costs) <= 500, np.percentile(costs, [50, 95, 100])


def test_the_svg_has_every_text() -> None:
    for shape in ((13, 6), (25, 64)):
        grid = lens(*shape)
        text = svg_of(grid)
        ET.fromstring(text.encode())
        assert grid.text is not None
        cells = [word for row in grid.text for word in row]
        for word in WORDS:
            assert text.count(f">{escape(printable(word)[:5])}") == cells.count(word)


def test_a_grid_without_texts_is_laid_as_before() -> None:
    drawn = picture(random_grid(5, 6), 80, 24)
    assert not drawn.layout.texts
    assert drawn.layout.rows.edges[1] > 1
