"""The prompt line, and below it the prompt as tokens with what the model predicts next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Static

from ..results import Table, Tokens
from ..text import field_text, prompt_text, shorten, visible, width
from .colours import contrast, palette
from .surface import scheme_of

SHADES = 5
"""Steps on either side of zero: neighbours of one shade are one run on the wire, and most activations are small."""


class PromptInput(Input):
    """The text field, with the history on up and down.

    Newlines, tabs and control characters stand in it as their pictures (``⏎``), so a pasted text keeps its lines.
    """

    BINDINGS = [
        Binding("up", "older", "older", show=False),
        Binding("down", "newer", "newer", show=False),
    ]

    class Left(Message):
        """The user is done typing (esc or enter)."""

    def __init__(self, text: str, history: list[str]) -> None:
        """``history`` is added to."""
        super().__init__(field_text(text), compact=True, id="prompt-input", select_on_focus=False)
        self.history = history
        self._place = len(self.history)
        self._draft = self.value
        self.cursor_blink = False  # a blinking cursor writes to the terminal for ever

    @property
    def prompt(self) -> str:
        """The prompt that is typed, control characters and all."""
        return prompt_text(self.value)

    @prompt.setter
    def prompt(self, text: str) -> None:
        self.value = field_text(text)
        self.cursor_position = len(self.value)

    def on_paste(self, event: events.Paste) -> None:
        """Textual's own field would keep the first line and drop the rest without a word."""
        event.prevent_default()
        event.stop()
        self.replace(field_text(event.text.replace("\r\n", "\n").replace("\r", "\n")), *self.selection)

    def remember(self, text: str) -> None:
        """Put a prompt at the end of the history, unless it stands there already."""
        if text.strip() and (not self.history or self.history[-1] != text):
            self.history.append(text)
        self._place = len(self.history)

    def action_older(self) -> None:
        """The prompt before; what was being typed is kept at the end of the history."""
        if self._place == len(self.history):
            self._draft = self.value
        self._recall(self._place - 1)

    def action_newer(self) -> None:
        """The prompt after, up to what was being typed."""
        self._recall(self._place + 1)

    def _recall(self, place: int) -> None:
        if 0 <= place <= len(self.history):
            self._place = place
            self.prompt = prompt_text(self._draft) if place == len(self.history) else self.history[place]

    def on_key(self, event: events.Key) -> None:
        """Enter and escape leave the field."""
        if event.key in ("enter", "escape"):
            event.prevent_default()
            event.stop()
            self.screen.set_focus(None)
            self.post_message(self.Left())


class PromptLine(Horizontal):
    """``Prompt ▸ text``, and at the right what the answer is."""

    DEFAULT_CSS = """
    PromptLine { height: 1; }
    PromptLine > #prompt-mark { width: 10; color: $text-muted; }
    PromptLine > #prompt-input, PromptLine > #prompt-file { width: 1fr; }
    PromptLine > #prompt-file { display: none; color: $text-muted; }
    PromptLine > #prompt-answer {
        width: auto; max-width: 40%; padding: 0 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis;
    }
    PromptLine:focus-within > #prompt-mark { color: $accent; text-style: bold; }
    """

    answer: reactive[str] = reactive("", repaint=False)
    """``answer ·Paris − ·London``; empty: the whole line is the prompt's."""

    file: reactive[str] = reactive("", repaint=False)
    """``facts.csv · 2 prompts``, where all of them are shown and none is in the field."""

    def __init__(self, text: str, history: Sequence[str] = ()) -> None:
        super().__init__()
        self.history = list(history)
        """The prompts that were typed; the field adds to it."""
        self._text = text
        self._answer = Static(id="prompt-answer")
        self._file = Static(id="prompt-file")

    def compose(self) -> ComposeResult:
        yield Static(" Prompt ▸ ", id="prompt-mark")
        yield PromptInput(self._text, self.history)
        yield self._file
        yield self._answer

    @property
    def input(self) -> PromptInput:
        """The field."""
        return self.query_one(PromptInput)

    def watch_file(self) -> None:
        self.input.display, self._file.display = not self.file, bool(self.file)
        self._file.update(Content(visible_words(self.file)))

    def watch_answer(self) -> None:
        self._answer.display = bool(self.answer)
        self._answer.update(Content(visible_words(self.answer)))


def visible_words(text: str) -> str:
    """A text of several words, each made safe to print."""
    return " ".join(map(visible, text.split()))


