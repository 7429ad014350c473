"""What the palette lists and runs: the commands, and places that are typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.screen import Screen

from . import keys, moves
from .commands import by_id
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

    def open_prompts(self, path: str) -> None:
        """Open a file of prompts; what is wrong with it is said."""
        self._go(moves.to_prompts(self._scene.selection, path))
