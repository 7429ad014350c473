"""The status line: which model, under which conventions, and what the worker is doing."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget


class Status(Widget):
    """One line: name of the program, the conventions in force, and at the right what is happening."""

    DEFAULT_CSS = "Status { height: 1; }"

    conventions: reactive[str] = reactive("")
    """``demo · cpu · float32 · processed weights · BOS``."""
    activity: reactive[str] = reactive("")
    """``loading weights``, ``trace 12 ms``."""

    def render(self) -> Content:
        left = Content.assemble((" circuit-tui ", "bold $primary"), " ", (self.conventions, "$text"))
        room = self.size.width - left.cell_length - 1
        activity = self.activity if len(self.activity) <= room else self.activity[: max(0, room - 1)] + "…"
        gap = " " * max(1, room - len(activity))
        return Content.assemble(left, gap, (activity, "$text-muted"))
