"""The list of jobs: what runs, waits, was stopped and is kept, with time and memory; it reads itself anew while it is
open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from ..text import shorten, width
from .once import Once
from .options import Options

EVERY = 0.5
"""Seconds between two readings."""
TOOK, SIZE, STATE = 9, 10, 8
"""Columns of time, of bytes and of what is done with a job."""


@dataclass(frozen=True)
class Row:
    """One job as it is shown; ``id`` tells it from all others while the list is open."""

    id: str
    state: str
    name: str
    took: str
    size: str


@dataclass(frozen=True)
class Reading:
    """What the list shows at one moment."""

    rows: tuple[Row, ...]
    lines: tuple[str, ...]
    """Above the list: what the thread does, memory, threads, cache."""


class Jobs(ModalScreen[None], Once[None]):
    """Arrows choose, x stops a job or asks for it again, esc closes."""

    DEFAULT_CSS = """
    Jobs { align: center middle; }
    Jobs > Vertical { width: 110; max-width: 96%; height: 90%; background: $panel; border: round $primary;
        padding: 0 1; }
    Jobs OptionList { height: 1fr; background: $panel; border: none; padding: 0; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis; }
    Jobs Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    Jobs #jobs-heading, Jobs #jobs-keys { color: $text-muted; }
    Jobs #jobs-said { display: none; }
    /* Not by its colour alone, for there may be none. */
    Jobs OptionList > .option-list--option-highlighted { text-style: bold underline; }
    """
    BINDINGS = [
        Binding("escape,q,J", "dismiss(None)", "close", show=False),
        Binding("x,delete", "switch", "stop", show=False),
        Binding("j", "move(1)", "down", show=False),
        Binding("k", "move(-1)", "up", show=False),
    ]

    def __init__(self, read: Callable[[], Reading], switch: Callable[[str], str]) -> None:
        """``switch`` takes the id of a job that the user wants no more, or wants again, and says what came of it."""
        super().__init__()
        self._read, self._switch = read, switch
        self._reading = Reading((), ())

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Jobs"
            yield Static(id="jobs-lines")
            yield Static(id="jobs-heading")
            yield Options(compact=True, markup=False)
            yield Static(id="jobs-said")
            yield Static(Content("x stops a job, or asks for it again · ↑ ↓ choose · esc closes"), id="jobs-keys")

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self.set_interval(EVERY, self._read_anew)
        self.once_laid_out(self._read_anew)  # its columns have their widths then

    def on_resize(self, event: events.Resize) -> None:
        self.once_laid_out(self._lay)

    @property
    def chosen(self) -> Row | None:
        """The job under the cursor."""
        at = self.query_one(OptionList).highlighted
        return self._reading.rows[at] if at is not None and at < len(self._reading.rows) else None

    def _say(self, sentence: str) -> None:
        line = self.query_one("#jobs-said", Static)
        line.update(Content(sentence))
        line.display = bool(sentence)

    def _read_anew(self) -> None:
        if self.closed:
            return
        before, self._reading = self._reading, self._read()
        if self._reading != before:
            self._lay(before)

    def _lay(self, before: Reading | None = None) -> None:
        listing, rows = self.query_one(OptionList), self._reading.rows
        self.query_one("#jobs-lines", Static).update(Content("\n".join(self._reading.lines)))
        room = max(10, listing.size.width - STATE - TOOK - SIZE - 1)
        head = f"{'':{STATE}}{'job':{room}}{'time':>{TOOK}}{'memory':>{SIZE}}"
        self.query_one("#jobs-heading", Static).update(Content(head))
        at, top = listing.highlighted, listing.scroll_offset.y
        old = (before or self._reading).rows
        chosen = old[at].id if at is not None and at < len(old) else ""
        listing.set_options([Option(_line(row, room)) for row in rows])
        ids = [row.id for row in rows]
        if rows:
            listing.highlighted = ids.index(chosen) if chosen in ids else min(at or 0, len(rows) - 1)
        listing.scroll_to(y=top, animate=False)

    def action_move(self, down: int) -> None:
        listing = self.query_one(OptionList)
        (listing.action_cursor_down if down > 0 else listing.action_cursor_up)()

    def action_switch(self) -> None:
        if self.chosen is not None:
            self._say(self._switch(self.chosen.id))
            self._read_anew()

    async def on_key(self, event: events.Key) -> None:
        """Other keys mean nothing here, and say so; those of the list and of this screen are bindings."""
        if event.is_printable and event.key not in ("x", "j", "k", "q", "J") and self.on_top:
            event.stop()
            self._say(f"{event.character} means nothing in this list: x stops a job, esc closes the list")


def _line(row: Row, room: int) -> Content:
    name = shorten(row.name, room - 1)
    text = f"{name}{' ' * (room - width(name))}{row.took:>{TOOK}}{row.size:>{SIZE}}"
    style = {"runs": "bold $success", "stopped": "$text-warning"}.get(row.state, "$text-muted")
    return Content.assemble((f"{row.state:{STATE}}", style), (text, "$text" if row.state != "kept" else "$text-muted"))
