"""Keys as Textual takes them, made of the table of commands."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar

from textual.binding import Binding
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from . import commands, pages
from .commands import display, other_keys, typed_keys
from .declared import Command
from .selection import Selection
from .views.chart import Bars
from .views.footer import Offer
from .views.help import Entry
from .views.model_tree import ModelTree

_STEPS = ("cursor", "edge", "page", "largest", "match", "move")
"""The names of their actions."""
_CTRL = re.compile(r"ctrl\+[a-z]")
S = TypeVar("S", bound=Screen[Any])


def bound(screen: type[S]) -> type[S]:
    """The screen with the keys of all pages that are registered by now: Textual reads them from the class."""
    made: type[S] = type(screen.__name__, (screen,), {"BINDINGS": every()})
    return made


def every() -> list[Binding]:
    """The keys of all commands."""
    return [binding for command in commands.every() for binding in bindings(command)]


def steps() -> frozenset[str]:
    """The keys that move the cursor or what is shown, and open nothing."""
    return frozenset(key for c in commands.every() if c.action.partition("(")[0] in _STEPS for key in c.keys)


def entries() -> list[Entry]:
    """The commands, as the help and the palette show them."""
    return [
        Entry(c.id, " ".join(map(display, c.keys)) or f":{c.id}", c.label, c.help, c.group, c.also)
        for c in commands.every()
        if c.id != "palette"
    ]


Place = Literal["picture", "list", "tree", "prompt"]
"""What has the keys."""
_HERE: dict[Place, tuple[tuple[str, str], ...]] = {
    "picture": (),
    "list": (("open", "open"), ("sort_list", "sort"), ("filter_list", "filter"), ("mark", "mark"),
             ("hide_row", "hide")),
    "tree": (("filter", "filter"), ("tree_order", "sort"), ("mark", "mark"), ("knock_out", "knock out")),
    "prompt": (("append", "append token"),),
}  # fmt: skip
"""The commands that mean most there, and their words in the footer."""


def place(focused: Widget | None) -> Place:
    """What it is that has the keys."""
    kinds: tuple[tuple[type, Place], ...] = ((Bars, "list"), (ModelTree, "tree"), (Input, "prompt"))
    return next((name for kind, name in kinds if isinstance(focused, kind)), "picture")


def offers(place: Place) -> list[Offer]:
    """What the footer has first where that has the keys."""
    made = [Offer("enter", "enter", "run", "noop"), Offer("escape", "esc", "leave", "noop"),
            Offer("up", "↑ ↓", "history", "noop")] if place == "prompt" else []  # fmt: skip
    for id, word in _HERE[place]:
        command = commands.by_id(id)
        key = command.keys[0]
        made.append(Offer(key, display(key), word, _action(command, key)))
    return made


def meaningless(s: Selection) -> list[str]:
    """Actions of the footer's commands that do nothing on the page that is shown."""
    page = pages.of(s)
    ids = {option.key for other in pages.every() for option in other.options if page.option(option.key, s) is None}
    return [f"typed('{id}')" for id in sorted(ids)]


def _action(command: Command, key: str) -> str:
    return f"typed('{command.id}')" if key in typed_keys(command) or _CTRL.fullmatch(key) else command.action


def _group(word: str) -> Binding.Group:
    """Keys that share a word in the footer; names of keys need a space between them: ``{ f2``."""
    shown = [display(command.keys[0]) for command in commands.every() if command.footer == word and command.keys]
    return Binding.Group(word, compact=all(len(one) == 1 for one in shown))


def bindings(command: Command) -> list[Binding]:
    """A command's keys. Those that are text elsewhere, and ctrl with a letter, come first of all, whatever has the
    focus but a text field: over a slow link several keys arrive at once, and ``i`` must have moved the focus before the
    next one is looked at.
    """
    out = []
    with_ctrl = tuple(key for key in other_keys(command) if _CTRL.fullmatch(key))
    later = tuple(key for key in other_keys(command) if key not in with_ctrl)
    for keys, at_once in ((typed_keys(command), True), (with_ctrl, True), (later, False)):
        if keys:
            out.append(
                Binding(
                    ",".join(keys),
                    f"typed('{command.id}')" if at_once else command.action,
                    command.footer or command.label,
                    show=bool(command.footer) and command.keys[0] in keys,
                    id=command.id,
                    key_display=display(keys[0]),
                    priority=at_once,
                    group=_group(command.footer) if command.footer in ("head", "layer") else None,
                )
            )
    return out
