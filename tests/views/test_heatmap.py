"""The heatmap under keys: cursor, scroll, fit, focus of labels, and what it costs on the wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from textual.geometry import Region

from tests.views.apps import Stage, costs_of_moves, count_bytes
from tests.views.grids import WEIRD, assert_clean, attention, grid_of, random_grid
from tui.results import Axis
from tui.views import heatmap as heatmap_module
from tui.views.heatmap import Heatmap
from tui.views.surface import STALE_AFTER


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> object:
    """A call that makes plotext unreachable from here on."""

    def forbid() -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise AssertionError("plotext was asked")

        monkeypatch.setattr(heatmap_module, "picture", fail)

    return forbid


async def test_keys_move_the_cursor_and_say_so() -> None:
    app = Stage(Heatmap(random_grid(5, 6)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "down", "right", "up", "left", "left", "enter", "end")
        assert app.names() == [
            ("CursorMoved", "1", "0"), ("CursorMoved", "2", "0"), ("CursorMoved", "2", "1"), ("CursorMoved", "1", "1"),
            ("CursorMoved", "1", "0"), ("Opened", "1", "0"), ("CursorMoved", "1", "5"),
        ]  # fmt: skip
        assert app.widget.cursor == (1, 5)


async def test_a_cursor_move_draws_nothing_and_refreshes_only_what_changed(
    no_drawing: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = Heatmap(random_grid(20, 20))
    app = Stage(widget)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        no_drawing()
        asked: list[tuple[Region, ...]] = []
        refresh = widget.refresh
        monkeypatch.setattr(
            widget, "refresh", lambda *regions, **kw: (asked.append(regions), refresh(*regions, **kw))[1]
        )
        for key in ("down", "right", "right", "up"):
            await pilot.press(key)
        await pilot.pause()
        assert len(asked) == 4
        for regions in asked:
            assert regions
            assert sum(region.area for region in regions) <= 2 * (5 + 1 + 16 + 5)
        app.lines()


@pytest.mark.parametrize("mode", ["truecolor", "256", "16", "none"])
@pytest.mark.parametrize("fit", [False, True], ids=["native", "fit"])
@pytest.mark.parametrize("size", [(120, 40), (60, 14), (24, 8)], ids=str)
async def test_the_cursor_laid_over_is_the_picture_of_a_fresh_widget(
    size: tuple[int, int], fit: bool, mode: str
) -> None:
    grid = random_grid(40, 30, masked=0.1)
    walked, fresh = Heatmap(grid), Heatmap(grid)
    app, other = Stage(walked, mode=mode), Stage(fresh, mode=mode)
    async with app.run_test(size=size) as pilot, other.run_test(size=size) as second:
        walked.zoom = fresh.zoom = "whole" if fit else "cells"
        await pilot.pause()
        for cell in ((3, 4), (39, 29), (20, 2), (0, 0), (7, 28)):
            walked.set_cursor(*cell)
            await pilot.pause()
            fresh._origin = walked._origin
            fresh.set_cursor(*cell)
            await second.pause()
            assert_clean(app.lines(), *walked.content_size)
            assert app.lines() == other.lines()
            assert walked.picture is not None
            region = walked.picture.cell_region(*cell)
            assert region is not None
            assert walked.content_region.reset_offset.contains_region(region)


def on_screen(app: Stage) -> list[list[tuple[str, object]]]:
    """What the terminal was told to show in the widget's content: character and style of every column."""
    region = app.widget.content_region
    strips = app.screen._compositor.render_strips()[region.y : region.bottom]
    return [
        [(char, style) for text, style, _ in strip.crop(region.x, region.right) for char in text] for strip in strips
    ]


async def test_what_is_on_the_screen_after_moves_is_what_the_widget_draws() -> None:
    widget = Heatmap(random_grid(30, 60))
    app = Stage(widget)
    async with app.run_test(size=(120, 30)) as pilot:
        for keys in (["down"] * 5, ["right"] * 30, ["end"], ["pagedown"] * 3, ["z"], ["left"] * 9, ["z", "home"]):
            for key in keys:
                await pilot.press(key)
            await pilot.pause()
            # Through the same filters as the screen: the widget's own lines, drawn now.
            wanted = [[(char, style) for text, style, _ in strip for char in text] for strip in app.lines()]
            assert [[char for char, _ in line] for line in on_screen(app)] == [[c for c, _ in line] for line in wanted]
            found = [[style.bgcolor for _, style in line] for line in on_screen(app)]
            assert found == [[style.bgcolor for _, style in line] for line in wanted]
        widget.grid = random_grid(12, 12)
        await pilot.pause()
        assert [[c for c, _ in line] for line in on_screen(app)] == [list(strip.text) for strip in app.lines()]


