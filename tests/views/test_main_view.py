"""The pane in the middle: one picture of four at a time, and the views' names in its border."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual import events
from textual.app import App, ComposeResult
from textual.widgets import Static

from tests.views.grids import HEADER, attention, curve_of, gallery_of, grid_of, table_of
from tui.results import Curve, Gallery, Grid, Table
from tui.views.main_view import MainView, Tab, Words, fitted

WORDS = Words("title", "rows and columns", "identities")
TITLES = ("Pattern", "QK", "OV", "Residual", "Lens", "Attribution", "Why", "Neurons")


class Pane(App[None]):
    CSS = """
    #view { border: round $border; }
    .small #view { border: none; border-top: solid $border; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.main = MainView()

    def compose(self) -> ComposeResult:
        yield self.main


def tabs(current: int) -> list[Tab]:
    return [Tab(key, title, at == current) for at, (key, title) in enumerate(zip("123456WU", TITLES, strict=True))]


def words_of(main: MainView) -> tuple[str, ...]:
    """What stands above and below the picture."""
    return tuple(str(main.query_one(f"#{line}", Static).render()) for line in ("title", "explanation", "checks"))


RESULTS: dict[str, Grid | Gallery | Table | Curve] = {
    "heatmap": attention(6), "thumbnails": gallery_of(4), "bars": table_of([3.0, -1.0, 0.5]),
    "plot": curve_of([1, 2, 3]),
}  # fmt: skip


@pytest.mark.parametrize("after", RESULTS)
@pytest.mark.parametrize("before", RESULTS)
async def test_one_picture_at_a_time_and_the_focus_goes_along(before: str, after: str) -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        main = app.main
        main.show(RESULTS[before], (1, 1), WORDS, tabs(0))
        main.picture.focus()
        await pilot.pause()
        main.show(RESULTS[after], (2, 1), WORDS, tabs(0))
        await pilot.pause()
        assert main.picture is getattr(main, after)
        assert [name for name in RESULTS if getattr(main, name).display] == [after]
        assert app.focused is main.picture
        text = "".join(strip.text for strip in map(main.picture.render_line, range(main.picture.size.height)))
        assert text.strip()


async def test_a_picture_without_focus_takes_none() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.set_focus(None)
        app.main.show(RESULTS["bars"], (0, 0), WORDS, tabs(0))
        await pilot.pause()
        assert app.focused is None


async def test_the_cursor_is_a_cell_of_a_grid_and_a_row_of_a_table() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)):
        app.main.show(RESULTS["heatmap"], (4, 2), WORDS, tabs(0))
        assert app.main.heatmap.cursor == (4, 2)
        app.main.show(RESULTS["bars"], (2, 5), WORDS, tabs(0))
        assert app.main.bars.cursor == 2
        app.main.show(table_of([1.0]), (2, 0), WORDS, tabs(0))
        assert app.main.bars.cursor == 0


async def test_keys_for_a_cursor_do_no_harm_to_a_picture_without_one() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)):
        app.main.show(RESULTS["plot"], (0, 0), WORDS, tabs(0))
        picture = app.main.picture
        picture.action_cursor(1, 1)
        picture.action_page(1)
        picture.action_edge(-1)
        picture.action_open()


async def test_bars_have_room_for_several_numbers() -> None:
    rows = tuple((f"L0H{i}", 1.5 * i, 0.25, 40, -0.125) for i in range(6))
    table = Table(HEADER, ("part", "mean", "spread", "prompts", "share"), rows, "mean")
    app = Pane()
    for width in (60, 80, 120):
        async with app.run_test(size=(width, 24)) as pilot:
            app.main.show(table, (0, 0), WORDS, tabs(0))
            await pilot.pause()
            assert app.main.bars.size.width == width - 2
            assert app.main.bars.chart is not None
            lines = [strip.text for strip in app.main.bars.chart.strips]
            assert lines[0].split()[-4:] == ["mean", "spread", "prompts", "share"]
            assert lines[6].split()[-4:] == ["7.50", "0.250", "40", "−0.125"]
            assert app.main.bars.chart.value_start - app.main.bars.chart.label_end >= 20, "and for the bars"
        app = Pane()