class TokenStrip(Widget):
    """The prompt's tokens with the cursor's row and column marked, their ids where there is a second line, and the
    likeliest next tokens after the row's position."""

    DEFAULT_CSS = "TokenStrip { height: 1; }"

    class Clicked(Message):
        """A token was clicked; ``twice``: it is to be opened."""

        def __init__(self, index: int, twice: bool) -> None:
            super().__init__()
            self.index, self.twice = index, twice

    tokens: reactive[Tokens | None] = reactive(None, always_update=True)
    row: reactive[int] = reactive(0)
    col: reactive[int] = reactive(0)
    predictions: reactive[Table | None] = reactive(None, always_update=True)
    mark: reactive[str] = reactive("")
    """Of which model the predictions are, where it is not the clean one."""
    shade: reactive[Sequence[float] | None] = reactive(None)
    """One value in −1…1 a token, by which its background is coloured."""

    def render(self) -> Content:
        if self.tokens is None:
            return Content.styled(" no tokens yet", "$text-muted")
        total = self.size.width
        predicted = self._predicted(total // 2)
        ids = self.size.height > 1
        names = [visible(t, s) for t, s in zip(self.tokens.told_apart, self.tokens.special, strict=True)]
        numbers = [str(token) if ids else "" for token in self.tokens.ids]
        cells = [max(width(name), len(number)) for name, number in zip(names, numbers, strict=True)]
        first, last = self._window(cells, total - predicted.cell_length - 4)
        lead, tail = ("‹" if first else " "), ("›" if last < len(names) else " ")
        runs: list[tuple[str, str]] = [(lead, "$text")]
        below = " "
        style_of = self._style if self.shade is None else self._shaded()
        ends: list[int] = []
        for index in range(first, last):
            bar = "│" if index + 1 < last else ""
            own = style_of(index)
            for text, style in (
                (names[index] + " " * (cells[index] - width(names[index])), own),
                (bar, "$text" if self.shade is None else own),
            ):
                if style == runs[-1][1]:
                    runs[-1] = (runs[-1][0] + text, style)
                elif text:
                    runs.append((text, style))
            below += numbers[index].ljust(cells[index]) + bar
            ends.append((ends[-1] if ends else len(lead)) + cells[index] + 1)
        self._ends = ends
        line = Content.assemble(*runs, tail, "  ", predicted)
        return Content("\n").join([line, Content.styled(below, "$text-disabled")]) if ids else line

    def on_click(self, event: events.Click) -> None:
        place = next((n for n, end in enumerate(self._ends) if 0 < event.x < end), None)
        if place is not None:
            event.stop()
            self.post_message(self.Clicked(self._first + place, event.chain == 2))

    _first = 0
    _ends: Sequence[int] = ()
    """The column behind each token that is shown."""

    def _style(self, index: int) -> str:
        if index == self.row:
            return "bold $text on $primary-muted"
        if index == self.col:
            return "$text on $accent-muted"
        return "dim $text" if self._of_template(index) else "$text"

    def _of_template(self, index: int) -> bool:
        """Whether a token is the chat template's."""
        return self.tokens is not None and index < len(self.tokens.template) and self.tokens.template[index]

    def _shaded(self) -> Callable[[int], str]:
        """Styles by the tokens' values; the tokens under the cursor are told by reverse and underline."""
        shade, colours = self.shade or (), palette(scheme_of(self), True)

        def style(index: int) -> str:
            mark = "bold reverse " if index == self.row else "underline " if index == self.col else ""
            if index >= len(shade) or isnan(shade[index]):
                return f"{mark}$text"
            step = round(max(-1.0, min(1.0, shade[index])) * SHADES)
            swatch = colours.swatches[(len(colours) - 1) * (SHADES + step) // (2 * SHADES)]
            ink = swatch.foreground or contrast(swatch.background)
            return f"{mark}rgb{ink} on rgb{swatch.background}"

        return style

    def _window(self, cells: list[int], room: int) -> tuple[int, int]:
        """[first, last) tokens that fit in ``room`` columns: those shown before as long as the row's is one of them,
        else the row's, and as many before as after."""
        if not cells:
            return 0, 0
        last, used = self._first, 0
        while last < len(cells) and used + cells[last] + 1 <= room:
            used += cells[last] + 1
            last += 1
        more = last == len(cells) and self._first > 0 and used + cells[self._first - 1] + 1 <= room
        if self._first <= self.row < last and not more:
            return self._first, last
        first = last = min(self.row, len(cells) - 1)
        last += 1
        used = cells[first] + 1
        while True:
            grown = False
            if first > 0 and used + cells[first - 1] + 1 <= room:
                first -= 1
                used += cells[first] + 1
                grown = True
            if last < len(cells) and used + cells[last] + 1 <= room:
                used += cells[last] + 1
                last += 1
                grown = True
            if not grown:
                self._first = first
                return first, last

    def _predicted(self, room: int) -> Content:
        """``→ " Paris" 98.1%  " London" 0.4%``, as many as fit; always the first."""
        table = self.predictions
        if table is None:
            return Content("")
        token, share = table.columns.index("token"), table.columns.index("probability")
        out = Content.styled(f"{self.mark} → " if self.mark else "→ ", "bold $warning" if self.mark else "$text-muted")
        for number, row in enumerate(table.rows):
            name = shorten(visible(str(row[token])), 16)
            share_of = f" {float(row[share] or 0):.1%}  "
            piece = Content.assemble((name, "bold $success" if number == 0 else "$text"), (share_of, "$text-muted"))
            if number and out.cell_length + piece.cell_length > room:
                break
            out = Content.assemble(out, piece)
        return out
