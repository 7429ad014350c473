"""The command palette: the same commands as the help, jumps such as ``L10H2`` and ``L2N17``, and ``prompts FILE``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from .help import Entry

_HEAD = re.compile(r"\s*l?(\d+)\s*(?:[h.,\s]\s*(\d+))?\s*$", re.IGNORECASE)
_NEURON = re.compile(r"\s*l(\d+)\s*n\s*(\d+)\s*$", re.IGNORECASE)
_PROMPTS = re.compile(r"\s*prompts\s+(\S.*?)\s*$", re.IGNORECASE)


class Explorer(Protocol):
    """What the palette asks of the screen it was opened on."""

    def palette_entries(self) -> Sequence[Entry]: ...
    def run_entry(self, command_id: str) -> None: ...
    def jump(self, layer: int, head: int) -> None: ...
    def jump_to_neuron(self, layer: int, neuron: int) -> None: ...
    def open_prompts(self, path: str) -> None: ...


class Commands(Provider):
    """Commands by fuzzy match; ``L10H2`` or ``10 2`` jumps to that head, ``L2N17`` to that neuron."""

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
        if match := _NEURON.match(query):
            layer, neuron = int(match[1]), int(match[2])
            go = partial(explorer.jump_to_neuron, layer, neuron)
            yield Hit(1.0, f"go to L{layer}N{neuron}", go, help="Show this neuron.")
        if match := _PROMPTS.match(query):
            yield Hit(1.0, f"open {match[1]}", partial(explorer.open_prompts, match[1]), help="A file of prompts.")
        matcher = self.matcher(query)
        for entry in explorer.palette_entries():
            score = max(matcher.match(entry.label), 0.9 * matcher.match(entry.id), 0.5 * matcher.match(entry.help))
            if score > 0:
                yield Hit(score, matcher.highlight(entry.label), _runs(explorer, entry), help=entry.help)


def _runs(explorer: Explorer, entry: Entry) -> Callable[[], None]:
    return partial(explorer.run_entry, entry.id)
