"""The status line: which model, under which conventions, and what the worker is doing."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from ..text import plain


class Status(Widget):
    """One line: name of the program, the conventions in force, and at the right what is happening."""

    DEFAULT_CSS = "Status { height: 1; }"

    conventions: reactive[str] = reactive("")
    """``demo · cpu · float32 · processed weights · BOS``."""
    activity: reactive[str] = reactive("")
    """``loading weights``, ``trace 12 ms``."""
    line: reactive[str] = reactive("")
    """How the line to another machine is, ``box 23 ms``; empty: there is none."""

    def render(self) -> Content:
        held = plain(self.conventions)  # a folder may be called anything
        name = " circuit-tui " if cell_len(held) + 15 <= self.size.width else ""
        conventions = _fitting(held, self.size.width - len(name) - 2)
        left = Content.assemble((name, "bold $primary"), " ", (conventions, "$text"))
        room = self.size.width - left.cell_length - 1
        said = " · ".join(filter(None, (plain(self.line), plain(self.activity))))
        activity = said if len(said) <= room else said[: max(0, room - 1)] + "…"
        gap = " " * max(1, room - len(activity))
        return Content.assemble(left, gap, (activity, "$text-muted"))


def _fitting(text: str, width: int) -> str:
    """The conventions in a narrow line: the model's name loses its beginning, what stands behind it stays."""
    over = cell_len(text) - width
    parts = text.split(" · ")
    name = max((part for part in parts if " " not in part), key=len, default="")  # the others are words of ours
    kept = max(len(name) - over - 1, 8)
    if over <= 0 or kept >= len(name) - 1:
        return text
    return " · ".join(f"…{name[-kept:]}" if part == name else part for part in parts)