async def test_wide_characters_are_never_cut() -> None:
    widget = Heatmap(grid_of(np.random.default_rng(0).normal(size=(30, 30)), ["日本語の", "a", "中国"]))
    app = Stage(widget)
    for size in ((120, 30), (119, 40), (90, 30)):
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            assert [[c for c, _ in line] for line in on_screen(app)] == [list(strip.text) for strip in app.lines()]
            for _ in range(25):
                await pilot.press("right")
            assert [[c for c, _ in line] for line in on_screen(app)] == [list(strip.text) for strip in app.lines()]
        app = Stage(widget := Heatmap(widget.grid))


async def test_leaving_the_window_scrolls_by_half_of_it() -> None:
    widget = Heatmap(random_grid(200, 8))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert widget.picture is not None
        shown = len(widget.picture.layout.rows)
        starts = set()
        for _ in range(60):
            widget.action_cursor(1, 0)
            starts.add(widget.picture.layout.rows.starts[0])
        assert widget.cursor == (60, 0)
        assert len(starts) <= 2 + 60 // (shown // 2)
        widget.action_edge(0, 1)
        assert widget.cursor == (199, 0)
        assert widget.picture.cell_region(199, 0) is not None


async def test_in_a_fitted_matrix_a_step_goes_to_the_cell_that_the_block_shows() -> None:
    values = np.zeros((100, 300), dtype=np.float32)
    values[57, 123] = -9.0
    widget = Heatmap(grid_of(values))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("z")
        assert widget.picture is not None
        assert widget.picture.layout.halves
        await pilot.press("z")
        picture = widget.picture
        assert picture is not None
        assert picture.is_blocked
        block = picture.block_of(57, 123)
        assert block is not None
        widget.set_cursor(*picture.cell_of((block[0], block[1] - 1)))
        widget.action_cursor(0, 1)
        assert widget.cursor == (57, 123)
        await pilot.press("z")
        assert widget.picture is not None
        assert widget.picture.cell_region(57, 123) is not None


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_beside_a_block_stand_places_and_what_its_colour_is_of(size: tuple[int, int]) -> None:
    """Also where the cursor was sent to another cell of the block."""
    values = np.zeros((300, 400), dtype=np.float32)
    values[57, 123] = 9.0
    widget = Heatmap(grid_of(values, diverging=False))
    app = Stage(widget)
    async with app.run_test(size=size) as pilot:
        widget.zoom = "whole"
        await pilot.pause()
        shown = widget.picture
        assert shown is not None
        rows, cols = shown.layout.rows, shown.layout.cols
        for labels, span in ((shown.layout.row_labels, rows), (shown.layout.col_labels, cols)):
            named = {label.strip(): block for block, label in enumerate(labels) if label}
            assert len(named) >= 3
            assert all(span.block(int(label)) == block for label, block in named.items())
        block = shown.block_of(57, 123)
        assert block is not None
        first = rows.starts[block[0]], cols.starts[block[1]]
        assert first != (57, 123)
        widget.set_cursor(*first)
        await pilot.pause()
        lines = [line.text for line in app.lines()]
        place, label = shown.layout.region(*first), shown.layout.row_label_region(first[0])
        assert place is not None
        assert label is not None
        assert lines[label.y][: label.right].strip() == "·t57"
        head = lines[shown.layout.label_lines - 1]
        assert head[place.x :].startswith("·t123")
        assert {text for text in head.split() if text != "·t123"} < set(shown.layout.col_labels), "no cut number"
        assert widget.cursor == first, "where it was sent"
        widget.set_cursor(0, 399)
        await pilot.pause()
        head = app.lines()[shown.layout.label_lines - 1].text.rstrip()
        assert head.endswith(f"·t{cols.starts[-2]}"), "the first of equal values"


