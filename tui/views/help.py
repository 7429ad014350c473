"""The help overlay: every command, searchable, and runnable where it stands."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from .once import Once
from .options import Options


@dataclass(frozen=True)
class Entry:
    """One line of the help: a command as it is shown, and the id that runs it."""

    id: str
    keys: str
    label: str
    help: str
    group: str
    also: str = ""
    """Other words for it."""


class Help(ModalScreen[str | None], Once[str | None]):
    """Type to search, enter runs the entry (the screen is dismissed with its id), esc leaves."""

    DEFAULT_CSS = """
    Help { align: center middle; }
    Help > Vertical { width: 100; max-width: 96%; height: 90%; background: $panel; border: round $primary; }
    Help > Vertical { padding: 0 1; }
    Help OptionList { scrollbar-size-vertical: 1; height: 1fr; background: $panel; border: none; padding: 0; }
    Help #help-about { height: auto; color: $text-muted; }
    """
    BINDINGS = [
        Binding("escape", "dismiss(None)", "close", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("up", "move(-1)", "up", show=False),
        Binding("pagedown", "move(10)", "page down", show=False),
        Binding("pageup", "move(-10)", "page up", show=False),
    ]

    def __init__(self, entries: Sequence[Entry], about: str) -> None:
        super().__init__()
        self._entries = list(entries)
        self._about = about

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Help"
            yield Static(Content(self._about), id="help-about")
            field = Input(placeholder="type to search; enter runs, esc closes", compact=True)
            field.cursor_blink = False
            yield field
            listing = Options(compact=True, markup=False)
            listing.can_focus = False
            yield listing

    def on_mount(self) -> None:
        self._fill("")
        self.query_one(Input).focus()

    def _fill(self, text: str) -> None:
        listing = self.query_one(OptionList)
        listing.clear_options()
        room = min(100, int(self.app.size.width * 0.96)) - 8  # borders, padding, scroll bar
        group = ""
        for entry in self._entries:
            if not _matches(entry, text):
                continue
            if entry.group != group:
                group = entry.group
                listing.add_option(Option(Content.styled(group, "bold $accent"), disabled=True))
            listing.add_option(Option(_line(entry, room), id=entry.id))
        if listing.option_count:
            listing.highlighted = 1
        else:
            listing.add_option(Option(Content.styled(f"nothing is called “{text}”", "$text-muted"), disabled=True))

    def on_input_changed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def on_input_submitted(self) -> None:
        listing = self.query_one(OptionList)
        if listing.highlighted is not None:
            self.dismiss(listing.get_option_at_index(listing.highlighted).id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_move(self, lines: int) -> None:
        listing = self.query_one(OptionList)
        for _ in range(abs(lines)):
            if lines > 0:
                listing.action_cursor_down()
            else:
                listing.action_cursor_up()


def _line(entry: Entry, room: int) -> Content:
    """Keys, name and sentence in columns; the sentence goes on below itself."""
    lead = f"{entry.keys:<10} {entry.label:<13} "
    lines = textwrap.wrap(entry.help, max(20, room - len(lead))) or [""]
    sentence = f"\n{' ' * len(lead)}".join(lines)
    keys, label = lead[:10], lead[10:]
    return Content.assemble((keys, "bold $primary"), (label, "$text"), (sentence, "$text-muted"))


def _matches(entry: Entry, text: str) -> bool:
    words = text.lower().split()
    return all(word in f"{entry.keys} {entry.label} {entry.help} {entry.group} {entry.also}".lower() for word in words)
