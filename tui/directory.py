"""What the palette lists and runs: the commands, and places that are typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from textual.screen import Screen

from . import keys, moves, pages
from .commands import by_id
from .declared import Say
from .scene import Moved, Scene
from .views.help import Entry
from .views.palette import Place


class Directory:
    """The palette's side of the screen it is opened on."""

    def __init__(self, screen: Screen[None], scene: Scene, go: Callable[[Moved], None]) -> None:
        self._screen, self._scene, self._go = screen, scene, go

    def entries(self) -> Sequence[Entry]:
        """The commands, as help and palette show them."""
        return keys.entries()

    def run(self, command_id: str | None) -> None:
        """Run a command by its id."""
        if command_id is not None:
            self._screen.call_later(self._screen.run_action, by_id(command_id).action)

    def places(self, text: str) -> Sequence[Place]:
        """Where a text leads that is no command."""

        def goes(move: Callable[[], Moved]) -> Callable[[], None]:
            return lambda: self._go(move())

        return [(name, sentence, goes(move)) for name, sentence, move in moves.typed(self._scene.selection, text)]

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
