"""Keys that the user gives to commands, checked against the table: what cannot be is left out, and said with what can.

A key does one thing. To give a command the key of another, that one needs another key too; so two can be exchanged.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from . import commands
from .commands import display
from .text import plain

Keys = Mapping[str, tuple[str, ...]]
"""Command id → keys in Textual's names."""

NAMED = frozenset(
    {"up", "down", "left", "right", "home", "end", "pageup", "pagedown", "insert", "delete", "enter", "space",
     "backspace", "ctrl+home", "ctrl+end"}
    | {f"f{number}" for number in range(1, 13)}
)  # fmt: skip
FORMS = "a letter, a digit, a sign such as ? (a comma is written comma), f1 to f12, ctrl+LETTER, an arrow, home, end, \
pageup, pagedown, insert, delete, enter, space or backspace"
TAKEN = {
    "tab": "goes from field to field", "shift+tab": "goes from field to field", "escape": "closes and goes back",
    "ctrl+c": "copies or quits", "ctrl+q": "quits", "ctrl+p": "is of the palette in every dialog",
    "ctrl+a": "is of screen and many a tmux", "ctrl+b": "is of tmux", "ctrl+s": "stops many terminals",
    "ctrl+z": "stops the program in many terminals", "ctrl+h": "is backspace in many terminals",
    "ctrl+i": "is tab in all terminals", "ctrl+m": "is enter in all terminals", "ctrl+j": "is enter in many terminals",
}  # fmt: skip
"""Keys that do not reach the program everywhere, or mean one thing in it whatever has the focus."""


def checked(wanted: Mapping[str, str]) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Command id → keys that it can have, and id → what is wrong for those that cannot have what is wanted.

    ``wanted`` is ``[keys]`` of the config file: command id → keys with commas between them.
    """
    table = {command.id: command.keys for command in commands.defaults()}
    good, wrong = dict[str, tuple[str, ...]](), dict[str, str]()
    for id, text in wanted.items():
        keys = tuple(commands.key_named(key.strip()) for key in text.split(","))
        if problem := _unknown(id, table) or next(filter(None, (_impossible(id, key) for key in keys)), ""):
            wrong[id] = problem
        else:
            good[id] = keys
    while clash := _clash(table | good, good):
        id, key, owner = clash
        del good[id]  # it has its own keys again, which another may have been given: so all are looked at anew
        free = ", ".join(display(key) for key in _free(table | good))
        wrong[id] = (f"{display(key)} is {owner}'s: give {owner} another key too, or {id} one that is free, such as "
                     f"{free}.")  # fmt: skip
    return good, {id: wrong[id] for id in wanted if id in wrong}


def _unknown(id: str, table: Keys) -> str:
    if id in table:
        return ""
    words = sorted(table, key=lambda known: (-len({*id.split("_")} & {*known.split("_")}), len(known)))
    near = [words[0]] if {*id.split("_")} & {*words[0].split("_")} else difflib.get_close_matches(id, table, 1)
    nearest = f"the nearest is {near[0]}, and " if near else ""
    return f"there is no command {id!r}; {nearest}circuit-tui config --print lists all."


def _impossible(id: str, key: str) -> str:
    if key in TAKEN and key not in next(c.keys for c in commands.defaults() if c.id == id):
        return f"{key} {TAKEN[key]}: take another key."
    if key in NAMED or key in commands.punctuation() or re.fullmatch(r"[a-zA-Z0-9]|ctrl\+[a-z]", key):
        return ""
    return f"there is no key {key!r} that reaches every terminal; a key is {FORMS}."


def _clash(table: Keys, given: Keys) -> tuple[str, str, str] | None:
    """A command whose given key another has: its id, the key, the other's id."""
    owners: dict[str, str] = {}
    # What the user wrote comes last and in its order: that is what has to give way.
    for id, keys in (*((id, keys) for id, keys in table.items() if id not in given), *given.items()):
        for key in keys:
            if owners.setdefault(key, id) != id:
                return id, key, owners[key]
    return None


def _free(table: Keys) -> list[str]:
    """Some keys that no command has."""
    used = {key for keys in table.values() for key in keys}

    def candidates() -> Iterator[str]:
        yield from "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        yield from commands.punctuation()
        yield from (f"ctrl+{letter}" for letter in "efgklortuvwxy")
        yield from (f"f{number}" for number in range(2, 13))

    return [key for key in candidates() if key not in used][:6]


def sentences(wrong: Mapping[str, str], origins: Mapping[str, str]) -> list[str]:
    """What is wrong, each with the line of the config file that it stands on (``Options.origins``)."""
    return [plain(f"{origins.get(f'keys.{id}', '[keys]')}: {problem}") for id, problem in wrong.items()]
