"""The pane in the middle: what is shown in words, the picture, and the identities that hold on its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from ..results import Curve, Gallery, Graph, Grid, Table
from ..text import fitting
from .chart import Bars, Plot
from .gallery import Thumbnails
from .graph import GraphView
from .heatmap import Heatmap

Picture = Heatmap | Thumbnails | Bars | Plot | GraphView


@dataclass(frozen=True)
class Tab:
    """A view's name in the border."""

    key: str
    title: str
    current: bool = False


@dataclass(frozen=True)
class Words:
    """What stands above and below a picture."""

    title: str
    explanation: str = ""
    checks: str = ""
    place: str = ""
    """``m 2/4``: which of its modes it is in."""
    badges: tuple[str, ...] = ()
    """What is out of the ordinary about its numbers."""


class MainView(Vertical):
    """A heatmap, thumbnails of a layer, bars, a curve or a graph, between lines of words. What it shows already it does
    not draw again."""

    DEFAULT_CSS = """
    MainView Static { height: 1; color: $text-muted; }
    MainView > #heading { height: 1; }
    MainView #title { width: 1fr; color: $text; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    MainView #badges { width: auto; }
    """

    class TabClicked(Message):
        """A view's name in the border was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, id: str = "view", follows: bool = False) -> None:
        """``follows``: it goes with another one, and takes no keys and no mouse of its own."""
        super().__init__(id=id, disabled=follows)
        self.heatmap = Heatmap()
        self.thumbnails = Thumbnails()
        self.bars = Bars()
        self.plot = Plot()
        self.graph = GraphView()
        # Held, not looked for: a pane that is taken away loses its parts before itself, and may be told its size then.
        self._lines = {name: Static(id=name) for name in ("title", "badges", "explanation", "checks")}
        self._shown: Picture = self.heatmap
        self._tabs: tuple[Tab, ...] = ()
        self._words = Words("")
        self._pieces: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        with Horizontal(id="heading"):
            yield self._lines["title"]
            yield self._lines["badges"]
        yield self._lines["explanation"]
        yield self.heatmap
        yield self.thumbnails
        yield self.bars
        yield self.plot
        yield self.graph
        yield self._lines["checks"]

    def on_mount(self) -> None:
        for picture in (self.thumbnails, self.bars, self.plot, self.graph):
            picture.display = False

    def on_resize(self, event: events.Resize) -> None:
        self._lay_tabs()
        self.call_after_refresh(lambda: self._tell(self._words, self._tabs))  # its lines have their sizes then

    def on_click(self, event: events.Click) -> None:
        place = event.screen_offset - self.region.offset
        if place.y == 0 and (tab := self.tab_at(place.x)) is not None:
            event.stop()
            self.post_message(self.TabClicked(tab.key))

    def tab_at(self, x: int) -> Tab | None:
        """The tab whose name stands at that column of the border."""
        end = 1 + bool(self.styles.border_left[0])  # where Textual begins a title
        shown = self._tabs if len(self._pieces) == len(self._tabs) else [tab for tab in self._tabs if tab.current]
        for tab, (text, _) in zip(shown, self._pieces, strict=True):
            end += len(text)
            if x < end:
                return tab if x >= end - len(text) else None
        return None

    @property
    def picture(self) -> Picture:
        """The one that is shown."""
        return self._shown

    def show(
        self, result: Grid | Gallery | Table | Curve | Graph, cursor: tuple[int, int], words: Words, tabs: Sequence[Tab]
    ) -> None:
        """Draw a result and its words; ``cursor`` is a cell of a Grid, its first number a row of a Table or a node of a
        Graph, its second a Grid of a Gallery."""
        self._tell(words, tabs)
        if isinstance(result, Gallery):
            if self.thumbnails.gallery is not result:
                self.thumbnails.gallery = result
            self._swap(self.thumbnails)
            self.thumbnails.set_cursor(cursor[1])
        elif isinstance(result, Table):
            self._swap(self.bars)
            if self.bars.table is not result:
                self.bars.table = result
            self.bars.set_cursor(cursor[0])
        elif isinstance(result, Curve):
            if self.plot.curve is not result:
                self.plot.curve = result
            self._swap(self.plot)
        elif isinstance(result, Graph):
            self._swap(self.graph)
            if self.graph.graph is not result:
                self.graph.graph = result
            self.graph.set_cursor(cursor[0])
        else:
            self._swap(self.heatmap)
            if self.heatmap.grid is not result:
                self.heatmap.grid = result
            self.heatmap.set_cursor(*cursor)
        self.picture.stale = False

    def toggle_numbers(self) -> bool:
        """Values in the cells, or colours alone; False where the picture has no cells."""
        if self.picture is self.heatmap:
            self.heatmap.action_numbers()
        return self.picture is self.heatmap

    def wait(self) -> None:
        """The next result is being computed: the picture before stays, with its words, and is marked."""
        self.picture.stale = True

    def blank(self, why: str, title: str, tabs: Sequence[Tab]) -> None:
        """No picture: a sentence stands in its place."""
        self._tell(Words(title), tabs)
        self.heatmap.message = why
        self.heatmap.grid = None
        self._swap(self.heatmap)
        self.picture.stale = False

    def _tell(self, words: Words, tabs: Sequence[Tab]) -> None:
        self._tabs, self._words = tuple(tabs), words
        self._lay_tabs()
        # Their heights are fixed: a new layout costs 5 kB.
        for line, text, between in (("explanation", words.explanation, ""), ("checks", words.checks, "  ·  ")):
            widget = self._lines[line]
            room = widget.size.width or self.size.width
            self._write(line, fitting(text, room - 1, max(1, widget.size.height), between) if room else text)
        self._write("title", words.title)
        badges = Content.assemble(f" {words.place} " if words.place else "",
                                  *((f" {badge} ", "reverse") for badge in words.badges))  # fmt: skip
        if self._lines["badges"].content != badges:
            self._lines["badges"].update(badges)

    def _write(self, line: str, text: str) -> None:
        """A line of words, each of its lines behind a blank."""
        widget = self._lines[line]
        content = Content("\n".join(f" {part}" for part in text.split("\n")))
        if widget.content != content:
            widget.update(content, layout=False)

    def _lay_tabs(self) -> None:
        # Textual leaves two columns free, and two more at each side that has a border.
        sides = self.styles.border_left, self.styles.border_right
        room = self.size.width - 2 - 2 * sum(bool(kind) for kind, _ in sides)
        pieces = fitted(self._tabs, room)
        if self.size and pieces != self._pieces:  # setting them repaints the whole pane
            self._pieces = pieces
            self.border_title = Content.assemble(*pieces)

    def _swap(self, to: Picture) -> None:
        off, self._shown = self._shown, to
        if off is to:
            return
        had_focus = self.screen.focused is off
        to.display, off.display = True, False
        if had_focus:
            self.screen.set_focus(to)  # at once: the next key is for the picture that is there now


def fitted(tabs: Sequence[Tab], room: int) -> list[tuple[str, str]]:
    """The longest form of the tabs that fits in ``room`` columns, as pieces with their styles: whole names, else fewer
    letters of all but the current one, else keys alone, else the current one alone."""
    for letters, blank in ((99, " "), (99, ""), (4, ""), (3, ""), (2, ""), (0, "")):
        pieces = [_piece(tab, letters, blank) for tab in tabs]
        if not blank and pieces and not tabs[-1].current:
            pieces[-1] = (pieces[-1][0].rstrip(), pieces[-1][1])
        if sum(len(text) for text, _ in pieces) <= room:
            return pieces
    return [_piece(tab, 0, "") for tab in tabs if tab.current]


def _piece(tab: Tab, letters: int, blank: str) -> tuple[str, str]:
    if tab.current:
        return f" {tab.key} {tab.title} ", "bold reverse $primary"
    return f"{blank}{f'{tab.key} {tab.title[:letters]}'.rstrip()} ", "$text-muted"
