"""Keys as Textual takes them, made of the table of commands."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from textual.binding import Binding
from textual.screen import Screen

from . import commands
from .commands import display, other_keys, typed_keys
from .declared import Command
from .views.help import Entry

_CTRL = re.compile(r"ctrl\+[a-z]")
S = TypeVar("S", bound=Screen[Any])


def bound(screen: type[S]) -> type[S]:
    """The screen with the keys of all pages that are registered by now: Textual reads them from the class."""
    made: type[S] = type(screen.__name__, (screen,), {"BINDINGS": every()})
    return made


def every() -> list[Binding]:
    """The keys of all commands."""
    return [binding for command in commands.every() for binding in bindings(command)]


def entries() -> list[Entry]:
    """The commands, as the help and the palette show them."""
    return [
        Entry(c.id, " ".join(map(display, c.keys)), c.label, c.help, c.group, c.also)
        for c in commands.every()
        if c.id != "palette"
    ]


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
                    group=Binding.Group(command.footer, compact=True) if command.footer in ("head", "layer") else None,
                )
            )
    return out
