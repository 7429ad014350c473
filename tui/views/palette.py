"""The command palette: the same commands as the help, and jumps such as ``L10H2``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from .help import Entry

_HEAD = re.compile(r"\s*l?(\d+)\s*(?:[h.,\s]\s*(\d+))?\s*$", re.IGNORECASE)


class Explorer(Protocol):
    """What the palette asks of the screen it was opened on."""

    def palette_entries(self) -> Sequence[Entry]: ...
    def run_entry(self, command_id: str) -> None: ...
    def jump(self, layer: int, head: int) -> None: ...


class Commands(Provider):
    """Commands by fuzzy match; ``L10H2`` or ``10 2`` jumps to that head."""

    async def discover(self) -> Hits:
        explorer = cast(Explorer, self.screen)
        for entry in explorer.palette_entries():
            name = f"{entry.label}  ({entry.keys})"
            yield DiscoveryHit(Content(name), _runs(explorer, entry), entry.label, entry.help)

    async def search(self, query: str) -> Hits:
        explorer = cast(Explorer, self.screen)
        if match := _HEAD.match(query):
            layer, head = int(match[1]), int(match[2] or 0)
            yield Hit(1.0, f"go to L{layer}H{head}", partial(explorer.jump, layer, head), help="Show this head.")
        matcher = self.matcher(query)
        for entry in explorer.palette_entries():
            score = max(matcher.match(entry.label), 0.9 * matcher.match(entry.id), 0.5 * matcher.match(entry.help))
            if score > 0:
                yield Hit(score, matcher.highlight(entry.label), _runs(explorer, entry), help=entry.help)


def _runs(explorer: Explorer, entry: Entry) -> Callable[[], None]:
    return partial(explorer.run_entry, entry.id)