async def test_waiting_keeps_the_picture_or_says_why_there_is_none() -> None:
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        main = app.main
        main.show(RESULTS["bars"], (1, 0), WORDS, tabs(0))
        main.picture.focus()
        await pilot.pause()
        main.wait()
        assert main.picture is main.bars
        assert main.bars.stale
        assert words_of(main) == (" title", " rows and columns", " identities"), "with its own words"
        main.show(RESULTS["bars"], (1, 0), WORDS, tabs(0))
        assert not main.bars.stale
        main.blank("no head is selected", "another", tabs(1))
        await pilot.pause()
        assert main.picture is main.heatmap
        assert main.heatmap.has_focus
        assert words_of(main) == (" another", " ", " "), "no word of the picture that is gone"
        assert "no head is selected" in "".join(strip.text for strip in map(main.heatmap.render_line, range(20)))
        main.show(grid_of([[1.0]]), (0, 0), WORDS, tabs(0))
        assert not main.heatmap.stale


@pytest.mark.parametrize("current", range(len(TITLES)))
def test_tabs_fit_any_width_and_name_the_current_one_longest(current: int) -> None:
    key, title = tabs(current)[current].key, TITLES[current]
    before = 0
    for room in range(len(title) + 4, 200):
        pieces = fitted(tabs(current), room)
        text = "".join(text for text, _ in pieces)
        assert cell_len(text) <= room
        assert f" {key} {title} " in text
        assert len(text) >= before, "no shorter with more room"
        before = len(text)
        marked = [text for text, style in pieces if "reverse" in style]
        assert marked == [f" {key} {title} "]
        if room >= 2 * len(TITLES) + len(title) + 4:
            assert [piece.split()[0] for piece, _ in pieces] == list("123456WU")
        if room >= 76:
            assert text == "".join(f" {tab.key} {tab.title} " for tab in tabs(current))


def test_tabs_shorten_by_and_by() -> None:
    at = {room: "".join(text for text, _ in fitted(tabs(4), room)) for room in (75, 60, 50, 46, 30, 10)}
    assert at[75] == "1 Pattern 2 QK 3 OV 4 Residual  5 Lens 6 Attribution W Why U Neurons"
    assert at[60] == "1 Patt 2 QK 3 OV 4 Resi  5 Lens 6 Attr W Why U Neur"
    assert at[50] == "1 Pat 2 QK 3 OV 4 Res  5 Lens 6 Att W Why U Neu"
    assert at[46] == "1 Pa 2 QK 3 OV 4 Re  5 Lens 6 At W Wh U Ne"
    assert at[30] == "1 2 3 4  5 Lens 6 W U"
    assert at[10] == " 5 Lens "
    assert fitted([], 10) == []


async def test_tabs_are_laid_anew_for_another_size_and_drawn_whole() -> None:
    app = Pane()
    async with app.run_test(size=(100, 24)) as pilot:
        for small in (False, True):
            app.screen.set_class(small, "small")
            for width in (100, 80, 66, 60, 54, 40, 30, 22):
                await pilot.resize_terminal(width, 24)
                await pilot.pause()
                app.main.blank("", "", tabs(5))
                await pilot.pause()
                line = app.screen._compositor.render_strips()[0].text
                assert " 6 Attribution " in line
                assert "…" not in line
                assert cell_len(line) == width


async def test_the_same_tabs_are_not_painted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Pane()
    async with app.run_test(size=(100, 24)) as pilot:
        app.main.show(RESULTS["heatmap"], (0, 0), WORDS, tabs(0))
        await pilot.pause()
        painted: list[object] = []
        monkeypatch.setattr(app.main, "refresh", lambda *args, **kw: painted.append(args))
        app.main.show(RESULTS["heatmap"], (0, 0), WORDS, tabs(0))
        assert not painted
        app.main.show(RESULTS["heatmap"], (0, 0), WORDS, tabs(1))
        assert painted


async def test_a_pane_that_has_lost_its_parts_already_can_still_be_told_its_size() -> None:
    """Textual takes a pane away from the inside: its last size may come in between."""
    app = Pane()
    async with app.run_test(size=(80, 24)) as pilot:
        main = app.main
        main.show(RESULTS["heatmap"], (1, 1), WORDS, tabs(0))
        await main.query_children().remove()
        main.post_message(events.Resize(main.size, main.virtual_size, main.container_size))
        await pilot.pause()
        await main.remove()
        assert not app.query(MainView)
