"""A short menu: a letter takes an entry at once, arrows and enter do too; an entry that is not there says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from .frame import send_changes
from .once import Once
from .options import Options


@dataclass(frozen=True)
class Entry:
    """One line of a menu."""

    key: str
    """The letter that takes it."""
    name: str
    detail: str = ""
    """What it is here and now."""
    why_not: str = ""
    """Why it cannot be taken; empty: it can."""


class Menu(ModalScreen[str], Once[str]):
    """Closes with the letter of the entry that was taken. Keys are taken by the screen, so that they do what they say
    before it is drawn, and while it is."""

    DEFAULT_CSS = """
    Menu { align: left bottom; background: transparent; }
    Menu > Vertical { height: auto; max-height: 100%; background: $panel; padding: 0 1; border-top: solid $accent; }
    Menu OptionList {
        height: auto; max-height: 12; background: $panel; border: none; padding: 0; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    /* Not by its colour alone, for there may be none. */
    Menu OptionList > .option-list--option-highlighted { text-style: bold underline; }
    Menu #menu-why { color: $text-error; height: auto; max-height: 4; display: none; }
    Menu #menu-keys { color: $text-muted; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, title: str, entries: Sequence[Entry]) -> None:
        """The first entry that can be taken is under the cursor."""
        super().__init__()
        send_changes(self)
        self.entries = tuple(entries)
        self._title, self._taken = title, False
        self._at = next((at for at, entry in enumerate(self.entries) if not entry.why_not), 0)
        self._listing = Options(*map(self._line, self.entries), compact=True, markup=False)
        self._listing.can_focus = False  # the screen has the keys
        self._why = Static(id="menu-why")

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content.styled(self._title, "bold"))
            yield self._listing
            yield self._why
            yield Static(Content("a letter, or ↑ ↓ and enter · esc closes"), id="menu-keys")

    def on_mount(self) -> None:
        self._listing.highlighted = self._at

    @staticmethod
    def _line(entry: Entry) -> Content:
        detail = f"✗ {entry.why_not}" if entry.why_not else entry.detail
        name = "$text-muted" if entry.why_not else ""
        return Content.assemble((f"{entry.key} ", "bold $accent"), (f"{entry.name:<16}", name), (detail, "$text-muted"))

    def on_key(self, event: events.Key) -> None:
        event.stop()
        letters = {entry.key: at for at, entry in enumerate(self.entries)}
        if not self.on_top:
            return  # it came with the key that closed this
        if event.key == "escape":
            self.dismiss()
        elif event.key in ("up", "down") and self.entries:
            self._at = (self._at + (1 if event.key == "down" else -1)) % len(self.entries)
            self._listing.highlighted = self._at
        elif event.key == "enter":
            self._take(self._at)
        elif (at := letters.get(event.character or "")) is not None:
            self._take(at)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click."""
        event.stop()
        self._take(event.option_index)

    def _take(self, at: int) -> None:
        if not self.entries or not self.on_top or self._taken:
            return
        entry = self.entries[at]
        self._at = at
        if entry.why_not:
            self._why.update(Content(f"{entry.name}: {entry.why_not}"))
            self._why.display = True
            self._listing.highlighted = at
            return
        self._taken = True
        self.dismiss(entry.key)
