"""The command palette: the same commands as the help, jumps such as ``L10H2`` and ``L2N17``, and ``prompts FILE``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, cast

from textual import events, on
from textual.binding import Binding
from textual.command import Command, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.worker import Worker, WorkerState

from ..text import plain
from .help import Entry
from .once import Once

SETTLED = 20
"""Rounds of messages after which an enter that found a list has done what it does: it takes a handful."""
PLACE = "a command, a head, a place · tab completes, ↑ what you ran before"
FIRST = 1e6
"""The score of a place that was typed: a fuzzy match of a command's help can have any."""
VALUE = 2.5
"""The score of a value of an option: behind a command that begins so, before one that has the word."""
COMPLETION = 2.9
"""The score of what a text may go on to be: behind a command that begins so."""
ENDS = 2.8
"""Below all of these."""
Place = tuple[str, str, Callable[[], None]]
"""Somewhere to go: what it is called, one sentence, and what goes there."""


class Directory(Protocol):
    """What the palette asks of the screen it was opened on."""

    def entries(self) -> Sequence[Entry]: ...
    def run(self, command_id: str) -> None: ...
    def places(self, text: str) -> Sequence[Place]:
        """Where a text leads that is no command: ``L10H2``."""

    def values(self, text: str) -> Sequence[Place]:
        """Values of options of what is shown."""

    def expanded(self, text: str) -> str:
        """What an alias stands for; another text is itself."""

    async def completions(self, text: str) -> Sequence[Completion]:
        """What a text may go on to be."""

    async def is_half(self, text: str) -> bool:
        """Whether a text names a file that is not there: what it may go on to be is meant."""

    def remember(self, text: str) -> None:
        """This was run."""

    @property
    def history(self) -> Sequence[str]:
        """What was run by its words, oldest first."""


class Completion(Protocol):
    """A text that the one that is typed may become."""

    @property
    def text(self) -> str: ...
    @property
    def sentence(self) -> str: ...
    @property
    def whole(self) -> bool:
        """Whether it can be run as it is."""


@dataclass(frozen=True)
class Becomes:
    """The command of a line that cannot be run yet: the text that is put into the field."""

    text: str

    def __call__(self) -> None:
        """Nothing runs."""


class Palette(CommandPalette, Once[None]):
    """Textual's palette, of commands or of anything else: runs what was chosen once, and enter is about the text that
    was typed before it."""

    BINDINGS = [
        Binding("tab", "complete", "Complete", show=False, priority=True),
        Binding("up", "older", "Older", show=False),
        Binding("down", "newer", "Newer", show=False),
        Binding("pagedown", "move(10)", "Next page", show=False),
        Binding("pageup", "move(-10)", "Previous page", show=False),
    ]

    _waits: Literal["", "enter", "tab"] = ""
    """The key that waits for the list."""
    _walked: tuple[str, list[str], int] | None = None
    """What was typed, what of the history begins so, the latest first, and which of it is in the field."""

    def __init__(
        self, providers: Sequence[type[Provider]] | None = None, placeholder: str = PLACE,
        directory: Directory | None = None,
    ) -> None:  # fmt: skip
        """``directory``: where what is run is remembered, if it is."""
        super().__init__(providers, placeholder=placeholder)
        self._directory = directory

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key that does not wait comes before its parts are there: it can close it, and no more."""
        if not self.is_mounted and action != "escape":
            return False
        return super().check_action(action, parameters)

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False  # it would write to the terminal for ever

    @on(Input.Changed)
    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _in_time(self, message: Input.Changed | Input.Submitted | OptionList.OptionSelected) -> None:
        """Enter right behind the text would choose from the list of another text; what comes with the key that closed
        this would choose again."""
        self.answering = isinstance(message, Input.Submitted)
        self._waits = "enter" if self.answering and self._searching else ""
        if self.answering and not self._waits:
            self._stays(SETTLED)
        if self._waits or not self.on_top:
            message.stop()
            message.prevent_default()
        elif isinstance(message, OptionList.OptionSelected):
            self._chosen(message)
        elif self._walked is not None and message.value not in self._walked[1]:
            self._walked = None

    @property
    def _searching(self) -> bool:
        return any(worker.node is self and not worker.is_finished for worker in self.workers)

    def _stays(self, rounds: int) -> None:
        """When enter has done what it does, and this is still here: there was nothing to run."""
        if rounds:
            self.call_later(self._stays, rounds - 1)
        else:
            self.answering = False

    def _chosen(self, message: OptionList.OptionSelected) -> None:
        """What cannot be run yet is put into the field; what is run is remembered."""
        hit = message.option.hit if isinstance(message.option, Command) else None
        if isinstance(hit, Hit | DiscoveryHit) and isinstance(hit.command, Becomes):
            message.stop()
            message.prevent_default()
            self._fill(hit.command.text)
        elif isinstance(hit, Hit | DiscoveryHit) and self._directory is not None:
            self._directory.remember(str(hit.text or ""))

    def _fill(self, text: str) -> None:
        field = self.query_one(Input)
        field.replace(text, 0, len(field.value))
        field.action_end()

    def action_complete(self) -> None:
        """The text as the line under the cursor has it; where that is the text as it is, as it may go on to be."""
        if self._searching:
            self.answering, self._waits = True, "tab"
            return
        self.answering = False
        listing, typed = self.query_one(OptionList), self.query_one(Input).value
        hits = [option.hit for option in listing.options if isinstance(option, Command)]
        if listing.highlighted is None or listing.highlighted >= len(hits):
            return
        hit = hits[listing.highlighted]
        if str(hit.text or "").strip() == typed.strip():
            hit = next((one for one in hits if isinstance(one, Hit) and ENDS < one.score <= COMPLETION), hit)
        self._fill(str(hit.text or ""))

    def action_older(self) -> None:
        """Up in the list; at its top what was run before."""
        listing, field = self.query_one(OptionList), self.query_one(Input)
        if self._walked is None and (listing.highlighted or 0) > 0:
            listing.action_cursor_up()
            return
        if self._walked is None:
            history = self._directory.history if self._directory is not None else ()
            begun = [text for text in dict.fromkeys(reversed(history)) if text.startswith(field.value)]
            self._walked = field.value, [text for text in begun if text != field.value], -1
        typed, begun, at = self._walked
        if at + 1 < len(begun):
            self._walked = typed, begun, at + 1
            self._fill(begun[at + 1])

    def action_newer(self) -> None:
        """Back to what was typed, then down in the list."""
        if self._walked is None or self._walked[2] < 0:
            self._walked = None
            self.query_one(OptionList).action_cursor_down()
            return
        typed, begun, at = self._walked
        self._walked = (typed, begun, at - 1) if at else None
        self._fill(begun[at - 1] if at else typed)

    def on_click(self, event: events.Click) -> None:
        """A click where the window no longer is: Textual would look for what stands there."""
        if not self.region.contains(*event.screen_offset):
            event.stop()
            event.prevent_default()

    def action_move(self, lines: int) -> None:
        """Textual's pages go by the height of lines, which a list that is not drawn yet does not know."""
        listing = self.query_one(OptionList)
        if listing.highlighted is not None:
            listing.highlighted = max(0, min(listing.highlighted + lines, listing.option_count - 1))

    async def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state != WorkerState.SUCCESS:
            return
        waits, self._waits = self._waits, ""
        if waits == "enter":
            await self.query_one(Input).action_submit()
        elif waits == "tab":
            self.action_complete()


