"""What a frame sends, played on an emulated terminal: it looks as if all had been sent, and costs what changed."""

from __future__ import annotations

import random
import re
from typing import Any

import pyte
import pytest
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import CompositorUpdate, LayoutUpdate
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from tests.views.apps import Frugal
from tui.views.frame import Cell, Pen, Sent, cells_of, send_changes

LETTERS = ["a", "b", " ", " ", "│", "█", "é", "日", "中", "⏎"]
STYLES = [
    Style.parse(text) for text in (
        "#ffffff on #101010", "bold #ffffff on #101010", "#00ff00 on #101010", "#ffffff on #306090", "on #c0c000",
        "underline #ffffff on #101010", "reverse #ff0000 on #101010", "italic bold red on blue", "default on default",
        "strike #ffffff on #101010",
    )
]  # fmt: skip


class Played:
    """A terminal that is given every frame of an app."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
        self.screen = pyte.Screen(*size)
        self.stream = pyte.ByteStream(self.screen)
        self.sent: list[int] = []

        def display(app: App[None], screen: Screen[Any], update: Any) -> None:
            if isinstance(update, CompositorUpdate):
                data = update.render_segments(app.console).encode()
                self.sent.append(len(data))
                self.stream.feed(data)

        monkeypatch.setenv("COLORTERM", "truecolor")
        monkeypatch.setattr(App, "_display", display)

    def take(self) -> int:
        """Bytes since the last time."""
        total = sum(self.sent)
        self.sent.clear()
        return total

    def assert_shows(self, app: App[None]) -> None:
        """The terminal looks as one to which Textual sends all that the screen holds."""
        whole = pyte.Screen(*app.size)
        rows = app.screen._compositor.render_strips()
        data = LayoutUpdate([[fresh(strip)] for strip in rows], app.size.region).render_segments(app.console)
        pyte.ByteStream(whole).feed(data.encode())
        assert looks(self.screen) == looks(whole)


def fresh(strip: Strip) -> Strip:
    """With styles of its own: Rich keeps in a style the codes of the colours that it was first rendered in, be it by
    another test in fewer of them."""
    names = ("bold", "dim", "italic", "underline", "blink", "reverse", "conceal", "strike", "underline2", "overline")
    return Strip(
        Segment(text, Style(color=style.color, bgcolor=style.bgcolor, **{name: getattr(style, name) for name in names}))
        if style is not None else Segment(text)
        for text, style, _ in strip
    )  # fmt: skip


def looks(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """What is seen: ink and weight of a letter, not of a blank."""
    return [
        [
            (char.data, char.bg, char.underscore, char.reverse, char.strikethrough,
             (char.fg, char.bold, char.italics) if char.data.strip() or char.underscore or char.reverse else None)
            for char in (screen.buffer[y][x] for x in range(screen.columns))
        ]
        for y in range(screen.lines)
    ]  # fmt: skip


class Board(Widget):
    """Letters on a grid, of which any may change."""

    DEFAULT_CSS = "Board { width: 1fr; height: 1fr; }"

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cells: dict[tuple[int, int], tuple[str, Style]] = {}

    def put(self, x: int, y: int, letter: str, style: Style) -> Region:
        """Write a letter; the half of a wide one that it leaves becomes a blank. Returns what changed."""
        end = x + 1 + (letter in "日中")
        left = x - (self.at(x, y)[0] == "")
        while self.at(end, y)[0] == "":
            end += 1
        for column in range(left, end):
            self.cells[column, y] = (" ", style)
        self.cells[x, y] = (letter, style)
        if letter in "日中":
            self.cells[x + 1, y] = ("", style)
        return Region(left, y, end - left, 1)

    def at(self, x: int, y: int) -> tuple[str, Style]:
        return self.cells.get((x, y), (" ", STYLES[0]))

    def render_line(self, y: int) -> Strip:
        return Strip([Segment(*self.at(x, y)) for x in range(self.size.width)]).simplify()


class Boards(Frugal):
    CSS = "Screen { layout: horizontal; } #left { border: round $border; }"

    def compose(self) -> ComposeResult:
        yield Board(id="left")
        yield Board()


class Over(ModalScreen[None]):
    CSS = "Over { align: center middle; } Over Static { width: 20; height: 5; background: red; }"

    def compose(self) -> ComposeResult:
        yield Static("日本 over it all")


@pytest.mark.parametrize("seed", range(4))
async def test_the_terminal_shows_what_the_widgets_draw(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, played = random.Random(seed), Played(monkeypatch, (60, 12))
    app = Boards()
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        played.assert_shows(app)
        for _ in range(60):
            for _ in range(rng.randrange(1, 6)):
                board = rng.choice(list(app.query(Board)))
                width, height = board.size
                region = board.put(rng.randrange(width - 1), rng.randrange(height), rng.choice(LETTERS),
                                   rng.choice(STYLES))  # fmt: skip
                board.refresh(*rng.choice([(), (region,), (Region(0, region.y, width, 1),)]))
            await pilot.pause()
            played.assert_shows(app)


async def test_another_screen_or_size_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, (60, 12))
    app = Boards()
    async with app.run_test(size=(60, 12)) as pilot:
        board = app.query(Board).last()
        for size in ((60, 12), (50, 14), (61, 9)):
            played.screen.resize(size[1], size[0])
            await pilot.resize_terminal(*size)
            await pilot.pause()
            played.assert_shows(app)
            over = Over()
            await app.push_screen(over)
            await pilot.pause()
            played.assert_shows(app)
            board.put(3, 3, "中", STYLES[3])
            board.refresh()
            await pilot.pause()
            played.assert_shows(app)
            over.dismiss()
            await pilot.pause()
            await pilot.pause()
            played.assert_shows(app)


async def test_a_frame_costs_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, (100, 30))
    app = Boards()
    async with app.run_test(size=(100, 30)) as pilot:
        board = app.query(Board).last()
        for x in range(40):
            board.put(x, 4, "x", STYLES[x % 2])
        board.refresh()
        await pilot.pause()
        played.take()
        board.refresh()
        await pilot.pause()
        assert played.take() == 0, "nothing changed"
        board.put(30, 4, "y", STYLES[0])
        board.refresh()
        await pilot.pause()
        assert 0 < played.take() <= 60, "one letter, whatever stands to its left"
        board.put(0, 20, " ", STYLES[1])
        board.refresh()
        await pilot.pause()
        assert played.take() == 0, "the ink of a blank"
        app.refresh()
        await pilot.pause()
        assert played.take() > 3000, "all of it: something else may have written on the terminal"


def cells(*parts: tuple[str, int]) -> list[Cell]:
    return cells_of(Strip([Segment(text, STYLES[style]) for text, style in parts]), ColorSystem.TRUECOLOR)


def test_a_style_says_what_differs_from_the_one_before() -> None:
    pen = Pen()
    pen.write(0, 0, cells(("a", 0), ("b", 1), ("  ", 4), ("c", 0), ("d", 9), ("e", 0)))
    assert pen.lift() == (
        "\x1b[1;1H\x1b[38;2;255;255;255;48;2;16;16;16ma\x1b[1mb\x1b[48;2;192;192;0m  \x1b[22;48;2;16;16;16mc"
        "\x1b[9md\x1b[0;38;2;255;255;255;48;2;16;16;16me\x1b[0m"
    )


@pytest.mark.parametrize(
    ("before", "after", "span", "written"),
    [
        ("abcdefgh", "Xbcdefgh", (0, 8), "[1G X"),
        ("abcdefgh", "XbcXefgh", (0, 8), "[1G XbcX"),
        ("abcdefghij", "XbcdefghiX", (0, 10), "[1G X [10G X"),
        ("abcdefgh", "XXXXXXXX", (2, 4), "[3G XX"),
        ("abcdefgh", "abcdefgh", (0, 8), ""),
        ("ab日中ef", "ab日本ef", (0, 8), "[5G 本"),
        ("ab日中ef", "abXY中ef", (3, 4), "[3G XY"),
        ("abXY中ef", "ab日中ef", (3, 4), "[3G 日"),
        ("ab日中ef", "abXY中ef", (2, 3), "[3G XY"),
        ("ab\N{ZERO WIDTH JOINER}日ef", "ab\N{ZERO WIDTH JOINER}日eX", (3, 4), "[1G ab\N{ZERO WIDTH JOINER}日eX"),
    ],
)
def test_letters_that_change_are_written(before: str, after: str, span: tuple[int, int], written: str) -> None:
    """Wide ones whole, near ones at once."""
    sent = Sent()
    sent.put(Pen(), 0, 0, cells((before, 0)), (0, 99))
    pen = Pen()
    sent.put(pen, 0, 0, cells((after, 0)), span)
    found = re.sub(r"\x1b\[[0-9;]*m", "", pen.lift()).replace("\x1b[1;", "\x1b[").replace("H", "G")
    assert found == re.sub(r"\[(\d+)G ", "\x1b[\\1G", written).replace(" ", "")


def test_a_screen_that_sends_changes_is_one_of_textuals() -> None:
    """The attribute that this rests on is still there, and has what is overridden."""
    screen: Screen[None] = Screen()
    kind = type(screen._compositor)
    assert {"render_partial_update", "render_full_update"} <= set(vars(kind))
    send_changes(screen)
    assert isinstance(screen._compositor, kind)
