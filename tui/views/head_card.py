"""The card of one head: what is known of it, its pattern on the prompt, and the user's own note.

All keys are taken before anything that has the focus, so that several of one packet are taken in their order: a note
begins with the key after ``i``, and what comes after ``enter`` is for the explorer.
"""

from __future__ import annotations

import re
from textwrap import wrap

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from ..results import Grid, Table
from .ask import Ask
from .chart import Bars
from .frame import send_changes
from .once import Once
from .plot import words
from .still import Still

Head = tuple[int, int]
"""Layer and head."""
NOTE_LINES = 3
BESIDE = 76
"""Columns from which facts and pattern stand beside each other."""
_HEAD = re.compile(r"L\d+H\d+")


class HeadCard(ModalScreen[None], Once[None]):
    """One head on the whole screen: facts at the left, its pattern at the right, the note below.

    What it says goes to the screen below it. ``show`` may be called whenever more is known.
    """

    DEFAULT_CSS = """
    HeadCard { background: $background; }
    HeadCard > Vertical { border: round $border; background: $surface; }
    HeadCard Static { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    HeadCard #card-title { text-style: bold; }
    HeadCard #card-quantity { color: $text-muted; padding: 0; }
    HeadCard #card-keys, HeadCard #card-note.none { color: $text-muted; }
    HeadCard #card-body { height: 1fr; layout: horizontal; padding: 0 1; }
    HeadCard #card-pattern { width: 1fr; height: 1fr; margin: 0 0 0 2; }
    HeadCard Bars { min-width: 42; }
    /* Below 100×30 without a border; where it is too narrow for both the pattern is under the facts, or nowhere. */
    HeadCard.small > Vertical { border: none; }
    HeadCard.narrow #card-body { layout: vertical; }
    HeadCard.narrow Bars { min-width: 1; }
    HeadCard.narrow #card-pattern { margin: 1 0 0 0; }
    HeadCard.bare #card-pattern { display: none; }
    """
    BINDINGS = [
        Binding("escape", "close", "close", show=False, priority=True),
        Binding("i", "note", "note", show=False, priority=True),
        Binding("b", "bookmark", "bookmark", show=False, priority=True),
        Binding("enter", "go", "go there", show=False, priority=True),
        Binding("right_curly_bracket", "step('head', 1)", "next head", show=False, priority=True),
        Binding("left_curly_bracket", "step('head', -1)", "previous head", show=False, priority=True),
        Binding("right_square_bracket", "step('layer', 1)", "next layer", show=False, priority=True),
        Binding("left_square_bracket", "step('layer', -1)", "previous layer", show=False, priority=True),
        Binding("down,j", "cursor(1)", "down", show=False, priority=True),
        Binding("up,k", "cursor(-1)", "up", show=False, priority=True),
        Binding("pagedown,ctrl+d", "page(1)", "page down", show=False, priority=True),
        Binding("pageup,ctrl+u", "page(-1)", "page up", show=False, priority=True),
        Binding("home", "edge(-1)", "first", show=False, priority=True),
        Binding("end", "edge(1)", "last", show=False, priority=True),
    ]

    class OnHead(Message):
        """Something about the head of the card."""

        def __init__(self, head: Head) -> None:
            super().__init__()
            self.head = head

    class Noted(OnHead):
        """The user has written another note; an empty one takes it away."""

        def __init__(self, head: Head, text: str) -> None:
            super().__init__(head)
            self.text = text

    class ToggleBookmark(OnHead):
        """Bookmark the head, or no longer."""

    class Closed(OnHead):
        """The card is gone, whatever closed it."""

    class Step(Message):
        """The card of a neighbour: ``what`` (head or layer), ``by`` so many."""

        def __init__(self, what: str, by: int) -> None:
            super().__init__()
            self.what, self.by = what, by

    class GoTo(Message):
        """Show another head, by its name. The card closes."""

        def __init__(self, label: str) -> None:
            super().__init__()
            self.label = label

    def __init__(self, head: Head) -> None:
        super().__init__()
        send_changes(self)
        self.head = head
        self.facts = Bars()
        self.pattern = Still()
        self.pattern.can_focus = False
        self._title, self._note, self._bookmarked, self._problem = f"L{head[0]}H{head[1]}", "", False, ""
        self._table: Table | None = None
        self._grid: Grid | None = None

    def compose(self) -> ComposeResult:
        self._fit_to(self.app.size.width, self.app.size.height)
        self.facts.message = "nothing is known of this head yet"
        self.pattern.message = "no pattern yet"
        with Vertical():
            yield Static(id="card-title")
            with Container(id="card-body"):
                yield self.facts
                with Vertical(id="card-pattern"):
                    yield Static(id="card-quantity")
                    yield self.pattern
            yield Static(id="card-note")
            yield Static(id="card-keys")

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        self._fit_to(event.size.width, event.size.height)
        self._draw_note()

    def _fit_to(self, columns: int, lines: int) -> None:
        narrow = columns < BESIDE
        bare = lines < (30 if narrow else 12)
        self.update_classes({"small": columns < 100 or lines < 30, "narrow": narrow, "bare": bare})

    def turn(self, head: Head) -> None:
        """The card of another head; what is known of it is to be shown next."""
        self.head = head

    def show(
        self, title: str, table: Table | None, grid: Grid | None, note: str, bookmarked: bool, problem: str
    ) -> None:
        """What is known now. Of the table (columns ``what``, ``of``, ``value``) the cursor keeps its row. ``problem``:
        why the note is not kept, or ""."""
        self._title, self._table, self._grid = title, table, grid
        self._note, self._bookmarked, self._problem = note, bookmarked, problem
        if self.is_mounted and self.is_attached:
            self._draw()

    # --- drawing ----------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        """What is not on the screen yet: a card is filled piece by piece."""
        star = ("  ★ bookmarked", "$text-accent") if self._bookmarked else ("  ☆ no bookmark", "$text-muted")
        self._say("title", Content.assemble(self._title, star))
        self._draw_table()
        if self.pattern.grid is not self._grid:
            self.pattern.grid = self._grid
            self._say("quantity", Content(words(self._grid.header.quantity) if self._grid else ""))
        self._draw_note()
        self._draw_keys()

    def _draw_table(self) -> None:
        old, new = self.facts.table, self._table
        if old is not None and new is not None and (old.columns, old.rows, old.bar) == (new.columns, new.rows, new.bar):
            return
        row = self._row_in(new)
        self.facts.table = new
        self.facts.set_cursor(row)

    def _row_in(self, new: Table | None) -> int:
        """Where the row under the cursor is in another table; the first stays the first."""
        old, at = self.facts.table, self.facts.cursor
        if old is None or new is None or not at:
            return 0
        names = [row[:2] for row in new.rows]
        return names.index(old.rows[at][:2]) if old.rows[at][:2] in names else at

    def _draw_note(self) -> None:
        note = words(self._note) if self._note.strip() else "(no note yet: press i)"
        columns, rows = self.app.size
        most = NOTE_LINES if rows >= 20 else 1
        lines = wrap(note, max(1, columns - 12), max_lines=most, placeholder=" …") or [""]
        problem = words(self._problem) if self._problem else ""
        told = wrap(problem, max(1, columns - 12), max_lines=most + 1, placeholder=" …")
        line = self.query_one("#card-note", Static)
        line.styles.height = len(lines) + len(told)
        line.set_class(not self._note.strip(), "none")
        below = ("".join(f"\n      {part}" for part in told), "$text-error")
        self._say("note", Content.assemble(("note  ", "$foreground 65%"), "\n      ".join(lines), below))

    def _draw_keys(self) -> None:
        there = self._there()
        pieces = [("i", "note"), ("b", "bookmark"), ("esc", "close"), ("enter", f"go to {there}"),
                  ("{} []", "head, layer")]  # fmt: skip
        parts = [part for key, label in pieces for part in ((key, "bold $primary"), f" {label}   ")]
        self._say("keys", Content.assemble(*parts))

    def _say(self, line: str, content: Content) -> None:
        widget = self.query_one(f"#card-{line}", Static)
        if widget.content != content:
            widget.update(content, layout=False)

    # --- keys -------------------------------------------------------------------------------------------------------

    def _there(self) -> str:
        """The head that the row under the cursor leads to: the card's own where it names none."""
        table = self.facts.table
        if table is None or not table.rows or "of" not in table.columns:
            return self._title
        name = str(table.rows[self.facts.cursor][table.columns.index("of")])
        return name if _HEAD.fullmatch(name) else self._title

    def action_step(self, what: str, by: int) -> None:
        if self.on_top:
            self.tell(self.Step(what, by))

    def action_cursor(self, down: int) -> None:
        self.facts.action_cursor(down)

    def action_page(self, down: int) -> None:
        self.facts.action_page(down)

    def action_edge(self, side: int) -> None:
        self.facts.action_edge(side)

    def action_bookmark(self) -> None:
        self.tell(self.ToggleBookmark(self.head))

    def action_note(self) -> None:
        """Ask at once: the keys that follow are the note."""
        hint = "enter keeps it, with no text takes it away; esc leaves it as it was"
        self.app.push_screen(Ask("note", f"Note on {self._title}", " ".join(self._note.split()), hint, select=False))

    def on_ask_answered(self, message: Ask.Answered) -> None:
        message.stop()
        if isinstance(self.app.screen, Ask):
            self.app.screen.dismiss()
        self.tell(self.Noted(self.head, message.text.strip()))

    def action_go(self) -> None:
        if self.on_top:
            self.tell(self.GoTo(self._there()))
            self.action_close()

    def action_close(self) -> None:
        if self.on_top:
            self.tell(self.Closed(self.head))
            self.dismiss()

    def on_bars_cursor_moved(self, message: Bars.CursorMoved) -> None:
        message.stop()
        self._draw_keys()

    def on_bars_opened(self, message: Bars.Opened) -> None:
        message.stop()
        self.action_go()
