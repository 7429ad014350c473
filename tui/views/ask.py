"""A question on the bottom line: one text field, and below it what was wrong with the answer, or what it may have meant
to pick from."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from .once import Once
from .options import Options


class Ask(ModalScreen[None], Once[None]):
    """Asks for one line. Stays open, with what was typed, until the asker closes it or the user presses esc."""

    DEFAULT_CSS = """
    Ask { align: left bottom; background: transparent; }
    Ask > Vertical { height: auto; background: $panel; padding: 0 1; border-top: solid $accent; }
    Ask Input { background: $surface; }
    Ask #ask-problem { color: $text-error; height: auto; display: none; }
    Ask #ask-hint { color: $text-muted; height: auto; }
    Ask #ask-shown { height: auto; display: none; text-wrap: nowrap; text-overflow: ellipsis; }
    Ask OptionList {
        height: auto; max-height: 8; background: $panel; display: none; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    /* Not by its colour alone, for there may be none. */
    Ask OptionList > .option-list--option-highlighted { text-style: bold underline; }
    """
    class Answered(Message):
        """The user pressed enter."""

        def __init__(self, question: str, text: str) -> None:
            super().__init__()
            self.question = question
            self.text = text

    class Typed(Message):
        """The text is another one."""

        def __init__(self, question: str, text: str) -> None:
            super().__init__()
            self.question = question
            self.text = text

    class Picked(Message):
        """The user took one of the options."""

        def __init__(self, question: str, value: str) -> None:
            super().__init__()
            self.question = question
            self.value = value

    def __init__(self, question: str, title: str, text: str = "", hint: str = "", select: bool = True) -> None:
        """``select``: what is typed takes the place of ``text``, instead of following it."""
        super().__init__()
        self.question = question
        self._select = select
        self._title, self._text, self._hint = title, text, hint
        self._values: tuple[str, ...] = ()
        self._about = ""
        """The text that the options are about: with another one they are no longer offered."""

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content.styled(self._title, "bold"))
            field = Input(self._text, compact=True, select_on_focus=self._select)
            field.cursor_blink = False
            yield field
            yield Static(id="ask-shown")
            yield Static(Content(self._hint), id="ask-hint")
            yield Static(id="ask-problem")
            options = Options(compact=True, markup=False)
            options.can_focus = False  # the field keeps the keys
            yield options

    def on_mount(self) -> None:
        self.tell(self.Typed(self.question, self._text))

    def problem(self, sentence: str) -> None:
        """Say what is wrong with the answer; the text stays."""
        self.answering = False
        self._offer(())
        line = self.query_one("#ask-problem", Static)
        line.update(Content(sentence))
        line.display = bool(sentence)

    def show(self, lines: Sequence[Sequence[tuple[str, str]]]) -> None:
        """Show what the text is, in lines of (text, style)."""
        shown = self.query_one("#ask-shown", Static)
        shown.update(Content("\n").join([Content.assemble(*line) for line in lines]))
        shown.display = bool(lines)

    def choose(self, sentence: str, options: Sequence[tuple[str, str]]) -> None:
        """Offer (label, value) to pick from, until something else is typed."""
        self.problem("")
        self.query_one("#ask-hint", Static).update(Content(sentence))
        self._offer(options)

    def _offer(self, options: Sequence[tuple[str, str]]) -> None:
        self._values, self._about = tuple(value for _, value in options), self.query_one(Input).value
        listing = self.query_one(OptionList)
        listing.set_options([Content(label) for label, _ in options])
        listing.highlighted = 0 if options else None
        listing.display = bool(options)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.tell(self.Picked(self.question, self._values[event.option_index]))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.tell(self.Typed(self.question, event.value))
        if self._values and event.value != self._about:
            self._offer(())
            self.query_one("#ask-hint", Static).update(Content(self._hint))

    def on_key(self, event: events.Key) -> None:
        """A key that reaches the screen was typed before the field had the focus: it is part of the answer too.

        Up, down and escape are taken here and not by bindings, which are looked at later: an enter that came with them
        would overtake them.
        """
        if not self.on_top:
            event.stop()  # it came with the key that closed this
        elif event.key == "escape":
            event.stop()
            self.dismiss()
        elif event.key == "enter":
            event.stop()
            self._answer(self.query_one(Input).value)
        elif event.key in ("up", "down") and self._values:
            event.stop()
            listing = self.query_one(OptionList)
            (listing.action_cursor_up if event.key == "up" else listing.action_cursor_down)()
        elif event.is_printable and event.character:
            event.stop()
            field = self.query_one(Input)
            field.replace(event.character, *field.selection)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._answer(event.value)

    def _answer(self, text: str) -> None:
        self.answering = True
        place = self.query_one(OptionList).highlighted
        if self._values and place is not None and text == self._about:
            self.tell(self.Picked(self.question, self._values[place]))
        else:
            self.tell(self.Answered(self.question, text))
