"""The pane at the right: bars for a Table, lines for a Curve, a small heatmap for a Grid."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from ..results import Curve, Grid, Table
from .chart import Bars, Plot
from .still import Still


class SidePanel(Vertical):
    """One table, curve or grid with a title in the border; what it shows already it does not draw again."""

    def __init__(self, classes: str = "") -> None:
        super().__init__(id="panel", classes=classes)
        self.bars = Bars()
        self.plot = Plot()
        self.still = Still()
        self._shown: Bars | Plot | Still = self.bars
        self._words = ("", "")

    def compose(self) -> ComposeResult:
        yield self.bars
        yield self.plot
        yield self.still

    def on_mount(self) -> None:
        for picture in (self.plot, self.still):
            picture.display = False

    @property
    def picture(self) -> Bars | Plot | Still:
        """The one that is shown."""
        return self._shown

    def show(self, result: Table | Curve | Grid, title: str, below: str) -> None:
        """Draw a table, a curve or a grid, and say what it is."""
        self._tell(title, below)
        if isinstance(result, Table):
            self._swap(self.bars)
            if self.bars.table is not result:
                self.bars.table = result
        elif isinstance(result, Curve):
            self._swap(self.plot)
            if self.plot.curve is not result:
                self.plot.curve = result
        else:
            self._swap(self.still)
            if self.still.grid is not result:
                self.still.grid = result
        self.picture.stale = False

    def wait(self) -> None:
        """The next rows are being computed: those before stay, with their title, and are marked."""
        self.picture.stale = True

    def blank(self, why: str, title: str) -> None:
        """No rows: a sentence stands in their place."""
        self._tell(title, "")
        self.bars.message = why
        self.bars.table = None
        self._swap(self.bars)
        self.bars.stale = False

    def _tell(self, title: str, below: str) -> None:
        if (title, below) != self._words:  # setting a title repaints the pane
            self._words = (title, below)
            self.border_title, self.border_subtitle = Content(title), Content(below)

    def _swap(self, to: Bars | Plot | Still) -> None:
        off, self._shown = self._shown, to
        if off is to:
            return
        had_focus = self.screen.focused is off
        to.display, off.display = True, False
        if had_focus:
            self.screen.set_focus(to)  # at once: a hidden widget would hand the keys to a neighbour