async def test_a_new_grid_keeps_the_cursor_on_its_labels() -> None:
    first = grid_of(np.eye(4), [" The", " capital", " of", " France"])
    longer = grid_of(np.eye(5), ["⟨bos⟩", " The", " capital", " of", " France"])
    widget = Heatmap(first)
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        widget.set_cursor(3, 2)
        widget.grid = longer
        await pilot.pause()
        assert widget.cursor == (4, 3)
        assert app.names()[-1] == ("CursorMoved", "4", "3")
        widget.grid = grid_of(np.eye(2), ["a", "b"])
        assert widget.cursor == (1, 1)
        widget.grid = grid_of(np.zeros((0, 0)))
        widget.grid = longer
        await pilot.pause()
        assert widget.cursor == (1, 1)


async def test_whoever_sets_grid_and_cursor_together_hears_nothing_else() -> None:
    widget = Heatmap(grid_of(np.eye(3), ["a", "b", "c"]))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        widget.set_cursor(0, 1)
        await pilot.pause()
        app.said.clear()
        widget.grid = grid_of(np.eye(3), ["b", "a", "c"])
        widget.set_cursor(0, 1)
        await pilot.pause()
        assert app.names() == []


async def test_same_head_again_is_not_drawn_again(no_drawing: object) -> None:
    one, two = random_grid(8, 8, 1), random_grid(8, 8, 2)
    widget = Heatmap(one)
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        widget.grid = two
        await pilot.pause()
        no_drawing()
        widget.grid = one
        await pilot.pause()
        app.lines()


async def test_a_click_sets_the_cursor_and_a_double_click_opens() -> None:
    widget = Heatmap(random_grid(6, 6))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert widget.picture is not None
        region = widget.picture.cell_region(4, 2)
        assert region is not None
        await pilot.click(widget, offset=(region.x + 1, region.y + 1), times=2)
        assert app.names() == [("CursorMoved", "4", "2"), ("Opened", "4", "2")]
        await pilot.click(widget, offset=(1, 1))
        assert widget.cursor == (4, 2)


@pytest.mark.parametrize("size", [(20, 5), (21, 6), (12, 4), (5, 3), (3, 3), (2, 2), (1, 1)], ids=str)
async def test_small_windows_show_what_fits(size: tuple[int, int]) -> None:
    for grid in (attention(12), grid_of(np.random.default_rng(0).normal(size=(17, 17)), WEIRD), None):
        widget = Heatmap(grid)
        widget.message = "no pattern yet: type a prompt"
        app = Stage(widget)
        async with app.run_test(size=size) as pilot:
            await pilot.press("down", "right", "z", "down", "pagedown", "enter", "z", "end")
            assert all(strip.cell_length == widget.content_size.width for strip in app.lines())


