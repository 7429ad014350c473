"""The command palette: the same commands as the help, jumps such as ``L10H2`` and ``L2N17``, and ``prompts FILE``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, cast

from textual import events, on
from textual.binding import Binding
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.worker import Worker, WorkerState

from .help import Entry
from .once import Once

FIRST = 1e6
"""The score of a place that was typed: a fuzzy match of a command's help can have any."""
VALUE = 2.5
"""The score of a value of an option: behind a command that begins so, before one that has the word."""
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


class Palette(CommandPalette, Once[None]):
    """Textual's palette, of commands or of anything else: runs what was chosen once, and enter is about the text that
    was typed before it."""

    BINDINGS = [
        Binding("pagedown", "move(10)", "Next page", show=False),
        Binding("pageup", "move(-10)", "Previous page", show=False),
    ]

    _entered = False
    """Whether enter waits for the list."""

    @on(Input.Changed)
    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _in_time(self, message: Input.Changed | Input.Submitted | OptionList.OptionSelected) -> None:
        """Enter right behind the text would choose from the list of another text; what comes with the key that closed
        this would choose again."""
        searching = any(worker.node is self and not worker.is_finished for worker in self.workers)
        self._entered = isinstance(message, Input.Submitted) and searching
        if self._entered or not self.on_top:
            message.stop()
            message.prevent_default()

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
        if self._entered and event.state == WorkerState.SUCCESS:
            await self.query_one(Input).action_submit()


def rank(query: str, entry: Entry) -> float:
    """How well a command answers to words: its other names, the beginning of its name, words of it, words of its help;
    0 where it does not. Letters scattered over a sentence are no answer."""
    wanted = query.lower().strip()
    label, words = entry.label.lower(), wanted.split()
    texts = (f"{label} {entry.id.replace('_', ' ')}", entry.help.lower())
    if wanted in entry.also.split():
        return 5.0
    if wanted in (label, entry.id):
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
        for name, sentence, go in self._directory.places(query):
            yield Hit(FIRST, Content(name), go, help=sentence)  # a name may look like markup
        for name, sentence, go in self._directory.values(query):
            yield Hit(VALUE, Content(name), go, help=sentence)
        matcher = self.matcher(query)
        for entry in self._directory.entries():
            if (score := rank(query, entry) or 0.1 * matcher.match(entry.label)) > 0:
                yield Hit(score, matcher.highlight(entry.label), self._runs(entry), help=entry.help)

    def _runs(self, entry: Entry) -> Callable[[], None]:
        return partial(self._directory.run, entry.id)
