"""The list of models: type to filter or to name another, arrows choose, a card says what each is, enter opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import wrap

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ..label import Label, short
from ..shelf import matching
from ..text import plain
from .once import Once
from .options import Options

Lines = Sequence[tuple[str, str, str]]
"""A card: (what, value, style)."""
BESIDE = 110
"""Columns from which list and card stand beside each other."""
INDENT = 13
"""Columns before what is said on a card."""
PLACE = "demo, a hub name such as gpt2, or a folder · type to filter"


class Models(ModalScreen[None], Once[None]):
    """Fills while it is looked at; what was typed or moved to stays under the cursor."""

    DEFAULT_CSS = """
    Models { align: center middle; }
    Models > Vertical { width: 130; max-width: 96%; height: 90%; background: $panel; border: round $primary;
        padding: 0 1; }
    Models #models-body { height: 1fr; layout: vertical; }
    Models OptionList { height: 1fr; background: $panel; border: none; padding: 0; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis; }
    Models VerticalScroll { height: 1fr; margin: 1 0 0 0; scrollbar-size-vertical: 1; }
    Models #models-card { height: auto; }
    Models #models-keys { color: $text-muted; height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    /* Not by its colour alone, for there may be none. */
    Models OptionList > .option-list--option-highlighted { text-style: bold underline; }
    Models.beside #models-body { layout: horizontal; }
    Models.beside OptionList { width: 5fr; height: 1fr; }
    Models.beside VerticalScroll { width: 6fr; height: 1fr; margin: 0 0 0 2; }
    """

    class Chosen(Message):
        """The user wants this model open."""

        def __init__(self, source: str) -> None:
            super().__init__()
            self.source = source

    class Found(Message):
        """More models were found; ``done``: there are no others."""

        def __init__(self, labels: Sequence[Label], done: bool = False) -> None:
            super().__init__()
            self.labels, self.done = labels, done

    def __init__(
        self, card: Callable[[Label], Lines], begin: Callable[[Models], object], is_open: Callable[[Label], bool],
        where: str = "",
    ) -> None:  # fmt: skip
        """``card``: what is said of a model; ``begin`` is called when models can be found; ``is_open``: whether a model
        is the one that is open; ``where``: the machine that they are on, where that is another one."""
        super().__init__()
        self._where = where
        self._card, self._begin, self._is_open = card, begin, is_open
        self._labels: list[Label] = []
        self._rows: dict[str, Label] = {}
        """Id of an option → its model."""
        self._text = ""
        self._moved = False
        """Whether the cursor was put where it is by the user."""

    def compose(self) -> ComposeResult:
        self.set_class(self.app.size.width >= BESIDE, "beside")
        with Vertical() as box:
            box.border_title = f"Models on {self._where}" if self._where else "Models"
            field = Input(placeholder=PLACE, compact=True)
            field.cursor_blink = False
            yield field
            with Container(id="models-body"):
                listing = Options(compact=True, markup=False)
                listing.can_focus = False  # the field keeps the keys
                yield listing
                with VerticalScroll() as scroll:
                    scroll.can_focus = False
                    yield Static(id="models-card")
            yield Static(Content("searching …"), id="models-keys")

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._fill()
        self.once_laid_out(self._say)
        self._begin(self)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= BESIDE, "beside")
        self.once_laid_out(self._say)

    @property
    def chosen(self) -> Label | None:
        """The model under the cursor."""
        listing = self.query_one(OptionList)
        if listing.highlighted is None:
            return None
        return self._rows.get(listing.get_option_at_index(listing.highlighted).id or "")

    def on_models_found(self, message: Models.Found) -> None:
        message.stop()
        self._labels += message.labels
        if not self.closed:
            if message.done:
                keys = "enter opens · ↑ ↓ choose · pgup pgdn: the card · esc closes"
                self.query_one("#models-keys", Static).update(Content(f"{len(self._labels)} found · {keys}"))
            self._fill()

    # --- the list ---

    def _fill(self) -> None:
        """The rows that the text leaves, the cursor on the one that is meant."""
        text, before = self._text.strip(), self.chosen if self._moved else None
        matched = matching(self._labels, text)
        exact = [one for one in matched if text in (one.source, one.name)]
        self._rows, options = {}, []
        if text and not exact:
            free = Label(text, text, "", "")
            self._rows["typed"] = free
            options.append(Option(Content.assemble("open ", (f"“{plain(text)}”", "bold")), id="typed"))
        group = ""
        for number, one in enumerate(matched):
            if one.group != group:
                group = one.group
                options.append(Option(Content.styled(plain(group), "bold $accent"), disabled=True))
            self._rows[f"model-{number}"] = one
            options.append(Option(self._line(one), id=f"model-{number}"))
        listing = self.query_one(OptionList)
        listing.set_options(options)
        meant = before if before in self._rows.values() else self._meant(text, exact, matched)
        ids = [id for id, one in self._rows.items() if one == meant]
        listing.highlighted = listing.get_option_index(ids[0]) if ids else None
        self._say()

    def _meant(self, text: str, exact: list[Label], matched: list[Label]) -> Label | None:
        """A path that is typed is meant itself; else the model of that name, of that beginning, or the first."""
        if exact:
            return exact[0]
        typed = self._rows.get("typed")
        if text.startswith(("/", "~", ".")):
            return typed
        begun = [one for one in matched if one.name.lower().startswith(text.lower())]
        return next(iter([*begun, *matched]), typed)

    def _line(self, one: Label) -> Content:
        mark = ("● ", "$text-success") if self._is_open(one) else ("✗ ", "$text-error") if one.trouble else ("  ", "")
        size = f"  {short(one.parameters)}" if one.parameters else ""
        return Content.assemble(mark, (plain(one.name), "$text-muted" if one.trouble else ""), (size, "$text-muted"))

    def _say(self) -> None:
        """The card of the model under the cursor, what is long on below itself."""
        one, lines = self.chosen, []
        room = max(20, self.query_one(VerticalScroll).size.width - INDENT - 1)
        for what, value, style in self._card(one) if one is not None else ():
            text = f"\n{' ' * INDENT}".join(wrap(plain(value), room))
            lines.append(Content.assemble((f"{what:<{INDENT}}", "$text-muted"), (text, style)))
        if one is None:
            lines.append(Content.styled("no model is called so" if self._text.strip() else "", "$text-muted"))
        self.query_one("#models-card", Static).update(Content("\n").join(lines))

    # --- keys ---

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.on_top:
            self._take(event.value)

    def _take(self, text: str) -> None:
        if text != self._text:
            self._text, self._moved = text, False
            self._fill()

    def on_key(self, event: events.Key) -> None:
        """As in ``Ask``: a printable key that reaches the screen was typed before the field had the focus."""
        listing, scroll = self.query_one(OptionList), self.query_one(VerticalScroll)
        acts: dict[str, Callable[[], object]] = {
            "escape": self.dismiss, "enter": self._choose, "up": listing.action_cursor_up,
            "down": listing.action_cursor_down, "pageup": scroll.scroll_page_up, "pagedown": scroll.scroll_page_down,
        }  # fmt: skip
        if not self.on_top:
            event.stop()  # it came with the key that closed this
        elif (act := acts.get(event.key)) is not None:
            event.stop()
            self._take(self.query_one(Input).value)
            if event.key in ("up", "down"):
                self._moved = True
            act()
            self._say()
        elif event.is_printable and event.character:
            event.stop()
            field = self.query_one(Input)
            field.replace(event.character, *field.selection)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.on_top:
            self._take(event.value)
            self._choose()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click."""
        event.stop()
        if (one := self._rows.get(event.option_id or "")) is not None:
            self._open(one)

    def _choose(self) -> None:
        if (one := self.chosen) is not None:
            self._open(one)

    def _open(self, one: Label) -> None:
        if self.on_top:
            self.tell(self.Chosen(one.source))
            self.dismiss()
