"""The log on the screen: what was done, and when; a key writes it to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from ..text import plain, shorten, visible
from .once import Once
from .options import Options

LONGEST = 200
"""Columns of a line that are shown: a vector's numbers would fill the screen."""


class LogScreen(ModalScreen[None], Once[None]):
    """Lines with the time before them, the last one in sight."""

    DEFAULT_CSS = """
    LogScreen { align: center middle; }
    LogScreen > Vertical { width: 100; max-width: 96%; height: 90%; background: $panel; border: round $primary; }
    LogScreen > Vertical { padding: 0 1; }
    LogScreen OptionList { scrollbar-size-vertical: 1; height: 1fr; background: $panel; border: none; padding: 0; }
    LogScreen OptionList { text-wrap: nowrap; text-overflow: ellipsis; }
    LogScreen OptionList > .option-list--option-highlighted { text-style: bold underline; }
    LogScreen #log-said { height: auto; color: $text-muted; }
    """

    def __init__(self, lines: Sequence[tuple[str, str]], write: Callable[[], str]) -> None:
        """``write`` writes them to a file, and says where, or why not."""
        super().__init__()
        self._lines, self._write = lines, write

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "What was done"
            yield Options(*(_line(when, line) for when, line in self._lines), compact=True, markup=False)
            yield Static(Content("w writes it to a file that circuit-tui export --replay takes · esc closes"),
                         id="log-said")  # fmt: skip

    def on_mount(self) -> None:
        listing = self.query_one(OptionList)
        listing.highlighted = listing.option_count - 1 if listing.option_count else None
        listing.focus()

    def on_key(self, event: events.Key) -> None:
        """Taken here and not by bindings, which are looked at later than what came in the same packet."""
        if not self.on_top:
            event.stop()
            return
        listing = self.query_one(OptionList)
        keys: dict[str, Callable[[], object]] = {
            "escape": self.dismiss, "q": self.dismiss, "w": self._say, "j": listing.action_cursor_down,
            "k": listing.action_cursor_up, "g": listing.action_first, "Z": listing.action_last,
        }  # fmt: skip
        if (act := keys.get(event.key)) is not None:
            event.stop()
            act()

    def _say(self) -> None:
        self.query_one("#log-said", Static).update(Content(plain(self._write())))


def _line(when: str, line: str) -> Content:
    """Safe to print, whatever was typed."""
    shown = " ".join(visible(word) if word else "" for word in line.split(" "))
    style = "$text-muted" if line.startswith("#") else "$text"
    return Content.assemble((f"{when}  ", "$text-muted"), (shorten(shown, LONGEST), style))
