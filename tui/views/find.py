"""A field on the bottom line whose text takes effect while it is typed: finding in a view, filtering a list."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from .once import Once


class Find(ModalScreen[None], Once[None]):
    """Says what the text does with each character; enter keeps that, esc takes it back."""

    DEFAULT_CSS = """
    Find { align: left bottom; background: transparent; }
    Find > Vertical { height: auto; background: $panel; padding: 0 1; border-top: solid $accent; }
    Find Input { background: $surface; }
    Find #find-said { color: $text-muted; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(
        self, title: str, text: str, typed: Callable[[str], str], left: Callable[[str, bool], None],
        step: Callable[[str, int], str] | None = None,
    ) -> None:  # fmt: skip
        """``typed`` takes the text as it is now and says what it does; ``left``: the text in the end, and whether it is
        kept; ``step``: to the next (1) or the one before (-1), on the down and up keys."""
        super().__init__()
        self._title, self._text = title, text
        self._typed, self._left, self._step = typed, left, step
        self._seen: str | None = None

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content.styled(self._title, "bold"))
            field = Input(self._text, compact=True)
            field.cursor_blink = False
            yield field
            yield Static(id="find-said")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._take(self._text)

    def _take(self, text: str) -> None:
        if text != self._seen:
            self._seen = text
            self._say(self._typed(text))

    def _say(self, sentence: str) -> None:
        steps = "↑ ↓ the others · " if self._step is not None else ""
        self.query_one("#find-said", Static).update(Content(f"{sentence} · {steps}enter keeps this, esc goes back"))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.on_top:
            self._take(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._leave(event.value, True)

    def on_key(self, event: events.Key) -> None:
        """Keys are taken here in their order; one that comes before the field has the focus is part of the text."""
        field = self.query_one(Input)
        if not self.on_top:
            event.stop()  # it came with the key that closed this
        elif event.key == "escape":
            event.stop()
            self._leave(field.value, False)
        elif event.key == "enter":
            event.stop()
            self._leave(field.value, True)
        elif event.key in ("up", "down") and self._step is not None:
            event.stop()
            self._take(field.value)
            self._say(self._step(field.value, -1 if event.key == "up" else 1))
        elif event.is_printable and event.character:
            event.stop()
            field.replace(event.character, *field.selection)

    def _leave(self, text: str, kept: bool) -> None:
        if not self.on_top:
            return
        if kept:
            self._take(text)
        self._left(text, kept)
        self.dismiss()
