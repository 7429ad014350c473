"""A question on the bottom line: one text field, and room for the sentence that says what was wrong with the answer."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class Ask(ModalScreen[None]):
    """Asks for one line. Stays open, with what was typed, until the asker closes it or the user presses esc."""

    DEFAULT_CSS = """
    Ask { align: left bottom; background: transparent; }
    Ask > Vertical { height: auto; background: $panel; padding: 0 1; border-top: solid $accent; }
    Ask Input { background: $surface; }
    Ask #ask-problem { color: $text-error; height: auto; display: none; }
    Ask #ask-hint { color: $text-muted; height: auto; }
    """
    BINDINGS = [Binding("escape", "cancel", "cancel", show=False)]

    class Answered(Message):
        """The user pressed enter."""

        def __init__(self, question: str, text: str) -> None:
            super().__init__()
            self.question = question
            self.text = text

    def __init__(self, question: str, title: str, text: str = "", hint: str = "") -> None:
        super().__init__()
        self.question = question
        self._title, self._text, self._hint = title, text, hint

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content.styled(self._title, "bold"))
            field = Input(self._text, compact=True, select_on_focus=True)
            field.cursor_blink = False
            yield field
            yield Static(Content(self._hint), id="ask-hint")
            yield Static(id="ask-problem")

    def problem(self, sentence: str) -> None:
        """Say what is wrong with the answer; the text stays."""
        line = self.query_one("#ask-problem", Static)
        line.update(Content(sentence))
        line.display = bool(sentence)

    def on_key(self, event: events.Key) -> None:
        """A key that reaches the screen was typed before the field had the focus: it is part of the answer too."""
        if event.key == "enter":
            event.stop()
            self._answer(self.query_one(Input).value)
        elif event.is_printable and event.character:
            event.stop()
            field = self.query_one(Input)
            field.replace(event.character, *field.selection)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._answer(event.value)

    def _answer(self, text: str) -> None:
        # Posted to the screen below, which knows what the question was about.
        self.app.screen_stack[-2].post_message(self.Answered(self.question, text))

    def action_cancel(self) -> None:
        self.dismiss()
