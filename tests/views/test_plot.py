"""The picture of a grid, read back character by character."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.color import Color, ColorSystem

from tests.views.grids import (
    WEIRD,
    assert_clean,
    attention,
    curve_of,
    gallery_of,
    grid_of,
    random_grid,
    shown,
    table_of,
)
from tui.results import Axis, Grid, frozen
from tui.views import plot
from tui.views.colours import Scale, Scheme, contrast, luminance, palette, scale_of
from tui.views.geometry import block_extremes
from tui.views.picture import Picture, picture
from tui.views.plot import printable
from tui.views.svg import svg_of

LIGHT = Scheme(surface=(224, 224, 224), text=(30, 30, 30), muted=(90, 90, 90), frame=(170, 170, 170), dark=False)
SCHEMES = [Scheme(), LIGHT, Scheme(mode="256"), Scheme(mode="16"), Scheme(mode="none")]
NAMES = ["truecolor", "light", "256", "16", "none"]
SIZES = [(120, 40), (80, 24), (61, 17), (30, 9), (20, 5), (12, 3), (3, 2), (1, 1)]


def wrong_cells(drawn: Picture, scheme: Scheme) -> int:
    """Cells whose rectangle is not, in every character, the swatch of their level, or whose number is not theirs."""
    values, layout = drawn.grid.values, drawn.layout
    lines = [shown(strip) for strip in drawn.strips]
    extremes = block_extremes(values, layout.rows.starts, layout.cols.starts, drawn.grid.diverging)
    levels = drawn.scale.levels(extremes, len(drawn.palette))
    wrong = 0
    for down in range(levels.shape[0]):
        for across in range(levels.shape[1]):
            region = layout.block_region(down, across)
            level = levels[down, across]
            swatch = drawn.palette.swatches[level] if level >= 0 else None
            text = swatch.text(region.width) if swatch else " " * region.width
            background = swatch.background if swatch else scheme.surface
            if layout.halves:
                wrong += half_at(drawn, region.x, region.y, down % 2) != background
                continue
            for y in range(region.y, region.bottom):
                found = lines[y][region.x : region.right]
                if layout.numbers and swatch and y == layout.top + layout.label_line(down):
                    mark = swatch.glyph
                    said = "".join(char for char, _ in found).removeprefix(mark)
                    wrong += {colour for _, colour in found} != {background}
                    wrong += not is_number(said, float(extremes[down, across]))
                else:
                    wrong += found != [(char, background) for char in text]
    return wrong


def half_at(drawn: Picture, x: int, y: int, lower: int) -> object:
    """The colour of half a character."""
    [(text, style, _)] = drawn.strips[y].crop(x, x + 1)
    assert style is not None
    assert style.bgcolor is not None
    behind = style.bgcolor.get_truecolor()
    return tuple(behind if lower or text == " " else style.color.get_truecolor())  # type: ignore[union-attr]


def is_number(said: str, value: float) -> bool:
    """Whether a cell says its value, to the digits that it has room for."""
    text = said.strip().replace("−", "-")
    if text in ("≈0", "∞", "-∞", "…"):
        return {"≈0": 0 < abs(value) < 1e-4, "∞": value > 1e9, "-∞": value < -1e9}.get(text, False)
    mantissa = text.split("e")[0]
    decimals = len(mantissa.partition(".")[2]) - int(text.partition("e")[2] or 0)
    return abs(float(text) - value) <= 0.51 * 10.0**-decimals and (float(text) == 0) == (value == 0)


@pytest.mark.parametrize("scheme", SCHEMES, ids=NAMES)
@pytest.mark.parametrize("fit", [False, True], ids=["native", "fit"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (12, 12), (24, 24), (64, 64), (500, 3), (3, 500)], ids=str)
def test_every_cell_is_where_the_picture_says_in_its_colour(shape: tuple[int, int], fit: bool, scheme: Scheme) -> None:
    for diverging in (True, False):
        grid = random_grid(*shape, seed=sum(shape), diverging=diverging, masked=0.2)
        for size in SIZES:
            for numbers, halves in ((True, False), (False, False), (True, True)):
                origin = (shape[0] // 3, shape[1] // 3)
                drawn = picture(grid, *size, scheme, fit=fit, origin=origin, numbers=numbers, halves=halves)
                assert_clean(drawn.strips, *size)
                assert wrong_cells(drawn, scheme) == 0
                assert not halves or fit or scheme.glyphs or drawn.layout.halves == (drawn.layout.lines < shape[0])


@pytest.mark.parametrize("fit", [False, True], ids=["native", "fit"])
def test_screen_and_cell_map_to_each_other(fit: bool) -> None:
    grid = random_grid(50, 90, masked=0.3)
    drawn = picture(grid, 80, 24, fit=fit, origin=(7, 11))
    seen = 0
    for row in range(50):
        for col in range(90):
            region = drawn.cell_region(row, col)
            if region is None:
                assert not fit
                continue
            seen += 1
            for x, y in ((region.x, region.y), (region.right - 1, region.bottom - 1)):
                cell = drawn.cell_at(x, y)
                assert cell is not None
                assert drawn.cell_region(*cell) == region
                assert fit or cell == (row, col)
    assert seen == (50 * 90 if fit else len(drawn.layout.rows) * len(drawn.layout.cols))
    assert drawn.cell_at(0, drawn.layout.top) is None
    assert drawn.cell_at(drawn.layout.right, drawn.layout.top) is None


def test_a_matrix_larger_than_the_window_starts_at_its_origin_and_stays_inside() -> None:
    grid = random_grid(64, 64)
    assert picture(grid, 80, 24, origin=(5, 9)).cell_at(40, 20) is not None
    assert picture(grid, 80, 24, origin=(5, 9)).layout.rows.starts[0] == 5
    assert picture(grid, 80, 24, origin=(500, 500)).layout.rows.starts[-1] == 64
    assert "6–" in picture(grid, 80, 24, origin=(5, 9)).strips[-1].text


@pytest.mark.parametrize("diverging", [True, False])
def test_one_hot_cell_is_seen_wherever_it_is(diverging: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        shape = rng.integers(1, 300, size=2)
        values = rng.normal(size=shape) * 0.01 if diverging else rng.random(shape) * 0.01
        values[rng.random(shape) < 0.5] = np.nan
        hot = tuple(int(rng.integers(n)) for n in shape)
        values[hot] = -5.0 if diverging else 5.0
        drawn = picture(grid_of(values, diverging=diverging), *map(int, rng.integers(20, 120, size=2)), fit=True)
        block = drawn.block_of(*hot)
        assert drawn.cell_of(block) == hot
        assert drawn.levels[block] == (0 if diverging else len(drawn.palette) - 1)


def test_blocks_show_the_signed_largest_magnitude_never_the_mean() -> None:
    values = np.array([[1, -2, np.nan, np.nan], [0.5, 1.5, np.nan, -0.1]], dtype=np.float32)
    assert block_extremes(values, (0, 2), (0, 2, 4), True).tolist() == [[-2.0, pytest.approx(-0.1)]]
    assert block_extremes(values, (0, 2), (0, 2, 4), False).tolist() == [[1.5, pytest.approx(-0.1)]]
    assert np.isnan(block_extremes(values, (0, 1), (2, 4), True)).all()


@pytest.mark.parametrize("values", [
    np.full((5, 5), np.nan), np.full((5, 5), np.inf), np.full((5, 5), -np.inf), np.zeros((5, 5)), np.full((5, 5), 7.0),
    np.array([[np.nan, np.inf], [-np.inf, 1.0]]), np.array([[3.4e38, -3.4e38]]), np.full((3, 3), 1e-40),
    np.zeros((0, 0)), np.zeros((0, 5)), np.zeros((5, 0)),
], ids=lambda v: f"{v.shape}-{v.ravel()[:1]}")  # fmt: skip
def test_values_that_break_plots_do_not(values: np.ndarray) -> None:
    for diverging in (True, False):
        for scheme in SCHEMES:
            for size in SIZES:
                for fit in (True, False):
                    drawn = picture(grid_of(values, diverging=diverging), *size, scheme, fit=fit)
                    assert_clean(drawn.strips, *size)
                    assert wrong_cells(drawn, scheme) == 0


def test_infinity_is_the_end_of_the_scale_and_does_not_stretch_it() -> None:
    values = np.array([[-np.inf, -1.0, 0.0, 1.0, np.inf]])
    scale = scale_of(values, True)
    assert scale == Scale(-1.0, 1.0)
    assert scale.levels(values, 41).tolist() == [[0, 0, 20, 40, 40]]


@pytest.mark.parametrize("scheme", SCHEMES, ids=NAMES)
def test_labels_of_any_text_leave_every_line_in_place(scheme: Scheme) -> None:
    values = np.random.default_rng(2).normal(size=(len(WEIRD), len(WEIRD)))
    grid = grid_of(values, WEIRD)
    for size in [*SIZES, (200, 60), (40, 30)]:
        for fit in (True, False):
            drawn = picture(grid, *size, scheme, fit=fit)
            assert_clean(drawn.strips, *size)
            assert wrong_cells(drawn, scheme) == 0


def test_special_tokens_are_told_from_text() -> None:
    assert printable("<|bos|>") == "⟨bos⟩"
    assert printable("<|not a token") == "<|not·a·token"


def test_blanks_are_seen_in_tokens_and_not_in_words() -> None:
    assert plot.axis_label(Axis("key", (" France",), (1,)), 0) == "·France"
    assert plot.axis_label(Axis("component", ("rounding  error",)), 0) == "rounding error"
    assert plot.axis_label(Axis("component", ("\x1b[31m",)), 0) == "␛[31m"
    assert plot.axis_label(Axis("component", ("",)), 0) == "∅"


def test_everyone_agrees_on_the_width_of_every_character_that_is_printed() -> None:
    for code in [*range(0x3000), *range(0xA000, 0xB000), *range(0x1F000, 0x1FB00), *range(0x20000, 0x20100)]:
        text = printable(chr(code))
        assert plot.library().colorize(text).matrix().width() == cell_len(text)


@pytest.mark.parametrize("scheme", SCHEMES[:3], ids=NAMES[:3])
def test_zero_is_neutral_and_not_the_background(scheme: Scheme) -> None:
    for diverging in (True, False):
        colours = palette(scheme, diverging)
        zero = colours.swatches[len(colours) // 2 if diverging else 0].background
        distance = sum(abs(a - b) for a, b in zip(zero, scheme.surface, strict=True))
        assert distance >= 20
        assert max(zero) - min(zero) <= 12
        assert len({swatch.background for swatch in colours.swatches}) >= 10


@pytest.mark.parametrize("scheme", SCHEMES[:2], ids=NAMES[:2])
def test_lightness_climbs_from_zero_to_both_ends(scheme: Scheme) -> None:
    sign = 1 if scheme.dark else -1
    lightness = [sign * luminance(swatch.background) for swatch in palette(scheme, False).swatches]
    assert lightness == sorted(lightness)
    lightness = [sign * luminance(swatch.background) for swatch in palette(scheme, True).swatches]
    middle = len(lightness) // 2
    assert lightness[middle:] == sorted(lightness[middle:])
    assert lightness[middle::-1] == sorted(lightness[middle::-1])


def test_no_palette_is_white_or_has_more_than_64_colours() -> None:
    for scheme in SCHEMES:
        for diverging in (True, False):
            backgrounds = {swatch.background for swatch in palette(scheme, diverging).swatches}
            assert len(backgrounds) <= 64
            assert (255, 255, 255) not in backgrounds


@pytest.mark.parametrize("dark", [True, False], ids=["dark", "light"])
def test_256_colours_reach_the_terminal_as_the_indices_that_were_picked(dark: bool) -> None:
    scheme = Scheme(mode="256") if dark else Scheme(mode="256", surface=(224, 224, 224), text=(30, 30, 30), dark=False)
    surface = Color.from_rgb(*scheme.surface).downgrade(ColorSystem.EIGHT_BIT).number
    for diverging in (True, False):
        for swatch in palette(scheme, diverging).swatches:
            sent = Color.from_rgb(*swatch.background).downgrade(ColorSystem.EIGHT_BIT)
            if max(swatch.background) - min(swatch.background) > 12:
                assert tuple(sent.get_truecolor()) == swatch.background
            assert sent.number != surface


def test_without_colours_size_and_sign_are_characters() -> None:
    values = np.array([[-1.0, -0.3, 0.0, 0.3, 1.0, np.nan]])
    drawn = picture(grid_of(values), 60, 9, Scheme(mode="none"))
    line = drawn.strips[drawn.layout.top].text
    cells = [line[r.x : r.right].strip() for r in (drawn.cell_region(0, i) for i in range(6)) if r]
    assert [cell[:1] for cell in cells] == ["−", "−", "·", "+", "+", ""]
    assert "█" in cells[0]
    assert "█" not in cells[1]
    colours = {style.bgcolor for strip in drawn.strips for _, style, _ in strip if style}
    assert len(colours) == 1


def test_the_colour_bar_speaks_the_cells_own_glyphs_where_they_are_one_column_wide() -> None:
    values = np.linspace(-1, 1, 52 * 52).reshape(52, 52)
    drawn = picture(grid_of(values), 80, 30, Scheme(mode="none"), fit=True)
    assert drawn.layout.cols.size == len(drawn.layout.cols), "cells one column wide"
    in_cells = {
        drawn.strips[region.y].text[region.x]
        for row in range(52)
        for col in range(52)
        if (region := drawn.cell_region(row, col)) is not None
    }
    assert in_cells <= set(drawn.strips[-1].text)


def test_a_theme_is_painted_on_every_character_none_is_left_white() -> None:
    drawn = picture(random_grid(6, 6), 60, 20, LIGHT)
    cells = {swatch.background for swatch in drawn.palette.swatches}
    backgrounds = {colour for strip in drawn.strips for _, colour in shown(strip)}
    assert backgrounds <= cells | {LIGHT.surface}


def test_the_colour_bar_says_the_ends_of_the_scale() -> None:
    last = picture(grid_of(np.array([[-4.1, 2.0]])), 80, 20).strips[-1].text
    assert "−4.10" in last
    assert "+4.10" in last
    last = picture(grid_of(np.array([[0.1, 0.75]]), diverging=False), 80, 20).strips[-1].text
    assert " 0 " in last
    assert "0.750" in last


def test_pictures_on_one_scale_are_comparable() -> None:
    scale = Scale(0.0, 4.0)
    drawn = picture(grid_of(np.array([[1.0, 2.0]]), diverging=False), 40, 10, scale=scale)
    assert drawn.scale == scale
    assert drawn.levels.tolist() == scale.levels(np.array([[1.0, 2.0]]), len(drawn.palette)).tolist()


@pytest.mark.parametrize("scheme", [Scheme(mode=mode) for mode in ("truecolor", "256", "16", "none")], ids=str)
@pytest.mark.parametrize(("diverging", "limits"), [(False, (0.0, 1.0)), (True, (-1.0, 1.0))])
def test_next_to_nothing_does_not_glow_where_the_quantity_has_limits(
    diverging: bool, limits: tuple[float, float], scheme: Scheme
) -> None:
    """In cells, glyphs, colour bar and file."""
    values = np.random.default_rng(1).random((4, 4)) * 0.012
    values[2, 1] = 0.013
    bare = grid_of(values, diverging=diverging)
    grid = replace(bare, limits=limits)
    glows, drawn = picture(bare, 80, 20, scheme), picture(grid, 80, 20, scheme)
    assert glows.levels.max() == len(glows.palette) - 1
    zero = len(drawn.palette) // 2 if diverging else 0
    assert np.unique(drawn.levels).tolist() == [zero]
    assert drawn.scale == Scale(*limits)
    ends = ("−1.00", "+1.00") if diverging else (" 0 ", "1.00")
    assert all(end in drawn.strips[-1].text for end in ends)
    whole = picture(replace(grid, values=np.array([[limits[0], limits[1]]])), 80, 20, scheme)
    assert whole.levels.tolist() == [[0, len(whole.palette) - 1]]
    if scheme.glyphs:
        cells = "".join(strip.text for strip in drawn.strips[:-1])
        assert "█" in "".join(strip.text for strip in glows.strips[:-1])
        assert not set(cells) & set("░▒▓█+*#@")
    hottest = "#{:02x}{:02x}{:02x}".format(*drawn.palette.swatches[-1].background)
    if scheme == Scheme():
        assert svg_of(bare).count(hottest) > svg_of(grid).count(hottest) > 0, "of the colour bar alone"


def test_the_cells_stay_in_place_while_the_labels_scroll() -> None:
    labels = ["x"] * 100 + ["longer"] + ["y"] * 100
    grid = grid_of(np.zeros((201, 5)), labels)
    layouts = [picture(grid, 60, 20, origin=(row, 0)).layout for row in (0, 50, 95, 180)]
    assert len({(layout.left, layout.top) for layout in layouts}) == 1


def test_a_vocabulary_of_columns_is_drawn_in_no_time() -> None:
    values = np.random.default_rng(0).normal(size=(12, 50_257)).astype(np.float32)
    header, labels = attention(2).header, tuple(f" w{i}" for i in range(50_257))
    grid = Grid(
        header, frozen(values), Axis("source", labels[:12], (0,) * 12), Axis("output", labels, (0,) * 50_257), True
    )
    picture(grid, 120, 40)
    start = time.thread_time()  # whatever else the machine does
    for fit in (True, False):
        assert_clean(picture(grid, 120, 40, fit=fit).strips, 120, 40)
    assert time.thread_time() - start < 3 * 0.15


def test_labels_may_be_missing() -> None:
    grid = grid_of(np.zeros((5, 5)))
    bare = Grid(grid.header, grid.values, Axis("row", ()), Axis("column", ("a",)), True)
    for size in SIZES:
        assert_clean(picture(bare, *size).strips, *size)


@pytest.mark.parametrize("size", [(65, 15), (58, 26), (98, 34), (30, 10)], ids=str)
@pytest.mark.parametrize("shape", [(12, 12), (16, 16), (24, 16), (28, 28), (32, 32)], ids=str)
def test_layers_and_heads_are_all_labelled(shape: tuple[int, int], size: tuple[int, int]) -> None:
    """``H0`` to ``H31``: without the letter where that leaves more room, for the axis is called head."""
    names = [tuple(f"{letter}{i}" for i in range(count)) for letter, count in zip("LH", shape, strict=True)]
    grid = random_grid(*shape)
    grid = replace(grid, rows=Axis("layer", names[0]), cols=Axis("head", names[1]))
    drawn = picture(grid, *size)
    layout = drawn.layout
    assert_clean(drawn.strips, *size)
    assert wrong_cells(drawn, Scheme()) == 0
    assert [text.strip() for text in layout.row_labels] == [names[0][i] for i in layout.rows.starts[:-1]]
    assert layout.col_labels == tuple(names[1][i][layout.unlettered :] for i in layout.cols.starts[:-1])
    lines = [strip.text for strip in drawn.strips]
    for across, text in enumerate(layout.col_labels):
        x = layout.left + layout.cols.edges[across]
        column = "".join(line[x] for line in lines[: layout.label_lines])
        assert text == (column.strip() if layout.upright else lines[0][x : x + len(text)])
    if layout.unlettered:
        assert layout.label_lines <= 2
        assert "→ head" in lines[-1] or size[0] < 40


def test_letters_stay_where_they_say_something() -> None:
    for cols in (Axis("part", ("H0", "H1", "MLP") * 8), Axis("", ("H0",) * 24), Axis("key", ("A1",) * 24, (0,) * 24)):
        assert picture(replace(random_grid(8, 24), cols=cols), 60, 24).layout.unlettered == 0
    assert picture(replace(random_grid(8, 24), cols=Axis("head", ("H1",) * 24)), 60, 24).layout.unlettered == 1


@pytest.mark.parametrize(("value", "text"), [
    (0.0, "0"), (1.0, "1.00"), (-4.137, "−4.14"), (123.4, "123"), (0.0123, "0.0123"), (1e-6, "1.0e−6"),
    (-2.5e12, "−2.5e12"), (float("nan"), "–"), (float("inf"), "∞"),
])  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert plot.number(value) == text


def test_the_cursor_is_read_on_every_colour() -> None:
    for scheme in SCHEMES[:3]:
        for swatch in palette(scheme, True).swatches:
            light, dark = sorted((luminance(swatch.background), luminance(contrast(swatch.background))), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_many_drawings_cost_no_memory() -> None:
    grids = [random_grid(64, 64, seed) for seed in range(4)]
    for grid in grids * 10:
        picture(grid, 120, 40)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for grid in grids * 75:
        picture(grid, 120, 40)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (
        1024 if sys.platform != "darwin" else 2**20
    )
    assert grown < 8, f"{grown:.1f} MiB in 300 drawings"


def test_drawings_from_several_threads_do_not_mix() -> None:
    grids = [random_grid(20, 20, seed) for seed in range(4)]
    alone = [[strip.text for strip in picture(grid, 80, 30).strips] for grid in grids]
    wrong: list[int] = []

    def draw(index: int) -> None:
        for _ in range(10):
            drawn = picture(grids[index], 80, 30)
            if [strip.text for strip in drawn.strips] != alone[index] or wrong_cells(drawn, Scheme()):
                wrong.append(index)

    threads = [threading.Thread(target=draw, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("result", [
    attention(12), random_grid(200, 300), grid_of(np.zeros((0, 0))), grid_of(np.eye(len(WEIRD)), WEIRD),
    table_of([1.0, -2.0, None, 0.0]), table_of([]), curve_of([1, 2, np.nan, 3]), gallery_of(4),
], ids=["attention", "large", "empty", "weird", "table", "no rows", "curve", "gallery"])  # fmt: skip
def test_svg_is_whole_and_fetches_nothing(result: object) -> None:
    text = svg_of(result)
    root = ET.fromstring(text.encode("utf-8"))
    assert root.tag.endswith("svg")
    assert "L1H3 · attention pattern · softmax(qk)" in text
    assert "url(" not in text
    assert text.count("http") == 1  # the namespace
    if result is not None and hasattr(result, "values") and result.values.shape == (12, 12):
        assert text.count("<rect") > 30


def test_svg_of_a_matrix_has_the_colour_of_every_cell() -> None:
    grid = random_grid(5, 5)
    drawn = picture(grid, 120, 37, fit=True)
    text = svg_of(grid)
    for row in range(5):
        for col in range(5):
            swatch = drawn.swatch(row, col)
            assert swatch is not None
            assert "#{:02x}{:02x}{:02x}".format(*swatch.background) in text


def test_plotext_is_imported_by_the_first_drawing_only() -> None:
    code = (
        "import sys\n"
        "import tui.views.chart, tui.views.gallery, tui.views.heatmap, tui.views.plot as plot, tui.views.svg\n"
        "assert 'plotext' not in sys.modules\n"
        "plot.warm()\n"
        "assert 'plotext' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