def rank(query: str, entry: Entry) -> float:
    """How well a command answers to words: its name, its other names, how its name begins, words of it and of its help;
    0 where it does not. Letters scattered over a sentence are no answer."""
    wanted = query.lower().strip()
    label, words = entry.label.lower(), wanted.split()
    texts = (f"{label} {entry.id.replace('_', ' ')}", entry.help.lower())
    if wanted in (label, entry.id):
        return 5.0
    if wanted in entry.also.split():
        return 4.0
    if label.startswith(wanted):
        return 3.0
    return next((2.0 - n for n, text in enumerate(texts) if all(re.search(rf"\b{re.escape(w)}", text) for w in words)),
                0.0)  # fmt: skip


class Commands(Provider):
    """Commands by fuzzy match of their names; ``L10H2`` or ``10 2`` jumps to that head, ``L2N17`` to that neuron."""

    @property
    def _directory(self) -> Directory:
        return cast(Directory, self.screen.directory)  # type: ignore[attr-defined]

    async def discover(self) -> Hits:
        for entry in self._directory.entries():
            yield DiscoveryHit(Content(f"{entry.label}  ({entry.keys})"), self._runs(entry), entry.label, entry.help)

    async def search(self, query: str) -> Hits:
        typed, query = query, self._directory.expanded(query)
        means = f" = {query}" if query != typed else ""
        completions = await self._directory.completions(typed)
        place = ENDS if completions and await self._directory.is_half(query) else FIRST
        for name, sentence, go in self._directory.places(query):
            yield Hit(place, Content(plain(name + means)), go, typed, sentence)  # a name may look like markup
        for at, completion in enumerate(completions):
            shown = Content(plain(completion.text))
            yield Hit(COMPLETION - 1e-3 * at, shown, self._goes_on(completion), completion.text, completion.sentence)
        for name, sentence, go in self._directory.values(query):
            yield Hit(VALUE, Content(plain(name + means)), go, typed, sentence)
        matcher = self.matcher(query)
        for entry in self._directory.entries():
            if (score := rank(query, entry) or 0.1 * matcher.match(entry.label)) > 0:
                yield Hit(score, matcher.highlight(entry.label), self._runs(entry), entry.label, entry.help)

    def _goes_on(self, completion: Completion) -> Callable[[], None]:
        places = self._directory.places(self._directory.expanded(completion.text)) if completion.whole else ()
        return places[0][2] if places else Becomes(completion.text)

    def _runs(self, entry: Entry) -> Callable[[], None]:
        return partial(self._directory.run, entry.id)
