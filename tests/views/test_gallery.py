"""Thumbnails: how they are hung, and the cursor over them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.views.apps import Stage
from tests.views.grids import HEADER, assert_clean, attention, gallery_of, grid_of, shown
from tui.results import Gallery
from tui.views import gallery as gallery_module
from tui.views.colours import Scheme, palette, scale_of
from tui.views.gallery import Thumbnails, wall

SIZES = [(120, 40), (94, 32), (60, 16), (30, 9), (20, 5), (9, 3), (1, 1)]


@pytest.mark.parametrize("mode", ["truecolor", "256", "16", "none"])
@pytest.mark.parametrize("count", [0, 1, 4, 12, 16, 40])
def test_thumbnails_hang_apart_inside_the_window(count: int, mode: str) -> None:
    for size in SIZES:
        drawn = wall(gallery_of(count), *size, Scheme(mode=mode))
        assert_clean(drawn.strips, *size)
        regions = [region for region in map(drawn.region, range(count)) if region]
        assert len(regions) == len(set(regions))
        for i, region in enumerate(regions):
            assert not any(region.overlaps(other) for other in regions[:i])
            assert drawn.at(region.x, region.y) == drawn.first + i
    if count:
        assert sum(drawn.region(i) is not None for i in range(count)) >= 1


def test_all_heads_of_a_layer_are_seen_at_once() -> None:
    for count in (4, 8, 12, 16):
        drawn = wall(gallery_of(count), 94, 32, Scheme())
        assert all(drawn.region(i) for i in range(count))


def test_thumbnails_share_one_scale_and_keep_their_hot_cells() -> None:
    faint, hot = np.zeros((40, 40)), np.zeros((40, 40))
    faint[10, 3], hot[30, 25] = 0.1, 1.0
    gallery = Gallery(HEADER, (grid_of(faint, diverging=False), grid_of(hot, diverging=False)))
    scheme = Scheme()
    drawn = wall(gallery, 60, 12, scheme)
    colours = palette(scheme, False)
    lines = [shown(strip) for strip in drawn.strips]
    for index, value in ((0, 0.1), (1, 1.0)):
        region = drawn.region(index)
        assert region is not None
        inside = {lines[y][x][1] for y in range(region.y + 1, region.bottom) for x in range(region.x, region.right)}
        level = scale_of(hot, False).levels(np.array([value]), len(colours))[0]
        assert colours.swatches[level].background in inside
        assert (colours.swatches[-1].background in inside) == (value == 1.0)


async def test_keys_walk_the_wall_and_open_one() -> None:
    widget = Thumbnails(gallery_of(12))
    app = Stage(widget)
    async with app.run_test(size=(96, 34)) as pilot:
        await pilot.pause()
        assert widget.wall is not None
        across = widget.wall.across
        await pilot.press("right", "down", "left", "up", "enter")
        assert app.names() == [
            ("CursorMoved", "1"), ("CursorMoved", str(1 + across)), ("CursorMoved", str(across)), ("CursorMoved", "0"),
            ("Opened", "0"),
        ]  # fmt: skip
        await pilot.press("up", "left")
        assert widget.cursor == 0
        await pilot.press("end", "right", "down")
        assert widget.cursor == 11
        assert any("▸" in strip.text for strip in app.lines())


async def test_a_wall_too_large_scrolls() -> None:
    widget = Thumbnails(gallery_of(40))
    app = Stage(widget)
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.press("end")
        assert widget.wall is not None
        assert widget.wall.region(39) is not None
        assert_clean(app.lines(), *widget.content_size)


async def test_a_cursor_move_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = Thumbnails(gallery_of(4))
    app = Stage(widget)
    async with app.run_test(size=(96, 34)) as pilot:
        await pilot.pause()

        def fail(*args: object) -> None:
            raise AssertionError("plotext was asked")

        monkeypatch.setattr(gallery_module, "wall", fail)
        await pilot.press("right")
        await pilot.pause()
        app.lines()


async def test_a_click_chooses_and_a_double_click_opens() -> None:
    widget = Thumbnails(gallery_of(4))
    app = Stage(widget)
    async with app.run_test(size=(96, 34)) as pilot:
        await pilot.pause()
        assert widget.wall is not None
        region = widget.wall.region(3)
        assert region is not None
        await pilot.click(widget, offset=(region.x + 2, region.y + 2), times=2)
        assert app.names() == [("CursorMoved", "3"), ("Opened", "3")]


async def test_fewer_thumbnails_pull_the_cursor_in_and_none_says_why() -> None:
    widget = Thumbnails(gallery_of(12))
    app = Stage(widget)
    async with app.run_test(size=(96, 34)) as pilot:
        widget.set_cursor(11)
        widget.gallery = Gallery(HEADER, (attention(5),))
        assert widget.cursor == 0
        widget.message = "the model is loading"
        widget.gallery = Gallery(HEADER, ())
        await pilot.pause()
        assert "the model is loading" in "".join(strip.text for strip in app.lines())
        await pilot.press("right", "enter", "end")
