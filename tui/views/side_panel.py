"""The pane at the right: bars for a Table, lines for a Curve."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from ..results import Curve, Result, Table
from .chart import Bars, Plot


class SidePanel(Vertical):
    """One table or curve with a title in the border; what it shows already it does not draw again."""

    def __init__(self, classes: str = "") -> None:
        super().__init__(id="panel", classes=classes)
        self.bars = Bars()
        self.plot = Plot()
        self._words = ("", "")

    def compose(self) -> ComposeResult:
        yield self.bars
        yield self.plot

    def on_mount(self) -> None:
        self.plot.display = False

    @property
    def picture(self) -> Bars | Plot:
        """The one that is shown."""
        return self.plot if self.plot.display else self.bars

    def show(self, result: Result | None, title: str, below: str) -> None:
        """Draw a table or a curve; anything else leaves what was there."""
        if (title, below) != self._words:  # setting a title repaints the pane
            self._words = (title, below)
            self.border_title, self.border_subtitle = Content(title), Content(below)
        if isinstance(result, Table):
            self.bars.display, self.plot.display = True, False
            if self.bars.table is not result:
                self.bars.table = result
        elif isinstance(result, Curve):
            self.bars.display, self.plot.display = False, True
            if self.plot.curve is not result:
                self.plot.curve = result
