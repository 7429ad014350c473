"""What the palette lists and runs: the commands, and places that are typed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from textual.screen import Screen

from . import aliases, completing, finding, keys, moves, pages
from .commands import by_id
from .completing import Completion
from .declared import Say
from .scene import Moved, Scene
from .views.help import Entry
from .views.palette import Place

Typed = Callable[[str], Sequence[Place]]
"""What a text does."""


class Lists(Protocol):
    """What can be said of the list that is shown."""

    @property
    def columns(self) -> tuple[str, ...]: ...
    def sort(self, name: str) -> str:
        """Sort it by a column; why not, or ""."""


class Directory:
    """The palette's side of the screen it is opened on."""

    def __init__(
        self, screen: Screen[None], scene: Scene, go: Callable[[Moved], None], lists: Lists, also: Typed
    ) -> None:
        """``lists``: the list that is shown; ``also``: what else a text that is typed does."""
        self._screen, self._scene, self._go, self._lists, self._also = screen, scene, go, lists, also
        self._aliases: Mapping[str, str] = {}
        self.history: list[str] = []
        """What was run by its words, oldest first."""

    def know(self, aliases: Mapping[str, str], history: Sequence[str]) -> None:
        """A user's own words, and what was run in earlier runs of the app, oldest first."""
        self._aliases, self.history = aliases, list(history)

    def entries(self) -> Sequence[Entry]:
        """The commands, as help and palette show them."""
        return keys.entries()

    def run(self, command_id: str | None) -> None:
        """Run a command by its id."""
        if command_id is not None:
            self._screen.call_later(self._screen.run_action, by_id(command_id).action)

    def expanded(self, text: str) -> str:
        """What a text stands for."""
        return aliases.expanded(text, self._aliases) or text

    async def completions(self, text: str) -> Sequence[Completion]:
        """What a text may go on to be."""
        s, columns = self._scene.selection, self._lists.columns
        if completing.reads_files(text):  # the disk may be slow
            return await asyncio.to_thread(completing.completions, s, text, columns, self._aliases)
        return completing.completions(s, text, columns, self._aliases)

    async def is_half(self, text: str) -> bool:
        """Whether a text names a file that is not there: what it may go on to be is meant."""
        return completing.reads_files(text) and not await asyncio.to_thread(completing.is_there, text)

    def remember(self, text: str) -> None:
        """Something was run by these words."""
        if text and text != (self.history or [""])[-1]:
            self.history.append(text)

    def places(self, text: str) -> Sequence[Place]:
        """Where a text leads that is no command."""

        def goes(move: Callable[[], Moved]) -> Callable[[], None]:
            return lambda: self._go(move())

        word, _, rest = text.strip().partition(" ")
        if word.lower() == "find" and rest.strip():  # in what is drawn, which a move does not see
            found = partial(finding.to_match, self._scene.here, rest.strip())
            return [(f"find {rest.strip()}", "The next one that reads so; * goes on, # back.", goes(found))]
        if word.lower() == "sort" and rest.strip():
            return [(f"sort {rest.strip()}", "The list that is shown by that column; again: the other way round.",
                     lambda: self._say(self._lists.sort(rest.strip())))]  # fmt: skip
        typed = moves.typed(self._scene.selection, text)
        return [*((name, sentence, goes(move)) for name, sentence, move in typed), *self._also(text)]

    def _say(self, sentence: str) -> None:
        if sentence:
            self._go(Say(sentence))

    def values(self, text: str) -> Sequence[Place]:
        """Values of the page's options that a text names: where each leads."""
        s, wanted = self._scene.selection, text.lower().split()
        page = pages.of(s)
        out: list[Place] = []
        for key in dict.fromkeys(option.key for option in page.options):
            if (option := page.option(key, s)) is None:
                continue
            for number, value in enumerate(option.choices(s), 1):
                name = f"{by_id(key).label} {number}/{len(option.choices(s))}: {value}"
                if all(re.search(rf"\b{re.escape(word)}", name.lower()) for word in wanted):
                    why = option.why_not(s, value)
                    there: Moved = Say(why) if why else option.put(s, value)
                    out.append((name, why or "A value of this view's option.", partial(self._go, there)))
        return out

    def open_prompts(self, path: str) -> None:
        """Open a file of prompts; what is wrong with it is said."""
        self._go(moves.to_prompts(self._scene.selection, path))
