"""The pane in the middle: what is shown in words, the picture, and the identities that hold on its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from ..results import Gallery, Grid
from .gallery import Thumbnails
from .heatmap import Heatmap


class MainView(Vertical):
    """A heatmap, or thumbnails of a layer, between lines of words. What it shows already it does not draw again."""

    DEFAULT_CSS = """
    MainView > Static { height: 1; color: $text-muted; }
    MainView > #title { color: $text; text-style: bold; }
    MainView > Heatmap, MainView > Thumbnails { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__(id="view")
        self.heatmap = Heatmap()
        self.thumbnails = Thumbnails()
        self._tabs: Sequence[tuple[str, str]] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="explanation")
        yield self.heatmap
        yield self.thumbnails
        yield Static(id="checks")

    def on_mount(self) -> None:
        self.thumbnails.display = False

    @property
    def picture(self) -> Heatmap | Thumbnails:
        """The one that is shown."""
        return self.thumbnails if self.thumbnails.display else self.heatmap

    def show(self, result: Grid | Gallery, cursor: tuple[int, int]) -> None:
        """Draw a result; ``cursor`` is a cell of a Grid."""
        if isinstance(result, Gallery):
            if self.thumbnails.gallery is not result:
                self.thumbnails.gallery = result
            self._swap(self.thumbnails)
        else:
            self._swap(self.heatmap)
            if self.heatmap.grid is not result:
                self.heatmap.grid = result
            self.heatmap.set_cursor(*cursor)
        self.picture.stale = False

    def wait(self, message: str, clear: bool) -> None:
        """No result yet: the picture before stays, or ``message`` stands in its place (``clear``)."""
        self.heatmap.message = message
        if clear and message:
            self.heatmap.grid = None
            self._swap(self.heatmap)
        self.picture.stale = True

    def tabs(self, pieces: Sequence[tuple[str, str]]) -> None:
        """The names of the views, in the border; setting them repaints the whole pane."""
        if self._tabs != pieces:
            self._tabs = pieces
            self.border_title = Content.assemble(*pieces)

    def say(self, line: str, words: str) -> None:
        """Words on ``title``, ``explanation`` or ``checks``. Their heights are fixed: a new layout costs 5 kB."""
        widget, content = self.query_one(f"#{line}", Static), Content(f" {words}")
        if widget.content != content:
            widget.update(content, layout=False)

    def _swap(self, to: Heatmap | Thumbnails) -> None:
        off = self.heatmap if to is self.thumbnails else self.thumbnails
        if to.display and not off.display:
            return
        had_focus = off.has_focus
        to.display, off.display = True, False
        if had_focus:
            to.focus()