async def test_resizing_keeps_the_cursor_in_sight() -> None:
    widget = Heatmap(random_grid(60, 60))
    app = Stage(widget)
    async with app.run_test(size=(120, 40)) as pilot:
        widget.set_cursor(25, 50)
        for size in ((60, 16), (20, 5), (100, 30)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert widget.picture is not None
            assert widget.picture.cell_region(25, 50) is not None


async def test_nothing_to_show_says_why() -> None:
    widget = Heatmap()
    widget.message = "no pattern yet:\ntype a prompt"
    app = Stage(widget)
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("down", "enter", "z")
        text = "\n".join(strip.text for strip in app.lines())
        assert "no pattern yet:" in text
        assert "type a prompt" in text
        assert app.names() == []


async def test_an_old_picture_is_marked_and_stays() -> None:
    widget = Heatmap(attention(8))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        before = app.lines()
        widget.stale = True
        await pilot.pause()
        assert app.lines() == before  # a result that comes at once does not flicker
        await pilot.pause(STALE_AFTER + 0.2)
        assert "computing" in app.lines()[-1].text
        assert app.lines()[:-1] == before[:-1]
        widget.stale = False
        assert app.lines() == before


async def test_a_mark_that_comes_too_late_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual queues a timer's call: it may come after the timer was stopped."""
    widget, calls = Heatmap(attention(8)), []
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        set_timer = widget.set_timer
        monkeypatch.setattr(widget, "set_timer", lambda delay, call: calls.append(call) or set_timer(delay, call))
        widget.stale = True
        widget.stale = False
        await pilot.pause()
        before = app.lines()
        calls[0]()
        assert app.lines() == before


async def test_the_labels_of_the_cursor_are_marked() -> None:
    widget = Heatmap(grid_of(np.eye(3), ["alpha", "beta", "gamma"]))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        widget.set_cursor(2, 1)
        await pilot.pause()
        accent = widget.get_component_rich_style("plot--cursor").color
        marked = [segment.text.strip() for strip in app.lines() for segment in strip
                  if segment.style and segment.style.color == accent]  # fmt: skip
        assert "gamma" in marked
        assert "beta" in marked
        assert any("▼" in text for text in marked)


async def test_the_cursor_marks_a_label_without_its_letter_too() -> None:
    grid = replace(random_grid(12, 16), cols=Axis("head", tuple(f"H{i}" for i in range(16))))
    widget = Heatmap(grid)
    app = Stage(widget)
    async with app.run_test(size=(61, 20)) as pilot:
        await pilot.pause()
        before = app.lines()[0].text
        assert before.split() == [str(i) for i in range(16)]
        widget.set_cursor(3, 12)
        await pilot.pause()
        assert app.lines()[0].text == before


@pytest.mark.parametrize("theme", ["textual-light", "nord", "solarized-light", "gruvbox"])
async def test_pictures_stand_on_the_surface_of_the_theme(theme: str) -> None:
    widget = Heatmap(attention(8))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = theme
        await pilot.pause()
        surface = widget.background_colors[1].rgb
        picture = widget.picture
        assert picture is not None
        assert widget.scheme.surface == surface
        assert widget.scheme.dark == (not theme.endswith("light"))
        corner = next(iter(picture.strips[0])).style
        assert corner is not None
        assert corner.bgcolor is not None
        assert tuple(corner.bgcolor.get_truecolor()) == surface
        assert_clean(app.lines(), *widget.content_size)


async def test_the_terminal_decides_the_colours_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    widget = Heatmap(random_grid(4, 4))
    app = Stage(widget)
    widget.mode = None
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        assert widget.scheme.mode == "none"
        assert any("+" in strip.text for strip in app.lines()[2:-1])


@pytest.mark.parametrize("size", [(120, 40), (63, 20)], ids=str)
async def test_a_move_costs_a_cell_and_its_labels(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in the matrix it is, in the longest colours."""
    monkeypatch.setenv("COLORTERM", "truecolor")
    for grid in (attention(64), random_grid(64, 64), attention(6)):
        app, sent = Stage(Heatmap(grid)), count_bytes(monkeypatch)
        async with app.run_test(size=size) as pilot:
            costs = await costs_of_moves(app, pilot, sent)
            assert max(costs) <= 660, np.percentile(costs, [50, 95, 100])


async def test_axis_names_may_be_missing() -> None:
    grid = grid_of(np.eye(3))
    bare = type(grid)(grid.header, grid.values, Axis("", grid.rows.labels), Axis("", grid.cols.labels), True)
    app = Stage(Heatmap(bare))
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        assert "row" in app.lines()[-1].text


async def test_a_longer_prompt_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cursor stands at the end, out of the window before: one picture, where the cursor is."""
    drawn: list[object] = []
    draw = heatmap_module.picture
    monkeypatch.setattr(heatmap_module, "picture", lambda *args, **how: (drawn.append(args), draw(*args, **how))[1])
    widget = Heatmap(attention(40))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        widget.set_cursor(39, 39)
        for count in (41, 60):
            await pilot.pause()
            drawn.clear()
            widget.grid = attention(count)
            widget.set_cursor(count - 1, count - 1)
            await pilot.pause()
            assert len(drawn) == 1
            assert widget.picture is not None
            assert widget.picture.cell_region(count - 1, count - 1) is not None


async def test_the_first_move_in_a_fitted_matrix_draws_nothing(no_drawing: Callable[[], None]) -> None:
    widget = Heatmap(random_grid(60, 60))
    app = Stage(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        widget.set_cursor(59, 59)
        await pilot.pause()
        await pilot.press("z")
        await pilot.pause()
        no_drawing()
        await pilot.press("left", "up")
        app.lines()
